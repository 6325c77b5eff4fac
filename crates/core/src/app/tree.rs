//! Signals to a process tree, and the processes that cannot be signalled.
//!
//! A command may start programs of other users (`sudo`, a set-uid helper), which its launcher may not signal. This
//! module finds them, so that the launcher can report which processes a task still waits for.

use std::io;

use crate::{
    io::{
        child,
        process::{self, Stat},
        sys,
    },
    model::task::{Process, Signal},
};

/// Maximum number of processes that are named in a message, which is one line.
const NAMED: usize = 3;

/// A signal to several processes, and which of them it reached.
///
/// A process that cannot be examined for lack of descriptors or memory was neither reached nor refused: the delivery
/// must be sent again.
#[derive(Debug)]
pub struct Delivery {
    /// The signal.
    pub signal: Signal,
    /// Processes that received the signal.
    pub reached: Vec<Process>,
    /// Processes that this user may not signal.
    pub refused: Vec<Process>,
    /// The error of the first process in `refused`.
    pub refusal: Option<io::Error>,
    /// Why the last [`Delivery::send`] missed some processes, if it did.
    pub missed: Option<io::Error>,
}

impl Delivery {
    /// Returns a delivery that has not reached any process yet.
    pub fn new(signal: Signal) -> Self {
        Delivery { signal, reached: vec![], refused: vec![], refusal: None, missed: None }
    }

    /// Sends the signal to each target that has not received it. A target is a process, and whether it is an unreaped
    /// child of this process.
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

    /// Sends the signal to a command and to the other members of its group. If the members could not be listed, they
    /// count as missed.
    pub fn send_to_group(&mut self, command: Option<(Process, bool)>, members: io::Result<Vec<(Process, bool)>>) {
        let (members, unknown) = members.map_or_else(|error| (vec![], Some(error)), |members| (members, None));
        let is_command = |process| command.is_some_and(|(command, _)| command == process);
        self.send(command.into_iter().chain(members.into_iter().filter(|(process, _)| !is_command(*process))));
        self.missed = self.missed.take().or(unknown);
    }
}

/// The result of a signal to one process.
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
    // An unreaped child keeps its pid, so it can be signalled without a pidfd, which old containers and sandboxes
    // refuse, and without a descriptor. Other descendants become children when their parents end.
    if is_child && child::signal(process.pid, signal).is_ok() {
        Sent::Reached
    } else if error.kind() == io::ErrorKind::InvalidInput {
        Sent::Refused(error)
    } else {
        child::refusal_of_signals(process.pid).map_or(Sent::Missed(error), Sent::Refused)
    }
}

/// Returns the targets for [`Delivery::send`].
pub fn targets(tree: &[Stat]) -> impl Iterator<Item = (Process, bool)> {
    tree.iter().map(|stat| (stat.process, stat.ppid == child::own_pid()))
}

/// Sends a signal to each of these descendants of this process. Returns those that may not be signalled.
pub fn signal_each(tree: &[Stat], signal: Signal) -> Vec<Process> {
    let mut delivery = Delivery::new(signal);
    delivery.send(targets(tree));
    delivery.refused
}

/// Returns in one line which processes cannot be ended, why, and the remedy.
pub fn describe(refused: &[Process]) -> String {
    let pids: Vec<String> = refused.iter().map(|process| process.pid.to_string()).collect();
    let them = if refused.len() > 1 { "them" } else { "it" };
    format!("{}; end {them} as that user: kill -KILL {}", name_them(refused), pids.join(" "))
}

/// Returns the names of the first processes, with their users.
pub fn name_them(processes: &[Process]) -> String {
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
