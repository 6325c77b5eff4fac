//! The file with the supervisor's process id, and the lock beside it that keeps a second supervisor
//! out.
//!
//! The lock is on a separate file, `PIDFILE.lock`, which is never deleted: a lock on a file that is
//! replaced or deleted would keep out no other process. The lock belongs to an open descriptor that
//! no child inherits, so it is free as soon as this process has ended, however it ended. The
//! content of a pid file never decides whether a supervisor runs.
//!
//! # If the process dies here
//!
//! The lock is free. The pid file is the old one or the new one, complete; the next start
//! overwrites a stale one.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    unistd::getpid,
};
use rustix::fs::{FileType, Mode, OFlags, openat};

use super::safe_open::{Folder, How, reach};
use crate::model::path::beside;

/// Bytes that are read of a pid file; no pid is longer.
const LONGEST: u64 = 32;

/// Why no pid file could be created.
#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    /// Another supervisor has the lock.
    #[error("another supervisor is already running{}: it holds {}", of(.pid), .lock.display())]
    Taken {
        /// The lock file.
        lock: PathBuf,
        /// The pid in the lock file, if there is one.
        pid: Option<i32>,
    },
    /// The lock file cannot be locked.
    #[error("cannot lock {}: {}", .0.display(), .1)]
    Lock(PathBuf, io::Error),
    /// The file cannot be written.
    #[error("cannot write pid file {}: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

fn of(pid: &Option<i32>) -> String {
    pid.map(|pid| format!(", with pid {pid}")).unwrap_or_default()
}

/// The lock, and the pid file once it is written. Dropping this releases the lock and removes the
/// file.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    folder: Folder,
    name: OsString,
    /// The file as written, open: see [`Pidfile::remove`].
    written: Option<File>,
    #[expect(dead_code, reason = "it is held by being open")]
    lock: Flock<File>,
}

impl Pidfile {
    /// Takes the lock of a pid file. If another process has it, nothing is changed.
    ///
    /// # Errors
    /// [`PidfileError::Taken`], [`PidfileError::Lock`]
    pub fn lock(path: &Path) -> Result<Pidfile, PidfileError> {
        let place = beside(path, ".lock");
        let failed = |error| PidfileError::Lock(place.clone(), error);
        let reach::FileLocation { folder, name, .. } = reach::FileLocation::of(path, None).map_err(failed)?;
        let mut lock_name = name.clone();
        lock_name.push(".lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&folder, &lock_name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(link_in_words).map_err(failed)?);
        let meta = file.metadata().map_err(failed)?;
        // The file is going to be written, so a hard link to another file is refused.
        if !meta.is_file() || meta.nlink() != 1 {
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, "not a regular file, or a hard link")));
        }
        if meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o600 != 0o600 {
            // The umask must not count: the next supervisor of this user has to be able to open the
            // lock.
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                return Err(PidfileError::Taken { pid: read_pid(&mut file), lock: place });
            }
            Err((_, error)) => return Err(failed(error.into())),
        };
        let written = lock.set_len(0).and_then(|()| lock.write_all(own_line().as_bytes()));
        written.map_err(failed)?;
        Ok(Pidfile { path: path.to_owned(), folder, name, written: None, lock })
    }

    /// Writes the pid of this process over any earlier pid.
    ///
    /// # Errors
    /// [`PidfileError::Write`], also if a link, another type of file, or a file without a pid is in
    /// its place. Such a file is left as it is.
    pub fn write(&mut self) -> Result<(), PidfileError> {
        self.written = Some(self.put().map_err(|error| PidfileError::Write(self.path.clone(), error))?);
        Ok(())
    }

    fn put(&self) -> io::Result<File> {
        let there = self.folder.stat_of(&self.name)?;
        match there.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None => {}
            Some(FileType::Symlink) => return Err(link_in_words(rustix::io::Errno::LOOP)),
            Some(FileType::RegularFile) if self.holds_pid()? => {}
            Some(FileType::RegularFile) => {
                let why = "the existing file holds no pid: remove it or choose another path (pidfile, -j)";
                return Err(io::Error::new(ErrorKind::InvalidInput, why));
            }
            Some(_) => return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
        }
        let mut fresh = OsString::from(".");
        fresh.push(&self.name);
        fresh.push(format!(".{}.new", getpid()));
        // A file with this pid was left by a process that died here.
        self.folder.remove(&fresh)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, &fresh, flags, Mode::RUSR | Mode::WUSR)?);
        let filled = file
            .write_all(own_line().as_bytes())
            // Every user may read the supervisor's pid, regardless of the umask.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
            .and_then(|()| self.folder.rename(&fresh, &self.name));
        if filled.is_err() {
            let _ = self.folder.remove(&fresh);
        }
        filled.map(|()| file)
    }

    /// Removes the file if it still holds the pid of this process. If this process may not delete
    /// in the folder any more (it has changed from root to another user), the file is emptied: the
    /// pid may soon belong to another process.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&mut self) -> io::Result<()> {
        let Some(written) = self.written.take() else { return Ok(()) };
        let there = self.folder.open_file(Path::new(&self.name), &How::default());
        let is_own = there.ok().and_then(|mut there| read_pid(&mut there.file)) == Some(getpid().as_raw());
        if !is_own {
            return Ok(());
        }
        match self.folder.remove(&self.name) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => written.set_len(0),
            other => other.map(drop),
        }
    }

    /// Whether the file in this place is a pid file: it holds a number, or the zeros that a system
    /// crash leaves of a number.
    fn holds_pid(&self) -> io::Result<bool> {
        let mut bytes = vec![];
        let there = self.folder.open_file(Path::new(&self.name), &How::default())?;
        there.file.take(LONGEST + 1).read_to_end(&mut bytes)?;
        let is_number = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        Ok(bytes.len() as u64 <= LONGEST && (is_blank || is_number(bytes.trim_ascii())))
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // An error cannot be reported here.
        let _ = self.remove();
    }
}

fn own_line() -> String {
    format!("{}\n", getpid())
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok().filter(|pid| *pid > 0)
}

fn link_in_words(error: rustix::io::Errno) -> io::Error {
    match error {
        rustix::io::Errno::LOOP => io::Error::new(ErrorKind::PermissionDenied, "it is a symbolic link"),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(path: &Path) -> bool {
        fs::read_to_string(path).unwrap_or_default() == own_line()
    }

    /// Retries after another lock of this process: a child that another test is starting may hold
    /// it for an instant longer.
    fn lock_again(path: &Path) -> Pidfile {
        loop {
            match Pidfile::lock(path) {
                Err(PidfileError::Taken { .. }) => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
    }

    #[test]
    fn a_second_lock_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let first = Pidfile::lock(&path).unwrap();
        let error = Pidfile::lock(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("another supervisor is already running, with pid {}: it holds", getpid())));
        assert!(!path.exists(), "only the lock was taken");
        drop(first);
        lock_again(&path);
    }

    #[test]
    fn a_stale_file_is_overwritten_and_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        for stale in ["1\n", "", "4711", "\u{0}\u{0}\u{0}"] {
            fs::write(&path, stale).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            let mut pidfile = lock_again(&path);
            pidfile.write().unwrap();
            assert!(own(&path), "{stale:?}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
            pidfile.remove().unwrap();
            assert!(!path.exists());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the lock stays, and nothing else");
    }

    #[test]
    fn a_file_that_holds_no_pid_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        for other in ["[programs.a]\n", "4711 and more\n", "-1\n", &"1".repeat(40)] {
            fs::write(&path, other).unwrap();
            let error = lock_again(&path).write().unwrap_err().to_string();
            assert!(error.contains("holds no pid"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
    }

    #[test]
    fn a_file_with_another_pid_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let mut pidfile = Pidfile::lock(&path).unwrap();
        pidfile.write().unwrap();
        fs::write(&path, "4711\n").unwrap();
        drop(pidfile);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711\n");
    }

    #[test]
    fn links_and_folders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("x.pid"), dir.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let error = Pidfile::lock(&path).unwrap().write().unwrap_err().to_string();
        assert!(error.contains("cannot write pid file") && error.ends_with("it is a symbolic link"), "{error}");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        let locked = dir.path().join("y.pid");
        let traps: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|a, b| fs::hard_link(a, b), |a, b| std::os::unix::fs::symlink(a, b)];
        for trap in traps {
            trap(&other, &beside(&locked, ".lock")).unwrap();
            let error = Pidfile::lock(&locked).unwrap_err().to_string();
            assert!(error.starts_with("cannot lock"), "{error}");
            fs::remove_file(beside(&locked, ".lock")).unwrap();
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
        let error = Pidfile::lock(Path::new("/no/such/x.pid")).unwrap_err();
        assert!(error.to_string().starts_with("cannot lock /no/such/x.pid.lock: No such file"), "{error}");
        fs::create_dir(dir.path().join("z.pid")).unwrap();
        assert!(Pidfile::lock(&dir.path().join("z.pid")).unwrap().write().is_err());
    }
}
