//! Requests: parses one line into a [`Request`], or into the response with the error.
//!
//! Unknown parts are rejected, never ignored: a typo such as `trget` must not turn "stop nginx"
//! into "stop everything".

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};

use super::{Code, EventFilter, Response, WireError, strict};
use crate::model::{suggest::similar, task::Signal};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command.
    pub command: Command,
    /// Whether to respond only after the operation has finished.
    pub wait: bool,
    /// Longest time to wait.
    pub timeout: Option<Duration>,
    /// Returned with the response.
    pub id: Option<Value>,
    /// Credentials, if the socket requires them.
    pub auth: Option<Auth>,
}

/// Name and password of a client. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// User name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(…)")
    }
}

/// Kind of the names in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// Programs.
    Program,
    /// Processes, or anything else that the syntax of names allows.
    Process,
    /// Groups.
    Group,
}

impl NameKind {
    /// Text as a target.
    pub fn as_str(self) -> &'static str {
        match self {
            NameKind::Program => "program",
            NameKind::Process => "process",
            NameKind::Group => "group",
        }
    }
}

/// The processes a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All of them.
    All,
    /// The processes with these names; at least one name.
    Named {
        /// Kind of the names.
        kind: NameKind,
        /// The names, as given.
        names: Vec<String>,
    },
}

impl Targets {
    /// Makes targets from names of processes, with the syntax of names.
    pub fn processes(names: impl IntoIterator<Item = impl Into<String>>) -> Targets {
        Targets::Named { kind: NameKind::Process, names: names.into_iter().map(Into::into).collect() }
    }
}

/// Scope of `reload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOf {
    /// Everything.
    All,
    /// Only these names.
    Named {
        /// Kind of the names.
        kind: NameKind,
        /// The names.
        names: Vec<String>,
    },
    /// The settings of the supervisor.
    Server,
    /// The Unix socket.
    UnixHttpServer,
    /// The TCP port.
    InetHttpServer,
    /// The settings of clients.
    Client,
}

/// Whose pid to return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PidOf {
    /// The supervisor.
    Daemon,
    /// These processes.
    Processes(Targets),
}

/// Receiver of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalTo {
    /// These processes.
    Processes(Targets),
    /// The supervised process with this pid; other processes are refused.
    Pid(i32),
}

/// One of the two output streams of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Channel {
    /// Text in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        }
    }
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Report the state of processes.
    Status(Targets),
    /// Start processes.
    Start {
        /// The processes.
        of: Targets,
        /// Whether to respond at RUNNING or FATAL, instead of at the first failed start.
        until_settled: bool,
    },
    /// Stop processes.
    Stop {
        /// The processes.
        of: Targets,
        /// Whether to send SIGKILL without a grace period.
        now: bool,
    },
    /// Restart processes.
    Restart(Targets),
    /// Reload the configuration and apply it.
    Reload {
        /// Scope.
        of: ReloadOf,
        /// Only report the changes.
        dry_run: bool,
    },
    /// Report the changes of a full reload.
    Reread,
    /// Reload these programs and groups only.
    Update(Targets),
    /// Add programs or groups of the configuration.
    Add(Targets),
    /// Remove programs or groups from the supervisor.
    Remove {
        /// The programs or groups.
        of: Targets,
        /// Stop their processes first.
        stop: bool,
    },
    /// Shut down the supervisor.
    Shutdown {
        /// Leave all processes running.
        leave_running: bool,
    },
    /// Send a signal.
    Signal {
        /// The signal.
        signal: Signal,
        /// The receiver.
        to: SignalTo,
        /// Whether to signal the whole group.
        group: bool,
    },
    /// Return pids.
    Pid(PidOf),
    /// Return the end of a process's log.
    Tail {
        /// Name of the process.
        name: String,
        /// The stream.
        channel: Channel,
        /// Amount.
        last: Last,
        /// Start at this offset, instead of at the end.
        offset: Option<u64>,
        /// Continue with new output.
        follow: bool,
        /// Only the log of this task.
        run: Option<i64>,
    },
    /// Return the end of the activity log.
    Maintail {
        /// Amount.
        last: Last,
        /// Continue with new lines.
        follow: bool,
    },
    /// Truncate the logs of processes.
    Clear(Targets),
    /// Stream the output of a process.
    Fg {
        /// Name of the process.
        name: String,
    },
    /// Write to the standard input of a process.
    Send {
        /// Name of the process.
        name: String,
        /// The data.
        data: String,
    },
    /// List the programs of the configuration.
    Avail,
    /// Return the versions.
    Version,
    /// List the ended runs of a process.
    History {
        /// Name of the process.
        name: String,
        /// Most rows to return.
        limit: u64,
    },
    /// Stream events.
    Subscribe(EventFilter),
    /// List the jobs.
    Jobs(Targets),
    /// Stop supervising processes that keep running.
    Disown {
        /// The processes.
        of: Targets,
        /// Only running ones.
        running: bool,
    },
}

/// Amount of a log to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Number of bytes.
    Bytes(u64),
    /// Number of lines.
    Lines(u64),
}

impl Default for Last {
    /// The default of Supervisor.
    fn default() -> Last {
        Last::Bytes(1600)
    }
}

/// Rows of history without a given limit.
const HISTORY_LIMIT: u64 = 20;

/// Names of all commands.
pub const COMMANDS: [&str; 23] = [
    "status",
    "start",
    "stop",
    "restart",
    "reload",
    "reread",
    "update",
    "add",
    "remove",
    "shutdown",
    "signal",
    "pid",
    "tail",
    "maintail",
    "clear",
    "fg",
    "send",
    "avail",
    "version",
    "history",
    "subscribe",
    "jobs",
    "disown",
];

/// Keys of a request.
const KEYS: [&str; 9] = ["command", "target", "name", "names", "args", "wait", "timeout", "id", "auth"];

/// Values of `target` besides the kinds of names.
const SECTIONS: [(&str, ReloadOf); 7] = [
    ("server", ReloadOf::Server),
    ("taskmasterd", ReloadOf::Server),
    ("unix_http_server", ReloadOf::UnixHttpServer),
    ("unix_http_socket", ReloadOf::UnixHttpServer),
    ("inet_http_server", ReloadOf::InetHttpServer),
    ("client", ReloadOf::Client),
    ("taskmasterctl", ReloadOf::Client),
];

const KINDS: [NameKind; 3] = [NameKind::Program, NameKind::Process, NameKind::Group];

/// Makes an error about a request.
fn bad(code: Code, message: impl Into<String>) -> WireError {
    WireError::new(code, message)
}

/// Target and names of a request.
enum Scope {
    /// Neither was given.
    Missing,
    All,
    Named(NameKind, Vec<String>),
    Section(ReloadOf),
}

impl Request {
    /// Makes a request that waits without a limit.
    pub fn new(command: Command) -> Request {
        Request { command, wait: true, timeout: None, id: None, auth: None }
    }

    /// Parses one line.
    ///
    /// # Errors
    /// The response with the error: 400 with a code.
    pub fn parse(line: &[u8]) -> Result<Request, Box<Response>> {
        let failed = |error| Box::new(Response::failed(error));
        let value =
            strict::parse(line).map_err(|error| failed(bad(Code::BadRequest, format!("malformed JSON: {error}"))))?;
        let Value::Object(map) = value else {
            return Err(failed(bad(Code::BadRequest, "a request must be an object")));
        };
        let id = map.get("id").cloned();
        // An id that is not a scalar is an error itself, and is not returned.
        let echo = id.clone().filter(is_scalar);
        Request::from_map(map, id).map_err(|error| Box::new(Response::failed(error).with_id(echo)))
    }

    fn from_map(mut map: Map<String, Value>, id: Option<Value>) -> Result<Request, WireError> {
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(unknown("key", key, &KEYS, Code::BadRequest));
        }
        if id.as_ref().is_some_and(|id| !is_scalar(id)) {
            return Err(bad(Code::BadRequest, "id must be a string, a number, a boolean or null"));
        }
        let wait = match map.shift_remove("wait") {
            None => true,
            Some(value) => value.as_bool().ok_or_else(|| bad(Code::BadRequest, "wait must be true or false"))?,
        };
        let timeout = map.shift_remove("timeout").map(|value| {
            let secs = value.as_f64().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            secs.ok_or_else(|| bad(Code::BadRequest, "timeout must be a number of seconds, 0 or more"))
        });
        let timeout = timeout.transpose()?;
        let auth = map.shift_remove("auth").map(auth).transpose()?;
        let word = match map.shift_remove("command") {
            Some(Value::String(word)) => word,
            Some(_) => return Err(bad(Code::BadRequest, "command must be a string")),
            None => return Err(bad(Code::BadRequest, "the key \"command\" is missing")),
        };
        let args = match map.shift_remove("args") {
            None => Map::new(),
            Some(Value::Object(args)) => args,
            Some(_) => return Err(bad(Code::BadRequest, "args must be an object")),
        };
        let scope = scope(&mut map)?;
        let command = command(&word, scope, Args { map: args })?;
        Ok(Request { command, wait, timeout, id, auth })
    }

    /// Serializes to one line, without its end.
    pub fn to_line(&self) -> String {
        let mut map = Map::new();
        let mut args = Map::new();
        map.insert("command".into(), self.command.word().into());
        self.command.write(&mut map, &mut args);
        if !args.is_empty() {
            map.insert("args".into(), Value::Object(args));
        }
        if !self.wait {
            map.insert("wait".into(), false.into());
        }
        if let Some(timeout) = self.timeout {
            map.insert("timeout".into(), timeout.as_secs_f64().into());
        }
        if let Some(id) = &self.id {
            map.insert("id".into(), id.clone());
        }
        if let Some(Auth { username, password }) = &self.auth {
            map.insert("auth".into(), json!({"username": username, "password": password}));
        }
        Value::Object(map).to_string()
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn auth(value: Value) -> Result<Auth, WireError> {
    let error = || bad(Code::BadRequest, "auth must be {\"username\": …, \"password\": …}");
    let Value::Object(mut map) = value else { return Err(error()) };
    match (map.shift_remove("username"), map.shift_remove("password"), map.is_empty()) {
        (Some(Value::String(username)), Some(Value::String(password)), true) => Ok(Auth { username, password }),
        _ => Err(error()),
    }
}

/// Error for an unknown word, with similar known ones.
fn unknown(what: &str, word: &str, known: &[&str], code: Code) -> WireError {
    let similar = similar(word, known);
    let hint = if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(", ")) };
    let details = similar.into_iter().map(Value::from).collect();
    WireError { details, ..bad(code, format!("unknown {what} {word:?}{hint}")) }
}

/// Parses target and names.
fn scope(map: &mut Map<String, Value>) -> Result<Scope, WireError> {
    let text = |key: &str| bad(Code::BadRequest, format!("{key} must be a string"));
    let target = match map.shift_remove("target") {
        None => None,
        Some(Value::String(target)) => Some(target).filter(|target| !target.is_empty()),
        Some(_) => return Err(text("target")),
    };
    let names = match (map.shift_remove("name"), map.shift_remove("names")) {
        (None, None) => None,
        (Some(Value::String(name)), None) => Some(vec![name]),
        (Some(_), None) => return Err(text("name")),
        (None, Some(Value::Array(names))) => {
            let names = names.into_iter().map(|name| match name {
                Value::String(name) => Ok(name),
                _ => Err(bad(Code::BadRequest, "names must be an array of strings")),
            });
            Some(names.collect::<Result<Vec<String>, WireError>>()?)
        }
        (None, Some(_)) => return Err(bad(Code::BadRequest, "names must be an array of strings")),
        (Some(_), Some(_)) => return Err(bad(Code::BadRequest, "give name or names, not both")),
    };
    let Some(target) = target else {
        return match names {
            None => Ok(Scope::Missing),
            Some(_) => Err(bad(Code::BadRequest, "a name needs a target: program, process or group")),
        };
    };
    if let Some(kind) = KINDS.into_iter().find(|kind| kind.as_str() == target) {
        let names = names.filter(|names| !names.is_empty() && names.iter().all(|name| !name.is_empty()));
        let names = names.ok_or_else(|| bad(Code::BadRequest, format!("the target {target:?} needs a name")))?;
        return Ok(Scope::Named(kind, names));
    }
    let section = SECTIONS.into_iter().find(|(word, _)| *word == target);
    let scope = match section {
        Some((_, of)) => Scope::Section(of),
        None if target == "all" => Scope::All,
        None => {
            let words: Vec<&str> =
                KINDS.iter().map(|kind| kind.as_str()).chain(["all"]).chain(SECTIONS.map(|(word, _)| word)).collect();
            return Err(unknown("target", &target, &words, Code::BadTarget));
        }
    };
    match names {
        None => Ok(scope),
        Some(_) => Err(bad(Code::BadRequest, format!("the target {target:?} takes no name"))),
    }
}

impl Scope {
    /// Returns the processes; without a target all of them.
    fn targets(self) -> Result<Targets, WireError> {
        match self {
            Scope::Missing | Scope::All => Ok(Targets::All),
            Scope::Named(kind, names) => Ok(Targets::Named { kind, names }),
            Scope::Section(_) => Err(bad(Code::BadTarget, "this target is for reload only")),
        }
    }

    /// Returns processes that must be named: the command is not for all.
    fn named(self) -> Result<Targets, WireError> {
        match self.targets()? {
            Targets::All => Err(bad(Code::BadRequest, "a target and a name are required")),
            named @ Targets::Named { .. } => Ok(named),
        }
    }

    /// Returns the name of exactly one process.
    fn one(self) -> Result<String, WireError> {
        let Targets::Named { kind, names } = self.named()? else {
            return Err(bad(Code::BadRequest, "a target and a name are required"));
        };
        match (kind, <[String; 1]>::try_from(names)) {
            (NameKind::Program | NameKind::Process, Ok([name])) if !is_pattern(&name) => Ok(name),
            (_, Ok([name])) => Err(bad(Code::BadArgument, "exactly one process is required, not a group").about(name)),
            (_, Err(_)) => Err(bad(Code::BadArgument, "exactly one process is required")),
        }
    }

    /// Checks that no target is given.
    fn none(self) -> Result<(), WireError> {
        match self {
            Scope::Missing | Scope::All => Ok(()),
            Scope::Named(..) | Scope::Section(_) => Err(bad(Code::BadTarget, "this command takes no target")),
        }
    }
}

/// Whether a name can match more than one process.
fn is_pattern(name: &str) -> bool {
    name.ends_with(':') || name.contains(['*', '?'])
}

/// The arguments of a command that were not read yet.
struct Args {
    map: Map<String, Value>,
}

impl Args {
    fn flag(&mut self, key: &str) -> Result<bool, WireError> {
        match self.map.shift_remove(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(bad(Code::BadArgument, format!("{key} must be true or false"))),
        }
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, WireError> {
        match self.map.shift_remove(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(_) => Err(bad(Code::BadArgument, format!("{key} must be a string"))),
        }
    }

    /// Reads a whole number that is not negative and fits a file offset.
    fn number(&mut self, key: &str) -> Result<Option<u64>, WireError> {
        let Some(value) = self.map.shift_remove(key) else { return Ok(None) };
        let number = value.as_u64().filter(|number| i64::try_from(*number).is_ok());
        number.map(Some).ok_or_else(|| bad(Code::BadArgument, format!("{key} must be a whole number, 0 or more")))
    }

    fn last(&mut self) -> Result<Last, WireError> {
        match (self.number("bytes")?, self.number("lines")?) {
            (None, None) => Ok(Last::default()),
            (Some(bytes), None) => Ok(Last::Bytes(bytes)),
            (None, Some(lines)) => Ok(Last::Lines(lines)),
            (Some(_), Some(_)) => Err(bad(Code::BadArgument, "give bytes or lines, not both")),
        }
    }

    fn channel(&mut self) -> Result<Channel, WireError> {
        match self.text("channel")?.as_deref() {
            None | Some("stdout") => Ok(Channel::Stdout),
            Some("stderr") => Ok(Channel::Stderr),
            Some(_) => Err(bad(Code::BadArgument, "channel must be stdout or stderr")),
        }
    }

    fn signal(&mut self) -> Result<Signal, WireError> {
        match self.map.shift_remove("signal") {
            Some(Value::String(name)) => {
                name.parse().map_err(|_| bad(Code::BadSignal, format!("bad signal name: {name}")))
            }
            Some(_) => Err(bad(Code::BadSignal, "signal must be a string, such as \"TERM\" or \"15\"")),
            None => Err(bad(Code::BadArgument, "the argument \"signal\" is missing")),
        }
    }

    fn events(&mut self) -> Result<EventFilter, WireError> {
        let error = || bad(Code::BadArgument, "events must be an array of strings");
        match self.map.shift_remove("events") {
            None => Ok(EventFilter::default()),
            Some(Value::Array(words)) => {
                let words = words.iter().map(|word| word.as_str().ok_or_else(error)).collect::<Result<Vec<_>, _>>()?;
                EventFilter::of(words).map_err(|word| {
                    unknown("event", word, &super::EventKind::ALL.map(|kind| kind.as_str()), Code::BadArgument)
                })
            }
            Some(_) => Err(error()),
        }
    }

    /// Checks that no argument is left.
    fn done(self) -> Result<(), WireError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => Err(bad(Code::BadArgument, format!("unknown argument {key:?}"))),
        }
    }
}

fn command(word: &str, scope: Scope, mut args: Args) -> Result<Command, WireError> {
    let command = match word {
        "status" => Command::Status(scope.targets()?),
        "start" => Command::Start { of: scope.targets()?, until_settled: args.flag("until_settled")? },
        "stop" => Command::Stop { of: scope.targets()?, now: args.flag("now")? },
        "restart" => Command::Restart(scope.targets()?),
        "reload" => {
            let of = match scope {
                Scope::Missing | Scope::All => ReloadOf::All,
                Scope::Named(kind, names) => ReloadOf::Named { kind, names },
                Scope::Section(of) => of,
            };
            Command::Reload { of, dry_run: args.flag("dry_run")? }
        }
        "reread" => {
            scope.none()?;
            Command::Reread
        }
        "update" => Command::Update(scope.targets()?),
        "add" => Command::Add(scope.named()?),
        "remove" => Command::Remove { of: scope.named()?, stop: args.flag("stop")? },
        "shutdown" => {
            scope.none()?;
            Command::Shutdown { leave_running: args.flag("leave_running")? }
        }
        "signal" => {
            let (signal, group) = (args.signal()?, args.flag("group")?);
            let to = match (args.number("pid")?, scope) {
                (None, scope) => SignalTo::Processes(scope.targets()?),
                (Some(pid), Scope::Missing) => {
                    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0);
                    SignalTo::Pid(pid.ok_or_else(|| bad(Code::BadArgument, "pid must be a process id"))?)
                }
                (Some(_), Scope::All | Scope::Named(..) | Scope::Section(_)) => {
                    return Err(bad(Code::BadRequest, "give a pid or a target, not both"));
                }
            };
            Command::Signal { signal, to, group }
        }
        "pid" => Command::Pid(match scope {
            Scope::Missing => PidOf::Daemon,
            scope => PidOf::Processes(scope.targets()?),
        }),
        "tail" => Command::Tail {
            name: scope.one()?,
            channel: args.channel()?,
            last: args.last()?,
            offset: args.number("offset")?,
            follow: args.flag("follow")?,
            run: args.number("run")?.and_then(|run| i64::try_from(run).ok()),
        },
        "maintail" => {
            scope.none()?;
            Command::Maintail { last: args.last()?, follow: args.flag("follow")? }
        }
        "clear" => Command::Clear(scope.targets()?),
        "fg" => Command::Fg { name: scope.one()? },
        "send" => {
            let data = args.text("data")?;
            let data = data.ok_or_else(|| bad(Code::BadArgument, "the argument \"data\" is missing"))?;
            Command::Send { name: scope.one()?, data }
        }
        "avail" => {
            scope.none()?;
            Command::Avail
        }
        "version" => {
            scope.none()?;
            Command::Version
        }
        "history" => Command::History { name: scope.one()?, limit: args.number("limit")?.unwrap_or(HISTORY_LIMIT) },
        "subscribe" => {
            scope.none()?;
            Command::Subscribe(args.events()?)
        }
        "jobs" => Command::Jobs(scope.targets()?),
        "disown" => {
            let running = args.flag("running")?;
            let of = match scope {
                // Omitting the target must not disown everything.
                Scope::Missing => return Err(bad(Code::BadRequest, "a target is required")),
                scope => scope.targets()?,
            };
            Command::Disown { of, running }
        }
        word => {
            return Err(unknown("command", word, &COMMANDS, Code::BadCommand));
        }
    };
    args.done()?;
    Ok(command)
}

impl Command {
    /// Name of the command.
    pub fn word(&self) -> &'static str {
        match self {
            Command::Status(_) => "status",
            Command::Start { .. } => "start",
            Command::Stop { .. } => "stop",
            Command::Restart(_) => "restart",
            Command::Reload { .. } => "reload",
            Command::Reread => "reread",
            Command::Update(_) => "update",
            Command::Add(_) => "add",
            Command::Remove { .. } => "remove",
            Command::Shutdown { .. } => "shutdown",
            Command::Signal { .. } => "signal",
            Command::Pid(_) => "pid",
            Command::Tail { .. } => "tail",
            Command::Maintail { .. } => "maintail",
            Command::Clear(_) => "clear",
            Command::Fg { .. } => "fg",
            Command::Send { .. } => "send",
            Command::Avail => "avail",
            Command::Version => "version",
            Command::History { .. } => "history",
            Command::Subscribe(_) => "subscribe",
            Command::Jobs(_) => "jobs",
            Command::Disown { .. } => "disown",
        }
    }

    /// The names of processes in the command, with the syntax of names.
    pub fn names(&mut self) -> &mut [String] {
        let of = match self {
            Command::Tail { name, .. }
            | Command::Fg { name }
            | Command::Send { name, .. }
            | Command::History { name, .. } => return std::slice::from_mut(name),
            Command::Reload { of: ReloadOf::Named { kind: NameKind::Process, names }, .. } => return names,
            Command::Status(of)
            | Command::Start { of, .. }
            | Command::Stop { of, .. }
            | Command::Restart(of)
            | Command::Update(of)
            | Command::Add(of)
            | Command::Remove { of, .. }
            | Command::Signal { to: SignalTo::Processes(of), .. }
            | Command::Pid(PidOf::Processes(of))
            | Command::Clear(of)
            | Command::Jobs(of)
            | Command::Disown { of, .. } => of,
            Command::Reload { .. }
            | Command::Reread
            | Command::Shutdown { .. }
            | Command::Signal { to: SignalTo::Pid(_), .. }
            | Command::Pid(PidOf::Daemon)
            | Command::Maintail { .. }
            | Command::Avail
            | Command::Version
            | Command::Subscribe(_) => return &mut [],
        };
        match of {
            Targets::Named { kind: NameKind::Process, names } => names,
            Targets::Named { .. } | Targets::All => &mut [],
        }
    }

    /// Whether a supervisor that is shutting down rejects the command. `stop` is accepted, because
    /// it is happening anyway.
    pub fn is_refused_in_shutdown(&self) -> bool {
        match self {
            Command::Start { .. }
            | Command::Restart(_)
            | Command::Reload { .. }
            | Command::Update(_)
            | Command::Add(_)
            | Command::Remove { .. } => true,
            Command::Status(_)
            | Command::Stop { .. }
            | Command::Reread
            | Command::Shutdown { .. }
            | Command::Signal { .. }
            | Command::Pid(_)
            | Command::Tail { .. }
            | Command::Maintail { .. }
            | Command::Clear(_)
            | Command::Fg { .. }
            | Command::Send { .. }
            | Command::Avail
            | Command::Version
            | Command::History { .. }
            | Command::Subscribe(_)
            | Command::Jobs(_)
            | Command::Disown { .. } => false,
        }
    }

    fn write(&self, map: &mut Map<String, Value>, args: &mut Map<String, Value>) {
        let mut flag = |key: &str, value: bool| {
            if value {
                args.insert(key.into(), true.into());
            }
        };
        match self {
            Command::Status(of)
            | Command::Restart(of)
            | Command::Update(of)
            | Command::Add(of)
            | Command::Clear(of)
            | Command::Jobs(of) => write_targets(of, map),
            Command::Start { of, until_settled } => {
                write_targets(of, map);
                flag("until_settled", *until_settled);
            }
            Command::Stop { of, now } => {
                write_targets(of, map);
                flag("now", *now);
            }
            Command::Reload { of, dry_run } => {
                let section = |word: &str| (word.to_owned(), None);
                let (target, names) = match of {
                    ReloadOf::All => section("all"),
                    ReloadOf::Named { kind, names } => (kind.as_str().to_owned(), Some(names)),
                    ReloadOf::Server => section("server"),
                    ReloadOf::UnixHttpServer => section("unix_http_server"),
                    ReloadOf::InetHttpServer => section("inet_http_server"),
                    ReloadOf::Client => section("client"),
                };
                map.insert("target".into(), target.into());
                if let Some(names) = names {
                    write_names(names, map);
                }
                flag("dry_run", *dry_run);
            }
            Command::Reread | Command::Avail | Command::Version => {}
            Command::Remove { of, stop } => {
                write_targets(of, map);
                flag("stop", *stop);
            }
            Command::Shutdown { leave_running } => flag("leave_running", *leave_running),
            Command::Signal { signal, to, group } => {
                flag("group", *group);
                // By number: names of real-time signals are not accepted.
                args.insert("signal".into(), signal.0.to_string().into());
                match to {
                    SignalTo::Processes(of) => write_targets(of, map),
                    SignalTo::Pid(pid) => {
                        args.insert("pid".into(), (*pid).into());
                    }
                }
            }
            Command::Pid(PidOf::Daemon) => {}
            Command::Pid(PidOf::Processes(of)) => write_targets(of, map),
            Command::Tail { name, channel, last, offset, follow, run } => {
                write_one(name, map);
                flag("follow", *follow);
                args.insert("channel".into(), channel.as_str().into());
                write_last(*last, args);
                if let Some(offset) = offset {
                    args.insert("offset".into(), (*offset).into());
                }
                if let Some(run) = run {
                    args.insert("run".into(), (*run).into());
                }
            }
            Command::Maintail { last, follow } => {
                flag("follow", *follow);
                write_last(*last, args);
            }
            Command::Fg { name } => write_one(name, map),
            Command::Send { name, data } => {
                write_one(name, map);
                args.insert("data".into(), data.as_str().into());
            }
            Command::History { name, limit } => {
                write_one(name, map);
                args.insert("limit".into(), (*limit).into());
            }
            Command::Subscribe(filter) => {
                args.insert("events".into(), filter.words().into());
            }
            Command::Disown { of, running } => {
                write_targets(of, map);
                flag("running", *running);
            }
        }
    }
}

fn write_targets(of: &Targets, map: &mut Map<String, Value>) {
    match of {
        Targets::All => {
            map.insert("target".into(), "all".into());
        }
        Targets::Named { kind, names } => {
            map.insert("target".into(), kind.as_str().into());
            write_names(names, map);
        }
    }
}

fn write_one(name: &str, map: &mut Map<String, Value>) {
    map.insert("target".into(), NameKind::Process.as_str().into());
    map.insert("name".into(), name.into());
}

fn write_names(names: &[String], map: &mut Map<String, Value>) {
    match names {
        [name] => map.insert("name".into(), name.as_str().into()),
        names => map.insert("names".into(), names.into()),
    };
}

fn write_last(last: Last, args: &mut Map<String, Value>) {
    match last {
        Last::Bytes(bytes) => args.insert("bytes".into(), bytes.into()),
        Last::Lines(lines) => args.insert("lines".into(), lines.into()),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::EventKind, *};

    fn parse(line: &str) -> Request {
        Request::parse(line.as_bytes()).unwrap_or_else(|response| panic!("{line}: {response:?}"))
    }

    fn command_of(line: &str) -> Command {
        parse(line).command
    }

    fn error(line: &str) -> WireError {
        match Request::parse(line.as_bytes()) {
            Ok(request) => panic!("{line}: {request:?}"),
            Err(response) => {
                let error = response.error.unwrap();
                assert_eq!(response.status, error.code.status());
                assert_eq!(response.status, 400);
                error
            }
        }
    }

    #[test]
    fn three_keys_are_enough() {
        let named = Targets::Named { kind: NameKind::Program, names: vec!["nginx".into()] };
        assert_eq!(
            command_of(r#"{"command":"stop","target":"program","name":"nginx"}"#),
            Command::Stop { of: named, now: false }
        );
        assert_eq!(command_of(r#"{"command":"status"}"#), Command::Status(Targets::All));
        let request = parse(r#"{"command":"version","id":7,"wait":false,"timeout":1.5}"#);
        assert_eq!(
            (request.id, request.wait, request.timeout),
            (Some(json!(7)), false, Some(Duration::from_millis(1500)))
        );
    }

    #[test]
    fn a_missing_target_is_all_in_the_sense_of_the_command() {
        for target in ["", r#","target":"""#, r#","target":"all""#] {
            let line = |command: &str| format!(r#"{{"command":"{command}"{target}}}"#);
            assert_eq!(command_of(&line("restart")), Command::Restart(Targets::All));
            assert_eq!(command_of(&line("reload")), Command::Reload { of: ReloadOf::All, dry_run: false });
        }
        assert_eq!(command_of(r#"{"command":"pid"}"#), Command::Pid(PidOf::Daemon));
        assert_eq!(command_of(r#"{"command":"pid","target":"all"}"#), Command::Pid(PidOf::Processes(Targets::All)));
    }

    #[test]
    fn targets_are_a_closed_list() {
        for (word, of) in SECTIONS {
            let line = format!(r#"{{"command":"reload","target":"{word}","args":{{"dry_run":true}}}}"#);
            assert_eq!(command_of(&line), Command::Reload { of, dry_run: true });
            let stop = format!(r#"{{"command":"stop","target":"{word}"}}"#);
            assert_eq!(error(&stop).code, Code::BadTarget);
        }
        let similar = error(r#"{"command":"stop","target":"proces","name":"x"}"#);
        assert_eq!((similar.code, &similar.details[..]), (Code::BadTarget, &[json!("process")][..]));
    }

    #[test]
    fn a_typo_never_means_everything() {
        for line in [
            r#"{"command":"stop","trget":"program","name":"nginx"}"#,
            r#"{"command":"stop","target":"program","nmae":"nginx"}"#,
            r#"{"command":"stop","target":"program"}"#,
            r#"{"command":"stop","target":"program","name":""}"#,
            r#"{"command":"stop","target":"process","names":[]}"#,
            r#"{"command":"stop","target":"process","names":["a",""]}"#,
            r#"{"command":"stop","target":"process","names":"a"}"#,
            r#"{"command":"stop","target":"process","names":[1]}"#,
            r#"{"command":"stop","target":"process","name":1}"#,
            r#"{"command":"stop","target":"process","name":"a","names":["b"]}"#,
            r#"{"command":"stop","name":"nginx"}"#,
            r#"{"command":"stop","target":"","name":"nginx"}"#,
            r#"{"command":"stop","target":"all","name":"nginx"}"#,
            r#"{"command":"stop","target":null}"#,
            r#"{"command":"stop","name":null}"#,
            r#"{"command":"stop","wait":1}"#,
            r#"{"command":"stop","timeout":-1}"#,
            r#"{"command":"stop","timeout":"1"}"#,
            r#"{"command":"stop","args":[]}"#,
            r#"{"command":"stop","id":{}}"#,
            r#"{"command":"stop","auth":{"username":"u"}}"#,
            r#"{"command":"disown"}"#,
            r#"{"command":"remove"}"#,
            r#"{"command":1}"#,
            r#"{}"#,
            r#"[]"#,
            r#"{"command":"stop","command":"status"}"#,
            "{",
        ] {
            assert_eq!(error(line).code, Code::BadRequest, "{line}");
        }
        assert!(error(r#"{"command":"stop","trget":"all"}"#).message.contains("did you mean target?"));
    }

    #[test]
    fn arguments_are_checked() {
        for (line, code) in [
            (r#"{"command":"stop","args":{"nwo":true}}"#, Code::BadArgument),
            (r#"{"command":"stop","args":{"now":1}}"#, Code::BadArgument),
            (r#"{"command":"version","target":"process","name":"x"}"#, Code::BadTarget),
            (r#"{"command":"signal","args":{}}"#, Code::BadArgument),
            (r#"{"command":"signal","args":{"signal":"NOPE"}}"#, Code::BadSignal),
            (r#"{"command":"signal","args":{"signal":15}}"#, Code::BadSignal),
            (r#"{"command":"signal","args":{"signal":"TERM","pid":0}}"#, Code::BadArgument),
            (r#"{"command":"signal","args":{"signal":"TERM","pid":-1}}"#, Code::BadArgument),
            (r#"{"command":"signal","target":"all","args":{"signal":"TERM","pid":4}}"#, Code::BadRequest),
            (r#"{"command":"tail","target":"process","name":"g:*"}"#, Code::BadArgument),
            (r#"{"command":"tail","target":"group","name":"g"}"#, Code::BadArgument),
            (r#"{"command":"tail","target":"process","name":"x","args":{"bytes":-1}}"#, Code::BadArgument),
            (r#"{"command":"tail","target":"process","name":"x","args":{"bytes":1e3}}"#, Code::BadArgument),
            (
                r#"{"command":"tail","target":"process","name":"x","args":{"offset":18446744073709551615}}"#,
                Code::BadArgument,
            ),
            (r#"{"command":"tail","target":"process","name":"x","args":{"bytes":1,"lines":1}}"#, Code::BadArgument),
            (r#"{"command":"tail","target":"process","name":"x","args":{"channel":"stdin"}}"#, Code::BadArgument),
            (r#"{"command":"send","target":"process","name":"x"}"#, Code::BadArgument),
            (r#"{"command":"subscribe","args":{"events":["stat"]}}"#, Code::BadArgument),
            (r#"{"command":"tail"}"#, Code::BadRequest),
        ] {
            assert_eq!(error(line).code, code, "{line}");
        }
        let expected = Command::Signal { signal: Signal::KILL, to: SignalTo::Pid(42), group: true };
        let line = r#"{"command":"signal","args":{"signal":"sigkill","pid":42,"group":true}}"#;
        assert_eq!(command_of(line), expected);
    }

    #[test]
    fn the_error_of_an_unknown_command_names_similar_ones() {
        for (word, similar) in
            [("strat", "start"), ("STATUS", "status"), ("shutdwon", "shutdown"), ("disonw", "disown")]
        {
            let error = error(&format!(r#"{{"command":"{word}"}}"#));
            assert_eq!(error.code, Code::BadCommand);
            assert!(error.details.contains(&json!(similar)), "{error:?}");
        }
        assert_eq!(error(r#"{"command":"frobnicate"}"#).details, Vec::<Value>::new());
    }

    #[test]
    fn an_error_returns_the_id() {
        let response = Request::parse(br#"{"command":"nope","id":"a7"}"#).unwrap_err();
        assert_eq!(response.id, Some(json!("a7")));
        assert_eq!(Request::parse(br#"{"command":"nope","id":[1]}"#).unwrap_err().id, None);
    }

    #[test]
    fn a_password_is_not_printed() {
        let request = parse(r#"{"command":"status","auth":{"username":"u","password":"secret"}}"#);
        assert_eq!(request.auth.as_ref().unwrap().password, "secret");
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[test]
    fn commands_that_are_refused_during_a_shutdown() {
        let refused: Vec<&str> = all_commands(&Targets::All, "x", 1, true)
            .iter()
            .filter(|command| command.is_refused_in_shutdown())
            .map(Command::word)
            .collect();
        assert_eq!(refused, ["start", "restart", "reload", "update", "add", "remove"]);
    }

    fn all_commands(of: &Targets, name: &str, number: u64, flag: bool) -> Vec<Command> {
        let (of, name) = (of.clone(), name.to_owned());
        let last = if flag { Last::Lines(number) } else { Last::Bytes(number) };
        let run = flag.then_some(number as i64);
        let reload = match &of {
            Targets::All => ReloadOf::Server,
            Targets::Named { kind, names } => ReloadOf::Named { kind: *kind, names: names.clone() },
        };
        vec![
            Command::Status(of.clone()),
            Command::Start { of: of.clone(), until_settled: flag },
            Command::Stop { of: of.clone(), now: flag },
            Command::Restart(of.clone()),
            Command::Reload { of: reload, dry_run: flag },
            Command::Reread,
            Command::Update(of.clone()),
            Command::Add(of.clone()),
            Command::Remove { of: of.clone(), stop: flag },
            Command::Shutdown { leave_running: flag },
            Command::Signal { signal: Signal::HUP, to: SignalTo::Processes(of.clone()), group: flag },
            Command::Signal { signal: Signal(9), to: SignalTo::Pid(7), group: flag },
            Command::Pid(PidOf::Daemon),
            Command::Pid(PidOf::Processes(of.clone())),
            Command::Tail {
                name: name.clone(),
                channel: Channel::Stderr,
                last,
                offset: Some(number),
                follow: flag,
                run,
            },
            Command::Maintail { last, follow: flag },
            Command::Clear(of.clone()),
            Command::Fg { name: name.clone() },
            Command::Send { name: name.clone(), data: name.clone() },
            Command::Avail,
            Command::Version,
            Command::History { name, limit: number },
            Command::Subscribe(EventFilter::of([EventKind::State.as_str()]).unwrap()),
            Command::Jobs(of.clone()),
            Command::Disown { of, running: flag },
        ]
    }

    #[test]
    fn each_command_is_recognized_by_its_name() {
        let words: std::collections::BTreeSet<&str> =
            all_commands(&Targets::All, "x", 1, false).iter().map(Command::word).collect();
        assert_eq!(words, COMMANDS.into_iter().collect());
    }

    proptest! {
        #[test]
        fn a_request_reads_as_it_was_written(
            names in proptest::collection::vec("[^\"*?:]{1,5}", 1..4), number in 0..i64::MAX as u64, flag: bool,
            millis in proptest::option::of(0..100_000_u64), id in proptest::option::of(any::<i64>()), wait: bool,
            kind in proptest::sample::select(KINDS.to_vec()), has_auth: bool,
        ) {
            let name = names[0].clone();
            let of = Targets::Named { kind, names };
            for command in all_commands(&of, &name, number, flag) {
                let request = Request {
                    command,
                    wait,
                    timeout: millis.map(Duration::from_millis),
                    id: id.map(Value::from),
                    auth: has_auth.then(|| Auth { username: name.clone(), password: "p".into() }),
                };
                let line = request.to_line();
                prop_assert!(!line.contains('\n'));
                prop_assert_eq!(Request::parse(line.as_bytes()), Ok(request));
            }
        }

        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in any::<Vec<u8>>()) {
            if let Err(response) = Request::parse(&bytes) {
                prop_assert_eq!(response.status, 400);
            }
        }

        #[test]
        fn any_object_is_a_request_or_an_error(
            keys in proptest::collection::vec((proptest::sample::select(KEYS.to_vec()), 0..9_usize), 0..6),
            word in proptest::sample::select(COMMANDS.to_vec()),
        ) {
            let values = ["1", "\"x\"", "\"all\"", "\"process\"", "null", "{}", "[\"a\"]", "{\"now\":true}"];
            let parts = keys.into_iter().map(|(key, value)| {
                let value = values.get(value).map(|value| (*value).to_owned()).unwrap_or_else(|| format!("{word:?}"));
                format!("{key:?}:{value}")
            });
            let line = format!("{{{}}}", parts.collect::<Vec<_>>().join(","));
            if let Ok(request) = Request::parse(line.as_bytes()) {
                prop_assert_eq!(Request::parse(request.to_line().as_bytes()), Ok(request));
            }
        }
    }
}
