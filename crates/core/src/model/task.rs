//! Types shared by all programs: task ids, times, statuses, signals, outcomes and the rows of
//! tasks.
//!
//! Pure: no clock, no file, no process.

mod cause;
pub mod exit_code;
mod outcome;
mod reference;
mod row;
mod signal;
mod status;
mod stored;
mod text;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::cause::{Asker, Cause, EndedBy};
pub use self::outcome::{Class, Ended, Exit, NotRunnable, Outcome, cannot_run};
pub use self::reference::{BadRemoteName, BadTaskRef, RemoteName, RemoteTaskRef, TaskRef};
pub use self::row::{End, HistoryRow, KILL_AFTER, Signs, Task, argv_json, argv_of_json, supervised_text};
pub use self::signal::{BadSignal, Signal};
pub use self::status::{Status, share};
pub use self::stored::{OfText, Stored};
pub use self::text::{
    BadName, BadPositiveSpan, BadSpan, parse_name, parse_positive_span, parse_span, printable, round_ms, size, span,
};

/// The id of a task; never used twice in one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub i64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An instant of the wall clock, in nanoseconds since 1970 (valid until 2262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Converts whole seconds since 1970.
    pub fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since 1970, the unit of the database.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Time from this instant to `now`; zero if the instant lies in the future (a clock was set
    /// back).
    pub fn age(self, now: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// One reading of both clocks, made in one place only. Stamps come from the wall clock, durations
/// from the monotonic one, so that setting the clock or suspending a laptop can neither kill a task
/// nor keep one alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Time since boot without suspend.
    pub mono: Duration,
    /// Time of day.
    pub wall: Timestamp,
}

impl Tick {
    /// The same reading, `by` earlier.
    pub fn earlier(self, by: Duration) -> Tick {
        let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        Tick { mono: self.mono.saturating_sub(by), wall: Timestamp(self.wall.0.saturating_sub(nanos)) }
    }
}

/// A process, identified uniquely within one boot: pids are reused, a pid with its start time is
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Start time, clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub pstart: u64,
}

/// Eight random characters that name a task, for scripts that need an unguessable id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle(String);

impl Handle {
    const LETTERS: &[u8; 24] = b"abcdefghijkmnpqrstuvwxyz";
    const ALL: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// Makes a handle from eight random bytes. Letters that look like digits (l, o) are not used.
    pub fn from_random(bytes: [u8; 8]) -> Handle {
        let pick = |set: &[u8], byte: u8| char::from(set[usize::from(byte) % set.len()]);
        let first = pick(Self::LETTERS, bytes[0]);
        Handle(std::iter::once(first).chain(bytes[1..].iter().map(|&byte| pick(Self::ALL, byte))).collect())
    }

    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` has the form of a handle: `[a-z2-9]`, eight long, beginning with a letter.
    pub fn looks_like(text: &str) -> bool {
        text.len() == 8
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'9').contains(&b))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
