//! Deleting ended tasks with their logs.

use std::{path::Path, time::Duration};

use super::{ServiceError, Supervision, Tasks, system, whole_seconds};
use crate::{
    app::{db, reconcile},
    io::{
        logtree,
        store::{self, LockTimeout, Named},
        sys,
    },
    model::{
        query::{Filter, Query},
        stats::CLOCK_STEP,
    },
};

/// Which ended tasks should be deleted; an empty filter selects all.
#[derive(Clone, Debug, Default)]
pub struct ClearFilter {
    /// Tasks of this name.
    pub name: Option<String>,
    /// Tasks that ended longer ago than this.
    pub older_than: Option<Duration>,
    /// All but this number of newest ones. Tasks that ended in the same second as the oldest kept one are also kept.
    pub but_newest: Option<u64>,
}

/// How much was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Ended tasks.
    pub tasks: u64,
    /// Their logs.
    pub logs: u64,
}

/// What emptying a database would delete.
#[derive(Clone, Copy, Debug)]
pub struct Contents {
    /// Ended tasks of this host.
    pub own: Cleared,
    /// Ended tasks of other hosts.
    pub of_remotes: u64,
}

impl Tasks {
    /// Returns how much [`Tasks::clear`] would delete.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn clearable(&mut self, filter: &ClearFilter) -> Result<Cleared, ServiceError> {
        reconcile::survey(&mut self.store)?;
        let Some(which) = self.which(filter)? else { return Ok(Cleared::default()) };
        let (tasks, logs) = self.store.clearable(&which)?;
        Ok(Cleared { tasks, logs })
    }

    /// Deletes ended tasks with their logs.
    ///
    /// # Errors
    /// When the database cannot be written, or a log cannot be removed. If it is unknown whether the rows were deleted,
    /// the logs are kept ([`ServiceError::keeps_logs`]).
    pub fn clear(&mut self, filter: &ClearFilter) -> Result<Cleared, ServiceError> {
        let Some(which) = self.which(filter)? else { return Ok(Cleared::default()) };
        let (rows, logs) = self.store.clear(&which)?;
        sys::crash_point("clear.after");
        let removed = remove_logs(&self.db, &logs)?;
        Ok(Cleared { tasks: rows as u64, logs: removed as u64 })
    }

    /// Returns the rows that a filter selects; `None`: none.
    fn which(&self, filter: &ClearFilter) -> Result<Option<store::Clear>, ServiceError> {
        let now = sys::now().wall.secs();
        let mut before = filter.older_than.map(|age| now.saturating_sub(whole_seconds(age)));
        if let Some(count) = filter.but_newest {
            let named = Filter { name: filter.name.clone(), ..Filter::default() };
            let offset = count.saturating_sub(1);
            let query = Query { filter: named, limit: 1, after: None, offset, reverse: false };
            let Some(oldest) = self.store.page(&query)?.rows.pop() else { return Ok(None) };
            before = Some(before.map_or(oldest.endtime, |before| before.min(oldest.endtime)));
        }
        Ok(Some(store::Clear { before, name: filter.name.clone(), now: now + CLOCK_STEP }))
    }

    /// Opens the tasks of a database that should be emptied; it is created unless `only_look`.
    ///
    /// # Errors
    /// [`ServiceError::Supervised`], or the database cannot be opened or created.
    pub fn open_to_initialize(
        db: &Path,
        patience: LockTimeout,
        only_look: bool,
        supervision: &dyn Supervision,
    ) -> Result<Tasks, ServiceError> {
        if let Some(pid) = supervision.supervisor_of(db) {
            return Err(ServiceError::Supervised(db.to_owned(), pid));
        }
        let open = if only_look { db::open } else { db::open_or_create };
        Ok(Tasks { db: db.to_owned(), store: open(db, patience)? })
    }

    /// Returns what [`Tasks::initialize`] would delete.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn contents(&mut self) -> Result<Contents, ServiceError> {
        reconcile::survey(&mut self.store)?;
        let all = store::Clear { before: None, name: None, now: sys::now().wall.secs() };
        let (tasks, logs) = self.store.clearable(&all)?;
        let of_remotes = self.store.remote_sizes()?.values().sum::<i64>().unsigned_abs();
        Ok(Contents { own: Cleared { tasks, logs }, of_remotes })
    }

    /// Empties the database, with the logs of ended tasks.
    ///
    /// # Errors
    /// When a task has not ended and `force` is not given, when the database cannot be written, or a log cannot be
    /// removed.
    pub fn initialize(&mut self, force: bool) -> Result<(), ServiceError> {
        let mut logs = vec![];
        // Logs of live tasks are still being written.
        self.store.named_logs(&mut |named| logs.extend(named.ended.then_some(named)))?;
        self.store.reset(force)?;
        remove_logs(&self.db, &logs)?;
        Ok(())
    }
}

/// Removes the logs of deleted rows, and returns their number. Paths outside of the folder of logs are ignored. After a
/// log that cannot be removed, the others are still removed.
fn remove_logs(db: &Path, logs: &[Named]) -> Result<usize, ServiceError> {
    let folder = store::log_folder(db);
    let (mut removed, mut failed) = (0, None);
    for log in logs {
        for path in log.usual.iter().chain([&log.column]) {
            match logtree::remove(&folder, path) {
                Ok(gone) => removed += usize::from(gone),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    failed.map_or(Ok(removed), |error| Err(system("remove a log")(error)))
}
