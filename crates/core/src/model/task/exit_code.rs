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
/// `supervise status`: a process is not up.
pub const NOT_UP: i32 = 3;
/// `supervise`: the state of a process is unknown, because the supervisor cannot be asked.
pub const STATE_UNKNOWN: i32 = 4;
/// `supervise`: the supervisor has another protocol version.
pub const OTHER_PROTOCOL: i32 = 5;
/// `supervise`: the supervisor, or a process, is not running.
pub const NOT_RUNNING: i32 = 7;
/// `supervise`: waiting was interrupted by Ctrl-C.
pub const INTERRUPTED: i32 = 130;
/// `launch` ended the command (timeout, max runtime); `control wait --timeout` gave up.
pub const TIMED_OUT: i32 = 124;
/// `launch` itself failed: database, reservation, or an option that could not be checked
/// earlier.
pub const LAUNCH_FAILED: i32 = 125;
/// The command exists and cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// The command was not found.
pub const NOT_FOUND: i32 = 127;
