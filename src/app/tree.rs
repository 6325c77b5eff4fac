//! Signals to a whole tree of processes, and which of them cannot be signalled.
//!
//! A command may start programs of other users (`sudo`, a set-uid helper), which its launcher may not signal. They are
//! found here, so that a task that is waited for says what it waits for.

use std::io;

use super::output::TaskOutput;
use crate::{
    io::{
        child,
        process::{self, Stat},
        spool::SelfReport,
        sys,
    },
    model::task::{Process, Signal},
};

/// How many of them are named; a message is one line.
const NAMED: usize = 3;

/// A signal to several processes, and which of them have it.
///
/// A process that cannot be looked at for want of descriptors or memory has not got the signal and has not refused it:
/// the delivery is to be sent again.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The signal.
    pub signal: Signal,
    /// Those that have it.
    pub reached: Vec<Process>,
    /// Those that this user may not signal.
    pub refused: Vec<Process>,
    /// Why the first of them refused it.
    pub refusal: Option<io::Error>,
    /// Why the last [`Delivery::send`] missed some, if it did.
    pub missed: Option<io::Error>,
}

impl Delivery {
    /// Returns a delivery that nothing has got yet.
    pub fn new(signal: Signal) -> Self {
        Delivery { signal, reached: vec![], refused: vec![], refusal: None, missed: None }
    }

    /// Sends the signal to each of these that has not got it. With each process goes whether it is a child of this one
    /// that was not reaped.
    pub fn send(&mut self, targets: impl IntoIterator<Item = (Process, bool)>) {
        (self.refused, self.refusal, self.missed) = (vec![], None, None);
        for (process, is_child) in targets {
            if self.reached.contains(&process) {
                continue;
            }
            match send(process, is_child, self.signal) {
                Sent::Reached => self.reached.push(process),
                Sent::Gone => {}
                Sent::Refused(error) => {
                    self.refused.push(process);
                    self.refusal = self.refusal.take().or(Some(error));
                }
                Sent::Missed(error) => self.missed = self.missed.take().or(Some(error)),
            }
        }
    }

    /// Sends the signal to a command and to the other members of its group. Members that could not be listed are missed.
    pub fn send_to_group(&mut self, command: Option<(Process, bool)>, members: io::Result<Vec<(Process, bool)>>) {
        let (members, unknown) = members.map_or_else(|error| (vec![], Some(error)), |members| (members, None));
        let is_command = |process| command.is_some_and(|(command, _)| command == process);
        self.send(command.into_iter().chain(members.into_iter().filter(|(process, _)| !is_command(*process))));
        self.missed = self.missed.take().or(unknown);
    }
}

/// What became of a signal to one process.
enum Sent {
    Reached,
    Gone,
    Refused(io::Error),
    Missed(io::Error),
}

fn send(process: Process, is_child: bool, signal: Signal) -> Sent {
    let error = match process::signal(process, signal) {
        Ok(true) => return Sent::Reached,
        Ok(false) => return Sent::Gone,
        Err(error) => error,
    };
    // A child that was not reaped keeps its number, so that it needs no pidfd, which old containers and sandboxes
    // refuse, and no descriptor. Other descendants become children when their parents end.
    if is_child && child::signal(process.pid, signal).is_ok() {
        Sent::Reached
    } else if error.kind() == io::ErrorKind::InvalidInput {
        Sent::Refused(error)
    } else {
        child::refusal_of_signals(process.pid).map_or(Sent::Missed(error), Sent::Refused)
    }
}

/// Returns processes as [`Delivery::send`] takes them.
pub(super) fn targets(tree: &[Stat]) -> impl Iterator<Item = (Process, bool)> {
    tree.iter().map(|stat| (stat.process, stat.ppid == child::own_pid()))
}

/// Sends a signal to each of these descendants of this process; gives those that may not be signalled.
pub(super) fn signal_each(tree: &[Stat], signal: Signal) -> Vec<Process> {
    let mut delivery = Delivery::new(signal);
    delivery.send(targets(tree));
    delivery.refused
}

/// Notes processes that cannot be killed in the story of their task and in its log. Returns the line that says so, or
/// `None` where all of them are known already.
pub(super) fn note_refused(
    refused: Vec<Process>,
    story: &mut SelfReport,
    output: Option<&mut TaskOutput>,
) -> Option<String> {
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
    let pids: Vec<String> = refused.iter().map(|process| process.pid.to_string()).collect();
    let them = if refused.len() > 1 { "them" } else { "it" };
    format!("{}; end {them} as that user: kill -KILL {}", name_them(refused), pids.join(" "))
}

/// Names processes and their users; of many only the first.
pub(super) fn name_them(processes: &[Process]) -> String {
    let name = |process: &Process| match process::name_and_owner(process.pid) {
        Some((name, owner)) => format!("process {} ({name}) belongs to {}", process.pid, sys::login_of(owner)),
        None => format!("process {} may not be signalled", process.pid),
    };
    let mut names: Vec<String> = processes.iter().take(NAMED).map(name).collect();
    if processes.len() > NAMED {
        names.push(format!("{} more", processes.len() - NAMED));
    }
    names.join(", ")
}
