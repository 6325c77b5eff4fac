//! The tasks of a database for other hosts.

use super::{ServiceError, Tasks, history};
use crate::{
    app::reconcile::{self, Live},
    io::store::Export,
    model::{export::ExportCursor, task::HistoryRow},
};

/// Tasks for another host, in the order in which it should read them.
#[derive(Debug)]
pub struct Exported {
    /// Tasks that have not ended. They were read before the ends, so that a task that ends meanwhile is listed as
    /// running, then as ended.
    pub live: Vec<Live>,
    /// Ends that could not be moved to the history. They are exported again once they were moved.
    pub unsettled: Vec<HistoryRow>,
    /// Ends since the cursor.
    pub ended: Export,
}

impl Tasks {
    /// Returns the live tasks, and those that ended since `since`; at most `limit` of the history.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn export(&mut self, since: Option<&ExportCursor>, limit: usize) -> Result<Exported, ServiceError> {
        let survey = reconcile::survey(&mut self.store)?;
        let ended = self.store.export(since, limit)?;
        let unsettled = history::unsettled_of(&survey).into_rows();
        Ok(Exported { live: survey.live, unsettled, ended })
    }
}
