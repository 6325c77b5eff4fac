//! `wait`, `log`, `kill`, `show` and `feedback` for tasks of other hosts, carried out by their hosts.
//!
//! On a host that runs taskwatcher its own `control` does it; a Proxmox host is asked by its API (`far/proxmox.rs`).
//! What `control` there prints is read in `heard.rs` only.
//! What comes back is another host's word: it goes to a terminal as a task's own output does, without anything that
//! could act on it.

mod heard;
mod proxmox;
mod ssh;

use std::{fmt, time::Duration};

use serde_json::{Value, json};

use super::{
    control::{ControlError, Desk, Done},
    control_args::Verb,
    remote::{known, remotes_of},
    show,
};
use crate::{
    io::{
        ssh::{RemoteOutput, SshError, run},
        store::Remote,
        sys,
    },
    model::{
        ansi,
        proxmox_access::Product,
        remote::{RemoteTask, Source},
        task::{Outcome, RemoteName, RemoteTaskRef, Stored, TaskRef, exit_code},
        upid::Upid,
    },
};

/// Longest silence of a host that is asked about one task, or for a log.
const LIMIT: Duration = Duration::from_secs(30);
/// Pause before the first retry after a failed request.
const AGAIN: Duration = Duration::from_secs(1);
/// How many times the pause is doubled for further retries, up to half a minute.
const LONGEST_DOUBLED: u32 = 5;

/// A command of `control` on a remote.
struct RemoteCommand<'a> {
    remote: &'a str,
    /// Host for ssh.
    host: &'a str,
    /// Path of the database there, if it is not the default.
    db: Option<&'a str>,
    words: Vec<String>,
    /// Whether the output is that of a task, not of `control`.
    log: bool,
    /// Whether to pass on all bytes unchanged.
    raw: bool,
    /// Whether the output is useful only if it is complete (a JSON array).
    whole: bool,
    /// Longest silence. `None`: as long as the connection holds.
    silence: Option<Duration>,
    /// When to give up even if data arrives, on the monotonic clock. `None`: never.
    until: Option<Duration>,
}

fn remote_of(task: &TaskRef) -> Option<&str> {
    match task {
        TaskRef::Upid(upid) => upid.remote(),
        TaskRef::Remote(remote, _) => Some(remote.as_str()),
        TaskRef::Id(_) | TaskRef::Handle(_) => None,
    }
}

/// Returns the name of a task on its own host. A task that has no UPID there is named by its number, see `app/remote`.
fn name_there(task: &TaskRef) -> String {
    match task {
        TaskRef::Remote(_, task) => task.to_string(),
        TaskRef::Upid(upid) => match upid.number() {
            Some(number) if upid.pid == 0 && upid.pstart == 0 => number.to_string(),
            _ => upid.own().to_owned(),
        },
        TaskRef::Id(_) | TaskRef::Handle(_) => task.to_string(),
    }
}

fn words(verb: &str, tasks: &[TaskRef], more: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words = vec![verb.to_owned()];
    words.extend(more);
    words.extend(tasks.iter().map(name_there));
    words
}

/// Returns an option with its value, if given.
fn option(name: &str, value: Option<impl ToString>) -> Option<String> {
    value.map(|value| format!("{name}={}", value.to_string()))
}

fn flag(name: &str, given: bool) -> Option<String> {
    given.then(|| name.to_owned())
}

impl Desk<'_, '_> {
    /// Carries out a verb whose tasks are of another host. `None` if it is about this host.
    pub(super) fn far(&mut self, verb: &Verb) -> Option<Done> {
        let tasks: &[TaskRef] = match verb {
            Verb::Show(one) | Verb::Feedback(one) => std::slice::from_ref(&one.task),
            Verb::Log(wanted) => std::slice::from_ref(&wanted.task),
            Verb::RunAgain(wanted) => std::slice::from_ref(&wanted.task),
            Verb::Wait(wanted) => &wanted.tasks,
            Verb::Kill(wanted) => &wanted.tasks,
            _ => return None,
        };
        let remotes = remotes_of(tasks.iter().map(remote_of));
        let mut named = remotes.iter().flatten();
        let name = (*named.next()?).to_owned();
        if remotes.len() > 1 {
            return Some(Err(ControlError::ManyHosts));
        }
        Some(self.far_verb(verb, tasks, &name))
    }

    fn far_verb(&mut self, verb: &Verb, tasks: &[TaskRef], name: &str) -> Done {
        let mut store = self.open()?;
        let remote = known(&store, name)?;
        let (host, db) = match &remote.source {
            Source::Ssh { host, db } => (host.clone(), db.clone()),
            Source::Pve(api) => return self.far_api(verb, tasks, store, remote.clone(), (Product::Pve, api)),
            Source::Pbs(api) => return self.far_api(verb, tasks, store, remote.clone(), (Product::Pbs, api)),
        };
        if tasks.iter().any(|task| matches!(task, TaskRef::Remote(_, RemoteTaskRef::Started { .. }))) {
            return Err(ControlError::BeganThere(remote.name));
        }
        let there = ssh::SshHost { name: named(&remote)?, remote, host, db };
        match verb {
            Verb::Show(one) => self.show_ssh(&store, &there, &one.task),
            Verb::Feedback(_) => self.errand(&there.short_errand(words("feedback", tasks, None))),
            Verb::Log(wanted) => self.log_ssh(&there, wanted),
            Verb::Wait(wanted) => self.wait_ssh(&mut store, &there, wanted),
            Verb::Kill(wanted) => self.kill_ssh(&mut store, &there, wanted),
            _ => Err(ControlError::NotThere(there.remote.name)),
        }
    }

    fn errand(&mut self, errand: &RemoteCommand<'_>) -> Done {
        if errand.whole {
            let mut text = Vec::new();
            let ran = self.run_there(errand, |_, line| {
                if let Some(line) = line {
                    text.extend_from_slice(line);
                    text.push(b'\n');
                }
                Ok(())
            });
            let code = ran.map_err(|far| far.of(errand.remote))?;
            if code == 0 {
                self.out.data.write_all(&text)?;
            }
            return Ok(code);
        }
        let ran = self.run_there(errand, |desk, line| desk.hand_on(errand, line));
        ran.map_err(|far| far.of(errand.remote))
    }

    /// Prints a line of the remote command. `None`: there are no more lines for now.
    fn hand_on(&mut self, errand: &RemoteCommand<'_>, line: Option<&[u8]>) -> Result<(), ControlError> {
        let Some(line) = line else { return Ok(self.out.data.flush()?) };
        match (errand.raw, errand.log) {
            (true, _) => self.out.data.write_all(line)?,
            (false, true) => self.out.data.write_all(ansi::fit(line).as_bytes())?,
            (false, false) => self.out.data.write_all(show::clean(&String::from_utf8_lossy(line)).as_bytes())?,
        }
        Ok(self.out.data.write_all(b"\n")?)
    }

    /// Prints the output of `show` of the remote.
    fn show_far(&mut self, remote: &str, name: &str, text: &[u8]) -> Done {
        let bad = || ControlError::Remote(remote.to_owned(), "its response is not JSON".to_owned());
        let mut value: Value = serde_json::from_slice(text).map_err(|_| bad())?;
        if !value.is_object() {
            return Err(bad());
        }
        of_remote(remote, &mut value);
        self.print_shown(name, &value)
    }

    /// Prints all details of a task, with its last lines.
    fn print_shown(&mut self, name: &str, value: &Value) -> Done {
        if self.json {
            self.print(&value.to_string())?;
            return Ok(0);
        }
        if let Some(words) = show::failure_there(name, value) {
            self.print(&format!("{words}\n"))?;
        }
        self.print(&show::details(value))?;
        let lines = value["lastlines"].as_array().into_iter().flatten();
        let lines: Vec<String> = lines.filter_map(Value::as_str).map(show::clean).collect();
        if !lines.is_empty() {
            self.print(&format!("\nlast lines (full log: control log {name}){}", show::quoted(&lines)))?;
        }
        Ok(0)
    }

    /// Reports that the stored end of a task is used, because its host does not respond.
    fn report_stored(&mut self, remote: &Remote, name: &str, error: &dyn fmt::Display) {
        let text = format!("remote {}: {error}; the end of task {name} is known from the last sync", remote.name);
        self.report(&show::clean(&text));
    }

    /// Shows the stored end of a task, because its host does not respond.
    fn show_stored(&mut self, remote: &Remote, name: &str, ended: &RemoteTask, error: &dyn fmt::Display) -> Done {
        self.report_stored(remote, name, error);
        self.print_shown(name, &stored_json(remote, ended))
    }

    /// Runs `control` on a remote and passes each line of its output to `see`, or `None` when there are no more lines
    /// for now. Its messages are printed with the name of the remote.
    fn run_there(
        &mut self,
        errand: &RemoteCommand<'_>,
        mut see: impl FnMut(&mut Self, Option<&[u8]>) -> Result<(), ControlError>,
    ) -> Result<i32, RemoteFailure> {
        // Messages of ssh itself. If ssh fails, the last one is the reason, and is not printed twice.
        let mut held: Vec<String> = vec![];
        let ran = run(errand.host, &errand.line(), errand.silence, |heard| {
            if errand.until.is_some_and(|until| sys::now().mono > until) {
                return Err(RemoteFailure::Ssh(SshError::TimedOut(errand.silence.unwrap_or_default())));
            }
            match heard {
                RemoteOutput::Output(line) => {
                    self.print_held(errand.remote, &mut held);
                    see(self, Some(line)).map_err(RemoteFailure::Control)?;
                }
                RemoteOutput::Message(text) => {
                    let text = String::from_utf8_lossy(text);
                    match heard::message(errand.remote, &text) {
                        Some(message) => {
                            self.print_held(errand.remote, &mut held);
                            self.report(&message);
                        }
                        None if held.len() < HELD && !text.trim().is_empty() => held.push(text.into_owned()),
                        None => {}
                    }
                }
                RemoteOutput::Pause => see(self, None).map_err(RemoteFailure::Control)?,
            }
            Ok(())
        });
        match ran {
            Ok(127) => Err(RemoteFailure::Unsupported("no program `control` in its PATH; install taskwatcher there")),
            Ok(exit_code::USAGE) => {
                self.print_held(errand.remote, &mut held);
                Err(RemoteFailure::Unsupported("its control does not support this; update taskwatcher there"))
            }
            Err(RemoteFailure::Ssh(error)) => {
                held.pop();
                if !error.may_pass() {
                    self.print_held(errand.remote, &mut held);
                }
                Err(RemoteFailure::Ssh(error))
            }
            ran => {
                self.print_held(errand.remote, &mut held);
                ran
            }
        }
    }

    fn print_held(&mut self, remote: &str, held: &mut Vec<String>) {
        for text in held.drain(..) {
            self.report(&format!("{remote}: {}", show::clean(&text)));
        }
    }
}

/// Maximum number of messages of ssh that are held until it is known whether ssh fails.
const HELD: usize = 50;

impl RemoteCommand<'_> {
    /// Returns the command line for the remote shell.
    fn line(&self) -> String {
        let mut line = vec!["control"];
        if let Some(db) = self.db {
            line.extend(["--db", db]);
        }
        line.extend(self.words.iter().map(String::as_str));
        shell_words::join(line)
    }
}

/// Returns the name of a remote with its type.
fn named(remote: &Remote) -> Result<RemoteName, ControlError> {
    remote.name.parse().map_err(|_| ControlError::NoSuchRemote(remote.name.clone()))
}

/// A task of another host that was waited for.
struct RemoteWaited<'w> {
    remote: &'w str,
    /// Its name in lists.
    name: String,
    /// Its task id there; 0: it has none.
    number: i64,
    upid: Option<Stored<Upid>>,
    /// How it ended. `None`: it has not ended.
    outcome: Option<&'w Outcome>,
}

impl Desk<'_, '_> {
    /// Prints how a task ended, or that it has not ended.
    fn say_waited(&mut self, waited: RemoteWaited<'_>) -> Result<(), ControlError> {
        let RemoteWaited { remote, name, number, upid, outcome } = waited;
        if self.json {
            let outcome = outcome.map(|outcome| Stored::Value(outcome.as_recorded()));
            let mut value = show::proxmox_status(upid.as_ref(), number, outcome.as_ref());
            of_remote(remote, &mut value);
            return Ok(self.print(&value.to_string())?);
        }
        match outcome {
            Some(outcome) => self.print(&format!("{name} {}", show::clean(&outcome.with_reason())))?,
            None => self.report(&format!("task {name} has not ended")),
        }
        Ok(())
    }
}

/// Adds the remote to the JSON of a task, and to its UPID, so that other verbs accept it.
fn of_remote(remote: &str, task: &mut Value) {
    let Some(object) = task.as_object_mut() else { return };
    if let Some(upid) = object.get("upid").and_then(Value::as_str) {
        let upid = format!("{remote}!{upid}");
        object.insert("upid".into(), upid.into());
    }
    object.insert("remote".into(), remote.into());
}

/// Returns the stored data of an ended task of another host, and when the host was last contacted.
fn stored_json(remote: &Remote, ended: &RemoteTask) -> Value {
    let mut value = match &ended.upid {
        Stored::Value(upid) => upid.to_json(),
        Stored::Text(text) => json!({ "upid": text }),
    };
    of_remote(&remote.name, &mut value);
    let more = ended.more.as_deref().cloned().unwrap_or_default();
    // A task of a Proxmox host has a type and no name.
    let name = more.name.or_else(|| Some(ended.kind.to_string())).filter(|_| remote.source.api().is_none());
    let fields = [
        ("taskname", name.into()),
        ("outcome", ended.outcome.to_string().into()),
        ("termerror", ended.outcome.reason().into()),
        ("exitcode", more.exitcode.into()),
        ("endtime", ended.endtime.into()),
        ("duration", ended.endtime.saturating_sub(ended.start).max(0).into()),
        ("info1", more.info1.into()),
        ("info2", more.info2.into()),
        ("info3", more.info3.into()),
        ("synced", remote.contact.into()),
    ];
    if let Some(object) = value.as_object_mut() {
        object.extend(fields.map(|(key, field): (&str, Value)| (key.to_owned(), field)));
        object.retain(|_, field| !field.is_null() && *field != "");
    }
    value
}

/// Why a verb failed on another host.
enum RemoteFailure {
    Ssh(SshError),
    Control(ControlError),
    /// The host cannot do it.
    Unsupported(&'static str),
}

impl fmt::Display for RemoteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteFailure::Ssh(error) => error.fmt(f),
            RemoteFailure::Control(error) => error.fmt(f),
            RemoteFailure::Unsupported(why) => f.write_str(why),
        }
    }
}

impl RemoteFailure {
    fn of(self, remote: &str) -> ControlError {
        match self {
            RemoteFailure::Ssh(error) => ControlError::Remote(remote.to_owned(), show::clean(&error.to_string())),
            RemoteFailure::Control(error) => error,
            RemoteFailure::Unsupported(why) => ControlError::Remote(remote.to_owned(), why.to_owned()),
        }
    }
}

impl From<SshError> for RemoteFailure {
    fn from(error: SshError) -> RemoteFailure {
        RemoteFailure::Ssh(error)
    }
}

/// Retries for a host that does not respond, at growing intervals. Its task is assumed to keep running.
#[derive(Debug, Default)]
struct Polls {
    failures: u32,
}

impl Polls {
    /// Reports the first failure, and waits, at most until `end` on the monotonic clock.
    fn failed(&mut self, desk: &mut Desk<'_, '_>, remote: &str, error: &dyn fmt::Display, end: Option<Duration>) {
        if self.failures == 0 {
            desk.report(&show::clean(&format!("remote {remote}: {error}; retrying until it responds")));
        }
        // The first pauses are short, because a user waits.
        let wait = AGAIN.saturating_mul(1 << self.failures.min(LONGEST_DOUBLED));
        self.failures += 1;
        sys::pause(end.map_or(wait, |end| end.saturating_sub(sys::now().mono).min(wait)));
    }
}
