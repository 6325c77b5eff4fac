//! The messages of the client with a real supervisor: errors are named, with remedies.

use crate::support::{World, daemon::named, eventually, until};
use serde_json::json;

/// Two programs that run, one that does not, and a group.
const PROGRAMS: &str = "[programs.web]\ncommand = \"sh\"\nargs = [\"-c\", \"echo served; exec sleep 1000\"]\nstartsecs = 0\n\
    [programs.cat]\ncommand = \"cat\"\nstdin = \"pipe\"\nstartsecs = 0\n\
    [programs.idle]\ncommand = \"sleep\"\nargs = [\"1000\"]\nautostart = false\n\
    [programs.mail]\ncommand = \"sleep\"\nargs = [\"1000\"]\nautostart = false\n[groups.back]\nprograms = [\"mail\"]\n";

fn world() -> World {
    let world = World::new();
    world.configure(PROGRAMS);
    world
}

#[test]
fn each_unknown_job_is_reported() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let ran = world.ctl(&["jobs", "web", "nosuch", "none"]).silent(1);
    let lines: Vec<&str> = ran.text().lines().collect();
    assert!(lines[0].contains("sh -c"), "{lines:?}");
    assert_eq!(lines[1..], ["nosuch: ERROR (no such process)", "none: ERROR (no such process)"]);
    let ran = world.ctl(&["jobs", "nosuch", "none"]).silent(1);
    assert_eq!(ran.text().lines().count(), 2, "{ran:?}");
    assert_eq!(world.ctl(&["jobs", "nosuch"]).silent(1).text(), "nosuch: ERROR (no such process)\n");
    // A process that was never started is known, but is not a job.
    assert_eq!(world.ctl(&["jobs", "idle"]).silent(0).text(), "");
}

#[test]
fn an_unknown_name_fails_the_whole_request() {
    let world = world();
    let _daemon = world.daemon();
    for (kind, name) in [("program", "zz*"), ("group", "nope"), ("process", "nope:*"), ("process", "nosuch")] {
        for command in ["jobs", "pid", "status", "stop", "clear"] {
            let answer = world.ask(json!({ "command": command, "target": kind, "name": name }));
            assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(404), &json!("BAD_NAME")), "{answer}");
        }
    }
}

#[test]
fn output_to_a_stream_of_the_supervisor_has_no_file() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstdout = \"/dev/stdout\"\nstdout_maxbytes = 0\n",
    );
    let _daemon = world.daemon();
    let ran = world.ctl(&["tail", "web"]).silent(1);
    assert_eq!(ran.text(), "web: ERROR (its stdout goes to /dev/stdout, not to a file)\n");
}

#[test]
fn the_log_of_a_run_must_belong_to_the_named_process() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("cat", "RUNNING");
    let task = eventually("it to be a task", || world.states()["web"]["task_id"].as_i64()).to_string();
    until("its output", || world.ctl(&["tail", "web", "--run", &task]).text().contains("served\n"));
    let ran = world.ctl(&["tail", "cat", "--run", &task]).silent(1);
    assert_eq!(ran.text(), format!("cat: ERROR (task {task} is a run of web)\n"));
    let ran = world.ctl(&["tail", "web", "--run", "99999"]).silent(1);
    assert_eq!(ran.text(), "web: ERROR (no task 99999)\n");
    // An unrelated task is not a run of any process.
    world.launch(["--", "true"]).run().ok();
    let other = world.last().int("taskid").to_string();
    let ran = world.ctl(&["tail", "web", "--run", &other]).silent(1);
    assert_eq!(ran.text(), format!("web: ERROR (task {other} is not a run of a program)\n"));
    // Also after the end of the process.
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    until("its end to be recorded", || world.history().iter().any(|row| row.text("taskname") == "web"));
    assert!(world.ctl(&["tail", "web", "--run", &task]).silent(0).text().contains("served\n"));
    world.ctl(&["tail", "cat", "--run", &task]).silent(1);
    // The log contains both streams.
    let ran = world.ctl(&["tail", "web", "stderr", "--run", &task]);
    assert_eq!((ran.code, ran.text()), (2, ""), "{ran:?}");
}

#[test]
fn a_history_of_an_unknown_process_is_an_error() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    assert_eq!(world.ctl(&["history", "nosuch"]).silent(1).text(), "nosuch: ERROR (no such process)\n");
    assert!(world.ctl(&["history", "idle"]).silent(0).text().starts_with("TASKID"), "it has not run yet");
    until("its run to be a task", || world.states()["web"]["task_id"].is_i64());
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    assert_eq!(world.ctl(&["remove", "web"]).silent(0).text(), "web: removed\n");
    until("its run in the history", || world.ctl(&["history", "web"]).text().lines().count() == 2);
    assert_eq!(world.ctl(&["history", "web"]).code, 0);
}

#[test]
fn a_disowned_process_is_shown_as_such_until_it_is_started_again() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    assert_eq!(world.ctl(&["disown", "web"]).silent(0).text(), "web: disowned\n");
    let description = || world.states()["web"]["description"].as_str().unwrap_or_default().to_owned();
    assert_eq!(description(), format!("disowned, pid {pid} was left running"));
    world.ctl(&["start", "web"]).silent(0);
    assert_ne!(world.pid("web"), pid);
    world.ctl(&["stop", "web"]).silent(0);
    assert!(description().starts_with("stopped "), "{}", description());
}

#[test]
fn processes_that_keep_running_after_a_shutdown_are_reported() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("cat", "RUNNING");
    let ran = world.ctl(&["shutdown", "--leave-running"]).silent(0);
    assert_eq!(ran.text(), "shutting down (2 processes keep running)\n");
}

#[test]
fn errors_come_with_a_remedy() {
    let world = World::new();
    world.configure_with(
        "",
        &PROGRAMS
            .replace("[programs.idle]", "[programs.missing]\ncommand = \"/nope\"\nautostart = false\n[programs.idle]"),
    );
    let text = world.read("t.toml").replace("logfile = \"act.log\"", "logfile = \"none\"");
    std::fs::write(world.path("t.toml"), text).unwrap();
    let _daemon = world.daemon_begun();
    until("the supervisor", || std::os::unix::net::UnixStream::connect(world.path("s.sock")).is_ok());
    world.comes_to("web", "RUNNING");
    let ran = world.ctl(&["start", "back"]).silent(1);
    assert_eq!(ran.text(), "back: ERROR (no such process; for the group use back:*)\n");
    let ran = world.ctl(&["remove", "web"]).silent(1);
    assert_eq!(ran.text(), "web: ERROR (still running: web; stop first, or use --stop)\n");
    // The text of Supervisor.
    assert_eq!(world.ctl(&["start", "missing"]).silent(1).text(), "missing: ERROR (no such file)\n");
    world.ctl(&["maintail"]).says(1, &["the supervisor keeps no log"]);
    assert_eq!(world.ask(json!({ "command": "maintail" }))["error"]["code"], "NO_FILE");
}

#[test]
fn without_waiting_the_progress_is_reported_and_the_action_continues() {
    let world = World::new();
    world.configure("[programs.slow]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 4\nautostart = false\n");
    let daemon = world.daemon();
    let start = json!({ "command": "start", "target": "process", "name": "slow", "timeout": 0.2 });
    let answer = world.ask(start);
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(504), &json!("TIMEOUT")), "{answer}");
    assert_eq!(answer["content"]["results"][0]["process"]["state"], "STARTING", "{answer}");
    world.comes_to("slow", "RUNNING");
    assert_eq!(daemon.end().code, 0);
}
