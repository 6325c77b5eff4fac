//! From the command line to a supervisor that could begin to supervise (spec/supervise.md section 5.1).
//!
//! # The order, and where it is not that of DMN-1 to the letter
//! A process cannot fork safely here, so to go into the background means to start our own program again: twice, as
//! fork, setsid, fork would be, so that it leads no session and can get no terminal. That comes before everything that
//! is held (locks, sockets, limits), and after the configuration was read, so that what is wrong in it is said without
//! a second process. The new process reads it again and takes all further steps itself; nothing crosses over but the
//! environment, the directory, and a pipe on which it tells what goes wrong, and at last that it is ready.
//!
//! The pid file is written while we are still root, if we are: its folder often is root's.
//!
//! # If we die here
//! Locks end with us. A pid file or a socket that is left is stale, and the next start replaces it.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use super::load::{self, Where, one_line};
use crate::{
    app::db,
    io::{
        account::{self, AccountError},
        child,
        limits::{self, Limited},
        listener::{self, Bound, SocketOwner, SocketSpec, UnixSocket},
        pidfile::{Pidfile, PidfileError},
        process,
        rundir::{Lock, RunDir},
        store, sys,
    },
    model::{
        config::{Config, Overrides},
        program::{Level, UnixServer},
        shim::Identity,
        task::exit_code,
    },
};

/// The name by which the program knows that it is to leave the session and start the supervisor.
const SESSION: &str = "supervise-session";
/// The name by which it knows that it is the supervisor, in the background.
const DAEMON: &str = "supervise-daemon";
/// How long a supervisor may take to be gone after it was killed or told everybody that it ends.
const LEAVING: Duration = Duration::from_secs(1);
/// How often it is looked whether it is.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// What the command line says to the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonArgs {
    /// `-c`
    pub file: Option<PathBuf>,
    /// What wins over the configuration.
    pub overrides: Overrides,
}

/// Why it does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct BeginError {
    /// All that is wrong, one line each.
    pub lines: Vec<String>,
    /// [`exit_code::USAGE`]: configuration, limits, another supervisor. [`exit_code::FAILED`]: anything else.
    pub code: i32,
}

impl BeginError {
    /// Something is wrong with the machine.
    pub fn new(line: impl ToString) -> BeginError {
        BeginError { lines: vec![one_line(&line.to_string())], code: exit_code::FAILED }
    }

    /// Something is wrong with what was asked for.
    pub fn refused(line: impl ToString) -> BeginError {
        BeginError { code: exit_code::USAGE, ..BeginError::new(line) }
    }
}

impl From<AccountError> for BeginError {
    fn from(error: AccountError) -> BeginError {
        match error {
            AccountError::Unknown(_) | AccountError::Switch(..) => BeginError::refused(error),
            AccountError::Unreadable(..) => BeginError::new(error),
        }
    }
}

impl From<PidfileError> for BeginError {
    fn from(error: PidfileError) -> BeginError {
        match error {
            PidfileError::Taken { .. } => BeginError::refused(error),
            PidfileError::Lock(..) | PidfileError::Write(..) => BeginError::new(error),
        }
    }
}

/// What became of a start.
#[derive(Debug)]
pub enum StartOutcome {
    /// The supervisor runs, as another process: this one has done its part.
    Launched,
    /// This process is the supervisor.
    Begun(Box<Begun>),
}

/// All that a supervisor has when it begins. What is dropped of it is undone: socket, pid file, locks.
#[derive(Debug)]
pub struct Begun {
    /// What is to be run.
    pub config: Config,
    /// What was said before there was a log, for the log: warnings, which were on stderr too, and news.
    pub warnings: Vec<(Level, String)>,
    /// What wins over the configuration, at each reload too.
    pub overrides: Overrides,
    /// Where the configuration is.
    pub where_: Where,
    /// Who it runs as, if it was told to; the switch was made.
    pub user: Option<Identity>,
    /// The socket and where its clients are accepted.
    pub unix: Option<(UnixListener, UnixSocket)>,
    /// Where clients of the port are accepted.
    pub inet: Vec<TcpListener>,
    /// The pid file, written, and its lock.
    pub pidfile: Pidfile,
    /// The folder of runs of the database.
    pub runs: RunDir,
    /// The lock of that folder.
    pub lock: Lock,
    /// The database; absolute.
    pub db: PathBuf,
    /// Whether it is in the background.
    pub daemonized: bool,
    /// Where it tells that it is ready.
    pub ready: ReadyPipe,
}

/// The way to the process that launched us and waits for us (DMN-2); none in the foreground.
#[derive(Debug)]
pub struct ReadyPipe(Option<File>);

impl ReadyPipe {
    /// The one that is our descriptor 0, which is `/dev/null` from now on, as are 1 and 2.
    fn take() -> io::Result<ReadyPipe> {
        let pipe = io::stdin().as_fd().try_clone_to_owned()?;
        child::let_go_of_all_streams();
        Ok(ReadyPipe(Some(File::from(pipe))))
    }

    /// That nobody reads it must not stop a supervisor.
    fn say(&mut self, kind: char, line: &str) {
        if let Some(pipe) = &mut self.0 {
            let _ = pipe.write_all(format!("{kind}{}\n", one_line(line)).as_bytes());
        }
    }

    /// Something that the user should know; in the foreground it is for the caller to print.
    pub fn warn(&mut self, line: &str) {
        self.say('~', line);
    }

    /// We are ready: whoever launched us exits with 0.
    pub fn tell(&mut self) {
        self.say('+', "");
        self.0 = None;
    }

    /// It did not work: whoever launched us says why, and exits with its code. In the foreground that is for the caller.
    pub fn fail(&mut self, failed: &BeginError) {
        failed.lines.iter().for_each(|line| self.say('-', line));
        self.say('!', &failed.code.to_string());
        self.0 = None;
    }
}

/// What a check of the configuration found, if that is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What is doubtful, one line each.
    pub warnings: Vec<String>,
    /// All of it as TOML, without secrets.
    pub dump: String,
}

/// `--check`: reads the configuration and changes nothing (CFG-8).
///
/// # Errors
/// All that is wrong in it.
pub fn check(args: &DaemonArgs) -> Result<Checked, BeginError> {
    let (_, config, warnings) = configuration(args)?;
    Ok(Checked { warnings, dump: config.dump() })
}

/// Starts the supervisor, in the background unless the configuration or the command line wants it in the foreground. In
/// the background it is another process; this one waits until that is ready. To be called before there are threads, and
/// whatever name the program was started by. `warn` prints one line for the user.
///
/// # Errors
/// Why it does not run; nothing is left of it then. Of the process in the background nobody sees the error, but it was
/// told to the one that launched it.
pub fn start(args: &DaemonArgs, warn: &mut dyn FnMut(&str)) -> Result<StartOutcome, BeginError> {
    let name = env::args_os().next().unwrap_or_default();
    if name == SESSION {
        return leave_session().map(|()| StartOutcome::Launched);
    }
    if name == DAEMON {
        child::set_name(c"supervise");
        let mut ready = ReadyPipe::take().map_err(|error| BeginError::new(format!("cannot go on alone: {error}")))?;
        let begun = begin(args, true, &mut |line| ready.warn(line));
        return match begun {
            Ok(begun) => Ok(StartOutcome::Begun(Box::new(Begun { ready, ..begun }))),
            Err(failed) => {
                ready.fail(&failed);
                Err(failed)
            }
        };
    }
    // What is doubtful is said by the process that goes on with it.
    let (place, config, _) = configuration(args)?;
    if config.server.nodaemon {
        return begin(args, false, warn).map(|begun| StartOutcome::Begun(Box::new(begun)));
    }
    // A pipe is empty by now; and a name for a descriptor would mean another file in another process.
    if ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|folder| place.file.starts_with(folder)) {
        let file = place.file.display();
        return Err(BeginError::refused(format!(
            "{file}: it cannot be read again in the background: use a file, or -n"
        )));
    }
    launch(warn).map(|()| StartOutcome::Launched)
}

/// Starts our own program again, apart from this terminal and session, and waits until it is ready.
fn launch(warn: &mut dyn FnMut(&str)) -> Result<(), BeginError> {
    let failed = |error: io::Error| BeginError::new(format!("cannot start in the background: {error}"));
    // What we were started with is not for a process that stays.
    let mut close = child::inherited_descriptors();
    let ignored = process::stat(child::own_pid()).map_or(0, |me| me.ignored);
    let (answer, channel) = io::pipe().map_err(failed)?;
    let channel = OwnedFd::from(channel);
    let null = File::options().write(true).open("/dev/null").map_err(failed)?;
    // Among them was the one of the list itself, whose number is free again.
    close.retain(|fd| ![channel.as_raw_fd(), null.as_raw_fd()].contains(fd));
    let put = [(channel.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
    child::spawn_self(&again(SESSION), &child::environment(&[], &[]), &put, &close, ignored).map_err(failed)?;
    drop(channel);
    let mut lines = Vec::new();
    for line in BufReader::new(answer).lines() {
        let line = line.map_err(failed)?;
        match line.split_at_checked(1) {
            Some(("~", text)) => warn(text),
            Some(("-", text)) => lines.push(text.to_owned()),
            Some(("!", code)) => return Err(BeginError { lines, code: code.parse().unwrap_or(exit_code::FAILED) }),
            Some(("+", _)) => return Ok(()),
            Some(_) | None => {}
        }
    }
    lines.push("the supervisor ended before it was ready".to_owned());
    Err(BeginError { lines, code: exit_code::FAILED })
}

/// The process between: leads a new session, so that the one that it starts does not.
fn leave_session() -> Result<(), BeginError> {
    child::set_name(c"supervise");
    child::new_session();
    let started = child::spawn_self(&again(DAEMON), &child::environment(&[], &[]), &[], &[], 0);
    started.map(drop).map_err(|error| {
        let failed = BeginError::new(format!("cannot start in the background: {error}"));
        if let Ok(mut ready) = ReadyPipe::take() {
            ready.fail(&failed);
        }
        failed
    })
}

/// Our command line under another name.
fn again(name: &str) -> Vec<OsString> {
    std::iter::once(OsString::from(name)).chain(env::args_os().skip(1)).collect()
}

fn configuration(args: &DaemonArgs) -> Result<(Where, Config, Vec<String>), BeginError> {
    let place = Where::find(args.file.as_deref()).map_err(BeginError::refused)?;
    let loaded = load::load(&place, &args.overrides);
    let (config, findings) = loaded.map_err(|lines| BeginError { lines, code: exit_code::USAGE })?;
    Ok((place, config, findings.iter().map(ToString::to_string).collect()))
}

/// The steps of a start, in their order. After one that fails, those before it are undone.
fn begin(args: &DaemonArgs, daemonized: bool, warn: &mut dyn FnMut(&str)) -> Result<Begun, BeginError> {
    let (where_, config, findings) = configuration(args)?;
    let mut warnings = Vec::new();
    let mut say = |line: String| {
        warn(&line);
        warnings.push((Level::Warn, line));
    };
    findings.into_iter().for_each(&mut say);
    let user = config.server.user.as_deref().map(account::identity).transpose()?;
    if user.is_none() && account::own_uid() == 0 {
        say("it runs as root, and so do all programs that name no user: set user in [taskmasterd]".to_owned());
    }
    let before = account::own_uid();
    limit(&config)?;
    let mut pidfile = single(&config, user.as_ref())?;
    load::make_folders(&config, user.as_ref().map(|user| (user.uid, user.gid)))
        .map_err(|lines| BeginError { lines, code: exit_code::FAILED })?;
    let unix = config.unix.as_ref().map(|unix| listen(unix, user.as_ref())).transpose()?;
    let inet = config.inet.as_ref().map(|inet| listener::bind_port(inet.host.as_deref(), inet.port));
    let inet = inet.transpose().map_err(BeginError::refused)?.unwrap_or_default();
    if let Some(bound) = unix.as_ref().filter(|bound| bound.replaced) {
        let line = format!("replaced socket {}, on which nobody listened", bound.socket.path().display());
        warnings.push((Level::Info, one_line(&line)));
    }
    pidfile.write()?;
    if let Some(user) = &user {
        account::switch(user)?;
    }
    settle(&config, daemonized)?;
    load::make_usual_folder(&config).map_err(BeginError::new)?;
    let db = database(&config, user.as_ref().filter(|user| user.uid != before))?;
    let (runs, lock) = claim(&db)?;
    Ok(Begun {
        config,
        warnings,
        overrides: args.overrides.clone(),
        where_,
        user,
        unix: unix.map(|Bound { listener, socket, .. }| (listener, socket)),
        inet,
        pidfile,
        runs,
        lock,
        db,
        daemonized,
        ready: ReadyPipe(None),
    })
}

/// Sees to it that there are enough files and processes for all programs (DMN-8).
fn limit(config: &Config) -> Result<(), BeginError> {
    let wanted = [(Limited::Files, config.server.minfds), (Limited::Processes, config.server.minprocs)];
    let errors = wanted.into_iter().filter_map(|(what, wanted)| limits::ensure(what, wanted).err());
    let lines: Vec<String> = errors.map(|error| error.to_string()).collect();
    if lines.is_empty() { Ok(()) } else { Err(BeginError { lines, code: exit_code::USAGE }) }
}

/// Becomes the only supervisor of this pid file, before anything is touched that may be another one's (DMN-6).
fn single(config: &Config, user: Option<&Identity>) -> Result<Pidfile, BeginError> {
    let path = &config.server.pidfile;
    if let Some(folder) = path.parent().filter(|_| config.server.create_dirs) {
        load::make_folder(folder, user.map(|user| (user.uid, user.gid))).map_err(BeginError::new)?;
    }
    Ok(once_free(|| match Pidfile::lock(path) {
        Err(PidfileError::Taken { .. }) => None,
        done => Some(done),
    })
    .unwrap_or_else(|| Pidfile::lock(path))?)
}

/// Tries to take what another supervisor has, as long as one may take to be gone that was killed or has just said that it
/// ends; none: it has it still.
fn once_free<T>(mut take: impl FnMut() -> Option<T>) -> Option<T> {
    let until = sys::now().mono + LEAVING;
    loop {
        match take() {
            Some(taken) => return Some(taken),
            None if sys::now().mono >= until => return None,
            None => sys::pause(TRY_AGAIN),
        }
    }
}

/// Makes the socket: it belongs to whom the configuration says, else to whom we become, else to us (DMN-1).
pub(super) fn listen(unix: &UnixServer, user: Option<&Identity>) -> Result<Bound, BeginError> {
    UnixSocket::bind(place(unix, user)).map_err(BeginError::refused)
}

/// How the socket is to be.
pub(super) fn place(unix: &UnixServer, user: Option<&Identity>) -> SocketSpec {
    let written = unix.chown.as_ref();
    let written = written.map(|owner| SocketOwner { text: owner.text.clone(), uid: owner.uid, gid: owner.gid });
    let own = || user.map(|user| SocketOwner { text: user.name.clone(), uid: user.uid, gid: Some(user.gid) });
    SocketSpec { path: unix.file.clone(), mode: unix.chmod, owner: written.or_else(own) }
}

/// Goes where it is to be. Without a terminal: to its directory; and what it and its programs make has its umask.
fn settle(config: &Config, daemonized: bool) -> Result<(), BeginError> {
    if let Some(directory) = config.server.directory.as_deref().filter(|_| daemonized) {
        let failed = |error| BeginError::new(format!("cannot change directory to {}: {error}", directory.display()));
        env::set_current_dir(directory).map_err(failed)?;
    }
    child::set_umask(config.server.umask);
    Ok(())
}

/// The database: the one that is written, or else the usual one of the user. `other` is that one, where it is not who
/// started us: the environment is of who did (D7), so its home says nothing.
fn database(config: &Config, other: Option<&Identity>) -> Result<PathBuf, BeginError> {
    match (&config.server.database, other) {
        (Some(path), _) => store::resolve(path).map_err(BeginError::new),
        (None, Some(user)) if env::var_os("TASKWATCHER_DB").is_none_or(|path| path.is_empty()) => {
            let home = account::home(Some(&user.uid.to_string()));
            let home =
                home.ok_or_else(|| BeginError::new(format!("user {} has no home for its database", user.name)))?;
            Ok(db::in_home(&home))
        }
        (None, _) => db::path(None).map_err(BeginError::new),
    }
}

/// Becomes the only supervisor of the database (DMN-6).
fn claim(db: &Path) -> Result<(RunDir, Lock), BeginError> {
    let path = RunDir::beside(db);
    let failed = |error: &dyn std::fmt::Display| {
        BeginError::new(format!(
            "cannot use {}, where the runs of database {} are: {error}",
            path.display(),
            db.display()
        ))
    };
    if let Some(folder) = db.parent() {
        RunDir::make_above(folder).map_err(|error| failed(&error))?;
    }
    let runs = RunDir::open(&path).map_err(|error| failed(&error))?;
    match once_free(|| runs.lock().transpose()).transpose().map_err(|error| failed(&error))? {
        Some(lock) => Ok((runs, lock)),
        None => {
            let pid = runs.holder().map(|pid| format!(", with pid {pid}")).unwrap_or_default();
            let what = format!("another supervisor runs already{pid}: it has database {}", db.display());
            Err(BeginError::refused(what))
        }
    }
}
