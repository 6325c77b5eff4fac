//! The engine of a run: what a launcher and a shim have in common.
//!
//! The engine keeps the task's record, watches heartbeats and limits, receives notifications of the command and
//! requests of `control`, signals the process tree, and passes its state to a re-execution. Its owner starts the
//! command, reaps it, and decides when the run is over: `launch` ends the whole tree and relays a terminal, a shim
//! follows the commands of a supervisor.
//!
//! # If the process dies here
//! The engine holds nothing that is not in the database, the spool or the log, apart from the last 50 ms of output.

mod beats;
mod record_end;
mod state;
mod task;

use std::{
    ffi::OsString,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::{beats::Beats, record_end::Recorded, state::EngineState, task::ClaimedTask};
use super::{
    db,
    hearing::{Hearing, LauncherMessage},
    output::TaskOutput,
    tree::{self, Delivery},
};
use crate::{
    io::{
        child,
        inbox::Inbox,
        notify::{self, Notify},
        process,
        spool::{Request, SelfReport},
        store::{Claimed, Command, LockTimeout, Store},
        sys,
    },
    model::{
        self,
        task::{Asker, Ended, Process, Signal, Status, Tick},
        watch::{Event, Limits, Watch, WatchAction},
    },
};

/// Time after which the database is closed until the command ends, because a command that still runs is likely to run
/// for long. A shorter time would make short commands pay for opening the database twice.
pub const CLOSE_AFTER: Duration = Duration::from_millis(100);
/// Pause before a system call that failed temporarily, while the command runs, is tried again.
pub const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Lock timeout for storing a status: the status is not important, and the watch must continue.
pub const STATUS_LOCK_TIMEOUT: LockTimeout = LockTimeout { limit: Duration::from_millis(50), notify: None };

/// What a message on the notify socket means for the watch.
#[derive(Clone, Copy, Debug)]
pub enum NotifyEvent {
    /// A heartbeat at this time.
    Beat(Tick),
    /// A request of `control` is in the spool.
    Request,
    /// Only the task's report about itself has changed.
    Report,
}

/// The engine of one run.
pub struct Engine {
    /// The process that runs the engine.
    pub me: Process,
    /// Children of this process before the run. They do not belong to it.
    foreign: Vec<Process>,
    /// Signals that were ignored at the start, as a bit mask.
    pub ignored: u64,
    /// Signals to this process.
    pub inbox: Inbox,
    /// The task's row and its place in the spool.
    pub record: Record,
    /// What the task has reported about itself.
    pub report: SelfReport,
    /// The notify socket of the command. Without one the command runs as outside of systemd.
    pub notify: Option<Hearing>,
    /// The output of the command, unless the command writes directly to the output of this process.
    pub output: Option<TaskOutput>,
    /// The configured limits. The timeout applies from the first heartbeat on if there is no feedback file.
    limits: Limits,
    /// The state of the watch.
    pub watch: Watch,
    /// When the command was started.
    pub started: Tick,
    beats: Beats,
    /// The command's process group, while the command is not reaped and its group is signalled as a whole.
    pub group: Option<i32>,
    /// A signal that still has to be sent to descendants that could not be listed or examined, for lack of descriptors.
    unseen: Option<Delivery>,
    /// Why processes of the tree cannot be ended, until the owner has reported that.
    pub refusal: Option<String>,
}

/// What is recorded of the task.
pub struct Record {
    /// The path of the database.
    pub db: PathBuf,
    /// The task; `None` while the database cannot be written.
    pub task: Option<ClaimedTask>,
    /// The database, while it is likely to be used soon.
    pub store: Option<Store>,
    /// When to close the database, on the monotonic clock.
    pub close_at: Duration,
    /// Whether the command's process is recorded in the row.
    pub noted: bool,
    /// The last request of `control` that was handled.
    request: Option<Request>,
}

impl Record {
    /// Returns the record of a task that is not claimed yet.
    pub fn new(db: PathBuf) -> Record {
        Record { db, task: None, store: None, close_at: Duration::MAX, noted: false, request: None }
    }

    /// Returns the claimed task.
    pub fn claimed(&self) -> Option<&Arc<Claimed>> {
        self.task.as_ref().map(|task| &task.claimed)
    }

    /// Returns the path of the feedback file, if the task gives feedback.
    pub fn feedback(&self) -> Option<&Path> {
        self.claimed()?.feedpath.as_deref()
    }

    /// Returns the database, opened again if it was closed; `None` if that is not possible soon.
    pub fn reopen(&mut self) -> Option<&mut Store> {
        if self.store.is_none() {
            self.store = db::open(&self.db, STATUS_LOCK_TIMEOUT).ok();
        }
        self.store.as_mut()
    }

    /// Records the command's process in the row. Returns false if the database was too busy. Until then, the command
    /// can still be found by its UPID.
    pub fn note_command(&mut self, command: &Command) -> bool {
        let (Some(task), Some(store)) = (&self.task, &mut self.store) else { return true };
        store.set_lock_timeout(STATUS_LOCK_TIMEOUT);
        self.noted = store.started(task.claimed.id, command).is_ok();
        self.noted
    }

    /// Stores a status and the last heartbeat. Readers compute the status themselves; the stored one is for programs
    /// that read the table.
    fn save_status(&mut self, status: Status, beat: i64) {
        let Some(id) = self.claimed().map(|claimed| claimed.id) else { return };
        if let Some(store) = self.reopen() {
            let _ = store.save_status(id, status, beat);
        }
        self.store = None;
    }

    /// Returns the request of `control kill`, if it is a new one.
    fn new_request(&mut self) -> Option<Request> {
        let request = self.task.as_ref()?.request();
        if request == self.request {
            return None;
        }
        self.request.clone_from(&request);
        request
    }
}

impl Engine {
    /// Returns an engine whose command is not started yet.
    pub fn new(
        me: Process,
        ignored: u64,
        inbox: Inbox,
        foreign: Vec<Process>,
        record: Record,
        limits: Limits,
    ) -> Box<Engine> {
        let now = sys::now();
        Box::new(Engine {
            me,
            foreign,
            ignored,
            inbox,
            record,
            report: SelfReport::default(),
            notify: Notify::open().ok().map(|notify| Hearing::new(notify, me.pid)),
            output: None,
            watch: Watch::new(limits.clone(), now),
            limits,
            started: now,
            beats: Beats::new(now),
            group: None,
            unseen: None,
            refusal: None,
        })
    }

    /// Returns the environment variables for the command, of a task with this handle.
    pub fn variables(&self, handle: &str) -> Vec<(&'static str, OsString)> {
        let mut set: Vec<(&'static str, OsString)> =
            vec![("TASKWATCHER_HANDLE", handle.into()), ("TASKWATCHER_DB", self.record.db.clone().into())];
        if let Some(claimed) = self.record.claimed() {
            set.push(("TASKWATCHER_TASKID", claimed.id.to_string().into()));
            set.push((process::UPID_VARIABLE, claimed.upid.clone().into()));
        }
        if let Some(path) = self.record.feedback() {
            set.push(("TASKWATCHER_FEEDBACK", path.into()));
        }
        if let Some(notify) = &self.notify {
            set.push((notify::VARIABLE, notify.address().into()));
            if let Some(timeout) = self.limits.timeout {
                set.push(("WATCHDOG_USEC", timeout.as_micros().to_string().into()));
            }
        }
        set
    }

    /// Begins the watch of a command that was started just now.
    pub fn begin(&mut self) {
        self.started = sys::now();
        self.record.close_at = self.started.mono + CLOSE_AFTER;
        self.beats.begin(self.started, self.record.feedback());
        let timeout = self.limits.timeout.filter(|_| self.record.feedback().is_some());
        self.watch = Watch::new(Limits { timeout, ..self.limits.clone() }, self.started);
    }

    /// Begins the log of the task, if it has one.
    pub fn begin_log(&mut self, max: u64, from_terminal: bool) {
        if let (Some(output), Some(path)) =
            (&mut self.output, self.record.task.as_ref().and_then(|task| task.claimed.log.as_ref()))
        {
            output.begin_log(path, max, from_terminal);
        }
    }

    /// Notes where this process listens. After a re-execution the address is unknown, and noted already.
    pub fn note_address(&self) {
        let address = self.notify.as_ref().map(Hearing::address).filter(|address| !address.is_empty());
        if let (Some(task), Some(address)) = (&self.record.task, address) {
            task.note_address(address);
        }
    }

    /// Publishes the task's report about itself.
    pub fn publish(&self) {
        if let Some(task) = &self.record.task {
            task.publish(&self.report);
        }
    }

    /// Publishes whether the command is stopped by a signal.
    pub fn publish_paused(&mut self, paused: bool) {
        if self.report.paused != paused {
            self.report.paused = paused;
            self.publish();
        }
    }

    /// Returns when to wake for what the engine does itself, apart from the deadline of the watch.
    pub fn wake(&self, now: Tick) -> Option<Duration> {
        let wakes = [
            self.record.store.as_ref().map(|_| self.record.close_at),
            self.output.as_ref().and_then(|output| output.deadline(now)),
            self.unseen.as_ref().map(|_| now.mono + TRY_AGAIN),
            self.notify.as_ref().and_then(|notify| notify.wake(now.mono)),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Waits until `wake`, or until a signal, output or a message arrives, or a descriptor of the owner is ready.
    pub fn wait<'a>(
        &'a self,
        now: Tick,
        wake: Option<Duration>,
        reads: impl Iterator<Item = BorrowedFd<'a>>,
        writes: impl Iterator<Item = BorrowedFd<'a>>,
    ) {
        let timeout = wake.map(|at| at.saturating_sub(now.mono));
        let reads = self.output.iter().flat_map(TaskOutput::readable).chain(reads);
        let reads = reads.chain(self.notify.as_ref().and_then(|notify| notify.readable(now.mono)));
        let writes = self.output.iter().flat_map(TaskOutput::writable).chain(writes);
        if self.inbox.wait_with(timeout, reads, writes).is_err() {
            // Out of memory at the moment: everything is checked as if an event had arrived.
            sys::pause(TRY_AGAIN);
        }
    }

    /// Whether the output of the command that has ended was read to its end.
    pub fn has_all_output(&self, now: Tick) -> bool {
        self.output.as_ref().is_none_or(|output| output.is_complete(now))
    }

    /// Returns what the next message on the notify socket means, if there is one.
    pub fn hear(&mut self) -> Option<NotifyEvent> {
        let message = match self.notify.as_mut()?.next(sys::now().mono)? {
            LauncherMessage::Message(message) => message,
            LauncherMessage::Request => return Some(NotifyEvent::Request),
        };
        let now = sys::now();
        let report = model::notify::parse(&message);
        if report.beat {
            self.report.beat = Some(now.wall.0);
            if let Some(timeout) = self.limits.timeout {
                self.watch.listen(timeout, now);
            }
        }
        self.report.ready |= report.ready;
        if let Some(status) = report.status.filter(|_| self.report.refused.is_empty()) {
            self.report.status = status;
        }
        self.publish();
        Some(if report.beat { NotifyEvent::Beat(now) } else { NotifyEvent::Report })
    }

    /// Returns the event of a new request of `control kill`; each request once.
    pub fn requested(&mut self) -> Option<Event> {
        let request = self.record.new_request()?;
        Some(Event::StopAsked { by: request.by, signal: request.signal })
    }

    /// Passes the heartbeats of the feedback file and the time to the watch.
    pub fn tick(&mut self) {
        let now = sys::now();
        if self.watch.listens()
            && let Some(beat) = self.beats.look(self.record.feedback(), now)
        {
            self.act(Event::Beat, beat);
        }
        self.act(Event::Tick, now);
    }

    /// Passes one event to the watch and carries out its actions. Returns the end of the task, if this event was it.
    pub fn act(&mut self, event: Event, at: Tick) -> Option<Ended> {
        let mut end = None;
        // After the end, the watch returns an error, and nothing is done.
        for action in self.watch.handle(event, at).unwrap_or_default() {
            match action {
                WatchAction::Signal(signal) => self.signal_tree(signal),
                WatchAction::Save(status) => {
                    self.record.save_status(status, self.beats.last().unwrap_or(at.wall.secs()));
                }
                WatchAction::Finish(ended) => end = Some(ended),
            }
        }
        end
    }

    /// Signals the command's process group, if the group is signalled as a whole.
    pub fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = child::signal_group(group, signal);
        }
    }

    /// Signals the command's process group, and every descendant that left it.
    pub fn signal_tree(&mut self, signal: Signal) {
        self.signal_group(signal);
        self.deliver(Delivery::new(signal));
    }

    /// Signals every descendant outside the command's process group, or all of them with SIGKILL. If they cannot be
    /// listed or examined, the signal is sent later.
    fn deliver(&mut self, mut delivery: Delivery) {
        let Ok(mut tree) = self.descendants() else {
            self.unseen = Some(delivery);
            return;
        };
        if delivery.signal == Signal::KILL {
            // The whole tree, one process at a time: signalling a group succeeds if it reaches only one of its
            // processes.
            delivery.send(tree::targets(&tree));
            self.note_refused(std::mem::take(&mut delivery.refused));
        } else {
            tree.retain(|stat| Some(stat.pgrp) != self.group);
            delivery.send(tree::targets(&tree));
            // A stopped process cannot act on a polite signal.
            self.signal_group(Signal::CONT);
            tree::signal_each(&tree, Signal::CONT);
        }
        if delivery.missed.is_some() {
            self.unseen = Some(delivery);
        }
    }

    /// Repeats a delivery to a process tree that could not be listed. Returns whether there was one.
    pub fn retry_delivery(&mut self) -> bool {
        let Some(delivery) = self.unseen.take() else { return false };
        self.deliver(if self.watch.is_killing() { Delivery::new(Signal::KILL) } else { delivery });
        true
    }

    /// Makes the process tree be examined again soon, because that was not possible.
    pub fn look_again(&mut self) {
        self.unseen.get_or_insert_with(|| Delivery::new(Signal::CONT));
    }

    /// Whether a signal still has to be sent.
    pub fn owes_signal(&self) -> bool {
        self.unseen.is_some()
    }

    /// Returns all live processes of the run.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn descendants(&self) -> std::io::Result<Vec<process::Stat>> {
        process::descendants(self.me.pid, &self.foreign)
    }

    /// Records processes that cannot be killed, once for each. The task continues until they end by themselves.
    pub fn note_refused(&mut self, refused: Vec<Process>) {
        let is_known = refused.iter().all(|process| self.report.refused.contains(process));
        if refused.is_empty() || is_known {
            return;
        }
        let why = tree::describe(&refused);
        if let Some(output) = &mut self.output {
            output.note(&format!("cannot be ended: {why}"));
        }
        self.report.refused = refused;
        self.report.status.clone_from(&why);
        self.publish();
        self.refusal = Some(why);
    }
}

/// Returns the event of a signal to this process that requests the end, with user and process of its sender.
pub fn stop_asked(signal: Signal, sender: Option<(u32, i32)>) -> Event {
    let sender = sender.map(|(uid, pid)| (sys::login_of(uid), pid));
    let with = signal.is_passed_on().then_some(signal);
    Event::StopAsked { by: Asker::Signal { signal, sender }, signal: with }
}
