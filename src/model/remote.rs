//! Other hosts and their tasks, as they are kept here: names, sources, and a UPID in numbers.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    proxmox::{Api, Product},
    task::Outcome,
    upid::Upid,
};

/// Letters of a remote's name, at most.
const NAME: usize = 64;
/// How long after its first failure a remote is left alone; doubled with each more.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The name of a remote: it stands before the `!` of its tasks' UPIDs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

/// A text that is no name of a remote.
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
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a remote is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// A host that runs taskwatcher, through the user's own `ssh`.
    Ssh {
        /// `[user@]host`, or a name of the user's ssh configuration.
        host: String,
        /// The database there; none: the usual one of the user there.
        db: Option<String>,
    },
    /// A host or cluster of Proxmox VE.
    Pve(Api),
    /// A Proxmox Backup Server.
    Pbs(Api),
}

impl Source {
    /// The API of a Proxmox host.
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

/// A text that ssh would not take for a host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ssh destination: expected [USER@]HOST or a name of the ssh configuration")]
pub struct BadHost;

/// Reads `[user@]host`. What begins with a dash would be an option of ssh.
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

/// How long a remote is left alone after so many failures in a row.
pub fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(16)).min(LONGEST_PAUSE),
    }
}

/// What a task works on, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Nothing.
    None,
    /// A number in its shortest form, as those of virtual machines are.
    Number(i64),
    /// Anything else.
    Text(String),
}

impl Id {
    /// Reads it from a UPID's field.
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

/// The parts of a UPID from which its text can be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The host.
    pub node: &'a str,
    /// The process.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub pstart: u64,
    /// The counter of the ten-field form.
    pub counter: Option<u64>,
    /// Unix seconds.
    pub start: i64,
    /// The kind of task.
    pub kind: &'a str,
    /// What it works on, as the UPID has it.
    pub id: &'a str,
    /// Who started it, with the token if there is one.
    pub user: &'a str,
}

impl Parts<'_> {
    /// The text, as all writers of UPIDs print it.
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

/// A number in upper-case hexadecimal digits, eight of them at least.
fn push_hex(text: &mut String, number: u64) {
    let digits = (16 - number.leading_zeros() / 4).max(8);
    for place in (0..digits).rev() {
        let digit = number >> (place * 4) & 0xf;
        text.push(char::from(b"0123456789ABCDEF"[digit as usize]));
    }
}

/// The user of a UPID with its token.
pub fn signed_user(upid: &Upid) -> String {
    match &upid.tokenid {
        Some(token) => format!("{}!{token}", upid.user),
        None => upid.user.clone(),
    }
}

/// Whether a UPID's text, without the remote before it, is the one that its parts make.
pub fn is_plain(upid: &Upid) -> bool {
    let user = signed_user(upid);
    let parts = Parts {
        node: &upid.node,
        pid: upid.pid,
        pstart: upid.pstart,
        counter: upid.task_id,
        start: upid.starttime,
        kind: &upid.worker_type,
        id: &upid.raw_id,
        user: &user,
    };
    upid.remote.is_none() && upid.comment.is_empty() && upid.starttime >= 0 && parts.text() == upid.as_str()
}

/// What another host tells of a task beyond its UPID and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct More {
    /// The whole UPID, where it cannot be made of its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upid: Option<String>,
    /// The counter of a ten-field UPID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// Its name, where that is not its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node of a cluster in whose list the task stands, where its UPID names another one: a node that was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Side information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info1: Option<String>,
    /// Side information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info2: Option<String>,
    /// Side information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info3: Option<String>,
    /// Exit code of launch there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exitcode: Option<i64>,
}

impl More {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == More::default()
    }
}

/// The end of a task of another host, as its host tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEnd {
    /// Its identity.
    pub upid: Upid,
    /// Unix seconds.
    pub endtime: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What else is known.
    pub more: More,
}

/// A task of another host that has not ended, as its host tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRun {
    /// Its identity.
    pub upid: String,
    /// Unix seconds.
    pub start: i64,
    /// What its host says of it, as `control list --json` gives it: a JSON object as text, which most never look into.
    pub detail: String,
}

/// A task of another host that has not ended, as it is kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLive {
    /// Whose it is.
    pub remote: Arc<str>,
    /// What its host told.
    pub run: RemoteRun,
    /// When its host last said that it runs, unix seconds.
    pub seen: i64,
    /// Whether its host has not answered since.
    pub stale: bool,
}

impl RemoteRun {
    /// Returns the node in whose list the task stands, where its UPID names another one.
    pub fn via(&self) -> Option<String> {
        let detail: Value = serde_json::from_str(&self.detail).ok()?;
        detail["via"].as_str().map(str::to_owned)
    }
}

/// A task of another host that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTask {
    /// Its place among those of its second.
    pub ordinal: i64,
    /// Whose it is.
    pub remote: Arc<str>,
    /// The node that ran it.
    pub node: Arc<str>,
    /// The kind of task.
    pub kind: Arc<str>,
    /// Who started it.
    pub user: Arc<str>,
    /// Its identity, as its host wrote it.
    pub upid: String,
    /// Unix seconds.
    pub start: i64,
    /// Unix seconds.
    pub endtime: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What else is known, if anything is.
    pub more: Option<Box<More>>,
}

/// The outcome that a text tells, as our `control` and Proxmox tools write it.
pub fn outcome_of(text: &str) -> Outcome {
    let warnings = text.strip_prefix("WARNINGS: ").and_then(|count| count.trim().parse().ok());
    match (text, warnings, text.strip_prefix("ERROR: ")) {
        ("OK", ..) => Outcome::Ok,
        (_, Some(count), _) => Outcome::Warnings(count),
        ("unknown" | "", ..) => Outcome::Unknown(String::new()),
        (_, None, Some(reason)) => Outcome::Error(reason.to_owned()),
        (other, None, None) => Outcome::Error(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_fit_before_a_upid() {
        for text in ["a", "pve-a", "Host_1.example.org", "0"] {
            assert_eq!(text.parse::<RemoteName>().unwrap().as_str(), text);
        }
        let long = "x".repeat(65);
        for text in ["", "-a", ".a", "a b", "a!", "a:b", "ä", "a/b", long.as_str()] {
            assert_eq!(text.parse::<RemoteName>(), Err(BadRemoteName), "{text}");
        }
        for text in ["", "-oProxyCommand=x", "a b", "a\nb"] {
            assert_eq!(parse_ssh_host(text), Err(BadHost), "{text}");
        }
        assert_eq!(parse_ssh_host("me@[fe80::1%eth0]").unwrap(), "me@[fe80::1%eth0]");
    }

    #[test]
    fn a_dead_remote_is_asked_less_and_less_often() {
        let secs: Vec<u64> = (0..9).map(|n| pause(n).as_secs()).collect();
        assert_eq!(secs, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn outcomes_of_both_kinds_of_hosts_read() {
        assert_eq!(outcome_of("OK"), Outcome::Ok);
        assert_eq!(outcome_of("WARNINGS: 3"), Outcome::Warnings(3));
        assert_eq!(outcome_of("WARNINGS: many"), Outcome::Error("WARNINGS: many".into()));
        assert_eq!(outcome_of("ERROR: exit code 3"), Outcome::Error("exit code 3".into()));
        assert_eq!(outcome_of("job errors"), Outcome::Error("job errors".into()));
        assert_eq!(outcome_of("unknown"), Outcome::Unknown(String::new()));
    }

    #[test]
    fn only_what_reads_back_is_a_number() {
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
    fn what_nobody_prints_is_not_plain() {
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
        fn parts_of_a_plain_one_make_its_text(
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
