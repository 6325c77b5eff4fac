//! Tasks inside a Rust process: the same rows, logs and outcomes as for commands.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use crate::support::{Program, World, eventually, until};
use nix::sys::signal::Signal;
use serde_json::json;
use taskwatcher::{
    app::worker::{Worker, WorkerHandle},
    io::{
        spool::Spool,
        store::{DeadRows, Hold, LockTimeout, NewTask, Start, Store},
    },
    model::{
        task::{End, Outcome, TaskId, TaskRef, Timestamp},
        upid::Upid,
    },
};

/// Starts a worker that waits until it may end or is asked to.
fn waiting(store: &Store) -> (WorkerHandle, mpsc::Sender<()>) {
    let (go, may) = mpsc::channel::<()>();
    let handle = Worker::spawn(store, "waits", "", "me", move |worker| {
        while !worker.check_abort() {
            match may.recv_timeout(Duration::from_millis(5)) {
                Ok(()) => return Ok::<(), String>(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err("not wanted any more".into()),
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
    let (reported, seen) = mpsc::channel();
    let (go, may) = mpsc::channel::<()>();
    let handle = Worker::spawn(&store, "verify", "store/a-1", "root@pbs", move |worker| {
        worker.log("first\nsecond");
        worker.warn("odd");
        worker.status("looking");
        worker.progress(0.256);
        reported.send(()).unwrap();
        may.recv().unwrap();
        worker.log("last");
        Ok::<(), String>(())
    });
    let handle = handle.unwrap();
    seen.recv().unwrap();
    let upid: Upid = handle.upid().parse().unwrap();
    assert_eq!((upid.task_id, upid.worker_type()), (Some(handle.id().unsigned_abs()), "verify"));
    assert_eq!((upid.id().as_ref(), upid.user()), ("store/a-1", "root@pbs"));
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
    world.control(["run-again", &id]).run().says(1, &["cannot run task", "its command is unknown"]);
    world.is_whole();
}

#[test]
fn errors_and_panics_are_the_reason_of_the_outcome() {
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
                let store = Store::open(&path, LockTimeout::USUAL).unwrap();
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
    // This process is its launcher and is still alive.
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
fn the_example_works() {
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

/// Runs this test program in another process, with workers: see [`in_another_process`].
fn host(world: &World) -> Program<'_> {
    let program = world.command(std::env::current_exe().unwrap());
    program.arg("--exact").arg("worker::in_another_process").env("WORKERS", "yes").cwd(world.path(""))
}

/// Not a test: runs in the processes started by the tests below.
#[test]
fn in_another_process() {
    if std::env::var_os("WORKERS").is_none() {
        return;
    }
    // The path is relative, and means another file before the worker ends.
    let store = Store::open_or_create(Path::new("tasks.db"), LockTimeout::USUAL).unwrap();
    let handle = Worker::spawn(&store, "host", "", "me", |worker| {
        worker.log("begins");
        worker.progress(0.5);
        while !worker.check_abort() && !Path::new(&std::env::var("W").unwrap()).join("go").exists() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok::<(), String>(())
    });
    std::env::set_current_dir("/").unwrap();
    let ended = handle.unwrap().ended();
    assert_eq!(ended.trouble, [""; 0]);
}

/// Waits until the worker of a host process runs.
fn works(world: &World) -> (i64, PathBuf) {
    let row = eventually("a worker to work", || {
        world
            .tasks()
            .into_iter()
            .find(|row| fs::read_to_string(row.text("log")).is_ok_and(|log| log.contains("begins")))
    });
    (row.int("id"), PathBuf::from(row.text("log")))
}

#[test]
fn its_process_may_change_its_folder() {
    let world = World::new();
    let host = host(&world).spawn();
    works(&world);
    fs::write(world.path("go"), "").unwrap();
    let ran = host.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(world.end().text("outcome"), "OK");
    world.is_whole();
}

#[test]
fn a_worker_of_a_killed_process_keeps_its_last_report() {
    let world = World::new();
    let host = host(&world).spawn();
    let (_, log) = works(&world);
    until("its progress", || world.json(&["list"])[0]["progress"] == 50.0);
    let said = 1_900_000_000;
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(said));
    fs::File::open(&log).unwrap().set_times(times).unwrap();
    host.signal(Signal::SIGKILL);
    host.wait();
    assert_eq!(world.json(&["list"]), json!([]));
    let end = world.end();
    assert_eq!((end.text("outcome"), end.text("termerror")), ("unknown", "launcher lost"));
    assert_eq!((end.json("feedback"), end.int("endtime")), (json!({ "progress": "50" }), said.cast_signed()));
    world.is_whole();
}

#[test]
fn nothing_signals_the_process_of_a_worker() {
    let world = World::new();
    let host = host(&world).spawn();
    let (id, _) = works(&world);
    let is_stopped = || {
        let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
        crate::support::field(&status, "State").starts_with('T')
    };
    // It was stopped from elsewhere and must not be continued by `kill`.
    host.signal(Signal::SIGSTOP);
    until("the process to stop", is_stopped);
    for how in ["--now", "--signal=INT"] {
        let ran = world.control(["kill", &id.to_string(), "--no-wait", how]).run().silent(0);
        assert!(ran.text().contains("asked to end"), "{}", ran.text());
        assert!(is_stopped());
    }
    assert_eq!(world.status(id).as_deref(), Some("STOPPING"));
    host.signal(Signal::SIGCONT);
    assert_eq!(host.wait().code, 0);
    assert!(world.end().text("outcome").starts_with("ERROR: killed by "));
}

#[test]
fn a_worker_that_ignores_the_request_is_reported_and_not_killed() {
    let world = World::new();
    let host = host(&world).spawn();
    let (id, _) = works(&world);
    // Shortens the wait to the margin after the grace period.
    world.edit("UPDATE tasks SET kill_after = 0");
    host.signal(Signal::SIGSTOP);
    let ran = world.control(["kill", &id.to_string(), "--now"]).run();
    ran.says(1, &["it was asked to end and still runs", "its process is not signalled"]);
    assert!(crate::support::desk::is_alive(host.pid()));
    host.signal(Signal::SIGCONT);
    assert_eq!(host.wait().code, 0);
    assert!(world.end().text("outcome").starts_with("ERROR: killed by "));
}

#[test]
fn wait_sees_an_end_that_is_only_in_the_spool() {
    let world = World::new();
    let store = world.store();
    let (worker, go) = waiting(&store);
    let waits = world.control(["wait", &worker.id().to_string()]).spawn();
    until("control to wait", || waits.has_open("tasks.db-wal"));
    // Released without a write, so that no change is reported.
    let lock = world.lock();
    go.send(()).unwrap();
    let id = worker.id();
    assert_eq!(worker.join(), Outcome::Ok);
    let ran = waits.wait().silent(0);
    assert_eq!(ran.text(), format!("{id} OK\n"));
    drop(lock);
    assert_eq!(world.status(id), None);
    assert_eq!(world.end().text("outcome"), "OK");
}

#[test]
fn an_end_that_a_reader_settled_first_is_completed() {
    let world = World::new();
    let mut store = world.store();
    let task = NewTask { name: "a".into(), handle: "handle22".into(), now: 1000, ..NewTask::default() };
    let claimed =
        store.claim(&Start { task, ..Start::default() }, &DeadRows::default(), |_| Hold::Unsupported).unwrap();
    let reason = "x".repeat(1000);
    let end = End::new(&Outcome::Error(reason.clone()), Timestamp::from_secs(1001), None);
    // The worker writes its end to the spool, and a reader comes before it is recorded.
    let spool = Spool::open(&world.db(), true).unwrap();
    spool.note_end(claimed.slot, &claimed.upid, &end).unwrap();
    let noted = spool.end_of(claimed.slot, &claimed.upid).unwrap();
    let row = Arc::new(store.task(&TaskRef::Id(TaskId(claimed.id))).unwrap().unwrap());
    assert_eq!(store.settle(&[(row, noted)]).unwrap(), 1);
    assert_ne!(world.end().text("termerror"), reason);
    assert!(store.finish(claimed.id, &claimed.upid, &end).unwrap(), "it is recorded, by whomever");
    assert_eq!(world.end().text("termerror"), reason);
}

#[test]
fn data_that_could_not_be_stored_is_reported() {
    let world = World::new();
    let store = world.store();
    // A link in the place of the folder of logs.
    std::os::unix::fs::symlink(world.work(), world.beside_db(".logs")).unwrap();
    let worker = Worker::spawn(&store, "a", "", "me", |worker| {
        worker.log("12345");
        Ok::<(), String>(())
    });
    let ended = worker.unwrap().ended();
    assert_eq!(ended.outcome, Outcome::Ok);
    assert_eq!(ended.trouble.len(), 1, "{ended:?}");
    assert!(ended.trouble[0].starts_with("6 bytes of its output are not in the log"), "{ended:?}");
    fs::remove_file(world.beside_db(".logs")).unwrap();

    let (worker, go) = waiting(&store);
    world.control(["initialize", "--force"]).run().silent(0);
    go.send(()).unwrap();
    let ended = worker.ended();
    assert_eq!(ended.outcome, Outcome::Ok);
    assert!(ended.trouble.len() == 1 && ended.trouble[0].contains("was recreated"), "{ended:?}");
}

#[test]
fn a_worker_can_be_shared_between_threads() {
    let world = World::new();
    let store = world.store();
    let worker = Worker::spawn(&store, "a", "", "me", |worker| {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    (0..100).for_each(|n| worker.log(&format!("{thread} says {n} and\n{thread} goes on")))
                });
                scope.spawn(|| worker.warn("odd"));
            }
        });
        Ok::<(), String>(())
    });
    let worker = worker.unwrap();
    let id = worker.id().to_string();
    assert_eq!(worker.join(), Outcome::Warnings(4));
    let log = world.control(["log", &id, "--no-time"]).run().silent(0);
    let lines: Vec<&str> = log.text().lines().collect();
    assert_eq!(lines.len(), 4 * 200 + 4 + 1);
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("says")) {
        assert!(lines[n + 1].starts_with(&line[..1]) && lines[n + 1].ends_with("goes on"), "{:?}", &lines[n..n + 2]);
    }
}

#[test]
fn the_lock_timeout_of_its_store_is_not_changed() {
    let world = World::new();
    let mut store = world.store();
    store.set_lock_timeout(LockTimeout { limit: Duration::from_millis(20), notify: None });
    let worker = Worker::spawn(&store, "a", "", "me", |_| Ok::<(), String>(())).unwrap();
    worker.join();
    let _lock = world.lock();
    let (refused, took) = crate::support::timed(|| store.update(&[], 0));
    assert!(refused.is_err());
    assert!(took < LockTimeout::USUAL.limit / 3, "{took:?}");
}
