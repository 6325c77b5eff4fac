//! The starts at the beginning: all programs at once or tier by tier, except those that an operator
//! had stopped.

use super::{
    adoption::once_readable,
    state::Supervisor,
    waiters::{Goal, Waiter},
};
use crate::model::{
    machine::{Event, Sequence, StopWhy, Transition},
    program::ProcState,
};

impl Supervisor {
    /// Starts the programs with autostart in order, without waiting; or, if configured, each tier
    /// once the previous one is running or FATAL.
    pub(super) fn start_all(&mut self) {
        let config = self.config.clone();
        let wanted = config.start_order().into_iter().filter(|name| !self.kept.stopped.contains(*name));
        let wanted: Vec<&str> = wanted.collect();
        if !config.server.start_serial {
            for name in wanted {
                let _ = self.feed(name, Event::Autostart);
            }
            return;
        }
        let starts = |name: &str| {
            let proc = self.procs.get(name);
            let starts = proc.is_some_and(|proc| {
                proc.spec.policy.autostart && !proc.machine.was_started() && proc.machine.state() == ProcState::Stopped
            });
            starts && wanted.contains(&name)
        };
        let ranks = self.ranks(starts);
        let waiter = Waiter {
            goal: Goal::Up { settled: true },
            pending: ranks.iter().map(|rank| rank.name.clone()).collect(),
            done: vec![],
            single: false,
            sequence: Some(Sequence::starting(ranks)),
            content: None,
            reply: None,
            until: None,
        };
        self.wait(waiter, true);
    }

    /// Reads which processes an operator had stopped under an earlier supervisor, if the
    /// configuration remembers stops.
    pub(super) fn remember(&mut self) {
        if self.config.server.remember_stops {
            match once_readable(|| self.runs.read_stopped()) {
                Ok(text) => self.kept.stopped = serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default(),
                Err(error) => {
                    self.log.error(&format!(
                        "lost: cannot read which processes an operator stopped; they are started again: {error}"
                    ));
                }
            }
        }
        self.write_stopped();
    }

    /// Continues the stops that were in progress when the earlier supervisor died.
    pub(super) fn stop_remembered(&mut self) {
        for name in self.kept.stopped.clone() {
            if self.procs.get(&name).is_some_and(|proc| proc.machine.state().is_live()) {
                let _ = self.feed(&name, Event::StopAsked { why: StopWhy::Operator, now: false });
            }
        }
    }

    pub(super) fn remember_stop(&mut self, name: &str, change: &Transition) {
        let is_new = match change.to {
            ProcState::Stopping | ProcState::Stopped if change.why == Some(StopWhy::Operator) => {
                self.kept.stopped.insert(name.to_owned())
            }
            ProcState::Starting => self.kept.stopped.remove(name),
            ProcState::Stopping
            | ProcState::Stopped
            | ProcState::Running
            | ProcState::Backoff
            | ProcState::Exited
            | ProcState::Fatal
            | ProcState::Unknown => false,
        };
        if is_new && self.config.server.remember_stops {
            self.write_stopped();
        }
    }

    /// Writes which configured processes an operator stopped.
    pub(super) fn write_stopped(&mut self) {
        self.kept.stopped.retain(|name| self.procs.contains_key(name));
        let text = serde_json::to_string(&self.kept.stopped).unwrap_or_default();
        let text = self.config.server.remember_stops.then_some(text.as_str());
        if let Err(error) = self.runs.write_stopped(text) {
            self.log.warn(&format!("warning: cannot write into {}: {error}", self.runs.path().display()));
        }
    }
}
