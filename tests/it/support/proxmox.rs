//! A stand-in for the API of Proxmox VE and Proxmox Backup Server: the documented JSON over TLS, with pages, filters,
//! tokens, running tasks, logs and ends; and with all faults of real hosts: latency, silence, errors, truncated and
//! invalid responses. Also helpers for tests that run `control` with it.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, recv},
};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use taskwatcher::model::upid::Upid;

use crate::support::{PATIENCE, Program, Ran, World};

pub const TOKEN: &str = "root@pam!watch";
pub const SECRET: &str = "6c2b7fe0-0d2c-4c3d-9d53-aaaaaaaaaaaa";

/// A fault of the host.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// No response until the fault is removed.
    Hangs,
    /// A response with this status and a message.
    Status(u16, &'static str),
    /// A response with this status, without a message or a length, after which the connection is closed: PVE before
    /// 8.4.
    Bare(u16),
    /// An endless response, one byte at a time.
    Drips,
    /// A truncated response.
    CutOff,
    /// The connection is closed without a response.
    Drops,
    /// This body instead of the response.
    Says(&'static str),
    /// These entries instead of the list.
    Lists(Value),
}

#[derive(Clone, Debug, Default)]
pub struct Job {
    pub upid: String,
    /// Time and status of the end.
    pub end: Option<(i64, String)>,
    pub log: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Node {
    pub offline: bool,
    pub jobs: Vec<Job>,
    pub fault: Option<Fault>,
    /// Number of pages of a list that are answered correctly in spite of the fault.
    pub good_pages: usize,
    /// A fault of requests for the status of a task only.
    pub state_fault: Option<Fault>,
    /// Whether the list has the times of ends without the outcomes.
    pub without_outcomes: bool,
}

#[derive(Debug, Default)]
pub struct State {
    pub nodes: BTreeMap<String, Node>,
    /// Additional entries in the list of nodes.
    pub more_nodes: Vec<Value>,
    /// A fault of all requests.
    pub fault: Option<Fault>,
    pub latency: Duration,
    /// Maximum length of a page.
    pub longest_page: usize,
    /// Whether the lines of a log page are in reverse order.
    pub logs_reversed: bool,
    /// Number of log pages that are answered correctly before the fault.
    pub log_pages: Option<usize>,
    /// The requests: method and path.
    pub asked: Vec<String>,
    /// Whether a task of the node ends and another one begins between two pages of a list.
    pub busy: bool,
    born: u32,
}

#[derive(Debug)]
struct Shared {
    pbs: bool,
    state: Mutex<State>,
    freed: Condvar,
    over: AtomicBool,
    /// The largest number of simultaneous connections so far.
    most: AtomicUsize,
}

/// The simultaneous connections of several hosts, each with the port of its host, and their largest number so far.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    open: Mutex<Vec<(u16, TcpStream)>>,
    most: AtomicUsize,
}

impl Crowd {
    pub fn most(&self) -> usize {
        self.0.most.load(Ordering::SeqCst)
    }

    /// Returns the current number of connections.
    pub fn open(&self) -> usize {
        self.0.open.lock().unwrap().iter().filter(|(_, stream)| is_open(stream)).count()
    }

    /// Counts a new connection and returns the number of connections of its host. A client closes a connection before
    /// it opens the next one, and that is detected here even if a thread is still writing to it.
    fn came(&self, port: u16, stream: &TcpStream) -> usize {
        let mut all = self.0.open.lock().unwrap();
        all.retain(|(_, stream)| is_open(stream));
        all.push((port, stream.try_clone().unwrap()));
        self.0.most.fetch_max(all.len(), Ordering::SeqCst);
        all.iter().filter(|(of, _)| *of == port).count()
    }
}

fn is_open(stream: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(stream.as_raw_fd(), &mut [0], flags), Ok(1) | Err(Errno::EAGAIN))
}

/// A host.
#[derive(Debug)]
pub struct Proxmox {
    shared: Arc<Shared>,
    pub port: u16,
    pub fingerprint: String,
    /// The self-signed certificate.
    pub pem: String,
}

impl Proxmox {
    pub fn pve() -> Proxmox {
        Proxmox::start(false, Crowd::default())
    }

    /// Starts a host with a self-signed certificate that is marked as an authority.
    pub fn authority() -> Proxmox {
        Proxmox::start_as(false, Crowd::default(), true)
    }

    pub fn pbs() -> Proxmox {
        let host = Proxmox::start(true, Crowd::default());
        host.state().nodes.insert("localhost".into(), Node::default());
        host
    }

    pub fn start(pbs: bool, crowd: Crowd) -> Proxmox {
        Proxmox::start_as(pbs, crowd, false)
    }

    fn start_as(pbs: bool, crowd: Crowd, authority: bool) -> Proxmox {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut form = rcgen::CertificateParams::new(names).unwrap();
        if authority {
            form.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = form.self_signed(&signing_key).unwrap();
        let der = cert.der().clone();
        let digest = ring::digest::digest(&ring::digest::SHA256, &der);
        let fingerprint: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let text = BASE64_STANDARD.encode(&der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![der], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            pbs,
            state: Mutex::new(State { longest_page: usize::MAX, ..State::default() }),
            freed: Condvar::new(),
            over: AtomicBool::new(false),
            most: AtomicUsize::new(0),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if server.over.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, config) = (Arc::clone(&server), Arc::clone(&config));
                let Ok(stream) = stream else { continue };
                shared.most.fetch_max(crowd.came(port, &stream), Ordering::SeqCst);
                std::thread::spawn(move || {
                    // A client may go away at any time.
                    let copy = stream.try_clone();
                    let _ = serve(&shared, &config, stream);
                    // The list of connections has a copy of the stream, which would keep it open.
                    let _ = copy.map(|stream| stream.shutdown(Shutdown::Both));
                });
            }
        });
        Proxmox { shared, port, fingerprint: fingerprint.join(":"), pem }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Changes the state of the host and releases all hanging requests.
    pub fn change(&self, work: impl FnOnce(&mut State)) {
        work(&mut self.state());
        self.shared.freed.notify_all();
    }

    pub fn node(&self, name: &str, work: impl FnOnce(&mut Node)) {
        self.change(|state| work(state.nodes.entry(name.to_owned()).or_default()));
    }

    /// Returns the largest number of simultaneous connections.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// Returns the requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// Returns the UPIDs of all ended tasks.
    pub fn ended(&self) -> Vec<String> {
        let state = self.state();
        let jobs = state.nodes.values().flat_map(|node| &node.jobs);
        jobs.filter(|job| job.end.is_some()).map(|job| job.upid.clone()).collect()
    }
}

impl Drop for Proxmox {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.freed.notify_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Returns a UPID of a task on a node.
pub fn upid(node: &str, number: u32, start: i64, kind: &str, id: &str) -> String {
    format!("UPID:{node}:{:08X}:{:08X}:{start:08X}:{kind}:{id}:root@pam:", 1000 + number, 50_000 + number)
}

/// Returns an ended task.
pub fn done(upid: String, end: i64, status: &str) -> Job {
    Job { upid, end: Some((end, status.to_owned())), log: vec!["starting".into(), format!("TASK {status}")] }
}

/// Returns a running task.
pub fn runs(upid: String) -> Job {
    Job { upid, end: None, log: vec!["starting".into()] }
}

struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    authorization: String,
}

fn serve(shared: &Shared, config: &Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    while let Some(asked) = read_request(&mut stream)? {
        let Some((bytes, sent)) = answer(shared, &asked) else { return Ok(()) };
        stream.get_mut().write_all(&bytes)?;
        stream.get_mut().flush()?;
        while sent == Sent::Dripping && !shared.over.load(Ordering::SeqCst) {
            late(Duration::from_millis(50));
            stream.get_mut().write_all(b" ")?;
            stream.get_mut().flush()?;
        }
        if sent != Sent::Whole {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(stream: &mut BufReader<impl Read>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut authorization = String::new();
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = value.trim().to_owned();
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pair = |part: &str| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = query.split('&').filter_map(pair).collect();
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    Ok(Some(Asked { method, path, query, authorization }))
}

/// What follows the bytes of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sent {
    /// Nothing: the response is complete.
    Whole,
    /// The connection is closed.
    Part,
    /// More bytes, slowly.
    Dripping,
}

/// Returns the bytes of a response, or `None` to close the connection.
fn answer(shared: &Shared, asked: &Asked) -> Option<(Vec<u8>, Sent)> {
    let mut state = shared.state.lock().unwrap();
    let query: Vec<String> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    state.asked.push(format!("{} {}?{}", asked.method, asked.path, query.join("&")));
    let latency = state.latency;
    if !latency.is_zero() {
        drop(state);
        late(latency);
        state = shared.state.lock().unwrap();
    }
    let expected = match shared.pbs {
        true => format!("PBSAPIToken={TOKEN}:{SECRET}"),
        false => format!("PVEAPIToken={TOKEN}={SECRET}"),
    };
    if asked.authorization != expected {
        return Some(refusal(shared.pbs, 401, "invalid token value!\n"));
    }
    let path = asked.path.strip_prefix("/api2/json").unwrap_or_default().to_owned();
    let node = path.strip_prefix("/nodes/").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    loop {
        let mut fault = state.fault.clone();
        if let Some(node) = node.as_ref().and_then(|name| state.nodes.get_mut(name)) {
            let is_list = path.ends_with("/tasks");
            if is_list && node.fault.is_some() && node.good_pages > 0 {
                node.good_pages -= 1;
            } else {
                fault = fault.or_else(|| node.fault.clone());
            }
            if path.ends_with("/status") {
                fault = fault.or_else(|| node.state_fault.clone());
            }
        }
        match fault {
            None => break,
            Some(Fault::Hangs) => {
                if shared.over.load(Ordering::SeqCst) {
                    return None;
                }
                state = shared.freed.wait_timeout(state, Duration::from_millis(100)).unwrap().0;
            }
            Some(Fault::Drops) => return None,
            Some(Fault::Status(status, message)) => {
                return Some(refusal(shared.pbs, status, message));
            }
            Some(Fault::Bare(status)) => {
                let head = format!("HTTP/1.1 {status} why\r\nConnection: close\r\n\r\n");
                return Some((head.into_bytes(), Sent::Part));
            }
            Some(Fault::Drips) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
                return Some((head.as_bytes().to_vec(), Sent::Dripping));
            }
            Some(Fault::Says(text)) => return Some(http(200, text)),
            Some(Fault::CutOff) => {
                let (bytes, _) = http(200, &json!({ "data": ["a".repeat(500)] }).to_string());
                return Some((bytes[..bytes.len() / 2].to_vec(), Sent::Part));
            }
            Some(Fault::Lists(entries)) => {
                let count = entries.as_array().map_or(0, Vec::len);
                return Some(http(200, &json!({ "data": entries, "total": count }).to_string()));
            }
        }
    }
    let (status, body) = respond(shared.pbs, &mut state, asked, &path);
    match body["message"].as_str() {
        Some(message) if shared.pbs => Some(refusal(true, status, message)),
        _ => Some(http(status, &body.to_string())),
    }
}

#[expect(clippy::disallowed_methods, reason = "a host that takes its time is what is tested")]
fn late(time: Duration) {
    std::thread::sleep(time);
}

/// Returns an error response: PVE sends JSON, PBS plain text with the content type of JSON.
fn refusal(pbs: bool, status: u16, message: &str) -> (Vec<u8>, Sent) {
    match pbs {
        true => http(status, message),
        false => http(status, &json!({ "data": null, "message": message }).to_string()),
    }
}

fn http(status: u16, body: &str) -> (Vec<u8>, Sent) {
    let head = format!(
        "HTTP/1.1 {status} whatever\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    ([head.as_bytes(), body.as_bytes()].concat(), Sent::Whole)
}

fn respond(pbs: bool, state: &mut State, asked: &Asked, path: &str) -> (u16, Value) {
    let number = |name: &str| asked.query.get(name).and_then(|text| text.parse::<i64>().ok());
    let not_found = || (404, json!({ "data": null, "message": "Path not found" }));
    // PVE tries to resolve any name that it is given.
    let no_node = |name: &str| (500, json!({ "data": null, "message": format!("hostname lookup '{name}' failed") }));
    let no_task = || {
        (
            400,
            json!({ "data": null, "errors": { "upid": "no such task" }, "message": "Parameter verification failed.\n" }),
        )
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => {
            (200, json!({ "data": { "version": if pbs { "4.1.0" } else { "9.1.1" }, "release": "x" } }))
        }
        ("GET", ["nodes"]) => {
            let one = |(name, node): (&String, &Node)| json!({ "node": name, "status": if node.offline { "offline" } else { "online" }, "type": "node", "id": format!("node/{name}") });
            let all = state.nodes.iter().map(one).chain(state.more_nodes.iter().cloned());
            (200, json!({ "data": all.collect::<Vec<_>>() }))
        }
        ("GET", ["nodes", name, "tasks"]) => {
            let limit = usize::try_from(number("limit").unwrap_or(50)).unwrap().min(state.longest_page);
            let start = usize::try_from(number("start").unwrap_or(0)).unwrap();
            let all = pbs || asked.query.get("source").is_some_and(|source| source == "all");
            if state.busy {
                state.born += 1;
                let born = state.born;
                if let Some(node) = state.nodes.get_mut(*name) {
                    let begun = runs(upid(name, 700_000 + born, 1_700_000_000 + i64::from(born), "qmstart", "7"));
                    if let Some(job) = node.jobs.iter_mut().find(|job| job.end.is_none()) {
                        job.end = Some((1_700_000_100 + i64::from(born), "OK".to_owned()));
                    }
                    node.jobs.push(begun);
                }
            }
            let Some(node) = state.nodes.get(*name) else { return no_node(name) };
            let (since, until) = (number("since").unwrap_or(0), number("until").unwrap_or(i64::MAX));
            let mut jobs: Vec<(Upid, &Job)> =
                node.jobs.iter().filter_map(|job| Some((job.upid.parse().ok()?, job))).collect();
            jobs.retain(|(upid, job)| (since..=until).contains(&upid.starttime) && (all || job.end.is_some()));
            // Running tasks come first, then ended tasks, latest end first.
            jobs.sort_by_key(|(_, job)| std::cmp::Reverse(job.end.as_ref().map_or(i64::MAX, |(end, _)| *end)));
            let total = jobs.len();
            let entry = |(upid, job): &(Upid, &Job)| {
                let mut value = upid.to_json();
                if pbs {
                    value["worker_type"] = value["type"].take();
                    value["worker_id"] = value["id"].take();
                }
                if let Some((end, status)) = &job.end {
                    value["endtime"] = (*end).into();
                    if !node.without_outcomes {
                        value["status"] = status.as_str().into();
                    }
                }
                value
            };
            let page: Vec<Value> = jobs.iter().skip(start).take(limit).map(entry).collect();
            // PBS does not count the entries that it does not show, but reports that there are more; PVE omits a total
            // of zero.
            let total = match pbs {
                true => start + page.len() + usize::from(page.len() >= limit),
                false => total,
            };
            match total {
                0 if !pbs => (200, json!({ "data": page })),
                total => (200, json!({ "data": page, "total": total })),
            }
        }
        (method, ["nodes", name, "tasks", upid, rest @ ..]) => {
            let Some(node) = state.nodes.get_mut(*name) else { return no_node(name) };
            let Some(job) = node.jobs.iter_mut().find(|job| job.upid == *upid) else {
                // The two products respond differently for an unknown task.
                let none = "unable to open file - No such file or directory";
                return match (pbs, rest) {
                    (true, ["status"]) => {
                        (200, json!({ "data": { "upid": upid, "status": "stopped", "exitstatus": "unknown" } }))
                    }
                    (true, ["log"]) => (400, json!({ "message": "No such file or directory (os error 2)" })),
                    (false, ["log"]) => (200, json!({ "data": [{ "n": 1, "t": none }], "total": 1 })),
                    _ => no_task(),
                };
            };
            match (method, rest) {
                ("GET", ["status"]) => {
                    let Ok(parsed) = job.upid.parse::<Upid>() else { return no_task() };
                    let mut value = parsed.to_json();
                    value["status"] = if job.end.is_some() { "stopped" } else { "running" }.into();
                    if let Some((_, status)) = &job.end {
                        value["exitstatus"] = status.as_str().into();
                    }
                    (200, json!({ "data": value }))
                }
                ("GET", ["log"]) if state.log_pages == Some(0) => (500, json!({ "data": null, "message": "no more" })),
                ("GET", ["log"]) => {
                    state.log_pages = state.log_pages.map(|left| left - 1);
                    let limit = usize::try_from(number("limit").unwrap_or(50)).unwrap().min(state.longest_page);
                    let start = usize::try_from(number("start").unwrap_or(0)).unwrap();
                    let line = |(at, text): (usize, &String)| match &**text {
                        NO_TEXT => json!({ "n": at + 1 }),
                        text => json!({ "n": at + 1, "t": text }),
                    };
                    // PBS begins with line number `start`, not after it; PVE never returns a log without a line.
                    let start = if pbs { start.saturating_sub(1) } else { start };
                    let mut lines: Vec<Value> = job.log.iter().enumerate().skip(start).take(limit).map(line).collect();
                    if state.logs_reversed {
                        lines.reverse();
                    }
                    match job.log.len() {
                        0 if !pbs => (200, json!({ "data": [{ "n": 1, "t": "no content" }], "total": 1 })),
                        total => (200, json!({ "data": lines, "total": total })),
                    }
                }
                ("DELETE", []) => {
                    if job.end.is_none() {
                        job.end = Some((1_800_000_000, "interrupted by signal".to_owned()));
                    }
                    (200, json!({ "data": null }))
                }
                _ => not_found(),
            }
        }
        _ => not_found(),
    }
}

/// A line of a log that comes without a text.
pub const NO_TEXT: &str = "(no text)";
/// A day in November 2026.
pub const START: i64 = 1_795_000_000;

impl World {
    pub fn secret(&self) -> String {
        let path = self.path("secret");
        fs::write(&path, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn adding<'w>(&'w self, name: &str, kind: &str, host: &Proxmox) -> Program<'w> {
        let url = host.url();
        self.control(["remote", "add", name, kind, &url, "--token", TOKEN, "--secret-file", &self.secret()])
            .env("SSL_CERT_FILE", self.path("no.pem"))
    }

    pub fn add(&self, name: &str, host: &Proxmox) {
        let kind = if host.state().nodes.contains_key("localhost") { "--pbs" } else { "--pve" };
        self.adding(name, kind, host).arg("--fingerprint").arg(&host.fingerprint).run().silent(0);
    }

    pub fn sync(&self, args: &[&str]) -> Ran {
        self.control(["remote", "sync"].iter().chain(args)).run()
    }

    /// Returns the UPIDs of all ended tasks of remotes, as in the list, without the names of their remotes.
    pub fn listed(&self) -> Vec<String> {
        let mut upids = vec![];
        let mut after: Option<String> = None;
        loop {
            let mut args = vec!["history", "--all-remotes", "--limit", "700"];
            if let Some(after) = &after {
                args.extend(["--after", after]);
            }
            let page = self.json(&args);
            let rows = page["rows"].as_array().unwrap().iter().filter(|row| !row["remote"].is_null());
            upids.extend(rows.map(|row| row["upid"].as_str().unwrap().split_once('!').unwrap().1.to_owned()));
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return upids,
            }
        }
    }

    pub fn running(&self) -> Vec<Value> {
        self.json(&["list", "--all-remotes"]).as_array().unwrap().clone()
    }

    #[track_caller]
    pub fn same_as_on(&self, hosts: &[&Proxmox]) {
        let listed = self.listed();
        let there: BTreeSet<String> = hosts.iter().flat_map(|host| host.ended()).collect();
        let here: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(there.difference(&here).collect::<Vec<_>>(), Vec::<&String>::new(), "no gap");
        assert_eq!(here.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "nothing invented");
        assert_eq!(listed.len(), here.len(), "no double");
        self.is_sound();
    }

    pub fn remote(&self, name: &str) -> Value {
        let list = self.json(&["remote", "list"]);
        list.as_array().unwrap().iter().find(|remote| remote["name"] == name).unwrap().clone()
    }
}

/// Fails unless the program exits with this code and prints all these texts.
#[track_caller]
pub fn tells(ran: Ran, code: i32, words: &[&str]) -> Ran {
    let all = format!("{}{}", String::from_utf8_lossy(&ran.out), ran.err);
    assert_eq!(ran.code, code, "{all}");
    words.iter().for_each(|word| assert!(all.contains(word), "{word:?} is missing in {all:?}"));
    ran
}

/// Returns ended tasks of a node, one per second.
pub fn many(node: &str, count: u32) -> Vec<Job> {
    let job = |n: u32| {
        let start = START + i64::from(n);
        let status = if n.is_multiple_of(25) { "job errors" } else { "OK" };
        done(upid(node, n, start, "vzdump", &format!("{}", 100 + n % 7)), start + 5, status)
    };
    (0..count).map(job).collect()
}
