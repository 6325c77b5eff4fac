//! The command line of the shell: the actions of `supervise`, and those of the shell alone.

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command as Clap, CommandFactory, Error, FromArgMatches, Parser, Subcommand,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    app::supervise_args::{Action, normalize},
    model::{
        program::ServerUrl,
        shell::{complete::ActionWord, signal_option, unknown_action},
    },
};

/// One line of the shell.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "supervise",
    multicall = true,
    disable_version_flag = true,
    subcommand_value_name = "ACTION",
    subcommand_help_heading = "Actions",
    help_template = "{subcommands}{after-help}",
    after_help = "Type help ACTION for details. NAME is a process or a program, group:process, group:*, a pattern with * and ?, or all; \
        or a job: %1, %name, %?text, %+ (the current job) or %- (the previous job). %1 alone is fg %1, and %1 & is bg %1."
)]
struct Line {
    #[command(subcommand)]
    word: Word,
}

/// A parsed line.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    /// Whether to print responses as JSON.
    pub(super) json: bool,
    /// The action.
    pub(super) word: Word,
}

/// An action of the shell.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Word {
    #[command(flatten)]
    Action(Action),
    /// Start processes that are down; continue paused processes
    Bg(Bg),
    /// Send a signal to jobs or processes, given by name or process id
    Kill(Kill),
    /// Wait until processes are down; without a name, all processes
    ///
    /// The exit code is that of the last process.
    Wait(WaitWords),
    /// Report changes of jobs immediately (-b) or before the next prompt (+b)
    Set(Set),
    /// Suspend this shell until it receives SIGCONT
    Suspend(Suspend),
    /// Connect to another supervisor
    Open(Open),
    /// Leave the shell (or press Ctrl-D on an empty line)
    #[command(visible_alias = "exit")]
    Quit,
}

/// `bg`
#[derive(Debug, Clone, Args)]
pub(super) struct Bg {
    /// Processes or jobs [default: the current job]
    #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) names: Vec<String>,
}

/// `kill`
#[derive(Debug, Clone, Args)]
pub(super) struct Kill {
    /// Signal: a name or a number (short forms: -HUP, -1)
    #[arg(short = 's', short_alias = 'n', long, value_name = "SIG", default_value = "TERM")]
    pub(super) signal: String,
    /// List the signals, or translate names and numbers
    #[arg(short = 'l', long, conflicts_with = "signal")]
    pub(super) list: bool,
    /// Jobs, processes or process ids. A killed program may be started again; use stop to end a program
    #[arg(required_unless_present = "list", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) targets: Vec<String>,
}

/// `wait`
#[derive(Debug, Clone, Args)]
pub(super) struct WaitWords {
    /// Processes or jobs [default: all]
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) names: Vec<String>,
}

/// `set`
#[derive(Debug, Clone, Args)]
pub(super) struct Set {
    /// -b for immediately, +b for before the next prompt
    #[arg(allow_hyphen_values = true, value_parser = PossibleValuesParser::new(["-b", "+b"]))]
    pub(super) option: String,
}

/// `suspend`
#[derive(Debug, Clone, Args)]
pub(super) struct Suspend {
    /// Suspend even a login shell, which might never be continued
    #[arg(short, long)]
    pub(super) force: bool,
}

/// `open`
#[derive(Debug, Clone, Args)]
pub(super) struct Open {
    /// Address of the supervisor: unix:///path or http://host:port
    #[arg(value_name = "URL")]
    pub(super) url: ServerUrl,
}

/// Why a line is not run.
#[derive(Debug)]
pub(super) enum NotDone {
    /// Help was requested; with its text.
    Help(String),
    /// The errors, one line or more.
    Wrong(String),
}

/// Parses the words of a line.
///
/// # Errors
/// [`NotDone`]
pub(super) fn read(words: Vec<String>) -> Result<Typed, NotDone> {
    // The definition of the command line begins with the name of the program.
    let argv = std::iter::once("supervise".into()).chain(signal_option(words).into_iter().map(Into::into));
    let argv = normalize(argv).into_iter().skip(1);
    let typed = definition().try_get_matches_from(argv).and_then(|found| {
        let is_json = |action: &ArgMatches| action.try_get_one(JSON).ok().flatten() == Some(&true);
        let json = found.subcommand().is_some_and(|(_, action)| is_json(action));
        Line::from_arg_matches(&found).map(|Line { word }| Typed { json, word })
    });
    typed.map_err(|error| not_done(&error))
}

/// Name of the option for JSON.
const JSON: &str = "json";

/// Returns the actions, each with the options that all of them have on the command line.
fn definition() -> Clap {
    let json = Arg::new(JSON).long(JSON).action(ArgAction::SetTrue);
    let json = json.help("Print the supervisor's raw JSON response");
    Line::command().mut_subcommands(|action| {
        // Actions of the command line alone are hidden.
        let is_hidden = ["shell", "completions", "web"].contains(&action.get_name());
        let action = if action.get_name() == "fg" { foreground(action) } else { action };
        action.arg(json.clone()).hide(is_hidden)
    })
}

/// Changes the help of `fg`, which does more here than on the command line.
fn foreground(action: Clap) -> Clap {
    let about = "Show the output of a process and pass on what is typed, until Ctrl-C or Ctrl-Z";
    let more = "A process that is down is started; a paused process is continued. What is typed goes to the standard input of \
        the process if that is a pipe (stdin = \"pipe\"). Ctrl-C and Ctrl-Z never signal the process, which keeps running.";
    let action = action.about(about).long_about(format!("{about}\n\n{more}"));
    action.mut_arg("name", |name| {
        name.required(false)
            .default_value("%+")
            .hide_default_value(true)
            .help("Process or job [default: the current job]")
    })
}

fn not_done(error: &Error) -> NotDone {
    let text = error.render().to_string();
    match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => NotDone::Help(text),
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) if word.starts_with('%') => {
            NotDone::Wrong(format!(
                "{word} is a job, not an action: {word} alone is fg {word}, and {word} & is bg {word} (try help fg)"
            ))
        }
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => {
            let known = actions();
            let known: Vec<&str> = known.iter().map(|action| action.name.as_str()).collect();
            NotDone::Wrong(unknown_action(word, &known))
        }
        _ => {
            // Help is requested in another way here.
            let text = text.split("For more information").next().unwrap_or(&text);
            NotDone::Wrong(text.strip_prefix("error: ").unwrap_or(text).to_owned())
        }
    }
}

/// Returns the visible actions and their options.
pub(super) fn actions() -> Vec<ActionWord> {
    fn options(action: &Clap) -> Vec<String> {
        let long = |arg: &clap::Arg| arg.get_long().map(|long| format!("--{long}"));
        let short = |arg: &clap::Arg| arg.get_short().map(|short| format!("-{short}"));
        let shown = action.get_arguments().filter(|arg| !arg.is_hide_set());
        shown.filter_map(|arg| long(arg).or_else(|| short(arg))).collect()
    }
    let definition = definition();
    let word = |action: &Clap| {
        let options = options(action);
        let names = std::iter::once(action.get_name()).chain(action.get_visible_aliases());
        names.map(|name| ActionWord { name: name.to_owned(), options: options.clone() }).collect::<Vec<_>>()
    };
    let help = ActionWord { name: "help".to_owned(), options: vec![] };
    definition.get_subcommands().filter(|action| !action.is_hide_set()).flat_map(word).chain([help]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shell::words;

    fn typed(line: &str) -> Result<Typed, NotDone> {
        read(words(line).unwrap())
    }

    fn wrong(line: &str) -> String {
        match typed(line) {
            Err(NotDone::Wrong(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn help(line: &str) -> String {
        match typed(line) {
            Err(NotDone::Help(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    #[test]
    fn actions_are_those_of_the_command_line_and_a_few_more() {
        assert!(matches!(typed("stop --now x"), Ok(Typed { word: Word::Action(Action::Stop(_)), json: false })));
        assert!(matches!(typed("tail -100 x"), Ok(Typed { word: Word::Action(Action::Tail(_)), .. })));
        assert!(matches!(typed("status --json"), Ok(Typed { json: true, .. })));
        assert!(matches!(typed("%2 &"), Ok(Typed { word: Word::Bg(Bg { names }), .. }) if names == ["%2"]));
        assert!(matches!(typed("kill -9 x"), Ok(Typed { word: Word::Kill(Kill { signal, .. }), .. }) if signal == "9"));
        assert!(
            matches!(typed("kill -n 9 x"), Ok(Typed { word: Word::Kill(Kill { signal, .. }), .. }) if signal == "9")
        );
        assert!(matches!(typed("fg --raw"), Ok(Typed { word: Word::Action(Action::Fg(fg)), .. }) if fg.name == "%+"));
        assert!(matches!(typed("kill -l 9"), Ok(Typed { word: Word::Kill(Kill { list: true, .. }), .. })));
        assert!(matches!(typed("set +b"), Ok(Typed { word: Word::Set(_), .. })));
        assert!(matches!(typed("exit"), Ok(Typed { word: Word::Quit, .. })));
        let names = actions();
        for name in ["stop", "fg", "bg", "kill", "quit", "exit", "help"] {
            assert!(names.iter().any(|action| action.name == name), "{name}");
        }
        let reload = names.iter().find(|action| action.name == "reload").unwrap();
        assert!(reload.options.contains(&"--unix-http-server".to_owned()));
    }

    #[test]
    fn help_and_errors_are_texts_of_the_shell() {
        assert!(help("help").contains("  stop "));
        assert!(help("?").contains("%name"));
        assert!(help("help stop").contains("--now"));
        assert!(help("stop --help").contains("--now"));
        for words in
            ["Usage: fg [OPTIONS] [NAME]", "the current job", "is started", "continued", "input of the process"]
        {
            assert!(help("help fg").contains(words), "{words}: {}", help("help fg"));
        }
        assert_eq!(wrong("sotp x"), "unknown action \"sotp\" (try help); did you mean stop?");
        assert_eq!(wrong("help %1"), "%1 is a job, not an action: %1 alone is fg %1, and %1 & is bg %1 (try help fg)");
        assert_eq!(wrong("help frobnicate"), "unknown action \"frobnicate\" (try help)");
        assert!(wrong("stop").contains("Usage: stop"), "{}", wrong("stop"));
        assert!(wrong("open /tmp/x").contains("unix://"), "{}", wrong("open /tmp/x"));
        assert!(!wrong("kill").is_empty());
    }
}
