//! What a task reports in its feedback file.

use super::{Found, ServiceError, Tasks};
use crate::{
    app::reconcile::{self, Live},
    io::{
        feedfile::FeedFile,
        store::{LockTimeout, StoreError},
        sys,
    },
    model::task::TaskRef,
};

/// The feedback of a task that gave none.
const NONE: &str = "{}";

impl Tasks {
    /// Returns the values that a task reported so far, as a JSON object.
    ///
    /// # Errors
    /// When the task does not exist, or its file or the database cannot be read.
    pub fn feedback(&mut self, task: &TaskRef) -> Result<String, ServiceError> {
        match self.get(task)? {
            Found::Live(live) => self.feedback_of(&live),
            Found::Ended(row) => Ok(row.feedback.map_or_else(|| NONE.to_owned(), |values| values.to_string())),
        }
    }

    /// Returns the feedback of a live task as JSON: the stored values, updated by the new part of the file. The result
    /// is stored for the next reader.
    ///
    /// # Errors
    /// When the file or the database cannot be read.
    pub fn feedback_of(&mut self, live: &Live) -> Result<String, ServiceError> {
        let (task, store) = (&live.task, &mut self.store);
        let Some(path) = task.feedpath.as_deref().filter(|_| task.feedback) else { return Ok(NONE.to_owned()) };
        let (mut feedback, mut mark) = reconcile::stored_feedback(store, task.id)?;
        let before = mark;
        let failed = |error| ServiceError::Feedback(task.id, error);
        let file = match FeedFile::open(path) {
            Ok(file) => file,
            // Not created yet, or already removed: the stored values stay.
            Err(error) if error.is_missing() => return Ok(feedback.to_json()),
            Err(error) => return Err(failed(error)),
        };
        file.read_new(&mut feedback, &mut mark).map_err(failed)?;
        file.rewind(&mut feedback, &mut mark).map_err(failed)?;
        let json = feedback.to_json();
        if mark != before && store.is_writable() && store.is_own() {
            let state = serde_json::to_string(&(&feedback, &mark)).unwrap_or_default();
            let patience = store.set_lock_timeout(LockTimeout::SHORT);
            let saved = store.save_feedback(task.id, &json, sys::now().wall.secs(), &state);
            store.set_lock_timeout(patience);
            match saved {
                // If the database is busy, the next reader reads a little more of the file; this result is still good.
                Ok(()) | Err(StoreError::Busy(..) | StoreError::Full(..) | StoreError::ReadOnly(..)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(json)
    }
}
