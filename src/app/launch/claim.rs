//! Claiming a task, before its command starts.

use std::{
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

use super::{CLAIM_STEP, LaunchError, Reporter};
use crate::{
    app::{
        db, reconcile, show,
        spec::{IfRunning, Spec, TIMEOUT},
    },
    io::{
        feedfile,
        inbox::Inbox,
        process,
        spool::Spool,
        store::{Claimed, LockTimeout, NewTask, Refused, Start, Store, StoreError, StoreFailure},
        sys,
    },
    model::task::{Process, TaskId, TaskRef, argv_json},
};

/// Prepares a claimed task for the start of its command: reserves its slot and removes a leftover feedback file.
pub(super) fn make_ready(spec: &Spec, claimed: &Claimed, spool: io::Result<Spool>) -> Result<Spool, LaunchError> {
    let no_room = |error| LaunchError::Spool(spec.db.clone(), error);
    let spool = spool.map_err(no_room)?;
    spool.reserve(claimed.slot).map_err(no_room)?;
    if let Some(path) = &claimed.feedpath {
        feedfile::remove(path)?;
    }
    Ok(spool)
}

pub(super) fn check(spec: &Spec, reporter: &mut dyn Reporter) -> Result<(), LaunchError> {
    if spec.argv.is_empty() {
        return Err(LaunchError::NoCommand);
    }
    let wants_feedback = spec.argv.iter().any(|arg| arg == "--feedback");
    if wants_feedback && spec.reservation.is_none() {
        return Err(LaunchError::FeedbackWithoutId);
    }
    if let Some(dir) = &spec.feedpath {
        let unusable = |why: &str| Err(LaunchError::Feedpath(dir.clone(), why.to_owned()));
        match std::fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => {
                // Otherwise the task would be ended for a silence that it cannot avoid.
                match feedfile::may_write(dir) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        return unusable("not writable");
                    }
                    Err(error) => return unusable(&format!("not writable: {error}")),
                }
            }
            Ok(_) => return unusable("not a folder"),
            Err(error) => return unusable(&error.to_string()),
        }
    }
    if spec.timeout.is_some() && !spec.gives_feedback() {
        reporter.warn(
            "--timeout has no effect: the task gives no feedback (no --feedpath, no --feedback in the command) unless it \
             sends WATCHDOG=1 (sd_notify); --max-runtime limits its whole run",
        );
    }
    Ok(())
}

/// A claimed task: the open database, the task, and the spool, which holds the lock on its slot.
pub(super) type Taken = (Store, Claimed, io::Result<Spool>);

/// Claims the task. Returns `None` if a task with this name is running and `--if-running skip` was given.
///
/// While this function waits, for a lock or for another task, signals have their default effect.
pub(super) fn claim(
    spec: &Spec,
    me: Process,
    inbox: &Inbox,
    reporter: &mut dyn Reporter,
) -> Result<Option<Taken>, LaunchError> {
    let name = spec.name.clone().unwrap_or_else(|| {
        let file = Path::new(&spec.argv[0]).file_name().unwrap_or(&spec.argv[0]);
        file.to_string_lossy().into_owned()
    });
    let system = |what| move |error| LaunchError::System(what, error);
    let feedback = spec.gives_feedback();
    let timeout = feedback.then(|| spec.timeout.unwrap_or(TIMEOUT));
    let cwd = std::env::current_dir().ok();
    let feedpath = match (&spec.feedpath, feedback) {
        (Some(dir), _) => Some(std::path::absolute(dir).unwrap_or_else(|_| dir.clone())),
        (None, true) => cwd.clone(),
        (None, false) => None,
    };
    let mut start = Start {
        task: NewTask {
            name,
            info: spec.info.clone(),
            handle: sys::new_handle().map_err(system("make a handle"))?.to_string(),
            now: 0,
            unique: spec.unique.is_some(),
        },
        reservation: spec.reservation.clone(),
        worker: None,
        named: spec.name.is_some(),
        feedback,
        feedpath,
        log: spec.log,
        options: spec.options_json(),
        supervised: None,
        keep_feedback: spec.keep_feedback,
        // Without feedback the timeout applies from the first heartbeat on the notify socket.
        timeout: timeout.or(spec.timeout).map(|t| t.as_secs_f64()),
        max_runtime: spec.max_runtime.map(|t| t.as_secs_f64()),
        stop_signal: spec.stop_signal.to_string(),
        kill_after: spec.kill_after.as_secs_f64(),
        launcher: Some(me),
        boot_id: sys::boot_id().ok(),
        namespace: sys::namespace(),
        launcher_inode: process::inode(me.pid),
        host: sys::host_name(),
        user: sys::login(),
        argv: argv_json(&spec.argv),
        cwd,
    };
    let unguarded = system("take signals");
    let patience = reporter.patience();
    let mut store = inbox.unguarded(|| db::open_or_create(&spec.db, patience)).map_err(&unguarded)??;
    let spool = Spool::open(&spec.db, true);
    store.set_lock_timeout(LockTimeout { limit: CLAIM_STEP, notify: None });
    let mut lock = Wait::begin(patience);
    loop {
        start.task.now = sys::now().wall.secs();
        match reconcile::claim(&mut store, &start, spool.as_ref().ok()) {
            Ok(claimed) => return Ok(Some((store, claimed, spool))),
            Err(StoreFailure::Broken(StoreError::Busy(path, doing, _))) => {
                if !lock.goes_on() {
                    return Err(StoreFailure::from(StoreError::Busy(path, doing, patience.limit.as_secs())).into());
                }
                // Signals that arrived meanwhile take effect now.
                inbox.unguarded(|| ()).map_err(&unguarded)?;
            }
            Err(StoreFailure::Refused(Refused::NameTaken { row })) if spec.unique == Some(IfRunning::Wait) => {
                store.set_lock_timeout(patience);
                let (id, name) = (row.id, show::clean(&row.name));
                let other = TaskRef::Id(TaskId(id));
                let mut report = || reporter.hint(&format!("waiting for task {id} ({name}) to end"));
                inbox
                    .unguarded(|| crate::app::wait::until_ended(&mut store, &other, &mut report))
                    .map_err(&unguarded)??;
                store.set_lock_timeout(LockTimeout { limit: CLAIM_STEP, notify: None });
                lock = Wait::begin(patience);
            }
            Err(StoreFailure::Refused(Refused::NameTaken { .. })) if spec.unique == Some(IfRunning::Skip) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A wait for the lock in steps, with the given timeout in total.
struct Wait {
    patience: LockTimeout,
    since: Duration,
}

impl Wait {
    fn begin(patience: LockTimeout) -> Wait {
        Wait { patience, since: sys::now().mono }
    }

    /// Whether the timeout has not elapsed. Reports once that this process waits.
    fn goes_on(&mut self) -> bool {
        let waited = sys::now().mono.saturating_sub(self.since);
        if waited >= LockTimeout::NOTICED
            && let Some(notify) = self.patience.notify.take()
        {
            notify();
        }
        waited < self.patience.limit
    }
}
