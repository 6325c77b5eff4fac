//! Finds the folder of a file by a path that other users may control in part: logs of programs that
//! run as another user, pid files, folders that are created on the way.
//!
//! The path is walked component by component, each from the open descriptor of the previous one. A
//! symbolic link on the way is followed only where no other user can have created it: in a folder
//! of root or of the calling user. So `/var/run/x.pid` is found where `/var/run` leads to `/run`,
//! while a user who replaces a folder of logs by a link to `/etc` cannot cause a file to be created
//! in `/etc`.
//!
//! # After a crash
//! Folders that were created on the way stay.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::Metadata,
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{FileType, Stat, readlinkat},
    process::geteuid,
};

use super::{Folder, Make};
use crate::model::path::folder_of;

/// Symbolic links followed on one path, the same limit as the kernel's.
const LINKS: u32 = 40;

/// The folder of a file.
#[derive(Debug)]
pub struct FileLocation {
    /// The folder, open.
    pub folder: Folder,
    /// The name of the file in it.
    pub name: OsString,
    /// The owner of the folder.
    owner: u32,
    /// Whether users besides root and the calling one can create files in the folder; a group that
    /// may is trusted.
    shared: bool,
}

impl FileLocation {
    /// Opens the folder of a file. `user` is the user that the file will be given to, if any.
    ///
    /// # Errors
    /// Those of open(2); a link on the way that another user controls; for root, if there is a
    /// `user`, a folder on the way that belongs to neither root nor `user`.
    pub fn of(path: &Path, user: Option<u32>) -> io::Result<FileLocation> {
        let name = path.file_name().ok_or_else(|| refused("it is a folder"))?;
        let folder = folder(folder_of(path), user)?;
        let stat = folder.stat()?;
        let shared = !is_trusted(stat.st_uid) || stat.st_mode & 0o002 != 0;
        Ok(FileLocation { folder, name: name.to_owned(), owner: stat.st_uid, shared })
    }

    /// Returns why an existing file must not be written: another user may have created it. `None`:
    /// it may be written.
    pub fn objection(&self, file: &Metadata, user: Option<u32>) -> Option<&'static str> {
        let is_own = is_trusted(file.uid()) || user == Some(file.uid());
        match () {
            () if file.file_type().is_char_device() => None,
            () if !file.is_file() => (!is_own).then_some("owned by another user"),
            () if !self.shared || file.uid() == self.owner && !is_trusted(self.owner) => None,
            () if !is_own => Some("owned by another user, in a folder where others can make files"),
            () if file.nlink() > 1 && user != Some(file.uid()) => {
                Some("it has another name elsewhere (hard link), in a folder where others can make files")
            }
            () => None,
        }
    }

    /// Returns why the existing entry at this place may come from another user. `None`: the place
    /// is free, or holds an entry of the calling user or of `user` that can be written. In a folder
    /// where no other user can create files, every entry is accepted.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn foreign(&self, user: Option<u32>) -> io::Result<Option<&'static str>> {
        let Some(stat) = self.folder.stat_of(&self.name)?.filter(|_| self.shared) else { return Ok(None) };
        let is_own = stat.st_uid == geteuid().as_raw() || user == Some(stat.st_uid);
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => Some("it is a symbolic link"),
            FileType::Directory => Some("it is a folder"),
            FileType::Socket => Some("it is a socket"),
            FileType::RegularFile if is_own && stat.st_nlink > 1 => Some("it has another name elsewhere (hard link)"),
            _ => (!is_own).then_some("owned by another user"),
        })
    }

    /// Returns whether a file can be renamed to this name: the name is free, or is that of a
    /// regular file that may be replaced.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn is_replaceable(&self, name: &OsStr) -> io::Result<Replaceable> {
        let Some(stat) = self.folder.stat_of(name)? else { return Ok(Replaceable::Free) };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        // In a folder such as /tmp only the owner of a file and root may replace it.
        let may = geteuid().is_root() || !self.shared || stat.st_uid == geteuid().as_raw();
        Ok(if is_file && may { Replaceable::File } else { Replaceable::Blocked })
    }
}

/// The entry at the target of a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaceable {
    /// No entry.
    Free,
    /// A file that the rename replaces.
    File,
    /// An entry that cannot be replaced: a folder, a link, a file of another user.
    Blocked,
}

/// Opens a folder; see [`FileLocation::of`].
///
/// # Errors
/// Those of [`FileLocation::of`].
pub fn folder(path: &Path, user: Option<u32>) -> io::Result<Folder> {
    if !geteuid().is_root()
        && let Ok(below) = path.strip_prefix("/")
        && below.components().all(|part| matches!(part, Component::Normal(_)))
        && let Ok(found) = Folder::open(Path::new("/")).and_then(|root| root.below(below))
    {
        // Without any link, in one step.
        return Ok(found);
    }
    let mut way = Way::begin(path, user)?;
    way.walk(None).map_err(|error| way.in_words(error))?;
    Ok(way.folder)
}

/// Whether no other user can change what a path leads to, up to its last name: each folder on the
/// way belongs to root or to the calling user, and other users cannot write to it, or can change
/// only their own entries (as in `/tmp`).
pub fn is_closed(path: &Path) -> bool {
    let walked = Way::begin(folder_of(path), None).and_then(|mut way| way.walk(None).map(|_| way));
    walked.is_ok_and(|way| !way.open)
}

/// Creates a folder and the missing folders above it, each as `make` says. Returns false if the
/// folder existed.
///
/// # Errors
/// Those of [`FileLocation::of`] and of mkdir(2), with the folder that failed.
pub fn make_folder(path: &Path, make: Make) -> Result<bool, (PathBuf, io::Error)> {
    let failed = |error| (path.to_owned(), error);
    let mut way = Way::begin(path, None).map_err(failed)?;
    way.walk(Some(make)).map_err(|error| (way.shown, error))
}

/// A path that is being walked.
struct Way {
    folder: Folder,
    /// Owner and mode of the current folder.
    stat: Stat,
    /// Path of the current folder, for messages.
    shown: PathBuf,
    /// The folders above the current one that were passed.
    above: Vec<(Folder, Stat, PathBuf)>,
    rest: VecDeque<OsString>,
    user: Option<u32>,
    links: u32,
    /// Whether another user can change the content of a folder that was passed.
    open: bool,
}

impl Way {
    fn begin(path: &Path, user: Option<u32>) -> io::Result<Way> {
        let start = Path::new(if path.is_absolute() { "/" } else { "." });
        let folder = Folder::open(start)?;
        let stat = folder.stat()?;
        let rest = parts(path).collect();
        let above = vec![];
        let mut way = Way { folder, stat, shown: start.to_owned(), above, rest, user, links: 0, open: false };
        way.judge().map(|()| way)
    }

    /// Walks to the end of the path. Returns true if the last folder was created. After an error,
    /// `shown` is the path that failed.
    fn walk(&mut self, make: Option<Make>) -> io::Result<bool> {
        let mut made = false;
        while let Some(name) = self.rest.pop_front() {
            if name == ".." {
                self.leave()?;
                continue;
            }
            let shown = self.shown.join(&name);
            let error = match self.folder.below(Path::new(&name)) {
                Ok(next) => {
                    made = false;
                    self.enter(next, shown)?;
                    continue;
                }
                Err(error) => error,
            };
            let there = self.folder.stat_of(&name)?;
            match (there.map(|stat| (FileType::from_raw_mode(stat.st_mode), stat)), make) {
                (Some((FileType::Symlink, stat)), _) => self.follow(&name, &stat, shown)?,
                (None, Some(make)) => {
                    let next = self.folder.below_or_make(&name, make).inspect_err(|_| self.shown.clone_from(&shown));
                    let (next, is_new) = next?;
                    made = is_new;
                    self.enter(next, shown)?;
                }
                (Some(_) | None, _) => {
                    self.shown = shown;
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn enter(&mut self, folder: Folder, shown: PathBuf) -> io::Result<()> {
        let stat = folder.stat()?;
        let above = (
            std::mem::replace(&mut self.folder, folder),
            std::mem::replace(&mut self.stat, stat),
            std::mem::replace(&mut self.shown, shown),
        );
        self.above.push(above);
        self.judge()
    }

    /// Goes to the folder above this one, as it was when it was passed.
    fn leave(&mut self) -> io::Result<()> {
        match self.above.pop() {
            Some((folder, stat, shown)) => (self.folder, self.stat, self.shown) = (folder, stat, shown),
            // Above the root is the root itself.
            None if self.shown == Path::new("/") => {}
            None => return Err(refused("its path goes up (\"..\") from the working directory")),
        }
        Ok(())
    }

    /// Follows a link, unless another user may have created it.
    fn follow(&mut self, name: &OsStr, link: &Stat, shown: PathBuf) -> io::Result<()> {
        let mode = self.stat.st_mode;
        let is_closed = mode & 0o022 == 0;
        // In a folder such as /tmp only the owner of a link can replace it.
        let is_held = is_trusted(link.st_uid) && (mode & 0o002 == 0 || mode & 0o1000 != 0);
        if !is_trusted(self.stat.st_uid) || !(is_closed || is_held) {
            self.shown = shown;
            return Err(refused("it is a symbolic link, in a folder that another user controls"));
        }
        self.links += 1;
        if self.links > LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let target = PathBuf::from(OsString::from_vec(readlinkat(&self.folder, name, Vec::new())?.into_bytes()));
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            self.rest.push_front(part);
        }
        match target.is_absolute() {
            true => {
                let root = Folder::open(Path::new("/"))?;
                self.enter(root, PathBuf::from("/"))?;
                self.above.clear();
                Ok(())
            }
            false => Ok(()),
        }
    }

    /// Records whether others can change the content of the folder. Refuses a folder of a third
    /// user: a path that root writes to for `user` must not depend on other users.
    fn judge(&mut self) -> io::Result<()> {
        let owner = self.stat.st_uid;
        self.open |= !is_trusted(owner) || (self.stat.st_mode & 0o022 != 0 && self.stat.st_mode & 0o1000 == 0);
        if !geteuid().is_root() || is_trusted(owner) || self.user.is_none_or(|user| user == owner) || is_unmapped(owner)
        {
            return Ok(());
        }
        Err(refused(&format!("it belongs to user {owner}, who is neither root nor the user of the program")))
    }

    /// Adds the folder to a refusal by this module.
    fn in_words(&self, error: io::Error) -> io::Error {
        match error.kind() {
            ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
                io::Error::new(ErrorKind::PermissionDenied, format!("{} on the way: {error}", self.shown.display()))
            }
            _ => error,
        }
    }
}

/// Returns the names of a path, including `..`, which may come after a link.
fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

/// Whether a user is root or the calling user.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Whether this is the id under which a user namespace shows users outside it, such as the system's
/// root.
fn is_unmapped(user: u32) -> bool {
    let all = || std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.trim_end().ends_with("4294967295"));
    user == 65534 && !all()
}

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, chown, symlink},
    };

    use super::*;

    fn leads(path: &Path, user: Option<u32>) -> Result<u64, String> {
        folder(path, user).map_err(|error| error.to_string()).map(|folder| folder.stat().unwrap().st_ino)
    }

    #[test]
    fn links_are_followed_where_no_other_user_can_put_them() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(base.join("real/a")).unwrap();
        fs::create_dir(base.join("open")).unwrap();
        for (name, target) in [("l", "real"), ("up", "real/../real"), ("loop", "loop"), ("open/l", "../real")] {
            symlink(target, base.join(name)).unwrap();
        }
        symlink(base.join("real"), base.join("whole")).unwrap();
        let real = fs::metadata(base.join("real/a")).unwrap().ino();
        for path in ["real/a", "l/a", "up/a", "whole/a", "open/l/a", "real/../l/./a"] {
            assert_eq!(leads(&base.join(path), None), Ok(real), "{path}");
        }
        assert!(leads(&base.join("loop/a"), None).is_err());
        assert!(leads(&base.join("none/a"), None).unwrap_err().contains("No such file"));
        fs::set_permissions(base.join("open"), Permissions::from_mode(0o777)).unwrap();
        let error = leads(&base.join("open/l/a"), None).unwrap_err();
        assert!(error.contains("open/l on the way: it is a symbolic link, in a folder that another user"), "{error}");
        fs::set_permissions(base.join("open"), Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(leads(&base.join("open/l/a"), None), Ok(real), "no other user can replace it there");
        if !geteuid().is_root() {
            return;
        }
        chown(base.join("open"), Some(1234), None).unwrap();
        assert!(leads(&base.join("open/l/a"), Some(1234)).is_err());
        fs::create_dir(base.join("open/d")).unwrap();
        assert!(leads(&base.join("open/d"), Some(1234)).is_ok());
        let error = leads(&base.join("open/d"), Some(77)).unwrap_err();
        assert!(error.contains("open on the way: it belongs to user 1234"), "{error}");
    }

    #[test]
    fn folders_are_not_made_through_links_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let make = Make::exactly(0o750, None);
        assert!(make_folder(&base.join("a/b"), make).unwrap());
        assert!(!make_folder(&base.join("a/b"), make).unwrap());
        symlink("a", base.join("l")).unwrap();
        assert!(make_folder(&base.join("l/c"), make).unwrap());
        assert!(base.join("a/c").is_dir());
        fs::set_permissions(&base, Permissions::from_mode(0o777)).unwrap();
        let (path, error) = make_folder(&base.join("l/d"), make).unwrap_err();
        assert_eq!((path, error.kind()), (base.join("l"), ErrorKind::PermissionDenied));
        assert!(!base.join("a/d").exists());
    }
}
