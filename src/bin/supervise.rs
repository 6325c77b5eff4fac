//! `supervise`: reads the command line, and runs the supervisor or its client from
//! `taskwatcher::app`.

use std::{
    ffi::OsString,
    io::{self, IsTerminal, LineWriter, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use taskwatcher::{
    app::{
        client,
        shell::{self, Input},
        supervise::{self, begin},
        supervise_args::{Action, ClientArgs, DaemonArgs, Role, SuperviseArgs},
        usage, web,
    },
    io::{connect, inbox, terminal},
    model::task::exit_code,
};

fn main() -> ExitCode {
    inbox::survive_file_size_limit();
    ExitCode::from(run(std::env::args_os()))
}

fn run(argv: impl IntoIterator<Item = OsString>) -> u8 {
    match SuperviseArgs::read(argv) {
        Ok(Role::Client(args)) => client(&args),
        Ok(Role::Daemon(args)) => {
            let args = begin::DaemonArgs { file: args.file, overrides: args.overrides };
            let mut warn = |line: &str| say(&mut io::stderr(), line);
            u8::try_from(supervise::run(&args, &mut warn, Box::new(io::stdout()))).unwrap_or(1)
        }
        Ok(Role::Check(args)) => check(args),
        Ok(Role::Web(args)) => u8::try_from(web::run(&args, &mut |line| say(&mut io::stderr(), line))).unwrap_or(1),
        Err(error) => usage::report(&error, "supervise", exit_code::FAILED, &mut LineWriter::new(io::stderr())),
    }
}

/// Writes one line to stderr, in one write; a failure is ignored.
fn say(out: &mut dyn Write, line: &str) {
    let _ = out.write_all(format!("supervise: {}\n", line.replace('\n', " ")).as_bytes());
}

/// Runs `--check`: 0 if the configuration is valid, else 2.
fn check(args: DaemonArgs) -> u8 {
    let dump = args.dump;
    let args = begin::DaemonArgs { file: args.file, overrides: args.overrides };
    match begin::check(&args) {
        Ok(checked) => {
            checked.warnings.iter().for_each(|line| say(&mut io::stderr(), &format!("warning: {line}")));
            let mut out = io::stdout();
            match if dump { out.write_all(checked.dump.as_bytes()).and_then(|()| out.flush()) } else { Ok(()) } {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    say(&mut io::stderr(), &format!("error: cannot write to standard output: {error}"));
                    1
                }
                Ok(()) | Err(_) => 0,
            }
        }
        Err(failed) => {
            failed.lines.iter().for_each(|line| say(&mut io::stderr(), &format!("error: {line}")));
            u8::try_from(failed.code).unwrap_or(2)
        }
    }
}

fn client(args: &ClientArgs) -> u8 {
    // Each line of a message in one write, so that lines of concurrent programs do not mix.
    let (stdout, mut err) = (io::stdout(), LineWriter::new(io::stderr()));
    let is_shell = args.then_shell || matches!(args.action, Action::Shell(_));
    let is_terminal = io::stdin().is_terminal();
    // An interactive shell at a terminal survives Ctrl-C.
    if let Err(error) = if is_shell && is_terminal { Ok(()) } else { connect::end_on_interrupt() } {
        let _ = writeln!(err, "supervise: warning: Ctrl-C may not end this with 130: {error}");
    }
    let width = terminal::width(stdout.as_fd());
    let colours = width.is_some() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Not locked: the line editor of the shell writes to it too.
    let mut out = &stdout;
    let mut output =
        client::ClientOutput { out: &mut out, err: &mut err, reader: Some(stdout.as_fd()), width, colours };
    match (is_shell, is_terminal) {
        (false, _) => client::run(args, &mut output),
        (true, true) => shell::run(args, Input::Terminal, &mut output),
        (true, false) => shell::run(args, Input::Script(&mut io::stdin().lock()), &mut output),
    }
}
