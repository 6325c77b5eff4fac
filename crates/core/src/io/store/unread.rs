//! Unreadable entries of a remote's responses: a host returns the same ones again and again, and
//! each counts once.
//!
//! # If the process dies here
//!
//! The entries are recorded in the transaction that counts them.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

/// Created with the first unreadable entry: few hosts ever return one.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS remote_unread (
    remote INTEGER NOT NULL,
    hash   INTEGER NOT NULL, -- of the entry
    seen   INTEGER NOT NULL, -- when it was last reported
    PRIMARY KEY (remote, hash)) WITHOUT ROWID";
/// Entries remembered for one remote. A host with more of them is broken, and they may be counted
/// again.
const MOST: i64 = 10_000;

/// FNV-1a: stored, so it must be the same in all versions of all programs.
fn hash(text: &str) -> i64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step).cast_signed()
}

fn is_there(db: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_master WHERE name = 'remote_unread'";
    Ok(db.query_row(sql, [], |_| Ok(())).optional()?.is_some())
}

/// Remembers entries; returns those that were not known.
pub(super) fn note(db: &Connection, remote: i64, entries: &[String], now: i64) -> rusqlite::Result<Vec<String>> {
    if entries.is_empty() {
        return Ok(vec![]);
    }
    if !is_there(db)? {
        db.execute_batch(TABLE)?;
    }
    let mut known = db.prepare("SELECT hash FROM remote_unread WHERE remote = ?1")?;
    let known = known.query_map([remote], |row| row.get(0))?.collect::<rusqlite::Result<HashSet<i64>>>()?;
    let mut put = db.prepare("INSERT OR REPLACE INTO remote_unread (remote, hash, seen) VALUES (?1, ?2, ?3)")?;
    let mut seen = HashSet::new();
    let mut new = vec![];
    for entry in entries {
        let hash = hash(entry);
        if seen.insert(hash) {
            put.execute(params![remote, hash, now])?;
            if !known.contains(&hash) {
                new.push(entry.clone());
            }
        }
    }
    let sql = "DELETE FROM remote_unread WHERE remote = ?1 AND hash IN
               (SELECT hash FROM remote_unread WHERE remote = ?1 ORDER BY seen DESC, hash LIMIT -1 OFFSET ?2)";
    db.execute(sql, [remote, MOST])?;
    Ok(new)
}

/// Forgets the entries of one remote, or all.
pub(super) fn forget(db: &Connection, remote: Option<i64>) -> rusqlite::Result<()> {
    if is_there(db)? {
        db.execute("DELETE FROM remote_unread WHERE ?1 IS NULL OR remote = ?1", [remote])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_and_not_too_many_are_remembered() {
        let db = Connection::open_in_memory().unwrap();
        let note = |remote, entries: &[&str], now| {
            let entries: Vec<String> = entries.iter().map(|text| (*text).to_owned()).collect();
            super::note(&db, remote, &entries, now).unwrap()
        };
        forget(&db, None).unwrap();
        assert_eq!(note(1, &["a", "b", "a"], 1), ["a", "b"]);
        assert_eq!(note(1, &["b", "c"], 2), ["c"]);
        assert_eq!(note(2, &["a"], 2), ["a"]);
        let many: Vec<String> = (0..MOST).map(|n| n.to_string()).collect();
        assert_eq!(super::note(&db, 1, &many, 3).unwrap().len(), many.len());
        let count = "SELECT count(*) FROM remote_unread WHERE remote = 1";
        assert_eq!(db.query_row(count, [], |row| row.get(0)), Ok(MOST));
        assert_eq!(note(2, &["a"], 4), [""; 0], "of another remote");
        forget(&db, Some(2)).unwrap();
        assert_eq!(note(2, &["a"], 5), ["a"]);
    }
}
