//! `launch` as the command and its user see it: input and output are unchanged, and everything is recorded.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStringExt, fs::PermissionsExt},
    process::Stdio,
};

use crate::support::{World, eventually, field, os, timed, until};
use nix::sys::signal::Signal;
use serde_json::json;

// ---- input and output

#[test]
fn arguments_arrive_byte_for_byte() {
    let world = World::new();
    let show = world.program("show", "#!/bin/sh\ncat /proc/$$/cmdline\n");
    let args = [
        &b"plain"[..],
        b"",
        b"two\nlines",
        b"\xff\xfe",
        b" blank ",
        b"--",
        b"-x",
        b"--name",
        b"'\"$(id)`*\\",
        b"\t\x01",
    ];
    let ran = world.launch(["--".as_ref(), show.as_os_str()].into_iter().chain(args.map(os))).run().silent(0);
    let wanted = args.join(&b"\0"[..]);
    let seen = ran.out.strip_suffix(b"\0").unwrap();
    assert!(seen.ends_with(&wanted), "{:?}", String::from_utf8_lossy(seen));

    let argv = world.end().json("argv");
    assert_eq!(argv[0], json!(show));
    assert_eq!(argv[3], json!("two\nlines"));
    assert_eq!(argv[4], json!({ "bytes": "//4=" }));
    assert_eq!(argv.as_array().unwrap().len(), args.len() + 1);
}

#[test]
fn ten_thousand_arguments_are_no_problem() {
    let world = World::new();
    let args = (0..10_000).map(|n| OsString::from(n.to_string()));
    let head = ["sh", "-c", "echo $# $1 ${10000}", "sh"].map(OsString::from);
    let ran = world.launch(head.into_iter().chain(args)).run().silent(0);
    assert_eq!(ran.text(), "10000 0 9999\n");
    assert_eq!(world.end().json("argv").as_array().unwrap().len(), 10_004);
}

#[test]
fn every_exit_code_comes_back() {
    let world = World::new();
    // One shell, so that this costs 256 launches and not 256 waits in the test.
    let script = "for code in $(seq 0 255); do \"$LAUNCH\" sh -c \"exit $code\"; [ $? = $code ] || echo $code; done";
    assert_eq!(world.sh(script).run().silent(0).text(), "");
    let rows = world.history();
    assert_eq!(rows.len(), 256);
    for (code, row) in (0i64..).zip(&rows) {
        assert_eq!(row.int("exitcode"), code);
        let outcome = if code == 0 { "OK".to_owned() } else { format!("ERROR: exit code {code}") };
        assert_eq!(row.text("outcome"), outcome);
        assert_eq!(row.is_null("termerror"), code == 0);
        assert!(row.is_null("termsignal"));
    }
}

#[test]
fn a_signal_from_elsewhere_gives_128_plus_its_number() {
    let world = World::new();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGPIPE] {
        let number = signal as i32;
        world.launch(["sh", "-c", &format!("kill -{number} $$")]).run().silent(128 + number);
        let row = world.last();
        assert_eq!(row.text("outcome"), format!("ERROR: killed by {signal}"));
        assert_eq!(row.text("termerror"), format!("killed by {signal}"));
        assert_eq!(row.text("termsignal"), signal.as_str());
        assert_eq!(row.text("ended_by"), "itself");
    }
}

#[test]
fn a_core_dump_is_mentioned() {
    let world = World::new();
    world.sh("ulimit -c 0; exec \"$LAUNCH\" sh -c 'kill -SEGV $$'").run().silent(139);
    assert_eq!(world.last().text("outcome"), "ERROR: killed by SIGSEGV");
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let script = "ulimit -c unlimited && exec \"$LAUNCH\" sh -c 'kill -SEGV $$'";
    world.sh(script).run().silent(139);
    let outcome = world.last().text("outcome").to_owned();
    if pattern.starts_with('|') || pattern.contains('/') || outcome.ends_with("(core dumped)") {
        return;
    }
    assert_eq!(outcome, "ERROR: killed by SIGSEGV (core dumped)", "core_pattern {pattern:?}");
}

#[test]
fn a_command_that_cannot_be_run_gives_126_or_127_and_is_recorded() {
    let world = World::new();
    let locked = world.path("locked");
    fs::write(&locked, "#!/bin/sh\n").unwrap();
    let orphan = world.program("orphan", "#!/no/such/interpreter\n");
    let file_as_folder = world.path("locked/x");
    let long = "x".repeat(5000);
    let table: [(&OsStr, i32, &str); 7] = [
        ("no-such-command".as_ref(), 127, "No such file or directory"),
        ("/no/such/path".as_ref(), 127, "No such file or directory"),
        ("".as_ref(), 127, "an empty name"),
        (locked.as_ref(), 126, "it is not executable (chmod +x)"),
        (world.path("").as_os_str().to_owned().leak(), 126, "it is a folder"),
        (file_as_folder.as_ref(), 126, "Not a directory"),
        (long.as_ref(), 126, "File name too long"),
    ];
    for (program, code, reason) in table {
        let words = ["cannot run", reason];
        world.launch([OsStr::new("--"), program, OsStr::new("arg")]).run().says(code, &words);
        let row = world.last();
        assert_eq!(row.int("exitcode"), i64::from(code));
        let shown = if program.is_empty() { "\"\"".into() } else { program.to_string_lossy() };
        assert_eq!(row.text("outcome"), format!("ERROR: cannot run {shown}: {reason}"));
        assert!(row.is_null("termsignal"));
    }
    world.launch([orphan]).run().says(126, &["cannot run", "its interpreter \"/no/such/interpreter\" does not exist"]);
    // Searched in PATH.
    let path = world.path("");
    world.launch(["locked"]).env("PATH", &path).run().says(126, &["cannot run locked: it is not executable"]);
    world.launch(["work"]).env("PATH", &path).run().says(126, &["cannot run work: it is a folder"]);
    assert!(world.tasks().is_empty());
    let quiet = world.launch(["--quiet", "no-such-command"]).run();
    quiet.silent(127);
}

#[test]
fn a_script_without_a_first_line_is_given_to_the_shell() {
    let world = World::new();
    world.program("bare", "echo \"$0 $1\"; exit 7\n");
    let path = format!("{}:{}", world.path("").display(), std::env::var("PATH").unwrap());
    let ran = world.launch(["bare", "a b"]).env("PATH", path).run().silent(7);
    assert!(ran.text().ends_with("bare a b\n"), "{}", ran.text());
    let empty = world.program("empty", "");
    world.launch([empty]).run().silent(0);
}

#[test]
fn the_streams_are_not_touched() {
    let world = World::new();
    let bytes: Vec<u8> = (0u32..10 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(world.path("in"), &bytes).unwrap();
    let input = File::open(world.path("in")).unwrap();
    let ran = world.launch(["sh", "-c", "cat; echo done >&2"]).stdin(input).run();
    assert_eq!((ran.code, ran.err.as_str()), (0, "done\n"));
    assert!(ran.out == bytes, "{} bytes of {}", ran.out.len(), bytes.len());
}

#[test]
fn a_pipe_ends_when_the_command_closes_it() {
    let world = World::new();
    // If `launch` kept the pipe open, the reader would wait forever and the writer would get no SIGPIPE.
    let reader = world.sh("\"$LAUNCH\" sh -c 'echo hello; exec >&-; sleep 1000' | { cat; echo end; }").spawn();
    until("the end of the output", || world.read("stdout.0") == "hello\nend\n");
    drop(reader);
    let writer = world.sh("{ yes; echo $? >&2; } | \"$LAUNCH\" sh -c 'exec <&-; sleep 1000'").spawn();
    until("the writer to notice", || !world.read("stderr.1").is_empty());
    drop(writer);
}

#[test]
fn the_environment_identifies_the_task() {
    let world = World::new();
    world.launch(["env"]).env("EXTRA", os(b"\xff\n")).run().silent(0);
    let ran = world.launch(["env", "-0"]).env("EXTRA", os(b"\xff\n")).run().silent(0);
    let row = world.last();
    let entry = |name: &str| {
        let prefix = format!("{name}=");
        ran.out.split(|&b| b == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes())).map(<[u8]>::to_vec)
    };
    let text = |name| entry(name).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(text("TASKWATCHER_TASKID").unwrap(), row.int("taskid").to_string());
    assert_eq!(text("TASKWATCHER_UPID").unwrap(), row.text("upid"));
    assert_eq!(text("TASKWATCHER_HANDLE").unwrap(), row.text("handle"));
    assert_eq!(text("TASKWATCHER_DB").unwrap(), world.db().to_str().unwrap());
    assert_eq!(text("TASKWATCHER_FEEDBACK"), None);
    assert_eq!(entry("EXTRA").unwrap(), b"\xff\n");
    assert_eq!(text("HOME").unwrap(), world.path("").to_str().unwrap().trim_end_matches('/'));
}

#[test]
fn a_relative_database_is_the_same_one_for_the_command() {
    let world = World::new();
    let script = "cd /; echo $TASKWATCHER_DB; exec \"$LAUNCH\" --name inner true";
    let ran = world.launch(["--db", "other.db", "--name", "outer", "sh", "-c", script]).run().silent(0);
    let db = world.work().join("other.db");
    assert_eq!(ran.text(), format!("{}\n", db.display()));
    let db = rusqlite::Connection::open(db).unwrap();
    let names: i64 = db.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 2, "the inner task is in the outer one's database");
}

#[test]
fn a_task_in_a_task_has_its_own_identity() {
    let world = World::new();
    let script = "echo \"$TASKWATCHER_TASKID $TASKWATCHER_FEEDBACK\"
        exec \"$LAUNCH\" sh -c 'echo \"$TASKWATCHER_TASKID [$TASKWATCHER_FEEDBACK]\"'";
    let ran = world.launch(["--feedpath", ".", "sh", "-c", script]).run().silent(0);
    let outer = world.work().join("feedback_1.log");
    assert_eq!(ran.text(), format!("1 {}\n2 []\n", outer.display()));
}

#[test]
fn no_descriptor_of_the_launcher_is_open_in_the_command() {
    let world = World::new();
    let without = world.sh("ls /proc/$$/fd").run().silent(0);
    let ran = world.launch(["sh", "-c", "ls /proc/$$/fd"]).run().silent(0);
    assert_eq!(ran.text(), without.text());
    let feedback = world.launch(["--feedpath", ".", "sh", "-c", "ls /proc/$$/fd"]).run().silent(0);
    assert_eq!(feedback.text(), without.text());
}

#[test]
fn closed_standard_streams_do_not_make_the_database_stdout() {
    let world = World::new();
    let ran = world.sh("\"$LAUNCH\" sh -c 'echo hello; echo world >&2; cat' <&- >&- 2>&-; echo $?").run().silent(0);
    assert_eq!(ran.text(), "0\n");
    assert_eq!(world.end().text("outcome"), "OK");
}

/// Parses a set of signals in `/proc/PID/status`, without the two that the C library reserves.
fn signals(set: &str) -> u64 {
    u64::from_str_radix(set, 16).unwrap() & !(3 << 31)
}

#[test]
fn signals_have_default_dispositions() {
    let world = World::new();
    let status = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    let clean = |ran: crate::support::Ran| {
        let text = ran.text().to_owned();
        for set in ["SigBlk", "SigIgn"] {
            assert_eq!(signals(field(&text, set)), 0, "{text}");
        }
    };
    clean(world.launch(status).run().silent(0));
    let all = "INT,QUIT,TERM,USR1,USR2,CHLD,PIPE,TSTP,WINCH,XFSZ,RTMIN,RTMIN+1,RTMAX";
    for change in ["--ignore-signal", "--block-signal"] {
        let head = [format!("{change}={all}"), env!("CARGO_BIN_EXE_launch").to_owned()];
        let mut program = world.command("env");
        program.command.args(head).args(status);
        clean(program.run().silent(0));
        assert_eq!(world.last().text("outcome"), "OK");
    }
}

#[test]
fn nohup_stays_in_force() {
    let world = World::new();
    let ran = world.sh("trap '' HUP; \"$LAUNCH\" grep SigIgn /proc/self/status").run().silent(0);
    assert_eq!(signals(field(ran.text(), "SigIgn")), 1, "SIGHUP alone");
}

#[test]
fn an_ignored_child_signal_does_not_hide_the_end() {
    let world = World::new();
    let mut program = world.command("env");
    program.command.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_launch"), "sh", "-c", "exit 9"]);
    program.run().silent(9);
    assert_eq!(world.end().int("exitcode"), 9);
}

#[test]
fn a_file_size_limit_only_truncates_the_log() {
    let world = World::new();
    let script = "yes | head -c 1000000; echo done >&2; exit 3";
    let ran = world.sh(&format!("ulimit -f 128; exec \"$LAUNCH\" sh -c '{script}' | wc -c")).run();
    assert_eq!((ran.text().trim(), ran.err.lines().next()), ("1000000", Some("done")), "{ran:?}");
    assert!(ran.err.contains("of its output are not in the log"), "{ran:?}");
    assert_eq!(world.end().int("exitcode"), 3);
    // The command itself reaches its limit as it would without launch.
    let ran = world.sh("ulimit -f 128; exec \"$LAUNCH\" sh -c 'exec head -c 1000000 /dev/zero > big'").run();
    assert_eq!(ran.code, 128 + Signal::SIGXFSZ as i32, "{ran:?}");
    // If the WAL has reached the limit, the end is in the spool.
    world.control(["update"]).run().silent(0);
    assert_eq!(world.last().text("termsignal"), "SIGXFSZ");
}

#[test]
fn a_database_at_the_file_size_limit_is_handled_like_a_full_disk() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let db = rusqlite::Connection::open(world.db()).unwrap();
    db.execute_batch("CREATE TABLE large (x); INSERT INTO large VALUES (zeroblob(400000)); DROP TABLE large").unwrap();
    drop(db);
    // Ends are recorded in the WAL, which is small.
    world.sh("ulimit -f 200; exec \"$LAUNCH\" sh -c 'exit 3'").run().silent(3);
    assert_eq!(world.last().int("exitcode"), 3);
    // If not even the WAL can be written, the command is not run, and one line gives the reason.
    let ran = world.sh("ulimit -f 1; exec \"$LAUNCH\" touch ran").run();
    ran.says(125, &["the limit on the size of files is reached (ulimit -f)"]);
    assert!(!world.work().join("ran").exists());
}

#[test]
fn a_reader_at_its_file_size_limit_reports_it() {
    let world = World::new();
    fs::write(world.work().join("long"), "[a]".to_owned() + &"x".repeat(100_000)).unwrap();
    let parse = env!("CARGO_BIN_EXE_parse");
    world.sh(&format!("ulimit -f 1; exec '{parse}' --feedback long > short")).run().says(1, &["parse: error:"]);
}

#[test]
fn the_command_leads_its_own_process_group() {
    let world = World::new();
    let ran = world.launch(["sh", "-c", "cut -d' ' -f1,5 /proc/$$/stat"]).run().silent(0);
    let (pid, group) = ran.text().trim().split_once(' ').unwrap();
    assert_eq!(pid, group);
}

// ---- the row

#[test]
fn the_row_is_there_before_the_command_and_holds_its_pid() {
    let world = World::new();
    let dump = world.program("dump", "#!/bin/sh\ncp \"$TASKWATCHER_DB\" \"$W/copy.db\"\ncp \"$TASKWATCHER_DB-wal\" \"$W/copy.db-wal\"\necho $$; read stop || true\n");
    let mut launch = world.launch(["--name", "n m", "--info1", "a\nb", "--info3", "c"]);
    launch.command.arg(dump).stdin(Stdio::piped());
    let mut run = launch.spawn();
    let pid = world.line("stdout.0");
    let copy = rusqlite::Connection::open(world.path("copy.db")).unwrap();
    let status: String = copy.query_row("SELECT status FROM tasks", [], |row| row.get(0)).unwrap();
    assert_eq!(status, "RUNNING", "the copy was made by the command's first step");
    let row = eventually("the command's pid in its row", || Some(world.task()).filter(|row| !row.is_null("pid")));
    assert_eq!(row.int("pid").to_string(), pid);
    assert_eq!(row.int("launcher_pid"), i64::from(run.pid()));
    assert_eq!((row.text("name"), row.text("info1"), row.text("info3")), ("n m", "a\nb", "c"));
    assert_eq!((row.int("feedback"), row.text("status")), (0, "RUNNING"));
    assert!(row.is_null("info2") && row.is_null("timeout") && row.is_null("reservetime"));
    drop(run.child.stdin.take());
    run.wait().silent(0);
}

#[test]
fn history_tells_everything() {
    let world = World::new();
    let before = taskwatcher::io::sys::now().wall.secs();
    let script = "echo $$ > pid; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; exit 3";
    world.launch(["--name", "Back up!", "--info2", "two", "sh", "-c", script]).run().silent(3);
    let after = taskwatcher::io::sys::now().wall.secs();
    let row = world.end();
    assert_eq!((row.int("id"), row.int("taskid"), row.text("taskname")), (1, 1, "Back up!"));
    assert_eq!((row.text("outcome"), row.text("result"), row.int("exitcode")), ("ERROR: exit code 3", "error", 3));
    assert_eq!((row.text("termerror"), row.text("ended_by")), ("exit code 3", "itself"));
    assert!(row.is_null("info1") && row.is_null("termsignal") && row.is_null("feedback"));
    assert!(row.text("log").starts_with(world.path("tasks.db.logs/01").to_str().unwrap()));
    assert_eq!(row.json("options"), json!(["--name=Back up!", "--info2=two"]));
    assert_eq!((row.text("info2"), row.int("warnings")), ("two", 0));
    assert_eq!(row.json("argv"), json!(["sh", "-c", script]));
    assert_eq!(row.text("cwd"), world.work().to_str().unwrap());
    assert_eq!(row.text("user"), taskwatcher::io::sys::login());
    assert_eq!(row.text("host"), taskwatcher::io::sys::host_name());
    assert_eq!(row.int("pid").to_string(), world.line("work/pid"));
    let (start, end) = (row.int("starttime"), row.int("endtime"));
    assert!(before <= start && start <= end && end <= after);
    let duration = row.real("duration");
    assert!(duration > 0.0 && duration < 20.0);
    let cpu = row.real("cpu_user") + row.real("cpu_sys");
    assert!(cpu > 0.0 && cpu < 20.0, "{cpu}");
    assert!(row.int("maxrss") > 100_000, "bytes: {}", row.int("maxrss"));
    let handle = row.text("handle");
    assert!(taskwatcher::model::task::Handle::looks_like(handle), "{handle}");
    let upid: taskwatcher::model::upid::Upid = row.text("upid").parse().unwrap();
    assert_eq!(upid.id(), "1");
    let fields: Vec<&str> = row.text("upid").split(':').collect();
    assert_eq!(fields[1], row.text("host"));
    assert_eq!(fields[4], format!("{start:08X}"));
    assert_eq!((fields[5], fields[6]), ("Backup", "1"));
    assert_eq!(fields[7], format!("{}@pam", row.text("user")));
}

#[test]
fn names_default_to_the_commands_file() {
    let world = World::new();
    world.launch(["/bin/true"]).run().silent(0);
    world.launch(["--command", "sh -c 'exit 4' x"]).run().silent(4);
    world.launch(["--name", "?", "true"]).run().silent(0);
    world.launch(["--name=-x-", "true"]).run().silent(0);
    let rows = world.history();
    let names: Vec<&str> = rows.iter().map(|row| row.text("taskname")).collect();
    assert_eq!(names, ["true", "sh", "?", "-x-"]);
    assert_eq!(rows[1].json("argv"), json!(["sh", "-c", "exit 4", "x"]));
    assert!(rows[2].text("upid").contains(":task:3:"), "a name that leaves nothing for the UPID");
}

#[test]
fn any_text_may_be_a_name() {
    let world = World::new();
    let long = "é".repeat(50_000);
    let names = ["a\nb", "\x1b[31mred\x1b[0m", " x ", "'; DROP TABLE tasks; --", "UPID:x:y", "日本語", &long];
    for name in names {
        world.launch(["--name", name, "--info1", name, "--info2", name, "--", "sh", "-c", "exit 0"]).run().silent(0);
        let row = world.last();
        assert_eq!((row.text("taskname"), row.text("info1")), (name, name));
        let upid: taskwatcher::model::upid::Upid = row.text("upid").parse().unwrap();
        assert_eq!(upid.to_string(), row.text("upid"));
        assert!(row.text("upid").len() < 250 && !row.text("upid").contains('\n'), "{}", row.text("upid"));
    }
    assert_eq!(world.history().len(), names.len());
    let none = world.launch(["--name", "", "true"]).run();
    assert_eq!((none.code, none.err.contains("a name must not be empty")), (2, true), "{none:?}");
    world.launch(["--info1", "", "true"]).run().silent(0);
    assert_eq!(world.last().text("info1"), "");
}

#[test]
fn files_are_private_under_any_umask() {
    let world = World::new();
    world.sh("umask 0; exec \"$LAUNCH\" --db \"$W/state/deep/tasks.db\" true").run().silent(0);
    let mode = |name: &str| fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state/deep"), 0o700);
    for file in fs::read_dir(world.path("state/deep")).unwrap() {
        let file = file.unwrap();
        let wanted = if file.path().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, wanted, "{file:?}");
    }
    assert_eq!(mode("state/deep/tasks.db"), 0o600);
}

#[test]
fn the_default_database_is_in_the_users_state_folder() {
    let world = World::new();
    let mut run = world.launch(["true"]);
    run.command.env_remove("TASKWATCHER_DB");
    run.run().silent(0);
    assert!(world.path(".local/state/taskwatcher/tasks.db").is_file());
    let mut run = world.launch(["true"]).env("XDG_STATE_HOME", world.path("xdg"));
    run.command.env_remove("TASKWATCHER_DB");
    run.run().silent(0);
    assert!(world.path("xdg/taskwatcher/tasks.db").is_file());
}

// ---- feedback

fn feedback<'w>(world: &'w World, options: &[&str], script: &str) -> crate::support::Program<'w> {
    let script = format!("f=$TASKWATCHER_FEEDBACK; {script}");
    let head = ["--feedpath", "."].iter().chain(options).copied();
    world.launch(head.chain(["sh", "-c", &script]).collect::<Vec<_>>())
}

#[test]
fn feedback_is_kept_and_its_file_removed() {
    let world = World::new();
    let script = "echo '[b]2' > $f; echo '[a]1' >> $f; echo '[b] 3' >> $f; printf '[last]x' >> $f; cat $f > copy";
    feedback(&world, &[], script).run().silent(0);
    let row = world.end();
    assert_eq!(row.text("feedback"), r#"{"b":" 3","a":"1","last":"x"}"#);
    assert_eq!((row.text("outcome"), row.int("warnings")), ("OK", 0));
    assert!(!world.work().join("feedback_1.log").exists());

    feedback(&world, &["--keep-feedback"], "echo '[a]1' > $f").run().silent(0);
    assert_eq!(world.read("work/feedback_2.log"), "[a]1\n");
    assert_eq!(world.last().json("feedback"), json!({ "a": "1" }));

    feedback(&world, &[], "true").run().silent(0);
    assert_eq!(world.last().text("feedback"), "{}");
}

#[test]
fn warnings_are_counted_and_may_fail() {
    let world = World::new();
    let two = "printf '[warning]one\\n[warning]two\\n' > $f";
    feedback(&world, &[], two).run().silent(0);
    let row = world.last();
    assert_eq!((row.text("outcome"), row.text("result"), row.int("warnings")), ("WARNINGS: 2", "warnings", 2));
    assert_eq!(row.int("exitcode"), 0);
    feedback(&world, &["--fail-on-warnings"], two).run().silent(1);
    let row = world.last();
    assert_eq!((row.text("outcome"), row.int("exitcode")), ("WARNINGS: 2", 1));
    feedback(&world, &["--fail-on-warnings"], &format!("{two}; exit 5")).run().silent(5);
    let row = world.last();
    assert_eq!((row.text("outcome"), row.int("warnings")), ("ERROR: exit code 5", 2));
    feedback(&world, &["--fail-on-warnings"], "echo '[progress]100' > $f").run().silent(0);
}

#[test]
fn a_leftover_of_that_name_is_removed_first() {
    let world = World::new();
    fs::write(world.work().join("feedback_1.log"), "[old]1\n").unwrap();
    feedback(&world, &[], "test ! -e $f && echo '[new]1' >> $f").run().silent(0);
    assert_eq!(world.end().text("feedback"), r#"{"new":"1"}"#);
    fs::create_dir(world.work().join("feedback_2.log")).unwrap();
    let why = format!("cannot remove feedback file {:?}: Is a directory", world.work().join("feedback_2.log"));
    feedback(&world, &[], "echo ran").run().says(125, &[&format!("launch: error: {why}")]);
    assert!(world.last().text("outcome").starts_with(&format!("ERROR: {why}")));
    let log = world.control(["log", "--no-time", "2"]).run();
    assert!(log.text().starts_with(&format!("TASK ERROR: {why}")), "{log:?}");
    assert!(world.tasks().is_empty());
}

#[test]
fn a_link_is_followed_neither_for_reading_nor_for_deleting() {
    let world = World::new();
    let secret = world.path("secret");
    fs::write(&secret, "[secret]1\n[warning]x\n").unwrap();
    std::os::unix::fs::symlink(&secret, world.work().join("feedback_1.log")).unwrap();
    let kept = "a symbolic link, which is not followed, not a regular file; the file is kept";
    feedback(&world, &[], "ln -s $W/secret $f").run().says(0, &[kept]);
    let row = world.end();
    assert_eq!((row.text("feedback"), row.text("outcome")), ("{}", "OK"));
    assert_eq!(world.read("secret"), "[secret]1\n[warning]x\n");
}

#[test]
fn a_pipe_as_feedback_file_does_no_harm() {
    let world = World::new();
    let (ran, took) = timed(|| feedback(&world, &["--timeout", "1h"], "mkfifo $f; exit 2").run());
    ran.says(2, &["it is a pipe, not a regular file; the file is kept"]);
    assert!(took.as_secs() < 10);
    assert_eq!(world.end().text("feedback"), "{}");
}

#[test]
fn too_much_feedback_is_cut_with_one_message() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 5000 ]; do echo \"[k$i]v\"; i=$((i + 1)); done > $f";
    feedback(&world, &[], script).run().says(0, &["feedback of task 1"]);
    assert_eq!(world.end().json("feedback").as_object().unwrap().len(), 4096);
}

#[test]
fn a_feedback_option_in_the_command_counts_when_its_task_is_known() {
    let world = World::new();
    let (id, _) = world.reserve("n", 60);
    let script = "echo $TASKWATCHER_FEEDBACK; echo '[a]1' > feedback_$1.log";
    let id = id.to_string();
    let ran = world.launch(["--taskid", &id, "sh", "-c", script, "sh", &id, "--feedback"]).run().silent(0);
    assert_eq!(ran.text(), format!("{}\n", world.work().join("feedback_1.log").display()));
    let row = world.end();
    assert_eq!((row.text("feedback"), row.text("taskname")), (r#"{"a":"1"}"#, "n"));
    world.launch(["sh", "-c", "echo ran", "sh", "--feedback"]).run().says(125, &["--taskid", "--feedpath"]);
    world.launch(["--feedpath", ".", "echo", "--feedback"]).run().says(125, &["--taskid"]);
    assert_eq!(world.history().len(), 1);
}

// ---- detached

#[test]
fn a_detached_task_outlives_its_session_and_holds_no_pipe() {
    let world = World::new();
    let script = "id=$(\"$LAUNCH\" --detach sh -c 'echo $$ > pid; read x < fifo; echo $x > survived'); echo id $id";
    nix::unistd::mkfifo(&world.work().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut session = world.command("setsid");
    session.command.args(["-w", "sh", "-c", script]);
    let ran = session.run().silent(0);
    assert_eq!(ran.text(), "id 1\n");
    let row = eventually("the command's pid", || Some(world.task()).filter(|row| !row.is_null("pid")));
    let command = world.line("work/pid");
    // The hangup of a logout is sent to the groups of the session, and the task is in none of them.
    let session =
        |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(' ').nth(5).unwrap().to_owned();
    assert_eq!(session(&command), row.int("launcher_pid").to_string());
    assert_eq!(row.int("pid").to_string(), command);
    File::options().write(true).open(world.work().join("fifo")).unwrap().write_all(b"yes\n").unwrap();
    assert_eq!(world.line("work/survived"), "yes");
    until("its end in history", || world.tasks().is_empty());
    assert_eq!(world.end().text("outcome"), "OK");
}

#[test]
fn a_detached_task_writes_to_files_and_has_no_other_descriptor() {
    let world = World::new();
    let script = "\"$LAUNCH\" --detach --quiet sh -c 'ls /proc/$$/fd; readlink /proc/$$/fd/0; echo done >&2' >log 2>&1";
    world.sh(script).run().silent(0);
    until("its end in history", || world.tasks().is_empty() && !world.history().is_empty());
    // The task id and the output of the command go to one file, in the order in which they come.
    until("the number", || world.read("work/log").lines().count() == 6);
    let log = world.read("work/log");
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/dev/null", "0", "1", "1", "2", "done"]);
}

#[test]
fn a_task_id_that_cannot_be_printed_is_reported() {
    let world = World::new();
    let ran = world.sh("\"$LAUNCH\" --detach sleep 1000 >/dev/full").run();
    ran.says(1, &["launch: error: task 1 is running, but its id could not be printed: No space left on device"]);
    assert_eq!(world.task().int("id"), 1);
    // A closed pipe means that the number is not wanted.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert!(world.launch(["--detach", "true"]).command.stdout(writer).status().unwrap().success());
}

#[test]
fn a_detached_start_that_fails_reports_why() {
    let world = World::new();
    let output_of = |args: &str| {
        let ran =
            world.sh(&format!("{{ \"$LAUNCH\" --detach {args}; echo code $? >&3; }} 3>&1 2>&1 | cat")).run().silent(0);
        ran.text().to_owned()
    };
    let text = output_of("no-such-command");
    assert!(text.contains("cannot run no-such-command: No such file or directory\n"), "{text:?}");
    assert!(text.ends_with("code 127\n"), "{text:?}");
    let text = output_of("--taskid 99 true");
    assert!(text.contains("cannot launch task 99: there is no such reservation\n"), "{text:?}");
    assert!(text.ends_with("code 125\n"), "{text:?}");
    let text = output_of("--timeout 5 true");
    assert!(text.contains("--timeout has no effect"), "{text:?}");
    assert!(text.ends_with("2\ncode 0\n"), "{text:?}");
    assert_eq!(world.launch(["--detach", "--timeout", "0", "true"]).run().code, 2);
}

#[test]
fn many_parallel_launches_all_succeed_with_different_ids() {
    let world = World::new();
    let script = "for i in $(seq 100); do \"$LAUNCH\" sh -c 'echo $TASKWATCHER_TASKID' & done; wait";
    let ran = world.sh(script).run().silent(0);
    let mut ids: Vec<u32> = ran.text().lines().map(|line| line.parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=100).collect::<Vec<_>>());
    // On a busy machine some ends may be in the spool: the next reader moves them.
    taskwatcher::app::reconcile::survey(&mut world.store()).unwrap();
    assert!(world.tasks().is_empty());
    assert_eq!(world.history().len(), 100);
    assert!(world.history().iter().all(|row| row.text("outcome") == "OK"));
}

// ---- usage

#[test]
fn bad_usage_is_2_and_does_nothing() {
    let world = World::new();
    let bad: [&[&str]; 9] = [
        &[],
        &["--timeout", "0", "true"],
        &["--timeout", "soon", "true"],
        &["--max-runtime", "-5", "true"],
        &["--stop-signal", "NOPE", "true"],
        &["--taskid", "!", "true"],
        &["--if-running", "maybe", "true"],
        &["--no-such-option", "true"],
        &["--command", "'open"],
    ];
    for args in bad {
        let ran = world.launch(args).run();
        assert_eq!((ran.code, ran.text()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty());
    }
    let name = OsString::from_vec(vec![b'a', 0xff]);
    assert_eq!(world.launch([OsStr::new("--name"), &name, OsStr::new("true")]).run().code, 2);
    assert!(!world.db().exists());
}

#[test]
fn a_timeout_without_feedback_gives_one_warning() {
    let world = World::new();
    world.launch(["--timeout", "5", "true"]).run().says(0, &["--timeout has no effect", "--max-runtime"]);
    world.launch(["--quiet", "--timeout", "5", "true"]).run().silent(0);
    assert!(world.history().iter().all(|row| row.text("outcome") == "OK"));
}

#[test]
fn a_feedback_folder_must_be_one() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    world.launch(["--feedpath", "/no/such", "true"]).run().says(125, &["/no/such", "No such file"]);
    world
        .launch([OsStr::new("--feedpath"), world.path("file").as_ref(), OsStr::new("true")])
        .run()
        .says(125, &["file", "not a folder"]);
    assert!(!world.db().exists(), "nothing was begun");
}

#[test]
fn a_feedback_folder_that_cannot_be_written_is_refused_at_the_start() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    let (all, locked) = (world.path("all"), world.path("locked"));
    for (folder, mode) in [(&all, 0o777), (&locked, 0o555)] {
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    for folder in [world.path(""), world.work()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let db = all.join("tasks.db");
    let launch = |folder: &std::path::Path| {
        let args = ["--db".as_ref(), db.as_os_str(), "--feedpath".as_ref(), folder.as_os_str(), "true".as_ref()];
        world.launch(args)
    };
    let refused = ["cannot use feedback folder", "/locked\": not writable\n"];
    if !nix::unistd::geteuid().is_root() {
        launch(&locked).run().says(125, &refused);
        return;
    }
    // Root may write everywhere.
    launch(&locked).run().silent(0);
    fs::remove_file(&db).unwrap();
    if world.launch(["--version"]).user(NOBODY).run().code != 0 {
        // The build folder is not accessible to other users here.
        return;
    }
    launch(&locked).user(NOBODY).run().says(125, &refused);
    assert!(!db.exists(), "nothing was begun");
    launch(&all).user(NOBODY).run();
}

#[test]
fn the_shortest_command_has_its_pid_in_history_too() {
    let world = World::new();
    for _ in 0..5 {
        world.launch(["true"]).run().silent(0);
        assert!(world.last().int("pid") > 1);
    }
}
