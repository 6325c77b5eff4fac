//! Checks for waiting clients whether their requests are fulfilled.

use std::time::Duration;

use serde_json::json;

use super::{
    answer::RequestAnswer,
    state::Supervisor,
    waiters::{Goal, Waiter},
};
use crate::{
    io::sys,
    model::{
        machine::{Event, StopWhy, Transition},
        program::ProcState,
        wire::{Code, Response, ResultItem},
    },
};

impl Supervisor {
    /// Registers a waiter; answers at once if there is nothing to wait for.
    pub(super) fn wait(&mut self, mut waiter: Waiter, wait: bool) {
        if !wait && let Some(reply) = waiter.reply.take() {
            let pending =
                waiter.pending.iter().filter_map(|name| self.item(name)).map(|item| ResultItem { status: 202, ..item });
            let items = waiter.done.iter().cloned().chain(pending).collect();
            reply(RequestAnswer::One(match &waiter.content {
                Some(content) => Response::accepted(content.clone()),
                None => Response::results(items, waiter.single),
            }));
        }
        // A process that cannot be controlled may never change its state. Processes of later tiers
        // are handled in their turn.
        if waiter.sequence.is_none() {
            for name in waiter.pending.clone() {
                let Some(proc) = self.procs.get(&name) else { continue };
                if proc.machine.state() == ProcState::Unknown {
                    let why = proc.machine.describe(sys::now().mono, "");
                    waiter.pending.remove(&name);
                    waiter.done.push(self.failed_item(&name, Code::Failed, why));
                }
            }
        }
        self.clients.waiters.push(waiter);
        self.advance_waiters();
    }

    /// Returns the result for a process in its current state.
    pub(super) fn item(&self, name: &str) -> Option<ResultItem> {
        let info = self.info(name)?;
        Some(ResultItem { process: Some(info.clone()), ..ResultItem::done(info.group, info.name) })
    }

    pub(super) fn failed_item(&self, name: &str, code: Code, message: impl Into<String>) -> ResultItem {
        let process = self.info(name);
        let group = process.as_ref().map(|info| info.group.clone()).unwrap_or_default();
        ResultItem { process, ..ResultItem::failed(group, name, code, message) }
    }

    /// Checks for each waiter whether a change of state reaches its goal or makes it unreachable.
    pub(super) fn update_waiters(&mut self, name: &str, change: &Transition) {
        for at in 0..self.clients.waiters.len() {
            if !self.clients.waiters[at].pending.contains(name) || !self.clients.waiters[at].has_asked(name) {
                continue;
            }
            let Some(verdict) = self.verdict(self.clients.waiters[at].goal, name, change) else { continue };
            let waiter = &mut self.clients.waiters[at];
            waiter.pending.remove(name);
            waiter.done.push(verdict);
        }
    }

    /// Reports to waiting clients that a process is not controlled any more.
    pub(super) fn give_up_waiting(&mut self, name: &str, why: &str) {
        for at in 0..self.clients.waiters.len() {
            if self.clients.waiters[at].pending.remove(name) {
                let item = self.failed_item(name, Code::Failed, why);
                self.clients.waiters[at].done.push(item);
            }
        }
    }

    fn verdict(&self, goal: Goal, name: &str, change: &Transition) -> Option<ResultItem> {
        let done = || self.item(name);
        let cause = || {
            let ended = self.info(name).map(|info| info.description).unwrap_or_default();
            change.cause.clone().unwrap_or(ended)
        };
        let failed = |message: String| {
            let spawn = self.procs.get(name).is_some_and(|proc| proc.machine.spawn_error().is_some());
            let code = if spawn { Code::SpawnError } else { Code::AbnormalTermination };
            Some(self.failed_item(name, code, message))
        };
        let retrying = || {
            let retries = self.procs.get(name).and_then(|proc| proc.machine.policy().startretries);
            let of = retries.map(|retries| format!(" of {retries}")).unwrap_or_default();
            match retries {
                Some(_) | None if change.hindered => format!("{}; retrying until that passes", cause()),
                Some(retries) if change.fails > retries => cause(),
                Some(_) | None => format!("{}; retrying ({}{of})", cause(), change.fails),
            }
        };
        let continues = change.why.is_some_and(StopWhy::starts_again);
        match (goal, change.to) {
            (_, ProcState::Unknown) => Some(self.failed_item(name, Code::Failed, cause())),
            (Goal::Up { .. } | Goal::Again | Goal::Settled, ProcState::Running) => done(),
            (Goal::Up { settled: false } | Goal::Again, ProcState::Backoff) => failed(retrying()),
            (Goal::Up { .. } | Goal::Again, ProcState::Fatal) => failed(cause()),
            (Goal::Up { .. } | Goal::Again, ProcState::Stopped) if !continues => failed("it was stopped".to_owned()),
            (Goal::Down { .. }, ProcState::Stopped | ProcState::Exited | ProcState::Fatal) => done(),
            (Goal::Settled, ProcState::Stopped) if continues => None,
            (Goal::Settled, ProcState::Stopped | ProcState::Backoff | ProcState::Fatal | ProcState::Exited) => done(),
            (
                Goal::Up { .. } | Goal::Again | Goal::Down { .. } | Goal::Settled,
                ProcState::Starting
                | ProcState::Stopping
                | ProcState::Backoff
                | ProcState::Exited
                | ProcState::Stopped
                | ProcState::Running,
            ) => None,
        }
    }

    /// Starts or stops the next tiers, and answers the clients that have reached their goals.
    pub(super) fn advance_waiters(&mut self) {
        if !self.clients.waiters.is_empty() {
            self.count_left();
        }
        loop {
            let mut asked = false;
            for at in 0..self.clients.waiters.len() {
                let Some(mut sequence) = self.clients.waiters[at].sequence.take() else { continue };
                let pending = self.clients.waiters[at].pending.clone();
                let goal = self.clients.waiters[at].goal;
                let next = sequence.next(|name| !pending.contains(name) || !self.procs.contains_key(name));
                self.clients.waiters[at].sequence = Some(sequence);
                for name in next {
                    asked = true;
                    let was = self.procs.get(&name).map(|proc| proc.machine.state());
                    let event = match goal {
                        Goal::Down { now } => Event::StopAsked { why: StopWhy::Operator, now },
                        Goal::Up { .. } => Event::StartAsked,
                        Goal::Again | Goal::Settled => Event::RestartAsked,
                    };
                    let answer = self.feed(&name, event);
                    if was == Some(ProcState::Unknown)
                        && answer.is_ok()
                        && self.procs.get(&name).is_some_and(|proc| proc.machine.state() == ProcState::Unknown)
                    {
                        // The process got another signal, whose effect may never be seen.
                        let why = self.procs.get(&name).map(|proc| proc.machine.describe(sys::now().mono, ""));
                        self.give_up_waiting(&name, &why.unwrap_or_default());
                    }
                    if let Err(refusal) = answer
                        && let Some(waiter) = self.clients.waiters.get_mut(at)
                        && waiter.pending.remove(&name)
                    {
                        // The process is already in that state, or cannot get there.
                        let state = self.procs.get(&name).map(|proc| proc.machine.state());
                        let item = match (goal, state) {
                            (Goal::Down { .. }, Some(state)) if state.is_down() && state != ProcState::Unknown => {
                                self.item(&name)
                            }
                            (_, _) => Some(self.failed_item(&name, Code::Failed, refusal.to_string())),
                        };
                        self.clients.waiters[at].done.extend(item);
                    }
                }
            }
            if !asked {
                break;
            }
        }
        let gone: Vec<(usize, String)> = self
            .clients
            .waiters
            .iter()
            .enumerate()
            .flat_map(|(at, waiter)| {
                let gone = waiter.pending.iter().filter(|name| !self.procs.contains_key(*name));
                gone.map(move |name| (at, name.clone()))
            })
            .collect();
        for (at, name) in gone {
            // The process was removed, which is an end too.
            self.clients.waiters[at].pending.remove(&name);
            self.clients.waiters[at].done.push(ResultItem::done("", name));
        }
        let (over, waiting): (Vec<Waiter>, Vec<Waiter>) =
            std::mem::take(&mut self.clients.waiters).into_iter().partition(|waiter| waiter.pending.is_empty());
        self.clients.waiters = waiting;
        for waiter in over {
            waiter.answer(Response::results);
        }
    }

    /// Answers the clients that have timed out; their requests continue.
    pub(super) fn time_out_waiters(&mut self, now: Duration) {
        for at in 0..self.clients.waiters.len() {
            if self.clients.waiters[at].deadline().is_none_or(|until| until > now) {
                continue;
            }
            let Some(reply) = self.clients.waiters[at].reply.take() else { continue };
            let waiter = &self.clients.waiters[at];
            let late = waiter.pending.iter().map(|name| {
                let state = self.procs.get(name).map(|proc| proc.machine.state().as_str()).unwrap_or_default();
                self.failed_item(name, Code::Timeout, format!("timed out; it is {state}"))
            });
            let items: Vec<ResultItem> = waiter.done.iter().cloned().chain(late).collect();
            let content = waiter.content.clone().unwrap_or_else(|| json!({ "results": items }));
            reply(RequestAnswer::One(Response::timed_out(content)));
        }
    }
}
