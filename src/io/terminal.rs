//! The terminal we were started from, and whose foreground it is.
//!
//! SIGTTOU must be blocked (see `inbox::Inbox`): we give and take the foreground from its background too.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        stat::{SFlag, fstat},
        termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
    },
    unistd::{Pid, getpgrp, getpid, tcgetpgrp, tcsetpgrp},
};

/// What Ctrl-C is where it is a byte.
pub const CTRL_C: u8 = 0x03;
/// What Ctrl-Z is where it is a byte.
pub const CTRL_Z: u8 = 0x1a;

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

    /// Goes on with a terminal that was handed over; `lent`: the process group that has the foreground from us already.
    pub fn take_over_from(tty: OwnedFd, lent: Option<i32>) -> Terminal {
        Terminal { tty: tty.into(), lent: lent.map(Pid::from_raw) }
    }

    /// Returns the descriptor that [`Terminal::take_over_from`] goes on with.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.tty.as_fd()
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

/// Whether we lead our session, as a login shell does: whoever started us does not continue us when we stop.
pub fn leads_session() -> bool {
    nix::unistd::getsid(None) == Ok(getpid())
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

/// The terminal that is our input, in another mode; as it was when this is dropped.
#[derive(Debug)]
pub struct Keyboard {
    input: OwnedFd,
    before: Termios,
}

impl Keyboard {
    /// For an attached process: Ctrl-C and Ctrl-Z are bytes that are there to be read at once, and signal nobody. With
    /// `lines`, what is typed is shown and comes line by line; without, nothing is shown.
    ///
    /// # Errors
    /// Our input is no terminal.
    pub fn attached(lines: bool) -> io::Result<Keyboard> {
        Keyboard::with(|modes| {
            modes.local_flags.remove(LocalFlags::ISIG);
            if lines {
                modes.local_flags.insert(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
                // Ends of a line, like Enter.
                modes.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
                modes.control_chars[SpecialCharacterIndices::VEOL2 as usize] = CTRL_Z;
            } else {
                modes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            }
        })
    }

    /// For a password: nothing that is typed is shown, and Ctrl-C is a byte that ends it.
    ///
    /// # Errors
    /// Our input is no terminal.
    pub fn hidden() -> io::Result<Keyboard> {
        Keyboard::with(|modes| {
            modes.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
            modes.local_flags.insert(LocalFlags::ICANON);
            modes.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
        })
    }

    fn with(change: impl FnOnce(&mut Termios)) -> io::Result<Keyboard> {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&input)?;
        let mut modes = before.clone();
        change(&mut modes);
        tcsetattr(&input, SetArg::TCSANOW, &modes)?;
        Ok(Keyboard { input, before })
    }

    /// What to wait for.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// What was typed: nothing when the terminal ends, or for Ctrl-D on an empty line.
    ///
    /// # Errors
    /// As read(2) says.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 4096];
        loop {
            match nix::unistd::read(&self.input, &mut bytes) {
                Err(Errno::EINTR) => {}
                read => return Ok(bytes.get(..read?).unwrap_or_default().to_vec()),
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.input, SetArg::TCSANOW, &self.before);
    }
}
