//! Fetches the tasks of a Proxmox host, separately for each node, from the node's own cutoff on.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::{
    api::{ApiError, Host, TaskAt, Wanted},
    pull::{AskedSoFar, ConnectionPool, Gone, InUse, Known, Left, Over, PullSink, RemoteJob, skipped_text},
};
use crate::{
    io::store::{Batch, LOST, Node, NodeNews, Went},
    model::{
        proxmox::{self, Cluster, ClusterNode, NextPage, PageSummary, Paging, RemoteStatus, TaskEntry},
        proxmox_access::{Api, Product},
        remote::{More, RemoteEnd, RemoteRun, pause},
        task::Outcome,
    },
};

/// Maximum number of connections to one remote.
pub(super) const CONNECTIONS: usize = 5;
/// Entries per page.
const PAGE: usize = 1000;

/// Why the tasks of a node were not fetched completely.
enum Halt {
    Api(ApiError),
    Broken(&'static str),
    /// The receiver is gone.
    Gone,
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Halt {
        Halt::Api(error)
    }
}

impl From<Gone> for Halt {
    fn from(Gone: Gone) -> Halt {
        Halt::Gone
    }
}

/// A requesting thread, with its own connection while it has a permit of the pool.
struct Asker<'a> {
    host: &'a Host,
    lines: &'a ConnectionPool,
    /// Whether this is the first connection of its remote, whose permit is kept until the end.
    first: bool,
    limit: Duration,
    /// The connection and its permit, dropped in this order.
    way: Option<(Host, InUse<'a>)>,
}

impl<'a> Asker<'a> {
    fn new(host: &'a Host, lines: &'a ConnectionPool, first: bool, limit: Duration) -> Asker<'a> {
        Asker { host, lines, first, limit, way: None }
    }

    /// Waits for a permit. Returns false if no connection is wanted any more.
    fn begin(&mut self, wanted: &dyn Fn() -> bool) -> bool {
        if self.way.is_none() {
            let line = if self.first { Some(self.lines.take()) } else { self.lines.take_more(wanted) };
            self.way = line.map(|line| (self.host.another(), line));
        }
        self.way.is_some()
    }

    /// Returns the connection for the next request.
    fn host(&mut self) -> &Host {
        if !self.first && self.lines.are_short() {
            self.way = None;
        }
        let (host, lines, first) = (self.host, self.lines, self.first);
        let (way, _) = self.way.get_or_insert_with(|| {
            let line = (!first).then(|| lines.take_more(&|| true)).flatten().unwrap_or_else(|| lines.take());
            (host.another(), line)
        });
        way.set_limit(self.limit);
        way
    }
}

/// A node to ask.
struct Next {
    node: String,
    /// Whether the node was silent before, and now gets the full limit.
    again: bool,
}

/// The progress with the nodes of one remote.
#[derive(Default)]
struct Nodes {
    queue: VecDeque<Next>,
    begun: AskedSoFar,
    /// Whether nodes were not asked because none of the others responded.
    given_up: bool,
}

/// Fetches the new tasks of one remote. Returns the errors of single nodes.
///
/// # Errors
/// The error of the whole remote, as text.
pub(super) fn pull(job: &RemoteJob, product: Product, api: &Api, sink: &PullSink<'_>) -> Result<Over, String> {
    let host = Host::new(&job.remote.name, product, api, job.limit).map_err(|error| error.to_string())?;
    let limit = if job.doubtful { job.limit } else { job.quiet() };
    let mut first = Asker::new(&host, sink.lines, true, limit);
    let cluster = match first.host().cluster() {
        Ok(cluster) => cluster,
        Err(error) if error.is_silence() && limit < job.limit => return Ok(Over::Silent(AskedSoFar::default())),
        Err(error) => return Err(error.to_string()),
    };
    let remote = Pull { job, product, sink };
    let Ok((asked, left)) = remote.choose(cluster) else { return Ok(Over::CLEAN) };
    let count = asked.len() + job.begun.done.len();
    let nodes = Mutex::new(Nodes::new(&job.begun, asked));
    // A remote gets more connections once one of its nodes has responded, a doubtful one never.
    remote.ask(&mut first, &nodes, true);
    let (waiting, is_silent) = {
        let nodes = locked(&nodes);
        (nodes.queue.len(), !nodes.begun.silent.is_empty())
    };
    let more = if job.doubtful { 0 } else { CONNECTIONS.min(waiting).saturating_sub(1) };
    if !is_silent {
        thread::scope(|scope| {
            for _ in 0..more {
                let another = || remote.ask(&mut Asker::new(&host, sink.lines, false, limit), &nodes, false);
                // If no more threads can be created, the existing ones do the work.
                if thread::Builder::new().spawn_scoped(scope, another).is_err() {
                    break;
                }
            }
            remote.ask(&mut first, &nodes, false);
            drop(first);
        });
    }
    let over = nodes.into_inner().unwrap_or_else(PoisonError::into_inner).result(count, left);
    if let Ok(Over::Done { .. }) = over {
        // It does not matter here if the receiver is gone.
        let _ = sink.store(Batch { well: true, now: job.now, ..Batch::default() });
    }
    over
}

fn locked(nodes: &Mutex<Nodes>) -> MutexGuard<'_, Nodes> {
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nodes {
    /// Creates the progress of a request for these nodes, which continues an earlier one.
    fn new(before: &AskedSoFar, asked: Vec<String>) -> Nodes {
        let next = |node| Next { again: before.silent.contains(&node), node };
        let begun = AskedSoFar { done: before.done.clone(), failed: before.failed.clone(), silent: HashSet::new() };
        Nodes { queue: asked.into_iter().map(next).collect(), begun, given_up: false }
    }

    /// Returns the result for a remote with this number of nodes to ask.
    fn result(self, count: usize, left: Vec<Left>) -> Result<Over, String> {
        let Nodes { queue: _, mut begun, given_up } = self;
        if !begun.silent.is_empty() {
            return Ok(Over::Silent(begun));
        }
        begun.failed.sort_unstable();
        let failed = begun.failed;
        if (failed.len() == count || given_up)
            && let Some((node, why)) = failed.first()
        {
            // Without a cluster, the name of the only node is not useful.
            return Err(match (count, given_up) {
                (1, _) => why.clone(),
                (_, true) => format!("node {node}: {why}; the other nodes were not asked, because none has responded"),
                (_, false) => format!("no node responds; node {node}: {why}"),
            });
        }
        let parts = failed.into_iter().map(|(node, why)| format!("node {node}: {why}")).collect();
        Ok(Over::Done { parts, left })
    }
}

/// A remote whose nodes are asked.
struct Pull<'a> {
    job: &'a RemoteJob,
    product: Product,
    sink: &'a PullSink<'a>,
}

impl Pull<'_> {
    /// Returns the state of a node.
    fn known(&self, name: &str) -> Option<&Node> {
        self.job.nodes.iter().find(|node| node.node == name)
    }

    /// Stores how the request to a node went.
    fn store(&self, went: Went, node: &str) -> Result<(), Gone> {
        let node = Some(NodeNews { node: node.to_owned(), went });
        self.sink.store(Batch { node, now: self.job.now, ..Batch::default() })
    }

    /// Returns the nodes to ask, those that were silent last, and the nodes that are not asked. Stores which nodes are
    /// offline or gone.
    fn choose(&self, cluster: Cluster) -> Result<(Vec<String>, Vec<Left>), Gone> {
        let (job, Cluster { nodes, unread }) = (self.job, cluster);
        // A node that is not listed may be in an unreadable entry.
        if unread.is_empty() {
            self.store_left(&nodes)?;
        } else {
            self.sink.store(Batch { unread, now: job.now, ..Batch::default() })?;
        }
        let (mut asked, mut left) = (vec![], vec![]);
        for node in nodes {
            let alone_until = self.known(&node.name).filter(|_| !job.named).and_then(|state| {
                let until = state.tried.saturating_add(pause(state.failures).as_secs().cast_signed());
                (state.failures > 0 && until > job.now && state.tried <= job.now).then_some((until, state))
            });
            match (node.online, alone_until) {
                _ if job.begun.done.contains(&node.name) => {}
                (false, _) => {
                    self.store(Went::Offline, &node.name)?;
                    let text = format!("node {} is offline; its tasks are fetched once it is back", node.name);
                    left.push(Left { text, again: self.known(&node.name).is_some_and(Node::is_offline) });
                }
                (true, Some((until, state))) => {
                    let why = state.error.as_deref().unwrap_or_default();
                    let alone = skipped_text(until.abs_diff(job.now), state.failures, why);
                    let text = format!("node {} {alone}; name the remote to sync it now", node.name);
                    left.push(Left { text, again: true });
                }
                (true, None) => asked.push(node.name),
            }
        }
        // Nodes that were silent come last, and nodes that failed just before them.
        let failures = |node: &String| self.known(node).map_or(0, |state| state.failures);
        asked.sort_by_key(|node| (job.begun.silent.contains(node), failures(node)));
        Ok((asked, left))
    }

    /// Stores which nodes have left the cluster of these.
    fn store_left(&self, nodes: &[ClusterNode]) -> Result<(), Gone> {
        let named = |name: &str| nodes.iter().any(|node| node.name == name);
        let known = self.job.nodes.iter().filter(|node| !node.has_left()).map(|node| node.node.as_str());
        // Nodes of running tasks are included, because the tasks of a node that left become unknown.
        let running = self.job.running.iter().filter(|_| self.product.only_node().is_none()).map(Known::node);
        let left: BTreeSet<&str> = known.chain(running).filter(|node| !named(node)).collect();
        left.into_iter().try_for_each(|node| self.store(Went::Left, node))
    }

    /// Asks the nodes of the queue, one after the other; with `one`, until one has responded.
    fn ask(&self, asker: &mut Asker<'_>, nodes: &Mutex<Nodes>, one: bool) {
        // A silent remote gets no more connections.
        let wanted = || {
            let nodes = locked(nodes);
            !nodes.queue.is_empty() && nodes.begun.silent.is_empty()
        };
        while asker.begin(&wanted) {
            let Some(next) = locked(nodes).queue.pop_front() else { break };
            match self.ask_node(asker, nodes, next) {
                Turn::Next => {}
                Turn::Responded if !one => {}
                Turn::Responded | Turn::Stop => break,
            }
        }
        // Other threads may wait for a connection although the queue is empty now.
        self.sink.lines.nudge();
    }

    /// Asks one node, and records how that went.
    fn ask_node(&self, asker: &mut Asker<'_>, nodes: &Mutex<Nodes>, next: Next) -> Turn {
        let (job, Next { node, again }) = (self.job, next);
        asker.limit = if again { job.limit } else { job.quiet() };
        let why = match pull_node(job, asker, self.product, &node, self.known(&node), self.sink) {
            Ok(()) => {
                locked(nodes).begun.done.insert(node);
                return Turn::Responded;
            }
            Err(Halt::Gone) => return Turn::Stop,
            Err(Halt::Api(error)) if error.is_silence() && asker.limit < job.limit => {
                let mut nodes = locked(nodes);
                if job.doubtful {
                    nodes.queue.push_back(Next { node, again: true });
                    return Turn::Next;
                }
                nodes.begun.silent.insert(node);
                return Turn::Stop;
            }
            Err(Halt::Api(error)) => {
                let mut nodes = locked(nodes);
                let none_answers = nodes.begun.failed.len() == nodes.begun.done.len();
                if again && error.is_silence() && none_answers && !nodes.queue.is_empty() {
                    nodes.queue.clear();
                    nodes.given_up = true;
                }
                error.to_string()
            }
            Err(Halt::Broken(why)) => why.to_owned(),
        };
        if self.store(Went::Failed(why.clone()), &node).is_err() {
            return Turn::Stop;
        }
        let mut nodes = locked(nodes);
        nodes.begun.done.insert(node.clone());
        nodes.begun.failed.push((node, why));
        Turn::Next
    }
}

/// What a requesting thread does after a node.
enum Turn {
    /// The node responded.
    Responded,
    /// The node did not respond; the next one is asked.
    Next,
    /// No further node is asked.
    Stop,
}

fn pull_node(
    job: &RemoteJob,
    asker: &mut Asker<'_>,
    product: Product,
    node: &str,
    state: Option<&Node>,
    sink: &PullSink<'_>,
) -> Result<(), Halt> {
    let before = state.and_then(|state| state.cutoff);
    let wide = job.refetch || proxmox::is_wide(state.and_then(|state| state.wide), job.now);
    let since = if job.refetch { job.since } else { proxmox::since(before, wide) };
    let mut paging = Paging::new(PAGE);
    let mut seen = PageSummary::default();
    let mut newest = None;
    loop {
        let wanted = Wanted { since, until: None, start: paging.start(), limit: paging.limit() };
        let host = asker.host();
        let lister = host.lister(node);
        let list = match host.list(node, &wanted) {
            Err(error) if error.is_too_long() && paging.halve() => continue,
            list => list?,
        };
        let mut batch = Batch { now: job.now, ..Batch::default() };
        let mut keys = vec![];
        for raw in &list.entries {
            let (key, entry) = proxmox::listed(raw, lister);
            keys.push(key);
            match entry {
                Ok(TaskEntry::Running(run)) => {
                    seen.task(run.start, true);
                    batch.running.push(run);
                }
                Ok(TaskEntry::Ended(end)) => {
                    seen.task(end.upid.starttime, false);
                    newest = newest.max(Some(end.endtime));
                    batch.ended.push(end);
                }
                Err(unread) => batch.unread.push(unread),
            }
        }
        batch.newest = newest;
        match paging.take(&keys.iter().map(String::as_str).collect::<Vec<_>>(), list.total) {
            NextPage::Next => sink.store(batch)?,
            NextPage::Broken(why) => {
                sink.store(batch)?;
                return Err(Halt::Broken(why));
            }
            NextPage::Done => {
                let missed = match missed(job, asker, product, node, &paging) {
                    Ok(missed) => missed,
                    Err(error) => {
                        // The listed tasks are valid; only the cutoff is not advanced.
                        sink.store(batch)?;
                        return Err(error.into());
                    }
                };
                missed.live.iter().for_each(|start| seen.task(*start, true));
                batch.ended.extend(missed.ended);
                batch.running.extend(missed.running);
                let went = Went::Well { cutoff: seen.cutoff(before, job.now), wide };
                batch.node = Some(NodeNews { node: node.to_owned(), went });
                return Ok(sink.store(batch)?);
            }
        }
    }
}

/// Tasks that ran at the last contact and are not in the list.
#[derive(Default)]
struct Missed {
    ended: Vec<RemoteEnd>,
    running: Vec<RemoteRun>,
    /// Start times of tasks that may still run.
    live: Vec<i64>,
}

/// Requests the status of each task that ran at the last contact and is not in the list.
fn missed(
    job: &RemoteJob,
    asker: &mut Asker<'_>,
    product: Product,
    node: &str,
    paging: &Paging,
) -> Result<Missed, ApiError> {
    let mut missed = Missed::default();
    let here = |task: &&Known| product.only_node().is_some() || task.node() == node;
    for task in job.running.iter().filter(here).filter(|task| !paging.has(task.upid.as_str())) {
        let host = asker.host();
        let task = TaskAt::new(product, task.upid.clone(), task.via.clone());
        let upid = &task.upid;
        match host.status(&task) {
            Ok(RemoteStatus::Running) => {
                missed.live.push(upid.starttime);
                missed.running.push(proxmox::running(upid, task.via(product)));
            }
            // Not proof that the task has ended.
            Err(ApiError::Forbidden(_)) => missed.live.push(upid.starttime),
            // Only the list has the time of the end; without it, the task ended by now.
            Ok(RemoteStatus::Stopped(outcome)) => missed.ended.push(host.end_of(&task, outcome, job.now)?),
            Err(error) if error.is_no_task() => {
                let outcome = Outcome::Unknown(LOST.to_owned());
                missed.ended.push(RemoteEnd { upid: upid.clone(), endtime: job.now, outcome, more: More::default() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(missed)
}
