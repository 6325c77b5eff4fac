//! The command line of `control`: its verbs in both spellings, and their help.

use std::{collections::HashSet, ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
    error::{ContextKind, ContextValue},
};
use clap_complete::{Shell, generate};

use super::{launch_args::SignalParser, service::KillOptions};
use crate::model::{
    export::ExportCursor,
    proxmox_access::{Fingerprint, Url},
    query::After,
    remote::parse_ssh_host,
    task::{Class, RemoteName, Signal, Status, TaskRef, parse_name, parse_positive_span, parse_span},
};

/// Inspect and control tasks: what is running, its progress, past runs and their failures
///
/// Every verb can be written with or without leading dashes: `control --list` is the same as `control list`.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "control",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "TASK is the number, handle or UPID of a task. Exit codes: 0 success; 1 failure, or wait: a task has \
        failed; 2 bad usage; 3 check: never succeeded, export: no database; 124 wait timed out."
)]
pub struct ControlArgs {
    /// Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]
    #[arg(long, global = true, value_name = "PATH")]
    pub db: Option<PathBuf>,

    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// Verbs that end or delete something. They are never suggested for a mistyped verb.
const DELETING: [&str; 5] = ["clear", "initialize", "kill", "killall", "remove"];

impl ControlArgs {
    /// Parses a command line, with its verb in either spelling.
    ///
    /// # Errors
    /// Help, the version, or the fault of the command line.
    pub fn read(argv: impl IntoIterator<Item = OsString>) -> Result<ControlArgs, clap::Error> {
        ControlArgs::try_parse_from(normalize(argv)).map_err(|mut error| {
            let harmless = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(verbs)) => verbs.iter().filter(|verb| !deletes(verb)).cloned().collect(),
                Some(ContextValue::String(verb)) if !deletes(verb) => vec![verb.clone()],
                Some(_) => vec![],
                None => return error,
            };
            error.remove(ContextKind::SuggestedSubcommand);
            if !harmless.is_empty() {
                error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(harmless));
            }
            error
        })
    }
}

fn deletes(verb: &str) -> bool {
    DELETING.contains(&verb)
}

/// The verbs.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Reserve a task id and print it
    Reserve(Reserve),
    /// List tasks that have not ended
    List(List),
    /// Show all details of a task
    Show(One),
    /// Print the output of a task
    Log(Log),
    /// Print the feedback of a task as a JSON object
    Feedback(One),
    /// List ended tasks page by page, newest first
    History(History),
    /// Wait until tasks have ended and print their results
    Wait(WaitArgs),
    /// End tasks with their whole process trees; cancel reservations
    Kill(Kill),
    /// End all tasks with the given name
    Killall(Killall),
    /// Update stored durations and states, and record the end of dead tasks
    Update,
    /// Delete ended tasks from history, with their logs
    Clear(Clear),
    /// Create the database, or empty it: all its contents are deleted
    Initialize(Initialize),
    /// Summarize the runs of each name: success rate, durations, last success and last failure
    Stats(Stats),
    /// Check the last success of a name: exit with 0 if it is recent enough, 1 if not, 3 if none
    Check(Check),
    /// Launch a task again with the same command, folder, name and options
    RunAgain(RunAgain),
    /// Write a copy of the database, even while it is in use
    Backup(Backup),
    /// Check the integrity of the database and the logs
    Verify(Verify),
    /// Print running tasks and tasks that ended since a cursor, for another host that follows this one
    Export(Export),
    /// Follow other hosts: copy their tasks into this database, to be listed with the tasks of this host
    Remote(Remote),
    /// Print shell completions
    Completions(Completions),
}

/// `reserve`
#[derive(Debug, Clone, Args)]
pub struct Reserve {
    /// Name of the task [default: the file name of the command launched with the reservation]
    #[arg(long, visible_alias = "taskname", allow_hyphen_values = true, value_parser = parse_name)]
    pub name: Option<String>,
    /// Arbitrary text to store with the task
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub info1: Option<String>,
    /// Arbitrary text to store with the task
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub info2: Option<String>,
    /// Arbitrary text to store with the task
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub info3: Option<String>,
    /// Fail if a task with this name is already reserved or running
    #[arg(long, requires = "name")]
    pub unique: bool,
    /// Time after which the reservation lapses if it has not been launched
    #[arg(long, value_name = "DURATION", value_parser = parse_span, default_value = "60s")]
    pub expire: Duration,
    /// Print the unguessable handle instead of the number
    #[arg(long)]
    pub handle: bool,
}

/// `list`
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Keep running and redraw on each change, at least once per second
    #[arg(long, conflicts_with_all = ["json", "jsonl"])]
    pub watch: bool,
    /// Also list the last 20 tasks that ended, with the reason and the last output of each failure
    #[arg(long)]
    pub all: bool,
    /// With --all: list only ended tasks with these outcomes: ok, warnings, error, unknown
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', ignore_case = true, requires = "all", value_parser = one_of(&Class::ALL, Class::as_str))]
    pub outcome: Vec<Class>,
    /// List only live tasks with these statuses: reserved, running, silent, stalled, stopping, orphaned
    #[arg(long, value_name = "STATUS", value_delimiter = ',', ignore_case = true, value_parser = one_of(&Status::ALL, Status::as_str))]
    pub status: Vec<Status>,
    /// Print one JSON object per line
    #[arg(long)]
    pub jsonl: bool,
    /// List only tasks with this name
    #[arg(long, allow_hyphen_values = true)]
    pub name: Option<String>,
    /// List only tasks that started at this time or later (a date, 2h, yesterday)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// List only tasks that started at this time or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// List the tasks of this remote instead of those of this host
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all", "status"])]
    pub remote: Option<RemoteName>,
    /// Also list the tasks of all remotes
    #[arg(long, conflicts_with_all = ["all", "status", "remote"])]
    pub all_remotes: bool,
}

/// A verb on one task.
#[derive(Debug, Clone, Args)]
pub struct One {
    /// Number, handle or UPID of the task
    pub task: TaskRef,
}

/// `log`
#[derive(Debug, Clone, Args)]
pub struct Log {
    /// Number, handle or UPID of the task
    pub task: TaskRef,
    /// Keep printing new output until the task has ended
    #[arg(long, short)]
    pub follow: bool,
    /// Print only the last N lines
    #[arg(long, value_name = "N", conflicts_with = "start")]
    pub tail: Option<usize>,
    /// Skip the first N lines
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub start: u64,
    /// Print at most N lines
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Omit the timestamps
    #[arg(long)]
    pub no_time: bool,
    /// Print all bytes unchanged, even to a terminal
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

/// `history`
#[derive(Debug, Clone, Args)]
pub struct History {
    /// List only tasks with this name
    #[arg(long, visible_alias = "taskname", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// List only tasks with these outcomes: ok, warnings, error, unknown
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',', ignore_case = true, value_parser = one_of(&Class::ALL, Class::as_str))]
    pub outcome: Vec<Class>,
    /// List only tasks that ended (with --remote or --all-remotes: started) at this time or later (a date, 2h,
    /// yesterday)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// List only tasks that ended (with --remote or --all-remotes: started) at this time or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// List only tasks of this login name
    #[arg(long)]
    pub user: Option<String>,
    /// Print at most N rows; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// Continue from this cursor (printed with the previous page)
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    pub after: Option<After>,
    /// Skip the first N rows
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "after")]
    pub offset: u64,
    /// List the tasks of this remote instead of those of this host, ordered by start time
    #[arg(long, value_name = "NAME")]
    pub remote: Option<RemoteName>,
    /// List the tasks of this host and of all remotes, ordered by start time
    #[arg(long, conflicts_with = "remote")]
    pub all_remotes: bool,
    /// With --remote or --all-remotes: list only tasks of remotes that ran on this node
    #[arg(long)]
    pub node: Option<String>,
    /// With --remote or --all-remotes: list only tasks of remotes whose UPIDs have this type
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// List the oldest tasks first
    #[arg(long)]
    pub reverse: bool,
    /// Print one JSON object per line, and the next cursor to stderr
    #[arg(long, conflicts_with = "json")]
    pub jsonl: bool,
}

impl History {
    /// Returns how many rows are wanted at most.
    pub fn rows(&self) -> usize {
        match self.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
}

/// `export`
#[derive(Debug, Clone, Args)]
pub struct Export {
    /// Of the ended tasks, print only those new since this cursor (printed in the last line of the previous export)
    #[arg(long, value_name = "CURSOR")]
    pub since: Option<ExportCursor>,
    /// Print at most N new ended tasks; the last line says whether there are more
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `wait`
#[derive(Debug, Clone, Args)]
pub struct WaitArgs {
    /// Numbers, handles or UPIDs of the tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<TaskRef>,
    /// Give up after this long and exit with 124
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub timeout: Option<Duration>,
    /// Return as soon as one of the tasks has ended
    #[arg(long)]
    pub any: bool,
}

/// `kill`
#[derive(Debug, Clone, Args)]
pub struct Kill {
    /// Numbers, handles or UPIDs of the tasks
    #[arg(required = true, value_name = "TASK")]
    pub tasks: Vec<TaskRef>,
    /// How
    #[command(flatten)]
    pub how: KillArgs,
}

/// `killall`
#[derive(Debug, Clone, Args)]
pub struct Killall {
    /// Name of the tasks
    pub name: String,
    /// How
    #[command(flatten)]
    pub how: KillArgs,
}

/// How tasks are ended.
#[derive(Debug, Clone, Args)]
pub struct KillArgs {
    /// Send this signal [default: the stop signal that each task was launched with]
    #[arg(long, value_name = "SIG", value_parser = SignalParser, hide_possible_values = true)]
    pub signal: Option<Signal>,
    /// Send SIGKILL immediately
    #[arg(long, conflicts_with = "signal")]
    pub now: bool,
    /// Send the request and return without waiting for the tasks to end
    #[arg(long)]
    pub no_wait: bool,
    /// Also end runs of supervised programs, bypassing the supervisor, which then treats such a run as ended by itself
    #[arg(long)]
    pub force: bool,
}

impl KillArgs {
    /// Returns the options as the service takes them.
    pub fn options(&self) -> KillOptions {
        let KillArgs { signal, now, no_wait, force } = *self;
        KillOptions { signal, now, no_wait, force }
    }
}

/// `clear`
#[derive(Debug, Clone, Args)]
pub struct Clear {
    /// Delete only tasks that ended longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub older_than: Option<Duration>,
    /// Delete only tasks with this name
    #[arg(long, visible_alias = "taskname", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Whether to ask
    #[command(flatten)]
    pub sure: Sure,
}

/// `initialize`
#[derive(Debug, Clone, Args)]
pub struct Initialize {
    /// Empty the database even if tasks are still running
    #[arg(long)]
    pub force: bool,
    /// Whether to ask
    #[command(flatten)]
    pub sure: Sure,
}

/// What keeps a verb from deleting by mistake.
#[derive(Debug, Clone, Args)]
pub struct Sure {
    /// Delete without asking for confirmation (asked only on a terminal)
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Print what would be deleted, without deleting it
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// `stats`
#[derive(Debug, Clone, Args)]
pub struct Stats {
    /// Name of the tasks [default: all names]
    pub name: Option<String>,
    /// Summarize only runs that ended at this time or later (a date, 2h, yesterday)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Print one JSON object per line
    #[arg(long, conflicts_with = "json")]
    pub jsonl: bool,
}

/// `check`
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Name of the tasks
    pub name: String,
    /// Maximum age of the last success
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub max_age: Duration,
}

/// `run-again`
#[derive(Debug, Clone, Args)]
pub struct RunAgain {
    /// Number, handle or UPID of the task
    pub task: TaskRef,
    /// Print the id of the new task and return once its command runs
    #[arg(long)]
    pub detach: bool,
}

/// `backup`
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// File to write the copy to; it must not exist yet
    pub file: PathBuf,
}

/// `verify`
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Remove logs and feedback files that belong to no task
    #[arg(long)]
    pub repair: bool,
}

/// `remote`
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// What to do
    #[command(subcommand)]
    pub verb: RemoteVerb,
}

/// The verbs of `remote`.
#[derive(Debug, Clone, Subcommand)]
pub enum RemoteVerb {
    /// Follow another host
    Add(RemoteAdd),
    /// Change how a host is reached, keeping its tasks
    Set(RemoteSet),
    /// Stop following a host and delete its tasks from this database
    Remove(RemoteOne),
    /// List the remotes: last contact, lag, last error, number of tasks
    List,
    /// Check whether a remote responds
    Test(RemoteTest),
    /// Fetch new and changed tasks from all remotes or from the given ones
    Sync(RemoteSync),
}

/// `remote add`
#[derive(Debug, Clone, Args)]
pub struct RemoteAdd {
    /// Name of the remote, used as the prefix of the UPIDs of its tasks
    pub name: RemoteName,
    /// Where its tasks come from
    #[command(flatten)]
    pub source: RemoteSource,
    /// With --ssh: path of the database on that host [default: the one that control uses there]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["pve", "pbs"])]
    pub remote_db: Option<String>,
    /// With --pve or --pbs: name of an API token, such as root@pam!watch
    #[arg(long, value_name = "USER@REALM!NAME", conflicts_with = "ssh")]
    // Text that is parsed later: clap would print an invalid value, which may contain the secret.
    pub token: Option<String>,
    /// With --pve or --pbs: file of mode 0600 that contains the secret of the token
    #[arg(long, value_name = "FILE", conflicts_with = "ssh")]
    pub secret_file: Option<PathBuf>,
    /// With --pve or --pbs: accept only the certificate with this fingerprint [default: accept any that this system
    /// trusts]
    #[arg(long, value_name = "SHA256", conflicts_with = "ssh")]
    pub fingerprint: Option<Fingerprint>,
}

/// Where a remote's tasks come from: one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct RemoteSource {
    /// Host that runs taskwatcher, reached by your own ssh with its configuration, keys and agent
    #[arg(long, value_name = "[USER@]HOST", value_parser = parse_ssh_host)]
    pub ssh: Option<String>,
    /// Proxmox VE host, or any host of a cluster: https://HOST or https://HOST:PORT
    #[arg(long, value_name = "URL", requires = "token", requires = "secret_file")]
    pub pve: Option<Url>,
    /// Proxmox Backup Server: https://HOST or https://HOST:PORT
    #[arg(long, value_name = "URL", requires = "token", requires = "secret_file")]
    pub pbs: Option<Url>,
}

/// `remote set`
#[derive(Debug, Clone, Args)]
pub struct RemoteSet {
    /// Name of the remote
    pub name: RemoteName,
    /// The changed settings
    #[command(flatten)]
    pub how: RemoteHow,
}

/// Changes of how a remote is reached; at least one.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub struct RemoteHow {
    /// For a host reached by ssh: address of the host
    #[arg(long, value_name = "[USER@]HOST", value_parser = parse_ssh_host, conflicts_with_all = ["url", "token", "secret_file", "fingerprint", "no_fingerprint"])]
    pub ssh: Option<String>,
    /// For a host reached by ssh: path of the database there
    #[arg(long, value_name = "PATH", conflicts_with_all = ["url", "token", "secret_file", "fingerprint", "no_fingerprint"])]
    pub remote_db: Option<String>,
    /// For a host reached by ssh: use the database that control uses there
    #[arg(long, conflicts_with_all = ["remote_db", "url", "token", "secret_file", "fingerprint", "no_fingerprint"])]
    pub no_remote_db: bool,
    /// For a Proxmox host: https://HOST or https://HOST:PORT of the same host or cluster
    #[arg(long, value_name = "URL")]
    pub url: Option<Url>,
    /// For a Proxmox host: name of an API token
    #[arg(long, value_name = "USER@REALM!NAME")]
    pub token: Option<String>,
    /// For a Proxmox host: file of mode 0600 that contains the secret of the token
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// For a Proxmox host: accept only the certificate with this fingerprint, for example after a renewal
    #[arg(long, value_name = "SHA256", conflicts_with = "no_fingerprint")]
    pub fingerprint: Option<Fingerprint>,
    /// For a Proxmox host: accept any certificate that this system trusts
    #[arg(long)]
    pub no_fingerprint: bool,
}

impl RemoteHow {
    /// Returns the first given option that is for a host reached by ssh.
    pub fn of_ssh(&self) -> Option<&'static str> {
        let given = [
            ("--ssh", self.ssh.is_some()),
            ("--remote-db", self.remote_db.is_some()),
            ("--no-remote-db", self.no_remote_db),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// Returns the first given option that is for a Proxmox host.
    pub fn of_api(&self) -> Option<&'static str> {
        let given = [
            ("--url", self.url.is_some()),
            ("--token", self.token.is_some()),
            ("--secret-file", self.secret_file.is_some()),
            ("--fingerprint", self.fingerprint.is_some()),
            ("--no-fingerprint", self.no_fingerprint),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}

/// A verb on one remote.
#[derive(Debug, Clone, Args)]
pub struct RemoteOne {
    /// Name of the remote
    pub name: RemoteName,
}

/// `remote test`
#[derive(Debug, Clone, Args)]
pub struct RemoteTest {
    /// Name of the remote
    pub name: RemoteName,
    /// Give up after this long without a response [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_positive_span)]
    pub timeout: Option<Duration>,
}

/// `remote sync`
#[derive(Debug, Clone, Args)]
pub struct RemoteSync {
    /// Names of the remotes [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<RemoteName>,
    /// Keep running and ask each remote again after this long
    #[arg(long, value_name = "DURATION", value_parser = parse_positive_span)]
    pub every: Option<Duration>,
    /// Fetch the whole history again, not only what is new, to restore tasks that are missing here
    #[arg(long, requires = "names", conflicts_with = "every")]
    pub refetch: bool,
    /// With --refetch: fetch only tasks that started at this time or later (a date, 2h, yesterday)
    #[arg(long, value_name = "TIME", requires = "refetch")]
    pub since: Option<String>,
    /// Give up on a remote after this long without a response [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_positive_span)]
    pub timeout: Option<Duration>,
    /// Maximum age (since the start) of tasks kept here after the sync, for all remotes and not only those named
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub keep: Option<Duration>,
    /// Maximum number of ended tasks kept here after the sync, the newest of all remotes together
    #[arg(long, value_name = "N")]
    pub keep_tasks: Option<u64>,
}

/// `completions`
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// Shell to generate completions for
    pub shell: Shell,
    /// Program to complete
    #[arg(default_value = "control")]
    pub program: Program,
}

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "their names")]
pub enum Program {
    Launch,
    Control,
    Parse,
    Supervise,
}

impl Program {
    /// Returns the command line definition, for completions and manual pages.
    pub fn command(self) -> clap::Command {
        match self {
            Program::Launch => super::launch_args::LaunchArgs::command(),
            Program::Control => ControlArgs::command(),
            Program::Parse => super::parse_args::ParseArgs::command(),
            Program::Supervise => super::supervise_args::definition(),
        }
    }

    /// Returns the completion script for a shell.
    pub fn completions(self, shell: Shell) -> String {
        let mut command = self.command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        generate(shell, &mut command, name, &mut script);
        let script = without_hidden(&String::from_utf8_lossy(&script), &command);
        if shell != Shell::Bash {
            return script;
        }
        options_behind_dashes(&match self {
            Program::Launch => completes_command(&script, &command),
            Program::Control => completes_programs(&script),
            Program::Parse | Program::Supervise => script,
        })
    }
}

/// Removes hidden options from a completion script.
fn without_hidden(script: &str, command: &clap::Command) -> String {
    fn longs(command: &clap::Command, hidden: bool, found: &mut HashSet<String>) {
        let these = command.get_arguments().filter(|arg| arg.is_hide_set() == hidden);
        found.extend(these.filter_map(|arg| arg.get_long().map(|long| format!("--{long}"))));
        command.get_subcommands().for_each(|command| longs(command, hidden, found));
    }
    let (mut hidden, mut shown) = (HashSet::new(), HashSet::new());
    longs(command, true, &mut hidden);
    longs(command, false, &mut shown);
    hidden.retain(|long| !shown.contains(long));
    let names = |line: &str, long: &str| {
        let words = || line.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'));
        let bare = long.trim_start_matches('-');
        words().any(|word| word == long) || line.contains(&format!(" -l {bare} "))
    };
    let mut clean = String::with_capacity(script.len());
    for line in script.lines() {
        if line.trim_start().starts_with("opts=\"") {
            let words = line.split(' ').filter(|word| !hidden.contains(word.trim_end_matches('"')));
            clean.push_str(&words.collect::<Vec<_>>().join(" "));
            if line.ends_with('"') && !clean.ends_with('"') {
                clean.push('"');
            }
        } else if hidden.iter().any(|long| names(line, long)) {
            continue;
        } else {
            clean.push_str(line);
        }
        clean.push('\n');
    }
    clean
}

/// Makes a bash script offer options only after a dash. clap also offers them in the place of an argument, where Tab
/// would insert their common dash.
fn options_behind_dashes(script: &str) -> String {
    let mut lines = String::with_capacity(script.len());
    for line in script.lines() {
        lines.push_str(line);
        lines.push('\n');
        if let Some(words) = line.strip_prefix(WORDS_KNOWN) {
            let words = words.trim_end_matches('"').split(' ').filter(|word| !word.starts_with('-'));
            let words = words.collect::<Vec<_>>().join(" ");
            lines.push_str(&format!("            [[ ${{cur}} == -* ]] || opts=\"{words}\"\n"));
        }
    }
    lines
}

/// The line of clap's bash script after which the words of a verb are known.
const WORDS_KNOWN: &str = "            opts=\"";

/// Makes a bash script offer names of commands in the place of the command, and nothing after it, so that bash offers
/// files. clap only offers options.
fn completes_command(script: &str, command: &clap::Command) -> String {
    let valued = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    let longs = valued.filter_map(|arg| arg.get_long_and_visible_aliases()).flatten();
    let valued: Vec<String> = longs.map(|long| format!("--{long}")).collect();
    let place = format!(
        r#"            # The command is the first word that is no option, nor the value of one.
            i=1
            while [[ ${{i}} -lt ${{COMP_CWORD}} ]]; do
                case "${{COMP_WORDS[i]}}" in
                    --)
                        i=$((i + 1))
                        break
                        ;;
                    {})
                        [[ "${{COMP_WORDS[i + 1]}}" == "=" ]] && i=$((i + 1))
                        i=$((i + 2))
                        ;;
                    -*)
                        i=$((i + 1))
                        ;;
                    *)
                        break
                        ;;
                esac
            done
            if [[ ${{i}} -lt ${{COMP_CWORD}} ]]; then
                return 0
            fi
            if [[ ${{i}} -eq ${{COMP_CWORD}} && -n ${{cur}} && ${{cur}} != -* ]]; then
                COMPREPLY=( $(compgen -c -- "${{cur}}") )
                return 0
            fi
"#,
        valued.join("|")
    );
    behind_words(script, "        launch)\n", &place)
}

/// Makes a bash script offer a program only after a shell. clap offers the values of both arguments in both places.
fn completes_programs(script: &str) -> String {
    let words = |values: Vec<Option<PossibleValue>>| {
        values.iter().flatten().map(|value| value.get_name().to_owned()).collect::<Vec<_>>()
    };
    let shells = words(Shell::value_variants().iter().map(ValueEnum::to_possible_value).collect());
    let programs = words(Program::value_variants().iter().map(ValueEnum::to_possible_value).collect()).join(" ");
    let place = format!(
        r#"            case "${{prev}}" in
                {})
                    COMPREPLY=( $(compgen -W "{programs}" -- "${{cur}}") )
                    return 0
                    ;;
                *)
                    opts="${{opts% {programs}}}"
                    ;;
            esac
"#,
        shells.join("|")
    );
    behind_words(script, "        control__subcmd__completions)\n", &place)
}

/// Inserts lines into a script where the words of this case are known. A script without the case is not changed.
fn behind_words(script: &str, case: &str, more: &str) -> String {
    let place = script.find(case).and_then(|case| {
        let words = case + script[case..].find(WORDS_KNOWN)?;
        Some(words + script[words..].find('\n')? + 1)
    });
    match place {
        Some(place) => format!("{}{more}{}", &script[..place], &script[place..]),
        None => script.to_owned(),
    }
}

/// Returns what parses one of these values by its name.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = PossibleValuesParser::new(all.iter().map(|value| PossibleValue::new(name(*value))));
    names.try_map(move |given| {
        all.iter().copied().find(|value| name(*value).eq_ignore_ascii_case(&given)).ok_or("no such value")
    })
}

/// Moves the first verb that is written with dashes to the front, without its dashes. As in taskwatcher 1.7
/// (`control --list`), such a verb may stand anywhere among its options. A line with a plain verb is not changed.
/// `--history` gets no limit unless the line has one, also as in 1.7.
pub fn normalize(argv: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut argv: Vec<OsString> = argv.into_iter().collect();
    let verbs: Vec<String> = ControlArgs::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let is_verb = |word: &str| verbs.iter().any(|verb| verb == word);
    let mut at = 1;
    // Skip the options that may come before a verb, to see whether a plain verb follows.
    while let Some(word) = argv.get(at).and_then(|word| word.to_str()) {
        match word {
            "--db" => at += 2,
            "--json" => at += 1,
            other if other.starts_with("--db=") => at += 1,
            _ => break,
        }
    }
    if argv.get(at).and_then(|word| word.to_str()).is_none_or(|word| is_verb(word) || !word.starts_with("--")) {
        return argv;
    }
    let end = argv.iter().position(|word| word == "--").unwrap_or(argv.len());
    let dashed = |index: usize| {
        let bare = argv[index].to_str()?.strip_prefix("--")?;
        let (verb, value) = bare.split_once('=').map_or((bare, None), |(verb, value)| (verb, Some(value.to_owned())));
        is_verb(verb).then(|| (index, OsString::from(verb), value))
    };
    // Beside another verb, --remote is an option of that verb.
    let dashed = (at..end).filter_map(dashed).min_by_key(|(_, verb, _)| verb == "remote");
    if let Some((index, verb, value)) = dashed {
        match value {
            Some(value) => argv[index] = value.into(),
            None => drop(argv.remove(index)),
        }
        let has_limit = |word: &OsString| word.to_str().is_some_and(|w| w == "--limit" || w.starts_with("--limit="));
        if verb == "history" && !argv[..argv.len().min(end)].iter().any(has_limit) {
            argv.insert(at, "--limit=0".into());
        }
        argv.insert(at, verb);
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &str) -> String {
        let words = normalize(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_definition_is_sound() {
        ControlArgs::command().debug_assert();
    }

    #[test]
    fn both_spellings_of_every_verb_are_one() {
        for verb in ControlArgs::command().get_subcommands() {
            let verb = verb.get_name();
            // The dashed verb has no limit.
            let more = if verb == "history" { " --limit=0" } else { "" };
            assert_eq!(normal(&format!("control --{verb}")), format!("control {verb}{more}"));
            let line = normal(&format!("control --db x --json --{verb}"));
            assert_eq!(line, format!("control --db x --json {verb}{more}"));
            assert_eq!(normal(&format!("control {verb}")), format!("control {verb}"));
        }
    }

    #[test]
    fn dashed_verbs_may_stand_anywhere_among_their_options() {
        assert_eq!(normal("control --kill 12 --now"), "control kill 12 --now");
        assert_eq!(normal("control --name n --reserve --unique"), "control reserve --name n --unique");
        assert_eq!(normal("control --name list --reserve"), "control reserve --name list");
        assert_eq!(normal("control --feedback=12"), "control feedback 12");
        assert_eq!(normal("control --db=x --list"), "control --db=x list");
        assert_eq!(normal("control --remote a --list"), "control list --remote a");
        assert_eq!(normal("control --remote sync a"), "control remote sync a");
    }

    #[test]
    fn lines_with_a_plain_verb_are_not_changed() {
        for line in
            ["control reserve --name --list", "control", "control --help", "control kill -- --list", "control x --list"]
        {
            assert_eq!(normal(line), line);
        }
    }
}
