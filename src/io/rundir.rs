//! The folder of a supervisor's runs: one file for each run, which its shim writes and the
//! supervisor reads.
//!
//! A file is written under a temporary name and moved into place; each later step of its run
//! appends a line, and the last complete line is the current state. Written bytes never change, so
//! a reader never sees half of a step. No file is created or removed for each step, nor for each
//! run: the file of an ended run is passed on to the next run, because creating and removing files
//! takes longer than all the rest. The supervisor is notified of each step at once. The folder also
//! holds the lock that keeps a second supervisor out.
//!
//! # If the process dies here
//!
//! The file with the last step is complete. A file that was to be moved is left behind and cleaned
//! up by the next supervisor; half a line is ignored.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    libc,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify},
    unistd::geteuid,
};

use super::safe_open::{self, Beside, Make, reach};
use crate::model::path::beside;

/// Suffix of the files of runs.
const SUFFIX: &str = ".run";
/// Suffix of a file until it is complete.
const BESIDE: &str = ".new";
/// Size in bytes at which a file is rewritten.
const LONGEST: u64 = 64 << 10;
/// Size in bytes at which a file is emptied before it is passed on: all of it is read at each step.
const HANDED_ON: u64 = 8 << 10;
/// Bytes reserved for a new file: its largest size when it is passed on, and one more run, which
/// usually writes less than three kilobytes.
const ROOM: i64 = HANDED_ON.cast_signed() + (4 << 10);

/// The run folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// The lock of the run folder; released when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held by being open")] nix::fcntl::Flock<File>);

/// The lock file; it contains the pid of the holder.
const LOCK: &str = "lock";
/// The file of ends of runs that could not be recorded in the database.
const LATE: &str = "late";
/// Bytes that are always reserved in that file in case the disk is full: for about a thousand ends.
const LATE_ROOM: i64 = 1 << 20;
/// Largest size of that file in bytes: for an end each second through a day.
const LATE_LONGEST: u64 = 64 << 20;
/// The folder for feedback files of programs that have no other one.
const FEEDBACK: &str = "feedback";
/// The folder for logs whose usual place is taken by another user.
const LOGS: &str = "logs";

impl RunDir {
    /// Returns the run folder of a database.
    pub fn beside(db: &Path) -> PathBuf {
        beside(db, "-supervise")
    }

    /// Creates the missing folder of a database and the folders above it, with mode 0700 like that
    /// of the database itself.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn make_above(folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        reach::make_folder(folder, Make::exactly(0o700, None)).map(drop).map_err(|(_, error)| error)
    }

    /// Opens the folder, creating it with mode 0700 if it is missing.
    ///
    /// # Errors
    /// Those of mkdir(2); a folder of another user, or a link.
    pub fn open(path: &Path) -> io::Result<RunDir> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let meta = fs::symlink_metadata(path)?;
        let refused = |why| Err(io::Error::new(ErrorKind::PermissionDenied, why));
        if !meta.is_dir() {
            return refused("not a folder");
        }
        if meta.uid() != geteuid().as_raw() {
            return refused("owned by another user");
        }
        if meta.mode() & 0o777 != 0o700 {
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Ok(RunDir { path: path.to_owned() })
    }

    /// Returns the folder that this process had open before a re-execution, without a check.
    pub fn at(path: &Path) -> RunDir {
        RunDir { path: path.to_owned() }
    }

    /// Opens the folder beside a database for reading, and returns its owner. `None`: the folder is
    /// missing, or belongs neither to the owner of the database nor to this user.
    pub fn look(db: &Path) -> Option<(RunDir, u32)> {
        let path = RunDir::beside(db);
        let meta = fs::symlink_metadata(&path).ok()?;
        let trusted = meta.is_dir() && Beside::of(db).owners.contains(&meta.uid());
        trusted.then(|| (RunDir { path }, meta.uid()))
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock; `None` if another supervisor has it. Children do not inherit it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(self.path.join(LOCK))?;
        safe_open::keep_for_owner(&file)?;
        match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                lock.write_all(format!("{}\n", std::process::id()).as_bytes())?;
                Ok(Some(Lock(lock)))
            }
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
    }

    /// Whether a supervisor holds the lock of this folder itself, which a copy of the folder does
    /// not have.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn is_locked(&self) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(self.path.join(LOCK));
        let file = match file {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockSharedNonblock) {
            Ok(_) => Ok(false),
            Err((_, Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, error)) => Err(error.into()),
        }
    }

    /// Returns the pid of the current or last holder of the lock, if known.
    pub fn holder(&self) -> Option<i32> {
        std::str::from_utf8(&read_plain(&self.path.join(LOCK)).ok()??).ok()?.trim_end().parse().ok()
    }

    fn file(&self, handle: &str) -> PathBuf {
        self.path.join(format!("{handle}{SUFFIX}"))
    }

    /// Writes one line to the file of a run. Only one process may do so.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, handle: &str, text: &str) -> io::Result<()> {
        let path = self.file(handle);
        match to_append(&path) {
            Ok(file) if file.metadata()?.len() < LONGEST => add_line(&path, file, text),
            Ok(_) => self.put(&path, &format!("{text}\n")),
            Err(error) if error.kind() == ErrorKind::NotFound => self.begin(&path, text),
            Err(error) => Err(error),
        }
    }

    /// Writes the first line of a run, into the file that was passed on to it or into a new one.
    fn begin(&self, path: &Path, text: &str) -> io::Result<()> {
        let handed_on = beside(path, BESIDE);
        match to_append(&handed_on) {
            // The file is not emptied first: it would then be flushed to disk on close, because
            // file systems treat that as a file that is replaced in place.
            Ok(file) => {
                add_line(&handed_on, file, text)?;
                fs::rename(&handed_on, path)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.put(path, &format!("{text}\n")),
            Err(error) => Err(error),
        }
    }

    /// Writes the description of the supervisor itself, for other programs.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_self(&self, text: &str) -> io::Result<()> {
        self.put(&self.path.join("supervisor"), text)
    }

    /// Returns the description that a supervisor wrote of itself, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_self(&self) -> io::Result<Option<Vec<u8>>> {
        read_plain(&self.path.join("supervisor"))
    }

    /// Writes the list of processes that are stopped on request; `None` if there are none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_stopped(&self, text: Option<&str>) -> io::Result<()> {
        self.put_or_remove("stopped", text)
    }

    /// Returns that list, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_stopped(&self) -> io::Result<Option<Vec<u8>>> {
        read_plain(&self.path.join("stopped"))
    }

    /// Writes the numbers of jobs; `None` if there are none.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_jobs(&self, text: Option<&str>) -> io::Result<()> {
        self.put_or_remove("jobs", text)
    }

    /// Returns the numbers of jobs, if there are any.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read_jobs(&self) -> io::Result<Option<Vec<u8>>> {
        read_plain(&self.path.join("jobs"))
    }

    fn put_or_remove(&self, name: &str, text: Option<&str>) -> io::Result<()> {
        let path = self.path.join(name);
        match text {
            Some(text) => self.put(&path, text),
            None => fs::remove_file(&path).or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }),
        }
    }

    fn put(&self, path: &Path, text: &str) -> io::Result<()> {
        let beside = beside(path, BESIDE);
        let put = make_roomy(&beside).and_then(|mut file| file.write_all(text.as_bytes()));
        put.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })
    }

    /// Returns the last state written of a run; `None` if there is none.
    ///
    /// # Errors
    /// When its file cannot be read (no descriptors left): there may be a state all the same.
    pub fn read(&self, handle: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(text) = read_plain(&self.file(handle))? else { return Ok(None) };
        // Without any line end it is from an earlier version, which wrote no lines.
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return Ok(Some(text)) };
        Ok(text[..end].rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty()).map(<[u8]>::to_vec))
    }

    /// Removes the file of a run.
    pub fn remove(&self, handle: &str) {
        // A file that stays is read and removed by the next supervisor.
        let _ = fs::remove_file(self.file(handle));
    }

    /// Passes the file of a run on to a future run, whose shim appends its lines.
    ///
    /// # Errors
    /// Those of the file system. An error is harmless, because a shim that finds no file creates
    /// one.
    pub fn hand_on(&self, handle: &str, next: &str) -> io::Result<()> {
        let file = self.file(handle);
        if fs::symlink_metadata(&file)?.len() >= HANDED_ON {
            make_roomy(&file)?;
        }
        fs::rename(file, beside(&self.file(next), BESIDE))
    }

    /// Creates a file for a future run, as if another run had passed it on.
    ///
    /// # Errors
    /// Those of the file system. An error is harmless, because a shim that finds no file creates
    /// one.
    pub fn make_spare(&self, next: &str) -> io::Result<()> {
        make_roomy(&beside(&self.file(next), BESIDE)).map(drop).inspect_err(|_| self.remove_spare(next))
    }

    /// Removes a file that was passed on to a run that is not going to start.
    pub fn remove_spare(&self, next: &str) {
        // A file that stays is removed by the next supervisor.
        let _ = fs::remove_file(beside(&self.file(next), BESIDE));
    }

    /// Keeps the end of a run, one line, until it can be recorded in the database.
    ///
    /// # Errors
    /// Those of the file system; when too many are already kept.
    pub fn leave_late(&self, text: &str) -> io::Result<()> {
        let mut file = self.late(true)?;
        if file.metadata()?.len() >= LATE_LONGEST {
            return Err(io::Error::new(ErrorKind::QuotaExceeded, "too many ends are already kept there"));
        }
        // Begins with a line end, in case an earlier write was incomplete.
        file.write_all(format!("\n{text}\n").as_bytes())?;
        file.sync_data()
    }

    /// Reserves room for ends in case the disk is full.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make_room_for_late(&self) -> io::Result<()> {
        let file = self.late(true)?;
        let len = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        match fallocate(&*file, FallocateFlags::FALLOC_FL_KEEP_SIZE, len, LATE_ROOM) {
            Err(Errno::ENOSPC) => Err(Errno::ENOSPC.into()),
            // A file system without support for this has no reserve.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether ends are kept there; also true if that is unknown.
    pub fn has_late(&self) -> bool {
        match fs::symlink_metadata(self.path.join(LATE)) {
            Ok(meta) => meta.len() > 0,
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }

    /// Passes the kept ends to `work`, and deletes them once it has recorded them. None is added
    /// meanwhile.
    ///
    /// # If the process dies here
    ///
    /// The ends are passed on once more; `work` must skip those that are already recorded.
    ///
    /// # Errors
    /// Those of the file system and of `work`; then the ends are kept.
    pub fn take_late<E: From<io::Error>>(&self, work: impl FnOnce(Vec<&[u8]>) -> Result<(), E>) -> Result<(), E> {
        let file = match self.late(false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let mut bytes = vec![];
        io::Read::read_to_end(&mut &*file, &mut bytes)?;
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        if !lines.is_empty() {
            work(lines)?;
            file.set_len(0)?;
            file.sync_data()?;
        }
        drop(file);
        // Without room now, the next write meets a full disk like any other file.
        let _ = self.make_room_for_late();
        Ok(())
    }

    /// Opens the file of late ends and locks it: one process works with it at a time.
    fn late(&self, create: bool) -> io::Result<nix::fcntl::Flock<File>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(create).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(self.path.join(LATE))?;
        safe_open::keep_for_owner(&file)?;
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    }

    /// Returns the handles of all runs that have a file; leftovers of interrupted writes are
    /// removed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut found = vec![];
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            match handle_of(&name.to_string_lossy()) {
                Some(handle) => found.push(handle.to_owned()),
                None if name.to_string_lossy().ends_with(BESIDE) => {
                    let _ = fs::remove_file(self.path.join(name));
                }
                None => {}
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Returns the folder for feedback files of programs that have no other one; created if
    /// missing.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn feedback_folder(&self) -> io::Result<PathBuf> {
        self.make(self.path.join(FEEDBACK))
    }

    /// Returns the folder for logs whose usual place is taken by another user.
    pub fn logs(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// Creates [`RunDir::logs`] if it is missing.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn make_logs(&self) -> io::Result<()> {
        self.make(self.logs()).map(drop)
    }

    fn make(&self, folder: PathBuf) -> io::Result<PathBuf> {
        match DirBuilder::new().mode(0o700).create(&folder) {
            // Regardless of the umask.
            Ok(()) => fs::set_permissions(&folder, Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(folder)
    }

    /// Starts to watch for changes.
    ///
    /// # Errors
    /// When the kernel has no more watches.
    pub fn watch(&self) -> io::Result<RunWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify
            .add_watch(&self.path, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR)?;
        Ok(RunWatch { inotify, folder: self.identity().ok_or(ErrorKind::NotFound)? })
    }

    /// Returns device and inode of the folder that currently has this path.
    fn identity(&self) -> Option<(u64, u64)> {
        fs::symlink_metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()))
    }
}

/// Creates an empty file with reserved room, in case the disk is full later.
fn make_roomy(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)?;
    safe_open::keep_for_owner(&file)?;
    match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, ROOM) {
        Err(Errno::ENOSPC) => Err(Errno::ENOSPC.into()),
        // A file system without support for this has no reserve.
        Ok(()) | Err(_) => Ok(file),
    }
}

fn to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)
}

/// Appends a line to the file of this name; if there is no room, the line replaces all others. It
/// begins with a line end, in case an earlier write was incomplete.
fn add_line(path: &Path, mut file: File, text: &str) -> io::Result<()> {
    file.write_all(format!("\n{text}\n").as_bytes()).or_else(|error| match error.kind() {
        ErrorKind::StorageFull => write_over(path, text),
        _ => Err(error),
    })
}

/// Replaces the whole content by a line, if there is no room for one more. Until the file is
/// truncated, its last line is still the former last line.
fn write_over(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)?;
    let line = format!("{text}\n");
    if file.metadata()?.len() <= line.len() as u64 {
        return Err(ErrorKind::StorageFull.into());
    }
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)
}

fn handle_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
        .filter(|handle| !handle.is_empty() && handle.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Returns the content of a file; `None` if it does not exist.
fn read_plain(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK).open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![];
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(Some(bytes))
}

/// A watch on the run folder.
#[derive(Debug)]
pub struct RunWatch {
    inotify: Inotify,
    /// The watched folder, by device and inode.
    folder: (u64, u64),
}

/// The changes of the run folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// The files of these runs were written.
    Runs(Vec<String>),
    /// Too many changes to list: read all files.
    All,
}

impl RunWatch {
    /// Returns the descriptor to poll for changes.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Whether the watch still covers the folder: it has not been removed or replaced.
    pub fn covers(&self, runs: &RunDir) -> bool {
        runs.identity() == Some(self.folder)
    }

    /// Returns the changes so far; possibly an empty list.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn read_changes(&self) -> io::Result<RunChange> {
        let mut runs = vec![];
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                            return Ok(RunChange::All);
                        }
                        let name = event.name.unwrap_or_default();
                        let handle = handle_of(&name.to_string_lossy()).map(str::to_owned);
                        runs.extend(handle.filter(|handle| !runs.contains(handle)));
                    }
                }
                Err(Errno::EAGAIN) => return Ok(RunChange::Runs(runs)),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn writes_are_atomic_and_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = RunDir::beside(&dir.path().join("x.db"));
        let runs = RunDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let watch = runs.watch().unwrap();
        assert_eq!(watch.read_changes().unwrap(), RunChange::Runs(vec![]));
        runs.write("abc", "one").unwrap();
        runs.write("abc", "two").unwrap();
        runs.write("def", "three").unwrap();
        runs.write_self("me").unwrap();
        assert_eq!(watch.read_changes().unwrap(), RunChange::Runs(vec!["abc".into(), "def".into()]));
        fs::write(path.join("ghi.run.new"), "half").unwrap();
        assert_eq!(runs.list().unwrap(), ["abc", "def"]);
        assert!(!path.join("ghi.run.new").exists());
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"two");
        runs.hand_on("def", "jkl").unwrap();
        assert_eq!((runs.read("def").unwrap(), runs.read("jkl").unwrap()), (None, None));
        runs.write("jkl", "4").unwrap();
        assert_eq!(runs.read("jkl").unwrap().unwrap(), b"4");
        fs::write(path.join("pqr.run.new"), "three\nhal").unwrap();
        runs.write("pqr", "5").unwrap();
        assert_eq!(runs.read("pqr").unwrap().unwrap(), b"5");
        runs.remove("pqr");
        runs.write("stu", &"x".repeat(usize::try_from(HANDED_ON).unwrap())).unwrap();
        runs.hand_on("stu", "vwx").unwrap();
        assert_eq!(fs::metadata(path.join("vwx.run.new")).unwrap().len(), 0, "all of it would be read at each step");
        runs.remove_spare("vwx");
        runs.hand_on("jkl", "mno").unwrap();
        runs.remove_spare("mno");
        assert_eq!(runs.list().unwrap(), ["abc"]);
        assert!(!path.join("mno.run.new").exists());
        runs.remove("abc");
        assert_eq!(runs.read("abc").unwrap(), None);
        assert_eq!(runs.read_self().unwrap().unwrap(), b"me");
    }

    #[test]
    fn a_line_without_room_replaces_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("abc.run");
        fs::write(&file, "first\nlonger one\nhal").unwrap();
        write_over(&file, "second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second\n");
        assert_eq!(
            write_over(&file, "second").unwrap_err().kind(),
            ErrorKind::StorageFull,
            "the content stays complete"
        );
        assert_eq!(fs::read(&file).unwrap(), b"second\n");
    }

    #[test]
    fn the_last_whole_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunDir::open(&dir.path().join("r")).unwrap();
        let file = runs.path().join("abc.run");
        fs::write(&file, "of an earlier version").unwrap();
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"of an earlier version");
        runs.write("abc", "one").unwrap();
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"one");
        fs::write(&file, "one\n\ntwo\n\nthr").unwrap();
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"two");
        runs.write("abc", "four").unwrap();
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"four");
        let long = "x".repeat(usize::try_from(LONGEST).unwrap());
        runs.write("abc", &long).unwrap();
        assert_eq!(runs.read("abc").unwrap().unwrap(), long.as_bytes());
        runs.write("abc", "short").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"short\n");
        assert_eq!(runs.read("abc").unwrap().unwrap(), b"short");
    }

    #[test]
    fn late_ends_are_kept_until_they_are_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunDir::open(&dir.path().join("r")).unwrap();
        let take = |runs: &RunDir| {
            let mut taken = vec![];
            runs.take_late(|lines| {
                taken.extend(lines.into_iter().map(<[u8]>::to_vec));
                Ok::<_, io::Error>(())
            })
            .unwrap();
            taken
        };
        assert!(!runs.has_late() && take(&runs).is_empty());
        runs.make_room_for_late().unwrap();
        assert!(!runs.has_late());
        runs.leave_late("one").unwrap();
        fs::OpenOptions::new().append(true).open(runs.path().join(LATE)).unwrap().write_all(b"hal").unwrap();
        runs.leave_late("two").unwrap();
        assert!(runs.has_late());
        runs.take_late(|_| Err(io::Error::other("locked"))).unwrap_err();
        assert_eq!(take(&runs), [&b"one"[..], b"hal", b"two"]);
        assert!(!runs.has_late() && take(&runs).is_empty());
        let meta = fs::metadata(runs.path().join(LATE)).unwrap();
        assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn the_lock_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunDir::open(&dir.path().join("r")).unwrap();
        let lock = runs.lock().unwrap();
        assert!(lock.is_some() && runs.is_locked().unwrap());
        assert!(!RunDir::open(&dir.path().join("copy")).unwrap().is_locked().unwrap());
        assert!(runs.lock().unwrap().is_none());
        assert_eq!(runs.holder(), i32::try_from(std::process::id()).ok());
        drop(lock);
        // A child that another test is starting may hold it for an instant longer.
        while runs.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn links_and_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(RunDir::open(&link).unwrap_err().to_string().contains("not a folder"));
        fs::write(dir.path().join("f"), "").unwrap();
        assert!(RunDir::open(&dir.path().join("f")).is_err());
    }
}
