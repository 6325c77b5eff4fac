//! `control` with tasks of a supervisor.

use std::fs;

use crate::support::{
    World,
    daemon::shim_of,
    desk::{is_alive, send},
    until,
};
use nix::sys::signal::Signal;
use serde_json::json;
use taskwatcher::io::process;

const SLEEPS: &str = "command = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautorestart = \"true\"\n";

fn task_of(world: &World, name: &str) -> String {
    world.states()[name]["task_id"].to_string()
}

#[test]
fn a_killed_supervised_run_stays_down() {
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
    // All processes of a name; others keep running.
    let pid = world.pid("many:many_01");
    let ran = world.control(["killall", "many:many_00"]).run().silent(0);
    assert!(ran.text().ends_with("(many:many_00): OK\n"), "{ran:?}");
    assert_eq!((world.state("many:many_00").as_str(), world.pid("many:many_01")), ("STOPPED", pid));
    // Without waiting, and with a program that ignores the stop signal.
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
fn a_kill_that_bypasses_the_supervisor_needs_force() {
    let world = World::new();
    world.configure(&format!("[programs.web]\n{SLEEPS}"));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), task_of(&world, "web"));
    // The signal is the configured stop signal of the program.
    let ran = world.control(["kill", &task, "--signal", "USR1"]).run();
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        format!(
            "control: error: cannot end task {task}: run of a supervised program: its supervisor uses the \
             stopsignal of the program; omit --signal, or use --force\n"
        )
    );
    assert!(is_alive(pid));
    // With `--force` it counts as an ordinary end, after which the program is restarted.
    let ran = world.control(["kill", &task, "--force"]).run().silent(0);
    assert!(ran.text().starts_with(&*format!("task {task} (web): ERROR: killed by ")), "{ran:?}");
    world.runs_again("web", pid);
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), task_of(&world, "web"));
    // No supervisor is running.
    daemon.crash();
    let ran = world.control(["kill", &task]).run();
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("its supervisor is not running; start the supervisor, or use --force"), "{ran:?}");
    assert!(is_alive(pid));
    world.control(["kill", &task, "--force"]).run().silent(0);
    assert!(!is_alive(pid));
    // The supervisor has no socket, or requires a password.
    for (table, why) in
        [("", "has no [unix_http_server]"), ("username = \"u\"\npassword = \"p\"", "requires a password")]
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
        let why = format!("a supervisor uses it (pid {pid}); shut it down first");
        assert!(ran.err.contains(&why), "{ran:?}");
    }
    assert_eq!(world.ask(json!({ "command": "start", "target": "all" }))["status"], 200);
    // The history may be cleared at any time.
    world.control(["clear"]).run().silent(0);
    assert_eq!(world.state("web"), "RUNNING");
    daemon.end();
    world.control(["initialize"]).run().silent(0);
    assert!(world.history().is_empty());
}

#[test]
fn a_run_names_its_process() {
    let world = World::new();
    let program = |name: &str, script: &str| {
        format!(
            "[programs.{name}]\ncommand = \"sh\"\nargs = [\"-c\", \"{script}\"]\nstartsecs = 0\nautorestart = \"false\"\n"
        )
    };
    world.configure(
        &[
            program("job", "exit 3") + "exitcodes = [3]\n",
            program("bad", "exit 4"),
            program("killed", "kill -9 $$") + "exitcodes = [0, 137]\n",
            "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nnumprocs = 2\nexitcodes = [9]\n".to_owned(),
            "[programs.none]\ncommand = \"/no/such\"\nstartretries = 1\n".to_owned(),
        ]
        .concat(),
    );
    let daemon = world.daemon();
    for name in ["web:web_00", "web:web_01"] {
        world.comes_to(name, "RUNNING");
    }
    world.comes_to("none", "FATAL");
    let supervisor = process::stat(daemon.started.as_ref().unwrap().pid()).unwrap().process;
    let supervisor = format!("{}:{}", supervisor.pid, supervisor.pstart);
    let live = world.json(&["list"]);
    let web = live.as_array().unwrap().iter().find(|task| task["name"] == "web:web_01").unwrap();
    let of_web =
        json!({ "program": "web", "process": "web_01", "group": "web", "attempt": 1, "supervisor": supervisor });
    assert_eq!(web["supervised"], of_web);
    let task = web["taskid"].to_string();
    let shown = world.control(["show", &task]).run().silent(0);
    assert!(shown.text().contains("process web_01 of program web in group web, start 1\n"), "{}", shown.text());
    world.control(["kill", &task]).run().silent(0);
    let shown = world.control(["show", &task]).run().silent(0);
    assert!(shown.text().contains("in group web, start 1; its end was expected\n"), "{}", shown.text());
    until("all ends to be recorded", || world.history().len() == 6);
    let ends: Vec<(String, u64, bool)> = world
        .history()
        .iter()
        .map(|row| {
            let of = row.json("supervised");
            (row.text("taskname").to_owned(), of["attempt"].as_u64().unwrap(), of["expected"].as_bool().unwrap())
        })
        .collect();
    for end in [("job", 1, true), ("bad", 1, false), ("killed", 1, false), ("none", 1, false), ("none", 2, false)] {
        assert!(ends.contains(&(end.0.to_owned(), end.1, end.2)), "{end:?} in {ends:?}");
    }
    // An unobserved end has no `expected`.
    let shim = shim_of(world.pid("web:web_00"));
    let pid = world.pid("web:web_00");
    let task = world.states()["web:web_00"]["task_id"].as_i64().unwrap();
    process::signal(process::stat(shim).unwrap().process, taskwatcher::model::task::Signal::KILL).unwrap();
    process::signal(process::stat(pid).unwrap().process, taskwatcher::model::task::Signal::KILL).unwrap();
    until("its row", || world.history().iter().any(|row| row.int("taskid") == task));
    let row = world.history().into_iter().find(|row| row.int("taskid") == task).unwrap();
    assert!(row.text("outcome") == "unknown" && row.json("supervised").get("expected").is_none(), "{row:?}");
    daemon.end();
    world.is_sound();
}

#[test]
fn a_supervised_run_is_silent_as_any_other_task() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\ntimeout = 10\nautorestart = \"false\"\n",
    );
    world.control(["initialize"]).run().silent(0);
    let daemon = world.daemon();
    let status = || world.json(&["list"])[0]["status"].clone();
    until("it to run", || ["RUNNING", "SILENT"].contains(&status().as_str().unwrap_or_default()));
    until("it to be silent", || status() == "SILENT");
    world.comes_to("web", "EXITED");
    until("its row", || world.history().len() == 1);
    assert_eq!(world.last().text("outcome"), "ERROR: no heartbeat for 10s");
    assert_eq!(world.last().json("supervised")["expected"], false);
    daemon.end();
}

#[test]
fn the_last_time_a_run_was_seen_alive_dates_an_unobserved_end() {
    let world = World::new();
    world.configure(&["a", "b"].map(|name| format!("[programs.{name}]\n{SLEEPS}")).concat());
    let daemon = world.daemon();
    let names = ["a", "b"];
    names.iter().for_each(|name| world.comes_to(name, "RUNNING"));
    until("both to be seen alive, at once", || {
        let rows = world.tasks();
        let seen: Vec<i64> = rows.iter().map(|row| row.int("lastupdate")).collect();
        seen.len() == 2 && seen[0] == seen[1] && rows.iter().all(|row| row.int("lastupdate") > row.int("starttime"))
    });
    let pids: Vec<i32> = names.iter().map(|name| world.pid(name)).collect();
    let shims: Vec<i32> = pids.iter().map(|pid| shim_of(*pid)).collect();
    daemon.crash();
    // The launchers first, so that no process sees how the runs end.
    for pid in shims.into_iter().chain(pids) {
        send(pid, Signal::SIGKILL);
        until("its end", || !is_alive(pid));
    }
    let seen: Vec<i64> = world.tasks().iter().map(|row| row.int("lastupdate")).collect();
    world.control(["update"]).run().ok();
    let ends = world.history();
    assert_eq!(ends.iter().map(|row| row.int("endtime")).collect::<Vec<_>>(), seen);
    assert!(ends.iter().all(|row| row.text("outcome") == "unknown" && row.text("termerror") == "launcher lost"));
}

#[test]
fn a_copy_of_the_folder_of_a_database_has_no_supervisor() {
    let world = World::new();
    world.configure("");
    let daemon = world.daemon();
    until("the database", || world.db().exists());
    let refused = world.control(["initialize"]).run();
    assert!(refused.code != 0 && refused.err.contains("a supervisor uses it"), "{refused:?}");
    let copy = world.path("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["tasks.db", "tasks.db-supervise"] {
        world.sh(&format!("cp -a \"$W/{name}\" \"$W/copy/\"")).run().silent(0);
    }
    let db = copy.join("tasks.db").display().to_string();
    world.control(["--db", &db, "initialize", "--force"]).run().ok();
    assert_eq!(daemon.end().code, 0);
}
