//! Reads the log of a task, while its writer may still append: see `model/log.rs` for the format.
//!
//! A position is the number of bytes of the log before it, counted from the log's first line. So a
//! position stays valid when the writer begins a new half, drops the old one, or joins the two at
//! the end.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use memchr::{memchr, memchr_iter, memrchr_iter};

use super::safe_open::{Beside, Folder, How};
use crate::model::log::{LogPath, parse_cut};

/// Bytes per read.
const BLOCK: usize = 64 << 10;
/// Longest line that reports a cut.
const LONGEST_CUT: usize = 128;
/// Retries while the writer is between two steps of beginning a new half.
const TRIES: usize = 20;

#[derive(Debug)]
struct Part {
    file: File,
    inode: u64,
    /// Length of the first line, if that reports a cut.
    head: u64,
    /// Position of this part in the log.
    start: u64,
    /// Bytes of the log in this part; `None`: to the end of the file, which may grow.
    len: Option<u64>,
}

impl Part {
    fn open(folder: &Folder, name: &OsStr, owners: &[u32]) -> io::Result<Part> {
        let opened = folder.open_file(Path::new(name), &How { owners, ..How::default() })?;
        let (file, meta) = (opened.file, opened.metadata);
        let mut first = [0; LONGEST_CUT];
        let got = read_at(&file, &mut first, 0)?;
        let line = memchr(b'\n', &first[..got]).map(|end| &first[..=end]);
        let cut = line.and_then(|line| Some((line.len() as u64, parse_cut(line)?)));
        let (head, start) = cut.unwrap_or((0, 0));
        Ok(Part { file, inode: meta.ino(), head, start, len: None })
    }

    fn len(&self) -> io::Result<u64> {
        match self.len {
            Some(len) => Ok(len),
            None => Ok(self.file.metadata()?.len().saturating_sub(self.head)),
        }
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A log, open for reading.
#[derive(Debug)]
pub struct LogReader {
    /// The folder of the database.
    base: Folder,
    /// The folder of the log, relative to `base`.
    inner: PathBuf,
    name: OsString,
    owners: [u32; 2],
    parts: Vec<Part>,
}

/// Opens the newer half of the log of a task as a plain file, with the checks of
/// [`LogReader::open`].
///
/// # Errors
/// Those of [`LogReader::open`].
pub fn open_newest(path: &Path) -> io::Result<File> {
    let reader = LogReader::open(path)?;
    reader.parts.into_iter().next_back().map(|part| part.file).ok_or_else(|| ErrorKind::NotFound.into())
}

impl LogReader {
    /// Opens a log in the folder of logs of a database. Below the folder of the database no link is
    /// followed. The log must be a regular file of the owner of the database or of this user.
    ///
    /// # Errors
    /// Those of open(2); `NotFound` if there is no log (yet).
    pub fn open(path: &Path) -> io::Result<LogReader> {
        let no_log = || io::Error::new(ErrorKind::InvalidInput, "not in a folder of logs");
        let parts = LogPath::of(path).ok_or_else(no_log)?;
        let mut reader = LogReader {
            base: Folder::open(parts.base)?,
            inner: Path::new(parts.outer).join(parts.inner),
            name: parts.name.to_owned(),
            owners: Beside::of(&parts.db()).owners,
            parts: vec![],
        };
        reader.reopen()?;
        Ok(reader)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let folder = self.base.below(&self.inner)?;
        let part = |name: &OsStr| Part::open(&folder, name, &self.owners);
        let mut older_name = self.name.clone();
        older_name.push(".1");
        let mut tries = 0;
        self.parts = loop {
            tries += 1;
            let newer = match part(&self.name) {
                Ok(newer) => newer,
                // The writer is between two steps, or died there.
                Err(error) if error.kind() == ErrorKind::NotFound => match part(&older_name) {
                    Ok(_) if tries < TRIES => continue,
                    Ok(older) => break vec![older],
                    Err(_) => return Err(error),
                },
                Err(error) => return Err(error),
            };
            if newer.start == 0 {
                break vec![newer];
            }
            match part(&older_name) {
                // The halves changed places meanwhile.
                Ok(older) if older.start >= newer.start && tries < TRIES => {}
                Ok(older) if older.start < newer.start => {
                    let len = Some(newer.start - older.start);
                    break vec![Part { len, ..older }, newer];
                }
                Ok(_) | Err(_) => break vec![newer],
            }
        };
        Ok(())
    }

    /// Checks whether the writer did more than append; returns true if the log continues in another
    /// file.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn refresh(&mut self) -> io::Result<bool> {
        let stat = self.base.below(&self.inner).and_then(|folder| folder.stat_of(&self.name));
        let now = stat.ok().flatten().map(|stat| stat.st_ino);
        if self.parts.last().map(|part| part.inode) == now {
            return Ok(false);
        }
        self.reopen()?;
        Ok(true)
    }

    /// Returns the position of the first byte still present; above zero if older bytes are gone.
    pub fn start(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.start)
    }

    /// Returns the current end position.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn end(&self) -> io::Result<u64> {
        self.parts.last().map_or(Ok(0), |part| Ok(part.start + part.len()?))
    }

    /// Returns the line that reports a cut, with its line end; empty if there was no cut.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn cut_line(&self) -> io::Result<Vec<u8>> {
        let Some(part) = self.parts.first() else { return Ok(vec![]) };
        let mut line = vec![0; usize::try_from(part.head).unwrap_or(0)];
        let got = read_at(&part.file, &mut line, 0)?;
        line.truncate(got);
        Ok(line)
    }

    /// Reads from a position into `buffer`; returns 0 at the current end.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read(&self, place: u64, buffer: &mut [u8]) -> io::Result<usize> {
        for part in &self.parts {
            if place < part.start {
                continue;
            }
            let offset = place - part.start;
            let room = match part.len {
                Some(len) => usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len()),
                None => buffer.len(),
            };
            if room == 0 {
                continue;
            }
            let got = read_at(&part.file, &mut buffer[..room], part.head + offset)?;
            if got > 0 {
                return Ok(got);
            }
        }
        Ok(0)
    }

    /// Returns the position where the last `lines` lines begin.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn tail(&self, lines: usize) -> io::Result<u64> {
        let (start, end) = (self.start(), self.end()?);
        let mut left = lines;
        let mut upto = end;
        let mut block = vec![0; BLOCK];
        while upto > start && lines > 0 {
            let from = upto.saturating_sub(BLOCK as u64).max(start);
            let wanted = usize::try_from(upto - from).unwrap_or(BLOCK);
            let mut got = 0;
            while got < wanted {
                match self.read(from + got as u64, &mut block[got..wanted])? {
                    0 => break,
                    more => got += more,
                }
            }
            for at in memrchr_iter(b'\n', &block[..got]) {
                // The end of the last line does not begin another line.
                if from + at as u64 + 1 == end {
                    continue;
                }
                left -= 1;
                if left == 0 {
                    return Ok(from + at as u64 + 1);
                }
            }
            upto = from;
        }
        Ok(if lines == 0 { end } else { start })
    }

    /// Returns the position after the first `lines` lines, and the number of lines before it, which
    /// is smaller if the log has fewer lines.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn skip(&self, lines: u64) -> io::Result<(u64, u64)> {
        let mut place = self.start();
        let mut passed = 0;
        let mut block = vec![0; BLOCK];
        while passed < lines {
            let got = self.read(place, &mut block)?;
            if got == 0 {
                break;
            }
            for at in memchr_iter(b'\n', &block[..got]) {
                passed += 1;
                if passed == lines {
                    return Ok((place + at as u64 + 1, passed));
                }
            }
            place += got as u64;
        }
        Ok((place, passed))
    }

    /// Returns the number of lines that end before a position.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn lines_before(&self, end: u64) -> io::Result<u64> {
        let mut place = self.start();
        let mut lines = 0;
        let mut block = vec![0; BLOCK];
        while place < end {
            let wanted = usize::try_from(end - place).unwrap_or(BLOCK).min(BLOCK);
            let got = self.read(place, &mut block[..wanted])?;
            if got == 0 {
                break;
            }
            lines += memchr_iter(b'\n', &block[..got]).count() as u64;
            place += got as u64;
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::log::cut_text;
    use std::fs;

    fn all(reader: &LogReader) -> String {
        let mut text = reader.cut_line().unwrap();
        let mut place = reader.start();
        let mut buffer = [0; 7];
        loop {
            match reader.read(place, &mut buffer).unwrap() {
                0 => return String::from_utf8(text).unwrap(),
                got => {
                    text.extend_from_slice(&buffer[..got]);
                    place += got as u64;
                }
            }
        }
    }

    /// Returns the path of a log in this folder.
    fn log_in(dir: &tempfile::TempDir) -> PathBuf {
        let folder = dir.path().join("x.db.logs/00");
        fs::create_dir_all(&folder).unwrap();
        folder.join("x.log")
    }

    fn cut(bytes: u64) -> String {
        format!("2026-11-23T20:15:00Z: {}\n", cut_text(bytes))
    }

    #[test]
    fn two_halves_are_one_log() {
        let dir = tempfile::tempdir().unwrap();
        let newer = log_in(&dir);
        let older = newer.with_file_name("x.log.1");
        fs::write(&newer, "one\ntwo\n").unwrap();
        let mut reader = LogReader::open(&newer).unwrap();
        assert_eq!(all(&reader), "one\ntwo\n");
        fs::rename(&newer, &older).unwrap();
        fs::write(&newer, cut(8) + "three\nfour").unwrap();
        assert!(reader.refresh().unwrap() && !reader.refresh().unwrap());
        assert_eq!(all(&reader), "one\ntwo\nthree\nfour");
        assert_eq!((reader.start(), reader.end().unwrap()), (0, 18));
        // Joining appends to the older half before renaming it: no line is read twice.
        fs::write(&older, "one\ntwo\nthree\n").unwrap();
        assert_eq!(all(&LogReader::open(&newer).unwrap()), "one\ntwo\nthree\nfour");
        fs::write(&older, cut(100) + "later\n").unwrap();
        fs::write(&newer, cut(106) + "last\n").unwrap();
        let reader = LogReader::open(&newer).unwrap();
        assert_eq!(all(&reader), cut(100) + "later\nlast\n");
        fs::remove_file(&newer).unwrap();
        assert_eq!(all(&LogReader::open(&newer).unwrap()), cut(100) + "later\n", "its writer died between two steps");
    }

    #[test]
    fn lines_are_found_from_both_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = log_in(&dir);
        let lines: Vec<String> = (0..30_000).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, lines.concat()).unwrap();
        let reader = LogReader::open(&path).unwrap();
        let place = |n: usize| lines[..n].iter().map(String::len).sum::<usize>() as u64;
        for n in [0, 1, 2, 9_999, 29_999, 30_000] {
            assert_eq!(reader.tail(n).unwrap(), place(30_000 - n), "{n}");
            assert_eq!(reader.skip(n as u64).unwrap(), (place(n), n as u64));
            assert_eq!(reader.lines_before(place(n)).unwrap(), n as u64);
        }
        assert_eq!(reader.tail(40_000).unwrap(), 0);
        assert_eq!(reader.skip(40_000).unwrap(), (place(30_000), 30_000));
        fs::write(&path, "a\nb").unwrap();
        assert_eq!(LogReader::open(&path).unwrap().tail(1).unwrap(), 2, "a last line without its end counts");
        fs::write(&path, "").unwrap();
        assert_eq!(LogReader::open(&path).unwrap().tail(5).unwrap(), 0);
    }

    #[test]
    fn links_and_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = log_in(&dir);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        LogReader::open(&path).unwrap_err();
        LogReader::open(dir.path()).unwrap_err();
        assert_eq!(LogReader::open(&path.with_file_name("y.log")).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(dir.path().join("z.log"), "text").unwrap();
        LogReader::open(&dir.path().join("z.log")).unwrap_err();
        let real = path.with_file_name("z.log");
        fs::write(&real, "text").unwrap();
        assert_eq!(all(&LogReader::open(&real).unwrap()), "text");
        // Links on the way neither.
        fs::rename(path.parent().unwrap(), dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("../other", path.parent().unwrap()).unwrap();
        LogReader::open(&real).unwrap_err();
    }
}
