//! Determines the true state of the tasks in a database: gathers the facts, lets the model judge, and settles tasks
//! that have ended.
//!
//! Every verb that reads does this first, so that no dead task is ever shown as running. If the database cannot be
//! written, the true state is still shown, only ended tasks are not moved yet. The same applies to a database of
//! another user, whose rows may name any process and any file: its owner settles it.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use crate::{
    io::{
        feedfile::{self, FeedError, FeedFile, Mark},
        process::{self, Snapshot},
        spool::{SelfReport, Spool},
        store::{self, Claimed, DeadRows, Hold, LockTimeout, Refused, Start, Store, StoreError, StoreFailure},
        sys,
    },
    model::{
        feedback::Feedback,
        reconcile::{Facts, Life, Lock, Verdict, View, Viewpoint, judge, last_beat, launcher_life},
        task::{End, Process, Status, Task, Timestamp},
    },
};

/// Number of tasks above which more threads are worth their cost.
pub const MANY: usize = 250;

/// A live task, in its true state.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its row.
    pub task: Arc<Task>,
    /// Its status.
    pub status: Status,
    /// Its last heartbeat, or its start before the first one.
    pub beat: Timestamp,
    /// Remaining processes of an orphan's command.
    pub survivors: Vec<Process>,
    /// What the task reported about itself.
    pub story: Option<Box<SelfReport>>,
    /// Whether the launcher is stopped by a signal, so that nothing watches the command. Only checked if there are few
    /// tasks.
    pub stopped: bool,
}

/// All tasks of a database, in their true state.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Live tasks.
    pub live: Vec<Live>,
    /// Tasks that were found to have ended.
    pub ended: Vec<(Arc<Task>, End)>,
    /// Whether `ended` was moved to the history. False if the database could not be written.
    pub settled: bool,
}

/// Examines every task, and moves ended tasks to the history.
///
/// # Errors
/// The database cannot be read. A database that cannot be written is not an error.
pub fn survey(store: &mut Store) -> Result<Survey, StoreError> {
    let mut found = look(store.path(), |take| store.each_task(take), sys::now().wall)?;
    if found.live.iter().all(|live| live.status != Status::Orphaned) && found.ended.is_empty() {
        return Ok(found);
    }
    // A launcher records the end and then exits. If that happened between reading the row and examining the launcher,
    // the task only seems lost. Reading the rows again detects that.
    let still = store.task_numbers()?;
    found.live.retain(|live| still.contains(&live.task.id));
    found.ended.retain(|(task, _)| still.contains(&task.id));
    if found.ended.is_empty() || !store.is_own() {
        return Ok(found);
    }
    let mut unread: HashSet<i64> = HashSet::new();
    for (task, end) in &mut found.ended {
        match task.feedpath.as_deref().map(read_all) {
            Some(Ok(LastFeedback { feedback, .. })) => {
                end.feedback = Some(feedback.to_json());
                end.warnings = end.warnings.max(feedback.warnings());
            }
            // The last stored values are used, and the file is kept.
            Some(Err(_)) => drop(unread.insert(task.id)),
            None => {}
        }
    }
    sys::crash_point("settle.before");
    let patience = store.set_lock_timeout(LockTimeout::SHORT);
    let settled = if store.is_writable() { store.settle(&found.ended).map(|_| true) } else { Ok(false) };
    store.set_lock_timeout(patience);
    sys::crash_point("settle.after");
    found.settled = match settled {
        Ok(settled) => settled,
        Err(StoreError::Busy(..) | StoreError::Full(..) | StoreError::ReadOnly(..)) => false,
        Err(error) => return Err(error),
    };
    if found.settled {
        let read = found.ended.iter().filter(|(task, _)| !unread.contains(&task.id));
        read.for_each(|(task, _)| remove_feedback(store, task));
    }
    Ok(found)
}

/// Whether the task of a row has ended. Judges like [`survey`]; a task that cannot be judged counts as alive.
fn is_dead(db: &Path, task: &Task) -> bool {
    let read = |take: &mut dyn FnMut(Arc<Task>)| {
        take(Arc::new(task.clone()));
        Ok::<_, Infallible>(())
    };
    look(db, read, sys::now().wall).is_ok_and(|found| !found.ended.is_empty())
}

/// Whether pids of this task mean the same processes in this process: false if the task runs in another pid namespace.
pub fn is_seen_here(task: &Task) -> bool {
    viewpoint().view_of(task) == View::Same
}

/// Returns the viewpoint of this process.
fn viewpoint() -> Viewpoint {
    Viewpoint { boot_id: sys::boot_id().ok(), namespace: sys::namespace(), host: sys::host_name() }
}

/// What a look at a task showed.
enum Look {
    Judged(Judged),
    /// The launcher is gone: the task is what remains of its command, which is searched for next.
    Lost(Arc<Task>, Box<Facts>, Option<Box<SelfReport>>),
}

/// What a task is.
enum Judged {
    Live(Live),
    Ended(Arc<Task>, Box<End>),
}

/// Looks at each task that `read` passes on, and judges it. With many tasks, the first ones are looked at while the
/// others are read.
fn look<E>(
    db: &Path,
    read: impl FnOnce(&mut dyn FnMut(Arc<Task>)) -> Result<(), E>,
    now: Timestamp,
) -> Result<Survey, E> {
    let here = viewpoint();
    let locks = Locks::of(db);
    // A task is judged while its row is in the cache of the processor that looked at it.
    let look = |task: Arc<Task>| {
        let (facts, report) = look_at(&task, &here, &locks);
        match is_lost(&task, &facts) {
            true => Look::Lost(task, Box::new(facts), report),
            false => Look::Judged(verdict_of(task, &facts, report, vec![], now)),
        }
    };
    let mut looks: Vec<Look> = sys::work_while_reading(MANY, read, |part| part.into_iter().map(look).collect())?;
    let few = looks.len() <= MANY;
    let mut survivors = find_survivors(&mut looks, &here);
    let mut found = Survey { live: Vec::with_capacity(looks.len()), ..Survey::default() };
    for look in looks {
        let judged = match look {
            Look::Judged(judged) => judged,
            Look::Lost(task, facts, report) => {
                let survivors = survivors.remove(&task.id).unwrap_or_default();
                verdict_of(task, &facts, report, survivors, now)
            }
        };
        match judged {
            Judged::Live(mut live) => {
                live.stopped = few && is_launcher_stopped(&live.task, &here);
                found.live.push(live);
            }
            Judged::Ended(task, end) => found.ended.push((task, *end)),
        }
    }
    Ok(found)
}

/// Judges a task by its facts, but for whether its launcher is stopped.
fn verdict_of(
    task: Arc<Task>,
    facts: &Facts,
    story: Option<Box<SelfReport>>,
    survivors: Vec<Process>,
    now: Timestamp,
) -> Judged {
    match judge(&task, facts, now) {
        Verdict::Live(status) => {
            let beat = last_beat(&task, facts);
            Judged::Live(Live { task, status, beat, survivors, story, stopped: false })
        }
        Verdict::Ended(mut end) => {
            if task.is_worker() {
                end.feedback = story.as_deref().and_then(feedback_of_worker);
            }
            Judged::Ended(task, end)
        }
    }
}

/// Whether the launcher of a task is seen stopped by a signal.
pub(super) fn sees_launcher_stopped(task: &Task) -> bool {
    is_launcher_stopped(task, &viewpoint())
}

fn is_launcher_stopped(task: &Task, here: &Viewpoint) -> bool {
    let launcher = task.launcher.filter(|_| here.view_of(task) == View::Same);
    launcher.is_some_and(|launcher| {
        process::stat(launcher.pid).is_some_and(|stat| stat.process == launcher && stat.stopped)
    })
}

/// Whether the launcher of a task is gone without a recorded end, so that processes of its command may remain.
fn is_lost(task: &Task, facts: &Facts) -> bool {
    // A worker has no processes of its own.
    facts.launcher == Life::Gone && facts.spooled.is_none() && !task.is_reserved() && !task.is_worker()
}

/// Finds the remaining processes of each lost task, and records the result in its facts. Returns the processes by task id.
fn find_survivors(looks: &mut [Look], here: &Viewpoint) -> HashMap<i64, Vec<Process>> {
    let mut survivors = HashMap::new();
    // Two passes, because one pass over /proc can miss a process that forks and exits, or that is executing another
    // program.
    for _ in 0..2 {
        let lost = looks.iter_mut().filter_map(|look| match look {
            Look::Lost(task, facts, _) if facts.survivors == Life::Gone => Some((task, facts)),
            Look::Lost(..) | Look::Judged(_) => None,
        });
        let mut lost = lost.peekable();
        if lost.peek().is_none() {
            break;
        }
        let seen = Snapshot::take();
        for (task, facts) in lost {
            let left = left_of(task, &seen, here);
            facts.survivors = match (left.is_empty(), seen.complete) {
                (false, _) => Life::Alive,
                (true, true) if here.sees_survivors_of(task) => life_of_command(task, here),
                (true, _) => Life::Unknown,
            };
            survivors.insert(task.id, left);
        }
    }
    survivors
}

/// Whether the command's first process is alive, for a task of which the search found no process.
fn life_of_command(task: &Task, here: &Viewpoint) -> Life {
    match (task.command(), here.view_of(task)) {
        (Some(command), View::Same) => process::look_by(command, task.signs.pid_inode),
        (Some(_) | None, _) => Life::Gone,
    }
}

fn left_of(task: &Task, seen: &Snapshot, here: &Viewpoint) -> Vec<Process> {
    let command = task.command().filter(|_| here.view_of(task) == View::Same);
    seen.left_of(task.upid().unwrap_or_default(), &task.handle, command, task.signs.pid_session)
}

/// The locks that launchers hold on their slots.
struct Locks {
    spool: Result<Spool, Lock>,
}

impl Locks {
    fn of(db: &Path) -> Locks {
        Locks { spool: Spool::open(db, false).map_err(|error| Locks::without(&error)) }
    }

    /// Returns what is known of a lock whose file cannot be opened.
    fn without(error: &io::Error) -> Lock {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Lock::NoSpool,
            _ => Lock::Unknown,
        }
    }

    /// Returns the lock of a task's launcher, and whether the task may have reported something about itself.
    fn lock_of(&self, task: &Task) -> (Lock, bool) {
        let (spool, slot) = match (&self.spool, task.slot) {
            (_, _) if !task.signs.held => return (Lock::NoSpool, true),
            (Err(why), _) => return (*why, true),
            (Ok(_), None) => return (Lock::NoSpool, true),
            (Ok(spool), Some(slot)) => (spool, slot),
        };
        match spool.held(slot) {
            Ok(Some(held)) => (Lock::Held, held.has_report),
            Ok(None) => (Lock::Free, true),
            Err(error) => (Locks::without(&error), true),
        }
    }
}

/// Determines whether the launcher of a task is alive.
fn launcher_of(task: &Task, view: View, lock: Lock) -> Life {
    let Some(launcher) = task.launcher else { return Life::Gone };
    let seen = match (lock, view) {
        // The lock is sufficient evidence.
        (Lock::Held, _) | (_, View::Elsewhere | View::Restarted) => Life::Unknown,
        (Lock::Free | Lock::NoSpool | Lock::Unknown, View::Same) => {
            process::look_by(launcher, task.signs.launcher_inode)
        }
    };
    launcher_life(task.signs.held, lock, view, seen)
}

/// Gathers the facts about a task, without the survivors of its command, and the task's report about itself.
fn look_at(task: &Task, here: &Viewpoint, locks: &Locks) -> (Facts, Option<Box<SelfReport>>) {
    let (lock, tells) = locks.lock_of(task);
    let view = here.view_of(task);
    let launcher = if task.is_reserved() { Life::Unknown } else { launcher_of(task, view, lock) };
    let place = locks.spool.as_ref().ok().zip(task.slot).zip(task.upid());
    let story = place.filter(|_| tells).and_then(|((spool, slot), upid)| spool.report_of(slot, upid)).map(Box::new);
    let is_worker = task.is_worker();
    // A worker ends before its process.
    let spooled = place.filter(|_| launcher != Life::Alive || is_worker);
    let spooled = spooled.and_then(|((spool, slot), upid)| spool.end_of(slot, upid)).map(Box::new);
    let reported = story.as_ref().and_then(|story| story.beat).map(Timestamp);
    let asked = place.filter(|_| is_worker);
    let asked = asked.is_some_and(|((spool, slot), upid)| spool.request_of(slot, upid).is_some());
    let restarted = view == View::Restarted;
    let beat = beat_of(task);
    (Facts { restarted, launcher, survivors: Life::Gone, spooled, beat, reported, asked }, story)
}

fn beat_of(task: &Task) -> Option<Timestamp> {
    // A worker has no feedback file; the last line of its log is its last sign of life.
    let is_its_log = |log: &&Path| task.upid().is_some_and(|upid| store::is_log_file(log, task.id, upid));
    let log = || task.log.as_deref().filter(|_| task.is_worker()).map(Path::new).filter(is_its_log);
    let path = task.feedpath.as_deref().filter(|_| task.feedback && !task.is_reserved()).or_else(log)?;
    let signature = feedfile::signature(path).ok().flatten()?;
    i64::try_from(signature.mtime_ns).ok().map(Timestamp)
}

/// Returns the feedback of a worker for the history: its progress, in the form in which a command writes it.
pub fn feedback_of_worker(story: &SelfReport) -> Option<String> {
    story.progress.map(|percent| json!({ "progress": format!("{percent:.0}") }).to_string())
}

/// The last feedback of an ended task.
#[derive(Debug, Default)]
pub struct LastFeedback {
    /// The values, including those of an incomplete last line.
    pub feedback: Feedback,
    /// Number of bytes in the middle of the file that were not read because the file is too long.
    pub skipped: u64,
}

/// Reads a feedback file for the last time.
///
/// # Errors
/// The file does not exist, is not a regular file, or cannot be read even after several attempts.
pub fn read_all(path: &Path) -> Result<LastFeedback, FeedError> {
    /// Bytes beyond which only the beginning and the end are read, because the launcher must not be blocked for long.
    const LONGEST: u64 = 64 << 20;
    /// Number of attempts, because the system may temporarily have no descriptors.
    const TRIES: u32 = 5;
    /// Pause between attempts.
    const AGAIN: Duration = Duration::from_millis(100);
    let read = || -> Result<LastFeedback, FeedError> {
        let mut last = LastFeedback::default();
        last.skipped = FeedFile::open(path)?.read_bounded(&mut last.feedback, LONGEST)?;
        last.feedback.finish();
        Ok(last)
    };
    let mut tries = 1;
    loop {
        match read() {
            Err(FeedError::Open { source, .. } | FeedError::Read { source, .. } | FeedError::Look { source, .. })
                if tries < TRIES && source.kind() != ErrorKind::NotFound =>
            {
                tries += 1;
                sys::pause(AGAIN);
            }
            other => return other,
        }
    }
}

/// Returns the feedback of a task that a reader stored last, and the position up to which its file was read.
///
/// # Errors
/// [`StoreError`]
pub fn stored_feedback(store: &Store, id: i64) -> Result<(Feedback, Mark), StoreError> {
    let state = store.feedback_state(id)?;
    Ok(state.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Returns the last values of a feedback file, read only from its end. `None` if the file cannot be read.
pub fn read_tail(path: &Path) -> Option<Feedback> {
    let mut feedback = Feedback::default();
    FeedFile::open(path).ok()?.read_tail(&mut feedback).ok()?;
    Some(feedback)
}

/// Returns the live processes of the command of a task whose launcher is gone.
pub fn survivors_of(task: &Task) -> Vec<Process> {
    if task.is_worker() { vec![] } else { left_of(task, &Snapshot::take(), &viewpoint()) }
}

/// Claims a task, like [`Store::claim`], and locks its slot in the spool, if there is a spool.
///
/// # Errors
/// As those of [`Store::claim`].
pub fn claim(store: &mut Store, start: &Start, spool: Option<&Spool>) -> Result<Claimed, StoreFailure> {
    let db = store.path().to_owned();
    let hold = |slot| match spool.map(|spool| spool.hold(slot)) {
        Some(Ok(true)) => Hold::Held,
        Some(Ok(false)) => Hold::Taken,
        Some(Err(_)) | None => Hold::Unsupported,
    };
    unless_dead(&db, |dead| {
        let claimed = store.claim(start, dead, hold);
        if let (Err(_), Some(spool)) = (&claimed, spool) {
            spool.release();
        }
        claimed
    })
}

/// Repeats a request that needs a free name until it is granted, or refused for a task that is not dead. The tasks that
/// have the name are judged here, outside the transaction of the request, which would block all writers meanwhile.
///
/// # Errors
/// As those of `request`.
pub fn unless_dead<T>(
    db: &Path,
    mut request: impl FnMut(&DeadRows) -> Result<T, StoreFailure>,
) -> Result<T, StoreFailure> {
    let mut dead = DeadRows::default();
    loop {
        match request(&dead) {
            Err(StoreFailure::Refused(Refused::NameTaken { row })) if is_dead(db, &row) => dead.insert(&row),
            other => return other,
        }
    }
}

/// Removes the feedback file of a task whose values are in the history. Does nothing for a database of another user.
pub fn remove_feedback(store: &Store, task: &Task) {
    if let Some(path) = task.feedpath.as_ref().filter(|_| !task.keep_feedback && store.is_own()) {
        let _ = feedfile::remove(path);
    }
}
