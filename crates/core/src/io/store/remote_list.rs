//! Reads tasks of other hosts: live ones, ended ones, and pages of lists of several hosts.

use std::sync::Arc;

use rusqlite::{Connection, params, params_from_iter, types::Value};

use super::{
    Result, Store,
    remote_codes::{ByCode, COLUMNS, Codes, remote_task},
    remote_counts::find_offset,
    rows::{SELECT_HISTORY, history_row},
};
use crate::model::{
    query::{ListPosition, Page, StartQuery},
    remote::{
        RemoteLive, RemoteRun, RemoteTask,
        codec::{SLOT, first_key, key_of, last_key},
    },
    task::{Class, HistoryRow, Stored},
    upid::Upid,
};

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

impl Store {
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
            let mut statement =
                self.db.prepare(&format!("SELECT {COLUMNS} FROM remote_tasks WHERE key BETWEEN ?1 AND ?2"))?;
            let mut rows = statement.query([first_key(start), last_key(start)])?;
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

/// Whether this database has ended tasks of its own.
fn has_local(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM history)", [], |row| row.get(0))
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
    if let Some(since) = filter.since {
        term("key >= ?", vec![first_key(since).into()]);
    }
    if let Some(until) = filter.until {
        term("key <= ?", vec![if until < 0 { Value::from(-1) } else { last_key(until).into() }]);
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
