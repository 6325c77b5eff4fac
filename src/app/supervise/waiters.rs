//! Clients that wait for their request to be fulfilled: for processes to be up, to be down, or to
//! be up again.
//!
//! A request continues whether or not its client still waits.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::answer::{Reply, RequestAnswer};
use crate::model::{
    machine::Sequence,
    wire::{Response, ResultItem},
};

/// The goal that a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// RUNNING; with `settled`, failed starts count only once the process is FATAL.
    Up { settled: bool },
    /// Down.
    Down { now: bool },
    /// RUNNING, after an end.
    Again,
    /// The changes of a reload have taken effect.
    Settled,
}

/// A waiting client.
pub(super) struct Waiter {
    pub goal: Goal,
    /// Processes that have not reached the goal yet.
    pub pending: BTreeSet<String>,
    pub done: Vec<ResultItem>,
    /// Whether exactly one process was named.
    pub single: bool,
    /// Tiers that are still to be started or stopped, one after the other.
    pub sequence: Option<Sequence>,
    /// The content of the answer, in place of results.
    pub content: Option<Value>,
    pub reply: Option<Reply>,
    pub until: Option<Duration>,
}

impl Waiter {
    /// Returns a waiter for no process yet.
    pub(super) fn new(goal: Goal) -> Waiter {
        Waiter {
            goal,
            pending: BTreeSet::new(),
            done: vec![],
            single: false,
            sequence: None,
            content: None,
            reply: None,
            until: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.until.filter(|_| self.reply.is_some())
    }

    /// Whether a change of this process belongs to the request: changes before its tier's turn do
    /// not.
    pub(super) fn has_asked(&self, name: &str) -> bool {
        self.sequence.as_ref().is_none_or(|sequence| sequence.has_asked(name))
    }

    pub(super) fn answer(self, response: impl FnOnce(Vec<ResultItem>, bool) -> Response) {
        if let Some(reply) = self.reply {
            reply(RequestAnswer::One(match self.content {
                Some(content) => Response::done(content),
                None => response(self.done, self.single),
            }));
        }
    }
}
