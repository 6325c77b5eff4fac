//! The steps from the command line to a supervisor that is ready to supervise.
//!
//! # The order of the steps
//!
//! A process cannot fork safely here, so this program starts itself again to go into the
//! background: twice, like fork, setsid, fork, so that the supervisor leads no session and can get
//! no terminal. That is done before anything is held (locks, sockets, limits), and after the
//! configuration was read, so that errors in it are reported without a second process. The new
//! process reads the configuration again and does all further steps itself. It gets only the
//! environment, the working directory, and a pipe on which it reports errors and finally that it is
//! ready.
//!
//! The pid file is written before root is given up: its folder often belongs to root.
//!
//! # If the process dies here
//!
//! The locks are released. A pid file or socket that stays is stale, and the next start replaces
//! it.

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

/// Program name of the process that leaves the session and starts the supervisor.
const SESSION: &str = "supervise-session";
/// Program name of the supervisor in the background.
const DAEMON: &str = "supervise-daemon";
/// How long a supervisor may take to exit after it was killed or announced its end.
const LEAVING: Duration = Duration::from_secs(1);
/// Interval of checking for that.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// The command line of the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonArgs {
    /// `-c`
    pub file: Option<PathBuf>,
    /// Options that override the configuration.
    pub overrides: Overrides,
}

/// Why the supervisor does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .lines.join("\n"))]
pub struct BeginError {
    /// All errors, one line each.
    pub lines: Vec<String>,
    /// [`exit_code::USAGE`]: configuration, limits, another supervisor. [`exit_code::FAILED`]:
    /// anything else.
    pub code: i32,
}

impl BeginError {
    /// Returns an error of the system.
    pub fn new(line: impl ToString) -> BeginError {
        BeginError { lines: vec![one_line(&line.to_string())], code: exit_code::FAILED }
    }

    /// Returns an error of the user's request.
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

/// The result of a start.
#[derive(Debug)]
pub enum StartOutcome {
    /// The supervisor runs as another process: this one is done.
    Launched,
    /// This process is the supervisor.
    Begun(Box<Begun>),
}

/// All parts of a supervisor at its start. Dropping them undoes them: socket, pid file, locks.
#[derive(Debug)]
pub struct Begun {
    /// The configuration.
    pub config: Config,
    /// Lines from before the log was open: warnings, which were on stderr too, and news.
    pub warnings: Vec<(Level, String)>,
    /// Options that override the configuration, at each reload too.
    pub overrides: Overrides,
    /// The location of the configuration.
    pub where_: Where,
    /// The configured user, if any; the switch was made.
    pub user: Option<Identity>,
    /// The socket and its listener.
    pub unix: Option<(UnixListener, UnixSocket)>,
    /// The listeners of the port.
    pub inet: Vec<TcpListener>,
    /// The written pid file, and its lock.
    pub pidfile: Pidfile,
    /// The run folder of the database.
    pub runs: RunDir,
    /// The lock of that folder.
    pub lock: Lock,
    /// Absolute path of the database.
    pub db: PathBuf,
    /// Whether it runs in the background.
    pub daemonized: bool,
    /// Reports that the supervisor is ready.
    pub ready: ReadyPipe,
}

/// A pipe to the process that started the supervisor and waits for it; none in the foreground.
#[derive(Debug)]
pub struct ReadyPipe(Option<File>);

impl ReadyPipe {
    /// Takes the pipe from descriptor 0, which becomes `/dev/null`, as do 1 and 2.
    fn take() -> io::Result<ReadyPipe> {
        let pipe = io::stdin().as_fd().try_clone_to_owned()?;
        child::release_all_streams();
        Ok(ReadyPipe(Some(File::from(pipe))))
    }

    /// A closed pipe must not stop a supervisor.
    fn say(&mut self, kind: char, line: &str) {
        if let Some(pipe) = &mut self.0 {
            let _ = pipe.write_all(format!("{kind}{}\n", one_line(line)).as_bytes());
        }
    }

    /// Sends a warning for the user; in the foreground the caller prints it.
    pub fn warn(&mut self, line: &str) {
        self.say('~', line);
    }

    /// Reports that the supervisor is ready: the waiting process exits with 0.
    pub fn report_ready(&mut self) {
        self.say('+', "");
        self.0 = None;
    }

    /// Reports a failure: the waiting process prints it and exits with its code. In the foreground
    /// the caller does that.
    pub fn fail(&mut self, failed: &BeginError) {
        failed.lines.iter().for_each(|line| self.say('-', line));
        self.say('!', &failed.code.to_string());
        self.0 = None;
    }
}

/// The result of checking a valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Warnings, one line each.
    pub warnings: Vec<String>,
    /// The whole configuration as TOML, without secrets.
    pub dump: String,
}

/// `--check`: reads the configuration and changes nothing.
///
/// # Errors
/// All errors of the configuration.
pub fn check(args: &DaemonArgs) -> Result<Checked, BeginError> {
    let (_, config, warnings) = configuration(args)?;
    Ok(Checked { warnings, dump: config.dump() })
}

/// Starts the supervisor, in the background unless the configuration or the command line selects
/// the foreground. In the background it is another process, and this one waits until that is ready.
/// To be called before there are threads, under any program name. `warn` prints one line for the
/// user.
///
/// # Errors
/// Why the supervisor does not run; nothing is left of it then. The error of the background process
/// was already reported to the process that started it.
pub fn start(args: &DaemonArgs, warn: &mut dyn FnMut(&str)) -> Result<StartOutcome, BeginError> {
    let name = env::args_os().next().unwrap_or_default();
    if name == SESSION {
        return leave_session().map(|()| StartOutcome::Launched);
    }
    if name == DAEMON {
        child::set_name(c"supervise");
        let mut ready = ReadyPipe::take()
            .map_err(|error| BeginError::new(format!("cannot continue in the background: {error}")))?;
        let begun = begin(args, true, &mut |line| ready.warn(line));
        return match begun {
            Ok(begun) => Ok(StartOutcome::Begun(Box::new(Begun { ready, ..begun }))),
            Err(failed) => {
                ready.fail(&failed);
                Err(failed)
            }
        };
    }
    // Warnings are printed by the process that continues.
    let (place, config, _) = configuration(args)?;
    if config.server.nodaemon {
        return begin(args, false, warn).map(|begun| StartOutcome::Begun(Box::new(begun)));
    }
    // A pipe is already empty, and the name of a descriptor means another file in another process.
    if ["/dev/fd", "/dev/stdin", "/proc"].iter().any(|folder| place.file.starts_with(folder)) {
        let file = place.file.display();
        return Err(BeginError::refused(format!(
            "{file} cannot be read again in the background: use a regular file, or -n"
        )));
    }
    launch(warn).map(|()| StartOutcome::Launched)
}

/// Starts this program again, detached from the terminal and the session, and waits until it is
/// ready.
fn launch(warn: &mut dyn FnMut(&str)) -> Result<(), BeginError> {
    let failed = |error: io::Error| BeginError::new(format!("cannot start in the background: {error}"));
    // Inherited descriptors are not for a process that stays.
    let mut close = child::inherited_descriptors();
    let ignored = process::stat(child::own_pid()).map_or(0, |me| me.ignored);
    let (answer, channel) = io::pipe().map_err(failed)?;
    let channel = OwnedFd::from(channel);
    let null = File::options().write(true).open("/dev/null").map_err(failed)?;
    // The list includes the descriptor of the listing itself, whose number is free again.
    close.retain(|fd| ![channel.as_raw_fd(), null.as_raw_fd()].contains(fd));
    let put = [(channel.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
    child::spawn_self(&argv_as(SESSION), &child::environment(&[], &[]), &put, &close, ignored).map_err(failed)?;
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

/// Runs the intermediate process: it leads a new session, so that the process it starts does not.
fn leave_session() -> Result<(), BeginError> {
    child::set_name(c"supervise");
    child::new_session();
    let started = child::spawn_self(&argv_as(DAEMON), &child::environment(&[], &[]), &[], &[], 0);
    started.map(drop).map_err(|error| {
        let failed = BeginError::new(format!("cannot start in the background: {error}"));
        if let Ok(mut ready) = ReadyPipe::take() {
            ready.fail(&failed);
        }
        failed
    })
}

/// Returns the command line with another program name.
fn argv_as(name: &str) -> Vec<OsString> {
    std::iter::once(OsString::from(name)).chain(env::args_os().skip(1)).collect()
}

fn configuration(args: &DaemonArgs) -> Result<(Where, Config, Vec<String>), BeginError> {
    let place = Where::find(args.file.as_deref()).map_err(BeginError::refused)?;
    let loaded = load::load(&place, &args.overrides);
    let (config, findings) = loaded.map_err(|lines| BeginError { lines, code: exit_code::USAGE })?;
    Ok((place, config, findings.iter().map(ToString::to_string).collect()))
}

/// Does the steps of a start in order. If one fails, those before it are undone.
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
        say("running as root, and so do all programs without a user: set user in [taskmasterd]".to_owned());
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
        let line = format!("replaced stale socket {}", bound.socket.path().display());
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

/// Raises the limits on files and processes as configured.
fn limit(config: &Config) -> Result<(), BeginError> {
    let wanted = [(Limited::Files, config.server.minfds), (Limited::Processes, config.server.minprocs)];
    let errors = wanted.into_iter().filter_map(|(what, wanted)| limits::ensure(what, wanted).err());
    let lines: Vec<String> = errors.map(|error| error.to_string()).collect();
    if lines.is_empty() { Ok(()) } else { Err(BeginError { lines, code: exit_code::USAGE }) }
}

/// Takes the lock of the pid file, before anything is touched that may belong to another
/// supervisor.
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

/// Retries to take a lock for as long as a supervisor that was killed or has announced its end may
/// take to exit. `None` if it is still held.
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

/// Creates the socket. Its owner is the configured one, else the user to switch to, else the
/// current user.
pub(super) fn listen(unix: &UnixServer, user: Option<&Identity>) -> Result<Bound, BeginError> {
    UnixSocket::bind(place(unix, user)).map_err(BeginError::refused)
}

/// Returns path, permissions and owner of the socket.
pub(super) fn place(unix: &UnixServer, user: Option<&Identity>) -> SocketSpec {
    let written = unix.chown.as_ref();
    let written = written.map(|owner| SocketOwner { text: owner.text.clone(), uid: owner.uid, gid: owner.gid });
    let own = || user.map(|user| SocketOwner { text: user.name.clone(), uid: user.uid, gid: Some(user.gid) });
    SocketSpec { path: unix.file.clone(), mode: unix.chmod, owner: written.or_else(own) }
}

/// Changes to the configured directory if in the background, and sets the umask of the supervisor
/// and its programs.
fn settle(config: &Config, daemonized: bool) -> Result<(), BeginError> {
    if let Some(directory) = config.server.directory.as_deref().filter(|_| daemonized) {
        let failed = |error| BeginError::new(format!("cannot change directory to {}: {error}", directory.display()));
        env::set_current_dir(directory).map_err(failed)?;
    }
    child::set_umask(config.server.umask);
    Ok(())
}

/// Returns the database: the configured one, or else the default of the user. `other` is that user
/// if it is not the calling one: the environment, and so its HOME, is then the caller's.
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

/// Takes the lock of the run folder, which makes this process the only supervisor of the database.
fn claim(db: &Path) -> Result<(RunDir, Lock), BeginError> {
    let path = RunDir::beside(db);
    let failed = |error: &dyn std::fmt::Display| {
        BeginError::new(format!("cannot use run folder {} of database {}: {error}", path.display(), db.display()))
    };
    if let Some(folder) = db.parent() {
        RunDir::make_above(folder).map_err(|error| failed(&error))?;
    }
    let runs = RunDir::open(&path).map_err(|error| failed(&error))?;
    match once_free(|| runs.lock().transpose()).transpose().map_err(|error| failed(&error))? {
        Some(lock) => Ok((runs, lock)),
        None => {
            let pid = runs.holder().map(|pid| format!(", with pid {pid}")).unwrap_or_default();
            let what = format!("another supervisor is already running{pid}: it uses database {}", db.display());
            Err(BeginError::refused(what))
        }
    }
}
