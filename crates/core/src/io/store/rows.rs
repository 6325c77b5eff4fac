//! Conversion of database rows to types, and of queries to SQL.

use std::{
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, Row,
    types::{FromSql, FromSqlResult, Value, ValueRef},
};

use super::is_feedback_file;
use crate::model::{
    query::Query,
    task::{Class, HistoryRow, OfText, Process, Signs, Status, Stored, Task},
};

/// A typed column is text in the database.
impl<T: OfText> FromSql for Stored<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Stored<T>> {
        value.as_str().map(Stored::read)
    }
}

pub(super) const SELECT_TASKS: &str =
    "SELECT id, slot, name, info1, info2, info3, pid, status, feedback, reservetime, starttime,
    duration, lastupdate, timeout, handle, expires, upid, launcher_pid, launcher_pstart, pid_pstart,
    boot_id, host, user, argv, cwd, feedpath, keep_feedback, max_runtime, stop_signal, kill_after, log, options,
    supervised, (SELECT feedback FROM feedbacks WHERE feedbacks.id = tasks.id), held, namespace, launcher_inode,
    pid_inode, pid_session FROM tasks";

pub(super) fn task_row(row: &Row<'_>) -> rusqlite::Result<Task> {
    let launcher_pid: Option<i32> = row.get(17)?;
    let launcher_pstart: Option<i64> = row.get(18)?;
    let pid_pstart: Option<i64> = row.get(19)?;
    let id = row.get(0)?;
    Ok(Task {
        id,
        slot: row.get(1)?,
        name: lossy(row, 2)?.unwrap_or_default(),
        info: [lossy(row, 3)?, lossy(row, 4)?, lossy(row, 5)?],
        pid: row.get(6)?,
        status: lossy(row, 7)?.map(|word| Status::from_word(&word)),
        feedback: row.get(8)?,
        reservetime: row.get(9)?,
        starttime: row.get(10)?,
        duration: row.get(11)?,
        lastupdate: row.get(12)?,
        timeout: row.get(13)?,
        handle: row.get(14)?,
        expires: row.get(15)?,
        upid: row.get(16)?,
        launcher: launcher_pid.zip(launcher_pstart).map(|(pid, pstart)| Process { pid, pstart: pstart.unsigned_abs() }),
        pid_pstart: pid_pstart.map(i64::unsigned_abs),
        boot_id: row.get(20)?,
        host: row.get(21)?,
        user: row.get(22)?,
        argv: row.get(23)?,
        cwd: lossy(row, 24)?,
        // Rows that `launch` did not write may name any file.
        feedpath: path_of(row.get_ref(25)?).filter(|path| is_feedback_file(path, id)),
        keep_feedback: row.get(26)?,
        max_runtime: row.get(27)?,
        stop_signal: row.get(28)?,
        kill_after: row.get(29)?,
        log: lossy(row, 30)?,
        options: row.get(31)?,
        supervised: lossy(row, 32)?,
        values: row.get(33)?,
        signs: Signs {
            held: row.get::<_, Option<bool>>(34)?.unwrap_or(false),
            namespace: row.get(35)?,
            launcher_inode: inode(row, 36)?,
            pid_inode: inode(row, 37)?,
            pid_session: row.get(38)?,
        },
    })
}

fn inode(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(i64::unsigned_abs))
}

/// Returns the SQL condition for the ended tasks with number `?1`. In a database created by
/// taskwatcher 1.7, several rows may have the same task number; such rows have ids of their own,
/// and an index.
pub(super) fn of_task(db: &Connection) -> rusqlite::Result<&'static str> {
    let legacy = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'history_legacy')";
    Ok(match db.query_row(legacy, [], |row| row.get(0))? {
        true => "((id = ?1 AND taskid = id) OR (taskid = ?1 AND taskid <> id))",
        false => "id = ?1",
    })
}

pub(super) const SELECT_HISTORY: &str =
    "SELECT id, taskid, taskname, info1, info2, info3, outcome, termsignal, termerror,
    exitcode, starttime, endtime, duration, feedback, warnings, upid, handle, pid, argv, cwd, user, host, log,
    cpu_user, cpu_sys, maxrss, ended_by, reservetime, options, amended,
    supervised FROM history";

pub(super) fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let json = |index| Ok::<_, rusqlite::Error>(lossy(row, index)?.and_then(|text| serde_json::from_str(&text).ok()));
    Ok(HistoryRow {
        id: row.get(0)?,
        taskid: row.get(1)?,
        taskname: lossy(row, 2)?,
        info1: lossy(row, 3)?,
        info2: lossy(row, 4)?,
        info3: lossy(row, 5)?,
        outcome: row.get(6)?,
        termsignal: row.get(7)?,
        termerror: row.get(8)?,
        exitcode: row.get(9)?,
        starttime: row.get(10)?,
        endtime: row.get(11)?,
        duration: row.get(12)?,
        feedback: json(13)?,
        warnings: row.get(14)?,
        upid: row.get(15)?,
        handle: row.get(16)?,
        pid: row.get(17)?,
        argv: json(18)?,
        cwd: lossy(row, 19)?,
        user: row.get(20)?,
        host: row.get(21)?,
        log: lossy(row, 22)?,
        cpu_user: row.get(23)?,
        cpu_sys: row.get(24)?,
        maxrss: row.get(25)?,
        ended_by: row.get(26)?,
        reservetime: row.get(27)?,
        options: json(28)?,
        // Column 29, `amended`, is not part of the result.
        supervised: json(30)?,
    })
}

/// Returns a query as SQL: in key order from the cursor on, one row more than the limit.
pub(super) fn page_sql(query: &Query) -> (String, Vec<Value>) {
    let mut terms: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let filter = &query.filter;
    let mut term = |sql: &str, given: Vec<Value>| {
        terms.push(sql.to_owned());
        values.extend(given);
    };
    if let Some(name) = &filter.name {
        term("taskname = ?", vec![name.clone().into()]);
    }
    if !filter.results.is_empty() {
        // A separate condition, so that SQLite sees that the index of failed tasks is sufficient.
        if !filter.results.contains(&Class::Ok) {
            term("result <> 'ok'", vec![]);
        }
        let marks = vec!["?"; filter.results.len()].join(", ");
        let words = filter.results.iter().map(|class| class.as_str().to_owned().into()).collect();
        term(&format!("result IN ({marks})"), words);
    }
    if let Some(since) = filter.since {
        term("endtime >= ?", vec![since.into()]);
    }
    if let Some(until) = filter.until {
        term("endtime <= ?", vec![until.into()]);
    }
    if let Some(user) = &filter.user {
        term("user = ?", vec![user.clone().into()]);
    }
    let (sign, order) = if query.reverse { (">", "ASC") } else { ("<", "DESC") };
    if let Some(cursor) = query.after {
        term(&format!("(endtime, id) {sign} (?, ?)"), vec![cursor.endtime.into(), cursor.id.into()]);
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1);
    values.push(limit.into());
    values.push(i64::try_from(query.offset).unwrap_or(i64::MAX).into());
    let filters = if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) };
    (format!("{SELECT_HISTORY}{filters} ORDER BY endtime {order}, id {order} LIMIT ? OFFSET ?"), values)
}

/// Returns a column as text, with invalid UTF-8 replaced and numbers converted.
pub(super) fn lossy(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(match str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        }),
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(x) => Some(x.to_string()),
    })
}

/// Returns a path as a column value: text if valid UTF-8, otherwise a blob.
pub(super) fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::Text(text.to_owned()),
        None => Value::Blob(path.as_os_str().as_bytes().to_vec()),
    }
}

pub(super) fn path_of(value: ValueRef<'_>) -> Option<PathBuf> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(std::ffi::OsString::from_vec(bytes.to_vec()).into()),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
    }
}
