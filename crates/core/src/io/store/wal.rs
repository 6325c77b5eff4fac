//! The write-ahead log beside a database.

use std::{fs, path::Path};

use crate::model::path::beside;

/// Whether the database has a write-ahead log with content.
pub(super) fn has_wal(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}
