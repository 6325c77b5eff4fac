//! A supervised program: what is decided about its starts, ends and restarts.
//!
//! The words and rules are those of Supervisor and Taskmaster. Nothing here starts or ends anything.

use core::net::Ipv6Addr; // Only the notation: `core::net` has no sockets.
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use super::jobs::AutoResume;
use super::task::Signal;

/// Whether a process that ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autorestart {
    /// Whatever it exited with.
    Always,
    /// No.
    Never,
    /// If it was killed by a signal, or its exit code is not among the expected ones.
    Unexpected,
}

/// When a process is started, given up, stopped and started again. A reload changes it without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lower ones start first and stop last.
    pub priority: i64,
    /// Whether it starts with the supervisor.
    pub autostart: bool,
    /// It counts as running once it has lived this long.
    pub startsecs: Duration,
    /// So many starts may fail after the first one that failed; none: any number.
    pub startretries: Option<u32>,
    /// Whether it is started again when it ended by itself.
    pub autorestart: Autorestart,
    /// The exit codes that are expected.
    pub exitcodes: Vec<u8>,
    /// How it is asked to end.
    pub stopsignal: Signal,
    /// How long it may take to end before it is killed; none: as long as it likes.
    pub stopwait: Option<Duration>,
    /// Whether its whole process group is asked.
    pub stopasgroup: bool,
    /// Whether its whole process group is killed.
    pub killasgroup: bool,
}

impl Policy {
    /// Whether what is left of the group of a run is killed after its leader (STOP-3).
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

/// What a process is doing (section 2.1); names and codes are Supervisor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProcState {
    /// Never started, or ended because that was asked for.
    Stopped,
    /// Started, and not yet up for `startsecs`.
    Starting,
    /// Up.
    Running,
    /// A start failed; it waits for the next try.
    Backoff,
    /// Asked to end, and not gone yet.
    Stopping,
    /// It ended by itself.
    Exited,
    /// Its retries are used up.
    Fatal,
    /// There is a process that can neither be verified nor controlled.
    Unknown,
}

/// A text that names no state of a process.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown state: use STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN")]
pub struct BadState;

impl ProcState {
    /// All of them, by code.
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

    /// The number that Supervisor's clients know it by.
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

    /// The word in tables, JSON and configuration.
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

    /// Whether it has a process of ours.
    pub fn is_live(self) -> bool {
        matches!(self, ProcState::Starting | ProcState::Running | ProcState::Stopping)
    }

    /// Whether it is up or on its way there: what Supervisor calls its running states.
    pub fn is_upish(self) -> bool {
        matches!(self, ProcState::Starting | ProcState::Running | ProcState::Backoff)
    }

    /// Whether it is down and nothing will change that by itself.
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

/// Where an output stream of a program goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To this file.
    Path(PathBuf),
    /// To a file whose name the supervisor makes up, in its folder for logs.
    Auto,
    /// Nowhere.
    None,
}

/// The log of one output stream of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    /// Where to.
    pub target: LogTarget,
    /// Whether nobody wrote where to, so that it follows `childlogdir`.
    pub default: bool,
    /// Bytes after which it is rotated; none: never.
    pub maxbytes: Option<u64>,
    /// How many rotated files are kept.
    pub backups: u32,
}

/// What a program reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A pipe that clients may write to.
    Pipe,
}

/// A command that is run when a process comes into one of these states (section 6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The states it is run for.
    pub states: Vec<ProcState>,
}

/// Which file a command names (SPAWN-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executable {
    /// This one.
    File(PathBuf),
    /// The first of that name in the folders of `PATH`.
    Search(String),
}

/// One process that is kept running: one instance of a program, with every default and placeholder filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// The name of the process; no other of the configuration has it.
    pub name: String,
    /// The `[programs.x]` it is an instance of.
    pub program: String,
    /// Its group; the program's name if nobody put it into one.
    pub group: String,
    /// The priority of its group, which goes before its own.
    pub group_priority: i64,
    /// Which instance it is.
    pub process_num: u32,
    /// The command as written: also its `argv[0]`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// `[taskmasterd.env]`, then its own, as written; no name is there twice.
    pub env: Vec<(String, String)>,
    /// The folder of the file that defines it.
    pub here: PathBuf,
    /// Its working directory; none: the supervisor's.
    pub directory: Option<PathBuf>,
    /// Its umask; none: the supervisor's.
    pub umask: Option<u32>,
    /// Whom it runs as, by name or number as written; none: as the supervisor.
    pub user: Option<String>,
    /// Where its output goes.
    pub stdout: LogSpec,
    /// Where its errors go; nowhere of their own if they go with the output.
    pub stderr: LogSpec,
    /// Whether its errors go where its output goes.
    pub redirect_stderr: bool,
    /// Whether escape sequences are taken out of both.
    pub strip_ansi: bool,
    /// What it reads from.
    pub stdin: Stdin,
    /// Whether its logs may be those of others too.
    pub shared_log: bool,
    /// What it is told of where its supervisor listens; none: that is found out when it starts.
    pub serverurl: Option<ServerUrl>,
    /// For its task rows.
    pub info: [Option<String>; 3],
    /// Longest silence between heartbeats; none: they are not watched.
    pub timeout: Option<Duration>,
    /// The folder of its feedback file, as with `launch --feedpath`; none: one that the supervisor chooses, if there is a
    /// timeout.
    pub feedback: Option<PathBuf>,
    /// Whether missing folders of its logs are made.
    pub create_dirs: bool,
    /// What is run when it changes its state.
    pub hook: Option<Hook>,
    /// When it is started, stopped and given up.
    pub policy: Policy,
}

impl ProgramSpec {
    /// A process of which nothing is known but that it is there: one that was left over from another configuration.
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

    /// Its name with the group before it, unless they are the same.
    pub fn full_name(&self) -> String {
        match self.group == self.name {
            true => self.name.clone(),
            false => format!("{}:{}", self.group, self.name),
        }
    }

    /// Which file its command names: one with a `/` is relative to its directory, or else to the file that defines it.
    pub fn executable(&self) -> Executable {
        match self.command.contains('/') {
            true => Executable::File(self.directory.as_deref().unwrap_or(&self.here).join(&self.command)),
            false => Executable::Search(self.command.clone()),
        }
    }

    /// One word for all that needs a new run when it changes: a supervisor that finds a run of a former one sees by it
    /// whether that still is what is configured (CRASH-5).
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
        // FNV-1a: it tells two configurations apart; nobody is kept out by it.
        let hash = all
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// By this they are started, lowest first, and stopped from the other end (SM-14).
    pub fn order(&self) -> (i64, i64, &str) {
        (self.group_priority, self.policy.priority, &self.name)
    }
}

/// A named set of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name.
    pub name: String,
    /// Lower ones start first and stop last. A program that is in no group has its own priority here.
    pub priority: i64,
    /// The programs in it, by name.
    pub programs: Vec<String>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What ends the supervisor.
    Crit,
    /// What failed.
    Error,
    /// What may be wrong.
    Warn,
    /// What happens.
    Info,
    /// What it does.
    Debug,
    /// Everything.
    Trace,
}

/// A text that names no level.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown level: use crit, error, warn, info, debug or trace")]
pub struct BadLevel;

impl Level {
    /// All of them; each logs what those before it do.
    pub const ALL: [Level; 6] = [Level::Crit, Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The word in the configuration.
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

/// What becomes of programs that outlived the supervisor (section 5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// They are supervised again.
    Adopt,
    /// They are stopped, and started again.
    Stop,
    /// They are listed, and their programs are not started.
    Leave,
}

/// How much of the history of runs is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it.
    All,
    /// The newest, so many.
    Newest(u64),
    /// What ended so long ago, or later.
    Since(Duration),
}

/// The supervisor itself: `[taskmasterd]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Its activity log; none: it keeps none.
    pub logfile: Option<PathBuf>,
    /// Bytes after which that is rotated; none: never.
    pub logfile_maxbytes: Option<u64>,
    /// How many rotated files are kept.
    pub logfile_backups: u32,
    /// How much is logged.
    pub loglevel: Level,
    /// The file with its process id.
    pub pidfile: PathBuf,
    /// For files it creates; its programs inherit it.
    pub umask: u32,
    /// Whether it stays in the foreground.
    pub nodaemon: bool,
    /// Whether it does not copy its log to stdout in the foreground.
    pub silent: bool,
    /// File descriptors that must be available.
    pub minfds: u64,
    /// Processes that must be available.
    pub minprocs: u64,
    /// Whom it runs as, by name or number as written; none: as who started it.
    pub user: Option<String>,
    /// Where it goes when it leaves the foreground.
    pub directory: Option<PathBuf>,
    /// Whether escape sequences are taken out of programs' logs that do not say it themselves.
    pub strip_ansi: bool,
    /// What it is called.
    pub identifier: String,
    /// The folder of logs for which no path is written.
    pub childlogdir: PathBuf,
    /// Whether AUTO logs of former instances are kept.
    pub nocleanup: bool,
    /// The database of tasks; none: the usual one of the user.
    pub database: Option<PathBuf>,
    /// What becomes of programs that outlived it.
    pub orphans: Orphans,
    /// Shortest time between two starts of one process (SM-12).
    pub restart_throttle: Duration,
    /// How much of the history of runs is kept.
    pub history_keep: Keep,
    /// Whether missing folders of logs, pid file, socket and database are made.
    pub create_dirs: bool,
    /// Whether a start waits for the processes of lower priority to be up (SM-14).
    pub start_serial: bool,
    /// Whether processes that an operator stopped stay so when it starts again (CRASH-8).
    pub remember_stops: bool,
    /// Run for programs that have no hook of their own; none: nothing.
    pub hook: Option<Hook>,
    /// For all programs; its own environment stays as it is.
    pub env: Vec<(String, String)>,
}

/// A password as it is written.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// As it is.
    Plain(String),
    /// Its SHA-256.
    Sha256([u8; 32]),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is logged must never tell one.
        f.write_str("Password(***)")
    }
}

/// Who may talk to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// A file's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As written: `user` or `user:group`.
    pub text: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number; none: it is not changed.
    pub gid: Option<u32>,
}

/// The socket for clients of this host: `[unix_http_server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixServer {
    /// Where it is.
    pub file: PathBuf,
    /// Its permissions.
    pub chmod: u32,
    /// Whose it is; none: the effective user's.
    pub chown: Option<Owner>,
    /// Who may use it; none: whoever can open it.
    pub credentials: Option<Credentials>,
}

/// The port for browsers and clients: `[inet_http_server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetServer {
    /// A name or address, without brackets; none: all addresses of this host.
    pub host: Option<String>,
    /// The port, never 0.
    pub port: u16,
    /// Who may use it; none: anybody who reaches it.
    pub credentials: Option<Credentials>,
    /// Whether others may reach it although it asks for no password.
    pub allow_remote: bool,
}

/// Where a supervisor listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerUrl {
    /// `unix:///path`
    Unix(PathBuf),
    /// `http://host:port`
    Http {
        /// A name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A text that is no address of a supervisor.
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

/// Takes `host:port` or `[address]:port` apart; the host may be empty, the port is 1 to 65535.
pub(super) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten()?;
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // Only addresses have colons, and only in brackets can their end be told from the port.
        Some(address) => address.parse::<Ipv6Addr>().ok().map(|_| address)?,
        None => {
            let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            host.chars().all(fits).then_some(host)?
        }
    };
    (port > 0).then(|| (host.to_owned(), port))
}

/// Returns the default of `childlogdir`: `/tmp`, but for root a folder in which no other user can put anything in the
/// place of a log. `home` is the home of root.
pub fn default_childlogdir(is_root: bool, home: Option<&Path>) -> PathBuf {
    match home.filter(|_| is_root) {
        Some(home) => home.join(".local/state/taskwatcher/programs"),
        None => PathBuf::from("/tmp"),
    }
}

/// What clients need to know: `[taskmasterctl]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    /// Where the supervisor listens.
    pub serverurl: ServerUrl,
    /// What the shell prints before each line.
    pub prompt: String,
    /// Where the shell keeps its lines; none: nowhere.
    pub history: Option<PathBuf>,
    /// Who it says it is.
    pub username: Option<String>,
    /// With which password; never hashed, as it is sent.
    pub password: Option<Password>,
    /// How long it waits for an answer; none: as long as it takes.
    pub timeout: Option<Duration>,
    /// Whether changes of jobs are told at once.
    pub notify: bool,
    /// Whether one word resumes a job.
    pub auto_resume: AutoResume,
}

impl ClientSpec {
    /// Returns the settings that hold without a configuration. The history of root is in a folder that other users cannot
    /// write; `home` is the home of the user.
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
    fn levels_are_words() {
        for level in Level::ALL {
            assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
        }
        assert_eq!("blather".parse::<Level>(), Err(BadLevel));
        assert!(Level::Crit < Level::Trace);
    }

    #[test]
    fn a_password_is_not_told_by_debug() {
        let shown = format!("{:?}", Credentials { username: "u".into(), password: Password::Plain("secret".into()) });
        assert!(!shown.contains("secret"), "{shown}");
    }
}
