//! The codes by which tasks of other hosts are stored: words, hosts, and the rows of `remote_tasks`, which consist of them
//! (see schema_remotes.sql).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use rusqlite::{
    Connection, OptionalExtension, Row as SqlRow,
    types::{Value, ValueRef},
};

use crate::model::{
    remote::{
        More, Parts, RemoteTask,
        codec::{ORDINALS, StatusCode, pid_and_off, start_of, ticks},
    },
    task::{Outcome, Stored},
};

/// Codes that are read together.
const NEIGHBOURS: i64 = 256;

/// Cache of the codes in the tables: words and hosts never change, so they are read once.
#[derive(Debug, Default)]
pub(super) struct Codes {
    texts: RefCell<ByCode<Arc<str>>>,
    codes: RefCell<HashMap<Arc<str>, i64>>,
    hosts: RefCell<ByCode<Host>>,
    pub(super) there: Cell<bool>,
}

/// Values indexed by small codes: no hashing, which would take most of the time of a page.
#[derive(Debug)]
pub(super) struct ByCode<T>(Vec<Option<T>>);

impl<T> Default for ByCode<T> {
    fn default() -> ByCode<T> {
        ByCode(vec![])
    }
}

impl<T> ByCode<T> {
    /// Larger codes come from a damaged row.
    const LARGEST: usize = 1 << 24;

    pub(super) fn get(&self, code: i64) -> Option<&T> {
        self.0.get(usize::try_from(code).ok()?)?.as_ref()
    }

    pub(super) fn put(&mut self, code: i64, value: T) {
        let Some(at) = usize::try_from(code).ok().filter(|at| *at < Self::LARGEST) else { return };
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at] = Some(value);
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[derive(Clone, Debug)]
struct Host {
    remote: Arc<str>,
    node: Arc<str>,
    boot: i64,
}

impl Codes {
    fn text(&self, db: &Connection, code: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.texts.borrow().get(code) {
            return Ok(Arc::clone(text));
        }
        // Together with neighbouring codes, which were added with it and are needed next: single
        // queries would take longer.
        let mut texts = self.texts.borrow_mut();
        let mut statement = db.prepare("SELECT id, word FROM remote_words WHERE id BETWEEN ?1 AND ?2")?;
        let first = code.div_euclid(NEIGHBOURS).wrapping_mul(NEIGHBOURS);
        let mut rows = statement.query([first, first.saturating_add(NEIGHBOURS - 1)])?;
        while let Some(row) = rows.next()? {
            texts.put(row.get(0)?, row.get_ref(1)?.as_str()?.into());
        }
        Ok(texts.get(code).map_or_else(|| "".into(), Arc::clone))
    }

    /// Returns the code of a word, if it has one.
    pub(super) fn known(&self, db: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(code) = self.codes.borrow().get(text) {
            return Ok(Some(*code));
        }
        let code = db.query_row("SELECT id FROM remote_words WHERE word = ?1", [text], |row| row.get(0)).optional()?;
        if let Some(code) = code {
            self.codes.borrow_mut().insert(text.into(), code);
        }
        Ok(code)
    }

    /// Returns the code of a word, which gets one if it has none.
    pub(super) fn code(&self, db: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(code) = self.known(db, text)? {
            return Ok(code);
        }
        db.execute("INSERT INTO remote_words (word) VALUES (?1)", [text])?;
        let code = db.last_insert_rowid();
        self.codes.borrow_mut().insert(text.into(), code);
        Ok(code)
    }

    /// `None`: its remote was just removed.
    fn host(&self, db: &Connection, code: i64) -> rusqlite::Result<Option<Host>> {
        if let Some(host) = self.hosts.borrow().get(code) {
            return Ok(Some(host.clone()));
        }
        let mut hosts = self.hosts.borrow_mut();
        let sql = "SELECT h.id, name, node, boot FROM remote_hosts AS h JOIN remotes AS r ON r.id = h.remote
                   WHERE h.id BETWEEN ?1 AND ?2";
        let mut statement = db.prepare(sql)?;
        let first = code.div_euclid(NEIGHBOURS).wrapping_mul(NEIGHBOURS);
        let mut rows = statement.query([first, first.saturating_add(NEIGHBOURS - 1)])?;
        while let Some(row) = rows.next()? {
            let (remote, node) = (row.get_ref(1)?.as_str()?.into(), row.get_ref(2)?.as_str()?.into());
            hosts.put(row.get(0)?, Host { remote, node, boot: row.get(3)? });
        }
        Ok(hosts.get(code).cloned())
    }

    /// Drops entries that a failed transaction may have added.
    pub(super) fn forget(&self) {
        self.texts.borrow_mut().clear();
        self.codes.borrow_mut().clear();
        self.hosts.borrow_mut().clear();
    }
}

/// A row of `remote_tasks` as stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coded {
    pub host: i64,
    pub kind: i64,
    pub user: i64,
    pub id: Value,
    pub process: i64,
    pub duration: i64,
    pub status: Value,
    pub more: Value,
}

/// The columns of a row, as [`coded`] and [`remote_task`] read them.
pub(super) const COLUMNS: &str = "key, host, type, user, id, process, duration, status, more";

/// Reads a row, with its key.
pub(super) fn coded(row: &SqlRow<'_>) -> rusqlite::Result<(i64, Coded)> {
    let task = Coded {
        host: row.get(1)?,
        kind: row.get(2)?,
        user: row.get(3)?,
        id: row.get(4)?,
        process: row.get(5)?,
        duration: row.get(6)?,
        status: row.get(7)?,
        more: row.get(8)?,
    };
    Ok((row.get(0)?, task))
}

/// Decodes an outcome.
pub(super) fn outcome(db: &Connection, codes: &Codes, status: &Value) -> rusqlite::Result<Outcome> {
    Ok(match status {
        Value::Null => Outcome::Ok,
        Value::Integer(number) => match StatusCode::of(*number) {
            StatusCode::Warnings(count) => Outcome::Warnings(count),
            StatusCode::Error(reason) => Outcome::Error(codes.text(db, reason)?.to_string()),
            StatusCode::Unknown(reason) => Outcome::Unknown(codes.text(db, reason)?.to_string()),
        },
        Value::Text(reason) => Outcome::Error(reason.clone()),
        Value::Real(_) | Value::Blob(_) => Outcome::Unknown(String::new()),
    })
}

fn more_of(more: ValueRef<'_>) -> More {
    match more {
        ValueRef::Integer(counter) => More { counter: u64::try_from(counter).ok(), ..More::default() },
        ValueRef::Text(text) => serde_json::from_slice(text).unwrap_or_default(),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => More::default(),
    }
}

/// Returns the UPID of a row; `None` if its remote was just removed.
pub(super) fn upid_of(db: &Connection, codes: &Codes, key: i64, task: &Coded) -> rusqlite::Result<Option<String>> {
    let more = more_of((&task.more).into());
    if more.upid.is_some() {
        return Ok(more.upid);
    }
    let Some(host) = codes.host(db, task.host)? else { return Ok(None) };
    let (kind, user) = (codes.text(db, task.kind)?, codes.text(db, task.user)?);
    let id = id_of(db, codes, (&task.id).into())?;
    let start = start_of(key);
    let (pid, off) = pid_and_off(task.process);
    let pstart = off.wrapping_add(ticks(start, host.boot)).unsigned_abs();
    let parts =
        Parts { node: &host.node, pid, pstart, counter: more.counter, start, kind: &kind, id: &id, user: &user };
    Ok(Some(parts.text()))
}

fn id_of(db: &Connection, codes: &Codes, id: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(match id {
        ValueRef::Integer(number) if number >= 0 => number.to_string(),
        ValueRef::Integer(code) => codes.text(db, -code)?.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => String::new(),
    })
}

/// Decodes a row; `None` if its remote was just removed.
pub(super) fn remote_task(db: &Connection, codes: &Codes, row: &SqlRow<'_>) -> rusqlite::Result<Option<RemoteTask>> {
    let key: i64 = row.get(0)?;
    let Some(host) = codes.host(db, row.get(1)?)? else { return Ok(None) };
    let (kind, user) = (codes.text(db, row.get(2)?)?, codes.text(db, row.get(3)?)?);
    let (mut more, mut counter) = (None, None);
    match row.get_ref(8)? {
        ValueRef::Null => {}
        ValueRef::Integer(number) => counter = u64::try_from(number).ok(),
        other => more = Some(Box::new(more_of(other))),
    }
    let start = start_of(key);
    let upid = match more.as_mut().and_then(|more| more.upid.take()) {
        Some(text) => text,
        None => {
            let id = id_of(db, codes, row.get_ref(4)?)?;
            let (pid, off) = pid_and_off(row.get(5)?);
            let pstart = off.wrapping_add(ticks(start, host.boot)).unsigned_abs();
            let counter = counter.or_else(|| more.as_ref().and_then(|more| more.counter));
            let node = &*host.node;
            Parts { node, pid, pstart, counter, start, kind: &kind, id: &id, user: &user }.text()
        }
    };
    let outcome = match row.get_ref(7)? {
        ValueRef::Null => Outcome::Ok,
        _ => outcome(db, codes, &row.get(7)?)?,
    };
    Ok(Some(RemoteTask {
        ordinal: key & ORDINALS,
        remote: host.remote,
        node: host.node,
        kind,
        user,
        upid: Stored::from_text(upid),
        start,
        endtime: start.saturating_add(row.get(6)?),
        outcome,
        more,
    }))
}
