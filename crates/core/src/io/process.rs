//! Other processes: reading their state from `/proc` and sending them signals.
//!
//! A process is identified by its pid *and* its start time. No signal is sent by pid alone: the
//! code opens a pidfd, compares the start time of the process that has the pid now, and sends the
//! signal through the same pidfd. A process that got the pid in the meantime is never signalled.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::model::{
    reconcile::Life,
    task::{Process, Signal},
};

/// The state of a process, as read from `/proc/PID/stat`.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Pid and start time.
    pub process: Process,
    /// Pid of the parent.
    pub ppid: i32,
    /// Id of the process group.
    pub pgrp: i32,
    /// Id of the session.
    pub session: i32,
    /// Whether the process has ended and only waits to be reaped.
    pub ended: bool,
    /// Whether a signal has stopped the process.
    pub stopped: bool,
    /// Device number of the controlling terminal, 0 without a terminal.
    pub tty: i32,
    /// The ignored signals of 1–31: bit n-1 for signal n.
    pub ignored: u64,
    /// The signals of 1–31 that have a handler: bit n-1 for signal n.
    pub caught: u64,
}

/// Returns the process that has this pid; `None` also if the process cannot be read. Only for
/// callers to which a missing process makes no difference; all others use [`read_stat`] or
/// [`look`].
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(pid).ok().flatten()
}

/// Returns the process that has this pid; `None` if certainly no process has the pid.
///
/// # Errors
/// If the process cannot be read: no descriptors or memory left, or a `/proc` that hides the
/// process.
pub fn read_stat(pid: i32) -> io::Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let seen = stat_at(&path, pid)?;
    if seen.is_some() || !exists(pid)? {
        return Ok(seen);
    }
    // The process has just started, or is hidden (`hidepid`), or `/proc` belongs to another pid
    // namespace.
    match stat_at(&path, pid)? {
        None if exists(pid)? => Err(io::Error::new(io::ErrorKind::PermissionDenied, "/proc hides the process")),
        seen => Ok(seen),
    }
}

fn stat_at(path: &str, pid: i32) -> io::Result<Option<Stat>> {
    let mut text = [0u8; 1024];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut text));
    match read {
        Ok(len) => match parse_stat(pid, &text[..len]) {
            Some(stat) => Ok(Some(stat)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has an unknown format")),
        },
        // ESRCH: the process was reaped while the file was open.
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether the kernel has a process with this pid, without using `/proc`. A process that
/// waits to be reaped counts.
fn exists(pid: i32) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(false) };
    match rustix::process::test_kill_process(pid) {
        Ok(()) | Err(rustix::io::Errno::PERM) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns this process.
///
/// # Errors
/// If `/proc/self/stat` cannot be read.
pub fn own() -> io::Result<Stat> {
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    // `self` also works where `/proc` belongs to another pid namespace, in which this pid is
    // different.
    stat_at("/proc/self/stat", pid)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Error number of "no such process".
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// Parses `/proc/PID/stat`. The command name may contain blanks and parentheses; only numeric
/// fields follow the last parenthesis.
fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    let close = text.iter().rposition(|&b| b == b')')?;
    let mut fields = std::str::from_utf8(text.get(close + 2..)?).ok()?.split_ascii_whitespace();
    // Fields as numbered in proc(5): 3 state, 4 parent, 5 group, 6 session, 7 terminal, 20 threads,
    // 22 start time, 33 and 34 ignored and caught signals.
    let state = fields.next()?;
    let mut after = |skipped: usize| fields.nth(skipped);
    let (ppid, pgrp, session, tty) =
        (after(0)?.parse().ok()?, after(0)?.parse().ok()?, after(0)?.parse().ok()?, after(0)?.parse().ok()?);
    let threads: i64 = after(12)?.parse().ok()?;
    Some(Stat {
        ppid,
        pgrp,
        session,
        tty,
        process: Process { pid, pstart: after(1)?.parse().ok()? },
        ignored: after(10)?.parse().ok()?,
        caught: after(0)?.parse().ok()?,
        // If the main thread has ended, the process is in state Z as long as other threads run.
        ended: matches!(state, "Z" | "X" | "x") && threads <= 1,
        stopped: state == "T",
    })
}

/// Returns the name (control characters replaced) and the real user of a process; `None` if the
/// process is gone or cannot be read.
pub fn name_and_owner(pid: i32) -> Option<(String, u32)> {
    let status = read_status(pid).ok()??;
    let [owner, ..] = users_in(&status)?;
    Some((field_of(&status, "Name")?.replace(char::is_control, "?"), owner))
}

/// Returns the text of `/proc/PID/status`; `None` if the process is gone.
fn read_status(pid: i32) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/status")) {
        Ok(status) => Ok(Some(String::from_utf8_lossy(&status).into_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn field_of<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
}

/// Returns the real, effective, saved and file system user of a process.
fn users_in(status: &str) -> Option<[u32; 4]> {
    let ids: Vec<u32> = field_of(status, "Uid")?.split_ascii_whitespace().flat_map(str::parse).collect();
    ids.try_into().ok()
}

/// Returns whether exactly this process, not another one with the same pid, is alive.
pub fn look(process: Process) -> Life {
    match read_stat(process.pid) {
        Ok(Some(stat)) if stat.process == process && !stat.ended => Life::Alive,
        Ok(_) => Life::Gone,
        Err(_) => Life::Unknown,
    }
}

/// Returns whether exactly this process is known to be alive; false also if the process cannot be
/// read. Callers that must not mistake a live process for a dead one use [`look`] or [`gone`].
pub fn alive(process: Process) -> bool {
    match look(process) {
        Life::Alive => true,
        Life::Gone | Life::Unknown => false,
    }
}

/// Returns whether exactly this process is known to be gone; false also if the process cannot be
/// read. The counterpart of [`alive`].
pub fn gone(process: Process) -> bool {
    match look(process) {
        Life::Gone => true,
        Life::Alive | Life::Unknown => false,
    }
}

/// Returns the pids of all processes.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Reads a process while listing all processes; `None` also for a process hidden by `/proc`, which
/// belongs to another user.
fn listed(pid: i32) -> io::Result<Option<Stat>> {
    match read_stat(pid) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        seen => seen,
    }
}

/// Returns the live descendants of `ancestor`, without the processes in `except` (children that
/// already existed) and the descendants of those.
///
/// # Errors
/// If not all processes could be read (no descriptors or memory left), because the list would be
/// incomplete.
pub fn descendants(ancestor: i32, except: &[Process]) -> io::Result<Vec<Stat>> {
    let all: Vec<Stat> = pids()?.into_iter().filter_map(|pid| listed(pid).transpose()).collect::<io::Result<_>>()?;
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    for stat in all {
        children.entry(stat.ppid).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut next = vec![ancestor];
    while let Some(parent) = next.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if !except.contains(&child.process) {
                next.push(child.process.pid);
                found.push(child);
            }
        }
    }
    found.retain(|stat| !stat.ended);
    Ok(found)
}

/// Returns whether `pid` is `ancestor` or one of its descendants, as far as the processes can be
/// read.
pub fn descends_from(pid: i32, ancestor: i32) -> bool {
    /// Longer than any real chain, so that the search always ends.
    const LONGEST: usize = 4096;
    let chain = std::iter::successors(Some(pid), |pid| stat(*pid).map(|stat| stat.ppid));
    chain.take(LONGEST).any(|pid| pid == ancestor)
}

/// Returns whether this process has another child than `child`; also true if the kernel does not
/// list the children. In a subreaper, orphaned descendants of a child become children at once, so
/// without other children no descendant of `child` is left.
pub fn has_more_children_than(child: i32) -> bool {
    let me = std::process::id();
    let Ok(children) = fs::read_to_string(format!("/proc/{me}/task/{me}/children")) else { return true };
    children.split_ascii_whitespace().any(|pid| pid.parse() != Ok(child))
}

/// Returns the live processes of a process group.
///
/// # Errors
/// If not all processes could be read (no descriptors left).
pub fn group(pgrp: i32) -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for pid in pids()? {
        found.extend(listed(pid)?.filter(|stat| stat.pgrp == pgrp && !stat.ended));
    }
    Ok(found)
}

/// Returns the value of an environment variable of a process at the time of its execve(2); `None`
/// if the variable is not set or this user may not read the environment.
pub fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    variable_in(&environ, name).map(<[u8]>::to_vec)
}

fn variable_in<'e>(environ: &'e [u8], name: &str) -> Option<&'e [u8]> {
    let mut entries = environ.split(|&b| b == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Environment variable by which the processes of a task are found when their launcher is gone.
pub const UPID_VARIABLE: &str = "TASKWATCHER_UPID";

/// Environment variable that proves [`UPID_VARIABLE`]: other users have no way to read the handle
/// of a task.
pub const HANDLE_VARIABLE: &str = "TASKWATCHER_HANDLE";

/// All processes, as read from `/proc` at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Live processes, each with the UPID and handle of its environment where set and readable.
    processes: Vec<(Stat, Option<(String, String)>)>,
    /// Whether every listed process could be read.
    pub complete: bool,
}

impl Snapshot {
    /// Reads all processes except this one.
    pub fn take() -> Snapshot {
        let myself = i32::try_from(std::process::id()).unwrap_or(0);
        let Ok(pids) = pids() else { return Snapshot::default() };
        let mut found = Snapshot { processes: Vec::with_capacity(pids.len()), complete: true };
        for pid in pids.into_iter().filter(|pid| *pid != myself) {
            match listed(pid) {
                Ok(Some(stat)) if !stat.ended => match marks(pid) {
                    Ok(marks) => found.processes.push((stat, marks)),
                    Err(_) => found.complete = false,
                },
                Ok(_) => {}
                Err(_) => found.complete = false,
            }
        }
        found
    }

    /// Returns the remaining processes of a task: the processes whose environment has the task's
    /// UPID and handle, the task's command, their descendants, and the process group led by the
    /// command.
    ///
    /// `command` may be given only in the pid namespace and boot in which its pid was recorded.
    pub fn left_of(&self, upid: &str, handle: &str, command: Option<Process>, session: Option<i32>) -> Vec<Process> {
        let is_marked = |marks: &Option<(String, String)>| {
            marks.as_ref().is_some_and(|(of, key)| of == upid && (key == handle || handle.is_empty()))
        };
        let mut left: HashSet<Process> = HashSet::new();
        let marked = |(stat, marks): &&(Stat, _)| is_marked(marks) || Some(stat.process) == command;
        left.extend(self.processes.iter().filter(marked).map(|(stat, _)| stat.process));
        // The kernel does not reuse the id of a group that has members, but the pid of the command
        // may be reused.
        let pgrp = command.map(|command| command.pid);
        let is_free = |pid| !self.processes.iter().any(|(stat, _)| stat.process.pid == pid);
        let pid_is_free = pgrp.is_some_and(is_free);
        loop {
            let parents: HashSet<i32> = left.iter().map(|process| process.pid).collect();
            let members = || self.processes.iter().filter(|(stat, _)| Some(stat.pgrp) == pgrp);
            let has_known_member = members().any(|(stat, _)| left.contains(&stat.process));
            let since = command.map_or(0, |command| command.pstart);
            let is_member = |stat: &Stat| {
                let orphaned = pid_is_free && session == Some(stat.session) && stat.process.pstart >= since;
                Some(stat.pgrp) == pgrp && (has_known_member || orphaned)
            };
            let more = self.processes.iter().filter(|(stat, _)| parents.contains(&stat.ppid) || is_member(stat));
            let before = left.len();
            let more: Vec<Process> = more.map(|(stat, _)| stat.process).collect();
            left.extend(more);
            if left.len() == before {
                break;
            }
        }
        let mut left: Vec<Process> = left.into_iter().collect();
        left.sort_by_key(|process| process.pid);
        left
    }
}

/// Returns the UPID and handle in the environment of a process; `None` if not set, or if the
/// environment belongs to another user.
fn marks(pid: i32) -> io::Result<Option<(String, String)>> {
    let environ = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environ) => environ,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let find = |name: &str| String::from_utf8(variable_in(&environ, name)?.to_vec()).ok();
    Ok(find(UPID_VARIABLE).map(|upid| (upid, find(HANDLE_VARIABLE).unwrap_or_default())))
}

/// Returns the inode of the process's pidfd, which is unique until the next boot; `None` before
/// Linux 6.9.
pub fn inode(pid: i32) -> Option<u64> {
    inode_of(&pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)
}

fn inode_of(pidfd: &OwnedFd) -> Option<u64> {
    /// Type that fstatfs(2) reports for the file system of pidfds.
    const PIDFS_MAGIC: i64 = 0x5049_4446;
    let kind = rustix::fs::fstatfs(pidfd).ok()?.f_type;
    (kind == PIDFS_MAGIC).then(|| rustix::fs::fstat(pidfd).ok().map(|stat| stat.st_ino)).flatten()
}

/// Returns whether the process with this pid is the process whose pidfd had the recorded inode,
/// without using `/proc`.
fn look_at_inode(pid: i32, recorded: u64) -> Life {
    let Some(pid) = Pid::from_raw(pid) else { return Life::Gone };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Life::Gone,
        Err(_) => return Life::Unknown,
    };
    match inode_of(&pidfd) {
        Some(inode) if inode == recorded => {
            // A pidfd becomes readable when the process ends.
            let mut polled = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, PollTimeout::ZERO) {
                Ok(0) => Life::Alive,
                Ok(_) => Life::Gone,
                Err(_) => Life::Unknown,
            }
        }
        Some(_) => Life::Gone,
        None => Life::Unknown,
    }
}

/// Same as [`look`], but also works where `/proc` hides the process if the inode of its pidfd was
/// recorded.
pub fn look_by(process: Process, inode: Option<u64>) -> Life {
    match (look(process), inode) {
        (Life::Unknown, Some(recorded)) => look_at_inode(process.pid, recorded),
        (life, _) => life,
    }
}

/// Opens a pidfd of exactly this process; `None` if the process is gone or another process has its
/// pid.
///
/// # Errors
/// If the kernel refuses for another reason (no descriptors left).
pub fn open(process: Process) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(read_stat(process.pid)?.filter(|stat| stat.process == process && !stat.ended).map(|_| fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to exactly this process; returns false if the process is gone.
///
/// # Errors
/// If this process may not signal the other one.
pub fn signal(process: Process, signal: Signal) -> io::Result<bool> {
    match open(process)? {
        Some(fd) => send(&fd, signal),
        None => Ok(false),
    }
}

/// Sends a signal through a pidfd; returns false if the process is gone.
fn send(fd: &OwnedFd, signal: Signal) -> io::Result<bool> {
    let Some(signal) = rustix::process::Signal::from_named_raw(signal.0) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} cannot be sent")));
    };
    match pidfd_send_signal(fd.as_fd(), signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Outcome of sending a signal on behalf of another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAnswer {
    /// The signal was sent.
    Sent,
    /// The process is gone.
    Gone,
    /// Not sent, because that user may not signal the process.
    Denied,
}

/// Sends a signal to exactly this process if `user` may signal it under the rule of kill(2): the
/// real or saved user of the process is `user`. `also` may allow further processes.
///
/// # Errors
/// If this process may not signal the other one, or the other one cannot be read.
pub fn signal_for(
    user: u32,
    process: Process,
    signal: Signal,
    also: &dyn Fn(Process) -> bool,
) -> io::Result<SignalAnswer> {
    let Some(fd) = open(process)? else { return Ok(SignalAnswer::Gone) };
    // While the pidfd refers to a process that is not reaped, no other process can have its pid.
    if !belongs_to(process.pid, user)? && !also(process) {
        return Ok(SignalAnswer::Denied);
    }
    Ok(if send(&fd, signal)? { SignalAnswer::Sent } else { SignalAnswer::Gone })
}

/// Returns whether `user` is the real or saved user of a process and so may signal it; false if the
/// process is gone.
///
/// # Errors
/// If the process cannot be read.
pub fn belongs_to(pid: i32, user: u32) -> io::Result<bool> {
    let Some(status) = read_status(pid)? else { return Ok(false) };
    match users_in(&status) {
        Some([real, _, saved, _]) => Ok(real == user || saved == user),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/status has an unknown format")),
    }
}

/// Returns whether reading a file of `/proc/PID` failed because the process is gone.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_confuse_the_fields() {
        // Every field contains its own number, except start time and ignored signals.
        let line = b"7 (a) R 1 (b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4242 23 24 25 26 27 28 29 30 31 \
            32 4096 34 35";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!((stat.ppid, stat.pgrp, stat.tty, stat.process.pstart, stat.ignored), (4, 5, 7, 4242, 4096));
        for cut in 0..line.len() {
            let _ = parse_stat(7, &line[..cut]);
        }
    }

    #[test]
    fn this_process_is_alive_and_its_pid_with_another_start_time_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = stat(pid).unwrap().process;
        assert!(alive(me));
        let other = Process { pstart: me.pstart + 1, ..me };
        assert!(!alive(other));
        assert!(open(other).unwrap().is_none());
        assert!(!signal(other, Signal::KILL).unwrap(), "a reused pid is never signalled");
    }
}
