//! The database: all SQL of the crate.
//!
//! # Locking
//!
//! WAL mode: readers never wait for a writer, nor a writer for readers. Every write is one `BEGIN
//! IMMEDIATE` transaction: it waits for the lock at its start, where it can be retried as a whole,
//! and never in its middle. A custom busy handler does the waiting: it sleeps short and unevenly,
//! so that dozens of launchers get through quickly, for as long as the caller's [`LockTimeout`]
//! lasts.
//!
//! # Durability
//!
//! A write returns once it survives a loss of power: the WAL is flushed after the commit, when the
//! lock is already free for the next writer. So writers do not wait for each other's flushes, and
//! of several concurrent flushes the first often does the work of all. Readers may see a commit
//! some tenths of a millisecond before it is flushed; rows for other hosts ([`Store::export`]) are
//! flushed first.
//!
//! For that SQLite is built with `synchronous=NORMAL` as its default (`.cargo/config.toml`). SQLite
//! then flushes only what a checkpoint needs, and not what is worthless after a loss of power (the
//! command's pid, a status). A build without that setting flushes every commit within the lock, and
//! is slower.
//!
//! # The WAL
//!
//! The last connection does not checkpoint and delete the WAL on close, which would double the
//! price of a short run. Instead a commit that finds the WAL longer than 64 pages
//! (`.cargo/config.toml` has the reason) copies it back, which keeps small what the next opener has
//! to read while no other process has the database open. If another process is known to have the
//! database open all the time, the WAL may grow longer.
//!
//! # If the process dies here
//!
//! Changes that must hold together are one transaction. A new database is completed under another
//! name and then linked into place, so a partial database is never visible.

mod claim;
mod companions;
mod ends;
mod error;
mod export;
mod late;
mod location;
mod old;
mod open;
mod remote_add;
mod remote_clear;
mod remote_codes;
mod remote_counts;
mod remote_list;
mod remotes;
mod rows;
mod schema;
mod unread;
mod upkeep;
mod wait;
mod wal;

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{libc, unistd::geteuid};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior, params, params_from_iter};
use serde::{Deserialize, Serialize};

pub use self::{
    claim::DeadRows,
    error::{Refused, StoreError, StoreFailure},
    export::Export,
    location::resolve,
    remote_add::{Added, Batch},
    remote_list::Listed,
    remotes::{LOST, Node, NodeNews, Remote, Went},
    upkeep::{Fault, Named},
    wait::LockTimeout,
};
use self::{
    claim::{claim_in, name_taken, next_id},
    companions::Identity,
    ends::{finish_in, move_to_history},
    error::failure,
    export::NEW_IDENTITY,
    late::take_in,
    remote_codes::Codes,
    rows::{SELECT_HISTORY, SELECT_TASKS, history_row, lossy, of_task, page_sql, task_row},
};
use crate::model::{
    log::{LOGS, LogPath},
    path::beside,
    query::{Cursor, Page, Query},
    task::{End, HistoryRow, Process, Status, Task, TaskRef},
};

/// Slots of the spool before it grows; task ids use them in turn.
const SLOTS: i64 = 256;
/// Longest UPID, in bytes, that is used as a file name with its suffixes (file systems allow 255).
const LONGEST_LOG_NAME: usize = 240;

/// A task to be reserved or started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NewTask {
    /// The name.
    pub name: String,
    /// Side information.
    pub info: [Option<String>; 3],
    /// Random, unguessable handle.
    pub handle: String,
    /// Current time, unix seconds.
    pub now: i64,
    /// Whether a live task of the same name forbids this one.
    pub unique: bool,
}

/// Facts that a launcher knows of its task before the start; the reservation or the store supplies
/// the rest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the columns of schema.sql, which explains each")]
pub struct Start {
    /// The values of a new task; with a reservation, only the given `info` values replace reserved
    /// ones.
    pub task: NewTask,
    /// The reservation to claim; `None` to create one.
    #[serde(skip)]
    pub reservation: Option<TaskRef>,
    /// The subject of a worker inside a process; `None` for a command.
    pub worker: Option<String>,
    /// Whether `--name` was given; without it a reserved name stays.
    pub named: bool,
    pub feedback: bool,
    /// Folder of the feedback file.
    pub feedpath: Option<PathBuf>,
    /// Whether the task has a log.
    pub log: bool,
    /// The words of launch's command line, as a JSON array.
    pub options: String,
    /// The supervised process that this is a run of, as a JSON object.
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

/// The result of locking a slot of the spool for a launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The slot is locked, which shows that its launcher is alive.
    Held,
    /// Another launcher still holds the slot: its end is recorded and it is about to exit.
    Taken,
    /// The file system has no locks, or there is no spool.
    Unsupported,
}

/// The command of a task, as its launcher finds it just after the start.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Pid and start time.
    pub process: Process,
    /// Inode of its pidfd, if the kernel has such inodes.
    pub inode: Option<u64>,
    /// The session.
    pub session: Option<i32>,
}

/// An end that could not be recorded when it happened, kept for later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Late {
    /// The end of a run that never became a task.
    Run(Box<Start>, Box<End>),
    /// The end of a task, with its id, its UPID and its last feedback.
    Task(i64, String, Box<End>, Option<String>),
}

/// A claimed task: its row is RUNNING, durably.
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

/// Selects rows of history to delete.
#[derive(Clone, Debug, Default)]
pub struct Clear {
    /// Only rows that ended before this time, unix seconds.
    pub before: Option<i64>,
    /// Only rows of this name.
    pub name: Option<String>,
    /// Current time, unix seconds. A later end time was recorded by a wrong clock.
    pub now: i64,
}

impl Clear {
    /// The condition for rows of `history`, with its three values. A row with an end time in the
    /// future is older than tasks with higher ids, which bounds its age.
    const FILTER: &str = "WHERE (?1 IS NULL OR endtime < ?1
                                 OR (endtime > ?3 AND id < (SELECT max(id) FROM history WHERE endtime < ?1)))
                          AND (?2 IS NULL OR taskname = ?2)";
}

/// Returns the path of a task's feedback file in its folder.
pub fn feedback_file(dir: &Path, id: i64) -> PathBuf {
    dir.join(format!("feedback_{id}.log"))
}

/// Whether a path is that of the feedback file of a task, in any folder. No other file is read or
/// removed because of a row.
pub fn is_feedback_file(path: &Path, id: i64) -> bool {
    path.is_absolute() && path.parent().is_some_and(|dir| feedback_file(dir, id) == path)
}

/// Returns the folder of the logs of a database's tasks.
pub fn log_folder(db: &Path) -> PathBuf {
    beside(db, LOGS)
}

/// Returns the log file of a task. Logs are spread over 256 folders by task id, so that no folder
/// grows too large.
pub fn log_file(db: &Path, id: i64, upid: &str) -> PathBuf {
    // If the UPID is no valid file name, the id alone names the file.
    let fits = upid.len() <= LONGEST_LOG_NAME && !upid.contains('/');
    let name = if fits { format!("{upid}.log") } else { format!("task-{id}.log") };
    log_folder(db).join(format!("{:02X}", id & 0xff)).join(name)
}

/// Whether a path is that of the log of a task in the folder of logs of some database: this one, or
/// the one that the row was copied from.
pub fn is_log_file(path: &Path, id: i64, upid: &str) -> bool {
    LogPath::of(path).is_some_and(|parts| log_file(&parts.db(), id, upid) == path)
}

/// Whether the database of this path belongs to the calling user; false if that cannot be read.
pub fn is_own(db: &Path) -> bool {
    Identity::of(db).is_some_and(|identity| identity.owner.0 == geteuid().as_raw())
}

/// The open database.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Device, inode and owner of the file when it was opened.
    identity: Option<Identity>,
    /// Longest wait for a lock, also for messages.
    timeout: LockTimeout,
    /// Cache of the tables of other hosts.
    codes: Codes,
    /// Whether nothing may be written.
    only_reads: bool,
    /// The WAL, open for flushing. It stays the same file while this connection is open.
    wal: Option<File>,
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the open file: a file that was removed or replaced can still
    /// be read.
    pub fn is_in_place(&self) -> bool {
        let file = self.identity.map(|identity| identity.file);
        file.is_some() && Identity::of(&self.path).map(|identity| identity.file) == file
    }

    /// Whether the database belongs to the calling user. Rows of another user's database are only
    /// shown: nothing is moved to history, stored or deleted because of them.
    pub fn is_own(&self) -> bool {
        self.identity.is_some_and(|identity| identity.owner.0 == geteuid().as_raw())
    }

    /// Returns the owner of the database if its rows must not cause signals to processes of other
    /// users; `None` if the database belongs to this user or to root.
    pub fn other_owner(&self) -> Option<u32> {
        // An unknown owner is trusted by no one.
        let owner = self.identity.map_or(u32::MAX, |identity| identity.owner.0);
        (owner != 0 && owner != geteuid().as_raw()).then_some(owner)
    }

    /// Whether the database can be written.
    pub fn is_writable(&self) -> bool {
        !self.only_reads && self.db.is_readonly("main") == Ok(false)
    }

    /// Whether no writer is active just now, so that all written rows can be read.
    pub fn is_quiet(&mut self) -> bool {
        if !self.is_writable() {
            return true;
        }
        let timeout = self.set_lock_timeout(LockTimeout { limit: Duration::ZERO, notify: None });
        let quiet = self.db.transaction_with_behavior(TransactionBehavior::Immediate).is_ok();
        self.set_lock_timeout(timeout);
        quiet
    }

    /// Sets the size in pages at which a commit copies the WAL back, for when another process has
    /// the database open all the time. A failure is ignored.
    pub fn leave_wal_to(&self, pages: u32) {
        let _ = self.db.pragma_update(None, "wal_autocheckpoint", pages);
    }

    /// Changes the longest wait for a lock; returns the former one.
    pub fn set_lock_timeout(&mut self, timeout: LockTimeout) -> LockTimeout {
        let before = std::mem::replace(&mut self.timeout, timeout);
        self.timeout.begin();
        before
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let (path, timeout) = (self.path.clone(), self.timeout);
        move |error| failure(&path, doing, timeout, error)
    }

    /// Opens the WAL for flushing. Without a WAL, commits are flushed at once.
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

    /// Flushes committed transactions to disk.
    fn flush(&mut self) -> Result<()> {
        let flushed = self.open_wal().and_then(|()| self.wal.as_ref().map_or(Ok(()), File::sync_data));
        flushed.map_err(|error| StoreError::Io(self.path.clone(), "flush database", error))
    }

    /// Runs one write transaction, without a flush.
    fn commit<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = self.failed(doing);
        self.timeout.begin();
        // First, so that it cannot fail after the commit.
        self.open_wal().map_err(|error| StoreError::Io(self.path.clone(), "flush database", error))?;
        let whole = || {
            let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let made = work(&tx)?;
            tx.commit()?;
            Ok(made)
        };
        whole().map_err(failed)
    }

    /// Runs one write transaction.
    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let made = self.commit(doing, work)?;
        self.flush()?;
        Ok(made)
    }

    /// Flushes a newly created task to disk. If the flush fails the task is removed, so that
    /// callers never see one that a power loss could undo.
    fn flush_task(&mut self, id: i64) -> Result<()> {
        self.flush().inspect_err(|_| {
            let _ = self.light("DELETE FROM tasks WHERE id = ?1", params![id]);
        })
    }

    /// Reserves a task id. Rows of the same name that are in `dead` do not block a unique one.
    ///
    /// # Errors
    /// [`Refused::NameTaken`], [`StoreError`]
    pub fn reserve(&mut self, task: &NewTask, expires: i64, dead: &DeadRows) -> Result<i64, StoreFailure> {
        let reserved = self.commit("reserve a task in", |tx| {
            if let Some(refused) = name_taken(tx, task, None, dead)? {
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

    /// Claims a task in one step: a reservation, or a new task, becomes RUNNING with the launcher's
    /// identity. Of two launchers with the same reservation one is refused. `hold` locks the slot
    /// before the row is visible, so that no reader ever finds a row without its lock. Rows in `dead` do not block a unique
    /// name.
    ///
    /// # Errors
    /// [`Refused`], [`StoreError`]
    pub fn claim(
        &mut self,
        start: &Start,
        dead: &DeadRows,
        hold: impl Fn(i64) -> Hold,
    ) -> Result<Claimed, StoreFailure> {
        let path = self.path.clone();
        let claimed = self.commit("start a task in", |tx| claim_in(tx, &path, start, dead, &hold))??;
        self.flush_task(claimed.id)?;
        Ok(claimed)
    }

    /// Records the command's process. The pid is worthless after a loss of power, so the write is
    /// not flushed.
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

    /// Stores the status of a task and its last sign of life. Not flushed to disk.
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
        self.timeout.begin();
        self.db.execute(sql, values).map(|_| ()).map_err(self.failed("update"))
    }

    /// Records an end: inserts the row of history and deletes that of `tasks`, in one transaction.
    /// If a reader has settled the task as lost meanwhile, the true end replaces that one; if a
    /// reader has recorded this end from the spool, where long reasons are cut, it is completed.
    /// Returns false if the task does not exist any more (the database was initialized).
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn finish(&mut self, id: i64, upid: &str, end: &End) -> Result<bool> {
        self.write("record the end of a task in", |tx| finish_in(tx, id, upid, end))
    }

    /// Records ends that were kept while the database could not be written, in one transaction.
    /// Those already in history are skipped. Returns how many runs became tasks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_in(&mut self, late: &[Late]) -> Result<usize> {
        let path = self.path.clone();
        self.write("record ends in", |tx| take_in(tx, &path, late))
    }

    /// Moves tasks that were found to have ended into history, in one transaction. A row that
    /// changed since it was read is left alone.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn settle(&mut self, ended: &[(Arc<Task>, End)]) -> Result<usize> {
        self.write("settle dead tasks in", |tx| {
            let mut moved = 0;
            for (task, end) in ended {
                // The last stored feedback, if the file cannot be read any more.
                let feedback = end.feedback.as_deref().or(task.values.as_deref());
                moved += usize::from(move_to_history(tx, task.id, task.upid(), end, feedback)?);
            }
            Ok(moved)
        })
    }

    /// Passes each task that has not ended to `take`, by number.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn each_task(&self, take: &mut dyn FnMut(Arc<Task>)) -> Result<()> {
        let mut work = || {
            let mut statement = self.db.prepare(&format!("{SELECT_TASKS} ORDER BY id"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                take(Arc::new(task_row(row)?));
            }
            Ok(())
        };
        work().map_err(self.failed("read"))
    }

    /// Returns the numbers of all tasks that have not ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn task_numbers(&self) -> Result<HashSet<i64>> {
        self.read_rows("SELECT id FROM tasks", &[], |row| row.get(0))
    }

    /// Returns a task that has not ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn task(&self, task: &TaskRef) -> Result<Option<Task>> {
        let rows = match task {
            TaskRef::Id(id) => self.select_tasks("WHERE id = ?1", &[&id.0]),
            TaskRef::Handle(handle) => self.select_tasks("WHERE handle = ?1", &[&handle.as_str()]),
            TaskRef::Remote(..) => return Ok(None),
            TaskRef::Upid(upid) => self.select_tasks("WHERE upid = ?1", &[&upid.as_str()]),
        };
        Ok(rows?.into_iter().next())
    }

    fn select_tasks(&self, which: &str, values: &[&dyn ToSql]) -> Result<Vec<Task>> {
        self.read_rows(&format!("{SELECT_TASKS} {which}"), values, task_row)
    }

    fn read_rows<T, C: FromIterator<T>>(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<C> {
        let work = || self.db.prepare(sql)?.query_map(values, read)?.collect::<rusqlite::Result<C>>();
        work().map_err(self.failed("read"))
    }

    /// Returns an ended task. If taskwatcher 1.7 used an id more than once, the newest task of that
    /// id.
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
            TaskRef::Remote(..) => Ok(None),
            // UPIDs of taskwatcher contain the id, so they need no index.
            TaskRef::Upid(upid) => match upid.number() {
                Some(id) => {
                    Ok(find(&format!("{} AND upid IS NOT NULL ORDER BY id DESC LIMIT 1", of_task(&self.db)?), &id)?
                        .filter(|row| row.upid() == Some(upid.as_str())))
                }
                None => Ok(None),
            },
        };
        work().map_err(self.failed("read"))
    }

    /// Returns one page of history.
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

    /// Returns the folder in which a task was launched, byte for byte; rows contain it as text.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn folder_of(&self, upid: &str) -> Result<Option<PathBuf>> {
        let sql = "SELECT cwd FROM tasks WHERE upid = ?1 UNION ALL SELECT cwd FROM history WHERE upid = ?1";
        let find = self.db.query_row(sql, [upid], |row| Ok(rows::path_of(row.get_ref(0)?))).optional();
        Ok(find.map_err(self.failed("read"))?.flatten())
    }

    /// Returns the parser's state that was stored with a task's feedback.
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

    /// Stores that these tasks were seen alive, in one statement. Not flushed to disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn seen(&mut self, tasks: &[i64], now: i64) -> Result<()> {
        let ids = serde_json::to_string(tasks).unwrap_or_else(|_| "[]".to_owned());
        let sql = "UPDATE tasks SET lastupdate = ?2, duration = ?2 - starttime
                   WHERE id IN (SELECT value FROM json_each(?1))";
        self.light(sql, params![ids, now])
    }

    /// Stores the status of each live task and that it was seen alive now, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn update(&mut self, statuses: &[(i64, Status)], now: i64) -> Result<()> {
        self.write("update", |tx| {
            let mut update = tx.prepare(
                "UPDATE tasks SET status = iif(status = 'STOPPING', status, ?2), lastupdate = ?3, duration = ?3 - starttime
                 WHERE id = ?1 AND status <> 'RESERVED'",
            )?;
            // A task read as reserved may be running by now; in neither case is there a status to
            // store.
            for (id, status) in statuses.iter().filter(|(_, status)| *status != Status::Reserved) {
                update.execute(params![id, status.as_str(), now])?;
            }
            Ok(())
        })
    }

    /// Deletes rows of history; returns their number and the logs that they named.
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

    /// Returns how many rows [`Store::clear`] would delete, and how many of them have a log.
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

    /// Empties the database in place: programs that have it open continue with the new content. Ids
    /// continue, so that an id that was noted elsewhere never refers to another task.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a task has not ended, unless forced. Settle the dead ones first.
    pub fn reset(&mut self, force: bool) -> Result<()> {
        let live = self.write("initialize", |tx| {
            // Counted under the lock, because a task may have started meanwhile.
            let live: i64 = tx.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?;
            if live == 0 || force {
                // The database gets a new identity for those that follow it: deleted live tasks
                // have no end.
                tx.execute_batch(&format!(
                    "{NEW_IDENTITY}; DELETE FROM tasks; DELETE FROM feedbacks; DELETE FROM history;"
                ))?;
                remote_clear::clear(tx)?;
                return Ok(0);
            }
            Ok(live)
        })?;
        if live > 0 {
            return Err(StoreError::InUse(self.path.clone(), live));
        }
        self.codes = Codes::default();
        // Returns the space to the disk; fails harmlessly while others read.
        let _ = self.db.execute_batch("VACUUM");
        Ok(())
    }

    /// Returns a number that changes whenever the database does, so that `--watch` need not read
    /// all of it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn data_version(&self) -> Result<i64> {
        let version = self.db.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(self.failed("read"))
    }
}

/// SQLite's integers are signed; no counter comes near the limit.
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
    fn commits_are_flushed_except_for_transient_state() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_or_create(&dir.path().join("t.db"), LockTimeout::USUAL).unwrap();
        let inside: i64 = store.db.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        // With the usual settings of SQLite, as an installation from a registry has them, each commit is flushed twice.
        let wanted = if option_env!("LIBSQLITE3_FLAGS").is_some() { 1 } else { 2 };
        assert_eq!(inside, wanted, "SQLite was not built with the settings of .cargo/config.toml");
        assert!(store.wal.is_none());
        let id = store.reserve(&new_task(2), 9, &DeadRows::default()).unwrap();
        assert!(store.wal.is_some());
        // A file that cannot be flushed: the write returns its error.
        let (pipe, _other) = io::pipe().unwrap();
        store.wal = Some(File::from(std::os::fd::OwnedFd::from(pipe)));
        let failed = store.reserve(&new_task(3), 9, &DeadRows::default()).unwrap_err();
        assert!(failed.to_string().contains("cannot flush database"), "{failed}");
        let tasks: i64 = store.db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).unwrap();
        assert_eq!(tasks, 1, "the task that could be lost was removed");
        store.save_status(id, Status::Running, 3).unwrap();
        store.seen(&[id], 4).unwrap();
    }

    #[test]
    fn a_database_behind_a_link_is_flushed_at_its_target() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("t.db"), dir.path().join("link.db"));
        drop(Store::open_or_create(&target, LockTimeout::USUAL).unwrap());
        std::os::unix::fs::symlink("t.db", &link).unwrap();
        let mut store = Store::open(&link, LockTimeout::USUAL).unwrap();
        store.reserve(&new_task(2), 9, &DeadRows::default()).unwrap();
        assert!(store.wal.is_some());
        assert_eq!(store.path(), fs::canonicalize(&target).unwrap());
        // A missing WAL is an error.
        let mut store = Store::open(&target, LockTimeout::USUAL).unwrap();
        fs::remove_file(beside(&target, "-wal")).unwrap();
        assert!(
            store.reserve(&new_task(3), 9, &DeadRows::default()).unwrap_err().to_string().contains("its WAL is gone")
        );
    }
}
