//! The supervisor in trouble: logs that are not files, full disks, removed folders, paused launchers, and crossing
//! requests.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    process::Stdio,
    time::Duration,
};

use crate::support::{
    World,
    daemon::{named, shim_of},
    desk::{SmallDisk, is_alive, send},
    timed, until,
};
use nix::{
    sys::signal::Signal,
    sys::stat::Mode,
    unistd::{geteuid, mkfifo},
};
use serde_json::json;
use taskwatcher::io::rundir::RunDir;

fn program(name: &str, script: &str, more: &str) -> String {
    format!("[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", '''{script}''']\n{more}\n")
}

/// User id of `nobody`.
const OTHER: u32 = 65534;

const DEAF: &str = "trap '' TERM; while :; do sleep 0.1; done";

// ---- storage that hangs

/// A folder mounted through a process that can be paused: then all accesses hang.
struct Hanging {
    folder: std::path::PathBuf,
    server: std::process::Child,
}

impl Hanging {
    /// Mounts the folder. `None` if that is not possible here.
    fn mount(of: &std::path::Path, at: &std::path::Path) -> Option<Hanging> {
        fs::create_dir(at).unwrap();
        let mut command = std::process::Command::new("bindfs");
        let silent = command.arg("-f").arg(of).arg(at).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = silent.spawn().ok()?;
        let mounted = || fs::read_to_string("/proc/self/mounts").unwrap().contains(at.to_str().unwrap());
        until("bindfs to mount or to end", || mounted() || server.try_wait().unwrap().is_some());
        mounted().then(|| Hanging { folder: at.to_owned(), server })
    }

    /// Stops or continues the server. A request that the server has read and does not answer makes a process
    /// uninterruptible, so each of its threads must have stopped before the files are used.
    fn send(&self, signal: Signal) {
        let server = self.server.id();
        send(i32::try_from(server).unwrap(), signal);
        let has_stopped = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" T"))
        };
        until("its threads to stop", || {
            let mut threads = fs::read_dir(format!("/proc/{server}/task")).unwrap();
            signal != Signal::SIGSTOP || threads.all(|thread| has_stopped(thread.unwrap()))
        });
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).status();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_reload_waits_for_files_that_hang_while_programs_are_supervised() {
    let world = World::new();
    let included = |names: &[&str]| {
        let all: String = names.iter().map(|name| program(name, "exec sleep 1000", "startsecs = 0")).collect();
        fs::write(world.path("conf.d/new"), all).unwrap();
        fs::rename(world.path("conf.d/new"), world.path("conf.d/all.toml")).unwrap();
    };
    fs::create_dir(world.path("conf.d")).unwrap();
    included(&["web"]);
    let Some(files) = Hanging::mount(&world.path("conf.d"), &world.path("seen.d")) else { return };
    world.configure("[include]\nfiles = [\"seen.d/*.toml\"]\n");
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    files.send(Signal::SIGSTOP);
    included(&["web", "more"]);
    let pid = world.pid("web");
    // Each kind of request that reads the configuration files.
    let mut patient = world.connect_to_daemon();
    patient.send(&json!({ "command": "reload" }));
    for request in [
        json!({ "command": "reload", "timeout": 0.1 }),
        json!({ "command": "reread", "timeout": 0.1 }),
        json!({ "command": "update", "timeout": 0.1 }),
        json!({ "command": "add", "target": "program", "name": "more", "timeout": 0.1 }),
    ] {
        let answer = world.ask(request);
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(504), &json!("TIMEOUT")), "{answer}");
        let why = answer["error"]["message"].as_str().unwrap();
        assert!(why.contains("the configuration files do not respond"), "{answer}");
    }
    daemon.signal(Signal::SIGHUP);
    until("the log to say so", || world.log().contains("still waiting for the configuration files"));
    // Meanwhile programs are supervised, and clients get responses.
    send(pid, Signal::SIGKILL);
    world.runs_again("web", pid);
    assert_eq!(world.ask(named("stop", "web"))["status"], 200);
    let status = world.ask(json!({ "command": "status" }));
    let why = status["content"]["daemon"]["config"]["error"].as_str().unwrap();
    assert!(why.contains("the configuration files do not respond"), "{why}");
    files.send(Signal::SIGCONT);
    let answer = patient.line();
    assert_eq!((&answer["status"], &answer["content"]["added"]), (&json!(200), &json!(["more"])), "{answer}");
    world.comes_to("more", "RUNNING");
    assert!(world.ask(json!({ "command": "status" }))["content"]["daemon"]["config"]["error"].is_null());
    // The supervisor shuts down while the files hang.
    files.send(Signal::SIGSTOP);
    daemon.signal(Signal::SIGHUP);
    until("that to be heard", || world.log().matches("reading the configuration again").count() == 2);
    assert_eq!(daemon.end().code, 0);
    files.send(Signal::SIGCONT);
}

// ---- modes

#[test]
fn an_ordinary_user_can_use_files_of_a_supervisor_under_any_umask() {
    for umask in ["0177", "0777"] {
        let world = World::new();
        world.configure_with(
            &format!("umask = \"{umask}\""),
            &program("web", "umask; exec sleep 1000", "startsecs = 0"),
        );
        for name in ["supervise", "launch"] {
            let own = std::path::Path::new(env!("CARGO_BIN_EXE_launch")).with_file_name(name);
            assert!(std::process::Command::new("cp").arg(own).arg(world.path(name)).status().unwrap().success());
        }
        // Twice: the second supervisor uses the files of the first.
        for _ in 0..2 {
            let script = format!("umask {umask}; exec \"$W/supervise\" -n -c \"$W/t.toml\"");
            let mut run = world.command("sh").arg("-c").arg(&script);
            if geteuid().is_root() {
                chown(world.path(""), Some(OTHER), None).unwrap();
                run = run.of_user(OTHER);
            }
            let started = run.spawn();
            until(&format!("it to be ready: {}", world.log()), || world.path("s.sock").exists());
            world.comes_to("web", "RUNNING");
            assert_eq!(world.ask(named("restart", "web"))["status"], 200, "{}", world.log());
            until("its umask", || world.ctl(&["tail", "web"]).text().contains(umask));
            assert_eq!(world.ask(named("clear", "web"))["status"], 200);
            started.signal(Signal::SIGTERM);
            let ran = started.wait();
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        assert!(!world.log().contains("ermission denied"), "{}", world.log());
        let modes = ["tasks.db", "tasks.db.logs", "tasks.db-supervise"].map(|name| {
            let meta = fs::metadata(world.db().with_file_name(name)).unwrap();
            meta.permissions().mode() & 0o777
        });
        assert_eq!(modes, [0o600, 0o700, 0o700]);
    }
}

// ---- logs

#[test]
fn a_file_in_the_place_of_a_log_is_not_read() {
    let world = World::new();
    let log = |name: &str| world.path(format!("{name}.log"));
    let text = |name: &str| {
        program(name, "echo up; exec sleep 300", &format!("startsecs = 0\nstdout = \"{}\"", log(name).display()))
    };
    world.configure(&["linked", "piped"].map(text).concat());
    let daemon = world.daemon();
    fs::write(world.path("secret"), "secret\n").unwrap();
    let printed = |name: &&str| fs::read(log(name)).is_ok_and(|text| text == b"up\n");
    until("both to print", || ["linked", "piped"].iter().all(printed));
    let mut follower = world.connect_to_daemon();
    let tail = |name: &str, follow: bool| json!({ "command": "tail", "target": "process", "name": name, "args": { "follow": follow } });
    assert_eq!(follower.ask(&tail("linked", true))["status"], 200);
    fs::remove_file(log("linked")).unwrap();
    symlink("secret", log("linked")).unwrap();
    fs::remove_file(log("piped")).unwrap();
    mkfifo(&log("piped"), Mode::S_IRWXU).unwrap();
    for (name, why) in [("linked", "it is a symbolic link, which is not followed"), ("piped", "it is a pipe")] {
        let answer = world.ask(tail(name, false));
        assert_eq!(answer["status"], 500, "{answer}");
        assert_eq!(answer["error"]["message"], format!("cannot read log {}: {why}", log(name).display()), "{answer}");
        // A follower gets nothing of the file either.
        let attached = world.ask(named("fg", name));
        assert_eq!(attached["status"], 200, "{attached}");
    }
    assert_eq!(world.state("piped"), "RUNNING", "it still answers");
    // The follower of its log continues when there is a log again.
    fs::remove_file(log("linked")).unwrap();
    fs::write(log("linked"), "next\n").unwrap();
    assert_eq!(follower.line()["data"], "next\n");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn logs_may_go_to_the_output_of_the_supervisor() {
    let world = World::new();
    let streams =
        "startsecs = 0\nstdout = \"/dev/stdout\"\nstdout_maxbytes = 0\nstderr = \"/dev/stderr\"\nstderr_maxbytes = 0";
    let quiet = program("q", "exec sleep 300", streams);
    world.configure(&(program("p", "echo plain; echo wrong >&2; exec sleep 300", streams) + &quiet));
    let text = world.read("t.toml").replace("logfile = \"act.log\"", "logfile = \"/dev/stdout\"\nlogfile_maxbytes = 0");
    fs::write(world.path("t.toml"), text).unwrap();
    for to in ["> >(cat)", ""] {
        let supervise = format!("exec '{}' -n -c $W/t.toml {to}", env!("CARGO_BIN_EXE_supervise"));
        let started = world.command("bash").arg("-c").arg(supervise).spawn();
        let said = || started.stdout();
        until("its activity and what its program prints", || {
            said().contains("INFO ready") && said().contains("plain\n")
        });
        until("what it prints as wrong", || started.stderr().contains("wrong\n"));
        started.signal(Signal::SIGTERM);
        until("its last line", || said().contains("supervise ends"));
        let text = said();
        assert!(text.contains("INFO spawned: p"), "{to}: {text}");
        assert_eq!(text.matches("INFO ready").count(), 1, "{to}: {text}");
        assert_eq!(started.wait().code, 0);
    }
}

#[test]
fn all_sent_input_reaches_a_program_that_reads() {
    let world = World::new();
    world.configure(&program("cat", "sleep 0.3; exec cat >$W/got", "startsecs = 0\nstdin = \"pipe\""));
    let daemon = world.daemon();
    world.comes_to("cat", "RUNNING");
    let text = "0123456789".repeat(20_000);
    let request = json!({ "command": "send", "target": "process", "name": "cat", "args": { "data": text } });
    assert_eq!(world.ask(request)["content"]["written"], 200_000);
    until("all of it to arrive", || fs::read(world.path("got")).is_ok_and(|got| got == text.as_bytes()));
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn add_answers_for_each_name() {
    let world = World::new();
    let text =
        |names: &[&str]| names.iter().map(|name| program(name, "exec sleep 300", "startsecs = 0")).collect::<String>();
    world.configure(&text(&["y"]));
    let daemon = world.daemon();
    world.configure(&text(&["y", "new"]));
    let ran = world.ctl(&["add", "y", "new"]);
    assert_eq!(ran.text(), "y: ERROR (already added)\nnew: added\n", "{ran:?}");
    assert_eq!(daemon.end().code, 0);
}

// ---- concurrent requests

#[test]
fn nothing_is_started_during_a_shutdown() {
    let world = World::new();
    let deaf = program("x", DEAF, "startsecs = 0\nstopwaitsecs = 2\nstopasgroup = true");
    let other = program("y", "exec sleep 300", "startsecs = 0");
    world.configure(&(deaf.clone() + &other));
    let daemon = world.daemon();
    world.comes_to("x", "RUNNING");
    let reload = || world.ask(json!({ "command": "reload", "wait": false }));
    world.configure(&other);
    assert_eq!(reload()["status"], 202);
    world.comes_to("x", "STOPPING");
    world.configure(&(deaf + &other));
    assert_eq!(reload()["status"], 202);
    assert_eq!(daemon.end().code, 0);
    let log = world.log();
    assert!(log.contains("removed: x") && log.matches("spawned: x").count() == 1, "{log}");
}

#[test]
fn earlier_changes_of_a_process_are_not_the_result_of_a_request() {
    let world = World::new();
    let text = [
        program("slow", DEAF, "startsecs = 0\nstopwaitsecs = 1"),
        program("flap", "exec sleep 0.2", "startsecs = 0\nautorestart = \"true\"\npriority = 1"),
        program("young", "exec sleep 300", "startsecs = 0.5\npriority = 1"),
    ];
    world.configure_with("restart_throttle = 0.1", &text.concat());
    let daemon = world.daemon();
    world.comes_to("slow", "RUNNING");
    let young = world.pid("young");
    let answer = world.ask(json!({ "command": "restart", "target": "all" }));
    assert_eq!(answer["status"], 200, "{answer}");
    world.comes_to("young", "RUNNING");
    assert_ne!(world.pid("young"), young, "{}", world.log());
    let answer = world.ask(json!({ "command": "stop", "target": "all" }));
    assert_eq!(answer["status"], 200, "{answer}");
    for (name, process) in world.states() {
        assert_eq!(process["state"], "STOPPED", "{name}");
    }
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_restart_in_backoff_is_a_start() {
    let world = World::new();
    world.configure(&program("c", "test -e $W/ok && exec sleep 300; exit 1", "startretries = 50\nstartsecs = 0.2"));
    let daemon = world.daemon();
    world.comes_to("c", "BACKOFF");
    fs::write(world.path("ok"), "").unwrap();
    let answer = world.ask(named("restart", "c"));
    assert_eq!((&answer["status"], world.state("c").as_str()), (&json!(200), "RUNNING"), "{answer}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn clients_do_not_wait_for_a_disowned_process() {
    let world = World::new();
    let text = [
        program("deaf", DEAF, "startsecs = 0\nstopwaitsecs = \"forever\""),
        program("late", "exec sleep 300", "startsecs = 60\nautostart = false"),
    ];
    world.configure(&text.concat());
    let daemon = world.daemon();
    world.comes_to("deaf", "RUNNING");
    let pids = [world.pid("deaf")];
    let (mut stops, mut starts) = (world.connect_to_daemon(), world.connect_to_daemon());
    stops.send(&named("stop", "deaf"));
    world.comes_to("deaf", "STOPPING");
    starts.send(&named("start", "late"));
    until("it to be executed", || world.pid("late") != 0);
    let late = world.pid("late");
    // A process that is also removed is gone with it.
    world.configure(&program("late", "exec sleep 300", "startsecs = 60\nautostart = false"));
    assert_eq!(world.ask(json!({ "command": "reload", "wait": false }))["status"], 202);
    for (name, client) in [("deaf", &mut stops), ("late", &mut starts)] {
        assert_eq!(world.ask(named("disown", name))["status"], 200);
        let response = client.line();
        assert_eq!(
            (&response["status"], &response["error"]["message"]),
            (&json!(500), &json!("disowned")),
            "{response}"
        );
    }
    assert_eq!(world.states().into_keys().collect::<Vec<_>>(), ["late"], "the other one is not configured any more");
    assert_eq!(daemon.end().code, 0);
    for pid in pids.into_iter().chain([late]) {
        assert!(is_alive(pid), "{pid} goes on");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}

#[test]
fn a_process_disowned_before_its_turn_is_not_started() {
    let world = World::new();
    let many = "numprocs = 40\nprocess_name = \"%(program_name)s%(process_num)d\"\nstartsecs = 0";
    world.configure(&program("q", "exec sleep 301", many));
    let daemon = world.daemon_begun();
    let answer = world.connect_to_daemon().ask(&json!({ "command": "disown", "target": "all" }));
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(daemon.end().code, 0);
    let log = world.log();
    assert!(!log.contains("ERRO"), "{log}");
    until("nothing to be begun any more", || {
        !world.processes().iter().any(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("launch-command"))
        })
    });
}

// ---- leftovers of a dead supervisor

#[test]
fn a_group_that_was_being_ended_is_gone_before_the_next_run() {
    let world = World::new();
    world.configure(&program("g", PAIR, "startsecs = 0\nstopasgroup = true\nstopwaitsecs = 60"));
    let daemon = world.daemon();
    until("it to be ready", || fs::read(world.path("g.stdout")).is_ok_and(|text| text == b"ready\n"));
    let leader = world.pid("g");
    let member: i32 = world.line("member").parse().unwrap();
    world.ask(json!({ "command": "stop", "target": "process", "name": "g", "wait": false }));
    until("its leader to end", || !is_alive(leader));
    until("its launch to tell so", || world.states()["g"]["description"].as_str().unwrap().contains("group"));
    assert!(is_alive(member));
    daemon.crash();
    let daemon = world.daemon();
    world.comes_to("g", "RUNNING");
    assert!(!is_alive(member), "two runs of it at once: {}", world.log());
    until("the end of the first to be recorded", || world.history().len() == 1);
    assert_eq!(world.tasks().len(), 1);
    let now = json!({ "command": "stop", "target": "process", "name": "g", "args": { "now": true } });
    assert_eq!(world.ask(now)["status"], 200);
    assert_eq!(daemon.end().code, 0);
}

/// A leader that ends on request, and a member of its group that does not; once both exist, `member` contains the pid
/// of the member and `ready` is printed.
const PAIR: &str = "(trap '' TERM; echo $BASHPID >$W/member; while :; do sleep 0.1; done) & trap 'exit 0' TERM; \
                    until test -s $W/member; do :; done; echo ready; while :; do sleep 0.1; done";

/// Kills the launcher of a [`PAIR`]. Returns its leader and its member.
fn without_launch(world: &World) -> (i32, i32) {
    until("it to be ready", || fs::read(world.path("g.stdout")).is_ok_and(|text| text == b"ready\n"));
    let leader = world.pid("g");
    send(shim_of(leader), Signal::SIGKILL);
    (leader, world.line("member").parse().unwrap())
}

/// Removes the files of a [`PAIR`], for the next one.
fn forget_pair(world: &World) {
    fs::remove_file(world.path("member")).unwrap();
    fs::remove_file(world.path("g.stdout")).unwrap();
}

#[test]
fn a_group_whose_launcher_was_killed_is_still_ended() {
    let world = World::new();
    let with = "startsecs = 0\nstopasgroup = true\nstopwaitsecs = 1\nautorestart = \"true\"";
    world.configure(&program("g", PAIR, with));
    let daemon = world.daemon();
    // By a stop, whose response comes when the whole group is down.
    let (leader, member) = without_launch(&world);
    until("that to be noticed", || world.log().contains("lost: g: its shim is gone"));
    let (answer, took) = timed(|| world.ask(named("stop", "g")));
    assert!(answer["status"] == 200 && !is_alive(leader) && !is_alive(member), "{answer}: {}", world.log());
    assert!(took >= Duration::from_secs(1), "it had a second for its end: {took:?}");
    // After the end of its leader, before the next start.
    forget_pair(&world);
    assert_eq!(world.ask(named("start", "g"))["status"], 200);
    let (leader, member) = without_launch(&world);
    until("that to be noticed", || world.log().matches("lost: g: its shim is gone").count() == 2);
    forget_pair(&world);
    send(leader, Signal::SIGTERM);
    world.runs_again("g", leader);
    assert!(!is_alive(member), "two runs of it at once: {}", world.log());
    // The launcher is killed while it waits for the group.
    until("it to be ready", || fs::read(world.path("g.stdout")).is_ok_and(|text| text == b"ready\n"));
    let (leader, member): (i32, i32) = (world.pid("g"), world.line("member").parse().unwrap());
    let launch = shim_of(leader);
    let text = world.read("t.toml").replace("stopwaitsecs = 1\n", "stopwaitsecs = 300\n");
    fs::write(world.path("t.toml"), text).unwrap();
    assert_eq!(world.ask(json!({ "command": "reload" }))["status"], 200);
    world.ask(json!({ "command": "stop", "target": "process", "name": "g", "wait": false }));
    until("its leader to end", || world.states()["g"]["description"].as_str().unwrap().contains("group"));
    send(launch, Signal::SIGKILL);
    until("that to be over", || !is_alive(launch));
    let now = json!({ "command": "stop", "target": "process", "name": "g", "args": { "now": true }, "wait": false });
    world.ask(now);
    world.comes_to("g", "STOPPED");
    assert!(!is_alive(member), "{}", world.log());
    assert_eq!(world.states()["g"]["leftover"], 0);
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_group_without_supervisor_launcher_and_leader_is_gone_before_the_next_run() {
    let world = World::new();
    // The members of the other program have no identifying environment: processes that cannot be distinguished from
    // unrelated ones are left alone.
    let bare = "exec env -i sh -c 'sleep 300 & echo $! >'$W/bare'; exec sleep 300'";
    let with = "startsecs = 0\nkillasgroup = true";
    world.configure(&[program("g", PAIR, with), program("h", bare, with)].concat());
    let daemon = world.daemon();
    until("it to be ready", || fs::read(world.path("g.stdout")).is_ok_and(|text| text == b"ready\n"));
    until("the other one too", || fs::read(world.path("bare")).is_ok_and(|text| text.ends_with(b"\n")));
    let leaders = ["g", "h"].map(|name| world.pid(name));
    let launches = leaders.map(shim_of);
    let [member, other]: [i32; 2] = ["member", "bare"].map(|file| world.line(file).parse().unwrap());
    daemon.crash();
    launches.into_iter().chain(leaders).for_each(|pid| send(pid, Signal::SIGKILL));
    until("all of them to be gone", || !launches.into_iter().chain(leaders).any(is_alive));
    assert!(is_alive(member) && is_alive(other));
    let daemon = world.daemon();
    world.comes_to("g", "RUNNING");
    assert!(!is_alive(member), "two runs of it at once: {}", world.log());
    world.comes_to("h", "RUNNING");
    assert!(is_alive(other), "{}", world.log());
    send(other, Signal::SIGKILL);
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn adopted_runs_follow_the_new_configuration_and_repeat_nothing() {
    let world = World::new();
    let text = |exitcodes: &str| {
        let script = "until test -e $W/go; do sleep 0.05; done; exit 5";
        program("a", script, &format!("startsecs = 0\nautorestart = \"unexpected\"\nexitcodes = [{exitcodes}]"))
    };
    world.configure(&text("0"));
    world.control(["initialize"]).run().ok();
    let lock = world.lock();
    let daemon = world.daemon();
    until("it to say that it is no task", || world.log().contains("not recorded as a task yet"));
    drop(lock);
    until("it to become a task", || !world.tasks().is_empty());
    daemon.crash();
    world.configure(&text("5"));
    let daemon = world.daemon();
    assert_eq!(world.state("a"), "RUNNING");
    assert!(!world.log().contains("not recorded as a task yet"), "{}", world.log());
    fs::write(world.path("go"), "").unwrap();
    world.comes_to("a", "EXITED");
    until("its end to be recorded", || world.history().len() == 1);
    let shown = world.json(&["show", "1"]);
    assert_eq!(shown["supervised"]["expected"], true, "{shown}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_paused_launcher_does_not_keep_its_program_alive() {
    let world = World::new();
    world.configure(&program("r", "exec sleep 300", "startsecs = 0\nstopwaitsecs = 0.3"));
    let daemon = world.daemon();
    world.comes_to("r", "RUNNING");
    let shim = shim_of(world.pid("r"));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), Signal::SIGSTOP).unwrap();
    let answer = world.ask(named("stop", "r"));
    assert_eq!((&answer["status"], world.state("r").as_str()), (&json!(200), "STOPPED"), "{answer}");
    assert_eq!(daemon.end().code, 0);
}

// ---- requests that cannot be fulfilled

#[test]
fn impossible_requests_get_an_error() {
    let world = World::new();
    world.configure_with("orphans = \"leave\"", &program("a", "exec sleep 300", "startsecs = 0"));
    let daemon = world.daemon();
    world.comes_to("a", "RUNNING");
    let pid = world.pid("a");
    daemon.crash();
    let daemon = world.daemon();
    assert_eq!(world.state("a"), "UNKNOWN");
    for request in [named("stop", "a"), named("stop", "a"), named("restart", "a"), named("start", "a")] {
        let answer = world.ask(request);
        assert_eq!(answer["status"], 500, "{answer}");
    }
    let remove = json!({ "command": "remove", "target": "process", "name": "a", "args": { "stop": true } });
    let answer = world.ask(remove);
    assert_eq!(answer["status"], 500, "{answer}");
    assert!(world.log().contains("of an earlier supervisor, not supervised"), "{}", world.log());
    assert_eq!(daemon.end().code, 0);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

// ---- disks and folders

#[test]
fn a_full_disk_beside_the_database_does_not_prevent_control() {
    let world = World::new();
    let work = world.work();
    let Some(disk) = SmallDisk::mount(&work) else {
        return eprintln!("SKIPPED a_full_disk_beside_the_database_does_not_prevent_control: no small disk");
    };
    let text = ["s", "t"].map(|name| program(name, "exec sleep 300", "startsecs = 0"));
    world.configure(&text.concat());
    let on_disk = format!("database = \"{}\"", work.join("tasks.db").display());
    let config = world.read("t.toml").replace(&format!("database = \"{}\"", world.db().display()), &on_disk);
    fs::write(world.path("t.toml"), config).unwrap();
    let daemon = world.daemon();
    world.comes_to("s", "RUNNING");
    world.comes_to("t", "RUNNING");
    let mut fill = fs::File::create(work.join("fill")).unwrap();
    while std::io::Write::write_all(&mut fill, &[0; 4096]).is_ok() {}
    while std::io::Write::write_all(&mut fill, &[0]).is_ok() {}
    for _ in 0..10 {
        let before = world.pid("s");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(before), Signal::SIGKILL).unwrap();
        world.runs_again("s", before);
        let answer = world.ask(named("restart", "t"));
        assert_eq!(answer["status"], 200, "{answer}; {}", world.log());
    }
    for name in ["s", "t"] {
        assert_eq!(world.ask(named("stop", name))["status"], 200);
        assert_eq!(world.state(name), "STOPPED");
    }
    drop(fill);
    fs::remove_file(work.join("fill")).unwrap();
    assert_eq!(daemon.end().code, 0);
    drop(disk);
}

#[test]
fn a_removed_folder_of_runs_is_recreated() {
    let world = World::new();
    world.configure(&["a", "b"].map(|name| program(name, "exec sleep 300", "startsecs = 0")).concat());
    let daemon = world.daemon();
    world.comes_to("a", "RUNNING");
    world.comes_to("b", "RUNNING");
    let runs = RunDir::beside(&world.db());
    // A launcher may write its file at that moment.
    until("it to be removed", || fs::remove_dir_all(&runs).is_ok());
    until("it to be noticed", || world.log().contains("was removed; created again"));
    let before = world.pid("a");
    let answer = world.ask(named("restart", "a"));
    assert_eq!(answer["status"], 200, "{answer}; {}", world.log());
    assert_ne!(world.pid("a"), before);
    // The unchanged run is known to the next supervisor, and a second supervisor is refused.
    let b = world.pid("b");
    let ran = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("t.toml")).run();
    assert_eq!(ran.code, 2, "{ran:?}");
    until("the launch of b to write its file", || fs::read_dir(&runs).unwrap().count() > 2);
    daemon.crash();
    let daemon = world.daemon();
    assert_eq!((world.state("b").as_str(), world.pid("b")), ("RUNNING", b));
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn jobs_keep_their_numbers_across_supervisors() {
    let world = World::new();
    let text = |names: &[&str]| {
        names.iter().map(|name| program(name, "exec sleep 300", "startsecs = 0\nautostart = false")).collect::<String>()
    };
    world.configure(&text(&["a", "b", "c"]));
    let numbers = || {
        let jobs = world.ask(json!({ "command": "jobs" }))["content"]["jobs"].as_array().unwrap().clone();
        let number = |job: &serde_json::Value| {
            (job["process"]["name"].as_str().unwrap().to_owned(), job["number"].as_i64().unwrap())
        };
        jobs.iter().map(number).collect::<std::collections::BTreeMap<_, _>>()
    };
    let daemon = world.daemon();
    for name in ["c", "a", "b"] {
        assert_eq!(world.ask(named("start", name))["status"], 200);
    }
    let before = numbers();
    assert_eq!(before, [("c", 1), ("a", 2), ("b", 3)].map(|(name, number)| (name.to_owned(), number)).into());
    let written = RunDir::beside(&world.db()).join("jobs");
    // The numbers were shown, so they must not change.
    daemon.crash();
    let daemon = world.daemon();
    assert_eq!(numbers(), before);
    assert_eq!(world.ask(json!({ "command": "shutdown", "args": { "leave_running": true } }))["status"], 200);
    drop(daemon);
    let daemon = world.daemon_begun();
    until("it to be there", || std::os::unix::net::UnixStream::connect(world.path("s.sock")).is_ok());
    assert_eq!(numbers(), before);
    assert_eq!(daemon.end().code, 0);
    assert!(!written.exists(), "nothing is left to be taken over");
}

#[test]
fn leftovers_of_an_earlier_run_do_not_replace_a_live_one() {
    let world = World::new();
    // The member holds the output, so the launcher of its run stays for a moment.
    let script = "sleep 300 & echo $! >>$W/members; sleep 300";
    let with = "startsecs = 0\nautorestart = \"true\"";
    world.configure_with("restart_throttle = 0", &program("g", script, with));
    let members = || -> Vec<i32> { world.read("members").lines().filter_map(|line| line.parse().ok()).collect() };
    // The order of the two files is random.
    for round in 1..=4 {
        let daemon = world.daemon();
        until("its run", || world.path("members").exists() && members().len() >= round);
        world.comes_to("g", "RUNNING");
        let first = world.pid("g");
        send(first, Signal::SIGKILL);
        world.runs_again("g", first);
        let second = world.pid("g");
        daemon.crash();
        let daemon = world.daemon();
        assert_eq!((world.pid("g"), world.states().len()), (second, 1), "{}", world.log());
        assert!(is_alive(second) && members().iter().all(|member| is_alive(*member)), "{}", world.log());
        assert!(world.states()["g"]["leftover"].as_i64() >= Some(1), "{}", world.log());
        daemon.crash();
    }
    members().into_iter().for_each(|member| send(member, Signal::SIGKILL));
}

#[test]
fn without_descriptors_no_process_is_taken_for_gone() {
    let world = World::new();
    world.configure(&program("g", PAIR, "startsecs = 0\nkillasgroup = true\nautorestart = \"true\""));
    let daemon = world.daemon();
    let pid = daemon.started.as_ref().unwrap().pid();
    let limit = |files: u64| {
        let limit = rustix::process::Rlimit { current: Some(files), maximum: Some(4096) };
        let pid = rustix::process::Pid::from_raw(pid);
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    };
    let (leader, member) = without_launch(&world);
    until("that to be noticed", || world.log().contains("lost: g: its shim is gone"));
    forget_pair(&world);
    let mut known = world.connect_to_daemon();
    assert_eq!(known.ask(&json!({ "command": "version" }))["status"], 200);
    limit(3);
    send(leader, Signal::SIGKILL);
    until("its end to be noticed", || world.log().contains("its shim and its process are gone"));
    assert_eq!(known.ask(&json!({ "command": "version" }))["status"], 200);
    assert!(is_alive(member), "{}", world.log());
    limit(1000);
    world.runs_again("g", leader);
    assert!(!is_alive(member), "two runs of it at once: {}", world.log());
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn a_process_that_cannot_be_killed_does_not_keep_a_program_down() {
    let world = World::new();
    let tool = |name: &str| {
        ["/usr/bin", "/bin"]
            .map(|folder| format!("{folder}/{name}"))
            .into_iter()
            .find(|file| std::path::Path::new(file).exists())
    };
    let (true, Some(tool)) = (geteuid().is_root(), tool("setpriv")) else { return };
    // A process of root in the group of a program of `nobody`, under a supervisor of `nobody`.
    fs::copy(tool, world.path("become")).unwrap();
    fs::set_permissions(world.path("become"), Permissions::from_mode(0o4755)).unwrap();
    let script = "$W/become --reuid 0 --clear-groups sh -c 'echo $$ >>'$W/roots'; exec sleep 300' & exec sleep 300";
    let with = "startsecs = 0\nkillasgroup = true\nautorestart = \"true\"";
    world.configure(&program("g", script, with));
    std::os::unix::fs::chown(world.path(""), Some(OTHER), Some(OTHER)).unwrap();
    let program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-n").arg("-c").arg(world.path("t.toml"));
    let started = program.user(OTHER).spawn();
    until("it to be ready", || world.log().contains("INFO ready"));
    let roots = || fs::read_to_string(world.path("roots")).unwrap_or_default();
    world.comes_to("g", "RUNNING");
    until("that of root", || roots().ends_with('\n') || world.read("g.stderr").contains("become"));
    if roots().is_empty() {
        // If programs cannot become root, there is no such process.
        return;
    }
    let root: i32 = roots().lines().next().unwrap().parse().unwrap();
    // With and without its launcher.
    for round in 1..=2 {
        let leader = world.pid("g");
        until("that of root in this run", || roots().matches('\n').count() >= round);
        if round == 2 {
            send(shim_of(leader), Signal::SIGKILL);
            until("that to be noticed", || world.log().contains("lost: g: its shim is gone"));
        }
        send(leader, Signal::SIGKILL);
        world.runs_again("g", leader);
        assert!(is_alive(root) && world.states()["g"]["leftover"].as_u64() >= Some(round as u64), "{}", world.log());
    }
    send(shim_of(world.pid("g")), Signal::SIGKILL);
    until("that to be noticed", || world.log().matches("lost: g: its shim is gone").count() == 2);
    let answer = world.ask(named("stop", "g"));
    assert_ne!(answer["status"], 200, "{answer}");
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code, 0, "{}", world.log());
    assert!(is_alive(root));
}

#[test]
fn leftovers_of_a_group_are_counted_as_long_as_they_live() {
    let world = World::new();
    // No member holds the output, so the launcher is gone at once.
    let script = "sleep 300 >/dev/null 2>&1 & echo $! >$W/member; exit 3";
    world.configure(&program("left", script, "startsecs = 0\nautorestart = \"false\""));
    let daemon = world.daemon();
    world.comes_to("left", "EXITED");
    until("its end to be recorded", || world.history().len() == 1);
    let state = || world.states()["left"].clone();
    let member: i32 = world.line("member").parse().unwrap();
    until("its launch to be gone", || world.processes().len() == 2);
    for _ in 0..3 {
        let left = state();
        assert_eq!(left["leftover"], 1, "{left}");
        assert!(left["description"].as_str().unwrap().ends_with("; 1 process of its group is still alive"), "{left}");
    }
    send(member, Signal::SIGKILL);
    until("it to be gone", || !is_alive(member));
    let left = state();
    assert_eq!(left["leftover"], 0, "{left}");
    assert!(!left["description"].as_str().unwrap().contains("alive"), "{left}");
    assert_eq!(daemon.end().code, 0);
}

#[test]
fn leftovers_in_another_session_are_counted_too() {
    let world = World::new();
    let script = "setsid sleep 300 >/dev/null 2>&1 & until read -r _ _ _ _ _ s _ </proc/$!/stat && [ $s = $! ]; do sleep 0.05; done; echo $! >$W/away; exit 3";
    world.configure(&program("left", script, "startsecs = 0\nautorestart = \"false\""));
    let daemon = world.daemon();
    world.comes_to("left", "EXITED");
    let away: i32 = world.line("away").parse().unwrap();
    until("it to be counted", || world.states()["left"]["leftover"] == 1);
    send(away, Signal::SIGKILL);
    until("it to be gone", || !is_alive(away));
    assert_eq!(world.states()["left"]["leftover"], 0);
    assert_eq!(daemon.end().code, 0);
}
