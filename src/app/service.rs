//! What can be done with the tasks of a database, as values and typed errors.
//!
//! The command line, the pages and the socket are faces of this service: a face turns what was asked for into a call, and
//! the values and errors that come back into text, HTML or JSON.

mod feedback;
pub(super) mod history;
mod kill;
mod list;
mod reserve;
mod wait;

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    db::{self, DbError},
    reconcile::{Live, Survey},
    wait::WaitError,
};
use crate::{
    io::{
        feedfile::FeedError,
        store::{LockTimeout, Refused, Store, StoreError, StoreFailure},
    },
    model::{
        error::ErrorKind,
        task::{HistoryRow, Task, TaskRef},
    },
};

pub use self::history::HistoryPage;
pub use self::kill::{EndError, KillError, KillOptions, KillReport, Killed, Reports};
pub use self::list::{Recent, TaskFilter, TaskList};
pub use self::reserve::{Reservation, Reserved};
pub use self::wait::{WaitEnd, WaitOptions, Waited};

/// The tasks of one database.
#[derive(Debug)]
pub struct Tasks {
    db: PathBuf,
    store: Store,
}

/// Why a call of the service failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The path of the database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The name of a reservation is taken.
    #[error("cannot reserve: {0}")]
    Refused(Refused),
    /// No random bytes for a handle.
    #[error("cannot create a handle: {0}")]
    Handle(#[source] io::Error),
    /// No live or ended task has this reference.
    #[error("there is no task {0}")]
    NoSuchTask(TaskRef),
    /// The feedback file of a task.
    #[error("cannot read the feedback of task {0}: {1}")]
    Feedback(i64, #[source] FeedError),
    /// Waiting.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// What takes the results failed.
    #[error("cannot write the output: {0}")]
    Write(#[from] io::Error),
}

impl ServiceError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ServiceError::Db(error) => error.kind(),
            ServiceError::Store(error) => error.kind(),
            ServiceError::Refused(_) => ErrorKind::Conflict,
            ServiceError::NoSuchTask(_) => ErrorKind::NotFound,
            ServiceError::Wait(error) => error.kind(),
            ServiceError::Handle(_) | ServiceError::Feedback(..) | ServiceError::Write(_) => ErrorKind::System,
        }
    }
}

impl From<StoreFailure> for ServiceError {
    fn from(failure: StoreFailure) -> ServiceError {
        match failure {
            StoreFailure::Broken(error) => error.into(),
            StoreFailure::Refused(refused) => ServiceError::Refused(refused),
        }
    }
}

impl Tasks {
    /// Opens the tasks of an existing database; `patience` limits each wait for a lock.
    ///
    /// # Errors
    /// When there is no database, or it cannot be opened.
    pub fn open(db: &Path, patience: LockTimeout) -> Result<Tasks, ServiceError> {
        Ok(Tasks { db: db.to_owned(), store: db::open(db, patience)? })
    }

    /// Opens the tasks of a database, which is created if it does not exist.
    ///
    /// # Errors
    /// When the database cannot be opened or created.
    pub fn open_or_create(db: &Path, patience: LockTimeout) -> Result<Tasks, ServiceError> {
        Ok(Tasks { db: db.to_owned(), store: db::open_or_create(db, patience)? })
    }

    /// Returns the store, for what is not a call of the service yet: tasks of other hosts, and logs.
    pub(super) fn store(&mut self) -> &mut Store {
        &mut self.store
    }
}

/// A task that was named.
#[derive(Debug)]
pub enum Found {
    /// The task has not ended.
    Live(Box<Live>),
    /// The task has ended.
    Ended(Box<HistoryRow>),
}

/// Finds a task by its number, handle or UPID; `survey` is what was seen of the database just before.
pub(super) fn find(store: &Store, survey: &Survey, task: &TaskRef) -> Result<Option<Found>, StoreError> {
    let names = |row: &Task| match task {
        TaskRef::Id(id) => row.id == id.0,
        TaskRef::Handle(handle) => row.handle == handle.as_str(),
        TaskRef::Remote(..) => false,
        TaskRef::Upid(upid) => row.upid() == Some(upid.as_str()),
    };
    if let Some(live) = survey.live.iter().find(|live| names(&live.task)) {
        return Ok(Some(Found::Live(Box::new(live.clone()))));
    }
    if let Some((task, end)) = survey.ended.iter().find(|(task, _)| !survey.settled && names(task)) {
        return Ok(Some(Found::Ended(Box::new(HistoryRow::of(task, end)))));
    }
    // A task that ended after the survey is in history by now, so that this order never misses it.
    Ok(store.ended(task)?.map(|row| Found::Ended(Box::new(row))))
}
