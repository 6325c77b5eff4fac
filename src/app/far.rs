//! `wait`, `log`, `kill`, `show` and `feedback` of tasks of other hosts: the same verb, done there.
//!
//! On a host that runs taskwatcher its own `control` does it; a Proxmox host is asked by its API (`far/proxmox.rs`).
//! What comes back is another host's word: it goes to a terminal as a task's own output does, without anything that could
//! act on it.

mod proxmox;

use serde_json::Value;

use super::{
    control::{ControlError, Desk, Done},
    control_args::{self as args, Verb},
    remote::{known, remotes_of},
    show,
};
use crate::{
    io::ssh::{self, From, SshError},
    model::{
        ansi,
        proxmox::Product,
        remote::Source,
        task::{Signal, TaskRef, exit_code},
    },
};

/// A verb for one remote, as its command line says it there.
struct Errand<'a> {
    remote: &'a str,
    /// For ssh.
    host: &'a str,
    /// The database there, if it is not the usual one.
    db: Option<&'a str>,
    words: Vec<String>,
    /// Whether its lines are what a task printed, and not ours.
    log: bool,
    /// Whether everything is wanted as it comes.
    raw: bool,
    /// Whether it is of use only if it is whole: an array in JSON.
    whole: bool,
}

fn remote_of(task: &TaskRef) -> Option<&str> {
    match task {
        TaskRef::Upid(upid) => upid.remote.as_deref(),
        TaskRef::There(remote, _) => Some(remote.as_str()),
        TaskRef::Id(_) | TaskRef::Handle(_) => None,
    }
}

/// The task as its own host knows it: the number of one that never had a UPID, see `app/remote`.
fn name_there(task: &TaskRef) -> String {
    match task {
        TaskRef::There(_, task) => task.to_string(),
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

/// An option, if it is given.
fn option(name: &str, value: Option<impl ToString>) -> Option<String> {
    value.map(|value| format!("{name}={}", value.to_string()))
}

fn flag(name: &str, given: bool) -> Option<String> {
    given.then(|| name.to_owned())
}

fn log_words(wanted: &args::Log, raw: bool) -> Vec<String> {
    let options = [
        flag("--follow", wanted.follow),
        option("--tail", wanted.tail),
        option("--start", (wanted.start > 0).then_some(wanted.start)),
        option("--limit", wanted.limit),
        flag("--no-time", wanted.no_time),
        flag("--raw", raw),
    ];
    words("log", std::slice::from_ref(&wanted.task), options.into_iter().flatten())
}

impl Desk<'_, '_> {
    /// Does a verb whose tasks are of another host; none: it is about this one.
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
        let store = self.open()?;
        let remote = known(&store, name)?;
        let (host, db) = match &remote.source {
            Source::Ssh { host, db } => (host, db.as_deref()),
            Source::Pve(api) => return self.far_api(verb, tasks, store, remote.clone(), (Product::Pve, api)),
            Source::Pbs(api) => return self.far_api(verb, tasks, store, remote.clone(), (Product::Pbs, api)),
        };
        let (mut log, mut raw) = (false, false);
        let words = match verb {
            Verb::Show(_) => words("show", tasks, Some("--json".to_owned())),
            Verb::Feedback(_) => words("feedback", tasks, None),
            Verb::Log(wanted) => {
                // What it prints is made fit here, if it goes to a terminal.
                (log, raw) = (true, wanted.raw || (self.out.width)().is_none());
                log_words(wanted, !self.json)
            }
            Verb::Wait(wanted) => {
                let timeout = wanted.timeout.map(|timeout| format!("{}s", timeout.as_secs_f64()));
                let options = [option("--timeout", timeout), flag("--any", wanted.any)];
                words("wait", tasks, options.into_iter().flatten())
            }
            Verb::Kill(wanted) => {
                let how = &wanted.how;
                let options = [
                    option("--signal", how.signal.map(|signal: Signal| signal.to_string())),
                    flag("--now", how.now),
                    flag("--no-wait", how.no_wait),
                    flag("--force", how.force),
                ];
                words("kill", tasks, options.into_iter().flatten())
            }
            _ => return Err(ControlError::NotThere(remote.name)),
        };
        let json = self.json && !matches!(verb, Verb::Show(_) | Verb::Feedback(_));
        let words = words.into_iter().chain(flag("--json", json)).collect();
        let whole = matches!(verb, Verb::Log(wanted) if json && !wanted.follow);
        let errand = Errand { remote: &remote.name, host, db, words, log, raw, whole };
        match verb {
            Verb::Show(_) => self.show_far(&errand),
            _ => self.errand(&errand),
        }
    }

    fn errand(&mut self, errand: &Errand<'_>) -> Done {
        if errand.whole {
            let mut text = Vec::new();
            let code = self.run_there(errand, |_, line| {
                text.extend_from_slice(line);
                text.push(b'\n');
                Ok(())
            })?;
            if code == 0 {
                self.out.data.write_all(&text)?;
            }
            return Ok(code);
        }
        self.run_there(errand, |desk, line| {
            match (errand.raw, errand.log) {
                (true, _) => desk.out.data.write_all(line)?,
                (false, true) => desk.out.data.write_all(ansi::fit(line).as_bytes())?,
                (false, false) => desk.out.data.write_all(show::clean(&String::from_utf8_lossy(line)).as_bytes())?,
            }
            desk.out.data.write_all(b"\n")?;
            Ok(desk.out.data.flush()?)
        })
    }

    fn show_far(&mut self, errand: &Errand<'_>) -> Done {
        let mut text = Vec::new();
        let code = self.run_there(errand, |_, line| {
            text.extend_from_slice(line);
            Ok(())
        })?;
        if code != 0 {
            return Ok(code);
        }
        let bad = || ControlError::Remote(errand.remote.to_owned(), "its answer is not JSON".to_owned());
        let mut value: Value = serde_json::from_slice(&text).map_err(|_| bad())?;
        let object = value.as_object_mut().ok_or_else(bad)?;
        object.insert("remote".into(), errand.remote.into());
        self.print_shown(&value)
    }

    /// Prints all about one task, with its last lines.
    fn print_shown(&mut self, value: &Value) -> Done {
        if self.json {
            self.print(&value.to_string())?;
            return Ok(0);
        }
        self.print(&show::details(value))?;
        let lines = value["lastlines"].as_array().into_iter().flatten();
        let lines: Vec<String> = lines.filter_map(Value::as_str).map(show::clean).collect();
        if !lines.is_empty() {
            self.print(&format!("\nits last lines{}", show::quoted(&lines)))?;
        }
        Ok(0)
    }

    /// Runs `control` on a remote; its messages come as ours, with the remote's name.
    fn run_there(
        &mut self,
        errand: &Errand<'_>,
        mut see: impl FnMut(&mut Self, &[u8]) -> Result<(), ControlError>,
    ) -> Done {
        let mut line = vec!["control"];
        if let Some(db) = errand.db {
            line.extend(["--db", db]);
        }
        line.extend(errand.words.iter().map(String::as_str));
        let line = shell_words::join(line);
        let failed = |error: SshError| ControlError::Remote(errand.remote.to_owned(), show::clean(&error.to_string()));
        let ran = ssh::run(errand.host, &line, None, |from, text| {
            match from {
                From::Output => see(self, text).map_err(Far::Control)?,
                From::Messages => {
                    let text = String::from_utf8_lossy(text);
                    let text = text.strip_prefix("control: ").unwrap_or(&text);
                    self.tell(&format!("{}: {}", errand.remote, show::clean(text)));
                }
            }
            Ok(())
        });
        match ran {
            Ok(127) => {
                let why = "there is no program `control` on its PATH; install taskwatcher there".to_owned();
                Err(ControlError::Remote(errand.remote.to_owned(), why))
            }
            Ok(exit_code::USAGE) => Err(ControlError::Remote(
                errand.remote.to_owned(),
                "its control does not know this; update it".to_owned(),
            )),
            Ok(code) => Ok(code),
            Err(Far::Ssh(error)) => Err(failed(error)),
            Err(Far::Control(error)) => Err(error),
        }
    }
}

/// What can fail while a line of another host is handed on.
enum Far {
    Ssh(SshError),
    Control(ControlError),
}

impl std::convert::From<SshError> for Far {
    fn from(error: SshError) -> Far {
        Far::Ssh(error)
    }
}
