//! Maintenance of a whole database: statistics, backups, and consistency checks.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, params, params_from_iter};

use super::{
    LockTimeout, Result, Store, StoreError,
    error::not_read,
    export::{LOST_COUNTS, NEW_IDENTITY, RESTORE_COUNTS},
    failure,
    location::switch_to_wal,
    log_file,
    remote_counts::{count_again, wrong_counts},
    rows::lossy,
};
use crate::model::{
    path::{beside, folder_of},
    stats::{EndedRun, Stats},
    task::{Class, EndedBy},
    upid::Upid,
};

/// An inconsistency in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The description.
    pub what: String,
    /// Whether it was repaired.
    pub repaired: bool,
    /// Whether the file itself is damaged: rows may be missing, so their absence proves nothing.
    pub damage: bool,
}

impl Fault {
    /// Returns a fault of the rows.
    pub fn new(what: String, repaired: bool) -> Fault {
        Fault { what, repaired, damage: false }
    }
}

/// A log that a row names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The id of the task.
    pub id: i64,
    /// The path that follows from id and UPID.
    pub usual: Option<PathBuf>,
    /// The path in the row.
    pub column: PathBuf,
    /// Whether the task has ended.
    pub ended: bool,
}

/// Rules that a query can check; each query returns a text for every row that breaks the rule.
const RULES: [(&str, &str); 11] = [
    (
        "not part of taskwatcher's schema, and not used by it",
        "SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%' ORDER BY name",
    ),
    (
        "a task is in `tasks` and in `history`",
        "SELECT 'task ' || taskid FROM history WHERE taskid IN (SELECT id FROM tasks) AND CURRENT GROUP BY taskid",
    ),
    (
        "its id belongs to several ended tasks",
        "SELECT 'task ' || taskid FROM history WHERE CURRENT GROUP BY taskid HAVING count(*) > 1",
    ),
    (
        "its outcome and its result disagree",
        "SELECT 'task ' || taskid || ': ' || outcome || ' is not ' || result FROM history WHERE result IS NOT CASE WHEN outcome = 'OK' THEN 'ok' WHEN outcome LIKE 'WARNINGS: %' THEN 'warnings' WHEN outcome LIKE 'ERROR: %' THEN 'error' ELSE 'unknown' END",
    ),
    (
        "unknown status",
        "SELECT 'task ' || id || ': ' || status FROM tasks WHERE status NOT IN ('RESERVED', 'RUNNING', 'SILENT', 'STALLED', 'STOPPING', 'ORPHANED')",
    ),
    (
        "a column that should hold JSON does not",
        "SELECT 'task ' || taskid FROM history WHERE NOT (json_valid(coalesce(feedback, '{}')) AND json_valid(coalesce(argv, '[]')) AND json_valid(coalesce(options, '[]')) AND json_valid(coalesce(supervised, '{}')))",
    ),
    (
        "a column that should hold JSON does not",
        "SELECT 'task ' || id FROM tasks WHERE NOT (json_valid(coalesce(argv, '[]')) AND json_valid(coalesce(options, '[]')) AND json_valid(coalesce(supervised, '{}')))",
    ),
    (
        "its times are impossible",
        "SELECT 'task ' || taskid FROM history WHERE duration < 0 OR endtime < 0 OR typeof(endtime) <> 'integer'",
    ),
    (
        "two tasks share a slot of the spool",
        "SELECT 'slot ' || slot FROM tasks WHERE slot IS NOT NULL GROUP BY slot HAVING count(*) > 1",
    ),
    ("two tasks share a handle", "SELECT 'handle ' || handle FROM tasks GROUP BY handle HAVING count(*) > 1"),
    (
        "its id may be used again",
        "SELECT 'task ' || id FROM (SELECT max(id) AS id FROM (SELECT id FROM tasks UNION ALL SELECT id FROM history)) WHERE id > coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'tasks'), 0)",
    ),
];
/// The condition for rows of history that are not of taskwatcher 1.7. Rows of 1.7 may share an id
/// and have neither handle nor UPID; a database that has any has this index.
const CURRENT: &str = "(handle IS NOT NULL OR upid IS NOT NULL
    OR NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'history_legacy'))";
/// Faults of one kind that are listed one by one.
const LISTED: usize = 20;

/// Returns a number with its noun.
fn counted(number: i64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

impl Store {
    /// Returns statistics by name of the runs that ended since then, of one name or of all; tasks
    /// that never started are left out. `now` is in unix seconds.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn stats(&self, name: Option<&str>, since: Option<i64>, now: i64) -> Result<Stats> {
        let work = || {
            let mut terms = vec!["starttime IS NOT NULL"];
            let mut values: Vec<rusqlite::types::Value> = vec![];
            if let Some(name) = name {
                terms.push("taskname = ?");
                values.push(name.to_owned().into());
            }
            if let Some(since) = since {
                terms.push("endtime >= ?");
                values.push(since.into());
            }
            let reader = EndedBy::Reader;
            let sql = format!(
                "SELECT id, coalesce(taskname, ''), result, endtime, duration,
                        iif(result IN ('error', 'unknown'), coalesce(termerror, outcome), NULL),
                        ended_by IS '{reader}'
                 FROM history WHERE {}",
                terms.join(" AND ")
            );
            let mut statement = self.db.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut stats = Stats::new(now);
            while let Some(row) = rows.next()? {
                let word: String = row.get(2)?;
                let class = Class::ALL.into_iter().find(|class| class.as_str() == word).unwrap_or(Class::Unknown);
                let (id, end, duration) = (row.get(0)?, row.get(3)?, row.get(4)?);
                let run = EndedRun { id, class, end, duration, reason: lossy(row, 5)?, cut_short: row.get(6)? };
                stats.add(&lossy(row, 1)?.unwrap_or_default(), run);
            }
            Ok(stats)
        };
        work().map_err(self.failed("read"))
    }

    /// Writes a copy of one consistent state, while others continue to write; returns its size in
    /// bytes.
    ///
    /// The copy is written under a temporary name, flushed, and then linked into place, so that no
    /// partial copy is ever visible and no existing file is replaced.
    ///
    /// # Errors
    /// [`StoreError`]; `AlreadyExists` if the name is taken.
    pub fn backup(&self, to: &Path) -> Result<u64> {
        let failed = |error| StoreError::Io(to.to_owned(), "write the copy", error);
        if fs::symlink_metadata(to).is_ok() {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "a file with this name already exists")));
        }
        let fresh = beside(to, &format!(".{}.new", std::process::id()));
        let made = self.copy_to(&fresh, to).and_then(|size| {
            fs::hard_link(&fresh, to).map_err(failed)?;
            Ok(size)
        });
        // Whether or not it was linked, the temporary name is not needed any more.
        let _ = fs::remove_file(&fresh);
        let size = made?;
        let folder = folder_of(to);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(size)
    }

    /// Writes the copy to `fresh`; errors name the requested file `named`.
    fn copy_to(&self, fresh: &Path, named: &Path) -> Result<u64> {
        let failed = |error| StoreError::Io(named.to_owned(), "write the copy", error);
        let mut options = fs::OpenOptions::new();
        let file = std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600).open(fresh);
        let file = file.map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        let name = fresh.to_str().ok_or_else(|| failed(io::Error::other("its name is not UTF-8")))?;
        self.db.execute("VACUUM INTO ?1", [name]).map_err(self.failed("copy"))?;
        let copied = || {
            let copy = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            // Followers of the original must not take later rows of a restored copy for those of
            // the original.
            copy.execute_batch(NEW_IDENTITY)?;
            switch_to_wal(&copy)?;
            copy.close().map_err(|(_, error)| error)
        };
        copied().map_err(|error| failure(named, "copy", LockTimeout::USUAL, error))?;
        file.sync_all().map_err(failed)?;
        Ok(file.metadata().map_err(failed)?.len())
    }

    /// Checks the file with SQLite, and the rows against taskwatcher's own rules. For a damaged
    /// file only the damage is reported and nothing is repaired: a repair would delete data that
    /// belongs to missing rows.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn verify(&mut self, repair: bool) -> Result<Vec<Fault>> {
        let mut faults = self.damage()?;
        if !faults.is_empty() {
            return Ok(faults);
        }
        let number = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, i64>(0));
        let lost = number(LOST_COUNTS).map_err(self.failed("read"))?;
        let wrong = if self.has_remotes().map_err(self.failed("read"))? {
            number(&wrong_counts()).map_err(self.failed("read"))?
        } else {
            0
        };
        let orphans = "id NOT IN (SELECT id FROM tasks)";
        let feedbacks = number(&format!("SELECT count(*) FROM feedbacks WHERE {orphans}"));
        let feedbacks = feedbacks.map_err(self.failed("read"))?;
        let mut check = |count: i64, one: &str, more: &str, sql: &str| -> Result<()> {
            if count > 0 {
                if repair {
                    self.write("repair", |tx| tx.execute_batch(sql))?;
                }
                faults.push(Fault::new(counted(count, one, more), repair));
            }
            Ok(())
        };
        check(lost, "row of sqlite_sequence is lost", "rows of sqlite_sequence are lost", RESTORE_COUNTS)?;
        check(wrong, "count of tasks of remotes is wrong", "counts of tasks of remotes are wrong", &count_again())?;
        check(
            feedbacks,
            "feedback of a task that is not live",
            "feedbacks of tasks that are not live",
            &format!("DELETE FROM feedbacks WHERE {orphans}"),
        )?;
        // Repaired rows need not be reported again.
        let broken = self.broken_rules().map_err(self.failed("read"))?;
        faults.extend(broken.into_iter().map(|what| Fault::new(what, false)));
        Ok(faults)
    }

    /// Returns what SQLite finds wrong in the file.
    fn damage(&self) -> Result<Vec<Fault>> {
        let work = || {
            let mut statement = self.db.prepare("PRAGMA integrity_check")?;
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let lines = work().map_err(self.failed("read"))?;
        if let Some(error) = lines.iter().find_map(|line| not_read(line)) {
            return Err(self.failed("read")(error));
        }
        let lines = lines.into_iter().filter(|line| line != "ok");
        Ok(lines.map(|line| Fault { damage: true, ..Fault::new(format!("SQLite: {line}"), false) }).collect())
    }

    /// Returns the violations of taskwatcher's own rules, as text.
    fn broken_rules(&self) -> rusqlite::Result<Vec<String>> {
        let mut broken = vec![];
        for (rule, sql) in RULES {
            let mut statement = self.db.prepare(&sql.replace("CURRENT", CURRENT))?;
            let found = statement.query_map([], |row| lossy(row, 0))?.collect::<rusqlite::Result<Vec<_>>>()?;
            broken.extend(found.iter().flatten().take(LISTED).map(|what| format!("{what}: {rule}")));
            if found.len() > LISTED {
                broken.push(format!("{} more: {rule}", found.len() - LISTED));
            }
        }
        let sql = "SELECT taskid, upid FROM history WHERE upid IS NOT NULL
                   UNION ALL SELECT id, upid FROM tasks WHERE upid IS NOT NULL";
        let mut upids = self.db.prepare(sql)?;
        let mut rows = upids.query([])?;
        while let Some(row) = rows.next()? {
            let (id, upid): (i64, String) = (row.get(0)?, lossy(row, 1)?.unwrap_or_default());
            match upid.parse::<Upid>().map(|upid| upid.number()) {
                Ok(Some(number)) if number == id => {}
                Ok(Some(number)) => broken.push(format!("task {id}: its UPID is that of task {number}: {upid}")),
                Ok(None) | Err(_) => broken.push(format!("task {id}: its UPID is invalid: {upid}")),
            }
        }
        Ok(broken)
    }

    /// Calls `see` for every log that a row names.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn named_logs(&self, see: &mut dyn FnMut(Named)) -> Result<()> {
        let mut work = || {
            let sql = "SELECT taskid, upid, log, 1 FROM history WHERE log IS NOT NULL
                       UNION ALL SELECT id, upid, log, 0 FROM tasks WHERE log IS NOT NULL";
            let mut statement = self.db.prepare(sql)?;
            let mut rows = statement.query(params![])?;
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                let upid: Option<String> = row.get(1)?;
                see(Named {
                    id,
                    usual: upid.map(|upid| log_file(&self.path, id, &upid)),
                    column: lossy(row, 2)?.unwrap_or_default().into(),
                    ended: row.get(3)?,
                });
            }
            Ok(())
        };
        work().map_err(self.failed("read"))
    }
}
