//! `fg` at a terminal: shows the output of a process, and sends typed lines to its input.
//!
//! Ctrl-C and Ctrl-Z are bytes here, for the shell alone: the process is never signalled. The
//! keyboard has priority, however silent the process is or however much it prints.

use std::{io, time::Duration};

use super::{Shell, verbs::is_paused};
use crate::{
    app::client::{self, ClientError, Link, SupervisorLink, follow::fit},
    io::{
        connect::{Came, Socket},
        sys,
        terminal::{CTRL_C, CTRL_Z, Keyboard},
    },
    model::{
        ansi::plain,
        client::{DONE, exit_code, reason},
        error::ErrorKind,
        wire::{Channel, Code, Command, Followed, ProcessInfo, Response, Targets},
    },
};

/// How long the supervisor may take to pass a line on; Ctrl-C is delayed meanwhile.
const PASS_ON: Duration = Duration::from_millis(150);
/// How long, and at which interval, input is retried for a process that was just started and may
/// not read yet.
const NOT_YET: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

/// How the attachment ended.
enum Over {
    /// The user detached.
    Left,
    /// The process has ended; with the text.
    Ended(String),
    /// The connection failed.
    Failed(String),
}

impl Shell<'_, '_> {
    /// Attaches to a process until it ends or the user detaches, and returns the exit code.
    pub(super) fn attach(&mut self, name: &str) -> u8 {
        self.attached(name).unwrap_or_else(|code| code)
    }

    fn attached(&mut self, name: &str) -> Result<u8, u8> {
        let (jobs, names) = self.resolve(&[name.to_owned()])?;
        let mut name = names.into_iter().next().unwrap_or_default();
        // For several processes, the supervisor refuses.
        if let [process] = &self.processes(&[name.clone()])?[..] {
            name = process.full_name();
            if process.state.is_down() {
                self.begin(&name)?;
            } else if is_paused(&jobs, &name) {
                self.continued(&name)?;
            }
        }
        let place = self.place.clone();
        let command = Command::Fg { name: name.clone() };
        let mut line =
            SupervisorLink::open(&place).map_err(|error| client::failed(error, Some(&command), self.output))?;
        if let Link::Port = line.link {
            return Err(client::failed(ClientError::NeedsSocket("fg"), None, self.output));
        }
        let answer = line.ask(&command, true).map_err(|error| client::failed(error, Some(&command), self.output))?;
        if answer.response.error.is_some() {
            return Err(self.not_attached(&name, &command, &answer.response));
        }
        let Link::Socket(mut socket) = line.link else { return Err(ErrorKind::Failed.exit_code()) };
        let content = answer.response.content.unwrap_or_default();
        let is_pipe = content.get("stdin").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let pid = content.get("process").and_then(|process| process.get("pid")).and_then(serde_json::Value::as_i64);
        // Set before the keys are announced, so that none is lost.
        let keyboard = Keyboard::attached(is_pipe).map_err(|error| {
            client::failed(ClientError::Broken(format!("cannot set the terminal: {error}")), None, self.output)
        })?;
        self.note(&format!(
            "attached to {} ({}); Ctrl-C or Ctrl-Z detaches",
            plain(&name),
            pid.filter(|pid| *pid > 0).map_or_else(|| "being started".to_owned(), |pid| format!("pid {pid}"))
        ));
        if is_pipe {
            self.note("typed lines are sent to its input");
        }
        let over = self.pass(&mut socket, &keyboard, is_pipe.then_some(&*name));
        drop(keyboard);
        match over {
            Ok(Over::Left) => {
                self.note(&format!("detached from {}, which keeps running", plain(&name)));
                self.notices.session(|session| session.left(name));
                Ok(DONE)
            }
            Ok(Over::Ended(how)) => {
                self.note(&format!("{} has ended: {}", plain(&name), plain(&how)));
                self.notices.reported_end(name);
                Ok(DONE)
            }
            Ok(Over::Failed(why)) => Err(client::failed(ClientError::Broken(why), None, self.output)),
            Err(error) => Err(client::failed(error.into(), None, self.output)),
        }
    }

    /// Starts the process without waiting until it is up, so that its first output is shown.
    fn begin(&mut self, name: &str) -> Result<(), u8> {
        let command = Command::Start { of: Targets::processes([name]), until_settled: false };
        let args = self.args_of(false);
        let session = self.notices.session(|session| session.clone());
        let acted = client::request(&args, &self.place, &session, &command, false, self.output);
        self.take_in(&command, &acted);
        if acted.code == DONE { Ok(()) } else { Err(acted.code) }
    }

    /// Prints why attaching failed: a process that has just ended, or could not be started, has a
    /// description.
    fn not_attached(&mut self, name: &str, command: &Command, response: &Response) -> u8 {
        let is_down = response.error.as_ref().is_some_and(|error| error.code == Code::NotRunning);
        if is_down && let Ok([process]) = self.processes(&[name.to_owned()]).as_deref() {
            let ProcessInfo { state, description, .. } = process;
            let line = format!("{} is not running: {state} {}", plain(name), plain(description));
            client::complain(self.output, line.trim_end());
            return exit_code(command, response);
        }
        self.show(command, response)
    }

    /// Relays until the end. `input`: the name of the process, if it reads typed lines.
    fn pass(&mut self, socket: &mut Socket, keyboard: &Keyboard, input: Option<&str>) -> io::Result<Over> {
        // Messages of the shell must begin on a new line.
        let mut at_start = true;
        // Input that was not accepted yet.
        let mut unsent = vec![];
        let retry_until = sys::now().mono.saturating_add(NOT_YET);
        let over = loop {
            match socket.line_or(keyboard.input(), (!unsent.is_empty()).then_some(AGAIN)) {
                Ok(Came::Neither) => {}
                Ok(Came::Other) => {
                    let typed = keyboard.read()?;
                    // The end of the terminal, or Ctrl-D: no more input will come.
                    if typed.is_empty() || typed.iter().any(|byte| [CTRL_C, CTRL_Z].contains(byte)) {
                        // In line mode the terminal shows ^C.
                        at_start &= input.is_none();
                        break Over::Left;
                    }
                    at_start &= input.is_none() || typed.ends_with(b"\n");
                    unsent.extend(input.map_or(vec![], |_| typed));
                }
                Ok(Came::Line(line)) => match Followed::parse(&line) {
                    Some(Followed::Piece(piece)) => {
                        let bytes = fit(&piece.data, false, self.output.width);
                        match piece.channel {
                            Some(Channel::Stderr) => self.output.err.write_all(&bytes)?,
                            Some(Channel::Stdout) | None => self.output.out.write_all(&bytes)?,
                        }
                        self.output.out.flush()?;
                        self.output.err.flush()?;
                        at_start = piece.data.ends_with(b"\n");
                    }
                    Some(Followed::Ended(how)) => break Over::Ended(how),
                    Some(Followed::Failed(error)) => break Over::Failed(reason(error.code, &error.message)),
                    Some(Followed::Skipped | Followed::Other(_)) => {}
                    None => break Over::Failed("invalid line from the supervisor".to_owned()),
                },
                Ok(Came::End) => break Over::Failed("the supervisor has closed the connection".to_owned()),
                Err(error) => break Over::Failed(error.to_string()),
            }
            if let Some(name) = input.filter(|_| !unsent.is_empty()) {
                match self.send(name, &unsent) {
                    Some(why) if sys::now().mono > retry_until => {
                        writeln!(self.output.err, "supervise: input not delivered: {}", plain(&why))?;
                        unsent.clear();
                    }
                    Some(_) => {}
                    None => unsent.clear(),
                }
            }
        };
        if !at_start {
            writeln!(self.output.out)?;
            self.output.out.flush()?;
        }
        Ok(over)
    }

    /// Sends typed input; returns the error.
    fn send(&mut self, name: &str, typed: &[u8]) -> Option<String> {
        let place = super::Place { timeout: Some(PASS_ON), interrupt: None, ..self.place.clone() };
        let data = String::from_utf8_lossy(typed).into_owned();
        let command = Command::Send { name: name.to_owned(), data };
        let answer = SupervisorLink::open(&place).and_then(|mut line| line.ask(&command, true));
        match answer {
            Ok(answer) => answer.response.error.map(|error| reason(error.code, &error.message)),
            Err(error) => Some(error.to_string()),
        }
    }
}
