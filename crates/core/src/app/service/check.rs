//! Whether a task of a name succeeded recently, for monitoring.

use std::time::Duration;

use super::{ServiceError, Tasks, history, whole_seconds};
use crate::{
    app::reconcile,
    io::sys,
    model::{
        query::{Filter, Query},
        stats::CLOCK_STEP,
        task::{Class, HistoryRow},
    },
};

/// Whether the last success is recent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The last success is recent enough.
    Fresh,
    /// The last success was too long ago.
    Stale,
    /// No task of the name ever succeeded.
    Never,
}

/// The last success of a name.
#[derive(Debug)]
pub struct Check {
    /// The verdict.
    pub freshness: Freshness,
    /// The last task that succeeded.
    pub last: Option<HistoryRow>,
    /// Seconds since then.
    pub age: Option<i64>,
    /// A success in the future: it was recorded while the clock was wrong, and does not count.
    pub future: Option<HistoryRow>,
    /// The tasks of the name that run now.
    pub running: Vec<i64>,
}

impl Tasks {
    /// Returns whether a task of the name succeeded within `max_age`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn check(&mut self, name: &str, max_age: Duration) -> Result<Check, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let running = survey.live.iter().filter(|live| live.task.name == name && !live.task.is_reserved());
        let running = running.map(|live| live.task.id).collect();
        let now = sys::now().wall.secs();
        let unsettled = history::unsettled_of(&survey);
        let newest = |until: Option<i64>| -> Result<_, ServiceError> {
            let filter = Filter {
                name: Some(name.to_owned()),
                results: Class::ALL.into_iter().filter(|class| class.is_success()).collect(),
                until,
                ..Filter::default()
            };
            let query = Query { filter, limit: 1, after: None, offset: 0, reverse: false };
            Ok(history::page(&self.store, &unsettled, &query)?.rows.pop())
        };
        let last = newest(Some(now + CLOCK_STEP))?;
        let future = newest(None)?.filter(|row| row.endtime > now + CLOCK_STEP);
        let age = last.as_ref().map(|row| now.saturating_sub(row.endtime).max(0));
        let freshness = match age {
            None => Freshness::Never,
            Some(age) if age <= whole_seconds(max_age) => Freshness::Fresh,
            Some(_) => Freshness::Stale,
        };
        Ok(Check { freshness, last, age, future, running })
    }
}
