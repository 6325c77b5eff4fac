//! Makes each system call fail once: no end is lost, no command runs twice, nothing panics or is left behind, and a
//! failure states its cause.
//!
//! `strace` injects the failures. Without `TASKWATCHER_INJECT` a random part of all cases is tried, a different one in
//! each run; with `TASKWATCHER_INJECT=all` every case, which takes some minutes and prints the counts as a table; with
//! the name of a call every case of that call.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says when it skips"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::support::{
    Program, Ran, Started, World,
    daemon::shim_of,
    desk::{is_alive, kill_and_see},
    dice::Dice,
    until,
};
use nix::sys::signal::Signal;

/// The errors injected into each call: those that the kernel returns for a full or broken disk, for lack of
/// descriptors, memory or processes, or when a signal arrives.
const FAULTS: [(&str, &[&str]); 37] = [
    ("openat", &["EMFILE", "ENOMEM", "EIO", "ENOSPC", "EINTR"]),
    ("read", &["EIO", "ENOMEM", "EINTR"]),
    ("pread64", &["EIO", "ENOMEM", "EINTR"]),
    ("write", &["ENOSPC", "EIO", "EINTR"]),
    ("pwrite64", &["ENOSPC", "EIO", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("ftruncate", &["ENOSPC", "EIO", "EINTR"]),
    ("fallocate", &["ENOSPC", "EIO", "EINTR"]),
    ("statx", &["EIO", "ENOMEM"]),
    ("newfstatat", &["EIO", "ENOMEM"]),
    ("fstat", &["EIO"]),
    ("mkdir", &["ENOSPC", "EIO"]),
    ("mkdirat", &["ENOSPC", "EIO"]),
    ("link", &["ENOSPC", "EIO"]),
    ("linkat", &["ENOSPC", "EIO"]),
    ("rename", &["ENOSPC", "EIO"]),
    ("unlink", &["EIO"]),
    ("chmod", &["EIO"]),
    ("fchmod", &["EIO"]),
    ("getdents64", &["EIO", "ENOMEM"]),
    ("fcntl", &["EAGAIN", "EINTR", "EMFILE", "ENOMEM"]),
    ("pidfd_open", &["EMFILE", "ENOMEM"]),
    ("pidfd_getfd", &["EMFILE", "ENOMEM"]),
    ("signalfd4", &["EMFILE", "ENOMEM"]),
    ("pipe2", &["EMFILE", "ENOMEM"]),
    ("socket", &["EMFILE", "ENOMEM"]),
    ("socketpair", &["EMFILE", "ENOMEM"]),
    ("bind", &["ENOMEM", "EIO"]),
    ("inotify_init1", &["EMFILE", "ENOMEM"]),
    ("inotify_add_watch", &["ENOSPC", "ENOMEM"]),
    ("memfd_create", &["EMFILE", "ENOMEM"]),
    ("ppoll", &["EINTR", "ENOMEM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOSPC", "ENOMEM"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
];

/// A failure of one call.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    error: &'static str,
    /// The index of the call among those with the same name.
    at: usize,
}

fn strace() -> Option<PathBuf> {
    let found = ["/usr/bin/strace", "/usr/local/bin/strace"].into_iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: there is no strace");
    }
    found
}

/// Returns a program under strace, with these arguments.
fn traced<'w>(world: &'w World, strace: &Path, options: &[&str], program: &str, args: &[&str]) -> Program<'w> {
    let mut command = world.command(strace);
    // The messages of strace must not be mixed with those of the program.
    command.command.args(["-qq", "-o", "/dev/null"]).args(options).arg(program).args(args);
    command
}

/// For each call, the indexes of those that can fail in this way.
type Calls = BTreeMap<&'static str, Vec<usize>>;

/// Returns the calls of one process in a trace that shows what each descriptor is.
fn calls_in<'t>(lines: impl Iterator<Item = &'t str>) -> Calls {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut calls = Calls::new();
    for line in lines {
        let Some((call, _)) = FAULTS.iter().find(|(call, _)| line.split('(').next() == Some(call)) else { continue };
        let count = counts.entry(call).or_default();
        *count += 1;
        // The kernel never refuses to release a lock, and the loader of shared libraries is another program.
        if line.contains("F_UNLCK") || line.contains(".so.") {
            continue;
        }
        // A pipe, a socket or a signalfd cannot be broken or full like a disk. The return value is not an argument.
        let line = line.rsplit_once(" = ").map_or(line, |(call, _)| call);
        if call.starts_with("epoll")
            || !["<pipe:", "<socket:", "<UNIX", "<anon_inode:", "<signalfd", "/dev/pt"]
                .iter()
                .any(|kind| line.contains(kind))
        {
            calls.entry(call).or_default().push(*count);
        }
    }
    calls
}

fn calls_of(world: &World, strace: &Path, program: &str, args: &[&str]) -> Calls {
    let trace = world.path("trace");
    let mut command = world.command(strace);
    command.command.args(["-qq", "-y", "-o"]).arg(&trace).arg(program).args(args);
    command.run();
    calls_in(fs::read_to_string(&trace).unwrap().lines())
}

/// Returns the faults to try: all of them, or a random selection.
fn some(calls: &Calls, wanted: usize) -> Vec<Fault> {
    let mut all = Vec::new();
    for (call, errors) in FAULTS {
        for &at in calls.get(call).into_iter().flatten() {
            all.extend(errors.iter().map(|error| Fault { call, error, at }));
        }
    }
    if let Ok(which) = std::env::var("TASKWATCHER_INJECT") {
        all.retain(|fault| which == "all" || which == fault.call);
        return all;
    }
    let mut dice = Dice(u64::from(std::process::id()) * 2 + 1);
    let mut chosen = Vec::new();
    while chosen.len() < wanted && !all.is_empty() {
        chosen.push(all.swap_remove(usize::try_from(dice.roll(all.len() as u64)).unwrap()));
    }
    chosen
}

/// Checks all cases, some at a time: each mostly waits.
fn side_by_side<T: Send>(cases: Vec<T>, check: impl Fn(T) + Sync) {
    let left = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Not in the condition of a loop, which would hold the lock meanwhile.
                let next = || left.lock().unwrap().pop();
                while let Some(case) = next() {
                    check(case);
                }
            });
        }
    });
}

impl Fault {
    fn run(self, world: &World, strace: &Path, program: &str, args: &[&str]) -> Ran {
        let inject = format!("inject={}:error={}:when={}", self.call, self.error, self.at);
        let trace = format!("trace={}", self.call);
        traced(world, strace, &["-e", &trace, "-e", &inject], program, args).run()
    }
}

#[track_caller]
fn is_calm(ran: &Ran, fault: Fault) {
    // The indexes of calls differ from run to run, so that a fault may hit the eventfd of tokio, for which the kernel
    // returns none of these errors: a write to it never blocks and needs no disk.
    if fault.call == "write" && ran.err.contains("failed to wake I/O driver") {
        return;
    }
    assert!(!ran.err.contains("panicked") && ran.code != 101 && ran.code >= 0 && ran.code != 134, "{fault:?}: {ran:?}");
}

fn count_lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// The command of these tests: records that it ran, runs longer than 100 ms (until the re-execution), and exits with 3.
const JOB: &str = "echo ran >> $W/ran; sleep 0.15; echo the last line; exit 3";

#[test]
fn a_launch_survives_each_call_that_fails() {
    let Some(strace) = strace() else { return };
    let first = World::new();
    // With an existing database, and with a new one.
    let args = ["sh", "-c", JOB];
    let fresh = calls_of(&first, &strace, env!("CARGO_BIN_EXE_launch"), &args);
    let usual = calls_of(&first, &strace, env!("CARGO_BIN_EXE_launch"), &args);
    let table: Mutex<BTreeMap<&str, [usize; 3]>> = Mutex::default();
    let cases = |calls, is_new, wanted| some(calls, wanted).into_iter().map(move |fault| (fault, is_new));
    side_by_side(cases(&fresh, true, 20).chain(cases(&usual, false, 40)).collect(), |(fault, is_new)| {
        let world = World::new();
        if !is_new {
            world.reserved(&["--expire", "1h"]);
        }
        let ran = fault.run(&world, &strace, env!("CARGO_BIN_EXE_launch"), &args);
        let result = launch_holds(&world, &ran, fault);
        table.lock().unwrap().entry(fault.call).or_default()[result] += 1;
    });
    let table = table.into_inner().unwrap();
    println!("call, continued, not run (125), reported");
    table.iter().for_each(|(call, [fine, refused, reported])| println!("{call}, {fine}, {refused}, {reported}"));
}

/// Checks a launch in which a call failed. Returns 0 if the launch continued, 1 if the command was not run, 2 if the
/// failure was reported.
#[track_caller]
fn launch_holds(world: &World, ran: &Ran, fault: Fault) -> usize {
    is_calm(ran, fault);
    if ran.code == 127 && ran.err.contains("error while loading shared libraries") {
        // The loader of a dynamically linked program ended it before its first instruction.
        return 1;
    }
    let times = count_lines(&world.path("ran"));
    assert!(times <= 1, "{fault:?}: the command ran {times} times: {ran:?}");
    until("its processes to be gone", || world.processes().is_empty());
    match (ran.code, times) {
        // 126: the kernel refused to execute the command, which is an end in the history too.
        (125 | 126, 0) => {
            assert!(!ran.err.is_empty(), "{fault:?}: no reason: {ran:?}");
            let list = world.control(["list"]).run();
            assert!(list.text().lines().count() <= 2, "{fault:?}: it is left in the list: {list:?}");
            return 1;
        }
        (3, 1) => {}
        _ => panic!("{fault:?}: exit code {} after the command ran {times} times: {ran:?}", ran.code),
    }
    // A reader settles ends in the spool.
    world.control(["list"]).run();
    let ends = world.history();
    let end = ends.iter().find(|row| row.text("outcome") == "ERROR: exit code 3");
    assert!(end.is_some(), "{fault:?}: the end is lost: {ends:?} {ran:?}");
    world.is_verified();
    usize::from(ran.err.lines().any(|line| line.starts_with("launch:"))) * 2
}

#[test]
fn control_survives_each_call_that_fails() {
    let Some(strace) = strace() else { return };
    let control = env!("CARGO_BIN_EXE_control");
    for verb in [
        &["list"][..],
        &["list", "--all"],
        &["show", "1"],
        &["history"],
        &["log", "1"],
        &["stats"],
        &["wait", "1"],
        &["reserve", "--expire", "1h"],
        &["update"],
        &["verify"],
        &["feedback", "2"],
        &["kill", "2"],
        &["backup", "copy.db"],
        &["clear", "--name", "ended"],
    ] {
        let counted = prepared();
        let calls = calls_of(&counted.0, &strace, control, verb);
        drop(counted);
        for fault in some(&calls, 3) {
            let (world, launcher) = prepared();
            let ran = fault.run(&world, &strace, control, verb);
            is_calm(&ran, fault);
            assert!(ran.code == 0 || !ran.err.is_empty() || verb == ["wait", "1"], "{verb:?} {fault:?}: {ran:?}");
            let status = world.status(2);
            if verb[0] != "kill" {
                assert_eq!(status.as_deref(), Some("RUNNING"), "{verb:?} {fault:?}: {ran:?}");
                crate::support::desk::send(launcher, Signal::SIGTERM);
            } else if ran.code != 0 && status.is_some() {
                world.control(["kill", "2"]).run();
            }
            until("the task to end", || world.status(2).is_none());
            let ends = world.history();
            assert!(!ends.iter().any(|row| row.text("outcome") == "unknown"), "{verb:?} {fault:?}: {ends:?}");
            until("all to be gone", || world.processes().is_empty());
            if verb[0] == "clear" && ran.code != 0 && ran.err.contains("control verify --repair") {
                // Rows that could not be flushed may return, and then need their logs.
                world.control(["verify", "--repair"]).run();
            }
            world.is_verified();
        }
    }
}

#[test]
fn a_page_that_cannot_be_read_is_not_reported_as_damage() {
    let Some(strace) = strace() else { return };
    let world = prepared().0;
    let control = env!("CARGO_BIN_EXE_control");
    for verb in [&["verify"][..], &["verify", "--repair"], &["backup", "copy.db"]] {
        let calls = calls_of(&world, &strace, control, verb);
        let _ = fs::remove_file(world.work().join("copy.db"));
        for &at in calls.get("pread64").into_iter().flatten() {
            let ran = Fault { call: "pread64", error: "EIO", at }.run(&world, &strace, control, verb);
            let _ = fs::remove_file(world.work().join("copy.db"));
            // SQLite reports some of these errors as damage, so the message names both causes.
            assert!(!ran.text().contains("damaged"), "{verb:?} at {at}: {ran:?}");
            assert!(!ran.err.contains("damaged") || ran.err.contains("or its disk cannot be read"), "{ran:?}");
            assert!(ran.code == 0 || !ran.err.is_empty(), "{verb:?} at {at}: {ran:?}");
        }
    }
    world.control(["killall"]).run();
}

/// Creates a world with an ended task that has a log, and a running task. Also returns the pid of its launcher.
fn prepared() -> (World, i32) {
    let world = World::new();
    world.launch(["--name", "ended", "sh", "-c", "echo line; exit 4"]).run();
    let launcher = world.launched(["--name", "live", "--feedpath", ".", "--timeout", "1h", "sleep", "1000"]).0.pid();
    (world, launcher)
}

/// Returns the calls of all processes of a supervised start. Each process fails at its own call with an index.
fn calls_of_supervision(world: &World, strace: &Path) -> Calls {
    let trace = world.path("trace");
    let mut command = world.command(strace);
    command.command.args(["-f", "-qq", "-y", "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_supervise"));
    let daemon = command.arg("-n").arg("-c").arg(world.path("t.toml")).spawn();
    until("the program to run", || world.ctl(&["status"]).text().contains("RUNNING"));
    world.ctl(&["shutdown"]);
    daemon.wait();
    let text = fs::read_to_string(&trace).unwrap();
    let mut processes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((pid, call)) = line.split_once(char::is_whitespace) {
            processes.entry(pid).or_default().push(call.trim_start());
        }
    }
    let mut all = Calls::new();
    for (call, numbers) in processes.into_values().flat_map(|lines| calls_in(lines.into_iter())) {
        let known = all.entry(call).or_default();
        known.extend(numbers);
        known.sort_unstable();
        known.dedup();
    }
    all
}

#[test]
fn a_supervised_start_survives_each_call_that_fails() {
    let Some(strace) = strace() else { return };
    let program = "[programs.one]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 0\nstopwaitsecs = 2\n";
    let counted = World::new();
    counted.configure(program);
    let calls = calls_of_supervision(&counted, &strace);
    drop(counted);
    let (mut refused, mut ran) = (0, 0);
    for fault in some(&calls, 25) {
        let world = World::new();
        world.configure(program);
        let inject = format!("inject={}:error={}:when={}", fault.call, fault.error, fault.at);
        let trace = format!("trace={}", fault.call);
        let conf = world.path("t.toml");
        let args = ["-n", "-c", conf.to_str().unwrap()];
        let mut daemon =
            traced(&world, &strace, &["-f", "-e", &trace, "-e", &inject], env!("CARGO_BIN_EXE_supervise"), &args)
                .spawn();
        until(&format!("{fault:?}: the supervisor to be ready or to end"), || {
            // The message itself may be what could not be written.
            daemon.has_ended() || world.log().contains("INFO ready") || world.ctl(&["version"]).code == 0
        });
        if daemon.has_ended() {
            refused += 1;
            let end = daemon.wait();
            is_calm(&end, fault);
            assert!(!end.err.is_empty() || !world.log().is_empty(), "{fault:?}: no reason: {end:?}");
        } else {
            ran += 1;
            // Whatever happened to the program, the supervisor responds and knows each of its processes.
            until(&format!("{fault:?}: an answer: {}", world.log()), || world.ctl(&["status"]).text().contains("one"));
            let sleeping = || {
                world.processes_with(world.path("").to_str().unwrap()).into_iter().filter(|pid| is_sleep(*pid)).count()
            };
            assert!(sleeping() <= 1, "{fault:?}: it runs twice: {}", world.log());
            let asked = world.ctl(&["shutdown"]);
            if asked.code != 0 {
                world.ctl(&["shutdown"]);
            }
            until(&format!("{fault:?}: the supervisor to end: {}", world.log()), || daemon.has_ended());
            let end = daemon.wait();
            is_calm(&end, fault);
        }
        until(&format!("{fault:?}: its processes to be gone: {}", world.log()), || world.processes().is_empty());
        if world.db().exists() {
            world.control(["list"]).run();
            world.is_verified();
        }
    }
    println!("a supervised start: {refused} refused, {ran} ran");
}

fn is_sleep(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"))
}

/// Makes the next calls of a running process fail, as long as the returned strace runs.
fn attached<'w>(world: &'w World, strace: &Path, pid: i32, inject: &[&str]) -> Started<'w> {
    let mut command = world.command(strace);
    command.command.args(["-qq", "-o", "/dev/null", "-p", &pid.to_string()]);
    for what in inject {
        let call = what.split(':').next().unwrap();
        command.command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={what}")]);
    }
    let started = command.spawn();
    let traced = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    until("strace to be attached", || !traced().contains("TracerPid:\t0\n"));
    started
}

/// A program with another process in its group.
const PAIR: &str = "[programs.one]\ncommand = \"sh\"\nargs = [\"-c\", \"sleep 1000 & sleep 1000; :\"]\nstartsecs = 0\n\
                    stopasgroup = true\nstopwaitsecs = 60\n";

#[test]
fn a_signal_reaches_a_group_that_its_launcher_cannot_look_at_for_a_moment() {
    let Some(strace) = strace() else { return };
    let world = World::new();
    world.configure(PAIR);
    let daemon = world.daemon();
    world.comes_to("one", "RUNNING");
    until("the member", || world.processes().into_iter().filter(|pid| is_sleep(*pid)).count() == 2);
    let shim = shim_of(world.pid("one"));
    let _strace = attached(&world, &strace, shim, &["openat:error=EIO:when=1..9"]);
    let stopped = world.ctl(&["stop", "one"]);
    assert_eq!(stopped.text(), "one: stopped\n", "{}", world.log());
    assert_eq!(world.state("one"), "STOPPED", "{}", world.log());
    assert!(!world.log().contains("UNKNOWN") && !world.log().contains("killing"), "{}", world.log());
    until("nothing to be left", || !world.processes().into_iter().any(is_sleep));
    daemon.end();
}

#[test]
fn a_signal_reaches_a_run_without_a_launcher_that_cannot_be_opened_for_a_moment() {
    let Some(strace) = strace() else { return };
    for group in ["true", "false"] {
        let world = World::new();
        world.configure(&PAIR.replace("stopasgroup = true", &format!("stopasgroup = {group}")));
        let daemon = world.daemon();
        world.comes_to("one", "RUNNING");
        let leader = world.pid("one");
        kill_and_see(shim_of(leader));
        until("the loss of the launcher to be seen", || world.log().contains("its shim is gone"));
        let _strace =
            attached(&world, &strace, daemon.started.as_ref().unwrap().pid(), &["pidfd_open:error=EMFILE:when=1..3"]);
        let stopped = world.ctl(&["stop", "one"]);
        assert_eq!(stopped.text(), "one: stopped\n", "{}", world.log());
        let log = world.log();
        assert!(log.contains("SIGTERM was not sent yet") && !log.contains("UNKNOWN"), "{log}");
        until("the leader to be gone", || !is_alive(leader));
        daemon.end();
    }
}
