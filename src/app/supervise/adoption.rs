//! Adopting the runs of an earlier supervisor.

use std::{io, time::Duration};

use super::{
    groups,
    runs::{GROUP_NAME, PROCESS_NAME},
    state::Supervisor,
};
use crate::{
    io::{notify, process, sys},
    model::{
        jobs::JobNumbers,
        machine::{Event, Survivor},
        program::ProgramSpec,
        reconcile::Life,
        run_tracker::{
            GroupAdoption, GroupOwner, Progress, Remains, RunTracker, Sorted, adopt_group, remains, sort, survivor,
        },
        shim::{Phase, Run, ShimCommand},
        task::{Process, Signal},
    },
};

/// How long runs of an earlier supervisor that are being started are waited for: twice their own
/// longest wait for the database. A slower one is adopted as it is.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_STEP: Duration = Duration::from_millis(20);
/// Longest wait for a file of an earlier supervisor that cannot be read.
const READABLE: Duration = Duration::from_secs(10);

/// Reads a file of an earlier supervisor, retrying temporary errors: a run that is not found would
/// be started a second time.
pub(super) fn once_readable<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = sys::now().mono + READABLE;
    loop {
        match read() {
            Err(_) if sys::now().mono < until => sys::pause(SETTLE_STEP),
            done => return done,
        }
    }
}

/// Returns whether the shim and the command of a run live; a command that is not known to run is gone.
fn lives(run: &Run) -> (Life, Life) {
    let command = match run.phase {
        Phase::Running { command, .. } => process::look(command),
        Phase::Starting | Phase::Failed { .. } | Phase::Ended { .. } => Life::Gone,
    };
    (process::look(run.shim), command)
}

/// Returns the name of the process of a run, without its group.
fn process_name(run: &Run) -> &str {
    run.process.rsplit_once(':').map_or(&run.process, |(_, name)| name)
}

impl Supervisor {
    /// Adopts the runs that an earlier supervisor left. To be called before anything is started.
    pub(super) fn adopt_all(&mut self) {
        match once_readable(|| self.runs.read_jobs()) {
            Ok(Some(text)) => self.kept.jobs = JobNumbers::parse(&text, |name| self.procs.contains_key(name)),
            Ok(None) => {}
            Err(error) => self.log.warn(&format!("warning: job numbers start over: {error}")),
        }
        let handles = match once_readable(|| self.runs.list()) {
            Ok(handles) => handles,
            Err(error) => {
                self.log.error(&format!("lost: cannot read the run folder: {error}"));
                return;
            }
        };
        let began = sys::now().mono;
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for handle in handles {
            match self.sorted(&handle, began) {
                Ok(Some((Sorted::Live, run))) => live.push((handle, run)),
                Ok(Some((Sorted::Ended, run))) => ended.push((handle, run)),
                Ok(Some((Sorted::Wait | Sorted::Stale, _)) | None) => self.runs.remove(&handle),
                Err(error) => {
                    let (folder, what) = (self.runs.path().display(), "its program may be started a second time");
                    self.log.error(&format!("lost: cannot read run {handle} in {folder}: {error}; {what}"));
                }
            }
        }
        // A live run must get its process before the remains of an ended one.
        for (handle, run) in live.into_iter().chain(ended) {
            self.adopt(&handle, &run);
        }
    }

    /// Returns what a run is, once its start is over, or since `began` was waited for long enough.
    fn sorted(&self, handle: &str, began: Duration) -> io::Result<Option<(Sorted, Run)>> {
        loop {
            let Some(run) = once_readable(|| self.written(handle))? else { return Ok(None) };
            let patient = sys::now().mono.saturating_sub(began) <= SETTLE;
            let (shim, command) = lives(&run);
            match sort(&run.phase, run.boot == self.own.boot, shim, command, patient) {
                Sorted::Wait => sys::pause(SETTLE_STEP),
                sorted => return Ok(Some((sorted, run))),
            }
        }
    }

    fn adopt(&mut self, handle: &str, run: &Run) {
        let (shim, command) = lives(run);
        match remains(&run.phase, shim, command) {
            Remains::Nothing { remove, missed } => {
                self.report_missed(run, missed);
                if remove {
                    self.runs.remove(handle);
                }
            }
            Remains::Group { command, missed } => {
                self.report_missed(run, missed);
                self.adopt_group(handle, run, command);
            }
            Remains::Run { command } => self.adopt_run(handle, run, command, shim),
        }
    }

    fn report_missed(&mut self, run: &Run, missed: bool) {
        if missed {
            self.log.warn(&format!("lost: {}: ended while no supervisor was running", run.process));
        }
    }

    /// Adopts a live run; without a `command` it is still being started.
    fn adopt_run(&mut self, handle: &str, run: &Run, command: Option<Process>, shim: Life) {
        let name = process_name(run).to_owned();
        let known = self.procs.get(&name).filter(|proc| proc.run.is_none());
        let same_version = known.map(|proc| proc.spec.version() == run.version);
        let survivor = survivor(same_version, self.config.server.orphans);
        let name = if same_version.is_some() { name } else { self.insert_ghost(run, &name) };
        // For a start that is to be left alone, only its shim is known.
        let command = command.or_else(|| (survivor == Survivor::Leave).then_some(run.shim));
        let since = match run.phase {
            Phase::Running { since, .. } => since,
            Phase::Starting | Phase::Failed { .. } | Phase::Ended { .. } => sys::now(),
        };
        let Some(proc) = self.procs.get_mut(&name) else { return };
        (proc.task, proc.start) = (run.task, since.wall.secs());
        let progress = if command.is_some() { Progress::Started } else { Progress::Nothing };
        proc.run = Some(RunTracker::taken_over(run, progress, command, shim));
        self.index.by_handle.insert(handle.to_owned(), name.clone());
        self.number(&name);
        match command {
            Some(command) => {
                let age = sys::now().mono.saturating_sub(since.mono);
                let _ = self.feed(&name, Event::Adopted { pid: command.pid, age, survivor });
            }
            None => self.adopt_start(handle, &name, survivor),
        }
        match command.filter(|_| shim == Life::Gone) {
            Some(command) => self.watch_command(handle, process::open(command)),
            None => self.watch_shim(handle, run.shim),
        }
        // Changes that were written between the first read and now.
        self.heard(handle);
        if survivor == Survivor::Adopt {
            // The shim still has the policy of the start.
            self.tell_policy(&name);
        }
    }

    /// Handles the remaining group of an ended run, whose shim may be about to kill it, or is gone.
    /// If configured, the group is killed before the process starts again; otherwise its members
    /// are counted.
    fn adopt_group(&mut self, handle: &str, run: &Run, command: Process) {
        let name = process_name(run).to_owned();
        let shim = process::look(run.shim);
        let mut tracker = RunTracker::taken_over(run, Progress::Ended, Some(command), shim);
        // Long after the end of the group its number may be reused, so its members must be
        // recognized by their variables.
        let is_of_it = |member: &Process| {
            let is = |variable, value: &str| {
                process::variable(member.pid, variable).is_some_and(|is| is == value.as_bytes())
            };
            shim != Life::Gone || is(PROCESS_NAME, &name) && is(GROUP_NAME, &run.group)
        };
        let left = once_readable(|| groups::members(&tracker)).unwrap_or_default();
        let left: Vec<Process> = left.into_iter().filter(is_of_it).collect();
        let leftover = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let owner = self
            .procs
            .get(&name)
            .map(|proc| GroupOwner { kills_group: proc.machine.policy().kills_group(), has_run: proc.run.is_some() });
        match (adopt_group(owner, left.len(), self.config.server.orphans, shim), self.procs.get_mut(&name)) {
            (GroupAdoption::LeaveAlone, Some(proc)) => {
                proc.leave_alone(left);
                self.log.warn(&format!(
                    "warning: {name}: {leftover} processes of the group of an earlier run are still alive"
                ));
            }
            (GroupAdoption::Kill, Some(proc)) => {
                proc.task = run.task;
                tracker.leftover = leftover;
                proc.run = Some(tracker);
                self.index.by_handle.insert(handle.to_owned(), name.clone());
                let _ = self.feed(&name, Event::LeftBehind { leftover });
                return self.watch_shim(handle, run.shim);
            }
            (GroupAdoption::AskShim, _) => {
                let command = ShimCommand::Signal { signal: Signal::KILL, group: true, why: None };
                let _ = notify::send_command(&run.ear, command.to_message().as_bytes());
            }
            (GroupAdoption::Nothing | GroupAdoption::LeaveAlone | GroupAdoption::Kill, _) => {}
        }
        if shim == Life::Gone {
            self.runs.remove(handle);
        }
    }

    /// Adopts a start that is still in progress, as if this supervisor had begun it. A second run
    /// beside it would be one too many as soon as the first reaches its exec.
    fn adopt_start(&mut self, handle: &str, name: &str, survivor: Survivor) {
        self.log.warn(&format!("lost: {name}: an earlier supervisor is still starting it; waiting for that start"));
        let _ = self.feed(name, Event::StartAsked);
        self.starts.cancel(name);
        self.starts.taken_over(handle, name, sys::now().mono);
        if let Survivor::Stop(why) = survivor {
            let _ = self.feed(name, Event::StopAsked { why, now: false });
        }
    }

    /// Inserts a process that is not configured any more, for as long as it lives.
    fn insert_ghost(&mut self, run: &Run, name: &str) -> String {
        let mut spec = ProgramSpec::unconfigured(name, &run.program, &run.group);
        // A second run of a process that already has one must not take its name.
        let mut number = 2;
        while self.procs.contains_key(&spec.name) {
            spec.name = format!("{name}#{number}");
            number += 1;
        }
        let name = spec.name.clone();
        self.insert(spec, false);
        if let Some(proc) = self.procs.get_mut(&name) {
            proc.removing = true;
        }
        name
    }
}
