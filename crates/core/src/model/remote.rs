//! Other hosts and their tasks, as stored here: sources, and UPIDs in parts.

pub mod codec;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    proxmox_access::{Api, Product},
    task::{OfText, Outcome, Stored},
    upid::Upid,
};

/// Pause after the first failure of a remote; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How a remote is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A host that runs taskwatcher, through the user's own `ssh`.
    Ssh {
        /// `[user@]host`, or a name in the user's ssh configuration.
        host: String,
        /// The database on that host; `None`: the user's default there.
        db: Option<String>,
    },
    /// A host or cluster of Proxmox VE.
    Pve(Api),
    /// A Proxmox Backup Server.
    Pbs(Api),
}

impl Source {
    /// Product and API of a Proxmox host.
    pub fn api(&self) -> Option<(Product, &Api)> {
        match self {
            Source::Ssh { .. } => None,
            Source::Pve(api) => Some((Product::Pve, api)),
            Source::Pbs(api) => Some((Product::Pbs, api)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Ssh { host, db: None } => write!(f, "ssh {host}"),
            Source::Ssh { host, db: Some(db) } => write!(f, "ssh {host} {db}"),
            Source::Pve(api) => write!(f, "pve {}", api.url),
            Source::Pbs(api) => write!(f, "pbs {}", api.url),
        }
    }
}

/// A text that is not a host for ssh.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ssh destination: expected [USER@]HOST or a name of the ssh configuration")]
pub struct BadHost;

/// Parses `[user@]host`. A leading dash is rejected: ssh would read an option.
///
/// # Errors
/// [`BadHost`]
pub fn parse_ssh_host(text: &str) -> Result<String, BadHost> {
    let bad = |c: char| c.is_whitespace() || c.is_control();
    match text.is_empty() || text.starts_with('-') || text.contains(bad) {
        true => Err(BadHost),
        false => Ok(text.to_owned()),
    }
}

/// Returns how long not to contact a remote after this many consecutive failures.
pub fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_PAUSE),
    }
}

/// The object a task works on, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Nothing.
    None,
    /// A number in its shortest form, such as the id of a virtual machine.
    Number(i64),
    /// Anything else.
    Text(String),
}

impl Id {
    /// Parses the field of a UPID.
    pub fn of(text: &str) -> Id {
        if text.is_empty() {
            return Id::None;
        }
        match text.parse::<i64>() {
            Ok(number) if number >= 0 && number.to_string() == text => Id::Number(number),
            Ok(_) | Err(_) => Id::Text(text.to_owned()),
        }
    }
}

/// The parts of a UPID, from which its text can be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Host name.
    pub node: &'a str,
    /// Pid.
    pub pid: u32,
    /// Start time of the process, clock ticks since boot.
    pub pstart: u64,
    /// The counter of the ten-field form.
    pub counter: Option<u64>,
    /// Start time of the task, unix seconds.
    pub start: i64,
    /// The type of the task.
    pub kind: &'a str,
    /// The object it works on, as in the UPID.
    pub id: &'a str,
    /// The user, with the token if there is one.
    pub user: &'a str,
}

impl Parts<'_> {
    /// Builds the text, in the form of all writers of UPIDs.
    pub fn text(&self) -> String {
        let room = 64 + self.node.len() + self.kind.len() + self.id.len() + self.user.len();
        let mut text = String::with_capacity(room);
        text.push_str("UPID:");
        text.push_str(self.node);
        text.push(':');
        push_hex(&mut text, self.pid.into());
        text.push(':');
        push_hex(&mut text, self.pstart);
        text.push(':');
        if let Some(counter) = self.counter {
            push_hex(&mut text, counter);
            text.push(':');
        }
        push_hex(&mut text, self.start.unsigned_abs());
        for part in [self.kind, self.id, self.user, ""] {
            text.push(':');
            text.push_str(part);
        }
        text
    }
}

/// Appends a number in upper-case hexadecimal digits, at least eight.
fn push_hex(text: &mut String, number: u64) {
    let digits = (16 - number.leading_zeros() / 4).max(8);
    for place in (0..digits).rev() {
        let digit = number >> (place * 4) & 0xf;
        text.push(char::from(b"0123456789ABCDEF"[digit as usize]));
    }
}

/// The user of a UPID with its token.
pub fn signed_user(upid: &Upid) -> String {
    match upid.tokenid() {
        Some(token) => format!("{}!{token}", upid.user()),
        None => upid.user().to_owned(),
    }
}

/// Whether a UPID, without its remote, equals the text built from its parts.
pub fn is_plain(upid: &Upid) -> bool {
    let user = signed_user(upid);
    let parts = Parts {
        node: upid.node(),
        pid: upid.pid,
        pstart: upid.pstart,
        counter: upid.task_id,
        start: upid.starttime,
        kind: upid.worker_type(),
        id: upid.raw_id(),
        user: &user,
    };
    upid.remote().is_none() && upid.comment().is_empty() && upid.starttime >= 0 && parts.text() == upid.as_str()
}

/// Data of a remote task besides its UPID and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct More {
    /// The whole UPID, if it cannot be built from its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upid: Option<String>,
    /// The counter of a ten-field UPID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// Name of the task, if it differs from its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node whose list contains the task, if the UPID names another one (a renamed node).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info1: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info2: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info3: Option<String>,
    /// Exit code of `launch` on that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exitcode: Option<i64>,
}

impl More {
    /// Whether there is no data.
    pub fn is_empty(&self) -> bool {
        *self == More::default()
    }
}

/// The end of a remote task, as reported by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEnd {
    /// UPID.
    pub upid: Upid,
    /// Time of the end, unix seconds.
    pub endtime: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Further data.
    pub more: More,
}

/// A live remote task, as reported by its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRun {
    /// UPID.
    pub upid: Stored<Upid>,
    /// Start time, unix seconds.
    pub start: i64,
    /// The host's report in the form of `control list --json`: a JSON object, kept as text because
    /// it is rarely parsed.
    pub detail: String,
}

/// A live remote task, as stored here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLive {
    /// Name of the remote.
    pub remote: Arc<str>,
    /// The report of the host.
    pub run: RemoteRun,
    /// Time of the last report, unix seconds.
    pub seen: i64,
    /// Whether the host has not responded since.
    pub stale: bool,
}

impl RemoteRun {
    /// Returns the node whose list contains the task, if the UPID names another one.
    pub fn via(&self) -> Option<String> {
        let detail: Value = serde_json::from_str(&self.detail).ok()?;
        detail["via"].as_str().map(str::to_owned)
    }
}

/// An ended remote task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTask {
    /// Position among the tasks of the same second.
    pub ordinal: i64,
    /// Name of the remote.
    pub remote: Arc<str>,
    /// The node that ran it.
    pub node: Arc<str>,
    /// The type of the task.
    pub kind: Arc<str>,
    /// The user who started it.
    pub user: Arc<str>,
    /// UPID, as written by its host.
    pub upid: Stored<Upid>,
    /// Start time, unix seconds.
    pub start: i64,
    /// Time of the end, unix seconds.
    pub endtime: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Further data, if any.
    pub more: Option<Box<More>>,
}

/// Parses an outcome as written by `control` and Proxmox tools.
pub fn outcome_of(text: &str) -> Outcome {
    match Outcome::of_text(text) {
        Some(outcome) => outcome,
        None if text.is_empty() => Outcome::Unknown(String::new()),
        None => Outcome::Error(text.to_owned()),
    }
}

/// Returns the outcome from an end in the export of a taskwatcher host.
pub fn outcome_of_export(text: &str, why: Option<&str>) -> Outcome {
    match outcome_of(text) {
        Outcome::Unknown(_) => Outcome::Unknown(why.unwrap_or_default().to_owned()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_option_is_no_host_of_ssh() {
        for text in ["", "-oProxyCommand=x", "a b", "a\nb"] {
            assert_eq!(parse_ssh_host(text), Err(BadHost), "{text}");
        }
        assert_eq!(parse_ssh_host("me@[fe80::1%eth0]").unwrap(), "me@[fe80::1%eth0]");
    }

    #[test]
    fn a_dead_remote_is_contacted_less_and_less_often() {
        let secs: Vec<u64> = (0..9).map(|n| pause(n).as_secs()).collect();
        assert_eq!(secs, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn outcomes_of_both_kinds_of_hosts_are_parsed() {
        assert_eq!(outcome_of("OK"), Outcome::Ok);
        assert_eq!(outcome_of("WARNINGS: 3"), Outcome::Warnings(3));
        assert_eq!(outcome_of("WARNINGS: many"), Outcome::Error("WARNINGS: many".into()));
        assert_eq!(outcome_of("ERROR: exit code 3"), Outcome::Error("exit code 3".into()));
        assert_eq!(outcome_of("job errors"), Outcome::Error("job errors".into()));
        assert_eq!(outcome_of("unknown"), Outcome::Unknown(String::new()));
    }

    #[test]
    fn only_a_number_that_reads_back_is_stored_as_one() {
        assert_eq!(Id::of("100"), Id::Number(100));
        assert_eq!(Id::of("0"), Id::Number(0));
        assert_eq!(Id::of(""), Id::None);
        for text in ["007", "+1", "-1", "00", "9223372036854775808", "1e3", "local-lvm"] {
            assert_eq!(Id::of(text), Id::Text(text.into()));
        }
    }

    #[test]
    fn numbers_have_eight_digits_or_more() {
        let hex = |number| {
            let mut text = String::new();
            push_hex(&mut text, number);
            text
        };
        for number in [0, 1, 0xABCD, 0xFFFF_FFFF, 0x1_0000_0000, u64::MAX] {
            assert_eq!(hex(number), format!("{number:08X}"));
        }
    }

    #[test]
    fn an_unusual_spelling_is_not_plain() {
        let plain = |text: &str| is_plain(&text.parse().unwrap_or_else(|error| panic!("{text}: {error}")));
        assert!(plain("UPID:n:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:"));
        assert!(plain("UPID:n:000AE992:1A2B3C4D5:618C1D55:vzdump:100:root@pam!auto:"));
        assert!(plain("UPID:pbs:000002B2:00000158:00000000:674D828C:logrotate::root@pam:"));
        for text in [
            "UPID:n:000ae992:00A21BA7:618C1D55:vzdump:100:root@pam:",
            "UPID:n:0000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:",
            "UPID:n:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:a comment",
            "r!UPID:n:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:",
        ] {
            assert!(!plain(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parts_of_a_plain_upid_rebuild_its_text(
            node in "[a-zA-Z0-9_.-]{1,20}", pid: u32, pstart: u64, counter in proptest::option::of(any::<u64>()),
            start in 0..i64::MAX, kind in "[a-z]{1,12}", id in "[^:\\s\\p{C}]{0,20}", user in "[a-z@]{1,8}@[a-z]{1,5}(![a-z]{1,5})?",
        ) {
            let parts = Parts { node: &node, pid, pstart, counter, start, kind: &kind, id: &id, user: &user };
            let text = parts.text();
            if let Ok(upid) = text.parse::<Upid>() {
                prop_assert!(is_plain(&upid), "{}", text);
                prop_assert_eq!(signed_user(&upid), user);
            }
        }
    }
}
