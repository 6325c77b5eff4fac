//! How a task is named on a command line: by its number, handle or UPID.

use std::{fmt, str::FromStr};

use super::{Handle, TaskId};
use crate::model::upid::{Upid, UpidError};

/// Longest name of a remote, characters.
const NAME: usize = 64;
/// A task as named on a command line: by id, handle or UPID.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskRef {
    /// The id.
    Id(TaskId),
    /// The handle.
    Handle(Handle),
    /// The UPID; with a remote before it, of a task of that remote.
    Upid(Box<Upid>),
    /// A task of a remote, in the short form that lists print.
    Remote(RemoteName, RemoteTaskRef),
}

/// The name of a remote, which precedes the `!` in UPIDs of its tasks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

/// A text that is not a name of a remote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name for a remote: expected 1 to 64 of the characters A-Z a-z 0-9 . _ -, the first a letter or digit")]
pub struct BadRemoteName;

impl FromStr for RemoteName {
    type Err = BadRemoteName;

    fn from_str(text: &str) -> Result<RemoteName, BadRemoteName> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match begins && text.len() <= NAME && text.chars().all(fits) {
            true => Ok(RemoteName(text.to_owned())),
            false => Err(BadRemoteName),
        }
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl RemoteName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The short name of a task of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteTaskRef {
    /// `NUMBER`: the task id on a remote that runs taskwatcher.
    Number(TaskId),
    /// `START:PID`, both as in the UPID: a task of a Proxmox host, whose tasks have no ids.
    Started {
        /// Unix seconds.
        start: i64,
        /// The process that runs the task.
        pid: u32,
    },
}

impl FromStr for RemoteTaskRef {
    type Err = BadTaskRef;

    fn from_str(text: &str) -> Result<RemoteTaskRef, BadTaskRef> {
        if let Some((start, pid)) = text.split_once(':') {
            let is_hex = |part: &str| part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parts = (i64::from_str_radix(start, 16), u32::from_str_radix(pid, 16));
            return match (is_hex(start) && is_hex(pid), parts) {
                (true, (Ok(start), Ok(pid))) => Ok(RemoteTaskRef::Started { start, pid }),
                _ => Err(BadTaskRef::Other),
            };
        }
        match text.parse() {
            Ok(TaskRef::Id(id)) => Ok(RemoteTaskRef::Number(id)),
            _ => Err(BadTaskRef::Other),
        }
    }
}

impl fmt::Display for RemoteTaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteTaskRef::Number(id) => id.fmt(f),
            RemoteTaskRef::Started { start, pid } => write!(f, "{start:08X}:{pid:08X}"),
        }
    }
}

/// A text that names no task in any of the three forms.
#[derive(Debug, thiserror::Error)]
pub enum BadTaskRef {
    /// Begins like a UPID and is not valid.
    #[error("{0}")]
    Upid(#[from] UpidError),
    /// None of the three forms.
    #[error("not a task: expected a number, a handle (8 characters) or a UPID")]
    Other,
    /// The part after the name of a remote is invalid.
    #[error("not a task of a remote: expected NUMBER, START:PID or a UPID after REMOTE!, as in lists")]
    Remote,
}

impl FromStr for TaskRef {
    type Err = BadTaskRef;

    fn from_str(text: &str) -> Result<TaskRef, BadTaskRef> {
        if text.contains("UPID:") {
            return Ok(TaskRef::Upid(Box::new(text.parse()?)));
        }
        if let Some((remote, task)) = text.split_once('!') {
            let remote = remote.parse().map_err(|_| BadTaskRef::Other)?;
            return Ok(TaskRef::Remote(remote, task.parse().map_err(|_| BadTaskRef::Remote)?));
        }
        if Handle::looks_like(text) {
            return Ok(TaskRef::Handle(Handle(text.to_owned())));
        }
        match text.parse::<i64>() {
            Ok(id) if id > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(TaskRef::Id(TaskId(id))),
            _ => Err(BadTaskRef::Other),
        }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskRef::Id(id) => id.fmt(f),
            TaskRef::Handle(handle) => handle.fmt(f),
            TaskRef::Remote(remote, task) => write!(f, "{remote}!{task}"),
            TaskRef::Upid(upid) => upid.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_number_handle_or_upid() {
        let handle = Handle::from_random([255, 1, 2, 3, 4, 5, 6, 7]);
        assert!(Handle::looks_like(handle.as_str()), "{handle}");
        assert!(matches!(handle.as_str().parse::<TaskRef>(), Ok(TaskRef::Handle(_))));
        assert_eq!("web-1!17".parse::<TaskRef>().unwrap().to_string(), "web-1!17");
        assert_eq!("pve!618C1D55:000AE992".parse::<TaskRef>().unwrap().to_string(), "pve!618C1D55:000AE992");
        for text in
            ["pve!618C1D55:", "pve!:000AE992", "pve!1:2", "pve!618C1D55:+00AE992", "pve!618C1D55:1000AE992", "pve!x"]
        {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
        for text in ["!17", "a b!17", "a!", "a!0", "a!-1", "a!b!1"] {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
        assert_eq!("12".parse::<TaskRef>().unwrap(), TaskRef::Id(TaskId(12)));
        assert!(matches!("UPID:n:00000001:00000001:00000001:t:1:u@pam:".parse::<TaskRef>(), Ok(TaskRef::Upid(_))));
        for text in ["", "0", "-1", "+1", "1x", "99999999999999999999", "abc", "UPID:", "2bcdefgh"] {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_remotes_fit_before_a_upid() {
        for text in ["a", "pve-a", "Host_1.example.org", "0"] {
            assert_eq!(text.parse::<RemoteName>().unwrap().as_str(), text);
        }
        let long = "x".repeat(65);
        for text in ["", "-a", ".a", "a b", "a!", "a:b", "ä", "a/b", long.as_str()] {
            assert_eq!(text.parse::<RemoteName>(), Err(BadRemoteName), "{text}");
        }
    }
}
