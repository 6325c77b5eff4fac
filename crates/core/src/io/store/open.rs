//! Opening a database: checking that it belongs to taskwatcher, and migrating older versions.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};

use super::{
    Codes, LockTimeout, Result, Store, StoreError,
    companions::{self, Identity},
    error::failure,
    location::{check_place, create, flush_folder, open_immutable, stored_schema, tidy_up},
    old::{from_1_7, is_of_1_7},
    schema::{APPLICATION_ID, VERSION},
    wait::on_busy,
    wal::has_wal,
};

/// The migrations from each version to the next; frozen.
const MIGRATIONS: [&str; 4] = [
    "ALTER TABLE tasks ADD COLUMN options TEXT; ALTER TABLE history ADD COLUMN options TEXT;",
    "ALTER TABLE history ADD COLUMN amended INTEGER;
     INSERT INTO sqlite_sequence (name, seq) VALUES ('amended', 0), ('database', lower(hex(randomblob(8))));
     CREATE INDEX history_amended ON history (amended) WHERE amended IS NOT NULL;",
    "ALTER TABLE tasks ADD COLUMN supervised TEXT; ALTER TABLE history ADD COLUMN supervised TEXT;",
    "ALTER TABLE tasks ADD COLUMN held INTEGER; ALTER TABLE tasks ADD COLUMN namespace TEXT;
     ALTER TABLE tasks ADD COLUMN launcher_inode INTEGER; ALTER TABLE tasks ADD COLUMN pid_inode INTEGER;
     ALTER TABLE tasks ADD COLUMN pid_session INTEGER;",
];

impl Store {
    /// Opens an existing database; one that cannot be written can still be read.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is created or changed, except that older versions are migrated.
    pub fn open(path: &Path, timeout: LockTimeout) -> Result<Store> {
        Store::open_there(&check_place(path)?, timeout)
    }

    /// Opens an existing database for reading only: nothing is ever written through this
    /// connection, and an older version is not migrated.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_to_read(path: &Path, timeout: LockTimeout) -> Result<Store> {
        let path = &check_place(path)?;
        let (mut store, _) = Store::open_as_it_is(path, timeout)?;
        let failed = store.failed("open");
        match store.prepare().map_err(failed) {
            Ok((APPLICATION_ID, VERSION)) => {}
            Ok((APPLICATION_ID, newer)) if newer > VERSION => return Err(StoreError::Newer(path.to_owned(), newer)),
            Ok((APPLICATION_ID, 1..)) => return Err(StoreError::Older(path.to_owned())),
            Ok((0 | APPLICATION_ID, version)) => {
                return Err(match store.is_convertible(version).map_err(store.failed("read"))? {
                    true => StoreError::Older(path.to_owned()),
                    false => StoreError::NotOurs(path.to_owned(), "other tables".into()),
                });
            }
            Ok(_) => return Err(StoreError::NotOurs(path.to_owned(), "another program's application id".into())),
            Err(StoreError::Sqlite(..) | StoreError::ReadOnly(..)) if !has_wal(path) => {
                return Store::open_unchanging(path, timeout);
            }
            Err(error) => return Err(error),
        }
        store.db.pragma_update(None, "query_only", true).map_err(store.failed("open"))?;
        store.only_reads = true;
        Ok(store)
    }

    /// Opens a database, creating it and its folders (0700) if they are missing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open_or_create(path: &Path, timeout: LockTimeout) -> Result<Store> {
        match Store::open(path, timeout) {
            Err(StoreError::Missing(_)) => {
                create(path)?;
                Store::open(path, timeout)
            }
            other => other,
        }
    }

    fn open_there(path: &Path, timeout: LockTimeout) -> Result<Store> {
        let (mut store, had_wal) = Store::open_as_it_is(path, timeout)?;
        let failed = store.failed("open");
        let prepared = store.prepare().map_err(failed);
        if !had_wal {
            // SQLite has just created the WAL, and is built not to flush the folder at each first
            // commit of a process.
            flush_folder(path)?;
            tidy_up(path);
        }
        match prepared {
            Ok((APPLICATION_ID, VERSION)) => Ok(store),
            Ok((application, version)) => store.migrate_from(application, version),
            Err(StoreError::Sqlite(..) | StoreError::ReadOnly(..)) if !has_wal(path) => {
                Store::open_unchanging(path, timeout)
            }
            Err(error) => Err(error),
        }
    }

    fn over(db: Connection, path: &Path, identity: Option<Identity>, timeout: LockTimeout) -> Store {
        Store { db, path: path.to_owned(), identity, timeout, codes: Codes::default(), only_reads: false, wal: None }
    }

    /// Opens the database, and returns whether it already has a WAL.
    fn open_as_it_is(path: &Path, timeout: LockTimeout) -> Result<(Store, bool)> {
        let identity = Identity::of(path);
        let had_wal = identity.as_ref().map_or(Ok(false), |identity| companions::check(path, identity))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|error| failure(path, "open", timeout, error))?;
        Ok((Store::over(db, path, identity, timeout), had_wal))
    }

    /// Opens a file in a folder without write permission: SQLite cannot create a WAL there, so no
    /// other process writes the file either.
    fn open_unchanging(path: &Path, timeout: LockTimeout) -> Result<Store> {
        let db = open_immutable(path).map_err(|error| failure(path, "open", timeout, error))?;
        let mut store = Store::over(db, path, Identity::of(path), timeout);
        let failed = store.failed("open");
        match store.prepare().map_err(failed)? {
            (APPLICATION_ID, VERSION) => Ok(store),
            (APPLICATION_ID, newer) if newer > VERSION => Err(StoreError::Newer(path.to_owned(), newer)),
            _ => Err(StoreError::NotOurs(path.to_owned(), "and it cannot be written for a migration".into())),
        }
    }

    /// Configures the connection and reads `(application_id, user_version)`.
    fn prepare(&mut self) -> rusqlite::Result<(i32, i32)> {
        self.timeout.begin();
        self.db.busy_handler(Some(on_busy))?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // The definitions in the file are not trusted: it may be a file of another user. Its
        // triggers and views are not run, functions with side effects are not called for it, and
        // only migrations change its schema.
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        self.whose()
    }

    /// `(application_id, user_version)`
    fn whose(&self) -> rusqlite::Result<(i32, i32)> {
        let number = |name| self.db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        Ok((number("application_id")?, number("user_version")?))
    }

    /// Migrates a database of an older version or of taskwatcher 1.7, or initializes an empty file.
    fn migrate_from(mut self, application: i32, version: i32) -> Result<Store> {
        if application == APPLICATION_ID && version > VERSION {
            return Err(StoreError::Newer(self.path, version));
        }
        let foreign = |store: &Store, why: &str| StoreError::NotOurs(store.path.clone(), why.to_owned());
        if application != 0 && application != APPLICATION_ID {
            return Err(foreign(&self, "another program's application id"));
        }
        if application == APPLICATION_ID && version >= 1 {
            let upgraded = self.upgrade();
            upgraded.map_err(self.failed("migrate"))?;
            self.flush()?;
            return Ok(self);
        }
        if !self.is_convertible(version).map_err(self.failed("read"))? {
            // Another program may have migrated the file since it was first read.
            let failed = self.failed("read");
            return match self.whose().map_err(failed)? {
                (APPLICATION_ID, VERSION) => Ok(self),
                _ => Err(foreign(&self, "other tables")),
            };
        }
        // First, because the WAL gets the mode that the database has when the WAL is created.
        let private = fs::set_permissions(&self.path, Permissions::from_mode(0o600));
        private.map_err(|error| StoreError::Io(self.path.clone(), "protect database", error))?;
        let migrated = self.migrate();
        migrated.map_err(self.failed("migrate"))?;
        self.flush()?;
        Ok(self)
    }

    /// Whether a file without the application id is a database of taskwatcher 1.7, or empty.
    fn is_convertible(&self, version: i32) -> rusqlite::Result<bool> {
        let tables = self.tables()?;
        Ok(version == 0 && (tables.is_empty() || is_of_1_7(&tables)))
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

    /// Migrates an older version to the newest, in one transaction that checks the version again
    /// under the lock.
    fn upgrade(&mut self) -> rusqlite::Result<()> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
        for (from, migration) in (1..).zip(MIGRATIONS) {
            if from >= version {
                tx.execute_batch(migration)?;
                tx.pragma_update(None, "user_version", from + 1)?;
            }
        }
        tx.commit()
    }

    /// Migrates in one transaction that checks again under the lock: twenty programs may find the
    /// same old file at once.
    fn migrate(&mut self) -> rusqlite::Result<()> {
        // SQLite does not call the busy handler for a change of the journal mode.
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
}
