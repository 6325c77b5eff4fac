//! Child processes: starting the command, waiting for ends, and ending a whole process tree.
//!
//! The launcher's signals are blocked (see `inbox`), which a command must not inherit. posix_spawn
//! sets an empty mask and default dispositions in the child itself, without a fork of the larger
//! process.

use std::{
    ffi::{CString, OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, fs::PermissionsExt, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, ppoll},
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp},
    sys::{
        resource::{UsageWho, getrusage},
        signal::{SigSet, Signal as NixSignal, kill, killpg},
        stat::Mode,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use rustix::process::{WaitIdOptions, WaitOptions, wait};

use serde::{Deserialize, Serialize};

use crate::model::task::{Exit, NotRunnable, Signal};

/// Waits until `fd` is readable or `timeout` is over; returns whether it is readable.
///
/// # Errors
/// Those of poll(2).
pub fn poll_one(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    poll_any(&[fd], timeout).map(|ready| ready.is_some())
}

/// Waits until one of `fds` is readable or `timeout` is over; returns the index of the first
/// readable one.
///
/// # Errors
/// Those of poll(2).
pub fn poll_any(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Option<usize>> {
    let mut polled: Vec<PollFd> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, timeout.map(Into::into), None) {
        Ok(_) => Ok(polled.iter().position(|fd| fd.any().unwrap_or(false))),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Why a command could not be run.
#[derive(Debug)]
pub struct CannotRun {
    /// The kernel's error as text.
    pub reason: String,
    /// Whether the file was not found, as opposed to found and not executable.
    pub not_found: bool,
    /// The kernel's error number.
    pub number: i32,
}

impl CannotRun {
    /// Returns the error with this number.
    pub fn from_number(number: i32) -> CannotRun {
        Errno::from_raw(number).into()
    }

    /// Whether the system currently has no processes, memory or descriptors left, so that the
    /// command is not at fault.
    pub fn is_shortage(&self) -> bool {
        let short = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
        short.iter().any(|errno| *errno as i32 == self.number)
    }
}

/// Returns what is at the path of a program that the kernel did not execute.
pub fn in_place_of(name: &OsStr, error: &CannotRun) -> NotRunnable {
    if name.is_empty() {
        return NotRunnable::Other;
    }
    if error.number == Errno::ENOEXEC as i32 {
        return NotRunnable::Binary;
    }
    let found = if name.as_bytes().contains(&b'/') { Some(PathBuf::from(name)) } else { in_path(name, Path::exists) };
    match found.and_then(|path| path.metadata().ok()) {
        Some(_) if error.not_found => NotRunnable::NoInterpreter(interpreter_of(name)),
        Some(_) if error.number != Errno::EACCES as i32 => NotRunnable::Other,
        Some(meta) if meta.is_dir() => NotRunnable::Folder,
        Some(meta) if meta.is_file() && meta.permissions().mode() & 0o111 == 0 => NotRunnable::NotExecutable,
        Some(_) | None => NotRunnable::Other,
    }
}

impl From<Errno> for CannotRun {
    fn from(errno: Errno) -> CannotRun {
        CannotRun { reason: errno.desc().to_owned(), not_found: errno == Errno::ENOENT, number: errno as i32 }
    }
}

/// Starts this program again, with `argv[0]` as its name, in the way that [`spawn`] starts a
/// command.
///
/// # Errors
/// Those of posix_spawn(3).
pub fn spawn_self(
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    close: &[RawFd],
    ignored: u64,
) -> io::Result<i32> {
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    Ok(spawn_args(c"/proc/self/exe", &args, env, put, close, ignored, false)?)
}

/// Like [`spawn_self`], in a new process group.
///
/// # Errors
/// Those of posix_spawn(3).
pub fn spawn_self_in_group(
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    ignored: u64,
) -> io::Result<i32> {
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    Ok(spawn_args(c"/proc/self/exe", &args, env, put, &[], ignored, true)?)
}

/// Starts a program with `argv[0]` as its name. The child has this process's environment plus
/// `set`, and the descriptors in `put`; all others must be close-on-exec.
///
/// # Errors
/// Those of posix_spawn(3).
pub fn spawn_program(
    program: &Path,
    argv: &[OsString],
    set: &[(&str, OsString)],
    put: &[(BorrowedFd<'_>, RawFd)],
) -> io::Result<i32> {
    let program = c_string(program.as_os_str())?;
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    Ok(spawn_args(&program, &args, &environment(set, &[]), put, &[], 0, false)?)
}

/// Returns a descriptor from which another program can read this text, without a file and without a
/// writer.
///
/// # Errors
/// When there are no descriptors or no memory.
pub fn text_to_read(text: &str) -> io::Result<OwnedFd> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let mut file = fs::File::from(memfd_create(c"order", MFdFlags::MFD_CLOEXEC)?);
    io::Write::write_all(&mut file, text.as_bytes())?;
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Starts a command in a new process group, with no signal blocked and default dispositions; a
/// SIGHUP that was ignored when this program started (`nohup`) stays ignored. The command inherits
/// the descriptors that this program was started with and still has open. `put` maps descriptors of
/// this process (all close-on-exec) to their numbers in the command.
///
/// A file without `#!` that the kernel cannot execute is passed to `/bin/sh`, as a shell or env(1)
/// does, unless it is binary.
///
/// # Errors
/// [`CannotRun`], with the kernel's text.
pub fn spawn(
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    ignored: u64,
) -> Result<i32, CannotRun> {
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    let program = args.first().ok_or(Errno::ENOENT)?.clone();
    match spawn_args(&program, &args, env, put, &[], ignored, true) {
        Err(Errno::ENOEXEC) => {
            let path = find_program(&argv[0]).ok_or(Errno::ENOENT)?;
            if is_binary(&path) {
                return Err(Errno::ENOEXEC.into());
            }
            let shell = [c"/bin/sh".to_owned(), c_string(path.as_os_str())?];
            let args: Vec<CString> = shell.into_iter().chain(args.into_iter().skip(1)).collect();
            Ok(spawn_args(c"/bin/sh", &args, env, put, &[], ignored, true)?)
        }
        other => Ok(other?),
    }
}

/// Starts a command in a new session, with all signals at their defaults and none blocked. `put`
/// maps descriptors to their numbers in the command; the command does not get those in `close`. It
/// inherits working directory and umask.
///
/// # Errors
/// Those of execve(2).
pub fn spawn_in_session(
    file: &Path,
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    close: &[RawFd],
) -> io::Result<i32> {
    /// POSIX_SPAWN_SETSID of the C library, which nix does not name.
    const SETSID: i32 = 0x80;
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    let mut attr = PosixSpawnAttr::init()?;
    attr.set_sigmask(&SigSet::empty())?;
    attr.set_sigdefault(&SigSet::all())?;
    let flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    attr.set_flags(flags | PosixSpawnFlags::from_bits_retain(SETSID as _))?;
    let mut actions = PosixSpawnFileActions::init()?;
    for &fd in close {
        actions.add_close(fd)?;
    }
    for (fd, number) in put {
        actions.add_dup2(fd.as_raw_fd(), *number)?;
    }
    Ok(nix::spawn::posix_spawn(file, &actions, &attr, &args, env)?.as_raw())
}

fn spawn_args(
    program: &std::ffi::CStr,
    args: &[CString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    close: &[RawFd],
    ignored: u64,
    own_group: bool,
) -> nix::Result<i32> {
    // All of them, real-time signals too: the kernel does not show which of those are ignored where
    // it shows the others.
    let mut defaults = SigSet::all();
    if Signal::HUP.is_in(ignored) {
        defaults.remove(NixSignal::SIGHUP);
    }
    let mut attr = PosixSpawnAttr::init()?;
    attr.set_sigmask(&SigSet::empty())?;
    attr.set_sigdefault(&defaults)?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    if own_group {
        attr.set_pgroup(Pid::from_raw(0))?;
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
    }
    attr.set_flags(flags)?;
    let mut actions = PosixSpawnFileActions::init()?;
    for &fd in close {
        actions.add_close(fd)?;
    }
    for (fd, number) in put {
        actions.add_dup2(fd.as_raw_fd(), *number)?;
    }
    Ok(posix_spawnp(program, &actions, &attr, args, env)?.as_raw())
}

fn c_string(text: &OsStr) -> Result<CString, Errno> {
    CString::new(text.as_bytes()).map_err(|_| Errno::EINVAL)
}

/// Whether a file is binary, by the rule of a shell: its first line contains a NUL.
fn is_binary(path: &Path) -> bool {
    /// Bytes that are examined.
    const SAMPLE: u64 = 80;
    let mut sample = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, SAMPLE), &mut sample));
    let line = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_ok() && line.contains(&0)
}

/// Returns the interpreter named in the first line of a script; `None` if there is none.
pub fn interpreter_of(name: &OsStr) -> Option<OsString> {
    /// The longest first line that the kernel reads.
    const LONGEST: u64 = 256;
    let mut head = Vec::new();
    let file = fs::File::open(find_program(name)?).ok()?;
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.trim_ascii_start().split(|byte| *byte == b' ' || *byte == b'\t').next()?;
    Some(OsStr::from_bytes(word).to_owned())
}

/// Returns the path of a program, by the rules of execvp(3).
pub fn find_program(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    in_path(name, is_executable)
}

/// Default PATH of the C library.
const USUAL_PATH: &str = "/bin:/usr/bin";

fn in_path(name: &OsStr, is_it: fn(&Path) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_it(file))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Returns the environment of this process with the variables of `set`, without those of `without`.
pub fn environment(set: &[(&str, OsString)], without: &[&str]) -> Vec<CString> {
    let replaced = |name: &OsStr| without.iter().chain(set.iter().map(|(n, _)| n)).any(|n| OsStr::new(n) == name);
    let inherited = std::env::vars_os().filter(|(name, _)| !replaced(name));
    let added = set.iter().map(|(name, value)| (OsString::from(name), value.clone()));
    let entry = |(name, value): (OsString, OsString)| {
        let mut bytes = Vec::with_capacity(name.len() + value.len() + 2);
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        CString::new(bytes).ok()
    };
    inherited.chain(added).filter_map(entry).collect()
}

/// Returns the descriptors above 2 that this process was started with, which the command inherits
/// unchanged. To be called before the program opens any other.
pub fn inherited_descriptors() -> Vec<RawFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut folder) = Dir::open("/proc/self/fd", flags, Mode::empty()) else { return vec![] };
    // The list contains the descriptor of the listing too.
    let own = folder.as_raw_fd();
    let listed = folder.iter().filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
    listed.filter(|&fd| fd > 2 && fd != own).collect()
}

/// Makes every orphaned descendant a child of this process, so that none can leave the tree.
///
/// # Errors
/// On kernels without support for it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Whether this process already has children: a shell started some and then executed this program.
pub fn has_children() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, peek) != Err(Errno::ECHILD)
}

/// A change of a child's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// The child ended.
    Ended(i32, Exit),
    /// The child was stopped by this signal.
    Stopped(i32, Signal),
    /// The child was continued.
    Continued(i32),
    /// No child has changed; others are alive.
    Nothing,
    /// This process has no children.
    NoChildren,
}

/// Reaps one child that ended, or notes one that was stopped or continued, without waiting.
///
/// # Errors
/// Those of waitpid(2).
pub fn reap() -> io::Result<Reaped> {
    loop {
        return match wait(WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED) {
            Ok(None) => Ok(Reaped::Nothing),
            Err(rustix::io::Errno::CHILD) => Ok(Reaped::NoChildren),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
            Ok(Some((pid, status))) => {
                let pid = pid.as_raw_nonzero().get();
                if let Some(signal) = status.stopping_signal() {
                    return Ok(Reaped::Stopped(pid, Signal(signal)));
                }
                if status.continued() {
                    return Ok(Reaped::Continued(pid));
                }
                match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ok(Reaped::Ended(pid, Exit::Code(code))),
                    (None, Some(signal)) => {
                        let core = status.as_raw() & 0x80 != 0;
                        Ok(Reaped::Ended(pid, Exit::Signal { signal: Signal(signal), core }))
                    }
                    (None, None) => continue,
                }
            }
        };
    }
}

/// Returns how a child ended without reaping it, so that its pid is not reused. `None`: it is alive
/// or not a child.
pub fn end_of(child: i32) -> Option<Exit> {
    let pid = rustix::process::Pid::from_raw(child)?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = rustix::process::waitid(rustix::process::WaitId::Pid(pid), look).ok()??;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) => Some(Exit::Signal { signal: Signal(signal), core: status.dumped() }),
        (None, None) => None,
    }
}

/// Resources used by ended children of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident memory of one of them, in bytes; `None` if unknown.
    pub peak: Option<i64>,
}

impl Usage {
    /// Returns the usage since an earlier reading. The kernel keeps one peak for all children: that
    /// of later ones is only known if it is higher.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            peak: self.peak.filter(|peak| before.peak.is_none_or(|before| *peak > before || before == 0)),
        }
    }
}

/// Returns the usage of ended children of this process, including those of a shell that executed
/// this program.
pub fn usage() -> Option<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let time = |t: nix::sys::time::TimeVal| {
        Duration::new(t.tv_sec().unsigned_abs(), u32::try_from(t.tv_usec()).unwrap_or(0) * 1000)
    };
    let peak = Some(usage.max_rss().saturating_mul(1024));
    Some(Usage { user: time(usage.user_time()), system: time(usage.system_time()), peak })
}

/// Sends a signal to the process group of a child that was not reaped yet, so that its pid cannot
/// be reused.
///
/// # Errors
/// When no process of the group may be signalled.
pub fn signal_group(leader: i32, signal: Signal) -> io::Result<()> {
    let Ok(signal) = NixSignal::try_from(signal.0) else { return Err(ErrorKind::InvalidInput.into()) };
    match killpg(Pid::from_raw(leader), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to a child that was not reaped yet, so that its pid cannot be reused.
///
/// # Errors
/// When the child may not be signalled.
pub fn signal(child: i32, signal: Signal) -> io::Result<()> {
    let Ok(signal) = NixSignal::try_from(signal.0) else { return Err(ErrorKind::InvalidInput.into()) };
    Ok(kill(Pid::from_raw(child), signal)?)
}

/// Returns why this process may not signal the current process with this pid. `None`: it may, or
/// there is none.
pub fn refusal_of_signals(pid: i32) -> Option<io::Error> {
    kill(Pid::from_raw(pid), None).err().filter(|error| *error == Errno::EPERM).map(io::Error::from)
}

/// A child's change of state found by [`peek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// The child has ended, or is not a child (any more).
    Ended,
    /// The child was stopped.
    Stopped(Signal),
}

/// Waits until a child ends, without reaping it, or is stopped.
pub fn peek(child: i32) -> Peeked {
    let id = || Id::Pid(Pid::from_raw(child));
    let changes = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED;
    loop {
        match waitid(id(), changes | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Stopped(_, signal)) => {
                // Consumed here; otherwise the next call would find it again.
                let _ = waitid(id(), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG);
                return Peeked::Stopped(Signal(signal as i32));
            }
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return Peeked::Ended,
        }
    }
}

/// Runs a command on the streams of this process, waits for it, and returns its exit code, which is
/// 128 plus the number of the signal if one ended it.
///
/// # Errors
/// The command cannot be started.
pub fn run_here(argv: &[String]) -> io::Result<u8> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let status = std::process::Command::new(program).args(args).status()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Stops this process until it is continued.
pub fn stop_self() {
    let _ = kill(nix::unistd::getpid(), NixSignal::SIGSTOP);
}

/// Blocks every signal that can be blocked.
pub fn block_all_signals() {
    let _ = SigSet::all().thread_block();
}

/// Closes an inherited descriptor.
pub fn close(fd: RawFd) {
    let _ = nix::unistd::close(fd);
}

/// Closes these inherited descriptors. A process that waits for them to be closed (the reader of a
/// pipe, the next holder of a lock) then waits for the command alone.
pub fn close_inherited(fds: &[RawFd]) {
    fds.iter().for_each(|fd| close(*fd));
}

/// Returns a number above those of all these descriptors.
pub fn number_above(used: &[RawFd], put: &[(BorrowedFd<'_>, RawFd)]) -> RawFd {
    let used = used.iter().copied().chain(put.iter().flat_map(|(fd, number)| [fd.as_raw_fd(), *number]));
    used.max().unwrap_or(2).max(2) + 1
}

/// Makes the kernel send SIGTERM to this process when its parent ends, or not any more.
pub fn end_with_parent(so: bool) {
    let _ = nix::sys::prctl::set_pdeathsig(so.then_some(NixSignal::SIGTERM));
}

/// Whether the read end of this pipe is closed in all processes.
pub fn reader_is_gone(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let asked = ppoll(&mut polled, Some(Duration::ZERO.into()), None);
    asked.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Stops this process and the rest of its process group (a pipeline, the script that started this
/// program), like Ctrl-Z on the terminal, until they are continued. If no shell with job control
/// watches the group, the kernel does not stop it and this returns at once.
pub fn suspend() {
    let mut stop = SigSet::empty();
    stop.add(NixSignal::SIGTSTP);
    // None of the three fails on Linux.
    let _ = kill(Pid::from_raw(0), NixSignal::SIGTSTP);
    // This process's own SIGTSTP is pending, because the signal is blocked.
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

/// Leaves the terminal and the session, so that a logout does not reach this process.
pub fn new_session() {
    // Fails only for a group leader, which a newly started child is not.
    let _ = nix::unistd::setsid();
}

/// The name of the process that reads what a command's children still write after the command's
/// end.
pub const DRAIN: &str = "launch-drain";

/// Starts a process that reads these descriptors to their end. A child of the command that
/// continues to write must neither be killed by SIGPIPE nor block for ever.
pub fn leave_drain(output: &[OwnedFd]) {
    let Some(last) = output.last() else { return };
    let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") else { return };
    let first = output.first().unwrap_or(last);
    let spawn = || -> nix::Result<()> {
        let mut attr = PosixSpawnAttr::init()?;
        attr.set_sigmask(&SigSet::empty())?;
        // Not a group leader, which could not leave the session and its terminal.
        attr.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(first.as_raw_fd(), 0)?;
        actions.add_dup2(last.as_raw_fd(), 1)?;
        actions.add_dup2(null.as_raw_fd(), 2)?;
        let args = [CString::new(DRAIN).unwrap_or_default()];
        // Without the environment, whose variables would mark the process as part of the task.
        posix_spawnp(c"/proc/self/exe", &actions, &attr, &args, &[] as &[CString])?;
        Ok(())
    };
    // If no process can be started, the children find a closed pipe.
    let _ = spawn();
}

/// The process of [`leave_drain`]: reads descriptors 0 and 1 to their ends.
pub fn drain() {
    set_name(c"launch-drain");
    new_session();
    let _ = nix::unistd::chdir("/");
    let (input, output) = (io::stdin(), io::stdout());
    let mut open = vec![input.as_fd(), output.as_fd()];
    let mut buffer = vec![0; 64 << 10];
    while !open.is_empty() {
        let Ok(ready) = poll_any(&open, None) else { return };
        let Some(index) = ready else { continue };
        match nix::unistd::read(open[index], &mut buffer) {
            Ok(0) => drop(open.remove(index)),
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => drop(open.remove(index)),
        }
    }
}

/// Returns the process group of this process.
pub fn own_group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// Returns the pid of the parent.
pub fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Returns the pid of this process.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Replaces standard input, and standard output if asked to, by `/dev/null`. They belong to the
/// command alone: a reader of its output must see the end when the command closes it, and a writer
/// to its input must notice that the reader is gone.
pub fn release_streams(output_too: bool) {
    // Without /dev/null the streams stay open.
    if let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        if output_too {
            let _ = nix::unistd::dup2_stdout(&null);
        }
    }
}

/// Like [`release_streams`], for standard error too.
pub fn release_all_streams() {
    release_streams(true);
    if let Ok(null) = fs::File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

/// Replaces descriptor 0 of this process.
///
/// # Errors
/// Those of dup2(2).
pub fn replace_stdin(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stdin(fd)?)
}

/// Re-executes the current program, keeping pid, children, pending signals and arguments; only its
/// memory is released. `variable` is added to the environment, and `input` becomes descriptor 0.
///
/// # Errors
/// Returns only on failure; then descriptor 0 is `/dev/null`, and nothing else has changed.
pub fn reexec(variable: &str, value: OsString, input: &OwnedFd) -> io::Error {
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| c_string(&arg).ok()).collect();
    let env = environment(&[(variable, value)], &[]);
    let become_it = || -> nix::Result<std::convert::Infallible> {
        nix::unistd::dup2_stdin(input)?;
        nix::unistd::execve(c"/proc/self/exe", &args, &env)
    };
    match become_it() {
        Ok(never) => match never {},
        Err(errno) => {
            release_streams(false);
            errno.into()
        }
    }
}

/// Executes another program in this process, with the same descriptors 0, 1 and 2.
///
/// # Errors
/// Returns only on failure; nothing has changed then.
pub fn become_other(program: &Path, argv: &[OsString]) -> io::Error {
    let become_it = || -> nix::Result<()> {
        let program = c_string(program.as_os_str())?;
        let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
        match nix::unistd::execv(&program, &args)? {}
    };
    become_it().err().unwrap_or(Errno::ENOEXEC).into()
}

/// Executes the program `argv[0]`, searched for in PATH, with SIGPIPE at its default.
///
/// # Errors
/// Returns only on failure.
pub fn become_program(argv: &[OsString], env: &[CString]) -> io::Error {
    // Rust ignores SIGPIPE. Exec resets a signal with a handler to its default, and a handler can
    // be set without unsafe.
    let _ = signal_hook::flag::register(NixSignal::SIGPIPE as i32, Arc::new(AtomicBool::new(false)));
    let become_it = || -> nix::Result<std::convert::Infallible> {
        let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
        nix::unistd::execvpe(args.first().ok_or(Errno::ENOENT)?, &args, env)
    };
    match become_it() {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// Waits for the end of a child, and reaps it.
pub fn wait_for(child: i32) {
    let _ = nix::sys::wait::waitpid(Pid::from_raw(child), None);
}

/// The changes that a process makes before it executes the command of a supervised program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The umask.
    pub umask: Option<u32>,
    /// User and group ids, and supplementary groups.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// The working directory.
    pub directory: Option<PathBuf>,
    /// The file to execute.
    pub file: PathBuf,
}

/// The step of a [`Change`] that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeStep {
    /// The umask.
    Umask,
    /// The user and its groups.
    User,
    /// The working directory.
    Directory,
    /// Executing the file.
    Exec,
}

/// Sets user, group and supplementary groups of this process.
pub type BecomeUser = fn(u32, u32, &[u32]) -> io::Result<()>;

/// Executes the command of a supervised program in this process: in a new session and process
/// group, with default dispositions of all signals, as another user if the change has one. Returns
/// only if a step failed, with the kernel's error number. Steps after the failed one are not done,
/// so nothing ever runs as the wrong user.
pub fn become_command(change: &Change, argv: &[OsString], become_user: BecomeUser) -> (ChangeStep, i32) {
    new_session();
    // Rust ignores SIGPIPE. Exec resets a signal with a handler to its default, and a handler can
    // be set without unsafe.
    let _ = signal_hook::flag::register(NixSignal::SIGPIPE as i32, Arc::new(AtomicBool::new(false)));
    if let Some(mask) = change.umask {
        match Mode::from_bits(mask) {
            Some(mode) => drop(nix::sys::stat::umask(mode)),
            None => return (ChangeStep::Umask, Errno::EINVAL as i32),
        }
    }
    if let Some((uid, gid, groups)) = &change.user
        && let Err(error) = become_user(*uid, *gid, groups)
    {
        return (ChangeStep::User, error.raw_os_error().unwrap_or(Errno::EPERM as i32));
    }
    if let Some(directory) = &change.directory
        && let Err(error) = nix::unistd::chdir(directory.as_path())
    {
        return (ChangeStep::Directory, error as i32);
    }
    let exec = || -> nix::Result<()> {
        let file = c_string(change.file.as_os_str())?;
        let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
        match nix::unistd::execv(&file, &args)? {}
    };
    (ChangeStep::Exec, exec().err().unwrap_or(Errno::ENOEXEC) as i32)
}

/// Sets the umask of this process, ignoring bits that no umask has; returns the former one.
pub fn set_umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask & 0o777)).bits()
}

/// Makes a descriptor non-blocking.
///
/// # Errors
/// Never, on Linux.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Restores the process name after a start through `/proc/self/exe`, which process lists would show
/// as "exe".
pub fn set_name(name: &std::ffi::CStr) {
    // A failure is harmless.
    let _ = nix::sys::prctl::set_name(name);
}
