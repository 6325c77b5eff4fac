//! The shim of a supervised run, without its supervisor: a specification in; a state file, commands, and a row in the
//! history out.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{World, desk::CRASH_AT, eventually, field, until};
use nix::unistd::geteuid;
use taskwatcher::{
    io::{notify, process, rundir::RunDir, sys},
    model::{
        shim::{CommandInput, Phase, ProgramLog, Run, RunSpec, ShimCommand, StreamTarget, input_command},
        task::{Exit, Process, Signal, argv_json},
    },
};

struct ShimState<'w> {
    world: &'w World,
    order: RunSpec,
    child: Option<Child>,
}

impl World {
    fn runs(&self) -> RunDir {
        RunDir::open(&self.path("runs")).unwrap()
    }

    fn order(&self, argv: &[&str]) -> RunSpec {
        let log = |name: &str| {
            StreamTarget::Log(ProgramLog {
                path: self.path(name),
                max: 0,
                backups: 0,
                private: false,
                strip_ansi: false,
            })
        };
        let found = ["/bin", "/usr/bin"].iter().map(|dir| PathBuf::from(dir).join(argv[0])).find(|file| file.exists());
        let env: Vec<String> = vec![
            format!("PATH={}", std::env::var("PATH").unwrap()),
            format!("W={}", self.path("").display()),
            "TASKWATCHER_TASKID=of another task".into(),
        ];
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        RunSpec {
            handle: format!("t{}n{number}", std::process::id()),
            ear: format!("e{}n{number}", std::process::id()),
            folder: self.path("runs"),
            supervisor: process::stat(i32::try_from(std::process::id()).unwrap()).unwrap().process,
            db: self.db(),
            patience: 5_000,
            process: "web".into(),
            program: "web".into(),
            group: "web".into(),
            attempt: 1,
            version: "1".into(),
            info: [Some("i".into()), None, None],
            refused: None,
            file: found.unwrap_or_else(|| argv[0].into()),
            argv: argv_json(argv),
            env: argv_json(&env),
            directory: Some(self.work()),
            umask: None,
            user: None,
            stdin: CommandInput::Null,
            stdout: log("out"),
            stderr: log("err"),
            timeout: None,
            feedpath: None,
            stop_signal: Signal::TERM,
            kill_after: 500,
            killasgroup: false,
            exitcodes: vec![0],
        }
    }

    fn carry(&self, order: RunSpec) -> ShimState<'_> {
        self.carry_with(order, None)
    }

    fn carry_with(&self, order: RunSpec, crash: Option<&str>) -> ShimState<'_> {
        let path = self.path(format!("order.{}", order.handle));
        fs::write(&path, serde_json::to_string(&order).unwrap()).unwrap();
        self.runs();
        let mut command = Command::new(env!("CARGO_BIN_EXE_launch"));
        command.arg0("launch-shim").env_clear().envs(self.environment());
        command.env("OF_THE_CARRIER", "1").current_dir("/").stdin(File::open(path).unwrap());
        if let Some(point) = crash {
            command.env(CRASH_AT, point);
        }
        command.stdout(Stdio::null()).stderr(File::create(self.path("shim.err")).unwrap());
        ShimState { world: self, order, child: Some(command.spawn().unwrap()) }
    }
}

impl ShimState<'_> {
    fn run(&self) -> Option<Run> {
        Run::parse(&self.world.runs().read(&self.order.handle).ok()??)
    }

    #[track_caller]
    fn running(&self) -> Process {
        eventually("it to run", || match self.run()?.phase {
            Phase::Running { command, .. } => Some(command),
            Phase::Starting | Phase::Failed { .. } | Phase::Ended { .. } => None,
        })
    }

    /// Returns how the run ended according to its file, and the number of remaining group members.
    #[track_caller]
    fn ended(&self) -> (Exit, u32) {
        eventually("its end", || match self.run()?.phase {
            Phase::Ended { exit, leftover, .. } => Some((exit, leftover)),
            Phase::Starting | Phase::Failed { .. } | Phase::Running { .. } => None,
        })
    }

    #[track_caller]
    fn failed(&mut self) -> (String, bool) {
        let why = eventually("its failure", || match self.run()?.phase {
            Phase::Failed { why, .. } => Some(why),
            Phase::Starting | Phase::Ended { .. } | Phase::Running { .. } => None,
        });
        self.gone();
        (why.cause, why.not_found)
    }

    /// Waits for the end of the shim.
    #[track_caller]
    fn gone(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let status = eventually("the shim's end", || child.try_wait().unwrap());
        assert_eq!(self.world.read("shim.err"), "");
        status.code().unwrap_or(-1)
    }

    fn tell(&self, word: &ShimCommand) {
        notify::send_command(&self.order.ear, word.to_message().as_bytes()).unwrap();
    }

    fn send(&self, signal: Signal, group: bool, why: Option<&str>) {
        self.tell(&ShimCommand::Signal { signal, group, why: why.map(str::to_owned) });
    }
}

impl Drop for ShimState<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_run_is_reported_logged_and_recorded() {
    let world = World::new();
    let script = "echo out; echo err >&2; pwd; id -u; umask; env | sort; exit 3";
    let mut carried = world.carry(RunSpec { umask: Some(0o27), ..world.order(&["sh", "-c", script]) });
    assert_eq!(carried.ended(), (Exit::Code(3), 0));
    assert_eq!(carried.gone(), 0);
    let run = carried.run().unwrap();
    let row = world.end();
    assert_eq!((row.text("taskname"), row.text("outcome"), row.text("info1")), ("web", "ERROR: exit code 3", "i"));
    assert_eq!((run.task, row.text("handle")), (Some(row.int("taskid")), carried.order.handle.as_str()));
    let Phase::Ended { command, since, at, .. } = run.phase else { unreachable!() };
    assert_eq!(i64::from(command.pid), row.int("pid"));
    assert!(at.mono >= since.mono);
    let out = world.read("out");
    let lines: Vec<&str> = out.lines().collect();
    let work = world.work();
    assert_eq!(lines[..4], ["out", work.to_str().unwrap(), &geteuid().to_string(), "0027"]);
    assert!(lines.contains(&format!("TASKWATCHER_TASKID={}", row.int("taskid")).as_str()), "{out}");
    assert!(lines.contains(&format!("TASKWATCHER_UPID={}", row.text("upid")).as_str()), "{out}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("TASKWATCHER_TASKID=")).count(), 1);
    assert!(!out.contains("OF_THE_CARRIER"), "it has the environment of its configuration alone");
    assert_eq!(world.read("err"), "err\n");
    let log = world.control(["log", "--no-time", &row.int("taskid").to_string()]).run().silent(0);
    assert!(log.text().contains("out\n") && log.text().contains("err\n"), "{}", log.text());
    assert!(log.text().ends_with("TASK ERROR: exit code 3\n"));
    // Later runs continue in the same files.
    let mut again = world.carry(world.order(&["sh", "-c", "printf 'no end'"]));
    again.gone();
    assert!(world.read("out").ends_with("no end") && world.read("out").starts_with("out\n"));
}

#[test]
fn the_command_has_its_own_session_default_signals_and_three_descriptors() {
    let world = World::new();
    let carried = world.carry(world.order(&["sleep", "300"]));
    let command = carried.running();
    let status = fs::read_to_string(format!("/proc/{}/status", command.pid)).unwrap();
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        // The C library does not change its two own signals.
        let bits = u64::from_str_radix(field(&status, set), 16).unwrap();
        assert_eq!(bits & 0x7fff_ffff, 0, "{set}");
    }
    let pid = nix::unistd::Pid::from_raw(command.pid);
    assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid);
    assert_eq!(nix::unistd::getpgid(Some(pid)).unwrap(), pid);
    assert_eq!(fs::read_dir(format!("/proc/{}/fd", command.pid)).unwrap().count(), 3);
    assert_eq!(fs::read_link(format!("/proc/{}/fd/0", command.pid)).unwrap().to_str(), Some("/dev/null"));
    let shim = carried.run().unwrap().shim;
    assert_ne!(nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(shim.pid))).unwrap(), pid);
    // After a while it re-executes itself, with the same pid and state.
    until("its re-execution", || {
        let environ = fs::read(format!("/proc/{}/environ", shim.pid)).unwrap();
        memchr::memmem::find(&environ, b"TASKWATCHER_SHIM=").is_some()
    });
    carried.send(Signal::TERM, false, Some("stopped by operator"));
    assert_eq!(carried.ended(), (Exit::Signal { signal: Signal::TERM, core: false }, 0));
    let mut carried = carried;
    carried.gone();
    let row = world.end();
    assert_eq!(
        (row.text("outcome"), row.text("termsignal"), row.text("termerror"), row.text("ended_by")),
        ("OK", "SIGTERM", "stopped by operator", "stopped by operator")
    );
}

#[test]
fn the_reason_of_a_failed_start_is_reported_and_recorded() {
    let world = World::new();
    let failure = |order: RunSpec| world.carry(order).failed();
    let good = || world.order(&["true"]);
    let cannot = |order: RunSpec, words: &str, not_found: bool| {
        let (cause, missing) = failure(order);
        assert_eq!(missing, not_found);
        assert!(cause.contains(words), "{words:?} is missing in {cause:?}");
        assert_eq!(world.last().text("outcome"), format!("ERROR: spawn: {cause}"));
        assert_eq!(world.tasks().len(), 0);
    };
    let file = |file: PathBuf| RunSpec { file, ..good() };
    cannot(file("/no/such".into()), "command not found: /no/such", true);
    cannot(file("/etc/passwd".into()), "not executable: /etc/passwd: Permission denied", false);
    cannot(file("/tmp".into()), "/tmp is a directory", false);
    cannot(file(world.program("bad", "no program\n")), "Exec format error", false);
    cannot(file(world.program("lost", "#!/no/such/interpreter\n")), "its interpreter does not exist", true);
    cannot(
        RunSpec { directory: Some("/no/dir".into()), ..good() },
        "cannot change directory to /no/dir: No such file or directory",
        false,
    );
    let log =
        |path: PathBuf| StreamTarget::Log(ProgramLog { path, max: 0, backups: 0, private: false, strip_ansi: false });
    cannot(
        RunSpec { stdout: log("/no/such/log".into()), ..good() },
        "cannot open log /no/such/log: No such file or directory",
        false,
    );
    if !geteuid().is_root() {
        let user = taskwatcher::model::shim::Identity { name: "root".into(), uid: 0, gid: 0, groups: vec![0] };
        cannot(RunSpec { user: Some(user), ..good() }, "cannot switch to user root: Operation not permitted", false);
    }
}

#[test]
fn a_run_as_another_user_has_only_the_groups_of_that_user() {
    if !geteuid().is_root() {
        return;
    }
    let world = World::new();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let user =
        taskwatcher::model::shim::Identity { name: "nobody".into(), uid: 65534, gid: 65533, groups: vec![65533, 7] };
    let order =
        RunSpec { user: Some(user), ..world.order(&["sh", "-c", "id -u; id -g; id -G; grep ^Cap /proc/self/status"]) };
    let mut carried = world.carry(order);
    carried.gone();
    let out = world.read("out");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["65534", "65533"]);
    assert_eq!(lines[2].split(' ').collect::<std::collections::BTreeSet<_>>(), ["65533", "7"].into());
    assert!(lines.iter().any(|line| line.starts_with("CapEff") && line.ends_with("0000000000000000")), "{out}");
    assert_eq!(fs::metadata(world.path("out")).unwrap().uid(), 65534, "its log is its own");
    assert_eq!(world.end().text("user"), "nobody");
}

#[test]
fn a_stop_reaches_the_leader_or_the_group_as_requested() {
    let world = World::new();
    // A leader that ends by SIGTERM, and a member of its group that does not.
    let script = "sh -c 'trap \"\" TERM; echo $$ >$W/member; while :; do sleep 1; done' & trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let member = || world.line("member").parse::<i32>().unwrap();
    // Signal to the leader only: the member lives on and is counted.
    let mut carried = world.carry(world.order(&["bash", "-c", script]));
    carried.running();
    let pid = member();
    carried.send(Signal::TERM, false, Some("stopped by operator"));
    let (exit, left) = carried.ended();
    assert!(exit == Exit::Code(0) && left >= 1, "{left}");
    carried.gone();
    assert!(process::stat(pid).is_some_and(|stat| !stat.ended));
    assert_eq!(world.last().text("outcome"), "OK");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    fs::remove_file(world.path("member")).unwrap();

    // Signal to the group: the run has not ended before the member has.
    let mut carried = world.carry(world.order(&["bash", "-c", script]));
    carried.running();
    let pid = member();
    carried.send(Signal::TERM, true, Some("stopped by operator"));
    let (_, left) = carried.ended();
    assert!(left >= 1);
    assert!(process::stat(pid).is_some_and(|stat| !stat.ended), "it has the time that it is given");
    assert_eq!(world.tasks().len(), 1);
    carried.send(Signal::KILL, true, Some("stopped by operator"));
    until("the group to be gone", || carried.ended().1 == 0);
    carried.gone();
    assert!(process::stat(pid).is_none_or(|stat| stat.ended));
    fs::remove_file(world.path("member")).unwrap();

    // What is left after a crash is killed if the program is configured so.
    let mut carried = world.carry(RunSpec { killasgroup: true, ..world.order(&["bash", "-c", script]) });
    let command = carried.running();
    let pid = member();
    process::signal(command, Signal::KILL).unwrap();
    until("the group to be gone", || carried.ended().1 == 0);
    carried.gone();
    assert!(process::stat(pid).is_none_or(|stat| stat.ended));
    assert_eq!(world.last().text("outcome"), "ERROR: killed by SIGKILL");

    // A program that had to be killed did not follow the stop.
    let mut carried = world.carry(world.order(&["bash", "-c", "trap '' TERM; echo x; while :; do sleep 0.1; done"]));
    carried.running();
    until("it to be deaf", || world.read("out").ends_with("x\n"));
    carried.send(Signal::TERM, false, Some("stopped: shutdown"));
    carried.send(Signal::KILL, false, Some("stopped: shutdown"));
    carried.gone();
    assert_eq!(world.last().text("outcome"), "ERROR: killed: it did not end by SIGTERM (stopped: shutdown)");
    // A signal without a reason is not a stop.
    let mut carried = world.carry(world.order(&["sleep", "300"]));
    carried.running();
    carried.send(Signal(10), false, None);
    carried.gone();
    assert_eq!(world.last().text("outcome"), "ERROR: killed by SIGUSR1");
    world.is_sound();
}

#[test]
fn waiting_for_a_group_uses_no_cpu_time() {
    let world = World::new();
    // The member holds the output open, for which the end of a run waits only for a moment.
    let script = "sh -c 'trap \"\" TERM; echo $$ >$W/member; while :; do sleep 100; done' & trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let mut carried = world.carry(world.order(&["bash", "-c", script]));
    carried.running();
    world.line("member");
    carried.send(Signal::TERM, true, Some("stopped by operator"));
    assert!(carried.ended().1 >= 1);
    let pid = carried.child.as_ref().unwrap().id();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<u64> =
            stat.rsplit_once(')').unwrap().1.split(' ').filter_map(|field| field.parse().ok()).collect();
        fields[10] + fields[11]
    };
    // Until that moment is over, and one more second; nothing else is waited for.
    sys::pause(Duration::from_millis(1100));
    let before = ticks();
    sys::pause(Duration::from_millis(1000));
    let spent = ticks() - before;
    assert!(spent < 10, "{spent} of 100 ticks");
    carried.send(Signal::KILL, true, Some("stopped by operator"));
    carried.gone();
    // A kill by another process during a stop ends the run, but not successfully.
    let mut carried = world.carry(world.order(&["bash", "-c", "trap '' TERM; echo x; while :; do sleep 0.1; done"]));
    carried.running();
    until("it to be deaf", || world.read("out").ends_with("x\n"));
    carried.send(Signal::TERM, false, Some("stopped by operator"));
    carried.send(Signal::KILL, false, None);
    carried.gone();
    assert_eq!(world.last().text("outcome"), "ERROR: killed: it did not end by SIGTERM (stopped by operator)");
}

#[test]
fn a_locked_database_delays_neither_start_nor_end_and_gets_both_later() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let lock = world.lock();
    let order = RunSpec {
        patience: 0,
        ..world.order(&["sh", "-c", "echo it runs; echo ${TASKWATCHER_TASKID-none}; cat $W/go"])
    };
    world.sh("mkfifo \"$W/go\"").run().silent(0);
    let mut carried = world.carry(order);
    carried.running();
    until("its output", || world.read("out") == "it runs\nnone\n");
    assert_eq!(carried.run().unwrap().task, None);
    assert!(carried.run().unwrap().notes[0].to_string().contains("not recorded as a task yet"));
    fs::write(world.path("go"), "").unwrap();
    assert_eq!(carried.ended(), (Exit::Code(0), 0), "reported before it is recorded");
    assert_eq!(world.tasks().len() + world.history().len(), 1);
    drop(lock);
    carried.gone();
    let row = world.last();
    assert_eq!((row.text("taskname"), row.text("outcome")), ("web", "OK"));
    assert_eq!(carried.run().unwrap().task, Some(row.int("taskid")));
    world.is_sound();
    // A run that continues becomes a task later.
    let lock = world.lock();
    let carried = world.carry(RunSpec { patience: 0, ..world.order(&["sleep", "300"]) });
    let command = carried.running();
    drop(lock);
    until("it to be a task", || world.tasks().first().is_some_and(|row| !row.is_null("pid")));
    assert_eq!(world.task().int("pid"), i64::from(command.pid));
    assert_eq!(world.json(&["list"])[0]["status"], "RUNNING");
}

#[test]
fn nothing_is_started_for_a_supervisor_that_is_gone() {
    let world = World::new();
    let gone = Process { pid: 1, pstart: 77 };
    let mut carried = world.carry(RunSpec { supervisor: gone, ..world.order(&["sh", "-c", "touch $W/started"]) });
    assert_eq!(carried.gone(), 0);
    assert!(!world.path("started").exists());
    assert_eq!(world.runs().list().unwrap(), Vec::<String>::new());
    assert!(!world.db().exists());
}

#[test]
fn a_shim_that_dies_leaves_only_known_facts() {
    for (point, phase, ran) in [
        ("shim.written", "starting", false),
        ("shim.claimed", "starting", false),
        ("shim.running", "running", true),
        ("shim.ended", "ended", true),
        ("shim.recorded", "ended", true),
    ] {
        let world = World::new();
        let mut carried = world.carry_with(world.order(&["sh", "-c", "echo x >$W/ran; exit 4"]), Some(point));
        carried.gone();
        let text = String::from_utf8(world.runs().read(&carried.order.handle).unwrap().unwrap()).unwrap();
        assert!(text.contains(&format!("\"phase\":\"{phase}\"")), "{point}: {text}");
        if ran {
            until("the command's end", || world.path("ran").exists());
        }
        assert_eq!(world.path("ran").exists(), ran, "{point}");
        if point == "shim.written" {
            assert!(!world.db().exists());
            continue;
        }
        world.control(["update"]).run();
        let rows = world.history();
        match point {
            "shim.recorded" => assert_eq!(rows[0].text("outcome"), "ERROR: exit code 4"),
            _ => {
                until("it to be settled", || {
                    world.control(["update"]).run();
                    world.tasks().is_empty()
                });
                assert_eq!(world.end().text("outcome"), "unknown", "{point}");
            }
        }
        world.is_sound();
    }
}

#[test]
fn logs_are_rotated_reopened_and_stripped_of_colours() {
    let world = World::new();
    let place =
        |name: &str, max| ProgramLog { path: world.path(name), max, backups: 2, private: true, strip_ansi: true };
    let order = RunSpec {
        stdin: CommandInput::Pipe,
        stdout: StreamTarget::Log(place("log", 20)),
        stderr: StreamTarget::Joined,
        ..world.order(&[
            "bash",
            "-c",
            "while read -r line; do printf '\\e[31m%s\\e[0m\\n' \"$line\"; echo \"$line\" >&2; done",
        ])
    };
    let mut carried = world.carry(order);
    carried.running();
    let say = |text: &str| carried.tell(&input_command(text.as_bytes()));
    say("one\n");
    until("its lines", || world.path("log").exists() && world.read("log") == "one\none\n");
    fs::rename(world.path("log"), world.path("moved")).unwrap();
    carried.tell(&ShimCommand::Reopen);
    say("two\n");
    until("its lines", || world.path("log").exists() && world.read("log") == "two\ntwo\n");
    assert_eq!(world.read("moved"), "one\none\n");
    say("seven letters\n");
    until("it to turn over", || world.path("log.1").exists());
    assert_eq!(fs::metadata(world.path("log")).unwrap().mode() & 0o777, 0o600);
    carried.tell(&ShimCommand::Policy {
        killasgroup: false,
        exitcodes: vec![0],
        stdout: StreamTarget::Log(place("elsewhere", 0)),
        stderr: StreamTarget::Joined,
    });
    say("three\n");
    until("its lines", || world.path("elsewhere").exists() && world.read("elsewhere") == "three\nthree\n");
    carried.send(Signal::TERM, false, Some("stopped by operator"));
    carried.gone();
}

#[test]
fn a_missing_heartbeat_ends_the_whole_tree_and_children_with_the_output_delay_nothing() {
    let world = World::new();
    let script = "sleep 300 & echo '[progress]50' >$TASKWATCHER_FEEDBACK; wait";
    let order = RunSpec { timeout: Some(400), feedpath: Some(world.work()), ..world.order(&["sh", "-c", script]) };
    let mut carried = world.carry(order);
    carried.ended();
    carried.gone();
    let row = world.end();
    assert_eq!((row.text("outcome"), row.text("feedback")), ("ERROR: no heartbeat for 0.4s", "{\"progress\":\"50\"}"));
    let Phase::Ended { timeout, .. } = carried.run().unwrap().phase else { unreachable!() };
    assert!(timeout);
    until("nothing to be left", || world.processes_with(&carried.order.handle).is_empty());
    let mut carried = world.carry(world.order(&["sh", "-c", "sleep 300 & exit 0"]));
    let (_, left) = carried.ended();
    assert_eq!(left, 1);
    carried.gone();
    assert_eq!(world.last().text("outcome"), "OK");
}
