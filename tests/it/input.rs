//! Invalid databases and paths: each gives one clear line, and nothing is lost or changed. (Invalid commands,
//! reservations and feedback folders are in `launch.rs`.)
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs::{self, Permissions},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::UnixDatagram,
        },
    },
    path::Path,
    time::Duration,
};

use taskwatcher::io::store::{LockTimeout, Store};

use crate::support::{PATIENCE, World, desk::mode};

/// Programs that read, write and create, each with its exit code if the database cannot be used.
const PROGRAMS: [(&str, i32); 5] = [
    ("\"$CONTROL\" list", 1),
    ("\"$CONTROL\" history", 1),
    ("\"$CONTROL\" reserve", 1),
    ("\"$CONTROL\" initialize --force", 1),
    ("\"$LAUNCH\" touch ran", 125),
];

/// Checks that every program refuses this database with these words, and does not run the command.
#[track_caller]
fn refused(world: &World, words: &[&str]) {
    let place = world.db();
    for (program, code) in PROGRAMS {
        let ran = world.sh(program).env("CONTROL", env!("CARGO_BIN_EXE_control")).run();
        let words: Vec<&str> = words.iter().copied().chain([place.to_str().unwrap()]).collect();
        assert_eq!(ran.text(), "", "{program}");
        ran.says(code, &words);
        assert!(!world.work().join("ran").exists(), "{program}");
    }
}

/// Like [`refused`], and the file is not changed and nothing is created beside it.
#[track_caller]
fn refused_untouched(world: &World, words: &[&str]) {
    let before = fs::read(world.db()).unwrap();
    refused(world, words);
    assert_eq!(fs::read(world.db()).unwrap(), before);
    for suffix in ["-wal", "-spool"] {
        assert!(!world.beside_db(suffix).exists(), "{suffix}");
    }
}

/// Creates a database with some content, in one file.
fn filled() -> World {
    let world = World::new();
    for _ in 0..30 {
        world.launch(["--info1", &"x".repeat(2000), "true"]).run().silent(0);
    }
    world.edit("PRAGMA wal_checkpoint(TRUNCATE)");
    for suffix in ["-wal", "-shm", "-spool"] {
        let _ = fs::remove_file(world.beside_db(suffix));
    }
    world
}

// ---- files that are not databases

#[test]
fn a_folder() {
    let world = World::new();
    fs::create_dir(world.db()).unwrap();
    refused(&world, &["cannot open database", "it is a folder"]);
    assert_eq!(fs::read_dir(world.db()).unwrap().count(), 0);
}

#[test]
fn a_pipe_and_a_device_are_not_opened() {
    let world = World::new();
    world.command("mkfifo").command.arg(world.db()).status().unwrap();
    refused(&world, &["cannot open database", "it is a pipe"]);
    let device = World::new();
    let _listening = std::os::unix::net::UnixListener::bind(device.db()).unwrap();
    refused(&device, &["cannot open database", "not a regular file"]);
}

#[test]
fn a_text_file_and_garbage() {
    let text = World::new();
    fs::write(text.db(), "Dear diary,\n".repeat(1000)).unwrap();
    refused_untouched(&text, &["cannot use", "not a taskwatcher database", "not changed"]);
    let short = World::new();
    fs::write(short.db(), "x").unwrap();
    refused_untouched(&short, &["cannot use", "not a taskwatcher database"]);
    let garbage = World::new();
    let mut seed = 1u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(20_000)
    .collect();
    fs::write(garbage.db(), bytes).unwrap();
    refused_untouched(&garbage, &["cannot use", "not a taskwatcher database"]);
}

#[test]
fn a_database_of_another_program() {
    let others = [
        "CREATE TABLE tasks (id INTEGER PRIMARY KEY, title TEXT)",
        "CREATE TABLE mine (x); PRAGMA application_id = 42",
        "PRAGMA application_id = 42; PRAGMA user_version = 1",
        "CREATE VIEW mine AS SELECT 1",
    ];
    for made in others {
        let world = World::new();
        rusqlite::Connection::open(world.db()).unwrap().execute_batch(made).unwrap();
        refused_untouched(&world, &["cannot use", "not a taskwatcher database", "not changed"]);
    }
}

#[test]
fn a_database_of_a_newer_version() {
    let world = filled();
    let version = world.query("PRAGMA user_version").remove(0).int("user_version");
    world.edit("PRAGMA journal_mode = DELETE; PRAGMA user_version = 7");
    let known = format!("its version is 7, this program knows {version}");
    refused_untouched(&world, &[&known, "update taskwatcher"]);
    world.edit(&format!("PRAGMA user_version = {version}"));
    assert_eq!(world.json(&["history"])["rows"].as_array().unwrap().len(), 30);
}

#[test]
fn an_empty_file_is_made_into_a_database() {
    for program in ["\"$CONTROL\" list", "\"$CONTROL\" reserve --expire 1h", "\"$LAUNCH\" true"] {
        let world = World::new();
        fs::write(world.db(), "").unwrap();
        fs::set_permissions(world.db(), Permissions::from_mode(0o644)).unwrap();
        let ran = world.sh(program).env("CONTROL", env!("CARGO_BIN_EXE_control")).run();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{program}");
        assert_eq!(mode(&world.db()), 0o600);
        world.is_whole();
    }
}

// ---- damaged databases

#[test]
fn a_truncated_database_is_refused_and_not_changed() {
    let whole = filled();
    let bytes = fs::read(whole.db()).unwrap();
    for len in [50, 512, 4096, 8192, bytes.len() / 2, bytes.len() - 4096] {
        let world = World::new();
        fs::write(world.db(), &bytes[..len]).unwrap();
        for (program, code) in PROGRAMS {
            let ran = world.sh(program).env("CONTROL", env!("CARGO_BIN_EXE_control")).run();
            let words = ["file is damaged", "not a taskwatcher database"];
            let reported =
                ran.code == code && words.iter().any(|word| ran.err.contains(word)) && ran.err.lines().count() == 1;
            // Programs that do not read the missing part may work.
            let fine = ran.code == 0 && ran.err.is_empty();
            assert!(reported || fine, "{len} bytes, {program}: {ran:?}");
            assert!(fine || !world.work().join("ran").exists(), "{len} bytes, {program}");
        }
    }
    // Truncated in the middle of its rows: a program that reads them reports it.
    let world = World::new();
    fs::write(world.db(), &bytes[..bytes.len() / 2]).unwrap();
    let ran = world.control(["history", "--limit", "100"]).run();
    ran.says(1, &["the file is damaged", "restore a copy", world.db().to_str().unwrap()]);
}

#[test]
fn a_page_of_zeros_is_reported() {
    let whole = filled();
    let mut bytes = fs::read(whole.db()).unwrap();
    let world = World::new();
    bytes[4096..].fill(0);
    fs::write(world.db(), &bytes).unwrap();
    for (program, code) in PROGRAMS {
        let ran = world.sh(program).env("CONTROL", env!("CARGO_BIN_EXE_control")).run();
        ran.says(code, &["the file is damaged", world.db().to_str().unwrap()]);
    }
}

// ---- files beside a database

#[test]
fn a_database_that_was_deleted_without_its_wal_is_recreated() {
    let world = World::new();
    for _ in 0..5 {
        world.launch(["--name", "old", "true"]).run().silent(0);
    }
    assert!(fs::metadata(world.beside_db("-wal")).unwrap().len() > 0, "its log of changes stays beside it");
    fs::remove_file(world.db()).unwrap();
    world.control(["list"]).run().says(1, &["no database"]);
    world.launch(["--name", "new", "true"]).run().silent(0);
    assert_eq!(world.end().text("taskname"), "new", "what lay beside it is not of this one");
    world.is_whole();
}

#[test]
fn many_programs_recreate_a_deleted_database_at_once() {
    let world = World::new();
    world.launch(["--name", "old", "true"]).run().silent(0);
    fs::remove_file(world.db()).unwrap();
    let started: Vec<_> = (0..24).map(|_| world.launch(["--name", "new", "true"]).spawn()).collect();
    for program in started {
        program.wait().silent(0);
    }
    assert_eq!(world.history().len(), 24);
    assert!(world.history().iter().all(|row| row.text("taskname") == "new"));
    world.is_whole();
}

// ---- links

#[test]
fn a_link_in_a_folder_that_others_can_write_is_refused() {
    let world = World::new();
    let shared = world.path("shared");
    fs::create_dir(&shared).unwrap();
    let target = world.path("target.db");
    world.control(["reserve"]).env("TASKWATCHER_DB", &target).run().silent(0);
    let link = shared.join("tasks.db");
    symlink(&target, &link).unwrap();
    let list = || world.control(["list"]).env("TASKWATCHER_DB", &link).run();
    fs::set_permissions(&shared, Permissions::from_mode(0o700)).unwrap();
    list().silent(0);
    // The files beside a database are beside the target of the link, where programs that use that path find them.
    world.launch(["true"]).env("TASKWATCHER_DB", &link).run().silent(0);
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 1, "the link alone");
    world.control(["log", "2"]).env("TASKWATCHER_DB", &target).run().ok();
    for shared_with in [0o1777, 0o777, 0o770] {
        fs::set_permissions(&shared, Permissions::from_mode(shared_with)).unwrap();
        list().says(1, &["a symbolic link in a folder that others can write", link.to_str().unwrap()]);
        let ran = world.launch(["touch", "ran"]).env("TASKWATCHER_DB", &link).run();
        ran.says(125, &["a symbolic link in a folder that others can write"]);
    }
    fs::set_permissions(&shared, Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("nowhere", &link).unwrap();
    list().says(1, &["a symbolic link that leads nowhere"]);
    fs::remove_file(&link).unwrap();
    symlink("loop.db", shared.join("loop.db")).unwrap();
    let ran = world.control(["reserve"]).env("TASKWATCHER_DB", shared.join("loop.db")).run();
    ran.says(1, &["a symbolic link that leads nowhere"]);
}

// ---- modes

#[test]
fn an_ordinary_user_can_use_files_created_under_any_umask() {
    let other = 65534;
    for umask in ["0177", "0377", "0777"] {
        let world = World::new();
        let script = format!(
            "umask {umask}; export TASKWATCHER_DB=$W/t.db; \"$1\" sh -c 'umask 0; echo printed' && \"$1\" echo again"
        );
        let launch = world.path("launch.copy");
        assert!(
            std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_launch")).arg(&launch).status().unwrap().success()
        );
        let mut run = world.command("sh").arg("-c").arg(&script).arg("sh").arg(&launch);
        if nix::unistd::geteuid().is_root() {
            chown(world.path(""), Some(other), None).unwrap();
            run = run.of_user(other);
        }
        let ran = run.run();
        assert_eq!((ran.code, ran.text(), ran.err.as_str()), (0, "printed\nagain\n", ""), "umask {umask}");
        for folder in ["t.db.logs", "t.db"] {
            assert!(mode(&world.path(folder)) & 0o600 == 0o600, "umask {umask}: {folder}");
        }
        assert_eq!(mode(&world.path("t.db.logs")), 0o700);
    }
}

#[test]
fn files_and_folders_are_private_under_any_umask() {
    for umask in ["0", "0777", "0022"] {
        let world = World::new();
        let db = world.path("a/b/tasks.db");
        let script = format!(
            "umask {umask}; export TASKWATCHER_DB=$W/a/b/tasks.db; \"$LAUNCH\" sh -c 'umask 0' && \"$CONTROL\" reserve"
        );
        world.sh(&script).env("CONTROL", env!("CARGO_BIN_EXE_control")).run().silent(0);
        for folder in ["a", "a/b"] {
            assert_eq!(mode(&world.path(folder)), 0o700, "umask {umask}: {folder}");
        }
        let mut seen = 0;
        for entry in fs::read_dir(db.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                assert!(path.ends_with("tasks.db.logs") && mode(&path) == 0o700, "umask {umask}: {path:?}");
                continue;
            }
            assert_eq!(mode(&path), 0o600, "umask {umask}: {path:?}");
            seen += 1;
        }
        assert!(seen >= 2, "the database and its spool");
        // An existing folder keeps its mode.
        let open = world.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        world.control(["reserve"]).env("TASKWATCHER_DB", open.join("x.db")).run().silent(0);
        assert_eq!(mode(&open), 0o755);
    }
}

#[test]
fn a_place_that_cannot_be() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    let below_a_file = world.path("file/tasks.db");
    for (program, code) in PROGRAMS {
        let mut program = world.sh(program).env("CONTROL", env!("CARGO_BIN_EXE_control"));
        program.command.env("TASKWATCHER_DB", &below_a_file);
        program.run().says(code, &[below_a_file.to_str().unwrap()]);
    }
    assert_eq!(fs::read(world.path("file")).unwrap(), b"");
    let proc = Path::new("/proc/tasks.db");
    let ran = world.control(["reserve"]).env("TASKWATCHER_DB", proc).run();
    ran.says(1, &["cannot create database", "/proc/tasks.db"]);
}

// ---- locks and permissions of others

#[test]
fn a_lock_that_is_never_released_gives_one_line() {
    let world = World::new();
    world.control(["initialize"]).run().silent(0);
    let lock = world.lock();
    let patience = LockTimeout { limit: Duration::from_millis(100), notify: None };
    let mut store = Store::open(&world.db(), patience).unwrap();
    let error = store.reset(true).unwrap_err().to_string();
    assert!(error.contains("cannot initialize database") && error.contains("locked by another program"), "{error}");
    // With the timeout of the programs this takes half a minute, so only if there is time.
    if std::env::var_os("CI").is_some() {
        let waiting = [world.control(["reserve"]).spawn(), world.launch(["touch", "ran"]).spawn()];
        for (program, code) in waiting.into_iter().zip([1, 125]) {
            program.wait().says(code, &["locked by another program", "30 s", world.db().to_str().unwrap()]);
        }
    }
    assert!(!world.work().join("ran").exists());
    drop(lock);
    assert!(world.tasks().is_empty() && world.history().is_empty());
}

#[test]
fn another_users_database_can_be_read_where_its_mode_allows_and_not_written() {
    const NOBODY: u32 = 65_534;
    let world = filled();
    for path in [world.path(""), world.work()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let as_nobody = |args: &[&str]| world.control(args).user(NOBODY).run();
    if as_nobody(&["completions", "bash"]).code != 0 {
        // The build folder is not accessible to other users here.
        return;
    }
    let ran = as_nobody(&["history"]);
    assert_eq!(ran.text(), "");
    ran.says(1, &["belong to another user (permission denied for", "/tasks.db\")", "--db"]);
    fs::set_permissions(world.db(), Permissions::from_mode(0o644)).unwrap();
    let before = fs::read(world.db()).unwrap();
    assert_eq!(as_nobody(&["history"]).silent(0).text().lines().count(), 31);
    as_nobody(&["list"]).silent(0);
    as_nobody(&["reserve"]).says(1, &["read-only"]);
    as_nobody(&["initialize", "--force"]).says(1, &["read-only"]);
    assert_eq!(fs::read(world.db()).unwrap(), before);
    assert!(!world.beside_db("-wal").exists());
    // While its owner uses the database, the WAL is needed to read it.
    world.reserve("theirs", 60);
    fs::set_permissions(world.beside_db("-wal"), Permissions::from_mode(0o600)).unwrap();
    for verb in ["history", "list", "reserve"] {
        as_nobody(&[verb]).says(1, &["belong to another user (permission denied for", "/tasks.db-wal\")", "--db"]);
    }
    // An unreadable file of the current user is not reported as another user's.
    std::os::unix::fs::chown(world.beside_db("-wal"), Some(NOBODY), None).unwrap();
    fs::set_permissions(world.beside_db("-wal"), Permissions::from_mode(0o000)).unwrap();
    as_nobody(&["list"]).says(1, &["cannot ", "/tasks.db-wal\": Permission denied"]);
}

#[test]
fn a_message_is_one_write() {
    // On a datagram socket, each write is a separate message.
    let world = World::new();
    let id = world.reserve("taken", 60).0.to_string();
    world.launch(["--taskid", &id, "true"]).run().silent(0);
    let refused = [
        (env!("CARGO_BIN_EXE_launch"), vec!["--taskid", &id, "true"], "launch: error: cannot launch task "),
        (env!("CARGO_BIN_EXE_control"), vec!["show", "99"], "control: error: there is no task 99"),
        (env!("CARGO_BIN_EXE_parse"), vec!["--feedback", "nothing"], "parse: error: "),
    ];
    for (program, args, words) in refused {
        let (receiver, sender) = UnixDatagram::pair().unwrap();
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = world.command(program).command;
        command.args(args).stderr(OwnedFd::from(sender));
        assert!(!command.status().unwrap().success());
        drop(command);
        let mut message = [0; 4096];
        let length = receiver.recv(&mut message).unwrap();
        let text = String::from_utf8_lossy(&message[..length]);
        assert!(text.starts_with(words) && text.ends_with('\n'), "{text:?}");
    }
}
