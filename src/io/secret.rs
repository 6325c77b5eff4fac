//! Secrets in their own files: read only if no other user can.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::geteuid,
};

/// Largest size of such a file, in bytes.
const MOST: u64 = 4096;

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the secret in {0:?}: {1}")]
pub struct SecretError(PathBuf, Why);

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Io(io::Error),
    #[error("not a regular file")]
    NoFile,
    #[error("readable by other users (mode {0:04o}); run: chmod 600 {1}")]
    Open(u32, String),
    #[error("owned by another user")]
    Foreign,
    #[error("expected one line, the secret")]
    Lines,
}

/// Returns the one line of a file that belongs to this user and that no other user may read. A link
/// is not followed.
///
/// # Errors
/// [`SecretError`]
pub fn read(path: &Path) -> Result<String, SecretError> {
    let work = || {
        // Opening must not wait for the writer of a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let fd: OwnedFd = open(path, flags, Mode::empty()).map_err(|error| match error {
            nix::errno::Errno::ELOOP => Why::NoFile,
            other => Why::Io(other.into()),
        })?;
        let file = File::from(fd);
        let meta = file.metadata().map_err(Why::Io)?;
        if !meta.is_file() {
            return Err(Why::NoFile);
        }
        if meta.uid() != geteuid().as_raw() {
            return Err(Why::Foreign);
        }
        if meta.mode() & 0o077 != 0 {
            return Err(Why::Open(meta.mode() & 0o7777, path.display().to_string()));
        }
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).map_err(Why::Io)?;
        let secret = text.trim_ascii();
        match secret.is_empty() || secret.contains('\n') {
            true => Err(Why::Lines),
            false => Ok(secret.to_owned()),
        }
    };
    work().map_err(|why| SecretError(path.to_owned(), why))
}

/// Returns an unguessable text: 128 random bits as hexadecimal digits.
///
/// # Errors
/// When the kernel has no randomness.
pub fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(hex(&bytes))
}

/// Returns bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 digest.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    digest
}

/// Whether two digests are equal, in constant time.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    #[test]
    fn digests_are_compared_in_full() {
        let (one, other) = (sha256(b"one"), sha256(b"other"));
        assert!(same(&one, &sha256(b"one")) && !same(&one, &other));
        assert_eq!(one[..4], [0x76, 0x92, 0xc3, 0xad]);
    }

    #[test]
    fn only_a_private_file_with_one_line_is_a_secret() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let good = put("good", "s3cret\n", 0o600);
        assert_eq!(read(&good).unwrap(), "s3cret");
        let why = |path: &Path| read(path).unwrap_err().to_string();
        assert!(why(&put("open", "s3cret\n", 0o640)).contains("chmod 600"));
        assert!(why(&put("empty", "\n", 0o600)).contains("one line"));
        assert!(why(&put("two", "a\nb\n", 0o600)).contains("one line"));
        assert!(why(dir.path()).contains("not a regular file"));
        assert!(why(&dir.path().join("none")).contains("No such file"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&good, &link).unwrap();
        assert!(why(&link).contains("not a regular file"));
    }
}
