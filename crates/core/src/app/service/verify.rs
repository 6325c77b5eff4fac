//! Checking a database and its folder of logs.

use std::{collections::HashSet, path::Path, path::PathBuf};

use super::{ServiceError, Tasks, system};
use crate::{
    app::reconcile,
    io::{
        logtree, process,
        store::{self, Fault},
        sys,
    },
    model::{task::Process, upid::Upid},
};

/// What a check of a database found.
#[derive(Debug)]
pub struct Verification {
    /// The faults.
    pub faults: Vec<Fault>,
    /// Number of logs.
    pub logs: usize,
    /// Ended tasks whose logs are missing.
    pub missing: Vec<i64>,
    /// Size of the logs that belong to no task, bytes.
    pub stray_bytes: u64,
}

impl Verification {
    /// Number of faults that were not repaired.
    pub fn left(&self) -> usize {
        self.faults.iter().filter(|fault| !fault.repaired).count()
    }

    /// Whether the file itself is damaged, so that nothing was repaired.
    pub fn is_damaged(&self) -> bool {
        self.faults.iter().any(|fault| fault.damage)
    }
}

impl Tasks {
    /// Checks the database with SQLite and with the rules of taskwatcher, and looks for logs that belong to no task.
    /// `repair` removes feedbacks and logs that belong to no task.
    ///
    /// # Errors
    /// When the database or the folder of logs cannot be read, or a repair fails.
    pub fn verify(&mut self, repair: bool) -> Result<Verification, ServiceError> {
        reconcile::survey(&mut self.store)?;
        let folder = store::log_folder(&self.db);
        // Files are listed before rows, because the row of a log exists before the log.
        let files = logtree::list(&folder).map_err(system("list the folder of logs"))?;
        let faults = self.store.verify(repair)?;
        let mut known: HashSet<PathBuf> = HashSet::new();
        let mut found = Verification { faults, logs: files.len(), missing: vec![], stray_bytes: 0 };
        self.store.named_logs(&mut |named| {
            let there = named.usual.as_ref().is_some_and(|usual| usual.exists()) || named.column.exists();
            if named.ended && !there {
                found.missing.push(named.id);
            }
            known.extend(named.usual);
            known.insert(named.column);
        })?;
        // In a damaged file rows may be missing, so their logs are not strays.
        if found.is_damaged() {
            return Ok(found);
        }
        for file in files.iter().filter(|file| !known.contains(&file.log) && !is_being_written(&file.log)) {
            let repaired = repair && logtree::remove(&folder, &file.log).map_err(system("remove a log"))?;
            found.stray_bytes += file.bytes;
            found.faults.push(Fault::new(format!("a log that belongs to no task: {:?}", file.log), repaired));
        }
        Ok(found)
    }
}

/// Whether the launcher that is named in a log's file name still runs. Then the log is incomplete, although its task
/// was deleted from the database.
fn is_being_written(log: &Path) -> bool {
    let upid = log.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse::<Upid>().ok());
    upid.is_some_and(|upid| {
        let launcher = i32::try_from(upid.pid).ok().map(|pid| Process { pid, pstart: upid.pstart });
        upid.node() == sys::host_name() && launcher.is_some_and(|launcher| !process::gone(launcher))
    })
}
