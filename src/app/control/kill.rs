//! Ending tasks: `kill` and `killall`.
//!
//! The launcher of a task is requested to end it; the remaining processes of an orphan are signalled directly. The
//! launcher's watch decides which signals it sends and when it kills, not this module.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::Duration,
};

use serde_json::json;

use super::{ControlError, Desk, Done, Found, args, find, system};
use crate::{
    app::{
        reconcile::{self, Live},
        show,
        spec::KILL_AFTER,
        supervised::{self, NotAsked, SupervisorReply},
        tree,
        wait::Waiter,
    },
    io::{
        child,
        inbox::REQUEST,
        notify::Bell,
        process::{self, SignalAnswer},
        spool::{Request, Spool, Use},
        store::{LockTimeout, Store, StoreError},
        sys,
    },
    model::task::{Asker, End, Outcome, Process, READER, Signal, Status, Task, TaskId, TaskRef, Timestamp, exit_code},
};

/// Time beyond the grace period in which a task must be gone and recorded.
const MARGIN: Duration = Duration::from_secs(10);
/// Interval at which the launcher's record of processes that it may not end is read.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

enum Asked {
    Done(String),
    Waits,
}

impl Desk<'_, '_> {
    pub(super) fn kill(&mut self, tasks: &[TaskRef], how: &args::KillArgs) -> Done {
        let mut store = self.open()?;
        let survey = reconcile::survey(&mut store)?;
        let mut code = 0;
        let mut asked = Vec::new();
        for task in tasks {
            match find(&store, &survey, task)? {
                Some(Found::Live(live)) => asked.push(*live),
                Some(Found::Ended(row)) => {
                    self.report(&format!("error: task {task} has ended already: {}", show::clean(&row.outcome)));
                    code = exit_code::FAILED;
                }
                None => {
                    self.report(&format!("error: there is no task {task}"));
                    code = exit_code::FAILED;
                }
            }
        }
        Ok(code.max(self.end_all(store, asked, how)?))
    }

    pub(super) fn kill_all(&mut self, wanted: &args::Killall) -> Done {
        let mut store = self.open()?;
        let survey = reconcile::survey(&mut store)?;
        let named: Vec<Live> = survey.live.into_iter().filter(|live| live.task.name == wanted.name).collect();
        if named.is_empty() {
            return Err(ControlError::NoSuchName(wanted.name.clone()));
        }
        self.end_all(store, named, &wanted.how)
    }

    /// Requests all ends first and then waits for each, so that a task that ends slowly does not delay the others.
    fn end_all(&mut self, mut store: Store, tasks: Vec<Live>, how: &args::KillArgs) -> Done {
        let mut code = 0;
        let mut waiting = Vec::new();
        let signal = if how.now { Some(Signal::KILL) } else { how.signal };
        for live in tasks {
            let asked = match self.asks_its_supervisor(&live, how) {
                Ok(true) => Ok(Asked::Waits),
                Ok(false) => self.ask(&mut store, &live, signal),
                Err(error) => Err(error),
            };
            match asked {
                Ok(Asked::Waits) => waiting.push(live),
                Ok(Asked::Done(line)) => self.print_killed(&live, &line)?,
                Err(error) => {
                    self.report(&format!("error: cannot end task {}: {error}", live.task.id));
                    code = exit_code::FAILED;
                }
            }
        }
        for live in waiting {
            if how.no_wait {
                self.print_killed(&live, "asked to end")?;
                continue;
            }
            match self.wait_for_end(&mut store, &live, signal) {
                Ok(Some(outcome)) => self.print_killed(&live, &outcome)?,
                Err(error) => {
                    self.report(&format!("error: cannot end task {}: {error}", live.task.id));
                    code = exit_code::FAILED;
                }
                Ok(None) => {
                    let line = match live.task.is_worker() {
                        true => {
                            "it was asked to end and still runs: a worker ends only when it checks for requests, and \
                             its process is not signalled"
                        }
                        false => {
                            "it was asked to end but still runs: its launcher or one of its processes does not respond"
                        }
                    };
                    self.report(&format!("error: cannot end task {}: {line}", live.task.id));
                    code = exit_code::FAILED;
                }
            }
        }
        Ok(code)
    }

    /// Whether a supervisor keeps the task running and was asked to stop it. If the task were ended directly, the
    /// supervisor would start it again.
    fn asks_its_supervisor(&self, live: &Live, how: &args::KillArgs) -> Result<bool, ControlError> {
        if how.force {
            return Ok(false);
        }
        let Some(supervised) = supervised::of_task(&self.db, &live.task)? else { return Ok(false) };
        if how.signal.is_some() {
            return Err(NotAsked::OwnSignal.into());
        }
        Ok(supervised.stop(how.now)? == SupervisorReply::Stops)
    }

    fn print_killed(&mut self, live: &Live, what: &str) -> Result<(), ControlError> {
        let id = live.task.id;
        let text = match self.json {
            true => json!({ "taskid": id, "name": live.task.name, "result": what }).to_string(),
            false => format!("task {id} ({}): {}", show::clean(&live.task.name), show::clean(what)),
        };
        self.print(&text)
    }

    fn ask(&mut self, store: &mut Store, live: &Live, signal: Option<Signal>) -> Result<Asked, ControlError> {
        let task = &live.task;
        let by = Asker::Control { user: sys::login(), pid: child::own_pid() };
        if live.status == Status::Reserved {
            let outcome = Outcome::Error(format!("reservation cancelled by {by}"));
            let end = End { ended_by: Some(by.to_string()), ..End::new(&outcome, sys::now().wall, None) };
            if store.settle(&[(task.clone(), end)])? > 0 {
                return Ok(Asked::Done("reservation cancelled".into()));
            }
            // The reservation was launched, was cancelled or expired meanwhile.
            let survey = reconcile::survey(store)?;
            return match find(store, &survey, &TaskRef::Id(TaskId(task.id)))? {
                Some(Found::Live(now)) => self.ask(store, &now, signal),
                Some(Found::Ended(row)) => Ok(Asked::Done(row.outcome)),
                None => Err(ControlError::NoSuchTask(TaskRef::Id(TaskId(task.id)))),
            };
        }
        if live.status == Status::Orphaned {
            Reach::of(&self.db, store).signal_all(&live.survivors, signal.unwrap_or_else(|| polite(live)), None)?;
            sys::crash_point("kill.asked");
            return Ok(Asked::Waits);
        }
        let (Some(launcher), Some(slot), Some(upid)) = (task.launcher, task.slot, task.upid.as_deref()) else {
            return Err(ControlError::NoLauncher);
        };
        let request = Request { by, signal };
        let failed = system("write a request to the spool");
        let spool = Spool::open(&self.db, true).map_err(&failed)?;
        let seen_here = reconcile::is_seen_here(task);
        if seen_here && let Use::Other(other) = spool.use_by(launcher.pid) {
            return Err(ControlError::OtherDatabase(launcher.pid, other));
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
        let reach = Reach::of(&self.db, store);
        // If the launcher is gone meanwhile, the wait for its end detects that.
        reach.signal_launcher(launcher, REQUEST)?;
        sys::crash_point("kill.asked");
        // A launcher that was stopped (Ctrl-Z) could not act on the request.
        reach.signal_launcher(launcher, Signal::CONT)?;
        Ok(Asked::Waits)
    }

    /// Waits until the launcher of a task in another pid namespace is gone. Returns false if it is still there at
    /// `end`.
    fn wait_for_launcher_elsewhere(
        &mut self,
        store: &mut Store,
        live: &Live,
        end: Duration,
    ) -> Result<bool, ControlError> {
        let mut waiter = Waiter::new(&self.db);
        loop {
            let survey = reconcile::survey(store)?;
            let still = survey.live.iter().find(|found| found.task.id == live.task.id);
            let Some(found) = still.filter(|found| found.status != Status::Orphaned) else { return Ok(true) };
            let left = end.saturating_sub(sys::now().mono);
            if left.is_zero() {
                return Ok(false);
            }
            waiter.wait(store, &[found], Some(left))?;
        }
    }

    /// Waits until a worker has ended and returns its outcome, or `None` if it still runs at `end`. A worker can only
    /// be asked, because its process also does other work.
    fn wait_for_worker(
        &mut self,
        store: &mut Store,
        live: &Live,
        end: Duration,
    ) -> Result<Option<String>, ControlError> {
        let mut waiter = Waiter::new(&self.db);
        let itself = TaskRef::Id(TaskId(live.task.id));
        loop {
            let survey = reconcile::survey(store)?;
            let found = match find(store, &survey, &itself)? {
                Some(Found::Live(found)) => found,
                Some(Found::Ended(row)) => return Ok(Some(row.outcome)),
                None => return Ok(Some("ended".to_owned())),
            };
            let left = end.saturating_sub(sys::now().mono);
            if left.is_zero() {
                return Ok(None);
            }
            waiter.wait(store, &[&found], Some(left))?;
        }
    }

    /// Returns the processes of a task that its launcher may not signal.
    fn refused_of(&self, task: &Task) -> Vec<Process> {
        let spool = Spool::open(&self.db, false).ok();
        let place = spool.zip(task.slot).zip(task.upid.as_deref());
        let story = place.and_then(|((spool, slot), upid)| spool.report_of(slot, upid));
        story.map(|story| story.refused).unwrap_or_default()
    }

    /// Waits for the requested end and returns its outcome, or `None` if the task does not end in time.
    fn wait_for_end(
        &mut self,
        store: &mut Store,
        live: &Live,
        signal: Option<Signal>,
    ) -> Result<Option<String>, ControlError> {
        let grace = live.task.kill_after.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let grace = grace.unwrap_or(KILL_AFTER);
        let itself = TaskRef::Id(TaskId(live.task.id));
        if live.status != Status::Orphaned {
            let end = sys::now().mono + grace + MARGIN;
            if live.task.is_worker() {
                return self.wait_for_worker(store, live, end);
            }
            if !reconcile::is_seen_here(&live.task) && !self.wait_for_launcher_elsewhere(store, live, end)? {
                return Ok(None);
            }
            let watched = live.task.launcher.filter(|_| reconcile::is_seen_here(&live.task));
            let mut ended_here = vec![];
            while !wait_for_ends(watched.as_slice(), end.min(sys::now().mono + LOOK_AGAIN))? {
                let refused = self.refused_of(&live.task);
                if refused.iter().any(|process| !ended_here.contains(process)) {
                    // This user may be allowed to end processes that the launcher may not. If not, the error names who
                    // is.
                    Reach::of(&self.db, store).signal_all(&refused, Signal::KILL, live.task.launcher)?;
                    ended_here = refused;
                }
                if sys::now().mono >= end {
                    return Ok(None);
                }
            }
            let survey = reconcile::survey(store)?;
            return match find(store, &survey, &itself)? {
                // The launcher died while it handled the request, so the request is carried out here.
                Some(Found::Live(orphan)) if orphan.status == Status::Orphaned => {
                    let polite = signal.unwrap_or_else(|| polite(&orphan));
                    Reach::of(&self.db, store).signal_all(&orphan.survivors, polite, None)?;
                    self.wait_for_end(store, &orphan, signal)
                }
                Some(Found::Live(_)) => Ok(None),
                // The launcher was already recording this end when the request arrived.
                Some(Found::Ended(row)) if matches!(row.ended_by.as_deref(), Some("itself" | READER)) => {
                    Err(ControlError::EndedBefore(show::clean(&row.outcome)))
                }
                Some(Found::Ended(row)) => Ok(Some(row.outcome)),
                None => Ok(Some("ended".to_owned())),
            };
        }
        let db = self.db.clone();
        let reach = Reach::of(&db, store);
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
        let by = Asker::Control { user: sys::login(), pid: child::own_pid() };
        let feedback = live.task.feedpath.as_deref().and_then(|path| reconcile::read_all(path).ok());
        let now = sys::now().wall;
        let ran = live.task.starttime.map(|start| Timestamp::from_secs(start).age(now));
        let end = End {
            termsignal: Some(last.to_string()),
            ended_by: Some(by.to_string()),
            feedback: feedback.as_ref().map(|last| last.feedback.to_json()),
            ..End::new(&Outcome::Error(format!("killed by {by}")), now, ran)
        };
        let outcome = end.outcome.clone();
        sys::crash_point("kill.ended");
        let patience = store.set_lock_timeout(LockTimeout::SHORT);
        let settled = store.settle(&[(live.task.clone(), end.clone())]);
        store.set_lock_timeout(patience);
        match settled {
            Ok(0) => {
                // Another reader settled the task first.
                Ok(Some(store.ended(&itself)?.map_or(outcome, |row| row.outcome)))
            }
            Ok(_) => {
                // A feedback file that could not be read is kept.
                if feedback.is_some() {
                    reconcile::remove_feedback(store, &live.task);
                }
                Ok(Some(outcome))
            }
            Err(error @ (StoreError::Busy(..) | StoreError::Full(..) | StoreError::ReadOnly(..))) => {
                // The end goes to the spool, as its launcher would have written it.
                let (Some(slot), Some(upid)) = (live.task.slot, live.task.upid.as_deref()) else {
                    return Err(error.into());
                };
                let left = Spool::open(&self.db, true).and_then(|spool| spool.leave_end(slot, upid, &end));
                left.map_err(system("write its end to the spool"))?;
                Ok(Some(outcome))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn unreachable(task: &Task, launcher: Process, source: io::Error) -> ControlError {
    let host = task.host.clone().unwrap_or_else(|| "its host".to_owned());
    ControlError::Unreachable { host, pid: launcher.pid, source }
}

fn polite(live: &Live) -> Signal {
    live.task.stop_signal.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Signal::TERM)
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
    fn signal_launcher(&self, launcher: Process, signal: Signal) -> Result<bool, ControlError> {
        let works_here = |process: Process| self.works_here(process);
        match self.signal(launcher, signal, &works_here).map_err(system("signal its launcher"))? {
            SignalAnswer::Sent => Ok(true),
            SignalAnswer::Gone => Ok(false),
            SignalAnswer::Denied => Err(ControlError::CannotEnd(self.why_not(&[launcher]))),
        }
    }

    /// Sends a signal to each process. `launcher` is the launcher of their task, if it is alive.
    fn signal_all(&self, processes: &[Process], signal: Signal, launcher: Option<Process>) -> Result<(), ControlError> {
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
            None if !denied.is_empty() => Err(ControlError::CannotEnd(self.why_not(&denied))),
            None if refused.is_empty() => Ok(()),
            None => Err(ControlError::CannotEnd(tree::describe(&refused))),
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
fn wait_for_ends(processes: &[Process], end: Duration) -> Result<bool, ControlError> {
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
