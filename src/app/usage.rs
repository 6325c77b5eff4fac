//! Handles a command line that is not run: help, version, or bad usage.

use std::io::{self, Write};

use clap::error::ErrorKind;

/// Prints help, the version, or an error after the name of the program. Returns the exit code: `failed` if help or the
/// version could not be written, unless its reader went away.
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
