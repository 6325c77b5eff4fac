//! The command line of `supervise`: the supervisor itself without an action, its client with one.
//!
//! [`SuperviseArgs::role`] chooses between them from the arguments alone. This module reads no file and sends no
//! request.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgGroup, Args, Command as Clap, CommandFactory, Error, FromArgMatches, Parser, Subcommand,
    ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
    error::ErrorKind,
};
use clap_complete::Shell;

use crate::model::{
    config::Overrides,
    jobs::{Form, Which},
    program::{Level, ServerUrl},
    task::Signal,
    wire::{
        Channel, Code, Command, EventFilter, EventKind, Last, NameKind, PidOf, ReloadOf, Response, ResultItem,
        SignalTo, Targets, WireError,
    },
};

/// Keep programs running: start the supervisor or, with an action, send a request to it
///
/// Without an action, the supervisor starts: it reads a configuration file and goes into the background. With an
/// action, a client sends a request through the supervisor's socket.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "supervise",
    version,
    disable_version_flag = true,
    disable_help_flag = true,
    subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions",
    override_usage = "supervise [OPTIONS]\n       supervise [--serverurl URL|--socket PATH] [-c FILE] [--json] ACTION …",
    after_help = "NAME is a process or a program, group:process, group:* for all of a group, a pattern with * and ?, or all. \
        Exit codes of actions: 0 success, or already in that state; 1 failure; 2 bad usage or no such group; 3 status: \
        not all processes are up; 4 no response; 5 protocol mismatch; 7 not running or failed to start."
)]
pub struct SuperviseArgs {
    /// Configuration file [default: ./taskmaster.conf.toml, else ../taskmaster.conf.toml]
    #[arg(short = 'c', long, global = true, value_name = "FILE", visible_alias = "config")]
    pub configuration: Option<PathBuf>,

    /// Print help
    // Listed after the options of each action.
    #[arg(short = 'h', short_alias = '?', long, global = true, action = ArgAction::Help, display_order = 900)]
    pub help: Option<bool>,

    /// Print version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version, display_order = 901)]
    pub version: Option<bool>,

    /// Address of the supervisor: unix:///path or http://host:port [default: from the configuration file, else
    /// unix:///tmp/taskmaster.sock]
    #[arg(long, global = true, value_name = "URL", help_heading = "Options of actions")]
    pub serverurl: Option<ServerUrl>,

    /// Path of the supervisor's socket, instead of --serverurl
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "serverurl", help_heading = "Options of actions")]
    pub socket: Option<PathBuf>,

    /// Print the supervisor's raw JSON response
    #[arg(long, global = true, help_heading = "Options of actions")]
    pub json: bool,

    /// Options of the supervisor itself
    #[command(flatten)]
    pub daemon: DaemonOptions,

    /// Action of the client; none starts the supervisor
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// Options of the supervisor itself; they override the configuration file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of the supervisor")]
pub struct DaemonOptions {
    /// Stay in the foreground
    #[arg(short = 'n', long)]
    pub nodaemon: bool,
    /// Run as this user
    #[arg(short = 'u', long, value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Umask in octal
    #[arg(short = 'm', long, value_name = "OCTAL", value_parser = umask)]
    pub umask: Option<u32>,
    /// Change to this folder when going into the background
    #[arg(short = 'd', long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// File of the activity log, or "none" for no log
    #[arg(short = 'l', long, value_name = "FILE")]
    pub logfile: Option<PathBuf>,
    /// Level of the activity log: crit, error, warn, info, debug, trace
    #[arg(short = 'e', long, value_name = "LEVEL")]
    pub loglevel: Option<Level>,
    /// File to write the process id to
    #[arg(short = 'j', long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Name of this supervisor
    #[arg(short = 'i', long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub identifier: Option<String>,
    /// Number of file descriptors that must be available
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub minfds: Option<u64>,
    /// Number of processes that must be available
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub minprocs: Option<u64>,
    /// Path of the database of tasks
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// Only check the configuration: exit with 0 if it is valid, 2 if not
    #[arg(long)]
    pub check: bool,
    /// With --check: print the configuration with all defaults filled in and environment values masked
    #[arg(long, requires = "check")]
    pub dump: bool,
}

fn umask(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| u32::from_str_radix(digits, 8).ok()).flatten();
    value.filter(|value| *value <= 0o777).ok_or_else(|| "not an octal number from 0 to 777".to_owned())
}

/// What the program runs as, according to the command line.
#[derive(Debug, Clone)]
pub enum Role {
    /// The supervisor.
    Daemon(DaemonArgs),
    /// A check of the supervisor's configuration.
    Check(DaemonArgs),
    /// A client.
    Client(ClientArgs),
    /// A web server without a supervisor.
    Web(WebArgs),
}

/// The supervisor's arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonArgs {
    /// Configuration file; `None` for the first default path that exists.
    pub file: Option<PathBuf>,
    /// Options that override the configuration file.
    pub overrides: Overrides,
    /// Whether a check prints the complete configuration.
    pub dump: bool,
}

/// A client's arguments.
#[derive(Debug, Clone)]
pub struct ClientArgs {
    /// Address of the supervisor; `None` for the address in the configuration file.
    pub serverurl: Option<ServerUrl>,
    /// Configuration file; `None` for the first default path that exists.
    pub file: Option<PathBuf>,
    /// Whether raw JSON responses are printed.
    pub json: bool,
    /// The action.
    pub action: Action,
    /// Whether the shell starts after the action.
    pub then_shell: bool,
}

/// Option of actions that starts the shell after the action.
const INTERACTIVE: &str = "interactive";

impl SuperviseArgs {
    /// Parses a command line.
    ///
    /// # Errors
    /// A usage error, or the requested help or version text; both are printed by clap.
    pub fn read(argv: impl IntoIterator<Item = OsString>) -> Result<Role, Error> {
        let matches = definition().try_get_matches_from(normalize(argv))?;
        let is_set = |action: &clap::ArgMatches| action.try_get_one(INTERACTIVE).ok().flatten() == Some(&true);
        let then_shell = matches.subcommand().is_some_and(|(_, action)| is_set(action));
        let args = SuperviseArgs::from_arg_matches(&matches).map_err(|error| error.format(&mut definition()))?;
        Ok(match args.role()? {
            Role::Client(args) => Role::Client(ClientArgs { then_shell, ..args }),
            other => other,
        })
    }

    /// Returns what the program runs as.
    ///
    /// # Errors
    /// A usage error if an option does not belong to the role.
    pub fn role(self) -> Result<Role, Error> {
        let misplaced = |text: String| SuperviseArgs::command().error(ErrorKind::ArgumentConflict, text);
        let DaemonOptions { check, dump, .. } = self.daemon;
        let options = [self.daemon.first(), check.then_some("--check")].into_iter().flatten().next();
        let Some(action) = self.action else {
            let clients =
                [("--serverurl", self.serverurl.is_some()), ("--socket", self.socket.is_some()), ("--json", self.json)];
            if let Some((option, _)) = clients.into_iter().find(|(_, given)| *given) {
                return Err(misplaced(format!("{option} needs an action")));
            }
            let args = DaemonArgs { file: self.configuration, overrides: self.daemon.overrides(), dump };
            return Ok(if check { Role::Check(args) } else { Role::Daemon(args) });
        };
        if let Some(option) = options {
            return Err(misplaced(format!("{option} is for the supervisor itself and cannot be used with an action")));
        }
        if let Action::Web(web) = action {
            let others = [
                ("--serverurl", self.serverurl.is_some()),
                ("--json", self.json),
                ("--configuration", self.configuration.is_some()),
                ("--listen", web.listen.is_some() && self.socket.is_some()),
            ];
            if let Some((option, _)) = others.into_iter().find(|(_, given)| *given) {
                let with = if option == "--listen" { " and --socket" } else { "" };
                return Err(misplaced(format!("{option} cannot be used with web{with}")));
            }
            return Ok(Role::Web(web.args(self.socket)));
        }
        let serverurl = self.serverurl.or_else(|| self.socket.map(ServerUrl::Unix));
        Ok(Role::Client(ClientArgs { serverurl, file: self.configuration, json: self.json, action, then_shell: false }))
    }
}

impl DaemonOptions {
    /// Returns the first given option that configures the supervisor; `--check` and `--dump` do not count.
    fn first(&self) -> Option<&'static str> {
        let given = [
            ("--nodaemon", self.nodaemon),
            ("--user", self.user.is_some()),
            ("--umask", self.umask.is_some()),
            ("--directory", self.directory.is_some()),
            ("--logfile", self.logfile.is_some()),
            ("--loglevel", self.loglevel.is_some()),
            ("--pidfile", self.pidfile.is_some()),
            ("--identifier", self.identifier.is_some()),
            ("--minfds", self.minfds.is_some()),
            ("--minprocs", self.minprocs.is_some()),
            ("--db", self.db.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// Returns the options that override the configuration file.
    pub fn overrides(self) -> Overrides {
        Overrides {
            nodaemon: self.nodaemon,
            user: self.user,
            umask: self.umask,
            directory: self.directory,
            logfile: self.logfile,
            loglevel: self.loglevel,
            pidfile: self.pidfile,
            identifier: self.identifier,
            minfds: self.minfds,
            minprocs: self.minprocs,
            database: self.db,
        }
    }
}

/// Action of a client.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// Show the status of processes
    Status(NamesArg),
    /// Start processes
    Start(StartArgs),
    /// Stop processes
    Stop(Stop),
    /// Stop processes and start them again
    Restart(Restart),
    /// Read the configuration again and apply the changes
    Reload(Reload),
    /// Print what a reload would change
    Reread,
    /// Reload only the given programs and groups
    Update(NamesArg),
    /// Add programs or groups that are new in the configuration
    Add(SomeNames),
    /// Remove programs or groups from the supervisor
    Remove(Remove),
    /// Stop the supervisor and all of its processes
    Shutdown(Shutdown),
    /// Send a signal to processes
    Signal(SendSignal),
    /// Print process ids; without a name, the process id of the supervisor
    Pid(NamesArg),
    /// Print the last output of a process
    Tail(Tail),
    /// Print the end of the activity log
    Maintail(Maintail),
    /// Empty the logs of processes
    Clear(SomeNames),
    /// Print the output of a process until it ends or until Ctrl-C, which does not affect the process
    Fg(Fg),
    /// Write a line to the standard input of a process
    Send(Send),
    /// List the processes in the configuration
    Avail,
    /// Print the version of the supervisor
    Version,
    /// List the ended runs of a process, newest first
    History(History),
    /// Print events as they happen, one per line; with --json, one JSON object per line
    Subscribe(Subscribe),
    /// List jobs: processes with their job numbers
    Jobs(Jobs),
    /// Stop supervising processes, leaving them running
    Disown(Disown),
    /// Serve the tasks of a database as web pages, without a supervisor
    Web(Web),
    /// Run actions line by line, with completion and job control
    Shell(ShellArgs),
    /// Print shell completions
    Completions(Completions),
}

/// Optional names of processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamesArg(pub Option<Targets>);

/// Required names of processes: all processes are selected only by the name `all`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeNames(pub Targets);

/// Adds `NAME…`, `--program NAME`, `--group NAME` and `--process NAME`, of which only one may be used.
fn name_args(command: Clap, is_required: bool) -> Clap {
    let arg = |id: &'static str| Arg::new(id).value_name("NAME").value_parser(NonEmptyStringValueParser::new());
    let option = |id: &'static str, help: &'static str| arg(id).long(id).action(ArgAction::Append).help(help);
    let names = arg("names").num_args(1..).action(ArgAction::Append).help("Processes, programs, group:*, or all");
    command
        .arg(names)
        .arg(option("program", "Select all processes of this program"))
        .arg(option("group", "Select all processes of this group"))
        .arg(option("process", "Select this process"))
        .group(
            ArgGroup::new("which").args(["names", "program", "group", "process"]).required(is_required).multiple(false),
        )
}

fn targets_of(matches: &clap::ArgMatches) -> Option<Targets> {
    let named = |id: &str, kind| {
        let names: Vec<String> = matches.get_many::<String>(id)?.cloned().collect();
        Some(Targets::Named { kind, names })
    };
    let plain = named("names", NameKind::Process).map(all_if_named);
    plain
        .or_else(|| named("program", NameKind::Program))
        .or_else(|| named("group", NameKind::Group))
        .or_else(|| named("process", NameKind::Process))
}

/// Selects all processes if `all` is among the names. `all` cannot be the name of a process.
fn all_if_named(targets: Targets) -> Targets {
    match targets {
        Targets::Named { names, .. } if names.iter().any(|name| name == "all") => Targets::All,
        other => other,
    }
}

impl Args for NamesArg {
    fn augment_args(command: Clap) -> Clap {
        name_args(command, false)
    }

    fn augment_args_for_update(command: Clap) -> Clap {
        name_args(command, false)
    }
}

impl FromArgMatches for NamesArg {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<NamesArg, Error> {
        Ok(NamesArg(targets_of(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), Error> {
        NamesArg::from_arg_matches(matches).map(|names| *self = names)
    }
}

impl Args for SomeNames {
    fn augment_args(command: Clap) -> Clap {
        name_args(command, true)
    }

    fn augment_args_for_update(command: Clap) -> Clap {
        name_args(command, true)
    }
}

impl FromArgMatches for SomeNames {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<SomeNames, Error> {
        targets_of(matches).map(SomeNames).ok_or_else(|| Error::new(ErrorKind::MissingRequiredArgument))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), Error> {
        SomeNames::from_arg_matches(matches).map(|names| *self = names)
    }
}

/// Arguments of `start`.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// Selected processes
    #[command(flatten)]
    pub names: SomeNames,
    /// Wait until each process runs or has used up its retries, instead of only for the first attempt
    #[arg(long, conflicts_with = "no_wait")]
    pub until_settled: bool,
    /// Send the request and return without waiting for completion
    #[arg(long)]
    pub no_wait: bool,
}

/// Arguments of `stop`.
#[derive(Debug, Clone, Args)]
pub struct Stop {
    /// Selected processes
    #[command(flatten)]
    pub names: SomeNames,
    /// Send SIGKILL immediately
    #[arg(long)]
    pub now: bool,
    /// Send the request and return without waiting for completion
    #[arg(long)]
    pub no_wait: bool,
    /// Skip the confirmation in the shell
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Arguments of `restart`.
#[derive(Debug, Clone, Args)]
pub struct Restart {
    /// Selected processes
    #[command(flatten)]
    pub names: SomeNames,
    /// Send the request and return without waiting for completion
    #[arg(long)]
    pub no_wait: bool,
    /// Skip the confirmation in the shell
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Clone, Args)]
pub struct Reload {
    /// Selected processes
    #[command(flatten)]
    pub names: NamesArg,
    /// Reload only the supervisor's own settings
    #[arg(long, group = "section", conflicts_with = "which")]
    pub server: bool,
    /// Reload only the settings of the socket
    #[arg(long, group = "section", conflicts_with = "which", visible_alias = "unix-http-socket")]
    pub unix_http_server: bool,
    /// Reload only the settings of the port
    #[arg(long, group = "section", conflicts_with = "which")]
    pub inet_http_server: bool,
    /// Reload only the settings of the client
    #[arg(long, group = "section", conflicts_with = "which")]
    pub client: bool,
    /// Print what would change, without applying it
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `remove`.
#[derive(Debug, Clone, Args)]
pub struct Remove {
    /// Selected processes
    #[command(flatten)]
    pub names: SomeNames,
    /// Stop the processes first
    #[arg(long)]
    pub stop: bool,
}

/// Arguments of `shutdown`.
#[derive(Debug, Clone, Args)]
pub struct Shutdown {
    /// Leave the processes running, to be taken over by the next supervisor
    #[arg(long)]
    pub leave_running: bool,
    /// Send the request and return without waiting for completion
    #[arg(long)]
    pub no_wait: bool,
    /// Skip the confirmation in the shell
    #[arg(short = 'y', long)]
    pub yes: bool,
}

/// Arguments of `signal`.
#[derive(Debug, Clone, Args)]
pub struct SendSignal {
    /// Signal: a name such as HUP or SIGHUP, or a number
    #[arg(value_name = "SIG")]
    pub signal: String,
    /// Processes, programs, group:*, or all
    #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub names: Vec<String>,
    /// Send the signal to the whole process group of each process
    #[arg(long)]
    pub group: bool,
}

/// Arguments of `tail`.
#[derive(Debug, Clone, Args)]
pub struct Tail {
    /// Name of the process
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Log to print
    #[arg(default_value = "stdout")]
    pub channel: Channel,
    /// Part of the log to print
    #[command(flatten)]
    pub how: TailArgs,
    /// Print the log of the run with this task number: both streams, with timestamps
    #[arg(long, value_name = "TASK", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "channel")]
    pub run: Option<i64>,
}

/// Arguments of `maintail`.
#[derive(Debug, Clone, Args)]
pub struct Maintail {
    /// Part of the log to print
    #[command(flatten)]
    pub how: TailArgs,
}

/// Part of a log to print, and its format.
#[derive(Debug, Clone, Args)]
pub struct TailArgs {
    /// Keep printing new output
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Print the last N bytes (short form: -N) [default: 1600]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub bytes: Option<u64>,
    /// Print the last N lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64), conflicts_with = "bytes")]
    pub lines: Option<u64>,
    /// Print all bytes unchanged, even to a terminal
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

impl TailArgs {
    fn last(&self) -> Last {
        let bytes = self.bytes.map(Last::Bytes);
        bytes.or(self.lines.map(Last::Lines)).unwrap_or_default()
    }
}

/// Arguments of `fg`.
#[derive(Debug, Clone, Args)]
pub struct Fg {
    /// Name of the process
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Print all bytes unchanged, even to a terminal
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// Arguments of `send`.
#[derive(Debug, Clone, Args)]
pub struct Send {
    /// Name of the process
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Line to send
    #[arg(allow_hyphen_values = true)]
    pub text: String,
    /// Omit the newline at the end
    #[arg(long)]
    pub no_newline: bool,
}

/// Arguments of `history`.
#[derive(Debug, Clone, Args)]
pub struct History {
    /// Name of the process
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Print at most N runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub limit: u64,
}

/// Arguments of `subscribe`.
#[derive(Debug, Clone, Args)]
pub struct Subscribe {
    /// Events to print [default: all]
    #[arg(value_name = "EVENT", value_parser = PossibleValuesParser::new(EventKind::ALL.map(|kind| kind.as_str())))]
    pub events: Vec<String>,
}

/// Arguments of `jobs`.
#[derive(Debug, Clone, Args)]
pub struct Jobs {
    /// Selected processes
    #[command(flatten)]
    pub names: NamesArg,
    /// Include process ids and process group ids
    #[arg(short = 'l', long, conflicts_with = "pids")]
    pub long: bool,
    /// Print only process ids
    #[arg(short = 'p', long)]
    pub pids: bool,
    /// List only running jobs
    #[arg(short = 'r', long, conflicts_with = "stopped")]
    pub running: bool,
    /// List only jobs paused by a signal
    #[arg(short = 's', long = "stopped")]
    pub stopped: bool,
    /// Run this command locally, with job references such as %1 replaced by process group ids
    #[arg(short = 'x', long, num_args = 1.., value_name = "CMD", allow_hyphen_values = true,
        conflicts_with_all = ["which", "long", "pids", "running", "stopped"])]
    pub exec: Vec<String>,
}

impl Jobs {
    /// Returns which jobs are listed, and in which form.
    pub fn view(&self) -> (Which, Form) {
        let which = match (self.running, self.stopped) {
            (true, _) => Which::Running,
            (false, true) => Which::Stopped,
            (false, false) => Which::All,
        };
        let form = match (self.long, self.pids) {
            (true, _) => Form::Long,
            (false, true) => Form::Pids,
            (false, false) => Form::Short,
        };
        (which, form)
    }
}

/// Arguments of `disown`.
#[derive(Debug, Clone, Args)]
pub struct Disown {
    /// Selected processes
    #[command(flatten)]
    pub names: NamesArg,
    /// Select all processes
    #[arg(short = 'a', long, conflicts_with = "which", required_unless_present_any = ["which", "running"])]
    pub all: bool,
    /// Select only running processes; without a name, all running processes
    #[arg(short = 'r', long)]
    pub running: bool,
}

/// Arguments of `web`.
#[derive(Debug, Clone, Args)]
pub struct Web {
    /// Path of the database of tasks [default: as for control]
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// Address to serve pages on (for a socket: --socket PATH instead) [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT", value_parser = listen)]
    pub listen: Option<Listen>,
    /// Serve other hosts even without a password
    #[arg(long)]
    pub allow_remote: bool,
    /// Require this user name
    #[arg(long, value_name = "NAME", requires = "password_file", value_parser = NonEmptyStringValueParser::new())]
    pub username: Option<String>,
    /// Require the password in this file, which has one line and is readable only by its owner
    #[arg(long, value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// Allow users to end tasks from the page, which is otherwise read-only
    #[arg(long)]
    pub allow_kill: bool,
}

/// Address on which pages are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP port.
    Port {
        /// Host name or address, without brackets; `None` for all addresses of this host.
        host: Option<String>,
        /// Port; 0 for any free port.
        port: u16,
    },
    /// Path of a Unix socket.
    Socket(PathBuf),
}

/// Arguments of `web` with defaults applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebArgs {
    /// Path of the database; `None` for the default of `control`.
    pub db: Option<PathBuf>,
    /// Address on which pages are served.
    pub listen: Listen,
    /// Whether other hosts are served even without a password.
    pub allow_remote: bool,
    /// Required user name; always together with a password.
    pub username: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Whether users can end tasks from the page.
    pub allow_kill: bool,
}

fn listen(text: &str) -> Result<Listen, String> {
    let (host, port) = text.rsplit_once(':').ok_or("no port: specify HOST:PORT, such as 127.0.0.1:8080")?;
    let port = port.parse().map_err(|_| "the port after the last colon is not a number from 0 to 65535")?;
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match inner.unwrap_or(host) {
        "" | "*" => None,
        host if inner.is_none() && host.contains(':') => {
            return Err("IPv6 address without brackets: specify [ADDRESS]:PORT, such as [::1]:8080".into());
        }
        host => Some(host.to_owned()),
    };
    Ok(Listen::Port { host, port })
}

/// Arguments of `shell`.
#[derive(Debug, Clone, Default, Args)]
pub struct ShellArgs {
    /// Exit at the first action that fails, with the exit code of that action, if the input is not a terminal
    #[arg(long)]
    pub strict: bool,
    /// File that stores the typed lines; "" for none [default: from the configuration file, else
    /// /tmp/taskmaster_history.txt, or for root ~/.local/state/taskwatcher/shell_history]
    #[arg(short = 'r', long, value_name = "FILE", value_parser = clap::value_parser!(OsString))]
    pub history: Option<OsString>,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// Shell to generate completions for
    pub shell: Shell,
}

impl ValueEnum for Channel {
    fn value_variants<'a>() -> &'a [Channel] {
        &[Channel::Stdout, Channel::Stderr]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.as_str()))
    }
}

/// How an action is carried out.
#[derive(Debug, Clone)]
pub enum ActionPlan {
    /// Send a request to the supervisor.
    Ask {
        /// Command of the request.
        command: Command,
        /// Whether the client waits for completion.
        wait: bool,
    },
    /// Print this response, equal to the supervisor's, without sending a request.
    Known(Command, Box<Response>),
    /// Run this command locally, with job references replaced by process group ids.
    Local(Vec<String>),
    /// Print shell completions.
    Completions(Shell),
    /// Nothing: the interactive shell and the web server ([`Role::Web`]) are started elsewhere.
    Elsewhere,
}

impl Action {
    /// Returns how the action is carried out.
    pub fn plan(&self) -> ActionPlan {
        let or_all = |names: &NamesArg| names.0.clone().unwrap_or(Targets::All);
        let mut wait = true;
        let command = match self {
            Action::Status(names) => Command::Status(or_all(names)),
            Action::Start(start) => {
                wait = !start.no_wait;
                Command::Start { of: start.names.0.clone(), until_settled: start.until_settled }
            }
            Action::Stop(stop) => {
                wait = !stop.no_wait;
                Command::Stop { of: stop.names.0.clone(), now: stop.now }
            }
            Action::Restart(restart) => {
                wait = !restart.no_wait;
                Command::Restart(restart.names.0.clone())
            }
            Action::Reload(reload) => Command::Reload { of: reload.of(), dry_run: reload.dry_run },
            Action::Reread => Command::Reread,
            Action::Update(names) => Command::Update(or_all(names)),
            Action::Add(names) => Command::Add(names.0.clone()),
            Action::Remove(remove) => Command::Remove { of: remove.names.0.clone(), stop: remove.stop },
            Action::Shutdown(shutdown) => {
                wait = !shutdown.no_wait;
                Command::Shutdown { leave_running: shutdown.leave_running }
            }
            Action::Signal(signal) => return signal.plan(),
            Action::Pid(NamesArg(None)) => Command::Pid(PidOf::Daemon),
            Action::Pid(NamesArg(Some(of))) => Command::Pid(PidOf::Processes(of.clone())),
            Action::Tail(tail) => Command::Tail {
                name: tail.name.clone(),
                channel: tail.channel,
                last: tail.how.last(),
                offset: None,
                follow: tail.how.follow,
                run: tail.run,
            },
            Action::Maintail(tail) => Command::Maintail { last: tail.how.last(), follow: tail.how.follow },
            Action::Clear(names) => Command::Clear(names.0.clone()),
            Action::Fg(fg) => Command::Fg { name: fg.name.clone() },
            Action::Send(send) => {
                let end = if send.no_newline { "" } else { "\n" };
                Command::Send { name: send.name.clone(), data: format!("{}{end}", send.text) }
            }
            Action::Avail => Command::Avail,
            Action::Version => Command::Version,
            Action::History(history) => Command::History { name: history.name.clone(), limit: history.limit },
            Action::Subscribe(subscribe) => {
                // clap accepts only names of events.
                let filter = EventFilter::of(subscribe.events.iter().map(String::as_str)).unwrap_or_default();
                Command::Subscribe(filter)
            }
            Action::Jobs(jobs) if !jobs.exec.is_empty() => return ActionPlan::Local(jobs.exec.clone()),
            Action::Jobs(jobs) => Command::Jobs(or_all(&jobs.names)),
            Action::Disown(disown) => Command::Disown { of: or_all(&disown.names), running: disown.running },
            Action::Shell(_) | Action::Web(_) => return ActionPlan::Elsewhere,
            Action::Completions(completions) => return ActionPlan::Completions(completions.shell),
        };
        ActionPlan::Ask { command, wait }
    }

    /// Whether bytes are printed unchanged, even to a terminal.
    pub fn is_raw(&self) -> bool {
        match self {
            Action::Tail(Tail { how, .. }) | Action::Maintail(Maintail { how }) => how.raw,
            Action::Fg(fg) => fg.raw,
            _ => false,
        }
    }
}

impl Web {
    fn args(self, socket: Option<PathBuf>) -> WebArgs {
        let port = || Listen::Port { host: Some("127.0.0.1".to_owned()), port: 8080 };
        WebArgs {
            db: self.db,
            listen: socket.map(Listen::Socket).or(self.listen).unwrap_or_else(port),
            allow_remote: self.allow_remote,
            username: self.username,
            password_file: self.password_file,
            allow_kill: self.allow_kill,
        }
    }
}

impl Reload {
    fn of(&self) -> ReloadOf {
        match &self.names.0 {
            Some(Targets::Named { kind, names }) => ReloadOf::Named { kind: *kind, names: names.clone() },
            Some(Targets::All) => ReloadOf::All,
            None if self.server => ReloadOf::Server,
            None if self.unix_http_server => ReloadOf::UnixHttpServer,
            None if self.inet_http_server => ReloadOf::InetHttpServer,
            None if self.client => ReloadOf::Client,
            None => ReloadOf::All,
        }
    }
}

impl SendSignal {
    /// Returns the request or, for an unknown signal, the response that the supervisor would send, with an error for
    /// each name.
    fn plan(&self) -> ActionPlan {
        let of = all_if_named(Targets::processes(self.names.clone()));
        let command = |signal| Command::Signal { signal, to: SignalTo::Processes(of), group: self.group };
        match self.signal.parse::<Signal>() {
            Ok(signal) => ActionPlan::Ask { command: command(signal), wait: true },
            Err(_) => {
                let failed = |name: &String| {
                    serde_json::to_value(ResultItem::failed("", name, Code::BadSignal, "bad signal name"))
                        .unwrap_or_default()
                };
                let error = WireError::new(Code::BadSignal, format!("bad signal name: {}", self.signal));
                let error = WireError { details: self.names.iter().map(failed).collect(), ..error };
                ActionPlan::Known(command(Signal::TERM), Box::new(Response::failed(error)))
            }
        }
    }
}

/// Returns the clap definition of the command line, also for completions and manual pages.
pub fn definition() -> Clap {
    // Not a global option, because -i without an action is --identifier.
    let interactive = Arg::new(INTERACTIVE).short('i').long(INTERACTIVE).action(ArgAction::SetTrue);
    let interactive = interactive.help("Start the shell after the action").help_heading("Options of actions");
    SuperviseArgs::command().mut_subcommands(|action| match action.get_name() {
        "shell" | "completions" | "web" => action,
        // No short form: the line to send may be -i.
        "send" => action.arg(Arg::new(INTERACTIVE).long(INTERACTIVE).action(ArgAction::SetTrue).hide(true)),
        _ => action.arg(interactive.clone()),
    })
}

/// Replaces an argument such as `-1600` of `tail` and `maintail` by `--bytes=1600`, as `supervisorctl` accepts it.
pub fn normalize(argv: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    /// Options whose next argument is a value and so neither the action nor a number of bytes.
    const VALUED: [&str; 8] =
        ["-c", "--configuration", "--config", "--serverurl", "--socket", "--bytes", "--lines", "--run"];
    let argv: Vec<OsString> = argv.into_iter().collect();
    let mut found = Vec::with_capacity(argv.len());
    let (mut action, mut is_value, mut is_over): (Option<OsString>, _, _) = (None, false, false);
    for (at, word) in argv.into_iter().enumerate() {
        let text = word.to_str().unwrap_or_default();
        is_over |= text == "--";
        let digits = text.strip_prefix('-').filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        let is_tail = action.as_ref().is_some_and(|action| action == "tail" || action == "maintail");
        match digits {
            Some(digits) if is_tail && !is_value && !is_over => found.push(format!("--bytes={digits}").into()),
            _ => {
                if at > 0 && action.is_none() && !is_value && !text.starts_with('-') {
                    action = Some(word.clone());
                }
                is_value = !is_value && VALUED.contains(&text);
                found.push(word);
                continue;
            }
        }
        is_value = false;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Role, Error> {
        SuperviseArgs::read(
            ["supervise"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty())).map(OsString::from),
        )
    }

    fn client(line: &str) -> ClientArgs {
        match read(line) {
            Ok(Role::Client(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn command(line: &str) -> Command {
        match client(line).action.plan() {
            ActionPlan::Ask { command, .. } => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn daemon(line: &str) -> DaemonArgs {
        match read(line) {
            Ok(Role::Daemon(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> ErrorKind {
        match read(line) {
            Ok(role) => panic!("{line}: {role:?}"),
            Err(error) => {
                assert_eq!(error.exit_code(), 2, "{line}: {error}");
                error.kind()
            }
        }
    }

    #[test]
    fn help_is_listed_after_the_other_options_of_each_action() {
        let mut definition = definition();
        definition.build();
        for action in definition.get_subcommands_mut() {
            let help = action.render_help().to_string();
            let Some((_, options)) = help.split_once("\nOptions:\n") else { continue };
            let section = options.split("\n\n").next().unwrap_or_default();
            let names: Vec<&str> = section.lines().filter(|line| line.trim_start().starts_with('-')).collect();
            assert!(names.last().is_some_and(|name| name.contains("--help")), "{section}");
        }
    }

    #[test]
    fn the_definition_passes_the_checks_of_clap() {
        definition().debug_assert();
    }

    #[test]
    fn interactive_starts_the_shell_after_an_action() {
        assert!(client("status -i").then_shell);
        assert!(client("stop --interactive x --now").then_shell);
        assert!(!client("status").then_shell);
        assert_eq!(command("send x -i"), Command::Send { name: "x".into(), data: "-i\n".into() });
        let Action::Shell(shell) = client("shell --strict -r f").action else { panic!() };
        assert_eq!((shell.strict, shell.history), (true, Some("f".into())));
        refused("shell -i");
    }

    #[test]
    fn options_of_the_supervisor_are_parsed_into_overrides() {
        assert_eq!(daemon(""), DaemonArgs::default());
        let all = daemon("-c f -n -u bob -m 027 -d /d -l none -e WARN -j p -i id --minfds 9 --minprocs 8 --db t.db");
        let expected = Overrides {
            nodaemon: true,
            user: Some("bob".into()),
            umask: Some(0o27),
            directory: Some("/d".into()),
            logfile: Some("none".into()),
            loglevel: Some(Level::Warn),
            pidfile: Some("p".into()),
            identifier: Some("id".into()),
            minfds: Some(9),
            minprocs: Some(8),
            database: Some("t.db".into()),
        };
        assert_eq!(all, DaemonArgs { file: Some("f".into()), overrides: expected, dump: false });
        assert!(matches!(read("--check -c f"), Ok(Role::Check(DaemonArgs { dump: false, .. }))));
        assert!(matches!(read("--check --dump -n"), Ok(Role::Check(DaemonArgs { dump: true, .. }))));
        for line in
            ["-m 888", "-m 1000", "-m +7", "-e loud", "--minfds 0", "--dump", "--unknown", "word", "-u", "-m -1"]
        {
            refused(line);
        }
        for (line, kind) in [
            ("-h", ErrorKind::DisplayHelp),
            ("-?", ErrorKind::DisplayHelp),
            ("--help", ErrorKind::DisplayHelp),
            ("start -?", ErrorKind::DisplayHelp),
            ("-v", ErrorKind::DisplayVersion),
            ("--version", ErrorKind::DisplayVersion),
        ] {
            let error = read(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 0), "{line}");
        }
    }

    #[test]
    fn options_of_the_supervisor_and_of_actions_conflict() {
        for line in ["--json", "--socket s", "--serverurl unix:///s", "-n status", "--check status", "--db x stop all"]
        {
            assert_eq!(refused(line), ErrorKind::ArgumentConflict, "{line}");
        }
        let args = client("-c f --json status --socket /s");
        assert_eq!((args.file, args.json), (Some("f".into()), true));
        assert_eq!(args.serverurl, Some(ServerUrl::Unix("/s".into())));
        assert_eq!(
            client("--serverurl http://h:1 status").serverurl,
            Some(ServerUrl::Http { host: "h".into(), port: 1 })
        );
        refused("--socket a --serverurl unix:///b status");
        refused("--serverurl /tmp/x status");
    }

    #[test]
    fn web_takes_its_own_options_only() {
        let web = |line: &str| match read(line) {
            Ok(Role::Web(args)) => args,
            other => panic!("{line}: {other:?}"),
        };
        let port = |host: Option<&str>, port| Listen::Port { host: host.map(str::to_owned), port };
        assert_eq!(web("web").listen, port(Some("127.0.0.1"), 8080));
        assert_eq!(web("web --listen :0").listen, port(None, 0));
        assert_eq!(web("web --listen [::1]:80").listen, port(Some("::1"), 80));
        assert_eq!(web("web --socket /s --db d").listen, Listen::Socket("/s".into()));
        for line in [
            "web x",
            "web --listen 80",
            "web --listen ::1:80",
            "web --listen a:99999",
            "web --username u",
            "web --password-file f",
            "web --socket s --listen :1",
            "web --json",
            "-c f web",
            "--db d web",
        ] {
            refused(line);
        }
    }

    #[test]
    fn actions_that_change_processes_require_a_name() {
        for action in
            ["start", "stop", "restart", "clear", "add", "remove", "signal", "signal HUP", "disown", "tail", "fg"]
        {
            assert_eq!(refused(action), ErrorKind::MissingRequiredArgument, "{action}");
        }
        assert_eq!(command("stop all"), Command::Stop { of: Targets::All, now: false });
        assert_eq!(command("stop a all"), Command::Stop { of: Targets::All, now: false });
        assert_eq!(command("disown -a"), Command::Disown { of: Targets::All, running: false });
        assert_eq!(command("disown -r"), Command::Disown { of: Targets::All, running: true });
        assert_eq!(command("status"), Command::Status(Targets::All));
        assert_eq!(command("pid"), Command::Pid(PidOf::Daemon));
        assert_eq!(command("pid all"), Command::Pid(PidOf::Processes(Targets::All)));
    }

    #[test]
    fn options_select_programs_groups_processes_and_sections() {
        let named =
            |kind, names: &[&str]| Targets::Named { kind, names: names.iter().map(|&name| name.into()).collect() };
        for (line, of) in [
            ("stop a g:b", named(NameKind::Process, &["a", "g:b"])),
            ("stop --process a --process b", named(NameKind::Process, &["a", "b"])),
            ("stop --program a", named(NameKind::Program, &["a"])),
            ("stop --group g", named(NameKind::Group, &["g"])),
            ("stop --program all", named(NameKind::Program, &["all"])),
        ] {
            assert_eq!(command(line), Command::Stop { of, now: false }, "{line}");
        }
        assert_eq!(refused("stop a --group g"), ErrorKind::ArgumentConflict);
        assert_eq!(refused("stop --program a --group g"), ErrorKind::ArgumentConflict);
        let reload = |of| Command::Reload { of, dry_run: false };
        for (line, of) in [
            ("reload", ReloadOf::All),
            ("reload all", ReloadOf::All),
            ("reload --server", ReloadOf::Server),
            ("reload --unix-http-server", ReloadOf::UnixHttpServer),
            ("reload --unix-http-socket", ReloadOf::UnixHttpServer),
            ("reload --inet-http-server", ReloadOf::InetHttpServer),
            ("reload --client", ReloadOf::Client),
            ("reload --program x", ReloadOf::Named { kind: NameKind::Program, names: vec!["x".into()] }),
        ] {
            assert_eq!(command(line), reload(of), "{line}");
        }
        assert_eq!(command("reload --dry-run"), Command::Reload { of: ReloadOf::All, dry_run: true });
        refused("reload --server --client");
        refused("reload --server x");
    }

    #[test]
    fn actions_become_commands() {
        let tail =
            |last, follow, channel, run| Command::Tail { name: "x".into(), channel, last, offset: None, follow, run };
        let out = Channel::Stdout;
        assert_eq!(command("tail x"), tail(Last::Bytes(1600), false, out, None));
        assert_eq!(command("tail -f x stderr"), tail(Last::Bytes(1600), true, Channel::Stderr, None));
        assert_eq!(command("tail -100 x --run 7"), tail(Last::Bytes(100), false, out, Some(7)));
        assert_eq!(command("-c 5 tail x -0"), tail(Last::Bytes(0), false, out, None));
        assert_eq!(command("tail --lines 5 x stdout"), tail(Last::Lines(5), false, out, None));
        assert_eq!(command("maintail -f -9"), Command::Maintail { last: Last::Bytes(9), follow: true });
        for line in [
            "tail",
            "tail x y",
            "tail x stdout --run 7",
            "tail --bytes -1 x",
            "tail -5 --lines 5 x",
            "tail --bytes 9223372036854775808 x",
        ] {
            refused(line);
        }
        assert_eq!(command("stop --now x"), Command::Stop { of: Targets::processes(["x"]), now: true });
        let start = Command::Start { of: Targets::processes(["x"]), until_settled: true };
        assert_eq!(command("start x --until-settled"), start);
        assert_eq!(command("remove --stop x"), Command::Remove { of: Targets::processes(["x"]), stop: true });
        assert_eq!(command("shutdown --leave-running"), Command::Shutdown { leave_running: true });
        let send = |data: &str| Command::Send { name: "x".into(), data: data.into() };
        assert_eq!(command("send x -y"), send("-y\n"));
        assert_eq!(command("send --no-newline x y"), send("y"));
        assert_eq!(command("history x --limit 3"), Command::History { name: "x".into(), limit: 3 });
        assert_eq!(command("subscribe tick"), Command::Subscribe(EventFilter::of(["tick"]).unwrap()));
        refused("subscribe dropped");
        let signal = |group, names: &[&str]| Command::Signal {
            signal: Signal::HUP,
            to: SignalTo::Processes(Targets::processes(names.iter().copied())),
            group,
        };
        assert_eq!(command("signal sighup a b"), signal(false, &["a", "b"]));
        assert_eq!(command("signal 1 a --group"), signal(true, &["a"]));
        assert!(
            matches!(client("signal NOPE a").action.plan(), ActionPlan::Known(_, response) if response.status == 400)
        );
        assert!(matches!(client("start --no-wait x").action.plan(), ActionPlan::Ask { wait: false, .. }));
        let jobs = |line: &str| matches!(client(line).action.plan(), ActionPlan::Local(words) if words == ["kill", "-9", "%1"]);
        assert!(jobs("jobs -x kill -9 %1"));
        refused("jobs -l -x kill");
        assert!(matches!(read("statsu"), Err(error) if error.kind() == ErrorKind::InvalidSubcommand));
    }
}
