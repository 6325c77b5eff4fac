//! How many files and processes we may have: the limits of the system, raised where need be (DMN-8).
//!
//! What is raised holds for all that we start too.

use std::{fmt, fs::File, io};

use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    unistd::geteuid,
};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Open files.
    Files,
    /// Processes of the user.
    Processes,
}

impl Limited {
    /// The key of the configuration that says how many are needed.
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

    /// Even root gets no more; none: as many as it likes.
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

/// Whether it failed because no descriptor is left, for us or for anybody.
pub fn is_out_of_files(error: &io::Error) -> bool {
    [Errno::EMFILE, Errno::ENFILE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// Whether it failed because the machine, or this process, is short of something just now, or its disk does not answer:
/// the same may work later, and what was asked for says nothing of it.
pub fn passes(error: &io::Error) -> bool {
    let short = [Errno::EAGAIN, Errno::ENOMEM, Errno::ENOSPC, Errno::EDQUOT, Errno::EIO, Errno::ESTALE, Errno::EINTR];
    is_out_of_files(error) || short.iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// A descriptor that is kept for when no other one is left.
#[derive(Debug)]
pub struct Reserve(Option<File>);

impl Reserve {
    /// Sets one aside, if there is one.
    pub fn new() -> Reserve {
        let mut reserve = Reserve(None);
        reserve.refill();
        reserve
    }

    /// Gives it up, so that whatever is opened next has it. False: it was given up before.
    pub fn give(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Sets one aside again, if there is one and none is.
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

/// How many files we may have open; a lot if the system does not say.
pub fn files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// A limit that is too low.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// It cannot be raised so far.
    #[error("{}: {wanted} {what} are wanted and {available} are available: {hint}", .what.key())]
    TooLow {
        /// Of what.
        what: Limited,
        /// How many the configuration wants.
        wanted: u64,
        /// How many there can be.
        available: u64,
        /// What can be done.
        hint: &'static str,
    },
    /// The system did not say, or refused for another reason.
    #[error("{}: cannot set the limit of {what} to {wanted}: {error}", .what.key())]
    System {
        /// Of what.
        what: Limited,
        /// How many the configuration wants.
        wanted: u64,
        /// Why.
        error: io::Error,
    },
}

/// Sees to it that at least so many are allowed; "unlimited" is enough for any number. A limit that is higher stays.
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
        // That is also what root hears who asks for more than there can be.
        Err(Errno::EPERM | Errno::EINVAL) => {
            // Root may be one that may not raise it, as in many containers.
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
    fn what_is_allowed_already_stays() {
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        ensure(Limited::Files, 1).unwrap();
        ensure(Limited::Files, before.0.min(100)).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
    }

    #[test]
    fn what_cannot_be_had_is_told_with_key_and_numbers() {
        let wanted = u64::from(u32::MAX);
        match ensure(Limited::Files, wanted) {
            Err(error @ LimitError::TooLow { .. }) => {
                let text = error.to_string();
                assert!(text.starts_with("minfds: 4294967295 open files are wanted and "), "{text}");
                assert!(text.contains(" are available: lower it"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
