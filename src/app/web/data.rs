//! Reads the data of tasks for pages from the database, on separate threads, so that only the requesting client waits.
//! Nothing is written: ended tasks that are not in the history yet are still shown there.
//!
//! One thread handles quick requests for pages; the other one summarizes whole histories and ends tasks, which may take
//! time.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    app::{
        control,
        db::{self, DbError},
        reconcile::Live,
        service::{
            Found, FoundLog, KillOptions, ServiceError, Snapshot, TaskLogRef, Tasks, last_lines, log_of, why_none,
        },
        show,
        supervised::Supervisors,
    },
    io::{
        feedfile::{FeedFile, Mark},
        store::{LockTimeout, StoreError},
        sys,
    },
    model::{
        error::ErrorKind,
        feedback::Feedback,
        query::{Filter, Page, Query},
        stats::{Stats, Summary},
        task::{HistoryRow, Status, TaskId, TaskRef},
        web::{LiveTask, Message},
    },
};

/// Lock timeout of the database for a page.
const PATIENCE: LockTimeout = LockTimeout { limit: Duration::from_secs(2), notify: None };
/// Maximum number of waiting quick requests: more than there are connections.
const QUICK: usize = 1024;
/// Maximum number of waiting slow requests, each of which may take a second.
const SLOW: usize = 64;
/// Time without requests after which the database is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Maximum age of a snapshot for live pages.
pub(super) const SHARED: Duration = Duration::from_millis(900);
/// Maximum age of a snapshot for a newly opened page.
pub(super) const FRESH: Duration = Duration::from_millis(100);
/// Summaries are recomputed after this time, or after twenty times their own cost.
const SUMS: Duration = Duration::from_secs(5);
const SUMS_COST: u32 = 20;
/// Rows per query where many are read.
const BLOCK: usize = 1000;
/// Lines of a log on a page.
const LINES: usize = 200;
/// Number of tasks whose feedback is cached.
const READ: usize = 64;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    /// Too many requests.
    #[error("too many requests are waiting for the database; try again later")]
    Busy,
    /// The database.
    #[error(transparent)]
    Tasks(#[from] ServiceError),
}

impl DataError {
    /// Returns the kind of the error.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            DataError::Busy => ErrorKind::Busy,
            // Whatever the reason, a page cannot be made of the database now.
            DataError::Tasks(_) => ErrorKind::Database,
        }
    }
}

/// What was seen of all tasks at one moment.
pub(super) struct TasksSnapshot {
    /// Time of the snapshot on the monotonic clock.
    at: Duration,
    /// Whether the database exists.
    pub(super) there: bool,
    /// All tasks.
    seen: Snapshot,
    /// Live tasks, as pages show them, in the same order as in `seen`.
    pub(super) running: Vec<LiveTask>,
}

impl TasksSnapshot {
    /// Returns the live tasks as JSON.
    pub(super) fn json(&self) -> Vec<Value> {
        let now = sys::now().wall;
        let pairs = self.seen.live().iter().zip(&self.running);
        pairs.map(|(live, task)| show::task_json(live, task.progress.map(percent), now)).collect()
    }
}

fn percent(part: f64) -> f64 {
    (part * 10_000.0).round() / 100.0
}

/// A task and its log.
pub(super) enum TaskAndLog {
    /// A live task.
    Live {
        /// Its page data.
        task: Box<LiveTask>,
        /// Its feedback.
        feedback: Option<Value>,
        /// Its last lines, or why it has no log.
        log: Result<Vec<String>, &'static str>,
        /// The task as JSON.
        json: Value,
    },
    /// An ended task.
    Ended {
        /// Its row in the history.
        row: Box<HistoryRow>,
        /// Its last lines, or why it has no log.
        log: Result<Vec<String>, &'static str>,
    },
}

/// The context of a reading thread.
pub(super) struct DataContext {
    db: PathBuf,
    tasks: Option<Tasks>,
    snapshot: Option<Arc<TasksSnapshot>>,
    /// Feedback of tasks, and how far their files were read.
    read: HashMap<i64, (Feedback, Mark)>,
    sums: Option<Sums>,
}

struct Sums {
    at: Duration,
    cost: Duration,
    summaries: Arc<Vec<Summary>>,
}

type ReadJob = Box<dyn FnOnce(&mut DataContext) + Send>;

/// A handle of both threads.
pub(super) struct Data {
    quick: DataReader,
    slow: DataReader,
}

/// A handle of one thread, which starts with the first request.
struct DataReader {
    db: PathBuf,
    waiting: usize,
    jobs: RefCell<Option<mpsc::SyncSender<ReadJob>>>,
}

impl DataReader {
    fn new(db: &Path, waiting: usize) -> DataReader {
        DataReader { db: db.to_owned(), waiting, jobs: RefCell::default() }
    }

    /// Hands a job to the thread.
    ///
    /// # Errors
    /// Too many requests are waiting, or no thread can be created. A later request may succeed.
    fn send(&self, job: ReadJob) -> Result<(), DataError> {
        let mut jobs = self.jobs.borrow_mut();
        let thread = match jobs.take() {
            Some(thread) => thread,
            None => thread(self.db.clone(), self.waiting).map_err(|_| DataError::Busy)?,
        };
        match thread.try_send(job) {
            // The thread is started again for the next request.
            Err(mpsc::TrySendError::Disconnected(_)) => return Err(DataError::Busy),
            Err(mpsc::TrySendError::Full(_)) => {
                *jobs = Some(thread);
                return Err(DataError::Busy);
            }
            Ok(()) => *jobs = Some(thread),
        }
        Ok(())
    }
}

impl Data {
    pub(super) fn new(db: &Path) -> Data {
        Data { quick: DataReader::new(db, QUICK), slow: DataReader::new(db, SLOW) }
    }

    /// Runs a quick request.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        ask(&self.quick, work).await
    }

    /// Runs a slow request.
    pub(super) async fn slow<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        ask(&self.slow, work).await
    }

    /// Returns a snapshot of at most this age.
    pub(super) async fn snapshot(&self, age: Duration) -> Result<Arc<TasksSnapshot>, DataError> {
        self.quick(move |desk| desk.snapshot(age)).await
    }
}

/// Checks that the database can be read now. It may be removed and created again later.
pub(super) fn check(db: &Path) -> Result<(), DbError> {
    db::open_to_read(db, PATIENCE).map(drop)
}

async fn ask<T: Send + 'static>(
    to: &DataReader,
    work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (send, receive) = oneshot::channel();
    let job: ReadJob = Box::new(move |desk| {
        // The client may be gone by now.
        if !send.is_closed() {
            let _ = send.send(work(desk));
        }
    });
    to.send(job)?;
    receive.await.unwrap_or(Err(DataError::Busy))
}

fn thread(db: PathBuf, waiting: usize) -> io::Result<mpsc::SyncSender<ReadJob>> {
    let (send, work) = mpsc::sync_channel::<ReadJob>(waiting);
    std::thread::Builder::new().name("pages".to_owned()).spawn(move || {
        let mut desk = DataContext { db, tasks: None, snapshot: None, read: HashMap::new(), sums: None };
        loop {
            match work.recv_timeout(IDLE) {
                Ok(job) => job(&mut desk),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    (desk.tasks, desk.snapshot, desk.read) = (None, None, HashMap::new());
                    // Until the next request.
                    match work.recv() {
                        Ok(job) => job(&mut desk),
                        Err(mpsc::RecvError) => return,
                    }
                }
            }
        }
    })?;
    Ok(send)
}

impl DataContext {
    /// Runs `work` with the database. Returns `None` if it does not exist. After an error the database is reopened.
    fn with<T>(&mut self, work: impl FnOnce(&mut Tasks) -> Result<T, ServiceError>) -> Result<Option<T>, DataError> {
        let mut tasks = match self.tasks.take().filter(Tasks::is_in_place) {
            Some(tasks) => tasks,
            None => match Tasks::open_to_read(&self.db, PATIENCE) {
                Ok(tasks) => tasks,
                Err(ServiceError::Db(DbError::Store(StoreError::Missing(_)))) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let done = work(&mut tasks)?;
        self.tasks = Some(tasks);
        Ok(Some(done))
    }

    /// Returns a snapshot of at most this age.
    pub(super) fn snapshot(&mut self, age: Duration) -> Result<Arc<TasksSnapshot>, DataError> {
        let now = sys::now();
        if let Some(known) = self.snapshot.as_ref().filter(|known| now.mono.saturating_sub(known.at) < age) {
            return Ok(Arc::clone(known));
        }
        let seen = self.with(Tasks::snapshot)?;
        let there = seen.is_some();
        let seen = seen.unwrap_or_default();
        let shown = |live: &Live| LiveTask {
            task: live.task.clone(),
            status: live.status,
            silent_for: (show::gives_beats(live) && live.status != Status::Reserved)
                .then(|| live.beat.age(now.wall).as_secs_f64()),
            progress: control::progress_of(live).map(|percent| percent / 100.0),
            message: show::note(live).map(Cow::into_owned),
        };
        let running = seen.live().iter().map(shown).collect();
        let snapshot = Arc::new(TasksSnapshot { at: now.mono, there, seen, running });
        self.snapshot = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Returns a page of the history, including unsettled ends.
    pub(super) fn history(&mut self, query: &Query) -> Result<Page<HistoryRow>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let found = self.with(|tasks| tasks.history_in(&snapshot.seen, query))?;
        Ok(found.unwrap_or(Page { rows: vec![], next: None }))
    }

    /// Returns the tasks that ended since then, newest first, at most `most`, without data that a timeline does not
    /// need.
    pub(super) fn ended_since(&mut self, since: i64, most: usize) -> Result<Page<HistoryRow>, DataError> {
        let filter = Filter { since: Some(since), ..Filter::default() };
        let mut query = Query { filter, limit: BLOCK, after: None, offset: 0, reverse: false };
        let mut all = vec![];
        loop {
            query.limit = BLOCK.min(most - all.len());
            let Page { rows, next } = self.history(&query)?;
            // Large fields are dropped, because there may be many rows.
            let bare = |row| HistoryRow { argv: None, feedback: None, options: None, supervised: None, ..row };
            all.extend(rows.into_iter().map(bare));
            if next.is_none() || all.len() >= most {
                return Ok(Page { rows: all, next });
            }
            query.after = next;
        }
    }

    /// Returns a task, or `None` if it is unknown.
    pub(super) fn task(&mut self, task: &TaskRef) -> Result<Option<TaskAndLog>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let db = self.db.clone();
        let found = self.with(|tasks| tasks.get_in(&snapshot.seen, task))?.flatten();
        let lines = |log: TaskLogRef<'_>, status: Option<Status>| match log.path(&db) {
            None => Err(why_none(status)),
            Some(path) if status.is_none() && !path.exists() => Err("its file is missing"),
            Some(_) => Ok(last_lines(&db, log, LINES)),
        };
        Ok(match found {
            None => None,
            Some(Found::Ended(row)) => {
                let log = lines((&*row).into(), None);
                Some(TaskAndLog::Ended { row, log })
            }
            Some(Found::Live(live)) => {
                let at = snapshot.running.iter().find(|shown| shown.task.id == live.task.id);
                let Some(shown) = at.cloned() else { return Ok(None) };
                let log = lines((&*live.task).into(), Some(live.status));
                let feedback = self.feedback(&live)?;
                let mut json = show::task_json(&live, shown.progress.map(percent), sys::now().wall);
                if let Some(values) = &feedback {
                    json["feedback"] = values.clone();
                }
                Some(TaskAndLog::Live { task: Box::new(shown), feedback, log, json })
            }
        })
    }

    /// Returns the feedback of a task: the stored values, updated by the new part of its file.
    fn feedback(&mut self, live: &Live) -> Result<Option<Value>, DataError> {
        let task = &live.task;
        let Some(path) = task.feedpath.as_deref().filter(|_| task.feedback && live.status != Status::Reserved) else {
            return Ok(None);
        };
        let (mut feedback, mut mark) = match self.read.remove(&task.id) {
            Some(read) => read,
            None => self.with(|tasks| tasks.stored_feedback(task.id))?.unwrap_or_default(),
        };
        if let Ok(file) = FeedFile::open(path) {
            // If the file cannot be read, the previous values are used.
            let _ = file.read_new(&mut feedback, &mut mark).and_then(|()| file.rewind(&mut feedback, &mut mark));
        }
        let values = serde_json::from_str(&feedback.to_json()).ok();
        if self.read.len() >= READ {
            self.read.clear();
        }
        self.read.insert(task.id, (feedback, mark));
        Ok(values)
    }

    /// Returns the log of a task, or `None` if there is no such task or no log.
    pub(super) fn log(&mut self, task: &TaskRef) -> Result<Option<FoundLog>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let found = self.with(|tasks| tasks.get_in(&snapshot.seen, task))?.flatten();
        Ok(found.and_then(|found| log_of(found, &self.db).ok()))
    }

    /// Whether a task is live.
    pub(super) fn lives(&mut self, task: i64) -> Result<bool, DataError> {
        Ok(self.snapshot(SHARED)?.running.iter().any(|live| live.task.id == task))
    }

    /// Returns the summaries of all names. They are cached to limit their cost.
    pub(super) fn sums(&mut self) -> Result<Arc<Vec<Summary>>, DataError> {
        let begun = sys::now().mono;
        if let Some(sums) = &self.sums
            && begun.saturating_sub(sums.at) < SUMS.max(sums.cost * SUMS_COST)
        {
            return Ok(Arc::clone(&sums.summaries));
        }
        let stats = self.stats(None)?;
        let summaries = Arc::new(stats.map(|stats| stats.summaries()).unwrap_or_default());
        let at = sys::now().mono;
        self.sums = Some(Sums { at, cost: at.saturating_sub(begun), summaries: Arc::clone(&summaries) });
        Ok(summaries)
    }

    /// Returns the summary of a name, or `None` if no run of it has ended.
    pub(super) fn summary(&mut self, name: &str) -> Result<Option<Summary>, DataError> {
        Ok(self.stats(Some(name))?.and_then(|stats| stats.summaries().into_iter().next()))
    }

    /// Returns statistics of one name or of all, including unsettled ends.
    fn stats(&mut self, name: Option<&str>) -> Result<Option<Stats>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let now = sys::now().wall.secs();
        self.with(|tasks| tasks.stats_in(&snapshot.seen, name, None, now))
    }

    /// Requests the end of a task, like `control kill`. Returns the message for the page.
    pub(super) fn kill(&mut self, task: i64) -> Message {
        let how = KillOptions { no_wait: true, ..KillOptions::default() };
        let mut killed = None;
        let done = Tasks::open(&self.db, PATIENCE).and_then(|mut tasks| {
            tasks.kill(&[TaskRef::Id(TaskId(task))], &how, &Supervisors, &mut |report| {
                killed = Some(report);
                Ok(())
            })
        });
        let (text, failed) = match (done, killed) {
            (Err(error), _) => (error.to_string(), true),
            (Ok(()), Some(Err(error))) => (error.to_string(), true),
            (Ok(()), Some(Ok(report))) => (report.to_string(), false),
            (Ok(()), None) => (String::new(), false),
        };
        Message { text, failed }
    }
}
