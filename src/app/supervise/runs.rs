//! Beginning runs, and finding those of a former supervisor.

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

use super::{
    core::{Current, RunNews, Supervisor, Watched},
    load,
};
use crate::{
    app::shim::SHIM,
    io::{
        account::{self, AccountError},
        child, limits, notify, process, proglog, sys,
    },
    model::{
        jobs::JobNumbers,
        machine::{Event, StopWhy, Survivor, Turn},
        path::standard_stream,
        program::{Executable, LogSpec, LogTarget, Orphans, ProcState, ProgramSpec, Stdin, default_childlogdir},
        shim::{
            CommandInput, Identity, NotStarted, Phase, ProgramLog, Run, RunSpec, ShimCommand, StreamTarget, input_word,
        },
        task::{Handle, Process, Signal, argv_json},
    },
};

/// How long a start may wait for the database, unless it is known to be locked.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long runs of a former supervisor that are just being started are waited for: twice as long as they may wait for
/// the database themselves. One that takes longer is taken over as it is.
const SETTLE: Duration = Duration::from_secs(1);
const SETTLE_STEP: Duration = Duration::from_millis(20);
/// How long a start waits for a file of a former supervisor that cannot be read.
const READABLE: Duration = Duration::from_secs(10);

/// The variables by which a process knows what it is to us, and we know it again when its launch and its leader are gone.
const PROCESS_NAME: &str = "TASKMASTER_PROCESS_NAME";
const GROUP_NAME: &str = "TASKMASTER_GROUP_NAME";

/// Reads something of a former supervisor; an error that may pass is waited for, as what is not known to run would be
/// started a second time.
pub(super) fn once_readable<T>(mut read: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let until = sys::now().mono + READABLE;
    loop {
        match read() {
            Err(_) if sys::now().mono < until => sys::pause(SETTLE_STEP),
            done => return done,
        }
    }
}

/// A file of which the system does not say just now what it is.
fn unknown(path: &Path, error: &std::io::Error) -> NotStarted {
    NotStarted { passing: true, ..NotStarted::refused(format!("cannot look at {}: {error}", path.display())) }
}

/// The name of the process that a run is of, without its group.
fn process_name(run: &Run) -> &str {
    run.process.rsplit_once(':').map_or(&run.process, |(_, name)| name)
}

impl Supervisor {
    /// Returns which file is executed (SPAWN-4), or why none can be, known before anything is started (SPAWN-5).
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
                        // Another one of its name, further on, is not the one that is meant.
                        Err(error) if limits::passes(&error) => return Err(unknown(&file, &error)),
                        Ok(_) | Err(_) => {}
                    }
                }
                let searched = path.to_string_lossy();
                Err(not_found(format!("command not found: {name} (searched PATH={searched})")))
            }
        }
    }

    /// Decides where the logs of a process go that have no path of their own: in a folder such as /tmp another user may have
    /// put something in their place. Then they go beside the database.
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
                let failed = made.map(|error| format!(" (which cannot be made: {error})")).unwrap_or_default();
                let (name, other) = (spec.full_name(), other.display());
                self.log
                    .warn(&format!("warning: {name}: {place} is not used as its log: {why}; it is {other}{failed}"));
            }
        }
    }

    fn in_own_folder(&self, usual: &Path) -> PathBuf {
        self.runs.logs().join(usual.file_name().unwrap_or_default())
    }

    /// Where a stream of a process goes: 1 its output, 2 its messages; none: into no file of its own.
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
        let handle = match self.spares.pop() {
            Some(handle) => handle,
            None => {
                let next = sys::new_handle().map_err(|error| format!("cannot make a handle: {error}"))?;
                // That the former run has ended was heard; its shim may need long to record it.
                if let Some(run) = proc.run.as_ref().filter(|run| run.told == RunNews::Ended) {
                    let _ = self.runs.hand_on(&run.handle, next.as_str());
                }
                next
            }
        };
        let spawned = self.order(&spec, attempt, &handle).and_then(|order| Ok((self.spawn_shim(&order)?, order.ear)));
        let (pid, ear) = match spawned {
            Ok(spawned) => spawned,
            Err(cause) => {
                // With the file that may have been handed on to it.
                self.spares.push(handle);
                return Err(cause);
            }
        };
        let handle = handle.to_string();
        self.children.insert(pid, handle.clone());
        self.by_handle.insert(handle.clone(), name.to_owned());
        self.starts.begun(&handle, turn, sys::now().mono);
        if let Some(proc) = self.procs.get_mut(name) {
            proc.run = Some(Current::new(handle, ear));
            proc.task = None;
        }
        Ok(())
    }

    fn spawn_shim(&self, order: &RunSpec) -> Result<i32, String> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock => "process table full".to_owned(),
            _ if limits::is_out_of_files(&error) => "too many open files".to_owned(),
            _ => format!("cannot start its launch: {error}"),
        };
        let text = serde_json::to_string(order).map_err(|error| format!("cannot write its order: {error}"))?;
        let text = child::text_to_read(&text).map_err(failed)?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
        // Ours, if one of its logs is to go there.
        let wants = |number: u8| {
            [&order.stdout, &order.stderr].into_iter().any(|stream| match stream {
                StreamTarget::Log(log) => standard_stream(&log.path) == Some(number),
                StreamTarget::None | StreamTarget::Joined => false,
            })
        };
        let out: Option<OwnedFd> =
            wants(1).then(|| std::io::stdout().as_fd().try_clone_to_owned()).transpose().map_err(failed)?;
        let err = wants(2).then(|| std::io::stderr().as_fd().try_clone_to_owned()).transpose().map_err(failed)?;
        let [out, err] = [&out, &err].map(|own| own.as_ref().map_or(null.as_fd(), AsFd::as_fd));
        let put = [(text.as_fd(), 0), (out, 1), (err, 2)];
        // What a program says of itself is not for the manager of the supervisor.
        let set = [(notify::VARIABLE, OsString::new())];
        child::spawn_program(&self.launch, &[OsString::from(SHIM)], &set, &put).map_err(failed)
    }

    fn order(&self, spec: &ProgramSpec, attempt: u32, handle: &Handle) -> Result<RunSpec, String> {
        // What cannot be started is a run too: its shim records it.
        let (file, mut refused) = match self.find_command(spec) {
            Ok(file) => (file, None),
            Err(why) => (PathBuf::new(), Some(why)),
        };
        let mut user = None;
        if let Some(name) = &spec.user {
            match account::identity(name) {
                Ok(identity) => user = Some(identity),
                // That is no fault of the program.
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
        let ear = sys::new_handle().map_err(|error| format!("cannot make a name: {error}"))?;
        Ok(RunSpec {
            handle: handle.to_string(),
            ear: ear.to_string(),
            folder: self.runs.path().to_owned(),
            supervisor: self.me,
            db: self.db.clone(),
            patience: if self.records.was_well() { millis(PATIENCE) } else { 0 },
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

    /// Where a program tells of itself that has a timeout and no folder for that: in one of ours, if it is of our user.
    fn feedback_folder(&self, spec: &ProgramSpec, user: Option<&Identity>) -> Result<PathBuf, String> {
        if user.is_none_or(|user| user.uid == account::own_uid()) {
            return self
                .runs
                .feedback_folder()
                .map_err(|error| format!("cannot make a folder for its feedback: {error}"));
        }
        // The usual folder of root is closed to the user.
        let childlogdir = match load::has_roots_folder(&self.config) {
            true => default_childlogdir(false, None),
            false => self.config.server.childlogdir.clone(),
        };
        Ok(spec.directory.clone().unwrap_or(childlogdir))
    }

    /// What a program inherits, what it is told of its supervisor, and what its configuration says; what comes later
    /// wins (SPAWN-8).
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
        let mut env: Vec<OsString> = self.env.clone();
        let own = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in built_in.iter().map(|(name, value)| (*name, value.as_str())).chain(own) {
            let head = format!("{name}=");
            env.retain(|entry| !entry.as_encoded_bytes().starts_with(head.as_bytes()));
            env.push(entry(name, value));
        }
        env
    }

    /// Tells the shim of a run that goes on what has changed in place.
    pub(super) fn tell_policy(&self, name: &str) {
        let Some(proc) = self.procs.get(name) else { return };
        let Some(run) = &proc.run else { return };
        let (stdout, stderr) = self.streams(&proc.spec);
        let policy = &proc.spec.policy;
        let exitcodes = policy.exitcodes.clone();
        let word = ShimCommand::Policy { killasgroup: policy.killasgroup, exitcodes, stdout, stderr };
        // One that is gone needs no policy.
        let _ = notify::tell(&run.ear, word.to_message().as_bytes());
    }

    /// Lets all shims open their log files anew.
    pub(super) fn reopen_logs(&mut self) {
        self.log.reopen();
        for run in self.procs.values().filter_map(|proc| proc.run.as_ref()) {
            let _ = notify::tell(&run.ear, ShimCommand::Reopen.to_message().as_bytes());
        }
    }

    /// Writes to the input of a process.
    ///
    /// # Errors
    /// When its shim does not hear us, and how much it has heard by then.
    pub(super) fn write_input(&self, name: &str, data: &[u8]) -> Result<(), (usize, std::io::Error)> {
        let run = self.procs.get(name).and_then(|proc| proc.run.as_ref());
        let run = run.ok_or((0, std::io::ErrorKind::NotFound.into()))?;
        // A datagram holds so much; a pipe takes them one after the other.
        let mut told = 0;
        for piece in data.chunks(32 << 10) {
            notify::tell(&run.ear, input_word(piece).to_message().as_bytes()).map_err(|error| (told, error))?;
            told += piece.len();
        }
        Ok(())
    }

    /// Lets a run go on without us.
    pub(super) fn disown(&mut self, name: &str) {
        self.starts.cancel(name);
        self.give_up_waiting(name, "disowned");
        let Some(proc) = self.procs.get_mut(name) else { return };
        if let Some(run) = proc.run.take() {
            let _ = notify::tell(&run.ear, ShimCommand::Forget.to_message().as_bytes());
            self.by_handle.remove(&run.handle);
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
            // Nothing is left that it would wait for.
            self.take_out(name);
        }
        self.advance_shutdown();
    }

    /// Takes in what a former supervisor left running (5.9). To be done before anything is started.
    pub(super) fn adopt_all(&mut self) {
        match once_readable(|| self.runs.read_jobs()) {
            Ok(Some(text)) => self.jobs = JobNumbers::parse(&text, |name| self.procs.contains_key(name)),
            Ok(None) => {}
            Err(error) => self.log.warn(&format!("warning: the numbers of jobs begin anew: {error}")),
        }
        let handles = match once_readable(|| self.runs.list()) {
            Ok(handles) => handles,
            Err(error) => {
                self.log.error(&format!("lost: cannot read the folder of runs: {error}"));
                return;
            }
        };
        let began = sys::now().mono;
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        'handles: for handle in handles {
            let found = loop {
                let run = match once_readable(|| self.written(&handle)) {
                    Ok(Some(run)) => run,
                    Ok(None) => break None,
                    Err(error) => {
                        let (folder, what) = (self.runs.path().display(), "what it tells of may run a second time");
                        self.log.error(&format!("lost: cannot read run {handle} in {folder}: {error}; {what}"));
                        continue 'handles;
                    }
                };
                let starts = matches!(run.phase, Phase::Starting) && !process::gone(run.shim);
                // It will run in a moment, or give up, as its supervisor is gone.
                if !starts || sys::now().mono.saturating_sub(began) > SETTLE {
                    break Some(run);
                }
                sys::pause(SETTLE_STEP);
            };
            match found {
                Some(run) if run.boot == self.boot => {
                    // A process that cannot be looked at now may live: it is watched, and its end shows later.
                    let lives = match run.phase {
                        Phase::Starting => !process::gone(run.shim),
                        Phase::Running { command, .. } => !process::gone(run.shim) || !process::gone(command),
                        Phase::Failed { .. } | Phase::Ended { .. } => false,
                    };
                    if lives { &mut live } else { &mut ended }.push((handle, run));
                }
                // Of another boot: nothing of it is left.
                Some(_) | None => self.runs.remove(&handle),
            }
        }
        // What is left of a run that has ended must not take the place of one that lives.
        for (handle, run) in live.into_iter().chain(ended) {
            self.adopt(&handle, run);
        }
    }

    fn adopt(&mut self, handle: &str, run: Run) {
        let shim_lives = !process::gone(run.shim);
        let (command, since) = match run.phase {
            Phase::Running { command, since } => (Some(command), since),
            Phase::Starting => (None, sys::now()),
            Phase::Ended { command, leftover, .. } if leftover > 0 => return self.adopt_group(handle, &run, command),
            Phase::Failed { .. } | Phase::Ended { .. } => {
                if !shim_lives {
                    self.runs.remove(handle);
                }
                return;
            }
        };
        // It may have ended together with its shim.
        let ended = command.filter(|command| !shim_lives && process::gone(*command));
        let command = command.filter(|_| ended.is_none());
        if command.is_none() && !shim_lives {
            self.log.warn(&format!("lost: {}: it ended while nobody supervised it", run.process));
            match ended {
                Some(command) => self.adopt_group(handle, &run, command),
                None => self.runs.remove(handle),
            }
            return;
        }
        let name = process_name(&run).to_owned();
        let orphans = self.config.server.orphans;
        let known = self.procs.get(&name).filter(|proc| proc.run.is_none());
        let survivor = match (known, orphans) {
            (_, Orphans::Leave) => Survivor::Leave,
            (None, Orphans::Adopt | Orphans::Stop) => Survivor::Stop(StopWhy::Remove),
            (Some(_), Orphans::Stop) => Survivor::Stop(StopWhy::Survivor),
            (Some(proc), Orphans::Adopt) if proc.spec.version() != run.version => Survivor::Stop(StopWhy::Reload),
            (Some(_), Orphans::Adopt) => Survivor::Adopt,
        };
        let name = match known {
            Some(_) => name,
            None => self.insert_ghost(&run, &name),
        };
        // Of a start that is to be left alone all that is known is who makes it.
        let command = command.or_else(|| (survivor == Survivor::Leave).then_some(run.shim));
        let Some(proc) = self.procs.get_mut(&name) else { return };
        proc.task = run.task;
        proc.start = since.wall.secs();
        let mut current = Current::taken_over(&run);
        if let Some(command) = command {
            (current.command, current.told) = (Some(command), RunNews::Started);
        }
        current.orphan = !shim_lives;
        proc.run = Some(current);
        self.by_handle.insert(handle.to_owned(), name.clone());
        self.number(&name);
        let watched = match command.filter(|_| !shim_lives) {
            None => (Watched::Shim(handle.to_owned()), run.shim),
            Some(command) => (Watched::Command(handle.to_owned()), command),
        };
        match (command, survivor) {
            (Some(command), _) => {
                let age = sys::now().mono.saturating_sub(since.mono);
                let _ = self.feed(&name, Event::Adopted { pid: command.pid, age, survivor });
            }
            (None, _) => self.adopt_start(handle, &name, survivor),
        }
        match process::open(watched.1) {
            Ok(Some(fd)) => self.to_watch.push((watched.0, fd)),
            // It ended just now.
            Ok(None) if shim_lives => self.shim_gone(handle, None),
            Ok(None) => self.command_gone(handle),
            Err(_) => self.unwatched.push(handle.to_owned()),
        }
        // What it wrote between the first look and now.
        self.heard(handle);
        if survivor == Survivor::Adopt {
            // It has the policy of its start.
            self.tell_policy(&name);
        }
    }

    /// What is left of the group of a run that has ended, whose shim may be about to end it, or gone. Where the
    /// configuration says so it is brought to an end before anything of the process starts again; else it is counted.
    fn adopt_group(&mut self, handle: &str, run: &Run, command: Process) {
        let name = process_name(run).to_owned();
        let shim_lives = !process::gone(run.shim);
        let mut current = Current::taken_over(run);
        (current.command, current.told) = (Some(command), RunNews::Ended);
        // Long after the end of all of them the number may be another's, so they must say whose they are.
        let is_of_it = |member: &Process| {
            let is = |variable, value: &str| {
                process::variable(member.pid, variable).is_some_and(|is| is == value.as_bytes())
            };
            shim_lives || is(PROCESS_NAME, &name) && is(GROUP_NAME, &run.group)
        };
        let left: Vec<Process> =
            once_readable(|| current.group()).unwrap_or_default().into_iter().filter(is_of_it).collect();
        let leftover = u32::try_from(left.len()).unwrap_or(u32::MAX);
        current.leftover = leftover;
        let is_left_alone = self.config.server.orphans == Orphans::Leave;
        match self.procs.get_mut(&name) {
            Some(_) if left.is_empty() => {}
            Some(proc) if is_left_alone || !proc.machine.policy().kills_group() || proc.run.is_some() => {
                proc.leave_alone(left);
                self.log.warn(&format!("warning: {name}: {leftover} of the group of a former run are still alive"));
            }
            Some(proc) => {
                proc.task = run.task;
                proc.run = Some(current);
                self.by_handle.insert(handle.to_owned(), name.clone());
                let _ = self.feed(&name, Event::LeftBehind { leftover });
                return self.watch_shim(handle, run.shim);
            }
            // Nobody is configured who would have it.
            None if shim_lives && !is_left_alone => {
                let word = ShimCommand::Signal { signal: Signal::KILL, group: true, why: None };
                let _ = notify::tell(&run.ear, word.to_message().as_bytes());
            }
            None => {}
        }
        if !shim_lives {
            self.runs.remove(handle);
        }
    }

    /// Takes over a start that goes on and on: as if we had begun it. Another run beside it would be one too many as
    /// soon as it gets to its exec.
    fn adopt_start(&mut self, handle: &str, name: &str, survivor: Survivor) {
        self.log.warn(&format!("lost: {name}: a former supervisor has begun to start it; that is waited for"));
        let _ = self.feed(name, Event::StartAsked);
        self.starts.cancel(name);
        self.starts.taken_over(handle, name, sys::now().mono);
        if let Survivor::Stop(why) = survivor {
            let _ = self.feed(name, Event::StopAsked { why, now: false });
        }
    }

    /// A process that is not configured any more, for as long as it lives.
    fn insert_ghost(&mut self, run: &Run, name: &str) -> String {
        let mut spec = ProgramSpec::unconfigured(name, &run.program, &run.group);
        // Another run of a process that has one: it must not take its name.
        let mut number = 2;
        while self.procs.contains_key(&spec.name) {
            spec.name = format!("{name}#{number}");
            number += 1;
        }
        let name = spec.name.clone();
        self.insert(spec, false);
        if let Some(proc) = self.procs.get_mut(&name) {
            proc.removing = true;
        }
        name
    }

    /// Whether a process is paused by a signal.
    pub(super) fn paused(&self, name: &str) -> Option<Signal> {
        let proc = self.procs.get(name).filter(|proc| proc.machine.state() != ProcState::Stopped)?;
        let command: Process = proc.run.as_ref()?.command?;
        let stat = process::stat(command.pid)?;
        (stat.process == command && stat.stopped).then_some(Signal(19))
    }
}
