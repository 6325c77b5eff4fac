//! Ends: moving a task from `tasks` into `history`.

use rusqlite::{ErrorCode, Transaction, params_from_iter, types::Value};

use super::{claim::next_id, export::amend, rows::of_task, stamp};
use crate::model::task::End;

/// Moves a task: inserts the row of history and deletes that of tasks. Returns false if the row is
/// not as expected.
pub(super) fn move_to_history(
    tx: &Transaction<'_>,
    id: i64,
    upid: Option<&str>,
    end: &End,
    feedback: Option<&str>,
) -> rusqlite::Result<bool> {
    let moved = match copy_to_history(tx, id, id, upid, end, feedback) {
        // The id is taken by another task's row, because 1.7 reused ids: use an id that no task
        // will get.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            let free = next_id(tx)?;
            tx.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'tasks'", [free])?;
            copy_to_history(tx, free, id, upid, end, feedback)?
        }
        other => other?,
    };
    if moved == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM tasks WHERE id = ?1", [id])?;
    if feedback.is_some() {
        tx.execute("DELETE FROM feedbacks WHERE id = ?1", [id])?;
    }
    Ok(true)
}

/// [`super::Store::finish`], inside a transaction.
pub(super) fn finish_in(tx: &Transaction<'_>, id: i64, upid: &str, end: &End) -> rusqlite::Result<bool> {
    if move_to_history(tx, id, Some(upid), end, end.feedback.as_deref())? {
        return Ok(true);
    }
    let which = of_task(tx)?;
    let sql = format!(
        "UPDATE history SET outcome = ?3, result = ?4, termsignal = ?5, termerror = ?6, endtime = ?7,
                duration = ?8, exitcode = ?9, warnings = ?10, cpu_user = ?11, cpu_sys = ?12, maxrss = ?13,
                ended_by = ?14, feedback = coalesce(?15, feedback), supervised = {}
         WHERE {which} AND upid = ?2 AND (result = 'unknown' OR (result = ?4 AND endtime = ?7))",
        supervised_sql("?16")
    );
    let values = end_values(id, Some(upid), end, end.feedback.as_deref());
    let values = values.into_iter().chain([expected_value(end)]);
    let replaced = tx.execute(&sql, params_from_iter(values))?;
    if replaced > 0 {
        amend(tx, which, id, upid)?;
    }
    Ok(replaced > 0)
}

pub(super) fn copy_to_history(
    tx: &Transaction<'_>,
    row_id: i64,
    id: i64,
    upid: Option<&str>,
    end: &End,
    feedback: Option<&str>,
) -> rusqlite::Result<usize> {
    let own = [Value::from(row_id), Value::from(end.pid), expected_value(end)];
    let sql = format!(
        "INSERT INTO history (id, taskid, taskname, info1, info2, info3, starttime, upid, handle, pid, reservetime,
                              argv, cwd, user, host, log, options, outcome, result, termsignal, termerror, endtime,
                              duration, exitcode, warnings, cpu_user, cpu_sys, maxrss, ended_by, feedback, supervised)
         SELECT ?16, id, name, info1, info2, info3, starttime, upid, handle, coalesce(pid, ?17), reservetime, argv,
                cwd, user, host, log, options, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
                {}
         FROM tasks WHERE id = ?1 AND upid IS ?2",
        supervised_sql("?18")
    );
    tx.execute(&sql, params_from_iter(end_values(id, upid, end, feedback).into_iter().chain(own)))
}

/// Returns the SQL for `supervised` after an end: extended by whether the end was expected, if the
/// task is a run of a supervised process and that is known.
pub(super) fn supervised_sql(expected: &str) -> String {
    format!(
        "iif(supervised IS NULL OR {expected} IS NULL, supervised, json_set(supervised, '$.expected', json({expected})))"
    )
}

/// Returns the parameter of [`supervised_sql`].
pub(super) fn expected_value(end: &End) -> Value {
    Value::from(end.expected.map(|expected| expected.to_string()))
}

/// Returns the columns that an end sets in history, as the parameters `?1` to `?15` of the
/// statements that write them.
pub(super) fn end_values(id: i64, upid: Option<&str>, end: &End, feedback: Option<&str>) -> [Value; 15] {
    let text = |text: Option<&str>| Value::from(text.map(str::to_owned));
    fn printed(column: &Option<impl ToString>) -> Value {
        Value::from(column.as_ref().map(ToString::to_string))
    }
    [
        id.into(),
        text(upid),
        text(Some(&end.outcome.text())),
        text(Some(end.result.as_str())),
        printed(&end.termsignal),
        text(end.termerror.as_deref()),
        end.endtime.into(),
        end.duration.into(),
        end.exitcode.into(),
        stamp(end.warnings).into(),
        end.cpu_user.into(),
        end.cpu_sys.into(),
        end.maxrss.into(),
        printed(&end.ended_by),
        text(feedback),
    ]
}
