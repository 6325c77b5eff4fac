//! A world for one test: a folder with its own database, in which the real programs run, and whose results are read as
//! a user would read them. Nothing of it remains after the test.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a helper of a test fails the test, and waits on the real clock"
)]

pub mod browser;
pub mod daemon;
pub mod desk;
pub mod dice;
pub mod picture;
pub mod proxmox;
pub mod pty;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs::{self, File, Permissions},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::{Connection, OpenFlags, config::DbConfig, types::Value};
use taskwatcher::io::store::{DeadRows, LockTimeout, NewTask, Store};

/// Time limit of waits: longer than any wait of a passing test on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Waits until `look` returns a value.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Waits until `holds` returns true.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// Returns the result of `work` and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed())
}

/// The result of a program that has ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Ran {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// Fails unless the program ended with this code and printed no messages.
    #[track_caller]
    pub fn silent(self, code: i32) -> Ran {
        assert_eq!((self.code, self.err.as_str()), (code, ""), "{}", String::from_utf8_lossy(&self.out));
        self
    }

    /// Fails unless the program ended with this code and one line on stderr that contains all these words.
    #[track_caller]
    pub fn says(self, code: i32, words: &[&str]) -> Ran {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing in {:?}", self.err);
        }
        self
    }
}

/// A row of the database, by column.
#[derive(Debug)]
pub struct Row(BTreeMap<String, Value>);

impl Row {
    #[track_caller]
    pub fn value(&self, column: &str) -> &Value {
        self.0.get(column).unwrap_or_else(|| panic!("no column {column}"))
    }

    #[track_caller]
    pub fn text(&self, column: &str) -> &str {
        match self.value(column) {
            Value::Text(text) => text,
            other => panic!("{column} is {other:?} in {self:?}"),
        }
    }

    #[track_caller]
    pub fn int(&self, column: &str) -> i64 {
        match self.value(column) {
            Value::Integer(n) => *n,
            other => panic!("{column} is {other:?} in {self:?}"),
        }
    }

    #[track_caller]
    pub fn real(&self, column: &str) -> f64 {
        match self.value(column) {
            Value::Real(x) => *x,
            Value::Integer(n) => *n as f64,
            other => panic!("{column} is {other:?} in {self:?}"),
        }
    }

    #[track_caller]
    pub fn is_null(&self, column: &str) -> bool {
        *self.value(column) == Value::Null
    }

    #[track_caller]
    pub fn json(&self, column: &str) -> serde_json::Value {
        serde_json::from_str(self.text(column)).unwrap()
    }
}

/// A folder with a database, and the processes started in it.
pub struct World {
    dir: tempfile::TempDir,
    runs: AtomicUsize,
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::Builder::new().prefix("taskwatcher-").tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        World { dir, runs: AtomicUsize::new(0) }
    }

    /// Returns the path of a file in this world.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the working directory of the programs.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    pub fn db(&self) -> PathBuf {
        self.path("tasks.db")
    }

    pub fn read(&self, name: impl AsRef<Path>) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    /// Waits until a file exists and ends with a newline, and returns its content.
    pub fn line(&self, name: impl AsRef<Path>) -> String {
        let path = self.path(name);
        eventually(&format!("a line in {path:?}"), || {
            let text = fs::read_to_string(&path).ok()?;
            Some(text.strip_suffix('\n')?.to_owned())
        })
    }

    /// Writes an executable script.
    pub fn program(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Returns `launch` with these arguments, in this world.
    pub fn launch<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program<'_> {
        let mut program = self.command(env!("CARGO_BIN_EXE_launch"));
        program.command.args(args);
        program
    }

    /// Returns a shell script in this world, with the path of `launch` in `$LAUNCH`.
    pub fn sh(&self, script: &str) -> Program<'_> {
        let mut program = self.command("sh");
        program.command.args(["-c", script]);
        program
    }

    /// Returns any program in this world.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Program<'_> {
        let mut command = Command::new(program);
        command.env_clear().envs(self.environment()).current_dir(self.work()).stdin(Stdio::null());
        Program { world: self, command }
    }

    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())),
            ("HOME", self.dir.path().into()),
            ("TASKWATCHER_DB", self.db().into()),
            ("LAUNCH", env!("CARGO_BIN_EXE_launch").into()),
            ("W", self.dir.path().into()),
        ]
    }

    fn rows(&self, sql: &str) -> Vec<Row> {
        if !self.db().exists() {
            return vec![];
        }
        let db = Connection::open_with_flags(self.db(), OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        // Closing this connection must not checkpoint the WAL.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let mut statement = db.prepare(sql).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let read = |row: &rusqlite::Row<'_>| {
            let column = |(index, name): (usize, &String)| Ok((name.clone(), row.get(index)?));
            names.iter().enumerate().map(column).collect::<rusqlite::Result<_>>().map(Row)
        };
        statement.query_map([], read).unwrap().map(Result::unwrap).collect()
    }

    pub fn history(&self) -> Vec<Row> {
        self.rows("SELECT * FROM history ORDER BY id")
    }

    pub fn tasks(&self) -> Vec<Row> {
        self.rows("SELECT * FROM tasks ORDER BY id")
    }

    /// Returns the only task.
    #[track_caller]
    pub fn task(&self) -> Row {
        let mut rows = self.tasks();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// Returns the only end. There must be no task.
    #[track_caller]
    pub fn end(&self) -> Row {
        let tasks = self.tasks();
        assert!(tasks.is_empty(), "still there: {tasks:?}");
        let mut rows = self.history();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// Returns the last end.
    #[track_caller]
    pub fn last(&self) -> Row {
        self.history().pop().unwrap()
    }

    pub fn store(&self) -> Store {
        Store::open_or_create(&self.db(), LockTimeout::USUAL).unwrap()
    }

    /// Reserves a task that expires in `secs` seconds (negative: already expired). Returns its id and handle.
    pub fn reserve(&self, name: &str, secs: i64) -> (i64, String) {
        let now = taskwatcher::io::sys::now().wall.secs();
        let handle = taskwatcher::io::sys::new_handle().unwrap().to_string();
        let task = NewTask { name: name.into(), handle: handle.clone(), now, ..NewTask::default() };
        let id = self.store().reserve(&task, now + secs, &DeadRows::default()).unwrap();
        (id, handle)
    }

    /// Returns the live processes with these bytes in their arguments or environment, including those of other tests.
    pub fn processes_with(&self, marker: &str) -> Vec<i32> {
        let me = std::process::id();
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| pid.unsigned_abs() != me && carries(*pid, marker)).collect()
    }

    /// Returns the live processes that were started in this world.
    pub fn processes(&self) -> Vec<i32> {
        self.processes_with(self.dir.path().to_str().unwrap())
    }

    /// Returns the live processes of this world with these bytes in their arguments or environment.
    pub fn own_with(&self, marker: &str) -> Vec<i32> {
        self.processes().into_iter().filter(|pid| carries(*pid, marker)).collect()
    }
}

/// Whether a process has a file with this name open.
pub fn has_open(pid: i32, name: &str) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok()).any(|file| file.ends_with(name))
}

/// Waits until a process sleeps.
pub fn sleeps(pid: i32) {
    until("it to sleep in poll", || {
        fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|place| place.contains("poll"))
    });
}

fn carries(pid: i32, marker: &str) -> bool {
    let holds = |file| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        memchr::memmem::find(&bytes, marker.as_bytes()).is_some()
    };
    // An ended process has neither.
    holds("cmdline") || holds("environ")
}

/// Kills a process with these bytes in its arguments or environment, and no other process that has got its pid meanwhile.
fn kill_marked(pid: i32, marker: &str) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    if carries(pid, marker) {
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Empty twice, to include processes that were being forked during the first look.
        let mut empty = 0;
        for _ in 0..1000 {
            let left = self.processes();
            empty = if left.is_empty() { empty + 1 } else { 0 };
            if empty == 2 {
                return;
            }
            left.into_iter().for_each(|pid| kill_marked(pid, self.dir.path().to_str().unwrap()));
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// A program to run.
pub struct Program<'w> {
    world: &'w World,
    pub command: Command,
}

impl<'w> Program<'w> {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn arg_all<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Runs the program as another user.
    pub fn user(mut self, uid: u32) -> Self {
        self.command.uid(uid).gid(uid);
        self
    }

    /// Runs a copy of the program as another user, who may not be able to read the original.
    pub fn of_user(mut self, uid: u32) -> Self {
        let own = PathBuf::from(self.command.get_program());
        let copy = self.world.path(own.file_name().unwrap());
        if own.is_absolute() && !copy.exists() {
            // Copied by a separate process: a child that another test forks meanwhile would hold the copy open for
            // writing.
            let copied = Command::new("cp").arg(&own).arg(&copy).status().unwrap();
            assert!(copied.success(), "cannot copy {own:?}");
        }
        let program = if own.is_absolute() { copy } else { own };
        let mut other = Command::new(program);
        other.args(self.command.get_args()).env_clear().stdin(Stdio::null());
        other.current_dir(self.command.get_current_dir().unwrap());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                other.env(name, value);
            }
        }
        fs::set_permissions(self.world.path(""), Permissions::from_mode(0o755)).unwrap();
        self.command = other;
        self.user(uid)
    }

    /// Starts the program. Its output goes to files, so that no process that holds them open can delay the test.
    #[track_caller]
    pub fn spawn(mut self) -> Started<'w> {
        let run = self.world.runs.fetch_add(1, Ordering::Relaxed);
        let file = |stream| self.world.path(format!("{stream}.{run}"));
        let (out, err) = (file("stdout"), file("stderr"));
        self.command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let child = self.command.spawn().unwrap();
        Started { world: self.world, child, out, err }
    }

    #[track_caller]
    pub fn run(self) -> Ran {
        self.spawn().wait()
    }
}

/// A running program.
pub struct Started<'w> {
    world: &'w World,
    pub child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Started<'_> {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether the program has a file with this name open.
    pub fn has_open(&self, name: &str) -> bool {
        has_open(self.pid(), name)
    }

    /// Returns the output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    #[track_caller]
    pub fn wait(mut self) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let waited = start.elapsed();
            assert!(waited < PATIENCE * 2, "it does not end; on stderr: {:?}; {:?}", self.stderr(), self.world.tasks());
            std::thread::sleep(if waited < LOOK_AGAIN * 10 { LOOK_AGAIN / 5 } else { LOOK_AGAIN });
        };
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        let err = String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned();
        Ran { code, out: fs::read(&self.out).unwrap(), err }
    }
}

/// Returns the value of a line in a text like `/proc/PID/status`.
#[track_caller]
pub fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim()
}

/// Converts bytes to an argument.
pub fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
