//! The leader of a command's session on a pseudo-terminal: a small process between `launch` and its command.
//!
//! Job control requires it. Ctrl-Z stops neither a command that leads its session nor one whose parent is in another
//! session. Therefore this process leads the session, starts the command as a job, and acts like a shell: it gives the
//! command the foreground, notices when the command is stopped (and stops itself, which the launcher sees), and
//! continues together with it.
//!
//! The leader never reaps the command. When the command has ended, the leader reports that, waits until the launcher
//! has read all output (the end of the session would discard the rest), and exits. The launcher then adopts the
//! command, and learns from the kernel how it ended.
//!
//! # If the leader dies here
//! The command becomes a child of the launcher immediately, and continues without job control.

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

/// The name (`argv[0]`) under which the program runs as a session leader.
pub const LEADER: &str = "launch-session";

/// The session leader, as seen by the launcher.
#[derive(Debug)]
pub struct Session {
    /// Its pid.
    pub leader: i32,
    report: File,
    leash: Option<File>,
    ended: bool,
}

/// The session and the pid of the command, or why the command could not be executed.
pub type Started = Result<(Session, i32), CannotRun>;

impl Session {
    /// Starts a command in its own session on the terminal at its descriptor 1. `put` is as for [`child::spawn`],
    /// `inherited` are further descriptors of the command. Returns the session and the command's pid.
    ///
    /// # Errors
    /// The leader cannot be started. A command that cannot be executed is reported in [`Started`].
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
        // The pipe for reports, and the pipe whose end releases the leader, get numbers above those of the command.
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
        // The pid of the command, or an error number. The leader writes it immediately.
        report.read_exact(&mut said)?;
        let [kind, number @ ..] = said;
        let number = i32::from_le_bytes(number);
        if kind == b'E' {
            return Ok(Err(CannotRun::from_number(number)));
        }
        let leash = Some(File::from(OwnedFd::from(leash)));
        Ok(Ok((Session { leader, report, leash, ended: false }, number)))
    }

    /// Returns the descriptor to poll for the end of the command.
    pub fn report(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        (!self.ended).then(|| self.report.as_fd())
    }

    /// Whether the command has ended.
    pub fn has_ended(&mut self) -> bool {
        if !self.ended && child::poll_one(self.report.as_fd(), Some(std::time::Duration::ZERO)).unwrap_or(true) {
            // A report, or the end of the leader.
            self.ended = true;
        }
        self.ended
    }

    /// Lets the leader end.
    pub fn let_go(&mut self) {
        self.leash = None;
    }

    /// Continues a stopped command.
    pub fn resume(&self) {
        let _ = child::signal(self.leader, Signal::CONT);
    }
}

/// Runs as a session leader, see the module documentation. Returns the exit code.
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
        // This fails only if the launcher is gone, and the terminal with it.
        let _ = report.write_all(&[kind, a, b, c, d]);
    };
    // If this fails, there is no job control, but the command still runs.
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
    // The pseudo-terminal ends when no process has it open, so this process closes it.
    child::release_all_streams();
    let mut give = || {
        if let Some(terminal) = &mut terminal {
            terminal.lend(command);
        }
        let _ = child::signal_group(command, Signal::CONT);
    };
    give();
    // Keys that were typed after the command started but before it had the terminal.
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
    // The end of a session sends SIGHUP to its foreground group. Children that the command left there must survive.
    if let Some(terminal) = terminal.as_mut() {
        terminal.take_over();
    }
    drop(terminal);
    tell(b'X', 0);
    let _ = leash.read(&mut [0]);
    0
}
