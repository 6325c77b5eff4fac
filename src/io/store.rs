//! The database: all SQL of the crate.
//!
//! # Locking
//! WAL mode: readers never wait for a writer, nor it for them. Every write is one `BEGIN IMMEDIATE` transaction, so
//! that it waits for the lock at its start, where it can be retried whole, and never in its middle. Waiting is done by
//! our own busy handler: it sleeps short and unevenly, so that dozens of launchers get through quickly, for as long as
//! the caller's [`Patience`] lasts.
//!
//! # Durability
//! `synchronous=FULL` is the default: a commit survives a loss of power. Only what is worthless after one (the
//! command's pid, a status) is written with `NORMAL`.
//!
//! # The WAL
//! The last one to close does not checkpoint and delete it, which would double the price of a short run; instead a
//! commit that finds it longer than `CHECKPOINT_PAGES` copies it back, which keeps small what the next opener has to
//! read when nobody else has the database open.
//!
//! # If we die here
//! Everything that must hold together is one transaction. A new database is made whole under another name and linked
//! into place, so nobody ever sees half of one.

use std::{
    cell::Cell,
    fs::{self, DirBuilder, File, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior,
    config::DbConfig,
    named_params, params,
    types::{Value, ValueRef},
};

use serde::{Deserialize, Serialize};

use crate::model::{
    query::{Cursor, Page, Query},
    task::{Class, End, HistoryRow, Outcome, Process, Signal, Status, Task, TaskRef},
    upid::Upid,
};

/// `PRAGMA application_id` of our files: "twch".
const APPLICATION_ID: i32 = 0x7477_6368;
/// `PRAGMA user_version` of the newest schema.
const VERSION: i32 = 1;
/// The newest schema.
const SCHEMA: &str = include_str!("../../schema.sql");
/// Slots the spool has before it grows: task ids use them in turn.
const SLOTS: i64 = 256;

/// Why the database could not be used: what failed, on which file, why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("there is no database {0:?}; reserve or launch a task to make one")]
    Missing(PathBuf),
    /// Its place is taken by something that is no regular file.
    #[error("cannot open database {0:?}: it is {1}")]
    NotAFile(PathBuf, &'static str),
    /// A file of somebody else.
    #[error("cannot use {0:?}: it is not a taskwatcher database ({1}); it was left untouched")]
    NotOurs(PathBuf, String),
    /// Written by a newer version.
    #[error("cannot use database {0:?}: its version is {1}, this program knows {VERSION}; update taskwatcher")]
    Newer(PathBuf, i32),
    /// Another writer holds the lock.
    #[error("cannot {1} database {0:?}: another program keeps it locked; waited {2} s for it")]
    Busy(PathBuf, &'static str, u64),
    /// Nothing may be written.
    #[error("cannot {1} database {0:?}: it is read-only")]
    ReadOnly(PathBuf, &'static str),
    /// No room.
    #[error("cannot {1} database {0:?}: the disk is full")]
    Full(PathBuf, &'static str),
    /// Not whole any more.
    #[error("cannot {1} database {0:?}: the file is damaged ({2}); restore a copy")]
    Damaged(PathBuf, &'static str, String),
    /// Tasks still live in what was to be replaced.
    #[error("cannot initialize database {0:?}: {1} of its tasks have not ended; end them first, or use --force")]
    InUse(PathBuf, i64),
    /// Anything else the file system says.
    #[error("cannot {1} {0:?}: {2}")]
    Io(PathBuf, &'static str, io::Error),
    /// Anything else SQLite says.
    #[error("cannot {1} database {0:?}: {2}")]
    Sqlite(PathBuf, &'static str, rusqlite::Error),
}

/// A wish that was understood and is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not there, or not free any more.
    #[error("cannot launch task {0}: {1}")]
    NotReserved(String, String),
    /// The name is taken.
    #[error("the name {name:?} is taken: task {id} {state}")]
    NameTaken {
        /// The task that has it.
        id: i64,
        /// The name.
        name: String,
        /// `is reserved` or `has not ended`.
        state: &'static str,
    },
}

/// What can come of asking the store for something.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// It is broken.
    #[error(transparent)]
    Broken(#[from] StoreError),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// How long to wait for a lock, and whom to tell that we wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest wait.
    pub limit: Duration,
    /// Called once when a wait has become long enough to be noticed.
    pub notify: Option<fn()>,
}

impl Patience {
    /// Section 13: up to 30 s.
    pub const USUAL: Patience = Patience { limit: Duration::from_secs(30), notify: None };
    /// For an end, which has the spool to go to instead while a person waits for the prompt.
    pub const SHORT: Patience = Patience { limit: Duration::from_secs(1), notify: None };
    /// After so long a wait is noticed.
    pub const NOTICED: Duration = Duration::from_secs(2);
}

/// A task to be reserved or started.
#[derive(Clone, Debug, Default)]
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
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the columns of schema.sql, which explains each")]
pub struct Start {
    /// What is new when no reservation is claimed; of a reservation, only `info` that is given replaces what it has.
    pub task: NewTask,
    /// The reservation to claim; none: one is made on the spot.
    pub reservation: Option<TaskRef>,
    /// `--name`; without it a reserved name stays.
    pub named: bool,
    pub feedback: bool,
    /// Folder of the feedback file.
    pub feedpath: Option<PathBuf>,
    pub keep_feedback: bool,
    pub timeout: Option<f64>,
    pub max_runtime: Option<f64>,
    pub stop_signal: String,
    pub kill_after: f64,
    pub launcher: Option<Process>,
    pub boot_id: String,
    pub host: String,
    pub user: String,
    pub argv: String,
    pub cwd: Option<PathBuf>,
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
}

/// Which rows of history to delete.
#[derive(Clone, Debug, Default)]
pub struct Clear {
    /// Only those that ended before this time, unix seconds.
    pub before: Option<i64>,
    /// Only those of this name.
    pub name: Option<String>,
}

/// The name of a task's feedback file in its folder.
pub fn feedback_file(dir: &Path, id: i64) -> PathBuf {
    dir.join(format!("feedback_{id}.log"))
}

/// The database, open.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Longest wait, for messages.
    patience: Patience,
}

thread_local! {
    /// What the busy handler, which SQLite gives nothing but a counter, has to know.
    static WAIT: Cell<(Patience, Duration)> = const { Cell::new((Patience::USUAL, Duration::ZERO)) };
}

/// Sleeps a little and says whether to try again. Short and uneven: a commit takes a tenth of a millisecond, and
/// sleepers that wake together collide again.
fn on_busy(tries: i32) -> bool {
    let (patience, before) = WAIT.get();
    let waited = if tries == 0 { Duration::ZERO } else { before };
    if waited >= patience.limit {
        return false;
    }
    let base = 50u64 << tries.clamp(0, 6);
    let seed =
        u64::from(std::process::id()).wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(tries.unsigned_abs()) * 7919);
    let pause = Duration::from_micros(base + seed % base);
    #[expect(clippy::disallowed_methods, reason = "nobody announces the end of a lock")]
    std::thread::sleep(pause);
    let now = waited + pause;
    if waited < Patience::NOTICED
        && now >= Patience::NOTICED
        && let Some(notify) = patience.notify
    {
        notify();
    }
    WAIT.set((patience, now));
    true
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Opens a database that is there; what cannot be written can still be read.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is created or changed, except that older versions are brought forward.
    pub fn open(path: &Path, patience: Patience) -> Result<Store> {
        check_place(path)?;
        Store::open_there(path, patience)
    }

    /// Opens a database, making it and its folders (0700) if they are not there.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_or_create(path: &Path, patience: Patience) -> Result<Store> {
        match Store::open(path, patience) {
            Err(StoreError::Missing(_)) => {
                create(path)?;
                Store::open(path, patience)
            }
            other => other,
        }
    }

    fn open_there(path: &Path, patience: Patience) -> Result<Store> {
        let fresh_wal = !beside(path, "-wal").exists();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|error| failure(path, "open", patience, error))?;
        let mut store = Store { db, path: path.to_owned(), patience };
        let failed = store.failed("open");
        let prepared = store.prepare().map_err(failed);
        if fresh_wal {
            // SQLite has made it just now, and is built not to flush the folder at each first commit of a process.
            flush_folder(path)?;
        }
        match prepared {
            Ok((APPLICATION_ID, VERSION)) => Ok(store),
            Ok((application, version)) => store.bring_forward(application, version),
            Err(StoreError::Sqlite(..) | StoreError::ReadOnly(..)) if !has_wal(path) => {
                Store::open_unchanging(path, patience)
            }
            Err(error) => Err(error),
        }
    }

    /// A file in a folder we cannot write: SQLite cannot make its WAL there, so nobody else writes it either.
    fn open_unchanging(path: &Path, patience: Patience) -> Result<Store> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let escape = |byte: u8| match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
            other => format!("%{other:02x}"),
        };
        let escaped: String = path.as_os_str().as_bytes().iter().copied().map(escape).collect();
        let uri = format!("file:{escaped}?immutable=1");
        let db = Connection::open_with_flags(uri, flags).map_err(|error| failure(path, "open", patience, error))?;
        let mut store = Store { db, path: path.to_owned(), patience };
        let failed = store.failed("open");
        match store.prepare().map_err(failed)? {
            (APPLICATION_ID, VERSION) => Ok(store),
            (APPLICATION_ID, newer) if newer > VERSION => Err(StoreError::Newer(path.to_owned(), newer)),
            _ => Err(StoreError::NotOurs(path.to_owned(), "and it cannot be written to bring it forward".into())),
        }
    }

    /// Sets the connection up and reads whose file it is: `(application_id, user_version)`.
    fn prepare(&mut self) -> rusqlite::Result<(i32, i32)> {
        WAIT.set((self.patience, Duration::ZERO));
        self.db.busy_handler(Some(on_busy))?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.whose()
    }

    /// `(application_id, user_version)`
    fn whose(&self) -> rusqlite::Result<(i32, i32)> {
        let number = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        Ok((number("application_id")?, number("user_version")?))
    }

    /// Makes a database of an older version, of taskwatcher 1.7, or an empty file, into one of ours.
    fn bring_forward(mut self, application: i32, version: i32) -> Result<Store> {
        if application == APPLICATION_ID && version > VERSION {
            return Err(StoreError::Newer(self.path, version));
        }
        let foreign = |store: &Store, why: &str| StoreError::NotOurs(store.path.clone(), why.to_owned());
        if application != 0 && application != APPLICATION_ID {
            return Err(foreign(&self, "another program's application id"));
        }
        let tables = self.tables().map_err(self.failed("read"))?;
        if !(tables.is_empty() || is_of_1_7(&tables)) || version != 0 {
            // Unless another program has brought it forward since we asked whose it is.
            let failed = self.failed("read");
            return match self.whose().map_err(failed)? {
                (APPLICATION_ID, VERSION) => Ok(self),
                _ => Err(foreign(&self, "other tables")),
            };
        }
        // First, because the WAL gets the mode that the database has when it is made.
        let private = fs::set_permissions(&self.path, Permissions::from_mode(0o600));
        private.map_err(|error| StoreError::Io(self.path.clone(), "protect database", error))?;
        let migrated = self.migrate();
        migrated.map_err(self.failed("bring forward"))?;
        Ok(self)
    }

    fn tables(&self) -> rusqlite::Result<Vec<(String, Vec<String>)>> {
        let mut names = self.db.prepare(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )?;
        let names = names.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        let with_columns = |name: String| {
            let mut columns = self.db.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let columns = columns.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
            Ok((name, columns))
        };
        names.into_iter().map(with_columns).collect()
    }

    /// One transaction, which looks again under the lock: twenty programs may find the same old file at once.
    fn migrate(&mut self) -> rusqlite::Result<()> {
        // SQLite does not ask the busy handler before it gives up on a change of mode.
        let mut tries = 0;
        while let Err(error) = self.db.pragma_update(None, "journal_mode", "WAL") {
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) || !on_busy(tries) {
                return Err(error);
            }
            tries += 1;
        }
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if tx.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? == APPLICATION_ID {
            return Ok(());
        }
        let old: bool =
            tx.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'tasks')", [], |r| r.get(0))?;
        if old {
            tx.execute_batch(
                "ALTER TABLE tasks RENAME TO old_tasks; ALTER TABLE feedbacks RENAME TO old_feedbacks;
                 ALTER TABLE history RENAME TO old_history;",
            )?;
        }
        tx.execute_batch(&stored_schema())?;
        if old {
            from_1_7(&tx)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", VERSION)?;
        tx.commit()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be written.
    pub fn is_writable(&self) -> bool {
        self.db.is_readonly("main") == Ok(false)
    }

    /// Whether no writer is at work just now, so that all that was written can be read.
    pub fn is_quiet(&mut self) -> bool {
        if !self.is_writable() {
            return true;
        }
        let patience = self.set_patience(Patience { limit: Duration::ZERO, notify: None });
        let quiet = self.db.transaction_with_behavior(TransactionBehavior::Immediate).is_ok();
        self.set_patience(patience);
        quiet
    }

    /// Changes how long a lock is waited for; gives what it was before.
    pub fn set_patience(&mut self, patience: Patience) -> Patience {
        WAIT.set((patience, Duration::ZERO));
        std::mem::replace(&mut self.patience, patience)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
        let (path, patience) = (self.path.clone(), self.patience);
        move |error| failure(&path, doing, patience, error)
    }

    /// One write transaction.
    fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = self.failed(doing);
        let whole = || {
            let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let made = work(&tx)?;
            tx.commit()?;
            Ok(made)
        };
        whole().map_err(failed)
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
        let reserved = self.write("reserve a task in", |tx| {
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
        Ok(reserved?)
    }

    /// Makes a task ours, in one step: a reservation, or a new one, becomes RUNNING with our launcher's identity. Of
    /// two launchers of one reservation one is refused.
    ///
    /// # Errors
    /// [`Refused`], [`StoreError`]
    pub fn claim(&mut self, start: &Start, is_dead: impl Fn(&Task) -> bool) -> Result<Claimed, StoreFailure> {
        let claimed = self.write("start a task in", |tx| claim_in(tx, start, &is_dead))?;
        Ok(claimed?)
    }

    /// Notes the command's process. Worth nothing after a loss of power, so not flushed to the disk.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn started(&mut self, id: i64, command: Process) -> Result<()> {
        self.light(
            "UPDATE tasks SET pid = ?2, pid_pstart = ?3 WHERE id = ?1",
            params![id, command.pid, stamp(command.pstart)],
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
        let work = || {
            self.db.pragma_update(None, "synchronous", "NORMAL")?;
            let done = self.db.execute(sql, values);
            self.db.pragma_update(None, "synchronous", "FULL")?;
            done.map(|_| ())
        };
        work().map_err(self.failed("update"))
    }

    /// Records an end: into history and out of `tasks`, in one transaction. If a reader took the task for lost
    /// meanwhile, the truth replaces that. False if there is no such task any more (the database was made anew).
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn finish(&mut self, id: i64, upid: &str, end: &End) -> Result<bool> {
        self.write("record the end of a task in", |tx| {
            if move_to_history(tx, id, Some(upid), end, end.feedback.as_deref())? {
                return Ok(true);
            }
            let [result, outcome, signal, error] =
                [Some(&end.result), Some(&end.outcome), end.termsignal.as_ref(), end.termerror.as_ref()];
            let which = of_task(tx)?;
            let sql = format!(
                "UPDATE history SET result = ?3, outcome = ?4, termsignal = ?5, termerror = ?6, endtime = ?7,
                        duration = ?8, exitcode = ?9, warnings = ?10, cpu_user = ?11, cpu_sys = ?12, maxrss = ?13,
                        ended_by = ?14, feedback = coalesce(?15, feedback)
                 WHERE {which} AND upid = ?2 AND result = 'unknown'"
            );
            let replaced = tx.execute(
                &sql,
                params![
                    id,
                    upid,
                    result,
                    outcome,
                    signal,
                    error,
                    end.endtime,
                    end.duration,
                    end.exitcode,
                    stamp(end.warnings),
                    end.cpu_user,
                    end.cpu_sys,
                    end.maxrss,
                    end.ended_by,
                    end.feedback
                ],
            )?;
            Ok(replaced > 0)
        })
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

    /// Whether anything lives in the database.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn task(&self, task: &TaskRef) -> Result<Option<Task>> {
        let rows = match task {
            TaskRef::Id(id) => self.select_tasks("WHERE id = ?1", &[&id.0]),
            TaskRef::Handle(handle) => self.select_tasks("WHERE handle = ?1", &[&handle.as_str()]),
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
            // Our UPIDs hold the id, so no index of them is needed.
            TaskRef::Upid(upid) => match upid.id().parse::<i64>() {
                Ok(id) => {
                    Ok(find(&format!("{} AND upid IS NOT NULL ORDER BY id DESC LIMIT 1", of_task(&self.db)?), &id)?
                        .filter(|row| row.upid.as_deref() == Some(upid.as_str())))
                }
                Err(_) => Ok(None),
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
            let values = rusqlite::params_from_iter(values);
            statement.query_map(values, history_row)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = work().map_err(self.failed("read"))?;
        Ok(Page::cut(rows, query.limit, |row| Cursor { endtime: row.endtime, id: row.id }))
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
            for (id, status) in statuses {
                update.execute(params![id, status.as_str(), now])?;
            }
            Ok(())
        })
    }

    /// Deletes rows of history; says how many, and which logs they had.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn clear(&mut self, which: &Clear) -> Result<(usize, Vec<PathBuf>)> {
        self.write("clear history of", |tx| {
            let filter = "WHERE (?1 IS NULL OR endtime < ?1) AND (?2 IS NULL OR taskname = ?2)";
            let values = params![which.before, which.name];
            let mut logs = tx.prepare(&format!("SELECT log FROM history {filter} AND log IS NOT NULL"))?;
            let logs = logs.query_map(values, |row| row.get::<_, String>(0).map(PathBuf::from))?;
            let logs = logs.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((tx.execute(&format!("DELETE FROM history {filter}"), values)?, logs))
        })
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
                tx.execute_batch("DELETE FROM tasks; DELETE FROM feedbacks; DELETE FROM history;")?;
                return Ok(0);
            }
            Ok(live)
        })?;
        if live > 0 {
            return Err(StoreError::InUse(self.path.clone(), live));
        }
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

/// Something that must not be opened: SQLite would say less clearly, or follow where it should not.
fn check_place(path: &Path) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Missing(path.to_owned())),
        Err(error) => return Err(StoreError::Io(path.to_owned(), "open database", error)),
    };
    let refuse = |what| Err(StoreError::NotAFile(path.to_owned(), what));
    let kind = meta.file_type();
    if kind.is_symlink() {
        let shared = fs::metadata(folder_of(path)).is_ok_and(|meta| meta.permissions().mode() & 0o022 != 0);
        return match fs::metadata(path) {
            _ if shared => refuse("a symbolic link in a folder that others can write"),
            Ok(target) if target.is_dir() => refuse("a folder"),
            Ok(_) => Ok(()),
            Err(_) => refuse("a symbolic link that leads nowhere"),
        };
    }
    if kind.is_dir() {
        return refuse("a folder");
    }
    if kind.is_file() {
        // SQLite takes a file of one byte for an empty one, and would write over it.
        return if meta.len() == 1 { Err(StoreError::NotOurs(path.to_owned(), "one byte".into())) } else { Ok(()) };
    }
    refuse(if kind.is_fifo() { "a pipe" } else { "not a regular file" })
}

fn has_wal(path: &Path) -> bool {
    fs::metadata(beside(path, "-wal")).is_ok_and(|meta| meta.len() > 0)
}

/// A file of the same name and place with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a database's folder survive a loss of power.
fn flush_folder(path: &Path) -> Result<()> {
    let flushed = File::open(folder_of(path)).and_then(|dir| dir.sync_all());
    match flushed {
        // A folder that we may not read is nobody's to flush; its files are somebody else's too.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|error| StoreError::Io(path.to_owned(), "flush the folder of database", error)),
    }
}

/// The schema as it is stored: SQLite keeps the text of its definitions and reads it again at every opening, so without
/// the comments and the blanks.
fn stored_schema() -> String {
    let bare = |line: &str| line.split("--").next().unwrap_or_default().trim().to_owned();
    let lines: Vec<String> = SCHEMA.lines().map(bare).filter(|line| !line.is_empty()).collect();
    // The row that counts the ids: there from the start, so that it need not be looked for.
    format!("{}; INSERT INTO sqlite_sequence (name, seq) VALUES ('tasks', 0)", lines.join(" ").trim_end_matches(';'))
}

/// Makes a database whole under a name of its own, then links it into place; if somebody was quicker, theirs is it.
///
/// A WAL that lies there belonged to a database that was deleted alone; SQLite would read it into the new one. It may
/// only go while nobody can be making the new one: so all who create hold a lock on the folder.
fn create(path: &Path) -> Result<()> {
    let parent = folder_of(path);
    let io = |doing, at: &Path| {
        let at = at.to_owned();
        move |error| StoreError::Io(at, doing, error)
    };
    create_folder(parent)?;
    let folder = File::open(parent).map_err(io("open folder", parent))?;
    folder.lock().map_err(io("lock folder", parent))?;
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    for suffix in ["-wal", "-shm"] {
        let mut stale = path.as_os_str().to_owned();
        stale.push(suffix);
        match fs::remove_file(Path::new(&stale)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("remove what is left of a deleted database,", Path::new(&stale))(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:x}.new", std::process::id(), std::ptr::from_ref(&name) as usize));
    let fresh = parent.join(name);
    let made = create_at(&fresh, path).and_then(|()| match fs::hard_link(&fresh, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io("create database", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    });
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&fresh, suffix));
    }
    made?;
    folder.sync_all().map_err(io("create database", path))
}

/// Makes a folder and those above it that are missing, for their owner alone whatever the umask.
fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
    }
    let made = DirBuilder::new().mode(0o700).create(folder);
    match made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700))) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(StoreError::Io(folder.to_owned(), "create folder", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn create_at(fresh: &Path, named: &Path) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600).open(fresh);
    let protect = file.and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
    protect.map_err(|error| StoreError::Io(named.to_owned(), "create database", error))?;
    let fill = || {
        let db = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        db.execute_batch(&stored_schema())?;
        db.pragma_update(None, "application_id", APPLICATION_ID)?;
        db.pragma_update(None, "user_version", VERSION)?;
        // Closing checkpoints it: the file that is linked into place is whole without a WAL.
        db.execute_batch("COMMIT")
    };
    fill().map_err(|error| failure(named, "create", Patience::USUAL, error))
}

/// What SQLite says, in words for a user.
fn failure(path: &Path, doing: &'static str, patience: Patience, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Busy(path, doing, patience.limit.as_secs())
        }
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly(path, doing),
        Some(ErrorCode::DiskFull) => StoreError::Full(path, doing),
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged(path, doing, text),
        Some(ErrorCode::NotADatabase) => {
            StoreError::NotOurs(path, "not an SQLite file, or its start is damaged".into())
        }
        _ => StoreError::Sqlite(path, doing, error),
    }
}

/// Whether these are the tables of taskwatcher 1.7.
fn is_of_1_7(tables: &[(String, Vec<String>)]) -> bool {
    let known: [(&str, &[&str]); 3] = [
        ("feedbacks", &["id", "feedback", "lastupdate"]),
        (
            "history",
            &[
                "id",
                "taskid",
                "taskname",
                "info1",
                "info2",
                "info3",
                "termsignal",
                "termerror",
                "starttime",
                "endtime",
                "duration",
                "feedback",
            ],
        ),
        (
            "tasks",
            &[
                "id",
                "name",
                "info1",
                "info2",
                "info3",
                "pid",
                "status",
                "feedback",
                "reservetime",
                "starttime",
                "duration",
                "lastupdate",
                "timeout",
            ],
        ),
    ];
    tables.len() == known.len()
        && tables.iter().zip(known).all(|((name, columns), (known, wanted))| name == known && columns == wanted)
}

/// Takes the rows of 1.7 over. It kept the raw wait status as "termsignal", and fillers as error and feedback.
fn from_1_7(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "INSERT INTO tasks (id, name, info1, info2, info3, pid, status, feedback, reservetime, starttime, duration,
                            lastupdate, timeout, handle, expires)
         SELECT id, coalesce(name, 'task'), info1, info2, info3, pid, coalesce(status, 'RUNNING'),
                coalesce(feedback, 0) <> 0, reservetime, starttime, duration, lastupdate, timeout,
                'h' || substr(replace(replace(lower(hex(randomblob(4))), '0', 'x'), '1', 'y'), 1, 7),
                CASE status WHEN 'RESERVED' THEN coalesce(reservetime, 0) + 60 END
         FROM old_tasks;
         INSERT INTO feedbacks (id, feedback, lastupdate)
         SELECT id, CASE WHEN json_valid(feedback) THEN feedback END, lastupdate FROM old_feedbacks;
         INSERT INTO history (id, taskid, taskname, info1, info2, info3, starttime, endtime, duration, feedback,
                              outcome, result)
         SELECT id, coalesce(taskid, id), taskname, info1, info2, info3, starttime, coalesce(endtime, starttime, 0),
                duration, CASE WHEN json_valid(feedback) THEN feedback END, 'unknown', 'unknown'
         FROM old_history;",
    )?;
    let mut read = tx.prepare("SELECT id, termsignal, termerror FROM old_history")?;
    let mut write = tx.prepare(
        "UPDATE history SET outcome = ?2, result = ?3, termsignal = ?4, termerror = ?5, exitcode = ?6 WHERE id = ?1",
    )?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let text = |index| row.get::<_, Value>(index).map(value_text);
        let (id, status, error) = (row.get::<_, i64>(0)?, text(1)?, text(2)?);
        let error = error.filter(|error| !error.is_empty() && error != "TBD");
        let (outcome, signal, code) = outcome_of_1_7(status.as_deref(), error);
        let class = outcome.class().as_str();
        write.execute(params![id, outcome.to_string(), class, signal, outcome.reason(), code])?;
    }
    drop(rows);
    drop((read, write));
    tx.execute_batch(
        // Only these have a row id that is not the task's; a database that began with us has no such index.
        "CREATE INDEX history_legacy ON history (taskid) WHERE taskid <> id;
         DROP TABLE old_tasks; DROP TABLE old_feedbacks; DROP TABLE old_history;
         UPDATE sqlite_sequence SET seq = (
             SELECT max(coalesce((SELECT max(id) FROM tasks), 0),
                        coalesce((SELECT max(max(id), max(taskid)) FROM history), 0)))
         WHERE name = 'tasks';",
    )
}

fn value_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(n) => Some(n.to_string()),
        Value::Real(x) => Some(x.to_string()),
        Value::Text(text) => Some(text),
        Value::Blob(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn outcome_of_1_7(status: Option<&str>, error: Option<String>) -> (Outcome, Option<String>, Option<i32>) {
    let Some(status) = status.and_then(|text| text.parse::<i32>().ok()) else {
        let why = error.or_else(|| status.map(|text| format!("ended with {text}")));
        return (Outcome::Unknown(why.unwrap_or_else(|| "not recorded by taskwatcher 1.7".into())), None, None);
    };
    match (status & 0x7f, status >> 8) {
        (0, 0) => (error.map_or(Outcome::Ok, Outcome::Error), None, Some(0)),
        (0, code) => (Outcome::Error(error.unwrap_or_else(|| format!("exit code {code}"))), None, Some(code)),
        (signal, _) => {
            let name = Signal(signal).to_string();
            let why = error.unwrap_or_else(|| format!("killed by {name}"));
            (Outcome::Error(why), Some(name), Some(128 + signal))
        }
    }
}

fn next_id(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    let last: Option<i64> =
        tx.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'", [], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or(0) + 1)
}

/// A new id, and the first slot that it may use and no live task does; most often one question gives both.
fn next_place(tx: &Transaction<'_>) -> rusqlite::Result<(i64, i64)> {
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

/// The first slot that this id may use and no live task does.
fn free_slot(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<i64> {
    let mut taken = tx.prepare("SELECT EXISTS (SELECT 1 FROM tasks WHERE slot = ?1)")?;
    let mut slot = id % SLOTS;
    while taken.query_row([slot], |row| row.get(0))? {
        slot += SLOTS;
    }
    Ok(slot)
}

/// Whether a live task of the name, other than `myself`, forbids a unique one.
fn name_taken(
    tx: &Transaction<'_>,
    task: &NewTask,
    myself: Option<i64>,
    is_dead: &impl Fn(&Task) -> bool,
) -> rusqlite::Result<Option<Refused>> {
    if !task.unique {
        return Ok(None);
    }
    let mut statement = tx.prepare(&format!("{SELECT_TASKS} WHERE name = ?1 ORDER BY id"))?;
    let rows = statement.query_map([&task.name], task_row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let other = rows.into_iter().find(|row| Some(row.id) != myself && !is_dead(row));
    Ok(other.map(|row| Refused::NameTaken {
        id: row.id,
        name: task.name.clone(),
        state: if row.is_reserved() { "is reserved" } else { "has not ended" },
    }))
}

fn claim_in(
    tx: &Transaction<'_>,
    start: &Start,
    is_dead: &impl Fn(&Task) -> bool,
) -> rusqlite::Result<Result<Claimed, Refused>> {
    let mut task = start.task.clone();
    let reserved = match &start.reservation {
        None => None,
        Some(wanted) => match find_reservation(tx, wanted, is_dead)? {
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
    if let Some(refused) = name_taken(tx, &task, myself, is_dead)? {
        return Ok(Err(refused));
    }
    let (id, slot) = match myself {
        Some(id) => (id, free_slot(tx, id)?),
        None => next_place(tx)?,
    };
    let launcher = start.launcher.unwrap_or(Process { pid: 0, pstart: 0 });
    let upid = Upid::build(
        &start.host,
        launcher.pid.unsigned_abs(),
        launcher.pstart,
        task.now,
        &task.name,
        id.unsigned_abs(),
        &start.user,
    )
    .to_string();
    let feedpath = start.feedpath.as_ref().map(|dir| feedback_file(dir, id));
    let [info1, info2, info3] = &task.info;
    let columns = named_params! {
        ":id": id, ":slot": slot, ":name": task.name, ":info1": info1, ":info2": info2, ":info3": info3,
        ":feedback": start.feedback, ":starttime": task.now, ":timeout": start.timeout, ":handle": task.handle,
        ":upid": upid, ":launcher_pid": launcher.pid, ":launcher_pstart": stamp(launcher.pstart),
        ":boot_id": start.boot_id, ":host": start.host, ":user": start.user, ":argv": start.argv,
        ":cwd": start.cwd.as_deref().map(path_value), ":feedpath": feedpath.as_deref().map(path_value),
        ":keep_feedback": start.keep_feedback, ":max_runtime": start.max_runtime, ":stop_signal": start.stop_signal,
        ":kill_after": start.kill_after,
    };
    let sql = if reserved.is_some() {
        "UPDATE tasks SET slot = :slot, name = :name, info1 = :info1, info2 = :info2, info3 = :info3,
                status = 'RUNNING', feedback = :feedback, starttime = :starttime, duration = 0,
                lastupdate = :starttime, timeout = :timeout, handle = :handle, expires = NULL, upid = :upid,
                launcher_pid = :launcher_pid, launcher_pstart = :launcher_pstart, boot_id = :boot_id, host = :host,
                user = :user, argv = :argv, cwd = :cwd, feedpath = :feedpath, keep_feedback = :keep_feedback,
                max_runtime = :max_runtime, stop_signal = :stop_signal, kill_after = :kill_after
         WHERE id = :id"
    } else {
        "INSERT INTO tasks (id, slot, name, info1, info2, info3, status, feedback, starttime, duration, lastupdate,
                            timeout, handle, upid, launcher_pid, launcher_pstart, boot_id, host, user, argv, cwd,
                            feedpath, keep_feedback, max_runtime, stop_signal, kill_after)
         VALUES (:id, :slot, :name, :info1, :info2, :info3, 'RUNNING', :feedback, :starttime, 0, :starttime,
                 :timeout, :handle, :upid, :launcher_pid, :launcher_pstart, :boot_id, :host, :user, :argv, :cwd,
                 :feedpath, :keep_feedback, :max_runtime, :stop_signal, :kill_after)"
    };
    tx.execute(sql, columns)?;
    Ok(Ok(Claimed { id, handle: task.handle, upid, slot, feedpath }))
}

/// The reservation that was asked for, or why it cannot be had.
fn find_reservation(
    tx: &Transaction<'_>,
    wanted: &TaskRef,
    is_dead: &impl Fn(&Task) -> bool,
) -> rusqlite::Result<Result<Task, Refused>> {
    let no = |why: String| Ok(Err(Refused::NotReserved(wanted.to_string(), why)));
    let (column, value): (&str, &dyn ToSql) = match wanted {
        TaskRef::Id(id) => ("id", &id.0),
        TaskRef::Handle(handle) => ("handle", &handle.as_str().to_owned()),
        TaskRef::Upid(_) => return no("a UPID names a task that was started already".into()),
    };
    let row = tx.query_row(&format!("{SELECT_TASKS} WHERE {column} = ?1"), [value], task_row).optional()?;
    if let Some(row) = row {
        return match row.is_reserved() {
            true if is_dead(&row) => no("its reservation has lapsed; reserve again".into()),
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

/// The step that makes an end: one row more in history, one less in tasks. False if the row is not there as expected.
fn move_to_history(
    tx: &Transaction<'_>,
    id: i64,
    upid: Option<&str>,
    end: &End,
    feedback: Option<&str>,
) -> rusqlite::Result<bool> {
    let moved = match copy_to_history(tx, id, id, upid, end, feedback) {
        // A row of another task has the number, which 1.7 used again: this one gets a number that no task will have.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            let free = next_id(tx)?;
            tx.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'tasks'", [free])?;
            copy_to_history(tx, free, id, upid, end, feedback)?
        }
        other => other?,
    };
    if moved == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM tasks WHERE id = ?1", [id])?;
    if feedback.is_some() {
        tx.execute("DELETE FROM feedbacks WHERE id = ?1", [id])?;
    }
    Ok(true)
}

fn copy_to_history(
    tx: &Transaction<'_>,
    row_id: i64,
    id: i64,
    upid: Option<&str>,
    end: &End,
    feedback: Option<&str>,
) -> rusqlite::Result<usize> {
    tx.execute(
        "INSERT INTO history (id, taskid, taskname, info1, info2, info3, starttime, upid, handle, pid, reservetime,
                              argv, cwd, user, host, log, outcome, result, termsignal, termerror, endtime, duration,
                              exitcode, warnings, cpu_user, cpu_sys, maxrss, ended_by, feedback)
         SELECT ?16, id, name, info1, info2, info3, starttime, upid, handle, pid, reservetime, argv, cwd, user, host,
                log, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
         FROM tasks WHERE id = ?1 AND upid IS ?2",
        params![
            id,
            upid,
            end.outcome,
            end.result,
            end.termsignal,
            end.termerror,
            end.endtime,
            end.duration,
            end.exitcode,
            stamp(end.warnings),
            end.cpu_user,
            end.cpu_sys,
            end.maxrss,
            end.ended_by,
            feedback,
            row_id
        ],
    )
}

const SELECT_TASKS: &str = "SELECT id, slot, name, info1, info2, info3, pid, status, feedback, reservetime, starttime,
    duration, lastupdate, timeout, handle, expires, upid, launcher_pid, launcher_pstart, pid_pstart,
    boot_id, host, user, argv, cwd, feedpath, keep_feedback, max_runtime, stop_signal, kill_after, log,
    (SELECT feedback FROM feedbacks WHERE feedbacks.id = tasks.id) FROM tasks";

fn task_row(row: &Row<'_>) -> rusqlite::Result<Task> {
    let launcher_pid: Option<i32> = row.get(17)?;
    let launcher_pstart: Option<i64> = row.get(18)?;
    let pid_pstart: Option<i64> = row.get(19)?;
    Ok(Task {
        id: row.get(0)?,
        slot: row.get(1)?,
        name: lossy(row, 2)?.unwrap_or_default(),
        info: [lossy(row, 3)?, lossy(row, 4)?, lossy(row, 5)?],
        pid: row.get(6)?,
        status: lossy(row, 7)?.map(|word| Status::from_word(&word)),
        feedback: row.get(8)?,
        reservetime: row.get(9)?,
        starttime: row.get(10)?,
        duration: row.get(11)?,
        lastupdate: row.get(12)?,
        timeout: row.get(13)?,
        handle: row.get(14)?,
        expires: row.get(15)?,
        upid: row.get(16)?,
        launcher: launcher_pid.zip(launcher_pstart).map(|(pid, pstart)| Process { pid, pstart: pstart.unsigned_abs() }),
        pid_pstart: pid_pstart.map(i64::unsigned_abs),
        boot_id: row.get(20)?,
        host: row.get(21)?,
        user: row.get(22)?,
        argv: row.get(23)?,
        cwd: lossy(row, 24)?,
        feedpath: path_of(row.get_ref(25)?),
        keep_feedback: row.get(26)?,
        max_runtime: row.get(27)?,
        stop_signal: row.get(28)?,
        kill_after: row.get(29)?,
        log: lossy(row, 30)?,
        values: row.get(31)?,
    })
}

/// The condition for the ended tasks of number `?1`: one; or several in a database that was of taskwatcher 1.7, whose
/// rows have numbers of their own, and an index.
fn of_task(db: &Connection) -> rusqlite::Result<&'static str> {
    let legacy = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'history_legacy')";
    Ok(match db.query_row(legacy, [], |row| row.get(0))? {
        true => "((id = ?1 AND taskid = id) OR (taskid = ?1 AND taskid <> id))",
        false => "id = ?1",
    })
}

const SELECT_HISTORY: &str = "SELECT id, taskid, taskname, info1, info2, info3, outcome, termsignal, termerror,
    exitcode, starttime, endtime, duration, feedback, warnings, upid, handle, pid, argv, cwd, user, host, log,
    cpu_user, cpu_sys, maxrss, ended_by, reservetime FROM history";

fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let json = |index| Ok::<_, rusqlite::Error>(lossy(row, index)?.and_then(|text| serde_json::from_str(&text).ok()));
    Ok(HistoryRow {
        id: row.get(0)?,
        taskid: row.get(1)?,
        taskname: lossy(row, 2)?,
        info1: lossy(row, 3)?,
        info2: lossy(row, 4)?,
        info3: lossy(row, 5)?,
        outcome: row.get(6)?,
        termsignal: row.get(7)?,
        termerror: row.get(8)?,
        exitcode: row.get(9)?,
        starttime: row.get(10)?,
        endtime: row.get(11)?,
        duration: row.get(12)?,
        feedback: json(13)?,
        warnings: row.get(14)?,
        upid: row.get(15)?,
        handle: row.get(16)?,
        pid: row.get(17)?,
        argv: json(18)?,
        cwd: lossy(row, 19)?,
        user: row.get(20)?,
        host: row.get(21)?,
        log: lossy(row, 22)?,
        cpu_user: row.get(23)?,
        cpu_sys: row.get(24)?,
        maxrss: row.get(25)?,
        ended_by: row.get(26)?,
        reservetime: row.get(27)?,
    })
}

/// The question as SQL: by key from the cursor on, one row more than wanted.
fn page_sql(query: &Query) -> (String, Vec<Value>) {
    let mut terms: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let filter = &query.filter;
    let mut term = |sql: &str, given: Vec<Value>| {
        terms.push(sql.to_owned());
        values.extend(given);
    };
    if let Some(name) = &filter.name {
        term("taskname = ?", vec![name.clone().into()]);
    }
    if !filter.results.is_empty() {
        // Said apart, so that SQLite sees that the index of what failed will do.
        if !filter.results.contains(&Class::Ok) {
            term("result <> 'ok'", vec![]);
        }
        let marks = vec!["?"; filter.results.len()].join(", ");
        let words = filter.results.iter().map(|class| class.as_str().to_owned().into()).collect();
        term(&format!("result IN ({marks})"), words);
    }
    if let Some(since) = filter.since {
        term("endtime >= ?", vec![since.into()]);
    }
    if let Some(until) = filter.until {
        term("endtime <= ?", vec![until.into()]);
    }
    if let Some(user) = &filter.user {
        term("user = ?", vec![user.clone().into()]);
    }
    let (sign, order) = if query.reverse { (">", "ASC") } else { ("<", "DESC") };
    if let Some(cursor) = query.after {
        term(&format!("(endtime, id) {sign} (?, ?)"), vec![cursor.endtime.into(), cursor.id.into()]);
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    values.push(limit.into());
    let filters = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
    (format!("{SELECT_HISTORY}{filters} ORDER BY endtime {order}, id {order} LIMIT ?"), values)
}

/// Text of a column, whatever bytes somebody put there.
fn lossy(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(x) => Some(x.to_string()),
    })
}

/// A path as a column: text where it is UTF-8, else its bytes.
fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Blob(path.as_os_str().as_bytes().to_vec()),
    }
}

fn path_of(value: ValueRef<'_>) -> Option<PathBuf> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(std::ffi::OsString::from_vec(bytes.to_vec()).into()),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}

/// SQLite's integers are signed; no counter of ours comes near the end of them.
fn stamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
