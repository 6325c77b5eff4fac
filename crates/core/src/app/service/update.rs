//! Storing the status of each live task, for readers of the database file.

use super::{ServiceError, Tasks};
use crate::{app::reconcile, io::sys, model::task::Status};

/// How many tasks an update found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Live tasks.
    pub live: usize,
    /// Tasks that were moved to the history.
    pub settled: usize,
}

impl Tasks {
    /// Stores the status of each live task, and moves ended ones to the history.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn update(&mut self) -> Result<Updated, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let statuses: Vec<(i64, Status)> = survey.live.iter().map(|live| (live.task.id, live.status)).collect();
        self.store.update(&statuses, sys::now().wall.secs())?;
        Ok(Updated { live: survey.live.len(), settled: if survey.settled { survey.ended.len() } else { 0 } })
    }
}
