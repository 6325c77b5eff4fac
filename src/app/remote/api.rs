//! The API of one Proxmox host: its requests and errors.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    io::{
        https::{Client, HttpAnswer, HttpsError, Method, Trust},
        secret::{self, SecretError},
    },
    model::{
        proxmox::{self, BadList, Cluster, ClusterNode, List, RemoteStatus},
        proxmox_access::{Api, Fingerprint, Product, is_secret},
        remote::{More, RemoteEnd},
        task::Outcome,
        upid::Upid,
    },
};

/// Characters that are not escaped in a segment of a path.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');
/// Maximum number of characters of a message of the host that are passed on.
const MESSAGE: usize = 300;

/// Maximum number of bytes of an error response that are parsed.
const REFUSAL: usize = 64 << 10;
/// Maximum size of a response that is neither a list nor a log, in bytes.
const SHORT: usize = 1 << 20;
const NOT_JSON: &str = ": not JSON";
const NO_DATA: &str = ": no data";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::app) enum ApiError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("invalid secret in {0:?}: only ASCII characters without spaces are allowed")]
    NoSecret(String),
    /// With the name of the remote.
    #[error("{}", https_text(.0, .1))]
    Https(HttpsError, String),
    /// With the name of the remote.
    #[error(
        "token not accepted (401){0}; if its name or secret has changed: control remote set {1} --token \
         USER@REALM!NAME --secret-file FILE"
    )]
    Token(String, String),
    #[error("permission denied for the token (403){0}; assign it a role with this permission")]
    Forbidden(String),
    /// A redirect is not followed, because the token must not be sent to another address.
    #[error("redirect (status {0}), which is not followed; set the address of the host itself with --url")]
    Redirect(u16),
    #[error("HTTP status {0}{1}")]
    Status(u16, String),
    #[error("node {0} is not in the cluster; if it was renamed, run control remote sync first")]
    NoNode(String),
    #[error("unexpected response{0}")]
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
    /// Whether the same request may succeed later.
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
            // 408: request timeout; 429: too many requests.
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

    /// Whether the response was too long, so that a request for less may succeed.
    pub(in crate::app) fn is_too_long(&self) -> bool {
        matches!(self, ApiError::Https(HttpsError::TooLong, _))
    }

    /// Whether the host did not respond in time.
    pub(in crate::app) fn is_silence(&self) -> bool {
        matches!(self, ApiError::Https(HttpsError::TimedOut(_) | HttpsError::Unanswered(..), _))
    }

    /// Whether the host does not know the task. 404 is not proof of that: neither product returns it for a task, but a
    /// proxy in between may.
    pub(in crate::app) fn is_no_task(&self) -> bool {
        matches!(self, ApiError::Status(400, message) if message.contains("no such task"))
    }
}

/// Returns the reason in an error response: PVE sends JSON, PBS plain text. A proxy in between may send neither.
fn refusal(status: u16, json: Option<&Value>, body: &[u8]) -> String {
    let reasons: Vec<&str> = match json.filter(|value| value.is_object()) {
        Some(value) => {
            let errors = value["errors"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str());
            value["message"].as_str().into_iter().chain(errors).collect()
        }
        None => std::str::from_utf8(body).ok().filter(|text| !text.trim_start().starts_with('<')).into_iter().collect(),
    };
    let reason = reasons.into_iter().map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ");
    // Status codes of PVE for a node that it could not reach (AnyEvent::HTTP). Before 8.4 they came without a text.
    let known = match status {
        595 => "the node cannot be reached",
        596 | 597 => "the node closed the connection or took too long",
        599 => "the node cannot be queried",
        _ => "",
    };
    if reason.is_empty() { known.to_owned() } else { reason.chars().take(MESSAGE).collect() }
}

/// A connection to one host.
#[derive(Debug)]
pub(in crate::app) struct Host {
    remote: String,
    client: Client,
    product: Product,
}

/// A task, and the node to ask about it, which is the node that lists the task. PVE finds a task by its UPID alone; the
/// node in the path only determines where to look.
#[derive(Clone, Debug)]
pub(in crate::app) struct TaskAt {
    pub upid: Upid,
    node: String,
}

impl TaskAt {
    /// Returns a task that is listed by the node `via`, by default the node in its UPID.
    pub(in crate::app) fn new(product: Product, upid: Upid, via: Option<String>) -> TaskAt {
        let node = product.only_node().map(str::to_owned).or(via).unwrap_or_else(|| upid.node().to_owned());
        TaskAt { upid, node }
    }

    /// Returns the node if there are several and the UPID names another one.
    pub(in crate::app) fn via(&self, product: Product) -> Option<&str> {
        Some(&*self.node).filter(|node| product.only_node().is_none() && *node != self.upid.node())
    }
}

/// Which tasks to list.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::app) struct Wanted {
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub start: usize,
    pub limit: usize,
}

impl Host {
    /// Returns a connection to the remote with this name. `limit` is the longest time for a request.
    pub(in crate::app) fn new(remote: &str, product: Product, api: &Api, limit: Duration) -> Result<Host, ApiError> {
        let secret = secret::read(api.secret_file.as_ref())?;
        if !is_secret(&secret) {
            return Err(ApiError::NoSecret(api.secret_file.clone()));
        }
        let trust = api.fingerprint.map_or(Trust::System, |print| Trust::Pinned(print.0));
        let client = Client::new(&api.url.to_string(), product.authorization(&api.token, &secret), trust, limit)
            .map_err(|error| ApiError::Https(error, remote.to_owned()))?;
        Ok(Host { remote: remote.to_owned(), client, product })
    }

    /// Returns another connection to the same host.
    pub(in crate::app) fn another(&self) -> Host {
        Host { remote: self.remote.clone(), client: self.client.another(), product: self.product }
    }

    /// Sets the longest time for a request.
    pub(in crate::app) fn set_limit(&mut self, limit: Duration) {
        self.client.set_limit(limit);
    }

    /// Sends a request and returns the body of the response.
    fn body(&self, method: Method, path: &str) -> Result<Vec<u8>, ApiError> {
        let answer = self.client.ask(method, &format!("/api2/json{path}"));
        let HttpAnswer { status, body } = answer.map_err(|error| ApiError::Https(error, self.remote.clone()))?;
        if status != 200 {
            // A longer error text is not useful.
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

    /// Sends a request and returns the response as a value. The size of the body is limited, because a parsed value
    /// needs many times as much memory.
    fn ask(&self, method: Method, path: &str, most: usize) -> Result<Value, ApiError> {
        let body = self.body(method, path)?;
        if body.len() > most {
            return Err(ApiError::Strange(": too long"));
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| ApiError::Strange(NOT_JSON))?;
        match value.get("data") {
            Some(_) => Ok(value),
            None => Err(ApiError::Strange(NO_DATA)),
        }
    }

    /// Sends a request about one task. A node that is not in the cluster is a separate error, because trying again
    /// would not help.
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

    /// Returns the version of the product.
    pub(in crate::app) fn version(&self) -> Result<String, ApiError> {
        let answer = self.ask(Method::Get, "/version", SHORT)?;
        match answer["data"]["version"].as_str() {
            Some(version) => Ok(version.to_owned()),
            None => Err(ApiError::Strange(": no version")),
        }
    }

    /// Returns the nodes of the cluster.
    pub(in crate::app) fn cluster(&self) -> Result<Cluster, ApiError> {
        if let Some(name) = self.product.only_node() {
            let nodes = vec![ClusterNode { name: name.to_owned(), online: true }];
            return Ok(Cluster { nodes, unread: vec![] });
        }
        let answer = self.ask(Method::Get, "/nodes", SHORT)?;
        proxmox::cluster(&answer["data"]).ok_or(ApiError::Strange(": not a list of nodes"))
    }

    /// Returns the listing node to store with an entry, or `None` if there is only one node.
    pub(in crate::app) fn lister<'a>(&self, node: &'a str) -> Option<&'a str> {
        Some(node).filter(|_| self.product.only_node().is_none())
    }

    /// Returns a page of a node's tasks, including running ones.
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
        let body = self.body(Method::Get, &path)?;
        proxmox::list(&body, wanted.limit).map_err(|bad| {
            ApiError::Strange(match bad {
                BadList::NotJson => NOT_JSON,
                BadList::NoData => NO_DATA,
                BadList::NoList => ": not a list of tasks",
                BadList::TooMany => ": more tasks than requested",
            })
        })
    }

    /// Returns the status of a task.
    pub(in crate::app) fn status(&self, task: &TaskAt) -> Result<RemoteStatus, ApiError> {
        let answer = self.ask_task(Method::Get, task, "/status", SHORT)?;
        proxmox::status(&answer["data"]).ok_or(ApiError::Strange(": not a status of a task"))
    }

    /// Returns the end of a task that has ended with this outcome. Only the list has the time of the end; if the list
    /// no longer has the task, the time is `now`. The list may have the time without the outcome.
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
        // Tasks that started in the same second. PBS excludes `until`, so the range is one second wider.
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

    /// Returns the lines of a task's log after number `start`, sorted, and the number of lines in the log. If a
    /// response with `limit` lines would be too long, fewer lines are returned and `limit` is reduced to a possible
    /// number.
    pub(in crate::app) fn log(
        &self,
        task: &TaskAt,
        start: u64,
        limit: &mut u64,
    ) -> Result<(Vec<(u64, String)>, u64), ApiError> {
        loop {
            match self.log_page(task, start, *limit) {
                Err(error) if error.is_too_long() && *limit > 1 => {
                    // Half of the existing lines instead of the requested ones, because each attempt takes long.
                    let (_, total) = self.log_page(task, start, 1)?;
                    *limit = (total.saturating_sub(start).min(*limit) / 2).max(1);
                }
                page => return page,
            }
        }
    }

    fn log_page(&self, task: &TaskAt, start: u64, limit: u64) -> Result<(Vec<(u64, String)>, u64), ApiError> {
        // PBS begins with line number `start`, PVE after it.
        let more = if self.product == Product::Pbs { limit.saturating_add(1) } else { limit };
        let answer = self.ask_task(Method::Get, task, &format!("/log?start={start}&limit={more}"), usize::MAX)?;
        let strange = || ApiError::Strange(": not a log");
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
        // The API does not guarantee an order.
        lines.sort_by_key(|(number, _)| *number);
        lines.dedup_by_key(|(number, _)| *number);
        let last = lines.last().map_or(0, |(n, _)| *n);
        let total = answer["total"].as_u64().unwrap_or(last);
        // PVE never responds without a line: it sends a message instead, which is not part of the log.
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

    /// Requests the end of a task.
    pub(in crate::app) fn stop(&self, task: &TaskAt) -> Result<(), ApiError> {
        self.ask_task(Method::Delete, task, "", SHORT).map(|_| ())
    }
}
