//! The database thread: work with the database is passed to it, so that nothing else waits for the
//! database.
//!
//! Runs are recorded by their shims. The supervisor records those whose shim is gone, stores that
//! programs are alive, deletes old runs, and answers queries of the history.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    app::service::{ClearFilter, Tasks},
    io::{
        rundir::RunDir,
        store::{Late, LockTimeout},
    },
    model::{
        program::Keep,
        query::{Filter, Query},
    },
};

/// Longest wait for a lock in this thread, which blocks no other one.
const LOCK_TIMEOUT: LockTimeout = LockTimeout { limit: Duration::from_secs(20), notify: None };

/// The same while shims may be waiting to keep an end.
const SHORT_LOCK_TIMEOUT: LockTimeout = LockTimeout { limit: Duration::from_secs(1), notify: None };

/// A job for the thread.
enum RecordJob {
    /// Store that these tasks are alive.
    Seen(Vec<i64>),
    /// Record ends that no launcher or shim will record.
    Settle,
    /// Delete old runs of these names.
    Forget(Vec<String>, Keep),
    /// Return the last runs of a name.
    History(String, u64, Box<dyn FnOnce(Result<Value, String>) + Send>),
}

/// The result of a job.
struct Served {
    /// Whether the job always writes: a database that can be read may still be locked, full or
    /// read-only.
    writes: bool,
    result: Result<(), String>,
    /// Whether something is left that will end soon and will be recorded by no other process.
    left: bool,
}

/// The connection to the thread.
pub(super) struct Records {
    path: PathBuf,
    runs: RunDir,
    /// The thread; `None` if none could be started.
    thread: Option<(mpsc::SyncSender<RecordJob>, mpsc::Receiver<Served>)>,
    /// The last error of the database.
    state: Result<(), String>,
    warned: Duration,
    /// Whether there may be something to record since the last time.
    left: bool,
}

/// Shortest interval between warnings about the database.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Jobs in the queue, at most; signs of life are dropped beyond that.
const WAITING: usize = 64;

impl Records {
    /// Starts the thread; if that fails, each job tries again. The thread ends with its
    /// [`Records`].
    pub(super) fn open(path: PathBuf, runs: RunDir) -> Records {
        let mut records = Records { path, runs, thread: None, state: Ok(()), warned: Duration::ZERO, left: false };
        records.begin();
        records
    }

    fn begin(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let (jobs, work) = mpsc::sync_channel::<RecordJob>(WAITING);
        let (done, results) = mpsc::channel();
        let (path, runs) = (self.path.clone(), self.runs.clone());
        let spawned = std::thread::Builder::new().name("database".to_owned()).spawn(move || {
            let mut opened: Option<Tasks> = None;
            for job in work {
                let writes = matches!(job, RecordJob::Seen(_));
                let served = serve(&path, &runs, &mut opened, job);
                let left = served.as_ref().is_ok_and(|left| *left) || runs.has_late();
                let result = served.map(drop);
                if result.is_err() {
                    opened = None;
                }
                if done.send(Served { writes, result, left }).is_err() {
                    return;
                }
            }
        });
        match spawned {
            Ok(_) => self.thread = Some((jobs, results)),
            Err(error) => self.state = Err(format!("cannot start its thread: {error}")),
        }
    }

    /// Passes a job to the thread; returns it if the queue is full, or if there is no thread.
    fn send(&mut self, job: RecordJob) -> Result<(), RecordJob> {
        self.begin();
        let Some((jobs, _)) = &self.thread else { return Err(job) };
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(job)) => Err(job),
            Err(mpsc::TrySendError::Disconnected(job)) => {
                // The next job starts another thread.
                self.thread = None;
                Err(job)
            }
        }
    }

    /// Returns the last error of the database.
    pub(super) fn state(&mut self) -> Result<(), String> {
        while let Some(Ok(served)) = self.thread.as_ref().map(|(_, results)| results.try_recv()) {
            self.note_result(served);
        }
        self.state.clone()
    }

    fn note_result(&mut self, Served { writes, result, left }: Served) {
        self.left |= left;
        if writes || result.is_err() {
            self.state = result;
        }
    }

    /// Waits for the first result, for at most `limit`.
    pub(super) fn wait_for_one(&mut self, limit: Duration) {
        if let Some(Ok(served)) = self.thread.as_ref().map(|(_, results)| results.recv_timeout(limit)) {
            self.note_result(served);
        }
    }

    /// Whether the last access succeeded.
    pub(super) fn was_well(&self) -> bool {
        self.state.is_ok()
    }

    /// Records that a shim could not write to the database.
    pub(super) fn trouble(&mut self, what: &str) {
        self.state = Err(what.to_owned());
    }

    /// Records that a shim wrote to the database.
    pub(super) fn works(&mut self) {
        // Earlier results are outdated by that.
        let _ = self.state();
        self.state = Ok(());
    }

    /// Returns a warning, if one is due.
    pub(super) fn warning(&mut self, now: Duration) -> Option<String> {
        let error = self.state().err()?;
        if self.warned != Duration::ZERO && now.saturating_sub(self.warned) < WARN_EVERY {
            return None;
        }
        self.warned = now;
        Some(format!("database: {error}"))
    }

    /// Stores that these tasks are alive. Without tasks the database is accessed only to find out
    /// whether it can be written again.
    pub(super) fn seen(&mut self, tasks: Vec<i64>) {
        if !tasks.is_empty() || self.state().is_err() {
            // A full queue skips this sign of life.
            let _ = self.send(RecordJob::Seen(tasks));
        }
        if std::mem::take(&mut self.left) {
            self.settle();
        }
    }

    /// Notes that a process has ended that may have left something to record.
    pub(super) fn look_again(&mut self) {
        self.left = true;
    }

    pub(super) fn settle(&mut self) {
        // A full queue is tried again the next time.
        self.left |= self.send(RecordJob::Settle).is_err();
    }

    pub(super) fn forget(&mut self, names: Vec<String>, keep: Keep) {
        let _ = self.send(RecordJob::Forget(names, keep));
    }

    pub(super) fn history(&mut self, name: String, limit: u64, reply: Box<dyn FnOnce(Result<Value, String>) + Send>) {
        if let Err(RecordJob::History(.., reply)) = self.send(RecordJob::History(name, limit, reply)) {
            reply(Err("the database is busy".to_owned()));
        }
    }
}

/// Does a job; returns true if it must be repeated soon.
fn serve(path: &Path, runs: &RunDir, opened: &mut Option<Tasks>, job: RecordJob) -> Result<bool, String> {
    let mut left = false;
    let mut work = |job: &RecordJob| -> Result<Value, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let open = match opened.take() {
            Some(tasks) => tasks,
            None => Tasks::open_or_create(path, LOCK_TIMEOUT).map_err(|error| text(&error))?,
        };
        let tasks = opened.insert(open);
        match job {
            RecordJob::Seen(seen) => {
                tasks.seen(seen).map_err(|error| text(&error))?;
                Ok(Value::Null)
            }
            RecordJob::Settle => {
                take_in(runs, tasks)?;
                left = tasks.settle().map_err(|error| text(&error))?;
                Ok(Value::Null)
            }
            RecordJob::Forget(names, keep) => {
                let (but_newest, older_than) = match keep {
                    Keep::All => return Ok(Value::Null),
                    Keep::Newest(count) => (Some(*count), None),
                    Keep::Since(age) => (None, Some(*age)),
                };
                for name in names {
                    let filter = ClearFilter { name: Some(name.clone()), older_than, but_newest };
                    tasks.clear(&filter).map_err(|error| text(&error))?;
                }
                Ok(Value::Null)
            }
            RecordJob::History(name, limit, _) => {
                let filter = Filter { name: Some(name.clone()), ..Filter::default() };
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let query = Query { filter, limit, after: None, offset: 0, reverse: false };
                let found = tasks.history(&query).map_err(|error| text(&error))?;
                Ok(json!({ "rows": found.page.rows }))
            }
        }
    };
    let result = work(&job);
    let done = result.as_ref().map(|_| left).map_err(Clone::clone);
    if let RecordJob::History(.., reply) = job {
        reply(result);
    }
    done
}

/// Records the ends that were kept while the database could not be written.
fn take_in(runs: &RunDir, tasks: &mut Tasks) -> Result<(), String> {
    if !runs.has_late() {
        return Ok(());
    }
    let taken = runs.take_late(|lines| {
        // A truncated line, or one of a newer version, is skipped.
        let late: Vec<Late> = lines.into_iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        tasks.take_in(&late, SHORT_LOCK_TIMEOUT).map_err(io::Error::other)
    });
    taken.map_err(|error| error.to_string())
}
