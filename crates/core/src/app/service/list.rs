//! Tasks that have not ended, one task, and what ended last.

use super::{Found, ServiceError, Tasks, find, history};
use crate::{
    app::reconcile::{self, Live},
    model::{
        query::{Filter, Page, Query},
        task::{Class, HistoryRow, Status, TaskRef},
    },
};

/// Which tasks a list contains; an empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Tasks of this name.
    pub name: Option<String>,
    /// Live tasks with one of these statuses; empty: with any.
    pub status: Vec<Status>,
    /// Live tasks that were started (or reserved) at this time or later, ended tasks that ended then; unix seconds.
    pub since: Option<i64>,
    /// The same for this time or earlier.
    pub until: Option<i64>,
}

impl TaskFilter {
    fn selects(&self, live: &Live) -> bool {
        let start = live.task.starttime.or(live.task.reservetime).unwrap_or(0);
        self.name.as_ref().is_none_or(|name| *name == live.task.name)
            && (self.status.is_empty() || self.status.contains(&live.status))
            && self.since.is_none_or(|since| start >= since)
            && self.until.is_none_or(|until| start <= until)
    }
}

/// Ended tasks that a list should contain too.
#[derive(Clone, Debug)]
pub struct Recent {
    /// With one of these results; empty: with any.
    pub results: Vec<Class>,
    /// At most this many, the newest.
    pub limit: usize,
}

/// A list of tasks.
#[derive(Debug)]
pub struct TaskList {
    /// Tasks that have not ended, by number.
    pub live: Vec<Live>,
    /// Ended tasks, newest first, if they were asked for.
    pub ended: Page<HistoryRow>,
}

impl Tasks {
    /// Returns the tasks that have not ended, and the newest ended ones if they are wanted.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn list(&mut self, filter: &TaskFilter, recent: Option<Recent>) -> Result<TaskList, ServiceError> {
        let mut survey = reconcile::survey(&mut self.store)?;
        survey.live.retain(|live| filter.selects(live));
        let ended = match recent {
            None => Page { rows: vec![], next: None },
            Some(Recent { results, limit }) => {
                let TaskFilter { name, since, until, .. } = filter.clone();
                let filter = Filter { name, since, until, results, ..Filter::default() };
                let query = Query { filter, limit, after: None, offset: 0, reverse: false };
                history::page(&self.store, &history::unsettled_of(&survey), &query)?
            }
        };
        Ok(TaskList { live: survey.live, ended })
    }

    /// Returns one task, live or ended.
    ///
    /// # Errors
    /// [`ServiceError::NoSuchTask`], or the database cannot be read.
    pub fn get(&mut self, task: &TaskRef) -> Result<Found, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        match find(&self.store, &survey, task)?.ok_or_else(|| ServiceError::NoSuchTask(task.clone()))? {
            Found::Live(mut live) => {
                // With many tasks, the survey does not check this.
                live.stopped = live.stopped || reconcile::sees_launcher_stopped(&live.task);
                Ok(Found::Live(live))
            }
            ended @ Found::Ended(_) => Ok(ended),
        }
    }
}
