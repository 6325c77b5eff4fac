//! Follows a file that grows while it is read, and may be moved away or emptied meanwhile, such as
//! a log.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use super::safe_open::{How, reach};

/// Bytes per read.
const PIECE: usize = 64 << 10;
/// Bytes before the current offset that are compared before reading continues: a log that was
/// emptied and has grown to its former length has other bytes there.
const KNOWN: usize = 128;
/// Number of rotated files that are searched for the one that was being read.
const OLDER: u32 = 1000;

/// A followed file.
#[derive(Debug)]
pub struct Growing {
    /// The path.
    pub path: PathBuf,
    /// The open file; `None` if it did not exist yet.
    pub file: Option<File>,
    /// Bytes read so far.
    pub offset: u64,
    /// Opens the file that replaces the current one.
    open: fn(&Path) -> io::Result<File>,
    /// The last bytes before `offset`.
    known: Vec<u8>,
    skipped: bool,
    /// Dropped by the writer when nothing is written to the file any more; `None` if that is
    /// unknown.
    writer: Option<Weak<()>>,
}

/// Opens a log for reading. Another user may own its folder, or one above it, and may have replaced
/// the log meanwhile: a link is not followed there, and only a regular file is read (a pipe would
/// wait for a writer).
///
/// # Errors
/// Those of open(2); the type of the entry that is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let place = reach::FileLocation::of(path, None)?;
    place.folder.open_file(Path::new(&place.name), &How::default()).map(|opened| opened.file)
}

impl Growing {
    /// Returns a follower that starts at `offset` bytes; `open` opens the file that replaces
    /// `file`.
    pub fn new(path: PathBuf, file: Option<File>, offset: u64, open: fn(&Path) -> io::Result<File>) -> Growing {
        Growing { path, file, offset, open, known: vec![], skipped: false, writer: None }
    }

    /// Adds the writer of the file, which is known to be alive until `writer` is dropped.
    pub fn written_by(self, writer: &Arc<()>) -> Growing {
        Growing { writer: Some(Arc::downgrade(writer)), ..self }
    }

    /// Whether the writer is gone, if known. Its last output may not have been read yet.
    pub fn is_over(&self) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.strong_count() == 0)
    }

    /// Whether output before the last piece may be missing: the log was rotated so often between
    /// two reads that files are gone. Resets the answer.
    pub fn has_skipped(&mut self) -> bool {
        std::mem::take(&mut self.skipped)
    }

    /// Returns the bytes added since the last call, and their offset; `None` if there are none. The
    /// rest of the current file comes first, wherever it was moved to; then the files that replaced
    /// it, the one with the path last.
    pub fn more(&mut self) -> Option<(Vec<u8>, u64)> {
        if let Some(more) = self.read_on() {
            return Some(more);
        }
        let there = fs::symlink_metadata(&self.path).ok()?;
        let here = self.file.as_ref().and_then(|file| file.metadata().ok());
        if here.is_some_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino())) {
            return None;
        }
        let next = self.next().or_else(|| (self.open)(&self.path).ok())?;
        if self.file.replace(next).is_some() {
            self.offset = 0;
            self.known.clear();
        }
        self.read_on()
    }

    /// Opens the rotated file that followed the current one, if the log was rotated more than once
    /// since; `None` if the log itself comes next.
    fn next(&mut self) -> Option<File> {
        let was = self.file.as_ref()?.metadata().ok()?;
        let place = reach::FileLocation::of(&self.path, None).ok()?;
        let name = |number: u32| {
            let mut name = place.name.clone();
            name.push(format!(".{number}"));
            name
        };
        let open = |number: u32| {
            place.folder.open_file(Path::new(&name(number)), &How::default()).ok().map(|opened| opened.file)
        };
        let mut younger = 0;
        for number in 1..=OLDER {
            let Ok(Some(stat)) = place.folder.stat_of(&name(number)) else { break };
            if (stat.st_dev, stat.st_ino) == (was.dev(), was.ino()) {
                return if number > 1 { open(number - 1) } else { None };
            }
            if (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)) > (was.mtime(), was.mtime_nsec()) {
                younger = number;
            }
        }
        // The current file is deleted, as the oldest one is at each rotation; there may have been
        // others in between.
        if younger > 0 && was.nlink() == 0 {
            self.skipped = true;
            return open(younger);
        }
        None
    }

    /// Returns the last bytes before the offset, at most `bytes`, and whether there are more before
    /// them.
    pub fn before(&mut self, bytes: u64) -> (Vec<u8>, bool) {
        let from = self.offset.saturating_sub(bytes);
        let mut found = vec![];
        if let Some(file) = &mut self.file
            && file.seek(io::SeekFrom::Start(from)).is_ok()
        {
            // Unreadable bytes count as missing.
            let _ = file.take(self.offset - from).read_to_end(&mut found);
        }
        (found, from > 0)
    }

    fn read_on(&mut self) -> Option<(Vec<u8>, u64)> {
        let file = self.file.as_mut()?;
        let size = file.metadata().ok()?.len();
        if size == self.offset {
            return None;
        }
        let mut known = vec![0; self.known.len()];
        let before = self.offset.saturating_sub(known.len() as u64);
        // A file that is shorter, or has other bytes there, was cleared.
        if size < self.offset || (file.read_at(&mut known, before).ok()? == known.len() && known != self.known) {
            self.offset = 0;
        }
        file.seek(io::SeekFrom::Start(self.offset)).ok()?;
        let mut bytes = vec![0; PIECE];
        let len = file.read(&mut bytes).ok()?;
        bytes.truncate(len);
        let from = self.offset;
        self.offset += len as u64;
        self.known = bytes.get(len.saturating_sub(KNOWN)..).unwrap_or_default().to_vec();
        (len > 0).then_some((bytes, from))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write};

    use super::*;

    /// Reads all that is available.
    fn rest(log: &mut Growing) -> String {
        let mut text = vec![];
        while let Some((bytes, _)) = log.more() {
            text.extend(bytes);
        }
        String::from_utf8(text).unwrap()
    }

    fn written_at(path: &Path, secs: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 + secs);
        OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn turn(path: &Path, number: u32) {
        for number in (0..number).rev() {
            let name = |number: u32| match number {
                0 => path.to_owned(),
                number => PathBuf::from(format!("{}.{number}", path.display())),
            };
            let _ = fs::rename(name(number), name(number + 1));
        }
    }

    #[test]
    fn files_rotated_meanwhile_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        written_at(&path, 0);
        turn(&path, 4);
        fs::write(&path, "one\n").unwrap();
        let mut log = Growing::new(path.clone(), open(&path).ok(), 0, open);
        assert_eq!(rest(&mut log), "one\n");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more\n").unwrap();
        for text in ["two\n", "three\n"] {
            turn(&path, 4);
            fs::write(&path, text).unwrap();
        }
        assert_eq!(rest(&mut log), "more\ntwo\nthree\n");
        assert!(!log.has_skipped());
        // The file that is being read is dropped.
        written_at(&path, 1);
        for number in 0..3 {
            turn(&path, 2);
            fs::write(&path, format!("{number}\n")).unwrap();
            written_at(&path, number + 2);
        }
        assert_eq!(rest(&mut log), "0\n1\n2\n");
        assert!(log.has_skipped() && !log.has_skipped());
    }

    #[test]
    fn a_file_cleared_and_as_long_again_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "line 1\nline 2\n").unwrap();
        let mut log = Growing::new(path.clone(), open(&path).ok(), 0, open);
        assert_eq!(rest(&mut log), "line 1\nline 2\n");
        fs::write(&path, "line 3\nline 4\nline 5\n").unwrap();
        assert_eq!(rest(&mut log), "line 3\nline 4\nline 5\n");
        assert!(!log.has_skipped());
        fs::write(&path, "").unwrap();
        assert_eq!(rest(&mut log), "");
        fs::write(&path, "line 6\n").unwrap();
        assert_eq!(rest(&mut log), "line 6\n");
    }
}
