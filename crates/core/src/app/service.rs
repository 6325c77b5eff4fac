//! What can be done with the tasks of a database, as values and typed errors.
//!
//! The command line, the pages and the socket are faces of this service: a face turns what was asked for into a call, and
//! the values and errors that come back into text, HTML or JSON.

mod backup;
mod check;
mod clear;
mod export;
mod feedback;
mod history;
mod kill;
mod list;
mod log;
mod record;
mod reserve;
mod snapshot;
mod supervision;
mod update;
mod verify;
mod wait;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
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

pub use self::check::{Check, Freshness};
pub use self::clear::{ClearFilter, Cleared, Contents};
pub use self::export::Exported;
pub use self::history::HistoryPage;
pub use self::kill::{EndError, KillError, KillOptions, KillReport, Killed, Reports};
pub use self::list::{Recent, TaskFilter, TaskList};
pub use self::log::TaskRow;
pub use self::log::{FoundLog, LogError, LogExtent, LogWatch, plain_line, why_none};
pub use self::log::{TaskLogRef, last_lines, log_of};
pub use self::reserve::{Reservation, Reserved};
pub use self::snapshot::Snapshot;
pub use self::supervision::{NotAsked, Supervision};
pub use self::update::Updated;
pub use self::verify::Verification;
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
    /// The log of a task.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A supervisor uses the database.
    #[error("cannot initialize database {0:?}: a supervisor uses it (pid {1}); shut it down first")]
    Supervised(PathBuf, i32),
    /// A system call, and what it was for.
    #[error("cannot {0}: {1}")]
    System(&'static str, #[source] io::Error),
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
            ServiceError::Log(error) => error.kind(),
            ServiceError::Refused(_) | ServiceError::Supervised(..) => ErrorKind::Conflict,
            ServiceError::NoSuchTask(_) => ErrorKind::NotFound,
            ServiceError::Wait(error) => error.kind(),
            ServiceError::Handle(_)
            | ServiceError::Feedback(..)
            | ServiceError::System(..)
            | ServiceError::Write(_) => ErrorKind::System,
        }
    }

    /// Whether rows may be deleted or may return after a power loss, so that their logs are still there.
    pub fn keeps_logs(&self) -> bool {
        matches!(self, ServiceError::Store(StoreError::Io(..)))
    }
}

/// Returns what makes a [`ServiceError`] of a failed system call.
pub fn system(doing: &'static str) -> impl Fn(io::Error) -> ServiceError {
    move |error| ServiceError::System(doing, error)
}

/// Converts a duration to seconds, for comparisons with unix seconds.
pub fn whole_seconds(length: Duration) -> i64 {
    i64::try_from(length.as_secs()).unwrap_or(i64::MAX)
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

    /// Returns the store, for what is not a call of the service: tasks of other hosts, and records of the supervisor.
    pub fn store(&mut self) -> &mut Store {
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
fn find(store: &Store, survey: &Survey, task: &TaskRef) -> Result<Option<Found>, StoreError> {
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
