//! The environment of the measurements: a folder, the programs under test, and a janitor that
//! cleans up.
//!
//! # If the benchmark dies here
//!
//! Every process it starts has its working directory inside the workshop's folders. The janitor is
//! a second process of the same program, in its own process group, that waits for the other end of
//! a pipe to close: at the orderly end, at a panic, at Ctrl-C and at SIGKILL alike. Then it ends
//! all processes in those folders and removes the folders.

use crate::report::{Result, ms};
use rusqlite::{Connection, OpenFlags};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

/// Cargo's folder for files of tests and benches, inside `target`: on a real disk if the sources
/// are.
const FILES: &str = env!("CARGO_TARGET_TMPDIR");
/// Longest wait for processes to end on request: more than the five seconds `launch` gives its
/// command.
const GRACE: Duration = Duration::from_secs(8);
/// Polling interval: short enough to be negligible in any wait, long enough not to load the
/// processors.
const PAUSE: Duration = Duration::from_millis(10);

/// The folders, the programs under test and the helpers compiled for this run.
pub struct Workshop {
    /// Folder for databases and files; removed at the end. It is also the working directory, so
    /// commands need not change theirs.
    pub folder: PathBuf,
    /// A folder in memory, for peers that are used there by design; created on demand.
    pub memory: PathBuf,
    /// `launch`, as `cargo bench` built it.
    pub launch: PathBuf,
    /// `control`, likewise.
    pub control: PathBuf,
    /// `parse`, likewise.
    pub parse: PathBuf,
    /// `supervise`, likewise; older builds have none.
    pub supervise: PathBuf,
    /// The minimal wrapper, `benches/wrapper.c`.
    pub wrapper: PathBuf,
    /// A command that records when it ended, `benches/stamp.c`.
    pub stamp: PathBuf,
    idle_before: f64,
    janitor: Child,
}

impl Workshop {
    /// Creates the folders, starts the janitor and compiles the C programs. `programs` is a folder
    /// with other builds to measure.
    pub fn open(programs: Option<&Path>) -> Result<Workshop> {
        let name = format!("figures-{}", process::id());
        let folder = Path::new(FILES).join(&name);
        let memory = Path::new("/dev/shm").join(&name);
        let janitor = Command::new(env::current_exe()?)
            .arg("--janitor")
            .args([&folder, &memory])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|cause| format!("start the janitor: {cause}"))?;
        fs::create_dir_all(&folder).map_err(|cause| format!("create {}: {cause}", folder.display()))?;
        env::set_current_dir(&folder)?;
        let program = |name: &str, built: &str| match programs {
            Some(others) => others.join(name).canonicalize(),
            None => PathBuf::from(built).canonicalize(),
        };
        Ok(Workshop {
            launch: program("launch", env!("CARGO_BIN_EXE_launch"))?,
            control: program("control", env!("CARGO_BIN_EXE_control"))?,
            parse: program("parse", env!("CARGO_BIN_EXE_parse"))?,
            supervise: match programs {
                Some(others) => others.join("supervise"),
                None => PathBuf::from(env!("CARGO_BIN_EXE_supervise")).canonicalize()?,
            },
            wrapper: compile(&folder, "wrapper", include_str!("../wrapper.c"))?,
            stamp: compile(&folder, "stamp", include_str!("../stamp.c"))?,
            idle_before: idle()?,
            folder,
            memory,
            janitor,
        })
    }

    /// Describes the conditions of the measurement: processors, kernel, file system, and other
    /// load.
    pub fn surroundings(&self, quick: bool) -> Result<String> {
        let idle = [self.idle_before, idle()?].map(|share| format!("{:.0} %", share * 100.0)).join(" and ");
        let processors = thread::available_parallelism()?;
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let disk = nix::sys::statfs::statfs(&self.folder)?.filesystem_type();
        let disk = match disk {
            nix::sys::statfs::EXT4_SUPER_MAGIC => "ext4".to_owned(),
            nix::sys::statfs::XFS_SUPER_MAGIC => "XFS".to_owned(),
            nix::sys::statfs::BTRFS_SUPER_MAGIC => "Btrfs".to_owned(),
            nix::sys::statfs::TMPFS_MAGIC => "tmpfs, so NOTHING HERE IS DURABLE".to_owned(),
            other => format!("a file system of type {:x}", other.0),
        };
        let quick = if quick { "; a quick run, too short for good figures" } else { "" };
        Ok(format!("{processors} processors ({idle} idle before and after), Linux {}, {disk}{quick}\n", kernel.trim()))
    }

    /// Ends remaining processes and removes the folders.
    pub fn close(mut self) -> Result<()> {
        env::set_current_dir("/")?;
        drop(self.janitor.stdin.take());
        let status = self.janitor.wait()?;
        if status.success() { Ok(()) } else { Err(format!("clear {}: {status}", self.folder.display()).into()) }
    }

    /// Creates a folder in the workshop.
    pub fn shelf(&self, name: &str) -> Result<PathBuf> {
        let shelf = self.folder.join(name);
        fs::create_dir_all(&shelf).map_err(|cause| format!("create {}: {cause}", shelf.display()))?;
        Ok(shelf)
    }

    /// Creates and initializes a database in a folder of its own.
    pub fn database(&self, name: &str) -> Result<PathBuf> {
        let db = self.shelf(name)?.join("tasks.db");
        time(self.control(&db).arg("initialize"))?;
        Ok(db)
    }

    /// `launch --db DB OPTIONS`; the caller adds `--` and the command.
    pub fn launch(&self, db: &Path) -> Command {
        let mut command = quiet(&self.launch);
        command.arg("--db").arg(db);
        command
    }

    /// `control --db DB`; the caller adds the verb.
    pub fn control(&self, db: &Path) -> Command {
        let mut command = quiet(&self.control);
        command.arg("--db").arg(db);
        command
    }
}

/// Runs as the janitor: waits until the other end of standard input is closed, then clears the
/// folders.
pub fn janitor(folders: &[PathBuf]) -> Result<()> {
    // An error means the end too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        for process in dwellers(folders)? {
            // A process that is gone needs no signal.
            let _ = rustix::process::pidfd_send_signal(process, signal);
        }
        if wait_until(GRACE, "the commands to end", || Ok(dwellers(folders)?.is_empty())).is_ok() {
            break;
        }
    }
    for folder in folders {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(|cause| format!("remove {}: {cause}", folder.display()))?;
        }
    }
    Ok(())
}

/// Returns the processes whose working directory is inside one of the folders.
fn dwellers(folders: &[PathBuf]) -> Result<Vec<OwnedFd>> {
    let mut found = Vec::new();
    for pid in pids()? {
        let Some(pid) = rustix::process::Pid::from_raw(pid) else { continue };
        // The descriptor first: it stays bound to one process even if the pid is reused meanwhile.
        let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { continue };
        let Ok(place) = fs::read_link(format!("/proc/{pid}/cwd")) else { continue };
        if folders.iter().any(|folder| place.starts_with(folder)) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Returns the idle share of the processors, measured over half a second without own activity.
fn idle() -> Result<f64> {
    // Ticks in user mode, nice, system, idle, iowait, and so on; the first line is the sum of all
    // processors.
    let ticks = || -> Result<Vec<f64>> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        Ok(line.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect())
    };
    let before = ticks()?;
    thread::sleep(Duration::from_millis(500));
    let spent: Vec<f64> = ticks()?.iter().zip(&before).map(|(after, before)| after - before).collect();
    Ok(spent.get(3..5).map_or(0.0, |idle| idle.iter().sum()) / spent.iter().sum::<f64>().max(1.0))
}

/// Returns the pids of all processes of this machine.
pub fn pids() -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?.filter_map(std::result::Result::ok);
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Makes a command without input and output. Errors stay visible.
pub fn quiet(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Runs a command to its end and returns the time; an unsuccessful end is an error.
pub fn time(command: &mut Command) -> Result<Duration> {
    let start = Instant::now();
    let status = command.status().map_err(|cause| format!("start {command:?}: {cause}"))?;
    let took = start.elapsed();
    if status.success() { Ok(took) } else { Err(format!("run {command:?}: {status}").into()) }
}

/// Runs a command this number of times and returns the milliseconds of each; a preceding run warms
/// up the caches.
pub fn repeat(command: &mut Command, runs: usize) -> Result<Vec<f64>> {
    time(command)?;
    (0..runs).map(|_| Ok(ms(time(command)?))).collect()
}

/// Returns the path of a program, if it is installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Waits until `is_so` returns true, for at most this time; `what` completes "wait for".
pub fn wait_until(limit: Duration, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > limit {
            return Err(format!("wait for {what}: not within {} s", limit.as_secs()).into());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Opens a read-only connection: as the last one to close the database, a writing connection would
/// change it.
pub fn reader(db: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(db, flags).map_err(|cause| format!("open {}: {cause}", db.display()))?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// Queries one number from a database.
pub fn number(db: &Path, query: &str) -> Result<i64> {
    let answer = reader(db)?.query_row(query, [], |row| row.get(0));
    answer.map_err(|cause| format!("read {} ({query}): {cause}", db.display()).into())
}

/// Processes started here and to be ended: all at once, in order, by SIGTERM, and by SIGKILL if
/// that is not enough.
#[derive(Default)]
pub struct Flock(Vec<Child>);

impl Flock {
    /// Starts a process and returns its pid.
    pub fn start(&mut self, command: &mut Command) -> Result<u32> {
        let child = command.spawn().map_err(|cause| format!("start {command:?}: {cause}"))?;
        let pid = child.id();
        self.0.push(child);
        Ok(pid)
    }

    /// Waits until all have ended, which must be successful.
    pub fn finish(mut self) -> Result<()> {
        for child in &mut self.0 {
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("wait for process {}: {status}", child.id()).into());
            }
        }
        self.0.clear();
        Ok(())
    }

    /// The pids, in the order of the starts.
    pub fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        for child in &self.0 {
            // Not waited for yet, so the pid still belongs to this child.
            let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        let _ = wait_until(GRACE, "commands to end", || {
            Ok(self.0.iter_mut().all(|child| !matches!(child.try_wait(), Ok(None))))
        });
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Compiles one of the C programs as a user would.
pub fn compile(folder: &Path, name: &str, source: &str) -> Result<PathBuf> {
    let program = folder.join(name);
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-O2", "-xc", "-", "-o"])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|cause| format!("start the C compiler (cc, or $CC): {cause}"))?;
    if let Some(mut input) = compiler.stdin.take() {
        input.write_all(source.as_bytes())?;
    }
    let status = compiler.wait()?;
    if status.success() { Ok(program) } else { Err(format!("compile {name}.c: {status}").into()) }
}
