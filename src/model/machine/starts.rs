//! Queue of starts: how many are in progress at once, and which come first.
//!
//! Starts requested together form one batch. Within a batch, a process is started only after the
//! processes of earlier tiers have been executed, or have failed to. Processes of one tier, and of
//! different batches, overlap. Nothing here waits for a process to be RUNNING.

use std::{collections::HashMap, time::Duration};

use super::Rank;

/// A start that takes longer does not count as in progress: its file server may be unavailable.
const LONG: Duration = Duration::from_secs(1);
/// Longest time that later tiers wait for a start of an earlier one.
const OVERTAKEN: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
struct QueuePlace {
    batch: u64,
    rank: Rank,
}

impl QueuePlace {
    /// Whether this process must be executed before the other.
    fn precedes(&self, other: &QueuePlace) -> bool {
        self.batch == other.batch && self.rank.tier() < other.rank.tier()
    }
}

/// A process to start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    place: QueuePlace,
    overtakes: Option<String>,
}

impl Turn {
    /// Returns the name of the process.
    pub fn name(&self) -> &str {
        &self.place.rank.name
    }

    /// Returns the process of an earlier tier whose start takes so long that this one no longer
    /// waits for it.
    pub fn overtakes(&self) -> Option<&str> {
        self.overtakes.as_deref()
    }
}

/// All starts that have not reached their exec.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Waiting starts, each closed batch in start order.
    waiting: Vec<QueuePlace>,
    /// Starts in progress by handle, with their begin on the monotonic clock.
    under_way: HashMap<String, (QueuePlace, Duration)>,
    batch: u64,
    /// Number of waiting starts in closed batches.
    closed: usize,
}

impl Starts {
    /// Number of starts in progress at once: more would only wait for each other at the database.
    pub const WINDOW: usize = 8;

    /// Adds a process to the open batch.
    pub fn push(&mut self, rank: Rank) {
        self.waiting.push(QueuePlace { batch: self.batch, rank });
    }

    /// Closes the batch: its order is fixed, and later starts belong to another one.
    pub fn close(&mut self) {
        if self.closed < self.waiting.len() {
            self.waiting[self.closed..].sort_by(|a, b| a.rank.cmp(&b.rank));
            self.closed = self.waiting.len();
            self.batch += 1;
        }
    }

    /// Removes and returns the next process to start at `now`; `None`: none can be started yet.
    pub fn next(&mut self, now: Duration) -> Option<Turn> {
        let age = |since: &Duration| now.saturating_sub(*since);
        if self.under_way.values().filter(|(_, since)| age(since) < LONG).count() >= Starts::WINDOW {
            return None;
        }
        let held = |place: &QueuePlace| {
            self.under_way.values().any(|(other, since)| other.precedes(place) && age(since) < OVERTAKEN)
        };
        let mut blocked: Option<u64> = None;
        let mut last: Option<&QueuePlace> = None;
        let at = self.waiting[..self.closed].iter().position(|place| {
            // The waiting starts of one batch are in order.
            let is_held = blocked == Some(place.batch) || last.is_some_and(|last| last.precedes(place)) || held(place);
            if is_held {
                blocked = Some(place.batch);
            }
            last = Some(place);
            !is_held
        })?;
        let place = self.waiting.remove(at);
        self.closed -= 1;
        let mut others = self.under_way.values().map(|(other, _)| other);
        let overtakes = others.find(|other| other.precedes(&place)).map(|other| other.rank.name.clone());
        Some(Turn { place, overtakes })
    }

    /// Records the begin of a start that `next` returned.
    pub fn begun(&mut self, handle: &str, turn: &Turn, now: Duration) {
        self.under_way.insert(handle.to_owned(), (turn.place.clone(), now));
    }

    /// Records a start that was not queued here: it takes up room, and no other start waits for it.
    pub fn taken_over(&mut self, handle: &str, name: &str, now: Duration) {
        self.close();
        let place = QueuePlace { batch: self.batch, rank: Rank::of(name) };
        self.batch += 1;
        self.under_way.insert(handle.to_owned(), (place, now));
    }

    /// Records that a start has reached its exec, or has failed to.
    pub fn arrived(&mut self, handle: &str) {
        self.under_way.remove(handle);
    }

    /// Removes a process from the queue.
    pub fn cancel(&mut self, name: &str) {
        self.closed -= self.waiting[..self.closed].iter().filter(|place| place.rank.name == name).count();
        self.waiting.retain(|place| place.rank.name != name);
    }

    /// Removes and returns the processes that are no longer wanted, whether or not they could
    /// start.
    pub fn take_unwanted(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self.waiting.iter().map(|place| &place.rank.name).filter(|name| !is_wanted(name));
        let names: Vec<String> = names.cloned().collect();
        names.iter().for_each(|name| self.cancel(name));
        names
    }

    /// Latest time, on the monotonic clock, to call `next` again without another event; `None`:
    /// only an event matters.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        if self.waiting.is_empty() {
            return None;
        }
        let ends = self.under_way.values().flat_map(|(_, since)| [*since + LONG, *since + OVERTAKEN]);
        ends.filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn rank(program: i64, name: &str) -> Rank {
        Rank { group: 999, program, name: name.into() }
    }

    fn batch(starts: &mut Starts, ranks: &[(i64, &str)]) {
        ranks.iter().for_each(|(program, name)| starts.push(rank(*program, name)));
        starts.close();
    }

    /// Returns all processes that can start, each begun under its own name.
    fn begin(starts: &mut Starts, now: Duration) -> Vec<String> {
        let mut names = vec![];
        while let Some(turn) = starts.next(now) {
            starts.begun(turn.name(), &turn, now);
            names.push(turn.name().to_owned());
        }
        names
    }

    #[test]
    fn a_later_tier_waits_until_the_earlier_one_was_executed() {
        let mut starts = Starts::default();
        batch(&mut starts, &[(3, "c"), (1, "a"), (2, "b1"), (2, "b2")]);
        assert_eq!(begin(&mut starts, NOW), ["a"]);
        assert_eq!(begin(&mut starts, NOW), [""; 0]);
        starts.arrived("a");
        assert_eq!(begin(&mut starts, NOW), ["b1", "b2"], "equals overlap");
        starts.arrived("b2");
        assert_eq!(begin(&mut starts, NOW), [""; 0]);
        starts.arrived("b1");
        assert_eq!(begin(&mut starts, NOW), ["c"]);
    }

    #[test]
    fn batches_do_not_wait_for_each_other() {
        let mut starts = Starts::default();
        batch(&mut starts, &[(1, "a"), (2, "b")]);
        assert_eq!(begin(&mut starts, NOW), ["a"]);
        batch(&mut starts, &[(5, "x"), (6, "y")]);
        assert_eq!(begin(&mut starts, NOW), ["x"]);
        starts.arrived("x");
        assert_eq!(begin(&mut starts, NOW), ["y"]);
        starts.taken_over("z", "z", NOW);
        starts.arrived("a");
        assert_eq!(begin(&mut starts, NOW), ["b"]);
    }

    #[test]
    fn a_start_that_hangs_is_overtaken_in_the_end() {
        let mut starts = Starts::default();
        batch(&mut starts, &[(1, "a"), (2, "b")]);
        assert_eq!(begin(&mut starts, NOW), ["a"]);
        let late = NOW + OVERTAKEN;
        assert_eq!(starts.deadline(NOW), Some(NOW + LONG));
        assert_eq!(starts.deadline(NOW + LONG), Some(late));
        assert_eq!(begin(&mut starts, late.saturating_sub(Duration::from_millis(1))), [""; 0]);
        let turn = starts.next(late).unwrap();
        assert_eq!((turn.name(), turn.overtakes()), ("b", Some("a")));
        assert_eq!(starts.deadline(late), None);
    }

    #[test]
    fn a_limited_number_is_in_progress_apart_from_slow_starts() {
        let mut starts = Starts::default();
        let names: Vec<String> = (0..20).map(|number| format!("p{number:02}")).collect();
        names.iter().for_each(|name| starts.push(rank(1, name)));
        starts.close();
        assert_eq!(begin(&mut starts, NOW), names[..8]);
        starts.arrived("p03");
        assert_eq!(begin(&mut starts, NOW), ["p08"]);
        starts.cancel("p09");
        assert_eq!(begin(&mut starts, NOW + LONG), names[10..18]);
    }

    #[test]
    fn a_start_waits_until_its_batch_is_closed() {
        let mut starts = Starts::default();
        starts.push(rank(2, "b"));
        assert_eq!(begin(&mut starts, NOW), [""; 0]);
        starts.push(rank(1, "a"));
        starts.cancel("nobody");
        starts.close();
        assert_eq!(begin(&mut starts, NOW), ["a"]);
        assert_eq!(starts.take_unwanted(|name| name != "b"), ["b"]);
        starts.arrived("a");
        assert_eq!(begin(&mut starts, NOW), [""; 0]);
    }
}
