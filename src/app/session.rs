//! The leader of a command's session on a terminal of our own: a small process between `launch` and its command.
//!
//! Job control needs it. A command that leads its session cannot be stopped by Ctrl-Z, and one whose parent is in
//! another session neither; so this process leads the session, starts the command as a job of it, and does what a shell
//! would: gives it the foreground, notices that it was stopped (and stops itself, which the launcher sees), and goes on
//! with it.
//!
//! It never reaps the command. When that has ended it says so, waits until the launcher has read all output (the
//! session's end would throw away what is left of it), and ends; then the command is the launcher's own child, which
//! learns from the kernel how it ended.
//!
//! # If we die here
//! The command becomes the launcher's child at once, and goes on without job control.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
};

use super::activation;
use crate::{
    io::{
        child::{self, CannotRun, Peeked},
        inbox, process, pty,
        terminal::Terminal,
    },
    model::task::Signal,
};

/// The name by which the program knows that it is to be this.
pub const LEADER: &str = "launch-session";

/// The leader, as the launcher has it.
#[derive(Debug)]
pub struct Session {
    /// Its pid.
    pub leader: i32,
    report: File,
    leash: Option<File>,
    ended: bool,
}

/// What came of starting a command in a session of its own.
pub type Started = Result<(Session, i32), CannotRun>;

impl Session {
    /// Starts a command in a session of its own on the terminal that is its descriptor 1; `put` as for [`child::spawn`],
    /// `inherited` the descriptors that it has besides. Gives the command's pid.
    ///
    /// # Errors
    /// When the leader cannot be started; what the command says is [`Started`].
    pub fn start(
        argv: &[OsString],
        env: &[std::ffi::CString],
        put: &[(std::os::fd::BorrowedFd<'_>, i32)],
        inherited: &[i32],
        ignored: u64,
    ) -> io::Result<Started> {
        let (report, reports) = io::pipe()?;
        let (held, leash) = io::pipe()?;
        let (reports, held) = (OwnedFd::from(reports), OwnedFd::from(held));
        // Where it reports, and whose end lets it go: beyond all that the command has.
        let own = [(reports.as_fd(), 0), (held.as_fd(), 0)];
        let first = child::number_above(inherited, &[put, &own].concat());
        let mut put = put.to_vec();
        put.extend([(reports.as_fd(), first), (held.as_fd(), first + 1)]);
        let mut args = vec![OsString::from(LEADER), first.to_string().into(), (first + 1).to_string().into()];
        args.extend_from_slice(argv);
        let leader = child::spawn_self(&args, env, &put, &[], ignored)?;
        drop((reports, held));
        let mut report = File::from(OwnedFd::from(report));
        let mut said = [0; 5];
        // The pid, or why there is none. It comes at once.
        report.read_exact(&mut said)?;
        let [kind, number @ ..] = said;
        let number = i32::from_le_bytes(number);
        if kind == b'E' {
            return Ok(Err(CannotRun::from_number(number)));
        }
        let leash = Some(File::from(OwnedFd::from(leash)));
        Ok(Ok((Session { leader, report, leash, ended: false }, number)))
    }

    /// What to wait for until the command has ended.
    pub fn report(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        (!self.ended).then(|| self.report.as_fd())
    }

    /// Whether the command has ended; asked when there is a report.
    pub fn has_ended(&mut self) -> bool {
        if !self.ended && child::poll_one(self.report.as_fd(), Some(std::time::Duration::ZERO)).unwrap_or(true) {
            // A byte, or the leader's own end.
            self.ended = true;
        }
        self.ended
    }

    /// Lets the leader end.
    pub fn let_go(&mut self) {
        self.leash = None;
    }

    /// Lets the command go on that was stopped.
    pub fn resume(&self) {
        let _ = child::signal(self.leader, Signal::CONT);
    }
}

/// The program that leads a session: see the head of this file. Gives the exit code.
pub fn lead() -> i32 {
    child::set_name(c"launch-session");
    let ignored = process::stat(child::own_pid()).map_or(0, |me| me.ignored);
    child::block_all_signals();
    let mut args = std::env::args_os().skip(1);
    let mut number = || args.next().and_then(|arg| arg.to_str()?.parse::<i32>().ok());
    let (Some(report), Some(leash)) = (number(), number()) else { return 1 };
    let argv: Vec<OsString> = args.collect();
    let reopened = |fd: i32, write: bool| {
        let file = OpenOptions::new().read(!write).write(write).open(format!("/proc/self/fd/{fd}"));
        child::close(fd);
        file
    };
    let inherited = child::inherited_descriptors();
    let inherited: Vec<i32> = inherited.into_iter().filter(|fd| ![report, leash].contains(fd)).collect();
    let (Ok(mut report), Ok(mut leash)) = (reopened(report, true), reopened(leash, false)) else { return 1 };
    child::new_session();
    let mut tell = |kind: u8, number: i32| {
        let [a, b, c, d] = number.to_le_bytes();
        // Nobody listens: the launcher is gone, and the terminal with it.
        let _ = report.write_all(&[kind, a, b, c, d]);
    };
    // Without it there is no job control; the command runs all the same.
    let _ = pty::adopt(io::stdout().as_fd());
    let env = child::environment(&[], &[]);
    let command = match activation::spawn(&argv, &env, &[], &inherited, ignored) {
        Ok(command) => command,
        Err(error) => {
            tell(b'E', error.number);
            return 1;
        }
    };
    tell(b'P', command);
    child::close_inherited(&inherited);
    let mut terminal = Terminal::controlling();
    // The terminal ends when nobody has it open; that is not to wait for us.
    child::release_all_streams();
    let mut give = || {
        if let Some(terminal) = &mut terminal {
            terminal.lend(command);
        }
        let _ = child::signal_group(command, Signal::CONT);
    };
    give();
    // Typed when the command ran already and did not have the terminal yet.
    for signal in inbox::take_keys() {
        let _ = child::signal_group(command, signal);
    }
    loop {
        match child::peek(command) {
            Peeked::Ended => break,
            Peeked::Stopped(Signal::TTIN | Signal::TTOU) => give(),
            Peeked::Stopped(_) => {
                child::stop_self();
                give();
            }
        }
    }
    // The end of a session hangs up on its foreground: children that the command left there are to live.
    if let Some(terminal) = terminal.as_mut() {
        terminal.take_over();
    }
    drop(terminal);
    tell(b'X', 0);
    let _ = leash.read(&mut [0]);
    0
}
