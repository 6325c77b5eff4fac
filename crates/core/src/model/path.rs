//! Names of files, without access to the file system.

use std::path::{Path, PathBuf};

/// Returns the path with a suffix: `tasks.db` and `-wal` make `tasks.db-wal`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Suffix of databases that are being created.
pub const UNFINISHED: &str = ".new";

/// Whether this suffix of a database's name marks a database whose creation was interrupted, or a
/// companion file of it. Such files are removed when the database is created.
pub fn is_unfinished(behind: &[u8]) -> bool {
    let read = || {
        let (number, rest) = std::str::from_utf8(behind).ok()?.strip_prefix('.')?.split_once('-')?;
        let (other, kind) = rest.split_once(UNFINISHED)?;
        let has_ids = number.bytes().all(|byte| byte.is_ascii_digit())
            && other.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && !other.is_empty();
        Some(has_ids && ["", "-wal", "-shm", "-journal"].contains(&kind))
    };
    read().unwrap_or(false)
}

/// Returns the folder of a file; `.` for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the standard stream that a path refers to: 1 standard output, 2 standard error; `None`:
/// an ordinary path.
pub fn standard_stream(path: &Path) -> Option<u8> {
    match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(1),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_keeps_its_bytes() {
        let odd = Path::new(OsStr::from_bytes(b"/a/\xff.db"));
        assert_eq!(beside(odd, "-wal").as_os_str().as_bytes(), b"/a/\xff.db-wal");
        assert_eq!(beside(Path::new("t"), ".1"), Path::new("t.1"));
    }

    #[test]
    fn a_stream_has_several_names() {
        let of = |path: &str| standard_stream(Path::new(path));
        assert_eq!((of("/dev/stdout"), of("/dev/stderr"), of("/dev/fd/2")), (Some(1), Some(2), Some(2)));
        assert_eq!((of("/dev/stdin"), of("stdout"), of("/dev/fd/3"), of("/dev/stdout2")), (None, None, None, None));
    }

    #[test]
    fn every_file_is_in_a_folder() {
        for (path, folder) in [("/a/b", "/a"), ("a/b", "a"), ("b", "."), ("./b", "."), ("/b", "/"), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }
}
