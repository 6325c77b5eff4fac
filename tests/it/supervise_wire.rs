//! Hostile clients on the socket of the daemon: other users, many connections, large requests, and clients that do not
//! read.

use std::{
    fs::{self, File, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use crate::support::daemon::{Client, named};
use crate::support::{Program, World, eventually, field, timed, until};
use nix::unistd::geteuid;
use serde_json::{Value, json};

/// Starts and stops whose events are more than the buffer of a listener holds.
const ROUNDS: u64 = 24;
/// User id of `nobody`.
const OTHER: u32 = 65534;

fn soon(world: &World, what: &str) {
    let (answer, took) = timed(|| world.ask(json!({ "command": "version" })));
    assert!(answer["status"] == 200 && took < Duration::from_secs(5), "{what}: {answer} after {took:?}");
}

#[test]
fn permissions_of_the_socket_and_the_password_protect_requests() {
    let world = World::new();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    let program = "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n";
    let as_other = || {
        let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("--socket").arg(world.path("s.sock"));
        program.arg("status").user(OTHER).run()
    };
    world.configure(program);
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    // Only root can change to another user for a test.
    if geteuid().is_root() {
        let refused = as_other();
        assert!(refused.code == 4 && refused.err.contains("ermission denied"), "{refused:?}");
    }
    let connected = world.connect_to_daemon();
    let open = world.read("t.toml").replace("file = \"s.sock\"", "file = \"s.sock\"\nchmod = 0o777");
    fs::write(world.path("t.toml"), &open).unwrap();
    assert_eq!(world.ask(json!({ "command": "reload" }))["status"], 200);
    if geteuid().is_root() {
        let admitted = as_other();
        assert!(admitted.code == 0 && admitted.text().contains("RUNNING"), "{admitted:?}");
    }
    // From now on a password is required, for all users, once per connection.
    let closed = open.replace("chmod = 0o777", "username = \"me\"\npassword = \"a:b\"");
    fs::write(world.path("t.toml"), &closed).unwrap();
    assert_eq!(world.ask(json!({ "command": "reload" }))["status"], 200);
    drop(connected);
    let mut client = world.connect_to_daemon();
    let status = json!({ "command": "status" });
    let refused = client.ask(&status);
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(401), &json!("UNAUTHORIZED")));
    assert!(refused.get("content").is_none());
    let with = |name: &str, word: &str| json!({ "command": "status", "auth": { "username": name, "password": word } });
    for (name, word) in [("me", "a:c"), ("me", ""), ("", "a:b"), ("you", "a:b")] {
        assert_eq!(client.ask(&with(name, word))["status"], 401);
    }
    assert_eq!(client.ask(&with("me", "a:b"))["status"], 200);
    assert_eq!(client.ask(&status)["status"], 200);
    assert_eq!(world.ask(named("stop", "web"))["status"], 401);
    assert_eq!(client.ask(&named("pid", "web"))["status"], 200);
    assert!(!world.log().contains("a:b"), "secrets are in no log");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn many_connections_are_served_and_slow_readers_affect_no_other() {
    let world = World::new();
    // Enough processes with long names that their events fill the buffer of a listener.
    let long = "x".repeat(180);
    world.configure(&format!(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n\
         [programs.{long}]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautostart = false\nstdout = \"none\"\nstderr = \"none\"\n\
         numprocs = 40\nprocess_name = \"%(program_name)s_%(process_num)02d\"\n"
    ));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    // All connect before the first one gets a response, and are served as long as they like.
    let mut clients: Vec<Client> = (0..100).map(|_| world.connect_to_daemon()).collect();
    for round in 0..2 {
        for client in &mut clients {
            client.send(&json!({ "command": "pid", "id": round }));
        }
        assert!(clients.iter_mut().all(|client| client.line()["id"] == round));
    }
    drop(clients);
    let pid = world.ask(json!({ "command": "pid" }))["content"]["pid"].clone();
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        field(&status, "VmRSS").trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = memory();
    // A follower of a growing log, a listener for events, and a client that sends requests forever; none of them reads.
    let mut log = File::options().append(true).create(true).open(world.path("web.stdout")).unwrap();
    let mut follower = world.connect_to_daemon();
    let tail = json!({ "command": "tail", "target": "process", "name": "web", "args": { "follow": true, "bytes": 0 } });
    assert_eq!(follower.ask(&tail)["status"], 200);
    log.write_all(&b"0123456789abcde\n".repeat(1 << 20)).unwrap();
    let mut listener = world.connect_to_daemon();
    assert_eq!(listener.ask(&json!({ "command": "subscribe", "args": { "events": ["state"] } }))["status"], 200);
    let mut asker = world.connect_to_daemon();
    asker.stream.set_nonblocking(true).unwrap();
    let many = "{\"command\":\"status\"}\n".repeat(10_000);
    // No client sends more than fits into the buffers.
    let taken = asker.stream.write(many.as_bytes()).unwrap_or(0);
    assert!(taken > 0);
    for _ in 0..ROUNDS {
        assert_eq!(world.ask(named("start", &long))["status"], 200);
        assert_eq!(world.ask(named("stop", &long))["status"], 200);
    }
    soon(&world, "with those who do not read");
    let grown = memory().saturating_sub(before);
    // With 16 MiB of log, 2 MB of events, and far more responses.
    assert!(grown < 6 << 10, "it grew by {grown} kB");
    // Dropped events are reported, and then the stream continues.
    let (mut events, mut dropped) = (0, 0);
    while dropped == 0 {
        let event = listener.line();
        match event["event"].as_str() {
            Some("state") => events += 1,
            _ => dropped = event["count"].as_u64().unwrap(),
        }
    }
    assert!(events > 100 && dropped > 0 && events + dropped <= ROUNDS * 40 * 4, "{events} events, {dropped} dropped");
    assert_eq!(world.ask(named("start", &long))["status"], 200);
    until("news", || listener.line()["to"] == "RUNNING");
    // The follower missed nothing.
    let mut bytes = 0;
    while bytes < 16 << 20 {
        let piece = follower.line();
        assert_eq!(piece["offset"], bytes, "in order and whole");
        bytes += piece["data"].as_str().unwrap().len();
    }
    // A client that goes away in the middle is removed.
    drop((follower, listener, asker));
    soon(&world, "after them");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn requests_about_many_processes_are_answered_quickly() {
    let world = World::new();
    let sleep = "command = \"sleep\"\nargs = [\"300\"]\nautostart = false\nstdout = \"none\"\nstderr = \"none\"";
    world.configure(&format!(
        "[programs.slow]\n{sleep}\nstartsecs = 3\nnumprocs = 50\n[programs.many]\n{sleep}\nnumprocs = 1000\nprocess_name = \"%(program_name)s_%(process_num)04d\"\n"
    ));
    let daemon = world.daemon();
    // Each name is handled separately within one request.
    let names: Vec<String> = (0..1000).map(|number| format!("many:many_{number:04}")).collect();
    let ask = |command: &str, args: Value| {
        let request = json!({ "command": command, "target": "process", "names": names, "args": args });
        let (answer, took) = timed(|| world.ask(request));
        assert!(took < Duration::from_secs(5), "{command}: {took:?}");
        answer
    };
    let count = |list: &Value| list.as_array().map(Vec::len);
    assert_eq!(count(&ask("status", json!({}))["content"]["processes"]), Some(1000));
    assert_eq!(count(&ask("pid", json!({}))["content"]), Some(1000));
    for (command, args) in [("stop", json!({})), ("signal", json!({ "signal": "HUP" }))] {
        let answer = ask(command, args);
        let results = answer["content"]["results"].as_array().unwrap();
        assert!(answer["status"] == 207 && results.len() == 1000, "{command}: {}", answer["status"]);
        assert!(results.iter().all(|result| result["code"] == "NOT_RUNNING"), "{command}");
    }
    assert_eq!(ask("clear", json!({}))["status"], 200);
    // Requests wait in parallel, on separate connections or on one, and delay no other.
    let mut clients: Vec<Client> = (0..50).map(|_| world.connect_to_daemon()).collect();
    let ((), took) = timed(|| {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&named("start", &format!("slow:slow_{number:02}")));
        }
        soon(&world, "while they wait");
        assert!(clients.iter_mut().all(|client| client.line()["status"] == 200));
    });
    // The time over three seconds is for creating a hundred processes.
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(20), "{took:?}");
    let (answer, took) = timed(|| world.ask(named("restart", "slow:*")));
    assert_eq!(count(&answer["content"]["results"]), Some(50));
    assert!(answer["status"] == 200 && took < Duration::from_secs(20), "{took:?}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_request_may_arrive_in_any_pieces() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 1\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    // Byte by byte; and an incomplete last line of a client that shuts down its side, with a response when it is done.
    let mut client = world.connect_to_daemon();
    for byte in b"{\"command\":\"version\"}\r\n" {
        client.stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.line()["status"], 200);
    client.stream.write_all(named("restart", "web").to_string().as_bytes()).unwrap();
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.line()["status"], 200);
    let mut rest = vec![];
    client.reader.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    // A request is carried out even if the client goes away.
    let pid = world.pid("web");
    let mut client = world.connect_to_daemon();
    client.send(&named("restart", "web"));
    drop(client);
    world.runs_again("web", pid);
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn without_descriptors_it_still_responds_and_recovers() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautostart = false\nstartretries = 0\n",
    );
    let daemon = world.daemon();
    let pid = daemon.started.as_ref().unwrap().pid();
    let limit = |files: Option<u64>| {
        let pid = rustix::process::Pid::from_raw(pid);
        let limit = rustix::process::Rlimit { current: files, maximum: Some(4096) };
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    };
    let mut known = world.connect_to_daemon();
    assert_eq!(known.ask(&json!({ "command": "version" }))["status"], 200);
    let open = || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let numbers: Vec<u64> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        (numbers.len() as u64, numbers.into_iter().max().unwrap())
    };
    // The limit applies to descriptor numbers, so there must be no free one below those in use. A descriptor that was
    // open only briefly during the count (of a new database) leaves one free: then try again.
    let mut others = vec![];
    let answer = eventually("a start without descriptors", || {
        while open().0 <= open().1 {
            others.push(world.connect_to_daemon());
            assert_eq!(others.last_mut().unwrap().ask(&json!({ "command": "version" }))["status"], 200);
        }
        limit(Some(open().0));
        let answer = known.ask(&named("start", "web"));
        if answer["status"] == 200 {
            limit(Some(1000));
            assert_eq!(known.ask(&named("stop", "web"))["status"], 200);
            return None;
        }
        Some(answer)
    });
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(500), &json!("SPAWN_ERROR")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("too many open files"), "{answer}");
    // Even then one client at a time is accepted.
    for _ in 0..3 {
        soon(&world, "without descriptors");
    }
    assert_eq!(world.state("web"), "BACKOFF");
    assert!(world.log().contains("too many open files"));
    limit(Some(1000));
    world.comes_to("web", "RUNNING");
    assert_eq!(daemon.end().code, 0);
}

/// As a user to whom the limit of processes applies, which root is exempt from.
fn without_privileges(program: Program<'_>) -> Program<'_> {
    if geteuid().is_root() { program.user(OTHER) } else { program }
}

#[test]
fn a_full_process_table_is_reported_and_retried() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautostart = false\nstartretries = 0\n",
    );
    if geteuid().is_root() {
        std::os::unix::fs::chown(world.path(""), Some(OTHER), Some(OTHER)).unwrap();
    }
    let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("t.toml"));
    let started = without_privileges(program).spawn();
    until("it to be ready", || world.log().contains("INFO ready"));
    let limit = |processes: &str| {
        let pid = started.pid().to_string();
        let text = format!("--nproc={processes}:");
        without_privileges(world.command("prlimit").arg("--pid").arg(pid).arg(text)).run().ok();
    };
    limit("0");
    let answer = world.ask(named("start", "web"));
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(500), &json!("SPAWN_ERROR")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("process table full"), "{answer}");
    assert_eq!(world.state("web"), "BACKOFF");
    limit("1000");
    world.comes_to("web", "RUNNING");
    started.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(started.wait().code, 0);
}
