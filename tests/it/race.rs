//! Many programs use one database at the same time: all succeed, each gets its own result, and no lock is reported.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{collections::HashSet, fs};

use taskwatcher::io::store::LockTimeout;

use crate::support::{
    Ran, World,
    desk::{CRASH_AT, KILLED},
    timed, until,
};

/// Starts all programs before waiting for any.
fn at_once<'w>(programs: impl IntoIterator<Item = crate::support::Program<'w>>) -> Vec<Ran> {
    let started: Vec<_> = programs.into_iter().map(crate::support::Program::spawn).collect();
    started.into_iter().map(crate::support::Started::wait).collect()
}

/// Starts all programs at a gate that opens when all have arrived, so that they run at once even on one processor.
fn at_a_gate(world: &World, count: usize, script: impl Fn(usize) -> String) -> Vec<Ran> {
    // A FIFO, whose readers wait without CPU time until its last writer closes it.
    nix::unistd::mkfifo(&world.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let closed = fs::File::options().read(true).write(true).open(world.path("gate")).unwrap();
    let gated = (0..count).map(|n| {
        let wait = format!("exec 9<$W/gate; touch $W/came.{n}; read x <&9; exec 9<&-; exec {}", script(n));
        world.sh(&wait).env("CONTROL", env!("CARGO_BIN_EXE_control")).spawn()
    });
    let started: Vec<_> = gated.collect();
    until("all to come", || (0..count).all(|n| world.path(format!("came.{n}")).exists()));
    drop(closed);
    started.into_iter().map(crate::support::Started::wait).collect()
}

#[test]
fn a_hundred_reservations_are_a_hundred_ids() {
    let world = World::new();
    let ran = at_once((0..100).map(|_| world.control(["reserve", "--expire", "1h"])));
    let ids: HashSet<i64> = ran.into_iter().map(|ran| ran.silent(0).text().trim_end().parse().unwrap()).collect();
    assert_eq!(ids, (1..=100).collect());
    assert_eq!(world.tasks().len(), 100);
    world.is_whole();
}

#[test]
fn a_hundred_launches_are_a_hundred_ends() {
    let world = World::new();
    for ran in at_once((0..100).map(|_| world.launch(["true"]))) {
        ran.silent(0);
    }
    // On a slow disk, ends may be in the spool until the next read.
    world.control(["update"]).run().silent(0);
    assert!(world.tasks().is_empty());
    let history = world.history();
    assert_eq!(history.len(), 100);
    assert!(history.iter().all(|row| row.text("outcome") == "OK"));
    world.is_whole();
}

#[test]
fn of_forty_unique_reservations_one_is_made() {
    let world = World::new();
    let ran = at_a_gate(&world, 40, |_| "$CONTROL reserve --name only --unique".into());
    let (won, lost): (Vec<_>, Vec<_>) = ran.into_iter().partition(|ran| ran.code == 0);
    assert_eq!(won.len(), 1, "{won:?}");
    for ran in lost {
        ran.says(1, &["\"only\"", &format!("task {} is reserved", won[0].text().trim_end())]);
    }
    assert_eq!(world.tasks().len(), 1);
}

#[test]
fn of_twenty_unique_launches_one_runs() {
    let world = World::new();
    // The refused ones report it; the winner continues when they have.
    let ran = at_a_gate(&world, 20, |_| {
        "$LAUNCH --name only --unique sh -c 'echo ran >>$W/ran; until [ -e $W/go ]; do sleep 0.05; [ $(cat $W/stderr.* | wc -l) -lt 19 ] || touch $W/go; done'".into()
    });
    let (won, lost): (Vec<_>, Vec<_>) = ran.into_iter().partition(|ran| ran.code == 0);
    assert_eq!((won.len(), world.read("ran").as_str()), (1, "ran\n"), "{lost:?}");
    for ran in lost {
        ran.says(125, &["\"only\"", "has not ended"]);
    }
}

#[test]
fn of_two_launchers_of_one_id_one_runs() {
    for round in 0..5 {
        let world = World::new();
        let (id, _) = world.reserve("mine", 60);
        let ran = at_a_gate(&world, 2, |_| format!("$LAUNCH --taskid {id} sh -c 'echo ran >>$W/ran'"));
        let (won, lost): (Vec<_>, Vec<_>) = ran.into_iter().partition(|ran| ran.code == 0);
        assert_eq!((won.len(), lost.len()), (1, 1), "round {round}: {lost:?}");
        lost.into_iter().for_each(|ran| drop(ran.says(125, &[&format!("cannot launch task {id}")])));
        assert_eq!(world.read("ran"), "ran\n");
        assert_eq!(world.end().text("outcome"), "OK");
    }
}

/// Returns the command of program `n` of sixty-four.
fn mix(n: usize) -> String {
    match n % 8 {
        0..=2 => "$LAUNCH --name mixed true".into(),
        3 | 4 => "$CONTROL reserve --expire 1h".into(),
        5 => "$CONTROL feedback 1".into(),
        6 => "$CONTROL update".into(),
        _ => "$CONTROL list".into(),
    }
}

/// Runs the mix and checks that all programs succeeded.
fn all_get_through(world: &World, may_be_early: bool) {
    for (n, ran) in at_a_gate(world, 64, mix).into_iter().enumerate() {
        // A reader may come first, before there is a database or a task.
        let early = ["no database", "there is no task 1"].iter().any(|early| ran.err.contains(early));
        let ok = (ran.code == 0 && ran.err.is_empty()) || (may_be_early && n % 8 >= 5 && ran.code == 1 && early);
        assert!(ok, "{}: {ran:?}", mix(n));
    }
    // On a slow disk, ends may be in the spool until the next read.
    world.control(["update"]).run().silent(0);
    world.is_intact();
    world.is_verified();
}

#[test]
fn sixty_four_at_once_on_no_database_at_all() {
    let world = World::new();
    all_get_through(&world, true);
    assert_eq!((world.tasks().len(), world.history().len()), (16, 24));
    let left: Vec<_> = fs::read_dir(world.db().parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("tasks.db"))
        .filter(|name| {
            !["tasks.db", "tasks.db-wal", "tasks.db-shm", "tasks.db-spool", "tasks.db.logs"].contains(&name.as_str())
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn sixty_four_at_once_on_an_old_database() {
    let world = World::new();
    fs::copy("tests/data/v1_7.db", world.db()).unwrap();
    all_get_through(&world, false);
    // Of the old tasks one was running and one reserved.
    assert_eq!((world.tasks().len(), world.history().len()), (16, 5 + 2 + 24));
}

#[test]
fn sixty_four_at_once_on_an_empty_file() {
    let world = World::new();
    fs::write(world.db(), "").unwrap();
    all_get_through(&world, true);
    assert_eq!((world.tasks().len(), world.history().len()), (16, 24));
}

#[test]
fn while_the_database_is_locked_ends_come_in_time_and_readers_read() {
    let world = World::new();
    world.control(["reserve", "--name", "other", "--expire", "1h"]).run().silent(0);
    let script = |n: i32| format!("until [ -e $W/go ]; do sleep 0.05; done; exit {n}");
    let started: Vec<_> = (1..=8).map(|n| world.launch(["sh", "-c", &script(n)]).spawn()).collect();
    until("all to run", || world.tasks().iter().filter(|row| !row.is_null("pid")).count() == 8);
    let lock = world.lock();
    let (list, took) = timed(|| world.control(["list"]).run().silent(0));
    assert_eq!(list.text().lines().count(), 10, "{list:?}");
    assert!(took < LockTimeout::USUAL.limit, "{took:?}");
    fs::write(world.path("go"), "").unwrap();
    // The lock is held until the end: that the programs end at all shows that none needs it.
    for (n, launch) in (1..).zip(started) {
        launch.wait().silent(n);
    }
    assert_eq!(world.tasks().len(), 9, "nothing could be recorded");
    drop(lock);
    assert_eq!(world.json(&["list"]).as_array().unwrap().len(), 1);
    let mut codes: Vec<i64> = world.history().iter().map(|row| row.int("exitcode")).collect();
    codes.sort_unstable();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8]);
    world.is_whole();
}

#[test]
fn a_short_lock_is_waited_for_silently() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    let lock = world.lock();
    let waiting: Vec<_> = (0..4)
        .flat_map(|_| {
            [world.launch(["true"]).spawn(), world.control(["reserve"]).spawn(), world.control(["update"]).spawn()]
        })
        .collect();
    // They have opened the file and wait.
    let db = world.db();
    until("all to wait", || {
        let opened = |pid: i32| {
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|target| target == db)
        };
        waiting.iter().all(|program| opened(program.pid()))
    });
    drop(lock);
    for program in waiting {
        let ran = program.wait();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }
    world.is_whole();
    world.is_verified();
}

#[test]
fn many_readers_settle_one_dead_task_once() {
    let world = World::new();
    let script = "echo '[a]1' >$TASKWATCHER_FEEDBACK";
    let ran = world.launch(["--feedpath", ".", "sh", "-c", script]).env(CRASH_AT, "exit.after").run();
    assert_eq!(ran.code, KILLED);
    for ran in at_a_gate(&world, 24, |_| "$CONTROL list".into()) {
        ran.silent(0);
    }
    let end = world.end();
    assert_eq!((end.text("outcome"), end.text("feedback")), ("unknown", r#"{"a":"1"}"#), "kept by the first reader");
}
