//! The messages of a command to its launcher (`sd_notify`), and which senders are accepted.
//!
//! Every process can send to the socket. A message is accepted if its sender runs as the launcher's user or root, or is
//! a process of the task, because a command may have changed to another user, as most services do.

use std::{os::fd::BorrowedFd, time::Duration};

use crate::io::{
    notify::{Heard, Notify},
    process,
};

/// Pause after messages of other senders, so that they cannot keep a launcher busy.
const DEAF: Duration = Duration::from_millis(100);

/// A message on the launcher's socket.
#[derive(Debug)]
pub enum LauncherMessage {
    /// An `sd_notify` message of the task.
    Message(Vec<u8>),
    /// A request of `control` is in the spool.
    Request,
}

/// The notify socket of one task.
#[derive(Debug)]
pub struct Hearing {
    notify: Notify,
    /// The common ancestor of the task's processes.
    ancestor: i32,
    /// The end of the pause, on the monotonic clock.
    deaf_until: Duration,
}

impl Hearing {
    /// Returns the receiver of a task whose processes descend from `ancestor`.
    pub fn new(notify: Notify, ancestor: i32) -> Hearing {
        Hearing { notify, ancestor, deaf_until: Duration::ZERO }
    }

    /// Returns the descriptor to hand over in a re-execution.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.notify.readable()
    }

    /// Returns the value of [`crate::io::notify::VARIABLE`] for the command.
    pub fn address(&self) -> &str {
        self.notify.address()
    }

    /// Returns the descriptor to poll for messages, unless there is a pause.
    pub fn readable(&self, now: Duration) -> Option<BorrowedFd<'_>> {
        (now >= self.deaf_until).then(|| self.notify.readable())
    }

    /// Returns the end of the pause, if there is one.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        (now < self.deaf_until).then_some(self.deaf_until)
    }

    /// Returns the next message, if there is one.
    pub fn next(&mut self, now: Duration) -> Option<LauncherMessage> {
        let ancestor = self.ancestor;
        loop {
            match self.readable(now).and_then(|_| self.notify.next(&|pid| process::descends_from(pid, ancestor)))? {
                Heard::Message(message) => return Some(LauncherMessage::Message(message)),
                Heard::Request => return Some(LauncherMessage::Request),
                Heard::Stranger => self.deaf_until = now + DEAF,
            }
        }
    }
}
