//! Protocol of the supervisor's socket: requests and responses, one JSON object per line.
//!
//! Everything here is total: any bytes a client sends are either a request or an error with its
//! reason. Nothing here reads or writes a socket.

mod events;

mod lines;
mod request;
mod select;
mod stream;
mod strict;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

pub use events::{EventFilter, EventKind, Notice, StateNotice, Subscriber};
pub use lines::{LineReader, WireLine};
pub use request::{Auth, COMMANDS, Channel, Command, Last, NameKind, PidOf, ReloadOf, Request, SignalTo, Targets};
pub use select::{ProcessEntry, Selection, full_name, select};
pub use stream::{Followed, Piece, SUPERVISOR_ENDED};
pub use strict::BadJson;

use super::{error::ErrorKind, machine::Refusal, program::ProcState};

/// Version of this protocol, in the response to `version`.
pub const PROTOCOL: u64 = 1;

/// Longest line, bytes, without its end. A request with a thousand names is far below it.
pub const MAX_LINE: usize = 1 << 20;

/// Message for a name that no process has.
pub const NO_PROCESS: &str = "no such process";
/// Message for a name that no group has.
pub const NO_GROUP: &str = "no such group";
/// Message for a name that no program has.
pub const NO_PROGRAM: &str = "no such program";

/// Error codes, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is malformed.
    BadRequest,
    /// No such command.
    BadCommand,
    /// No such target, or not for this command.
    BadTarget,
    /// No such program, group or process.
    BadName,
    /// More than one process matches.
    Ambiguous,
    /// No such signal.
    BadSignal,
    /// An argument that the command does not take, or an invalid value.
    BadArgument,
    /// The command's file, or the log, does not exist.
    NoFile,
    /// The command's file is not executable.
    NotExecutable,
    /// Up already.
    AlreadyStarted,
    /// Down.
    NotRunning,
    /// Being stopped.
    Stopping,
    /// The start failed.
    SpawnError,
    /// The process ended before it was up.
    AbnormalTermination,
    /// Any other failure.
    Failed,
    /// The group is active already.
    AlreadyAdded,
    /// The process is up and cannot be removed.
    StillRunning,
    /// The configuration cannot be read.
    CantReread,
    /// The supervisor is shutting down.
    ShuttingDown,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// Access denied for this peer.
    Forbidden,
    /// The line is too long.
    TooLarge,
    /// The timeout has passed; the operation continues.
    Timeout,
    /// Known, and not supported.
    Unsupported,
    /// The database could not be written.
    DbError,
}

impl Code {
    /// All codes.
    pub const ALL: [Code; 25] = [
        Code::BadRequest,
        Code::BadCommand,
        Code::BadTarget,
        Code::BadName,
        Code::Ambiguous,
        Code::BadSignal,
        Code::BadArgument,
        Code::NoFile,
        Code::NotExecutable,
        Code::AlreadyStarted,
        Code::NotRunning,
        Code::Stopping,
        Code::SpawnError,
        Code::AbnormalTermination,
        Code::Failed,
        Code::AlreadyAdded,
        Code::StillRunning,
        Code::CantReread,
        Code::ShuttingDown,
        Code::Unauthorized,
        Code::Forbidden,
        Code::TooLarge,
        Code::Timeout,
        Code::Unsupported,
        Code::DbError,
    ];

    /// Text in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "BAD_REQUEST",
            Code::BadCommand => "BAD_COMMAND",
            Code::BadTarget => "BAD_TARGET",
            Code::BadName => "BAD_NAME",
            Code::Ambiguous => "AMBIGUOUS",
            Code::BadSignal => "BAD_SIGNAL",
            Code::BadArgument => "BAD_ARGUMENT",
            Code::NoFile => "NO_FILE",
            Code::NotExecutable => "NOT_EXECUTABLE",
            Code::AlreadyStarted => "ALREADY_STARTED",
            Code::NotRunning => "NOT_RUNNING",
            Code::Stopping => "STOPPING",
            Code::SpawnError => "SPAWN_ERROR",
            Code::AbnormalTermination => "ABNORMAL_TERMINATION",
            Code::Failed => "FAILED",
            Code::AlreadyAdded => "ALREADY_ADDED",
            Code::StillRunning => "STILL_RUNNING",
            Code::CantReread => "CANT_REREAD",
            Code::ShuttingDown => "SHUTTING_DOWN",
            Code::Unauthorized => "UNAUTHORIZED",
            Code::Forbidden => "FORBIDDEN",
            Code::TooLarge => "TOO_LARGE",
            Code::Timeout => "TIMEOUT",
            Code::Unsupported => "UNSUPPORTED",
            Code::DbError => "DB_ERROR",
        }
    }

    /// Returns the code that stands for a kind of error.
    pub fn of(kind: ErrorKind) -> Code {
        match kind {
            ErrorKind::Usage | ErrorKind::Method | ErrorKind::ContentType | ErrorKind::SlowRequest => Code::BadRequest,
            ErrorKind::Unauthorized => Code::Unauthorized,
            ErrorKind::Denied => Code::Forbidden,
            ErrorKind::NotFound => Code::BadName,
            ErrorKind::NoDatabase | ErrorKind::NothingYet => Code::NoFile,
            ErrorKind::TooLarge => Code::TooLarge,
            ErrorKind::Unsupported | ErrorKind::OtherProtocol => Code::Unsupported,
            ErrorKind::ShutDown => Code::ShuttingDown,
            ErrorKind::Database => Code::DbError,
            ErrorKind::TimedOut | ErrorKind::Interrupted => Code::Timeout,
            ErrorKind::NotUp | ErrorKind::NotRunning => Code::NotRunning,
            ErrorKind::Conflict
            | ErrorKind::Busy
            | ErrorKind::Unreachable
            | ErrorKind::StateUnknown
            | ErrorKind::System
            | ErrorKind::Failed => Code::Failed,
        }
    }

    /// The HTTP status of the code.
    pub fn status(self) -> u16 {
        match self {
            Code::BadRequest | Code::BadCommand | Code::BadTarget | Code::BadSignal | Code::BadArgument => 400,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::BadName | Code::NoFile => 404,
            Code::AlreadyStarted
            | Code::NotRunning
            | Code::Stopping
            | Code::StillRunning
            | Code::AlreadyAdded
            | Code::Ambiguous => 409,
            Code::TooLarge => 413,
            Code::CantReread | Code::NotExecutable => 422,
            Code::SpawnError | Code::AbnormalTermination | Code::Failed | Code::DbError => 500,
            Code::Unsupported => 501,
            Code::ShuttingDown => 503,
            Code::Timeout => 504,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    /// An unknown code counts as FAILED: it comes from a newer supervisor, and the message explains
    /// it.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Code, D::Error> {
        let word = String::deserialize(from)?;
        Ok(Code::ALL.into_iter().find(|code| code.as_str() == word).unwrap_or(Code::Failed))
    }
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Code {
        match refusal {
            Refusal::AlreadyStarted => Code::AlreadyStarted,
            Refusal::NotRunning => Code::NotRunning,
            Refusal::Stopping => Code::Stopping,
            Refusal::Unknown => Code::Failed,
            Refusal::ShuttingDown => Code::ShuttingDown,
        }
    }
}

/// The `error` of a response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireError {
    /// For programs.
    pub code: Code,
    /// For people.
    #[serde(default)]
    pub message: String,
    /// Name of the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Details: candidates, or all errors of a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Value>,
}

impl WireError {
    /// Makes an error without name and details.
    pub fn new(code: Code, message: impl Into<String>) -> WireError {
        WireError { code, message: message.into(), name: None, details: vec![] }
    }

    /// Sets the name of the subject.
    pub fn about(self, name: impl Into<String>) -> WireError {
        WireError { name: Some(name.into()), ..self }
    }
}

impl From<Refusal> for WireError {
    fn from(refusal: Refusal) -> WireError {
        WireError::new(refusal.into(), refusal.to_string())
    }
}

/// One response: a status, with a content or an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// As in HTTP.
    pub status: u16,
    /// The result. Accompanies an error only after a timeout (504): the current state.
    pub content: Option<Value>,
    /// The error.
    pub error: Option<WireError>,
    /// The `id` of the request, unchanged.
    pub id: Option<Value>,
}

/// A line that is not a response.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// Not JSON.
    #[error("not a response: {0}")]
    Json(#[from] BadJson),
    /// JSON of another form.
    #[error("not a response of a supervisor")]
    Form,
}

impl Response {
    /// Done (200).
    pub fn done(content: Value) -> Response {
        Response { status: 200, content: Some(content), error: None, id: None }
    }

    /// Accepted, not waited for (202).
    pub fn accepted(content: Value) -> Response {
        Response { status: 202, ..Response::done(content) }
    }

    /// Failed; the status is that of the code.
    pub fn failed(error: WireError) -> Response {
        Response { status: error.code.status(), content: None, error: Some(error), id: None }
    }

    /// The timeout has passed; `content` is the current state.
    pub fn timed_out(content: Value) -> Response {
        let error = WireError::new(Code::Timeout, "timed out; the operation continues");
        Response { content: Some(content), ..Response::failed(error) }
    }

    /// Results for several processes, sorted by name. `single`: exactly one process was requested
    /// by its name, so that its failure is that of the response.
    pub fn results(mut items: Vec<ResultItem>, single: bool) -> Response {
        items.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        if let ([item], true) = (&items[..], single)
            && let Some(code) = item.code
        {
            let error = WireError::new(code, item.message.clone()).about(item.full_name());
            let content = item.process.as_ref().filter(|_| code == Code::Timeout).map(|_| json!({"results": items}));
            return Response { content, ..Response::failed(error) };
        }
        if let Some(failed) = Response::nothing_meant(&items) {
            return failed;
        }
        let is_good = |item: &ResultItem| item.status < 300;
        let status = if !items.iter().all(is_good) {
            207
        } else if items.iter().any(|item| item.status == 202) {
            202
        } else {
            200
        };
        Response { status, ..Response::done(json!({"results": items})) }
    }

    /// Returns the failure of a request in which no name matches; `None` if a name matches or none
    /// was given.
    pub fn nothing_meant(items: &[ResultItem]) -> Option<Response> {
        let means_nothing =
            |item: &ResultItem| item.process.is_none() && matches!(item.code, Some(Code::BadName | Code::Ambiguous));
        let first = items.first().filter(|_| items.iter().all(means_nothing))?;
        let names: Vec<String> = items.iter().map(ResultItem::full_name).collect();
        let message = format!("{}: {}", first.message, names.join(", "));
        let details = items.iter().filter_map(|item| serde_json::to_value(item).ok()).collect();
        let error = WireError::new(first.code.unwrap_or(Code::BadName), message);
        Some(Response::failed(WireError { details, ..error }))
    }

    /// Response to `status`: the known processes, sorted by group and name. If some names do not
    /// match, 207 with a result for each of those; if no name matches, their failure.
    pub fn status(daemon: Value, processes: &[ProcessInfo], failed: Vec<ResultItem>) -> Response {
        if processes.is_empty()
            && let Some(failed) = Response::nothing_meant(&failed)
        {
            return failed;
        }
        let mut sorted: Vec<&ProcessInfo> = processes.iter().collect();
        sorted.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
        let mut content = json!({"daemon": daemon, "processes": sorted});
        if failed.is_empty() {
            return Response::done(content);
        }
        if let Value::Object(map) = &mut content {
            map.insert("results".into(), json!(failed));
        }
        Response { status: 207, ..Response::done(content) }
    }

    /// Sets the `id` of the request.
    pub fn with_id(self, id: Option<Value>) -> Response {
        Response { id, ..self }
    }

    /// Whether everything was done or accepted.
    pub fn is_good(&self) -> bool {
        self.status < 300 && self.status != 207
    }

    /// Serializes to one line, without its end.
    pub fn to_line(&self) -> String {
        let mut map = Map::new();
        map.insert("status".into(), self.status.into());
        if let Some(content) = &self.content {
            map.insert("content".into(), content.clone());
        }
        if let Some(error) = &self.error {
            map.insert("error".into(), serde_json::to_value(error).unwrap_or_default());
        }
        if let Some(id) = &self.id {
            map.insert("id".into(), id.clone());
        }
        Value::Object(map).to_string()
    }

    /// Parses one line. Unknown keys are ignored: they come from a newer supervisor.
    ///
    /// # Errors
    /// Not JSON, or not of this form.
    pub fn parse(line: &[u8]) -> Result<Response, BadResponse> {
        let Value::Object(mut map) = strict::parse(line)? else { return Err(BadResponse::Form) };
        let status = map.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        let error = match map.shift_remove("error") {
            None => None,
            Some(error) => Some(serde_json::from_value(error).map_err(|_| BadResponse::Form)?),
        };
        Ok(Response {
            status: status.ok_or(BadResponse::Form)?,
            content: map.shift_remove("content"),
            error,
            id: map.shift_remove("id"),
        })
    }

    /// The results in the content; empty if there are none, or of another form.
    pub fn items(&self) -> Vec<ResultItem> {
        let items = self.content.as_ref().and_then(|content| content.get("results"));
        items.and_then(|items| Deserialize::deserialize(items).ok()).unwrap_or_default()
    }

    /// The processes in the content; empty if there are none, or of another form.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let processes = self.content.as_ref().and_then(|content| content.get("processes"));
        processes.and_then(|processes| Deserialize::deserialize(processes).ok()).unwrap_or_default()
    }
}

/// The result for one process, or for a name that does not match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultItem {
    /// Group; empty for a name that does not match.
    #[serde(default)]
    pub group: String,
    /// Name, or the name requested.
    pub name: String,
    /// Status, as in a response.
    pub status: u16,
    /// Error code.
    #[serde(default)]
    pub code: Option<Code>,
    /// Error message, or additional information.
    #[serde(default)]
    pub message: String,
    /// The current state of the process.
    #[serde(default)]
    pub process: Option<ProcessInfo>,
}

impl ResultItem {
    /// Done.
    pub fn done(group: impl Into<String>, name: impl Into<String>) -> ResultItem {
        let (group, name) = (group.into(), name.into());
        ResultItem { group, name, status: 200, code: None, message: String::new(), process: None }
    }

    /// Failed.
    pub fn failed(
        group: impl Into<String>,
        name: impl Into<String>,
        code: Code,
        message: impl Into<String>,
    ) -> ResultItem {
        let (status, message) = (code.status(), message.into());
        ResultItem { status, code: Some(code), message, ..ResultItem::done(group, name) }
    }

    /// The name for display: prefixed with the group unless both are equal.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.name)
    }
}

/// All data of one process. Never contains values of its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Group.
    pub group: String,
    /// Name.
    pub name: String,
    /// Program of which it is an instance.
    pub program: String,
    /// Number of the instance.
    pub process_num: u32,
    /// State.
    #[serde(with = "state_word")]
    pub state: ProcState,
    /// Code of the state.
    pub statecode: u16,
    /// Description of the state.
    pub description: String,
    /// Pid; 0 if none.
    pub pid: i32,
    /// Task of the current or last run.
    pub task_id: Option<i64>,
    /// Time of the start, unix seconds; 0 if never.
    pub start: i64,
    /// Time of the end, unix seconds; 0 if not ended.
    pub stop: i64,
    /// Time of this report, unix seconds.
    pub now: i64,
    /// Age in whole seconds, by the monotonic clock.
    pub uptime: u64,
    /// Exit code of the last run.
    pub exit_code: Option<i32>,
    /// Name of the signal that killed the last run.
    pub exit_signal: Option<String>,
    /// Whether it left a core file.
    pub core: bool,
    /// Whether its end was expected.
    pub expected: Option<bool>,
    /// Why it was not executed.
    pub spawn_error: Option<String>,
    /// Number of consecutive failed starts.
    pub fails: u32,
    /// Number of retries after a failed start; null: unlimited.
    pub startretries: Option<u32>,
    /// Whole seconds until the next automatic start, rounded up.
    pub next_try: Option<u64>,
    /// Number of surviving processes of the groups of ended runs.
    pub leftover: u32,
    /// Whether the run was started by an earlier supervisor.
    pub adopted: bool,
    /// Log file of standard output.
    pub stdout_log: Option<String>,
    /// Log file of standard error.
    pub stderr_log: Option<String>,
    /// Whether the configuration on disk differs from the active one.
    pub config_changed: bool,
}

impl ProcessInfo {
    /// The log file of a stream; `None`: no file.
    pub fn log_of(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Stdout => self.stdout_log.as_deref(),
            Channel::Stderr => self.stderr_log.as_deref(),
        }
    }

    /// The name for display: prefixed with the group unless both are equal.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.name)
    }
}

/// Serializes a state as text.
mod state_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::ProcState;

    pub fn serialize<S: Serializer>(state: &ProcState, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(state.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ProcState, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A running process.
    pub(crate) fn process(group: &str, name: &str, state: ProcState) -> ProcessInfo {
        ProcessInfo {
            group: group.into(),
            name: name.into(),
            program: name.into(),
            process_num: 0,
            state,
            statecode: state.code(),
            description: "pid 7, uptime 0:00:07".into(),
            pid: 7,
            task_id: Some(12),
            start: 1_700_000_000,
            stop: 0,
            now: 1_700_000_007,
            uptime: 7,
            exit_code: None,
            exit_signal: None,
            core: false,
            expected: None,
            spawn_error: None,
            fails: 0,
            startretries: Some(3),
            next_try: None,
            leftover: 0,
            adopted: false,
            stdout_log: Some("/tmp/web.stdout".into()),
            stderr_log: None,
            config_changed: false,
        }
    }

    #[test]
    fn each_code_has_its_text_and_status() {
        let words: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
            assert!((400..600).contains(&code.status()));
        }
        assert_eq!(serde_json::from_str::<Code>("\"NEW_WORD\"").unwrap(), Code::Failed);
        let statuses = |status| Code::ALL.iter().filter(|code| code.status() == status).count();
        assert_eq!([400, 404, 409, 422, 500].map(statuses), [5, 2, 6, 2, 4]);
    }

    #[test]
    fn each_refusal_of_a_machine_has_its_code() {
        for (refusal, code, status) in [
            (Refusal::AlreadyStarted, Code::AlreadyStarted, 409),
            (Refusal::NotRunning, Code::NotRunning, 409),
            (Refusal::Stopping, Code::Stopping, 409),
            (Refusal::Unknown, Code::Failed, 500),
            (Refusal::ShuttingDown, Code::ShuttingDown, 503),
        ] {
            let response = Response::failed(refusal.into());
            assert_eq!((response.status, response.error.unwrap().code), (status, code));
        }
    }

    #[test]
    fn a_response_is_one_line_with_its_keys_in_order() {
        let done = Response::done(json!({"pid": 7})).with_id(Some(json!("a")));
        assert_eq!(done.to_line(), r#"{"status":200,"content":{"pid":7},"id":"a"}"#);
        let error = WireError::new(Code::NotRunning, "not running").about("web");
        let line = r#"{"status":409,"error":{"code":"NOT_RUNNING","message":"not running","name":"web"}}"#;
        assert_eq!(Response::failed(error).to_line(), line);
        assert!(Response::timed_out(json!({})).content.is_some(), "504 has the current state");
        assert!(!Response::done(json!("a\nb")).to_line().contains('\n'));
    }

    #[test]
    fn a_line_that_is_not_a_response_is_an_error() {
        for line in ["", "{", "[]", "{}", r#"{"status":"ok"}"#, r#"{"status":99999}"#, r#"{"status":1,"error":3}"#] {
            assert!(Response::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Response::parse(br#"{"status":200,"content":1,"new":2}"#).is_ok(), "from a newer supervisor");
    }

    #[test]
    fn results_are_sorted_and_their_status_is_that_of_all() {
        let done = |name| ResultItem::done("g", name);
        let failed = |name| ResultItem::failed("g", name, Code::NotRunning, "not running");
        let both = Response::results(vec![done("b"), failed("a")], false);
        assert_eq!((both.status, both.is_good()), (207, false));
        assert_eq!(both.items().iter().map(ResultItem::full_name).collect::<Vec<_>>(), ["g:a", "g:b"]);
        assert_eq!(Response::results(vec![done("b"), done("a")], false).status, 200);
        let accepted = ResultItem { status: 202, ..done("b") };
        assert_eq!(Response::results(vec![done("a"), accepted], false).status, 202);
        assert_eq!(Response::results(vec![], false).status, 200, "nothing to do");
        assert_eq!(Response::results(vec![failed("a")], false).status, 207, "one of several");
        let unknown = |name| ResultItem::failed("", name, Code::BadName, NO_PROCESS);
        let nothing = Response::results(vec![unknown("x*"), unknown("y")], false);
        let error = nothing.error.unwrap();
        assert_eq!((nothing.status, error.details.len()), (404, 2), "no name matches");
        assert_eq!(error.message, format!("{NO_PROCESS}: x*, y"));
        assert_eq!(Response::results(vec![unknown("x*"), done("a")], false).status, 207);
        let single = Response::results(vec![failed("a")], true);
        assert_eq!((single.status, single.error.unwrap().name.as_deref()), (409, Some("g:a")));
    }

    #[test]
    fn a_process_has_all_documented_keys() {
        let value = serde_json::to_value(process("web", "web", ProcState::Running)).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let listed = "group name program process_num state statecode description pid task_id start stop now uptime \
                      exit_code exit_signal core expected spawn_error fails startretries next_try leftover adopted \
                      stdout_log stderr_log config_changed";
        assert_eq!(keys, listed.split_whitespace().collect::<Vec<_>>());
        assert_eq!((&value["state"], &value["statecode"]), (&json!("RUNNING"), &json!(20)));
    }

    proptest! {
        #[test]
        fn a_response_reads_as_it_was_written(
            status in 100..600_u16, text in any::<String>(), name in proptest::option::of(".{0,9}"), number in any::<i64>(),
            code in proptest::sample::select(Code::ALL.to_vec()), has_content: bool, has_error: bool, has_id: bool,
        ) {
            let details = vec![json!(text), json!(number)];
            let error = WireError { code, message: text.clone(), name, details };
            let content = json!({"results": [ResultItem::failed("g", &text, code, &text)], "n": number});
            let response = Response {
                status,
                content: has_content.then_some(content),
                error: has_error.then_some(error),
                id: has_id.then(|| json!(text)),
            };
            prop_assert_eq!(Response::parse(response.to_line().as_bytes()).unwrap(), response);
        }

        #[test]
        fn any_bytes_are_a_response_or_an_error(bytes in any::<Vec<u8>>()) {
            let _ = Response::parse(&bytes);
        }
    }

    #[test]
    fn an_error_of_the_database_and_a_busy_server_have_different_codes() {
        let codes = [ErrorKind::Database, ErrorKind::Busy, ErrorKind::ShutDown].map(|kind| Code::of(kind).as_str());
        assert_eq!(codes, ["DB_ERROR", "FAILED", "SHUTTING_DOWN"]);
    }

    #[test]
    fn status_and_code_are_of_one_class() {
        for kind in ErrorKind::ALL {
            let (status, of_code) = (kind.http_status(), Code::of(kind).status());
            let is_own = matches!(kind, ErrorKind::Conflict);
            assert!(is_own || status / 100 == of_code / 100, "{kind:?}: {status} and {of_code}");
        }
    }
}
