//! Reading the files that shims write about their runs, and passing the events to the machines.

use std::{collections::VecDeque, io, time::Duration};

use super::state::{RunNews, Supervisor, Unheard};
use crate::{
    app::shim::ShimError,
    io::{limits, process, sys},
    model::{
        machine::{End, Event, KillError},
        shim::{Phase, Run, ShimNote},
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
        let Some(name) = self.by_handle.get(handle) else { return };
        if self.unheard.is_empty() {
            let line = format!("warning: {name}: cannot read the file of its run: {error}; retrying");
            self.log.warn(&line);
        }
        let known = self.unheard.entry(handle.to_owned()).or_insert(what);
        if matches!(what, Unheard::Gone(_)) {
            *known = what;
        }
        self.hear_at.get_or_insert(sys::now().mono + HEAR_AGAIN);
    }

    /// Retries to read the files.
    pub(super) fn hear_again(&mut self) {
        self.hear_at = None;
        for (handle, what) in std::mem::take(&mut self.unheard) {
            match what {
                Unheard::Written => self.heard(&handle),
                Unheard::Gone(exit) => self.shim_gone(&handle, exit),
            }
        }
    }

    fn hear(&mut self, handle: &str) -> io::Result<()> {
        let Some(name) = self.by_handle.get(handle).cloned() else { return Ok(()) };
        let Some(run) = self.written(handle)? else { return Ok(()) };
        self.log.trace(&format!("run: {name}: {}", run.to_text()));
        let Some(proc) = self.procs.get_mut(&name) else { return Ok(()) };
        let Some(current) = proc.run.as_mut().filter(|current| current.handle == handle) else {
            // From an earlier run, which is over.
            return Ok(());
        };
        current.shim = Some(run.shim);
        if run.task.is_some() {
            if proc.task != run.task {
                self.records.works();
            }
            proc.task = run.task;
        }
        let new: Vec<ShimNote> = run.notes.iter().filter(|note| !current.notes.contains(note)).cloned().collect();
        current.notes.clone_from(&run.notes);
        let denied = run.denied.clone().filter(|denied| current.denied.as_ref() != Some(denied));
        current.denied.clone_from(&run.denied);
        let news = current.news;
        for note in new {
            if matches!(note, ShimNote::NotRecorded(_)) {
                self.records.trouble(&note.to_string());
            }
            self.log.warn(&format!("warning: {name}: {note}"));
        }
        if !matches!(run.phase, Phase::Starting) {
            self.starts.arrived(handle);
        }
        match (run.phase, news) {
            (Phase::Starting, _) | (Phase::Failed { .. }, RunNews::Started | RunNews::Ended) => {}
            (Phase::Failed { why, .. }, RunNews::Nothing) => {
                self.set_news(&name, RunNews::Ended);
                let _ = self.feed(&name, Event::SpawnFailed { cause: why.cause, passing: why.passing });
            }
            (Phase::Running { command, since }, RunNews::Nothing) => self.began(&name, command, since.wall.secs()),
            (Phase::Running { .. }, RunNews::Started | RunNews::Ended) => {}
            (Phase::Ended { command, since, exit, at, timeout, leftover, strays }, news) => {
                if news == RunNews::Nothing {
                    self.began(&name, command, since.wall.secs());
                }
                self.ended(&name, exit, at.mono, at.wall.secs(), timeout, leftover);
                if let Some(proc) = self.procs.get_mut(&name).filter(|_| news != RunNews::Ended) {
                    proc.leave_alone(strays);
                }
            }
        }
        if let Some(denied) = denied {
            let _ = self.feed(&name, Event::KillFailed(KillError::Denied(denied)));
        }
        Ok(())
    }

    fn set_news(&mut self, name: &str, news: RunNews) {
        if let Some(run) = self.procs.get_mut(name).and_then(|proc| proc.run.as_mut()) {
            run.news = news;
        }
    }

    fn began(&mut self, name: &str, command: Process, start: i64) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        proc.start = start;
        proc.stop = 0;
        if let Some(run) = &mut proc.run {
            (run.command, run.news) = (Some(command), RunNews::Started);
        }
        let task = proc.task.map(|task| format!(", task {task}")).unwrap_or_default();
        self.log.info(&format!("spawned: {name} with pid {}{task}", command.pid));
        let _ = self.feed(name, Event::Spawned { pid: command.pid });
    }

    fn ended(&mut self, name: &str, exit: Exit, at: Duration, wall: i64, timeout: bool, leftover: u32) {
        let Some(proc) = self.procs.get_mut(name) else { return };
        let Some(run) = &mut proc.run else { return };
        let (before, had) = (run.news, std::mem::replace(&mut run.leftover, leftover));
        run.news = RunNews::Ended;
        if before != RunNews::Ended {
            proc.stop = wall;
            let end = if timeout { End::Timeout(exit) } else { End::ByItself(exit) };
            let _ = self.feed(name, Event::Ended { end, at: Some(at), leftover });
        } else if had > 0 && leftover == 0 {
            let _ = self.feed(name, Event::GroupGone);
        }
    }

    /// Handles the end of a shim: its file will not change any more.
    pub(super) fn shim_gone(&mut self, handle: &str, exit: Option<Exit>) {
        // The command of the run may still be alive; the file has the answer.
        if let Err(error) = self.hear(handle) {
            return self.hear_later(handle, Unheard::Gone(exit), &error);
        }
        self.starts.arrived(handle);
        let Some(name) = self.by_handle.get(handle).cloned() else { return };
        let current = self.procs.get_mut(&name).and_then(|proc| proc.run.as_mut());
        let Some(run) = current.filter(|run| run.handle == handle) else {
            self.forget_run(handle);
            return;
        };
        match (run.news, run.command) {
            (RunNews::Ended, _) => {
                // The shim was waiting for the end of the group, unless it was killed.
                run.orphan = true;
                if self.procs.get(&name).is_some_and(|proc| proc.machine.cleans_group()) {
                    // The shim may not have received the request to kill the group.
                    let mut events = VecDeque::new();
                    self.clean(&name, &mut events);
                    events.into_iter().for_each(|event| drop(self.feed(&name, event)));
                }
                self.watch_group(handle, &name);
            }
            (RunNews::Nothing, _) => {
                run.news = RunNews::Ended;
                self.forget_run(handle);
                let why = match exit {
                    // Other codes may come from another program in its place.
                    Some(Exit::Code(code)) => Some(match ShimError::of_code(code).filter(limits::passes) {
                        Some(why) => format!(": {why}"),
                        None => format!(": exit status {code}"),
                    }),
                    Some(Exit::Signal { signal, .. }) => Some(format!(", killed by {signal}")),
                    None => None,
                };
                let cause = format!("its shim ended before the command was executed{}", why.unwrap_or_default());
                // Not the program's fault.
                let _ = self.feed(&name, Event::SpawnFailed { cause, passing: true });
            }
            (RunNews::Started, Some(command)) => {
                run.orphan = true;
                let opened = process::open(command);
                if !matches!(opened, Ok(None)) {
                    self.log
                        .warn(&format!("lost: {name}: its shim is gone, its process {} keeps running", command.pid));
                }
                self.watch_command(handle, opened);
            }
            (RunNews::Started, None) => self.command_gone(handle),
        }
    }
}
