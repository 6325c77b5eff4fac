//! What is to be launched: one command, its names and its limits.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::model::{
    log::LOG_MAX,
    task::{Signal, TaskRef},
};

/// What a second start of a unique name does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfRunning {
    /// It is refused.
    #[default]
    Fail,
    /// It does nothing, successfully.
    Skip,
    /// It waits for its turn.
    Wait,
}

impl IfRunning {
    /// The word for it on the command line.
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
    /// The reservation to claim; none: one is made on the spot.
    pub reservation: Option<TaskRef>,
    /// Its name; none: the command's file name.
    pub name: Option<String>,
    /// Side information.
    pub info: [Option<String>; 3],
    /// The command, byte for byte.
    pub argv: Vec<OsString>,
    /// Folder of its feedback file; none: the current one.
    pub feedpath: Option<PathBuf>,
    /// Longest silence.
    pub timeout: Option<Duration>,
    /// Longest run.
    pub max_runtime: Option<Duration>,
    /// The polite signal.
    pub stop_signal: Signal,
    /// SIGKILL follows after this.
    pub kill_after: Duration,
    /// Only one task of the name at a time; what a second start does.
    pub unique: Option<IfRunning>,
    /// Whether warnings make a failure.
    pub fail_on_warnings: bool,
    /// Whether the feedback file stays.
    pub keep_feedback: bool,
    /// Whether its output is logged.
    pub log: bool,
    /// Longest log, bytes.
    pub log_max: u64,
    /// Whether its output is shown only if it fails.
    pub chronic: bool,
}

impl Spec {
    /// A command with everything else as it is by default.
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

    /// Whether it is expected to write a feedback file.
    pub fn gives_feedback(&self) -> bool {
        self.feedpath.is_some() || self.argv.iter().any(|arg| arg == "--feedback")
    }

    /// What makes this launch other than a plain one, as words for launch's command line and as JSON, so that it can be
    /// done again. What names one run (reservation, database, command) is not in it.
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
        // Where the folder is not UTF-8 it is not kept: a wrong one would be worse.
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

/// Longest silence of a task that gives feedback, if nothing else was said.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// SIGKILL follows the polite signal after this, if nothing else was said.
pub const KILL_AFTER: Duration = Duration::from_secs(5);
