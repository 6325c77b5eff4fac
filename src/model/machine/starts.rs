//! Starts that wait for their turn, and those that are under way: how many at once, and which first (SM-14).
//!
//! What is asked for at the same time is one batch. Of a batch, no process is started before those of an earlier tier
//! have been executed, or could not be; processes of one tier, and of different batches, overlap. Nothing here waits for
//! a process to be RUNNING.

use std::{collections::HashMap, time::Duration};

use super::Rank;

/// A start that takes longer than this does not count among those under way: its file server may be away.
const LONG: Duration = Duration::from_secs(1);
/// Later tiers wait no longer than this for a start of an earlier one.
const OVERTAKEN: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
struct QueuePlace {
    batch: u64,
    rank: Rank,
}

impl QueuePlace {
    /// Whether this one is to be executed before the other one is.
    fn precedes(&self, other: &QueuePlace) -> bool {
        self.batch == other.batch && self.rank.tier() < other.rank.tier()
    }
}

/// A process whose turn it is.
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

    /// Returns the process of an earlier tier whose start takes so long that this one does not wait for it.
    pub fn overtakes(&self) -> Option<&str> {
        self.overtakes.as_deref()
    }
}

/// All starts that have not got to their exec.
#[derive(Clone, Debug, Default)]
pub struct Starts {
    /// Of each batch in the order of starts, once it is closed.
    waiting: Vec<QueuePlace>,
    /// Runs that were begun, by their handles, and since when, on the monotonic clock.
    under_way: HashMap<String, (QueuePlace, Duration)>,
    batch: u64,
    /// How many of those that wait belong to closed batches.
    closed: usize,
}

impl Starts {
    /// How many commands are on their way to their exec at once: more would only wait for each other at the database.
    pub const WINDOW: usize = 8;

    /// Adds a process to the batch that is open.
    pub fn push(&mut self, rank: Rank) {
        self.waiting.push(QueuePlace { batch: self.batch, rank });
    }

    /// Closes the batch: its order is settled, and what comes later is another one.
    pub fn close(&mut self) {
        if self.closed < self.waiting.len() {
            self.waiting[self.closed..].sort_by(|a, b| a.rank.cmp(&b.rank));
            self.closed = self.waiting.len();
            self.batch += 1;
        }
    }

    /// Takes out the next process whose turn it is at `now`; none: those that wait, wait on.
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
            // Of one batch those that wait stand in their order.
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

    /// A run was begun for a process whose turn it was.
    pub fn begun(&mut self, handle: &str, turn: &Turn, now: Duration) {
        self.under_way.insert(handle.to_owned(), (turn.place.clone(), now));
    }

    /// A run was begun by somebody else: nothing waits for it but the room that it takes.
    pub fn taken_over(&mut self, handle: &str, name: &str, now: Duration) {
        self.close();
        let place = QueuePlace { batch: self.batch, rank: Rank::of(name) };
        self.batch += 1;
        self.under_way.insert(handle.to_owned(), (place, now));
    }

    /// A run has got to its exec, or never will.
    pub fn arrived(&mut self, handle: &str) {
        self.under_way.remove(handle);
    }

    /// A process is not to be started any more.
    pub fn cancel(&mut self, name: &str) {
        self.closed -= self.waiting[..self.closed].iter().filter(|place| place.rank.name == name).count();
        self.waiting.retain(|place| place.rank.name != name);
    }

    /// Takes out those that are not wanted any more, whether or not it is their turn: nothing waits for them.
    pub fn take_unwanted(&mut self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self.waiting.iter().map(|place| &place.rank.name).filter(|name| !is_wanted(name));
        let names: Vec<String> = names.cloned().collect();
        names.iter().for_each(|name| self.cancel(name));
        names
    }

    /// When somebody's turn may come, on the monotonic clock, whatever happens; none: it is nobody's.
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

    /// All whose turn it is, each begun under its own name.
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
    fn one_that_hangs_is_overtaken_in_the_end() {
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
    fn so_many_are_under_way_at_once_but_for_those_that_take_long() {
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
    fn what_is_pushed_waits_until_its_batch_is_closed() {
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
