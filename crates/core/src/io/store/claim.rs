//! Reserving and claiming tasks.

use std::{collections::HashSet, path::Path};

use rusqlite::{OptionalExtension, ToSql, Transaction, named_params};

use super::{
    Claimed, Hold, NewTask, Refused, Result, SLOTS, Start, feedback_file, log_file,
    rows::{SELECT_TASKS, of_task, path_value, task_row},
    stamp,
};
use crate::model::{
    task::{Process, Task, TaskRef},
    upid::Upid,
};

pub(super) fn next_id(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    let last: Option<i64> =
        tx.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'", [], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0) + 1)
}

/// Returns a new id, and the first slot for it that no live task uses; one query usually gives
/// both.
pub(super) fn next_place(tx: &Transaction<'_>) -> rusqlite::Result<(i64, i64)> {
    let place: Option<(i64, bool)> = tx
        .query_row(
            "SELECT seq + 1, EXISTS (SELECT 1 FROM tasks WHERE slot = (seq + 1) % ?1)
             FROM sqlite_sequence WHERE name = 'tasks'",
            [SLOTS],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    match place {
        Some((id, false)) => Ok((id, id % SLOTS)),
        Some((id, true)) => Ok((id, free_slot(tx, id)?)),
        None => Ok((1, free_slot(tx, 1)?)),
    }
}

/// Returns the first slot for this id that no live task uses.
pub(super) fn free_slot(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<i64> {
    free_slot_from(tx, id % SLOTS)
}

fn free_slot_from(tx: &Transaction<'_>, mut slot: i64) -> rusqlite::Result<i64> {
    let mut taken = tx.prepare("SELECT EXISTS (SELECT 1 FROM tasks WHERE slot = ?1)")?;
    while taken.query_row([slot], |row| row.get(0))? {
        slot += SLOTS;
    }
    Ok(slot)
}

/// Returns the first slot from `slot` on that no live task and no launcher uses, and whether its
/// lock is held now.
fn hold_a_slot(tx: &Transaction<'_>, mut slot: i64, hold: &impl Fn(i64) -> Hold) -> rusqlite::Result<(i64, bool)> {
    loop {
        match hold(slot) {
            Hold::Held => return Ok((slot, true)),
            Hold::Unsupported => return Ok((slot, false)),
            Hold::Taken => slot = free_slot_from(tx, slot.saturating_add(SLOTS))?,
        }
    }
}

/// Rows of tasks that were judged dead before the transaction. A launcher that is gone stays gone, so the judgement
/// holds in any later transaction; a reservation that was claimed since has a UPID, and is another row.
#[derive(Debug, Default)]
pub struct DeadRows {
    rows: HashSet<(i64, Option<String>)>,
}

impl DeadRows {
    /// Adds a row.
    pub fn insert(&mut self, row: &Task) {
        self.rows.insert((row.id, row.upid().map(str::to_owned)));
    }

    fn contains(&self, row: &Task) -> bool {
        !self.rows.is_empty() && self.rows.contains(&(row.id, row.upid().map(str::to_owned)))
    }
}

/// Returns a refusal if a task of the same name, other than `myself` and not known to be dead, forbids a unique one.
pub(super) fn name_taken(
    tx: &Transaction<'_>,
    task: &NewTask,
    myself: Option<i64>,
    dead: &DeadRows,
) -> rusqlite::Result<Option<Refused>> {
    if !task.unique {
        return Ok(None);
    }
    let mut statement = tx.prepare(&format!("{SELECT_TASKS} WHERE name = ?1 ORDER BY id"))?;
    let rows = statement.query_map([&task.name], task_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let other = rows.into_iter().find(|row| Some(row.id) != myself && !dead.contains(row));
    Ok(other.map(|row| Refused::NameTaken { row: Box::new(row) }))
}

pub(super) fn claim_in(
    tx: &Transaction<'_>,
    db: &Path,
    start: &Start,
    dead: &DeadRows,
    hold: &impl Fn(i64) -> Hold,
) -> rusqlite::Result<Result<Claimed, Refused>> {
    let mut task = start.task.clone();
    let reserved = match &start.reservation {
        None => None,
        Some(wanted) => match find_reservation(tx, wanted, task.now)? {
            Ok(row) => Some(row),
            Err(refused) => return Ok(Err(refused)),
        },
    };
    if let Some(row) = &reserved {
        task.handle.clone_from(&row.handle);
        if !start.named && !row.name.is_empty() {
            task.name.clone_from(&row.name);
        }
        for (given, had) in task.info.iter_mut().zip(&row.info) {
            *given = given.take().or_else(|| had.clone());
        }
    }
    let myself = reserved.as_ref().map(|row| row.id);
    if let Some(refused) = name_taken(tx, &task, myself, dead)? {
        return Ok(Err(refused));
    }
    let (id, slot) = match myself {
        Some(id) => (id, free_slot(tx, id)?),
        None => next_place(tx)?,
    };
    let (slot, held) = hold_a_slot(tx, slot, hold)?;
    let launcher = start.launcher.unwrap_or(Process { pid: 0, pstart: 0 });
    let (pid, pstart, number) = (launcher.pid.unsigned_abs(), launcher.pstart, id.unsigned_abs());
    let upid = match &start.worker {
        None => Upid::build(&start.host, pid, pstart, task.now, &task.name, number, &start.user),
        Some(works_on) => {
            Upid::build_worker(&start.host, pid, pstart, number, task.now, &task.name, works_on, &start.user)
        }
    }
    .to_string();
    let feedpath = start.feedpath.as_ref().map(|dir| feedback_file(dir, id));
    let log = start.log.then(|| log_file(db, id, &upid));
    let [info1, info2, info3] = &task.info;
    // A worker's process already exists and is recorded in the same step, so that its row is never
    // taken for a command's.
    let process = start.worker.as_ref().map(|_| launcher);
    let columns = named_params! {
        ":pid": process.map(|process| process.pid), ":pid_pstart": process.map(|process| stamp(process.pstart)),
        ":id": id, ":slot": slot, ":name": task.name, ":info1": info1, ":info2": info2, ":info3": info3,
        ":feedback": start.feedback, ":starttime": task.now, ":timeout": start.timeout, ":handle": task.handle,
        ":upid": upid, ":launcher_pid": launcher.pid, ":launcher_pstart": stamp(launcher.pstart),
        ":held": held, ":namespace": start.namespace, ":launcher_inode": start.launcher_inode.map(stamp),
        ":boot_id": start.boot_id, ":host": start.host, ":user": start.user, ":argv": start.argv,
        ":cwd": start.cwd.as_deref().map(path_value), ":feedpath": feedpath.as_deref().map(path_value),
        ":keep_feedback": start.keep_feedback, ":max_runtime": start.max_runtime, ":stop_signal": start.stop_signal,
        ":kill_after": start.kill_after,
        ":log": log.as_deref().map(Path::to_string_lossy), ":options": start.options,
        ":supervised": start.supervised,
    };
    let sql = if reserved.is_some() {
        "UPDATE tasks SET slot = :slot, pid = :pid, pid_pstart = :pid_pstart, name = :name, info1 = :info1, info2 = :info2, info3 = :info3,
                status = 'RUNNING', feedback = :feedback, starttime = :starttime, duration = 0,
                lastupdate = :starttime, timeout = :timeout, handle = :handle, expires = NULL, upid = :upid,
                launcher_pid = :launcher_pid, launcher_pstart = :launcher_pstart, boot_id = :boot_id, host = :host,
                user = :user, argv = :argv, cwd = :cwd, feedpath = :feedpath, keep_feedback = :keep_feedback,
                max_runtime = :max_runtime, stop_signal = :stop_signal, kill_after = :kill_after,
                log = :log, options = :options, supervised = :supervised,
                held = :held, namespace = :namespace, launcher_inode = :launcher_inode
         WHERE id = :id"
    } else {
        "INSERT INTO tasks (id, slot, pid, pid_pstart, name, info1, info2, info3, status, feedback, starttime, duration,
                            lastupdate, timeout, handle, upid, launcher_pid, launcher_pstart, boot_id, host, user, argv, cwd,
                            feedpath, keep_feedback, max_runtime, stop_signal, kill_after, log, options, supervised,
                            held, namespace, launcher_inode)
         VALUES (:id, :slot, :pid, :pid_pstart, :name, :info1, :info2, :info3, 'RUNNING', :feedback, :starttime, 0, :starttime,
                 :timeout, :handle, :upid, :launcher_pid, :launcher_pstart, :boot_id, :host, :user, :argv, :cwd,
                 :feedpath, :keep_feedback, :max_runtime, :stop_signal, :kill_after, :log, :options,
                 :supervised, :held, :namespace, :launcher_inode)"
    };
    tx.execute(sql, columns)?;
    Ok(Ok(Claimed { id, handle: task.handle, upid, slot, feedpath, log }))
}

/// Finds a reservation, or returns why it cannot be claimed.
pub(super) fn find_reservation(
    tx: &Transaction<'_>,
    wanted: &TaskRef,
    now: i64,
) -> rusqlite::Result<Result<Task, Refused>> {
    let no = |why: String| Ok(Err(Refused::NotReserved(wanted.to_string(), why)));
    let (column, value): (&str, &dyn ToSql) = match wanted {
        TaskRef::Id(id) => ("id", &id.0),
        TaskRef::Handle(handle) => ("handle", &handle.as_str().to_owned()),
        TaskRef::Upid(_) => return no("a UPID names a task that has already started".into()),
        TaskRef::Remote(..) => return no("it is a task of another host".into()),
    };
    let row = tx.query_row(&format!("{SELECT_TASKS} WHERE {column} = ?1"), [value], task_row).optional()?;
    if let Some(row) = row {
        return match row.is_reserved() {
            true if row.has_lapsed(now) => no("its reservation has lapsed; reserve again".into()),
            true => Ok(Ok(row)),
            false => {
                let launcher = row.launcher.map_or_else(|| "another".into(), |p| format!("pid {}", p.pid));
                no(format!("it was taken already, by launcher {launcher}"))
            }
        };
    }
    let which = if column == "id" { of_task(tx)? } else { "handle = ?1" };
    let sql = format!("SELECT outcome, upid IS NULL FROM history WHERE {which} ORDER BY id DESC LIMIT 1");
    let ended: Option<(String, bool)> = tx.query_row(&sql, [value], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match ended {
        Some((outcome, true)) => no(format!("{}; reserve again", outcome.trim_start_matches("ERROR: "))),
        Some((outcome, false)) => no(format!("it has run already ({outcome})")),
        None => no("there is no such reservation".into()),
    }
}
