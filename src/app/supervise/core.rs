//! The supervisor's state, and what happens to it: machines are told what happened, and what they want is done.
//!
//! Nothing here waits. Whoever drives it brings what happened (a run's file was written, a process ended, a client asks,
//! time passed) and asks when it wants to be woken.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ffi::OsString,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    activity::Activity, hearing::Unheard, hooks::Hooks, listeners::Listeners, records::Records, reloads::OnDisk,
    waiters::Waiter,
};
use crate::{
    app::tree::Delivery,
    io::{notify, process, rundir::RunDir, sys},
    model::{
        config::Config,
        jobs::JobNumbers,
        machine::{Action, End, Event, Illegal, KillError, Machine, Rank, Sequence, Starts, StopWhy, Transition},
        program::{ProcState, ProgramSpec},
        shim::{Run, ShimCommand, SupervisorId},
        task::{Exit, Handle, Process, Signal},
        wire::{Notice, ProcessEntry, ProcessInfo, StateNotice},
    },
};

/// So many files of ended runs are kept for the next ones.
const SPARES: usize = 4 * Starts::WINDOW;
/// So many there always are, so that what runs can be started again when the disk is full.
const FEW_SPARES: usize = 4;
/// A stop that takes longer than this is said to, then again after twice the time, and so on: LOG-2 allows no more.
const STILL_WAITING: Duration = Duration::from_secs(2);
/// It is said this often at the least.
const WAITING_AGAIN: Duration = Duration::from_secs(60);
/// The numbers of jobs are written down so long after the first one that changed.
const JOBS_AFTER: Duration = Duration::from_millis(100);
/// How long an orderly end waits for history to have the ends of all runs.
const RECORDING: Duration = Duration::from_secs(3);
/// How often it is looked whether it has them.
const LOOK_AT_RECORDS: Duration = Duration::from_millis(100);
/// A signal that could not be sent is tried again after this time.
const SEND_AGAIN: Duration = Duration::from_millis(200);

/// A run of a process, as the supervisor knows it.
pub(super) struct Current {
    pub handle: String,
    /// Where its shim hears us.
    pub ear: String,
    /// The process that carries it; known once it has written its file.
    pub shim: Option<Process>,
    pub command: Option<Process>,
    /// What the machine was told of it.
    pub told: RunNews,
    /// Its shim is gone and its command lives: it is signalled and watched from here.
    pub orphan: bool,
    /// What of its notes was logged.
    pub notes: Vec<String>,
    pub denied: Option<String>,
    /// What was left of its group when it was last looked at.
    pub leftover: u32,
}

impl Current {
    pub(super) fn new(handle: String, ear: String) -> Current {
        Current {
            handle,
            ear,
            shim: None,
            command: None,
            told: RunNews::Nothing,
            orphan: false,
            notes: vec![],
            denied: None,
            leftover: 0,
        }
    }

    /// A run that a former supervisor began, and has told all of that it had heard.
    pub(super) fn taken_over(run: &Run) -> Current {
        let (notes, denied) = (run.notes.clone(), run.denied.clone());
        Current { shim: Some(run.shim), notes, denied, ..Current::new(run.handle.clone(), run.ear.clone()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunNews {
    Nothing,
    Started,
    Ended,
}

/// One process that is supervised.
pub(super) struct Proc {
    /// As it is configured.
    pub spec: ProgramSpec,
    /// As it is configured from its next run on, if that differs in what needs a new run.
    pub next: Option<ProgramSpec>,
    pub machine: Machine,
    pub run: Option<Current>,
    /// The task of its run, or of its last one.
    pub task: Option<i64>,
    /// When its last run began and ended, unix seconds; 0 if it did not.
    pub start: i64,
    pub stop: i64,
    /// Which start it is since it was last started by somebody.
    pub attempt: u32,
    /// It goes when it is down.
    pub removing: bool,
    /// What comes in its place then, and whether that is started.
    pub after: Option<(ProgramSpec, bool)>,
    /// While it is being stopped: when it is next said that we wait for it, and how long after the time before that is.
    pub waiting: Option<(Duration, Duration)>,
    /// Members of the groups of its ended runs that were left alone, alive when last looked at.
    pub left: Vec<Process>,
    /// Is there for as long as the process is, for those who follow its logs. What comes in its place goes on with it.
    pub writer: Arc<()>,
}

impl Proc {
    /// Its place in the order of starts, by the configuration that its next run has.
    fn rank(&self, name: &str) -> Rank {
        let spec = self.next.as_ref().unwrap_or(&self.spec);
        Rank { group: spec.group_priority, program: spec.policy.priority, name: name.to_owned() }
    }

    /// When it wants to be looked at, whatever happens.
    fn deadline(&self) -> Option<Duration> {
        [self.machine.deadline(), self.waiting.map(|(at, _)| at)].into_iter().flatten().min()
    }
}

/// Something to be watched for its end.
pub(super) enum Watched {
    /// The shim of this run, which is no child of ours.
    Shim(String),
    /// The command of this run, whose shim is gone.
    Command(String),
    /// One of the group of this run, whose shim and whose leader are gone.
    Member(String),
}

/// A signal to a run without a shim, for which some of its processes could not be looked at.
pub(super) struct Unsent {
    pub handle: String,
    pub delivery: Delivery,
    /// Whether the signal is for the group.
    pub group: bool,
    /// Whether the log tells of it.
    pub reported: bool,
}

/// All of it.
pub(super) struct Supervisor {
    /// Default places of logs that are taken by another user: those logs go beside the database.
    pub diverted: HashSet<PathBuf>,
    pub me: Process,
    pub boot: String,
    pub config: Config,
    pub procs: BTreeMap<String, Proc>,
    /// When which of them wants to be looked at, whatever happens; those that do not are not in it.
    pub timers: BTreeMap<String, Duration>,
    pub runs: RunDir,
    /// Runs to come that a file was already handed on to.
    pub spares: Vec<Handle>,
    pub db: PathBuf,
    /// The program that carries runs.
    pub launch: PathBuf,
    /// What programs inherit.
    pub env: Vec<OsString>,
    pub log: Activity,
    pub jobs: JobNumbers,
    /// When the numbers of jobs are written down, if they have changed: not each by itself when many start at once.
    pub jobs_due: Option<Duration>,
    pub records: Records,
    /// Which process a run is of.
    pub by_handle: HashMap<String, String>,
    /// Which run a child of ours carries.
    pub children: HashMap<i32, String>,
    /// Hooks that run, and those that are due.
    pub hooks: Hooks,
    /// What is known of the configuration on the disk.
    pub on_disk: OnDisk,
    /// Where clients come in.
    pub doors: Listeners,
    /// Starts that wait for their turn, and those that are under way.
    pub starts: Starts,
    /// Processes whose end is to be watched for; taken by the driver.
    pub to_watch: Vec<(Watched, OwnedFd)>,
    /// Runs whose end could not be watched for, for want of descriptors.
    pub unwatched: Vec<String>,
    /// Runs whose file could not be read, and when that is tried again.
    pub unheard: BTreeMap<String, Unheard>,
    pub hear_at: Option<Duration>,
    /// Signals that could not be sent to all they are meant for, and when they are sent again.
    pub unsent: Vec<Unsent>,
    pub send_at: Option<Duration>,
    pub waiters: Vec<Waiter>,
    /// What happened, for those who listen; taken by the driver.
    pub notices: Vec<(Notice, i64)>,
    pub shutdown: Option<Shutdown>,
    /// User and group that folders are made for.
    pub owner: Option<(u32, u32)>,
    /// Processes that an operator stopped and that nobody has started since (CRASH-8).
    pub stopped: BTreeSet<String>,
}

/// The end of the supervisor, under way.
pub(super) struct Shutdown {
    pub sequence: Sequence,
    /// How many signals asked for it.
    pub asked: u32,
    /// Programs run on.
    pub leave_running: bool,
    /// Until then those that carry the last runs may take their time to record how they ended, once all are down.
    pub record_until: Option<Duration>,
}

impl Supervisor {
    /// Tells a machine what happened, does what it wants, and what follows from that.
    pub(super) fn feed(&mut self, name: &str, event: Event) -> Result<(), Illegal> {
        let mut events = VecDeque::from([event]);
        let mut first = None;
        while let Some(event) = events.pop_front() {
            let now = sys::now().mono;
            let Some(proc) = self.procs.get_mut(name) else { break };
            let handled = proc.machine.handle(event, now);
            let result = match handled {
                Ok(actions) => {
                    actions.into_iter().for_each(|action| self.act(name, action, &mut events));
                    Ok(())
                }
                Err(illegal) => {
                    if let Illegal::Impossible { .. } = illegal {
                        self.log.critical(&format!("impossible: {name}: {illegal}"));
                    }
                    Err(illegal)
                }
            };
            first.get_or_insert(result);
        }
        if let Some(proc) = self.procs.get_mut(name) {
            proc.keep_left();
        }
        self.set_timer(name);
        first.unwrap_or(Ok(()))
    }

    /// Has it woken when it wants to be.
    pub(super) fn set_timer(&mut self, name: &str) {
        let wanted = self.procs.get(name).and_then(Proc::deadline);
        match wanted {
            Some(at) => self.timers.insert(name.to_owned(), at),
            None => self.timers.remove(name),
        };
    }

    fn act(&mut self, name: &str, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Spawn => {
                self.starts.push(self.procs.get(name).map_or_else(|| Rank::of(name), |proc| proc.rank(name)))
            }
            Action::Signal { signal, group } => events.extend(self.signal(name, signal, group, true)),
            Action::Kill { group } => {
                self.wake_shim(name);
                events.extend(self.signal(name, Signal::KILL, group, true));
            }
            // Said to be part of a stop, it would let the shim wait for a group that nobody ends.
            Action::Pass { signal, group } => events.extend(self.signal(name, signal, group, false)),
            Action::CheckAlive => events.extend(self.look(name)),
            Action::CleanGroup => self.clean(name, events),
            Action::Say(change) => self.say(name, &change),
            Action::Warn(warning) => {
                let word = match warning {
                    crate::model::machine::Warning::Killing(_) => "killing",
                    _ => "warning",
                };
                self.log.warn(&format!("{word}: {name}: {warning}"));
            }
        }
    }

    /// Sends a signal to the run of a process, by its shim if there is one. Gives what went wrong.
    fn signal(&mut self, name: &str, signal: Signal, group: bool, is_stop: bool) -> Option<Event> {
        let proc = self.procs.get(name)?;
        let why = proc.machine.stopping_why().filter(|_| is_stop).map(|why| why.as_cause().to_owned());
        let gone = Some(Event::KillFailed(KillError::Gone));
        if proc.run.is_none() {
            return gone;
        }
        let to = if group { "its group" } else { "its process" };
        let reason = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        self.log.debug(&format!("signal: {name}: {signal} to {to}{reason}"));
        let proc = self.procs.get(name)?;
        let Some(run) = &proc.run else { return gone };
        let word = ShimCommand::Signal { signal, group, why };
        if !run.orphan && notify::tell(&run.ear, word.to_message().as_bytes()).is_ok() {
            return None;
        }
        let handle = run.handle.clone();
        self.deliver(name, Unsent { handle, delivery: Delivery::new(signal), group, reported: false })
    }

    /// Sends a signal to a run without a shim. Processes that cannot be looked at now get the signal later.
    fn deliver(&mut self, name: &str, mut unsent: Unsent) -> Option<Event> {
        let gone = Some(Event::KillFailed(KillError::Gone));
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref()).filter(|run| run.handle == unsent.handle);
        let Some((run, command)) = run.and_then(|run| Some((run, run.command?))) else { return gone };
        let members = if unsent.group { run.group() } else { Ok(vec![]) };
        let members = members.map(|members| members.into_iter().map(|member| (member, false)).collect());
        let delivery = &mut unsent.delivery;
        delivery.send_to_group(Some((command, false)), members);
        if let Some(error) = delivery.refusal.take() {
            return Some(Event::KillFailed(KillError::Denied(error.to_string())));
        }
        let is_reached = !delivery.reached.is_empty();
        match delivery.missed.take() {
            Some(error) => {
                let signal = delivery.signal;
                if !std::mem::replace(&mut unsent.reported, true) {
                    self.log.warn(&format!("warning: {name}: {signal} was not sent yet: {error}; it is tried again"));
                }
                self.unsent.push(unsent);
                self.send_at.get_or_insert(sys::now().mono + SEND_AGAIN);
                None
            }
            None if is_reached => None,
            None => gone,
        }
    }

    /// Sends again what could not be sent.
    fn send_again(&mut self) {
        self.send_at = None;
        for unsent in std::mem::take(&mut self.unsent) {
            let Some(name) = self.by_handle.get(&unsent.handle).cloned() else { continue };
            if let Some(event) = self.deliver(&name, unsent) {
                let _ = self.feed(&name, event);
            }
        }
    }

    /// Somebody may have paused the one that carries a run; then it hears nothing.
    fn wake_shim(&self, name: &str) {
        let Some(shim) = self.procs.get(name).and_then(|proc| proc.run.as_ref()?.shim) else { return };
        if process::stat(shim.pid).is_some_and(|stat| stat.process == shim && stat.stopped) {
            // One that has ended meanwhile needs no waking.
            let _ = process::signal(shim, Signal::CONT);
        }
    }

    /// Whether the command of a process lives, asked after a moment (SM-4).
    fn look(&mut self, name: &str) -> Option<Event> {
        let proc = self.procs.get(name)?;
        let run = proc.run.as_ref()?;
        let command = run.command?;
        match process::open(command) {
            // Where that cannot be told its shim, or whoever watches it, tells of its end.
            Ok(Some(_)) | Err(_) => Some(Event::SeenAlive),
            // Its end is on its way.
            Ok(None) => None,
        }
    }

    pub(super) fn forget_run(&mut self, handle: &str) {
        // Whoever carried it may have left its end beside a database that was locked.
        self.records.look_again();
        self.by_handle.remove(handle);
        if self.spares.len() < SPARES
            && self.shutdown.is_none()
            && let Ok(next) = sys::new_handle()
            && self.runs.hand_on(handle, next.as_str()).is_ok()
        {
            self.spares.push(next);
        } else {
            self.runs.remove(handle);
            // What was handed on to it, if it never got to write it.
            self.runs.remove_spare(handle);
            if self.shutdown.is_none() {
                self.make_spares();
            }
        }
    }

    /// Sees to it that the ends of runs can be kept when neither the database nor the disk takes them.
    pub(super) fn make_room_for_late(&mut self) {
        if let Err(error) = self.runs.make_room_for_late() {
            self.log.warn(&format!("warning: no room is reserved in {}: {error}", self.runs.path().display()));
        }
    }

    /// Makes files for runs to come, if there are few.
    pub(super) fn make_spares(&mut self) {
        for _ in self.spares.len()..FEW_SPARES {
            if let Ok(next) = sys::new_handle()
                && self.runs.make_spare(next.as_str()).is_ok()
            {
                self.spares.push(next);
            }
        }
    }

    /// A child of ours ended.
    pub(super) fn child_gone(&mut self, pid: i32, exit: Exit) {
        match self.children.remove(&pid) {
            Some(handle) => self.shim_gone(&handle, Some(exit)),
            None if self.hook_gone(pid, exit) => {}
            None => self.log.info(&format!("reaped: process {pid}, which is none of ours")),
        }
    }

    /// Starts those that wait, as far as there is room and in the order of starts (SM-14).
    pub(super) fn launch_waiting(&mut self) {
        self.starts.close();
        let procs = &self.procs;
        let is_wanted = |name: &str| procs.get(name).is_some_and(|proc| proc.machine.state() == ProcState::Starting);
        for name in self.starts.take_unwanted(is_wanted) {
            if self.procs.get(&name).is_some_and(|proc| proc.machine.state() == ProcState::Stopping) {
                let cause = "it was stopped before it was started".to_owned();
                let _ = self.feed(&name, Event::SpawnFailed { cause, passing: true });
            }
        }
        while let Some(turn) = self.starts.next(sys::now().mono) {
            let name = turn.name().to_owned();
            let state = self.procs.get(&name).map(|proc| proc.machine.state());
            let failed = match state {
                Some(ProcState::Starting) => {
                    if let Some(other) = turn.overtakes() {
                        self.log
                            .warn(&format!("warning: {name}: it does not wait any longer for the start of {other}"));
                    }
                    self.number(&name);
                    self.begin_run(&name, &turn)
                }
                // It is not wanted any more.
                Some(_) | None => continue,
            };
            if let Err(cause) = failed {
                // None of these says anything of the program.
                let _ = self.feed(&name, Event::SpawnFailed { cause, passing: true });
            }
        }
    }

    /// When something is to be done, whatever happens.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let timers = self.timers.values().copied();
        let waiters = self.waiters.iter().filter_map(Waiter::deadline);
        // What the thread of the database records is looked for.
        let recording = self.shutdown.as_ref().and_then(|shutdown| shutdown.record_until);
        let recording = recording.map(|until| until.min(sys::now().mono + LOOK_AT_RECORDS));
        timers
            .chain(waiters)
            .chain(self.starts.deadline(sys::now().mono))
            .chain(recording)
            .chain(self.jobs_due)
            .chain(self.on_disk.deadline())
            .chain(self.hear_at)
            .chain(self.send_at)
            .min()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        let now = sys::now().mono;
        let due = self.timers.iter().filter(|(_, at)| **at <= now);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            if self.procs.get(&name).and_then(|proc| proc.machine.deadline()).is_some_and(|at| at <= now) {
                let _ = self.feed(&name, Event::Tick);
            }
            self.say_waiting(&name, now);
            self.set_timer(&name);
        }
        self.time_out_waiters(now);
        self.time_out_reading(now);
        if self.jobs_due.is_some_and(|due| due <= now) {
            self.write_jobs();
        }
        if self.hear_at.is_some_and(|at| at <= now) {
            self.hear_again();
        }
        if self.send_at.is_some_and(|at| at <= now) {
            self.send_again();
        }
    }

    /// Gives a process its number as a job.
    pub(super) fn number(&mut self, name: &str) {
        if self.jobs.of(name).is_none() {
            self.jobs.give(name);
            self.jobs_due.get_or_insert(sys::now().mono + JOBS_AFTER);
        }
    }

    /// Its number may be another one's.
    pub(super) fn free_number(&mut self, name: &str) {
        if self.jobs.forget(name).is_some() {
            self.jobs_due.get_or_insert(sys::now().mono + JOBS_AFTER);
        }
    }

    /// Writes the numbers of jobs down for the supervisor that comes after this one, if there is to be something for it to
    /// take over.
    pub(super) fn write_jobs(&mut self) {
        self.jobs_due = None;
        let goes_on = self.shutdown.as_ref().is_none_or(|shutdown| shutdown.leave_running || shutdown.asked > 2);
        let text = goes_on.then(|| self.jobs.to_text());
        if let Err(error) = self.runs.write_jobs(text.as_deref()) {
            self.log.warn(&format!("warning: cannot write into {}: {error}", self.runs.path().display()));
        }
    }

    /// Says of one that takes long to stop that it is waited for.
    fn say_waiting(&mut self, name: &str, now: Duration) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        let Some((_, gap)) = proc.waiting.filter(|(at, _)| *at <= now) else { return };
        let gap = (gap * 2).min(WAITING_AGAIN);
        proc.waiting = Some((now + gap, gap));
        let how = proc.machine.describe(now, "");
        self.log.info(&format!("waiting: still waiting for {}: {how}", proc.spec.full_name()));
    }

    /// A state changed: said to the log, to those who listen, and to those who wait for it.
    fn say(&mut self, name: &str, change: &Transition) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        if change.to == ProcState::Starting && !matches!(change.from, ProcState::Backoff) {
            proc.attempt = 0;
        }
        let full = proc.spec.full_name();
        let retries = proc.machine.policy().startretries;
        let task = proc.task.map(|task| format!(", task {task}")).unwrap_or_default();
        let pid = change.pid.map(|pid| format!(" (pid {pid}{task})")).unwrap_or_default();
        let stops = change.to == ProcState::Stopping;
        proc.waiting = stops.then(|| (sys::now().mono + STILL_WAITING, STILL_WAITING));
        let how = change.end.map(how_ended).unwrap_or_default();
        let left_alone = || proc.machine.describe(sys::now().mono, "");
        let cause = match &change.cause {
            Some(cause) => cause.clone(),
            None if change.to == ProcState::Unknown => left_alone(),
            None => how.clone(),
        };
        let (level, text) = match change.to {
            ProcState::Starting => (None, String::new()),
            ProcState::Running if change.from == ProcState::Starting => (Some(false), format!("running: {full}{pid}")),
            ProcState::Running => (Some(false), format!("adopted: {full}{pid}")),
            ProcState::Backoff => {
                let left = retries.map(|retries| format!(" of {retries}")).unwrap_or_default();
                let goes_on = retries.is_none_or(|retries| change.fails <= retries);
                let next = change.next_in.filter(|_| goes_on);
                let next = next.map(|next| match change.hindered {
                    true => format!("; tried again in {} s, until that passes", next.as_secs()),
                    false => format!("; try {}{left} in {} s", change.fails, next.as_secs()),
                });
                (Some(change.hindered), format!("backoff: {full}: {cause}{}", next.unwrap_or_default()))
            }
            ProcState::Stopping => {
                let why = change.why.map(StopWhy::as_cause).unwrap_or_default();
                (Some(false), format!("stopping: {full}{pid}: {why}"))
            }
            ProcState::Stopped => {
                let how = if how.is_empty() { String::new() } else { format!(": {how}") };
                (Some(false), format!("stopped: {full}{pid}{how}"))
            }
            ProcState::Exited => {
                let expected = change.expected == Some(true);
                let word = if expected { "expected" } else { "not expected" };
                (Some(!expected), format!("exited: {full}{pid}: {how}; {word}"))
            }
            ProcState::Fatal => {
                let starts = if change.fails == 1 { "start" } else { "starts" };
                (Some(true), format!("fatal: {full}: {cause}; gave up after {} {starts}", change.fails))
            }
            ProcState::Unknown => (Some(true), format!("lost: {full}{pid}: {cause}")),
        };
        let why = change.why.map(|why| format!(": {}", why.as_cause())).unwrap_or_default();
        self.log.debug(&format!("state: {full}: {} to {}{why}", change.from, change.to));
        match level {
            Some(true) => self.log.warn(&text),
            Some(false) => self.log.info(&text),
            None => {}
        }
        let notice = StateNotice {
            name: full,
            from: change.from,
            to: change.to,
            pid: change.pid.unwrap_or(0),
            task_id: self.procs.get(name).and_then(|proc| proc.task),
            exit_code: exit_code(change.end),
            exit_signal: exit_signal(change.end),
            expected: change.expected,
            fails: change.fails,
        };
        self.notices.push((Notice::State(notice), sys::now().wall.secs()));
        self.remember_stop(name, change);
        if change.to.is_down()
            && change.to != ProcState::Unknown
            && let Some(proc) = self.procs.get_mut(name)
            && let Some(next) = proc.next.take()
        {
            proc.spec = next;
        }
        self.run_hook(name, change.to);
        self.tell_waiters(name, change);
        self.advance_shutdown();
        if change.to.is_down() {
            self.leave(name);
        }
    }

    /// One that is down and is to go goes, and what is to come in its place comes.
    fn leave(&mut self, name: &str) {
        let Some(proc) = self.procs.get(name).filter(|proc| proc.removing) else { return };
        if proc.machine.state() == ProcState::Unknown {
            return;
        }
        self.take_out(name);
    }

    /// Takes away one that is down, and puts in its place what is to come there.
    pub(super) fn take_out(&mut self, name: &str) {
        let Some(proc) = self.procs.remove(name) else { return };
        self.set_timer(name);
        self.free_number(name);
        self.log.info(&format!("removed: {}", proc.spec.full_name()));
        // Nothing comes any more when the supervisor ends.
        if let Some((spec, start)) = proc.after.filter(|_| self.shutdown.is_none()) {
            self.put_in(spec, start, proc.writer);
        }
    }

    /// A new process.
    pub(super) fn insert(&mut self, spec: ProgramSpec, start: bool) {
        self.put_in(spec, start, Arc::default());
    }

    fn put_in(&mut self, spec: ProgramSpec, start: bool, writer: Arc<()>) {
        let name = spec.name.clone();
        let machine = Machine::new(spec.policy.clone(), self.config.server.restart_throttle);
        let proc = Proc {
            spec,
            next: None,
            machine,
            run: None,
            task: None,
            start: 0,
            stop: 0,
            attempt: 0,
            removing: false,
            after: None,
            waiting: None,
            left: vec![],
            writer,
        };
        self.procs.insert(name.clone(), proc);
        self.divert_logs(&name);
        if start {
            let _ = self.feed(&name, Event::Autostart);
        }
    }

    /// The end of the supervisor: tier by tier all are stopped.
    pub(super) fn shut_down(&mut self, leave_running: bool) {
        if self.shutdown.is_some() {
            return;
        }
        let words = if leave_running { "shutdown: programs run on" } else { "shutdown: stopping all programs" };
        self.log.info(words);
        self.notices.push((Notice::Shutdown, sys::now().wall.secs()));
        // There will be no more runs.
        self.spares.drain(..).for_each(|next| self.runs.remove_spare(next.as_str()));
        let ranks = self.ranks(|_| true);
        self.shutdown =
            Some(Shutdown { sequence: Sequence::stopping(ranks), asked: 0, leave_running, record_until: None });
        notify::tell_manager("STOPPING=1");
        for name in self.procs.keys().cloned().collect::<Vec<_>>() {
            let _ = self.feed(&name, Event::ShuttingDown);
        }
        self.advance_shutdown();
    }

    /// A signal asked for the end: the second one takes the programs their time, the third one ends us as we are. A
    /// client that asked before counts for nothing, so that a manager may ask once more by a signal.
    pub(super) fn asked_by_signal(&mut self) {
        let Some(shutdown) = &mut self.shutdown else { return };
        shutdown.asked += 1;
        match shutdown.asked {
            2 => {
                self.log.warn("shutdown: asked for again: SIGKILL to all programs");
                for name in self.procs.keys().cloned().collect::<Vec<_>>() {
                    let _ = self.feed(&name, Event::StopAsked { why: StopWhy::Shutdown, now: true });
                }
            }
            3 => self.log.warn("shutdown: asked for a third time: what still runs is left to the next supervisor"),
            _ => {}
        }
    }

    pub(super) fn advance_shutdown(&mut self) {
        let Some(mut shutdown) = self.shutdown.take() else { return };
        let next = match shutdown.leave_running {
            true => vec![],
            false => shutdown.sequence.next(|name| self.is_gone(name)),
        };
        self.shutdown = Some(shutdown);
        for name in next {
            let _ = self.feed(&name, Event::StopAsked { why: StopWhy::Shutdown, now: false });
        }
    }

    fn is_gone(&self, name: &str) -> bool {
        self.procs.get(name).is_none_or(|proc| proc.machine.state().is_down())
    }

    /// Whether the supervisor may end: when all are down, and history has the ends, so that who waited for us finds them
    /// there. A database that cannot be written does not hold us up; those who carry the runs wait for it.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        if shutdown.leave_running || shutdown.asked > 2 {
            return true;
        }
        if !shutdown.sequence.is_done(|name| self.is_gone(name)) {
            return false;
        }
        let now = sys::now().mono;
        let until = shutdown.record_until.unwrap_or(now + RECORDING);
        let carried = self.by_handle.iter().any(|(handle, name)| self.is_recording(handle, name));
        let kept = self.runs.has_late();
        if kept && self.shutdown.as_ref().is_some_and(|shutdown| shutdown.record_until.is_none()) {
            self.records.settle();
        }
        let recorded = !carried && !kept;
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.record_until = Some(until);
        }
        recorded || now >= until
    }

    /// Whether this run has ended, and its shim is still there.
    fn is_recording(&self, handle: &str, name: &str) -> bool {
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref());
        run.is_none_or(|run| run.handle != handle || run.told == RunNews::Ended)
    }

    /// The places of processes in the order of starts.
    pub(super) fn ranks(&self, wanted: impl Fn(&str) -> bool) -> Vec<Rank> {
        let procs = self.procs.iter().filter(|(name, _)| wanted(name));
        procs.map(|(name, proc)| proc.rank(name)).collect()
    }

    /// All processes as names find them.
    pub(super) fn catalog(&self) -> Vec<ProcessEntry> {
        let entry = |proc: &Proc| ProcessEntry {
            group: proc.spec.group.clone(),
            program: proc.spec.program.clone(),
            process: proc.spec.name.clone(),
        };
        self.procs.values().map(entry).collect()
    }

    /// All that is told of one.
    pub(super) fn info(&self, name: &str) -> Option<ProcessInfo> {
        let proc = self.procs.get(name)?;
        let now = sys::now();
        let machine = &proc.machine;
        let end = machine.last_end();
        let ended = match proc.stop {
            0 => String::new(),
            secs => sys::log_stamp(crate::model::task::Timestamp::from_secs(secs))[..19].to_owned(),
        };
        let log = |stream| self.log_path(&proc.spec, stream).map(|path| path.display().to_string());
        Some(ProcessInfo {
            group: proc.spec.group.clone(),
            name: proc.spec.name.clone(),
            program: proc.spec.program.clone(),
            process_num: proc.spec.process_num,
            state: machine.state(),
            statecode: machine.state().code(),
            description: machine.describe(now.mono, &ended),
            pid: machine.pid().unwrap_or(0),
            task_id: proc.task,
            start: proc.start,
            stop: proc.stop,
            now: now.wall.secs(),
            uptime: machine.uptime(now.mono).map_or(0, |uptime| uptime.as_secs()),
            exit_code: exit_code(end.map(|(end, _)| end)),
            exit_signal: exit_signal(end.map(|(end, _)| end)),
            core: matches!(end.and_then(|(end, _)| end.exit()), Some(Exit::Signal { core: true, .. })),
            expected: end.and_then(|(_, expected)| expected),
            spawn_error: machine.spawn_error().map(str::to_owned),
            fails: machine.fails(),
            startretries: machine.policy().startretries,
            next_try: machine.next_try(now.mono).map(|left| left.as_millis().div_ceil(1000) as u64),
            leftover: machine.leftover(),
            adopted: machine.is_adopted(),
            stdout_log: log(1),
            stderr_log: log(2),
            config_changed: proc.next.is_some(),
        })
    }
}

pub(super) fn how_ended(end: End) -> String {
    match end.exit() {
        None => "its exit status was not observed".to_owned(),
        Some(Exit::Code(code)) => format!("exit status {code}"),
        Some(Exit::Signal { signal, core }) => {
            format!("killed by {signal}{}", if core { " (core dumped)" } else { "" })
        }
    }
}

fn exit_code(end: Option<End>) -> Option<i32> {
    match end?.exit()? {
        Exit::Code(code) => Some(code),
        Exit::Signal { .. } => None,
    }
}

fn exit_signal(end: Option<End>) -> Option<String> {
    match end?.exit()? {
        Exit::Code(_) => None,
        Exit::Signal { signal, .. } => Some(signal.to_string()),
    }
}

impl Supervisor {
    /// All states into the log (SIGUSR1).
    pub(super) fn dump(&mut self) {
        self.log.info("signal: SIGUSR1: the state of all processes");
        self.count_left();
        let names: Vec<String> = self.procs.keys().cloned().collect();
        for name in names {
            let Some(info) = self.info(&name) else { continue };
            let task = info.task_id.map(|task| format!(", task {task}")).unwrap_or_default();
            self.log.info(&format!("state: {} {} {}{task}", info.full_name(), info.state, info.description));
        }
    }

    /// The files of all runs are gone: those who carry them write them again.
    pub(super) fn runs_are_gone(&mut self) {
        self.spares.clear();
        self.make_spares();
        for run in self.procs.values().filter_map(|proc| proc.run.as_ref()) {
            // One that is gone has nothing to write.
            let _ = notify::tell(&run.ear, ShimCommand::Write.to_message().as_bytes());
        }
        self.write_self();
    }

    /// Says beside the database who supervises, and where it is to be reached.
    pub(super) fn write_self(&mut self) {
        let socket = self.config.unix.as_ref().map(|unix| unix.file.clone());
        let supervisor = SupervisorId { process: self.me, boot: self.boot.clone(), socket };
        if let Err(error) = self.runs.write_self(&supervisor.to_text()) {
            self.log.warn(&format!("warning: cannot write into {}: {error}", self.runs.path().display()));
        }
    }
}
