//! `control remote`: other hosts, and lists that include their tasks.

pub(super) mod api;
mod proxmox;
mod pull;
pub(super) mod ssh;
mod sync;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use self::api::{ApiError, Host, Wanted};
use super::{
    control::{ControlError, Desk, Done, progress_of},
    control_args::{self as args, RemoteVerb},
    db,
    service::{TaskFilter, Tasks, system},
    show,
};
use crate::{
    io::{
        secret,
        store::{Listed, Node, Remote, Store, StoreError},
        sys,
    },
    model::{
        export::ExportLine,
        proxmox::{Cluster, RIGHT},
        proxmox_access::{Api, Product},
        query::{After, Filter, StartQuery},
        remote::{More, Source},
        upid::Upid,
    },
};

impl Desk<'_, '_> {
    pub(super) fn remote(&mut self, wanted: &args::Remote) -> Done {
        match &wanted.verb {
            RemoteVerb::Add(wanted) => self.remote_add(wanted),
            RemoteVerb::Set(wanted) => self.remote_set(wanted),
            RemoteVerb::Remove(wanted) => self.remote_remove(wanted.name.as_str()),
            RemoteVerb::List => self.remote_list(),
            RemoteVerb::Test(wanted) => self.remote_test(wanted),
            RemoteVerb::Sync(wanted) => self.sync(wanted),
        }
    }

    /// Opens the database for a verb that needs a remote.
    fn open_remotes(&self) -> Result<Store, ControlError> {
        self.open().map_err(|error| match error {
            ControlError::Db(db::DbError::Store(StoreError::Missing(path))) => ControlError::NoRemotesYet(path),
            error => error,
        })
    }

    fn remote_add(&mut self, wanted: &args::RemoteAdd) -> Done {
        let mut store = db::open_or_create(&self.db, self.out.patience)?;
        let source = source_of(wanted)?;
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

    fn remote_set(&mut self, wanted: &args::RemoteSet) -> Done {
        let mut store = self.open_remotes()?;
        let name = &wanted.name;
        let mut source = known(&store, name.as_str())?.source;
        let how = &wanted.how;
        let other = |way, option| ControlError::OtherWay(name.to_string(), way, option);
        let product = source.api().map(|(product, _)| product);
        match &mut source {
            Source::Ssh { host, db } => {
                if let Some(option) = how.of_api() {
                    return Err(other("by ssh", option));
                }
                if let Some(there) = &how.ssh {
                    host.clone_from(there);
                }
                if how.no_remote_db || how.remote_db.is_some() {
                    db.clone_from(&how.remote_db);
                }
            }
            Source::Pve(api) | Source::Pbs(api) => {
                if let Some(option) = how.of_ssh() {
                    return Err(other("by its API", option));
                }
                if let Some(token) = &how.token {
                    api.token = token.parse()?;
                }
                if let Some(file) = &how.secret_file {
                    api.secret_file = secret_path(file)?;
                }
                if let (Some(url), Some(product)) = (&how.url, product) {
                    api.url = url.clone().with_port(product);
                }
                if how.no_fingerprint || how.fingerprint.is_some() {
                    api.fingerprint = how.fingerprint;
                }
            }
        }
        if !store.set_remote(name.as_str(), &source)? {
            return Err(ControlError::NoSuchRemote(name.to_string()));
        }
        let text = match self.json {
            true => json!({ "name": name.as_str(), "source": source }).to_string(),
            false => {
                format!("remote {name} set ({source}); check whether it responds with: control remote test {name}")
            }
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_remove(&mut self, name: &str) -> Done {
        let mut store = self.open_remotes()?;
        let Some(removed) = store.remove_remote(name)? else {
            return Err(ControlError::NoSuchRemote(name.to_owned()));
        };
        let text = match self.json {
            true => json!({ "name": name, "removed": removed }).to_string(),
            false => format!("remote {name} removed, with {}", show::count(removed, "ended task")),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_list(&mut self) -> Done {
        let store = self.open_remotes()?;
        let (remotes, sizes, live) = (store.remotes()?, store.remote_sizes()?, store.remote_active(None)?);
        let nodes = store.remote_nodes(None)?;
        let nodes_of = |remote: &Remote| nodes.get(&remote.id).map(Vec::as_slice).unwrap_or_default();
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
                "cutoff": show::cutoff(nodes_of(remote)),
                "nodes": nodes_of(remote).iter().map(node_json).collect::<Vec<_>>(),
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
                let nodes: Vec<&[Node]> = remotes.iter().map(nodes_of).collect();
                show::remote_table(&remotes, &nodes, &counts, now, (self.out.width)(), self.out.colours)
            }
        };
        self.print(&text)?;
        Ok(0)
    }

    fn remote_test(&mut self, wanted: &args::RemoteTest) -> Done {
        let name = wanted.name.as_str();
        let remote = known(&self.open_remotes()?, name)?;
        let limit = wanted.timeout.unwrap_or(pull::LIMIT);
        let (details, text) = match remote.source.api() {
            None => self.test_ssh(&remote, limit)?,
            Some((product, api)) => self.test_proxmox(&remote, product, api, limit)?,
        };
        let text = match self.json {
            true => {
                let mut value = json!({ "name": name });
                if let (Some(object), Value::Object(details)) = (value.as_object_mut(), details) {
                    object.extend(details);
                }
                value.to_string()
            }
            false => format!("remote {name} responds: {}", show::clean(&text)),
        };
        self.print(&text)?;
        Ok(0)
    }

    fn test_ssh(&self, remote: &Remote, limit: Duration) -> Result<(Value, String), ControlError> {
        // From the stored cursor on, so that little is sent. Nothing is stored.
        let (mut first, mut last) = (None, None);
        let asked = ssh::ask(&remote.source, remote.cursor.as_deref(), 1, limit, &mut |line| match line {
            ssh::AnswerPart::Line(ExportLine::Start { version, taskwatcher, host, .. }) => {
                first = Some((version, taskwatcher, host));
            }
            ssh::AnswerPart::Line(ExportLine::End { running, .. }) => last = Some(running),
            ssh::AnswerPart::Line(ExportLine::Running { .. } | ExportLine::Ended { .. })
            | ssh::AnswerPart::Strange(_) => {}
        });
        if let Err(error @ ssh::AnswerError::NoDatabase(_)) = &asked
            && ssh::is_new(remote, error)
        {
            let text = "no task was launched there yet, 0 running".to_owned();
            return Ok((json!({ "host": null, "taskwatcher": null, "version": null, "running": 0 }), text));
        }
        asked.map_err(|error| failed(remote, &error))?;
        let (Some((version, taskwatcher, host)), Some(running)) = (first, last) else {
            return Err(failed(remote, &"truncated response"));
        };
        let text = format!("host {host}, taskwatcher {taskwatcher}, {running} running");
        Ok((json!({ "host": host, "taskwatcher": taskwatcher, "version": version, "running": running }), text))
    }

    fn test_proxmox(
        &self,
        remote: &Remote,
        product: Product,
        api: &Api,
        limit: Duration,
    ) -> Result<(Value, String), ControlError> {
        let fail = |error: ApiError| failed(remote, &error);
        let host = Host::new(&remote.name, product, api, limit).map_err(fail)?;
        let (version, Cluster { nodes, unread }) = (host.version().map_err(fail)?, host.cluster().map_err(fail)?);
        let online: Vec<&str> = nodes.iter().filter(|node| node.online).map(|node| node.name.as_str()).collect();
        // One task of each online node, to detect a token without permissions. In parallel, because a node may be slow.
        let queue = Mutex::new(online.iter());
        let one = Wanted { limit: 1, ..Wanted::default() };
        let ask = |host: &Host| {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            std::iter::from_fn(next).map(|node| (*node, host.list(node, &one))).collect::<Vec<_>>()
        };
        let mut asked = thread::scope(|scope| {
            let count = online.len().min(proxmox::CONNECTIONS).saturating_sub(1);
            // If no more threads can be created, the existing ones do the work.
            let begin = |_| thread::Builder::new().spawn_scoped(scope, || ask(&host.another())).ok();
            let others: Vec<_> = (0..count).map_while(begin).collect();
            let mut asked = ask(&host);
            asked.extend(others.into_iter().filter_map(|other| other.join().ok()).flatten());
            asked
        });
        asked.sort_by_key(|(node, _)| *node);
        let mut empty = vec![];
        for (node, listed) in asked {
            let listed = listed.map_err(|error| match product.only_node() {
                None => failed(remote, &format!("node {node}: {error}")),
                Some(_) => failed(remote, &error),
            })?;
            if listed.entries.is_empty() {
                empty.push(node);
            }
        }
        let mut text = format!("{product} {version}");
        if product.only_node().is_none() {
            let count = show::count(nodes.len() as u64, "node");
            text.push_str(&format!(", {count}, {} of them online", online.len()));
        }
        if !unread.is_empty() {
            text.push_str(&format!(", unreadable entries: {}", unread.join(", ")));
        }
        if !empty.is_empty() {
            let on = match product.only_node() {
                None if empty.len() < online.len() => format!(" on {}", empty.join(", ")),
                _ => String::new(),
            };
            text.push_str(&format!(", no tasks that the token may see{on} (without {RIGHT} it sees only its own)"));
        }
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        let value = json!({
            "product": product.to_string(),
            "version": version,
            "nodes": names,
            "online": online.len(),
            "without_tasks": empty,
        });
        Ok((value, text))
    }
}

/// Returns the source from a command line.
fn source_of(wanted: &args::RemoteAdd) -> Result<Source, ControlError> {
    let from = &wanted.source;
    let (product, url) = match (&from.ssh, &from.pve, &from.pbs) {
        (Some(host), ..) => return Ok(Source::Ssh { host: host.clone(), db: wanted.remote_db.clone() }),
        (None, Some(url), _) => (Product::Pve, url),
        (None, None, Some(url)) => (Product::Pbs, url),
        (None, None, None) => return Err(ControlError::NoSource),
    };
    let (Some(token), Some(file)) = (&wanted.token, &wanted.secret_file) else { return Err(ControlError::NoSource) };
    let token = token.parse()?;
    let secret_file = secret_path(file)?;
    let api = Api { url: url.clone().with_port(product), token, secret_file, fingerprint: wanted.fingerprint };
    Ok(match product {
        Product::Pve => Source::Pve(api),
        Product::Pbs => Source::Pbs(api),
    })
}

/// Returns the absolute path of a secret file, because the file is read from any working directory later.
fn secret_path(file: &Path) -> Result<String, ControlError> {
    let file = std::path::absolute(file).map_err(system("find the secret file"))?;
    secret::read(&file)?;
    file.into_os_string().into_string().map_err(|path| ControlError::Path(path.into()))
}

pub(super) fn failed(remote: &Remote, error: &dyn std::fmt::Display) -> ControlError {
    ControlError::Remote(remote.name.clone(), show::clean(&error.to_string()))
}

fn node_json(node: &Node) -> Value {
    json!({
        "node": node.node,
        "cutoff": node.cutoff,
        "tried": node.tried,
        "contact": node.contact,
        "failures": node.failures,
        "error": node.error,
    })
}

/// Returns the remote with a name.
pub(super) fn known(store: &Store, name: &str) -> Result<Remote, ControlError> {
    let found = store.remotes()?.into_iter().find(|remote| remote.name == name);
    found.ok_or_else(|| ControlError::NoSuchRemote(name.to_owned()))
}

/// Returns the remotes of the tasks in a command line. `None`: this host.
pub(super) fn remotes_of<'a>(tasks: impl Iterator<Item = Option<&'a str>>) -> HashSet<Option<&'a str>> {
    tasks.collect()
}

impl Desk<'_, '_> {
    /// Prints `list` with tasks of other hosts.
    pub(super) fn list_far(
        &mut self,
        tasks: &mut Tasks,
        wanted: &args::List,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Done {
        let name = wanted.remote.as_ref().map(|name| name.as_str());
        some_remotes(tasks.store(), name)?;
        let now = sys::now().wall;
        let holds = |name: &str, start: i64| {
            wanted.name.as_ref().is_none_or(|wanted| wanted == name)
                && since.is_none_or(|since| start >= since)
                && until.is_none_or(|until| start <= until)
        };
        let mut rows: Vec<(i64, Value)> = vec![];
        if name.is_none() {
            for live in tasks.list(&TaskFilter::default(), None)?.live {
                let start = live.task.starttime.or(live.task.reservetime).unwrap_or(0);
                if holds(&live.task.name, start) {
                    let mut value = show::task_json(&live, progress_of(&live), now);
                    put(&mut value, [("remote", Value::Null)]);
                    rows.push((start, value));
                }
            }
        }
        let store = tasks.store();
        for live in store.remote_active(name)? {
            let mut value: Value = serde_json::from_str(&live.run.detail).unwrap_or_default();
            if !value.is_object() {
                value = json!({});
            }
            if !holds(value["name"].as_str().unwrap_or_default(), live.run.start) {
                continue;
            }
            let node = live.run.upid.value().map(|upid| upid.node().to_owned());
            let upid = format!("{}!{}", live.remote, live.run.upid);
            let stale = live.stale.then_some(live.seen);
            put(
                &mut value,
                [
                    ("remote", (*live.remote).into()),
                    ("node", node.into()),
                    ("upid", upid.into()),
                    ("starttime", live.run.start.into()),
                    // The known run time so far.
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
            let clusters = clusters(store)?;
            let names = clusters.iter().map(String::as_str).collect();
            let text = show::far_task_table(&rows, &names, now, (self.out.width)(), self.out.colours);
            self.print(&text)?;
        }
        Ok(0)
    }

    /// Prints `history` with tasks of other hosts, sorted by start.
    pub(super) fn history_far(&mut self, wanted: &args::History, filter: Filter) -> Done {
        let mut tasks = Tasks::open(&self.db, self.out.patience)?;
        let unsettled = tasks.snapshot()?.unsettled();
        self.report_unsettled(unsettled, tasks.is_own());
        let store = tasks.store();
        let name = wanted.remote.as_ref().map(|name| name.as_str());
        let remotes = some_remotes(store, name)?;
        // In UPIDs of these remotes a number is that of a guest or a disk, which many tasks share.
        let unnumbered: HashSet<&str> =
            remotes.iter().filter(|remote| remote.source.api().is_some()).map(|remote| remote.name.as_str()).collect();
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
            limit: wanted.rows(),
            after,
            offset: wanted.offset,
            reverse: wanted.reverse,
        };
        let page = store.page_by_start(&query)?;
        let next = page.next.map(|place| place.to_string());
        let rows = || page.rows.iter().map(|row| listed_json(row, &unnumbered));
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
            let clusters = clusters(store)?;
            let names = clusters.iter().map(String::as_str).collect();
            let text = show::far_history_table(&rows, &names, sys::now().wall, (self.out.width)(), self.out.colours);
            self.print(&text)?;
        }
        if let Some(next) = next {
            self.report(&format!("more rows follow: --after {next}"));
        }
        Ok(0)
    }
}

/// Returns all remotes. Fails if there is none with this name, or none at all.
fn some_remotes(store: &Store, name: Option<&str>) -> Result<Vec<Remote>, ControlError> {
    let remotes = store.remotes()?;
    match name {
        Some(name) if !remotes.iter().any(|remote| remote.name == name) => {
            Err(ControlError::NoSuchRemote(name.to_owned()))
        }
        None if remotes.is_empty() => Err(ControlError::NoRemotes),
        Some(_) | None => Ok(remotes),
    }
}

/// Returns the names of remotes with more than one node.
fn clusters(store: &Store) -> Result<Vec<String>, ControlError> {
    let nodes = store.remote_nodes(None)?;
    let several = |remote: &Remote| nodes.get(&remote.id).is_some_and(|nodes| nodes.len() > 1);
    Ok(store.remotes()?.into_iter().filter(several).map(|remote| remote.name).collect())
}

fn put<const N: usize>(value: &mut Value, fields: [(&str, Value); N]) {
    if let Some(object) = value.as_object_mut() {
        for (key, field) in fields {
            object.insert(key.to_owned(), field);
        }
    }
}

/// Returns an ended task of any host as JSON, with the keys of `history` and its remote.
fn listed_json(row: &Listed, unnumbered: &HashSet<&str>) -> Value {
    match row {
        Listed::Local(row) => {
            let mut value = json!(row);
            put(&mut value, [("remote", Value::Null)]);
            value
        }
        Listed::Remote(task) => {
            let more = task.more.as_deref();
            let text = |pick: fn(&More) -> &Option<String>| more.and_then(|more| pick(more).clone());
            let upid = task.upid.value();
            // The exit code of a success is not stored. Proxmox hosts report no exit codes.
            let is_zero = !unnumbered.contains(&*task.remote) && task.outcome.class().is_success();
            json!({
                "remote": *task.remote,
                "node": *task.node,
                "upid": format!("{}!{}", task.remote, task.upid),
                "taskid": upid.and_then(Upid::number).filter(|_| !unnumbered.contains(&*task.remote)),
                "taskname": text(|more| &more.name).unwrap_or_else(|| task.kind.to_string()),
                "type": *task.kind,
                "id": upid.map(|upid| upid.id().into_owned()),
                "user": *task.user,
                "outcome": task.outcome.to_string(),
                "termerror": task.outcome.reason().filter(|reason| !reason.is_empty()),
                "starttime": task.start,
                "endtime": task.endtime,
                // A float, like the durations of local tasks.
                "duration": task.endtime.saturating_sub(task.start) as f64,
                "info1": text(|more| &more.info1),
                "info2": text(|more| &more.info2),
                "info3": text(|more| &more.info3),
                "exitcode": more.and_then(|more| more.exitcode).or_else(|| is_zero.then_some(0)),
            })
        }
    }
}
