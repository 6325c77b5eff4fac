//! Exports the tasks that ended since a cursor, for remote databases that follow this one.
//!
//! Every task id up to the last one is in `tasks` or in `history` (or was cleared), and within one
//! read transaction in exactly one of them. So a follower that knows the last id and the ids that
//! were still live knows what is new, even if an end is recorded late or with wrong times;
//! and recording an end costs nothing extra. Only a corrected row of history would be missed:
//! corrections are numbered.

use rusqlite::{Connection, Transaction, params};

use super::{
    Result, Store, StoreError,
    rows::{SELECT_HISTORY, history_row},
};
use crate::model::{
    export::{ExportCursor, Spans},
    task::HistoryRow,
};

/// The rows of `sqlite_sequence` of a new database.
pub(super) const FIRST_COUNTS: &str = "INSERT INTO sqlite_sequence (name, seq)
    VALUES ('tasks', 0), ('amended', 0), ('database', lower(hex(randomblob(8))))";
/// Gives the database a new identity for its followers.
pub(super) const NEW_IDENTITY: &str =
    "UPDATE sqlite_sequence SET seq = lower(hex(randomblob(8))) WHERE name = 'database'";

/// Counts lost rows of these: people delete them to restart the ids.
pub(super) const LOST_COUNTS: &str =
    "SELECT 3 - count(*) FROM sqlite_sequence WHERE name IN ('tasks', 'amended', 'database')";
/// Restores lost rows. The new identity makes followers start over.
pub(super) const RESTORE_COUNTS: &str = "
    INSERT INTO sqlite_sequence (name, seq)
    SELECT 'tasks', coalesce(max(id), 0) FROM (SELECT id FROM tasks UNION ALL SELECT id FROM history)
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'tasks');
    INSERT INTO sqlite_sequence (name, seq) SELECT 'amended', coalesce(max(amended), 0) FROM history
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'amended');
    DELETE FROM sqlite_sequence WHERE name = 'database';
    INSERT INTO sqlite_sequence (name, seq) VALUES ('database', lower(hex(randomblob(8))))";

/// Numbers a row of history that was just corrected.
pub(super) fn amend(tx: &Transaction<'_>, which: &str, id: i64, upid: &str) -> rusqlite::Result<()> {
    tx.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'amended'", [])?;
    let number = "(SELECT seq FROM sqlite_sequence WHERE name = 'amended')";
    tx.execute(&format!("UPDATE history SET amended = {number} WHERE {which} AND upid = ?2"), params![id, upid])?;
    Ok(())
}

/// An export.
#[derive(Debug, Clone)]
pub struct Export {
    /// Whether the cursor does not match this database, so that the export starts with the first
    /// task.
    pub restarted: bool,
    /// Tasks that ended, or were corrected, since the cursor.
    pub rows: Vec<HistoryRow>,
    /// The cursor for the next export.
    pub cursor: ExportCursor,
    /// Whether there are more rows already.
    pub more: bool,
}

impl Store {
    /// Returns the tasks that ended since the cursor, or all, from one read transaction: at most
    /// `limit` new ones, and all that were live at the cursor. The rows are flushed first, because
    /// followers rely on them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn export(&mut self, since: Option<&ExportCursor>, limit: usize) -> Result<Export> {
        let work = || {
            let tx = self.db.unchecked_transaction()?;
            if tx.query_row(LOST_COUNTS, [], |row| row.get::<_, i64>(0))? > 0 {
                return Ok(None);
            }
            export_in(&tx, since, limit).map(Some)
        };
        let export = work().map_err(self.failed("read"))?;
        // A read-only database has no pending writes.
        if self.db.is_readonly("main") == Ok(false) {
            self.flush()?;
        }
        export.ok_or_else(|| StoreError::NoIdentity(self.path.clone()))
    }
}

fn export_in(db: &Connection, since: Option<&ExportCursor>, limit: usize) -> rusqlite::Result<Export> {
    let count = |name: &str| {
        db.query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
    };
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'database'";
    let database: String = db.query_row(sql, [], |row| row.get(0))?;
    // Rows of 1.7 may have higher ids than any task.
    let highest: Option<i64> = db.query_row("SELECT max(id) FROM history", [], |row| row.get(0))?;
    let (head, amended) = (count("tasks")?.max(highest.unwrap_or(0)), count("amended")?);
    let mut live = db.prepare("SELECT id FROM tasks ORDER BY id")?;
    let live = live.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;

    let known = since.filter(|cursor| cursor.is_of(&database, head, amended));
    let restarted = since.is_some() && known.is_none();
    // In a first export, every row is already corrected.
    let first = ExportCursor { database, amended, last: 0, open: Spans::default() };
    let from = known.cloned().unwrap_or(first);

    // All of these, regardless of the limit: otherwise the next cursor might have to repeat the
    // same spans.
    let corrected = "WHERE amended > ?1 AND id <= ?2 ORDER BY amended";
    let mut rows = select(db, corrected, &[(from.amended, from.last)])?;
    let spans: Vec<(i64, i64)> = from.open.iter().collect();
    rows.extend(select(db, "WHERE id BETWEEN ?1 AND ?2 ORDER BY id", &spans)?);
    let mut new = select(db, "WHERE id > ?1 ORDER BY id LIMIT ?2", &[(from.last, one_more(limit))])?;
    let more = new.len() > limit;
    new.truncate(limit);
    let last = new.last().filter(|_| more).map_or(head, |row| row.id);
    rows.extend(new);
    Ok(Export { restarted, rows, cursor: from.go_on(last, amended, live), more })
}

/// Returns the rows of history that one query finds for each pair of values.
fn select(db: &Connection, which: &str, pairs: &[(i64, i64)]) -> rusqlite::Result<Vec<HistoryRow>> {
    let mut statement = db.prepare(&format!("{SELECT_HISTORY} {which}"))?;
    let mut rows = Vec::new();
    for pair in pairs {
        for row in statement.query_map(*pair, history_row)? {
            rows.push(row?);
        }
    }
    Ok(rows)
}

/// Returns one row more than the limit, to detect that there are more.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
