//! The names of files, without a look at any of them.

use std::path::{Path, PathBuf};

/// The same name in the same place with something behind it, as `tasks.db` and `-wal` make `tasks.db-wal`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder it is in; `.` for a name alone.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
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
    fn every_file_is_in_a_folder() {
        for (path, folder) in [("/a/b", "/a"), ("a/b", "a"), ("b", "."), ("./b", "."), ("/b", "/"), ("/", ".")] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path}");
        }
    }
}
