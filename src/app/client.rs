//! The client of the supervisor: connects, sends a request, prints the response, and returns the
//! exit code.
//!
//! The lines and the exit code of a response are decided in `model::client`. Nothing here starts or
//! stops anything itself.

pub(super) mod endpoint;
pub(super) mod follow;

use std::{
    io::{self, Write},
    os::fd::BorrowedFd,
    path::Path,
    time::Duration,
};

use clap_complete::{Shell, generate};

use super::{
    show,
    supervise_args::{self, Action, ActionPlan, ClientArgs},
};
use crate::{
    io::{
        child,
        connect::{self, ConnectError, Socket},
        sys,
    },
    model::{
        ansi::{self, plain},
        client::{DONE, OtherProtocol, Unreachable, check_protocol, exit_code, is_cut, reason, show as lines_of},
        config::{Finding, Unreadable},
        error::ErrorKind,
        jobs::{self, BadJobRef, Job, JobInfo, JobRef, Session},
        program::ServerUrl,
        query::Page,
        task::HistoryRow,
        wire::{Code, Command, Followed, Piece, Request, Response, Targets, WireError},
    },
};

/// How much longer than the request's timeout the supervisor may take to report the timeout.
const GRACE: Duration = Duration::from_secs(2);

/// The output of a client.
pub struct ClientOutput<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors, one line each.
    pub err: &'a mut dyn Write,
    /// The descriptor behind `out`, so that a following client notices a closed reader.
    pub reader: Option<BorrowedFd<'a>>,
    /// The columns of the terminal behind `out`; `None` if it is not a terminal.
    pub width: Option<u16>,
    /// Whether tables may have colours.
    pub colours: bool,
}

/// Why there is no result to print.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("the configuration is not valid")]
    Invalid(Vec<Finding>),
    #[error("cannot reach the supervisor at {at}: {why}")]
    Unreachable { at: String, why: Unreachable },
    #[error("{at}: {why}")]
    Protocol { at: String, why: OtherProtocol },
    #[error(transparent)]
    NoJob(#[from] BadJobRef),
    #[error("cannot run {command}: {why}")]
    CannotRun { command: String, why: io::Error },
    #[error("stopped waiting; the request continues")]
    Interrupted,
    #[error("{0} requires the Unix socket: HTTP carries single responses only")]
    NeedsSocket(&'static str),
    #[error("{0}")]
    Broken(String),
}

/// Runs the action of the command line, prints everything, and returns the exit code.
pub fn run(args: &ClientArgs, output: &mut ClientOutput<'_>) -> u8 {
    // An action without a supervisor needs no settings.
    let place = match args.action.plan() {
        ActionPlan::Ask { .. } | ActionPlan::Local(_) => {
            endpoint::find(args.serverurl.as_ref(), args.file.as_deref()).map(Some)
        }
        ActionPlan::Completions(_) | ActionPlan::Known(..) | ActionPlan::Elsewhere => Ok(None),
    };
    match place {
        Ok(place) => act(args, place.as_ref(), &Session::default(), output).code,
        Err(error) => failed(error, None, output),
    }
}

/// The result of an action.
pub(super) struct Acted {
    /// The exit code.
    pub(super) code: u8,
    /// The response of the supervisor, if there is one.
    pub(super) response: Option<Response>,
}

/// Runs one action and prints everything. Without a place, no request is sent.
pub(super) fn act(
    args: &ClientArgs,
    place: Option<&endpoint::Place>,
    session: &Session,
    output: &mut ClientOutput<'_>,
) -> Acted {
    let only = |code: u8| Acted { code, response: None };
    let wanted = args.action.plan();
    let done = match (&wanted, place) {
        (ActionPlan::Completions(shell), _) => completions(*shell, output).map(only),
        (ActionPlan::Known(command, response), _) => {
            let answer = ClientAnswer { line: response.to_line().into_bytes(), response: (**response).clone() };
            print(args, command, &answer, None, session, output).map(only)
        }
        (ActionPlan::Ask { command, wait }, Some(place)) => ask(args, place, session, command, *wait, output),
        (ActionPlan::Local(words), Some(place)) => run_here(place, session, words, output).map(only),
        (ActionPlan::Ask { .. } | ActionPlan::Local(_) | ActionPlan::Elsewhere, _) => Ok(only(DONE)),
    };
    let command = if let ActionPlan::Ask { command, .. } = &wanted { Some(command) } else { None };
    finish(done, command, output)
}

/// Sends one request and prints everything; `args` control the output.
pub(super) fn request(
    args: &ClientArgs,
    place: &endpoint::Place,
    session: &Session,
    command: &Command,
    wait: bool,
    output: &mut ClientOutput<'_>,
) -> Acted {
    let done = ask(args, place, session, command, wait, output);
    finish(done, Some(command), output)
}

fn finish(done: Result<Acted, ClientError>, command: Option<&Command>, output: &mut ClientOutput<'_>) -> Acted {
    match done.and_then(|acted| Ok(output.out.flush().map(|()| acted)?)) {
        Ok(acted) => acted,
        Err(error) => Acted { code: failed(error, command, output), response: None },
    }
}

/// Prints an error, and returns the exit code.
pub(super) fn failed(error: ClientError, command: Option<&Command>, output: &mut ClientOutput<'_>) -> u8 {
    match &error {
        // The reader has seen enough.
        ClientError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => return DONE,
        ClientError::Invalid(findings) => {
            for finding in findings {
                complain(output, &finding.to_string());
            }
        }
        ClientError::Interrupted => {
            // The terminal shows ^C.
            let _ = writeln!(output.err);
            let changes = |command: &Command| takes_time(command) || matches!(command, Command::Shutdown { .. });
            if command.is_some_and(changes) {
                complain(output, &error.to_string());
            }
        }
        other => complain(output, &other.to_string()),
    }
    error.kind(command).exit_code()
}

impl ClientError {
    /// Returns the kind of the error, for this command.
    fn kind(&self, command: Option<&Command>) -> ErrorKind {
        match self {
            ClientError::Unreadable(_) | ClientError::Invalid(_) => ErrorKind::Usage,
            ClientError::Unreachable { why, .. } => command.map_or(ErrorKind::Unreachable, |command| why.kind(command)),
            ClientError::Protocol { .. } => ErrorKind::OtherProtocol,
            ClientError::Interrupted => ErrorKind::Interrupted,
            ClientError::NoJob(_) => ErrorKind::NotFound,
            ClientError::NeedsSocket(_) => ErrorKind::Unsupported,
            ClientError::Write(_) | ClientError::CannotRun { .. } => ErrorKind::System,
            ClientError::Broken(_) => ErrorKind::Failed,
        }
    }
}

/// `jobs -x`: runs a local command, with group ids in place of job references.
fn run_here(
    place: &endpoint::Place,
    session: &Session,
    words: &[String],
    output: &mut ClientOutput<'_>,
) -> Result<u8, ClientError> {
    let jobs = jobs_at(place)?;
    let words = jobs::with_group_ids(words, &jobs, session);
    output.out.flush()?;
    child::run_here(&words)
        .map_err(|why| ClientError::CannotRun { command: plain(words.first().map_or("", String::as_str)), why })
}

/// Returns the jobs of a supervisor.
///
/// # Errors
/// The supervisor cannot be reached, or refuses.
pub(super) fn jobs_at(place: &endpoint::Place) -> Result<Vec<Job>, ClientError> {
    let answer = SupervisorLink::open(place)?.ask(&Command::Jobs(Targets::All), true)?;
    jobs_in(&answer.response)
}

pub(super) fn jobs_in(response: &Response) -> Result<Vec<Job>, ClientError> {
    if let Some(error) = &response.error {
        return Err(ClientError::Broken(reason(error.code, &error.message)));
    }
    let list = response.content.as_ref().and_then(|content| content.get("jobs"));
    let list: Option<Vec<JobInfo>> = list.and_then(|jobs| serde_json::from_value(jobs.clone()).ok());
    let list = list.ok_or_else(|| ClientError::Broken("the response contains no jobs".to_owned()))?;
    Ok(list.into_iter().map(Job::from).collect())
}

/// Prints an error or a warning; a failure to print is ignored.
pub(super) fn complain(output: &mut ClientOutput<'_>, text: &str) {
    let _ = match text.strip_prefix("warning: ") {
        Some(warning) => writeln!(output.err, "supervise: warning: {warning}"),
        None => writeln!(output.err, "supervise: error: {text}"),
    };
}

fn completions(shell: Shell, output: &mut ClientOutput<'_>) -> Result<u8, ClientError> {
    let mut command = supervise_args::definition();
    let mut script = Vec::new();
    generate(shell, &mut command, "supervise", &mut script);
    output.out.write_all(&script)?;
    Ok(DONE)
}

/// A response, and the line that contained it.
pub(super) struct ClientAnswer {
    line: Vec<u8>,
    pub(super) response: Response,
}

/// The kind of connection to a supervisor.
pub(super) enum Link {
    Socket(Socket),
    Port,
}

/// A connection to a supervisor.
pub(super) struct SupervisorLink<'a> {
    place: &'a endpoint::Place,
    pub(super) link: Link,
}

impl<'a> SupervisorLink<'a> {
    pub(super) fn open(place: &'a endpoint::Place) -> Result<SupervisorLink<'a>, ClientError> {
        let link = match &place.url {
            ServerUrl::Unix(path) => Link::Socket(connected(place, path)?),
            ServerUrl::Http { .. } => Link::Port,
        };
        Ok(SupervisorLink { place, link })
    }

    fn unreachable(&self, error: ConnectError) -> ClientError {
        unreachable(&self.place.url, error)
    }

    /// Asks the supervisor for its protocol version, before a request that another version may
    /// understand differently. Returns the response, and whether it is a refusal, whose text would
    /// also be that of the actual request's refusal.
    fn greet(&mut self) -> Result<(ClientAnswer, bool), ClientError> {
        let version = self.ask(&Command::Version, true)?;
        // Unless it does not know this command.
        let is_refused = match &version.response.error {
            None => false,
            Some(error) => !matches!(error.code, Code::BadCommand | Code::BadRequest),
        };
        if !is_refused {
            let at = || shown(&self.place.url);
            check_protocol(&version.response).map_err(|why| ClientError::Protocol { at: at(), why })?;
        }
        Ok((version, is_refused))
    }

    /// Sends one request and returns the response.
    pub(super) fn ask(&mut self, command: &Command, wait: bool) -> Result<ClientAnswer, ClientError> {
        let place = self.place;
        let bounded = wait && takes_time(command);
        // The supervisor gets the timeout too, so that it can report the progress.
        let timeout = place.timeout.filter(|_| bounded);
        let limit = place.timeout.map(|limit| if bounded { limit.saturating_add(GRACE) } else { limit });
        let request = Request { wait, timeout, ..Request::new(command.clone()) };
        let line = match &mut self.link {
            Link::Socket(socket) => {
                let request = Request { auth: place.auth.clone(), ..request };
                let ask = |socket: &mut Socket| {
                    let sent = socket.send(&request.to_line());
                    sent.and_then(|()| socket.line(limit, None)).and_then(|line| line.ok_or(ConnectError::Closed))
                };
                let mut answer = ask(socket);
                // The supervisor was killed while connecting: a new connection shows what is there
                // now.
                if let (Err(ConnectError::Closed), ServerUrl::Unix(path)) = (&answer, &place.url)
                    && only_reads(command)
                {
                    *socket = connected(place, path)?;
                    answer = ask(socket);
                }
                answer.map_err(|error| unreachable(&place.url, error))?
            }
            Link::Port => {
                let base = place.url.to_string();
                let posted = connect::post(&base, &request.to_line(), place.auth.as_ref(), limit);
                let posted = posted.map_err(|error| unreachable(&place.url, error))?;
                match posted.status {
                    // A proxy in front of the interface uses its own error pages.
                    401 if Response::parse(&posted.body).is_err() => {
                        Response::failed(WireError::new(Code::Unauthorized, "")).to_line().into_bytes()
                    }
                    status if Response::parse(&posted.body).is_err() => {
                        return Err(self.unreachable(ConnectError::Stranger(status)));
                    }
                    _ => posted.body.trim_ascii_end().to_vec(),
                }
            }
        };
        match Response::parse(&line) {
            Ok(response) => Ok(ClientAnswer { line, response }),
            Err(error) => {
                let why = Unreachable::Other(format!("invalid response: {}", plain(&error.to_string())));
                Err(ClientError::Unreachable { at: shown(&place.url), why })
            }
        }
    }
}

/// Connects to a socket.
fn connected(place: &endpoint::Place, path: &Path) -> Result<Socket, ClientError> {
    let mut socket = Socket::connect(path, place.timeout).map_err(|error| unreachable(&place.url, error))?;
    if let Some(interrupt) = &place.interrupt {
        socket.end_on(interrupt.clone());
    }
    Ok(socket)
}

/// Converts a connection error.
pub(super) fn unreachable(url: &ServerUrl, error: ConnectError) -> ClientError {
    let why = match (error, url) {
        (ConnectError::Interrupted, _) => return ClientError::Interrupted,
        (ConnectError::NoFile, _) => Unreachable::NoFile,
        (ConnectError::Refused, ServerUrl::Unix(_)) => Unreachable::Refused,
        (ConnectError::Refused, ServerUrl::Http { .. }) => Unreachable::NobodyThere,
        (ConnectError::Denied, _) => Unreachable::Denied,
        (error, _) => Unreachable::Other(plain(&error.to_string())),
    };
    ClientError::Unreachable { at: shown(url), why }
}

pub(super) fn shown(url: &ServerUrl) -> String {
    plain(&url.to_string())
}

/// Whether a command is answered only after an operation that may take a while.
fn takes_time(command: &Command) -> bool {
    match command {
        Command::Start { .. }
        | Command::Stop { .. }
        | Command::Restart(_)
        | Command::Reload { dry_run: false, .. }
        | Command::Update(_)
        | Command::Add(_)
        | Command::Remove { .. } => true,
        Command::Status(_)
        | Command::Reload { dry_run: true, .. }
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

/// Whether a command can be repeated without doing anything twice, and without missing events in
/// between.
fn only_reads(command: &Command) -> bool {
    match command {
        Command::Status(_)
        | Command::Pid(_)
        | Command::Avail
        | Command::Version
        | Command::History { .. }
        | Command::Jobs(_)
        | Command::Tail { follow: false, .. }
        | Command::Maintail { follow: false, .. } => true,
        Command::Tail { follow: true, .. }
        | Command::Maintail { follow: true, .. }
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
        | Command::Clear(_)
        | Command::Fg { .. }
        | Command::Send { .. }
        | Command::Subscribe(_)
        | Command::Disown { .. } => false,
    }
}

/// Returns the option or action that follows the first response with more lines, if any.
pub(super) fn listens(command: &Command) -> Option<&'static str> {
    match command {
        Command::Tail { follow: true, .. } | Command::Maintail { follow: true, .. } => Some("--follow"),
        Command::Fg { .. } => Some("fg"),
        Command::Subscribe(_) => Some("subscribe"),
        _ => None,
    }
}

fn ask(
    args: &ClientArgs,
    place: &endpoint::Place,
    session: &Session,
    command: &Command,
    wait: bool,
    output: &mut ClientOutput<'_>,
) -> Result<Acted, ClientError> {
    let is_port = matches!(place.url, ServerUrl::Http { .. });
    if let Some(what) = listens(command).filter(|_| is_port) {
        return Err(ClientError::NeedsSocket(what));
    }
    let mut line = SupervisorLink::open(place)?;
    let (version, is_refused) = line.greet()?;
    let mut command = command.clone();
    // All jobs: to resolve references, and to mark the current and the previous job.
    let mut all = None;
    if !is_refused && needs_jobs(&mut command) {
        let list = jobs_in(&line.ask(&Command::Jobs(Targets::All), true)?.response)?;
        session.resolve_in(&mut command, &list)?;
        all = Some(list);
    }
    let command = &command;
    let answer = match command {
        Command::Version => version,
        _ if is_refused => version,
        command => line.ask(command, wait)?,
    };
    let code = print(args, command, &answer, all, session, output)?;
    let acted = |code: u8| Acted { code, response: Some(answer.response.clone()) };
    let Link::Socket(mut socket) = line.link else { return Ok(acted(code)) };
    if answer.response.error.is_some() {
        return Ok(acted(code));
    }
    output.out.flush()?;
    match command {
        Command::Shutdown { .. } if wait => wait_for_end(&mut socket, place.timeout).map(|()| acted(code)),
        command if listens(command).is_some() => follow::follow(args, command, &mut socket, output).map(acted),
        _ => Ok(acted(code)),
    }
}

/// Waits until the supervisor reports its end and closes the connection. A supervisor that dies
/// before that leaves programs running.
fn wait_for_end(socket: &mut Socket, timeout: Option<Duration>) -> Result<(), ClientError> {
    let mut has_ended = false;
    loop {
        match socket.line(timeout, None) {
            Ok(Some(line)) => has_ended |= matches!(Followed::parse(&line), Some(Followed::Ended(_))),
            Ok(None) | Err(ConnectError::Closed | ConnectError::Cut) if has_ended => return Ok(()),
            Ok(None) | Err(ConnectError::Closed | ConnectError::Cut) => {
                let why = "the supervisor died during its shutdown; some of its programs may still be running";
                return Err(ClientError::Broken(why.to_owned()));
            }
            Err(ConnectError::Interrupted) => return Err(ClientError::Interrupted),
            Err(error) => return Err(ClientError::Broken(format!("the supervisor has not ended: {error}"))),
        }
    }
}

/// Whether a command refers to jobs, or selects some of them, so that the list of all jobs is
/// needed.
fn needs_jobs(command: &mut Command) -> bool {
    let is_some_of_them = matches!(command, Command::Jobs(Targets::Named { .. }));
    is_some_of_them || command.names().iter().any(|name| JobRef::parse(name).is_some())
}

/// Prints a response, and returns the exit code. `all`: all jobs, if only some were requested.
fn print(
    args: &ClientArgs,
    command: &Command,
    answer: &ClientAnswer,
    all: Option<Vec<Job>>,
    session: &Session,
    output: &mut ClientOutput<'_>,
) -> Result<u8, ClientError> {
    let response = &answer.response;
    let code = exit_code(command, response);
    if args.json {
        output.out.write_all(format!("{}\n", safe_json(&answer.line)).as_bytes())?;
        return Ok(code);
    }
    let shown = lines_of(command, response);
    for line in &shown.err {
        complain(output, line);
    }
    if shown.err.is_empty() && response.error.is_none() && response.status >= 400 {
        complain(output, &format!("the supervisor returned status {} without a message", response.status));
    }
    let mut lines = shown.out;
    let content = response.content.as_ref();
    match command {
        Command::Tail { .. } | Command::Maintail { .. } | Command::Fg { .. } => {
            if let Some(piece) = content.and_then(Piece::from_value) {
                output.out.write_all(&follow::fit(&piece.data, args.action.is_raw(), output.width))?;
                if is_cut(command, &piece) {
                    let shown = piece.data.len();
                    let why = "the log file has all of it";
                    let _ = writeln!(output.err, "supervise: only the last {shown} bytes are shown; {why}");
                }
            }
        }
        Command::History { .. } if response.error.is_none() => {
            let rows = content.and_then(|content| content.get("rows").or(Some(content)));
            let rows: Option<Vec<HistoryRow>> = rows.and_then(|rows| serde_json::from_value(rows.clone()).ok());
            let Some(rows) = rows else {
                return Err(ClientError::Broken("the response contains no history".to_owned()));
            };
            let page = Page { rows, next: None };
            lines.push(show::history_table(&page, sys::now().wall, output.width, output.colours));
        }
        Command::Jobs(_) if response.error.is_none() => {
            let list = jobs_in(response)?;
            let shown: Vec<&Job> = list.iter().collect();
            let (which, form) = match &args.action {
                Action::Jobs(jobs) => jobs.view(),
                _ => Default::default(),
            };
            // Only a shell knows its current job; otherwise the last started one is marked.
            let unknown = std::mem::take(&mut lines);
            lines = jobs::lines(&shown, all.as_ref().unwrap_or(&list), session, which, form);
            lines.extend(unknown);
        }
        _ => {}
    }
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    output.out.write_all(text.as_bytes())?;
    Ok(code)
}

/// Returns a line of JSON with control characters escaped, which JSON permits within strings.
fn safe_json(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | ' ' => safe.push(c),
            // Only between values.
            '\r' | '\n' => safe.push(' '),
            c if c.is_control() || ansi::misleads(c) => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}
