//! Tests of each situation, and that a plan leads to the new configuration.

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::model::{
    config::{ConfigInput, File, Overrides, PathKind, World, read},
    program::{Autorestart, Credentials, Hook, Keep, Level, LogTarget, Orphans, Password, Policy, ServerUrl, Stdin},
    task::Signal,
};

/// A host on which every folder exists.
struct FakeHost;

impl World for FakeHost {
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn host(&self) -> String {
        "box".to_owned()
    }
    fn start_dir(&self) -> PathBuf {
        "/start".into()
    }
    fn uid(&self) -> u32 {
        0
    }
    fn home(&self, _: Option<&str>) -> Option<PathBuf> {
        None
    }
    fn user(&self, _: &str) -> Option<u32> {
        Some(7)
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
    fn kind(&self, path: &std::path::Path) -> PathKind {
        if path.extension().is_some() { PathKind::File } else { PathKind::Directory }
    }
    fn real(&self, path: &std::path::Path) -> Option<PathBuf> {
        Some(path.to_owned())
    }
}

fn config_of(path: &str, text: &str) -> Config {
    let main = File { path: path.into(), text: text.to_owned(), access: None };
    let input = ConfigInput { main: &main, found: false, included: &[], overrides: &Overrides::default() };
    read(&input, &FakeHost).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}")).0
}

fn config(text: &str) -> Config {
    config_of("/etc/tm.toml", text)
}

fn web(body: &str) -> Config {
    config(&format!("[programs.web]\ncommand = \"x\"\n{body}"))
}

fn facts(state: ProcState) -> Facts {
    Facts { state, restart_pending: false, gone: false }
}

fn all(old: &Config, new: &Config, state: ProcState) -> Plan {
    let facts = old.processes.keys().map(|name| (name.clone(), facts(state))).collect();
    plan(old, new, &facts, Scope::All).unwrap()
}

/// Changes by name, without unchanged processes.
fn steps_of(plan: &Plan) -> Vec<(&str, ProcessChange)> {
    let doing = plan.processes.iter().filter(|planned| planned.step != ProcessChange::Untouched);
    doing.map(|planned| (planned.name.as_str(), planned.step)).collect()
}

fn step(old: &str, new: &str, facts: Facts) -> ProcessChange {
    let facts = BTreeMap::from([("web".to_owned(), facts)]);
    let plan = plan(&web(old), &web(new), &facts, Scope::All).unwrap();
    assert_eq!(plan.processes.len(), 1);
    plan.processes[0].step
}

#[test]
fn a_different_spelling_is_not_a_change() {
    let old = config(
        "[programs.web]\ncommand = \"x\"\nargs = [\"%(here)s\"]\nexitcodes = [2, 0]\numask = 0o22\nenv = { A = 1, B = 2 }",
    );
    for text in [
        "# A comment\n[programs]\nweb.umask = \"022\"\nweb.args = [\n \"/etc\" ]\nweb.cmd = \"x\"\nweb.exitcodes = [0, 2]\nweb.env.B = \"2\"\nweb.env.A = \"1\"",
        "[taskmasterd.env]\nA = 1\n[programs.web]\ncommand = \"x\"\nargs = [\"/etc\"]\nexitcodes = [2, 0, 2]\numask = 0o022\npriority = 999\nenv = { B = 2 }\nstdout = \"/tmp/web.stdout\"",
    ] {
        let plan = all(&old, &config(text), ProcState::Running);
        assert_eq!((steps_of(&plan), plan.processes.len()), (vec![], 1), "{text}");
        assert_eq!(plan.summary().unchanged, 1);
    }
    // Another file, in another folder.
    let moved = config_of("/srv/tm.toml", "[programs.web]\ncommand = \"x\"");
    assert_eq!(steps_of(&all(&web(""), &moved, ProcState::Running)), []);
    let (old, new) = ("[programs.web]\ncommand = \"./x\"", "[programs.web]\ncommand = \"./x\"");
    let plan = all(&config(old), &config_of("/srv/tm.toml", new), ProcState::Running);
    assert_eq!(steps_of(&plan), [("web", ProcessChange::Restart)], "the command is another file");
    // The supervisor's address is not a key of the program.
    let plan = all(&web(""), &web("[unix_http_server]\nfile = \"/run/s.s\""), ProcState::Running);
    assert_eq!((steps_of(&plan), plan.unix, plan.is_empty()), (vec![], Listener::Open, false));
}

#[test]
fn each_state_has_its_change() {
    use ProcState::*;
    let (cold, manual) = ("args = [\"y\"]", "args = [\"y\"]\nautostart = false");
    for (state, expected, not_started) in [
        (Stopped, ProcessChange::Store { restarts: false }, ProcessChange::Store { restarts: false }),
        (Starting, ProcessChange::Restart, ProcessChange::Restart),
        (Running, ProcessChange::Restart, ProcessChange::Restart),
        (Backoff, ProcessChange::Replace { start: true }, ProcessChange::Replace { start: false }),
        (Stopping, ProcessChange::Store { restarts: false }, ProcessChange::Store { restarts: false }),
        (Exited, ProcessChange::Store { restarts: false }, ProcessChange::Store { restarts: false }),
        (Fatal, ProcessChange::Replace { start: true }, ProcessChange::Replace { start: false }),
        (Unknown, ProcessChange::Store { restarts: false }, ProcessChange::Store { restarts: false }),
    ] {
        assert_eq!(step("", cold, facts(state)), expected, "{state}");
        assert_eq!(step("", manual, facts(state)), not_started, "{state}");
        assert_eq!(step("", "priority = 1", facts(state)), ProcessChange::UpdateHot, "{state}");
        assert_eq!(step("", "group = \"g\"\npriority = 999", facts(state)), ProcessChange::Relabel, "{state}");
        assert_eq!(step("", "", facts(state)), ProcessChange::Untouched, "{state}");
    }
    let pending = |state| Facts { restart_pending: true, ..facts(state) };
    for state in [Exited, Stopping] {
        assert_eq!(step("", cold, pending(state)), ProcessChange::Store { restarts: true }, "{state}");
    }
    assert_eq!(step("", cold, Facts { gone: true, ..facts(Unknown) }), ProcessChange::Replace { start: true });
    for (state, expected) in [
        (Stopped, Removal::AtOnce),
        (Starting, Removal::Stop),
        (Running, Removal::Stop),
        (Backoff, Removal::AtOnce),
        (Stopping, Removal::AfterStop),
        (Exited, Removal::AtOnce),
        (Fatal, Removal::AtOnce),
        (Unknown, Removal::AtOnce),
    ] {
        assert_eq!(steps_of(&all(&web(""), &config(""), state)), [("web", ProcessChange::Remove(expected))], "{state}");
    }
    let added = all(&config(""), &web(""), Running);
    assert_eq!(steps_of(&added), [("web", ProcessChange::Add { start: true })]);
    let added = all(&config(""), &web("autostart = false"), Running);
    assert_eq!(steps_of(&added), [("web", ProcessChange::Add { start: false })]);
}

#[test]
fn instances_come_and_go_by_name() {
    let of = |more: &str| config(&format!("[programs.w]\ncommand = \"x\"\n{more}"));
    let numbers = |n: u32| of(&format!("numprocs = {n}"));
    let plan = all(&numbers(2), &numbers(3), ProcState::Running);
    assert_eq!(steps_of(&plan), [("w_02", ProcessChange::Add { start: true })]);
    let plan = all(&numbers(3), &numbers(2), ProcState::Running);
    assert_eq!(steps_of(&plan), [("w_02", ProcessChange::Remove(Removal::Stop))]);
    let plan = all(&numbers(2), &of("numprocs = 2\nnumprocs_start = 1"), ProcState::Running);
    assert_eq!(
        steps_of(&plan),
        [("w_00", ProcessChange::Remove(Removal::Stop)), ("w_02", ProcessChange::Add { start: true })]
    );
    assert_eq!(plan.summary().unchanged, 1);
    // The number is in the arguments, so a new run is needed.
    let (old, new) = (of("numprocs = 2\nargs = [\"%(numprocs)d\"]"), of("numprocs = 3\nargs = [\"%(numprocs)d\"]"));
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(steps_of(&plan)[..2], [("w_00", ProcessChange::Restart), ("w_01", ProcessChange::Restart)]);
}

#[test]
fn a_renamed_program_is_another() {
    let old = config("[programs.a]\ncommand = \"x\"\nprocess_name = \"p\"");
    let new = config("[programs.b]\ncommand = \"x\"\nprocess_name = \"p\"");
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(
        steps_of(&plan),
        [("p", ProcessChange::Remove(Removal::Stop)), ("p", ProcessChange::Add { start: true })]
    );
    assert_eq!(plan.next, new);
}

#[test]
fn a_group_is_only_a_label() {
    let old =
        config("[programs.a]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\n[groups.g]\nprograms = [\"a\", \"b\"]");
    let new = config(
        "[programs.a]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\nargs = [\"y\"]\n[groups.h]\nprograms = [\"a\", \"b\"]",
    );
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(steps_of(&plan), [("a", ProcessChange::Relabel), ("b", ProcessChange::Restart)]);
    for planned in &plan.processes {
        assert_eq!(planned.moved, Some(("g".to_owned(), "h".to_owned())));
    }
    assert_eq!(plan.processes[0].full_name, "h:a");
    // The group's priority is a key of all processes in it.
    let new = config(
        "[programs.a]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\n[groups.g]\npriority = 1\nprograms = [\"b\", \"a\"]",
    );
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(steps_of(&plan), [("a", ProcessChange::UpdateHot), ("b", ProcessChange::UpdateHot)]);
    assert_eq!(plan.processes[0].keys, ["group priority"]);
}

/// A change of each key of a program, by name.
type Edit = (&'static str, fn(&mut ProgramSpec));

const EDITS: &[Edit] = &[
    ("group", |s| s.group.push('x')),
    ("command", |s| s.command.push('x')),
    ("args", |s| s.args.push("x".into())),
    ("env", |s| s.env.push(("X".into(), "y".into()))),
    ("directory", |s| s.directory = Some("/".into())),
    ("umask", |s| s.umask = Some(0)),
    ("user", |s| s.user = Some("x".into())),
    ("redirect_stderr", |s| s.redirect_stderr = true),
    ("stdout", |s| (s.stdout.target, s.stdout.default) = (LogTarget::Auto, false)),
    ("stderr", |s| (s.stderr.target, s.stderr.default) = (LogTarget::None, false)),
    ("stdin", |s| s.stdin = Stdin::Pipe),
    ("shared_log", |s| s.shared_log = true),
    ("serverurl", |s| s.serverurl = Some(ServerUrl::Unix("/x".into()))),
    ("childlogdir", |s| s.stdout.target = LogTarget::Path("/new/web.stdout".into())),
    ("childlogdir", |s| s.stderr.target = LogTarget::Path("/new/web.stderr".into())),
    ("group priority", |s| s.group_priority = 1),
    ("priority", |s| s.policy.priority = 1),
    ("autostart", |s| s.policy.autostart = false),
    ("startsecs", |s| s.policy.startsecs = Duration::ZERO),
    ("startretries", |s| s.policy.startretries = None),
    ("autorestart", |s| s.policy.autorestart = Autorestart::Never),
    ("exitcodes", |s| s.policy.exitcodes.push(9)),
    ("stopsignal", |s| s.policy.stopsignal = Signal::INT),
    ("stopwaitsecs", |s| s.policy.stopwait = None),
    ("stopasgroup", |s| s.policy.stopasgroup = true),
    ("killasgroup", |s| s.policy.killasgroup = true),
    ("stdout_maxbytes", |s| s.stdout.maxbytes = None),
    ("stderr_maxbytes", |s| s.stderr.maxbytes = None),
    ("stdout_backups", |s| s.stdout.backups = 0),
    ("stderr_backups", |s| s.stderr.backups = 0),
    ("strip_ansi", |s| s.strip_ansi = true),
    ("info1", |s| s.info[0] = Some("x".into())),
    ("info2", |s| s.info[1] = Some("x".into())),
    ("info3", |s| s.info[2] = Some("x".into())),
    ("timeout", |s| s.timeout = Some(Duration::from_secs(1))),
    ("feedback", |s| s.feedback = Some("/x".into())),
    ("create_dirs", |s| s.create_dirs = true),
    ("on_event", |s| s.hook.iter_mut().for_each(|hook| hook.command.push("x".into()))),
    ("on_states", |s| s.hook.iter_mut().for_each(|hook| hook.states.clear())),
];

#[test]
fn the_table_of_keys_knows_each_field_of_a_program() {
    let old = web("on_event = [\"mail\"]").processes["web"].clone();
    // A new field stops this from compiling: give it a key above, and a change in EDITS.
    let ProgramSpec {
        name: _,
        program: _,
        process_num: _,
        here: _,
        group: _,
        group_priority: _,
        command: _,
        args: _,
        env: _,
        directory: _,
        umask: _,
        user: _,
        stdout: LogSpec { target: _, default: _, maxbytes: _, backups: _ },
        stderr: _,
        redirect_stderr: _,
        strip_ansi: _,
        stdin: _,
        shared_log: _,
        serverurl: _,
        info: _,
        timeout: _,
        feedback: _,
        create_dirs: _,
        hook: _,
        policy:
            Policy {
                priority: _,
                autostart: _,
                startsecs: _,
                startretries: _,
                autorestart: _,
                exitcodes: _,
                stopsignal: _,
                stopwait: _,
                stopasgroup: _,
                killasgroup: _,
            },
    } = &old;
    for (name, edit) in EDITS {
        let mut new = old.clone();
        edit(&mut new);
        let found = steps(Some(&old), Some(&new), facts(ProcState::Running));
        assert_eq!(found[0].keys, [*name]);
        let key = PROGRAM_KEYS.iter().find(|key| key.name == *name).unwrap();
        let expected = match key.change {
            KeyChange::Label => ProcessChange::Relabel,
            KeyChange::Hot => ProcessChange::UpdateHot,
            KeyChange::Restart => ProcessChange::Restart,
        };
        assert_eq!(found[0].step, expected, "{name}");
    }
    for key in PROGRAM_KEYS {
        assert!(EDITS.iter().any(|(name, _)| *name == key.name), "{} is never changed", key.name);
    }
    // The documented sets of keys.
    let cold: Vec<&str> =
        PROGRAM_KEYS.iter().filter(|key| key.change == KeyChange::Restart).map(|key| key.name).collect();
    assert_eq!(
        cold.join(" "),
        "command args env directory umask user redirect_stderr stdout stderr stdin shared_log serverurl"
    );
}

#[test]
fn another_folder_for_logs_stops_no_process() {
    let old = web("");
    let new = web("[taskmasterd]\nchildlogdir = \"/var/log\"");
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(
        (steps_of(&plan), plan.applied.join(" ")),
        (vec![("web", ProcessChange::UpdateHot)], "childlogdir".into())
    );
    let LogTarget::Path(path) = &plan.next.processes["web"].stdout.target else { panic!("no path") };
    assert_eq!(path.to_str(), Some("/var/log/web.stdout"));
    // If the path is written explicitly, it is another log.
    assert_eq!(
        steps_of(&all(&old, &web("stdout = \"/var/log/web.stdout\""), ProcState::Running)),
        [("web", ProcessChange::Restart)]
    );
}

#[test]
fn the_supervisor_applies_what_it_can_and_lists_the_rest() {
    let old = web("");
    let mut new = old.clone();
    new.server = ServerSpec {
        logfile: None,
        logfile_maxbytes: None,
        logfile_backups: 0,
        loglevel: Level::Trace,
        pidfile: "/x".into(),
        umask: 0,
        nodaemon: true,
        silent: true,
        minfds: 1,
        minprocs: 1,
        user: Some("x".into()),
        directory: Some("/".into()),
        strip_ansi: true,
        identifier: "x".into(),
        childlogdir: "/var".into(),
        nocleanup: true,
        database: Some("/db".into()),
        orphans: Orphans::Stop,
        restart_throttle: Duration::ZERO,
        history_keep: Keep::Newest(1),
        create_dirs: true,
        start_serial: true,
        remember_stops: true,
        hook: Some(Hook { command: vec!["x".into()], states: vec![] }),
        env: vec![("A".into(), "1".into())],
    };
    let plan = all(&old, &new, ProcState::Running);
    assert_eq!(
        plan.applied.join(" "),
        "logfile logfile_maxbytes logfile_backups loglevel strip_ansi identifier childlogdir nocleanup orphans \
         restart_throttle history_keep create_dirs start_serial remember_stops"
    );
    assert_eq!(plan.needs_restart.join(" "), "pidfile umask nodaemon silent minfds minprocs user directory database");
    assert_eq!(plan.summary().needs_restart, plan.needs_restart);
    // Each field is a key, and those that need a restart are unchanged.
    assert_eq!(SERVER_KEYS.len(), plan.applied.len() + plan.needs_restart.len() + 2);
    for key in SERVER_KEYS {
        assert!(!(key.same)(&old.server, &new.server), "{}", key.name);
        let kept = if key.applies == Applies::AtStart { &old } else { &new };
        assert!((key.same)(&kept.server, &plan.next.server), "{}", key.name);
    }
    let plan = all(&web(""), &web("[taskmasterd.env]\nA = 1"), ProcState::Running);
    assert_eq!((steps_of(&plan), plan.applied.len()), (vec![("web", ProcessChange::Restart)], 0));
}

#[test]
fn listeners_move_or_change() {
    let unix = |file: &str| web(&format!("[unix_http_server]\nfile = \"{file}\""));
    let inet = |port: &str| web(&format!("[inet_http_server]\nport = \"{port}\"\nallow_remote = true"));
    let credentials = Some(Credentials { username: "u".into(), password: Password::Plain("p".into()) });
    let (mut asks, mut asked) = (unix("/a.s"), inet("[::1]:1"));
    asks.unix.as_mut().unwrap().credentials = credentials.clone();
    asked.inet.as_mut().unwrap().credentials = credentials;
    for (old, new, first, second) in [
        (web(""), web(""), Listener::Keep, Listener::Keep),
        (web(""), unix("/a.s"), Listener::Open, Listener::Keep),
        (unix("/a.s"), unix("/a.s"), Listener::Keep, Listener::Keep),
        (unix("/a.s"), unix("/b.s"), Listener::Replace, Listener::Keep),
        (unix("/a.s"), asks, Listener::Update, Listener::Keep),
        (unix("/a.s"), inet(":1"), Listener::Close, Listener::Open),
        (inet(":1"), inet(":2"), Listener::Keep, Listener::Replace),
        (inet(":1"), inet("[::1]:1"), Listener::Keep, Listener::Replace),
        (inet("[::1]:1"), asked, Listener::Keep, Listener::Update),
    ] {
        let plan = all(&old, &new, ProcState::Running);
        assert_eq!((plan.unix, plan.inet), (first, second));
        assert_eq!(plan.next, new);
    }
}

#[test]
fn only_the_requested_scope_is_reloaded() {
    let text = |arg: &str, more: &str| {
        let one = |name: &str| format!("[programs.{name}]\ncommand = \"x\"\nargs = [\"{arg}\"]\n");
        config(&format!(
            "{}{}{}{more}\n[groups.g]\nprograms = [\"a\", \"b\"]\n[groups.h]\nprograms = [\"c\"]",
            one("a"),
            one("b"),
            one("c")
        ))
    };
    let old = text("1", "numprocs = 2");
    let new = text(
        "2",
        "numprocs = 2\n[taskmasterd]\nloglevel = \"debug\"\n[unix_http_server]\nfile = \"/s.s\"\n[taskmasterctl]\nprompt = \"p\"",
    );
    let facts = old.processes.keys().map(|name| (name.clone(), facts(ProcState::Running))).collect();
    for (name, reloaded, left) in [
        ("a", "a", "b c_00 c_01"),
        ("c", "c_00 c_01", "a b"),
        ("c_01", "c_01", "a b c_00"),
        ("h:c_00", "c_00", "a b c_01"),
        ("h", "c_00 c_01", "a b"),
        ("g", "a b", "c_00 c_01"),
        ("g:*", "a b", "c_00 c_01"),
        ("g:", "a b", "c_00 c_01"),
    ] {
        let names = [name.to_owned()];
        let plan = plan(&old, &new, &facts, Scope::Names(&names)).unwrap();
        let doing: Vec<&str> = steps_of(&plan).into_iter().map(|(name, _)| name).collect();
        assert_eq!((doing.join(" "), plan.pending.join(" ")), (reloaded.to_owned(), left.to_owned()), "{name}");
        assert_eq!((&plan.next.server, &plan.next.unix, plan.unix), (&old.server, &None, Listener::Keep));
        for (name, spec) in &plan.next.processes {
            let from = if reloaded.split(' ').any(|other| other == name) { &new } else { &old };
            assert_eq!(spec, &from.processes[name]);
        }
        assert_eq!(plan.next.groups, new.groups);
    }
    let names = ["a", "z", "g:c_00"].map(str::to_owned);
    let error = plan(&old, &new, &facts, Scope::Names(&names)).unwrap_err();
    assert_eq!(error.to_string(), "no such program, group or process: z, g:c_00");
    for scope in [Scope::Server, Scope::Unix, Scope::Inet, Scope::Client] {
        let plan = plan(&old, &new, &facts, scope).unwrap();
        assert_eq!((plan.processes.len(), plan.pending.len()), (0, 4));
        assert_eq!(plan.applied.is_empty(), scope != Scope::Server);
        assert_eq!(plan.unix == Listener::Open, scope == Scope::Unix);
        assert_eq!(plan.next.client == new.client, scope == Scope::Client);
        assert_eq!((plan.next.processes, plan.next.groups), (old.processes.clone(), old.groups.clone()));
    }
}

#[test]
fn a_plan_has_a_summary() {
    let old = config(
        "[programs.a]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\n[programs.c]\ncommand = \"x\"\n[programs.d]\ncommand = \"x\"",
    );
    let new = config(
        "[programs.b]\ncommand = \"y\"\n[programs.c]\ncommand = \"x\"\npriority = 1\n[programs.d]\ncommand = \"x\"\n[programs.e]\ncommand = \"x\"\ngroup = \"g\"",
    );
    let found = all(&old, &new, ProcState::Running);
    let json = serde_json::to_string(&found.summary()).unwrap();
    assert_eq!(
        json,
        r#"{"added":["g:e"],"removed":["a"],"restarted":["b"],"updated":["c"],"unchanged":1,"needs_restart":[],"settings":[]}"#
    );
    let open = config("[taskmasterd]\nloglevel = \"debug\"\n[unix_http_server]\nfile = \"s.sock\"");
    let settings = all(&config(""), &open, ProcState::Running).summary().settings;
    assert_eq!(settings, ["unix_http_server: opened", "taskmasterd loglevel: updated"]);
    let words: Vec<_> = found.processes.iter().map(|planned| planned.step.reread_word()).collect();
    assert_eq!(words, [Some("disappeared"), Some("changed"), Some("changed"), None, Some("available")]);
    assert!(!found.is_empty() && all(&old, &old, ProcState::Running).is_empty());
    assert_eq!(ProcessChange::Replace { start: true }.word(), Some("restarted"));
    assert_eq!(ProcessChange::Replace { start: false }.word(), Some("updated"));
}

fn any_config() -> impl Strategy<Value = Config> {
    let program = (1..4u32, 0..3u32, 0..2u32, proptest::option::of("[gh]"));
    proptest::collection::btree_map("[a-c]", program, 0..4).prop_map(|programs| {
        let tables = programs.iter().map(|(name, (numprocs, arg, priority, group))| {
            let group = group.as_ref().map(|group| format!("group = \"{group}\"\n")).unwrap_or_default();
            format!("[programs.{name}]\ncommand = \"x\"\nnumprocs = {numprocs}\nargs = [\"{arg}\"]\npriority = {priority}\n{group}")
        });
        config(&tables.collect::<String>())
    })
}

proptest! {
    #[test]
    fn a_plan_leads_to_the_new_configuration(
        old in any_config(), new in any_config(), states in proptest::collection::vec(0..8usize, 12), pick in "[a-cgh]",
    ) {
        let names = old.processes.keys().chain(new.processes.keys());
        let facts: BTreeMap<String, Facts> =
            names.zip(&states).map(|(name, state)| (name.clone(), facts(ProcState::ALL[*state]))).collect();
        let full = plan(&old, &new, &facts, Scope::All).unwrap();
        prop_assert_eq!(&full.next, &new);
        prop_assert!(plan(&full.next, &new, &facts, Scope::All).unwrap().is_empty());
        for planned in &full.processes {
            let there = (old.processes.contains_key(&planned.name), new.processes.contains_key(&planned.name));
            let expected = match planned.step {
                ProcessChange::Add { .. } => (false, true),
                ProcessChange::Remove(_) => (true, false),
                ProcessChange::Untouched | ProcessChange::UpdateHot | ProcessChange::Restart | ProcessChange::Replace { .. } | ProcessChange::Store { .. } | ProcessChange::Relabel => (true, true),
            };
            prop_assert_eq!(there, expected);
            if let Some(facts) = facts.get(&planned.name).filter(|_| planned.step == ProcessChange::Restart) {
                prop_assert!(facts.state.is_live());
            }
        }
        // A partial reload followed by a full one equals a full one.
        if let Ok(part) = plan(&old, &new, &facts, Scope::Names(&[pick])) {
            let rest = plan(&part.next, &new, &facts, Scope::All).unwrap();
            let left: Vec<&str> = steps_of(&rest).into_iter().map(|(name, _)| name).collect();
            prop_assert_eq!(left, part.pending.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(rest.next, new);
            for spec in part.next.processes.values() {
                prop_assert!(part.next.groups[&spec.group].programs.contains(&spec.program));
            }
        }
    }
}
