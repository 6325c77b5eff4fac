//! `parse`: feedback files and UPIDs as JSON. Command line and exit code; the work is in
//! `taskwatcher::app::parse`.

use std::io::{self, IsTerminal, LineWriter, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Parser;
use taskwatcher::app::parse::{Output, ParseError, Verdict, run};
use taskwatcher::app::parse_args::ParseArgs;
use taskwatcher::app::usage;
use taskwatcher::io::inbox;
use taskwatcher::model::task::exit_code;

fn main() -> ExitCode {
    inbox::survive_file_size_limit();
    // Each line in one write, so that lines of concurrent programs do not mix.
    let (stdout, mut stderr) = (io::stdout(), LineWriter::new(io::stderr()));
    let args = match ParseArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            return ExitCode::from(usage::report(&error, "parse", exit_code::FAILED, &mut stderr));
        }
    };
    let mut data = stdout.lock();
    let result = run(
        &args,
        &mut Output {
            data: &mut data,
            messages: &mut stderr,
            terminal: stdout.is_terminal(),
            reader: Some(stdout.as_fd()),
        },
    );
    match result {
        Ok(Verdict::Clean) | Err(ParseError::ReaderGone) => ExitCode::SUCCESS,
        Ok(Verdict::Findings) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(stderr, "parse: error: {error}");
            ExitCode::from(1)
        }
    }
}
