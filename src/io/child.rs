//! Our own children: starting the command, hearing of ends, and ending a whole tree.
//!
//! The launcher's signals are blocked (see `inbox`). A command must not inherit that: posix_spawn gives it an empty mask
//! and default dispositions itself, before it runs, without a fork of the grown process.

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
    errno::Errno,
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

use crate::model::task::{Exit, InPlace, Signal};

/// Waits until `fd` can be read or `timeout` is over; true if it can be read.
///
/// # Errors
/// As poll(2) says.
pub fn poll_one(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    poll_any(&[fd], timeout).map(|ready| ready.is_some())
}

/// Waits until one of `fds` can be read or `timeout` is over; gives the first that can.
///
/// # Errors
/// As poll(2) says.
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
    /// The kernel's reason in words.
    pub reason: String,
    /// Whether it was not found, as opposed to found and not executable.
    pub not_found: bool,
    /// The kernel's number for it.
    pub number: i32,
}

impl CannotRun {
    /// The reason that has this number.
    pub fn from_number(number: i32) -> CannotRun {
        Errno::from_raw(number).into()
    }

    /// Whether there are no processes, no memory or no descriptors to be had just now, so that it is no fault of the
    /// command.
    pub fn is_shortage(&self) -> bool {
        let short = [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE];
        short.iter().any(|errno| *errno as i32 == self.number)
    }
}

/// Returns what stands where a program was looked for that the kernel did not execute.
pub fn in_place_of(name: &OsStr, error: &CannotRun) -> InPlace {
    if name.is_empty() {
        return InPlace::Other;
    }
    if error.number == Errno::ENOEXEC as i32 {
        return InPlace::Binary;
    }
    let found = if name.as_bytes().contains(&b'/') { Some(PathBuf::from(name)) } else { in_path(name, Path::exists) };
    match found.and_then(|path| path.metadata().ok()) {
        Some(_) if error.not_found => InPlace::NoInterpreter(interpreter_of(name)),
        Some(_) if error.number != Errno::EACCES as i32 => InPlace::Other,
        Some(meta) if meta.is_dir() => InPlace::Folder,
        Some(meta) if meta.is_file() && meta.permissions().mode() & 0o111 == 0 => InPlace::NotExecutable,
        Some(_) | None => InPlace::Other,
    }
}

impl From<Errno> for CannotRun {
    fn from(errno: Errno) -> CannotRun {
        CannotRun { reason: errno.desc().to_owned(), not_found: errno == Errno::ENOENT, number: errno as i32 }
    }
}

/// Starts our own program again, under the name that is the first of `argv`, as [`spawn`] starts a command.
///
/// # Errors
/// As posix_spawn(3) says.
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

/// The same, in a process group of its own.
///
/// # Errors
/// As posix_spawn(3) says.
pub fn spawn_self_in_group(
    argv: &[OsString],
    env: &[CString],
    put: &[(BorrowedFd<'_>, RawFd)],
    ignored: u64,
) -> io::Result<i32> {
    let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    Ok(spawn_args(c"/proc/self/exe", &args, env, put, &[], ignored, true)?)
}

/// Starts a program of ours under the name that is the first of `argv`, with our environment and these variables
/// besides, and with these descriptors and no others; what is not among them must close on exec.
///
/// # Errors
/// As posix_spawn(3) says.
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

/// A text that another program can read from a descriptor, without a file and without anybody who writes.
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

/// Starts a command in a process group of its own, no signal blocked, and default dispositions; except that a SIGHUP
/// which was ignored when we started (`nohup`) stays so. It has the descriptors that we were started with and still
/// have; `put` are descriptors of ours (all to be closed on exec) and the numbers that they have in the command.
///
/// A file without `#!` that the kernel does not know is given to `/bin/sh`, as a shell or env(1) would, unless it is
/// binary.
///
/// # Errors
/// [`CannotRun`], with the words of the kernel.
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

/// Starts a command in a session of its own, with all signals at their defaults and none blocked, and with these
/// descriptors and numbers; `close` are others that it must not have. Its folder and umask are ours.
///
/// # Errors
/// As execve(2) says.
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
    // All of them, real-time signals too: the kernel does not tell which of these are ignored where it tells of the rest.
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

/// Whether a file is no text, as a shell judges it: there is a NUL in its first line.
fn is_binary(path: &Path) -> bool {
    /// Bytes that are looked at.
    const SAMPLE: u64 = 80;
    let mut sample = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, SAMPLE), &mut sample));
    let line = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    read.is_ok() && line.contains(&0)
}

/// Returns the interpreter that the first line of a script names; `None` if it names none.
pub fn interpreter_of(name: &OsStr) -> Option<OsString> {
    /// The longest first line that the kernel looks at.
    const LONGEST: u64 = 256;
    let mut head = Vec::new();
    let file = fs::File::open(find_program(name)?).ok()?;
    io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.trim_ascii_start().split(|byte| *byte == b' ' || *byte == b'\t').next()?;
    Some(OsStr::from_bytes(word).to_owned())
}

/// Where a program is, as execvp(3) would find it.
pub fn find_program(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name));
    }
    in_path(name, is_executable)
}

/// Where the C library looks for programs without a PATH.
const USUAL_PATH: &str = "/bin:/usr/bin";

fn in_path(name: &OsStr, is_it: fn(&Path) -> bool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_it(file))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Our environment with these variables set, and those named in `without` left out.
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

/// Returns the descriptors above 2 that this process was started with. They are the command's: it gets them as they are.
/// To be called before the program opens any of its own.
pub fn inherited_descriptors() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return vec![] };
    let listed = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let listed: Vec<RawFd> = listed.filter(|&fd| fd > 2).collect();
    // The list names its own descriptor too, which is closed by now.
    listed.into_iter().filter(|fd| fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok()).collect()
}

/// Makes every orphaned descendant our own child, so that none can leave the tree.
///
/// # Errors
/// On kernels that do not know it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Whether we have children already: a shell that started some and then became us.
pub fn has_children() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, peek) != Err(Errno::ECHILD)
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// It ended.
    Ended(i32, Exit),
    /// It was stopped by this signal.
    Stopped(i32, Signal),
    /// It goes on after that.
    Continued(i32),
    /// No child has changed; others are alive.
    Nothing,
    /// There are no children left.
    NoChildren,
}

/// Takes note of one child that ended, stopped or goes on, without waiting.
///
/// # Errors
/// As waitpid(2) says.
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

/// How a child ended, without reaping it, so that its number stays its own; none: it lives, or is not ours.
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

/// What children of a process that have ended used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The largest memory that one of them had, bytes; `None`: not known.
    pub peak: Option<i64>,
}

impl Usage {
    /// Returns what was used after an earlier reading. The kernel keeps one peak for all: that of those who came later is
    /// only known if it is higher.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            peak: self.peak.filter(|peak| before.peak.is_none_or(|before| *peak > before || before == 0)),
        }
    }
}

/// Returns what the children of this process used that have ended, those included that a shell had before it became this
/// program.
pub fn usage() -> Option<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let time = |t: nix::sys::time::TimeVal| {
        Duration::new(t.tv_sec().unsigned_abs(), u32::try_from(t.tv_usec()).unwrap_or(0) * 1000)
    };
    let peak = Some(usage.max_rss().saturating_mul(1024));
    Some(Usage { user: time(usage.user_time()), system: time(usage.system_time()), peak })
}

/// Sends a signal to the process group of a child that was not reaped yet, so that its number cannot be another's.
///
/// # Errors
/// When none of it may be signalled.
pub fn signal_group(leader: i32, signal: Signal) -> io::Result<()> {
    let Ok(signal) = NixSignal::try_from(signal.0) else { return Err(ErrorKind::InvalidInput.into()) };
    match killpg(Pid::from_raw(leader), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to a child that was not reaped yet, so that its number cannot be another's.
///
/// # Errors
/// When it may not be signalled.
pub fn signal(child: i32, signal: Signal) -> io::Result<()> {
    let Ok(signal) = NixSignal::try_from(signal.0) else { return Err(ErrorKind::InvalidInput.into()) };
    Ok(kill(Pid::from_raw(child), signal)?)
}

/// Returns why this process may not signal the one of this number, whichever that is by now. `None`: it may, or there is
/// none.
pub fn refusal_of_signals(pid: i32) -> Option<io::Error> {
    kill(Pid::from_raw(pid), None).err().filter(|error| *error == Errno::EPERM).map(io::Error::from)
}

/// What a child did, as [`peek`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peeked {
    /// It has ended, or is not ours (any more).
    Ended,
    /// It was stopped.
    Stopped(Signal),
}

/// Waits until a child ends, without reaping it, or is stopped.
pub fn peek(child: i32) -> Peeked {
    let id = || Id::Pid(Pid::from_raw(child));
    let changes = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED;
    loop {
        match waitid(id(), changes | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Stopped(_, signal)) => {
                // Taken note of: else it would be found again.
                let _ = waitid(id(), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG);
                return Peeked::Stopped(Signal(signal as i32));
            }
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return Peeked::Ended,
        }
    }
}

/// Runs a command on our own streams, waits for it, and gives its exit code: 128 and the number of the signal that ended
/// it.
///
/// # Errors
/// It cannot be started.
pub fn run_here(argv: &[String]) -> io::Result<u8> {
    let (program, args) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let status = std::process::Command::new(program).args(args).status()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Stops this process, until somebody continues it.
pub fn stop_self() {
    let _ = kill(nix::unistd::getpid(), NixSignal::SIGSTOP);
}

/// Blocks every signal that can be.
pub fn block_all_signals() {
    let _ = SigSet::all().thread_block();
}

/// Closes a descriptor that we were started with.
pub fn close(fd: RawFd) {
    let _ = nix::unistd::close(fd);
}

/// Closes these descriptors, which this process was started with: whoever waits for their end (the reader of a pipe, the
/// next one for a lock) waits for the command alone.
pub fn close_inherited(fds: &[RawFd]) {
    fds.iter().for_each(|fd| close(*fd));
}

/// Returns a number that none of these descriptors has.
pub fn number_above(used: &[RawFd], put: &[(BorrowedFd<'_>, RawFd)]) -> RawFd {
    let used = used.iter().copied().chain(put.iter().flat_map(|(fd, number)| [fd.as_raw_fd(), *number]));
    used.max().unwrap_or(2).max(2) + 1
}

/// Has the kernel send SIGTERM to this process when its parent ends, or no longer.
pub fn end_with_parent(so: bool) {
    let _ = nix::sys::prctl::set_pdeathsig(so.then_some(NixSignal::SIGTERM));
}

/// Whether the other end of this pipe, into which we write, is closed everywhere.
pub fn reader_is_gone(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let asked = ppoll(&mut polled, Some(Duration::ZERO.into()), None);
    asked.is_ok() && polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Stops ourselves and all of our process group (the rest of a pipeline, the script that called us), as the terminal's
/// Ctrl-Z would have, until somebody continues us. Where nobody could, because no shell with job control watches the
/// group, the kernel does not stop us and this returns at once.
pub fn suspend() {
    let mut stop = SigSet::empty();
    stop.add(NixSignal::SIGTSTP);
    // None of the three fails on Linux.
    let _ = kill(Pid::from_raw(0), NixSignal::SIGTSTP);
    // Ours waited, as we have it blocked.
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

/// Leaves the terminal and the session, so that a logout does not reach us.
pub fn new_session() {
    // Fails only for a group leader, which a freshly started child is not.
    let _ = nix::unistd::setsid();
}

/// The name of the program that reads what a command's children still write after its end.
pub const DRAIN: &str = "launch-drain";

/// Leaves a process of our own behind that reads these to their end. A child of the command that goes on to write must
/// neither be killed for it nor wait for ever.
pub fn leave_drain(output: &[OwnedFd]) {
    let Some(last) = output.last() else { return };
    let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") else { return };
    let first = output.first().unwrap_or(last);
    let spawn = || -> nix::Result<()> {
        let mut attr = PosixSpawnAttr::init()?;
        attr.set_sigmask(&SigSet::empty())?;
        // Not the leader of a group, which could not leave the session and its terminal.
        attr.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(first.as_raw_fd(), 0)?;
        actions.add_dup2(last.as_raw_fd(), 1)?;
        actions.add_dup2(null.as_raw_fd(), 2)?;
        let args = [CString::new(DRAIN).unwrap_or_default()];
        // Without our environment: it must not be taken for a process of the task.
        posix_spawnp(c"/proc/self/exe", &actions, &attr, &args, &[] as &[CString])?;
        Ok(())
    };
    // Where no process can be made, the children meet a closed pipe.
    let _ = spawn();
}

/// What [`leave_drain`] leaves: reads descriptors 0 and 1 to their ends.
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

/// Our own process group.
pub fn own_group() -> i32 {
    nix::unistd::getpgrp().as_raw()
}

/// The pid of our parent.
pub fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Our own pid.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Lets go of standard input and output, which are the command's alone: a reader of its output must see the end when
/// the command closes it, and a writer to its input must notice that nobody reads.
pub fn let_go_of_streams(output_too: bool) {
    // Without /dev/null we only keep what we had.
    if let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        if output_too {
            let _ = nix::unistd::dup2_stdout(&null);
        }
    }
}

/// The same, and of error output.
pub fn let_go_of_all_streams() {
    let_go_of_streams(true);
    if let Ok(null) = fs::File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

/// Puts another file in the place of our descriptor 0.
///
/// # Errors
/// As dup2(2) says.
pub fn replace_stdin(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stdin(fd)?)
}

/// Becomes the program that we are, anew: the same process, children, signals that wait, and command line, without
/// what the old one had in its memory. `variable` is added to the environment, and `input` is its descriptor 0.
///
/// # Errors
/// Returns only if that failed; then descriptor 0 is `/dev/null`, and nothing else has changed.
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
            let_go_of_streams(false);
            errno.into()
        }
    }
}

/// Becomes another program: the same process, with the descriptors 0, 1 and 2 that it has.
///
/// # Errors
/// Returns only if that failed; nothing has changed then.
pub fn become_other(program: &Path, argv: &[OsString]) -> io::Error {
    let become_it = || -> nix::Result<()> {
        let program = c_string(program.as_os_str())?;
        let args = argv.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
        match nix::unistd::execv(&program, &args)? {}
    };
    become_it().err().unwrap_or(Errno::ENOEXEC).into()
}

/// Becomes the program that is the first of `argv`, looked for as a shell would, with SIGPIPE at its default.
///
/// # Errors
/// Returns only if that failed.
pub fn become_program(argv: &[OsString], env: &[CString]) -> io::Error {
    // Rust ignores it. What has a handler gets its default back by the exec, and handlers can be set without unsafe.
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

/// What a process becomes before it executes a command of a supervised program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Its umask.
    pub umask: Option<u32>,
    /// User and group ids, and supplementary groups.
    pub user: Option<(u32, u32, Vec<u32>)>,
    /// Its folder.
    pub directory: Option<PathBuf>,
    /// The file to be executed.
    pub file: PathBuf,
}

/// The step of a [`Change`] that did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeStep {
    /// The umask.
    Umask,
    /// The user and its groups.
    User,
    /// The folder.
    Directory,
    /// The file.
    Exec,
}

/// Makes a process another user's: user, group, supplementary groups.
pub type BecomeUser = fn(u32, u32, &[u32]) -> io::Result<()>;

/// Becomes a command of a supervised program: in a session and process group of its own, with default dispositions of
/// all signals, as another user where that is asked for. Returns only if a step did not work, with the kernel's number
/// for why; what comes after a step that failed is not done, so nothing ever runs as the wrong user.
pub fn become_command(change: &Change, argv: &[OsString], become_user: BecomeUser) -> (ChangeStep, i32) {
    new_session();
    // Rust ignores it. What has a handler gets its default back by the exec, and handlers can be set without unsafe.
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

/// Sets our umask, of which bits that no umask has are left out; gives the one before.
pub fn set_umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask & 0o777)).bits()
}

/// Makes reading or writing a descriptor of ours fail where it would wait.
///
/// # Errors
/// Never, on Linux.
pub fn do_not_wait(fd: BorrowedFd<'_>) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Gives us back our name, after a start through `/proc/self/exe`, which lists would show as "exe".
pub fn set_name(name: &std::ffi::CStr) {
    // A name is worth no failure.
    let _ = nix::sys::prctl::set_name(name);
}
