//! One run of a supervised program, from its specification to its row in history.
//!
//! A shim is the parent of the command, and survives the supervisor: it reads the command's output,
//! watches its heartbeat, sends the signals that the supervisor requests, observes its end, and
//! records that. The state of the run is written to a file, before it is in the database and
//! whether or not the database can be written: the database never keeps a program from being
//! started or stopped.
//!
//! Unlike `launch`, a shim ends only the processes that it is asked to end: other processes that a
//! program started are its own business, as under Supervisor.
//!
//! # If the shim dies here
//!
//! Before the file has the phase "running": no command was started, or only one whose pipes are
//! closed. Afterwards: the command keeps running, and the file identifies its process; the
//! supervisor watches it, and the next reader of the database finds its launcher dead.

mod begin;
mod end;

pub use begin::become_command;

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    engine::{self, CLOSE_AFTER, Engine, EngineState, NotifyEvent, TRY_AGAIN},
    output::{Copy, TaskOutput},
    reexec::{self, Handed},
    tree::{self, Delivery},
};
use crate::{
    io::{
        child::{self, Reaped},
        inbox::Notice,
        notify::CommandSocket,
        parcel::{Arrived, Parcel},
        process,
        proglog::{ProgLog, ProgramLogSpec},
        rundir::RunDir,
        store::Claimed,
        sys,
    },
    model::{
        shim::{Phase, ProgramLog, Run, RunSpec, ShimCommand, ShimNote, StreamTarget, pause_between_looks},
        task::{Cause, Ended, Exit, Process, Signal, Tick},
        watch::Event,
    },
};

/// Program name of a shim.
pub const SHIM: &str = "launch-shim";
/// Program name of a process that executes a command.
pub const COMMAND: &str = "launch-command";
/// Delay before a failed claim is retried, doubled each time.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);
const CLAIM_SELDOM: Duration = Duration::from_secs(16);
/// Bytes kept for the input of a program that does not read it.
const LONGEST_TYPED: usize = 4 << 20;
/// Delay before a failed write of the run's file is retried.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// Processes outside the command's group that are listed at its end, at most.
const STRAYS: usize = 64;
/// Notes kept in the file of a run.
const NOTES: usize = 5;

/// Why a shim cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The run specification cannot be read.
    #[error("cannot read the run specification: {0}")]
    RunSpec(String),
    /// An error of the system.
    #[error("cannot {0}: {1}")]
    System(&'static str, std::io::Error),
}

impl ShimError {
    /// Returns the exit code that reports the error to the supervisor: the system's error number.
    /// The supervisor may have no other information.
    pub fn code(&self) -> u8 {
        let number = match self {
            ShimError::RunSpec(_) => None,
            ShimError::System(_, error) => error.raw_os_error(),
        };
        number.and_then(|number| u8::try_from(number).ok()).filter(|number| *number > 0).unwrap_or(u8::MAX)
    }

    /// Returns the error of a [`ShimError::code`]; `None` if the code means nothing.
    pub fn of_code(code: i32) -> Option<std::io::Error> {
        (1..i32::from(u8::MAX)).contains(&code).then(|| std::io::Error::from_raw_os_error(code))
    }
}

/// A running shim.
struct Shim {
    order: RunSpec,
    engine: Box<Engine>,
    runs: RunDir,
    run: Run,
    /// The command socket; `None` if it was lost in the re-execution.
    commands: Option<CommandSocket>,
    /// Whether the file of the run could not be written and is out of date.
    unwritten: bool,
    /// Signals of the supervisor that did not reach all processes yet, and whether each is for the
    /// group.
    unsent: Vec<(Delivery, bool)>,
    /// When the next claim is tried, on the monotonic clock, and the delay after it.
    claim_at: Duration,
    claim_pause: Duration,
    command: Process,
    /// How and when the command ended. It is not reaped while its group may still be signalled.
    exit: Option<(Exit, Tick)>,
    input: Option<std::fs::File>,
    /// Input that the pipe had no room for yet.
    typed: Vec<u8>,
    stop: StopRequest,
    /// Whether the supervisor has disowned the run, so that its file is not written any more.
    forgotten: bool,
}

/// How the supervisor has stopped a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct StopRequest {
    /// Why; `None`: it has not.
    why: Option<String>,
    /// The first and last signal sent for that.
    sent: Option<(Signal, Signal)>,
    /// Whether the whole group is being ended.
    group: bool,
}

/// The state of a shim for its re-execution.
#[derive(Serialize, Deserialize)]
struct ShimState {
    engine: Box<EngineState>,
    claimed: Option<Box<Claimed>>,
    order: Box<RunSpec>,
    run: Box<Run>,
    commands: usize,
    claim_at: Duration,
    claim_pause: Duration,
    command: Process,
    stop: StopRequest,
    forgotten: bool,
}

impl Handed for ShimState {
    const VARIABLE: &'static str = "TASKWATCHER_SHIM";

    fn process(&self) -> Process {
        self.run.shim
    }
}

/// The program: runs a shim for the specification on descriptor 0, or continues one after its
/// re-execution.
///
/// # Errors
/// [`ShimError`]: there is no specification, or nothing could be reported.
pub fn run() -> Result<(), ShimError> {
    match reexec::take::<ShimState>() {
        Some((state, arrived)) => {
            resume(*state, arrived);
            Ok(())
        }
        None => begin::start(),
    }
}

/// Continues a run with the descriptors in `arrived`. Its command is running, so there is no error:
/// a missing descriptor is done without.
fn resume(state: ShimState, arrived: Arrived) {
    child::set_name(c"launch");
    restored(state, arrived).follow();
}

/// Returns the shim before its re-execution. In a frame of its own: what it needs of the stack is free while the shim
/// waits.
#[inline(never)]
fn restored(state: ShimState, mut arrived: Arrived) -> Box<Shim> {
    // Without the command socket the supervisor cannot send commands; the shim still ends with its
    // command.
    let commands = arrived.take(state.commands).ok().map(CommandSocket::take_over);
    let claimed = state.claimed.map(|claimed| Arc::new(*claimed));
    let mut engine = Engine::take_over(*state.engine, claimed, &mut arrived);
    if let Some(output) = &mut engine.output {
        output.copy_to([&state.order.stdout, &state.order.stderr].map(|stream| {
            // The error was already reported when the log was first opened.
            log_of(&state.order, stream).and_then(|(log, strip)| Some(Copy::new(ProgLog::open(log).ok()?, strip)))
        }));
    }
    Box::new(Shim {
        engine,
        runs: RunDir::at(&state.order.folder),
        order: *state.order,
        run: *state.run,
        commands,
        unwritten: false,
        unsent: vec![],
        claim_at: state.claim_at,
        claim_pause: state.claim_pause,
        command: state.command,
        exit: None,
        input: None,
        typed: vec![],
        stop: state.stop,
        forgotten: state.forgotten,
    })
}

/// Returns the log file of a stream, and whether escape sequences are removed; `None` if it has
/// none.
fn log_of(order: &RunSpec, stream: &StreamTarget) -> Option<(ProgramLogSpec, bool)> {
    let StreamTarget::Log(ProgramLog { path, max, backups, private, strip_ansi }) = stream else { return None };
    let owner = order.user.as_ref().map(|user| (user.uid, user.gid));
    let place = ProgramLogSpec { path: path.clone(), max: *max, backups: *backups, private: *private, owner };
    Some((place, *strip_ansi))
}

impl Shim {
    /// Writes the file of the run.
    fn write_run(&mut self) {
        self.run.task = self.engine.record.claimed().map(|claimed| claimed.id);
        if self.forgotten {
            return;
        }
        // A failed write is retried as soon as possible.
        self.unwritten = self.runs.write(&self.run.handle, &self.run.to_text()).is_err();
    }

    fn note(&mut self, line: impl Into<ShimNote>) {
        let line = line.into();
        if !self.run.notes.contains(&line) {
            self.run.notes.push(line);
            let over = self.run.notes.len().saturating_sub(NOTES);
            self.run.notes.drain(..over);
            self.write_run();
        }
    }

    /// Watches the command until its end, and records that.
    fn follow(mut self: Box<Self>) {
        loop {
            let now = sys::now();
            let mut look_again = None;
            if let Some((exit, at)) = self.exit {
                let is_over = self.is_over();
                self.report_refusal();
                if is_over && self.engine.has_all_output(now) {
                    let cause = self.engine.act(Event::Exited(exit), now);
                    let cause = cause.unwrap_or(Ended { cause: Cause::Itself, exit, sent: None });
                    return self.finish(&cause, at);
                }
                let looked = sys::now().mono;
                look_again = Some(looked + pause_between_looks(looked.saturating_sub(now.mono)));
            }
            let is_task = self.engine.record.task.is_some();
            let wakes = [
                self.engine.watch.deadline(),
                self.engine.wake(now),
                (!is_task).then_some(self.claim_at),
                look_again,
                self.unwritten.then_some(now.mono + WRITE_AGAIN),
                (!self.unsent.is_empty()).then_some(now.mono + TRY_AGAIN),
            ];
            let commands = self.commands.as_ref().map(CommandSocket::readable);
            let input = self.input.as_ref().filter(|_| !self.typed.is_empty()).map(AsFd::as_fd);
            let wake = wakes.into_iter().flatten().min();
            self.engine.wait(now, wake, commands.into_iter(), input.into_iter());
            if self.unwritten {
                self.write_run();
            }
            self.handle_signals();
            self.engine.retry_delivery();
            for (delivery, group) in std::mem::take(&mut self.unsent) {
                self.deliver(delivery, group);
            }
            self.handle_commands();
            self.pass_input();
            self.handle_messages();
            if let Some(output) = &mut self.engine.output {
                output.pump();
                for line in output.copies_trouble() {
                    self.note(line);
                }
            }
            if !is_task && sys::now().mono >= self.claim_at && self.claim_late() {
                self.note_command();
            }
            self.close_database();
            self.engine.tick();
            self.report_refusal();
        }
    }

    /// Closes the database and uses less memory, once the command has run for a while.
    fn close_database(&mut self) {
        let now = sys::now();
        if self.engine.record.store.is_none() || now.mono < self.engine.record.close_at {
            return;
        }
        if !self.unwritten && (self.engine.record.noted || self.note_command()) {
            self.engine.record.store = None;
            self.re_execute();
        } else {
            self.engine.record.close_at = now.mono + CLOSE_AFTER;
        }
    }

    /// Adds to the run's file which processes cannot be ended.
    fn report_refusal(&mut self) {
        if let Some(why) = self.engine.refusal.take() {
            self.note(format!("it cannot be ended: {why}"));
        }
    }

    /// Whether no process is left that must be ended with the command.
    fn is_over(&mut self) -> bool {
        if self.engine.watch.is_ending() {
            let Ok(left) = self.engine.descendants() else { return false };
            if self.engine.watch.is_killing() {
                self.engine.note_refused(tree::signal_each(&left, Signal::KILL));
            }
            return left.is_empty();
        }
        if !self.stop.group && !self.order.killasgroup {
            return true;
        }
        if !process::has_more_children_than(self.command.pid) {
            self.say_leftover(0);
            return true;
        }
        // Processes that cannot be examined now are checked again later.
        let Ok(left) = process::group(self.command.pid) else { return false };
        // Members that were asked to end get their grace period; otherwise the group ends with its
        // leader.
        if self.order.killasgroup && !self.stop.group {
            left.iter().for_each(|stat| drop(process::signal(stat.process, Signal::KILL)));
        }
        self.say_leftover(u32::try_from(left.len()).unwrap_or(u32::MAX));
        left.is_empty()
    }

    fn say_leftover(&mut self, count: u32) {
        if let Phase::Ended { leftover, .. } = &mut self.run.phase
            && *leftover != count
        {
            *leftover = count;
            self.write_run();
        }
    }

    fn handle_signals(&mut self) {
        while let Ok(Some(notice)) = self.engine.inbox.next() {
            match notice {
                Notice::Child => self.reap(),
                Notice::Stop { signal, sender } => {
                    self.engine.act(engine::stop_asked(signal, sender), sys::now());
                }
                Notice::Request => self.handle_request(),
                Notice::Pass(_) | Notice::Suspend | Notice::Continue => {}
            }
        }
        self.look_at_command();
    }

    /// Handles a request that `control kill` left in the spool; each request once.
    fn handle_request(&mut self) {
        if let Some(asked) = self.engine.requested() {
            self.engine.act(asked, sys::now());
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

    fn reap(&mut self) {
        self.look_at_command();
        // The leader is not reaped before its group is dealt with: its pid must not be reused.
        while self.exit.is_none() {
            match child::reap() {
                Ok(Reaped::Ended(pid, exit)) if pid == self.command.pid => self.ended(exit),
                Ok(Reaped::Stopped(pid, _)) if pid == self.command.pid => self.engine.publish_paused(true),
                Ok(Reaped::Continued(pid)) if pid == self.command.pid => self.engine.publish_paused(false),
                Ok(Reaped::Ended(..) | Reaped::Stopped(..) | Reaped::Continued(_)) => {}
                Ok(Reaped::Nothing | Reaped::NoChildren) | Err(_) => return,
            }
        }
    }

    fn look_at_command(&mut self) {
        if self.exit.is_none()
            && let Some(exit) = child::end_of(self.command.pid)
        {
            self.ended(exit);
        }
    }

    /// Handles the end of the command: written at once, before anything that takes time.
    fn ended(&mut self, exit: Exit) {
        let now = sys::now();
        self.exit = Some((exit, now));
        // Examining all processes takes longer than most of the rest, and most commands leave none.
        let (mut leftover, mut strays) = (0, vec![]);
        if process::has_more_children_than(self.command.pid) {
            leftover = process::group(self.command.pid).map_or(1, |left| u32::try_from(left.len()).unwrap_or(u32::MAX));
            // Strays are listed for people; if they cannot be examined, the number of group members
            // has to do.
            let left = process::descendants(self.run.shim.pid, &[self.command]).unwrap_or_default();
            let strays_of = left.into_iter().filter(|stat| stat.pgrp != self.command.pid);
            strays = strays_of.map(|stat| stat.process).take(STRAYS).collect();
        }
        self.run.phase = Phase::Ended {
            command: self.command,
            since: self.engine.started,
            exit,
            at: now,
            timeout: self.engine.watch.is_ending(),
            leftover,
            strays,
        };
        self.write_run();
        sys::crash_point("shim.ended");
        if let Some(output) = &mut self.engine.output {
            output.command_ended(now);
        }
    }

    /// Handles the commands of the supervisor.
    fn handle_commands(&mut self) {
        while let Some(message) = self.commands.as_ref().and_then(CommandSocket::next) {
            match ShimCommand::parse(&message) {
                Some(ShimCommand::Signal { signal, group, why }) => self.send(signal, group, why),
                Some(ShimCommand::Policy { killasgroup, exitcodes, stdout, stderr }) => {
                    (self.order.killasgroup, self.order.exitcodes) = (killasgroup, exitcodes);
                    (self.order.stdout, self.order.stderr) = (stdout, stderr);
                    let places = [&self.order.stdout, &self.order.stderr].map(|stream| log_of(&self.order, stream));
                    if let Some(output) = &mut self.engine.output {
                        places.into_iter().enumerate().for_each(|(number, place)| output.change(number, place));
                    }
                }
                Some(ShimCommand::Reopen) => {
                    if let Some(output) = &mut self.engine.output {
                        output.reopen();
                    }
                }
                Some(ShimCommand::Write) => self.write_run(),
                Some(ShimCommand::Forget) => {
                    self.forgotten = true;
                    self.runs.remove(&self.run.handle);
                }
                Some(ShimCommand::Input { data }) => self.write_input(&data),
                // From a newer supervisor.
                None => {}
            }
        }
    }

    /// Sends a signal that the supervisor requested; to group members one by one, identified by
    /// start time.
    fn send(&mut self, signal: Signal, group: bool, why: Option<String>) {
        if why.is_some() {
            self.stop.why = why;
            // CONT, sent to let the command react, is no reason for its end.
            if signal != Signal::CONT {
                self.stop.sent = Some((self.stop.sent.map_or(signal, |(first, _)| first), signal));
                self.stop.group |= group;
            }
        }
        self.deliver(Delivery::new(signal), group);
    }

    /// Sends a signal to the command and, if it is for the group, to the group's other members.
    /// Members that cannot be examined now get the signal later.
    fn deliver(&mut self, mut delivery: Delivery, group: bool) {
        let members = if group { process::group(self.command.pid) } else { Ok(vec![]) };
        let command = self.exit.is_none().then_some((self.command, true));
        delivery.send_to_group(command, members.map(|members| tree::targets(&members).collect()));
        let signal = delivery.signal;
        let denied = delivery.refusal.take();
        let denied = denied.map(|error| format!("cannot send {signal} to process {}: {error}", self.command.pid));
        if denied != self.run.denied {
            self.run.denied = denied;
            self.write_run();
        }
        if delivery.missed.is_some() {
            self.unsent.push((delivery, group));
        }
    }

    fn write_input(&mut self, data: &str) {
        let Some(bytes) = crate::model::shim::input_bytes(data) else { return };
        self.typed.extend(bytes);
        self.pass_input();
        // A program that does not read its input loses what exceeds the limit.
        let lost = self.typed.len().saturating_sub(LONGEST_TYPED);
        if lost > 0 {
            self.typed.truncate(LONGEST_TYPED);
            self.note(format!("process {} does not read its input: {lost} bytes are lost", self.command.pid));
        }
    }

    /// Writes as much of the input as there is room for.
    fn pass_input(&mut self) {
        let Some(input) = &mut self.input else { return self.typed.clear() };
        while !self.typed.is_empty() {
            match std::io::Write::write(input, &self.typed) {
                Ok(written) => drop(self.typed.drain(..written)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.typed.clear();
                    self.note(format!("cannot write to the input of process {}: {error}", self.command.pid));
                    return;
                }
            }
        }
    }

    /// Re-executes as a smaller process, unless something is going on; otherwise, and on failure,
    /// continues unchanged.
    fn re_execute(&mut self) {
        // A pipe to the command's input is not passed on: few programs have one.
        let busy = self.exit.is_some() || self.engine.watch.is_ending() || self.stop.why.is_some();
        if busy || self.input.is_some() || self.engine.owes_signal() || !self.unsent.is_empty() {
            return;
        }
        let is_settled = self.engine.output.as_ref().is_some_and(TaskOutput::copies_are_settled);
        let Some(commands) = self.commands.as_ref().filter(|_| is_settled) else { return };
        let spool = self.engine.spool_file();
        let claimed = self.engine.record.claimed().map(|claimed| Box::new(Claimed::clone(claimed)));
        let mut parcel = Parcel::default();
        let Some(engine) = self.engine.hand_over(spool.as_ref(), &mut parcel) else { return };
        let mut order = self.order.clone();
        // Needed only for the start.
        order.env = "[]".into();
        let state = ShimState {
            engine: Box::new(engine),
            claimed,
            order: Box::new(order),
            run: Box::new(self.run.clone()),
            commands: parcel.add(commands.readable()),
            claim_at: self.claim_at,
            claim_pause: self.claim_pause,
            command: self.command,
            stop: self.stop.clone(),
            forgotten: self.forgotten,
        };
        sys::crash_point("shim.slim");
        reexec::go(&state, &parcel);
    }
}
