//! Counts of the tasks of other hosts for each ten minutes, by which any page of a list of millions is found (see
//! schema_remotes.sql).

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension};

use super::{Result, Store};
use crate::model::{
    query::ListPosition,
    remote::codec::{ORDINAL, SLOT, end_of_slot},
};

/// Returns the statement that counts the slots with a wrong count.
pub(super) fn wrong_counts() -> String {
    format!(
        "SELECT count(*) FROM (
            SELECT slot, sum(n) AS n FROM (
                SELECT slot, count AS n FROM remote_counts
                UNION ALL SELECT (key >> {ORDINAL}) / {SLOT}, -1 FROM remote_tasks) GROUP BY slot) WHERE n <> 0"
    )
}

/// Returns the statements that rebuild the counts.
pub(super) fn count_again() -> String {
    format!(
        "DELETE FROM remote_counts;
         INSERT INTO remote_counts (slot, count)
             SELECT (key >> {ORDINAL}) / {SLOT}, count(*) FROM remote_tasks GROUP BY 1"
    )
}

impl Store {
    /// Returns the number of stored ended tasks of each remote, by id.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_sizes(&self) -> Result<HashMap<i64, i64>> {
        let work = || {
            if !self.has_remotes()? {
                return Ok(HashMap::new());
            }
            let sql = "SELECT remote, sum(n) FROM (SELECT host, count(*) AS n FROM remote_tasks GROUP BY host)
                       JOIN remote_hosts ON remote_hosts.id = host GROUP BY remote";
            self.db.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        work().map_err(self.failed("read"))
    }
}

/// Changes the counts of slots by these numbers.
pub(super) fn store_counts(db: &Connection, counts: &BTreeMap<i64, i64>) -> rusqlite::Result<()> {
    // Late tasks change hundreds of existing counts, and an upsert takes more than twice as long
    // for each.
    let mut change = db.prepare("UPDATE remote_counts SET count = count + ?2 WHERE slot = ?1")?;
    let mut make = db.prepare("INSERT INTO remote_counts (slot, count) VALUES (?1, ?2)")?;
    for (slot, more) in counts {
        if change.execute([slot, more])? == 0 {
            make.execute([slot, more])?;
        }
    }
    Ok(())
}

/// Returns the key of the oldest task to keep, if there are more than `keep`.
pub(super) fn oldest_kept(db: &Connection, keep: u64) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare("SELECT slot, count FROM remote_counts ORDER BY slot DESC")?;
    let mut rows = statement.query([])?;
    let mut newer = 0u64;
    while let Some(row) = rows.next()? {
        let (slot, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        let with = newer + count.max(0).unsigned_abs();
        if with >= keep {
            let end = end_of_slot(slot);
            let Some(last) = keep.checked_sub(newer + 1) else { return Ok(Some(end)) };
            let sql = "SELECT key FROM remote_tasks WHERE key < ?1 ORDER BY key DESC LIMIT 1 OFFSET ?2";
            let offset = i64::try_from(last).unwrap_or(i64::MAX);
            return db.query_row(sql, [end, offset], |row| row.get(0)).optional();
        }
        newer = with;
    }
    Ok(None)
}

/// Returns a position before which at most `offset` tasks are listed, and their number, counted by
/// whole slots.
pub(super) fn find_offset(db: &Connection, offset: u64) -> rusqlite::Result<(Option<ListPosition>, u64)> {
    // Starts of the local tasks, the newest first; usually few where there are millions of remote
    // ones.
    let mut statement = db.prepare("SELECT coalesce(starttime, endtime) FROM history")?;
    let mut local = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    local.sort_unstable_by(|a, b| b.cmp(a));
    let mut statement = db.prepare("SELECT slot, count FROM remote_counts ORDER BY slot DESC")?;
    let mut rows = statement.query([])?;
    let (mut others, mut best) = (0u64, (None, 0));
    while let Some(row) = rows.next()? {
        let (slot, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        others += count.max(0).unsigned_abs();
        let begin = slot * SLOT;
        let before = others + local.partition_point(|start| *start >= begin) as u64;
        if before > offset {
            break;
        }
        // Behind all tasks that started at `begin` or later.
        best = (Some(ListPosition { start: begin, remote: false, number: i64::MIN }), before);
    }
    Ok(best)
}
