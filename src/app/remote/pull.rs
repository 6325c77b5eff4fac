//! The contract between the schedule of `control remote sync` and what asks the remotes: a job, its connections, what is
//! sent back, and how the requests ended. Both sides import this file, and neither imports the other.

use std::{
    collections::HashSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    app::show,
    io::store::{Batch, Node, Remote},
    model::{remote::RemoteRun, sync::QUIET, task::span, upid::Upid},
};

/// A remote that is silent for this long has failed.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// A message of a requesting thread, with the id of its remote.
pub(super) enum News {
    /// A response, or a part of one.
    Received(i64, Box<Batch>),
    /// The thread is done with the remote; or the error of the whole remote.
    Over(i64, Result<Over, String>),
}

/// How the requests to a remote ended.
pub(super) enum Over {
    /// The remote was asked.
    Done {
        /// The errors of single nodes.
        parts: Vec<String>,
        /// The nodes that were not asked.
        left: Vec<Left>,
    },
    /// The remote was silent; the progress so far.
    Silent(AskedSoFar),
}

/// A node of a remote that was not asked.
pub(super) struct Left {
    /// Which node, and why.
    pub text: String,
    /// Whether this was known before.
    pub again: bool,
}

impl Over {
    /// Done, without errors and without nodes that were not asked.
    pub(super) const CLEAN: Over = Over::Done { parts: vec![], left: vec![] };
}

/// The progress with a remote that became silent.
#[derive(Debug, Default)]
pub(super) struct AskedSoFar {
    /// Nodes that need not be asked again.
    pub done: HashSet<String>,
    /// The nodes in `done` that failed, and why.
    pub failed: Vec<(String, String)>,
    /// Nodes that did not respond.
    pub silent: HashSet<String>,
}

/// A remote to ask, and what is known of it.
pub(super) struct RemoteJob {
    pub remote: Remote,
    /// Its known nodes.
    pub nodes: Vec<Node>,
    /// Tasks that ran there at the last contact.
    pub running: Vec<Known>,
    /// Whether to fetch the whole history (`--refetch`).
    pub refetch: bool,
    /// With `refetch`: fetch only tasks that started at this time or later, in Unix seconds.
    pub since: Option<i64>,
    /// Whether the command line names the remote, so that no node is skipped.
    pub named: bool,
    /// The longest silence.
    pub limit: Duration,
    /// Whether the remote failed the last time or was silent just now.
    pub doubtful: bool,
    /// The progress before the remote became silent.
    pub begun: AskedSoFar,
    /// When the remote is asked, in Unix seconds.
    pub now: i64,
}

/// A task that ran on a remote at the last contact.
pub(super) struct Known {
    pub upid: Upid,
    /// The node that listed the task, if its UPID names another one.
    pub via: Option<String>,
}

impl Known {
    pub(super) fn of(run: &RemoteRun) -> Option<Known> {
        Some(Known { upid: run.upid.value()?.clone(), via: run.via() })
    }

    /// Returns the node to ask about the task.
    pub(super) fn node(&self) -> &str {
        self.via.as_deref().unwrap_or(self.upid.node())
    }
}

/// The receiver is gone. The data is fetched again by the next sync.
pub(super) struct Gone;

impl RemoteJob {
    /// Returns the silence after which the remote counts as doubtful.
    pub(super) fn quiet(&self) -> Duration {
        self.limit.min(QUIET)
    }
}

/// A limited number of connections. The first connection of a remote has priority over further connections of others.
pub(super) struct ConnectionPool {
    free: Mutex<Free>,
    changed: Condvar,
}

struct Free {
    count: usize,
    /// Number of remotes that wait for their first connection.
    firsts: usize,
}

/// A permit for one connection.
pub(super) struct InUse<'a>(&'a ConnectionPool);

impl ConnectionPool {
    pub(super) fn new(count: usize) -> ConnectionPool {
        ConnectionPool { free: Mutex::new(Free { count, firsts: 0 }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        // A panic elsewhere cannot leave these numbers inconsistent.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first connection of a remote.
    pub(super) fn take(&self) -> InUse<'_> {
        let mut free = self.lock();
        free.firsts += 1;
        while free.count == 0 {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        free.firsts -= 1;
        free.count -= 1;
        drop(free);
        self.changed.notify_all();
        InUse(self)
    }

    /// Waits for another connection, as long as `wanted` returns true.
    pub(super) fn take_more(&self, wanted: &dyn Fn() -> bool) -> Option<InUse<'_>> {
        let mut free = self.lock();
        while wanted() {
            if free.count > free.firsts {
                free.count -= 1;
                return Some(InUse(self));
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Whether more remotes wait for their first connection than are free.
    pub(super) fn are_short(&self) -> bool {
        let free = self.lock();
        free.firsts > free.count
    }

    /// Wakes waiting threads, so that they check whether a connection is still wanted.
    pub(super) fn nudge(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.lock().count += 1;
        self.0.changed.notify_all();
    }
}

/// Receives the responses of a requesting thread.
pub(super) struct PullSink<'a> {
    /// The id of the remote.
    pub id: i64,
    /// Sends a message to the schedule.
    pub news: &'a (dyn Fn(News) -> Result<(), Gone> + Sync),
    /// The pool to take a connection from.
    pub lines: &'a ConnectionPool,
}

impl PullSink<'_> {
    /// Sends tasks to be stored.
    pub(super) fn store(&self, batch: Batch) -> Result<(), Gone> {
        (self.news)(News::Received(self.id, Box::new(batch)))
    }
}

/// Returns the text for a remote or node that is skipped for this many seconds.
pub(super) fn skipped_text(secs: u64, failures: u32, why: &str) -> String {
    let failures = show::count(failures.into(), "failure");
    format!("is skipped for another {} after {failures} ({why})", span(Duration::from_secs(secs)))
}
