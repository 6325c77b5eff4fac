//! One log file of a program: appended to from run to run, and turned over when it is long enough.
//!
//! Nothing that happens to it stops the program: what a full disk does not take is counted and told in the file when it
//! takes something again. Lines are never cut in two. Several carriers may have the same file open for a moment, when
//! one run follows another; so each looks whether the file is still the one of its name before it does anything to it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use memchr::{memchr, memrchr};
use nix::{
    libc,
    sys::stat::{Mode, fchmod},
    unistd::{Gid, Uid, fchown, geteuid},
};

use crate::model::path::{beside, folder_of, standard_stream};

/// Where it is, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path.
    pub path: PathBuf,
    /// Longest file, bytes; 0: any length.
    pub max: u64,
    /// How many older files are kept, as `path.1` and so on; 0: none, it begins anew.
    pub backups: u32,
    /// Whether nobody but its owner may read it.
    pub private: bool,
    /// User and group that it belongs to, if that is not us.
    pub owner: Option<(u32, u32)>,
}

/// The file, open.
#[derive(Debug)]
pub struct ProgLog {
    place: Place,
    file: Option<File>,
    /// Its device and number.
    identity: (u64, u64),
    /// Whether it is a file that grows, as opposed to a device or a pipe.
    regular: bool,
    /// Whether the last that was written ended a line.
    line_ended: bool,
    lost: u64,
    why: String,
    /// What went wrong and was not told yet.
    trouble: Vec<String>,
    /// Whether turning over failed: it is tried again, and told of once.
    stuck: bool,
}

impl ProgLog {
    /// Opens it, making it if it is not there.
    ///
    /// # Errors
    /// As open(2) says; a link; a file of somebody else in a folder where everybody can make files.
    pub fn open(place: Place) -> io::Result<ProgLog> {
        let mut log = ProgLog {
            place,
            file: None,
            identity: (0, 0),
            regular: true,
            line_ended: true,
            lost: 0,
            why: String::new(),
            trouble: vec![],
            stuck: false,
        };
        log.open_file()?;
        Ok(log)
    }

    /// Follows a change of its limits, or of its place.
    pub fn change(&mut self, place: Place) {
        let moved = place.path != self.place.path;
        self.place = place;
        if moved {
            self.reopen();
        }
    }

    /// Opens the file of its name anew: somebody may have moved the one that was there.
    pub fn reopen(&mut self) {
        self.file = None;
        if let Err(error) = self.open_file() {
            self.note(&format!("cannot open log {}: {error}", self.place.path.display()));
        }
    }

    /// Adds what the program wrote.
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
                    self.note(&format!("cannot turn over log {}: {error}", self.place.path.display()));
                }
                if !bytes.is_empty() {
                    self.append(bytes);
                }
                return;
            }
        }
    }

    /// Whether another one that is opened anew would go on as this one does.
    pub fn is_settled(&self) -> bool {
        self.lost == 0 && self.line_ended && self.trouble.is_empty()
    }

    /// What went wrong, each once.
    pub fn trouble(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trouble)
    }

    fn note(&mut self, line: &str) {
        self.trouble.push(line.to_owned());
    }

    /// How many of these bytes go into the file as it is, and whether it is turned over then.
    fn next_piece(&mut self, bytes: &[u8]) -> (usize, bool) {
        let size = self.look();
        if self.place.max == 0 || !self.regular || size.saturating_add(bytes.len() as u64) <= self.place.max {
            return (bytes.len(), false);
        }
        let room = usize::try_from(self.place.max.saturating_sub(size)).unwrap_or(usize::MAX).min(bytes.len());
        match memrchr(b'\n', &bytes[..room]) {
            Some(end) => (end + 1, true),
            None if self.line_ended && size > 0 => (0, true),
            // A line that is longer than a file may be, or one that has begun: its end comes first.
            None => match memchr(b'\n', bytes) {
                Some(end) => (end + 1, end + 1 < bytes.len()),
                None => (bytes.len(), false),
            },
        }
    }

    /// How long the file is. If the file of the name is not ours any more, we go on with that one.
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
            let told = format!("[{} bytes of output lost here: {}]\n", self.lost, self.why);
            if self.put(told.as_bytes()).is_err() {
                self.lost += bytes.len() as u64;
                return;
            }
            self.note(&format!("{} bytes did not get into log {}: {}", self.lost, self.place.path.display(), self.why));
            self.lost = 0;
        }
        match self.put(bytes) {
            Ok(()) => self.line_ended = bytes.ends_with(b"\n"),
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

    /// `path` becomes `path.1`, and so on; the last one is gone. Without backups it begins anew.
    fn turn_over(&mut self) -> io::Result<()> {
        let path = self.place.path.clone();
        if self.place.backups == 0 {
            self.file.as_ref().ok_or(ErrorKind::NotFound)?.set_len(0)?;
            self.stuck = false;
            return Ok(());
        }
        for number in (1..self.place.backups).rev() {
            match fs::rename(backup(&path, number), backup(&path, number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&path, backup(&path, 1))?;
        self.stuck = false;
        self.file = None;
        self.open_file()
    }

    fn open_file(&mut self) -> io::Result<()> {
        if let Some(stream) = standard_stream(&self.place.path) {
            // Whatever it is, it was given to us: there is nothing to be turned over, and no name that may mislead.
            self.file = Some(open_stream(stream)?);
            self.regular = false;
            return Ok(());
        }
        let path = &self.place.path;
        let mut options = OpenOptions::new();
        options.append(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK);
        let (file, made) = match options.open(path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mode = if self.place.private { 0o600 } else { 0o666 };
                (
                    options.create_new(true).mode(mode).open(path).or_else(|error| match error.kind() {
                        // Another run of the program was quicker.
                        ErrorKind::AlreadyExists => options.create_new(false).open(path),
                        _ => Err(error),
                    })?,
                    true,
                )
            }
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(io::Error::new(ErrorKind::PermissionDenied, "it is a symbolic link"));
            }
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        self.regular = meta.is_file();
        if made {
            if self.place.private {
                fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)?;
            }
            if let Some((uid, gid)) = self.place.owner
                && geteuid().is_root()
            {
                fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
        } else if self.regular {
            let ours = self.place.owner.map_or(geteuid().as_raw(), |(uid, _)| uid);
            if meta.uid() != ours && meta.uid() != 0 && lies_where_all_can_write(path) {
                let why = "it belongs to another user, in a folder where everybody can make files";
                return Err(io::Error::new(ErrorKind::PermissionDenied, why));
            }
        } else if !meta.file_type().is_char_device() && !meta.file_type().is_fifo() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
        }
        self.identity = (meta.dev(), meta.ino());
        self.file = Some(file);
        Ok(())
    }
}

/// Empties a log in place: those who have it open go on with it.
///
/// # Errors
/// As open(2) says; a link.
pub fn truncate(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => file.set_len(0),
        false => Ok(()),
    }
}

fn backup(path: &Path, number: u32) -> PathBuf {
    beside(path, &format!(".{number}"))
}

/// One of our own streams. Of a pipe or a terminal it is another open file, so that writing does not wait for a slow reader;
/// a file is shared with all who write to it, so that nobody writes over what others wrote.
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
    // Fails where it is another user's.
    Ok(options.open(format!("/proc/self/fd/{stream}")).unwrap_or(own))
}

/// Whether its folder is one like /tmp.
fn lies_where_all_can_write(path: &Path) -> bool {
    fs::metadata(folder_of(path)).is_ok_and(|meta| meta.mode() & 0o1002 == 0o1002)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Folder {
            Folder(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("web.stdout")
        }

        fn place(&self, max: u64, backups: u32) -> Place {
            Place { path: self.path(), max, backups, private: false, owner: None }
        }

        fn read(&self, suffix: &str) -> String {
            fs::read_to_string(format!("{}{suffix}", self.path().display())).unwrap_or_default()
        }
    }

    #[test]
    fn it_turns_over_between_lines_and_keeps_so_many() {
        let folder = Folder::new();
        let mut log = ProgLog::open(folder.place(10, 2)).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "a line that is far too long\n", "x\n"] {
            log.write(line.as_bytes());
        }
        assert_eq!((folder.read(""), folder.read(".1")), ("x\n".into(), "a line that is far too long\n".into()));
        assert_eq!((folder.read(".2"), folder.read(".3")), ("four\n".into(), String::new()));
        assert_eq!(log.trouble(), Vec::<String>::new());
        let mut log = ProgLog::open(folder.place(4, 0)).unwrap();
        log.write(b"y\nz\nmore\n");
        assert_eq!(folder.read(""), "more\n", "without backups it begins anew");
    }

    #[test]
    fn what_somebody_did_to_it_is_followed() {
        let folder = Folder::new();
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
    fn a_disk_that_is_full_loses_lines_and_says_how_many() {
        let folder = Folder::new();
        let mut log = ProgLog::open(Place { path: "/dev/full".into(), ..folder.place(0, 0) }).unwrap();
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
    fn traps_are_not_walked_into() {
        let folder = Folder::new();
        std::os::unix::fs::symlink("/etc/passwd", folder.path()).unwrap();
        assert!(ProgLog::open(folder.place(0, 0)).unwrap_err().to_string().contains("symbolic link"));
        let at = |path: &Path| Place { path: path.to_owned(), ..folder.place(0, 0) };
        assert!(ProgLog::open(at(folder.0.path())).unwrap_err().to_string().contains("directory"));
        assert_eq!(ProgLog::open(at(Path::new("/no/such/x"))).unwrap_err().kind(), ErrorKind::NotFound);
        let private = Place { private: true, path: folder.0.path().join("p"), ..folder.place(0, 0) };
        ProgLog::open(private.clone()).unwrap();
        assert_eq!(fs::metadata(&private.path).unwrap().permissions().mode() & 0o777, 0o600);
        if geteuid().is_root() {
            let shared = folder.0.path().join("shared");
            fs::create_dir(&shared).unwrap();
            fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
            let theirs = shared.join("x");
            fs::write(&theirs, "").unwrap();
            std::os::unix::fs::chown(&theirs, Some(1234), None).unwrap();
            assert!(ProgLog::open(at(&theirs)).unwrap_err().to_string().contains("belongs to another user"));
            let owned = Place { path: folder.0.path().join("o"), owner: Some((77, 78)), ..folder.place(0, 0) };
            ProgLog::open(owned.clone()).unwrap();
            let meta = fs::metadata(&owned.path).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (77, 78));
        }
    }

    proptest! {
        /// In whatever pieces it comes: all of it is there in order as long as the backups reach, and no file begins in
        /// the middle of a line.
        #[test]
        fn nothing_is_lost_and_no_line_is_cut(
            lines in prop::collection::vec("[a-z]{0,30}", 0..40), piece in 1usize..50, max in 1u64..80,
        ) {
            let folder = Folder::new();
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
