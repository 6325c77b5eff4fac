//! Databases and files of other users: what they say is not believed, and what lies beside a database is only used if its
//! owner, or this user, made it. All of it needs two users, so it is tried as root alone.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper of a test fails the test, as the test itself does, and says what it skips"
)]

mod support;

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use support::World;

/// Another user.
const OTHER: u32 = 65_534;

/// A world whose folder belongs to another user, with one task that this user ran; none: this user has no other one.
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

/// A file of root's that nobody else can read.
fn secret(world: &World, name: &str) -> PathBuf {
    let path = world.path(name);
    fs::write(&path, "[key]top secret\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// A task that seems to have ended without a word, with a feedback file.
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
fn rows_of_another_users_database_show_and_remove_no_file() {
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
    assert!(said.err.contains("left to the owner of the database"), "{}", said.err);
    // Its owner settles it, and the file of another task is none of its own to this one either.
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
fn of_another_user_only_logs_that_launch_made_are_shown() {
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
    // Nor is anything removed through such a link.
    world.control(["clear"]).run().silent(0);
    assert!(elsewhere.join(log.file_name().unwrap()).exists());
}

#[test]
fn what_root_makes_beside_the_database_of_another_user_belongs_to_that_user() {
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
fn what_another_user_put_beside_a_database_is_not_used() {
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
