//! The files beside a database: their owners, and disk blocks for the shared memory of its users.
//!
//! SQLite reads the WAL and a journal into the database and follows a link in their place. In a
//! folder that others can write to, another user may have planted such a file, so its owner is
//! checked before SQLite opens anything.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl, posix_fallocate},
    libc,
    unistd::geteuid,
};

use super::{
    Result, StoreError,
    error::{DISK_FULL, FILE_LIMIT},
};
use crate::model::path::beside;

/// Facts about a database file that are read without opening it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// Device and inode.
    pub file: (u64, u64),
    /// User and group.
    pub owner: (u32, u32),
    mode: u32,
    /// Block size of the file system, in bytes.
    block: u64,
}

impl Identity {
    /// Reads the identity; `None` if there is no such file.
    pub fn of(path: &Path) -> Option<Identity> {
        let meta = fs::metadata(path).ok()?;
        Some(Identity {
            file: (meta.dev(), meta.ino()),
            owner: (meta.uid(), meta.gid()),
            mode: meta.mode() & 0o777,
            block: meta.blksize(),
        })
    }

    /// Whether a file beside the database may be used: it belongs to the owner of the database, to
    /// this user, or to a user that the mode of the database permits to write. Root does not trust
    /// a file for being root's: in a folder of another user it may be a hard link to any file of
    /// root.
    fn trusts(&self, meta: &Metadata) -> bool {
        let me = geteuid();
        meta.uid() == self.owner.0
            || (meta.uid() == me.as_raw() && !me.is_root())
            || self.mode & 0o002 != 0
            || (self.mode & 0o020 != 0 && meta.gid() == self.owner.1)
    }
}

/// Checks the files beside a database and allocates its shared memory; returns whether there is a
/// WAL.
///
/// # Errors
/// [`StoreError::Companion`], [`StoreError::NotAFile`] for a file beside the database;
/// [`StoreError::Full`]
pub(super) fn check(path: &Path, identity: &Identity) -> Result<bool> {
    let mut has_wal = false;
    for suffix in ["-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        let meta = match fs::symlink_metadata(&file) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::Io(file, "look at", error)),
        };
        if !meta.is_file() {
            let kind = if meta.is_symlink() { "a symbolic link" } else { "not a regular file" };
            return Err(StoreError::NotAFile(file, kind));
        }
        if !identity.trusts(&meta) {
            return Err(StoreError::Companion(file, meta.uid(), identity.owner.0));
        }
        has_wal |= suffix == "-wal";
    }
    reserve_shm(path, identity)?;
    Ok(has_wal)
}

/// Step in bytes in which SQLite extends its shared memory, writing one byte of each: with smaller
/// blocks the rest of a step is not allocated.
const PAGE: u64 = 4096;
/// Bytes of shared memory that are allocated in advance: two of SQLite's regions, which hold the
/// index of 8158 pages of WAL. A WAL is copied back long before.
const SHM: u64 = 64 << 10;
/// The byte of the shared memory file that SQLite locks while it has it open (`UNIX_SHM_DMS` of its
/// `os_unix.c`).
const IN_USE: libc::off_t = 128;

/// Files of shared memory with allocated blocks. They stay open: closing one would release all
/// locks that SQLite has on it in this process.
static RESERVED: Mutex<Vec<((u64, u64), File)>> = Mutex::new(vec![]);

/// Allocates the shared memory of a database on a file system with small blocks. SQLite writes one
/// byte of each 4 KiB and maps the file; a later store to it ends the process with SIGBUS if the
/// disk is full.
///
/// The first program that opens a database empties this file, which would free the blocks. So this
/// function does the work of the first program, in place, and holds SQLite's lock for "in use" from
/// then on.
fn reserve_shm(path: &Path, identity: &Identity) -> Result<()> {
    if identity.block >= PAGE {
        return Ok(());
    }
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let shm = beside(path, "-shm");
    let there = fs::symlink_metadata(&shm).map(|meta| (meta.dev(), meta.ino())).ok();
    if reserved.iter().any(|(file, _)| Some(*file) == there) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(identity.mode);
    let file = match options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(&shm) {
        Ok(file) => file,
        // A process that cannot write the file cannot extend it either; SQLite reports the error.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            return Ok(());
        }
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            return Err(StoreError::Full(path.to_owned(), "open", DISK_FULL));
        }
        Err(error) => return Err(StoreError::Io(shm, "open", error)),
    };
    let allocated = allocate(&file, there.is_none().then_some(identity.owner));
    if let Ok(meta) = file.metadata() {
        reserved.push(((meta.dev(), meta.ino()), file));
    }
    match allocated {
        Ok(()) => Ok(()),
        Err(Errno::ENOSPC | Errno::EDQUOT) => Err(StoreError::Full(path.to_owned(), "open", DISK_FULL)),
        Err(Errno::EFBIG) => Err(StoreError::Full(path.to_owned(), "open", FILE_LIMIT)),
        Err(error) => Err(StoreError::Io(shm, "reserve room for", error.into())),
    }
}

fn allocate(file: &File, new_owner: Option<(u32, u32)>) -> nix::Result<()> {
    if let Some((uid, gid)) = new_owner
        && geteuid().is_root()
    {
        // SQLite also gives files that root creates to the owner of the database.
        std::os::unix::fs::fchown(file, Some(uid), Some(gid)).map_err(errno)?;
    }
    let lock = |kind: i32| libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: IN_USE,
        l_len: 1,
        l_pid: 0,
    };
    let is_first = match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK))) {
        Ok(_) => true,
        Err(Errno::EAGAIN | Errno::EACCES) => false,
        Err(error) => return Err(error),
    };
    let len = file.metadata().map_err(errno)?.len();
    if is_first && len > 0 {
        // Without its header SQLite rebuilds the index from the WAL.
        let zeros = vec![0; usize::try_from(len).unwrap_or(0)];
        file.write_all_at(&zeros, 0).map_err(errno)?;
    }
    let to_offset = |bytes: u64| libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
    let allocated = posix_fallocate(file, 0, to_offset(len.max(SHM)));
    // Held for as long as the file is open.
    fcntl(file, FcntlArg::F_OFD_SETLKW(&lock(libc::F_RDLCK)))?;
    allocated
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{LockTimeout, Store},
        *,
    };

    #[test]
    fn shared_memory_is_allocated_on_file_systems_with_small_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        drop(Store::open_or_create(&path, LockTimeout::USUAL).unwrap());
        let shm = beside(&path, "-shm");
        let small = Identity { block: 1024, ..Identity::of(&path).unwrap() };
        for before in [vec![], vec![7; 5], vec![7; 32 << 10], vec![7; 100 << 10]] {
            let _ = fs::remove_file(&shm);
            if !before.is_empty() {
                fs::write(&shm, &before).unwrap();
            }
            check(&path, &small).unwrap();
            check(&path, &small).unwrap();
            let store = Store::open(&path, LockTimeout::USUAL).unwrap();
            assert_eq!(store.task_numbers().unwrap().len(), 0);
            let meta = fs::metadata(&shm).unwrap();
            assert!(meta.len() >= SHM && meta.blocks() * 512 >= SHM, "SQLite has not emptied it");
        }
    }

    #[test]
    fn files_beside_a_database_are_trusted_by_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        drop(Store::open_or_create(&path, LockTimeout::USUAL).unwrap());
        let own = Identity::of(&path).unwrap();
        assert!(check(&path, &own).unwrap());
        // With the identity of a database of another user.
        let other = Identity { owner: (own.owner.0 + 4_000_000, own.owner.1), ..own };
        if geteuid().is_root() {
            assert!(matches!(check(&path, &other), Err(StoreError::Companion(..))));
        } else {
            check(&path, &other).unwrap();
        }
        check(&path, &Identity { mode: 0o660, ..other }).unwrap();
        check(&path, &Identity { mode: 0o606, ..other }).unwrap();
        let wal = beside(&path, "-wal");
        fs::rename(&wal, dir.path().join("w")).unwrap();
        std::os::unix::fs::symlink("w", &wal).unwrap();
        assert!(matches!(check(&path, &own), Err(StoreError::NotAFile(file, _)) if file == wal));
        assert!(Store::open(&path, LockTimeout::USUAL).unwrap_err().to_string().contains("a symbolic link"));
    }
}
