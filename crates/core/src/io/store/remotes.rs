//! Other hosts, their nodes, and the state of both (see schema_remotes.sql).
//!
//! # If the process dies here
//!
//! Each change is one transaction.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{Result, Store, schema::bare};
use crate::model::remote::Source;

const SCHEMA: &str = include_str!("../../../schema_remotes.sql");
/// Outcome of a task that its host forgot.
pub const LOST: &str = "its host does not know of it any more";
/// Stored error of a node that its cluster cannot reach.
const OFFLINE: &str = "it is offline";
/// Stored error of a node that left its cluster.
const LEFT: &str = "it is not in the cluster any more";

/// A remote, and its state.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the columns of schema_remotes.sql, which explains each")]
pub struct Remote {
    pub id: i64,
    pub name: String,
    pub source: Source,
    pub cursor: Option<String>,
    pub tried: Option<i64>,
    pub contact: Option<i64>,
    pub lag: Option<i64>,
    pub failures: u32,
    pub error: Option<String>,
    pub unread: i64,
}

/// A node of a Proxmox remote, and its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of schema_remotes.sql, which explains each")]
pub struct Node {
    pub node: String,
    pub cutoff: Option<i64>,
    pub wide: Option<i64>,
    pub tried: i64,
    pub contact: Option<i64>,
    pub failures: u32,
    pub error: Option<String>,
}

impl Node {
    /// Whether its cluster could not reach it.
    pub fn is_offline(&self) -> bool {
        self.error.as_deref() == Some(OFFLINE)
    }

    /// Whether its cluster does not list it any more.
    pub fn has_left(&self) -> bool {
        self.error.as_deref() == Some(LEFT)
    }
}

/// The result of a request to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNews {
    /// The name of the node.
    pub node: String,
    /// The result.
    pub went: Went,
}

/// The result of a request to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// The node returned all of its tasks.
    Well {
        /// Where to continue.
        cutoff: Option<i64>,
        /// Whether the request covered ends that were reported days late.
        wide: bool,
    },
    /// The request failed.
    Failed(String),
    /// The cluster reports the node as offline.
    Offline,
    /// The cluster does not list the node any more.
    Left,
}

/// Whether the tables of other hosts exist.
pub(super) fn are_there(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'remotes')", [], |row| row.get(0))
}

impl Store {
    /// Whether the tables of other hosts exist.
    pub(super) fn has_remotes(&self) -> rusqlite::Result<bool> {
        if !self.codes.there.get() {
            self.codes.there.set(are_there(&self.db)?);
        }
        Ok(self.codes.there.get())
    }

    /// Adds a remote; false if the name is taken.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn add_remote(&mut self, name: &str, source: &Source) -> Result<bool> {
        let source = serde_json::to_string(source).unwrap_or_default();
        self.write("add a remote to", |tx| {
            if !are_there(tx)? {
                tx.execute_batch(&bare(SCHEMA))?;
            }
            let sql = "INSERT INTO remotes (name, source) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            Ok(tx.execute(sql, [name, &source])? > 0)
        })
    }

    /// Changes how a remote is reached, and resets its errors. Returns false if there is no remote
    /// of this name.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn set_remote(&mut self, name: &str, source: &Source) -> Result<bool> {
        let source = serde_json::to_string(source).unwrap_or_default();
        self.write("change a remote of", |tx| {
            let sql = "UPDATE remotes SET source = ?2, failures = 0, error = NULL WHERE name = ?1";
            Ok(tx.execute(sql, [name, &source])? > 0)
        })
    }

    /// Returns all remotes, by name.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remotes(&self) -> Result<Vec<Remote>> {
        let work = || {
            if !self.has_remotes()? {
                return Ok(vec![]);
            }
            let sql = "SELECT id, name, source, cursor, tried, contact, lag, failures, error, unread FROM remotes
                       ORDER BY name";
            let mut statement = self.db.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                let source: String = row.get(2)?;
                let Ok(source) = serde_json::from_str(&source) else { return Ok(None) };
                Ok(Some(Remote {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    source,
                    cursor: row.get(3)?,
                    tried: row.get(4)?,
                    contact: row.get(5)?,
                    lag: row.get(6)?,
                    failures: row.get(7)?,
                    error: row.get(8)?,
                    unread: row.get(9)?,
                }))
            })?;
            rows.filter_map(Result::transpose).collect()
        };
        work().map_err(self.failed("read"))
    }

    /// Returns the nodes of Proxmox remotes, by remote id; with `remote` only those of one.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_nodes(&self, remote: Option<i64>) -> Result<HashMap<i64, Vec<Node>>> {
        let work = || {
            if !self.has_remotes()? {
                return Ok(HashMap::new());
            }
            let sql = "SELECT remote, node, cutoff, wide, tried, contact, failures, error FROM remote_nodes
                       WHERE ?1 IS NULL OR remote = ?1 ORDER BY remote, node";
            let mut statement = self.db.prepare(sql)?;
            let mut rows = statement.query([remote])?;
            let mut found: HashMap<i64, Vec<Node>> = HashMap::new();
            while let Some(row) = rows.next()? {
                let node = Node {
                    node: row.get(1)?,
                    cutoff: row.get(2)?,
                    wide: row.get(3)?,
                    tried: row.get(4)?,
                    contact: row.get(5)?,
                    failures: row.get(6)?,
                    error: row.get(7)?,
                };
                found.entry(row.get(0)?).or_default().push(node);
            }
            Ok(found)
        };
        work().map_err(self.failed("read"))
    }

    /// Records that a request at `now` failed.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_failed(&mut self, remote: i64, error: &str, now: i64) -> Result<()> {
        self.write("update", |tx| {
            let sql = "UPDATE remotes SET tried = ?2, failures = failures + 1, error = ?3 WHERE id = ?1";
            tx.execute(sql, params![remote, now, error]).map(|_| ())
        })
    }
}

/// Records the result of a request to a node.
pub(super) fn note_node(db: &Connection, remote: i64, now: i64, news: &NodeNews) -> rusqlite::Result<()> {
    let sql = "INSERT INTO remote_nodes (remote, node, tried) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET tried = excluded.tried";
    db.execute(sql, params![remote, news.node, now])?;
    match &news.went {
        Went::Well { cutoff, wide } => {
            let sql = "UPDATE remote_nodes SET cutoff = ?3, wide = iif(?4, ?5, wide), contact = ?5, failures = 0,
                              error = NULL WHERE remote = ?1 AND node = ?2";
            db.execute(sql, params![remote, news.node, cutoff, wide, now])?;
        }
        Went::Failed(error) => {
            let sql = "UPDATE remote_nodes SET failures = failures + 1, error = ?3 WHERE remote = ?1 AND node = ?2";
            db.execute(sql, params![remote, news.node, error])?;
        }
        Went::Offline => {
            let sql = "UPDATE remote_nodes SET failures = 0, error = ?3 WHERE remote = ?1 AND node = ?2";
            db.execute(sql, params![remote, news.node, OFFLINE])?;
        }
        Went::Left => {
            let sql = "UPDATE remote_nodes SET failures = 0, error = ?3 WHERE remote = ?1 AND node = ?2";
            db.execute(sql, params![remote, news.node, LEFT])?;
        }
    }
    Ok(())
}
