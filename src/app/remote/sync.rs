//! `control remote sync`: schedules the requests to remotes, and stores the responses.
//!
//! [`SyncScheduler`] decides which remote is asked when. One thread stores; others send requests, so that a slow or dead
//! host does not delay the others. Each request has a time limit.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use serde_json::json;

use super::{
    known, proxmox,
    pull::{AskedSoFar, ConnectionPool, Gone, Known, LIMIT, News, Over, PullSink, RemoteJob, skipped_text},
    ssh,
};
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
        sync::{Ask, AskEnd, CONNECTIONS, Followup, RemoteState, SyncRules, SyncScheduler},
        task::exit_code,
    },
};

/// Maximum number of unreadable entries of one remote that are shown.
const SHOWN: usize = 3;
/// Maximum number of characters shown of an unreadable entry.
const ENTRY: usize = 200;

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
    error: Option<String>,
    /// The errors of single nodes.
    parts: Vec<String>,
}

/// Jobs for the requesting threads.
#[derive(Default)]
struct JobQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<RemoteJob>,
    closed: bool,
}

impl JobQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere cannot leave the queue inconsistent.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: RemoteJob) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    /// Waits for a job. `None` once the queue is closed.
    fn take(&self) -> Option<RemoteJob> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops all jobs and ends the threads that wait for one.
    fn close(&self) {
        *self.lock() = Waiting { jobs: VecDeque::new(), closed: true };
        self.changed.notify_all();
    }
}

/// Asks the remote of a job, and sends all responses.
///
/// # Errors
/// [`Gone`]
fn ask(job: &RemoteJob, pool: &ConnectionPool, send: &(dyn Fn(News) -> Result<(), Gone> + Sync)) -> Result<(), Gone> {
    let id = job.remote.id;
    let over = pull(job, &PullSink { id, news: send, lines: pool });
    send(News::Over(id, over))
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
        let (queue, pool) = (JobQueue::default(), ConnectionPool::new(CONNECTIONS));
        thread::scope(|scope| {
            let work = || {
                let send = send.clone();
                let (queue, pool) = (&queue, &pool);
                move || {
                    let send_news = |news| send.send(news).map_err(|_| Gone);
                    while let Some(job) = queue.take()
                        && ask(&job, pool, &send_news).is_ok()
                    {}
                }
            };
            let begin = |_: &usize| thread::Builder::new().spawn_scoped(scope, work()).is_ok();
            if (0..CONNECTIONS).take_while(begin).count() == 0 {
                return self.sync_alone(&mut store, wanted, &pool);
            }
            drop(send);
            let done =
                SyncRun::new(self, &mut store, wanted).and_then(|run| run.direct(&receive, &|job| queue.put(job)));
            // Running requests are abandoned; the next sync fetches their data again.
            drop(receive);
            queue.close();
            done
        })
    }

    /// Asks one remote after the other on this thread, if no thread can be created. All responses of a remote are held
    /// in memory until the remote is done.
    fn sync_alone(&mut self, store: &mut Store, wanted: &args::RemoteSync, pool: &ConnectionPool) -> Done {
        let (send, receive) = mpsc::channel();
        SyncRun::new(self, store, wanted)?.direct(&receive, &|job| {
            // Cannot fail: the receiver is in this function.
            let _ = ask(&job, pool, &|news| send.send(news).map_err(|_| Gone));
        })
    }
}

/// Returns what the schedule needs to know of a remote.
fn state_of(remote: &Remote) -> RemoteState {
    RemoteState { id: remote.id, failures: remote.failures, tried: remote.tried }
}

/// A running sync: carries out what its schedule decides.
struct SyncRun<'a, 'b, 'c> {
    desk: &'a mut Desk<'b, 'c>,
    store: &'a mut Store,
    wanted: &'a args::RemoteSync,
    /// `--since`, in Unix seconds.
    since: Option<i64>,
    schedule: SyncScheduler<AskedSoFar>,
    /// The chosen remotes, by id.
    remotes: HashMap<i64, Remote>,
    /// The remotes that are asked, as they were before, with the results so far.
    asked: HashMap<i64, (Remote, Pulled)>,
    troubles: Troubles,
    bar: Bar,
    /// Number of new tasks of all remotes.
    total: u64,
}

impl<'a, 'b, 'c> SyncRun<'a, 'b, 'c> {
    fn new(
        desk: &'a mut Desk<'b, 'c>,
        store: &'a mut Store,
        wanted: &'a args::RemoteSync,
    ) -> Result<SyncRun<'a, 'b, 'c>, ControlError> {
        let since = time("--since", &wanted.since)?;
        let chosen: Vec<Remote> = store.remotes()?.into_iter().filter(|remote| is_chosen(remote, wanted)).collect();
        let rules = SyncRules { every: wanted.every, named: !wanted.names.is_empty(), ..SyncRules::default() };
        let now = sys::now();
        // A long sync shows its progress.
        let bar = Bar::new(!desk.json && wanted.every.is_none(), now.mono);
        Ok(SyncRun {
            desk,
            store,
            wanted,
            since,
            schedule: SyncScheduler::new(rules, chosen.iter().map(state_of).collect(), now.wall.secs()),
            remotes: chosen.into_iter().map(|remote| (remote.id, remote)).collect(),
            asked: HashMap::new(),
            troubles: Troubles { go_on: wanted.every.is_some(), ..Troubles::default() },
            bar,
            total: 0,
        })
    }

    /// Hands remotes to the requesting threads, and stores the responses, until all remotes were asked; with `--every`,
    /// forever.
    fn direct(mut self, news: &mpsc::Receiver<News>, hand_out: &dyn Fn(RemoteJob)) -> Done {
        self.report_skipped();
        loop {
            let now = sys::now().mono;
            while let Some(ask) = self.schedule.ask_next(now) {
                if let Some(job) = self.job(ask, now)? {
                    hand_out(job);
                }
            }
            let (count, done) = self.schedule.progress();
            self.bar.show(now, count, done, self.total);
            let Some(wait) = self.schedule.wait(now) else {
                let forgotten = self.forget_old()?;
                self.report_removed(forgotten)?;
                return Ok(if self.schedule.has_failed() { exit_code::FAILED } else { 0 });
            };
            match news.recv_timeout(wait) {
                Ok(News::Received(id, batch)) => self.store_batch(id, &batch)?,
                Ok(News::Over(id, over)) => self.end_of(id, over)?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ControlError::NoRemotes),
            }
            if self.wanted.every.is_some() {
                self.read_remotes()?;
            }
        }
    }

    fn report_skipped(&mut self) {
        for skipped in self.schedule.skipped() {
            let Some(remote) = self.remotes.get(&skipped.id) else { continue };
            let left = skipped_text(skipped.secs, remote.failures, remote.error.as_deref().unwrap_or_default());
            self.desk.report(&show::clean(&format!("remote {} {left}; name it to sync it now", remote.name)));
        }
    }

    /// Returns the job for a remote that the schedule wants to ask. `None` if the database cannot be read, so that the
    /// remote is asked later.
    fn job(&mut self, ask: Ask<AskedSoFar>, now: Duration) -> Result<Option<RemoteJob>, ControlError> {
        let Some(remote) = self.remotes.get(&ask.id).cloned() else {
            self.schedule.put_off(ask, now);
            return Ok(None);
        };
        let read = read_nodes(self.store, &remote);
        let Some((nodes, running)) = self.troubles.pass(self.desk, "nodes", read)? else {
            self.schedule.put_off(ask, now);
            return Ok(None);
        };
        // A remote that is asked again keeps its time, so that earlier responses belong to the same sync.
        let first = || (remote.clone(), Pulled { now: sys::now().wall.secs(), ..Pulled::default() });
        let (before, pulled) = self.asked.entry(ask.id).or_insert_with(first);
        before.clone_from(&remote);
        Ok(Some(RemoteJob {
            remote,
            nodes,
            running,
            refetch: self.wanted.refetch,
            since: self.since,
            named: !self.wanted.names.is_empty() && self.wanted.every.is_none(),
            limit: self.wanted.timeout.unwrap_or(LIMIT),
            doubtful: ask.doubtful,
            begun: ask.begun.unwrap_or_default(),
            now: pulled.now,
        }))
    }

    fn store_batch(&mut self, id: i64, batch: &Batch) -> Result<(), ControlError> {
        let Some((remote, pulled)) = self.asked.get_mut(&id).filter(|_| self.schedule.takes(id)) else {
            return Ok(());
        };
        sys::crash_point("sync.received");
        let added = self.store.add_remote_tasks(id, batch);
        sys::crash_point("sync.added");
        self.bar.aside(|| self.troubles.pass(self.desk, "checkpoint", self.store.checkpoint()))?;
        match added {
            Ok(added) => {
                pulled.new += added.new;
                pulled.changed += added.changed;
                self.total += added.new;
                let shown = SHOWN.saturating_sub(pulled.unread);
                pulled.unread += added.unread.len();
                for entry in added.unread.iter().take(shown) {
                    let entry: String = entry.chars().take(ENTRY).collect();
                    let entry = show::clean(&entry);
                    let line = format!("remote {}: skipped unreadable entry: {entry}", remote.name);
                    self.bar.aside(|| self.desk.report(&line));
                }
            }
            Err(error) if self.wanted.every.is_some() => {
                pulled.error = Some(error.to_string());
                self.schedule.not_stored(id);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Handles the end of the requests to a remote.
    fn end_of(&mut self, id: i64, over: Result<Over, String>) -> Result<(), ControlError> {
        let (end, parts, left, error) = match over {
            Ok(Over::Silent(so_far)) => (AskEnd::Silent(so_far), vec![], vec![], None),
            Ok(Over::Done { parts, left }) => (AskEnd::Done { whole: parts.is_empty() }, parts, left, None),
            Err(error) => (AskEnd::Failed, vec![], vec![], Some(error)),
        };
        match self.schedule.ended(id, end, sys::now().mono) {
            Followup::Nothing => return Ok(()),
            // With `--every`, all remotes are read after each message.
            Followup::AskAgain if self.wanted.every.is_some() => return Ok(()),
            Followup::AskAgain => return self.read_remote(id),
            Followup::Report => {}
        }
        let Some((remote, mut pulled)) = self.asked.remove(&id) else { return Ok(()) };
        pulled.parts = parts;
        pulled.error = pulled.error.or(error);
        let go_on = self.wanted.every.is_some();
        // With `--every`, this is reported once.
        for left in left.iter().filter(|left| !go_on || !left.again) {
            let line = format!("remote {}: {}", remote.name, show::clean(&left.text));
            self.bar.aside(|| self.desk.report(&line));
        }
        if let Some(error) = &pulled.error {
            let noted = self.store.remote_failed(id, error, pulled.now);
            self.bar.aside(|| self.troubles.pass(self.desk, "failure", noted))?;
        }
        self.bar.aside(|| self.desk.report_pulled(&remote, &pulled, go_on))?;
        if go_on && pulled.new > 0 {
            let forgotten = self.forget_old();
            let forgotten = self.troubles.pass(self.desk, "old", forgotten)?;
            self.report_removed(forgotten.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Reads the chosen remotes again: other programs may have added and removed some, and the cursors have changed.
    fn read_remotes(&mut self) -> Result<(), ControlError> {
        let Some(newer) = self.troubles.pass(self.desk, "remotes", self.store.remotes())? else { return Ok(()) };
        let chosen: Vec<Remote> = newer.into_iter().filter(|remote| is_chosen(remote, self.wanted)).collect();
        self.schedule.replace(chosen.iter().map(state_of).collect());
        self.remotes = chosen.into_iter().map(|remote| (remote.id, remote)).collect();
        Ok(())
    }

    /// Reads one of the remotes again, to continue from the cursor that was stored meanwhile.
    fn read_remote(&mut self, id: i64) -> Result<(), ControlError> {
        let newer = self.troubles.pass(self.desk, "remotes", self.store.remotes())?;
        if let Some(newer) = newer.into_iter().flatten().find(|remote| remote.id == id) {
            self.schedule.update(state_of(&newer));
            self.remotes.insert(id, newer);
        }
        Ok(())
    }

    fn forget_old(&mut self) -> Result<u64, StoreError> {
        let before = self.wanted.keep.map(|keep| {
            let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
            sys::now().wall.secs().saturating_sub(keep)
        });
        self.store.forget_remote_tasks(before, self.wanted.keep_tasks)
    }

    fn report_removed(&mut self, forgotten: u64) -> Result<(), ControlError> {
        if forgotten > 0 && !self.desk.json {
            self.desk.print(&format!("{} of remotes removed", show::count(forgotten, "old task")))?;
        }
        Ok(())
    }
}

/// Whether the command line chooses a remote.
fn is_chosen(remote: &Remote, wanted: &args::RemoteSync) -> bool {
    wanted.names.is_empty() || wanted.names.iter().any(|name| name.as_str() == remote.name)
}

/// Returns the known state of the nodes of a Proxmox host, and the tasks that ran there.
fn read_nodes(store: &Store, remote: &Remote) -> Result<(Vec<Node>, Vec<Known>), StoreError> {
    if remote.source.api().is_none() {
        return Ok((vec![], vec![]));
    }
    let nodes = store.remote_nodes(Some(remote.id))?.remove(&remote.id).unwrap_or_default();
    let live = store.remote_active(Some(&remote.name))?;
    Ok((nodes, live.iter().filter_map(|live| Known::of(&live.run)).collect()))
}

impl Desk<'_, '_> {
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
