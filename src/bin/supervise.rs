//! `supervise`: a command line, and from it the supervisor or its client. The work is in `taskwatcher::app`.

use std::{
    ffi::OsString,
    io::{self, LineWriter, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use taskwatcher::{
    app::{
        ctl,
        supervise_args::{ClientArgs, Role, SuperviseArgs},
    },
    io::{dial, terminal},
};

fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

fn run(argv: impl IntoIterator<Item = OsString>) -> u8 {
    match SuperviseArgs::read(argv) {
        Ok(Role::Client(args)) => client(&args),
        Ok(Role::Daemon(_) | Role::Check(_)) => {
            let _ =
                writeln!(io::stderr(), "supervise: error: this build has only the client: name an action (see --help)");
            1
        }
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(1)
        }
    }
}

fn client(args: &ClientArgs) -> u8 {
    // Each line of a message in one write, so that lines of many programs never mix.
    let (stdout, mut err) = (io::stdout(), LineWriter::new(io::stderr()));
    if let Err(error) = dial::end_on_interrupt() {
        let _ = writeln!(err, "supervise: warning: Ctrl-C may not end this with 130: {error}");
    }
    let width = terminal::width(stdout.as_fd());
    let colours = width.is_some() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut out = stdout.lock();
    let mut output = ctl::Output { out: &mut out, err: &mut err, reader: Some(stdout.as_fd()), width, colours };
    ctl::run(args, &mut output)
}
