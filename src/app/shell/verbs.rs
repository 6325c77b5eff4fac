//! The actions of the shell alone: `bg`, `kill`, `wait`, `suspend`, and the confirmation of actions
//! that are not easily undone.

use std::collections::BTreeMap;

use super::{Shell, typed::Kill};
use crate::{
    app::{
        client::{self, ClientError, Link, SupervisorLink, complain},
        supervise_args::{Action, SomeNames},
    },
    io::{child, terminal},
    model::{
        ansi::plain,
        client::{DONE, exit_code, show},
        error::ErrorKind,
        jobs::{Job, JobRef, JobState},
        shell::{ends, notices, process_id, signals, translate},
        task::Signal,
        wire::{
            Code, Command, EventFilter, EventKind, Followed, ProcessInfo, Response, SignalTo, StateNotice, Targets,
        },
    },
};

/// Returns the question before an action that affects everything; `None`: no confirmation.
pub(super) fn question(action: &Action) -> Option<&'static str> {
    match action {
        Action::Stop(stop) if !stop.yes && is_all(&stop.names) => Some("Stop all processes?"),
        Action::Restart(restart) if !restart.yes && is_all(&restart.names) => Some("Restart all processes?"),
        Action::Shutdown(shutdown) if shutdown.yes => None,
        Action::Shutdown(shutdown) if shutdown.leave_running => {
            Some("End the supervisor, and leave its processes running?")
        }
        Action::Shutdown(_) => Some("End the supervisor and all its processes?"),
        _ => None,
    }
}

fn is_all(names: &SomeNames) -> bool {
    match &names.0 {
        Targets::All => true,
        Targets::Named { names, .. } => names.iter().any(|name| name == "*" || name == "*:*"),
    }
}

impl Shell<'_, '_> {
    /// Sends a command and returns a successful response. Otherwise prints it and returns the exit
    /// code as the error.
    pub(super) fn ask(&mut self, command: &Command) -> Result<Response, u8> {
        let response = self.ask_any(command)?;
        if response.error.is_some() { Err(self.show(command, &response)) } else { Ok(response) }
    }

    /// Like [`Shell::ask`], for a response of any kind.
    fn ask_any(&mut self, command: &Command) -> Result<Response, u8> {
        let mut is_introduced = false;
        loop {
            let answer = SupervisorLink::open(&self.place).and_then(|mut line| line.ask(command, true));
            let response = match answer {
                Ok(answer) => answer.response,
                Err(error) => return Err(client::failed(error, Some(command), self.output)),
            };
            let is_stranger = response.error.as_ref().is_some_and(|error| error.code == Code::Unauthorized);
            if !(is_stranger && self.is_terminal && !is_introduced && self.introduce()) {
                return Ok(response);
            }
            is_introduced = true;
        }
    }

    /// Prints a response, and returns its exit code.
    pub(super) fn show(&mut self, command: &Command, response: &Response) -> u8 {
        let shown = show(command, response);
        for line in &shown.out {
            let _ = writeln!(self.output.out, "{line}");
        }
        let _ = self.output.out.flush();
        for line in &shown.err {
            complain(self.output, line);
        }
        exit_code(command, response)
    }

    /// Returns all jobs, and the names with job references replaced by process names.
    pub(super) fn resolve(&mut self, names: &[String]) -> Result<(Vec<Job>, Vec<String>), u8> {
        let response = self.ask(&Command::Jobs(Targets::All))?;
        let resolved = client::jobs_in(&response).and_then(|jobs| {
            let name = |name: &String| match JobRef::parse(name) {
                Some(_) => self.notices.session(|session| session.resolve(name, &jobs).map(Job::full_name)),
                None => Ok(name.clone()),
            };
            let names = names.iter().map(name).collect::<Result<Vec<String>, _>>()?;
            Ok((jobs, names))
        });
        resolved.map_err(|error| client::failed(error, None, self.output))
    }

    /// Returns the processes with these names; an error if there are none.
    pub(super) fn processes(&mut self, names: &[String]) -> Result<Vec<ProcessInfo>, u8> {
        let is_all = names.is_empty() || names.iter().any(|name| name == "all");
        let command = Command::Status(if is_all { Targets::All } else { Targets::processes(names) });
        let response = self.ask_any(&command)?;
        if response.is_good() && response.items().is_empty() {
            return Ok(response.processes());
        }
        // The known ones are not the result of the request.
        let refused = if response.error.is_some() { response } else { Response::results(response.items(), false) };
        self.show(&command, &refused);
        Err(ErrorKind::Failed.exit_code())
    }

    /// `bg`: continues paused jobs, and starts those that are down.
    pub(super) fn background(&mut self, names: &[String]) -> u8 {
        let done = self.resolve(names).and_then(|(jobs, names)| Ok((jobs, self.processes(&names)?)));
        let (jobs, processes) = match done {
            Ok(done) => done,
            Err(code) => return code,
        };
        let mut code = DONE;
        for process in processes {
            let name = process.full_name();
            code = code.max(if is_paused(&jobs, &name) {
                self.continued(&name).map_or_else(
                    |code| code,
                    |()| {
                        let _ = writeln!(self.output.out, "{}: continued", plain(&name));
                        DONE
                    },
                )
            } else if process.state.is_down() {
                self.request(&Command::Start { of: Targets::processes([name]), until_settled: false }, false)
            } else {
                let _ = writeln!(self.output.out, "{}: already running", plain(&name));
                DONE
            });
        }
        let _ = self.output.out.flush();
        code
    }

    /// Continues a paused process.
    pub(super) fn continued(&mut self, name: &str) -> Result<(), u8> {
        let to = SignalTo::Processes(Targets::processes([name]));
        // The whole group: Ctrl-Z at a terminal would have paused the whole group too.
        self.ask(&Command::Signal { signal: Signal::CONT, to, group: true }).map(drop)
    }

    /// `kill`: sends a signal, or lists the signals.
    pub(super) fn kill(&mut self, kill: &Kill, json: bool) -> u8 {
        if kill.list {
            return self.list_signals(&kill.targets);
        }
        let Ok(signal) = kill.signal.parse::<Signal>() else {
            complain(self.output, &format!("bad signal name {:?}: kill -l lists them", kill.signal));
            return ErrorKind::Failed.exit_code();
        };
        let (pids, names): (Vec<&String>, Vec<&String>) =
            kill.targets.iter().partition(|target| process_id(target).is_some());
        let mut to: Vec<SignalTo> = pids.into_iter().filter_map(|pid| process_id(pid)).map(SignalTo::Pid).collect();
        if !names.is_empty() {
            let is_all = names.iter().any(|name| *name == "all");
            to.push(SignalTo::Processes(if is_all { Targets::All } else { Targets::processes(names) }));
        }
        let mut code = DONE;
        for to in to {
            code = code.max(self.request(&Command::Signal { signal, to, group: false }, json));
        }
        if code == DONE && ends(signal) && self.is_terminal {
            self.note("a program with autorestart is started again; to end it, use stop");
        }
        code
    }

    fn list_signals(&mut self, words: &[String]) -> u8 {
        let mut code = DONE;
        let mut lines = if words.is_empty() { signals() } else { vec![] };
        for word in words {
            match translate(word) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    complain(self.output, &format!("{word:?}: {error}"));
                    code = ErrorKind::Failed.exit_code();
                }
            }
        }
        for line in lines {
            let _ = writeln!(self.output.out, "{line}");
        }
        let _ = self.output.out.flush();
        code
    }

    /// `wait`: waits until processes are down.
    pub(super) fn wait(&mut self, names: &[String]) -> u8 {
        self.waited(names).unwrap_or_else(|code| code)
    }

    fn waited(&mut self, names: &[String]) -> Result<u8, u8> {
        let (jobs, names) = self.resolve(names)?;
        // Subscribes before reading the states, so that an end in between is noticed.
        let filter = EventFilter::of([EventKind::State.as_str()]).unwrap_or_default();
        let subscribe = Command::Subscribe(filter);
        let place = self.place.clone();
        let mut line =
            SupervisorLink::open(&place).map_err(|error| client::failed(error, Some(&subscribe), self.output))?;
        if let Link::Port = line.link {
            return Err(client::failed(ClientError::NeedsSocket("wait"), None, self.output));
        }
        let answer =
            line.ask(&subscribe, true).map_err(|error| client::failed(error, Some(&subscribe), self.output))?;
        if answer.response.error.is_some() {
            return Err(self.show(&subscribe, &answer.response));
        }
        let Link::Socket(mut socket) = line.link else { return Err(ErrorKind::Failed.exit_code()) };
        let processes = self.processes(&names)?;
        let mut codes: BTreeMap<String, Option<u8>> = BTreeMap::new();
        for process in &processes {
            let code = notices::exit_code(process.exit_code, process.exit_signal.as_deref());
            codes.insert(process.full_name(), process.state.is_down().then_some(code));
        }
        while codes.values().any(Option::is_none) {
            let line = match socket.line(None, None) {
                Ok(Some(line)) => line,
                Ok(None) => {
                    let error = ClientError::Broken("the connection was closed before all processes ended".to_owned());
                    return Err(client::failed(error, None, self.output));
                }
                Err(error) => return Err(client::failed(client::unreachable(&place.url, error), None, self.output)),
            };
            let Some(Followed::Other(event)) = Followed::parse(&line) else { continue };
            let Some(event) = StateNotice::from_event(&event) else { continue };
            if let Some(code @ None) = codes.get_mut(&event.name)
                && event.to.is_down()
            {
                *code = Some(notices::exit_code(event.exit_code, event.exit_signal.as_deref()));
                let line = self.notices.session(|session| notices::line(&event, &jobs, session));
                self.notices.reported(event.name, event.to, event.pid);
                let _ = writeln!(self.output.out, "{line}").and_then(|()| self.output.out.flush());
            }
        }
        let last = processes.last().and_then(|process| codes.get(&process.full_name()).copied().flatten());
        // All processes have no last one.
        Ok(if names.is_empty() { DONE } else { last.unwrap_or(DONE) })
    }

    /// `suspend`: stops the shell itself.
    pub(super) fn suspend(&mut self, force: bool) -> u8 {
        if !self.is_terminal {
            complain(self.output, "suspend: no terminal to continue this shell from");
            return ErrorKind::Failed.exit_code();
        }
        if terminal::leads_session() && !force {
            complain(self.output, "suspend: a login shell might never be continued; use -f to suspend it anyway");
            return ErrorKind::Failed.exit_code();
        }
        child::stop_self();
        DONE
    }
}

/// Whether a process is paused by a signal.
pub(super) fn is_paused(jobs: &[Job], name: &str) -> bool {
    jobs.iter().any(|job| job.full_name() == name && matches!(job.state, JobState::Stopped(_)))
}
