//! Tasks under supervision: how other programs recognize them, and request their end.
//!
//! Such a task is restarted if it is ended directly, so its supervisor is asked to stop the
//! program.

use std::{io, path::Path, time::Duration};

use crate::{
    io::{
        account,
        connect::{ConnectError, Socket},
        process,
        rundir::RunDir,
        sys,
    },
    model::{
        shim::{Run, SupervisorId},
        task::Task,
        wire::{Code, Command, Request, Response, Targets},
    },
};

/// How long a supervisor may take to accept a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A task that is a run of a supervised process.
#[derive(Debug)]
pub(super) struct Supervised {
    process: String,
    /// The owner of the run folder.
    owner: u32,
    supervisor: Option<SupervisorId>,
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
    Unreachable(i32, ConnectError),
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

/// The reply of a supervisor to a stop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SupervisorReply {
    /// The supervisor stops the process.
    Stops,
    /// The supervisor does not know the process, and will not restart it.
    Unknown,
}

/// Returns the supervised process of which this task is a run; `None` if it is not supervised.
///
/// # Errors
/// [`NotAsked::Unreadable`]
pub(super) fn of_task(db: &Path, task: &Task) -> Result<Option<Supervised>, NotAsked> {
    let Some((runs, owner)) = RunDir::look(db) else { return Ok(None) };
    // A disowned run has no file any more.
    let text = match runs.read(&task.handle) {
        // A user who may not read the runs of a supervisor cannot reach their shims either.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        text => text.map_err(NotAsked::Unreadable)?,
    };
    let Some(text) = text else { return Ok(None) };
    let run = Run::parse(&text).filter(|run| Some(run.shim) == task.launcher);
    Ok(run.map(|run| Supervised { process: run.process, owner, supervisor: alive_in(&runs) }))
}

/// Returns the live supervisor of this database, if there is one.
pub(super) fn supervisor_of(db: &Path) -> Option<SupervisorId> {
    alive_in(&RunDir::look(db)?.0)
}

fn alive_in(runs: &RunDir) -> Option<SupervisorId> {
    let supervisor = SupervisorId::parse(&runs.read_self().ok()??)?;
    // A copied run folder still names the supervisor of the original. If that is unknown, it may be
    // the right one.
    if !runs.is_locked().unwrap_or(true) {
        return None;
    }
    let is_here = sys::boot_id().is_ok_and(|boot| boot == supervisor.boot);
    (is_here && !process::gone(supervisor.process)).then_some(supervisor)
}

impl Supervised {
    /// Requests the supervisor to stop the process, without waiting for the end.
    ///
    /// # Errors
    /// [`NotAsked`]
    pub(super) fn stop(&self, now: bool) -> Result<SupervisorReply, NotAsked> {
        let supervisor = self.supervisor.as_ref().ok_or(NotAsked::NoSupervisor)?;
        let pid = supervisor.process.pid;
        let path = supervisor.socket.as_ref().ok_or(NotAsked::NoSocket(pid))?;
        let command = Command::Stop { of: Targets::processes([&self.process]), now };
        let request = Request { wait: false, ..Request::new(command) };
        let unreachable = |error| NotAsked::Unreachable(pid, error);
        let mut socket = Socket::connect(path, Some(RESPONSE_TIMEOUT)).map_err(unreachable)?;
        if self.owner != account::own_uid() {
            // The path may lead to the supervisor of a user who does not trust the owner of the
            // folder. A supervisor that switched users after it began to listen is recorded as
            // root.
            let (uid, process) = socket.peer().map_err(|error| unreachable(ConnectError::Io(error)))?;
            let now = process::name_and_owner(process).map(|(_, owner)| owner);
            if uid != self.owner && now != Some(self.owner) {
                return Err(NotAsked::OtherUser(pid, sys::login_of(uid), sys::login_of(self.owner)));
            }
        }
        socket.send(&request.to_line()).map_err(unreachable)?;
        let line = socket.line(Some(RESPONSE_TIMEOUT), None).map_err(unreachable)?;
        let response = Response::parse(&line.ok_or(NotAsked::Unreachable(pid, ConnectError::Closed))?)
            .map_err(|error| NotAsked::Refused(pid, error.to_string()))?;
        match response.error {
            None => Ok(SupervisorReply::Stops),
            Some(error) => match error.code {
                // The process is ending by itself, or just has.
                Code::NotRunning | Code::Stopping => Ok(SupervisorReply::Stops),
                Code::BadName => Ok(SupervisorReply::Unknown),
                Code::Unauthorized => Err(NotAsked::Unauthorized(pid, self.process.clone())),
                _ => Err(NotAsked::Refused(pid, error.message)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_unreadable_run_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("tasks.db");
        let task = Task { handle: "abc".to_owned(), ..Task::default() };
        assert!(of_task(&db, &task).unwrap().is_none(), "there is no run folder");
        let runs = RunDir::beside(&db);
        fs::create_dir(&runs).unwrap();
        assert!(of_task(&db, &task).unwrap().is_none(), "there is no file of this run");
        fs::create_dir(runs.join("abc.run")).unwrap();
        assert!(matches!(of_task(&db, &task), Err(NotAsked::Unreadable(_))));
    }
}
