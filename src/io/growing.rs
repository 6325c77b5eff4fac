//! A file that grows while it is read, and may be moved away or emptied meanwhile, as logs are.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::safe_open::{How, reach};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// One that is followed.
#[derive(Debug)]
pub struct Growing {
    /// Where it is.
    pub path: PathBuf,
    /// What is read; none: it was not there yet.
    pub file: Option<File>,
    /// Up to where it was read.
    pub offset: u64,
    /// How the one in its place is opened, when that is another.
    pub open: fn(&Path) -> io::Result<File>,
}

/// Opens a log to be read. Another user may own its folder, or one above it, and have put something else in its place
/// meanwhile: a link is not followed there, and what is no file (a pipe would wait for a writer) is not read.
///
/// # Errors
/// As open(2) says; what is there instead.
pub fn open(path: &Path) -> io::Result<File> {
    let place = reach::Place::of(path, None)?;
    place.folder.open_file(Path::new(&place.name), &How::default()).map(|opened| opened.file)
}

impl Growing {
    /// What was added since it was last looked at, and from where on; none: nothing. What is in the file that is being
    /// read comes first, wherever that was moved to; then the one in its place.
    pub fn more(&mut self) -> Option<(Vec<u8>, u64)> {
        if let Some(more) = self.read_on() {
            return Some(more);
        }
        let there = fs::symlink_metadata(&self.path).ok()?;
        let here = self.file.as_ref().and_then(|file| file.metadata().ok());
        if here.is_some_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino())) {
            return None;
        }
        if self.file.replace((self.open)(&self.path).ok()?).is_some() {
            self.offset = 0;
        }
        self.read_on()
    }

    /// The last bytes, at most so many, before the place up to where it was read; and whether there is more before them.
    pub fn before(&mut self, bytes: u64) -> (Vec<u8>, bool) {
        let from = self.offset.saturating_sub(bytes);
        let mut found = vec![];
        if let Some(file) = &mut self.file
            && file.seek(io::SeekFrom::Start(from)).is_ok()
        {
            // What cannot be read is not there.
            let _ = file.take(self.offset - from).read_to_end(&mut found);
        }
        (found, from > 0)
    }

    fn read_on(&mut self) -> Option<(Vec<u8>, u64)> {
        let file = self.file.as_mut()?;
        let size = file.metadata().ok()?.len();
        if size < self.offset {
            // It was cleared.
            self.offset = 0;
        }
        if size == self.offset {
            return None;
        }
        file.seek(io::SeekFrom::Start(self.offset)).ok()?;
        let mut bytes = vec![0; PIECE];
        let len = file.read(&mut bytes).ok()?;
        bytes.truncate(len);
        let from = self.offset;
        self.offset += len as u64;
        (len > 0).then_some((bytes, from))
    }
}
