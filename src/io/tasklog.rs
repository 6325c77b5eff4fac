//! The log of one task, as it is written: see `model/log.rs` for its form.
//!
//! Whole lines are written as they come. What is no whole line yet is kept back for a moment ([`TaskLog::settle`]), so
//! that the streams of a task do not cut each other's lines; a line that stays unfinished is written as far as it is.
//!
//! # Bounds
//! A log is two halves at the most. When the newer is full it takes the older one's name, whose contents are gone then,
//! and a new one begins: nothing is copied while a task writes fast. At the end they are made one.
//!
//! # If we die here
//! What was written stays, in one file or two. Joining appends to the older half what is in the newer, then renames it;
//! a reader takes from the older half only what lies before the newer.

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

/// A partial line longer than this is not kept back.
const LONGEST_HELD: usize = 64 << 10;
/// Streams of one task: its output and its error output.
const STREAMS: usize = 2;

/// Where a log stands: what another program has to know to go on with it.
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
    /// The stream whose line is unfinished in the file.
    unfinished: Option<usize>,
    /// Whether the file's last line has no end.
    torn: bool,
    /// Bytes of output that could not be written since the last time that was told.
    lost: u64,
    /// The same, all of them.
    all_lost: u64,
    /// Bytes of the log that somebody deleted while the task ran.
    #[serde(default)]
    deleted: u64,
    /// What was said about it.
    why: String,
}

/// The log of a task that runs.
#[derive(Debug)]
pub struct TaskLog {
    place: LogState,
    folder: Option<(Folder, Beside)>,
    file: Option<File>,
    held: [Vec<u8>; STREAMS],
    /// What is about to be written.
    buffer: Vec<u8>,
    /// The time before a line, and the second it is of.
    stamp: (i64, Vec<u8>),
    /// How an instant is written.
    stamper: fn(i64) -> String,
    /// Whether lines end as terminals end them, for which the log has no use.
    from_terminal: bool,
}

impl TaskLog {
    /// A log that begins: its folders (0700) and its file (0600) are made, whatever the umask. That it cannot be made
    /// is no error here: its output counts as lost, and [`TaskLog::close`] tells why.
    ///
    /// `stamper` writes unix seconds as RFC 3339. `from_terminal`: CR LF ends a line, of which LF is kept.
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

    /// Goes on with a log.
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

    /// Where it stands; what was kept back is written first.
    pub fn place(&mut self, now: i64) -> LogState {
        self.let_go(now, false);
        self.place.clone()
    }

    /// Takes what a stream (0 or 1) printed, at `now`, unix seconds.
    pub fn take(&mut self, stream: usize, bytes: &[u8], now: i64) {
        self.set_time(now);
        let lines = memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        let (whole, mut rest) = bytes.split_at(lines);
        if !whole.is_empty() {
            self.begin_line(stream);
            self.push_lines(whole);
            self.place.unfinished = None;
        }
        if rest.is_empty() {
            self.flush(bytes.len());
            return;
        }
        let mut kept = &rest[..0];
        if self.from_terminal && rest.ends_with(b"\r") {
            // It may be the first half of a line's end.
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
        self.flush(bytes.len());
    }

    /// Writes what was kept back: there is nothing more to come just now.
    pub fn settle(&mut self, now: i64) {
        self.let_go(now, self.from_terminal);
    }

    /// Writes what was kept back; not a CR at its end, if that may be the first half of a line's end.
    fn let_go(&mut self, now: i64, keep_cr: bool) {
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

    /// Adds a line of its launcher's own, which stands in brackets.
    pub fn note(&mut self, text: &str, now: i64) {
        self.let_go(now, false);
        self.set_time(now);
        if self.place.unfinished.take().is_some() {
            self.buffer.push(b'\n');
        }
        self.push_stamp();
        self.buffer.extend_from_slice(format!("[{text}]\n").as_bytes());
        self.flush(0);
    }

    /// Ends the log with the outcome. Gives what was lost of it, in words, if anything was.
    pub fn close(&mut self, outcome: &str, now: i64) -> Option<String> {
        self.let_go(now, false);
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

    /// Makes one file of two halves. Nothing is lost if that fails: readers know both.
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

    /// Comes to where text of this stream may be added: after the beginning of its line, and what was kept back of it.
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

    /// Adds whole lines; the first goes on with the line that is there.
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

    /// Writes the buffer, which holds so many bytes of output; false if that failed.
    fn flush(&mut self, output: usize) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.place.lost > 0 && !buffer.is_empty() {
            let text = format!("[{} bytes of output lost here: {}]\n", self.place.lost, self.place.why);
            let end: &[u8] = if self.place.torn { b"\n" } else { b"" };
            let told = [end, &self.stamp.1[..], text.as_bytes()].concat();
            if self.append(&mut &told[..]).is_ok() {
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
                // What is kept back for the next time was part of this output too.
                false => self.output_in(&buffer, left) + self.held.iter().map(Vec::len).sum::<usize>(),
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

    /// Returns how many bytes of output there are in the end of a buffer that was written up to there: without the stamps
    /// that begin its lines, and with what a terminal has more at their ends.
    fn output_in(&self, buffer: &[u8], left: &[u8]) -> usize {
        let stamp = self.stamp.1.len();
        let ends = memchr_iter(b'\n', left).count();
        let written = buffer.len() - left.len();
        let begun = written - memrchr(b'\n', &buffer[..written]).map_or(0, |end| end + 1);
        let stamps = ends.saturating_sub(usize::from(left.ends_with(b"\n"))) * stamp + stamp.saturating_sub(begun);
        (left.len() + if self.from_terminal { ends } else { 0 }).saturating_sub(stamps)
    }

    /// Writes bytes; those that could not be written are left in `bytes`.
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
                    // A line longer than the room: a fresh half may hold it; if not, it goes over several.
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

    /// The newer half becomes the older one, which is gone then.
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

    /// Begins the log again if somebody deleted it, as what cleans up old files does: what is written into a file without
    /// a name can never be read. The new one says how much is missing.
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
        // An older half without the one that goes on from it would be read as if nothing was missing between.
        folder.remove(&names.older)?;
        folder.rename(&names.next, &names.newer)?;
        self.place.older = false;
        self.place.deleted = self.place.before + self.place.len;
        self.go_on_in(file);
        Ok(())
    }

    /// Makes the file of a half that is about to begin, with the line that says how much comes before it. It has this line
    /// before it has its name: a reader must not take it for the beginning of the log.
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

    /// Opens the newer half; makes what is missing on the way to it, if asked to.
    fn make_file(&mut self, make: bool, truncate: bool) -> io::Result<()> {
        if self.folder.is_none() {
            self.open_folder(make)?;
        }
        self.file = Some(self.open_file(&self.names()?.newer, make, truncate)?);
        Ok(())
    }

    /// Opens the folder of the log. Folders are opened one by one, no link is followed, and each belongs to the owner of
    /// the database or to this user: the database may lie where others can write.
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
    /// A newer half that is about to begin.
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
    fn lines_of_two_streams_keep_whole_and_in_order() {
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
        let said = [(1, "one"), (1, "err"), (2, "two"), (2, "three..."), (5, "late"), (5, "TASK OK")];
        let want: String = said.iter().map(|(at, text)| format!("{}{text}\n", time(at))).collect();
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
    fn a_pipe_in_the_place_of_a_log_is_refused_though_somebody_reads_it() {
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
    fn an_outcome_that_cannot_be_written_is_told() {
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
    fn line_ends_of_a_terminal_are_those_of_a_file() {
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
    fn a_log_goes_on_where_another_program_left_it() {
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
        /// Whatever is printed in whatever pieces: no more than the limit is kept, it is the newest, and the first line
        /// tells how much is gone.
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
