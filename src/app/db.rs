//! Where the database is, and opening it.

use std::{
    env,
    path::{Component, Path, PathBuf},
};

use crate::io::{
    account, feedfile,
    store::{self, LockTimeout, Store, StoreError},
};

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Nobody says where it is.
    #[error("no path for the database: set --db, TASKWATCHER_DB or HOME (/etc/passwd has no home for this user)")]
    Nowhere,
    /// A path that only a shell understands.
    #[error(
        "cannot use database {0:?}: only a shell replaces the ~ by a home; give an absolute path (or ./~ for a folder of that name)"
    )]
    Tilde(PathBuf),
    /// A file system on which SQLite's locks and shared memory do not work between hosts.
    #[error(
        "cannot use database {0:?}: it is on a network file system ({1}), where SQLite cannot keep it safe; choose a local disk"
    )]
    Network(PathBuf, &'static str),
    /// The database itself.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The database to use: `--db`, else `TASKWATCHER_DB`, else below the state folder of the user (section 2). Absolute,
/// so that it stays the same one for a command that changes its folder; and what a link leads to, so that all who use it
/// find the same files beside it.
///
/// # Errors
/// [`DbError::Nowhere`], and what speaks against a link
pub fn path(given: Option<&Path>) -> Result<PathBuf, DbError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = match (given, set("TASKWATCHER_DB")) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path,
        // A relative XDG path is to be ignored, says its specification.
        (None, None) => match set("XDG_STATE_HOME").filter(|dir| dir.is_absolute()) {
            Some(state) => state.join("taskwatcher/tasks.db"),
            // A service of the system has no HOME.
            None => in_home(&set("HOME").or_else(|| account::home(None)).ok_or(DbError::Nowhere)?),
        },
    };
    let mut parts = path.components();
    let is_of_home = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b"~");
    if parts.next().is_some_and(is_of_home) && parts.next().is_some() {
        return Err(DbError::Tilde(path));
    }
    Ok(store::resolve(&without_detours(&std::path::absolute(&path).unwrap_or(path)))?)
}

/// A path without what goes down into a folder that is not there and up again: such a folder would be made on the way.
/// One that is there may be a link, so up from it may lead elsewhere.
fn without_detours(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if found.symlink_metadata().is_err() && found.file_name().is_some() => {
                found.pop();
            }
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir
            | Component::Normal(_) => found.push(part),
        }
    }
    found
}

/// The database of a user with this home who says nothing about it.
pub fn in_home(home: &Path) -> PathBuf {
    home.join(".local/state/taskwatcher/tasks.db")
}

/// Opens a database that is there.
///
/// # Errors
/// [`DbError`]
pub fn open(path: &Path, patience: LockTimeout) -> Result<Store, DbError> {
    let store = Store::open(path, patience)?;
    check_local(path)?;
    Ok(store)
}

/// Opens a database that is there, to look at it only.
///
/// # Errors
/// [`DbError`]
pub fn open_to_read(path: &Path, patience: LockTimeout) -> Result<Store, DbError> {
    let store = Store::open_to_read(path, patience)?;
    check_local(path)?;
    Ok(store)
}

/// Opens a database, making it first if need be.
///
/// # Errors
/// [`DbError`]
pub fn open_or_create(path: &Path, patience: LockTimeout) -> Result<Store, DbError> {
    let nearest = path.ancestors().skip(1).find(|dir| dir.is_dir());
    if let Some(dir) = nearest {
        check_local_dir(path, dir)?;
    }
    Ok(Store::open_or_create(path, patience)?)
}

fn check_local(path: &Path) -> Result<(), DbError> {
    check_local_dir(path, path.parent().unwrap_or(Path::new("/")))
}

fn check_local_dir(path: &Path, dir: &Path) -> Result<(), DbError> {
    // What cannot be asked is taken for local: the open itself will say what is wrong.
    match feedfile::network_fs(dir) {
        // Most of FUSE is local (encrypted folders, other systems' disks, containers): its users know what it is.
        Ok(Some("fuse") | None) | Err(_) => Ok(()),
        Ok(Some(kind)) => Err(DbError::Network(path.to_owned(), kind)),
    }
}
