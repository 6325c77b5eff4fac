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

use std::{os::fd::AsFd, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    db,
    hearing::{Hearing, LauncherMessage},
    output::{Copy, HandedOutput, TaskOutput},
    reexec::{self, Handed},
    tree::{self, Delivery},
};
use crate::{
    io::{
        child::{self, Reaped},
        feedfile::{self, Signature},
        inbox::{Inbox, Notice},
        notify::{CommandSocket, Notify},
        parcel::{Arrived, Parcel},
        process,
        proglog::{ProgLog, ProgramLogSpec},
        rundir::RunDir,
        spool::{Request, SelfReport, Spool},
        store::{Claimed, LockTimeout, Store},
        sys,
    },
    model::{
        shim::{Phase, ProgramLog, Run, RunSpec, ShimCommand, StreamTarget, pause_between_looks},
        task::{Asker, Cause, Ended, Exit, Process, Signal, Tick},
        watch::{Event, Limits, Watch, WatchAction, date_beat},
    },
};

/// Program name of a shim.
pub const SHIM: &str = "launch-shim";
/// Program name of a process that executes a command.
pub const COMMAND: &str = "launch-command";
/// Start of the note of a run that could not be claimed as a task yet.
pub const NOT_RECORDED: &str = "not recorded as a task yet";
/// A command that still runs after this time is likely to run for long.
const CLOSE_AFTER: Duration = Duration::from_millis(100);
/// Delay before a failed claim is retried, doubled each time.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);
const CLAIM_SELDOM: Duration = Duration::from_secs(16);
/// Interval of repeating what failed for lack of descriptors or memory.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Bytes kept for the input of a program that does not read it.
const LONGEST_TYPED: usize = 4 << 20;
/// Delay before a failed write of the run's file is retried.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait of a status for the database.
const STATUS_LOCK_TIMEOUT: LockTimeout = LockTimeout { limit: Duration::from_millis(50), notify: None };
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
    runs: RunDir,
    run: Run,
    inbox: Inbox,
    /// `None` if it was lost in the re-execution.
    ear: Option<CommandSocket>,
    notify: Option<Hearing>,
    story: SelfReport,
    /// Open while it is likely to be needed soon.
    store: Option<Store>,
    /// Whether the file of the run could not be written and is out of date.
    unwritten: bool,
    /// The signal for descendants that could not be examined yet, because no descriptor was left.
    unseen: Option<Delivery>,
    /// Signals of the supervisor that did not reach all processes yet, and whether each is for the
    /// group.
    unsent: Vec<(Delivery, bool)>,
    spool: Option<Spool>,
    /// The task, once the run is one.
    claimed: Option<Claimed>,
    /// When the next claim is tried, on the monotonic clock, and the delay after it.
    claim_at: Duration,
    claim_pause: Duration,
    /// Whether the command's process is recorded in the task's row.
    noted: bool,
    /// When the database is closed.
    close_at: Duration,
    /// The last request of `control` that was handled.
    handled: Option<Request>,
    command: Process,
    started: Tick,
    /// How and when the command ended. It is not reaped while its group may still be signalled.
    exit: Option<(Exit, Tick)>,
    /// The feedback file as last seen, and when; whether its times are from this machine's clock.
    beat: Option<Signature>,
    looked: Tick,
    local: bool,
    output: Option<TaskOutput>,
    input: Option<std::fs::File>,
    /// Input that the pipe had no room for yet.
    typed: Vec<u8>,
    /// Why the run is being stopped, and the first and last signal sent for that.
    why: Option<String>,
    sent: Option<(Signal, Signal)>,
    /// Whether the whole group is being ended.
    group: bool,
    /// Whether the supervisor has disowned the run, so that its file is not written any more.
    forgotten: bool,
}

/// The state of a shim for its re-execution.
#[derive(Serialize, Deserialize)]
struct ShimState {
    order: Box<RunSpec>,
    run: Box<Run>,
    inbox: usize,
    spool: Option<usize>,
    ear: usize,
    notify: Option<usize>,
    story: Box<SelfReport>,
    claimed: Option<Claimed>,
    claim_at: Duration,
    claim_pause: Duration,
    noted: bool,
    heeded: Option<Request>,
    command: Process,
    started: Tick,
    beat: Option<Signature>,
    looked: Tick,
    local: bool,
    output: Box<HandedOutput>,
    why: Option<String>,
    sent: Option<(Signal, Signal)>,
    group: bool,
    forgotten: bool,
    watch: Box<Watch>,
}

impl Handed for ShimState {
    const VARIABLE: &'static str = "TASKWATCHER_CARRIER";

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
            resume(state, arrived);
            Ok(())
        }
        None => begin::start(),
    }
}

/// Continues a run with the descriptors in `arrived`. Its command is running, so there is no error:
/// a missing descriptor is done without.
fn resume(carried: Box<ShimState>, mut arrived: Arrived) {
    child::set_name(c"launch");
    let inbox = reexec::take_inbox(&mut arrived, carried.inbox, 0);
    // Without the command socket the supervisor cannot send commands; the shim still ends with its
    // command.
    let ear = arrived.take(carried.ear).ok().map(CommandSocket::take_over);
    let notify = carried.notify.and_then(|number| arrived.take(number).ok()).map(Notify::take_over);
    let notify = notify.map(|notify| Hearing::new(notify, carried.run.shim.pid));
    let spool = carried
        .claimed
        .as_ref()
        .and_then(|claimed| reexec::take_spool(&mut arrived, carried.spool, &carried.order.db, claimed.slot));
    let mut output = TaskOutput::take_over(*carried.output, &mut |number| arrived.take(number));
    output.copy_to([&carried.order.stdout, &carried.order.stderr].map(|stream| {
        // The error was already reported when the log was first opened.
        place_of(&carried.order, stream).and_then(|(place, strip)| Some(Copy::new(ProgLog::open(place).ok()?, strip)))
    }));
    let shim = Shim {
        runs: RunDir::at(&carried.order.folder),
        order: *carried.order,
        run: *carried.run,
        inbox,
        ear,
        notify,
        story: *carried.story,
        store: None,
        unwritten: false,
        unseen: None,
        unsent: vec![],
        spool,
        claimed: carried.claimed,
        claim_at: carried.claim_at,
        claim_pause: carried.claim_pause,
        noted: carried.noted,
        close_at: Duration::MAX,
        handled: carried.heeded,
        command: carried.command,
        started: carried.started,
        exit: None,
        beat: carried.beat,
        looked: carried.looked,
        local: carried.local,
        output: Some(output),
        input: None,
        typed: vec![],
        why: carried.why,
        sent: carried.sent,
        group: carried.group,
        forgotten: carried.forgotten,
    };
    shim.follow(*carried.watch);
}

/// Returns the log file of a stream, and whether escape sequences are removed; `None` if it has
/// none.
fn place_of(order: &RunSpec, stream: &StreamTarget) -> Option<(ProgramLogSpec, bool)> {
    let StreamTarget::Log(ProgramLog { path, max, backups, private, strip_ansi }) = stream else { return None };
    let owner = order.user.as_ref().map(|user| (user.uid, user.gid));
    let place = ProgramLogSpec { path: path.clone(), max: *max, backups: *backups, private: *private, owner };
    Some((place, *strip_ansi))
}

impl Shim {
    /// Writes the file of the run.
    fn write_run(&mut self) {
        self.run.task = self.claimed.as_ref().map(|claimed| claimed.id);
        if self.forgotten {
            return;
        }
        // A failed write is retried as soon as possible.
        self.unwritten = self.runs.write(&self.run.handle, &self.run.to_text()).is_err();
    }

    fn note(&mut self, line: String) {
        if !self.run.notes.contains(&line) {
            self.run.notes.push(line);
            let over = self.run.notes.len().saturating_sub(NOTES);
            self.run.notes.drain(..over);
            self.write_run();
        }
    }

    fn limits(&self) -> Limits {
        let watched = self.claimed.as_ref().is_some_and(|claimed| claimed.feedpath.is_some());
        Limits {
            timeout: self.order.timeout.filter(|_| watched).map(Duration::from_millis),
            max_runtime: None,
            stop_signal: self.order.stop_signal,
            kill_after: Duration::from_millis(self.order.kill_after),
        }
    }

    /// Watches the command until its end, and records that.
    fn follow(mut self, mut watch: Watch) {
        loop {
            let now = sys::now();
            let mut look_again = None;
            if let Some((exit, at)) = self.exit {
                let is_over = self.is_over(&watch);
                if is_over && self.output.as_ref().is_none_or(|output| output.is_complete(now)) {
                    let cause = self.finish_watch(&mut watch, exit, now);
                    return self.finish(&cause, at);
                }
                let looked = sys::now().mono;
                look_again = Some(looked + pause_between_looks(looked.saturating_sub(now.mono)));
            }
            let wakes = [
                watch.deadline(),
                self.store.as_ref().map(|_| self.close_at),
                self.output.as_ref().and_then(|output| output.deadline(now)),
                self.claimed.is_none().then_some(self.claim_at),
                look_again,
                self.unwritten.then_some(now.mono + WRITE_AGAIN),
                self.owes_signals().then_some(now.mono + TRY_AGAIN),
                self.notify.as_ref().and_then(|notify| notify.wake(now.mono)),
            ];
            let timeout = wakes.into_iter().flatten().min().map(|at| at.saturating_sub(now.mono));
            let reads =
                self.output.iter().flat_map(TaskOutput::readable).chain(self.ear.as_ref().map(CommandSocket::readable));
            let reads = reads.chain(self.notify.as_ref().and_then(|notify| notify.readable(now.mono)));
            let writes = self.input.as_ref().filter(|_| !self.typed.is_empty()).map(std::os::fd::AsFd::as_fd);
            if self.inbox.wait_with(timeout, reads, writes).is_err() {
                // Without poll(2), retrying is all that can be done.
                sys::pause(TRY_AGAIN);
            }
            if self.unwritten {
                self.write_run();
            }
            self.hear_signals(&mut watch);
            if let Some(delivery) = self.unseen.take() {
                self.signal_tree(if watch.is_killing() { Delivery::new(Signal::KILL) } else { delivery });
            }
            for (delivery, group) in std::mem::take(&mut self.unsent) {
                self.deliver(delivery, group);
            }
            self.hear_commands();
            self.pass_input();
            self.listen(&mut watch);
            if let Some(output) = &mut self.output {
                output.pump();
                for line in output.copies_trouble() {
                    self.note(line);
                }
            }
            let now = sys::now();
            if self.claimed.is_none() && now.mono >= self.claim_at && self.claim_late() {
                self.note_command();
            }
            if self.store.is_some() && now.mono >= self.close_at {
                if !self.unwritten && (self.noted || self.note_command()) {
                    self.store = None;
                    self.slim(&watch);
                } else {
                    self.close_at = now.mono + CLOSE_AFTER;
                }
            }
            if watch.listens()
                && let Some(beat) = self.look_for_beat(now)
            {
                self.act(&mut watch, Event::Beat, beat);
            }
            self.act(&mut watch, Event::Tick, now);
        }
    }

    /// Returns why the command ended, as far as the shim knows.
    fn finish_watch(&mut self, watch: &mut Watch, exit: Exit, now: Tick) -> Ended {
        let actions = watch.handle(Event::Exited(exit), now).unwrap_or_default();
        let ended = actions.into_iter().find_map(|action| match action {
            WatchAction::Finish(ended) => Some(ended),
            WatchAction::Save(_) | WatchAction::Signal(_) => None,
        });
        ended.unwrap_or(Ended { cause: Cause::Itself, exit, sent: None })
    }

    /// Whether no process is left that must be ended with the command.
    fn is_over(&mut self, watch: &Watch) -> bool {
        if watch.is_ending() {
            let Ok(left) = process::descendants(self.run.shim.pid, &[]) else { return false };
            if watch.is_killing() {
                let refused = tree::signal_each(&left, Signal::KILL);
                self.note_refused(refused);
            }
            return left.is_empty();
        }
        if !self.group && !self.order.killasgroup {
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
        if self.order.killasgroup && !self.group {
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

    fn hear_signals(&mut self, watch: &mut Watch) {
        while let Ok(Some(notice)) = self.inbox.next() {
            match notice {
                Notice::Child => self.reap(watch),
                Notice::Stop { signal, sender } => {
                    let sender = sender.map(|(uid, pid)| (sys::login_of(uid), pid));
                    let with = signal.is_passed_on().then_some(signal);
                    let asked = Event::StopAsked { by: Asker::Signal { signal, sender }, signal: with };
                    self.act(watch, asked, sys::now());
                }
                Notice::Request => self.handle_request(watch),
                Notice::Pass(_) | Notice::Suspend | Notice::Continue => {}
            }
        }
        if self.exit.is_none() {
            self.look_at_command(watch);
        }
    }

    fn reap(&mut self, watch: &mut Watch) {
        self.look_at_command(watch);
        // The leader is not reaped before its group is dealt with: its pid must not be reused.
        while self.exit.is_none() {
            match child::reap() {
                Ok(Reaped::Ended(pid, exit)) if pid == self.command.pid => self.ended(exit, watch),
                Ok(Reaped::Stopped(pid, _)) if pid == self.command.pid => self.publish_paused(true),
                Ok(Reaped::Continued(pid)) if pid == self.command.pid => self.publish_paused(false),
                Ok(Reaped::Ended(..) | Reaped::Stopped(..) | Reaped::Continued(_)) => {}
                Ok(Reaped::Nothing | Reaped::NoChildren) | Err(_) => return,
            }
        }
    }

    /// Publishes whether the command is paused.
    fn publish_paused(&mut self, paused: bool) {
        self.story.paused = paused;
        if let (Some(spool), Some(claimed)) = (&self.spool, &self.claimed) {
            let _ = spool.write_report(claimed.slot, &claimed.upid, &self.story);
        }
    }

    fn look_at_command(&mut self, watch: &mut Watch) {
        if self.exit.is_none()
            && let Some(exit) = child::end_of(self.command.pid)
        {
            self.ended(exit, watch);
        }
    }

    /// Handles the end of the command: written at once, before anything that takes time.
    fn ended(&mut self, exit: Exit, watch: &Watch) {
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
            since: self.started,
            exit,
            at: now,
            timeout: watch.is_ending(),
            leftover,
            strays,
        };
        self.write_run();
        sys::crash_point("shim.ended");
        if let Some(output) = &mut self.output {
            output.command_ended(now);
        }
    }

    fn hear_commands(&mut self) {
        while let Some(message) = self.ear.as_ref().and_then(CommandSocket::next) {
            match ShimCommand::parse(&message) {
                Some(ShimCommand::Signal { signal, group, why }) => self.send(signal, group, why),
                Some(ShimCommand::Policy { killasgroup, exitcodes, stdout, stderr }) => {
                    (self.order.killasgroup, self.order.exitcodes) = (killasgroup, exitcodes);
                    (self.order.stdout, self.order.stderr) = (stdout, stderr);
                    let places = [&self.order.stdout, &self.order.stderr].map(|stream| place_of(&self.order, stream));
                    if let Some(output) = &mut self.output {
                        places.into_iter().enumerate().for_each(|(number, place)| output.change(number, place));
                    }
                }
                Some(ShimCommand::Reopen) => {
                    if let Some(output) = &mut self.output {
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
            self.why = why;
            // CONT, sent to let the command react, is no reason for its end.
            if signal != Signal::CONT {
                self.sent = Some((self.sent.map_or(signal, |(first, _)| first), signal));
                self.group |= group;
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

    /// Whether signals are still to be sent to processes that could not be examined.
    fn owes_signals(&self) -> bool {
        self.unseen.is_some() || !self.unsent.is_empty()
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

    /// Handles notifications of the command.
    fn listen(&mut self, watch: &mut Watch) {
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
                if let Some(timeout) = self.order.timeout {
                    watch.listen(Duration::from_millis(timeout), now);
                }
                self.act(watch, Event::Beat, now);
            }
            self.story.ready |= report.ready;
            if let Some(status) = report.status.filter(|_| self.story.refused.is_empty()) {
                self.story.status = status;
            }
            if let (Some(spool), Some(claimed)) = (&self.spool, &self.claimed) {
                let _ = spool.write_report(claimed.slot, &claimed.upid, &self.story);
            }
        }
    }

    /// Handles a request that `control kill` left in the spool; each request once.
    fn handle_request(&mut self, watch: &mut Watch) {
        let (Some(spool), Some(claimed)) = (&self.spool, &self.claimed) else { return };
        let request = spool.request_of(claimed.slot, &claimed.upid);
        if request == self.handled {
            return;
        }
        self.handled.clone_from(&request);
        if let Some(request) = request {
            self.act(watch, Event::StopAsked { by: request.by, signal: request.signal }, sys::now());
        }
    }

    fn act(&mut self, watch: &mut Watch, event: Event, at: Tick) {
        for action in watch.handle(event, at).unwrap_or_default() {
            match action {
                WatchAction::Signal(signal) => self.signal_tree(Delivery::new(signal)),
                WatchAction::Save(status) => {
                    let Some(claimed) = &self.claimed else { continue };
                    let beat = self.beat.map_or(at.wall.secs(), |seen| (seen.mtime_ns / 1_000_000_000) as i64);
                    if self.store.is_none() {
                        self.store = db::open(&self.order.db, STATUS_LOCK_TIMEOUT).ok();
                    }
                    if let Some(store) = &mut self.store {
                        let _ = store.save_status(claimed.id, status, beat);
                    }
                    self.store = None;
                }
                WatchAction::Finish(_) => {}
            }
        }
    }

    /// Signals the whole process tree: silence, and requests from outside, end all of it.
    fn signal_tree(&mut self, mut delivery: Delivery) {
        let Ok(tree) = process::descendants(self.run.shim.pid, &[]) else {
            self.unseen = Some(delivery);
            return;
        };
        delivery.send(tree::targets(&tree));
        if delivery.signal == Signal::KILL {
            self.note_refused(std::mem::take(&mut delivery.refused));
        } else {
            tree::signal_each(&tree, Signal::CONT);
        }
        if delivery.missed.is_some() {
            self.unseen = Some(delivery);
        }
    }

    /// Records processes that cannot be killed, once for each: the run continues until they end by
    /// themselves.
    fn note_refused(&mut self, refused: Vec<Process>) {
        let Some(why) = tree::note_refused(refused, &mut self.story, self.output.as_mut()) else { return };
        if let (Some(spool), Some(claimed)) = (&self.spool, &self.claimed) {
            let _ = spool.write_report(claimed.slot, &claimed.upid, &self.story);
        }
        self.note(format!("it cannot be ended: {why}"));
    }

    fn look_for_beat(&mut self, now: Tick) -> Option<Tick> {
        let looked = std::mem::replace(&mut self.looked, now);
        let path: &PathBuf = self.claimed.as_ref()?.feedpath.as_ref()?;
        let seen = feedfile::signature(path).ok().flatten()?;
        if self.beat.replace(seen) == Some(seen) {
            return None;
        }
        let changed = crate::model::task::Timestamp(i64::try_from(seen.ctime_ns).unwrap_or(0));
        Some(date_beat(looked, now, changed, self.local))
    }

    /// Re-executes as a smaller process, unless something is going on; otherwise, and on failure,
    /// continues unchanged.
    fn slim(&mut self, watch: &Watch) {
        // A pipe to the command's input is not passed on: few programs have one.
        if self.exit.is_some() || watch.is_ending() || self.input.is_some() || self.why.is_some() || self.owes_signals()
        {
            return;
        }
        let Some(output) = self.output.as_mut().filter(|output| output.copies_are_settled()) else { return };
        let Some(ear) = &self.ear else { return };
        let slot = self.claimed.as_ref().map(|claimed| claimed.slot);
        let spool = self.spool.as_ref().zip(slot).and_then(|(spool, slot)| spool.file_of(slot).ok());
        let mut parcel = Parcel::default();
        let inbox = parcel.add(self.inbox.descriptor());
        let spool = spool.as_ref().map(|file| parcel.add(file.as_fd()));
        let Some(output) = output.hand_over(&mut |fd| parcel.add(fd)) else { return };
        let mut order = self.order.clone();
        // Needed only for the start.
        order.env = "[]".into();
        let state = ShimState {
            order: Box::new(order),
            run: Box::new(self.run.clone()),
            inbox,
            spool,
            ear: parcel.add(ear.readable()),
            notify: self.notify.as_ref().map(|notify| parcel.add(notify.descriptor())),
            story: Box::new(self.story.clone()),
            claimed: self.claimed.clone(),
            claim_at: self.claim_at,
            claim_pause: self.claim_pause,
            noted: self.noted,
            heeded: self.handled.clone(),
            command: self.command,
            started: self.started,
            beat: self.beat,
            looked: self.looked,
            local: self.local,
            output: Box::new(output),
            why: self.why.clone(),
            sent: self.sent,
            group: self.group,
            forgotten: self.forgotten,
            watch: Box::new(watch.clone()),
        };
        sys::crash_point("shim.slim");
        reexec::go(&state, &parcel);
    }
}
