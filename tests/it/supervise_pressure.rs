//! The supervisor on a machine that lacks something: descriptors, threads, processes, a database, a spool, its own
//! launcher. It continues, nothing is lost, leftovers are bounded, and no program becomes FATAL because of it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use crate::support::{PATIENCE, Program, World, daemon::named, desk::send, until};
use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::json;
use taskwatcher::io::rundir::RunDir;

/// User id of `nobody`.
const OTHER: u32 = 65534;

fn program(name: &str, script: &str, more: &str) -> String {
    format!("[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \'\'\'{script}\'\'\']\n{more}\n")
}

/// As a user to whom the limit of processes applies, which root is exempt from.
fn without_privileges(program: Program<'_>) -> Program<'_> {
    if geteuid().is_root() { program.user(OTHER) } else { program }
}

/// Returns the first line of the response to an HTTP request through the socket.
fn get(world: &World, path: &str) -> String {
    let mut stream = UnixStream::connect(world.path("s.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Sets the limit of open files of the supervisor.
fn limit_files(pid: i32, files: u64) {
    let limit = rustix::process::Rlimit { current: Some(files), maximum: Some(4096) };
    let pid = rustix::process::Pid::from_raw(pid);
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
}

#[test]
fn state_written_while_nothing_could_be_read_is_read_later() {
    let world = World::new();
    world.configure(&program("web", "exec sleep 300", "startsecs = 0\nautostart = false"));
    let daemon = world.daemon();
    let pid = daemon.started.as_ref().unwrap().pid();
    let mut known = world.connect_to_daemon();
    assert_eq!(known.ask(&named("start", "web"))["status"], 200);
    assert_eq!(known.ask(&named("stop", "web"))["status"], 200);
    let runs = RunDir::open(&RunDir::beside(&world.db())).unwrap();
    let says = |word: &str| {
        let texts = runs.list().unwrap().into_iter().filter_map(|handle| runs.read(&handle).ok()?);
        texts.filter_map(|text| String::from_utf8(text).ok()).any(|text| text.contains(word))
    };
    until("its launch to be gone", || world.processes().len() == 1);
    // Until the database can be written its launcher waits, for a moment.
    let lock = world.lock();
    let start = json!({ "command": "start", "target": "process", "name": "web", "wait": false });
    assert_eq!(known.ask(&start)["status"], 202);
    until("its launch", || says("\"starting\""));
    limit_files(pid, 3);
    until("it to run", || says("\"running\""));
    drop(lock);
    until("that to be noticed", || world.log().contains("cannot read the file of its run"));
    limit_files(pid, 1000);
    world.comes_to("web", "RUNNING");
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_missing_launcher_does_not_make_a_program_fatal() {
    let world = World::new();
    // A folder in which the supervisor finds its launcher beside itself.
    let [supervise, launch] = [env!("CARGO_BIN_EXE_supervise"), env!("CARGO_BIN_EXE_launch")].map(|program| {
        let copy = world.path(std::path::Path::new(program).file_name().unwrap().to_str().unwrap());
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
        copy
    });
    world.configure(&program("web", "exec sleep 300", "startsecs = 0\nautorestart = \"true\"\nstartretries = 0"));
    let started = world.command(supervise).arg("-n").arg("-c").arg(world.path("t.toml")).spawn();
    until("it to be ready", || world.log().contains("INFO ready"));
    world.comes_to("web", "RUNNING");
    fs::rename(&launch, world.path("away")).unwrap();
    let first = world.pid("web");
    send(first, Signal::SIGKILL);
    world.comes_to("web", "BACKOFF");
    until("more than one try", || world.log().matches("backoff: web: cannot start its shim").count() > 1);
    let web = world.states()["web"].clone();
    assert!(web["description"].as_str().unwrap().ends_with("until that passes"), "{web}");
    let answer = world.ask(named("start", "web"));
    assert_eq!(answer["error"]["code"], "ALREADY_STARTED", "{answer}");
    fs::rename(world.path("away"), &launch).unwrap();
    world.runs_again("web", first);
    assert!(!world.log().contains("fatal"), "{}", world.log());
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code, 0);
}

#[test]
fn a_page_without_a_thread_gets_503_and_works_later() {
    let world = World::new();
    world.configure(&program("web", "exec sleep 300", "startsecs = 0"));
    if geteuid().is_root() {
        std::os::unix::fs::chown(world.path(""), Some(OTHER), Some(OTHER)).unwrap();
    }
    let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("t.toml"));
    let started = without_privileges(program).spawn();
    until("it to be ready", || world.log().contains("INFO ready"));
    world.comes_to("web", "RUNNING");
    let limit = |processes: &str| {
        let pid = started.pid().to_string();
        let text = format!("--nproc={processes}:");
        without_privileges(world.command("prlimit").arg("--pid").arg(pid).arg(text)).run().ok();
    };
    limit("0");
    for path in ["/", "/metrics", "/api/status"] {
        assert_eq!(get(&world, path), "HTTP/1.1 503 Service Unavailable");
        assert_eq!(world.state("web"), "RUNNING");
    }
    limit("1000");
    assert_eq!(get(&world, "/api/status"), "HTTP/1.1 200 OK");
    // The threads that read the database are separate.
    limit("0");
    assert_ne!(get(&world, "/tasks"), "HTTP/1.1 200 OK");
    limit("1000");
    assert_eq!(get(&world, "/tasks"), "HTTP/1.1 200 OK");
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code, 0);
}

#[test]
fn a_connection_over_the_limit_is_refused_in_its_own_protocol() {
    let world = World::new();
    world.configure("");
    let daemon = world.daemon();
    limit_files(daemon.started.as_ref().unwrap().pid(), 4000);
    let mut others: Vec<_> = (0..256).map(|_| world.connect_to_daemon()).collect();
    until("all of them to be let in", || get(&world, "/metrics") == "HTTP/1.1 503 Service Unavailable");
    let answer = world.ask(json!({ "command": "version" }));
    assert_eq!(answer["error"]["message"], "too many connections; try again later", "{answer}");
    assert_eq!(others[0].ask(&json!({ "command": "version" }))["status"], 200);
    drop(others);
    until("room", || get(&world, "/metrics") == "HTTP/1.1 200 OK");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn runs_without_a_spool_are_recorded_in_the_database() {
    let world = World::new();
    fs::create_dir(world.path("tasks.db-spool")).unwrap();
    world.configure(&program("web", "exit 3", "startsecs = 0\nautorestart = \"false\""));
    let daemon = world.daemon();
    until("its end to be recorded", || world.history().len() == 1);
    let row = world.last();
    assert_eq!((row.int("exitcode"), row.text("outcome")), (3, "ERROR: exit code 3"), "{row:?}");
    assert!(world.log().contains("cannot reserve room for the end of the run"), "{}", world.log());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn while_the_database_cannot_be_written_launchers_do_not_accumulate_and_nothing_is_lost() {
    let world = World::new();
    let with = "startsecs = 0\nautorestart = \"true\"";
    world.configure_with("restart_throttle = 0.5", &program("web", "echo x >>$W/runs; exit 3", with));
    world.control(["initialize"]).run().ok();
    let locked = world.lock();
    let daemon = world.daemon();
    let runs = || fs::read_to_string(world.path("runs")).unwrap_or_default().lines().count();
    until("many runs", || runs() > 30);
    // Each launcher waits some seconds for the database; older ones are gone.
    let launchers = world.processes().len();
    assert!(launchers < 25, "{launchers} processes after {} runs", runs());
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    let count = runs();
    assert_eq!(daemon.end().code, 0);
    until("all launchers to be gone", || world.processes().is_empty());
    drop(locked);
    world.configure_with("restart_throttle = 0.5", &program("web", "exit 3", "autostart = false"));
    let daemon = world.daemon();
    until("all of them to be recorded", || world.history().len() >= count && world.tasks().is_empty());
    let rows = world.history();
    let handles: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.text("handle")).collect();
    assert_eq!((rows.len(), handles.len()), (count, count), "each once");
    assert!(rows.iter().all(|row| row.int("exitcode") == 3 && row.text("taskname") == "web"), "{rows:?}");
    assert_eq!(daemon.end().code, 0);
    world.is_sound();
}

#[test]
fn one_hook_per_process_runs_at_a_time_and_the_next_reports_the_newest_state() {
    let world = World::new();
    let hook = "on_event = [\"sh\", \"-c\", \"echo $TASKMASTER_STATE $TASKMASTER_SERVER_URL >>$W/hooks; until test -e $W/go; do sleep 0.05; done\"]\n\
                on_states = [\"EXITED\", \"STOPPED\"]";
    let with = format!("startsecs = 0\nautorestart = \"true\"\n{hook}");
    world.configure_with("restart_throttle = 0.1", &program("web", "echo x >>$W/runs; sleep 0.1", &with));
    let daemon = world.daemon();
    let lines = |name: &str| fs::read_to_string(world.path(name)).unwrap_or_default().lines().count();
    until("many runs", || lines("runs") > 15);
    assert_eq!(lines("hooks"), 1, "{}", world.read("hooks"));
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    fs::write(world.path("go"), "").unwrap();
    until("the newest one", || lines("hooks") == 2);
    let url = format!("unix://{}", world.path("s.sock").display());
    assert_eq!(world.read("hooks"), format!("EXITED {url}\nSTOPPED {url}\n"));
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_hook_is_relative_to_its_file_and_its_failure_is_reported() {
    let world = World::new();
    world.program("hook.sh", "#!/bin/sh\necho $1 >>$W/hooks\nexit 7\n");
    let hook = "on_event = [\"./hook.sh\", \"%(program_name)s\"]\non_states = [\"RUNNING\"]";
    world.configure(&program("web", "exec sleep 300", &format!("startsecs = 0\n{hook}")));
    let daemon = world.daemon();
    assert_eq!(world.line("hooks"), "web");
    until("that it failed", || world.log().contains("WARN warning: web: its hook failed: exit status 7"));
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn unknown_names_are_an_http_error() {
    let world = World::new();
    world.configure(&program("web", "exec sleep 300", "autostart = false"));
    let daemon = world.daemon();
    for (command, target, name) in [
        ("stop", "program", "zz*"),
        ("stop", "group", "nope"),
        ("start", "process", "nope:*"),
        ("restart", "program", "zz*"),
        ("pid", "group", "nope"),
    ] {
        let answer = world.ask(json!({ "command": command, "target": target, "name": name }));
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(404), &json!("BAD_NAME")), "{answer}");
    }
    let ran = world.ctl(&["stop", "zz*"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(daemon.end().code, 0);
}
