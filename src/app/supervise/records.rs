//! The database, away from everything that must not wait for it: a thread of its own, to which work is handed.
//!
//! Runs are recorded by their shims. What is left for the supervisor is to record those whose shim is gone (CRASH-7),
//! to say that programs live (DB-8), to forget old runs (DB-7), and to answer questions about history.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    app::{db, reconcile, upkeep},
    io::{
        rundir::RunDir,
        store::{Late, LockTimeout, Store},
        sys,
    },
    model::{
        program::Keep,
        query::{Filter, Query},
        task::Status,
    },
};

/// How long it waits for a lock: nobody waits for it.
const PATIENCE: LockTimeout = LockTimeout { limit: Duration::from_secs(20), notify: None };

/// The same while those who carry runs may wait for us, to keep an end of theirs.
const BRIEF: LockTimeout = LockTimeout { limit: Duration::from_secs(1), notify: None };
/// So many ends are recorded in one transaction.
const AT_ONCE: usize = 500;

/// What is to be done.
enum RecordJob {
    /// These tasks live.
    Seen(Vec<i64>),
    /// Record what has ended and has nobody left who would.
    Settle,
    /// Forget old runs of these names.
    Forget(Vec<String>, Keep),
    /// The last runs of a name, to be told to whoever asks.
    History(String, u64, Box<dyn FnOnce(Result<Value, String>) + Send>),
}

/// What came of a job.
struct Served {
    /// Whether it was one that writes in any case: what can be read may still be locked, full or read-only.
    writes: bool,
    result: Result<(), String>,
    /// Whether something is left that will be over before long and that nobody else will record.
    left: bool,
}

/// The way to that thread.
pub(super) struct Records {
    path: PathBuf,
    runs: RunDir,
    /// The thread, once it is there: none can be made where there is no room for one more.
    thread: Option<(mpsc::SyncSender<RecordJob>, mpsc::Receiver<Served>)>,
    /// What is wrong with the database.
    state: Result<(), String>,
    warned: Duration,
    /// Whether something may be left to be recorded since that was last done.
    left: bool,
}

/// A warning about the database comes no more often than this (DB-5).
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Jobs that wait at the most; what is only a sign of life is not worth more.
const WAITING: usize = 64;

impl Records {
    /// Starts the thread, if there is room for it; else that is tried again with each job. It ends with its [`Records`].
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
            let mut store: Option<Store> = None;
            for job in work {
                let writes = matches!(job, RecordJob::Seen(_));
                let served = serve(&path, &runs, &mut store, job);
                let left = served.as_ref().is_ok_and(|left| *left) || runs.has_late();
                let result = served.map(drop);
                if result.is_err() {
                    store = None;
                }
                if done.send(Served { writes, result, left }).is_err() {
                    return;
                }
            }
        });
        match spawned {
            Ok(_) => self.thread = Some((jobs, results)),
            Err(error) => self.state = Err(format!("cannot start a thread for it: {error}")),
        }
    }

    /// Hands a job to the thread; gives it back where that is busy, or there is none.
    fn send(&mut self, job: RecordJob) -> Result<(), RecordJob> {
        self.begin();
        let Some((jobs, _)) = &self.thread else { return Err(job) };
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Full(job)) => Err(job),
            Err(mpsc::TrySendError::Disconnected(job)) => {
                // It is begun again the next time.
                self.thread = None;
                Err(job)
            }
        }
    }

    /// What is wrong with the database; none: nothing that is known.
    pub(super) fn state(&mut self) -> Result<(), String> {
        while let Some(Ok(served)) = self.thread.as_ref().map(|(_, results)| results.try_recv()) {
            self.heed(served);
        }
        self.state.clone()
    }

    fn heed(&mut self, Served { writes, result, left }: Served) {
        self.left |= left;
        if writes || result.is_err() {
            self.state = result;
        }
    }

    /// Waits for the end of the first job, not for long.
    pub(super) fn wait_for_one(&mut self, limit: Duration) {
        if let Some(Ok(served)) = self.thread.as_ref().map(|(_, results)| results.recv_timeout(limit)) {
            self.heed(served);
        }
    }

    /// Whether nothing was wrong when it was last looked at.
    pub(super) fn was_well(&self) -> bool {
        self.state.is_ok()
    }

    /// A shim could not write to it.
    pub(super) fn trouble(&mut self, what: &str) {
        self.state = Err(what.to_owned());
    }

    /// A shim wrote to it.
    pub(super) fn works(&mut self) {
        // What was heard before is older than that.
        let _ = self.state();
        self.state = Ok(());
    }

    /// A warning, if one is due.
    pub(super) fn warning(&mut self, now: Duration) -> Option<String> {
        let error = self.state().err()?;
        if self.warned != Duration::ZERO && now.saturating_sub(self.warned) < WARN_EVERY {
            return None;
        }
        self.warned = now;
        Some(format!("database: {error}"))
    }

    /// Says that these live. Where none does, it is asked for nothing, unless it is to be known whether it can be written
    /// again.
    pub(super) fn seen(&mut self, tasks: Vec<i64>) {
        if !tasks.is_empty() || self.state().is_err() {
            // One that is busy hears of it the next time.
            let _ = self.send(RecordJob::Seen(tasks));
        }
        if std::mem::take(&mut self.left) {
            self.settle();
        }
    }

    /// Somebody has ended who may have left something to be recorded: that is done the next time.
    pub(super) fn look_again(&mut self) {
        self.left = true;
    }

    pub(super) fn settle(&mut self) {
        // One that is busy is asked again the next time.
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

/// Does it; true if there is to be another look soon.
fn serve(path: &Path, runs: &RunDir, store: &mut Option<Store>, job: RecordJob) -> Result<bool, String> {
    let mut left = false;
    let mut work = |job: &RecordJob| -> Result<Value, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let open = match store.take() {
            Some(store) => store,
            None => db::open_or_create(path, PATIENCE).map_err(|error| text(&error))?,
        };
        let store = store.insert(open);
        match job {
            RecordJob::Seen(tasks) => {
                store.seen(tasks, sys::now().wall.secs()).map_err(|error| text(&error))?;
                Ok(Value::Null)
            }
            RecordJob::Settle => {
                take_in(runs, store)?;
                let survey = reconcile::survey(store).map_err(|error| text(&error))?;
                // Its launcher is dead, and something of it lives on; or it could not be written down just now.
                left = survey.live.iter().any(|live| live.status == Status::Orphaned)
                    || !survey.settled && !survey.ended.is_empty();
                Ok(Value::Null)
            }
            RecordJob::Forget(names, keep) => {
                let (newest, before) = match keep {
                    Keep::All => return Ok(Value::Null),
                    Keep::Newest(count) => (Some(*count), None),
                    Keep::Since(age) => {
                        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
                        (None, Some(sys::now().wall.secs().saturating_sub(age)))
                    }
                };
                for name in names {
                    upkeep::forget_runs(store, name, newest, before).map_err(|error| text(&error))?;
                }
                Ok(Value::Null)
            }
            RecordJob::History(name, limit, _) => {
                reconcile::survey(store).map_err(|error| text(&error))?;
                let filter = Filter { name: Some(name.clone()), ..Filter::default() };
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let query = Query { filter, limit, after: None, offset: 0, reverse: false };
                let page = store.page(&query).map_err(|error| text(&error))?;
                Ok(json!({ "rows": page.rows }))
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
fn take_in(runs: &RunDir, store: &mut Store) -> Result<(), String> {
    if !runs.has_late() {
        return Ok(());
    }
    store.set_patience(BRIEF);
    let taken = runs.take_late(|lines| {
        // A line that was cut off, or that of a newer version, is passed over.
        let late: Vec<Late> = lines.into_iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
        late.chunks(AT_ONCE).try_for_each(|some| store.take_in(some).map(drop)).map_err(io::Error::other)
    });
    store.set_patience(PATIENCE);
    taken.map_err(|error| error.to_string())
}
