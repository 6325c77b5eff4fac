//! A terminal with a session of its own in it, at which a test sits.

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

/// What a terminal is.
pub struct Kind {
    /// What it calls itself.
    pub term: &'static str,
    /// The prompt of a shell at it.
    pub prompt: &'static str,
    /// Its size, if it has one.
    pub size: Option<Winsize>,
    /// Whether carriage returns are kept of what it shows.
    pub returns: bool,
}

/// It. Each test file says how it is started, in methods of its own.
pub struct Terminal<'w> {
    pub world: &'w World,
    pub keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    pub session: Child,
}

impl<'w> Terminal<'w> {
    /// Runs a program as the leader of a session on a new terminal.
    pub fn open(world: &'w World, kind: &Kind, program: &str, args: &[&str]) -> Terminal<'w> {
        let OpenptyResult { master, slave } = openpty(kind.size.as_ref(), None).unwrap();
        // The session must not hold its own terminal's other side.
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
        // Ends when the last one has closed the terminal, at the latest with the world.
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

    /// Waits until this has appeared after the last thing that was waited for, which is then forgotten; gives what came
    /// before it, and itself.
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

    /// The exit code of the program, once it has ended.
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
