//! Protocol between a supervisor and the shim of a run.
//!
//! Each run of a supervised process has its own shim, a `launch` process that outlives the
//! supervisor if that dies. So every part of the protocol must be available to the next supervisor
//! too: the [`RunSpec`] is passed once, at the start; the state of the run is in a file that only
//! the shim writes; and commands for a run in progress go to a socket named in the `RunSpec`. The
//! database takes no part in the protocol, because it may be locked or full.

use std::{fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use super::identity::Identity;
use super::task::{Exit, Process, Signal, Tick};

/// A log file of a program, shared by its successive runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramLog {
    /// Path of the file.
    pub path: PathBuf,
    /// Largest size, bytes; 0: unlimited.
    pub max: u64,
    /// Number of older files to keep.
    pub backups: u32,
    /// Whether only the owner may read the file: its path is a default in a folder where all users
    /// can write.
    pub private: bool,
    /// Whether to remove colours and other terminal sequences.
    pub strip_ansi: bool,
}

/// The standard input of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandInput {
    /// `/dev/null`.
    Null,
    /// A pipe, fed by [`ShimCommand::Input`].
    Pipe,
}

/// Destination of a stream of the command besides the log of its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamTarget {
    /// None.
    None,
    /// This file.
    Log(ProgramLog),
    /// The destination of the other stream, in the order of writing.
    Joined,
}

/// Everything a shim needs to start one run of a supervised process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Names the run and its state file.
    pub handle: String,
    /// Names the socket on which the shim receives commands. That name is visible to all users, so
    /// the handle is not in it.
    pub ear: String,
    /// The run folder.
    pub folder: PathBuf,
    /// The supervisor that started this run. Nothing is started once this process is gone: the next
    /// supervisor starts its own runs.
    pub supervisor: Process,
    /// The database.
    pub db: PathBuf,
    /// How long the start may wait for the database, milliseconds. Afterwards the command starts
    /// without a task, and gets one as soon as the database can be written.
    pub patience: u64,
    /// Full name of the process, also the name of the task.
    pub process: String,
    /// Its program.
    pub program: String,
    /// Its group.
    pub group: String,
    /// Number of this start of the process, from 1, counted since its last start by a request.
    pub attempt: u32,
    /// Hash of the settings that need a restart to change; see `model::program`.
    pub version: String,
    /// Side information.
    pub info: [Option<String>; 3],
    /// Why nothing is executed, if already known: then only the failure is recorded.
    pub refused: Option<NotStarted>,
    /// The file to execute.
    pub file: PathBuf,
    /// The arguments, including argument 0: a JSON array as made by [`super::task::argv_json`].
    pub argv: String,
    /// The environment as `NAME=value`, in the same form; the variables of a task are added to it.
    pub env: String,
    /// Working directory; `None`: that of the supervisor.
    pub directory: Option<PathBuf>,
    /// Umask; `None`: that of the supervisor.
    pub umask: Option<u32>,
    /// User to run as; `None`: that of the supervisor.
    pub user: Option<Identity>,
    /// Descriptor 0.
    pub stdin: CommandInput,
    /// Descriptor 1.
    pub stdout: StreamTarget,
    /// Descriptor 2.
    pub stderr: StreamTarget,
    /// Longest silence, milliseconds; `None`: no heartbeat is expected.
    pub timeout: Option<u64>,
    /// Folder of the feedback file, if the command gives feedback.
    pub feedpath: Option<PathBuf>,
    /// The stop signal, used after too long a silence.
    pub stop_signal: Signal,
    /// Milliseconds between the stop signal and SIGKILL.
    pub kill_after: u64,
    /// Whether the rest of the process group is killed as soon as its leader has ended.
    pub killasgroup: bool,
    /// Exit codes that count as expected.
    pub exitcodes: Vec<u8>,
}

impl RunSpec {
    /// The JSON object stored in the row of the task: process, program, group, number of the start,
    /// and supervisor.
    pub fn supervised(&self) -> String {
        let supervisor = format!("{}:{}", self.supervisor.pid, self.supervisor.pstart);
        // A process is named and grouped after its program unless configured otherwise.
        let process = self.process.rsplit_once(':').map_or(self.process.as_str(), |(_, name)| name);
        serde_json::json!({
            "program": self.program,
            "process": process,
            "group": self.group,
            "attempt": self.attempt,
            "supervisor": supervisor,
        })
        .to_string()
    }
}

/// A failed start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// The cause, as text: `command not found: foo`.
    pub cause: String,
    /// Whether the file does not exist.
    pub not_found: bool,
    /// Whether a resource of the machine was short (descriptors, processes, memory, disk space).
    /// Such a failure is transient and not the program's fault.
    #[serde(default)]
    pub passing: bool,
}

impl NotStarted {
    /// Makes a failure whose cause is the program or its configuration.
    pub fn refused(cause: String) -> NotStarted {
        NotStarted { cause, not_found: false, passing: false }
    }
}

/// Progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// The command was not executed yet.
    Starting,
    /// The command could not be started.
    Failed {
        /// The cause.
        why: NotStarted,
        /// Time of the failure.
        at: Tick,
    },
    /// Running.
    Running {
        /// Process of the command.
        command: Process,
        /// Time of the start.
        since: Tick,
    },
    /// Ended.
    Ended {
        /// Process of the command.
        command: Process,
        /// Time of the start.
        since: Tick,
        /// How the command ended.
        exit: Exit,
        /// Time of the end.
        at: Tick,
        /// Whether the shim ended the run because of its silence.
        timeout: bool,
        /// Number of processes left in the process group.
        leftover: u32,
        /// Descendants that left the process group and are still alive.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        strays: Vec<Process>,
    },
}

/// The state of a run, as its shim reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// As in the [`RunSpec`].
    pub handle: String,
    /// As in the [`RunSpec`]; missing in files of earlier versions.
    #[serde(default)]
    pub ear: String,
    /// As in the [`RunSpec`].
    pub process: String,
    /// As in the [`RunSpec`].
    pub program: String,
    /// As in the [`RunSpec`].
    pub group: String,
    /// As in the [`RunSpec`].
    pub version: String,
    /// As in the [`RunSpec`].
    pub attempt: u32,
    /// The shim; the field is "carrier" in files of earlier versions.
    #[serde(rename = "carrier")]
    pub shim: Process,
    /// Boot id to which these processes belong.
    pub boot: String,
    /// The task id, once recorded.
    pub task: Option<i64>,
    /// Progress.
    #[serde(flatten)]
    pub phase: Phase,
    /// Why the last signal could not be sent, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// Messages for the supervisor's log, the newest last; a few at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<ShimNote>,
}

/// A message of a shim for the supervisor's log. It prints, and the file of the run contains, one line of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum ShimNote {
    /// The run could not be recorded as a task yet, for this reason.
    NotRecorded(String),
    /// Anything else.
    Other(String),
}

/// Start of the text of [`ShimNote::NotRecorded`].
const NOT_RECORDED: &str = "not recorded as a task yet: ";

impl From<String> for ShimNote {
    fn from(text: String) -> ShimNote {
        match text.strip_prefix(NOT_RECORDED) {
            Some(why) => ShimNote::NotRecorded(why.to_owned()),
            None => ShimNote::Other(text),
        }
    }
}

impl From<ShimNote> for String {
    fn from(note: ShimNote) -> String {
        note.to_string()
    }
}

impl fmt::Display for ShimNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShimNote::NotRecorded(why) => write!(f, "{NOT_RECORDED}{why}"),
            ShimNote::Other(text) => f.write_str(text),
        }
    }
}

impl Run {
    /// Parses the state file of a run; `None`: invalid.
    pub fn parse(text: &[u8]) -> Option<Run> {
        serde_json::from_slice(text).ok()
    }

    /// The text of the state file.
    pub fn to_text(&self) -> String {
        // No part of it can fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Identity of a supervisor, as in its file beside the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorId {
    /// Process of the supervisor.
    #[serde(flatten)]
    pub process: Process,
    /// Boot id to which this process belongs.
    pub boot: String,
    /// Socket for clients; `None`: none.
    pub socket: Option<PathBuf>,
}

impl SupervisorId {
    /// Parses the file; `None`: invalid.
    pub fn parse(text: &[u8]) -> Option<SupervisorId> {
        serde_json::from_slice(text).ok()
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A command of the supervisor to the shim of a run in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "lowercase")]
pub enum ShimCommand {
    /// Send a signal.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether to signal the whole group.
        group: bool,
        /// Why the run should end, if it should: `stopped by operator`.
        why: Option<String>,
    },
    /// Changed settings that apply to runs in progress.
    Policy {
        /// See [`RunSpec`].
        killasgroup: bool,
        /// See [`RunSpec`].
        exitcodes: Vec<u8>,
        /// See [`RunSpec`].
        stdout: StreamTarget,
        /// See [`RunSpec`].
        stderr: StreamTarget,
    },
    /// Reopen the log files after they were moved.
    Reopen,
    /// Rewrite the state file after it was removed.
    Write,
    /// The run is no longer supervised: remove its state file.
    Forget,
    /// Data for the standard input of the command.
    Input {
        /// Base64.
        data: String,
    },
}

impl ShimCommand {
    /// Parses a message; `None`: invalid.
    pub fn parse(message: &[u8]) -> Option<ShimCommand> {
        serde_json::from_slice(message).ok()
    }

    /// The text of the message.
    pub fn to_message(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Decodes the bytes of [`ShimCommand::Input`]; `None`: invalid.
pub fn input_bytes(data: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(data).ok()
}

/// Makes a command with these bytes as input.
pub fn input_command(bytes: &[u8]) -> ShimCommand {
    ShimCommand::Input { data: base64(bytes) }
}

/// Encodes bytes as base64.
pub fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// Returns the pause between two looks at what remains of a command's group, for ends that are not reported by a signal.
/// `took` is how long the last look took: a look examines all processes of the machine, and all runs that wait for their
/// groups look, so each may use a tenth of a processor at most.
pub fn pause_between_looks(took: Duration) -> Duration {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(2);
    took.saturating_mul(9).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_note_is_its_text_in_the_file_of_the_run() {
        for (note, text) in [
            (ShimNote::NotRecorded("it is locked".into()), "not recorded as a task yet: it is locked"),
            (ShimNote::Other("it cannot be ended".into()), "it cannot be ended"),
        ] {
            let json = serde_json::to_value(&note).unwrap();
            assert_eq!(json, text);
            assert_eq!(serde_json::from_value::<ShimNote>(json).unwrap(), note);
        }
    }

    #[test]
    fn looks_at_a_group_take_a_tenth_of_a_processor_at_most() {
        let pause = |millis| pause_between_looks(Duration::from_millis(millis)).as_millis();
        assert_eq!([0, 10, 22, 23, 100, 222].map(pause), [200, 200, 200, 207, 900, 1998]);
        assert_eq!(pause_between_looks(Duration::MAX).as_secs(), 2, "and it is looked again all the same");
    }

    fn run(phase: Phase) -> Run {
        Run {
            handle: "abcdefgh".into(),
            ear: "hgfedcba".into(),
            process: "web".into(),
            program: "web".into(),
            group: "web".into(),
            version: "1".into(),
            attempt: 2,
            shim: Process { pid: 5, pstart: 6 },
            boot: "b".into(),
            task: Some(7),
            phase,
            denied: None,
            notes: vec![],
        }
    }

    #[test]
    fn runs_and_commands_read_back() {
        let at = Tick { mono: Duration::from_millis(1500), wall: crate::model::task::Timestamp(9) };
        let command = Process { pid: 8, pstart: 9 };
        for phase in [
            Phase::Starting,
            Phase::Failed {
                why: NotStarted { cause: "command not found: x".into(), not_found: true, passing: false },
                at,
            },
            Phase::Running { command, since: at },
            Phase::Ended { command, since: at, exit: Exit::Code(3), at, timeout: false, leftover: 2, strays: vec![] },
            Phase::Ended {
                command,
                since: at,
                exit: Exit::Signal { signal: Signal::KILL, core: true },
                at,
                timeout: true,
                leftover: 0,
                strays: vec![command],
            },
        ] {
            let run = run(phase);
            assert_eq!(Run::parse(run.to_text().as_bytes()), Some(run));
        }
        let supervisor = SupervisorId { process: command, boot: "b".into(), socket: Some("/run/s.sock".into()) };
        assert_eq!(SupervisorId::parse(supervisor.to_text().as_bytes()), Some(supervisor));
        assert_eq!(SupervisorId::parse(b"{}"), None);
        for word in [
            ShimCommand::Reopen,
            ShimCommand::Write,
            ShimCommand::Forget,
            ShimCommand::Signal { signal: Signal::TERM, group: true, why: Some("stopped by operator".into()) },
            ShimCommand::Policy {
                killasgroup: true,
                exitcodes: vec![0, 3],
                stdout: StreamTarget::None,
                stderr: StreamTarget::Joined,
            },
            ShimCommand::Input { data: "eA==".into() },
        ] {
            assert_eq!(ShimCommand::parse(word.to_message().as_bytes()), Some(word));
        }
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_does_not_panic(bytes: Vec<u8>) {
            let _ = (Run::parse(&bytes), ShimCommand::parse(&bytes));
        }

        #[test]
        fn half_a_file_is_invalid(cut in 0usize..100) {
            let text = run(Phase::Starting).to_text();
            prop_assert_eq!(Run::parse(&text.as_bytes()[..cut.min(text.len() - 1)]), None);
        }
    }
}
