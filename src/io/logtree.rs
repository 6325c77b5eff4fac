//! The folder of all logs of a database, `<db>.logs`, with its 256 folders: what lies in it, and taking things away.
//!
//! Nothing outside of it is ever touched, whatever a row says, and no link is followed. The folders stay: a launcher
//! may be about to put its log into one.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// A log as it lies there: the path that rows name, and the files that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The log.
    pub log: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

/// All logs in the folder; of one in two halves, the name that it will have. No folder: no logs.
///
/// # Errors
/// As readdir(3) says.
pub fn list(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found: Vec<Found> = vec![];
    for inner in entries(folder)? {
        if !is_real_dir(&inner) {
            continue;
        }
        for path in entries(&inner)? {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            let Some(log) = log_of(&path).filter(|_| meta.is_file()) else { continue };
            match found.iter_mut().rev().take(3).find(|other| other.log == log) {
                Some(other) => other.bytes += meta.len(),
                None => found.push(Found { log, bytes: meta.len() }),
            }
        }
    }
    found.dedup_by(|one, other| one.log == other.log);
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !is_real_dir(folder) {
        return Ok(vec![]);
    }
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_real_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// The log that a file is, or is the older half of, or that it was to become part of.
fn log_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_suffix(".1").or_else(|| name.strip_suffix(".new")).unwrap_or(name);
    name.ends_with(".log").then(|| path.with_file_name(name))
}

/// Removes a log, both halves of it. False if there was none, or if it is not one of this folder.
///
/// # Errors
/// As unlink(2) says.
pub fn remove(folder: &Path, log: &Path) -> io::Result<bool> {
    let inner = log.parent().filter(|inner| inner.parent() == Some(folder));
    let ours =
        inner.is_some_and(|inner| is_real_dir(folder) && is_real_dir(inner)) && log_of(log).as_deref() == Some(log);
    if !ours {
        return Ok(false);
    }
    let with = |suffix: &str| {
        let mut path = log.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let mut removed = false;
    for path in [log.to_owned(), with(".1"), with(".new")] {
        match fs::remove_file(path) {
            Ok(()) => removed = true,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
