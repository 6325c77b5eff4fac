//! The messages of `supervise` about its configuration, with the real program and real files.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
};

use crate::support::{Ran, World, daemon::named, until};
use nix::{sys::signal::Signal, unistd::geteuid};
use serde_json::json;

/// Checks this text. Returns the exit code, the messages without the path of the file, and the output.
#[track_caller]
fn check(world: &World, text: &str, more: &[&str]) -> (i32, Vec<String>, String) {
    let path = world.path("c.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    checked(world, more)
}

fn checked(world: &World, more: &[&str]) -> (i32, Vec<String>, String) {
    let path = world.path("c.toml");
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("--check").arg("-c").arg(&path);
    program.command.args(more);
    let ran = program.run();
    let path = format!("{}:", path.display());
    let lines = ran.err.lines().map(|line| line.replace(&path, "").replacen("supervise: ", "", 1));
    (ran.code, lines.collect(), ran.text().to_owned())
}

const SOCKET: &str = "[unix_http_server]\nfile = \"s.sock\"\n";

#[test]
fn all_errors_are_reported_together_with_their_lines() {
    let world = World::new();
    let text = format!(
        "{SOCKET}[taskmasterd]\nloglevel = \"loud\"\nlogfile_maxbytes = \"-5MB\"\n[programs.web]\ncommand = \" \"\n\
         stopsignal = \"FOO\"\nnumprocs = 0\nstartsecs = -5\nexitcodes = [256]\nautorestart = true\numask = 22\n\
         stdout = \"/no/such/x\"\nstopasgroup = true\nkillasgroup = false\nstopsignall = \"TERM\"\nargs = [1]\n\
         [programs.\"\"]\ncommand = \"x\"\n[programs.12]\ncommand = \"x\"\n[groups.g]\nprograms = [\"nix\"]\n\
         [eventlistener.x]\n[taskmasterdd]\n"
    );
    let (code, lines, _) = check(&world, &text, &[]);
    let said = [
        "error: 4: [taskmasterd] loglevel: unknown level \"loud\" (use crit, error, warn, info, debug, trace)",
        "error: 5: [taskmasterd] logfile_maxbytes: \"-5MB\" is negative",
        "error: 7: [programs.web] command: program has no command",
        "error: 8: [programs.web] stopsignal: unknown signal \"FOO\" (use a name such as TERM or SIGINT, or a number in quotes)",
        "error: 9: [programs.web] numprocs: 0 is out of range",
        "error: 10: [programs.web] startsecs: -5 is negative",
        "error: 11: [programs.web] exitcodes: element 0: 256 is out of range",
        "error: 12: [programs.web] autorestart: true is not a string (write \"true\" in quotes",
        "error: 13: [programs.web] umask: 22 is not written in octal (write 0o22)",
        "error: 14: [programs.web] stdout: the directory \"/no/such\" does not exist",
        "error: 16: [programs.web] killasgroup: false contradicts stopasgroup = true",
        "error: 17: [programs.web] stopsignall: unknown key (did you mean \"stopsignal\"?)",
        "error: 18: [programs.web] args: element 0: 1 is not a string",
        "error: 19: [programs.\"\"]: the name is empty",
        "error: 21: [programs.12]: the name \"12\" consists of digits only",
        "error: 24: [groups.g] programs: unknown program \"nix\"",
        "error: 25: [eventlistener]: unknown table (not supported by taskwatcher)",
        "error: 26: [taskmasterdd]: unknown table (did you mean \"taskmasterd\"?)",
    ];
    assert_eq!((code, lines.len()), (2, said.len()), "{lines:#?}");
    for (line, said) in lines.iter().zip(said) {
        assert!(line.starts_with(said), "{line}\n{said}");
    }
    // A start reports the same, and leaves nothing behind.
    let before = names(&world);
    let ran = start(&world, &[]);
    assert_eq!((ran.code, ran.err.lines().count()), (2, said.len()), "{ran:?}");
    assert_eq!(names(&world), before);
}

fn start(world: &World, more: &[&str]) -> Ran {
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).arg("-c").arg(world.path("c.toml"));
    program.command.args(more);
    program.run()
}

fn names(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path("")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // The output of the programs is stored there.
    names.retain(|name| !name.starts_with("stdout.") && !name.starts_with("stderr."));
    names.sort();
    names
}

#[test]
fn a_dump_shows_all_values_and_no_secrets() {
    let world = World::new();
    let text = format!(
        "{SOCKET}[taskmasterd]\nlogfile = \"none\"\numask = \"022\"\nlogfile_maxbytes = \"5mb\"\n[taskmasterd.env]\nA = 42\n\
         [programs.a]\ncommand = \"/bin/echo %(ENV_A)s 100% %%(x) %(program_name)s\"\nnumprocs = 2\nnumprocs_start = 5\n\
         args = [\"%(process_num)03d\", \"%(numprocs)d\", \"%(here)s\", \"%(group_name)s\", \"%(ENV_B)s\"]\n\
         stopsignal = \"sigint\"\nstopwaitsecs = \"forever\"\nstartretries = \"unlimited\"\n\
         [programs.a.env]\nB = \"%%(secret\"\n[programs.\"grün\"]\ncommand = \"x\"\nstopsignal = \"9\"\nexitcodes = []\n"
    );
    let (code, lines, dump) = check(&world, &text, &["--dump"]);
    assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
    assert!(lines[0].starts_with("warning: 21: [programs.\"grün\"] stopsignal: SIGKILL"), "{lines:?}");
    let here = world.path("").display().to_string();
    for line in [
        "umask = \"0o022\"",
        "logfile_maxbytes = 5242880",
        "[programs.a_06]",
        "command = \"/bin/echo 42 100% %%(x) a\"",
        &format!("args = [\"006\", \"2\", \"{}\", \"a\", \"%%(secret\"]", here.trim_end_matches('/')),
        "stopsignal = \"SIGINT\"",
        "stopwaitsecs = \"forever\"",
        "startretries = \"unlimited\"",
        "B = \"***\"",
        "[programs.\"grün\"]",
        "stopsignal = \"SIGKILL\"",
        "exitcodes = []",
    ] {
        assert!(dump.lines().any(|other| other == line), "{line}\n{dump}");
    }
}

#[test]
fn a_world_writable_file_is_refused_by_root_and_warned_of_by_other_users() {
    let world = World::new();
    check(&world, "[unix_http_server]\nfile = \"s.sock\"\nusername = \"a\"\npassword = \"geheim\"\n", &[]);
    let mode = |mode: u32| {
        fs::set_permissions(world.path("c.toml"), Permissions::from_mode(mode)).unwrap();
        checked(&world, &[])
    };
    let (code, lines, _) = mode(0o644);
    assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
    assert!(
        lines[0].contains("passwords and environments are readable by everybody") && !lines[0].contains("geheim"),
        "{lines:?}"
    );
    let (code, lines, _) = mode(0o622);
    let refused = if geteuid().is_root() { (2, "error") } else { (0, "warning") };
    assert_eq!(code, refused.0);
    assert!(lines[0].starts_with(refused.1) && lines[0].contains("writable by others (mode 0622)"), "{lines:?}");
    if geteuid().is_root() {
        chown(world.path("c.toml"), Some(65534), None).unwrap();
        let (code, lines, _) = mode(0o600);
        assert!(
            code == 2 && lines[0].contains("writable by its owner, user 65534 (root would run its commands"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_start_prints_the_warnings_of_a_check() {
    let world = World::new();
    world.configure("[programs.a]\ncommand = \"sleep\"\nargs = [\"300\"]\nstopsignal = \"KILL\"\nautostart = false\n");
    let mut daemon = world.daemon();
    let started = daemon.started.take().unwrap();
    started.signal(Signal::SIGTERM);
    let ran = started.wait();
    assert_eq!(ran.code, 0);
    let line = ran.err.lines().find(|line| line.contains("stopsignal")).unwrap();
    assert!(line.starts_with(&format!("supervise: warning: {}:", world.path("t.toml").display())), "{line}");
    assert!(world.log().contains("WARN config: "));
}

#[test]
fn the_command_line_overrides_the_file_even_after_a_reload() {
    let world = World::new();
    fs::create_dir(world.path("other")).unwrap();
    world.configure("[programs.a]\ncommand = \"sleep\"\nargs = [\"300\"]\n");
    let words = ["-n", "-l", "other/log", "-j", "other/pid", "-e", "info", "-i", "mine", "-m", "027", "--minfds", "70"];
    let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).cwd(world.path("")).arg("-c").arg("t.toml");
    program.command.args(words);
    let started = program.spawn();
    until("its log", || fs::read_to_string(world.path("other/log")).is_ok_and(|log| log.contains("INFO ready")));
    assert_eq!(world.read("other/pid"), format!("{}\n", started.pid()));
    let options_apply = || {
        let umask = fs::read_to_string(format!("/proc/{}/status", started.pid())).unwrap();
        assert!(umask.lines().any(|line| line == "Umask:\t0027"));
        assert_eq!(world.ask(json!({ "command": "version" }))["content"]["identifier"], "mine");
        assert!(!world.path("act.log").exists() && !world.path("s.pid").exists());
    };
    options_apply();
    let text = world.read("t.toml");
    fs::write(world.path("t.toml"), format!("{text}[programs.b]\ncommand = \"sleep\"\nargs = [\"301\"]\n")).unwrap();
    let done = world.ask(json!({ "command": "reload" }))["content"].clone();
    assert_eq!((&done["added"], &done["needs_restart"]), (&json!(["b"]), &json!([])), "{done}");
    options_apply();
    // The inherited umask also applies to files of programs.
    world.ask(named("stop", "b"));
    started.signal(Signal::SIGTERM);
    assert_eq!(started.wait().code, 0);
}

#[test]
fn unknown_words_are_refused() {
    let world = World::new();
    let run = |words: &[&str]| {
        let mut program = world.command(env!("CARGO_BIN_EXE_supervise")).cwd(world.path(""));
        program.command.args(words);
        program.run()
    };
    for words in [&["-x"][..], &["-n", "foo"], &["-n", "-m", "999"], &["-n", "-e", "loud"], &["-n", "--minfds", "0"]] {
        let ran = run(words);
        assert!(ran.code == 2 && ran.out.is_empty() && !ran.err.is_empty(), "{words:?}: {ran:?}");
    }
    for words in ["-h", "-?", "--help", "-v", "--version"] {
        assert!(!run(&[words]).silent(0).out.is_empty(), "{words}");
    }
    run(&[]).says(2, &["./taskmaster.conf.toml", "../taskmaster.conf.toml", "-c"]);
    let said = |path: &str, words: &str| drop(run(&["-c", path]).says(2, &[path, words]));
    said("none", "does not exist");
    run(&["-c", "."]).says(2, &[": is a directory, not a file"]);
    fs::write(world.path("latin"), [b'\n', 0xe4]).unwrap();
    said("latin", "latin:2: is not valid UTF-8");
    fs::write(world.path("bad"), "[a\n").unwrap();
    said("bad", "not valid TOML");
}
