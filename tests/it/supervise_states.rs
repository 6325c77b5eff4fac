//! The states of supervised processes with the real daemon: rules of the state machine, of stops and of starts that
//! only show between real processes.

use std::{fs, time::Duration};

use crate::support::{
    World,
    daemon::{named, times},
    desk::{is_alive, send},
    eventually, timed, until,
};
use nix::sys::signal::Signal;
use serde_json::json;

fn program(name: &str, script: &str, more: &str) -> String {
    let script = script.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"{script}\"]\n{more}\n")
}

fn spawns(world: &World, name: &str) -> usize {
    world.log().matches(&format!("spawned: {name} ")).count()
}

/// Waits as long as a program that ends at once needs for three starts, at least two seconds.
#[track_caller]
fn some_time(world: &World) {
    let before = spawns(world, "clock");
    until("time to pass", || spawns(world, "clock") >= before + 3);
}

/// Returns the time between the first lines with these words, in seconds.
fn after(log: &str, first: &str, then: &str) -> f64 {
    let lines: String = log.lines().skip_while(|line| !line.contains(first)).map(|line| format!("{line}\n")).collect();
    let marked = lines.replacen(first, &format!("{first} MARK"), 1).replacen(then, &format!("{then} MARK"), 1);
    times(&marked, " MARK")[1]
}

#[test]
fn pending_restarts_can_be_cancelled_and_reset_the_count() {
    let world = World::new();
    world.configure(
        &[
            program("clock", "exit 0", "startsecs = 0\nautorestart = \"true\""),
            program("bad", "exit 1", "startretries = 1"),
            program("gone", "exit 1", "startretries = 9"),
            program("waits", "exit 1", "startretries = 9\nautostart = false"),
            program("again", "exit 0", "startsecs = 0\nautorestart = \"true\""),
        ]
        .concat(),
    );
    let daemon = world.daemon();
    // Each requested start has all of its attempts, wherever the previous one was cancelled.
    for round in 1..=3 {
        world.comes_to("bad", "BACKOFF");
        assert_eq!(world.states()["bad"]["fails"], 1);
        let begun = spawns(&world, "bad");
        assert_eq!(world.ask(named("stop", "bad"))["status"], 200);
        let bad = world.states()["bad"].clone();
        assert_eq!((&bad["state"], &bad["fails"], &bad["next_try"]), (&json!("STOPPED"), &json!(0), &json!(null)));
        if round == 1 {
            some_time(&world);
            assert_eq!((spawns(&world, "bad"), world.state("bad")), (begun, "STOPPED".to_owned()));
        }
        world.ask(json!({ "command": "start", "target": "process", "name": "bad", "wait": false }));
    }
    let begun = spawns(&world, "bad");
    world.comes_to("bad", "FATAL");
    assert!(spawns(&world, "bad") <= begun + 2 && world.log().matches("fatal: bad").count() == 1);
    assert!(world.states()["bad"]["description"].as_str().unwrap().ends_with("; gave up after 2 starts"));
    // A process that is removed while it waits is removed at once.
    world.comes_to("gone", "BACKOFF");
    let remove = json!({ "command": "remove", "target": "process", "name": "gone", "args": { "stop": true } });
    let begun = spawns(&world, "gone");
    let answer = world.ask(remove);
    assert_eq!((&answer["status"], spawns(&world, "gone")), (&json!(200), begun), "{answer}");
    assert!(!world.states().contains_key("gone"));
    // A stop cancels a pending restart.
    until("it to wait for its next start", || {
        let again = &world.states()["again"];
        again["state"] == "EXITED" && !again["next_try"].is_null()
    });
    let answer = world.ask(named("stop", "again"));
    assert_eq!((&answer["status"], world.state("again")), (&json!(200), "STOPPED".to_owned()), "{answer}");
    let begun = spawns(&world, "again");
    some_time(&world);
    assert_eq!((spawns(&world, "again"), world.state("again")), (begun, "STOPPED".to_owned()));
    // Restarts of a program that ends at once are throttled.
    let clock = times(&world.log(), "spawned: clock");
    assert!(clock.windows(2).all(|pair| pair[1] - pair[0] > 0.6) && clock.len() > 5, "{clock:?}");
    // A shutdown cancels pending starts.
    world.ask(json!({ "command": "start", "target": "process", "name": "waits", "wait": false }));
    until("a wait of two seconds", || world.states()["waits"]["fails"].as_i64() >= Some(2));
    assert_eq!(daemon.end().code, 0);
    assert!(world.log().contains("stopped: waits"));
}

#[test]
fn the_first_start_is_immediate() {
    let world = World::new();
    world.configure_with("restart_throttle = 60", &program("web", "exec sleep 300", ""));
    let _daemon = world.daemon();
    until("the first start", || world.log().contains("spawned: "));
    let took = after(&world.log(), "INFO ready", "spawned: ");
    assert!(took < 10.0, "{took} seconds to the first start");
}

#[test]
fn a_stop_during_a_start_takes_effect() {
    let world = World::new();
    let slow = "startsecs = 60\nautostart = false";
    world.configure(&[program("slow", "exec sleep 300", slow), program("other", "exec sleep 300", "")].concat());
    let daemon = world.daemon();
    world.comes_to("other", "RUNNING");
    let mut client = world.connect_to_daemon();
    client.send(&named("start", "slow"));
    world.comes_to("slow", "STARTING");
    until("it to have a pid", || world.pid("slow") > 0);
    let (pid, (answer, took)) = (world.pid("slow"), timed(|| world.ask(named("stop", "slow"))));
    assert!(answer["status"] == 200 && took < Duration::from_secs(5) && !is_alive(pid), "{answer} {took:?}");
    let waited = client.line();
    assert_eq!(waited["error"]["code"], "ABNORMAL_TERMINATION", "{waited}");
    assert_eq!(world.state("slow"), "STOPPED");
    // Before its exec, which the locked database delays, the program is not signalled; others are not delayed.
    let lock = world.lock();
    let before = spawns(&world, "slow");
    client.send(&named("start", "slow"));
    let mut stop = world.connect_to_daemon();
    stop.send(&named("stop", "slow"));
    until("the stop to be heard", || world.state("slow") == "STOPPING" || spawns(&world, "slow") > before);
    let (answer, took) = timed(|| world.ask(named("restart", "other")));
    assert!(answer["status"] == 200 && took < Duration::from_secs(5), "{answer} {took:?}");
    assert_eq!((&stop.line()["status"], world.state("slow")), (&json!(200), "STOPPED".to_owned()));
    assert_eq!(client.line()["error"]["code"], "ABNORMAL_TERMINATION");
    drop(lock);
    let log = world.log();
    assert!(!log.contains("ERRO") && !log.contains("killing: "), "{log}");
    assert_eq!(daemon.end().code, 0);
    until("all to be over", || {
        world.control(["update"]).run().ok();
        world.tasks().is_empty()
    });
    world.is_sound();
}

#[test]
fn signals_reach_the_process_or_the_group() {
    let world = World::new();
    let ready = "echo ready; while :; do sleep 0.05; done";
    let paused = "stopwaitsecs = 60\nstartsecs = 0";
    world.configure(
        &[
            program("paused", &format!("trap 'echo bye; exit 0' TERM; {ready}"), paused),
            // The leader waits for a member that is also paused.
            program(
                "couple",
                "sh -c 'trap \"echo member; exit 0\" TERM; echo $$ >$W/member; while :; do sleep 0.05; done' & trap 'wait; exit 0' TERM; echo ready; wait; wait",
                &format!("{paused}\nstopasgroup = true"),
            ),
            program("young", &format!("trap 'echo usr1' USR1; trap 'echo term' TERM; {ready}"), "startsecs = 60\nstopwaitsecs = 60"),
            program("family", &format!("sh -c 'trap \"echo member\" USR1; echo $$ >$W/child; while :; do sleep 0.05; done' & trap 'echo leader' USR1; {ready}"), "startsecs = 0\nstopasgroup = true"),
            program("last", &format!("trap 'echo late; sleep 0.2; printf unterminated; exit 0' TERM; {ready}"), paused),
        ]
        .concat(),
    );
    let daemon = world.daemon();
    let says = |name: &str, text: &str| {
        until(&format!("{name} to say {text:?}"), || {
            fs::read_to_string(world.path(format!("{name}.stdout"))).is_ok_and(|out| out.contains(text))
        });
    };
    for name in ["paused", "couple", "young", "family", "last"] {
        says(name, "ready\n");
    }
    // Paused processes also handle a stop, including each member of a group.
    send(world.pid("paused"), Signal::SIGSTOP);
    let (answer, took) = timed(|| world.ask(named("stop", "paused")));
    assert!(answer["status"] == 200 && took < Duration::from_secs(10), "{answer} {took:?}");
    assert_eq!(world.states()["paused"]["exit_code"], 0);
    assert_eq!(world.read("paused.stdout"), "ready\nbye\n");
    let member: i32 = world.line("member").parse().unwrap();
    for pid in [member, world.pid("couple")] {
        send(pid, Signal::SIGSTOP);
    }
    let (answer, took) = timed(|| world.ask(named("stop", "couple")));
    assert!(answer["status"] == 200 && took < Duration::from_secs(10) && !is_alive(member), "{answer} {took:?}");
    says("couple", "member\n");
    // A signal can be sent in each live state, without changing the state; an end by the signal is an ordinary one.
    let signal = |name: &str, signal: &str, group: bool| {
        let args = json!({ "signal": signal, "group": group });
        let answer = world.ask(json!({ "command": "signal", "target": "process", "name": name, "args": args }));
        assert_eq!(answer["status"], 200, "{answer}");
    };
    signal("young", "USR1", false);
    says("young", "ready\nusr1\n");
    assert_eq!(world.state("young"), "STARTING");
    signal("family", "USR1", false);
    says("family", "leader\n");
    assert_eq!(world.state("family"), "RUNNING");
    world.line("child");
    signal("family", "USR1", true);
    says("family", "member\n");
    let mut stop = world.connect_to_daemon();
    stop.send(&named("stop", "young"));
    says("young", "term\n");
    signal("young", "SIGUSR1", true);
    says("young", "term\nusr1\n");
    assert_eq!(world.state("young"), "STOPPING");
    // A group that was signalled meanwhile delays nothing.
    signal("young", "KILL", false);
    assert_eq!(stop.line()["status"], 200);
    assert_eq!(world.state("young"), "STOPPED");
    let refused =
        world.ask(json!({ "command": "signal", "target": "process", "name": "young", "args": { "signal": "HUP" } }));
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(409), &json!("NOT_RUNNING")));
    until("its row", || world.history().iter().any(|row| row.text("taskname") == "young"));
    let pid = world.pid("family");
    signal("family", "KILL", false);
    world.runs_again("family", pid);
    // All output until the end of a stop is kept, including an incomplete last line.
    assert_eq!(world.ask(named("stop", "last"))["status"], 200);
    until("all that it said", || world.read("last.stdout") == "ready\nlate\nunterminated");
    let task =
        eventually("its row", || Some(world.history().iter().rfind(|row| row.text("taskname") == "last")?.int("id")));
    let run = world.ask(json!({ "command": "tail", "target": "process", "name": "last", "args": { "run": task } }));
    assert!(run["content"]["data"].as_str().unwrap().contains("unterminated"), "{run}");
    assert_eq!(daemon.end().code, 0);
    world.is_sound();
}

#[test]
fn leftovers_of_a_crash_are_ended_or_counted() {
    let world = World::new();
    // Each run checks whether the leftover of the previous run is alive.
    let script = |name: &str| {
        format!(
            "for old in $(cat $W/{name}.all); do kill -0 $old 2>/dev/null && echo $old >>$W/{name}.old; done; \
             trap '' TERM; sleep 300 & echo $! >>$W/{name}.all; echo $$ >$W/{name}.run; wait"
        )
    };
    world.configure(
        &[
            program("clean", &script("clean"), "startsecs = 0\nkillasgroup = true\nstopwaitsecs = 1"),
            program("messy", &script("messy"), "startsecs = 0\nstopwaitsecs = 1"),
        ]
        .concat(),
    );
    for name in ["clean.all", "messy.all"] {
        fs::write(world.path(name), "").unwrap();
    }
    let daemon = world.daemon();
    let left = |name: &str| -> Vec<i32> {
        let all = world.read(format!("{name}.all"));
        all.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| is_alive(*pid)).collect()
    };
    for crash in 1..=2 {
        for name in ["clean", "messy"] {
            let pid: i32 = world.line(format!("{name}.run")).parse().unwrap();
            until("its pid to be known", || world.pid(name) == pid);
            send(pid, Signal::SIGKILL);
            world.runs_again(name, pid);
            until("the next run to have looked", || world.line(format!("{name}.run")) != pid.to_string());
        }
        assert_eq!((left("clean").len(), left("messy").len()), (1, crash + 1));
    }
    assert!(!world.path("clean.old").exists(), "the former group was gone before the next start");
    assert!(world.path("messy.old").exists());
    let messy = world.states()["messy"].clone();
    assert_eq!(messy["leftover"], 2, "{messy}");
    assert!(messy["description"].as_str().unwrap().ends_with("; 2 processes of its group are still alive"), "{messy}");
    assert!(world.log().contains("WARN warning: messy: 1 process of its group is still alive"), "{}", world.log());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_command_is_found_and_has_its_environment() {
    let world = World::new();
    for (folder, name) in [(".", "own"), ("dir", "own"), ("bin", "only-here")] {
        fs::create_dir_all(world.path(folder)).unwrap();
        world.program(format!("{folder}/{name}").as_str(), format!("#!/bin/sh\necho {folder} $0 $*\n"));
    }
    let once = |name: &str, command: &str, more: &str| {
        format!("[programs.{name}]\ncommand = \"{command}\"\nstartsecs = 0\nautorestart = \"false\"\n{more}\n")
    };
    let here = world.path("");
    let here = here.display().to_string();
    let here = here.trim_end_matches('/');
    world.configure_with(
        "[taskmasterd.env]\nA = \"server\"\nB = \"server\"\nHOME = \"server\"\nTASKMASTER_GROUP_NAME = \"mine\"",
        &[
            once("absolute", &format!("{here}/own"), "args = [\"a b\", \"$HOME\"]"),
            once("relative", "./own", ""),
            once("inside", "./own", &format!("directory = \"{here}/dir\"")),
            once("searched", "only-here", &format!("[programs.searched.env]\nPATH = \"/nowhere:{here}/bin:/bin\"")),
            once("usual", "sh", "args = [\"-c\", \"echo $0\"]"),
            once("unknown", "only-here", "autostart = false"),
            once(
                "env",
                "sh",
                "args = [\"-c\", \"echo $A $B $HOME $LAUNCH $TASKMASTER_ENABLED $TASKMASTER_PROCESS_NAME $TASKMASTER_GROUP_NAME $TASKMASTER_SERVER_URL $SUPERVISOR_SERVER_URL $TASKWATCHER_TASKID\"]\n\
                 [programs.env.env]\nB = \"program\"\nTASKMASTER_ENABLED = \"yes\"",
            ),
        ]
        .concat(),
    );
    let daemon = world.daemon();
    let said = |name: &str| world.line(format!("{name}.stdout"));
    // How a command is found. In a script, $0 is its file.
    assert_eq!(said("absolute"), format!(". {here}/own a b $HOME"));
    assert!(said("relative").starts_with(". "), "{}", said("relative"));
    assert!(said("inside").starts_with("dir "), "{}", said("inside"));
    assert!(said("searched").starts_with("bin "), "{}", said("searched"));
    assert_eq!(said("usual"), "sh");
    let answer = world.ask(named("start", "unknown"));
    assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(404), &json!("NO_FILE")), "{answer}");
    // The command is searched when it is started, not when the configuration is read.
    fs::remove_file(world.path("own")).unwrap();
    let answer = world.ask(named("start", "relative"));
    assert_eq!(answer["error"]["code"], "NO_FILE", "{answer}");
    // Later definitions of a variable override earlier ones.
    let url = format!("unix://{here}/s.sock");
    let launch = env!("CARGO_BIN_EXE_launch");
    world.comes_to("env", "EXITED");
    let task = world.states()["env"]["task_id"].clone();
    assert_eq!(said("env"), format!("server program server {launch} yes env mine {url} {url} {task}"));
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn stdin_is_null_or_a_pipe_that_outlives_the_supervisor() {
    let world = World::new();
    let text = [
        program("null", "readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; exec sleep 300", ""),
        program("pipe", "readlink /proc/self/fd/0; exec cat", "stdin = \"pipe\""),
    ]
    .concat();
    world.configure(&text);
    let daemon = world.daemon();
    until("it to run", || world.path("null.stdout").exists() && world.read("null.stdout").lines().count() == 2);
    // `ls` has only the three standard descriptors, and the folder that it reads.
    assert_eq!(world.read("null.stdout"), "/dev/null\n4\n");
    assert!(world.line("pipe.stdout").starts_with("pipe:"));
    let write = |data: &str| {
        world.ask(json!({ "command": "send", "target": "process", "name": "pipe", "args": { "data": data } }))
    };
    assert_eq!(write("one\n")["content"]["written"], 4);
    until("that to be read", || world.read("pipe.stdout").ends_with("one\n"));
    let refused = world.ask(json!({ "command": "send", "target": "process", "name": "null", "args": { "data": "x" } }));
    assert_eq!(refused["status"], 409, "{refused}");
    world.comes_to("pipe", "RUNNING");
    let pid = world.pid("pipe");
    daemon.crash();
    let daemon = world.daemon();
    world.comes_to("pipe", "RUNNING");
    assert_eq!(world.pid("pipe"), pid, "it saw no end of its input");
    assert_eq!(write("two\n")["content"]["written"], 4);
    until("that to be read", || world.read("pipe.stdout").ends_with("one\ntwo\n"));
    assert_eq!(daemon.end().code, 0);
}
