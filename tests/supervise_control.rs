//! What `control` does with tasks that a supervisor keeps running (section 8).

mod support;

use std::fs;

use serde_json::json;
use support::{World, until};
use taskwatcher::io::process;

fn lives(pid: i32) -> bool {
    process::stat(pid).is_some_and(|stat| !stat.ended)
}

const SLEEPS: &str = "command = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautorestart = \"true\"\n";

fn task_of(world: &World, name: &str) -> String {
    world.states()[name]["task_id"].to_string()
}

#[test]
fn what_control_kills_stays_down() {
    let world = World::new();
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    world.configure(&format!(
        "[programs.web]\n{SLEEPS}[programs.many]\n{SLEEPS}numprocs = 2\nstopsignal = \"INT\"\n\
         [programs.deaf]\ncommand = \"bash\"\nargs = [\"-c\", \"{deaf}\"]\nstartsecs = 0\nstopasgroup = true\n\
         stopwaitsecs = \"forever\"\n"
    ));
    let daemon = world.daemon();
    for name in ["web", "many:many_00", "many:many_01", "deaf"] {
        world.comes_to(name, "RUNNING");
    }
    let task = task_of(&world, "web");
    let ran = world.control(["kill", &task]).run().silent(0);
    assert_eq!(ran.text(), format!("task {task} (web): OK\n"), "{ran:?}");
    assert_eq!(world.state("web"), "STOPPED");
    assert_eq!(world.last().text("termerror"), "stopped by operator");
    // All of a name, however many there are; others stay.
    let pid = world.pid("many:many_01");
    let ran = world.control(["killall", "many:many_00"]).run().silent(0);
    assert!(ran.text().ends_with("(many:many_00): OK\n"), "{ran:?}");
    assert_eq!((world.state("many:many_00").as_str(), world.pid("many:many_01")), ("STOPPED", pid));
    // Without waiting, and one that does not listen at once.
    until("the trap to be set", || fs::read_to_string(world.path("deaf.stdout")).is_ok_and(|text| text == "ready\n"));
    let task = task_of(&world, "deaf");
    let ran = world.control(["kill", &task, "--no-wait"]).run().silent(0);
    assert_eq!(ran.text(), format!("task {task} (deaf): asked to end\n"));
    world.comes_to("deaf", "STOPPING");
    world.control(["kill", &task, "--now"]).run().silent(0);
    assert_eq!(world.state("deaf"), "STOPPED");
    daemon.end();
    world.is_sound();
}

#[test]
fn a_kill_past_the_supervisor_must_be_meant() {
    let world = World::new();
    world.configure(&format!("[programs.web]\n{SLEEPS}"));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), task_of(&world, "web"));
    // The signal is the program's own.
    let ran = world.control(["kill", &task, "--signal", "USR1"]).run();
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        format!(
            "control: error: cannot end task {task}: it is a run of a supervised program: its supervisor ends it with \
             the program's own stopsignal; leave --signal out, or use --force\n"
        )
    );
    assert!(lives(pid));
    // Past it, it is an end of its own, after which it is started again.
    let ran = world.control(["kill", &task, "--force"]).run().silent(0);
    assert!(ran.text().starts_with(&*format!("task {task} (web): ERROR: killed by ")), "{ran:?}");
    world.runs_again("web", pid);
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), task_of(&world, "web"));
    // Nobody is there to be asked.
    daemon.crash();
    let ran = world.control(["kill", &task]).run();
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("its supervisor does not run; start that again, or use --force"), "{ran:?}");
    assert!(lives(pid));
    world.control(["kill", &task, "--force"]).run().silent(0);
    assert!(!lives(pid));
    // It has no socket, or wants a password.
    for (table, why) in [("", "has no [unix_http_server]"), ("username = \"u\"\npassword = \"p\"", "wants a password")]
    {
        world.configure(&format!("[programs.web]\n{SLEEPS}"));
        let text = world.read("t.toml");
        let socket = "file = \"s.sock\"\n";
        let text = match table {
            "" => text.replace("[unix_http_server]\n", "").replace(socket, ""),
            more => text.replace(socket, &format!("{socket}{more}\n")),
        };
        fs::write(world.path("t.toml"), text).unwrap();
        let daemon = world.daemon_begun();
        until("it to run", || world.tasks().iter().any(|task| task.text("status") == "RUNNING"));
        let ran = world.control(["kill", &world.task().int("id").to_string()]).run();
        assert!(ran.code == 1 && ran.err.contains(why), "{ran:?}");
        daemon.end();
    }
}

#[test]
fn the_database_of_a_supervisor_is_not_replaced() {
    let world = World::new();
    world.configure(&format!("[programs.web]\n{SLEEPS}autostart = false\n"));
    let daemon = world.daemon();
    let pid = daemon.started.as_ref().unwrap().pid();
    for options in [&["initialize"][..], &["initialize", "--force"]] {
        let ran = world.control(options).run();
        assert_eq!(ran.code, 1, "{ran:?}");
        let why = format!("a supervisor works with it (pid {pid}); shut that down first");
        assert!(ran.err.contains(&why), "{ran:?}");
    }
    assert_eq!(world.ask(json!({ "command": "start", "target": "all" }))["status"], 200);
    // Its history may go at any time.
    world.control(["clear"]).run().silent(0);
    assert_eq!(world.state("web"), "RUNNING");
    daemon.end();
    world.control(["initialize"]).run().silent(0);
    assert!(world.history().is_empty());
}
