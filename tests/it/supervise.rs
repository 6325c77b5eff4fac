//! The supervisor: the real daemon with real processes, accessed through its real socket.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use crate::support::{
    World,
    daemon::{Client, named, shim_of, times},
    eventually, timed, until,
};
use nix::sys::signal::Signal;
use serde_json::json;
use taskwatcher::io::process;

#[test]
fn programs_are_started_reported_and_recorded() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\ninfo1 = \"x\"\n\
         [programs.job]\ncommand = \"sh\"\nargs = [\"-c\", \"echo out; echo err >&2\"]\nstartsecs = 0\n\
         [programs.later]\ncommand = \"sleep\"\nargs = [\"300\"]\nautostart = false\n",
    );
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("job", "EXITED");
    let states = world.states();
    let web = &states["web"];
    assert!(
        web["pid"].as_i64().unwrap() > 0 && web["description"].as_str().unwrap().contains("uptime 0:00:0"),
        "{web}"
    );
    assert_eq!(
        (&states["later"]["state"], &states["later"]["description"]),
        (&json!("STOPPED"), &json!("Not started"))
    );
    let job = &states["job"];
    assert_eq!((&job["exit_code"], &job["expected"], &job["pid"]), (&json!(0), &json!(true), &json!(0)));
    until("the log of the job", || world.path("job.stdout").exists() && world.read("job.stdout") == "out\n");
    assert_eq!(world.read("job.stderr"), "err\n");
    let list = world.json(&["list"]);
    assert_eq!(
        (&list[0]["name"], &list[0]["status"], &list[0]["info1"]),
        (&json!("web"), &json!("RUNNING"), &json!("x"))
    );
    assert_eq!(list[0]["taskid"], web["task_id"]);
    until("the job in history", || world.history().iter().any(|row| row.text("taskname") == "job"));
    assert_eq!(world.last().text("outcome"), "OK");
    // The client prints the texts of supervisorctl.
    let status = world.ctl(&["status"]);
    assert_eq!(status.code, 3, "one is down: {status:?}");
    assert!(
        status.text().lines().any(|line| line.starts_with("web ") && line.contains("RUNNING   pid ")),
        "{}",
        status.text()
    );
    assert_eq!(world.ctl(&["start", "later"]).silent(0).text(), "later: started\n");
    assert_eq!(world.ctl(&["start", "later"]).silent(0).text(), "later: ERROR (already started)\n");
    assert_eq!(world.ctl(&["stop", "later"]).silent(0).text(), "later: stopped\n");
    assert_eq!(world.ctl(&["pid", "web"]).silent(0).text(), format!("{}\n", web["pid"]));
    let ran = daemon.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    until("no task to be left", || world.tasks().is_empty());
    let ends: Vec<(String, String)> =
        world.history().iter().map(|row| (row.text("taskname").to_owned(), row.text("outcome").to_owned())).collect();
    assert_eq!(ends.iter().filter(|(name, _)| name == "web").count(), 1);
    assert!(ends.iter().all(|(_, outcome)| outcome == "OK"), "{ends:?}");
    assert!(!world.path("s.sock").exists() && !world.path("s.pid").exists());
    world.is_sound();
}

#[test]
fn a_failed_start_is_repeated_after_1_2_and_3_seconds_and_then_fatal() {
    let world = World::new();
    world.configure(
        "[programs.bad]\ncommand = \"/bin/false\"\n[programs.once]\ncommand = \"/bin/false\"\nstartretries = 0\n",
    );
    let _daemon = world.daemon();
    world.comes_to("once", "FATAL");
    world.comes_to("bad", "FATAL");
    let log = world.log();
    let spawned = times(&log, "spawned: bad");
    assert_eq!(spawned.len(), 4, "{log}");
    for (seen, meant) in spawned.iter().zip([0.0, 1.0, 3.0, 6.0]) {
        // On a busy machine it may be later, never earlier.
        assert!(*seen > meant - 0.05 && *seen < meant + 5.0, "{spawned:?}");
    }
    assert_eq!(times(&log, "spawned: once").len(), 1);
    let last: Vec<&str> =
        log.lines().filter(|line| line.contains(": bad") && !line.contains(" DEBG ")).rev().take(2).collect();
    assert!(last[0].contains("fatal: bad") && last[1].contains("backoff: bad"), "{last:?}");
    assert_eq!(world.states()["bad"]["description"], "exited too quickly (exit status 1); gave up after 4 starts");
    // FATAL is final until a start, which resets the count of attempts.
    let answer = world.ask(named("start", "bad"));
    assert_eq!(answer["error"]["code"], "ABNORMAL_TERMINATION", "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().ends_with("; retrying (1 of 3)"), "{answer}");
    // A stop in BACKOFF; a start after it also has all attempts.
    assert_eq!(world.ask(named("stop", "bad"))["status"], 200);
    assert_eq!(world.state("bad"), "STOPPED");
    world.ask(json!({ "command": "start", "target": "process", "name": "bad", "wait": false }));
    world.comes_to("bad", "FATAL");
    assert_eq!(times(&world.log(), "spawned: bad").len(), 4 + 1 + 4);
    // Each run is recorded by its own shim, after the supervisor knows of its end.
    until("all of them to be recorded", || world.history().len() == 10);
}

#[test]
fn a_program_that_cannot_be_executed_is_reported_at_once_and_recorded() {
    let world = World::new();
    fs::write(world.path("plain"), "").unwrap();
    world.configure(&format!(
        "[programs.none]\ncommand = \"no-such-program\"\nautostart = false\n\
         [programs.plain]\ncommand = \"{0}/plain\"\nautostart = false\n\
         [programs.dir]\ncommand = \"{0}\"\nautostart = false\n\
         [programs.lost]\ncommand = \"sleep\"\ndirectory = \"/no/dir\"\nstartretries = 0\n\
         [programs.auto]\ncommand = \"no-such-program\"\nstartretries = 0\n",
        world.path("").display()
    ));
    let _daemon = world.daemon();
    let code = |name: &str| {
        let answer = world.ask(named("start", name));
        assert_eq!(world.state(name), "STOPPED", "the state stays");
        (answer["status"].as_i64().unwrap(), answer["error"]["message"].as_str().unwrap().to_owned())
    };
    let (status, why) = code("none");
    assert!(status == 404 && why.starts_with("command not found: no-such-program (searched PATH="), "{why}");
    let (status, why) = code("plain");
    assert!(status == 422 && why.starts_with("not executable: "), "{why}");
    let (status, why) = code("dir");
    assert!(status == 422 && why.ends_with(" is a directory"), "{why}");
    world.comes_to("lost", "FATAL");
    world.comes_to("auto", "FATAL");
    let why = "cannot change directory to /no/dir: No such file or directory";
    assert_eq!(world.states()["lost"]["description"], format!("{why}; gave up after 1 start"));
    until("both to be recorded", || world.history().len() == 2);
    let rows = world.history();
    let lost = rows.iter().find(|row| row.text("taskname") == "lost").unwrap();
    assert_eq!((lost.text("termerror"), lost.is_null("pid")), (&*format!("spawn: {why}"), true));
}

#[test]
fn programs_are_restarted_after_unexpected_ends() {
    let world = World::new();
    let program = |name: &str, script: &str, more: &str| {
        format!("[programs.{name}]\ncommand = \"sh\"\nargs = [\"-c\", \"{script}\"]\nstartsecs = 0\n{more}\n")
    };
    world.configure(
        &[
            program("good", "exit 0", ""),
            program("three", "exit 3", "exitcodes = [3]"),
            program("never", "exit 1", "autorestart = \"false\""),
            program("killed", "kill -9 $$", "exitcodes = [137, 9, 0]"),
            program("always", "exit 0", "autorestart = \"true\""),
        ]
        .concat(),
    );
    let _daemon = world.daemon();
    for name in ["good", "three", "never"] {
        world.comes_to(name, "EXITED");
    }
    assert_eq!(world.states()["three"]["expected"], true);
    assert_eq!(world.states()["never"]["expected"], false);
    // An end by a signal is never expected, and nothing is started more often than once per second.
    until("several starts", || {
        times(&world.log(), "spawned: killed").len() > 2 && times(&world.log(), "spawned: always").len() > 2
    });
    for name in ["spawned: killed", "spawned: always"] {
        let spawned = times(&world.log(), name);
        // The log has the time of the exec, which a busy machine may delay once and not the next time.
        assert!(spawned.windows(2).all(|pair| pair[1] - pair[0] > 0.6), "{spawned:?}");
    }
    assert!(world.log().contains("WARN exited: killed") && world.log().contains("killed by SIGKILL; not expected"));
    assert!(world.log().contains("INFO exited: always"));
    assert_eq!(times(&world.log(), "spawned: three").len(), 1);
    // The next start of a waiting program can be cancelled.
    assert_eq!(world.ask(named("stop", "always"))["status"], 200);
    assert_eq!(world.state("always"), "STOPPED");
}

#[test]
fn a_stop_reaches_the_process_or_the_group_as_configured() {
    let world = World::new();
    let deaf = "trap '' TERM; echo $$ >$W/deaf; while :; do sleep 0.1; done";
    let family =
        format!("sh -c \\\"{}\\\" & trap 'exit 0' TERM; while :; do sleep 0.1; done", deaf.replace('$', "\\\\$"));
    let program = |name: &str, script: &str, more: &str| {
        format!(
            "[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"{script}\"]\nautostart = false\nstartsecs = 0\n{more}\n"
        )
    };
    world.configure(
        &[
            program("deaf", deaf, "stopwaitsecs = 1"),
            program("family", &family, "stopasgroup = true\nstopwaitsecs = 1"),
            program("alone", &family, ""),
            program("paused", "sleep 300", "stopwaitsecs = 30"),
        ]
        .concat(),
    );
    let _daemon = world.daemon();
    let pid = || world.line("deaf").parse::<i32>().unwrap();
    let lives = |pid: i32| process::stat(pid).is_some_and(|stat| !stat.ended);
    world.ask(named("start", "deaf"));
    let first = pid();
    let (answer, took) = timed(|| world.ask(named("stop", "deaf")));
    assert_eq!(answer["status"], 200);
    assert!(took > Duration::from_millis(900) && !lives(first), "it had its second");
    assert_eq!(world.states()["deaf"]["exit_signal"], "SIGKILL");
    assert!(world.log().contains("WARN killing: deaf"));
    fs::remove_file(world.path("deaf")).unwrap();
    // The leader ends at once, a member of its group does not: the stop is complete when both are gone.
    world.ask(named("start", "family"));
    let member = pid();
    let answer = world.ask(named("stop", "family"));
    assert_eq!((answer["status"].as_i64(), lives(member)), (Some(200), false));
    fs::remove_file(world.path("deaf")).unwrap();
    // Without `stopasgroup` the member is left alone, counted and reported.
    world.ask(named("start", "alone"));
    let member = pid();
    let (answer, took) = timed(|| world.ask(named("stop", "alone")));
    assert!(answer["status"] == 200 && lives(member) && took < Duration::from_secs(5));
    assert!(world.states()["alone"]["leftover"].as_i64().unwrap() >= 1);
    assert!(world.log().contains("WARN warning: alone: ") && world.log().contains("still alive"), "{}", world.log());
    // A paused program still receives requests.
    world.ask(named("start", "paused"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(world.pid("paused")), Signal::SIGSTOP).unwrap();
    let (answer, took) = timed(|| world.ask(named("stop", "paused")));
    assert!(answer["status"] == 200 && took < Duration::from_secs(10), "no SIGKILL was needed");
    assert_eq!(world.states()["paused"]["exit_signal"], "SIGTERM");
    // A second stop need not wait.
    fs::remove_file(world.path("deaf")).unwrap();
    world.ask(named("start", "deaf"));
    pid();
    let mut client = world.connect_to_daemon();
    client.send(&named("stop", "deaf"));
    world.comes_to("deaf", "STOPPING");
    let refused = world.ask(named("start", "deaf"));
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(409), &json!("STOPPING")));
    let now = world.ask(json!({ "command": "stop", "target": "process", "name": "deaf", "args": { "now": true } }));
    assert_eq!((&now["status"], &client.line()["status"]), (&json!(200), &json!(200)));
}

#[test]
fn after_a_crash_the_next_supervisor_finds_everything_unchanged() {
    let world = World::new();
    let config = |sleep: &str| {
        format!(
            "[programs.same]\ncommand = \"sleep\"\nargs = [\"300\"]\n[programs.other]\ncommand = \"sleep\"\nargs = [\"{sleep}\"]\n\
             [programs.many]\ncommand = \"sleep\"\nargs = [\"302\"]\nnumprocs = 3\n"
        )
    };
    world.configure(&(config("301") + "[programs.gone]\ncommand = \"sleep\"\nargs = [\"303\"]\n"));
    let daemon = world.daemon();
    for name in ["same", "other", "gone", "many:many_00", "many:many_01", "many:many_02"] {
        world.comes_to(name, "RUNNING");
    }
    let before = world.states();
    daemon.crash();
    // Without the supervisor, all tasks are still listed as running.
    assert_eq!(world.json(&["list"]).as_array().unwrap().len(), 6);
    world.configure(&config("999"));
    let daemon = world.daemon();
    world.comes_to("other", "RUNNING");
    let after = world.states();
    for name in ["same", "many:many_00", "many:many_01", "many:many_02"] {
        for key in ["pid", "task_id", "start"] {
            assert_eq!(before[name][key], after[name][key], "{name} {key}");
        }
        assert_eq!(after[name]["adopted"], true);
    }
    assert_ne!(before["other"]["pid"], after["other"]["pid"], "what it runs was changed meanwhile");
    until("the one that is no longer configured to be gone", || !world.states().contains_key("gone"));
    let gone = i32::try_from(before["gone"]["pid"].as_i64().unwrap()).unwrap();
    assert!(process::stat(gone).is_none_or(|stat| stat.ended));
    // An end that only its shim saw is known, and an adopted program is stopped like any other.
    let pid = world.pid("same");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    world.runs_again("same", pid);
    assert!(world.log().contains("exited: same") && world.log().contains("killed by SIGKILL; not expected"));
    assert_eq!(world.ask(named("stop", "many:*"))["status"], 200);
    assert_eq!(daemon.end().code, 0);
    until("all to be recorded", || world.tasks().is_empty());
    let mut names: Vec<String> = world.history().iter().map(|row| row.text("taskname").to_owned()).collect();
    names.sort_unstable();
    let many = ["many:many_00", "many:many_01", "many:many_02"];
    assert_eq!(names, [&["gone"], &many[..], &["other", "other", "same", "same"]].concat());
    world.is_sound();
}

#[test]
fn survivors_are_stopped_or_left_alone_as_configured() {
    for orphans in ["stop", "leave"] {
        let world = World::new();
        let program = "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n";
        world.configure(program);
        let daemon = world.daemon();
        world.comes_to("web", "RUNNING");
        let pid = world.pid("web");
        daemon.crash();
        world.configure_with(&format!("orphans = \"{orphans}\""), program);
        let daemon = world.daemon();
        match orphans {
            "stop" => {
                world.runs_again("web", pid);
                assert!(process::stat(pid).is_none_or(|stat| stat.ended));
            }
            _ => {
                assert_eq!(world.state("web"), "UNKNOWN");
                assert!(process::stat(pid).is_some_and(|stat| !stat.ended), "it is left alone");
                let answer = world.ask(named("start", "web"));
                assert_eq!(answer["error"]["code"], "FAILED", "{answer}");
            }
        }
        daemon.end();
    }
}

#[test]
fn a_run_whose_launcher_is_killed_is_still_watched() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    let shim = shim_of(pid);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    until("that to be noticed", || world.log().contains("lost: web: its shim is gone"));
    assert_eq!((world.state("web").as_str(), world.pid("web")), ("RUNNING", pid));
    // Its end is detected, but not how it ended; an unknown end is not expected.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    world.runs_again("web", pid);
    assert!(world.log().contains("exit status not observed; not expected"), "{}", world.log());
    // A run without a launcher can be stopped.
    let pid = world.pid("web");
    let shim = shim_of(pid);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), Signal::SIGKILL).unwrap();
    until("that to be noticed", || world.log().matches("lost: web: its shim is gone").count() == 2);
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    assert!(process::stat(pid).is_none_or(|stat| stat.ended));
    daemon.end();
    world.control(["update"]).run().ok();
    let ends: Vec<String> = world.history().iter().map(|row| row.text("outcome").to_owned()).collect();
    assert_eq!(ends, ["unknown", "unknown"]);
}

#[test]
fn a_locked_database_delays_no_start_and_no_stop() {
    let world = World::new();
    let program = |name: &str, more: &str| {
        let script = "echo $TASKWATCHER_HANDLE >>$W/runs; exec sleep 300";
        format!("[programs.{name}]\ncommand = \"sh\"\nargs = [\"-c\", \"{script}\"]\nstartsecs = 0\n{more}\n")
    };
    world.configure(&[program("web", ""), program("late", "autostart = false")].concat());
    world.control(["initialize"]).run().ok();
    let lock = || {
        let db = rusqlite::Connection::open(world.db()).unwrap();
        db.execute_batch("BEGIN EXCLUSIVE").unwrap();
        db
    };
    let ran = std::cell::Cell::new(1);
    let soon = |command: &str, name: &str| {
        let (answer, took) = timed(|| world.ask(named(command, name)));
        assert_eq!(answer["status"], 200, "{command} {name}: {answer}");
        assert!(took < Duration::from_secs(5), "{command} {name}: {took:?}");
        // Each run has reported its pid before it is ended.
        ran.set(ran.get() + usize::from(command != "stop"));
        until("it to say so", || world.read("runs").lines().count() == ran.get());
    };
    // Locked before the supervisor starts: it starts, and so do its programs.
    let locked = lock();
    let (daemon, took) = timed(|| world.daemon());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let ((), took) = timed(|| world.comes_to("web", "RUNNING"));
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.line("runs");
    soon("stop", "web");
    drop(locked);
    // The waiting run becomes a task as soon as possible; the next start of the program is a task at once.
    soon("start", "web");
    until("it to be a task", || world.states()["web"]["task_id"].is_i64());
    // Locked later: the first start detects it, the others know.
    let locked = lock();
    soon("start", "late");
    soon("stop", "late");
    soon("start", "late");
    soon("restart", "web");
    soon("restart", "late");
    soon("restart", "late");
    let status = world.ask(json!({ "command": "status" }));
    assert_eq!(status["content"]["daemon"]["database"]["ok"], false, "{status}");
    assert!(world.log().contains("not recorded as a task yet"));
    // A readable database is not necessarily writable.
    drop(locked);
    let locked = rusqlite::Connection::open(world.db()).unwrap();
    locked.execute_batch("BEGIN IMMEDIATE").unwrap();
    soon("restart", "late");
    let status = || world.ask(json!({ "command": "status" }))["content"]["daemon"]["database"]["ok"].clone();
    until("that to be known", || {
        assert_eq!(world.ask(json!({ "command": "history", "name": "late", "target": "process" }))["status"], 200);
        status() == false
    });
    assert_eq!(world.ask(json!({ "command": "history", "name": "late", "target": "process" }))["status"], 200);
    assert_eq!(status(), false);
    let (stops, took) = timed(|| world.ask(json!({ "command": "stop", "target": "all" })));
    assert!(stops["status"] == 200 && took < Duration::from_secs(5), "{took:?}");
    drop(locked);
    // No process reports it, but it is detected soon.
    until("the database to be well", || status() == true);
    assert_eq!(daemon.end().code, 0);
    // Some ends may be in the spool, from which the next reader moves them.
    let runs = world.read("runs");
    let mut runs: Vec<&str> = runs.lines().collect();
    runs.sort_unstable();
    assert_eq!(runs.len(), 8, "web three times, late five times");
    until("all of them to be recorded", || {
        world.control(["update"]).run().ok();
        world.tasks().is_empty() && world.history().len() >= runs.len()
    });
    let rows = world.history();
    let mut recorded: Vec<&str> = rows.iter().map(|row| row.text("handle")).collect();
    recorded.sort_unstable();
    assert_eq!(recorded, runs, "one row each");
    let names: Vec<&str> = rows.iter().map(|row| row.text("taskname")).collect();
    assert_eq!(names.iter().filter(|name| **name == "late").count(), 5);
    world.is_sound();
}

#[test]
fn a_reload_touches_only_what_changed_and_a_broken_file_changes_nothing() {
    let world = World::new();
    let config = |more: &str, sleep: &str, numprocs: u32, stop: &str| {
        format!(
            "[programs.same]\ncommand = \"sleep\"\nargs = [\"300\"]\n[programs.cold]\ncommand = \"sleep\"\nargs = [\"{sleep}\"]\n\
             [programs.hot]\ncommand = \"sleep\"\nargs = [\"302\"]\nstopsignal = \"{stop}\"\n\
             [programs.many]\ncommand = \"sleep\"\nargs = [\"303\"]\nnumprocs = {numprocs}\n{more}"
        )
    };
    world.configure(&config("[programs.old]\ncommand = \"sleep\"\nargs = [\"304\"]\n", "301", 3, "TERM"));
    let daemon = world.daemon();
    for name in ["same", "cold", "hot", "old", "many:many_00", "many:many_01", "many:many_02"] {
        world.comes_to(name, "RUNNING");
    }
    let before = world.states();
    // Invalid: every error is reported, and nothing happens.
    let good = world.read("t.toml");
    fs::write(world.path("t.toml"), format!("{good}[programs.x]\ncommand = \"\"\nstopsignal = \"FOO\"\n")).unwrap();
    let answer = world.ask(json!({ "command": "reload" }));
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(422), &json!("CANT_REREAD")));
    assert_eq!(answer["error"]["details"].as_array().unwrap().len(), 2, "{answer}");
    daemon.signal(Signal::SIGHUP);
    until("that to be logged", || {
        world.log().matches("the configuration has errors; nothing was changed").count() == 2
    });
    assert_eq!(world.states().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    // Changed: only processes that differ are touched.
    world.configure(&config("[programs.new]\ncommand = \"sleep\"\nargs = [\"305\"]\n", "999", 2, "INT"));
    assert_eq!(world.states()["cold"]["config_changed"], true);
    assert_eq!(world.states()["same"]["config_changed"], false);
    let dry = world.ask(json!({ "command": "reread" }))["content"].clone();
    assert_eq!((&dry["added"], &dry["restarted"]), (&json!(["new"]), &json!(["cold"])));
    let done = world.ask(json!({ "command": "reload" }))["content"].clone();
    assert_eq!(done["removed"], json!(["many:many_02", "old"]));
    assert_eq!((&done["updated"], &done["unchanged"]), (&json!(["hot"]), &json!(3)), "{done}");
    let after = world.states();
    assert_eq!(
        after.keys().map(String::as_str).collect::<Vec<_>>(),
        ["cold", "hot", "many:many_00", "many:many_01", "new", "same"]
    );
    for name in ["same", "hot", "many:many_00", "many:many_01"] {
        assert_eq!(before[name]["pid"], after[name]["pid"], "{name}");
    }
    assert_ne!(before["cold"]["pid"], after["cold"]["pid"]);
    assert_eq!(after["new"]["state"], "RUNNING");
    assert_eq!(world.ask(named("stop", "hot"))["status"], 200);
    assert_eq!(world.states()["hot"]["exit_signal"], "SIGINT");
    // A process that an operator stopped stays stopped.
    world.configure(&config("", "998", 2, "INT"));
    world.ask(named("stop", "cold"));
    world.ask(json!({ "command": "reload" }));
    assert_eq!(world.state("cold"), "STOPPED");
    assert!(!world.states().contains_key("new"));
    let unchanged = world.ask(json!({ "command": "reload" }))["content"].clone();
    assert_eq!((&unchanged["restarted"], &unchanged["unchanged"]), (&json!([]), &json!(5)));
    daemon.end();
}

#[test]
fn a_changed_configuration_restarts_a_fatal_process() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"/bin/false\"\nstartretries = 0\n");
    let _daemon = world.daemon();
    world.comes_to("web", "FATAL");
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartretries = 0\n");
    assert_eq!(world.ask(json!({ "command": "reload" }))["content"]["restarted"], json!(["web"]));
    assert_eq!(world.state("web"), "RUNNING");
}

#[test]
fn stops_go_tier_by_tier_in_the_opposite_order_of_starts() {
    let world = World::new();
    let program = |name: &str, priority: i64| {
        format!(
            "[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.05; done\"]\npriority = {priority}\n"
        )
    };
    world.configure(&[program("first", 1), program("second", 5), program("third", 9)].concat());
    let daemon = world.daemon();
    for name in ["first", "second", "third"] {
        world.comes_to(name, "RUNNING");
    }
    let order = |words: &str| -> Vec<String> {
        let log = world.log();
        let lines = log.lines().filter_map(|line| line.split_once(words)).map(|(_, rest)| rest);
        lines.map(|rest| rest.split(' ').next().unwrap().trim_end_matches(':').to_owned()).collect()
    };
    world.ask(json!({ "command": "stop", "target": "all" }));
    let log = world.log();
    let at = |words: &str| log.find(words).unwrap_or_else(|| unreachable!("{words} in {log}"));
    assert_eq!(order("stopping: "), ["third", "second", "first"]);
    assert!(at("stopped: third") < at("stopping: second") && at("stopped: second") < at("stopping: first"));
    world.ask(json!({ "command": "start", "target": "all" }));
    assert_eq!(daemon.end().code, 0);
    assert_eq!(order("stopping: ")[3..], ["third", "second", "first"]);
}

#[test]
fn a_second_supervisor_does_no_harm() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    let before = (world.read("s.pid"), world.log());
    let second = world.daemon_begun().started.take().unwrap().wait();
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.err.contains("another supervisor is already running, with pid "), "{second:?}");
    assert_eq!((world.read("s.pid"), world.log()), before);
    // Nor does a supervisor with another pid file and socket on the same database.
    let other = world.read("t.toml").replace("s.pid", "o.pid").replace("s.sock", "o.sock").replace("act.log", "o.log");
    fs::write(world.path("o.toml"), other).unwrap();
    let second = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("o.toml")).run();
    assert_eq!(second.code, 2, "{second:?}");
    assert_eq!(world.pid("web"), pid);
    assert!(!world.path("o.sock").exists() && !world.path("o.pid").exists());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_supervisor_can_be_restarted_at_once() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let start = || world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("t.toml")).run();
    assert_eq!(start().code, 0);
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    for _ in 0..20 {
        let daemon = world.read("s.pid").trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
        let ran = start();
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(world.ctl(&["shutdown", "--leave-running"]).code, 0);
        let ran = start();
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(world.pid("web"), pid);
    assert_eq!(world.ctl(&["shutdown"]).code, 0);
}

#[test]
fn in_the_background_it_reports_readiness_and_errors() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let start = || world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("t.toml")).run();
    let ran = start();
    assert_eq!((ran.code, ran.text()), (0, ""), "{ran:?}");
    // A new database is ready, too.
    world.control(["list"]).run().silent(0);
    assert!(["STARTING", "RUNNING"].contains(&world.state("web").as_str()), "it is ready at once");
    let pid: i32 = world.read("s.pid").trim().parse().unwrap();
    let own = nix::unistd::Pid::from_raw(pid);
    assert_ne!(nix::unistd::getsid(Some(own)).unwrap(), own, "it can get no terminal");
    assert_eq!(start().code, 2);
    assert_eq!(world.ctl(&["shutdown"]).code, 0);
    until("its end", || process::stat(pid).is_none_or(|stat| stat.ended));
    until("its files to be gone", || !world.path("s.sock").exists() && !world.path("s.pid").exists());
    let bad = world.read("t.toml") + "nonsense = 1\n";
    fs::write(world.path("t.toml"), bad).unwrap();
    let ran = start();
    assert!(ran.code == 2 && ran.err.contains("t.toml:") && ran.err.contains("unknown key"), "{ran:?}");
}

#[test]
fn a_silent_program_is_ended_and_restarted() {
    let world = World::new();
    let beats = "n=0; while [ $n -lt 8 ]; do n=$((n + 1)); echo [progress]$n >>$TASKWATCHER_FEEDBACK; sleep 0.2; done";
    fs::create_dir(world.path("beats")).unwrap();
    world.configure(&format!(
        // It reports progress for longer than its timeout, and then stops; the path is not configured.
        "[programs.hangs]\ncommand = \"sh\"\nargs = [\"-c\", \"{beats}; sleep 300\"]\ntimeout = 1\nstopwaitsecs = 1\n\
         [programs.where]\ncommand = \"sh\"\nargs = [\"-c\", \"{beats}; sleep 300\"]\nfeedback = \"beats\"\nstopasgroup = true\n\
         [programs.lost]\ncommand = \"sleep\"\nargs = [\"300\"]\nfeedback = \"nowhere\"\n"
    ));
    let daemon = world.daemon();
    world.comes_to("hangs", "RUNNING");
    let pid = world.pid("hangs");
    until("feedback of the one that says where", || {
        world.json(&["list"]).as_array().unwrap().iter().any(|row| row["name"] == "where" && row["progress"] == 8.0)
    });
    world.runs_again("hangs", pid);
    let ends = world.history();
    let end = ends.iter().find(|row| row.text("taskname") == "hangs").unwrap();
    assert_eq!((end.text("outcome"), end.text("feedback")), ("ERROR: no heartbeat for 1s", "{\"progress\":\"8\"}"));
    assert!(world.log().contains("exited: hangs") && world.log().contains("not expected"), "{}", world.log());
    let lost = &world.states()["lost"];
    assert!(lost["description"].as_str().unwrap().contains("feedback folder"), "{lost}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn after_an_orderly_end_history_has_all_ends() {
    let world = World::new();
    // A background process holds its output open, for which the end waits a moment.
    world.configure("[programs.web]\ncommand = \"sh\"\nargs = [\"-c\", \"sleep 20; sleep 20\"]\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    assert_eq!(daemon.end().code, 0);
    assert_eq!((world.history().len(), world.tasks().len()), (1, 0));
}

#[test]
fn a_missing_socket_is_recreated() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let daemon = world.daemon();
    assert_eq!(fs::metadata(world.path("s.sock")).unwrap().permissions().mode() & 0o777, 0o700);
    fs::remove_file(world.path("s.sock")).unwrap();
    until("a new one", || world.log().contains("was gone; created again") && world.path("s.sock").exists());
    world.comes_to("web", "RUNNING");
    fs::remove_file(world.path("s.sock")).unwrap();
    fs::write(world.path("s.sock"), "precious").unwrap();
    until("that to be noticed", || world.log().contains("it is left alone"));
    assert_eq!(world.read("s.sock"), "precious");
    fs::remove_file(world.path("s.sock")).unwrap();
    until("a new one", || UnixStream::connect(world.path("s.sock")).is_ok());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn ambiguous_and_malformed_requests_stop_nothing() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n[programs.app]\ncommand = \"sleep\"\nargs = [\"301\"]\n");
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("app", "RUNNING");
    let before = world.states();
    let mut client = world.connect_to_daemon();
    let bad = [
        r#"{"command":"stop","trget":"process","name":"web"}"#,
        r#"{"command":"stop","target":"process","nmae":"web"}"#,
        r#"{"command":"stop","target":"process"}"#,
        r#"{"command":"stop","name":"web"}"#,
        r#"{"command":"stop","target":"everything"}"#,
        r#"{"command":"stop","target":"process","name":"web","name":"app"}"#,
        r#"{"command":"stop","target":"process","name":["web"]}"#,
        r#"{"command":"halt"}"#,
        r#"[1]"#,
        r#"not json"#,
    ];
    for line in bad.map(str::as_bytes).iter().chain([&b"{\"command\":\"stop\xff\"}"[..]].iter()) {
        client.stream.write_all(line).unwrap();
        client.stream.write_all(b"\r\n\n").unwrap();
        assert_eq!(client.line()["status"], 400, "{}", String::from_utf8_lossy(line));
    }
    let missing = client.ask(&named("stop", "nobody"));
    assert_eq!((&missing["status"], &missing["error"]["code"]), (&json!(404), &json!("BAD_NAME")));
    client.stream.write_all(&b"x".repeat((1 << 20) + 10)).unwrap();
    client.stream.write_all(b"\n").unwrap();
    assert_eq!(client.line()["status"], 413);
    // The connection can still be used, and several requests in one packet are answered in order.
    client.stream.write_all(b"{\"command\":\"version\",\"id\":1}\n{\"command\":\"pid\",\"id\":2}\n").unwrap();
    assert_eq!((&client.line()["id"], &client.line()["id"]), (&json!(1), &json!(2)));
    let after = world.states();
    assert!(before.iter().all(|(name, process)| after[name]["pid"] == process["pid"]));
}

#[test]
fn clients_that_wait_hang_or_vanish_delay_no_other() {
    let world = World::new();
    let slow =
        "[programs.slow]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 2\nautostart = false\nnumprocs = 50\n";
    world.configure(slow);
    let _daemon = world.daemon();
    let begun = taskwatcher::io::sys::now().mono;
    let mut clients: Vec<Client> = (0..50)
        .map(|number| {
            let mut client = world.connect_to_daemon();
            client.send(&named("start", &format!("slow:slow_{number:02}")));
            client
        })
        .collect();
    // Other clients send half a line, or nothing, or go away.
    let mut half = world.connect_to_daemon();
    half.stream.write_all(b"{\"command\":\"sta").unwrap();
    let _silent = world.connect_to_daemon();
    let (_, took) = timed(|| world.states());
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(clients.pop());
    for client in &mut clients {
        assert_eq!(client.line()["status"], 200);
    }
    assert!(taskwatcher::io::sys::now().mono - begun < Duration::from_secs(15), "side by side");
    // The requested action continues although no client waits for it.
    world.comes_to("slow:slow_49", "RUNNING");
}

#[test]
fn logs_are_shown_followed_and_cleared_and_events_printed() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"bash\"\nargs = [\"-c\", \"for i in 1 2 3; do echo line $i; done; while read -r line; do echo got $line; done\"]\nstdin = \"pipe\"\n",
    );
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut events = world.connect_to_daemon();
    assert_eq!(events.ask(&json!({ "command": "subscribe", "args": { "events": ["state"] } }))["status"], 200);
    let tail = world.ask(json!({ "command": "tail", "target": "process", "name": "web", "args": { "bytes": 7 } }));
    assert_eq!(tail["content"]["data"], "line 3\n");
    let mut follower = world.connect_to_daemon();
    let first =
        follower.ask(&json!({ "command": "tail", "target": "process", "name": "web", "args": { "follow": true } }));
    assert!(first["content"]["data"].as_str().unwrap().ends_with("line 3\n"));
    let mut attached = world.connect_to_daemon();
    assert_eq!(attached.ask(&named("fg", "web"))["content"]["stdin"], true);
    let sent =
        world.ask(json!({ "command": "send", "target": "process", "name": "web", "args": { "data": "hello\n" } }));
    assert_eq!(sent["content"]["written"], 6);
    assert_eq!(follower.line()["data"], "got hello\n");
    assert_eq!(attached.line()["data"], "got hello\n");
    assert_eq!(world.ask(named("clear", "web"))["status"], 200);
    assert_eq!(fs::metadata(world.path("web.stdout")).unwrap().len(), 0);
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    assert_eq!(attached.line()["ended"], "killed by SIGTERM");
    let changes: Vec<(String, String)> = (0..2)
        .map(|_| {
            let event = events.line();
            (event["from"].as_str().unwrap().to_owned(), event["to"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(changes, [("RUNNING".into(), "STOPPING".into()), ("STOPPING".into(), "STOPPED".into())]);
    let task = eventually("its end to be recorded", || Some(world.history().pop()?.int("taskid")));
    let run = world.ask(json!({ "command": "tail", "target": "process", "name": "web", "args": { "run": task } }));
    assert!(run["content"]["data"].as_str().unwrap().contains("line 1\n"), "{run}");
    let history = world.ask(json!({ "command": "history", "target": "process", "name": "web" }));
    assert_eq!(history["content"]["rows"][0]["taskid"], task);
    let main = world.ask(json!({ "command": "maintail", "args": { "lines": 20 } }));
    assert!(main["content"]["data"].as_str().unwrap().contains("stopped: web"), "{main}");
}

#[test]
fn an_end_that_could_not_be_written_is_recorded_later_without_a_request() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\nautorestart = \"false\"\n");
    world.control(["initialize"]).run().ok();
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    until("it to be a task", || world.states()["web"]["task_id"].is_i64());
    let shim = shim_of(world.pid("web"));
    let locked = world.lock();
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    // By then the end is in the spool, and the shim that wrote it is gone.
    until("its shim to be gone", || process::stat(shim).is_none_or(|stat| stat.ended));
    drop(locked);
    until("its row", || world.history().len() == 1 && world.tasks().is_empty());
    assert_eq!(world.last().text("termerror"), "stopped by operator");
    daemon.end();
}
