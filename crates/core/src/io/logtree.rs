//! The folder of all logs of a database, `<db>.logs`, with its 256 subfolders: listing and removing
//! logs.
//!
//! A row may contain any path, but nothing outside of the folder is ever touched, and no link is
//! followed. The subfolders stay: a launcher may be about to create its log in one.

use std::{
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Stat};

use super::safe_open::{self, Folder};
use crate::model::path::folder_of;

/// A log in the folder: the path that rows name, and the size of the files that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Path of the log.
    pub log: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
}

/// Returns all logs in the folder; a log in two halves is listed once, under its final name. A
/// missing folder has no logs.
///
/// # Errors
/// Those of readdir(3).
pub fn list(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found: Vec<Found> = vec![];
    let Some(outer) = open(folder)? else { return Ok(found) };
    for inner_name in outer.names()? {
        if !is_kind(outer.stat_of(&inner_name)?, FileType::Directory) {
            continue;
        }
        let inner = outer.below(Path::new(&inner_name))?;
        for name in inner.names()? {
            let Some(log) = log_of(&name) else { continue };
            // A file that cannot be examined has been removed meanwhile.
            let Ok(Some(stat)) = inner.stat_of(&name) else { continue };
            if !is_kind(Some(stat), FileType::RegularFile) {
                continue;
            }
            let log = folder.join(&inner_name).join(log);
            let bytes = u64::try_from(stat.st_size).unwrap_or(0);
            match found.iter_mut().rev().take(3).find(|other| other.log == log) {
                Some(other) => other.bytes += bytes,
                None => found.push(Found { log, bytes }),
            }
        }
    }
    found.dedup_by(|one, other| one.log == other.log);
    Ok(found)
}

/// Opens the folder of logs; `None` if it is missing or a link.
fn open(folder: &Path) -> io::Result<Option<Folder>> {
    let Some(name) = folder.file_name() else { return Ok(None) };
    let above = match Folder::open(folder_of(folder)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        above => above?,
    };
    match is_kind(above.stat_of(name)?, FileType::Directory) {
        true => above.below(Path::new(name)).map(Some),
        false => Ok(None),
    }
}

fn is_kind(stat: Option<Stat>, kind: FileType) -> bool {
    stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind)
}

/// Returns the name of the log that a file is, or is the older half of, or is about to become a
/// part of.
fn log_of(name: &OsStr) -> Option<OsString> {
    let name = name.to_str()?;
    let name = name.strip_suffix(".1").or_else(|| name.strip_suffix(".new")).unwrap_or(name);
    name.ends_with(".log").then(|| name.into())
}

/// Removes both halves of a log. Returns false if there was none, or if the log is not in this
/// folder.
///
/// # Errors
/// Those of unlink(2), with the path and, for a refusal, the owner of its folder.
pub fn remove(folder: &Path, log: &Path) -> io::Result<bool> {
    let inner = log.parent().filter(|inner| inner.parent() == Some(folder)).and_then(Path::file_name);
    let (Some(inner), Some(name)) = (inner, log.file_name()) else { return Ok(false) };
    if log_of(name).as_deref() != Some(name) {
        return Ok(false);
    }
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{log:?}: {error}"));
    let Some(outer) = open(folder).map_err(failed)? else { return Ok(false) };
    if !is_kind(outer.stat_of(inner).map_err(failed)?, FileType::Directory) {
        return Ok(false);
    }
    let inner = outer.below(Path::new(inner)).map_err(failed)?;
    let with = |suffix: &str| {
        let mut name = name.to_owned();
        name.push(suffix);
        name
    };
    let mut removed = false;
    for name in [name.to_owned(), with(".1"), with(".new")] {
        let gone = inner.remove(&name).map_err(|error| safe_open::with_owner(error, "its folder", inner.stat()));
        removed |= gone.map_err(failed)?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn logs_are_found_and_removed_whole_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("x.db.logs");
        assert_eq!(list(&folder).unwrap(), []);
        fs::create_dir_all(folder.join("0A")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        symlink(dir.path().join("other"), folder.join("0B")).unwrap();
        for name in ["0A/a.log", "0A/a.log.1", "0A/b.log.1", "0A/notes", "0B/c.log", "d.log"] {
            fs::write(folder.join(name), "12345").unwrap();
        }
        symlink("/etc/passwd", folder.join("0A/e.log")).unwrap();
        let log = |name: &str| folder.join("0A").join(name);
        let found = list(&folder).unwrap();
        assert_eq!(found, [Found { log: log("a.log"), bytes: 10 }, Found { log: log("b.log"), bytes: 5 }]);
        assert!(remove(&folder, &log("a.log")).unwrap());
        assert!(!remove(&folder, &log("a.log")).unwrap());
        assert!(!log("a.log.1").exists());
        for other in [log("notes"), folder.join("0B/c.log"), folder.join("d.log"), dir.path().join("x.log")] {
            assert!(!remove(&folder, &other).unwrap());
        }
        assert!(dir.path().join("other/c.log").exists() && log("notes").exists());
    }
}
