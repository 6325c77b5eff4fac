//! Tasks inside a Rust process: the same rows, logs and outcomes as those of commands.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
};

use nix::sys::signal::Signal;
use serde_json::json;
use support::{Program, World, until};
use taskwatcher::{
    app::worker::{Worker, WorkerHandle},
    io::{spool::Spool, store::Store},
    model::{task::Outcome, upid::Upid},
};

/// One that waits to be told that it may end, or is asked to.
fn waiting(store: &Store) -> (WorkerHandle, mpsc::Sender<()>) {
    let (go, may) = mpsc::channel::<()>();
    let handle = Worker::spawn(store, "waits", "", "me", move |worker| {
        while !worker.check_abort() {
            match may.recv_timeout(std::time::Duration::from_millis(5)) {
                Ok(()) => return Ok::<(), String>(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("nobody wants it".into()),
            }
        }
        Ok(())
    });
    (handle.unwrap(), go)
}

#[test]
fn a_worker_is_a_task_like_any_other() {
    let world = World::new();
    let store = world.store();
    let (told, seen) = mpsc::channel();
    let (go, may) = mpsc::channel::<()>();
    let handle = Worker::spawn(&store, "verify", "store/a-1", "root@pbs", move |worker| {
        worker.log("first\nsecond");
        worker.warn("odd");
        worker.status("looking");
        worker.progress(0.256);
        told.send(()).unwrap();
        may.recv().unwrap();
        worker.log("last");
        Ok::<(), String>(())
    });
    let handle = handle.unwrap();
    seen.recv().unwrap();
    let upid: Upid = handle.upid().parse().unwrap();
    assert_eq!((upid.task_id, upid.worker_type.as_str()), (Some(handle.id().unsigned_abs()), "verify"));
    assert_eq!((upid.id().as_ref(), upid.user.as_str()), ("store/a-1", "root@pbs"));
    let row = &world.json(&["list"])[0];
    assert_eq!(
        (&row["name"], &row["info1"], &row["status"]),
        (&json!("verify"), &json!("store/a-1"), &json!("RUNNING"))
    );
    assert_eq!((&row["note"], row["progress"].as_f64().unwrap().round()), (&json!("looking"), 26.0));
    assert_eq!(row["pid"], std::process::id());
    assert_eq!(row["launcher_pid"], std::process::id());
    let id = handle.id().to_string();
    assert_eq!(world.json(&["show", handle.upid()])["taskid"], handle.id());
    go.send(()).unwrap();
    let name = handle.upid().to_owned();
    assert_eq!(handle.join(), Outcome::Warnings(1));
    let end = world.end();
    assert_eq!((end.text("outcome"), end.text("user"), end.text("ended_by")), ("WARNINGS: 1", "root@pbs", "itself"));
    assert_eq!((end.json("feedback"), end.int("warnings")), (json!({ "progress": "26" }), 1));
    let log = world.control(["log", &name, "--no-time"]).run().silent(0);
    assert_eq!(log.text(), "first\nsecond\nWARN: odd\nlast\nTASK WARNINGS: 1\n");
    world.control(["wait", &name]).run().silent(0);
    world.control(["run-again", &id]).run().says(1, &["cannot run task", "its command is not known"]);
    world.is_whole();
}

#[test]
fn it_fails_and_panics_with_its_reason() {
    let world = World::new();
    let store = world.store();
    let failed = Worker::spawn(&store, "a", "", "me", |_| Err("no\nsuch thing")).unwrap();
    assert_eq!(failed.join(), Outcome::Error("no such thing".into()));
    let panicked = Worker::spawn(&store, "b", "", "me", |worker| -> Result<(), String> {
        worker.log("so far");
        panic!("index {} is too large", 7)
    });
    let panicked = panicked.unwrap();
    let id = panicked.id().to_string();
    assert_eq!(panicked.join(), Outcome::Error("worker panicked: index 7 is too large".into()));
    assert_eq!(world.last().text("outcome"), "ERROR: worker panicked: index 7 is too large");
    let log = world.control(["log", &id, "--no-time"]).run().silent(0);
    assert_eq!(log.text(), "so far\nTASK ERROR: worker panicked: index 7 is too large\n");
}

#[test]
fn many_at_once_in_one_process() {
    let world = World::new();
    let store = world.store();
    let path = store.path().to_owned();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let store = Store::open(&path, taskwatcher::io::store::Patience::USUAL).unwrap();
                let start = |n: i32| {
                    Worker::spawn(&store, "many", "same", "me", move |worker| {
                        worker.log(&format!("worker {n}"));
                        if n % 5 == 0 { Err("five") } else { Ok(()) }
                    })
                };
                let handles: Vec<_> = (0..20).map(|n| start(n).unwrap()).collect();
                handles.into_iter().map(WorkerHandle::join).filter(|outcome| *outcome == Outcome::Ok).count()
            })
        })
        .collect();
    let good: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(good, 8 * 16);
    let rows = world.history();
    assert_eq!((rows.len(), world.tasks().len()), (160, 0));
    let upids: std::collections::HashSet<&str> = rows.iter().map(|row| row.text("upid")).collect();
    assert_eq!(upids.len(), 160);
    assert_eq!(world.json(&["verify"])["logs"], 160);
    world.is_whole();
}

#[test]
fn control_kill_asks_it_to_stop_and_leaves_the_others_alone() {
    let world = World::new();
    let store = world.store();
    let ((one, _keep), (other, go)) = (waiting(&store), waiting(&store));
    let killed = world.control(["kill", &one.id().to_string()]).run().silent(0);
    assert!(killed.text().contains("ERROR: killed by"), "{}", killed.text());
    assert!(
        matches!(one.join(), Outcome::Error(reason) if reason.starts_with("killed by") && reason.contains("control"))
    );
    assert_eq!(world.status(other.id()).as_deref(), Some("RUNNING"));
    go.send(()).unwrap();
    assert_eq!(other.join(), Outcome::Ok);
}

#[test]
fn its_end_waits_in_the_spool_while_the_database_is_locked() {
    let world = World::new();
    let store = world.store();
    let (worker, go) = waiting(&store);
    let id = worker.id();
    let lock = world.lock();
    go.send(()).unwrap();
    assert_eq!(worker.join(), Outcome::Ok);
    assert_eq!(world.tasks().len(), 1);
    drop(lock);
    // This process, its launcher, still lives.
    assert_eq!(world.status(id), None);
    assert_eq!(world.end().text("outcome"), "OK");
    assert!(Spool::open(&world.db(), false).is_ok());
}

fn example(world: &World) -> Program<'_> {
    let programs = Path::new(env!("CARGO_BIN_EXE_launch")).parent().unwrap();
    let program = programs.join("examples/worker");
    assert!(program.exists(), "cargo test builds it; for this test alone: cargo build --example worker");
    world.command(program)
}

#[test]
fn the_example_does_what_it_says() {
    let world = World::new();
    let folder: PathBuf = world.path("files");
    fs::create_dir_all(folder.join("inner")).unwrap();
    for name in ["a", "inner/b"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let ran = example(&world).arg(&folder).run().silent(0);
    assert!(ran.text().ends_with("task 1: OK\n"), "{}", ran.text());
    let log = world.control(["log", "1"]).run().silent(0);
    assert_eq!(log.text().lines().count(), 4, "{}", log.text());
    let ran = example(&world).arg(world.path("nowhere")).run();
    assert_eq!(ran.code, 1);
    assert!(world.last().text("outcome").contains("No such file"), "{}", world.last().text("outcome"));
}

#[test]
fn workers_of_a_dead_process_are_found_lost() {
    let world = World::new();
    let folder = world.path("files");
    fs::create_dir(&folder).unwrap();
    // It reads this one for as long as nobody writes to it.
    nix::unistd::mkfifo(&folder.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for n in 0..20_000 {
        fs::write(folder.join(n.to_string()), "").unwrap();
    }
    let process = example(&world).arg(&folder).spawn();
    until("it to be told of", || world.tasks().iter().any(|row| !row.is_null("pid")));
    process.signal(Signal::SIGKILL);
    process.wait();
    assert_eq!(world.json(&["list"]), json!([]));
    let end = world.end();
    assert_eq!((end.text("outcome"), end.text("termerror")), ("unknown", "launcher lost"));
    world.is_whole();
}
