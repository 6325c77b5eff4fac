//! Configuration files and the folders that a configuration names: reading, matching patterns,
//! examining, creating.
//!
//! The meaning of the files is not known here.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::libc;

use super::safe_open::{self, Make, reach};
use crate::model::config::{Access, PathKind};

/// Largest configuration file, in bytes; a file of ten thousand programs has about two million.
const LARGEST: u64 = 16 << 20;

/// Reads a regular file; the returned owner and mode are those of the file that was read. A
/// configuration is read at each reload and checked often, but a pipe returns its content only once
/// and may block its reader: pipes are refused.
///
/// # Errors
/// Those of open(2) and read(2); another type than a regular file; more than 16 MiB.
pub fn read(path: &Path) -> io::Result<(Vec<u8>, Access)> {
    let refused = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if let Some(kind) = safe_open::kind(&meta) {
        return Err(refused(&format!("it is {kind}, not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(refused("it is longer than 16 MiB"));
    }
    Ok((bytes, Access { mode: meta.mode(), uid: meta.uid(), gid: meta.gid() }))
}

/// Whether an entry with this name exists, even a dangling link.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Returns a value that changes when the file does.
pub fn stamp(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    Some(format!("{}:{}:{}.{}", meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Returns the path with all links resolved; `None` if it leads nowhere.
pub fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// Returns the type of what a path leads to, following links.
pub fn kind(path: &Path) -> PathKind {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => PathKind::Directory,
        Ok(meta) if meta.is_file() => PathKind::File,
        Ok(_) => PathKind::Stream,
        Err(_) => PathKind::Missing,
    }
}

/// Why the matching files cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// The pattern is invalid.
    #[error("invalid file pattern {0}: {1}")]
    Pattern(String, &'static str),
    /// A folder cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Folder(PathBuf, io::Error),
}

/// Returns the files that match a pattern, sorted, without folders. Hidden files (an editor's
/// copies) match only if the pattern names their leading dot. The prefix `literal` of the pattern
/// is taken literally.
///
/// # Errors
/// [`MatchError`]
pub fn matching(pattern: &Path, literal: &Path) -> Result<Vec<PathBuf>, MatchError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let whole = match pattern.strip_prefix(literal) {
        Ok(rest) => format!("{}/{}", glob::Pattern::escape(text(literal).trim_end_matches('/')), text(rest)),
        Err(_) => text(pattern),
    };
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let found = glob::glob_with(&whole, options).map_err(|error| MatchError::Pattern(text(pattern), error.msg))?;
    let mut files = Vec::new();
    for path in found {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => files.push(path),
            Err(error) => return Err(MatchError::Folder(error.path().to_owned(), error.into())),
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Creates a folder and the missing folders above it, each with mode 0750 and the given owner (user
/// and group). Returns false if the folder existed.
///
/// # Errors
/// Those of mkdir(2), chown(2) and chmod(2), with the folder; a link on the way that another user
/// controls.
pub fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<bool, (PathBuf, io::Error)> {
    if path.is_dir() {
        return Ok(false);
    }
    reach::make_folder(path, Make::exactly(0o750, owner))
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, io::ErrorKind, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn patterns_are_those_of_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("a[b]*");
        fs::create_dir_all(here.join("conf.d/folder.toml")).unwrap();
        for name in ["b.toml", "a.toml", ".#a.toml", "c.txt"] {
            fs::write(here.join("conf.d").join(name), "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = matching(&here.join(pattern), &here).unwrap();
            found.iter().map(|path| path.strip_prefix(&here).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("conf.d/*.toml"), ["conf.d/a.toml", "conf.d/b.toml"]);
        assert_eq!(names("conf.d/.#a.toml"), ["conf.d/.#a.toml"]);
        assert_eq!(names("conf.d/[bc].*"), ["conf.d/b.toml", "conf.d/c.txt"]);
        assert_eq!(names("conf.d/a.toml"), ["conf.d/a.toml"]);
        assert_eq!(names("*.toml"), [""; 0]);
        assert_eq!(names("no/*"), [""; 0]);
        let error = matching(&here.join("x[y"), &here).unwrap_err().to_string();
        assert!(error.starts_with("invalid file pattern "), "{error}");
    }

    #[test]
    fn missing_folders_above_are_created_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        assert!(make_folder(&deep, None).unwrap());
        for folder in [&deep, deep.parent().unwrap()] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o7777, 0o750);
        }
        assert!(!make_folder(&deep, None).unwrap());
        fs::write(deep.join("f"), "").unwrap();
        let (path, _) = make_folder(&deep.join("f/g"), None).unwrap_err();
        assert_eq!(path, deep.join("f"));
    }

    #[test]
    fn type_and_content_of_a_path_are_returned() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let (bytes, access) = read(&file).unwrap();
        assert_eq!((bytes.as_slice(), access.mode & 0o7777), (b"text".as_slice(), 0o640));
        assert_eq!(kind(&file), PathKind::File);
        assert_eq!(kind(dir.path()), PathKind::Directory);
        assert_eq!(kind(Path::new("/dev/null")), PathKind::Stream);
        assert_eq!(kind(&file.join("x")), PathKind::Missing);
        assert_eq!(read(dir.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(real(&dir.path().join("./f")), Some(fs::canonicalize(&file).unwrap()));
        assert_eq!(real(&file.join("x")), None);
    }

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let why = |path: &Path| read(path).unwrap_err().to_string();
        assert_eq!(why(&pipe), "it is a pipe, not a regular file", "opening it does not wait for a writer");
        assert_eq!(why(Path::new("/dev/zero")), "it is a device, not a regular file");
        let long = dir.path().join("long");
        fs::File::create(&long).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(why(&long), "it is longer than 16 MiB");
    }
}
