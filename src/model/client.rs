//! The client of the supervisor: output lines and exit codes for responses.
//!
//! Pure: responses in, text out. Nothing received over the socket reaches a terminal unescaped.

use serde_json::Value;

use super::{
    ansi::plain,
    error::ErrorKind,
    program::ProcState,
    wire::{Code, Command, Last, NO_GROUP, PROTOCOL, PidOf, Piece, ProcessInfo, Response, ResultItem, WireError},
};

/// The exit code of a command that was carried out, or had nothing to do.
pub const DONE: u8 = 0;

/// Minimum width of the name column of `status`.
const NAME_WIDTH: usize = 30;
/// Blanks after the name column, as in Supervisor's table.
const NAME_GAP: usize = 3;
/// Width of the state column.
const STATE_WIDTH: usize = 10;

/// The output for a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// For standard output.
    pub out: Vec<String>,
    /// For standard error.
    pub err: Vec<String>,
}

/// Why the supervisor cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The socket does not exist.
    #[error("no such file: the supervisor is not running, or uses another socket")]
    NoFile,
    /// No process listens on the socket.
    #[error("connection refused: the supervisor is not running; its socket was left behind")]
    Refused,
    /// No process listens on the port.
    #[error("connection refused: no supervisor listens there")]
    NobodyThere,
    /// No permission for the socket.
    #[error("permission denied: no access to the supervisor's socket")]
    Denied,
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

impl Unreachable {
    /// Returns the kind of the error, for this command.
    pub fn kind(&self, command: &Command) -> ErrorKind {
        match (command, self) {
            (Command::Status(_), _) => ErrorKind::StateUnknown,
            // The supervisor is not running: there is nothing to shut down.
            (Command::Shutdown { .. }, Unreachable::NoFile | Unreachable::Refused | Unreachable::NobodyThere) => {
                ErrorKind::Failed
            }
            (_, Unreachable::NoFile) => ErrorKind::NotRunning,
            (_, Unreachable::Refused | Unreachable::NobodyThere | Unreachable::Denied | Unreachable::Other(_)) => {
                ErrorKind::StateUnknown
            }
        }
    }
}

/// The supervisor has another protocol version than the client; exit 5.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor speaks protocol {found}, this client protocol {PROTOCOL}: use programs of the same version")]
pub struct OtherProtocol {
    /// The supervisor's version.
    pub found: String,
}

/// Checks the protocol version in the response to `version`.
///
/// # Errors
/// Another version, or none.
pub fn check_protocol(version: &Response) -> Result<(), OtherProtocol> {
    let found = version.content.as_ref().and_then(|content| content.get("protocol"));
    match found {
        Some(number) if number.as_u64() == Some(PROTOCOL) => Ok(()),
        Some(other) => Err(OtherProtocol { found: plain(&other.to_string()) }),
        None => Err(OtherProtocol { found: "unknown".to_owned() }),
    }
}

/// Returns the output for the response to a command. Logs, histories and streams are printed
/// elsewhere and give no lines here.
pub fn show(command: &Command, response: &Response) -> Shown {
    let content = response.content.as_ref();
    let items = response.items();
    let mut shown = show_whole(response, &items);
    match command {
        Command::Status(_) => shown.out.extend(status_table(&response.processes())),
        Command::Reread | Command::Reload { dry_run: true, .. } => {
            let words =
                [("added", "available"), ("restarted", "changed"), ("updated", "changed"), ("removed", "disappeared")];
            show_reload(content, &words, &mut shown);
        }
        Command::Reload { dry_run: false, .. } | Command::Update(_) => {
            let words = ["stopped", "removed", "added", "updated", "restarted"].map(|word| (word, word));
            show_reload(content, &words, &mut shown);
        }
        Command::Pid(_) => shown.out.extend(pids(content).into_iter().map(|pid| pid.to_string())),
        Command::Version => shown.out.extend(text(content, "version")),
        Command::Avail => shown.out.extend(avail(content)),
        Command::Shutdown { leave_running } => shown.out.extend(shutdown(content, *leave_running)),
        Command::Send { .. }
        | Command::Start { .. }
        | Command::Stop { .. }
        | Command::Restart(_)
        | Command::Add(_)
        | Command::Remove { .. }
        | Command::Signal { .. }
        | Command::Tail { .. }
        | Command::Maintail { .. }
        | Command::Clear(_)
        | Command::Fg { .. }
        | Command::History { .. }
        | Command::Subscribe(_)
        | Command::Jobs(_)
        | Command::Disown { .. } => {}
    }
    let word = done_word(command);
    shown.out.extend(items.iter().map(|item| result_line(word, item)));
    shown
}

/// Returns the lines of failures and of successes separately.
pub fn failed_and_done(command: &Command, response: &Response) -> (Vec<String>, Vec<String>) {
    let items = response.items();
    let whole = show_whole(response, &items);
    let (bad, good): (Vec<&ResultItem>, Vec<&ResultItem>) = items.iter().partition(|item| item.code.is_some());
    let word = done_word(command);
    let lines = |items: Vec<&ResultItem>| items.into_iter().map(|item| result_line(word, item)).collect::<Vec<_>>();
    (whole.err.into_iter().chain(whole.out).chain(lines(bad)).collect(), lines(good))
}

/// Formats the error and the warnings of the whole response.
fn show_whole(response: &Response, items: &[ResultItem]) -> Shown {
    let mut shown = Shown::default();
    // After a timeout a process has both an error of the whole response and a result of its own,
    // with the same content.
    let is_said = |error: &WireError| error.name.is_some() && items.iter().any(|item| item.code == Some(error.code));
    if let Some(error) = response.error.as_ref().filter(|error| !is_said(error)) {
        show_error(error, &mut shown);
    }
    shown
}

/// Whether the log has more than the response contains, because the supervisor limits its size.
pub fn is_cut(command: &Command, piece: &Piece) -> bool {
    let (Command::Tail { last, offset: None, .. } | Command::Maintail { last, .. }) = command else { return false };
    let got = match last {
        Last::Bytes(bytes) => (piece.data.len() as u64) < *bytes,
        // An incomplete part at the beginning does not count as a line.
        Last::Lines(lines) => (piece.data.iter().filter(|byte| **byte == b'\n').count() as u64) < *lines,
    };
    got && piece.offset.is_some_and(|offset| offset > 0)
}

/// Returns the exit code for the response to a command.
pub fn exit_code(command: &Command, response: &Response) -> u8 {
    failure(command, response).map_or(DONE, ErrorKind::exit_code)
}

/// Returns what of a response counts as a failure of the command, if anything does: of several, the one with the
/// greatest exit code.
fn failure(command: &Command, response: &Response) -> Option<ErrorKind> {
    let content = response.content.as_ref();
    let whole = response.error.as_ref().and_then(|error| {
        let items: Vec<ResultItem> = error.details.iter().filter_map(item).collect();
        match items.is_empty() {
            true => kind_of(command, error.code, &error.message),
            false => worst(items.iter().map(|item| item_kind(command, item))),
        }
    });
    let items = worst(response.items().iter().map(|item| item_kind(command, item)));
    let states = match command {
        Command::Status(_) => worst(response.processes().iter().map(|process| state_kind(process.state))),
        Command::Pid(PidOf::Processes(_)) => pids(content).contains(&0).then_some(ErrorKind::NotRunning),
        Command::Pid(PidOf::Daemon)
        | Command::Start { .. }
        | Command::Stop { .. }
        | Command::Restart(_)
        | Command::Reload { .. }
        | Command::Reread
        | Command::Update(_)
        | Command::Add(_)
        | Command::Remove { .. }
        | Command::Shutdown { .. }
        | Command::Signal { .. }
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
        | Command::Disown { .. } => None,
    };
    // A failure without details comes from a supervisor with an unknown format.
    let is_mute = match response.status {
        207 => response.items().is_empty(),
        status => status >= 400 && response.error.is_none(),
    };
    worst([whole, items, states, is_mute.then_some(ErrorKind::Failed)])
}

/// Returns the failure with the greatest exit code.
fn worst(failures: impl IntoIterator<Item = Option<ErrorKind>>) -> Option<ErrorKind> {
    failures.into_iter().flatten().max_by_key(|kind| kind.exit_code())
}

/// Formats one line per process: name, state, description.
pub fn status_table(processes: &[ProcessInfo]) -> Vec<String> {
    let names: Vec<String> = processes.iter().map(|process| plain(&process.full_name())).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // Format widths are limited to u16, and a supervisor may send names of any length.
    let width = longest.clamp(NAME_WIDTH, usize::from(u16::MAX) - NAME_GAP) + NAME_GAP;
    let line = |(name, process): (&String, &ProcessInfo)| {
        let line = format!("{name:<width$}{:<STATE_WIDTH$}{}", process.state.as_str(), plain(&process.description));
        line.trim_end().to_owned()
    };
    names.iter().zip(processes).map(line).collect()
}

/// Formats the reason of a failure.
pub fn reason(code: Code, message: &str) -> String {
    let or = |text: &str| if message.is_empty() { text.to_owned() } else { plain(message) };
    let with = |text: &str| if message.is_empty() { text.to_owned() } else { format!("{text}: {}", plain(message)) };
    match code {
        Code::BadName => or("no such process"),
        Code::NoFile => "no such file".to_owned(),
        Code::NotExecutable => "file is not executable".to_owned(),
        Code::AlreadyStarted => "already started".to_owned(),
        Code::NotRunning => "not running".to_owned(),
        Code::SpawnError => with("spawn error"),
        Code::AbnormalTermination => with("abnormal termination"),
        Code::BadSignal => "bad signal name".to_owned(),
        Code::ShuttingDown => "shutting down".to_owned(),
        Code::Timeout => "timed out".to_owned(),
        Code::Ambiguous => or("ambiguous"),
        Code::Stopping => or("is being stopped"),
        Code::AlreadyAdded => or("already active"),
        Code::StillRunning => format!("{}; stop first, or use --stop", or("still running")),
        Code::CantReread => or("the configuration cannot be read"),
        Code::Unauthorized => or("name or password is missing or wrong"),
        Code::Forbidden => or("not allowed"),
        Code::TooLarge => or("the request is too long"),
        Code::Unsupported => or("not supported"),
        Code::DbError => or("the database could not be written"),
        Code::BadRequest | Code::BadCommand | Code::BadTarget | Code::BadArgument | Code::Failed => or("failed"),
    }
}

/// The text for a process with which the command succeeded.
fn done_word(command: &Command) -> &'static str {
    match command {
        Command::Start { .. } => "started",
        Command::Stop { .. } => "stopped",
        Command::Restart(_) => "restarted",
        Command::Signal { .. } => "signalled",
        Command::Clear(_) => "cleared",
        Command::Add(_) => "added",
        Command::Remove { .. } => "removed",
        Command::Disown { .. } => "disowned",
        Command::Status(_)
        | Command::Reload { .. }
        | Command::Reread
        | Command::Update(_)
        | Command::Shutdown { .. }
        | Command::Pid(_)
        | Command::Tail { .. }
        | Command::Maintail { .. }
        | Command::Fg { .. }
        | Command::Send { .. }
        | Command::Avail
        | Command::Version
        | Command::History { .. }
        | Command::Subscribe(_)
        | Command::Jobs(_) => "done",
    }
}

fn result_line(word: &str, item: &ResultItem) -> String {
    let name = plain(&item.full_name());
    match item.code {
        Some(code) => format!("{name}: ERROR ({})", reason(code, &item.message)),
        None if item.status == 202 => format!("{name}: accepted"),
        None if item.message.is_empty() => format!("{name}: {word}"),
        None => format!("{name}: {word} ({})", plain(&item.message)),
    }
}

/// Formats an error of the whole response: as a result if it is about a name, else as a message.
fn show_error(error: &WireError, shown: &mut Shown) {
    let items: Vec<ResultItem> = error.details.iter().filter_map(item).collect();
    if !items.is_empty() {
        shown.out.extend(items.iter().map(|item| result_line("", item)));
        // The message does not repeat the invalid name.
        if error.code == Code::BadSignal {
            shown.err.push(plain(&error.message));
        }
        return;
    }
    match &error.name {
        Some(name) => shown.out.push(format!("{}: ERROR ({})", plain(name), reason(error.code, &error.message))),
        None => {
            // All errors of a configuration. Suggested words are part of the message already.
            let all: Vec<String> = error.details.iter().filter(|_| error.code == Code::CantReread).map(words).collect();
            let message = match error.code {
                // The fixed texts are for lines that begin with a name.
                Code::NoFile if !error.message.is_empty() => plain(&error.message),
                code => reason(code, &error.message),
            };
            // If the message is only the first of the details, print it with the others.
            if all.first().is_none_or(|first| !message.starts_with(first.as_str())) {
                shown.err.push(message);
            }
            shown.err.extend(all);
        }
    }
}

/// Parses a detail that is the result for one name.
fn item(detail: &Value) -> Option<ResultItem> {
    serde::Deserialize::deserialize(detail).ok()
}

fn show_reload(content: Option<&Value>, words_of: &[(&str, &str)], shown: &mut Shown) {
    let Some(content) = content else { return };
    let list = |key: &str| content.get(key).and_then(Value::as_array).into_iter().flatten().map(words);
    let before = shown.out.len();
    for (key, word) in words_of {
        shown.out.extend(list(key).map(|name| format!("{name}: {word}")));
    }
    shown.out.extend(list("settings"));
    if shown.out.len() == before && content.get("results").is_none() {
        shown.out.push("No config updates to processes".to_owned());
    }
    shown.err.extend(list("warnings").map(|text| format!("warning: {text}")));
    shown.err.extend(
        list("needs_restart").map(|key| format!("warning: {key} takes effect only after a restart of supervise")),
    );
}

/// Formats a name or a message, in either form.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Object(map) => match map.get("name").or_else(|| map.get("message")).and_then(Value::as_str) {
            Some(text) => plain(text),
            None => plain(&value.to_string()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => plain(&value.to_string()),
    }
}

fn text(content: Option<&Value>, key: &str) -> Option<String> {
    content.and_then(|content| content.get(key)).and_then(Value::as_str).map(plain)
}

/// Formats the response to a shutdown. If one was in progress already, whether the processes keep
/// running is unknown.
fn shutdown(content: Option<&Value>, leave_running: bool) -> Option<String> {
    let already = text(content, "message");
    let count = content.and_then(|content| content.get("processes")).and_then(Value::as_u64)?;
    let (noun, verb) = if count == 1 { ("process", " keeps running") } else { ("processes", " keep running") };
    let verb = if leave_running && already.is_none() { verb } else { "" };
    Some(format!("{} ({count} {noun}{verb})", already.as_deref().unwrap_or("shutting down")))
}

/// Reads pids from `{"pid": 7}`, from `[{"name": …, "pid": 7}]`, or from such an array under
/// `pids`.
fn pids(content: Option<&Value>) -> Vec<i64> {
    let Some(content) = content else { return vec![] };
    let pid = |value: &Value| value.get("pid").and_then(Value::as_i64);
    match content.get("pids").unwrap_or(content) {
        Value::Array(list) => list.iter().filter_map(pid).collect(),
        one => pid(one).into_iter().collect(),
    }
}

/// Formats `web     in use    auto      999:999`, as in Supervisor.
fn avail(content: Option<&Value>) -> Vec<String> {
    let list = content.and_then(|content| content.get("processes").or(Some(content))).and_then(Value::as_array);
    let line = |value: &Value| {
        let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        let number = |key: &str| value.get(key).and_then(Value::as_i64).unwrap_or(999);
        let used = if flag("in_use") { "in use" } else { "avail" };
        let auto = if flag("autostart") { "auto" } else { "manual" };
        let changed = if flag("config_changed") { "   changed" } else { "" };
        let priorities = format!("{}:{}", number("group_priority"), number("program_priority"));
        format!("{:<width$}{used:<10}{auto:<10}{priorities}{changed}", words(value), width = NAME_WIDTH + NAME_GAP)
    };
    list.into_iter().flatten().map(line).collect()
}

fn item_kind(command: &Command, item: &ResultItem) -> Option<ErrorKind> {
    match item.code {
        Some(code) => kind_of(command, code, &item.message),
        None => (item.status >= 400).then_some(ErrorKind::Failed),
    }
}

/// Returns the failure that a state is for `status`.
fn state_kind(state: ProcState) -> Option<ErrorKind> {
    match state {
        ProcState::Starting | ProcState::Running | ProcState::Backoff | ProcState::Stopping => None,
        ProcState::Stopped | ProcState::Exited | ProcState::Fatal | ProcState::Unknown => Some(ErrorKind::NotUp),
    }
}

/// Returns the kind of an error of the protocol; `None` if what the command is for is the case already.
fn kind_of(command: &Command, code: Code, message: &str) -> Option<ErrorKind> {
    if matches!(command, Command::Status(_)) {
        return Some(ErrorKind::StateUnknown);
    }
    Some(match code {
        Code::AlreadyStarted | Code::AlreadyAdded => return None,
        Code::NotRunning => match command {
            Command::Stop { .. } => return None,
            Command::Signal { .. } | Command::Restart(_) | Command::Start { .. } => ErrorKind::NotRunning,
            _ => ErrorKind::Conflict,
        },
        Code::SpawnError | Code::AbnormalTermination => ErrorKind::NotRunning,
        Code::BadName => match command {
            Command::Start { .. } | Command::Restart(_) if message == NO_GROUP => ErrorKind::Usage,
            _ => ErrorKind::NotFound,
        },
        Code::BadRequest | Code::BadCommand | Code::BadTarget | Code::BadArgument => ErrorKind::Usage,
        Code::NoFile => ErrorKind::NotFound,
        Code::Ambiguous | Code::Stopping | Code::StillRunning => ErrorKind::Conflict,
        Code::BadSignal | Code::NotExecutable | Code::Failed | Code::CantReread => ErrorKind::Failed,
        Code::ShuttingDown => ErrorKind::ShutDown,
        Code::Unauthorized => ErrorKind::Unauthorized,
        Code::Forbidden => ErrorKind::Denied,
        Code::TooLarge => ErrorKind::TooLarge,
        Code::Timeout => ErrorKind::TimedOut,
        Code::Unsupported => ErrorKind::Unsupported,
        Code::DbError => ErrorKind::Database,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        super::{
            task::Signal,
            wire::{Last, ProcessEntry, ReloadOf, SignalTo, Targets, select, tests::process},
        },
        *,
    };

    fn start() -> Command {
        Command::Start { of: Targets::All, until_settled: false }
    }

    fn stop() -> Command {
        Command::Stop { of: Targets::All, now: false }
    }

    fn signal() -> Command {
        Command::Signal { signal: Signal::HUP, to: SignalTo::Processes(Targets::All), group: false }
    }

    fn tail() -> Command {
        let last = Last::default();
        Command::Tail {
            name: "x".into(),
            channel: super::super::wire::Channel::Stdout,
            last,
            offset: None,
            follow: false,
            run: None,
        }
    }

    #[test]
    fn a_tail_is_cut_if_it_is_shorter_than_requested_and_than_the_log() {
        let asked = |last| match tail() {
            Command::Tail { name, channel, offset, follow, run, .. } => {
                Command::Tail { name, channel, last, offset, follow, run }
            }
            other => other,
        };
        let piece = |data: &str, offset| Piece { data: data.into(), offset: Some(offset), channel: None };
        assert!(is_cut(&asked(Last::Bytes(5)), &piece("a\nb\n", 7)));
        assert!(!is_cut(&asked(Last::Bytes(4)), &piece("a\nb\n", 7)));
        assert!(!is_cut(&asked(Last::Bytes(5)), &piece("a\nb\n", 0)), "the log has no more");
        assert!(is_cut(&asked(Last::Lines(3)), &piece("a\nb\n", 7)));
        assert!(!is_cut(&asked(Last::Lines(2)), &piece("a\nb\n", 7)));
        assert!(!is_cut(&stop(), &piece("", 7)));
    }

    fn failed(name: &str, code: Code, message: &str) -> ResultItem {
        ResultItem::failed("", name, code, message)
    }

    /// Exit codes of an error alone and among others, which must be equal.
    fn code(command: &Command, code: Code, message: &str) -> u8 {
        let alone = Response::results(vec![failed("x", code, message)], true);
        let among = Response::results(vec![failed("x", code, message), ResultItem::done("", "y")], false);
        assert_eq!(exit_code(command, &alone), exit_code(command, &among));
        exit_code(command, &alone)
    }

    #[test]
    fn a_line_for_each_result() {
        let items = vec![
            ResultItem::done("web", "web"),
            ResultItem::done("work", "mail"),
            ResultItem { message: "was not running".into(), ..ResultItem::done("work", "worker") },
            failed("nope", Code::BadName, "no such process"),
            failed("nope:*", Code::BadName, "no such group"),
            ResultItem::failed("z", "z1", Code::SpawnError, "command not found: z; retrying (1 of 3)"),
            ResultItem::failed("z", "z2", Code::AbnormalTermination, "exit status 1"),
            ResultItem { status: 202, ..ResultItem::done("z", "z3") },
        ];
        let shown = show(&Command::Restart(Targets::All), &Response::results(items, false));
        assert_eq!(
            shown.out,
            [
                "nope: ERROR (no such process)",
                "nope:*: ERROR (no such group)",
                "web: restarted",
                "work:mail: restarted",
                "work:worker: restarted (was not running)",
                "z:z1: ERROR (spawn error: command not found: z; retrying (1 of 3))",
                "z:z2: ERROR (abnormal termination: exit status 1)",
                "z:z3: accepted",
            ]
        );
        assert_eq!(shown.err, [""; 0]);
        let words = [start(), stop(), signal(), Command::Clear(Targets::All)]
            .map(|command| show(&command, &Response::results(vec![ResultItem::done("", "x")], false)).out.concat());
        assert_eq!(words, ["x: started", "x: stopped", "x: signalled", "x: cleared"]);
    }

    #[test]
    fn reasons_of_failures() {
        for (code, reason_) in [
            (Code::NoFile, "no such file"),
            (Code::NotExecutable, "file is not executable"),
            (Code::AlreadyStarted, "already started"),
            (Code::NotRunning, "not running"),
            (Code::BadSignal, "bad signal name"),
            (Code::ShuttingDown, "shutting down"),
            (Code::Timeout, "timed out"),
        ] {
            assert_eq!(reason(code, "whatever it says"), reason_);
            let alone = Response::results(vec![failed("x", code, "m")], true);
            assert_eq!(show(&start(), &alone).out, [format!("x: ERROR ({reason_})")]);
        }
        for code in Code::ALL {
            assert!(!reason(code, "").is_empty());
        }
        let error =
            Response::failed(WireError::new(Code::BadCommand, "unknown command \"strat\"; did you mean start?"));
        let shown = show(&start(), &error);
        assert_eq!(
            (shown.out.len(), &shown.err[..]),
            (0, &["unknown command \"strat\"; did you mean start?".to_owned()][..])
        );
    }

    #[test]
    fn the_status_table() {
        let mut long = process("group", "a_name_that_is_longer_than_thirty", ProcState::Fatal);
        long.description = "exited too quickly (exit status 1); gave up after 4 starts".into();
        let mut bare = process("é", "é", ProcState::Stopped);
        bare.description = String::new();
        let web = process("web", "web", ProcState::Running);
        let table = status_table(&[web.clone(), long, bare]);
        assert_eq!(
            table,
            [
                "web                                       RUNNING   pid 7, uptime 0:00:07",
                "group:a_name_that_is_longer_than_thirty   FATAL     exited too quickly (exit status 1); gave up after 4 starts",
                "é                                         STOPPED",
            ]
        );
        assert_eq!(status_table(&[web]), ["web                              RUNNING   pid 7, uptime 0:00:07"]);
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let mut evil = process("web", "web", ProcState::Backoff);
        evil.description = "no such file: \x1b]0;x\x07\nweb2 RUNNING".into();
        let line = status_table(&[evil]).concat();
        assert!(line.ends_with("no such file: \\u{1b}]0;x\\u{7}\\nweb2 RUNNING"), "{line}");
        let items = vec![ResultItem::failed("\x1b", "\r", Code::SpawnError, "\x1b[2J")];
        let shown = show(&start(), &Response::results(items, false));
        assert_eq!(shown.out, ["\\u{1b}:\\r: ERROR (spawn error: \\u{1b}[2J)"]);
    }

    #[test]
    fn the_exit_code_of_status_depends_on_the_states() {
        use ProcState as P;
        let of = |states: &[P]| {
            let processes: Vec<ProcessInfo> = states.iter().map(|&state| process("g", "x", state)).collect();
            exit_code(&Command::Status(Targets::All), &Response::status(json!({}), &processes, vec![]))
        };
        assert_eq!(of(&[P::Starting, P::Running, P::Backoff, P::Stopping]), 0);
        for down in [P::Stopped, P::Exited, P::Fatal, P::Unknown] {
            assert_eq!(of(&[P::Running, down]), 3);
        }
        assert_eq!(of(&[]), 0);
        let command = Command::Status(Targets::All);
        let unknown = || vec![failed("nope", Code::BadName, "no such process")];
        let some = Response::status(json!({}), &[process("g", "x", P::Stopped)], unknown());
        assert_eq!((some.status, exit_code(&command, &some)), (207, 4));
        assert_eq!(show(&command, &some).out.len(), 2);
        let none = Response::status(json!({}), &[], unknown());
        assert_eq!((none.status, exit_code(&command, &none)), (404, 4));
        assert_eq!(show(&command, &none).out, ["nope: ERROR (no such process)"]);
    }

    #[test]
    fn the_table_of_exit_codes() {
        assert_eq!(code(&start(), Code::AlreadyStarted, ""), 0);
        assert_eq!(code(&stop(), Code::NotRunning, ""), 0);
        assert_eq!(code(&start(), Code::SpawnError, "x"), 7);
        assert_eq!(code(&Command::Restart(Targets::All), Code::AbnormalTermination, "x"), 7);
        assert_eq!(code(&signal(), Code::NotRunning, ""), 7);
        assert_eq!(code(&start(), Code::BadName, "no such process"), 1);
        assert_eq!(code(&start(), Code::BadName, "no such group"), 2);
        assert_eq!(code(&signal(), Code::BadSignal, ""), 1);
        assert_eq!(code(&start(), Code::NoFile, ""), 1);
        assert_eq!(code(&start(), Code::NotExecutable, ""), 1);
        assert_eq!(code(&Command::Add(Targets::All), Code::AlreadyAdded, ""), 0);
        let fg = Command::Fg { name: "x".into() };
        let remove = Command::Remove { of: Targets::All, stop: false };
        for command in [stop(), tail(), Command::Clear(Targets::All), Command::Add(Targets::All), remove, fg] {
            assert_eq!(code(&command, Code::BadName, "no such process"), 1, "{command:?}");
        }
        let reload = || Command::Reload { of: ReloadOf::All, dry_run: false };
        for command in [Command::Reread, Command::Update(Targets::All), reload()] {
            let error =
                WireError { details: vec![json!("c.toml:3: bad")], ..WireError::new(Code::CantReread, "2 errors") };
            let response = Response::failed(error);
            assert_eq!((exit_code(&command, &response), show(&command, &response).err.len()), (1, 2));
        }
        for (details, message, lines) in [(1, "c.toml:1: bad", 1), (2, "c.toml:1: bad (and 1 more)", 2)] {
            let details = (1..=details).map(|line| json!(format!("c.toml:{line}: bad"))).collect();
            let error = WireError { details, ..WireError::new(Code::CantReread, message) };
            assert_eq!(show(&reload(), &Response::failed(error)).err.len(), lines, "{message}: each once");
        }
        let bad = Response::failed(WireError::new(Code::BadRequest, "x"));
        assert_eq!(exit_code(&stop(), &bad), 2);
    }

    #[test]
    fn a_process_whose_timeout_passed_has_one_line() {
        let late = ResultItem {
            process: Some(process("x", "x", ProcState::Stopping)),
            ..ResultItem::failed("x", "x", Code::Timeout, "timed out")
        };
        let response = Response::results(vec![late], true);
        assert!(response.error.is_some() && response.content.is_some());
        assert_eq!(show(&stop(), &response).out, ["x: ERROR (timed out)"]);
        assert_eq!(exit_code(&stop(), &response), 1);
    }

    #[test]
    fn the_greatest_exit_code_counts() {
        let done = || ResultItem::done("", "y");
        let items = vec![
            failed("a", Code::BadName, "no such process"),
            failed("b", Code::BadName, "no such group"),
            failed("c", Code::AlreadyStarted, ""),
            done(),
        ];
        assert_eq!(exit_code(&start(), &Response::results(items.clone(), false)), 2);
        let worse = [items, vec![failed("d", Code::SpawnError, "")]].concat();
        assert_eq!(exit_code(&start(), &Response::results(worse, false)), 7);
        assert_eq!(exit_code(&start(), &Response::results(vec![done()], false)), 0);
        for status in [207, 500] {
            let mute = Response { status, ..Response::done(json!({"results": [3]})) };
            assert_eq!(exit_code(&start(), &mute), 1, "an unknown format is not a success");
        }
    }

    #[test]
    fn the_exit_code_of_pid_is_7_if_a_process_is_not_running() {
        let of = |content| Response::done(content);
        let command = Command::Pid(PidOf::Processes(Targets::All));
        let down = of(json!([{"name": "a", "pid": 7}, {"name": "b", "pid": 0}]));
        assert_eq!((show(&command, &down).out.join(" "), exit_code(&command, &down)), ("7 0".to_owned(), 7));
        let up = of(json!([{"name": "a", "pid": 7}]));
        assert_eq!(exit_code(&command, &up), 0);
        let daemon = of(json!({"pid": 42}));
        assert_eq!(show(&Command::Pid(PidOf::Daemon), &daemon).out, ["42"]);
    }

    #[test]
    fn an_unreachable_supervisor() {
        let codes = |command: &Command| {
            [Unreachable::NoFile, Unreachable::Refused, Unreachable::Denied].map(|why| why.kind(command).exit_code())
        };
        assert_eq!(codes(&Command::Status(Targets::All)), [4, 4, 4]);
        assert_eq!(codes(&start()), [7, 4, 4]);
        assert_eq!(codes(&Command::Shutdown { leave_running: false }), [1, 1, 4]);
        let texts = [Unreachable::NoFile, Unreachable::Refused, Unreachable::Denied].map(|why| why.to_string());
        assert!(texts[0].starts_with("no such file"));
        assert!(texts[1].ends_with("not running; its socket was left behind"));
        assert!(texts[2].starts_with("permission denied"));
    }

    #[test]
    fn the_error_names_the_other_protocol() {
        assert_eq!(check_protocol(&Response::done(json!({"version": "1.0", "protocol": 1}))), Ok(()));
        let error = check_protocol(&Response::done(json!({"protocol": 2}))).unwrap_err().to_string();
        assert!(error.contains("protocol 2") && error.contains("protocol 1"), "{error}");
        assert!(check_protocol(&Response::done(json!({}))).is_err());
    }

    #[test]
    fn lines_of_a_reload() {
        let content = json!({
            "added": ["a"], "removed": ["r"], "restarted": ["c"], "updated": ["u"], "unchanged": 4,
            "warnings": ["w"], "needs_restart": ["user"],
        });
        let response = Response::done(content);
        let shown = show(&Command::Update(Targets::All), &response);
        assert_eq!(shown.out, ["r: removed", "a: added", "u: updated", "c: restarted"]);
        assert_eq!(shown.err, ["warning: w", "warning: user takes effect only after a restart of supervise"]);
        let reread = ["a: available", "c: changed", "u: changed", "r: disappeared"];
        assert_eq!(show(&Command::Reread, &response).out, reread);
        let nothing =
            Response::done(json!({"added": [], "removed": [], "restarted": [], "updated": [], "unchanged": 4}));
        for command in [Command::Reread, Command::Update(Targets::All)] {
            assert_eq!(show(&command, &nothing).out, ["No config updates to processes"]);
        }
    }

    #[test]
    fn an_unknown_name_results_in_its_line_and_exit_code() {
        let catalog = [ProcessEntry { group: "web".into(), program: "web".into(), process: "web".into() }];
        for (name, line, exit) in
            [("nope", "nope: ERROR (no such process)", 1), ("nope:*", "nope:*: ERROR (no such group)", 2)]
        {
            let selection = select(&Targets::processes([name]), &catalog);
            let response = Response::results(selection.failed, selection.is_single);
            let read = Response::parse(response.to_line().as_bytes()).unwrap();
            assert_eq!((show(&start(), &read).out, exit_code(&start(), &read)), (vec![line.to_owned()], exit));
        }
    }

    proptest! {
        #[test]
        fn any_response_gives_lines_and_a_known_code(
            status in 100..600_u16, key in "(results|processes|pids|added|pid|version|warnings)", text in any::<String>(),
            number: i64, form in 0..6_usize,
        ) {
            let forms = [json!(text), json!(number), json!([text]), json!([{"name": text, "status": number}]),
                json!([{"name": text, "pid": number, "status": 404}]), json!({ (text.clone()): number })];
            let content = json!({ key: forms[form] });
            let response = Response { status, content: Some(content), error: None, id: None };
            for command in [Command::Status(Targets::All), start(), Command::Reread, Command::Avail, Command::Version,
                Command::Pid(PidOf::Processes(Targets::All))] {
                let shown = show(&command, &response);
                prop_assert!(shown.out.iter().chain(&shown.err).all(|line| !line.contains(char::is_control)));
                prop_assert!([0, 1, 2, 3, 4, 7].contains(&exit_code(&command, &response)));
            }
        }
    }
}
