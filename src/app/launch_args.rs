//! The command line of `launch` and its help. The manual page and completions are generated from it.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
    time::Duration,
};

use clap::{
    Arg, ArgGroup, Command, Parser, ValueEnum, ValueHint,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

use super::spec::{IfRunning, Spec};
use crate::model::{
    log::{LOG_MAX, SMALLEST_LOG, parse_size},
    task::{Signal, TaskRef, parse_name, parse_span},
};

/// Run a command as a monitored task
///
/// The task is recorded before the command starts and after the command has ended, whatever happens in between. While
/// the command runs, its heartbeat is monitored. When the task must end, all descendants of the command are ended too.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "launch",
    version,
    group = ArgGroup::new("what").required(true).args(["command", "argv"]),
    override_usage = "launch [OPTIONS] [--] COMMAND [ARG]...\n       launch [OPTIONS] --command 'STRING'",
    after_help = "Exit codes: the command's own; 128+n if signal n ended the command; 124 if launch ended the command \
        (timeout, max runtime); 127 command not found; 126 not executable; 125 launch itself failed; 2 bad usage."
)]
pub struct LaunchArgs {
    /// Path of the database [default: $TASKWATCHER_DB, else ~/.local/state/taskwatcher/tasks.db]
    #[arg(long, value_name = "PATH")]
    pub db: Option<PathBuf>,

    /// Use this reservation (number or handle)
    #[arg(long, value_name = "ID")]
    pub taskid: Option<TaskRef>,

    /// Name of the task [default: the file name of the command]
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

    /// Folder of the feedback file [default: the current folder, if the command has --feedback]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub feedpath: Option<PathBuf>,

    /// End the task if its feedback file has not changed for this long [default: 30s if feedback is expected]
    #[arg(long, value_name = "DURATION", value_parser = positive_span)]
    pub timeout: Option<Duration>,

    /// End the task after this long, regardless of its feedback
    #[arg(long, value_name = "DURATION", value_parser = positive_span)]
    pub max_runtime: Option<Duration>,

    /// Signal that requests the task to end
    #[arg(long, value_name = "SIG", default_value = "TERM", value_parser = SignalParser, hide_possible_values = true)]
    pub stop_signal: Signal,

    /// Time between the stop signal and SIGKILL
    #[arg(long, value_name = "DURATION", value_parser = parse_span, default_value = "5s")]
    pub kill_after: Duration,

    /// Allow only one task with this name at a time
    #[arg(long)]
    pub unique: bool,

    /// What to do if a task with this name is already running (implies --unique)
    #[arg(long, value_name = "ACTION")]
    pub if_running: Option<IfRunning>,

    /// Print the task id and return once the command runs; the task survives a logout
    #[arg(long)]
    pub detach: bool,

    /// Keep no log: connect the command directly to the output of `launch`
    #[arg(long)]
    pub no_log: bool,

    /// Maximum size of the log, beyond which the older half is dropped [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = log_size, conflicts_with = "no_log")]
    pub log_max: Option<u64>,

    /// Print nothing if the command succeeds, and all of its output if it fails (for cron)
    #[arg(long)]
    pub chronic: bool,

    /// Suppress all output of `launch` itself, including warnings
    #[arg(long)]
    pub quiet: bool,

    /// Exit with 1 if the command exited with 0 but reported warnings
    #[arg(long)]
    pub fail_on_warnings: bool,

    /// Keep the feedback file after the end of the task
    #[arg(long)]
    pub keep_feedback: bool,

    /// Command in one string, split by the quoting rules of the shell (no shell is run)
    #[arg(long, value_name = "STRING", allow_hyphen_values = true, value_parser = split)]
    pub command: Option<Words>,

    /// Command and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub argv: Vec<OsString>,
}

/// Parses a signal. Completions offer common names; other signals are accepted too.
#[derive(Debug, Clone, Copy)]
pub struct SignalParser;

impl TypedValueParser for SignalParser {
    type Value = Signal;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Signal, clap::Error> {
        StringValueParser::new().try_map(|text| text.parse::<Signal>()).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Signal::NAMES.iter().map(PossibleValue::new)))
    }
}

/// A string that was split into words.
#[derive(Debug, Clone)]
pub struct Words(pub Vec<String>);

fn split(text: &str) -> Result<Words, String> {
    match shell_words::split(text) {
        Ok(words) if words.is_empty() => Err("it holds no word".into()),
        Ok(words) => Ok(Words(words)),
        Err(error) => Err(error.to_string()),
    }
}

fn positive_span(text: &str) -> Result<Duration, String> {
    match parse_span(text) {
        Ok(span) if span.is_zero() => Err("it must be longer than zero".into()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

fn log_size(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Ok(size) if size < SMALLEST_LOG => Err(format!("it must be {SMALLEST_LOG} bytes or more")),
        Ok(size) => Ok(size),
        Err(error) => Err(error.to_string()),
    }
}

impl ValueEnum for IfRunning {
    fn value_variants<'a>() -> &'a [IfRunning] {
        &[IfRunning::Fail, IfRunning::Skip, IfRunning::Wait]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            IfRunning::Fail => PossibleValue::new(self.word()).help("Exit with 125"),
            IfRunning::Skip => PossibleValue::new(self.word()).help("Do nothing and exit with 0"),
            IfRunning::Wait => PossibleValue::new(self.word()).help("Wait for the running task to end, then start"),
        })
    }
}

impl LaunchArgs {
    /// Returns the task to launch, in the database at `db`.
    pub fn spec(self, db: PathBuf) -> Spec {
        let words = self.command.map(|words| words.0.into_iter().map(OsString::from).collect());
        Spec {
            db,
            reservation: self.taskid,
            name: self.name,
            info: [self.info1, self.info2, self.info3],
            argv: words.unwrap_or(self.argv),
            feedpath: self.feedpath,
            timeout: self.timeout,
            max_runtime: self.max_runtime,
            stop_signal: self.stop_signal,
            kill_after: self.kill_after,
            unique: self.if_running.or(self.unique.then_some(IfRunning::Fail)),
            fail_on_warnings: self.fail_on_warnings,
            keep_feedback: self.keep_feedback,
            log: !self.no_log,
            log_max: self.log_max.unwrap_or(LOG_MAX),
            chronic: self.chronic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::task::KILL_AFTER;
    use clap::CommandFactory;

    fn read(words: &[&str]) -> Result<LaunchArgs, clap::Error> {
        LaunchArgs::try_parse_from(std::iter::once(&"launch").chain(words))
    }

    #[test]
    fn the_definition_is_sound() {
        LaunchArgs::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let args = read(&["true"]).unwrap();
        assert_eq!((args.kill_after, args.stop_signal), (KILL_AFTER, Signal::TERM));
    }

    #[test]
    fn what_follows_the_command_is_its_own() {
        for words in
            [&["--name", "n", "--", "cmd", "--unique", "--", "-x"][..], &["--name", "n", "cmd", "--unique", "--", "-x"]]
        {
            let args = read(words).unwrap();
            assert_eq!(args.argv, ["cmd", "--unique", "--", "-x"]);
            assert!(!args.unique);
        }
    }

    #[test]
    fn one_string_is_split_as_a_shell_would() {
        let args = read(&["--command", "a 'b c' d\\ e \"\""]).unwrap();
        assert_eq!(args.spec("db".into()).argv, ["a", "b c", "d e", ""]);
    }

    #[test]
    fn stored_options_are_parsed_to_the_same_spec() {
        let all = "--name=n --info2=-x --feedpath=/tmp --timeout=2.5s --max-runtime=60s --stop-signal=SIGINT \
                   --kill-after=1s --if-running=skip --log-max=4096 --chronic --fail-on-warnings --keep-feedback";
        for line in ["", all, "--no-log --info1="] {
            let words: Vec<&str> = line.split_whitespace().chain(["--", "cmd"]).collect();
            let spec = read(&words).unwrap().spec("db".into());
            let stored: Vec<String> = serde_json::from_str(&spec.options_json()).unwrap();
            let again: Vec<&str> = stored.iter().map(String::as_str).chain(["--", "cmd"]).collect();
            assert_eq!(format!("{:?}", read(&again).unwrap().spec("db".into())), format!("{spec:?}"));
            assert_eq!(stored.is_empty(), line.is_empty());
        }
    }

    #[test]
    fn bad_usage_is_refused() {
        for words in [
            &[][..],
            &["--"],
            &["--command", ""],
            &["--command", "'open"],
            &["--command", "x", "y"],
            &["--timeout", "0", "x"],
            &["--timeout", "soon", "x"],
            &["--max-runtime", "-1", "x"],
            &["--taskid", "x y", "x"],
            &["--stop-signal", "FOO", "x"],
            &["--if-running", "perhaps", "x"],
            &["--name", "", "x"],
            &["--nmae", "n", "x"],
            &["-x"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
