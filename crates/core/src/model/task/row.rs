//! The rows of tasks: live, ended, and what is recorded at the end.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Class, EndedBy, Outcome, Process, Signal, Status, Stored, Timestamp, text::round_ms};
use crate::model::upid::Upid;

/// Grace of a task that sets none: the time between its stop signal and SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(5);

/// Everything that is recorded when a task ends; small and self-contained, so that it fits a spool
/// slot when the database cannot be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Time of the end, unix seconds.
    pub endtime: i64,
    /// Run time, seconds on the monotonic clock.
    pub duration: Option<f64>,
    /// The outcome.
    pub outcome: Stored<Outcome>,
    /// The class of the outcome.
    pub result: Class,
    /// The reason, as text.
    pub termerror: Option<String>,
    /// The signal that ended the command.
    pub termsignal: Option<Stored<Signal>>,
    /// Exit code of `launch`.
    pub exitcode: Option<i32>,
    /// Number of warnings reported.
    pub warnings: u64,
    /// Processor time in user mode, seconds, of the command and of the children it waited for.
    pub cpu_user: Option<f64>,
    /// Processor time in the kernel, seconds.
    pub cpu_sys: Option<f64>,
    /// Peak resident memory of the largest process, bytes.
    pub maxrss: Option<i64>,
    /// The command's pid, for a task that ended before its row had it.
    #[serde(default)]
    pub pid: Option<i32>,
    /// What ended the task; a text for the reason of a supervisor.
    pub ended_by: Option<Stored<EndedBy>>,
    /// For a run of a supervised process: whether the configuration expects such an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<bool>,
    /// The last feedback, a JSON object. Not spooled: the feedback file stays until it was read.
    #[serde(skip)]
    pub feedback: Option<String>,
}

impl End {
    /// Makes an end that has only an outcome, a time and a duration.
    pub fn new(outcome: &Outcome, at: Timestamp, duration: Option<Duration>) -> End {
        End {
            endtime: at.secs(),
            duration: duration.map(|d| round_ms(d.as_secs_f64())),
            outcome: Stored::Value(outcome.as_recorded()),
            result: outcome.class(),
            termerror: outcome.reason().map(str::to_owned),
            termsignal: None,
            exitcode: None,
            warnings: 0,
            cpu_user: None,
            cpu_sys: None,
            maxrss: None,
            pid: None,
            ended_by: None,
            expected: None,
            feedback: None,
        }
    }

    /// Cuts texts that are longer than `longest` characters.
    pub fn shorten(&mut self, longest: usize) {
        let cut = |text: &str| {
            let (at, _) = text.char_indices().nth(longest)?;
            Some(format!("{}…", &text[..at]))
        };
        if let Some(text) = cut(&self.outcome.text()) {
            self.outcome = Stored::read(&text);
        }
        if let Some(text) = self.termerror.as_deref().and_then(cut) {
            self.termerror = Some(text);
        }
        if let Some(text) = self.ended_by.as_ref().and_then(|by| cut(&by.to_string())) {
            self.ended_by = Some(Stored::read(&text));
        }
    }

    /// The outcome, with the reason if it is unknown.
    pub fn words(&self) -> Cow<'_, str> {
        self.outcome.with_reason(self.termerror.as_deref())
    }
}

/// A row of `tasks`.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// The task id.
    pub id: i64,
    /// Name, by default the command's file name.
    pub name: String,
    /// Free text.
    pub info: [Option<String>; 3],
    /// The command.
    pub pid: Option<i32>,
    /// Start time of the command's process, clock ticks since boot.
    pub pid_pstart: Option<u64>,
    /// Status as last stored; the displayed status is computed from the facts.
    pub status: Option<Status>,
    /// Whether the command gives feedback.
    pub feedback: bool,
    /// Time of the reservation, unix seconds.
    pub reservetime: Option<i64>,
    /// Time when the reservation expires, unix seconds.
    pub expires: Option<i64>,
    /// Time of the start, unix seconds.
    pub starttime: Option<i64>,
    /// Run time as last stored, seconds.
    pub duration: Option<f64>,
    /// Last sign of life, unix seconds.
    pub lastupdate: Option<i64>,
    /// Longest silence allowed, seconds.
    pub timeout: Option<f64>,
    /// Longest run allowed, seconds.
    pub max_runtime: Option<f64>,
    /// The handle: random, unguessable.
    pub handle: String,
    /// The UPID, once started.
    pub upid: Option<Stored<Upid>>,
    /// The launcher.
    pub launcher: Option<Process>,
    /// Boot id at the start.
    pub boot_id: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// Login name.
    pub user: Option<String>,
    /// Argument vector, as [`argv_json`] writes it.
    pub argv: Option<String>,
    /// Working directory, lossy where it is not UTF-8.
    pub cwd: Option<String>,
    /// Full path of the feedback file.
    pub feedpath: Option<PathBuf>,
    /// Whether the feedback file is kept after the end.
    pub keep_feedback: bool,
    /// The stop signal.
    pub stop_signal: Option<Stored<Signal>>,
    /// Seconds between the stop signal and SIGKILL.
    pub kill_after: Option<f64>,
    /// Path of its log file, lossy where it is not UTF-8.
    pub log: Option<String>,
    /// The options of `launch`, a JSON array of the words of its command line.
    pub options: Option<String>,
    /// The supervised process of which this task is a run, a JSON object; `None`: not supervised.
    pub supervised: Option<String>,
    /// The task's slot in the spool.
    pub slot: Option<i64>,
    /// The last stored feedback, a JSON object.
    pub values: Option<String>,
    /// Further marks that identify the processes.
    pub signs: Signs,
}

/// Marks that identify the processes of a task besides pids and start times. Rows of older versions
/// have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Whether the launcher holds a lock on its slot of the spool for as long as it lives.
    pub held: bool,
    /// The pid and time namespaces in which pids and start times are counted.
    pub namespace: Option<String>,
    /// Inode of the launcher's pidfd, not reused until the next boot (Linux 6.9).
    pub launcher_inode: Option<u64>,
    /// Inode of the command's pidfd.
    pub pid_inode: Option<u64>,
    /// The command's session id.
    pub pid_session: Option<i32>,
}

impl Task {
    /// Whether the task is a reservation that was not claimed.
    pub fn is_reserved(&self) -> bool {
        self.status == Some(Status::Reserved)
    }

    /// Whether the task is a reservation that has expired; `now` in unix seconds.
    pub fn has_lapsed(&self, now: i64) -> bool {
        self.is_reserved() && self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether the task is a worker inside a process: launcher and command are the same process,
    /// and the UPID has a counter.
    pub fn is_worker(&self) -> bool {
        let counter = self.upid.as_ref().and_then(|upid| upid.value()?.task_id);
        counter.is_some() && self.launcher.is_some() && self.command() == self.launcher
    }

    /// The text of the UPID, once started.
    pub fn upid(&self) -> Option<&str> {
        self.upid.as_ref().map(Stored::as_str)
    }

    /// The command's process, once known.
    pub fn command(&self) -> Option<Process> {
        Some(Process { pid: self.pid?, pstart: self.pid_pstart? })
    }

    /// Longest silence allowed.
    pub fn silence(&self) -> Option<Duration> {
        self.timeout.and_then(|secs| Duration::try_from_secs_f64(secs).ok())
    }
}

/// A row of `history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of schema.sql, which explains each")]
pub struct HistoryRow {
    pub id: i64,
    pub taskid: i64,
    pub taskname: Option<String>,
    pub info1: Option<String>,
    pub info2: Option<String>,
    pub info3: Option<String>,
    pub outcome: Stored<Outcome>,
    pub termsignal: Option<Stored<Signal>>,
    pub termerror: Option<String>,
    pub exitcode: Option<i64>,
    pub starttime: Option<i64>,
    pub endtime: i64,
    pub duration: Option<f64>,
    pub feedback: Option<serde_json::Value>,
    pub warnings: i64,
    pub upid: Option<Stored<Upid>>,
    pub handle: Option<String>,
    pub pid: Option<i64>,
    pub argv: Option<serde_json::Value>,
    pub cwd: Option<String>,
    pub user: Option<String>,
    pub host: Option<String>,
    pub log: Option<String>,
    pub cpu_user: Option<f64>,
    pub cpu_sys: Option<f64>,
    pub maxrss: Option<i64>,
    pub ended_by: Option<Stored<EndedBy>>,
    pub reservetime: Option<i64>,
    pub options: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<serde_json::Value>,
}

impl HistoryRow {
    /// The text of the UPID; `None` for a reservation that never started.
    pub fn upid(&self) -> Option<&str> {
        self.upid.as_ref().map(Stored::as_str)
    }

    /// The outcome, with the reason if it is unknown.
    pub fn words(&self) -> Cow<'_, str> {
        self.outcome.with_reason(self.termerror.as_deref())
    }

    /// Whether the reader of its output ended the task, so that the run is neither a success nor a failure.
    pub fn is_cut_short(&self) -> bool {
        self.ended_by == Some(Stored::Value(EndedBy::Reader))
    }

    /// Returns the row that `task` becomes when it ends with `end`.
    pub fn of(task: &Task, end: &End) -> HistoryRow {
        let parsed = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let [info1, info2, info3] = task.info.clone();
        HistoryRow {
            id: task.id,
            taskid: task.id,
            taskname: Some(task.name.clone()),
            info1,
            info2,
            info3,
            outcome: end.outcome.clone(),
            termsignal: end.termsignal.clone(),
            termerror: end.termerror.clone(),
            exitcode: end.exitcode.map(i64::from),
            starttime: task.starttime,
            endtime: end.endtime,
            duration: end.duration,
            feedback: parsed(&end.feedback).or_else(|| parsed(&task.values)),
            warnings: i64::try_from(end.warnings).unwrap_or(i64::MAX),
            upid: task.upid.clone(),
            handle: Some(task.handle.clone()),
            pid: task.pid.or(end.pid).map(i64::from),
            argv: parsed(&task.argv),
            cwd: task.cwd.clone(),
            user: task.user.clone(),
            host: task.host.clone(),
            log: task.log.clone(),
            cpu_user: end.cpu_user,
            cpu_sys: end.cpu_sys,
            maxrss: end.maxrss,
            ended_by: end.ended_by.clone(),
            reservetime: task.reservetime,
            options: parsed(&task.options),
            supervised: parsed(&task.supervised).map(|mut supervised: serde_json::Value| {
                if let (Some(object), Some(expected)) = (supervised.as_object_mut(), end.expected) {
                    object.insert("expected".into(), expected.into());
                }
                supervised
            }),
        }
    }
}

/// Encodes an argument vector as a JSON array that preserves every byte: an argument that is not
/// UTF-8 becomes `{"bytes":"base64…"}`.
pub fn argv_json(argv: &[impl AsRef<std::ffi::OsStr>]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use std::os::unix::ffi::OsStrExt;
    let items = argv.iter().map(|arg| {
        let arg = arg.as_ref();
        match arg.to_str() {
            Some(text) => serde_json::Value::from(text),
            None => serde_json::json!({ "bytes": STANDARD.encode(arg.as_bytes()) }),
        }
    });
    serde_json::Value::Array(items.collect()).to_string()
}

/// Decodes the array that [`argv_json`] wrote; `None` if it is invalid.
pub fn argv_of_json(json: &serde_json::Value) -> Option<Vec<std::ffi::OsString>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use std::os::unix::ffi::OsStringExt;
    let item = |item: &serde_json::Value| match item {
        serde_json::Value::String(text) => Some(text.into()),
        other => {
            let bytes = STANDARD.decode(other.get("bytes")?.as_str()?).ok()?;
            Some(std::ffi::OsString::from_vec(bytes))
        }
    };
    json.as_array()?.iter().map(item).collect()
}

/// Formats [`Task::supervised`], as JSON, for people, with whether the end was expected.
pub fn supervised_text(of: &serde_json::Value) -> String {
    let text = |key: &str| of[key].as_str().unwrap_or("?");
    let attempt = of["attempt"].as_u64().unwrap_or(1);
    let expected = match of["expected"].as_bool() {
        None => "",
        Some(true) => "; its end was expected",
        Some(false) => "; its end was not expected",
    };
    let (process, program, group) = (text("process"), text("program"), text("group"));
    format!("process {process} of program {program} in group {group}, start {attempt}{expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_an_argument_comes_back() {
        use std::os::unix::ffi::OsStringExt;
        let argv: Vec<std::ffi::OsString> =
            vec!["a b".into(), "".into(), std::ffi::OsString::from_vec(vec![0xff, b'x'])];
        let json = serde_json::from_str(&argv_json(&argv)).unwrap();
        assert_eq!(argv_of_json(&json), Some(argv));
        for bad in [serde_json::json!(null), serde_json::json!([1]), serde_json::json!([{ "bytes": "?" }])] {
            assert_eq!(argv_of_json(&bad), None);
        }
    }

    #[test]
    fn argv_keeps_every_byte() {
        use std::{ffi::OsString, os::unix::ffi::OsStringExt};
        let argv = [OsString::from("a\n\"b"), OsString::new(), OsString::from_vec(vec![0xff, b'x'])];
        assert_eq!(argv_json(&argv), r#"["a\n\"b","",{"bytes":"/3g="}]"#);
    }
}
