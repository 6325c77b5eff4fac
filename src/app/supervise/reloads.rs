//! Reading the configuration again, and doing what follows from it (section 4).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    core::Supervisor,
    load,
    requests::{RequestAnswer, refuse},
    waiters::{Goal, Reply, Waiter},
};
use crate::{
    io::sys,
    model::{
        config::Config,
        machine::{Event, StopWhy},
        program::ProcState,
        reload::{Facts, Plan, Planned, ProcessChange, Removal, Scope, plan},
        wire::{Code, NameKind, Notice, ReloadOf, Response, ResultItem, Targets, WireError},
    },
};

/// Where the configuration comes from, at the start and each time it is read again.
pub(super) trait ConfigSource: Send + Sync {
    /// Reads it: the configuration and what is doubtful in it, or all that is wrong, a line each.
    fn load(&self) -> Loaded;
    /// A word that changes when a file of it does.
    fn stamp(&self) -> String;
}

/// What reading the configuration gave: it, and what is doubtful in it; or all that is wrong, a line each.
pub(super) type Loaded = Result<(Config, Vec<String>), Vec<String>>;

/// Where a configuration goes that was read, on whatever thread it was read.
pub(super) type Deliver = Arc<dyn Fn(Loaded) + Send + Sync>;

/// How long a look at the files is waited for, once while they hang: storage that hangs must not keep the supervisor.
/// After the same time a reload that still waits for them is reported.
const LOOK: Duration = Duration::from_secs(1);

/// What a look at the files found: their stamp, and what is in them if that is another one than before.
type ConfigLook = (String, Option<Result<Config, Vec<String>>>);

/// What the reader of the files is asked.
enum Question {
    /// Whether they still have this stamp, and what is in them if not.
    Look(String),
    /// What is in them.
    Load,
}

/// A thread that reads the files.
struct ConfigReader {
    ask: mpsc::Sender<Question>,
    answers: mpsc::Receiver<ConfigLook>,
    /// It was asked to look and has not answered.
    pending: bool,
}

impl ConfigReader {
    /// # Errors
    /// There is no room for a thread.
    fn begin(source: Arc<dyn ConfigSource>, deliver: Deliver) -> std::io::Result<ConfigReader> {
        let (ask, asked) = mpsc::channel::<Question>();
        let (answer, answers) = mpsc::channel();
        std::thread::Builder::new().name("config".to_owned()).spawn(move || {
            for question in asked {
                match question {
                    Question::Load => deliver(source.load()),
                    Question::Look(known) => {
                        let stamp = source.stamp();
                        let new = (stamp != known).then(|| source.load().map(|(config, _)| config));
                        if answer.send((stamp, new)).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(ConfigReader { ask, answers, pending: false })
    }
}

/// What is to be done with the configuration once it was read.
#[derive(Debug, PartialEq, Eq)]
enum ReloadRequest {
    Reload {
        of: ReloadOf,
        dry_run: bool,
        /// Whether what follows from it is waited for.
        wait: bool,
    },
    /// Takes programs that are not supervised yet.
    Add(Vec<String>),
}

impl ReloadRequest {
    fn changes_something(&self) -> bool {
        match self {
            ReloadRequest::Reload { dry_run, .. } => !dry_run,
            ReloadRequest::Add(_) => true,
        }
    }
}

/// A request that waits for the configuration to be read.
struct Waiting {
    wanted: ReloadRequest,
    /// None: no client waits for an answer.
    reply: Option<Reply>,
    until: Option<Duration>,
}

/// Requests that wait for the configuration to be read.
#[derive(Default)]
struct Queue {
    /// For the reading that is under way.
    now: Vec<Waiting>,
    /// For the next one: the files may have changed since the one under way began.
    next: Vec<Waiting>,
    /// When it is reported that the files do not answer.
    report_at: Option<Duration>,
}

impl Queue {
    /// Adds a request; true if a reading is to begin. One that was asked before and whose client is gone is in it.
    fn push(&mut self, waiting: Waiting) -> bool {
        if self.now.is_empty() {
            self.now.push(waiting);
            return true;
        }
        self.next.retain(|other| other.reply.is_some() || other.wanted != waiting.wanted);
        self.next.push(waiting);
        false
    }

    /// The requests for which a reading that has ended was; those that came since are next.
    fn take(&mut self) -> Vec<Waiting> {
        self.report_at = None;
        let next = std::mem::take(&mut self.next);
        std::mem::replace(&mut self.now, next)
    }

    /// When something is to be done here, whatever happens.
    fn deadline(&self) -> Option<Duration> {
        let waiting = self.now.iter().chain(&self.next).filter(|waiting| waiting.reply.is_some());
        waiting.filter_map(|waiting| waiting.until).chain(self.report_at).min()
    }

    /// Takes the replies to those whose time is over, and whether what they asked for is still to be done.
    fn time_out(&mut self, now: Duration) -> Vec<(Reply, bool)> {
        let mut over = vec![];
        for waiting in self.now.iter_mut().chain(&mut self.next) {
            if waiting.until.is_some_and(|until| until <= now)
                && let Some(reply) = waiting.reply.take()
            {
                over.push((reply, waiting.wanted.changes_something()));
            }
        }
        over
    }
}

/// What is known of the files on the disk.
pub(super) struct OnDisk {
    source: Arc<dyn ConfigSource>,
    deliver: Deliver,
    /// The thread that reads them, since it was first needed.
    reader: Option<ConfigReader>,
    queue: Queue,
    /// Whether they did not answer when they were last looked at.
    hangs: bool,
    /// Of the files when they were last looked at.
    stamp: String,
    /// When what is configured was read, unix seconds.
    loaded: i64,
    /// The sum of the main file then.
    sha256: String,
    /// The sum of the main file that was read last, if only to tell what would change.
    read: String,
    /// Processes that are configured otherwise there.
    changed: BTreeSet<String>,
    /// Processes that are only there: name, group, autostart, priorities.
    unused: Vec<Value>,
    /// What is wrong there.
    error: Option<String>,
}

impl OnDisk {
    /// As it is after `config` was read. What is read later goes to `deliver`.
    pub(super) fn new(source: Arc<dyn ConfigSource>, deliver: Deliver, config: &Config) -> OnDisk {
        OnDisk {
            stamp: source.stamp(),
            source,
            deliver,
            reader: None,
            queue: Queue::default(),
            hangs: false,
            loaded: sys::now().wall.secs(),
            sha256: config.sha256.clone(),
            read: String::new(),
            changed: BTreeSet::new(),
            unused: vec![],
            error: None,
        }
    }

    /// When something is to be done here, whatever happens.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.queue.deadline()
    }

    fn reader(&mut self) -> Option<&mut ConfigReader> {
        if self.reader.is_none() {
            self.reader = ConfigReader::begin(Arc::clone(&self.source), Arc::clone(&self.deliver)).ok();
        }
        self.reader.as_mut()
    }

    /// Has the files read on a thread of their own; false: there is none to be had.
    fn begin_reading(&mut self) -> bool {
        let asked = self.reader().is_some_and(|reader| reader.ask.send(Question::Load).is_ok());
        if asked {
            self.queue.report_at = Some(sys::now().mono + LOOK);
        } else {
            // Its thread may be gone; the next question makes another one.
            self.reader = None;
        }
        asked
    }

    /// Looks at the files; none: they are as they were, or it cannot be told for now.
    fn look(&mut self) -> Option<(String, Result<Config, Vec<String>>)> {
        if self.hangs && !self.queue.now.is_empty() {
            return None;
        }
        let known = self.stamp.clone();
        let reader = self.reader()?;
        // What it found too late is older than this question.
        while reader.pending && reader.answers.try_recv().is_ok() {
            reader.pending = false;
        }
        let was_pending = std::mem::replace(&mut reader.pending, true);
        if was_pending {
            return None;
        }
        if reader.ask.send(Question::Look(known)).is_err() {
            // Its thread is gone; the next look makes another one.
            self.reader = None;
            return None;
        }
        let seen = reader.answers.recv_timeout(LOOK);
        reader.pending = seen.is_err();
        self.hangs = seen.is_err();
        let (stamp, new) = seen.ok()?;
        Some((stamp, new?))
    }
}

impl Supervisor {
    /// Reads the configuration again, on a thread of its own, and then does what follows from it.
    pub(super) fn reload(&mut self, of: &ReloadOf, dry_run: bool, wait: bool, until: Option<Duration>, reply: Reply) {
        let wanted = ReloadRequest::Reload { of: of.clone(), dry_run, wait };
        self.read_for(Waiting { wanted, reply: Some(reply), until });
    }

    /// Begins to read the configuration for a request, or does so when the reading that is under way has ended.
    fn read_for(&mut self, waiting: Waiting) {
        if self.on_disk.queue.push(waiting) {
            self.begin_reading();
        }
    }

    fn begin_reading(&mut self) {
        if !self.on_disk.begin_reading() {
            let loaded = self.on_disk.source.load();
            self.configuration_read(&loaded);
        }
    }

    /// The configuration was read: does what was asked for.
    pub(super) fn configuration_read(&mut self, loaded: &Loaded) {
        self.on_disk.hangs = false;
        let waiting = self.on_disk.queue.take();
        match loaded {
            Ok((config, _)) => self.on_disk.read.clone_from(&config.sha256),
            Err(errors) => {
                for error in errors {
                    self.log.error(&format!("config: {error}"));
                }
                self.log.error("reload: the configuration has errors; nothing was changed");
            }
        }
        waiting.into_iter().for_each(|waiting| self.go_on(waiting, loaded));
        if !self.on_disk.queue.now.is_empty() {
            self.begin_reading();
        }
    }

    /// Does what was asked for with the configuration that was read.
    fn go_on(&mut self, waiting: Waiting, loaded: &Loaded) {
        let Waiting { wanted, reply, until } = waiting;
        let reply = reply.unwrap_or_else(|| Box::new(|_| {}));
        if self.shutdown.is_some() && wanted.changes_something() {
            return reply(refuse(WireError::new(Code::ShuttingDown, "shutting down")));
        }
        let (config, warnings) = match loaded {
            Ok(loaded) => loaded,
            Err(errors) => return reply(refuse(wrong(errors))),
        };
        match wanted {
            ReloadRequest::Add(names) => self.add_from(config, &names, reply),
            ReloadRequest::Reload { of, dry_run, wait } => {
                let names: Vec<String>;
                let scope = match &of {
                    ReloadOf::All => Scope::All,
                    ReloadOf::Server => Scope::Server,
                    ReloadOf::UnixHttpServer => Scope::Unix,
                    ReloadOf::InetHttpServer => Scope::Inet,
                    ReloadOf::Client => Scope::Client,
                    ReloadOf::Named { kind, names: given } => {
                        names = named(*kind, given);
                        Scope::Names(&names)
                    }
                };
                match self.make_plan(config, scope) {
                    Err(error) => reply(refuse(error)),
                    Ok(plan) if dry_run => reply(RequestAnswer::One(Response::done(summary(&plan, warnings)))),
                    Ok(plan) => self.carry_out(plan, warnings, wait, until, reply),
                }
            }
        }
    }

    /// Reports files that do not answer, and answers those whose time is over.
    pub(super) fn time_out_reading(&mut self, now: Duration) {
        if self.on_disk.queue.report_at.is_some_and(|at| at <= now) {
            self.on_disk.queue.report_at = None;
            self.on_disk.hangs = true;
            self.log
                .warn("reload: the files of the configuration do not answer yet; programs are supervised meanwhile");
        }
        for (reply, goes_on) in self.on_disk.queue.time_out(now) {
            let later = if goes_on { "; the operation goes on when they do" } else { "" };
            let why = format!("timed out: the files of the configuration do not answer{later}");
            let content = json!({ "config": self.config_state() });
            reply(refuse_with(WireError::new(Code::Timeout, why), content));
        }
    }

    pub(super) fn reread(&mut self, until: Option<Duration>, reply: Reply) {
        self.reload(&ReloadOf::All, true, false, until, reply);
    }

    pub(super) fn update(&mut self, of: &Targets, wait: bool, until: Option<Duration>, reply: Reply) {
        let of = match of {
            Targets::All => ReloadOf::All,
            Targets::Named { kind, names } => ReloadOf::Named { kind: *kind, names: names.clone() },
        };
        self.reload(&of, false, wait, until, reply);
    }

    /// Takes programs of the configuration that are not supervised yet.
    pub(super) fn add(&mut self, of: &Targets, until: Option<Duration>, reply: Reply) {
        let Targets::Named { kind, names } = of else {
            return reply(refuse(WireError::new(Code::BadArgument, "name what is to be added")));
        };
        self.read_for(Waiting { wanted: ReloadRequest::Add(named(*kind, names)), reply: Some(reply), until });
    }

    fn add_from(&mut self, config: &Config, names: &[String], reply: Reply) {
        let plan = match self.make_plan(config, Scope::Names(names)) {
            Ok(plan) => plan,
            Err(error) => return reply(refuse(error)),
        };
        let added: Vec<&Planned> =
            plan.processes.iter().filter(|planned| matches!(planned.step, ProcessChange::Add { .. })).collect();
        if added.is_empty() {
            let error = WireError::new(Code::AlreadyAdded, format!("already added: {}", names.join(", ")));
            return reply(refuse(error.about(names.join(", "))));
        }
        let is_added = |name: &String| {
            added.iter().any(|planned| match plan.next.processes.get(&planned.name) {
                Some(spec) => [&spec.name, &spec.program, &spec.group, &planned.full_name].contains(&name),
                None => false,
            })
        };
        let there = names.iter().filter(|name| !is_added(name));
        let mut items: Vec<ResultItem> =
            there.map(|name| ResultItem::failed("", name.clone(), Code::AlreadyAdded, "already added")).collect();
        let all: Vec<Planned> = added.into_iter().cloned().collect();
        for planned in all {
            if let Some(spec) = plan.next.processes.get(&planned.name) {
                items.push(ResultItem::done(spec.group.clone(), spec.name.clone()));
                self.config.processes.insert(planned.name.clone(), spec.clone());
                self.config
                    .groups
                    .extend(plan.next.groups.get(&spec.group).map(|group| (spec.group.clone(), group.clone())));
                self.log.info(&format!("config: added {}", planned.full_name));
                self.insert(spec.clone(), matches!(planned.step, ProcessChange::Add { start: true }));
            }
        }
        let single = items.len() == 1;
        reply(RequestAnswer::One(Response::results(items, single)));
    }

    /// A reload for which no client waits (SIGHUP).
    pub(super) fn reload_all(&mut self) {
        let wanted = ReloadRequest::Reload { of: ReloadOf::All, dry_run: false, wait: false };
        self.read_for(Waiting { wanted, reply: None, until: None });
    }

    fn make_plan(&self, new: &Config, scope: Scope<'_>) -> Result<Plan, WireError> {
        plan(&self.config, new, &self.facts(), scope)
            .map_err(|error| WireError::new(Code::BadName, error.to_string()).about(error.0.join(", ")))
    }

    fn facts(&self) -> BTreeMap<String, Facts> {
        let fact = |proc: &super::core::Proc| Facts {
            state: proc.machine.state(),
            restart_pending: proc.machine.next_try(Duration::ZERO).is_some()
                || proc.machine.stopping_why().is_some_and(StopWhy::starts_again),
            gone: proc.run.as_ref().and_then(|run| run.command).is_none_or(crate::io::process::gone),
        };
        self.procs.iter().filter(|(_, proc)| !proc.removing).map(|(name, proc)| (name.clone(), fact(proc))).collect()
    }

    fn carry_out(&mut self, plan: Plan, warnings: &[String], wait: bool, until: Option<Duration>, reply: Reply) {
        // What may fail comes first: then nothing is changed.
        let prepared = load::make_folders(&plan.next, self.owner).map_err(|lines| lines.join("; "));
        let prepared = prepared.and_then(|()| load::make_usual_folder(&plan.next));
        let prepared = prepared.and_then(|()| self.log.prepare(&plan.next.server));
        let changed =
            prepared.and_then(|prepared| self.doors.change(&plan.next, plan.unix, plan.inet).map(|()| prepared));
        let log = match changed {
            Ok(log) => log,
            Err(why) => {
                self.log.error(&format!("reload: {why}; nothing was changed"));
                return reply(refuse(WireError::new(Code::CantReread, why)));
            }
        };
        // Of a question whoever asks is told; what is done is for the log too.
        for warning in warnings {
            self.log.warn(&format!("config: {warning}"));
        }
        let content = summary(&plan, warnings);
        let of = |key: &str| content[key].as_array().map_or(0, Vec::len);
        self.log.info(&format!(
            "reload: {} added, {} removed, {} restarted, {} updated, {} unchanged",
            of("added"),
            of("removed"),
            of("restarted"),
            of("updated"),
            content["unchanged"]
        ));
        for key in &plan.needs_restart {
            self.log.warn(&format!("config: {key} changes only with a restart of supervise"));
        }
        let old = std::mem::replace(&mut self.config, plan.next.clone());
        if old.server != self.config.server {
            self.log.change(&self.config.server, log);
        }
        let mut waiter = Waiter {
            goal: Goal::Settled,
            pending: BTreeSet::new(),
            done: vec![],
            single: false,
            sequence: None,
            content: Some(content.clone()),
            reply: Some(reply),
            until,
        };
        let mut steps: Vec<&Planned> = plan.processes.iter().collect();
        // Stops in the order of stops, then the rest in the order of starts.
        steps.sort_by_key(|planned| {
            self.config
                .processes
                .get(&planned.name)
                .map(|spec| (spec.group_priority, spec.policy.priority, spec.name.clone()))
        });
        for planned in &steps {
            if matches!(
                planned.step,
                ProcessChange::Restart
                    | ProcessChange::Replace { start: true }
                    | ProcessChange::Remove(Removal::Stop | Removal::AfterStop)
                    | ProcessChange::Add { start: true }
            ) {
                waiter.pending.insert(planned.name.clone());
            }
        }
        let index = self.waiters.len();
        self.waiters.push(waiter);
        for planned in steps.iter().rev().filter(|planned| matches!(planned.step, ProcessChange::Remove(_))) {
            self.take_away(&planned.name);
        }
        for planned in steps.iter().filter(|planned| !matches!(planned.step, ProcessChange::Remove(_))) {
            self.step(planned, &plan.next);
        }
        for proc in self.procs.values_mut() {
            proc.machine.set_throttle(self.config.server.restart_throttle);
        }
        self.on_disk.stamp.clear();
        self.write_self();
        self.write_stopped();
        self.on_disk.loaded = sys::now().wall.secs();
        self.on_disk.sha256.clone_from(&self.on_disk.read);
        self.notices.push((Notice::Config(content), sys::now().wall.secs()));
        if index < self.waiters.len() {
            let mut waiter = self.waiters.remove(index);
            // What needed no time is done.
            let settled = |name: &String| {
                self.procs.get(name).is_none_or(|proc| {
                    let state = proc.machine.state();
                    !proc.removing
                        && (state.is_down() || matches!(state, ProcState::Running | ProcState::Backoff))
                        && proc.next.is_none()
                        && !proc.machine.stopping_why().is_some_and(StopWhy::starts_again)
                })
            };
            waiter.pending.retain(|name| !settled(name));
            self.wait(waiter, wait);
        }
    }

    fn step(&mut self, planned: &Planned, next: &Config) {
        let Some(spec) = next.processes.get(&planned.name).cloned() else { return };
        let name = planned.name.clone();
        // One that is on its way out goes; what the plan is about comes in its place.
        if let Some(proc) = self.procs.get_mut(&name).filter(|proc| proc.removing) {
            let start = match planned.step {
                ProcessChange::Add { start } => start,
                _ => proc.after.as_ref().map_or(spec.policy.autostart, |(_, start)| *start),
            };
            proc.after = Some((spec, start));
            return;
        }
        match planned.step {
            ProcessChange::Untouched | ProcessChange::Remove(_) => {}
            ProcessChange::Add { start } => self.insert(spec, start),
            ProcessChange::UpdateHot | ProcessChange::Relabel => {
                let policy = spec.policy.clone();
                match self.procs.get_mut(&name) {
                    // Its present run is still of a configuration before that.
                    Some(proc) if proc.next.is_some() => {
                        proc.spec.group.clone_from(&spec.group);
                        proc.next = Some(spec);
                    }
                    Some(proc) => proc.spec = spec,
                    None => {}
                }
                let _ = self.feed(&name, Event::Policy(policy));
                self.tell_policy(&name);
            }
            ProcessChange::Restart => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    proc.next = Some(spec);
                }
                let _ = self.feed(&name, Event::Replaced(policy));
            }
            ProcessChange::Replace { .. } => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    proc.spec = spec;
                    proc.next = None;
                }
                let _ = self.feed(&name, Event::Replaced(policy));
            }
            ProcessChange::Store { .. } => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    match proc.machine.state() {
                        ProcState::Stopping => proc.next = Some(spec),
                        _ => proc.spec = spec,
                    }
                }
                let _ = self.feed(&name, Event::Policy(policy));
            }
        }
    }

    /// Looks whether the files on the disk say something else by now (#441).
    pub(super) fn look_at_config(&mut self) {
        let Some((stamp, loaded)) = self.on_disk.look() else { return };
        let facts = self.facts();
        let (mut changed, mut unused, mut error) = (BTreeSet::new(), vec![], None);
        match loaded {
            Err(errors) => error = errors.into_iter().next(),
            Ok(new) => {
                if let Ok(plan) = plan(&self.config, &new, &facts, Scope::All) {
                    for planned in plan.processes.iter().filter(|planned| planned.step != ProcessChange::Untouched) {
                        changed.insert(planned.name.clone());
                    }
                }
                for spec in new.processes.values().filter(|spec| !self.procs.contains_key(&spec.name)) {
                    unused.push(json!({
                        "name": spec.full_name(),
                        "group": spec.group,
                        "in_use": false,
                        "autostart": spec.policy.autostart,
                        "group_priority": spec.group_priority,
                        "program_priority": spec.policy.priority,
                        "config_changed": true,
                    }));
                }
            }
        }
        (self.on_disk.changed, self.on_disk.unused, self.on_disk.error) = (changed, unused, error);
        self.on_disk.stamp = stamp;
    }

    pub(super) fn is_changed(&self, name: &str) -> bool {
        self.on_disk.changed.contains(name)
    }

    pub(super) fn unused(&self) -> Vec<Value> {
        self.on_disk.unused.clone()
    }

    pub(super) fn config_state(&self) -> Value {
        let hangs = || "its files do not answer: what is told of them is what was seen before".to_owned();
        let error = self.on_disk.hangs.then(hangs).or_else(|| self.on_disk.error.clone());
        json!({
            "file": self.config.file,
            "loaded": self.on_disk.loaded,
            "sha256": self.on_disk.sha256,
            "changed": !self.on_disk.changed.is_empty() || !self.on_disk.unused.is_empty(),
            "error": error,
        })
    }
}

/// Names as a reload knows them.
fn named(kind: NameKind, names: &[String]) -> Vec<String> {
    let name = |name: &String| match kind {
        NameKind::Group if !name.contains(':') => format!("{name}:*"),
        NameKind::Group | NameKind::Program | NameKind::Process => name.clone(),
    };
    names.iter().map(name).collect()
}

/// The refusal of a configuration in which something is wrong.
fn wrong(errors: &[String]) -> WireError {
    let first = errors.first().cloned().unwrap_or_default();
    let more = errors.len().saturating_sub(1);
    let message = if more > 0 { format!("{first} (and {more} more)") } else { first };
    let details = errors.iter().cloned().map(Value::from).collect();
    WireError { details, ..WireError::new(Code::CantReread, message) }
}

/// A refusal that tells something besides.
fn refuse_with(error: WireError, content: Value) -> RequestAnswer {
    RequestAnswer::One(Response { content: Some(content), ..Response::failed(error) })
}

fn summary(plan: &Plan, warnings: &[String]) -> Value {
    let mut content = serde_json::to_value(plan.summary()).unwrap_or_default();
    content["warnings"] = warnings.into();
    content["pending"] = plan.pending.clone().into();
    content
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Files that answer when they are let.
    struct Hanging(Mutex<mpsc::Receiver<String>>);

    impl Hanging {
        fn wait(&self) -> String {
            self.0.lock().unwrap().recv().unwrap_or_default()
        }
    }

    impl ConfigSource for Hanging {
        fn load(&self) -> Loaded {
            Err(vec![self.wait()])
        }

        fn stamp(&self) -> String {
            self.wait()
        }
    }

    /// Files on the disk that hang, what lets them go on, and what was read.
    fn hanging() -> (OnDisk, mpsc::Sender<String>, mpsc::Receiver<Loaded>) {
        let (let_go, files) = mpsc::channel();
        let (deliver, delivered) = mpsc::channel();
        let disk = OnDisk {
            source: Arc::new(Hanging(Mutex::new(files))),
            deliver: Arc::new(move |loaded| deliver.send(loaded).unwrap()),
            reader: None,
            queue: Queue::default(),
            hangs: false,
            stamp: "old".to_owned(),
            loaded: 0,
            sha256: String::new(),
            read: String::new(),
            changed: BTreeSet::new(),
            unused: vec![],
            error: None,
        };
        (disk, let_go, delivered)
    }

    fn let_go(to: &mpsc::Sender<String>, words: &[&str]) {
        words.iter().for_each(|word| to.send((*word).to_owned()).unwrap());
    }

    #[test]
    fn files_that_hang_delay_no_answer_and_are_seen_when_they_answer() {
        let (mut disk, files, _) = hanging();
        for _ in 0..3 {
            assert!(disk.look().is_none() && disk.hangs);
        }
        // The one question that waits, and the next one.
        let_go(&files, &["old", "new", "read"]);
        let began = sys::now().mono;
        let seen = loop {
            match disk.look() {
                Some(seen) => break seen,
                None => assert!(sys::now().mono - began < Duration::from_secs(60)),
            }
        };
        assert_eq!((seen.0.as_str(), seen.1.unwrap_err(), disk.hangs), ("new", vec!["read".to_owned()], false));
    }

    fn waiting(of: ReloadOf, until: Option<Duration>, reply: bool) -> Waiting {
        let wanted = ReloadRequest::Reload { of, dry_run: false, wait: true };
        Waiting { wanted, reply: reply.then(|| Box::new(|_| {}) as Reply), until }
    }

    #[test]
    fn files_that_hang_are_read_on_another_thread_and_delivered_when_they_answer() {
        let (mut disk, files, delivered) = hanging();
        assert!(disk.queue.push(waiting(ReloadOf::All, None, true)) && disk.begin_reading());
        assert!(disk.deadline().is_some(), "it is reported that they hang");
        assert!(delivered.try_recv().is_err());
        let_go(&files, &["one", "two"]);
        let read = || delivered.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
        assert_eq!(read(), ["one"]);
        assert!(disk.begin_reading());
        assert_eq!(read(), ["two"]);
    }

    #[test]
    fn requests_during_a_reading_share_the_next_one_and_time_out_by_themselves() {
        let mut queue = Queue::default();
        let at = Duration::from_secs;
        assert!(queue.push(waiting(ReloadOf::All, Some(at(5)), true)));
        assert!(!queue.push(waiting(ReloadOf::All, Some(at(3)), true)));
        assert!(!queue.push(waiting(ReloadOf::Server, None, true)));
        assert_eq!(queue.deadline(), Some(at(3)));
        assert_eq!(queue.time_out(at(2)).len(), 0);
        assert_eq!(queue.time_out(at(4)).len(), 1);
        assert_eq!(queue.deadline(), Some(at(5)));
        // Its client is gone, and another one asks for the same.
        assert!(!queue.push(waiting(ReloadOf::All, None, false)));
        assert!(!queue.push(waiting(ReloadOf::All, None, true)));
        assert_eq!((queue.take().len(), queue.now.len()), (1, 2));
        assert_eq!((queue.take().len(), queue.take().len()), (2, 0));
    }
}
