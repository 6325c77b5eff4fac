//! Prints the log of a task.

use std::{
    io::{self, ErrorKind, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    reconcile::{self, Live},
    show,
};
use crate::{
    io::{
        child,
        feedfile::Follower,
        logread::LogReader,
        process,
        store::{self, Store, StoreError},
    },
    model::{
        ansi,
        log::{parse_closing, split_time},
        task::{HistoryRow, Status, Stored, Task},
        upid::Upid,
    },
};

/// Bytes per read.
const BLOCK: usize = 256 << 10;
/// Polling interval where the kernel reports no changes, and for the start of a reservation.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Maximum length of one of the last lines in `show`, in characters.
const LONGEST_LAST: usize = 200;
/// Maximum number of bytes that are read for the last lines in `show`.
const LAST_BYTES: u64 = 64 << 10;

/// How a log is shown.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Number of last lines to show.
    pub tail: Option<usize>,
    /// Number of lines to skip, counted from 0 as in the Proxmox API.
    pub start: u64,
    /// Maximum number of lines.
    pub limit: Option<u64>,
    /// Whether to omit times.
    pub no_time: bool,
    /// Whether to print an array of JSON objects; with `follow`, one object per line.
    pub json: bool,
    /// Whether the output is a terminal: control sequences other than colours are removed.
    pub terminal: bool,
    /// Whether to continue until the task has ended.
    pub follow: bool,
}

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
            let text = show::clean(&strip_colours(&line));
            match text.chars().nth(LONGEST_LAST) {
                Some(_) => text.chars().take(LONGEST_LAST - 1).chain(['…']).collect(),
                None => text,
            }
        };
        Some(lines.into_iter().skip(skipped).map(shown).collect())
    };
    read().unwrap_or_default()
}

/// Returns a line of a log for a web page: without its time and without control sequences of terminals.
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

/// The task whose log is shown.
#[derive(Debug)]
pub struct Subject {
    /// Its task id.
    pub id: i64,
    /// The path of its log, if it has one.
    pub log: Option<PathBuf>,
    /// Its survey entry, if it is live.
    pub live: Option<Live>,
}

/// Prints a log. With `follow`, continues until the task has ended.
///
/// # Errors
/// [`LogError`]
pub fn show(store: &mut Store, subject: Subject, wanted: &Wanted, out: &mut dyn Write) -> Result<(), LogError> {
    let Some(path) = &subject.log else {
        return Err(LogError::None(subject.id, why_none(subject.live.as_ref().map(|live| live.status))));
    };
    // Created before the first read, so that no change is missed.
    let follower = wanted.follow.then(|| Follower::new(path));
    let failed = |error| LogError::Read(subject.id, path.clone(), error);
    let reader = match LogReader::open(path) {
        Ok(reader) => Some(reader),
        // The launcher has not created the log yet.
        Err(error) if error.kind() == ErrorKind::NotFound && subject.live.is_some() => None,
        Err(error) => return Err(failed(error)),
    };
    let mut showing =
        Showing { wanted, out: io::BufWriter::with_capacity(BLOCK, out), line: vec![], number: 0, place: 0, shown: 0 };
    if wanted.json && !wanted.follow {
        showing.write(b"[")?;
    }
    let mut reader = match reader {
        Some(reader) => {
            showing.begin(&reader).map_err(failed)?;
            Some(reader)
        }
        None => None,
    };
    let mut watch =
        follower.map(|follower| LogWatch { follower, id: subject.id, live: subject.live.clone(), over: false });
    loop {
        let last = watch.as_ref().is_none_or(|watch| watch.over || watch.live.is_none());
        match &mut reader {
            Some(reader) => showing.more(reader).map_err(|error| error.on(&subject))?,
            None => {
                if let Ok(begun) = LogReader::open(path) {
                    showing.begin(&begun).map_err(failed)?;
                    reader = Some(begun);
                    continue;
                }
            }
        }
        if showing.is_full() || last {
            break;
        }
        showing.out.flush().map_err(LogError::Write)?;
        if let Some(watch) = &mut watch {
            watch.wait(store)?;
        }
        if let Some(reader) = &mut reader {
            match reader.refresh() {
                // The log was removed meanwhile; the open file can still be read.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                Ok(_) | Err(_) => {}
            }
        }
    }
    showing.end()
}

/// The state of printing a log.
struct Showing<'a, 'b> {
    wanted: &'a Wanted,
    out: io::BufWriter<&'b mut dyn Write>,
    /// The incomplete last line.
    line: Vec<u8>,
    /// Number of lines before `line`.
    number: u64,
    /// Position of the next read.
    place: u64,
    /// Number of lines that were shown.
    shown: u64,
}

enum ShowError {
    Read(io::Error),
    Write(io::Error),
}

impl ShowError {
    fn on(self, subject: &Subject) -> LogError {
        match self {
            ShowError::Read(error) => LogError::Read(subject.id, subject.log.clone().unwrap_or_default(), error),
            ShowError::Write(error) => LogError::Write(error),
        }
    }
}

impl Showing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.out.write_all(bytes).map_err(LogError::Write)
    }

    /// Determines where to begin.
    fn begin(&mut self, reader: &LogReader) -> io::Result<()> {
        let cut = reader.cut_line()?;
        let cut_lines = u64::from(!cut.is_empty());
        match self.wanted.tail {
            Some(lines) => {
                self.place = reader.tail(lines)?;
                if self.wanted.json {
                    self.number = cut_lines + reader.lines_before(self.place)?;
                }
                if self.place == reader.start() && lines > 0 {
                    self.line = cut;
                    self.number = 0;
                }
            }
            None if self.wanted.start == 0 => {
                self.line = cut;
                self.place = reader.start();
            }
            None => {
                let (place, passed) = reader.skip(self.wanted.start - cut_lines)?;
                self.place = place;
                self.number = cut_lines + passed;
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.wanted.limit.is_some_and(|limit| self.shown >= limit)
    }

    /// Shows everything that is in the log now.
    fn more(&mut self, reader: &LogReader) -> Result<(), ShowError> {
        if self.place < reader.start() {
            // This part was dropped (`--log-max`) before it was read.
            self.place = reader.start();
            let cut = reader.cut_line().map_err(ShowError::Read)?;
            self.line.extend_from_slice(&cut);
        }
        let plain = !self.wanted.json && !self.wanted.terminal && !self.wanted.no_time && self.wanted.limit.is_none();
        let mut block = vec![0; BLOCK];
        loop {
            if !self.line.is_empty() && (plain || self.line.ends_with(b"\n")) {
                let line = std::mem::take(&mut self.line);
                match plain {
                    true => self.out.write_all(&line).map_err(ShowError::Write)?,
                    false => self.show_line(&line).map_err(ShowError::Write)?,
                }
            }
            if self.is_full() {
                return Ok(());
            }
            let got = reader.read(self.place, &mut block).map_err(ShowError::Read)?;
            if got == 0 {
                return Ok(());
            }
            self.place += got as u64;
            if plain {
                self.out.write_all(&block[..got]).map_err(ShowError::Write)?;
                continue;
            }
            for piece in block[..got].split_inclusive(|byte| *byte == b'\n') {
                if !piece.ends_with(b"\n") {
                    self.line.extend_from_slice(piece);
                } else if self.line.is_empty() {
                    self.show_line(piece).map_err(ShowError::Write)?;
                } else {
                    self.line.extend_from_slice(piece);
                    let line = std::mem::take(&mut self.line);
                    self.show_line(&line).map_err(ShowError::Write)?;
                }
                if self.is_full() {
                    return Ok(());
                }
            }
        }
    }

    fn show_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.number += 1;
        self.shown += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let (time, rest) = if self.wanted.no_time { (None, split_time(text).1) } else { split_time(text) };
        if self.wanted.json {
            let whole = String::from_utf8_lossy(if time.is_some() { text } else { rest });
            let separator = match (self.wanted.follow, self.shown) {
                (true, _) | (false, 1) => "",
                (false, _) => ",",
            };
            let object = json!({ "n": self.number, "t": Value::from(whole) });
            write!(self.out, "{separator}{object}")?;
            return if self.wanted.follow { writeln!(self.out) } else { Ok(()) };
        }
        if self.wanted.terminal {
            let time = time.map(|time| format!("{}: ", String::from_utf8_lossy(time))).unwrap_or_default();
            return writeln!(self.out, "{time}{}", ansi::fit(rest));
        }
        self.out.write_all(if time.is_some() { text } else { rest })?;
        if line.ends_with(b"\n") { self.out.write_all(b"\n") } else { Ok(()) }
    }

    fn end(mut self) -> Result<(), LogError> {
        let rest = std::mem::take(&mut self.line);
        if !rest.is_empty() && !self.is_full() {
            self.show_line(&rest).map_err(LogError::Write)?;
        }
        if self.wanted.json && !self.wanted.follow {
            self.write(b"]\n")?;
        }
        self.out.flush().map_err(LogError::Write)
    }
}

/// Waits for more output in a log, and for the end of its task.
struct LogWatch {
    follower: Follower,
    id: i64,
    live: Option<Live>,
    over: bool,
}

impl LogWatch {
    fn wait(&mut self, store: &mut Store) -> Result<(), LogError> {
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
            let survey = reconcile::survey(store)?;
            self.live = survey.live.into_iter().find(|live| live.task.id == self.id);
            self.over = self.live.is_none();
        }
        Ok(())
    }
}
