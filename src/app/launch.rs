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
    ffi::OsString,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    claim::{check, claim, make_ready},
    end::record_failure,
    jobs::Pause,
};
use super::{
    activation, db,
    hearing::{Hearing, LauncherMessage},
    output::TaskOutput,
    reexec::{self, LauncherState},
    session::Session,
    spec::{Spec, TIMEOUT},
    tree::{self, Delivery},
};
use crate::{
    io::{
        child::{self, CannotRun, Reaped, Usage},
        feedfile::{self, Signature},
        inbox::{Inbox, Notice},
        notify::{self, Notify},
        parcel::{Arrived, Parcel},
        process,
        pty::Pty,
        spool::{Request, SelfReport, Spool},
        store::{Claimed, Command, LockTimeout, Store, StoreFailure},
        streams::{Ends, Substitute},
        sys,
        terminal::Terminal,
    },
    model::{
        task::{Asker, Ended, Exit, Process, Signal, Tick},
        watch::{Event, Limits, Watch, WatchAction, date_beat},
    },
};

/// Time after which the database is closed until the command ends, because a command that still runs is likely to run
/// for long. A shorter time would make short commands pay for opening the database twice.
const CLOSE_AFTER: Duration = Duration::from_millis(100);
/// A command that lives shorter than this is not recorded with its pid before its end.
const SHORTEST_NOTED: Duration = Duration::from_millis(1);
/// Variables that name the terminal for programs that ask for a secret there, regardless of their streams.
const TERMINAL_NAMES: [&str; 3] = ["GPG_TTY", "TTY", "SSH_TTY"];
/// Pause before keys are read again after keys that belonged to another process group.
const KEYS_AGAIN: Duration = Duration::from_secs(1);
/// Pause before a system call that failed temporarily, while the command runs, is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// The lock is waited for in steps of this length, between which signals are handled.
const CLAIM_STEP: Duration = Duration::from_millis(250);
/// Lock timeout for storing a status: the status is not important, and the watch must continue.
const STATUS_PATIENCE: LockTimeout = LockTimeout { limit: Duration::from_millis(50), notify: None };

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
    let now = sys::now();
    let launcher = Launcher {
        spec: spec.clone(),
        claimed,
        spool: Some(spool),
        store: Some(store),
        inbox,
        me: me.process,
        ignored: me.ignored,
        foreign,
        terminal,
        command: 0,
        exit: None,
        gone: false,
        beat: None,
        looked: now,
        local: true,
        handled_request: None,
        noted: false,
        close_at: Duration::MAX,
        started: now,
        output: None,
        pty: None,
        session: None,
        keys_at: Duration::ZERO,
        unseen: None,
        notify: None,
        story: SelfReport::default(),
        pause: Pause::None,
        pending_warning: None,
        usage_before: child::usage(),
    };
    launcher.run(inherited, lend, reporter)
}

/// Continues the task of a launcher after its re-execution (see [`super::reexec`]), with its descriptors in `arrived`.
/// Returns how `launch` should end. There is no error, because the command already runs: what is missing is done
/// without.
pub fn resume(state: Box<LauncherState>, mut arrived: Arrived, reporter: &mut dyn Reporter) -> Finish {
    child::set_name(c"launch");
    let inbox = reexec::take_inbox(&mut arrived, state.inbox, state.ignored);
    let spool = reexec::take_spool(&mut arrived, state.spool, &state.db, state.claimed.slot);
    let terminal = state.terminal.and_then(|number| arrived.take(number).ok());
    let terminal = terminal.map(|tty| Terminal::take_over_from(tty, state.lent.then_some(state.command)));
    let notify = state.notify.and_then(|number| arrived.take(number).ok()).map(Notify::take_over);
    let notify = notify.map(|notify| Hearing::new(notify, state.me.pid));
    let output = state.output.map(|output| TaskOutput::take_over(*output, &mut |number| arrived.take(number)));
    let spec = Spec {
        timeout: state.timeout,
        max_runtime: state.max_runtime,
        stop_signal: state.stop_signal,
        kill_after: state.kill_after,
        fail_on_warnings: state.fail_on_warnings,
        keep_feedback: state.keep_feedback,
        ..Spec::new(state.db, vec![])
    };
    let launcher = Box::new(Launcher {
        spec,
        claimed: *state.claimed,
        spool,
        store: None,
        inbox,
        me: state.me,
        ignored: state.ignored,
        foreign: state.foreign,
        terminal,
        command: state.command,
        exit: None,
        gone: false,
        beat: state.beat,
        looked: state.looked,
        local: state.local,
        handled_request: state.heeded,
        noted: true,
        close_at: Duration::MAX,
        started: state.started,
        output,
        pty: None,
        session: None,
        keys_at: Duration::ZERO,
        unseen: None,
        notify,
        story: *state.story,
        pause: Pause::None,
        pending_warning: None,
        usage_before: state.usage_before,
    });
    launcher.follow(*state.watch, reporter)
}

fn known(stats: &[process::Stat]) -> Vec<Process> {
    stats.iter().map(|stat| stat.process).collect()
}

/// The state of a running launcher.
struct Launcher {
    spec: Spec,
    claimed: Claimed,
    /// `None` if the spool could not be opened again after the re-execution.
    spool: Option<Spool>,
    /// The database, while it is likely to be used soon.
    store: Option<Store>,
    inbox: Inbox,
    me: Process,
    /// Signals that were ignored at the start, as a bit mask.
    ignored: u64,
    /// Children of this process before the task began. They do not belong to the task.
    foreign: Vec<Process>,
    terminal: Option<Terminal>,
    /// The command's pid.
    command: i32,
    /// How the command ended, once it has.
    exit: Option<Exit>,
    /// Whether no process of the tree is left.
    gone: bool,
    /// The last seen state of the feedback file.
    beat: Option<Signature>,
    /// When the feedback file was last checked.
    looked: Tick,
    /// Whether the times of the feedback file come from the clock of this machine.
    local: bool,
    /// The last request of `control` that was handled.
    handled_request: Option<Request>,
    /// Whether the command's process is recorded in the row.
    noted: bool,
    /// When to close the database, on the monotonic clock.
    close_at: Duration,
    /// When the command was started.
    started: Tick,
    /// The output of the command, unless the command writes directly to the output of `launch`.
    output: Option<TaskOutput>,
    /// The pseudo-terminal of the command.
    pty: Option<Pty>,
    /// The leader of the command's session on `pty`.
    session: Option<Session>,
    /// When to read keys again, on the monotonic clock, after keys that belonged to another process group.
    keys_at: Duration,
    /// A signal that still has to be sent to descendants that could not be listed, for lack of descriptors.
    unseen: Option<Delivery>,
    /// The notify socket of the command.
    notify: Option<Hearing>,
    /// What the command has reported so far.
    story: SelfReport,
    /// The state of a SIGTSTP to this process.
    pause: Pause,
    /// A warning that is not printed yet.
    pending_warning: Option<String>,
    /// Resource usage of other children of this process before the task began.
    usage_before: Option<Usage>,
}

impl Launcher {
    fn run(mut self, inherited: &[i32], lend: bool, reporter: &mut dyn Reporter) -> Result<Finish, LaunchError> {
        // Without a notify socket the command runs as it would outside of systemd.
        self.notify = Notify::open().ok().map(|notify| Hearing::new(notify, self.me.pid));
        let ends = self.open_output()?;
        let env = self.environment();
        if !reporter.waits() {
            return Err(self.give_up(LaunchError::Unwanted));
        }
        let started = self.start(&env, ends.as_ref(), inherited)?;
        match started {
            Ok(pid) => self.command = pid,
            Err(error) if error.is_shortage() => {
                return Err(self.give_up(LaunchError::Shortage(error.reason)));
            }
            Err(error) => return Ok(Finish::Code(self.not_run(&error, reporter))),
        }
        self.started = sys::now();
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
        self.looked = self.started;
        self.close_at = self.started.mono + CLOSE_AFTER;
        let mut watch = Watch::new(self.limits(), self.started);
        // A request that was written before its signal was blocked has no pending signal.
        self.handle_request(&mut watch);
        // For a command that ends at once, this saves a write that no reader could have seen.
        let _ = self.inbox.wait(Some(SHORTEST_NOTED));
        self.handle_signals(&mut watch);
        if self.exit.is_none() {
            self.note_command();
            // If this fails, only programs in the same pid namespace can send a request.
            if let (Some(spool), Some(notify)) = (&self.spool, &self.notify) {
                let _ = spool.note_address(self.claimed.slot, &self.claimed.upid, notify.address());
            }
        }
        sys::crash_point("started.after");
        reporter.running(self.claimed.id);
        if let Some(dir) = self.claimed.feedpath.as_deref().and_then(Path::parent) {
            self.local = !feedfile::is_network_fs(dir).unwrap_or(true);
        }
        Ok(Box::new(self).follow(watch, reporter))
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
                self.output = Some(output);
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
            return Ok(activation::spawn(&self.spec.argv, env, &put, inherited, self.ignored));
        };
        put.extend(pty.command().filter(|_| pty.is_input()).map(|fd| (fd, 0)));
        match Session::start(&self.spec.argv, env, &put, inherited, self.ignored) {
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
    fn follow(mut self: Box<Self>, watch: Watch, reporter: &mut dyn Reporter) -> Finish {
        let ended = self.watch(watch, reporter);
        // If only the command is in the foreground, the terminal does not interrupt `launch`.
        let interrupted = self.inbox.was_interrupted() || self.terminal.as_ref().is_some_and(Terminal::is_lent);
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
    fn re_execute(&mut self, watch: &Watch, reporter: &dyn Reporter) {
        // A pseudo-terminal cannot be handed over, which does not matter: tasks on terminals are few.
        let busy = self.exit.is_some() || watch.is_ending() || self.pause != Pause::None;
        if busy || self.pty.is_some() || !reporter.allows_reexec() {
            return;
        }
        let spool = self.spool.as_ref().and_then(|spool| spool.file_of(self.claimed.slot).ok());
        let mut parcel = Parcel::default();
        let inbox = parcel.add(self.inbox.descriptor());
        let spool = spool.as_ref().map(|file| parcel.add(file.as_fd()));
        let output = match &mut self.output {
            None => None,
            Some(output) => match output.hand_over(&mut |fd| parcel.add(fd)) {
                None => return,
                handed => handed,
            },
        };
        let state = LauncherState {
            me: self.me,
            inbox,
            spool,
            db: self.spec.db.clone(),
            timeout: self.spec.timeout,
            max_runtime: self.spec.max_runtime,
            stop_signal: self.spec.stop_signal,
            kill_after: self.spec.kill_after,
            fail_on_warnings: self.spec.fail_on_warnings,
            keep_feedback: self.spec.keep_feedback,
            quiet: reporter.is_quiet(),
            claimed: Box::new(self.claimed.clone()),
            ignored: self.ignored,
            foreign: self.foreign.clone(),
            lent: self.terminal.as_ref().is_some_and(Terminal::is_lent),
            terminal: self.terminal.as_ref().map(|terminal| parcel.add(terminal.descriptor())),
            command: self.command,
            started: self.started,
            watch: Box::new(watch.clone()),
            beat: self.beat,
            looked: self.looked,
            local: self.local,
            heeded: self.handled_request.clone(),
            output: output.map(Box::new),
            notify: self.notify.as_ref().map(|notify| parcel.add(notify.descriptor())),
            story: Box::new(self.story.clone()),
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
        let (Some(stat), Some(store)) = (stat, &mut self.store) else { return true };
        store.set_lock_timeout(STATUS_PATIENCE);
        let inode = process::inode(self.command);
        let command = Command { process: stat.process, inode, session: Some(stat.session) };
        self.noted = store.started(self.claimed.id, &command).is_ok();
        self.noted
    }

    fn environment(&self) -> Vec<std::ffi::CString> {
        let claimed = &self.claimed;
        let mut set = vec![
            ("TASKWATCHER_TASKID", OsString::from(claimed.id.to_string())),
            (process::UPID_VARIABLE, claimed.upid.clone().into()),
            ("TASKWATCHER_HANDLE", claimed.handle.clone().into()),
            ("TASKWATCHER_DB", self.spec.db.clone().into()),
        ];
        if let Some(path) = &claimed.feedpath {
            set.push(("TASKWATCHER_FEEDBACK", path.clone().into()));
        }
        // A task inside a task must not write to the feedback file of the outer task.
        let mut without = vec!["TASKWATCHER_FEEDBACK"];
        if let Some(notify) = &self.notify {
            set.push((notify::VARIABLE, notify.address().into()));
            // If it is set, it is the pid of this process; the command is another one.
            without.push("WATCHDOG_PID");
            if let Some(timeout) = self.limits().timeout.or(self.spec.timeout) {
                set.push(("WATCHDOG_USEC", timeout.as_micros().to_string().into()));
            }
        }
        if let Some(pty) = &self.pty {
            let controlling = process::own().map_or(0, |me| me.tty);
            for name in TERMINAL_NAMES {
                let inner = std::env::var_os(name).and_then(|named| pty.name_for(&named, controlling));
                set.extend(inner.map(|inner| (name, inner.into())));
            }
        }
        child::environment(&set, &without)
    }

    fn begin_log(&mut self) {
        if let (Some(output), Some(path)) = (&mut self.output, &self.claimed.log) {
            let from_terminal = self.pty.as_ref().is_some_and(Pty::is_whole);
            output.begin_log(path, self.spec.log_max, from_terminal);
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            timeout: self.claimed.feedpath.is_some().then(|| self.spec.timeout.unwrap_or(TIMEOUT)),
            max_runtime: self.spec.max_runtime,
            stop_signal: self.spec.stop_signal,
            kill_after: self.spec.kill_after,
        }
    }

    /// Watches the command until its end.
    fn watch(&mut self, mut watch: Watch, reporter: &mut dyn Reporter) -> Ended {
        loop {
            if let Some(line) = self.pending_warning.take() {
                reporter.warn(&line);
            }
            let now = sys::now();
            if let Some(exit) = self.exit
                && (self.gone || !watch.is_ending())
                && self.output.as_ref().is_none_or(|output| output.is_complete(now))
                && let Some(ended) = self.act(&mut watch, Event::Exited(exit), now)
            {
                return ended;
            }
            let close_at = self.store.as_ref().map(|_| self.close_at);
            self.let_session_end(now);
            let drained = self.output.as_ref().and_then(|output| output.deadline(now));
            let due = watch.deadline().filter(|_| !self.is_paused());
            let wake = due.into_iter().chain(close_at).chain(drained).chain(self.keys_wait(now));
            let wake = wake.chain(self.unseen.is_some().then(|| now.mono + TRY_AGAIN));
            let wake = wake.chain(self.notify.as_ref().and_then(|notify| notify.wake(now.mono))).min();
            let timeout = wake.map(|at| at.saturating_sub(now.mono));
            let keyboard = self.pty.as_ref().filter(|_| now.mono >= self.keys_at).and_then(Pty::keyboard);
            let report = self.session.as_ref().and_then(Session::report);
            let room = self.pty.as_ref().and_then(Pty::room);
            let reads = self.output.iter().flat_map(TaskOutput::readable).chain(keyboard).chain(report);
            let reads = reads.chain(self.notify.as_ref().and_then(|notify| notify.readable(now.mono)));
            let writes = self.output.iter().flat_map(TaskOutput::writable).chain(room);
            if self.inbox.wait_with(timeout, reads, writes).is_err() {
                // Out of memory at the moment: everything is checked as if an event had arrived.
                sys::pause(TRY_AGAIN);
            }
            self.handle_signals(&mut watch);
            self.retry_delivery(&mut watch);
            self.handle_messages(&mut watch);
            self.relay_keys();
            if let Some(output) = &mut self.output {
                output.pump();
            }
            if close_at.is_some_and(|at| sys::now().mono >= at) {
                if self.noted || self.note_command() {
                    self.store = None;
                    self.re_execute(&watch, reporter);
                } else {
                    self.close_at = sys::now().mono + CLOSE_AFTER;
                }
            }
            let now = sys::now();
            if self.is_paused() {
                continue;
            }
            if watch.listens()
                && let Some(beat) = self.look_for_beat(now)
            {
                self.act(&mut watch, Event::Beat, beat);
            }
            self.act(&mut watch, Event::Tick, now);
        }
    }

    /// Handles all signals that have arrived.
    fn handle_signals(&mut self, watch: &mut Watch) {
        loop {
            let notice = match self.inbox.next() {
                Ok(Some(notice)) => notice,
                Ok(None) => return,
                Err(_) => {
                    // A child that has ended is also found without its signal.
                    sys::pause(TRY_AGAIN);
                    return self.reap(watch);
                }
            };
            match notice {
                Notice::Child => self.reap(watch),
                Notice::Stop { signal, sender } => {
                    let sender = sender.map(|(uid, pid)| (sys::login_of(uid), pid));
                    let with = signal.is_passed_on().then_some(signal);
                    self.end_pause(watch);
                    let asked = Event::StopAsked { by: Asker::Signal { signal, sender }, signal: with };
                    self.act(watch, asked, sys::now());
                }
                Notice::Pass(Signal::WINCH) if self.pty.is_some() => self.follow_size(),
                Notice::Pass(signal) => {
                    let _ = self.signal_command(signal);
                }
                Notice::Suspend => self.pass_suspend(watch),
                Notice::Continue => self.pass_continue(watch),
                Notice::Request => self.handle_request(watch),
            }
        }
    }

    /// Handles the messages on the notify socket.
    fn handle_messages(&mut self, watch: &mut Watch) {
        let mut now = sys::now();
        while let Some(received) = self.notify.as_mut().and_then(|notify| notify.next(now.mono)) {
            now = sys::now();
            let message = match received {
                LauncherMessage::Message(message) => message,
                LauncherMessage::Request => {
                    self.handle_request(watch);
                    continue;
                }
            };
            let report = crate::model::notify::parse(&message);
            if report.beat {
                self.story.beat = Some(now.wall.0);
                if let Some(timeout) = self.spec.timeout {
                    watch.listen(timeout, now);
                }
                self.act(watch, Event::Beat, now);
            }
            self.story.ready |= report.ready;
            if let Some(status) = report.status.filter(|_| self.story.refused.is_empty()) {
                self.story.status = status;
            }
            // If the disk is full, readers only show less.
            if let Some(spool) = &self.spool {
                let _ = spool.write_report(self.claimed.slot, &self.claimed.upid, &self.story);
            }
        }
    }

    /// Handles a request that `control kill` wrote to the spool; each request once.
    fn handle_request(&mut self, watch: &mut Watch) {
        let spool = self.spool.as_ref();
        let request = spool.and_then(|spool| spool.request_of(self.claimed.slot, &self.claimed.upid));
        if request == self.handled_request {
            return;
        }
        self.handled_request.clone_from(&request);
        if let Some(request) = request {
            self.end_pause(watch);
            let asked = Event::StopAsked { by: request.by, signal: request.signal };
            self.act(watch, asked, sys::now());
        }
    }

    fn reap(&mut self, watch: &mut Watch) {
        // If this fails, it is tried again with the next signal.
        while let Ok(reaped) = child::reap() {
            match reaped {
                Reaped::Ended(pid, exit) if pid == self.command => {
                    self.exit = Some(exit);
                    self.end_pause(watch);
                    self.command_ended();
                }
                Reaped::Stopped(pid, _) if self.session.as_ref().is_some_and(|session| session.leader == pid) => {
                    self.session_stopped(watch);
                }
                Reaped::Stopped(pid, signal) if pid == self.command => self.stopped(signal, watch),
                Reaped::Continued(pid) if pid == self.command => {
                    self.end_pause(watch);
                    self.report_paused(false);
                }
                Reaped::Ended(..) | Reaped::Stopped(..) | Reaped::Continued(_) => {}
                Reaped::NoChildren => {
                    self.gone = true;
                    return;
                }
                Reaped::Nothing => break,
            }
        }
        if watch.is_ending() && self.exit.is_some() {
            // Each end may reveal children that were created meanwhile, and orphans that this process adopted.
            match process::descendants(self.me.pid, &self.foreign) {
                Ok(left) => self.gone = left.is_empty(),
                Err(_) => drop(self.unseen.get_or_insert_with(|| Delivery::new(Signal::CONT))),
            }
        }
        if watch.is_killing() && !self.gone {
            self.signal_tree(Signal::KILL);
        }
    }

    /// Passes one event to the watch and carries out its actions. Returns the end of the task, if this event was it.
    fn act(&mut self, watch: &mut Watch, event: Event, at: Tick) -> Option<Ended> {
        // After the end, the watch returns an error, and nothing is done.
        for action in watch.handle(event, at).unwrap_or_default() {
            match action {
                WatchAction::Signal(signal) => self.signal_tree(signal),
                WatchAction::Finish(ended) => return Some(ended),
                WatchAction::Save(status) => {
                    let beat = self.beat.map_or(at.wall.secs(), |seen| (seen.mtime_ns / 1_000_000_000) as i64);
                    let id = self.claimed.id;
                    if self.store.is_none() {
                        self.store = db::open(&self.spec.db, STATUS_PATIENCE).ok();
                    }
                    // Readers compute the status themselves; the stored one is for programs that read the table.
                    if let Some(store) = &mut self.store {
                        let _ = store.save_status(id, status, beat);
                    }
                    self.store = None;
                }
            }
        }
        None
    }

    /// Returns the time of a heartbeat since the last check, as exactly as it can be determined.
    fn look_for_beat(&mut self, now: Tick) -> Option<Tick> {
        let looked = std::mem::replace(&mut self.looked, now);
        let seen = feedfile::signature(self.claimed.feedpath.as_deref()?).ok().flatten()?;
        if self.beat.replace(seen) == Some(seen) {
            return None;
        }
        let changed = crate::model::task::Timestamp(i64::try_from(seen.ctime_ns).unwrap_or(0));
        Some(date_beat(looked, now, changed, self.local))
    }

    fn signal_command(&self, signal: Signal) -> std::io::Result<()> {
        match self.exit {
            None => child::signal_group(self.command, signal),
            Some(_) => Ok(()),
        }
    }

    /// Signals the command's process group, and every descendant that left it.
    fn signal_tree(&mut self, signal: Signal) {
        let _ = self.signal_command(signal);
        self.signal_rest(signal);
    }

    /// Signals every descendant that left the command's process group. If they cannot be listed, the signal is sent
    /// later.
    fn signal_rest(&mut self, signal: Signal) {
        self.deliver(Delivery::new(signal));
    }

    fn deliver(&mut self, mut delivery: Delivery) {
        let Ok(mut tree) = process::descendants(self.me.pid, &self.foreign) else {
            self.unseen = Some(delivery);
            return;
        };
        if delivery.signal == Signal::KILL {
            // The whole tree, one process at a time: signalling a group succeeds if it reaches only one of its
            // processes.
            delivery.send(tree::targets(&tree));
            self.note_refused(std::mem::take(&mut delivery.refused));
        } else {
            let reached = if self.exit.is_none() { self.command } else { 0 };
            tree.retain(|stat| stat.pgrp != reached);
            delivery.send(tree::targets(&tree));
            // A stopped process cannot act on a polite signal.
            let _ = self.signal_command(Signal::CONT);
            tree::signal_each(&tree, Signal::CONT);
        }
        if delivery.missed.is_some() {
            self.unseen = Some(delivery);
        }
    }

    /// Repeats a delivery to a process tree that could not be listed.
    fn retry_delivery(&mut self, watch: &mut Watch) {
        if let Some(delivery) = self.unseen.take() {
            self.deliver(if watch.is_killing() { Delivery::new(Signal::KILL) } else { delivery });
            self.reap(watch);
        }
    }

    /// Records processes that cannot be killed, once for each. The task continues until they end by themselves.
    fn note_refused(&mut self, refused: Vec<Process>) {
        let Some(why) = tree::note_refused(refused, &mut self.story, self.output.as_mut()) else { return };
        if let Some(spool) = &self.spool {
            let _ = spool.write_report(self.claimed.slot, &self.claimed.upid, &self.story);
        }
        self.pending_warning = Some(format!("cannot end task {}: {why}", self.claimed.id));
    }
}
