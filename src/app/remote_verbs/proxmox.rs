//! The same verbs for tasks of Proxmox hosts, through their API. A task that is waited for is polled; its end is stored
//! immediately, before any sync.

use std::{io, time::Duration};

use serde_json::json;

use super::{LIMIT, Polls, RemoteWaited, named, of_remote};
use crate::{
    app::{
        control::{ControlError, Desk, Done},
        control_args::{self as args, Verb},
        remote::{
            api::{ApiError, Host, TaskAt},
            failed,
        },
        service::{EndError, KillError, KillReport, Killed, Reports, ServiceError},
        show,
    },
    io::{
        store::{Batch, Listed, Remote, Store},
        sys,
    },
    model::{
        ansi,
        proxmox::RemoteStatus,
        proxmox_access::{Api, Product},
        query::{Filter, StartQuery},
        remote::{RemoteEnd, RemoteTask},
        task::{Outcome, RemoteName, RemoteTaskRef, Stored, TaskRef, exit_code},
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
    name: RemoteName,
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
    fn local(&self, upid: &Upid) -> String {
        show::short_name(&self.remote.name, upid)
    }

    /// Returns the same name as a reference.
    fn reference(&self, upid: &Upid) -> TaskRef {
        TaskRef::Remote(self.name.clone(), RemoteTaskRef::Started { start: upid.starttime, pid: upid.pid })
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

    /// Returns a task that was waited for.
    fn waited<'w>(&'w self, upid: &Upid, outcome: Option<&'w Outcome>) -> RemoteWaited<'w> {
        let (name, upid) = (self.local(upid), Some(upid.clone().into()));
        RemoteWaited { remote: &self.remote.name, name, number: 0, upid, outcome }
    }

    /// Ends the tasks: asks for all ends first, then waits for each end unless `no_wait`.
    ///
    /// # Errors
    /// Those of `reports`, to which what happened to each task goes.
    fn kill(&mut self, no_wait: bool, reports: &mut Reports<'_>) -> io::Result<()> {
        let mut asked = vec![];
        for task in std::mem::take(&mut self.tasks) {
            let named = || self.reference(&task.upid);
            let failed =
                |error: ApiError| KillError::Failed(named(), EndError::OfRemote(show::clean(&error.to_string())));
            let done = match self.host.status(&task) {
                Ok(RemoteStatus::Stopped(outcome)) => {
                    Err(KillError::HasEnded { task: named(), outcome: Stored::read(&outcome.with_reason()) })
                }
                Ok(RemoteStatus::Running) => self.host.stop(&task).map_err(failed),
                Err(error) => Err(failed(error)),
            };
            match done {
                Ok(()) => asked.push(task),
                Err(error) => reports(Err(error))?,
            }
        }
        let end = sys::now().mono.saturating_add(GRACE);
        for task in asked {
            let how = match no_wait {
                true => Killed::Asked,
                false => match self.wait_for_end(&task, end) {
                    Some(outcome) => Killed::Ended(Stored::Value(outcome)),
                    None => {
                        reports(Err(KillError::StillRuns(self.reference(&task.upid))))?;
                        Killed::Asked
                    }
                },
            };
            let (name, named) = (task.upid.worker_type().to_owned(), self.reference(&task.upid));
            reports(Ok(KillReport { task: named, upid: Some(task.upid), name, how }))?;
        }
        Ok(())
    }

    /// Waits for an end, stores it, and returns it; `None` if the task still runs at `end` on the monotonic clock.
    fn wait_for_end(&mut self, task: &TaskAt, end: Duration) -> Option<Outcome> {
        loop {
            // A failed request says nothing about the task.
            if let Ok(RemoteStatus::Stopped(outcome)) = self.host.status(task) {
                let recorded = outcome.as_recorded();
                if let Ok(end) = self.end(task, outcome) {
                    self.keep(end);
                }
                return Some(recorded);
            }
            if sys::now().mono >= end {
                return None;
            }
            sys::pause(POLL / 4);
        }
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
    match task {
        TaskRef::Upid(upid) => Ok(upid.without_remote()),
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
            let ended = ended.into_iter().filter_map(|row| match row {
                Listed::Remote(task) => Some(task.upid),
                Listed::Local(_) => None,
            });
            let mut found: Vec<Upid> = live.chain(ended).filter_map(|upid| upid.value().cloned()).collect();
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
    if let Some(live) = live.into_iter().find(|live| live.run.upid.as_str() == upid.own()) {
        return Ok(live.run.via());
    }
    let ended = store.remote_ended(&remote.name, upid.own(), upid.starttime)?;
    Ok(ended.and_then(|task| task.more?.via))
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
        let mut there = ProxmoxTasks { name: named(&remote)?, store, remote, host, tasks };
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
                Some(ended) => return self.show_stored(&there.remote, &there.local(upid), &ended, &error),
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
                            self.report_stored(&there.remote, &there.local(&task.upid), error);
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
                self.say_waited(there.waited(&task.upid, Some(&outcome)))?;
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
                    self.say_waited(there.waited(upid, None))?;
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

    fn kill_api(&mut self, there: &mut ProxmoxTasks, how: &args::KillArgs) -> Done {
        if how.now || how.force || how.signal.is_some() {
            return Err(ControlError::OwnWay(there.remote.name.clone()));
        }
        let mut code = 0;
        there.kill(how.no_wait, &mut |done| self.say_killed(done, &mut code))?;
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
