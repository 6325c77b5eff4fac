//! The file that tells the supervisor's process id, and the lock beside it that keeps a second one out (DMN-6, DMN-7).
//!
//! The lock is on a file of its own, `PIDFILE.lock`, which stays: a lock on a file that is replaced or deleted would
//! keep nobody out. It is held by being open and not inherited by what we start, so it is free as soon as we are gone,
//! however we went; what a pid file says never decides whether somebody runs.
//!
//! # If we die here
//! The lock is free. The pid file is the old one or the new one, whole; a stale one is written over by the next start.

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

/// Bytes of a pid file that are read; no pid is longer.
const LONGEST: u64 = 32;

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    /// Another one has the lock.
    #[error("another supervisor runs already{}: it holds {}", of(.pid), .lock.display())]
    Taken {
        /// The lock.
        lock: PathBuf,
        /// Whose it is, if it says.
        pid: Option<i32>,
    },
    /// The lock cannot be had.
    #[error("cannot lock {}: {}", .0.display(), .1)]
    Lock(PathBuf, io::Error),
    /// The file cannot be written.
    #[error("cannot write pid file {}: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

fn of(pid: &Option<i32>) -> String {
    pid.map(|pid| format!(", with pid {pid}")).unwrap_or_default()
}

/// The lock, and the file once it is written. Both end with this.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    folder: Folder,
    name: OsString,
    /// What we wrote, open: see [`Pidfile::remove`].
    written: Option<File>,
    #[expect(dead_code, reason = "it is held by being open")]
    lock: Flock<File>,
}

impl Pidfile {
    /// Takes the lock of a pid file. Nothing is changed if another one has it.
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
        // We are going to write it: not one that has another name too.
        if !meta.is_file() || meta.nlink() != 1 {
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, "it is no file of our own")));
        }
        if meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o600 != 0o600 {
            // The umask does not count: the next supervisor of this user has to be able to open the lock.
            file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((mut file, Errno::EWOULDBLOCK)) => {
                return Err(PidfileError::Taken { pid: read_pid(&mut file), lock: place });
            }
            Err((_, error)) => return Err(failed(error.into())),
        };
        let said = lock.set_len(0).and_then(|()| lock.write_all(own_line().as_bytes()));
        said.map_err(failed)?;
        Ok(Pidfile { path: path.to_owned(), folder, name, written: None, lock })
    }

    /// Writes our pid, in the place of whatever pid was there.
    ///
    /// # Errors
    /// [`PidfileError::Write`]: also if there is a link or anything else that is no file, or a file that holds no pid.
    /// That is left as it is.
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
                let why = "the file that is there holds no pid: remove it, or name another one (pidfile, -j)";
                return Err(io::Error::new(ErrorKind::InvalidInput, why));
            }
            Some(_) => return Err(io::Error::new(ErrorKind::InvalidInput, "there is something that is no file")),
        }
        let mut fresh = OsString::from(".");
        fresh.push(&self.name);
        fresh.push(format!(".{}.new", getpid()));
        // One of our pid is what is left of somebody who died here.
        self.folder.remove(&fresh)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, &fresh, flags, Mode::RUSR | Mode::WUSR)?);
        let filled = file
            .write_all(own_line().as_bytes())
            // Whatever the umask is: everybody may know who the supervisor is.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
            .and_then(|()| self.folder.rename(&fresh, &self.name));
        if filled.is_err() {
            let _ = self.folder.remove(&fresh);
        }
        filled.map(|()| file)
    }

    /// Removes the file if it still tells our pid. Where the folder is root's and we are not any more, it is emptied: it
    /// must not tell a pid that may soon be another's.
    ///
    /// # Errors
    /// As the file system says.
    pub fn remove(&mut self) -> io::Result<()> {
        let Some(written) = self.written.take() else { return Ok(()) };
        let there = self.folder.open_file(Path::new(&self.name), &How::default());
        let ours = there.ok().and_then(|mut there| read_pid(&mut there.file)) == Some(getpid().as_raw());
        if !ours {
            return Ok(());
        }
        match self.folder.remove(&self.name) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => written.set_len(0),
            other => other.map(drop),
        }
    }

    /// Returns whether the file in this place is a pid file: it holds a number, or what a system crash leaves of a number.
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
        // Nobody is left to be told.
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

    /// After another lock of this process: a child that another test starts just now may have it for an instant more.
    fn lock_again(path: &Path) -> Pidfile {
        loop {
            match Pidfile::lock(path) {
                Err(PidfileError::Taken { .. }) => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
    }

    #[test]
    fn one_has_the_lock_and_the_other_hears_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let first = Pidfile::lock(&path).unwrap();
        let error = Pidfile::lock(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("another supervisor runs already, with pid {}: it holds", getpid())));
        assert!(!path.exists(), "only the lock was taken");
        drop(first);
        lock_again(&path);
    }

    #[test]
    fn a_stale_one_is_written_over_and_ours_is_removed() {
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
    fn what_is_another_s_by_now_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pid");
        let mut pidfile = Pidfile::lock(&path).unwrap();
        pidfile.write().unwrap();
        fs::write(&path, "4711\n").unwrap();
        drop(pidfile);
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711\n");
    }

    #[test]
    fn traps_are_not_walked_into() {
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
