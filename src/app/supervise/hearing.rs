//! Reading the files that shims write about their runs, and passing the events to the machines.

use std::{collections::VecDeque, io, time::Duration};

use super::{
    groups,
    state::{Supervisor, Unheard},
};
use crate::{
    app::shim::ShimError,
    io::{limits, process, sys},
    model::{
        machine::Event,
        reconcile::Life,
        run_tracker::{RunStep, RunTracker, how_shim_ended},
        shim::{Run, ShimNote},
        task::{Exit, Process},
    },
};

/// Delay before a file that could not be read is read again.
const HEAR_AGAIN: Duration = Duration::from_millis(500);

impl Supervisor {
    /// Returns the last state of a run, if there is one. A state that another run left in the file
    /// is ignored.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn written(&self, handle: &str) -> io::Result<Option<Run>> {
        let text = self.runs.read(handle)?;
        Ok(text.and_then(|text| Run::parse(&text)).filter(|run| run.handle == handle))
    }

    /// Handles a change that a shim wrote.
    pub(super) fn heard(&mut self, handle: &str) {
        if let Err(error) = self.hear(handle) {
            self.hear_later(handle, Unheard::Written, &error);
        }
    }

    /// Remembers a run whose file cannot be read: it may still contain a change.
    fn hear_later(&mut self, handle: &str, what: Unheard, error: &io::Error) {
        let Some(name) = self.index.by_handle.get(handle) else { return };
        if self.pending.unheard.is_empty() {
            let line = format!("warning: {name}: cannot read the file of its run: {error}; retrying");
            self.log.warn(&line);
        }
        let known = self.pending.unheard.entry(handle.to_owned()).or_insert(what);
        if matches!(what, Unheard::Gone(_)) {
            *known = what;
        }
        self.pending.hear_at.get_or_insert(sys::now().mono + HEAR_AGAIN);
    }

    /// Retries to read the files.
    pub(super) fn hear_again(&mut self) {
        self.pending.hear_at = None;
        for (handle, what) in std::mem::take(&mut self.pending.unheard) {
            match what {
                Unheard::Written => self.heard(&handle),
                Unheard::Gone(exit) => self.shim_gone(&handle, exit),
            }
        }
    }

    fn hear(&mut self, handle: &str) -> io::Result<()> {
        let Some(name) = self.index.by_handle.get(handle).cloned() else { return Ok(()) };
        let Some(written) = self.written(handle)? else { return Ok(()) };
        self.log.trace(&format!("run: {name}: {}", written.to_text()));
        // None: an earlier run, which is over.
        let Some(steps) = self.tracker(&name, handle).map(|run| run.heard(&written)) else { return Ok(()) };
        self.take_steps(&name, handle, steps);
        loop {
            let Some(run) = self.tracker(&name, handle) else { return Ok(()) };
            let steps = run.advance(&written.phase);
            let goes_on = run.has_more(&written.phase);
            self.take_steps(&name, handle, steps);
            if !goes_on {
                break;
            }
        }
        if let Some(event) = self.tracker(&name, handle).and_then(|run| run.refused(&written)) {
            let _ = self.feed(&name, event);
        }
        Ok(())
    }

    /// Returns the run with this handle, if it is the current one of the process.
    pub(super) fn tracker(&mut self, name: &str, handle: &str) -> Option<&mut RunTracker> {
        self.procs.get_mut(name)?.run.as_mut().filter(|run| run.handle == handle)
    }

    /// Handles the end of a shim: its file will not change any more.
    pub(super) fn shim_gone(&mut self, handle: &str, exit: Option<Exit>) {
        // The command of the run may still be alive; the file has the answer.
        if let Err(error) = self.hear(handle) {
            return self.hear_later(handle, Unheard::Gone(exit), &error);
        }
        self.starts.arrived(handle);
        let Some(name) = self.index.by_handle.get(handle).cloned() else { return };
        let cleans_group = self.procs.get(&name).is_some_and(|proc| proc.machine.cleans_group());
        let code = exit.and_then(|exit| match exit {
            Exit::Code(code) => ShimError::of_code(code).filter(limits::passes),
            Exit::Signal { .. } => None,
        });
        let how = how_shim_ended(exit, code.map(|error| error.to_string()).as_deref());
        let Some(run) = self.tracker(&name, handle) else {
            self.forget_run(handle);
            return;
        };
        let steps = run.shim_gone(run.command.map_or(Life::Gone, process::look), &how, cleans_group);
        self.take_steps(&name, handle, steps);
    }

    /// Handles the end of a command without a shim: its exit status is unknown.
    pub(super) fn command_gone(&mut self, handle: &str) {
        let Some(name) = self.index.by_handle.get(handle).cloned() else { return };
        let now = sys::now().wall.secs();
        let steps = match self.tracker(&name, handle) {
            Some(run) => {
                let members = groups::members(run).ok().map(|left| u32::try_from(left.len()).unwrap_or(u32::MAX));
                run.command_gone(members, now)
            }
            None => vec![RunStep::WatchGroup],
        };
        self.take_steps(&name, handle, steps);
    }

    /// Carries out what a fact about a run leads to.
    pub(super) fn take_steps(&mut self, name: &str, handle: &str, steps: Vec<RunStep>) {
        for step in steps {
            match step {
                RunStep::Task(task) => {
                    let Some(proc) = self.procs.get_mut(name) else { continue };
                    if proc.task.replace(task) != Some(task) {
                        self.records.works();
                    }
                }
                RunStep::Note(note) => {
                    if matches!(note, ShimNote::NotRecorded(_)) {
                        self.records.trouble(&note.to_string());
                    }
                    self.log.warn(&format!("warning: {name}: {note}"));
                }
                RunStep::Arrived => self.starts.arrived(handle),
                RunStep::Began { command, since } => self.began(name, command, since),
                RunStep::EndedAt(at) => {
                    if let Some(proc) = self.procs.get_mut(name) {
                        proc.stop = at;
                    }
                }
                RunStep::Feed(event) => drop(self.feed(name, event)),
                RunStep::LeaveAlone(members) => {
                    if let Some(proc) = self.procs.get_mut(name) {
                        proc.leave_alone(members);
                    }
                }
                RunStep::Orphaned(command) => {
                    let pid = command.pid;
                    self.log.warn(&format!("lost: {name}: its shim is gone, its process {pid} keeps running"));
                }
                RunStep::Missed => {
                    self.log
                        .warn(&format!("lost: {name}: its shim and its process are gone, exit status not observed"));
                }
                RunStep::WatchCommand => {
                    let command = self.tracker(name, handle).and_then(|run| run.command);
                    self.watch_command(handle, command.map_or(Ok(None), process::open));
                }
                RunStep::CommandGone => self.command_gone(handle),
                RunStep::CleanGroup => {
                    let mut events = VecDeque::new();
                    self.clean(name, &mut events);
                    events.into_iter().for_each(|event| drop(self.feed(name, event)));
                }
                RunStep::WatchGroup => self.watch_group(handle, name),
                RunStep::Settle => self.records.settle(),
                RunStep::Forget => self.forget_run(handle),
            }
        }
    }

    fn began(&mut self, name: &str, command: Process, since: i64) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        (proc.start, proc.stop) = (since, 0);
        let task = proc.task.map(|task| format!(", task {task}")).unwrap_or_default();
        self.log.info(&format!("spawned: {name} with pid {}{task}", command.pid));
        let _ = self.feed(name, Event::Spawned { pid: command.pid });
    }
}
