//! What `control` on another host prints, as values. This is the only place that reads text of another host.
//!
//! `wait --json` and `kill --json` print an object for each task. `wait` without `--json` prints a line, because its
//! object lacks the reason of an unknown end, and messages on standard error are lines in any case: the protocol between
//! hosts has no other form for them, and a host may run an older version. Such a line is read by [`HeardTask::of_wait`]
//! and [`message`].

use serde_json::Value;

use super::of_remote;
use crate::{
    app::{
        service::{KillReport, Killed},
        show,
    },
    model::{
        remote::outcome_of,
        task::{Outcome, RemoteName, RemoteTaskRef, TaskId, TaskRef},
        upid::Upid,
    },
};

/// A task in a line of `wait` or `kill`.
#[derive(Debug)]
pub(super) struct HeardTask {
    /// Task id on its host.
    pub(super) number: i64,
    /// Its UPID, without the remote.
    pub(super) upid: Option<Upid>,
    /// How it ended; `None`: the line does not say it, or lacks the reason of an unknown end.
    pub(super) outcome: Option<Outcome>,
    /// The line with the local name of the task.
    pub(super) line: String,
}

impl HeardTask {
    /// Reads a line of `wait`.
    ///
    /// # Errors
    /// The line as it can be printed, if it is not about a task.
    pub(super) fn of_wait(remote: &RemoteName, line: &[u8], json: bool) -> Result<HeardTask, String> {
        let text = String::from_utf8_lossy(line);
        if json && let Ok(mut task) = serde_json::from_slice::<Value>(line) {
            let upid: Option<Upid> = task["upid"].as_str().and_then(|upid| upid.parse().ok());
            let number = upid.as_ref().and_then(Upid::number).or(task["taskid"].as_i64());
            let number = number.or_else(|| task["id"].as_str()?.parse().ok());
            let outcome = task["exitstatus"].as_str().and_then(known);
            of_remote(remote.as_str(), &mut task);
            let line = task.to_string();
            return number.map(|number| HeardTask { number, upid, outcome, line: line.clone() }).ok_or(line);
        }
        let (number, words) = text.split_once(' ').unwrap_or((&text, ""));
        match number.parse() {
            Ok(number) => {
                let line = show::clean(&format!("{remote}!{text}"));
                Ok(HeardTask { number, upid: None, outcome: known(words), line })
            }
            Err(_) => Err(show::clean(&text)),
        }
    }
}

/// Returns the outcome that a text says. Each verb prints the reason of an unknown end in another form.
fn known(text: &str) -> Option<Outcome> {
    Some(text).filter(|text| !text.is_empty() && !text.starts_with("unknown")).map(outcome_of)
}

/// Reads a line of `kill --json`.
///
/// # Errors
/// The line as it can be printed, if it is not about a task.
pub(super) fn killed(remote: &RemoteName, line: &[u8]) -> Result<KillReport, String> {
    let read = || -> Option<KillReport> {
        let task: Value = serde_json::from_slice(line).ok()?;
        let number = TaskId(task["taskid"].as_i64()?);
        Some(KillReport {
            task: TaskRef::Remote(remote.clone(), RemoteTaskRef::Number(number)),
            upid: None,
            name: task["name"].as_str().unwrap_or_default().to_owned(),
            how: Killed::of_text(task["result"].as_str()?),
        })
    };
    read().ok_or_else(|| show::clean(&String::from_utf8_lossy(line)))
}

/// Returns a message of `control` for this host: with the name of the remote, and with local names of tasks, such as
/// `task web!7` for `task 7`. `None` if it is not from `control`, but from ssh or a shell.
pub(super) fn message(remote: &str, line: &str) -> Option<String> {
    let text = line.strip_prefix("control: ")?;
    let mut parts = text.split("task ");
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        named.push_str("task ");
        let behind = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_number = behind.len() < part.len() && !behind.starts_with(|c: char| c.is_alphanumeric());
        if is_number || part.starts_with("UPID:") {
            named.push_str(remote);
            named.push('!');
        }
        named.push_str(part);
    }
    let named = match named.strip_prefix("error: ") {
        Some(why) => format!("error: remote {remote}: {why}"),
        None => format!("remote {remote}: {named}"),
    };
    Some(show::clean(&named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> RemoteName {
        "web".parse().unwrap()
    }

    #[test]
    fn messages_of_another_host_name_its_remote_and_its_tasks() {
        for (there, here) in [
            ("control: error: it is locked", "error: remote web: it is locked"),
            ("control: error: there is no task 7", "error: remote web: there is no task web!7"),
            ("control: task 12 has not ended: RUNNING", "remote web: task web!12 has not ended: RUNNING"),
            ("control: task 12: task 13", "remote web: task web!12: task web!13"),
            ("control: there is no task UPID:n:1:", "remote web: there is no task web!UPID:n:1:"),
            ("control: the task is gone, task 7x too", "remote web: the task is gone, task 7x too"),
            ("control: task ", "remote web: task "),
            ("control: \x1b[2J", "remote web: \\x1b[2J"),
        ] {
            assert_eq!(message("web", there).as_deref(), Some(here));
        }
        assert_eq!(message("web", "bash: control: command not found"), None);
    }

    #[test]
    fn a_line_of_wait_is_a_task_with_its_outcome() {
        for (line, number, outcome, here) in [
            ("7 OK", 7, Some(Outcome::Ok), "web!7 OK"),
            ("7 WARNINGS: 2", 7, Some(Outcome::Warnings(2)), "web!7 WARNINGS: 2"),
            ("12 ERROR: exit code 3", 12, Some(Outcome::Error("exit code 3".into())), "web!12 ERROR: exit code 3"),
            ("12 unknown: launcher lost", 12, None, "web!12 unknown: launcher lost"),
            ("7", 7, None, "web!7"),
        ] {
            let heard = HeardTask::of_wait(&web(), line.as_bytes(), false).unwrap();
            assert_eq!((heard.number, heard.outcome, &*heard.line), (number, outcome, here));
        }
        let strange = HeardTask::of_wait(&web(), b"Welcome\x07", false).unwrap_err();
        assert_eq!(strange, "Welcome\\x07");
    }

    #[test]
    fn an_object_of_wait_is_a_task_with_its_upid() {
        let upid = "UPID:n:00000001:00000001:618C1D55:t:7:u@pam:";
        let line = format!(r#"{{"upid":"{upid}","status":"stopped","exitstatus":"exit code 3"}}"#);
        let heard = HeardTask::of_wait(&web(), line.as_bytes(), true).unwrap();
        assert_eq!((heard.number, heard.upid.as_ref().map(Upid::as_str)), (7, Some(upid)));
        assert_eq!(heard.outcome, Some(Outcome::Error("exit code 3".into())));
        assert!(heard.line.starts_with(&format!(r#"{{"upid":"web!{upid}","#)), "{}", heard.line);
        assert!(heard.line.ends_with(r#","remote":"web"}"#), "{}", heard.line);
        let reserved = HeardTask::of_wait(&web(), br#"{"id":"9","status":"running"}"#, true).unwrap();
        assert_eq!((reserved.number, reserved.outcome), (9, None));
        let other = HeardTask::of_wait(&web(), b"{}", true).unwrap_err();
        assert_eq!(other, r#"{"remote":"web"}"#);
    }

    #[test]
    fn an_object_of_kill_is_a_report_like_one_of_this_host() {
        let read = |line: &str| killed(&web(), line.as_bytes());
        let report = read(r#"{"taskid":7,"name":"nightly","result":"ERROR: killed by me"}"#).unwrap();
        assert_eq!(report.to_string(), "task web!7 (nightly): ERROR: killed by me");
        let report = read(r#"{"taskid":7,"name":"a","result":"asked to end"}"#).unwrap();
        assert_eq!((report.how, report.name.as_str()), (Killed::Asked, "a"));
        assert_eq!(read("no\x07 object").unwrap_err(), "no\\x07 object");
    }
}
