//! Databases and files of other users: their content is not trusted, and files beside a database are only used if its
//! owner or the current user created them. Two users are needed, so these tests run only as root.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says what it skips"
)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use crate::support::{
    World,
    desk::{Foreign, is_alive},
    until,
};
use nix::sys::signal::Signal;
use taskwatcher::{
    io::{
        rundir::RunDir,
        spool::{SelfReport, Spool},
    },
    model::{
        shim::{Phase, Run, SupervisorId},
        task::Process,
    },
};

/// Another user.
const OTHER: u32 = 65_534;

/// A world whose folder belongs to another user, with one task that this user ran. `None` if there is no other user.
fn world_of_another() -> Option<World> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be two users");
        return None;
    }
    let world = World::new();
    for path in [world.path(""), world.work()] {
        chown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    world.launch(["echo", "printed"]).of_user(OTHER).run().silent(0);
    Some(world)
}

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

fn log_of(world: &World) -> PathBuf {
    world.history()[0].text("log").into()
}

/// Creates a file that only root can read.
fn secret(world: &World, name: &str) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, "[key]top secret\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// Inserts a task that seems to have died without a record, with a feedback file.
fn lost_task(world: &World, id: i64, feedpath: &Path) {
    let boot = taskwatcher::io::sys::boot_id().unwrap();
    let sql =
        "INSERT INTO tasks (id, name, status, feedback, handle, upid, slot, launcher_pid, launcher_pstart, boot_id,
                                  feedpath, keep_feedback, starttime)
               VALUES (?1, 'x', 'RUNNING', 1, 'abcdefgh', 'UPID:n:00000001:00000001:0000000A:x:' || ?1 || ':u@pam:', ?1,
                       1, 1, ?2, ?3, 0, 10)";
    world.connect().execute(sql, rusqlite::params![id, boot, feedpath.to_str().unwrap()]).unwrap();
}

#[test]
fn rows_of_another_users_database_cannot_show_or_remove_files() {
    let Some(world) = world_of_another() else { return };
    let (feedback, log) = (secret(&world, "precious"), secret(&world, "shadow"));
    lost_task(&world, 7, &feedback);
    world.connect().execute("UPDATE history SET log = ?1", [log.to_str().unwrap()]).unwrap();
    let verbs: [&[&str]; 9] = [
        &["list", "--all"],
        &["list", "--json"],
        &["show", "7"],
        &["show", "1"],
        &["feedback", "7"],
        &["log", "1"],
        &["history"],
        &["stats"],
        &["verify"],
    ];
    for verb in verbs {
        let said = world.control(verb).run();
        let text = format!("{}{}", said.text(), said.err);
        assert!(!text.contains("secret"), "{verb:?}: {text}");
    }
    assert!(world.control(["log", "1"]).run().text().contains("printed"), "the log that launch made");
    assert!(feedback.exists() && log.exists());
    assert_eq!((world.tasks().len(), world.history().len()), (1, 1), "nothing is settled");
    let said = world.control(["history"]).run();
    assert!(said.err.contains("only the owner of the database may move"), "{}", said.err);
    // The owner settles it, and does not remove the file of another task either.
    world.control(["list"]).of_user(OTHER).run().silent(0);
    assert_eq!((world.tasks().len(), world.history().len()), (0, 2));
    assert!(feedback.exists());
}

#[test]
fn a_feedback_file_is_removed_only_by_the_owner_of_the_database() {
    let Some(world) = world_of_another() else { return };
    let feedback = world.path("feedback_7.log");
    fs::write(&feedback, "[progress]50\n").unwrap();
    chown(&feedback, Some(OTHER), Some(OTHER)).unwrap();
    lost_task(&world, 7, &feedback);
    world.control(["list"]).run().silent(0);
    assert!(feedback.exists());
    world.control(["list"]).of_user(OTHER).run().silent(0);
    assert!(!feedback.exists());
    assert!(world.last().text("feedback").contains("50"));
}

#[test]
fn in_another_users_database_only_logs_of_launch_are_shown() {
    let Some(world) = world_of_another() else { return };
    let (log, secret) = (log_of(&world), secret(&world, "shadow"));
    let refused = |why: &str| world.control(["log", "1"]).run().says(1, &["cannot read the log of task 1", why]);
    fs::remove_file(&log).unwrap();
    symlink(&secret, &log).unwrap();
    refused("symbolic link");
    fs::remove_file(&log).unwrap();
    fs::hard_link(&secret, &log).unwrap();
    refused("belongs to root");
    fs::remove_file(&log).unwrap();
    nix::unistd::mkfifo(&log, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused("a pipe");
    fs::remove_file(&log).unwrap();
    let (inner, elsewhere) = (log.parent().unwrap(), world.path("elsewhere"));
    fs::rename(inner, &elsewhere).unwrap();
    symlink(&elsewhere, inner).unwrap();
    fs::write(elsewhere.join(log.file_name().unwrap()), "secret").unwrap();
    refused("symbolic link");
    // Nothing is removed through such a link either.
    world.control(["clear"]).run().silent(0);
    assert!(elsewhere.join(log.file_name().unwrap()).exists());
}

#[test]
fn files_that_root_creates_beside_a_database_belong_to_its_owner() {
    let Some(world) = world_of_another() else { return };
    for path in ["tasks.db-spool", "tasks.db.logs"] {
        let path = world.path(path);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
    }
    world.launch(["echo", "of root"]).run().silent(0);
    let log = PathBuf::from(world.last().text("log"));
    for path in [&log, log.parent().unwrap(), &world.path("tasks.db.logs"), &world.path("tasks.db-spool")] {
        assert_eq!(owner(path), OTHER, "{path:?}");
    }
    world.launch(["echo", "of the user"]).of_user(OTHER).run().silent(0);
    world.control(["clear"]).of_user(OTHER).run().silent(0);
    assert!(!log.exists());
    world.control(["verify"]).of_user(OTHER).run().silent(0);
}

#[test]
fn a_log_that_cannot_be_removed_is_named_with_the_owner_of_its_folder() {
    let Some(world) = world_of_another() else { return };
    let log = log_of(&world);
    chown(log.parent().unwrap(), Some(0), Some(0)).unwrap();
    fs::set_permissions(log.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    let name = log.file_name().unwrap().to_str().unwrap();
    world.control(["clear"]).of_user(OTHER).run().says(1, &["remove a log", name, "its folder belongs to root"]);
}

#[test]
fn files_of_another_user_beside_a_database_are_not_used() {
    if world_of_another().is_none() {
        return;
    }
    let world = World::new();
    fs::set_permissions(world.path(""), Permissions::from_mode(0o1777)).unwrap();
    world.launch(["true"]).run().silent(0);
    let theirs = |name: &str| {
        let path = world.path(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        chown(&path, Some(OTHER), Some(OTHER)).unwrap();
        path
    };
    let spool = theirs("tasks.db-spool");
    world.launch(["touch", "ran"]).run().says(125, &["tasks.db-spool", &format!("belongs to user {OTHER}")]);
    assert!(!world.work().join("ran").exists());
    fs::remove_file(spool).unwrap();
    world.control(["clear"]).run().silent(0);
    fs::remove_dir_all(world.path("tasks.db.logs")).unwrap();
    fs::create_dir(world.path("tasks.db.logs")).unwrap();
    chown(world.path("tasks.db.logs"), Some(OTHER), Some(OTHER)).unwrap();
    let ran = world.launch(["echo", "x"]).run();
    assert_eq!((ran.code, ran.text()), (0, "x\n"));
    assert!(ran.err.contains("tasks.db.logs\": it belongs to user"), "{}", ran.err);
    for name in ["tasks.db-wal", "tasks.db-shm", "tasks.db-journal"] {
        let path = theirs(name);
        let why = format!("it belongs to user {OTHER}, and the database to user 0");
        world.control(["list"]).run().says(1, &[name, &why]);
        fs::remove_file(path).unwrap();
    }
    world.control(["list"]).run().silent(0);
}

#[test]
fn a_wal_that_is_a_link_is_not_followed() {
    let Some(world) = world_of_another() else { return };
    let precious = secret(&world, "precious");
    let wal = world.path("tasks.db-wal");
    let _ = fs::remove_file(&wal);
    symlink(&precious, &wal).unwrap();
    world.launch(["true"]).run().says(125, &["tasks.db-wal", "a symbolic link"]);
    assert_eq!(fs::read_to_string(precious).unwrap(), "[key]top secret\n");
}

/// Inserts a running task whose row, written by the owner of the database, names these processes.
fn claimed_task(world: &World, id: i64, launcher: Process, command: Process) {
    let boot = taskwatcher::io::sys::boot_id().unwrap();
    let sql = "INSERT INTO tasks (id, name, status, feedback, handle, upid, slot, launcher_pid, launcher_pstart, pid,
                                  pid_pstart, boot_id, keep_feedback, starttime)
               VALUES (?1, 'claimed', 'RUNNING', 0, 'abcdefgh', ?2, ?1, ?3, ?4, ?5, ?6, ?7, 0, 10)";
    let values = rusqlite::params![
        id,
        upid_of(id),
        launcher.pid,
        launcher.pstart.cast_signed(),
        command.pid,
        command.pstart.cast_signed(),
        boot
    ];
    world.connect().execute(sql, values).unwrap();
}

fn upid_of(id: i64) -> String {
    format!("UPID:n:00000001:00000001:0000000A:x:{id}:u@pam:")
}

/// An ended process.
const GONE: Process = Process { pid: i32::MAX, pstart: 1 };

#[test]
fn root_signals_no_unrelated_process_named_by_a_row_of_another_user() {
    let Some(world) = world_of_another() else { return };
    let mut victim = Foreign::new();
    let named = format!("process {} (sleep) belongs to root; the database belongs to", victim.process().pid);
    claimed_task(&world, 7, victim.process(), GONE);
    claimed_task(&world, 8, GONE, victim.process());
    for verb in [&["kill", "7"][..], &["kill", "8"], &["kill", "--now", "8"]] {
        let ran = world.control(verb).run().says(1, &["cannot end task", &named, "end them with kill"]);
        assert!(!ran.err.contains(&format!("kill {}", victim.process().pid)), "{ran:?}");
        victim.is_untouched();
    }
    let ran = world.control(["killall", "claimed"]).run();
    assert_eq!((ran.code, ran.err.lines().count()), (1, 2), "{ran:?}");
    victim.is_untouched();
    // Processes that a live launcher reports as refused are also checked.
    let mut launcher = Foreign::of(OTHER);
    claimed_task(&world, 9, launcher.process(), GONE);
    let story = SelfReport { refused: vec![victim.process()], ..SelfReport::default() };
    let spool = Spool::open(&world.db(), true).unwrap();
    spool.reserve(9).unwrap();
    spool.write_report(9, &upid_of(9), &story).unwrap();
    world.control(["kill", "9"]).run().says(1, &[&named]);
    victim.is_untouched();
    launcher.is_untouched();
}

#[test]
fn root_ends_tasks_of_another_user_and_its_own_in_the_database_of_that_user() {
    let Some(world) = world_of_another() else { return };
    for user in [OTHER, 0] {
        let run = world.launch(["sh", "-c", "echo ready; exec sleep 1000"]).of_user(user).spawn();
        until("the command", || run.stdout() == "ready\n");
        let id = world.task().int("id").to_string();
        world.control(["kill", &id]).run().silent(0);
        assert_eq!(run.wait().code, 143);
        assert_eq!(world.last().text("ended_by").split(' ').next(), Some("root"));
    }
    // An orphan of the other user is ended too.
    let run = world.launch(["sh", "-c", "echo ready; exec sleep 1000"]).of_user(OTHER).spawn();
    until("the command", || run.stdout() == "ready\n");
    let (task, command) = (world.task(), i32::try_from(world.task().int("pid")).unwrap());
    run.signal(Signal::SIGKILL);
    run.wait();
    world.control(["kill", &task.int("id").to_string()]).run().silent(0);
    assert!(!is_alive(command));
}

#[test]
fn a_supervisor_of_root_is_not_asked_because_of_another_users_folder() {
    let Some(world) = world_of_another() else { return };
    let mut launcher = Foreign::of(OTHER);
    claimed_task(&world, 7, launcher.process(), GONE);
    // A fake supervisor of this user, whose program would obey root.
    let socket = world.path("of-root.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let runs = RunDir::open(&RunDir::beside(&world.db())).unwrap();
    let lock = runs.lock().unwrap().unwrap();
    let boot = taskwatcher::io::sys::boot_id().unwrap();
    let supervisor = SupervisorId { process: launcher.process(), boot: boot.clone(), socket: Some(socket) };
    runs.write_self(&supervisor.to_text()).unwrap();
    let run = Run {
        handle: "abcdefgh".to_owned(),
        ear: "hgfedcba".to_owned(),
        process: "web".to_owned(),
        program: "web".to_owned(),
        group: "web".to_owned(),
        version: "1".to_owned(),
        attempt: 1,
        shim: launcher.process(),
        boot: boot.clone(),
        task: Some(7),
        phase: Phase::Starting,
        denied: None,
        notes: vec![],
    };
    runs.write("abcdefgh", &run.to_text()).unwrap();
    chown(runs.path(), Some(OTHER), Some(OTHER)).unwrap();
    world.control(["kill", "7"]).run().says(1, &["cannot end task 7", "its socket belongs to root", "--force"]);
    let mut said = vec![];
    let (mut asked, _) = listener.accept().unwrap();
    std::io::Read::read_to_end(&mut asked, &mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "");
    launcher.is_untouched();
    // If a third user created that folder, it is not trusted at all.
    chown(runs.path(), Some(OTHER + 1), None).unwrap();
    world.control(["kill", "--no-wait", "7"]).run().silent(0);
    drop(lock);
}
