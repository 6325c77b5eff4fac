//! Rows as people and programs read them: tables and JSON. Returns strings; the only user of comfy-table.
//!
//! Nothing that came from a task reaches a terminal as it is: control characters, and marks that turn the direction
//! of writing, are shown escaped.

use chrono::{DateTime, Local, TimeZone};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde_json::{Value, json};

use super::truth::Live;
use crate::model::{
    query::Page,
    task::{HistoryRow, Status, Timestamp, span},
    upid::Upid,
};

/// Characters of a text in one cell of a table; `show` prints the whole.
const CELL: usize = 48;

/// A text that is safe on a terminal.
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            '\\' => safe.push('\\'),
            c if c.is_control() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            // Marks and overrides of direction, line and paragraph separators, and what takes no place.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' => {
                safe.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// The same, cut to the width of a cell.
fn cell(text: &str) -> String {
    // Cut before cleaning, which may only make it longer: a name may have a megabyte.
    let mut short: String = clean(&text.chars().take(CELL).collect::<String>()).chars().take(CELL).collect();
    if text.chars().nth(CELL).is_some() || short.chars().count() == CELL {
        short = short.chars().take(CELL - 1).collect();
        short.push('…');
    }
    short
}

/// Unix seconds as local time.
pub fn local_time(secs: i64) -> String {
    let at: Option<DateTime<Local>> = Local.timestamp_opt(secs, 0).single();
    at.map_or_else(|| format!("@{secs}"), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Seconds in words.
fn seconds(secs: f64) -> String {
    span(std::time::Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default())
}

/// A bar of ten places and the percentage.
fn bar(percent: f64) -> String {
    let full = (percent / 10.0).round() as usize;
    format!("{}{} {percent:>3.0}%", "█".repeat(full.min(10)), "░".repeat(10 - full.min(10)))
}

/// A table of the columns that say something in at least one row; the first always stay.
struct Columns {
    names: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    fn print(self, width: Option<u16>, keep: usize) -> String {
        let used: Vec<bool> = (0..self.names.len())
            .map(|index| index < keep || self.rows.iter().any(|row| !row[index].is_empty()))
            .collect();
        let pick = |row: Vec<String>| row.into_iter().zip(&used).filter(|(_, used)| **used).map(|(text, _)| text);
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(pick(self.names.iter().map(|(name, _)| (*name).to_owned()).collect()));
        let numbers: Vec<bool> =
            self.names.iter().zip(&used).filter(|(_, used)| **used).map(|((_, number), _)| *number).collect();
        for row in self.rows {
            table.add_row(pick(row));
        }
        for (column, number) in table.column_iter_mut().zip(numbers) {
            column.set_padding((0, 2));
            if number {
                column.set_cell_alignment(CellAlignment::Right);
                // A number that is broken over two lines is another number.
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(6)));
            }
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// The table of tasks that have not ended.
pub fn task_table(live: &[(Live, Option<f64>)], now: Timestamp, width: Option<u16>) -> String {
    let names = vec![
        ("TASKID", true),
        ("NAME", false),
        ("STATUS", false),
        ("PID", true),
        ("START", false),
        ("DURATION", true),
        ("FEEDBACK", false),
        ("TIMER", true),
        ("TIMEOUT", true),
        ("PROGRESS", false),
        ("INFO1", false),
        ("INFO2", false),
        ("INFO3", false),
    ];
    let rows = live.iter().map(|(live, progress)| {
        let task = &live.task;
        let reserved = live.status == Status::Reserved;
        let text = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
        vec![
            task.id.to_string(),
            cell(&task.name),
            live.status.to_string(),
            task.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            task.starttime.map(local_time).unwrap_or_default(),
            task.starttime.map(|start| seconds(now.secs().saturating_sub(start) as f64)).unwrap_or_default(),
            if reserved { String::new() } else { (if task.feedback { "yes" } else { "no" }).to_owned() },
            timer(live, now).map(|secs| seconds(secs as f64)).unwrap_or_default(),
            task.timeout.filter(|_| task.feedback).map(seconds).unwrap_or_default(),
            progress.map(bar).unwrap_or_default(),
            text(&task.info[0]),
            text(&task.info[1]),
            text(&task.info[2]),
        ]
    });
    Columns { rows: rows.collect(), names }.print(width, 7)
}

/// Seconds since the last heartbeat of a task that gives feedback.
fn timer(live: &Live, now: Timestamp) -> Option<u64> {
    (live.task.feedback && live.status != Status::Reserved).then(|| live.beat.age(now).as_secs())
}

/// One task that has not ended, as JSON; keys are the column names, times unix seconds.
pub fn task_json(live: &Live, progress: Option<f64>, now: Timestamp) -> Value {
    let task = &live.task;
    let parsed = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "taskid": task.id,
        "name": task.name,
        "info1": task.info[0],
        "info2": task.info[1],
        "info3": task.info[2],
        "pid": task.pid,
        "status": live.status.as_str(),
        "feedback": i32::from(task.feedback),
        "reservetime": task.reservetime,
        "expires": task.expires,
        "starttime": task.starttime,
        "duration": task.starttime.map(|start| now.secs().saturating_sub(start).max(0)),
        "lastupdate": task.starttime.map(|_| live.beat.secs()),
        "timer": timer(live, now),
        "timeout": task.timeout,
        "progress": progress,
        "max_runtime": task.max_runtime,
        "handle": task.handle,
        "upid": task.upid,
        "launcher_pid": task.launcher.map(|launcher| launcher.pid),
        "host": task.host,
        "user": task.user,
        "argv": parsed(&task.argv),
        "cwd": task.cwd,
        "log": task.log,
    })
}

/// The table of a page of history.
pub fn history_table(page: &Page<HistoryRow>, width: Option<u16>) -> String {
    let names = vec![
        ("TASKID", true),
        ("NAME", false),
        ("OUTCOME", false),
        ("START", false),
        ("END", false),
        ("DURATION", true),
        ("USER", false),
        ("INFO1", false),
        ("INFO2", false),
        ("INFO3", false),
    ];
    let text = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
    let rows = page.rows.iter().map(|row| {
        vec![
            row.taskid.to_string(),
            text(&row.taskname),
            outcome(row),
            row.starttime.map(local_time).unwrap_or_default(),
            local_time(row.endtime),
            row.duration.map(seconds).unwrap_or_default(),
            text(&row.user),
            text(&row.info1),
            text(&row.info2),
            text(&row.info3),
        ]
    });
    Columns { rows: rows.collect(), names }.print(width, 6)
}

/// The outcome with the reason of an unknown end.
fn outcome(row: &HistoryRow) -> String {
    match (&row.termerror, row.outcome.as_str()) {
        (Some(why), "unknown") => cell(&format!("unknown: {why}")),
        (_, outcome) => cell(outcome),
    }
}

/// One ended task as JSON, as `show` gives it: with the status that a live one would have.
pub fn ended_json(row: &HistoryRow) -> Value {
    let mut value = json!(row);
    if let Some(object) = value.as_object_mut() {
        object.insert("status".into(), "stopped".into());
    }
    value
}

/// The status object of the Proxmox API for one task; `row` when it has ended.
pub fn proxmox_status(upid: Option<&str>, taskid: i64, row: Option<&HistoryRow>) -> Value {
    let mut status = match upid.and_then(|text| text.parse::<Upid>().ok()) {
        Some(upid) => upid.to_json(),
        None => json!({ "id": taskid.to_string() }),
    };
    if let Some(object) = status.as_object_mut() {
        object.remove("comment");
        object.insert("status".into(), if row.is_some() { "stopped" } else { "running" }.into());
        if let Some(row) = row {
            let words = row.outcome.strip_prefix("ERROR: ").unwrap_or(&row.outcome);
            object.insert("exitstatus".into(), words.into());
        }
    }
    status
}

/// Everything about one task, a line for each field that says something.
pub fn details(fields: &Value) -> String {
    let Some(object) = fields.as_object() else { return String::new() };
    let shown = object.iter().filter(|(_, value)| !value.is_null());
    let width = shown.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let text = match (name.as_str(), value) {
            ("reservetime" | "expires" | "starttime" | "endtime" | "lastupdate", Value::Number(n)) => {
                n.as_i64().map_or_else(|| n.to_string(), |secs| format!("{} ({secs})", local_time(secs)))
            }
            ("duration" | "timer" | "timeout" | "max_runtime" | "cpu_user" | "cpu_sys", Value::Number(n)) => {
                n.as_f64().map_or_else(|| n.to_string(), seconds)
            }
            ("progress", Value::Number(n)) => n.as_f64().map(bar).unwrap_or_default(),
            ("maxrss", Value::Number(n)) => n.as_i64().map(bytes).unwrap_or_default(),
            ("argv", Value::Array(words)) => words.iter().map(word).collect::<Vec<_>>().join(" "),
            (_, Value::String(text)) => clean(text),
            (_, other) => clean(&other.to_string()),
        };
        format!("{name:<width$}  {text}")
    };
    shown.map(line).collect::<Vec<_>>().join("\n")
}

/// One argument, quoted as a shell would want it where it needs it.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => clean(&shell_words::quote(text)),
        other => other.to_string(),
    }
}

fn bytes(n: i64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_task_wrote_reaches_a_terminal_raw() {
        assert_eq!(clean("a\x1b[31mb\nc\x07\u{9b}d\u{202e}e\u{7f}é"), "a\\x1b[31mb\\nc\\x07\\x9bd\\u{202e}e\\x7fé");
        assert_eq!(cell(&"\x1b".repeat(1_000_000)).chars().count(), CELL);
        assert_eq!(cell("short"), "short");
    }

    #[test]
    fn bars_are_ten_wide() {
        for percent in [0.0, 4.0, 5.0, 50.0, 99.9, 100.0] {
            assert_eq!(bar(percent).chars().take_while(|c| *c != ' ').count(), 10, "{percent}");
        }
        assert_eq!(bar(40.0), "████░░░░░░  40%");
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let columns = Columns {
            names: vec![("A", true), ("B", false), ("C", false)],
            rows: vec![vec!["1".into(), String::new(), "x".into()], vec!["10".into(), String::new(), String::new()]],
        };
        assert_eq!(columns.print(None, 1), " A  C\n 1  x\n10");
    }
}
