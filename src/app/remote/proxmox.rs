//! Pulling the tasks of a Proxmox host: each of its nodes by itself, up to its own cutoff.

use std::sync::Mutex;

use super::{
    api::{ApiError, Host, Wanted},
    sync::{Gone, Job, Teller},
};
use crate::{
    io::store::{Batch, Node, NodeNews, Went},
    model::{
        proxmox::{self, Api, Entry, Paging, Product, Seen, Step, Told, entry},
        remote::{More, RemoteEnd, RemoteRun, pause},
        task::Outcome,
        upid::Upid,
    },
};

/// Connections to one remote at once.
const CONNECTIONS: usize = 5;
/// Entries of a page.
const PAGE: usize = 1000;

/// Why a node has not told all.
enum Halt {
    Api(ApiError),
    Mad(&'static str),
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

/// Asks one remote; gives what was wrong with single nodes of it.
///
/// # Errors
/// What was wrong with all of it.
pub(super) fn pull(job: &Job, product: Product, api: &Api, tell: &Teller<'_>) -> Result<Vec<String>, String> {
    let host = Host::new(product, api, job.limit).map_err(|error| error.to_string())?;
    let nodes = {
        let _line = tell.lines.take();
        host.nodes().map_err(|error| error.to_string())?
    };
    let known = |name: &str| job.nodes.iter().find(|node| node.node == name);
    let told = |went: Went, node: &str| {
        let node = Some(NodeNews { node: node.to_owned(), went });
        tell.told(Batch { node, now: job.now, ..Batch::default() })
    };
    let mut asked: Vec<String> = vec![];
    for node in nodes {
        let left_alone = !job.named
            && known(&node.name).is_some_and(|state| {
                let until = state.tried.saturating_add(pause(state.failures).as_secs().cast_signed());
                state.failures > 0 && until > job.now && state.tried <= job.now
            });
        match node.online {
            false if told(Went::Offline, &node.name).is_err() => return Ok(vec![]),
            false => {}
            true if left_alone => {}
            true => asked.push(node.name),
        }
    }
    let count = asked.len();
    let failed: Mutex<Vec<(String, String)>> = Mutex::default();
    let queue = Mutex::new(asked.into_iter());
    std::thread::scope(|scope| {
        // One that is doubtful gets one connection: it must not take those of the others.
        let connections = if job.remote.failures > 0 { 1 } else { CONNECTIONS };
        for _ in 0..connections.min(count) {
            scope.spawn(|| {
                loop {
                    let Some(node) = queue.lock().ok().and_then(|mut queue| queue.next()) else { return };
                    let why = match pull_node(job, &host, product, &node, known(&node), tell) {
                        Ok(()) => continue,
                        Err(Halt::Gone) => return,
                        Err(Halt::Api(error)) => error.to_string(),
                        Err(Halt::Mad(why)) => why.to_owned(),
                    };
                    if told(Went::Failed(why.clone()), &node).is_err() {
                        return;
                    }
                    if let Ok(mut failed) = failed.lock() {
                        failed.push((node, why));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    if failed.len() == count
        && let Some((node, why)) = failed.first()
    {
        // Of one that is no cluster the name of its only node says nothing.
        return Err(if count == 1 { why.clone() } else { format!("no node answers; node {node}: {why}") });
    }
    // That nobody listens is found out by those who have more to tell.
    let _ = tell.told(Batch { well: true, now: job.now, ..Batch::default() });
    Ok(failed.into_iter().map(|(node, why)| format!("node {node}: {why}")).collect())
}

fn pull_node(
    job: &Job,
    host: &Host,
    product: Product,
    node: &str,
    state: Option<&Node>,
    tell: &Teller<'_>,
) -> Result<(), Halt> {
    let before = state.and_then(|state| state.cutoff);
    let wide = job.anew || proxmox::is_wide(state.and_then(|state| state.wide), job.now);
    let since = if job.anew { job.since } else { proxmox::since(before, wide) };
    let mut paging = Paging::new(PAGE);
    let mut seen = Seen::default();
    let mut newest = None;
    loop {
        let wanted = Wanted { since, until: None, start: paging.start(), limit: paging.limit() };
        let list = {
            let _line = tell.lines.take();
            host.list(node, &wanted)?
        };
        let mut batch = Batch { now: job.now, ..Batch::default() };
        for value in &list.entries {
            match entry(value) {
                Some(Entry::Running(run)) => {
                    seen.task(run.start, true);
                    batch.running.push(run);
                }
                Some(Entry::Ended(end)) => {
                    seen.task(end.upid.starttime, false);
                    newest = newest.max(Some(end.endtime));
                    batch.ended.push(end);
                }
                None => {
                    batch.unread += 1;
                    tell.unread(batch.unread, &value.to_string())?;
                }
            }
        }
        batch.newest = newest;
        let texts: Vec<String> = list
            .entries
            .iter()
            .map(|value| value["upid"].as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        match paging.take(&texts.iter().map(String::as_str).collect::<Vec<_>>(), list.total) {
            Step::Next => tell.told(batch)?,
            Step::Mad(why) => {
                tell.told(batch)?;
                return Err(Halt::Mad(why));
            }
            Step::Done => {
                let missed = match missed(job, host, product, node, &paging, tell) {
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
    job: &Job,
    host: &Host,
    product: Product,
    node: &str,
    paging: &Paging,
    tell: &Teller<'_>,
) -> Result<Missed, ApiError> {
    let mut missed = Missed::default();
    let known = job.running.iter().filter_map(|text| text.parse::<Upid>().ok());
    let here = |upid: &Upid| product.only_node().is_some() || upid.node == node;
    for upid in known.filter(|upid| here(upid) && !paging.has(upid.as_str())) {
        let _line = tell.lines.take();
        let end = |outcome| RemoteEnd { upid: upid.clone(), endtime: job.now, outcome, more: More::default() };
        match host.status(&upid) {
            Ok(Told::Running) => {
                missed.live.push(upid.starttime);
                missed.running.push(proxmox::running(&upid));
            }
            // Nobody says that it has ended.
            Err(ApiError::Forbidden(_)) => missed.live.push(upid.starttime),
            // Its time of end is in the list alone; else it is known to have been until now.
            Ok(Told::Stopped(outcome)) => match host.end_of(&upid)? {
                Some(Entry::Ended(end)) => missed.ended.push(end),
                Some(Entry::Running(_)) | None => missed.ended.push(end(outcome)),
            },
            Err(error) if error.is_no_task() => {
                missed.ended.push(end(Outcome::Unknown("its host does not know of it any more".to_owned())));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(missed)
}
