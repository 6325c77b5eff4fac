//! `control` in a test world, and helpers for the database: locking, editing, and reading it consistently.

use std::{
    ffi::OsStr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::Connection;
use serde_json::Value;
use taskwatcher::{io::process, model::task::Process};

use super::{PATIENCE, Program, Ran, Row, Started, World, eventually, until};

/// Names the crash point at which a program dies (debug builds).
pub const CRASH_AT: &str = "TASKWATCHER_CRASH_AT";
/// The code that [`Started::wait`] returns after SIGKILL.
pub const KILLED: i32 = -9;

/// A write lock on the database, as another program would hold it; released when dropped.
#[derive(Debug)]
pub struct Lock(Connection);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

impl World {
    /// Returns `control` with these arguments, in this world.
    pub fn control<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program<'_> {
        let mut program = self.command(env!("CARGO_BIN_EXE_control"));
        program.command.args(args);
        program
    }

    /// Returns the output of `control --json` with these arguments, which must succeed without messages.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.control(["--json"].iter().chain(args)).run().silent(0);
        serde_json::from_str(ran.text()).unwrap()
    }

    /// Returns the task id printed by `control reserve` with these options.
    #[track_caller]
    pub fn reserved(&self, args: &[&str]) -> i64 {
        let ran = self.control(["reserve"].iter().chain(args)).run().silent(0);
        ran.text().strip_suffix('\n').unwrap().parse().unwrap()
    }

    /// Opens a separate connection to the database.
    pub fn connect(&self) -> Connection {
        let db = Connection::open(self.db()).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db
    }

    /// Changes rows directly, bypassing the programs.
    pub fn edit(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    pub fn query(&self, sql: &str) -> Vec<Row> {
        self.rows(sql)
    }

    pub fn lock(&self) -> Lock {
        let db = self.connect();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        Lock(db)
    }

    /// Returns the row of a task in `control list --json`, if it is listed.
    #[track_caller]
    pub fn status(&self, id: i64) -> Option<String> {
        let list = self.json(&["list"]);
        let row = list.as_array().unwrap().iter().find(|row| row["taskid"] == id)?;
        Some(row["status"].as_str().unwrap().to_owned())
    }

    /// Starts `launch` and waits until its command is recorded. Also returns the task id.
    #[track_caller]
    pub fn launched<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> (Started<'_>, i64) {
        let started = self.launch(args).spawn();
        let pid = i64::from(started.pid());
        let id = eventually("the command to run", || {
            let mine =
                |row: &Row| !row.is_null("launcher_pid") && row.int("launcher_pid") == pid && !row.is_null("pid");
            self.tasks().iter().find(|row| mine(row)).map(|row| row.int("id"))
        });
        (started, id)
    }

    /// Creates a task whose launcher is dead and whose command never ran.
    #[track_caller]
    pub fn lost(&self, args: &[&str]) -> i64 {
        let ran = self.launch(args.iter().chain(&["true"])).env(CRASH_AT, "claim.after").run();
        assert_eq!(ran.code, KILLED, "{ran:?}");
        self.tasks().last().unwrap().int("id")
    }

    /// Creates a task whose launcher is dead and whose command is alive.
    #[track_caller]
    pub fn orphan(&self, args: &[&str]) -> i64 {
        let (mut launch, id) = self.launched(args);
        launch.signal(Signal::SIGKILL);
        launch.child.wait().unwrap();
        id
    }

    /// Checks all invariants of a database in one consistent read.
    #[track_caller]
    pub fn is_sound(&self) {
        let db = self.connect();
        let glance = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'tasks'), (SELECT count(*) FROM tasks),
                             (SELECT count(*) FROM history), (SELECT count(*) FROM tasks JOIN history USING (id))";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let (given, live, ended, both): (i64, i64, i64, i64) = db.query_row(glance, [], read).unwrap();
        assert_eq!(both, 0, "tasks in both tables");
        assert_eq!(given, live + ended, "of the ids that were given, each is in one table: {live} live, {ended} ended");
    }

    /// Checks the invariants and the integrity of the file.
    #[track_caller]
    pub fn is_whole(&self) {
        self.is_sound();
        self.is_intact();
    }

    /// Checks the integrity of the file.
    #[track_caller]
    pub fn is_intact(&self) {
        let whole: String = self.connect().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }

    /// Checks that `control verify`, which settles dead tasks, finds no fault in the file, the rows and the logs.
    #[track_caller]
    pub fn is_verified(&self) {
        let verified = self.control(["verify"]).run();
        assert_eq!(verified.code, 0, "{}", verified.text());
    }

    pub fn beside_db(&self, suffix: &str) -> PathBuf {
        let mut path = self.db().into_os_string();
        path.push(suffix);
        path.into()
    }
}

impl Ran {
    /// Returns the only printed JSON value.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the printed JSON values, one per line.
    #[track_caller]
    pub fn values(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// An unrelated process, whose pid tests write into rows.
#[derive(Debug)]
pub struct Foreign(std::process::Child);

impl Foreign {
    pub fn new() -> Foreign {
        Foreign(std::process::Command::new("sleep").arg("600").env_clear().spawn().unwrap())
    }

    /// Starts an unrelated process as another user.
    pub fn of(user: u32) -> Foreign {
        Foreign(std::process::Command::new("sleep").arg("600").uid(user).gid(user).env_clear().spawn().unwrap())
    }

    pub fn process(&self) -> Process {
        process::stat(i32::try_from(self.0.id()).unwrap()).unwrap().process
    }

    #[track_caller]
    pub fn is_untouched(&mut self) {
        let status = self.0.try_wait().unwrap();
        assert!(status.is_none(), "a foreign process was ended: {:?}", status.and_then(|status| status.signal()));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn is_alive(pid: i32) -> bool {
    process::stat(pid).is_some_and(|stat| !stat.ended)
}

/// Sends a signal to a process, which must exist.
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Kills a process and waits until it has ended, reaped or not.
pub fn kill_and_see(pid: i32) {
    send(pid, Signal::SIGKILL);
    until("a killed process to be gone", || !is_alive(pid));
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).permissions().mode() & 0o7777
}

/// A mounted file system of one megabyte, or of another size.
pub struct SmallDisk<'w>(&'w Path);

impl SmallDisk<'_> {
    pub fn mount(at: &Path) -> Option<SmallDisk<'_>> {
        SmallDisk::of(at, 1024)
    }

    /// Mounts a file system of this size in KiB.
    pub fn of(at: &Path, kib: u32) -> Option<SmallDisk<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(at);
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
