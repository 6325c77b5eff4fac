//! The names of files, without a look at any of them.

use std::path::{Path, PathBuf};

/// The same name in the same place with something behind it, as `tasks.db` and `-wal` make `tasks.db-wal`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How the names of databases end that are being made.
pub const UNFINISHED: &str = ".new";

/// Whether this, behind the name of a database, is one that was not finished, or a file of SQLite's for it. These are
/// removed when the database is made.
pub fn is_unfinished(behind: &[u8]) -> bool {
    let read = || {
        let (number, rest) = std::str::from_utf8(behind).ok()?.strip_prefix('.')?.split_once('-')?;
        let (other, kind) = rest.split_once(UNFINISHED)?;
        let is_ours = number.bytes().all(|byte| byte.is_ascii_digit())
            && other.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && !other.is_empty();
        Some(is_ours && ["", "-wal", "-shm", "-journal"].contains(&kind))
    };
    read().unwrap_or(false)
}

/// The folder it is in; `.` for a name alone.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Which of a program's own streams a path means: 1 its output, 2 its error output; none: it is a path like others.
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
    fn what_is_no_text_keeps_its_bytes() {
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
