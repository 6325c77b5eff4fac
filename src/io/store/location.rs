//! Where a database is: what may stand in its place, and making a new one whole.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    LockTimeout, Result, StoreError,
    error::{failure, not_read},
    export::FIRST_COUNTS,
    open::{APPLICATION_ID, SCHEMA, VERSION},
};

use crate::model::path::{UNFINISHED, beside, folder_of, is_unfinished};

/// Refuses what must not be opened: SQLite would say less clearly, or follow where it should not. Gives where it really is.
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
        // SQLite takes a file of one byte for an empty one, and would write over it.
        return match meta.len() {
            1 => Err(StoreError::NotOurs(path.to_owned(), "one byte".into())),
            _ => Ok(path.to_owned()),
        };
    }
    refuse(if kind.is_fifo() { "a pipe" } else { "not a regular file" })
}

/// Where a database really is: what a link leads to, so that all that lies beside it is found under both names. A path
/// at which there is no link stays as it is.
///
/// # Errors
/// A link in a folder that others can write, or that leads nowhere.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
        return Ok(path.to_owned());
    }
    check_place(path)
}

pub(super) fn has_wal(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// Makes the names in a database's folder survive a loss of power.
pub(super) fn flush_folder(path: &Path) -> Result<()> {
    let flushed = File::open(folder_of(path)).and_then(|dir| dir.sync_all());
    match flushed {
        // A folder that we may not read is nobody's to flush; its files are somebody else's too.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|error| StoreError::Io(path.to_owned(), "flush the folder of database", error)),
    }
}

/// The schema as it is stored: SQLite keeps the text of its definitions and reads it again at every opening, so without
/// the comments and the blanks.
pub(super) fn stored_schema() -> String {
    // The rows that count: there from the start, so that they need not be looked for.
    format!("{}; {FIRST_COUNTS}", bare(SCHEMA))
}

/// A schema without its comments and blanks.
pub(super) fn bare(schema: &str) -> String {
    let bare = |line: &str| line.split("--").next().unwrap_or_default().trim().to_owned();
    let lines: Vec<String> = schema.lines().map(bare).filter(|line| !line.is_empty()).collect();
    lines.join(" ").trim_end_matches(';').to_owned()
}

/// Makes a database whole under a name of its own, then links it into place; if somebody was quicker, theirs is it.
///
/// A WAL that lies there belonged to a database that was deleted alone; SQLite would read it into the new one. It may
/// only go while nobody can be making the new one: so all who create hold a lock on the folder.
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
    let unlike_others = std::ptr::from_ref(&path) as usize;
    let fresh = beside(path, &format!(".{}-{unlike_others:x}{UNFINISHED}", std::process::id()));
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

/// Removes what is left of those who were killed while they made this database. To be called with the lock on the folder,
/// which all have who make one, so that nobody who is alive is at it.
fn remove_unfinished(path: &Path) {
    let Some(name) = path.file_name() else { return };
    // What cannot be read or removed is in nobody's way.
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_bytes().strip_prefix(name.as_bytes()).is_some_and(is_unfinished) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Tidies up after somebody who was killed just after a database was made. To be called by the first one who opens it.
pub(super) fn tidy_up(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path))
        && folder.try_lock().is_ok()
    {
        remove_unfinished(path);
    }
}

/// Makes a folder and those above it that are missing, for their owner alone whatever the umask.
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
        // Without a WAL a commit writes the file itself and reports what the disk does not take. With one the copying is
        // left to the end, where SQLite ignores errors.
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

/// Switches a database that others cannot have open to WAL mode.
pub(super) fn switch_to_wal(db: &Connection) -> rusqlite::Result<()> {
    // So its index is kept in this process, and needs no file of shared memory.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| match row.get::<_, String>(0)?.as_str() {
        "wal" => Ok(()),
        // SQLite answers with the mode that it stays in.
        _ => Err(rusqlite::Error::InvalidQuery),
    })
}

/// What SQLite finds wrong in a file that was just made, read from the file alone; none: it is whole.
fn found_wrong(fresh: &Path) -> rusqlite::Result<Option<String>> {
    let db = open_immutable(fresh)?;
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match not_read(&answer) {
        Some(error) => Err(error),
        None => Ok((answer != "ok").then_some(answer)),
    }
}

/// Opens a file for reading as one that nobody changes: no lock is taken, and no WAL is looked for.
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
    fn what_one_who_was_killed_left_of_a_new_database_is_removed() {
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
        // It was killed when the database was whole, and before anybody used it.
        fs::remove_file(beside(&path, "-wal")).unwrap();
        fs::remove_file(beside(&path, "-shm")).unwrap();
        make(&left);
        drop(Store::open(&path, LockTimeout::USUAL).unwrap());
        assert!(left.iter().all(|name| !there().contains(*name)), "{:?}", there());
    }
}
