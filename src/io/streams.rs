//! The command's output on its way to where ours goes.
//!
//! The command writes into a pipe (or a terminal of ours); what arrives is passed on unchanged and handed to whoever
//! logs it. Nothing here blocks: a reader of our output that is slow makes the command wait, as it would without us,
//! while we go on to hear signals and deadlines. A reader that went away is made known to the command by closing its
//! pipe.

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

/// What is read at once. Larger than what the allocator takes from its heap, so that only pages that were read into
/// need memory.
const CHUNK: usize = 256 << 10;
/// After so many bytes a stream is a fast one and gets a longer pipe, which saves switches between processes.
const FAST_AFTER: u64 = 1 << 20;
const LONG_PIPE: i32 = 1 << 20;
/// Reads of one stream before others are looked at again.
const ROUNDS: usize = 8;
/// A write of so much does not block once poll(2) says that the descriptor is writable.
const SURE: usize = 4096;

/// Where a stream's bytes go.
#[derive(Debug)]
enum Target {
    /// On to a descriptor of ours.
    Through(Sink),
    /// Into the file of what is held back.
    Held,
}

/// A descriptor of ours that bytes go on to.
#[derive(Debug)]
struct Sink {
    fd: OwnedFd,
    way: Way,
}

/// How to write without being blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    /// A regular file does not block for long.
    File,
    /// An open file of our own that does not block. Others who share the original are not touched.
    Nonblocking,
    /// Ask first, then write little.
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
            // Fails where it is another user's.
            if let Ok(fd) = open(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(), flags, Mode::empty()) {
                return Ok(Sink { fd, way: Way::Nonblocking });
            }
        }
        Ok(Sink { fd: fd.try_clone_to_owned()?, way: Way::Careful })
    }

    /// Writes as much as goes without waiting; gives how much that was.
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
    /// None once it has ended.
    from: Option<OwnedFd>,
    /// None once nobody reads any more.
    to: Option<Target>,
    /// Read and not passed on yet.
    pending: Vec<u8>,
    taken: u64,
}

/// What is held back until the end, in files without a name: in the next folder when one has no room.
#[derive(Debug)]
struct Held {
    files: Vec<(PathBuf, File)>,
    /// Bytes in the last of them.
    len: u64,
    /// Folders that were not tried yet.
    folders: Vec<PathBuf>,
    /// Where there was no room, and why.
    trouble: String,
    /// Whether some of it found no room anywhere.
    is_cut: bool,
}

impl Held {
    /// # Errors
    /// When no folder takes a file; with all their names.
    fn open(folders: &[PathBuf]) -> io::Result<Held> {
        let folders = folders.iter().rev().cloned().collect();
        let mut held = Held { files: vec![], len: 0, folders, trouble: String::new(), is_cut: false };
        match held.next_file() {
            true => Ok(held),
            false => Err(io::Error::other(format!("there is no folder for what is held back: {}", held.trouble))),
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

    /// Adds what a stream printed. Where no file has room it is left out, with all that follows: the log has it.
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
            // No record is there by half.
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
    /// Why some of the output did not get to where ours goes.
    lost: Option<String>,
    /// Whether somebody who read it has closed it before its end.
    reader_gone: bool,
    /// Whether the last that was passed on ended a line.
    line_ended: bool,
}

/// The ends that are the command's: its descriptors 1 and 2.
#[derive(Debug)]
pub struct Ends {
    /// Output.
    pub out: OwnedFd,
    /// Error output.
    pub err: OwnedFd,
}

/// A terminal of ours for the command, in place of the one that we have.
#[derive(Debug)]
pub struct Substitute<'a> {
    /// Our side of it.
    pub ours: BorrowedFd<'a>,
    /// The command's side.
    pub command: BorrowedFd<'a>,
}

/// What another program has to know to go on with a stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct StreamState {
    number: usize,
    from: usize,
    to: Option<(usize, Way)>,
    taken: u64,
}

/// The same for what is held back.
#[derive(Debug, Serialize, Deserialize)]
struct HandedHeld {
    files: Vec<(PathBuf, usize)>,
    len: u64,
    folders: Vec<PathBuf>,
    trouble: String,
    is_cut: bool,
}

/// The same for all of a command's streams.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct AllHanded {
    list: Vec<StreamState>,
    held: Option<HandedHeld>,
    lost: Option<String>,
    #[serde(default)]
    reader_gone: bool,
}

impl Streams {
    /// Makes the ways for a command whose output goes where ours goes: a pipe for each of our descriptors 1 and 2, or
    /// one for both if they are the same file, so that the order is kept. Where ours is a terminal, it is `terminal`
    /// instead. With folders in `hold`, nothing is passed on before [`Streams::release`]; it is kept in the first of them
    /// that has room.
    ///
    /// # Errors
    /// When there are no descriptors, or none of the folders takes a file.
    pub fn open(terminal: Option<&Substitute<'_>>, hold: &[PathBuf]) -> io::Result<(Streams, Ends)> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let ours = [stdout.as_fd(), stderr.as_fd()];
        let file = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev)).ok();
        let one = file(ours[0]).is_some() && file(ours[0]) == file(ours[1]);
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
        for (number, &fd) in ours.iter().enumerate() {
            let substitute = terminal.filter(|_| is_terminal(fd));
            if let Some(terminal) = substitute {
                if !has_terminal {
                    let from = terminal.ours.try_clone_to_owned()?;
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

    /// Makes the ways for a command whose output goes nowhere but to those who see it; with `one`, both of its streams
    /// are one, in the order of writing.
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
        // The command's end is another open file: only ours does not block.
        let flags = OFlag::from_bits_truncate(fcntl(&from, FcntlArg::F_GETFL)?);
        fcntl(&from, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        self.list.push(Stream { number, from: Some(from), to, pending: Vec::new(), taken: 0 });
        Ok(())
    }

    /// What to wait for until it can be read.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.list
            .iter()
            .filter(|stream| stream.pending.is_empty())
            .filter_map(|stream| stream.from.as_ref().map(AsFd::as_fd))
    }

    /// What to wait for until it can be written.
    pub fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.list.iter().filter(|stream| !stream.pending.is_empty()).filter_map(|stream| match &stream.to {
            Some(Target::Through(sink)) => Some(sink.fd.as_fd()),
            Some(Target::Held) | None => None,
        })
    }

    /// Whether all have ended: nobody can write to us any more.
    pub fn have_ended(&self) -> bool {
        self.list.iter().all(|stream| stream.from.is_none())
    }

    /// Whether something was read that could not be passed on yet.
    pub fn are_behind(&self) -> bool {
        self.list.iter().any(|stream| !stream.pending.is_empty())
    }

    /// Whether what was passed on last ended a line.
    pub fn line_ended(&self) -> bool {
        self.line_ended
    }

    /// Whether a reader of the output closed it before its end. The command learns of that by SIGPIPE.
    pub fn reader_has_gone(&self) -> bool {
        self.reader_gone
    }

    /// Why some of the output did not get to where ours goes, if that is so; that nobody reads it any more is no loss.
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Passes on what there is, and shows it to `see` (the stream's number and the bytes) as it comes. False if there
    /// may be more at once.
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
                // Whoever reads our output sees its end when the command closes it.
                stream.to = None;
                return true;
            };
            match read(from, &mut self.buffer) {
                // EIO: the last one has closed a terminal.
                Ok(0) | Err(Errno::EIO) => {
                    stream.from = None;
                    stream.to = None;
                    return true;
                }
                Ok(len) => {
                    stream.taken += len as u64;
                    if stream.taken >= FAST_AFTER && stream.taken - (len as u64) < FAST_AFTER {
                        // Refused where the user's share is used up, and for a terminal.
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

    /// Shows what was held back, all of it in its order. It may wait for who reads it.
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

    /// Passes on what is still to be passed on, waiting for readers as long as `goes_on` says (asked after each of
    /// these `steps`).
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

    /// What somebody may still write to.
    pub fn leave(&mut self) -> Vec<OwnedFd> {
        self.list.iter_mut().filter_map(|stream| stream.from.take()).collect()
    }

    /// Says what a new program in this process has to know, and gives `add` every descriptor that it needs, which returns
    /// the number for it.
    pub fn hand_over<'fd>(&'fd self, add: &mut dyn FnMut(BorrowedFd<'fd>) -> usize) -> AllHanded {
        let held = self.held.as_ref().map(|held| HandedHeld {
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
        AllHanded { list, held, lost: self.lost.clone(), reader_gone: self.reader_gone }
    }

    /// Goes on with streams that were handed over; `take` returns the descriptor of a number. Of a stream whose
    /// descriptor did not arrive nothing is read any more; what cannot be passed on counts as lost.
    pub fn take_over(handed: AllHanded, take: &mut dyn FnMut(usize) -> io::Result<OwnedFd>) -> Streams {
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

/// Passes bytes of a stream on; what does not go at once becomes pending. Returns whether its reader has gone.
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
            // It learns of that as it would without us: its next write fails.
            stream.to = None;
            stream.from = None;
            stream.pending = Vec::new();
            gone
        }
    }
}

/// Whether a terminal is behind this descriptor.
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::isatty(fd).unwrap_or(false)
}
