//! The terminal that this program was started from, and its foreground process group.
//!
//! SIGTTOU must be blocked (see `inbox::Inbox`): the foreground is also changed from the
//! background.

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

/// The byte of Ctrl-C.
pub const CTRL_C: u8 = 0x03;
/// The byte of Ctrl-Z.
pub const CTRL_Z: u8 = 0x1a;

/// The controlling terminal.
#[derive(Debug)]
pub struct Terminal {
    tty: File,
    lent: Option<Pid>,
}

impl Terminal {
    /// Opens the controlling terminal; `None` if there is none.
    pub fn controlling() -> Option<Terminal> {
        let tty = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        Some(Terminal { tty, lent: None })
    }

    /// Continues with an inherited terminal; `lent` is the process group that already has the
    /// foreground from this one.
    pub fn take_over_from(tty: OwnedFd, lent: Option<i32>) -> Terminal {
        Terminal { tty: tty.into(), lent: lent.map(Pid::from_raw) }
    }

    /// Returns the descriptor for [`Terminal::take_over_from`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.tty.as_fd()
    }

    /// Whether this process's group is in the foreground.
    pub fn is_in_foreground(&self) -> bool {
        tcgetpgrp(&self.tty) == Ok(getpgrp())
    }

    /// Whether the command should get the foreground at once. Not if the group is shared: in
    /// `launch … | less` the pager needs the terminal too, and the other programs of a script must
    /// receive Ctrl-C. Then the command gets the foreground when it first needs it.
    pub fn is_alone_in_foreground(&self) -> bool {
        let piped = is_pipe(std::io::stdout().as_fd()) || is_pipe(std::io::stderr().as_fd());
        getpid() == getpgrp() && self.is_in_foreground() && !piped
    }

    /// Gives the foreground to a process group of this session.
    pub fn lend(&mut self, group: i32) {
        let group = Pid::from_raw(group);
        if tcsetpgrp(&self.tty, group).is_ok() {
            self.lent = Some(group);
        }
    }

    /// Whether the command has the foreground from this process.
    pub fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// Takes the foreground from whichever group has it.
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

/// Whether this process leads its session, like a login shell: no parent would continue it after a
/// stop.
pub fn leads_session() -> bool {
    nix::unistd::getsid(None) == Ok(getpid())
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        kind == SFlag::S_IFIFO || kind == SFlag::S_IFSOCK
    })
}

/// Whether this descriptor is a regular file.
pub fn is_file(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Returns the columns of the terminal behind this descriptor; `None` if it is not a terminal.
pub fn width(fd: BorrowedFd<'_>) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    // A terminal that does not know its size is assumed to have 80 columns.
    Some(if size.ws_col == 0 { 80 } else { size.ws_col })
}

/// The terminal on standard input, in another mode, which is restored on drop.
#[derive(Debug)]
pub struct Keyboard {
    input: OwnedFd,
    before: Termios,
}

impl Keyboard {
    /// Sets the mode for an attached process: Ctrl-C and Ctrl-Z are bytes that can be read at once,
    /// and send no signal. With `lines`, input is echoed and read line by line; without, it is not
    /// echoed.
    ///
    /// # Errors
    /// Standard input is not a terminal.
    pub fn attached(lines: bool) -> io::Result<Keyboard> {
        Keyboard::with(|modes| {
            modes.local_flags.remove(LocalFlags::ISIG);
            if lines {
                modes.local_flags.insert(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN);
                // Line ends, like Enter.
                modes.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
                modes.control_chars[SpecialCharacterIndices::VEOL2 as usize] = CTRL_Z;
            } else {
                modes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            }
        })
    }

    /// Sets the mode for a password: input is not echoed, and Ctrl-C is a byte that ends it.
    ///
    /// # Errors
    /// Standard input is not a terminal.
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

    /// Returns the descriptor to poll for input.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Returns the typed bytes: empty at the end of the terminal, or for Ctrl-D on an empty line.
    ///
    /// # Errors
    /// Those of read(2).
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
