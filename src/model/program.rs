//! Supervised programs: settings and states.
//!
//! Names and rules are those of Supervisor and Taskmaster. Nothing here starts or ends anything.

use core::net::Ipv6Addr; // Only the notation: `core::net` has no sockets.
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::task::Signal;

/// Whether a process that ended by itself is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autorestart {
    /// Always.
    Always,
    /// Never.
    Never,
    /// After a death by signal, or an exit code that is not expected.
    Unexpected,
}

/// Rules for start, retries, stop and restart of a process. A reload changes them without a
/// restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lower ones start first and stop last.
    pub priority: i64,
    /// Whether it starts with the supervisor.
    pub autostart: bool,
    /// Time after which a started process counts as running.
    pub startsecs: Duration,
    /// Number of retries after a failed start; `None`: unlimited.
    pub startretries: Option<u32>,
    /// Whether the process is restarted when it ended by itself.
    pub autorestart: Autorestart,
    /// Exit codes that count as expected.
    pub exitcodes: Vec<u8>,
    /// The stop signal.
    pub stopsignal: Signal,
    /// Grace period between the stop signal and SIGKILL; `None`: unlimited.
    pub stopwait: Option<Duration>,
    /// Whether the stop signal goes to the whole process group.
    pub stopasgroup: bool,
    /// Whether SIGKILL goes to the whole process group.
    pub killasgroup: bool,
}

impl Policy {
    /// Whether the rest of the group of a run is killed after the leader has ended.
    pub fn kills_group(&self) -> bool {
        self.killasgroup || self.stopasgroup
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            priority: 999,
            autostart: true,
            startsecs: Duration::from_secs(1),
            startretries: Some(3),
            autorestart: Autorestart::Unexpected,
            exitcodes: vec![0],
            stopsignal: Signal::TERM,
            stopwait: Some(Duration::from_secs(10)),
            stopasgroup: false,
            killasgroup: false,
        }
    }
}

/// State of a process; names and codes are those of Supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProcState {
    /// Never started, or stopped on request.
    Stopped,
    /// Started, and not yet up for `startsecs`.
    Starting,
    /// Up.
    Running,
    /// A start failed; waiting for the next retry.
    Backoff,
    /// Being stopped.
    Stopping,
    /// Ended by itself.
    Exited,
    /// No retries left.
    Fatal,
    /// A process exists that can be neither verified nor controlled.
    Unknown,
}

/// A text that is not the state of a process.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown state: use STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN")]
pub struct BadState;

impl ProcState {
    /// All states, by code.
    pub const ALL: [ProcState; 8] = [
        ProcState::Stopped,
        ProcState::Starting,
        ProcState::Running,
        ProcState::Backoff,
        ProcState::Stopping,
        ProcState::Exited,
        ProcState::Fatal,
        ProcState::Unknown,
    ];

    /// The code in Supervisor's protocol.
    pub fn code(self) -> u16 {
        match self {
            ProcState::Stopped => 0,
            ProcState::Starting => 10,
            ProcState::Running => 20,
            ProcState::Backoff => 30,
            ProcState::Stopping => 40,
            ProcState::Exited => 100,
            ProcState::Fatal => 200,
            ProcState::Unknown => 1000,
        }
    }

    /// Text in tables, JSON and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            ProcState::Stopped => "STOPPED",
            ProcState::Starting => "STARTING",
            ProcState::Running => "RUNNING",
            ProcState::Backoff => "BACKOFF",
            ProcState::Stopping => "STOPPING",
            ProcState::Exited => "EXITED",
            ProcState::Fatal => "FATAL",
            ProcState::Unknown => "UNKNOWN",
        }
    }

    /// Whether the state has a process under control.
    pub fn is_live(self) -> bool {
        matches!(self, ProcState::Starting | ProcState::Running | ProcState::Stopping)
    }

    /// Whether the process is up or about to be: Supervisor's "running states".
    pub fn is_upish(self) -> bool {
        matches!(self, ProcState::Starting | ProcState::Running | ProcState::Backoff)
    }

    /// Whether the process is down and stays so without a request.
    pub fn is_down(self) -> bool {
        matches!(self, ProcState::Stopped | ProcState::Exited | ProcState::Fatal | ProcState::Unknown)
    }
}

impl fmt::Display for ProcState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProcState {
    type Err = BadState;

    fn from_str(text: &str) -> Result<ProcState, BadState> {
        ProcState::ALL.into_iter().find(|state| state.as_str() == text).ok_or(BadState)
    }
}

/// Destination of an output stream of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// This file.
    Path(PathBuf),
    /// A file in `childlogdir` with a generated name.
    Auto,
    /// None.
    None,
}

/// The log of one output stream of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// Destination.
    pub target: LogTarget,
    /// Whether the destination is a default, which follows `childlogdir`.
    pub default: bool,
    /// Size at which the log is rotated, bytes; `None`: never.
    pub maxbytes: Option<u64>,
    /// Number of rotated files to keep.
    pub backups: u32,
}

/// Standard input of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A pipe that clients can write to.
    Pipe,
}

/// A command that is run when a process enters one of these states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The states.
    pub states: Vec<ProcState>,
}

/// The file that a command refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executable {
    /// This path.
    File(PathBuf),
    /// The first file of that name in the folders of `PATH`.
    Search(String),
}

/// One supervised process: an instance of a program, with all defaults and placeholders filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Name of the process, unique in the configuration.
    pub name: String,
    /// Name of the `[programs.x]` it is an instance of.
    pub program: String,
    /// Its group; the program's name if it has none.
    pub group: String,
    /// Priority of the group, which takes precedence over the program's own.
    pub group_priority: i64,
    /// Number of the instance.
    pub process_num: u32,
    /// The command as written, also `argv[0]`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// `[taskmasterd.env]`, then the program's own variables, without duplicates.
    pub env: Vec<(String, String)>,
    /// Folder of the file that defines the program.
    pub here: PathBuf,
    /// Working directory; `None`: that of the supervisor.
    pub directory: Option<PathBuf>,
    /// Umask; `None`: that of the supervisor.
    pub umask: Option<u32>,
    /// User to run as, name or number as written; `None`: that of the supervisor.
    pub user: Option<String>,
    /// Log of standard output.
    pub stdout: LogSpec,
    /// Log of standard error; no destination if it is redirected to standard output.
    pub stderr: LogSpec,
    /// Whether standard error goes to standard output.
    pub redirect_stderr: bool,
    /// Whether escape sequences are removed from both.
    pub strip_ansi: bool,
    /// Standard input.
    pub stdin: Stdin,
    /// Whether other processes may write to the same logs.
    pub shared_log: bool,
    /// The supervisor's address passed to the process; `None`: determined at the start.
    pub serverurl: Option<ServerUrl>,
    /// Free text for its task rows.
    pub info: [Option<String>; 3],
    /// Longest silence between heartbeats; `None`: not watched.
    pub timeout: Option<Duration>,
    /// Folder of the feedback file, as with `launch --feedpath`; `None`: chosen by the supervisor
    /// if there is a timeout.
    pub feedback: Option<PathBuf>,
    /// Whether missing folders of its logs are created.
    pub create_dirs: bool,
    /// Command to run on changes of state.
    pub hook: Option<Hook>,
    /// Rules for start, stop and retries.
    pub policy: Policy,
}

impl ProgramSpec {
    /// Makes a process that is known only to exist: one left over from another configuration.
    pub fn unconfigured(name: &str, program: &str, group: &str) -> ProgramSpec {
        let log = LogSpec { target: LogTarget::None, default: false, maxbytes: None, backups: 0 };
        ProgramSpec {
            name: name.to_owned(),
            program: program.to_owned(),
            group: group.to_owned(),
            group_priority: 999,
            process_num: 0,
            command: String::new(),
            args: vec![],
            env: vec![],
            here: PathBuf::new(),
            directory: None,
            umask: None,
            user: None,
            stdout: log.clone(),
            stderr: log,
            redirect_stderr: false,
            strip_ansi: false,
            stdin: Stdin::Null,
            shared_log: false,
            serverurl: None,
            info: [None, None, None],
            timeout: None,
            feedback: None,
            create_dirs: false,
            hook: None,
            policy: Policy { autostart: false, autorestart: Autorestart::Never, ..Policy::default() },
        }
    }

    /// The name prefixed with the group, unless both are equal.
    pub fn full_name(&self) -> String {
        match self.group == self.name {
            true => self.name.clone(),
            false => format!("{}:{}", self.group, self.name),
        }
    }

    /// The file of the command: a path with a `/` is relative to the working directory, or else to
    /// the file that defines the program.
    pub fn executable(&self) -> Executable {
        match self.command.contains('/') {
            true => Executable::File(self.directory.as_deref().unwrap_or(&self.here).join(&self.command)),
            false => Executable::Search(self.command.clone()),
        }
    }

    /// Hash of all settings that need a new run to change. A supervisor that finds a run of an
    /// earlier one detects by it whether the run matches the configuration.
    pub fn version(&self) -> String {
        let path = |log: &LogSpec| match (&log.target, log.default) {
            (LogTarget::Path(path), false) => format!("{path:?}"),
            (target, _) => format!("{}", matches!(target, LogTarget::None)),
        };
        let mut env = self.env.clone();
        env.sort();
        let executable = match self.executable() {
            Executable::File(path) => path.display().to_string(),
            Executable::Search(name) => name,
        };
        let all = serde_json::json!([
            executable,
            self.command,
            self.args,
            env,
            self.directory,
            self.umask,
            self.user,
            path(&self.stdout),
            path(&self.stderr),
            self.redirect_stderr,
            self.stdin == Stdin::Pipe,
            self.shared_log,
            self.serverurl.as_ref().map(ToString::to_string),
        ]);
        // FNV-1a distinguishes configurations; it is not meant to resist attacks.
        let hash = all
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// Sort key of the start order, the reverse of the stop order.
    pub fn order(&self) -> (i64, i64, &str) {
        (self.group_priority, self.policy.priority, &self.name)
    }
}

/// A named set of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Lower ones start first and stop last. The group of a single program has that program's
    /// priority.
    pub priority: i64,
    /// Names of its programs.
    pub programs: Vec<String>,
}

/// Log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The supervisor cannot continue.
    Crit,
    /// Failures.
    Error,
    /// Possible problems.
    Warn,
    /// Normal events.
    Info,
    /// Internal actions.
    Debug,
    /// Everything.
    Trace,
}

/// A text that is not a log level.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown level: use crit, error, warn, info, debug or trace")]
pub struct BadLevel;

impl Level {
    /// All levels; each includes the ones before it.
    pub const ALL: [Level; 6] = [Level::Crit, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// Text in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Crit => "crit",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

impl FromStr for Level {
    type Err = BadLevel;

    fn from_str(text: &str) -> Result<Level, BadLevel> {
        Level::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text)).ok_or(BadLevel)
    }
}

/// How to treat programs that survived an earlier supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Supervise them again.
    Adopt,
    /// Stop and restart them.
    Stop,
    /// List them, and do not start their programs.
    Leave,
}

/// How much of the history of runs is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// This number of newest runs.
    Newest(u64),
    /// Runs that ended within this time.
    Since(Duration),
}

/// Settings of the supervisor: `[taskmasterd]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Activity log; `None`: none.
    pub logfile: Option<PathBuf>,
    /// Size at which it is rotated, bytes; `None`: never.
    pub logfile_maxbytes: Option<u64>,
    /// Number of rotated files to keep.
    pub logfile_backups: u32,
    /// Log level.
    pub loglevel: Level,
    /// File with the supervisor's pid.
    pub pidfile: PathBuf,
    /// Umask, inherited by the programs.
    pub umask: u32,
    /// Whether to stay in the foreground.
    pub nodaemon: bool,
    /// Whether to suppress the copy of the log on stdout in the foreground.
    pub silent: bool,
    /// Minimum number of available file descriptors.
    pub minfds: u64,
    /// Minimum number of available processes.
    pub minprocs: u64,
    /// User to run as, name or number as written; `None`: unchanged.
    pub user: Option<String>,
    /// Working directory of the daemon.
    pub directory: Option<PathBuf>,
    /// Default for removing escape sequences from the logs of programs.
    pub strip_ansi: bool,
    /// Name of this supervisor.
    pub identifier: String,
    /// Default folder of logs.
    pub childlogdir: PathBuf,
    /// Whether AUTO logs of earlier supervisors are kept.
    pub nocleanup: bool,
    /// Database of tasks; `None`: the user's default.
    pub database: Option<PathBuf>,
    /// How to treat programs that survived an earlier supervisor.
    pub orphans: Orphans,
    /// Shortest time between two automatic starts of one process.
    pub restart_throttle: Duration,
    /// How much of the history of runs is kept.
    pub history_keep: Keep,
    /// Whether missing folders of logs, pid file, socket and database are created.
    pub create_dirs: bool,
    /// Whether a start waits until the processes of earlier tiers are up.
    pub start_serial: bool,
    /// Whether processes stopped by an operator stay stopped when the supervisor starts again.
    pub remember_stops: bool,
    /// Hook of programs without one of their own.
    pub hook: Option<Hook>,
    /// Variables for all programs; the supervisor's own environment is unchanged.
    pub env: Vec<(String, String)>,
}

/// A configured password.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// Plain text.
    Plain(String),
    /// SHA-256.
    Sha256([u8; 32]),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password must never appear in a log.
        f.write_str("Password(***)")
    }
}

/// User name and password of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// Owner of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As written: `user` or `user:group`.
    pub text: String,
    /// User id.
    pub uid: u32,
    /// Group id; `None`: unchanged.
    pub gid: Option<u32>,
}

/// Unix socket for local clients: `[unix_http_server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixServer {
    /// Path.
    pub file: PathBuf,
    /// Mode.
    pub chmod: u32,
    /// Owner; `None`: the effective user.
    pub chown: Option<Owner>,
    /// Required credentials; `None`: file permissions only.
    pub credentials: Option<Credentials>,
}

/// TCP port for browsers and clients: `[inet_http_server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetServer {
    /// Host name or address, without brackets; `None`: all addresses of this host.
    pub host: Option<String>,
    /// The port, never 0.
    pub port: u16,
    /// Required credentials; `None`: none.
    pub credentials: Option<Credentials>,
    /// Whether other hosts may connect although no password is required.
    pub allow_remote: bool,
}

/// Address of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerUrl {
    /// `unix:///path`
    Unix(PathBuf),
    /// `http://host:port`
    Http {
        /// Host name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is not the address of a supervisor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:///path or http://host:port")]
pub struct BadUrl;

impl FromStr for ServerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<ServerUrl, BadUrl> {
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.len() > 1 && path.starts_with('/') && !path.contains('\0') {
                true => Ok(ServerUrl::Unix(PathBuf::from(path))),
                false => Err(BadUrl),
            };
        }
        let place = text.strip_prefix("http://").ok_or(BadUrl)?;
        let (host, port) = host_and_port(place.strip_suffix('/').unwrap_or(place)).ok_or(BadUrl)?;
        match host.is_empty() {
            true => Err(BadUrl),
            false => Ok(ServerUrl::Http { host, port }),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerUrl::Unix(path) => write!(f, "unix://{}", path.display()),
            ServerUrl::Http { host, port } if host.contains(':') => write!(f, "http://[{host}]:{port}"),
            ServerUrl::Http { host, port } => write!(f, "http://{host}:{port}"),
        }
    }
}

/// Splits `host:port` or `[address]:port`; the host may be empty, the port is 1 to 65535.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten()?;
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // Only addresses contain colons, and need brackets to separate them from the port.
        Some(address) => address.parse::<Ipv6Addr>().ok().map(|_| address)?,
        None => {
            let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            host.chars().all(fits).then_some(host)?
        }
    };
    (port > 0).then(|| (host.to_owned(), port))
}

/// Returns the default of `childlogdir`: `/tmp`, but for root a folder in which no other user can
/// create a file in place of a log. `home` is the home of root.
pub fn default_childlogdir(is_root: bool, home: Option<&Path>) -> PathBuf {
    match home.filter(|_| is_root) {
        Some(home) => home.join(".local/state/taskwatcher/programs"),
        None => PathBuf::from("/tmp"),
    }
}

/// Settings of clients: `[taskmasterctl]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    /// Address of the supervisor.
    pub serverurl: ServerUrl,
    /// Prompt of the shell.
    pub prompt: String,
    /// History file of the shell; `None`: none.
    pub history: Option<PathBuf>,
    /// User name.
    pub username: Option<String>,
    /// Password; never hashed, because it is sent.
    pub password: Option<Password>,
    /// Time to wait for a response; `None`: unlimited.
    pub timeout: Option<Duration>,
    /// Whether changes of jobs are reported immediately.
    pub notify: bool,
    /// Whether a single word resumes a job.
    pub auto_resume: AutoResume,
}

impl ClientSpec {
    /// Returns the settings without a configuration. Root's history is in a folder that other users
    /// cannot write to; `home` is the home of the user.
    pub fn usual(is_root: bool, home: Option<&Path>) -> ClientSpec {
        match home.filter(|_| is_root) {
            Some(home) => {
                let history = Some(home.join(".local/state/taskwatcher/shell_history"));
                ClientSpec { history, ..ClientSpec::default() }
            }
            None => ClientSpec::default(),
        }
    }
}

impl Default for ClientSpec {
    fn default() -> ClientSpec {
        ClientSpec {
            serverurl: ServerUrl::Unix(PathBuf::from("/tmp/taskmaster.sock")),
            prompt: "taskmaster".to_owned(),
            history: Some(PathBuf::from("/tmp/taskmaster_history.txt")),
            username: None,
            password: None,
            timeout: None,
            notify: false,
            auto_resume: AutoResume::Off,
        }
    }
}

/// Whether a single word resumes a paused job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoResume {
    /// Never.
    #[default]
    Off,
    /// If it equals the name of one.
    Exact,
    /// If the name of one contains it.
    Substring,
}

/// A text that is not a setting of auto_resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auto_resume must be \"\", \"exact\" or \"substring\"")]
pub struct BadAutoResume;

impl FromStr for AutoResume {
    type Err = BadAutoResume;

    fn from_str(text: &str) -> Result<AutoResume, BadAutoResume> {
        match text {
            "" => Ok(AutoResume::Off),
            "exact" => Ok(AutoResume::Exact),
            "substring" => Ok(AutoResume::Substring),
            _ => Err(BadAutoResume),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_names_and_codes_of_supervisor() {
        let codes: Vec<(String, u16)> = ProcState::ALL.iter().map(|s| (s.to_string(), s.code())).collect();
        let shown: Vec<String> = codes.iter().map(|(name, code)| format!("{name} {code}")).collect();
        assert_eq!(
            shown.join(", "),
            "STOPPED 0, STARTING 10, RUNNING 20, BACKOFF 30, STOPPING 40, EXITED 100, FATAL 200, UNKNOWN 1000"
        );
        for state in ProcState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            let (live, upish, down) = (state.is_live(), state.is_upish(), state.is_down());
            assert_eq!(down, !live && !upish, "{state}");
        }
        assert_eq!("running".parse::<ProcState>(), Err(BadState));
        let live: Vec<_> = ProcState::ALL.into_iter().filter(|s| s.is_live()).collect();
        assert_eq!(live, [ProcState::Starting, ProcState::Running, ProcState::Stopping]);
        let upish: Vec<_> = ProcState::ALL.into_iter().filter(|s| s.is_upish()).collect();
        assert_eq!(upish, [ProcState::Starting, ProcState::Running, ProcState::Backoff]);
    }

    #[test]
    fn addresses_of_supervisors_are_read_and_printed_back() {
        for text in ["unix:///tmp/x.sock", "http://localhost:9001", "http://[::1]:1", "http://10.0.0.1:65535"] {
            assert_eq!(text.parse::<ServerUrl>().map(|url| url.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "unix://",
            "unix:///",
            "unix://x",
            "/tmp/x.sock",
            "http://",
            "http://h",
            "http://:9001",
            "http://h:0",
            "http://h:65536",
            "http://h:+1",
            "http://::1:9001",
            "http://[h]:9001",
            "https://h:1",
            "http://u@h:1",
            "ftp://h:1",
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(BadUrl), "{text}");
        }
        assert_eq!("http://h:80/".parse::<ServerUrl>(), Ok(ServerUrl::Http { host: "h".into(), port: 80 }));
    }

    #[test]
    fn levels_read_back() {
        for level in Level::ALL {
            assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
        }
        assert_eq!("blather".parse::<Level>(), Err(BadLevel));
        assert!(Level::Crit < Level::Trace);
    }

    #[test]
    fn debug_does_not_show_a_password() {
        let shown = format!("{:?}", Credentials { username: "u".into(), password: Password::Plain("secret".into()) });
        assert!(!shown.contains("secret"), "{shown}");
    }
}
