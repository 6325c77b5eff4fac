//! Correct state after a crash: whichever process is killed at whichever point, every task is in exactly one table, no
//! dead task is shown as running, and no unrelated process is signalled.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of a test fails the test, as the test itself does, and chaos has a time to end"
)]

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt,
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::support::{
    Program, Row, World,
    desk::{CRASH_AT, Foreign, KILLED, is_alive, kill_and_see},
    dice::Dice,
    until,
};
use nix::sys::signal::Signal;
use serde_json::json;
use taskwatcher::model::{task::Process, upid::Upid};

/// A command that prints a line and runs until it is killed.
const LIVES: &str = "echo $$ >$W/command; exec sleep 600";

/// Checks that an end is `unknown`, with this reason.
#[track_caller]
fn is_unknown(end: &Row, why: &str) {
    assert_eq!((end.text("outcome"), end.text("result"), end.text("termerror")), ("unknown", "unknown", why));
    assert!(end.is_null("exitcode") && end.is_null("termsignal"), "nothing is invented: {end:?}");
}

// ---- the launcher dies

#[test]
fn before_its_claim_it_leaves_nothing() {
    let world = World::new();
    let ran = world.launch(["touch", "ran"]).env(CRASH_AT, "claim.before").run();
    assert_eq!(ran.code, KILLED);
    assert!(world.tasks().is_empty() && world.history().is_empty());
    let (id, _) = world.reserve("mine", 60);
    let ran = world.launch(["--taskid", &id.to_string(), "touch", "ran"]).env(CRASH_AT, "claim.before").run();
    assert_eq!(ran.code, KILLED);
    assert_eq!(world.status(id).as_deref(), Some("RESERVED"), "it can still be launched");
    world.launch(["--taskid", &id.to_string(), "true"]).run().silent(0);
    assert_eq!(world.end().text("outcome"), "OK");
    assert!(!world.work().join("ran").exists());
    world.is_whole();
}

#[test]
fn after_its_claim_it_is_lost() {
    let world = World::new();
    let id = world.lost(&["--name", "mine"]);
    assert_eq!(world.task().text("status"), "RUNNING", "as stored");
    assert_eq!(world.status(id), None, "and not as shown");
    let end = world.end();
    is_unknown(&end, "launcher lost");
    assert_eq!(end.int("endtime"), end.int("starttime"), "the last sign of life");
    world.is_whole();
}

#[test]
fn while_its_command_lives_it_is_an_orphan() {
    // Immediately after the start, the command's pid is not recorded yet.
    for point in ["spawn.after", "started.after"] {
        let world = World::new();
        let ran = world.launch(["sh", "-c", LIVES]).env(CRASH_AT, point).run();
        assert_eq!(ran.code, KILLED, "{point}");
        assert_eq!(world.task().is_null("pid"), point == "spawn.after");
        let command: i32 = world.line("command").parse().unwrap();
        assert_eq!(world.status(1).as_deref(), Some("ORPHANED"), "{point}");
        kill_and_see(command);
        assert_eq!(world.status(1), None, "{point}");
        is_unknown(&world.end(), "launcher lost");
        world.is_whole();
    }
}

#[test]
fn between_the_exit_and_its_record_the_end_is_unknown() {
    let world = World::new();
    let ran = world.launch(["true"]).env(CRASH_AT, "exit.after").run();
    assert_eq!(ran.code, KILLED);
    world.control(["update"]).run().silent(0);
    is_unknown(&world.end(), "launcher lost");
    world.is_whole();
}

#[test]
fn after_the_record_the_end_stands() {
    let world = World::new();
    let script = "echo '[a]1' >$TASKWATCHER_FEEDBACK";
    let ran = world.launch(["--feedpath", ".", "sh", "-c", script]).env(CRASH_AT, "finish.after").run();
    assert_eq!(ran.code, KILLED);
    assert_eq!(world.status(1), None);
    let end = world.end();
    assert_eq!((end.text("outcome"), end.json("feedback")), ("OK", json!({ "a": "1" })));
    world.is_whole();
}

#[test]
fn a_stray_feedback_file_is_not_used_by_a_later_task() {
    let world = World::new();
    let script = "echo '[a]1' >$TASKWATCHER_FEEDBACK";
    world.launch(["--feedpath", ".", "sh", "-c", script]).env(CRASH_AT, "finish.after").run();
    fs::write(world.work().join("feedback_2.log"), "[b]2\n").unwrap();
    world.launch(["--feedpath", ".", "true"]).run().silent(0);
    assert_eq!(world.last().json("feedback"), json!({}));
}

#[test]
fn command_and_launcher_at_once() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sh", "-c", LIVES]);
    let command: i32 = world.line("command").parse().unwrap();
    launch.signal(Signal::SIGKILL);
    kill_and_see(command);
    launch.child.wait().unwrap();
    assert_eq!(world.status(id), None);
    is_unknown(&world.end(), "launcher lost");
    world.is_whole();
}

#[test]
fn the_command_alone_is_an_end_that_was_seen() {
    let world = World::new();
    let (launch, _) = world.launched(["sh", "-c", LIVES]);
    kill_and_see(world.line("command").parse().unwrap());
    launch.wait().silent(137);
    let end = world.end();
    assert_eq!((end.text("outcome"), end.text("termsignal")), ("ERROR: killed by SIGKILL", "SIGKILL"));
    world.is_whole();
}

#[test]
fn the_last_sign_of_life_is_the_end_of_a_lost_task_and_its_feedback_is_kept() {
    let world = World::new();
    let script = "printf '[progress]40\\n[half]line' >$TASKWATCHER_FEEDBACK; echo $$ >$W/command; exec sleep 600";
    let id = world.orphan(&["--feedpath", ".", "--timeout", "5m", "sh", "-c", script]);
    let command: i32 = world.line("command").parse().unwrap();
    let file = world.work().join(format!("feedback_{id}.log"));
    // Later than the start, so that the two times differ.
    let start = world.task().int("starttime");
    world.command("touch").command.args(["-d", &format!("@{}", start + 3)]).arg(&file).status().unwrap();
    kill_and_see(command);
    world.control(["list"]).run().silent(0);
    let end = world.end();
    is_unknown(&end, "launcher lost");
    assert_eq!((end.int("endtime"), end.real("duration")), (start + 3, 3.0));
    assert_eq!(end.json("feedback"), json!({ "progress": "40", "half": "line" }), "it will not be ended any more");
    assert!(!file.exists(), "what was read is removed");

    let kept = world.orphan(&["--feedpath", ".", "--keep-feedback", "sh", "-c", script]);
    until("its feedback", || world.work().join(format!("feedback_{kept}.log")).exists());
    kill_and_see(world.query("SELECT pid FROM tasks")[0].int("pid").try_into().unwrap());
    world.control(["list"]).run().silent(0);
    assert!(world.work().join(format!("feedback_{kept}.log")).exists(), "asked for");
    world.is_whole();
}

#[test]
fn a_sign_of_life_that_update_saw_counts() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sh", "-c", LIVES]);
    // Pretend that it started an hour ago.
    world.edit("UPDATE tasks SET starttime = starttime - 3600, lastupdate = starttime - 3600");
    world.control(["update"]).run().silent(0);
    let row = world.task();
    assert!(row.real("duration") >= 3600.0, "{row:?}");
    launch.signal(Signal::SIGKILL);
    launch.child.wait().unwrap();
    kill_and_see(world.line("command").parse().unwrap());
    assert_eq!(world.status(id), None);
    assert!(world.end().real("duration") >= 3600.0, "{:?}", world.end());
}

// ---- orphans

#[test]
fn an_orphan_is_waited_for() {
    let world = World::new();
    let id = world.orphan(&["sh", "-c", LIVES]).to_string();
    let ran = world.control(["wait", &id, "--timeout", "0.2s"]).run();
    assert_eq!(ran.code, 124, "{ran:?}");
    let wait = world.control(["wait", &id]).spawn();
    kill_and_see(world.line("command").parse().unwrap());
    let ran = wait.wait();
    assert_eq!((ran.code, ran.text()), (1, &*format!("{id} unknown: launcher lost\n")));
}

/// Children that leave the tree in every possible way: another session, another group, two forks away.
const FAMILY: &str = "
    setsid sh -c 'echo $$ >$W/session; exec sleep 600' &
    (sh -c 'echo $$ >$W/grandchild; trap \"\" TERM; while :; do sleep 600; done' &)
    sh -c 'echo $$ >$W/child; exec sleep 600' &
    echo $$ >$W/command
    exec sleep 600";

#[test]
fn the_whole_tree_of_an_orphan_is_killed() {
    for how in [&["--now"][..], &["--signal", "INT"], &[]] {
        let world = World::new();
        let id = world.orphan(&["--kill-after", "0.3s", "--feedpath", ".", "sh", "-c", FAMILY]);
        let family = ["session", "grandchild", "child", "command"].map(|name| world.line(name).parse::<i32>().unwrap());
        fs::write(world.work().join(format!("feedback_{id}.log")), "[warning]w\n[a]1\n").unwrap();
        assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
        let ran = world.control(["kill", &id.to_string()].iter().chain(how)).run().silent(0);
        assert!(ran.text().starts_with(&format!("task {id} (sh): ERROR: killed by ")), "{ran:?}");
        for pid in family {
            assert!(!is_alive(pid), "{how:?}: {pid} of {family:?} lives");
        }
        assert_eq!(world.processes(), [0i32; 0], "{how:?}");
        let end = world.end();
        assert_eq!(end.text("termsignal"), "SIGKILL", "what finally ended it: {how:?}");
        assert!(end.text("ended_by").contains("(control, pid "), "{end:?}");
        assert_eq!(end.json("feedback"), json!({ "warning": "w", "a": "1" }));
        assert!(!world.work().join(format!("feedback_{id}.log")).exists());
        world.is_whole();
    }
}

#[test]
fn an_orphan_that_is_killed_outright_needs_no_grace() {
    let world = World::new();
    // With a grace period of zero, its death still takes a moment.
    let id = world.orphan(&["--kill-after", "0", "sh", "-c", FAMILY]);
    let child: i32 = world.line("child").parse().unwrap();
    world.control(["kill", "--now", &id.to_string()]).run().silent(0);
    assert!(!is_alive(child));
}

#[test]
fn an_orphan_whose_first_process_is_gone_is_still_one() {
    let world = World::new();
    let id = world.orphan(&["sh", "-c", FAMILY]);
    kill_and_see(world.line("command").parse().unwrap());
    let session: i32 = world.line("session").parse().unwrap();
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
    world.control(["kill", &id.to_string(), "--now"]).run().silent(0);
    assert!(!is_alive(session));
    assert_eq!(world.processes(), [0i32; 0]);
}

#[test]
fn a_launcher_that_dies_while_it_is_asked_does_not_save_its_command() {
    let world = World::new();
    // The command ignores the polite signal, so that the launcher can be killed in between.
    let script = "trap 'echo >$W/asked' TERM; echo $$ >$W/command; while :; do sleep 600 & wait; done";
    let (mut launch, id) = world.launched(["--kill-after", "2s", "sh", "-c", script]);
    world.line("command");
    let kill = world.control(["kill", &id.to_string()]).spawn();
    until("the signal", || world.path("asked").exists());
    launch.signal(Signal::SIGKILL);
    launch.child.wait().unwrap();
    let ran = kill.wait().silent(0);
    assert!(ran.text().contains("killed by"), "{ran:?}");
    assert_eq!(world.processes(), [0i32; 0]);
    assert!(world.end().text("outcome").starts_with("ERROR: killed by"));
}

// ---- control dies

#[test]
fn control_at_its_named_points() {
    let world = World::new();
    let dies = |args: &[&str], point: &str| {
        let ran = world.control(args).env(CRASH_AT, point).run();
        assert_eq!(ran.code, KILLED, "{point}: {ran:?}");
        world.is_whole();
    };
    dies(&["reserve"], "reserve.after");
    assert_eq!(world.status(1).as_deref(), Some("RESERVED"));

    world.lost(&[]);
    for point in ["settle.before", "settle.after"] {
        assert_eq!(world.tasks().len(), 2);
        dies(&["list"], point);
    }
    assert_eq!(world.tasks().len(), 1, "it was settled before the second death");
    assert_eq!(world.status(2), None);

    let (launch, id) = world.launched(["sh", "-c", LIVES]);
    world.line("command");
    // The request is in the spool without a signal: an unfinished request kills nothing.
    dies(&["kill", "3"], "kill.left");
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
    dies(&["kill", "3"], "kill.asked");
    assert_eq!(launch.wait().code, 143);
    assert!(world.last().text("outcome").starts_with("ERROR: killed by"));

    fs::remove_file(world.path("command")).unwrap();
    let id = world.orphan(&["sh", "-c", LIVES]).to_string();
    world.line("command");
    dies(&["kill", &id], "kill.asked");
    assert_eq!(world.control(["wait", &id]).run().code, 1);
    is_unknown(&world.last(), "launcher lost");
    fs::remove_file(world.path("command")).unwrap();
    let id = world.orphan(&["sh", "-c", LIVES]).to_string();
    world.line("command");
    dies(&["kill", &id], "kill.ended");
    assert_eq!(world.status(id.parse().unwrap()), None);
    is_unknown(&world.last(), "launcher lost");
    world.is_whole();
}

// ---- reused names and numbers

#[test]
fn a_dead_task_does_not_keep_its_name() {
    let world = World::new();
    world.lost(&["--name", "mine", "--unique"]);
    // It is not settled yet.
    assert_eq!(world.tasks().len(), 1);
    assert_eq!(world.reserved(&["--name", "mine", "--unique"]), 2);
    let ran = world.control(["reserve", "--name", "mine", "--unique"]).run();
    ran.says(1, &["\"mine\"", "task 2", "is reserved"]);
    world.control(["kill", "2"]).run().silent(0);
    world.lost(&["--name", "mine", "--unique"]);
    world.launch(["--name", "mine", "--unique", "true"]).run().silent(0);
    world.reserve("mine", -1);
    world.launch(["--name", "mine", "--unique", "true"]).run().silent(0);

    let id = world.orphan(&["--name", "mine", "sh", "-c", LIVES]);
    world.line("command");
    let held = format!("task {id}");
    world.launch(["--name", "mine", "--unique", "true"]).run().says(125, &["\"mine\"", &held, "has not ended"]);
}

/// Makes the last row name an unrelated process.
fn names(world: &World, foreign: &Foreign, later: u64, more: &str) {
    let process = foreign.process();
    let (pid, pstart) = (process.pid, process.pstart + later);
    world.edit(&format!(
        "UPDATE tasks SET launcher_pid = {pid}, launcher_pstart = {pstart}, pid = {pid}, pid_pstart = {pstart} {more}"
    ));
}

#[test]
fn after_a_restart_of_the_host_nothing_is_signalled() {
    let world = World::new();
    let mut foreign = Foreign::new();
    for verb in [&["list"][..], &["kill", "1"], &["kill", "2", "--now"], &["killall", "mine"]] {
        world.lost(&["--name", "mine"]);
        names(&world, &foreign, 0, ", boot_id = '11111111-2222-3333-4444-555555555555'");
        let ran = world.control(verb).run();
        assert_eq!(ran.code, i32::from(verb != ["list"]), "{ran:?}");
        foreign.is_untouched();
        assert!(world.tasks().is_empty());
        is_unknown(&world.last(), "host restarted");
    }
    world.is_whole();
    world.is_verified();
}

#[test]
fn a_pid_that_was_used_again_is_neither_alive_nor_signalled() {
    let world = World::new();
    let mut foreign = Foreign::new();
    for verb in [&["list"][..], &["kill", "1"], &["kill", "2", "--now"], &["killall", "mine"], &["wait", "5"]] {
        world.lost(&["--name", "mine"]);
        names(&world, &foreign, 1, "");
        let ran = world.control(verb).run();
        assert_eq!(ran.code, i32::from(verb != ["list"]), "{ran:?}");
        foreign.is_untouched();
        assert!(world.tasks().is_empty());
        is_unknown(&world.last(), "launcher lost");
    }
}

#[test]
fn an_orphans_pid_that_was_used_again_is_not_signalled_with_the_rest() {
    let world = World::new();
    let mut foreign = Foreign::new();
    let id = world.orphan(&["sh", "-c", LIVES]);
    let command: i32 = world.line("command").parse().unwrap();
    names(&world, &foreign, 1, "");
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"), "found by its UPID");
    world.control(["kill", &id.to_string(), "--now"]).run().silent(0);
    assert!(!is_alive(command));
    foreign.is_untouched();
}

// ---- ends that could not be recorded

#[test]
fn an_end_in_the_spool_is_recorded_by_the_next_reader() {
    let world = World::new();
    world.reserve("other", 600);
    let script = "until [ -e $W/go ]; do sleep 0.05; done; echo '[a]1' >$TASKWATCHER_FEEDBACK; exit 3";
    let (launch, id) = world.launched(["--feedpath", ".", "sh", "-c", script]);
    let lock = world.lock();
    fs::write(world.path("go"), "").unwrap();
    launch.wait().silent(3);
    assert_eq!(world.tasks().len(), 2, "the database was never free");

    // A reader still shows the true state while the database is locked.
    let list = world.control(["list"]).run();
    assert_eq!((list.code, list.text().lines().count()), (0, 2), "the head and the reservation: {list:?}");
    let id = id.to_string();
    let wait = world.control(["wait", &id]).run();
    assert_eq!((wait.code, wait.text()), (1, &*format!("{id} ERROR: exit code 3\n")), "{wait:?}");
    assert_eq!(world.control(["--json", "feedback", &id]).run().ok().value(), json!({ "a": "1" }));
    assert_eq!(world.control(["--json", "show", &id]).run().ok().value()["outcome"], "ERROR: exit code 3");
    world.control(["kill", &id]).run().says(1, &["has ended already", "exit code 3"]);
    drop(lock);

    world.control(["list"]).run().silent(0);
    let end = world.last();
    assert_eq!((end.text("outcome"), end.int("exitcode")), ("ERROR: exit code 3", 3));
    assert_eq!(end.json("feedback"), json!({ "a": "1" }), "from the file that stayed");
    assert!(!world.work().join(format!("feedback_{id}.log")).exists());
    assert!(end.real("maxrss") > 0.0);
    world.is_whole();
}

#[test]
fn a_death_beside_the_spool() {
    for (point, outcome) in [
        ("exit.after", "unknown"),
        ("log.after", "ERROR: exit code 3"),
        ("finish.after", "ERROR: exit code 3"),
        ("spool.after", "ERROR: exit code 3"),
    ] {
        let world = World::new();
        let script = "until [ -e $W/go ]; do sleep 0.05; done; exit 3";
        let launch = world.launch(["sh", "-c", script]).env(CRASH_AT, point).spawn();
        until("the command", || world.tasks().iter().any(|row| !row.is_null("pid")));
        let lock = world.lock();
        fs::write(world.path("go"), "").unwrap();
        assert_eq!(launch.wait().code, KILLED, "{point}");
        drop(lock);
        assert_eq!(world.status(1), None);
        assert_eq!(world.end().text("outcome"), outcome, "{point}");
        world.is_whole();
        world.is_verified();
    }
}

#[test]
fn a_spool_record_of_another_task_is_ignored() {
    let world = World::new();
    let script = "until [ -e $W/go ]; do sleep 0.05; done; exit 0";
    let (launch, _) = world.launched(["sh", "-c", script]);
    let lock = world.lock();
    fs::write(world.path("go"), "").unwrap();
    launch.wait().silent(0);
    drop(lock);
    world.control(["list"]).run().silent(0);
    // Another task gets the same slot and dies.
    world.lost(&[]);
    world.edit("UPDATE tasks SET slot = 1");
    assert_eq!(fs::metadata(world.beside_db("-spool")).unwrap().mode() & 0o777, 0o600);
    world.control(["list"]).run().silent(0);
    is_unknown(&world.last(), "launcher lost");
}

#[test]
fn a_launcher_that_was_stopped_for_a_while_is_alive() {
    let world = World::new();
    let (launch, id) = world.launched(["sh", "-c", LIVES]);
    launch.signal(Signal::SIGSTOP);
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
    // Nothing watches its command, which may have ended.
    until("the stop", || world.control(["list"]).run().text().contains("PAUSED"));
    assert!(world.control(["list"]).run().text().contains("launcher stopped by a signal"));
    launch.signal(Signal::SIGCONT);
    until("it to go on", || !world.control(["list"]).run().text().contains("PAUSED"));
    launch.signal(Signal::SIGSTOP);
    let ran = world.control(["kill", &id.to_string()]).run().silent(0);
    assert!(ran.text().contains("killed by"), "{ran:?}");
    assert_eq!(launch.wait().code, 143);
}

// ---- at random

/// Returns how long the random test runs: minutes if there is time, else long enough for a few hundred kills.
fn chaos_time() -> Duration {
    Duration::from_secs(if std::env::var_os("CI").is_some() { 120 } else { 8 })
}

/// Number of concurrent launchers, commands and controls: more than processors, few enough to affect each other's
/// tasks.
const WORKERS: u64 = 6;

/// Sends a random signal, including real-time signals. A stopped process is continued immediately.
fn send_any(world: &World, dice: &mut Dice, pid: i32) {
    let number = dice.roll(64) + 1;
    // The C library reserves these. SIGKILL is sent elsewhere.
    if [9, 32, 33].contains(&number) {
        return;
    }
    // The process may be gone already.
    world.sh(&format!("kill -{number} {pid}; kill -CONT {pid}")).run();
}

/// A reader that cannot see all processes: in another pid namespace, with the outer `/proc` or its own; with a `/proc`
/// that hides processes; without descriptors. It must not report a live task as dead.
fn reader_elsewhere<'w>(world: &'w World, dice: &mut Dice) -> Program<'w> {
    let few = format!("ulimit -n {}; exec $CONTROL list", 5 + dice.roll(12));
    let hidden = "mount -t proc -o hidepid=invisible,gid=65534 proc /proc && exec setpriv --bounding-set=-sys_ptrace $CONTROL list";
    let ways: [&[&str]; 4] = [
        &["sh", "-c", &few],
        &["unshare", "--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_control"), "list"],
        &["unshare", "--pid", "--fork", env!("CARGO_BIN_EXE_control"), "list"],
        &["unshare", "--mount", "sh", "-c", hidden],
    ];
    // Only root may create namespaces on all systems.
    let count = if nix::unistd::geteuid().is_root() { 4 } else { 1 };
    let (program, args) = ways[usize::try_from(dice.roll(count)).unwrap()].split_first().unwrap();
    let mut command = world.command(program).env("CONTROL", env!("CARGO_BIN_EXE_control"));
    command.command.args(args);
    command
}

/// Runs one random operation on the database, and kills it in the middle half of the time. Killed processes are added
/// to `killed`.
fn mischief(world: &World, dice: &mut Dice, killed: &Mutex<HashSet<i32>>) {
    let any = (dice.roll(60) + 1).to_string();
    let newest = world.query("SELECT max(id) AS id FROM tasks").pop().filter(|row| !row.is_null("id"));
    let some = newest.map_or(any, |row| (row.int("id") - i64::try_from(dice.roll(4)).unwrap()).max(1).to_string());
    // A command that reports its end writes the proof first.
    let proves = "touch $W/proof.$TASKWATCHER_TASKID";
    let reports = format!("echo '[progress]9' >$TASKWATCHER_FEEDBACK; sleep 0.02; {proves}");
    let leaves = format!("setsid sleep 0.05 & {proves}");
    let lives = format!("trap '' TERM; sleep 0.5; {proves}");
    let program = match dice.roll(15) {
        0 | 1 => world.launch(["--name", "quick", "sh", "-c", proves]),
        2 => world.launch(["--feedpath", ".", "--name", "reports", "sh", "-c", &reports]),
        3 => world.launch(["--name", "leaves", "sh", "-c", &leaves]),
        4 => world.launch(["--name", "lives", "--kill-after", "0.05s", "sh", "-c", &lives]),
        5 => world.launch(["--name", "one", "--if-running", "skip", "sh", "-c", &lives]),
        6 => world.launch(["--taskid", &some, "sh", "-c", proves]),
        7 => world.control(["reserve", "--expire", "1s"]),
        8 => world.control(["list"]),
        9 => world.control(["update"]),
        10 => world.control(["kill", &some]),
        11 => world.control(["feedback", &some]),
        _ => reader_elsewhere(world, dice),
    };
    let mut started = program.spawn();
    if dice.roll(2) == 0 {
        // At any point of its life: up to 20 ms cover the steps of a short run, in tenths of a millisecond.
        let delay = Duration::from_micros(dice.roll(200) * 100);
        let by = Instant::now() + delay;
        while Instant::now() < by && !started.has_ended() {
            std::thread::yield_now();
        }
        let victims = match dice.roll(3) {
            // A command of a live row, so that it certainly belongs to this world.
            0 => world.query("SELECT pid FROM tasks WHERE pid IS NOT NULL").iter().map(|row| row.int("pid")).collect(),
            _ => vec![i64::from(started.pid())],
        };
        for pid in victims.into_iter().take(2) {
            let pid = i32::try_from(pid).unwrap();
            if pid == started.pid() && dice.roll(2) == 0 {
                send_any(world, dice, pid);
            } else if pid == started.pid() || world.processes().contains(&pid) {
                killed.lock().unwrap().insert(pid);
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
    let ran = started.wait();
    assert!(!ran.err.contains("locked") && !ran.err.contains("panicked"), "{ran:?}");
}

/// Checks that no task is shown as running whose launcher was already dead.
fn shows_no_dead(world: &World) {
    let running = |list: &serde_json::Value| -> Vec<(i64, Process)> {
        let rows = list.as_array().unwrap().iter().filter(|row| row["status"] == "RUNNING");
        rows.map(|row| {
            let upid: Upid = row["upid"].as_str().unwrap().parse().unwrap();
            let pid = i32::try_from(row["launcher_pid"].as_i64().unwrap()).unwrap();
            (row["taskid"].as_i64().unwrap(), Process { pid, pstart: upid.pstart })
        })
        .collect()
    };
    let dead: Vec<i64> = running(&world.json(&["list"]))
        .into_iter()
        .filter(|(_, launcher)| !taskwatcher::io::process::alive(*launcher))
        .map(|(id, _)| id)
        .collect();
    if dead.is_empty() {
        return;
    }
    // A command that is being executed holds the launcher's lock for some more microseconds.
    until(&format!("{dead:?} to be shown no more: they were dead before"), || {
        running(&world.json(&["list"])).iter().all(|(id, _)| !dead.contains(id))
    });
}

#[test]
fn at_random() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    let seed = u64::from(std::process::id());
    let until = Instant::now() + chaos_time();
    let killed = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 1..=WORKERS {
            let (world, killed) = (&world, &killed);
            scope.spawn(move || {
                let mut dice = Dice(seed * WORKERS + worker);
                while Instant::now() < until {
                    mischief(world, &mut dice, killed);
                }
            });
        }
        while Instant::now() < until {
            world.is_sound();
            shows_no_dead(&world);
        }
    });
    // Live tasks are ended; then each task has exactly one end.
    let left = world.json(&["list"]);
    for row in left.as_array().unwrap() {
        // The task may end by itself meanwhile.
        world.control(["kill", &row["taskid"].to_string(), "--now"]).run();
    }
    assert_eq!(world.json(&["list"]), json!([]));
    world.is_whole();
    world.is_verified();
    let history = world.history();
    println!("seed {seed}: {} tasks, of these unknown {}", history.len(), {
        history.iter().filter(|row| row.text("outcome") == "unknown").count()
    });
    for row in &history {
        let proved = world.path(format!("proof.{}", row.int("id"))).exists();
        assert!(row.text("outcome") != "OK" || proved, "an end was invented: {row:?}");
        log_has_the_recorded_outcome(row);
        if row.text("outcome") == "unknown" {
            let launcher: Upid = row.text("upid").parse().unwrap();
            assert!(
                killed.lock().unwrap().contains(&i32::try_from(launcher.pid).unwrap()),
                "a signal that can be caught lost an end: {row:?}"
            );
        }
        let upid = if row.is_null("upid") { continue } else { row.text("upid") };
        // A background process of a task that ended by itself may live on; it is short here.
        until_gone(&world, upid);
    }
}

/// Checks that the outcome in a log is the recorded one, regardless of kills in between.
fn log_has_the_recorded_outcome(row: &crate::support::Row) {
    use taskwatcher::model::log::{parse_closing, split_time};
    let log = if row.is_null("log") { return } else { fs::read_to_string(row.text("log")).unwrap_or_default() };
    let last = log.strip_suffix('\n').and_then(|log| log.lines().last()).unwrap_or_default();
    if let Some(outcome) = parse_closing(split_time(last.as_bytes()).1) {
        assert_eq!(outcome, row.text("outcome"), "{row:?}");
    }
}

fn until_gone(world: &World, upid: &str) {
    until(&format!("{upid} to be gone"), || world.processes_with(&format!("UPID={upid}")).is_empty());
}

#[test]
fn a_later_end_replaces_the_unknown_one_of_a_reader() {
    use taskwatcher::{
        io::store::{DeadRows, Hold, LockTimeout, NewTask, Start, Store},
        model::task::{End, EndedBy, Outcome, Signal, Stored, TaskId, TaskRef, Timestamp},
    };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open_or_create(&folder.path().join("x.db"), LockTimeout::USUAL).unwrap();
    let task = NewTask { name: "late".into(), handle: "handle22".into(), now: 1000, ..NewTask::default() };
    let claimed =
        store.claim(&Start { task, ..Start::default() }, &DeadRows::default(), |_| Hold::Unsupported).unwrap();
    let at = Timestamp::from_secs;
    let lost = End::new(&Outcome::Unknown("launcher lost".into()), at(1001), None);
    let row = std::sync::Arc::new(store.task(&TaskRef::Id(TaskId(claimed.id))).unwrap().unwrap());
    assert_eq!(store.settle(&[(row, lost)]).unwrap(), 1);
    let truth = End {
        termsignal: Some(Signal::TERM.into()),
        exitcode: Some(3),
        warnings: 2,
        maxrss: Some(4096),
        ended_by: Some(EndedBy::Itself.into()),
        ..End::new(&Outcome::Error("exit code 3".into()), at(1005), None)
    };
    assert!(store.finish(claimed.id, &claimed.upid, &truth).unwrap());
    let row = store.ended(&TaskRef::Id(TaskId(claimed.id))).unwrap().unwrap();
    assert_eq!((&*row.outcome.text(), row.termerror.as_deref()), ("ERROR: exit code 3", Some("exit code 3")));
    assert_eq!((row.termsignal, row.exitcode, row.endtime), (Some(Stored::Value(Signal::TERM)), Some(3), 1005));
    assert_eq!((row.warnings, row.maxrss, row.ended_by), (2, Some(4096), Some(Stored::Value(EndedBy::Itself))));
    // Only an unknown end is replaced.
    let other = End::new(&Outcome::Ok, at(2000), None);
    assert!(!store.finish(claimed.id, &claimed.upid, &other).unwrap());
}
