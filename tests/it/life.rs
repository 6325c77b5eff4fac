//! Whether a task is live, seen by readers that cannot see its processes: in other pid namespaces, with another boot
//! id, with a `/proc` that hides processes, without descriptors. No reader may report a live task as dead or miss the
//! end of a dead one.
#![expect(clippy::print_stderr, reason = "a test says when it skips")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::support::{Program, Ran, World, eventually, until};
use nix::{sys::signal::Signal, unistd::geteuid};

/// Returns a script, with the programs in `$LAUNCH` and `$CONTROL`.
fn script<'w>(world: &'w World, text: &str) -> Program<'w> {
    world.sh(text).env("CONTROL", env!("CARGO_BIN_EXE_control"))
}

/// Runs a script in its own namespaces. `None` if this user may not create them.
fn apart(world: &World, unshare: &[&str], text: &str) -> Option<Ran> {
    if !geteuid().is_root() {
        eprintln!("skipped: needs root for unshare(1)");
        return None;
    }
    let mut program = world.command("unshare").env("CONTROL", env!("CARGO_BIN_EXE_control"));
    program.command.args(unshare).args(["sh", "-ec", text]);
    Some(program.run())
}

const OTHER_PIDS: [&str; 3] = ["--pid", "--fork", "--mount-proc"];

#[track_caller]
fn sees_running(ran: &Ran) {
    assert!(ran.text().contains("RUNNING"), "{ran:?}");
}

/// Checks that a second task with the same name is refused.
const SECOND: &str = "$LAUNCH --name job --unique -- touch second 2>&1 && exit 1; true";

#[track_caller]
fn still_the_only_one(world: &World, id: i64) {
    assert!(!world.work().join("second").exists(), "a second task was started beside the first");
    assert!(world.history().is_empty(), "{:?}", world.history());
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
}

#[test]
fn a_task_of_another_pid_namespace_is_running_there_and_here() {
    let world = World::new();
    let (mut launch, id) = world.launched(["--name", "job", "--unique", "sleep", "1000"]);
    let look = format!("$CONTROL list; {SECOND}");
    let Some(ran) = apart(&world, &OTHER_PIDS, &look) else { return };
    sees_running(&ran);
    assert!(ran.text().contains("has not ended"), "{ran:?}");
    still_the_only_one(&world, id);
    // With the `/proc` of the outer namespace, where all pids mean other processes.
    sees_running(&apart(&world, &["--pid", "--fork"], &look).unwrap());
    still_the_only_one(&world, id);
    launch.signal(Signal::SIGTERM);
    launch.child.wait().unwrap();
    assert_eq!(world.end().text("termsignal"), "SIGTERM");
}

#[test]
fn a_task_started_inside_another_pid_namespace_is_running_outside() {
    let world = World::new();
    if !geteuid().is_root() {
        return;
    }
    let mut program = world.command("unshare").env("CONTROL", env!("CARGO_BIN_EXE_control"));
    program.command.args(OTHER_PIDS).args(["sh", "-c", "$LAUNCH --name job --unique -- sleep 1000"]);
    let mut inside = program.spawn();
    let id = eventually("the command to run", || {
        world.tasks().iter().find(|row| !row.is_null("pid")).map(|row| row.int("id"))
    });
    until("it to run as a smaller process", || !world.own_with("TASKWATCHER_LAUNCHER=").is_empty());
    sees_running(&world.control(["list"]).run());
    script(&world, SECOND).run();
    still_the_only_one(&world, id);
    // The namespace ends with its first process; from outside it is visible that no process is left.
    let held = world.task().int("launcher_pid");
    assert!(held < 100, "counted inside: {held}");
    for pid in world.own_with("unshare\0--pid") {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    inside.child.wait().unwrap();
    for pid in world.processes() {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    until("the end to be seen", || world.status(id).is_none());
    assert_eq!(world.end().text("termerror"), "launcher lost");
}

#[test]
fn a_task_of_another_pid_namespace_is_ended_from_here() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sleep", "1000"]);
    let Some(ran) = apart(&world, &OTHER_PIDS, &format!("$CONTROL kill {id}")) else { return };
    assert!(ran.text().contains("killed by"), "{ran:?}");
    launch.child.wait().unwrap();
    assert!(world.end().text("ended_by").contains("control"), "{:?}", world.end());
    let (mut launch, id) = world.launched(["sleep", "1000"]);
    let ran = apart(&world, &OTHER_PIDS, &format!("$CONTROL kill --no-wait --signal KILL {id}")).unwrap();
    assert!(ran.text().contains("asked to end"), "{ran:?}");
    launch.child.wait().unwrap();
}

#[test]
fn a_task_inside_another_pid_namespace_is_ended_from_outside() {
    let world = World::new();
    if !geteuid().is_root() {
        return;
    }
    let mut program = world.command("unshare").env("CONTROL", env!("CARGO_BIN_EXE_control"));
    program.command.args(OTHER_PIDS).args(["sh", "-c", "$LAUNCH --timeout 1h sleep 1000; true"]);
    let mut inside = program.spawn();
    let id = eventually("the command to run", || {
        world.tasks().iter().find(|row| !row.is_null("pid")).map(|row| row.int("id"))
    });
    let ran = world.control(["kill", &id.to_string()]).run();
    assert!(ran.text().contains("killed by"), "{ran:?}");
    inside.child.wait().unwrap();
}

#[test]
fn a_request_that_cannot_be_delivered_is_refused_and_not_left() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sleep", "1000"]);
    let apart_from_all = ["--pid", "--fork", "--mount-proc", "--net"];
    for how in ["--no-wait", "--now"] {
        let kill = format!("$CONTROL kill {how} {id} 2>&1 && exit 9; echo code $?");
        let Some(ran) = apart(&world, &apart_from_all, &kill) else { return };
        assert!(ran.text().contains("another pid namespace") && ran.text().contains("code 1"), "{ran:?}");
    }
    // The spool contains no request.
    launch.signal(Signal::SIGURG);
    launch.signal(Signal::SIGTERM);
    launch.child.wait().unwrap();
    assert_eq!(world.end().text("termsignal"), "SIGTERM");
    assert!(!world.end().text("ended_by").contains("control"), "{:?}", world.end());
}

#[test]
fn waiting_for_a_task_of_another_pid_namespace_uses_no_cpu_time() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sleep", "1000"]);
    let wait = format!("$CONTROL wait --timeout 4s {id} && exit 9; times");
    let Some(ran) = apart(&world, &OTHER_PIDS, &wait) else { return };
    // The last line is the user and system time of the children, such as 0m1.5s.
    let text = ran.text();
    let spent = text.lines().last().unwrap().split_whitespace().map(|time| {
        let (minutes, secs) = time.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + secs.parse::<f64>().unwrap()
    });
    assert!(spent.sum::<f64>() < 1.5, "{text}");
    launch.signal(Signal::SIGTERM);
    launch.child.wait().unwrap();
}

#[test]
fn an_orphan_outside_is_not_reported_as_dead_inside() {
    let world = World::new();
    let id = world.orphan(&["--name", "job", "sleep", "1000"]);
    let Some(ran) = apart(&world, &OTHER_PIDS, "$CONTROL list") else { return };
    assert!(ran.text().contains("ORPHANED"), "{ran:?}");
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
    assert!(world.history().is_empty());
}

#[test]
fn the_end_of_a_launcher_is_seen_from_another_pid_namespace() {
    let world = World::new();
    // Started inside a container that is gone, and examined from the next container with the same host name.
    let die = "TASKWATCHER_CRASH_AT=started.after $LAUNCH --name job -- sleep 1000 || true";
    if apart(&world, &OTHER_PIDS, die).is_none() {
        return;
    }
    assert_eq!(world.tasks().len(), 1);
    let ran = apart(&world, &OTHER_PIDS, "$CONTROL list --all").unwrap();
    assert!(ran.text().contains("launcher lost"), "{ran:?}");
}

#[test]
fn another_boot_id_is_not_a_restart_while_the_launcher_lives() {
    let world = World::new();
    let (_launch, id) = world.launched(["--name", "job", "--unique", "sleep", "1000"]);
    let mount = "cat /proc/sys/kernel/random/uuid > b; mount --bind b /proc/sys/kernel/random/boot_id;";
    let Some(ran) = apart(&world, &["-m"], &format!("{mount} $CONTROL list; {SECOND}")) else { return };
    sees_running(&ran);
    still_the_only_one(&world, id);
    // After the end of the launcher and of all its processes it is a restart.
    for pid in world.processes() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    let ran = apart(&world, &["-m"], &format!("{mount} $CONTROL list --all")).unwrap();
    assert!(ran.text().contains("host restarted"), "{ran:?}");
}

#[test]
fn a_proc_that_hides_processes_hides_no_task() {
    let world = World::new();
    if !geteuid().is_root() {
        return;
    }
    let user = "setpriv --reuid 1000 --regid 1000 --clear-groups";
    for mode in ["noaccess", "invisible", "ptraceable"] {
        let world = World::new();
        world.control(["update"]).run();
        world.reserved(&[]);
        for path in [world.path("."), world.work(), world.db(), world.path("tasks.db-wal"), world.path("tasks.db-shm")]
        {
            std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        }
        let text = format!(
            "mount -t proc -o hidepid={mode} proc /proc
             $LAUNCH --name job --unique -- sleep 1000 & launch=$!
             for i in $(seq 500); do $CONTROL list | grep -q RUNNING && break; sleep 0.02; done
             {user} $CONTROL list --name job
             {user} sh -c '{SECOND}'
             kill $launch; wait"
        );
        let ran = apart(&world, &["-m"], &text).unwrap();
        sees_running(&ran);
        assert!(!world.work().join("second").exists(), "{mode}");
        assert_eq!(world.last().text("termsignal"), "SIGTERM", "{mode}");
    }
    drop(world);
}

#[test]
fn a_reader_without_descriptors_reports_nothing_as_dead() {
    let world = World::new();
    let (_launch, id) = world.launched(["--name", "job", "--unique", "sleep", "1000"]);
    let orphan = world.orphan(&["--name", "left", "sleep", "1000"]);
    let mut read = 0;
    for limit in 4..12 {
        let ran = script(&world, &format!("ulimit -n {limit}; $CONTROL list")).run();
        read += i32::from(ran.code == 0);
        assert!(world.history().is_empty(), "with {limit} descriptors: {ran:?}");
        // The remaining processes of the other task cannot be determined then.
        assert!(ran.code != 0 || ran.text().contains("RUNNING") && ran.text().contains("left"), "{ran:?}");
    }
    assert!(read > 1, "none of these limits lets control read");
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"));
    assert_eq!(world.status(orphan).as_deref(), Some("ORPHANED"));
}

/// A process whose first thread ends while another one sends heartbeats.
const THREADS: &str = r#"
import ctypes, os, threading, time
def beat():
    while True:
        open("beat", "w").close()
        time.sleep(.05)
threading.Thread(target=beat).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"#;

fn has_ended_first_thread(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[track_caller]
fn beats_no_more(world: &World) {
    let beat = world.work().join("beat");
    let _ = fs::remove_file(&beat);
    // It sends twenty heartbeats per second.
    until("its processes to be gone", || world.own_with("threads.py").is_empty());
    let _ = fs::remove_file(&beat);
    assert!(world.own_with("threads.py").is_empty() && !beat.exists(), "it runs on");
}

#[test]
fn a_process_whose_first_thread_has_ended_is_ended_with_its_tree() {
    let world = World::new();
    fs::write(world.work().join("threads.py"), THREADS).unwrap();
    let ran = world
        .launch(["--max-runtime", "2s", "--kill-after", "1s", "sh", "-c", "setsid python3 threads.py & sleep 1000"])
        .run();
    assert_eq!(ran.code, 124, "{ran:?}");
    beats_no_more(&world);
}

#[test]
fn a_command_whose_first_thread_has_ended_is_an_orphan_that_can_be_killed() {
    let world = World::new();
    fs::write(world.work().join("threads.py"), THREADS).unwrap();
    let id = world.orphan(&["python3", "threads.py"]);
    until("its first thread to end", || world.own_with("threads.py").into_iter().all(has_ended_first_thread));
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
    let ran = world.control(["kill", &id.to_string()]).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    beats_no_more(&world);
}

#[test]
fn an_orphan_is_killed_with_processes_that_changed_their_environment() {
    let world = World::new();
    let mark = world.path("").display().to_string();
    let text = format!("env -i sh -c ': {mark}; sleep 1000; :' & setsid env -i sh -c ': {mark}; sleep 1000; :' & wait");
    let (mut launch, id) = world.launched(["sh", "-c", &text]);
    until("its processes", || world.processes_with(&mark).iter().filter(|pid| is_shell_of(**pid, &mark)).count() == 2);
    let shells: Vec<i32> = world.processes_with(&mark).into_iter().filter(|pid| is_shell_of(*pid, &mark)).collect();
    launch.signal(Signal::SIGKILL);
    launch.child.wait().unwrap();
    let ran = world.control(["kill", &id.to_string()]).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    for pid in shells {
        assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "process {pid} runs on");
    }
}

/// Whether a process was started by `env -i`.
fn is_shell_of(pid: i32, mark: &str) -> bool {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with("sh\0-c\0: ") && line.contains(mark)
}

#[test]
fn a_group_that_outlives_its_first_process_keeps_the_task_orphaned() {
    let world = World::new();
    let mark = world.path("").display().to_string();
    let text = format!("env -i sh -c ': {mark}; sleep 1000; :' & sleep 1000");
    let (mut launch, id) = world.launched(["--name", "job", "--unique", "sh", "-c", &text]);
    until("its processes", || world.processes_with(&mark).iter().any(|pid| is_shell_of(*pid, &mark)));
    launch.signal(Signal::SIGKILL);
    launch.child.wait().unwrap();
    let upid = world.task().text("upid").to_owned();
    for pid in world.processes_with(&format!("UPID={upid}")) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    until("all that carry its UPID to be gone", || world.processes_with(&format!("UPID={upid}")).is_empty());
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
    script(&world, SECOND).run();
    assert!(!world.work().join("second").exists());
    let ran = world.control(["kill", &id.to_string()]).run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(world.processes_with(&mark).iter().all(|pid| !is_shell_of(*pid, &mark)), "its group runs on");
}

#[test]
fn a_process_with_only_the_upid_does_not_keep_a_task_alive() {
    let world = World::new();
    let id = world.lost(&["--name", "job"]);
    let upid = world.task().text("upid").to_owned();
    let mut stranger = world.command("sleep").arg("1000").env("TASKWATCHER_UPID", &upid).spawn();
    until("it to run", || !world.processes_with(&upid).is_empty());
    assert_eq!(world.status(id), None, "an impostor counts as an orphan");
    assert_eq!(world.end().text("termerror"), "launcher lost");
    stranger.child.kill().unwrap();
    stranger.child.wait().unwrap();
}

#[test]
fn a_slot_is_held_by_the_launcher_alone_and_for_as_long_as_it_lives() {
    let world = World::new();
    let (mut launch, id) = world.launched(["sh", "-c", "sleep 1000 & exec sleep 1000"]);
    assert_eq!(world.task().int("held"), 1);
    let slot = world.task().int("slot");
    let spool = taskwatcher::io::spool::Spool::open(&world.db(), false).unwrap();
    // Also after its re-execution.
    until("it to run as a smaller process", || world.own_with("TASKWATCHER_LAUNCHER=").contains(&launch.pid()));
    until("the slot to be held", || spool.held(slot).unwrap().is_some());
    launch.signal(Signal::SIGKILL);
    launch.child.wait().unwrap();
    assert_eq!(spool.held(slot).unwrap(), None, "its command holds it");
    assert_eq!(world.status(id).as_deref(), Some("ORPHANED"));
}

#[test]
fn of_many_tasks_each_is_judged_by_its_own_lock() {
    use std::{collections::BTreeSet, fmt::Write};
    let world = World::new();
    let (_launch, id) = world.launched(["--name", "job", "sleep", "1000"]);
    let spool = taskwatcher::io::spool::Spool::open(&world.db(), true).unwrap();
    // Rows of another pid namespace, which only the lock shows to be live.
    let mut sql = String::new();
    for number in id + 1..=id + 300 {
        writeln!(
            sql,
            "CREATE TEMP TABLE copy AS SELECT * FROM tasks WHERE id = {id};
             UPDATE copy SET id = {number}, slot = {number}, handle = 'h{number:07}', namespace = 'pid:[1]',
                 upid = replace(upid, ':job:{id}:', ':job:{number}:');
             INSERT INTO tasks SELECT * FROM copy; DROP TABLE copy;"
        )
        .unwrap();
        if number % 2 == 0 {
            assert!(spool.hold(number).unwrap(), "slot {number}");
        }
    }
    world.edit(&sql);
    let list = world.json(&["list"]);
    let rows = list.as_array().unwrap().iter().filter(|row| row["status"] == "RUNNING");
    let running: BTreeSet<i64> = rows.map(|row| row["taskid"].as_i64().unwrap()).collect();
    let held = (id + 1..=id + 300).filter(|number| number % 2 == 0);
    assert_eq!(running, held.chain([id]).collect());
}

#[test]
fn a_task_beyond_the_first_file_of_the_spool_is_alive_is_killed_and_leaves_its_end_there() {
    let world = World::new();
    let first = world.reserved(&["--name", "first"]);
    // The next task finds its slot of the first file taken.
    world.edit(&format!("UPDATE tasks SET slot = {}", first + 1));
    let (mut launch, id) = world.launched(["--name", "job", "sleep", "1000"]);
    let slot = first + 1 + 256;
    assert_eq!(world.query(&format!("SELECT slot FROM tasks WHERE id = {id}"))[0].int("slot"), slot);
    let file = world.beside_db("-spool.1");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let spool = taskwatcher::io::spool::Spool::open(&world.db(), false).unwrap();
    until("it to run as a smaller process", || world.own_with("TASKWATCHER_LAUNCHER=").contains(&launch.pid()));
    until("the slot to be held", || spool.held(slot).unwrap().is_some());
    world.edit(&format!("UPDATE tasks SET namespace = 'pid:[1]' WHERE id = {id}"));
    assert_eq!(world.status(id).as_deref(), Some("RUNNING"), "only the lock shows it");
    world.edit(&format!("UPDATE tasks SET namespace = NULL WHERE id = {id}"));
    let lock = world.lock();
    world.control(["kill", "--no-wait", &id.to_string()]).run().ok();
    launch.child.wait().unwrap();
    assert_eq!(spool.held(slot).unwrap(), None);
    drop(lock);
    assert_eq!(world.status(id), None);
    assert_eq!(world.last().text("termsignal"), "SIGTERM");
}
