//! Databases of taskwatcher 1.7 (PyPI), and the migration of their rows.

use rusqlite::{Transaction, params, types::Value};

use crate::model::task::{Outcome, Signal};

/// Whether these are the tables of taskwatcher 1.7.
pub(super) fn is_of_1_7(tables: &[(String, Vec<String>)]) -> bool {
    let known: [(&str, &[&str]); 3] = [
        ("feedbacks", &["id", "feedback", "lastupdate"]),
        (
            "history",
            &[
                "id",
                "taskid",
                "taskname",
                "info1",
                "info2",
                "info3",
                "termsignal",
                "termerror",
                "starttime",
                "endtime",
                "duration",
                "feedback",
            ],
        ),
        (
            "tasks",
            &[
                "id",
                "name",
                "info1",
                "info2",
                "info3",
                "pid",
                "status",
                "feedback",
                "reservetime",
                "starttime",
                "duration",
                "lastupdate",
                "timeout",
            ],
        ),
    ];
    tables.len() == known.len()
        && tables.iter().zip(known).all(|((name, columns), (known, wanted))| name == known && columns == wanted)
}

/// Migrates the rows of 1.7. Its reservations were valid for a minute. It stored the raw wait
/// status in `termsignal`, and placeholders as error and feedback.
pub(super) fn from_1_7(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "INSERT INTO tasks (id, name, info1, info2, info3, pid, status, feedback, reservetime, starttime, duration,
                            lastupdate, timeout, handle, expires)
         SELECT id, coalesce(name, 'task'), info1, info2, info3, pid, coalesce(status, 'RUNNING'),
                coalesce(feedback, 0) <> 0, reservetime, starttime, duration, lastupdate, timeout,
                'h' || substr(replace(replace(lower(hex(randomblob(4))), '0', 'x'), '1', 'y'), 1, 7),
                CASE status WHEN 'RESERVED' THEN coalesce(reservetime, 0) + 61 END
         FROM old_tasks;
         INSERT INTO feedbacks (id, feedback, lastupdate)
         SELECT id, CASE WHEN json_valid(feedback) THEN feedback END, lastupdate FROM old_feedbacks;
         INSERT INTO history (id, taskid, taskname, info1, info2, info3, starttime, endtime, duration, feedback,
                              outcome, result)
         SELECT id, coalesce(taskid, id), taskname, info1, info2, info3, starttime, coalesce(endtime, starttime, 0),
                duration, CASE WHEN json_valid(feedback) THEN feedback END, 'unknown', 'unknown'
         FROM old_history;",
    )?;
    let mut read = tx.prepare("SELECT id, termsignal, termerror FROM old_history")?;
    let mut write = tx.prepare(
        "UPDATE history SET outcome = ?2, result = ?3, termsignal = ?4, termerror = ?5, exitcode = ?6 WHERE id = ?1",
    )?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let text = |index| row.get::<_, Value>(index).map(value_text);
        let (id, status, error) = (row.get::<_, i64>(0)?, text(1)?, text(2)?);
        let error = error.filter(|error| !error.is_empty() && error != "TBD");
        let (outcome, signal, code) = outcome_of_1_7(status.as_deref(), error);
        let class = outcome.class().as_str();
        write.execute(params![id, outcome.to_string(), class, signal, outcome.reason(), code])?;
    }
    drop(rows);
    drop((read, write));
    tx.execute_batch(
        // Only rows of 1.7 have an id that differs from the task's; other databases have no such
        // index.
        "CREATE INDEX history_legacy ON history (taskid) WHERE taskid <> id;
         DROP TABLE old_tasks; DROP TABLE old_feedbacks; DROP TABLE old_history;
         UPDATE sqlite_sequence SET seq = (
             SELECT max(coalesce((SELECT max(id) FROM tasks), 0),
                        coalesce((SELECT max(max(id), max(taskid)) FROM history), 0)))
         WHERE name = 'tasks';",
    )
}

pub(super) fn value_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Integer(n) => Some(n.to_string()),
        Value::Real(x) => Some(x.to_string()),
        Value::Text(text) => Some(text),
        Value::Blob(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

pub(super) fn outcome_of_1_7(status: Option<&str>, error: Option<String>) -> (Outcome, Option<String>, Option<i32>) {
    let Some(status) = status.and_then(|text| text.parse::<i32>().ok()) else {
        let why = error.or_else(|| status.map(|text| format!("ended with {text}")));
        return (Outcome::Unknown(why.unwrap_or_else(|| "not recorded by taskwatcher 1.7".into())), None, None);
    };
    match (status & 0x7f, status >> 8) {
        (0, 0) => (error.map_or(Outcome::Ok, Outcome::Error), None, Some(0)),
        (0, code) => (Outcome::Error(error.unwrap_or_else(|| format!("exit code {code}"))), None, Some(code)),
        (signal, _) => {
            let name = Signal(signal).to_string();
            let why = error.unwrap_or_else(|| format!("killed by {name}"));
            (Outcome::Error(why), Some(name), Some(128 + signal))
        }
    }
}
