//! What was seen of all tasks at one moment, for callers that show several things of it.

use std::path::Path;

use super::{Found, ServiceError, Tasks, find, history};
use crate::{
    app::{
        db,
        reconcile::{self, Live, Survey},
    },
    io::{feedfile::Mark, store::LockTimeout},
    model::{
        feedback::Feedback,
        query::{Page, Query},
        stats::Stats,
        task::{HistoryRow, TaskRef},
        unsettled::Unsettled,
    },
};

/// All tasks as they were seen at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    survey: Survey,
    unsettled: Unsettled,
}

impl Snapshot {
    /// Tasks that have not ended, by number.
    pub fn live(&self) -> &[Live] {
        &self.survey.live
    }

    /// How many tasks have ended and are not in the history table yet.
    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }
}

impl Tasks {
    /// Opens the tasks of an existing database that is only read: ended tasks are not moved to the history table.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened.
    pub fn open_to_read(db: &Path, patience: LockTimeout) -> Result<Tasks, ServiceError> {
        Ok(Tasks { db: db.to_owned(), store: db::open_to_read(db, patience)? })
    }

    /// Whether the path still names the database that was opened.
    pub fn is_in_place(&self) -> bool {
        self.store.is_in_place()
    }

    /// Whether the database belongs to this user or to root, so that this user's programs move ended tasks to the table.
    pub fn is_own(&self) -> bool {
        self.store.is_own()
    }

    /// Returns all tasks as they are now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn snapshot(&mut self) -> Result<Snapshot, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let unsettled = history::unsettled_of(&survey);
        Ok(Snapshot { survey, unsettled })
    }

    /// Returns a task, live in a snapshot or ended; `None` if it is unknown.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn get_in(&self, seen: &Snapshot, task: &TaskRef) -> Result<Option<Found>, ServiceError> {
        Ok(find(&self.store, &seen.survey, task)?)
    }

    /// Returns a page of the history table and of what had ended in a snapshot.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn history_in(&self, seen: &Snapshot, query: &Query) -> Result<Page<HistoryRow>, ServiceError> {
        Ok(history::page(&self.store, &seen.unsettled, query)?)
    }

    /// Returns the sums of the history table and of what had ended in a snapshot; `since` and `now` are unix seconds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stats_in(
        &self,
        seen: &Snapshot,
        name: Option<&str>,
        since: Option<i64>,
        now: i64,
    ) -> Result<Stats, ServiceError> {
        Ok(history::stats(&self.store, &seen.unsettled, (name, since), now)?)
    }

    /// Returns the stored feedback of a live task, and how far its file was read for it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn stored_feedback(&self, task: i64) -> Result<(Feedback, Mark), ServiceError> {
        Ok(reconcile::stored_feedback(&self.store, task)?)
    }
}
