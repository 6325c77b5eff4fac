//! What a supervisor records of the runs of its processes.

use super::{ServiceError, Tasks};
use crate::{
    app::reconcile,
    io::{
        store::{Late, LockTimeout},
        sys,
    },
    model::task::Status,
};

/// Ends that are recorded in one transaction.
const AT_ONCE: usize = 500;

impl Tasks {
    /// Stores that these tasks are alive.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn seen(&mut self, tasks: &[i64]) -> Result<(), ServiceError> {
        Ok(self.store.seen(tasks, sys::now().wall.secs())?)
    }

    /// Moves ended tasks to the history. Returns whether some are left that no other process will move: a launcher is
    /// dead while its processes live, or the database could not be written just now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn settle(&mut self) -> Result<bool, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let orphaned = survey.live.iter().any(|live| live.status == Status::Orphaned);
        Ok(orphaned || !survey.settled && !survey.ended.is_empty())
    }

    /// Records ends that were kept elsewhere while the database could not be written; `patience` limits each wait for a
    /// lock.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn take_in(&mut self, late: &[Late], patience: LockTimeout) -> Result<(), ServiceError> {
        let usual = self.store.set_lock_timeout(patience);
        let taken = late.chunks(AT_ONCE).try_for_each(|some| self.store.take_in(some).map(drop));
        self.store.set_lock_timeout(usual);
        Ok(taken?)
    }
}
