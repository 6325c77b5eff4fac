//! The verbs of `control`, as users and scripts see them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::fs::symlink},
};

use nix::{pty::openpty, sys::signal::Signal};
use serde_json::{Value, json};
use taskwatcher::io::store::LockTimeout;

use crate::support::{
    World,
    desk::{Foreign, mode},
    field, sleeps, timed, until,
};

const LIVES: &str = "echo $$ >$W/command; exec sleep 600";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

// ---- spelling

#[test]
fn verbs_with_and_without_dashes_are_the_same() {
    let world = World::new();
    let says = |args: &[&str]| {
        let ran = world.control(args).run();
        (ran.code, ran.out, ran.err)
    };
    assert_eq!(world.control(["--reserve", "--name", "a", "--expire", "1h"]).run().silent(0).text(), "1\n");
    world.launch(["--name", "b", "--info1", "x", "true"]).run().silent(0);
    let pairs: [(&[&str], &[&str]); 9] = [
        (&["--list", "--json"], &["list", "--json"]),
        (&["--history", "--name", "b", "--json"], &["history", "--name", "b", "--json"]),
        (&["--history", "--json"], &["--json", "history"]),
        (&["--show", "2"], &["show", "2"]),
        (&["--feedback", "2"], &["feedback", "2"]),
        (&["--feedback=2"], &["feedback", "2"]),
        (&["--wait", "2", "--any"], &["wait", "2", "--any"]),
        (&["--update"], &["update"]),
        (&["--kill", "9"], &["kill", "9"]),
    ];
    for (dashed, plain) in pairs {
        // Durations of live tasks may differ by a second; everything in this test is constant.
        assert_eq!(says(dashed), says(plain), "{dashed:?}");
    }
    world.control(["--killall", "a"]).run().silent(0);
    world.control(["--clear", "--name", "b"]).run().silent(0);
    world.control(["--initialize"]).run().silent(0);
    assert_eq!((world.tasks().len(), world.history().len()), (0, 0));
}

#[test]
fn bad_usage_is_2_in_every_verb() {
    let world = World::new();
    let lines: [&[&str]; 17] = [
        &[],
        &["reserve", "--name", ""],
        &["frobnicate"],
        &["reserve", "--expire", "soon"],
        &["kill"],
        &["kill", "0"],
        &["kill", "1", "--signal", "FOO"],
        &["kill", "1", "--signal", "TERM", "--now"],
        &["wait", "UPID:x"],
        &["wait", "1", "--timeout", "x"],
        &["history", "--limit", "-1"],
        &["history", "--outcome", "fine"],
        &["history", "--after", "x"],
        &["history", "--since", "someday"],
        &["history", "--json", "--jsonl"],
        &["list", "--watch", "--json"],
        &["clear", "--older-than", "x"],
    ];
    for line in lines {
        let ran = world.control(line).run();
        assert_eq!((ran.code, ran.text()), (2, ""), "{line:?}: {ran:?}");
        assert!(!ran.err.is_empty());
    }
    assert!(!world.db().exists());
}

// ---- no database

#[test]
fn without_a_database_readers_report_it_and_create_nothing() {
    let world = World::new();
    let lines: [&[&str]; 9] = [
        &["list"],
        &["list", "--watch"],
        &["show", "1"],
        &["feedback", "1"],
        &["history"],
        &["wait", "1"],
        &["kill", "1"],
        &["update"],
        &["clear"],
    ];
    let missing = world.path("state/deep/tasks.db");
    for line in lines {
        let ran = world.control(line).env("TASKWATCHER_DB", &missing).run();
        assert_eq!(ran.text(), "", "{line:?}");
        ran.says(1, &["no database", missing.to_str().unwrap()]);
        assert!(!world.path("state").exists(), "{line:?}");
    }
    for line in [&["reserve"][..], &["initialize"]] {
        world.control(line).env("TASKWATCHER_DB", &missing).run().silent(0);
        assert!(missing.exists());
        fs::remove_dir_all(world.path("state")).unwrap();
    }
}

#[test]
fn where_the_database_is() {
    let world = World::new();
    let by = |args: &[&str], set: &[(&str, &str)]| {
        let mut program = world.control(args);
        program.command.env_remove("TASKWATCHER_DB");
        for (name, path) in set {
            program.command.env(name, world.path(path));
        }
        program.run().silent(0);
    };
    let db = world.path("given/x.db");
    by(&["--db", db.to_str().unwrap(), "reserve"], &[("TASKWATCHER_DB", "variable.db"), ("XDG_STATE_HOME", "xdg")]);
    assert!(db.exists());
    by(&["reserve"], &[("TASKWATCHER_DB", "variable.db"), ("XDG_STATE_HOME", "xdg")]);
    assert!(world.path("variable.db").exists());
    by(&["reserve"], &[("XDG_STATE_HOME", "xdg")]);
    by(&["reserve"], &[]);
    for made in ["xdg/taskwatcher", ".local/state/taskwatcher"] {
        assert_eq!((mode(&world.path(made)), mode(&world.path(made).join("tasks.db"))), (0o700, 0o600), "{made}");
    }
    // Only a shell expands ~.
    world.control(["--db", "~/x.db", "reserve"]).run().says(1, &["\"~/x.db\"", "absolute path"]);
    world.control(["reserve"]).env("TASKWATCHER_DB", "~me/x.db").run().says(1, &["\"~me/x.db\""]);
    // No folder is created for a path that leaves it again.
    world.control(["--db", "a/b/../../up.db", "reserve"]).run().silent(0);
    assert!(world.work().join("up.db").exists() && !world.work().join("a").exists());
    fs::create_dir(world.path("real")).unwrap();
    std::os::unix::fs::symlink(world.path("real"), world.work().join("link")).unwrap();
    world.control(["--db", "link/../up.db", "reserve"]).run().silent(0);
    assert!(world.path("up.db").exists(), "beside what the link leads to");
}

#[test]
fn every_form_of_a_time_zone_is_supported_and_an_invalid_one_is_reported() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    // 2026-07-01 12:00 UTC.
    world.connect().execute("UPDATE history SET starttime = 1782907200, endtime = 1782907200", []).unwrap();
    for (zone, time) in [
        ("IST-2IDT,M3.4.4/26,M10.5.0", "15:00:00"),
        ("CET-1CEST", "14:00:00"),
        ("EST5EDT,J1/-1,J365/25", "08:00:00"),
        ("LONGSTANDARDNAME-3", "15:00:00"),
        ("<-03>3", "09:00:00"),
        ("", "12:00:00"),
    ] {
        let shown = world.control(["history"]).env("TZ", zone).run().silent(0);
        assert!(shown.text().contains(&format!("2026-07-01 {time}")), "{zone}: {}", shown.text());
    }
    // An hour that is skipped by the daylight saving change is read as if the clock had changed after it.
    let since = |time: &str| {
        let zone = "CET-1CEST,M3.5.0,M10.5.0/3";
        world.control(["history", "--since", time]).env("TZ", zone).run().silent(0);
    };
    since("2026-03-29 02:30");
    since("2026-10-25 02:30");
    let pipe = world.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for zone in [pipe.to_str().unwrap(), "/dev/zero", "Nowhere/None"] {
        let shown = world.control(["history"]).env("TZ", zone).run();
        assert!(shown.err.contains("is not a time zone") && shown.err.contains(zone), "{}", shown.err);
        assert!(shown.text().contains("2026-07-01 12:00:00"), "{}", shown.text());
        world.launch(["echo", "x"]).env("TZ", zone).run().silent(0);
    }
}

#[test]
fn without_home_the_home_folder_is_taken_from_passwd() {
    let world = World::new();
    let without = |uid: u32| {
        let mut program = world.control(["list"]);
        program.command.env_remove("TASKWATCHER_DB").env_remove("HOME");
        if nix::unistd::geteuid().is_root() { program.of_user(uid) } else { program }
    };
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let uid = if nix::unistd::geteuid().is_root() { 65_534 } else { nix::unistd::geteuid().as_raw() };
    let home = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let home = home.into_iter().find(|fields| fields.get(2) == Some(&uid.to_string().as_str()));
    let Some(home) = home.and_then(|fields| fields.get(5).map(|home| (*home).to_owned())) else {
        return eprintln!("SKIPPED: /etc/passwd has no user {uid}");
    };
    let said = without(uid).run();
    assert!(said.code == 0 || said.err.contains(&home), "{said:?}");
    if nix::unistd::geteuid().is_root() {
        without(4_000_000).run().says(1, &["no path for the database", "HOME"]);
    }
}

// ---- reserve

#[test]
fn reservations() {
    let world = World::new();
    assert_eq!(world.reserved(&[]), 1);
    let handle = world.control(["reserve", "--handle", "--name", "n", "--info1", "i"]).run().silent(0);
    let handle = handle.text().trim_end().to_owned();
    assert!(handle.len() == 8 && handle.starts_with(|c: char| c.is_ascii_lowercase()), "{handle}");
    let reserved = world.json(&["reserve", "--expire", "5m"]);
    assert_eq!(keys(&reserved), ["taskid", "handle", "expires"]);
    assert_eq!(world.query("SELECT * FROM tasks WHERE id = 3")[0].text("handle"), reserved["handle"]);
    let row = &world.query("SELECT * FROM tasks WHERE id = 2")[0];
    assert_eq!((row.text("status"), row.text("name"), row.text("info1")), ("RESERVED", "n", "i"));
    assert_eq!(row.int("expires") - row.int("reservetime"), 61, "at least 60 s, rounded up to a full second");
    world.launch(["--taskid", &handle, "true"]).run().silent(0);
    assert_eq!(world.last().text("taskname"), "n");
}

#[test]
fn an_unused_reservation_expires() {
    let world = World::new();
    let (id, _) = world.reserve("mine", -5);
    world.launch(["--taskid", &id.to_string(), "true"]).run().says(125, &["its reservation has lapsed"]);
    assert_eq!(world.status(id), None);
    let end = world.end();
    assert_eq!(end.text("ended_by"), "expiry");
    assert!(end.is_null("upid") && end.is_null("starttime"));
    world.launch(["--taskid", &id.to_string(), "true"]).run().says(125, &["reservation lapsed", "reserve again"]);
}

// ---- list

const LIST_KEYS: [&str; 28] = [
    "taskid",
    "name",
    "taskname",
    "info1",
    "info2",
    "info3",
    "pid",
    "status",
    "feedback",
    "reservetime",
    "expires",
    "starttime",
    "duration",
    "lastupdate",
    "timer",
    "timeout",
    "progress",
    "note",
    "ready",
    "max_runtime",
    "handle",
    "upid",
    "launcher_pid",
    "host",
    "user",
    "argv",
    "cwd",
    "log",
];

#[test]
fn list_in_every_form() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    assert_eq!(world.json(&["list"]), json!([]));
    assert_eq!(world.control(["list", "--jsonl"]).run().silent(0).text(), "");
    world.reserved(&["--name", "kept", "--expire", "1h"]);
    let script = "echo '[progress]40' >$TASKWATCHER_FEEDBACK; exec sleep 600";
    let (launch, id) = world.launched(["--feedpath", ".", "--timeout", "10m", "--info2", "two", "sh", "-c", script]);
    until("its progress", || world.json(&["list"])[1]["progress"] == 40.0);
    let list = world.json(&["list"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
    for row in list.as_array().unwrap() {
        assert_eq!(keys(row), LIST_KEYS);
    }
    let row = &list[1];
    assert_eq!(
        (&row["taskid"], &row["name"], &row["info1"], &row["info2"]),
        (&json!(id), &json!("sh"), &json!(null), &json!("two"))
    );
    assert_eq!((&row["status"], &row["feedback"], &row["timeout"]), (&json!("RUNNING"), &json!(1), &json!(600.0)));
    assert_eq!(row["launcher_pid"], launch.pid());
    assert_eq!(row["pid"], world.query("SELECT pid FROM tasks WHERE id = 2")[0].int("pid"));
    assert!(row["timer"].as_i64().unwrap() <= row["duration"].as_i64().unwrap());
    assert_eq!(list[0]["status"], "RESERVED");
    assert_eq!((&list[0]["pid"], &list[0]["starttime"], &list[0]["timer"]), (&json!(null), &json!(null), &json!(null)));

    let lines = world.control(["list", "--jsonl"]).run().silent(0).values();
    assert_eq!(lines.len(), 2);
    assert_eq!(keys(&lines[0]), LIST_KEYS);
    assert_eq!(world.json(&["list", "--name", "sh"]).as_array().unwrap().len(), 1);
    assert_eq!(world.json(&["list", "--until", "2h"]), json!([]), "none started before two hours ago");
    assert_eq!(world.json(&["list", "--since", "2h"]).as_array().unwrap().len(), 2);

    let table = world.control(["list"]).run().silent(0);
    let lines: Vec<&str> = table.text().lines().collect();
    assert_eq!(lines.len(), 3);
    for name in
        ["TASKID", "NAME", "STATUS", "PID", "START", "DURATION", "FEEDBACK", "TIMER", "TIMEOUT", "PROGRESS", "INFO2"]
    {
        assert!(lines[0].contains(name), "{name} in {:?}", lines[0]);
    }
    assert!(!lines[0].contains("INFO1"), "no task has one");
    for text in ["RUNNING", "yes", "10m", "████░░░░░░  40%", "two"] {
        assert!(lines[2].contains(text), "{text} in {:?}", lines[2]);
    }
    world.launch(["--name", "done", "true"]).run().silent(0);
    let all = world.json(&["list", "--all"]);
    let names: Vec<_> =
        all.as_array().unwrap().iter().map(|row| row.get("name").or(row.get("taskname")).unwrap()).collect();
    assert_eq!(names, ["kept", "sh", "done"]);
    assert!(world.control(["list", "--all"]).run().silent(0).text().contains("OUTCOME"));
}

#[test]
fn silence_is_shown() {
    let world = World::new();
    let (_launch, id) = world.launched(["--feedpath", ".", "--timeout", "100s", "sh", "-c", LIVES]);
    world.line("command");
    for (ago, status) in [(10, "RUNNING"), (30, "SILENT"), (60, "STALLED")] {
        world.edit(&format!("UPDATE tasks SET starttime = unixepoch() - {ago}"));
        assert_eq!(world.status(id).as_deref(), Some(status));
    }
    // After a heartbeat, the task is RUNNING again.
    fs::write(world.work().join(format!("feedback_{id}.log")), "[a]\n").unwrap();
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
}

/// Text that is harmful to a terminal or to a table.
const HOSTILE: &str = "a\x1b[31mred\x1b]0;title\x07\nline2\tb\rc\u{9b}d\u{202e}evil\u{2066}\u{200b}\u{7f}é";

#[test]
fn hostile_texts_are_escaped_in_tables_and_exact_in_json() {
    let world = World::new();
    let script = format!("printf '%s' '[k]{}' >$TASKWATCHER_FEEDBACK", "\x1b[5m");
    let args = ["--name", HOSTILE, "--info1", HOSTILE, "--info3", &"x".repeat(100_000), "--feedpath", "."];
    world.launch(args.into_iter().chain(["sh", "-c", &script, HOSTILE])).run().silent(0);
    world.control(["reserve", "--name", HOSTILE, "--info2", HOSTILE, "--expire", "1h"]).run().silent(0);
    let harmless = |text: &str| {
        let bad = |c: &char| c.is_control() && *c != '\n' || ['\u{202e}', '\u{2066}', '\u{200b}'].contains(c);
        assert_eq!(text.chars().find(bad), None, "{text:?}");
    };
    for verb in [&["list"][..], &["list", "--all"], &["history"], &["show", "1"], &["show", "2"]] {
        let ran = world.control(verb).run().silent(0);
        harmless(ran.text());
        assert!(ran.text().contains("a\\x1b[31mred"), "{verb:?}: {}", ran.text());
        if verb[0] == "history" {
            assert_eq!(ran.text().lines().count(), 2, "one line for one task");
            assert!(ran.text().lines().all(|line| line.chars().count() < 400), "long texts are cut");
        }
    }
    let kill = world.control(["killall", HOSTILE]).run().silent(0);
    harmless(kill.text());
    let row = &world.json(&["history", "--reverse"])["rows"][0];
    assert_eq!((row["taskname"].as_str(), row["info1"].as_str()), (Some(HOSTILE), Some(HOSTILE)));
    assert_eq!(row["info3"].as_str().unwrap().len(), 100_000);
    assert_eq!(row["feedback"], json!({ "k": "\x1b[5m" }));
    let ran = world.control(["reserve", "--unique", "--name", HOSTILE]).run().silent(0);
    assert_eq!(ran.text(), "3\n");
    let ran = world.control(["reserve", "--unique", "--name", HOSTILE]).run();
    harmless(&ran.err);
}

/// Opens a terminal: returns its output, and the side for a program.
fn terminal(columns: u16) -> (File, OwnedFd) {
    let size = nix::pty::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    (File::from(pty.master), pty.slave)
}

#[test]
fn help_fits_the_terminal() {
    let world = World::new();
    let lines: [(&str, &[&str]); 3] = [
        (env!("CARGO_BIN_EXE_launch"), &["--help"]),
        (env!("CARGO_BIN_EXE_control"), &["--help"]),
        (env!("CARGO_BIN_EXE_control"), &["history", "-h"]),
    ];
    for (program, args) in lines {
        let (mut screen, side) = terminal(64);
        let mut help = world.command(program).env("NO_COLOR", "1");
        help.command.args(args).stdout(side);
        let mut child = help.command.spawn().unwrap();
        drop(help);
        let mut shown = vec![];
        // Reading from a terminal that no process has open is an error.
        let _ = screen.read_to_end(&mut shown);
        assert!(child.wait().unwrap().success());
        let shown = String::from_utf8(shown).unwrap();
        let wide: Vec<&str> = shown.lines().filter(|line| line.trim_end().chars().count() > 64).collect();
        assert!(shown.lines().count() > 20 && wide.is_empty(), "{program}: {wide:#?}");
    }
}

#[test]
fn list_watch_redraws_on_a_terminal() {
    let world = World::new();
    world.control(["reserve", "--name", "first", "--expire", "1h"]).run().silent(0);
    let (mut screen, side) = terminal(60);
    let mut watch = world.control(["list", "--watch"]);
    watch.command.stdout(side.try_clone().unwrap()).stderr(side);
    let mut child = watch.command.spawn().unwrap();
    drop(watch);
    let mut shown = String::new();
    let mut see = |what: &str| {
        let mut bytes = [0; 4096];
        while !shown.contains(what) {
            let read = screen.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    };
    see("first");
    world.control(["reserve", "--name", "second", "--expire", "1h"]).run().silent(0);
    see("second");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    child.wait().unwrap();
    assert!(shown.starts_with("\x1b[H\x1b[J"), "{shown:?}");
    let wide = shown.split("\r\n").map(|line| line.replace("\x1b[H", "").replace("\x1b[J", "").chars().count()).max();
    assert!(wide.unwrap() <= 60, "{shown}");
}

#[test]
fn tables_of_list_watch_in_a_pipe_are_separated_by_an_empty_line() {
    let world = World::new();
    let (id, _) = world.reserve("n", 3600);
    let watch = world.control(["list", "--watch"]).spawn();
    until("the third picture", || watch.stdout().matches("TASKID").count() >= 3);
    let shown = watch.stdout();
    let pictures: Vec<&str> = shown.split("\n\n").collect();
    assert!(pictures[..2].iter().all(|one| one.starts_with("TASKID") && one.lines().count() == 2), "{shown:?}");
    assert!(pictures[0].contains(&id.to_string()));
}

#[test]
fn a_reader_that_goes_away_is_not_an_error() {
    let world = World::new();
    world.reserved(&["--expire", "1h"]);
    let script = format!("{{ '{}' list --watch; echo $? >$W/code; }} | head -n 1", env!("CARGO_BIN_EXE_control"));
    world.sh(&script).run().silent(0);
    assert_eq!(world.line("code"), "0");
}

// ---- show

const HISTORY_KEYS: [&str; 29] = [
    "id",
    "taskid",
    "taskname",
    "info1",
    "info2",
    "info3",
    "outcome",
    "termsignal",
    "termerror",
    "exitcode",
    "starttime",
    "endtime",
    "duration",
    "feedback",
    "warnings",
    "upid",
    "handle",
    "pid",
    "argv",
    "cwd",
    "user",
    "host",
    "log",
    "cpu_user",
    "cpu_sys",
    "maxrss",
    "ended_by",
    "reservetime",
    "options",
];

#[test]
fn show_takes_number_handle_and_upid_of_live_and_ended() {
    let world = World::new();
    let (launch, id) =
        world.launched(["--feedpath", ".", "sh", "-c", &format!("echo '[a]1' >$TASKWATCHER_FEEDBACK; {LIVES}")]);
    world.line("command");
    let names = || {
        let row = world.query("SELECT handle, upid FROM tasks UNION ALL SELECT handle, upid FROM history").remove(0);
        [id.to_string(), row.text("handle").to_owned(), row.text("upid").to_owned()]
    };
    for name in names() {
        let shown = world.json(&["show", &name]);
        assert_eq!(keys(&shown), LIST_KEYS.into_iter().chain(["lastlines"]).collect::<Vec<_>>());
        assert_eq!((&shown["taskid"], &shown["feedback"]), (&json!(id), &json!({ "a": "1" })), "{name}");
        let text = world.control(["show", &name]).run().silent(0);
        assert!(text.text().contains("status") && text.text().contains("RUNNING"), "{}", text.text());
    }
    world.control(["kill", &id.to_string()]).run().silent(0);
    launch.wait();
    for name in names() {
        let shown = world.json(&["show", &name]);
        let wanted: Vec<&str> = HISTORY_KEYS.into_iter().chain(["status", "lastlines"]).collect();
        assert_eq!(keys(&shown), wanted);
        assert_eq!((&shown["taskid"], &shown["status"]), (&json!(id), &json!("stopped")));
        let text = world.control(["show", &name]).run().silent(0);
        assert!(text.text().contains("killed by"), "{}", text.text());
    }
    for unknown in ["99", "zzzzzzzz", "UPID:vm:00000001:00000001:00000001:x:1:root@pam:"] {
        world.control(["show", unknown]).run().says(1, &["there is no task", unknown]);
        world.control(["feedback", unknown]).run().says(1, &["there is no task", unknown]);
        world.control(["wait", unknown]).run().says(1, &["there is no task", unknown]);
        world.control(["kill", unknown]).run().says(1, &["there is no task", unknown]);
    }
}

// ---- feedback

#[test]
fn feedback_reads_only_what_is_new_and_keeps_it() {
    let world = World::new();
    let (_launch, id) = world.launched(["--feedpath", ".", "--timeout", "1h", "sh", "-c", LIVES]);
    world.line("command");
    let id = id.to_string();
    let feedback = || world.control(["feedback", &id]).run().silent(0).text().to_owned();
    assert_eq!(feedback(), "{}\n", "no file yet");
    assert!(world.query("SELECT * FROM feedbacks").is_empty());

    let path = world.work().join(format!("feedback_{id}.log"));
    // Long enough that the beginning of the file is not used to recognize it.
    let first = format!("[a]1\n{}", "# nothing\n".repeat(10_000));
    let mut file = File::create(&path).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(b"[b]old\n[half]not ye").unwrap();
    assert_eq!(feedback(), "{\"a\":\"1\",\"b\":\"old\"}\n", "the last line is not whole");
    let stored = || world.query("SELECT * FROM feedbacks").remove(0);
    assert_eq!((stored().int("id"), stored().text("feedback")), (1, r#"{"a":"1","b":"old"}"#));
    assert_eq!(stored().json("state")[1]["offset"], first.len() + 7, "it goes on after the last whole line");
    file.write_all(b"t\n[b]new\n").unwrap();
    assert_eq!(feedback(), "{\"a\":\"1\",\"b\":\"new\",\"half\":\"not yet\"}\n");
    let read = fs::metadata(&path).unwrap().len();
    assert_eq!(stored().json("state")[1]["offset"], read);

    // The part that was read is not read again: other values of the same length before the mark are not seen.
    let values = fs::read_to_string(&path).unwrap().replacen("[a]1", "[a]9", 1);
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(values.as_bytes()).unwrap();
    assert_eq!(feedback(), "{\"a\":\"1\",\"b\":\"new\",\"half\":\"not yet\"}\n");
    // A file that was replaced is read again.
    fs::write(&path, "[c]3\n").unwrap();
    assert_eq!(feedback(), "{\"c\":\"3\"}\n");
    fs::remove_file(&path).unwrap();
    assert_eq!(feedback(), "{\"c\":\"3\"}\n", "what was read stays");
}

#[test]
fn feedback_of_every_kind_of_task() {
    let world = World::new();
    world.reserved(&["--expire", "1h"]);
    world
        .launch(["--feedpath", ".", "sh", "-c", "printf '[a]1\n[b]unfinished' >$TASKWATCHER_FEEDBACK"])
        .run()
        .silent(0);
    world.launch(["true"]).run().silent(0);
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    for (task, wanted) in [(1, json!({})), (2, json!({ "a": "1", "b": "unfinished" })), (3, json!({})), (id, json!({}))]
    {
        assert_eq!(world.json(&["feedback", &task.to_string()]), wanted, "task {task}");
    }
    let lock = world.lock();
    assert_eq!(world.json(&["feedback", "2"]), json!({ "a": "1", "b": "unfinished" }), "also while it is locked");
    drop(lock);
}

#[test]
fn a_feedback_file_that_is_a_trap_is_not_followed() {
    let world = World::new();
    let (_launch, id) = world.launched(["--feedpath", ".", "sh", "-c", LIVES]);
    world.line("command");
    let path = world.work().join(format!("feedback_{id}.log"));
    fs::write(world.path("secret"), "[password]x\n").unwrap();
    symlink(world.path("secret"), &path).unwrap();
    let ran = world.control(["feedback", &id.to_string()]).run();
    assert!(!ran.text().contains("password"), "{ran:?}");
    ran.says(1, &["cannot read the feedback of task 1", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    world.command("mkfifo").command.arg(&path).status().unwrap();
    let ran = world.control(["feedback", &id.to_string()]).run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!world.control(["list"]).run().silent(0).text().is_empty());
}

// ---- history

/// Inserts rows of ended tasks, many of them in the same second.
fn with_rows(world: &World, count: i64) {
    world.edit(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO history (id, taskid, taskname, starttime, endtime, outcome, result, user)
         SELECT i, i, iif(i % 3, 'three', 'other'), 1000000, 1000000 + (i * 7919 % 997) / 10,
                CASE i % 4 WHEN 0 THEN 'OK' WHEN 1 THEN 'WARNINGS: 1' WHEN 2 THEN 'ERROR: x' ELSE 'unknown' END,
                CASE i % 4 WHEN 0 THEN 'ok' WHEN 1 THEN 'warnings' WHEN 2 THEN 'error' ELSE 'unknown' END,
                iif(i % 5, 'root', 'eve')
         FROM n;
         UPDATE sqlite_sequence SET seq = {count};"
    ));
}

/// Reads all pages one after the other, each from the cursor of the previous one.
fn walk(world: &World, args: &[&str], mut between: impl FnMut(usize)) -> Vec<i64> {
    let mut ids = Vec::new();
    let mut after: Option<String> = None;
    for page in 0.. {
        between(page);
        let cursor = after.iter().flat_map(|cursor| ["--after", cursor.as_str()]);
        let line: Vec<&str> = ["history"].iter().chain(args).copied().chain(cursor).collect();
        let found = world.json(&line);
        assert_eq!(keys(&found), ["rows", "next"]);
        let rows = found["rows"].as_array().unwrap();
        ids.extend(rows.iter().map(|row| row["id"].as_i64().unwrap()));
        match &found["next"] {
            Value::Null => break,
            next => after = Some(next.as_str().unwrap().to_owned()),
        }
        assert!(!rows.is_empty(), "a page that promises more is not empty");
    }
    ids
}

#[test]
fn all_pages_forward_and_back_without_gap_or_double() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    with_rows(&world, 300);
    let ids = |which: &str| -> Vec<i64> {
        world.query(&format!("SELECT id FROM history {which}")).iter().map(|row| row.int("id")).collect()
    };
    let newest = ids("ORDER BY endtime DESC, id DESC");
    let oldest = ids("ORDER BY endtime, id");
    for limit in ["1000", "300", "299", "37", "7"] {
        assert_eq!(walk(&world, &["--limit", limit], |_| ()), newest, "limit {limit}");
        assert_eq!(walk(&world, &["--limit", limit, "--reverse"], |_| ()), oldest, "limit {limit}");
    }
    assert_eq!(world.json(&["history"])["rows"].as_array().unwrap().len(), 50, "by default");
    let filters: [(&[&str], &str); 8] = [
        (&["--name", "three"], "taskname = 'three'"),
        (&["--outcome", "error"], "result = 'error'"),
        (&["--outcome", "ok"], "result = 'ok'"),
        (&["--outcome", "error,unknown,warnings"], "result <> 'ok'"),
        (&["--outcome", "ok", "--outcome", "unknown"], "result IN ('ok', 'unknown')"),
        (&["--user", "eve"], "user = 'eve'"),
        (&["--since", "@1000040", "--until", "@1000060"], "endtime BETWEEN 1000040 AND 1000060"),
        (
            &["--name", "three", "--outcome", "error", "--user", "root", "--since", "@1000020"],
            "taskname = 'three' AND result = 'error' AND user = 'root' AND endtime >= 1000020",
        ),
    ];
    for (args, which) in filters {
        let wanted = ids(&format!("WHERE {which} ORDER BY endtime DESC, id DESC"));
        assert!(!wanted.is_empty() && wanted.len() < 300);
        let args: Vec<&str> = args.iter().copied().chain(["--limit", "19"]).collect();
        assert_eq!(walk(&world, &args, |_| ()), wanted, "{args:?}");
        let back: Vec<i64> = wanted.into_iter().rev().collect();
        let args: Vec<&str> = args.into_iter().chain(["--reverse"]).collect();
        assert_eq!(walk(&world, &args, |_| ()), back, "{args:?}");
    }
    assert_eq!(world.json(&["history", "--name", "nobody"]), json!({ "rows": [], "next": null }));
}

#[test]
fn an_outcome_is_known_in_any_case() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    world.launch(["--name", "n", "false"]).run().silent(1);
    let page = world.json(&["history", "--outcome", "ERROR,Unknown"]);
    assert_eq!((&page["rows"][0]["taskname"], page["rows"].as_array().unwrap().len()), (&json!("n"), 1), "{page}");
    let listed = world.json(&["list", "--all", "--outcome", "Ok"]);
    assert_eq!((&listed[0]["taskname"], listed.as_array().unwrap().len()), (&json!("true"), 1), "{listed}");
}

#[test]
fn rows_that_arrive_meanwhile_neither_shift_nor_repeat_a_page() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    with_rows(&world, 120);
    let newest: Vec<i64> =
        world.query("SELECT id FROM history ORDER BY endtime DESC, id DESC").iter().map(|row| row.int("id")).collect();
    let walked = walk(&world, &["--limit", "11"], |page| {
        if page > 0 {
            world.launch(["true"]).run().silent(0);
        }
    });
    assert_eq!(walked, newest, "those that ended later are on no later page");
    let oldest: Vec<i64> = newest.into_iter().rev().collect();
    let mut added = world.history().len() - 120;
    let walked = walk(&world, &["--limit", "11", "--reverse"], |page| {
        if page % 3 == 0 {
            world.launch(["true"]).run().silent(0);
            added += 1;
        }
    });
    assert_eq!(walked[..120], oldest);
    assert_eq!(walked.len(), world.history().len(), "oldest first meets them at its end");
    let mut once = walked.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), walked.len());
}

#[test]
fn history_in_every_form() {
    let world = World::new();
    world.launch(["--name", "n", "sh", "-c", "exit 3"]).run().silent(3);
    world.launch(["true"]).run().silent(0);
    let page = world.json(&["history", "--limit", "1"]);
    assert_eq!(keys(&page["rows"][0]), HISTORY_KEYS);
    let next = page["next"].as_str().unwrap();
    let lines = world.control(["history", "--jsonl", "--limit", "1"]).run();
    assert_eq!(lines.values(), [page["rows"][0].clone()]);
    lines.says(0, &[next]);
    let lines = world.control(["history", "--jsonl", "--after", next]).run().silent(0).values();
    assert_eq!(lines.len(), 1);
    let row = &lines[0];
    assert_eq!(
        (&row["taskname"], &row["outcome"], &row["exitcode"]),
        (&json!("n"), &json!("ERROR: exit code 3"), &json!(3))
    );
    assert_eq!(
        (&row["termerror"], &row["termsignal"], &row["argv"]),
        (&json!("exit code 3"), &json!(null), &json!(["sh", "-c", "exit 3"]))
    );
    assert_eq!((&row["id"], &row["user"], &row["ended_by"]), (&row["taskid"], &json!("root"), &json!("itself")));
    let table = world.control(["history"]).run().silent(0);
    let lines: Vec<&str> = table.text().lines().collect();
    assert!(
        lines[0].contains("OUTCOME") && lines[1].contains("OK") && lines[2].contains("ERROR: exit code 3"),
        "{lines:?}"
    );
    world.control(["history", "--limit", "1"]).run().says(0, &["--after", next]);
    let yesterday = world.json(&["history", "--since", "yesterday"]);
    assert_eq!(yesterday["rows"].as_array().unwrap().len(), 2);
    assert_eq!(world.json(&["history", "--until", "yesterday"])["rows"], json!([]));
}

// ---- wait

#[test]
fn wait_reports_each_outcome() {
    let world = World::new();
    let script = |n: i32| format!("until [ -e $W/go{n} ]; do sleep 0.05; done; exit {n}");
    let zero = world.launched(["sh", "-c", &script(0)]);
    let three = world.launched(["sh", "-c", &script(3)]);
    let (a, b) = (zero.1.to_string(), three.1.to_string());
    let both = world.control(["wait", &a, &b]).spawn();
    let any = world.control(["wait", "--any", &a, &b]).spawn();
    let upid = world.query("SELECT upid FROM tasks WHERE id = 1")[0].text("upid").to_owned();
    let good = world.control(["wait", &upid]).spawn();
    fs::write(world.path("go0"), "").unwrap();
    assert_eq!(any.wait().silent(0).text(), format!("{a} OK\n"));
    assert_eq!(good.wait().silent(0).text(), format!("{a} OK\n"));
    fs::write(world.path("go3"), "").unwrap();
    assert_eq!(both.wait().silent(1).text(), format!("{a} OK\n{b} ERROR: exit code 3\n"));
    assert_eq!(world.control(["wait", &b, "--any", &a]).run().silent(1).text().lines().count(), 2);
    let warns = "echo '[warning]w' >$TASKWATCHER_FEEDBACK";
    world.launch(["--feedpath", ".", "sh", "-c", warns]).run().silent(0);
    assert_eq!(world.control(["wait", "3"]).run().silent(0).text(), "3 WARNINGS: 1\n");
}

#[test]
fn wait_gives_up_in_time_and_leaves_the_task_alone() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sh", "-c", LIVES]);
    let ran = world.control(["wait", &id.to_string(), "--timeout", "0.1s"]).run();
    assert_eq!(ran.text(), "");
    ran.says(124, &["task 1 has not ended", "RUNNING"]);
    world.control(["wait", &id.to_string(), "--timeout", "0"]).run().says(124, &["has not ended"]);
    let (id, _) = world.reserve("mine", 60);
    world.control(["wait", &id.to_string(), "--timeout", "0.1s"]).run().says(124, &["RESERVED"]);
    assert!(!launch.has_ended());
}

#[test]
fn wait_follows_a_reservation_to_its_end() {
    let world = World::new();
    let (id, handle) = world.reserve("mine", 3600);
    let wait = world.control(["wait", &handle]).spawn();
    sleeps(wait.pid());
    world.launch(["--taskid", &id.to_string(), "true"]).run().silent(0);
    assert_eq!(wait.wait().silent(0).text(), format!("{id} OK\n"));
    let (id, _) = world.reserve("mine", 2);
    let ran = world.control(["wait", &id.to_string()]).run().silent(1);
    assert!(ran.text().starts_with(&format!("{id} ERROR: reservation lapsed after 1s")), "{ran:?}");
}

#[test]
fn wait_misses_no_write_to_a_reservation() {
    let world = World::new();
    // The bytes of a commit wake it a moment before the commit can be read; no other event follows.
    for _ in 0..20 {
        let (id, _) = world.reserve("mine", 3600);
        let wait = world.control(["wait", &id.to_string()]).spawn();
        sleeps(wait.pid());
        world.control(["kill", &id.to_string()]).run().silent(0);
        assert!(wait.wait().silent(1).text().contains("reservation cancelled by"));
    }
}

/// Waits until a process is idle.

#[test]
fn wait_does_not_poll() {
    let world = World::new();
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    let wait = world.control(["wait", &id.to_string()]).spawn();
    sleeps(wait.pid());
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", wait.pid())).unwrap();
        field(&status, "voluntary_ctxt_switches").parse::<u64>().unwrap()
    };
    until("it not to be woken by what is none of its business", || {
        let before = switches();
        // Long enough to launch and record other tasks in the same database.
        for _ in 0..20 {
            world.launch(["true"]).run().silent(0);
        }
        world.launch(["sleep", "1"]).run().silent(0);
        switches() == before
    });
}

#[test]
fn wait_prints_the_proxmox_status_object() {
    let world = World::new();
    world.launch(["--name", "good", "true"]).run().silent(0);
    world.launch(["--name", "bad", "sh", "-c", "exit 3"]).run().silent(3);
    let ended = world.control(["--json", "wait", "1"]).run().silent(0).value();
    let wanted = ["upid", "node", "pid", "pstart", "starttime", "type", "id", "user", "status", "exitstatus"];
    assert_eq!(keys(&ended), wanted);
    assert_eq!((&ended["type"], &ended["id"], &ended["user"]), (&json!("good"), &json!("1"), &json!("root@pam")));
    assert_eq!((&ended["status"], &ended["exitstatus"]), (&json!("stopped"), &json!("OK")));
    assert_eq!(ended["upid"], world.history()[0].text("upid"));
    assert!(["pid", "pstart", "starttime"].iter().all(|key| ended[key].is_u64()), "{ended}");
    let ran = world.control(["wait", "--json", "1", "2"]).run().silent(1);
    assert_eq!(ran.values()[1]["exitstatus"], "exit code 3");
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    let ran = world.control(["wait", "--json", &id.to_string(), "--timeout", "0.1s"]).run().silent(124);
    assert_eq!((keys(&ran.value()), &ran.value()["status"]), (wanted[..9].to_vec(), &json!("running")));
}

// ---- kill

#[test]
fn kill_ends_with_the_requested_signal() {
    let script = "for s in TERM INT HUP USR1; do trap \"exit 4\" $s; done; trap 'echo int >>$W/got; exit 5' INT;
                  trap 'echo usr1 >>$W/got; exit 6' USR1; echo $$ >$W/command; while :; do sleep 0.02; done";
    let cases: [(&[&str], &str, Option<&str>); 5] = [
        (&[], "SIGTERM", None),
        (&["--signal", "INT"], "SIGINT", Some("int\n")),
        (&["--signal", "sigusr1"], "SIGUSR1", Some("usr1\n")),
        (&["--signal", "9"], "SIGKILL", None),
        (&["--now"], "SIGKILL", None),
    ];
    for (how, signal, got) in cases {
        let world = World::new();
        let (launch, id) = world.launched(["sh", "-c", script]);
        world.line("command");
        let ran = world.control(["kill", &id.to_string()].iter().chain(how)).run().silent(0);
        assert!(ran.text().starts_with(&format!("task {id} (sh): ERROR: killed by root (control, pid ")), "{ran:?}");
        let end = world.end();
        let by = if end.is_null("termsignal") { None } else { Some(end.text("termsignal")) };
        assert_eq!(by, (signal == "SIGKILL").then_some(signal), "one that handles a signal exits: {how:?}");
        assert_eq!(fs::read_to_string(world.path("got")).ok().as_deref(), got, "{how:?}");
        let code = end.int("exitcode");
        assert!(code > 128, "{code}");
        assert_eq!(i64::from(launch.wait().code), code);
    }
}

#[test]
fn kill_several_with_a_bad_one_among_them() {
    let world = World::new();
    let (one, a) = world.launched(["sh", "-c", LIVES]);
    let (two, b) = world.launched(["sh", "-c", LIVES]);
    let reserved = world.reserved(&["--name", "r", "--expire", "1h"]);
    world.launch(["true"]).run().silent(0);
    let ended = world.last().int("id").to_string();
    let [a, b, reserved] = [a, b, reserved].map(|id| id.to_string());
    let ran = world.control(["kill", &a, "99", &ended, &reserved, &b]).run();
    assert_eq!(ran.code, 1);
    let errors: Vec<&str> = ran.err.lines().collect();
    assert_eq!(
        errors,
        ["control: error: there is no task 99", &format!("control: error: task {ended} has ended already: OK")]
    );
    assert!(ran.text().contains(&format!("task {reserved} (r): reservation cancelled\n")), "{ran:?}");
    assert_eq!(ran.text().lines().count(), 3);
    assert_eq!((one.wait().code, two.wait().code), (143, 143));
    assert_eq!(world.json(&["list"]), json!([]));
    let cancelled = &world.json(&["show", &reserved])["outcome"];
    assert!(cancelled.as_str().unwrap().starts_with("ERROR: reservation cancelled by root (control, pid "));
    world.launch(["--taskid", &reserved, "true"]).run().says(125, &["reservation cancelled"]);
}

#[test]
fn kill_without_waiting_and_as_json() {
    let world = World::new();
    let script = "trap '' TERM; echo $$ >$W/command; while :; do sleep 600 & wait; done";
    let (mut launch, id) = world.launched(["--kill-after", "1h", "sh", "-c", script]);
    world.line("command");
    let ran = world.control(["--json", "kill", "--no-wait", &id.to_string()]).run().silent(0);
    assert_eq!(ran.value(), json!({ "taskid": id, "name": "sh", "result": "asked to end" }));
    until("it to be stopping", || world.status(id).as_deref() == Some("STOPPING"));
    world.control(["update"]).run().silent(0);
    assert_eq!(world.task().text("status"), "STOPPING", "update does not forget it");
    assert!(!launch.has_ended());
    let ran = world.control(["--json", "kill", "--now", &id.to_string()]).run().silent(0);
    assert!(ran.value()["result"].as_str().unwrap().starts_with("ERROR: killed by"));
    assert_eq!(launch.wait().code, 137);
}

#[test]
fn a_task_that_ended_by_itself_while_it_was_asked_was_not_killed() {
    let world = World::new();
    nix::unistd::mkfifo(&world.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (launch, id) = world.launched(["sh", "-c", "echo $$ >$W/command; read x <$W/go; exit 0"]);
    world.line("command");
    let log = world.task().text("log").to_owned();
    // The launcher is recording the end for as long as it waits for the lock.
    let lock = world.lock();
    fs::write(world.path("go"), "\n").unwrap();
    until("the end", || fs::read_to_string(&log).is_ok_and(|text| text.ends_with("TASK OK\n")));
    world.control(["kill", &id.to_string()]).run().says(1, &["already ended: OK"]);
    assert_eq!(launch.wait().code, 0);
    drop(lock);
}

#[test]
fn kill_works_while_another_writer_holds_the_lock() {
    let world = World::new();
    let (launch, id) = world.launched(["sh", "-c", LIVES]);
    let command: i32 = world.line("command").parse().unwrap();
    fs::remove_file(world.path("command")).unwrap();
    let orphan = world.orphan(&["sh", "-c", LIVES]);
    let orphaned: i32 = world.line("command").parse().unwrap();
    let lock = world.lock();
    let (ran, took) = timed(|| world.control(["kill", &id.to_string()]).run());
    // The lock is never released: neither program waits for it until its timeout, so neither needs it.
    assert!(took < LockTimeout::USUAL.limit, "{took:?}");
    assert!(ran.text().contains("ERROR: killed by root"), "{ran:?}");
    assert_eq!(ran.code, 0);
    assert_eq!(launch.wait().code, 143);
    let (ran, took) = timed(|| world.control(["kill", &orphan.to_string()]).run().silent(0));
    assert!(took < LockTimeout::USUAL.limit, "{took:?}");
    assert!(ran.text().contains("ERROR: killed by root"), "{ran:?}");
    for pid in [command, orphaned] {
        assert!(!crate::support::desk::is_alive(pid));
    }
    assert_eq!(world.tasks().len(), 2, "nothing could be recorded");
    drop(lock);
    assert_eq!(world.json(&["list"]), json!([]));
    for row in world.history() {
        assert!(row.text("outcome").starts_with("ERROR: killed by root"), "{row:?}");
        assert_eq!(row.text("termsignal"), "SIGTERM");
    }
    world.is_whole();
}

#[test]
fn killall_ends_all_tasks_with_a_name_and_no_others() {
    let world = World::new();
    let (one, _) = world.launched(["--name", "mine", "sh", "-c", LIVES]);
    let (two, _) = world.launched(["--name", "mine", "sh", "-c", LIVES]);
    world.reserved(&["--name", "mine", "--expire", "1h"]);
    let (mut other, other_id) = world.launched(["--name", "minework", "sh", "-c", LIVES]);
    let ran = world.control(["killall", "mine"]).run().silent(0);
    assert_eq!(ran.text().lines().count(), 3, "{ran:?}");
    assert_eq!((one.wait().code, two.wait().code), (143, 143));
    assert!(!other.has_ended());
    assert_eq!(world.json(&["list"]).as_array().unwrap().len(), 1);
    world.control(["killall", "mine"]).run().says(1, &["no task named \"mine\""]);
    world.control(["kill", &other_id.to_string()]).run().silent(0);
    assert_eq!(other.wait().code, 143);
}

#[test]
fn an_unusable_spool_is_reported_as_the_cause() {
    let world = World::new();
    let mut foreign = Foreign::new();
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    fs::remove_file(world.beside_db("-spool")).unwrap();
    symlink("/etc/passwd", world.beside_db("-spool")).unwrap();
    let ran = world.control(["kill", &id.to_string()]).run();
    ran.says(1, &["cannot end task 1", "cannot write a request to the spool", "symbolic link"]);
    foreign.is_untouched();
}

// ---- update, clear, initialize

#[test]
fn update_settles_and_brings_rows_up_to_date() {
    let world = World::new();
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    world.lost(&[]);
    world.reserve("old", -1);
    world.edit(&format!("UPDATE tasks SET starttime = starttime - 100 WHERE id = {id}"));
    assert_eq!(world.json(&["update"]), json!({ "live": 1, "settled": 2 }));
    let row = world.task();
    assert!(row.real("duration") >= 100.0, "{row:?}");
    assert_eq!(world.control(["update"]).run().silent(0).text(), "1 live, 0 settled\n");
}

/// `update` reads first and writes later: a reservation that it read may run by now.
#[test]
fn an_outdated_status_does_not_turn_a_running_task_into_a_reservation() {
    let world = World::new();
    let id = world.reserved(&["--expire", "1h"]);
    let mut store = world.store();
    let (launch, _) = world.launched(["--taskid", &id.to_string(), "sleep", "1000"]);
    store.update(&[(id, taskwatcher::model::task::Status::Reserved)], 7).unwrap();
    assert_eq!(world.task().text("status"), "RUNNING");
    world.control(["kill", &id.to_string()]).run().silent(0);
    launch.wait();
    assert!(world.end().text("outcome").starts_with("ERROR: killed by"), "{:?}", world.end());
}

#[test]
fn clear_deletes_only_what_was_selected() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    with_rows(&world, 30);
    let (_launch, id) = world.launched(["sh", "-c", LIVES]);
    world.launch(["--name", "three", "true"]).run().silent(0);
    assert_eq!(world.json(&["clear", "--name", "nobody"]), json!({ "deleted": 0, "logs": 0 }));
    assert_eq!(world.json(&["clear", "--older-than", "1h", "--name", "other"]), json!({ "deleted": 10, "logs": 0 }));
    assert_eq!(world.control(["clear", "--older-than", "1h"]).run().silent(0).text(), "20 deleted, with 0 logs\n");
    assert_eq!(world.history().len(), 1, "that of just now");
    assert_eq!(world.json(&["clear"]), json!({ "deleted": 1, "logs": 1 }));
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
    assert_eq!(world.reserved(&[]), 33, "numbers are not used again");
}

#[test]
fn initialize_is_refused_while_a_task_lives_unless_forced() {
    let world = World::new();
    let (launch, _) = world.launched(["sh", "-c", LIVES]);
    let command: i32 = world.line("command").parse().unwrap();
    world.launch(["true"]).run().silent(0);
    world.lost(&[]);
    world.control(["initialize"]).run().says(1, &["cannot initialize", "1 of its tasks have not ended", "--force"]);
    assert_eq!((world.tasks().len(), world.history().len()), (1, 2));
    world.control(["initialize", "--force"]).run().silent(0);
    assert_eq!((world.tasks().len(), world.history().len()), (0, 0));
    assert!(crate::support::desk::is_alive(command), "forgotten, not ended");
    crate::support::desk::kill_and_see(command);
    let ran = launch.wait();
    assert_eq!(ran.code, 137);
    assert!(ran.err.contains("is not recorded: the database"), "{ran:?}");
    assert_eq!(world.reserved(&["--expire", "1h"]), 4, "numbers go on");
    world.control(["initialize"]).run().says(1, &["1 of its tasks have not ended"]);
}

#[test]
fn initialize_never_replaces_a_foreign_file() {
    let world = World::new();
    for force in [&["initialize"][..], &["initialize", "--force"]] {
        fs::write(world.db(), "my thesis\n").unwrap();
        world.control(force).run().says(1, &["not a taskwatcher database", "not changed"]);
        assert_eq!(world.read("tasks.db"), "my thesis\n");
        fs::remove_file(world.db()).unwrap();
        rusqlite::Connection::open(world.db())
            .unwrap()
            .execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (7)")
            .unwrap();
        let before = fs::read(world.db()).unwrap();
        world.control(force).run().says(1, &["not a taskwatcher database", "not changed"]);
        assert_eq!(fs::read(world.db()).unwrap(), before);
        fs::remove_file(world.db()).unwrap();
    }
}

#[test]
fn a_wait_for_the_lock_is_reported_on_a_terminal() {
    let world = World::new();
    world.lost(&[]);
    let lock = world.lock();
    let (mut screen, side) = terminal(80);
    let mut clear = world.control(["clear"]);
    clear.command.stderr(side);
    let mut child = clear.command.spawn().unwrap();
    drop(clear);
    let mut bytes = [0; 4096];
    let read = screen.read(&mut bytes).unwrap();
    let shown = String::from_utf8_lossy(&bytes[..read]);
    assert!(shown.contains("control: waiting for the database"), "{shown}");
    drop(lock);
    assert!(child.wait().unwrap().success());
}

#[test]
fn bash_offers_what_fits_in_each_place() {
    let world = World::new();
    // Returns the completions of bash for the last word of a line.
    let offered = |line: &str| {
        let (before, last) = line.rsplit_once(' ').unwrap();
        let program = before.split(' ').next().unwrap();
        let words: Vec<&str> = before.split([' ']).collect();
        let script = format!(
            "source <('{}' completions bash {program}); COMP_WORDS=({before} '{last}'); COMP_CWORD={}
             _{program} {program} '{last}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            env!("CARGO_BIN_EXE_control"),
            words.len(),
            words.last().unwrap()
        );
        let mut bash = world.command("bash");
        bash.command.args(["--norc", "-c", &script]);
        let ran = bash.run().silent(0);
        ran.text().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(offered("control kill 1 --signal T"), ["TRAP", "TERM", "TSTP", "TTIN", "TTOU"]);
    assert_eq!(offered("launch --stop-signal HU"), ["HUP"]);
    assert_eq!(offered("launch --if-running s"), ["skip"]);
    for line in ["launch ech", "launch --unique ech", "launch --name n -- ech", "launch --name = n --timeout 1s ech"] {
        assert!(offered(line).contains(&"echo".to_owned()), "{line}: {:?}", offered(line));
    }
    // After the command bash offers files.
    for line in ["launch cat ech", "launch -- cat ech", "launch cat --na"] {
        assert_eq!(offered(line), none, "{line}");
    }
    assert_eq!(offered("launch --uni"), ["--unique"]);
    // In the place of an argument, Tab inserts no dash, and hidden options are not offered.
    for line in ["control show ", "control log ", "control history ", "launch ", "parse "] {
        assert!(offered(line).iter().all(|word| !word.starts_with('-')), "{line}: {:?}", offered(line));
    }
    assert!(offered("control show --").contains(&"--json".to_owned()));
    assert!(offered("control ").contains(&"list".to_owned()) && !offered("control ").contains(&"--db".to_owned()));
    assert_eq!(offered("launch --detac"), ["--detach"]);
    assert_eq!(offered("control completions bash "), ["launch", "control", "parse", "supervise"]);
    assert_eq!(offered("control completions z"), ["zsh"]);
    assert_eq!(offered("control completions l"), none);
}

#[test]
fn completions_are_printed_without_a_database() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        for program in ["control", "launch", "parse"] {
            let ran = world.control(["completions", shell, program]).run().silent(0);
            assert!(ran.text().contains(program), "{shell} {program}");
            assert!(!ran.text().contains("detached"), "{shell} {program}: an option that is hidden");
        }
    }
    assert!(!world.db().exists());
}

#[test]
fn a_deleting_verb_is_never_suggested_for_a_mistyped_one() {
    let world = World::new();
    for word in ["tail", "search", "claer", "clea", "initialise", "kil", "killal", "initialize-all"] {
        let ran = world.control([word]).run();
        assert_eq!(ran.code, 2, "{ran:?}");
        let tip = ran.err.lines().filter(|line| line.contains("tip:")).collect::<String>();
        assert!(!["clear", "initialize", "kill"].iter().any(|verb| tip.contains(verb)), "{word}: {ran:?}");
    }
    assert!(!world.control(["remote", "remov"]).run().err.contains("tip:"));
    assert!(world.control(["lst"]).run().err.contains("'list'"));
}

#[test]
fn deleting_verbs_have_a_dry_run_and_ask_on_a_terminal() {
    let world = World::new();
    for name in ["a", "b", "b"] {
        world.launch(["--name", name, "--", "true"]).run().silent(0);
    }
    let count = || world.json(&["history"])["rows"].as_array().unwrap().len();
    assert_eq!(world.json(&["clear", "--dry-run", "--name", "b"]), json!({ "would_delete": 2, "logs": 2 }));
    assert_eq!(
        world.control(["clear", "--dry-run"]).run().silent(0).text(),
        "would delete 3 ended tasks with 3 logs\n"
    );
    let dry = world.control(["initialize", "--dry-run"]).run().silent(0);
    assert!(dry.text().contains("3 ended tasks with 3 logs"), "{dry:?}");
    assert_eq!(count(), 3);
    // On a terminal: the typed answer and the expected exit code.
    let at_terminal = |line: &str, typed: &str| {
        let program = env!("CARGO_BIN_EXE_control");
        world.sh(&format!("printf '{typed}\\n' | script -qec \"{program} {line}\" /dev/null")).run()
    };
    let ran = at_terminal("clear --name b", "n");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.text().contains("delete 2 ended tasks with 2 logs? [y/N]"), "{ran:?}");
    assert!(ran.text().contains("nothing was deleted"), "{ran:?}");
    assert_eq!((at_terminal("initialize", "").code, count()), (1, 3));
    assert_eq!((at_terminal("clear --name b", "y").code, count()), (0, 1));
    let ran = at_terminal("clear --yes", "n");
    assert!(ran.code == 0 && !ran.text().contains('?'), "{ran:?}");
    assert_eq!(count(), 0);
    // Without anything to delete, no question is asked.
    assert_eq!(at_terminal("initialize", "n").code, 0);
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let world = World::new();
    let (control, parse) = (env!("CARGO_BIN_EXE_control"), env!("CARGO_BIN_EXE_parse"));
    let (launch, supervise) = (env!("CARGO_BIN_EXE_launch"), env!("CARGO_BIN_EXE_supervise"));
    for (program, line, failed) in [
        (control, "--help", 1),
        (control, "--version", 1),
        (control, "show --help", 1),
        (parse, "--help", 1),
        (parse, "--version", 1),
        (supervise, "--help", 1),
        (supervise, "--version", 1),
        (supervise, "start --help", 1),
        (launch, "--help", 125),
        (launch, "--version", 125),
    ] {
        let ran = world.sh(&format!("'{program}' {line} >/dev/full")).run();
        assert_eq!(ran.code, failed, "{program} {line}: {ran:?}");
        assert!(ran.err.contains("error: cannot write to standard output: "), "{ran:?}");
        // A reader that goes away is not a failure.
        let script = format!("{{ '{program}' {line}; echo $? >$W/code; }} | true");
        world.sh(&script).run().silent(0);
        assert_eq!(world.line("code"), "0", "{program} {line}");
    }
}

#[test]
fn a_live_task_and_an_ended_one_have_their_name_under_one_key() {
    let world = World::new();
    world.reserved(&["--name", "n", "--expire", "1h"]);
    let live = world.json(&["list"])[0].clone();
    assert_eq!((&live["name"], &live["taskname"]), (&json!("n"), &json!("n")));
    let shown = world.control(["show", "1"]).run().silent(0);
    let names = shown.text().lines().filter(|line| line.split_whitespace().next().unwrap_or("").ends_with("name"));
    assert_eq!(names.count(), 1, "{shown:?}");
    world.launch(["--name", "n", "--", "true"]).run().silent(0);
    assert_eq!(world.json(&["history"])["rows"][0]["taskname"], "n");
}
