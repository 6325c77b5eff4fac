//! Makes the manual pages and shell completions from the command line definitions. `tests/it/docs.rs`
//! uses this file too.
//!
//! Parts unknown to clap (exit codes, environment, files, examples) are defined here, per program.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
};

use clap::Command;
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use taskwatcher::app::control_args::Program;

use super::markdown;

/// Files by the relative path that they get.
pub type Files = BTreeMap<String, Vec<u8>>;

const PROGRAMS: [Program; 4] = [Program::Launch, Program::Control, Program::Parse, Program::Supervise];
const SOURCE: &str = concat!("taskwatcher ", env!("CARGO_PKG_VERSION"));
/// Pages of the book that are manual pages too: page, title, section, subject.
const BOOK: [(&str, &str, &str, &str); 2] = [
    ("reference/configuration.md", "taskmaster.conf.toml", "5", "the configuration file of supervise"),
    ("concepts.md", "taskwatcher", "7", "the terms of taskwatcher, and the states and outcomes of tasks"),
];
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// A section of a manual page: terms with their texts.
type Terms = &'static [(&'static str, &'static str)];

const DATABASE: (&str, &str) = (
    "TASKWATCHER_DB",
    "Path of the database if --db is not given. Without both, the path is $XDG_STATE_HOME/taskwatcher/tasks.db, and \
     without XDG_STATE_HOME ~/.local/state/taskwatcher/tasks.db.",
);

const FILES: Terms = &[
    (
        "~/.local/state/taskwatcher/tasks.db",
        "The database: SQLite in WAL mode, created on first use with mode 0600. Must be on a local disk.",
    ),
    ("tasks.db-wal, tasks.db-shm", "Parts of the database. Copy or move all of the files or none."),
    (
        "tasks.db-spool",
        "Space reserved for the ends of live tasks, used if the database cannot be written, and the requests of control \
         kill.",
    ),
    (
        "DIR/feedback_TASKID.log",
        "The feedback file of a task, removed when the task ends. DIR is the argument of --feedpath.",
    ),
];

/// Parts of a program's page that clap does not know.
struct Extra {
    exit: Terms,
    environment: Terms,
    files: Terms,
    examples: Terms,
    see_also: &'static [&'static str],
}

fn extra(program: Program) -> Extra {
    match program {
        Program::Launch => Extra {
            exit: &[
                ("the command's own", "The command exited by itself."),
                ("128+n", "Signal n ended the command, or was sent to launch."),
                ("124", "launch ended the command: no heartbeat in time, or the maximum run time was exceeded."),
                ("125", "launch itself failed: database, reservation, feedback folder. The command was not run."),
                ("126", "The command exists but cannot be executed."),
                ("127", "The command was not found."),
                ("1", "With --fail-on-warnings: the command exited with 0 but reported warnings."),
                ("2", "Bad usage."),
            ],
            environment: &[
                DATABASE,
                ("TASKWATCHER_TASKID", "Set for the command: the number of its task."),
                ("TASKWATCHER_UPID", "Set for the command: the UPID of its task."),
                ("TASKWATCHER_HANDLE", "Set for the command: the handle of its task."),
                ("TASKWATCHER_FEEDBACK", "Set for a command that gives feedback: the full path of its feedback file."),
            ],
            files: FILES,
            examples: &[
                ("launch -- rsync -a /home /backup", "Run a command as a task named rsync."),
                (
                    "launch --name backup --unique --max-runtime 2h -- ./backup.sh",
                    "Run only one backup at a time, for at most two hours.",
                ),
                (
                    "launch --name import --feedpath /run/import --timeout 5m -- ./import.sh",
                    "End the command and all of its children if the feedback file has not changed for five minutes.",
                ),
                (
                    "id=$(control reserve --name test) && launch --taskid \"$id\" -- ./test --feedback \"feedback_$id.log\"",
                    "Reserve the id before the command starts.",
                ),
            ],
            see_also: &["control(1)", "parse(1)", "taskwatcher(7)"],
        },
        Program::Control => Extra {
            exit: &[
                ("0", "Success. For wait: all tasks ended OK or with warnings."),
                ("1", "Failure. For wait: a task failed or its outcome is unknown."),
                ("2", "Bad usage."),
                ("124", "wait --timeout expired."),
            ],
            environment: &[DATABASE, ("TZ", "The time zone of times in tables and of --since and --until.")],
            files: FILES,
            examples: &[
                ("control list --watch", "Show what is running, redrawn on each change."),
                (
                    "control history --outcome error,unknown --since yesterday",
                    "List what failed since the start of yesterday.",
                ),
                ("control wait 12 13 && echo both are done", "Wait for two tasks."),
                ("control kill --now 12", "Kill a task and all of its descendants immediately."),
                ("control --list", "Same as control list: every verb can be written with leading dashes."),
            ],
            see_also: &["launch(1)", "parse(1)", "sqlite3(1)", "taskwatcher(7)"],
        },
        Program::Parse => Extra {
            exit: &[
                ("0", "Success."),
                (
                    "1",
                    "The input is unreadable, not a UPID or over a limit, or has ignored lines and --strict was given.",
                ),
                ("2", "Bad usage."),
            ],
            environment: &[],
            files: &[],
            examples: &[
                ("parse --feedback feedback_12.log", "Print the values of a feedback file as one JSON object."),
                (
                    "./test | parse --feedback - --follow",
                    "Print a new object on each change in the feedback that a program prints.",
                ),
                (
                    "parse --strict --feedback feedback_12.log",
                    "List the lines that are not feedback, with the reasons.",
                ),
                (
                    "parse --upid UPID:node:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:",
                    "Print the fields of a UPID as JSON.",
                ),
            ],
            see_also: &["launch(1)", "control(1)", "taskwatcher(7)"],
        },
        Program::Supervise => Extra {
            exit: &[
                ("0", "Success. For the supervisor: it is running, or with --nodaemon has ended in order."),
                ("1", "Failure."),
                ("2", "Bad usage, or an invalid configuration. For start: no such group."),
                ("3", "For status: a process is not up."),
                ("4", "The supervisor cannot be reached. For status: also if a name is unknown."),
                ("5", "The supervisor uses a different protocol version."),
                ("7", "No supervisor is running, a process failed to start, or a process has no process id."),
                ("130", "Ctrl-C ended an action."),
            ],
            environment: &[DATABASE],
            files: &[
                (
                    "./taskmaster.conf.toml, ../taskmaster.conf.toml",
                    "The configuration if --configuration is not given: the first file that exists. An action reads only \
                     the table [taskmasterctl]. With --serverurl or --socket, an action reads a configuration file \
                     only if --configuration is given.",
                ),
                ("/tmp/taskmaster.sock", "The default socket for actions."),
            ],
            examples: &[
                ("supervise --check -c web.toml", "Report the errors in a configuration without starting anything."),
                ("supervise -c web.toml", "Start the supervisor in the background."),
                ("supervise status", "Show the status of all processes; exit with 3 if one is down."),
                ("supervise restart web 'workers:*'", "Restart a process and all processes of a group."),
                ("supervise tail -f web stderr", "Print the output of a process until Ctrl-C."),
            ],
            see_also: &["control(1)", "launch(1)", "taskmaster.conf.toml(5)", "taskwatcher(7)"],
        },
    }
}

/// The exit codes of one verb.
fn exit_of(program: &str, verb: &str) -> Terms {
    const USAGE: (&str, &str) = ("2", "Bad usage.");
    if program == "supervise" {
        return exit_of_action(verb);
    }
    match verb {
        "wait" => &[
            ("0", "All tasks waited for ended OK or with warnings."),
            ("1", "A task failed, its outcome is unknown, or there is no such task."),
            USAGE,
            ("124", "--timeout expired before all tasks had ended."),
        ],
        "kill" | "killall" => &[
            ("0", "All tasks have ended or, with --no-wait, the requests were sent."),
            ("1", "A task does not exist, had already ended, or does not end. The other tasks were ended."),
            USAGE,
        ],
        "reserve" => &[
            ("0", "The task id was reserved and printed."),
            ("1", "No id was reserved: the database cannot be written or, with --unique, the name is taken."),
            USAGE,
        ],
        "initialize" => &[
            ("0", "The database is empty."),
            (
                "1",
                "The file is unchanged: tasks are still running, it is not a taskwatcher database, or it cannot be written.",
            ),
            USAGE,
        ],
        "completions" => &[("0", "Success."), USAGE],
        "export" => {
            &[("0", "Success."), ("1", "The database cannot be used."), USAGE, ("3", "There is no database yet.")]
        }
        _ => &[("0", "Success."), ("1", "No database, an unusable database, or no such task."), USAGE],
    }
}

/// The exit codes of one action of `supervise`.
fn exit_of_action(action: &str) -> Terms {
    const USAGE: (&str, &str) = ("2", "Bad usage.");
    const UNREACHED: (&str, &str) = ("4", "The supervisor cannot be reached: no response, or permission denied.");
    const PROTOCOL: (&str, &str) = ("5", "The supervisor uses a different protocol version.");
    const NO_SOCKET: (&str, &str) = ("7", "The socket of the supervisor does not exist.");
    match action {
        "status" => &[
            ("0", "All processes shown are STARTING, RUNNING, BACKOFF or STOPPING."),
            USAGE,
            ("3", "A process shown is STOPPED, EXITED, FATAL or UNKNOWN."),
            ("4", "A name is unknown, or the supervisor cannot be reached."),
            PROTOCOL,
        ],
        "start" | "restart" => &[
            ("0", "The processes are running, or were already."),
            ("1", "No such process or file, or another failure."),
            ("2", "Bad usage, or no such group."),
            UNREACHED,
            PROTOCOL,
            ("7", "A process failed to start, or the socket of the supervisor does not exist."),
        ],
        "stop" => &[
            ("0", "The processes are down, or were already."),
            ("1", "No such process, or another failure."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            NO_SOCKET,
        ],
        "signal" => &[
            ("0", "The signal was sent."),
            ("1", "No such process or signal."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            ("7", "A process is not running, or the socket of the supervisor does not exist."),
        ],
        "pid" => &[
            ("0", "All processes have a process id."),
            ("1", "No such process."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            ("7", "A process has no process id (printed as 0), or the socket of the supervisor does not exist."),
        ],
        "shutdown" => &[
            ("0", "The supervisor has ended or, with --no-wait, the request was sent."),
            ("1", "No supervisor is listening, or the supervisor has not ended in time."),
            USAGE,
            ("4", "The supervisor cannot be reached: no response, or permission denied."),
            PROTOCOL,
        ],
        "tail" | "maintail" | "fg" | "subscribe" => &[
            ("0", "Success, or the supervisor ended the output."),
            ("1", "No such process or log, or the connection was lost."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            NO_SOCKET,
            ("130", "Ctrl-C ended the action."),
        ],
        "completions" => &[("0", "Success."), USAGE],
        "web" => &[
            ("0", "The server was ended by SIGTERM, SIGINT or SIGHUP."),
            ("1", "The server cannot listen on the address."),
            ("2", "Bad usage, or the pages would be reachable by others without a password."),
        ],
        _ => &[("0", "Success."), ("1", "Failure."), USAGE, UNREACHED, PROTOCOL, NO_SOCKET],
    }
}

/// Returns all files with their current contents.
///
/// # Errors
/// A page that cannot be made.
pub fn all() -> io::Result<Files> {
    let mut files = Files::new();
    for program in PROGRAMS {
        let mut command = program.command().disable_help_subcommand(true);
        command.build();
        let name = command.get_name().to_owned();
        let extra = extra(program);
        files.insert(format!("man/{name}.1"), page(&command, &extra, None)?);
        for verb in command.get_subcommands() {
            let verb_name = format!("{name}-{}", verb.get_name());
            for verb in verb.get_subcommands() {
                files.insert(format!("man/{verb_name}-{}.1", verb.get_name()), page(verb, &extra, Some(&name))?);
            }
            files.insert(format!("man/{verb_name}.1"), page(verb, &extra, Some(&name))?);
        }
        for shell in SHELLS {
            files.insert(format!("completions/{name}.{shell}"), program.completions(shell).into_bytes());
        }
    }
    for (page, title, section, about) in BOOK {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page))?;
        files.insert(format!("man/{title}.{section}"), page_of_book(&page, title, section, about)?);
    }
    Ok(files)
}

/// Makes a manual page of a page of the book.
fn page_of_book(page: &str, title: &str, section: &str, about: &str) -> io::Result<Vec<u8>> {
    let mut roff = Roff::new();
    roff.control("TH", [title, section, "", SOURCE]);
    roff.control("SH", ["NAME"]).text([roman(format!("{title} - {about}"))]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut out = roff.to_roff().into_bytes();
    out.extend(markdown::to_roff(page).into_bytes());
    references(&mut out, &["launch(1)", "control(1)", "parse(1)", "supervise(1)"])?;
    Ok(out)
}

/// Makes one page; for a verb if its program is given.
fn page(command: &Command, extra: &Extra, verb_of: Option<&str>) -> io::Result<Vec<u8>> {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let man = Man::new(with_aliases(command.clone()).display_name(&title)).title(&title).section("1").source(SOURCE);
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut out)?;
    }
    if let Some(program) = verb_of {
        terms(&mut out, "EXIT STATUS", exit_of(program, command.get_name()))?;
        let see = format!("{program}(1)");
        return references(&mut out, &[&see]).map(|()| out);
    }
    for (heading, section) in [
        ("EXIT STATUS", extra.exit),
        ("ENVIRONMENT", extra.environment),
        ("FILES", extra.files),
        ("EXAMPLES", extra.examples),
    ] {
        terms(&mut out, heading, section)?;
    }
    references(&mut out, extra.see_also)?;
    Ok(out)
}

/// Appends the aliases of an option to its text, because clap_mangen omits them.
fn with_aliases(command: Command) -> Command {
    command.mut_args(|arg| match (arg.get_visible_aliases(), arg.get_help()) {
        (Some(aliases), Some(help)) if !aliases.is_empty() => {
            let text = format!("{help} [alias: --{}]", aliases.join(", --"));
            arg.help(text)
        }
        _ => arg,
    })
}

fn terms(out: &mut dyn Write, heading: &str, terms: Terms) -> io::Result<()> {
    if terms.is_empty() {
        return Ok(());
    }
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (term, text) in terms {
        roff.control("TP", []).text([bold(*term)]).text([roman(*text)]);
    }
    roff.to_writer(out)
}

fn references(out: &mut dyn Write, pages: &[&str]) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]).text([roman(pages.join(", "))]);
    roff.to_writer(out)
}

/// Writes the files below a folder.
///
/// # Errors
/// Errors of the file system.
pub fn write(folder: &Path, files: &Files) -> io::Result<()> {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, content)?;
    }
    Ok(())
}
