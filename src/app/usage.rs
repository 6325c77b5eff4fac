//! What becomes of a command line that is not run: help, a version, or bad usage.

use std::io::{self, Write};

use clap::error::ErrorKind;

/// Prints what came of a command line instead of a run, an error with the name of the program before it, as its other
/// errors have; returns the exit code. Help that could not be written is a failure, as other output is, with the exit code
/// `failed`; that its reader went away is none.
pub fn report(error: &clap::Error, program: &str, failed: i32, messages: &mut dyn Write) -> u8 {
    let usual = u8::try_from(error.exit_code()).unwrap_or(1);
    if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(messages, "{program}: ").and_then(|()| messages.flush());
    }
    match error.print() {
        Err(why) if !error.use_stderr() && why.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(messages, "{program}: error: cannot write to standard output: {why}");
            u8::try_from(failed).unwrap_or(1)
        }
        Ok(()) | Err(_) => usual,
    }
}
