//! How a task ended: the facts, the outcome in words, and the exit code of `launch`.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use super::{
    cause::{Asker, Cause},
    exit_code,
    signal::Signal,
    stored::{OfText, Stored},
    text::{printable, span},
};

/// How a process ended, as the kernel reports it to the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// Exit code, 0–255.
    Code(i32),
    /// Ended by a signal.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether a core file was written.
        core: bool,
    },
}

/// The class of an outcome, for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Exited 0.
    Ok,
    /// Exited 0 and reported warnings.
    Warnings,
    /// Failed.
    Error,
    /// The end was not observed.
    Unknown,
}

impl Class {
    /// Whether the class counts as a success: `Ok` or `Warnings`.
    pub fn is_success(self) -> bool {
        match self {
            Class::Ok | Class::Warnings => true,
            Class::Error | Class::Unknown => false,
        }
    }

    /// Returns the class of a text that is not an outcome. An unknown text counts as a failure, so that it gets noticed.
    fn of_foreign(text: &str) -> Class {
        match text.split(':').next().unwrap_or_default() {
            "OK" => Class::Ok,
            "WARNINGS" => Class::Warnings,
            "unknown" => Class::Unknown,
            _ => Class::Error,
        }
    }

    /// All classes.
    pub const ALL: [Class; 4] = [Class::Ok, Class::Warnings, Class::Error, Class::Unknown];

    /// Text in filters and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Ok => "ok",
            Class::Warnings => "warnings",
            Class::Error => "error",
            Class::Unknown => "unknown",
        }
    }
}

/// How a task ended, as the history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `OK`
    Ok,
    /// `WARNINGS: n`
    Warnings(u64),
    /// `ERROR: text`
    Error(String),
    /// `unknown`, with the reason why the end was not observed.
    Unknown(String),
}

impl Outcome {
    /// The class, for filters.
    pub fn class(&self) -> Class {
        match self {
            Outcome::Ok => Class::Ok,
            Outcome::Warnings(_) => Class::Warnings,
            Outcome::Error(_) => Class::Error,
            Outcome::Unknown(_) => Class::Unknown,
        }
    }

    /// Returns the outcome as the column of a row keeps it, where another column has the reason of an unknown one.
    pub fn as_recorded(&self) -> Outcome {
        match self {
            Outcome::Unknown(_) => Outcome::Unknown(String::new()),
            other => other.clone(),
        }
    }

    /// The reason; `None` for a success.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Ok | Outcome::Warnings(_) => None,
            Outcome::Error(reason) | Outcome::Unknown(reason) => Some(reason),
        }
    }
}

impl Outcome {
    /// The outcome as text, with the reason of an unknown one.
    pub fn with_reason(&self) -> String {
        match self {
            Outcome::Unknown(why) if !why.is_empty() => format!("{self}: {why}"),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok => f.write_str("OK"),
            Outcome::Warnings(n) => write!(f, "WARNINGS: {n}"),
            Outcome::Error(reason) => write!(f, "ERROR: {reason}"),
            Outcome::Unknown(_) => f.write_str("unknown"),
        }
    }
}

impl OfText for Outcome {
    fn of_text(text: &str) -> Option<Outcome> {
        match text {
            "OK" => Some(Outcome::Ok),
            "unknown" => Some(Outcome::Unknown(String::new())),
            _ => match text.strip_prefix("ERROR: ") {
                Some(reason) => Some(Outcome::Error(reason.to_owned())),
                None => text.strip_prefix("WARNINGS: ")?.trim().parse().ok().map(Outcome::Warnings),
            },
        }
    }
}

impl Stored<Outcome> {
    /// The class, for filters.
    pub fn class(&self) -> Class {
        match self {
            Stored::Value(outcome) => outcome.class(),
            Stored::Text(text) => Class::of_foreign(text),
        }
    }

    /// The text of the column.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Stored::Value(Outcome::Ok) => Cow::Borrowed("OK"),
            Stored::Value(Outcome::Unknown(_)) => Cow::Borrowed("unknown"),
            Stored::Value(outcome @ (Outcome::Warnings(_) | Outcome::Error(_))) => Cow::Owned(outcome.to_string()),
            Stored::Text(text) => Cow::Borrowed(text),
        }
    }

    /// The text after `ERROR: `; `None` for other outcomes.
    pub fn error(&self) -> Option<&str> {
        match self {
            Stored::Value(Outcome::Error(reason)) => Some(reason),
            Stored::Value(Outcome::Ok | Outcome::Warnings(_) | Outcome::Unknown(_)) | Stored::Text(_) => None,
        }
    }

    /// Whether the text says `ERROR`; a foreign text can be of the class of errors without saying so.
    pub fn says_error(&self) -> bool {
        match self {
            Stored::Value(outcome) => outcome.class() == Class::Error,
            Stored::Text(text) => text.starts_with("ERROR"),
        }
    }

    /// Whether the text is `unknown`.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Stored::Value(Outcome::Unknown(_)))
    }

    /// The text of the column, with the recorded reason if it is `unknown`.
    pub fn with_reason(&self, reason: Option<&str>) -> Cow<'_, str> {
        match reason {
            Some(why) if self.is_unknown() => Cow::Owned(format!("unknown: {why}")),
            Some(_) | None => self.text(),
        }
    }
}

/// How a watched task ended: cause, exit status, and the last signal sent to end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why it ended.
    pub cause: Cause,
    /// How the command itself ended.
    pub exit: Exit,
    /// The last signal sent to end the command, if any.
    pub sent: Option<Signal>,
}

impl Ended {
    /// Returns the outcome, given the number of warnings and the reason why output was lost on its
    /// way to the reader, if any. Lost output turns a success into a failure.
    pub fn outcome(&self, warnings: u64, lost: Option<&str>) -> Outcome {
        match (&self.cause, self.exit) {
            (Cause::NoHeartbeat(timeout), _) => Outcome::Error(format!("no heartbeat for {}", span(*timeout))),
            (Cause::MaxRuntime(limit), _) => Outcome::Error(format!("ran longer than {}", span(*limit))),
            (Cause::Asked(asker), _) => Outcome::Error(format!("killed by {asker}")),
            (Cause::Itself, Exit::Code(0)) if let Some(why) = lost => {
                Outcome::Error(format!("its output was lost: {why}"))
            }
            (Cause::Itself, Exit::Signal { signal: Signal::PIPE, .. }) if let Some(why) = lost => {
                Outcome::Error(format!("killed by {}, its output was lost: {why}", Signal::PIPE))
            }
            (Cause::Itself, Exit::Code(0)) if warnings > 0 => Outcome::Warnings(warnings),
            (Cause::Itself, Exit::Code(0)) => Outcome::Ok,
            (Cause::Itself, Exit::Code(code)) => Outcome::Error(format!("exit code {code}")),
            (Cause::Itself, Exit::Signal { signal, core: true }) => {
                Outcome::Error(format!("killed by {signal} (core dumped)"))
            }
            (Cause::Itself, Exit::Signal { signal, core: false }) => Outcome::Error(format!("killed by {signal}")),
        }
    }

    /// The signal that ended the command; `None` if it exited, even if it did so on a signal that
    /// it handled.
    pub fn signal(&self) -> Option<Signal> {
        match self.exit {
            Exit::Signal { signal, .. } => Some(signal),
            Exit::Code(_) => None,
        }
    }

    /// The exit code of `launch`.
    pub fn exit_code(&self, warnings: u64, fail_on_warnings: bool, lost: Option<&str>) -> i32 {
        let died_of = |fallback: Signal| 128 + self.signal().or(self.sent).unwrap_or(fallback).0;
        match (&self.cause, self.exit) {
            (Cause::NoHeartbeat(_) | Cause::MaxRuntime(_), _) => exit_code::TIMED_OUT,
            (Cause::Asked(Asker::Signal { signal, .. }), _) => 128 + signal.0,
            (Cause::Asked(Asker::Control { .. }), _) => died_of(Signal::TERM),
            (Cause::Itself, Exit::Code(0)) if lost.is_some() || fail_on_warnings && warnings > 0 => exit_code::FAILED,
            (Cause::Itself, Exit::Code(code)) => code,
            (Cause::Itself, Exit::Signal { signal, .. }) => 128 + signal.0,
        }
    }
}

/// What was found at the path of a command that could not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRunnable {
    /// A folder.
    Folder,
    /// A file without execute permission.
    NotExecutable,
    /// Neither a script nor a program for this kind of machine.
    Binary,
    /// A script whose interpreter does not exist, with the name in its first line; `None`: a
    /// program whose loader does not exist.
    NoInterpreter(Option<std::ffi::OsString>),
    /// Nothing, or anything else: the kernel's reason is sufficient.
    Other,
}

/// Returns the outcome of a command that could not be run at all, and the exit code of `launch`:
/// 127 if the command does not exist, 126 if it exists and cannot be executed.
pub fn cannot_run(program: &str, reason: &str, not_found: bool, found: &NotRunnable) -> (Outcome, i32) {
    let code = match found {
        NotRunnable::Other if not_found => exit_code::NOT_FOUND,
        _ => exit_code::NOT_EXECUTABLE,
    };
    let program = printable(program);
    let words = match found {
        NotRunnable::Other if program.is_empty() => "cannot run \"\": an empty name".to_owned(),
        NotRunnable::Folder => format!("cannot run {program}: it is a folder"),
        NotRunnable::NotExecutable => format!("cannot run {program}: it is not executable (chmod +x)"),
        NotRunnable::Binary => format!("cannot run {program}: neither a script nor a program for this machine"),
        NotRunnable::NoInterpreter(Some(name)) => {
            format!("cannot run {program}: its interpreter {name:?} does not exist")
        }
        NotRunnable::NoInterpreter(None) => format!("cannot run {program}: its loader does not exist"),
        NotRunnable::Other => format!("cannot run {program}: {reason}"),
    };
    (Outcome::Error(words), code)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ended(cause: Cause, exit: Exit, sent: Option<Signal>) -> Ended {
        Ended { cause, exit, sent }
    }

    #[test]
    fn outcomes_and_exit_codes_follow_the_table() {
        let segv = Exit::Signal { signal: Signal(11), core: true };
        let killed = Exit::Signal { signal: Signal::KILL, core: false };
        let control = Cause::Asked(Asker::Control { user: "root".into(), pid: 812 });
        let by_signal = Cause::Asked(Asker::Signal { signal: Signal::INT, sender: None });
        let secs = Duration::from_secs;
        let table = [
            (ended(Cause::Itself, Exit::Code(0), None), 0, "OK", 0, None),
            (ended(Cause::Itself, Exit::Code(0), None), 2, "WARNINGS: 2", 1, None),
            (ended(Cause::Itself, Exit::Code(3), None), 2, "ERROR: exit code 3", 3, None),
            (ended(Cause::Itself, segv, None), 0, "ERROR: killed by SIGSEGV (core dumped)", 139, Some("SIGSEGV")),
            (ended(Cause::Itself, killed, None), 0, "ERROR: killed by SIGKILL", 137, Some("SIGKILL")),
            (
                ended(Cause::NoHeartbeat(secs(30)), killed, Some(Signal::KILL)),
                0,
                "ERROR: no heartbeat for 30s",
                124,
                Some("SIGKILL"),
            ),
            (
                ended(Cause::MaxRuntime(secs(7200)), Exit::Code(0), Some(Signal::TERM)),
                0,
                "ERROR: ran longer than 2h",
                124,
                None,
            ),
            (
                ended(control, Exit::Code(0), Some(Signal::TERM)),
                0,
                "ERROR: killed by root (control, pid 812)",
                143,
                None,
            ),
            (
                ended(by_signal, Exit::Code(7), Some(Signal::TERM)),
                0,
                "ERROR: killed by the terminal (SIGINT)",
                130,
                None,
            ),
        ];
        for (ended, warnings, outcome, code, signal) in table {
            assert_eq!(ended.outcome(warnings, None).to_string(), outcome);
            assert_eq!(ended.exit_code(warnings, true, None), code, "{outcome}");
            assert_eq!(ended.signal().map(|s| s.to_string()).as_deref(), signal, "{outcome}");
        }
    }

    #[test]
    fn what_ends_well_and_loses_its_output_has_failed() {
        let by = |signal| Exit::Signal { signal, core: false };
        let table = [
            (Exit::Code(0), "ERROR: its output was lost: disk full", 1),
            (by(Signal::PIPE), "ERROR: killed by SIGPIPE, its output was lost: disk full", 141),
            (Exit::Code(3), "ERROR: exit code 3", 3),
            (by(Signal::TERM), "ERROR: killed by SIGTERM", 143),
        ];
        for (exit, outcome, code) in table {
            let ended = ended(Cause::Itself, exit, None);
            assert_eq!(ended.outcome(1, Some("disk full")).to_string(), outcome);
            assert_eq!(ended.exit_code(1, false, Some("disk full")), code, "{outcome}");
        }
    }
}
