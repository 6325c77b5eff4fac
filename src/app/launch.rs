//! One task, from its claim to its row in the history.
//!
//! # If the launcher dies here
//! Before the claim: nothing remains, or a reservation that expires. Between the claim and the recorded end: a row
//! whose launcher is dead remains, which the next reader settles, from the spool if the end was already written there.
//! After the recorded end: at most a stray feedback file remains.

mod claim;
mod end;
mod jobs;

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::{
    claim::{check, claim, make_ready},
    end::record_failure,
    jobs::Pause,
};
use super::{
    activation, db,
    engine::{self, CLOSE_AFTER, ClaimedTask, Engine, EngineState, NotifyEvent, Record, TRY_AGAIN},
    output::TaskOutput,
    reexec::{self, Handed},
    session::Session,
    spec::{Spec, TIMEOUT},
};
use crate::{
    io::{
        child::{self, CannotRun, Reaped, Usage},
        feedfile,
        inbox::{Inbox, Notice},
        parcel::{Arrived, Parcel},
        process,
        pty::Pty,
        store::{Claimed, Command, LockTimeout, StoreFailure},
        streams::{Ends, Substitute},
        sys,
        terminal::Terminal,
    },
    model::{
        task::{Ended, Exit, Process, Signal},
        watch::{Event, Limits},
    },
};

/// A command that lives shorter than this is not recorded with its pid before its end.
const SHORTEST_NOTED: Duration = Duration::from_millis(1);
/// Variables that name the terminal for programs that ask for a secret there, regardless of their streams.
const TERMINAL_NAMES: [&str; 3] = ["GPG_TTY", "TTY", "SSH_TTY"];
/// Pause before keys are read again after keys that belonged to another process group.
const KEYS_AGAIN: Duration = Duration::from_secs(1);
/// The lock is waited for in steps of this length, between which signals are handled.
const CLAIM_STEP: Duration = Duration::from_millis(250);

/// Why `launch` itself failed. The command was not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No command was given.
    #[error("no command to run")]
    NoCommand,
    /// The command line names a feedback file before the task id is known.
    #[error(
        "--feedback in the command needs --taskid: reserve a task first, or give --feedpath alone and let the command write to $TASKWATCHER_FEEDBACK"
    )]
    FeedbackWithoutId,
    /// The folder of the feedback file cannot be used.
    #[error("cannot use feedback folder {0:?}: {1}")]
    Feedpath(PathBuf, String),
    /// A leftover feedback file cannot be removed.
    #[error(transparent)]
    Leftover(#[from] feedfile::FeedError),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::DbError),
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// No space in the spool for the end of the task.
    #[error("cannot reserve disk space for the end of the task beside {0:?}: {1}")]
    Spool(PathBuf, std::io::Error),
    /// A system call failed.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
    /// The caller no longer waits for the start.
    #[error("the start was interrupted")]
    Unwanted,
    /// The machine is out of resources for another process.
    #[error("cannot start the command: {0}: out of processes, memory or descriptors")]
    Shortage(String),
    /// Waiting for another task with the same name failed.
    #[error(transparent)]
    Wait(#[from] super::wait::WaitError),
}

/// Receives the messages of a launch.
pub trait Reporter {
    /// Prints a warning of one line.
    fn warn(&mut self, line: &str);
    /// Prints an error of one line about lost output. It is also printed with `--quiet`.
    fn fail(&mut self, line: &str) {
        self.warn(line);
    }
    /// Whether the caller still waits for the start; checked right before the command is started.
    fn waits(&mut self) -> bool {
        true
    }
    /// Called when the command runs, as the task with this id.
    fn running(&mut self, id: i64);
    /// Returns the lock timeout of the database, and how a wait is reported.
    fn patience(&self) -> LockTimeout;
    /// Prints where to find more about a failed task, on a terminal only.
    fn hint(&mut self, line: &str) {
        let _ = line;
    }
    /// Whether warnings are suppressed (`--quiet`).
    fn is_quiet(&self) -> bool;
    /// Whether this process may re-execute its own program to use less memory (see [`super::reexec`]). Only a program
    /// that begins with [`super::reexec::take`] may return true.
    fn allows_reexec(&self) -> bool {
        false
    }
}

/// How `launch` itself should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Exit with this code.
    Code(i32),
    /// Die of SIGINT, like the command that was interrupted together with `launch`: bash ends a script or loop only
    /// then. The exit code that a shell sees is that of [`Finish::code`].
    Interrupted,
}

impl Finish {
    /// Returns the exit code.
    pub fn code(self) -> i32 {
        match self {
            Finish::Code(code) => code,
            Finish::Interrupted => 128 + Signal::INT.0,
        }
    }
}

/// Runs a command as a task. Returns how `launch` should end.
///
/// Takes control of the whole process: blocks and reads signals, and adopts orphans. `inherited` are descriptors that
/// the process was started with (see [`child::inherited_descriptors`]): the command gets them, and they are closed
/// here.
///
/// # Errors
/// [`LaunchError`] if the command was not run. A command that cannot be executed is not an error but a recorded end.
pub fn launch(spec: &Spec, inherited: &[i32], reporter: &mut dyn Reporter) -> Result<Finish, LaunchError> {
    check(spec, reporter)?;
    let me = process::own().map_err(|error| LaunchError::System("read /proc/self/stat", error))?;
    let inbox = Inbox::open(me.ignored).map_err(|error| LaunchError::System("read signals", error))?;
    child::become_subreaper().map_err(|error| LaunchError::System("adopt orphans", error))?;
    let foreign = if child::has_children() { process::descendants(me.process.pid, &[]) } else { Ok(vec![]) };
    let foreign = known(&foreign.map_err(|error| LaunchError::System("list the child processes", error))?);

    sys::crash_point("claim.before");
    let Some((store, claimed, spool)) = claim(spec, me.process, &inbox, reporter)? else {
        return Ok(Finish::Code(0));
    };
    sys::crash_point("claim.after");
    let spool = match make_ready(spec, &claimed, spool) {
        Ok(spool) => spool,
        Err(failure) => {
            record_failure(store, &claimed, &failure);
            return Err(failure);
        }
    };
    let terminal = if me.tty == 0 { None } else { Terminal::controlling() };
    let lend = terminal.as_ref().is_some_and(Terminal::is_alone_in_foreground);
    let claimed = Arc::new(claimed);
    let task = ClaimedTask { claimed: Arc::clone(&claimed), spool: Some(spool) };
    let mut record = Record::new(spec.db.clone());
    (record.task, record.store) = (Some(task), Some(store));
    let limits = Limits {
        timeout: spec.timeout.or(claimed.feedpath.is_some().then_some(TIMEOUT)),
        max_runtime: spec.max_runtime,
        stop_signal: spec.stop_signal,
        kill_after: spec.kill_after,
    };
    let launcher = Launcher {
        spec: spec.clone(),
        claimed,
        engine: Engine::new(me.process, me.ignored, inbox, foreign, record, limits),
        terminal,
        command: 0,
        exit: None,
        gone: false,
        pty: None,
        session: None,
        keys_at: Duration::ZERO,
        pause: Pause::None,
        usage_before: child::usage(),
    };
    launcher.run(inherited, lend, reporter)
}

/// Continues the task of a launcher after its re-execution (see [`super::reexec`]), with its descriptors in `arrived`.
/// Returns how `launch` should end. There is no error, because the command already runs: what is missing is done
/// without.
pub fn resume(state: LauncherState, arrived: Arrived, reporter: &mut dyn Reporter) -> Finish {
    child::set_name(c"launch");
    restored(state, arrived).follow(reporter)
}

/// Returns the launcher before its re-execution. In a frame of its own: what it needs of the stack is free while the
/// launcher waits.
#[inline(never)]
fn restored(state: LauncherState, mut arrived: Arrived) -> Box<Launcher> {
    let terminal = state.terminal.and_then(|number| arrived.take(number).ok());
    let terminal = terminal.map(|tty| Terminal::take_over_from(tty, state.lent.then_some(state.command)));
    let claimed = Arc::new(*state.claimed);
    let engine = Engine::take_over(*state.engine, Some(Arc::clone(&claimed)), &mut arrived);
    let spec = Spec {
        fail_on_warnings: state.fail_on_warnings,
        keep_feedback: state.keep_feedback,
        ..Spec::new(engine.record.db.clone(), vec![])
    };
    Box::new(Launcher {
        spec,
        claimed,
        engine,
        terminal,
        command: state.command,
        exit: None,
        gone: false,
        pty: None,
        session: None,
        keys_at: Duration::ZERO,
        pause: Pause::None,
        usage_before: state.usage_before,
    })
}

/// The state of a launcher for its re-execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct LauncherState {
    engine: Box<EngineState>,
    claimed: Box<Claimed>,
    fail_on_warnings: bool,
    keep_feedback: bool,
    /// Whether warnings are suppressed.
    pub quiet: bool,
    lent: bool,
    terminal: Option<usize>,
    command: i32,
    usage_before: Option<Usage>,
}

impl Handed for LauncherState {
    const VARIABLE: &'static str = "TASKWATCHER_LAUNCHER";

    fn process(&self) -> Process {
        self.engine.me
    }
}

fn known(stats: &[process::Stat]) -> Vec<Process> {
    stats.iter().map(|stat| stat.process).collect()
}

/// The state of a running launcher.
struct Launcher {
    spec: Spec,
    claimed: Arc<Claimed>,
    engine: Box<Engine>,
    terminal: Option<Terminal>,
    /// The command's pid.
    command: i32,
    /// How the command ended, once it has.
    exit: Option<Exit>,
    /// Whether no process of the tree is left.
    gone: bool,
    /// The pseudo-terminal of the command.
    pty: Option<Pty>,
    /// The leader of the command's session on `pty`.
    session: Option<Session>,
    /// When to read keys again, on the monotonic clock, after keys that belonged to another process group.
    keys_at: Duration,
    /// The state of a SIGTSTP to this process.
    pause: Pause,
    /// Resource usage of other children of this process before the task began.
    usage_before: Option<Usage>,
}

impl Launcher {
    fn run(mut self, inherited: &[i32], lend: bool, reporter: &mut dyn Reporter) -> Result<Finish, LaunchError> {
        let ends = self.open_output()?;
        let env = self.environment();
        if !reporter.waits() {
            return Err(self.give_up(LaunchError::Unwanted));
        }
        let started = self.start(&env, ends.as_ref(), inherited)?;
        match started {
            Ok(pid) => (self.command, self.engine.group) = (pid, Some(pid)),
            Err(error) if error.is_shortage() => {
                return Err(self.give_up(LaunchError::Shortage(error.reason)));
            }
            Err(error) => return Ok(Finish::Code(self.not_run(&error, reporter))),
        }
        self.engine.begin();
        drop((env, ends));
        child::close_inherited(inherited);
        sys::crash_point("spawn.after");
        child::release_streams(!self.spec.chronic);
        self.begin_log();
        if let Some(pty) = &mut self.pty {
            pty.take_keyboard();
        }
        if lend && self.session.is_none() {
            self.lend_terminal();
        }
        // A request that was written before its signal was blocked has no pending signal.
        self.handle_request();
        // For a command that ends at once, this saves a write that no reader could have seen.
        let _ = self.engine.inbox.wait(Some(SHORTEST_NOTED));
        self.handle_signals();
        if self.exit.is_none() {
            self.note_command();
            self.engine.note_address();
        }
        sys::crash_point("started.after");
        reporter.running(self.claimed.id);
        Ok(Box::new(self).follow(reporter))
    }

    /// Creates the pipes or the pseudo-terminal for the command's output and returns the command's ends. `None` if the
    /// command writes directly to the output of `launch`.
    fn open_output(&mut self) -> Result<Option<Ends>, LaunchError> {
        if !self.spec.log && !self.spec.chronic {
            return Ok(None);
        }
        self.pty = if self.spec.chronic { None } else { Pty::open() };
        let substitute = self.pty.as_ref().and_then(|pty| Some((pty.master(), pty.command()?)));
        let substitute = substitute.map(|(master, command)| Substitute { master, command });
        // Beside the database there is as much space as for the log, which contains the same text.
        let beside = self.spec.db.parent().map(Path::to_owned);
        let hold: Vec<PathBuf> =
            std::iter::once(std::env::temp_dir()).chain(beside).filter(|_| self.spec.chronic).collect();
        match TaskOutput::open(substitute.as_ref(), &hold) {
            Ok((output, ends)) => {
                self.engine.output = Some(output);
                Ok(Some(ends))
            }
            Err(error) => Err(self.give_up(LaunchError::System("create the pipes for the command's output", error))),
        }
    }

    /// Starts the command, in its own session if it has a pseudo-terminal. Returns its pid.
    fn start(
        &mut self,
        env: &[std::ffi::CString],
        ends: Option<&Ends>,
        inherited: &[i32],
    ) -> Result<Result<i32, CannotRun>, LaunchError> {
        let mut put = Vec::new();
        if let Some(ends) = ends {
            put.extend([(ends.out.as_fd(), 1), (ends.err.as_fd(), 2)]);
        }
        let Some(pty) = self.pty.as_ref().filter(|pty| pty.is_whole()) else {
            return Ok(activation::spawn(&self.spec.argv, env, &put, inherited, self.engine.ignored));
        };
        put.extend(pty.command().filter(|_| pty.is_input()).map(|fd| (fd, 0)));
        match Session::start(&self.spec.argv, env, &put, inherited, self.engine.ignored) {
            Ok(Ok((session, command))) => {
                self.session = Some(session);
                Ok(Ok(command))
            }
            Ok(Err(error)) => Ok(Err(error)),
            Err(error) => Err(self.give_up(LaunchError::System("start a session on a terminal", error))),
        }
    }

    /// Watches the command until its end and records the end. Returns how `launch` should end. Once the command was
    /// started, the launcher does not fail: what does not work is tried again, or done without.
    fn follow(mut self: Box<Self>, reporter: &mut dyn Reporter) -> Finish {
        let ended = self.watch(reporter);
        // If only the command is in the foreground, the terminal does not interrupt `launch`.
        let interrupted = self.engine.inbox.was_interrupted() || self.terminal.as_ref().is_some_and(Terminal::is_lent);
        sys::crash_point("exit.after");
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        if let Some(pty) = &mut self.pty {
            pty.release_keyboard();
        }
        let code = self.finish(&ended, reporter);
        match interrupted && ended.signal() == Some(Signal::INT) && code == Finish::Interrupted.code() {
            true => Finish::Interrupted,
            false => Finish::Code(code),
        }
    }

    /// Re-executes the program to use less memory, if nothing else is in progress. If that is not possible, returns and
    /// continues unchanged.
    fn re_execute(&mut self, reporter: &dyn Reporter) {
        // A pseudo-terminal cannot be handed over, which does not matter: tasks on terminals are few.
        let busy = self.exit.is_some() || self.engine.watch.is_ending() || self.pause != Pause::None;
        if busy || self.pty.is_some() || !reporter.allows_reexec() {
            return;
        }
        let spool = self.engine.spool_file();
        let mut parcel = Parcel::default();
        let Some(engine) = self.engine.hand_over(spool.as_ref(), &mut parcel) else { return };
        let state = LauncherState {
            engine: Box::new(engine),
            claimed: Box::new(Claimed::clone(&self.claimed)),
            fail_on_warnings: self.spec.fail_on_warnings,
            keep_feedback: self.spec.keep_feedback,
            quiet: reporter.is_quiet(),
            lent: self.terminal.as_ref().is_some_and(Terminal::is_lent),
            terminal: self.terminal.as_ref().map(|terminal| parcel.add(terminal.descriptor())),
            command: self.command,
            usage_before: self.usage_before,
        };
        sys::crash_point("slim.before");
        reexec::go(&state, &parcel);
    }

    /// Records the command's process in its row. Returns false if the database was too busy. Until then, the command
    /// can still be found by its UPID.
    fn note_command(&mut self) -> bool {
        let stat = match process::read_stat(self.command) {
            // A `/proc` that hides the command will not show it later either.
            Err(error) => return error.kind() == std::io::ErrorKind::PermissionDenied,
            Ok(stat) => stat,
        };
        let Some(stat) = stat else { return true };
        let inode = process::inode(self.command);
        let command = Command { process: stat.process, inode, session: Some(stat.session) };
        self.engine.record.note_command(&command)
    }

    fn environment(&self) -> Vec<std::ffi::CString> {
        let mut set = self.engine.variables(&self.claimed.handle);
        // A task inside a task must not write to the feedback file of the outer task. If WATCHDOG_PID is set, it is the
        // pid of this process; the command is another one.
        let without = ["TASKWATCHER_FEEDBACK", "WATCHDOG_PID"];
        let without = &without[..if self.engine.notify.is_some() { 2 } else { 1 }];
        if let Some(pty) = &self.pty {
            let controlling = process::own().map_or(0, |me| me.tty);
            for name in TERMINAL_NAMES {
                let inner = std::env::var_os(name).and_then(|named| pty.name_for(&named, controlling));
                set.extend(inner.map(|inner| (name, inner.into())));
            }
        }
        child::environment(&set, without)
    }

    fn begin_log(&mut self) {
        self.engine.begin_log(self.spec.log_max, self.pty.as_ref().is_some_and(Pty::is_whole));
    }

    /// Watches the command until its end.
    fn watch(&mut self, reporter: &mut dyn Reporter) -> Ended {
        loop {
            if let Some(why) = self.engine.refusal.take() {
                reporter.warn(&format!("cannot end task {}: {why}", self.claimed.id));
            }
            let now = sys::now();
            if let Some(exit) = self.exit
                && (self.gone || !self.engine.watch.is_ending())
                && self.engine.has_all_output(now)
                && let Some(ended) = self.engine.act(Event::Exited(exit), now)
            {
                return ended;
            }
            self.let_session_end(now);
            let due = self.engine.watch.deadline().filter(|_| !self.is_paused());
            let wake = due.into_iter().chain(self.engine.wake(now)).chain(self.keys_wait(now)).min();
            let keyboard = self.pty.as_ref().filter(|_| now.mono >= self.keys_at).and_then(Pty::keyboard);
            let report = self.session.as_ref().and_then(Session::report);
            let room = self.pty.as_ref().and_then(Pty::room);
            self.engine.wait(now, wake, keyboard.into_iter().chain(report), room.into_iter());
            self.handle_signals();
            if self.engine.retry_delivery() {
                self.reap();
            }
            self.handle_messages();
            self.relay_keys();
            if let Some(output) = &mut self.engine.output {
                output.pump();
            }
            self.close_database(reporter);
            if !self.is_paused() {
                self.engine.tick();
            }
        }
    }

    /// Closes the database and uses less memory, once the command has run for a while.
    fn close_database(&mut self, reporter: &dyn Reporter) {
        let record = &self.engine.record;
        if record.store.is_none() || sys::now().mono < record.close_at {
            return;
        }
        if record.noted || self.note_command() {
            self.engine.record.store = None;
            self.re_execute(reporter);
        } else {
            self.engine.record.close_at = sys::now().mono + CLOSE_AFTER;
        }
    }

    /// Handles all signals that have arrived.
    fn handle_signals(&mut self) {
        loop {
            let notice = match self.engine.inbox.next() {
                Ok(Some(notice)) => notice,
                Ok(None) => return,
                Err(_) => {
                    // A child that has ended is also found without its signal.
                    sys::pause(TRY_AGAIN);
                    return self.reap();
                }
            };
            match notice {
                Notice::Child => self.reap(),
                Notice::Stop { signal, sender } => self.end_as_asked(engine::stop_asked(signal, sender)),
                Notice::Pass(Signal::WINCH) if self.pty.is_some() => self.follow_size(),
                Notice::Pass(signal) => self.engine.signal_group(signal),
                Notice::Suspend => self.pass_suspend(),
                Notice::Continue => self.pass_continue(),
                Notice::Request => self.handle_request(),
            }
        }
    }

    /// Handles the messages on the notify socket.
    fn handle_messages(&mut self) {
        while let Some(heard) = self.engine.hear() {
            match heard {
                NotifyEvent::Beat(at) => drop(self.engine.act(Event::Beat, at)),
                NotifyEvent::Request => self.handle_request(),
                NotifyEvent::Report => {}
            }
        }
    }

    /// Handles a request that `control kill` wrote to the spool; each request once.
    fn handle_request(&mut self) {
        if let Some(asked) = self.engine.requested() {
            self.end_as_asked(asked);
        }
    }

    fn end_as_asked(&mut self, asked: Event) {
        self.end_pause();
        self.engine.act(asked, sys::now());
    }

    fn reap(&mut self) {
        // If this fails, it is tried again with the next signal.
        while let Ok(reaped) = child::reap() {
            match reaped {
                Reaped::Ended(pid, exit) if pid == self.command => {
                    (self.exit, self.engine.group) = (Some(exit), None);
                    self.end_pause();
                    self.command_ended();
                }
                Reaped::Stopped(pid, _) if self.session.as_ref().is_some_and(|session| session.leader == pid) => {
                    self.session_stopped();
                }
                Reaped::Stopped(pid, signal) if pid == self.command => self.stopped(signal),
                Reaped::Continued(pid) if pid == self.command => {
                    self.end_pause();
                    self.engine.publish_paused(false);
                }
                Reaped::Ended(..) | Reaped::Stopped(..) | Reaped::Continued(_) => {}
                Reaped::NoChildren => {
                    self.gone = true;
                    return;
                }
                Reaped::Nothing => break,
            }
        }
        if self.engine.watch.is_ending() && self.exit.is_some() {
            // Each end may reveal children that were created meanwhile, and orphans that this process adopted.
            match self.engine.descendants() {
                Ok(left) => self.gone = left.is_empty(),
                Err(_) => self.engine.look_again(),
            }
        }
        if self.engine.watch.is_killing() && !self.gone {
            self.engine.signal_tree(Signal::KILL);
        }
    }
}
