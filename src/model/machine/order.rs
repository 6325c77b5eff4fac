//! Order in which processes start and stop: ascending by group priority, program priority and name;
//! stops in exact reverse, tier by tier. Processes with the same two priorities form a tier.

/// Position of one process in the start order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Priority of the group; lower ones start first and stop last.
    pub group: i64,
    /// Priority of the program.
    pub program: i64,
    /// Full name.
    pub name: String,
}

impl Rank {
    /// Makes a rank for a process of which only the name is known.
    pub fn of(name: &str) -> Rank {
        Rank { group: 0, program: 0, name: name.to_owned() }
    }

    pub(super) fn tier(&self) -> (i64, i64) {
        (self.group, self.program)
    }
}

/// Returns the names in start order.
pub fn start_order(mut ranks: Vec<Rank>) -> Vec<String> {
    ranks.sort();
    ranks.into_iter().map(|rank| rank.name).collect()
}

/// Returns the names in stop order, the exact reverse of the start order.
pub fn stop_order(ranks: Vec<Rank>) -> Vec<String> {
    let mut names = start_order(ranks);
    names.reverse();
    names
}

/// Returns the tiers in start order, each in the order of its names.
pub fn start_tiers(mut ranks: Vec<Rank>) -> Vec<Vec<String>> {
    ranks.sort();
    let tiers = ranks.chunk_by(|a, b| a.tier() == b.tier());
    tiers.map(|tier| tier.iter().map(|rank| rank.name.clone()).collect()).collect()
}

/// Returns the tiers in stop order.
pub fn stop_tiers(ranks: Vec<Rank>) -> Vec<Vec<String>> {
    let mut tiers = start_tiers(ranks);
    tiers.reverse();
    tiers.iter_mut().for_each(|tier| tier.reverse());
    tiers
}

/// Iterates over tiers: the next tier begins when the previous one is done. The processes of a tier
/// are handled concurrently, so the total time is the sum over the tiers of the slowest process
/// each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    tiers: Vec<Vec<String>>,
    /// Number of tiers that have begun.
    begun: usize,
}

impl Sequence {
    /// For `start_serial`: a process is done when it is RUNNING, or cannot become so.
    pub fn starting(ranks: Vec<Rank>) -> Sequence {
        Sequence { tiers: start_tiers(ranks), begun: 0 }
    }

    /// For shutdown, `stop all` and `restart all`: a process is done when it is down.
    pub fn stopping(ranks: Vec<Rank>) -> Sequence {
        Sequence { tiers: stop_tiers(ranks), begun: 0 }
    }

    /// Returns the processes to handle now, in order. Call it at the beginning and whenever a
    /// process may be done; each process is returned once.
    pub fn next(&mut self, mut is_done: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut asked = Vec::new();
        while self.begun < self.tiers.len() && self.last_is_done(&mut is_done) {
            let tier = &self.tiers[self.begun];
            self.begun += 1;
            asked.extend(tier.iter().filter(|name| !is_done(name)).cloned());
        }
        asked
    }

    /// Whether the process was returned already.
    pub fn has_asked(&self, name: &str) -> bool {
        self.tiers[..self.begun].iter().flatten().any(|asked| asked == name)
    }

    /// Whether all tiers are done.
    pub fn is_done(&self, mut is_done: impl FnMut(&str) -> bool) -> bool {
        self.begun == self.tiers.len() && self.last_is_done(&mut is_done)
    }

    fn last_is_done(&self, is_done: &mut impl FnMut(&str) -> bool) -> bool {
        self.begun
            .checked_sub(1)
            .and_then(|last| self.tiers.get(last))
            .is_none_or(|t| t.iter().all(|name| is_done(name)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn rank(group: i64, program: i64, name: &str) -> Rank {
        Rank { group, program, name: name.into() }
    }

    fn ranks() -> Vec<Rank> {
        vec![
            rank(999, 999, "web"),
            rank(1, 999, "db"),
            rank(999, 5, "cache"),
            rank(999, 999, "app"),
            rank(1, 999, "bus"),
        ]
    }

    #[test]
    fn starts_ascend_and_stops_are_exactly_reversed() {
        assert_eq!(start_order(ranks()), ["bus", "db", "cache", "app", "web"]);
        assert_eq!(stop_order(ranks()), ["web", "app", "cache", "db", "bus"]);
        assert_eq!(start_tiers(ranks()), [vec!["bus", "db"], vec!["cache"], vec!["app", "web"]]);
        assert_eq!(stop_tiers(ranks()).concat(), stop_order(ranks()));
        assert_eq!(stop_tiers(ranks()).len(), 3);
    }

    #[test]
    fn the_group_counts_before_the_program() {
        assert_eq!(start_order(vec![rank(2, 1, "a"), rank(1, 9, "b")]), ["b", "a"]);
        assert_eq!(start_order(vec![rank(-1, 9, "b"), rank(0, 1, "a")]), ["b", "a"]);
    }

    #[test]
    fn a_tier_begins_when_the_previous_one_is_down() {
        let mut down = BTreeSet::new();
        let mut sequence = Sequence::stopping(ranks());
        assert_eq!(sequence.next(|name| down.contains(name)), ["web", "app"]);
        assert_eq!(sequence.next(|name| down.contains(name)), [""; 0]);
        assert!(sequence.has_asked("web") && !sequence.has_asked("cache") && !sequence.has_asked("nobody"));
        down.insert("web".to_owned());
        assert_eq!(sequence.next(|name| down.contains(name)), [""; 0]);
        down.insert("app".to_owned());
        assert_eq!(sequence.next(|name| down.contains(name)), ["cache"]);
        assert!(!sequence.is_done(|name| down.contains(name)));
        down.insert("cache".to_owned());
        down.insert("bus".to_owned());
        assert_eq!(sequence.next(|name| down.contains(name)), ["db"], "a process that is down is not asked");
        down.insert("db".to_owned());
        assert_eq!(sequence.next(|name| down.contains(name)), [""; 0]);
        assert!(sequence.is_done(|name| down.contains(name)));
    }

    #[test]
    fn tiers_that_are_down_are_skipped_immediately() {
        let mut sequence = Sequence::stopping(ranks());
        assert_eq!(sequence.next(|name| name != "db"), ["db"]);
        let mut nothing = Sequence::starting(vec![]);
        assert_eq!(nothing.next(|_| false), [""; 0]);
        assert!(nothing.is_done(|_| false));
    }
}
