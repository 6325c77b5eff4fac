//! The supervisor with contradicting clients, and with its own sudden death: every run of a program has exactly one end
//! in the history, and no program ever runs twice.
//!
//! Takes about 6 seconds; with `TASKWATCHER_LONG` set about 30, with more of everything.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use crate::support::{World, daemon::named, dice::Dice, eventually, has_open, until};
use serde_json::{Value, json};
use taskwatcher::{
    io::{process, rundir::RunDir, sys},
    model::{
        shim::{Phase, Run},
        task::Signal,
    },
};

fn is_long() -> bool {
    std::env::var_os("TASKWATCHER_LONG").is_some()
}

/// Returns the configuration of a program that records each run, and whether the process of another run is alive. It
/// records itself before it checks, so that of two simultaneous runs at least one detects the other. (A lock would not
/// do: a forked child holds it until its exec, may be stopped there, and may outlive the run.)
fn program(name: &str, then: &str, more: &str) -> String {
    let script = r#"
        me=$TASKMASTER_PROCESS_NAME; : >$W/alive.$me.$$
        for other in $W/alive.$me.*; do
            [ $other = $W/alive.$me.$$ ] && continue
            stat=; read -r stat 2>/dev/null </proc/${other##*.}/stat
            case "${stat##*) }" in "" | [ZX]*) rm -f $other ;; *) echo "$me: ${other##*.} beside $$" >>$W/twice ;; esac
        done
        echo $TASKWATCHER_HANDLE $me >>$W/runs"#;
    format!("[programs.{name}]\ncommand = \"bash\"\nargs = [\"-c\", '''{script}\n{then}''']\n{more}\n")
}

/// Long, short and failing programs, programs that ignore signals, and one that leaves a process in its group; `flip`
/// changes some.
fn programs(flip: bool) -> String {
    let (seconds, extra) =
        if flip { (301, program("extra", "exec sleep 300", "startsecs = 0")) } else { (300, String::new()) };
    let deaf = "trap '' TERM; while :; do sleep 0.02; done";
    [
        program("steady", "exec sleep 300", "startsecs = 0"),
        program("young", "exec sleep 300", "startsecs = 0.3\npriority = 5"),
        program("cold", &format!("exec sleep {seconds}"), "startsecs = 0\nnumprocs = 2"),
        program("short", "exec sleep 0.05", "startsecs = 0\nautorestart = \"true\""),
        program("bad", "exit 3", "startretries = 1"),
        program("deaf", deaf, "startsecs = 0\nstopwaitsecs = 0.2"),
        program("family", "sleep 300 & exec sleep 300", "startsecs = 0\nstopasgroup = true\nstopwaitsecs = 0.5"),
        extra,
    ]
    .concat()
}

const SERVER: &str = "restart_throttle = 0.1";
const NAMES: [&str; 9] = ["steady", "young", "cold:*", "cold:cold_01", "short", "bad", "deaf", "family", "extra"];

/// A random request, independent of other clients.
fn anything(dice: &mut Dice) -> Value {
    let mut request = match dice.roll(20) {
        0 => json!({ "command": dice.of(&["stop", "restart", "start"]), "target": "all" }),
        1 | 2 => json!({ "command": "reload" }),
        3..6 => {
            let signal = dice.of(&["KILL", "TERM", "STOP", "CONT"]);
            let args = json!({ "signal": signal, "group": dice.roll(2) == 0 });
            json!({ "command": "signal", "target": "process", "name": dice.of(&NAMES), "args": args })
        }
        6 => json!({ "command": "stop", "target": "process", "name": dice.of(&NAMES), "args": { "now": true } }),
        7 => json!({ "command": "status" }),
        _ => named(dice.of(&["restart", "restart", "stop", "start"]), dice.of(&NAMES)),
    };
    if dice.roll(2) == 0 {
        request["wait"] = false.into();
    }
    request
}

/// Returns the tasks of all runs in the log, and how often each occurs.
fn spawned(log: &str) -> BTreeMap<i64, usize> {
    let mut tasks = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" spawned: ")) {
        let task = line.rsplit_once(", task ").and_then(|(_, task)| task.parse().ok());
        *tasks.entry(task.unwrap_or(0)).or_default() += 1;
    }
    tasks
}

/// Checks after the end that each run is one row of the history, and nothing is left.
#[track_caller]
fn each_run_has_one_end(world: &World, log: &str, seed: u64) {
    // Processes left in a group may live on; the shims may not.
    let carries = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "launch\n");
    until(&format!("all runs to be over; seed {seed}"), || !world.processes().iter().any(carries));
    // An end for which the database was too busy is in the spool until the next read.
    world.control(["update"]).run().ok();
    assert!(world.tasks().is_empty(), "seed {seed}: {:?}: {log}", world.tasks());
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for row in world.history() {
        *rows.entry(row.text("handle").to_owned()).or_default() += 1;
        ids.insert(row.int("id"));
    }
    assert!(rows.values().all(|count| *count == 1), "seed {seed}: one run, several rows: {rows:?}");
    for (task, count) in spawned(log) {
        assert!(count == 1 && ids.contains(&task), "seed {seed}: task {task} was spawned {count} times: {log}");
    }
    let runs = world.read("runs");
    let ran: Vec<&str> = runs.lines().filter_map(|line| line.split(' ').next()).collect();
    let lost: Vec<&&str> = ran.iter().filter(|handle| !rows.contains_key(**handle)).collect();
    assert!(lost.is_empty(), "seed {seed}: {} of {} runs have no row: {lost:?}: {log}", lost.len(), ran.len());
    assert_eq!(fs::read_to_string(world.path("twice")).unwrap_or_default(), "", "seed {seed}: ran twice: {log}");
    let impossible: Vec<&str> = log.lines().filter(|line| line.contains(" ERRO ") || line.contains(" CRIT ")).collect();
    assert!(impossible.is_empty(), "seed {seed}: {impossible:?}");
    world.is_sound();
    assert!(ran.len() > 10, "seed {seed}: hardly anything ran: {log}");
}

#[test]
fn clients_that_contradict_each_other_lose_no_run() {
    let world = World::new();
    let seed = u64::from(std::process::id());
    world.configure_with(SERVER, &programs(false));
    let daemon = world.daemon();
    let until_then = sys::now().mono + if is_long() { Duration::from_secs(20) } else { Duration::from_secs(3) };
    std::thread::scope(|scope| {
        for worker in 1..=4 {
            let world = &world;
            scope.spawn(move || {
                let mut dice = Dice(seed * 4 + worker);
                let mut client = world.connect_to_daemon();
                while sys::now().mono < until_then {
                    if worker == 1 && dice.roll(5) == 0 {
                        world.configure_with(SERVER, &programs(dice.roll(2) == 0));
                    }
                    let request = anything(&mut dice);
                    let answer = client.ask(&request);
                    let status = answer["status"].as_i64();
                    // A file that is being written may be read incompletely.
                    let expected = [200, 202, 207, 404, 409, 422, 500].map(Some);
                    assert!(expected.contains(&status), "seed {seed}: {request}: {answer}");
                }
            });
        }
    });
    assert_eq!(daemon.end().code, 0);
    each_run_has_one_end(&world, &world.log(), seed);
}

#[test]
fn a_supervisor_that_is_killed_at_any_moment_starts_nothing_twice() {
    let world = World::new();
    let seed = u64::from(std::process::id());
    let mut dice = Dice(seed);
    world.configure_with(SERVER, &programs(false));
    for _ in 0..if is_long() { 25 } else { 5 } {
        let mut daemon = world.daemon_begun();
        // A random moment.
        let mut request = (dice.roll(2) == 0).then(|| anything(&mut dice));
        let die_at = sys::now().mono + Duration::from_millis(dice.roll(900));
        while sys::now().mono < die_at {
            sys::pause(Duration::from_millis(1 + dice.roll(30)));
            if let Some(mut request) = request.take_if(|_| world.path("s.sock").exists())
                && let Ok(stream) = std::os::unix::net::UnixStream::connect(world.path("s.sock"))
            {
                request["wait"] = false.into();
                // The supervisor may be dead before it gets the request.
                let _ = std::io::Write::write_all(&mut &stream, format!("{request}\n").as_bytes());
            }
        }
        if let Some(mut started) = daemon.started.take() {
            started.signal(nix::sys::signal::Signal::SIGKILL);
            assert!(started.child.wait().is_ok());
        }
    }
    let before = world.log().matches("INFO ready").count();
    let daemon = world.daemon_begun();
    until(&format!("it to be ready: {}", world.log()), || world.log().matches("INFO ready").count() > before);
    for name in ["steady", "young", "cold:cold_00", "cold:cold_01", "deaf", "family"] {
        // A new supervisor also starts processes that were stopped before.
        world.comes_to(name, "RUNNING");
    }
    assert_eq!(daemon.end().code, 0);
    each_run_has_one_end(&world, &world.log(), seed);
}

/// A supervisor that is killed before the exec of a program, and the next one.
fn a_start_that_hangs(orphans: &str, is_changed: bool) {
    let world = World::new();
    let server = format!("orphans = \"{orphans}\"");
    let text = |then: &str| program("web", then, "startsecs = 0\nautostart = false");
    world.configure_with(&server, &text("exec sleep 300"));
    world.control(["initialize"]).run().ok();
    let daemon = world.daemon();
    // The shim waits for the database for a moment; there it is paused, as by a hanging file server.
    let lock = world.lock();
    world.ask(json!({ "command": "start", "target": "process", "name": "web", "wait": false }));
    let runs = RunDir::open(&RunDir::beside(&world.db())).unwrap();
    let run = || runs.list().ok()?.iter().find_map(|handle| Run::parse(&runs.read(handle).ok()??));
    let shim = eventually("its file", run).shim;
    // Before that, the shim would give up because its supervisor is gone.
    until("it to wait", || has_open(shim.pid, "tasks.db"));
    process::signal(shim, Signal(19)).unwrap();
    drop(lock);
    assert_eq!(run().unwrap().phase, Phase::Starting);
    daemon.crash();
    world.configure_with(&server, &text(if is_changed { "exec sleep 301" } else { "exec sleep 300" }));
    let daemon = world.daemon();
    let state = world.state("web");
    let (expected, status) = match (orphans, is_changed) {
        ("leave", _) => ("UNKNOWN", 500),
        ("adopt", false) => ("STARTING", 409),
        _ => ("STOPPING", 409),
    };
    assert_eq!((&*state, &world.ask(named("start", "web"))["status"]), (expected, &json!(status)), "{}", world.log());
    process::signal(shim, Signal(18)).unwrap();
    let starts = match expected {
        "STARTING" => 1,
        "STOPPING" => 2,
        _ => {
            // It runs without a supervisor until it ends.
            until("its command", || matches!(run().unwrap().phase, Phase::Running { .. }));
            let Phase::Running { command, .. } = run().unwrap().phase else { unreachable!() };
            assert_eq!(world.state("web"), "UNKNOWN");
            process::signal(command, Signal::TERM).unwrap();
            world.comes_to("web", "EXITED");
            0
        }
    };
    if starts > 0 {
        world.comes_to("web", "RUNNING");
    }
    assert_eq!(daemon.end().code, 0);
    let log = world.log();
    assert_eq!(log.matches("spawned: web").count(), starts, "{orphans} {is_changed}: {log}");
    assert!(!world.path("twice").exists() && !log.contains("ERRO"), "{orphans} {is_changed}: {log}");
    until("all ends to be recorded", || {
        world.control(["update"]).run().ok();
        world.tasks().is_empty()
    });
    assert_eq!(world.history().len(), starts.max(1));
}

#[test]
fn a_hanging_start_is_not_repeated_after_the_death_of_its_supervisor() {
    std::thread::scope(|scope| {
        for (orphans, is_changed) in [("adopt", false), ("adopt", true), ("stop", false), ("leave", false)] {
            scope.spawn(move || a_start_that_hangs(orphans, is_changed));
        }
    });
}
