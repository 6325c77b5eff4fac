//! Statistics over the runs of one name.
//!
//! Percentiles use the nearest rank: the shortest duration that p percent of the runs did not
//! exceed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::task::Class;

/// Number of runs in the bar of recent runs.
pub const RECENT: usize = 20;

/// Seconds by which a clock may be set back in normal operation (NTP). An end that lies no further
/// ahead than this does not count as in the future.
pub const CLOCK_STEP: i64 = 60;

/// One run that has ended.
#[derive(Clone, Debug)]
pub struct EndedRun {
    /// Row id; of two runs that ended in the same second, the later one has the higher id.
    pub id: i64,
    /// How it ended.
    pub class: Class,
    /// Time of the end, unix seconds.
    pub end: i64,
    /// Run time, seconds.
    pub duration: Option<f64>,
    /// Reason of the failure.
    pub reason: Option<String>,
    /// Whether the run ended because the reader of its output closed it: neither a success nor a
    /// failure.
    pub cut_short: bool,
}

/// Data of the runs of one name so far.
#[derive(Clone, Debug, Default)]
struct Gathered {
    cut_short: u64,
    future: u64,
    counts: [u64; 4],
    durations: Vec<f32>,
    success: Option<i64>,
    failure: Option<(i64, i64, Option<String>)>,
    recent: BinaryHeap<Reverse<Mark>>,
}

#[derive(Clone, Debug)]
struct Mark {
    end: i64,
    id: i64,
    class: Class,
    duration: Option<f64>,
}

impl Mark {
    fn key(&self) -> (i64, i64) {
        (self.end, self.id)
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Mark {}
impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Mark) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Mark {
    fn cmp(&self, other: &Mark) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Summary of the runs of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The name.
    pub name: String,
    /// Number of ended runs by class, in the order of [`Class::ALL`], without those that were cut
    /// short.
    pub counts: [u64; 4],
    /// Number of runs that ended because the reader of their output closed it.
    pub cut_short: u64,
    /// Number of runs whose recorded end lies in the future because a clock was wrong. They are not
    /// in `last_success`, `last_failure` and `recent`.
    pub future: u64,
    /// Median of the durations, seconds.
    pub p50: Option<f64>,
    /// 95th percentile of the durations, seconds.
    pub p95: Option<f64>,
    /// End of the last success, unix seconds.
    pub last_success: Option<i64>,
    /// End of the last failure, and its reason.
    pub last_failure: Option<(i64, Option<String>)>,
    /// The last runs, oldest first.
    pub recent: Vec<(Class, Option<f64>)>,
}

impl Summary {
    /// Returns the summary of a name without ended runs.
    pub fn none(name: &str) -> Summary {
        Summary {
            name: name.to_owned(),
            counts: [0; 4],
            cut_short: 0,
            future: 0,
            p50: None,
            p95: None,
            last_success: None,
            last_failure: None,
            recent: vec![],
        }
    }

    /// Number of runs.
    pub fn runs(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of successes, with or without warnings.
    pub fn good(&self) -> u64 {
        Class::ALL.iter().zip(self.counts).filter(|(class, _)| class.is_success()).map(|(_, count)| count).sum()
    }

    /// Share of the successes, percent.
    pub fn success_rate(&self) -> f64 {
        100.0 * self.good() as f64 / self.runs().max(1) as f64
    }

    /// The last runs, one character each: its height is the duration, and a cross is a failure.
    pub fn bar(&self) -> String {
        const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let longest = self.recent.iter().filter_map(|(_, duration)| *duration).fold(0.0, f64::max);
        let mark = |(class, duration): &(Class, Option<f64>)| match (class.is_success(), duration) {
            (false, _) => '×',
            (true, Some(duration)) if longest > 0.0 => HEIGHTS[((duration / longest * 7.0).round() as usize).min(7)],
            (true, _) => HEIGHTS[0],
        };
        self.recent.iter().map(mark).collect()
    }
}

/// Collects runs, in any order, by name.
#[derive(Clone, Debug)]
pub struct Stats {
    names: BTreeMap<String, Gathered>,
    /// Latest end that does not count as in the future, unix seconds.
    present: i64,
}

impl Stats {
    /// Starts without runs; `now` in unix seconds.
    pub fn new(now: i64) -> Stats {
        Stats { names: BTreeMap::new(), present: now.saturating_add(CLOCK_STEP) }
    }

    /// Adds a run.
    pub fn add(&mut self, name: &str, run: EndedRun) {
        let gathered = match self.names.get_mut(name) {
            Some(gathered) => gathered,
            None => self.names.entry(name.to_owned()).or_default(),
        };
        if run.cut_short {
            gathered.cut_short += 1;
            return;
        }
        let index = Class::ALL.iter().position(|class| *class == run.class).unwrap_or(0);
        gathered.counts[index] += 1;
        gathered.durations.extend(run.duration.map(|duration| duration as f32));
        if run.end > self.present {
            gathered.future += 1;
            return;
        }
        if run.class.is_success() {
            gathered.success = gathered.success.max(Some(run.end));
        } else if gathered.failure.as_ref().is_none_or(|(end, id, _)| (run.end, run.id) > (*end, *id)) {
            gathered.failure = Some((run.end, run.id, run.reason));
        }
        gathered.recent.push(Reverse(Mark { end: run.end, id: run.id, class: run.class, duration: run.duration }));
        if gathered.recent.len() > RECENT {
            gathered.recent.pop();
        }
    }

    /// The summaries, ordered by name.
    pub fn summaries(self) -> Vec<Summary> {
        let summary = |(name, mut gathered): (String, Gathered)| {
            let p50 = percentile(&mut gathered.durations, 50);
            let p95 = percentile(&mut gathered.durations, 95);
            let mut recent: Vec<Mark> = gathered.recent.into_iter().map(|Reverse(mark)| mark).collect();
            recent.sort();
            Summary {
                name,
                counts: gathered.counts,
                cut_short: gathered.cut_short,
                future: gathered.future,
                p50,
                p95,
                last_success: gathered.success,
                last_failure: gathered.failure.map(|(end, _, reason)| (end, reason)),
                recent: recent.into_iter().map(|mark| (mark.class, mark.duration)).collect(),
            }
        };
        self.names.into_iter().map(summary).collect()
    }
}

/// Returns the percentile by the nearest rank; reorders the values.
fn percentile(values: &mut [f32], percent: usize) -> Option<f64> {
    let rank = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    let (_, value, _) = values.select_nth_unstable_by(rank, f32::total_cmp);
    // Stored as f32: more digits would be noise.
    Some((f64::from(*value) * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: i64, class: Class, end: i64, duration: f64) -> EndedRun {
        let reason = (!class.is_success()).then(|| format!("reason {id}"));
        EndedRun { id, class, end, duration: Some(duration), reason, cut_short: false }
    }

    #[test]
    fn names_are_summarized_separately_in_any_order() {
        let mut stats = Stats::new(1000);
        stats.add("b", run(3, Class::Error, 30, 8.0));
        stats.add("a", run(9, Class::Ok, 5, 1.0));
        stats.add("b", run(2, Class::Warnings, 20, 4.0));
        stats.add("b", run(4, Class::Unknown, 30, 2.0));
        stats.add("b", run(1, Class::Ok, 10, 1.0));
        let [a, b] = stats.summaries().try_into().unwrap();
        assert_eq!((a.name.as_str(), a.runs(), a.success_rate()), ("a", 1, 100.0));
        assert_eq!((b.runs(), b.good(), b.success_rate()), (4, 2, 50.0));
        assert_eq!((b.p50, b.p95), (Some(2.0), Some(8.0)));
        assert_eq!(b.last_success, Some(20));
        assert_eq!(b.last_failure, Some((30, Some("reason 4".into()))));
        assert_eq!(b.bar(), "▂▅××");
    }

    #[test]
    fn a_run_that_its_reader_cut_short_is_neither_a_success_nor_a_failure() {
        let mut stats = Stats::new(1000);
        stats.add("a", run(1, Class::Ok, 10, 4.0));
        stats.add("a", EndedRun { cut_short: true, ..run(2, Class::Error, 20, 1.0) });
        let one = &stats.summaries()[0];
        assert_eq!((one.runs(), one.cut_short, one.success_rate()), (1, 1, 100.0));
        assert_eq!((one.p50, &one.last_failure, one.bar().as_str()), (Some(4.0), &None, "█"));
    }

    #[test]
    fn a_run_in_the_future_is_counted_and_is_not_the_last() {
        let mut stats = Stats::new(100);
        stats.add("a", run(2, Class::Ok, 100 + CLOCK_STEP + 1, 2.0));
        stats.add("a", run(1, Class::Ok, 10, 2.0));
        stats.add("a", run(3, Class::Error, 100 + CLOCK_STEP, 2.0));
        let one = &stats.summaries()[0];
        assert_eq!((one.runs(), one.future, one.last_success, one.bar().as_str()), (3, 1, Some(10), "█×"));
    }

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let mut values: Vec<f32> = (1..=100).map(|n| n as f32).rev().collect();
        assert_eq!((percentile(&mut values, 50), percentile(&mut values, 95)), (Some(50.0), Some(95.0)));
        assert_eq!(percentile(&mut [7.0], 95), Some(7.0));
        assert_eq!(percentile(&mut [], 50), None);
    }

    #[test]
    fn only_the_last_runs_are_in_the_bar() {
        let mut stats = Stats::new(1000);
        for id in 0..100 {
            stats.add("a", run(id, if id == 85 { Class::Error } else { Class::Ok }, id / 3, 1.0));
        }
        let bar = stats.summaries()[0].bar();
        assert_eq!((bar.chars().count(), bar.chars().position(|mark| mark == '×')), (RECENT, Some(5)));
    }

    #[test]
    fn runs_without_a_duration_count() {
        let mut stats = Stats::new(1000);
        stats.add("a", EndedRun { duration: None, ..run(1, Class::Ok, 1, 0.0) });
        let one = &stats.summaries()[0];
        assert_eq!((one.p50, one.bar().as_str()), (None, "▁"));
    }
}
