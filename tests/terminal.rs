//! `launch` on a real terminal: whose foreground it is, what Ctrl-C and Ctrl-Z do, with a shell around it and without.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{OpenptyResult, openpty},
    unistd::tcgetpgrp,
};
use support::{World, eventually, until};

/// A terminal with a session of its own in it.
struct Terminal<'w> {
    world: &'w World,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    session: Child,
}

impl<'w> Terminal<'w> {
    /// Runs a program as the leader of a session on a new terminal.
    fn run(world: &'w World, program: &str, args: &[&str]) -> Terminal<'w> {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        // The session must not hold its own terminal's other side.
        fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", program]).args(args);
        command.env_clear().envs(world.environment()).env("TERM", "dumb").env("PS1", "PROMPT> ").env("HISTFILE", "");
        command.current_dir(world.work()).stdin(stdio(&slave)).stdout(stdio(&slave)).stderr(stdio(&slave));
        let session = command.spawn().unwrap();
        drop((command, slave));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut reader = File::from(master.try_clone().unwrap());
        let seen = Arc::clone(&screen);
        // Ends when the last one has closed the terminal, at the latest with the world.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                seen.lock().unwrap().extend(bytes[..len].iter().filter(|&&byte| byte != b'\r'));
            }
        });
        Terminal { world, keyboard: File::from(master), screen, session }
    }

    /// An interactive shell with job control.
    fn shell(world: &'w World) -> Terminal<'w> {
        let terminal = Terminal::run(world, "bash", &["--norc", "--noprofile", "--noediting", "-i"]);
        terminal.shows("PROMPT> ");
        terminal
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this has appeared after the last thing that was waited for, which is then forgotten.
    #[track_caller]
    fn shows(&self, wanted: &str) {
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(wanted, || {
                let mut screen = self.screen.lock().unwrap();
                let Some(at) = memchr::memmem::find(&screen, wanted.as_bytes()) else { return false };
                screen.drain(..at + wanted.len());
                true
            });
        }));
        assert!(found.is_ok(), "{wanted:?} does not appear in {:?}; tasks: {:?}", self.text(), self.world.tasks());
    }

    /// The process group in the foreground.
    fn foreground(&self) -> i32 {
        tcgetpgrp(&self.keyboard).unwrap().as_raw()
    }

    fn wait(mut self) -> i32 {
        let status = eventually("the session's end", || self.session.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

/// A place where a command waits without a child: one that is stopped between vfork and exec keeps its parent from
/// being stopped, under any shell.
fn fifo(world: &World) {
    nix::unistd::mkfifo(&world.work().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// The command's pid, which it wrote itself.
fn pid(world: &World) -> i32 {
    world.line("work/pid").parse().unwrap()
}

#[test]
fn the_command_has_the_foreground_and_gives_it_back() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
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
    let mut tty = Terminal::shell(&world);
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
fn a_command_may_make_something_else_of_ctrl_c() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
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
fn ctrl_z_stops_it_and_fg_goes_on() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
    tty.type_in("$LAUNCH sh -c 'echo $$ > pid; echo rea\"\"dy; read x; echo got-$x; read x; exit 5'\n");
    tty.shows("ready\n");
    for round in 1..=3 {
        tty.type_in(CTRL_Z);
        tty.shows("Stopped");
        tty.shows("PROMPT> ");
        assert_eq!(world.task().text("status"), "RUNNING");
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
fn time_spent_stopped_is_no_silence() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
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
    let mut tty = Terminal::shell(&world);
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
    tty.type_in("echo code-$?\n");
    tty.shows("code-0\n");
}

/// Whether a process is in the foreground of its own terminal.
fn leads_its_terminal(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(5) == Some(&pid.to_string())
}

/// What a process does: T is stopped.
fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

fn tty_poke(tty: &mut Terminal<'_>) {
    tty.type_in("true\n");
    tty.shows("PROMPT> ");
}

#[test]
fn stopped_and_sent_to_the_background_it_goes_on() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
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
    let mut tty = Terminal::shell(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; read x < /dev/tty; echo got-$x' | cat; echo code-${PIPESTATUS[0]}\n");
    tty.shows("ready\n");
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    tty.shows("code-0\n");
    // Ctrl-C and Ctrl-Z reach everybody in it.
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
fn a_pipeline_whose_command_has_the_terminal_stops_whole() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
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
fn in_a_script_ctrl_z_stops_all_of_it() {
    let world = World::new();
    world.program(
        "script",
        "#!/bin/sh\n\"$LAUNCH\" sh -c 'echo $$ > pid; echo rea\"\"dy; while :; do sleep 0.05; done'\necho after-$?\n",
    );
    let mut tty = Terminal::shell(&world);
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
fn in_the_background_of_a_script_ctrl_c_is_not_heard() {
    let world = World::new();
    fifo(&world);
    let mut tty = Terminal::shell(&world);
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
    let mut tty = Terminal::run(&world, launch, &["sh", "-c", script]);
    tty.shows("ready\n");
    tty.type_in(CTRL_Z);
    tty.type_in("hello\n");
    tty.shows("got-hello\n");
    assert_eq!(tty.wait(), 4);
}

#[test]
fn a_closed_terminal_ends_the_task() {
    let world = World::new();
    let mut tty = Terminal::shell(&world);
    tty.type_in("$LAUNCH sh -c 'echo rea\"\"dy; sleep 1000'\n");
    tty.shows("ready\n");
    let _ = tty.session.kill();
    let _ = tty.session.wait();
    until("its end", || world.tasks().is_empty());
    let row = world.end();
    assert!(row.text("outcome").contains("SIGHUP"), "{}", row.text("outcome"));
}

#[test]
fn waiting_for_a_lock_is_told_on_a_terminal() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let mut lock = rusqlite::Connection::open(world.db()).unwrap();
    let tx = lock.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let tty = Terminal::run(&world, env!("CARGO_BIN_EXE_launch"), &["echo", "ran"]);
    tty.shows("launch: waiting for the database");
    drop(tx);
    tty.shows("ran\n");
    assert_eq!(tty.wait(), 0);
}
