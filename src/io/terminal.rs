//! The terminal we were started from, and whose foreground it is.
//!
//! SIGTTOU must be blocked (see `child::Inbox`): we give and take the foreground from its background too.

use std::{
    fs::{File, OpenOptions},
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    sys::stat::{SFlag, fstat},
    unistd::{Pid, getpgrp, getpid, tcgetpgrp, tcsetpgrp},
};

/// Our controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    tty: File,
    lent: Option<Pid>,
}

impl Terminal {
    /// Opens our controlling terminal; none when we have none.
    pub fn controlling() -> Option<Terminal> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Terminal { tty, lent: None })
    }

    /// Whether our own process group is in its foreground.
    pub fn is_ours(&self) -> bool {
        tcgetpgrp(&self.tty) == Ok(getpgrp())
    }

    /// Whether the command should get the foreground at once. Not if we share it: in `launch … | less` the pager needs
    /// it too, and a script's other programs must hear Ctrl-C; then the command gets it when it first asks.
    pub fn is_ours_alone(&self) -> bool {
        let piped = is_pipe(std::io::stdout().as_fd()) || is_pipe(std::io::stderr().as_fd());
        getpid() == getpgrp() && self.is_ours() && !piped
    }

    /// Gives the foreground to a process group of our session.
    pub fn lend(&mut self, group: i32) {
        let group = Pid::from_raw(group);
        if tcsetpgrp(&self.tty, group).is_ok() {
            self.lent = Some(group);
        }
    }

    /// Takes note that a process group has the foreground from us already.
    pub fn was_lent(&mut self, group: i32) {
        self.lent = Some(Pid::from_raw(group));
    }

    /// Whether the command has the foreground from us.
    pub fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Takes the foreground, whoever has it.
    pub fn take_over(&mut self) {
        self.lent = None;
        let _ = tcsetpgrp(&self.tty, getpgrp());
    }

    /// Takes the foreground back, if the command still has it.
    pub fn take_back(&mut self) {
        if let Some(group) = self.lent.take()
            && tcgetpgrp(&self.tty) == Ok(group)
        {
            let _ = tcsetpgrp(&self.tty, getpgrp());
        }
    }
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    })
}

/// Whether a regular file is behind this descriptor.
pub fn is_file(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Columns of the terminal behind this descriptor; none if there is none.
pub fn width(fd: BorrowedFd<'_>) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    // A terminal that does not know its size is taken for a usual one.
    Some(if size.ws_col == 0 { 80 } else { size.ws_col })
}
