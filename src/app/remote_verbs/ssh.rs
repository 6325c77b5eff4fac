//! The same verbs for hosts that run taskwatcher, through ssh. `wait` and a followed log survive a lost connection. The
//! end of a task is stored immediately, before any sync.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::{
    LIMIT, Polls, RemoteCommand, RemoteFailure, RemoteWaited, flag,
    heard::{self, HeardTask},
    name_there, option, words,
};
use crate::{
    app::{
        control::{ControlError, Desk, Done},
        control_args as args,
        remote::ssh::end_of,
        show,
    },
    io::{
        ssh::{RemoteOutput, SshError, run},
        store::{Batch, Remote, Store},
        sys,
    },
    model::{
        remote::{RemoteEnd, RemoteLive, RemoteTask},
        task::{RemoteName, RemoteTaskRef, Signal, Stored, TaskRef, exit_code},
        upid::Upid,
    },
};

/// Time beyond the timeout of `wait`, because connecting takes some time.
const SLACK: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a success, so the pauses between retries start again.
const HELD: Duration = Duration::from_secs(30);
/// Maximum number of lines in a response to `show`, and of lines in a response to `wait` that are not about a task.
const STRANGE_LINES: usize = 100;
/// Maximum size of a response to `show`, in bytes.
const LONGEST_SHOWN: usize = 64 << 20;
/// Maximum number of tasks whose ends are requested by one command line.
const ASKED: usize = 500;

/// A host that runs taskwatcher, and how to reach it.
pub(super) struct SshHost {
    pub name: RemoteName,
    pub remote: Remote,
    /// Host for ssh.
    pub host: String,
    /// Path of the database there, if it is not the default.
    pub db: Option<String>,
}

impl SshHost {
    /// Returns a command whose output is that of `control`, not of a task.
    pub(super) fn errand(&self, words: Vec<String>) -> RemoteCommand<'_> {
        let (remote, host, db) = (&self.remote.name, &self.host, self.db.as_deref());
        RemoteCommand { remote, host, db, words, log: false, raw: false, whole: false, silence: None, until: None }
    }

    /// Like [`SshHost::errand`], for a command with a short response, which must arrive within a time limit.
    pub(super) fn short_errand(&self, words: Vec<String>) -> RemoteCommand<'_> {
        let until = sys::now().mono.saturating_add(LIMIT);
        RemoteCommand { silence: Some(LIMIT), until: Some(until), ..self.errand(words) }
    }

    fn too_long(&self) -> ControlError {
        ControlError::Remote(self.remote.name.clone(), "its response is too long".to_owned())
    }

    /// Stores the ends of these tasks, as reported by `show` of their host. If the host no longer responds, the outcome
    /// that `wait` reported is stored with the current time as the end; the next sync corrects the time. Returns a
    /// message about ends that could not be stored.
    fn keep(&self, store: &mut Store, heard: &mut Vec<HeardTask>) -> Option<String> {
        let mut lost: Vec<String> = vec![];
        let mut why = String::new();
        for some in heard.chunks(ASKED) {
            let show =
                |end: &HeardTask| self.errand(vec!["show".into(), "--json".into(), end.number.to_string()]).line();
            let line = some.iter().map(show).collect::<Vec<_>>().join("; ");
            let mut ended = vec![];
            let asked = run::<SshError>(&self.host, &line, Some(LIMIT), |heard| {
                if let RemoteOutput::Output(line) = heard
                    && let Ok(task) = serde_json::from_slice::<Value>(line)
                    && task["upid"].is_string()
                {
                    ended.extend(end_of(&task, ""));
                }
                Ok(())
            });
            let now = sys::now().wall.secs();
            let is_missing = |end: &&HeardTask| !ended.iter().any(|known| known.upid.number() == Some(end.number));
            let missing: Vec<&HeardTask> = some.iter().filter(is_missing).collect();
            if !missing.is_empty() {
                let live = store.remote_active(Some(&self.remote.name)).unwrap_or_default();
                for end in missing {
                    match to_end(end, &live, now) {
                        Some(end) => ended.push(end),
                        // A task that its host shows as live was not ended by `kill`.
                        None if asked.is_err() => lost.push(format!("{}!{}", self.remote.name, end.number)),
                        None => {}
                    }
                }
            }
            if let Err(error) = asked {
                why = error.to_string();
            }
            if ended.is_empty() {
                continue;
            }
            let numbers: Vec<i64> = ended.iter().filter_map(|end| end.upid.number()).collect();
            let batch = Batch { ended, aside: true, now, ..Batch::default() };
            if let Err(error) = store.add_remote_tasks(self.remote.id, &batch) {
                lost.extend(numbers.iter().map(|number| format!("{}!{number}", self.remote.name)));
                why = error.to_string();
            }
        }
        heard.clear();
        let tasks = if lost.len() == 1 { "task" } else { "tasks" };
        let said =
            || format!("the end of {tasks} {} is not stored here ({why}); the next sync fetches it", lost.join(", "));
        (!lost.is_empty()).then(|| show::clean(&format!("remote {}: {}", self.remote.name, said())))
    }

    /// Returns the stored end of a task, if there is one.
    fn stored(&self, store: &Store, task: &TaskRef) -> Result<Option<RemoteTask>, ControlError> {
        let remote = &self.remote.name;
        Ok(match (task, number(task)) {
            (TaskRef::Upid(upid), _) => store.remote_ended(remote, upid.own(), upid.starttime)?,
            (_, Some(number)) => store.remote_ended_number(remote, number)?,
            (_, None) => None,
        })
    }

    /// Returns the name of a task in lists.
    pub(super) fn local(&self, task: &TaskRef) -> String {
        let there = number(task).map_or_else(|| name_there(task), |number| number.to_string());
        format!("{}!{there}", self.remote.name)
    }
}

/// Returns the task id of a task on its host.
fn number(task: &TaskRef) -> Option<i64> {
    match task {
        TaskRef::Remote(_, RemoteTaskRef::Number(id)) | TaskRef::Id(id) => Some(id.0),
        TaskRef::Upid(upid) => upid.number(),
        TaskRef::Remote(_, RemoteTaskRef::Started { .. }) | TaskRef::Handle(_) => None,
    }
}

/// Returns a reported end, or `None` if the report lacks data. `live`: the known running tasks of the host.
fn to_end(heard: &HeardTask, live: &[RemoteLive], now: i64) -> Option<RemoteEnd> {
    let outcome = heard.outcome.as_ref()?.to_string();
    let is_it = |live: &&RemoteLive| match &heard.upid {
        Some(upid) => live.run.upid.as_str() == upid.own(),
        None => live.run.upid.value().and_then(Upid::number) == Some(heard.number),
    };
    let known = live.iter().find(is_it);
    let upid = heard.upid.as_ref().or(known.and_then(|live| live.run.upid.value()))?;
    let mut task: Value = known.and_then(|live| serde_json::from_str(&live.run.detail).ok()).unwrap_or_default();
    if !task.is_object() {
        task = json!({});
    }
    let name = task["name"].as_str().map(str::to_owned);
    let name = name.unwrap_or_else(|| upid.worker_type().to_owned());
    let fields =
        [("upid", upid.own().into()), ("outcome", outcome.into()), ("endtime", now.into()), ("taskname", name.into())];
    task.as_object_mut()?.extend(fields.map(|(key, value): (&str, Value)| (key.to_owned(), value)));
    end_of(&task, "")
}

impl Desk<'_, '_> {
    /// Prints the stored ends of the tasks that the host has forgotten, and takes them out of `tasks`, as those that were
    /// reported. Returns whether there is one; notes in `failed` whether a task failed.
    fn take_forgotten(
        &mut self,
        store: &Store,
        there: &SshHost,
        tasks: &mut Vec<TaskRef>,
        reported: &mut HashSet<i64>,
        failed: &mut bool,
    ) -> Result<bool, ControlError> {
        let mut forgotten = vec![];
        for task in std::mem::take(tasks) {
            let stored = there.stored(store, &task)?;
            let was_reported = number(&task).is_some_and(|number| reported.contains(&number));
            if stored.as_ref().is_none_or(|ended| !ended.outcome.class().is_success()) {
                *failed |= was_reported || stored.is_some();
            }
            match stored {
                _ if was_reported => {}
                Some(ended) => forgotten.push((task, ended)),
                None => tasks.push(task),
            }
        }
        for (task, ended) in &forgotten {
            reported.extend(number(task));
            self.report_stored(&there.remote, &there.local(task), &"it does not know the task");
            self.print_stored(there, task, ended)?;
        }
        Ok(!forgotten.is_empty())
    }

    /// Prints the stored ends of tasks of a host that does not respond, and takes them out of `tasks`. Returns whether one
    /// of them failed.
    fn take_stored(
        &mut self,
        store: &Store,
        there: &SshHost,
        tasks: &mut Vec<TaskRef>,
        reported: &mut HashSet<i64>,
        error: &RemoteFailure,
    ) -> Result<bool, ControlError> {
        let mut failed = false;
        for task in std::mem::take(tasks) {
            let Some(ended) = there.stored(store, &task)? else {
                tasks.push(task);
                continue;
            };
            failed |= !ended.outcome.class().is_success();
            if number(&task).is_none_or(|number| reported.insert(number)) {
                self.report_stored(&there.remote, &there.local(&task), error);
                self.print_stored(there, &task, &ended)?;
            }
        }
        Ok(failed)
    }

    pub(super) fn wait_ssh(&mut self, store: &mut Store, there: &SshHost, wanted: &args::WaitArgs) -> Done {
        let remote = &there.remote.name;
        let end = wanted.timeout.map(|timeout| sys::now().mono.saturating_add(timeout));
        // Tasks that were reported already. The host reports them again when it is asked again.
        let mut reported: HashSet<i64> = HashSet::new();
        let mut tasks: Vec<TaskRef> = wanted.tasks.clone();
        let mut code = 0;
        let mut failed_there = false;
        let mut polls = Polls::default();
        loop {
            let began = sys::now().mono;
            let left = end.map(|end| end.saturating_sub(began));
            let timeout = left.map(|left| format!("{}s", left.as_secs_f64()));
            let options = [option("--timeout", timeout), flag("--any", wanted.any), flag("--json", self.json)];
            let words = words("wait", &tasks, options.into_iter().flatten());
            let silence = left.map(|left| left.saturating_add(SLACK));
            let until = silence.map(|silence| began.saturating_add(silence));
            let errand = RemoteCommand { silence, until, ..there.errand(words) };
            let mut ended = vec![];
            let mut heard = false;
            let mut strange = 0;
            let ran = self.run_there(&errand, |desk, line| {
                let Some(line) = line else {
                    desk.out.data.flush()?;
                    there.keep(store, &mut ended).into_iter().for_each(|text| desk.report(&text));
                    return Ok(());
                };
                heard = true;
                match HeardTask::of_wait(&there.name, line, desk.json) {
                    Ok(task) if reported.insert(task.number) => {
                        desk.print(&task.line)?;
                        ended.push(task);
                    }
                    Ok(_) => {}
                    Err(text) => {
                        strange += 1;
                        if strange > STRANGE_LINES {
                            return Err(there.too_long());
                        }
                        desk.print(&text)?;
                    }
                }
                Ok(())
            });
            let error = match ran {
                Ok(0) => return Ok(code),
                Ok(exit_code::FAILED) => {
                    // Either a task failed, or the host has forgotten one.
                    let asked = tasks.len();
                    if !self.take_forgotten(store, there, &mut tasks, &mut reported, &mut failed_there)? {
                        return Ok(exit_code::FAILED);
                    }
                    code = if failed_there { exit_code::FAILED } else { code };
                    if tasks.is_empty() || (wanted.any && tasks.len() < asked) {
                        return Ok(code);
                    }
                    continue;
                }
                Ok(other) => return Ok(other),
                Err(RemoteFailure::Control(error)) => return Err(error),
                Err(error @ (RemoteFailure::Ssh(_) | RemoteFailure::Unsupported(_))) => error,
            };
            // An end never changes, so a stored end is as good as one from the host.
            let asked = tasks.len();
            if self.take_stored(store, there, &mut tasks, &mut reported, &error)? {
                code = exit_code::FAILED;
            }
            if tasks.is_empty() || (wanted.any && tasks.len() < asked) {
                return Ok(code);
            }
            let error = match error {
                RemoteFailure::Ssh(error) if error.may_pass() => error,
                error => return Err(error.of(remote)),
            };
            let now = sys::now().mono;
            if end.is_some_and(|end| end <= now) {
                self.report(&show::clean(&format!("remote {remote}: {error}")));
                for task in tasks.iter().filter(|task| number(task).is_none_or(|n| !reported.contains(&n))) {
                    self.report_running(there, task)?;
                }
                return Ok(exit_code::TIMED_OUT);
            }
            if heard || now.saturating_sub(began) > HELD {
                polls = Polls::default();
            }
            polls.failed(self, remote, &error, end);
        }
    }

    fn print_stored(&mut self, there: &SshHost, task: &TaskRef, ended: &RemoteTask) -> Result<(), ControlError> {
        self.say_waited(RemoteWaited {
            remote: &there.remote.name,
            name: there.local(task),
            number: number(task).unwrap_or_default(),
            upid: Some(ended.upid.clone()),
            outcome: Some(&ended.outcome),
        })
    }

    /// Shows a task with the data of its host, or with the stored data if the host does not know the task or does not
    /// respond.
    pub(super) fn show_ssh(&mut self, store: &Store, there: &SshHost, task: &TaskRef) -> Done {
        let words = words("show", std::slice::from_ref(task), Some("--json".to_owned()));
        let name = there.local(task);
        let errand = there.short_errand(words);
        let mut text = Vec::new();
        let mut lines = 0;
        let ran = self.run_there(&errand, |_, line| {
            lines += usize::from(line.is_some());
            text.extend_from_slice(line.unwrap_or_default());
            // Lines are counted too, because empty lines could continue forever.
            match text.len() > LONGEST_SHOWN || lines > STRANGE_LINES {
                true => Err(there.too_long()),
                false => Ok(()),
            }
        });
        let stored = || there.stored(store, task);
        match ran {
            Ok(0) => self.show_far(&there.remote.name, &name, &text),
            Ok(code) => match stored()? {
                Some(ended) => self.show_stored(&there.remote, &name, &ended, &"it does not know the task"),
                None => Ok(code),
            },
            Err(RemoteFailure::Control(error)) => Err(error),
            Err(error) => match stored()? {
                Some(ended) => self.show_stored(&there.remote, &name, &ended, &error),
                None => Err(error.of(&there.remote.name)),
            },
        }
    }

    /// Reports that a task had not ended at the last contact.
    fn report_running(&mut self, there: &SshHost, task: &TaskRef) -> Result<(), ControlError> {
        self.say_waited(RemoteWaited {
            remote: &there.remote.name,
            name: there.local(task),
            number: number(task).unwrap_or_default(),
            upid: if let TaskRef::Upid(upid) = task { Some(Stored::Value(upid.without_remote())) } else { None },
            outcome: None,
        })
    }

    pub(super) fn kill_ssh(&mut self, store: &mut Store, there: &SshHost, wanted: &args::Kill) -> Done {
        let how = &wanted.how;
        let options = [
            option("--signal", how.signal.map(|signal: Signal| signal.to_string())),
            flag("--now", how.now),
            flag("--no-wait", how.no_wait),
            flag("--force", how.force),
            flag("--json", true),
        ];
        let errand = there.errand(words("kill", &wanted.tasks, options.into_iter().flatten()));
        let mut ended = vec![];
        let ran = self.run_there(&errand, |desk, line| {
            let Some(line) = line else {
                desk.out.data.flush()?;
                there.keep(store, &mut ended).into_iter().for_each(|text| desk.report(&text));
                return Ok(());
            };
            match heard::killed(&there.name, line) {
                Ok(report) => {
                    let number = number(&report.task).filter(|_| !how.no_wait);
                    let heard = |number| HeardTask { number, upid: None, outcome: None, line: String::new() };
                    ended.extend(number.map(heard));
                    Ok(desk.say_killed(Ok(report), &mut 0)?)
                }
                Err(text) => Ok(desk.print(&text)?),
            }
        });
        ran.map_err(|far| far.of(&there.remote.name))
    }

    pub(super) fn log_ssh(&mut self, there: &SshHost, wanted: &args::Log) -> Done {
        // For a terminal, the output is sanitized here.
        let raw = wanted.raw || (self.out.width)().is_none() || self.json;
        let whole = self.json && !wanted.follow;
        let errand = |words| RemoteCommand { log: true, raw, whole, ..there.errand(words) };
        let more = [flag("--no-time", wanted.no_time), flag(if self.json { "--json" } else { "--raw" }, true)];
        let said = |options: Vec<Option<String>>| {
            words("log", std::slice::from_ref(&wanted.task), options.into_iter().chain(more.clone()).flatten())
        };
        if !wanted.follow {
            let start = (wanted.start > 0).then_some(wanted.start);
            let options =
                vec![option("--tail", wanted.tail), option("--start", start), option("--limit", wanted.limit)];
            return self.errand(&RemoteCommand { silence: Some(LIMIT), ..errand(said(options)) });
        }
        let remote = &there.remote.name;
        let mut polls = Polls::default();
        let mut read = Read { next: wanted.start, left: wanted.limit, last: None };
        if let Some(tail) = wanted.tail {
            read.next = loop {
                match self.first_of_tail(there, &wanted.task, tail) {
                    Err(RemoteFailure::Ssh(error)) if error.may_pass() => polls.failed(self, remote, &error, None),
                    first => break first.map_err(|far| far.of(remote))?,
                }
            };
        }
        loop {
            // Starts with the last line that was read, to detect whether the log was truncated meanwhile.
            let before = read.last.clone();
            let again = u64::from(before.is_some());
            let options = vec![
                flag("--follow", true),
                option("--start", Some(read.next - again)),
                option("--limit", read.left.map(|left| left + again)),
            ];
            let errand = errand(said(options));
            let mut before = before;
            let mut heard = false;
            let began = sys::now().mono;
            let ran = self.run_there(&errand, |desk, line| {
                if let Some(line) = line {
                    heard = true;
                    if let Some(before) = before.take() {
                        if before == line {
                            return Ok(());
                        }
                        desk.report(&format!("remote {remote}: {CUT}"));
                    }
                    read.see(line);
                }
                desk.hand_on(&errand, line)
            });
            match ran {
                Err(RemoteFailure::Ssh(error)) if error.may_pass() && read.left != Some(0) => {
                    if heard || sys::now().mono.saturating_sub(began) > HELD {
                        polls = Polls::default();
                    }
                    polls.failed(self, remote, &error, None);
                }
                Err(RemoteFailure::Ssh(_)) if read.left == Some(0) => return Ok(0),
                Ok(0) if before.is_some() => {
                    self.report(&format!("remote {remote}: {CUT}"));
                    return Ok(0);
                }
                ran => return ran.map_err(|far| far.of(remote)),
            }
        }
    }

    /// Returns the number of lines before the last `tail` lines of a log, from which the log can be followed.
    fn first_of_tail(&mut self, there: &SshHost, task: &TaskRef, tail: usize) -> Result<u64, RemoteFailure> {
        let options = [option("--tail", Some(tail.max(1))), option("--limit", Some(1)), flag("--json", true)];
        let words = words("log", std::slice::from_ref(task), options.into_iter().flatten());
        let mut number = None;
        run(&there.host, &there.errand(words).line(), Some(LIMIT), |heard| {
            if let RemoteOutput::Output(line) = heard
                && let Ok(lines) = serde_json::from_slice::<Value>(line)
            {
                number = lines[0]["n"].as_u64();
            }
            // A task without a log yet prints a message instead; there is nothing before its first line.
            Ok::<(), RemoteFailure>(())
        })?;
        Ok(number.map_or(0, |number| if tail == 0 { number } else { number.saturating_sub(1) }))
    }
}

/// Message of a follower that cannot continue where it was.
const CUT: &str = "the beginning of the log was dropped meanwhile; lines may be missing here";

/// The progress of following a log.
struct Read {
    /// Number of lines before the next one.
    next: u64,
    /// Number of lines still wanted.
    left: Option<u64>,
    /// The last line.
    last: Option<Vec<u8>>,
}

impl Read {
    fn see(&mut self, line: &[u8]) {
        self.next += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(line);
    }
}
