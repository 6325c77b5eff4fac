//! Claims: reservations, unique names, many claims at once; and databases that temporarily or never can be used.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use crate::support::{Started, World, desk::SmallDisk, eventually, timed, until};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use rusqlite::Connection;
use taskwatcher::{
    app::reconcile,
    io::store::{LockTimeout, Store},
    model::task::Status,
};

/// Starts a command that runs until [`release`] is called.
fn held<'w>(world: &'w World, options: &[&str], rest: &str) -> Started<'w> {
    let fifo = world.work().join("fifo");
    if !fifo.exists() {
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    }
    let script = format!("f=$TASKWATCHER_FEEDBACK; echo ready; read x < fifo; {rest}");
    let run = world.launch(options.iter().copied().chain(["sh", "-c", &script])).spawn();
    until("the command", || run.stdout() == "ready\n");
    run
}

fn release(world: &World) {
    fs::write(world.work().join("fifo"), "\n").unwrap();
}

/// Returns the whole content of a database.
fn content(world: &World) -> String {
    format!("{:?} {:?}", world.tasks(), world.history())
}

// ---- reservations

#[test]
fn a_reservation_is_claimed_by_its_number_or_its_handle() {
    let world = World::new();
    let (first, _) = world.reserve("first", 60);
    let (second, handle) = world.reserve("second", 60);
    let show = ["sh", "-c", "echo $TASKWATCHER_TASKID $TASKWATCHER_HANDLE"];
    let ran = world.launch(["--taskid", &handle].into_iter().chain(show)).run().silent(0);
    assert_eq!(ran.text(), format!("{second} {handle}\n"));
    let row = world.last();
    assert_eq!((row.text("taskname"), row.text("handle")), ("second", handle.as_str()));
    assert!(!row.is_null("reservetime"));
    assert_eq!(world.task().text("status"), "RESERVED");
    let id = first.to_string();
    world.launch(["--taskid", &id, "--name", "given", "--info2", "i"].into_iter().chain(show)).run().silent(0);
    let row = &world.history()[0];
    assert_eq!((row.int("id"), row.text("taskname"), row.text("info2")), (first, "given", "i"));
    assert!(world.tasks().is_empty());
}

#[test]
fn of_two_launchers_of_one_reservation_one_runs() {
    let world = World::new();
    for _ in 0..5 {
        let (id, _) = world.reserve("n", 60);
        let script = format!(
            "for i in 1 2 3 4 5; do {{ \"$LAUNCH\" --taskid {id} sh -c 'echo ran; sleep 0.2'; echo $?; }} & done; wait"
        );
        let ran = world.sh(&script).run();
        let mut lines: Vec<&str> = ran.text().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["0", "125", "125", "125", "125", "ran"]);
        let refusals: Vec<&str> = ran.err.lines().collect();
        assert_eq!(refusals.len(), 4);
        let named = format!("launch: error: cannot launch task {id}: ");
        assert!(refusals.iter().all(|line| line.starts_with(&named)), "{refusals:?}");
    }
    assert_eq!(world.history().len(), 5);
}

#[test]
fn a_claim_that_is_refused_reports_why_and_changes_nothing() {
    let world = World::new();
    let (lapsed, _) = world.reserve("lapsed", -1);
    let (done, done_handle) = world.reserve("done", 60);
    world.launch(["--taskid", &done.to_string(), "true"]).run().silent(0);
    let run = held(&world, &["--name", "taken"], "");
    let taken = world.tasks().pop().unwrap();
    // The pid is stored a moment after the start.
    until("its pid", || world.tasks().iter().any(|row| row.text("name") == "taken" && !row.is_null("pid")));
    let before = content(&world);
    let refused = |id: &str, words: &[&str]| {
        let named = format!("cannot launch task {id}: ");
        let words: Vec<&str> = words.iter().copied().chain([named.as_str()]).collect();
        let ran = world.launch(["--taskid", id, "echo", "ran"]).run().says(125, &words);
        assert_eq!(ran.text(), "");
    };
    refused(&lapsed.to_string(), &["lapsed"]);
    refused(&done.to_string(), &["it has run already", "OK"]);
    refused(&done_handle, &["it has run already"]);
    refused("99", &["there is no such reservation"]);
    refused("zzzzzzzz", &["there is no such reservation"]);
    refused(&taken.int("id").to_string(), &["taken already", &format!("pid {}", run.pid())]);
    refused(taken.text("upid"), &["UPID"]);
    assert_eq!(content(&world), before);
    release(&world);
    run.wait().silent(0);
}

#[test]
fn ids_are_never_used_twice() {
    let world = World::new();
    for id in 1..=3 {
        let ran = world.launch(["sh", "-c", "echo $TASKWATCHER_TASKID"]).run().silent(0);
        assert_eq!(ran.text(), format!("{id}\n"));
        Connection::open(world.db()).unwrap().execute("DELETE FROM history", []).unwrap();
    }
}

// ---- unique names

#[test]
fn of_forty_unique_starts_one_runs() {
    let world = World::new();
    mkfifo(&world.work().join("fifo"), Mode::S_IRWXU).unwrap();
    let one = "\"$LAUNCH\" --unique --name u sh -c 'echo ran; read x < fifo'; echo $?";
    let script = format!("for i in $(seq 40); do {{ {one}; }} & done; wait");
    let run = world.sh(&script).spawn();
    until("the others to be refused", || run.stdout().lines().filter(|line| *line == "125").count() == 39);
    release(&world);
    let ran = run.wait();
    let count = |wanted| ran.text().lines().filter(|line| *line == wanted).count();
    assert_eq!((count("ran"), count("0"), count("125")), (1, 1, 39));
    let id = world.end().int("id");
    assert!(
        ran.err.lines().all(|line| line.contains(&format!("\"u\" is taken: task {id} has not ended"))),
        "{}",
        ran.err
    );
}

#[test]
fn a_second_start_fails_or_skips_as_asked() {
    let world = World::new();
    let run = held(&world, &["--name", "u"], "");
    world.launch(["--unique", "--name", "u", "echo", "ran"]).run().says(125, &["task 1", "\"u\""]);
    world.launch(["--if-running", "fail", "--name", "u", "echo", "ran"]).run().says(125, &["task 1"]);
    let ran = world.launch(["--if-running", "skip", "--name", "u", "echo", "ran"]).run().silent(0);
    assert_eq!(ran.text(), "");
    world.launch(["--unique", "--name", "other", "true"]).run().silent(0);
    world.launch(["--name", "u", "true"]).run().silent(0);
    let (id, _) = world.reserve("u", 60);
    release(&world);
    run.wait().silent(0);
    world.launch(["--unique", "--name", "u", "true"]).run().says(125, &["is reserved", &format!("task {id}")]);
    world.launch(["--unique", "--taskid", &id.to_string(), "true"]).run().silent(0);
}

#[test]
fn waiting_launches_run_one_after_the_other() {
    let world = World::new();
    let alone = "mkdir alone || echo together; sleep 0.05; rmdir alone";
    let script =
        format!("for i in 1 2 3 4 5 6; do \"$LAUNCH\" --if-running wait --name u sh -c '{alone}' & done; wait");
    assert_eq!(world.sh(&script).run().silent(0).text(), "");
    assert_eq!(world.history().len(), 6);
}

#[test]
fn a_waiting_launch_can_be_ended() {
    let world = World::new();
    let run = held(&world, &["--name", "u"], "");
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let waiting = world.launch(["--if-running", "wait", "--name", "u", "echo", "ran"]).spawn();
        until("it to sleep", || is_waiting(waiting.pid()));
        waiting.signal(signal);
        let ran = waiting.wait();
        assert!([-(signal as i32), 128 + signal as i32].contains(&ran.code), "{ran:?}");
        assert_eq!(ran.text(), "");
    }
    release(&world);
    run.wait().silent(0);
    assert_eq!(world.history().len(), 1);
}

#[test]
fn a_signal_at_any_moment_leaves_a_consistent_database() {
    let world = World::new();
    for pause in 0..40 {
        let run = world.launch(["sleep", "1000"]).spawn();
        // A different moment of the start each time.
        std::hint::black_box((0..pause * 20_000).fold(0u64, |sum, n| sum ^ n));
        run.signal(Signal::SIGTERM);
        let ran = run.wait();
        assert!([-15, 143].contains(&ran.code), "{ran:?}");
    }
    assert!(world.tasks().is_empty());
    for row in world.history() {
        assert!(row.text("outcome").starts_with("ERROR: killed by "), "{row:?}");
    }
}

/// Whether a process sleeps in poll(2), like a process that waits for a task.
fn is_waiting(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| {
        let number = call.split(' ').next().unwrap_or_default().parse::<i64>();
        [Ok(nix::libc::SYS_ppoll), Ok(nix::libc::SYS_poll)].contains(&number)
    })
}

#[test]
fn a_name_held_by_a_dead_task_is_free() {
    let world = World::new();
    let run = held(&world, &["--name", "u"], "");
    let row = eventually("its pid", || Some(world.task()).filter(|row| !row.is_null("pid")));
    let command = i32::try_from(row.int("pid")).unwrap();
    run.signal(Signal::SIGKILL);
    run.wait();
    // The command still runs: an orphan keeps its name.
    world.launch(["--unique", "--name", "u", "true"]).run().says(125, &["task 1"]);
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(command), Signal::SIGKILL).unwrap();
    until("the orphan's death", || world.processes().is_empty());
    world.launch(["--unique", "--name", "u", "true"]).run().silent(0);
    let (lapsed, _) = world.reserve("u", -1);
    world.launch(["--unique", "--name", "u", "true"]).run().silent(0);
    assert!(lapsed > 0);
}

// ---- files that are not databases

#[test]
fn a_file_that_is_not_our_database_is_not_changed() {
    let world = World::new();
    let foreign = world.path("foreign.db");
    let db = Connection::open(&foreign).unwrap();
    db.execute_batch("CREATE TABLE notes (id INTEGER PRIMARY KEY, text); INSERT INTO notes (text) VALUES ('mine')")
        .unwrap();
    drop(db);
    let signed = world.path("signed.db");
    let db = Connection::open(&signed).unwrap();
    db.execute_batch("PRAGMA application_id = 42; CREATE TABLE t (x)").unwrap();
    drop(db);
    let newer = world.path("newer.db");
    fs::create_dir(world.path("newer")).unwrap();
    drop(Store::open_or_create(&newer, LockTimeout::USUAL).unwrap());
    let db = Connection::open(&newer).unwrap();
    db.execute_batch("PRAGMA user_version = 999; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(db);
    fs::write(world.path("text"), "Dear diary,\n".repeat(1000)).unwrap();
    fs::write(world.path("short"), "x").unwrap();
    let table = [
        ("foreign.db", &["not a taskwatcher database", "not changed"][..]),
        ("signed.db", &["not a taskwatcher database"]),
        ("newer.db", &["version is 999"]),
        ("text", &["not a taskwatcher database"]),
        ("short", &["not a taskwatcher database"]),
    ];
    for (name, words) in table {
        let path = world.path(name);
        let before = fs::read(&path).unwrap();
        let words: Vec<&str> = words.iter().copied().chain([name]).collect();
        let ran = world.launch(["--db", path.to_str().unwrap(), "echo", "ran"]).run().says(125, &words);
        assert_eq!(ran.text(), "");
        assert!(fs::read(&path).unwrap() == before, "{name} was changed");
        assert!(!world.path(format!("{name}-spool")).exists());
    }
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused() {
    let world = World::new();
    fs::create_dir(world.path("folder")).unwrap();
    mkfifo(&world.path("pipe"), Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("nowhere", world.path("dangling")).unwrap();
    fs::write(world.path("file"), "").unwrap();
    for (name, words) in [
        ("folder", &["it is a folder"][..]),
        ("pipe", &["it is a pipe"]),
        ("dangling", &["link"]),
        ("file/tasks.db", &["Not a directory"]),
        ("folder/", &["folder"]),
    ] {
        let path = world.path("").join(name);
        let ran = world.launch(["--db", path.to_str().unwrap(), "echo", "ran"]).run().says(125, words);
        assert_eq!(ran.text(), "");
    }
    assert!(fs::read_dir(world.path("folder")).unwrap().next().is_none());
}

#[test]
fn a_truncated_database_is_refused_or_works_and_never_hangs() {
    let world = World::new();
    for _ in 0..5 {
        world.launch(["sh", "-c", "exit 1"]).run().silent(1);
    }
    Connection::open(world.db()).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let whole = fs::read(world.db()).unwrap();
    let page = 4096;
    let cuts = [
        1,
        17,
        99,
        100,
        101,
        512,
        page - 1,
        page,
        page + 1,
        2 * page,
        whole.len() / 2,
        whole.len() - page,
        whole.len() - 1,
    ];
    for cut in cuts {
        let path = world.path(format!("cut-{cut}.db"));
        fs::write(&path, &whole[..cut]).unwrap();
        let (ran, took) = timed(|| world.launch(["--db", path.to_str().unwrap(), "true"]).run());
        assert!(took < Duration::from_secs(5), "{cut}: {took:?}");
        if ran.code != 0 {
            ran.says(125, &[path.to_str().unwrap()]);
            assert!(fs::read(&path).unwrap() == whole[..cut], "{cut}: it was changed");
        }
    }
}

// ---- databases that temporarily cannot be written

#[test]
fn a_locked_database_is_waited_for_at_the_start() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let mut lock = Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let mut run = world.launch(["echo", "ran"]).spawn();
    until("it to wait for the lock", || run.has_open("tasks.db"));
    assert!(!run.has_ended());
    assert_eq!(run.stdout(), "");
    drop(tx);
    assert_eq!(run.wait().silent(0).text(), "ran\n");
    assert_eq!(world.history().len(), 2);
}

#[test]
fn a_launch_that_waits_for_a_lock_can_be_ended() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let mut lock = Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let run = world.launch(["echo", "ran"]).spawn();
    until("it to wait for the lock", || run.has_open("tasks.db"));
    run.signal(Signal::SIGINT);
    let (ran, took) = timed(|| run.wait());
    assert!([-2, 130].contains(&ran.code), "{ran:?}");
    assert!(took < LockTimeout::USUAL.limit / 3, "{took:?}");
    drop(tx);
    assert_eq!(world.history().len(), 1);
}

/// Surveys the database, like the next reader.
fn survey(world: &World) -> reconcile::Survey {
    reconcile::survey(&mut Store::open(&world.db(), LockTimeout::USUAL).unwrap()).unwrap()
}

#[test]
fn a_database_locked_at_the_end_costs_a_second_but_loses_no_record() {
    let world = World::new();
    let run = held(&world, &["--feedpath", "."], "printf '[a]1\\n[warning]w\\n' > $f; exit 7");
    let mut lock = Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    release(&world);
    let (ran, took) = timed(|| run.wait());
    ran.silent(7);
    assert!(took < LockTimeout::USUAL.limit / 3, "{took:?}");
    assert_eq!((world.tasks().len(), world.history().len()), (1, 0));
    let found = survey(&world);
    assert_eq!((found.live.len(), found.ended.len()), (0, 1), "a reader that cannot write either knows the truth");
    drop(tx);
    survey(&world);
    let row = world.end();
    assert_eq!((row.text("outcome"), row.int("exitcode"), row.int("warnings")), ("ERROR: exit code 7", 7, 1));
    assert_eq!((row.text("feedback"), row.text("ended_by")), (r#"{"a":"1","warning":"w"}"#, "itself"));
    assert!(row.int("maxrss") > 0);
    assert!(!world.work().join("feedback_1.log").exists());
    assert!(survey(&world).ended.is_empty());
}

#[test]
fn a_lock_does_not_keep_a_silent_task_alive() {
    let world = World::new();
    let run = held(&world, &["--max-runtime", "1"], "");
    let mut lock = Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let (ran, took) = timed(|| run.wait());
    ran.says(124, &["ran longer than 1s"]);
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(tx);
    survey(&world);
    assert_eq!(world.end().text("outcome"), "ERROR: ran longer than 1s");
}

#[test]
fn a_database_created_on_a_nearly_full_disk_is_complete_or_absent() {
    let world = World::new();
    let work = world.work();
    for free in (8..128).step_by(8) {
        let Some(disk) = SmallDisk::of(&work, 140) else {
            return eprintln!("SKIPPED: this user may not mount a small disk");
        };
        std::fs::write(work.join("fill"), vec![1; (140 - free) << 10]).unwrap();
        let first = world.launch(["--db", "new/tasks.db", "true"]).run();
        std::fs::remove_file(work.join("fill")).unwrap();
        let second = world.launch(["--db", "new/tasks.db", "true"]).run();
        assert_eq!((second.code, second.err.as_str()), (0, ""), "{free} KiB were free: {first:?}");
        drop(disk);
    }
}

#[test]
fn triggers_and_views_of_a_database_are_not_run() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c";
    let db = Connection::open(world.db()).unwrap();
    db.execute_batch(&format!(
        "CREATE TRIGGER t AFTER INSERT ON history BEGIN DELETE FROM history WHERE id IN ({endless}); END;
         CREATE TRIGGER u AFTER INSERT ON tasks BEGIN DELETE FROM history; END"
    ))
    .unwrap();
    world.launch(["true"]).run().silent(0);
    assert_eq!(world.history().len(), 2);
    db.execute_batch(&format!("ALTER TABLE tasks RENAME TO other; CREATE VIEW tasks AS {endless}")).unwrap();
    let changed = "a table of it is missing or was changed by another program";
    world.control(["list"]).run().says(1, &[changed, "restore a copy"]);
    db.execute_batch("DROP VIEW tasks").unwrap();
    world.control(["list"]).run().says(1, &[changed, "no such table: tasks"]);
}

#[test]
fn a_database_that_became_read_only_loses_no_record() {
    if !nix::unistd::geteuid().is_root() {
        // An ordinary user is bound by file modes; root needs another user for this test.
        return read_only(&World::new(), |program| program);
    }
    let world = World::new();
    let nobody = 65_534;
    for path in [world.path(""), world.work()] {
        std::os::unix::fs::chown(path, Some(nobody), Some(nobody)).unwrap();
    }
    read_only(&world, move |original| original.of_user(nobody));
}

fn read_only(world: &World, who: impl for<'w> Fn(crate::support::Program<'w>) -> crate::support::Program<'w>) {
    let script = "chmod 400 \"$TASKWATCHER_DB\" \"$TASKWATCHER_DB-wal\"; sleep 0.3; exit 6";
    who(world.launch(["sh", "-c", script])).run().silent(6);
    assert_eq!(world.tasks().len(), 1);
    for file in ["tasks.db", "tasks.db-wal"] {
        fs::set_permissions(world.path(file), Permissions::from_mode(0o600)).unwrap();
    }
    who(world.control(["list"])).run().silent(0);
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 6");
}

#[test]
fn a_full_disk_loses_no_record() {
    let world = World::new();
    let work = world.work();
    let Some(disk) = SmallDisk::mount(&work) else {
        return eprintln!("SKIPPED a_full_disk_loses_no_record: this user may not mount a small disk");
    };
    let db = work.join("tasks.db");
    let fill = "cat /dev/zero > filler 2>/dev/null; sleep 0.3; exit 4";
    world
        .launch(["--db", "tasks.db", "--name", &"n".repeat(10_000), "sh", "-c", fill])
        .run()
        .says(4, &["its outcome is not in the log", "No space left"]);
    let reader = || reconcile::survey(&mut Store::open(&db, LockTimeout::USUAL).unwrap()).unwrap();
    let found = reader();
    assert_eq!((found.live.len(), found.ended.len()), (0, 1), "{found:?}");
    assert_eq!(found.ended[0].1.outcome.text(), "ERROR: exit code 4");
    // No command is started whose end could not be recorded.
    let ran = world.launch(["--db", "tasks.db", "--name", &"n".repeat(100_000), "echo", "ran"]).run();
    ran.says(125, &["full"]);
    fs::remove_file(work.join("filler")).unwrap();
    reader();
    let db = Connection::open(&db).unwrap();
    let outcome: String = db.query_row("SELECT outcome FROM history WHERE id = 1", [], |row| row.get(0)).unwrap();
    assert_eq!(outcome, "ERROR: exit code 4");
    let tasks: i64 = db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap();
    assert_eq!(tasks, 0);
    drop((db, disk));
}

#[test]
fn a_database_that_was_removed_meanwhile_is_reported() {
    let world = World::new();
    let run = held(&world, &[], "exit 3");
    until("the database to be closed", || !run.has_open("tasks.db"));
    for file in ["tasks.db", "tasks.db-wal", "tasks.db-shm"] {
        fs::remove_file(world.path(file)).unwrap();
    }
    release(&world);
    run.wait().says(3, &["the end of task 1", "not recorded"]);
    assert!(!world.db().exists());
}

#[test]
fn a_killed_launcher_leaves_an_orphan_and_then_an_unknown_end() {
    let world = World::new();
    let run = held(&world, &["--feedpath", "."], "");
    fs::write(world.work().join("feedback_1.log"), "[a]1\n").unwrap();
    run.signal(Signal::SIGKILL);
    run.wait();
    let found = survey(&world);
    assert_eq!(found.live[0].status, Status::Orphaned);
    release(&world);
    until("its end", || survey(&world).live.is_empty());
    let row = world.end();
    assert_eq!((row.text("outcome"), row.text("termerror")), ("unknown", "launcher lost"));
    assert_eq!(row.text("feedback"), r#"{"a":"1"}"#);
    assert!(row.is_null("exitcode"));
    assert!(File::open(world.work().join("feedback_1.log")).is_err());
}
