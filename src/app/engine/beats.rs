//! The heartbeats of a feedback file: when it changed since the last look.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    io::feedfile::{self, Signature},
    model::{
        task::{Tick, Timestamp},
        watch::date_beat,
    },
};

/// What was seen of a feedback file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Beats {
    /// The state of the file at the last look that found it.
    seen: Option<Signature>,
    /// When the file was last looked at.
    looked: Tick,
    /// Whether the times of the file come from the clock of this machine.
    local: bool,
}

impl Beats {
    /// Returns the state before the first look, for a command that starts now.
    pub fn new(now: Tick) -> Beats {
        Beats { seen: None, looked: now, local: true }
    }

    /// Begins again with a command that was started at `started` and may write to this feedback file.
    pub fn begin(&mut self, started: Tick, feedback: Option<&Path>) {
        self.looked = started;
        if let Some(folder) = feedback.and_then(Path::parent) {
            self.local = !feedfile::is_network_fs(folder).unwrap_or(true);
        }
    }

    /// Returns the time of a heartbeat since the last look, as exactly as it can be determined.
    pub fn look(&mut self, feedback: Option<&Path>, now: Tick) -> Option<Tick> {
        let looked = std::mem::replace(&mut self.looked, now);
        let seen = feedfile::signature(feedback?).ok().flatten()?;
        if self.seen.replace(seen) == Some(seen) {
            return None;
        }
        let changed = Timestamp(i64::try_from(seen.ctime_ns).unwrap_or(0));
        Some(date_beat(looked, now, changed, self.local))
    }

    /// Returns when the file was last modified, in unix seconds; `None` if it was never found.
    pub fn last(&self) -> Option<i64> {
        self.seen.and_then(|seen| i64::try_from(seen.mtime_ns / 1_000_000_000).ok())
    }
}
