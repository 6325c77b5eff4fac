//! The exit codes of the programs, as listed in `docs/reference/exit-codes.md`.

/// `control`, `parse`: failed; `launch`: the command's output was lost, or the id of a detached
/// task, or there were warnings and `--fail-on-warnings`.
pub const FAILED: i32 = 1;
/// `control check`: no task of that name ever succeeded.
pub const NEVER: i32 = 3;
/// `control export`: the database does not exist.
pub const NOTHING_YET: i32 = 3;
/// Bad usage, in every program.
pub const USAGE: i32 = 2;
/// `launch` ended the command (timeout, max runtime); `control wait --timeout` gave up.
pub const TIMED_OUT: i32 = 124;
/// `launch` itself failed: database, reservation, or an option that could not be checked
/// earlier.
pub const LAUNCH_FAILED: i32 = 125;
/// The command exists and cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// The command was not found.
pub const NOT_FOUND: i32 = 127;
