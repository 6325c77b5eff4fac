//! The database, away from everything that must not wait for it: a thread of its own, to which work is handed.
//!
//! Runs are recorded by their carriers. What is left for the supervisor is to record those whose carrier is gone (CRASH-7),
//! to say that programs live (DB-8), to forget old runs (DB-7), and to answer questions about history.

use std::{path::PathBuf, sync::mpsc, time::Duration};

use serde_json::{Value, json};

use crate::{
    app::{db, truth, upkeep},
    io::{
        store::{Patience, Store},
        sys,
    },
    model::{
        program::Keep,
        query::{Filter, Query},
        task::Status,
    },
};

/// How long it waits for a lock: nobody waits for it.
const PATIENCE: Patience = Patience { limit: Duration::from_secs(20), notify: None };

/// What is to be done.
enum Job {
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
    jobs: mpsc::SyncSender<Job>,
    results: mpsc::Receiver<Served>,
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
    /// Starts the thread. It ends with its [`Records`].
    pub(super) fn open(path: PathBuf) -> Records {
        let (jobs, work) = mpsc::sync_channel::<Job>(WAITING);
        let (done, results) = mpsc::channel();
        std::thread::spawn(move || {
            let mut store: Option<Store> = None;
            for job in work {
                let writes = matches!(job, Job::Seen(_));
                let served = serve(&path, &mut store, job);
                let left = matches!(served, Ok(true));
                let result = served.map(drop);
                if result.is_err() {
                    store = None;
                }
                if done.send(Served { writes, result, left }).is_err() {
                    return;
                }
            }
        });
        Records { jobs, results, state: Ok(()), warned: Duration::ZERO, left: false }
    }

    /// What is wrong with the database; none: nothing that is known.
    pub(super) fn state(&mut self) -> Result<(), String> {
        while let Ok(served) = self.results.try_recv() {
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
        if let Ok(served) = self.results.recv_timeout(limit) {
            self.heed(served);
        }
    }

    /// Whether nothing was wrong when it was last looked at.
    pub(super) fn was_well(&self) -> bool {
        self.state.is_ok()
    }

    /// A carrier could not write to it.
    pub(super) fn trouble(&mut self, what: &str) {
        self.state = Err(what.to_owned());
    }

    /// A carrier wrote to it.
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
            let _ = self.jobs.try_send(Job::Seen(tasks));
        }
        if std::mem::take(&mut self.left) {
            self.settle();
        }
    }

    /// Somebody has ended who may have left something to be recorded: that is done the next time.
    pub(super) fn look_again(&mut self) {
        self.left = true;
    }

    pub(super) fn settle(&self) {
        // One that is busy is asked again the next time, or the next reader does it.
        let _ = self.jobs.try_send(Job::Settle);
    }

    pub(super) fn forget(&self, names: Vec<String>, keep: Keep) {
        let _ = self.jobs.try_send(Job::Forget(names, keep));
    }

    pub(super) fn history(&self, name: String, limit: u64, reply: Box<dyn FnOnce(Result<Value, String>) + Send>) {
        if let Err(mpsc::TrySendError::Full(job) | mpsc::TrySendError::Disconnected(job)) =
            self.jobs.try_send(Job::History(name, limit, reply))
            && let Job::History(.., reply) = job
        {
            reply(Err("the database is busy".to_owned()));
        }
    }
}

/// Does it; true if there is to be another look soon.
fn serve(path: &std::path::Path, store: &mut Option<Store>, job: Job) -> Result<bool, String> {
    let mut left = false;
    let mut work = |job: &Job| -> Result<Value, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let open = match store.take() {
            Some(store) => store,
            None => db::open_or_create(path, PATIENCE).map_err(|error| text(&error))?,
        };
        let store = store.insert(open);
        match job {
            Job::Seen(tasks) => {
                store.seen(tasks, sys::now().wall.secs()).map_err(|error| text(&error))?;
                Ok(Value::Null)
            }
            Job::Settle => {
                let survey = truth::survey(store).map_err(|error| text(&error))?;
                // Its launcher is dead, and something of it lives on; or it could not be written down just now.
                left = survey.live.iter().any(|live| live.status == Status::Orphaned)
                    || !survey.settled && !survey.ended.is_empty();
                Ok(Value::Null)
            }
            Job::Forget(names, keep) => {
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
            Job::History(name, limit, _) => {
                truth::survey(store).map_err(|error| text(&error))?;
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
    if let Job::History(.., reply) = job {
        reply(result);
    }
    done
}
