//! Reads logs, and the rows of tasks that name them, on threads of their own: a file or a database that does not respond
//! delays no program and no other client.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::oneshot;

use super::answer::{Followed, RequestAnswer};
use crate::{
    app::{
        db::DbError,
        service::{ServiceError, TaskRow, Tasks},
    },
    io::{
        logread,
        store::{LockTimeout, StoreError},
        tail::{self, Growing},
    },
    model::{
        path::standard_stream,
        task::{TaskId, TaskRef},
        wire::{Channel, Code, Last, Piece, Response, WireError},
    },
};

/// Largest part of a log in one answer, in bytes.
const LONGEST_TAIL: u64 = 1 << 20;

/// Longest wait for a lock of the database while the row of a task is read.
const LOCK_TIMEOUT: LockTimeout = LockTimeout { limit: Duration::from_millis(200), notify: None };

/// Threads that read, at most.
const MOST: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads that read logs; started when needed.
#[derive(Clone)]
pub(super) struct Readers {
    jobs: Sender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// Threads that wait for a job.
    idle: Arc<AtomicUsize>,
    started: Rc<Cell<usize>>,
}

impl Readers {
    pub(super) fn new() -> Readers {
        let (jobs, queue) = mpsc::channel();
        Readers { jobs, queue: Arc::new(Mutex::new(queue)), idle: Arc::default(), started: Rc::default() }
    }

    /// Runs a job on a thread; on this one if none can be started.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if self.idle.load(Ordering::Acquire) == 0 && self.started.get() < MOST && self.start().is_ok() {
            self.started.set(self.started.get() + 1);
        }
        if self.started.get() == 0 {
            return job();
        }
        // Cannot fail: this object has a receiver.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Returns the result of a job; `None` if it panicked.
    pub(super) async fn ask<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (give, taken) = oneshot::channel();
        self.run(move || drop(give.send(job())));
        taken.await.ok()
    }

    fn start(&self) -> io::Result<()> {
        let (queue, idle) = (Arc::clone(&self.queue), Arc::clone(&self.idle));
        thread::Builder::new().name("logs".to_owned()).spawn(move || {
            loop {
                idle.fetch_add(1, Ordering::AcqRel);
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                idle.fetch_sub(1, Ordering::AcqRel);
                // No more jobs: the supervisor has ended.
                let Ok(job) = job else { return };
                job();
            }
        })?;
        Ok(())
    }
}

/// The part of a log that a client wants.
pub(super) struct LogPart {
    pub last: Last,
    pub offset: Option<u64>,
    /// Whether what is appended follows.
    pub follow: bool,
}

/// A log that a client may read.
pub(super) enum LogSource {
    /// That of a stream of a process.
    Stream {
        path: PathBuf,
        channel: Channel,
        /// Dropped with the process.
        writer: Arc<()>,
    },
    /// That of one run of a process, with both streams.
    Run { db: PathBuf, process: String, task: i64 },
    /// The supervisor's own.
    Own(PathBuf),
}

impl LogSource {
    /// Returns a part of the log.
    ///
    /// # Errors
    /// When there is no such log, or it cannot be read.
    pub(super) fn read(&self, part: &LogPart) -> Result<RequestAnswer, WireError> {
        match self {
            LogSource::Stream { path, channel, writer } => Ok(match tail_of(path, tail::open, Some(*channel), part)? {
                RequestAnswer::Follow(response, logs) => {
                    let followed = |log: Followed| Followed { file: log.file.written_by(writer), ..log };
                    RequestAnswer::Follow(response, logs.into_iter().map(followed).collect())
                }
                other => other,
            }),
            LogSource::Run { db, process, task } => {
                tail_of(&run_log(db, process, *task)?, logread::open_newest, None, part)
            }
            LogSource::Own(path) => tail_of(path, tail::open, None, part),
        }
    }
}

/// Returns a log from its end on.
pub(super) fn end_of(channel: Channel, path: PathBuf) -> Followed {
    let file = tail::open(&path).ok();
    let offset = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
    Followed { channel: Some(channel), file: Growing::new(path, file, offset, tail::open) }
}

/// A piece that was appended to a followed log.
pub(super) struct Appended {
    pub piece: Piece,
    /// Whether output before the piece may be missing.
    pub skipped: bool,
}

/// Returns the next piece of each log that has one.
pub(super) fn more(logs: &mut [Followed]) -> Vec<Appended> {
    let next = |log: &mut Followed| {
        let (data, offset) = log.file.more()?;
        let piece = Piece { data, offset: Some(offset), channel: log.channel };
        Some(Appended { piece, skipped: log.file.has_skipped() })
    };
    logs.iter_mut().filter_map(next).collect()
}

/// Returns the log of one run of a process.
fn run_log(db: &Path, process: &str, task: i64) -> Result<PathBuf, WireError> {
    let failed = |error: ServiceError| WireError::new(Code::DbError, error.to_string());
    let no_task = || WireError::new(Code::BadName, format!("no task {task}"));
    let tasks = match Tasks::open(db, LOCK_TIMEOUT) {
        Err(ServiceError::Db(DbError::Store(StoreError::Missing(_)))) => return Err(no_task()),
        tasks => tasks.map_err(failed)?,
    };
    let found: TaskRow = tasks.row(&TaskRef::Id(TaskId(task))).map_err(failed)?.ok_or_else(no_task)?;
    match found.name {
        Some(own) if own == process => {}
        Some(other) if found.is_run => {
            return Err(WireError::new(Code::BadName, format!("task {task} is a run of {other}")));
        }
        Some(_) | None => {
            return Err(WireError::new(Code::BadName, format!("task {task} is not a run of a program")));
        }
    }
    found.log.ok_or_else(|| WireError::new(Code::NoFile, format!("task {task} has no log")))
}

/// Refuses a log that goes to a stream of the supervisor, which cannot be read.
pub(super) fn is_file(path: &Path, what: &str) -> Result<(), WireError> {
    match standard_stream(path) {
        None => Ok(()),
        Some(_) => Err(WireError::new(Code::Unsupported, format!("{what} goes to {}, not to a file", path.display()))),
    }
}

/// Returns the end of a log, or the part from an offset on.
fn tail_of(
    path: &Path,
    open: fn(&Path) -> io::Result<File>,
    channel: Option<Channel>,
    part: &LogPart,
) -> Result<RequestAnswer, WireError> {
    let LogPart { last, offset, follow } = *part;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => WireError::new(Code::NoFile, format!("no log {} yet", path.display())),
        _ => WireError::new(Code::Failed, format!("cannot read log {}: {error}", path.display())),
    };
    let mut file = open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let (from, len) = match (offset, last) {
        (Some(offset), Last::Bytes(bytes)) => (offset.min(size), bytes.min(LONGEST_TAIL)),
        (Some(offset), Last::Lines(_)) => (offset.min(size), LONGEST_TAIL),
        (None, Last::Bytes(bytes)) => (size.saturating_sub(bytes.min(LONGEST_TAIL)), bytes.min(LONGEST_TAIL)),
        (None, Last::Lines(_)) => (size.saturating_sub(LONGEST_TAIL), LONGEST_TAIL),
    };
    let mut bytes = vec![];
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    (&file).take(len).read_to_end(&mut bytes).map_err(failed)?;
    let mut start = from;
    if let (None, Last::Lines(lines)) = (offset, last) {
        let at = last_lines(&bytes, lines);
        start += at as u64;
        bytes.drain(..at);
    }
    let end = start + bytes.len() as u64;
    let mut content = Piece { data: bytes, offset: Some(start), channel }.to_map();
    content.insert("size".into(), size.into());
    content.insert("truncated".into(), (start > 0).into());
    let response = Response::done(Value::Object(content));
    if !follow {
        return Ok(RequestAnswer::One(response));
    }
    let file = Growing::new(path.to_owned(), Some(file), end, open);
    Ok(RequestAnswer::Follow(response, vec![Followed { channel, file }]))
}

/// Returns the offset of the last lines.
fn last_lines(bytes: &[u8], lines: u64) -> usize {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match lines {
        0 => bytes.len(),
        lines => ends.nth(usize::try_from(lines - 1).unwrap_or(usize::MAX)).unwrap_or(0),
    }
}
