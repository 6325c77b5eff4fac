//! The supervisor as a process: signals, logs, heartbeats, hooks, its death and its consequences.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use crate::support::{
    World,
    daemon::{Daemon, named, shim_of},
    desk::{is_alive, send},
    eventually, timed, until,
};
use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::Pid,
};
use serde_json::{Value, json};
use taskwatcher::io::process;

/// Returns the configuration of a shell script.
fn script(name: &str, text: &str, more: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", \"{text}\"]\nstopasgroup = true\n{more}\n")
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn daemon_pid(daemon: &Daemon<'_>) -> i32 {
    daemon.started.as_ref().unwrap().pid()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a line of the log has the specified form.
fn is_log_line(line: &str) -> bool {
    let pattern = b"dddd-dd-dd dd:dd:dd,ddd ";
    let stamp = line.as_bytes().iter().zip(pattern).all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    });
    let rest = line.get(pattern.len()..).unwrap_or_default();
    stamp && ["DEBG ", "INFO ", "WARN ", "ERRO ", "CRIT ", "TRAC "].iter().any(|word| rest.starts_with(word))
}

#[test]
fn usr1_dumps_states_and_usr2_reopens_logs() {
    let world = World::new();
    world.configure(
        &(script("web", "for i in {1..9999}; do echo tick $i; sleep 0.02; done", "")
            + "[programs.later]\ncommand = \"sleep\"\nautostart = false\n"),
    );
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let (own, web) = (daemon_pid(&daemon), world.pid("web"));
    daemon.signal(Signal::SIGUSR1);
    until("all states in the log", || world.log().contains("INFO state: later STOPPED Not started"));
    assert!(world.log().contains(&format!("INFO state: web RUNNING pid {web}, uptime ")), "{}", world.log());
    let mut follower = world.connect_to_daemon();
    let first =
        follower.ask(&json!({ "command": "tail", "target": "process", "name": "web", "args": { "follow": true } }));
    let opened = || world.log().matches("reopened all logs").count();
    daemon.signal(Signal::SIGUSR2);
    until("the first time", || opened() > 0);
    let shim = shim_of(web);
    let before = (descriptors(own), descriptors(shim));
    for sent in 1..1000 {
        let seen = opened();
        daemon.signal(Signal::SIGUSR2);
        // Some signals one by one; of several at once, one must take effect.
        if sent % 100 == 0 {
            until("one more", || opened() > seen);
        }
    }
    for name in ["act.log", "web.stdout"] {
        fs::rename(world.path(name), world.path(format!("{name}.old"))).unwrap();
    }
    daemon.signal(Signal::SIGUSR2);
    until("both logs to be reopened", || {
        [("act.log", "INFO signal: SIGUSR2"), ("web.stdout", "tick")]
            .iter()
            .all(|(name, text)| fs::read_to_string(world.path(name)).is_ok_and(|log| log.contains(text)))
    });
    until("no more descriptors than before", || descriptors(own) <= before.0 && descriptors(shim) <= before.1);
    assert_eq!(world.pid("web"), web);
    let size = fs::metadata(world.path("web.stdout")).unwrap().len();
    until("the new log to grow", || fs::metadata(world.path("web.stdout")).unwrap().len() > size + 50);
    // A follower of the log continues with the new file.
    let mut text = first["content"]["data"].as_str().unwrap().to_owned();
    until("the follower to be in the new log", || {
        let piece = follower.line();
        text += piece["data"].as_str().unwrap();
        piece["offset"] == 0
    });
    // Nothing in the old file was skipped.
    let both = world.read("web.stdout.old") + &world.read("web.stdout");
    assert!(text.len() > both.len() / 2 && both.starts_with(&text), "{text:?} {both:?}");
    daemon.end();
}

#[test]
fn a_long_shutdown_is_reported_and_further_signals_shorten_it() {
    let world = World::new();
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    world.configure(&script("deaf", deaf, "stopwaitsecs = 300"));
    let daemon = world.daemon();
    until("the trap to be set", || fs::read_to_string(world.path("deaf.stdout")).is_ok_and(|text| text == "ready\n"));
    let pid = world.pid("deaf");
    daemon.signal(Signal::SIGTERM);
    until("that to be reported", || world.log().contains("waiting: still waiting for deaf"));
    assert_eq!(world.state("deaf"), "STOPPING");
    let status = world.ask(json!({ "command": "status" }));
    assert_eq!(status["content"]["daemon"]["state"], "SHUTDOWN");
    for command in ["start", "restart", "reload", "add", "remove", "update"] {
        let answer = world.ask(json!({ "command": command, "target": "program", "name": "deaf" }));
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(503), &json!("SHUTTING_DOWN")), "{command}");
    }
    assert_eq!(world.ctl(&["shutdown", "--no-wait"]).code, 0, "it is happening already");
    daemon.signal(Signal::SIGHUP);
    until("that to be ignored", || world.log().contains("SIGHUP: ignored during shutdown"));
    let (ran, took) = timed(|| daemon.end());
    assert!(ran.code == 0 && took < Duration::from_secs(10) && !is_alive(pid), "{ran:?}");
    assert_eq!(world.last().text("termsignal"), "SIGKILL");
    let lines = world.log().matches("still waiting for deaf").count();
    assert!(lines >= 1, "{}", world.log());
}

#[test]
fn signals_that_would_end_it_start_a_shutdown() {
    for signal in ["PWR", "ALRM", "XCPU", "IO", "ABRT", "RTMIN+3"] {
        let world = World::new();
        world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
        let mut daemon = world.daemon();
        world.comes_to("web", "RUNNING");
        let pid = world.pid("web");
        let started = daemon.started.take().unwrap();
        // The `kill` builtin of the shell knows no real-time signals.
        world.command("bash").arg("-c").arg(format!("kill -{signal} {}", started.pid())).run().silent(0);
        assert_eq!(started.wait().code, 0, "{signal}");
        assert!(world.log().contains(&format!("signal: SIG{signal}")), "{}", world.log());
        assert!(!is_alive(pid) && !world.path("s.sock").exists() && !world.path("s.pid").exists(), "{signal}");
    }
}

#[test]
fn the_third_signal_ends_it_at_once_and_leaves_the_rest_to_the_next_supervisor() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), world.task().int("id"));
    let shim = shim_of(pid);
    // No process passes on signals: a paused one would be continued.
    let held = Pid::from_raw(shim);
    ptrace::attach(held).unwrap();
    waitpid(held, None).unwrap();
    daemon.signal(Signal::SIGTERM);
    world.comes_to("web", "STOPPING");
    daemon.signal(Signal::SIGINT);
    until("the second one", || world.log().contains("WARN killing: web"));
    daemon.signal(Signal::SIGQUIT);
    let mut daemon = daemon;
    assert_eq!(daemon.started.take().unwrap().wait().code, 0);
    assert!(is_alive(pid), "it left");
    assert_eq!(world.task().int("id"), task);
    ptrace::detach(held, None).unwrap();
    // It now carries out the pending commands, and records the end.
    until("its end", || !is_alive(pid) && world.tasks().is_empty());
    assert_eq!(world.history().len(), 1);
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    daemon.end();
    world.is_sound();
}

#[test]
fn a_shutdown_has_priority_over_a_reload() {
    let world = World::new();
    world.configure("[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    for _ in 0..5 {
        let daemon = world.daemon();
        world.comes_to("web", "RUNNING");
        // Both signals arrive before it can handle either.
        daemon.signal(Signal::SIGSTOP);
        until("it to be paused", || process::stat(daemon_pid(&daemon)).is_some_and(|stat| stat.stopped));
        daemon.signal(Signal::SIGHUP);
        daemon.signal(Signal::SIGTERM);
        daemon.signal(Signal::SIGCONT);
        let mut daemon = daemon;
        assert_eq!(daemon.started.take().unwrap().wait().code, 0);
        assert!(!world.log().contains("reading the configuration again"), "{}", world.log());
        fs::remove_file(world.path("act.log")).unwrap();
    }
}

#[test]
fn hooks_run_as_tasks_for_their_states() {
    let world = World::new();
    let hook = |file: &str| {
        format!(
            "on_event = [\"sh\", \"-c\", \"echo $TASKMASTER_GROUP_NAME $TASKMASTER_PROCESS_NAME $TASKMASTER_STATE >> $W/{file}\"]\n"
        )
    };
    let server = hook("all") + "on_states = [\"FATAL\", \"EXITED\"]\n";
    let programs = [
        "[programs.bad]\ncommand = \"/bin/false\"\nstartretries = 0\ngroup = \"g\"\n".to_owned(),
        script("job", "sleep 0.3", "startsecs = 0"),
        format!("[programs.own]\ncommand = \"sleep\"\nargs = [\"300\"]\n{}on_states = [\"RUNNING\"]\n", hook("own")),
        // A hanging hook delays nothing.
        "[programs.slow]\ncommand = \"/bin/false\"\nstartretries = 0\non_event = [\"sleep\", \"301\"]\n".to_owned(),
    ];
    world.configure_with(&server, &programs.concat());
    let daemon = world.daemon();
    until("the hooks of all", || {
        let text = fs::read_to_string(world.path("all")).unwrap_or_default();
        text.contains("g bad FATAL\n") && text.contains("job job EXITED\n") && text.lines().count() == 2
    });
    until("its own hook", || fs::read_to_string(world.path("own")).is_ok_and(|text| text == "own own RUNNING\n"));
    until("them in history", || {
        let names: Vec<String> = world.history().iter().map(|row| row.text("taskname").to_owned()).collect();
        ["g:bad.hook", "job.hook", "own.hook"].iter().all(|name| names.iter().any(|other| other == name))
    });
    assert_eq!(world.state("slow"), "FATAL");
    let (ran, took) = timed(|| daemon.end());
    assert!(ran.code == 0 && took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn its_death_does_not_affect_its_programs() {
    let world = World::new();
    world.configure(
        &(script("web", "while :; do echo tick; sleep 0.02; done", "")
            + "[programs.quiet]\ncommand = \"sleep\"\nargs = [\"301\"]\n"),
    );
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("quiet", "RUNNING");
    let states = world.states();
    let of = |name: &str| (world.pid(name), states[name]["task_id"].as_i64().unwrap());
    let ((pid, task), (quiet, quiet_task)) = (of("web"), of("quiet"));
    daemon.crash();
    let size = || fs::metadata(world.path("web.stdout")).unwrap().len();
    let before = size();
    until("its log to grow without a supervisor", || size() > before + 100);
    assert_eq!(world.json(&["list"])[0]["status"], "RUNNING");
    // Its launcher dies too, and with it the reader of the output; a silent program is still known, and not started
    // twice.
    send(shim_of(quiet), Signal::SIGKILL);
    let daemon = world.daemon();
    let states = world.states();
    assert_eq!((&states["web"]["pid"], &states["web"]["task_id"]), (&json!(pid), &json!(task)));
    assert_eq!((&states["quiet"]["pid"], &states["quiet"]["state"]), (&json!(quiet), &json!("RUNNING")));
    let sleeps = world
        .processes()
        .into_iter()
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x00301\x00"));
    assert_eq!(sleeps.collect::<Vec<_>>(), [quiet]);
    assert_eq!(daemon.end().code, 0);
    until("both to be recorded", || {
        world.control(["update"]).run().ok();
        world.tasks().is_empty()
    });
    let row = world.history().into_iter().find(|row| row.int("taskid") == quiet_task).unwrap();
    assert_eq!(row.text("outcome"), "unknown", "{row:?}");
    // Both die unobserved: one row, without invented facts.
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let (pid, task) = (world.pid("web"), world.states()["web"]["task_id"].as_i64().unwrap());
    daemon.crash();
    send(shim_of(pid), Signal::SIGKILL);
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    until("its end", || !is_alive(pid));
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let row = eventually("its row", || world.history().into_iter().find(|row| row.int("taskid") == task));
    assert_eq!(row.text("outcome"), "unknown", "{row:?}");
    assert!(row.is_null("exitcode"), "no exit code is made up: {row:?}");
    assert!(row.text("termerror").contains("lost"), "{row:?}");
    assert_eq!(world.history().iter().filter(|row| row.int("taskid") == task).count(), 1);
    daemon.end();
    world.is_sound();
}

#[test]
fn programs_left_running_are_adopted_by_the_next_supervisor() {
    let world = World::new();
    let config = "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n\
                  [programs.bad]\ncommand = \"/bin/false\"\nstartretries = \"unlimited\"\n";
    world.configure(config);
    let mut daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("bad", "BACKOFF");
    let (pid, task) = (world.pid("web"), world.states()["web"]["task_id"].clone());
    assert_eq!(world.ctl(&["shutdown", "--leave-running"]).code, 0);
    assert_eq!(daemon.started.take().unwrap().wait().code, 0);
    assert!(is_alive(pid) && !world.path("s.sock").exists() && !world.path("s.pid").exists());
    let daemon = world.daemon();
    let web = world.states()["web"].clone();
    assert_eq!((&web["pid"], &web["task_id"], &web["adopted"]), (&json!(pid), &task, &json!(true)));
    until("bad to be tried again", || ["STARTING", "BACKOFF"].contains(&world.state("bad").as_str()));
    daemon.end();
    assert!(!is_alive(pid));
}

#[test]
fn its_log_consists_of_whole_lines() {
    let world = World::new();
    let odd = "[programs.odd]\ncommand = \"sleep\"\ndirectory = \"/no/\\n2026-01-01 00:00:00,000 CRIT forged\"\n\
               startretries = 0\nautostart = false\n";
    world.configure_with(
        "logfile_maxbytes = 2000\nlogfile_backups = 2\n",
        &(odd.to_owned() + "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\n"),
    );
    let daemon = world.daemon();
    let whole = |name: &str| {
        let text = world.read(name);
        assert!(text.ends_with('\n'), "{name}: {text:?}");
        text.lines().for_each(|line| assert!(is_log_line(line), "{name}: {line:?}"));
        text.len()
    };
    assert!(whole("act.log") > 0);
    world.ask(named("start", "odd"));
    until("what could be forged", || world.log().contains("cannot change directory to /no/\\n2026"));
    whole("act.log");
    for _ in 0..3 {
        let turned = || fs::metadata(world.path("act.log.1")).map(|meta| meta.ino()).ok();
        let before = turned();
        until("it to turn over", || {
            assert_eq!(world.ask(named("restart", "web"))["status"], 200);
            turned() != before
        });
        assert!(whole("act.log.1") <= 2000 && whole("act.log") <= 2000);
    }
    assert!(world.path("act.log.2").exists() && !world.path("act.log.3").exists());
    // A deleted log is created again; an unwritable folder is not a reason to stop.
    fs::remove_file(world.path("act.log")).unwrap();
    world.ask(named("restart", "web"));
    assert!(whole("act.log") > 0);
    daemon.end();
    whole("act.log");
}

#[test]
fn a_disk_that_is_full_stops_neither_it_nor_its_programs() {
    let world = World::new();
    world.configure(&script(
        "web",
        "for i in $(seq 2000); do echo $i; done; touch $W/through; sleep 300",
        "stdout = \"/dev/full\"\nstdout_maxbytes = 0",
    ));
    let text = world.read("t.toml").replace("logfile = \"act.log\"", "logfile = \"/dev/full\"\nlogfile_maxbytes = 0");
    fs::write(world.path("t.toml"), text).unwrap();
    let daemon = world.daemon_begun();
    until("the program to get through", || world.path("through").exists());
    world.comes_to("web", "RUNNING");
    assert_eq!(world.ask(named("restart", "web"))["status"], 200);
    let said = daemon.started.as_ref().unwrap().stdout();
    assert!(said.contains("cannot write log /dev/full: No space left on device"), "{said}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn the_end_of_a_program_is_that_of_its_process_and_not_of_its_output() {
    let world = World::new();
    world.configure(
        &[
            script("left", "sleep 20 & exit 3", "startsecs = 0\nautorestart = \"false\"\nstopasgroup = false"),
            script("mute", "exec >&- 2>&-; sleep 300", ""),
        ]
        .map(|text| text.replace("stopasgroup = true\nstartsecs", "startsecs"))
        .concat(),
    );
    let daemon = world.daemon();
    let ((), took) = timed(|| world.comes_to("left", "EXITED"));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(world.states()["left"]["exit_code"], 3);
    assert!(world.states()["left"]["leftover"].as_i64().unwrap() > 0);
    world.comes_to("mute", "RUNNING");
    let shim = shim_of(world.pid("mute"));
    let switches = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        crate::support::field(&status, "voluntary_ctxt_switches").parse::<u64>().unwrap()
    };
    let (before, began) = (switches(shim), taskwatcher::io::sys::now().mono);
    until("a second", || taskwatcher::io::sys::now().mono - began > Duration::from_secs(1));
    assert!(switches(shim) - before < 20, "it waits, and does not look again and again");
    daemon.end();
}

#[test]
fn many_simultaneous_ends_are_all_detected() {
    let world = World::new();
    world.configure(
        "[programs.many]\ncommand = \"sleep\"\nargs = [\"300\"]\nnumprocs = 110\nstartsecs = 0\nautorestart = \"false\"\nstdout = \"none\"\nstderr = \"none\"\n",
    );
    let daemon = world.daemon();
    let in_state = |state: &str| world.states().values().filter(|process| process["state"] == state).count();
    until("all to run", || in_state("RUNNING") == 110);
    let pids: Vec<i32> =
        world.states().values().map(|process| i32::try_from(process["pid"].as_i64().unwrap()).unwrap()).collect();
    daemon.signal(Signal::SIGSTOP);
    pids.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    until("all to be gone", || pids.iter().all(|pid| !is_alive(*pid)));
    daemon.signal(Signal::SIGCONT);
    until("all to be seen", || in_state("EXITED") == 110);
    let own = daemon_pid(&daemon);
    until("no zombie to be left", || process::descendants(own, &[]).is_ok_and(|left| left.is_empty()));
    assert_eq!(daemon.end().code, 0);
    assert_eq!(world.history().len(), 110);
}

#[test]
fn a_program_runs_with_the_rights_of_its_user_only() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let id = "id -u; id -g; id -G; echo $HOME; exec sleep 300";
    world.configure(
        &(script("theirs", id, "user = \"nobody\"\numask = 0o27\nredirect_stderr = true")
            + "[programs.none]\ncommand = \"sleep\"\nuser = \"nobody\"\ndirectory = \"/root\"\nstartretries = 0\n"),
    );
    let daemon = world.daemon();
    world.comes_to("theirs", "RUNNING");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let home = world.path("").display().to_string();
    let home = home.trim_end_matches('/');
    let text = eventually("what it says", || {
        let text = fs::read_to_string(world.path("theirs.stdout")).ok()?;
        (text.lines().count() == 4).then_some(text)
    });
    let lines: Vec<&str> = text.lines().collect();
    let gid = nobody.gid.to_string();
    assert_eq!(lines, [nobody.uid.to_string().as_str(), &gid, &gid, home], "no group of root is left");
    let owner = fs::metadata(world.path("theirs.stdout")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()), "its log is its own");
    let umask = fs::read_to_string(format!("/proc/{}/status", world.pid("theirs"))).unwrap();
    assert_eq!(crate::support::field(&umask, "Umask"), "0027");
    assert!(!world.path("theirs.stderr").exists());
    if Path::new("/root").metadata().is_ok_and(|meta| meta.mode() & 0o005 == 0) {
        world.comes_to("none", "FATAL");
        let why = world.states()["none"]["description"].clone();
        assert!(why.as_str().unwrap().starts_with("cannot change directory to /root: Permission denied"), "{why}");
    }
    daemon.end();
}

#[test]
fn an_ordinary_user_cannot_start_programs_of_other_users() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.configure("[programs.theirs]\ncommand = \"sleep\"\nargs = [\"300\"]\nuser = \"daemon\"\nstartretries = 0\n[programs.own]\ncommand = \"sleep\"\nargs = [\"300\"]\nuser = \"nobody\"\n");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let whole = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    whole(&world.path(""));
    whole(&world.work());
    let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("t.toml"));
    let started = program.user(nobody.uid.as_raw()).spawn();
    world.comes_to("theirs", "FATAL");
    world.comes_to("own", "RUNNING");
    let why = world.states()["theirs"]["description"].clone();
    assert!(why.as_str().unwrap().starts_with("cannot switch to user daemon: "), "{why}");
    assert!(started.stderr().contains("daemon"), "it is warned at once: {}", started.stderr());
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code, 0);
}

#[test]
fn adopted_orphans_are_reaped() {
    // The supervisor is the first process of a pid namespace, which adopts orphans.
    let world = World::new();
    // It lives until both the command and its shim are gone.
    let waits = "until read -r _ _ _ parent _ < /proc/$$/stat && [ $parent = 1 ]; do sleep 0.05; done";
    let orphan =
        format!("(setsid sh -c '> $W/away; {waits}' > /dev/null 2>&1 &); until [ -e $W/away ]; do sleep 0.05; done");
    world.configure(&script("job", &orphan, "startsecs = 0\nautorestart = \"false\""));
    let unshare = |args: &[&str]| {
        let mut program = world.command("unshare");
        program.command.args(["--pid", "--fork", "--mount-proc"]).args(args);
        program
    };
    if !is_root() || unshare(&["true"]).run().code != 0 {
        return;
    }
    let config = world.path("t.toml").display().to_string();
    let started = unshare(&[env!("CARGO_BIN_EXE_supervise"), "-n", "-c", &config]).spawn();
    until("an orphan to be reaped", || world.log().contains("INFO reaped: process "));
    world.comes_to("job", "EXITED");
    assert_eq!(world.ctl(&["shutdown"]).code, 0);
    assert_eq!(started.wait().code, 0);
}

#[test]
fn a_program_has_no_descriptor_of_its_supervisor() {
    let world = World::new();
    world.configure(
        "[programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\n[inet_http_server]\nport = \"127.0.0.1:0\"\n",
    );
    // A port that is free at the moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = world.read("t.toml").replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    fs::write(world.path("t.toml"), text).unwrap();
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let fds: Vec<String> = fs::read_dir(format!("/proc/{}/fd", world.pid("web")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(fds.len(), 3, "{fds:?}");
    let version: Value = {
        use std::io::{BufRead, BufReader, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"{\"command\":\"version\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(version["content"]["identifier"], "supervise");
    // Nothing happens, so the supervisor sleeps: with a port and a program it only checks its socket.
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon_pid(&daemon))).unwrap();
        crate::support::field(&status, "voluntary_ctxt_switches").parse::<u64>().unwrap()
    };
    until("three seconds in which it is awake six times at the most", || {
        let (before, began) = (switches(), taskwatcher::io::sys::now().mono);
        until("some seconds", || taskwatcher::io::sys::now().mono - began > Duration::from_secs(3));
        switches() - before <= 6
    });
    daemon.end();
}
