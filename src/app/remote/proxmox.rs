//! Pulling the tasks of a Proxmox host: each of its nodes by itself, up to its own cutoff.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    api::{ApiError, Host, TaskAt, Wanted},
    sync::{AskedSoFar, ConnectionPool, Gone, InUse, Known, Left, Over, PullSink, RemoteJob, left_alone},
};
use crate::{
    io::store::{Batch, LOST, Node, NodeNews, Went},
    model::{
        proxmox::{self, Api, Cluster, NextPage, PageSummary, Paging, Product, RemoteStatus, TaskEntry},
        remote::{More, RemoteEnd, RemoteRun, pause},
        task::Outcome,
    },
};

/// Connections to one remote at once.
pub(super) const CONNECTIONS: usize = 5;
/// Entries of a page.
const PAGE: usize = 1000;

/// Why a node has not told all.
enum Halt {
    Api(ApiError),
    Broken(&'static str),
    /// Nobody listens to us any more.
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

/// One who asks: with a connection of its own, as long as there is a line for it.
struct Asker<'a> {
    host: &'a Host,
    lines: &'a ConnectionPool,
    /// Whether its line is the first one of its remote, which is never given back before all is asked.
    first: bool,
    limit: Duration,
    /// The connection is closed before the line is free.
    way: Option<(Host, InUse<'a>)>,
}

impl<'a> Asker<'a> {
    fn new(host: &'a Host, lines: &'a ConnectionPool, first: bool, limit: Duration) -> Asker<'a> {
        Asker { host, lines, first, limit, way: None }
    }

    /// Waits for a line; false: it is not wanted any more.
    fn begin(&mut self, wanted: &dyn Fn() -> bool) -> bool {
        if self.way.is_none() {
            let line = if self.first { Some(self.lines.take()) } else { self.lines.take_more(wanted) };
            self.way = line.map(|line| (self.host.another(), line));
        }
        self.way.is_some()
    }

    /// The way to the host, for the next request.
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

/// A node that is to be asked.
struct Next {
    node: String,
    /// Whether it was silent before, and has all of its time now.
    again: bool,
}

/// What became of the nodes of one remote.
#[derive(Default)]
struct Nodes {
    queue: VecDeque<Next>,
    begun: AskedSoFar,
    /// Whether some were not asked because none answers.
    given_up: bool,
}

/// Asks one remote; gives what was wrong with single nodes of it.
///
/// # Errors
/// What was wrong with all of it.
pub(super) fn pull(job: &RemoteJob, product: Product, api: &Api, tell: &PullSink<'_>) -> Result<Over, String> {
    let host = Host::new(&job.remote.name, product, api, job.limit).map_err(|error| error.to_string())?;
    let limit = if job.doubtful { job.limit } else { job.quiet() };
    let mut first = Asker::new(&host, tell.lines, true, limit);
    let Cluster { nodes, unread } = match first.host().cluster() {
        Ok(cluster) => cluster,
        Err(error) if error.is_silence() && limit < job.limit => return Ok(Over::Silent(AskedSoFar::default())),
        Err(error) => return Err(error.to_string()),
    };
    let known = |name: &str| job.nodes.iter().find(|node| node.node == name);
    let told = |went: Went, node: &str| {
        let node = Some(NodeNews { node: node.to_owned(), went });
        tell.told(Batch { node, now: job.now, ..Batch::default() })
    };
    let names_all = unread.is_empty();
    if !names_all && tell.told(Batch { unread, now: job.now, ..Batch::default() }).is_err() {
        return Ok(Over::WELL);
    }
    // One that it does not name may stand in what cannot be read.
    if names_all {
        let named = |name: &str| nodes.iter().any(|node| node.name == name);
        let known = job.nodes.iter().filter(|node| !node.has_left()).map(|node| node.node.as_str());
        // With it goes all that ran there.
        let running = job.running.iter().filter(|_| product.only_node().is_none()).map(Known::node);
        let left: BTreeSet<&str> = known.chain(running).filter(|node| !named(node)).collect();
        for node in left {
            if told(Went::Left, node).is_err() {
                return Ok(Over::WELL);
            }
        }
    }
    let (mut asked, mut left) = (vec![], vec![]);
    for node in nodes {
        let alone_until = known(&node.name).filter(|_| !job.named).and_then(|state| {
            let until = state.tried.saturating_add(pause(state.failures).as_secs().cast_signed());
            (state.failures > 0 && until > job.now && state.tried <= job.now).then_some((until, state))
        });
        match (node.online, alone_until) {
            _ if job.begun.dealt.contains(&node.name) => {}
            (false, _) if told(Went::Offline, &node.name).is_err() => return Ok(Over::WELL),
            (false, _) => {
                let text = format!("node {} is offline; its tasks are fetched when it is back", node.name);
                left.push(Left { text, again: known(&node.name).is_some_and(Node::is_offline) });
            }
            (true, Some((until, state))) => {
                let why = state.error.as_deref().unwrap_or_default();
                let alone = left_alone(until.abs_diff(job.now), state.failures, why);
                let text = format!("node {} {alone}; name the remote to ask it now", node.name);
                left.push(Left { text, again: true });
            }
            (true, None) => asked.push(node.name),
        }
    }
    // Those that were silent come last, and before them those that failed.
    asked.sort_by_key(|node| (job.begun.silent.contains(node), known(node).map_or(0, |state| state.failures)));
    let count = asked.len() + job.begun.dealt.len();
    let next = |node| Next { again: job.begun.silent.contains(&node), node };
    let begun = AskedSoFar { dealt: job.begun.dealt.clone(), failed: job.begun.failed.clone(), silent: HashSet::new() };
    let nodes = Mutex::new(Nodes { queue: asked.into_iter().map(next).collect(), begun, given_up: false });
    let nodes_now = || nodes.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = |asker: &mut Asker<'_>, one: bool| {
        // One that is silent gets no more lines than it has.
        let wanted = || {
            let nodes = nodes_now();
            !nodes.queue.is_empty() && nodes.begun.silent.is_empty()
        };
        while asker.begin(&wanted) {
            let Some(Next { node, again }) = nodes_now().queue.pop_front() else { break };
            asker.limit = if again { job.limit } else { job.quiet() };
            let why = match pull_node(job, asker, product, &node, known(&node), tell) {
                Ok(()) => {
                    nodes_now().begun.dealt.insert(node);
                    match one {
                        true => break,
                        false => continue,
                    }
                }
                Err(Halt::Gone) => break,
                Err(Halt::Api(error)) if error.is_silence() && asker.limit < job.limit => {
                    let mut nodes = nodes_now();
                    if job.doubtful {
                        nodes.queue.push_back(Next { node, again: true });
                        continue;
                    }
                    nodes.begun.silent.insert(node);
                    break;
                }
                Err(Halt::Api(error)) => {
                    let mut nodes = nodes_now();
                    let none_answers = nodes.begun.failed.len() == nodes.begun.dealt.len();
                    if again && error.is_silence() && none_answers && !nodes.queue.is_empty() {
                        nodes.queue.clear();
                        nodes.given_up = true;
                    }
                    error.to_string()
                }
                Err(Halt::Broken(why)) => why.to_owned(),
            };
            if told(Went::Failed(why.clone()), &node).is_err() {
                break;
            }
            let mut nodes = nodes_now();
            nodes.begun.dealt.insert(node.clone());
            nodes.begun.failed.push((node, why));
        }
        // The others may wait for a line for what is not there any more.
        tell.lines.nudge();
    };
    // It gets more connections when a node of it has answered; one that is doubtful never does.
    ask(&mut first, true);
    let more = if job.doubtful { 0 } else { CONNECTIONS.min(nodes_now().queue.len()).saturating_sub(1) };
    let ask = &ask;
    if nodes_now().begun.silent.is_empty() {
        thread::scope(|scope| {
            for _ in 0..more {
                let another = || ask(&mut Asker::new(&host, tell.lines, false, limit), false);
                // Where no thread can be made, those there are ask its nodes.
                if thread::Builder::new().spawn_scoped(scope, another).is_err() {
                    break;
                }
            }
            ask(&mut first, false);
            drop(first);
        });
    }
    let Nodes { queue: _, mut begun, given_up } = nodes.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !begun.silent.is_empty() {
        return Ok(Over::Silent(begun));
    }
    begun.failed.sort_unstable();
    let failed = begun.failed;
    if (failed.len() == count || given_up)
        && let Some((node, why)) = failed.first()
    {
        // Of one that is no cluster the name of its only node says nothing.
        return Err(match (count, given_up) {
            (1, _) => why.clone(),
            (_, true) => format!("node {node}: {why}; the others were not asked, as none has answered"),
            (_, false) => format!("no node answers; node {node}: {why}"),
        });
    }
    // That nobody listens is found out by those who have more to tell.
    let _ = tell.told(Batch { well: true, now: job.now, ..Batch::default() });
    let parts = failed.into_iter().map(|(node, why)| format!("node {node}: {why}")).collect();
    Ok(Over::Done { parts, left })
}

fn pull_node(
    job: &RemoteJob,
    asker: &mut Asker<'_>,
    product: Product,
    node: &str,
    state: Option<&Node>,
    tell: &PullSink<'_>,
) -> Result<(), Halt> {
    let before = state.and_then(|state| state.cutoff);
    let wide = job.anew || proxmox::is_wide(state.and_then(|state| state.wide), job.now);
    let since = if job.anew { job.since } else { proxmox::since(before, wide) };
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
            NextPage::Next => tell.told(batch)?,
            NextPage::Broken(why) => {
                tell.told(batch)?;
                return Err(Halt::Broken(why));
            }
            NextPage::Done => {
                let missed = match missed(job, asker, product, node, &paging) {
                    Ok(missed) => missed,
                    Err(error) => {
                        // What it did tell is true all the same; only its cutoff stays.
                        tell.told(batch)?;
                        return Err(error.into());
                    }
                };
                missed.live.iter().for_each(|start| seen.task(*start, true));
                batch.ended.extend(missed.ended);
                batch.running.extend(missed.running);
                let went = Went::Well { cutoff: seen.cutoff(before, job.now), wide };
                batch.node = Some(NodeNews { node: node.to_owned(), went });
                return Ok(tell.told(batch)?);
            }
        }
    }
}

/// What ran there as far as we know, and is not in the list.
#[derive(Default)]
struct Missed {
    ended: Vec<RemoteEnd>,
    running: Vec<RemoteRun>,
    /// When those started that may still run.
    live: Vec<i64>,
}

/// Asks for these by name.
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
            // Nobody says that it has ended.
            Err(ApiError::Forbidden(_)) => missed.live.push(upid.starttime),
            // Its time of end is in the list alone; else it is known to have been until now.
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
