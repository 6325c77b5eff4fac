//! `launch`: command line and exit code of one task. The work is in `taskwatcher::app::launch`.

use std::{
    fs::File,
    io::{self, IsTerminal, LineWriter, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use taskwatcher::{
    app::{
        activation, db,
        launch::{Finish, LaunchError, LauncherState, Reporter, launch, resume},
        launch_args::LaunchArgs,
        reexec, session, shim, usage,
    },
    io::{child, inbox, store::LockTimeout, terminal},
    model::task::{exit_code, printable},
};

/// Argument 0 of the background part of a detached start, which reports on descriptor 0. In process
/// lists the options and the command follow.
const DETACHED: &str = "launch (detached)";

/// What this program is started for; argument 0 says it.
enum Role {
    /// Keeps the output of a task flowing after its launcher has ended.
    Drain,
    /// Leads the session of a detached task.
    Leader,
    /// Waits for a first connection, then becomes the command.
    Listener,
    /// Becomes the command of a supervised run.
    Command,
    /// Runs a supervised process.
    Shim,
    /// Runs a task.
    Launcher,
}

impl Role {
    fn own() -> Role {
        match std::env::args_os().next() {
            Some(name) if name == child::DRAIN => Role::Drain,
            Some(name) if name == session::LEADER => Role::Leader,
            Some(name) if name == activation::LISTENER => Role::Listener,
            Some(name) if name == shim::COMMAND => Role::Command,
            Some(name) if name == shim::SHIM => Role::Shim,
            Some(_) | None => Role::Launcher,
        }
    }
}

// Each role has frames of its own, so that the stack of a waiting launcher or shim is small.
fn main() -> ExitCode {
    match Role::own() {
        Role::Drain => drain(),
        Role::Leader => lead(),
        Role::Listener => become_command(activation::become_command),
        Role::Command => become_command(shim::become_command),
        Role::Shim => run_shim(),
        Role::Launcher => match continued() {
            Some(code) => code,
            None => start(),
        },
    }
}

#[inline(never)]
fn drain() -> ExitCode {
    inbox::survive_file_size_limit();
    child::drain();
    ExitCode::SUCCESS
}

#[inline(never)]
fn lead() -> ExitCode {
    inbox::survive_file_size_limit();
    exit(Ok(Finish::Code(session::lead())))
}

/// Becomes the command. Returns only if that is not possible.
#[inline(never)]
fn become_command(change: fn()) -> ExitCode {
    change();
    ExitCode::from(u8::try_from(exit_code::NOT_EXECUTABLE).unwrap_or(u8::MAX))
}

#[inline(never)]
fn run_shim() -> ExitCode {
    inbox::block_file_size_limit();
    match shim::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(error.code())
        }
    }
}

/// Continues as the launcher that re-executed this program; `None` if none did. Options are not parsed, which keeps the
/// process small.
#[inline(never)]
fn continued() -> Option<ExitCode> {
    inbox::block_file_size_limit();
    let (handed, arrived) = reexec::take::<LauncherState>()?;
    let mut reporter = Stderr { quiet: handed.quiet, channel: None };
    Some(exit(Ok(resume(*handed, arrived, &mut reporter))))
}

/// Starts a task.
#[inline(never)]
fn start() -> ExitCode {
    let inherited = child::inherited_descriptors();
    let detached = std::env::args_os().next().is_some_and(|name| name == DETACHED);
    let args = match LaunchArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let mut stderr = LineWriter::new(io::stderr());
            let failed = exit_code::LAUNCH_FAILED;
            return ExitCode::from(usage::report(&error, "launch", failed, &mut stderr));
        }
    };
    let quiet = args.quiet;
    exit(match (detached, args.detach) {
        (true, _) => detached_start(args, &inherited),
        (false, true) => detach().map(Finish::Code),
        (false, false) => run(args, &inherited, &mut Stderr { quiet, channel: None }),
    })
}

fn exit(finish: Result<Finish, LaunchError>) -> ExitCode {
    match finish {
        Ok(finish) => {
            if finish == Finish::Interrupted {
                inbox::end_by_interrupt();
            }
            ExitCode::from(u8::try_from(finish.code()).unwrap_or(u8::MAX))
        }
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(u8::try_from(exit_code::LAUNCH_FAILED).unwrap_or(u8::MAX))
        }
    }
}

fn run(args: LaunchArgs, inherited: &[i32], reporter: &mut Stderr) -> Result<Finish, LaunchError> {
    let db = db::path(args.db.as_deref())?;
    launch(&args.spec(db), inherited, reporter)
}

/// Writes one line to stderr, in one write, so that lines of concurrent launchers do not mix; a
/// failure must not stop a task.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("launch: {}\n", printable(&line.replace('\n', " "))).as_bytes());
}

fn say_waiting() {
    say("waiting for the database, which is locked by another program");
}

/// Reports to stderr, or through the channel to the process that waits in [`detach`].
struct Stderr {
    quiet: bool,
    channel: Option<File>,
}

impl Reporter for Stderr {
    fn warn(&mut self, line: &str) {
        if !self.quiet {
            self.fail(line);
        }
    }

    fn fail(&mut self, line: &str) {
        match &mut self.channel {
            Some(channel) => answer(channel, &format!("~{line}")),
            None => say(line),
        }
    }

    fn waits(&mut self) -> bool {
        let Some(channel) = &self.channel else { return true };
        // From here on the task does not depend on the process that waits for its id.
        child::end_with_parent(false);
        !child::reader_is_gone(channel.as_fd())
    }

    fn running(&mut self, id: i64) {
        if let Some(mut channel) = self.channel.take() {
            answer(&mut channel, &id.to_string());
        }
    }

    fn hint(&mut self, line: &str) {
        if !self.quiet && io::stderr().is_terminal() {
            if line.starts_with('\n') {
                let _ = writeln!(io::stderr());
            }
            say(line.trim_start());
        }
    }

    fn is_quiet(&self) -> bool {
        self.quiet
    }

    fn allows_reexec(&self) -> bool {
        true
    }

    fn patience(&self) -> LockTimeout {
        let notify = io::stderr().is_terminal() && !self.quiet;
        LockTimeout { notify: notify.then_some(say_waiting), ..LockTimeout::USUAL }
    }
}

/// Starts this program again, in another session without the terminal, and waits until the command
/// runs there. Returns the exit code.
fn detach() -> Result<i32, LaunchError> {
    let failed = |error| LaunchError::System("detach", error);
    let (mut answer, channel) = io::pipe().map_err(failed)?;
    let mut again = Command::new("/proc/self/exe");
    again.arg0(DETACHED).args(std::env::args_os().skip(1)).stdin(Stdio::from(OwnedFd::from(channel)));
    // Output to a file is kept. A terminal goes away, and the reader of a pipe would wait for its
    // end.
    let keep = |fd: OwnedFd| if terminal::is_file(fd.as_fd()) { Stdio::from(fd) } else { Stdio::null() };
    again.stdout(keep(io::stdout().as_fd().try_clone_to_owned().map_err(failed)?));
    again.stderr(keep(io::stderr().as_fd().try_clone_to_owned().map_err(failed)?));
    let mut child = again.spawn().map_err(failed)?;
    drop(again);
    let mut text = String::new();
    answer.read_to_string(&mut text).map_err(failed)?;
    for line in text.lines() {
        match line.split_at_checked(1) {
            Some(("~", warning)) => say(warning),
            Some(("!", code)) => return Ok(code.parse().unwrap_or(exit_code::LAUNCH_FAILED)),
            Some(_) | None => return Ok(print_number(line)),
        }
    }
    let status = child.wait().map_err(failed)?;
    Err(failed(io::Error::other(format!("ended before the command was started ({status})"))))
}

/// Prints the id of the running task, and reports a failure to do so. Returns the exit code. A
/// closed pipe is not a failure.
fn print_number(id: &str) -> i32 {
    match writeln!(io::stdout(), "{id}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("error: task {id} is running, but its id could not be printed: {error}"));
            exit_code::FAILED
        }
        Ok(()) | Err(_) => 0,
    }
}

/// Sends one line to the process that waits in [`detach`]: `~` and a warning, `!` and the exit code
/// of a failed start, or the id of the running task. A failure must not stop the task.
fn answer(channel: &mut File, line: &str) {
    let _ = channel.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes());
}

/// The background part of [`detach`], which reports on its descriptor 0.
fn detached_start(args: LaunchArgs, inherited: &[i32]) -> Result<Finish, LaunchError> {
    let failed = |error| LaunchError::System("detach", error);
    child::set_name(c"launch");
    // A caller that waits for one of these descriptors to close would wait for the end of the task.
    child::close_inherited(inherited);
    child::end_with_parent(true);
    child::new_session();
    let channel = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
    let null = File::options().read(true).open("/dev/null").map_err(failed)?;
    child::replace_stdin(null.as_fd()).map_err(failed)?;
    drop(null);
    let mut reporter = Stderr { quiet: args.quiet, channel: Some(File::from(channel)) };
    let result = run(args, &[], &mut reporter);
    let Some(mut channel) = reporter.channel.take() else { return result };
    // The channel is still open: no start was reported.
    if let Err(error) = &result {
        answer(&mut channel, &format!("~error: {error}"));
    }
    let code = result.map_or(exit_code::LAUNCH_FAILED, Finish::code);
    answer(&mut channel, &format!("!{code}"));
    Ok(Finish::Code(code))
}
