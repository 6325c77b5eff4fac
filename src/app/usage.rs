//! What becomes of a command line that is not run: help, a version, or bad usage.

use std::io::{self, Write};

/// Returns the exit code of a program whose command line gave `error`, which was `printed`. Help that could not be
/// written is a failure, as other output is, with the exit code `failed`; that its reader went away is none.
pub fn exit_code(
    error: &clap::Error,
    printed: io::Result<()>,
    program: &str,
    failed: i32,
    messages: &mut dyn Write,
) -> u8 {
    let usual = u8::try_from(error.exit_code()).unwrap_or(1);
    match printed {
        Err(why) if !error.use_stderr() && why.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(messages, "{program}: error: cannot write to standard output: {why}");
            u8::try_from(failed).unwrap_or(1)
        }
        Ok(()) | Err(_) => usual,
    }
}
