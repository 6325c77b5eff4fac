//! What a supervisor and the shim of a run tell each other.
//!
//! Each run of a supervised process is carried by a `launch` of its own, which outlives the supervisor if that dies. So
//! what they tell each other must be there for the next supervisor too: the order is given once, at the start; what has
//! become of the run stands in a file of its own, which only the shim writes; and what the supervisor wants of a run
//! that is under way are words sent to a socket that is named by the run's handle. The database takes no part in it: it
//! may be locked or full.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::task::{Exit, Process, Signal, Tick};

/// Who a command runs as; checked and looked up by who gives the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Login name, for messages.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; the group itself is among them.
    pub groups: Vec<u32>,
}

/// A log file of a program, which goes on from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramLog {
    /// Where it is.
    pub path: PathBuf,
    /// Longest file, bytes; 0: any length.
    pub max: u64,
    /// How many older files are kept.
    pub backups: u32,
    /// Whether nobody else may read it: it was not named by anybody, and lies where everybody can write.
    pub private: bool,
    /// Whether colours and other sequences of a terminal are left out.
    pub strip_ansi: bool,
}

/// What the command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandInput {
    /// Nothing.
    Null,
    /// What [`ShimCommand::Input`] brings.
    Pipe,
}

/// Where a stream of the command goes besides the log of its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamTarget {
    /// Nowhere.
    None,
    /// Into this file.
    Log(ProgramLog),
    /// To where the other stream goes, in the order of writing.
    Joined,
}

/// One run of a supervised process, as it is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Names the run and its file.
    pub handle: String,
    /// Names the socket on which its shim hears the supervisor. All users see that name, so the handle is not in it.
    pub ear: String,
    /// The folder of the run's file.
    pub folder: PathBuf,
    /// Who gives the order. Nothing is started once this process is gone: another one will give its own.
    pub supervisor: Process,
    /// The database.
    pub db: PathBuf,
    /// How long the database may keep the start waiting, milliseconds. Afterwards the command starts without a task, and
    /// becomes one as soon as the database lets it.
    pub patience: u64,
    /// Full name of the process, which is the name of the task.
    pub process: String,
    /// Its program.
    pub program: String,
    /// Its group.
    pub group: String,
    /// Which start of the process this is, from 1, since it was last started by somebody.
    pub attempt: u32,
    /// What cannot change without a restart, as one word: see `model::program`.
    pub version: String,
    /// Side information.
    pub info: [Option<String>; 3],
    /// Why nothing is executed, if that is known already: then there is only something to be recorded.
    pub refused: Option<NotStarted>,
    /// The file to be executed.
    pub file: PathBuf,
    /// The arguments, the name first: a JSON array as [`super::task::argv_json`] makes it.
    pub argv: String,
    /// The environment as `NAME=value`, in the same form; what a task tells its command comes on top.
    pub env: String,
    /// Where it runs; none: where the supervisor does.
    pub directory: Option<PathBuf>,
    /// Its umask; none: the supervisor's.
    pub umask: Option<u32>,
    /// As whom; none: as the supervisor.
    pub user: Option<Identity>,
    /// Descriptor 0.
    pub stdin: CommandInput,
    /// Descriptor 1.
    pub stdout: StreamTarget,
    /// Descriptor 2.
    pub stderr: StreamTarget,
    /// Longest silence, milliseconds; none: no heartbeat is expected.
    pub timeout: Option<u64>,
    /// Folder of its feedback file, if it gives feedback.
    pub feedpath: Option<PathBuf>,
    /// How it is ended when it is silent for too long.
    pub stop_signal: Signal,
    /// When SIGKILL follows that, milliseconds.
    pub kill_after: u64,
    /// Whether what is left of its group is killed as soon as its leader has ended.
    pub killasgroup: bool,
    /// The exit codes that are expected.
    pub exitcodes: Vec<u8>,
}

impl RunSpec {
    /// What the row of its task says of it, as a JSON object: which process of which program and group, which of its
    /// starts, and by which supervisor (DB-2).
    pub fn supervised(&self) -> String {
        let supervisor = format!("{}:{}", self.supervisor.pid, self.supervisor.pstart);
        // A process is named after its program, and grouped by it, unless the configuration says otherwise.
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

/// In words what [`RunSpec::supervised`] says of a task, and whether its end was expected.
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

/// A step of a start that did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStarted {
    /// Why, in words: `command not found: foo`.
    pub cause: String,
    /// Whether there is no such file.
    pub not_found: bool,
    /// Whether the machine was short of something (descriptors, processes, memory, room), which passes and says nothing
    /// of the program.
    #[serde(default)]
    pub passing: bool,
}

impl NotStarted {
    /// Returns a failure whose cause lies with the program or its configuration.
    pub fn refused(cause: String) -> NotStarted {
        NotStarted { cause, not_found: false, passing: false }
    }
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// The command was not executed yet.
    Starting,
    /// It could not be.
    Failed {
        /// Why.
        why: NotStarted,
        /// When.
        at: Tick,
    },
    /// It runs.
    Running {
        /// Its process.
        command: Process,
        /// Since when.
        since: Tick,
    },
    /// It has ended.
    Ended {
        /// Its process.
        command: Process,
        /// Since when it ran.
        since: Tick,
        /// How it ended.
        exit: Exit,
        /// When.
        at: Tick,
        /// Whether the shim ended it, as it was silent for too long.
        timeout: bool,
        /// So many processes of its group live on.
        leftover: u32,
        /// What it started that has left its group and lives on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        strays: Vec<Process>,
    },
}

/// A run, as its shim tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// As in the order.
    pub handle: String,
    /// As in the order; nothing in a file of an earlier version.
    #[serde(default)]
    pub ear: String,
    /// As in the order.
    pub process: String,
    /// As in the order.
    pub program: String,
    /// As in the order.
    pub group: String,
    /// As in the order.
    pub version: String,
    /// As in the order.
    pub attempt: u32,
    /// The shim; "carrier" in files of earlier versions too.
    #[serde(rename = "carrier")]
    pub shim: Process,
    /// The boot of which these processes are.
    pub boot: String,
    /// The number of its task, once it is one.
    pub task: Option<i64>,
    /// How far it is.
    #[serde(flatten)]
    pub phase: Phase,
    /// Why the last signal could not be sent, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<String>,
    /// What its log should tell, the newest last; a few at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Run {
    /// Reads the text of a run's file; none: it is not one.
    pub fn parse(text: &[u8]) -> Option<Run> {
        serde_json::from_slice(text).ok()
    }

    /// The text of its file.
    pub fn to_text(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A supervisor, as it tells of itself beside its database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupervisorId {
    /// Its process.
    #[serde(flatten)]
    pub process: Process,
    /// The boot of which that is.
    pub boot: String,
    /// Where its clients find it; none: it has none.
    pub socket: Option<PathBuf>,
}

impl SupervisorId {
    /// Reads the text of its file; none: it is not one.
    pub fn parse(text: &[u8]) -> Option<SupervisorId> {
        serde_json::from_slice(text).ok()
    }

    /// The text of its file.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What a supervisor tells the shim of a run that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "lowercase")]
pub enum ShimCommand {
    /// Send a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// To the whole group.
        group: bool,
        /// Why the run is to end by it, if it is to: `stopped by operator`.
        why: Option<String>,
    },
    /// What has changed in the configuration and holds for runs that are under way.
    Policy {
        /// As in the order.
        killasgroup: bool,
        /// As in the order.
        exitcodes: Vec<u8>,
        /// As in the order.
        stdout: StreamTarget,
        /// As in the order.
        stderr: StreamTarget,
    },
    /// Open the log files anew: somebody has moved them.
    Reopen,
    /// Write the file of the run anew: somebody has removed it.
    Write,
    /// Nobody supervises it any more: its file is not to be kept.
    Forget,
    /// Bytes for the command's input.
    Input {
        /// In base64.
        data: String,
    },
}

impl ShimCommand {
    /// Reads a message; none: it is not one.
    pub fn parse(message: &[u8]) -> Option<ShimCommand> {
        serde_json::from_slice(message).ok()
    }

    /// The message.
    pub fn to_message(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The bytes of [`ShimCommand::Input`]; none: it has none.
pub fn input_bytes(data: &str) -> Option<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(data).ok()
}

/// A word that brings these bytes.
pub fn input_word(bytes: &[u8]) -> ShimCommand {
    ShimCommand::Input { data: base64(bytes) }
}

/// Bytes as text that JSON can hold.
pub fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

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
    fn what_is_written_reads_back() {
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
        fn any_bytes_are_a_run_or_none(bytes: Vec<u8>) {
            let _ = (Run::parse(&bytes), ShimCommand::parse(&bytes));
        }

        #[test]
        fn half_a_file_is_none(cut in 0usize..100) {
            let text = run(Phase::Starting).to_text();
            prop_assert_eq!(Run::parse(&text.as_bytes()[..cut.min(text.len() - 1)]), None);
        }
    }
}
