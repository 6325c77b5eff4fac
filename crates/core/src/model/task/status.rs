//! The status of a task that has not ended.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// State of a task that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Reserved; the command has not started.
    Reserved,
    /// The last heartbeat is younger than a quarter of the timeout, or the task gives no feedback.
    Running,
    /// No heartbeat for a quarter of the timeout.
    Silent,
    /// No heartbeat for half of the timeout.
    Stalled,
    /// An end was requested.
    Stopping,
    /// The launcher is gone, the command still runs.
    Orphaned,
}

impl Status {
    /// Age of the last heartbeat, in percent of the timeout, from which a task is SILENT.
    pub const SILENT_FROM: u32 = 25;
    /// Age of the last heartbeat, in percent of the timeout, from which a task is STALLED.
    pub const STALLED_FROM: u32 = 50;
    /// All statuses, in the order of a task's life.
    pub const ALL: [Status; 6] =
        [Status::Reserved, Status::Running, Status::Silent, Status::Stalled, Status::Stopping, Status::Orphaned];

    /// Returns the status for the age of the last heartbeat (the 25/50 % rule). Without a timeout a
    /// live task is RUNNING.
    pub fn of(age: Duration, timeout: Option<Duration>) -> Status {
        match timeout {
            Some(timeout) if age >= share(timeout, Self::STALLED_FROM) => Status::Stalled,
            Some(timeout) if age >= share(timeout, Self::SILENT_FROM) => Status::Silent,
            Some(_) | None => Status::Running,
        }
    }

    /// Text in tables, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Reserved => "RESERVED",
            Status::Running => "RUNNING",
            Status::Silent => "SILENT",
            Status::Stalled => "STALLED",
            Status::Stopping => "STOPPING",
            Status::Orphaned => "ORPHANED",
        }
    }

    /// Parses that text. An unknown text counts as RUNNING, so that the row is checked and settled.
    pub fn from_word(word: &str) -> Status {
        Status::ALL.into_iter().find(|status| status.as_str() == word).unwrap_or(Status::Running)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `percent` of `whole`.
pub fn share(whole: Duration, percent: u32) -> Duration {
    whole.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_follows_the_quarter_and_half_rule() {
        let timeout = Some(Duration::from_secs(100));
        let at = |secs| Status::of(Duration::from_secs(secs), timeout);
        assert_eq!(
            [at(0), at(24), at(25), at(49), at(50), at(500)].map(Status::as_str),
            ["RUNNING", "RUNNING", "SILENT", "SILENT", "STALLED", "STALLED"]
        );
        assert_eq!(Status::of(Duration::MAX, None), Status::Running);
        assert_eq!(Status::of(Duration::MAX, Some(Duration::MAX)), Status::Stalled);
    }

    #[test]
    fn every_status_word_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), status);
        }
        assert_eq!(Status::from_word("???"), Status::Running);
    }
}
