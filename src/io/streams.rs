//! Relays the command's output to this process's own output.
//!
//! The command writes into a pipe (or a pseudo-terminal); its output is passed on unchanged and
//! also shown to the logger. Nothing here blocks: a slow reader makes the command wait, as it would
//! without the launcher, while the launcher still handles signals and deadlines. If a reader is
//! gone, the command's pipe is closed.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl, open},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::{Mode, SFlag, fstat},
    unistd::{pipe2, read, write},
};
use serde::{Deserialize, Serialize};

/// Bytes per read. Larger than allocations from the heap, so that only pages that were read into
/// need memory.
const CHUNK: usize = 256 << 10;
/// A stream of more bytes is a fast one and gets a longer pipe, which saves context switches.
const FAST_AFTER: u64 = 1 << 20;
const LONG_PIPE: i32 = 1 << 20;
/// Reads of one stream before the others get their turn.
const ROUNDS: usize = 8;
/// A write of this size does not block once poll(2) reports the descriptor as writable.
const SURE: usize = 4096;

/// The target of a stream.
#[derive(Debug)]
enum Target {
    /// A descriptor of this process.
    Through(Sink),
    /// The file of held-back output.
    Held,
}

/// A descriptor of this process that receives output.
#[derive(Debug)]
struct Sink {
    fd: OwnedFd,
    way: Way,
}

/// How to write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    /// A regular file does not block for long.
    File,
    /// A reopened, non-blocking file. Other users of the original descriptor are not affected.
    Nonblocking,
    /// Poll first, then write little.
    Careful,
}

impl Sink {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Sink> {
        let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFREG {
            return Ok(Sink { fd: fd.try_clone_to_owned()?, way: Way::File });
        }
        if kind == SFlag::S_IFIFO || kind == SFlag::S_IFCHR {
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            // Fails if the file belongs to another user.
            if let Ok(fd) = open(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(), flags, Mode::empty()) {
                return Ok(Sink { fd, way: Way::Nonblocking });
            }
        }
        Ok(Sink { fd: fd.try_clone_to_owned()?, way: Way::Careful })
    }

    /// Writes as much as possible without blocking, and returns the number of bytes.
    fn write(&self, mut bytes: &[u8]) -> io::Result<usize> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let piece = match self.way {
                Way::File | Way::Nonblocking => bytes,
                Way::Careful => {
                    let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut fds, PollTimeout::ZERO) {
                        Ok(0) => break,
                        Ok(_) | Err(_) => &bytes[..bytes.len().min(SURE)],
                    }
                }
            };
            match write(&self.fd, piece) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(whole - bytes.len())
    }
}

#[derive(Debug)]
struct Stream {
    /// 0 for output, 1 for error output.
    number: usize,
    /// `None` once the stream has ended.
    from: Option<OwnedFd>,
    /// `None` once the reader is gone.
    to: Option<Target>,
    /// Read and not passed on yet.
    pending: Vec<u8>,
    taken: u64,
}

/// Output held back until the end, in unnamed files: in the next folder if one has no room.
#[derive(Debug)]
struct Held {
    files: Vec<(PathBuf, File)>,
    /// Bytes in the last file.
    len: u64,
    /// Folders that were not tried yet.
    folders: Vec<PathBuf>,
    /// Folders without room, and the errors.
    trouble: String,
    /// Whether some of the output found no room anywhere.
    is_cut: bool,
}

impl Held {
    /// # Errors
    /// When no folder accepts a file; with all their names.
    fn open(folders: &[PathBuf]) -> io::Result<Held> {
        let folders = folders.iter().rev().cloned().collect();
        let mut held = Held { files: vec![], len: 0, folders, trouble: String::new(), is_cut: false };
        match held.next_file() {
            true => Ok(held),
            false => Err(io::Error::other(format!("cannot hold output back: no usable folder: {}", held.trouble))),
        }
    }

    fn next_file(&mut self) -> bool {
        while let Some(folder) = self.folders.pop() {
            match tempfile::tempfile_in(&folder) {
                Ok(file) => {
                    self.files.push((folder, file));
                    self.len = 0;
                    return true;
                }
                Err(error) => self.note(&folder, &error),
            }
        }
        false
    }

    fn note(&mut self, folder: &Path, error: &io::Error) {
        let separator = if self.trouble.is_empty() { "" } else { "; " };
        self.trouble.push_str(&format!("{separator}{folder:?}: {error}"));
    }

    /// Adds output of a stream. If no file has room, this and all following output is dropped; the
    /// log contains it.
    fn add(&mut self, number: usize, bytes: &[u8]) {
        let mut head = [0; 9];
        head[0] = u8::from(number == 1);
        head[1..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        let record = [&head, bytes].concat();
        while !self.is_cut {
            let Some((folder, file)) = self.files.last_mut() else { return };
            let Err(error) = file.write_all(&record) else {
                self.len += record.len() as u64;
                return;
            };
            // Removes an incomplete record.
            let _ = file.set_len(self.len);
            let folder = folder.clone();
            self.note(&folder, &error);
            self.is_cut = !self.next_file();
        }
    }
}

/// The output of one command.
#[derive(Debug)]
pub struct Streams {
    list: Vec<Stream>,
    held: Option<Held>,
    buffer: Vec<u8>,
    /// Why some of the output was not passed on.
    lost: Option<String>,
    /// Whether a reader closed the output before its end.
    reader_gone: bool,
    /// Whether the last output passed on ended a line.
    line_ended: bool,
}

/// The command's ends of the streams: its descriptors 1 and 2.
#[derive(Debug)]
pub struct Ends {
    /// Output.
    pub out: OwnedFd,
    /// Error output.
    pub err: OwnedFd,
}

/// A pseudo-terminal for the command, in place of the real one.
#[derive(Debug)]
pub struct Substitute<'a> {
    /// The master side.
    pub master: BorrowedFd<'a>,
    /// The command's side.
    pub command: BorrowedFd<'a>,
}

/// The state of a stream for a re-execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamState {
    number: usize,
    from: usize,
    to: Option<(usize, Way)>,
    taken: u64,
}

/// The state of held-back output for a re-execution.
#[derive(Debug, Serialize, Deserialize)]
struct HeldState {
    files: Vec<(PathBuf, usize)>,
    len: u64,
    folders: Vec<PathBuf>,
    trouble: String,
    is_cut: bool,
}

/// The state of all streams of a command for a re-execution.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StreamsState {
    list: Vec<StreamState>,
    held: Option<HeldState>,
    lost: Option<String>,
    #[serde(default)]
    reader_gone: bool,
}

impl Streams {
    /// Opens the streams of a command whose output is passed on: a pipe for each of this process's
    /// descriptors 1 and 2, or one for both if they are the same file, so that the order is kept. A
    /// terminal is replaced by `terminal`. With folders in `hold`, nothing is passed on before
    /// [`Streams::release`]; the output is kept in the first folder that has room.
    ///
    /// # Errors
    /// When there are no descriptors, or none of the folders accepts a file.
    pub fn open(terminal: Option<&Substitute<'_>>, hold: &[PathBuf]) -> io::Result<(Streams, Ends)> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let outputs = [stdout.as_fd(), stderr.as_fd()];
        let file = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev)).ok();
        let one = file(outputs[0]).is_some() && file(outputs[0]) == file(outputs[1]);
        let held = if hold.is_empty() { None } else { Some(Held::open(hold)?) };
        let mut streams = Streams {
            list: Vec::with_capacity(2),
            held,
            buffer: Vec::new(),
            lost: None,
            reader_gone: false,
            line_ended: true,
        };
        let held_back = !hold.is_empty();
        let mut ends: Vec<OwnedFd> = Vec::with_capacity(2);
        let mut has_terminal = false;
        for (number, &fd) in outputs.iter().enumerate() {
            let substitute = terminal.filter(|_| is_terminal(fd));
            if let Some(terminal) = substitute {
                if !has_terminal {
                    let from = terminal.master.try_clone_to_owned()?;
                    streams.add(number, from, Some(Target::Through(Sink::of(fd)?)))?;
                    has_terminal = true;
                }
                ends.push(terminal.command.try_clone_to_owned()?);
                continue;
            }
            if one && number == 1 {
                ends.push(ends[0].try_clone()?);
                continue;
            }
            let (from, end) = pipe2(OFlag::O_CLOEXEC)?;
            let to = if held_back { Target::Held } else { Target::Through(Sink::of(fd)?) };
            streams.add(number, from, Some(to))?;
            ends.push(end);
        }
        let (Some(err), Some(out)) = (ends.pop(), ends.pop()) else { return Err(ErrorKind::Other.into()) };
        Ok((streams, Ends { out, err }))
    }

    /// Opens the streams of a command whose output is only shown to the `see` of [`Streams::pump`].
    /// With `one`, both streams are merged in the order of writing.
    ///
    /// # Errors
    /// When there are no descriptors.
    pub fn gather(one: bool) -> io::Result<(Streams, Ends)> {
        let mut streams = Streams {
            list: Vec::with_capacity(2),
            held: None,
            buffer: Vec::new(),
            lost: None,
            reader_gone: false,
            line_ended: true,
        };
        let (from, out) = pipe2(OFlag::O_CLOEXEC)?;
        streams.add(0, from, None)?;
        let err = match one {
            true => out.try_clone()?,
            false => {
                let (from, err) = pipe2(OFlag::O_CLOEXEC)?;
                streams.add(1, from, None)?;
                err
            }
        };
        Ok((streams, Ends { out, err }))
    }

    fn add(&mut self, number: usize, from: OwnedFd, to: Option<Target>) -> io::Result<()> {
        // The command's end is a separate open file: only this end becomes non-blocking.
        let flags = OFlag::from_bits_truncate(fcntl(&from, FcntlArg::F_GETFL)?);
        fcntl(&from, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        self.list.push(Stream { number, from: Some(from), to, pending: Vec::new(), taken: 0 });
        Ok(())
    }

    /// Returns the descriptors to poll for reading.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.list
            .iter()
            .filter(|stream| stream.pending.is_empty())
            .filter_map(|stream| stream.from.as_ref().map(AsFd::as_fd))
    }

    /// Returns the descriptors to poll for writing.
    pub fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.list.iter().filter(|stream| !stream.pending.is_empty()).filter_map(|stream| match &stream.to {
            Some(Target::Through(sink)) => Some(sink.fd.as_fd()),
            Some(Target::Held) | None => None,
        })
    }

    /// Whether all streams have ended: no process can write to them any more.
    pub fn have_ended(&self) -> bool {
        self.list.iter().all(|stream| stream.from.is_none())
    }

    /// Whether output was read that could not be passed on yet.
    pub fn are_behind(&self) -> bool {
        self.list.iter().any(|stream| !stream.pending.is_empty())
    }

    /// Whether the output passed on last ended a line.
    pub fn line_ended(&self) -> bool {
        self.line_ended
    }

    /// Whether a reader closed the output before its end. The command learns of that by SIGPIPE.
    pub fn reader_has_gone(&self) -> bool {
        self.reader_gone
    }

    /// Returns why some of the output was not passed on, if so; a closed reader is not a loss.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Passes available output on, and calls `see` with the stream's number and the bytes. Returns
    /// false if more may be available at once.
    pub fn pump(&mut self, see: &mut dyn FnMut(usize, &[u8])) -> bool {
        if self.buffer.is_empty() {
            self.buffer = vec![0; CHUNK];
        }
        let mut all = true;
        for index in 0..self.list.len() {
            all &= self.pump_one(index, see);
        }
        all
    }

    fn pump_one(&mut self, index: usize, see: &mut dyn FnMut(usize, &[u8])) -> bool {
        let stream = &mut self.list[index];
        for _ in 0..ROUNDS {
            if !stream.pending.is_empty() {
                let pending = std::mem::take(&mut stream.pending);
                self.reader_gone |= pass(stream, &pending, &mut self.held, &mut self.lost);
                if !stream.pending.is_empty() {
                    return true;
                }
            }
            let Some(from) = &stream.from else {
                // The reader of this process's output sees the end when the command closes it.
                stream.to = None;
                return true;
            };
            match read(from, &mut self.buffer) {
                // EIO: the last process has closed the terminal.
                Ok(0) | Err(Errno::EIO) => {
                    stream.from = None;
                    stream.to = None;
                    return true;
                }
                Ok(len) => {
                    stream.taken += len as u64;
                    if stream.taken >= FAST_AFTER && stream.taken - (len as u64) < FAST_AFTER {
                        // Fails if the user's share is used up, and for a terminal.
                        let _ = fcntl(from, FcntlArg::F_SETPIPE_SZ(LONG_PIPE));
                    }
                    self.reader_gone |= pass(stream, &self.buffer[..len], &mut self.held, &mut self.lost);
                    self.line_ended = self.buffer[len - 1] == b'\n';
                    see(stream.number, &self.buffer[..len]);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return true,
                Err(error) => {
                    self.lost.get_or_insert_with(|| error.desc().to_owned());
                    stream.from = None;
                    return true;
                }
            }
        }
        false
    }

    /// Prints the held-back output in its order. May block on the reader.
    pub fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        let show = |mut held: File| -> io::Result<()> {
            held.seek(SeekFrom::Start(0))?;
            let mut held = io::BufReader::new(held);
            let mut head = [0; 9];
            loop {
                match held.read_exact(&mut head) {
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                    other => other?,
                }
                let [number, len @ ..] = head;
                let mut record = (&mut held).take(u64::from_le_bytes(len));
                match number {
                    0 => io::copy(&mut record, &mut io::stdout().lock())?,
                    _ => io::copy(&mut record, &mut io::stderr().lock())?,
                };
            }
        };
        let shown = held.files.into_iter().try_for_each(|(_, file)| show(file)).and_then(|()| io::stdout().flush());
        if let Err(error) = shown.as_ref().map_err(io::Error::kind)
            && error != ErrorKind::BrokenPipe
        {
            self.lost.get_or_insert_with(|| error.to_string());
        }
        if held.is_cut {
            self.lost.get_or_insert_with(|| format!("no room to hold it back in {}", held.trouble));
        }
    }

    /// Passes the remaining output on, waiting for readers while `goes_on` is true, which is asked
    /// after each `step` without progress.
    pub fn deliver(&mut self, step: Duration, goes_on: &mut dyn FnMut() -> bool) {
        while self.are_behind() {
            let mut fds: Vec<PollFd<'_>> = self.writable().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)).collect();
            let ready = poll(&mut fds, PollTimeout::try_from(step).unwrap_or(PollTimeout::MAX));
            drop(fds);
            if ready == Ok(0) && !goes_on() {
                return;
            }
            for stream in &mut self.list {
                let pending = std::mem::take(&mut stream.pending);
                self.reader_gone |= pass(stream, &pending, &mut self.held, &mut self.lost);
            }
        }
    }

    /// Returns the descriptors to which descendants of the command may still write.
    pub fn leave(&mut self) -> Vec<OwnedFd> {
        self.list.iter_mut().filter_map(|stream| stream.from.take()).collect()
    }

    /// Returns the state for a re-execution. `add` receives every descriptor that the new program
    /// needs, and returns the number of the descriptor.
    pub fn hand_over<'fd>(&'fd self, add: &mut dyn FnMut(BorrowedFd<'fd>) -> usize) -> StreamsState {
        let held = self.held.as_ref().map(|held| HeldState {
            files: held.files.iter().map(|(folder, file)| (folder.clone(), add(file.as_fd()))).collect(),
            len: held.len,
            folders: held.folders.clone(),
            trouble: held.trouble.clone(),
            is_cut: held.is_cut,
        });
        let mut list = Vec::with_capacity(self.list.len());
        for stream in &self.list {
            let Some(from) = &stream.from else { continue };
            let to = match &stream.to {
                Some(Target::Through(sink)) => Some((add(sink.fd.as_fd()), sink.way)),
                Some(Target::Held) | None => None,
            };
            list.push(StreamState { number: stream.number, from: add(from.as_fd()), to, taken: stream.taken });
        }
        StreamsState { list, held, lost: self.lost.clone(), reader_gone: self.reader_gone }
    }

    /// Continues with the streams of a re-execution; `take` returns the descriptor with a number. A
    /// stream whose descriptor did not arrive is not read any more; output that cannot be passed on
    /// counts as lost.
    pub fn take_over(handed: StreamsState, take: &mut dyn FnMut(usize) -> io::Result<OwnedFd>) -> Streams {
        let mut lost = handed.lost;
        let mut take = |number| match take(number) {
            Ok(fd) => Some(fd),
            Err(error) => {
                lost.get_or_insert_with(|| error.to_string());
                None
            }
        };
        let held = handed.held.map(|held| Held {
            files: held.files.into_iter().filter_map(|(folder, number)| Some((folder, take(number)?.into()))).collect(),
            len: held.len,
            folders: held.folders,
            trouble: held.trouble,
            is_cut: held.is_cut,
        });
        let mut list = Vec::with_capacity(handed.list.len());
        for one in handed.list {
            let to = match one.to {
                Some((number, way)) => take(number).map(|fd| Target::Through(Sink { fd, way })),
                None => held.as_ref().map(|_| Target::Held),
            };
            let from = take(one.from);
            list.push(Stream { number: one.number, from, to, pending: Vec::new(), taken: one.taken });
        }
        Streams { list, held, buffer: Vec::new(), lost, reader_gone: handed.reader_gone, line_ended: true }
    }
}

/// Passes bytes of a stream on; the rest becomes pending. Returns whether the reader is gone.
fn pass(stream: &mut Stream, bytes: &[u8], held: &mut Option<Held>, lost: &mut Option<String>) -> bool {
    let passed = match (&stream.to, held) {
        (Some(Target::Through(sink)), _) => sink.write(bytes),
        (Some(Target::Held), Some(held)) => {
            held.add(stream.number, bytes);
            Ok(bytes.len())
        }
        (Some(Target::Held), None) | (None, _) => Ok(bytes.len()),
    };
    match passed {
        Ok(written) => {
            stream.pending.extend_from_slice(&bytes[written..]);
            false
        }
        Err(error) => {
            let gone = error.kind() == ErrorKind::BrokenPipe;
            if !gone {
                lost.get_or_insert_with(|| error.to_string());
            }
            // The command learns of the error as it would without the launcher: its next write
            // fails.
            stream.to = None;
            stream.from = None;
            stream.pending = Vec::new();
            gone
        }
    }
}

/// Whether this descriptor is a terminal.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(fd).unwrap_or(false)
}
