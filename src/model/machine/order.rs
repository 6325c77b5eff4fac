//! In which order processes start and stop (SM-14): ascending by group priority, program priority and name; stops exactly
//! reversed, tier by tier. A tier is what has the same two priorities.

/// The place of one process in the order of starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Priority of its group; lower ones start first and stop last.
    pub group: i64,
    /// Priority of its program.
    pub program: i64,
    /// Its full name.
    pub name: String,
}

impl Rank {
    /// Returns the place of a process of which nothing but the name is known.
    pub fn of(name: &str) -> Rank {
        Rank { group: 0, program: 0, name: name.to_owned() }
    }

    pub(super) fn tier(&self) -> (i64, i64) {
        (self.group, self.program)
    }
}

/// The names in the order in which they start (SM-14).
pub fn start_order(mut ranks: Vec<Rank>) -> Vec<String> {
    ranks.sort();
    ranks.into_iter().map(|rank| rank.name).collect()
}

/// The names in the order in which they stop: exactly the reverse (SM-14).
pub fn stop_order(ranks: Vec<Rank>) -> Vec<String> {
    let mut names = start_order(ranks);
    names.reverse();
    names
}

/// The tiers in the order in which they start, each in the order of its names.
pub fn start_tiers(mut ranks: Vec<Rank>) -> Vec<Vec<String>> {
    ranks.sort();
    let tiers = ranks.chunk_by(|a, b| a.tier() == b.tier());
    tiers.map(|tier| tier.iter().map(|rank| rank.name.clone()).collect()).collect()
}

/// The tiers in the order in which they stop.
pub fn stop_tiers(ranks: Vec<Rank>) -> Vec<Vec<String>> {
    let mut tiers = start_tiers(ranks);
    tiers.reverse();
    tiers.iter_mut().for_each(|tier| tier.reverse());
    tiers
}

/// Goes through tiers: the next one is begun when the former is done. Inside a tier all go at once, so the whole takes
/// no longer than the slowest of each tier together (#217, #520).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    tiers: Vec<Vec<String>>,
    /// So many of them were begun.
    begun: usize,
}

impl Sequence {
    /// For `start_serial`: a process is done when it is RUNNING, or will not be.
    pub fn starting(ranks: Vec<Rank>) -> Sequence {
        Sequence { tiers: start_tiers(ranks), begun: 0 }
    }

    /// For shutdown, `stop all` and `restart all`: a process is done when it is down.
    pub fn stopping(ranks: Vec<Rank>) -> Sequence {
        Sequence { tiers: stop_tiers(ranks), begun: 0 }
    }

    /// What is to be asked now, in order. To be called at the beginning and whenever something may be done; it names
    /// nobody twice.
    pub fn next(&mut self, mut is_done: impl FnMut(&str) -> bool) -> Vec<String> {
        let mut asked = Vec::new();
        while self.begun < self.tiers.len() && self.last_is_done(&mut is_done) {
            let tier = &self.tiers[self.begun];
            self.begun += 1;
            asked.extend(tier.iter().filter(|name| !is_done(name)).cloned());
        }
        asked
    }

    /// Whether this one was asked already.
    pub fn has_asked(&self, name: &str) -> bool {
        self.tiers[..self.begun].iter().flatten().any(|asked| asked == name)
    }

    /// Whether all of it is done.
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
    fn a_tier_begins_when_the_former_is_down() {
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
        assert_eq!(sequence.next(|name| down.contains(name)), ["db"], "what is down already is not asked");
        down.insert("db".to_owned());
        assert_eq!(sequence.next(|name| down.contains(name)), [""; 0]);
        assert!(sequence.is_done(|name| down.contains(name)));
    }

    #[test]
    fn tiers_that_are_down_are_passed_over_at_once() {
        let mut sequence = Sequence::stopping(ranks());
        assert_eq!(sequence.next(|name| name != "db"), ["db"]);
        let mut nothing = Sequence::starting(vec![]);
        assert_eq!(nothing.next(|_| false), [""; 0]);
        assert!(nothing.is_done(|_| false));
    }
}
