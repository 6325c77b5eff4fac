//! How the supervisor starts: the programs and their order, notifications to its service manager, and its log.

use std::{fs, os::unix::net::UnixDatagram};

use crate::support::{PATIENCE, World, daemon::named, desk::is_alive, eventually, until};
use nix::sys::signal::Signal;
use serde_json::json;

/// Returns the configuration of a program that ignores its stop signal.
fn deaf(name: &str, more: &str) -> String {
    format!(
        "[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"trap '' TERM; while :; do sleep 0.05; done\"]\nstartsecs = 0\n{more}\n"
    )
}

#[test]
fn the_log_names_process_and_task_of_each_event() {
    let world = World::new();
    world.configure(
        "[programs.good]\ncommand = \"sh\"\nargs = [\"-c\", \"sleep 0.2\"]\nstartsecs = 0\n\
         [programs.bad]\ncommand = \"sh\"\nargs = [\"-c\", \"exit 3\"]\nstartsecs = 0\nautorestart = \"false\"\n\
         [programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\n",
    );
    let daemon = world.daemon();
    for (name, state) in [("good", "EXITED"), ("bad", "EXITED"), ("web", "RUNNING")] {
        world.comes_to(name, state);
    }
    let (pid, task) = (world.pid("web"), world.states()["web"]["task_id"].clone());
    world.ask(named("stop", "web"));
    daemon.signal(Signal::SIGUSR1);
    until("the states", || world.log().contains("state: web STOPPED stopped "));
    let log = world.log();
    for words in [
        format!("INFO spawned: web with pid {pid}, task {task}"),
        format!("INFO running: web (pid {pid}, task {task})"),
        format!("INFO stopping: web (pid {pid}, task {task}): "),
        format!("INFO stopped: web (pid {pid}, task {task}): killed by SIGTERM"),
        "exit status 0; expected".to_owned(),
        "DEBG signal: web: SIGTERM to its process: stopped by operator".to_owned(),
        "DEBG state: web: RUNNING to STOPPING: stopped by operator".to_owned(),
        "DEBG state: good: RUNNING to EXITED".to_owned(),
        format!("\"command\":\"stop\",\"target\":\"process\",\"name\":\"web\"}}, from user {}", nix::unistd::getuid()),
        "exit status 3; not expected".to_owned(),
    ] {
        assert!(log.contains(&words), "{words}\n{log}");
    }
    assert!(log.lines().any(|line| line.contains("INFO exited: good")), "{log}");
    assert!(log.lines().any(|line| line.contains("WARN exited: bad")), "{log}");
    for line in log.lines() {
        let (stamp, rest) = line.split_at(24);
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000 ", "{line}");
        assert!(["DEBG ", "INFO ", "WARN ", "ERRO "].contains(&&rest[..5]), "{line}");
    }
}

#[test]
fn a_service_manager_is_notified_of_readiness_and_shutdown() {
    let world = World::new();
    world.configure(
        "[programs.a]\ncommand = \"sh\"\nargs = [\"-c\", \"echo \\\"$NOTIFY_SOCKET\\\"; sleep 300\"]\nstartsecs = 0\n",
    );
    let path = world.path("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let len = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("t.toml"));
    assert_eq!(program.env("NOTIFY_SOCKET", &path).run().code, 0);
    let pid: i32 = world.read("s.pid").trim().parse().unwrap();
    assert_eq!(hear(), format!("READY=1\nMAINPID={pid}"));
    until("what the program prints", || {
        fs::read_to_string(world.path("a.stdout")).is_ok_and(|text| text.ends_with('\n'))
    });
    assert_ne!(world.read("a.stdout").trim(), path.to_str().unwrap(), "it is not the program's");
    // The names of its sockets do not contain the handle, which proves that a process belongs to the task.
    let handle = eventually("its task", || world.tasks().first().map(|row| row.text("handle").to_owned()));
    let names = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(names.contains("@taskwatcher-run-") && !names.contains(&handle));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(hear(), "STOPPING=1");
    until("its end", || !is_alive(pid));
}

#[test]
fn in_a_serial_start_each_priority_waits_for_the_previous_one() {
    let world = World::new();
    let program = |name: &str, command: &str, more: &str| {
        format!("[programs.{name}]\ncommand = \"sh\"\nargs = [\"-c\", \"{command}\"]\n{more}\n")
    };
    world.configure_with(
        "start_serial = true",
        &[
            program("first", "sleep 300", "priority = 1\nstartsecs = 0.6"),
            program("fails", "exit 1", "priority = 2\nstartretries = 0"),
            program("last", "sleep 300", "priority = 3\nstartsecs = 0"),
            program("never", "sleep 300", "priority = 3\nautostart = false"),
        ]
        .concat(),
    );
    let _daemon = world.daemon();
    world.comes_to("last", "RUNNING");
    let log = world.log();
    let line = |words: &str| log.lines().position(|line| line.contains(words)).unwrap_or(log.len());
    let order = ["spawned: first", "running: first", "spawned: fails", "fatal: fails", "spawned: last"].map(line);
    assert!(order.is_sorted(), "{order:?}\n{log}");
    assert!(line("INFO ready") < line("running: first"), "who waits for it need not wait for them");
    assert_eq!(world.state("never"), "STOPPED");
}

#[test]
fn a_process_stopped_by_an_operator_stays_down_with_remember_stops() {
    let world = World::new();
    let config = |remember: bool| {
        let sleeper = |name: &str| format!("[programs.{name}]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\n");
        world.configure_with(
            &format!("remember_stops = {remember}"),
            &(sleeper("a") + &sleeper("b") + &deaf("c", "stopwaitsecs = 300")),
        );
    };
    config(true);
    let daemon = world.daemon();
    for name in ["a", "b", "c"] {
        world.comes_to(name, "RUNNING");
    }
    world.ask(named("stop", "a"));
    world.ask(named("stop", "b"));
    world.ask(named("start", "b"));
    // For a process that is being stopped, a crash of the supervisor is not a start.
    world.ask(json!({ "command": "stop", "target": "process", "name": "c", "wait": false }));
    world.comes_to("c", "STOPPING");
    let (b, c) = (world.pid("b"), world.pid("c"));
    daemon.crash();
    let daemon = world.daemon();
    world.comes_to("b", "RUNNING");
    assert_eq!((world.state("a").as_str(), world.pid("b")), ("STOPPED", b));
    assert_eq!((world.state("c").as_str(), world.pid("c")), ("STOPPING", c));
    world.ask(json!({ "command": "stop", "target": "process", "name": "c", "args": { "now": true } }));
    daemon.end();
    fs::remove_file(world.path("act.log")).unwrap();
    let daemon = world.daemon();
    world.comes_to("b", "RUNNING");
    assert_eq!((world.state("a").as_str(), world.state("c").as_str()), ("STOPPED", "STOPPED"));
    // A start clears the remembered stop.
    assert_eq!(world.ask(named("start", "a"))["status"], 200);
    daemon.end();
    fs::remove_file(world.path("act.log")).unwrap();
    let daemon = world.daemon();
    world.comes_to("a", "RUNNING");
    assert_eq!(world.state("c"), "STOPPED");
    daemon.end();
    // Without `remember_stops` everything is started.
    fs::remove_file(world.path("act.log")).unwrap();
    config(false);
    let _daemon = world.daemon();
    world.comes_to("c", "RUNNING");
    world.ask(json!({ "command": "stop", "target": "process", "name": "c", "args": { "now": true } }));
}

#[test]
fn programs_are_executed_and_numbered_in_the_order_of_their_priorities() {
    let world = World::new();
    let text = |number: usize| {
        format!(
            "[programs.p{number}]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\npriority = {}\n",
            10 - number
        )
    };
    world.configure(&(1..=9).map(text).collect::<String>());
    let daemon = world.daemon();
    let names: Vec<String> = (1..=9).rev().map(|number| format!("p{number}")).collect();
    for round in 0..3 {
        names.iter().for_each(|name| world.comes_to(name, "RUNNING"));
        let started = |name: &String| taskwatcher::io::process::stat(world.pid(name)).unwrap().process.pstart;
        let times: Vec<u64> = names.iter().map(started).collect();
        assert!(times.is_sorted(), "{round}: {times:?}");
        let log = world.log();
        let spawned: Vec<&str> =
            log.lines().filter_map(|line| line.split_once("spawned: ")?.1.split(' ').next()).collect();
        assert_eq!(spawned[spawned.len() - 9..], names, "{round}: {log}");
        let jobs = world.ask(json!({ "command": "jobs" }));
        for (number, name) in names.iter().enumerate() {
            let job = jobs["content"]["jobs"].as_array().unwrap().iter().find(|job| job["number"] == number + 1);
            assert_eq!(job.map(|job| &job["process"]["name"]), Some(&json!(name)), "{jobs}");
        }
        for command in ["stop", "start"] {
            let answer = world.ask(json!({ "command": command, "target": "all" }));
            assert_eq!(answer["status"], 200, "{answer}");
        }
    }
    assert_eq!(daemon.end().code, 0);
}
