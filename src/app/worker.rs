//! Tasks inside a Rust process, such as a daemon: a closure on a thread, with a row, a log and an outcome like those of
//! a command.
//!
//! ```
//! use taskwatcher::{app::worker::Worker, io::store::{LockTimeout, Store}};
//!
//! # let dir = tempfile::tempdir()?;
//! # let db = dir.path().join("tasks.db");
//! let store = Store::open_or_create(&db, LockTimeout::USUAL)?;
//! let handle = Worker::spawn(&store, "verify", "store1", "root", |worker| {
//!     for (n, file) in ["a", "b", "c", "d"].iter().enumerate() {
//!         if worker.check_abort() {
//!             return Err("aborted"); // `control kill` was called
//!         }
//!         worker.log(&format!("checking {file}"));
//!         if *file == "c" {
//!             worker.warn("c is older than it should be"); // counted into the outcome
//!         }
//!         worker.progress((n + 1) as f64 / 4.0); // a bar in `control list`
//!     }
//!     Ok(())
//! })?;
//! println!("runs as task {}", handle.id());
//! assert_eq!(handle.join().to_string(), "WARNINGS: 1");
//!
//! // A panic is an ordinary outcome.
//! let handle = Worker::spawn(&store, "verify", "store2", "root", |_| -> Result<(), String> { panic!("no disk") })?;
//! assert_eq!(handle.join().to_string(), "ERROR: worker panicked: no disk");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A panic can only be caught if it unwinds. In a program built with `panic = "abort"` a panic ends the whole process,
//! and the next reader of the database finds all its workers lost. (The profile of the program counts, not that of
//! taskwatcher's own programs.)
//!
//! # If the process dies here
//! The row names this process as its launcher. When the process is gone, the next reader settles the row like that of
//! any launcher. The process is never signalled because of a worker: `control kill` only writes a request. A worker has
//! its log and the spool open while it runs, the database only at its start and its end.

use std::{
    fmt::Display,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    db::{self, DbError},
    engine::ClaimedTask,
    reconcile,
};
use crate::{
    io::{
        process,
        spool::{SelfReport, Spool},
        store::{LockTimeout, NewTask, Start, Store, StoreFailure},
        sys,
        tasklog::TaskLog,
    },
    model::{
        log::LOG_MAX,
        task::{Asker, End, EndedBy, KILL_AFTER, Outcome, Signal, Stored, Tick},
    },
};

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// No space in the spool for the end of the task.
    #[error("cannot reserve disk space for the end of the task beside {0:?}: {1}")]
    Spool(PathBuf, io::Error),
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

/// A task inside this process, passed to its closure. It may be shared between threads.
#[derive(Debug)]
pub struct Worker {
    task: ClaimedTask,
    db: PathBuf,
    log: Mutex<TaskLog>,
    report: Mutex<SelfReport>,
    warnings: AtomicU64,
    asked: OnceLock<Asker>,
    started: Tick,
}

/// A handle of a started worker. The worker keeps running if the handle is dropped.
#[derive(Debug)]
pub struct WorkerHandle {
    id: i64,
    upid: String,
    thread: JoinHandle<WorkerEnd>,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEnd {
    /// The outcome in the history.
    pub outcome: Outcome,
    /// What could not be stored (log lines, or the end itself), and why. Empty if everything was stored.
    pub trouble: Vec<String>,
}

impl WorkerHandle {
    /// Returns the task id.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Returns the UPID of the task, in the ten-field form.
    pub fn upid(&self) -> &str {
        &self.upid
    }

    /// Whether the worker has ended and its end is recorded.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the worker has ended and its end is recorded. Returns the outcome.
    pub fn join(self) -> Outcome {
        self.ended().outcome
    }

    /// Like [`WorkerHandle::join`], but also returns what could not be stored.
    pub fn ended(self) -> WorkerEnd {
        let lost = |_| WorkerEnd { outcome: Outcome::Unknown("its thread was lost".into()), trouble: vec![] };
        self.thread.join().unwrap_or_else(lost)
    }
}

/// Locks a mutex, ignoring poison: no thread leaves the data half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Runs a closure as a task, on its own thread. When this function returns, the row says RUNNING and is flushed to
    /// disk.
    ///
    /// `kind` is the task's name and the type in its UPID. `id` is the object that it works on, stored as `info1`.
    /// `user` is the user that it works for, such as `root@pam`, with a token after a `!` if there is one; the default
    /// realm in the UPID is `pam`. `store` determines the database; each worker opens it separately, at its start and
    /// its end.
    ///
    /// # Errors
    /// [`WorkerError`] if the closure was not run.
    pub fn spawn<F, E>(store: &Store, kind: &str, id: &str, user: &str, work: F) -> Result<WorkerHandle, WorkerError>
    where
        F: FnOnce(&Worker) -> Result<(), E> + Send + 'static,
        E: Display,
    {
        let system = |what| move |error| WorkerError::System(what, error);
        let me = process::own().map_err(system("read /proc/self/stat"))?.process;
        // This process may change its working directory before the worker ends.
        let db = std::path::absolute(store.path()).map_err(system("determine the path of the database"))?;
        let mut own = db::open(&db, LockTimeout::USUAL)?;
        let started = sys::now();
        let start = Start {
            task: NewTask {
                name: kind.to_owned(),
                info: [(!id.is_empty()).then(|| id.to_owned()), None, None],
                handle: sys::new_handle().map_err(system("make a handle"))?.to_string(),
                now: started.wall.secs(),
                unique: false,
            },
            worker: Some(id.to_owned()),
            log: true,
            options: "[]".into(),
            launcher: Some(me),
            boot_id: sys::boot_id().ok(),
            namespace: sys::namespace(),
            launcher_inode: process::inode(me.pid),
            host: sys::host_name(),
            user: user.to_owned(),
            argv: "[]".into(),
            stop_signal: Signal::TERM.to_string(),
            kill_after: KILL_AFTER.as_secs_f64(),
            cwd: std::env::current_dir().ok(),
            ..Start::default()
        };
        let spool = Spool::open(&db, true);
        let claimed = reconcile::claim(&mut own, &start, spool.as_ref().ok())?;
        let no_room = |error| WorkerError::Spool(db.clone(), error);
        let prepared = spool.and_then(|spool| spool.reserve(claimed.slot).map(|()| spool)).map_err(no_room);
        let spool = match prepared {
            Ok(spool) => spool,
            Err(error) => {
                let end = End::new(&Outcome::Error(error.to_string()), sys::now().wall, None);
                // If this fails, the task is settled when this process ends.
                let _ = own.finish(claimed.id, &claimed.upid, &end);
                return Err(error);
            }
        };
        drop(own);
        let path = claimed.log.clone().unwrap_or_default();
        let claimed = Arc::new(claimed);
        let worker = Arc::new(Worker {
            task: ClaimedTask { claimed: Arc::clone(&claimed), spool: Some(spool) },
            db,
            log: Mutex::new(TaskLog::begin(&path, LOG_MAX, false, sys::stamp)),
            report: Mutex::new(SelfReport::default()),
            warnings: AtomicU64::new(0),
            asked: OnceLock::new(),
            started,
        });
        let own = Arc::clone(&worker);
        let spawned = thread::Builder::new().name(format!("task {}", claimed.id)).spawn(move || own.run(work));
        match spawned {
            Ok(thread) => Ok(WorkerHandle { id: claimed.id, upid: claimed.upid.clone(), thread }),
            Err(error) => {
                worker.end(&Outcome::Error(format!("cannot start its thread: {error}")), None);
                Err(WorkerError::System("start a thread", error))
            }
        }
    }

    fn run<E: Display>(&self, work: impl FnOnce(&Worker) -> Result<(), E>) -> WorkerEnd {
        let done = catch_unwind(AssertUnwindSafe(|| work(self).map_err(|error| error.to_string())));
        let warnings = self.warnings.load(Ordering::Relaxed);
        // Checked once more, so that an end after a kill request is always attributed to that request.
        self.check_abort();
        let outcome = match (self.asked.get(), done) {
            (Some(asker), _) => Outcome::Error(format!("killed by {asker}")),
            (None, Ok(Ok(()))) if warnings > 0 => Outcome::Warnings(warnings),
            (None, Ok(Ok(()))) => Outcome::Ok,
            (None, Ok(Err(error))) => Outcome::Error(one_line(&error)),
            (None, Err(panic)) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Outcome::Error(format!("worker panicked: {}", one_line(&text.unwrap_or_else(|| "no message".into()))))
            }
        };
        let by = self.asked.get().map_or(EndedBy::Itself, |asker| EndedBy::Asker(asker.clone()));
        let trouble = self.end(&outcome, Some(by));
        WorkerEnd { outcome, trouble }
    }

    /// Ends the log and records the end. Returns what could not be stored.
    fn end(&self, outcome: &Outcome, by: Option<EndedBy>) -> Vec<String> {
        let now = sys::now();
        let end = End {
            warnings: self.warnings.load(Ordering::Relaxed),
            ended_by: by.map(Stored::Value),
            feedback: reconcile::feedback_of_worker(&lock(&self.report)),
            ..End::new(outcome, now.wall, Some(now.mono.saturating_sub(self.started.mono)))
        };
        // Written to the spool first, so that the outcome in the log is not lost if this process dies before the end is
        // recorded.
        self.task.note_end(&end);
        let mut log = lock(&self.log);
        let unlogged = log.close(&outcome.to_string(), now.wall.secs());
        sys::crash_point("worker.closed");
        let recorded = self.task.record_end(&self.db, None, &end);
        log.join();
        unlogged.into_iter().chain(recorded.trouble).collect()
    }

    /// Returns the task id.
    pub fn id(&self) -> i64 {
        self.task.claimed.id
    }

    /// Returns the UPID of the task.
    pub fn upid(&self) -> &str {
        &self.task.claimed.upid
    }

    /// Adds each line of a text to the log.
    pub fn log(&self, text: &str) {
        let line = format!("{}\n", text.strip_suffix('\n').unwrap_or(text));
        let mut log = lock(&self.log);
        let now = sys::now().wall.secs();
        log.take(0, line.as_bytes(), now);
    }

    /// Adds a warning to the log and counts it.
    pub fn warn(&self, text: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.log(&format!("WARN: {text}"));
    }

    /// Reports the progress, from 0.0 to 1.0. NaN (such as a share of nothing) is ignored. Does not write to the
    /// database.
    pub fn progress(&self, share: f64) {
        if !share.is_nan() {
            self.change_report(|report| report.progress = Some(share.clamp(0.0, 1.0) * 100.0));
        }
    }

    /// Sets the status text, shown in `control list`.
    pub fn status(&self, text: &str) {
        self.change_report(|report| text.clone_into(&mut report.status));
    }

    fn change_report(&self, change: impl FnOnce(&mut SelfReport)) {
        let mut report = lock(&self.report);
        change(&mut report);
        self.task.publish(&report);
    }

    /// Whether the worker was asked to end (`control kill`). It should then return soon, with any result. Cheap enough
    /// to be called in every iteration of a loop.
    pub fn check_abort(&self) -> bool {
        if self.asked.get().is_some() {
            return true;
        }
        match self.task.request() {
            Some(request) => {
                let _ = self.asked.set(request.by);
                true
            }
            None => false,
        }
    }

    /// Returns how long the worker has been running.
    pub fn elapsed(&self) -> Duration {
        sys::now().mono.saturating_sub(self.started.mono)
    }
}

/// Returns a text in one line.
fn one_line(text: &str) -> String {
    text.trim_end().replace(['\n', '\r'], " ")
}
