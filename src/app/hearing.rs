//! What a command tells its launcher (`sd_notify`), and from whom it is taken.
//!
//! Anybody can send to the socket. A message counts if its sender is our own user or root, or a process of the task: a
//! command may have become another user, as most services do.

use std::{os::fd::BorrowedFd, time::Duration};

use crate::io::{
    notify::{Heard, Notify},
    process,
};

/// After messages of strangers nothing is heard for so long, so that they cannot keep a launcher busy.
const DEAF: Duration = Duration::from_millis(100);

/// What a launcher is told on its socket.
#[derive(Debug)]
pub enum LauncherMessage {
    /// A message of the task.
    Message(Vec<u8>),
    /// A request of `control` waits in the spool.
    Request,
}

/// The socket of one task.
#[derive(Debug)]
pub struct Hearing {
    notify: Notify,
    /// The process of which the task's processes descend.
    ancestor: i32,
    /// On the monotonic clock.
    deaf_until: Duration,
}

impl Hearing {
    /// Hears on a socket for the task whose processes descend from `ancestor`.
    pub fn new(notify: Notify, ancestor: i32) -> Hearing {
        Hearing { notify, ancestor, deaf_until: Duration::ZERO }
    }

    /// Returns the descriptor for a new program in this process.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.notify.readable()
    }

    /// Returns what the command finds in [`crate::io::notify::VARIABLE`].
    pub fn address(&self) -> &str {
        self.notify.address()
    }

    /// Returns what to wait for until there is a message, if one is heard now.
    pub fn readable(&self, now: Duration) -> Option<BorrowedFd<'_>> {
        (now >= self.deaf_until).then(|| self.notify.readable())
    }

    /// Returns when messages are heard again, if they are not now.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        (now < self.deaf_until).then_some(self.deaf_until)
    }

    /// Returns what arrived next, if anything did.
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
