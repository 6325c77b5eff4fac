//! The verbs that work on many tasks or a whole database: stats, check, run-again, backup, verify, retention.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, symlink},
            net::SocketAddr,
        },
    },
    path::PathBuf,
};

use crate::support::{
    World,
    desk::{CRASH_AT, KILLED, mode},
    os, until,
};
use nix::sys::signal::Signal;
use serde_json::json;

/// Inserts ends of one name, oldest first: age in seconds, duration, outcome.
fn with_ends(world: &World, name: &str, ends: &[(i64, f64, &str)]) {
    world.control(["update"]).run();
    let db = world.connect();
    for (ago, duration, outcome) in ends {
        let result = match outcome.split(':').next().unwrap() {
            "OK" => "ok",
            "WARNINGS" => "warnings",
            "ERROR" => "error",
            _ => "unknown",
        };
        let reason = outcome.strip_prefix("ERROR: ");
        db.execute(
            "INSERT INTO history (id, taskid, taskname, starttime, endtime, duration, outcome, result, termerror)
             SELECT n, n, ?1, unixepoch() - ?2, unixepoch() - ?2, ?3, ?4, ?5, ?6
             FROM (SELECT coalesce(max(id), 0) + 1 AS n FROM history)",
            rusqlite::params![name, ago, duration, outcome, result, reason],
        )
        .unwrap();
    }
    db.execute("UPDATE sqlite_sequence SET seq = max(seq, (SELECT max(id) FROM history)) WHERE name = 'tasks'", [])
        .unwrap();
}

fn world() -> World {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    world
}

/// Returns all log files.
fn logs(world: &World) -> Vec<PathBuf> {
    let folders = fs::read_dir(world.path("tasks.db.logs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort();
    files
}

// ---- stats

#[test]
fn stats_summarize_each_name() {
    let world = world();
    with_ends(
        &world,
        "b",
        &[(900, 1.0, "OK"), (800, 2.0, "WARNINGS: 1"), (700, 4.0, "ERROR: exit code 3"), (600, 8.0, "OK")],
    );
    with_ends(&world, "a", &[(50, 3.0, "unknown")]);
    world.reserve("never started", -5);
    let all = world.json(&["stats"]);
    assert_eq!((&all[0]["name"], &all[1]["name"], all.as_array().unwrap().len()), (&json!("a"), &json!("b"), 2));
    let b = &world.json(&["stats", "b"])[0];
    assert_eq!(
        (&b["runs"], &b["ok"], &b["warnings"], &b["error"], &b["unknown"]),
        (&json!(4), &json!(2), &json!(1), &json!(1), &json!(0))
    );
    assert_eq!((&b["success_rate"], &b["p50"], &b["p95"]), (&json!(75.0), &json!(2.0), &json!(8.0)));
    assert_eq!((&b["last_failure_reason"], b["recent"].as_array().unwrap().len()), (&json!("exit code 3"), 4));
    assert_eq!(b["last_success"].as_i64().unwrap() - b["last_failure"].as_i64().unwrap(), 100);
    let table = world.control(["--stats"]).run().silent(0);
    let row = table.text().lines().find(|line| line.starts_with("b ")).unwrap().to_owned();
    assert!(row.contains(" 75% ") && row.contains("exit code 3") && row.ends_with("▂▃×█"), "{row}");
    assert!(table.text().contains("never"), "{}", table.text());
    assert_eq!(world.json(&["stats", "--since", "65s"])[0]["name"], "a");
    let lines = world.control(["stats", "--jsonl"]).run().silent(0);
    assert_eq!(lines.text().lines().count(), 2);
    world.control(["stats", "nobody"]).run().says(1, &["no task named \"nobody\" has ended"]);
}

// ---- check

#[test]
fn check_reports_the_last_success() {
    let world = world();
    with_ends(&world, "backup", &[(7200, 1.0, "OK"), (60, 1.0, "ERROR: exit code 1")]);
    with_ends(&world, "broken", &[(60, 1.0, "ERROR: exit code 1")]);
    let check = |name: &str, age: &str| world.control(["check", name, "--max-age", age]).run();
    let good = check("backup", "3h").silent(0);
    assert!(good.text().starts_with("backup: succeeded 2h") && good.text().contains("task 1"), "{}", good.text());
    assert!(check("backup", "1h").silent(1).text().contains("too long ago"));
    assert_eq!(check("broken", "1h").silent(3).text(), "broken: never succeeded\n");
    assert_eq!(check("nobody", "1h").silent(3).text(), "nobody: never succeeded\n");
    let (_launch, id) = world.launched(["--name", "broken", "sleep", "1000"]);
    assert!(check("broken", "1h").silent(3).text().contains(&format!("running now as task {id}")));
    let said = world.json(&["--check", "backup", "--max-age", "3h"]);
    assert_eq!((&said["ok"], &said["taskid"], &said["max_age"]), (&json!(true), &json!(1), &json!(10800)));
    world.control(["check", "backup"]).run().code.eq(&2).then_some(()).unwrap();
}

#[test]
fn a_success_in_the_future_hides_no_failure() {
    let world = world();
    with_ends(&world, "backup", &[(7200, 1.0, "OK"), (-34_560_000, 1.0, "OK"), (60, 1.0, "ERROR: exit code 1")]);
    with_ends(&world, "new", &[(-34_560_000, 1.0, "OK")]);
    let check = |name: &str, age: &str| world.control(["check", name, "--max-age", age]).run();
    let late = check("backup", "1h").silent(1);
    for words in ["succeeded 2h", "task 1)", "too long ago", "task 2 is not counted", "the clock was wrong"] {
        assert!(late.text().contains(words), "{}", late.text());
    }
    let never = check("new", "1h").silent(3);
    assert!(never.text().contains("never succeeded; task 4 is not counted"), "{}", never.text());
    let json = world.control(["--json", "check", "backup", "--max-age", "3h"]).run().silent(0).value();
    assert!(json["future_success"].as_i64().unwrap() > json["last_success"].as_i64().unwrap(), "{json}");
    // Where such a run is listed first, it is named; it is never the last success.
    let newest = world.control(["history", "--name", "backup", "--limit", "1"]).run();
    assert!(newest.err.contains("task 2 ended in the future, so the clock was wrong"), "{newest:?}");
    let stats = world.control(["stats", "backup"]).run();
    assert!(stats.err.contains("backup: 1 run ended in the future"), "{stats:?}");
    let stats = world.json(&["stats", "backup"]);
    assert_eq!((&stats[0]["future"], &stats[0]["runs"]), (&json!(1), &json!(3)), "{stats}");
    assert!(stats[0]["last_success"].as_i64() < stats[0]["last_failure"].as_i64(), "{stats}");
    let recent = stats[0]["recent"].as_array().unwrap().iter().map(|run| run["result"].as_str().unwrap());
    assert_eq!(recent.collect::<Vec<_>>(), ["ok", "error"]);
    // Its number shows that it is older than the cleared runs.
    assert_eq!(world.json(&["clear", "--older-than", "10s", "--name", "backup"]), json!({ "deleted": 3, "logs": 0 }));
    assert_eq!(world.json(&["clear", "--older-than", "10s"]), json!({ "deleted": 0, "logs": 0 }));
}

// ---- run-again

#[test]
fn run_again_repeats_command_folder_name_and_options() {
    let world = world();
    let folder = world.path("folder");
    fs::create_dir(&folder).unwrap();
    let odd = os(b"\xff odd");
    let script = "pwd > $W/pwd.$TASKWATCHER_TASKID; printf %s \"$1\" > $W/arg.$TASKWATCHER_TASKID; exit 3";
    let options = ["--name", "n", "--info1", "i", "--max-runtime", "60s", "--log-max", "1M", "--"];
    let first = options.iter().map(|word| word.as_ref()).chain([
        "sh".as_ref(),
        "-c".as_ref(),
        script.as_ref(),
        "sh".as_ref(),
        odd,
    ]);
    world.launch(first).cwd(&folder).run();
    let again = world.control(["run-again", "1"]).run();
    assert_eq!(again.code, 3, "{again:?}");
    let rows = world.history();
    for column in ["taskname", "info1", "argv", "cwd", "options", "outcome"] {
        assert_eq!(rows[0].text(column), rows[1].text(column), "{column}");
    }
    assert_eq!(fs::read(world.path("arg.2")).unwrap(), odd.as_bytes());
    assert_eq!(world.line("pwd.2"), folder.to_str().unwrap());
    let id = world.control(["--run-again", "2", "--detach"]).run().silent(0);
    assert_eq!(id.text(), "3\n");
    world.control(["wait", "3"]).run();

    fs::remove_dir(&folder).unwrap();
    world.control(["run-again", "1"]).run().says(1, &["cannot run task 1 again", "its folder", "No such file"]);
    let id = world.reserved(&[]).to_string();
    world.control(["run-again", &id]).run().says(1, &["its command is unknown"]);
    world.control(["run-again", "99"]).run().says(1, &["there is no task 99"]);
    let id = world.reserved(&[]).to_string();
    world.launch(["--taskid", &id, "sh", "-c", "exit 0", "--feedback"]).run().silent(0);
    world.control(["run-again", &id]).run().says(1, &["contains its old task id", "reserve"]);
}

// ---- backup

#[test]
fn a_backup_is_consistent_during_writes() {
    let world = world();
    world.launch(["true"]).run().silent(0);
    let (_launch, live) = world.launched(["sleep", "1000"]);
    let writer = world.sh("i=0; while [ $i -lt 40 ]; do $LAUNCH true; i=$((i+1)); done").spawn();
    let copy = world.path("copy.db");
    let said = world.control(["backup", copy.to_str().unwrap()]).run().silent(0);
    assert!(said.text().contains("bytes written to"), "{}", said.text());
    assert_eq!(mode(&copy), 0o600);
    writer.wait();
    let in_copy = |args: &[&str]| {
        world.control(["--json", "--db", copy.to_str().unwrap()].iter().chain(args)).run().silent(0).value()
    };
    assert!(in_copy(&["history"])["rows"].as_array().unwrap().iter().any(|row| row["taskid"] == 1));
    assert_eq!(in_copy(&["list"])[0]["taskid"], live, "it truly runs");
    assert_eq!(in_copy(&["verify"])["ok"], true);
    let kill = world.control(["--db", copy.to_str().unwrap(), "kill", &live.to_string()]).run();
    kill.says(1, &["its launcher", "works with another file", "tasks.db\", of which this database is a copy"]);
    assert_eq!(in_copy(&["log", "1"])[0]["n"], 1, "a log lies where that of the original is");
    let again = world.control(["backup", copy.to_str().unwrap()]).run();
    again.says(1, &["cannot write the copy", "already"]);
    symlink("nowhere", world.path("link")).unwrap();
    world.control(["backup", world.path("link").to_str().unwrap()]).run().says(1, &["already"]);
    world
        .control(["backup", world.path("no/folder").to_str().unwrap()])
        .run()
        .says(1, &["cannot write the copy", "/no/folder\": No such file"]);
    assert_eq!(
        fs::read_dir(world.path(""))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".new"))
            .count(),
        0
    );
}

// ---- verify

#[test]
fn verify_finds_faults() {
    let world = world();
    world.launch(["true"]).run().silent(0);
    world.launch(["--no-log", "true"]).run().silent(0);
    let clean = world.control(["verify"]).run().silent(0);
    assert!(clean.text().starts_with("no faults found"), "{}", clean.text());
    for (damage, words) in [
        ("UPDATE history SET result = 'ok', outcome = 'ERROR: x' WHERE id = 1", "ERROR: x is not ok"),
        ("UPDATE history SET argv = '[' WHERE id = 1", "JSON"),
        ("UPDATE history SET upid = 'UPID:x' WHERE id = 1", "its UPID is invalid"),
        ("UPDATE history SET duration = -1 WHERE id = 1", "impossible"),
        ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'tasks'", "may be used again"),
        ("INSERT INTO feedbacks (id, feedback) VALUES (77, '{}')", "1 feedback of a task that is not live"),
        (
            "INSERT INTO history SELECT 9, taskid, taskname, info1, info2, info3, termsignal, termerror, starttime, endtime, duration, feedback, outcome, result, exitcode, warnings, upid, handle, pid, reservetime, argv, cwd, user, host, log, cpu_user, cpu_sys, maxrss, ended_by, options, amended, supervised FROM history WHERE id = 1; UPDATE sqlite_sequence SET seq = 9 WHERE name = 'tasks'",
            "task 1: its id belongs to several ended tasks",
        ),
        ("UPDATE history SET taskid = 2 WHERE id = 1", "task 2: its UPID is that of task 1"),
        (
            "INSERT INTO tasks (id, name, status, handle, expires) VALUES (2, 'x', 'RESERVED', 'abcdefgh', 9e9)",
            "task 2: a task is in `tasks` and in `history`",
        ),
        (
            "INSERT INTO tasks (id, name, status, handle, expires) VALUES (3, 'x', 'RESERVED', 'abcdefgh', 9e9); INSERT INTO history (id, taskid, endtime, outcome, result) VALUES (3, 3, 1, 'ERROR: reservation cancelled', 'error'); UPDATE sqlite_sequence SET seq = 3 WHERE name = 'tasks'",
            "task 3: a task is in `tasks` and in `history`",
        ),
        (
            "CREATE TRIGGER evil AFTER INSERT ON history BEGIN DELETE FROM history; END",
            "trigger evil: not part of taskwatcher's schema",
        ),
        ("CREATE VIEW report AS SELECT 1", "view report: not part of taskwatcher's schema"),
    ] {
        let copy = world.path("broken.db");
        let _ = fs::remove_file(&copy);
        world.control(["backup", copy.to_str().unwrap()]).run().silent(0);
        let db = rusqlite::Connection::open(&copy).unwrap();
        db.execute_batch(damage).unwrap();
        drop(db);
        let ran = world.control(["--db", copy.to_str().unwrap(), "verify"]).run().silent(1);
        assert!(ran.text().contains(words), "{damage}: {}", ran.text());
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(world.path(format!("broken.db{end}")));
        }
    }
}

#[test]
fn no_log_of_a_damaged_database_is_removed() {
    let world = world();
    for _ in 0..3 {
        world.launch(["echo", "kept"]).run().silent(0);
    }
    let kept = logs(&world);
    let db = world.connect();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let root: u32 =
        db.query_row("SELECT rootpage FROM sqlite_master WHERE name = 'history'", [], |r| r.get(0)).unwrap();
    let size: u16 = db.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    drop(db);
    // As after a lost write: the page has its original empty content.
    let [high, low] = size.to_be_bytes();
    let mut page = vec![0; usize::from(size)];
    page[..8].copy_from_slice(&[13, 0, 0, 0, 0, high, low, 0]);
    let file = fs::File::options().write(true).open(world.db()).unwrap();
    file.write_all_at(&page, u64::from(root - 1) * u64::from(size)).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.path(format!("tasks.db{end}")));
    }
    let found = world.control(["verify", "--repair"]).run().silent(1);
    for words in ["SQLite: ", "nothing was repaired", "no log was removed", "restore a copy"] {
        assert!(found.text().contains(words), "{}", found.text());
    }
    assert!(!found.text().contains("belongs to no task"), "{}", found.text());
    assert_eq!(logs(&world), kept);
}

#[test]
fn the_log_of_a_running_task_that_was_deleted_is_not_a_stray() {
    let world = world();
    let (launch, _) = world.launched(["sh", "-c", "echo live; exec sleep 1000"]);
    until("its log", || logs(&world).len() == 1);
    world.control(["initialize", "--force"]).run().silent(0);
    let whole = world.control(["verify", "--repair"]).run().silent(0);
    assert!(whole.text().starts_with("no faults found"), "{}", whole.text());
    assert_eq!(logs(&world).len(), 1);
    launch.signal(Signal::SIGKILL);
    launch.wait();
    world.control(["verify"]).run().silent(1);
}

#[test]
fn logs_without_a_task_are_found_and_removed() {
    let world = world();
    world.launch(["echo", "kept"]).run().silent(0);
    let (_launch, _) = world.launched(["sh", "-c", "echo live; exec sleep 1000"]);
    let kept = logs(&world);
    let stray = world.path("tasks.db.logs/AA");
    fs::create_dir(&stray).unwrap();
    for name in ["UPID:gone.log", "UPID:gone.log.1", "UPID:other.log.new", "notes.txt"] {
        fs::write(stray.join(name), "text").unwrap();
    }
    let outside = world.path("outside.log");
    fs::write(&outside, "foreign").unwrap();
    symlink(&outside, stray.join("UPID:link.log")).unwrap();
    let found = world.control(["--json", "verify"]).run().silent(1).value();
    assert_eq!((&found["ok"], found["faults"].as_array().unwrap().len()), (&json!(false), 2), "{found}");
    let repaired = world.control(["verify", "--repair"]).run().silent(0);
    assert!(repaired.text().contains("2 faults, all repaired"), "{}", repaired.text());
    let mut left = kept.clone();
    left.extend([stray.join("UPID:link.log"), stray.join("notes.txt")]);
    left.sort();
    assert_eq!(logs(&world), left);
    assert!(outside.exists());
    assert_eq!(world.json(&["verify"])["ok"], true);
    fs::remove_file(&kept[0]).unwrap();
    let noted = world.control(["verify"]).run().silent(0);
    assert!(noted.text().contains("note: 1 log is missing (task 1)\n"), "{}", noted.text());
    assert!(noted.text().ends_with("the rules of taskwatcher; 1 log\n"), "{}", noted.text());
    fs::write(stray.join("UPID:late.log"), "text").unwrap();
    let found = world.control(["verify"]).run().silent(1);
    assert!(found.text().contains("\n1 fault; --repair removes"), "{}", found.text());
    let repaired = world.control(["verify", "--repair"]).run().silent(0);
    assert!(repaired.text().ends_with("\n1 fault, repaired\n"), "{}", repaired.text());
}

// ---- retention

#[test]
fn rows_and_logs_go_together() {
    let world = world();
    for name in ["a", "b"] {
        world.launch(["--name", name, "echo", "x"]).run().silent(0);
    }
    let trap = world.path("precious.log");
    fs::write(&trap, "mine").unwrap();
    let db = world.connect();
    db.execute("UPDATE history SET log = ?1, upid = NULL WHERE id = 1", [trap.to_str().unwrap()]).unwrap();
    assert_eq!(world.json(&["clear", "--older-than", "1h"]), json!({ "deleted": 0, "logs": 0 }));
    assert_eq!(world.json(&["clear", "--name", "b"]), json!({ "deleted": 1, "logs": 1 }));
    assert_eq!(world.json(&["clear"]), json!({ "deleted": 1, "logs": 0 }));
    assert!(trap.exists(), "a path in a row is not a permission to delete");
    assert_eq!(logs(&world).len(), 1, "that of the row that was tampered with");
    world.control(["verify", "--repair"]).run().silent(0);
    assert_eq!(logs(&world).len(), 0);
    world.launch(["echo", "x"]).run().silent(0);
    world.control(["initialize"]).run().silent(0);
    assert_eq!(logs(&world).len(), 0);
}

#[test]
fn a_crash_between_rows_and_logs_leaves_logs_that_verify_finds() {
    let world = world();
    world.launch(["echo", "x"]).run().silent(0);
    assert_eq!(world.control(["clear"]).env(CRASH_AT, "clear.after").run().code, KILLED);
    assert_eq!((world.history().len(), logs(&world).len()), (0, 1));
    world.control(["verify", "--repair"]).run().silent(0);
    assert_eq!(logs(&world).len(), 0);
}

// ---- filters

#[test]
fn list_filters_live_and_ended_tasks() {
    let world = world();
    let script = "echo '[warning]w' > $TASKWATCHER_FEEDBACK";
    world.launch(["--name", "w", "--feedpath", ".", "sh", "-c", script]).run().silent(0);
    world.launch(["--name", "e", "false"]).run().silent(1);
    world.reserved(&[]);
    let (launch, live) = world.launched(["sleep", "1000"]);
    let ids = |args: &[&str]| -> Vec<i64> {
        world.json(args).as_array().unwrap().iter().map(|row| row["taskid"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&["list", "--status", "running"]), [live]);
    assert_eq!(ids(&["list", "--status", "RESERVED,stalled"]), [3]);
    assert_eq!(ids(&["list", "--all", "--outcome", "warnings", "--status", "orphaned"]), [1]);
    assert_eq!(ids(&["list", "--all", "--outcome", "error,unknown", "--status", "orphaned"]), [2]);
    assert_eq!(world.control(["list", "--outcome", "ok"]).run().code, 2);
    launch.signal(Signal::SIGTERM);
    launch.wait();
}

// ---- sd_notify

#[test]
fn messages_of_sd_notify_are_handled() {
    let world = world();
    let script = "echo $NOTIFY_SOCKET $WATCHDOG_USEC > $W/socket.new; mv $W/socket.new $W/socket; exec sleep 1000";
    let (launch, id) = world.launched(["--quiet", "--timeout", "1s", "sh", "-c", script]);
    let line = world.line("socket");
    let (address, usec) = line.split_once(' ').unwrap();
    assert_eq!(usec, "1000000");
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let name = address.strip_prefix('@').unwrap();
    // The name of the socket, which all users can read, does not contain the handle, which proves that a process
    // belongs to the task.
    let names = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(names.contains(name) && !names.contains(world.task().text("handle")));
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let say = |text: &str| socket.send_to_addr(text.as_bytes(), &address).unwrap();
    say("READY=1\nSTATUS=warming \x1b[31mup");
    until("its word", || world.json(&["list"])[0]["note"] == "warming \u{1b}[31mup");
    assert_eq!(world.json(&["list"])[0]["ready"], true);
    let table = world.control(["list"]).run().silent(0);
    assert!(table.text().contains("warming \\x1b[31mup"), "{}", table.text());
    // The launcher has re-executed itself by now, and still receives messages.
    for _ in 0..8 {
        say("WATCHDOG=1");
        std::thread::park_timeout(std::time::Duration::from_millis(200));
    }
    assert_eq!(world.status(id).as_deref().map(|_| ()), Some(()), "its heartbeats count");
    let ran = launch.wait();
    assert_eq!(ran.code, 124, "{ran:?}");
    assert_eq!(world.end().text("outcome"), "ERROR: no heartbeat for 1s");
}
