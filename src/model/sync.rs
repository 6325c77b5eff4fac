//! The schedule of `control remote sync`: which remote is asked next, how many at once, when a remote is asked again,
//! and when the sync is over.
//!
//! Pure: the caller passes in the time, asks the remotes, stores their responses, and reports how each request ended.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::remote::pause;

/// A remote that is silent for this long is asked again as a doubtful one, with the full limit.
pub const QUIET: Duration = Duration::from_secs(5);
/// Maximum number of remotes that are asked at once.
pub const CONNECTIONS: usize = 20;
/// Maximum number of these that failed the last time or are silent now, so that they do not delay the others.
const DOUBTFUL: usize = 5;
/// Interval at which the progress is shown, and the shortest pause after an error of the database.
const STEP: Duration = Duration::from_millis(200);
/// The longest wait for a message. An event that nothing announces, such as a new remote, is seen after it.
const IDLE: Duration = Duration::from_secs(3600);
/// The shortest wait for a message.
const SHORTEST: Duration = Duration::from_millis(10);

/// The mode and the limits of a sync.
#[derive(Clone, Debug)]
pub struct SyncRules {
    /// The interval at which each remote is asked (`--every`); `None`: once.
    pub every: Option<Duration>,
    /// Whether the command line names the remotes.
    pub named: bool,
    /// Maximum number of remotes that are asked at once.
    pub connections: usize,
    /// Maximum number of doubtful remotes that are asked at once.
    pub doubtful: usize,
    /// A remote that responds within this time does not count as silent any more.
    pub quiet: Duration,
    /// Interval at which the progress is shown, and the shortest pause after an error of the database.
    pub step: Duration,
}

impl Default for SyncRules {
    fn default() -> SyncRules {
        SyncRules { every: None, named: false, connections: CONNECTIONS, doubtful: DOUBTFUL, quiet: QUIET, step: STEP }
    }
}

/// What the schedule needs to know of a remote, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteState {
    /// The id of the remote.
    pub id: i64,
    /// Number of consecutive failures.
    pub failures: u32,
    /// When the remote was last asked, in Unix seconds.
    pub tried: Option<i64>,
}

impl RemoteState {
    /// Returns how many seconds after `now` (Unix seconds) the pause after its failures ends. `None` if it is over.
    fn paused(&self, now: i64) -> Option<u64> {
        let until = self.tried.unwrap_or(0).saturating_add(pause(self.failures).as_secs().cast_signed());
        (self.failures > 0 && until > now).then(|| until.abs_diff(now))
    }
}

/// A remote that is not asked in this sync, because it failed a short while ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedRemote {
    /// The id of the remote.
    pub id: i64,
    /// Number of seconds for which it is skipped.
    pub secs: u64,
}

/// A remote to ask now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<P> {
    /// The id of the remote.
    pub id: i64,
    /// Whether the remote failed the last time or was silent just now.
    pub doubtful: bool,
    /// The progress before the remote became silent, if this continues such a request.
    pub begun: Option<P>,
}

/// How the requests to a remote ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskEnd<P> {
    /// The remote responded.
    Done {
        /// Whether all of its nodes did.
        whole: bool,
    },
    /// The remote failed.
    Failed,
    /// The remote was silent; the progress so far.
    Silent(P),
}

/// What follows from the end of the requests to a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followup {
    /// The remote was not asked: nothing.
    Nothing,
    /// The remote is asked again from its newest cursor, which the caller reads.
    AskAgain,
    /// The remote is done; the caller reports it.
    Report,
}

/// A remote that is asked at the moment.
#[derive(Clone, Copy, Debug)]
struct InProgress {
    /// Its consecutive failures before.
    failures: u32,
    /// When it was asked.
    since: Duration,
    /// Whether a response could not be stored.
    unstored: bool,
}

/// Decides which remotes are asked when. `P` is the progress with a remote that became silent. All times without a unit
/// are on the monotonic clock.
#[derive(Debug)]
pub struct SyncScheduler<P> {
    rules: SyncRules,
    /// The chosen remotes.
    remotes: Vec<RemoteState>,
    skipped: Vec<SkippedRemote>,
    /// Until when not to ask a remote.
    due: HashMap<i64, Duration>,
    asked: HashMap<i64, InProgress>,
    /// Remotes that were silent for a while.
    slow: HashSet<i64>,
    /// The progress with those of them that are to be asked again.
    begun: HashMap<i64, P>,
    /// Number of remotes that are done.
    done: usize,
    failed: bool,
}

impl<P> SyncScheduler<P> {
    /// Creates a schedule for these remotes, at `now` in Unix seconds. A remote that failed is skipped for a while,
    /// unless the command line names it or the sync goes on.
    pub fn new(rules: SyncRules, remotes: Vec<RemoteState>, now: i64) -> SyncScheduler<P> {
        let may_skip = rules.every.is_none() && !rules.named;
        let skip = |remote: &RemoteState| Some(SkippedRemote { id: remote.id, secs: remote.paused(now)? });
        let skipped: Vec<SkippedRemote> = remotes.iter().filter(|_| may_skip).filter_map(skip).collect();
        let due = skipped.iter().map(|skipped| (skipped.id, Duration::MAX)).collect();
        SyncScheduler {
            rules,
            remotes,
            skipped,
            due,
            asked: HashMap::new(),
            slow: HashSet::new(),
            begun: HashMap::new(),
            done: 0,
            failed: false,
        }
    }

    /// Returns the remotes that are not asked, in the order of the chosen ones.
    pub fn skipped(&self) -> &[SkippedRemote] {
        &self.skipped
    }

    /// Returns the next remote to ask now, and counts it as asked. `None` if there is none, or as many are asked as the
    /// limits permit. Remotes that responded the last time come first.
    pub fn ask_next(&mut self, now: Duration) -> Option<Ask<P>> {
        if self.asked.len() >= self.rules.connections {
            return None;
        }
        let slow = &self.slow;
        self.remotes.sort_by_key(|remote| (slow.contains(&remote.id), remote.failures));
        let is_doubtful = |id: i64, failures: u32| failures > 0 || slow.contains(&id);
        let doubtful = self.asked.iter().filter(|(id, asked)| is_doubtful(**id, asked.failures)).count();
        let is_next = |remote: &&RemoteState| {
            let waits = self.due.get(&remote.id).is_some_and(|due| *due > now);
            let fits = doubtful < self.rules.doubtful || !is_doubtful(remote.id, remote.failures);
            !waits && fits && !self.asked.contains_key(&remote.id)
        };
        let RemoteState { id, failures, .. } = *self.remotes.iter().find(is_next)?;
        let doubtful = is_doubtful(id, failures);
        self.asked.insert(id, InProgress { failures, since: now, unstored: false });
        Some(Ask { id, doubtful, begun: self.begun.remove(&id) })
    }

    /// Takes back a remote that could not be asked because of the database. It is asked later.
    pub fn put_off(&mut self, ask: Ask<P>, now: Duration) {
        self.asked.remove(&ask.id);
        if let Some(begun) = ask.begun {
            self.begun.insert(ask.id, begun);
        }
        let after = self.rules.every.unwrap_or_default().max(self.rules.step);
        self.due.insert(ask.id, now.saturating_add(after));
    }

    /// Whether to store a response of this remote. After one that could not be stored, the following ones are dropped:
    /// they build on it.
    pub fn takes(&self, id: i64) -> bool {
        self.asked.get(&id).is_some_and(|asked| !asked.unstored)
    }

    /// Records that a response of this remote could not be stored: it counts as failed, and is asked again from its
    /// last cursor.
    pub fn not_stored(&mut self, id: i64) {
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.unstored = true;
        }
    }

    /// Records how the requests to a remote ended.
    pub fn ended(&mut self, id: i64, end: AskEnd<P>, now: Duration) -> Followup {
        let Some(asked) = self.asked.remove(&id) else { return Followup::Nothing };
        let (failed, whole) = match end {
            AskEnd::Silent(begun) if !asked.unstored => {
                self.slow.insert(id);
                self.begun.insert(id, begun);
                return Followup::AskAgain;
            }
            AskEnd::Silent(_) => (true, true),
            AskEnd::Done { whole } => (asked.unstored, whole),
            AskEnd::Failed => (true, true),
        };
        self.done += 1;
        if now.saturating_sub(asked.since) < self.rules.quiet {
            self.slow.remove(&id);
        }
        self.failed |= failed || !whole;
        let failures = if failed { asked.failures.saturating_add(1) } else { 0 };
        let after = self.rules.every.map_or(Duration::MAX, |every| every.max(pause(failures)));
        self.due.insert(id, now.saturating_add(after));
        Followup::Report
    }

    /// Replaces the chosen remotes: some may have been added or removed meanwhile. A removed one that is asked remains
    /// asked until its requests end.
    pub fn replace(&mut self, remotes: Vec<RemoteState>) {
        self.remotes = remotes;
    }

    /// Replaces the state of one remote.
    pub fn update(&mut self, state: RemoteState) {
        if let Some(remote) = self.remotes.iter_mut().find(|remote| remote.id == state.id) {
            *remote = state;
        }
    }

    /// Returns the number of remotes to ask, and of those that are done.
    pub fn progress(&self) -> (usize, usize) {
        (self.remotes.len() - self.skipped.len(), self.done)
    }

    /// Returns how long to wait for a message, after [`SyncScheduler::ask_next`] returned `None` at the same time; `None`
    /// if the sync is over.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        match (self.rules.every, self.asked.is_empty()) {
            (None, true) => None,
            (None, false) => Some(self.rules.step),
            (Some(_), _) => {
                // A remote that is due is asked already, or waits for the end of another one.
                let due = self.remotes.iter().filter_map(|remote| self.due.get(&remote.id));
                let next = due.filter(|due| **due > now).min();
                Some(next.map_or(IDLE, |due| due.saturating_sub(now)).max(SHORTEST))
            }
        }
    }

    /// Whether a remote, or a node of one, failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}
