//! The limits on open files and processes of this process, raised if the configuration needs more.
//!
//! A raised limit is inherited by all children.

use std::{fmt, fs::File, io};

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    unistd::geteuid,
};

/// A limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Open files.
    Files,
    /// Processes of the user.
    Processes,
}

impl Limited {
    /// Returns the configuration key of the needed number.
    pub fn key(self) -> &'static str {
        match self {
            Limited::Files => "minfds",
            Limited::Processes => "minprocs",
        }
    }

    fn resource(self) -> Resource {
        match self {
            Limited::Files => Resource::RLIMIT_NOFILE,
            Limited::Processes => Resource::RLIMIT_NPROC,
        }
    }

    /// Returns the limit even for root; `None` if there is none.
    fn highest(self) -> Option<u64> {
        match self {
            Limited::Files => std::fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok(),
            Limited::Processes => None,
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limited::Files => "open files",
            Limited::Processes => "processes",
        })
    }
}

/// Whether the error means that no descriptor is left, in this process or in the system.
pub fn is_out_of_files(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Whether the error is temporary: the system, or this process, is short of a resource, or the disk
/// does not answer. The same operation may succeed later.
pub fn passes(error: &io::Error) -> bool {
    let short = [Errno::EAGAIN, Errno::ENOMEM, Errno::ENOSPC, Errno::EDQUOT, Errno::EIO, Errno::ESTALE, Errno::EINTR];
    is_out_of_files(error) || short.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A spare descriptor for when no other one is left.
#[derive(Debug)]
pub struct Reserve(Option<File>);

impl Reserve {
    /// Opens a spare descriptor, if one is available.
    pub fn new() -> Reserve {
        let mut reserve = Reserve(None);
        reserve.refill();
        reserve
    }

    /// Closes the spare descriptor, so that the next open can use it. Returns false if there was
    /// none.
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Opens the spare descriptor again, if it is closed and one is available.
    pub fn refill(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }
}

impl Default for Reserve {
    fn default() -> Reserve {
        Reserve::new()
    }
}

/// Returns how many files this process may have open; the maximum if unknown.
pub fn files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// A limit that is too low.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The limit cannot be raised that far.
    #[error("{}: {wanted} {what} are needed but only {available} are available: {hint}", .what.key())]
    TooLow {
        /// The resource.
        what: Limited,
        /// The configured number.
        wanted: u64,
        /// The highest possible number.
        available: u64,
        /// The remedy.
        hint: &'static str,
    },
    /// Another error of the system.
    #[error("{}: cannot set the limit of {what} to {wanted}: {error}", .what.key())]
    System {
        /// The resource.
        what: Limited,
        /// The configured number.
        wanted: u64,
        /// The system's error.
        error: io::Error,
    },
}

/// Raises a limit to at least `wanted`; "unlimited" is enough for any number. A higher limit stays.
///
/// # Errors
/// [`LimitError`]
pub fn ensure(what: Limited, wanted: u64) -> Result<(), LimitError> {
    let system = |error: Errno| LimitError::System { what, wanted, error: error.into() };
    let (soft, hard) = getrlimit(what.resource()).map_err(system)?;
    let enough = |limit: u64| limit == RLIM_INFINITY || limit >= wanted;
    if enough(soft) {
        return Ok(());
    }
    match setrlimit(what.resource(), wanted, if enough(hard) { hard } else { wanted }) {
        Ok(()) => Ok(()),
        // EPERM is also the error for root above the highest limit.
        Err(Errno::EPERM | Errno::EINVAL) => {
            // Root may lack the capability to raise it, as in many containers.
            let highest = what.highest().filter(|most| geteuid().is_root() && *most < wanted);
            let hint = match geteuid().is_root() {
                true => "lower it, or raise what the system allows",
                false => "lower it, or raise the hard limit of the user",
            };
            Err(LimitError::TooLow { what, wanted, available: highest.map_or(hard, |most| most.max(hard)), hint })
        }
        Err(error) => Err(system(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sufficient_limit_is_not_changed() {
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        ensure(Limited::Files, 1).unwrap();
        ensure(Limited::Files, before.0.min(100)).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
    }

    #[test]
    fn an_impossible_limit_is_reported_with_key_and_numbers() {
        let wanted = u64::from(u32::MAX);
        match ensure(Limited::Files, wanted) {
            Err(error @ LimitError::TooLow { .. }) => {
                let text = error.to_string();
                assert!(text.starts_with("minfds: 4294967295 open files are needed but only "), "{text}");
                assert!(text.contains(" are available: lower it"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
