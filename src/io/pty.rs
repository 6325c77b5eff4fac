//! A pseudo-terminal for the command, in place of the terminal that this program was started from.
//! The command's output can be logged although the command sees a terminal.
//!
//! *Whole*: standard output is the terminal. The command gets its own session on the new terminal.
//! The outer terminal is set to raw mode and every key is relayed, so that line editing, Ctrl-C and
//! Ctrl-Z work in the new one. If standard input is something else, many commands may share the
//! keyboard and few need it: then keys are relayed only while the command has changed how its
//! terminal reads keys, as a pager does. *Screen only*: only standard error is the terminal. The
//! command stays in the session of this program and reads the outer terminal's keyboard; only its
//! output goes through the new terminal.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::openpty,
    sys::{
        signal::{Signal as NixSignal, kill},
        stat::makedev,
        termios::{
            InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr,
            tcsetattr,
        },
    },
    unistd::{Pid, getpgrp, getpid, isatty, read, tcgetpgrp, write},
};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

/// The flags that a program changes to read single keys or a secret.
const KEY_FLAGS: LocalFlags = LocalFlags::ICANON.union(LocalFlags::ECHO);
/// Bytes of keys per read.
const KEYS: usize = 4096;

/// The pseudo-terminal between the outer terminal and the command.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    /// Kept open until the command has ended, so that the master reports no hang-up before.
    command: Option<OwnedFd>,
    /// The terminal that this program was started from.
    outer: File,
    whole: bool,
    /// Whether standard input is the terminal too, so that keys belong to the command from the
    /// start.
    eager: bool,
    /// The initial [`KEY_FLAGS`] of the command's side.
    first: LocalFlags,
    /// The settings of the outer terminal from before raw mode; `None` while it is not raw.
    saved: Option<Termios>,
    /// Keys that the command has no room for yet.
    pending: Vec<u8>,
    hung_up: bool,
}

impl Pty {
    /// Opens a pseudo-terminal if standard output or standard error is a terminal. `None`
    /// otherwise, or if the system has no free one.
    pub fn open() -> Option<Pty> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let is_tty = |fd: BorrowedFd<'_>| isatty(fd).unwrap_or(false);
        let shown = [stdout.as_fd(), stderr.as_fd()].into_iter().find(|fd| is_tty(*fd))?;
        let controlling = OpenOptions::new().read(true).write(true).open("/dev/tty").ok();
        let whole = controlling.is_some() && is_tty(stdout.as_fd());
        let outer = match controlling.filter(|_| whole) {
            Some(tty) => tty,
            None => File::from(shown.try_clone_to_owned().ok()?),
        };
        let mut settings = tcgetattr(&outer).ok()?;
        if !whole {
            // The outer terminal already turns LF into CR LF.
            settings.output_flags.remove(OutputFlags::OPOST);
            settings.local_flags.remove(LocalFlags::ECHO);
        }
        let made = openpty(None, &settings).ok()?;
        for fd in [&made.master, &made.slave] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
        }
        let pty = Pty {
            master: made.master,
            command: Some(made.slave),
            outer,
            whole,
            eager: whole && is_tty(stdin.as_fd()),
            first: settings.local_flags & KEY_FLAGS,
            saved: None,
            pending: Vec::new(),
            hung_up: false,
        };
        pty.follow_size();
        Some(pty)
    }

    /// Whether the command gets its own session on the pseudo-terminal.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether the pseudo-terminal is also the command's input.
    pub fn is_input(&self) -> bool {
        self.eager
    }

    /// Returns the master side.
    pub fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Returns the command's side, until [`Pty::command_ended`].
    pub fn command(&self) -> Option<BorrowedFd<'_>> {
        self.command.as_ref().map(AsFd::as_fd)
    }

    /// Returns the name of the command's side to replace a name of the outer terminal; `None` if
    /// `name` is no name of the outer terminal. A prompt that opened the outer terminal would
    /// compete with this program for its keys. `controlling` is the number of this process's
    /// controlling terminal in `/proc/PID/stat`, which differs from the device number of
    /// `/dev/tty`.
    pub fn name_for(&self, name: &OsStr, controlling: i32) -> Option<PathBuf> {
        let named = nix::sys::stat::stat(name).ok()?.st_rdev;
        let outer = nix::sys::stat::fstat(io::stdout()).ok()?.st_rdev;
        let number = controlling.cast_unsigned();
        let controlling = makedev(u64::from(number >> 8 & 0xfff), u64::from(number & 0xff | number >> 12 & 0xf_ff00));
        if !self.whole || named == 0 || (named != outer && named != controlling) {
            return None;
        }
        nix::unistd::ttyname(self.command.as_ref()?).ok()
    }

    /// Closes the command's side. The master reports a hang-up once no other process has that side
    /// open.
    pub fn command_ended(&mut self) {
        self.command = None;
    }

    /// Copies the size of the outer terminal; true if the size changed. In a whole one the kernel
    /// notifies the command.
    pub fn follow_size(&self) -> bool {
        let (Ok(outer), Ok(own)) = (tcgetwinsize(&self.outer), tcgetwinsize(&self.master)) else { return false };
        let same = (outer.ws_col, outer.ws_row, outer.ws_xpixel, outer.ws_ypixel)
            == (own.ws_col, own.ws_row, own.ws_xpixel, own.ws_ypixel);
        !same && tcsetwinsize(&self.master, outer).is_ok()
    }

    fn has_foreground(&self) -> bool {
        tcgetpgrp(&self.outer) == Ok(getpgrp())
    }

    /// Whether keys currently belong to the command.
    fn wants_keys(&self) -> bool {
        let settings = self.command.as_ref().and_then(|fd| tcgetattr(fd).ok());
        self.eager || settings.is_some_and(|settings| settings.local_flags & KEY_FLAGS != self.first)
    }

    /// Takes the keyboard, if it belongs to the command and this process is in the foreground. The
    /// caller must release it with [`Pty::release_keyboard`].
    pub fn take_keyboard(&mut self) {
        if !self.whole || self.saved.is_some() || !self.wants_keys() || !self.has_foreground() {
            return;
        }
        let Ok(settings) = tcgetattr(&self.outer) else { return };
        let mut raw = settings.clone();
        cfmakeraw(&mut raw);
        // UTF-8 mode of the outer terminal's line discipline must not change.
        raw.input_flags |= settings.input_flags & InputFlags::IUTF8;
        if tcsetattr(&self.outer, SetArg::TCSADRAIN, &raw).is_ok() {
            self.saved = Some(settings);
        }
    }

    /// Releases the keyboard and restores the outer terminal's settings.
    pub fn release_keyboard(&mut self) {
        if let Some(settings) = self.saved.take() {
            let _ = tcsetattr(&self.outer, SetArg::TCSADRAIN, &settings);
        }
    }

    /// Returns the descriptor to poll for keys.
    pub fn keyboard(&self) -> Option<BorrowedFd<'_>> {
        let is_relayed = self.eager || self.saved.is_some();
        let open = self.whole && is_relayed && !self.hung_up && self.pending.is_empty();
        open.then(|| self.outer.as_fd())
    }

    /// Returns the descriptor to poll until the command has room for more keys.
    pub fn room(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.master.as_fd())
    }

    /// Relays keys to the command. Returns false if this process is in the background and the keys
    /// may be for another one. A key that means a signal also signals the rest of this process
    /// group (the script that started this program).
    pub fn relay(&mut self, ready: bool) -> bool {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.pass(&pending);
        }
        if self.whole && !self.eager {
            match self.wants_keys() {
                true => self.take_keyboard(),
                false => self.release_keyboard(),
            }
        }
        if !self.whole || self.hung_up || !self.pending.is_empty() || !ready {
            return true;
        }
        if !self.has_foreground() {
            return false;
        }
        self.take_keyboard();
        let mut keys = [0; KEYS];
        match read(&self.outer, &mut keys) {
            Ok(0) => self.hung_up = true,
            Ok(len) => {
                self.signal_group(&keys[..len]);
                self.pass(&keys[..len]);
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(_) => self.hung_up = true,
        }
        true
    }

    fn pass(&mut self, mut keys: &[u8]) {
        while !keys.is_empty() {
            match write(&self.master, keys) {
                Ok(written) => keys = &keys[written..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.pending = keys.to_vec();
                    return;
                }
                // The command is gone and needs no more keys.
                Err(_) => return,
            }
        }
    }

    fn signal_group(&self, keys: &[u8]) {
        if getpid() == getpgrp() {
            return;
        }
        let Some(settings) = self.command.as_ref().and_then(|fd| tcgetattr(fd).ok()) else { return };
        if !settings.local_flags.contains(LocalFlags::ISIG) {
            return;
        }
        let means =
            [(SpecialCharacterIndices::VINTR, NixSignal::SIGINT), (SpecialCharacterIndices::VQUIT, NixSignal::SIGQUIT)];
        for (index, signal) in means {
            let key = settings.control_chars[index as usize];
            if key != 0 && keys.contains(&key) {
                let _ = kill(Pid::from_raw(0), signal);
            }
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.release_keyboard();
    }
}

/// Makes a terminal the controlling terminal of this session leader.
///
/// # Errors
/// When it is not a terminal.
pub fn adopt(fd: BorrowedFd<'_>) -> io::Result<()> {
    // The first terminal that the leader of a session opens becomes its controlling terminal.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().read(true).write(true).open(path).map(drop)
}
