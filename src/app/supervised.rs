//! Tasks under supervision: how other programs recognize them, and request their end.
//!
//! Such a task is restarted if it is ended directly, so its supervisor is asked to stop the
//! program.

use std::{io, path::Path, time::Duration};

use super::service::{NotAsked, Supervision};
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
        task::{Signal, Task},
        wire::{Code, Command, Request, Response, Targets},
    },
};

/// How long a supervisor may take to accept a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A task that is a run of a supervised process.
#[derive(Debug)]
struct Supervised {
    process: String,
    /// The owner of the run folder.
    owner: u32,
    supervisor: Option<SupervisorId>,
}

/// Returns the supervised process of which this task is a run; `None` if it is not supervised.
///
/// # Errors
/// [`NotAsked::Unreadable`]
fn of_task(db: &Path, task: &Task) -> Result<Option<Supervised>, NotAsked> {
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

/// The supervisors of this host, found by their run folders and asked over their sockets.
#[derive(Clone, Copy, Debug)]
pub struct Supervisors;

impl Supervision for Supervisors {
    fn supervisor_of(&self, db: &Path) -> Option<i32> {
        Some(alive_in(&RunDir::look(db)?.0)?.process.pid)
    }

    fn stop(&self, db: &Path, task: &Task, signal: Option<Signal>, now: bool) -> Result<bool, NotAsked> {
        let Some(supervised) = of_task(db, task)? else { return Ok(false) };
        if signal.is_some() { Err(NotAsked::OwnSignal) } else { supervised.stop(now) }
    }
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
    /// Requests the supervisor to stop the process, without waiting for the end. Returns false if the supervisor does not
    /// know the process, and so will not restart it.
    ///
    /// # Errors
    /// [`NotAsked`]
    fn stop(&self, now: bool) -> Result<bool, NotAsked> {
        let supervisor = self.supervisor.as_ref().ok_or(NotAsked::NoSupervisor)?;
        let pid = supervisor.process.pid;
        let path = supervisor.socket.as_ref().ok_or(NotAsked::NoSocket(pid))?;
        let command = Command::Stop { of: Targets::processes([&self.process]), now };
        let request = Request { wait: false, ..Request::new(command) };
        let unreachable = |error: ConnectError| NotAsked::Unreachable(pid, error.into());
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
        let response = Response::parse(&line.ok_or(NotAsked::Unreachable(pid, ConnectError::Closed.into()))?)
            .map_err(|error| NotAsked::Refused(pid, error.to_string()))?;
        match response.error {
            None => Ok(true),
            Some(error) => match error.code {
                // The process is ending by itself, or just has.
                Code::NotRunning | Code::Stopping => Ok(true),
                Code::BadName => Ok(false),
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
