//! The history of a database: its table, and what has ended and is not in the table yet.

use super::{ServiceError, Tasks};
use crate::{
    app::reconcile::Survey,
    io::store::{Store, StoreError},
    model::{
        query::{Page, Query},
        stats::Stats,
        task::HistoryRow,
        unsettled::Unsettled,
    },
};

/// A page of history.
#[derive(Debug)]
pub struct HistoryPage {
    /// The page.
    pub page: Page<HistoryRow>,
    /// How many tasks have ended and are not in the history table yet.
    pub unsettled: usize,
    /// Whether the database belongs to this user or to root, so that this user's programs move ended tasks to the table.
    pub own: bool,
}

impl Tasks {
    /// Returns a page of history.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn history(&mut self, query: &Query) -> Result<HistoryPage, ServiceError> {
        let seen = self.snapshot()?;
        let page = self.history_in(&seen, query)?;
        Ok(HistoryPage { page, unsettled: seen.unsettled(), own: self.is_own() })
    }

    /// Returns the sums of the runs of one name, or of all; of those that ended at `since` (unix seconds) or later.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stats(&mut self, name: Option<&str>, since: Option<i64>, now: i64) -> Result<Stats, ServiceError> {
        let seen = self.snapshot()?;
        self.stats_in(&seen, name, since, now)
    }
}

/// Returns what a survey found to have ended and could not move to the history table.
pub(super) fn unsettled_of(survey: &Survey) -> Unsettled {
    let ended = survey.ended.iter().filter(|_| !survey.settled);
    Unsettled::new(ended.map(|(task, end)| HistoryRow::of(task, end)).collect())
}

/// Returns a page of the history table and of what a survey found besides.
pub(super) fn page(store: &Store, unsettled: &Unsettled, query: &Query) -> Result<Page<HistoryRow>, StoreError> {
    if unsettled.is_empty() {
        return store.page(query);
    }
    let table = store.page(&Unsettled::query_of_table(query))?;
    Ok(unsettled.still(&store.task_numbers()?).merge(query, table))
}

/// Returns the sums of the history table and of what a survey found besides.
pub(super) fn stats(
    store: &Store,
    unsettled: &Unsettled,
    (name, since): (Option<&str>, Option<i64>),
    now: i64,
) -> Result<Stats, StoreError> {
    let mut stats = store.stats(name, since, now)?;
    if !unsettled.is_empty() {
        unsettled.still(&store.task_numbers()?).add_to(&mut stats, name, since);
    }
    Ok(stats)
}
