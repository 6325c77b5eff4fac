//! Types shared by all programs: task ids, times, statuses, signals, outcomes and the rows of
//! tasks.
//!
//! Pure: no clock, no file, no process.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    remote::RemoteName,
    upid::{Upid, UpidError},
};

/// The id of a task; never used twice in one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub i64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An instant of the wall clock, in nanoseconds since 1970 (valid until 2262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Converts whole seconds since 1970.
    pub fn from_secs(secs: i64) -> Timestamp {
        Timestamp(secs.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since 1970, the unit of the database.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Time from this instant to `now`; zero if the instant lies in the future (a clock was set
    /// back).
    pub fn age(self, now: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// One reading of both clocks, made in one place only. Stamps come from the wall clock, durations
/// from the monotonic one, so that setting the clock or suspending a laptop can neither kill a task
/// nor keep one alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Time since boot without suspend.
    pub mono: Duration,
    /// Time of day.
    pub wall: Timestamp,
}

impl Tick {
    /// The same reading, `by` earlier.
    pub fn earlier(self, by: Duration) -> Tick {
        let nanos = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        Tick { mono: self.mono.saturating_sub(by), wall: Timestamp(self.wall.0.saturating_sub(nanos)) }
    }
}

/// A process, identified uniquely within one boot: pids are reused, a pid with its start time is
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Start time, clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub pstart: u64,
}

/// Eight random characters that name a task, for scripts that need an unguessable id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle(String);

impl Handle {
    const LETTERS: &[u8; 24] = b"abcdefghijkmnpqrstuvwxyz";
    const ALL: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// Makes a handle from eight random bytes. Letters that look like digits (l, o) are not used.
    pub fn from_random(bytes: [u8; 8]) -> Handle {
        let pick = |set: &[u8], byte: u8| char::from(set[usize::from(byte) % set.len()]);
        let first = pick(Self::LETTERS, bytes[0]);
        Handle(std::iter::once(first).chain(bytes[1..].iter().map(|&byte| pick(Self::ALL, byte))).collect())
    }

    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` has the form of a handle: `[a-z2-9]`, eight long, beginning with a letter.
    pub fn looks_like(text: &str) -> bool {
        text.len() == 8
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'9').contains(&b))
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task as named on a command line: by id, handle or UPID.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskRef {
    /// The id.
    Id(TaskId),
    /// The handle.
    Handle(Handle),
    /// The UPID; with a remote before it, of a task of that remote.
    Upid(Box<Upid>),
    /// A task of a remote, in the short form that lists print.
    Remote(RemoteName, RemoteTaskRef),
}

/// The short name of a task of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteTaskRef {
    /// `NUMBER`: the task id on a remote that runs taskwatcher.
    Number(TaskId),
    /// `START:PID`, both as in the UPID: a task of a Proxmox host, whose tasks have no ids.
    Started {
        /// Unix seconds.
        start: i64,
        /// The process that runs the task.
        pid: u32,
    },
}

impl FromStr for RemoteTaskRef {
    type Err = BadTaskRef;

    fn from_str(text: &str) -> Result<RemoteTaskRef, BadTaskRef> {
        if let Some((start, pid)) = text.split_once(':') {
            let is_hex = |part: &str| part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            let parts = (i64::from_str_radix(start, 16), u32::from_str_radix(pid, 16));
            return match (is_hex(start) && is_hex(pid), parts) {
                (true, (Ok(start), Ok(pid))) => Ok(RemoteTaskRef::Started { start, pid }),
                _ => Err(BadTaskRef::Other),
            };
        }
        match text.parse() {
            Ok(TaskRef::Id(id)) => Ok(RemoteTaskRef::Number(id)),
            _ => Err(BadTaskRef::Other),
        }
    }
}

impl fmt::Display for RemoteTaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteTaskRef::Number(id) => id.fmt(f),
            RemoteTaskRef::Started { start, pid } => write!(f, "{start:08X}:{pid:08X}"),
        }
    }
}

/// A text that names no task in any of the three forms.
#[derive(Debug, thiserror::Error)]
pub enum BadTaskRef {
    /// Begins like a UPID and is not valid.
    #[error("{0}")]
    Upid(#[from] UpidError),
    /// None of the three forms.
    #[error("not a task: expected a number, a handle (8 characters) or a UPID")]
    Other,
    /// The part after the name of a remote is invalid.
    #[error("not a task of a remote: expected NUMBER, START:PID or a UPID after REMOTE!, as in lists")]
    Remote,
}

impl FromStr for TaskRef {
    type Err = BadTaskRef;

    fn from_str(text: &str) -> Result<TaskRef, BadTaskRef> {
        if text.contains("UPID:") {
            return Ok(TaskRef::Upid(Box::new(text.parse()?)));
        }
        if let Some((remote, task)) = text.split_once('!') {
            let remote = remote.parse().map_err(|_| BadTaskRef::Other)?;
            return Ok(TaskRef::Remote(remote, task.parse().map_err(|_| BadTaskRef::Remote)?));
        }
        if Handle::looks_like(text) {
            return Ok(TaskRef::Handle(Handle(text.to_owned())));
        }
        match text.parse::<i64>() {
            Ok(id) if id > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(TaskRef::Id(TaskId(id))),
            _ => Err(BadTaskRef::Other),
        }
    }
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskRef::Id(id) => id.fmt(f),
            TaskRef::Handle(handle) => handle.fmt(f),
            TaskRef::Remote(remote, task) => write!(f, "{remote}!{task}"),
            TaskRef::Upid(upid) => upid.fmt(f),
        }
    }
}

/// State of a task that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Reserved; the command has not started.
    Reserved,
    /// The last heartbeat is younger than a quarter of the timeout, or the task gives no feedback.
    Running,
    /// No heartbeat for a quarter of the timeout.
    Silent,
    /// No heartbeat for half of the timeout.
    Stalled,
    /// An end was requested.
    Stopping,
    /// The launcher is gone, the command still runs.
    Orphaned,
}

impl Status {
    /// Age of the last heartbeat, in percent of the timeout, from which a task is SILENT.
    pub const SILENT_FROM: u32 = 25;
    /// Age of the last heartbeat, in percent of the timeout, from which a task is STALLED.
    pub const STALLED_FROM: u32 = 50;
    /// All statuses, in the order of a task's life.
    pub const ALL: [Status; 6] =
        [Status::Reserved, Status::Running, Status::Silent, Status::Stalled, Status::Stopping, Status::Orphaned];

    /// Returns the status for the age of the last heartbeat (the 25/50 % rule). Without a timeout a
    /// live task is RUNNING.
    pub fn of(age: Duration, timeout: Option<Duration>) -> Status {
        match timeout {
            Some(timeout) if age >= share(timeout, Self::STALLED_FROM) => Status::Stalled,
            Some(timeout) if age >= share(timeout, Self::SILENT_FROM) => Status::Silent,
            Some(_) | None => Status::Running,
        }
    }

    /// Text in tables, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Reserved => "RESERVED",
            Status::Running => "RUNNING",
            Status::Silent => "SILENT",
            Status::Stalled => "STALLED",
            Status::Stopping => "STOPPING",
            Status::Orphaned => "ORPHANED",
        }
    }

    /// Parses that text. An unknown text counts as RUNNING, so that the row is checked and settled.
    pub fn from_word(word: &str) -> Status {
        Status::ALL.into_iter().find(|status| status.as_str() == word).unwrap_or(Status::Running)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `percent` of `whole`.
pub fn share(whole: Duration, percent: u32) -> Duration {
    whole.saturating_mul(percent) / 100
}

/// A signal, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signal(pub i32);

/// A text that names no signal that can be sent.
#[derive(Debug, thiserror::Error)]
pub enum BadSignal {
    /// Not the name or number of a signal.
    #[error("unknown signal: use a name such as TERM or SIGINT, or a number from 1 to 31")]
    Unknown,
    /// A real-time signal.
    #[error("real-time signals cannot be sent: use one from 1 to 31, or send it from a script with kill -s")]
    RealTime,
}

impl Signal {
    /// Hangup.
    pub const HUP: Signal = Signal(1);
    /// Interrupt (Ctrl-C).
    pub const INT: Signal = Signal(2);
    /// Quit (Ctrl-\).
    pub const QUIT: Signal = Signal(3);
    /// Kill (cannot be caught or ignored).
    pub const KILL: Signal = Signal(9);
    /// Write to a pipe without a reader.
    pub const PIPE: Signal = Signal(13);
    /// Stop (cannot be caught or ignored).
    pub const STOP: Signal = Signal(19);
    /// Terminate, the default stop signal.
    pub const TERM: Signal = Signal(15);
    /// Continue after a stop.
    pub const CONT: Signal = Signal(18);
    /// Stop typed at the terminal (Ctrl-Z).
    pub const TSTP: Signal = Signal(20);
    /// Read from the terminal by a background process.
    pub const TTIN: Signal = Signal(21);
    /// The terminal's size changed.
    pub const WINCH: Signal = Signal(28);
    /// Write to the terminal, or change of its settings, by a background process.
    pub const TTOU: Signal = Signal(22);

    /// Names in the order of their numbers, from 1.
    pub const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    /// The first real-time signal available to programs (glibc reserves two).
    const RTMIN: i32 = 34;

    /// Whether this signal, sent to a launcher, is passed on to the command unchanged. SIGTERM
    /// stands for the task's own stop signal. So does a real-time signal, because its meaning is
    /// private to programs that agreed on it.
    pub fn is_passed_on(self) -> bool {
        self != Signal::TERM && self.0 < Signal::RTMIN
    }

    /// Whether `mask`, in which bit n-1 is signal n, contains this signal.
    pub fn is_in(self, mask: u64) -> bool {
        (1..=64).contains(&self.0) && mask & (1 << (self.0 - 1)) != 0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = usize::try_from(self.0).ok().and_then(|n| Signal::NAMES.get(n.wrapping_sub(1)));
        match named {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= Signal::RTMIN => write!(f, "SIGRTMIN+{}", self.0 - Signal::RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = BadSignal;

    fn from_str(text: &str) -> Result<Signal, BadSignal> {
        if let Ok(number) = text.parse::<i32>() {
            // A real-time signal that ended a command can be printed, but none can be sent: there
            // is no safe call for that.
            return match number {
                1..=31 => Ok(Signal(number)),
                Signal::RTMIN..=64 => Err(BadSignal::RealTime),
                _ => Err(BadSignal::Unknown),
            };
        }
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        if bare.starts_with("RTMIN") || bare.starts_with("RTMAX") {
            return Err(BadSignal::RealTime);
        }
        let index = Signal::NAMES.iter().position(|name| *name == bare).ok_or(BadSignal::Unknown)?;
        i32::try_from(index + 1).map(Signal).map_err(|_| BadSignal::Unknown)
    }
}

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

/// The exit codes of the programs, as listed in the README.
pub mod exit_code {
    /// `control`, `parse`: failed; `launch`: the command's output was lost, or the id of a detached
    /// task, or there were warnings and `--fail-on-warnings`.
    pub const FAILED: i32 = 1;
    /// `control check`: no task of that name ever succeeded.
    pub const NEVER: i32 = 3;
    /// `control export`: the database does not exist.
    pub const NOTHING_YET: i32 = 3;
    /// Bad usage, in every program.
    pub const USAGE: i32 = 2;
    /// `launch` ended the command (timeout, max runtime); `control wait --timeout` gave up.
    pub const TIMED_OUT: i32 = 124;
    /// `launch` itself failed: database, reservation, or an option that could not be checked
    /// earlier.
    pub const LAUNCH_FAILED: i32 = 125;
    /// The command exists and cannot be executed.
    pub const NOT_EXECUTABLE: i32 = 126;
    /// The command was not found.
    pub const NOT_FOUND: i32 = 127;
}

/// `ended_by` of a task that died of SIGPIPE because the reader of its output closed it (`launch …
/// | head -1`). Such a run counts as neither a success nor a failure.
pub const READER: &str = "reader";

/// Everything that is recorded when a task ends; small and self-contained, so that it fits a spool
/// slot when the database cannot be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Time of the end, unix seconds.
    pub endtime: i64,
    /// Run time, seconds on the monotonic clock.
    pub duration: Option<f64>,
    /// `OK`, `WARNINGS: n`, `ERROR: text` or `unknown`.
    pub outcome: String,
    /// The [`Class`] of the outcome, as text.
    pub result: String,
    /// The reason, as text.
    pub termerror: Option<String>,
    /// Name of the signal that ended the command.
    pub termsignal: Option<String>,
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
    /// What ended the task: `itself`, [`READER`], `timeout`, `max-runtime`, or the requester.
    pub ended_by: Option<String>,
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
            outcome: outcome.to_string(),
            result: outcome.class().as_str().to_owned(),
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
}

/// Rounds seconds to milliseconds; finer digits are noise in a listing.
pub fn round_ms(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Formats a duration in the form that options accept: `30s`, `1m30s`, `2h`, `0.5s`.
pub fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let millis = duration.subsec_millis();
    if secs < 60 && millis > 0 {
        return format!("{}s", round_ms(duration.as_secs_f64()));
    }
    let mut text = String::new();
    for (count, unit) in [(secs / 86_400, 'd'), (secs / 3_600 % 24, 'h'), (secs / 60 % 60, 'm'), (secs % 60, 's')] {
        if count > 0 || (unit == 's' && text.is_empty()) {
            text.push_str(&count.to_string());
            text.push(unit);
        }
    }
    text
}

/// Formats a number of bytes: `1.5 MiB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    if size < 1024.0 {
        return format!("{bytes} B");
    }
    let mut unit = "";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}

/// An empty or blank name.
#[derive(Debug, thiserror::Error)]
#[error("a name must not be empty")]
pub struct BadName;

/// Checks the name of a task: any text that is not blank.
///
/// # Errors
/// [`BadName`]
pub fn parse_name(text: &str) -> Result<String, BadName> {
    if text.trim().is_empty() { Err(BadName) } else { Ok(text.to_owned()) }
}

/// A text that is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("not a duration: expected seconds, or numbers with s, m, h, d or w, such as 90, 1.5s, 5m, 1h30m")]
pub struct BadSpan;

/// A text that is not a duration greater than zero.
#[derive(Debug, thiserror::Error)]
pub enum BadPositiveSpan {
    /// Not a duration.
    #[error(transparent)]
    Span(#[from] BadSpan),
    /// Zero.
    #[error("must be greater than 0, such as 30s or 5m")]
    None,
}

/// Parses a duration greater than zero, for intervals and timeouts.
///
/// # Errors
/// [`BadPositiveSpan`]
pub fn parse_positive_span(text: &str) -> Result<Duration, BadPositiveSpan> {
    match parse_span(text)? {
        Duration::ZERO => Err(BadPositiveSpan::None),
        span => Ok(span),
    }
}

/// Parses a duration: a bare number is seconds; `90s`, `5m`, `2h`, `1d`, `1w`, `1h30m` work.
pub fn parse_span(text: &str) -> Result<Duration, BadSpan> {
    let mut total = 0f64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadSpan);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| BadSpan)?;
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let scale = match &after[..letters] {
            // A number without a unit must stand alone: `1h30` could mean minutes or seconds.
            "" if digits == text.trim().len() => 1.0,
            "ms" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(BadSpan),
        };
        total += number * scale;
        rest = after[letters..].trim_start();
    }
    Duration::try_from_secs_f64(total).map_err(|_| BadSpan)
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

/// Formats a text for one line of a terminal, with control characters escaped (`\u{1b}`).
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
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
    pub upid: Option<String>,
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
    pub stop_signal: Option<String>,
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
        let counted = || self.upid.as_deref()?.parse::<Upid>().ok()?.task_id;
        self.launcher.is_some() && self.command() == self.launcher && counted().is_some()
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
    pub outcome: String,
    pub termsignal: Option<String>,
    pub termerror: Option<String>,
    pub exitcode: Option<i64>,
    pub starttime: Option<i64>,
    pub endtime: i64,
    pub duration: Option<f64>,
    pub feedback: Option<serde_json::Value>,
    pub warnings: i64,
    pub upid: Option<String>,
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
    pub ended_by: Option<String>,
    pub reservetime: Option<i64>,
    pub options: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervised: Option<serde_json::Value>,
}

impl HistoryRow {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 1023, 1024, 150_000_000, 1 << 45].map(size),
            ["0 B", "1023 B", "1.0 KiB", "143.1 MiB", "32.0 TiB"]
        );
    }

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
    fn status_follows_the_quarter_and_half_rule() {
        let timeout = Some(Duration::from_secs(100));
        let at = |secs| Status::of(Duration::from_secs(secs), timeout);
        assert_eq!(
            [at(0), at(24), at(25), at(49), at(50), at(500)].map(Status::as_str),
            ["RUNNING", "RUNNING", "SILENT", "SILENT", "STALLED", "STALLED"]
        );
        assert_eq!(Status::of(Duration::MAX, None), Status::Running);
        assert_eq!(Status::of(Duration::MAX, Some(Duration::MAX)), Status::Stalled);
    }

    #[test]
    fn every_status_word_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::from_word(status.as_str()), status);
        }
        assert_eq!(Status::from_word("???"), Status::Running);
    }

    #[test]
    fn signals_read_in_every_spelling_and_print_with_their_prefix() {
        for text in ["TERM", "SIGTERM", "sigterm", "term", "15"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
        assert_eq!(Signal(31).to_string(), "SIGSYS");
        assert_eq!(Signal(33).to_string(), "signal 33");
        for text in ["", "0", "32", "-1", "FOO", "SIG", "RTMIN+3", "99999999999"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_read_and_print() {
        let read = |text| parse_span(text).map(|d| d.as_millis()).ok();
        assert_eq!(read("30"), Some(30_000));
        assert_eq!(read("1.5"), Some(1_500));
        assert_eq!(read("90s"), Some(90_000));
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("1h30m"), Some(5_400_000));
        assert_eq!(read("1h 30m"), Some(5_400_000));
        assert_eq!(read("2d"), Some(172_800_000));
        assert_eq!(read("1w"), Some(604_800_000));
        for text in ["", " ", "s", "-1", "1x", "1h30", "1..5", "1e400", "99999999999999999999w", "5 5", "NaN", "inf"] {
            assert_eq!(read(text), None, "{text}");
        }
        let print = |millis| span(Duration::from_millis(millis));
        assert_eq!(print(30_000), "30s");
        assert_eq!(print(500), "0.5s");
        assert_eq!(print(0), "0s");
        assert_eq!(print(7_200_000), "2h");
        assert_eq!(print(90_000), "1m30s");
        assert_eq!(print(90_500), "1m30s");
    }

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

    #[test]
    fn a_task_is_named_by_number_handle_or_upid() {
        let handle = Handle::from_random([255, 1, 2, 3, 4, 5, 6, 7]);
        assert!(Handle::looks_like(handle.as_str()), "{handle}");
        assert!(matches!(handle.as_str().parse::<TaskRef>(), Ok(TaskRef::Handle(_))));
        assert_eq!("web-1!17".parse::<TaskRef>().unwrap().to_string(), "web-1!17");
        assert_eq!("pve!618C1D55:000AE992".parse::<TaskRef>().unwrap().to_string(), "pve!618C1D55:000AE992");
        for text in
            ["pve!618C1D55:", "pve!:000AE992", "pve!1:2", "pve!618C1D55:+00AE992", "pve!618C1D55:1000AE992", "pve!x"]
        {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
        for text in ["!17", "a b!17", "a!", "a!0", "a!-1", "a!b!1"] {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
        assert_eq!("12".parse::<TaskRef>().unwrap(), TaskRef::Id(TaskId(12)));
        assert!(matches!("UPID:n:00000001:00000001:00000001:t:1:u@pam:".parse::<TaskRef>(), Ok(TaskRef::Upid(_))));
        for text in ["", "0", "-1", "+1", "1x", "99999999999999999999", "abc", "UPID:", "2bcdefgh"] {
            assert!(text.parse::<TaskRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn argv_keeps_every_byte() {
        use std::{ffi::OsString, os::unix::ffi::OsStringExt};
        let argv = [OsString::from("a\n\"b"), OsString::new(), OsString::from_vec(vec![0xff, b'x'])];
        assert_eq!(argv_json(&argv), r#"["a\n\"b","",{"bytes":"/3g="}]"#);
    }
}
