//! The pages for browsers, programs and attackers: HTTP on the socket and the port of the real daemon, and `supervise
//! web`. The content of pages is tested in `model::web`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use crate::support::daemon::Daemon;
use crate::support::{PATIENCE, Started, World, eventually, timed, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A connection for arbitrary bytes.
trait Wire: Read + Write + Send {
    fn limit(&self, limit: Duration);
}

impl Wire for UnixStream {
    fn limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).unwrap();
    }
}

impl Wire for TcpStream {
    fn limit(&self, limit: Duration) {
        self.set_read_timeout(Some(limit)).unwrap();
    }
}

/// The address of a server.
enum Place {
    Socket(std::path::PathBuf),
    Port(u16),
}

/// A response.
#[derive(Debug)]
struct Page {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Page {
    fn parse(bytes: &[u8]) -> Page {
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let at = at.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut page = Page { status, head, body: bytes[at + 4..].to_vec() };
        if page.header("transfer-encoding") == Some("chunked") {
            page.body = unchunked(&page.body);
        }
        page
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Returns the token in the forms of a page.
#[track_caller]
fn token_in(page: &str) -> String {
    let plain = page.replace('"', "");
    let (_, rest) = plain.split_once("name=token value=").unwrap_or_else(|| panic!("no token in {page}"));
    rest.chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = vec![];
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let Some(piece) = bytes.get(end + 2..end + 2 + len) else { break };
        whole.extend_from_slice(piece);
        bytes = &bytes[(end + 4 + len).min(bytes.len())..];
    }
    whole
}

impl Place {
    fn connect(&self) -> Box<dyn Wire> {
        let wire: Box<dyn Wire> = match self {
            Place::Socket(path) => Box::new(UnixStream::connect(path).unwrap()),
            Place::Port(port) => Box::new(TcpStream::connect(("127.0.0.1", *port)).unwrap()),
        };
        wire.limit(PATIENCE);
        wire
    }

    /// Sends these bytes and reads the whole response.
    #[track_caller]
    fn say(&self, bytes: impl AsRef<[u8]>) -> Page {
        let mut wire = self.connect();
        // The server may refuse the request before reading all of it.
        let _ = wire.write_all(bytes.as_ref());
        let mut all = vec![];
        let _ = wire.read_to_end(&mut all);
        Page::parse(&all)
    }

    #[track_caller]
    fn request(&self, line: &str, headers: &str, body: &str) -> Page {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.say(format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}"))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Page {
        self.request(&format!("GET {path}"), "", "")
    }

    #[track_caller]
    fn form(&self, headers: &str, body: &str) -> Page {
        self.request("POST /action", &format!("Content-Type: application/x-www-form-urlencoded\r\n{headers}"), body)
    }

    #[track_caller]
    fn api(&self, request: &Value) -> Page {
        self.request("POST /api", "Content-Type: application/json\r\n", &request.to_string())
    }

    /// Returns the token that a form must contain.
    #[track_caller]
    fn token(&self) -> String {
        token_in(&self.get("/").text())
    }

    /// Opens a page that does not end.
    fn open(&self, path: &str) -> Stream {
        let mut wire = self.connect();
        wire.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        Stream { wire, all: vec![] }
    }
}

/// The stream of a page that does not end.
struct Stream {
    wire: Box<dyn Wire>,
    all: Vec<u8>,
}

impl Stream {
    /// Reads until this text arrives. Returns everything so far.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        let (mut buffer, begun) = ([0; 4096], taskwatcher::io::sys::now().mono);
        loop {
            let text = String::from_utf8_lossy(&self.all).into_owned();
            if text.contains(words) {
                return text;
            }
            // A stream without news contains keep-alive messages.
            assert!(taskwatcher::io::sys::now().mono - begun < PATIENCE, "{words:?} did not come after {text}");
            match self.wire.read(&mut buffer) {
                Ok(len @ 1..) => self.all.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => panic!("{words:?} did not come: {other:?} after {text}"),
            }
        }
    }

    /// Reads the stream to its end.
    #[track_caller]
    fn end(mut self) -> Page {
        // A chunked response ends with an empty chunk.
        self.until("\r\n0\r\n\r\n");
        Page::parse(&self.all)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn socket(world: &World) -> Place {
    Place::Socket(world.path("s.sock"))
}

/// Starts a daemon with one running program, on the socket and on a port.
fn with_port<'w>(world: &'w World, more: &str) -> (Daemon<'w>, Place) {
    let port = free_port();
    world.configure(&format!(
        "[programs.web]\ncommand = \"sh\"\nargs = [\"-c\", \"echo hello '<b>'; exec sleep 300\"]\nstartsecs = 0\n\
         [inet_http_server]\nport = \"127.0.0.1:{port}\"\n{more}"
    ));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    until("its log", || fs::read(world.path("web.stdout")).is_ok_and(|text| text.ends_with(b"\n")));
    (daemon, Place::Port(port))
}

/// Starts `supervise web` with these arguments, on a port.
fn web<'w>(world: &'w World, args: &[&str]) -> (Started<'w>, Place) {
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("web").arg("--listen").arg("127.0.0.1:0");
    program.command.args(args);
    let started = program.spawn();
    let port = eventually("its address", || {
        let said = started.stderr();
        let (_, rest) = said.split_once("http://127.0.0.1:")?;
        rest.split('/').next()?.parse().ok()
    });
    (started, Place::Port(port))
}

fn ended(world: &World, name: &str, script: &str) {
    world.launch(["--name", name, "--", "sh", "-c", script]).run();
}

#[test]
fn the_first_byte_determines_the_protocol() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    for place in [socket(&world), port] {
        let mut lines = place.connect();
        lines.write_all(b"\r\n \n{\"command\":\"version\"}\nnonsense\n").unwrap();
        let mut text = String::new();
        while text.lines().count() < 2 {
            let mut buffer = [0; 1024];
            let len = lines.read(&mut buffer).unwrap();
            text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
        let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!(200), &json!(400)));
        let page = place.say("\r\n\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.text().contains("RUNNING") && page.text().starts_with("<!"), "{page:?}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-cache"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value), "{page:?}");
        }
        let policy = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
        }
        // Byte by byte, with HTTP/1.0, and with a client that has closed its side.
        let mut wire = place.connect();
        for byte in b"GET /tasks HTTP/1.0\r\n\r\n" {
            wire.write_all(&[*byte]).unwrap();
        }
        let mut all = vec![];
        wire.read_to_end(&mut all).unwrap();
        assert_eq!(Page::parse(&all).status, 200);
        let page = place.get("/name/web").text();
        let task = format!("href=/task/{}>", world.states()["web"]["task_id"]);
        assert!(page.contains("No run has ended yet") && page.contains(&task) && page.contains("RUNNING"), "{page}");
        // Two requests on one connection.
        let mut wire = place.connect();
        wire.write_all(b"GET /style.css HTTP/1.1\r\nHost: [::1]:9\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut twice = Stream { wire, all: vec![] };
        twice.until("text/css");
        twice.until("\r\n\r\nHTTP/1.1 ".split_at(4).1);
    }
    let mut half = UnixStream::connect(world.path("s.sock")).unwrap();
    half.write_all(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = vec![];
    half.read_to_end(&mut all).unwrap();
    assert_eq!(Page::parse(&all).json()["content"]["processes"][0]["name"], "web");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn only_forms_of_this_supervisor_change_anything() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    for place in [&socket(&world), &port] {
        let token = place.token();
        let stop = format!("token={token}&action=stop&name=web");
        let task = world.states()["web"]["task_id"].clone();
        for path in ["/action", "/api", &format!("/action?{stop}"), &format!("/?{stop}")] {
            for method in ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"] {
                let page = place.request(&format!("{method} {path}"), "", "");
                assert!(
                    page.status == 405 || (path.starts_with("/?") && page.status == 200),
                    "{method} {path}: {page:?}"
                );
            }
        }
        assert_eq!(place.get("/action").header("allow"), Some("POST"));
        assert_eq!(place.request("POST /tasks", "", "").header("allow"), Some("GET, HEAD"));
        let wrong = "0".repeat(token.len());
        for body in ["action=stop&name=web", "token=&action=stop&name=web", &stop.replace(&token, &wrong)] {
            assert_eq!(place.form("", body).status, 403, "{body}");
        }
        for header in [
            "Origin: http://evil.example\r\n",
            "Origin: null\r\n",
            "Origin: http://localhost:1\r\n",
            "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
        ] {
            assert_eq!(place.form(header, &stop).status, 403, "{header}");
            let api = json!({ "command": "stop", "target": "process", "name": "web" }).to_string();
            let header = format!("Content-Type: application/json\r\nX-Token: {token}\r\n{header}");
            assert_eq!(place.request("POST /api", &header, &api).status, 403, "{header}");
        }
        // Requests that a page of another site can make a browser send without a preflight.
        let api = json!({ "command": "stop", "target": "all" }).to_string();
        for header in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
            assert_eq!(place.request("POST /api", header, &api).status, 415, "{header}");
        }
        let header = "Content-Type: application/json\r\nOrigin: http://localhost\r\n";
        assert_eq!(place.request("POST /api", header, &api).status, 403, "a page shows its token");
        for (body, status) in [
            (format!("token={token}"), 400),
            (format!("token={token}&action=stop"), 400),
            (format!("token={token}&action=explode&name=web"), 400),
            (format!("token={token}&action=kill&name=web"), 400),
        ] {
            assert_eq!(place.form("", &body).status, status, "{body}");
        }
        assert_eq!(world.states()["web"]["task_id"], task, "nothing has happened");
        assert_eq!(world.state("web"), "RUNNING");

        let done = place.form("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", &stop);
        assert_eq!(done.status, 303, "{done:?}");
        let back = done.header("location").unwrap().to_owned();
        assert!(back.starts_with("/?m=") && !back.contains("stopped"), "{back}");
        let page = place.get(&back).text();
        assert!(page.contains("web: stopped") && page.contains("STOPPED"), "{page}");
        assert!(
            !place.get("/?m=web:%20stopped").text().contains("web: stopped"),
            "no other site can put text on the page"
        );
        for (back, to) in
            [("//evil.example", "/?m="), ("http://evil.example/", "/?m="), ("/tasks", "/tasks?m="), ("/action", "/?m=")]
        {
            let done = place.form("", &format!("token={token}&action=start&name=web&back={back}"));
            assert!(done.header("location").unwrap().starts_with(to), "{back}: {done:?}");
        }
        world.comes_to("web", "RUNNING");
        let page = place.form("", &format!("token={token}&action=start&name=none"));
        assert!(place.get(page.header("location").unwrap()).text().contains("no such process"));
        let page = place.form("", &format!("token={token}&action=restart&name=all"));
        assert!(place.get(page.header("location").unwrap()).text().contains("web: restarted"));
    }
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn failures_are_reported_before_successes() {
    let world = World::new();
    let mut config: String =
        (0..9).map(|n| format!("[programs.a{n}]\ncommand = \"sleep\"\nargs = [\"300\"]\n")).collect();
    config.push_str("[programs.z]\ncommand = \"/no/such\"\nstartretries = 0\n");
    world.configure(&config.replace("\"]\n", "\"]\nstartsecs = 0\n"));
    let daemon = world.daemon();
    world.comes_to("z", "FATAL");
    let place = socket(&world);
    let page_after = |form: &str| {
        let done = place.form("", &format!("token={}&{form}", place.token()));
        place.get(done.header("location").unwrap()).text()
    };
    let page = page_after("action=restart&name=all");
    let (_, note) = page.split_once("<p class=\"note bad\" role=alert>").unwrap_or_else(|| panic!("{page}"));
    assert!(note.starts_with("z: ERROR ("), "{note}");
    assert!(page_after("action=stop&name=a0").contains("<p class=note role=status>a0: stopped</p>"));
    daemon.end();
}

#[test]
fn requests_with_a_foreign_host_name_are_refused() {
    let world = World::new();
    let (_daemon, port) = with_port(&world, "");
    let as_host = |place: &Place, host: &str| {
        place.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).status
    };
    for host in ["localhost", "localhost:9001", "127.0.0.1", "[::1]:80", "10.1.2.3:1"] {
        assert_eq!((as_host(&port, host), as_host(&socket(&world), host)), (200, 200), "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example"] {
        assert_eq!((as_host(&port, host), as_host(&socket(&world), host)), (403, 403), "{host}");
    }
    for host in ["a/b", "user@localhost", "[::1", "localhost:x"] {
        assert_eq!(as_host(&port, host), 400, "{host}");
    }
    assert_eq!(as_host(&port, "short"), 403);
    let both = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(port.say(both).status, 400);
    assert_eq!(port.say("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").status, 400);
    let absolute = "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(port.say(absolute).status, 403);
}

#[test]
fn a_password_is_required_on_every_path() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "username = \"me\"\npassword = \"a:b\"\n");
    let with = |auth: &str, path: &str| port.request(&format!("GET {path}"), &format!("Authorization: {auth}\r\n"), "");
    let paths = [
        "/",
        "/tasks",
        "/history",
        "/task/1",
        "/name/x",
        "/timeline",
        "/tail?process=web",
        "/logtail/web/stdout",
        "/style.css",
        "/mainlogtail",
        "/tasklog/1",
        "/events",
        "/live.js",
        "/metrics",
        "/api/status",
        "/api/tasks",
        "/nothing",
        "/action",
    ];
    for path in paths {
        let page = port.get(path);
        assert_eq!(page.status, 401, "{path}");
        assert!(page.header("www-authenticate").unwrap().starts_with("Basic realm="), "{page:?}");
    }
    assert_eq!(port.api(&json!({ "command": "version" })).json()["error"]["code"], "UNAUTHORIZED");
    // me:a:c, me:, you:a:b, and invalid credentials.
    for auth in ["Basic bWU6YTpj", "Basic bWU6", "Basic eW91OmE6Yg==", "Basic ???", "Bearer bWU6YTpi", "Basic"] {
        assert_eq!(with(auth, "/").status, 401, "{auth}");
    }
    let denied = port.api(&json!({ "command": "version" })).json()["error"]["message"].clone();
    assert_eq!(denied, "a user name and a password are required", "which is no page");
    assert_eq!(with("Basic bWU6YTpi", "/").status, 200);
    assert_eq!(with("basic  bWU6YTpi", "/tasks").status, 200);
    // The socket has its own credentials, here none.
    assert_eq!(socket(&world).get("/").status, 200);
    let Place::Port(number) = port else { panic!("a port") };
    let config =
        format!("[taskmasterctl]\nserverurl = \"http://127.0.0.1:{number}\"\nusername = \"me\"\npassword = \"a:b\"\n");
    fs::write(world.path("ctl.toml"), config).unwrap();
    let ctl = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("ctl.toml")).arg("status").run();
    assert!(ctl.code == 0 && ctl.text().contains("RUNNING"), "{ctl:?}");
    assert!(!world.log().contains("a:b") && !world.log().contains("bWU6YTpi"), "secrets are in no log");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_reload_applies_to_open_connections() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    let get = |wire: &mut Stream| wire.wire.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut open = port.open("/");
    open.until("</html>");
    let config = world.read("t.toml");
    let named = config.replace("minprocs = 16", "minprocs = 16\nidentifier = \"the night shift\"");
    fs::write(world.path("t.toml"), &named).unwrap();
    assert_eq!(port.api(&json!({ "command": "reload" })).status, 200);
    get(&mut open);
    open.until("the night shift");
    fs::write(world.path("t.toml"), format!("{named}username = \"me\"\npassword = \"x\"\n")).unwrap();
    assert_eq!(port.api(&json!({ "command": "reload" })).status, 200);
    get(&mut open);
    open.until("HTTP/1.1 401");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn the_api_takes_requests_as_on_the_socket() {
    let world = World::new();
    let (_daemon, port) = with_port(&world, "");
    let done = port.api(&json!({ "command": "version", "id": 7 }));
    assert_eq!((done.status, &done.json()["id"]), (200, &json!(7)));
    assert_eq!(done.header("content-type"), Some("application/json"));
    let ask = |request: Value, status: u16| {
        let page = port.api(&request);
        assert_eq!(
            (page.status, page.json()["status"].as_u64()),
            (status, Some(u64::from(status))),
            "{request}: {page:?}"
        );
        page.json()
    };
    ask(json!({ "command": "nonsense" }), 400);
    ask(json!([1]), 400);
    ask(json!({ "command": "stop", "target": "process", "name": "none" }), 404);
    ask(json!({ "command": "start", "target": "process", "name": "web" }), 409);
    ask(json!({ "command": "subscribe" }), 501);
    ask(json!({ "command": "tail", "target": "process", "name": "web", "args": { "follow": true } }), 501);
    let tail = ask(json!({ "command": "tail", "target": "process", "name": "web" }), 200);
    assert_eq!(tail["content"]["data"], "hello <b>\n");
    assert_eq!(port.get("/api/status").json()["content"]["processes"][0]["state"], "RUNNING");
    assert_eq!(port.get("/api/status?name=none").status, 404);
    ask(json!({ "command": "stop", "target": "process", "name": "web" }), 200);
    assert_eq!(world.state("web"), "STOPPED");

    // Requests that are too large, malformed, or for unknown paths.
    let over = "x".repeat((1 << 20) + 1);
    let json_kind = "Content-Type: application/json\r\n";
    assert_eq!(port.request("POST /api", json_kind, &over).status, 413);
    let chunked = format!(
        "POST /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{json_kind}Transfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{over}\r\n0\r\n\r\n",
        over.len()
    );
    assert_eq!(port.say(chunked).status, 413);
    assert_eq!(port.request("GET /", &format!("X: {}\r\n", "y".repeat(15 << 10)), "").status, 200);
    assert_eq!(port.request("GET /", &format!("X: {}\r\n", "y".repeat(16 << 10)), "").status, 431);
    assert_eq!(port.say(format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(64 << 10))).status, 431, "one that has no end");
    assert_eq!(port.request("GET /", &"A: b\r\n".repeat(200), "").status, 431);
    for bytes in [
        &b"GET\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nx",
    ] {
        assert_eq!(port.say(bytes).status, 400, "{:?}", String::from_utf8_lossy(bytes));
    }
    for path in [
        "/nothing",
        "/tasks/",
        "//",
        "/task/",
        "/task/0",
        "/task/x",
        "/api/nothing",
        "/task/1!2",
        "/name/none",
        "/favicon.ico",
    ] {
        assert_eq!(port.get(path).status, 404, "{path}");
    }
    assert_eq!(port.get("/api/task/99").json()["error"]["code"], "BAD_NAME");
}

#[test]
fn logs_of_programs_are_shown_and_followed() {
    let world = World::new();
    world.configure(
        "[programs.talker]\ncommand = \"sh\"\nargs = [\"-c\", \"echo one; printf '\\\\377<i>\\\\n'; while read x; do echo got $x; done\"]\n\
         stdin = \"pipe\"\nstartsecs = 0\n[programs.mute]\ncommand = \"sleep\"\nargs = [\"300\"]\nstdout = \"none\"\nstderr = \"none\"\n\
         [programs.half]\ncommand = \"sleep\"\nargs = [\"300\"]\nstdout = \"none\"\n\
         [programs.later]\ncommand = \"sleep\"\nautostart = false\n",
    );
    let _daemon = world.daemon();
    let place = socket(&world);
    world.comes_to("talker", "RUNNING");
    until("its log", || world.path("talker.stdout").metadata().is_ok_and(|meta| meta.len() > 8));
    let page = place.get("/tail?process=talker");
    assert!(page.text().contains("one\n\u{fffd}&lt;i&gt;"), "{page:?}");
    assert_eq!(place.get("/tail?process=talker&channel=stderr&limit=99999999999").status, 200);
    let mut follow = place.open("/logtail/talker/stdout");
    let text = follow.until("\u{fffd}<i>");
    assert!(text.contains("x-accel-buffering: no") && text.contains("text/plain; charset=utf-8"), "{text}");
    world.ask(json!({ "command": "send", "target": "process", "name": "talker", "args": { "data": "more\n" } }));
    follow.until("got more");
    // The stream of a cleared log continues.
    assert_eq!(place.form("", &format!("token={}&action=clear&name=talker", place.token())).status, 303);
    world.ask(json!({ "command": "send", "target": "process", "name": "talker", "args": { "data": "after\n" } }));
    follow.until("got after");
    place.open("/mainlogtail").until("INFO ready");
    for path in [
        "/logtail/mute/stdout",
        "/tail?process=none",
        "/tail",
        "/logtail/none/stdout",
        "/logtail/talker/stdin",
        "/logtail/..%2f..%2f..%2fetc%2fpasswd/stdout",
        "/logtail/%2fetc%2fpasswd/stdout",
        "/tail?process=../../etc/passwd",
        "/logtail/../act.log/stdout",
        "/tasklog/..%2f1",
        "/tail?process=talker&channel=../stdout",
    ] {
        let page = place.get(path);
        assert_eq!(page.status, 404, "{path}");
        assert!(!page.text().contains("root:"), "{page:?}");
    }
    assert!([400, 404].contains(&place.get("/tail?process=talker:*").status));
    assert!(place.get("/tail").text().contains("no process given"));
    // There are no links to an output without a log, and its page says why there is none.
    let page = place.get("/").text();
    assert!(!page.contains("/tail?process=mute") && !page.contains("\"/tail?process=half\""), "{page}");
    assert!(page.contains("\"/tail?process=half&amp;channel=stderr\"") && page.contains("/name/mute"), "{page}");
    let mute = place.get("/tail?process=half");
    assert_eq!(mute.status, 404, "{mute:?}");
    for words in ["stdout is not written to a file", "channel=stderr", "/name/half", "</b></h1>"] {
        assert!(mute.text().contains(words) && !mute.text().contains("/logtail/"), "{words}: {mute:?}");
    }
    let later = place.get("/tail?process=later");
    assert_eq!(later.status, 200, "{later:?}");
    assert!(later.text().contains("No output yet") && later.text().contains("STOPPED"), "{later:?}");
    assert_eq!(place.get("/logtail/later/stdout").status, 404);
}

#[test]
fn live_and_ended_tasks_are_shown() {
    let world = World::new();
    world.configure("");
    let _daemon = world.daemon();
    let place = socket(&world);
    let hostile = "<script>alert(1)</script>'\"&/..";
    world.program("job", "#!/bin/sh\necho '[progress]40' > \"$TASKWATCHER_FEEDBACK\"\necho '[note]<i>x</i>' >> \"$TASKWATCHER_FEEDBACK\"\n\
        echo first '<script>'\nwhile [ ! -e \"$W/go\" ]; do sleep 0.05; done\necho last; exit 3\n");
    let job = world.path("job");
    let started = world
        .launch(["--name", hostile, "--feedpath", world.path("").to_str().unwrap(), "--timeout", "1h", "--"])
        .arg(job)
        .spawn();
    let id = eventually("the task", || world.tasks().first().map(|row| row.int("id")));
    until("its progress", || place.get("/api/tasks").json()["tasks"][0]["progress"] == 40.0);
    let page = eventually("the running task", || {
        let page = place.get("/tasks").text();
        page.contains("&lt;script&gt;").then_some(page)
    });
    assert!(!page.contains("<script>alert") && page.contains("RUNNING"), "{page}");
    let page = place.get(&format!("/task/{id}")).text();
    assert!(page.contains("&lt;i&gt;x") && page.contains("first &lt;script&gt;") && !page.contains("<i>x"), "{page}");
    assert_eq!(place.get(&format!("/api/task/{id}")).json()["feedback"]["note"], "<i>x</i>");
    let mut log = place.open(&format!("/tasklog/{id}"));
    log.until("first <script>");
    fs::write(world.path("go"), "").unwrap();
    let log = log.end();
    assert!(log.text().contains("last") && log.header("x-accel-buffering") == Some("no"), "{log:?}");
    assert_eq!(started.wait().code, 3);
    until("its end", || place.get(&format!("/task/{id}")).text().contains("ERROR"));
    assert_eq!(place.get("/api/tasks").json()["tasks"], json!([]));
    let value = place.get(&format!("/api/task/{id}")).json();
    assert_eq!((&value["exitcode"], &value["status"]), (&json!(3), &json!("stopped")));
    let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let page = place.get(&format!("/name/{encoded}"));
    assert!(
        page.status == 200 && page.text().contains("&lt;script&gt;") && !page.text().contains("<script>alert"),
        "{page:?}"
    );
    assert_eq!(place.get("/name/nobody").status, 404);
    for path in ["/history", "/timeline", "/timeline?hours=0", "/timeline?hours=x"] {
        let page = place.get(path);
        assert!(page.status == 200 && page.text().contains("&lt;script&gt;"), "{path}: {page:?}");
    }
    let metrics = place.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(metrics.text().contains("outcome=\"error\"") && metrics.text().ends_with("# EOF\n"), "{metrics:?}");
    // The stream of the whole log of an ended task ends.
    assert!(place.open(&format!("/tasklog/{id}")).end().text().starts_with("first <script>\nlast\n"));
}

#[test]
fn a_timeline_shows_all_runs_in_its_span() {
    let world = World::new();
    ended(&world, "tick", "true");
    ended(&world, "nightly", "true");
    // Many more, as copies: the older one is more than one page back.
    let columns: Vec<String> = world
        .query("SELECT name FROM pragma_table_info('history')")
        .iter()
        .map(|row| row.text("name").into())
        .collect();
    let copied: Vec<&str> = columns.iter().map(String::as_str).filter(|name| *name != "id").collect();
    let copies = |number: u32, seconds: u32| {
        let value = |name: &&str| match *name {
            "taskid" => "100000 + n".to_owned(),
            "starttime" | "endtime" => format!("{name} - n * {seconds}"),
            name => name.to_owned(),
        };
        let values: Vec<String> = copied.iter().map(value).collect();
        world.edit(&format!(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {number})
             INSERT INTO history ({}) SELECT {} FROM history, number WHERE history.taskid = 1",
            copied.join(", "),
            values.join(", ")
        ));
    };
    world
        .edit("UPDATE history SET starttime = starttime - 70000, endtime = endtime - 69000 WHERE taskname = 'nightly'");
    copies(1520, 40);
    let (_server, place) = web(&world, &[]);
    let page = place.get("/timeline").text();
    assert!(page.contains(">nightly</a>") && page.contains("1521 runs") && !page.contains("Only the last"), "{page}");
    assert!(page.len() < 35_000, "{} bytes", page.len());
    // Too many for the timeline: the page states where it begins.
    world.edit("DELETE FROM history WHERE taskid > 100000");
    copies(21_000, 3);
    let (page, took) = timed(|| place.get("/timeline").text());
    assert!(page.contains("Only the last 20000 runs are shown") && !page.contains("nightly"), "{page}");
    assert!(page.len() < 35_000 && took < Duration::from_secs(10), "{} bytes in {took:?}", page.len());
}

#[test]
fn a_task_without_a_log_shows_the_reason_and_no_link() {
    let world = World::new();
    world.launch(["--no-log", "--name", "mute", "true"]).run().ok();
    world.launch(["--name", "loud", "echo", "words"]).run().ok();
    world.reserve("waits", 600);
    let (_server, place) = web(&world, &[]);
    let page = |task: u32| place.get(&format!("/task/{task}")).text();
    let says = |task: u32, words: &str| {
        let page = page(task);
        assert!(page.contains(words) && !page.contains("/tasklog/") && !page.contains("output"), "{task}: {page}");
        assert_eq!(place.get(&format!("/tasklog/{task}")).status, 404);
        assert_eq!(place.get(&format!("/api/task/{task}")).json()["lastlines"], json!([]));
    };
    says(1, "No log: launched with --no-log, never started");
    says(3, "No log: not started yet.");
    assert!(page(2).contains("words") && page(2).contains("/tasklog/2"));
    fs::remove_file(world.history()[1].text("log")).unwrap();
    says(2, "No log: its file is missing.");
}

#[test]
fn history_is_filtered_and_read_page_by_page() {
    let world = World::new();
    world.configure("");
    let _daemon = world.daemon();
    let place = socket(&world);
    for number in 0..5 {
        ended(&world, "good", &format!("exit {}", u8::from(number == 3)));
    }
    ended(&world, "other name", "true");
    let read = |path: &str| place.get(path).json();
    let (mut after, mut ids) = (String::new(), vec![]);
    loop {
        let page = read(&format!("/api/history?limit=2&name=good&after={after}"));
        ids.extend(page["rows"].as_array().unwrap().iter().map(|row| row["taskid"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(ids, [5, 4, 3, 2, 1]);
    let count = |path: &str| read(path)["rows"].as_array().unwrap().len();
    assert_eq!(count("/api/history?outcome=error"), 1);
    assert_eq!(count("/api/history?outcome=ok,warnings"), 5);
    assert_eq!(count("/api/history?name=other+name"), 1);
    assert_eq!(count("/api/history?since=1h&until=now&user="), 6);
    assert_eq!(count("/api/history?until=yesterday"), 0);
    assert_eq!(count("/api/history?limit=0"), 1);
    let page = place.get("/history?name=good&limit=2").text();
    assert!(page.contains("after=") && !page.contains("other name"), "{page}");
    for path in ["outcome=bad", "since=soon", "until=%3Cb%3E", "after=x"] {
        let page = place.get(&format!("/history?{path}"));
        assert!(page.status == 200 && page.text().contains("invalid ") && !page.text().contains("<b>"), "{page:?}");
        assert_eq!(place.get(&format!("/api/history?{path}")).status, 400);
    }
}

#[test]
fn open_pages_receive_changes() {
    let world = World::new();
    let (_daemon, port) = with_port(&world, "");
    let mut programs = port.open("/events?only=programs");
    let text = programs.until("RUNNING");
    assert!(text.contains("text/event-stream") && text.contains("x-accel-buffering: no"), "{text}");
    let mut both = port.open("/events");
    both.until("event: programs\ndata: ");
    both.until("event: tasks\ndata: ");
    world.ask(crate::support::daemon::named("stop", "web"));
    programs.until("STOPPED");
    both.until("STOPPED");
    let job = world.launch(["--name", "job", "--", "sleep", "300"]).spawn();
    both.until(">job<");
    job.signal(Signal::SIGTERM);
    job.wait();
    assert!(!programs.until("STOPPED").contains("event: tasks"));
    let head = port.request("HEAD /events", "", "");
    assert!(head.status == 200 && head.body.is_empty(), "{head:?}");
}

#[test]
fn metrics_of_programs_work_without_a_database_and_errors_have_the_right_format() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    assert!(port.get("/metrics").text().contains("taskwatcher_database_up 1\n"));
    let (db, aside) = (world.db(), world.path("aside"));
    fs::rename(&db, &aside).unwrap();
    for what in ["", "no database "] {
        if !what.is_empty() {
            fs::write(&db, what.repeat(100)).unwrap();
        }
        let metrics = eventually("the database to be missed", || {
            let page = port.get("/metrics");
            page.text().contains("taskwatcher_database_up 0\n").then_some(page)
        });
        assert_eq!(metrics.status, 200);
        assert!(!metrics.text().contains("taskwatcher_tasks"), "{metrics:?}");
        let running = "program=\"web\",taskwatcher_program_state=\"RUNNING\"} 1\n";
        assert!(metrics.text().contains(running) && metrics.text().ends_with("# EOF\n"), "{metrics:?}");
    }
    for (path, status) in [("/tasklog/1", 503), ("/logtail/none/stdout", 404)] {
        let page = port.get(path);
        assert_eq!((page.status, page.header("content-type")), (status, Some("text/plain; charset=utf-8")), "{page:?}");
        assert!(!page.text().contains('<') && page.text().lines().count() == 1, "{page:?}");
    }
    fs::rename(&aside, &db).unwrap();
    until("it to be found", || port.get("/metrics").text().contains("taskwatcher_database_up 1\n"));
    daemon.end();
}

#[test]
fn open_pages_are_notified_when_they_are_outdated() {
    let world = World::new();
    ended(&world, "job", "true");
    let (_server, place) = web(&world, &[]);
    let mut events = place.open("/events?only=tasks");
    events.until("event: tasks\ndata: ");
    let (db, aside) = (world.db(), world.path("aside"));
    fs::rename(&db, &aside).unwrap();
    events.until("event: stale\ndata: the database is gone");
    // The database is replaced by another file.
    fs::write(&db, "no database ".repeat(100)).unwrap();
    events.until("event: stale\ndata: cannot use ");
    let mut late = place.open("/events?only=tasks");
    late.until("event: stale\ndata: cannot use ");
    fs::rename(&aside, &db).unwrap();
    late.until("event: tasks\ndata: ");
}

#[test]
fn a_shutdown_request_gets_a_response() {
    let world = World::new();
    let (mut daemon, port) = with_port(&world, "");
    let mut page = port.open("/events");
    page.until("RUNNING");
    assert_eq!(port.api(&json!({ "command": "shutdown" })).status, 200);
    let ran = daemon.started.take().unwrap().wait();
    assert_eq!(ran.code, 0);
}

#[test]
fn slow_and_silent_clients_delay_no_other() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    let socket = socket(&world);
    let (mut slow, begun) = (port.connect(), taskwatcher::io::sys::now().mono);
    slow.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
    // More clients than accepted, silent ones and ones that send half a request.
    let silent: Vec<_> = (0..300).map(|_| TcpStream::connect(("127.0.0.1", number(&port)))).collect();
    let half: Vec<_> = (0..300)
        .map(|_| {
            let mut wire = port.connect();
            let _ = wire.write_all(b"GET / HTTP/1.1\r\nX:");
            wire
        })
        .collect();
    // And clients that request large pages and do not read them.
    fs::write(world.path("web.stdout"), "<".repeat(1 << 20)).unwrap();
    let deaf: Vec<_> = (0..200)
        .map(|number| {
            let mut wire = socket.connect();
            let path = if number % 2 == 0 { "/tail?process=web&" } else { "/logtail/web/stdout?" };
            let request = format!("GET {path}limit=1048576 HTTP/1.1\r\nHost: localhost\r\n\r\n");
            // Clients over the limit get 503.
            let _ = wire.write_all(request.as_bytes());
            wire
        })
        .collect();
    let (answer, took) = timed(|| world.ask(json!({ "command": "status" })));
    assert!(answer["status"] == 200 && took < Duration::from_secs(5), "{took:?}: {answer}");
    let (page, took) = timed(|| socket.get("/"));
    assert!(page.status == 200 || page.status == 503, "{page:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.started.as_ref().unwrap().pid())).unwrap();
    let peak: u64 = crate::support::field(&status, "VmHWM").split(' ').next().unwrap().parse().unwrap();
    assert!(peak < 150_000, "it needed {peak} kB");
    slow.write_all(b"host").unwrap();
    let mut all = vec![];
    let _ = slow.read_to_end(&mut all);
    let took = taskwatcher::io::sys::now().mono - begun;
    assert!(all.is_empty() && took > Duration::from_secs(8) && took < Duration::from_secs(15), "{took:?}: {all:?}");
    // A silent client on the port does not delay others either.
    let mut quiet = silent.into_iter().next().unwrap().unwrap();
    quiet.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(quiet.read_to_end(&mut all).unwrap(), 0);
    drop((half, deaf));
    until("it to serve again", || port.get("/").status == 200);
}

fn number(place: &Place) -> u16 {
    match place {
        Place::Port(port) => *port,
        Place::Socket(path) => panic!("{path:?} is no port"),
    }
}

#[test]
fn without_a_supervisor_tasks_are_shown_read_only() {
    let world = World::new();
    ended(&world, "done", "echo printed; exit 4");
    let (server, place) = web(&world, &[]);
    // The database may be removed and created again.
    let (db, aside) = (world.db(), world.path("aside"));
    fs::rename(&db, &aside).unwrap();
    until("it to be missed", || place.get("/api/history").json()["rows"] == json!([]));
    assert_eq!((place.get("/").status, place.get("/history").status), (200, 200));
    assert!(!db.exists());
    fs::rename(&aside, &db).unwrap();
    until("it to be found", || place.get("/name/done").status == 200);
    // A task whose death was not observed.
    let lost = world.launch(["--name", "lost", "--", "sleep", "300"]).spawn();
    until("it to run", || world.tasks().first().is_some_and(|row| !row.is_null("pid")));
    until("it to be shown", || place.get("/").text().contains("lost"));
    for pid in world.processes() {
        if pid != server.pid() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    drop(lost);
    until("it to be dead", || place.get("/api/tasks").json()["tasks"] == json!([]));
    let rows = place.get("/api/history").json()["rows"].clone();
    assert_eq!((&rows[0]["taskname"], &rows[0]["outcome"]), (&json!("lost"), &json!("unknown")), "{rows}");
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(place.get("/api/history?outcome=unknown&name=lost").json()["rows"].as_array().unwrap().len(), 1);
    assert_eq!(place.get("/api/history?name=done").json()["rows"].as_array().unwrap().len(), 1);
    assert!(place.get("/task/2").text().contains("unknown"));
    assert_eq!((world.tasks().len(), world.history().len()), (1, 1), "nothing was moved");
    assert_eq!(place.get("/name/done").status, 200);
    // A database of an older version is not upgraded.
    let (old, new) = (std::path::Path::new("tests/data/v1.db"), world.path("old.db"));
    fs::copy(old, &new).unwrap();
    let (_other, other) = web(&world, &["--db", new.to_str().unwrap()]);
    let page = other.get("/tasks");
    assert!(page.status == 503 && page.text().contains("older version"), "{page:?}");
    assert!(fs::read(old).unwrap() == fs::read(new).unwrap());
    // No programs and no actions.
    assert!(!place.get("/tasks").text().contains("token"));
    assert_eq!(place.form("", "token=&action=kill&name=2").status, 403);
    assert_eq!(place.api(&json!({ "command": "status" })).status, 501);
    for path in ["/api/status", "/tail?process=x", "/logtail/x/stdout", "/mainlogtail"] {
        assert_eq!(place.get(path).status, 404, "{path}");
    }
    assert!(place.get("/metrics").text().contains("name=\"done\""));
    place.open("/events").until("event: tasks");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code, 0);
}

#[test]
fn unsettled_ends_are_included_everywhere() {
    let world = World::new();
    ended(&world, "job", "sleep 0.1");
    ended(&world, "job", "exit 3");
    for name in ["job", "gone", "job"] {
        world.lost(&["--name", name]);
    }
    let (_server, place) = web(&world, &[]);
    let page = place.get("/name/gone");
    assert!(page.status == 200 && page.text().contains("<dt>Runs</dt><dd>1</dd>"), "{page:?}");
    assert!(place.get("/name/job").text().contains("<dt>Runs</dt><dd>4</dd>"));
    let metrics = place.get("/metrics").text();
    for line in ["{name=\"gone\",outcome=\"unknown\"} 1\n", "{name=\"job\",outcome=\"unknown\"} 2\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // Pages of the history have the requested number of rows, and all pages together contain each row once.
    for limit in 1..=5 {
        let (mut after, mut ids) = (String::new(), vec![]);
        loop {
            let page = place.get(&format!("/api/history?limit={limit}&after={after}")).json();
            let rows = page["rows"].as_array().unwrap();
            assert!(rows.len() <= limit && (rows.len() == limit || page["next"].is_null()), "{limit}: {page}");
            ids.extend(rows.iter().map(|row| row["taskid"].as_i64().unwrap()));
            match page["next"].as_str() {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        assert_eq!(ids, [5, 4, 3, 2, 1], "{limit}");
    }
    assert_eq!((world.tasks().len(), world.history().len()), (3, 2), "nothing was moved");
}

#[test]
fn without_a_database_nothing_is_served() {
    let world = World::new();
    let begin = |db: &str| {
        let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("web");
        program.command.args(["--listen", "127.0.0.1:0", "--db", db]);
        program.run()
    };
    let (folder, foreign) = (world.path(""), world.path("foreign.db"));
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE addresses (name)").unwrap();
    for (db, why) in [
        (foreign.to_str().unwrap(), "not a taskwatcher database (other tables)"),
        (world.db().to_str().unwrap(), "supervise: error: no database"),
        ("/etc/passwd", "not a taskwatcher database"),
        (folder.to_str().unwrap(), "it is a folder"),
    ] {
        begin(db).says(1, &[why]);
    }
    assert!(!world.db().exists());
}

#[test]
fn without_a_supervisor_pages_are_local_and_read_only() {
    let world = World::new();
    let run = |args: &[&str]| {
        let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("web");
        program.command.args(args);
        program.run()
    };
    let all = "0.0.0.0:0";
    run(&["--listen", all]).says(2, &["cannot listen on 0.0.0.0", "--username"]);
    run(&["--listen", all, "--allow-remote", "--allow-kill"]).says(2, &["other hosts could end tasks"]);
    fs::write(world.path("secret"), "a:b\n").unwrap();
    let secret = world.path("secret");
    let secret = secret.to_str().unwrap();
    run(&["--username", "me", "--password-file", secret]).says(2, &["chmod 600"]);
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o600)).unwrap();
    run(&["--username", "a:b", "--password-file", secret]).says(2, &["--username \"a:b\" contains a colon"]);
    world.store();
    let (_server, place) = web(&world, &["--username", "me", "--password-file", secret, "--allow-kill"]);
    assert_eq!(place.get("/").status, 401);
    let auth = "Authorization: Basic bWU6YTpi\r\n";
    assert_eq!(place.request("GET /", auth, "").status, 200);
    // On a socket, which only its owner can open; with `--allow-kill` tasks can be ended there.
    let path = world.path("w.sock");
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("web").arg("--allow-kill");
    program.command.arg("--socket").arg(&path);
    let server = program.spawn();
    until("its socket", || UnixStream::connect(&path).is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let place = Place::Socket(path.clone());
    let job = world.launch(["--name", "job", "--", "sleep", "300"]).spawn();
    let page = eventually("the task", || {
        let page = place.get("/task/1");
        (page.status == 200 && page.text().contains("RUNNING")).then(|| page.text())
    });
    let token = token_in(&page);
    assert_eq!(place.form("", "token=x&action=kill&name=1").status, 403);
    let done = place.form("", &format!("token={token}&action=kill&name=1"));
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.header("location").unwrap().starts_with("/task/1?m="), "{done:?}");
    assert!(place.get(done.header("location").unwrap()).text().contains("asked to end"));
    job.wait();
    until("its end", || place.get("/task/1").text().contains("killed by"));
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code, 0);
    assert!(!path.exists());
}

#[test]
fn every_face_shows_the_same_history_while_an_end_cannot_be_stored() {
    let world = World::new();
    let (daemon, port) = with_port(&world, "");
    ended(&world, "web", "exit 3");
    let (launcher, id) = world.launched(["--name", "web", "--", "sleep", "300"]);
    let list = world.json(&["list"]);
    let row = list.as_array().unwrap().iter().find(|row| row["taskid"] == id).unwrap();
    let command = nix::unistd::Pid::from_raw(i32::try_from(row["pid"].as_i64().unwrap()).unwrap());
    let lock = world.lock();
    launcher.signal(Signal::SIGKILL);
    nix::sys::signal::kill(command, Signal::SIGKILL).unwrap();
    launcher.wait();
    // While an end is not stored, a message says so.
    let by_command_line = |more: &[&str]| {
        let ran = world.control(["--json", "history", "--name", "web"].iter().chain(more)).run();
        assert_eq!(ran.code, 0, "{ran:?}");
        let answer: Value = serde_json::from_str(ran.text()).unwrap();
        answer["rows"].clone()
    };
    until("the command to be gone", || by_command_line(&[]).as_array().unwrap().len() == 2);
    let rows = by_command_line(&[]);
    let outcomes: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["unknown", "ERROR: exit code 3"], "{rows}");
    assert_eq!(world.query("SELECT count(*) AS n FROM history")[0].int("n"), 1, "one is not stored yet");
    let by_page = || port.get("/api/history?name=web").json()["rows"].clone();
    let by_socket = || {
        let answer = world.ask(json!({ "command": "history", "name": "web", "target": "process" }));
        answer["content"]["rows"].clone()
    };
    until("the page to look again", || by_page() == rows);
    assert_eq!(by_socket(), rows);
    // In the other order, page by page, by outcome, and in sums.
    let reversed: Vec<Value> = rows.as_array().unwrap().iter().rev().cloned().collect();
    assert_eq!(by_command_line(&["--reverse"]), json!(reversed));
    assert_eq!(by_command_line(&["--offset", "1"]), json!([rows[1]]));
    assert_eq!(by_command_line(&["--outcome", "unknown"]), json!([rows[0]]));
    let stats = world.json(&["stats", "web"]);
    assert_eq!((&stats[0]["runs"], &stats[0]["unknown"]), (&json!(2), &json!(1)), "{stats}");
    drop(lock);
    // Stored, the list is the same.
    until("the end to be stored", || {
        world.query("SELECT count(*) AS n FROM history")[0].int("n") == 2 || {
            world.control(["update"]).run();
            false
        }
    });
    assert_eq!(by_command_line(&[]), rows);
    assert_eq!(by_socket(), rows);
    assert_eq!(daemon.end().code, 0);
}
