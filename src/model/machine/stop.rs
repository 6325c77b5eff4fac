//! A stop in progress: which signals are sent, to which processes, and when.

use std::time::Duration;

use super::event::{Action, StopWhy, Warning};
use crate::model::{program::Policy, task::Signal};

/// Shortest time between two SIGKILLs, and between two attempts to clean up a group: a process that
/// survives SIGKILL hangs in the kernel, where haste does not help.
pub(super) const REPEAT: Duration = Duration::from_secs(1);

/// Progress of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The outcome of the exec is not known, so there is no group to signal yet.
    Waiting { now: bool },
    /// The stop signal was sent.
    Asked,
    /// The leader has ended, members of its group are still alive.
    LeaderGone,
}

/// A stop in progress. It keeps the settings, and so the deadline, with which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) why: StopWhy,
    pub(super) signal: Signal,
    /// Whether the whole group is signalled.
    pub(super) ask_group: bool,
    /// Whether the whole group is killed.
    pub(super) kill_group: bool,
    pub(super) stopwait: Option<Duration>,
    pub(super) stage: Stage,
    /// Time of the next SIGKILL; `None`: never.
    pub(super) at: Option<Duration>,
    /// Number of SIGKILLs sent.
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

    /// Sends the stop signal, or SIGKILL if there is no grace period.
    pub(super) fn ask(&mut self, now: bool, at: Duration, out: &mut Vec<Action>) {
        self.stage = Stage::Asked;
        if now {
            return self.kill(at, out);
        }
        out.push(Action::Signal { signal: self.signal, group: self.ask_group });
        // A stopped process cannot handle a signal before it continues. After SIGSTOP it should stay stopped.
        if self.signal != Signal::KILL && self.signal != Signal::STOP {
            out.push(Action::Signal { signal: Signal::CONT, group: self.ask_group });
        }
        self.at = self.stopwait.map(|wait| at.saturating_add(wait));
        if self.stopwait == Some(Duration::ZERO) {
            self.kill(at, out);
        }
    }

    /// Sends SIGKILL to the processes left.
    pub(super) fn kill(&mut self, at: Duration, out: &mut Vec<Action>) {
        match self.stage {
            // Not before the exec is over; remembered until then.
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

    /// Merges another stop into this one. The first request for an end is kept; it takes precedence
    /// over any restart.
    pub(super) fn join(&mut self, why: StopWhy) {
        if self.why.starts_again() || why == StopWhy::Remove {
            self.why = why;
        }
    }
}
