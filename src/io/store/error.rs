//! What can go wrong with a database, in words for a user.

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

use super::{LockTimeout, location::has_wal, open::VERSION};
use crate::model::path::beside;

/// Why the database could not be used: what failed, on which file, why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error(
        "no database {0:?}; create it by launching or reserving a task, or with control initialize or control remote add"
    )]
    Missing(PathBuf),
    /// Its place is taken by something that is no regular file.
    #[error("cannot open database {0:?}: it is {1}")]
    NotAFile(PathBuf, &'static str),
    /// A file of somebody else.
    #[error("cannot use {0:?}: not a taskwatcher database ({1}); the file was not changed")]
    NotOurs(PathBuf, String),
    /// Written by a newer version.
    #[error("cannot use database {0:?}: its version is {1}, this program knows {VERSION}; update taskwatcher")]
    Newer(PathBuf, i32),
    /// Written by an older version, and only to be read.
    #[error(
        "cannot read database {0:?}: it has an older version; any command of control migrates it, such as: control list"
    )]
    Older(PathBuf),
    /// Another writer holds the lock.
    #[error("cannot {1} database {0:?}: locked by another program; gave up after {2} s")]
    Busy(PathBuf, &'static str, u64),
    /// One of its files may not even be read.
    #[error(
        "cannot {1} database {0:?}: its files belong to another user (permission denied for {2:?}); work as that user, or name another database with --db"
    )]
    Denied(PathBuf, &'static str, PathBuf),
    /// A file beside it that was put there by another user.
    #[error(
        "cannot use {0:?}: it belongs to user {1}, and the database to user {2}; remove it, or give it to the owner of the database"
    )]
    Companion(PathBuf, u32, u32),
    /// Nothing may be written.
    #[error("cannot {1} database {0:?}: it is read-only")]
    ReadOnly(PathBuf, &'static str),
    /// No room.
    #[error("cannot {1} database {0:?}: {2}")]
    Full(PathBuf, &'static str, &'static str),
    /// Not whole any more.
    #[error(
        "cannot {1} database {0:?}: the file is damaged, or its disk cannot be read ({2}); look for errors of the disk, then restore a copy"
    )]
    Damaged(PathBuf, &'static str, String),
    /// Another program changed its tables.
    #[error(
        "cannot {1} database {0:?}: a table of it is missing or was changed by another program ({2}; a view is not read in the place of a table); restore a copy"
    )]
    OtherTables(PathBuf, &'static str, String),
    /// Rows of SQLite's own table that tell which database it is were deleted.
    #[error("cannot export database {0:?}: its unique id is missing; run control verify --repair")]
    NoIdentity(PathBuf),
    /// Tasks still live in what was to be replaced.
    #[error("cannot initialize database {0:?}: {1} of its tasks have not ended; end them first, or use --force")]
    InUse(PathBuf, i64),
    /// Anything else the file system says.
    #[error("cannot {1} {0:?}: {2}")]
    Io(PathBuf, &'static str, io::Error),
    /// Anything else SQLite says.
    #[error("cannot {1} database {0:?}: {2}")]
    Sqlite(PathBuf, &'static str, rusqlite::Error),
}

/// A wish that was understood and is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not there, or not free any more.
    #[error("cannot launch task {0}: {1}")]
    NotReserved(String, String),
    /// The name is taken.
    #[error("the name {name:?} is taken: task {id} {state}")]
    NameTaken {
        /// The task that has it.
        id: i64,
        /// The name.
        name: String,
        /// `is reserved` or `has not ended`.
        state: &'static str,
    },
}

/// What can come of asking the store for something.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// It is broken.
    #[error(transparent)]
    Broken(#[from] StoreError),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// SQLite's own code (`SQLITE_IOERR_SHMSIZE`) for a disk without room for the memory that its users share.
const NO_ROOM_FOR_SHM: i32 = 10 | (19 << 8);

/// Returns the error of a page that a check of a file could not read: the check reports it as it reports damage, which it
/// is not.
pub(super) fn not_read(found: &str) -> Option<rusqlite::Error> {
    let code: i32 = found.split_once("error code=")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let error = ffi::Error::new(code);
    match error.code {
        // A page that the file is too short for is damage.
        ErrorCode::SystemIoFailure if code == ffi::SQLITE_IOERR_SHORT_READ => None,
        ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory | ErrorCode::CannotOpen => {
            Some(rusqlite::Error::SqliteFailure(error, Some(error.to_string())))
        }
        _ => None,
    }
}

/// What SQLite says, in words for a user.
pub(super) fn failure(path: &Path, doing: &'static str, patience: LockTimeout, error: rusqlite::Error) -> StoreError {
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
            StoreError::Busy(path, doing, patience.limit.as_secs())
        }
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(path, doing),
        Some(ErrorCode::DiskFull) => StoreError::Full(path, doing, DISK_FULL),
        // SQLite does not say which error of a write it was. Where files have a limit, that is the likely one.
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

/// Which file of a database we may not read: SQLite says only that one could not be opened. With the reason, if it is our
/// own all the same. Without a WAL its two companions are not needed.
fn denied(path: &Path) -> Option<(PathBuf, Option<io::Error>)> {
    let suffixes: &[&str] = if has_wal(path) { &["", "-wal", "-shm"] } else { &[""] };
    // Not opened: to close it would let go of the locks that this process has on it.
    let asked = |file: &Path| faccessat(AT_FDCWD, file, AccessFlags::R_OK, AtFlags::AT_EACCESS);
    suffixes.iter().map(|suffix| beside(path, suffix)).find_map(|file| match asked(&file) {
        Err(error @ Errno::EACCES) => {
            let ours = fs::metadata(&file).is_ok_and(|meta| meta.uid() == geteuid().as_raw());
            Some((file, ours.then(|| error.into())))
        }
        Ok(()) | Err(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_not_read_is_told_from_one_that_is_damaged() {
        let line =
            |code: &str| format!("*** in database main ***\nTree 3 page 3: unable to get the page. error code={code}");
        // EIO, another error of a read, no memory.
        for code in ["8458", "10", "7"] {
            assert!(not_read(&line(code)).is_some(), "{code}");
        }
        // SQLITE_CORRUPT, a file that is too short, and what names no code.
        for found in [line("11"), line("522"), line(""), "row 3 missing from index x".to_owned(), "ok".to_owned()] {
            assert!(not_read(&found).is_none(), "{found}");
        }
    }
}
