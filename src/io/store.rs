//! The database: all SQL of the crate.
//!
//! # Locking
//! WAL mode: readers never wait for a writer, nor it for them. Every write is one `BEGIN IMMEDIATE` transaction, so
//! that it waits for the lock at its start, where it can be retried whole, and never in its middle. Waiting is done by
//! our own busy handler: it sleeps short and unevenly, so that dozens of launchers get through quickly, for as long as
//! the caller's [`LockTimeout`] lasts.
//!
//! # Durability
//! Whoever commits goes on when that survives a loss of power: the WAL is flushed after it, when the lock is free for
//! the next one already. So those who wait for each other do not wait for each other's flushes, and of several that
//! come together the first one often does the work of all. Others may read it some tenths of a millisecond before it is
//! flushed; what is told to other hosts ([`Store::export`]) is flushed first.
//!
//! For that SQLite is built with `synchronous=NORMAL` as its default (`.cargo/config.toml`), which flushes only what a
//! checkpoint needs, and leaves alone what is worthless after a loss of power (the command's pid, a status). A build
//! without that flushes all of it within the lock, and is slower.
//!
//! # The WAL
//! The last one to close does not checkpoint and delete it, which would double the price of a short run; instead a
//! commit that finds it longer than 64 pages (`.cargo/config.toml` says why) copies it back, which keeps small what the
//! next opener has to read when nobody else has the database open. Who knows of somebody that has it open all the time
//! leaves it longer.
//!
//! # If we die here
//! Everything that must hold together is one transaction. A new database is made whole under another name and linked
//! into place, so nobody ever sees half of one.

mod claim;
mod companions;
mod ends;
mod error;
mod export;
mod late;
mod location;
mod old;
mod open;
mod remote;
mod rows;
mod unread;
mod upkeep;
mod wait;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{libc, unistd::geteuid};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params, params_from_iter};
use serde::{Deserialize, Serialize};

use self::{
    claim::{claim_in, name_taken, next_id},
    companions::Identity,
    ends::{finish_in, move_to_history},
    error::failure,
    export::NEW_IDENTITY,
    late::take_in,
    remote::Codes,
    rows::{SELECT_HISTORY, SELECT_TASKS, history_row, lossy, of_task, page_sql, task_row},
};
pub use self::{
    error::{Refused, StoreError, StoreFailure},
    export::Export,
    location::resolve,
    remote::{Added, Batch, LOST, Listed, Node, NodeNews, Remote, Went, outcome_told},
    upkeep::{Fault, Named},
    wait::LockTimeout,
};
use crate::model::{
    log::{LOGS, LogPath},
    path::beside,
    query::{Cursor, Page, Query},
    task::{End, HistoryRow, Process, Status, Task, TaskRef},
};

/// Slots the spool has before it grows: task ids use them in turn.
const SLOTS: i64 = 256;
/// Bytes of a UPID that still make a file name, whatever is added to it (file systems allow 255).
const LONGEST_LOG_NAME: usize = 240;

/// A task to be reserved or started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NewTask {
    /// Its name.
    pub name: String,
    /// Side information.
    pub info: [Option<String>; 3],
    /// The name nobody can guess.
    pub handle: String,
    /// Now, unix seconds.
    pub now: i64,
    /// Whether a live task of the name forbids it.
    pub unique: bool,
}

/// What a launcher knows of its task before it starts; the rest comes from the reservation or from the store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the columns of schema.sql, which explains each")]
pub struct Start {
    /// What is new when no reservation is claimed; of a reservation, only `info` that is given replaces what it has.
    pub task: NewTask,
    /// The reservation to claim; none: one is made on the spot.
    #[serde(skip)]
    pub reservation: Option<TaskRef>,
    /// What a worker inside a process works on; none: it is a command.
    pub worker: Option<String>,
    /// `--name`; without it a reserved name stays.
    pub named: bool,
    pub feedback: bool,
    /// Folder of the feedback file.
    pub feedpath: Option<PathBuf>,
    /// Whether it has a log.
    pub log: bool,
    /// What launch was told about it, as a JSON array of its command line's words.
    pub options: String,
    /// Of which supervised process it is a run, as a JSON object.
    pub supervised: Option<String>,
    pub keep_feedback: bool,
    pub timeout: Option<f64>,
    pub max_runtime: Option<f64>,
    pub stop_signal: String,
    pub kill_after: f64,
    pub launcher: Option<Process>,
    pub boot_id: Option<String>,
    pub namespace: Option<String>,
    pub launcher_inode: Option<u64>,
    pub host: String,
    pub user: String,
    pub argv: String,
    pub cwd: Option<PathBuf>,
}

/// The answer to a launcher's wish to lock a slot of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The slot is locked: the lock says that its launcher lives.
    Held,
    /// Another launcher holds it still, which has recorded its end and not exited yet.
    Taken,
    /// There are no locks on this file system, or no spool.
    Unsupported,
}

/// The command of a task, as its launcher finds it just after the start.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Pid and start time.
    pub process: Process,
    /// Inode of its pidfd, where the kernel has such.
    pub inode: Option<u64>,
    /// Its session.
    pub session: Option<i32>,
}

/// An end that the database could not take when it happened, as it is kept until the database can.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Late {
    /// Of a run that never became a task.
    Run(Box<Start>, Box<End>),
    /// Of a task, with its number, its UPID and its last feedback.
    Task(i64, String, Box<End>, Option<String>),
}

/// A task that is ours now: its row says RUNNING, durably.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of schema.sql, which explains each")]
pub struct Claimed {
    pub id: i64,
    pub handle: String,
    pub upid: String,
    pub slot: i64,
    pub feedpath: Option<PathBuf>,
    pub log: Option<PathBuf>,
}

/// Which rows of history to delete.
#[derive(Clone, Debug, Default)]
pub struct Clear {
    /// Only those that ended before this time, unix seconds.
    pub before: Option<i64>,
    /// Only those of this name.
    pub name: Option<String>,
    /// What ended later than this, unix seconds, was recorded by a clock that was wrong.
    pub now: i64,
}

impl Clear {
    /// The rows of `history`, by its three values. What ended in the future was started before tasks of higher numbers,
    /// which tells its age.
    const FILTER: &str = "WHERE (?1 IS NULL OR endtime < ?1
                                 OR (endtime > ?3 AND id < (SELECT max(id) FROM history WHERE endtime < ?1)))
                          AND (?2 IS NULL OR taskname = ?2)";
}

/// The name of a task's feedback file in its folder.
pub fn feedback_file(dir: &Path, id: i64) -> PathBuf {
    dir.join(format!("feedback_{id}.log"))
}

/// Whether a path is that of the feedback file of a task, in whatever folder. No other file is read or removed because a
/// row names it.
pub fn is_feedback_file(path: &Path, id: i64) -> bool {
    path.is_absolute() && path.parent().is_some_and(|dir| feedback_file(dir, id) == path)
}

/// The folder of the logs of a database's tasks.
pub fn log_folder(db: &Path) -> PathBuf {
    beside(db, LOGS)
}

/// The log file of a task: spread over 256 folders by its number, so that none grows too long.
pub fn log_file(db: &Path, id: i64, upid: &str) -> PathBuf {
    // What the file system cannot hold as a name is told apart by its number alone.
    let fits = upid.len() <= LONGEST_LOG_NAME && !upid.contains('/');
    let name = if fits { format!("{upid}.log") } else { format!("task-{id}.log") };
    log_folder(db).join(format!("{:02X}", id & 0xff)).join(name)
}

/// Whether a path is that of the log of a task in the folder of logs of some database: its own, or the one that a copy of
/// its row was made from.
pub fn is_log_file(path: &Path, id: i64, upid: &str) -> bool {
    LogPath::of(path).is_some_and(|parts| log_file(&parts.db(), id, upid) == path)
}

/// Whether the database of this path belongs to the user who runs this program; false if that cannot be read.
pub fn is_own(db: &Path) -> bool {
    Identity::of(db).is_some_and(|identity| identity.owner.0 == geteuid().as_raw())
}

/// The database, open.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Which file that was, and whose.
    identity: Option<Identity>,
    /// Longest wait, for messages.
    patience: LockTimeout,
    /// What is known of the tables of other hosts.
    codes: Codes,
    /// It was asked to write nothing.
    only_reads: bool,
    /// The WAL, open to be flushed. It stays the same file for as long as we have the database open.
    wal: Option<File>,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still the file that has its name: one that was removed or replaced can be read all the same, for ever.
    pub fn is_in_place(&self) -> bool {
        let file = self.identity.map(|identity| identity.file);
        file.is_some() && Identity::of(&self.path).map(|identity| identity.file) == file
    }

    /// Whether it belongs to the user who runs this program. Rows of another user's database are not believed further
    /// than to show them: nothing is moved to history, stored or deleted because of what they say.
    pub fn is_own(&self) -> bool {
        self.identity.is_some_and(|identity| identity.owner.0 == geteuid().as_raw())
    }

    /// Returns the other user on whose word nothing may be done to processes that are not theirs; `None`: the database
    /// belongs to this user or to root.
    pub fn other_owner(&self) -> Option<u32> {
        // One whose owner is not known is nobody's.
        let owner = self.identity.map_or(u32::MAX, |identity| identity.owner.0);
        (owner != 0 && owner != geteuid().as_raw()).then_some(owner)
    }

    /// Whether it can be written.
    pub fn is_writable(&self) -> bool {
        !self.only_reads && self.db.is_readonly("main") == Ok(false)
    }

    /// Whether no writer is at work just now, so that all that was written can be read.
    pub fn is_quiet(&mut self) -> bool {
        if !self.is_writable() {
            return true;
        }
        let patience = self.set_patience(LockTimeout { limit: Duration::ZERO, notify: None });
        let quiet = self.db.transaction_with_behavior(TransactionBehavior::Immediate).is_ok();
        self.set_patience(patience);
        quiet
    }

    /// Lets the WAL grow to this number of pages before a commit of ours copies it back, as somebody else has the
    /// database open all the time. Where that cannot be set it stays as it is.
    pub fn leave_wal_to(&self, pages: u32) {
        let _ = self.db.pragma_update(None, "wal_autocheckpoint", pages);
    }

    /// Changes how long a lock is waited for; gives what it was before.
    pub fn set_patience(&mut self, patience: LockTimeout) -> LockTimeout {
        let before = std::mem::replace(&mut self.patience, patience);
        self.patience.begin();
        before
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let (path, patience) = (self.path.clone(), self.patience);
        move |error| failure(&path, doing, patience, error)
    }

    /// The WAL, to be flushed; none: there is none, and commits are flushed at once.
    fn open_wal(&mut self) -> io::Result<()> {
        if self.wal.is_some() {
            return Ok(());
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        match options.open(beside(&self.path, "-wal")) {
            Ok(wal) => self.wal = Some(wal),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mode = self.db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
                if mode.map_err(io::Error::other)?.eq_ignore_ascii_case("wal") {
                    return Err(io::Error::new(error.kind(), "its WAL is gone"));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes what was committed survive a loss of power.
    fn flush(&mut self) -> Result<()> {
        let flushed = self.open_wal().and_then(|()| self.wal.as_ref().map_or(Ok(()), File::sync_data));
        flushed.map_err(|error| StoreError::Io(self.path.clone(), "flush database", error))
    }

    /// One write transaction, which is not flushed yet.
    fn commit<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = self.failed(doing);
        self.patience.begin();
        // Before anything is done, so that it cannot fail afterwards.
        self.open_wal().map_err(|error| StoreError::Io(self.path.clone(), "flush database", error))?;
        let whole = || {
            let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let made = work(&tx)?;
            tx.commit()?;
            Ok(made)
        };
        whole().map_err(failed)
    }

    /// One write transaction.
    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let made = self.commit(doing, work)?;
        self.flush()?;
        Ok(made)
    }

    /// Makes a task that was just made survive a loss of power. One that might not is none: whoever wanted it is told
    /// that there is none, and may try again.
    fn flush_task(&mut self, id: i64) -> Result<()> {
        self.flush().inspect_err(|_| {
            let _ = self.light("DELETE FROM tasks WHERE id = ?1", params![id]);
        })
    }

    /// Reserves an id. `is_dead` judges a row of the same name that stands in the way of a unique one.
    ///
    /// # Errors
    /// [`Refused::NameTaken`], [`StoreError`]
    pub fn reserve(
        &mut self,
        task: &NewTask,
        expires: i64,
        is_dead: impl Fn(&Task) -> bool,
    ) -> Result<i64, StoreFailure> {
        let reserved = self.commit("reserve a task in", |tx| {
            if let Some(refused) = name_taken(tx, task, None, &is_dead)? {
                return Ok(Err(refused));
            }
            let id = next_id(tx)?;
            let [info1, info2, info3] = &task.info;
            tx.execute(
                "INSERT INTO tasks (id, name, info1, info2, info3, status, reservetime, expires, handle)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'RESERVED', ?6, ?7, ?8)",
                params![id, task.name, info1, info2, info3, task.now, expires, task.handle],
            )?;
            Ok(Ok(id))
        })?;
        let id = reserved?;
        self.flush_task(id)?;
        Ok(id)
    }

    /// Makes a task ours, in one step: a reservation, or a new one, becomes RUNNING with our launcher's identity. Of
    /// two launchers of one reservation one is refused. `hold` locks the slot before the row can be seen, so that no
    /// reader ever finds a row whose lock is still to come.
    ///
    /// # Errors
    /// [`Refused`], [`StoreError`]
    pub fn claim(
        &mut self,
        start: &Start,
        is_dead: impl Fn(&Task) -> bool,
        hold: impl Fn(i64) -> Hold,
    ) -> Result<Claimed, StoreFailure> {
        let path = self.path.clone();
        let claimed = self.commit("start a task in", |tx| claim_in(tx, &path, start, &is_dead, &hold))??;
        self.flush_task(claimed.id)?;
        Ok(claimed)
    }

    /// Notes the command's process. Worth nothing after a loss of power, so not flushed to the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn started(&mut self, id: i64, command: &Command) -> Result<()> {
        let Process { pid, pstart } = command.process;
        self.light(
            "UPDATE tasks SET pid = ?2, pid_pstart = ?3, pid_inode = ?4, pid_session = ?5 WHERE id = ?1",
            params![id, pid, stamp(pstart), command.inode.map(stamp), command.session],
        )
    }

    /// Stores what a task is doing, and its last sign of life. Not flushed to the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn save_status(&mut self, id: i64, status: Status, lastupdate: i64) -> Result<()> {
        self.light(
            "UPDATE tasks SET status = ?2, lastupdate = ?3, duration = ?3 - starttime WHERE id = ?1",
            params![id, status.as_str(), lastupdate],
        )
    }

    fn light(&self, sql: &str, values: &[&dyn ToSql]) -> Result<()> {
        self.patience.begin();
        self.db.execute(sql, values).map(|_| ()).map_err(self.failed("update"))
    }

    /// Records an end: into history and out of `tasks`, in one transaction. If a reader took the task for lost
    /// meanwhile, the truth replaces that; if one took in this end from the spool, where long reasons are cut, it becomes
    /// whole. False if there is no such task any more (the database was made anew).
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn finish(&mut self, id: i64, upid: &str, end: &End) -> Result<bool> {
        self.write("record the end of a task in", |tx| finish_in(tx, id, upid, end))
    }

    /// Records ends that were kept while the database could not be written, in one transaction; what history has already
    /// is passed over. Gives how many runs became tasks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_in(&mut self, late: &[Late]) -> Result<usize> {
        let path = self.path.clone();
        self.write("record ends in", |tx| take_in(tx, &path, late))
    }

    /// Moves tasks that were found to have ended into history, in one transaction. A row that changed since it was
    /// read is left alone.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle(&mut self, ended: &[(Task, End)]) -> Result<usize> {
        self.write("settle dead tasks in", |tx| {
            let mut moved = 0;
            for (task, end) in ended {
                // What was read of it last, if its file cannot be read any more.
                let feedback = end.feedback.as_deref().or(task.values.as_deref());
                moved += usize::from(move_to_history(tx, task.id, task.upid.as_deref(), end, feedback)?);
            }
            Ok(moved)
        })
    }

    /// All rows of `tasks`, in order of their ids.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn tasks(&self) -> Result<Vec<Task>> {
        self.select_tasks("ORDER BY id", &[])
    }

    /// Returns whether more than so many tasks have not ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn has_more_tasks_than(&self, count: usize) -> Result<bool> {
        let offset = i64::try_from(count).unwrap_or(i64::MAX);
        let sql = "SELECT EXISTS (SELECT 1 FROM tasks LIMIT 1 OFFSET ?1)";
        self.db.query_row(sql, [offset], |row| row.get(0)).map_err(self.failed("read"))
    }

    /// Whether anything lives in the database.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn task(&self, task: &TaskRef) -> Result<Option<Task>> {
        let rows = match task {
            TaskRef::Id(id) => self.select_tasks("WHERE id = ?1", &[&id.0]),
            TaskRef::Handle(handle) => self.select_tasks("WHERE handle = ?1", &[&handle.as_str()]),
            TaskRef::There(..) => return Ok(None),
            TaskRef::Upid(upid) => self.select_tasks("WHERE upid = ?1", &[&upid.as_str()]),
        };
        Ok(rows?.into_iter().next())
    }

    fn select_tasks(&self, which: &str, values: &[&dyn ToSql]) -> Result<Vec<Task>> {
        let work = || {
            let mut statement = self.db.prepare(&format!("{SELECT_TASKS} {which}"))?;
            statement.query_map(values, task_row)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        work().map_err(self.failed("read"))
    }

    /// One ended task. A number names the task of that id; of those that 1.7 gave one id to, the newest.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn ended(&self, task: &TaskRef) -> Result<Option<HistoryRow>> {
        let find = |which: &str, value: &dyn ToSql| {
            let sql = format!("{SELECT_HISTORY} WHERE {which}");
            self.db.query_row(&sql, [value], history_row).optional()
        };
        let work = || match task {
            TaskRef::Id(id) => find(&format!("{} ORDER BY id DESC LIMIT 1", of_task(&self.db)?), &id.0),
            TaskRef::Handle(handle) => match find("handle = ?1 AND reservetime IS NOT NULL", &handle.as_str())? {
                Some(row) => Ok(Some(row)),
                None => find("handle = ?1", &handle.as_str()),
            },
            TaskRef::There(..) => Ok(None),
            // Our UPIDs hold the id, so no index of them is needed.
            TaskRef::Upid(upid) => match upid.number() {
                Some(id) => {
                    Ok(find(&format!("{} AND upid IS NOT NULL ORDER BY id DESC LIMIT 1", of_task(&self.db)?), &id)?
                        .filter(|row| row.upid.as_deref() == Some(upid.as_str())))
                }
                None => Ok(None),
            },
        };
        work().map_err(self.failed("read"))
    }

    /// One page of history.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn page(&self, query: &Query) -> Result<Page<HistoryRow>> {
        let (sql, values) = page_sql(query);
        let work = || {
            let mut statement = self.db.prepare(&sql)?;
            statement.query_map(params_from_iter(values), history_row)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = work().map_err(self.failed("read"))?;
        Ok(Page::cut(rows, query.limit, |row| Cursor { endtime: row.endtime, id: row.id }))
    }

    /// Returns the folder in which a task was launched, byte for byte; rows have it as text.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn folder_of(&self, upid: &str) -> Result<Option<PathBuf>> {
        let sql = "SELECT cwd FROM tasks WHERE upid = ?1 UNION ALL SELECT cwd FROM history WHERE upid = ?1";
        let find = self.db.query_row(sql, [upid], |row| Ok(rows::path_of(row.get_ref(0)?))).optional();
        Ok(find.map_err(self.failed("read"))?.flatten())
    }

    /// The parser's state that was stored with a task's feedback.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn feedback_state(&self, id: i64) -> Result<Option<String>> {
        let find = self.db.query_row("SELECT state FROM feedbacks WHERE id = ?1", [id], |row| row.get(0)).optional();
        Ok(find.map_err(self.failed("read"))?.flatten())
    }

    /// Stores the feedback of a task that has not ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn save_feedback(&mut self, id: i64, json: &str, now: i64, state: &str) -> Result<()> {
        self.light(
            "INSERT INTO feedbacks (id, feedback, lastupdate, state) SELECT id, ?2, ?3, ?4 FROM tasks WHERE id = ?1
             ON CONFLICT (id) DO UPDATE SET feedback = excluded.feedback, lastupdate = excluded.lastupdate,
                                            state = excluded.state",
            params![id, json, now, state],
        )
    }

    /// Stores that these tasks were seen alive, in one statement. Not flushed to the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn seen(&mut self, tasks: &[i64], now: i64) -> Result<()> {
        let ids = serde_json::to_string(tasks).unwrap_or_else(|_| "[]".to_owned());
        let sql = "UPDATE tasks SET lastupdate = ?2, duration = ?2 - starttime
                   WHERE id IN (SELECT value FROM json_each(?1))";
        self.light(sql, params![ids, now])
    }

    /// Stores what each live task is doing, and that it was seen alive now, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn update(&mut self, statuses: &[(i64, Status)], now: i64) -> Result<()> {
        self.write("update", |tx| {
            let mut update = tx.prepare(
                "UPDATE tasks SET status = iif(status = 'STOPPING', status, ?2), lastupdate = ?3, duration = ?3 - starttime
                 WHERE id = ?1 AND status <> 'RESERVED'",
            )?;
            // What was reserved when it was looked at may run by now; it has no state to store either way.
            for (id, status) in statuses.iter().filter(|(_, status)| *status != Status::Reserved) {
                update.execute(params![id, status.as_str(), now])?;
            }
            Ok(())
        })
    }

    /// Deletes rows of history; says how many, and which logs they named.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn clear(&mut self, which: &Clear) -> Result<(usize, Vec<Named>)> {
        let path = self.path.clone();
        self.write("clear history of", |tx| {
            let filter = Clear::FILTER;
            let values = params![which.before, which.name, which.now];
            let mut logs =
                tx.prepare(&format!("SELECT taskid, upid, log FROM history {filter} AND log IS NOT NULL"))?;
            let logs = logs.query_map(values, |row| {
                let (id, upid): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
                let usual = upid.map(|upid| log_file(&path, id, &upid));
                Ok(Named { id, usual, column: lossy(row, 2)?.unwrap_or_default().into(), ended: true })
            })?;
            let logs = logs.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((tx.execute(&format!("DELETE FROM history {filter}"), values)?, logs))
        })
    }

    /// Returns how many rows `clear` would delete, and how many of them have a log.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn clearable(&self, which: &Clear) -> Result<(u64, u64)> {
        let sql = format!("SELECT count(*), count(log) FROM history {}", Clear::FILTER);
        let counted = self.db.query_row(&sql, params![which.before, which.name, which.now], |row| {
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs()))
        });
        counted.map_err(self.failed("read"))
    }

    /// Empties the database in place: programs that have it open go on with the new contents. Ids go on counting, so
    /// that a number in somebody's notes never comes to mean another task.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if there is a task that has not ended, unless forced. Settle the dead ones first.
    pub fn reset(&mut self, force: bool) -> Result<()> {
        let live = self.write("initialize", |tx| {
            // Asked under the lock: one may have started since anybody looked.
            let live: i64 = tx.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?;
            if live == 0 || force {
                // Another database from now on, for whoever follows it: what lived and was deleted has no end.
                tx.execute_batch(&format!(
                    "{NEW_IDENTITY}; DELETE FROM tasks; DELETE FROM feedbacks; DELETE FROM history;"
                ))?;
                remote::clear(tx)?;
                return Ok(0);
            }
            Ok(live)
        })?;
        if live > 0 {
            return Err(StoreError::InUse(self.path.clone(), live));
        }
        self.codes = Codes::default();
        // The space goes back to the disk; that it may fail while others read is no harm.
        let _ = self.db.execute_batch("VACUUM");
        Ok(())
    }

    /// Changes when anything in the database did, for `--watch` without reading it all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn data_version(&self) -> Result<i64> {
        let version = self.db.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(self.failed("read"))
    }
}

/// SQLite's integers are signed; no counter of ours comes near the end of them.
fn stamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_task(now: i64) -> NewTask {
        NewTask { name: "a".into(), info: [None, None, None], handle: format!("abcdefg{now}"), now, unique: false }
    }

    #[test]
    fn a_commit_is_flushed_and_what_need_not_last_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&dir.path().join("t.db"), LockTimeout::USUAL).unwrap();
        let inside: i64 = store.db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(inside, 1, "SQLite flushes within the lock: it was not built as .cargo/config.toml says");
        assert!(store.wal.is_none());
        let id = store.reserve(&new_task(2), 9, |_| false).unwrap();
        assert!(store.wal.is_some());
        // What cannot be flushed: its error is that of the write.
        let (pipe, _other) = io::pipe().unwrap();
        store.wal = Some(File::from(std::os::fd::OwnedFd::from(pipe)));
        let failed = store.reserve(&new_task(3), 9, |_| false).unwrap_err();
        assert!(failed.to_string().contains("cannot flush database"), "{failed}");
        let tasks: i64 = store.db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap();
        assert_eq!(tasks, 1, "what may be lost was given to nobody");
        store.save_status(id, Status::Running, 3).unwrap();
        store.seen(&[id], 4).unwrap();
    }

    #[test]
    fn under_another_name_it_is_flushed_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("t.db"), dir.path().join("link.db"));
        drop(Store::open_or_create(&target, LockTimeout::USUAL).unwrap());
        std::os::unix::fs::symlink("t.db", &link).unwrap();
        let mut store = Store::open(&link, LockTimeout::USUAL).unwrap();
        store.reserve(&new_task(2), 9, |_| false).unwrap();
        assert!(store.wal.is_some());
        assert_eq!(store.path(), fs::canonicalize(&target).unwrap());
        // One that was taken away is missed.
        let mut store = Store::open(&target, LockTimeout::USUAL).unwrap();
        fs::remove_file(beside(&target, "-wal")).unwrap();
        assert!(store.reserve(&new_task(3), 9, |_| false).unwrap_err().to_string().contains("its WAL is gone"));
    }
}
