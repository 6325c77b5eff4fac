//! The folder of a supervisor's runs: one file for each, which its shim writes and the supervisor reads.
//!
//! A file is written beside and moved into place, and each later step of its run is a line at its end: the last whole line
//! is what is so. Bytes that were written never change, so nobody ever sees half of a step; and there are no files to be
//! made and removed for each step, nor for each run: the file of one that is over is handed on to the next one. Making
//! and removing them takes the file system longer than all the rest. Each step is heard of by the supervisor at once.
//! The folder also holds the lock that keeps a second supervisor out.
//!
//! # If we die here
//! The file of the last step is there, whole. What was to be moved is left behind and cleaned up by the next supervisor;
//! half a line counts for nothing.

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

/// How the files of runs are called.
const SUFFIX: &str = ".run";
/// What is added to the name of a file until it is whole.
const BESIDE: &str = ".new";
/// A file that has grown to this is written anew.
const LONGEST: u64 = 64 << 10;
/// A file that has grown to this is emptied before it is handed on: all of it is read at each step.
const HANDED_ON: u64 = 8 << 10;
/// So many bytes a new file has room for, whatever comes: what it may have when it is handed on, and one more run, which
/// usually writes less than three kilobytes.
const ROOM: i64 = HANDED_ON.cast_signed() + (4 << 10);

/// The folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// The folder is this supervisor's, until this is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is held by being open")] nix::fcntl::Flock<File>);

/// The file of the lock; it tells the pid of who has it.
const LOCK: &str = "lock";
/// The ends of runs that the database could not take.
const LATE: &str = "late";
/// So many bytes are always free in that file, should the disk be full: for about a thousand ends.
const LATE_ROOM: i64 = 1 << 20;
/// It grows no longer than this: for an end each second through a day.
const LATE_LONGEST: u64 = 64 << 20;
/// The folder for feedback files of programs that have no other one.
const FEEDBACK: &str = "feedback";
/// The folder for logs whose usual place is taken by another user.
const LOGS: &str = "logs";

impl RunDir {
    /// Where the runs of a database's supervisor are.
    pub fn beside(db: &Path) -> PathBuf {
        beside(db, "-supervise")
    }

    /// Makes the folder of a database that is not there yet, and those above it: for their owner alone, as the database
    /// itself would.
    ///
    /// # Errors
    /// As mkdir(2) says.
    pub fn make_above(folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        reach::make_folder(folder, Make::exactly(0o700, None)).map(drop).map_err(|(_, error)| error)
    }

    /// Opens it, making it if it is not there: for its owner alone.
    ///
    /// # Errors
    /// As mkdir(2) says; a folder of somebody else, or a link.
    pub fn open(path: &Path) -> io::Result<RunDir> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let meta = fs::symlink_metadata(path)?;
        let refused = |why| Err(io::Error::new(ErrorKind::PermissionDenied, why));
        if !meta.is_dir() {
            return refused("it is no folder");
        }
        if meta.uid() != geteuid().as_raw() {
            return refused("owned by another user");
        }
        if meta.mode() & 0o777 != 0o700 {
            fs::set_permissions(path, Permissions::from_mode(0o700))?;
        }
        Ok(RunDir { path: path.to_owned() })
    }

    /// The one that this process had open before it started anew; it is not looked at.
    pub fn at(path: &Path) -> RunDir {
        RunDir { path: path.to_owned() }
    }

    /// Returns the folder beside a database, to read in it, and its owner; `None` where there is none, and where neither
    /// the owner of the database nor this user made it.
    pub fn look(db: &Path) -> Option<(RunDir, u32)> {
        let path = RunDir::beside(db);
        let meta = fs::symlink_metadata(&path).ok()?;
        let trusted = meta.is_dir() && Beside::of(db).owners.contains(&meta.uid());
        trusted.then(|| (RunDir { path }, meta.uid()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock; none: another supervisor has it. It is not inherited by what we start.
    ///
    /// # Errors
    /// As the file system says.
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

    /// Whether a supervisor has the lock of this very folder, which a copy of it has not.
    ///
    /// # Errors
    /// As the file system says.
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

    /// The pid of who has the lock, or had it last; none: nobody says.
    pub fn holder(&self) -> Option<i32> {
        std::str::from_utf8(&read_plain(&self.path.join(LOCK)).ok()??).ok()?.trim_end().parse().ok()
    }

    fn file(&self, handle: &str) -> PathBuf {
        self.path.join(format!("{handle}{SUFFIX}"))
    }

    /// Writes the file of a run: one line. Only one process may do so.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write(&self, handle: &str, text: &str) -> io::Result<()> {
        let path = self.file(handle);
        match to_append(&path) {
            Ok(file) if file.metadata()?.len() < LONGEST => add_line(&path, file, text),
            Ok(_) => self.put(&path, &format!("{text}\n")),
            Err(error) if error.kind() == ErrorKind::NotFound => self.begin(&path, text),
            Err(error) => Err(error),
        }
    }

    /// The first line of a run: into the file that was handed on to it, or else into a new one.
    fn begin(&self, path: &Path, text: &str) -> io::Result<()> {
        let handed_on = beside(path, BESIDE);
        match to_append(&handed_on) {
            // Emptied first, it would be written to the disk as soon as it is closed: file systems take that for a file
            // that is replaced in place.
            Ok(file) => {
                add_line(&handed_on, file, text)?;
                fs::rename(&handed_on, path)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => self.put(path, &format!("{text}\n")),
            Err(error) => Err(error),
        }
    }

    /// Writes what is known of the supervisor itself, for other programs.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_self(&self, text: &str) -> io::Result<()> {
        self.put(&self.path.join("supervisor"), text)
    }

    /// Returns what a supervisor wrote of itself; none: nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_self(&self) -> io::Result<Option<Vec<u8>>> {
        read_plain(&self.path.join("supervisor"))
    }

    /// Writes down which processes somebody wants to be down; none: nobody does.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_stopped(&self, text: Option<&str>) -> io::Result<()> {
        self.put_or_remove("stopped", text)
    }

    /// Returns what was written down of that; none: nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_stopped(&self) -> io::Result<Option<Vec<u8>>> {
        read_plain(&self.path.join("stopped"))
    }

    /// Writes down the numbers of jobs; none: there are none.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_jobs(&self, text: Option<&str>) -> io::Result<()> {
        self.put_or_remove("jobs", text)
    }

    /// Returns what was written down of them; none: nothing.
    ///
    /// # Errors
    /// When it cannot be read.
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

    /// Returns what was last written of a run; none: there is nothing.
    ///
    /// # Errors
    /// When its file cannot be read (no descriptors left): something may be there all the same.
    pub fn read(&self, handle: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(text) = read_plain(&self.file(handle))? else { return Ok(None) };
        // Without any line end it is of an earlier version, which wrote no lines.
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return Ok(Some(text)) };
        Ok(text[..end].rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty()).map(<[u8]>::to_vec))
    }

    /// Removes it.
    pub fn remove(&self, handle: &str) {
        // One that stays is looked at once more, and removed, by the next supervisor.
        let _ = fs::remove_file(self.file(handle));
    }

    /// Hands its file on to a run that is to come, whose shim adds its lines to it.
    ///
    /// # Errors
    /// As the file system says. It is no loss, as a shim that finds no file makes one.
    pub fn hand_on(&self, handle: &str, next: &str) -> io::Result<()> {
        let file = self.file(handle);
        if fs::symlink_metadata(&file)?.len() >= HANDED_ON {
            make_roomy(&file)?;
        }
        fs::rename(file, beside(&self.file(next), BESIDE))
    }

    /// Makes a file for a run that is to come, as if another one had handed it on.
    ///
    /// # Errors
    /// As the file system says. It is no loss, as a shim that finds no file makes one.
    pub fn make_spare(&self, next: &str) -> io::Result<()> {
        make_roomy(&beside(&self.file(next), BESIDE)).map(drop).inspect_err(|_| self.remove_spare(next))
    }

    /// Removes a file that was handed on to a run that does not come.
    pub fn remove_spare(&self, next: &str) {
        // One that stays is removed by the next supervisor.
        let _ = fs::remove_file(beside(&self.file(next), BESIDE));
    }

    /// Keeps the end of a run, one line, until the database can take it.
    ///
    /// # Errors
    /// As the file system says; when too many are kept already.
    pub fn leave_late(&self, text: &str) -> io::Result<()> {
        let mut file = self.late(true)?;
        if file.metadata()?.len() >= LATE_LONGEST {
            return Err(io::Error::new(ErrorKind::QuotaExceeded, "too many ends are kept there already"));
        }
        // What an earlier write left unfinished must not become its beginning.
        file.write_all(format!("\n{text}\n").as_bytes())?;
        file.sync_data()
    }

    /// Sees to it that ends can be kept when the disk is full.
    ///
    /// # Errors
    /// As the file system says.
    pub fn make_room_for_late(&self) -> io::Result<()> {
        let file = self.late(true)?;
        let len = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        match fallocate(&*file, FallocateFlags::FALLOC_FL_KEEP_SIZE, len, LATE_ROOM) {
            Err(Errno::ENOSPC) => Err(Errno::ENOSPC.into()),
            // A file system that cannot do that does without.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether ends are kept there; true too where that cannot be told.
    pub fn has_late(&self) -> bool {
        match fs::symlink_metadata(self.path.join(LATE)) {
            Ok(meta) => meta.len() > 0,
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }

    /// Hands the ends that are kept to `work`, and forgets them once that has recorded them. Nothing is added meanwhile.
    ///
    /// # If we die here
    /// They are handed out once more; who records them passes over those that are recorded already.
    ///
    /// # Errors
    /// As the file system, or `work`, says; then they are kept.
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
        // Where there is no room now, the next one meets a full disk as any other file does.
        let _ = self.make_room_for_late();
        Ok(())
    }

    /// The file of these ends, locked: only one process works with it at a time.
    fn late(&self, create: bool) -> io::Result<nix::fcntl::Flock<File>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(create).mode(0o600);
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(self.path.join(LATE))?;
        safe_open::keep_for_owner(&file)?;
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, error)| error.into())
    }

    /// The handles of all runs that have a file; leftovers of writes that were cut off are removed.
    ///
    /// # Errors
    /// As the file system says.
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

    /// The folder for feedback of programs that have no other one; made if it is not there.
    ///
    /// # Errors
    /// As mkdir(2) says.
    pub fn feedback_folder(&self) -> io::Result<PathBuf> {
        self.make(self.path.join(FEEDBACK))
    }

    /// The folder for logs whose usual place is taken by another user.
    pub fn logs(&self) -> PathBuf {
        self.path.join(LOGS)
    }

    /// Makes [`RunDir::logs`] if it is not there.
    ///
    /// # Errors
    /// As mkdir(2) says.
    pub fn make_logs(&self) -> io::Result<()> {
        self.make(self.logs()).map(drop)
    }

    fn make(&self, folder: PathBuf) -> io::Result<PathBuf> {
        match DirBuilder::new().mode(0o700).create(&folder) {
            // Whatever the umask is.
            Ok(()) => fs::set_permissions(&folder, Permissions::from_mode(0o700))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(folder)
    }

    /// Hears of changes from now on.
    ///
    /// # Errors
    /// When the kernel has no more of these to give.
    pub fn watch(&self) -> io::Result<RunWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify
            .add_watch(&self.path, AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR)?;
        Ok(RunWatch { inotify, folder: self.identity().ok_or(ErrorKind::NotFound)? })
    }

    /// Which folder has its name now; none: there is none.
    fn identity(&self) -> Option<(u64, u64)> {
        fs::symlink_metadata(&self.path).ok().map(|meta| (meta.dev(), meta.ino()))
    }
}

/// An empty file with room for what is to come, should the disk be full by then.
fn make_roomy(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)?;
    safe_open::keep_for_owner(&file)?;
    match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, ROOM) {
        Err(Errno::ENOSPC) => Err(Errno::ENOSPC.into()),
        // A file system that cannot do that does without.
        Ok(()) | Err(_) => Ok(file),
    }
}

fn to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)
}

/// Adds a line to the file of this name; where there is no room for one more it takes the place of all. What an earlier
/// write left unfinished must not become its beginning.
fn add_line(path: &Path, mut file: File, text: &str) -> io::Result<()> {
    file.write_all(format!("\n{text}\n").as_bytes()).or_else(|error| match error.kind() {
        ErrorKind::StorageFull => write_over(path, text),
        _ => Err(error),
    })
}

/// Puts a line in the place of all that is there, where there is no room for one more. Until the rest is cut off the last
/// line is the last one that there was.
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

/// The content of a file; none: there is no such file.
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

/// Where changes are heard of.
#[derive(Debug)]
pub struct RunWatch {
    inotify: Inotify,
    /// The folder that it hears of.
    folder: (u64, u64),
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// The files of these runs were written.
    Runs(Vec<String>),
    /// More than could be told one by one: look at all of them.
    All,
}

impl RunWatch {
    /// What to wait for until there is something to hear.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Whether it hears of what is written there: the folder has not been removed or replaced.
    pub fn hears(&self, runs: &RunDir) -> bool {
        runs.identity() == Some(self.folder)
    }

    /// What there is; nothing is an empty list.
    ///
    /// # Errors
    /// As read(2) says.
    pub fn hear(&self) -> io::Result<RunChange> {
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
    fn writes_are_whole_and_heard_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = RunDir::beside(&dir.path().join("x.db"));
        let runs = RunDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let watch = runs.watch().unwrap();
        assert_eq!(watch.hear().unwrap(), RunChange::Runs(vec![]));
        runs.write("abc", "one").unwrap();
        runs.write("abc", "two").unwrap();
        runs.write("def", "three").unwrap();
        runs.write_self("me").unwrap();
        assert_eq!(watch.hear().unwrap(), RunChange::Runs(vec!["abc".into(), "def".into()]));
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
    fn where_there_is_no_room_for_one_more_line_it_takes_the_place_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("abc.run");
        fs::write(&file, "first\nlonger one\nhal").unwrap();
        write_over(&file, "second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second\n");
        assert_eq!(
            write_over(&file, "second").unwrap_err().kind(),
            ErrorKind::StorageFull,
            "what is there stays whole"
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
    fn only_one_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let runs = RunDir::open(&dir.path().join("r")).unwrap();
        let lock = runs.lock().unwrap();
        assert!(lock.is_some() && runs.is_locked().unwrap());
        assert!(!RunDir::open(&dir.path().join("copy")).unwrap().is_locked().unwrap());
        assert!(runs.lock().unwrap().is_none());
        assert_eq!(runs.holder(), i32::try_from(std::process::id()).ok());
        drop(lock);
        // A child that another test starts just now may have it for an instant more.
        while runs.lock().unwrap().is_none() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_trap_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(RunDir::open(&link).unwrap_err().to_string().contains("no folder"));
        fs::write(dir.path().join("f"), "").unwrap();
        assert!(RunDir::open(&dir.path().join("f")).is_err());
    }
}
