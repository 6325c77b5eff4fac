//! The specification of a task to launch: its command, names and limits.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::model::{
    log::LOG_MAX,
    task::{KILL_AFTER, Signal, TaskRef},
};

/// What to do if a task with the same name is already running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfRunning {
    /// Fail.
    #[default]
    Fail,
    /// Succeed without running the command.
    Skip,
    /// Wait until the running task has ended.
    Wait,
}

impl IfRunning {
    /// Returns the word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            IfRunning::Fail => "fail",
            IfRunning::Skip => "skip",
            IfRunning::Wait => "wait",
        }
    }
}

/// One task to be launched.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The database.
    pub db: PathBuf,
    /// The reservation to claim. `None`: a new task id.
    pub reservation: Option<TaskRef>,
    /// Name of the task. `None`: the file name of the command.
    pub name: Option<String>,
    /// Arbitrary texts (`--info1` to `--info3`).
    pub info: [Option<String>; 3],
    /// The command, byte for byte.
    pub argv: Vec<OsString>,
    /// Folder of the feedback file. `None`: the current folder, if the command has `--feedback`.
    pub feedpath: Option<PathBuf>,
    /// Longest silence.
    pub timeout: Option<Duration>,
    /// Run-time limit.
    pub max_runtime: Option<Duration>,
    /// The polite signal.
    pub stop_signal: Signal,
    /// Grace period before SIGKILL.
    pub kill_after: Duration,
    /// Whether to allow only one task with this name at a time, and what to do if one is running.
    pub unique: Option<IfRunning>,
    /// Whether warnings count as a failure.
    pub fail_on_warnings: bool,
    /// Whether to keep the feedback file.
    pub keep_feedback: bool,
    /// Whether to log the output.
    pub log: bool,
    /// Maximum size of the log, in bytes.
    pub log_max: u64,
    /// Whether to show the output only if the task fails.
    pub chronic: bool,
}

impl Spec {
    /// Returns a specification with default values.
    pub fn new(db: PathBuf, argv: Vec<OsString>) -> Spec {
        Spec {
            db,
            reservation: None,
            name: None,
            info: [None, None, None],
            argv,
            feedpath: None,
            timeout: None,
            max_runtime: None,
            stop_signal: Signal::TERM,
            kill_after: KILL_AFTER,
            unique: None,
            fail_on_warnings: false,
            keep_feedback: false,
            log: true,
            log_max: LOG_MAX,
            chronic: false,
        }
    }

    /// Whether the command is expected to write a feedback file.
    pub fn gives_feedback(&self) -> bool {
        self.feedpath.is_some() || self.argv.iter().any(|arg| arg == "--feedback")
    }

    /// Returns the options that differ from the defaults, as a JSON array of words for the command line of `launch`,
    /// for `control run-again`. The reservation, the database and the command are not included.
    pub fn options_json(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push(format!("--{name}={value}"));
            }
        };
        let seconds = |span: Duration| format!("{}s", span.as_secs_f64());
        option("name", self.name.clone());
        for (name, value) in ["info1", "info2", "info3"].iter().zip(&self.info) {
            option(name, value.clone());
        }
        // A folder that is not UTF-8 is omitted, because a wrong path would be worse.
        option("feedpath", self.feedpath.as_deref().and_then(Path::to_str).map(str::to_owned));
        option("timeout", self.timeout.map(seconds));
        option("max-runtime", self.max_runtime.map(seconds));
        option("stop-signal", (self.stop_signal != Signal::TERM).then(|| self.stop_signal.to_string()));
        option("kill-after", (self.kill_after != KILL_AFTER).then(|| seconds(self.kill_after)));
        option("if-running", self.unique.map(|action| action.word().to_owned()));
        option("log-max", (self.log_max != LOG_MAX).then(|| self.log_max.to_string()));
        let flags = [
            ("no-log", !self.log),
            ("chronic", self.chronic),
            ("fail-on-warnings", self.fail_on_warnings),
            ("keep-feedback", self.keep_feedback),
        ];
        words.extend(flags.iter().filter(|(_, set)| *set).map(|(name, _)| format!("--{name}")));
        serde_json::Value::from(words).to_string()
    }
}

/// Default timeout of a task that gives feedback.
pub const TIMEOUT: Duration = Duration::from_secs(30);
