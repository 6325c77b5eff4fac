//! What pages tell of tasks, read from the database on threads of its own: nobody but who asked waits for it. Nothing is
//! written: what has ended and is not in history yet is shown there all the same.
//!
//! One thread answers what is quick, for pages that are looked at; the other sums up whole histories and ends tasks, which
//! may take its time.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    app::{
        control::{self, Found, VerbOutput},
        control_args::{ControlArgs, Kill, KillArgs, Verb},
        db::{self, DbError},
        log,
        reconcile::{self, Live, Survey},
        show,
    },
    io::{
        feedfile::{FeedFile, Mark},
        store::{LockTimeout, Store, StoreError},
        sys,
    },
    model::{
        feedback::Feedback,
        query::{Cursor, Filter, Page, Query},
        stats::{EndedRun, Stats, Summary},
        task::{Class, HistoryRow, READER, Status, TaskId, TaskRef},
        web::{LiveTask, Message},
    },
};

/// How long a page waits for the database.
const PATIENCE: LockTimeout = LockTimeout { limit: Duration::from_secs(2), notify: None };
/// Quick questions that wait at the most: more than there are connections.
const QUICK: usize = 1024;
/// Others that do: each may take a second.
const SLOW: usize = 64;
/// A database that nobody asks for so long is let go of.
const IDLE: Duration = Duration::from_secs(10);
/// Live pages share what was seen within this time.
pub(super) const SHARED: Duration = Duration::from_millis(900);
/// A page that somebody opens is of what was seen within this time.
pub(super) const FRESH: Duration = Duration::from_millis(100);
/// Sums are made anew after this, or twenty times as long as they took.
const SUMS: Duration = Duration::from_secs(5);
const SUMS_COST: u32 = 20;
/// Rows that are read at once where many are wanted.
const BLOCK: usize = 1000;
/// What is not in history yet comes behind all that ended in the same second: no row of history has such a number.
const UNSETTLED: i64 = 1 << 52;
/// Lines of a log on a page.
const LINES: usize = 200;
/// Tasks whose feedback is remembered as far as it was read.
const READ: usize = 64;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    /// Too many ask.
    #[error("too many requests are waiting for the database; try again later")]
    Busy,
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was seen of all tasks at one moment.
pub(super) struct TasksSnapshot {
    /// When, on the monotonic clock.
    at: Duration,
    /// Whether there is a database.
    pub(super) there: bool,
    /// All that is known.
    survey: Survey,
    /// Those that have not ended, as pages show them; in the same order as in `survey`.
    pub(super) running: Vec<LiveTask>,
    /// Those that have, and that history does not have yet.
    unsettled: Vec<HistoryRow>,
}

impl TasksSnapshot {
    /// What has not ended, as programs read it.
    pub(super) fn json(&self) -> Vec<Value> {
        let now = sys::now().wall;
        let pairs = self.survey.live.iter().zip(&self.running);
        pairs.map(|(live, task)| show::task_json(live, task.progress.map(percent), now)).collect()
    }
}

fn percent(part: f64) -> f64 {
    (part * 10_000.0).round() / 100.0
}

/// One task and what belongs to it.
pub(super) enum TaskAndLog {
    /// It has not ended.
    Live {
        /// The task.
        task: Box<LiveTask>,
        /// What it told.
        feedback: Option<Value>,
        /// Its last lines, or why it has no log.
        log: Result<Vec<String>, &'static str>,
        /// All as programs read it.
        json: Value,
    },
    /// It has.
    Ended {
        /// Its row.
        row: Box<HistoryRow>,
        /// Its last lines, or why it has no log.
        log: Result<Vec<String>, &'static str>,
    },
}

/// The log of a task, to be read.
pub(super) struct TaskLogView {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its task, while that has not ended.
    pub(super) live: Option<i64>,
}

/// Where a thread works.
pub(super) struct DataContext {
    db: PathBuf,
    store: Option<Store>,
    snapshot: Option<Arc<TasksSnapshot>>,
    /// How far feedback files were read.
    read: HashMap<i64, (Feedback, Mark)>,
    sums: Option<Sums>,
}

struct Sums {
    at: Duration,
    cost: Duration,
    summaries: Arc<Vec<Summary>>,
}

type ReadJob = Box<dyn FnOnce(&mut DataContext) + Send>;

/// The way to the threads.
pub(super) struct Data {
    quick: DataReader,
    slow: DataReader,
}

/// The way to one of them, which begins with the first question.
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
    /// It has too much to do, or there is no room for a thread: whoever asks again later may be answered.
    fn send(&self, job: ReadJob) -> Result<(), DataError> {
        let mut jobs = self.jobs.borrow_mut();
        let thread = match jobs.take() {
            Some(thread) => thread,
            None => thread(self.db.clone(), self.waiting).map_err(|_| DataError::Busy)?,
        };
        match thread.try_send(job) {
            // It is begun again the next time.
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

    /// What can be answered at once.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        ask(&self.quick, work).await
    }

    /// What may take its time.
    pub(super) async fn slow<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
    ) -> Result<T, DataError> {
        ask(&self.slow, work).await
    }

    /// What runs.
    pub(super) async fn snapshot(&self, age: Duration) -> Result<Arc<TasksSnapshot>, DataError> {
        self.quick(move |desk| desk.snapshot(age)).await
    }
}

/// Whether the database can be read now. Later it may go, and come again.
pub(super) fn check(db: &Path) -> Result<(), DbError> {
    db::open_to_read(db, PATIENCE).map(drop)
}

async fn ask<T: Send + 'static>(
    to: &DataReader,
    work: impl FnOnce(&mut DataContext) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (send, receive) = oneshot::channel();
    let job: ReadJob = Box::new(move |desk| {
        // Whoever asked may be gone by now.
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
        let mut desk = DataContext { db, store: None, snapshot: None, read: HashMap::new(), sums: None };
        loop {
            match work.recv_timeout(IDLE) {
                Ok(job) => job(&mut desk),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    (desk.store, desk.snapshot, desk.read) = (None, None, HashMap::new());
                    // Until somebody asks again.
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
    /// Works with the database; none: there is none yet. After an error it is opened anew.
    fn with<T>(&mut self, work: impl FnOnce(&mut Store) -> Result<T, DataError>) -> Result<Option<T>, DataError> {
        let mut store = match self.store.take().filter(Store::is_in_place) {
            Some(store) => store,
            None => match db::open_to_read(&self.db, PATIENCE) {
                Ok(store) => store,
                Err(DbError::Store(StoreError::Missing(_))) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let done = work(&mut store)?;
        self.store = Some(store);
        Ok(Some(done))
    }

    /// What runs, as it was seen at most so long ago.
    pub(super) fn snapshot(&mut self, age: Duration) -> Result<Arc<TasksSnapshot>, DataError> {
        let now = sys::now();
        if let Some(known) = self.snapshot.as_ref().filter(|known| now.mono.saturating_sub(known.at) < age) {
            return Ok(Arc::clone(known));
        }
        let survey = self.with(|store| Ok(reconcile::survey(store)?))?;
        let there = survey.is_some();
        let survey = survey.unwrap_or_default();
        let shown = |live: &Live| LiveTask {
            task: live.task.clone(),
            status: live.status,
            silent_for: (show::gives_beats(live) && live.status != Status::Reserved)
                .then(|| live.beat.age(now.wall).as_secs_f64()),
            progress: control::progress_of(live).map(|percent| percent / 100.0),
            message: show::note(live).map(Cow::into_owned),
        };
        let running = survey.live.iter().map(shown).collect();
        let unsettled = match survey.settled {
            true => vec![],
            false => survey.ended.iter().map(|(task, end)| HistoryRow::of(task, end)).collect(),
        };
        let snapshot = Arc::new(TasksSnapshot { at: now.mono, there, survey, running, unsettled });
        self.snapshot = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// A page of history, with what history does not have yet.
    pub(super) fn history(&mut self, query: &Query) -> Result<Page<HistoryRow>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let found = self.with(|store| {
            let page = store.page(query)?;
            Ok((page, still_unsettled(store, &snapshot)?))
        });
        let Some((page, more)) = found? else { return Ok(Page { rows: vec![], next: None }) };
        let placed = |base: i64| move |row: HistoryRow| (Cursor { endtime: row.endtime, id: base + row.id }, row);
        let page = Page { rows: page.rows.into_iter().map(placed(0)).collect(), next: page.next };
        let more = more.into_iter().filter(|row| wants(&query.filter, row)).map(placed(UNSETTLED)).collect();
        let page = page.with(more, query.limit, query.after, |(place, _)| *place);
        Ok(Page { rows: page.rows.into_iter().map(|(_, row)| row).collect(), next: page.next })
    }

    /// What ended since then, newest first, but no more than so many; as far as a picture needs it.
    pub(super) fn ended_since(&mut self, since: i64, most: usize) -> Result<Page<HistoryRow>, DataError> {
        let filter = Filter { since: Some(since), ..Filter::default() };
        let mut query = Query { filter, limit: BLOCK, after: None, offset: 0, reverse: false };
        let mut all = vec![];
        loop {
            query.limit = BLOCK.min(most - all.len());
            let Page { rows, next } = self.history(&query)?;
            // What is large is not kept of so many.
            let bare = |row| HistoryRow { argv: None, feedback: None, options: None, supervised: None, ..row };
            all.extend(rows.into_iter().map(bare));
            if next.is_none() || all.len() >= most {
                return Ok(Page { rows: all, next });
            }
            query.after = next;
        }
    }

    /// One task; none: nobody has heard of it.
    pub(super) fn task(&mut self, task: &TaskRef) -> Result<Option<TaskAndLog>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let db = self.db.clone();
        let found = self.with(|store| Ok(control::find(store, &snapshot.survey, task)?))?.flatten();
        let lines = |id, upid: &Option<String>, column: &Option<String>, status: Option<Status>| {
            let (upid, column) = (upid.as_deref(), column.as_deref());
            match log::place(&db, id, upid, column) {
                None => Err(log::why_none(status)),
                Some(path) if status.is_none() && !path.exists() => Err("its file is missing"),
                Some(_) => Ok(log::last_lines(&db, id, upid, column, LINES)),
            }
        };
        Ok(match found {
            None => None,
            Some(Found::Ended(row)) => {
                let log = lines(row.taskid, &row.upid, &row.log, None);
                Some(TaskAndLog::Ended { row, log })
            }
            Some(Found::Live(live)) => {
                let at = snapshot.running.iter().find(|shown| shown.task.id == live.task.id);
                let Some(shown) = at.cloned() else { return Ok(None) };
                let log = lines(live.task.id, &live.task.upid, &live.task.log, Some(live.status));
                let feedback = self.feedback(&live)?;
                let mut json = show::task_json(&live, shown.progress.map(percent), sys::now().wall);
                if let Some(values) = &feedback {
                    json["feedback"] = values.clone();
                }
                Some(TaskAndLog::Live { task: Box::new(shown), feedback, log, json })
            }
        })
    }

    /// What a task told so far: what was stored, and what is new in its file.
    fn feedback(&mut self, live: &Live) -> Result<Option<Value>, DataError> {
        let task = &live.task;
        let Some(path) = task.feedpath.as_deref().filter(|_| task.feedback && live.status != Status::Reserved) else {
            return Ok(None);
        };
        let (mut feedback, mut mark) = match self.read.remove(&task.id) {
            Some(read) => read,
            None => {
                let state = self.with(|store| Ok(store.feedback_state(task.id)?))?.flatten();
                state.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
            }
        };
        if let Ok(file) = FeedFile::open(path) {
            // What cannot be read just now is as it was before.
            let _ = file.read_new(&mut feedback, &mut mark).and_then(|()| file.rewind(&mut feedback, &mut mark));
        }
        let values = serde_json::from_str(&feedback.to_json()).ok();
        if self.read.len() >= READ {
            self.read.clear();
        }
        self.read.insert(task.id, (feedback, mark));
        Ok(values)
    }

    /// Where the log of a task is; none: there is no such task, or it has none.
    pub(super) fn log(&mut self, task: &TaskRef) -> Result<Option<TaskLogView>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        let found = self.with(|store| Ok(control::find(store, &snapshot.survey, task)?))?.flatten();
        let place = |id, upid: &Option<String>, column: &Option<String>| {
            log::place(&self.db, id, upid.as_deref(), column.as_deref())
        };
        Ok(match found {
            None => None,
            Some(Found::Live(live)) => place(live.task.id, &live.task.upid, &live.task.log)
                .map(|path| TaskLogView { path, live: Some(live.task.id) }),
            Some(Found::Ended(row)) => {
                place(row.taskid, &row.upid, &row.log).map(|path| TaskLogView { path, live: None })
            }
        })
    }

    /// Whether a task has not ended.
    pub(super) fn lives(&mut self, task: i64) -> Result<bool, DataError> {
        Ok(self.snapshot(SHARED)?.running.iter().any(|live| live.task.id == task))
    }

    /// All names, summed up. Whoever asks more often than that pays off gets what was said before.
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

    /// One name, summed up; none: no run of it has ended.
    pub(super) fn summary(&mut self, name: &str) -> Result<Option<Summary>, DataError> {
        Ok(self.stats(Some(name))?.and_then(|stats| stats.summaries().into_iter().next()))
    }

    /// The runs of one name or of all, with those that history does not have yet.
    fn stats(&mut self, name: Option<&str>) -> Result<Option<Stats>, DataError> {
        let snapshot = self.snapshot(FRESH)?;
        self.with(|store| {
            let mut stats = store.stats(name, None, sys::now().wall.secs())?;
            for row in still_unsettled(store, &snapshot)? {
                let of = row.taskname.as_deref().unwrap_or_default();
                if row.starttime.is_some() && name.is_none_or(|name| name == of) {
                    let class = Class::of_outcome(&row.outcome);
                    let reason = row.termerror.clone().unwrap_or_else(|| row.outcome.clone());
                    let reason = (!class.is_success()).then_some(reason);
                    let (id, end, duration) = (UNSETTLED + row.id, row.endtime, row.duration);
                    let cut_short = row.ended_by.as_deref() == Some(READER);
                    stats.add(of, EndedRun { id, class, end, duration, reason, cut_short });
                }
            }
            Ok(stats)
        })
    }

    /// Asks for the end of a task, as `control kill` does; gives what there is to say.
    pub(super) fn kill(&mut self, task: i64) -> Message {
        let (mut data, mut messages) = (vec![], vec![]);
        let how = KillArgs { signal: None, now: false, no_wait: true, force: false };
        let verb = Verb::Kill(Kill { tasks: vec![TaskRef::Id(TaskId(task))], how });
        let args = ControlArgs { db: Some(self.db.clone()), json: false, verb };
        let mut out = VerbOutput {
            data: &mut data,
            messages: &mut messages,
            width: &|| None,
            colours: false,
            patience: PATIENCE,
            confirm: None,
        };
        let done = control::run(args, &mut out);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', "; ");
        match done {
            Ok(0) => Message { text: said(&data), failed: false },
            Ok(_) => Message { text: said(&messages).replace("control: error: ", ""), failed: true },
            Err(error) => Message { text: error.to_string(), failed: true },
        }
    }
}

/// What history does not have yet, nor has got since it was looked: asked after history was, so that nothing is there twice.
fn still_unsettled(store: &Store, snapshot: &TasksSnapshot) -> Result<Vec<HistoryRow>, StoreError> {
    if snapshot.unsettled.is_empty() {
        return Ok(vec![]);
    }
    let still: HashSet<i64> = store.tasks()?.iter().map(|task| task.id).collect();
    Ok(snapshot.unsettled.iter().filter(|row| still.contains(&row.taskid)).cloned().collect())
}

/// Whether a filter wants a row that the database was not asked for.
fn wants(filter: &Filter, row: &HistoryRow) -> bool {
    filter.name.as_ref().is_none_or(|name| row.taskname.as_ref() == Some(name))
        && (filter.results.is_empty() || filter.results.contains(&Class::of_outcome(&row.outcome)))
        && filter.since.is_none_or(|since| row.endtime >= since)
        && filter.until.is_none_or(|until| row.endtime <= until)
        && filter.user.as_ref().is_none_or(|user| row.user.as_ref() == Some(user))
}
