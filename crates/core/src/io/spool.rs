//! The spool beside the database: one 4 KiB slot for each live task.
//!
//! The spool holds what cannot wait for a locked or full database. A launcher that cannot record an
//! end writes the end into the slot of its task and exits; every reader of the database finds the
//! launcher dead, looks here, and records the end. `control kill` writes its request into the slot
//! too, so that a locked or full database never keeps a task alive. A task reports on itself here
//! while it runs, without a write to the database.
//!
//! A slot belongs to the task whose row names it. Records that another task left there are
//! recognized by their UPID.
//!
//! The spool consists of files of 256 slots each: `DATABASE-spool`, and beyond 256 live tasks
//! `DATABASE-spool.1`, `DATABASE-spool.2` and so on. The kernel searches all locks of a file for each
//! query of one, so one file for thousands of tasks would make a query thousands of times slower.
//! Version 0.1 of taskwatcher kept all slots in the first file. Its launchers that still run are
//! read there and get their requests there too.
//!
//! A launcher holds a lock on its slot from its claim to its exit. The lock is an
//! open-file-description lock (fcntl(2)), which the kernel releases however the process ends. This
//! sign of life needs no `/proc`: it is visible from any pid namespace, under any boot id and to
//! any user who may read the spool. The second byte of the slot is locked too once the task has
//! reported on itself, so that a list of thousands of tasks reads only the slots with a report.
//!
//! # If the process dies here
//!
//! The blocks are allocated before the command starts, so a full disk cannot lose the record. A
//! half-written record fails its checksum and is ignored. Nothing is ever erased: the end of the
//! row frees the slot.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::safe_open::{self, Beside, Folder, How, Make};
use crate::model::{
    path::{beside, folder_of},
    task::{Asker, End, Process, Signal},
};

/// Bytes of a slot: one disk block.
const SLOT: u64 = 4096;
/// Slots of a file.
const SLOTS_OF_FILE: i64 = 256;
/// Files that a reader keeps open at once, at least: far below the usual limit of 1,024 descriptors.
const OPEN_FILES: usize = 64;
/// Bytes of the end record in a slot; the request and the report have the rest.
const RECORD: u64 = 3072;
/// Bytes of a request; the report has the rest.
const REQUEST: u64 = 512;
/// Longest reason, in characters. A longer one is cut, so that the record always fits (JSON may
/// escape each byte to six).
const LONGEST_REASON: usize = 120;

/// A request of `control kill` to a launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The process that asks.
    pub by: Asker,
    /// The signal to send; `None` for the task's own stop signal.
    pub signal: Option<Signal>,
}

/// What a task reported on itself to its launcher besides its feedback file (`sd_notify`), or what
/// a worker reported on itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SelfReport {
    /// Last heartbeat, in unix nanoseconds.
    pub beat: Option<i64>,
    /// Whether the task reported that it is ready.
    pub ready: bool,
    /// The reported status text.
    pub status: String,
    /// Progress in percent.
    pub progress: Option<f64>,
    /// Processes of the task that the launcher was not permitted to end; `status` names them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Process>,
    /// Whether the task is paused by a signal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

#[derive(Serialize, Deserialize)]
struct Address {
    listens: String,
}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    upid: String,
    content: T,
}

/// The lock of a launcher on its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whether the task has reported on itself, so that [`Spool::report_of`] is worth a read.
    pub has_report: bool,
}

/// Which spool a process has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// The spool of this database.
    This,
    /// Only that of another database, with this path.
    Other(PathBuf),
    /// No spool, or the open files cannot be seen.
    Unknown,
}

/// One open file of the spool.
#[derive(Debug)]
struct SpoolFile {
    number: i64,
    file: Arc<File>,
    /// Whether this process locked a slot of the file: closing the file would unlock the slot.
    locked: bool,
}

/// A slot in its file.
struct SlotPlace {
    file: Arc<File>,
    /// Offset of the slot in the file, in bytes.
    offset: u64,
}

/// The open spool of one database.
#[derive(Debug)]
pub struct Spool {
    db: PathBuf,
    /// Whether missing files are created.
    create: bool,
    /// Ordered by number.
    parts: RwLock<Vec<SpoolFile>>,
}

impl Spool {
    /// Returns the path of the first file of this database's spool.
    pub fn path(db: &Path) -> PathBuf {
        beside(db, "-spool")
    }

    /// Returns the path of the file that contains a slot.
    ///
    /// # Errors
    /// The slot is negative.
    pub fn path_of(db: &Path, slot: i64) -> io::Result<PathBuf> {
        Ok(path_of_part(db, part_of(slot)?))
    }

    /// Opens the spool, creating it if asked to, readable by its owner only, regardless of the
    /// umask. Files beyond the first are opened, or created, when a slot in them is used.
    ///
    /// In a folder where others can write, a file could be planted: its owner must be the owner
    /// of the database or this user, and no link is followed. A file created by root is given to
    /// the owner of the database.
    ///
    /// # Errors
    /// Those of the file system; a refusal names the path and the owner.
    pub fn open(db: &Path, create: bool) -> io::Result<Spool> {
        let first = SpoolFile { number: 0, file: Arc::new(open_part(db, 0, create)?), locked: false };
        Ok(Spool { db: db.to_owned(), create, parts: RwLock::new(vec![first]) })
    }

    /// Returns the slot in its file, which is opened if necessary.
    fn place(&self, slot: i64, create: bool) -> io::Result<SlotPlace> {
        let number = part_of(slot)?;
        let file = self.part(number, create)?;
        let offset = u64::try_from(slot % SLOTS_OF_FILE).map_err(io::Error::other)? * SLOT;
        Ok(SlotPlace { file, offset })
    }

    fn part(&self, number: i64, create: bool) -> io::Result<Arc<File>> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(at) = parts.binary_search_by_key(&number, |part| part.number) {
            return Ok(Arc::clone(&parts[at].file));
        }
        drop(parts);
        let file = Arc::new(open_part(&self.db, number, create)?);
        let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
        if parts.len() >= OPEN_FILES {
            parts.retain(|part| part.locked);
        }
        match parts.binary_search_by_key(&number, |part| part.number) {
            // Another thread was faster.
            Ok(at) => Ok(Arc::clone(&parts[at].file)),
            Err(at) => {
                parts.insert(at, SpoolFile { number, file: Arc::clone(&file), locked: false });
                Ok(file)
            }
        }
    }

    /// Returns where version 0.1 kept a slot, if that is another place than today.
    fn old_place(&self, slot: i64) -> Option<SlotPlace> {
        if slot < SLOTS_OF_FILE {
            return None;
        }
        Some(SlotPlace { file: self.part(0, false).ok()?, offset: u64::try_from(slot).ok()?.checked_mul(SLOT)? })
    }

    /// Locks a slot for as long as this descriptor of its file is open in any process.
    /// `Ok(false)`: another process holds the lock.
    ///
    /// # Errors
    /// Where the file system has no locks.
    pub fn hold(&self, slot: i64) -> io::Result<bool> {
        let place = self.place(slot, self.create)?;
        let locked = place.lock(0)?;
        if locked {
            let number = part_of(slot)?;
            let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
            parts.iter_mut().filter(|part| part.number == number).for_each(|part| part.locked = true);
        }
        Ok(locked)
    }

    /// Unlocks each slot that is locked through this spool.
    pub fn release(&self) {
        let all = libc::flock { l_type: lock_type(libc::F_UNLCK), l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        for part in self.parts.write().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // A lock that cannot be released now is released when the descriptor is closed.
            let _ = fcntl(&*part.file, FcntlArg::F_OFD_SETLK(&all));
            part.locked = false;
        }
    }

    /// Returns how a launcher holds this slot; `None` if the slot is not held.
    ///
    /// # Errors
    /// Where the file system has no locks; [`ErrorKind::NotFound`] if there is no file for the slot.
    pub fn held(&self, slot: i64) -> io::Result<Option<Held>> {
        let place = self.place(slot, false)?;
        let mut lock = flock_of(place.offset, 1)?;
        fcntl(&*place.file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok((lock.l_type != lock_type(libc::F_UNLCK)).then_some(Held { has_report: lock.l_len != 1 }))
    }

    /// Continues with an inherited descriptor of the file that contains this slot, and the locks on
    /// it.
    ///
    /// # Errors
    /// The slot is negative.
    pub fn take_over(fd: OwnedFd, db: &Path, slot: i64) -> io::Result<Spool> {
        let part = SpoolFile { number: part_of(slot)?, file: Arc::new(fd.into()), locked: true };
        Ok(Spool { db: db.to_owned(), create: true, parts: RwLock::new(vec![part]) })
    }

    /// Returns the file that contains a slot, for [`Spool::take_over`].
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn file_of(&self, slot: i64) -> io::Result<Arc<File>> {
        Ok(self.place(slot, self.create)?.file)
    }

    /// Returns which spool a process has open.
    pub fn use_by(&self, pid: i32) -> Use {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Use::Unknown };
        let mut other = Use::Unknown;
        for open in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let Ok(target) = fs::read_link(&open) else { continue };
            let Some((db, number)) = database_and_part(target.as_os_str().as_bytes()) else { continue };
            let own = self.part(number, false).and_then(|file| file.metadata());
            // Through the descriptor: the name may lead to another file by now.
            let is_own = |own: &fs::Metadata| {
                fs::metadata(&open).is_ok_and(|meta| (meta.dev(), meta.ino()) == (own.dev(), own.ino()))
            };
            if own.as_ref().is_ok_and(is_own) {
                return Use::This;
            }
            other = Use::Other(PathBuf::from(OsStr::from_bytes(db)));
        }
        other
    }

    /// Allocates the disk blocks of a slot.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn reserve(&self, slot: i64) -> io::Result<()> {
        let SlotPlace { file, offset } = self.place(slot, self.create)?;
        let end = offset + SLOT;
        let have = file.metadata()?.len();
        if have >= end {
            return Ok(());
        }
        // From the present end of the file, so that no earlier slot is ever a hole.
        let as_i64 = |n: u64| i64::try_from(n).map_err(io::Error::other);
        nix::fcntl::posix_fallocate(&*file, as_i64(have)?, as_i64(end - have)?)?;
        Ok(())
    }

    /// Notes an end that is about to be recorded in the database. If the process dies before that,
    /// readers find the end here and guess nothing. The note is not flushed, so it does not survive
    /// a loss of power.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_end(&self, slot: i64, upid: &str, end: &End) -> io::Result<()> {
        let mut end = end.clone();
        end.shorten(LONGEST_REASON);
        self.place(slot, self.create)?.write(0, RECORD, upid, &end)
    }

    /// Writes an end durably.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn leave_end(&self, slot: i64, upid: &str, end: &End) -> io::Result<()> {
        self.note_end(slot, upid, end)?;
        self.place(slot, self.create)?.file.sync_data()
    }

    /// Returns the end that was left for this task, if any.
    pub fn end_of(&self, slot: i64, upid: &str) -> Option<End> {
        self.read(slot, 0, RECORD, upid)
    }

    /// Notes the address at which this task's launcher is notified of a request, for processes to
    /// which its pid means nothing. The address uses the place of the end, which is written only
    /// once no request is accepted any more.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn note_address(&self, slot: i64, upid: &str, address: &str) -> io::Result<()> {
        self.place(slot, self.create)?.write(0, RECORD, upid, &Address { listens: address.to_owned() })
    }

    /// Returns where this task's launcher listens, if it has noted an address and no end.
    pub fn address_of(&self, slot: i64, upid: &str) -> Option<String> {
        self.read(slot, 0, RECORD, upid).map(|address: Address| address.listens)
    }

    /// Leaves a request for this task's launcher.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn leave_request(&self, slot: i64, upid: &str, request: &Request) -> io::Result<()> {
        if let Some(old) = self.old_place(slot)
            && old.file.metadata()?.len() > old.offset
        {
            old.write(RECORD, REQUEST, upid, request)?;
        }
        self.place(slot, self.create)?.write(RECORD, REQUEST, upid, request)
    }

    /// Returns the request that was left for this task, if any.
    pub fn request_of(&self, slot: i64, upid: &str) -> Option<Request> {
        self.read(slot, RECORD, REQUEST, upid)
    }

    /// Publishes what a task reported on itself; a status that does not fit is cut.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_report(&self, slot: i64, upid: &str, story: &SelfReport) -> io::Result<()> {
        let place = self.place(slot, self.create)?;
        let mut story = story.clone();
        loop {
            let written = place.write(RECORD + REQUEST, SLOT - RECORD - REQUEST, upid, &story);
            // Where the file system has no locks, readers always read the report.
            let _ = written.is_ok() && place.lock(1).is_ok();
            match written {
                // Halved each time: JSON may have expanded one byte to six.
                Err(error) if error.kind() == ErrorKind::FileTooLarge && !story.status.is_empty() => {
                    story.status = story.status.chars().take(story.status.chars().count() / 2).collect();
                }
                other => return other,
            }
        }
    }

    /// Returns what this task reported on itself, if anything.
    pub fn report_of(&self, slot: i64, upid: &str) -> Option<SelfReport> {
        self.read(slot, RECORD + REQUEST, SLOT - RECORD - REQUEST, upid)
    }

    /// Reads the record of this task at an offset of its slot.
    fn read<T: DeserializeOwned>(&self, slot: i64, at: u64, room: u64, upid: &str) -> Option<T> {
        let record = self.place(slot, false).ok().and_then(|place| place.read(at, room, upid));
        record.or_else(|| self.old_place(slot)?.read(at, room, upid))
    }
}

impl SlotPlace {
    /// Locks the byte at this offset of the slot. `Ok(false)`: another process holds the lock.
    fn lock(&self, at: u64) -> io::Result<bool> {
        let lock = flock_of(self.offset + at, 1)?;
        match fcntl(&*self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, at: u64, room: u64, upid: &str, content: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(&Record { upid: upid.to_owned(), content }).map_err(io::Error::other)?;
        let mut bytes = format!("{:016x} {:08x} ", checksum(&json), json.len()).into_bytes();
        bytes.extend_from_slice(&json);
        if bytes.len() as u64 > room {
            let why = format!("a record of {} bytes does not fit its slot", bytes.len());
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        self.file.write_all_at(&bytes, self.offset + at)
    }

    fn read<T: DeserializeOwned>(&self, at: u64, room: u64, upid: &str) -> Option<T> {
        let mut bytes = vec![0; usize::try_from(room).ok()?];
        let mut len = 0;
        while len < bytes.len() {
            match self.file.read_at(&mut bytes[len..], self.offset + at + len as u64) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        // Never written: most slots have no report, and a list reads thousands of slots.
        if bytes[0] == 0 {
            return None;
        }
        let head = std::str::from_utf8(bytes.get(..26)?).ok()?;
        let sum = u64::from_str_radix(head.get(..16)?, 16).ok()?;
        let len = usize::from_str_radix(head.get(17..25)?, 16).ok()?;
        let json = bytes.get(26..26usize.checked_add(len)?)?;
        let record: Record<T> = (checksum(json) == sum).then(|| serde_json::from_slice(json).ok()).flatten()?;
        (record.upid == upid).then_some(record.content)
    }
}

fn flock_of(at: u64, length: i64) -> io::Result<libc::flock> {
    let start = i64::try_from(at).map_err(io::Error::other)?;
    Ok(libc::flock { l_type: lock_type(libc::F_WRLCK), l_whence: 0, l_start: start, l_len: length, l_pid: 0 })
}

fn lock_type(kind: i32) -> i16 {
    // The constants are 0, 1 and 2.
    i16::try_from(kind).unwrap_or_default()
}

/// Returns the number of the file that contains a slot.
fn part_of(slot: i64) -> io::Result<i64> {
    match slot {
        0.. => Ok(slot / SLOTS_OF_FILE),
        ..0 => Err(io::Error::other("slot out of range")),
    }
}

fn path_of_part(db: &Path, number: i64) -> PathBuf {
    match number {
        0 => Spool::path(db),
        _ => beside(db, &format!("-spool.{number}")),
    }
}

fn open_part(db: &Path, number: i64, create: bool) -> io::Result<File> {
    let path = path_of_part(db, number);
    let beside = Beside::of(db);
    let make = create.then_some(Make::exactly(0o600, beside.give));
    let how = How { update: true, make, owners: &beside.owners, ..How::default() };
    match safe_open::open_file(&path, &how) {
        Ok(opened) => Ok(opened.file),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let folder = Folder::open(folder_of(&path));
            let stat = folder.and_then(|folder| folder.stat_of(path.file_name().unwrap_or_default()));
            let stat = stat.and_then(|stat| stat.ok_or(ErrorKind::NotFound.into()));
            let error = safe_open::with_owner(error, "it", stat);
            Err(io::Error::new(ErrorKind::PermissionDenied, format!("{path:?}: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// Returns the path of the database and the number of the file, if an open file with this name is
/// one of a spool.
fn database_and_part(name: &[u8]) -> Option<(&[u8], i64)> {
    const SPOOL: &[u8] = b"-spool";
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    if let Some(db) = name.strip_suffix(SPOOL) {
        return Some((db, 0));
    }
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let number = std::str::from_utf8(&name[dot + 1..]).ok()?.parse().ok()?;
    Some((name[..dot].strip_suffix(SPOOL)?, number))
}

/// FNV-1a: detects a torn record; it is not a protection against tampering.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::task::{Outcome, Stored, Timestamp};

    fn spool() -> (tempfile::TempDir, Spool) {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(&dir.path().join("x.db"), true).unwrap();
        (dir, spool)
    }

    fn end(reason: &str) -> End {
        End::new(&Outcome::Error(reason.into()), Timestamp::from_secs(7), None)
    }

    #[test]
    fn an_end_comes_back_for_its_own_task_only() {
        let (_dir, spool) = spool();
        spool.reserve(3).unwrap();
        assert_eq!(spool.end_of(3, "a"), None);
        spool.leave_end(3, "a", &end("why")).unwrap();
        assert_eq!(spool.end_of(3, "a"), Some(end("why")));
        assert_eq!(spool.end_of(3, "b"), None, "left by another task");
        assert_eq!(spool.end_of(2, "a"), None);
        assert_eq!(spool.end_of(99, "a"), None, "beyond the file");
    }

    #[test]
    fn a_slot_is_held_by_one_descriptor_until_that_is_closed() {
        let (dir, spool) = spool();
        let path = dir.path().join("x.db");
        let other = Spool::open(&path, false).unwrap();
        let (silent, has_report) = (Some(Held { has_report: false }), Some(Held { has_report: true }));
        assert_eq!(other.held(3).unwrap(), None);
        assert!(spool.hold(3).unwrap() && spool.hold(5).unwrap());
        assert_eq!([3, 4, 5].map(|slot| other.held(slot).unwrap()), [silent, None, silent]);
        assert!(!other.hold(3).unwrap(), "one launcher a slot");
        spool.write_report(5, "a", &SelfReport::default()).unwrap();
        assert_eq!([3, 4, 5].map(|slot| other.held(slot).unwrap()), [silent, None, has_report]);
        spool.release();
        assert_eq!(other.held(5).unwrap(), None);
        assert!(other.hold(3).unwrap());
        drop(other);
        assert_eq!(spool.held(3).unwrap(), None, "gone with its descriptor");
    }

    #[test]
    fn more_than_256_slots_are_kept_in_further_files() {
        let (dir, spool) = spool();
        let db = dir.path().join("x.db");
        let further = dir.path().join("x.db-spool.2");
        let reader = Spool::open(&db, false).unwrap();
        assert_eq!(reader.held(600).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(spool.hold(600).unwrap());
        spool.reserve(600).unwrap();
        assert_eq!(fs::metadata(&further).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Spool::path_of(&db, 600).unwrap(), further);
        spool.leave_end(600, "a", &end("why")).unwrap();
        assert_eq!(reader.held(600).unwrap(), Some(Held { has_report: false }));
        assert_eq!(reader.end_of(600, "a"), Some(end("why")));
        assert_eq!([600 - 512, 600 - 256].map(|slot| reader.end_of(slot, "a")), [None, None]);
        assert!(spool.part(1, true).is_ok() && reader.held(-1).is_err());
        drop(Spool::take_over(spool.file_of(600).unwrap().try_clone().unwrap().into(), &db, 600).unwrap());
        assert_eq!(reader.held(600).unwrap(), Some(Held { has_report: false }), "the first descriptor holds it");
    }

    #[test]
    fn a_lock_outlasts_the_files_that_a_spool_closes_to_open_others() {
        let (dir, spool) = spool();
        let reader = Spool::open(&dir.path().join("x.db"), false).unwrap();
        assert!(spool.hold(300).unwrap());
        for part in 2..2 * i64::try_from(OPEN_FILES).unwrap() {
            spool.reserve(part * SLOTS_OF_FILE).unwrap();
        }
        assert!(spool.parts.read().unwrap().len() <= OPEN_FILES);
        assert!(reader.held(300).unwrap().is_some());
        spool.release();
        assert!(reader.held(300).unwrap().is_none());
    }

    #[test]
    fn a_slot_of_version_0_1_is_read_and_asked_where_its_launcher_looks() {
        let (dir, spool) = spool();
        let first = File::options().write(true).open(Spool::path(&dir.path().join("x.db"))).unwrap();
        let old = SlotPlace { file: Arc::new(first), offset: 300 * SLOT };
        old.write(0, RECORD, "a", &end("why")).unwrap();
        assert_eq!(spool.end_of(300, "a"), Some(end("why")));
        let request = Request { by: Asker::Control { user: "u".into(), pid: 5 }, signal: None };
        spool.leave_request(300, "a", &request).unwrap();
        let there = SlotPlace { file: spool.part(0, false).unwrap(), offset: 300 * SLOT };
        assert_eq!(there.read(RECORD, REQUEST, "a"), Some(request.clone()));
        let before = there.file.metadata().unwrap().len();
        spool.leave_request(301, "b", &request).unwrap();
        assert_eq!(there.file.metadata().unwrap().len(), before, "no new slot in the first file");
    }

    #[test]
    fn the_database_of_an_open_spool_is_recognized_by_the_name() {
        let of = |name: &'static str| database_and_part(name.as_bytes());
        assert_eq!(of("/a/x.db-spool"), Some((&b"/a/x.db"[..], 0)));
        assert_eq!(of("/a/x.db-spool (deleted)"), Some((&b"/a/x.db"[..], 0)));
        assert_eq!(of("/a/x.db-spool.17 (deleted)"), Some((&b"/a/x.db"[..], 17)));
        for other in ["", "/a/x.db", "/a/x.db-spool.", "/a/x.db-spool.x", "/a/x.db-spool.1.2", "/a/spool.1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_torn_record_counts_as_none() {
        let (_dir, spool) = spool();
        spool.reserve(0).unwrap();
        spool.leave_end(0, "a", &end("why")).unwrap();
        spool.part(0, false).unwrap().write_all_at(b"?", 60).unwrap();
        assert_eq!(spool.end_of(0, "a"), None);
        spool.part(0, false).unwrap().write_all_at(&[0xff; 30], 0).unwrap();
        assert_eq!(spool.end_of(0, "a"), None);
    }

    #[test]
    fn the_longest_reason_fits() {
        let (_dir, spool) = spool();
        spool.reserve(0).unwrap();
        let hostile = "\u{1}".repeat(100_000);
        for reason in [hostile, "é\"".repeat(50_000)] {
            let mut end = end(&reason);
            end.ended_by = Some(Stored::Text(reason));
            spool.leave_end(0, &"u".repeat(300), &end).unwrap();
            assert!(spool.end_of(0, &"u".repeat(300)).unwrap().outcome.text().ends_with('…'));
        }
    }

    #[test]
    fn a_request_leaves_the_end_alone() {
        let (_dir, spool) = spool();
        spool.reserve(1).unwrap();
        spool.leave_end(1, "a", &end("why")).unwrap();
        let request = Request { by: Asker::Control { user: "u".into(), pid: 5 }, signal: Some(Signal::KILL) };
        spool.leave_request(1, "a", &request).unwrap();
        assert_eq!(spool.request_of(1, "a"), Some(request));
        assert_eq!(spool.end_of(1, "a"), Some(end("why")));
    }

    #[test]
    fn an_address_is_not_an_end_and_is_replaced_by_it() {
        let (_dir, spool) = spool();
        spool.reserve(1).unwrap();
        spool.note_address(1, "a", "@x").unwrap();
        assert_eq!((spool.address_of(1, "a").as_deref(), spool.end_of(1, "a")), (Some("@x"), None));
        assert_eq!(spool.address_of(1, "b"), None);
        spool.leave_end(1, "a", &end("why")).unwrap();
        assert_eq!((spool.address_of(1, "a"), spool.end_of(1, "a")), (None, Some(end("why"))));
    }

    #[test]
    fn a_report_leaves_the_other_records_alone_and_is_cut_to_fit() {
        let (_dir, spool) = spool();
        spool.reserve(1).unwrap();
        spool.leave_end(1, "a", &end("why")).unwrap();
        assert_eq!(spool.report_of(1, "a"), None);
        let mut story = SelfReport {
            beat: Some(7),
            ready: true,
            status: "copying".into(),
            progress: Some(12.5),
            ..SelfReport::default()
        };
        spool.write_report(1, "a", &story).unwrap();
        assert_eq!((spool.report_of(1, "a"), spool.report_of(1, "b")), (Some(story.clone()), None));
        story.status = "\u{1}é".repeat(10_000);
        spool.write_report(1, &"u".repeat(255), &story).unwrap();
        let cut = spool.report_of(1, &"u".repeat(255)).unwrap().status;
        assert!(!cut.is_empty() && story.status.starts_with(&cut));
        assert_eq!(spool.end_of(1, "a"), Some(end("why")));
    }

    #[test]
    fn blocks_are_allocated_ahead_and_links_are_refused() {
        use std::os::unix::fs::MetadataExt;
        let (dir, spool) = spool();
        spool.reserve(7).unwrap();
        let meta = spool.part(0, false).unwrap().metadata().unwrap();
        assert!(meta.blocks() * 512 >= 8 * SLOT);
        assert_eq!(meta.mode() & 0o777, 0o600);
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("y.db-spool")).unwrap();
        Spool::open(&dir.path().join("y.db"), true).unwrap_err();
    }
}
