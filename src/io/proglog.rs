//! One log file of a program: appended to from run to run, and rotated when it has reached its size
//! limit.
//!
//! No error of the log stops the program: output that a full disk does not accept is counted and
//! reported in the file once writing works again. Lines are never cut in two. Several shims may
//! have the same file open for a moment, when one run follows another; so each checks before any
//! change that its file still has its name.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use memchr::{memchr2, memrchr2};
use nix::{libc, unistd::geteuid};

use super::safe_open::{
    How, Make,
    reach::{self, Replaceable},
};
use crate::model::path::standard_stream;

/// Longest line that stays in one file, in bytes: binary output or an endless line must not grow
/// without limit.
const LONGEST_LINE: usize = 64 << 10;

/// Path, limits and owner of a program log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLogSpec {
    /// The path.
    pub path: PathBuf,
    /// Longest file in bytes; 0 for no limit.
    pub max: u64,
    /// Number of older files that are kept, as `path.1` and so on; with 0 the file is emptied
    /// instead.
    pub backups: u32,
    /// Whether only the owner may read the file.
    pub private: bool,
    /// User and group of the file, if they are not those of this process.
    pub owner: Option<(u32, u32)>,
}

/// The open file.
#[derive(Debug)]
pub struct ProgLog {
    place: ProgramLogSpec,
    file: Option<File>,
    /// Device and inode.
    identity: (u64, u64),
    /// Whether it is a regular file, as opposed to a device or a pipe.
    regular: bool,
    /// Bytes written of a line that has not ended yet.
    open_line: usize,
    lost: u64,
    why: String,
    /// Errors that were not reported yet.
    trouble: Vec<String>,
    /// Whether rotation failed: it is retried, and reported once.
    stuck: bool,
    /// Whether an entry in the place of an older file was reported.
    blocked: bool,
}

impl ProgLog {
    /// Opens the file, creating it if it is missing.
    ///
    /// # Errors
    /// Those of open(2); a link; a file of another user in a folder where other users can create
    /// files.
    pub fn open(place: ProgramLogSpec) -> io::Result<ProgLog> {
        let mut log = ProgLog {
            place,
            file: None,
            identity: (0, 0),
            regular: true,
            open_line: 0,
            lost: 0,
            why: String::new(),
            trouble: vec![],
            stuck: false,
            blocked: false,
        };
        log.open_file()?;
        Ok(log)
    }

    /// Applies a change of the limits or of the path.
    pub fn change(&mut self, place: ProgramLogSpec) {
        let moved = place.path != self.place.path;
        self.place = place;
        if moved {
            self.reopen();
        }
    }

    /// Opens the path again: the former file may have been moved.
    pub fn reopen(&mut self) {
        self.file = None;
        if let Err(error) = self.open_file() {
            self.note(&format!("cannot open log {}: {error}", self.place.path.display()));
        }
    }

    /// Appends output of the program.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, turn) = self.next_piece(bytes);
            if piece > 0 {
                self.append(&bytes[..piece]);
                bytes = &bytes[piece..];
            }
            if turn && let Err(error) = self.turn_over() {
                if !self.stuck {
                    self.stuck = true;
                    self.note(&format!("cannot rotate log {}: {error}", self.place.path.display()));
                }
                self.empty_when_too_long();
                if !bytes.is_empty() {
                    self.append(bytes);
                }
                return;
            }
        }
    }

    /// Empties a log that cannot be rotated once it has twice its maximum size: the limit protects
    /// the disk.
    fn empty_when_too_long(&mut self) {
        let Some(file) = &self.file else { return };
        let size = file.metadata().map_or(0, |meta| meta.len());
        if size < self.place.max.saturating_mul(2) || file.set_len(0).is_err() {
            return;
        }
        self.open_line = 0;
        self.append(format!("[{size} bytes were dropped here: the log cannot be rotated]\n").as_bytes());
    }

    /// Whether a newly opened log would continue in the same way as this one.
    pub fn is_settled(&self) -> bool {
        self.lost == 0 && self.open_line == 0 && self.trouble.is_empty()
    }

    /// Returns the errors since the last call, each once.
    pub fn trouble(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trouble)
    }

    fn note(&mut self, line: &str) {
        self.trouble.push(line.to_owned());
    }

    /// Returns how many of these bytes go into the current file, and whether the file is rotated
    /// afterwards.
    fn next_piece(&mut self, bytes: &[u8]) -> (usize, bool) {
        let size = self.look();
        if self.place.max == 0 || !self.regular || size.saturating_add(bytes.len() as u64) <= self.place.max {
            return (bytes.len(), false);
        }
        let room = usize::try_from(self.place.max.saturating_sub(size)).unwrap_or(usize::MAX).min(bytes.len());
        if let Some(end) = last_end(bytes, room) {
            return (end, true);
        }
        if self.open_line == 0 && size > 0 {
            return (0, true);
        }
        // A line that is longer than the limit, or has already begun, is completed first, up to the
        // longest line.
        let room = LONGEST_LINE.saturating_sub(self.open_line).min(bytes.len());
        match first_end(bytes, room) {
            Some(end) => (end, end < bytes.len()),
            None if room < bytes.len() => (room, true),
            None => (bytes.len(), false),
        }
    }

    /// Returns the length of the file. If the path leads to another file by now, that one is
    /// opened.
    fn look(&mut self) -> u64 {
        let there = fs::metadata(&self.place.path).ok();
        if let Some(meta) = there.filter(|meta| self.file.is_some() && (meta.dev(), meta.ino()) == self.identity) {
            return meta.len();
        }
        self.file = None;
        if let Err(error) = self.open_file() {
            self.why = error.to_string();
        }
        self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len())
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.lost > 0 {
            let notice = format!("[{} bytes of output lost here: {}]\n", self.lost, self.why);
            if self.put(notice.as_bytes()).is_err() {
                self.lost += bytes.len() as u64;
                return;
            }
            self.note(&format!(
                "{} bytes of output were lost from log {}: {}",
                self.lost,
                self.place.path.display(),
                self.why
            ));
            self.lost = 0;
        }
        match self.put(bytes) {
            Ok(()) => match memrchr2(b'\n', b'\r', bytes) {
                Some(end) => self.open_line = bytes.len() - end - 1,
                None => self.open_line = self.open_line.saturating_add(bytes.len()),
            },
            Err((error, written)) => {
                if self.lost == 0 && self.why != error.to_string() {
                    self.note(&format!("cannot write log {}: {error}", self.place.path.display()));
                }
                self.why = error.to_string();
                self.lost += (bytes.len() - written) as u64;
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let Some(file) = &mut self.file else { return Err((io::Error::other(self.why.clone()), 0)) };
        let mut written = 0;
        while written < bytes.len() {
            match file.write(&bytes[written..]) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
                Ok(len) => written += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err((error, written)),
            }
        }
        Ok(())
    }

    /// Renames `path` to `path.1`, and so on; the oldest file is dropped. Without backups the file
    /// is emptied.
    fn turn_over(&mut self) -> io::Result<()> {
        if self.place.backups == 0 {
            self.file.as_ref().ok_or(ErrorKind::NotFound)?.set_len(0)?;
            (self.stuck, self.open_line) = (false, 0);
            return Ok(());
        }
        let place = reach::FileLocation::of(&self.place.path, self.user())?;
        let there = place.folder.stat_of(&place.name)?;
        if there.is_none_or(|stat| (stat.st_dev, stat.st_ino) != self.identity) {
            // The path leads to another file by now, which is left alone.
            self.file = None;
            return self.open_file();
        }
        if !self.shift(&place)? {
            self.file.as_ref().ok_or(ErrorKind::NotFound)?.set_len(0)?;
        } else {
            self.file = None;
            self.open_file()?;
        }
        (self.stuck, self.open_line) = (false, 0);
        Ok(())
    }

    /// Renames each older file to the next number, up to the first free one, and the log itself to
    /// the first number. Returns false if every number is blocked by an entry that is not a log.
    fn shift(&mut self, place: &reach::FileLocation) -> io::Result<bool> {
        let mut names = vec![place.name.clone()];
        for number in 1..=self.place.backups {
            let mut name = place.name.clone();
            name.push(format!(".{number}"));
            match place.is_replaceable(&name)? {
                Replaceable::Free => {
                    names.push(name);
                    break;
                }
                Replaceable::File => names.push(name),
                Replaceable::Blocked if self.blocked => {}
                Replaceable::Blocked => {
                    self.blocked = true;
                    let (name, log) = (Path::new(&name).display(), self.place.path.display());
                    self.note(&format!("{name} cannot be replaced by an older log: {log} skips this number"));
                }
            }
        }
        for pair in names.windows(2).rev() {
            match place.folder.rename(&pair[0], &pair[1]) {
                // Another run of the program renamed it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done?,
            }
        }
        Ok(names.len() > 1)
    }

    fn open_file(&mut self) -> io::Result<()> {
        if let Some(stream) = standard_stream(&self.place.path) {
            // An inherited stream has no name and is never rotated.
            self.file = Some(open_stream(stream)?);
            self.regular = false;
            return Ok(());
        }
        let place = reach::FileLocation::of(&self.place.path, self.user())?;
        let owner = self.place.owner.filter(|_| geteuid().is_root());
        let make = match self.place.private {
            true => Make::exactly(0o600, owner),
            false => Make { mode: 0o666, exact: false, owner },
        };
        let how = How { append: true, make: Some(make), special: true, ..How::default() };
        let opened = place.folder.open_file(Path::new(&place.name), &how)?;
        let meta = opened.metadata;
        if let Some(why) = place.objection(&meta, self.user()).filter(|_| !opened.made) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, why));
        }
        self.regular = meta.is_file();
        self.identity = (meta.dev(), meta.ino());
        self.file = Some(opened.file);
        Ok(())
    }

    /// Returns the user that the file is given to.
    fn user(&self) -> Option<u32> {
        self.place.owner.map(|(uid, _)| uid)
    }
}

/// Empties a log in place: processes that have it open continue with it. `user` is its owner, if it
/// was given to one.
///
/// # Errors
/// Those of open(2); a link in its place, or on the way where another user controls it.
pub fn truncate(path: &Path, user: Option<u32>) -> io::Result<()> {
    let place = reach::FileLocation::of(path, user)?;
    let opened =
        place.folder.open_file(Path::new(&place.name), &How { append: true, special: true, ..How::default() })?;
    match place.objection(&opened.metadata, user) {
        Some(why) => Err(io::Error::new(ErrorKind::PermissionDenied, why)),
        None if opened.metadata.is_file() => opened.file.set_len(0),
        None => Ok(()),
    }
}

/// Returns why a log in its default place must not be written: another user can create files there,
/// and did. `None`: no such entry is known.
pub fn foreign(path: &Path, user: Option<u32>) -> Option<&'static str> {
    // An error here is reported when the log is opened.
    reach::FileLocation::of(path, user).and_then(|place| place.foreign(user)).ok()?
}

/// Returns the index after the last line end in the first `room` bytes. A carriage return ends a
/// line too, unless a newline follows it.
fn last_end(bytes: &[u8], room: usize) -> Option<usize> {
    let at = memrchr2(b'\n', b'\r', &bytes[..room])?;
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => last_end(bytes, at),
        _ => Some(at + 1),
    }
}

/// Returns the index after the first line end in the first `room` bytes.
fn first_end(bytes: &[u8], room: usize) -> Option<usize> {
    let at = memchr2(b'\n', b'\r', &bytes[..room])?;
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        _ => Some(at + 1),
    }
}

/// Returns standard output (1) or standard error. A pipe or a terminal is reopened, so that writing
/// does not wait for a slow reader. A file stays the shared open file, so that its writers do not
/// overwrite each other.
fn open_stream(stream: u8) -> io::Result<File> {
    let own = match stream {
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    let own = File::from(own?);
    let kind = own.metadata()?.file_type();
    if !kind.is_fifo() && !kind.is_char_device() {
        return Ok(own);
    }
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK);
    // Fails if the stream belongs to another user.
    Ok(options.open(format!("/proc/self/fd/{stream}")).unwrap_or(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    struct TempFolder(tempfile::TempDir);

    impl TempFolder {
        fn new() -> TempFolder {
            TempFolder(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("web.stdout")
        }

        fn place(&self, max: u64, backups: u32) -> ProgramLogSpec {
            ProgramLogSpec { path: self.path(), max, backups, private: false, owner: None }
        }

        fn read(&self, suffix: &str) -> String {
            fs::read_to_string(format!("{}{suffix}", self.path().display())).unwrap_or_default()
        }
    }

    #[test]
    fn it_is_rotated_between_lines_and_keeps_its_backups() {
        let folder = TempFolder::new();
        let mut log = ProgLog::open(folder.place(10, 2)).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is far too long\n", "x\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!((folder.read(""), folder.read(".1")), ("x\n".into(), "a line that is far too long\n".into()));
        assert_eq!((folder.read(".2"), folder.read(".3")), ("four\n".into(), String::new()));
        assert_eq!(log.trouble(), Vec::<String>::new());
        let mut log = ProgLog::open(folder.place(4, 0)).unwrap();
        log.write(b"y\nz\nmore\n");
        assert_eq!(folder.read(""), "more\n", "without backups it is emptied");
    }

    #[test]
    fn deletion_moves_and_truncation_are_followed() {
        let folder = TempFolder::new();
        let mut log = ProgLog::open(folder.place(0, 2)).unwrap();
        log.write(b"one\n");
        fs::remove_file(folder.path()).unwrap();
        log.write(b"two\n");
        assert_eq!(folder.read(""), "two\n", "deleted");
        fs::rename(folder.path(), folder.0.path().join("moved")).unwrap();
        log.write(b"three\n");
        assert_eq!(folder.read(""), "three\n", "moved");
        File::options().write(true).truncate(true).open(folder.path()).unwrap();
        log.write(b"four\n");
        assert_eq!(folder.read(""), "four\n", "cleared");
    }

    #[test]
    fn output_without_newlines_is_rotated_too() {
        let folder = TempFolder::new();
        let mut log = ProgLog::open(folder.place(100, 3)).unwrap();
        for number in 0..50 {
            log.write(format!("frame={number} \r").as_bytes());
        }
        assert!(folder.read("").ends_with("frame=49 \r"), "{:?}", folder.read(""));
        for suffix in ["", ".1", ".2", ".3"] {
            let text = folder.read(suffix);
            assert!(text.starts_with("frame=") && text.ends_with('\r') && text.len() <= 100, "{suffix}: {text:?}");
        }
        let mut log = ProgLog::open(folder.place(21, 3)).unwrap();
        log.write(b"12345678\r\n12345678\r\n12345678\r\n");
        assert_eq!(folder.read(".1"), "12345678\r\n12345678\r\n", "CR LF is one line end");
    }

    #[test]
    fn a_line_without_end_is_cut_at_64_kib() {
        let folder = TempFolder::new();
        let mut log = ProgLog::open(folder.place(1000, 9)).unwrap();
        log.write(b"short\n");
        let piece = [b'x'; 10_000];
        for _ in 0..30 {
            log.write(&piece);
        }
        log.write(b"\nlast\n");
        assert_eq!(folder.read(""), "last\n");
        let sizes: Vec<usize> = (1..=9).map(|number| folder.read(&format!(".{number}")).len()).collect();
        assert_eq!(
            sizes,
            [300_000 - 4 * LONGEST_LINE + 1, LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, LONGEST_LINE, 6, 0, 0, 0]
        );
    }

    #[test]
    fn only_the_older_files_that_are_there_are_renamed() {
        let folder = TempFolder::new();
        // Checking each of these numbers would take hours.
        let mut log = ProgLog::open(folder.place(4, u32::MAX)).unwrap();
        for line in ["one\n", "two\n", "six\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!(
            (folder.read(""), folder.read(".1"), folder.read(".2")),
            ("six\n".into(), "two\n".into(), "one\n".into())
        );
        fs::remove_file(folder.0.path().join("web.stdout.1")).unwrap();
        log.write(b"ten\n");
        assert_eq!((folder.read(".1"), folder.read(".2")), ("six\n".into(), "one\n".into()), "a gap is filled");
    }

    #[test]
    fn an_entry_in_the_place_of_an_older_file_is_skipped() {
        let folder = TempFolder::new();
        fs::create_dir_all(folder.0.path().join("web.stdout.1/x")).unwrap();
        let mut log = ProgLog::open(folder.place(4, 3)).unwrap();
        for line in ["one\n", "two\n", "six\n", "ten\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!(
            (folder.read(""), folder.read(".2"), folder.read(".3")),
            ("ten\n".into(), "six\n".into(), "two\n".into())
        );
        assert_eq!(log.trouble().len(), 1, "it is reported once");
        let mut log = ProgLog::open(folder.place(4, 1)).unwrap();
        log.write(b"ten\n");
        log.write(b"own\n");
        assert_eq!(folder.read(""), "own\n", "without a free place there is no older file");
        assert!(folder.0.path().join("web.stdout.1/x").is_dir());
    }

    #[test]
    fn a_full_disk_loses_lines_and_their_number_is_reported() {
        let folder = TempFolder::new();
        let mut log = ProgLog::open(ProgramLogSpec { path: "/dev/full".into(), ..folder.place(0, 0) }).unwrap();
        log.write(b"12345\n");
        log.write(b"678\n");
        assert_eq!(log.trouble(), ["cannot write log /dev/full: No space left on device (os error 28)"]);
        log.change(folder.place(0, 0));
        log.write(b"again\n");
        let text = folder.read("");
        assert_eq!(text, "[10 bytes of output lost here: No space left on device (os error 28)]\nagain\n");
        assert_eq!(log.trouble().len(), 1);
    }

    #[test]
    fn links_folders_and_foreign_files_are_refused() {
        let folder = TempFolder::new();
        std::os::unix::fs::symlink("/etc/passwd", folder.path()).unwrap();
        assert!(ProgLog::open(folder.place(0, 0)).unwrap_err().to_string().contains("symbolic link"));
        let at = |path: &Path| ProgramLogSpec { path: path.to_owned(), ..folder.place(0, 0) };
        assert!(ProgLog::open(at(folder.0.path())).unwrap_err().to_string().contains("it is a folder"));
        assert_eq!(ProgLog::open(at(Path::new("/no/such/x"))).unwrap_err().kind(), ErrorKind::NotFound);
        let private = ProgramLogSpec { private: true, path: folder.0.path().join("p"), ..folder.place(0, 0) };
        ProgLog::open(private.clone()).unwrap();
        assert_eq!(fs::metadata(&private.path).unwrap().permissions().mode() & 0o777, 0o600);
        if geteuid().is_root() {
            let shared = folder.0.path().join("shared");
            fs::create_dir(&shared).unwrap();
            fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
            let foreign = shared.join("x");
            fs::write(&foreign, "").unwrap();
            std::os::unix::fs::chown(&foreign, Some(1234), None).unwrap();
            assert!(ProgLog::open(at(&foreign)).unwrap_err().to_string().contains("owned by another user"));
            let owned = ProgramLogSpec { path: folder.0.path().join("o"), owner: Some((77, 78)), ..folder.place(0, 0) };
            ProgLog::open(owned.clone()).unwrap();
            let meta = fs::metadata(&owned.path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (77, 78));
        }
    }

    proptest! {
        /// With any split into pieces, the backups contain all output they have room for, in
        /// order, and no file begins in the middle of a line.
        #[test]
        fn nothing_is_lost_and_no_line_is_cut(
            lines in prop::collection::vec("[a-z]{0,30}", 0..40), piece in 1usize..50, max in 1u64..80,
        ) {
            let folder = TempFolder::new();
            let mut log = ProgLog::open(folder.place(max, 200)).unwrap();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            for bytes in text.as_bytes().chunks(piece) {
                log.write(bytes);
            }
            let mut parts = vec![folder.read("")];
            for number in 1..200 {
                parts.insert(0, folder.read(&format!(".{number}")));
            }
            parts.retain(|part| !part.is_empty());
            for part in parts.iter().rev().skip(1) {
                prop_assert!(part.ends_with('\n'), "{:?}", parts);
            }
            prop_assert_eq!(parts.concat(), text);
        }
    }
}
