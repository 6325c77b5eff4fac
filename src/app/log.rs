//! Prints the log of a task.

use std::io::{self, ErrorKind, Write};

use serde_json::{Value, json};

use super::service::{FoundLog, LogError, LogWatch, Tasks};
use crate::{
    io::logread::LogReader,
    model::{ansi, log::split_time},
};

/// Bytes per read.
const BLOCK: usize = 256 << 10;

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

/// Prints a log. With `follow`, continues until the task has ended.
///
/// # Errors
/// [`LogError`]
pub fn show(tasks: &mut Tasks, log: &FoundLog, wanted: &Wanted, out: &mut dyn Write) -> Result<(), LogError> {
    // Created before the first read, so that no change is missed.
    let mut watch = wanted.follow.then(|| LogWatch::new(log));
    let failed = |error| LogError::Read(log.id, log.path.clone(), error);
    let reader = match LogReader::open(&log.path) {
        Ok(reader) => Some(reader),
        // The launcher has not created the log yet.
        Err(error) if error.kind() == ErrorKind::NotFound && log.live.is_some() => None,
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
    loop {
        let last = watch.as_ref().is_none_or(LogWatch::is_over);
        match &mut reader {
            Some(reader) => showing.more(reader).map_err(|error| error.on(log))?,
            None => {
                if let Ok(begun) = LogReader::open(&log.path) {
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
            watch.wait(tasks)?;
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
    fn on(self, log: &FoundLog) -> LogError {
        match self {
            ShowError::Read(error) => LogError::Read(log.id, log.path.clone(), error),
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
