//! Describes the state of a process for people.

use std::{fmt::Write, time::Duration};

use super::{End, Machine, MachinePhase, Stage, Stop, event::members};
use crate::model::task::{Exit, Signal};

impl Machine {
    /// Returns one line about the state at `now` on the monotonic clock, without the name. `ended`
    /// is the time of the last end as text; empty if unknown.
    pub fn describe(&self, now: Duration, ended: &str) -> String {
        let at = |text: String| if ended.is_empty() { text } else { format!("{text}, {ended}") };
        let mut text = match &self.phase {
            MachinePhase::Stopped if !self.started => match self.disowned {
                Some(pid) => format!("disowned, pid {pid} was left running"),
                None => "Not started".to_owned(),
            },
            MachinePhase::Stopped => format!("stopped {ended}").trim_end().to_owned(),
            MachinePhase::Held => "waiting for the rest of the last run to end".to_owned(),
            MachinePhase::Spawning => "starting".to_owned(),
            MachinePhase::Young { .. } | MachinePhase::Running => self.life(now),
            MachinePhase::Backoff { at } => self.waits_for_try(*at, now),
            MachinePhase::Stopping(stop) => self.stopping(stop, now),
            MachinePhase::Exited { .. } => at(self.exited_how()),
            MachinePhase::Fatal => {
                let starts = if self.fails == 1 { "start" } else { "starts" };
                match self.fails {
                    // A new configuration reset the counter.
                    0 => self.failed_why().to_owned(),
                    fails => format!("{}; gave up after {fails} {starts}", self.failed_why()),
                }
            }
            MachinePhase::Unknown(lost) => match (&lost.error, self.pid) {
                (Some(error), Some(pid)) => format!("pid {pid}, cannot be controlled: {error}"),
                (Some(error), None) => format!("cannot be controlled: {error}"),
                (None, Some(pid)) => {
                    format!("pid {pid} of an earlier supervisor, not supervised (orphans = \"leave\")")
                }
                (None, None) => "not supervised (orphans = \"leave\")".to_owned(),
            },
        };
        if self.leftover > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {} still alive", members(self.leftover));
        }
        text
    }

    fn life(&self, now: Duration) -> String {
        match (self.pid, self.uptime(now)) {
            (Some(pid), Some(age)) => format!("pid {pid}, uptime {}", uptime(age)),
            (Some(pid), None) => format!("pid {pid}"),
            (None, _) => "starting".to_owned(),
        }
    }

    fn stopping(&self, stop: &Stop, now: Duration) -> String {
        let life = self.life(now);
        let kill = stop.at.map(|at| seconds(at.saturating_sub(now)));
        match stop.stage {
            Stage::Waiting { .. } => format!("{life}, will be stopped after that"),
            Stage::Asked if stop.kills > 0 => format!("{life}, SIGKILL sent"),
            Stage::LeaderGone if stop.kills > 0 => "ended, SIGKILL sent to the rest of its group".to_owned(),
            Stage::Asked => {
                let kill = kill.map(|secs| format!(", SIGKILL in {secs}s")).unwrap_or_default();
                format!("{life}, signal {} sent{kill}", bare(stop.signal))
            }
            Stage::LeaderGone => {
                let kill = kill.map(|secs| format!(", SIGKILL in {secs}s")).unwrap_or_default();
                format!("ended, the rest of its group is still alive{kill}")
            }
        }
    }

    fn waits_for_try(&self, at: Duration, now: Duration) -> String {
        let wait = seconds(at.saturating_sub(now));
        if self.is_hindered() {
            return format!("{}; retry in {wait}s, until that passes", self.failed_why());
        }
        let of = self.policy.startretries.map(|retries| format!(" of {retries}")).unwrap_or_default();
        format!("{}; try {}{of} in {wait}s", self.failed_why(), self.fails.max(1))
    }

    fn failed_why(&self) -> &str {
        self.cause.as_deref().unwrap_or("start failed")
    }

    fn exited_how(&self) -> String {
        let Some((end, expected)) = self.last else { return "ended".to_owned() };
        match end {
            End::ByItself(Exit::Code(code)) | End::Timeout(Exit::Code(code)) => {
                let word = if expected == Some(true) { "expected" } else { "not expected" };
                format!("exit status {code} ({word})")
            }
            End::ByItself(exit @ Exit::Signal { .. }) | End::Timeout(exit @ Exit::Signal { .. }) => how(exit),
            End::NotObserved => "exit status not observed".to_owned(),
        }
    }
}

/// Returns why a start failed whose run ended before `startsecs`.
pub(super) fn too_quickly(end: End) -> String {
    match end {
        // A program that daemonizes exits immediately with 0.
        End::ByItself(Exit::Code(0)) => {
            "exited too quickly (exit status 0; a program must stay in the foreground)".to_owned()
        }
        End::ByItself(exit) => format!("exited too quickly ({})", how(exit)),
        End::Timeout(exit) => format!("ended by the shim before startsecs ({})", how(exit)),
        End::NotObserved => "exited too quickly (exit status not observed)".to_owned(),
    }
}

fn how(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit status {code}"),
        Exit::Signal { signal, core: false } => format!("killed by {signal}"),
        Exit::Signal { signal, core: true } => format!("killed by {signal}, core dumped"),
    }
}

/// Name of a signal without the prefix SIG.
fn bare(signal: Signal) -> String {
    let name = signal.to_string();
    name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name)
}

/// Whole seconds, rounded up, so that a remaining time is not shown as 0.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// `0:00:07`, `1 day, 2:03:04`.
pub fn uptime(age: Duration) -> String {
    let secs = age.as_secs();
    let (days, clock) = (secs / 86_400, format!("{}:{:02}:{:02}", secs / 3_600 % 24, secs / 60 % 60, secs % 60));
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}
