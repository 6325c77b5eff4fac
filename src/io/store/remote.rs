//! The tasks of other hosts: rows of codes in the order of their starts (see schema_remotes.sql).
//!
//! # If the process dies here
//!
//! The tasks of one response are added in one transaction, together with its cursor: either all of
//! them are stored, or they are requested again. Adding the same tasks twice changes nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use rusqlite::{
    Connection, OptionalExtension, Row as SqlRow, Statement, params, params_from_iter,
    types::{Value, ValueRef},
};

use super::{
    Result, Store,
    rows::{SELECT_HISTORY, history_row},
    schema::bare,
    unread,
};
use crate::model::{
    query::{ListPosition, Page, StartQuery},
    remote::{
        Id, More, Parts, RemoteEnd, RemoteLive, RemoteRun, RemoteTask, Source, is_plain, outcome_of, signed_user,
    },
    task::{Class, HistoryRow, Outcome, Stored},
    upid::Upid,
};

const SCHEMA: &str = include_str!("../../../schema_remotes.sql");
/// Bits of a key for the position within the second.
const ORDINAL: u32 = 18;
const ORDINALS: i64 = (1 << ORDINAL) - 1;
/// The last second that a key can hold; later starts are stored as text under it.
const LAST_START: i64 = (1 << (62 - ORDINAL)) - 1;
/// Seconds of a slot of `remote_counts`; also the duration from which a local task is in
/// `history_long`.
const SLOT: i64 = 600;
/// Largest difference, in hundredths of a second, between the start of a task's process and the
/// start expected from its node's boot; beyond it the task ran after another boot. So a difference
/// takes at most three bytes.
const SAME_BOOT: i64 = 1 << 23;
/// Boots kept of one node; tasks of more boots are kept all the same, in more bytes.
const BOOTS: usize = 64;
/// Bits of a row's `process` for the pid: the largest that Linux uses. If the process started in
/// the same second as its task, the rest fits into four bytes.
const PID: u32 = 22;
const PIDS: i64 = (1 << PID) - 1;
/// Codes that are read together.
const NEIGHBOURS: i64 = 256;
/// Longest reason or id, in bytes, that is stored as a word.
const LONGEST_WORD: usize = 200;
/// Page cache of a connection that adds tasks, in KiB, used as needed. A thousand late tasks change
/// more than a thousand pages; with SQLite's default of 2,000 KiB many would be written, read and
/// written again before the commit, and read again for the next thousand.
const CHANGED: i64 = 32_000;
/// Tasks deleted in one transaction: few enough that other writers do not wait for long.
const SLICE: i64 = 4_000;

/// Counts the rows of `remote_counts` with a wrong count.
pub(super) const WRONG_COUNTS: &str = "SELECT count(*) FROM (
    SELECT slot, sum(n) AS n FROM (
        SELECT slot, count AS n FROM remote_counts
        UNION ALL SELECT (key >> 18) / 600, -1 FROM remote_tasks) GROUP BY slot) WHERE n <> 0";
/// Rebuilds the counts.
pub(super) const COUNT_AGAIN: &str = "DELETE FROM remote_counts;
    INSERT INTO remote_counts (slot, count) SELECT (key >> 18) / 600, count(*) FROM remote_tasks GROUP BY 1";

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

/// Outcome of a task that its host forgot.
pub const LOST: &str = "its host does not know of it any more";
/// Outcome of a task whose node left its cluster before the end was known.
const LEFT_BEHIND: &str = "its node left the cluster";
/// Stored error of a node that its cluster cannot reach.
const OFFLINE: &str = "it is offline";
/// Stored error of a node that left its cluster.
const LEFT: &str = "it is not in the cluster any more";

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

/// The content of one response of a remote.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Tasks that have ended.
    pub ended: Vec<RemoteEnd>,
    /// Tasks that have not ended.
    pub running: Vec<RemoteRun>,
    /// Whether `running` is complete, so that a task missing there and in `ended` was forgotten by
    /// its host.
    pub whole: bool,
    /// Whether earlier live tasks are from another database, so that their ends will never be
    /// reported.
    pub new_database: bool,
    /// Where to continue, for a host that returns its own cursor.
    pub cursor: Option<String>,
    /// The result of the request to one of its nodes, with the last tasks of the response.
    pub node: Option<NodeNews>,
    /// Whether the remote is fully synced with this: no response was cut off.
    pub well: bool,
    /// Whether a single task was requested: the state of the remote does not change.
    pub aside: bool,
    /// The newest end received so far.
    pub newest: Option<i64>,
    /// Unreadable entries, each as a text that is the same when the entry is received again.
    pub unread: Vec<String>,
    /// Time of the request, unix seconds: the same for all entries of the response.
    pub now: i64,
}

/// The changes by a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// New tasks.
    pub new: u64,
    /// Tasks with a changed end.
    pub changed: u64,
    /// Tasks for which their second had no room.
    pub refused: u64,
    /// Unreadable entries that were not received before.
    pub unread: Vec<String>,
}

/// A task in a list of several hosts.
#[derive(Clone, Debug)]
pub enum Listed {
    /// A task of this database.
    Local(Box<HistoryRow>),
    /// A task of another host.
    Remote(RemoteTask),
}

impl Listed {
    /// Returns the UPID, as its host wrote it.
    pub fn upid(&self) -> Option<&str> {
        match self {
            Listed::Local(row) => row.upid(),
            Listed::Remote(task) => Some(task.upid.as_str()),
        }
    }

    /// Returns the position in the list.
    pub fn place(&self) -> ListPosition {
        match self {
            Listed::Local(row) => local_place(row),
            Listed::Remote(task) => ListPosition { start: task.start, remote: true, number: task.ordinal },
        }
    }
}

fn local_place(row: &HistoryRow) -> ListPosition {
    ListPosition { start: row.starttime.unwrap_or(row.endtime), remote: false, number: row.id }
}

/// Cache of the codes in the tables: words and hosts never change, so they are read once.
#[derive(Debug, Default)]
pub(super) struct Codes {
    texts: RefCell<ByCode<Arc<str>>>,
    codes: RefCell<HashMap<Arc<str>, i64>>,
    hosts: RefCell<ByCode<Host>>,
    there: Cell<bool>,
}

/// Values indexed by small codes: no hashing, which would take most of the time of a page.
#[derive(Debug)]
struct ByCode<T>(Vec<Option<T>>);

impl<T> Default for ByCode<T> {
    fn default() -> ByCode<T> {
        ByCode(vec![])
    }
}

impl<T> ByCode<T> {
    /// Larger codes come from a damaged row.
    const LARGEST: usize = 1 << 24;

    fn get(&self, code: i64) -> Option<&T> {
        self.0.get(usize::try_from(code).ok()?)?.as_ref()
    }

    fn put(&mut self, code: i64, value: T) {
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

    fn known(&self, db: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(code) = self.codes.borrow().get(text) {
            return Ok(Some(*code));
        }
        let code = db.query_row("SELECT id FROM remote_words WHERE word = ?1", [text], |row| row.get(0)).optional()?;
        if let Some(code) = code {
            self.codes.borrow_mut().insert(text.into(), code);
        }
        Ok(code)
    }

    fn code(&self, db: &Connection, text: &str) -> rusqlite::Result<i64> {
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
    fn forget(&self) {
        self.texts.borrow_mut().clear();
        self.codes.borrow_mut().clear();
        self.hosts.borrow_mut().clear();
    }
}

/// A row of `remote_tasks` as stored.
#[derive(Clone, Debug, PartialEq)]
struct Coded {
    host: i64,
    kind: i64,
    user: i64,
    id: Value,
    process: i64,
    duration: i64,
    status: Value,
    more: Value,
}

const COLUMNS: &str = "key, host, type, user, id, process, duration, status, more";

fn coded(row: &SqlRow<'_>) -> rusqlite::Result<(i64, Coded)> {
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

/// Returns the start time that the process of a task would have if it had started exactly at
/// `start`.
fn ticks(start: i64, boot: i64) -> i64 {
    start.wrapping_mul(100).wrapping_sub(boot)
}

/// Packs a pid and the difference of its process's start from the expected one into one number,
/// with the difference zigzag-encoded (0, -1, 1, -2 …) above the pid. `None` if the difference or
/// the pid is too large.
fn process_of(pid: u32, off: i64) -> Option<i64> {
    let folded = off.wrapping_shl(1) ^ (off >> 63);
    let fits = off.unsigned_abs() < 1 << (61 - PID) && i64::from(pid) <= PIDS;
    fits.then_some(folded << PID | i64::from(pid))
}

/// Unpacks the pid and the difference.
fn pid_and_off(process: i64) -> (u32, i64) {
    let folded = process >> PID;
    let off = (folded >> 1) ^ -(folded & 1);
    (u32::try_from(process & PIDS).unwrap_or_default(), off)
}

/// Adds the tasks of one remote, within one transaction.
struct Adder<'a> {
    db: &'a Connection,
    codes: &'a Codes,
    remote: i64,
    /// For each node, the codes and boots.
    hosts: HashMap<String, Vec<(i64, i64)>>,
    /// Texts that occur more than once in this batch.
    frequent: HashSet<&'a str>,
    counts: BTreeMap<i64, i64>,
}

impl Adder<'_> {
    fn host(&mut self, node: &str, start: i64, pstart: i64) -> rusqlite::Result<(i64, i64)> {
        let list = self.hosts.get(node).map(Vec::as_slice).unwrap_or_default();
        let off = |boot: i64| pstart.wrapping_sub(ticks(start, boot));
        let nearest = list.iter().min_by_key(|(_, boot)| off(*boot).unsigned_abs()).copied();
        if let Some((code, boot)) = nearest
            && (off(boot).unsigned_abs() < SAME_BOOT.unsigned_abs() || list.len() >= BOOTS)
        {
            return Ok((code, off(boot)));
        }
        let boot = ticks(start, pstart);
        let sql = "INSERT INTO remote_hosts (remote, node, boot) VALUES (?1, ?2, ?3)";
        self.db.execute(sql, params![self.remote, node, boot])?;
        let code = self.db.last_insert_rowid();
        self.hosts.entry(node.to_owned()).or_default().push((code, boot));
        Ok((code, 0))
    }

    /// Returns the code of a text, if it is a frequent one.
    fn word(&self, text: &str) -> rusqlite::Result<Option<i64>> {
        if text.len() > LONGEST_WORD {
            return Ok(None);
        }
        match self.frequent.contains(text) {
            true => self.codes.code(self.db, text).map(Some),
            false => self.codes.known(self.db, text),
        }
    }

    fn encode(&mut self, end: &RemoteEnd) -> rusqlite::Result<(i64, Coded)> {
        let upid = &end.upid;
        let start = upid.starttime.clamp(0, LAST_START);
        let mut more = end.more.clone();
        let pstart = i64::try_from(upid.pstart).ok();
        if !is_plain(upid) || start != upid.starttime || pstart.is_none() {
            more.upid = Some(upid.as_str().to_owned());
        }
        more.counter = upid.task_id;
        let (host, off) = self.host(upid.node(), start, pstart.unwrap_or_default())?;
        let id = match Id::of(upid.raw_id()) {
            Id::None => Value::Null,
            Id::Number(number) => number.into(),
            Id::Text(text) => self.word(&text)?.map_or_else(|| text.into(), |code| (-code).into()),
        };
        let status = match &end.outcome {
            Outcome::Ok => Value::Null,
            Outcome::Warnings(count) => {
                (i64::try_from(*count).map_or(i64::MAX >> 2, |n| n.min(i64::MAX >> 2)) * 4 + 1).into()
            }
            Outcome::Error(reason) => match self.word(reason)? {
                Some(code) => (code * 4 + 2).into(),
                None => reason.clone().into(),
            },
            Outcome::Unknown(reason) => (self.codes.code(self.db, reason)? * 4 + 3).into(),
        };
        let process = process_of(upid.pid, off).unwrap_or_else(|| {
            more.upid = Some(upid.as_str().to_owned());
            // The bits by which the same task is recognized when it is received again.
            i64::from(upid.pid) & PIDS
        });
        let counter = more.counter.take();
        let small = counter.and_then(|counter| i64::try_from(counter).ok());
        let more = match (more.is_empty(), counter, small) {
            (true, None, _) => Value::Null,
            (true, Some(_), Some(counter)) => counter.into(),
            _ => {
                more.counter = counter;
                serde_json::to_string(&more).unwrap_or_default().into()
            }
        };
        let task = Coded {
            host,
            kind: self.codes.code(self.db, upid.worker_type())?,
            user: self.codes.code(self.db, &signed_user(upid))?,
            id,
            process,
            duration: end.endtime.saturating_sub(start),
            status,
            more,
        };
        Ok((start, task))
    }

    /// Adds the tasks that started in one second, or updates known ones.
    fn add(
        &mut self,
        tasks: &[(i64, &str, Coded)],
        own_hosts: &HashSet<i64>,
        there: &mut Statement<'_>,
        insert: &mut Statement<'_>,
    ) -> rusqlite::Result<Added> {
        let mut added = Added::default();
        let Some(first) = tasks.first().map(|(start, ..)| start << ORDINAL) else { return Ok(added) };
        let mut next = first;
        // Only a row with the pid of one of these tasks can be one of them: other UPIDs need not be
        // built.
        let mut pids: Vec<i64> = tasks.iter().map(|(_, _, task)| task.process & PIDS).collect();
        pids.sort_unstable();
        let mut known: HashMap<String, (i64, Coded)> = HashMap::new();
        let mut rows = there.query([first, first | ORDINALS])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            next = key + 1;
            if pids.binary_search(&(row.get::<_, i64>(2)? & PIDS)).is_ok() && own_hosts.contains(&row.get(1)?) {
                let sql = format!("SELECT {COLUMNS} FROM remote_tasks WHERE key = ?1");
                let (key, task) = self.db.prepare(&sql)?.query_row([key], coded)?;
                if let Some(text) = upid_of(self.db, self.codes, key, &task)? {
                    known.insert(text, (key, task));
                }
            }
        }
        drop(rows);
        for (_, upid, task) in tasks {
            match known.get(*upid) {
                Some((key, before)) => {
                    let of = |task: &Coded| outcome(self.db, self.codes, &task.status);
                    let (was, is) = (of(before)?, of(task)?);
                    // An unknown outcome does not replace a known one.
                    let status = if is == Outcome::Unknown(String::new()) { &before.status } else { &task.status };
                    let same = before.duration == task.duration
                        && before.more == task.more
                        && (was == is || *status == before.status);
                    if !same {
                        let sql = "UPDATE remote_tasks SET duration = ?2, status = ?3, more = ?4 WHERE key = ?1";
                        self.db.execute(sql, params![key, task.duration, status, task.more])?;
                        added.changed += 1;
                        let task = Coded { status: status.clone(), ..task.clone() };
                        known.insert((*upid).to_owned(), (*key, task));
                    }
                }
                // More than 262,144 tasks in one second are not real.
                None if next > (first | ORDINALS) => added.refused += 1,
                None => {
                    insert.execute(params![
                        next,
                        task.host,
                        task.kind,
                        task.user,
                        task.id,
                        task.process,
                        task.duration,
                        task.status,
                        task.more
                    ])?;
                    *self.counts.entry((next >> ORDINAL) / SLOT).or_default() += 1;
                    // The only task in its second cannot occur twice in this batch.
                    if tasks.len() > 1 {
                        known.insert((*upid).to_owned(), (next, task.clone()));
                    }
                    next += 1;
                    added.new += 1;
                }
            }
        }
        Ok(added)
    }
}

/// How a task is stored among the ended ones.
enum Kept {
    Not,
    Ended,
    /// Under this key, as one whose host or node was lost: it may be found again.
    Lost(i64),
}

impl Adder<'_> {
    /// Returns how a task is stored among the ended ones.
    fn kept(&self, upid: &Stored<Upid>, whole: &mut Statement<'_>) -> rusqlite::Result<Kept> {
        let Some(parsed) = upid.value() else { return Ok(Kept::Not) };
        let first = parsed.starttime.clamp(0, LAST_START) << ORDINAL;
        let mut rows = whole.query([first, first | ORDINALS])?;
        while let Some(row) = rows.next()? {
            let (key, task) = coded(row)?;
            let is_own = self.hosts.values().flatten().any(|(code, _)| *code == task.host);
            if is_own && upid_of(self.db, self.codes, key, &task)?.as_deref() == Some(upid.as_str()) {
                let outcome = outcome(self.db, self.codes, &task.status)?;
                let lost = matches!(outcome, Outcome::Unknown(why) if [LOST, LEFT_BEHIND].contains(&&*why));
                return Ok(if lost { Kept::Lost(key) } else { Kept::Ended });
            }
        }
        Ok(Kept::Not)
    }
}

fn store_counts(db: &Connection, counts: &BTreeMap<i64, i64>) -> rusqlite::Result<()> {
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

fn delete_keys(db: &Connection, keys: &[i64]) -> rusqlite::Result<()> {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    let mut delete = db.prepare("DELETE FROM remote_tasks WHERE key = ?1")?;
    for key in keys {
        delete.execute([key])?;
        *counts.entry((key >> ORDINAL) / SLOT).or_default() -= 1;
    }
    store_counts(db, &counts)
}

/// Returns the key of the oldest task to keep, if there are more than `keep`.
fn oldest_kept(db: &Connection, keep: u64) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare("SELECT slot, count FROM remote_counts ORDER BY slot DESC")?;
    let mut rows = statement.query([])?;
    let mut newer = 0u64;
    while let Some(row) = rows.next()? {
        let (slot, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        let with = newer + count.max(0).unsigned_abs();
        if with >= keep {
            let end = ((slot + 1) * SLOT) << ORDINAL;
            let Some(last) = keep.checked_sub(newer + 1) else { return Ok(Some(end)) };
            let sql = "SELECT key FROM remote_tasks WHERE key < ?1 ORDER BY key DESC LIMIT 1 OFFSET ?2";
            let offset = i64::try_from(last).unwrap_or(i64::MAX);
            return db.query_row(sql, [end, offset], |row| row.get(0)).optional();
        }
        newer = with;
    }
    Ok(None)
}

/// Decodes an outcome.
fn outcome(db: &Connection, codes: &Codes, status: &Value) -> rusqlite::Result<Outcome> {
    Ok(match status {
        Value::Null => Outcome::Ok,
        Value::Integer(code) => match code & 3 {
            1 => Outcome::Warnings((code >> 2).unsigned_abs()),
            2 => Outcome::Error(codes.text(db, code >> 2)?.to_string()),
            _ => Outcome::Unknown(codes.text(db, code >> 2)?.to_string()),
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

fn upid_of(db: &Connection, codes: &Codes, key: i64, task: &Coded) -> rusqlite::Result<Option<String>> {
    let more = more_of((&task.more).into());
    if more.upid.is_some() {
        return Ok(more.upid);
    }
    let Some(host) = codes.host(db, task.host)? else { return Ok(None) };
    let (kind, user) = (codes.text(db, task.kind)?, codes.text(db, task.user)?);
    let id = id_of(db, codes, (&task.id).into())?;
    let start = key >> ORDINAL;
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
fn remote_task(db: &Connection, codes: &Codes, row: &SqlRow<'_>) -> rusqlite::Result<Option<RemoteTask>> {
    let key: i64 = row.get(0)?;
    let Some(host) = codes.host(db, row.get(1)?)? else { return Ok(None) };
    let (kind, user) = (codes.text(db, row.get(2)?)?, codes.text(db, row.get(3)?)?);
    let (mut more, mut counter) = (None, None);
    match row.get_ref(8)? {
        ValueRef::Null => {}
        ValueRef::Integer(number) => counter = u64::try_from(number).ok(),
        other => more = Some(Box::new(more_of(other))),
    }
    let start = key >> ORDINAL;
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

fn key_of(place: ListPosition) -> i64 {
    let start = place.start.clamp(0, LAST_START);
    // All remote tasks of the same second come before a local one in the list.
    let ordinal = if place.remote { place.number.clamp(0, ORDINALS) } else { 0 };
    start << ORDINAL | ordinal
}

impl Store {
    /// Whether the tables of other hosts exist.
    pub(super) fn has_remotes(&self) -> rusqlite::Result<bool> {
        if !self.codes.there.get() {
            let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'remotes')";
            self.codes.there.set(self.db.query_row(sql, [], |row| row.get(0))?);
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
            let there: bool =
                tx.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'remotes')", [], |row| {
                    row.get(0)
                })?;
            if !there {
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
            let by_time = before.map(|start| start.clamp(0, LAST_START) << ORDINAL);
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

    /// Adds the tasks of a response and its cursor, in one transaction. Does nothing if the remote
    /// was removed meanwhile.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn add_remote_tasks(&mut self, remote: i64, batch: &Batch) -> Result<Added> {
        let codes = std::mem::take(&mut self.codes);
        // A checkpoint after a late batch takes longer than the batch itself: see
        // `Store::checkpoint`.
        let usual: i64 = self
            .db
            .pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0))
            .and_then(|pages| self.db.pragma_update(None, "wal_autocheckpoint", 0).map(|()| pages))
            .map_err(self.failed("update"))?;
        self.db.pragma_update(None, "cache_size", -CHANGED).map_err(self.failed("update"))?;
        let added = self.write("add tasks of a remote to", |tx| add_in(tx, &codes, remote, batch));
        if added.is_err() {
            codes.forget();
        }
        self.codes = codes;
        self.db.pragma_update(None, "wal_autocheckpoint", usual).map_err(self.failed("update"))?;
        added
    }

    /// Copies committed pages from the WAL into the database as far as readers permit, without
    /// blocking others. Called after large writes, so that the next small commit need not do it.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn checkpoint(&self) -> Result<()> {
        let done = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        done.map_err(self.failed("checkpoint"))
    }

    /// Returns the live tasks of other hosts, the newest first.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_active(&self, remote: Option<&str>) -> Result<Vec<RemoteLive>> {
        let work = || {
            if !self.has_remotes()? {
                return Ok(vec![]);
            }
            let tx = self.db.unchecked_transaction()?;
            let mut remotes: ByCode<(Arc<str>, i64, bool)> = ByCode::default();
            let mut statement = tx.prepare(
                "SELECT id, name, coalesce(tried, 0), failures > 0 FROM remotes WHERE ?1 IS NULL OR name = ?1",
            )?;
            let mut rows = statement.query([remote])?;
            while let Some(row) = rows.next()? {
                remotes.put(row.get(0)?, (row.get_ref(1)?.as_str()?.into(), row.get(2)?, row.get(3)?));
            }
            let mut statement = tx.prepare("SELECT remote, upid, start, seen, detail FROM remote_active")?;
            let mut rows = statement.query([])?;
            let mut found = vec![];
            while let Some(row) = rows.next()? {
                if let Some((remote, tried, failed)) = remotes.get(row.get(0)?) {
                    let run = RemoteRun { upid: row.get(1)?, start: row.get(2)?, detail: row.get(4)? };
                    let seen = row.get(3)?;
                    // The last request to its host failed, or only that to its node.
                    found.push(RemoteLive { remote: Arc::clone(remote), run, seen, stale: *failed || seen < *tried });
                }
            }
            found.sort_by(|a: &RemoteLive, b| {
                let by_start = b.run.start.cmp(&a.run.start);
                by_start
                    .then_with(|| a.remote.cmp(&b.remote))
                    .then_with(|| a.run.upid.as_str().cmp(b.run.upid.as_str()))
            });
            Ok(found)
        };
        work().map_err(self.failed("read"))
    }

    /// Returns one page of the ended tasks of several hosts, from one read transaction.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn page_by_start(&self, query: &StartQuery) -> Result<Page<Listed, ListPosition>> {
        let work = || {
            let tx = self.db.unchecked_transaction()?;
            if !self.has_remotes()? {
                return Ok(vec![]);
            }
            let mut query = query.clone();
            let wanted = query.limit.saturating_add(1);
            let local = query.remote.is_none();
            let mut skip = usize::try_from(query.offset).unwrap_or(usize::MAX);
            if skip > 0 && query.after.is_none() && !query.reverse && query.is_unfiltered() {
                let (after, passed) = find_offset(&tx, query.offset)?;
                query.after = after;
                skip = usize::try_from(query.offset - passed).unwrap_or(usize::MAX);
            }
            let count = wanted.saturating_add(skip);
            // For a single source, SQLite skips rows faster than this code could.
            let alone = !local || !has_local(&tx)?;
            let (pass, take) = if alone { (std::mem::take(&mut skip), wanted) } else { (0, count) };
            let mut rows = remote_rows(&tx, &self.codes, &query, take, pass)?;
            if !alone {
                // Local rows are only needed from before the last of these, if these are enough.
                if rows.len() >= count
                    && let Some(last) = rows.last().map(|row| row.place().start)
                {
                    let filter = &mut query.filter;
                    match query.reverse {
                        false => filter.since = Some(filter.since.map_or(last, |since| since.max(last))),
                        true => filter.until = Some(filter.until.map_or(last, |until| until.min(last))),
                    }
                }
                let local = local_rows(&tx, &query, count)?;
                if !local.is_empty() {
                    rows.extend(local);
                    rows.sort_by_key(|row: &Listed| row.place());
                    if !query.reverse {
                        rows.reverse();
                    }
                }
            }
            rows.drain(..skip.min(rows.len()));
            Ok(rows)
        };
        let rows = work().map_err(self.failed("read"))?;
        Ok(Page::cut(rows, query.limit, Listed::place))
    }

    /// Returns the newest ended task with this number on another host; `None` if a live task there
    /// has the number.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_ended_number(&self, remote: &str, number: i64) -> Result<Option<RemoteTask>> {
        let has_it = |upid: &Stored<Upid>| upid.value().is_some_and(|upid| upid.number() == Some(number));
        if self.remote_active(Some(remote))?.iter().any(|live| has_it(&live.run.upid)) {
            return Ok(None);
        }
        let work = || {
            if !self.has_remotes()? {
                return Ok(None);
            }
            let sql = format!(
                "SELECT {COLUMNS} FROM remote_tasks
                 WHERE host IN (SELECT h.id FROM remote_hosts AS h JOIN remotes AS r ON r.id = h.remote WHERE r.name = ?1)
                       AND (id = ?2 OR more = ?2 OR (typeof(more) = 'text' AND more ->> 'counter' = ?2))
                 ORDER BY key DESC"
            );
            let mut statement = self.db.prepare(&sql)?;
            let mut rows = statement.query(params![remote, number])?;
            while let Some(row) = rows.next()? {
                if let Some(task) = remote_task(&self.db, &self.codes, row)?
                    && has_it(&task.upid)
                {
                    return Ok(Some(task));
                }
            }
            Ok(None)
        };
        work().map_err(self.failed("read"))
    }

    /// Returns an ended task of another host.
    ///
    /// # Errors
    /// [`super::StoreError`]
    pub fn remote_ended(&self, remote: &str, upid: &str, start: i64) -> Result<Option<RemoteTask>> {
        let work = || {
            if !self.has_remotes()? {
                return Ok(None);
            }
            let first = start.clamp(0, LAST_START) << ORDINAL;
            let mut statement =
                self.db.prepare(&format!("SELECT {COLUMNS} FROM remote_tasks WHERE key BETWEEN ?1 AND ?2"))?;
            let mut rows = statement.query([first, first | ORDINALS])?;
            while let Some(row) = rows.next()? {
                if let Some(task) = remote_task(&self.db, &self.codes, row)?
                    && *task.remote == *remote
                    && task.upid.as_str() == upid
                {
                    return Ok(Some(task));
                }
            }
            Ok(None)
        };
        work().map_err(self.failed("read"))
    }
}

fn add_in(db: &Connection, codes: &Codes, remote: i64, batch: &Batch) -> rusqlite::Result<Added> {
    let there: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM remotes WHERE id = ?1)", [remote], |row| row.get(0))?;
    if !there {
        return Ok(Added::default());
    }
    let mut hosts: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    {
        let mut statement = db.prepare("SELECT node, id, boot FROM remote_hosts WHERE remote = ?1")?;
        let mut rows = statement.query([remote])?;
        while let Some(row) = rows.next()? {
            hosts.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
        }
    }
    let mut seen: HashSet<&str> = HashSet::new();
    let texts = batch.ended.iter().flat_map(|end| [Some(end.upid.raw_id()), end.outcome.reason()]);
    let frequent = texts.flatten().filter(|text| !seen.insert(text)).collect();
    let mut adder = Adder { db, codes, remote, hosts, frequent, counts: BTreeMap::new() };

    // Tasks that the host forgot, and tasks whose node left: their ends will never be reported.
    let mut ended: Vec<&RemoteEnd> = batch.ended.iter().collect();
    let lost = match &batch.node {
        _ if batch.whole || batch.new_database => lost_in(db, remote, batch, LOST, None)?,
        Some(NodeNews { node, went: Went::Left }) => lost_in(db, remote, batch, LEFT_BEHIND, Some(node))?,
        Some(_) | None => vec![],
    };
    ended.extend(&lost);

    let mut tasks: Vec<(i64, &str, Coded)> = vec![];
    for end in &ended {
        let (start, task) = adder.encode(end)?;
        tasks.push((start, end.upid.as_str(), task));
    }
    // Lists show the last task of a second first: this puts those of one response in the order of
    // their UPIDs.
    tasks.sort_by(|(start, upid, _), (other, other_upid, _)| start.cmp(other).then_with(|| other_upid.cmp(upid)));
    let own_hosts: HashSet<i64> = adder.hosts.values().flatten().map(|(code, _)| *code).collect();
    let mut added = Added::default();
    {
        let mut there =
            db.prepare("SELECT key, host, process FROM remote_tasks WHERE key BETWEEN ?1 AND ?2 ORDER BY key")?;
        let mut insert =
            db.prepare(&format!("INSERT INTO remote_tasks ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"))?;
        for second in tasks.chunk_by(|a, b| a.0 == b.0) {
            let some = adder.add(second, &own_hosts, &mut there, &mut insert)?;
            added.new += some.new;
            added.changed += some.changed;
            added.refused += some.refused;
        }
        // Few tasks are live; a query for each ended one would take longer.
        let mut active = db.prepare("SELECT upid FROM remote_active WHERE remote = ?1")?;
        let active = active.query_map([remote], |row| row.get(0))?.collect::<rusqlite::Result<HashSet<String>>>()?;
        let mut delete = db.prepare("DELETE FROM remote_active WHERE remote = ?1 AND upid = ?2")?;
        for end in ended.iter().filter(|end| active.contains(end.upid.as_str())) {
            delete.execute(params![remote, end.upid.as_str()])?;
        }
        // A task that is reported both as running and as ended has ended while its host responded.
        let over: HashSet<&str> = match batch.running.is_empty() {
            true => HashSet::new(),
            false => ended.iter().map(|end| end.upid.as_str()).collect(),
        };
        let mut run = db.prepare(
            "INSERT INTO remote_active (remote, upid, start, seen, detail) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET seen = excluded.seen, detail = excluded.detail",
        )?;
        let mut whole = db.prepare(&format!("SELECT {COLUMNS} FROM remote_tasks WHERE key BETWEEN ?1 AND ?2"))?;
        let mut take_back = db.prepare("DELETE FROM remote_tasks WHERE key = ?1")?;
        for task in batch.running.iter().filter(|task| !over.contains(task.upid.as_str())) {
            match adder.kept(&task.upid, &mut whole)? {
                // The list may be older than an end that was reported meanwhile.
                Kept::Ended if !active.contains(task.upid.as_str()) => continue,
                // The task was found again: remove it from the ended ones.
                Kept::Lost(key) => {
                    take_back.execute([key])?;
                    *adder.counts.entry((key >> ORDINAL) / SLOT).or_default() -= 1;
                }
                Kept::Ended | Kept::Not => {}
            }
            run.execute(params![remote, task.upid.as_str(), task.start, batch.now, task.detail])?;
        }
    }
    store_counts(db, &adder.counts)?;
    added.unread = unread::note(db, remote, &batch.unread, batch.now)?;
    let lag = batch.newest.filter(|_| added.new > 0).map(|newest| batch.now.saturating_sub(newest).max(0));
    let tried = (!batch.aside).then_some(batch.now);
    // The failure of one node is no contact with the remote.
    let failed = matches!(batch.node, Some(NodeNews { went: Went::Failed(_), .. }));
    let contact = tried.filter(|_| !failed);
    db.execute(
        "UPDATE remotes SET cursor = coalesce(?2, cursor), tried = coalesce(?3, tried), contact = coalesce(?7, contact),
                lag = coalesce(?4, lag),
                failures = iif(?5, 0, failures), error = iif(?5, NULL, error), unread = unread + ?6
         WHERE id = ?1",
        params![
            remote,
            batch.cursor,
            tried,
            lag,
            batch.well,
            i64::try_from(added.unread.len() as u64 + added.refused).unwrap_or(i64::MAX),
            contact
        ],
    )?;
    if let Some(news) = &batch.node {
        note_node(db, remote, batch.now, news)?;
    }
    Ok(added)
}

fn note_node(db: &Connection, remote: i64, now: i64, news: &NodeNews) -> rusqlite::Result<()> {
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

/// Returns the tasks that were live on a remote, or on one node of it, and are missing in the
/// response, with the reason `why` as outcome.
fn lost_in(
    db: &Connection,
    remote: i64,
    batch: &Batch,
    why: &str,
    node: Option<&String>,
) -> rusqlite::Result<Vec<RemoteEnd>> {
    let reported: HashSet<&str> = batch
        .running
        .iter()
        .map(|task| task.upid.as_str())
        .chain(batch.ended.iter().map(|end| end.upid.as_str()))
        .collect();
    let mut statement = db.prepare("SELECT upid, start, detail FROM remote_active WHERE remote = ?1")?;
    let runs = statement
        .query_map([remote], |row| Ok(RemoteRun { upid: row.get(0)?, start: row.get(1)?, detail: row.get(2)? }))?;
    let mut lost = vec![];
    for run in runs {
        let run = run?;
        let Some(upid) = run.upid.value() else { continue };
        let is_there = |node: &String| run.via().as_deref().unwrap_or_else(|| upid.node()) == node;
        if !reported.contains(run.upid.as_str()) && node.is_none_or(is_there) {
            let outcome = Outcome::Unknown(why.to_owned());
            lost.push(RemoteEnd { upid: upid.clone(), endtime: batch.now, outcome, more: More::default() });
        }
    }
    Ok(lost)
}

/// Deletes all remotes. Words stay: programs that have the database open have cached their codes.
pub(super) fn clear(db: &Connection) -> rusqlite::Result<()> {
    let there: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'remotes')", [], |row| row.get(0))?;
    unread::forget(db, None)?;
    match there {
        true => db.execute_batch(
            "DELETE FROM remote_tasks; DELETE FROM remote_active; DELETE FROM remote_counts;
             DELETE FROM remote_hosts; DELETE FROM remote_nodes; DELETE FROM remotes;",
        ),
        false => Ok(()),
    }
}

/// Whether this database has ended tasks of its own.
fn has_local(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM history)", [], |row| row.get(0))
}

/// Returns a position before which at most `offset` tasks are listed, and their number, counted by
/// whole slots.
fn find_offset(db: &Connection, offset: u64) -> rusqlite::Result<(Option<ListPosition>, u64)> {
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

/// Returns `count` ended tasks of other hosts, after skipping `pass`.
fn remote_rows(
    db: &Connection,
    codes: &Codes,
    query: &StartQuery,
    count: usize,
    pass: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let (mut terms, mut values): (Vec<String>, Vec<Value>) = (vec![], vec![]);
    let filter = &query.filter;
    let mut term = |sql: &str, given: Vec<Value>| {
        terms.push(sql.to_owned());
        values.extend(given);
    };
    let number = |count: usize| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    if query.remote.is_some() || query.node.is_some() {
        let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
        term(
            "host IN (SELECT h.id FROM remote_hosts AS h JOIN remotes AS r ON r.id = h.remote
                      WHERE (? IS NULL OR r.name = ?) AND (? IS NULL OR h.node = ?))",
            vec![text(&query.remote), text(&query.remote), text(&query.node), text(&query.node)],
        );
    }
    if let Some(kind) = &query.kind {
        let Some(code) = codes.known(db, kind)? else { return Ok(vec![]) };
        term("type = ?", vec![code.into()]);
    }
    if let Some(name) = &filter.name {
        let code = codes.known(db, name)?.unwrap_or(0);
        term(
            "iif(typeof(more) = 'text' AND more ->> 'name' IS NOT NULL, more ->> 'name' = ?, type = ?)",
            vec![name.clone().into(), code.into()],
        );
    }
    if let Some(user) = &filter.user {
        // A login without a realm is one of the host's own users.
        let whole = if user.contains('@') { user.clone() } else { format!("{user}@pam") };
        // A user includes its tokens, `user!token`. '"' follows '!' in the order of characters.
        term(
            "user IN (SELECT id FROM remote_words WHERE word = ? OR (word > ? AND word < ?))",
            vec![whole.clone().into(), format!("{whole}!").into(), format!("{whole}\"").into()],
        );
    }
    if !filter.results.is_empty() {
        // As a separate term, so that SQLite uses the index of failed tasks.
        if !filter.results.contains(&Class::Ok) {
            term("status IS NOT NULL", vec![]);
        }
        let of = |class: &Class| match class {
            Class::Ok => "status IS NULL",
            Class::Warnings => "status & 3 = 1 AND typeof(status) = 'integer'",
            Class::Error => "(status & 3 = 2 OR typeof(status) = 'text')",
            Class::Unknown => "status & 3 = 3 AND typeof(status) = 'integer'",
        };
        let any = filter.results.iter().map(|class| format!("({})", of(class))).collect::<Vec<_>>().join(" OR ");
        term(&format!("({any})"), vec![]);
    }
    let clamp = |start: i64| start.clamp(0, LAST_START) << ORDINAL;
    if let Some(since) = filter.since {
        term("key >= ?", vec![clamp(since).into()]);
    }
    if let Some(until) = filter.until {
        term("key <= ?", vec![if until < 0 { Value::from(-1) } else { (clamp(until) | ORDINALS).into() }]);
    }
    if let Some(after) = query.after {
        let key = key_of(after);
        match (query.reverse, after.remote) {
            (false, _) => term("key < ?", vec![key.into()]),
            (true, true) => term("key > ?", vec![key.into()]),
            // With the oldest first, remote tasks of the same second come after a local one.
            (true, false) => term("key >= ?", vec![key.into()]),
        }
    }
    values.extend([number(count), number(pass)]);
    let filters = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
    let order = if query.reverse { "ASC" } else { "DESC" };
    let sql = format!("SELECT {COLUMNS} FROM remote_tasks{filters} ORDER BY key {order} LIMIT ? OFFSET ?");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = vec![];
    while let Some(row) = rows.next()? {
        if let Some(task) = remote_task(db, codes, row)? {
            found.push(Listed::Remote(task));
        }
    }
    Ok(found)
}

/// Returns the first ended tasks of this database by start time.
///
/// Rows are stored in the order of their ends. A task shorter than ten minutes started within ten
/// minutes of its end, so these are read by their ends until no later row can have started in
/// between; longer ones have an index.
fn local_rows(db: &Connection, query: &StartQuery, count: usize) -> rusqlite::Result<Vec<Listed>> {
    let filter = &query.filter;
    // Local tasks have neither type nor node as a column, only in the UPID.
    if query.node.is_some() || query.kind.is_some() {
        return Ok(vec![]);
    }
    const START: &str = "coalesce(starttime, endtime)";
    let (mut terms, mut values): (Vec<String>, Vec<Value>) = (vec![], vec![]);
    let mut term = |sql: &str, value: Option<Value>| {
        if let Some(value) = value {
            terms.push(sql.to_owned());
            values.push(value);
        }
    };
    term("taskname = ?", filter.name.clone().map(Value::from));
    term("user = ?", filter.user.as_deref().map(|user| user.strip_suffix("@pam").unwrap_or(user).to_owned().into()));
    term(&format!("{START} >= ?"), filter.since.map(Value::from));
    term(&format!("{START} <= ?"), filter.until.map(Value::from));
    let (sign, order) = if query.reverse { (">=", "ASC") } else { ("<=", "DESC") };
    term(&format!("{START} {sign} ?"), query.after.map(|after| after.start.into()));
    if !filter.results.is_empty() {
        let words: Vec<String> = filter.results.iter().map(|class| format!("'{}'", class.as_str())).collect();
        terms.push(format!("result IN ({})", words.join(", ")));
    }
    let is_next = |row: &HistoryRow| {
        let place = local_place(row);
        query.after.is_none_or(|after| if query.reverse { place > after } else { place < after })
    };
    let both = |extra: &str, bound: &str| {
        let all: Vec<&str> = terms.iter().map(String::as_str).chain([extra, bound]).filter(|t| !t.is_empty()).collect();
        if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
    };
    let mut found: Vec<HistoryRow> = vec![];
    // Short tasks, by their ends.
    let near = format!("endtime - {START} < {SLOT}");
    let (first, last) = match (query.after, query.reverse) {
        (Some(after), false) => (filter.since, Some(filter.until.map_or(after.start, |until| until.min(after.start)))),
        (Some(after), true) => (Some(filter.since.map_or(after.start, |since| since.max(after.start))), filter.until),
        (None, _) => (filter.since, filter.until),
    };
    let first = first.map(|start| format!("endtime >= {start}"));
    let last = last.map(|start| format!("endtime < {}", start.saturating_add(SLOT)));
    let bound = first.into_iter().chain(last).collect::<Vec<_>>().join(" AND ");
    {
        let sql = format!("{SELECT_HISTORY}{} ORDER BY endtime {order}, id {order}", both(&near, &bound));
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values.iter()))?;
        let (mut sure, mut settled) = (0, i64::MIN);
        while let Some(row) = rows.next()? {
            let row = history_row(row)?;
            // Rows from here on cannot come before a task with this start.
            let limit = if query.reverse { row.endtime.saturating_sub(SLOT) } else { row.endtime };
            if found.len() >= count && settled != limit {
                settled = limit;
                let stands = |row: &&HistoryRow| {
                    let start = local_place(row).start;
                    if query.reverse { start <= limit } else { start > limit }
                };
                sure = found.iter().filter(stands).count();
            }
            if sure >= count {
                break;
            }
            if is_next(&row) {
                found.push(row);
            }
        }
    }
    {
        let long = format!("endtime - {START} >= {SLOT}");
        let sql = format!("{SELECT_HISTORY}{} ORDER BY {START} {order}, id {order} LIMIT ?", both(&long, ""));
        let mut statement = db.prepare(&sql)?;
        // Rows of the cursor's own second may be skipped.
        let spare = match query.after {
            Some(after) => {
                let sql = format!("SELECT count(*) FROM history WHERE endtime - {START} >= {SLOT} AND {START} = ?1");
                db.query_row(&sql, [after.start], |row| row.get::<_, i64>(0))?
            }
            None => 0,
        };
        values.push(i64::try_from(count).unwrap_or(i64::MAX).saturating_add(spare).into());
        let rows = statement.query_map(params_from_iter(values.iter()), history_row)?;
        for row in rows {
            found.extend(Some(row?).filter(|row| is_next(row)));
        }
    }
    found.sort_by_key(local_place);
    if !query.reverse {
        found.reverse();
    }
    found.truncate(count);
    Ok(found.into_iter().map(|row| Listed::Local(Box::new(row))).collect())
}

/// Returns the outcome from an end in the export of a taskwatcher host.
pub fn outcome_of_export(text: &str, why: Option<&str>) -> Outcome {
    match outcome_of(text) {
        Outcome::Unknown(_) => Outcome::Unknown(why.unwrap_or_default().to_owned()),
        other => other,
    }
}
