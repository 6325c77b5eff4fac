//! The feedback file on disk (and standard input in its place): opened with care, read where it is new, watched.
//!
//! One job: bring the bytes of a feedback file to [`Feedback`]. It knows the grammar only through that type, and no
//! clock: waiting is done in `poll(2)`, for a change and not for a time.
//!
//! The folder of a feedback file can be one in which others write. So no link is followed, nothing but a regular file
//! is read, and opening never waits (a pipe of that name would).
//!
//! # What is new
//!
//! Programs append to their file, but also write it anew (`echo "[progress]12" > FILE`), often at the very same size.
//! A [`Mark`] therefore remembers, besides how far the file was read, a fingerprint of the bytes just before; when
//! those are not there any more, the file is another one and everything is read from its start.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::unistd::{AccessFlags, faccessat};
use serde::{Deserialize, Serialize};

use super::safe_open::kind;
use crate::model::feedback::{Feedback, Ignored};

/// Bytes read at once: large enough that system calls cost nothing, small enough for a thousand readers.
const CHUNK: usize = 256 << 10;

/// Bytes before the mark that must still be there: all of a file that is small enough to be written anew each time.
const FINGERPRINT: usize = 4096;

/// How often to look where the kernel cannot tell of changes (a file server's folder, no watches left): as often as a
/// person would.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What went wrong with a feedback file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// It cannot be opened; [`FeedError::is_missing`] tells a missing one.
    #[error("cannot open feedback file {path:?}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is something of that name, but no regular file.
    #[error("cannot open feedback file {path:?}: it is {kind}, not a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is, in words with an article.
        kind: &'static str,
    },
    /// It was opened, but cannot be read.
    #[error("cannot read feedback file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its size and times cannot be had.
    #[error("cannot stat feedback file {path:?}: {source}")]
    Look {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It cannot be deleted.
    #[error("cannot remove feedback file {path:?}: {source}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A folder's file system cannot be had.
    #[error("cannot read folder {path:?}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input: {source}")]
    Stdin {
        /// The system's reason.
        source: io::Error,
    },
    /// Waiting for a change failed.
    #[error("cannot wait for a change of {path:?}: {source}")]
    Wait {
        /// What was waited for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FeedError {
    /// Whether the file is just not there (yet, or any more).
    pub fn is_missing(&self) -> bool {
        matches!(self, FeedError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a change of the file changes. Two equal ones: no heartbeat in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// The file system.
    pub dev: u64,
    /// The file in it.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last write, in nanoseconds since 1970, by the file server's clock: good for comparing, not for telling time.
    pub mtime_ns: i128,
    /// Last change of anything, the same way.
    pub ctime_ns: i128,
}

impl Signature {
    fn of(meta: &Metadata) -> Signature {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Signature {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// How far a file was read, and how to know it again. The default is "nothing was read".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file system.
    pub dev: u64,
    /// The file in it.
    pub ino: u64,
    /// Bytes read.
    pub offset: u64,
    /// Of the bytes just before the offset.
    pub fingerprint: u64,
}

/// An open feedback file.
#[derive(Debug)]
pub struct FeedFile {
    file: File,
    path: PathBuf,
}

impl FeedFile {
    /// Opens a feedback file for reading: no link is followed, nothing but a regular file is taken, nothing is waited for.
    pub fn open(path: &Path) -> Result<FeedFile, FeedError> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(|source| {
            // The system says "too many levels of symbolic links" of a single link, which helps nobody.
            match std::fs::symlink_metadata(path).ok().and_then(|meta| kind(&meta)) {
                Some(kind) => FeedError::NotAFile { path: path.to_owned(), kind },
                None => FeedError::Open { path: path.to_owned(), source },
            }
        })?;
        let opened = FeedFile { file, path: path.to_owned() };
        match kind(&opened.look()?) {
            Some(kind) => Err(FeedError::NotAFile { path: opened.path, kind }),
            None => Ok(opened),
        }
    }

    /// The signature of the open file, whatever has its name now.
    pub fn signature(&self) -> Result<Signature, FeedError> {
        Ok(Signature::of(&self.look()?))
    }

    /// Reads what is new since the mark, up to the size that the file has now, and moves the mark.
    ///
    /// When the file is not the one of the mark any more (deleted and created again, truncated, written anew), or the
    /// mark is the default one, `feedback` begins anew as well. A file that grows while it is read is not chased: this
    /// always ends.
    pub fn read_new(&self, feedback: &mut Feedback, mark: &mut Mark) -> Result<(), FeedError> {
        self.read_new_strict(feedback, mark, &mut |_| ())
    }

    /// [`FeedFile::read_new`] that also tells every ignored line.
    pub fn read_new_strict(
        &self,
        feedback: &mut Feedback,
        mark: &mut Mark,
        report: &mut dyn FnMut(Ignored<'_>),
    ) -> Result<(), FeedError> {
        let meta = self.look()?;
        let known = (mark.dev, mark.ino) == (meta.dev(), meta.ino()) && mark.offset > 0 && mark.offset <= meta.size();
        if !known || self.fingerprint(mark.offset)? != mark.fingerprint {
            *feedback = Feedback::default();
            *mark = Mark { dev: meta.dev(), ino: meta.ino(), ..Mark::default() };
        }
        if mark.offset == meta.size() {
            return Ok(());
        }
        let mut buffer = vec![0; CHUNK.min((meta.size() - mark.offset) as usize)];
        while mark.offset < meta.size() {
            let wanted = buffer.len().min((meta.size() - mark.offset) as usize);
            let got = self.read_at(&mut buffer[..wanted], mark.offset)?;
            if got == 0 {
                break;
            }
            feedback.push_strict(&buffer[..got], report);
            mark.offset += got as u64;
        }
        mark.fingerprint = self.fingerprint(mark.offset)?;
        Ok(())
    }

    /// Reads the whole file for the last time; of one that is longer than `most` bytes its beginning and its end, in whole
    /// lines. Returns how many bytes between them were left out.
    pub fn read_bounded(&self, feedback: &mut Feedback, most: u64) -> Result<u64, FeedError> {
        /// The share of the beginning: keywords that are set once stand there.
        const HEAD: u64 = 8;
        let size = self.look()?.size();
        if size <= most {
            self.push_between(feedback, 0, size)?;
            return Ok(0);
        }
        let head = most / HEAD;
        self.push_between(feedback, 0, head)?;
        let torn = feedback.forget_pending();
        let mut start = size - (most - head);
        // The line that goes on there began before.
        let mut piece = vec![0; CHUNK];
        while start < size {
            let got = self.read_at(&mut piece, start)? as u64;
            match memchr::memchr(b'\n', &piece[..got as usize]) {
                Some(end) => {
                    start += end as u64 + 1;
                    break;
                }
                None if got == 0 => break,
                None => start += got,
            }
        }
        self.push_between(feedback, start, size)?;
        Ok(start.saturating_sub(head - torn))
    }

    fn push_between(&self, feedback: &mut Feedback, mut start: u64, end: u64) -> Result<(), FeedError> {
        let mut buffer = vec![0; CHUNK.min(end.saturating_sub(start) as usize)];
        while start < end {
            let wanted = buffer.len().min((end - start) as usize);
            let got = self.read_at(&mut buffer[..wanted], start)?;
            if got == 0 {
                break;
            }
            feedback.push(&buffer[..got]);
            start += got as u64;
        }
        Ok(())
    }

    /// Reads whole lines from the end of the file, as many as fit one piece: enough for the values that change often.
    pub fn read_tail(&self, feedback: &mut Feedback) -> Result<(), FeedError> {
        /// Bytes of the piece.
        const TAIL: u64 = 16 * 1024;
        let size = self.look()?.size();
        let start = size.saturating_sub(TAIL);
        let mut buffer = vec![0; (size - start) as usize];
        let got = self.read_at(&mut buffer, start)?;
        let piece = &buffer[..got];
        // The first line may have begun before the piece.
        let first = if start == 0 { 0 } else { memchr::memchr(b'\n', piece).map_or(got, |end| end + 1) };
        feedback.push(&piece[first..]);
        Ok(())
    }

    /// Drops the unterminated last line and moves the mark back to its start, so that both can be stored and gone on
    /// with by another program.
    pub fn rewind(&self, feedback: &mut Feedback, mark: &mut Mark) -> Result<(), FeedError> {
        let pending = feedback.forget_pending();
        if pending > 0 {
            mark.offset = mark.offset.saturating_sub(pending);
            mark.fingerprint = self.fingerprint(mark.offset)?;
        }
        Ok(())
    }

    fn look(&self) -> Result<Metadata, FeedError> {
        self.file.metadata().map_err(|source| FeedError::Look { path: self.path.clone(), source })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FeedError> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                result => return result.map_err(|source| FeedError::Read { path: self.path.clone(), source }),
            }
        }
    }

    /// FNV-1a of the bytes just before the offset: the same in every version of this program, and nobody gains by
    /// making two files of one fingerprint.
    fn fingerprint(&self, offset: u64) -> Result<u64, FeedError> {
        let mut buffer = [0; FINGERPRINT];
        let length = FINGERPRINT.min(usize::try_from(offset).unwrap_or(FINGERPRINT));
        let start = offset - length as u64;
        let mut filled = 0;
        while filled < length {
            match self.read_at(&mut buffer[filled..length], start + filled as u64)? {
                0 => break,
                got => filled += got,
            }
        }
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Ok(buffer[..filled].iter().fold(0xcbf2_9ce4_8422_2325, step))
    }
}

/// The signature of what has this name now; `None` when there is nothing. Anything but a regular file is an error.
pub fn signature(path: &Path) -> Result<Option<Signature>, FeedError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => match kind(&meta) {
            None => Ok(Some(Signature::of(&meta))),
            Some(kind) => Err(FeedError::NotAFile { path: path.to_owned(), kind }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FeedError::Look { path: path.to_owned(), source }),
    }
}

/// Deletes what has this name and says whether there was something. A link is deleted, not what it points to; a folder
/// is refused.
pub fn remove(path: &Path) -> Result<bool, FeedError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FeedError::Remove { path: path.to_owned(), source }),
    }
}

/// Whether we may make files in a folder, as the user for whom we work; why not, if not.
pub fn may_write(folder: &Path) -> io::Result<()> {
    let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
    Ok(faccessat(AT_FDCWD, folder, wanted, AtFlags::AT_EACCESS)?)
}

/// Whether a folder lies on another machine, or in a program, so that the kernel does not see (and cannot tell) what
/// others change there, and the times of its files come from another clock.
pub fn is_network_fs(folder: &Path) -> Result<bool, FeedError> {
    Ok(network_fs(folder)?.is_some())
}

/// The kind of network file system a folder is on; none: a local one. FUSE counts, as nobody can tell what is behind it.
pub fn network_fs(folder: &Path) -> Result<Option<&'static str>, FeedError> {
    /// From `linux/magic.h` and the sources of those that are not in it.
    const REMOTE: [(u32, &str); 17] = [
        (0x6969, "nfs"),
        (0x517b, "smb"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb2"),
        (0x6573_5546, "fuse"),
        (0x0102_1997, "9p"),
        (0x5346_414f, "afs"),
        (0x6b41_4653, "kafs"),
        (0x00c3_6400, "ceph"),
        (0x7375_7245, "coda"),
        (0x564c, "ncp"),
        (0x0bd0_0bd0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0x1983_0326, "beegfs"),
        (0x0116_1970, "gfs2"),
        (0x7461_636f, "ocfs2"),
        (0x786f_4256, "vboxsf"),
    ];
    let stat = nix::sys::statfs::statfs(folder)
        .map_err(|errno| FeedError::Folder { path: folder.to_owned(), source: errno.into() })?;
    // All of these numbers have 32 bits; the type that carries them differs from machine to machine.
    let magic = stat.filesystem_type().0 as u32;
    Ok(REMOTE.iter().find(|(remote, _)| *remote == magic).map(|(_, name)| *name))
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed.
    Changed,
    /// Nothing has, for as long as was asked.
    Quiet,
    /// Nobody reads our output any more.
    ReaderGone,
}

/// Waits for changes of one file, also when it is deleted and created again, without looking in between.
///
/// Where the kernel cannot tell (see [`is_network_fs`]) it looks once a second.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    folder: PathBuf,
    name: OsString,
    watches: Option<Watches>,
    /// Some: look this often.
    look_every: Option<Duration>,
    last: Option<Signature>,
}

#[derive(Debug)]
struct Watches {
    inotify: Inotify,
    folder: WatchDescriptor,
    file: Option<WatchDescriptor>,
}

impl Follower {
    /// Begins to watch. Every change after this wakes the next [`Follower::wait`], so read the file after it.
    pub fn new(path: &Path) -> Follower {
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = path.file_name().unwrap_or_default().to_owned();
        let mut follower =
            Follower { path: path.to_owned(), folder, name, watches: None, look_every: None, last: None };
        follower.watches = follower.watch().ok();
        if follower.watches.is_none() || is_network_fs(&follower.folder).unwrap_or(true) {
            follower.look_every = Some(LOOK_EVERY);
        }
        follower.last = signature(path).ok().flatten();
        follower
    }

    /// What becomes readable when something may have changed, to be waited for beside other things; then call
    /// [`Follower::wait`] without time.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.watches.as_ref().map(|watches| watches.inotify.as_fd())
    }

    /// Waits until the file may have changed, at most for `timeout` (`None`: for ever), or until the other end of
    /// `reader` is closed.
    pub fn wait(&mut self, timeout: Option<Duration>, reader: Option<BorrowedFd<'_>>) -> Result<Woken, FeedError> {
        let mut left = timeout;
        loop {
            let slice = match (left, self.look_every) {
                (Some(left), Some(every)) => Some(left.min(every)),
                (one, other) => one.or(other),
            };
            let events = self.watches.as_ref().map(|watches| watches.inotify.as_fd());
            let ready = wait_for(events, slice, reader)
                .map_err(|source| FeedError::Wait { path: self.path.clone(), source: source.into() })?;
            match ready {
                Woken::Changed if self.drain() => return Ok(Woken::Changed),
                Woken::Changed => (),
                Woken::ReaderGone => return Ok(Woken::ReaderGone),
                Woken::Quiet => {
                    if self.look_every.is_some() {
                        let now = signature(&self.path).ok().flatten();
                        if std::mem::replace(&mut self.last, now) != now {
                            return Ok(Woken::Changed);
                        }
                    }
                    left = left.map(|left| left.saturating_sub(slice.unwrap_or_default()));
                    if left.is_some_and(|left| left.is_zero()) {
                        return Ok(Woken::Quiet);
                    }
                }
            }
        }
    }

    fn watch(&self) -> Result<Watches, Errno> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // The folder for names that come and go, the file itself for its bytes: a busy folder must not wake us.
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let folder = inotify.add_watch(&self.folder, names)?;
        let mut watches = Watches { inotify, folder, file: None };
        self.watch_file(&mut watches)?;
        Ok(watches)
    }

    /// Watches what has the name now, instead of what had it before.
    fn watch_file(&self, watches: &mut Watches) -> Result<(), Errno> {
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DONT_FOLLOW;
        let now = match watches.inotify.add_watch(&self.path, changes) {
            Ok(watch) => Some(watch),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        let before = std::mem::replace(&mut watches.file, now);
        if let Some(before) = before.filter(|before| Some(*before) != now) {
            // Refused when that file is gone, and its watch with it.
            let _ = watches.inotify.rm_watch(before);
        }
        Ok(())
    }

    /// Takes in all that the kernel has told so far; whether it was about our file.
    fn drain(&mut self) -> bool {
        let Some(mut watches) = self.watches.take() else { return true };
        let (mut ours, mut renamed, mut lost) = (false, false, false);
        while let Ok(events) = watches.inotify.read_events() {
            for event in events {
                let at_end = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    renamed = true;
                } else if event.wd == watches.folder {
                    renamed |= event.name.as_ref() == Some(&self.name);
                    lost |= event.mask.intersects(at_end);
                } else {
                    ours = true;
                }
            }
        }
        if renamed {
            lost |= self.watch_file(&mut watches).is_err();
        }
        if lost {
            // The folder has gone elsewhere, or there are no watches left: the name still means something, so look.
            self.look_every = Some(LOOK_EVERY);
        } else {
            self.watches = Some(watches);
        }
        ours || renamed || lost
    }
}

/// Standard input in the place of a feedback file.
#[derive(Debug)]
pub struct FeedbackInput {
    input: File,
    buffer: Vec<u8>,
}

impl FeedbackInput {
    /// Standard input, past any buffer that this process has for it.
    pub fn stdin() -> Result<FeedbackInput, FeedError> {
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|source| FeedError::Stdin { source })?;
        Ok(FeedbackInput { input: input.into(), buffer: vec![0; CHUNK] })
    }

    /// Reads what is there, waiting until there is something; `false` at its end.
    pub fn read_some(
        &mut self,
        feedback: &mut Feedback,
        report: &mut dyn FnMut(Ignored<'_>),
    ) -> Result<bool, FeedError> {
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(got) => {
                    feedback.push_strict(&self.buffer[..got], report);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // Whoever gave us this input has set it not to block.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(self.wait(None, None)?),
                Err(source) => return Err(FeedError::Stdin { source }),
            }
        }
    }

    /// Waits until there is something to read or its end, as [`Follower::wait`] does for a file.
    pub fn wait(&mut self, timeout: Option<Duration>, reader: Option<BorrowedFd<'_>>) -> Result<Woken, FeedError> {
        wait_for(Some(self.input.as_fd()), timeout, reader).map_err(|errno| FeedError::Stdin { source: errno.into() })
    }
}

/// Waits for bytes on `input`, the end of `timeout`, or the closing of `reader`; signals do not end it.
fn wait_for(
    input: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
    reader: Option<BorrowedFd<'_>>,
) -> Result<Woken, Errno> {
    let timeout = match timeout {
        // Rounded up: a wait of nothing would be a busy one.
        Some(time) => PollTimeout::try_from(time.max(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    let mut fds = Vec::with_capacity(2);
    fds.extend(reader.map(|fd| PollFd::new(fd, PollFlags::empty())));
    fds.extend(input.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    loop {
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
            Ok(0) => return Ok(Woken::Quiet),
            Ok(_) => break,
        }
    }
    let gone = reader.is_some() && fds.first().and_then(PollFd::any) == Some(true);
    Ok(if gone { Woken::ReaderGone } else { Woken::Changed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::thread;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    struct Reader {
        path: PathBuf,
        feedback: Feedback,
        mark: Mark,
    }

    impl Reader {
        fn of(path: &Path) -> Reader {
            Reader { path: path.to_owned(), feedback: Feedback::default(), mark: Mark::default() }
        }

        fn read(&mut self) -> String {
            FeedFile::open(&self.path).unwrap().read_new(&mut self.feedback, &mut self.mark).unwrap();
            self.feedback.to_json()
        }
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write;
        OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn reads_what_is_new() {
        let folder = folder();
        let path = folder.path().join("f");
        fs::write(&path, "[a]1\n[warning]w\n[b]").unwrap();
        let mut reader = Reader::of(&path);
        assert_eq!(reader.read(), r#"{"a":"1","warning":"w"}"#);
        append(&path, "2\n");
        assert_eq!(reader.read(), r#"{"a":"1","warning":"w","b":"2"}"#);
        assert_eq!(reader.read(), r#"{"a":"1","warning":"w","b":"2"}"#);
        assert_eq!(reader.feedback.warnings(), 1);
    }

    #[test]
    fn a_file_written_anew_is_read_anew() {
        let folder = folder();
        let path = folder.path().join("f");
        fs::write(&path, "[progress]12\n").unwrap();
        let mut reader = Reader::of(&path);
        assert_eq!(reader.read(), r#"{"progress":"12"}"#);
        for (text, json) in [
            ("[progress]13\n", r#"{"progress":"13"}"#),
            ("[b]1\n", r#"{"b":"1"}"#),
            ("[progress]14\n[b]2\n", r#"{"progress":"14","b":"2"}"#),
            ("", "{}"),
            ("[c]3\n", r#"{"c":"3"}"#),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(reader.read(), json);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, "[a]1\n").unwrap();
        assert_eq!(reader.read(), r#"{"a":"1"}"#);
    }

    #[test]
    fn going_on_from_a_stored_mark() {
        let folder = folder();
        let path = folder.path().join("f");
        fs::write(&path, format!("{}[a]1\n[b]", "# filling\n".repeat(2000))).unwrap();
        let mut reader = Reader::of(&path);
        reader.read();
        FeedFile::open(&path).unwrap().rewind(&mut reader.feedback, &mut reader.mark).unwrap();
        let stored = serde_json::to_string(&(&reader.feedback, &reader.mark)).unwrap();
        append(&path, "2\n");
        let (feedback, mark) = serde_json::from_str(&stored).unwrap();
        let mut later = Reader { path, feedback, mark };
        assert_eq!(later.read(), r#"{"a":"1","b":"2"}"#);
        assert_eq!(later.feedback.lines(), 2002, "it went on and did not begin anew");
    }

    #[test]
    fn more_than_one_chunk() {
        let folder = folder();
        let path = folder.path().join("f");
        let lines: String = (0..100_000).map(|n| format!("[key{}]{n}\n", n % 7)).collect();
        fs::write(&path, &lines).unwrap();
        let mut all = Feedback::default();
        all.push(lines.as_bytes());
        assert_eq!(Reader::of(&path).read(), all.to_json());
    }

    #[test]
    fn only_regular_files_and_no_waiting() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "[a]1\n").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (name, words) in [
            ("link", "a symbolic link, which is not followed"),
            ("dangling", "a symbolic link, which is not followed"),
            ("folder", "a folder"),
            ("pipe", "a pipe"),
            ("socket", "a socket"),
        ] {
            let expected =
                format!("cannot open feedback file {:?}: it is {words}, not a regular file", at(name).display());
            assert_eq!(FeedFile::open(&at(name)).unwrap_err().to_string(), expected);
            assert_eq!(signature(&at(name)).unwrap_err().to_string(), expected);
        }
        drop(socket);
        assert!(FeedFile::open(Path::new("/dev/null")).unwrap_err().to_string().contains("a device"));
        assert!(FeedFile::open(&at("missing")).unwrap_err().is_missing());
        assert_eq!(signature(&at("missing")).unwrap(), None);
        assert_eq!(signature(&at("file")).unwrap(), Some(FeedFile::open(&at("file")).unwrap().signature().unwrap()));
    }

    #[test]
    fn removing_never_follows_and_never_takes_a_folder() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink(at("file"), at("link")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        assert!(remove(&at("link")).unwrap());
        assert!(at("file").exists());
        assert!(remove(&at("file")).unwrap());
        assert!(!remove(&at("file")).unwrap());
        let message = remove(&at("folder")).unwrap_err().to_string();
        assert!(message.starts_with("cannot remove feedback file "), "{message}");
        assert!(at("folder").exists());
    }

    #[test]
    fn local_folders_are_no_network() {
        assert!(!is_network_fs(Path::new("/proc")).unwrap());
        assert!(is_network_fs(Path::new("/no such folder")).is_err());
    }

    /// Every change of the file ends a wait that began before or after it, and changes of its neighbours do not.
    fn wakes_for(look_every: Option<Duration>) {
        let folder = folder();
        let path = folder.path().join("f");
        fs::write(&path, "").unwrap();
        let mut follower = Follower::new(&path);
        follower.look_every = look_every;
        if look_every.is_some() {
            follower.watches = None;
        }
        let short = Some(Duration::from_millis(30));
        let long = Some(Duration::from_secs(60));
        type Step = (&'static str, fn(&Path));
        let steps: [Step; 6] = [
            ("append", |path| append(path, "[a]1\n")),
            ("truncate", |path| fs::write(path, "[b]22\n").unwrap()),
            ("delete", |path| fs::remove_file(path).unwrap()),
            ("create", |path| fs::write(path, "[c]333\n").unwrap()),
            ("append to the new one", |path| append(path, "[a]1\n")),
            ("replace", |path| {
                fs::write(path.with_extension("new"), "[d]4\n").unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
            }),
        ];
        for (name, step) in steps {
            step(&path);
            assert_eq!(follower.wait(long, None).unwrap(), Woken::Changed, "{name}");
            while follower.wait(short, None).unwrap() == Woken::Changed {}
            fs::write(folder.path().join("neighbour"), name).unwrap();
            assert_eq!(follower.wait(short, None).unwrap(), Woken::Quiet, "{name}");
        }
        let path_of_thread = path.clone();
        let writer = thread::spawn(move || append(&path_of_thread, "[e]5\n"));
        assert_eq!(follower.wait(long, None).unwrap(), Woken::Changed);
        writer.join().unwrap();
    }

    #[test]
    fn wakes_for_every_change() {
        wakes_for(None);
    }

    #[test]
    fn wakes_for_every_change_where_it_must_look() {
        wakes_for(Some(Duration::from_millis(5)));
    }

    #[test]
    fn wakes_when_nobody_reads_any_more() {
        let folder = folder();
        let mut follower = Follower::new(&folder.path().join("f"));
        let (reader, writer) = io::pipe().unwrap();
        let short = Some(Duration::from_millis(10));
        assert_eq!(follower.wait(short, Some(writer.as_fd())).unwrap(), Woken::Quiet);
        drop(reader);
        assert_eq!(follower.wait(None, Some(writer.as_fd())).unwrap(), Woken::ReaderGone);
    }

    #[test]
    fn goes_on_looking_when_the_folder_moves_away() {
        let folder = folder();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        fs::create_dir(&here).unwrap();
        fs::write(here.join("f"), "").unwrap();
        let mut follower = Follower::new(&here.join("f"));
        fs::rename(&here, &there).unwrap();
        assert_eq!(follower.wait(None, None).unwrap(), Woken::Changed);
        assert!(follower.watches.is_none() && follower.look_every.is_some());
    }
}
