//! Commands on other hosts, through the user's own `ssh` with its configuration, keys and agent.
//!
//! This module only runs one command line there and passes its output on, line by line. It knows
//! nothing of tasks.

use std::{
    io::{self, Read},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Options for ssh: never ask the user, and notice a host that is gone.
const OPTIONS: [&str; 8] = [
    "-oBatchMode=yes",
    "-oConnectTimeout=10",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=2",
    "-oClearAllForwardings=yes",
    "-oPermitLocalCommand=no",
    "-T",
    "--",
];
/// Longest line, in bytes; those of taskwatcher have a megabyte at most.
const LONGEST_LINE: usize = 64 << 20;
/// The exit code of a failure of ssh itself.
const SSH_FAILED: i32 = 255;
/// Messages of ssh about failures that a retry would not change.
const CLOSED: [&str; 8] = [
    "Permission denied",
    "Host key verification failed",
    "Too many authentication failures",
    "Bad configuration option",
    "Bad owner or permissions",
    "terminating, ",
    "no matching ",
    "Name or service not known",
];

/// Why a command could not be run on the host.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The local ssh cannot be run.
    #[error("cannot run ssh: {0}")]
    NoSsh(io::Error),
    /// The last message of ssh.
    #[error("ssh failed: {0}{hint}", hint = hint(.0))]
    Failed(String),
    /// Nothing arrived within this time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A line exceeds the size limit.
    #[error("answer has a line of over {} MB", LONGEST_LINE >> 20)]
    LongLine,
    /// The output cannot be read.
    #[error("cannot read the output of ssh: {0}")]
    Read(io::Error),
}

/// Returns a remedy for a message of ssh.
fn hint(why: &str) -> &'static str {
    match why {
        "Host key verification failed" => "; log in there once with ssh, to see its key and to accept it",
        _ => "",
    }
}

impl SshError {
    /// Whether the host may only be out of reach, so that a retry can succeed.
    pub fn may_pass(&self) -> bool {
        match self {
            SshError::Failed(why) => !CLOSED.iter().any(|words| why.contains(words)),
            SshError::TimedOut(_) => true,
            SshError::NoSsh(_) | SshError::LongLine | SshError::Read(_) => false,
        }
    }
}

/// Output of a remote command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteOutput<'a> {
    /// A line of standard output.
    Output(&'a [u8]),
    /// A line of standard error, of the command or of ssh.
    Message(&'a [u8]),
    /// No more lines for now.
    Pause,
}

/// The two streams of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Output,
    Messages,
}

/// Kills the program when dropped before it has ended.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The child has not been waited for yet, so its pid cannot be reused.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command line in a shell of `host`, passes each line of output to `see` without its line
/// end, and returns the exit code. `silence` is the longest time without output before the command
/// is abandoned. If the output breaks off, an incomplete last line is not passed on: a retry
/// returns it in full.
///
/// # Errors
/// [`SshError`]; errors of `see`.
pub fn run<E: std::convert::From<SshError>>(
    host: &str,
    line: &str,
    silence: Option<Duration>,
    mut see: impl FnMut(RemoteOutput<'_>) -> Result<(), E>,
) -> Result<i32, E> {
    let mut command = Command::new("ssh");
    command.args(OPTIONS).arg(host).arg(line);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(SshError::NoSsh)?);
    let (mut output, mut messages) = (running.0.stdout.take(), running.0.stderr.take());
    let mut pending = [Vec::new(), Vec::new()];
    let mut last = String::new();
    let mut buffer = vec![0; 1 << 16];
    let timeout = match silence {
        Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    while output.is_some() || messages.is_some() {
        let mut fds = vec![];
        let mut which = vec![];
        if let Some(pipe) = &output {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            which.push(From::Output);
        }
        if let Some(pipe) = &messages {
            fds.push(PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
            which.push(From::Messages);
        }
        match poll(&mut fds, timeout) {
            Ok(0) => return Err(SshError::TimedOut(silence.unwrap_or_default()).into()),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(SshError::Read(error.into()).into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        for (from, _) in which.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            let read = match from {
                From::Output => output.as_mut().map(|pipe| pipe.read(&mut buffer)),
                From::Messages => messages.as_mut().map(|pipe| pipe.read(&mut buffer)),
            };
            let count = match read {
                Some(Ok(count)) => count,
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Some(Err(error)) => return Err(SshError::Read(error).into()),
                None => 0,
            };
            let held = &mut pending[usize::from(from == From::Messages)];
            let before = held.len();
            held.extend_from_slice(&buffer[..count]);
            let ended = count == 0;
            // The bytes held before contain no line end.
            let whole = match buffer[..count].iter().rposition(|byte| *byte == b'\n') {
                _ if ended && from == From::Messages => held.len(),
                Some(end) => before + end + 1,
                None if held.len() > LONGEST_LINE => return Err(SshError::LongLine.into()),
                None => 0,
            };
            for text in held[..whole].split_inclusive(|byte| *byte == b'\n') {
                let text = text.strip_suffix(b"\n").unwrap_or(text);
                match from {
                    From::Output => see(RemoteOutput::Output(text))?,
                    From::Messages => {
                        // ssh ends its own messages with CR LF.
                        let text = text.strip_suffix(b"\r").unwrap_or(text);
                        if !text.trim_ascii().is_empty() {
                            last = String::from_utf8_lossy(text.trim_ascii()).into_owned();
                        }
                        see(RemoteOutput::Message(text))?;
                    }
                }
            }
            held.drain(..whole);
            if ended {
                match from {
                    From::Output => output = None,
                    From::Messages => messages = None,
                }
            }
        }
        see(RemoteOutput::Pause)?;
    }
    let status = running.0.wait().map_err(SshError::Read)?;
    match status.code() {
        // ssh prints nothing if a signal ended the remote command, as when the host shuts down.
        Some(SSH_FAILED) if last.is_empty() => Err(SshError::Failed("the connection broke off".to_owned()).into()),
        // The message becomes part of an error text.
        Some(SSH_FAILED) => Err(SshError::Failed(last.trim_end_matches('.').to_owned()).into()),
        Some(code) => {
            let [rest, _] = &pending;
            if !rest.is_empty() {
                see(RemoteOutput::Output(rest))?;
                see(RemoteOutput::Pause)?;
            }
            Ok(code)
        }
        None => Err(SshError::Failed(format!("{status}")).into()),
    }
}
