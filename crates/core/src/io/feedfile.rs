//! The feedback file on disk (or standard input in its place): opened safely, read incrementally,
//! watched.
//!
//! This module only brings the bytes of a feedback file to [`Feedback`]. It knows the grammar
//! through that type alone, and reads no clock: it waits in `poll(2)` for a change.
//!
//! Other users may be able to write in the folder of a feedback file. So no link is followed, only
//! a regular file is read, and opening never blocks (a pipe of that name would).
//!
//! # Reading only new bytes
//!
//! Programs append to their file, but also rewrite it (`echo "[progress]12" > FILE`), often with
//! the very same size. A [`Mark`] therefore holds, besides the offset read so far, a fingerprint of
//! the bytes just before. If those bytes have changed, the file was rewritten and is read from its
//! start.

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

/// Bytes per read: large enough to make system calls cheap, small enough for a thousand readers.
const CHUNK: usize = 256 << 10;

/// Bytes before the mark that must be unchanged: all of a file that is small enough to be rewritten
/// each time.
const FINGERPRINT: usize = 4096;

/// Polling interval where the kernel cannot report changes (a network folder, no watches left).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An error of a feedback file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The file cannot be opened; see [`FeedError::is_missing`].
    #[error("cannot open feedback file {path:?}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The path is not a regular file.
    #[error("cannot open feedback file {path:?}: it is {kind}, not a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// The type, as text with an article.
        kind: &'static str,
    },
    /// The open file cannot be read.
    #[error("cannot read feedback file {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Size and times of the file cannot be read.
    #[error("cannot stat feedback file {path:?}: {source}")]
    Look {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be deleted.
    #[error("cannot remove feedback file {path:?}: {source}")]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file system of a folder cannot be determined.
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
    /// The wait for a change failed.
    #[error("cannot wait for a change of {path:?}: {source}")]
    Wait {
        /// The file that was waited for.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FeedError {
    /// Whether the file does not exist (yet, or any more).
    pub fn is_missing(&self) -> bool {
        matches!(self, FeedError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The metadata that every change of the file changes. Equal signatures mean no heartbeat in
/// between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// The file system.
    pub dev: u64,
    /// The file in it.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// Last modification, in nanoseconds since 1970 by the file server's clock: only for
    /// comparison.
    pub mtime_ns: i128,
    /// Last change of the inode, likewise.
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

/// How far a file was read, and how to recognize it. The default means that nothing was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file system.
    pub dev: u64,
    /// The file in it.
    pub ino: u64,
    /// Bytes read.
    pub offset: u64,
    /// Fingerprint of the bytes just before the offset.
    pub fingerprint: u64,
}

/// An open feedback file.
#[derive(Debug)]
pub struct FeedFile {
    file: File,
    path: PathBuf,
}

impl FeedFile {
    /// Opens a feedback file for reading: no link is followed, only a regular file is accepted, and
    /// opening never blocks.
    pub fn open(path: &Path) -> Result<FeedFile, FeedError> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).map_err(|source| {
            // The system reports a single link as "too many levels of symbolic links", which is
            // misleading.
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

    /// Returns the signature of the open file, even if its name leads to another file by now.
    pub fn signature(&self) -> Result<Signature, FeedError> {
        Ok(Signature::of(&self.look()?))
    }

    /// Reads what is new since the mark, up to the current size of the file, and moves the mark.
    ///
    /// If the file is not that of the mark any more (recreated, truncated, rewritten), or the mark
    /// is the default one, `feedback` is reset as well. Bytes that are appended during the read are
    /// left for the next one, so the read always ends.
    pub fn read_new(&self, feedback: &mut Feedback, mark: &mut Mark) -> Result<(), FeedError> {
        self.read_new_strict(feedback, mark, &mut |_| ())
    }

    /// Like [`FeedFile::read_new`], and reports every ignored line.
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

    /// Reads the whole file for the last time; of a file longer than `most` bytes only its
    /// beginning and its end, in whole lines. Returns the number of bytes left out between them.
    pub fn read_bounded(&self, feedback: &mut Feedback, most: u64) -> Result<u64, FeedError> {
        /// The share of the beginning, which holds the keywords that are set once.
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
        // Skip the rest of a line that began before `start`.
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

    /// Reads the whole lines in the last 16 KiB: enough for the values that change often.
    pub fn read_tail(&self, feedback: &mut Feedback) -> Result<(), FeedError> {
        /// Bytes that are read from the end.
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

    /// Drops the unterminated last line and moves the mark back to the start of that line, so that
    /// another program can continue from the stored pair.
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

    /// FNV-1a of the bytes just before the offset. The hash must be the same in every version of
    /// this program; it need not resist forgery.
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

/// Returns the signature of the file with this name; `None` if there is none. Other types than a
/// regular file are an error.
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

/// Deletes the file with this name. Returns whether there was one. A link itself is deleted, not
/// its target; a folder is refused.
pub fn remove(path: &Path) -> Result<bool, FeedError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FeedError::Remove { path: path.to_owned(), source }),
    }
}

/// Checks that the effective user may create files in a folder.
pub fn may_write(folder: &Path) -> io::Result<()> {
    let wanted = AccessFlags::W_OK | AccessFlags::X_OK;
    Ok(faccessat(AT_FDCWD, folder, wanted, AtFlags::AT_EACCESS)?)
}

/// Whether a folder is on another machine or is served by a program, so that the kernel does not
/// see (and cannot report) changes by others, and the times of its files come from another clock.
pub fn is_network_fs(folder: &Path) -> Result<bool, FeedError> {
    Ok(network_fs(folder)?.is_some())
}

/// Returns the kind of network file system that a folder is on; `None` for a local one. FUSE
/// counts, as its backing store is unknown.
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
    // All of these numbers have 32 bits; the type of the field depends on the architecture.
    let magic = stat.filesystem_type().0 as u32;
    Ok(REMOTE.iter().find(|(remote, _)| *remote == magic).map(|(_, name)| *name))
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The file may have changed.
    Changed,
    /// Nothing changed before the timeout.
    Quiet,
    /// The reader of the program's output is gone.
    ReaderGone,
}

/// Waits for changes of one file, also across deletion and creation, without polling.
///
/// Where the kernel cannot report changes (see [`is_network_fs`]), the file is polled once a
/// second.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    folder: PathBuf,
    name: OsString,
    watches: Option<Watches>,
    /// The polling interval, if the file is polled.
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
    /// Starts watching. Every later change wakes the next [`Follower::wait`], so read the file only
    /// after this call.
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

    /// Returns a descriptor to poll along with others. It is readable when the file may have
    /// changed; then call [`Follower::wait`] with a zero timeout.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.watches.as_ref().map(|watches| watches.inotify.as_fd())
    }

    /// Waits until the file may have changed, for `timeout` at most (`None`: without limit), or
    /// until the other end of `reader` is closed.
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
        // The folder for names that come and go, the file itself for its bytes: changes of other
        // files must not wake this process.
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

    /// Watches the file that has the name now, instead of the former one.
    fn watch_file(&self, watches: &mut Watches) -> Result<(), Errno> {
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_DONT_FOLLOW;
        let now = match watches.inotify.add_watch(&self.path, changes) {
            Ok(watch) => Some(watch),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        let before = std::mem::replace(&mut watches.file, now);
        if let Some(before) = before.filter(|before| Some(*before) != now) {
            // Fails if that file is gone: the kernel has removed its watch.
            let _ = watches.inotify.rm_watch(before);
        }
        Ok(())
    }

    /// Reads all pending events. Returns whether any concerned the file.
    fn drain(&mut self) -> bool {
        let Some(mut watches) = self.watches.take() else { return true };
        let (mut changed, mut renamed, mut lost) = (false, false, false);
        while let Ok(events) = watches.inotify.read_events() {
            for event in events {
                let at_end = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    renamed = true;
                } else if event.wd == watches.folder {
                    renamed |= event.name.as_ref() == Some(&self.name);
                    lost |= event.mask.intersects(at_end);
                } else {
                    changed = true;
                }
            }
        }
        if renamed {
            lost |= self.watch_file(&mut watches).is_err();
        }
        if lost {
            // The folder was moved or no watches are left: the path may still lead to a file, so
            // poll it.
            self.look_every = Some(LOOK_EVERY);
        } else {
            self.watches = Some(watches);
        }
        changed || renamed || lost
    }
}

/// Standard input in the place of a feedback file.
#[derive(Debug)]
pub struct FeedbackInput {
    input: File,
    buffer: Vec<u8>,
}

impl FeedbackInput {
    /// Opens standard input, bypassing any buffer of this process.
    pub fn stdin() -> Result<FeedbackInput, FeedError> {
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|source| FeedError::Stdin { source })?;
        Ok(FeedbackInput { input: input.into(), buffer: vec![0; CHUNK] })
    }

    /// Reads what is available, waiting for the first byte. Returns `false` at the end of the
    /// input.
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
                // The parent process has made this input non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(self.wait(None, None)?),
                Err(source) => return Err(FeedError::Stdin { source }),
            }
        }
    }

    /// Waits until the input is readable or at its end, like [`Follower::wait`] for a file.
    pub fn wait(&mut self, timeout: Option<Duration>, reader: Option<BorrowedFd<'_>>) -> Result<Woken, FeedError> {
        wait_for(Some(self.input.as_fd()), timeout, reader).map_err(|errno| FeedError::Stdin { source: errno.into() })
    }
}

/// Waits for bytes on `input`, for `timeout`, or for the closing of `reader`; signals do not end
/// the wait.
fn wait_for(
    input: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
    reader: Option<BorrowedFd<'_>>,
) -> Result<Woken, Errno> {
    let timeout = match timeout {
        // Rounded up: a zero timeout would busy-wait.
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
    fn a_rewritten_file_is_read_from_its_start() {
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
        assert_eq!(later.feedback.lines(), 2002, "continued instead of starting over");
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
    fn local_folders_are_not_on_a_network() {
        assert!(!is_network_fs(Path::new("/proc")).unwrap());
        assert!(is_network_fs(Path::new("/no such folder")).is_err());
    }

    /// Every change of the file ends a wait that began before or after it, and changes of its
    /// neighbours do not.
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
    fn wakes_when_the_reader_of_the_output_is_gone() {
        let folder = folder();
        let mut follower = Follower::new(&folder.path().join("f"));
        let (reader, writer) = io::pipe().unwrap();
        let short = Some(Duration::from_millis(10));
        assert_eq!(follower.wait(short, Some(writer.as_fd())).unwrap(), Woken::Quiet);
        drop(reader);
        assert_eq!(follower.wait(None, Some(writer.as_fd())).unwrap(), Woken::ReaderGone);
    }

    #[test]
    fn polls_when_the_folder_moves_away() {
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
