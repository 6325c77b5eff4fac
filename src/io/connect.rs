//! The connection to a supervisor, over its socket or its port. This module transports lines and
//! does not interpret them.

use std::{
    collections::VecDeque,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::FileTypeExt, net::UnixStream},
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        socket::{
            AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, setsockopt, socket,
            sockopt::{PeerCredentials, SendTimeout},
        },
        time::TimeVal,
    },
};
use ureq::{
    Agent, Error, Timeout,
    config::Config,
    unversioned::transport::{Connector, TcpConnector},
};

use super::names::SystemNames;
use crate::model::wire::{Auth, LineReader, WireLine};

/// Longest response, in bytes; ten thousand processes take seven megabytes.
const LONGEST: usize = 64 << 20;
/// Bytes per read.
const BLOCK: usize = 64 << 10;
/// Timeout of setting up a network connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Exit code after Ctrl-C, by the convention of shells.
const INTERRUPTED: i32 = 130;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket does not exist.
    #[error("no such file")]
    NoFile,
    /// The connection was refused.
    #[error("connection refused")]
    Refused,
    /// This user may not use the socket.
    #[error("permission denied")]
    Denied,
    /// The path is not a socket.
    #[error("not a socket")]
    NoSocket,
    /// Nothing arrived within this time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection was closed before the response.
    #[error("the connection was closed before an answer came")]
    Closed,
    /// The connection was closed within a line.
    #[error("the connection was closed in the middle of an answer")]
    Cut,
    /// The response exceeds the size limit.
    #[error("answer too long: over {} MB", LONGEST >> 20)]
    TooLong,
    /// Ctrl-C was pressed.
    #[error("interrupted")]
    Interrupted,
    /// The reader of this program's output is gone.
    #[error("the reader has gone")]
    ReaderGone,
    /// The server speaks HTTP but is not a supervisor; with the status.
    #[error("not a supervisor (HTTP {0})")]
    Stranger(u16),
    /// Any other error of the system.
    #[error("{0}")]
    Io(io::Error),
    /// Any other error of HTTP.
    #[error("{0}")]
    Http(String),
}

impl ConnectError {
    fn of(error: io::Error) -> ConnectError {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ConnectError::NoFile,
            ErrorKind::ConnectionRefused => ConnectError::Refused,
            ErrorKind::PermissionDenied => ConnectError::Denied,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => ConnectError::Closed,
            _ => ConnectError::Io(error),
        }
    }
}

/// Makes Ctrl-C end this program with 130 from now on, unless it was ignored at the start.
///
/// # Errors
/// Those of sigaction(2).
pub fn end_on_interrupt() -> io::Result<()> {
    if is_ignored(Signal::SIGINT) {
        return Ok(());
    }
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(Signal::SIGINT as i32, INTERRUPTED, always).map(drop)
}

/// Ctrl-C in the shell: cancels the current wait, and the shell continues.
#[derive(Clone, Debug)]
pub struct Interrupt {
    caught: Arc<Caught>,
    stop_key: Option<Arc<StopKey>>,
}

#[derive(Debug)]
struct Caught {
    came: Arc<AtomicBool>,
    /// Readable once Ctrl-C was pressed.
    pipe: UnixStream,
}

impl Interrupt {
    /// Starts to catch Ctrl-C. A second Ctrl-C that comes before the first was taken ends this
    /// program with 130: the program hangs in a call that does not check for the first.
    ///
    /// # Errors
    /// Those of sigaction(2) and socketpair(2).
    pub fn catch() -> io::Result<Interrupt> {
        let came = Arc::new(AtomicBool::new(false));
        let (pipe, end) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let signal = Signal::SIGINT as i32;
        // In this order: the first handler must run before the flag is set.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&came))?;
        signal_hook::flag::register(signal, Arc::clone(&came))?;
        signal_hook::low_level::pipe::register(signal, end)?;
        Ok(Interrupt { caught: Arc::new(Caught { came, pipe }), stop_key: None })
    }

    /// Returns an interrupt that also catches Ctrl-Z, which does not stop this program until that
    /// value is dropped. Each other thread must have called [`leave_stop_key`].
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn with_stop_key(&self) -> io::Result<Interrupt> {
        let stop_key = Some(Arc::new(StopKey::block()?));
        Ok(Interrupt { caught: Arc::clone(&self.caught), stop_key })
    }

    /// Whether an interrupt came since the last call.
    pub fn take(&self) -> bool {
        let mut bytes = [0; 64];
        while let Ok(1..) = (&self.caught.pipe).read(&mut bytes) {}
        let came = self.caught.came.swap(false, Ordering::SeqCst);
        // Both are consumed.
        self.stop_key.as_ref().is_some_and(|key| key.take()) | came
    }

    /// Returns the descriptors that become readable on an interrupt.
    fn readable(&self) -> impl Iterator<Item = PollFd<'_>> {
        let keys = self.stop_key.iter().map(|key| key.0.as_fd());
        std::iter::once(self.caught.pipe.as_fd()).chain(keys).map(|fd| PollFd::new(fd, PollFlags::POLLIN))
    }
}

/// Ctrl-Z of the terminal (SIGTSTP), which is blocked while this lives. A handler instead could not
/// be removed again, and would stop a program that no shell could continue.
#[derive(Debug)]
struct StopKey(SignalFd);

impl StopKey {
    fn block() -> io::Result<StopKey> {
        let signals = stop_key();
        let key = StopKey(SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?);
        signals.thread_block()?;
        Ok(key)
    }

    /// Whether Ctrl-Z came since the last call.
    fn take(&self) -> bool {
        let mut came = false;
        while let Ok(Some(_)) = self.0.read_signal() {
            came = true;
        }
        came
    }
}

impl Drop for StopKey {
    fn drop(&mut self) {
        self.take();
        // Fails only for an invalid operation.
        let _ = stop_key().thread_unblock();
    }
}

fn stop_key() -> SigSet {
    SigSet::from_iter([Signal::SIGTSTP])
}

/// Leaves Ctrl-Z to the main thread; to be called in each other thread of a program that catches
/// it.
pub fn leave_stop_key() {
    // Fails only for an invalid operation.
    let _ = stop_key().thread_block();
}

/// Whether a signal is ignored: commands in the background of a script do not get the terminal's
/// Ctrl-C.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal as i32 - 1) & 1 == 1
}

/// A connection to the socket of a supervisor.
#[derive(Debug)]
pub struct Socket {
    stream: UnixStream,
    reader: LineReader,
    ready: VecDeque<WireLine>,
    ended: bool,
    interrupt: Option<Interrupt>,
}

/// The first of two awaited events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A line.
    Line(Vec<u8>),
    /// The other side has closed the connection.
    End,
    /// The other descriptor is readable.
    Other,
    /// The timeout is over.
    Neither,
}

impl Socket {
    /// Connects, waiting at most `limit` for a supervisor that is stopped and accepts no
    /// connections.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub fn connect(path: &Path, limit: Option<Duration>) -> Result<Socket, ConnectError> {
        let failed = |errno: Errno| ConnectError::of(io::Error::from(errno));
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
        if let Some(limit) = limit {
            // Also the timeout of writing a request.
            let secs = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
            let time = TimeVal::new(secs, i64::from(limit.subsec_micros()).max(i64::from(secs == 0)));
            setsockopt(&fd, SendTimeout, &time).map_err(failed)?;
        }
        let address = UnixAddr::new(path).map_err(failed)?;
        loop {
            match connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &address) {
                Ok(()) => break,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(ConnectError::TimedOut(limit.unwrap_or_default())),
                Err(Errno::ECONNREFUSED) if !is_socket(path) => return Err(ConnectError::NoSocket),
                Err(errno) => return Err(failed(errno)),
            }
        }
        let reader = LineReader::new(LONGEST);
        Ok(Socket { stream: UnixStream::from(fd), reader, ready: VecDeque::new(), ended: false, interrupt: None })
    }

    /// Returns the user and the process that started to listen on the other side, as recorded by
    /// the kernel then.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn peer(&self) -> io::Result<(u32, i32)> {
        let noted = getsockopt(&self.stream, PeerCredentials)?;
        Ok((noted.uid(), noted.pid()))
    }

    /// Ends later waits on this interrupt with [`ConnectError::Interrupted`].
    pub fn end_on(&mut self, interrupt: Interrupt) {
        self.interrupt = Some(interrupt);
    }

    /// Returns a handle that closes the connection from another thread; a read that waits there
    /// sees its end.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn closer(&self) -> io::Result<Closer> {
        self.stream.try_clone().map(Closer)
    }

    /// Sends one line.
    ///
    /// # Errors
    /// [`ConnectError`]; not if the other side has closed: its earlier lines can still be read.
    pub fn send(&mut self, line: &str) -> Result<(), ConnectError> {
        match self.stream.write_all(format!("{line}\n").as_bytes()) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let limit = self.stream.write_timeout().ok().flatten();
                Err(ConnectError::TimedOut(limit.unwrap_or_default()))
            }
            other => other.map_err(ConnectError::of),
        }
    }

    /// Returns the next line; `None` once the other side has closed. `limit` is the longest
    /// silence. `watched` is the output of this program, whose closed reader ends the wait.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub fn line(
        &mut self,
        limit: Option<Duration>,
        watched: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Vec<u8>>, ConnectError> {
        loop {
            if let Some(line) = self.read_already()? {
                return Ok(line);
            }
            self.wait(limit, watched)?;
            self.read_more()?;
        }
    }

    /// Returns the next line, or [`Came::Other`] if `other` is readable. `other` has priority, so
    /// that a flood of lines never keeps it waiting. `limit` is the longest silence.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub fn line_or(&mut self, other: BorrowedFd<'_>, limit: Option<Duration>) -> Result<Came, ConnectError> {
        let limit = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
        loop {
            let ready = self.read_already()?;
            let timeout = if ready.is_some() { PollTimeout::ZERO } else { limit };
            let mut fds = [PollFd::new(other, PollFlags::POLLIN), PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            let polled = poll(&mut fds, timeout);
            let [is_other, is_line] = fds.map(|fd| fd.any() == Some(true));
            match (polled, ready) {
                (Ok(_), ready) if is_other => {
                    // The line that was taken out is returned by the next call.
                    if let Some(Some(line)) = ready {
                        self.ready.push_front(WireLine::Text(line));
                    }
                    return Ok(Came::Other);
                }
                (_, Some(Some(line))) => return Ok(Came::Line(line)),
                (_, Some(None)) => return Ok(Came::End),
                (Ok(_), None) if is_line => self.read_more()?,
                (Ok(0), None) => return Ok(Came::Neither),
                (Ok(_) | Err(Errno::EINTR), None) => {}
                (Err(errno), None) => return Err(ConnectError::Io(errno.into())),
            }
        }
    }

    /// Returns what was already read: a line, the end (`Some(None)`), or nothing yet (`None`).
    fn read_already(&mut self) -> Result<Option<Option<Vec<u8>>>, ConnectError> {
        match self.ready.pop_front() {
            Some(WireLine::Text(line)) => Ok(Some(Some(line))),
            Some(WireLine::TooLong) => Err(ConnectError::TooLong),
            None if self.ended && self.reader.is_inside() => Err(ConnectError::Cut),
            None if self.ended => Ok(Some(None)),
            None => Ok(None),
        }
    }

    fn read_more(&mut self) -> Result<(), ConnectError> {
        let mut block = vec![0; BLOCK];
        match self.stream.read(&mut block) {
            Ok(0) => self.ended = true,
            Ok(count) => self.ready.extend(self.reader.feed(block.get(..count).unwrap_or_default())),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(error) => return Err(ConnectError::of(error)),
        }
        Ok(())
    }

    fn wait(&self, limit: Option<Duration>, watched: Option<BorrowedFd<'_>>) -> Result<(), ConnectError> {
        // Rounded up: a limit below a millisecond must not become a poll that does not wait.
        let millis = limit.map(|limit| i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let timeout =
            millis.map_or(PollTimeout::NONE, |millis| PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX));
        loop {
            let mut fds = vec![PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
            // For errors only, which poll always reports.
            fds.extend(watched.map(|fd| PollFd::new(fd, PollFlags::empty())));
            let at = fds.len();
            fds.extend(self.interrupt.iter().flat_map(Interrupt::readable));
            let polled = poll(&mut fds, timeout);
            let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any() == Some(true));
            match polled {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(ConnectError::Io(errno.into())),
                Ok(0) => return Err(ConnectError::TimedOut(limit.unwrap_or_default())),
                Ok(_) if (at..fds.len()).any(is_ready) => {
                    if self.interrupt.as_ref().is_some_and(Interrupt::take) {
                        return Err(ConnectError::Interrupted);
                    }
                }
                Ok(_) if is_ready(0) => return Ok(()),
                Ok(_) => return Err(ConnectError::ReaderGone),
            }
        }
    }
}

/// Closes a connection that another thread reads from, when this is dropped.
#[derive(Debug)]
pub struct Closer(UnixStream);

impl Drop for Closer {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// The response of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends one line to the port of a supervisor, `http://host:port`, and returns the response. No
/// proxy is used, which would see the name and the password.
///
/// # Errors
/// [`ConnectError`]; a response is `Ok` with any status.
pub fn post(base: &str, line: &str, auth: Option<&Auth>, limit: Option<Duration>) -> Result<Posted, ConnectError> {
    let config = Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("taskwatcher/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .timeout_connect(Some(limit.map_or(CONNECT, |limit| limit.min(CONNECT))))
        .timeout_global(limit)
        .build();
    let agent = Agent::with_parts(config, ().chain(TcpConnector::default()), SystemNames::default());
    let mut request = agent.post(format!("{base}/api")).header("Content-Type", "application/json");
    if let Some(Auth { username, password }) = auth {
        let basic = STANDARD.encode(format!("{username}:{password}"));
        request = request.header("Authorization", format!("Basic {basic}"));
    }
    let failed = |error| failed(error, limit);
    let mut response = request.send(line).map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    let mut reader = response.body_mut().as_reader().take(LONGEST as u64 + 1);
    let read = reader.read_to_end(&mut body);
    read.map_err(|error| error.downcast::<Error>().map_or_else(ConnectError::of, failed))?;
    match body.len() > LONGEST {
        true => Err(ConnectError::TooLong),
        false => Ok(Posted { status, body }),
    }
}

fn failed(error: Error, limit: Option<Duration>) -> ConnectError {
    match error {
        Error::HostNotFound => ConnectError::Http("no host of this name".to_owned()),
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            ConnectError::TimedOut(limit.unwrap_or(CONNECT).min(CONNECT))
        }
        Error::Timeout(_) => ConnectError::TimedOut(limit.unwrap_or_default()),
        Error::Io(error) => ConnectError::of(error),
        Error::ConnectionFailed => ConnectError::Refused,
        Error::Protocol(error) => ConnectError::Http(format!("the answer is not HTTP: {error}")),
        other => ConnectError::Http(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, Socket) {
        let (there, here) = UnixStream::pair().unwrap();
        let reader = LineReader::new(LONGEST);
        (there, Socket { stream: here, reader, ready: VecDeque::new(), ended: false, interrupt: None })
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        let (mut there, mut socket) = pair();
        there.write_all(b"a\nb\r\n\nc\n").unwrap();
        drop(there);
        let mut next = || socket.line(None, None).unwrap();
        assert_eq!([next(), next(), next()], [b"a", b"b", b"c"].map(|line| Some(line.to_vec())));
        assert_eq!([next(), next()], [None, None]);
    }

    #[test]
    fn silence_a_cut_line_and_a_closed_side_are_reported() {
        let (mut there, mut socket) = pair();
        there.write_all(b"half").unwrap();
        let short = Duration::from_millis(1);
        assert!(matches!(socket.line(Some(short), None), Err(ConnectError::TimedOut(time)) if time == short));
        drop(there);
        assert!(matches!(socket.line(None, None), Err(ConnectError::Cut)));
        let (there, mut socket) = pair();
        drop(there);
        socket.send("x").unwrap();
        assert!(matches!(socket.line(None, None), Ok(None)));
    }

    #[test]
    fn lines_from_before_the_other_side_closed_are_read() {
        let (mut there, mut socket) = pair();
        there.write_all(b"no\n").unwrap();
        drop(there);
        socket.send("x").unwrap();
        assert_eq!(socket.line(None, None).unwrap(), Some(b"no".to_vec()));
    }

    #[test]
    fn the_keyboard_goes_before_lines_and_none_of_them_is_lost() {
        let (mut there, mut socket) = pair();
        let (keyboard, mut keys) = io::pipe().unwrap();
        there.write_all(b"a\nb\nc\n").unwrap();
        let came = |socket: &mut Socket| socket.line_or(keyboard.as_fd(), None).unwrap();
        let line = |text: &[u8]| Came::Line(text.to_vec());
        assert_eq!(came(&mut socket), line(b"a"));
        keys.write_all(b"x").unwrap();
        assert_eq!([came(&mut socket), came(&mut socket)], [Came::Other, Came::Other]);
        (&keyboard).read_exact(&mut [0]).unwrap();
        assert_eq!([came(&mut socket), came(&mut socket)], [line(b"b"), line(b"c")]);
        assert_eq!(socket.line_or(keyboard.as_fd(), Some(Duration::from_millis(1))).unwrap(), Came::Neither);
        drop(there);
        assert_eq!(came(&mut socket), Came::End);
    }

    #[test]
    fn a_closed_reader_of_the_output_is_noticed() {
        let (_there, mut socket) = pair();
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(matches!(socket.line(None, Some(writer.as_fd())), Err(ConnectError::ReaderGone)));
    }
}
