//! The log of a task: complete, in order, bounded, even after a crash; and reading it.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::support::{
    World,
    desk::{SmallDisk, mode},
    eventually, until,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Returns the path of the log of a live or ended task.
fn log_of(world: &World, id: i64) -> PathBuf {
    let row = world
        .query(&format!("SELECT log FROM tasks WHERE id = {id} UNION ALL SELECT log FROM history WHERE taskid = {id}"));
    row[0].text("log").into()
}

/// Returns the lines of a log without their times, which must be present.
fn lines(world: &World, id: i64) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(log_of(world, id)).unwrap()).into_owned();
    let line = |line: &str| {
        let (time, text) = line.split_at(line.find(": ").unwrap());
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{line:?}");
        text[2..].to_owned()
    };
    text.strip_suffix('\n').unwrap().split('\n').map(line).collect()
}

// ---- writing

#[test]
fn both_streams_are_passed_on_and_logged() {
    let world = World::new();
    let ran = world.launch(["sh", "-c", "echo one; echo two >&2; printf three; exit 3"]).run();
    assert_eq!((ran.code, ran.text(), ran.err.as_str()), (3, "one\nthree", "two\n"));
    let mut said = lines(&world, 1);
    assert_eq!(said.pop().as_deref(), Some("TASK ERROR: exit code 3"));
    // The two streams may be read in either order, each in its own order.
    said.sort();
    assert_eq!(said, ["one", "three", "two"]);
    let log = log_of(&world, 1);
    assert_eq!((mode(&log), mode(log.parent().unwrap())), (0o600, 0o700));
    assert!(log.starts_with(world.path("tasks.db.logs/01")), "{log:?}");
    assert!(log.ends_with(format!("{}.log", world.end().text("upid"))));
}

#[test]
fn one_file_for_both_streams_keeps_their_order() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 200 ]; do echo out-$i; echo err-$i >&2; i=$((i+1)); done";
    let ran = world.sh(&format!("$LAUNCH sh -c '{script}' 2>&1")).run().silent(0);
    let wanted: String = (0..200).map(|n| format!("out-{n}\nerr-{n}\n")).collect();
    assert_eq!(ran.text(), wanted);
    assert_eq!(lines(&world, 1).join("\n"), format!("{wanted}TASK OK"));
}

#[test]
fn every_byte_is_kept() {
    let world = World::new();
    let long = "x".repeat(1 << 20);
    let mut bytes = b"\x00\xff\xfe\x1b[31m\r50%\r100%\r\n\n\n  \t".to_vec();
    bytes.extend_from_slice(format!("\n{long}\n{long}no end").as_bytes());
    fs::write(world.work().join("bytes"), &bytes).unwrap();
    let ran = world.launch(["cat", "bytes"]).run().silent(0);
    assert!(ran.out == bytes);
    let log = fs::read(log_of(&world, 1)).unwrap();
    let text: Vec<u8> = log
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| &line[line.iter().position(|byte| *byte == b' ').unwrap() + 1..])
        .copied()
        .collect();
    assert!(text == [&bytes[..], b"\nTASK OK\n"].concat());
}

#[test]
fn a_log_is_bounded_and_states_what_is_missing() {
    let world = World::new();
    world.launch(["--log-max", "8K", "seq", "100000"]).run().silent(0);
    let log = log_of(&world, 1);
    let size = fs::metadata(&log).unwrap().len();
    assert!((4096 - 100..=8192 + 200).contains(&size), "{size}");
    let said = lines(&world, 1);
    assert!(said[0].starts_with("[log cut here: ") && said[0].ends_with(" bytes before this line]"), "{}", said[0]);
    assert_eq!(said[said.len() - 2..], ["100000", "TASK OK"]);
    let numbers: Vec<u32> = said[1..said.len() - 1].iter().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(!PathBuf::from(format!("{}.1", log.display())).exists());
    let ran = world.launch(["--log-max", "10", "true"]).run();
    assert!(ran.code == 2 && ran.err.contains("4096 bytes or more"), "{ran:?}");
}

#[test]
fn a_command_that_could_not_be_run_has_a_log_with_the_reason() {
    let world = World::new();
    world.launch(["no-such-program"]).run();
    assert_eq!(lines(&world, 1), ["TASK ERROR: cannot run no-such-program: No such file or directory"]);
}

#[test]
fn without_a_log_the_command_has_the_output_of_launch() {
    let world = World::new();
    let ran = world.launch(["--no-log", "sh", "-c", "readlink /proc/self/fd/1"]).run().silent(0);
    assert!(ran.text().contains("/stdout."), "{}", ran.text());
    assert!(world.end().is_null("log"));
    assert!(!world.path("tasks.db.logs").exists());
    world.control(["log", "1"]).run().says(1, &["task 1 has no log", "--no-log"]);
}

// ---- the end

#[test]
fn a_child_that_keeps_the_output_open_delays_nothing_and_lives() {
    let world = World::new();
    let late = "#!/bin/sh\nuntil [ -e $W/go ]; do sleep 0.05; done\nseq 200000\nseq 200000 >&2\necho > $W/done\n";
    world.program("late", late);
    let launch = world.launch(["sh", "-c", "./late & echo early"]);
    // The child waits until `go` exists: that `launch` ends at all shows that it does not wait for the child.
    let ran = launch.cwd(world.path("")).run().silent(0);
    assert_eq!(ran.text(), "early\n");
    assert_eq!(lines(&world, 1), ["early", "TASK OK"]);
    // More than any pipe can hold: the child is neither killed nor blocked.
    fs::write(world.path("go"), "").unwrap();
    until("the child to be through", || world.path("done").exists());
}

#[test]
fn output_of_a_filter_after_the_command_is_not_lost() {
    let world = World::new();
    let mut ran = world.launch(["bash", "-c", "exec > >(sleep 0.2; tr a-z A-Z); echo hello"]).run();
    assert_eq!((ran.code, ran.text()), (0, "HELLO\n"));
    assert_eq!(lines(&world, 1), ["HELLO", "TASK OK"]);
    ran.out.clear();
}

#[test]
fn the_last_line_of_a_killed_command_is_logged() {
    let world = World::new();
    for (n, signal) in ["TERM", "KILL", "SEGV"].into_iter().enumerate() {
        let ran = world.launch(["sh", "-c", &format!("printf 'last {signal}'; kill -{signal} $$")]).run();
        assert_eq!(ran.text(), format!("last {signal}"));
        let id = i64::try_from(n).unwrap() + 1;
        let said = lines(&world, id);
        assert_eq!(said[0], format!("last {signal}"));
        assert!(said[1].starts_with(&format!("TASK ERROR: killed by SIG{signal}")), "{said:?}");
    }
    let ran = world.launch(["--max-runtime", "0.3", "sh", "-c", "printf so-far; exec sleep 100"]).run();
    assert_eq!((ran.code, ran.text()), (124, "so-far"));
    assert_eq!(lines(&world, 4), ["so-far", "TASK ERROR: ran longer than 0.3s"]);
}

#[test]
fn a_killed_launcher_leaves_everything_written_so_far() {
    let world = World::new();
    let (launch, _) = world.launched(["sh", "-c", "echo one; printf two; exec sleep 1000"]);
    let log = log_of(&world, 1);
    until("both", || fs::read_to_string(&log).is_ok_and(|text| text.ends_with("two")));
    launch.signal(Signal::SIGKILL);
    launch.wait();
    world.control(["kill", "1"]).run();
    let shown = world.control(["log", "1", "--no-time"]).run().silent(0);
    assert_eq!(shown.text(), "one\ntwo");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_without_launch() {
    let world = World::new();
    let ran = world.sh("$LAUNCH yes | head -n 1; echo code-${PIPESTATUS:-x}").run();
    assert!(ran.text().starts_with("y\n"), "{ran:?}");
    until("its end", || world.tasks().is_empty());
    assert_eq!(world.end().text("outcome"), "ERROR: killed by SIGPIPE");
    // This counts neither as a success nor as a failure.
    assert_eq!(world.end().text("ended_by"), "reader");
    let stats = &world.json(&["stats", "yes"])[0];
    assert_eq!((&stats["runs"], &stats["cut_short"], &stats["last_failure"]), (&json!(0), &json!(1), &json!(null)));
    // A command that dies because of another pipe is a failure.
    world.launch(["sh", "-c", "kill -PIPE $$"]).run().silent(141);
    assert_eq!(world.last().text("ended_by"), "itself");
}

#[test]
fn a_reader_that_goes_away_is_detected_behind_a_shell() {
    let world = World::new();
    world.sh("\"$LAUNCH\" -- sh -c 'yes; exit $?' 2> err | head -1").run().silent(0);
    until("the end", || !world.history().is_empty());
    assert_eq!((world.last().text("ended_by"), world.last().text("outcome")), ("reader", "ERROR: exit code 141"));
    let said = fs::read_to_string(world.work().join("err")).unwrap();
    assert_eq!(said, "", "it is no failure");
}

#[test]
fn a_task_does_not_follow_its_own_log() {
    let world = World::new();
    let follow =
        "'$CONTROL' log -f $TASKWATCHER_TASKID; echo code $?".replace("$CONTROL", env!("CARGO_BIN_EXE_control"));
    let ran = world.launch(["sh", "-c", &follow]).run();
    assert_eq!(ran.text(), "code 1\n", "{ran:?}");
    assert!(ran.err.contains("task 1 would wait for itself"), "{ran:?}");
    // Following a limited part ends.
    let part = follow.replace("log -f", "log -f --no-time --limit 1");
    assert_eq!(world.launch(["sh", "-c", &format!("echo hello; {part}")]).run().text(), "hello\nhello\ncode 0\n");
}

#[test]
fn a_file_size_limit_loses_no_more_bytes_than_reported() {
    let world = World::new();
    let ran = world.sh("ulimit -f 200; exec \"$LAUNCH\" seq 1 60000 > /dev/null").run();
    let lost: usize = ran
        .err
        .split_once(": ")
        .unwrap()
        .1
        .split_once("task 1: ")
        .unwrap()
        .1
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let stamp = "2026-11-23T20:15:01Z: ".len();
    let text = fs::read_to_string(log_of(&world, 1)).unwrap();
    let kept: usize = text.split_inclusive('\n').map(|line| line.len().saturating_sub(stamp)).sum();
    assert!(kept > 10_000, "{kept}");
    let total: usize = (1..=60_000).map(|n: usize| n.to_string().len() + 1).sum();
    assert_eq!(kept + lost, total, "{}", ran.err);
}

#[test]
fn a_slow_reader_delays_no_deadline_and_loses_nothing() {
    let world = World::new();
    let mut launch = world.launch(["--max-runtime", "0.5", "sh", "-c", "seq 100000; exec sleep 1000"]);
    let mut child = launch.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Without a reader the task is still ended in time and recorded.
    until("its end", || world.tasks().is_empty() && !world.history().is_empty());
    assert_eq!(world.end().text("outcome"), "ERROR: ran longer than 0.5s");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let printed: Vec<&str> = text.lines().collect();
    assert!(
        printed.len() > 5_000 && printed.iter().enumerate().all(|(n, line)| *line == (n + 1).to_string())
            || text.len() > 60_000
    );
    let logged = lines(&world, 1);
    assert_eq!(logged.len() - 1, printed.len(), "what was logged was passed on");
}

#[test]
fn a_full_disk_loses_log_lines_and_reports_how_many() {
    let world = World::new();
    let work = world.work();
    let Some(disk) = SmallDisk::mount(&work) else {
        return eprintln!(
            "SKIPPED a_full_disk_loses_log_lines_and_reports_how_many: this user may not mount a small disk"
        );
    };
    let out = world.path("out");
    let script = "seq 300000; exit 5";
    let mut launch = world.launch(["--db", "tasks.db", "sh", "-c", script]);
    let ran = launch.command.stdout(File::create(&out).unwrap()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ran.status.code(), Some(5));
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 300_000, "the output is whole");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("bytes of its output are not in the log") && said.contains("No space left"), "{said}");
    let db = rusqlite::Connection::open(work.join("tasks.db")).unwrap();
    fs::remove_dir_all(work.join("tasks.db.logs")).unwrap();
    let ended = world.control(["--db", "tasks.db", "--json", "wait", "1"]).run();
    assert!(ended.text().contains("exit code 5"), "{ended:?}");
    drop((db, disk));
}

#[test]
fn a_deleted_log_of_a_running_task_is_started_again_with_a_note() {
    let world = World::new();
    let go = world.path("go");
    let script = format!("echo first; until [ -e {} ]; do sleep 0.05; done; echo second", go.display());
    let launch = world.launch(["sh", "-c", &script]).spawn();
    let log = eventually("the first line in the log", || {
        let row = world.tasks().pop()?;
        let log = PathBuf::from(row.text("log"));
        fs::read_to_string(&log).ok().filter(|text| text.contains("first")).map(|_| log)
    });
    let bytes = fs::metadata(&log).unwrap().len();
    fs::remove_dir_all(world.path("tasks.db.logs")).unwrap();
    fs::write(&go, "").unwrap();
    launch.wait().says(0, &[&format!("{bytes} bytes of the log"), "were deleted while it ran"]);
    let cut = format!("[log cut here: {bytes} bytes before this line]");
    assert_eq!(lines(&world, 1), [cut.as_str(), "second", "TASK OK"]);
    assert!(world.control(["log", "1"]).run().silent(0).text().contains("second"));
}

#[test]
fn output_that_cannot_be_passed_on_makes_a_success_a_failure() {
    let world = World::new();
    let to_nowhere = |args: &[&str]| {
        let mut launch = world.launch(args);
        launch.command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ran = launch.command.stderr(Stdio::piped()).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap(), world.last().text("outcome").to_owned())
    };
    let why = "No space left on device (os error 28)";
    let said = |task: u8| format!("launch: task {task}: cannot pass on the command's output: {why}\n");
    let lost = format!("ERROR: its output was lost: {why}");
    assert_eq!(to_nowhere(&["echo", "a"]), (Some(1), said(1), lost.clone()));
    assert_eq!(to_nowhere(&["--quiet", "--chronic", "sh", "-c", "echo a; exit 3"]).2, "ERROR: exit code 3");
    assert_eq!(to_nowhere(&["--quiet", "echo", "a"]), (Some(1), said(3), lost));
    // It is also remembered across a re-execution.
    let is_re_executed = "tr '\\0' '\\n' </proc/$PPID/environ | grep -q '^TASKWATCHER_LAUNCHER='";
    let script = format!("echo 1; until {is_re_executed}; do :; done; echo 2");
    let outcome = format!("ERROR: killed by SIGPIPE, its output was lost: {why}");
    assert_eq!(to_nowhere(&["sh", "-c", &script]), (Some(141), said(4), outcome));
}

#[test]
fn an_unwritable_folder_only_loses_the_log() {
    let world = World::new();
    fs::write(world.path("tasks.db.logs"), "in the way").unwrap();
    let ran = world.launch(["echo", "hello"]).run();
    assert_eq!((ran.code, ran.text()), (0, "hello\n"));
    assert!(ran.err.contains("bytes of its output are not in the log"), "{}", ran.err);
    assert_eq!(world.end().text("outcome"), "OK");
}

#[test]
fn a_command_that_prints_an_outcome_proves_nothing() {
    let world = World::new();
    let (launch, _) = world.launched(["sh", "-c", "echo TASK OK; exec sleep 1000"]);
    let log = log_of(&world, 1);
    until("the line", || fs::read_to_string(&log).is_ok_and(|text| text.ends_with("TASK OK\n")));
    let command = i32::try_from(eventually("it", || world.tasks().pop()).int("pid")).unwrap();
    launch.signal(Signal::SIGKILL);
    launch.wait();
    crate::support::desk::kill_and_see(command);
    world.json(&["list"]);
    assert_eq!(world.end().text("outcome"), "unknown");
}

// ---- chronic, detach

#[test]
fn chronic_shows_all_or_nothing() {
    let world = World::new();
    world.launch(["--chronic", "sh", "-c", "echo out; echo err >&2"]).run().silent(0);
    assert_eq!(lines(&world, 1).last().unwrap(), "TASK OK");
    let ran = world.launch(["--chronic", "sh", "-c", "echo out; echo err >&2; sleep 0.4; printf end; exit 3"]).run();
    assert_eq!((ran.code, ran.text(), ran.err.as_str()), (3, "out\nend", "err\n"));
    let ran = world.sh("$LAUNCH --chronic sh -c 'echo 1; echo 2 >&2; echo 3; seq 100000; exit 1' 2>&1").run();
    assert!(ran.text().starts_with("1\n2\n3\n1\n2\n") && ran.text().ends_with("\n100000\n"));
    let ran = world.launch(["--chronic", "--max-runtime", "0.3", "sh", "-c", "echo hung; exec sleep 100"]).run();
    assert_eq!((ran.code, ran.text()), (124, "hung\n"));
    let script = "echo '[warning]w' > $TASKWATCHER_FEEDBACK; echo text";
    let ran = world.launch(["--chronic", "--feedpath", ".", "--fail-on-warnings", "sh", "-c", script]).run();
    assert_eq!((ran.code, ran.text()), (1, "text\n"));
    let ran = world.launch(["--chronic", "--no-log", "sh", "-c", "echo out; exit 2"]).run();
    assert_eq!((ran.code, ran.text()), (2, "out\n"));
}

#[test]
fn a_detached_task_has_a_log() {
    let world = World::new();
    let mut launch = world.launch(["--detach", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    let ran = launch.command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "1\n");
    world.control(["wait", "1"]).run();
    assert_eq!(lines(&world, 1), ["out", "err", "TASK ERROR: exit code 3"]);
}

// ---- reading

#[test]
fn parts_of_a_log_in_every_format() {
    let world = World::new();
    world.launch(["sh", "-c", "seq 1 100; printf end"]).run().silent(0);
    let text = |args: &[&str]| world.control(["log", "1"].iter().chain(args)).run().silent(0).text().to_owned();
    let whole = fs::read_to_string(log_of(&world, 1)).unwrap();
    assert_eq!(text(&[]), whole);
    assert_eq!(text(&["--raw"]), whole);
    assert_eq!(text(&["--tail", "2", "--no-time"]), "end\nTASK OK\n");
    assert_eq!(text(&["--tail", "0"]), "");
    assert_eq!(text(&["--tail", "999"]), whole);
    assert_eq!(text(&["--start", "2", "--limit", "3", "--no-time"]), "3\n4\n5\n");
    assert_eq!(text(&["--start", "999"]), "");
    assert_eq!(text(&["--limit", "0"]), "");
    let dashed = world.control(["--log", "1", "--tail", "1", "--no-time"]).run().silent(0);
    assert_eq!(dashed.text(), "TASK OK\n");
    let page = world.json(&["log", "1", "--start", "98", "--limit", "2", "--no-time"]);
    assert_eq!(page, json!([{ "n": 99, "t": "99" }, { "n": 100, "t": "100" }]));
    let last = world.json(&["log", "1", "--tail", "1"]);
    assert_eq!(last[0]["n"], 102);
    assert!(last[0]["t"].as_str().unwrap().ends_with(": TASK OK"));
    assert_eq!(world.json(&["log", "1"]).as_array().unwrap().len(), 102);
    world.control(["log", "9"]).run().says(1, &["there is no task 9"]);
    let id = world.reserved(&[]).to_string();
    world.control(["log", &id]).run().says(1, &["has no log", "not started"]);
    fs::remove_file(log_of(&world, 1)).unwrap();
    world.control(["log", "1"]).run().says(1, &["cannot read the log of task 1", "No such file"]);
}

#[test]
fn every_follower_sees_everything_and_ends_with_the_task() {
    let world = World::new();
    let script = "i=0; until [ -e $W/go ]; do echo line-$i; i=$((i+1)); sleep 0.02; done; printf the-end";
    let (launch, _) = world.launched(["--log-max", "1M", "sh", "-c", script]);
    let followers: Vec<_> = (0..3).map(|_| world.control(["log", "1", "--follow", "--no-time"]).spawn()).collect();
    let harmless = world.control(["log", "1", "-f"]).spawn();
    for follower in followers.iter().chain([&harmless]) {
        until("some lines", || follower.stdout().contains("line-5\n"));
    }
    harmless.signal(Signal::SIGINT);
    assert_eq!(harmless.wait().code, -2);
    let shown = followers[0].stdout().lines().count();
    until("more lines", || followers[0].stdout().lines().count() > shown);
    fs::write(world.path("go"), "").unwrap();
    assert_eq!(launch.wait().code, 0);
    for follower in followers {
        let ran = follower.wait().silent(0);
        assert!(ran.text().starts_with("line-0\nline-1\n") && ran.text().ends_with("\nthe-end\nTASK OK\n"));
    }
    let again = world.control(["log", "1", "--follow", "--tail", "1", "--no-time"]).run().silent(0);
    assert_eq!(again.text(), "TASK OK\n", "one that has ended");
    let json = world.control(["--json", "log", "1", "--follow", "--tail", "1", "--no-time"]).run().silent(0);
    assert!(serde_json::from_str::<Value>(json.text()).unwrap()["t"] == "TASK OK");
}

#[test]
fn a_follower_keeps_up_with_a_log_whose_beginning_is_dropped() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 3000 ]; do echo number $i; i=$((i+1)); done; until [ -e $W/go ]; do sleep 0.05; done; echo over";
    let (launch, _) = world.launched(["--log-max", "4K", "sh", "-c", script]);
    let follower = world.control(["log", "1", "--follow", "--no-time"]).spawn();
    until("the last number", || follower.stdout().contains("number 2999\n"));
    fs::write(world.path("go"), "").unwrap();
    launch.wait();
    let ran = follower.wait().silent(0);
    let numbers: Vec<u32> = ran.text().lines().filter_map(|line| line.strip_prefix("number ")?.parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "nothing twice, nothing out of order");
    assert!(ran.text().ends_with("number 2999\nover\nTASK OK\n"));
}

#[test]
fn a_reservation_is_followed_from_its_start() {
    let world = World::new();
    let id = world.reserved(&[]).to_string();
    let follower = world.control(["log", &id, "--follow", "--no-time"]).spawn();
    world.launch(["--taskid", &id, "echo", "begun"]).run().silent(0);
    assert_eq!(follower.wait().silent(0).text(), "begun\nTASK OK\n");
}

#[test]
fn show_and_list_give_the_reason_and_the_last_lines() {
    let world = World::new();
    let script = "seq 1 20; printf 'evil \\033]0;title\\007\\033[31mred\\033[0m\\n'; echo 'disk is full' >&2; exit 28";
    world.launch(["--name", "backup", "sh", "-c", script]).run();
    let shown = world.control(["show", "1"]).run().silent(0);
    let first = shown.text().lines().next().unwrap();
    assert!(first.starts_with("task 1 (backup) failed after ") && first.ends_with(": exit code 28"), "{first}");
    assert!(
        shown.text().contains("control log 1") && shown.text().contains("    | disk is full\n"),
        "{}",
        shown.text()
    );
    let listed = world.control(["list", "--all"]).run().silent(0);
    assert!(listed.text().contains("failed after") && listed.text().contains("    | evil red\n"), "{}", listed.text());
    assert!(!listed.text().contains('\x1b') && !shown.text().contains('\x1b'));
    let lines = &world.json(&["list", "--all"])[0]["lastlines"];
    let mut last: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    last.sort_unstable();
    assert_eq!(last, ["20", "disk is full", "evil red"]);
    assert_eq!(world.json(&["show", "1"])["lastlines"].as_array().unwrap().len(), 5);
    world.launch(["sh", "-c", "kill -KILL $$"]).run();
    let shown = world.control(["show", "2"]).run().silent(0);
    assert!(shown.text().starts_with("task 2 (sh) failed after 0"), "{}", shown.text());
    assert!(shown.text().lines().next().unwrap().ends_with(": killed by SIGKILL"));
}

// ---- third-party tools

/// Returns a Python with proxmoxer from PyPI, if available.
fn proxmoxer() -> Option<PathBuf> {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxmoxer");
    let python = place.join("bin/python3");
    let works = || {
        let test = Command::new(&python).args(["-c", "import proxmoxer.tools"]).stderr(Stdio::null()).status();
        test.is_ok_and(|status| status.success())
    };
    if !works() {
        let run = |program: &str, args: &[&str]| {
            let done = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
            done.is_ok_and(|status| status.success())
        };
        let made = run("python3", &["-m", "venv", place.to_str()?])
            && run(python.to_str()?, &["-m", "pip", "install", "--quiet", "proxmoxer==2.2.0", "requests"]);
        if !made || !works() {
            return None;
        }
    }
    Some(python)
}

#[test]
fn proxmoxer_reads_upids_and_logs() {
    let world = World::new();
    let Some(python) = proxmoxer() else {
        return eprintln!("SKIPPED proxmoxer_reads_upids_and_logs: no Python, or proxmoxer cannot be installed");
    };
    world.launch(["--name", "back up!", "sh", "-c", "echo hello; printf 'a\"b\\tc'; exit 3"]).run();
    let upid = world.end().text("upid").to_owned();
    let log = world.control(["--json", "log", "1", "--no-time"]).run().silent(0);
    let script = "import json, sys\nfrom proxmoxer.tools import Tasks\n\
                  print(json.dumps(Tasks.decode_upid(sys.argv[1])))\nprint(Tasks.decode_log(json.loads(sys.argv[2])))";
    let ran = Command::new(python).args(["-c", script, &upid, log.text()]).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (decoded, text) = said.split_once('\n').unwrap();
    let decoded: Value = serde_json::from_str(decoded).unwrap();
    assert_eq!(
        (&decoded["type"], &decoded["id"], &decoded["user"]),
        (&json!("backup"), &json!("1"), &json!(world.end().text("user").to_owned() + "@pam"))
    );
    assert_eq!(decoded["upid"], json!(upid));
    assert_eq!(text.trim_end(), "hello\na\"b\tc\nTASK ERROR: exit code 3");
    // And converted back by `parse`.
    let mut parse = Command::new(env!("CARGO_BIN_EXE_parse"));
    let mut parse = parse.args(["--log", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    parse.stdin.take().unwrap().write_all(log.out.as_slice()).unwrap();
    let parsed = parse.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(parsed.stdout).unwrap(), "hello\na\"b\tc\nTASK ERROR: exit code 3\n");
}

#[test]
fn input_that_is_not_an_api_log_is_reported() {
    let world = World::new();
    let parse = |text: &str| {
        fs::write(world.path("log.json"), text).unwrap();
        world.command(env!("CARGO_BIN_EXE_parse")).arg("--log").arg(world.path("log.json")).run()
    };
    assert_eq!(parse(r#"{"data":[{"n":2,"t":"b"},{"n":1,"t":"a"}]}"#).silent(0).text(), "a\nb\n");
    parse("nonsense").says(1, &["cannot parse log", "log.json", "not JSON"]);
    assert_eq!(parse(r#"[{"n":1}]"#).silent(0).text(), "\n", "a line without a text is empty");
    parse(r#"[{"n":1,"t":7}]"#).says(1, &["entry 1 is not a line: text `t` is missing"]);
    world
        .command(env!("CARGO_BIN_EXE_parse"))
        .arg("--log")
        .arg("nowhere")
        .run()
        .says(1, &["cannot read log", "No such file"]);
    assert_eq!(fs::metadata(world.path("log.json")).unwrap().permissions().mode() & 0o400, 0o400);
}
