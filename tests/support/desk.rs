//! `control` in a test's world, and what its tests do to a database: lock it, edit it, look at it in one glance.

use std::{
    ffi::OsStr,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::Connection;
use serde_json::Value;
use taskwatcher::{io::process, model::task::Process};

use super::{PATIENCE, Program, Ran, Row, Started, World, eventually, until};

/// Says at which step a program of ours dies (debug builds).
pub const CRASH_AT: &str = "TASKWATCHER_CRASH_AT";
/// The code [`Started::wait`] gives for a death by SIGKILL.
pub const KILLED: i32 = -9;

/// A write lock on the database, as another program would hold it; given back when dropped.
#[derive(Debug)]
pub struct Lock(Connection);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

impl World {
    /// `control` with these arguments, in this world.
    pub fn control<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program<'_> {
        let mut program = self.command(env!("CARGO_BIN_EXE_control"));
        program.command.args(args);
        program
    }

    /// What `control --json` with these arguments prints; it must succeed and say nothing else.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.control(["--json"].iter().chain(args)).run().silent(0);
        serde_json::from_str(ran.text()).unwrap()
    }

    /// The number that `control reserve` with these options prints.
    #[track_caller]
    pub fn reserved(&self, args: &[&str]) -> i64 {
        let ran = self.control(["reserve"].iter().chain(args)).run().silent(0);
        ran.text().strip_suffix('\n').unwrap().parse().unwrap()
    }

    /// A connection of our own.
    pub fn connect(&self) -> Connection {
        let db = Connection::open(self.db()).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db
    }

    /// Changes rows behind everybody's back.
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

    /// What `control list` says of a task; none: it does not list it.
    #[track_caller]
    pub fn status(&self, id: i64) -> Option<String> {
        let list = self.json(&["list"]);
        let row = list.as_array().unwrap().iter().find(|row| row["taskid"] == id)?;
        Some(row["status"].as_str().unwrap().to_owned())
    }

    /// Starts `launch` and waits until its command is known; gives the task's number too.
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

    /// A task whose launcher is dead and whose command never ran.
    #[track_caller]
    pub fn lost(&self, args: &[&str]) -> i64 {
        let ran = self.launch(args.iter().chain(&["true"])).env(CRASH_AT, "claim.after").run();
        assert_eq!(ran.code, KILLED, "{ran:?}");
        self.tasks().last().unwrap().int("id")
    }

    /// A task whose launcher is dead and whose command lives, at once or after a while.
    #[track_caller]
    pub fn orphan(&self, args: &[&str]) -> i64 {
        let (mut launch, id) = self.launched(args);
        launch.signal(Signal::SIGKILL);
        launch.child.wait().unwrap();
        id
    }

    /// Everything that must hold in any database at any instant, looked at in one glance.
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

    /// That, and the file itself is whole.
    #[track_caller]
    pub fn is_whole(&self) {
        self.is_sound();
        self.is_intact();
    }

    /// The file itself is whole.
    #[track_caller]
    pub fn is_intact(&self) {
        let whole: String = self.connect().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }

    /// `control verify`, which settles what is dead, finds nothing to object to: in the file, between rows, among logs.
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
    /// The one JSON value it printed.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The JSON values it printed, one on each line.
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

/// A process that is none of ours, with a pid that rows can be made to name.
#[derive(Debug)]
pub struct Foreign(std::process::Child);

impl Foreign {
    pub fn new() -> Foreign {
        Foreign(std::process::Command::new("sleep").arg("600").env_clear().spawn().unwrap())
    }

    /// The same, as another user.
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

/// Sends a signal to a process that must be there.
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Kills a process and waits until it is gone, reaped or not.
pub fn kill_and_see(pid: i32) {
    send(pid, Signal::SIGKILL);
    until("a killed process to be gone", || !is_alive(pid));
}

/// Its output, where nobody but us can hold its streams.
pub fn output(program: Program<'_>) -> Output {
    let mut program = program;
    program.command.output().unwrap()
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{path:?}: {error}")).permissions().mode() & 0o7777
}

/// A disk of one megabyte, or of another size.
pub struct SmallDisk<'w>(&'w Path);

impl SmallDisk<'_> {
    pub fn mount(at: &Path) -> Option<SmallDisk<'_>> {
        SmallDisk::of(at, 1024)
    }

    /// Of so many KiB.
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
