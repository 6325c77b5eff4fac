//! The start of a run: its specification, its task, its command.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{CLAIM_AGAIN, CLAIM_SELDOM, COMMAND, Shim, ShimError, StopRequest, log_of};
use crate::{
    app::{
        db,
        engine::{CLOSE_AFTER, ClaimedTask, Engine, Record},
        output::{Copy, TaskOutput},
        reconcile,
    },
    io::{
        account,
        child::{self, Change, ChangeStep},
        feedfile,
        inbox::Inbox,
        limits,
        notify::{self, CommandSocket},
        process,
        proglog::ProgLog,
        rundir::RunDir,
        spool::Spool,
        store::{Command, LockTimeout, NewTask, Start},
        streams::Ends,
        sys,
    },
    model::{
        log::LOG_MAX,
        shim::{CommandInput, NotStarted, Phase, Run, RunSpec, ShimNote, StreamTarget},
        task::{Process, Signal, Tick, argv_of_json},
        watch::Limits,
    },
};

/// Pages to which the WAL may grow, two megabytes: the supervisor has the database open all the
/// time, so opening it does not require reading the WAL.
const LONG_WAL: u32 = 512;
/// How long a started command may be impossible to examine (no descriptors left), and the interval
/// of trying.
const KNOWN_AFTER: Duration = Duration::from_secs(10);
const KNOWN_AGAIN: Duration = Duration::from_millis(20);
/// Descriptor on which a new process reports a failed step.
const REPORT: i32 = 3;

/// Runs a shim. Descriptor 0 contains the specification; see [`RunSpec`].
///
/// # Errors
/// [`ShimError`]: there is no specification, or nothing could be reported.
pub(super) fn start() -> Result<(), ShimError> {
    let system = |what| move |error| ShimError::System(what, error);
    let inherited = child::inherited_descriptors();
    child::set_name(c"launch");
    child::new_session();
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(system("read the run specification"))?;
    let order: RunSpec = serde_json::from_str(&text).map_err(|error| ShimError::RunSpec(error.to_string()))?;
    drop(text);
    child::release_streams(false);
    let me = process::own().map_err(system("read /proc/self/stat"))?.process;
    let inbox = Inbox::open(0).map_err(system("read signals"))?;
    child::become_subreaper().map_err(system("adopt orphans"))?;
    let runs = RunDir::open(&order.folder).map_err(system("open the run folder"))?;
    let commands = CommandSocket::open(&order.ear).map_err(system("open the command socket"))?;
    let run = Run {
        handle: order.handle.clone(),
        ear: order.ear.clone(),
        process: order.process.clone(),
        program: order.program.clone(),
        group: order.group.clone(),
        version: order.version.clone(),
        attempt: order.attempt,
        shim: me,
        boot: sys::boot_id().map_err(system("read the boot id"))?,
        task: None,
        phase: Phase::Starting,
        denied: None,
        notes: vec![],
    };
    runs.write(&run.handle, &run.to_text()).map_err(system("write the file of the run"))?;
    sys::crash_point("shim.written");
    // From here on the next supervisor knows of this shim. If the supervisor is already gone, the
    // next one starts the run again.
    if process::gone(order.supervisor) {
        runs.remove(&run.handle);
        return Ok(());
    }
    let limits = Limits {
        timeout: order.timeout.map(Duration::from_millis),
        max_runtime: None,
        stop_signal: order.stop_signal,
        kill_after: Duration::from_millis(order.kill_after),
    };
    let shim = Box::new(Shim {
        engine: Engine::new(me, 0, inbox, vec![], Record::new(order.db.clone()), limits),
        runs,
        run,
        commands: Some(commands),
        unwritten: false,
        unsent: vec![],
        claim_at: sys::now().mono,
        claim_pause: CLAIM_AGAIN,
        command: Process { pid: 0, pstart: 0 },
        exit: None,
        input: None,
        typed: vec![],
        stop: StopRequest::default(),
        forgotten: false,
        order,
    });
    shim.begin(&inherited);
    Ok(())
}

/// Executes the command in the arguments; see [`Change`]. Reports the failed step if that is not
/// possible.
pub fn become_command() {
    let mut args = std::env::args_os().skip(1);
    let change = args.next().and_then(|text| serde_json::from_str::<Change>(text.to_str()?).ok());
    let argv: Vec<OsString> = args.collect();
    // Duplicated, so that closing it is safe; the inherited descriptor closes on exec.
    let Ok(mut report) = File::options().write(true).open(format!("/proc/self/fd/{REPORT}")) else { return };
    child::close(REPORT);
    let Some(change) = change else { return };
    let failed = child::become_command(&change, &argv, account::become_user);
    if let Ok(text) = serde_json::to_string(&failed) {
        let _ = io::Write::write_all(&mut report, text.as_bytes());
    }
}

impl Shim {
    fn begin(mut self: Box<Self>, inherited: &[i32]) {
        self.claim();
        sys::crash_point("shim.claimed");
        match self.start(inherited) {
            Ok(command) => self.command = command,
            Err(why) => return self.not_started(why),
        }
        self.engine.begin();
        self.run.phase = Phase::Running { command: self.command, since: self.engine.started };
        self.write_run();
        sys::crash_point("shim.running");
        self.engine.begin_log(LOG_MAX, false);
        self.follow();
    }

    /// Claims a task before the command starts, if the database is available.
    fn claim(&mut self) {
        self.try_claim(sys::now(), Duration::from_millis(self.order.patience));
    }

    /// Claims a task later; returns whether that succeeded.
    pub(super) fn claim_late(&mut self) -> bool {
        let claimed = self.try_claim(self.engine.started, Duration::ZERO);
        if claimed {
            self.engine.begin_log(LOG_MAX, false);
            self.engine.record.close_at = sys::now().mono + CLOSE_AFTER;
            self.write_run();
        }
        claimed
    }

    /// Returns the values of the task.
    pub(super) fn as_start(&self, started: Tick) -> Start {
        let timeout = self.order.timeout.map(|timeout| Duration::from_millis(timeout).as_secs_f64());
        let user = self.order.user.as_ref().map_or_else(sys::login, |user| user.name.clone());
        Start {
            task: NewTask {
                name: self.order.process.clone(),
                info: self.order.info.clone(),
                handle: self.order.handle.clone(),
                now: started.wall.secs(),
                unique: false,
            },
            named: true,
            feedback: self.order.feedpath.is_some(),
            // A file whose path the command does not know is not its feedback file.
            feedpath: self.order.feedpath.clone().filter(|_| self.command.pid == 0),
            log: true,
            options: "[]".into(),
            supervised: Some(self.order.supervised()),
            timeout,
            stop_signal: self.order.stop_signal.to_string(),
            kill_after: Duration::from_millis(self.order.kill_after).as_secs_f64(),
            launcher: Some(self.run.shim),
            boot_id: Some(self.run.boot.clone()),
            namespace: sys::namespace(),
            launcher_inode: process::inode(self.run.shim.pid),
            host: sys::host_name(),
            user,
            argv: self.order.argv.clone(),
            cwd: self.order.directory.clone().or_else(|| std::env::current_dir().ok()),
            ..Start::default()
        }
    }

    fn try_claim(&mut self, started: Tick, limit: Duration) -> bool {
        let db = self.order.db.clone();
        let timeout = LockTimeout { limit, notify: None };
        let start = self.as_start(started);
        let claim = || -> Result<_, String> {
            let mut store = db::open_or_create(&db, timeout).map_err(|error| error.to_string())?;
            store.set_lock_timeout(timeout);
            store.leave_wal_to(LONG_WAL);
            let spool = Spool::open(&db, true).map_err(|error| error.to_string());
            let claimed =
                reconcile::claim(&mut store, &start, spool.as_ref().ok()).map_err(|error| error.to_string())?;
            Ok((store, claimed, spool))
        };
        match claim() {
            Ok((store, claimed, spool)) => {
                // Without room in the spool the end needs the database, which was available just
                // now.
                let reserve = |spool: &Spool| spool.reserve(claimed.slot).map_err(|error| error.to_string());
                let room = spool.as_ref().map_err(Clone::clone).and_then(reserve);
                if let Some(path) = &claimed.feedpath {
                    let _ = feedfile::remove(path);
                }
                self.engine.record.store = Some(store);
                self.engine.record.task = Some(ClaimedTask { claimed: Arc::new(claimed), spool: spool.ok() });
                if let Err(error) = room {
                    self.note(format!("cannot reserve room for the end of the run beside the database: {error}"));
                }
                true
            }
            Err(error) => {
                self.claim_at = sys::now().mono.saturating_add(self.claim_pause);
                self.claim_pause = (self.claim_pause * 2).min(CLAIM_SELDOM);
                self.note(ShimNote::NotRecorded(error.to_string()));
                false
            }
        }
    }

    /// Records the command's process in the task's row; false if the database was too busy.
    pub(super) fn note_command(&mut self) -> bool {
        self.engine.note_address();
        // Each command has its own session.
        let (inode, session) = (process::inode(self.command.pid), Some(self.command.pid));
        self.engine.record.note_command(&Command { process: self.command, inode, session })
    }

    /// Starts the command.
    fn start(&mut self, inherited: &[i32]) -> Result<Process, NotStarted> {
        if let Some(why) = self.order.refused.take() {
            return Err(why);
        }
        let failed = |what: &str, error: &io::Error| NotStarted {
            passing: limits::passes(error),
            ..NotStarted::refused(format!("{what}: {}", plain(error)))
        };
        let mut copies = [None, None];
        for (copy, stream) in copies.iter_mut().zip([&self.order.stdout, &self.order.stderr]) {
            if let Some((place, strip)) = log_of(&self.order, stream) {
                let path = place.path.display().to_string();
                let log = ProgLog::open(place);
                let log = log.map_err(|error| failed(&format!("cannot open log {path}"), &error))?;
                *copy = Some(Copy::new(log, strip));
            }
        }
        let one = self.order.stderr == StreamTarget::Joined;
        let gathered =
            TaskOutput::gather(one, copies).and_then(|(output, ends)| Ok((output, ends, self.open_input()?)));
        let (output, ends, input) = gathered.map_err(|error| failed("cannot create its pipes", &error))?;
        self.engine.output = Some(output);
        if self.order.user.is_none() {
            let pid = self.start_directly(&ends, &input, inherited)?;
            drop((ends, input));
            return known(pid, KNOWN_AFTER, process_of);
        }
        let (mut report, reports) = io::pipe().map_err(|error| failed("cannot create a pipe", &error))?;
        let reports = OwnedFd::from(reports);
        let pid = self.spawn(&ends, &input, &reports, inherited).map_err(|error| not_spawned(&error))?;
        drop((ends, input, reports));
        let mut failed_step = String::new();
        // The pipe closes on exec. If the exec hangs (an unavailable file server), only this shim
        // waits.
        let read = report.read_to_string(&mut failed_step);
        if failed_step.is_empty() && read.is_ok() {
            return known(pid, KNOWN_AFTER, process_of);
        }
        // The process ends at once.
        while let Ok(child::Reaped::Ended(..)) = child::reap() {}
        match serde_json::from_str::<(ChangeStep, i32)>(&failed_step) {
            Ok((step, number)) => Err(self.failure(step, number)),
            Err(_) => Err(NotStarted::refused("its start failed without a report".into())),
        }
    }

    /// Starts a command of the same user: the shim takes its directory and umask for a moment, and
    /// posix_spawn does the rest. An intermediate process, as needed to switch users, would take as
    /// long as all of this.
    fn start_directly(&self, ends: &Ends, input: &OwnedFd, inherited: &[i32]) -> Result<i32, NotStarted> {
        let number = |error: &io::Error| error.raw_os_error().unwrap_or(0);
        let home = std::env::current_dir();
        if let Some(directory) = &self.order.directory {
            std::env::set_current_dir(directory)
                .map_err(|error| self.failure(ChangeStep::Directory, number(&error)))?;
        }
        let umask = self.order.umask.map(child::set_umask);
        let put = [(input.as_fd(), 0), (ends.out.as_fd(), 1), (ends.err.as_fd(), 2)];
        let argv = words(&self.order.argv);
        let spawned = child::spawn_in_session(&self.order.file, &argv, &self.environment(), &put, inherited);
        if let Some(umask) = umask {
            child::set_umask(umask);
        }
        if self.order.directory.is_some() {
            // A folder that is the working directory could not be unmounted.
            let _ = std::env::set_current_dir(home.unwrap_or_else(|_| "/".into()));
        }
        spawned.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => not_spawned(&error),
            _ => self.failure(ChangeStep::Exec, number(&error)),
        })
    }

    fn open_input(&mut self) -> io::Result<OwnedFd> {
        match self.order.stdin {
            CommandInput::Null => Ok(File::open("/dev/null")?.into()),
            CommandInput::Pipe => {
                let (read_end, write_end) = io::pipe()?;
                let write_end = OwnedFd::from(write_end);
                child::set_nonblocking(write_end.as_fd())?;
                self.input = Some(File::from(write_end));
                Ok(OwnedFd::from(read_end))
            }
        }
    }

    fn spawn(&self, ends: &Ends, input: &OwnedFd, reports: &OwnedFd, inherited: &[i32]) -> io::Result<i32> {
        let order = &self.order;
        let change = Change {
            umask: order.umask,
            user: order.user.as_ref().map(|user| (user.uid, user.gid, user.groups.clone())),
            directory: order.directory.clone(),
            file: order.file.clone(),
        };
        let mut argv = vec![OsString::from(COMMAND), serde_json::to_string(&change)?.into()];
        argv.extend(words(&order.argv));
        let put = [(input.as_fd(), 0), (ends.out.as_fd(), 1), (ends.err.as_fd(), 2), (reports.as_fd(), REPORT)];
        child::spawn_self(&argv, &self.environment(), &put, inherited, 0)
    }

    /// Returns the configured environment with the variables of the task.
    fn environment(&self) -> Vec<CString> {
        let set = self.engine.variables(&self.order.handle);
        // Variables of a task in which the supervisor itself may run are not passed on.
        let outer = ["TASKWATCHER_TASKID", process::UPID_VARIABLE, "TASKWATCHER_FEEDBACK", notify::VARIABLE];
        let is_set = |entry: &OsString| {
            let mut names = set.iter().map(|(name, _)| *name).chain(outer);
            names.any(|name| entry.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
        };
        let given = words(&self.order.env).into_iter().filter(|entry| !is_set(entry));
        let added = set.iter().map(|(name, value)| {
            let mut entry = OsString::from(name);
            entry.push("=");
            entry.push(value);
            entry
        });
        given.chain(added).filter_map(|entry| CString::new(entry.into_vec()).ok()).collect()
    }

    /// Returns the failure for a step that the kernel refused.
    fn failure(&self, step: ChangeStep, number: i32) -> NotStarted {
        let error = io::Error::from_raw_os_error(number);
        let (why, order) = (plain(&error), &self.order);
        let file = order.file.display();
        let cause = match step {
            ChangeStep::Umask => format!("cannot set its umask: {why}"),
            ChangeStep::User => {
                let name = order.user.as_ref().map(|user| user.name.as_str()).unwrap_or_default();
                format!("cannot switch to user {name}: {why}")
            }
            ChangeStep::Directory => {
                let directory = order.directory.as_deref().unwrap_or(Path::new(""));
                format!("cannot change directory to {}: {why}", directory.display())
            }
            ChangeStep::Exec => match error.kind() {
                io::ErrorKind::NotFound if order.file.exists() => {
                    format!("cannot run {file}: its interpreter does not exist")
                }
                io::ErrorKind::NotFound => format!("command not found: {file}"),
                io::ErrorKind::PermissionDenied if order.file.is_dir() => format!("{file} is a directory"),
                io::ErrorKind::PermissionDenied => format!("not executable: {file}: {why}"),
                _ => format!("cannot run {file}: {why}"),
            },
        };
        let not_found = step == ChangeStep::Exec && error.kind() == io::ErrorKind::NotFound;
        NotStarted { cause, not_found, passing: limits::passes(&error) }
    }
}

/// Returns the strings of a JSON array; empty if it is not one.
fn words(json: &str) -> Vec<OsString> {
    serde_json::from_str(json).ok().and_then(|json| argv_of_json(&json)).unwrap_or_default()
}

/// Returns the text of a system error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn not_spawned(error: &io::Error) -> NotStarted {
    let cause = match error.kind() {
        io::ErrorKind::WouldBlock => "process table full".into(),
        io::ErrorKind::OutOfMemory => "no memory for a process".into(),
        _ => format!("cannot create a process: {}", plain(error)),
    };
    NotStarted { passing: limits::passes(error), ..NotStarted::refused(cause) }
}

/// Returns the process of a command that was just started. The command is an unreaped child, so it
/// exists, and a failed read of its data is retried for `limit`. Without its start time it could be
/// neither signalled nor recognized: then its group is killed before the start is reported as
/// failed.
fn known(pid: i32, limit: Duration, mut look: impl FnMut(i32) -> Option<Process>) -> Result<Process, NotStarted> {
    let until = sys::now().mono + limit;
    loop {
        if let Some(process) = look(pid) {
            return Ok(process);
        }
        if sys::now().mono >= until {
            break;
        }
        sys::pause(KNOWN_AGAIN);
    }
    while child::end_of(pid).is_none() {
        let _ = child::signal_group(pid, Signal::KILL);
        let _ = child::signal(pid, Signal::KILL);
        sys::pause(KNOWN_AGAIN);
    }
    while let Ok(child::Reaped::Ended(..)) = child::reap() {}
    let cause = format!("/proc/{pid}/stat cannot be read, so the process was killed");
    Err(NotStarted { passing: true, ..NotStarted::refused(cause) })
}

fn process_of(pid: i32) -> Option<Process> {
    process::read_stat(pid).ok().flatten().map(|stat| stat.process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeps() -> i32 {
        let argv = ["sleep", "300"].map(OsString::from);
        child::spawn_in_session("/bin/sleep".as_ref(), &argv, &[], &[], &[]).unwrap()
    }

    #[test]
    fn a_command_that_cannot_be_examined_for_a_moment_continues() {
        let pid = sleeps();
        let mut looks = 0;
        let found = known(pid, KNOWN_AFTER, |pid| {
            looks += 1;
            (looks > 3).then(|| process_of(pid)).flatten()
        });
        assert_eq!(found.unwrap().pid, pid);
        assert_eq!(child::end_of(pid), None);
        child::signal(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn a_command_that_cannot_be_examined_is_killed_before_the_failure_is_reported() {
        let pid = sleeps();
        let why = known(pid, Duration::ZERO, |_| None).unwrap_err();
        assert!(why.passing && why.cause.contains("cannot be read"), "{why:?}");
        assert!(process::stat(pid).is_none(), "it is gone");
    }
}
