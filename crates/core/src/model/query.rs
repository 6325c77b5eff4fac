//! Queries for one page of the history: filter, position, number of rows.
//!
//! Paging is by key, not by counting rows: the cursor names the last row returned, so a page costs
//! the same at any depth, and rows added meanwhile neither shift nor repeat others.

use std::{fmt, str::FromStr};

use super::task::Class;

/// The position of a row in the history, which is ordered by end time, then row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// End time of the row, unix seconds.
    pub endtime: i64,
    /// Row id.
    pub id: i64,
}

/// A text that is not a cursor.
#[derive(Debug, thiserror::Error)]
#[error("not a cursor: use the one printed with the previous page")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.endtime, self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Cursor, BadCursor> {
        let (endtime, id) = text.split_once('.').ok_or(BadCursor)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| BadCursor);
        Ok(Cursor { endtime: number(endtime)?, id: number(id)? })
    }
}

/// Which rows to return; an empty filter matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name of the task.
    pub name: Option<String>,
    /// Any of these results; empty: every result.
    pub results: Vec<Class>,
    /// Earliest end, unix seconds.
    pub since: Option<i64>,
    /// Latest end, unix seconds, inclusive.
    pub until: Option<i64>,
    /// Login name.
    pub user: Option<String>,
}

/// One page of history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which rows.
    pub filter: Filter,
    /// Most rows to return.
    pub limit: usize,
    /// Return only rows after this one.
    pub after: Option<Cursor>,
    /// Number of rows to skip first.
    pub offset: u64,
    /// Oldest first instead of newest first.
    pub reverse: bool,
}

/// The position of a task in a list of all hosts, which is ordered by start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListPosition {
    /// Start time (end time of a reservation that never started), unix seconds.
    pub start: i64,
    /// Whether the task is of a remote; within one second remote tasks come first.
    pub remote: bool,
    /// The row id; for a remote task, its position among those of the same second.
    pub number: i64,
}

impl fmt::Display for ListPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.remote { "remote" } else { "local" };
        write!(f, "{}.{word}.{}", self.start, self.number)
    }
}

impl FromStr for ListPosition {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<ListPosition, BadCursor> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(BadCursor);
        let start = part()?.parse().map_err(|_| BadCursor)?;
        let remote = match part()? {
            "remote" => true,
            "local" => false,
            _ => return Err(BadCursor),
        };
        Ok(ListPosition { start, remote, number: part()?.parse().map_err(|_| BadCursor)? })
    }
}

/// Position after which a page of the history continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// In a history of this host alone, by end time.
    End(Cursor),
    /// In a history with remotes, by start time.
    Start(ListPosition),
}

impl FromStr for After {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<After, BadCursor> {
        text.parse().map(After::Start).or_else(|_| text.parse().map(After::End))
    }
}

/// A query for one page of the tasks of several hosts, ordered by start time. `since` and `until`
/// of the filter refer to start times too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartQuery {
    /// Which rows.
    pub filter: Filter,
    /// Only this remote; `None`: all remotes and this host.
    pub remote: Option<String>,
    /// Only this node.
    pub node: Option<String>,
    /// Only this type, as in the UPID.
    pub kind: Option<String>,
    /// Most rows to return.
    pub limit: usize,
    /// Return only rows after this one.
    pub after: Option<ListPosition>,
    /// Number of rows to skip first.
    pub offset: u64,
    /// Oldest first instead of newest first.
    pub reverse: bool,
}

impl StartQuery {
    /// Whether all tasks match.
    pub fn is_unfiltered(&self) -> bool {
        self.filter == Filter::default() && self.remote.is_none() && self.node.is_none() && self.kind.is_none()
    }
}

/// A page of rows, and where to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C = Cursor> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// The cursor of the next page; `None`: this is the last one.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// Makes a page of up to `limit` rows. The caller fetches one row more than the limit: the
    /// surplus row shows that there is a next page, without counting.
    pub fn cut(mut rows: Vec<T>, limit: usize, place: impl Fn(&T) -> C) -> Page<T, C> {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(place);
        Page { rows, next }
    }
}

impl<T, C: Copy + Ord> Page<T, C> {
    /// Merges `more`, rows that the source of this page does not have, into this page of up to
    /// `limit` rows after `after`, newest first. Each row is on the page of its position, and on no
    /// other.
    pub fn with(self, more: Vec<T>, limit: usize, after: Option<C>, place: impl Fn(&T) -> C) -> Page<T, C> {
        // Rows behind the last one belong to a later page, if there is one.
        let end = self.rows.last().filter(|_| self.next.is_some()).map(&place);
        let is_here = |at: C| after.is_none_or(|after| at < after) && end.is_none_or(|end| at > end);
        let is_last = self.next.is_none();
        let mut rows = self.rows;
        rows.extend(more.into_iter().filter(|row| is_here(place(row))));
        rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
        let page = Page::cut(rows, limit, &place);
        let next = page.next.or_else(|| page.rows.last().filter(|_| !is_last).map(place));
        Page { rows: page.rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        for cursor in [Cursor { endtime: 0, id: 1 }, Cursor { endtime: -5, id: i64::MAX }] {
            assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "x.1", "1.99999999999999999999"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn pages_of_two_sources_hold_each_row_once() {
        let there = [90, 70, 50, 30, 10];
        for more in [vec![], vec![95], vec![5], vec![60, 100, 20], vec![1, 2, 3, 97, 98, 99], vec![75, 74, 73, 72, 71]]
        {
            let mut all: Vec<i32> = there.iter().copied().chain(more.clone()).collect();
            all.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
            for limit in 1..12 {
                let (mut after, mut seen) = (None, vec![]);
                loop {
                    let behind = there.iter().copied().filter(|place| after.is_none_or(|after| *place < after));
                    let page = Page::cut(behind.take(limit + 1).collect(), limit, |place| *place);
                    let page = page.with(more.clone(), limit, after, |place| *place);
                    assert!(page.rows.len() == limit || page.next.is_none(), "{page:?}");
                    seen.extend(page.rows);
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, all, "{limit}");
            }
        }
    }

    #[test]
    fn positions_read_back_and_differ_from_cursors() {
        for place in
            [ListPosition { start: -3, remote: true, number: 0 }, ListPosition { start: 7, remote: false, number: 9 }]
        {
            assert_eq!(place.to_string().parse::<After>().unwrap(), After::Start(place));
        }
        assert_eq!("3.4".parse::<After>().unwrap(), After::End(Cursor { endtime: 3, id: 4 }));
        for text in ["3.local", "3.local.", "x.local.1", "3.other.1", "3.local.1.1"] {
            assert!(text.parse::<After>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_has_a_next_only_if_there_is_more() {
        let place = |&id: &i64| Cursor { endtime: 7, id };
        assert_eq!(Page::cut(vec![3, 2, 1], 3, place).next, None);
        let page = Page::cut(vec![3, 2, 1], 2, place);
        assert_eq!((page.rows, page.next), (vec![3, 2], Some(Cursor { endtime: 7, id: 2 })));
        assert_eq!(Page::cut(vec![], 2, place).next, None);
    }
}
