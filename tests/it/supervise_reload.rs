//! Reloads, with the real daemon.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{World, daemon::named, desk::is_alive, until};
use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::{Value, json};
use taskwatcher::io::process;

fn reload(world: &World) -> Value {
    let answer = world.ask(json!({ "command": "reload" }));
    assert_eq!(answer["status"], 200, "{answer}\n{}", world.log());
    answer["content"].clone()
}

fn sleeper(name: &str, secs: u32, more: &str) -> String {
    format!("[programs.{name}]\ncommand = \"sleep\"\nargs = [\"{secs}\"]\n{more}\n")
}

#[test]
fn instances_come_and_go_one_by_one() {
    let world = World::new();
    let many = |numprocs: u32, start: u32| {
        sleeper(
            "many",
            300,
            &format!("numprocs = {numprocs}\nnumprocs_start = {start}\nprocess_name = \"m%(process_num)d\""),
        )
    };
    world.configure(&many(2, 0));
    let _daemon = world.daemon();
    let all = |names: &[&str]| {
        for name in names {
            world.comes_to(name, "RUNNING");
        }
        let states = world.states();
        assert_eq!(states.keys().map(String::as_str).collect::<Vec<_>>(), names);
        states
    };
    let first = all(&["many:m0", "many:m1"]);
    world.configure(&many(4, 0));
    let done = reload(&world);
    assert_eq!((&done["added"], &done["removed"]), (&json!(["many:m2", "many:m3"]), &json!([])));
    let more = all(&["many:m0", "many:m1", "many:m2", "many:m3"]);
    // Renumbered: processes in both ranges stay; surplus ones stop.
    world.configure(&many(3, 1));
    let done = reload(&world);
    assert_eq!((&done["added"], &done["removed"]), (&json!([]), &json!(["many:m0"])));
    let moved = all(&["many:m1", "many:m2", "many:m3"]);
    world.configure(&many(1, 1));
    assert_eq!(reload(&world)["removed"], json!(["many:m2", "many:m3"]));
    let last = all(&["many:m1"]);
    for states in [&more, &moved, &last] {
        assert_eq!(states["many:m1"]["pid"], first["many:m1"]["pid"]);
    }
    // Another group is another name without a new run, and so is another spelling.
    let text = many(1, 1).replace("command", "cmd").replace("args", "# it sleeps\nargs");
    world.configure(&format!("{text}group = \"g\"\n"));
    assert_eq!(reload(&world)["updated"], json!(["g:m1"]));
    assert_eq!(all(&["g:m1"])["g:m1"]["pid"], first["many:m1"]["pid"]);
    assert_eq!(reload(&world)["unchanged"], 1);
    // Warnings are reported to clients that only check, and logged when they apply.
    world.configure(&(many(1, 1) + "group = \"g\"\nstopsignal = \"KILL\"\n"));
    let warned = || world.log().matches("SIGKILL gives the program no chance").count();
    assert_eq!(world.ask(json!({ "command": "reread" }))["content"]["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(warned(), 0);
    assert_eq!(reload(&world)["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(warned(), 1);
    // A program with another name is another program.
    world.configure(&sleeper("other", 300, ""));
    let done = reload(&world);
    assert_eq!((&done["added"], &done["removed"]), (&json!(["other"]), &json!(["g:m1"])));
    until("the old one to be gone", || {
        let pid = i32::try_from(first["many:m1"]["pid"].as_i64().unwrap()).unwrap();
        process::stat(pid).is_none_or(|stat| stat.ended)
    });
}

#[test]
fn a_reload_depends_on_the_state_of_a_process() {
    let world = World::new();
    let config = |secs: u32, retries: u32, script: &str| {
        sleeper("down", secs, "")
            + &sleeper("later", secs, "autostart = false")
            + &format!("[programs.done]\ncommand = \"sh\"\nargs = [\"-c\", \"exit 0 # {secs}\"]\nstartsecs = 0\n")
            + &format!("[programs.tries]\ncommand = \"/bin/false\"\nstartretries = {retries}\n")
            + &format!(
                "[programs.slow]\ncommand = \"bash\"\nargs = [\"-c\", \"{script}\"]\nstartsecs = 0\nstopwaitsecs = 30\n"
            )
    };
    let deaf = "trap 'test -e $W/go && exit' TERM; while :; do sleep 0.05; done # 1";
    world.configure(&config(300, 50, deaf));
    let _daemon = world.daemon();
    for (name, state) in [("down", "RUNNING"), ("done", "EXITED"), ("tries", "BACKOFF"), ("slow", "RUNNING")] {
        world.comes_to(name, state);
    }
    world.ask(named("stop", "down"));
    // A process that stops slowly.
    let mut client = world.connect_to_daemon();
    client.send(&named("stop", "slow"));
    world.comes_to("slow", "STOPPING");
    let slow = world.pid("slow");
    // Two attempts have failed when the number of retries becomes zero: it becomes FATAL at once, without another
    // start.
    world.comes_to("tries", "BACKOFF");
    world.configure(&config(400, 0, &deaf.replace("# 1", "# 2")));
    let done = reload(&world);
    assert_eq!(done["restarted"], json!([]), "{done}");
    assert_eq!(done["updated"], json!(["done", "down", "later", "slow", "tries"]));
    let states = world.states();
    let state = |name: &str| states[name]["state"].as_str().unwrap().to_owned();
    assert_eq!(
        ["down", "later", "done", "tries", "slow"].map(state),
        ["STOPPED", "STOPPED", "EXITED", "FATAL", "STOPPING"]
    );
    // A stop in progress ends as a stop.
    fs::write(world.path("work/go"), "").unwrap();
    fs::write(world.path("go"), "").unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(slow), Signal::SIGTERM).unwrap();
    assert_eq!(client.line()["status"], 200);
    assert_eq!(world.state("slow"), "STOPPED");
    assert_eq!(world.states()["slow"]["config_changed"], false, "it is what the file says");
    // The stored configuration is used.
    assert_eq!(world.ask(named("start", "down"))["status"], 200);
    let args = fs::read_to_string(format!("/proc/{}/cmdline", world.pid("down"))).unwrap();
    assert_eq!(args, "sleep\x00400\0");
}

#[test]
fn the_last_of_several_changes_before_the_end_of_the_old_run_counts() {
    let world = World::new();
    let config = |arg: &str, retries: u32| {
        format!(
            "[programs.slow]\ncommand = \"bash\"\nargs = [\"-c\", \"trap 'test -e $W/go && exit' TERM; while :; do sleep 0.05; done\", \"{arg}\"]\n\
             startsecs = 0\nstopwaitsecs = 30\nstartretries = {retries}\n"
        )
    };
    world.configure(&config("one", 1));
    let _daemon = world.daemon();
    world.comes_to("slow", "RUNNING");
    let pid = world.pid("slow");
    let quick = json!({ "command": "reload", "wait": false });
    world.configure(&config("two", 1));
    assert_eq!(world.ask(quick.clone())["status"], 202);
    world.comes_to("slow", "STOPPING");
    // Then a change that needs no new run: the pending run gets it.
    world.configure(&config("two", 7));
    world.ask(quick.clone());
    fs::write(world.path("go"), "").unwrap();
    let end = |pid: i32| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    end(pid);
    world.runs_again("slow", pid);
    assert_eq!(world.states()["slow"]["startretries"], 7);
    assert_eq!(world.ask(json!({ "command": "reread" }))["content"]["unchanged"], 1);
    let pid = world.pid("slow");
    assert!(fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().ends_with("two\0"));
    // Removed, added again before it has ended, and changed once more.
    fs::remove_file(world.path("go")).unwrap();
    world.configure("");
    world.ask(quick.clone());
    world.comes_to("slow", "STOPPING");
    world.configure(&config("three", 1));
    world.ask(quick.clone());
    world.configure(&config("four", 1));
    world.ask(quick);
    fs::write(world.path("go"), "").unwrap();
    end(pid);
    world.runs_again("slow", pid);
    assert!(fs::read_to_string(format!("/proc/{}/cmdline", world.pid("slow"))).unwrap().ends_with("four\0"));
}

#[test]
fn settings_of_the_supervisor_change_where_possible() {
    let world = World::new();
    let program = sleeper("a", 300, "");
    world.configure(&program);
    let daemon = world.daemon();
    world.comes_to("a", "RUNNING");
    let pid = world.pid("a");
    // Another log, level and name; a new folder for the logs of a new program, and for the socket.
    world.configure_with(
        "identifier = \"two\"\ncreate_dirs = true\nminfds = 65\numask = \"077\"",
        &(program.clone()
            + "[programs.new]\ncommand = \"sh\"\nargs = [\"-c\", \"echo hello; sleep 300\"]\nstdout = \"deep/er/new.log\"\n"),
    );
    let text = world.read("t.toml").replace("act.log", "logs/two.log").replace("minfds = 64\n", "");
    fs::write(world.path("t.toml"), text.replace("s.sock", "run/s.sock")).unwrap();
    let done = reload(&world);
    assert_eq!(done["needs_restart"], json!(["umask", "minfds"]), "{done}");
    assert_eq!(done["added"], json!(["new"]));
    until("what the new one prints", || {
        world.path("deep/er/new.log").exists() && world.read("deep/er/new.log") == "hello\n"
    });
    assert_eq!(fs::metadata(world.path("deep")).unwrap().permissions().mode() & 0o777, 0o750);
    assert!(world.log().contains("INFO reload: 1 added"));
    assert!(world.log().contains("WARN config: umask takes effect only after a restart"));
    assert!(world.read("logs/two.log").contains("INFO spawned: new"));
    assert!(!world.path("s.sock").exists());
    let ask = |request: Value| {
        let socket = world.path("run/s.sock");
        let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("--socket").arg(socket).arg("--json");
        program.command.args(request.as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
        program.run()
    };
    assert!(ask(json!(["version"])).text().contains("\"two\""));
    assert!(ask(json!(["pid", "a"])).text().contains(&pid.to_string()));
    daemon.signal(Signal::SIGTERM);
}

#[test]
fn a_reload_that_cannot_open_something_changes_nothing() {
    let world = World::new();
    let program = sleeper("a", 300, "");
    world.configure(&program);
    let _daemon = world.daemon();
    world.comes_to("a", "RUNNING");
    let good = world.read("t.toml");
    let refused = |text: &str, word: &str| {
        let path = world.path("t.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let answer = world.ask(json!({ "command": "reload" }));
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(422), &json!("CANT_REREAD")), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
        assert!(!world.states().contains_key("b"), "nothing of it was done");
        assert!(world.log().contains("; nothing was changed"), "the old log goes on");
    };
    let more = |text: &str| text.to_owned() + &sleeper("b", 301, "");
    // A link is refused as a log.
    std::os::unix::fs::symlink(world.path("t.toml"), world.path("link.log")).unwrap();
    refused(&more(&good.replace("act.log", "link.log")), "link.log: it is a symbolic link");
    // A file is in the place of the socket.
    fs::write(world.path("x.sock"), "precious").unwrap();
    refused(&more(&good.replace("s.sock", "x.sock")), "a regular file is in its place");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let port = format!("[inet_http_server]\nport = \"{port}\"\nusername = \"u\"\npassword = \"p\"\n");
    refused(&more(&(good.clone() + &port)), "in use");
    // Other permissions of the socket, and a port in use.
    refused(&more(&(good.replace("\"s.sock\"", "\"s.sock\"\nchmod = 0o770") + &port)), "in use");
    assert_eq!(fs::metadata(world.path("s.sock")).unwrap().permissions().mode() & 0o777, 0o700);
    // A folder that cannot be created, because a file has its name.
    fs::write(world.path("file"), "").unwrap();
    let logs = good.replace("act.log", "file/x/act.log").replace("[taskmasterd]", "[taskmasterd]\ncreate_dirs = true");
    refused(&more(&logs), "file");
    fs::write(world.path("t.toml"), good.replace("\"s.sock\"", "\"s.sock\"\nchmod = 0o770")).unwrap();
    if !geteuid().is_root() {
        return;
    }
    reload(&world);
    assert_eq!(fs::metadata(world.path("s.sock")).unwrap().permissions().mode() & 0o777, 0o770);
}

#[test]
fn log_limits_of_a_running_program_change() {
    let world = World::new();
    let config = |limits: &str| {
        format!(
            "[programs.talk]\ncommand = \"sh\"\nargs = [\"-c\", \"i=0; while :; do i=$((i+1)); echo line $i 0123456789012345678901234567890123456789; sleep 0.01; done\"]\n{limits}\n"
        )
    };
    world.configure(&config(""));
    let _daemon = world.daemon();
    world.comes_to("talk", "RUNNING");
    let pid = world.pid("talk");
    until("a log of some size", || fs::metadata(world.path("talk.stdout")).is_ok_and(|meta| meta.len() > 1000));
    assert!(!world.path("talk.stdout.1").exists());
    world.configure(&config("stdout_maxbytes = 600\nstdout_backups = 2"));
    assert_eq!(reload(&world)["updated"], json!(["talk"]));
    until("the log to be turned over twice", || world.path("talk.stdout.2").exists());
    until("short ones only", || fs::metadata(world.path("talk.stdout.2")).is_ok_and(|meta| meta.len() <= 600));
    assert!(!world.path("talk.stdout.3").exists());
    assert_eq!(world.pid("talk"), pid);
    assert!(world.read("talk.stdout.2").ends_with('\n'), "no line is cut in two");
}

#[test]
fn the_active_configuration_file_is_reported() {
    let world = World::new();
    world.configure(&sleeper("web", 300, ""));
    let _daemon = world.daemon();
    let active = || world.ask(json!({ "command": "status" }))["content"]["daemon"]["config"].clone();
    let sum = || world.command("sha256sum").arg(world.path("t.toml")).run().text()[..64].to_owned();
    let first = sum();
    assert_eq!(active()["sha256"], first);
    // Neither a changed nor an invalid file on disk is the active one.
    world.configure(&sleeper("web", 301, ""));
    let second = sum();
    assert_eq!(world.ask(json!({ "command": "reread" }))["status"], 200);
    assert_eq!(active()["sha256"], first);
    let good = world.read("t.toml");
    fs::write(world.path("t.toml"), "nonsense = 1\n").unwrap();
    assert_eq!(world.ask(json!({ "command": "reload" }))["status"], 422);
    assert_eq!(active()["sha256"], first);
    fs::write(world.path("t.toml"), good).unwrap();
    reload(&world);
    assert_eq!(active()["sha256"], second);
}

#[test]
fn reloads_are_serialized_and_several_hups_are_merged() {
    let world = World::new();
    let text = |secs: u32| {
        let deaf = "command = \"bash\"\nargs = [\"-c\", \"trap '' TERM; touch $W/deaf; while :; do sleep 0.05; done\"]";
        format!("[programs.deaf]\n{deaf}\nstopwaitsecs = 2\nstartsecs = 0\n") + &sleeper("quick", secs, "startsecs = 0")
    };
    world.configure(&text(300));
    let daemon = world.daemon();
    world.comes_to("quick", "RUNNING");
    until("the deaf one to be deaf", || world.path("deaf").exists());
    let (deaf, quick) = (world.pid("deaf"), world.pid("quick"));
    // The first reload takes two seconds, because a process ends slowly. The second one finds the result of the first.
    world.configure(&sleeper("quick", 301, "startsecs = 0"));
    let mut first = world.connect_to_daemon();
    first.send(&json!({ "command": "reload" }));
    world.runs_again("quick", quick);
    let second = world.pid("quick");
    let done = reload(&world);
    assert_eq!((&done["restarted"], &done["added"]), (&json!([]), &json!([])), "{done}");
    let done = first.line()["content"].clone();
    assert_eq!((&done["removed"], &done["restarted"]), (&json!(["deaf"]), &json!(["quick"])), "{done}");
    assert!(!is_alive(deaf));
    assert_eq!(world.pid("quick"), second);
    // Signals that arrive before it can handle the first are merged.
    world.configure(&sleeper("quick", 302, "startsecs = 0"));
    daemon.signal(Signal::SIGSTOP);
    let pid = daemon.started.as_ref().unwrap().pid();
    until("it to be paused", || process::stat(pid).is_some_and(|stat| stat.stopped));
    (0..5).for_each(|_| daemon.signal(Signal::SIGHUP));
    daemon.signal(Signal::SIGCONT);
    world.runs_again("quick", second);
    assert_eq!(world.ask(json!({ "command": "version" }))["status"], 200);
    assert_eq!(world.log().matches("reading the configuration again").count(), 1, "{}", world.log());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_log_is_followed_until_its_program_is_removed() {
    let world = World::new();
    let web = "[programs.web]\ncommand = \"sh\"\nargs = [\"-c\", \"echo begun; exec sleep 300\"]\nstartsecs = 0\n";
    world.configure(&format!("{web}{}", sleeper("other", 300, "")));
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut client = world.connect_to_daemon();
    let follow = json!({ "command": "tail", "target": "process", "name": "web", "args": { "follow": true } });
    client.send(&follow);
    let first = client.line();
    assert_eq!(first["status"], 200, "{first}");
    // After a change that needs a new run, the same log continues.
    world.configure(&format!("{}{}", web.replace("begun", "again"), sleeper("other", 300, "")));
    reload(&world);
    let mut data = String::new();
    while !data.contains("again\n") {
        let line = client.line();
        data.push_str(line["data"].as_str().unwrap_or_else(|| panic!("{line}")));
    }
    world.configure(&sleeper("other", 300, ""));
    assert_eq!(reload(&world)["removed"], json!(["web"]));
    let line = client.line();
    assert_eq!(line["ended"], "the process was removed", "{line}");
}
