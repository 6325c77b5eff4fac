//! How a command is started and watched: the re-execution of the launcher, the descriptors and variables of the
//! command, and the errors of a start.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says what it skips"
)]

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    process::{Command, Stdio},
};

use crate::support::{World, field, has_open, until};
use nix::{sys::signal::Signal, unistd::geteuid};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// In a script: whether the launcher has re-executed itself.
const IS_RE_EXECUTED: &str = "tr '\\0' '\\n' </proc/$PPID/environ | grep -q '^TASKWATCHER_LAUNCHER='";

/// Whether a launcher has re-executed itself.
fn is_re_executed(pid: i32) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
    memchr::memmem::find(&environ, b"TASKWATCHER_LAUNCHER=").is_some()
}

/// Whether a mount namespace can be created here, which takes root.
fn has_mounts() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let has = tried.is_ok_and(|status| status.success());
    if !has {
        eprintln!("skipped: no mount namespace to be had");
    }
    has
}

#[test]
fn a_launcher_that_cannot_read_proc_does_not_start_the_command_again() {
    if !has_mounts() {
        return;
    }
    let world = World::new();
    let job = format!(
        "mount --bind /dev/null /proc/$PPID/stat; echo run >> \"$W/runs\"; until {IS_RE_EXECUTED}; do :; done; exit 3"
    );
    let ran = world.sh(&format!("exec unshare -m \"$LAUNCH\" -- sh -c '{}'", job.replace('\'', "'\\''"))).run();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(world.read("runs"), "run\n");
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 3");
}

#[test]
fn a_launcher_without_descriptors_after_its_re_execution_waits_for_them() {
    let world = World::new();
    let job = "echo one; echo run >> \"$W/runs\"; until [ -e \"$W/go\" ]; do sleep 0.05; done; echo two; exit 3";
    let started = world.launch(["--max-runtime", "100s", "--quiet", "--", "sh", "-c", job]).spawn();
    let limit = |files| {
        let limit = Rlimit { current: Some(files), maximum: Some(4096) };
        prlimit(Pid::from_raw(started.pid()), Resource::Nofile, limit).unwrap();
    };
    // With six, a launcher that has not recorded its command cannot examine it, and is not re-executed. Later six are
    // enough for the parcel, and too few for its content.
    until("the command to be noted", || world.tasks().iter().any(|task| !task.is_null("pid")));
    limit(6);
    until("a new program", || is_re_executed(started.pid()));
    limit(256);
    fs::write(world.path("go"), "").unwrap();
    let ran = started.wait().silent(3);
    assert_eq!(ran.text(), "one\ntwo\n");
    assert_eq!(world.read("runs"), "run\n");
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 3");
}

#[test]
fn descriptors_of_the_caller_are_open_only_in_the_command() {
    let world = World::new();
    let script = "exec 5>\"$W/extra\" 9<\"$W\" 3>&1
        exec \"$LAUNCH\" sh -c 'ls /proc/$$/fd; echo three >&3; echo five >&5; exec sleep 1000'";
    let started = world.sh(script).spawn();
    until("its output", || started.stdout().contains("three\n"));
    // As without `launch`.
    let alone =
        world.sh(&script.replace("exec \"$LAUNCH\" sh", "exec sh").replace("exec sleep 1000", ":")).run().silent(0);
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&started.stdout()), sorted(alone.text()));
    assert_eq!(world.line("extra"), "five");
    until("the launcher to let go of it", || !started.has_open("extra"));
    // The launcher re-executes itself meanwhile, and does not have the descriptor afterwards either.
    until("a new program", || is_re_executed(started.pid()));
    assert!(!started.has_open("extra"));
    assert_eq!(world.processes().into_iter().filter(|pid| has_open(*pid, "extra")).count(), 1);
}

#[test]
fn process_substitutions_can_be_read() {
    let world = World::new();
    let script = "\"$LAUNCH\" -- cat <(echo one) <(echo two); \"$LAUNCH\" --no-log -- cat <(echo three)";
    let ran = world.command("bash").arg("-c").arg(script).run().silent(0);
    assert_eq!(ran.text(), "one\ntwo\nthree\n");
}

#[test]
fn only_the_command_keeps_descriptors_of_the_caller() {
    let world = World::new();
    // A background process holds the output, which a helper process drains.
    let script = "exec 7>\"$W/seven\"; exec \"$LAUNCH\" sh -c 'exec 7>&-; sleep 1000 & :'";
    world.sh(script).run().silent(0);
    let holders = || {
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let seven = world.path("seven");
        let holds = |pid: &i32| {
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
            fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).any(|file| file == seven)
        };
        pids.filter(holds).collect::<Vec<i32>>()
    };
    assert_eq!(holders(), [0; 0]);
    // A detached task has no inherited descriptor, so their readers see the end at once.
    let script = "x=$(exec 7>\"$W/seven\"; \"$LAUNCH\" --detach -- sleep 1000 3>&1); echo \"$x\"";
    assert_eq!(world.sh(script).run().silent(0).text(), "2\n");
    assert_eq!(holders(), [0; 0]);
}

#[test]
fn sockets_passed_to_launch_are_passed_to_the_command() {
    let world = World::new();
    let job = "echo \"$LISTEN_FDS\"; test \"$LISTEN_PID\" = $$ && echo mine
        readlink /proc/$$/fd/3; set -- /proc/$$/fd/*; echo $#; grep SigIgn /proc/$$/status";
    let script =
        |pid: &str, how: &str| format!("exec 3</dev/zero; LISTEN_FDS=1 LISTEN_PID={pid} exec {how} sh -c '{job}'");
    let alone = world.sh(&script("$$", "")).run().silent(0);
    let lines: Vec<&str> = alone.text().lines().collect();
    assert_eq!(lines[..3], ["1", "mine", "/dev/zero"]);
    let given = world.sh(&script("$$", "\"$LAUNCH\"")).run().silent(0);
    let given: Vec<&str> = given.text().lines().collect();
    assert_eq!(given[..4], lines[..4]);
    let ignored = u64::from_str_radix(field(given[4], "SigIgn"), 16).unwrap();
    assert_eq!(ignored & 0x7fff_ffff, 0, "SIGPIPE too");
    // Sockets for another process are not changed.
    let others = world.sh(&script("1", "\"$LAUNCH\"")).run().silent(0);
    assert_eq!(others.text().lines().take(3).collect::<Vec<_>>(), ["1", "/dev/zero", lines[3]]);
    // A command that cannot be executed is reported as usual.
    let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$LAUNCH\" -- /no/such/command";
    world.sh(script).run().says(127, &["cannot run /no/such/command: No such file or directory"]);
}

#[test]
fn a_detached_start_that_is_interrupted_while_it_waits_does_not_run() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        let db = rusqlite::Connection::open(world.db()).unwrap();
        db.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let front = world.launch(["--detach", "--", "touch", world.path("ran").to_str().unwrap()]).spawn();
        until("both to wait", || world.processes().len() == 2);
        front.signal(signal);
        front.wait();
        until("the other to end", || world.processes().is_empty());
        db.execute_batch("ROLLBACK").unwrap();
        assert!(!world.path("ran").exists());
        assert_eq!((world.tasks().len(), world.history().len()), (0, 1));
    }
}

#[test]
fn lack_of_processes_is_a_failure_of_launch() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    let db = world.work().join("tasks.db");
    if geteuid().is_root() {
        for folder in [world.path(""), world.work()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        }
        if world.launch(["--version"]).user(NOBODY).run().code != 0 {
            eprintln!("skipped: the build folder is not open to others");
            return;
        }
    }
    let script = format!("exec prlimit --nproc=1 \"$LAUNCH\" --db {} --no-log -- echo ran", db.display());
    let program = world.sh(&script);
    let program = if geteuid().is_root() { program.user(NOBODY) } else { program };
    let ran = program.run();
    assert_eq!((ran.code, ran.text()), (125, ""), "{ran:?}");
    assert!(ran.err.contains("out of processes"), "{ran:?}");
}

#[test]
fn a_missing_interpreter_and_a_foreign_program_are_reported_with_126() {
    let world = World::new();
    let dos = world.program("dos", "#!/bin/sh\r\necho ran\n");
    let ran = world.launch([&dos]).run().says(126, &["its interpreter \"/bin/sh\\r\" does not exist"]);
    assert_eq!(ran.text(), "");
    world
        .launch([world.program("gone", "#! /no/such/interpreter -x\n")])
        .run()
        .says(126, &["\"/no/such/interpreter\""]);
    let elf = world.program("elf", b"\x7fELF\x02\x01\x01\0\0\0\n touch \"$W/ran\"\n");
    world.launch([&elf]).run().says(126, &["elf: neither a script nor a program for this machine"]);
    assert!(!world.path("ran").exists());
    // Bytes after the first line of a script do not matter.
    let script = world.program("script", b"echo script\nexit 0\n\0\x01");
    assert_eq!(world.launch([&script]).run().silent(0).text(), "script\n");
}

#[test]
fn a_hostile_name_of_a_command_is_shown_escaped() {
    let world = World::new();
    let ran = world.launch(["--", "x\x1b]0;t\x07\ny"]).run().says(127, &["cannot run x\\u{1b}]0;t\\u{7}\\ny: No such"]);
    assert!(!ran.err.contains('\x1b'));
    assert!(!world.end().text("outcome").contains('\x1b'));
}

#[test]
fn a_feedback_file_that_cannot_be_read_at_the_end_is_reported_and_kept() {
    let world = World::new();
    let feedback = world.work().join("feedback_1.log");
    let job = "printf '[info]first\\n[warning]one\\n' > \"$TASKWATCHER_FEEDBACK\"; mkfifo go; read x < go
        rm \"$TASKWATCHER_FEEDBACK\"; mkfifo \"$TASKWATCHER_FEEDBACK\"";
    let started = world.launch(["--feedpath", ".", "sh", "-c", job]).spawn();
    until("the values", || world.control(["feedback", "1"]).run().text().contains("first"));
    until("the way", || world.work().join("go").exists());
    fs::write(world.work().join("go"), "go\n").unwrap();
    let ran = started.wait();
    assert_eq!(ran.code, 0);
    assert!(
        ran.err.contains("it is a pipe, not a regular file; the file is kept and the last stored values"),
        "{ran:?}"
    );
    let row = world.end();
    assert_eq!((row.json("feedback")["info"].as_str(), row.int("warnings")), (Some("first"), 1));
    assert_eq!(row.text("outcome"), "WARNINGS: 1");
    assert!(feedback.exists());
}

#[test]
fn a_feedback_file_that_a_reader_cannot_read_at_the_end_is_kept() {
    let world = World::new();
    let feedback = world.work().join("feedback_1.log");
    let job = "echo '[info]first' > \"$TASKWATCHER_FEEDBACK\"; echo $$ > pid; exec sleep 1000";
    let started = world.launch(["--feedpath", ".", "sh", "-c", job]).spawn();
    let command = world.line("work/pid");
    until("the values", || world.control(["feedback", "1"]).run().text().contains("first"));
    started.signal(Signal::SIGKILL);
    started.wait();
    fs::remove_file(&feedback).unwrap();
    nix::unistd::mkfifo(&feedback, nix::sys::stat::Mode::S_IRWXU).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(command.parse().unwrap()), Signal::SIGKILL).unwrap();
    until("its end", || world.control(["list"]).run().code == 0 && world.tasks().is_empty());
    assert_eq!(world.end().json("feedback")["info"].as_str(), Some("first"));
    assert!(feedback.exists());
}

#[test]
fn of_a_huge_feedback_file_the_beginning_and_the_end_are_read() {
    let world = World::new();
    // Reading the whole file would take many seconds.
    let job = "f=$TASKWATCHER_FEEDBACK; echo '[first]a' > $f; truncate -s 20G $f; printf '\\n[last]b\\n' >> $f";
    let ran = world.launch(["--feedpath", ".", "sh", "-c", job]).run();
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("bytes in the middle of its feedback file were not read"), "{ran:?}");
    let row = world.end();
    assert_eq!(row.json("feedback").as_object().unwrap().len(), 2, "{row:?}");
    assert_eq!((row.json("feedback")["first"].as_str(), row.json("feedback")["last"].as_str()), (Some("a"), Some("b")));
}

#[test]
fn usage_before_a_shell_became_launch_does_not_count_for_the_task() {
    let world = World::new();
    // Another process of the shell, with one second of CPU time and 100 MB.
    let before = "head -c 100000000 /dev/zero | tail -c 100000000 | wc -c; sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'";
    world.sh(&format!("{before}; exec \"$LAUNCH\" true")).run().silent(0);
    let row = world.end();
    assert!(row.real("cpu_user") + row.real("cpu_sys") < 0.1, "{row:?}");
    assert!(row.is_null("maxrss"), "the kernel has one peak for all: {row:?}");
    let world = World::new();
    world.launch(["sh", "-c", before]).run().silent(0);
    let row = world.end();
    assert!(row.real("cpu_user") + row.real("cpu_sys") > 0.1 && row.int("maxrss") > 50_000_000, "{row:?}");
}

#[test]
fn a_detached_launcher_is_readable_in_a_list_of_processes() {
    let world = World::new();
    world.launch(["--detach", "--name", "long", "--", "sleep", "1000"]).run().silent(0);
    let pid = world.task().int("launcher_pid");
    let cmdline = || String::from_utf8(fs::read(format!("/proc/{pid}/cmdline")).unwrap()).unwrap().replace('\0', " ");
    assert_eq!(cmdline(), "launch (detached) --detach --name long -- sleep 1000 ");
    until("a new program", || is_re_executed(i32::try_from(pid).unwrap()));
    assert_eq!(cmdline(), "launch (detached) --detach --name long -- sleep 1000 ");
    assert_eq!(world.launch(["--detached", "--", "true"]).run().code, 2);
}

#[test]
fn held_output_goes_beside_the_database_if_the_temporary_folder_is_full() {
    let world = World::new();
    let chronic =
        |tmp: &std::path::Path, job: &str| world.launch(["--chronic", "--", "sh", "-c", job]).env("TMPDIR", tmp).run();
    let failing = "seq 50000; echo the reason >&2; exit 7";
    let missing = chronic(&world.path("no-such-folder"), failing);
    assert_eq!((missing.code, missing.text().lines().count()), (7, 50_000));
    assert!(missing.err.contains("the reason\n"), "{}", missing.err);
    chronic(&world.path("no-such-folder"), failing.replace("exit 7", "exit 0").as_str()).silent(0);
    if !has_mounts() {
        return;
    }
    let small =
        "mount -t tmpfs -o size=64k none \"$W/small\"; export TMPDIR=\"$W/small\"; exec \"$LAUNCH\" --chronic -- sh -c";
    fs::create_dir(world.path("small")).unwrap();
    let ran = world.sh(&format!("exec unshare -m sh -c '{small} \"seq 50000; echo the reason >&2; exit 7\"'")).run();
    assert_eq!((ran.code, ran.text().lines().count()), (7, 50_000), "{}", ran.err);
    assert!(ran.err.contains("the reason\n"), "{}", ran.err);
    let numbers: Vec<usize> = ran.text().lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=50_000), "in order, each once");
}

#[test]
fn messages_of_a_command_with_another_user_are_accepted_and_foreign_ones_are_not() {
    const NOBODY: &str = "65534";
    let has_notify = Command::new("systemd-notify").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !geteuid().is_root() || !has_notify {
        eprintln!("skipped: it takes root and systemd-notify");
        return;
    }
    let world = World::new();
    let notify = format!(
        "setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups sh -c 'systemd-notify --status=\"$1\"; sleep 1' -"
    );
    let job = format!("echo $NOTIFY_SOCKET > socket; {notify} mine; echo sent > sent; exec sleep 1000");
    let started = world.launch(["sh", "-c", &job]).spawn();
    let is_listed = |text: &str| world.control(["--json", "list"]).run().text().contains(text);
    until("its status text", || is_listed("\"mine\""));
    world.line("work/sent");
    // A process that does not belong to the task.
    let stranger = world.sh(&format!("{notify} strange")).env("NOTIFY_SOCKET", world.line("work/socket"));
    stranger.run();
    // Messages of root are accepted, after the foreign one.
    world.sh("systemd-notify --status=root").env("NOTIFY_SOCKET", world.line("work/socket")).run();
    until("the status text of root", || is_listed("\"root\""));
    drop(started);
}

#[test]
fn a_task_that_would_wait_for_itself_is_refused() {
    let world = World::new();
    let control = env!("CARGO_BIN_EXE_control");
    let ran = world.launch(["sh", "-c", &format!("{control} wait $TASKWATCHER_TASKID")]).run();
    assert!(ran.code == 1 && ran.err.contains("task 1 would wait for itself"), "{ran:?}");
    // With a timeout it is allowed.
    world.launch(["sh", "-c", &format!("{control} wait --timeout 0.1 $TASKWATCHER_TASKID")]).run();
    let inner = "\"$LAUNCH\" --name a --if-running wait -- true";
    let ran = world.launch(["--name", "a", "--", "sh", "-c", inner]).run();
    assert!(ran.code == 125 && ran.err.contains("task 3 would wait for itself"), "{ran:?}");
}

#[test]
fn a_folder_that_is_not_utf8_is_entered_again() {
    let world = World::new();
    let folder = world.path(std::ffi::OsStr::from_bytes(b"c\xff"));
    fs::create_dir(&folder).unwrap();
    world.launch(["sh", "-c", "echo here >> made"]).cwd(&folder).run().silent(0);
    world.control(["run-again", "1"]).run().silent(0);
    assert_eq!(fs::read_to_string(folder.join("made")).unwrap(), "here\nhere\n");
}
