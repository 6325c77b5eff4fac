//! What is true of the tasks in a database: gathers the facts, lets the model judge, and settles what has ended.
//!
//! Every verb that reads does this first, so that no dead task is ever shown as running (spec/tasks.md section 10).
//! A database that cannot be written just then is still shown truthfully: what has ended is only not moved yet. The same
//! goes for a database of another user, whose rows may name any process and any file: its owner settles it.

use std::{
    collections::{HashMap, HashSet},
    io::ErrorKind,
    path::Path,
    time::Duration,
};

use serde_json::json;

use crate::{
    io::{
        feedfile::{self, FeedError, FeedFile, Mark},
        process::{self, Snapshot},
        spool::{Held, SelfReport, Spool},
        store::{self, Claimed, Hold, LockTimeout, Start, Store, StoreError, StoreFailure},
        sys,
    },
    model::{
        feedback::Feedback,
        reconcile::{Facts, Life, Lock, Verdict, View, Viewpoint, judge, last_beat, launcher_life},
        task::{End, Process, Status, Task, Timestamp},
    },
};

/// From so many tasks on, another processor is worth its thread.
pub(super) const MANY: usize = 250;

/// A task that has not ended, as it truly is.
#[derive(Clone, Debug)]
pub struct Live {
    /// Its row.
    pub task: Task,
    /// What it is doing.
    pub status: Status,
    /// Its last heartbeat, or its start before the first one.
    pub beat: Timestamp,
    /// What is left of an orphan's command.
    pub survivors: Vec<Process>,
    /// What it told of itself.
    pub story: Option<SelfReport>,
    /// Whether its launcher was seen stopped by a signal: then nothing watches the command. Looked for where tasks are few.
    pub stopped: bool,
}

/// All tasks of a database as they truly are.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Those that have not ended.
    pub live: Vec<Live>,
    /// Those that were found to have ended.
    pub ended: Vec<(Task, End)>,
    /// Whether these were moved to history; false when the database could not be written just then.
    pub settled: bool,
}

/// Looks at every task, and moves those that have ended into history.
///
/// # Errors
/// When the database cannot be read; that it cannot be written just then is none.
pub fn survey(store: &mut Store) -> Result<Survey, StoreError> {
    let path = store.path().to_owned();
    let (seen, tasks) = match store.has_more_tasks_than(MANY)? {
        // The kernel's list takes as long as the rows. A lock that is not in it yet is asked for by itself.
        true => sys::at_once(|| Locks::seen(&path), || store.tasks()),
        false => (HashMap::new(), store.tasks()),
    };
    let mut found = look(&path, tasks?, seen, sys::now().wall)?;
    if found.live.iter().all(|live| live.status != Status::Orphaned) && found.ended.is_empty() {
        return Ok(found);
    }
    // A launcher records the end and then dies: what we read before and looked for after was seen half of each.
    let still: HashSet<i64> = store.tasks()?.iter().map(|task| task.id).collect();
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
            // What was stored last counts, and the file stays.
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

/// Whether a row is of no weight any more: what stands in nobody's way. Judges as [`survey`] does; what cannot be
/// judged counts as alive.
pub fn is_dead(db: &Path, task: &Task) -> bool {
    look(db, vec![task.clone()], HashMap::new(), sys::now().wall).is_ok_and(|found| !found.ended.is_empty())
}

/// Whether pids of this task mean the same processes here: not where it runs in another pid namespace.
pub fn is_seen_here(task: &Task) -> bool {
    viewpoint().view_of(task) == View::Same
}

/// Where this process looks from.
fn viewpoint() -> Viewpoint {
    Viewpoint { boot_id: sys::boot_id().ok(), namespace: sys::namespace(), host: sys::host_name() }
}

fn look(db: &Path, tasks: Vec<Task>, seen: HashMap<i64, Held>, now: Timestamp) -> Result<Survey, StoreError> {
    if tasks.is_empty() {
        return Ok(Survey::default());
    }
    let here = viewpoint();
    let locks = Locks::of(db, seen);
    let look = |some: &[Task]| some.iter().map(|task| look_at(task, &here, &locks)).collect();
    let mut looks: Vec<(Facts, Option<SelfReport>)> = sys::on_all_processors(&tasks, MANY, look);
    let mut survivors = find_survivors(&tasks, &mut looks, &here);
    let few = tasks.len() <= MANY;
    let mut found = Survey { live: Vec::with_capacity(tasks.len()), ..Survey::default() };
    for (task, (facts, story)) in tasks.into_iter().zip(looks) {
        match judge(&task, &facts, now) {
            Verdict::Live(status) => {
                let beat = last_beat(&task, &facts);
                let survivors = survivors.remove(&task.id).unwrap_or_default();
                let stopped = few && is_launcher_stopped(&task, &here);
                found.live.push(Live { task, status, beat, survivors, story, stopped });
            }
            Verdict::Ended(mut end) => {
                if task.is_worker() {
                    end.feedback = story.as_ref().and_then(feedback_of_worker);
                }
                found.ended.push((task, *end));
            }
        }
    }
    Ok(found)
}

/// Returns whether the launcher of a task is seen stopped by a signal.
pub(super) fn sees_launcher_stopped(task: &Task) -> bool {
    is_launcher_stopped(task, &viewpoint())
}

fn is_launcher_stopped(task: &Task, here: &Viewpoint) -> bool {
    let launcher = task.launcher.filter(|_| here.view_of(task) == View::Same);
    launcher.is_some_and(|launcher| {
        process::stat(launcher.pid).is_some_and(|stat| stat.process == launcher && stat.stopped)
    })
}

/// Finds what is left of each task whose launcher is gone, and notes it in its facts. Returns it by the number of the task.
fn find_survivors(
    tasks: &[Task],
    looks: &mut [(Facts, Option<SelfReport>)],
    here: &Viewpoint,
) -> HashMap<i64, Vec<Process>> {
    let mut survivors = HashMap::new();
    let is_lost = |task: &Task, facts: &Facts| {
        // A worker leaves none: whatever lives of its process is not its own.
        facts.launcher == Life::Gone && facts.spooled.is_none() && !task.is_reserved() && !task.is_worker()
    };
    // Twice: in one pass over /proc a process that forks and goes, or is just becoming another program, can be missed.
    for _ in 0..2 {
        let lost = tasks.iter().zip(looks.iter_mut()).map(|(task, (facts, _))| (task, facts));
        let mut lost = lost.filter(|(task, facts)| is_lost(task, facts) && facts.survivors == Life::Gone).peekable();
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

/// Whether the command's first process lives, as far as that can be told where the search found nothing of it.
fn life_of_command(task: &Task, here: &Viewpoint) -> Life {
    match (task.command(), here.view_of(task)) {
        (Some(command), View::Same) => process::look_by(command, task.signs.pid_inode),
        (Some(_) | None, _) => Life::Gone,
    }
}

fn left_of(task: &Task, seen: &Snapshot, here: &Viewpoint) -> Vec<Process> {
    let command = task.command().filter(|_| here.view_of(task) == View::Same);
    seen.left_of(task.upid.as_deref().unwrap_or_default(), &task.handle, command, task.signs.pid_session)
}

/// The locks that launchers hold on their slots.
struct Locks {
    spool: Result<Spool, Lock>,
    /// Those that one look at the kernel's list showed.
    seen: HashMap<i64, Held>,
}

impl Locks {
    fn of(db: &Path, seen: HashMap<i64, Held>) -> Locks {
        let spool = Spool::open(db, false).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Lock::NoSpool,
            _ => Lock::Unknown,
        });
        Locks { spool, seen }
    }

    /// Returns the locks that the kernel's list of all locks shows.
    fn seen(db: &Path) -> HashMap<i64, Held> {
        Spool::open(db, false).map(|spool| spool.seen_held()).unwrap_or_default()
    }

    /// The lock of a task's launcher, and whether the task may have told something of itself.
    fn lock_of(&self, task: &Task) -> (Lock, bool) {
        let (spool, slot) = match (&self.spool, task.slot) {
            (_, _) if !task.signs.held => return (Lock::NoSpool, true),
            (Err(why), _) => return (*why, true),
            (Ok(_), None) => return (Lock::NoSpool, true),
            (Ok(spool), Some(slot)) => (spool, slot),
        };
        match self.seen.get(&slot).map_or_else(|| spool.held(slot), |held| Ok(Some(*held))) {
            Ok(Some(held)) => (Lock::Held, held.has_report),
            Ok(None) => (Lock::Free, true),
            Err(_) => (Lock::Unknown, true),
        }
    }
}

/// Whether the launcher of a task lives.
fn launcher_of(task: &Task, here: &Viewpoint, lock: Lock) -> Life {
    let Some(launcher) = task.launcher else { return Life::Gone };
    let view = here.view_of(task);
    let seen = match (lock, view) {
        // The lock says it all.
        (Lock::Held, _) | (_, View::Elsewhere | View::Restarted) => Life::Unknown,
        (Lock::Free | Lock::NoSpool | Lock::Unknown, View::Same) => {
            process::look_by(launcher, task.signs.launcher_inode)
        }
    };
    launcher_life(task.signs.held, lock, view, seen)
}

/// What the machine tells of a task, but for what is left of its command, and what the task tells of itself.
fn look_at(task: &Task, here: &Viewpoint, locks: &Locks) -> (Facts, Option<SelfReport>) {
    let (lock, has_report) = locks.lock_of(task);
    let launcher = if task.is_reserved() { Life::Unknown } else { launcher_of(task, here, lock) };
    let place = locks.spool.as_ref().ok().zip(task.slot).zip(task.upid.as_deref());
    let story = place.filter(|_| has_report).and_then(|((spool, slot), upid)| spool.report_of(slot, upid));
    let is_worker = task.is_worker();
    // A worker ends before its process does.
    let spooled = place.filter(|_| launcher != Life::Alive || is_worker);
    let spooled = spooled.and_then(|((spool, slot), upid)| spool.end_of(slot, upid));
    let told = story.as_ref().and_then(|story| story.beat).map(Timestamp);
    let asked = place.filter(|_| is_worker);
    let asked = asked.is_some_and(|((spool, slot), upid)| spool.request_of(slot, upid).is_some());
    let restarted = here.view_of(task) == View::Restarted;
    let beat = beat_of(task);
    (Facts { restarted, launcher, survivors: Life::Gone, spooled, beat, told, asked }, story)
}

fn beat_of(task: &Task) -> Option<Timestamp> {
    // A worker has no feedback file; what it said last is its last sign of life.
    let is_its_log = |log: &&Path| task.upid.as_deref().is_some_and(|upid| store::is_log_file(log, task.id, upid));
    let log = || task.log.as_deref().filter(|_| task.is_worker()).map(Path::new).filter(is_its_log);
    let path = task.feedpath.as_deref().filter(|_| task.feedback && !task.is_reserved()).or_else(log)?;
    let signature = feedfile::signature(path).ok().flatten()?;
    i64::try_from(signature.mtime_ns).ok().map(Timestamp)
}

/// What a worker's story leaves in history: how far it was, as a command would have written it.
pub fn feedback_of_worker(story: &SelfReport) -> Option<String> {
    story.progress.map(|percent| json!({ "progress": format!("{percent:.0}") }).to_string())
}

/// What a task that has ended left in its feedback file.
#[derive(Debug, Default)]
pub struct LastFeedback {
    /// Its values, the unterminated last line included.
    pub feedback: Feedback,
    /// Bytes in the middle of the file that were not read, because it is too long.
    pub skipped: u64,
}

/// Reads a feedback file for the last time.
///
/// # Errors
/// When it is not there, is no file, or cannot be read, also some time later.
pub fn read_all(path: &Path) -> Result<LastFeedback, FeedError> {
    /// Of a longer file only its beginning and its end are read: a launcher must not be deaf for long.
    const LONGEST: u64 = 64 << 20;
    /// How often, and after what pause, it is tried again: the system may have no descriptors just now.
    const TRIES: u32 = 5;
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

/// Returns the values of a task that a reader stored last, and how far its file was read then.
///
/// # Errors
/// [`StoreError`]
pub fn stored_feedback(store: &Store, id: i64) -> Result<(Feedback, Mark), StoreError> {
    let state = store.feedback_state(id)?;
    Ok(state.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// The last values of a feedback file, from its end alone; none if it cannot be read.
pub fn read_tail(path: &Path) -> Option<Feedback> {
    let mut feedback = Feedback::default();
    FeedFile::open(path).ok()?.read_tail(&mut feedback).ok()?;
    Some(feedback)
}

/// What is alive now of the command of a task whose launcher is gone.
pub fn survivors_of(task: &Task) -> Vec<Process> {
    if task.is_worker() { vec![] } else { left_of(task, &Snapshot::take(), &viewpoint()) }
}

/// Makes a task this process's own, as [`Store::claim`] does, and locks its slot of the spool, if there is one.
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
    let claimed = store.claim(start, |task: &Task| is_dead(&db, task), hold);
    if let (Err(_), Some(spool)) = (&claimed, spool) {
        spool.release();
    }
    claimed
}

/// Removes the feedback file of a task whose values are in history now; not on the word of another user's database.
pub fn remove_feedback(store: &Store, task: &Task) {
    if let Some(path) = task.feedpath.as_ref().filter(|_| !task.keep_feedback && store.is_own()) {
        let _ = feedfile::remove(path);
    }
}
