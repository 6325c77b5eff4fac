//! The client of the supervisor: finds it, asks it, prints what it answers, and gives the exit code (3.4).
//!
//! Which lines and which code an answer gives is decided in `model::ctl`. Nothing here runs or stops anything itself.

mod follow;
mod place;

use std::{
    io::{self, ErrorKind, Write},
    os::fd::BorrowedFd,
    time::Duration,
};

use clap_complete::{Shell, generate};

use super::{
    show,
    supervise_args::{self, Action, ClientArgs, Wanted},
};
use crate::{
    io::{
        dial::{self, DialError, Socket},
        sys,
    },
    model::{
        ansi,
        config::{Finding, Unreadable},
        ctl::{OtherProtocol, Unreachable, check_protocol, exit, exit_code, plain, show as lines_of},
        jobs::{self, Job, JobInfo, Session},
        program::ServerUrl,
        query::Page,
        task::HistoryRow,
        wire::{Code, Command, Piece, Request, Response, WireError},
    },
};

/// How much longer than its time limit a supervisor may take to say that the time is over.
const GRACE: Duration = Duration::from_secs(2);

/// Where a client prints.
pub struct Output<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// What went wrong, one line each.
    pub err: &'a mut dyn Write,
    /// What is behind `out`, so that a client that listens notices when nobody reads any more.
    pub reader: Option<BorrowedFd<'a>>,
    /// The columns of the terminal that `out` is; none: it is none.
    pub width: Option<u16>,
    /// Whether tables may have colours.
    pub colours: bool,
}

/// Why there is nothing to print.
#[derive(Debug, thiserror::Error)]
enum CtlError {
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
    #[error("{0} needs its socket: over HTTP only single answers come")]
    NeedsSocket(&'static str),
    #[error("{0}")]
    Broken(String),
}

/// Does what the command line says, and gives the exit code. Nothing is left to be said.
pub fn run(args: &ClientArgs, output: &mut Output<'_>) -> u8 {
    let done = match args.action.wanted() {
        Wanted::Completions(shell) => completions(shell, output),
        Wanted::Known(command, response) => {
            let line = response.to_line();
            print(args, &command, &Answer { line: line.into_bytes(), response: *response }, output)
        }
        Wanted::Ask { command, wait } => ask(args, &command, wait, output),
    };
    let done = done.and_then(|code| Ok(output.out.flush().map(|()| code)?));
    let error = match done {
        Ok(code) => return code,
        Err(error) => error,
    };
    match &error {
        // Who reads us has seen enough.
        CtlError::Write(error) if error.kind() == ErrorKind::BrokenPipe => return exit::OK,
        CtlError::Invalid(findings) => {
            for finding in findings {
                complain(output, &finding.to_string());
            }
        }
        other => complain(output, &other.to_string()),
    }
    match (error, args.action.wanted()) {
        (CtlError::Unreadable(_) | CtlError::Invalid(_), _) => exit::USAGE,
        (CtlError::Unreachable { why, .. }, Wanted::Ask { command, .. }) => why.exit_code(&command),
        (CtlError::Protocol { .. }, _) => exit::PROTOCOL,
        (CtlError::Unreachable { .. } | CtlError::Write(_) | CtlError::NeedsSocket(_) | CtlError::Broken(_), _) => {
            exit::FAILED
        }
    }
}

/// One line about something that went wrong. If that cannot be said, nobody can be told.
fn complain(output: &mut Output<'_>, text: &str) {
    let _ = match text.strip_prefix("warning: ") {
        Some(warning) => writeln!(output.err, "supervise: warning: {warning}"),
        None => writeln!(output.err, "supervise: error: {text}"),
    };
}

fn completions(shell: Shell, output: &mut Output<'_>) -> Result<u8, CtlError> {
    let mut command = supervise_args::definition();
    let mut script = Vec::new();
    generate(shell, &mut command, "supervise", &mut script);
    output.out.write_all(&script)?;
    Ok(exit::OK)
}

/// A response, and the line that it came as.
struct Answer {
    line: Vec<u8>,
    response: Response,
}

/// The way to a supervisor.
enum Link {
    Socket(Socket),
    Port,
}

/// A supervisor that was found.
struct Line<'a> {
    place: &'a place::Place,
    link: Link,
}

impl<'a> Line<'a> {
    fn open(place: &'a place::Place) -> Result<Line<'a>, CtlError> {
        let link = match &place.url {
            ServerUrl::Unix(path) => {
                let socket = Socket::connect(path, place.timeout);
                Link::Socket(socket.map_err(|error| unreachable(&place.url, error))?)
            }
            ServerUrl::Http { .. } => Link::Port,
        };
        Ok(Line { place, link })
    }

    fn unreachable(&self, error: DialError) -> CtlError {
        unreachable(&self.place.url, error)
    }

    /// One request, one answer.
    fn ask(&mut self, command: &Command, wait: bool) -> Result<Answer, CtlError> {
        let place = self.place;
        let bounded = wait && takes_time(command);
        // The supervisor is told the limit too, so that it can say how far it got.
        let timeout = place.timeout.filter(|_| bounded);
        let limit = place.timeout.map(|limit| if bounded { limit.saturating_add(GRACE) } else { limit });
        let request = Request { wait, timeout, ..Request::new(command.clone()) };
        let line = match &mut self.link {
            Link::Socket(socket) => {
                let request = Request { auth: place.auth.clone(), ..request };
                let sent = socket.send(&request.to_line());
                let answer = sent.and_then(|()| socket.line(limit, None));
                answer.and_then(|line| line.ok_or(DialError::Closed)).map_err(|error| unreachable(&place.url, error))?
            }
            Link::Port => {
                let base = place.url.to_string();
                let posted = dial::post(&base, &request.to_line(), place.auth.as_ref(), limit);
                let posted = posted.map_err(|error| unreachable(&place.url, error))?;
                match posted.status {
                    // What stands before the interface answers in words of its own.
                    401 if Response::parse(&posted.body).is_err() => {
                        Response::failed(WireError::new(Code::Unauthorized, "")).to_line().into_bytes()
                    }
                    status if Response::parse(&posted.body).is_err() => {
                        return Err(self.unreachable(DialError::Stranger(status)));
                    }
                    _ => posted.body.trim_ascii_end().to_vec(),
                }
            }
        };
        match Response::parse(&line) {
            Ok(response) => Ok(Answer { line, response }),
            Err(error) => {
                let why = Unreachable::Other(format!("its answer is not understood: {}", plain(&error.to_string())));
                Err(CtlError::Unreachable { at: shown(&place.url), why })
            }
        }
    }
}

/// What it means that there is no answer.
fn unreachable(url: &ServerUrl, error: DialError) -> CtlError {
    let why = match (error, url) {
        (DialError::NoFile, _) => Unreachable::NoFile,
        (DialError::Refused, ServerUrl::Unix(_)) => Unreachable::Refused,
        (DialError::Refused, ServerUrl::Http { .. }) => Unreachable::NobodyThere,
        (DialError::Denied, _) => Unreachable::Denied,
        (error, _) => Unreachable::Other(plain(&error.to_string())),
    };
    CtlError::Unreachable { at: shown(url), why }
}

fn shown(url: &ServerUrl) -> String {
    plain(&url.to_string())
}

/// Whether a command is answered only when something has been done that may take a while.
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

/// What is listened to after the first answer, in one word.
fn listens(command: &Command) -> Option<&'static str> {
    match command {
        Command::Tail { follow: true, .. } | Command::Maintail { follow: true, .. } => Some("--follow"),
        Command::Fg { .. } => Some("fg"),
        Command::Subscribe(_) => Some("subscribe"),
        _ => None,
    }
}

fn ask(args: &ClientArgs, command: &Command, wait: bool, output: &mut Output<'_>) -> Result<u8, CtlError> {
    let place = place::find(args.serverurl.as_ref(), args.file.as_deref())?;
    let is_port = matches!(place.url, ServerUrl::Http { .. });
    if let Some(what) = listens(command).filter(|_| is_port) {
        return Err(CtlError::NeedsSocket(what));
    }
    let mut line = Line::open(&place)?;
    // Before anything is changed by a supervisor that may understand it otherwise (CTL-6).
    let version = line.ask(&Command::Version, true)?;
    // It would refuse the other question in the same words, unless it does not know this one.
    let is_refused = match &version.response.error {
        None => false,
        Some(error) => !matches!(error.code, Code::BadCommand | Code::BadRequest),
    };
    if !is_refused {
        check_protocol(&version.response).map_err(|why| CtlError::Protocol { at: shown(&place.url), why })?;
    }
    let answer = match command {
        Command::Version => version,
        _ if is_refused => version,
        command => line.ask(command, wait)?,
    };
    let code = print(args, command, &answer, output)?;
    let Link::Socket(mut socket) = line.link else { return Ok(code) };
    if answer.response.error.is_some() {
        return Ok(code);
    }
    output.out.flush()?;
    match command {
        // It closes the connection when it has ended.
        Command::Shutdown { .. } if wait => loop {
            match socket.line(place.timeout, None) {
                Ok(Some(_)) => {}
                Ok(None) | Err(DialError::Closed | DialError::Cut) => return Ok(code),
                Err(error) => return Err(CtlError::Broken(format!("the supervisor has not ended: {error}"))),
            }
        },
        command if listens(command).is_some() => follow::follow(args, command, &mut socket, output),
        _ => Ok(code),
    }
}

/// Prints an answer, and gives the exit code.
fn print(args: &ClientArgs, command: &Command, answer: &Answer, output: &mut Output<'_>) -> Result<u8, CtlError> {
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
        complain(output, &format!("the supervisor answers {} and does not say why", response.status));
    }
    let mut lines = shown.out;
    let content = response.content.as_ref();
    match command {
        Command::Tail { .. } | Command::Maintail { .. } | Command::Fg { .. } => {
            if let Some(piece) = content.and_then(Piece::from_value) {
                output.out.write_all(&follow::fit(&piece.data, args.action.is_raw(), output.width))?;
            }
        }
        Command::History { .. } if response.error.is_none() => {
            let rows = content.and_then(|content| content.get("rows").or(Some(content)));
            let rows: Option<Vec<HistoryRow>> = rows.and_then(|rows| serde_json::from_value(rows.clone()).ok());
            let Some(rows) = rows else {
                return Err(CtlError::Broken("the answer holds no history".to_owned()));
            };
            let page = Page { rows, next: None };
            lines.push(show::history_table(&page, sys::now().wall, output.width, output.colours));
        }
        Command::Jobs(_) if response.error.is_none() => {
            let list = content.and_then(|content| content.get("jobs"));
            let list: Option<Vec<JobInfo>> = list.and_then(|jobs| serde_json::from_value(jobs.clone()).ok());
            let Some(list) = list else { return Err(CtlError::Broken("the answer holds no jobs".to_owned())) };
            let list: Vec<Job> = list.into_iter().map(Job::from).collect();
            let shown: Vec<&Job> = list.iter().collect();
            let (which, form) = match &args.action {
                Action::Jobs(jobs) => jobs.view(),
                _ => Default::default(),
            };
            // Only a shell knows which of them it dealt with last; here that is the one that was started last.
            lines.extend(jobs::lines(&shown, &list, &Session::default(), which, form));
        }
        _ => {}
    }
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    output.out.write_all(text.as_bytes())?;
    Ok(code)
}

/// A line of JSON as it came, but for what a terminal would obey: JSON allows that within strings.
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
