//! Waits for tasks to end, without polling.
//!
//! A running task is waited for through the pidfd of its launcher, an orphan through those of its remaining processes:
//! the kernel reports every end. A reservation has no process, and the process of a worker outlives it: their ends show
//! as writes to the database. The same applies to a task in another pid namespace, whose launcher has no pid here.
//!
//! The kernel reports the bytes of a commit a moment before the commit can be read, so after a write the database is
//! read again until no writer is active.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};

use super::reconcile::{self, Live};
use crate::{
    io::{
        child,
        feedfile::{FeedError, Follower},
        process,
        store::{LockTimeout, Store, StoreError},
        sys,
    },
    model::{
        error::ErrorKind,
        path::beside,
        task::{Status, TaskRef},
    },
};

/// Why waiting failed.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The watch on the database.
    #[error(transparent)]
    Watch(#[from] FeedError),
    /// The wait would never end, because this process runs inside the task.
    #[error("task {0} would wait for itself: this command runs inside it")]
    Itself(i64),
    /// A system call failed.
    #[error("cannot wait for the task: {0}")]
    Poll(#[from] io::Error),
}

impl WaitError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            WaitError::Store(error) => error.kind(),
            WaitError::Itself(_) => ErrorKind::Conflict,
            WaitError::Watch(_) | WaitError::Poll(_) => ErrorKind::System,
        }
    }
}

/// Waits for changes of tasks in one database. Must be created before the tasks are read, so that no change is missed.
#[derive(Debug)]
pub struct Waiter {
    writes: Follower,
    /// Whether something was written that may not have been readable yet.
    unsure: bool,
}

/// Pause before the database is read again after a write that may not be readable yet. A commit takes a few
/// milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Polling interval where the kernel does not report all writes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Waiter {
    /// Starts watching a database.
    pub fn new(db: &Path) -> Waiter {
        Waiter { writes: Follower::new(&beside(db, "-wal")), unsure: false }
    }

    /// Sleeps until one of these tasks may have changed, or `timeout` has elapsed.
    ///
    /// # Errors
    /// [`WaitError`]
    pub fn wait(&mut self, store: &mut Store, tasks: &[&Live], timeout: Option<Duration>) -> Result<(), WaitError> {
        let mut ends: Vec<OwnedFd> = Vec::new();
        let mut lapse: Option<Duration> = None;
        let mut by_writes = false;
        let (mut worker, mut apart) = (false, false);
        for live in tasks {
            if live.status == Status::Reserved {
                by_writes = true;
                let left = live.task.expires.unwrap_or(i64::MAX).saturating_sub(sys::now().wall.secs()).max(0);
                let left = Duration::from_secs(left.unsigned_abs());
                lapse = Some(lapse.map_or(left, |other| other.min(left)));
                continue;
            }
            // A worker ends, and its process keeps running.
            worker |= live.task.is_worker();
            by_writes |= worker;
            if live.status != Status::Orphaned && !reconcile::is_seen_here(&live.task) {
                // Its end shows only as a write to the database, and by the lock of its launcher.
                (by_writes, apart) = (true, true);
                continue;
            }
            let watched =
                if live.status == Status::Orphaned { &live.survivors[..] } else { live.task.launcher.as_slice() };
            for process in watched {
                match process::open(*process)? {
                    Some(fd) => ends.push(fd),
                    None => return Ok(()),
                }
            }
        }
        let writes = if by_writes { self.writes.events() } else { None };
        let again = match (by_writes, &writes) {
            (true, Some(_)) if self.unsure => Some(LOOK_AGAIN),
            // If a worker found the database locked, its end is in the spool, which is not watched. A launcher that was
            // killed in another pid namespace writes nothing.
            (true, Some(_)) => (worker || apart).then_some(LOOK_EVERY),
            (true, None) => Some(LOOK_EVERY),
            (false, _) => None,
        };
        let timeout = timeout.into_iter().chain(lapse).chain(again).min();
        let fds: Vec<BorrowedFd<'_>> = ends.iter().map(AsFd::as_fd).chain(writes).collect();
        let ready = child::poll_any(&fds, timeout)?;
        if ready.is_some_and(|index| index >= ends.len()) {
            self.writes.wait(Some(Duration::ZERO), None)?;
            self.unsure = true;
        }
        // Checked before the caller reads: the caller sees everything that is committed by now.
        self.unsure = self.unsure && !store.is_quiet();
        Ok(())
    }
}

impl Waiter {
    /// Sleeps until the database is written to, or `timeout` has elapsed.
    ///
    /// # Errors
    /// [`WaitError`]
    pub fn wait_for_writes(&mut self, timeout: Duration) -> Result<(), WaitError> {
        self.writes.wait(Some(timeout), None)?;
        Ok(())
    }
}

/// Refuses to wait for a task in which this process runs.
///
/// # Errors
/// [`WaitError::Itself`]
pub fn refuse_itself(live: &Live) -> Result<(), WaitError> {
    let launcher = live.task.launcher.filter(|_| !live.task.is_worker());
    let within = launcher
        .is_some_and(|launcher| process::alive(launcher) && process::descends_from(child::own_pid(), launcher.pid));
    if within { Err(WaitError::Itself(live.task.id)) } else { Ok(()) }
}

/// Waits until a task is no longer live. Calls `waiting` once if that takes a while.
///
/// # Errors
/// [`WaitError`]
pub fn until_ended(store: &mut Store, task: &TaskRef, waiting: &mut dyn FnMut()) -> Result<(), WaitError> {
    let mut waiter = Waiter::new(store.path());
    let mut tell_at = Some(sys::now().mono + LockTimeout::NOTICED);
    loop {
        let Some(row) = store.task(task)? else { return Ok(()) };
        let survey = reconcile::survey(store)?;
        let Some(live) = survey.live.iter().find(|live| live.task.id == row.id) else { return Ok(()) };
        refuse_itself(live)?;
        let left = tell_at.map(|at| at.saturating_sub(sys::now().mono));
        if left.is_some_and(|left| left.is_zero()) {
            tell_at = None;
            waiting();
            continue;
        }
        waiter.wait(store, &[live], left)?;
    }
}
