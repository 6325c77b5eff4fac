//! What the service needs of supervisors, which keep tasks running.
//!
//! A task under supervision is restarted if it is ended directly, so its supervisor is asked to stop the program. How a
//! supervisor is found and asked is not a matter of the record: each program passes in an implementation.

use std::{error::Error, io, path::Path};

use crate::model::task::{Signal, Task};

/// The supervisors of tasks.
pub trait Supervision {
    /// Returns the pid of the live supervisor of a database, if there is one.
    fn supervisor_of(&self, db: &Path) -> Option<i32>;

    /// Requests the supervisor of a task to stop its process, with its own stop signal or SIGKILL (`now`), without waiting
    /// for the end. A `signal` is refused. Returns false if no supervisor keeps the task running.
    ///
    /// # Errors
    /// [`NotAsked`]
    fn stop(&self, db: &Path, task: &Task, signal: Option<Signal>, now: bool) -> Result<bool, NotAsked>;
}

/// Why the supervisor could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// The supervisor is dead.
    #[error("its supervisor is not running; start the supervisor, or use --force")]
    NoSupervisor,
    /// It is unknown whether there is a supervisor.
    #[error("cannot determine whether a supervisor manages it: {0}; try again, or use --force")]
    Unreadable(io::Error),
    /// The supervisor has no socket.
    #[error("its supervisor (pid {0}) has no [unix_http_server], so it cannot be asked; use --force")]
    NoSocket(i32),
    /// The supervisor cannot be reached.
    #[error("its supervisor (pid {0}) cannot be asked: {1}; use --force")]
    Unreachable(i32, Box<dyn Error + Send + Sync>),
    /// The socket belongs to another user.
    #[error(
        "its supervisor (pid {0}) was not asked: its socket belongs to {1}, and its runs to {2}; \
         use supervise stop, or --force"
    )]
    OtherUser(i32, String, String),
    /// The supervisor requires a password.
    #[error("its supervisor (pid {0}) requires a password: use supervise stop {1:?}, or --force")]
    Unauthorized(i32, String),
    /// The supervisor refused.
    #[error("refused by its supervisor (pid {0}): {1}")]
    Refused(i32, String),
    /// The supervisor does not take a signal.
    #[error("its supervisor uses the stopsignal of the program; omit --signal, or use --force")]
    OwnSignal,
}
