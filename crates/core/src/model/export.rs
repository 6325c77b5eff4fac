//! Format exchanged between taskwatcher hosts: the output of `control export`.
//!
//! One JSON object per line, each with a `type`. First `start`, which identifies the database; then
//! every live task, and the ends since the cursor; last `end`, with the cursor to continue from. A
//! response without `end` is incomplete: its lines are valid, but its cursor is unknown.
//!
//! Readers ignore unknown keys and types; a change that must not be ignored needs a new version.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of this format.
pub const VERSION: u32 = 1;

/// Digits of a database's id.
const IDENTITY: usize = 16;

/// Most spans in a cursor: enough for concurrent tasks, and short enough for a command line (Linux
/// limits an argument to 128 KiB).
const SPANS: usize = 2_000;

/// A set of whole numbers, as ascending spans that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// Adds the numbers from `first` to `last`; nothing if `last` is less.
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

    /// The first and last number of each span, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// Joins neighbours over the smallest gaps until at most `count` spans are left.
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

/// The position up to which a database was followed. As text: `9c1d3f0a77e2b846.0.41.17,30-32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportCursor {
    /// Id of the database, 16 hexadecimal digits.
    pub database: String,
    /// Number of the last corrected end.
    pub amended: i64,
    /// Last task id known to the follower.
    pub last: i64,
    /// Tasks up to `last` whose end the follower does not know, because they were live. If there
    /// were too many spans, tasks whose end is known may be included.
    pub open: Spans,
}

/// A text that is not the cursor of an export.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an export cursor: use the one at the end of the previous response")]
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
    // Checked first: the standard library would also accept "+1".
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| BadExportCursor),
        false => Err(BadExportCursor),
    }
}

impl ExportCursor {
    /// Whether the cursor belongs to this database in its current state, with the last task id
    /// `head` and the last correction `amended`; not if it belongs to another database or to a
    /// later state of this one.
    pub fn is_of(&self, database: &str, head: i64, amended: i64) -> bool {
        self.database == database && self.last <= head && self.amended <= amended
    }

    /// Returns the next cursor, after everything up to the task `last` and the correction `amended`
    /// was exported, except the ends of `live`.
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
    /// The first line.
    Start {
        /// Version of the format: [`VERSION`].
        version: u32,
        /// Version of the program, for people.
        taskwatcher: String,
        /// Id of the database, 16 hexadecimal digits.
        database: String,
        /// Host name.
        host: String,
        /// Whether the export starts from the first end although a cursor was given: the reader
        /// must forget the live tasks of the cursor's database.
        anew: bool,
    },
    /// A live task, in the form of `control show --json`.
    Running {
        /// The task.
        task: Value,
    },
    /// An ended task, in the form of `control history --json`.
    Ended {
        /// The task.
        task: Value,
    },
    /// The last line.
    End {
        /// Where to continue.
        cursor: String,
        /// Whether there are more ends.
        more: bool,
        /// Number of lines of live tasks.
        running: u64,
        /// Number of lines of ended tasks.
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
    fn a_cursor_is_valid_in_its_own_database_only() {
        let cursor: ExportCursor = "0123456789abcdef.2.7".parse().unwrap();
        assert!(cursor.is_of("0123456789abcdef", 7, 2) && cursor.is_of("0123456789abcdef", 9, 3));
        assert!(!cursor.is_of("0123456789abcdef", 6, 2), "an older state was restored");
        assert!(!cursor.is_of("0123456789abcdef", 9, 1), "the same");
        assert!(!cursor.is_of("fedcba9876543210", 9, 2));
    }

    #[test]
    fn touching_spans_are_joined() {
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
        fn spans_contain_exactly_what_was_added(given in proptest::collection::vec((0i64..60, 0i64..6), 0..20)) {
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
    fn lines_are_as_documented_and_unknown_keys_are_ignored() {
        let line = ExportLine::Ended { task: json!({ "taskid": 1 }) };
        assert_eq!(serde_json::to_string(&line).unwrap(), r#"{"type":"ended","task":{"taskid":1}}"#);
        let newer = r#"{"type":"end","cursor":"x","more":false,"running":0,"ended":1,"later":[1]}"#;
        let known = ExportLine::End { cursor: "x".into(), more: false, running: 0, ended: 1 };
        assert_eq!(serde_json::from_str::<ExportLine>(newer).unwrap(), known);
    }
}
