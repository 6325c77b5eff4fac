//! Tasks inside a Rust process, as daemons run them: a closure on a thread, with a row, a log and an outcome like those
//! of a command.
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
//!             return Err("aborted"); // somebody said `control kill`
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
//! // A panic is an outcome as any other.
//! let handle = Worker::spawn(&store, "verify", "store2", "root", |_| -> Result<(), String> { panic!("no disk") })?;
//! assert_eq!(handle.join().to_string(), "ERROR: worker panicked: no disk");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A panic can only be caught where it unwinds. In a program whose own profile says `panic = "abort"` it ends the whole
//! process, and the next reader of the database finds all its workers lost. (The profile of the program counts; that
//! taskwatcher's own programs are built so means nothing for yours.)
//!
//! # If we die here
//! The row names this process as its launcher. When the process is gone, whoever reads next settles it, as that of any
//! launcher. Nothing signals the process on a worker's account: `control kill` only leaves a request. A worker has its
//! log and the spool open while it runs, the database only at its beginning and its end.

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
    reconcile, record_end,
    spec::KILL_AFTER,
};
use crate::{
    io::{
        process,
        spool::{Request, SelfReport, Spool},
        store::{Claimed, LockTimeout, NewTask, Start, Store, StoreFailure},
        sys,
        tasklog::TaskLog,
    },
    model::{
        log::LOG_MAX,
        task::{Asker, End, Outcome, Signal, Tick},
    },
};

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store broke or refused.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The place for its end.
    #[error("cannot reserve disk space for the end of the task beside {0:?}: {1}")]
    Spool(PathBuf, io::Error),
    /// The machine.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

/// A task inside this process, as its closure has it. It may be shared between threads.
#[derive(Debug)]
pub struct Worker {
    claimed: Claimed,
    db: PathBuf,
    spool: Spool,
    log: Mutex<TaskLog>,
    story: Mutex<SelfReport>,
    warnings: AtomicU64,
    asked: OnceLock<Asker>,
    started: Tick,
}

/// A worker that was started. Dropping it lets the worker go on by itself.
#[derive(Debug)]
pub struct WorkerHandle {
    id: i64,
    upid: String,
    thread: JoinHandle<WorkerEnd>,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEnd {
    /// As history has it.
    pub outcome: Outcome,
    /// What could not be kept of it (lines of its log, or even its end), and why; empty when all is well.
    pub trouble: Vec<String>,
}

impl WorkerHandle {
    /// The task's number.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// The task's UPID, in the ten-field form.
    pub fn upid(&self) -> &str {
        &self.upid
    }

    /// Whether it has ended and is recorded.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended and is recorded.
    pub fn join(self) -> Outcome {
        self.ended().outcome
    }

    /// The same, for who also wants to know what could not be kept of it.
    pub fn ended(self) -> WorkerEnd {
        let lost = |_| WorkerEnd { outcome: Outcome::Unknown("its thread was lost".into()), trouble: vec![] };
        self.thread.join().unwrap_or_else(lost)
    }
}

/// A lock on what no thread leaves half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    /// Runs a closure as a task, on a thread of its own. When this returns the row says RUNNING, durably.
    ///
    /// `kind` is the task's name and the type in its UPID; `id` says what it works on, and is the task's `info1`;
    /// `user` is who it works for, such as `root@pam`, with a token behind a `!` if one was used; in its UPID the realm
    /// is `pam` if it has none. The store says which database; each worker opens it for itself, at its beginning and
    /// its end.
    ///
    /// # Errors
    /// [`WorkerError`]; the closure was not run.
    pub fn spawn<F, E>(store: &Store, kind: &str, id: &str, user: &str, work: F) -> Result<WorkerHandle, WorkerError>
    where
        F: FnOnce(&Worker) -> Result<(), E> + Send + 'static,
        E: Display,
    {
        let system = |what| move |error| WorkerError::System(what, error);
        let me = process::own().map_err(system("read /proc/self/stat"))?.process;
        // This process may change its folder before the worker ends.
        let db = std::path::absolute(store.path()).map_err(system("tell where the database is"))?;
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
                // If even this fails, it is found when this process ends.
                let _ = own.finish(claimed.id, &claimed.upid, &end);
                return Err(error);
            }
        };
        drop(own);
        let path = claimed.log.clone().unwrap_or_default();
        let worker = Arc::new(Worker {
            claimed: claimed.clone(),
            db,
            spool,
            log: Mutex::new(TaskLog::begin(&path, LOG_MAX, false, sys::stamp)),
            story: Mutex::new(SelfReport::default()),
            warnings: AtomicU64::new(0),
            asked: OnceLock::new(),
            started,
        });
        let own = Arc::clone(&worker);
        let spawned = thread::Builder::new().name(format!("task {}", claimed.id)).spawn(move || own.run(work));
        match spawned {
            Ok(thread) => Ok(WorkerHandle { id: claimed.id, upid: claimed.upid, thread }),
            Err(error) => {
                worker.end(&Outcome::Error(format!("cannot start its thread: {error}")), None);
                Err(WorkerError::System("start a thread", error))
            }
        }
    }

    fn run<E: Display>(&self, work: impl FnOnce(&Worker) -> Result<(), E>) -> WorkerEnd {
        let done = catch_unwind(AssertUnwindSafe(|| work(self).map_err(|error| error.to_string())));
        let warnings = self.warnings.load(Ordering::Relaxed);
        // Asked once more: whoever asked for the end and sees it is told that it was for that.
        self.check_abort();
        let outcome = match (self.asked.get(), done) {
            (Some(asker), _) => Outcome::Error(format!("killed by {asker}")),
            (None, Ok(Ok(()))) if warnings > 0 => Outcome::Warnings(warnings),
            (None, Ok(Ok(()))) => Outcome::Ok,
            (None, Ok(Err(error))) => Outcome::Error(one_line(&error)),
            (None, Err(panic)) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Outcome::Error(format!(
                    "worker panicked: {}",
                    one_line(&text.unwrap_or_else(|| "without a word".into()))
                ))
            }
        };
        let by = self.asked.get().map_or_else(|| "itself".to_owned(), ToString::to_string);
        let trouble = self.end(&outcome, Some(by));
        WorkerEnd { outcome, trouble }
    }

    /// Ends the log and records the end; says what of it could not be kept.
    fn end(&self, outcome: &Outcome, by: Option<String>) -> Vec<String> {
        let now = sys::now();
        let end = End {
            warnings: self.warnings.load(Ordering::Relaxed),
            ended_by: by,
            feedback: reconcile::feedback_of_worker(&lock(&self.story)),
            ..End::new(outcome, now.wall, Some(now.mono.saturating_sub(self.started.mono)))
        };
        // Noted first, so that what the log says is proved should this process die before the end is recorded.
        let _ = self.spool.note_end(self.claimed.slot, &self.claimed.upid, &end);
        let mut log = lock(&self.log);
        let unlogged = log.close(&outcome.to_string(), now.wall.secs());
        sys::crash_point("worker.closed");
        let recorded = record_end::record(&self.db, None, Some(&self.spool), &self.claimed, &end);
        log.join();
        unlogged.into_iter().chain(recorded.trouble).collect()
    }

    /// The task's number.
    pub fn id(&self) -> i64 {
        self.claimed.id
    }

    /// The task's UPID.
    pub fn upid(&self) -> &str {
        &self.claimed.upid
    }

    /// Adds to its log: a line, or one for each line of the text.
    pub fn log(&self, text: &str) {
        let line = format!("{}\n", text.strip_suffix('\n').unwrap_or(text));
        let mut log = lock(&self.log);
        let now = sys::now().wall.secs();
        log.take(0, line.as_bytes(), now);
    }

    /// Adds a warning to its log, and counts it into the outcome.
    pub fn warn(&self, text: &str) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.log(&format!("WARN: {text}"));
    }

    /// Says how far it is, from 0.0 to 1.0; what is no number (a share of nothing) says nothing. It costs no write of
    /// the database.
    pub fn progress(&self, share: f64) {
        if !share.is_nan() {
            self.tell(|story| story.progress = Some(share.clamp(0.0, 1.0) * 100.0));
        }
    }

    /// Says what it does, in a few words for `control list`.
    pub fn status(&self, text: &str) {
        self.tell(|story| text.clone_into(&mut story.status));
    }

    fn tell(&self, change: impl FnOnce(&mut SelfReport)) {
        let mut story = lock(&self.story);
        change(&mut story);
        // Readers show a little less when the disk does not take it.
        let _ = self.spool.write_report(self.claimed.slot, &self.claimed.upid, &story);
    }

    /// Whether somebody wants it to end (`control kill`); it should then return soon, with whatever result. Cheap
    /// enough to be asked in every round of a loop.
    pub fn check_abort(&self) -> bool {
        if self.asked.get().is_some() {
            return true;
        }
        let request: Option<Request> = self.spool.request_of(self.claimed.slot, &self.claimed.upid);
        match request {
            Some(request) => {
                let _ = self.asked.set(request.by);
                true
            }
            None => false,
        }
    }

    /// How long it runs.
    pub fn elapsed(&self) -> Duration {
        sys::now().mono.saturating_sub(self.started.mono)
    }
}

/// A reason that fits one line.
fn one_line(text: &str) -> String {
    text.trim_end().replace(['\n', '\r'], " ")
}
