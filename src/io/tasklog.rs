//! Writes the log of one task: see `model/log.rs` for the format.
//!
//! Whole lines are written as they come. An incomplete line is held back for a moment
//! ([`TaskLog::settle`]), so that the streams of a task do not cut each other's lines; if it stays
//! incomplete, it is written as far as it is.
//!
//! # Bounds
//! A log consists of at most two halves. When the newer is full, it is renamed to the older one,
//! which is replaced, and a new one begins: nothing is copied while a task writes fast. At the end
//! the halves are joined.
//!
//! # If the process dies here
//!
//! The written output stays, in one file or two. Joining appends the newer half to the older one,
//! then renames it; a reader takes from the older half only the bytes before the newer.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use memchr::{memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

use super::safe_open::{self, Beside, Folder, How, Make};
use crate::model::log::{LogPath, closing_text, cut_text};

/// A partial line longer than this is not held back.
const LONGEST_HELD: usize = 64 << 10;
/// Streams of one task: its output and its error output.
const STREAMS: usize = 2;

/// The state of a log for a re-execution.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogState {
    path: PathBuf,
    half: u64,
    /// Bytes of the log before the newer half.
    before: u64,
    /// Bytes in the newer half.
    len: u64,
    /// Whether there is an older half.
    older: bool,
    /// The stream whose line is incomplete in the file.
    unfinished: Option<usize>,
    /// Whether the file's last line has no line end.
    torn: bool,
    /// Bytes of output that could not be written since the last report.
    lost: u64,
    /// All bytes of output that could not be written.
    all_lost: u64,
    /// Bytes of the log that were deleted while the task ran.
    #[serde(default)]
    deleted: u64,
    /// The first error.
    why: String,
}

/// The log of a running task.
#[derive(Debug)]
pub struct TaskLog {
    place: LogState,
    folder: Option<(Folder, Beside)>,
    file: Option<File>,
    held: [Vec<u8>; STREAMS],
    /// Bytes to be written.
    buffer: Vec<u8>,
    /// The stamp before a line, and its second.
    stamp: (i64, Vec<u8>),
    /// Formats unix seconds.
    stamper: fn(i64) -> String,
    /// Whether lines end with CR LF, of which the log keeps only LF.
    from_terminal: bool,
}

impl TaskLog {
    /// Begins a log: creates its folders (0700) and its file (0600), regardless of the umask. A
    /// failure is not an error here: the output counts as lost, and [`TaskLog::close`] returns why.
    ///
    /// `stamper` formats unix seconds as RFC 3339. With `from_terminal`, CR LF ends a line, of
    /// which LF is kept.
    pub fn begin(path: &Path, max: u64, from_terminal: bool, stamper: fn(i64) -> String) -> TaskLog {
        let place = LogState {
            path: path.to_owned(),
            half: (max / 2).max(1),
            before: 0,
            len: 0,
            older: false,
            unfinished: None,
            torn: false,
            lost: 0,
            all_lost: 0,
            deleted: 0,
            why: String::new(),
        };
        let mut log = TaskLog::at(place, from_terminal, stamper);
        let made = log.make_file(true, true);
        log.note_failure(made);
        log
    }

    /// Continues a log after a re-execution.
    pub fn resume(place: LogState, from_terminal: bool, stamper: fn(i64) -> String) -> TaskLog {
        let mut log = TaskLog::at(place, from_terminal, stamper);
        let opened = log.make_file(false, false);
        log.note_failure(opened);
        log
    }

    fn at(place: LogState, from_terminal: bool, stamper: fn(i64) -> String) -> TaskLog {
        TaskLog {
            place,
            folder: None,
            file: None,
            held: Default::default(),
            buffer: Vec::new(),
            stamp: (i64::MIN, Vec::new()),
            stamper,
            from_terminal,
        }
    }

    /// Returns the state for a re-execution, after writing the held-back output.
    pub fn place(&mut self, now: i64) -> LogState {
        self.write_held(now, false);
        self.place.clone()
    }

    /// Takes output of a stream (0 or 1), printed at `now` in unix seconds.
    pub fn take(&mut self, stream: usize, bytes: &[u8], now: i64) {
        let before = self.held_bytes();
        self.set_time(now);
        let lines = memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        let (whole, mut rest) = bytes.split_at(lines);
        if !whole.is_empty() {
            self.begin_line(stream);
            self.push_lines(whole);
            self.place.unfinished = None;
        }
        if rest.is_empty() {
            self.flush(before + bytes.len() - self.held_bytes());
            return;
        }
        let mut kept = &rest[..0];
        if self.from_terminal && rest.ends_with(b"\r") {
            // The CR may be the first half of a line end.
            (rest, kept) = rest.split_at(rest.len() - 1);
        }
        if self.place.unfinished == Some(stream) && self.held[stream].is_empty() {
            self.buffer.extend_from_slice(rest);
        } else {
            self.held[stream].extend_from_slice(rest);
            if self.held[stream].len() > LONGEST_HELD {
                self.begin_line(stream);
            }
        }
        self.held[stream].extend_from_slice(kept);
        self.flush(before + bytes.len() - self.held_bytes());
    }

    /// Returns how many bytes of output are held back: they are not in the buffer yet.
    fn held_bytes(&self) -> usize {
        self.held.iter().map(Vec::len).sum()
    }

    /// Writes the held-back output: no more is available now.
    pub fn settle(&mut self, now: i64) {
        self.write_held(now, self.from_terminal);
    }

    /// Writes the held-back output; with `keep_cr` without a CR at its end, which may be the first
    /// half of a line end.
    fn write_held(&mut self, now: i64, keep_cr: bool) {
        let mut bytes = 0;
        for stream in 0..STREAMS {
            let cr = keep_cr && self.held[stream].ends_with(b"\r");
            if cr {
                self.held[stream].pop();
            }
            let held = self.held[stream].len();
            if held > 0 {
                self.set_time(now);
                self.begin_line(stream);
                bytes += held;
            }
            if cr {
                self.held[stream].push(b'\r');
            }
        }
        self.flush(bytes);
    }

    /// Adds a line of the launcher itself, in brackets.
    pub fn note(&mut self, text: &str, now: i64) {
        self.write_held(now, false);
        self.set_time(now);
        if self.place.unfinished.take().is_some() {
            self.buffer.push(b'\n');
        }
        self.push_stamp();
        self.buffer.extend_from_slice(format!("[{text}]\n").as_bytes());
        self.flush(0);
    }

    /// Ends the log with the outcome. Returns a description of lost output, if any.
    pub fn close(&mut self, outcome: &str, now: i64) -> Option<String> {
        self.write_held(now, false);
        self.set_time(now);
        if self.place.unfinished.take().is_some() {
            self.buffer.push(b'\n');
        }
        self.push_stamp();
        self.buffer.extend_from_slice(closing_text(outcome).as_bytes());
        self.buffer.push(b'\n');
        let closed = self.flush(0);
        let place = &self.place;
        let lost = match (place.why.as_str(), place.all_lost) {
            ("", _) => None,
            (why, 0) if self.file.is_none() => Some(format!("there is no log {:?}: {why}", place.path)),
            (why, 0) => (!closed).then(|| format!("its outcome is not in the log {:?}: {why}", place.path)),
            (why, lost) => Some(format!("{lost} bytes of its output are not in the log {:?}: {why}", place.path)),
        };
        let deleted = (place.deleted > 0)
            .then(|| format!("{} bytes of the log {:?} were deleted while it ran", place.deleted, place.path));
        match (deleted, lost) {
            (Some(deleted), Some(lost)) => Some(format!("{deleted}; {lost}")),
            (deleted, lost) => deleted.or(lost),
        }
    }

    /// Joins the two halves into one file. A failure loses nothing: readers know both forms.
    pub fn join(&mut self) {
        if !self.place.older {
            return;
        }
        let (Some((folder, beside)), Ok(names)) = (&self.folder, self.names()) else { return };
        let joined = || -> io::Result<()> {
            let open = |name: &OsStr, append: bool| {
                let how = How { append, owners: &beside.owners, ..How::default() };
                folder.open_file(Path::new(name), &how).map(|opened| opened.file)
            };
            let (mut older, mut newer) = (open(&names.older, true)?, open(&names.newer, false)?);
            let cut = io::Seek::seek(&mut newer, io::SeekFrom::End(0))?.saturating_sub(self.place.len);
            io::Seek::seek(&mut newer, io::SeekFrom::Start(cut))?;
            io::copy(&mut newer, &mut older)?;
            folder.rename(&names.older, &names.newer)
        };
        self.place.older = joined().is_err();
    }

    fn set_time(&mut self, now: i64) {
        if self.stamp.0 != now {
            self.stamp = (now, format!("{}: ", (self.stamper)(now)).into_bytes());
        }
    }

    fn push_stamp(&mut self) {
        self.buffer.extend_from_slice(&self.stamp.1);
    }

    /// Prepares the buffer for text of this stream: after the start of its line and its held-back
    /// bytes.
    fn begin_line(&mut self, stream: usize) {
        if self.place.unfinished != Some(stream) {
            if self.place.unfinished.is_some() {
                self.buffer.push(b'\n');
            }
            self.push_stamp();
            self.place.unfinished = Some(stream);
        }
        let held = &mut self.held[stream];
        self.buffer.append(held);
        if held.capacity() > LONGEST_HELD {
            *held = Vec::new();
        }
    }

    /// Adds whole lines; the first continues the current line.
    fn push_lines(&mut self, lines: &[u8]) {
        let mut at = 0;
        for end in memchr_iter(b'\n', lines) {
            if at > 0 {
                self.buffer.extend_from_slice(&self.stamp.1);
            }
            self.buffer.extend_from_slice(&lines[at..=end]);
            if self.from_terminal && self.buffer.ends_with(b"\r\n") {
                self.buffer.truncate(self.buffer.len() - 2);
                self.buffer.push(b'\n');
            }
            at = end + 1;
        }
    }

    /// Writes the buffer, which contains `output` bytes of output; returns false on failure.
    fn flush(&mut self, output: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.place.lost > 0 && !buffer.is_empty() {
            let text = format!("[{} bytes of output lost here: {}]\n", self.place.lost, self.place.why);
            let end: &[u8] = if self.place.torn { b"\n" } else { b"" };
            let notice = [end, &self.stamp.1[..], text.as_bytes()].concat();
            if self.append(&mut &notice[..]).is_ok() {
                self.place.lost = 0;
            }
        }
        let mut left = &buffer[..];
        let written = match self.place.lost {
            0 => self.append(&mut left),
            _ => Err(ErrorKind::StorageFull.into()),
        };
        if let Err(error) = &written {
            let lost = match left.len() == buffer.len() || output == 0 {
                true => output,
                false => self.output_in(&buffer, left),
            };
            self.place.lost += lost as u64;
            self.place.all_lost += lost as u64;
            if self.place.why.is_empty() {
                self.place.why = error.to_string();
            }
        }
        buffer.clear();
        if buffer.capacity() <= 4 * LONGEST_HELD {
            self.buffer = buffer;
        }
        written.is_ok()
    }

    /// Returns how many bytes of output the unwritten end of a buffer contains: without the stamps
    /// at the start of its lines, and including the CR that a terminal has at their ends.
    fn output_in(&self, buffer: &[u8], left: &[u8]) -> usize {
        let stamp = self.stamp.1.len();
        let ends = memchr_iter(b'\n', left).count();
        let written = buffer.len() - left.len();
        let begun = written - memrchr(b'\n', &buffer[..written]).map_or(0, |end| end + 1);
        let stamps = ends.saturating_sub(usize::from(left.ends_with(b"\n"))) * stamp + stamp.saturating_sub(begun);
        (left.len() + if self.from_terminal { ends } else { 0 }).saturating_sub(stamps)
    }

    /// Writes bytes; those that could not be written stay in `bytes`.
    fn append(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        if !bytes.is_empty() {
            self.begin_again_if_deleted()?;
        }
        while !bytes.is_empty() {
            let room = usize::try_from(self.place.half.saturating_sub(self.place.len)).unwrap_or(usize::MAX);
            let piece = match bytes.len() <= room {
                true => bytes.len(),
                false => match memrchr(b'\n', &bytes[..room]) {
                    Some(end) => end + 1,
                    // The line is longer than the room: a new half may hold it; if not, it spans
                    // several.
                    None if self.place.len > 0 => 0,
                    None => room,
                },
            };
            if piece == 0 {
                self.turn_over()?;
                continue;
            }
            if self.file.is_none() {
                self.make_file(true, false)?;
            }
            let file = self.file.as_mut().ok_or(ErrorKind::NotFound)?;
            match file.write(&bytes[..piece]) {
                Ok(written) => {
                    self.place.len += written as u64;
                    self.place.torn = bytes[..written].last().map_or(self.place.torn, |last| *last != b'\n');
                    *bytes = &bytes[written..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Renames the newer half to the older one, which is replaced.
    fn turn_over(&mut self) -> io::Result<()> {
        let names = self.names()?;
        let file = self.begin_half(&names)?;
        let (folder, _) = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
        folder.rename(&names.newer, &names.older)?;
        folder.rename(&names.next, &names.newer)?;
        self.place.older = true;
        self.go_on_in(file);
        Ok(())
    }

    /// Restarts the log if its file was deleted, for example by a cleanup of old files: output in
    /// an unnamed file can never be read. The new file reports how much is missing.
    fn begin_again_if_deleted(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if file.metadata()?.nlink() > 0 {
            return Ok(());
        }
        // Its folder may be gone as well.
        self.folder = None;
        self.open_folder(true)?;
        let names = self.names()?;
        let file = self.begin_half(&names)?;
        let (folder, _) = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
        // An older half followed by the new one would hide the gap between them.
        folder.remove(&names.older)?;
        folder.rename(&names.next, &names.newer)?;
        self.place.older = false;
        self.place.deleted = self.place.before + self.place.len;
        self.go_on_in(file);
        Ok(())
    }

    /// Creates the file of a new half, with the line that reports how much comes before. The line
    /// is written before the file gets its name: a reader must not take it for the beginning of the
    /// log.
    fn begin_half(&self, names: &LogNames) -> io::Result<File> {
        let before = self.place.before + self.place.len;
        let line = [&self.stamp.1[..], cut_text(before).as_bytes(), b"\n"].concat();
        let mut file = self.open_file(&names.next, true, true)?;
        file.write_all(&line)?;
        Ok(file)
    }

    fn go_on_in(&mut self, file: File) {
        self.place.before += self.place.len;
        self.place.len = 0;
        self.file = Some(file);
    }

    fn names(&self) -> io::Result<LogNames> {
        let newer = self.place.path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let with = |suffix: &str| {
            let mut name = newer.clone();
            name.push(suffix);
            name
        };
        Ok(LogNames { older: with(".1"), next: with(".new"), newer })
    }

    /// Opens the newer half; creates missing folders on the way if asked to.
    fn make_file(&mut self, make: bool, truncate: bool) -> io::Result<()> {
        if self.folder.is_none() {
            self.open_folder(make)?;
        }
        self.file = Some(self.open_file(&self.names()?.newer, make, truncate)?);
        Ok(())
    }

    /// Opens the folder of the log. Folders are opened one by one, no link is followed, and each
    /// must belong to the owner of the database or to this user: other users may be able to write
    /// beside the database.
    fn open_folder(&mut self, make: bool) -> io::Result<()> {
        let parts = LogPath::of(&self.place.path).ok_or(ErrorKind::InvalidInput)?;
        let beside = Beside::of(&parts.db());
        let mut folder = Folder::open(parts.base)?;
        let mut path = parts.base.to_owned();
        for name in [parts.outer, parts.inner] {
            path.push(name);
            let below = match make {
                true => folder.below_or_make(name, Make::exactly(0o700, beside.give)).map(|(below, _)| below),
                false => folder.below(Path::new(name)),
            };
            let named = |error: io::Error| io::Error::new(error.kind(), format!("folder {path:?}: {error}"));
            let below = below.map_err(|error| safe_open::with_owner(error, "the folder above it", folder.stat()));
            let below = below.map_err(named)?;
            beside.check(&below.stat()?).map_err(named)?;
            folder = below;
        }
        self.folder = Some((folder, beside));
        Ok(())
    }

    fn open_file(&self, name: &OsStr, make: bool, truncate: bool) -> io::Result<File> {
        let (folder, beside) = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
        let make = make.then_some(Make::exactly(0o600, beside.give));
        let how = How { append: true, make, truncate, owners: &beside.owners, ..How::default() };
        let opened = folder.open_file(Path::new(name), &how);
        Ok(opened.map_err(|error| safe_open::with_owner(error, "its folder", folder.stat()))?.file)
    }

    fn note_failure(&mut self, made: io::Result<()>) {
        if let Err(error) = made {
            self.place.why = error.to_string();
        }
    }
}

struct LogNames {
    newer: OsString,
    older: OsString,
    /// A new half before it gets its name.
    next: OsString,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::log::parse_cut;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn stamper(secs: i64) -> String {
        format!("2026-11-23T20:15:{secs:02}Z")
    }

    struct TempPlace(tempfile::TempDir);

    impl TempPlace {
        fn new() -> TempPlace {
            TempPlace(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("x.db.logs/0A/UPID:x.log")
        }

        fn log(&self, max: u64) -> TaskLog {
            TaskLog::begin(&self.path(), max, false, stamper)
        }

        fn text(&self) -> String {
            String::from_utf8(std::fs::read(self.path()).unwrap()).unwrap()
        }
    }

    #[test]
    fn lines_of_two_streams_stay_whole_and_in_order() {
        let place = TempPlace::new();
        let mut log = place.log(1 << 20);
        log.take(0, b"one\ntw", 1);
        log.take(1, b"err\n", 1);
        log.take(0, b"o\nthree", 2);
        log.settle(2);
        log.take(0, b"...", 3);
        log.take(1, b"late", 4);
        assert_eq!(log.close("OK", 5), None);
        let time = |n| format!("2026-11-23T20:15:0{n}Z: ");
        let printed = [(1, "one"), (1, "err"), (2, "two"), (2, "three..."), (5, "late"), (5, "TASK OK")];
        let want: String = printed.iter().map(|(at, text)| format!("{}{text}\n", time(at))).collect();
        assert_eq!(place.text(), want);
    }

    #[test]
    fn files_are_private_and_links_are_not_followed() {
        let place = TempPlace::new();
        let mut log = place.log(1 << 20);
        log.take(0, b"x\n", 1);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&place.path()), 0o600);
        assert_eq!(mode(place.path().parent().unwrap()), 0o700);
        assert_eq!(mode(place.path().parent().unwrap().parent().unwrap()), 0o700);
        let trap = TempPlace::new();
        std::os::unix::fs::symlink(place.0.path(), trap.0.path().join("x.db.logs")).unwrap();
        let mut log = trap.log(1 << 20);
        log.take(0, b"12345\n", 1);
        let lost = log.close("OK", 1).unwrap();
        assert!(lost.starts_with("6 bytes of its output are not in the log"), "{lost}");
    }

    #[test]
    fn a_pipe_in_the_place_of_a_log_is_refused_even_with_a_reader() {
        let place = TempPlace::new();
        std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&place.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::fs::File::options().read(true).write(true).open(place.path()).unwrap();
        let mut log = place.log(1 << 20);
        log.take(0, b"12345\n", 1);
        let lost = log.close("OK", 1).unwrap();
        assert!(
            lost.starts_with("6 bytes of its output are not in the log") && lost.contains("it is a pipe"),
            "{lost}"
        );
        drop(reader);
    }

    #[test]
    fn an_outcome_that_cannot_be_written_is_reported() {
        let place = TempPlace::new();
        let mut log = place.log(1 << 20);
        log.take(0, b"whole\n", 1);
        log.file = Some(File::options().write(true).open("/dev/full").unwrap());
        let lost = log.close("OK", 1).unwrap();
        assert!(lost.starts_with("its outcome is not in the log \"") && lost.contains("No space"), "{lost}");
        let mut log = place.log(1 << 20);
        log.file = Some(File::options().write(true).open("/dev/full").unwrap());
        log.take(0, b"12345\n", 1);
        let lost = log.close("OK", 1).unwrap();
        assert!(lost.starts_with("6 bytes of its output are not in the log"), "{lost}");
    }

    #[test]
    fn held_back_bytes_that_are_lost_are_counted_once() {
        let lost = |pieces: &[&str], settles: bool| {
            let place = TempPlace::new();
            let mut log = place.log(1 << 20);
            log.take(0, b"whole\n", 1);
            log.file = Some(File::options().write(true).open("/dev/full").unwrap());
            for piece in pieces {
                log.take(0, piece.as_bytes(), 1);
                if settles {
                    log.settle(1);
                }
            }
            log.close("OK", 1).unwrap()
        };
        for pieces in [&["12345\nab"][..], &["123", "45\nab"], &["12345\n", "a", "b"]] {
            for settles in [true, false] {
                let lost = lost(pieces, settles);
                assert!(lost.starts_with("8 bytes of its output"), "{pieces:?} {settles}: {lost}");
            }
        }
    }

    #[test]
    fn line_ends_of_a_terminal_become_those_of_a_file() {
        let place = TempPlace::new();
        let mut log = TaskLog::begin(&place.path(), 1 << 20, true, stamper);
        for piece in ["a\r\nb\r", "\nc\rd\r", "\r\n", "e\r"] {
            log.take(0, piece.as_bytes(), 1);
            log.settle(1);
        }
        log.close("OK", 1);
        let text = place.text().replace("2026-11-23T20:15:01Z: ", "");
        assert_eq!(text, "a\nb\nc\rd\r\ne\r\nTASK OK\n");
    }

    #[test]
    fn a_log_continues_after_a_re_execution() {
        let place = TempPlace::new();
        let mut log = place.log(1 << 20);
        log.take(0, b"half a ", 1);
        let left = log.place(1);
        drop(log);
        let mut log = TaskLog::resume(left, false, stamper);
        log.take(0, b"line\n", 2);
        log.close("OK", 2);
        assert_eq!(place.text(), "2026-11-23T20:15:01Z: half a line\n2026-11-23T20:15:02Z: TASK OK\n");
    }

    proptest! {
        /// Of any output in any pieces, the log keeps the newest part up to the limit, and its
        /// first line reports how much is missing.
        #[test]
        fn the_newest_is_kept(lines in prop::collection::vec("[a-z]{0,60}", 0..120), piece in 1..200usize, max in 600..4000u64) {
            let place = TempPlace::new();
            let mut log = place.log(max);
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            for bytes in text.as_bytes().chunks(piece) {
                log.take(0, bytes, 1);
                log.settle(1);
            }
            prop_assert_eq!(log.close("OK", 1), None);
            log.join();
            let whole: String =
                lines.iter().map(String::as_str).chain(["TASK OK"]).map(|line| format!("{}: {line}\n", stamper(1))).collect();
            let kept = place.text();
            let (first, rest) = kept.split_once('\n').unwrap();
            let cut = parse_cut(first.as_bytes());
            let rest = if cut.is_some() { rest } else { &kept[..] };
            prop_assert!(whole.ends_with(rest));
            prop_assert_eq!(whole.len() - rest.len(), usize::try_from(cut.unwrap_or(0)).unwrap());
            prop_assert!(rest.len() as u64 <= max);
            prop_assert!(cut.is_none() || rest.len() as u64 >= max / 2 - 80);
        }
    }
}
