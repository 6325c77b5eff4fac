//! A terminal of our own for the command, in place of the one we were started from, so that what it prints can be
//! logged although it sees a terminal.
//!
//! *Whole*: our output is the terminal. The command gets a session of its own on the new one; ours is set to raw, and
//! every key goes on to it, so that line editing, Ctrl-C and Ctrl-Z work there. Where our input is something else, many
//! commands may share the keyboard and few want it: then that is done only while the command has changed how its
//! terminal reads keys, as a pager does. *Screen only*: only our error output is the terminal. The command stays in our
//! session and has our terminal's keyboard; only what it prints goes through the new one.

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

/// What a program changes that wants single keys, or a secret.
const KEY_FLAGS: LocalFlags = LocalFlags::ICANON.union(LocalFlags::ECHO);
/// Keys that are read at once.
const KEYS: usize = 4096;

/// The terminal between ours and the command.
#[derive(Debug)]
pub struct Pty {
    ours: OwnedFd,
    /// Kept open until the command has ended: only then does its closing mean an end.
    command: Option<OwnedFd>,
    /// The terminal we were started from.
    outer: File,
    whole: bool,
    /// Whether our input is the terminal too, so that keys are the command's from the start.
    eager: bool,
    /// How the command's side read keys at first.
    first: LocalFlags,
    /// How the outer one was set, while we have it set to raw.
    saved: Option<Termios>,
    /// Keys that the command has no room for yet.
    pending: Vec<u8>,
    hung_up: bool,
}

impl Pty {
    /// Makes one where it is of use: where our output or error output is a terminal. None otherwise, or when the
    /// system has none to give.
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
            // The outer one makes CR LF of a line's end already.
            settings.output_flags.remove(OutputFlags::OPOST);
            settings.local_flags.remove(LocalFlags::ECHO);
        }
        let made = openpty(None, &settings).ok()?;
        for fd in [&made.master, &made.slave] {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
        }
        let pty = Pty {
            ours: made.master,
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

    /// Whether the command is to have a session on it.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether it is the command's input too.
    pub fn is_input(&self) -> bool {
        self.eager
    }

    /// Our side.
    pub fn ours(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// The command's side, until [`Pty::command_ended`].
    pub fn command(&self) -> Option<BorrowedFd<'_>> {
        self.command.as_ref().map(AsFd::as_fd)
    }

    /// Returns the name of the command's side in the place of a name of the outer terminal; none: `name` is of something
    /// else. A prompt that opened the outer one would share its keys with us. `controlling` is the number of this
    /// process's controlling terminal in `/proc/PID/stat`: `/dev/tty` has another device number than that.
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

    /// From now on it ends when nobody else has the command's side open.
    pub fn command_ended(&mut self) {
        self.command = None;
    }

    /// Gives it the size of the outer one; true if that changed it. The kernel tells a whole one's command.
    pub fn follow_size(&self) -> bool {
        let (Ok(outer), Ok(own)) = (tcgetwinsize(&self.outer), tcgetwinsize(&self.ours)) else { return false };
        let same = (outer.ws_col, outer.ws_row, outer.ws_xpixel, outer.ws_ypixel)
            == (own.ws_col, own.ws_row, own.ws_xpixel, own.ws_ypixel);
        !same && tcsetwinsize(&self.ours, outer).is_ok()
    }

    fn has_foreground(&self) -> bool {
        tcgetpgrp(&self.outer) == Ok(getpgrp())
    }

    /// Whether keys are the command's now.
    fn wants_keys(&self) -> bool {
        let settings = self.command.as_ref().and_then(|fd| tcgetattr(fd).ok());
        self.eager || settings.is_some_and(|settings| settings.local_flags & KEY_FLAGS != self.first)
    }

    /// Takes the keyboard, if it is the command's and we are in the foreground. Whoever took it must give it back with [`Pty::let_go`].
    pub fn take_keyboard(&mut self) {
        if !self.whole || self.saved.is_some() || !self.wants_keys() || !self.has_foreground() {
            return;
        }
        let Ok(settings) = tcgetattr(&self.outer) else { return };
        let mut raw = settings.clone();
        cfmakeraw(&mut raw);
        // What the outer one needs as it had it: its own line discipline of bytes.
        raw.input_flags |= settings.input_flags & InputFlags::IUTF8;
        if tcsetattr(&self.outer, SetArg::TCSADRAIN, &raw).is_ok() {
            self.saved = Some(settings);
        }
    }

    /// Gives the keyboard back, as it was set before.
    pub fn let_go(&mut self) {
        if let Some(settings) = self.saved.take() {
            let _ = tcsetattr(&self.outer, SetArg::TCSADRAIN, &settings);
        }
    }

    /// What to wait for until there are keys.
    pub fn keyboard(&self) -> Option<BorrowedFd<'_>> {
        let ours = self.eager || self.saved.is_some();
        let open = self.whole && ours && !self.hung_up && self.pending.is_empty();
        open.then(|| self.outer.as_fd())
    }

    /// What to wait for until the command has room for more keys.
    pub fn room(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.ours.as_fd())
    }

    /// Passes keys on. False if there may be some that are not for us: we are in the background. Those that mean a
    /// signal reach the rest of our own process group (the script that called us) too.
    pub fn relay(&mut self, ready: bool) -> bool {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.pass(&pending);
        }
        if self.whole && !self.eager {
            match self.wants_keys() {
                true => self.take_keyboard(),
                false => self.let_go(),
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
            match write(&self.ours, keys) {
                Ok(written) => keys = &keys[written..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.pending = keys.to_vec();
                    return;
                }
                // The command is gone; so is its interest in keys.
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
        self.let_go();
    }
}

/// The name by which the command's side can be opened, to become somebody's controlling terminal.
///
/// # Errors
/// When it is no terminal.
pub fn adopt(fd: BorrowedFd<'_>) -> io::Result<()> {
    // The first terminal that the leader of a session opens becomes its own.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    OpenOptions::new().read(true).write(true).open(path).map(drop)
}
