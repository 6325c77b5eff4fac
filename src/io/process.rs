//! Other processes: what `/proc` tells of them, and signals to them.
//!
//! A process is known by pid *and* start time. Nothing is signalled on a pid alone: a pidfd is opened, the start time
//! is compared through it, and the signal goes through the same pidfd, so that a pid which was used again in between
//! can never be hit.

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

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The process.
    pub process: Process,
    /// Its parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// Whether it has ended and only waits to be reaped.
    pub ended: bool,
    /// Whether it was stopped by a signal.
    pub stopped: bool,
    /// Its controlling terminal, 0 if none.
    pub tty: i32,
    /// Which of the signals 1–31 it ignores: bit n-1 for signal n.
    pub ignored: u64,
    /// Which of them it has a handler for.
    pub caught: u64,
}

/// Returns the process that has this pid; `None` also where the look fails. For processes whose absence changes nothing:
/// where it does, use [`read_stat`] or [`look`].
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(pid).ok().flatten()
}

/// Returns the process that has this pid, `None` when there is certainly none.
///
/// # Errors
/// When the look fails: no descriptors or memory left, or a `/proc` that hides the process.
pub fn read_stat(pid: i32) -> io::Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let seen = stat_at(&path, pid)?;
    if seen.is_some() || !exists(pid)? {
        return Ok(seen);
    }
    // Started just now, or hidden (`hidepid`), or `/proc` belongs to another pid namespace.
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
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat has another form")),
        },
        // ESRCH: it went while its file was open.
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the kernel has a process of this pid, asked without `/proc`. One that waits to be reaped is there.
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
/// When `/proc/self/stat` cannot be read.
pub fn own() -> io::Result<Stat> {
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    // By this name it is found also where `/proc` belongs to another pid namespace and counts otherwise.
    stat_at("/proc/self/stat", pid)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// That there is no such process.
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// The command name may hold blanks and parentheses; what follows the last parenthesis is fields of numbers.
fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    let close = text.iter().rposition(|&b| b == b')')?;
    let mut fields = std::str::from_utf8(text.get(close + 2..)?).ok()?.split_ascii_whitespace();
    // In the order of proc(5): 3 the state, 4 the parent, 5 the group, 6 the session, 7 the terminal, 20 the threads, 22 the
    // start, 33 and 34 what is ignored and caught.
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
        // A first thread that has ended leaves the process in state Z for as long as its other threads run.
        ended: matches!(state, "Z" | "X" | "x") && threads <= 1,
        stopped: state == "T",
    })
}

/// Name and real user of a process, the name without control characters; none when it is gone.
pub fn name_and_owner(pid: i32) -> Option<(String, u32)> {
    let status = read_status(pid).ok()??;
    let [owner, ..] = users_in(&status)?;
    Some((field_of(&status, "Name")?.replace(char::is_control, "?"), owner))
}

/// Returns the text of `/proc/PID/status`; `None` when the process is gone.
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

/// Returns the real, the effective, the saved and the file system's user of a process.
fn users_in(status: &str) -> Option<[u32; 4]> {
    let ids: Vec<u32> = field_of(status, "Uid")?.split_ascii_whitespace().flat_map(str::parse).collect();
    ids.try_into().ok()
}

/// Whether this very process, and not another one of its pid, is alive.
pub fn look(process: Process) -> Life {
    match read_stat(process.pid) {
        Ok(Some(stat)) if stat.process == process && !stat.ended => Life::Alive,
        Ok(_) => Life::Gone,
        Err(_) => Life::Unknown,
    }
}

/// Whether this very process was seen alive; also false where the look fails. For a positive answer only: what must not
/// take a process for gone uses [`look`].
pub fn alive(process: Process) -> bool {
    match look(process) {
        Life::Alive => true,
        Life::Gone | Life::Unknown => false,
    }
}

/// Returns whether this very process is certainly gone; false where the look fails. The counterpart of [`alive`], for
/// what must not take a process for gone that cannot be looked at.
pub fn gone(process: Process) -> bool {
    match look(process) {
        Life::Gone => true,
        Life::Alive | Life::Unknown => false,
    }
}

/// All pids there are now.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Reads a process of a list of all; `None` also for one that is hidden, which belongs to another user.
fn listed(pid: i32) -> io::Result<Option<Stat>> {
    match read_stat(pid) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        seen => seen,
    }
}

/// The live descendants of `ancestor`, without those of `except` (children it had before) and what these started.
///
/// # Errors
/// When not all processes could be looked at: no descriptors or memory left. Then nothing is known of any of them.
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

/// Whether `pid` is `ancestor` or descends from it, as far as can be seen.
pub fn descends_from(pid: i32, ancestor: i32) -> bool {
    /// More than any real chain has, so that this ends whatever is read.
    const LONGEST: usize = 4096;
    let chain = std::iter::successors(Some(pid), |pid| stat(*pid).map(|stat| stat.ppid));
    chain.take(LONGEST).any(|pid| pid == ancestor)
}

/// Whether we have a child besides this one; true too where the kernel does not say. Orphaned descendants of a child
/// are ours at once where we adopt orphans: then without other children it has left none.
pub fn has_more_children_than(child: i32) -> bool {
    let me = std::process::id();
    let Ok(children) = fs::read_to_string(format!("/proc/{me}/task/{me}/children")) else { return true };
    children.split_ascii_whitespace().any(|pid| pid.parse() != Ok(child))
}

/// The live processes of a process group.
///
/// # Errors
/// When not all processes could be looked at (no descriptors left).
pub fn group(pgrp: i32) -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for pid in pids()? {
        found.extend(listed(pid)?.filter(|stat| stat.pgrp == pgrp && !stat.ended));
    }
    Ok(found)
}

/// What a variable of a process's environment was when it was executed; none: it had none, or it is not for us to read.
pub fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    variable_in(&environ, name).map(<[u8]>::to_vec)
}

fn variable_in<'e>(environ: &'e [u8], name: &str) -> Option<&'e [u8]> {
    let mut entries = environ.split(|&b| b == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The variable by which a task's processes are found when their launcher is gone.
pub const UPID_VARIABLE: &str = "TASKWATCHER_UPID";

/// The variable that proves it: other users cannot read it from anywhere.
pub const HANDLE_VARIABLE: &str = "TASKWATCHER_HANDLE";

/// All processes of one look at `/proc`.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Those that are alive, each with the UPID and the handle of its environment, where it has them and they can be read.
    processes: Vec<(Stat, Option<(String, String)>)>,
    /// Whether each that is listed could be looked at.
    pub complete: bool,
}

impl Snapshot {
    /// Looks at all processes but this one.
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

    /// The processes that are left of a task: those whose environment has its UPID and handle, its command, their
    /// descendants, and the group that the command was the first of.
    ///
    /// The command is given only where its pid means something, which is in the namespace and boot it was noted in.
    pub fn left_of(&self, upid: &str, handle: &str, command: Option<Process>, session: Option<i32>) -> Vec<Process> {
        let is_marked = |marks: &Option<(String, String)>| {
            marks.as_ref().is_some_and(|(of, key)| of == upid && (key == handle || handle.is_empty()))
        };
        let mut left: HashSet<Process> = HashSet::new();
        let marked = |(stat, marks): &&(Stat, _)| is_marked(marks) || Some(stat.process) == command;
        left.extend(self.processes.iter().filter(marked).map(|(stat, _)| stat.process));
        // The number of a group is not given again while the group has members; but the command's pid may be.
        let pgrp = command.map(|command| command.pid);
        let is_free = |pid| !self.processes.iter().any(|(stat, _)| stat.process.pid == pid);
        let alone = pgrp.is_some_and(is_free);
        loop {
            let parents: HashSet<i32> = left.iter().map(|process| process.pid).collect();
            let members = || self.processes.iter().filter(|(stat, _)| Some(stat.pgrp) == pgrp);
            let whole = members().any(|(stat, _)| left.contains(&stat.process));
            let since = command.map_or(0, |command| command.pstart);
            let is_member = |stat: &Stat| {
                let kept = alone && session == Some(stat.session) && stat.process.pstart >= since;
                Some(stat.pgrp) == pgrp && (whole || kept)
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

/// The UPID and handle of a process's environment; `None` where it has none, or where another user may not read it.
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

/// The inode of a process's pidfd, which no other process has until the next boot; `None` before Linux 6.9.
pub fn inode(pid: i32) -> Option<u64> {
    inode_of(&pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)
}

fn inode_of(pidfd: &OwnedFd) -> Option<u64> {
    /// What fstatfs(2) says of the file system of pidfds.
    const PIDFS_MAGIC: i64 = 0x5049_4446;
    let kind = rustix::fs::fstatfs(pidfd).ok()?.f_type;
    (kind == PIDFS_MAGIC).then(|| rustix::fs::fstat(pidfd).ok().map(|stat| stat.st_ino)).flatten()
}

/// Whether the process that has this pid is the one whose pidfd had this inode, asked without `/proc`.
fn look_at_inode(pid: i32, noted: u64) -> Life {
    let Some(pid) = Pid::from_raw(pid) else { return Life::Gone };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Life::Gone,
        Err(_) => return Life::Unknown,
    };
    match inode_of(&pidfd) {
        Some(inode) if inode == noted => {
            // Readable once it has ended.
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

/// The same as [`look`], also where `/proc` hides the process and the inode of its pidfd was noted.
pub fn look_by(process: Process, inode: Option<u64>) -> Life {
    match (look(process), inode) {
        (Life::Unknown, Some(noted)) => look_at_inode(process.pid, noted),
        (life, _) => life,
    }
}

/// Opens a handle to this very process; none when it is gone or its pid is another's now.
///
/// # Errors
/// When the kernel refuses for another reason (no descriptors left).
pub fn open(process: Process) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(read_stat(process.pid)?.filter(|stat| stat.process == process && !stat.ended).map(|_| fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to this very process; false when it is gone.
///
/// # Errors
/// When we may not signal it.
pub fn signal(process: Process, signal: Signal) -> io::Result<bool> {
    match open(process)? {
        Some(fd) => send(&fd, signal),
        None => Ok(false),
    }
}

/// Sends a signal through a handle; false when the process is gone.
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

/// What became of a signal that was sent on behalf of another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAnswer {
    /// It was sent.
    Sent,
    /// The process is gone.
    Gone,
    /// That user could not have sent it, so it was not sent.
    Denied,
}

/// Sends a signal to this very process if `user` could send it, as kill(2) decides it: to processes whose real or saved
/// user that is. `also` may accept others.
///
/// # Errors
/// When this process may not signal it, or it cannot be looked at.
pub fn signal_for(
    user: u32,
    process: Process,
    signal: Signal,
    also: &dyn Fn(Process) -> bool,
) -> io::Result<SignalAnswer> {
    let Some(fd) = open(process)? else { return Ok(SignalAnswer::Gone) };
    // As long as the pidfd leads to a process that was not reaped, its number is no other's.
    if !belongs_to(process.pid, user)? && !also(process) {
        return Ok(SignalAnswer::Denied);
    }
    Ok(if send(&fd, signal)? { SignalAnswer::Sent } else { SignalAnswer::Gone })
}

/// Whether the real or the saved user of a process is this one, so that this user may signal it; not when it is gone.
///
/// # Errors
/// When it cannot be looked at.
pub fn belongs_to(pid: i32, user: u32) -> io::Result<bool> {
    let Some(status) = read_status(pid)? else { return Ok(false) };
    match users_in(&status) {
        Some([real, _, saved, _]) => Ok(real == user || saved == user),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/status has another form")),
    }
}

/// Whether a file of `/proc/PID` could not be read because the process is gone.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_confuse_the_fields() {
        // Each field holds its own number, but for the two that are asked for.
        let line = b"7 (a) R 1 (b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4242 23 24 25 26 27 28 29 30 31 \
            32 4096 34 35";
        let stat = parse_stat(7, line).unwrap();
        assert_eq!((stat.ppid, stat.pgrp, stat.tty, stat.process.pstart, stat.ignored), (4, 5, 7, 4242, 4096));
        for cut in 0..line.len() {
            let _ = parse_stat(7, &line[..cut]);
        }
    }

    #[test]
    fn we_are_alive_and_our_pid_with_another_start_is_not() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let me = stat(pid).unwrap().process;
        assert!(alive(me));
        let other = Process { pstart: me.pstart + 1, ..me };
        assert!(!alive(other));
        assert!(open(other).unwrap().is_none());
        assert!(!signal(other, Signal::KILL).unwrap(), "a used-again pid is never signalled");
    }
}
