//! `control remote sync`: who is asked when, and adding what they tell.
//!
//! One thread adds; others ask, so that a host that is slow or dead keeps nobody waiting. Each has a time limit; those
//! that failed are asked less and less often. Of those and of such as begin to be silent only a few are asked at once.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic, mpsc},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{known, proxmox, ssh};
use crate::{
    app::{
        control::{ControlError, Desk, Done, time},
        control_args as args, show,
    },
    io::{
        progress::Bar,
        store::{Batch, Node, Remote, Store, StoreError},
        sys,
    },
    model::{
        remote::{RemoteRun, pause},
        task::{exit_code, span},
        upid::Upid,
    },
};

/// Connections at once, and remotes that are asked at once.
const CONNECTIONS: usize = 20;
/// Of these, such as failed when they were last asked, or are silent now: they must not keep the others waiting.
const DOUBTFUL: usize = 5;
/// Who says nothing for so long is given up.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// Who says nothing for so long is asked once more when there is a line for the doubtful, and then has its whole time.
const QUIET: Duration = Duration::from_secs(5);
/// New entries of one remote that could not be read and are shown.
const SHOWN: usize = 3;
/// Letters that are shown of such an entry.
const ENTRY: usize = 200;
/// How often the bar is drawn.
const STEP: Duration = Duration::from_millis(200);

/// What a thread that asks has to say.
enum News {
    /// Part of an answer, or all of it.
    Told(i64, Box<Batch>),
    /// It is done with this one; or what was wrong with all of it.
    Over(i64, Result<Over, String>),
}

/// How asking a remote ended.
pub(super) enum Over {
    /// It was asked.
    Done {
        /// What was wrong with parts of it.
        parts: Vec<String>,
        /// What of it was not asked.
        left: Vec<Left>,
    },
    /// It was silent; how far it was asked.
    Silent(AskedSoFar),
}

/// Part of a remote that was not asked.
pub(super) struct Left {
    /// Which, and why.
    pub text: String,
    /// Whether that was known before.
    pub again: bool,
}

impl Over {
    /// Nothing more is to be said of it.
    pub(super) const WELL: Over = Over::Done { parts: vec![], left: vec![] };
}

/// How far a remote was asked that was silent then.
#[derive(Debug, Default)]
pub(super) struct AskedSoFar {
    /// Nodes that need not be asked any more.
    pub dealt: HashSet<String>,
    /// Those of them that failed, and why.
    pub failed: Vec<(String, String)>,
    /// Nodes that said nothing.
    pub silent: HashSet<String>,
}

/// One remote to be asked, and what is known of it.
pub(super) struct RemoteJob {
    pub remote: Remote,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// What runs there.
    pub running: Vec<Known>,
    /// Whether all is wanted, as if nothing were known.
    pub anew: bool,
    /// With that: only what started then or later.
    pub since: Option<i64>,
    /// Whether somebody named it, so that nothing of it is left alone.
    pub named: bool,
    /// How long it may be silent.
    pub limit: Duration,
    /// Whether it failed the last time or was silent just now.
    pub doubtful: bool,
    /// How far it was asked before that.
    pub begun: AskedSoFar,
    /// When it is asked, unix seconds.
    pub now: i64,
}

/// A task that ran on a remote when it was last asked.
pub(super) struct Known {
    pub upid: Upid,
    /// The node that listed it, where its UPID names another one.
    pub via: Option<String>,
}

impl Known {
    fn of(run: &RemoteRun) -> Option<Known> {
        Some(Known { upid: run.upid.parse().ok()?, via: run.via() })
    }

    /// The node that is asked about it.
    pub(super) fn node(&self) -> &str {
        self.via.as_deref().unwrap_or(&self.upid.node)
    }
}

/// That nobody listens any more: it can be told the next time.
pub(super) struct Gone;

impl RemoteJob {
    /// How long it may be silent before it counts as doubtful.
    pub(super) fn quiet(&self) -> Duration {
        self.limit.min(QUIET)
    }
}

/// Connections that are free. The first one of a remote goes before the second one of any other.
pub(super) struct ConnectionPool {
    free: Mutex<Free>,
    changed: Condvar,
}

struct Free {
    count: usize,
    /// Remotes that wait for their first one.
    firsts: usize,
}

/// One of them, in use.
pub(super) struct InUse<'a>(&'a ConnectionPool);

impl ConnectionPool {
    fn new(count: usize) -> ConnectionPool {
        ConnectionPool { free: Mutex::new(Free { count, firsts: 0 }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        // A number is whole whoever panicked beside it.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first one of a remote.
    pub(super) fn take(&self) -> InUse<'_> {
        let mut free = self.lock();
        free.firsts += 1;
        while free.count == 0 {
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        free.firsts -= 1;
        free.count -= 1;
        drop(free);
        self.changed.notify_all();
        InUse(self)
    }

    /// Waits for one more, as long as it is wanted.
    pub(super) fn take_more(&self, wanted: &dyn Fn() -> bool) -> Option<InUse<'_>> {
        let mut free = self.lock();
        while wanted() {
            if free.count > free.firsts {
                free.count -= 1;
                return Some(InUse(self));
            }
            free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    /// Whether some remote waits for its first one in vain.
    pub(super) fn are_short(&self) -> bool {
        let free = self.lock();
        free.firsts > free.count
    }

    /// What somebody waits for may not be wanted any more.
    pub(super) fn nudge(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.lock().count += 1;
        self.0.changed.notify_all();
    }
}

/// Where a thread that asks tells what it hears.
pub(super) struct PullSink<'a> {
    id: i64,
    news: &'a (dyn Fn(News) -> Result<(), Gone> + Sync),
    /// What it takes one of before it connects.
    pub lines: &'a ConnectionPool,
}

impl PullSink<'_> {
    /// Tells of tasks.
    pub(super) fn told(&self, batch: Batch) -> Result<(), Gone> {
        (self.news)(News::Told(self.id, Box::new(batch)))
    }
}

fn pull(job: &RemoteJob, tell: &PullSink<'_>) -> Result<Over, String> {
    match job.remote.source.api() {
        None => ssh::pull(job, tell),
        Some((product, api)) => proxmox::pull(job, product, api, tell),
    }
}

/// That one is left alone for so many seconds.
pub(super) fn left_alone(secs: u64, failures: u32, why: &str) -> String {
    let failures = show::count(failures.into(), "failure");
    format!("is left alone for another {} after {failures} ({why})", span(Duration::from_secs(secs)))
}

/// What of the database does not work just now. Who goes on and on says so once, and tries again.
#[derive(Default)]
struct Troubles {
    go_on: bool,
    told: HashSet<&'static str>,
}

impl Troubles {
    /// What came of something; none if it did not work and we go on.
    fn pass<T>(
        &mut self,
        desk: &mut Desk<'_, '_>,
        doing: &'static str,
        done: Result<T, StoreError>,
    ) -> Result<Option<T>, ControlError> {
        match done {
            Ok(value) => {
                self.told.remove(doing);
                Ok(Some(value))
            }
            Err(error) if self.go_on => {
                if self.told.insert(doing) {
                    desk.tell(&format!("error: {error}; trying again"));
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How the pull of one remote went.
#[derive(Debug, Default)]
struct Pulled {
    new: u64,
    changed: u64,
    /// Entries that could not be read.
    unread: usize,
    /// When it was asked, unix seconds.
    now: i64,
    /// The same, or when it was asked once more, on the monotonic clock.
    since: Duration,
    error: Option<String>,
    /// What was wrong with parts of it.
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
                        let tell = |news| send.send(news).map_err(|_| Gone);
                        let done = pull(&job, &PullSink { id: job.remote.id, news: &tell, lines });
                        if tell(News::Over(job.remote.id, done)).is_err() {
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
            // Those that are still asked are given up: what they would tell is told the next time.
            drop(receive);
            closed.store(true, atomic::Ordering::SeqCst);
            if let Ok(mut waiting) = queue.lock() {
                waiting.clear();
            }
            wake.notify_all();
            done
        })
    }

    /// Asks one remote after the other on this thread, where no other one can be made. What one tells is kept in memory
    /// until it has told all.
    fn direct_alone(&mut self, store: &mut Store, wanted: &args::RemoteSync, lines: &ConnectionPool) -> Done {
        let (send, receive) = mpsc::channel();
        self.direct(store, wanted, &receive, &|job| {
            let tell = |news| send.send(news).map_err(|_| Gone);
            let done = pull(&job, &PullSink { id: job.remote.id, news: &tell, lines });
            // The other end is held here.
            let _ = tell(News::Over(job.remote.id, done));
        })
    }

    /// Gives remotes to those who ask, and adds what they tell, until all were asked; with `--every`, on and on.
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
        // Those that were silent for a while, and how far some of them were asked until then.
        let mut slow: HashSet<i64> = HashSet::new();
        let mut begun: HashMap<i64, (Pulled, AskedSoFar)> = HashMap::new();
        let since = time("--since", &wanted.since)?;
        let mut failed = false;
        let mut troubles = Troubles { go_on: wanted.every.is_some(), ..Troubles::default() };
        let mut all: Vec<Remote> = store.remotes()?.into_iter().filter(chosen).collect();
        // A long one shows how far it is.
        let mut bar = Bar::new(!self.json && wanted.every.is_none(), sys::now().mono);
        let (mut left_out, mut done, mut total) = (0, 0, 0);
        if wanted.every.is_none() && wanted.names.is_empty() {
            // One that is dead is left alone for a while; who names it wants it asked.
            let now = sys::now().wall.secs();
            for remote in &all {
                let until = remote.tried.unwrap_or(0).saturating_add(pause(remote.failures).as_secs() as i64);
                if remote.failures > 0 && until > now {
                    due.insert(remote.id, Duration::MAX);
                    left_out += 1;
                    let why = remote.error.as_deref().unwrap_or_default();
                    let left = left_alone(until.abs_diff(now), remote.failures, why);
                    self.tell(&show::clean(&format!("remote {} {left}; name it to ask it now", remote.name)));
                }
            }
        }
        loop {
            let now = sys::now().mono;
            let is_doubtful = |remote: &Remote| remote.failures > 0 || slow.contains(&remote.id);
            let mut doubtful = asked.values().filter(|(remote, _)| is_doubtful(remote)).count();
            // Those that answered last time come first.
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
                // What the nodes of one are known to run and to have told.
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
                // One that is asked once more is asked at the same time, so that what it told already is of it.
                let (pulled, begun) = begun.remove(&remote.id).unwrap_or_else(|| {
                    (Pulled { now: sys::now().wall.secs(), ..Pulled::default() }, AskedSoFar::default())
                });
                let pulled = Pulled { since: now, ..pulled };
                let asked_at = pulled.now;
                asked.insert(remote.id, (remote.clone(), pulled));
                let doubtful = is_doubtful(remote);
                let remote = remote.clone();
                let (anew, named) = (wanted.refetch, !wanted.names.is_empty() && wanted.every.is_none());
                let limit = wanted.timeout.unwrap_or(LIMIT);
                hand_out(RemoteJob {
                    remote,
                    nodes,
                    running,
                    anew,
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
                self.say_forgotten(forgotten)?;
                return Ok(if failed { exit_code::FAILED } else { 0 });
            }
            let next = all.iter().filter(|one| !asked.contains_key(&one.id)).filter_map(|one| due.get(&one.id)).min();
            let wait = next.map_or(Duration::from_secs(3600), |due| due.saturating_sub(now));
            let item = news.recv_timeout(match (asked.is_empty(), wanted.every) {
                (false, None) => STEP,
                _ => wait.max(Duration::from_millis(10)),
            });
            match item {
                Ok(News::Told(id, batch)) => {
                    let Some((remote, pulled)) = asked.get_mut(&id).filter(|(_, pulled)| pulled.error.is_none()) else {
                        continue;
                    };
                    sys::crash_point("sync.told");
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
                                let line = format!("remote {}: passed over what cannot be read: {entry}", remote.name);
                                bar.aside(|| self.tell(&line));
                            }
                        }
                        // What it tells next goes on from here; so it is asked again from its last cursor.
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
                            // What it told of itself meanwhile need not be told again.
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
                            // One that goes on tells it once.
                            for left in left.iter().filter(|left| wanted.every.is_none() || !left.again) {
                                let line = format!("remote {}: {}", remote.name, show::clean(&left.text));
                                bar.aside(|| self.tell(&line));
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
                    bar.aside(|| self.say_pulled(&remote, &pulled, wanted.every.is_some()))?;
                    let failures = if pulled.error.is_some() { remote.failures.saturating_add(1) } else { 0 };
                    let after = wanted.every.map_or(Duration::MAX, |every| every.max(pause(failures)));
                    due.insert(id, sys::now().mono.saturating_add(after));
                    if wanted.every.is_some() && pulled.new > 0 {
                        let forgotten = self.forget_old(store, wanted);
                        let forgotten = troubles.pass(self, "old", forgotten)?;
                        self.say_forgotten(forgotten.unwrap_or_default())?;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ControlError::NoRemotes),
            }
            if wanted.every.is_some() {
                // Others may have added and removed some meanwhile, and each has a new cursor.
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

    fn say_forgotten(&mut self, forgotten: u64) -> Result<(), ControlError> {
        if forgotten > 0 && !self.json {
            self.print(&format!("{} of remotes forgotten", show::count(forgotten, "old task")))?;
        }
        Ok(())
    }

    fn say_pulled(&mut self, remote: &Remote, pulled: &Pulled, on_and_on: bool) -> Result<(), ControlError> {
        for error in pulled.error.iter().chain(&pulled.parts) {
            self.tell(&format!("error: remote {}: {}", remote.name, show::clean(error)));
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
