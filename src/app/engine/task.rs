//! A claimed task and its slot in the spool: what a launcher, a shim or a worker leaves there, and finds there.
//!
//! The spool is written without the database, so it is used for what must not wait: reports of the task about itself,
//! requests of `control kill`, and the end. A spool that cannot be written (a full disk) is no error: readers only see
//! less.

use std::{path::Path, sync::Arc};

use super::record_end::{self, Recorded};
use crate::{
    io::{
        spool::{Request, SelfReport, Spool},
        store::{Claimed, Store},
    },
    model::task::End,
};

/// A claimed task.
#[derive(Debug)]
pub struct ClaimedTask {
    /// Its row.
    pub claimed: Arc<Claimed>,
    /// The spool with the lock on its slot; `None` if the spool could not be opened.
    pub spool: Option<Spool>,
}

impl ClaimedTask {
    /// Publishes what the task has reported about itself.
    pub fn publish(&self, report: &SelfReport) {
        if let Some(spool) = &self.spool {
            let _ = spool.write_report(self.claimed.slot, &self.claimed.upid, report);
        }
    }

    /// Returns the request of `control kill`, if there is one.
    pub fn request(&self) -> Option<Request> {
        self.spool.as_ref()?.request_of(self.claimed.slot, &self.claimed.upid)
    }

    /// Notes where the launcher listens, for programs in other pid namespaces. If this fails, only programs in the
    /// same namespace can send a request.
    pub fn note_address(&self, address: &str) {
        if let Some(spool) = &self.spool {
            let _ = spool.note_address(self.claimed.slot, &self.claimed.upid, address);
        }
    }

    /// Notes an end that is about to be recorded, so that a log never has an outcome that could be lost. If this fails,
    /// the database still gets the end.
    pub fn note_end(&self, end: &End) {
        if let Some(spool) = &self.spool {
            let _ = spool.note_end(self.claimed.slot, &self.claimed.upid, end);
        }
    }

    /// Records the end in the database (`store`, if it is still open), or else in the spool.
    pub fn record_end(&self, db: &Path, store: Option<Store>, end: &End) -> Recorded {
        record_end::record(db, store, self.spool.as_ref(), &self.claimed, end)
    }
}
