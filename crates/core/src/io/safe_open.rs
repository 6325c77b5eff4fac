//! Opens, creates, renames and removes files in folders that other users own or can write to.
//!
//! Such a folder can change at any time between a check and its use: a file becomes a symbolic link
//! to `/etc/shadow`, a folder becomes a link to `/etc`, a pipe takes the place of a log. No
//! function here therefore checks a path and then opens the same path. A [`Folder`] is an open
//! descriptor, and files below it are opened relative to that descriptor. No symbolic link is
//! followed on the way, no `..` is accepted, and the type and owner are read from the opened file.
//!
//! Where the kernel or a sandbox refuses `openat2`, folders are opened one by one with
//! `O_NOFOLLOW`, with the same results.
//!
//! A refusal by this module has the kind [`ErrorKind::PermissionDenied`] and a text ("it is a
//! symbolic link, which is not followed", "it is a pipe", "it belongs to user 1000"). All other
//! errors are those of the system.

pub mod reach;

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileTypeExt, fs::MetadataExt},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chmod, chownat, fchmod, fchown, fstat,
        mkdirat, openat, openat2, renameat, statat, unlinkat,
    },
    io::Errno,
};

use crate::model::path::folder_of;

/// Attempts at a step that another process can undo (a file that is removed and recreated all the
/// time).
const TRIES: usize = 16;

/// How a file is opened. The default reads an existing regular file of any owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct How<'a> {
    /// Open for appending instead of reading.
    pub append: bool,
    /// Open for reading and writing in place.
    pub update: bool,
    /// Create a missing file; without it, a missing file is [`ErrorKind::NotFound`].
    pub make: Option<Make>,
    /// Truncate the file after its type and owner were checked.
    pub truncate: bool,
    /// User ids that may own the file; empty for any.
    pub owners: &'a [u32],
    /// Accept character devices and pipes of these owners besides regular files. Opening never
    /// waits for the other end of a pipe.
    pub special: bool,
}

/// How a file or folder is created.
#[derive(Clone, Copy, Debug)]
pub struct Make {
    /// The mode.
    pub mode: u32,
    /// Set exactly this mode, regardless of the umask.
    pub exact: bool,
    /// User and group that a newly created file is given to. The owner of an existing file is never
    /// changed.
    pub owner: Option<(u32, u32)>,
}

impl Make {
    /// Returns a file or folder with exactly this mode, given to this user and group.
    pub const fn exactly(mode: u32, owner: Option<(u32, u32)>) -> Make {
        Make { mode, exact: true, owner }
    }
}

/// An opened file.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// The metadata read from the open file; for a file created here, from before its owner was
    /// changed.
    pub metadata: Metadata,
    /// Whether this call created the file.
    pub made: bool,
}

/// An open folder. Later changes of the names above do not affect which files it reaches.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Folder {
    /// Opens a folder by a trusted path (a database's own folder, or one that a configuration of
    /// the same user names). Links on the way are followed.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder { fd: openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a folder by an absolute path, one component after the other, without following links.
    /// `check` is called with the root, each folder on the way and the last one, each already open,
    /// and may refuse any of them because of its owner or mode.
    ///
    /// # Errors
    /// Those of open(2) and of `check`; a link or `..` on the way; a relative path.
    pub fn walk(path: &Path, check: &mut dyn FnMut(&Path, &Stat) -> io::Result<()>) -> io::Result<Folder> {
        let mut so_far = PathBuf::from("/");
        let mut folder = Folder::open(&so_far)?;
        let below = path.strip_prefix("/").map_err(|_| refused("it is not an absolute path"))?;
        check(&so_far, &fstat(&folder.fd)?)?;
        for name in names(below)? {
            folder = Folder { fd: folder.step(name)? };
            so_far.push(name);
            check(&so_far, &fstat(&folder.fd)?)?;
        }
        Ok(folder)
    }

    /// Opens a folder below this one without following links.
    ///
    /// # Errors
    /// Those of open(2); a link on the way, `..` or an absolute path.
    pub fn below(&self, relative: &Path) -> io::Result<Folder> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok(Folder { fd: self.resolve(relative, flags, Mode::empty())? })
    }

    /// Opens a folder directly in this one and creates it if missing. Returns true if this call
    /// created it.
    ///
    /// # Errors
    /// Those of mkdir(2) and open(2); a link of that name.
    pub fn below_or_make(&self, name: &OsStr, make: Make) -> io::Result<(Folder, bool)> {
        let name = single(name)?;
        match self.step(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return Ok((Folder { fd: other? }, false)),
        }
        match mkdirat(&self.fd, name, Mode::from_raw_mode(make.mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok((Folder { fd: self.step(name)? }, false)),
            Err(error) => return Err(error.into()),
        }
        // Open for reading: fchmod(2) does not work on an `O_PATH` descriptor.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            // The umask left the owner without the right to read the folder.
            Err(Errno::ACCESS) => self.step(name)?,
            fd => fd.map_err(|error| self.explain(Path::new(name), error))?,
        };
        // Another user may have replaced the folder since: a replacement is not given away.
        if fstat(&fd)?.st_uid != rustix::process::geteuid().as_raw() {
            return Ok((Folder { fd }, false));
        }
        finish_making(fd.as_fd(), make)?;
        Ok((Folder { fd }, true))
    }

    /// Returns the owner, mode and identity of this folder.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(fstat(&self.fd)?)
    }

    /// Returns the status of the entry with this name directly in this folder, without following a
    /// link. `None`: no such entry.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn stat_of(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.fd, single(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the sorted names in this folder.
    ///
    /// # Errors
    /// Those of readdir(3).
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = vec![];
        // An `O_PATH` descriptor cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in Dir::new(openat(&self.fd, ".", flags, Mode::empty())?)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a file below this folder. No link is followed, opening never blocks, and type and
    /// owner of the opened file are checked before use.
    ///
    /// # Errors
    /// Those of open(2); a link on the way or as the last name; any other type than a regular file;
    /// an owner that is not accepted.
    pub fn open_file(&self, relative: &Path, how: &How<'_>) -> io::Result<Opened> {
        let access = match (how.append, how.update) {
            (true, _) => OFlags::WRONLY | OFlags::APPEND,
            (false, true) => OFlags::RDWR,
            (false, false) => OFlags::RDONLY,
        };
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY;
        for _ in 0..TRIES {
            match self.resolve(relative, flags, Mode::empty()) {
                Err(error) if error.kind() == ErrorKind::NotFound && how.make.is_some() => {}
                other => return checked(File::from(other?), how),
            }
            let Some(make) = how.make else { break };
            match self.resolve(relative, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(make.mode)) {
                // Another process created the file first: check it like any existing file.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(fd) => {
                    let file = File::from(fd);
                    let metadata = file.metadata()?;
                    finish_making(file.as_fd(), make)?;
                    return Ok(Opened { file, metadata, made: true });
                }
            }
        }
        Err(refused("it is removed and recreated all the time"))
    }

    /// Removes the entry with this name directly in this folder, without following a link. Returns
    /// false if there was none.
    ///
    /// # Errors
    /// Those of unlink(2); the entry is a folder.
    pub fn remove(&self, name: &OsStr) -> io::Result<bool> {
        match unlinkat(&self.fd, single(name)?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames an entry within this folder.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.fd, single(from)?, &self.fd, single(to)?)?)
    }

    /// Opens a path of one or more names, without following links and without leaving this folder.
    fn resolve(&self, relative: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let names = names(relative)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match names[..] {
            // A single name has no folders on the way.
            [name] => openat(&self.fd, name, flags, mode),
            _ => openat2(&self.fd, relative, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS),
        };
        match opened {
            Ok(fd) => Ok(fd),
            // An old kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::AGAIN) if names.len() > 1 => {
                self.resolve_by_steps(&names, flags, mode)
            }
            Err(error) => Err(self.explain(relative, error)),
        }
    }

    fn resolve_by_steps(&self, names: &[&OsStr], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let (last, above) = names.split_last().ok_or(ErrorKind::InvalidInput)?;
        let mut folder: Option<Folder> = None;
        for name in above {
            folder = Some(Folder { fd: folder.as_ref().unwrap_or(self).step(name)? });
        }
        let folder = folder.as_ref().unwrap_or(self);
        openat(&folder.fd, *last, flags, mode).map_err(|error| folder.explain(Path::new(last), error))
    }

    /// Opens a folder directly in this one.
    fn step(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty()).map_err(|error| self.explain(Path::new(name), error))
    }

    /// Returns the system's error, or a clearer one: the system reports a single link as "too many
    /// levels of symbolic links", a link to a folder as "not a directory", and a pipe as "no such
    /// device or address".
    fn explain(&self, relative: &Path, error: Errno) -> io::Error {
        if !matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::NXIO | Errno::ISDIR) {
            return error.into();
        }
        // Only for the text: no decision depends on this check.
        let there = statat(&self.fd, relative, AtFlags::SYMLINK_NOFOLLOW);
        match (error, there.map(|stat| FileType::from_raw_mode(stat.st_mode))) {
            (_, Ok(FileType::Symlink)) => refused(LINK),
            (Errno::LOOP, _) => refused("a symbolic link on the way to it is not followed"),
            (Errno::NXIO, Ok(FileType::Fifo)) => refused("it is a pipe"),
            (Errno::NXIO, Ok(FileType::Socket)) => refused("it is a socket"),
            (Errno::ISDIR, _) => refused("it is a folder"),
            _ => error.into(),
        }
    }
}

/// Opens a regular file by a path whose folder is trusted: only the last name must not be a link.
///
/// # Errors
/// Those of [`Folder::open_file`].
pub fn open_file(path: &Path, how: &How<'_>) -> io::Result<Opened> {
    let name = path.file_name().ok_or_else(|| refused("it is a folder"))?;
    Folder::open(folder_of(path))?.open_file(Path::new(name), how)
}

/// Adds the owner of the file or folder to a refusal by the system; `what` names the file or
/// folder.
pub fn with_owner(error: io::Error, what: &str, stat: io::Result<Stat>) -> io::Error {
    match stat {
        Ok(stat) if error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_some() => {
            io::Error::new(error.kind(), format!("{error}; {what} belongs to {}", user(stat.st_uid)))
        }
        Ok(_) | Err(_) => error,
    }
}

/// Returns the text for a user.
fn user(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("user {uid}") }
}

/// The accepted owners of files beside a database, and the owner that new ones get.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// The owner of the database, and this user. Beside the database of another user, root does not
    /// trust files of root: such a file may be a hard link to any file of root.
    pub owners: [u32; 2],
    /// User and group of the database, if root creates files beside the database of another user.
    /// Without the right to write to them, that user could not use the database any more.
    pub give: Option<(u32, u32)>,
}

impl Beside {
    /// Returns the owners for the database of this path; a missing database counts as this user's.
    pub fn of(db: &Path) -> Beside {
        let me = rustix::process::geteuid();
        let owner = std::fs::metadata(db).ok().map(|meta| (meta.uid(), meta.gid()));
        let (uid, _) = owner.unwrap_or((me.as_raw(), 0));
        Beside {
            owners: [uid, if me.is_root() { uid } else { me.as_raw() }],
            give: owner.filter(|_| me.is_root() && uid != me.as_raw()),
        }
    }

    /// Refuses a file or folder of another owner.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`], with the owner.
    pub fn check(&self, stat: &Stat) -> io::Result<()> {
        match self.owners.contains(&stat.st_uid) {
            true => Ok(()),
            false => Err(refused(&format!("it belongs to {}", user(stat.st_uid)))),
        }
    }
}

const LINK: &str = "it is a symbolic link, which is not followed";

fn refused(why: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why.to_owned())
}

/// Returns the names of a relative path, without `.`; at least one.
fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let name = |component: Component<'_>| match component {
        Component::Normal(_) | Component::CurDir => Ok(()),
        Component::ParentDir => Err(refused("its path goes up (\"..\")")),
        Component::RootDir | Component::Prefix(_) => Err(refused("its path does not begin in the folder")),
    };
    path.components().try_for_each(name)?;
    Ok(path.iter().filter(|name| *name != ".").collect())
}

/// Returns the name if it is one name and not a path.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    match names(Path::new(name))?[..] {
        [only] if only == name => Ok(name),
        _ => Err(refused("it is not the name of a file")),
    }
}

/// Returns the type of a file that is not a regular file, as text; `None` for a regular file.
pub fn kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_symlink() => Some("a symbolic link, which is not followed"),
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

fn checked(file: File, how: &How<'_>) -> io::Result<Opened> {
    let metadata = file.metadata()?;
    let is_special = metadata.file_type().is_char_device() || metadata.file_type().is_fifo();
    if let Some(kind) = kind(&metadata).filter(|_| !(how.special && is_special)) {
        return Err(refused(&format!("it is {kind}")));
    }
    if !how.owners.is_empty() && !how.owners.contains(&metadata.uid()) {
        return Err(refused(&format!("it belongs to {}", user(metadata.uid()))));
    }
    if how.truncate && metadata.is_file() {
        file.set_len(0)?;
    }
    Ok(Opened { file, metadata, made: false })
}

/// Sets mode and owner of a newly created file. The owner can use the file regardless of the
/// umask.
fn finish_making(fd: BorrowedFd<'_>, make: Make) -> io::Result<()> {
    let for_owner = make.mode & 0o700;
    if make.exact {
        set_mode(fd, make.mode)?;
    } else {
        let mode = fstat(fd)?.st_mode & 0o7777;
        if mode & for_owner != for_owner {
            set_mode(fd, mode | for_owner)?;
        }
    }
    if let Some((uid, gid)) = make.owner {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match fchown(fd, uid, gid) {
            Err(Errno::BADF) => chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH)?,
            done => done?,
        }
    }
    Ok(())
}

/// Sets the mode of an open file, also of an `O_PATH` descriptor.
fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match fchmod(fd, mode) {
        Err(Errno::BADF) => Ok(chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)?),
        done => Ok(done?),
    }
}

/// Restores the owner's right to read and write a file, in case the umask removed it when the file
/// was created.
///
/// # Errors
/// Those of fstat(2) and fchmod(2).
pub fn keep_for_owner(file: &File) -> io::Result<()> {
    let mode = fstat(file)?.st_mode & 0o7777;
    if mode & 0o600 != 0o600 {
        set_mode(file.as_fd(), mode | 0o600)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{Read, Write},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    const APPEND: How<'_> = How {
        append: true,
        update: false,
        make: Some(Make::exactly(0o600, None)),
        truncate: false,
        owners: &[],
        special: false,
    };

    fn base() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::write(dir.path().join("a/b/file"), "text").unwrap();
        fs::write(dir.path().join("other/file"), "secret").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    fn why(result: io::Result<Opened>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn files_below_are_read_and_appended_to() {
        let (dir, folder) = base();
        let mut text = String::new();
        folder.open_file(Path::new("a/./b/file"), &How::default()).unwrap().file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let mut opened = folder.open_file(Path::new("a/b/file"), &APPEND).unwrap();
        opened.file.write_all(b" and more").unwrap();
        assert!(!opened.made);
        assert_eq!(fs::read_to_string(dir.path().join("a/b/file")).unwrap(), "text and more");
        let opened = folder.open_file(Path::new("a/b/new"), &APPEND).unwrap();
        assert!(opened.made && opened.metadata.permissions().mode() & 0o7777 == 0o600);
        let empty = How { truncate: true, ..APPEND };
        assert_eq!(folder.open_file(Path::new("a/b/file"), &empty).unwrap().file.metadata().unwrap().len(), 0);
        let missing = folder.open_file(Path::new("a/b/none"), &How::default()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(open_file(&dir.path().join("a/b/none"), &How::default()).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn no_link_is_followed_on_the_way_or_at_its_end() {
        let (dir, folder) = base();
        symlink("../other", dir.path().join("a/way")).unwrap();
        symlink("../../other/file", dir.path().join("a/b/end")).unwrap();
        for how in [How::default(), APPEND] {
            assert!(why(folder.open_file(Path::new("a/way/file"), &how)).contains("link on the way"));
            assert!(why(folder.open_file(Path::new("a/b/end"), &how)).contains("it is a symbolic link"));
            assert!(why(open_file(&dir.path().join("a/b/end"), &how)).contains("it is a symbolic link"));
        }
        for below in ["a/way", "a/way/.", "a/../other", "/etc", ".."] {
            folder.below(Path::new(below)).unwrap_err();
        }
        assert!(why(folder.open_file(Path::new("a/../other/file"), &How::default())).contains("goes up"));
        assert!(why(folder.open_file(Path::new("/etc/passwd"), &How::default())).contains("does not begin"));
        folder.below(Path::new("a")).unwrap().below_or_make(OsStr::new("way"), Make::exactly(0o700, None)).unwrap_err();
        assert!(folder.below(Path::new("a/b")).unwrap().remove(OsStr::new("end")).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("other/file")).unwrap(), "secret");
    }

    #[test]
    fn folders_opened_one_by_one_give_the_same_answers() {
        let (dir, folder) = base();
        symlink("../other", dir.path().join("a/way")).unwrap();
        let steps =
            |path: &str| folder.resolve_by_steps(&names(Path::new(path)).unwrap(), OFlags::NOFOLLOW, Mode::empty());
        steps("a/b/file").unwrap();
        assert_eq!(steps("a/b/none").unwrap_err().kind(), ErrorKind::NotFound);
        assert!(steps("a/way/file").unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn only_regular_files_of_the_owners_named_are_accepted() {
        let (dir, folder) = base();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        for (name, words) in [("pipe", "a pipe"), ("socket", "a socket"), ("a", "a folder")] {
            for how in [How::default(), APPEND] {
                assert!(why(folder.open_file(Path::new(name), &how)).contains(words), "{name}");
            }
        }
        // With a reader at its other end too.
        let reader = folder.open_file(Path::new("pipe"), &How { special: true, ..How::default() }).unwrap();
        assert!(why(folder.open_file(Path::new("pipe"), &APPEND)).contains("a pipe"));
        folder.open_file(Path::new("pipe"), &How { special: true, ..APPEND }).unwrap();
        drop(reader);
        let me = rustix::process::geteuid().as_raw();
        fn of(owners: &[u32]) -> How<'_> {
            How { owners, special: true, truncate: true, ..APPEND }
        }
        let (accepted, foreign) = ([me, 4_000_000], [4_000_000]);
        folder.open_file(Path::new("a/b/new"), &of(&accepted)).unwrap();
        for name in ["a/b/file", "pipe"] {
            let _reader = folder.open_file(Path::new(name), &How { special: true, ..How::default() }).unwrap();
            let refused = why(folder.open_file(Path::new(name), &of(&foreign)));
            assert_eq!(refused, format!("it belongs to {}", user(me)));
        }
        assert_eq!(fs::read_to_string(dir.path().join("a/b/file")).unwrap(), "text", "refused before it was emptied");
    }

    #[test]
    fn new_entries_get_mode_and_owner_and_existing_ones_keep_them() {
        let (dir, folder) = base();
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let owner = if me.0 == 0 { (77, 78) } else { me };
        let make = Make::exactly(0o750, Some(owner));
        let of = |name: &str| {
            let meta = fs::symlink_metadata(dir.path().join(name)).unwrap();
            (meta.mode() & 0o7777, meta.uid(), meta.gid())
        };
        let before = of("a");
        let (_, made) = folder.below_or_make(OsStr::new("a"), make).unwrap();
        assert!(!made && of("a") == before);
        let (made_folder, made) = folder.below_or_make(OsStr::new("made"), make).unwrap();
        assert!(made && of("made") == (0o750, owner.0, owner.1));
        made_folder.open_file(Path::new("x"), &How { make: Some(make), ..APPEND }).unwrap();
        assert_eq!(of("made/x"), (0o750, owner.0, owner.1));
        made_folder.rename(OsStr::new("x"), OsStr::new("y")).unwrap();
        assert_eq!(made_folder.names().unwrap(), ["y"]);
        assert_eq!(folder.below(Path::new("made")).unwrap().names().unwrap(), ["y"]);
        assert!(made_folder.stat_of(OsStr::new("x")).unwrap().is_none());
        assert!(made_folder.remove(OsStr::new("y")).unwrap() && !made_folder.remove(OsStr::new("y")).unwrap());
        for name in ["", ".", "..", "a/b", "/"] {
            folder.remove(OsStr::new(name)).unwrap_err();
        }
    }

    #[test]
    fn a_walk_checks_each_folder() {
        let (dir, _) = base();
        let real = fs::canonicalize(dir.path()).unwrap();
        symlink("a", real.join("way")).unwrap();
        let mut seen = vec![];
        Folder::walk(&real.join("a/b"), &mut |path, _| {
            seen.push(path.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!((seen.first().unwrap().as_path(), seen.last().unwrap()), (Path::new("/"), &real.join("a/b")));
        let mut see_all = |_: &Path, _: &Stat| Ok(());
        Folder::walk(&real.join("way/b"), &mut see_all).unwrap_err();
        Folder::walk(Path::new("a/b"), &mut see_all).unwrap_err();
        let refuse = Folder::walk(&real.join("a/b"), &mut |path, _| {
            if path.ends_with("a") { Err(ErrorKind::PermissionDenied.into()) } else { Ok(()) }
        });
        assert_eq!(refuse.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
