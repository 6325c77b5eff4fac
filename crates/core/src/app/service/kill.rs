//! Ending tasks.
//!
//! The launcher of a task is requested to end it; the remaining processes of an orphan are signalled directly. The
//! launcher's watch decides which signals it sends and when it kills, not this module.

use std::{
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Found, NotAsked, ServiceError, Supervision, Tasks, find};
use crate::{
    app::{
        reconcile::{self, Live},
        tree,
        wait::{WaitError, Waiter},
    },
    io::{
        bell::Bell,
        child,
        process::{self, SignalAnswer},
        spool::{Request, Spool, Use},
        store::{LockTimeout, Store, StoreError},
        sys,
    },
    model::{
        ansi::clean,
        error::ErrorKind,
        task::{
            Asker, End, EndedBy, KILL_AFTER, Outcome, Process, Signal, Status, Stored, Task, TaskId, TaskRef, Timestamp,
        },
        upid::Upid,
    },
};

/// Time beyond the grace period in which a task must be gone and recorded.
const MARGIN: Duration = Duration::from_secs(10);
/// Interval at which the launcher's record of processes that it may not end is read.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How tasks should be ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct KillOptions {
    /// The first signal; `None`: the task's own stop signal.
    pub signal: Option<Signal>,
    /// Kill at once, without the grace.
    pub now: bool,
    /// Return once the requests are delivered, not once the tasks have ended.
    pub no_wait: bool,
    /// Bypass the supervisor that keeps a task running.
    pub force: bool,
}

/// How a task was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Killed {
    /// The request was delivered; the end was not waited for.
    Asked,
    /// The task was only reserved, and its reservation was cancelled.
    Cancelled,
    /// The task ended with this outcome.
    Ended(Stored<Outcome>),
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Killed::Asked => f.write_str("asked to end"),
            Killed::Cancelled => f.write_str("reservation cancelled"),
            Killed::Ended(outcome) => outcome.fmt(f),
        }
    }
}

impl Killed {
    /// Reads the text that [`Killed`] prints.
    pub fn of_text(text: &str) -> Killed {
        match text {
            "asked to end" => Killed::Asked,
            "reservation cancelled" => Killed::Cancelled,
            outcome => Killed::Ended(Stored::read(outcome)),
        }
    }
}

/// What became of one task that should be ended.
#[derive(Debug)]
pub struct KillReport {
    /// The task, as lists name it.
    pub task: TaskRef,
    /// Its UPID, if it is a task of a Proxmox host, where tasks have no numbers.
    pub upid: Option<Upid>,
    /// Its name, or the type of a task of a Proxmox host.
    pub name: String,
    /// How it was ended.
    pub how: Killed,
}

impl fmt::Display for KillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ({}): {}", self.task, clean(&self.name), clean(&self.how.to_string()))
    }
}

/// Why a task was not ended.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// The task does not exist.
    #[error("there is no task {0}")]
    NoSuchTask(TaskRef),
    /// The task had ended before.
    #[error("task {task} has ended already: {}", clean(&outcome.text()))]
    HasEnded {
        /// The task, as it was named.
        task: TaskRef,
        /// How it ended.
        outcome: Stored<Outcome>,
    },
    /// The task could not be ended.
    #[error("cannot end task {0}: {1}")]
    Failed(TaskRef, #[source] EndError),
    /// A task of another host was asked to end and has not.
    #[error("task {0} was asked to end but still runs")]
    StillRuns(TaskRef),
}

impl KillError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            KillError::NoSuchTask(_) => ErrorKind::NotFound,
            KillError::HasEnded { .. } => ErrorKind::Conflict,
            KillError::Failed(_, error) => error.kind(),
            KillError::StillRuns(_) => ErrorKind::TimedOut,
        }
    }
}

/// Why the end of a task could not be brought about.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Waiting.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// Processes of other users, in words.
    #[error("{0}")]
    Denied(String),
    /// The task ended by itself meanwhile, so that what it left in the background is not ended either.
    #[error("already ended: {}", clean(&.0.text()))]
    EndedBefore(Stored<Outcome>),
    /// The task was reserved, and its reservation is gone.
    #[error("there is no task {0}")]
    NoSuchTask(TaskRef),
    /// A system call, and what it was for.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
    /// The task is kept running by a supervisor that was not asked.
    #[error("run of a supervised program: {0}")]
    NotAsked(#[from] NotAsked),
    /// The database is a copy of the one that the task's launcher has open, or was put in its place.
    #[error(
        "its launcher (pid {0}) works with another file, {1:?}, of which this database is a copy; name that one with --db, or signal the launcher: kill {0}"
    )]
    OtherDatabase(i32, PathBuf),
    /// No request reaches the task's launcher.
    #[error(
        "its launcher runs in another pid namespace on {host} and cannot be reached from here ({source}): run control there, where it has pid {pid}"
    )]
    Unreachable {
        /// The host, as the task knows it.
        host: String,
        /// The launcher's pid there.
        pid: i32,
        /// Why its socket could not be reached.
        source: io::Error,
    },
    /// The host of the task, in words.
    #[error("{0}")]
    OfRemote(String),
    /// The task has no launcher to ask.
    #[error("no launcher is known for this task")]
    NoLauncher,
    /// A worker did not look whether it was asked to end.
    #[error(
        "it was asked to end and still runs: a worker ends only when it checks for requests, and its process is not signalled"
    )]
    WorkerRuns,
    /// The task was asked to end and has not.
    #[error("it was asked to end but still runs: its launcher or one of its processes does not respond")]
    StillRuns,
}

impl EndError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            EndError::Store(error) => error.kind(),
            EndError::Wait(error) => error.kind(),
            EndError::Denied(_) => ErrorKind::Denied,
            EndError::NoSuchTask(_) => ErrorKind::NotFound,
            EndError::EndedBefore(_) | EndError::OtherDatabase(..) | EndError::NoLauncher => ErrorKind::Conflict,
            EndError::System(..) => ErrorKind::System,
            EndError::NotAsked(_) | EndError::Unreachable { .. } | EndError::OfRemote(_) => ErrorKind::Unreachable,
            EndError::WorkerRuns | EndError::StillRuns => ErrorKind::TimedOut,
        }
    }
}

/// Returns what makes an [`EndError`] of a failed system call.
fn system(doing: &'static str) -> impl Fn(io::Error) -> EndError {
    move |error| EndError::System(doing, error)
}

/// Takes each result as soon as it is known. An error of it ends the verb.
pub type Reports<'r> = dyn FnMut(Result<KillReport, KillError>) -> io::Result<()> + 'r;

/// Whether a task that was asked to end is worth waiting for.
enum Asked {
    Done(Killed),
    Waits,
}

impl Tasks {
    /// Ends tasks: asks for all ends first, then waits for each end, so that a stubborn task gives the others no time.
    ///
    /// # Errors
    /// When the database cannot be read, or `reports` fails. What happened to each task goes to `reports`.
    pub fn kill(
        &mut self,
        tasks: &[TaskRef],
        how: &KillOptions,
        supervision: &dyn Supervision,
        reports: &mut Reports<'_>,
    ) -> Result<(), ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let mut found = Vec::new();
        for task in tasks {
            match find(&self.store, &survey, task)? {
                Some(Found::Live(live)) => found.push(*live),
                Some(Found::Ended(row)) => {
                    reports(Err(KillError::HasEnded { task: task.clone(), outcome: row.outcome }))?
                }
                None => reports(Err(KillError::NoSuchTask(task.clone())))?,
            }
        }
        Ok(self.end_all(&found, how, supervision, reports)?)
    }

    /// Ends all tasks of a name. Returns how many there are.
    ///
    /// # Errors
    /// As those of [`Tasks::kill`].
    pub fn kill_named(
        &mut self,
        name: &str,
        how: &KillOptions,
        supervision: &dyn Supervision,
        reports: &mut Reports<'_>,
    ) -> Result<usize, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let named: Vec<Live> = survey.live.into_iter().filter(|live| live.task.name == name).collect();
        self.end_all(&named, how, supervision, reports)?;
        Ok(named.len())
    }

    fn end_all(
        &mut self,
        tasks: &[Live],
        how: &KillOptions,
        supervision: &dyn Supervision,
        reports: &mut Reports<'_>,
    ) -> io::Result<()> {
        let Tasks { db, store } = self;
        let mut ender = Ender { db, store, supervision };
        let mut waiting = Vec::new();
        let signal = if how.now { Some(Signal::KILL) } else { how.signal };
        let named = |live: &Live| TaskRef::Id(TaskId(live.task.id));
        let report = |live: &Live, how| KillReport { task: named(live), upid: None, name: live.task.name.clone(), how };
        for live in tasks {
            let asked = match ender.asks_its_supervisor(live, how) {
                Ok(true) => Ok(Asked::Waits),
                Ok(false) => ender.ask(live, signal),
                Err(error) => Err(error),
            };
            match asked {
                Ok(Asked::Waits) => waiting.push(live),
                Ok(Asked::Done(how)) => reports(Ok(report(live, how)))?,
                Err(error) => reports(Err(KillError::Failed(named(live), error)))?,
            }
        }
        for live in waiting {
            let ended = match how.no_wait {
                true => Ok(Killed::Asked),
                false => match ender.wait_for_end(live, signal) {
                    Ok(Some(outcome)) => Ok(Killed::Ended(outcome)),
                    Ok(None) if live.task.is_worker() => Err(EndError::WorkerRuns),
                    Ok(None) => Err(EndError::StillRuns),
                    Err(error) => Err(error),
                },
            };
            reports(match ended {
                Ok(how) => Ok(report(live, how)),
                Err(error) => Err(KillError::Failed(named(live), error)),
            })?;
        }
        Ok(())
    }
}

/// Ends tasks of one database.
struct Ender<'t> {
    db: &'t Path,
    store: &'t mut Store,
    supervision: &'t dyn Supervision,
}

impl Ender<'_> {
    /// Whether a supervisor keeps the task running and was asked to stop it. If the task were ended directly, the
    /// supervisor would start it again.
    fn asks_its_supervisor(&self, live: &Live, how: &KillOptions) -> Result<bool, EndError> {
        if how.force { Ok(false) } else { Ok(self.supervision.stop(self.db, &live.task, how.signal, how.now)?) }
    }

    fn ask(&mut self, live: &Live, signal: Option<Signal>) -> Result<Asked, EndError> {
        let task = &live.task;
        let by = Asker::Control { user: sys::login(), pid: child::own_pid() };
        if live.status == Status::Reserved {
            let outcome = Outcome::Error(format!("reservation cancelled by {by}"));
            let end =
                End { ended_by: Some(EndedBy::Asker(by.clone()).into()), ..End::new(&outcome, sys::now().wall, None) };
            if self.store.settle(&[(task.clone(), end)])? > 0 {
                return Ok(Asked::Done(Killed::Cancelled));
            }
            // The reservation was launched, was cancelled or expired meanwhile.
            let survey = reconcile::survey(self.store)?;
            return match find(self.store, &survey, &TaskRef::Id(TaskId(task.id)))? {
                Some(Found::Live(now)) => self.ask(&now, signal),
                Some(Found::Ended(row)) => Ok(Asked::Done(Killed::Ended(row.outcome))),
                None => Err(EndError::NoSuchTask(TaskRef::Id(TaskId(task.id)))),
            };
        }
        if live.status == Status::Orphaned {
            Reach::of(self.db, self.store).signal_all(&live.survivors, signal.unwrap_or_else(|| polite(live)), None)?;
            sys::crash_point("kill.asked");
            return Ok(Asked::Waits);
        }
        let (Some(launcher), Some(slot), Some(upid)) = (task.launcher, task.slot, task.upid()) else {
            return Err(EndError::NoLauncher);
        };
        let request = Request { by, signal };
        let failed = system("write a request to the spool");
        let spool = Spool::open(self.db, true).map_err(&failed)?;
        let seen_here = reconcile::is_seen_here(task);
        if seen_here && let Use::Other(other) = spool.use_by(launcher.pid) {
            return Err(EndError::OtherDatabase(launcher.pid, other));
        }
        // A request that cannot be delivered is not left in the spool either.
        let bell = match seen_here || task.is_worker() {
            true => None,
            false => {
                let address = spool.address_of(slot, upid).ok_or(io::ErrorKind::NotFound.into());
                let bell = address.and_then(|address| Bell::find(&address));
                Some(bell.map_err(|error| unreachable(task, launcher, error))?)
            }
        };
        spool.reserve(slot).and_then(|()| spool.leave_request(slot, upid, &request)).map_err(&failed)?;
        sys::crash_point("kill.left");
        if task.is_worker() {
            // A worker checks for requests itself. Its process is an unrelated program, to which a signal may mean
            // something else.
            return Ok(Asked::Waits);
        }
        if let Some(bell) = bell {
            bell.ring().map_err(|error| unreachable(task, launcher, error))?;
            return Ok(Asked::Waits);
        }
        let reach = Reach::of(self.db, self.store);
        // If the launcher is gone meanwhile, the wait for its end detects that.
        reach.signal_launcher(launcher, Signal::REQUEST)?;
        sys::crash_point("kill.asked");
        // A launcher that was stopped (Ctrl-Z) could not act on the request.
        reach.signal_launcher(launcher, Signal::CONT)?;
        Ok(Asked::Waits)
    }

    /// Waits until the launcher of a task in another pid namespace is gone. Returns false if it is still there at
    /// `end`.
    fn wait_for_launcher_elsewhere(&mut self, live: &Live, end: Duration) -> Result<bool, EndError> {
        let mut waiter = Waiter::new(self.db);
        loop {
            let survey = reconcile::survey(self.store)?;
            let still = survey.live.iter().find(|found| found.task.id == live.task.id);
            let Some(found) = still.filter(|found| found.status != Status::Orphaned) else { return Ok(true) };
            let left = end.saturating_sub(sys::now().mono);
            if left.is_zero() {
                return Ok(false);
            }
            waiter.wait(self.store, &[found], Some(left))?;
        }
    }

    /// Waits until a worker has ended and returns its outcome, or `None` if it still runs at `end`. A worker can only
    /// be asked, because its process also does other work.
    fn wait_for_worker(&mut self, live: &Live, end: Duration) -> Result<Option<Stored<Outcome>>, EndError> {
        let mut waiter = Waiter::new(self.db);
        let itself = TaskRef::Id(TaskId(live.task.id));
        loop {
            let survey = reconcile::survey(self.store)?;
            let found = match find(self.store, &survey, &itself)? {
                Some(Found::Live(found)) => found,
                Some(Found::Ended(row)) => return Ok(Some(row.outcome)),
                None => return Ok(Some(Stored::Text("ended".to_owned()))),
            };
            let left = end.saturating_sub(sys::now().mono);
            if left.is_zero() {
                return Ok(None);
            }
            waiter.wait(self.store, &[&found], Some(left))?;
        }
    }

    /// Returns the processes of a task that its launcher may not signal.
    fn refused_of(&self, task: &Task) -> Vec<Process> {
        let spool = Spool::open(self.db, false).ok();
        let place = spool.zip(task.slot).zip(task.upid());
        let story = place.and_then(|((spool, slot), upid)| spool.report_of(slot, upid));
        story.map(|story| story.refused).unwrap_or_default()
    }

    /// Waits for the requested end and returns its outcome, or `None` if the task does not end in time.
    fn wait_for_end(&mut self, live: &Live, signal: Option<Signal>) -> Result<Option<Stored<Outcome>>, EndError> {
        let grace = live.task.kill_after.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let grace = grace.unwrap_or(KILL_AFTER);
        let itself = TaskRef::Id(TaskId(live.task.id));
        if live.status != Status::Orphaned {
            let end = sys::now().mono + grace + MARGIN;
            if live.task.is_worker() {
                return self.wait_for_worker(live, end);
            }
            if !reconcile::is_seen_here(&live.task) && !self.wait_for_launcher_elsewhere(live, end)? {
                return Ok(None);
            }
            let watched = live.task.launcher.filter(|_| reconcile::is_seen_here(&live.task));
            let mut ended_here = vec![];
            while !wait_for_ends(watched.as_slice(), end.min(sys::now().mono + LOOK_AGAIN))? {
                let refused = self.refused_of(&live.task);
                if refused.iter().any(|process| !ended_here.contains(process)) {
                    // This user may be allowed to end processes that the launcher may not. If not, the error names who
                    // is.
                    Reach::of(self.db, self.store).signal_all(&refused, Signal::KILL, live.task.launcher)?;
                    ended_here = refused;
                }
                if sys::now().mono >= end {
                    return Ok(None);
                }
            }
            let survey = reconcile::survey(self.store)?;
            return match find(self.store, &survey, &itself)? {
                // The launcher died while it handled the request, so the request is carried out here.
                Some(Found::Live(orphan)) if orphan.status == Status::Orphaned => {
                    let polite = signal.unwrap_or_else(|| polite(&orphan));
                    Reach::of(self.db, self.store).signal_all(&orphan.survivors, polite, None)?;
                    self.wait_for_end(&orphan, signal)
                }
                Some(Found::Live(_)) => Ok(None),
                // The launcher was already recording this end when the request arrived.
                Some(Found::Ended(row))
                    if matches!(row.ended_by, Some(Stored::Value(EndedBy::Itself | EndedBy::Reader))) =>
                {
                    Err(EndError::EndedBefore(row.outcome))
                }
                Some(Found::Ended(row)) => Ok(Some(row.outcome)),
                None => Ok(Some(Stored::Text("ended".to_owned()))),
            };
        }
        self.end_orphan(live, signal, grace)
    }

    /// Ends the processes of a task whose launcher is gone, and records that.
    fn end_orphan(
        &mut self,
        live: &Live,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<Option<Stored<Outcome>>, EndError> {
        let reach = Reach::of(self.db, self.store);
        let mut last = signal.unwrap_or_else(|| polite(live));
        // The grace period applies to a polite signal. After SIGKILL the wait is always `MARGIN`.
        let mut end = sys::now().mono + if last == Signal::KILL { MARGIN } else { grace };
        let mut left = live.survivors.clone();
        while !left.is_empty() {
            if !wait_for_ends(&left, end)? {
                if last == Signal::KILL {
                    return Ok(None);
                }
                last = Signal::KILL;
                reach.signal_all(&left, last, None)?;
                end = sys::now().mono + MARGIN;
                continue;
            }
            // Processes that were created meanwhile.
            left = reconcile::survivors_of(&live.task);
            reach.signal_all(&left, last, None)?;
        }
        self.record_end(live, last).map(Some)
    }

    /// Records that this user ended a task, the last time by `signal`. Returns the outcome of the task.
    fn record_end(&mut self, live: &Live, signal: Signal) -> Result<Stored<Outcome>, EndError> {
        let itself = TaskRef::Id(TaskId(live.task.id));
        let by = Asker::Control { user: sys::login(), pid: child::own_pid() };
        let feedback = live.task.feedpath.as_deref().and_then(|path| reconcile::read_all(path).ok());
        let now = sys::now().wall;
        let ran = live.task.starttime.map(|start| Timestamp::from_secs(start).age(now));
        let end = End {
            termsignal: Some(signal.into()),
            ended_by: Some(EndedBy::Asker(by.clone()).into()),
            feedback: feedback.as_ref().map(|last| last.feedback.to_json()),
            ..End::new(&Outcome::Error(format!("killed by {by}")), now, ran)
        };
        let outcome = end.outcome.clone();
        sys::crash_point("kill.ended");
        let patience = self.store.set_lock_timeout(LockTimeout::SHORT);
        let settled = self.store.settle(&[(live.task.clone(), end.clone())]);
        self.store.set_lock_timeout(patience);
        match settled {
            Ok(0) => {
                // Another reader settled the task first.
                Ok(self.store.ended(&itself)?.map_or(outcome, |row| row.outcome))
            }
            Ok(_) => {
                // A feedback file that could not be read is kept.
                if feedback.is_some() {
                    reconcile::remove_feedback(self.store, &live.task);
                }
                Ok(outcome)
            }
            Err(error @ (StoreError::Busy(..) | StoreError::Full(..) | StoreError::ReadOnly(..))) => {
                // The end goes to the spool, as its launcher would have written it.
                let (Some(slot), Some(upid)) = (live.task.slot, live.task.upid()) else {
                    return Err(error.into());
                };
                let left = Spool::open(self.db, true).and_then(|spool| spool.leave_end(slot, upid, &end));
                left.map_err(system("write its end to the spool"))?;
                Ok(outcome)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn unreachable(task: &Task, launcher: Process, source: io::Error) -> EndError {
    let host = task.host.clone().unwrap_or_else(|| "its host".to_owned());
    EndError::Unreachable { host, pid: launcher.pid, source }
}

fn polite(live: &Live) -> Signal {
    live.task.stop_signal.as_ref().and_then(|signal| signal.value().copied()).unwrap_or(Signal::TERM)
}

/// Decides which processes may be signalled because a row names them.
///
/// The owner of a database can write any pid into it. For a database of another user, only processes are signalled that
/// this user could signal too, and two kinds that the kernel shows to belong to a task: a launcher that has the spool
/// of the database open, and descendants of a launcher.
#[derive(Debug)]
struct Reach<'a> {
    db: &'a Path,
    /// The owner of the database. `None`: the current user or root, who are trusted.
    other: Option<u32>,
}

impl<'a> Reach<'a> {
    fn of(db: &'a Path, store: &Store) -> Reach<'a> {
        Reach { db, other: store.other_owner() }
    }

    fn signal(&self, process: Process, signal: Signal, also: &dyn Fn(Process) -> bool) -> io::Result<SignalAnswer> {
        match self.other {
            Some(owner) => process::signal_for(owner, process, signal, also),
            None => {
                process::signal(process, signal).map(|sent| if sent { SignalAnswer::Sent } else { SignalAnswer::Gone })
            }
        }
    }

    /// Sends a signal to a launcher. Returns whether the launcher existed.
    fn signal_launcher(&self, launcher: Process, signal: Signal) -> Result<bool, EndError> {
        let works_here = |process: Process| self.works_here(process);
        match self.signal(launcher, signal, &works_here).map_err(system("signal its launcher"))? {
            SignalAnswer::Sent => Ok(true),
            SignalAnswer::Gone => Ok(false),
            SignalAnswer::Denied => Err(EndError::Denied(self.why_not(&[launcher]))),
        }
    }

    /// Sends a signal to each process. `launcher` is the launcher of their task, if it is alive.
    fn signal_all(&self, processes: &[Process], signal: Signal, launcher: Option<Process>) -> Result<(), EndError> {
        let launcher = launcher.filter(|launcher| match self.other {
            Some(owner) => {
                let is_theirs = process::belongs_to(launcher.pid, owner).unwrap_or(false);
                (is_theirs || self.works_here(*launcher)) && process::alive(*launcher)
            }
            None => true,
        });
        let descends =
            |process: Process| launcher.is_some_and(|launcher| process::descends_from(process.pid, launcher.pid));
        let (mut refused, mut denied) = (vec![], vec![]);
        let mut failure = None;
        for process in processes {
            match self.signal(*process, signal, &descends) {
                Ok(SignalAnswer::Gone) => {}
                Ok(SignalAnswer::Sent) if signal == Signal::KILL => {}
                // A stopped process could not act on the signal.
                Ok(SignalAnswer::Sent) => drop(self.signal(*process, Signal::CONT, &descends)),
                Ok(SignalAnswer::Denied) => denied.push(*process),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused.push(*process),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) => Err(system("signal one of its processes")(error)),
            None if !denied.is_empty() => Err(EndError::Denied(self.why_not(&denied))),
            None if refused.is_empty() => Ok(()),
            None => Err(EndError::Denied(tree::describe(&refused))),
        }
    }

    /// Whether a process has the spool of this database open.
    fn works_here(&self, process: Process) -> bool {
        Spool::open(self.db, false).is_ok_and(|spool| spool.use_by(process.pid) == Use::This)
    }

    /// Returns why these processes were not signalled, and the remedy.
    fn why_not(&self, denied: &[Process]) -> String {
        let owner = self.other.map(sys::login_of).unwrap_or_default();
        format!(
            "{}; the database belongs to {owner} and is trusted only for processes of that user: check what these are, \
             then end them with kill",
            tree::name_them(denied)
        )
    }
}

/// Waits until all of these processes are gone. Returns false if one is left at `end` on the monotonic clock.
fn wait_for_ends(processes: &[Process], end: Duration) -> Result<bool, EndError> {
    for process in processes {
        let opened = process::open(*process).map_err(system("wait for a process"))?;
        let Some(fd): Option<OwnedFd> = opened else { continue };
        loop {
            let left = end.saturating_sub(sys::now().mono);
            if child::poll_one(fd.as_fd(), Some(left)).map_err(system("wait for a process"))? {
                break;
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
