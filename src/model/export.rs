//! The wire form between taskwatcher hosts: what `control export` prints and whoever follows a host reads.
//!
//! One JSON object a line, each with a `type`. First `start`, which says whose tasks these are; then every task that has
//! not ended, and the ends since the cursor; last `end`, with the cursor to go on from. An answer without its `end` is not
//! whole: what it holds is true, but its cursor is not known.
//!
//! A reader ignores keys and types that it does not know; whatever it could not ignore gives a new version.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of this form.
pub const VERSION: u32 = 1;

/// Digits of a database's identity.
const IDENTITY: usize = 16;

/// Spans of a cursor at the most: enough for the tasks that run at once, and short enough for a command line (Linux
/// takes arguments of 128 KiB).
const SPANS: usize = 2_000;

/// Whole numbers in ascending spans that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Adds the numbers from `first` to `last`; none if that is less.
    pub fn add(&mut self, mut first: i64, mut last: i64) {
        if last < first {
            return;
        }
        let from = self.0.partition_point(|span| span.1.saturating_add(1) < first);
        let to = self.0.partition_point(|span| span.0 <= last.saturating_add(1));
        for span in &self.0[from..to] {
            first = first.min(span.0);
            last = last.max(span.1);
        }
        self.0.splice(from..to, [(first, last)]);
    }

    /// The spans, ascending: first and last number of each.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// Joins neighbours over the smallest gaps until no more than `count` spans are left.
    fn shorten(&mut self, count: usize) {
        if self.0.len() <= count || count == 0 {
            return;
        }
        let mut gaps: Vec<(i64, usize)> =
            self.0.windows(2).enumerate().map(|(at, pair)| (pair[1].0 - pair[0].1, at)).collect();
        gaps.sort_unstable();
        let mut joined: Vec<usize> = gaps[..self.0.len() - count].iter().map(|gap| gap.1).collect();
        joined.sort_unstable();
        for at in joined.into_iter().rev() {
            let (_, last) = self.0.remove(at + 1);
            self.0[at].1 = last;
        }
    }
}

/// Up to where somebody has followed a database. As text: `9c1d3f0a77e2b846.0.41.17,30-32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportCursor {
    /// Which database, 16 hexadecimal digits.
    pub database: String,
    /// The number of the last corrected end.
    pub amended: i64,
    /// The last task number of which the follower knows.
    pub last: i64,
    /// Those up to it whose end the follower does not know: they lived then. Where these were very many, some whose end
    /// is known may be among them.
    pub open: Spans,
}

/// A text that is no cursor of an export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an export cursor: use the one at the end of the previous answer")]
pub struct BadExportCursor;

impl fmt::Display for ExportCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.database, self.amended, self.last)?;
        for (number, (first, last)) in self.open.iter().enumerate() {
            f.write_str(if number == 0 { "." } else { "," })?;
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for ExportCursor {
    type Err = BadExportCursor;

    fn from_str(text: &str) -> Result<ExportCursor, BadExportCursor> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(BadExportCursor);
        let database = part()?;
        if database.len() != IDENTITY || !database.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadExportCursor);
        }
        let (amended, last) = (number(part()?)?, number(part()?)?);
        let mut open = Spans::default();
        for span in parts.next().into_iter().flat_map(|list| list.split(',')) {
            let (first, last) = span.split_once('-').unwrap_or((span, span));
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(BadExportCursor);
            }
            open.add(first, last);
        }
        if parts.next().is_some() {
            return Err(BadExportCursor);
        }
        open.shorten(SPANS);
        Ok(ExportCursor { database: database.to_owned(), amended, last, open })
    }
}

fn number(text: &str) -> Result<i64, BadExportCursor> {
    // Asked beforehand: the standard library would take "+1" too.
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| BadExportCursor),
        false => Err(BadExportCursor),
    }
}

impl ExportCursor {
    /// Whether it is of this database as it is now, whose last task has the number `head` and whose last correction
    /// `amended`; not if it is of another one, or of a later state of this one.
    pub fn is_of(&self, database: &str, head: i64, amended: i64) -> bool {
        self.database == database && self.last <= head && self.amended <= amended
    }

    /// The one after it, when all was told up to the task `last` and the correction `amended`, but the ends of `live`.
    pub fn go_on(self, last: i64, amended: i64, live: impl IntoIterator<Item = i64>) -> ExportCursor {
        let mut open = Spans::default();
        live.into_iter().filter(|&id| id <= last).for_each(|id| open.add(id, id));
        open.shorten(SPANS);
        ExportCursor { last, amended, open, ..self }
    }
}

/// One line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ExportLine {
    /// The first.
    Start {
        /// Of this form: [`VERSION`].
        version: u32,
        /// Of the program, for people.
        taskwatcher: String,
        /// Which database, 16 hexadecimal digits.
        database: String,
        /// Name of the host.
        host: String,
        /// Whether this begins with the first end although a cursor was given: forget what the cursor's database had
        /// running.
        anew: bool,
    },
    /// A task that has not ended, as `control show --json` gives it.
    Running {
        /// The task.
        task: Value,
    },
    /// A task that has ended, as `control history --json` gives it.
    Ended {
        /// The task.
        task: Value,
    },
    /// The last.
    End {
        /// Where to go on.
        cursor: String,
        /// Whether there are more ends already.
        more: bool,
        /// How many lines of running tasks there were.
        running: u64,
        /// How many of ended ones.
        ended: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spans(text: &str) -> Spans {
        let cursor = format!("0123456789abcdef.0.0.{text}").parse::<ExportCursor>();
        cursor.unwrap_or_else(|_| panic!("{text}")).open
    }

    #[test]
    fn cursors_read_back() {
        for text in ["0123456789abcdef.0.0", "ffffffffffffffff.7.9223372036854775807.1,3-9223372036854775807"] {
            assert_eq!(text.parse::<ExportCursor>().unwrap().to_string(), text);
        }
        let bad = ["", ".", "0", "0.1.1", "0123456789abcdeg.1.1", "0123456789abcdef.1.", "0123456789abcdef.1"];
        let more = ["-1.1", "1.1.", "1.1.,", "1.1.2-", "1.1.3-2", "1.1.1.1", "+1.1", "1.9223372036854775808", "1.1.x"];
        let more = more.map(|tail| format!("0123456789abcdef.{tail}"));
        for text in bad.into_iter().chain(more.iter().map(String::as_str)) {
            assert_eq!(text.parse::<ExportCursor>(), Err(BadExportCursor), "{text}");
        }
    }

    #[test]
    fn a_cursor_holds_in_its_own_database_only() {
        let cursor: ExportCursor = "0123456789abcdef.2.7".parse().unwrap();
        assert!(cursor.is_of("0123456789abcdef", 7, 2) && cursor.is_of("0123456789abcdef", 9, 3));
        assert!(!cursor.is_of("0123456789abcdef", 6, 2), "an older state was put back");
        assert!(!cursor.is_of("0123456789abcdef", 9, 1), "the same");
        assert!(!cursor.is_of("fedcba9876543210", 9, 2));
    }

    #[test]
    fn spans_join_what_touches() {
        for (given, joined) in [("5,1,3", "1,3,5"), ("1,2,3", "1-3"), ("1-4,3-9,10", "1-10"), ("7-9,1-3,4-6", "1-9")] {
            assert_eq!(spans(given), spans(joined), "{given}");
        }
        assert_eq!(spans("1-3,7-9").iter().collect::<Vec<_>>(), [(1, 3), (7, 9)]);
    }

    #[test]
    fn too_many_spans_become_longer_ones_over_the_smallest_gaps() {
        let mut few = spans("1,3,100,103,200");
        few.shorten(3);
        assert_eq!(few, spans("1-3,100-103,200"));
        let cursor: ExportCursor = "0123456789abcdef.0.0".parse().unwrap();
        let live: Vec<i64> = (0..5_000).map(|n| n * 3).collect();
        let cursor = cursor.go_on(14_000, 0, live.iter().copied());
        assert_eq!(cursor.open.iter().count(), SPANS);
        assert!(cursor.to_string().len() < 30_000);
        let holds = |id: i64| cursor.open.iter().any(|(first, last)| (first..=last).contains(&id));
        assert!(live.iter().all(|&id| holds(id) == (id <= 14_000)));
    }

    proptest::proptest! {
        #[test]
        fn spans_hold_just_what_was_added(given in proptest::collection::vec((0i64..60, 0i64..6), 0..20)) {
            let mut spans = Spans::default();
            given.iter().for_each(|&(first, more)| spans.add(first, first + more));
            for id in 0..70 {
                let wanted = given.iter().any(|&(first, more)| (first..=first + more).contains(&id));
                proptest::prop_assert_eq!(spans.iter().any(|(first, last)| (first..=last).contains(&id)), wanted);
            }
            let apart = spans.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
            proptest::prop_assert!(apart);
        }
    }

    #[test]
    fn lines_are_as_documented_and_tell_more_to_those_who_know_more() {
        let line = ExportLine::Ended { task: json!({ "taskid": 1 }) };
        assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"type":"ended","task":{"taskid":1}}"#);
        let newer = r#"{"type":"end","cursor":"x","more":false,"running":0,"ended":1,"later":[1]}"#;
        let known = ExportLine::End { cursor: "x".into(), more: false, running: 0, ended: 1 };
        assert_eq!(serde_json::from_str::<ExportLine>(newer).unwrap(), known);
    }
}
