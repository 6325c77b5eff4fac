//! Errors of a database, with messages for users.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags},
    sys::resource::{RLIM_INFINITY, Resource, getrlimit},
    unistd::{AccessFlags, faccessat, geteuid},
};
use rusqlite::{ErrorCode, ffi};

use super::{LockTimeout, schema::VERSION, wal::has_wal};
use crate::model::{error::ErrorKind, path::beside, task::Task};

/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not exist.
    #[error(
        "no database {0:?}; create it by launching or reserving a task, or with control initialize or control remote add"
    )]
    Missing(PathBuf),
    /// The path is not a regular file.
    #[error("cannot open database {0:?}: it is {1}")]
    NotAFile(PathBuf, &'static str),
    /// The file belongs to another program.
    #[error("cannot use {0:?}: not a taskwatcher database ({1}); the file was not changed")]
    NotOurs(PathBuf, String),
    /// A newer version wrote the database.
    #[error("cannot use database {0:?}: its version is {1}, this program knows {VERSION}; update taskwatcher")]
    Newer(PathBuf, i32),
    /// An older version wrote the database, which was opened for reading only.
    #[error(
        "cannot read database {0:?}: it has an older version; any command of control migrates it, such as: control list"
    )]
    Older(PathBuf),
    /// Another writer holds the lock.
    #[error("cannot {1} database {0:?}: locked by another program; gave up after {2} s")]
    Busy(PathBuf, &'static str, u64),
    /// One of the files may not even be read.
    #[error(
        "cannot {1} database {0:?}: its files belong to another user (permission denied for {2:?}); work as that user, or name another database with --db"
    )]
    Denied(PathBuf, &'static str, PathBuf),
    /// A file beside the database was created by another user.
    #[error(
        "cannot use {0:?}: it belongs to user {1}, and the database to user {2}; remove it, or give it to the owner of the database"
    )]
    Companion(PathBuf, u32, u32),
    /// The database is read-only.
    #[error("cannot {1} database {0:?}: it is read-only")]
    ReadOnly(PathBuf, &'static str),
    /// The disk is full or a limit is reached.
    #[error("cannot {1} database {0:?}: {2}")]
    Full(PathBuf, &'static str, &'static str),
    /// The file is damaged.
    #[error(
        "cannot {1} database {0:?}: the file is damaged, or its disk cannot be read ({2}); look for errors of the disk, then restore a copy"
    )]
    Damaged(PathBuf, &'static str, String),
    /// Another program changed the tables.
    #[error(
        "cannot {1} database {0:?}: a table of it is missing or was changed by another program ({2}; a view is not read in the place of a table); restore a copy"
    )]
    OtherTables(PathBuf, &'static str, String),
    /// The rows of SQLite's own table that identify the database were deleted.
    #[error("cannot export database {0:?}: its unique id is missing; run control verify --repair")]
    NoIdentity(PathBuf),
    /// Live tasks forbid to initialize the database.
    #[error("cannot initialize database {0:?}: {1} of its tasks have not ended; end them first, or use --force")]
    InUse(PathBuf, i64),
    /// Any other error of the file system.
    #[error("cannot {1} {0:?}: {2}")]
    Io(PathBuf, &'static str, io::Error),
    /// Any other error of SQLite.
    #[error("cannot {1} database {0:?}: {2}")]
    Sqlite(PathBuf, &'static str, rusqlite::Error),
}

impl StoreError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Missing(_) => ErrorKind::NoDatabase,
            StoreError::InUse(..) => ErrorKind::Conflict,
            StoreError::Denied(..) | StoreError::Companion(..) => ErrorKind::Denied,
            StoreError::NotAFile(..)
            | StoreError::NotOurs(..)
            | StoreError::Newer(..)
            | StoreError::Older(_)
            | StoreError::Busy(..)
            | StoreError::ReadOnly(..)
            | StoreError::Full(..)
            | StoreError::Damaged(..)
            | StoreError::OtherTables(..)
            | StoreError::NoIdentity(_)
            | StoreError::Io(..)
            | StoreError::Sqlite(..) => ErrorKind::Database,
        }
    }
}

/// A valid request that was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The reservation does not exist, or is not available any more.
    #[error("cannot launch task {0}: {1}")]
    NotReserved(String, String),
    /// The name is taken.
    #[error(
        "the name {:?} is taken: task {} {}", row.name, row.id,
        if row.is_reserved() { "is reserved" } else { "has not ended" }
    )]
    NameTaken {
        /// The row of the task that has it.
        row: Box<Task>,
    },
}

/// The failures of a request to the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// An error.
    #[error(transparent)]
    Broken(#[from] StoreError),
    /// A refusal.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// SQLite's extended code (`SQLITE_IOERR_SHMSIZE`) for a full disk while extending the shared
/// memory.
const NO_ROOM_FOR_SHM: i32 = 10 | (19 << 8);

/// Returns the error of a page that an integrity check could not read. The check reports it like
/// damage, which it is not.
pub(super) fn not_read(found: &str) -> Option<rusqlite::Error> {
    let code: i32 = found.split_once("error code=")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let error = ffi::Error::new(code);
    match error.code {
        // A page beyond the end of the file is damage.
        ErrorCode::SystemIoFailure if code == ffi::SQLITE_IOERR_SHORT_READ => None,
        ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::CannotOpen => {
            Some(rusqlite::Error::SqliteFailure(error, Some(error.to_string())))
        }
        _ => None,
    }
}

/// Converts an error of SQLite.
pub(super) fn failure(path: &Path, doing: &'static str, timeout: LockTimeout, error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let denied = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => denied(path),
        Some(_) | None => None,
    };
    let path = path.to_owned();
    match denied {
        Some((file, None)) => return StoreError::Denied(path, doing, file),
        Some((file, Some(error))) => return StoreError::Io(file, doing, error),
        None => {}
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Busy(path, doing, timeout.limit.as_secs())
        }
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(path, doing),
        Some(ErrorCode::DiskFull) => StoreError::Full(path, doing, DISK_FULL),
        // SQLite does not report which error a write had. If there is a limit on file sizes, that
        // is the likely one.
        Some(ErrorCode::SystemIoFailure) if has_file_size_limit() && is_of_writing(&error) => {
            StoreError::Full(path, doing, FILE_LIMIT)
        }
        _ if error.sqlite_error().is_some_and(|error| error.extended_code == NO_ROOM_FOR_SHM) => {
            StoreError::Full(path, doing, DISK_FULL)
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged(path, doing, text),
        Some(ErrorCode::NotADatabase) => {
            StoreError::NotOurs(path, "not an SQLite file, or its start is damaged".into())
        }
        _ if ["no such table", "no such column"].iter().any(|words| text.starts_with(words)) => {
            StoreError::OtherTables(path, doing, text)
        }
        _ => StoreError::Sqlite(path, doing, error),
    }
}

/// The two reasons of [`StoreError::Full`].
pub(super) const DISK_FULL: &str = "the disk is full";
pub(super) const FILE_LIMIT: &str = "the limit on the size of files is reached (ulimit -f)";

fn has_file_size_limit() -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

fn is_of_writing(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_TRUNCATE | ffi::SQLITE_IOERR_SHMSIZE))
}

/// Returns the file of a database that this user may not read, because SQLite reports only that one
/// could not be opened. With the error, if the file belongs to this user. Without a WAL the two
/// other files are not needed.
fn denied(path: &Path) -> Option<(PathBuf, Option<io::Error>)> {
    let suffixes: &[&str] = if has_wal(path) { &["", "-wal", "-shm"] } else { &[""] };
    // Not opened: closing it would release the locks that this process has on it.
    let asked = |file: &Path| faccessat(AT_FDCWD, file, AccessFlags::R_OK, AtFlags::AT_EACCESS);
    suffixes.iter().map(|suffix| beside(path, suffix)).find_map(|file| match asked(&file) {
        Err(error @ Errno::EACCES) => {
            let is_own = fs::metadata(&file).is_ok_and(|meta| meta.uid() == geteuid().as_raw());
            Some((file, is_own.then(|| error.into())))
        }
        Ok(()) | Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_page_is_not_reported_as_damage() {
        let line =
            |code: &str| format!("*** in database main ***\nTree 3 page 3: unable to get the page. error code={code}");
        // EIO, another read error, no memory.
        for code in ["8458", "10", "7"] {
            assert!(not_read(&line(code)).is_some(), "{code}");
        }
        // SQLITE_CORRUPT, a file that is too short, and lines without a code.
        for found in [line("11"), line("522"), line(""), "row 3 missing from index x".to_owned(), "ok".to_owned()] {
            assert!(not_read(&found).is_none(), "{found}");
        }
    }
}
