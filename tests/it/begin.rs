//! How a supervisor starts: its configuration, limits, lock, sockets, user and pid file, and the error if one of them
//! is not available. Tests that need root report that they are skipped otherwise.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says what it skips"
)]

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::support::{Program, World, eventually, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use taskwatcher::{
    app::supervise::{begin, load::Where},
    io::{
        account,
        listener::{SocketOwner, SocketSpec, UnixSocket},
        process,
    },
    model::config::Overrides,
};

/// The user that root becomes here; every system has it.
const OTHER: &str = "nobody";

fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can do that");
    }
    root
}

impl World {
    /// Writes a configuration whose files are in `sv`.
    fn write_config(&self, text: &str) -> PathBuf {
        let folder = self.path("sv");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("conf.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// Writes a configuration with a socket, a pid file and these lines of `[taskmasterd]`.
    fn usual(&self, more: &str) -> PathBuf {
        let user = if geteuid().is_root() { "user = \"root\"\n" } else { "" };
        let user = if more.contains("user =") { "" } else { user };
        self.write_config(&format!(
            "[taskmasterd]\npidfile = \"x.pid\"\nlogfile = \"none\"\n{user}{more}\n[unix_http_server]\nfile = \"x.sock\"\n"
        ))
    }

    fn sv(&self, name: &str) -> PathBuf {
        self.path("sv").join(name)
    }

    fn supervise(&self, words: &[&str]) -> Program<'_> {
        let programs = Path::new(env!("CARGO_BIN_EXE_launch")).parent().unwrap();
        let program = programs.join("examples/begin");
        assert!(program.exists(), "cargo test builds it; for this test alone: cargo build --example begin");
        let report = self.sv("report");
        let mut program = self.command(program);
        program.command.args(["-c", self.sv("conf.toml").to_str().unwrap(), "--report", report.to_str().unwrap()]);
        program.command.args(words);
        program
    }

    /// Starts a supervisor in the background.
    #[track_caller]
    fn background(&self, words: &[&str]) -> Supervisor {
        self.supervise(words).run().silent(0);
        self.begun()
    }

    /// Returns the supervisor that has started.
    fn begun(&self) -> Supervisor {
        let text = fs::read_to_string(self.sv("report")).unwrap();
        fs::remove_file(self.sv("report")).unwrap();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        let said: BTreeMap<String, String> = lines.map(|(key, value)| (key.into(), value.into())).collect();
        Supervisor { pid: said["pid"].parse().unwrap(), said }
    }

    /// Returns the names in `sv`, without those that every test creates.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("sv")).unwrap();
        let mut names: Vec<String> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != "conf.toml");
        names.sort();
        names
    }
}

struct Supervisor {
    pid: i32,
    said: BTreeMap<String, String>,
}

impl Supervisor {
    fn status(&self, key: &str) -> Vec<u32> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}:"))).unwrap().to_owned();
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    fn is_alive(&self) -> bool {
        process::stat(self.pid).is_some_and(|stat| !stat.ended)
    }

    fn end(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap();
        until("its end", || !self.is_alive());
    }
}

#[test]
fn it_goes_into_the_background_and_is_ready_when_its_launcher_ends() {
    let world = World::new();
    world.usual("");
    let supervisor = world.background(&[]);
    assert!(supervisor.is_alive());
    assert_eq!(supervisor.said["daemonized"], "true");
    assert_eq!(Path::new(&supervisor.said["db"]), world.db());
    assert_eq!(fs::read_to_string(world.sv("x.pid")).unwrap(), format!("{}\n", supervisor.pid));
    assert_eq!(fs::metadata(world.sv("x.pid")).unwrap().mode() & 0o7777, 0o644);
    UnixStream::connect(world.sv("x.sock")).unwrap();
    // It does not lead a session, has no terminal, and nothing of the process that launched it.
    let stat = process::stat(supervisor.pid).unwrap();
    assert_eq!(stat.tty, 0);
    let session = nix::unistd::getsid(Some(Pid::from_raw(supervisor.pid))).unwrap();
    assert_ne!(session.as_raw(), supervisor.pid);
    assert_ne!(session, nix::unistd::getsid(None).unwrap());
    for fd in 0..3 {
        assert_eq!(fs::read_link(format!("/proc/{}/fd/{fd}", supervisor.pid)).unwrap(), Path::new("/dev/null"));
    }
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", supervisor.pid)).unwrap(), "supervise\n");
    supervisor.end(Signal::SIGTERM);
    assert_eq!(world.left(), ["x.pid.lock"], "what it made it removed");
}

#[test]
fn descriptors_of_the_launching_process_are_closed() {
    let world = World::new();
    world.usual("");
    let program = world.supervise(&[]);
    let words: Vec<String> = program.command.get_args().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let script =
        format!("exec 9>'{}'; exec {} {}", world.path("nine").display(), program_path(&program), words.join(" "));
    world.sh(&script).run().silent(0);
    let supervisor = world.begun();
    let fds = fs::read_dir(format!("/proc/{}/fd", supervisor.pid)).unwrap();
    let links: Vec<PathBuf> = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()).collect();
    assert!(!links.contains(&world.path("nine")), "{links:?}");
    supervisor.end(Signal::SIGTERM);
}

fn program_path(program: &Program<'_>) -> String {
    program.command.get_program().to_str().unwrap().to_owned()
}

#[test]
fn in_the_foreground_it_stays_the_process_that_it_is() {
    let world = World::new();
    world.usual("nodaemon = true");
    let mut child = world.supervise(&[]).command.stderr(Stdio::null()).spawn().unwrap();
    until("its report", || fs::read_to_string(world.sv("report")).is_ok_and(|text| text.contains("socket")));
    let supervisor = world.begun();
    assert_eq!((supervisor.pid.unsigned_abs(), supervisor.said["daemonized"].as_str()), (child.id(), "false"));
    assert_eq!(fs::read_to_string(world.sv("x.pid")).unwrap(), format!("{}\n", child.id()));
    kill(Pid::from_raw(supervisor.pid), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.left(), ["x.pid.lock"]);
}

#[test]
fn errors_in_the_background_are_reported_in_the_foreground() {
    let world = World::new();
    world.usual("");
    world.supervise(&["--late", "cannot open\nthe database"]).run().says(1, &["cannot open\\nthe database"]);
    assert_eq!(world.left(), ["x.pid.lock"]);
}

#[test]
fn a_second_supervisor_names_the_first_and_changes_nothing() {
    let world = World::new();
    world.usual("");
    let first = world.background(&[]);
    let looks = || -> Vec<(u64, i64, String)> {
        let look = |name: &str| {
            let meta = fs::symlink_metadata(world.sv(name)).unwrap();
            (meta.ino(), meta.mtime_nsec(), fs::read_to_string(world.sv(name)).unwrap_or_default())
        };
        vec![look("x.pid"), look("x.pid.lock"), look("x.sock")]
    };
    let before = looks();
    for words in [vec![], vec!["-n"]] {
        let pid = format!("with pid {}", first.pid);
        world.supervise(&words).run().says(2, &["another supervisor is already running", &pid, "x.pid.lock"]);
        assert_eq!(looks(), before);
    }
    // A conflict only because of the same database.
    world.write_config("[taskmasterd]\nuser = \"0\"\npidfile = \"y.pid\"\n[unix_http_server]\nfile = \"y.sock\"\n");
    if geteuid().is_root() {
        let pid = format!("with pid {}", first.pid);
        world.supervise(&[]).run().says(2, &["another supervisor is already running", &pid, "it uses database"]);
    }
    assert_eq!(looks(), before);
    assert!(!world.sv("y.pid").exists() && !world.sv("y.sock").exists());
    UnixStream::connect(world.sv("x.sock")).unwrap();
    assert!(first.is_alive());
    first.end(Signal::SIGTERM);
}

#[test]
fn after_a_kill_the_next_supervisor_starts_in_spite_of_leftover_files() {
    let world = World::new();
    world.usual("");
    let first = world.background(&[]);
    first.end(Signal::SIGKILL);
    assert_eq!(world.left(), ["x.pid", "x.pid.lock", "x.sock"]);
    // A live pid is not proof of a supervisor.
    fs::write(world.sv("x.pid"), format!("{}\n", std::process::id())).unwrap();
    let second = world.background(&[]);
    assert_eq!(fs::read_to_string(world.sv("x.pid")).unwrap(), format!("{}\n", second.pid));
    let replaced = format!("replaced stale socket {}", world.sv("x.sock").display());
    assert_eq!(second.said["info"], replaced);
    UnixStream::connect(world.sv("x.sock")).unwrap();
    second.end(Signal::SIGTERM);
}

#[test]
fn a_pid_file_of_another_supervisor_is_not_removed() {
    let world = World::new();
    world.usual("");
    let supervisor = world.background(&[]);
    fs::write(world.sv("x.pid"), "1\n").unwrap();
    fs::remove_file(world.sv("x.sock")).unwrap();
    fs::write(world.sv("x.sock"), "precious").unwrap();
    supervisor.end(Signal::SIGTERM);
    assert_eq!(fs::read_to_string(world.sv("x.pid")).unwrap(), "1\n");
    assert_eq!(fs::read_to_string(world.sv("x.sock")).unwrap(), "precious");
}

#[test]
fn a_file_in_the_place_of_the_socket_is_not_removed() {
    let world = World::new();
    world.usual("");
    fs::write(world.sv("x.sock"), "precious").unwrap();
    world.supervise(&[]).run().says(2, &["x.sock", "a regular file is in its place", "left as it is"]);
    assert_eq!(fs::read_to_string(world.sv("x.sock")).unwrap(), "precious");
    fs::rename(world.sv("x.sock"), world.sv("target")).unwrap();
    std::os::unix::fs::symlink(world.sv("target"), world.sv("x.sock")).unwrap();
    world.supervise(&[]).run().says(2, &["x.sock", "a symbolic link is in its place"]);
    fs::remove_file(world.sv("x.sock")).unwrap();
    let other = UnixListener::bind(world.sv("x.sock")).unwrap();
    world.supervise(&[]).run().says(2, &["x.sock", "already in use"]);
    drop(other);
    assert_eq!(world.left(), ["target", "x.pid.lock", "x.sock"], "no pid file is left");
}

#[test]
fn a_port_in_use_is_reported_with_its_address() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = format!("[inet_http_server]\nport = \"{address}\"\nusername = \"u\"\npassword = \"p\"\n");
    let path = world.usual("");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{port}")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    world.supervise(&[]).run().says(2, &["cannot listen on", &address, "in use"]);
    assert_eq!(world.left(), ["x.pid.lock"], "the socket that was made is gone");
    drop(taken);
    let supervisor = world.background(&[]);
    assert_eq!(supervisor.said["ports"], "1");
    supervisor.end(Signal::SIGTERM);
}

#[test]
fn limits_are_raised_or_reported_as_too_low() {
    let world = World::new();
    world.usual("minfds = 300");
    let limited = |hard: u32, script: &str| {
        let program = world.supervise(&[]);
        let words: Vec<String> = program.command.get_args().map(|word| word.to_str().unwrap().to_owned()).collect();
        let limits = format!("ulimit -Sn 100; ulimit -Hn {hard}");
        world.sh(&format!("{limits}; {script} {} {}", program_path(&program), words.join(" "))).run()
    };
    limited(400, "exec").silent(0);
    let supervisor = world.begun();
    let limits = fs::read_to_string(format!("/proc/{}/limits", supervisor.pid)).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["300", "400"]);
    supervisor.end(Signal::SIGTERM);
    // Without the permission to raise hard limits.
    let words = ["minfds", "300", "200"];
    let may = |capability: u32| {
        let text = fs::read_to_string("/proc/self/status").unwrap();
        let bits = text.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim().to_owned();
        u64::from_str_radix(&bits, 16).unwrap() & (1 << capability) != 0
    };
    // CAP_SYS_RESOURCE.
    if !may(24) {
        limited(200, "exec").says(2, &words);
        eprintln!("skipped: hard limits cannot be raised here");
        return;
    }
    limited(200, "exec").silent(0);
    world.begun().end(Signal::SIGTERM);
    match Command::new("setpriv").arg("--version").output() {
        Ok(_) => drop(limited(200, "exec setpriv --bounding-set -sys_resource").says(2, &words)),
        Err(_) => eprintln!("skipped: there is no setpriv"),
    }
}

#[test]
fn an_invalid_configuration_is_reported_before_any_file_is_created() {
    let world = World::new();
    world.write_config(
        "[taskmasterd]\npidfile = \"x.pid\"\nlogfile = 3\n[programs.web]\ncommand = \"x\"\nstopsignal = \"FOO\"\n",
    );
    for words in [vec![], vec!["-n"], vec!["--check"]] {
        let ran = world.supervise(&words).run();
        assert_eq!(ran.code, 2, "{ran:?}");
        let lines: Vec<&str> = ran.err.lines().collect();
        let path = world.sv("conf.toml").display().to_string();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].starts_with(&format!("{path}:3: [taskmasterd] logfile: ")), "{lines:#?}");
        assert!(
            lines[1].starts_with(&format!("{path}:6: [programs.web] stopsignal: unknown signal \"FOO\"")),
            "{lines:#?}"
        );
        assert_eq!(world.left(), [""; 0]);
    }
    fs::remove_file(world.sv("conf.toml")).unwrap();
    world.supervise(&[]).run().says(2, &["conf.toml: does not exist"]);
    fs::create_dir(world.sv("conf.toml")).unwrap();
    world.supervise(&["--check"]).run().says(2, &["conf.toml: is a directory"]);
}

#[test]
fn a_configuration_that_can_be_read_only_once_works_only_in_the_foreground() {
    let world = World::new();
    let path = world.usual("");
    let program = world.supervise(&[]);
    let run = |words: &str| world.sh(&format!("{} {words} <{}", program_path(&program), path.display())).run();
    run("-c /dev/stdin").says(2, &["/dev/stdin cannot be read again in the background"]);
    let ran = run("-c /dev/stdin --check");
    // Relative paths would be relative to /dev.
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(world.left(), [""; 0]);
}

#[test]
fn a_check_reports_its_result_and_changes_nothing() {
    let world = World::new();
    let path = world.usual("[taskmasterd.env]\nSECRET = \"hush\"");
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    world.supervise(&["--check"]).run().silent(0);
    let dump = world.supervise(&["--check", "--dump"]).run().silent(0);
    assert!(dump.text().contains("SECRET") && !dump.text().contains("hush"), "{}", dump.text());
    assert_eq!(world.left(), [""; 0]);
    // While a supervisor is running.
    let supervisor = world.background(&[]);
    world.supervise(&["--check"]).run().silent(0);
    supervisor.end(Signal::SIGTERM);
}

#[test]
fn without_an_option_the_configuration_is_found_in_the_working_directory_and_above() {
    let world = World::new();
    let program = world.supervise(&["--check"]);
    let check = || {
        let mut program = world.command(program_path(&program));
        program.command.arg("--check");
        program.run()
    };
    check().says(2, &["tried ./taskmaster.conf.toml and ../taskmaster.conf.toml", "-c FILE"]);
    fs::write(world.path("taskmaster.conf.toml"), "[unix_http_server]\nfile = \"s\"\n").unwrap();
    fs::set_permissions(world.path("taskmaster.conf.toml"), Permissions::from_mode(0o644)).unwrap();
    let ran = check();
    match geteuid().is_root() {
        true => drop(ran.says(0, &["taskmaster.conf.toml", "found in a working directory"])),
        false => drop(ran.silent(0)),
    }
    let place = Where::find(Some(Path::new("/x/y"))).unwrap();
    assert_eq!((place.file, place.found), (PathBuf::from("/x/y"), false));
}

#[test]
fn a_file_that_others_can_write_is_not_run_by_root() {
    let world = World::new();
    let path = world.usual("");
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let ran = world.supervise(&["--check"]).run();
    match geteuid().is_root() {
        true => drop(ran.says(2, &["conf.toml: writable by others (mode 0666)"])),
        false => drop(ran.says(0, &["conf.toml: writable by others (mode 0666)"])),
    }
    if is_root() {
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        chown(&path, Some(account::uid(OTHER).unwrap()), None).unwrap();
        world.supervise(&[]).run().says(2, &["conf.toml: writable by its owner, user ", "make root the owner"]);
        assert_eq!(world.left(), [""; 0]);
    }
}

#[test]
fn root_without_a_user_is_warned_once() {
    if !is_root() {
        return;
    }
    let world = World::new();
    world.write_config("[taskmasterd]\npidfile = \"x.pid\"\n[unix_http_server]\nfile = \"x.sock\"\n");
    world.supervise(&[]).run().says(0, &["running as root", "set user in [taskmasterd]"]);
    let supervisor = world.begun();
    assert!(supervisor.said["warn"].starts_with("running as root"), "kept for the log");
    supervisor.end(Signal::SIGTERM);
}

#[test]
fn root_changes_to_the_user_with_all_groups_permanently() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let (uid, gid) = (account::uid(OTHER).unwrap(), account::identity(OTHER).unwrap().gid);
    // The folder belongs to root, like /run.
    fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(world.path("data")).unwrap();
    chown(world.path("data"), Some(uid), Some(gid)).unwrap();
    let db = world.path("data/t.db");
    world.usual(&format!(
        "user = \"{OTHER}\"\ndatabase = \"{}\"\nchildlogdir = \"deep/er\"\ncreate_dirs = true\n",
        db.display()
    ));
    fs::write(world.sv("report"), "").unwrap();
    chown(world.sv("report"), Some(uid), None).unwrap();
    let supervisor = world.background(&[]);
    assert_eq!((supervisor.status("Uid"), supervisor.status("Gid")), (vec![uid; 4], vec![gid; 4]));
    let mut groups = supervisor.status("Groups");
    groups.sort_unstable();
    assert_eq!(groups, account::identity(OTHER).unwrap().groups, "none of root's");
    let caps = fs::read_to_string(format!("/proc/{}/status", supervisor.pid)).unwrap();
    assert!(caps.contains("CapEff:\t0000000000000000"), "{caps}");
    let owner = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    assert_eq!(owner(&world.sv("x.sock")), (uid, gid, 0o700), "the socket is the user's");
    assert_eq!(owner(&world.sv("deep")), (uid, gid, 0o750));
    assert_eq!(owner(&world.sv("deep/er")), (uid, gid, 0o750));
    assert_eq!(owner(&world.sv("x.pid")).0, 0, "who is not root must not choose what root's scripts kill");
    supervisor.end(Signal::SIGTERM);
    assert_eq!(fs::read_to_string(world.sv("x.pid")).unwrap(), "", "it tells no pid any more");
    // A file that could not be removed does not prevent the next start.
    fs::write(world.sv("report"), "").unwrap();
    chown(world.sv("report"), Some(uid), None).unwrap();
    world.background(&[]).end(Signal::SIGTERM);
    // The database of another user.
    world.usual(&format!("user = \"{OTHER}\"\n"));
    world.supervise(&[]).run().says(1, &["cannot use", "tasks.db"]);
}

#[test]
fn an_ordinary_user_cannot_change_to_another_user() {
    if !is_root() {
        return;
    }
    let world = World::new();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    world.usual("user = \"no such user\"");
    world.supervise(&[]).run().says(2, &["[taskmasterd] user: unknown user \"no such user\""]);
    if Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: there is no setpriv");
        return;
    }
    world.usual("user = \"root\"");
    let program = world.supervise(&["--check"]);
    let words: Vec<&str> = program.command.get_args().map(|word| word.to_str().unwrap()).collect();
    let uid = account::uid(OTHER).unwrap();
    let script = format!("exec setpriv --reuid {uid} --clear-groups {} {}", program_path(&program), words.join(" "));
    // The program itself may be in a folder that only root can read.
    if world.sh(&format!("setpriv --reuid {uid} --clear-groups test -x {}", program_path(&program))).run().code != 0 {
        eprintln!("skipped: {OTHER} cannot execute the program");
        return;
    }
    world.sh(&script).run().says(2, &["only root can switch to user \"root\""]);
}

/// Checks a path, and everything in its folder, as often as possible for permissions wider than `mode`.
struct Watcher {
    stop: Arc<AtomicBool>,
    seen: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

impl Watcher {
    fn start(folder: &Path, mode: u32) -> Watcher {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (path, stopped, counted) = (folder.to_owned(), stop.clone(), seen.clone());
        let thread = std::thread::spawn(move || {
            let mut wide = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for entry in fs::read_dir(&path).unwrap().flatten() {
                    let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
                    let allowed = if meta.is_dir() { 0o700 } else { mode };
                    if meta.file_type().is_socket() {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    if (meta.file_type().is_socket() || meta.is_dir()) && meta.mode() & 0o7777 & !allowed != 0 {
                        wide.push(format!("{} {:o}", entry.path().display(), meta.mode()));
                    }
                }
            }
            wide
        });
        Watcher { stop, seen, thread }
    }
}

#[test]
fn the_socket_never_has_wider_permissions_than_configured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mode = 0o600;
    let watcher = Watcher::start(dir.path(), mode);
    let owner = geteuid().is_root().then(|| SocketOwner { text: "1:1".into(), uid: 1, gid: Some(1) });
    let mut rounds = 0;
    until("it to be looked at often", || {
        let mut bound = UnixSocket::bind(SocketSpec { path: path.clone(), mode, owner: owner.clone() }).unwrap();
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!(meta.mode() & 0o7777, mode);
        assert_eq!(meta.uid(), owner.as_ref().map_or(geteuid().as_raw(), |owner| owner.uid));
        bound.socket.remove().unwrap();
        rounds += 1;
        rounds > 300 && watcher.seen.load(Ordering::Relaxed) > 20
    });
    watcher.stop.store(true, Ordering::Relaxed);
    assert_eq!(watcher.thread.join().unwrap(), [""; 0]);
}

#[test]
fn a_socket_whose_owner_cannot_be_changed_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    if geteuid().is_root() {
        eprintln!("skipped: root can give it to anybody");
        return;
    }
    let owner = Some(SocketOwner { text: "root".into(), uid: 0, gid: None });
    let error =
        UnixSocket::bind(SocketSpec { path: dir.path().join("s"), mode: 0o600, owner }).unwrap_err().to_string();
    assert!(error.contains("to root (chown): "), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_child_of_the_supervisor_does_not_hold_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pid");
    let pidfile = taskwatcher::io::pidfile::Pidfile::lock(&path).unwrap();
    let mut child = Command::new("sleep").arg("100").stdin(Stdio::null()).spawn().unwrap();
    drop(pidfile);
    let again = eventually("the lock", || taskwatcher::io::pidfile::Pidfile::lock(&path).ok());
    drop(again);
    child.kill().unwrap();
    child.wait().unwrap();
    let args = begin::DaemonArgs { file: Some("/no/such/file".into()), overrides: Overrides::default() };
    let failed = begin::check(&args).unwrap_err();
    assert_eq!((failed.code, failed.to_string().as_str()), (2, "/no/such/file: does not exist"));
}
