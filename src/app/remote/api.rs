//! The API of one Proxmox host: what is asked, and why it did not answer.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    io::{
        https::{Client, HttpAnswer, HttpsError, Method, Trust},
        secret::{self, SecretError},
    },
    model::{
        proxmox::{self, Api, BadList, Cluster, ClusterNode, Fingerprint, List, Product, RemoteStatus},
        remote::{More, RemoteEnd},
        task::Outcome,
        upid::Upid,
    },
};

/// What stands for itself in a part of a path.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');
/// Letters of a message of theirs that are passed on.
const MESSAGE: usize = 300;

/// Bytes of a refusal that are read.
const REFUSAL: usize = 64 << 10;
/// Bytes of an answer that is no list and no log, at most.
const SHORT: usize = 1 << 20;
const NOT_JSON: &str = ": it is not JSON";
const NO_DATA: &str = ": it has no data";

/// Why it did not answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum ApiError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("invalid secret in {0:?}: only ASCII characters without spaces are allowed")]
    NoSecret(String),
    /// And the remote's name.
    #[error("{}", https_text(.0, .1))]
    Https(HttpsError, String),
    /// And the remote's name.
    #[error(
        "it does not accept the token (401){0}; if its name or its secret is another: control remote set {1} --token \
         USER@REALM!NAME --secret-file FILE"
    )]
    Token(String, String),
    #[error("permission denied for the token (403){0}; assign it a role with this permission")]
    Forbidden(String),
    /// What authorizes us goes nowhere else.
    #[error("it answers with a redirect (status {0}), which is not followed; is the address that of the host itself?")]
    Redirect(u16),
    #[error("it answers with status {0}{1}")]
    Status(u16, String),
    #[error("node {0} is not in the cluster; if it was renamed, run control remote sync first")]
    NoNode(String),
    #[error("unexpected answer{0}")]
    Strange(&'static str),
}

fn https_text(error: &HttpsError, remote: &str) -> String {
    let set = |shown: &[u8; 32]| format!("control remote set {remote} --fingerprint {}", Fingerprint(*shown));
    match error {
        HttpsError::Untrusted(_, shown) => format!("{error}; if it is the right one: {}", set(shown)),
        HttpsError::OtherCertificate(shown) => format!("{error}; if it was renewed: {}", set(shown)),
        other => other.to_string(),
    }
}

impl ApiError {
    /// Whether it may answer when it is asked again: nothing is wrong with what it was asked.
    pub(in crate::app) fn may_pass(&self) -> bool {
        match self {
            ApiError::Https(error, _) => !matches!(
                error,
                HttpsError::Untrusted(..)
                    | HttpsError::OtherCertificate(_)
                    | HttpsError::TooLong
                    | HttpsError::Tls(_)
                    | HttpsError::NoTls
            ),
            // 408: it took too long; 429: it is asked too often.
            ApiError::Status(status, _) => *status >= 500 || matches!(status, 408 | 429),
            ApiError::Strange(_) => true,
            ApiError::Secret(_)
            | ApiError::NoSecret(_)
            | ApiError::Token(..)
            | ApiError::Forbidden(_)
            | ApiError::Redirect(_)
            | ApiError::NoNode(_) => false,
        }
    }

    /// Whether a shorter answer may do.
    pub(in crate::app) fn is_too_long(&self) -> bool {
        matches!(self, ApiError::Https(HttpsError::TooLong, _))
    }

    /// Whether it said nothing in time.
    pub(in crate::app) fn is_silence(&self) -> bool {
        matches!(self, ApiError::Https(HttpsError::TimedOut(_) | HttpsError::Unanswered(..), _))
    }

    /// Whether the host does not know the task that it was asked about. That nothing is found (404) is no word of it:
    /// neither product says so of a task, but a proxy in between may.
    pub(in crate::app) fn is_no_task(&self) -> bool {
        matches!(self, ApiError::Status(400, message) if message.contains("no such task"))
    }
}

/// Why it refused, as far as it says: PVE in JSON, PBS in plain words, and neither if it was a proxy between.
fn refusal(status: u16, json: Option<&Value>, body: &[u8]) -> String {
    let told: Vec<&str> = match json.filter(|value| value.is_object()) {
        Some(value) => {
            let errors = value["errors"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str());
            value["message"].as_str().into_iter().chain(errors).collect()
        }
        None => std::str::from_utf8(body).ok().filter(|text| !text.trim_start().starts_with('<')).into_iter().collect(),
    };
    let told = told.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    // What PVE makes up for a node that it could not ask (AnyEvent::HTTP); before 8.4 it said no more than that.
    let known = match status {
        595 => "the node cannot be reached",
        596 | 597 => "the node broke off or took too long",
        599 => "the node cannot be asked",
        _ => "",
    };
    if told.is_empty() { known.to_owned() } else { told.chars().take(MESSAGE).collect() }
}

/// The way to one, over one connection.
#[derive(Debug)]
pub(in crate::app) struct Host {
    remote: String,
    client: Client,
    product: Product,
}

/// A task, and the node that is asked about it: the one in whose list it stands. PVE finds a task by its UPID alone; the
/// node in the path of a request says only where to look.
#[derive(Clone, Debug)]
pub(in crate::app) struct TaskAt {
    pub upid: Upid,
    node: String,
}

impl TaskAt {
    /// A task that stands in the list of node `via`; none: of the node that its UPID names.
    pub(in crate::app) fn new(product: Product, upid: Upid, via: Option<String>) -> TaskAt {
        let node = product.only_node().map(str::to_owned).or(via).unwrap_or_else(|| upid.node.clone());
        TaskAt { upid, node }
    }

    /// The node, if its UPID names another one and it is one of several.
    pub(in crate::app) fn via(&self, product: Product) -> Option<&str> {
        Some(&*self.node).filter(|node| product.only_node().is_none() && *node != self.upid.node)
    }
}

/// Which tasks are listed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::app) struct Wanted {
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub start: usize,
    pub limit: usize,
}

impl Host {
    /// The way to the remote of this name; a request takes no longer than `limit`.
    pub(in crate::app) fn new(remote: &str, product: Product, api: &Api, limit: Duration) -> Result<Host, ApiError> {
        let secret = secret::read(api.secret_file.as_ref())?;
        if !proxmox::is_secret(&secret) {
            return Err(ApiError::NoSecret(api.secret_file.clone()));
        }
        let trust = api.fingerprint.map_or(Trust::System, |print| Trust::Pinned(print.0));
        let client = Client::new(&api.url.to_string(), product.authorization(&api.token, &secret), trust, limit)
            .map_err(|error| ApiError::Https(error, remote.to_owned()))?;
        Ok(Host { remote: remote.to_owned(), client, product })
    }

    /// The same way with a connection of its own.
    pub(in crate::app) fn another(&self) -> Host {
        Host { remote: self.remote.clone(), client: self.client.another(), product: self.product }
    }

    /// From now on a request takes no longer than this.
    pub(in crate::app) fn set_limit(&mut self, limit: Duration) {
        self.client.set_limit(limit);
    }

    /// What it answers, if it does not refuse.
    fn told(&self, method: Method, path: &str) -> Result<Vec<u8>, ApiError> {
        let answer = self.client.ask(method, &format!("/api2/json{path}"));
        let HttpAnswer { status, body } = answer.map_err(|error| ApiError::Https(error, self.remote.clone()))?;
        if status != 200 {
            // Nobody says more than this in a refusal.
            let body = &body[..body.len().min(REFUSAL)];
            let text = refusal(status, serde_json::from_slice::<Value>(body).ok().as_ref(), body);
            let text = if text.is_empty() { text } else { format!(": {text}") };
            return Err(match status {
                401 => ApiError::Token(text, self.remote.clone()),
                300..=399 => ApiError::Redirect(status),
                403 => ApiError::Forbidden(text),
                other => ApiError::Status(other, text),
            });
        }
        Ok(body)
    }

    /// The same as a value; of so many bytes at most, as a value takes many times as much.
    fn ask(&self, method: Method, path: &str, most: usize) -> Result<Value, ApiError> {
        let body = self.told(method, path)?;
        if body.len() > most {
            return Err(ApiError::Strange(": it is far too long"));
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| ApiError::Strange(NOT_JSON))?;
        match value.get("data") {
            Some(_) => Ok(value),
            None => Err(ApiError::Strange(NO_DATA)),
        }
    }

    /// Asks about one task. That its node is not in the cluster is said as such: to ask again would change nothing.
    fn ask_task(&self, method: Method, task: &TaskAt, behind: &str, most: usize) -> Result<Value, ApiError> {
        let part = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
        let path = format!("/nodes/{}/tasks/{}{behind}", part(&task.node), part(task.upid.own()));
        let failed = match self.ask(method, &path, most) {
            Err(error @ ApiError::Status(500.., _)) if self.product.only_node().is_none() => error,
            answer => return answer,
        };
        match self.cluster() {
            Ok(Cluster { nodes, unread }) if unread.is_empty() && !nodes.iter().any(|node| node.name == task.node) => {
                Err(ApiError::NoNode(task.node.clone()))
            }
            Ok(_) | Err(_) => Err(failed),
        }
    }

    /// Its version.
    pub(in crate::app) fn version(&self) -> Result<String, ApiError> {
        let answer = self.ask(Method::Get, "/version", SHORT)?;
        match answer["data"]["version"].as_str() {
            Some(version) => Ok(version.to_owned()),
            None => Err(ApiError::Strange(": it names no version")),
        }
    }

    /// Its nodes.
    pub(in crate::app) fn cluster(&self) -> Result<Cluster, ApiError> {
        if let Some(name) = self.product.only_node() {
            let nodes = vec![ClusterNode { name: name.to_owned(), online: true }];
            return Ok(Cluster { nodes, unread: vec![] });
        }
        let answer = self.ask(Method::Get, "/nodes", SHORT)?;
        proxmox::cluster(&answer["data"]).ok_or(ApiError::Strange(": it is no list of nodes"))
    }

    /// The node of a list as an entry of it keeps it; none where there is only one.
    pub(in crate::app) fn lister<'a>(&self, node: &'a str) -> Option<&'a str> {
        Some(node).filter(|_| self.product.only_node().is_none())
    }

    /// A page of a node's tasks, those that run among them.
    pub(in crate::app) fn list(&self, node: &str, wanted: &Wanted) -> Result<List, ApiError> {
        let node = utf8_percent_encode(node, PLAIN);
        let mut path = format!("/nodes/{node}/tasks?start={}&limit={}", wanted.start, wanted.limit);
        if self.product == Product::Pve {
            path.push_str("&source=all");
        }
        for (name, time) in [("since", wanted.since), ("until", wanted.until)] {
            if let Some(time) = time {
                path.push_str(&format!("&{name}={time}"));
            }
        }
        let body = self.told(Method::Get, &path)?;
        proxmox::list(&body, wanted.limit).map_err(|bad| {
            ApiError::Strange(match bad {
                BadList::NotJson => NOT_JSON,
                BadList::NoData => NO_DATA,
                BadList::NoList => ": it is no list of tasks",
                BadList::TooMany => ": it has more tasks than that",
            })
        })
    }

    /// How a task is.
    pub(in crate::app) fn status(&self, task: &TaskAt) -> Result<RemoteStatus, ApiError> {
        let answer = self.ask_task(Method::Get, task, "/status", SHORT)?;
        proxmox::status(&answer["data"]).ok_or(ApiError::Strange(": it is no state of a task"))
    }

    /// The end of a task whose state says that it ended so: with its time, which the list alone has, and at `now` if the
    /// list has it no more. The list may tell the time and not the outcome.
    pub(in crate::app) fn end_of(&self, task: &TaskAt, outcome: Outcome, now: i64) -> Result<RemoteEnd, ApiError> {
        let TaskAt { upid, node } = task;
        Ok(match self.listed_end(upid, node)? {
            Some(end) if end.outcome == Outcome::Unknown(String::new()) => RemoteEnd { outcome, ..end },
            Some(end) => end,
            None => {
                let via = task.via(self.product).map(str::to_owned);
                RemoteEnd { upid: upid.clone(), endtime: now, outcome, more: More { via, ..More::default() } }
            }
        })
    }

    fn listed_end(&self, upid: &Upid, node: &str) -> Result<Option<RemoteEnd>, ApiError> {
        let mut paging = proxmox::Paging::new(1000);
        // Of those that started in its second. PBS takes `until` for the next one where it is the same.
        let time = |off: i64| Some(upid.starttime.saturating_add(off));
        loop {
            let wanted = Wanted { since: time(-1), until: time(1), start: paging.start(), limit: paging.limit() };
            let list = match self.list(node, &wanted) {
                Err(error) if error.is_too_long() && paging.halve() => continue,
                list => list?,
            };
            let mut keys = vec![];
            for entry in &list.entries {
                let (key, entry) = proxmox::listed(entry, self.lister(node));
                keys.push(key);
                match entry {
                    Ok(proxmox::TaskEntry::Ended(end)) if end.upid.as_str() == upid.own() => return Ok(Some(end)),
                    Ok(_) | Err(_) => {}
                }
            }
            match paging.take(&keys.iter().map(String::as_str).collect::<Vec<_>>(), list.total) {
                proxmox::NextPage::Next => {}
                proxmox::NextPage::Done | proxmox::NextPage::Broken(_) => return Ok(None),
            }
        }
    }

    /// Lines of a task's log behind number `start` in the order of their numbers, and how many lines the log has. Fewer
    /// than `limit` come if an answer with as many would be too long: `limit` is then what one can have.
    pub(in crate::app) fn log(
        &self,
        task: &TaskAt,
        start: u64,
        limit: &mut u64,
    ) -> Result<(Vec<(u64, String)>, u64), ApiError> {
        loop {
            match self.log_page(task, start, *limit) {
                Err(error) if error.is_too_long() && *limit > 1 => {
                    // Half of the lines that there are, and not of those that were asked for: each try is long.
                    let (_, total) = self.log_page(task, start, 1)?;
                    *limit = (total.saturating_sub(start).min(*limit) / 2).max(1);
                }
                page => return page,
            }
        }
    }

    fn log_page(&self, task: &TaskAt, start: u64, limit: u64) -> Result<(Vec<(u64, String)>, u64), ApiError> {
        // PBS begins with line number `start`, PVE behind it.
        let more = if self.product == Product::Pbs { limit.saturating_add(1) } else { limit };
        let answer = self.ask_task(Method::Get, task, &format!("/log?start={start}&limit={more}"), usize::MAX)?;
        let strange = || ApiError::Strange(": it is no log");
        let line = |line: &Value| {
            let text = match &line["t"] {
                // A line without a text is empty.
                Value::Null => "",
                text => text.as_str()?,
            };
            Some((line["n"].as_u64()?, text.to_owned()))
        };
        let lines = answer["data"].as_array().ok_or_else(strange)?;
        let mut lines = lines.iter().map(line).collect::<Option<Vec<_>>>().ok_or_else(strange)?;
        // No order is promised.
        lines.sort_by_key(|(number, _)| *number);
        lines.dedup_by_key(|(number, _)| *number);
        let last = lines.last().map_or(0, |(n, _)| *n);
        let total = answer["total"].as_u64().unwrap_or(last);
        // PVE never answers without a line: what it says instead is none of the log.
        if let (Product::Pve, 1, [(1, only)]) = (self.product, total, lines.as_slice()) {
            if only == "no content" {
                return Ok((vec![], 0));
            }
            if only.starts_with("unable to open file - ") {
                return Err(ApiError::Status(400, format!(": no such task: {only}")));
            }
        }
        lines.retain(|(number, _)| *number > start);
        lines.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((lines, total))
    }

    /// Asks for a task's end.
    pub(in crate::app) fn stop(&self, task: &TaskAt) -> Result<(), ApiError> {
        self.ask_task(Method::Delete, task, "", SHORT).map(|_| ())
    }
}
