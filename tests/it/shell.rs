//! The shell of `supervise`: scripts on its input, and a user at a real terminal, with the real supervisor.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use crate::support::{
    Ran, World,
    pty::{Kind, Terminal},
    sleeps, until,
};
use nix::{
    pty::Winsize,
    sys::{
        signal::{Signal, kill},
        termios::{Termios, tcgetattr},
    },
    unistd::Pid,
};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const CTRL_Z: &str = "\x1a";
const PROMPT: &str = "taskmaster> ";

/// Two programs; one of them reads lines.
const PROGRAMS: &str = "[programs.web]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 0\n\
    [programs.echo]\ncommand = \"./echo.sh\"\nstdin = \"pipe\"\nstartsecs = 0\nautorestart = \"false\"\n";
/// Prints what it reads, and ends after `bye`.
const ECHO: &str = "#!/bin/sh\necho ready\nwhile read -r x; do echo \"got-$x\"; [ \"$x\" = bye ] && exit 3; done\n";

fn configured(client: &str, programs: &str) -> World {
    let world = World::new();
    world.program("echo.sh", ECHO);
    let socket = world.path("s.sock");
    let history = world.path("history");
    let head = format!(
        "[taskmasterctl]\nserverurl = \"unix://{}\"\nhistory = \"{}\"\n{client}\n",
        socket.display(),
        history.display()
    );
    world.configure(&(head + programs));
    world
}

fn world() -> World {
    configured("", PROGRAMS)
}

impl World {
    /// Runs a shell with this script.
    fn script(&self, args: &[&str], script: &str) -> Ran {
        let path = self.path("script");
        fs::write(&path, script).unwrap();
        let mut program = self.command(env!("CARGO_BIN_EXE_supervise"));
        program.command.arg("-c").arg(self.path("t.toml")).args(args);
        program.command.stdin(File::open(&path).unwrap());
        program.run()
    }
}

/// An ordinary terminal.
const USUAL: Kind = Kind {
    term: "xterm",
    prompt: "OUTER> ",
    size: Some(Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }),
    returns: true,
};

impl<'w> Terminal<'w> {
    fn run(world: &'w World, program: &str, args: &[&str]) -> Terminal<'w> {
        Terminal::open(world, &USUAL, program, args)
    }

    /// Starts the shell on a terminal that can only print.
    fn simple(world: &'w World) -> Terminal<'w> {
        let line = format!("TERM=dumb exec {} -c ../t.toml shell", env!("CARGO_BIN_EXE_supervise"));
        let terminal = Terminal::run(world, "sh", &["-c", &line]);
        terminal.shows(PROMPT);
        terminal
    }

    /// Starts the shell and waits for its first prompt.
    fn shell(world: &'w World, args: &[&str]) -> Terminal<'w> {
        let terminal = Terminal::shell_begun(world, args);
        terminal.shows(PROMPT);
        terminal
    }

    fn shell_begun(world: &'w World, args: &[&str]) -> Terminal<'w> {
        let file = world.path("t.toml");
        let args = [&["-c", file.to_str().unwrap()], args].concat();
        Terminal::run(world, env!("CARGO_BIN_EXE_supervise"), &args)
    }

    /// Types a line and waits for the next prompt. Returns the output, including the typed line.
    #[track_caller]
    fn line(&mut self, line: &str) -> String {
        self.type_in(&format!("{line}\r"));
        self.shows("\r\n");
        let printed = self.shows(PROMPT);
        // The start of a line that the editor draws.
        printed.trim_end_matches(PROMPT).trim_end_matches("\x1b[?2026h\r\x1b[K").to_owned()
    }

    /// Types a line, waits for the next prompt, and checks the output.
    #[track_caller]
    fn says(&mut self, line: &str, wanted: &str) {
        let printed = self.line(line);
        assert!(printed.contains(wanted), "{wanted:?} is missing in {printed:?}");
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.keyboard).unwrap()
    }
}

/// Returns the kernel's state of a process: `T` is stopped.
fn state_of(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

#[test]
fn a_script_is_read_line_by_line_without_a_prompt() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let ran = world.script(&["shell"], "# a comment\n\n   \nstatus web\nfrobnicate\nstop 'web' # now\nkill -l 9");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.text().starts_with("web  ") && ran.text().ends_with("web: stopped\nKILL\n"), "{ran:?}");
    assert_eq!(ran.err, "supervise: error: unknown action \"frobnicate\" (try help)\n");
    assert!(!world.path("history").exists(), "a script is not kept");
    // An error names its subject, and the next line is read.
    for (line, words) in [
        ("web", "web is not available in the shell; use: supervise web"),
        ("completions bash", "completions is not available in the shell; use: supervise completions SHELL"),
        ("shell", "already in the shell"),
    ] {
        let ran = world.script(&["shell"], line);
        assert_eq!((ran.text(), ran.err.as_str()), ("", &*format!("supervise: error: {words}\n")));
    }
    let ran = world.script(&["shell"], "stop \"web\nsuspend\nopen /tmp/x\nstart; stop\nversion\n");
    assert_eq!(ran.code, 0);
    for words in [
        "quote is not closed",
        "suspend: no terminal to continue this shell from",
        "unix://",
        "only one action per line",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    assert!(ran.text().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn strict_ends_at_the_first_failure_with_its_code() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let ran = world.script(&["shell", "--strict"], "status web\nstop nope:*\nstop web\n");
    assert_eq!((ran.code, world.state("web").as_str()), (1, "RUNNING"), "{ran:?}");
    assert_eq!(world.script(&["shell", "--strict"], "status nope\n").code, 4);
    assert_eq!(world.script(&["shell", "--strict"], "status web\nquit\nnonsense\n").code, 0);
    assert_eq!(world.script(&["shell", "--strict"], "nonsense\n").code, 2);
}

#[test]
fn without_a_supervisor_the_shell_reports_it_and_starts() {
    let world = world();
    let ran = world.script(&["shell"], "help stop\n");
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("cannot reach the supervisor") && ran.text().contains("--now"), "{ran:?}");
    let mut tty = Terminal::shell_begun(&world, &["shell"]);
    tty.shows("cannot reach the supervisor");
    tty.shows(PROMPT);
    tty.says("?", "%name");
    tty.says("open nonsense", "unix://");
    let daemon = world.daemon();
    tty.says("status web", "web  ");
    tty.says("open unix:///nope/s", "unix:///nope/s: no such file");
    tty.says("status web", "web  ");
    tty.says(&format!("open unix://{}", world.path("s.sock").display()), "echo  ");
    daemon.end();
    tty.says("", "has closed the connection");
    tty.type_in("quit\r");
    assert_eq!(tty.wait(), 0);
}

#[test]
fn job_references_work_on_the_command_line() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let jobs = world.ctl(&["jobs"]).silent(0);
    let at = |name: &str| {
        let line = jobs.text().lines().find(|line| line.contains(name)).unwrap();
        format!("%{}", &line[1..2])
    };
    assert_eq!(world.ctl(&["stop", &at("sleep")]).silent(0).text(), "web: stopped\n");
    assert_eq!(world.ctl(&["start", "%web"]).silent(0).text(), "web: started\n");
    assert_eq!(world.ctl(&["pid", "%?1000"]).silent(0).text(), format!("{}\n", world.pid("web")));
    world.ctl(&["stop", "%9"]).says(1, &["no such job: %9"]);
    world.ctl(&["stop", "%nope", "web"]).says(1, &["no such job: %nope"]);
    assert_eq!(world.state("web"), "RUNNING", "nothing is done if one of them means nothing");
    let ran = world.ctl(&["jobs", "-x", "echo", "%web", "%nope", "-n"]).silent(0);
    assert_eq!(ran.text(), format!("{} %nope -n\n", world.pid("web")));
    assert_eq!(world.ctl(&["jobs", "-x", "sh", "-c", "exit 9"]).silent(9).text(), "");
    world.ctl(&["jobs", "-x", "/nope"]).says(1, &["cannot run /nope"]);
}

#[test]
fn lines_are_edited_and_run_at_a_terminal() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::shell_begun(&world, &["shell"]);
    assert!(tty.shows(PROMPT).contains("web  "), "how everything is comes first");
    let status = tty.line("status web");
    assert!(status.contains("RUNNING"), "{status}");
    assert_eq!(tty.line("").trim(), "", "an empty line does nothing");
    // The line is discarded and not run.
    tty.type_in("stop web");
    tty.type_in(CTRL_C);
    tty.shows(PROMPT);
    tty.says("status we\tx\x7f", "RUNNING");
    assert!(
        tty.line("\x1b[A\x01\x1b[3~\x1b[3~\x1b[3~\x1b[3~\x1b[3~\x1b[3~pid").contains(&world.pid("web").to_string())
    );
    tty.type_in(CTRL_R);
    tty.type_in("status w");
    tty.type_in("\r");
    tty.shows("RUNNING");
    tty.shows(PROMPT);
    // Two characters are deleted within the line, and two inserted there again.
    assert_eq!(tty.line("send echo 'grüße; 你好'\x1b[D\x7f\x7f好你"), "");
    until("it to arrive", || world.line("echo.stdout").lines().last() == Some("got-grüße; 好你"));
    let help = tty.line("help fg");
    assert!(help.contains("fg [OPTIONS] [NAME]") && help.contains("continued"), "{help}");
    let help = tty.line("help");
    assert!(help.contains("disown") && help.contains("suspend"), "{help}");
    tty.says("sotp", "did you mean stop?");
    tty.type_in(CTRL_D);
    assert_eq!(tty.wait(), 0);
}

#[test]
fn each_pasted_line_is_one_line() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("echo", "RUNNING");
    let mut tty = Terminal::shell(&world, &["shell"]);
    tty.type_in("pid web\rpid echo\rversion\rstatus we");
    for printed in [world.pid("web").to_string(), world.pid("echo").to_string(), env!("CARGO_PKG_VERSION").to_owned()] {
        tty.shows(&format!("{printed}\r\n"));
    }
    // The last line has no end yet.
    tty.shows("status we");
    tty.says("b", "RUNNING");
}

#[test]
fn a_simple_terminal_will_do() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::simple(&world);
    tty.type_in("stop web");
    tty.type_in(CTRL_C);
    tty.shows("^C");
    tty.type_in("status web\n");
    tty.shows("RUNNING");
    tty.shows(PROMPT);
    tty.type_in("fg web\n");
    tty.shows("attached to web");
    until("the terminal to be its", || !tty.modes().local_flags.contains(nix::sys::termios::LocalFlags::ISIG));
    tty.type_in(CTRL_Z);
    tty.shows("detached from web");
    tty.shows(PROMPT);
    tty.type_in(CTRL_D);
    assert_eq!(tty.wait(), 0);
}

#[test]
fn lines_are_kept_for_the_next_shell() {
    let world = world();
    let history = world.path("history");
    let (mut one, mut two) = (Terminal::shell(&world, &["shell"]), Terminal::shell(&world, &["shell"]));
    for line in ["kill -l 1", "kill -l 1", " kill -l 2", "kill -l 3"] {
        one.line(line);
    }
    two.line("kill -l 4");
    for mut tty in [one, two] {
        tty.type_in("exit\r");
        assert_eq!(tty.wait(), 0);
    }
    assert_eq!(world.read("history"), "#supervise shell history\nkill -l 1\nkill -l 3\nkill -l 4\nexit\nexit\n");
    assert_eq!(fs::metadata(&history).unwrap().mode() & 0o777, 0o600);
    let lines: String = (0..1500).map(|number| format!("kill -l {}\n", number % 31 + 1)).collect();
    fs::write(&history, format!("#supervise shell history\n{lines}kill -l 9\n")).unwrap();
    let mut tty = Terminal::shell(&world, &["shell"]);
    tty.says("\x1b[A", "KILL");
    tty.type_in(CTRL_D);
    tty.wait();
    assert_eq!(world.read("history").lines().skip(1).count(), 1000);
    // No history, or another history file.
    fs::remove_file(&history).unwrap();
    Terminal::shell(&world, &["shell", "-r", ""]).line("kill -l 1");
    assert!(!history.exists());
    let other = world.path("other");
    Terminal::shell(&world, &["shell", "-r", other.to_str().unwrap()]).line("kill -l 1");
    assert_eq!(world.read("other"), "#supervise shell history\nkill -l 1\n");
    // A link is not followed.
    std::os::unix::fs::symlink(&other, &history).unwrap();
    let tty = Terminal::shell_begun(&world, &["shell"]);
    tty.shows("warning: history file");
    tty.shows(PROMPT);
    if nix::unistd::geteuid().is_root() {
        fs::remove_file(&history).unwrap();
        fs::write(&history, "x\n").unwrap();
        fs::set_permissions(&history, Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::chown(&history, Some(65534), None).unwrap();
        let mut tty = Terminal::shell_begun(&world, &["shell"]);
        tty.shows("owned by another user");
        tty.shows(PROMPT);
        tty.line("kill -l 1");
        assert_eq!(world.read("history"), "x\n");
    }
}

#[test]
fn actions_on_everything_ask_for_confirmation() {
    let world = world();
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::shell(&world, &["shell"]);
    for line in ["stop all\rn", "stop '*'\r", "restart all\rx", "shutdown\rno"] {
        tty.type_in(line);
        tty.shows("y/N ");
        tty.line("");
    }
    assert_eq!(world.state("web"), "RUNNING");
    tty.says("restart web -y", "web: restarted");
    tty.type_in("stop all\r");
    tty.shows("y/N ");
    let stopped = tty.line("y");
    assert!(stopped.contains("echo: stopped") && stopped.contains("web: stopped"), "{stopped}");
    tty.says("shutdown -y", "shutting down");
    drop(daemon);
}

#[test]
fn a_password_is_asked_for_once_and_the_action_repeated() {
    let world = World::new();
    world
        .configure("username = \"me\"\npassword = \"pa:ss\"\n[programs.web]\ncommand = \"sleep\"\nargs = [\"1000\"]\n");
    let _daemon = world.daemon_begun();
    until("the socket", || world.path("s.sock").exists() && world.log().contains("INFO ready"));
    let socket = world.path("s.sock");
    let args = ["--socket", socket.to_str().unwrap(), "shell", "-r", ""];
    let mut tty = Terminal::run(&world, env!("CARGO_BIN_EXE_supervise"), &args);
    // Any answer but yes returns to the prompt.
    tty.shows("User: ");
    tty.type_in(CTRL_C);
    tty.shows(PROMPT);
    for (password, shown) in [("nope", "wrong name or password"), ("pa:ss", "web  ")] {
        tty.type_in("status\r");
        tty.shows("User: ");
        tty.type_in("me\r");
        tty.shows("Password: ");
        assert!(!tty.modes().local_flags.contains(nix::sys::termios::LocalFlags::ECHO));
        let typed = tty.line(password);
        assert!(typed.to_lowercase().contains(&shown.to_lowercase()), "{typed}");
        assert!(!typed.contains(password), "{typed}");
    }
    assert!(tty.line("pid web").trim().starts_with(|c: char| c.is_ascii_digit()), "it is known from now on");
    // After Ctrl-C the prompt returns, and the terminal echoes again.
    let mut tty = Terminal::run(&world, env!("CARGO_BIN_EXE_supervise"), &args);
    tty.shows("User: ");
    tty.type_in("me\r");
    tty.shows("Password: ");
    tty.type_in(CTRL_C);
    tty.shows(PROMPT);
    tty.type_in("quit\r");
    assert_eq!(tty.wait(), 0);
}

#[test]
fn a_name_and_a_password_are_asked_for_at_the_start_and_not_stored() {
    let world = World::new();
    world
        .configure("username = \"me\"\npassword = \"pa:ss\"\n[programs.web]\ncommand = \"sleep\"\nargs = [\"1000\"]\n");
    let _daemon = world.daemon_begun();
    until("the socket", || world.path("s.sock").exists() && world.log().contains("INFO ready"));
    let (socket, history) = (world.path("s.sock"), world.path("history"));
    let args = ["--socket", socket.to_str().unwrap(), "shell", "-r", history.to_str().unwrap()];
    for passwords in [&["no1", "pa:ss"][..], &["no1", "no2", "no3"]] {
        let mut tty = Terminal::run(&world, env!("CARGO_BIN_EXE_supervise"), &args);
        for (count, password) in passwords.iter().enumerate() {
            let asked = tty.shows("User: ");
            assert_eq!(asked.contains("wrong name or password"), count > 0, "{asked}");
            tty.type_in("operator\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7fme\r");
            tty.shows("Password: ");
            tty.type_in(&format!("{password}\r"));
        }
        let shown = tty.shows(PROMPT);
        let wanted = if passwords.contains(&"pa:ss") { "web  " } else { "wrong name or password" };
        assert!(shown.contains(wanted), "{shown}");
        tty.type_in("quit\r");
        assert_eq!(tty.wait(), 0);
    }
    assert_eq!(world.read("history"), "#supervise shell history\nquit\n", "and not twice in a row");
}

#[test]
fn fg_shows_output_and_sends_input() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    world.comes_to("echo", "RUNNING");
    let pids = (world.pid("web"), world.pid("echo"));
    let mut tty = Terminal::shell(&world, &["shell"]);
    let at_prompt = tty.modes();
    for key in [CTRL_C, CTRL_Z] {
        let mut leave = || {
            tty.type_in("fg web\r");
            tty.shows("attached to web");
            let rest = tty.shows("\r\n");
            assert!("supervise: attached to ".len() + "reporter:web_00".len() + rest.trim_end().len() < 80, "{rest}");
            until("the terminal to be its", || tty.modes() != at_prompt);
            // The program is silent: the key alone detaches.
            tty.type_in(key);
            tty.shows("detached from web");
            tty.shows(PROMPT);
            until("the editor's modes", || tty.modes() == at_prompt);
        };
        leave();
    }
    // The job that was left is the current one.
    assert!(tty.line("jobs").lines().any(|line| line.contains("]+") && line.contains("sleep")));
    tty.type_in("fg echo\r");
    tty.shows("typed lines are sent to its input");
    tty.type_in("one\r");
    tty.shows("got-one");
    tty.type_in(CTRL_Z);
    tty.shows("detached from echo");
    tty.shows(PROMPT);
    tty.type_in("%\r");
    tty.shows("attached to echo");
    assert_eq!(pids, (world.pid("web"), world.pid("echo")), "no process was signalled");
    tty.type_in("bye\r");
    tty.shows("echo has ended: exit status 3");
    tty.shows(PROMPT);
    // A process that is down is started, and its first output is shown.
    tty.type_in("fg echo\r");
    tty.shows("attached to echo");
    tty.type_in("two\r");
    tty.shows("got-two");
    tty.type_in(CTRL_C);
    tty.shows("detached from echo");
    tty.shows(PROMPT);
    // A process in BACKOFF has still ended.
    tty.says("stop web", "web: stopped");
    let brief = "[programs.brief]\ncommand = \"sh\"\nargs = [\"-c\", \"sleep 1; echo brief; exit 4\"]\nstartsecs = 9\n\
        startretries = 90\nautostart = false\n";
    fs::write(world.path("t.toml"), world.read("t.toml") + brief).unwrap();
    tty.says("add brief", "brief: added");
    tty.type_in("fg brief\r");
    tty.shows("attached to brief");
    tty.shows("brief has ended: exit status 4");
    tty.shows(PROMPT);
    tty.says("fg nope", "no such process");
    tty.says("fg %9", "no such job: %9");
    tty.type_in("quit\r");
    assert_eq!(tty.wait(), 0);
}

#[test]
fn ctrl_c_interrupts_a_wait_and_not_the_shell() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::shell(&world, &["shell"]);
    for (line, key, shown) in
        [("tail -f echo\r", CTRL_C, "^C"), ("tail -f echo\r", CTRL_Z, "^Z"), ("wait web\r", CTRL_C, "^C")]
    {
        tty.type_in(line);
        let cooked = nix::sys::termios::LocalFlags::ISIG;
        until("the action to be done", || tty.modes().local_flags.contains(cooked));
        // Ctrl-C before the wait begins has no effect.
        sleeps(tty.session.id().try_into().unwrap());
        tty.type_in(key);
        tty.shows(shown);
        tty.shows(PROMPT);
    }
    tty.says("status web", "RUNNING");
    // The requested action continues.
    let slow = "[programs.slow]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 600\nautostart = false\n";
    fs::write(world.path("t.toml"), world.read("t.toml") + slow).unwrap();
    tty.says("add slow", "slow: added");
    tty.type_in("start slow\r");
    world.comes_to("slow", "STARTING");
    tty.type_in(CTRL_C);
    tty.shows("stopped waiting; the request continues");
    tty.shows(PROMPT);
    tty.says("status slow", "STARTING");
}

#[test]
fn jobs_are_listed_continued_and_disowned() {
    let world = configured("auto_resume = \"exact\"", PROGRAMS);
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let pid = world.pid("web");
    let mut tty = Terminal::shell(&world, &["shell"]);
    tty.says("kill -STOP %web", "web: signalled");
    until("it to be stopped", || state_of(pid) == 'T');
    let stopped = tty.line("jobs -s");
    assert!(stopped.contains("Stopped(SIGSTOP)") && !stopped.contains("echo"), "{stopped}");
    tty.says("%web &", "web: continued");
    until("it to go on", || state_of(pid) != 'T');
    tty.says("bg %web", "already running");
    tty.line("kill -s STOP web");
    until("it to be stopped", || state_of(pid) == 'T');
    tty.type_in("web\r");
    tty.shows("attached to web");
    until("it to go on", || state_of(pid) != 'T');
    tty.type_in(CTRL_C);
    tty.shows(PROMPT);
    tty.says("web", "web is not available in the shell");
    tty.says("echo", "unknown action");
    tty.says("jobs -l %web", &format!("{pid} {pid}"));
    tty.says("jobs -p", &pid.to_string());
    tty.says("kill 1", "is not supervised");
    tty.says(&format!("kill -n 0 {pid}"), "bad signal name");
    for line in ["kill -FOO web", "kill -s FOO web"] {
        tty.says(line, "bad signal name \"FOO\": kill -l lists them");
    }
    tty.says("kill -40 web", "bad signal name \"40\"");
    tty.says("kill -l", "SIGKILL");
    let killed = tty.line(&format!("kill -KILL {pid}"));
    assert!(killed.contains("autorestart"), "{killed}");
    world.runs_again("web", pid);
    tty.says("stop echo", "echo: stopped");
    tty.says("bg echo", "echo: started");
    let pid = world.pid("echo");
    tty.says("disown %echo", "echo: disowned");
    assert!(!tty.line("jobs").contains("echo.sh"));
    assert_ne!(state_of(pid), '-', "it was not touched");
}

#[test]
fn changes_of_jobs_are_reported_before_the_next_prompt_or_at_once() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("echo", "RUNNING");
    let mut tty = Terminal::shell(&world, &["shell"]);
    let reported = |tty: &mut Terminal| {
        until("it to be reported", || tty.line("").contains("Exit 3  echo"));
    };
    // Actions of the shell itself are reported only by their result.
    tty.says("restart web", "web: restarted");
    assert_eq!(tty.line("").trim(), "");
    world.ctl(&["send", "echo", "bye"]).silent(0);
    reported(&mut tty);
    world.ctl(&["start", "echo"]).silent(0);
    until("it to be reported", || tty.line("").contains("Running  echo"));
    tty.line("set -b");
    tty.type_in("status we");
    world.ctl(&["send", "echo", "bye"]).silent(0);
    tty.shows("Exit 3  echo");
    // The typed line is unchanged.
    tty.shows("status we");
    tty.type_in("b\r");
    tty.shows("RUNNING");
    tty.shows(PROMPT);
    tty.line("set +b");
    world.ctl(&["start", "echo"]).silent(0);
    until("it to be reported", || tty.line("").contains("Running  echo"));
}

#[test]
fn wait_returns_the_exit_code_of_the_job() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("echo", "RUNNING");
    let ran = world.script(&["shell", "--strict"], "send echo bye\nwait %echo\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(world.script(&["shell", "--strict"], "wait echo\n").code, 3, "it is down already");
    world.ctl(&["stop", "web"]);
    assert_eq!(world.script(&["shell", "--strict"], "wait web\n").code, 128 + 15);
    assert_eq!(world.script(&["shell", "--strict"], "wait\n").code, 0);
    assert_eq!(world.script(&["shell", "--strict"], "wait nope\n").code, 1);
}

#[test]
fn suspend_stops_the_shell() {
    let world = world();
    let _daemon = world.daemon();
    let mut tty = Terminal::shell(&world, &["shell"]);
    // The shell leads its session, like a login shell.
    tty.says("suspend", "login shell");
    let pid = i32::try_from(tty.session.id()).unwrap();
    tty.type_in("suspend -f\r");
    until("it to be stopped", || state_of(pid) == 'T');
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    tty.shows(PROMPT);
    drop(tty);
    let mut tty = Terminal::run(&world, "bash", &["--norc", "--noprofile", "--noediting", "-i"]);
    tty.shows("OUTER> ");
    tty.type_in(&format!("{} -c {} shell\n", env!("CARGO_BIN_EXE_supervise"), world.path("t.toml").display()));
    tty.shows(PROMPT);
    tty.type_in("suspend\r");
    tty.shows("Stopped");
    tty.shows("OUTER> ");
    tty.type_in("fg\n");
    tty.shows(PROMPT);
    tty.says("status web", "web  ");
    tty.type_in("exit\r");
    tty.shows("OUTER> ");
}

#[test]
fn the_interactive_option_starts_the_shell_after_an_action() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::shell_begun(&world, &["stop", "-i", "web"]);
    assert!(tty.shows(PROMPT).contains("web: stopped"));
    tty.says("status web", "STOPPED");
    tty.type_in(CTRL_D);
    assert_eq!(tty.wait(), 0);
    let ran = world.script(&["status", "nope", "-i"], "version\n");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.text().lines().count(), 2, "{ran:?}");
}

#[test]
fn new_names_are_completed_at_once() {
    let world = world();
    let _daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    let mut tty = Terminal::shell(&world, &["shell"]);
    tty.type_in("status \t\t");
    tty.shows("all");
    tty.shows("web");
    // The line is drawn again below the suggestions.
    tty.shows(PROMPT);
    tty.type_in(CTRL_C);
    tty.shows(PROMPT);
    let more = "[programs.weird]\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 0\n";
    let file = world.read("t.toml") + more;
    fs::write(world.path("t.toml"), file).unwrap();
    tty.says("add wei\t", "weird: added");
    tty.says("status wei\t", "weird  ");
    world.comes_to("weird", "RUNNING");
    tty.says("kill -TER\t%weir\t", "weird: signalled");
    tty.line("stop weird");
    tty.says("remove weird", "weird: removed");
    tty.type_in("status we\t\t");
    assert_eq!(tty.shows("web").matches("weird").count(), 0);
}

#[test]
fn unknown_names_are_not_completed() {
    let world = world();
    let daemon = world.daemon();
    let mut tty = Terminal::shell(&world, &["shell"]);
    daemon.end();
    tty.type_in("signal TERM \tx\r");
    tty.shows("cannot reach the supervisor");
    tty.shows(PROMPT);
    assert_eq!(world.read("history").lines().last(), Some("signal TERM x"));
}

#[test]
fn completed_names_are_parsed_correctly() {
    let odd = r#"[programs."o\"b'c&d;e\\f"]"#;
    let world = configured("", &format!("{odd}\ncommand = \"sleep\"\nargs = [\"1000\"]\nstartsecs = 0\n"));
    let _daemon = world.daemon();
    let mut tty = Terminal::shell(&world, &["shell"]);
    for typed in ["status o\t", "status o\\\"\t", "status 'o\"b\t", "status \"o\t"] {
        tty.says(typed, r#"o"b'c&d;e\f   "#);
    }
}
