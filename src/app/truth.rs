//! What is true of the tasks in a database: gathers the facts, lets the model judge, and settles what has ended.
//!
//! Every verb that reads does this first, so that no dead task is ever shown as running (spec/tasks.md section 10).
//! A database that cannot be written just then is still shown truthfully: what has ended is only not moved yet.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde_json::json;

use crate::{
    io::{
        feedfile::{self, FeedFile, Mark},
        process,
        spool::{Spool, Story},
        store::{Patience, Store, StoreError},
        sys,
    },
    model::{
        feedback::Feedback,
        task::{End, Process, Status, Task, Timestamp},
        truth::{Facts, Verdict, judge, last_beat},
    },
};

/// From so many tasks on, another processor is worth its thread.
const MANY: usize = 250;

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
    pub story: Option<Story>,
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
    let tasks = store.tasks()?;
    let mut found = look(store.path(), tasks, sys::now().wall)?;
    if found.live.iter().all(|live| live.status != Status::Orphaned) && found.ended.is_empty() {
        return Ok(found);
    }
    // A launcher records the end and then dies: what we read before and looked for after was seen half of each.
    let still: HashSet<i64> = store.tasks()?.iter().map(|task| task.id).collect();
    found.live.retain(|live| still.contains(&live.task.id));
    found.ended.retain(|(task, _)| still.contains(&task.id));
    if found.ended.is_empty() {
        return Ok(found);
    }
    for (task, end) in &mut found.ended {
        if let Some(feedback) = task.feedpath.as_deref().and_then(read_all) {
            end.feedback = Some(feedback.to_json());
            end.warnings = end.warnings.max(feedback.warnings());
        }
    }
    sys::crash_point("settle.before");
    let patience = store.set_patience(Patience::SHORT);
    let settled = if store.is_writable() { store.settle(&found.ended).map(|_| true) } else { Ok(false) };
    store.set_patience(patience);
    sys::crash_point("settle.after");
    found.settled = match settled {
        Ok(settled) => settled,
        Err(StoreError::Busy(..) | StoreError::Full(..) | StoreError::ReadOnly(..)) => false,
        Err(error) => return Err(error),
    };
    if found.settled {
        found.ended.iter().for_each(|(task, _)| remove_feedback(task));
    }
    Ok(found)
}

/// Whether a row is of no weight any more: what stands in nobody's way. Judges as [`survey`] does; what cannot be
/// judged counts as alive.
pub fn is_dead(db: &Path, task: &Task) -> bool {
    look(db, vec![task.clone()], sys::now().wall).is_ok_and(|found| !found.ended.is_empty())
}

fn look(db: &Path, tasks: Vec<Task>, now: Timestamp) -> Result<Survey, StoreError> {
    if tasks.is_empty() {
        return Ok(Survey::default());
    }
    // Where /proc is not mounted nothing can be judged, and nobody is to be called dead for that.
    let boot = sys::boot_id().map_err(|error| StoreError::Io(sys::BOOT_ID.into(), "read", error))?;
    let spool = Spool::open(db, false).ok();
    let of_boot = |task: &&Task| is_of_boot(task, &boot);
    let launchers: HashSet<Process> = tasks.iter().filter(of_boot).filter_map(|task| task.launcher).collect();
    let launchers: Vec<Process> = launchers.into_iter().collect();
    let alive = |some: &[Process]| some.iter().copied().filter(|process| process::alive(*process)).collect();
    let alive: HashSet<Process> = sys::on_all_processors(&launchers, MANY, alive).into_iter().collect();
    let look = |some: &[Task]| look_at(some, &boot, &alive, spool.as_ref());
    let (facts, stories): (Vec<Facts>, Vec<Option<Story>>) =
        sys::on_all_processors(&tasks, MANY, look).into_iter().unzip();
    let lost = |task: &Task, facts: &Facts| {
        facts.same_boot && !facts.launcher_alive && facts.spooled.is_none() && !task.is_reserved()
    };
    let pairs = || tasks.iter().zip(&facts);
    let upids: HashSet<&str> =
        pairs().filter(|(task, facts)| lost(task, facts)).filter_map(|(task, _)| task.upid.as_deref()).collect();
    let mut survivors = vec![vec![]; tasks.len()];
    // Twice: in one pass over /proc a process that forks and goes, or is just becoming another program, can be missed.
    for _ in 0..2 {
        let carriers = process::carriers(&upids);
        for ((task, facts), found) in pairs().zip(&mut survivors) {
            if found.is_empty() && lost(task, facts) {
                *found = survivors_in(task, &carriers);
            }
        }
    }
    let mut found = Survey::default();
    for (((task, mut facts), survivors), story) in tasks.into_iter().zip(facts).zip(survivors).zip(stories) {
        facts.survivors = survivors.len();
        match judge(&task, &facts, now) {
            Verdict::Live(status) => {
                let beat = last_beat(&task, &facts);
                found.live.push(Live { task, status, beat, survivors, story });
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

/// Whether a task began since the machine did. Rows of taskwatcher 1.7 do not say; nothing is known of a restart.
fn is_of_boot(task: &Task, boot: &str) -> bool {
    task.boot_id.as_ref().is_none_or(|of_task| of_task == boot)
}

/// What the machine tells of each of some tasks, but for what is left of them, and what they tell of themselves.
fn look_at(tasks: &[Task], boot: &str, alive: &HashSet<Process>, spool: Option<&Spool>) -> Vec<(Facts, Option<Story>)> {
    let look = |task: &Task| {
        let same_boot = is_of_boot(task, boot);
        let launcher_alive = same_boot && task.launcher.is_some_and(|launcher| alive.contains(&launcher));
        let place = spool.zip(task.slot).zip(task.upid.as_deref());
        let story = place.and_then(|((spool, slot), upid)| spool.story_of(slot, upid));
        // A worker ends before its process does.
        let spooled = place.filter(|_| !launcher_alive || task.is_worker());
        let spooled = spooled.and_then(|((spool, slot), upid)| spool.end_of(slot, upid));
        let told = story.as_ref().and_then(|story| story.beat).map(Timestamp);
        let asked = place.filter(|_| task.is_worker());
        let asked = asked.is_some_and(|((spool, slot), upid)| spool.request_of(slot, upid).is_some());
        (Facts { same_boot, launcher_alive, spooled, beat: beat_of(task), told, asked, survivors: 0 }, story)
    };
    tasks.iter().map(look).collect()
}

/// What is alive of a command whose launcher is gone: the process that was started, and all that carry its UPID.
fn survivors_in(task: &Task, carriers: &HashMap<&str, Vec<Process>>) -> Vec<Process> {
    // A worker leaves none: whatever lives of its process is not ours to end.
    if task.is_worker() {
        return vec![];
    }
    let mut found: Vec<Process> = task.upid.as_deref().and_then(|upid| carriers.get(upid)).cloned().unwrap_or_default();
    if let Some(command) = task.command()
        && !found.contains(&command)
        && process::alive(command)
    {
        found.push(command);
    }
    found
}

fn beat_of(task: &Task) -> Option<Timestamp> {
    // A worker has no feedback file; what it said last is its last sign of life.
    let log = || task.log.as_deref().filter(|_| task.is_worker()).map(Path::new);
    let path = task.feedpath.as_deref().filter(|_| task.feedback && !task.is_reserved()).or_else(log)?;
    let signature = feedfile::signature(path).ok().flatten()?;
    i64::try_from(signature.mtime_ns).ok().map(Timestamp)
}

/// What a worker's story leaves in history: how far it was, as a command would have written it.
pub fn feedback_of_worker(story: &Story) -> Option<String> {
    story.progress.map(|percent| json!({ "progress": format!("{percent:.0}") }).to_string())
}

/// A feedback file from its beginning to its end, the unterminated last line included; none if it cannot be read.
pub fn read_all(path: &Path) -> Option<Feedback> {
    let mut feedback = Feedback::default();
    FeedFile::open(path).ok()?.read_new(&mut feedback, &mut Mark::default()).ok()?;
    feedback.finish();
    Some(feedback)
}

/// The last values of a feedback file, from its end alone; none if it cannot be read.
pub fn read_tail(path: &Path) -> Option<Feedback> {
    let mut feedback = Feedback::default();
    FeedFile::open(path).ok()?.read_tail(&mut feedback).ok()?;
    Some(feedback)
}

/// What is alive now of the command of a task whose launcher is gone.
pub fn survivors_of(task: &Task) -> Vec<Process> {
    survivors_in(task, &process::carriers(&task.upid.as_deref().into_iter().collect()))
}

/// Removes the feedback file of a task whose values are in history now.
pub fn remove_feedback(task: &Task) {
    if let Some(path) = task.feedpath.as_ref().filter(|_| !task.keep_feedback) {
        let _ = feedfile::remove(path);
    }
}
