//! The same verbs for tasks of Proxmox hosts, through their API. A task that is waited for is polled; its end is stored
//! immediately, before any sync.

use std::time::Duration;

use serde_json::{Value, json};

use super::{LIMIT, Polls, of_remote};
use crate::{
    app::{
        control::{ControlError, Desk, Done},
        control_args::{self as args, Verb},
        remote::{
            api::{ApiError, Host, TaskAt},
            failed,
        },
        service::ServiceError,
        show,
    },
    io::{
        store::{Batch, Remote, Store},
        sys,
    },
    model::{
        ansi,
        proxmox::{Api, Product, RemoteStatus},
        query::{Filter, StartQuery},
        remote::{RemoteEnd, RemoteTask},
        task::{Outcome, RemoteTaskRef, TaskRef, exit_code},
        upid::Upid,
    },
};

/// Shortest time limit of a request, even if `wait` has a shorter timeout.
const SHORTEST: Duration = Duration::from_secs(1);
/// Polling interval of a running task.
const POLL: Duration = Duration::from_secs(1);
/// Lines of a log per request.
const LINES: u64 = 5_000;
/// Number of last lines in `show`.
const LAST: u64 = 5;
/// Time in which a task must end after a request.
const GRACE: Duration = Duration::from_secs(20);

/// Tasks of one Proxmox host, and a connection to it.
struct ProxmoxTasks {
    store: Store,
    remote: Remote,
    host: Host,
    tasks: Vec<TaskAt>,
}

impl ProxmoxTasks {
    fn failed(&self, error: &dyn std::fmt::Display) -> ControlError {
        failed(&self.remote, error)
    }

    /// Returns the error if the request may succeed later, and fails otherwise.
    fn may_pass(&self, error: ApiError) -> Result<ApiError, ControlError> {
        if error.may_pass() { Ok(error) } else { Err(self.failed(&error)) }
    }

    /// Returns the name of a task in lists.
    fn name(&self, upid: &Upid) -> String {
        show::short_name(&self.remote.name, upid)
    }

    /// Returns the end of a task, with its time from the list of its host.
    fn end(&self, task: &TaskAt, outcome: Outcome) -> Result<RemoteEnd, ControlError> {
        let end = self.host.end_of(task, outcome, sys::now().wall.secs());
        end.map_err(|error| self.failed(&error))
    }

    /// Returns the stored end of a task, if there is one.
    fn stored(&self, task: &TaskAt) -> Result<Option<RemoteTask>, ControlError> {
        Ok(self.store.remote_ended(&self.remote.name, task.upid.own(), task.upid.starttime)?)
    }

    /// Stores the end of a task. If that fails, the next sync fetches it again.
    fn keep(&mut self, end: RemoteEnd) {
        let batch = Batch { ended: vec![end], aside: true, now: sys::now().wall.secs(), ..Batch::default() };
        let _ = self.store.add_remote_tasks(self.remote.id, &batch);
    }
}

/// Returns the full UPID of a named task of a Proxmox remote, without the remote.
fn whole(store: &Store, remote: &Remote, task: &TaskRef) -> Result<Upid, ControlError> {
    let unknown = || ControlError::Service(ServiceError::NoSuchTask(task.clone()));
    let own = |text: &str| text.parse::<Upid>().ok();
    match task {
        TaskRef::Upid(upid) => own(upid.own()).ok_or_else(unknown),
        TaskRef::Remote(_, RemoteTaskRef::Number(_)) => Err(ControlError::NumberThere(remote.name.clone())),
        TaskRef::Remote(_, RemoteTaskRef::Started { start, pid }) => {
            let live = store.remote_active(Some(&remote.name))?;
            let live = live.into_iter().filter(|live| live.run.start == *start).map(|live| live.run.upid);
            let (since, until) = (Some(*start), Some(*start));
            let query = StartQuery {
                filter: Filter { since, until, ..Filter::default() },
                remote: Some(remote.name.clone()),
                limit: usize::MAX,
                ..StartQuery::default()
            };
            let ended = store.page_by_start(&query)?.rows;
            let ended = ended.into_iter().filter_map(|row| row.upid().map(str::to_owned));
            let mut found: Vec<Upid> = live.chain(ended).filter_map(|text| own(&text)).collect();
            found.retain(|upid| upid.pid == *pid);
            found.dedup_by(|a, b| a.as_str() == b.as_str());
            match found.len() {
                0 => Err(unknown()),
                1 => found.pop().ok_or_else(unknown),
                _ => {
                    let all: Vec<String> = found.iter().map(|upid| format!("{}!{upid}", remote.name)).collect();
                    Err(ControlError::ManyThere(task.clone(), show::clean(&all.join(", "))))
                }
            }
        }
        TaskRef::Id(_) | TaskRef::Handle(_) => Err(unknown()),
    }
}

/// Returns the node that listed a task, if it is stored. `None`: the node in its UPID.
fn via(store: &Store, remote: &Remote, upid: &Upid) -> Result<Option<String>, ControlError> {
    let live = store.remote_active(Some(&remote.name))?;
    if let Some(live) = live.into_iter().find(|live| live.run.upid == upid.own()) {
        return Ok(live.run.via());
    }
    let ended = store.remote_ended(&remote.name, upid.own(), upid.starttime)?;
    Ok(ended.and_then(|task| task.more?.via))
}

/// Returns the status of a task in the form of Proxmox tools.
fn status_json(remote: &str, upid: &Upid, outcome: Option<&Outcome>) -> Value {
    let mut value =
        show::proxmox_status(Some(&upid.clone().into()), 0, outcome.map(|outcome| outcome.clone().into()).as_ref());
    of_remote(remote, &mut value);
    value
}

impl Desk<'_, '_> {
    /// Carries out a verb on tasks of a Proxmox host.
    pub(super) fn far_api(
        &mut self,
        verb: &Verb,
        tasks: &[TaskRef],
        store: Store,
        remote: Remote,
        (product, api): (Product, &Api),
    ) -> Done {
        let find = |task: &TaskRef| {
            let upid = whole(&store, &remote, task)?;
            let via = via(&store, &remote, &upid)?;
            Ok(TaskAt::new(product, upid, via))
        };
        let tasks = tasks.iter().map(find).collect::<Result<Vec<_>, ControlError>>()?;
        let limit = match verb {
            Verb::Wait(wanted) => wanted.timeout.map_or(LIMIT, |timeout| timeout.clamp(SHORTEST, LIMIT)),
            _ => LIMIT,
        };
        let host = Host::new(&remote.name, product, api, limit).map_err(|error| failed(&remote, &error))?;
        let mut there = ProxmoxTasks { store, remote, host, tasks };
        match verb {
            Verb::Show(_) => self.show_api(&there),
            // Proxmox tasks give no feedback.
            Verb::Feedback(_) => Ok(self.print("{}").map(|()| 0)?),
            Verb::Log(wanted) => self.log_api(&there, wanted),
            Verb::Wait(wanted) => self.wait_api(&mut there, wanted.timeout, wanted.any),
            Verb::Kill(wanted) => self.kill_api(&mut there, &wanted.how),
            _ => Err(ControlError::NotThere(there.remote.name)),
        }
    }

    fn show_api(&mut self, there: &ProxmoxTasks) -> Done {
        let Some(task) = there.tasks.first() else { return Ok(0) };
        let upid = &task.upid;
        let status = match there.host.status(task) {
            Ok(status) => status,
            Err(error) => match there.stored(task)? {
                Some(ended) => return self.show_stored(&there.remote, &there.name(upid), &ended, &error),
                None => return Err(there.failed(&error)),
            },
        };
        let mut value = upid.to_json();
        of_remote(&there.remote.name, &mut value);
        let Some(object) = value.as_object_mut() else { return Ok(0) };
        match status {
            RemoteStatus::Running => {
                object.insert("status".into(), "RUNNING".into());
                let age = sys::now().wall.secs().saturating_sub(upid.starttime).max(0);
                object.insert("duration".into(), age.into());
            }
            RemoteStatus::Stopped(outcome) => {
                let end = there.end(task, outcome)?;
                object.insert("outcome".into(), end.outcome.to_string().into());
                object.insert("endtime".into(), end.endtime.into());
                object.insert("duration".into(), end.endtime.saturating_sub(upid.starttime).max(0).into());
            }
        }
        object.retain(|_, field| *field != "");
        // If the log was removed there, everything else is still shown.
        let lines: Vec<String> = last_lines(&there.host, task, LAST).unwrap_or_default();
        object.insert("lastlines".into(), lines.iter().map(|line| show::clean(line)).collect::<Vec<_>>().into());
        self.print_shown(&show::short_name(&there.remote.name, upid), &value)
    }

    fn log_api(&mut self, there: &ProxmoxTasks, wanted: &args::Log) -> Done {
        let Some(task) = there.tasks.first() else { return Ok(0) };
        let failed = |error: ApiError| there.failed(&error);
        let fit = (self.out.width)().is_some() && !wanted.raw;
        let mut next = wanted.start;
        if let Some(tail) = wanted.tail {
            let (_, total) = there.host.log(task, 0, &mut 1).map_err(failed)?;
            next = total.saturating_sub(tail as u64);
        }
        let mut left = wanted.limit.unwrap_or(u64::MAX);
        let follow = wanted.follow;
        let mut polls = Polls::default();
        let mut most = LINES;
        // An array is printed only when it is complete.
        let mut array = (self.json && !follow).then(Vec::new);
        while left > 0 {
            // Requested before the log is read, so that the log contains everything until the end.
            let over = match follow {
                true => match there.host.status(task) {
                    Ok(status) => status != RemoteStatus::Running,
                    Err(error) => {
                        polls.failed(self, &there.remote.name, &there.may_pass(error)?, None);
                        continue;
                    }
                },
                false => true,
            };
            let asked = left.min(most);
            let mut page = asked;
            let read = there.host.log(task, next, &mut page);
            // A request that was too long once would be too long again.
            if page < asked {
                most = page;
            }
            let lines = match read {
                Ok((lines, _)) => lines,
                Err(error) if follow => {
                    polls.failed(self, &there.remote.name, &there.may_pass(error)?, None);
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            polls = Polls::default();
            for (number, text) in &lines {
                match (self.json, fit) {
                    (true, _) => {
                        let line = json!({ "n": number, "t": text });
                        match &mut array {
                            Some(lines) => lines.push(line.to_string()),
                            None => writeln!(self.out.data, "{line}")?,
                        }
                    }
                    (false, true) => writeln!(self.out.data, "{}", ansi::fit(text.as_bytes()))?,
                    (false, false) => writeln!(self.out.data, "{text}")?,
                }
            }
            let count = lines.len() as u64;
            (next, left) = (lines.last().map_or(next, |(number, _)| *number), left.saturating_sub(count));
            if count > 0 {
                self.out.data.flush()?;
            } else if over {
                break;
            } else {
                sys::pause(POLL);
            }
        }
        if let Some(lines) = array {
            writeln!(self.out.data, "[{}]", lines.join(","))?;
        }
        Ok(0)
    }

    fn wait_api(&mut self, there: &mut ProxmoxTasks, timeout: Option<Duration>, any: bool) -> Done {
        let end = timeout.map(|timeout| sys::now().mono.saturating_add(timeout));
        let mut left = std::mem::take(&mut there.tasks);
        let (mut code, mut ended) = (0, 0);
        let mut polls = Polls::default();
        loop {
            let mut still = vec![];
            let mut trouble = None;
            for task in left {
                // A host that does not respond is not asked about each task.
                let status = match trouble {
                    Some(ApiError::Https(..)) => None,
                    _ => match there.host.status(&task) {
                        Ok(status) => Some(status),
                        Err(error) => {
                            trouble = Some(error);
                            None
                        }
                    },
                };
                let outcome = match (status, &trouble) {
                    (Some(RemoteStatus::Running), _) => None,
                    (Some(RemoteStatus::Stopped(outcome)), _) => Some((outcome, true)),
                    // An end never changes, so a stored end is as good as one from the host.
                    (None, Some(error)) => {
                        let stored = there.stored(&task)?;
                        if stored.is_some() {
                            self.report_stored(&there.remote, &there.name(&task.upid), error);
                        }
                        stored.map(|ended| (ended.outcome, false))
                    }
                    (None, None) => None,
                };
                let Some((outcome, is_news)) = outcome else {
                    still.push(task);
                    continue;
                };
                ended += 1;
                if !outcome.class().is_success() {
                    code = exit_code::FAILED;
                }
                self.print_end(there, &task.upid, &outcome)?;
                if is_news && let Ok(end) = there.end(&task, outcome) {
                    there.keep(end);
                }
            }
            left = still;
            self.out.data.flush()?;
            if left.is_empty() || (any && ended > 0) {
                return Ok(code);
            }
            let now = sys::now().mono;
            if end.is_some_and(|end| end <= now) {
                if let Some(error) = trouble {
                    self.report(&show::clean(&format!("remote {}: {error}", there.remote.name)));
                }
                for TaskAt { upid, .. } in &left {
                    match self.json {
                        true => self.print(&status_json(&there.remote.name, upid, None).to_string())?,
                        false => self.report(&format!("task {} has not ended", there.name(upid))),
                    }
                }
                return Ok(exit_code::TIMED_OUT);
            }
            match trouble {
                Some(error) => polls.failed(self, &there.remote.name, &there.may_pass(error)?, end),
                None => {
                    polls = Polls::default();
                    sys::pause(end.map_or(POLL, |end| end.saturating_sub(now).min(POLL)));
                }
            }
        }
    }

    fn print_end(&mut self, there: &ProxmoxTasks, upid: &Upid, outcome: &Outcome) -> Result<(), ControlError> {
        let text = match self.json {
            true => status_json(&there.remote.name, upid, Some(outcome)).to_string(),
            false => format!("{} {}", there.name(upid), show::clean(&outcome.with_reason())),
        };
        Ok(self.print(&text)?)
    }

    fn kill_api(&mut self, there: &mut ProxmoxTasks, how: &args::KillArgs) -> Done {
        if how.now || how.force || how.signal.is_some() {
            return Err(ControlError::OwnWay(there.remote.name.clone()));
        }
        let mut code = 0;
        let mut asked = vec![];
        for task in std::mem::take(&mut there.tasks) {
            let name = there.name(&task.upid);
            let said = match there.host.status(&task) {
                Ok(RemoteStatus::Stopped(outcome)) => {
                    Err(format!("task {name} has ended already: {}", outcome.with_reason()))
                }
                Ok(RemoteStatus::Running) => {
                    there.host.stop(&task).map_err(|error| format!("cannot end task {name}: {error}"))
                }
                Err(error) => Err(format!("cannot end task {name}: {error}")),
            };
            match said {
                Ok(()) => asked.push(task),
                Err(why) => {
                    self.report(&format!("error: {}", show::clean(&why)));
                    code = exit_code::FAILED;
                }
            }
        }
        let end = sys::now().mono.saturating_add(GRACE);
        for task in asked {
            let upid = &task.upid;
            let mut result = "asked to end".to_owned();
            loop {
                if how.no_wait {
                    break;
                }
                // A failed request says nothing about the task.
                if let Ok(RemoteStatus::Stopped(outcome)) = there.host.status(&task) {
                    result = outcome.to_string();
                    if let Ok(end) = there.end(&task, outcome) {
                        there.keep(end);
                    }
                    break;
                }
                if sys::now().mono >= end {
                    let name = there.name(upid);
                    self.report(&format!("error: task {name} was asked to end but still runs"));
                    code = exit_code::FAILED;
                    break;
                }
                sys::pause(POLL / 4);
            }
            let text = match self.json {
                true => {
                    let mut value = json!({ "upid": upid.as_str(), "result": result });
                    of_remote(&there.remote.name, &mut value);
                    value.to_string()
                }
                false => {
                    format!("task {} ({}): {}", there.name(upid), show::clean(upid.worker_type()), show::clean(&result))
                }
            };
            self.print(&text)?;
        }
        Ok(code)
    }
}

fn last_lines(host: &Host, task: &TaskAt, count: u64) -> Result<Vec<String>, ApiError> {
    let (_, total) = host.log(task, 0, &mut 1)?;
    let mut next = total.saturating_sub(count);
    let mut lines: Vec<(u64, String)> = vec![];
    while let Some(mut left @ 1..) = total.checked_sub(next) {
        let (more, _) = host.log(task, next, &mut left)?;
        let Some((last, _)) = more.last() else { break };
        next = *last;
        lines.extend(more);
    }
    Ok(lines.into_iter().map(|(_, text)| text).collect())
}
