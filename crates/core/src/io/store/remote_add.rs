//! Adds the tasks that a remote returned (see schema_remotes.sql).
//!
//! # If the process dies here
//!
//! The tasks of one response are added in one transaction, together with its cursor: either all of
//! them are stored, or they are requested again. Adding the same tasks twice changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, Statement, params, types::Value};

use super::{
    Result, Store,
    remote_codes::{COLUMNS, Coded, Codes, coded, outcome, upid_of},
    remote_counts::store_counts,
    remotes::{LOST, NodeNews, Went, note_node},
    unread,
};
use crate::model::{
    remote::{
        Id, More, RemoteEnd, RemoteRun,
        codec::{PIDS, StatusCode, clamped, first_key, last_key, process_of, slot_of, ticks},
        is_plain, signed_user,
    },
    task::{Outcome, Stored},
    upid::Upid,
};

/// Outcome of a task whose node left its cluster before the end was known.
const LEFT_BEHIND: &str = "its node left the cluster";
/// Largest difference, in hundredths of a second, between the start of a task's process and the
/// start expected from its node's boot; beyond it the task ran after another boot. So a difference
/// takes at most three bytes.
const SAME_BOOT: i64 = 1 << 23;
/// Boots kept of one node; tasks of more boots are kept all the same, in more bytes.
const BOOTS: usize = 64;
/// Longest reason or id, in bytes, that is stored as a word.
const LONGEST_WORD: usize = 200;
/// Page cache of a connection that adds tasks, in KiB, used as needed. A thousand late tasks change
/// more than a thousand pages; with SQLite's default of 2,000 KiB many would be written, read and
/// written again before the commit, and read again for the next thousand.
const CHANGED: i64 = 32_000;

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

impl Store {
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
}

/// Adds a response within a transaction.
fn add_in(db: &Connection, codes: &Codes, remote: i64, batch: &Batch) -> rusqlite::Result<Added> {
    let there: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM remotes WHERE id = ?1)", [remote], |row| row.get(0))?;
    if !there {
        return Ok(Added::default());
    }
    // Tasks that the host forgot, and tasks whose node left: their ends will never be reported.
    let lost = match &batch.node {
        _ if batch.whole || batch.new_database => lost_in(db, remote, batch, LOST, None)?,
        Some(NodeNews { node, went: Went::Left }) => lost_in(db, remote, batch, LEFT_BEHIND, Some(node))?,
        Some(_) | None => vec![],
    };
    let ended: Vec<&RemoteEnd> = batch.ended.iter().chain(&lost).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let texts = batch.ended.iter().flat_map(|end| [Some(end.upid.raw_id()), end.outcome.reason()]);
    let frequent = texts.flatten().filter(|text| !seen.insert(text)).collect();
    let hosts = hosts_of(db, remote)?;
    let mut adder = Adder { db, codes, remote, hosts, frequent, counts: BTreeMap::new() };
    let mut added = adder.add_ended(&ended)?;
    adder.update_live(&ended, batch)?;
    store_counts(db, &adder.counts)?;
    added.unread = unread::note(db, remote, &batch.unread, batch.now)?;
    note_contact(db, remote, batch, &added)?;
    if let Some(news) = &batch.node {
        note_node(db, remote, batch.now, news)?;
    }
    Ok(added)
}

/// Returns the codes and boots of each node of a remote.
fn hosts_of(db: &Connection, remote: i64) -> rusqlite::Result<HashMap<String, Vec<(i64, i64)>>> {
    let mut hosts: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    let mut statement = db.prepare("SELECT node, id, boot FROM remote_hosts WHERE remote = ?1")?;
    let mut rows = statement.query([remote])?;
    while let Some(row) = rows.next()? {
        hosts.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(2)?));
    }
    Ok(hosts)
}

/// Records in the row of a remote that it responded.
fn note_contact(db: &Connection, remote: i64, batch: &Batch, added: &Added) -> rusqlite::Result<()> {
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
        if self.frequent.contains(text) {
            self.codes.code(self.db, text).map(Some)
        } else {
            self.codes.known(self.db, text)
        }
    }

    fn encode(&mut self, end: &RemoteEnd) -> rusqlite::Result<(i64, Coded)> {
        let upid = &end.upid;
        let start = clamped(upid.starttime);
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
            Outcome::Warnings(count) => StatusCode::Warnings(*count).number().into(),
            Outcome::Error(reason) => match self.word(reason)? {
                Some(code) => StatusCode::Error(code).number().into(),
                None => reason.clone().into(),
            },
            Outcome::Unknown(reason) => StatusCode::Unknown(self.codes.code(self.db, reason)?).number().into(),
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

    /// Adds ended tasks, or updates known ones.
    fn add_ended(&mut self, ended: &[&RemoteEnd]) -> rusqlite::Result<Added> {
        let mut tasks: Vec<(i64, &str, Coded)> = vec![];
        for end in ended {
            let (start, task) = self.encode(end)?;
            tasks.push((start, end.upid.as_str(), task));
        }
        // Lists show the last task of a second first: this puts those of one response in the order of
        // their UPIDs.
        tasks.sort_by(|(start, upid, _), (other, other_upid, _)| start.cmp(other).then_with(|| other_upid.cmp(upid)));
        let own_hosts: HashSet<i64> = self.hosts.values().flatten().map(|(code, _)| *code).collect();
        let db = self.db;
        let mut there =
            db.prepare("SELECT key, host, process FROM remote_tasks WHERE key BETWEEN ?1 AND ?2 ORDER BY key")?;
        let mut insert =
            db.prepare(&format!("INSERT INTO remote_tasks ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"))?;
        let mut added = Added::default();
        for second in tasks.chunk_by(|a, b| a.0 == b.0) {
            let some = self.add(second, &own_hosts, &mut there, &mut insert)?;
            added.new += some.new;
            added.changed += some.changed;
            added.refused += some.refused;
        }
        Ok(added)
    }

    /// Removes ended tasks from the live ones, and adds or updates those of the response.
    fn update_live(&mut self, ended: &[&RemoteEnd], batch: &Batch) -> rusqlite::Result<()> {
        let (db, remote) = (self.db, self.remote);
        // Few tasks are live; a query for each ended one would take longer.
        let mut active = db.prepare("SELECT upid FROM remote_active WHERE remote = ?1")?;
        let active = active.query_map([remote], |row| row.get(0))?.collect::<rusqlite::Result<HashSet<String>>>()?;
        let mut delete = db.prepare("DELETE FROM remote_active WHERE remote = ?1 AND upid = ?2")?;
        for end in ended.iter().filter(|end| active.contains(end.upid.as_str())) {
            delete.execute(params![remote, end.upid.as_str()])?;
        }
        // A task that is reported both as running and as ended has ended while its host responded.
        let over: HashSet<&str> =
            if batch.running.is_empty() { HashSet::new() } else { ended.iter().map(|end| end.upid.as_str()).collect() };
        let mut run = db.prepare(
            "INSERT INTO remote_active (remote, upid, start, seen, detail) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET seen = excluded.seen, detail = excluded.detail",
        )?;
        let mut whole = db.prepare(&format!("SELECT {COLUMNS} FROM remote_tasks WHERE key BETWEEN ?1 AND ?2"))?;
        let mut take_back = db.prepare("DELETE FROM remote_tasks WHERE key = ?1")?;
        for task in batch.running.iter().filter(|task| !over.contains(task.upid.as_str())) {
            match self.kept(&task.upid, &mut whole)? {
                // The list may be older than an end that was reported meanwhile.
                Kept::Ended if !active.contains(task.upid.as_str()) => continue,
                // The task was found again: remove it from the ended ones.
                Kept::Lost(key) => {
                    take_back.execute([key])?;
                    *self.counts.entry(slot_of(key)).or_default() -= 1;
                }
                Kept::Ended | Kept::Not => {}
            }
            run.execute(params![remote, task.upid.as_str(), task.start, batch.now, task.detail])?;
        }
        Ok(())
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
        let Some(first) = tasks.first().map(|(start, ..)| *start) else { return Ok(added) };
        let (first, last) = (first_key(first), last_key(first));
        let mut next = first;
        // Only a row with the pid of one of these tasks can be one of them: other UPIDs need not be
        // built.
        let mut pids: Vec<i64> = tasks.iter().map(|(_, _, task)| task.process & PIDS).collect();
        pids.sort_unstable();
        let mut known: HashMap<String, (i64, Coded)> = HashMap::new();
        let mut rows = there.query([first, last])?;
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
                None if next > last => added.refused += 1,
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
                    *self.counts.entry(slot_of(next)).or_default() += 1;
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
        let mut rows = whole.query([first_key(parsed.starttime), last_key(parsed.starttime)])?;
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
