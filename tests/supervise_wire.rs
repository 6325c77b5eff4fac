//! What clients may do to the daemon on its socket: come as somebody else, in numbers, ask for much at once, and not
//! read what they asked for.

mod support;

use std::{
    fs::{self, File, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use nix::unistd::geteuid;
use serde_json::{Value, json};
use support::daemon::{Client, named};
use support::{Program, World, eventually, field, timed, until};

/// Nobody.
const OTHER: u32 = 65534;

fn soon(world: &World, what: &str) {
    let (answer, took) = timed(|| world.ask(json!({ "command": "version" })));
    assert!(answer["status"] == 200 && took < Duration::from_secs(2), "{what}: {answer} after {took:?}");
}

#[test]
fn net6_who_may_ask_is_who_the_socket_and_the_password_let_in() {
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
    // Root alone can be somebody else for a test.
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
    // A password, from now on; for everybody, and for the connection, not for each request.
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
fn net4_many_connections_are_served_and_those_that_do_not_read_harm_nobody() {
    let world = World::new();
    // So many, with names so long, that their events fill what waits for a listener.
    let long = "x".repeat(180);
    world.configure(&format!(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n\
         [programs.{long}]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautostart = false\nstdout = \"none\"\nstderr = \"none\"\n\
         numprocs = 40\nprocess_name = \"%(program_name)s_%(process_num)02d\"\n"
    ));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    // Each of them is there before the first one is answered, and is served as long as it likes.
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
    // One who follows a log that grows, one who listens, and one who asks and asks; none of them reads.
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
    // Nobody takes more of them than there is room for.
    let taken = asker.stream.write(many.as_bytes()).unwrap_or(0);
    assert!(taken > 0);
    for _ in 0..40 {
        assert_eq!(world.ask(named("start", &long))["status"], 200);
        assert_eq!(world.ask(named("stop", &long))["status"], 200);
    }
    soon(&world, "with those who do not read");
    let grown = memory().saturating_sub(before);
    // Of 16 MiB of log, 3 MB of events, and far more answers.
    assert!(grown < 6 << 10, "it grew by {grown} kB");
    // What was left out is said, and then it goes on.
    let (mut events, mut dropped) = (0, 0);
    while dropped == 0 {
        let event = listener.line();
        match event["event"].as_str() {
            Some("state") => events += 1,
            _ => dropped = event["count"].as_u64().unwrap(),
        }
    }
    assert!(events > 100 && dropped > 0 && events + dropped <= 40 * 40 * 4, "{events} events, {dropped} dropped");
    assert_eq!(world.ask(named("start", &long))["status"], 200);
    until("news", || listener.line()["to"] == "RUNNING");
    // The follower has missed nothing.
    let mut bytes = 0;
    while bytes < 16 << 20 {
        let piece = follower.line();
        assert_eq!(piece["offset"], bytes, "in order and whole");
        bytes += piece["data"].as_str().unwrap().len();
    }
    // Who goes away in the middle of it is forgotten.
    drop((follower, listener, asker));
    soon(&world, "after them");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn cmd2_cmd4_what_is_asked_of_many_is_answered_soon() {
    let world = World::new();
    let sleep = "command = \"sleep\"\nargs = [\"300\"]\nautostart = false\nstdout = \"none\"\nstderr = \"none\"";
    world.configure(&format!(
        "[programs.slow]\n{sleep}\nstartsecs = 3\nnumprocs = 50\n[programs.many]\n{sleep}\nnumprocs = 1000\nprocess_name = \"%(program_name)s_%(process_num)04d\"\n"
    ));
    let daemon = world.daemon();
    // CMD-4: each name by itself, in one request.
    let names: Vec<String> = (0..1000).map(|number| format!("many:many_{number:04}")).collect();
    let ask = |command: &str, args: Value| {
        let request = json!({ "command": command, "target": "process", "names": names, "args": args });
        // A machine that is busy may need longer now and then, not each time.
        let mut all = vec![];
        loop {
            let (answer, took) = timed(|| world.ask(request.clone()));
            if took < Duration::from_secs(1) {
                return answer;
            }
            all.push(took);
            assert!(all.len() < 5, "{command} took {all:?}");
        }
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
    // CMD-2: they wait side by side, on connections of their own or on one, and delay nobody.
    let mut clients: Vec<Client> = (0..50).map(|_| world.connect_to_daemon()).collect();
    let ((), took) = timed(|| {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&named("start", &format!("slow:slow_{number:02}")));
        }
        soon(&world, "while they wait");
        assert!(clients.iter_mut().all(|client| client.line()["status"] == 200));
    });
    // What is over the three seconds is the making of a hundred processes, on whatever machine this is.
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
    let (answer, took) = timed(|| world.ask(named("restart", "slow:*")));
    assert_eq!(count(&answer["content"]["results"]), Some(50));
    assert!(answer["status"] == 200 && took < Duration::from_secs(8), "{took:?}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn net2_a_request_is_answered_however_it_comes() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 1\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    // Byte by byte; and a last line without an end, of one who says nothing more, answered when it is done.
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
    // NET-5: who goes away in the middle has asked for it all the same.
    let pid = world.pid("web");
    let mut client = world.connect_to_daemon();
    client.send(&named("restart", "web"));
    drop(client);
    world.runs_again("web", pid);
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn spawn10_without_descriptors_it_still_answers_and_goes_on_when_there_are_some() {
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
    // The limit is one of numbers, so there must be none free below those in use. What was open for a moment only when
    // it was counted, as of a database that is just being made, leaves one free: then once more.
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
    // One at a time is let in even so.
    for _ in 0..3 {
        soon(&world, "without descriptors");
    }
    assert_eq!(world.state("web"), "BACKOFF");
    assert!(world.log().contains("too many open files"));
    limit(Some(1000));
    world.comes_to("web", "RUNNING");
    assert_eq!(daemon.end().code, 0);
}

/// As somebody who has no more processes than the limit: root has as many as there is room for.
fn without_privileges(program: Program<'_>) -> Program<'_> {
    if geteuid().is_root() { program.user(OTHER) } else { program }
}

#[test]
fn spawn3_a_full_process_table_is_told_as_that_and_passes() {
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
