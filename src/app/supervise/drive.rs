//! Passes events to the state machines and carries out their actions.
//!
//! Nothing here waits. The main loop reports events (a run's file was written, a process ended, a
//! client sent a request, time passed) and asks for the next deadline.

use std::{collections::VecDeque, ffi::OsString, sync::Arc, time::Duration};

use super::{
    groups,
    state::{Proc, Shutdown, Supervisor, Unsent},
    waiters::Waiter,
};
use crate::{
    app::tree::Delivery,
    io::{notify, process, sys},
    model::{
        machine::{Action, End, Event, Illegal, KillError, Machine, Rank, Sequence, Starts, StopWhy, Transition},
        program::{ProcState, ProgramSpec},
        run_tracker::Progress,
        shim::{ShimCommand, SupervisorId},
        task::{Exit, Signal},
        wire::{Notice, ProcessEntry, ProcessInfo, StateNotice},
    },
};

/// Files of ended runs that are kept for future ones, at most.
const SPARES: usize = 4 * Starts::WINDOW;
/// Files that are always kept, so that running programs can be restarted when the disk is full.
const FEW_SPARES: usize = 4;
/// A stop that takes longer than this is logged, then again after twice the time, and so on; the
/// requirement is at most every 2 s.
const STILL_WAITING: Duration = Duration::from_secs(2);
/// Longest interval of these log lines.
const WAITING_AGAIN: Duration = Duration::from_secs(60);
/// Delay of writing job numbers, counted from the first change.
const JOBS_AFTER: Duration = Duration::from_millis(100);
/// How long an orderly end waits for the ends of all runs to be recorded.
const RECORDING: Duration = Duration::from_secs(3);
/// Interval of checking whether they are recorded.
const LOOK_AT_RECORDS: Duration = Duration::from_millis(100);
/// Delay before a signal that could not be sent is retried.
const SEND_AGAIN: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Passes an event to a machine and carries out the resulting actions and events.
    pub(super) fn feed(&mut self, name: &str, event: Event) -> Result<(), Illegal> {
        let mut events = VecDeque::from([event]);
        let mut first = None;
        while let Some(event) = events.pop_front() {
            let now = sys::now().mono;
            let Some(proc) = self.procs.get_mut(name) else { break };
            let handled = proc.machine.handle(event, now);
            let result = match handled {
                Ok(actions) => {
                    actions.into_iter().for_each(|action| self.act(name, action, &mut events));
                    Ok(())
                }
                Err(illegal) => {
                    if let Illegal::Impossible { .. } = illegal {
                        self.log.critical(&format!("impossible: {name}: {illegal}"));
                    }
                    Err(illegal)
                }
            };
            first.get_or_insert(result);
        }
        if let Some(proc) = self.procs.get_mut(name) {
            proc.keep_left();
        }
        self.set_timer(name);
        first.unwrap_or(Ok(()))
    }

    /// Updates the timer of a process.
    pub(super) fn set_timer(&mut self, name: &str) {
        let wanted = self.procs.get(name).and_then(Proc::deadline);
        match wanted {
            Some(at) => self.pending.timers.insert(name.to_owned(), at),
            None => self.pending.timers.remove(name),
        };
    }

    fn act(&mut self, name: &str, action: Action, events: &mut VecDeque<Event>) {
        match action {
            Action::Spawn => {
                self.starts.push(self.procs.get(name).map_or_else(|| Rank::of(name), |proc| proc.rank(name)))
            }
            Action::Signal { signal, group } => events.extend(self.signal(name, signal, group, true)),
            Action::Kill { group } => {
                self.wake_shim(name);
                events.extend(self.signal(name, Signal::KILL, group, true));
            }
            // Marked as part of a stop, it would make the shim wait for a group that is not being
            // killed.
            Action::Pass { signal, group } => events.extend(self.signal(name, signal, group, false)),
            Action::CheckAlive => events.extend(self.look(name)),
            Action::CleanGroup => self.clean(name, events),
            Action::Say(change) => self.say(name, &change),
            Action::Warn(warning) => {
                let leading_word = match warning {
                    crate::model::machine::Warning::Killing(_) => "killing",
                    _ => "warning",
                };
                self.log.warn(&format!("{leading_word}: {name}: {warning}"));
            }
        }
    }

    /// Sends a signal to the run of a process, through its shim if there is one. Returns the
    /// failure.
    fn signal(&mut self, name: &str, signal: Signal, group: bool, is_stop: bool) -> Option<Event> {
        let proc = self.procs.get(name)?;
        let why = proc.machine.stopping_why().filter(|_| is_stop).map(|why| why.as_cause().to_owned());
        let gone = Some(Event::KillFailed(KillError::Gone));
        if proc.run.is_none() {
            return gone;
        }
        let to = if group { "its group" } else { "its process" };
        let reason = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        self.log.debug(&format!("signal: {name}: {signal} to {to}{reason}"));
        let proc = self.procs.get(name)?;
        let Some(run) = &proc.run else { return gone };
        let command = ShimCommand::Signal { signal, group, why };
        if !run.orphan && notify::send_command(&run.socket, command.to_message().as_bytes()).is_ok() {
            return None;
        }
        let handle = run.handle.clone();
        self.deliver(name, Unsent { handle, delivery: Delivery::new(signal), group, reported: false })
    }

    /// Sends a signal to a run without a shim. Processes that cannot be examined now get the signal
    /// later.
    fn deliver(&mut self, name: &str, mut unsent: Unsent) -> Option<Event> {
        let gone = Some(Event::KillFailed(KillError::Gone));
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref()).filter(|run| run.handle == unsent.handle);
        let Some((run, command)) = run.and_then(|run| Some((run, run.command?))) else { return gone };
        let members = if unsent.group { groups::members(run) } else { Ok(vec![]) };
        let members = members.map(|members| members.into_iter().map(|member| (member, false)).collect());
        let delivery = &mut unsent.delivery;
        delivery.send_to_group(Some((command, false)), members);
        if let Some(error) = delivery.refusal.take() {
            return Some(Event::KillFailed(KillError::Denied(error.to_string())));
        }
        let is_reached = !delivery.reached.is_empty();
        match delivery.missed.take() {
            Some(error) => {
                let signal = delivery.signal;
                if !std::mem::replace(&mut unsent.reported, true) {
                    self.log.warn(&format!("warning: {name}: {signal} was not sent yet: {error}; retrying"));
                }
                self.pending.unsent.push(unsent);
                self.pending.send_at.get_or_insert(sys::now().mono + SEND_AGAIN);
                None
            }
            None if is_reached => None,
            None => gone,
        }
    }

    /// Retries the signals that could not be sent.
    fn send_again(&mut self) {
        self.pending.send_at = None;
        for unsent in std::mem::take(&mut self.pending.unsent) {
            let Some(name) = self.index.by_handle.get(&unsent.handle).cloned() else { continue };
            if let Some(event) = self.deliver(&name, unsent) {
                let _ = self.feed(&name, event);
            }
        }
    }

    /// Continues a paused shim, which would not receive commands.
    fn wake_shim(&self, name: &str) {
        let Some(shim) = self.procs.get(name).and_then(|proc| proc.run.as_ref()?.shim) else { return };
        if process::stat(shim.pid).is_some_and(|stat| stat.process == shim && stat.stopped) {
            // Fails harmlessly if the shim has ended meanwhile.
            let _ = process::signal(shim, Signal::CONT);
        }
    }

    /// Checks whether the command of a process is alive, for a machine that waits until it has run
    /// long enough.
    fn look(&mut self, name: &str) -> Option<Event> {
        let proc = self.procs.get(name)?;
        let run = proc.run.as_ref()?;
        let command = run.command?;
        match process::open(command) {
            // If that is unknown, the shim or the watch reports the end.
            Ok(Some(_)) | Err(_) => Some(Event::SeenAlive),
            // The report of its end is on its way.
            Ok(None) => None,
        }
    }

    pub(super) fn forget_run(&mut self, handle: &str) {
        // The shim may have left the end of the run beside a locked database.
        self.records.look_again();
        self.index.by_handle.remove(handle);
        if self.index.spares.len() < SPARES
            && self.shutdown.is_none()
            && let Ok(next) = sys::new_handle()
            && self.runs.hand_on(handle, next.as_str()).is_ok()
        {
            self.index.spares.push(next);
        } else {
            self.runs.remove(handle);
            // The spare file, if the run never used it.
            self.runs.remove_spare(handle);
            if self.shutdown.is_none() {
                self.make_spares();
            }
        }
    }

    /// Reserves room for ends of runs that neither the database nor the disk can take.
    pub(super) fn make_room_for_late(&mut self) {
        if let Err(error) = self.runs.make_room_for_late() {
            self.log.warn(&format!("warning: no room is reserved in {}: {error}", self.runs.path().display()));
        }
    }

    /// Creates files for future runs, if there are few.
    pub(super) fn make_spares(&mut self) {
        for _ in self.index.spares.len()..FEW_SPARES {
            if let Ok(next) = sys::new_handle()
                && self.runs.make_spare(next.as_str()).is_ok()
            {
                self.index.spares.push(next);
            }
        }
    }

    /// Handles the end of a child.
    pub(super) fn child_gone(&mut self, pid: i32, exit: Exit) {
        match self.index.children.remove(&pid) {
            Some(handle) => self.shim_gone(&handle, Some(exit)),
            None if self.hook_gone(pid, exit) => {}
            None => self.log.info(&format!("reaped: process {pid}, which is unknown")),
        }
    }

    /// Runs the hook of a process for a state, if it has one.
    fn run_hook(&mut self, name: &str, state: ProcState) {
        let Some(proc) = self.procs.get(name) else { return };
        // Includes the hook for all programs, unless the program disables it.
        let Some(hook) = proc.spec.hook.as_ref().filter(|hook| hook.states.contains(&state)) else { return };
        let task = format!("{}.hook", proc.spec.full_name());
        let mut env = vec![
            ("TASKMASTER_PROCESS_NAME", OsString::from(&proc.spec.name)),
            ("TASKMASTER_GROUP_NAME", OsString::from(&proc.spec.group)),
            ("TASKMASTER_STATE", OsString::from(state.as_str())),
            ("TASKMASTER_DESCRIPTION", self.info(name).map(|info| info.description).unwrap_or_default().into()),
        ];
        if let Some(url) = self.config.server_url(&proc.spec) {
            env.push(("TASKMASTER_SERVER_URL", url.to_string().into()));
        }
        self.hooks.add(name, &task, &hook.command, env, (&self.own.launch, &self.own.db), &mut self.log);
    }

    /// Runs the hooks that are due and could not be run before.
    pub(super) fn run_due_hooks(&mut self) {
        self.hooks.run_due(&self.own.launch, &mut self.log);
    }

    /// Handles the end of a child; returns true if it was a hook.
    fn hook_gone(&mut self, pid: i32, exit: Exit) -> bool {
        let Some(name) = self.hooks.ended(pid) else { return false };
        self.records.look_again();
        if exit != Exit::Code(0) {
            let words = how_ended(End::ByItself(exit));
            let task = format!("see the task {name}.hook in history");
            self.log.warn(&format!("warning: {name}: its hook failed: {words}; {task}"));
        }
        self.hooks.run(&name, &self.own.launch, &mut self.log);
        true
    }

    /// Starts waiting processes in the order of starts, as far as parallel starts are permitted.
    pub(super) fn launch_waiting(&mut self) {
        self.starts.close();
        let procs = &self.procs;
        let is_wanted = |name: &str| procs.get(name).is_some_and(|proc| proc.machine.state() == ProcState::Starting);
        for name in self.starts.take_unwanted(is_wanted) {
            if self.procs.get(&name).is_some_and(|proc| proc.machine.state() == ProcState::Stopping) {
                let cause = "stopped before it was started".to_owned();
                let _ = self.feed(&name, Event::SpawnFailed { cause, passing: true });
            }
        }
        while let Some(turn) = self.starts.next(sys::now().mono) {
            let name = turn.name().to_owned();
            let state = self.procs.get(&name).map(|proc| proc.machine.state());
            let failed = match state {
                Some(ProcState::Starting) => {
                    if let Some(other) = turn.overtakes() {
                        self.log.warn(&format!("warning: {name}: not waiting any longer for the start of {other}"));
                    }
                    self.number(&name);
                    self.begin_run(&name, &turn)
                }
                // Not wanted any more.
                Some(_) | None => continue,
            };
            if let Err(cause) = failed {
                // None of these failures is the program's fault.
                let _ = self.feed(&name, Event::SpawnFailed { cause, passing: true });
            }
        }
    }

    /// Returns the next time at which something is due without an event.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let timers = self.pending.timers.values().copied();
        let waiters = self.clients.waiters.iter().filter_map(Waiter::deadline);
        // The records written by the database thread are polled.
        let recording = self.shutdown.as_ref().and_then(|shutdown| shutdown.record_until);
        let recording = recording.map(|until| until.min(sys::now().mono + LOOK_AT_RECORDS));
        timers
            .chain(waiters)
            .chain(self.starts.deadline(sys::now().mono))
            .chain(recording)
            .chain(self.kept.jobs_due)
            .chain(self.on_disk.deadline())
            .chain(self.pending.hear_at)
            .chain(self.pending.send_at)
            .min()
    }

    /// Handles everything that is due.
    pub(super) fn tick(&mut self) {
        let now = sys::now().mono;
        let due = self.pending.timers.iter().filter(|(_, at)| **at <= now);
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            if self.procs.get(&name).and_then(|proc| proc.machine.deadline()).is_some_and(|at| at <= now) {
                let _ = self.feed(&name, Event::Tick);
            }
            self.say_waiting(&name, now);
            self.set_timer(&name);
        }
        self.time_out_waiters(now);
        self.time_out_reading(now);
        if self.kept.jobs_due.is_some_and(|due| due <= now) {
            self.write_jobs();
        }
        if self.pending.hear_at.is_some_and(|at| at <= now) {
            self.hear_again();
        }
        if self.pending.send_at.is_some_and(|at| at <= now) {
            self.send_again();
        }
    }

    /// Assigns a job number to a process.
    pub(super) fn number(&mut self, name: &str) {
        if self.kept.jobs.of(name).is_none() {
            self.kept.jobs.give(name);
            self.kept.jobs_due.get_or_insert(sys::now().mono + JOBS_AFTER);
        }
    }

    /// Frees the job number of a process.
    pub(super) fn free_number(&mut self, name: &str) {
        if self.kept.jobs.forget(name).is_some() {
            self.kept.jobs_due.get_or_insert(sys::now().mono + JOBS_AFTER);
        }
    }

    /// Writes the job numbers for the next supervisor, if programs will be left for it to adopt.
    pub(super) fn write_jobs(&mut self) {
        self.kept.jobs_due = None;
        let continues = self.shutdown.as_ref().is_none_or(|shutdown| shutdown.leave_running || shutdown.asked > 2);
        let text = continues.then(|| self.kept.jobs.to_text());
        if let Err(error) = self.runs.write_jobs(text.as_deref()) {
            self.log.warn(&format!("warning: cannot write into {}: {error}", self.runs.path().display()));
        }
    }

    /// Logs that a process is still stopping.
    fn say_waiting(&mut self, name: &str, now: Duration) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        let Some((_, gap)) = proc.waiting.filter(|(at, _)| *at <= now) else { return };
        let gap = (gap * 2).min(WAITING_AGAIN);
        proc.waiting = Some((now + gap, gap));
        let how = proc.machine.describe(now, "");
        self.log.info(&format!("waiting: still waiting for {}: {how}", proc.spec.full_name()));
    }

    /// Handles a change of state: logs it and notifies listeners and waiters.
    fn say(&mut self, name: &str, change: &Transition) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        if change.to == ProcState::Starting && !matches!(change.from, ProcState::Backoff) {
            proc.attempt = 0;
        }
        let full = proc.spec.full_name();
        let retries = proc.machine.policy().startretries;
        let task = proc.task.map(|task| format!(", task {task}")).unwrap_or_default();
        let pid = change.pid.map(|pid| format!(" (pid {pid}{task})")).unwrap_or_default();
        let stops = change.to == ProcState::Stopping;
        proc.waiting = stops.then(|| (sys::now().mono + STILL_WAITING, STILL_WAITING));
        let how = change.end.map(how_ended).unwrap_or_default();
        let left_alone = || proc.machine.describe(sys::now().mono, "");
        let cause = match &change.cause {
            Some(cause) => cause.clone(),
            None if change.to == ProcState::Unknown => left_alone(),
            None => how.clone(),
        };
        let (level, text) = match change.to {
            ProcState::Starting => (None, String::new()),
            ProcState::Running if change.from == ProcState::Starting => (Some(false), format!("running: {full}{pid}")),
            ProcState::Running => (Some(false), format!("adopted: {full}{pid}")),
            ProcState::Backoff => {
                let left = retries.map(|retries| format!(" of {retries}")).unwrap_or_default();
                let goes_on = retries.is_none_or(|retries| change.fails <= retries);
                let next = change.next_in.filter(|_| goes_on);
                let next = next.map(|next| match change.hindered {
                    true => format!("; tried again in {} s, until that passes", next.as_secs()),
                    false => format!("; try {}{left} in {} s", change.fails, next.as_secs()),
                });
                (Some(change.hindered), format!("backoff: {full}: {cause}{}", next.unwrap_or_default()))
            }
            ProcState::Stopping => {
                let why = change.why.map(StopWhy::as_cause).unwrap_or_default();
                (Some(false), format!("stopping: {full}{pid}: {why}"))
            }
            ProcState::Stopped => {
                let how = if how.is_empty() { String::new() } else { format!(": {how}") };
                (Some(false), format!("stopped: {full}{pid}{how}"))
            }
            ProcState::Exited => {
                let expected = change.expected == Some(true);
                let word = if expected { "expected" } else { "not expected" };
                (Some(!expected), format!("exited: {full}{pid}: {how}; {word}"))
            }
            ProcState::Fatal => {
                let starts = if change.fails == 1 { "start" } else { "starts" };
                (Some(true), format!("fatal: {full}: {cause}; gave up after {} {starts}", change.fails))
            }
            ProcState::Unknown => (Some(true), format!("lost: {full}{pid}: {cause}")),
        };
        let why = change.why.map(|why| format!(": {}", why.as_cause())).unwrap_or_default();
        self.log.debug(&format!("state: {full}: {} to {}{why}", change.from, change.to));
        match level {
            Some(true) => self.log.warn(&text),
            Some(false) => self.log.info(&text),
            None => {}
        }
        let notice = StateNotice {
            name: full,
            from: change.from,
            to: change.to,
            pid: change.pid.unwrap_or(0),
            task_id: self.procs.get(name).and_then(|proc| proc.task),
            exit_code: exit_code(change.end),
            exit_signal: exit_signal(change.end),
            expected: change.expected,
            fails: change.fails,
        };
        self.clients.notices.push((Notice::State(notice), sys::now().wall.secs()));
        self.remember_stop(name, change);
        if change.to.is_down()
            && change.to != ProcState::Unknown
            && let Some(proc) = self.procs.get_mut(name)
            && let Some(next) = proc.next.take()
        {
            proc.spec = next;
        }
        self.run_hook(name, change.to);
        self.update_waiters(name, change);
        self.advance_shutdown();
        if change.to.is_down() {
            self.leave(name);
        }
    }

    /// Removes a process that is down and due for removal, and inserts its replacement.
    fn leave(&mut self, name: &str) {
        let Some(proc) = self.procs.get(name).filter(|proc| proc.removing) else { return };
        if proc.machine.state() == ProcState::Unknown {
            return;
        }
        self.take_out(name);
    }

    /// Removes a process that is down, and inserts its replacement.
    pub(super) fn take_out(&mut self, name: &str) {
        let Some(proc) = self.procs.remove(name) else { return };
        self.set_timer(name);
        self.free_number(name);
        self.log.info(&format!("removed: {}", proc.spec.full_name()));
        // No replacement while the supervisor is shutting down.
        if let Some((spec, start)) = proc.after.filter(|_| self.shutdown.is_none()) {
            self.put_in(spec, start, proc.writer);
        }
    }

    /// Adds a process.
    pub(super) fn insert(&mut self, spec: ProgramSpec, start: bool) {
        self.put_in(spec, start, Arc::default());
    }

    fn put_in(&mut self, spec: ProgramSpec, start: bool, writer: Arc<()>) {
        let name = spec.name.clone();
        let machine = Machine::new(spec.policy.clone(), self.config.server.restart_throttle);
        let proc = Proc {
            spec,
            next: None,
            machine,
            run: None,
            task: None,
            start: 0,
            stop: 0,
            attempt: 0,
            removing: false,
            after: None,
            waiting: None,
            left: vec![],
            writer,
        };
        self.procs.insert(name.clone(), proc);
        self.divert_logs(&name);
        if start {
            let _ = self.feed(&name, Event::Autostart);
        }
    }

    /// Starts the shutdown: programs are stopped tier by tier.
    pub(super) fn shut_down(&mut self, leave_running: bool) {
        if self.shutdown.is_some() {
            return;
        }
        let words = if leave_running { "shutdown: programs keep running" } else { "shutdown: stopping all programs" };
        self.log.info(words);
        self.clients.notices.push((Notice::Shutdown, sys::now().wall.secs()));
        // No more runs will start.
        self.index.spares.drain(..).for_each(|next| self.runs.remove_spare(next.as_str()));
        let ranks = self.ranks(|_| true);
        self.shutdown =
            Some(Shutdown { sequence: Sequence::stopping(ranks), asked: 0, leave_running, record_until: None });
        notify::notify_manager("STOPPING=1");
        for name in self.procs.keys().cloned().collect::<Vec<_>>() {
            let _ = self.feed(&name, Event::ShuttingDown);
        }
        self.advance_shutdown();
    }

    /// Handles a signal that requests the end: the second one kills all programs, the third one
    /// ends the supervisor as it is. Requests of clients are not counted, so that a service manager
    /// can repeat a client's request by a signal.
    pub(super) fn asked_by_signal(&mut self) {
        let Some(shutdown) = &mut self.shutdown else { return };
        shutdown.asked += 1;
        match shutdown.asked {
            2 => {
                self.log.warn("shutdown: requested again: SIGKILL to all programs");
                for name in self.procs.keys().cloned().collect::<Vec<_>>() {
                    let _ = self.feed(&name, Event::StopAsked { why: StopWhy::Shutdown, now: true });
                }
            }
            3 => self.log.warn("shutdown: requested a third time: running programs are left to the next supervisor"),
            _ => {}
        }
    }

    pub(super) fn advance_shutdown(&mut self) {
        let Some(mut shutdown) = self.shutdown.take() else { return };
        let next = match shutdown.leave_running {
            true => vec![],
            false => shutdown.sequence.next(|name| self.is_gone(name)),
        };
        self.shutdown = Some(shutdown);
        for name in next {
            let _ = self.feed(&name, Event::StopAsked { why: StopWhy::Shutdown, now: false });
        }
    }

    fn is_gone(&self, name: &str) -> bool {
        self.procs.get(name).is_none_or(|proc| proc.machine.state().is_down())
    }

    /// Whether the supervisor may exit: all programs are down and the history has their ends, so
    /// that a client that waited for the shutdown finds them there. A database that cannot be
    /// written does not delay the exit; the shims wait for it.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(shutdown) = &self.shutdown else { return false };
        if shutdown.leave_running || shutdown.asked > 2 {
            return true;
        }
        if !shutdown.sequence.is_done(|name| self.is_gone(name)) {
            return false;
        }
        let now = sys::now().mono;
        let until = shutdown.record_until.unwrap_or(now + RECORDING);
        let has_shim = self.index.by_handle.iter().any(|(handle, name)| self.is_recording(handle, name));
        let kept = self.runs.has_late();
        if kept && self.shutdown.as_ref().is_some_and(|shutdown| shutdown.record_until.is_none()) {
            self.records.settle();
        }
        let recorded = !has_shim && !kept;
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.record_until = Some(until);
        }
        recorded || now >= until
    }

    /// Whether this run has ended while its shim is still there.
    fn is_recording(&self, handle: &str, name: &str) -> bool {
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref());
        run.is_none_or(|run| run.handle != handle || run.progress == Progress::Ended)
    }

    /// Returns the ranks of processes in the order of starts.
    pub(super) fn ranks(&self, wanted: impl Fn(&str) -> bool) -> Vec<Rank> {
        let procs = self.procs.iter().filter(|(name, _)| wanted(name));
        procs.map(|(name, proc)| proc.rank(name)).collect()
    }

    /// Returns all processes for the lookup of names.
    pub(super) fn catalog(&self) -> Vec<ProcessEntry> {
        let entry = |proc: &Proc| ProcessEntry {
            group: proc.spec.group.clone(),
            program: proc.spec.program.clone(),
            process: proc.spec.name.clone(),
        };
        self.procs.values().map(entry).collect()
    }

    /// Returns the status of a process.
    pub(super) fn info(&self, name: &str) -> Option<ProcessInfo> {
        let proc = self.procs.get(name)?;
        let now = sys::now();
        let machine = &proc.machine;
        let end = machine.last_end();
        let ended = match proc.stop {
            0 => String::new(),
            secs => sys::log_stamp(crate::model::task::Timestamp::from_secs(secs))[..19].to_owned(),
        };
        let log = |stream| self.log_path(&proc.spec, stream).map(|path| path.display().to_string());
        Some(ProcessInfo {
            group: proc.spec.group.clone(),
            name: proc.spec.name.clone(),
            program: proc.spec.program.clone(),
            process_num: proc.spec.process_num,
            state: machine.state(),
            statecode: machine.state().code(),
            description: machine.describe(now.mono, &ended),
            pid: machine.pid().unwrap_or(0),
            task_id: proc.task,
            start: proc.start,
            stop: proc.stop,
            now: now.wall.secs(),
            uptime: machine.uptime(now.mono).map_or(0, |uptime| uptime.as_secs()),
            exit_code: exit_code(end.map(|(end, _)| end)),
            exit_signal: exit_signal(end.map(|(end, _)| end)),
            core: matches!(end.and_then(|(end, _)| end.exit()), Some(Exit::Signal { core: true, .. })),
            expected: end.and_then(|(_, expected)| expected),
            spawn_error: machine.spawn_error().map(str::to_owned),
            fails: machine.fails(),
            startretries: machine.policy().startretries,
            next_try: machine.next_try(now.mono).map(|left| left.as_millis().div_ceil(1000) as u64),
            leftover: machine.leftover(),
            adopted: machine.is_adopted(),
            stdout_log: log(1),
            stderr_log: log(2),
            config_changed: proc.next.is_some(),
        })
    }
}

fn how_ended(end: End) -> String {
    match end.exit() {
        None => "exit status not observed".to_owned(),
        Some(Exit::Code(code)) => format!("exit status {code}"),
        Some(Exit::Signal { signal, core }) => {
            format!("killed by {signal}{}", if core { " (core dumped)" } else { "" })
        }
    }
}

fn exit_code(end: Option<End>) -> Option<i32> {
    match end?.exit()? {
        Exit::Code(code) => Some(code),
        Exit::Signal { .. } => None,
    }
}

fn exit_signal(end: Option<End>) -> Option<String> {
    match end?.exit()? {
        Exit::Code(_) => None,
        Exit::Signal { signal, .. } => Some(signal.to_string()),
    }
}

impl Supervisor {
    /// Logs the states of all processes (SIGUSR1).
    pub(super) fn dump(&mut self) {
        self.log.info("signal: SIGUSR1: the state of all processes");
        self.count_left();
        let names: Vec<String> = self.procs.keys().cloned().collect();
        for name in names {
            let Some(info) = self.info(&name) else { continue };
            let task = info.task_id.map(|task| format!(", task {task}")).unwrap_or_default();
            self.log.info(&format!("state: {} {} {}{task}", info.full_name(), info.state, info.description));
        }
    }

    /// Handles a removed run folder: all shims write their files again.
    pub(super) fn runs_are_gone(&mut self) {
        self.index.spares.clear();
        self.make_spares();
        for run in self.procs.values().filter_map(|proc| proc.run.as_ref()) {
            // Fails harmlessly if the shim is gone.
            let _ = notify::send_command(&run.socket, ShimCommand::Write.to_message().as_bytes());
        }
        self.write_self();
    }

    /// Writes the supervisor's pid and socket into the run folder.
    pub(super) fn write_self(&mut self) {
        let socket = self.config.unix.as_ref().map(|unix| unix.file.clone());
        let supervisor = SupervisorId { process: self.own.me, boot: self.own.boot.clone(), socket };
        if let Err(error) = self.runs.write_self(&supervisor.to_text()) {
            self.log.warn(&format!("warning: cannot write into {}: {error}", self.runs.path().display()));
        }
    }
}
