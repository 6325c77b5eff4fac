//! Plans what a new configuration changes, process by process.
//!
//! Pure: compares two valid configurations, given the current states of the processes. The caller
//! carries out the plan. Which keys change in place and which need a new run is defined only in
//! [`PROGRAM_KEYS`] and [`SERVER_KEYS`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    config::Config,
    program::{InetServer, LogSpec, ProcState, ProgramSpec, ServerSpec, UnixServer},
};

/// State of a process when the plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The state.
    pub state: ProcState,
    /// Whether a start is due: by autorestart, or by the restart in progress.
    pub restart_pending: bool,
    /// For UNKNOWN: whether the old process is verifiably gone.
    pub gone: bool,
}

impl Default for Facts {
    /// A process that was never started.
    fn default() -> Facts {
        Facts { state: ProcState::Stopped, restart_pending: false, gone: true }
    }
}

/// What to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everything.
    All,
    /// Programs, groups and processes of these names; also `group:process` and `group:*`.
    Names(&'a [String]),
    /// `[taskmasterd]`.
    Server,
    /// `[unix_http_server]`.
    Unix,
    /// `[inet_http_server]`.
    Inet,
    /// `[taskmasterctl]`.
    Client,
}

/// Names that are in neither configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such program, group or process: {}", .0.join(", "))]
pub struct UnknownNames(pub Vec<String>);

/// How a process that is no longer configured is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Stopped with its old settings, and removed when it is down.
    Stop,
    /// Already being stopped, and removed when it is down.
    AfterStop,
    /// Removed immediately; a start that is due is cancelled.
    AtOnce,
}

/// Change of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessChange {
    /// Nothing.
    Untouched,
    /// Settings such as the policy and the limits of logs change in place; the process keeps
    /// running.
    UpdateHot,
    /// Stopped with the old settings, then started with the new ones.
    Restart,
    /// Takes the new settings with its counters reset, because a corrected configuration must lead
    /// out of a failure.
    Replace {
        /// Whether to start it then.
        start: bool,
    },
    /// The new settings are kept for the next start.
    Store {
        /// Whether a start is due anyway.
        restarts: bool,
    },
    /// New. If one of the same name is being removed, it waits for that.
    Add {
        /// Whether to start it.
        start: bool,
    },
    /// No longer configured.
    Remove(Removal),
    /// Only the group changes.
    Relabel,
}

impl ProcessChange {
    /// Word in the response to `reload` and `update`; `None`: no change.
    pub fn word(self) -> Option<&'static str> {
        match self {
            ProcessChange::Untouched => None,
            ProcessChange::UpdateHot
            | ProcessChange::Replace { start: false }
            | ProcessChange::Store { .. }
            | ProcessChange::Relabel => Some("updated"),
            ProcessChange::Restart | ProcessChange::Replace { start: true } => Some("restarted"),
            ProcessChange::Add { .. } => Some("added"),
            ProcessChange::Remove(_) => Some("removed"),
        }
    }

    /// Word in the response to `reread`; `None`: no change.
    pub fn reread_word(self) -> Option<&'static str> {
        match self {
            ProcessChange::Untouched => None,
            ProcessChange::UpdateHot
            | ProcessChange::Restart
            | ProcessChange::Replace { .. }
            | ProcessChange::Store { .. }
            | ProcessChange::Relabel => Some("changed"),
            ProcessChange::Add { .. } => Some("available"),
            ProcessChange::Remove(_) => Some("disappeared"),
        }
    }
}

/// Planned change of one process, and its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Name.
    pub name: String,
    /// Name with the group, for clients: from the new configuration if it is there.
    pub full_name: String,
    /// The change.
    pub step: ProcessChange,
    /// The keys that differ.
    pub keys: Vec<&'static str>,
    /// Old and new group, if it changes.
    pub moved: Option<(String, String)>,
}

/// Change of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nothing.
    Keep,
    /// Opened.
    Open,
    /// Stays open; permissions or credentials change.
    Update,
    /// The new one is opened, then the old one is closed.
    Replace,
    /// Closed.
    Close,
}

/// All changes of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Changes of the processes in scope, by name; a removal precedes an addition of the same name.
    pub processes: Vec<Planned>,
    /// Processes that differ but are not in scope, by name.
    pub pending: Vec<String>,
    /// Keys of `[taskmasterd]` that change immediately.
    pub applied: Vec<&'static str>,
    /// Keys of `[taskmasterd]` that change at the next start of the supervisor.
    pub needs_restart: Vec<&'static str>,
    /// Change of the Unix socket.
    pub unix: Listener,
    /// Change of the TCP port.
    pub inet: Listener,
    /// The configuration after the reload.
    pub next: Config,
}

/// Summary of a plan, for the response to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// New processes.
    pub added: Vec<String>,
    /// Removed processes.
    pub removed: Vec<String>,
    /// Restarted processes.
    pub restarted: Vec<String>,
    /// Processes with any other change.
    pub updated: Vec<String>,
    /// Number of unchanged processes.
    pub unchanged: usize,
    /// Keys of `[taskmasterd]` that change at the next start of the supervisor.
    pub needs_restart: Vec<&'static str>,
    /// Changes of the supervisor itself: `inet_http_server: opened`, `taskmasterd loglevel:
    /// updated`.
    pub settings: Vec<String>,
}

impl Listener {
    /// Word for the change; `None`: no change.
    fn word(self) -> Option<&'static str> {
        match self {
            Listener::Keep => None,
            Listener::Open => Some("opened"),
            Listener::Update => Some("updated"),
            Listener::Replace => Some("replaced"),
            Listener::Close => Some("closed"),
        }
    }
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let still = self.processes.iter().all(|planned| planned.step == ProcessChange::Untouched);
        still && self.applied.is_empty() && [self.unix, self.inet] == [Listener::Keep; 2]
    }

    /// Summarizes the plan.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { needs_restart: self.needs_restart.clone(), ..Summary::default() };
        let listeners = [("unix_http_server", self.unix), ("inet_http_server", self.inet)];
        let listeners = listeners.into_iter().filter_map(|(name, what)| Some(format!("{name}: {}", what.word()?)));
        summary.settings.extend(listeners);
        summary.settings.extend(self.applied.iter().map(|key| format!("taskmasterd {key}: updated")));
        for planned in &self.processes {
            let list = match planned.step.word() {
                None => {
                    summary.unchanged += 1;
                    continue;
                }
                Some("added") => &mut summary.added,
                Some("removed") => &mut summary.removed,
                Some("restarted") => &mut summary.restarted,
                Some(_) => &mut summary.updated,
            };
            list.push(planned.full_name.clone());
        }
        summary
    }
}

/// Effect of a change of a program's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// Only the name for clients changes.
    Label,
    /// Applies in place.
    Hot,
    /// Needs a new run.
    Restart,
}

/// A key of a program, the effect of a change, and a comparison of two processes.
pub struct ProgramKey {
    /// Name.
    pub name: &'static str,
    /// Effect of a change.
    pub change: KeyChange,
    same: fn(&ProgramSpec, &ProgramSpec) -> bool,
}

const fn hot(name: &'static str, same: fn(&ProgramSpec, &ProgramSpec) -> bool) -> ProgramKey {
    ProgramKey { name, change: KeyChange::Hot, same }
}

const fn cold(name: &'static str, same: fn(&ProgramSpec, &ProgramSpec) -> bool) -> ProgramKey {
    ProgramKey { name, change: KeyChange::Restart, same }
}

/// All keys of a program. The number of an instance is compared through the values that contain it;
/// a move of the file matters only to a command relative to it.
pub const PROGRAM_KEYS: &[ProgramKey] = &[
    ProgramKey { name: "group", change: KeyChange::Label, same: |a, b| a.group == b.group },
    cold("command", |a, b| a.command == b.command && a.executable() == b.executable()),
    cold("args", |a, b| a.args == b.args),
    cold("env", |a, b| variables(a) == variables(b)),
    cold("directory", |a, b| a.directory == b.directory),
    cold("umask", |a, b| a.umask == b.umask),
    cold("user", |a, b| a.user == b.user),
    cold("redirect_stderr", |a, b| a.redirect_stderr == b.redirect_stderr),
    cold("stdout", |a, b| written_alike(&a.stdout, &b.stdout)),
    cold("stderr", |a, b| written_alike(&a.stderr, &b.stderr)),
    cold("stdin", |a, b| a.stdin == b.stdin),
    cold("shared_log", |a, b| a.shared_log == b.shared_log),
    cold("serverurl", |a, b| a.serverurl == b.serverurl),
    // A default destination follows childlogdir at the next run; nothing is stopped for that alone.
    hot("childlogdir", |a, b| moved_along(&a.stdout, &b.stdout) && moved_along(&a.stderr, &b.stderr)),
    hot("group priority", |a, b| a.group_priority == b.group_priority),
    hot("priority", |a, b| a.policy.priority == b.policy.priority),
    hot("autostart", |a, b| a.policy.autostart == b.policy.autostart),
    hot("startsecs", |a, b| a.policy.startsecs == b.policy.startsecs),
    hot("startretries", |a, b| a.policy.startretries == b.policy.startretries),
    hot("autorestart", |a, b| a.policy.autorestart == b.policy.autorestart),
    hot("exitcodes", |a, b| codes(a) == codes(b)),
    hot("stopsignal", |a, b| a.policy.stopsignal == b.policy.stopsignal),
    hot("stopwaitsecs", |a, b| a.policy.stopwait == b.policy.stopwait),
    hot("stopasgroup", |a, b| a.policy.stopasgroup == b.policy.stopasgroup),
    hot("killasgroup", |a, b| a.policy.killasgroup == b.policy.killasgroup),
    hot("stdout_maxbytes", |a, b| a.stdout.maxbytes == b.stdout.maxbytes),
    hot("stderr_maxbytes", |a, b| a.stderr.maxbytes == b.stderr.maxbytes),
    hot("stdout_backups", |a, b| a.stdout.backups == b.stdout.backups),
    hot("stderr_backups", |a, b| a.stderr.backups == b.stderr.backups),
    hot("strip_ansi", |a, b| a.strip_ansi == b.strip_ansi),
    hot("info1", |a, b| a.info[0] == b.info[0]),
    hot("info2", |a, b| a.info[1] == b.info[1]),
    hot("info3", |a, b| a.info[2] == b.info[2]),
    hot("timeout", |a, b| a.timeout == b.timeout),
    hot("feedback", |a, b| a.feedback == b.feedback),
    hot("create_dirs", |a, b| a.create_dirs == b.create_dirs),
    hot("on_event", |a, b| a.hook.as_ref().map(|hook| &hook.command) == b.hook.as_ref().map(|hook| &hook.command)),
    hot("on_states", |a, b| a.hook.as_ref().map(|hook| &hook.states) == b.hook.as_ref().map(|hook| &hook.states)),
];

fn variables(spec: &ProgramSpec) -> BTreeMap<&str, &str> {
    spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn codes(spec: &ProgramSpec) -> BTreeSet<u8> {
    spec.policy.exitcodes.iter().copied().collect()
}

fn written_alike(a: &LogSpec, b: &LogSpec) -> bool {
    a.target == b.target || (a.default && b.default)
}

fn moved_along(a: &LogSpec, b: &LogSpec) -> bool {
    a.target == b.target || !(a.default && b.default)
}

/// When a change of a key of `[taskmasterd]` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Immediately.
    Now,
    /// At the next start of the supervisor.
    AtStart,
    /// Through the settings of the programs.
    ToPrograms,
}

/// A key of `[taskmasterd]`.
pub struct ServerKey {
    /// Name.
    pub name: &'static str,
    /// When a change applies.
    pub applies: Applies,
    same: fn(&ServerSpec, &ServerSpec) -> bool,
    /// Copies the value from the first to the second.
    keep: fn(&ServerSpec, &mut ServerSpec),
}

/// Defines the key of the field with the same name.
macro_rules! server_key {
    ($field:ident, $applies:expr) => {
        ServerKey {
            name: stringify!($field),
            applies: $applies,
            same: |a, b| a.$field == b.$field,
            keep: |from, to| to.$field = from.$field.clone(),
        }
    };
}

/// All keys of `[taskmasterd]`.
pub const SERVER_KEYS: &[ServerKey] = &[
    server_key!(logfile, Applies::Now),
    server_key!(logfile_maxbytes, Applies::Now),
    server_key!(logfile_backups, Applies::Now),
    server_key!(loglevel, Applies::Now),
    server_key!(strip_ansi, Applies::Now),
    server_key!(identifier, Applies::Now),
    server_key!(childlogdir, Applies::Now),
    server_key!(nocleanup, Applies::Now),
    server_key!(orphans, Applies::Now),
    server_key!(restart_throttle, Applies::Now),
    server_key!(history_keep, Applies::Now),
    server_key!(create_dirs, Applies::Now),
    server_key!(start_serial, Applies::Now),
    server_key!(remember_stops, Applies::Now),
    server_key!(pidfile, Applies::AtStart),
    server_key!(umask, Applies::AtStart),
    server_key!(nodaemon, Applies::AtStart),
    server_key!(silent, Applies::AtStart),
    server_key!(minfds, Applies::AtStart),
    server_key!(minprocs, Applies::AtStart),
    server_key!(user, Applies::AtStart),
    server_key!(directory, Applies::AtStart),
    server_key!(database, Applies::AtStart),
    server_key!(hook, Applies::ToPrograms),
    server_key!(env, Applies::ToPrograms),
];

/// Plans the change from one configuration to another. A process of the old one without facts
/// counts as never started.
///
/// # Errors
/// [`UnknownNames`], if [`Scope::Names`] contains any.
pub fn plan(
    old: &Config,
    new: &Config,
    facts: &BTreeMap<String, Facts>,
    scope: Scope<'_>,
) -> Result<Plan, UnknownNames> {
    if let Scope::Names(names) = scope {
        let known = |name: &&String| old.processes.values().chain(new.processes.values()).any(|spec| is(spec, name));
        let unknown: Vec<String> = names.iter().filter(|name| !known(name)).cloned().collect();
        if !unknown.is_empty() {
            return Err(UnknownNames(unknown));
        }
    }
    let all = scope == Scope::All;
    let mut next = old.clone();
    let (mut processes, mut pending) = (Vec::new(), Vec::new());
    let names: BTreeSet<&String> = old.processes.keys().chain(new.processes.keys()).collect();
    for name in names {
        let (before, after) = (old.processes.get(name), new.processes.get(name));
        let facts = facts.get(name).copied().unwrap_or_default();
        let steps = steps(before, after, facts);
        let meant = match scope {
            Scope::All => true,
            Scope::Names(names) => before.into_iter().chain(after).any(|spec| names.iter().any(|name| is(spec, name))),
            Scope::Server | Scope::Unix | Scope::Inet | Scope::Client => false,
        };
        if !meant {
            if steps.iter().any(|planned| planned.step != ProcessChange::Untouched) {
                pending.push(name.clone());
            }
            continue;
        }
        processes.extend(steps);
        match after {
            Some(spec) => drop(next.processes.insert(name.clone(), spec.clone())),
            None => drop(next.processes.remove(name)),
        }
    }
    regroup(&mut next, new, all);

    let (mut applied, mut needs_restart) = (Vec::new(), Vec::new());
    if all || scope == Scope::Server {
        next.server = new.server.clone();
        for key in SERVER_KEYS.iter().filter(|key| !(key.same)(&old.server, &new.server)) {
            match key.applies {
                Applies::Now => applied.push(key.name),
                Applies::ToPrograms => {}
                Applies::AtStart => {
                    (key.keep)(&old.server, &mut next.server);
                    needs_restart.push(key.name);
                }
            }
        }
    }
    let (mut unix, mut inet) = (Listener::Keep, Listener::Keep);
    if all || scope == Scope::Unix {
        let same_place = |a: &UnixServer, b: &UnixServer| a.file == b.file;
        unix = listener(old.unix.as_ref(), new.unix.as_ref(), same_place);
        next.unix = new.unix.clone();
    }
    if all || scope == Scope::Inet {
        let same_place = |a: &InetServer, b: &InetServer| (&a.host, a.port) == (&b.host, b.port);
        inet = listener(old.inet.as_ref(), new.inet.as_ref(), same_place);
        next.inet = new.inet.clone();
    }
    if all || scope == Scope::Client {
        next.client = new.client.clone();
    }
    if all {
        next.file = new.file.clone();
    }
    Ok(Plan { processes, pending, applied, needs_restart, unix, inet, next })
}

/// Whether a name refers to this process: its own name, or that of its program or group.
fn is(spec: &ProgramSpec, name: &str) -> bool {
    match name.split_once(':') {
        Some((group, "" | "*")) => spec.group == group,
        Some((group, process)) => spec.group == group && spec.name == process,
        None => [&spec.name, &spec.program, &spec.group].iter().any(|own| *own == name),
    }
}

/// Returns the groups after the reload: those of the new configuration, and old ones that still
/// have processes.
fn regroup(next: &mut Config, new: &Config, all: bool) {
    let used: BTreeMap<&String, BTreeSet<&String>> = next.processes.values().fold(BTreeMap::new(), |mut used, spec| {
        used.entry(&spec.group).or_default().insert(&spec.program);
        used
    });
    let groups = used.iter().filter_map(|(name, programs)| {
        let mut group = new.groups.get(*name).or_else(|| next.groups.get(*name)).cloned()?;
        if !all {
            // A group may have programs of both.
            group.programs = programs.iter().map(|program| (*program).clone()).collect();
        }
        Some(((*name).clone(), group))
    });
    next.groups = if all { new.groups.clone() } else { groups.collect() };
}

fn listener<T: PartialEq>(old: Option<&T>, new: Option<&T>, same_place: impl Fn(&T, &T) -> bool) -> Listener {
    match (old, new) {
        (None, None) => Listener::Keep,
        (None, Some(_)) => Listener::Open,
        (Some(_), None) => Listener::Close,
        (Some(old), Some(new)) if old == new => Listener::Keep,
        (Some(old), Some(new)) if same_place(old, new) => Listener::Update,
        (Some(_), Some(_)) => Listener::Replace,
    }
}

/// Plans the change of the process of one name. A process that now belongs to another program is
/// another process.
fn steps(old: Option<&ProgramSpec>, new: Option<&ProgramSpec>, facts: Facts) -> Vec<Planned> {
    let planned = |spec: &ProgramSpec, step, keys, moved| Planned {
        name: spec.name.clone(),
        full_name: spec.full_name(),
        step,
        keys,
        moved,
    };
    let add = |spec: &ProgramSpec| planned(spec, ProcessChange::Add { start: spec.policy.autostart }, vec![], None);
    let remove = |spec: &ProgramSpec| planned(spec, ProcessChange::Remove(removal(facts.state)), vec![], None);
    let (old, new) = match (old, new) {
        (None, None) => return vec![],
        (None, Some(new)) => return vec![add(new)],
        (Some(old), None) => return vec![remove(old)],
        (Some(old), Some(new)) if old.program != new.program => return vec![remove(old), add(new)],
        (Some(old), Some(new)) => (old, new),
    };
    let differ: Vec<&ProgramKey> = PROGRAM_KEYS.iter().filter(|key| !(key.same)(old, new)).collect();
    let any = |change| differ.iter().any(|key| key.change == change);
    let step = match (any(KeyChange::Restart), any(KeyChange::Hot), any(KeyChange::Label)) {
        (true, _, _) => changed(facts, new),
        (false, true, _) => ProcessChange::UpdateHot,
        (false, false, true) => ProcessChange::Relabel,
        (false, false, false) => ProcessChange::Untouched,
    };
    let moved = (old.group != new.group).then(|| (old.group.clone(), new.group.clone()));
    vec![planned(new, step, differ.iter().map(|key| key.name).collect(), moved)]
}

/// Plans the change of a process that needs a new run for its new settings.
fn changed(facts: Facts, new: &ProgramSpec) -> ProcessChange {
    match facts.state {
        ProcState::Starting | ProcState::Running => ProcessChange::Restart,
        ProcState::Backoff | ProcState::Fatal => ProcessChange::Replace { start: new.policy.autostart },
        ProcState::Unknown if facts.gone => ProcessChange::Replace { start: new.policy.autostart },
        // Whether the old process is still alive is not known yet.
        ProcState::Unknown => ProcessChange::Store { restarts: false },
        // A reload starts only new and failed processes; STOPPED and EXITED are kept.
        ProcState::Stopped => ProcessChange::Store { restarts: facts.restart_pending },
        ProcState::Exited | ProcState::Stopping => ProcessChange::Store { restarts: facts.restart_pending },
    }
}

fn removal(state: ProcState) -> Removal {
    match state {
        ProcState::Starting | ProcState::Running => Removal::Stop,
        ProcState::Stopping => Removal::AfterStop,
        ProcState::Stopped | ProcState::Backoff | ProcState::Exited | ProcState::Fatal | ProcState::Unknown => {
            Removal::AtOnce
        }
    }
}
