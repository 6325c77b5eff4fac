//! Starting runs, and sending commands to their shims.

use std::{
    ffi::OsString,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use super::{load, state::Supervisor};
use crate::{
    app::shim::SHIM,
    io::{
        account::{self, AccountError},
        child, limits, notify, process, proglog, sys,
    },
    model::{
        machine::Turn,
        path::standard_stream,
        program::{Executable, LogSpec, LogTarget, ProcState, ProgramSpec, Stdin, default_childlogdir},
        run_tracker::{Progress, RunTracker},
        shim::{CommandInput, Identity, NotStarted, ProgramLog, RunSpec, ShimCommand, StreamTarget, input_command},
        task::{Handle, Process, Signal, argv_json},
    },
};

/// Longest wait of a start for the database, unless it is known to be locked.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// The variables by which a process learns its name, and by which it is recognized when its shim
/// and its leader are gone.
pub(super) const PROCESS_NAME: &str = "TASKMASTER_PROCESS_NAME";
pub(super) const GROUP_NAME: &str = "TASKMASTER_GROUP_NAME";

/// Returns the failure for a file that cannot be examined just now.
fn unknown(path: &Path, error: &std::io::Error) -> NotStarted {
    NotStarted { passing: true, ..NotStarted::refused(format!("cannot look at {}: {error}", path.display())) }
}

impl Supervisor {
    /// Returns the file to execute, or why there is none; checked before anything is started.
    pub(super) fn find_command(&self, spec: &ProgramSpec) -> Result<PathBuf, NotStarted> {
        let not_found = |cause: String| NotStarted { not_found: true, ..NotStarted::refused(cause) };
        match spec.executable() {
            Executable::File(path) => match std::fs::metadata(&path) {
                Err(error) if limits::passes(&error) => Err(unknown(&path, &error)),
                Err(_) => Err(not_found(format!("command not found: {}", path.display()))),
                Ok(meta) if meta.is_dir() => Err(NotStarted::refused(format!("{} is a directory", path.display()))),
                Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                    Err(NotStarted::refused(format!("not executable: {}", path.display())))
                }
                Ok(_) => Ok(path),
            },
            Executable::Search(name) => {
                let own = spec.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| OsString::from(value));
                let path = own.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
                for file in std::env::split_paths(&path).map(|dir| dir.join(&name)) {
                    match std::fs::metadata(&file) {
                        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => return Ok(file),
                        // A file with this name further on in the PATH is not the intended one.
                        Err(error) if limits::passes(&error) => return Err(unknown(&file, &error)),
                        Ok(_) | Err(_) => {}
                    }
                }
                let searched = path.to_string_lossy();
                Err(not_found(format!("command not found: {name} (searched PATH={searched})")))
            }
        }
    }

    /// Decides where the logs of a process without configured paths go. In a folder such as /tmp
    /// another user may have created something in their place; then they go beside the database.
    pub(super) fn divert_logs(&mut self, name: &str) {
        let Some(spec) = self.procs.get(name).map(|proc| proc.spec.clone()) else { return };
        let user = spec.user.as_deref().and_then(account::uid);
        let usual: Vec<ProgramLog> = [1, 2].into_iter().filter_map(|stream| self.usual_log(&spec, stream)).collect();
        for log in usual.into_iter().filter(|log| log.private) {
            let Some(why) = proglog::foreign(&log.path, user) else {
                self.diverted.remove(&log.path);
                continue;
            };
            if self.diverted.insert(log.path.clone()) {
                let (place, other) = (log.path.display(), self.in_own_folder(&log.path));
                let made = self.runs.make_logs().err();
                let failed = made.map(|error| format!(" (cannot create its folder: {error})")).unwrap_or_default();
                let (name, other) = (spec.full_name(), other.display());
                self.log
                    .warn(&format!("warning: {name}: {place} is not used as its log: {why}; using {other}{failed}"));
            }
        }
    }

    fn in_own_folder(&self, usual: &Path) -> PathBuf {
        self.runs.logs().join(usual.file_name().unwrap_or_default())
    }

    /// Returns the log file of a stream of a process (1 for stdout, 2 for stderr); `None` if it has
    /// no log of its own.
    pub(super) fn log_path(&self, spec: &ProgramSpec, stream: u8) -> Option<PathBuf> {
        self.program_log(spec, stream).map(|log| log.path)
    }

    fn program_log(&self, spec: &ProgramSpec, stream: u8) -> Option<ProgramLog> {
        let usual = self.usual_log(spec, stream)?;
        Some(match self.diverted.contains(&usual.path) {
            true => ProgramLog { path: self.in_own_folder(&usual.path), ..usual },
            false => usual,
        })
    }

    fn usual_log(&self, spec: &ProgramSpec, stream: u8) -> Option<ProgramLog> {
        let (log, word) = match stream {
            1 => (&spec.stdout, "stdout"),
            _ if spec.redirect_stderr => return None,
            _ => (&spec.stderr, "stderr"),
        };
        let LogSpec { target, default, maxbytes, backups } = log;
        let path = match target {
            LogTarget::Path(path) => path.clone(),
            LogTarget::Auto => {
                let name = format!("{}-{}-{word}.log", spec.name, self.config.server.identifier);
                self.config.server.childlogdir.join(name)
            }
            LogTarget::None => return None,
        };
        let private = *default || *target == LogTarget::Auto;
        Some(ProgramLog { path, max: maxbytes.unwrap_or(0), backups: *backups, private, strip_ansi: spec.strip_ansi })
    }

    fn streams(&self, spec: &ProgramSpec) -> (StreamTarget, StreamTarget) {
        let stream = |number| self.program_log(spec, number).map_or(StreamTarget::None, StreamTarget::Log);
        (stream(1), if spec.redirect_stderr { StreamTarget::Joined } else { stream(2) })
    }

    /// Starts the shim of a new run of a process.
    pub(super) fn begin_run(&mut self, name: &str, turn: &Turn) -> Result<(), String> {
        if let Some(proc) = self.procs.get_mut(name)
            && let Some(next) = proc.next.take()
        {
            proc.spec = next;
        }
        self.divert_logs(name);
        let Some(proc) = self.procs.get_mut(name) else { return Ok(()) };
        proc.attempt += 1;
        let (spec, attempt) = (proc.spec.clone(), proc.attempt);
        let handle = match self.index.spares.pop() {
            Some(handle) => handle,
            None => {
                let next = sys::new_handle().map_err(|error| format!("cannot create a handle: {error}"))?;
                // The earlier run is known to have ended; its shim may need long to record that.
                if let Some(run) = proc.run.as_ref().filter(|run| run.progress == Progress::Ended) {
                    let _ = self.runs.hand_on(&run.handle, next.as_str());
                }
                next
            }
        };
        let spawned = self.run_spec(&spec, attempt, &handle).and_then(|run| Ok((self.spawn_shim(&run)?, run.ear)));
        let (pid, ear) = match spawned {
            Ok(spawned) => spawned,
            Err(cause) => {
                // Including the file that may exist for it.
                self.index.spares.push(handle);
                return Err(cause);
            }
        };
        let handle = handle.to_string();
        self.index.children.insert(pid, handle.clone());
        self.index.by_handle.insert(handle.clone(), name.to_owned());
        self.starts.begun(&handle, turn, sys::now().mono);
        if let Some(proc) = self.procs.get_mut(name) {
            proc.run = Some(RunTracker::new(handle, ear));
            proc.task = None;
        }
        Ok(())
    }

    fn spawn_shim(&self, spec: &RunSpec) -> Result<i32, String> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock => "process table full".to_owned(),
            _ if limits::is_out_of_files(&error) => "too many open files".to_owned(),
            _ => format!("cannot start its shim: {error}"),
        };
        let text =
            serde_json::to_string(spec).map_err(|error| format!("cannot write its run specification: {error}"))?;
        let text = child::text_to_read(&text).map_err(failed)?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
        // The supervisor's own stream, if one of the logs goes there.
        let wants = |number: u8| {
            [&spec.stdout, &spec.stderr].into_iter().any(|stream| match stream {
                StreamTarget::Log(log) => standard_stream(&log.path) == Some(number),
                StreamTarget::None | StreamTarget::Joined => false,
            })
        };
        let out: Option<OwnedFd> =
            wants(1).then(|| std::io::stdout().as_fd().try_clone_to_owned()).transpose().map_err(failed)?;
        let err = wants(2).then(|| std::io::stderr().as_fd().try_clone_to_owned()).transpose().map_err(failed)?;
        let [out, err] = [&out, &err].map(|own| own.as_ref().map_or(null.as_fd(), AsFd::as_fd));
        let put = [(text.as_fd(), 0), (out, 1), (err, 2)];
        // A program's notifications are not meant for the supervisor's service manager.
        let set = [(notify::VARIABLE, OsString::new())];
        child::spawn_program(&self.own.launch, &[OsString::from(SHIM)], &set, &put).map_err(failed)
    }

    fn run_spec(&self, spec: &ProgramSpec, attempt: u32, handle: &Handle) -> Result<RunSpec, String> {
        // A program that cannot be started is a run too: its shim records it.
        let (file, mut refused) = match self.find_command(spec) {
            Ok(file) => (file, None),
            Err(why) => (PathBuf::new(), Some(why)),
        };
        let mut user = None;
        if let Some(name) = &spec.user {
            match account::identity(name) {
                Ok(identity) => user = Some(identity),
                // Not the program's fault.
                Err(error @ AccountError::Unreadable(..)) => return Err(error.to_string()),
                Err(error) => {
                    let cause = format!("cannot switch to user {name}: {error}");
                    refused = refused.or(Some(NotStarted::refused(cause)));
                }
            }
        }
        let argv: Vec<&str> =
            std::iter::once(spec.command.as_str()).chain(spec.args.iter().map(String::as_str)).collect();
        let (stdout, stderr) = self.streams(spec);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let feedpath = match &spec.feedback {
            Some(folder) if folder.is_dir() => Some(folder.clone()),
            Some(folder) => {
                let cause = format!("its feedback folder {} does not exist", folder.display());
                refused = refused.or(Some(NotStarted::refused(cause)));
                None
            }
            None if spec.timeout.is_none() => None,
            None => Some(self.feedback_folder(spec, user.as_ref())?),
        };
        let ear = sys::new_handle().map_err(|error| format!("cannot create a name: {error}"))?;
        Ok(RunSpec {
            handle: handle.to_string(),
            ear: ear.to_string(),
            folder: self.runs.path().to_owned(),
            supervisor: self.own.me,
            db: self.own.db.clone(),
            patience: if self.records.was_well() { millis(LOCK_TIMEOUT) } else { 0 },
            process: spec.full_name(),
            program: spec.program.clone(),
            group: spec.group.clone(),
            attempt,
            version: spec.version(),
            info: spec.info.clone(),
            refused,
            file,
            argv: argv_json(&argv),
            env: argv_json(&self.environment(spec)),
            directory: spec.directory.clone(),
            umask: spec.umask,
            user,
            stdin: match spec.stdin {
                Stdin::Null => CommandInput::Null,
                Stdin::Pipe => CommandInput::Pipe,
            },
            stdout,
            stderr,
            timeout: spec.timeout.map(millis),
            feedpath,
            stop_signal: spec.policy.stopsignal,
            kill_after: spec.policy.stopwait.map_or(u64::MAX / 4, millis),
            killasgroup: spec.policy.killasgroup,
            exitcodes: spec.policy.exitcodes.clone(),
        })
    }

    /// Returns the feedback folder of a program that has a timeout and no configured one: in the
    /// run folder, if the program runs as the supervisor's user.
    fn feedback_folder(&self, spec: &ProgramSpec, user: Option<&Identity>) -> Result<PathBuf, String> {
        if user.is_none_or(|user| user.uid == account::own_uid()) {
            return self
                .runs
                .feedback_folder()
                .map_err(|error| format!("cannot create a folder for its feedback: {error}"));
        }
        // The usual folder of root is closed to the user.
        let childlogdir = match load::has_roots_folder(&self.config) {
            true => default_childlogdir(false, None),
            false => self.config.server.childlogdir.clone(),
        };
        Ok(spec.directory.clone().unwrap_or(childlogdir))
    }

    /// Returns the environment of a program: inherited variables, those about the supervisor, and
    /// configured ones; later ones override earlier ones.
    fn environment(&self, spec: &ProgramSpec) -> Vec<OsString> {
        let mut built_in = vec![
            ("TASKMASTER_ENABLED", "1".to_owned()),
            (PROCESS_NAME, spec.name.clone()),
            (GROUP_NAME, spec.group.clone()),
        ];
        if let Some(url) = self.config.server_url(spec) {
            built_in.extend(["TASKMASTER_SERVER_URL", "SUPERVISOR_SERVER_URL"].map(|name| (name, url.to_string())));
        }
        let entry = |name: &str, value: &str| OsString::from(format!("{name}={value}"));
        let mut env: Vec<OsString> = self.own.env.clone();
        let own = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in built_in.iter().map(|(name, value)| (*name, value.as_str())).chain(own) {
            let head = format!("{name}=");
            env.retain(|entry| !entry.as_encoded_bytes().starts_with(head.as_bytes()));
            env.push(entry(name, value));
        }
        env
    }

    /// Sends the changed policy to the shim of a current run.
    pub(super) fn tell_policy(&self, name: &str) {
        let Some(proc) = self.procs.get(name) else { return };
        let Some(run) = &proc.run else { return };
        let (stdout, stderr) = self.streams(&proc.spec);
        let policy = &proc.spec.policy;
        let exitcodes = policy.exitcodes.clone();
        let command = ShimCommand::Policy { killasgroup: policy.killasgroup, exitcodes, stdout, stderr };
        // Fails harmlessly if the shim is gone.
        let _ = notify::send_command(&run.socket, command.to_message().as_bytes());
    }

    /// Makes all shims reopen their log files.
    pub(super) fn reopen_logs(&mut self) {
        self.log.reopen();
        for run in self.procs.values().filter_map(|proc| proc.run.as_ref()) {
            let _ = notify::send_command(&run.socket, ShimCommand::Reopen.to_message().as_bytes());
        }
    }

    /// Writes to the standard input of a process.
    ///
    /// # Errors
    /// When the shim cannot be reached, with the number of bytes sent before.
    pub(super) fn write_input(&self, name: &str, data: &[u8]) -> Result<(), (usize, std::io::Error)> {
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref());
        let run = run.ok_or((0, std::io::ErrorKind::NotFound.into()))?;
        // Longest message of a datagram; the shim writes the pieces one after the other.
        let mut sent = 0;
        for piece in data.chunks(32 << 10) {
            notify::send_command(&run.socket, input_command(piece).to_message().as_bytes())
                .map_err(|error| (sent, error))?;
            sent += piece.len();
        }
        Ok(())
    }

    /// Stops supervising a run, which keeps running.
    pub(super) fn disown(&mut self, name: &str) {
        self.starts.cancel(name);
        self.give_up_waiting(name, "disowned");
        let Some(proc) = self.procs.get_mut(name) else { return };
        if let Some(run) = proc.run.take() {
            let _ = notify::send_command(&run.socket, ShimCommand::Forget.to_message().as_bytes());
            self.index.by_handle.remove(&run.handle);
            self.runs.remove(&run.handle);
        }
        let machine =
            crate::model::machine::Machine::new(proc.spec.policy.clone(), self.config.server.restart_throttle);
        proc.machine = machine;
        (proc.task, proc.waiting) = (None, None);
        let removing = proc.removing;
        self.set_timer(name);
        self.free_number(name);
        if removing {
            // Nothing is left to wait for.
            self.take_out(name);
        }
        self.advance_shutdown();
    }

    /// Returns SIGSTOP if a process is paused by a signal.
    pub(super) fn paused(&self, name: &str) -> Option<Signal> {
        let proc = self.procs.get(name).filter(|proc| proc.machine.state() != ProcState::Stopped)?;
        let command: Process = proc.run.as_ref()?.command?;
        let stat = process::stat(command.pid)?;
        (stat.process == command && stat.stopped).then_some(Signal(19))
    }
}
