//! Signals to a whole tree of processes, and which of them cannot be signalled.
//!
//! A command may start programs of other users (`sudo`, a set-uid helper), which its launcher may not signal. They are
//! found here, so that a task that is waited for says what it waits for.

use super::output::Output;
use crate::{
    io::{
        child,
        process::{self, Stat},
        spool::Story,
        sys,
    },
    model::task::{Process, Signal},
};

/// How many of them are named; a message is one line.
const NAMED: usize = 3;

/// Sends a signal to each of these descendants of this process; gives those that may not be signalled.
pub(super) fn signal_each(tree: &[Stat], signal: Signal) -> Vec<Process> {
    tree.iter().filter(|stat| !reaches(stat, signal)).map(|stat| stat.process).collect()
}

/// Sends a signal to one descendant; false if it may not be signalled.
fn reaches(stat: &Stat, signal: Signal) -> bool {
    if process::signal(stat.process, signal).is_ok() {
        return true;
    }
    // A child of this process that was not reaped keeps its number, so that it needs no pidfd, which old containers and
    // sandboxes refuse. Other descendants become children when their parents end.
    if stat.ppid == child::own_pid() {
        child::signal(stat.process.pid, signal).is_ok()
    } else {
        child::may_signal(stat.process.pid)
    }
}

/// Notes processes that cannot be killed in the story of their task and in its log. Returns the line that says so, or
/// `None` where all of them are known already.
pub(super) fn note_refused(refused: Vec<Process>, story: &mut Story, output: Option<&mut Output>) -> Option<String> {
    let is_known = refused.iter().all(|process| story.refused.contains(process));
    if refused.is_empty() || is_known {
        return None;
    }
    let why = describe(&refused);
    if let Some(output) = output {
        output.note(&format!("cannot be ended: {why}"));
    }
    story.refused = refused;
    story.status.clone_from(&why);
    Some(why)
}

/// Says which processes cannot be ended, why, and what can be done, in one line.
pub(super) fn describe(refused: &[Process]) -> String {
    let name = |process: &Process| match process::name_and_owner(process.pid) {
        Some((name, owner)) => format!("process {} ({name}) belongs to {}", process.pid, sys::login_of(owner)),
        None => format!("process {} may not be signalled", process.pid),
    };
    let mut names: Vec<String> = refused.iter().take(NAMED).map(name).collect();
    if refused.len() > NAMED {
        names.push(format!("{} more", refused.len() - NAMED));
    }
    let pids: Vec<String> = refused.iter().map(|process| process.pid.to_string()).collect();
    let them = if refused.len() > 1 { "them" } else { "it" };
    format!("{}; end {them} as that user: kill -KILL {}", names.join(", "), pids.join(" "))
}
