//! The client of the supervisor: the real program with a scripted server.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::fd::AsRawFd,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use crate::support::{Program, Ran, World, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const VERSION: &str = r#"{"status":200,"content":{"version":"1.2.3","protocol":1,"identifier":"supervise"}}"#;

/// A connection of the scripted server.
struct Peer {
    lines: BufReader<UnixStream>,
    stream: UnixStream,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Peer {
    /// Returns the next request, or `None` if the client is gone.
    fn request(&mut self) -> Option<Value> {
        let mut line = String::new();
        if self.lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let request: Value = serde_json::from_str(&line).unwrap();
        self.asked.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Writes bytes. The client may be gone.
    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    fn say(&mut self, line: impl AsRef<str>) {
        self.write(format!("{}\n", line.as_ref()));
    }

    /// Waits until the client has closed.
    fn wait(&mut self) {
        let _ = self.lines.read_to_end(&mut vec![]);
    }

    /// Answers the version request and returns the next request.
    fn greet(&mut self) -> Option<Value> {
        let version = self.request()?;
        assert_eq!(version["command"], "version");
        self.say(VERSION);
        self.request()
    }
}

/// A scripted server on the socket of a world.
struct Server {
    path: PathBuf,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    /// Starts a server with this function for each connection.
    fn new(world: &World, serve: impl Fn(&mut Peer) + Send + 'static) -> Server {
        let path = world.path("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let asked = Arc::new(Mutex::new(vec![]));
        let all = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap());
                serve(&mut Peer { lines, stream, asked: Arc::clone(&all) });
            }
        });
        Server { path, asked }
    }

    /// Starts a server that answers each request after the version with this line.
    fn answering(world: &World, line: impl Into<String>) -> Server {
        let line = line.into();
        Server::new(world, move |peer| {
            let mut request = peer.greet();
            while request.is_some() {
                peer.say(&line);
                request = peer.request();
            }
        })
    }

    /// Returns the last request.
    fn last(&self) -> Value {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }
}

fn bare<'w>(world: &'w World, line: &str) -> Program<'w> {
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise"));
    program.command.args(line.split(' '));
    program
}

/// Returns the client with the socket of this world.
fn client<'w>(world: &'w World, line: &str) -> Program<'w> {
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise"));
    program.command.arg("--socket").arg(world.path("s.sock")).args(line.split(' '));
    program
}

/// Runs the client against this response.
fn answered(line: &str, answer: &Value) -> Ran {
    let world = World::new();
    let _server = Server::answering(&world, answer.to_string());
    client(&world, line).run()
}

fn error(status: u16, code: &str, message: &str) -> Value {
    json!({"status": status, "error": {"code": code, "message": message, "name": "x"}})
}

fn process(name: &str, state: &str) -> Value {
    json!({
        "group": name, "name": name, "program": name, "process_num": 0, "state": state, "statecode": 0,
        "description": "pid 7, uptime 0:00:07", "pid": 7, "task_id": 12, "start": 1, "stop": 0, "now": 8, "uptime": 7,
        "exit_code": null, "exit_signal": null, "core": false, "expected": null, "spawn_error": null, "fails": 0,
        "startretries": 3, "next_try": null, "leftover": 0, "adopted": false, "stdout_log": null, "stderr_log": null,
        "config_changed": false,
    })
}

fn status_of(processes: &[Value]) -> Value {
    json!({"status": 200, "content": {"daemon": {"pid": 1}, "processes": processes}})
}

fn results(items: &[Value]) -> Value {
    json!({"status": 207, "content": {"results": items}})
}

fn item(name: &str, status: u16, code: Option<&str>, message: &str) -> Value {
    json!({"group": name, "name": name, "status": status, "code": code, "message": message})
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let done = json!({"status": 200, "content": {"results": [item("x", 200, None, "")]}});
    for (line, answer, code, out) in [
        ("start x", done.clone(), 0, "x: started\n"),
        ("stop x", done.clone(), 0, "x: stopped\n"),
        ("restart x", done.clone(), 0, "x: restarted\n"),
        ("signal HUP x", done.clone(), 0, "x: signalled\n"),
        ("clear x", done, 0, "x: cleared\n"),
        ("start x", error(409, "ALREADY_STARTED", ""), 0, "x: ERROR (already started)\n"),
        ("stop x", error(409, "NOT_RUNNING", ""), 0, "x: ERROR (not running)\n"),
        ("start x", error(500, "SPAWN_ERROR", "boom"), 7, "x: ERROR (spawn error: boom)\n"),
        (
            "restart x",
            error(500, "ABNORMAL_TERMINATION", "exit status 1"),
            7,
            "x: ERROR (abnormal termination: exit status 1)\n",
        ),
        ("signal HUP x", error(409, "NOT_RUNNING", ""), 7, "x: ERROR (not running)\n"),
        ("pid x", json!({"status": 200, "content": [{"name": "x", "pid": 0}]}), 7, "0\n"),
        ("pid x", json!({"status": 200, "content": [{"name": "x", "pid": 9}]}), 0, "9\n"),
        ("pid", json!({"status": 200, "content": {"pid": 42}}), 0, "42\n"),
        ("start x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("start x:*", error(404, "BAD_NAME", "no such group"), 2, "x: ERROR (no such group)\n"),
        ("start x", error(404, "NO_FILE", ""), 1, "x: ERROR (no such file)\n"),
        ("start x", error(422, "NOT_EXECUTABLE", ""), 1, "x: ERROR (file is not executable)\n"),
        ("start x", error(503, "SHUTTING_DOWN", ""), 1, "x: ERROR (shutting down)\n"),
        ("start x", error(504, "TIMEOUT", ""), 1, "x: ERROR (timed out)\n"),
        ("start x", error(409, "AMBIGUOUS", "ambiguous: a:x, b:x"), 1, "x: ERROR (ambiguous: a:x, b:x)\n"),
        ("stop x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("tail x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("clear x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("add x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("remove x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("fg x", error(404, "BAD_NAME", "no such process"), 1, "x: ERROR (no such process)\n"),
        ("add x", error(409, "ALREADY_ADDED", ""), 0, "x: ERROR (already active)\n"),
        ("status", status_of(&[process("x", "RUNNING"), process("y", "BACKOFF")]), 0, "x    "),
        ("status", status_of(&[process("x", "STARTING"), process("y", "STOPPING")]), 0, "x    "),
        ("status", status_of(&[process("x", "RUNNING"), process("y", "FATAL")]), 3, "x    "),
        ("status", status_of(&[process("x", "STOPPED")]), 3, "x    "),
        ("status x", error(404, "BAD_NAME", "no such process"), 4, "x: ERROR (no such process)\n"),
        ("version", json!(null), 0, "1.2.3\n"),
        ("avail", json!({"status": 200, "content": [{"name": "x", "in_use": true, "autostart": true}]}), 0, "x    "),
        ("send x hello", json!({"status": 200, "content": {"written": 6}}), 0, ""),
        ("shutdown --no-wait", json!({"status": 200, "content": {"processes": 3}}), 0, "shutting down (3 processes)\n"),
        ("shutdown --no-wait", json!({"status": 200, "content": {"processes": 1}}), 0, "shutting down (1 process)\n"),
        (
            "shutdown --no-wait --leave-running",
            json!({"status": 200, "content": {"processes": 1}}),
            0,
            "shutting down (1 process keeps running)\n",
        ),
        (
            "shutdown --no-wait --leave-running",
            json!({"status": 200, "content": {"processes": 2, "message": "already shutting down"}}),
            0,
            "already shutting down (2 processes)\n",
        ),
    ] {
        let ran = answered(line, &answer).silent(code);
        assert!(ran.text().starts_with(out), "{line}: {:?}", ran.text());
        assert!(!out.ends_with('\n') || ran.text() == out, "{line}: {:?}", ran.text());
    }
}

#[test]
fn several_names_give_the_worst_exit_code() {
    let items = [item("a", 200, None, ""), item("b", 404, Some("BAD_NAME"), "no such process")];
    let ran = answered("start a b", &results(&items)).silent(1);
    assert_eq!(ran.text(), "a: started\nb: ERROR (no such process)\n");
    let items = [items[1].clone(), item("c", 500, Some("SPAWN_ERROR"), "boom")];
    answered("start b c", &results(&items)).silent(7);
}

#[test]
fn an_invalid_configuration_is_reported_line_by_line() {
    let details = ["c.toml:3: [programs.web] x: unknown key", "c.toml:9: [programs.b] y: unknown key"];
    let answer = json!({"status": 422, "error": {"code": "CANT_REREAD", "message": "2 errors", "details": details}});
    for line in ["reread", "update", "reload"] {
        let ran = answered(line, &answer);
        assert_eq!((ran.code, ran.text()), (1, ""), "{ran:?}");
        let expected =
            format!("supervise: error: 2 errors\nsupervise: error: {}\nsupervise: error: {}\n", details[0], details[1]);
        assert_eq!(ran.err, expected);
    }
    let warning = json!({"status": 200, "content": {"added": ["x"], "warnings": ["old"]}});
    let ran = answered("reload", &warning);
    assert_eq!((ran.code, ran.text(), ran.err.as_str()), (0, "x: added\n", "supervise: warning: old\n"));
}

#[test]
fn wrong_operands_are_refused_before_a_request_is_sent() {
    let world = World::new();
    for line in
        ["start", "stop", "signal HUP", "tail", "frobnicate", "status --program a --group b", "--json", "-n status"]
    {
        let ran = client(&world, line).run();
        assert_eq!((ran.code, ran.text()), (2, ""), "{line}: {ran:?}");
        assert!(ran.err.starts_with("supervise: error: "), "{line}: {ran:?}");
    }
    let ran = client(&world, "signal NOPE a b").run().says(1, &["supervise: error: bad signal name: NOPE"]);
    assert_eq!(ran.text(), "a: ERROR (bad signal name)\nb: ERROR (bad signal name)\n");
    for (line, word) in [("-?", "Usage"), ("-h", "Usage"), ("-v", env!("CARGO_PKG_VERSION")), ("stop --help", "--now")]
    {
        let ran = bare(&world, line).run().silent(0);
        assert!(ran.text().contains(word), "{line}: {ran:?}");
    }
}

#[test]
fn an_unreachable_supervisor_is_reported() {
    let world = World::new();
    let check = |start: i32, status: i32, shutdown: i32, words: &[&str]| {
        let at = format!("unix://{}", world.path("s.sock").display());
        let words: Vec<&str> =
            words.iter().copied().chain(["supervise: error: cannot reach the supervisor at", &at]).collect();
        client(&world, "start x").run().says(start, &words);
        client(&world, "status").run().says(status, &words);
        client(&world, "shutdown").run().says(shutdown, &words);
    };
    check(7, 4, 1, &["no such file: the supervisor is not running"]);
    drop(UnixListener::bind(world.path("s.sock")).unwrap());
    check(4, 4, 1, &["connection refused", "not running; its socket was left behind"]);
    fs::remove_file(world.path("s.sock")).unwrap();
    fs::write(world.path("s.sock"), "").unwrap();
    check(4, 4, 4, &["not a socket"]);
    let ran = bare(&world, &format!("--socket /{} status", "x".repeat(200))).run();
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[test]
fn a_socket_without_permission_is_reported() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can run a client as another user");
    }
    let world = World::new();
    let _server = Server::answering(&world, VERSION);
    let words = ["permission denied: no access to the supervisor's socket"];
    for (line, code) in [("start x", 4), ("status", 4), ("shutdown", 4)] {
        // The folder of a world is accessible only to its owner.
        client(&world, line).cwd("/").user(65534).run().says(code, &words);
    }
}

#[test]
fn the_client_uses_only_its_tables_of_the_configuration() {
    let world = World::new();
    let server = Server::answering(&world, error(409, "NOT_RUNNING", "").to_string());
    let url = format!("unix://{}", server.path.display());
    let text = format!(
        "[taskmasterd]\nnonsense = 1\n[programs.x]\n[taskmasterctl]\nserverurl = \"{url}\"\nusername = \"u\"\n\
         password = \"s3cret\"\ntimeout = 30\n"
    );
    fs::write(world.work().join("taskmaster.conf.toml"), &text).unwrap();
    bare(&world, "stop x").run().silent(0);
    let request = server.last();
    assert_eq!(request["auth"], json!({"username": "u", "password": "s3cret"}));
    assert_eq!((&request["name"], &request["timeout"]), (&json!("x"), &json!(30.0)));
    let first = server.asked.lock().unwrap()[0].clone();
    assert_eq!((&first["command"], &first["auth"]["username"]), (&json!("version"), &json!("u")));
    // The parent folder is searched too.
    fs::rename(world.work().join("taskmaster.conf.toml"), world.path("taskmaster.conf.toml")).unwrap();
    bare(&world, "stop x").run().silent(0);
    // With a separate address, the settings are not for other supervisors, unless the file is named.
    client(&world, "stop x").run().silent(0);
    assert_eq!(server.last().get("auth"), None);
    client(&world, "-c ../taskmaster.conf.toml stop x").run().silent(0);
    assert_eq!(server.last()["auth"]["username"], "u");
    let bad = "[taskmasterctl]\nserverurl = \"/tmp/x\"\ntimeout = -1\n";
    fs::write(world.path("bad.toml"), bad).unwrap();
    let ran = bare(&world, "-c ../bad.toml status").run();
    assert_eq!((ran.code, ran.err.lines().count()), (2, 2), "{ran:?}");
    assert!(ran.err.contains("expected unix:///path or http://host:port"), "{ran:?}");
    assert!(ran.err.lines().all(|line| line.starts_with("supervise: error: ")), "{ran:?}");
    bare(&world, "-c nowhere.toml status").run().says(2, &["supervise: error: nowhere.toml: does not exist"]);
    bare(&world, "-c /tmp status").run().says(2, &["is a directory"]);
}

#[test]
fn another_protocol_version_is_refused() {
    let world = World::new();
    let server = Server::new(&world, |peer| {
        peer.request();
        peer.say(r#"{"status":200,"content":{"version":"9","protocol":2}}"#);
        peer.wait();
    });
    for line in ["status", "stop all", "version"] {
        client(&world, line).run().says(5, &["speaks protocol 2, this client protocol 1"]);
    }
    assert!(server.asked.lock().unwrap().iter().all(|request| request["command"] == "version"), "nothing was changed");
    drop(server);
    let world = World::new();
    let _server = Server::new(&world, |peer| {
        peer.request();
        peer.say(r#"{"status":400,"error":{"code":"BAD_COMMAND","message":"unknown command"}}"#);
        peer.wait();
    });
    client(&world, "status").run().says(5, &["speaks protocol unknown"]);
}

#[test]
fn a_supervisor_that_wants_a_password() {
    let world = World::new();
    let server = Server::new(&world, |peer| {
        while peer.request().is_some() {
            peer.say(r#"{"status":401,"error":{"code":"UNAUTHORIZED","message":""}}"#);
        }
    });
    client(&world, "stop all").run().says(1, &["name or password is missing or wrong"]);
    assert_eq!(server.asked.lock().unwrap().len(), 1, "it is not asked twice");
    client(&world, "status").run().says(4, &["name or password is missing or wrong"]);
}

#[test]
fn a_supervisor_that_refuses_before_it_is_asked() {
    let world = World::new();
    let _server = Server::new(&world, |peer| {
        peer.say(r#"{"status":403,"error":{"code":"FORBIDDEN","message":"this user is not let in"}}"#);
    });
    client(&world, "stop all").run().says(1, &["this user is not let in"]);
}

#[test]
fn a_supervisor_that_says_nothing() {
    let world = World::new();
    let (path, config) = (world.path("s.sock"), world.path("c.toml"));
    fs::write(&config, format!("[taskmasterctl]\nserverurl = \"unix://{}\"\ntimeout = 0.2\n", path.display())).unwrap();
    let _server = Server::new(&world, Peer::wait);
    let words = ["cannot reach the supervisor", "no answer within 0.2 s"];
    bare(&world, "-c ../c.toml status").run().says(4, &words);
    bare(&world, "-c ../c.toml start x").run().says(4, &words);
    bare(&world, "-c ../c.toml shutdown").run().says(4, &words);
}

#[test]
fn a_stopped_supervisor_is_reported() {
    let world = World::new();
    let path = world.path("s.sock");
    fs::write(
        world.path("c.toml"),
        format!("[taskmasterctl]\nserverurl = \"unix://{}\"\ntimeout = 0.2\n", path.display()),
    )
    .unwrap();
    // The supervisor is stopped: clients wait in the accept queue until it is full.
    let _listener = UnixListener::bind(&path).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut waiting = vec![];
        while let Ok(stream) = UnixStream::connect(&path) {
            waiting.push(stream);
            let _ = sender.send(());
        }
    });
    while receiver.recv_timeout(Duration::from_millis(500)).is_ok() {}
    bare(&world, "-c ../c.toml status").run().says(4, &["no answer within 0.2 s"]);
}

#[test]
fn garbage_and_broken_connections_are_reported_in_one_line() {
    for (bytes, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "invalid response"),
        (b"\xff\xfe\x1b[2J\n", "invalid response"),
        (b"{\"status\":\"ok\"}\n", "not a response of a supervisor"),
        (b"{\"a\":1,\"a\":2}\n", "duplicate key"),
        (b"{\"status\":200,\"con", "closed in the middle of an answer"),
        (b"", "closed before an answer came"),
    ] {
        let world = World::new();
        let _server = Server::new(&world, move |peer| {
            if peer.greet().is_some() {
                peer.write(bytes);
            }
        });
        let ran = client(&world, "stop all").run().says(4, &["cannot reach the supervisor", words]);
        assert_eq!(ran.text(), "");
        assert!(!ran.err.contains('\x1b'));
        client(&world, "status").run().says(4, &[words]);
    }
    let mute = answered("stop all", &json!({"status": 500}));
    mute.says(1, &["the supervisor returned status 500"]);
}

#[test]
fn a_supervisor_killed_during_a_request_is_reported_as_not_running() {
    for line in ["status", "stop x"] {
        let world = World::new();
        let path = world.path("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let dies = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // Shut down: a process that another test starts at this moment has a copy of the descriptor until its exec.
            nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let ran = client(&world, line).run();
        dies.join().unwrap();
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("connection refused: the supervisor is not running; its socket was left"), "{ran:?}");
    }
}

#[test]
fn a_request_that_changes_something_is_not_sent_twice() {
    let world = World::new();
    // The server reads the request and closes without a response.
    let server = Server::new(&world, |peer| drop(peer.greet()));
    let ran = client(&world, "stop x").run();
    assert!(ran.err.contains("closed before an answer came"), "{ran:?}");
    let asked = server.asked.lock().unwrap();
    let stops = asked.iter().filter(|request| request["command"] == "stop").count();
    assert_eq!(stops, 1, "{asked:?}");
}

#[test]
fn json_is_the_raw_response() {
    let answer = error(409, "NOT_RUNNING", "a\u{9b}b");
    let ran = answered("--json stop x", &answer).silent(0);
    assert_eq!(ran.text(), format!("{}\n", answer.to_string().replace('\u{9b}', "\\u009b")));
    assert_eq!(serde_json::from_str::<Value>(ran.text()).unwrap(), answer);
    let ran = answered("status --json", &status_of(&[process("x", "FATAL")])).silent(3);
    assert_eq!(ran.text().lines().count(), 1);
    let ran = client(&World::new(), "signal NOPE x --json").run().silent(1);
    assert_eq!(serde_json::from_str::<Value>(ran.text()).unwrap()["error"]["code"], "BAD_SIGNAL");
}

#[test]
fn hostile_names_are_shown_escaped() {
    let mut evil = process("\x1b]0;x\x07", "RUNNING");
    evil["description"] = "a\nb STOPPED\u{9b}2J".into();
    let ran = answered("status", &status_of(&[evil])).silent(0);
    let line = format!("{:<33}RUNNING   {}\n", "\\u{1b}]0;x\\u{7}", "a\\nb STOPPED\\u{9b}2J");
    assert_eq!(ran.text(), line);
    let items = [item("a\r\x1b[1A", 500, Some("SPAWN_ERROR"), "\x1b[2J")];
    let ran = answered("start a", &results(&items)).silent(7);
    assert_eq!(ran.text(), "a\\r\\u{1b}[1A: ERROR (spawn error: \\u{1b}[2J)\n");
    let answer = json!({"status": 400, "error": {"code": "BAD_REQUEST", "message": "\x1b[2J\nx"}});
    answered("start a", &answer).says(2, &["\\u{1b}[2J\\nx"]);
}

#[test]
fn ten_thousand_processes() {
    let world = World::new();
    let all: Vec<Value> = (0..10_000).map(|number| process(&format!("p{number:05}"), "RUNNING")).collect();
    let _server = Server::answering(&world, status_of(&all).to_string());
    let ran = client(&world, "status").run().silent(0);
    assert_eq!(ran.text().lines().count(), 10_000);
    let script =
        format!("set -o pipefail; '{}' --socket \"$W/s.sock\" status | head -1", env!("CARGO_BIN_EXE_supervise"));
    let mut bash = world.command("bash");
    bash.command.args(["-c", &script]);
    let ran = bash.run().silent(0);
    assert_eq!(ran.text().lines().count(), 1);
    let mut full = world.command("sh");
    full.command
        .args(["-c", &format!("exec '{}' --socket \"$W/s.sock\" status >/dev/full", env!("CARGO_BIN_EXE_supervise"))]);
    full.run().says(1, &["cannot write: No space left"]);
}

#[test]
fn tail_gives_every_byte_back() {
    let content = |data: &str, encoding: &str| json!({"status": 200, "content": {"data": data, "encoding": encoding, "offset": 0, "size": 4, "truncated": false}});
    assert_eq!(answered("tail x", &content("//4KAA==", "base64")).silent(0).out, b"\xff\xfe\n\0");
    assert_eq!(answered("maintail", &content("é\x1b[2J", "utf-8")).silent(0).out, "é\x1b[2J".as_bytes());
    let world = World::new();
    let server = Server::answering(&world, content("", "utf-8").to_string());
    client(&world, "tail -5 x stderr").run().silent(0);
    assert_eq!(server.last()["args"], json!({"channel": "stderr", "bytes": 5}));
    client(&world, "tail x --run 7").run().silent(0);
    assert_eq!(server.last()["args"], json!({"channel": "stdout", "bytes": 1600, "run": 7}));
}

/// Starts a server that sends these lines after its first response, and then waits or closes.
fn stream(world: &World, lines: Vec<String>, closes: bool) -> Server {
    Server::new(world, move |peer| {
        if peer.greet().is_none() {
            return;
        }
        peer.say(r#"{"status":200,"content":{"data":"first\n","encoding":"utf-8","offset":0}}"#);
        for line in &lines {
            peer.say(line);
        }
        if !closes {
            peer.wait();
        }
    })
}

#[test]
fn a_log_is_followed_byte_for_byte_until_the_supervisor_closes() {
    let world = World::new();
    let lines = [
        json!({"data": "second", "encoding": "utf-8", "offset": 6}),
        json!({"data": "/wo=", "encoding": "base64"}),
        json!({"ended": "the supervisor has ended"}),
    ];
    let server = stream(&world, lines.iter().map(Value::to_string).collect(), true);
    let ran = client(&world, "tail -f x").run().silent(0);
    assert_eq!(ran.out, b"first\nsecond\xff\n");
    assert_eq!(server.last()["args"]["follow"], true);
    assert_eq!(client(&world, "maintail -f").run().silent(0).out, b"first\nsecond\xff\n");
    let ran = client(&world, "tail -f x --json").run().silent(0);
    assert_eq!(ran.text().lines().count(), 4);
    let world = World::new();
    let lost = [
        json!({"skipped": true}),
        json!({"data": "third\n", "encoding": "utf-8", "offset": 0}),
        json!({"ended": "the supervisor has ended"}),
    ];
    let _server = stream(&world, lost.iter().map(Value::to_string).collect(), true);
    let ran = client(&world, "tail -f x").run().says(0, &["some of the output is missing here"]);
    assert_eq!(ran.text(), "first\nthird\n");
}

#[test]
fn a_supervisor_that_dies_is_not_a_success() {
    let world = World::new();
    let _server = Server::new(&world, |peer| {
        peer.greet();
        peer.say(r#"{"status":200,"content":{"data":"first\n","encoding":"utf-8","offset":0,"processes":3}}"#);
    });
    for line in ["tail -f x", "maintail -f", "subscribe"] {
        client(&world, line).run().says(1, &["the connection was lost", "died"]);
    }
    client(&world, "shutdown").run().says(1, &["died during its shutdown"]);
}

#[test]
fn followed_output_is_printed_at_once_and_ctrl_c_ends_it_with_130() {
    let world = World::new();
    let server = stream(&world, vec![json!({"data": "no end of line"}).to_string()], false);
    for line in ["tail -f x", "maintail -f", "fg x"] {
        let started = client(&world, line).spawn();
        until("what came is printed", || started.stdout().ends_with("no end of line"));
        started.signal(Signal::SIGINT);
        started.wait().silent(130);
    }
    drop(server);
}

#[test]
fn a_follower_ends_when_its_reader_goes_away() {
    let world = World::new();
    let _server = stream(&world, vec![], false);
    let client = format!("'{}' --socket \"$W/s.sock\"", env!("CARGO_BIN_EXE_supervise"));
    // No more data arrives, so no write can fail.
    let ran = world.sh(&format!("{client} tail -f x | head -1")).run().silent(0);
    assert_eq!(ran.text(), "first\n");
}

#[test]
fn fg_separates_both_streams_and_reports_the_end() {
    let world = World::new();
    let lines = [
        json!({"data": "out\n", "encoding": "utf-8", "channel": "stdout"}),
        json!({"data": "err\n", "encoding": "utf-8", "channel": "stderr"}),
        json!({"ended": "exit status 3"}),
    ];
    let _server = stream(&world, lines.iter().map(Value::to_string).collect(), true);
    let ran = client(&world, "fg x").run();
    assert_eq!((ran.code, ran.text()), (0, "first\nout\n"));
    assert_eq!(ran.err, "err\nsupervise: x has ended: exit status 3\n");
    let world = World::new();
    let _server = stream(&world, vec![], true);
    client(&world, "fg x").run().says(1, &["supervise: error: the connection was closed before the process ended"]);
}

#[test]
fn a_broken_stream_is_reported() {
    for (line, words) in [
        ("{", "invalid line from the supervisor"),
        (r#"{"error":{"code":"FAILED","message":"you read too slowly"}}"#, "you read too slowly"),
        (r#"{"status":404,"error":{"code":"NO_FILE","message":""}}"#, "no such file"),
    ] {
        let world = World::new();
        let _server = stream(&world, vec![line.to_owned()], false);
        let ran = client(&world, "tail -f x").run().says(1, &[words]);
        assert_eq!(ran.text(), "first\n");
    }
    let world = World::new();
    let _server = Server::new(&world, |peer| {
        peer.greet();
        peer.say(r#"{"status":200,"content":{}}"#);
        peer.write(r#"{"data":"ha"#);
    });
    client(&world, "tail -f x").run().says(1, &["closed in the middle"]);
}

#[test]
fn events_are_printed_for_people_and_for_programs() {
    let world = World::new();
    let event = json!({
        "event": "state", "name": "w\x1b", "from": "RUNNING", "to": "EXITED", "pid": 7, "task_id": 12, "exit_code": 1,
        "exit_signal": null, "expected": false, "fails": 0, "time": 0, "serial": 1,
    });
    let end = json!({"ended": "the supervisor has ended"});
    let lines = vec![event.to_string(), json!({"event": "dropped", "count": 2}).to_string(), end.to_string()];
    let answer = lines.clone();
    let server = Server::new(&world, move |peer| {
        peer.greet();
        peer.say(r#"{"status":200,"content":{}}"#);
        answer.iter().for_each(|line| peer.say(line));
    });
    let ran = client(&world, "subscribe state").env("TZ", "UTC").run().silent(0);
    assert_eq!(
        ran.text(),
        "1970-01-01 00:00:00 w\\u{1b}: RUNNING -> EXITED (exit status 1, unexpected)\n2 events were lost\n"
    );
    assert_eq!(server.last()["args"], json!({"events": ["state"]}));
    let ran = client(&world, "subscribe --json").run().silent(0);
    assert_eq!(ran.text(), format!("{}\n{}\n", r#"{"status":200,"content":{}}"#, lines.join("\n")));
}

#[test]
fn shutdown_returns_when_the_supervisor_has_closed() {
    let world = World::new();
    let (sender, receiver) = mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let _server = Server::new(&world, move |peer| {
        peer.greet();
        peer.say(r#"{"status":200,"content":{"processes":3}}"#);
        receiver.lock().unwrap().recv().unwrap();
        peer.say(r#"{"ended":"the supervisor has ended"}"#);
    });
    let mut started = client(&world, "shutdown").spawn();
    until("it is said", || started.stdout() == "shutting down (3 processes)\n");
    assert!(!started.has_ended());
    sender.send(()).unwrap();
    started.wait().silent(0);
}

#[test]
fn history_and_jobs_are_tables() {
    let row = json!({
        "id": 3, "taskid": 12, "taskname": "web", "outcome": "ERROR: exit code 1", "starttime": 0, "endtime": 60,
        "duration": 60.0, "exitcode": 1, "warnings": 0, "new": true,
    });
    let world = World::new();
    let server = Server::answering(&world, json!({"status": 200, "content": {"rows": [row]}}).to_string());
    let ran = client(&world, "history web --limit 5").run().silent(0);
    assert!(ran.text().contains("web") && ran.text().contains("ERROR: exit code 1"), "{ran:?}");
    assert_eq!(server.last()["args"], json!({"limit": 5}));
    let jobs = json!({"jobs": [
        {"number": 2, "command": "sleep 9", "paused": "TSTP", "pgid": 7, "process": process("a", "RUNNING")},
        {"number": 1, "command": "true", "paused": null, "pgid": null, "process": process("b", "RUNNING")},
    ]});
    let answer = json!({"status": 200, "content": jobs});
    let ran = answered("jobs", &answer).silent(0);
    assert_eq!(ran.text().lines().count(), 2, "{ran:?}");
    assert!(ran.text().contains("Stopped(SIGTSTP)"), "{ran:?}");
    assert_eq!(answered("jobs -r -p", &answer).silent(0).text(), "7\n");
    answered("jobs", &json!({"status": 200, "content": {}})).says(1, &["contains no jobs"]);
}

/// Starts an HTTP server that answers each request with the next status and body. Returns its port and the received
/// requests.
fn port(answers: Vec<(u16, String)>) -> (u16, mpsc::Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut sent = vec![0; length];
            lines.read_exact(&mut sent).unwrap();
            let _ = sender.send((head, String::from_utf8(sent).unwrap()));
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (number, receiver)
}

#[test]
fn http_has_the_same_requests_and_responses() {
    let world = World::new();
    let answer = error(409, "NOT_RUNNING", "").to_string();
    let (number, sent) = port(vec![(200, VERSION.to_owned()), (409, answer)]);
    let config =
        format!("[taskmasterctl]\nserverurl = \"http://127.0.0.1:{number}\"\nusername = \"u\"\npassword = \"a:b\"\n");
    fs::write(world.path("c.toml"), config).unwrap();
    // A proxy would see the password.
    let ran = bare(&world, "-c ../c.toml stop x").env("http_proxy", "http://127.0.0.1:9").run().silent(0);
    assert_eq!(ran.text(), "x: ERROR (not running)\n");
    let (head, _) = sent.recv().unwrap();
    assert!(head.starts_with("POST /api HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: basic dtphomi="), "{head}");
    let (_, body) = sent.recv().unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["command"], body.get("auth")), (&json!("stop"), None));
}

#[test]
fn errors_of_http_are_reported() {
    let world = World::new();
    let at = |number: u16, line: &str| bare(&world, &format!("--serverurl http://127.0.0.1:{number} {line}")).run();
    let (number, _sent) =
        port(vec![(401, "<html>".to_owned()), (404, "<html>".to_owned()), (200, "<html>".to_owned())]);
    at(number, "stop all").says(1, &["name or password is missing or wrong"]);
    at(number, "stop all").says(4, &["not a supervisor (HTTP 404)"]);
    at(number, "status").says(4, &["not a supervisor (HTTP 200)"]);
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    at(unused, "status").says(4, &["connection refused: no supervisor listens there"]);
    at(unused, "start x").says(4, &["connection refused"]);
    at(unused, "shutdown").says(1, &["connection refused"]);
    for line in ["tail -f x", "maintail -f", "fg x", "subscribe"] {
        at(unused, line).says(1, &["requires the Unix socket"]);
    }
}

#[test]
fn completions_know_the_actions() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = bare(&world, &format!("completions {shell}")).run().silent(0);
        assert!(ran.text().contains("maintail") && ran.text().contains("until-settled"), "{shell}");
    }
}
