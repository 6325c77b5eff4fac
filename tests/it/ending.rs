//! How `launch` ends a task: because of its heartbeat, its limits or a signal; always with its whole tree, and nothing
//! else.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{fs, time::Duration};

use crate::support::{Program, Started, World, eventually, timed, until};
use nix::sys::signal::Signal;

/// Returns a task with feedback in the current folder; `$f` is the file.
fn feedback<'w>(world: &'w World, options: &[&str], script: &str) -> Program<'w> {
    let script = format!("f=$TASKWATCHER_FEEDBACK; {script}");
    let head = ["--feedpath", "."].iter().chain(options).copied();
    world.launch(head.chain(["sh", "-c", &script]).collect::<Vec<_>>())
}

/// Starts a command that prints `ready` when it is ready.
fn started<'w>(world: &'w World, options: &[&str], script: &str) -> Started<'w> {
    let head = options.iter().copied();
    let run = world.launch(head.chain(["sh", "-c", script]).collect::<Vec<_>>()).spawn();
    until("the command to be ready", || run.stdout().ends_with("ready\n"));
    run
}

// ---- timeout and run-time limit

#[test]
fn silence_ends_it_near_the_timeout() {
    let world = World::new();
    let (ran, took) = timed(|| feedback(&world, &["--timeout", "1s"], "sleep 1000").run());
    ran.says(124, &["ended task 1", "no heartbeat for 1s"]);
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    let row = world.end();
    assert_eq!(row.text("outcome"), "ERROR: no heartbeat for 1s");
    assert_eq!((row.int("exitcode"), row.text("termsignal"), row.text("ended_by")), (124, "SIGTERM", "timeout"));
    assert!(row.real("duration") >= 1.0 && row.real("duration") < 4.0);
}

#[test]
fn the_timeout_counts_from_the_last_heartbeat_between_two_checks() {
    // The launcher checks at 25, 50 and 100 % of the timeout; the heartbeats come in between.
    let ends_after = |pause: f64| {
        let world = World::new();
        let script = format!("echo '[a]1' > $f; sleep {pause}; echo '[a]2' >> $f; date +%s.%N; sleep 1000");
        feedback(&world, &["--timeout", "2s"], &script).run().says(124, &["no heartbeat for 2s"]);
        let row = world.last();
        let ran = row.real("duration") - pause;
        assert!((1.99..4.0).contains(&ran), "{pause}: ended {ran} s after its last beat");
        assert_eq!(row.text("feedback"), r#"{"a":"2"}"#);
    };
    std::thread::scope(|scope| [0.2, 0.7, 1.4, 1.75].map(|pause| scope.spawn(move || ends_after(pause))).map(drop));
}

#[test]
fn a_task_that_beats_lives() {
    let world = World::new();
    let script = "for i in 1 2 3 4 5 6 7 8; do echo \"[i]$i\" > $f; sleep 0.3; done";
    // The whole run is longer than the timeout, which allows delays between heartbeats on a busy machine.
    feedback(&world, &["--timeout", "2s"], script).run().silent(0);
    assert_eq!(world.end().text("feedback"), r#"{"i":"8"}"#);
}

#[test]
fn touching_or_replacing_the_file_is_a_beat_too() {
    let world = World::new();
    let script = "for i in 1 2 3 4; do touch $f; sleep 0.3; echo '[a]1' > x; mv x $f; sleep 0.3; done";
    feedback(&world, &["--timeout", "2s"], script).run().silent(0);
}

#[test]
fn the_default_timeout_is_30_seconds_and_in_the_row() {
    let world = World::new();
    let run = feedback(&world, &[], "echo ready; exec sleep 1000").spawn();
    until("the command", || run.stdout() == "ready\n");
    let row = world.task();
    assert_eq!((row.real("timeout"), row.int("feedback")), (30.0, 1));
    assert_eq!(row.text("feedpath"), world.work().join("feedback_1.log").to_str().unwrap());
}

#[test]
fn silence_is_stored_while_it_lasts() {
    let world = World::new();
    let run = feedback(&world, &["--timeout", "4s"], "sleep 1000").spawn();
    for status in ["SILENT", "STALLED"] {
        until(status, || world.tasks().first().is_some_and(|row| row.text("status") == status));
    }
    fs::write(world.work().join("feedback_1.log"), "[a]1\n").unwrap();
    drop(run);
}

#[test]
fn the_longest_run_ends_even_a_task_that_beats() {
    let world = World::new();
    let script = "while :; do echo '[a]1' > $f; sleep 0.1; done";
    let options = ["--timeout", "60s", "--max-runtime", "700ms"];
    let (ran, took) = timed(|| feedback(&world, &options, script).run());
    ran.says(124, &["ran longer than 0.7s"]);
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(10), "{took:?}");
    let row = world.end();
    assert_eq!((row.text("outcome"), row.text("ended_by")), ("ERROR: ran longer than 0.7s", "max-runtime"));
    // Also without feedback.
    world.launch(["--max-runtime", "0.3", "sleep", "1000"]).run().says(124, &["ran longer than 0.3s"]);
}

#[test]
fn the_stop_signal_is_as_asked() {
    let world = World::new();
    let script = "exec 2>/dev/null; trap 'echo int; exit 0' INT; trap 'echo term' TERM; while :; do sleep 0.05; done";
    let ran = world.launch(["--max-runtime", "0.4", "--stop-signal", "int", "sh", "-c", script]).run();
    assert_eq!(ran.text(), "int\n");
    let row = world.end();
    assert!(row.is_null("termsignal"), "it exited: {row:?}");
    assert_eq!(row.int("exitcode"), 124);
}

#[test]
fn a_command_that_ignores_the_stop_signal_is_killed() {
    let world = World::new();
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    let options = ["--max-runtime", "0.3", "--kill-after", "0.4"];
    let (ran, took) = timed(|| world.launch(options.iter().copied().chain(["sh", "-c", script])).run());
    ran.says(124, &["ran longer"]);
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(world.end().text("termsignal"), "SIGKILL");
}

#[test]
fn a_stopped_command_is_ended_too() {
    let world = World::new();
    let script = "kill -STOP $$; echo resumed";
    world.launch(["--max-runtime", "0.3", "sh", "-c", script]).run().says(124, &["ran longer"]);
    assert_eq!(world.end().text("termsignal"), "SIGTERM", "without waiting for SIGKILL");
}

// ---- signals to the launcher

#[test]
fn a_signal_to_the_launcher_ends_the_task() {
    let world = World::new();
    let me = format!("{} (", taskwatcher::io::sys::login());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let run = started(&world, &[], "echo ready; exec sleep 1000");
        run.signal(signal);
        let by = format!("killed by {me}{signal}, pid {})", std::process::id());
        run.wait().says(128 + signal as i32, &["ended task", &by]);
        let row = world.last();
        assert_eq!(row.text("outcome"), format!("ERROR: {by}"));
        assert_eq!(row.text("termsignal"), signal.as_str());
        assert_eq!(row.int("exitcode"), 128 + signal as i64);
        assert_eq!(format!("killed by {}", row.text("ended_by")), by);
    }
}

/// Sends a signal by number, which may be a real-time signal.
fn send(world: &World, number: i32, pid: i32) {
    world.sh(&format!("kill -{number} {pid}")).run().silent(0);
}

#[test]
fn every_signal_that_can_be_caught_ends_the_command_too() {
    let world = World::new();
    let rest = [4, 5, 6, 7, 8, 11, 14, 16, 24, 25, 26, 27, 29, 30, 31, 34, 37, 64];
    std::thread::scope(|scope| {
        for number in rest {
            let world = &world;
            scope.spawn(move || {
                let run = started(world, &["--name", &number.to_string()], "echo ready; exec sleep 1000");
                send(world, number, run.pid());
                let code = run.wait().code;
                assert_eq!(code, 128 + number, "of signal {number}");
            });
        }
    });
    let ends = world.history();
    assert_eq!((ends.len(), world.tasks().len()), (rest.len(), 0));
    for end in ends {
        let number: i32 = end.text("taskname").parse().unwrap();
        let sent = taskwatcher::model::task::Signal(number);
        assert!(end.text("outcome").contains(&format!("({sent}, pid ")), "{end:?}");
        // Signals with a meaning between cooperating programs must not be used to end others.
        let reached = if number < 34 { sent.to_string() } else { "SIGTERM".to_owned() };
        assert_eq!(end.text("termsignal"), reached, "{end:?}");
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_so() {
    let world = World::new();
    let script = "trap '' ALRM; exec \"$LAUNCH\" sh -c 'echo ready; exec sleep 1000'";
    let run = world.sh(script).spawn();
    until("the command", || run.stdout() == "ready\n");
    send(&world, 14, run.pid());
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait().code, 143, "SIGALRM would have been first");
}

#[test]
fn as_pid_one_of_a_container_it_ends_its_task_in_order() {
    let world = World::new();
    let namespaces = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if world.command("unshare").arg_all(namespaces).arg("true").run().code != 0 {
        eprintln!("skipped: no namespaces here");
        return;
    }
    for (number, code) in [(14, 142), (37, 165)] {
        let inner = "exec \"$LAUNCH\" sh -c 'echo ready; exec sleep 1000'";
        let run = world.command("unshare").arg_all(namespaces).arg_all(["sh", "-c", inner]).spawn();
        until("the command", || run.stdout() == "ready\n");
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.pid())).unwrap();
        send(&world, number, children.trim().parse().unwrap());
        assert_eq!(run.wait().code, code);
        let outcome = world.last();
        assert!(outcome.text("outcome").ends_with("from outside the container)"), "{outcome:?}");
    }
}

#[test]
fn its_exit_code_is_that_of_the_signal_regardless_of_the_command() {
    let world = World::new();
    let run = started(&world, &[], "exec 2>/dev/null; trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    run.signal(Signal::SIGTERM);
    run.wait().says(143, &["SIGTERM"]);
    assert!(world.end().is_null("termsignal"), "no signal ended it: {:?}", world.end());
    assert_eq!(world.end().text("result"), "error");
}

#[test]
fn asking_twice_kills_at_once() {
    let world = World::new();
    let run = started(
        &world,
        &["--kill-after", "1h"],
        "exec 2>/dev/null; trap 'echo heard' INT; echo ready; while :; do sleep 0.05; done",
    );
    run.signal(Signal::SIGINT);
    until("the first to arrive", || run.stdout().ends_with("heard\n"));
    run.signal(Signal::SIGINT);
    run.wait().says(130, &["SIGINT"]);
    assert_eq!(world.end().text("termsignal"), "SIGKILL");
}

#[test]
fn an_interrupt_by_a_process_is_an_exit_code() {
    let world = World::new();
    let run = started(&world, &[], "echo ready; exec sleep 1000");
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code, 130);
    // If only the command is interrupted, its launcher does not die of that signal.
    assert_eq!(world.launch(["sh", "-c", "kill -INT $$"]).run().code, 130);
}

#[test]
fn other_signals_are_passed_on() {
    let world = World::new();
    let script = "exec 2>/dev/null; trap 'echo one' USR1; trap 'echo two' USR2; trap 'exit 6' WINCH; echo ready; while :; do sleep 0.05; done";
    let run = started(&world, &[], script);
    run.signal(Signal::SIGUSR1);
    until("USR1", || run.stdout().ends_with("one\n"));
    run.signal(Signal::SIGUSR2);
    until("USR2", || run.stdout().ends_with("two\n"));
    run.signal(Signal::SIGWINCH);
    run.wait().silent(6);
}

#[test]
fn an_ignored_hangup_stays_ignored_and_an_interrupt_by_a_process_is_handled() {
    let world = World::new();
    nix::unistd::mkfifo(&world.work().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = "trap '' INT QUIT HUP; exec \"$LAUNCH\" sh -c 'echo ready; read x < fifo; exit 5'";
    for (signal, code) in [(Signal::SIGHUP, 5), (Signal::SIGINT, 130), (Signal::SIGQUIT, 131)] {
        let run = world.sh(script).spawn();
        until("the command", || run.stdout() == "ready\n");
        run.signal(signal);
        if signal == Signal::SIGHUP {
            fs::write(world.work().join("fifo"), "\n").unwrap();
        }
        assert_eq!(run.wait().code, code, "{signal}");
    }
}

#[test]
fn the_command_may_be_signalled_by_others() {
    let world = World::new();
    let run = started(&world, &[], "echo ready; exec sleep 1000");
    let row = eventually("its pid", || Some(world.task()).filter(|row| !row.is_null("pid")));
    nix::sys::signal::killpg(nix::unistd::Pid::from_raw(row.int("pid") as i32), Signal::SIGALRM).unwrap();
    run.wait().silent(128 + 14);
    assert_eq!((world.end().text("outcome"), world.end().text("ended_by")), ("ERROR: killed by SIGALRM", "itself"));
}

/// Starts a command that waits without a child (a child that is stopped between vfork and exec keeps its parent from
/// being stopped). Also returns its pid.
fn waiting<'w>(world: &'w World, options: &[&str]) -> (Started<'w>, i32) {
    nix::unistd::mkfifo(&world.work().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = started(world, options, "echo $$ > pid; echo ready; read x < fifo");
    let command = world.line("work/pid").parse().unwrap();
    (run, command)
}

fn is_stopped(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().split(' ').nth(2) == Some("T")
}

#[test]
fn sigtstp_of_a_batch_system_pauses_the_command_and_its_limits() {
    let world = World::new();
    let (run, command) = waiting(&world, &["--max-runtime", "4s"]);
    run.signal(Signal::SIGTSTP);
    until("the command to be stopped", || is_stopped(command));
    let list = || serde_json::from_str::<serde_json::Value>(world.control(["list", "--json"]).run().text()).unwrap();
    until("it to be shown so", || list()[0]["paused"] == true);
    assert_eq!(list()[0]["status"], "RUNNING", "what programs know stays");
    let shown = world.control(["show", "1"]).run().silent(0);
    assert!(shown.text().lines().any(|line| line.starts_with("status ") && line.ends_with(" PAUSED")), "{shown:?}");
    // Longer than the run-time limit.
    world.launch(["sleep", "5"]).run().silent(0);
    assert!(is_stopped(command), "{}", run.stderr());
    run.signal(Signal::SIGCONT);
    until("the command to go on", || !is_stopped(command));
    run.wait().says(124, &["ran longer than 4s"]);
    assert!(world.history()[0].real("duration") >= 8.9, "{:?}", world.history());
}

#[test]
fn show_reports_that_a_launcher_is_stopped_and_watches_nothing() {
    let world = World::new();
    let (run, command) = waiting(&world, &[]);
    let note = || serde_json::from_str::<serde_json::Value>(world.control(["show", "1", "--json"]).run().text());
    assert!(note().unwrap()["note"].is_null());
    run.signal(Signal::SIGSTOP);
    until("the launcher to be stopped", || is_stopped(run.pid()));
    let said = note().unwrap();
    assert!(said["note"].as_str().unwrap().ends_with(&format!("kill -CONT {}", run.pid())), "{said}");
    // The command continues, but nothing watches it.
    assert_eq!((&said["status"], &said["paused"]), (&"RUNNING".into(), &true.into()));
    assert!(!is_stopped(command));
    run.signal(Signal::SIGCONT);
    until("the launcher to go on", || note().unwrap()["note"].is_null());
    fs::write(world.work().join("fifo"), "\n").unwrap();
    run.wait().silent(0);
}

#[test]
fn a_paused_command_is_still_ended() {
    let world = World::new();
    let (run, command) = waiting(&world, &["--kill-after", "1h"]);
    run.signal(Signal::SIGTSTP);
    until("the command to be stopped", || is_stopped(command));
    run.signal(Signal::SIGTERM);
    run.wait().says(143, &["SIGTERM"]);
    assert_eq!(world.end().text("termsignal"), "SIGTERM");
}

// ---- the whole tree

/// Leaves processes behind in every possible way: in the background, in another session, forked twice, ignoring the
/// polite signals, without the task's environment. The marker is in their arguments.
const FOREST: &str = r#"
    deaf='trap "" TERM INT HUP QUIT; while :; do sleep 0.05; done'
    sh -c "$deaf" marker-$1 &
    setsid sh -c "$deaf" marker-$1 &
    (setsid sh -c "$deaf" marker-$1 &)
    (env -i setsid sh -c "(sh -c '$deaf' marker-$1 &); $deaf" marker-$1 &)
    sh -c 'kill -STOP $$; sleep 1000' marker-$1 &
    trap '' TERM INT
    echo ready
    while :; do sleep 0.05; done
"#;

fn forest<'w>(world: &'w World, options: &[&str], marker: &str) -> Started<'w> {
    let script = format!("cd /; {FOREST}");
    let head = options.iter().copied();
    let run = world.launch(head.chain(["sh", "-c", &script, "sh", marker]).collect::<Vec<_>>()).spawn();
    let grown = || world.processes_with(&format!("marker-{marker}")).len() >= 6;
    until("the forest to be grown", grown);
    run
}

#[test]
fn after_a_timeout_nothing_of_the_tree_is_alive() {
    let world = World::new();
    let marker = format!("timeout-{}", std::process::id());
    let run = forest(&world, &["--max-runtime", "1.5", "--kill-after", "0.3"], &marker);
    run.wait().says(124, &["ran longer"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
    assert_eq!(world.end().text("termsignal"), "SIGKILL");
}

#[test]
fn after_a_signal_nothing_of_the_tree_is_alive() {
    let world = World::new();
    let marker = format!("signal-{}", std::process::id());
    let run = forest(&world, &["--kill-after", "0.3"], &marker);
    run.signal(Signal::SIGTERM);
    run.wait().says(143, &["SIGTERM"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
}

#[test]
fn a_tree_whose_root_obeys_is_ended_whole() {
    let world = World::new();
    let marker = format!("root-{}", std::process::id());
    let script = format!("setsid sh -c 'trap \"\" TERM; while :; do sleep 0.05; done' {marker} & echo ready; wait");
    let run = started(&world, &["--kill-after", "0.3"], &script);
    until("the deaf child", || !world.processes_with(&marker).is_empty());
    run.signal(Signal::SIGTERM);
    run.wait().says(143, &["SIGTERM"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
    assert_eq!(world.end().text("termsignal"), "SIGTERM", "of the command itself");
}

#[test]
fn a_tree_that_keeps_forking_is_ended_whole() {
    let world = World::new();
    let marker = format!("fork-{}", std::process::id());
    // Each generation lives for a moment and starts its successor.
    let generation = world.program("generation", "#!/bin/sh\ntrap '' TERM\nsetsid \"$0\" \"$1\" &\nsleep 0.02\n");
    let script =
        format!("trap '' TERM; '{0}' {marker} & '{0}' {marker} & echo ready; sleep 1000", generation.display());
    let run = started(&world, &["--kill-after", "0.2"], &script);
    run.signal(Signal::SIGTERM);
    run.wait().says(143, &["SIGTERM"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
}

#[test]
fn children_from_before_the_launch_do_not_belong_to_the_task() {
    let world = World::new();
    let marker = format!("before-{}", std::process::id());
    let script = format!(
        "sh -c 'sleep 1000 & wait' {marker}-old & exec \"$LAUNCH\" --max-runtime 0.5 --kill-after 0.1 \
         sh -c 'sh -c \"sleep 1000 & wait\" {marker}-new & wait'"
    );
    let run = world.sh(&script).spawn();
    until("the old child", || !world.processes_with(&format!("{marker}-old")).is_empty());
    run.wait().says(124, &["ran longer"]);
    assert_eq!(world.processes_with(&format!("{marker}-new")), [0; 0]);
    let old = world.processes_with(&format!("{marker}-old"));
    assert!(!old.is_empty(), "the shell's own child lives on");
    assert_eq!(world.end().int("exitcode"), 124);
}

#[test]
fn background_processes_of_a_finished_command_live_on_and_delay_nothing() {
    let world = World::new();
    let marker = format!("daemon-{}", std::process::id());
    // It holds all pipes.
    let script = format!("sh -c 'trap \"\" PIPE; sleep 1000; :' {marker} & exit 3");
    let (ran, took) = timed(|| world.launch(["sh", "-c", &script]).run());
    ran.silent(3);
    assert!(took < Duration::from_secs(5), "{took:?}");
    until("the daemon alone", || world.processes_with(&marker).len() == 1);
    assert_eq!(world.end().int("exitcode"), 3);
    // Also if `launch` writes into a pipe that the child keeps open.
    let script =
        format!("{{ \"$LAUNCH\" sh -c \"sleep 1000 & echo hi\"; echo ended > \"$W/ended\"; }} | cat > \"$W/{marker}\"");
    let run = world.sh(&script).spawn();
    assert_eq!(world.line("ended"), "ended");
    assert_eq!(world.history().len(), 2);
    drop(run);
}

#[test]
fn a_timeout_also_ends_background_processes_of_a_running_command() {
    let world = World::new();
    let marker = format!("left-{}", std::process::id());
    let script = format!("(setsid sh -c 'sleep 1000; :' {marker} &); sleep 1000");
    world.launch(["--max-runtime", "0.5", "sh", "-c", &script]).run().says(124, &["ran longer"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
}

// ---- no polling

#[test]
fn an_idle_launcher_sleeps() {
    let world = World::new();
    let run = started(&world, &[], "echo ready; exec sleep 1000");
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
        crate::support::field(&status, "voluntary_ctxt_switches").parse::<u64>().unwrap()
    };
    // The launcher wakes once more, to close the database. Other wake-ups, such as a page fault of its program on a
    // slow disk, happen only once.
    until("the database to be closed", || !run.has_open("tasks.db"));
    until("a second in which it sleeps", || {
        let before = switches();
        world.launch(["sleep", "1"]).run();
        switches() <= before + 1
    });
}

/// Returns the CPU time of a process, in ticks of the kernel.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    [11, 12].map(|index: usize| fields[index].parse::<u64>().unwrap()).iter().sum()
}

#[test]
fn a_launcher_sleeps_while_a_child_ignores_the_stop_signal() {
    let world = World::new();
    let script = "(trap '' TERM; echo ready; exec sleep 1000) & exec sleep 1000";
    let run = started(&world, &["--kill-after", "1h"], script);
    run.signal(Signal::SIGTERM);
    let command = eventually("its pid", || Some(world.task()).filter(|row| !row.is_null("pid"))).int("pid");
    until("the command's end", || !std::path::Path::new(&format!("/proc/{command}")).exists());
    // After the second in which a child may still add to the output.
    world.launch(["--no-log", "sleep", "2"]).run().silent(0);
    until("a second in which it sleeps", || {
        let before = ticks(run.pid());
        world.launch(["--no-log", "sleep", "1"]).run();
        ticks(run.pid()) <= before + 3
    });
    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait().code, 143);
}

// ---- processes that cannot be ended

/// An ordinary user.
const OTHER: u32 = 65_534;

/// Builds a set-uid program that changes to root and then executes another program. `None` if that is not possible
/// here.
fn rooter(world: &World) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let setpriv = world.sh("command -v setpriv").run();
    if !nix::unistd::geteuid().is_root() || setpriv.code != 0 {
        return None;
    }
    for path in [world.path(""), world.work()] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let path = world.path("rooter");
    fs::copy(setpriv.text().trim(), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    let command = format!("{} --reuid 0 --regid 0 --clear-groups", path.display());
    // The folder may be mounted without set-uid, or the build folder inaccessible to other users.
    let tried = world.sh(&format!("\"$LAUNCH\" --db tried.db {command} id -u")).user(OTHER).run();
    (tried.text() == "0\n").then_some(command)
}

#[test]
fn a_process_that_may_not_be_signalled_is_named_and_its_exit_is_not_attributed_to_a_signal() {
    let world = World::new();
    let Some(rooter) = rooter(&world) else { return eprintln!("skipped: no set-uid root here") };
    let script = format!("exec {rooter} sh -c 'read stop < go; exit 0'");
    nix::unistd::mkfifo(&world.work().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let options = ["--max-runtime", "0.5", "--kill-after", "0.5", "sh", "-c", &script];
    let run = world.launch(options).user(OTHER).spawn();
    until("a line that tells why it goes on", || run.stderr().ends_with('\n'));
    let row = world.task();
    let said = format!("process {} (sh) belongs to root; end it as that user: kill -KILL {0}", row.int("pid"));
    assert_eq!(run.stderr(), format!("launch: cannot end task {}: {said}\n", row.int("id")));
    // Readers see it too.
    let shown = world.control(["list", "--json"]).run().silent(0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(shown.text()).unwrap()[0]["note"], said);
    fs::write(world.work().join("go"), "\n").unwrap();
    let ran = run.wait();
    assert_eq!((ran.code, ran.err.lines().count()), (124, 2), "{ran:?}");
    let end = world.last();
    assert_eq!(end.text("outcome"), "ERROR: ran longer than 0.5s");
    assert!(end.is_null("termsignal"), "it exited with 0: {end:?}");
    let log = world.control(["log", &end.int("taskid").to_string(), "--no-time"]).run();
    assert!(log.text().starts_with(&format!("[cannot be ended: {said}]\n")), "{log:?}");
}

#[test]
fn control_kill_names_processes_that_cannot_be_ended_and_root_ends_them() {
    let world = World::new();
    let Some(rooter) = rooter(&world) else { return eprintln!("skipped: no set-uid root here") };
    let script = format!("{rooter} sleep 1000 & echo ready; wait");
    let mut launch = world.launch(["--kill-after", "0.5", "sh", "-c", &script]).user(OTHER).spawn();
    until("the command", || launch.stdout() == "ready\n");
    let id = world.task().int("id").to_string();
    let named = ["cannot end task", "(sleep) belongs to root; end it as that user: kill -KILL"];
    world.control(["kill", &id]).user(OTHER).run().says(1, &named);
    assert!(!launch.has_ended());
    world.control(["kill", &id]).run().silent(0);
    assert_eq!(launch.wait().code, 143);
}

#[test]
fn a_child_in_another_session_is_ended_where_pidfds_are_refused() {
    let world = World::new();
    let inject = ["-qq", "-e", "trace=none", "-e", "inject=pidfd_open,pidfd_send_signal:error=ENOSYS"];
    if world.sh("command -v strace && strace -qq -e trace=none true").run().code != 0 {
        return eprintln!("skipped: no strace here");
    }
    let marker = format!("refused-{}", std::process::id());
    let script = format!(
        "deaf='trap \"\" TERM; while :; do sleep 0.05; done'; setsid sh -c \"$deaf\" {marker} & \
         (setsid sh -c \"(setsid sh -c '$deaf' {marker} &); $deaf\" {marker} &); wait"
    );
    let mut launch = world.command("strace").arg_all(inject).arg(env!("CARGO_BIN_EXE_launch"));
    launch = launch.arg_all(["--max-runtime", "1", "--kill-after", "0.3", "sh", "-c", &script]);
    launch.run().says(124, &["ran longer than 1s"]);
    assert_eq!(world.processes_with(&marker), [0; 0]);
}
