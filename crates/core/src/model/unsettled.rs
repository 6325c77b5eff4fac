//! Tasks that have ended and are not in the history table yet, as rows of history: a database that cannot be written at
//! the moment, or that belongs to another user, keeps them in its table of tasks.
//!
//! Every face shows history as pages of both, so that two people who look at the same instant see the same rows.

use std::{cmp::Reverse, collections::HashSet};

use super::{
    query::{Cursor, Filter, Page, Query},
    stats::{EndedRun, Stats},
    task::HistoryRow,
};

/// Added to the number of an unsettled row to make its place: behind all rows that ended in the same second. No row of the
/// history table has such a number.
const UNSETTLED: i64 = 1 << 52;

/// Rows that are not in the history table yet.
#[derive(Clone, Debug, Default)]
pub struct Unsettled {
    rows: Vec<HistoryRow>,
}

impl Unsettled {
    /// Returns these rows as unsettled ones.
    pub fn new(rows: Vec<HistoryRow>) -> Unsettled {
        Unsettled { rows }
    }

    /// Returns the rows.
    pub fn into_rows(self) -> Vec<HistoryRow> {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the rows whose tasks are still in the table of tasks, given by their numbers. Read these numbers after the
    /// history table: a row that moves in between then counts as moved, and is not shown twice.
    pub fn still(&self, tasks: &HashSet<i64>) -> Unsettled {
        Unsettled { rows: self.rows.iter().filter(|row| tasks.contains(&row.taskid)).cloned().collect() }
    }

    /// Returns the query for the history table whose page [`Unsettled::merge`] needs for `query`: an offset counts rows of
    /// both, so none is skipped in the table.
    pub fn query_of_table(query: &Query) -> Query {
        let skipped = usize::try_from(query.offset).unwrap_or(usize::MAX);
        Query { limit: query.limit.saturating_add(skipped), offset: 0, ..query.clone() }
    }

    /// Returns the page of a query, from the page of the history table and these rows.
    pub fn merge(self, query: &Query, table: Page<HistoryRow>) -> Page<HistoryRow> {
        let limit = Unsettled::query_of_table(query).limit;
        let placed = |base: i64| move |row: HistoryRow| (Cursor { endtime: row.endtime, id: base + row.id }, row);
        let rows = table.rows.into_iter().map(placed(0)).collect();
        let more = self.rows.into_iter().filter(|row| query.filter.matches(row)).map(placed(UNSETTLED)).collect();
        let (rows, next) = if query.reverse {
            let (next, after) = (table.next.map(Reverse), query.after.map(Reverse));
            let page = Page { rows, next }.with(more, limit, after, |(place, _)| Reverse(*place));
            (page.rows, page.next.map(|Reverse(place)| place))
        } else {
            let page = Page { rows, next: table.next }.with(more, limit, query.after, |(place, _)| *place);
            (page.rows, page.next)
        };
        let skipped = usize::try_from(query.offset).unwrap_or(usize::MAX);
        Page { rows: rows.into_iter().skip(skipped).map(|(_, row)| row).collect(), next }
    }

    /// Adds the runs to a summary of the history table: those of `name`, if one is given, that ended at `since` or later.
    pub fn add_to(&self, stats: &mut Stats, name: Option<&str>, since: Option<i64>) {
        for row in &self.rows {
            let of = row.taskname.as_deref().unwrap_or_default();
            let wanted = name.is_none_or(|name| name == of) && since.is_none_or(|since| row.endtime >= since);
            if row.starttime.is_none() || !wanted {
                continue;
            }
            let class = row.outcome.class();
            let reason = row.termerror.clone().unwrap_or_else(|| row.outcome.to_string());
            stats.add(
                of,
                EndedRun {
                    id: UNSETTLED + row.id,
                    class,
                    end: row.endtime,
                    duration: row.duration,
                    reason: (!class.is_success()).then_some(reason),
                    cut_short: row.is_cut_short(),
                },
            );
        }
    }
}

impl Filter {
    /// Whether the filter selects a row, as the database decides it for rows of the history table.
    fn matches(&self, row: &HistoryRow) -> bool {
        self.name.as_ref().is_none_or(|name| row.taskname.as_ref() == Some(name))
            && (self.results.is_empty() || self.results.contains(&row.outcome.class()))
            && self.since.is_none_or(|since| row.endtime >= since)
            && self.until.is_none_or(|until| row.endtime <= until)
            && self.user.as_ref().is_none_or(|user| row.user.as_ref() == Some(user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::task::{Class, End, Outcome, Task, Timestamp};

    fn row(id: i64, name: &str, endtime: i64) -> HistoryRow {
        let task = Task { id, name: name.to_owned(), starttime: Some(endtime - 1), ..Task::default() };
        HistoryRow::of(&task, &End::new(&Outcome::Ok, Timestamp::from_secs(endtime), None))
    }

    /// Reads a page of a table as the database does.
    fn read(table: &[HistoryRow], query: &Query) -> Page<HistoryRow> {
        let place = |row: &HistoryRow| Cursor { endtime: row.endtime, id: row.id };
        let mut rows: Vec<HistoryRow> = table.iter().filter(|row| query.filter.matches(row)).cloned().collect();
        rows.sort_by_key(|row| Reverse(place(row)));
        if query.reverse {
            rows.reverse();
        }
        rows.retain(|row| match query.after {
            None => true,
            Some(after) if query.reverse => place(row) > after,
            Some(after) => place(row) < after,
        });
        let skipped = usize::try_from(query.offset).unwrap();
        Page::cut(rows.into_iter().skip(skipped).take(query.limit + 1).collect(), query.limit, place)
    }

    #[test]
    fn pages_of_both_contain_each_row_once_in_either_order() {
        let table: Vec<HistoryRow> = (0..9).map(|n| row(n, "a", 100 + 10 * n)).collect();
        let unsettled =
            Unsettled::new([90, 100, 125, 126, 180, 300].iter().map(|end| row(1000 + end, "a", *end)).collect());
        for reverse in [false, true] {
            let mut all: Vec<i64> = table.iter().chain(&unsettled.rows).map(|row| row.endtime).collect();
            all.sort_unstable();
            if !reverse {
                all.reverse();
            }
            for limit in 1..17 {
                for offset in 0..17 {
                    let query = Query { filter: Filter::default(), limit, after: None, offset, reverse };
                    let page = unsettled.clone().merge(&query, read(&table, &Unsettled::query_of_table(&query)));
                    let ends: Vec<i64> = page.rows.iter().map(|row| row.endtime).collect();
                    let skipped = all.iter().skip(usize::try_from(offset).unwrap());
                    assert_eq!(ends, skipped.take(limit).copied().collect::<Vec<_>>(), "{limit} {offset} {reverse}");
                }
                let (mut after, mut seen) = (None, vec![]);
                loop {
                    let query = Query { filter: Filter::default(), limit, after, offset: 0, reverse };
                    let page = unsettled.clone().merge(&query, read(&table, &Unsettled::query_of_table(&query)));
                    seen.extend(page.rows.iter().map(|row| row.endtime));
                    assert!(page.next.is_none() || page.rows.len() == limit, "{limit} {reverse}");
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, all, "{limit} {reverse}");
            }
        }
    }

    #[test]
    fn a_filter_selects_unsettled_rows_too() {
        let unsettled = Unsettled::new(vec![row(1, "a", 100), row(2, "b", 200)]);
        let filters = [
            Filter { name: Some("a".to_owned()), ..Filter::default() },
            Filter { until: Some(150), ..Filter::default() },
            Filter { results: vec![Class::Ok], until: Some(100), ..Filter::default() },
        ];
        for filter in filters {
            let query = Query { filter, limit: 10, after: None, offset: 0, reverse: false };
            let page = unsettled.clone().merge(&query, Page { rows: vec![], next: None });
            assert_eq!(page.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [1], "{query:?}");
        }
        let query = Query {
            filter: Filter { user: Some("x".into()), ..Filter::default() },
            limit: 10,
            after: None,
            offset: 0,
            reverse: false,
        };
        assert!(unsettled.clone().merge(&query, Page { rows: vec![], next: None }).rows.is_empty());
        assert_eq!(unsettled.still(&HashSet::from([2])).rows.len(), 1);
    }

    #[test]
    fn unsettled_runs_count() {
        let unsettled = Unsettled::new(vec![row(1, "a", 100), row(2, "b", 200), row(3, "a", 300)]);
        let runs = |name: Option<&str>, since| {
            let mut stats = Stats::new(1000);
            unsettled.add_to(&mut stats, name, since);
            stats.summaries().iter().map(|one| one.runs()).sum::<u64>()
        };
        assert_eq!([runs(None, None), runs(Some("a"), None), runs(Some("a"), Some(200))], [3, 2, 1]);
    }
}
