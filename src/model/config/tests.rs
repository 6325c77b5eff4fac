//! Rules of the configuration: snippets, and their results.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{
    program::{
        AutoResume, Autorestart, Credentials, Executable, Keep, LogTarget, Orphans, Password, Policy, ProcState, Stdin,
    },
    task::Signal,
};

/// A host with the users root, www (33) and me (1000), on which the folders named here exist.
pub(super) struct Fake {
    uid: u32,
    folders: Vec<&'static str>,
}

impl Fake {
    pub(super) fn root() -> Fake {
        Fake {
            uid: 0,
            folders: vec!["/", "/etc", "/etc/tm", "/etc/linked", "/tmp", "/start", "/var/log", "/home/me", "/run"],
        }
    }

    pub(super) fn me() -> Fake {
        Fake { uid: 1000, ..Fake::root() }
    }
}

impl World for Fake {
    fn env(&self, name: &str) -> Option<String> {
        [("HOME", "/home/me"), ("PATH", "/bin")].into_iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_owned())
    }

    fn host(&self) -> String {
        "box".to_owned()
    }

    fn start_dir(&self) -> PathBuf {
        PathBuf::from("/start")
    }

    fn uid(&self) -> u32 {
        self.uid
    }

    fn home(&self, user: Option<&str>) -> Option<PathBuf> {
        match user {
            None if self.uid == 0 => Some(PathBuf::from("/root")),
            None | Some("me") => Some(PathBuf::from("/home/me")),
            Some(_) => None,
        }
    }

    fn user(&self, name: &str) -> Option<u32> {
        let users = [("root", 0), ("www", 33), ("me", 1000), ("0", 0), ("33", 33), ("1000", 1000)];
        users.into_iter().find(|(n, _)| *n == name).map(|(_, uid)| uid)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "adm").then_some(4)
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        // A link to a folder.
        Some(match path.strip_prefix("/etc/linked") {
            Ok(rest) => Path::new("/etc/tm").join(rest),
            Err(_) => path.to_owned(),
        })
    }

    fn kind(&self, path: &Path) -> PathKind {
        let text = path.to_str().unwrap();
        match text {
            "/dev/stdout" | "/dev/null" => PathKind::Stream,
            "/etc/tm/tm.toml" => PathKind::File,
            "/dev" => PathKind::Directory,
            _ if self.folders.contains(&text) => PathKind::Directory,
            _ => PathKind::Missing,
        }
    }
}

const SOCKET: &str = "[unix_http_server]\nfile = \"/tmp/s\"\n";

fn file(path: &str, text: &str) -> File {
    File { path: PathBuf::from(path), text: text.to_owned(), access: None }
}

pub(super) fn main_file(text: &str) -> File {
    file("/etc/tm/tm.toml", text)
}

pub(super) fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::to_string).collect()
}

fn load_as(world: &Fake, text: &str, overrides: &Overrides) -> Result<(Config, Vec<String>), Vec<String>> {
    let input = ConfigInput { main: &main_file(text), found: false, included: &[], overrides };
    read(&input, world).map(|(config, warnings)| (config, lines(&warnings))).map_err(|errors| lines(&errors))
}

fn load(text: &str) -> Result<(Config, Vec<String>), Vec<String>> {
    load_as(&Fake::root(), text, &Overrides::default())
}

/// Reads a text without errors and warnings; a socket is added.
fn good(text: &str) -> Config {
    let text = format!("{text}\n{SOCKET}");
    let (config, warnings) = load(&text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    assert_eq!(warnings, [""; 0], "{text}");
    config
}

/// Reads a program with these lines; returns its one process.
fn web(body: &str) -> ProgramSpec {
    let config = good(&format!("[programs.web]\ncommand = \"/bin/web\"\n{body}"));
    assert_eq!(config.processes.len(), 1);
    config.processes["web"].clone()
}

pub(super) fn errors(text: &str) -> Vec<String> {
    let errors = load(text).map(|(config, _)| config).expect_err(text);
    errors.iter().map(|line| line.strip_prefix("/etc/tm/tm.toml").unwrap_or(line).to_owned()).collect()
}

fn warnings(world: &Fake, text: &str) -> Vec<String> {
    let (_, warnings) = load_as(world, &format!("{text}\n{SOCKET}"), &Overrides::default()).unwrap();
    warnings.iter().map(|line| line.strip_prefix("/etc/tm/tm.toml").unwrap_or(line).to_owned()).collect()
}

#[test]
fn a_program_has_the_documented_defaults() {
    let spec = web("");
    let log = |stream: &str| crate::model::program::LogSpec {
        target: LogTarget::Path(format!("/root/.local/state/taskwatcher/programs/web.{stream}").into()),
        default: true,
        maxbytes: Some(50 * 1024 * 1024),
        backups: 10,
    };
    let expected = ProgramSpec {
        name: "web".into(),
        program: "web".into(),
        group: "web".into(),
        group_priority: 999,
        process_num: 0,
        command: "/bin/web".into(),
        args: vec![],
        env: vec![],
        here: "/etc/tm".into(),
        directory: None,
        umask: None,
        user: None,
        stdout: log("stdout"),
        stderr: log("stderr"),
        redirect_stderr: false,
        strip_ansi: false,
        stdin: Stdin::Null,
        shared_log: false,
        serverurl: None,
        info: [None, None, None],
        timeout: None,
        feedback: None,
        create_dirs: false,
        hook: None,
        policy: Policy::default(),
    };
    assert_eq!(spec, expected);
    assert_eq!(spec.full_name(), "web");
}

#[test]
fn a_program_takes_every_key() {
    let spec = web(
        "args = [\"-p\", \"%(process_num)d\", \"100%\"]\nprocess_name = \"%(program_name)s\"\nnumprocs_start = 3\n\
         priority = -1\nautostart = false\nstartsecs = 0.5\nstartretries = \"unlimited\"\nautorestart = \"true\"\n\
         exitcodes = [0, 2]\nstopsignal = \"sigint\"\nstopwaitsecs = \"forever\"\nstopasgroup = true\nuser = \"33\"\n\
         stdout = \"out\"\nstderr = \"AUTO\"\nstdout_logfile_maxbytes = \"1kb\"\nstderr_maxbytes = 0\n\
         stdout_backups = 0\nstderr_logfile_backups = 2\nstrip_ansi = true\ndirectory = \"~/x\"\numask = \"0o027\"\n\
         stdin = \"pipe\"\nshared_log = true\nserverurl = \"http://[::1]:9\"\ninfo1 = \"a%(here)s\"\ntimeout = 60\n\
         feedback = \"f\"\non_event = [\"mail\"]\non_states = [\"fatal\"]\n\
         env = { A = true, B = 0x10, C = 1.50, D = 1979-05-27, E = \"%(ENV_B)s%(ENV_PATH)s\", PATH = \"/x:%(ENV_PATH)s\" }",
    );
    assert_eq!(spec.args, ["-p", "3", "100%"]);
    let policy = Policy {
        priority: -1,
        autostart: false,
        startsecs: Duration::from_millis(500),
        startretries: None,
        autorestart: Autorestart::Always,
        exitcodes: vec![0, 2],
        stopsignal: Signal::INT,
        stopwait: None,
        stopasgroup: true,
        killasgroup: true,
    };
    assert_eq!(spec.policy, policy);
    assert_eq!(spec.group_priority, -1, "a program without a group has its own");
    assert_eq!(spec.process_num, 3);
    assert_eq!(spec.stdout.target, LogTarget::Path("/etc/tm/out".into()));
    assert_eq!((spec.stdout.maxbytes, spec.stdout.backups), (Some(1024), 0));
    assert_eq!((&spec.stderr.target, spec.stderr.maxbytes, spec.stderr.backups), (&LogTarget::Auto, None, 2));
    assert_eq!(spec.directory, Some("/root/x".into()));
    assert_eq!((spec.umask, spec.user.as_deref(), spec.stdin), (Some(0o27), Some("33"), Stdin::Pipe));
    assert_eq!(spec.serverurl.map(|url| url.to_string()).as_deref(), Some("http://[::1]:9"));
    assert_eq!(spec.info, [Some("a%(here)s".to_owned()), None, None], "placeholders are not expanded here");
    assert_eq!((spec.timeout, spec.feedback), (Some(Duration::from_secs(60)), Some("/etc/tm/f".into())));
    let hook = spec.hook.unwrap();
    assert_eq!((hook.command, hook.states), (vec!["mail".to_owned()], vec![ProcState::Fatal]));
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["A=true", "B=16", "C=1.50", "D=1979-05-27", "E=16/bin", "PATH=/x:/bin"]);
}

#[test]
fn values_have_more_than_one_spelling() {
    for (line, expected) in
        [("umask = 0o22", 0o22), ("umask = \"022\"", 0o22), ("umask = \"0o022\"", 0o22), ("umask = 0", 0)]
    {
        assert_eq!(web(line).umask, Some(expected), "{line}");
    }
    for (line, expected) in [
        ("stdout_maxbytes = 5", Some(5)),
        ("stdout_maxbytes = \"2 gB\"", Some(2 << 30)),
        ("stdout_maxbytes = \"3MB\"", Some(3 << 20)),
        ("stdout_maxbytes = \"7\"", Some(7)),
        ("stdout_maxbytes = \"0KB\"", None),
    ] {
        assert_eq!(web(line).stdout.maxbytes, expected, "{line}");
    }
    for (line, expected) in [
        ("stopsignal = \"10\"", Signal(10)),
        ("stopsignal = \"SIGUSR1\"", Signal(10)),
        ("stopsignal = \"hup\"", Signal::HUP),
    ] {
        assert_eq!(web(line).policy.stopsignal, expected, "{line}");
    }
    assert_eq!(web("stopwaitsecs = 0").policy.stopwait, Some(Duration::ZERO));
    assert_eq!(web("exitcodes = []").policy.exitcodes, [0; 0]);
    assert_eq!(web("startretries = 0").policy.startretries, Some(0));
    assert!(web("killasgroup = true").policy.killasgroup);
    assert_eq!(web("serverurl = \"auto\"").serverurl, None);
    assert_eq!(good("[programs.web]\ncmd = \"x\"").processes["web"].command, "x");
    assert_eq!(good("[programs.ü]\ncommand = \"x\"".replace('ü', "\"ü\"").as_str()).processes["ü"].full_name(), "ü");
}

#[test]
fn a_command_names_a_file() {
    for (command, directory, expected) in [
        ("/bin/x", "", Executable::File("/bin/x".into())),
        ("./x", "", Executable::File("/etc/tm/./x".into())),
        ("b/x", "directory = \"/srv\"", Executable::File("/srv/b/x".into())),
        ("x y", "", Executable::Search("x y".into())),
    ] {
        let config = good(&format!("[programs.web]\ncommand = \"{command}\"\n{directory}"));
        let spec = &config.processes["web"];
        assert_eq!((spec.executable(), spec.command.as_str()), (expected, command));
    }
}

#[test]
fn one_process_for_each_number() {
    let config = good(
        "[programs.w]\ncommand = \"x\"\nnumprocs = 3\nnumprocs_start = 9\nargs = [\"%(process_num)d/%(numprocs)d\"]\n\
         env = { N = \"%(process_num)03d\" }\n[groups.g]\nprograms = [\"w\"]\npriority = 5",
    );
    let names: Vec<&String> = config.processes.keys().collect();
    assert_eq!(names, ["w_09", "w_10", "w_11"]);
    let last = &config.processes["w_11"];
    assert_eq!((last.args[0].as_str(), last.env[0].1.as_str(), last.process_num), ("11/3", "011", 11));
    assert_eq!((last.full_name().as_str(), last.group_priority), ("g:w_11", 5));
    assert_eq!(last.stdout.target, LogTarget::Path("/root/.local/state/taskwatcher/programs/w_11.stdout".into()));
    assert_eq!(config.groups["g"].programs, ["w"]);
    let many = good("[programs.w]\ncommand = \"x\"\nnumprocs = 1000");
    assert_eq!((many.processes.len(), many.groups.len()), (1000, 1));
}

#[test]
fn groups_come_from_both_sides() {
    let config = good(
        "[programs.a]\ncommand = \"x\"\ngroup = \"g\"\n[programs.b]\ncommand = \"x\"\ngroup = \"new\"\n\
         [programs.c]\ncommand = \"x\"\npriority = 1\nargs = [\"%(group_name)s\"]\n[groups.g]\nprograms = [\"a\"]",
    );
    let groups: Vec<(String, i64)> =
        config.processes.values().map(|spec| (spec.full_name(), spec.group_priority)).collect();
    assert_eq!(groups, [("g:a".to_owned(), 999), ("new:b".to_owned(), 999), ("c".to_owned(), 1)]);
    assert_eq!(config.processes["c"].args, ["c"]);
    assert_eq!(config.groups.keys().collect::<Vec<_>>(), ["c", "g", "new"]);
    assert_eq!(config.start_order(), ["c", "a", "b"]);
    // A group may have the name of a program in it.
    assert_eq!(good("[programs.a]\ncommand = \"x\"\n[groups.a]\nprograms = [\"a\"]").groups.len(), 1);
}

#[test]
fn a_shared_log_has_to_be_declared() {
    let both = |more: &str| {
        let one = |name: &str| format!("[programs.{name}]\ncommand = \"x\"\nstdout = \"/tmp/l\"\n{more}\n");
        format!("{}{}", one("a"), one("b"))
    };
    assert_eq!(good(&both("stdout_maxbytes = 0\nshared_log = true")).processes.len(), 2);
    assert_eq!(errors(&both("stdout_maxbytes = 0")).len(), 1);
    assert_eq!(errors(&both("shared_log = true")).len(), 1);
    let nowhere = both("stderr = \"/dev/null\"").replace("/tmp/l", "/dev/null");
    assert_eq!(good(&nowhere).processes.len(), 2, "a device may be shared");
    let shared = "[programs.a]\ncommand = \"x\"\n[programs.b]\ncommand = \"x\"\nprocess_name = \"a\"";
    let found = errors(shared);
    assert!(found.len() == 1 && found[0].contains("the process name \"a\""), "{found:#?}");
}

#[test]
fn the_supervisor_has_the_documented_defaults() {
    let config = good("");
    let server = config.server;
    assert_eq!(server.logfile, Some("/start/taskmaster.log".into()));
    assert_eq!((server.logfile_maxbytes, server.logfile_backups), (Some(50 << 20), 10));
    assert_eq!((server.loglevel, server.pidfile), (Level::Info, "/start/taskmasterd.pid".into()));
    assert_eq!((server.umask, server.minfds, server.minprocs), (0o22, 1024, 200));
    assert_eq!((server.user, server.directory, server.database), (None, None, None));
    let (of_root, of_others) = ("/root/.local/state/taskwatcher/programs", "/tmp");
    assert_eq!((server.identifier.as_str(), server.childlogdir), ("supervise", of_root.into()));
    for (world, user, folder) in [(Fake::me(), "", of_others), (Fake::root(), "user = \"www\"", of_others)] {
        let (config, _) = load_as(&world, &format!("[taskmasterd]\n{user}\n{SOCKET}"), &Overrides::default()).unwrap();
        assert_eq!(config.server.childlogdir, Path::new(folder), "{user}");
    }
    assert_eq!(
        (server.orphans, server.restart_throttle, server.history_keep),
        (Orphans::Adopt, Duration::from_secs(1), Keep::Newest(10_000))
    );
    assert!(!(server.nodaemon || server.silent || server.strip_ansi || server.nocleanup));
    assert!(!(server.create_dirs || server.start_serial || server.remember_stops));
    assert_eq!((server.hook, server.env.len(), config.inet), (None, 0, None));
    let unix = config.unix.unwrap();
    assert_eq!((unix.file, unix.chmod, unix.chown, unix.credentials), ("/tmp/s".into(), 0o700, None, None));
    assert_eq!(config.client.history, Some("/root/.local/state/taskwatcher/shell_history".into()));
    assert_eq!(config.client, ClientSpec { history: config.client.history.clone(), ..ClientSpec::default() });
}

#[test]
fn the_supervisor_takes_every_key() {
    let config = good(
        "[taskmasterd]\nlogfile = \"NONE\"\nlogfile_maxbytes = \"1MB\"\nlogfile_backups = 0\nloglevel = \"debug\"\n\
         pidfile = \"%(here)s/p\"\numask = 0o77\nnodaemon = false\nsilent = true\nminfds = 1\nminprocs = 2\nuser = \"me\"\n\
         directory = \"~\"\nstrip_ansi = true\nidentifier = \"tm\"\nchildlogdir = \"/var/log\"\nnocleanup = true\n\
         database = \"~/db\"\norphans = \"leave\"\nrestart_throttle = 0\nhistory_keep = \"30d\"\ncreate_dirs = true\n\
         start_serial = true\nremember_stops = true\non_event = [\"./mail\", \"%(ENV_A)s\"]\nenv = { A = \"1\" }\n\
         [programs.a]\ncommand = \"x\"\nstdout = \"/new/x\"\non_states = [\"EXITED\"]\nenv = { B = \"%(ENV_A)s\" }\n\
         [programs.b]\ncommand = \"x\"\nstrip_ansi = false\non_event = []\nenv = { A = \"2\" }",
    );
    let server = &config.server;
    assert_eq!((&server.logfile, server.logfile_maxbytes, server.logfile_backups), (&None, Some(1 << 20), 0));
    assert_eq!((server.pidfile.to_str(), server.umask, server.loglevel), (Some("/etc/tm/p"), 0o77, Level::Debug));
    assert_eq!((server.user.as_deref(), server.directory.as_deref()), (Some("me"), Some(Path::new("/home/me"))));
    assert_eq!(server.database.as_deref(), Some(Path::new("/home/me/db")), "~ is the home of the user it runs as");
    assert_eq!(server.history_keep, Keep::Since(Duration::from_secs(30 * 86_400)));
    assert_eq!((server.orphans, server.restart_throttle), (Orphans::Leave, Duration::ZERO));
    assert!(server.silent && server.strip_ansi && server.nocleanup && server.start_serial && server.remember_stops);
    let hook = server.hook.as_ref().unwrap();
    assert_eq!((hook.command.join(" ").as_str(), hook.states.len()), ("/etc/tm/mail 1", 8));
    let (a, b) = (&config.processes["a"], &config.processes["b"]);
    assert!(a.create_dirs && a.strip_ansi && !b.strip_ansi);
    assert_eq!(a.stderr.target, LogTarget::Path("/var/log/a.stderr".into()));
    assert_eq!(a.hook.as_ref().map(|hook| hook.states.clone()), Some(vec![ProcState::Exited]));
    assert_eq!(b.hook, None);
    assert_eq!(a.env, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "1".to_owned())]);
    assert_eq!(b.env, [("A".to_owned(), "2".to_owned())]);
    assert_eq!(good("[taskmasterd]\nhistory_keep = 7").server.history_keep, Keep::Newest(7));
    assert_eq!(good("[taskmasterd]\nlogfile = \"/dev/stdout\"\nlogfile_maxbytes = 0").server.logfile_maxbytes, None);
}

#[test]
fn servers_take_every_key() {
    let sum = "0123456789abcdefABCDEF0123456789".repeat(2);
    let (config, warnings) = load(&format!(
        "[unix_http_server]\nfile = \"%(here)s/s\"\nchmod = \"0770\"\nchown = \"me:adm\"\nusername = \"u\"\npassword = \"a:b%\"\n\
         [inet_http_server]\nport = \"*:9001\"\nusername = \"u\"\npassword = \"{{SHA256}}{sum}\"\n\
         [taskmasterctl]\nserverurl = \"http://localhost:9001\"\nprompt = \"\"\nhistory = \"\"\nusername = \"u\"\n\
         password = \"p\"\ntimeout = 5\nnotify = true\nauto_resume = \"exact\"\n"
    ))
    .unwrap();
    assert_eq!(warnings, [""; 0]);
    let unix = config.unix.clone().unwrap();
    assert_eq!((unix.file.to_str(), unix.chmod), (Some("/etc/tm/s"), 0o770));
    let owner = unix.chown.unwrap();
    assert_eq!((owner.text.as_str(), owner.uid, owner.gid), ("me:adm", 1000, Some(4)));
    let plain = Credentials { username: "u".into(), password: Password::Plain("a:b%".into()) };
    assert_eq!(unix.credentials, Some(plain));
    let inet = config.inet.clone().unwrap();
    assert_eq!((inet.host, inet.port), (None, 9001));
    let Some(Credentials { password: Password::Sha256(bytes), .. }) = inet.credentials else { panic!("no sum") };
    assert_eq!((bytes[0], bytes[15], bytes[16]), (1, 0x89, 1));
    let client = config.client;
    assert_eq!(
        (client.serverurl.to_string().as_str(), client.prompt.as_str(), client.history),
        ("http://localhost:9001", "", None)
    );
    assert_eq!(
        (client.timeout, client.notify, client.auto_resume),
        (Some(Duration::from_secs(5)), true, AutoResume::Exact)
    );
    for (port, host) in
        [(":1", None), ("[::1]:1", Some("::1")), ("127.0.0.1:1", Some("127.0.0.1")), ("h-1.x:1", Some("h-1.x"))]
    {
        let text = format!("[inet_http_server]\nport = \"{port}\"\nusername = \"u\"\npassword = \"p\"");
        assert_eq!(good(&text).inet.unwrap().host.as_deref(), host, "{port}");
    }
    // A file's owner can be a number without a user.
    let (config, _) = load(&format!("{SOCKET}chown = \"7:8\"")).unwrap();
    let owner = config.unix.unwrap().chown.unwrap();
    assert_eq!((owner.uid, owner.gid), (7, Some(8)));
}

#[test]
fn a_process_gets_the_address_of_its_supervisor() {
    let program = "[programs.web]\ncommand = \"x\"\n";
    let inet = "[inet_http_server]\nport = \"*:9001\"\nallow_remote = true\n";
    let url = |text: &str| {
        let (config, _) = load(text).unwrap();
        config.server_url(&config.processes["web"]).map(|url| url.to_string())
    };
    assert_eq!(url(&format!("{program}{inet}{SOCKET}")).as_deref(), Some("unix:///tmp/s"));
    assert_eq!(url(&format!("{program}{inet}")).as_deref(), Some("http://localhost:9001"));
    assert_eq!(url(program), None);
    assert_eq!(url(&format!("{program}serverurl = \"unix:///x\"\n{inet}")).as_deref(), Some("unix:///x"));
}

#[test]
fn doubtful_settings_are_warnings() {
    let program = "[programs.web]\ncommand = \"x\"\n";
    for (text, expected) in [
        (
            "stopsignal = \"KILL\"",
            ":3: [programs.web] stopsignal: SIGKILL gives the program no chance to shut down (TERM is usual)",
        ),
        (
            "stopsignal = \"stop\"",
            ":3: [programs.web] stopsignal: SIGSTOP gives the program no chance to shut down (TERM is usual)",
        ),
        (
            "redirect_stderr = true\nstderr = \"/tmp/e\"",
            ":4: [programs.web] stderr: ignored (redirect_stderr = true sends stderr to stdout)",
        ),
        (
            "args = [\"run.sh\"]\ndirectory = \"/tmp\"\nstdout = \"/tmp/run.sh\"",
            ":5: [programs.web] stdout: \"/tmp/run.sh\" is also an argument of web (clear would empty it, and rotation would rename it)",
        ),
        (
            "on_event = [\"sh\", \"/tmp/h.sh\"]\nstdout = \"/tmp/h.sh\"",
            ":4: [programs.web] stdout: \"/tmp/h.sh\" is also an argument of the hook of web (clear would empty it, and rotation would rename it)",
        ),
        ("on_states = [\"FATAL\"]", ":3: [programs.web] on_states: no effect (on_event is not set)"),
        (
            "user = \"www\"",
            ":3: [programs.web] user: only root can switch to user \"www\"; running as user 1000 (the program will not start)",
        ),
        ("user = \"me\"", ""),
        ("user = \"1000\"", ""),
        (
            "[taskmasterd]\nnodaemon = true\ndirectory = \"/tmp\"",
            ":5: [taskmasterd] directory: ignored (with nodaemon the working directory is kept)",
        ),
        (
            "[inet_http_server]\nport = \"127.0.0.1:1\"",
            ":4: [inet_http_server] port: open to every user of this host (set username and password)",
        ),
        (
            "[inet_http_server]\nport = \":1\"\nallow_remote = true",
            ":4: [inet_http_server] port: open to everybody who can reach it (set username and password)",
        ),
    ] {
        let expected: Vec<&str> = Some(expected).filter(|line| !line.is_empty()).into_iter().collect();
        assert_eq!(warnings(&Fake::me(), &format!("{program}{text}")), expected, "{text}");
    }
    let (_, found) = load(program).unwrap();
    assert_eq!(
        found,
        [
            "/etc/tm/tm.toml: [unix_http_server]: missing, so no client can connect (only signals control the supervisor)"
        ]
    );
    let found = load_as(&Fake::me(), "[taskmasterd]\nuser = \"www\"", &Overrides::default()).unwrap_err();
    assert_eq!(
        found,
        [
            "/etc/tm/tm.toml:2: [taskmasterd] user: only root can switch to user \"www\"; running as user 1000 (start the supervisor as root, or remove the key)"
        ]
    );
    // An ignored setting makes no difference.
    let text = format!("{program}redirect_stderr = true\n{SOCKET}");
    let (plain, _) = load(&text).unwrap();
    let (more, _) = load(&text.replace("[unix", "stderr = \"/tmp/e\"\n[unix")).unwrap();
    assert_eq!(plain.processes, more.processes);
}

#[test]
fn the_command_line_overrides_the_files() {
    let overrides = Overrides {
        nodaemon: true,
        user: Some("33".into()),
        umask: Some(0),
        directory: Some("/tmp".into()),
        logfile: Some("log".into()),
        loglevel: Some(Level::Trace),
        pidfile: Some("/run/p".into()),
        identifier: Some("x".into()),
        minfds: Some(1),
        minprocs: Some(2),
        database: Some("db".into()),
    };
    // An overridden setting may be out of date.
    let text = format!("[taskmasterd]\nuser = \"gone\"\nlogfile = \"/gone/x\"\npidfile = \"/gone/y\"\n{SOCKET}");
    let (config, warnings) = load_as(&Fake::root(), &text, &overrides).unwrap();
    let server = config.server;
    assert_eq!(
        (server.logfile, server.pidfile, server.database),
        (Some("/start/log".into()), "/run/p".into(), Some("/start/db".into()))
    );
    assert_eq!((server.umask, server.loglevel, server.identifier.as_str()), (0, Level::Trace, "x"));
    assert_eq!((server.minfds, server.minprocs, server.user.as_deref(), server.nodaemon), (1, 2, Some("33"), true));
    assert_eq!(warnings, ["command line: --directory: ignored (with nodaemon the working directory is kept)"]);
    let bad = Overrides {
        user: Some("bob".into()),
        pidfile: Some("/no/p".into()),
        logfile: Some("none".into()),
        ..Overrides::default()
    };
    assert_eq!(
        load_as(&Fake::root(), SOCKET, &bad).unwrap_err(),
        [
            "command line: --user: unknown user \"bob\" (a name, or a number in quotes)",
            "command line: --pidfile: the directory \"/no\" does not exist (create it, or set create_dirs = true in [taskmasterd])",
        ]
    );
}

#[test]
fn included_files_hold_programs_and_groups() {
    let main =
        main_file("[include]\nfiles = [\"conf.d/*.toml\",\n  \"%(ENV_HOME)s/x\"]\n[programs.web]\ncommand = \"x\"\n");
    let patterns = includes(&main, &Fake::root()).unwrap();
    let globs: Vec<(&str, usize)> = patterns.iter().map(|p| (p.glob.to_str().unwrap(), p.at.line)).collect();
    assert_eq!(globs, [("/etc/tm/conf.d/*.toml", 2), ("/home/me/x", 3)]);
    let load = |files: Vec<File>| {
        let included = [
            Included { pattern: patterns[0].clone(), files },
            Included { pattern: patterns[1].clone(), files: vec![] },
        ];
        let input = ConfigInput { main: &main, found: false, included: &included, overrides: &Overrides::default() };
        read(&input, &Fake::root()).map(|(c, w)| (c, lines(&w))).map_err(|errors| lines(&errors))
    };
    let b = "[programs.b]\ncommand = \"./b\"\nargs = [\"%(here)s\"]\nstdout = \"none\"\n";
    let b = file("/etc/tm/conf.d/b.toml", b);
    let a = file("/etc/tm/conf.d/a.toml", "[groups.g]\nprograms = [\"b\", \"web\"]\n");
    // A file that matches two patterns is read once, and a file never includes itself.
    let (config, warnings) = load(vec![b, a.clone(), a, main.clone()]).unwrap();
    assert_eq!(config.processes["b"].args, ["/etc/tm/conf.d"]);
    assert_eq!(config.processes["b"].executable(), Executable::File("/etc/tm/conf.d/./b".into()));
    assert_eq!(config.processes["web"].group, "g");
    assert_eq!(
        warnings,
        [
            "/etc/tm/tm.toml: [unix_http_server]: missing, so no client can connect (only signals control the supervisor)",
            "/etc/tm/tm.toml:3: [include] files: no file matches \"/home/me/x\"",
        ]
    );
    let wrong =
        file("/etc/tm/conf.d/c.toml", "[programs.web]\ncommand = \"y\"\n[include]\nfiles = []\n[taskmasterd]\n");
    assert_eq!(
        load(vec![wrong]).unwrap_err(),
        [
            "/etc/tm/conf.d/c.toml:1: [programs.web]: duplicate: also in /etc/tm/tm.toml:4",
            "/etc/tm/conf.d/c.toml:3: [include]: not allowed in an included file (only the main file may include others)",
            "/etc/tm/conf.d/c.toml:5: [taskmasterd]: not allowed in an included file (only programs and groups are)",
        ]
    );
    // A broken file does not hide the errors of the others.
    let broken =
        [("b", "[programs.b]"), ("a", "x")].map(|(name, text)| file(&format!("/etc/tm/conf.d/{name}.toml"), text));
    let errors = load(broken.to_vec()).unwrap_err();
    let files: Vec<&str> = errors.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(files, ["/etc/tm/conf.d/a.toml", "/etc/tm/conf.d/b.toml"], "{errors:#?}");
    // The broken file may define what others refer to.
    let group = file("/etc/tm/conf.d/a.toml", "[groups.g]\nprograms = [\"b\"]\n");
    let errors = load(vec![group, file("/etc/tm/conf.d/b.toml", "[programs.b]\ncommand =")]).unwrap_err();
    assert!(errors.iter().all(|line| line.starts_with("/etc/tm/conf.d/b.toml:2: ")), "{errors:#?}");
    for (text, expected) in [
        ("[include]", "/etc/tm/tm.toml:1: [include] files: missing (write files = [\"conf.d/*.toml\"])"),
        (
            "[include]\nfiles = 7",
            "/etc/tm/tm.toml:2: [include] files: 7 is not an array (an array of strings, or one string with blanks between them)",
        ),
    ] {
        assert_eq!(lines(&includes(&main_file(text), &Fake::root()).unwrap_err()), [expected]);
    }
}

#[test]
fn include_accepts_one_text_of_several_patterns() {
    let patterns = |files: &str| {
        let main = main_file(&format!("[include]\nfiles = {files}\n"));
        let found = includes(&main, &Fake::root()).unwrap();
        found.into_iter().map(|pattern| (pattern.glob, pattern.at.to_string())).collect::<Vec<_>>()
    };
    let (text, array) = (patterns("\"conf.d/*.toml\\n  /x/b.toml \""), patterns("[\"conf.d/*.toml\", \"/x/b.toml\"]"));
    assert_eq!(text.len(), 2);
    assert_eq!(text, array);
    assert_eq!(patterns("\" \""), []);
}

#[test]
fn files_that_others_can_write_or_read_are_reported() {
    let load = |world: &Fake, mode, uid, text: &str| {
        let main = File { access: Some(Access { mode, uid, gid: 0 }), ..main_file(&format!("{SOCKET}{text}")) };
        let overrides = Overrides::default();
        let input = ConfigInput { main: &main, found: false, included: &[], overrides: &overrides };
        read(&input, world).map(|(_, warnings)| lines(&warnings)).map_err(|errors| lines(&errors))
    };
    let secret = "username = \"u\"\npassword = \"p\"";
    let env = "[programs.x]\ncommand = \"x\"\nenv = { A = 1 }";
    assert_eq!(load(&Fake::root(), 0o100644, 0, ""), Ok(vec![]));
    assert_eq!(load(&Fake::me(), 0o100600, 1000, secret), Ok(vec![]));
    let reads =
        "/etc/tm/tm.toml: passwords and environments are readable by everybody (mode 0644) (chmod o-r)".to_owned();
    for text in [secret, env, "[taskmasterd.env]\nA = 1"] {
        assert_eq!(load(&Fake::me(), 0o100644, 1000, text), Ok(vec![reads.clone()]), "{text}");
    }
    let writes = "/etc/tm/tm.toml: writable by others (mode 0664)";
    assert_eq!(
        load(&Fake::me(), 0o100664, 1000, ""),
        Ok(vec![format!("{writes} (its commands are executed: chmod go-w)")])
    );
    assert_eq!(load(&Fake::me(), 0o100640, 1000, secret), Ok(vec![]), "its group may be intended");
    for mode in [0o100620, 0o100602] {
        assert_eq!(load(&Fake::me(), mode, 1000, "").map(|warnings| warnings.len()), Ok(1), "{mode:o}");
    }
    let root = "root would run its commands: make root the owner and the mode 0644 or less";
    assert_eq!(load(&Fake::root(), 0o100664, 0, ""), Err(vec![format!("{writes} ({root})")]));
    let owner = format!("/etc/tm/tm.toml: writable by its owner, user 33 ({root})");
    assert_eq!(load(&Fake::root(), 0o100644, 33, ""), Err(vec![owner]));
    let main = main_file(SOCKET);
    let input = ConfigInput { main: &main, found: true, included: &[], overrides: &Overrides::default() };
    let found = lines(&read(&input, &Fake::root()).unwrap().1);
    assert_eq!(
        found,
        ["/etc/tm/tm.toml: found in a working directory, and root would run its commands (specify it with -c)"]
    );
    assert_eq!(read(&input, &Fake::me()).unwrap().1, []);
}

#[test]
fn a_file_of_another_user_is_refused_unless_specified() {
    let text = "[taskmasterctl]\nhistory = \"/precious\"\n";
    for (uid, mode, what) in [
        (1001, 0o644, Some("owned by user 1001")),
        (1000, 0o666, Some("writable by everybody (mode 0666)")),
        (1000, 0o664, None),
        (0, 0o644, None),
    ] {
        let main = File { access: Some(Access { mode, uid, gid: 7 }), ..main_file(&format!("{text}{SOCKET}")) };
        let expected = what.map(|what| {
            format!("/etc/tm/tm.toml: {what} (found in a working directory; to use it, specify it with -c)")
        });
        let client = |found| read_client(&main, found, &Fake::me()).err().map(|errors| lines(&errors));
        assert_eq!(client(true), expected.clone().map(|line| vec![line]), "{uid} {mode:o}");
        assert_eq!(client(false), None, "it was specified");
        let daemon = |found| {
            let input = ConfigInput { main: &main, found, included: &[], overrides: &Overrides::default() };
            read(&input, &Fake::me()).err().map(|errors| lines(&errors))
        };
        assert_eq!(daemon(true), expected.map(|line| vec![line]), "{uid} {mode:o}");
        assert_eq!(daemon(false), None);
    }
    assert!(is_blank(&main_file("\n # [x]\n\t\n")) && is_blank(&main_file("")) && !is_blank(&main_file("[x]")));
}

#[test]
fn a_client_reads_its_table_despite_errors_elsewhere() {
    let client = |text: &str| read_client(&main_file(text), false, &Fake::me()).map_err(|errors| lines(&errors));
    assert_eq!(client(""), Ok(ClientSpec::default()));
    for text in [
        "[taskmasterctl]\nprompt = \"p\"\n[programs.x]\n[taskmasterd]\numask = 99\n",
        "[programs.x\ncommand = \n[taskmasterctl]\nprompt = \"p\"\n",
        "[taskmasterctl]\nprompt = \"p\"\n[programs.x]\na = 1\na = \"\n",
    ] {
        assert_eq!(client(text).map(|client| client.prompt), Ok("p".to_owned()), "{text}");
    }
    assert_eq!(
        client("[taskmasterctl]\nprompt = 3\nprompts = 4\n[taskmasterd]\numask = 99"),
        Err(vec![
            "/etc/tm/tm.toml:2: [taskmasterctl] prompt: 3 is not a string (a text in quotes)".to_owned(),
            "/etc/tm/tm.toml:3: [taskmasterctl] prompts: unknown key (did you mean \"prompt\"?)".to_owned(),
        ])
    );
    assert!(client("[taskmasterctl]\nprompt = \n").is_err());
    assert_eq!(client("[taskmasterctl]\nhistory = \"~/h\"").unwrap().history, Some("/home/me/h".into()));
}

#[test]
fn files_that_cannot_be_read_differ_in_how() {
    let path = Path::new("/etc/x");
    for (kind, expected) in [
        (io::ErrorKind::NotFound, "/etc/x: does not exist"),
        (io::ErrorKind::IsADirectory, "/etc/x: is a directory, not a file"),
        (io::ErrorKind::PermissionDenied, "/etc/x: cannot be read: permission denied"),
        (io::ErrorKind::TimedOut, "/etc/x: cannot be read: timed out"),
    ] {
        assert_eq!(Unreadable::of(path, kind.into()).to_string(), expected);
    }
    assert_eq!(
        Unreadable::NoneFound.to_string(),
        "no configuration file: tried ./taskmaster.conf.toml and ../taskmaster.conf.toml; specify one with -c FILE"
    );
    let error = File::new(path.to_owned(), b"a\n\nb\xff".to_vec(), None).unwrap_err();
    assert_eq!(error.to_string(), "/etc/x:3: is not valid UTF-8");
    assert_eq!(File::new(path.to_owned(), b"a".to_vec(), None).unwrap().text, "a");
}

#[test]
fn a_dump_reads_back_and_contains_no_secrets() {
    let text = "[taskmasterd]\nminfds = 7\nhistory_keep = \"1d\"\non_event = [\"mail\"]\nenv = { A = \"hush\" }\n\
                [unix_http_server]\nfile = \"/tmp/%%(s\"\nusername = \"u\"\npassword = \"hush\"\nchown = \"me:adm\"\n\
                [inet_http_server]\nport = \"[::1]:9\"\nusername = \"u\"\npassword = \"hush\"\n\
                [taskmasterctl]\npassword = \"hush\"\ntimeout = 0.5\n\
                [programs.w]\ncommand = \"/bin/x\"\nnumprocs = 2\nargs = [\"%%(here)s\", \"\\\"\\n\"]\nstopwaitsecs = 0.25\n\
                startretries = \"unlimited\"\nexitcodes = []\numask = 0o2\ninfo2 = \"i\"\ntimeout = 3\nfeedback = \"f%(process_num)d\"\n\
                [programs.\"ü\"]\ncommand = \"y\"\nredirect_stderr = true\nstdout = \"auto\"\nstopwaitsecs = \"forever\"\n\
                stdin = \"pipe\"\nserverurl = \"http://h:1\"\ngroup = \"g\"\nenv = { B = \"hush\" }\n";
    let (config, _) = load(text).unwrap();
    let dump = config.dump();
    assert!(!dump.contains("hush"), "{dump}");
    assert!(dump.contains("umask = \"0o022\""), "{dump}");
    let (mut again, _) = load(&dump).unwrap_or_else(|errors| panic!("{dump}\n{errors:#?}"));
    let mut expected = config;
    let mask = |config: &mut Config| {
        for spec in config.processes.values_mut() {
            spec.env.iter_mut().for_each(|(_, value)| value.clear());
            // The dump has a table for each process, with its logs.
            spec.program.clear();
            (spec.stdout.default, spec.stderr.default) = (false, false);
            if spec.redirect_stderr {
                spec.stderr = spec.stdout.clone();
            }
        }
        config.groups.values_mut().for_each(|group| group.programs.clear());
        config.server.env.clear();
        let servers =
            [config.unix.as_mut().map(|s| &mut s.credentials), config.inet.as_mut().map(|s| &mut s.credentials)];
        servers.into_iter().flatten().for_each(|credentials| *credentials = None);
        config.client.password = None;
    };
    mask(&mut expected);
    mask(&mut again);
    assert_eq!(again, expected, "{dump}");
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_has_errors(text in prop_oneof![
        ".{0,80}",
        "([\\[\\]{}=\"'\n,.#ab0 ]|\\[\\[?a\\]?\\]\n|\"\"\"|programs|\\.env){0,40}",
        "((\\[|\\[\\[)?(programs|groups|taskmasterd|include|unix_http_server)?(\\.[a-z\"]{0,3})?\\]{0,2}\n?([a-z_]{0,12} ?= ?([0-9.-]{0,9}|\"[%()a-z]{0,9}\"|\\[[\"a,]{0,5}\\]|\\{.{0,5}\\}))?\n){0,9}",
    ]) {
        let main = main_file(&text);
        let input = ConfigInput { main: &main, found: false, included: &[], overrides: &Overrides::default() };
        if let Err(errors) = read(&input, &Fake::root()) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| !error.to_string().contains('\n')), "{errors:?}");
            prop_assert!(errors.is_sorted_by_key(|error| error.at.line));
        }
        let _ = (includes(&main, &Fake::root()), read_client(&main, false, &Fake::me()));
    }

    #[test]
    fn any_value_of_any_key_is_accepted_or_refused(
        key in proptest::sample::select(vec![
            "command", "args", "process_name", "numprocs", "numprocs_start", "priority", "startsecs", "startretries", "autorestart",
            "exitcodes", "stopsignal", "stopwaitsecs", "user", "stdout", "stdout_maxbytes", "umask", "directory",
            "serverurl", "group", "timeout", "on_event", "on_states", "env", "info1", "strip_ansi", "colour",
            "\"a\\n\"", "\"\\u001b\"", "env.A", "env.\"\\n\"",
        ]),
        value in "-?[0-9_]{1,22}|0[xob][0-9a-f]{1,20}|[0-9]{1,9}\\.[0-9]{1,9}(e[0-9]{1,3})?|\"[%()a-zé0-9 ~/:.{}-]{0,20}\"|true|nan|-inf|\\[(\"x\"|1|,| ){0,6}\\]|\\{ A = [0-9]{1,3} \\}|1979-05-27T07:32:00Z",
    ) {
        let text = format!("[programs.web]\n{key} = {value}\n");
        if let Err(errors) = load(&text) {
            let fits = |error: &String| error.starts_with("/etc/tm/tm.toml:") && !error.contains(char::is_control);
            prop_assert!(errors.iter().all(fits), "{errors:?}");
        }
    }
}
