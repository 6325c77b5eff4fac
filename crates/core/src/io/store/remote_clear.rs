//! Deletes tasks of other hosts.
//!
//! # If the process dies here
//!
//! Tasks are deleted in small transactions, each with its counts; a deletion that is repeated continues.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::{
    Result, Store,
    remote_counts::{oldest_kept, store_counts},
    remotes::are_there,
    unread,
};
use crate::model::remote::codec::{first_key, slot_of};

/// Tasks deleted in one transaction: few enough that other writers do not wait for long.
const SLICE: i64 = 4_000;

impl Store {
    /// Removes a remote with all its tasks; returns the number of ended ones, or `None` if there is
    /// no such remote. In small transactions, with the remote itself in the last: if the process
    /// dies before, the removal can be repeated.
    /// # Errors
    /// [`super::StoreError`]
    pub fn remove_remote(&mut self, name: &str) -> Result<Option<u64>> {
        if !self.has_remotes().map_err(self.failed("read"))? {
            return Ok(None);
        }
        let sql = "SELECT id FROM remotes WHERE name = ?1";
        let id: Option<i64> =
            self.db.query_row(sql, [name], |row| row.get(0)).optional().map_err(self.failed("read"))?;
        let Some(id) = id else { return Ok(None) };
        let mut removed = 0;
        let mut from = i64::MAX;
        loop {
            let done = self.write("remove a remote from", |tx| {
                let sql = "SELECT key FROM remote_tasks WHERE key < ?2
                           AND host IN (SELECT id FROM remote_hosts WHERE remote = ?1) ORDER BY key DESC LIMIT ?3";
                let mut keys = tx.prepare(sql)?;
                let keys = keys.query_map([id, from, SLICE], |row| row.get(0))?;
                let keys = keys.collect::<rusqlite::Result<Vec<i64>>>()?;
                delete_keys(tx, &keys)?;
                if (keys.len() as i64) < SLICE {
                    tx.execute("DELETE FROM remote_active WHERE remote = ?1", [id])?;
                    tx.execute("DELETE FROM remote_hosts WHERE remote = ?1", [id])?;
                    tx.execute("DELETE FROM remote_nodes WHERE remote = ?1", [id])?;
                    unread::forget(tx, Some(id))?;
                    tx.execute("DELETE FROM remotes WHERE id = ?1", [id])?;
                    tx.execute("DELETE FROM remote_counts WHERE count <= 0", [])?;
                }
                Ok(keys)
            })?;
            removed += done.len() as u64;
            match done.last() {
                Some(last) if done.len() as i64 == SLICE => from = *last,
                Some(_) | None => break,
            }
        }
        self.codes.forget();
        Ok(Some(removed))
    }

    /// Deletes ended tasks of other hosts: those that started before a time, and the oldest beyond
    /// a number. In small transactions, so that other writers do not wait for long. Returns their
    /// number.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn forget_remote_tasks(&mut self, before: Option<i64>, keep: Option<u64>) -> Result<u64> {
        let failed = self.failed("read");
        let find = || {
            if !self.has_remotes()? {
                return Ok(None);
            }
            let by_time = before.map(first_key);
            let by_number = match keep {
                Some(keep) => oldest_kept(&self.db, keep)?,
                None => None,
            };
            Ok(by_time.into_iter().chain(by_number).max())
        };
        let Some(end) = find().map_err(failed)? else { return Ok(0) };
        let mut forgotten = 0;
        loop {
            let done = self.write("clear tasks of remotes of", |tx| {
                let sql = "SELECT key FROM remote_tasks WHERE key < ?1 ORDER BY key LIMIT ?2";
                let mut keys = tx.prepare(sql)?;
                let keys = keys.query_map([end, SLICE], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
                delete_keys(tx, &keys)?;
                tx.execute("DELETE FROM remote_counts WHERE count <= 0", [])?;
                Ok(keys.len() as u64)
            })?;
            forgotten += done;
            if done < SLICE.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }
}

/// Deletes ended tasks, and counts them.
fn delete_keys(db: &Connection, keys: &[i64]) -> rusqlite::Result<()> {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    let mut delete = db.prepare("DELETE FROM remote_tasks WHERE key = ?1")?;
    for key in keys {
        delete.execute([key])?;
        *counts.entry(slot_of(*key)).or_default() -= 1;
    }
    store_counts(db, &counts)
}

/// Deletes all remotes. Words stay: programs that have the database open have cached their codes.
pub(super) fn clear(db: &Connection) -> rusqlite::Result<()> {
    unread::forget(db, None)?;
    if !are_there(db)? {
        return Ok(());
    }
    db.execute_batch(
        "DELETE FROM remote_tasks; DELETE FROM remote_active; DELETE FROM remote_counts;
         DELETE FROM remote_hosts; DELETE FROM remote_nodes; DELETE FROM remotes;",
    )
}
