//! How a task comes to be ours, before its command starts.

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

/// What a claimed task needs before its command may start.
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
    let told = spec.argv.iter().any(|arg| arg == "--feedback");
    if told && spec.reservation.is_none() {
        return Err(LaunchError::FeedbackWithoutId);
    }
    if let Some(dir) = &spec.feedpath {
        let unusable = |why: &str| Err(LaunchError::Feedpath(dir.clone(), why.to_owned()));
        match std::fs::metadata(dir) {
            Ok(meta) if meta.is_dir() => {
                // The task would be ended for a silence that it could not break.
                match feedfile::may_write(dir) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                        return unusable("it cannot be written");
                    }
                    Err(error) => return unusable(&format!("it cannot be written: {error}")),
                }
            }
            Ok(_) => return unusable("it is not a folder"),
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

/// A task that was claimed: the database, still open, the task, and the spool, through which its slot is locked.
pub(super) type Taken = (Store, Claimed, io::Result<Spool>);

/// Makes the task ours; none: another of its name runs and that is fine (`--if-running skip`).
///
/// Whoever waits here, for a lock or for another task, can be ended as any program.
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
        // Without feedback it holds from the first heartbeat on that comes another way.
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
                // What arrived meanwhile acts now.
                inbox.unguarded(|| ()).map_err(&unguarded)?;
            }
            Err(StoreFailure::Refused(Refused::NameTaken { id, name, .. })) if spec.unique == Some(IfRunning::Wait) => {
                store.set_lock_timeout(patience);
                let other = TaskRef::Id(TaskId(id));
                let mut told = || reporter.hint(&format!("waiting for task {id} ({}) to end", show::clean(&name)));
                inbox
                    .unguarded(|| crate::app::wait::until_ended(&mut store, &other, &mut told))
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

/// A wait for the lock in steps, as patient in all as it was asked for.
struct Wait {
    patience: LockTimeout,
    since: Duration,
}

impl Wait {
    fn begin(patience: LockTimeout) -> Wait {
        Wait { patience, since: sys::now().mono }
    }

    /// Whether there is patience left; tells once that we wait.
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
