//! `control remote sync`: schedules the requests to remotes, and stores the responses.
//!
//! One thread stores; others send requests, so that a slow or dead host does not delay the others. Each request has a
//! time limit. Remotes that failed are asked at growing intervals. Only a few of the remotes that failed or are silent
//! are asked at once.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Condvar, Mutex, atomic, mpsc},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    known, proxmox,
    pull::{AskedSoFar, ConnectionPool, Gone, Known, LIMIT, News, Over, PullSink, QUIET, RemoteJob, skipped_text},
    ssh,
};
use crate::{
    app::{
        control::{ControlError, Desk, Done, time},
        control_args as args, show,
    },
    io::{
        progress::Bar,
        store::{Remote, Store, StoreError},
        sys,
    },
    model::{remote::pause, task::exit_code},
};

/// Maximum number of connections, and of remotes that are asked at once.
const CONNECTIONS: usize = 20;
/// Maximum number of these that failed the last time or are silent now, so that they do not delay the others.
const DOUBTFUL: usize = 5;
/// Maximum number of unreadable entries of one remote that are shown.
const SHOWN: usize = 3;
/// Maximum number of characters shown of an unreadable entry.
const ENTRY: usize = 200;
/// Interval at which the progress bar is drawn.
const STEP: Duration = Duration::from_millis(200);

fn pull(job: &RemoteJob, sink: &PullSink<'_>) -> Result<Over, String> {
    match job.remote.source.api() {
        None => ssh::pull(job, sink),
        Some((product, api)) => proxmox::pull(job, product, api, sink),
    }
}

/// Errors of the database. With `--every`, each kind is reported once, and the operation is repeated later.
#[derive(Default)]
struct Troubles {
    go_on: bool,
    reported: HashSet<&'static str>,
}

impl Troubles {
    /// Returns the value of a result. `None` if it is an error and the sync continues.
    fn pass<T>(
        &mut self,
        desk: &mut Desk<'_, '_>,
        doing: &'static str,
        done: Result<T, StoreError>,
    ) -> Result<Option<T>, ControlError> {
        match done {
            Ok(value) => {
                self.reported.remove(doing);
                Ok(Some(value))
            }
            Err(error) if self.go_on => {
                if self.reported.insert(doing) {
                    desk.report(&format!("error: {error}; trying again"));
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The result of the requests to one remote.
#[derive(Debug, Default)]
struct Pulled {
    new: u64,
    changed: u64,
    /// Number of unreadable entries.
    unread: usize,
    /// When the remote was first asked, in Unix seconds.
    now: i64,
    /// When the remote was last asked, on the monotonic clock.
    since: Duration,
    error: Option<String>,
    /// The errors of single nodes.
    parts: Vec<String>,
}

impl Desk<'_, '_> {
    pub(super) fn sync(&mut self, wanted: &args::RemoteSync) -> Done {
        let mut store = self.open_remotes()?;
        for name in &wanted.names {
            known(&store, name.as_str())?;
        }
        if store.remotes()?.is_empty() {
            return Err(ControlError::NoRemotes);
        }
        let (send, receive) = mpsc::sync_channel::<News>(CONNECTIONS);
        let queue: Mutex<VecDeque<RemoteJob>> = Mutex::new(VecDeque::new());
        let (wake, closed) = (Condvar::new(), atomic::AtomicBool::new(false));
        let lines = ConnectionPool::new(CONNECTIONS);
        thread::scope(|scope| {
            let work = || {
                let send = send.clone();
                let (queue, wake, closed, lines) = (&queue, &wake, &closed, &lines);
                move || {
                    loop {
                        let Ok(mut waiting) = queue.lock() else { return };
                        let job = loop {
                            if let Some(job) = waiting.pop_front() {
                                break job;
                            }
                            if closed.load(atomic::Ordering::SeqCst) {
                                return;
                            }
                            match wake.wait(waiting) {
                                Ok(again) => waiting = again,
                                Err(_) => return,
                            }
                        };
                        drop(waiting);
                        let send_news = |news| send.send(news).map_err(|_| Gone);
                        let done = pull(&job, &PullSink { id: job.remote.id, news: &send_news, lines });
                        if send_news(News::Over(job.remote.id, done)).is_err() {
                            return;
                        }
                    }
                }
            };
            let begin = |_: &usize| thread::Builder::new().spawn_scoped(scope, work()).is_ok();
            if (0..CONNECTIONS).take_while(begin).count() == 0 {
                return self.direct_alone(&mut store, wanted, &lines);
            }
            drop(send);
            let done = self.direct(&mut store, wanted, &receive, &|job| {
                if let Ok(mut waiting) = queue.lock() {
                    waiting.push_back(job);
                }
                wake.notify_one();
            });
            // Running requests are abandoned; the next sync fetches their data again.
            drop(receive);
            closed.store(true, atomic::Ordering::SeqCst);
            if let Ok(mut waiting) = queue.lock() {
                waiting.clear();
            }
            wake.notify_all();
            done
        })
    }

    /// Asks one remote after the other on this thread, if no thread can be created. All responses of a remote are held
    /// in memory until the remote is done.
    fn direct_alone(&mut self, store: &mut Store, wanted: &args::RemoteSync, lines: &ConnectionPool) -> Done {
        let (send, receive) = mpsc::channel();
        self.direct(store, wanted, &receive, &|job| {
            let send_news = |news| send.send(news).map_err(|_| Gone);
            let done = pull(&job, &PullSink { id: job.remote.id, news: &send_news, lines });
            // Cannot fail: the receiver is in this function.
            let _ = send_news(News::Over(job.remote.id, done));
        })
    }

    /// Hands remotes to the requesting threads, and stores the responses, until all remotes were asked; with `--every`,
    /// forever.
    fn direct(
        &mut self,
        store: &mut Store,
        wanted: &args::RemoteSync,
        news: &mpsc::Receiver<News>,
        hand_out: &dyn Fn(RemoteJob),
    ) -> Done {
        let chosen =
            |remote: &Remote| wanted.names.is_empty() || wanted.names.iter().any(|n| n.as_str() == remote.name);
        let mut due: HashMap<i64, Duration> = HashMap::new();
        let mut asked: HashMap<i64, (Remote, Pulled)> = HashMap::new();
        // Remotes that were silent for a while, and the progress with some of them.
        let mut slow: HashSet<i64> = HashSet::new();
        let mut begun: HashMap<i64, (Pulled, AskedSoFar)> = HashMap::new();
        let since = time("--since", &wanted.since)?;
        let mut failed = false;
        let mut troubles = Troubles { go_on: wanted.every.is_some(), ..Troubles::default() };
        let mut all: Vec<Remote> = store.remotes()?.into_iter().filter(chosen).collect();
        // A long sync shows its progress.
        let mut bar = Bar::new(!self.json && wanted.every.is_none(), sys::now().mono);
        let (mut left_out, mut done, mut total) = (0, 0, 0);
        if wanted.every.is_none() && wanted.names.is_empty() {
            // A remote that failed is skipped for a while, unless the command line names it.
            let now = sys::now().wall.secs();
            for remote in &all {
                let until = remote.tried.unwrap_or(0).saturating_add(pause(remote.failures).as_secs() as i64);
                if remote.failures > 0 && until > now {
                    due.insert(remote.id, Duration::MAX);
                    left_out += 1;
                    let why = remote.error.as_deref().unwrap_or_default();
                    let left = skipped_text(until.abs_diff(now), remote.failures, why);
                    self.report(&show::clean(&format!("remote {} {left}; name it to sync it now", remote.name)));
                }
            }
        }
        loop {
            let now = sys::now().mono;
            let is_doubtful = |remote: &Remote| remote.failures > 0 || slow.contains(&remote.id);
            let mut doubtful = asked.values().filter(|(remote, _)| is_doubtful(remote)).count();
            // Remotes that responded the last time come first.
            all.sort_by_key(|remote| (slow.contains(&remote.id), remote.failures));
            for remote in &all {
                let waits = due.get(&remote.id).is_some_and(|due| *due > now);
                if waits || asked.contains_key(&remote.id) || asked.len() >= CONNECTIONS {
                    continue;
                }
                if is_doubtful(remote) {
                    if doubtful >= DOUBTFUL {
                        continue;
                    }
                    doubtful += 1;
                }
                // The known state of the nodes of a Proxmox host, and the tasks that ran there.
                let (mut nodes, mut running) = (vec![], vec![]);
                if remote.source.api().is_some() {
                    let read = || {
                        let nodes = store.remote_nodes(Some(remote.id))?.remove(&remote.id).unwrap_or_default();
                        let live = store.remote_active(Some(&remote.name))?;
                        Ok((nodes, live.iter().filter_map(|live| Known::of(&live.run)).collect()))
                    };
                    match troubles.pass(self, "nodes", read())? {
                        Some(read) => (nodes, running) = read,
                        None => {
                            due.insert(remote.id, now.saturating_add(wanted.every.unwrap_or_default().max(STEP)));
                            continue;
                        }
                    }
                }
                // A remote that is asked again keeps its time, so that earlier responses belong to the same sync.
                let (pulled, begun) = begun.remove(&remote.id).unwrap_or_else(|| {
                    (Pulled { now: sys::now().wall.secs(), ..Pulled::default() }, AskedSoFar::default())
                });
                let pulled = Pulled { since: now, ..pulled };
                let asked_at = pulled.now;
                asked.insert(remote.id, (remote.clone(), pulled));
                let doubtful = is_doubtful(remote);
                let remote = remote.clone();
                let (refetch, named) = (wanted.refetch, !wanted.names.is_empty() && wanted.every.is_none());
                let limit = wanted.timeout.unwrap_or(LIMIT);
                hand_out(RemoteJob {
                    remote,
                    nodes,
                    running,
                    refetch,
                    since,
                    named,
                    limit,
                    doubtful,
                    begun,
                    now: asked_at,
                });
            }
            bar.show(now, all.len() - left_out, done, total);
            if asked.is_empty() && wanted.every.is_none() {
                let forgotten = self.forget_old(store, wanted)?;
                self.report_removed(forgotten)?;
                return Ok(if failed { exit_code::FAILED } else { 0 });
            }
            let next = all.iter().filter(|one| !asked.contains_key(&one.id)).filter_map(|one| due.get(&one.id)).min();
            let wait = next.map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
            let item = news.recv_timeout(match (asked.is_empty(), wanted.every) {
                (false, None) => STEP,
                _ => wait.max(Duration::from_millis(10)),
            });
            match item {
                Ok(News::Received(id, batch)) => {
                    let Some((remote, pulled)) = asked.get_mut(&id).filter(|(_, pulled)| pulled.error.is_none()) else {
                        continue;
                    };
                    sys::crash_point("sync.received");
                    let added = store.add_remote_tasks(id, &batch);
                    sys::crash_point("sync.added");
                    bar.aside(|| troubles.pass(self, "checkpoint", store.checkpoint()))?;
                    match added {
                        Ok(added) => {
                            pulled.new += added.new;
                            pulled.changed += added.changed;
                            total += added.new;
                            let shown = SHOWN.saturating_sub(pulled.unread);
                            pulled.unread += added.unread.len();
                            for entry in added.unread.iter().take(shown) {
                                let entry: String = entry.chars().take(ENTRY).collect();
                                let entry = show::clean(&entry);
                                let line = format!("remote {}: skipped unreadable entry: {entry}", remote.name);
                                bar.aside(|| self.report(&line));
                            }
                        }
                        // The following responses build on this one, so the remote is asked again from its last cursor.
                        Err(error) if wanted.every.is_some() => pulled.error = Some(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(News::Over(id, asked_well)) => {
                    let Some((remote, mut pulled)) = asked.remove(&id) else { continue };
                    match asked_well {
                        Ok(Over::Silent(until)) if pulled.error.is_none() => {
                            slow.insert(id);
                            begun.insert(id, (pulled, until));
                            // Continue from the cursor that was stored meanwhile.
                            if let Some(place) = all.iter_mut().find(|one| one.id == id)
                                && let Some(newer) = troubles.pass(self, "remotes", store.remotes())?
                                && let Some(newer) = newer.into_iter().find(|one| one.id == id)
                            {
                                *place = newer;
                            }
                            continue;
                        }
                        Ok(Over::Silent(_)) => {}
                        Ok(Over::Done { parts, left }) => {
                            pulled.parts = parts;
                            // With `--every`, this is reported once.
                            for left in left.iter().filter(|left| wanted.every.is_none() || !left.again) {
                                let line = format!("remote {}: {}", remote.name, show::clean(&left.text));
                                bar.aside(|| self.report(&line));
                            }
                        }
                        Err(error) => pulled.error = pulled.error.or(Some(error)),
                    }
                    done += 1;
                    if sys::now().mono.saturating_sub(pulled.since) < QUIET {
                        slow.remove(&id);
                    }
                    failed |= pulled.error.is_some() || !pulled.parts.is_empty();
                    if let Some(error) = &pulled.error {
                        let noted = store.remote_failed(id, error, pulled.now);
                        bar.aside(|| troubles.pass(self, "failure", noted))?;
                    }
                    bar.aside(|| self.report_pulled(&remote, &pulled, wanted.every.is_some()))?;
                    let failures = if pulled.error.is_some() { remote.failures.saturating_add(1) } else { 0 };
                    let after = wanted.every.map_or(Duration::MAX, |every| every.max(pause(failures)));
                    due.insert(id, sys::now().mono.saturating_add(after));
                    if wanted.every.is_some() && pulled.new > 0 {
                        let forgotten = self.forget_old(store, wanted);
                        let forgotten = troubles.pass(self, "old", forgotten)?;
                        self.report_removed(forgotten.unwrap_or_default())?;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ControlError::NoRemotes),
            }
            if wanted.every.is_some() {
                // Other programs may have added and removed remotes meanwhile, and the cursors have changed.
                if let Some(newer) = troubles.pass(self, "remotes", store.remotes())? {
                    all = newer.into_iter().filter(chosen).collect();
                }
            }
        }
    }

    fn forget_old(&mut self, store: &mut Store, wanted: &args::RemoteSync) -> Result<u64, StoreError> {
        let before = wanted.keep.map(|keep| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            sys::now().wall.secs().saturating_sub(keep)
        });
        store.forget_remote_tasks(before, wanted.keep_tasks)
    }

    fn report_removed(&mut self, forgotten: u64) -> Result<(), ControlError> {
        if forgotten > 0 && !self.json {
            self.print(&format!("{} of remotes removed", show::count(forgotten, "old task")))?;
        }
        Ok(())
    }

    fn report_pulled(&mut self, remote: &Remote, pulled: &Pulled, on_and_on: bool) -> Result<(), ControlError> {
        for error in pulled.error.iter().chain(&pulled.parts) {
            self.report(&format!("error: remote {}: {}", remote.name, show::clean(error)));
        }
        let quiet = on_and_on && pulled.new == 0 && pulled.changed == 0;
        if self.json {
            let (new, changed) = (pulled.new, pulled.changed);
            let (error, parts) = (&pulled.error, &pulled.parts);
            let line = json!({ "name": remote.name, "new": new, "changed": changed, "error": error, "nodes": parts });
            self.print(&line.to_string())?;
        } else if pulled.error.is_none() && !quiet {
            let changed = if pulled.changed > 0 { format!(", {} changed", pulled.changed) } else { String::new() };
            self.print(&format!("remote {}: {} new{changed}", remote.name, pulled.new))?;
        }
        self.out.data.flush()?;
        Ok(())
    }
}
