//! Copying a database.

use std::path::Path;

use super::{ServiceError, Tasks};
use crate::app::reconcile;

impl Tasks {
    /// Writes a copy of the database to a new file, while others continue to write. Returns its size in bytes.
    ///
    /// # Errors
    /// When the database cannot be read, the file exists, or it cannot be written.
    pub fn backup(&mut self, to: &Path) -> Result<u64, ServiceError> {
        // Ended tasks are settled first, so that the copy also has their ends.
        reconcile::survey(&mut self.store)?;
        Ok(self.store.backup(to)?)
    }
}
