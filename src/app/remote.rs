//! `control remote`: other hosts, and pulling their tasks into this database.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, mpsc},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    control::{ControlError, Desk, Done, progress_of},
    control_args::{self as args, RemoteVerb},
    db, show, truth,
};
use crate::{
    io::{
        ssh::{self, From, SshError},
        store::{Batch, Listed, Remote, Store, outcome_told},
        sys,
    },
    model::{
        export::{Line, VERSION},
        query::{After, Filter, StartQuery},
        remote::{More, RemoteEnd, RemoteRun, Source, pause},
        task::{exit_code, span},
        upid::Upid,
    },
};

/// Remotes that are asked at once.
const CONNECTIONS: usize = 20;
/// Of these, such as failed when they were last asked: they must not keep the others waiting.
const DOUBTFUL: usize = 5;
/// Tasks in one answer.
const ANSWER: usize = 5_000;
/// A host that prints nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// What a thread that asks has to say.
enum News {
    /// Part of an answer, or all of it.
    Told(i64, Box<Batch>),
    /// It is done with this one, well or not.
    Over(i64, Result<(), String>),
}

/// How the pull of one remote went.
#[derive(Debug, Default)]
struct Pulled {
    new: u64,
    changed: u64,
    error: Option<String>,
}

impl Desk<'_, '_> {
    pub(super) fn remote(&mut self, wanted: &args::Remote) -> Done {
        match &wanted.verb {
            RemoteVerb::Add(wanted) => self.remote_add(wanted),
            RemoteVerb::Remove(wanted) => self.remote_remove(wanted.name.as_str()),
            RemoteVerb::List => self.remote_list(),
            RemoteVerb::Test(wanted) => self.remote_test(wanted.name.as_str()),
            RemoteVerb::Sync(wanted) => self.sync(wanted),
        }
    }

    fn remote_add(&mut self, wanted: &args::RemoteAdd) -> Done {
        let mut store = db::open_or_create(&self.db, self.out.patience)?;
        let source = Source::Ssh { host: wanted.ssh.clone(), db: wanted.remote_db.clone() };
        let name = &wanted.name;
        if !store.add_remote(name.as_str(), &source)? {
            return Err(ControlError::RemoteThere(name.to_string()));
        }
        let text = match self.json {
            true => json!({ "name": name.as_str(), "source": source }).to_string(),
            false => format!("remote {name} added ({source}); fetch its tasks with: control remote sync {name}"),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_remove(&mut self, name: &str) -> Done {
        let mut store = self.open()?;
        let Some(removed) = store.remove_remote(name)? else {
            return Err(ControlError::NoSuchRemote(name.to_owned()));
        };
        let text = match self.json {
            true => json!({ "name": name, "removed": removed }).to_string(),
            false => format!("remote {name} removed, with {removed} ended tasks"),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_list(&mut self) -> Done {
        let store = self.open()?;
        let (remotes, sizes, live) = (store.remotes()?, store.remote_sizes()?, store.remote_active(None)?);
        let mut running: HashMap<&str, i64> = HashMap::new();
        live.iter().for_each(|task| *running.entry(&*task.remote).or_default() += 1);
        let now = sys::now().wall;
        let row = |remote: &Remote| {
            json!({
                "name": remote.name,
                "source": remote.source,
                "contact": remote.contact,
                "tried": remote.tried,
                "cursor": remote.cursor,
                "lag": remote.lag,
                "failures": remote.failures,
                "error": remote.error,
                "unread": remote.unread,
                "running": running.get(remote.name.as_str()).copied().unwrap_or_default(),
                "ended": sizes.get(&remote.id).copied().unwrap_or_default(),
            })
        };
        let rows: Vec<Value> = remotes.iter().map(row).collect();
        let text = match self.json {
            true => Value::from(rows).to_string(),
            false => {
                let counts: Vec<[i64; 2]> =
                    rows.iter().map(|row| ["running", "ended"].map(|key| row[key].as_i64().unwrap_or(0))).collect();
                show::remote_table(&remotes, &counts, now, (self.out.width)(), self.out.colours)
            }
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_test(&mut self, name: &str) -> Done {
        let remote = known(&self.open()?, name)?;
        // From its own cursor on, so that little is sent; nothing of it is kept.
        let (mut first, mut last) = (None, None);
        let asked = ask(&remote.source, remote.cursor.as_deref(), 1, &mut |line| match line {
            Line::Start { version, taskwatcher, host, .. } => first = Some((version, taskwatcher, host)),
            Line::End { running, .. } => last = Some(running),
            Line::Running { .. } | Line::Ended { .. } => {}
        });
        let failed = |why: String| ControlError::Remote(name.to_owned(), why);
        asked.map_err(|error| failed(show::clean(&error.to_string())))?;
        let (Some((version, taskwatcher, host)), Some(running)) = (first, last) else {
            return Err(failed("its answer was cut off".to_owned()));
        };
        let text = match self.json {
            true => json!({ "name": name, "host": host, "taskwatcher": taskwatcher, "version": version, "running": running })
                .to_string(),
            false => format!(
                "remote {name} answers: host {}, taskwatcher {}, {running} running",
                show::clean(&host),
                show::clean(&taskwatcher)
            ),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn sync(&mut self, wanted: &args::RemoteSync) -> Done {
        let mut store = self.open()?;
        for name in &wanted.names {
            known(&store, name.as_str())?;
        }
        if store.remotes()?.is_empty() {
            return Err(ControlError::NoRemotes);
        }
        let (send, receive) = mpsc::sync_channel::<News>(CONNECTIONS);
        let queue: Mutex<VecDeque<Remote>> = Mutex::new(VecDeque::new());
        let wake = std::sync::Condvar::new();
        let closed = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                let send = send.clone();
                let (queue, wake, closed) = (&queue, &wake, &closed);
                scope.spawn(move || {
                    loop {
                        let Ok(mut waiting) = queue.lock() else { return };
                        let remote = loop {
                            if let Some(remote) = waiting.pop_front() {
                                break remote;
                            }
                            if closed.load(std::sync::atomic::Ordering::SeqCst) {
                                return;
                            }
                            match wake.wait(waiting) {
                                Ok(again) => waiting = again,
                                Err(_) => return,
                            }
                        };
                        drop(waiting);
                        let done = pull(&remote, &send);
                        if send.send(News::Over(remote.id, done)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let done = self.direct(&mut store, wanted, &receive, &|remote| {
                if let Ok(mut waiting) = queue.lock() {
                    waiting.push_back(remote);
                }
                wake.notify_one();
            });
            // Those that are still asked are given up: what they would tell is told the next time.
            drop(receive);
            closed.store(true, std::sync::atomic::Ordering::SeqCst);
            if let Ok(mut waiting) = queue.lock() {
                waiting.clear();
            }
            wake.notify_all();
            done
        })
    }

    /// Gives remotes to those who ask, and adds what they tell, until all were asked; with `--every`, on and on.
    fn direct(
        &mut self,
        store: &mut Store,
        wanted: &args::RemoteSync,
        news: &mpsc::Receiver<News>,
        hand_out: &dyn Fn(Remote),
    ) -> Done {
        let chosen =
            |remote: &Remote| wanted.names.is_empty() || wanted.names.iter().any(|n| n.as_str() == remote.name);
        let mut due: HashMap<i64, Duration> = HashMap::new();
        let mut asked: HashMap<i64, (Remote, Pulled)> = HashMap::new();
        let mut failed = false;
        let mut all: Vec<Remote> = store.remotes()?.into_iter().filter(chosen).collect();
        if wanted.every.is_none() && wanted.names.is_empty() {
            // One that is dead is left alone for a while; who names it wants it asked.
            let now = sys::now().wall.secs();
            for remote in &all {
                let until = remote.tried.unwrap_or(0).saturating_add(pause(remote.failures).as_secs() as i64);
                if remote.failures > 0 && until > now {
                    due.insert(remote.id, Duration::MAX);
                    let why = remote.error.as_deref().unwrap_or_default();
                    self.tell(&format!(
                        "remote {} is left alone for {} after {} failures ({}); name it to ask it now",
                        remote.name,
                        span(Duration::from_secs(until.abs_diff(now))),
                        remote.failures,
                        show::clean(why)
                    ));
                }
            }
        }
        loop {
            let now = sys::now().mono;
            let mut doubtful = asked.values().filter(|(remote, _)| remote.failures > 0).count();
            // Those that answered last time come first.
            all.sort_by_key(|remote| remote.failures);
            for remote in &all {
                let waits = due.get(&remote.id).is_some_and(|due| *due > now);
                if waits || asked.contains_key(&remote.id) || asked.len() >= CONNECTIONS {
                    continue;
                }
                if remote.failures > 0 {
                    if doubtful >= DOUBTFUL {
                        continue;
                    }
                    doubtful += 1;
                }
                asked.insert(remote.id, (remote.clone(), Pulled::default()));
                let cursor = remote.cursor.clone().filter(|_| !wanted.refetch);
                hand_out(Remote { cursor, ..remote.clone() });
            }
            if asked.is_empty() && wanted.every.is_none() {
                self.forget_old(store, wanted)?;
                return Ok(if failed { exit_code::FAILED } else { 0 });
            }
            let next = all.iter().filter(|one| !asked.contains_key(&one.id)).filter_map(|one| due.get(&one.id)).min();
            let wait = next.map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
            let item = match (asked.is_empty(), wanted.every) {
                (false, None) => news.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                _ => news.recv_timeout(wait.max(Duration::from_millis(10))),
            };
            match item {
                Ok(News::Told(id, batch)) => {
                    let Some((_, pulled)) = asked.get_mut(&id).filter(|(_, pulled)| pulled.error.is_none()) else {
                        continue;
                    };
                    sys::crash_point("sync.told");
                    let added = store.add_remote_tasks(id, &batch);
                    sys::crash_point("sync.added");
                    store.checkpoint()?;
                    match added {
                        Ok(added) => {
                            pulled.new += added.new;
                            pulled.changed += added.changed;
                        }
                        // What it tells next goes on from here; so it is asked again from its last cursor.
                        Err(error) if wanted.every.is_some() => pulled.error = Some(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(News::Over(id, done)) => {
                    let Some((remote, mut pulled)) = asked.remove(&id) else { continue };
                    pulled.error = pulled.error.or(done.err());
                    failed |= pulled.error.is_some();
                    if let Some(error) = &pulled.error {
                        store.remote_failed(id, error, sys::now().wall.secs())?;
                    }
                    self.say_pulled(&remote, &pulled, wanted.every.is_some())?;
                    let failures = if pulled.error.is_some() { remote.failures.saturating_add(1) } else { 0 };
                    let after = wanted.every.map_or(Duration::MAX, |every| every.max(pause(failures)));
                    due.insert(id, sys::now().mono.saturating_add(after));
                    if wanted.every.is_some() && pulled.new > 0 {
                        self.forget_old(store, wanted)?;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ControlError::NoRemotes),
            }
            if wanted.every.is_some() {
                // Others may have added and removed some meanwhile, and each has a new cursor.
                all = store.remotes()?.into_iter().filter(chosen).collect();
            }
        }
    }

    fn forget_old(&mut self, store: &mut Store, wanted: &args::RemoteSync) -> Result<(), ControlError> {
        let before = wanted.keep.map(|keep| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            sys::now().wall.secs().saturating_sub(keep)
        });
        let forgotten = store.forget_remote_tasks(before, wanted.keep_tasks)?;
        if forgotten > 0 && !self.json {
            self.print(&format!("{forgotten} old tasks of remotes forgotten"))?;
        }
        Ok(())
    }

    fn say_pulled(&mut self, remote: &Remote, pulled: &Pulled, on_and_on: bool) -> Result<(), ControlError> {
        if let Some(error) = &pulled.error {
            self.tell(&format!("error: remote {}: {}", remote.name, show::clean(error)));
        }
        let quiet = on_and_on && pulled.new == 0 && pulled.changed == 0;
        if self.json {
            let (new, changed) = (pulled.new, pulled.changed);
            let line = json!({ "name": remote.name, "new": new, "changed": changed, "error": pulled.error });
            self.print(&line.to_string())?;
        } else if pulled.error.is_none() && !quiet {
            let changed = if pulled.changed > 0 { format!(", {} changed", pulled.changed) } else { String::new() };
            self.print(&format!("remote {}: {} new{changed}", remote.name, pulled.new))?;
        }
        self.out.data.flush()?;
        Ok(())
    }
}

/// The remote of a name.
pub(super) fn known(store: &Store, name: &str) -> Result<Remote, ControlError> {
    let found = store.remotes()?.into_iter().find(|remote| remote.name == name);
    found.ok_or_else(|| ControlError::NoSuchRemote(name.to_owned()))
}

/// Why a remote's answer is of no use.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error("its control exited with {0}: {1}")]
    Exited(i32, String),
    #[error("it speaks version {0} of the export, this program knows {VERSION}; update taskwatcher here")]
    Version(u32),
    #[error("its answer was cut off")]
    Cut,
    #[error("{0}")]
    Nobody(&'static str),
}

/// Asks a host for its tasks since a cursor, and hands on the lines of its answer. Gives how many could not be read.
fn ask(source: &Source, since: Option<&str>, limit: usize, see: &mut dyn FnMut(Line)) -> Result<u64, AnswerError> {
    let Source::Ssh { host, db } = source;
    let limit = limit.to_string();
    let mut words = vec!["control", "export", "--limit", &limit];
    if let Some(since) = since {
        words.extend(["--since", since]);
    }
    if let Some(db) = db {
        words.extend(["--db", db]);
    }
    let mut unread = 0;
    let mut last = String::new();
    let code = ssh::run(host, &shell_words::join(words), Some(SILENCE), |from, line| {
        match from {
            From::Messages => last = String::from_utf8_lossy(line).into_owned(),
            From::Output => match serde_json::from_slice::<Line>(line) {
                Ok(Line::Start { version, .. }) if version != VERSION => return Err(AnswerError::Version(version)),
                Ok(line) => see(line),
                // A newer one may tell more than we know of.
                Err(_) if serde_json::from_slice::<Value>(line).is_ok_and(|value| is_newer(&value)) => {}
                Err(_) => unread += 1,
            },
        }
        Ok(())
    })?;
    match code {
        0 => Ok(unread),
        127 => Err(AnswerError::Nobody("there is no program `control` on its PATH; install taskwatcher there")),
        code => Err(AnswerError::Exited(code, last)),
    }
}

fn is_newer(line: &Value) -> bool {
    line["type"].as_str().is_some_and(|word| !["start", "running", "ended", "end"].contains(&word))
}

/// Asks one remote until it has no more to tell.
fn pull(remote: &Remote, news: &mpsc::SyncSender<News>) -> Result<(), String> {
    let mut cursor = remote.cursor.clone();
    loop {
        let mut batch = Batch::default();
        let mut there = String::new();
        let mut end = None;
        let mut strange = 0;
        let asked = ask(&remote.source, cursor.as_deref(), ANSWER, &mut |line| match line {
            Line::Start { host, anew, .. } => {
                there = host;
                batch.anew = anew;
            }
            Line::Running { task } => match running_of(task) {
                Some(Some(run)) => batch.running.push(run),
                Some(None) => {}
                None => strange += 1,
            },
            Line::Ended { task } => match end_of(&task, &there) {
                Some(end) => batch.ended.push(end),
                None => strange += 1,
            },
            Line::End { cursor, more, .. } => end = Some((cursor, more)),
        });
        batch.now = sys::now().wall.secs();
        let (unread, mut failed) = match asked {
            Ok(unread) => (unread, None),
            Err(error) => (0, Some(error)),
        };
        batch.unread = unread + strange;
        // What part of an answer does not name may stand in the rest of it.
        batch.anew &= failed.is_none() && batch.unread == 0;
        let more = match end {
            Some((next, more)) if failed.is_none() => {
                // A cursor that does not move would have us ask for ever.
                let moved = cursor.as_deref() != Some(next.as_str());
                batch.whole = !more && batch.unread == 0;
                cursor = Some(next.clone());
                batch.cursor = Some(next);
                more && moved
            }
            Some(_) | None => {
                failed = failed.or(Some(AnswerError::Cut));
                false
            }
        };
        // What came of an answer that is not whole is true all the same; only its cursor is not known.
        if (failed.is_none() || !batch.ended.is_empty() || !batch.running.is_empty())
            && news.send(News::Told(remote.id, Box::new(batch))).is_err()
        {
            return Ok(());
        }
        if let Some(error) = failed {
            return Err(error.to_string());
        }
        if !more {
            return Ok(());
        }
    }
}

/// A task that runs there; `Some(None)` for one that is only reserved.
fn running_of(task: Value) -> Option<Option<RemoteRun>> {
    if task["status"] == "RESERVED" {
        return Some(None);
    }
    let upid = task["upid"].as_str()?.parse::<Upid>().ok()?;
    let start = task["starttime"].as_i64().unwrap_or(upid.starttime);
    Some(Some(RemoteRun { upid: upid.as_str().to_owned(), start, detail: task.to_string() }))
}

/// The end of a task there. One without a UPID, a reservation that lapsed or a task of taskwatcher 1.7, gets one that
/// tells its number and has no process.
fn end_of(task: &Value, host: &str) -> Option<RemoteEnd> {
    let text = |key: &str| task[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let endtime = task["endtime"].as_i64()?;
    let outcome = outcome_told(task["outcome"].as_str()?, task["termerror"].as_str());
    let name = text("taskname").unwrap_or_default();
    let upid = match task["upid"].as_str() {
        Some(upid) => upid.parse::<Upid>().ok()?,
        None => {
            let id = task["id"].as_i64()?.unsigned_abs();
            let start = task["starttime"].as_i64().unwrap_or(endtime);
            Upid::build(host, 0, 0, start, &name, id, task["user"].as_str().unwrap_or_default())
        }
    };
    let more = More {
        name: Some(name).filter(|name| *name != upid.worker_type),
        info1: text("info1"),
        info2: text("info2"),
        info3: text("info3"),
        exitcode: task["exitcode"].as_i64().filter(|code| *code != 0),
        ..More::default()
    };
    Some(RemoteEnd { upid, endtime, outcome, more })
}

/// The names of remotes that a command line's tasks are of; none: tasks of this host.
pub(super) fn remotes_of<'a>(tasks: impl Iterator<Item = Option<&'a str>>) -> HashSet<Option<&'a str>> {
    tasks.collect()
}

impl Desk<'_, '_> {
    /// `list` with the tasks of other hosts.
    pub(super) fn list_far(
        &mut self,
        store: &mut Store,
        wanted: &args::List,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Done {
        let name = wanted.remote.as_ref().map(|name| name.as_str());
        some_remotes(store, name)?;
        let now = sys::now().wall;
        let holds = |name: &str, start: i64| {
            wanted.name.as_ref().is_none_or(|wanted| wanted == name)
                && since.is_none_or(|since| start >= since)
                && until.is_none_or(|until| start <= until)
        };
        let mut rows: Vec<(i64, Value)> = vec![];
        if name.is_none() {
            for live in truth::survey(store)?.live {
                let start = live.task.starttime.or(live.task.reservetime).unwrap_or(0);
                if holds(&live.task.name, start) {
                    let mut value = show::task_json(&live, progress_of(&live), now);
                    put(&mut value, [("remote", Value::Null)]);
                    rows.push((start, value));
                }
            }
        }
        for live in store.remote_active(name)? {
            let mut value: Value = serde_json::from_str(&live.run.detail).unwrap_or_default();
            if !value.is_object() {
                value = json!({});
            }
            if !holds(value["name"].as_str().unwrap_or_default(), live.run.start) {
                continue;
            }
            let upid = format!("{}!{}", live.remote, live.run.upid);
            let stale = live.stale.then_some(live.seen);
            put(
                &mut value,
                [
                    ("remote", (*live.remote).into()),
                    ("upid", upid.into()),
                    ("starttime", live.run.start.into()),
                    // How long it runs by now, as far as is known.
                    (
                        "duration",
                        if live.stale { live.seen } else { now.secs() }.saturating_sub(live.run.start).max(0).into(),
                    ),
                    ("seen", live.seen.into()),
                    ("not_seen_since", stale.into()),
                ],
            );
            rows.push((live.run.start, value));
        }
        rows.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        let rows: Vec<Value> = rows.into_iter().map(|(_, value)| value).collect();
        if wanted.jsonl {
            for row in &rows {
                writeln!(self.out.data, "{row}")?;
            }
        } else if self.json {
            self.print(&Value::from(rows).to_string())?;
        } else {
            let text = show::far_task_table(&rows, now, (self.out.width)(), self.out.colours);
            self.print(&text)?;
        }
        Ok(0)
    }

    /// `history` with the tasks of other hosts, in the order of their starts.
    pub(super) fn history_far(&mut self, store: &Store, wanted: &args::History, filter: Filter) -> Done {
        let name = wanted.remote.as_ref().map(|name| name.as_str());
        some_remotes(store, name)?;
        let after = match wanted.after {
            Some(After::End(_)) => return Err(ControlError::OtherOrder("without")),
            Some(After::Start(place)) => Some(place),
            None => None,
        };
        let query = StartQuery {
            filter,
            remote: name.map(str::to_owned),
            node: wanted.node.clone(),
            kind: wanted.kind.clone(),
            limit: usize::try_from(wanted.limit).unwrap_or(usize::MAX),
            after,
            offset: wanted.offset,
            reverse: wanted.reverse,
        };
        let page = store.page_by_start(&query)?;
        let next = page.next.map(|place| place.to_string());
        let rows = || page.rows.iter().map(listed_json);
        if wanted.jsonl {
            for row in rows() {
                writeln!(self.out.data, "{row}")?;
            }
        } else if self.json {
            let rows: Vec<Value> = rows().collect();
            self.print(&json!({ "rows": rows, "next": next }).to_string())?;
            return Ok(0);
        } else {
            let rows: Vec<Value> = rows().collect();
            let text = show::far_history_table(&rows, sys::now().wall, (self.out.width)(), self.out.colours);
            self.print(&text)?;
        }
        if let Some(next) = next {
            self.tell(&format!("there is more: --after {next}"));
        }
        Ok(0)
    }
}

fn some_remotes(store: &Store, name: Option<&str>) -> Result<(), ControlError> {
    match name {
        Some(name) => known(store, name).map(|_| ()),
        None if store.remotes()?.is_empty() => Err(ControlError::NoRemotes),
        None => Ok(()),
    }
}

fn put<const N: usize>(value: &mut Value, fields: [(&str, Value); N]) {
    if let Some(object) = value.as_object_mut() {
        for (key, field) in fields {
            object.insert(key.to_owned(), field);
        }
    }
}

/// An ended task of any host as JSON: the keys of `history`, and whose it is.
fn listed_json(row: &Listed) -> Value {
    match row {
        Listed::Local(row) => {
            let mut value = json!(row);
            put(&mut value, [("remote", Value::Null)]);
            value
        }
        Listed::Remote(task) => {
            let more = task.more.as_deref();
            let text = |pick: fn(&More) -> &Option<String>| more.and_then(|more| pick(more).clone());
            let upid = task.upid.parse::<Upid>().ok();
            json!({
                "remote": *task.remote,
                "node": *task.node,
                "upid": format!("{}!{}", task.remote, task.upid),
                "taskid": upid.as_ref().and_then(Upid::number),
                "taskname": text(|more| &more.name).unwrap_or_else(|| task.kind.to_string()),
                "type": *task.kind,
                "id": upid.as_ref().map(|upid| upid.id().into_owned()),
                "user": *task.user,
                "outcome": task.outcome.to_string(),
                "termerror": task.outcome.reason().filter(|reason| !reason.is_empty()),
                "starttime": task.start,
                "endtime": task.endtime,
                "duration": task.endtime.saturating_sub(task.start),
                "info1": text(|more| &more.info1),
                "info2": text(|more| &more.info2),
                "info3": text(|more| &more.info3),
                "exitcode": more.and_then(|more| more.exitcode),
            })
        }
    }
}
