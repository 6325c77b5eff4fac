//! `launch` on a real terminal: which process is in the foreground, and what Ctrl-C and Ctrl-Z do, with and without a
//! shell.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::process::{Command, Stdio};

use crate::support::{
    World, eventually,
    pty::{Kind, Terminal},
    until,
};
use nix::unistd::tcgetpgrp;

/// A terminal that can only print.
const DUMB: Kind = Kind { term: "dumb", prompt: "PROMPT> ", size: None, returns: false };

impl<'w> Terminal<'w> {
    fn dumb(world: &'w World, program: &str, args: &[&str]) -> Terminal<'w> {
        Terminal::open(world, &DUMB, program, args)
    }

    /// Starts an interactive shell with job control.
    fn bash(world: &'w World) -> Terminal<'w> {
        let terminal = Terminal::dumb(world, "bash", &["--norc", "--noprofile", "--noediting", "-i"]);
        terminal.shows("PROMPT> ");
        terminal
    }

    /// Returns the process group in the foreground.
    fn foreground(&self) -> i32 {
        tcgetpgrp(&self.keyboard).unwrap().as_raw()
    }
}

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// Creates a FIFO on which a command can wait without a child: a child that is stopped between vfork and exec keeps its
/// parent from being stopped, under any shell.
fn fifo(world: &World) {
    nix::unistd::mkfifo(&world.work().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// Returns the command's pid, which the command wrote itself.
fn pid(world: &World) -> i32 {
    world.line("work/pid").parse().unwrap()
}

#[test]
fn the_command_has_the_foreground_and_gives_it_back() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in(
        "$LAUNCH sh -c 'echo $$ > pid; test -t 0 && test -t 1 && test -t 2 && echo is\"\"atty; read x; echo got-$x'\n",
    );
    tty.shows("isatty\n");
    assert_eq!(i64::from(tty.foreground()), world.task().int("launcher_pid"));
    assert!(leads_its_terminal(pid(&world)));
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    tty.shows("PROMPT> ");
    tty.type_in("echo code-$?\n");
    tty.shows("code-0\n");
    assert_eq!(world.end().text("outcome"), "OK");
}

#[test]
fn ctrl_c_ends_the_command() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    for (key, code, signal) in [(CTRL_C, 130, "SIGINT"), (CTRL_BACKSLASH, 131, "SIGQUIT")] {
        tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; sleep 1000'\n");
        tty.shows("ready\n");
        tty.type_in(key);
        tty.shows("PROMPT> ");
        tty.type_in("echo code-$?\n");
        tty.shows(&format!("code-{code}\n"));
        let row = world.last();
        assert_eq!((row.text("termsignal"), row.int("exitcode")), (signal, code));
        assert!(row.text("outcome").starts_with(&format!("ERROR: killed by {signal}")), "{}", row.text("outcome"));
    }
}

#[test]
fn a_command_may_handle_ctrl_c() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'trap \"echo hea\"\"rd; exit 3\" INT; echo rea\"\"dy; while :; do sleep 0.05; done'\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_C);
    tty.shows("heard\n");
    tty.shows("PROMPT> ");
    tty.type_in("echo code-$?\n");
    tty.shows("code-3\n");
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 3");
}

#[test]
fn ctrl_z_stops_it_and_fg_continues_it() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'echo $$ > pid; echo rea\"\"dy; read x; echo got-$x; read x; exit 5'\n");
    tty.shows("ready\n");
    for round in 1..=3 {
        tty.type_in(CTRL_Z);
        tty.shows("Stopped");
        tty.shows("PROMPT> ");
        assert_eq!(world.task().text("status"), "RUNNING");
        let list = world.control(["list"]).run().silent(0);
        assert!(list.text().contains(" PAUSED "), "{list:?}");
        tty.type_in("fg\n");
        tty.shows("LAUNCH");
        until("the foreground", || i64::from(tty.foreground()) == world.task().int("launcher_pid"));
        assert!(leads_its_terminal(pid(&world)));
        if round == 2 {
            tty.type_in("one\n");
            tty.shows("got-one\n");
        }
    }
    tty.type_in("two\n");
    tty.shows("PROMPT> ");
    tty.type_in("echo code-$?\n");
    tty.shows("code-5\n");
    assert_eq!(world.end().int("exitcode"), 5);
}

#[test]
fn time_spent_stopped_does_not_count_as_silence() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH --timeout 2 --feedpath . sh -c 'echo rea\"\"dy; read x; exit 5'\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.shows("Stopped");
    tty.shows("PROMPT> ");
    tty.type_in("sleep 2.5; fg\n");
    tty.shows("LAUNCH");
    tty.type_in("go\n");
    tty.shows("PROMPT> ");
    tty.type_in("echo code-$?\n");
    tty.shows("code-5\n");
}

#[test]
fn in_the_background_it_runs_and_waits_for_the_foreground_when_it_reads() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    fifo(&world);
    tty.type_in("$LAUNCH sh -c 'echo $$ > pid; echo rea\"\"dy; read x < fifo; read x; echo got-$x'  & true\n");
    tty.shows("ready\n");
    let launcher = world.task().int("launcher_pid");
    assert_ne!(i64::from(tty.foreground()), launcher);
    std::fs::write(world.work().join("fifo"), "\n").unwrap();
    tty.type_in("fg\n");
    until("the foreground", || i64::from(tty.foreground()) == launcher);
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    // Earlier input still belongs to the command.
    tty.shows("PROMPT> ");
    tty.type_in("echo code-$?\n");
    tty.shows("code-0\n");
}

/// Whether a process is in the foreground of its own terminal.
fn leads_its_terminal(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(5) == Some(&pid.to_string())
}

/// Returns the state of a process: T is stopped.
fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn tty_poke(tty: &mut Terminal<'_>) {
    tty.type_in("true\n");
    tty.shows("PROMPT> ");
}

#[test]
fn a_stopped_command_continues_in_the_background() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    fifo(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; read x < fifo; echo on > went; exit 0'\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.shows("Stopped");
    tty.type_in("bg\n");
    std::fs::write(world.work().join("fifo"), "\n").unwrap();
    assert_eq!(world.line("work/went"), "on");
    until("its end", || world.tasks().is_empty());
    assert_eq!(world.end().text("outcome"), "OK");
}

#[test]
fn in_a_pipeline_the_command_can_still_ask() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; read x < /dev/tty; echo got-$x' | cat; echo code-${PIPESTATUS[0]}\n");
    tty.shows("ready\n");
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    tty.shows("code-0\n");
    // Ctrl-C and Ctrl-Z reach all processes of the pipeline.
    fifo(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; read x < fifo' | cat; echo code-${PIPESTATUS[0]}\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.shows("Stopped");
    tty.type_in("fg\n");
    tty.shows("| cat\n");
    until("the foreground", || i64::from(tty.foreground()) == world.task().int("launcher_pid"));
    tty.type_in(CTRL_C);
    tty.shows("PROMPT> ");
    until("its end", || world.tasks().is_empty());
    assert!(world.last().text("outcome").contains("SIGINT"), "{}", world.last().text("outcome"));
}

#[test]
fn a_program_that_stops_itself_for_lack_of_the_terminal_gets_it() {
    let world = World::new();
    if world.sh("command -v top").run().code != 0 {
        return eprintln!("skipped: no top here");
    }
    let mut tty = Terminal::bash(&world);
    for option in ["", "--no-log"] {
        // The program catches SIGTTOU, restores its screen, and stops itself with SIGSTOP.
        tty.type_in(&format!("TERM=xterm $LAUNCH {option} -- top -n1 | head -2; echo en\"\"ded\n"));
        tty.shows("ended\n");
        tty.shows("PROMPT> ");
        until("its end", || world.tasks().is_empty());
    }
    assert_eq!(world.history().len(), 2);
}

#[test]
fn a_pipeline_whose_command_has_the_terminal_stops_whole() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; read x < /dev/tty; echo got-$x' | cat\n");
    tty.shows("ready\n");
    let row = eventually("its pid", || Some(world.task()).filter(|row| !row.is_null("pid")));
    until("the foreground", || i64::from(tty.foreground()) == row.int("pid"));
    tty.type_in(CTRL_Z);
    tty.shows("Stopped");
    tty.shows("PROMPT> ");
    tty.type_in("fg\n");
    tty.shows("| cat\n");
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    tty.shows("PROMPT> ");
}

#[test]
fn in_a_script_ctrl_z_stops_everything() {
    let world = World::new();
    world.program(
        "script",
        "#!/bin/sh\n\"$LAUNCH\" sh -c 'echo $$ > pid; echo rea\"\"dy; while :; do sleep 0.05; done'\necho after-$?\n",
    );
    let mut tty = Terminal::bash(&world);
    tty.type_in("$W/script\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.shows("Stopped");
    tty.shows("PROMPT> ");
    let state = || state(pid(&world));
    until("the command to be stopped", || state() == 'T');
    tty_poke(&mut tty);
    assert_eq!(state(), 'T', "and it stays stopped");
    let foreground = tty.foreground();
    tty.type_in("fg\n");
    until("the command to go on", || state() != 'T');
    until("the foreground", || tty.foreground() != foreground);
    tty.type_in(CTRL_C);
    tty.shows("PROMPT> ");
    until("its end", || world.tasks().is_empty());
    assert!(world.end().text("outcome").contains("SIGINT"));
}

#[test]
fn in_the_background_of_a_script_ctrl_c_is_ignored() {
    let world = World::new();
    fifo(&world);
    let mut tty = Terminal::bash(&world);
    tty.type_in("sh -c '$LAUNCH sh -c \"echo rea\\\"\\\"dy; read x < fifo; exit 6\" & wait'\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_C);
    tty.shows("PROMPT> ");
    std::fs::write(world.work().join("fifo"), "\n").unwrap();
    until("its end", || world.tasks().is_empty());
    assert_eq!(world.end().text("outcome"), "ERROR: exit code 6");
}

#[test]
fn without_a_shell_ctrl_z_does_not_hang_it() {
    let world = World::new();
    let launch = env!("CARGO_BIN_EXE_launch");
    let script = "echo ready; read x; echo got-$x; exit 4";
    let mut tty = Terminal::dumb(&world, launch, &["sh", "-c", script]);
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    assert_eq!(tty.wait(), 4);
}

#[test]
fn a_closed_terminal_ends_the_task() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; sleep 1000'\n");
    tty.shows("ready\n");
    let _ = tty.session.kill();
    let _ = tty.session.wait();
    until("its end", || world.tasks().is_empty());
    let row = world.end();
    assert!(row.text("outcome").contains("SIGHUP"), "{}", row.text("outcome"));
}

#[test]
fn waiting_for_another_task_is_reported_on_a_terminal() {
    let world = World::new();
    let mut other = world.launch(["--name", "n", "sleep", "1000"]).spawn();
    until("the other", || !world.tasks().is_empty());
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH --name n --if-running wait -- echo do\"\"ne\n");
    tty.shows("launch: waiting for task 1 (n) to end\n");
    assert!(!other.has_ended());
    world.control(["kill", "1"]).run().silent(0);
    tty.shows("done\n");
    other.wait();
}

#[test]
fn a_reader_that_goes_away_is_not_reported_as_a_failure() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH -- yes | head -1; echo en\"\"ded\n");
    let shown = tty.shows("ended\n");
    assert!(!shown.contains("SIGPIPE") && !shown.contains("failed"), "{shown}");
}

#[test]
fn waiting_for_a_lock_is_reported_on_a_terminal() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let mut lock = rusqlite::Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let tty = Terminal::dumb(&world, env!("CARGO_BIN_EXE_launch"), &["echo", "ran"]);
    tty.shows("launch: waiting for the database");
    drop(tx);
    tty.shows("ran\n");
    assert_eq!(tty.wait(), 0);
}

// ---- a terminal for the command, and its output in the log

/// Returns the log of task 1, without times.
fn log(world: &World) -> String {
    let ran = world.command(env!("CARGO_BIN_EXE_control")).arg("log").arg("1").arg("--no-time").run().silent(0);
    String::from_utf8_lossy(&ran.out).into_owned()
}

#[test]
fn output_on_a_terminal_is_logged() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH sh -c 'test -t 0 && test -t 1 && test -t 2 && echo is\"\"atty; printf \"\\033[31mred\\033[0m\\n\"; printf no-end; exit 4'; echo code-$?\n");
    tty.shows("isatty\n\x1b[31mred\x1b[0m\nno-end");
    tty.shows("launch: task 1 failed: exit code 4; see its output with: control log 1\n");
    tty.shows("code-4\n");
    assert_eq!(log(&world), "isatty\n\x1b[31mred\x1b[0m\nno-end\nTASK ERROR: exit code 4\n");
}

#[test]
fn a_failure_on_a_terminal_is_reported_once_in_its_own_line() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("$LAUNCH --max-runtime 0.2s sh -c 'echo rea\"\"dy; sleep 100'; echo code-$?\n");
    tty.shows("ran longer than 0.2s\nlaunch: see its output with: control log 1\ncode-124\n");
    tty.type_in("$LAUNCH sh -c 'printf partial; kill -TERM $$'; echo code-$?\n");
    tty.shows("partial\nlaunch: task 2 failed: killed by SIGTERM; see its output with: control log 2\n");
    tty.type_in("$LAUNCH --no-log sh -c 'exit 5'; echo code-$?\n");
    tty.shows("launch: task 3 failed: exit code 5\ncode-5\n");
    tty.type_in("$LAUNCH --quiet false; echo qui\"\"et-$?\n");
    tty.shows("quiet-1\n");
    assert!(!tty.text().contains("see its output"));
    tty.type_in("$LAUNCH nothing-there; echo code-$?\n");
    tty.shows("launch: cannot run nothing-there: No such file or directory\ncode-127\n");
}

#[test]
fn its_pseudo_terminal_follows_the_size_of_the_terminal() {
    let world = World::new();
    let tty = Terminal::dumb(&world, env!("CARGO_BIN_EXE_launch"), &["sh", "-c", SIZES]);
    tty.shows("0 0\n");
    let size = nix::pty::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    let set = |rows, columns| {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&tty.keyboard, size).unwrap();
    };
    set(size.ws_row, size.ws_col);
    tty.shows("33 77\n");
    set(10, 40);
    tty.shows("10 40\n");
    std::fs::write(world.path("go"), "").unwrap();
    assert_eq!(tty.wait(), 0);
}

const SIZES: &str = "trap 'stty size' WINCH; stty size; until [ -e $W/go ]; do sleep 0.05; done";

#[test]
fn the_terminal_is_left_as_it_was() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("stty -a > before; $LAUNCH sh -c 'stty raw -echo; exit 1'; stty -a > after; cmp before after && echo as\"\"before\n");
    tty.shows("asbefore\n");
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; stty -echo; kill -9 $PPID; sleep 100'; stty -a > after; cmp before after && echo as\"\"before\n");
    tty.shows("asbefore\n");
}

#[test]
fn at_the_end_of_a_pipeline_a_program_that_reads_single_keys_gets_them() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    let script = "cat; stty -icanon -echo < /dev/tty; echo rea\"\"dy; key=$(dd bs=1 count=1 < /dev/tty 2> /dev/null); stty icanon echo < /dev/tty; echo got-$key";
    tty.type_in(&format!("echo piped | $LAUNCH sh -c '{script}'\n"));
    tty.shows("piped\n");
    tty.shows("ready\n");
    tty.type_in("k");
    tty.shows("got-k\n");
    tty.shows("PROMPT> ");
}

#[test]
fn each_output_is_a_terminal_if_that_of_launch_is() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in(
        "$LAUNCH sh -c 'test -t 1 || test -t 2 && echo error-is\"\"atty >&2; echo out' > out; cat out; echo code-$?\n",
    );
    tty.shows("error-isatty\n");
    tty.shows("out\n");
    tty.shows("code-0\n");
    assert_eq!(log(&world).lines().count(), 3);
}

#[test]
fn ctrl_c_in_a_script_reaches_the_command_and_the_script() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    world.program(
        "script",
        "#!/bin/sh\ntrap 'echo script-heard; exit 7' INT\n$LAUNCH sh -c 'echo ready; exec sleep 1000'\necho went-on\n",
    );
    tty.type_in("$W/script; echo code-$?\n");
    tty.shows("ready\n");
    tty.type_in(CTRL_C);
    tty.shows("script-heard\n");
    tty.shows("code-7\n");
    until("its end", || world.tasks().is_empty());
    assert!(world.last().text("outcome").contains("SIGINT"), "{}", world.last().text("outcome"));
}

#[test]
fn ctrl_c_ends_a_script_of_bash_as_without_launch() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    // bash ends its script only if the program that it waited for died of the signal.
    for (options, redirect) in [("", ""), ("--no-log", ""), ("", " | cat"), ("", " >>$W/out")] {
        let script =
            format!("for n in 1 2; do $LAUNCH {options} sh -c 'echo x >>$W/ready; exec sleep 1000'{redirect}; done");
        world.program("script", format!("#!/bin/bash\n{script}\necho went-on\n"));
        tty.type_in("$W/script\n");
        until("the command", || world.path("ready").exists());
        tty.type_in(CTRL_C);
        tty.shows("PROMPT> ");
        tty.type_in("echo code-$?\n");
        tty.shows("code-130\n");
        until("its end", || world.tasks().is_empty());
        assert!(world.last().text("outcome").contains("SIGINT"), "{}", world.last().text("outcome"));
        std::fs::remove_file(world.path("ready")).unwrap();
    }
    assert_eq!(world.history().len(), 4);
}

#[test]
fn children_left_on_the_terminal_live_on() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    let child = "until [ -e $W/go ]; do sleep 0.05; done; echo late; echo > $W/lived";
    tty.type_in(&format!("$LAUNCH sh -c '({child}) & echo early'; echo code-$?\n"));
    tty.shows("early\n");
    tty.shows("code-0\n");
    std::fs::write(world.path("go"), "").unwrap();
    until("it to go on", || world.path("lived").exists());
}

#[test]
fn a_log_on_a_terminal_keeps_colours_and_no_other_sequences() {
    let world = World::new();
    let hostile = r"\033[31mred\033[0m\033]0;title\007\033[2Jx\n10%%\r20%%\n";
    world.launch(["printf", hostile]).run().silent(0);
    let tty = Terminal::dumb(&world, env!("CARGO_BIN_EXE_control"), &["log", "1", "--no-time"]);
    tty.shows("\x1b[31mred\x1b[0mx\x1b[0m\n20%\nTASK OK\n");
    assert_eq!(tty.wait(), 0);
    let tty = Terminal::dumb(&world, env!("CARGO_BIN_EXE_control"), &["log", "1", "--raw", "--no-time"]);
    tty.shows("\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2Jx\n10%20%\n");
    assert_eq!(tty.wait(), 0);
}

#[test]
fn states_have_colours_unless_no_color_is_set() {
    let world = World::new();
    world.launch(["false"]).run().silent(1);
    let tty = Terminal::dumb(&world, env!("CARGO_BIN_EXE_control"), &["history"]);
    tty.shows("\x1b[31mERROR: exit code 1\x1b[0m");
    tty.wait();
    let tty = Terminal::dumb(&world, "env", &["NO_COLOR=1", env!("CARGO_BIN_EXE_control"), "history"]);
    tty.shows("ERROR: exit code 1 ");
    assert!(!tty.text().contains('\x1b'));
    tty.wait();
}

/// A program as a user runs it, in tmux. Skipped where tmux or less is missing.
#[test]
fn full_screen_programs_work_in_tmux() {
    let has =
        |program: &str| Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !has("tmux") || !has("less") {
        return eprintln!("SKIPPED full_screen_programs_work_in_tmux: tmux or less is missing");
    }
    let world = World::new();
    let tmux = |args: &[&str]| {
        let socket = world.path("tmux");
        let mut program = world.command("tmux").arg("-S").arg(&socket).env("PS1", "PROMPT> ").env("TERM", "xterm");
        program.command.args(args);
        program.run()
    };
    std::fs::write(world.work().join("text"), (1..=999).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
    assert_eq!(
        tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "12",
            "exec env 'PS1=PROMPT> ' bash --norc --noprofile"
        ])
        .code,
        0
    );
    let screen = || String::from_utf8_lossy(&tmux(&["capture-pane", "-p"]).out).into_owned();
    let shows = |what: &str| until(what, || screen().contains(what));
    // tmux omits blanks at the end of a line.
    shows("PROMPT>");
    let keys = |keys: &str| assert_eq!(tmux(&["send-keys", keys]).code, 0);
    for key in ["$LAUNCH less text", "Enter"] {
        keys(key);
    }
    shows("line 11");
    for key in ["/line 500", "Enter"] {
        keys(key);
    }
    shows("line 510");
    assert_eq!(tmux(&["resize-window", "-x", "60", "-y", "20"]).code, 0);
    shows("line 518");
    keys("C-z");
    shows("Stopped");
    for key in ["fg", "Enter"] {
        keys(key);
    }
    shows("line 518");
    keys("q");
    until("the end", || !world.history().is_empty());
    assert_eq!(world.last().text("outcome"), "OK");
    tmux(&["kill-server"]);
}

#[test]
fn a_variable_that_names_the_terminal_names_that_of_the_command() {
    let world = World::new();
    let mut tty = Terminal::bash(&world);
    tty.type_in("export GPG_TTY=$(tty) TTY=/dev/null\n");
    tty.shows("PROMPT> ");
    tty.type_in("$LAUNCH sh -c 'test \"$GPG_TTY\" = \"$(tty)\" && echo $TTY own\"\"terminal'\n");
    tty.shows("/dev/null ownterminal\n");
    tty.shows("PROMPT> ");
    // Also if the output goes to the terminal under its other name.
    tty.type_in("$LAUNCH sh -c 'test \"$GPG_TTY\" = \"$(tty)\" && echo by other\"\"name' > /dev/tty 2>&1\n");
    tty.shows("by othername\n");
    tty.shows("PROMPT> ");
    // Without a pseudo-terminal, the command has the terminal of `launch`.
    tty.type_in("$LAUNCH --no-log sh -c 'test \"$GPG_TTY\" = \"$(tty)\" && echo outer\"\"terminal'\n");
    tty.shows("outerterminal\n");
}
