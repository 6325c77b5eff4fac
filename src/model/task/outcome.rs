//! How a task ended: the facts, the outcome in words, and the exit code of `launch`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    exit_code,
    signal::Signal,
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

/// Who requested the end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    /// `control kill`, run by this user in this process.
    Control {
        /// Login name of the user of that `control`.
        user: String,
        /// Process id of that `control`.
        pid: i32,
    },
    /// A signal sent to the launcher.
    Signal {
        /// The signal.
        signal: Signal,
        /// Login name and process id of the sender (0: in another pid namespace); `None` if the
        /// kernel sent the signal, for the terminal or a limit.
        sender: Option<(String, i32)>,
    },
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Control { user, pid } => write!(f, "{user} (control, pid {pid})"),
            // The kernel reports no pid for a process of another pid namespace.
            Asker::Signal { signal, sender: Some((user, 0)) } => {
                write!(f, "{user} ({signal}, from outside the container)")
            }
            Asker::Signal { signal, sender: Some((user, pid)) } => write!(f, "{user} ({signal}, pid {pid})"),
            Asker::Signal { signal: signal @ (Signal::HUP | Signal::INT | Signal::QUIT), sender: None } => {
                write!(f, "the terminal ({signal})")
            }
            Asker::Signal { signal, sender: None } => write!(f, "the kernel ({signal})"),
        }
    }
}

/// Why a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The command ended by itself, or by a signal that taskwatcher did not send.
    Itself,
    /// No heartbeat for the timeout.
    NoHeartbeat(Duration),
    /// The run-time limit was exceeded.
    MaxRuntime(Duration),
    /// The end was requested.
    Asked(Asker),
}

/// The class of an outcome, for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// Parses the class from the outcome in a row of the history. An unknown text counts as a
    /// failure, so that it gets noticed.
    pub fn of_outcome(outcome: &str) -> Class {
        match outcome.split(':').next().unwrap_or_default() {
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
