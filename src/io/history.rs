//! The history file of the shell. Several shells may have it open: each appends its lines.
//!
//! The file may be in a folder where every user can write, such as /tmp. So no link is followed, no
//! other user may read the file, and a file of another user is not touched. The path may come from
//! a configuration, so a file without the first line of a history file is not touched either.
//!
//! # If the process dies here
//!
//! Each line is in the file as soon as it was typed. While the file is shortened its last lines may
//! be lost, but only if the system stops.

use std::{
    fs::{File, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

use super::safe_open::reach;

/// Bytes that are read from the end of the file; a thousand typed lines are fewer.
const LARGEST: u64 = 4 << 20;

/// First line of each history file.
const HEAD: &str = "#supervise shell history";

/// Why the history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file belongs to another user.
    #[error("history file {} is owned by another user and is not used: set another one with [taskmasterctl] history or -r", .0.display())]
    Foreign(PathBuf),
    /// The file has other content.
    #[error("history file {} was not written by this shell and is not used: set another one with [taskmasterctl] history or -r", .0.display())]
    OfOther(PathBuf),
    /// The path is not a regular file.
    #[error("history file {} is not a regular file and is not used", .0.display())]
    NoFile(PathBuf),
    /// An error of the system.
    #[error("cannot use history file {}: {why}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

/// The open history file.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    file: File,
    most: usize,
}

impl HistoryFile {
    /// Opens the file, creating it if missing, and returns its last `most` lines, the oldest first.
    /// `old` accepts a file without the first line, as earlier versions wrote it; only for the
    /// default path.
    ///
    /// # Errors
    /// [`HistoryError`]
    pub fn open(path: &Path, most: usize, old: bool) -> Result<(HistoryFile, Vec<String>), HistoryError> {
        let failed = |why: io::Error| match why.raw_os_error() {
            Some(code) if code == nix::errno::Errno::ELOOP as i32 => HistoryError::NoFile(path.to_owned()),
            _ => HistoryError::Io { path: path.to_owned(), why },
        };
        let place = reach::FileLocation::of(path, None).map_err(failed)?;
        // Non-blocking, as the path may be that of a pipe.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match openat(&place.folder, &place.name, flags, mode) {
            // Only if the file does not exist: a shared folder may forbid O_CREAT for files of
            // others with a misleading error.
            Err(Errno::NOENT) => openat(&place.folder, &place.name, flags | OFlags::CREATE | OFlags::EXCL, mode),
            opened => opened,
        };
        let file = file.map(File::from).map_err(io::Error::from);
        let is_foreign = |uid: u32| uid != geteuid().as_raw();
        let file = file.map_err(|why| match path.symlink_metadata() {
            Ok(meta) if is_foreign(meta.uid()) => HistoryError::Foreign(path.to_owned()),
            _ => failed(why),
        })?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(HistoryError::NoFile(path.to_owned()));
        }
        if is_foreign(meta.uid()) {
            return Err(HistoryError::Foreign(path.to_owned()));
        }
        if meta.len() > 0 && !old && !begins_with_head(&file).map_err(failed)? {
            return Err(HistoryError::OfOther(path.to_owned()));
        }
        if meta.mode() & 0o777 != 0o600 {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let mut history = HistoryFile { path: path.to_owned(), file, most };
        let lines = history.shorten()?;
        Ok((history, lines))
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`HistoryError::Io`]
    pub fn add(&mut self, line: &str) -> Result<(), HistoryError> {
        let line = format!("{}\n", line.replace('\n', " "));
        self.locked(|file| file.write_all(line.as_bytes()))
    }

    /// Leaves only the last lines in the file, and returns them.
    ///
    /// # Errors
    /// [`HistoryError::Io`]
    pub fn shorten(&mut self) -> Result<Vec<String>, HistoryError> {
        let most = self.most;
        self.locked(|file| {
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(LARGEST)))?;
            let mut bytes = vec![];
            file.take(LARGEST).read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes);
            let has_head = text.lines().next() == Some(HEAD);
            let all: Vec<&str> = text.lines().skip(usize::from(has_head)).collect();
            let last = all.get(all.len().saturating_sub(most)..).unwrap_or_default();
            if last.len() < all.len() || size > LARGEST || !has_head {
                let lines = std::iter::once(&HEAD).chain(last).flat_map(|line| [line, "\n"]);
                file.set_len(0)?;
                file.write_all(lines.collect::<String>().as_bytes())?;
            }
            // A line with control characters, which would change the terminal, was not typed here.
            Ok(last.iter().filter(|line| !line.contains(char::is_control)).map(|&line| line.to_owned()).collect())
        })
    }

    /// Runs `work` while this shell has the lock of the file.
    fn locked<T>(&mut self, work: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T, HistoryError> {
        let done = self.file.lock().and_then(|()| {
            let done = work(&mut self.file);
            self.file.unlock().and(done)
        });
        done.map_err(|why| HistoryError::Io { path: self.path.clone(), why })
    }
}

/// Whether a file begins with the first line of a history file.
fn begins_with_head(file: &File) -> io::Result<bool> {
    let mut start = vec![0; HEAD.len() + 1];
    let read = file.read_at(&mut start, 0)?;
    Ok(start.get(..read).and_then(|start| start.strip_prefix(HEAD.as_bytes())) == Some(b"\n"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn open(path: &Path) -> (HistoryFile, Vec<String>) {
        HistoryFile::open(path, 3, false).unwrap()
    }

    #[test]
    fn several_shells_append_and_the_file_stays_short_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        let (mut one, none) = open(&path);
        assert!(none.is_empty());
        let (mut two, _) = open(&path);
        one.add("a").unwrap();
        two.add("b").unwrap();
        one.add("ü").unwrap();
        two.add("d").unwrap();
        assert_eq!(one.shorten().unwrap(), ["b", "ü", "d"]);
        two.add("e").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "#supervise shell history\nb\nü\nd\ne\n");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\x1b[2Jx\n").unwrap();
        assert_eq!(open(&path).1, ["d", "e"], "no line with control characters");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_with_other_content_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        let text = "a\nb\nc\nd\n";
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = HistoryFile::open(&path, 3, false).unwrap_err();
        assert!(matches!(error, HistoryError::OfOther(_)), "{error}");
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), fs::metadata(&path).unwrap().mode() & 0o777),
            (text, 0o644)
        );
        let (_, lines) = HistoryFile::open(&path, 3, true).unwrap();
        assert_eq!(lines, ["b", "c", "d"], "a file of an earlier version, in the default place");
        assert_eq!(fs::read_to_string(&path).unwrap(), "#supervise shell history\nb\nc\nd\n");
        assert_eq!(open(&path).1, ["b", "c", "d"]);
    }

    #[test]
    fn links_and_folders_are_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("h"), dir.path().join("target"));
        fs::write(&target, "x\n").unwrap();
        symlink(&target, &path).unwrap();
        assert!(matches!(HistoryFile::open(&path, 3, false), Err(HistoryError::NoFile(_))));
        assert!(HistoryFile::open(dir.path(), 3, false).is_err());
        assert!(HistoryFile::open(&dir.path().join("no/h"), 3, false).is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "x\n");
    }
}
