//! A pseudo-terminal with its own session, controlled by a test.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, Winsize, openpty},
};

use super::{World, eventually, until};

/// Properties of a terminal.
pub struct Kind {
    /// Value of `TERM`.
    pub term: &'static str,
    /// Prompt of the shell.
    pub prompt: &'static str,
    /// Size, if set.
    pub size: Option<Winsize>,
    /// Whether carriage returns are kept in the output.
    pub returns: bool,
}

/// A terminal. Each test file adds methods that start programs in it.
pub struct Terminal<'w> {
    pub world: &'w World,
    pub keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    pub session: Child,
}

impl<'w> Terminal<'w> {
    /// Runs a program as a session leader on a new terminal.
    pub fn open(world: &'w World, kind: &Kind, program: &str, args: &[&str]) -> Terminal<'w> {
        let OpenptyResult { master, slave } = openpty(kind.size.as_ref(), None).unwrap();
        // The session must not hold the master side of its own terminal.
        fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", program]).args(args);
        command.env_clear().envs(world.environment());
        command.env("TERM", kind.term).env("PS1", kind.prompt).env("HISTFILE", "");
        command.current_dir(world.work()).stdin(stdio(&slave)).stdout(stdio(&slave)).stderr(stdio(&slave));
        let session = command.spawn().unwrap();
        drop((command, slave));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut reader = File::from(master.try_clone().unwrap());
        let seen = Arc::clone(&screen);
        let returns = kind.returns;
        // Ends when the last process has closed the terminal, at the latest with the world.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                seen.lock().unwrap().extend(bytes[..len].iter().filter(|&&byte| returns || byte != b'\r'));
            }
        });
        Terminal { world, keyboard: File::from(master), screen, session }
    }

    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this text appears after the last text that was waited for. Returns the output in between, including
    /// the text, and discards it.
    #[track_caller]
    pub fn shows(&self, wanted: &str) -> String {
        let mut before = vec![];
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(wanted, || {
                let mut screen = self.screen.lock().unwrap();
                let Some(at) = memchr::memmem::find(&screen, wanted.as_bytes()) else { return false };
                before = screen.drain(..at + wanted.len()).collect();
                true
            });
        }));
        assert!(found.is_ok(), "{wanted:?} does not appear in {:?}; tasks: {:?}", self.text(), self.world.tasks());
        String::from_utf8_lossy(&before).into_owned()
    }

    /// Waits for the program and returns its exit code.
    pub fn wait(mut self) -> i32 {
        let status = eventually("the session's end", || self.session.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}
