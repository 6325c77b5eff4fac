//! The log of a task: where it is, its last lines, and waiting for more of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Found, ServiceError, Tasks, find};
use crate::{
    app::{
        reconcile::{self, Live},
        wait::{Waiter, refuse_itself},
    },
    io::{
        child,
        feedfile::Follower,
        logread::LogReader,
        process,
        store::{self, StoreError},
    },
    model::{
        ansi::{self, clean},
        error::ErrorKind,
        log::{parse_closing, split_time},
        task::{HistoryRow, Status, Stored, Task, TaskRef},
        upid::Upid,
    },
};

/// Polling interval where the kernel reports no changes, and for the start of a reservation.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Maximum length of one of the last lines in `show`, in characters.
const LONGEST_LAST: usize = 200;
/// Maximum number of bytes that are read for the last lines in `show`.
const LAST_BYTES: u64 = 64 << 10;

/// Why a log cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The task was launched without a log, or by a version without logs.
    #[error("task {0} has no log: {1}")]
    None(i64, &'static str),
    /// The log cannot be read.
    #[error("cannot read the log of task {0}, {1:?}: {2}")]
    Read(i64, PathBuf, io::Error),
    /// Waiting for more output failed.
    #[error("cannot follow the log of task {0}: {1}")]
    Wait(i64, io::Error),
    /// The database, while following.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Write(io::Error),
}

impl LogError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            LogError::Store(error) => error.kind(),
            LogError::None(..) | LogError::Read(..) | LogError::Wait(..) | LogError::Write(_) => ErrorKind::System,
        }
    }
}

/// What a row says of the log of its task.
#[derive(Clone, Copy, Debug)]
pub struct TaskLogRef<'r> {
    /// Number of the task.
    id: i64,
    upid: Option<&'r Stored<Upid>>,
    /// The column `log`.
    column: Option<&'r str>,
}

impl<'r> From<&'r Task> for TaskLogRef<'r> {
    fn from(row: &'r Task) -> TaskLogRef<'r> {
        TaskLogRef { id: row.id, upid: row.upid.as_ref(), column: row.log.as_deref() }
    }
}

impl<'r> From<&'r HistoryRow> for TaskLogRef<'r> {
    fn from(row: &'r HistoryRow) -> TaskLogRef<'r> {
        TaskLogRef { id: row.taskid, upid: row.upid.as_ref(), column: row.log.as_deref() }
    }
}

impl TaskLogRef<'_> {
    /// Returns the path of the log: in the folder of logs, under the name made from the task's number and UPID. For a copy
    /// of a database the path in the row is used, in the folder of the original, but only if it has the name of this
    /// task's log and the copy belongs to the current user. No other file is read because a row names it.
    pub fn path(self, db: &Path) -> Option<PathBuf> {
        let row = Path::new(self.column?);
        let upid = self.upid?.value()?.as_str();
        let usual = store::log_file(db, self.id, upid);
        match usual != row && !usual.exists() && store::is_log_file(row, self.id, upid) && store::is_own(db) {
            true => Some(row.to_owned()),
            false => Some(usual),
        }
    }
}

/// Returns why a task has no log. `status`: if the task is live.
pub fn why_none(status: Option<Status>) -> &'static str {
    match status {
        Some(Status::Reserved) => "not started yet",
        Some(_) | None => "launched with --no-log, never started, or of an older version",
    }
}

/// Returns the last lines of output of a task, safe for a terminal and without times. Empty if the log cannot be read.
pub fn last_lines<'r>(db: &Path, log: impl Into<TaskLogRef<'r>>, count: usize) -> Vec<String> {
    let path = log.into().path(db);
    let read = || -> Option<Vec<String>> {
        let reader = LogReader::open(path.as_deref()?).ok()?;
        let end = reader.end().ok()?;
        // One more for the closing line with the outcome.
        let from = reader.tail(count + 1).ok()?.max(end.saturating_sub(LAST_BYTES));
        let mut bytes = vec![0; usize::try_from(end - from).ok()?];
        let mut got = 0;
        while got < bytes.len() {
            match reader.read(from + got as u64, &mut bytes[got..]).ok()? {
                0 => break,
                more => got += more,
            }
        }
        let text = bytes[..got].strip_suffix(b"\n").unwrap_or(&bytes[..got]);
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').map(|line| split_time(line).1).collect();
        if lines.last().is_some_and(|line| line.is_empty() || parse_closing(line).is_some()) {
            lines.pop();
        }
        let skipped = lines.len().saturating_sub(count);
        let shown = |line: &[u8]| {
            let line: String = ansi::fit(line).chars().take(10 * LONGEST_LAST).collect();
            let text = clean(&strip_colours(&line));
            match text.chars().nth(LONGEST_LAST) {
                Some(_) => text.chars().take(LONGEST_LAST - 1).chain(['…']).collect(),
                None => text,
            }
        };
        Some(lines.into_iter().skip(skipped).map(shown).collect())
    };
    read().unwrap_or_default()
}

/// Returns a line of a log as plain text: without its time and without control sequences of terminals.
pub fn plain_line(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let text = strip_colours(&ansi::fit(split_time(line).1));
    text.strip_suffix('\r').unwrap_or(&text).to_owned()
}

/// Removes colours from the result of [`ansi::fit`], where they are the only escape sequences.
fn strip_colours(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// The log of a task that was named.
#[derive(Debug)]
pub struct FoundLog {
    /// The task id.
    pub id: i64,
    /// The path of its log.
    pub path: PathBuf,
    /// The task, if it has not ended.
    pub live: Option<Live>,
}

/// What the row of a task says, whether or not the task has ended.
#[derive(Debug)]
pub struct TaskRow {
    /// Its name.
    pub name: Option<String>,
    /// Whether the task is a run of a supervised process.
    pub is_run: bool,
    /// The path of its log.
    pub log: Option<PathBuf>,
}

/// How long a reader of a log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogExtent {
    /// Up to what the log contains now.
    Now,
    /// Until it has read the lines that it wants, or the task has ended.
    Lines,
    /// Until the task has ended.
    End,
}

/// Returns the log of a task.
///
/// # Errors
/// [`LogError::None`]
pub fn log_of(found: Found, db: &Path) -> Result<FoundLog, LogError> {
    let none = |id, status| LogError::None(id, why_none(status));
    match found {
        Found::Live(live) => {
            let (id, path) = (live.task.id, TaskLogRef::from(&*live.task).path(db));
            let path = path.ok_or_else(|| none(id, Some(live.status)))?;
            Ok(FoundLog { id, path, live: Some(*live) })
        }
        Found::Ended(row) => {
            let path = TaskLogRef::from(&*row).path(db).ok_or_else(|| none(row.taskid, None))?;
            Ok(FoundLog { id: row.taskid, path, live: None })
        }
    }
}

impl Tasks {
    /// Returns what the row of a task says, without looking whether it lives; `None`: there is no such task.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn row(&self, task: &TaskRef) -> Result<Option<TaskRow>, ServiceError> {
        Ok(match self.store.task(task)? {
            Some(row) => {
                let log = TaskLogRef::from(&row).path(&self.db);
                Some(TaskRow { name: Some(row.name), is_run: row.supervised.is_some(), log })
            }
            None => self.store.ended(task)?.map(|row| {
                let log = TaskLogRef::from(&row).path(&self.db);
                TaskRow { name: row.taskname, is_run: row.supervised.is_some(), log }
            }),
        })
    }

    /// Returns the log of a task. A reader that follows the log of a reservation waits until it is launched.
    ///
    /// # Errors
    /// When the task does not exist or has no log, when this process runs inside the task whose end it would wait for, or
    /// the database cannot be read.
    pub fn log(&mut self, task: &TaskRef, extent: LogExtent) -> Result<FoundLog, ServiceError> {
        let mut waiter = Waiter::new(&self.db);
        loop {
            let survey = reconcile::survey(&mut self.store)?;
            match find(&self.store, &survey, task)? {
                // The log has no name before the task starts.
                Some(Found::Live(live)) if live.status == Status::Reserved && extent != LogExtent::Now => {
                    waiter.wait(&mut self.store, &[&live], None)?;
                }
                Some(Found::Live(live)) => {
                    // Following the task in which this process runs would read its own output and never end.
                    if extent == LogExtent::End {
                        refuse_itself(&live)?;
                    }
                    return Ok(log_of(Found::Live(live), &self.db)?);
                }
                Some(ended @ Found::Ended(_)) => return Ok(log_of(ended, &self.db)?),
                None => return Err(ServiceError::NoSuchTask(task.clone())),
            }
        }
    }
}

/// Waits for more output in a log, and for the end of its task.
pub struct LogWatch {
    follower: Follower,
    id: i64,
    live: Option<Live>,
}

impl LogWatch {
    /// Begins to watch a log. A change after this call is not missed.
    pub fn new(log: &FoundLog) -> LogWatch {
        LogWatch { follower: Follower::new(&log.path), id: log.id, live: log.live.clone() }
    }

    /// Whether the task has ended, so that its log is complete.
    pub fn is_over(&self) -> bool {
        self.live.is_none()
    }

    /// Waits until the log has grown or the task has ended.
    ///
    /// # Errors
    /// When waiting fails, or the database cannot be read.
    pub fn wait(&mut self, tasks: &mut Tasks) -> Result<(), LogError> {
        let failed = |error| LogError::Wait(self.id, error);
        let mut ends: Vec<OwnedFd> = vec![];
        let mut gone = false;
        let mut timeout = None;
        if let Some(live) = &self.live {
            if live.task.is_worker() {
                timeout = Some(LOOK_EVERY);
            }
            let watched = match live.status {
                Status::Orphaned => &live.survivors[..],
                Status::Reserved => {
                    timeout = Some(LOOK_EVERY);
                    &[]
                }
                Status::Running | Status::Silent | Status::Stalled | Status::Stopping => live.task.launcher.as_slice(),
            };
            for process in watched {
                match process::open(*process).map_err(failed)? {
                    Some(fd) => ends.push(fd),
                    None => gone = true,
                }
            }
        }
        if !gone {
            let events = self.follower.events();
            if events.is_none() {
                timeout = Some(LOOK_EVERY);
            }
            let fds: Vec<BorrowedFd<'_>> = ends.iter().map(AsFd::as_fd).chain(events).collect();
            let ready = child::poll_any(&fds, timeout).map_err(failed)?;
            gone = match ready {
                Some(index) => index < ends.len(),
                // Timeout: check whether a reservation was launched.
                None => timeout.is_some(),
            };
            if !gone {
                let drained = self.follower.wait(Some(Duration::ZERO), None);
                drained.map_err(|error| LogError::Wait(self.id, io::Error::other(error)))?;
            }
        }
        if gone {
            let survey = reconcile::survey(&mut tasks.store)?;
            self.live = survey.live.into_iter().find(|live| live.task.id == self.id);
        }
        Ok(())
    }
}
