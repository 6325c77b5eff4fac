//! The manual pages and shell completions, made from the command line definitions. `tests/docs.rs` uses this file too.
//!
//! What clap does not know (exit codes, environment, files, examples) is written here, once for each program.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// The files below `docs/`, by their path there.
pub type Files = BTreeMap<String, Vec<u8>>;

const PROGRAMS: [Program; 4] = [Program::Launch, Program::Control, Program::Parse, Program::Supervise];
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// A section of a manual page: terms with their texts.
type Terms = &'static [(&'static str, &'static str)];

const DATABASE: (&str, &str) = (
    "TASKWATCHER_DB",
    "The database, when --db is not given. Without both it is $XDG_STATE_HOME/taskwatcher/tasks.db, and without \
     XDG_STATE_HOME it is ~/.local/state/taskwatcher/tasks.db.",
);

const FILES: Terms = &[
    (
        "~/.local/state/taskwatcher/tasks.db",
        "The database, SQLite in WAL mode, made on first use with mode 0600. It must be on a local disk.",
    ),
    ("tasks.db-wal, tasks.db-shm", "Belong to the database. Copy or move all of them or none."),
    (
        "tasks.db-spool",
        "Room for the ends of live tasks, for when the database cannot be written; and the place where control kill \
         leaves its requests.",
    ),
    (
        "DIR/feedback_TASKID.log",
        "The feedback file of a task, DIR being its --feedpath. It is removed when the task ends.",
    ),
];

/// What clap does not know of a program.
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
                ("124", "launch ended the command: no heartbeat in time, or it ran too long."),
                ("125", "launch itself failed: database, reservation, feedback folder. The command was not run."),
                ("126", "The command is there and cannot be executed."),
                ("127", "The command was not found."),
                ("1", "With --fail-on-warnings: the command exited 0 and reported warnings."),
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
                ("launch -- rsync -a /home /backup", "Runs a command as a task named rsync."),
                (
                    "launch --name backup --unique --max-runtime 2h -- ./backup.sh",
                    "One backup at a time, none longer than two hours.",
                ),
                (
                    "launch --name import --feedpath /run/import --timeout 5m -- ./import.sh",
                    "Ended with all its children when its feedback file has not changed for five minutes.",
                ),
                (
                    "id=$(control reserve --name test) && launch --taskid \"$id\" -- ./test --feedback \"feedback_$id.log\"",
                    "The id is known before the command starts.",
                ),
            ],
            see_also: &["control(1)", "parse(1)"],
        },
        Program::Control => Extra {
            exit: &[
                ("0", "Done. For wait: all tasks ended OK or with warnings."),
                ("1", "It did not work. For wait: a task failed, or nobody saw its end."),
                ("2", "Bad usage."),
                ("124", "wait --timeout gave up."),
            ],
            environment: &[DATABASE, ("TZ", "The time zone of times in tables and of --since and --until.")],
            files: FILES,
            examples: &[
                ("control list --watch", "What runs, redrawn at each change."),
                ("control history --outcome error,unknown --since yesterday", "What failed since yesterday morning."),
                ("control wait 12 13 && echo both are done", "Waits for two tasks."),
                ("control kill --now 12", "Kills a task and all its descendants at once."),
                ("control --list", "The same as control list: every verb may be written with dashes."),
            ],
            see_also: &["launch(1)", "parse(1)", "sqlite3(1)"],
        },
        Program::Parse => Extra {
            exit: &[
                ("0", "Done."),
                ("1", "It cannot be read, is no UPID, is over a limit, or has ignored lines and --strict was given."),
                ("2", "Bad usage."),
            ],
            environment: &[],
            files: &[],
            examples: &[
                ("parse --feedback feedback_12.log", "The values of a feedback file as one JSON object."),
                ("./test | parse --feedback - --follow", "A new object at each change of what a program prints."),
                ("parse --strict --feedback feedback_12.log", "Which lines are no feedback, and why."),
                (
                    "parse --upid UPID:node:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:",
                    "The fields of a UPID as JSON.",
                ),
            ],
            see_also: &["launch(1)", "control(1)"],
        },
        Program::Supervise => Extra {
            exit: &[
                ("0", "Done. The supervisor: it runs, or with --nodaemon has ended in order."),
                ("1", "It did not work."),
                ("2", "Bad usage, or a configuration that is not valid. For start: no such group."),
                ("3", "For status: a process is not up."),
                ("4", "The supervisor cannot be reached. For status: also an unknown name."),
                ("5", "The supervisor speaks another protocol."),
                ("7", "There is no supervisor, a process did not start, or it has no process id."),
                ("130", "Ctrl-C ended an action."),
            ],
            environment: &[DATABASE],
            files: &[
                (
                    "./taskmaster.conf.toml, ../taskmaster.conf.toml",
                    "The configuration, when --configuration is not given: the first that is there. Of it an action reads \
                     only the table [taskmasterctl]. With --serverurl or --socket it reads one only if that is named.",
                ),
                ("/tmp/taskmaster.sock", "The socket that actions ask when nothing says otherwise."),
            ],
            examples: &[
                ("supervise --check -c web.toml", "Says what is wrong in a configuration, and starts nothing."),
                ("supervise -c web.toml", "Starts the supervisor, which leaves the foreground."),
                ("supervise status", "How all processes are; exit 3 if one is down."),
                ("supervise restart web 'workers:*'", "Restarts a process, and all of a group."),
                ("supervise tail -f web stderr", "What a process writes, until Ctrl-C."),
            ],
            see_also: &["control(1)", "launch(1)"],
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
            ("1", "One of them failed, nobody saw its end, or there is no such task."),
            USAGE,
            ("124", "--timeout is over and one of them has not ended."),
        ],
        "kill" | "killall" => &[
            ("0", "All of them have ended, or with --no-wait: were asked to."),
            ("1", "One of them does not exist, had ended before, or does not end. The others were ended."),
            USAGE,
        ],
        "reserve" => &[
            ("0", "It is reserved, and its id printed."),
            ("1", "It is not: the database cannot be written, or with --unique the name is taken."),
            USAGE,
        ],
        "initialize" => &[
            ("0", "The database is empty."),
            ("1", "It is as it was: tasks live in it, it is no taskwatcher database, or it cannot be written."),
            USAGE,
        ],
        "completions" => &[("0", "Done."), USAGE],
        "export" => &[
            ("0", "Done."),
            ("1", "It did not work: the database cannot be used."),
            USAGE,
            ("3", "There is no database yet."),
        ],
        _ => &[("0", "Done."), ("1", "It did not work: no database, no such task, or it cannot be used."), USAGE],
    }
}

/// The exit codes of one action of `supervise`.
fn exit_of_action(action: &str) -> Terms {
    const USAGE: (&str, &str) = ("2", "Bad usage.");
    const UNREACHED: (&str, &str) = ("4", "The supervisor cannot be reached: nobody answers, or permission is denied.");
    const PROTOCOL: (&str, &str) = ("5", "The supervisor speaks another protocol.");
    const NO_SOCKET: (&str, &str) = ("7", "There is no socket of a supervisor.");
    match action {
        "status" => &[
            ("0", "Every process that is shown is STARTING, RUNNING, BACKOFF or STOPPING."),
            USAGE,
            ("3", "A process that is shown is STOPPED, EXITED, FATAL or UNKNOWN."),
            ("4", "A name is unknown, or the supervisor cannot be reached."),
            PROTOCOL,
        ],
        "start" | "restart" => &[
            ("0", "They run, or did so already."),
            ("1", "There is no such process or file, or it did not work."),
            ("2", "Bad usage, or there is no such group."),
            UNREACHED,
            PROTOCOL,
            ("7", "One of them did not start, or there is no socket of a supervisor."),
        ],
        "stop" => &[
            ("0", "They are down, or were so already."),
            ("1", "There is no such process, or it did not work."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            NO_SOCKET,
        ],
        "signal" => &[
            ("0", "It was sent."),
            ("1", "There is no such process or signal."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            ("7", "One of them does not run, or there is no socket of a supervisor."),
        ],
        "pid" => &[
            ("0", "All of them have a process id."),
            ("1", "There is no such process."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            ("7", "One of them has none, for which 0 is printed, or there is no socket of a supervisor."),
        ],
        "shutdown" => &[
            ("0", "The supervisor has ended, or with --no-wait: was asked to."),
            ("1", "Nobody listens, or it has not ended in time."),
            USAGE,
            ("4", "The supervisor cannot be reached: it does not answer, or permission is denied."),
            PROTOCOL,
        ],
        "tail" | "maintail" | "fg" | "subscribe" => &[
            ("0", "Done, or the supervisor has ended it."),
            ("1", "There is no such process or log, or it broke off."),
            USAGE,
            UNREACHED,
            PROTOCOL,
            NO_SOCKET,
            ("130", "Ctrl-C ended it."),
        ],
        "completions" => &[("0", "Done."), USAGE],
        "web" => &[
            ("0", "It was ended by SIGTERM, SIGINT or SIGHUP."),
            ("1", "It cannot listen there."),
            ("2", "Bad usage; or others could reach it without a password."),
        ],
        _ => &[("0", "Done."), ("1", "It did not work."), USAGE, UNREACHED, PROTOCOL, NO_SOCKET],
    }
}

/// All files, as they should be.
///
/// # Errors
/// When a page cannot be made.
pub fn all() -> io::Result<Files> {
    let mut files = Files::new();
    for program in PROGRAMS {
        let mut command = program.command().disable_help_subcommand(true);
        command.build();
        let name = command.get_name().to_owned();
        let extra = extra(program);
        files.insert(format!("man/{name}.1"), page(&command, &extra, None)?);
        for verb in command.get_subcommands() {
            files.insert(format!("man/{name}-{}.1", verb.get_name()), page(verb, &extra, Some(&name))?);
        }
        for shell in SHELLS {
            files.insert(format!("completions/{name}.{shell}"), program.completions(shell).into_bytes());
        }
    }
    Ok(files)
}

/// One page; of a verb when its program is named.
fn page(command: &Command, extra: &Extra, verb_of: Option<&str>) -> io::Result<Vec<u8>> {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let source = concat!("taskwatcher ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(with_aliases(command.clone()).display_name(&title)).title(&title).section("1").source(source);
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

/// The other names of an option, which clap_mangen leaves out, at the end of its text.
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

/// Writes the files, and removes those that are not ours any more.
///
/// # Errors
/// As the file system says.
pub fn write(docs: &Path, files: &Files) -> io::Result<()> {
    for folder in ["man", "completions"] {
        fs::create_dir_all(docs.join(folder))?;
    }
    for name in present(docs)?.difference(&files.keys().cloned().collect()) {
        fs::remove_file(docs.join(name))?;
    }
    files.iter().try_for_each(|(name, content)| fs::write(docs.join(name), content))
}

/// What is not as it should be, a line for each file.
///
/// # Errors
/// As the file system says.
pub fn drift(docs: &Path, files: &Files) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, content) in files {
        match fs::read(docs.join(name)) {
            Ok(found) if found == *content => {}
            Ok(_) => lines.push(format!("docs/{name} is out of date")),
            Err(error) => lines.push(format!("cannot read docs/{name}: {error}")),
        }
    }
    let ours: BTreeSet<String> = files.keys().cloned().collect();
    lines.extend(present(docs)?.difference(&ours).map(|name| format!("docs/{name} belongs to no program")));
    Ok(lines)
}

/// The files that are there.
fn present(docs: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in ["man", "completions"] {
        let entries = match fs::read_dir(docs.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            names.insert(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    Ok(names)
}
