//! The requests of clients.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    answer::{Reply, RequestAnswer, refuse},
    logs::{LogPart, LogSource, end_of, is_file},
    state::{Proc, Supervisor},
    waiters::{Goal, Waiter},
};
use crate::{
    io::{account, proglog, sys},
    model::{
        jobs::JobInfo,
        machine::{Event, Illegal, Sequence, StopWhy},
        path::standard_stream,
        program::{ProcState, Stdin},
        wire::{
            Channel, Code, Command, NO_PROCESS, PROTOCOL, PidOf, Request, Response, ResultItem, SignalTo, Targets,
            WireError, select,
        },
    },
};

/// The processes selected by a request.
struct Meant {
    names: Vec<String>,
    failed: Vec<ResultItem>,
    single: bool,
    /// Whether each process was named by itself and gets its own result; with "all", processes
    /// without anything to do are skipped.
    each: bool,
}

impl Meant {
    /// Returns the failure of a query whose names match no process; `None` if some match, or all
    /// were selected.
    fn failure(&self) -> Option<Response> {
        match self.failed.first() {
            Some(item) if self.single => Some(Response::results(vec![item.clone()], true)),
            Some(_) | None if self.names.is_empty() => Response::nothing_meant(&self.failed),
            Some(_) | None => None,
        }
    }
}

/// Returns the text of a request for the log, without passwords and without input for programs.
fn loggable(request: &Request) -> String {
    let command = match &request.command {
        Command::Send { name, data } => Command::Send { name: name.clone(), data: format!("{} bytes", data.len()) },
        other => other.clone(),
    };
    Request { command, auth: None, id: None, ..request.clone() }.to_line()
}

impl Supervisor {
    /// Handles a request; the answer is sent once it is done.
    pub(super) fn request(&mut self, request: Request, reply: Reply, from: &str) {
        self.log.debug(&format!("request: {}, from {from}", loggable(&request)));
        let Request { command, wait, timeout, .. } = request;
        if self.shutdown.is_some() && command.is_refused_in_shutdown() {
            return reply(RequestAnswer::One(Response::failed(WireError::new(Code::ShuttingDown, "shutting down"))));
        }
        self.count_left();
        let until = timeout.map(|timeout| sys::now().mono.saturating_add(timeout));
        match command {
            Command::Start { of, until_settled } => {
                self.start(&of, Goal::Up { settled: until_settled }, wait, until, reply);
            }
            Command::Stop { of, now } => self.stop(&of, now, wait, until, reply),
            Command::Restart(of) => self.restart(&of, wait, until, reply),
            Command::Remove { of, stop } => self.remove(&of, stop, wait, until, reply),
            Command::Reload { of, dry_run } => self.reload(&of, dry_run, wait, until, reply),
            Command::Reread => self.reread(until, reply),
            Command::Update(of) => self.update(&of, wait, until, reply),
            Command::Add(of) => self.add(&of, until, reply),
            Command::Shutdown { leave_running } => {
                let already = self.shutdown.is_some();
                let processes = self.procs.values().filter(|proc| !proc.machine.state().is_down()).count();
                let mut content = json!({ "processes": processes });
                if already {
                    content["message"] = "already shutting down".into();
                } else {
                    self.shut_down(leave_running);
                }
                reply(RequestAnswer::One(Response::done(content)));
            }
            Command::History { name, limit } => self.history(&name, limit, reply),
            Command::Status(of) => {
                let answer = self.status(&of);
                reply(RequestAnswer::One(answer));
            }
            Command::Signal { signal, to, group } => {
                let answer = self.signal_asked(signal, &to, group);
                reply(RequestAnswer::One(answer));
            }
            Command::Pid(of) => reply(RequestAnswer::One(self.pid(&of))),
            Command::Tail { name, channel, last, offset, follow, run } => {
                self.tail(&name, channel, run, LogPart { last, offset, follow }, reply);
            }
            Command::Maintail { last, follow } => self.own_tail(LogPart { last, offset: None, follow }, reply),
            Command::Clear(of) => reply(RequestAnswer::One(self.clear(&of))),
            Command::Fg { name } => self.attach(&name, reply),
            Command::Send { name, data } => reply(RequestAnswer::One(self.send(&name, &data))),
            Command::Avail => reply(RequestAnswer::One(self.avail())),
            Command::Version => reply(RequestAnswer::One(Response::done(json!({
                "version": env!("CARGO_PKG_VERSION"),
                "protocol": PROTOCOL,
                "identifier": self.config.server.identifier,
            })))),
            Command::Subscribe(filter) => {
                let words = filter.words();
                reply(RequestAnswer::Listen(Response::done(json!({ "events": words })), filter));
            }
            Command::Jobs(of) => reply(RequestAnswer::One(self.list_jobs(&of))),
            Command::Disown { of, running } => {
                let meant = self.meant(&of);
                let mut items = meant.failed;
                for name in &meant.names {
                    if running && !self.is_up(name) {
                        continue;
                    }
                    let group = self.procs.get(name).map(|proc| proc.spec.group.clone()).unwrap_or_default();
                    let pid = self.procs.get(name).and_then(|proc| proc.machine.pid());
                    self.log.warn(&format!("disowned: {name}: the process keeps running and will not be restarted"));
                    self.disown(name);
                    if let (Some(proc), Some(pid)) = (self.procs.get_mut(name), pid) {
                        proc.machine.disowned(pid);
                    }
                    items.push(ResultItem::done(group, name.clone()));
                }
                reply(RequestAnswer::One(Response::results(items, meant.single)));
            }
        }
        self.advance_waiters();
    }

    fn meant(&self, of: &Targets) -> Meant {
        let catalog = self.catalog();
        let selection = select(of, &catalog);
        let names: Vec<String> =
            selection.found.iter().filter_map(|at| catalog.get(*at)).map(|entry| entry.process.clone()).collect();
        let each = match of {
            Targets::All => false,
            Targets::Named { names: asked, .. } => asked.len() == names.len() + selection.failed.len(),
        };
        Meant { names, failed: selection.failed, single: selection.is_single, each }
    }

    fn is_up(&self, name: &str) -> bool {
        self.procs.get(name).is_some_and(|proc| proc.machine.state().is_live())
    }

    fn start(&mut self, of: &Targets, goal: Goal, wait: bool, until: Option<Duration>, reply: Reply) {
        let meant = self.meant(of);
        let ranks = self.ranks(|name| meant.names.iter().any(|meant| meant == name));
        let mut waiter = Waiter {
            pending: meant.names.iter().cloned().collect(),
            done: meant.failed,
            single: meant.single,
            reply: Some(reply),
            until,
            ..Waiter::new(goal)
        };
        let mut accepted = vec![];
        for rank in ranks_in_order(ranks) {
            match self.ask_start(&rank) {
                Ok(()) => accepted.push(rank),
                Err(item) => {
                    waiter.pending.remove(&rank);
                    let skipped = item.code == Some(Code::AlreadyStarted) && !meant.each;
                    waiter.done.extend((!skipped).then_some(*item));
                }
            }
        }
        // The waiter is registered before any process starts, so that it sees immediate events.
        let index = self.clients.waiters.len();
        self.clients.waiters.push(waiter);
        for name in accepted {
            if let Err(illegal) = self.feed(&name, Event::StartAsked) {
                let item = self.refused(&name, &illegal);
                if let Some(waiter) = self.clients.waiters.get_mut(index) {
                    waiter.pending.remove(&name);
                    waiter.done.push(item);
                }
            }
        }
        if let Some(waiter) = (index < self.clients.waiters.len()).then(|| self.clients.waiters.remove(index)) {
            self.wait(waiter, wait);
        }
    }

    /// Checks whether a process may be started: it is not down, or there is a file to execute.
    fn ask_start(&self, name: &str) -> Result<(), Box<ResultItem>> {
        let Some(proc) = self.procs.get(name) else {
            return Err(Box::new(ResultItem::failed("", name, Code::BadName, NO_PROCESS)));
        };
        if !proc.machine.state().is_down() {
            return Ok(());
        }
        let spec = proc.next.as_ref().unwrap_or(&proc.spec);
        match self.find_command(spec) {
            Ok(_) => Ok(()),
            // A temporary problem may be over when it is its turn.
            Err(why) if why.passing => Ok(()),
            Err(why) if why.not_found => Err(Box::new(self.failed_item(name, Code::NoFile, why.cause))),
            Err(why) => Err(Box::new(self.failed_item(name, Code::NotExecutable, why.cause))),
        }
    }

    fn refused(&self, name: &str, illegal: &Illegal) -> ResultItem {
        match illegal {
            Illegal::Refused(refusal) => self.failed_item(name, (*refusal).into(), refusal.to_string()),
            Illegal::Impossible { .. } => self.failed_item(name, Code::Failed, illegal.to_string()),
        }
    }

    fn stop(&mut self, of: &Targets, now: bool, wait: bool, until: Option<Duration>, reply: Reply) {
        let meant = self.meant(of);
        let mut waiter = Waiter {
            done: meant.failed,
            single: meant.single,
            reply: Some(reply),
            until,
            ..Waiter::new(Goal::Down { now })
        };
        for name in &meant.names {
            let state = self.procs.get(name).map(|proc| proc.machine.state());
            let is_down = matches!(state, Some(ProcState::Stopped | ProcState::Fatal))
                || (state == Some(ProcState::Exited)
                    && self.procs.get(name).is_some_and(|proc| proc.machine.next_try(Duration::ZERO).is_none()));
            match is_down {
                true if meant.each => waiter.done.push(self.failed_item(name, Code::NotRunning, "not running")),
                true => {}
                false => drop(waiter.pending.insert(name.clone())),
            }
        }
        let ranks = self.ranks(|name| waiter.pending.contains(name));
        waiter.sequence = Some(Sequence::stopping(ranks));
        self.wait(waiter, wait);
    }

    fn restart(&mut self, of: &Targets, wait: bool, until: Option<Duration>, reply: Reply) {
        let meant = self.meant(of);
        let all = *of == Targets::All;
        let mut waiter =
            Waiter { done: meant.failed, single: meant.single, reply: Some(reply), until, ..Waiter::new(Goal::Again) };
        for name in &meant.names {
            let left_alone = all
                && self
                    .procs
                    .get(name)
                    .is_some_and(|proc| !proc.machine.policy().autostart && proc.machine.state() == ProcState::Stopped);
            if left_alone {
                continue;
            }
            match self.ask_start(name) {
                Ok(()) => drop(waiter.pending.insert(name.clone())),
                Err(item) => waiter.done.push(*item),
            }
        }
        let ranks = self.ranks(|name| waiter.pending.contains(name));
        // Each process starts again as soon as it is down itself; tiers follow one after the other.
        waiter.sequence = Some(Sequence::stopping(ranks));
        self.wait(waiter, wait);
    }

    fn remove(&mut self, of: &Targets, stop: bool, wait: bool, until: Option<Duration>, reply: Reply) {
        let meant = self.meant(of);
        let up: Vec<&String> = meant
            .names
            .iter()
            .filter(|name| {
                !self
                    .procs
                    .get(*name)
                    .is_some_and(|proc| proc.machine.state().is_down() && proc.machine.state() != ProcState::Unknown)
            })
            .collect();
        if !stop && !up.is_empty() {
            let names = up.into_iter().cloned().collect::<Vec<_>>().join(", ");
            let error = WireError::new(Code::StillRunning, format!("still running: {names}")).about(names);
            return reply(RequestAnswer::One(Response::failed(error)));
        }
        let done: Vec<ResultItem> = meant.failed;
        let mut waiter =
            Waiter { done, single: meant.single, reply: Some(reply), until, ..Waiter::new(Goal::Down { now: false }) };
        for name in &meant.names {
            let item = self.item(name);
            self.config.processes.remove(name);
            match self.take_away(name) {
                true => waiter.done.extend(item),
                false => drop(waiter.pending.insert(name.clone())),
            }
        }
        self.wait(waiter, wait);
    }

    /// Removes a process once it is down; returns true if that is now.
    pub(super) fn take_away(&mut self, name: &str) -> bool {
        let Some(proc) = self.procs.get_mut(name) else { return true };
        proc.removing = true;
        proc.after = None;
        let state = proc.machine.state();
        if state.is_down() && state != ProcState::Unknown {
            // Cancels a pending restart.
            let _ = self.feed(name, Event::StopAsked { why: StopWhy::Remove, now: false });
            self.take_out(name);
            return true;
        }
        let _ = self.feed(name, Event::StopAsked { why: StopWhy::Remove, now: false });
        !self.procs.contains_key(name)
    }

    fn status(&mut self, of: &Targets) -> Response {
        self.look_at_config();
        let meant = self.meant(of);
        let processes: Vec<_> = meant.names.iter().filter_map(|name| self.status_of(name)).collect();
        let database = self.records.state();
        let daemon = json!({
            "pid": self.own.me.pid,
            "state": if self.shutdown.is_some() { "SHUTDOWN" } else { "RUNNING" },
            "version": env!("CARGO_PKG_VERSION"),
            "identifier": self.config.server.identifier,
            "config": self.config_state(),
            "database": { "path": self.own.db, "ok": database.is_ok(), "error": database.err() },
        });
        Response::status(daemon, &processes, meant.failed)
    }

    /// Returns the status of a process, including whether its configuration on disk differs.
    fn status_of(&self, name: &str) -> Option<crate::model::wire::ProcessInfo> {
        let mut info = self.info(name)?;
        info.config_changed |= self.is_changed(name);
        Some(info)
    }

    fn signal_asked(&mut self, signal: crate::model::task::Signal, to: &SignalTo, group: bool) -> Response {
        let meant = match to {
            SignalTo::Processes(of) => self.meant(of),
            SignalTo::Pid(pid) => {
                let found = self.procs.iter().find(|(_, proc)| proc.machine.pid() == Some(*pid));
                let Some((name, _)) = found else {
                    let why = format!("process {pid} is not supervised");
                    return Response::failed(WireError::new(Code::BadName, why).about(pid.to_string()));
                };
                Meant { names: vec![name.clone()], failed: vec![], single: true, each: true }
            }
        };
        let mut items = meant.failed;
        for name in &meant.names {
            match self.feed(name, Event::SignalAsked { signal, group }) {
                Ok(()) => items.extend(self.item(name)),
                Err(_) if !meant.each => {}
                Err(illegal) => items.push(self.refused(name, &illegal)),
            }
        }
        Response::results(items, meant.single)
    }

    fn pid(&self, of: &PidOf) -> Response {
        match of {
            PidOf::Daemon => Response::done(json!({ "pid": self.own.me.pid })),
            PidOf::Processes(of) => {
                let meant = self.meant(of);
                if let Some(failed) = meant.failure() {
                    return failed;
                }
                let pids: Vec<Value> = meant
                    .names
                    .iter()
                    .filter_map(|name| self.info(name))
                    .map(|info| json!({ "name": info.full_name(), "pid": info.pid }))
                    .collect();
                match meant.failed.is_empty() {
                    true => Response::done(Value::from(pids)),
                    false => {
                        Response { status: 207, ..Response::done(json!({ "pids": pids, "results": meant.failed })) }
                    }
                }
            }
        }
    }

    /// Returns the one process that a name selects.
    fn one(&self, name: &str) -> Result<(String, &Proc), WireError> {
        if name.contains(['*', '?']) || name.ends_with(':') {
            let error = WireError::new(Code::BadArgument, "name one process, not several");
            return Err(error.about(name));
        }
        let meant = self.meant(&Targets::processes([name]));
        if let Some(item) = meant.failed.first() {
            return Err(WireError::new(item.code.unwrap_or(Code::BadName), item.message.clone()).about(name));
        }
        match &meant.names[..] {
            [one] => match self.procs.get(one) {
                Some(proc) => Ok((one.clone(), proc)),
                None => Err(WireError::new(Code::BadName, NO_PROCESS).about(name)),
            },
            [] => Err(WireError::new(Code::BadName, NO_PROCESS).about(name)),
            several => {
                let names = several.join(", ");
                Err(WireError::new(Code::Ambiguous, format!("ambiguous: {names}")).about(name))
            }
        }
    }

    /// Answers with a part of a log of a process, or of one of its runs.
    fn tail(&self, name: &str, channel: Channel, run: Option<i64>, part: LogPart, reply: Reply) {
        let source = self.one(name).and_then(|(_, proc)| {
            if let Some(task) = run {
                return Ok(LogSource::Run { db: self.own.db.clone(), process: proc.spec.full_name(), task });
            }
            let what = channel.as_str();
            let stream = if channel == Channel::Stdout { 1 } else { 2 };
            let path = self.log_path(&proc.spec, stream);
            let path =
                path.ok_or_else(|| WireError::new(Code::NoFile, format!("its {what} is not logged to a file")))?;
            is_file(&path, &format!("its {what}"))?;
            Ok(LogSource::Stream { path, channel, writer: Arc::clone(&proc.writer) })
        });
        match source {
            Ok(source) => {
                let name = name.to_owned();
                self.clients
                    .readers
                    .run(move || reply(source.read(&part).unwrap_or_else(|error| refuse(error.about(name)))));
            }
            Err(error) => reply(refuse(error.about(name))),
        }
    }

    /// Answers with a part of the supervisor's own log.
    fn own_tail(&self, part: LogPart, reply: Reply) {
        let none = || WireError::new(Code::NoFile, "the supervisor keeps no log");
        let path = self.config.server.logfile.clone().ok_or_else(none);
        match path.and_then(|path| is_file(&path, "the activity log").map(|()| path)) {
            Ok(path) => {
                self.clients.readers.run(move || reply(LogSource::Own(path).read(&part).unwrap_or_else(refuse)))
            }
            Err(error) => reply(refuse(error)),
        }
    }

    /// Answers with the ends of the logs of a process, which its output follows.
    fn attach(&self, name: &str, reply: Reply) {
        let (name, proc) = match self.one(name) {
            Ok((_, proc)) if !proc.machine.state().is_live() => {
                return reply(refuse(WireError::new(Code::NotRunning, "not running").about(name)));
            }
            Ok(found) => found,
            Err(error) => return reply(refuse(error)),
        };
        let log = |(channel, stream)| {
            let path = self.log_path(&proc.spec, stream).filter(|path| standard_stream(path).is_none())?;
            Some((channel, path))
        };
        let logs: Vec<(Channel, PathBuf)> =
            [(Channel::Stdout, 1), (Channel::Stderr, 2)].into_iter().filter_map(log).collect();
        let content = json!({ "process": self.info(&name), "stdin": proc.spec.stdin == Stdin::Pipe });
        let full = proc.spec.full_name();
        self.clients.readers.run(move || {
            let ends = logs.into_iter().map(|(channel, path)| end_of(channel, path)).collect();
            reply(RequestAnswer::Attach(Response::done(content), ends, full));
        });
    }

    fn send(&self, name: &str, data: &str) -> Response {
        let sent = self.one(name).and_then(|(own, proc)| {
            let refused = |code, why: &str| Err(WireError::new(code, why).about(name));
            if !proc.machine.state().is_live() {
                return refused(Code::NotRunning, "not running");
            }
            if proc.spec.stdin != Stdin::Pipe {
                return refused(Code::Stopping, "its input is not a pipe; set stdin = \"pipe\"");
            }
            self.write_input(&own, data.as_bytes()).map_err(|(sent, error)| {
                let why = match error.kind() {
                    std::io::ErrorKind::WouldBlock => "the shim's command queue is full".to_owned(),
                    _ => error.to_string(),
                };
                let why = format!("{sent} of {} bytes were sent: {why}", data.len());
                WireError::new(Code::Failed, why).about(name)
            })
        });
        match sent {
            Ok(()) => Response::done(json!({ "written": data.len() })),
            Err(error) => Response::failed(error),
        }
    }

    fn clear(&self, of: &Targets) -> Response {
        let meant = self.meant(of);
        let mut items = meant.failed;
        for name in &meant.names {
            let Some(proc) = self.procs.get(name) else { continue };
            let user = proc.spec.user.as_deref().and_then(account::uid);
            let paths = [1, 2].into_iter().filter_map(|stream| self.log_path(&proc.spec, stream));
            // A stream of the supervisor itself cannot be emptied.
            let cleared: Result<(), String> =
                paths.filter(|path| standard_stream(path).is_none()).try_for_each(|path| {
                    match proglog::truncate(&path, user) {
                        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                            Err(format!("cannot clear log {}: {error}", path.display()))
                        }
                        Ok(()) | Err(_) => Ok(()),
                    }
                });
            items.extend(match cleared {
                Ok(()) => self.item(name),
                Err(why) => Some(self.failed_item(name, Code::Failed, why)),
            });
        }
        Response::results(items, meant.single)
    }

    fn avail(&mut self) -> Response {
        self.look_at_config();
        let row = |proc: &Proc| {
            json!({
                "name": proc.spec.full_name(),
                "group": proc.spec.group,
                "in_use": true,
                "autostart": proc.spec.policy.autostart,
                "group_priority": proc.spec.group_priority,
                "program_priority": proc.spec.policy.priority,
                "config_changed": proc.next.is_some() || self.is_changed(&proc.spec.name),
            })
        };
        let mut rows: Vec<Value> = self.procs.values().map(row).collect();
        rows.extend(self.unused());
        rows.sort_by_key(|row| row["name"].as_str().unwrap_or_default().to_owned());
        Response::done(json!({ "processes": rows }))
    }

    fn list_jobs(&mut self, of: &Targets) -> Response {
        // A job number that was shown must survive a crash of the supervisor.
        if self.kept.jobs_due.is_some() {
            self.write_jobs();
        }
        let meant = self.meant(of);
        if let Some(failed) = meant.failure() {
            return failed;
        }
        let job = |name: &String| {
            let (process, proc) = (self.status_of(name)?, self.procs.get(name)?);
            let words: Vec<&str> =
                std::iter::once(&proc.spec.command).chain(&proc.spec.args).map(String::as_str).collect();
            let info = JobInfo {
                number: self.kept.jobs.of(name)?,
                command: words.join(" "),
                paused: self.paused(name).map(|signal| signal.to_string()),
                pgid: Some(process.pid).filter(|pid| *pid > 0),
                process,
            };
            serde_json::to_value(info).ok()
        };
        let jobs: Vec<Value> = meant.names.iter().filter_map(job).collect();
        match meant.failed.is_empty() {
            true => Response::done(json!({ "jobs": jobs })),
            false => Response { status: 207, ..Response::done(json!({ "jobs": jobs, "results": meant.failed })) },
        }
    }

    fn history(&mut self, name: &str, limit: u64, reply: Reply) {
        // Runs of a removed program are still in the history; only a name without runs is reported
        // as unknown.
        let (full, unknown) = match self.one(name) {
            Ok((_, proc)) => (proc.spec.full_name(), None),
            Err(error) => (name.to_owned(), Some(error)),
        };
        self.records.history(
            full,
            limit,
            Box::new(move |rows| {
                let has_none = |rows: &Value| rows["rows"].as_array().is_none_or(Vec::is_empty);
                reply(RequestAnswer::One(match (rows, unknown) {
                    (Ok(rows), Some(error)) if has_none(&rows) => Response::failed(error),
                    (Ok(rows), _) => Response::done(rows),
                    (Err(why), _) => Response::failed(WireError::new(Code::DbError, why)),
                }));
            }),
        );
    }
}

fn ranks_in_order(ranks: Vec<crate::model::machine::Rank>) -> Vec<String> {
    crate::model::machine::start_order(ranks)
}
