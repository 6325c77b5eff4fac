//! The path of a database: which files are accepted there, and creating a new database atomically.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    LockTimeout, Result, StoreError,
    error::{failure, not_read},
    export::FIRST_COUNTS,
    schema::{APPLICATION_ID, SCHEMA, VERSION, bare},
};

use crate::model::path::{UNFINISHED, beside, folder_of, is_unfinished};

/// Refuses a file that must not be opened, where SQLite's error would be less clear or SQLite would
/// follow a link. Returns the path of the real file.
pub(super) fn check_place(path: &Path) -> Result<PathBuf> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Missing(path.to_owned())),
        Err(error) => return Err(StoreError::Io(path.to_owned(), "open database", error)),
    };
    let refuse = |what| Err(StoreError::NotAFile(path.to_owned(), what));
    let kind = meta.file_type();
    if kind.is_symlink() {
        let shared = fs::metadata(folder_of(path)).is_ok_and(|meta| meta.permissions().mode() & 0o022 != 0);
        return match fs::metadata(path) {
            _ if shared => refuse("a symbolic link in a folder that others can write"),
            Ok(target) if target.is_dir() => refuse("a folder"),
            Ok(_) => fs::canonicalize(path).map_err(|error| StoreError::Io(path.to_owned(), "find database", error)),
            Err(_) => refuse("a symbolic link that leads nowhere"),
        };
    }
    if kind.is_dir() {
        return refuse("a folder");
    }
    if kind.is_file() {
        // SQLite takes a file of one byte for an empty one, and would overwrite it.
        return match meta.len() {
            1 => Err(StoreError::NotOurs(path.to_owned(), "one byte".into())),
            _ => Ok(path.to_owned()),
        };
    }
    refuse(if kind.is_fifo() { "a pipe" } else { "not a regular file" })
}

/// Returns the real path of a database: the target of a link, so that the files beside it are found
/// under both names. A path that is not a link is returned unchanged.
///
/// # Errors
/// A link in a folder that others can write to, or a dangling link.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
        return Ok(path.to_owned());
    }
    check_place(path)
}

/// Flushes the names in a database's folder to disk.
pub(super) fn flush_folder(path: &Path) -> Result<()> {
    let flushed = File::open(folder_of(path)).and_then(|dir| dir.sync_all());
    match flushed {
        // The folder is not readable for this user, so its files belong to another user, who
        // flushes them.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|error| StoreError::Io(path.to_owned(), "flush the folder of database", error)),
    }
}

/// Returns the schema as stored, without comments and blanks: SQLite keeps the text of its
/// definitions and parses it at every opening.
pub(super) fn stored_schema() -> String {
    // The rows with counters exist from the start, so that no query has to check for them.
    format!("{}; {FIRST_COUNTS}", bare(SCHEMA))
}

/// Creates a complete database under a temporary name, then links it into place; an existing
/// database wins.
///
/// A WAL at this place belonged to a deleted database, and SQLite would read it into the new one.
/// That WAL may only be removed while no other process is creating the database: so all creators
/// lock the folder.
pub(super) fn create(path: &Path) -> Result<()> {
    let parent = folder_of(path);
    let io = |doing, at: &Path| {
        let at = at.to_owned();
        move |error| StoreError::Io(at, doing, error)
    };
    create_folder(parent)?;
    let folder = File::open(parent).map_err(io("open folder", parent))?;
    folder.lock().map_err(io("lock folder", parent))?;
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    for suffix in ["-wal", "-shm"] {
        let stale = beside(path, suffix);
        match fs::remove_file(&stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("remove what is left of a deleted database,", &stale)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    remove_unfinished(path);
    // Unique also among the threads of this process.
    static CREATED: AtomicU32 = AtomicU32::new(0);
    let number = CREATED.fetch_add(1, Ordering::Relaxed);
    let fresh = beside(path, &format!(".{}-{number}{UNFINISHED}", std::process::id()));
    let made = create_at(&fresh, path).and_then(|()| match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io("create database", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    });
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(&fresh, suffix));
    }
    made?;
    folder.sync_all().map_err(io("create database", path))
}

/// Removes the leftovers of processes that were killed while they created this database. To be
/// called with the lock on the folder, which all creators hold, so that no live process is using
/// them.
fn remove_unfinished(path: &Path) {
    let Some(name) = path.file_name() else { return };
    // Leftovers that cannot be read or removed are harmless.
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_bytes().strip_prefix(name.as_bytes()).is_some_and(is_unfinished) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes leftovers of a process that was killed just after it created a database. To be called by
/// the first opener.
pub(super) fn tidy_up(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path))
        && folder.try_lock().is_ok()
    {
        remove_unfinished(path);
    }
}

/// Creates a folder and the missing folders above it with mode 0700, regardless of the umask.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
    }
    let made = DirBuilder::new().mode(0o700).create(folder);
    match made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700))) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(StoreError::Io(folder.to_owned(), "create folder", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn create_at(fresh: &Path, named: &Path) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600).open(fresh);
    let protect = file.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
    protect.map_err(|error| StoreError::Io(named.to_owned(), "create database", error))?;
    let failed = |error| failure(named, "create", LockTimeout::USUAL, error);
    let fill = || {
        let db = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Without a WAL a commit writes the database file itself and reports a full disk. With a
        // WAL the copying would be done at close, where SQLite ignores errors.
        db.execute_batch("BEGIN IMMEDIATE")?;
        db.execute_batch(&stored_schema())?;
        db.pragma_update(None, "application_id", APPLICATION_ID)?;
        db.pragma_update(None, "user_version", VERSION)?;
        db.execute_batch("COMMIT")?;
        switch_to_wal(&db)?;
        db.close().map_err(|(_, error)| error)
    };
    fill().map_err(failed)?;
    let found = found_wrong(fresh).map_err(failed)?;
    found.map_or(Ok(()), |what| Err(StoreError::Damaged(named.to_owned(), "create", what)))
}

/// Switches a database that no other process can have open to WAL mode.
pub(super) fn switch_to_wal(db: &Connection) -> rusqlite::Result<()> {
    // In exclusive mode the index is kept in memory, without a file of shared memory.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| match row.get::<_, String>(0)?.as_str() {
        "wal" => Ok(()),
        // SQLite returns the mode that is in effect.
        _ => Err(rusqlite::Error::InvalidQuery),
    })
}

/// Returns what SQLite finds wrong in a new file, read from the file alone; `None` if nothing.
fn found_wrong(fresh: &Path) -> rusqlite::Result<Option<String>> {
    let db = open_immutable(fresh)?;
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match not_read(&answer) {
        Some(error) => Err(error),
        None => Ok((answer != "ok").then_some(answer)),
    }
}

/// Opens a file read-only as one that never changes: without locks and without a WAL.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let escape = |byte: u8| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    let escaped: String = path.as_os_str().as_bytes().iter().copied().map(escape).collect();
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::Store, *};

    #[test]
    fn leftovers_of_a_killed_creator_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let left = ["t.db.7-af.new", "t.db.7-af.new-wal", "t.db.7-af.new-shm", "t.db.7-af.new-journal"];
        let others =
            ["t.db.7.new", "t.db.7-af.newer", "t.db.7-xyz.new", "t.db.bak.7-af.new", "t.db.-.new", "u.db.7-af.new"];
        let make = |names: &[&str]| names.iter().for_each(|name| fs::write(dir.path().join(name), "x").unwrap());
        let there = || -> BTreeSet<String> {
            let names = fs::read_dir(dir.path()).unwrap();
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        make(&left);
        make(&others);
        let store = Store::open_or_create(&path, LockTimeout::USUAL).unwrap();
        assert!(left.iter().all(|name| !there().contains(*name)), "{:?}", there());
        assert!(others.iter().all(|name| there().contains(*name)), "{:?}", there());
        drop(store);
        // The creator was killed when the database was complete, and before its first use.
        fs::remove_file(beside(&path, "-wal")).unwrap();
        fs::remove_file(beside(&path, "-shm")).unwrap();
        make(&left);
        drop(Store::open(&path, LockTimeout::USUAL).unwrap());
        assert!(left.iter().all(|name| !there().contains(*name)), "{:?}", there());
    }
}
