//! Determines the path of the database, and opens it.

use std::{
    env,
    path::{Component, Path, PathBuf},
};

use crate::{
    io::{
        account, feedfile,
        store::{self, LockTimeout, Store, StoreError},
    },
    model::error::ErrorKind,
};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No path is given.
    #[error("no path for the database: set --db, TASKWATCHER_DB or HOME (/etc/passwd has no home for this user)")]
    Nowhere,
    /// A path that needs expansion by a shell.
    #[error(
        "cannot use database {0:?}: ~ is only expanded by a shell; give an absolute path (or ./~ for a folder of that name)"
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

impl DbError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DbError::Nowhere | DbError::Tilde(_) | DbError::Network(..) => ErrorKind::Database,
            DbError::Store(error) => error.kind(),
        }
    }
}

/// Returns the path of the database: `--db`, else `TASKWATCHER_DB`, else in the state folder of the user. The path is
/// absolute, so that it stays the same for a command that changes its working directory. Links are resolved, so that
/// all programs find the same files beside the database.
///
/// # Errors
/// [`DbError::Nowhere`], [`DbError::Tilde`], or a link that is not safe to follow.
pub fn path(given: Option<&Path>) -> Result<PathBuf, DbError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = match (given, set("TASKWATCHER_DB")) {
        (Some(path), _) => path.to_owned(),
        (None, Some(path)) => path,
        // The XDG specification requires that a relative path is ignored.
        (None, None) => match set("XDG_STATE_HOME").filter(|dir| dir.is_absolute()) {
            Some(state) => state.join("taskwatcher/tasks.db"),
            // A system service has no HOME.
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

/// Removes `a/..` from a path if `a` does not exist, because creating the database would create `a`. An existing `a`
/// may be a link, whose `..` is elsewhere.
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

/// Returns the default path of the database for a home folder.
pub fn in_home(home: &Path) -> PathBuf {
    home.join(".local/state/taskwatcher/tasks.db")
}

/// Opens an existing database.
///
/// # Errors
/// [`DbError`]
pub fn open(path: &Path, patience: LockTimeout) -> Result<Store, DbError> {
    let store = Store::open(path, patience)?;
    check_local(path)?;
    Ok(store)
}

/// Opens an existing database read-only.
///
/// # Errors
/// [`DbError`]
pub fn open_to_read(path: &Path, patience: LockTimeout) -> Result<Store, DbError> {
    let store = Store::open_to_read(path, patience)?;
    check_local(path)?;
    Ok(store)
}

/// Opens a database, and creates it if it does not exist.
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
    // If the file system cannot be determined, it counts as local: opening the database will report the error.
    match feedfile::network_fs(dir) {
        // Most of FUSE is local (encrypted folders, disks of other systems, containers).
        Ok(Some("fuse") | None) | Err(_) => Ok(()),
        Ok(Some(kind)) => Err(DbError::Network(path.to_owned(), kind)),
    }
}
