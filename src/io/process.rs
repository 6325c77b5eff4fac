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

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::model::task::{Process, Signal};

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
}

/// Reads one process; none when there is none of that pid.
pub fn stat(pid: i32) -> Option<Stat> {
    read_stat(pid).ok().flatten()
}

/// The same, for who must not take a process for gone that could not be looked at.
fn read_stat(pid: i32) -> io::Result<Option<Stat>> {
    let mut text = [0u8; 1024];
    let read = fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text));
    match read {
        Ok(len) => Ok(parse_stat(pid, &text[..len])),
        // ESRCH: it went while its file was open.
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// That there is no such process.
const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// The command name may hold blanks and parentheses; what follows the last parenthesis is fields of numbers.
fn parse_stat(pid: i32, text: &[u8]) -> Option<Stat> {
    let close = text.iter().rposition(|&b| b == b')')?;
    let mut fields = std::str::from_utf8(text.get(close + 2..)?).ok()?.split_ascii_whitespace();
    // In the order of proc(5): 3 the state, 4 the parent, 5 the group, 6 the session, 7 the terminal, 22 the start, 33 what
    // is ignored.
    let state = fields.next()?;
    let mut after = |skipped: usize| fields.nth(skipped);
    Some(Stat {
        ppid: after(0)?.parse().ok()?,
        pgrp: after(0)?.parse().ok()?,
        session: after(0)?.parse().ok()?,
        tty: after(0)?.parse().ok()?,
        process: Process { pid, pstart: after(14)?.parse().ok()? },
        ignored: after(10)?.parse().ok()?,
        ended: matches!(state, "Z" | "X" | "x"),
        stopped: state == "T",
    })
}

/// Whether this very process, and not another one of its pid, is alive.
pub fn alive(process: Process) -> bool {
    stat(process.pid).is_some_and(|stat| stat.process == process && !stat.ended)
}

/// All pids there are now.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The live descendants of `ancestor`, without those of `except` (children it had before) and what these started.
pub fn descendants(ancestor: i32, except: &[Process]) -> Vec<Stat> {
    let all: Vec<Stat> = pids().unwrap_or_default().into_iter().filter_map(stat).collect();
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
    found
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
        found.extend(read_stat(pid)?.filter(|stat| stat.pgrp == pgrp && !stat.ended));
    }
    Ok(found)
}

/// What a variable of a process's environment was when it was executed; none: it had none, or it is not for us to read.
pub fn variable(pid: i32, name: &str) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environ.split(|&b| b == 0);
    entries.find_map(|entry| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

/// The variable by which a task's processes are found when their launcher is gone.
pub const UPID_VARIABLE: &str = "TASKWATCHER_UPID";

/// The live processes that carry one of these UPIDs in their environment: what is left of tasks whose launcher died.
/// One pass over `/proc`; processes of other users are not seen.
pub fn carriers<'a>(upids: &HashSet<&'a str>) -> HashMap<&'a str, Vec<Process>> {
    let mut found: HashMap<&str, Vec<Process>> = HashMap::new();
    if upids.is_empty() {
        return found;
    }
    let myself = i32::try_from(std::process::id()).unwrap_or(0);
    for pid in pids().unwrap_or_default() {
        let Some(before) = stat(pid).filter(|stat| !stat.ended && pid != myself) else { continue };
        let value = variable(pid, UPID_VARIABLE);
        let upid = value.as_deref().and_then(|value| upids.get(std::str::from_utf8(value).ok()?));
        if let Some(upid) = upid {
            found.entry(upid).or_default().push(before.process);
        }
    }
    found
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
    let Some(fd) = open(process)? else { return Ok(false) };
    let Some(signal) = rustix::process::Signal::from_named_raw(signal.0) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} cannot be sent")));
    };
    match pidfd_send_signal(fd.as_fd(), signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to each of these; whether any was there, and the first thing that went wrong.
pub fn signal_each(processes: impl IntoIterator<Item = Process>, signal: Signal) -> (bool, Option<io::Error>) {
    let (mut reached, mut failed) = (false, None);
    for process in processes {
        match self::signal(process, signal) {
            Ok(alive) => reached |= alive,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    (reached, failed)
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
