//! A stop under way: the signal, then SIGKILL, to whom and when (2.4).

use std::time::Duration;

use super::{Action, REPEAT, StopWhy, Warning};
use crate::model::{program::Policy, task::Signal};

/// Stops a process until SIGCONT. A SIGCONT after it would undo it.
const SIGSTOP: Signal = Signal(19);

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The outcome of the exec is not known, so there is no group to signal yet (SM-10).
    Waiting { now: bool },
    /// The stop signal was sent.
    Asked,
    /// The leader has ended, members of its group live (STOP-2).
    LeaderGone,
}

/// A stop under way. It keeps the settings it began with (4.2: a stop in progress keeps its old deadline).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) why: StopWhy,
    pub(super) signal: Signal,
    /// The whole group is asked.
    pub(super) ask_group: bool,
    /// The whole group is killed.
    pub(super) kill_group: bool,
    pub(super) stopwait: Option<Duration>,
    pub(super) stage: Stage,
    /// When SIGKILL follows; none: never.
    pub(super) at: Option<Duration>,
    /// So often SIGKILL was sent.
    pub(super) kills: u32,
}

impl Stop {
    pub(super) fn of(policy: &Policy, why: StopWhy) -> Stop {
        Stop {
            why,
            signal: policy.stopsignal,
            ask_group: policy.stopasgroup,
            kill_group: policy.kills_group(),
            stopwait: policy.stopwait,
            stage: Stage::Asked,
            at: None,
            kills: 0,
        }
    }

    /// The stop signal, or SIGKILL if there is no grace.
    pub(super) fn ask(&mut self, now: bool, at: Duration, out: &mut Vec<Action>) {
        self.stage = Stage::Asked;
        if now {
            return self.kill(at, out);
        }
        out.push(Action::Signal { signal: self.signal, group: self.ask_group });
        // A stopped process cannot handle a signal before it goes on (STOP-1).
        if self.signal != Signal::KILL && self.signal != SIGSTOP {
            out.push(Action::Signal { signal: Signal::CONT, group: self.ask_group });
        }
        self.at = self.stopwait.map(|wait| at.saturating_add(wait));
        if self.stopwait == Some(Duration::ZERO) {
            self.kill(at, out);
        }
    }

    /// SIGKILL to what is left (T14).
    pub(super) fn kill(&mut self, at: Duration, out: &mut Vec<Action>) {
        match self.stage {
            // Not before the exec is over; it is remembered.
            Stage::Waiting { .. } => {
                self.stage = Stage::Waiting { now: true };
                return;
            }
            Stage::Asked => out.push(Action::Kill { group: self.kill_group }),
            Stage::LeaderGone => out.push(Action::CleanGroup),
        }
        self.kills = self.kills.saturating_add(1);
        out.push(Action::Warn(Warning::Killing(self.kills)));
        self.at = Some(at.saturating_add(self.stopwait.unwrap_or(REPEAT).max(REPEAT)));
    }

    /// Another stop while this one is under way. The first wish for an end stays; it outdoes any restart.
    pub(super) fn join(&mut self, why: StopWhy) {
        if self.why.starts_again() || why == StopWhy::Remove {
            self.why = why;
        }
    }
}
