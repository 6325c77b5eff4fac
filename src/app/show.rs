//! Formats rows as tables and as JSON. Returns strings.
//!
//! Text that came from a task is never written to a terminal unchanged: control characters, and marks that change the
//! direction of writing, are escaped.

use std::{borrow::Cow, collections::HashSet};

use chrono::{DateTime, Datelike, TimeZone};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use self::table::{Cells, Column, Kind, column, table, table_of};
use super::{
    reconcile::{Live, MANY},
    service::KillReport,
};
use crate::io::{
    store::{Node, Remote},
    sys::{self, Zone},
};
use crate::model::{
    query::Page,
    stats::Summary,
    task::{HistoryRow, Outcome, RemoteTaskRef, Status, Stored, TaskRef, Timestamp, size, span, supervised_text},
    upid::Upid,
};

mod rows;
mod table;

pub use self::rows::{RowsForm, RowsWriter};
/// [`clean`] as all faces use it.
pub use crate::model::ansi::clean;

/// Maximum number of characters of a text in one cell of a table. `show` prints the whole text.
const CELL: usize = 48;

/// Like [`clean`], but truncated to the width of a cell.
fn short_cell(text: &str) -> Cow<'_, str> {
    // Fast path: most texts are plain ASCII, and a list may have thousands.
    if text.len() < CELL && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Cow::Borrowed(text);
    }
    // Truncated before escaping, which only makes the text longer: a name may have a megabyte.
    let mut short: String = clean(&text.chars().take(CELL).collect::<String>()).chars().take(CELL).collect();
    if text.chars().nth(CELL).is_some() || short.chars().count() == CELL {
        short = short.chars().take(CELL - 1).collect();
        short.push('…');
    }
    Cow::Owned(short)
}

/// Returns a text as [`short_cell`] does, in a string.
fn cell(text: &str) -> String {
    short_cell(text).into_owned()
}

/// Converts an instant to the local time zone.
pub fn local(at: Timestamp) -> DateTime<Zone> {
    DateTime::from_timestamp_nanos(at.0).with_timezone(&Zone)
}

/// Formats Unix seconds as local time.
pub fn local_time(secs: i64) -> String {
    let at: Option<DateTime<Zone>> = Zone.timestamp_opt(secs, 0).single();
    at.map_or_else(|| format!("@{secs}"), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// Formats Unix seconds for a table. On a terminal, times of today have no date and times of this year no year.
fn short_time(secs: i64, now: Timestamp, width: Option<u16>) -> String {
    if width.is_none() {
        return local_time(secs);
    }
    let at = |secs| Zone.timestamp_opt(secs, 0).single();
    let (Some(then), Some(now)) = (at(secs), at(now.secs())) else { return local_time(secs) };
    let form = match then {
        _ if then.date_naive() == now.date_naive() => "%H:%M:%S",
        _ if then.year() == now.year() => "%m-%d %H:%M:%S",
        _ => "%Y-%m-%d %H:%M:%S",
    };
    then.format(form).to_string()
}

/// Instants of rows as cells, as [`short_time`] writes them: rows that follow each other often have the same.
struct Times {
    now: Timestamp,
    width: Option<u16>,
    last: Option<(i64, String)>,
}

impl Times {
    fn new(now: Timestamp, width: Option<u16>) -> Times {
        Times { now, width, last: None }
    }

    fn short(&mut self, secs: i64) -> &str {
        let (now, width) = (self.now, self.width);
        let last = self.last.take().filter(|(at, _)| *at == secs);
        &self.last.insert(last.unwrap_or_else(|| (secs, short_time(secs, now, width)))).1
    }
}

/// Formats a duration in seconds.
fn seconds(secs: f64) -> String {
    span(std::time::Duration::try_from_secs_f64(secs.max(0.0)).unwrap_or_default())
}

/// Returns a bar of ten characters and the percentage.
fn bar(percent: f64) -> String {
    let full = (percent / 10.0).round() as usize;
    format!("{}{} {percent:>3.0}%", "█".repeat(full.min(10)), "░".repeat(10 - full.min(10)))
}

/// Returns the table of tasks that have not ended.
pub fn task_table(
    live: &[Live],
    progress_of: impl Fn(&Live) -> Option<f64> + Sync,
    now: Timestamp,
    width: Option<u16>,
    colours: bool,
) -> String {
    const COLUMNS: [Column; 14] = [
        column("TASKID", Kind::Number, 9, true),
        column("NAME", Kind::Text, 9, true),
        column("STATUS", Kind::State, 9, true),
        column("PID", Kind::Number, 5, true),
        column("START", Kind::Word, 4, true),
        column("DURATION", Kind::Number, 8, true),
        column("FEEDBACK", Kind::Word, 3, true),
        column("TIMER", Kind::Number, 7, false),
        column("TIMEOUT", Kind::Number, 6, false),
        column("PROGRESS", Kind::Word, 8, false),
        column("NOTE", Kind::Text, 7, false),
        column("INFO1", Kind::Text, 2, false),
        column("INFO2", Kind::Text, 1, false),
        column("INFO3", Kind::Text, 0, false),
    ];
    let cells_of = |some: &[Live]| {
        let mut cells = Cells::new(COLUMNS.len(), some.len());
        let mut times = Times::new(now, width);
        for live in some {
            let task = &live.task;
            let reserved = live.status == Status::Reserved;
            cells.add_value(task.id);
            cells.add(&short_cell(&task.name));
            cells.add(status_of(live));
            cells.add_some(task.pid);
            cells.add_some(task.starttime.map(|start| times.short(start)));
            cells.add_some(task.starttime.map(|start| seconds(now.secs().saturating_sub(start) as f64)));
            cells.add(match (reserved, task.feedback) {
                (true, _) => "",
                (false, true) => "yes",
                (false, false) => "no",
            });
            cells.add_some(timer(live, now).map(|secs| seconds(secs as f64)));
            cells.add_some(task.timeout.filter(|_| gives_beats(live)).map(seconds));
            cells.add_some(progress_of(live).map(bar));
            cells.add_some(note(live).as_deref().map(short_cell));
            task.info.iter().for_each(|info| cells.add_some(info.as_deref().map(short_cell)));
        }
        vec![cells]
    };
    table_of(&COLUMNS, &sys::on_all_processors(live, MANY, cells_of), width, colours)
}

/// Whether a task is stopped by a signal, as far as its launcher knows.
pub(super) fn is_paused(live: &Live) -> bool {
    let runs = matches!(live.status, Status::Running | Status::Silent | Status::Stalled);
    runs && (live.stopped || live.story.as_ref().is_some_and(|story| story.paused))
}

/// Returns the displayed status of a task: its status, or `PAUSED`.
pub(super) fn status_of(live: &Live) -> &'static str {
    if is_paused(live) { "PAUSED" } else { live.status.as_str() }
}

/// Whether a task sends heartbeats: it gives feedback, or has sent one on its notify socket.
pub(super) fn gives_beats(live: &Live) -> bool {
    live.task.feedback || live.story.as_ref().is_some_and(|story| story.beat.is_some())
}

/// Returns the status text of a task, or a note that nothing watches it because its launcher is stopped.
pub(super) fn note(live: &Live) -> Option<Cow<'_, str>> {
    let story = live.story.as_ref();
    // A launcher that was stopped together with its command has reported that, and continues together with it.
    let is_alone = live.stopped && !story.is_some_and(|story| story.paused) && !live.task.is_worker();
    if let Some(launcher) = live.task.launcher.filter(|_| is_alone) {
        return Some(Cow::Owned(format!(
            "launcher stopped by a signal: no time limit is enforced and an end is not noticed; continue it with \
             kill -CONT {}",
            launcher.pid
        )));
    }
    story.map(|story| story.status.as_str()).filter(|status| !status.is_empty()).map(Cow::Borrowed)
}

/// Returns the seconds since the last heartbeat of a task that sends any.
fn timer(live: &Live, now: Timestamp) -> Option<u64> {
    (gives_beats(live) && live.status != Status::Reserved).then(|| live.beat.age(now).as_secs())
}

/// A live task in JSON: keys are the column names, times are Unix seconds.
#[derive(Serialize)]
pub struct LiveRow<'a> {
    taskid: i64,
    name: &'a str,
    /// The name under the key that `history` uses.
    taskname: &'a str,
    info1: &'a Option<String>,
    info2: &'a Option<String>,
    info3: &'a Option<String>,
    pid: Option<i32>,
    status: &'static str,
    feedback: i32,
    reservetime: Option<i64>,
    expires: Option<i64>,
    starttime: Option<i64>,
    duration: Option<i64>,
    lastupdate: Option<i64>,
    timer: Option<u64>,
    timeout: Option<f64>,
    progress: Option<f64>,
    note: Option<Cow<'a, str>>,
    ready: Option<bool>,
    max_runtime: Option<f64>,
    handle: &'a str,
    upid: &'a Option<Stored<Upid>>,
    launcher_pid: Option<i32>,
    host: &'a Option<String>,
    user: &'a Option<String>,
    argv: Option<Cow<'a, RawValue>>,
    cwd: &'a Option<String>,
    log: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervised: Option<Cow<'a, RawValue>>,
}

impl<'a> LiveRow<'a> {
    /// Returns the row of a task; ages are those at `now`.
    pub fn of(live: &'a Live, progress: Option<f64>, now: Timestamp) -> Self {
        let task = &live.task;
        let [info1, info2, info3] = &task.info;
        LiveRow {
            taskid: task.id,
            name: &task.name,
            taskname: &task.name,
            info1,
            info2,
            info3,
            pid: task.pid,
            status: live.status.as_str(),
            feedback: i32::from(task.feedback),
            reservetime: task.reservetime,
            expires: task.expires,
            starttime: task.starttime,
            duration: task.starttime.map(|start| now.secs().saturating_sub(start).max(0)),
            lastupdate: task.starttime.map(|_| live.beat.secs()),
            timer: timer(live, now),
            timeout: task.timeout,
            progress,
            note: note(live),
            ready: live.story.as_ref().map(|story| story.ready),
            max_runtime: task.max_runtime,
            handle: &task.handle,
            upid: &task.upid,
            launcher_pid: task.launcher.map(|launcher| launcher.pid),
            host: &task.host,
            user: &task.user,
            argv: stored_json(&task.argv),
            cwd: &task.cwd,
            log: &task.log,
            paused: is_paused(live).then_some(true),
            supervised: stored_json(&task.supervised),
        }
    }
}

/// Returns the JSON of a column, checked and as it is stored; on one line, which a row of JSON lines must be. `None` for a
/// column that contains no JSON.
fn stored_json(text: &Option<String>) -> Option<Cow<'_, RawValue>> {
    let text = text.as_deref()?;
    if text.contains(['\n', '\r']) {
        let value: Value = serde_json::from_str(text).ok()?;
        return serde_json::value::to_raw_value(&value).ok().map(Cow::Owned);
    }
    serde_json::from_str::<&RawValue>(text).ok().map(Cow::Borrowed)
}

/// Returns a [`LiveRow`] as a value, for what adds to it.
pub fn task_json(live: &Live, progress: Option<f64>, now: Timestamp) -> Value {
    serde_json::to_value(LiveRow::of(live, progress, now)).unwrap_or_default()
}

/// Returns the table of a page of history.
pub fn history_table(page: &Page<HistoryRow>, now: Timestamp, width: Option<u16>, colours: bool) -> String {
    const COLUMNS: [Column; 10] = [
        column("TASKID", Kind::Number, 9, true),
        column("NAME", Kind::Text, 9, true),
        column("OUTCOME", Kind::Outcome, 9, true),
        column("START", Kind::Word, 5, true),
        column("END", Kind::Word, 7, true),
        column("DURATION", Kind::Number, 8, true),
        column("USER", Kind::Word, 4, false),
        column("INFO1", Kind::Text, 2, false),
        column("INFO2", Kind::Text, 1, false),
        column("INFO3", Kind::Text, 0, false),
    ];
    let text = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
    let rows = page.rows.iter().map(|row| {
        vec![
            row.taskid.to_string(),
            text(&row.taskname),
            cell(&row.words()),
            row.starttime.map(|start| short_time(start, now, width)).unwrap_or_default(),
            short_time(row.endtime, now, width),
            row.duration.map(seconds).unwrap_or_default(),
            text(&row.user),
            text(&row.info1),
            text(&row.info2),
            text(&row.info3),
        ]
    });
    table(&COLUMNS, rows, width, colours)
}

/// Returns a text field of a row as a cell.
fn field(row: &Value, key: &str) -> String {
    row[key].as_str().map(cell).unwrap_or_default()
}

/// Returns a time field of a row as a cell, empty if the time is unknown.
fn time_of(row: &Value, key: &str, now: Timestamp, width: Option<u16>) -> String {
    row[key].as_i64().map(|secs| short_time(secs, now, width)).unwrap_or_default()
}

/// Returns the object that a Proxmox task works on: a guest, a disk, a store. Empty for tasks of taskwatcher, whose id
/// is only the task id.
fn subject_of(row: &Value) -> String {
    if row["taskid"].is_null() { field(row, "id") } else { String::new() }
}

/// Returns the name of a task that other verbs accept: its number, after its remote if it has one. For tasks without a
/// number, see [`short_name`].
fn name_of(row: &Value) -> String {
    match (row["remote"].as_str(), row["upid"].as_str(), row["taskid"].as_i64()) {
        (None, _, Some(id)) => id.to_string(),
        (Some(remote), _, Some(id)) => format!("{}!{id}", clean(remote)),
        (remote, upid, None) => match (remote, upid.and_then(|upid| upid.parse().ok())) {
            (Some(remote), Some(upid)) => short_name(remote, &upid),
            (_, _) => upid.map(clean).unwrap_or_default(),
        },
    }
}

/// Returns the short name of a Proxmox task for lists: its start and its pid. These are almost always unique; the verbs
/// report an ambiguous name.
pub fn short_name(remote: &str, upid: &Upid) -> String {
    format!("{}!{}", clean(remote), RemoteTaskRef::Started { start: upid.starttime, pid: upid.pid })
}

/// Returns the node of a task if its remote is in `clusters`, the remotes with several nodes.
fn node_of(clusters: &HashSet<&str>) -> impl Fn(&Value) -> String {
    |row| match row["remote"].as_str() {
        Some(remote) if clusters.contains(remote) => field(row, "node"),
        Some(_) | None => String::new(),
    }
}

/// Returns the table of live tasks of several hosts, from their JSON. `clusters` are the remotes with more than one
/// node.
pub fn far_task_table(
    rows: &[Value],
    clusters: &HashSet<&str>,
    now: Timestamp,
    width: Option<u16>,
    colours: bool,
) -> String {
    const COLUMNS: [Column; 10] = [
        column("REMOTE", Kind::Text, 9, true),
        column("NODE", Kind::Text, 5, false),
        column("NAME", Kind::Text, 9, true),
        column("ID", Kind::Text, 6, false),
        column("STATUS", Kind::State, 9, true),
        column("START", Kind::Word, 4, true),
        column("DURATION", Kind::Number, 7, true),
        column("PROGRESS", Kind::Word, 6, false),
        column("NOT SEEN SINCE", Kind::Word, 8, false),
        column("TASK", Kind::Word, 8, true),
    ];
    let node = node_of(clusters);
    let rows = rows.iter().map(|row| {
        vec![
            field(row, "remote"),
            node(row),
            field(row, "name"),
            subject_of(row),
            field(row, "status"),
            time_of(row, "starttime", now, width),
            row["duration"].as_f64().map(seconds).unwrap_or_default(),
            row["progress"].as_f64().map(bar).unwrap_or_default(),
            time_of(row, "not_seen_since", now, width),
            name_of(row),
        ]
    });
    table(&COLUMNS, rows, width, colours)
}

/// Returns the table of ended tasks of several hosts, from their JSON.
pub fn far_history_table(
    rows: &[Value],
    clusters: &HashSet<&str>,
    now: Timestamp,
    width: Option<u16>,
    colours: bool,
) -> String {
    const COLUMNS: [Column; 10] = [
        column("REMOTE", Kind::Text, 9, true),
        column("NODE", Kind::Text, 5, false),
        column("NAME", Kind::Text, 9, true),
        column("ID", Kind::Text, 6, false),
        column("OUTCOME", Kind::Outcome, 9, true),
        column("START", Kind::Word, 8, true),
        column("END", Kind::Word, 4, true),
        column("DURATION", Kind::Number, 7, true),
        column("USER", Kind::Text, 3, false),
        column("TASK", Kind::Word, 8, true),
    ];
    let node = node_of(clusters);
    let rows = rows.iter().map(|row| {
        let why = row["termerror"].as_str().filter(|_| row["outcome"] == "unknown");
        let outcome = why.map_or_else(|| field(row, "outcome"), |why| cell(&format!("unknown: {why}")));
        vec![
            field(row, "remote"),
            node(row),
            field(row, "taskname"),
            subject_of(row),
            outcome,
            time_of(row, "starttime", now, width),
            time_of(row, "endtime", now, width),
            row["duration"].as_f64().map(seconds).unwrap_or_default(),
            field(row, "user"),
            name_of(row),
        ]
    });
    table(&COLUMNS, rows, width, colours)
}

/// Returns a number with a noun in singular or plural.
pub fn count(number: u64, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

/// Returns the cutoff of a remote: every task that started before it has ended and is stored. `None` until every node
/// was read once. Nodes that left their cluster are ignored, because no more tasks will come from them.
pub fn cutoff(nodes: &[Node]) -> Option<i64> {
    let nodes = || nodes.iter().filter(|node| !node.has_left());
    if nodes().any(|node| node.contact.is_none()) {
        return None;
    }
    // A node that was read and has no cutoff has not run a task yet.
    nodes().filter_map(|node| node.cutoff).min()
}

/// Returns the table of remotes. `counts` are the numbers of running and ended tasks of each remote.
pub fn remote_table(
    remotes: &[Remote],
    nodes: &[&[Node]],
    counts: &[[i64; 2]],
    now: Timestamp,
    width: Option<u16>,
    colours: bool,
) -> String {
    const COLUMNS: [Column; 9] = [
        column("NAME", Kind::Text, 9, true),
        column("SOURCE", Kind::Text, 6, true),
        column("LAST CONTACT", Kind::Word, 9, true),
        column("CUTOFF", Kind::Word, 3, false),
        column("LAG", Kind::Number, 4, false),
        column("RUNNING", Kind::Number, 7, true),
        column("ENDED", Kind::Number, 7, true),
        column("UNREAD", Kind::Number, 5, false),
        column("ERROR", Kind::Text, 8, false),
    ];
    // In a pipe, texts are not truncated.
    let cell = |text: &str| if width.is_none() { clean(text) } else { cell(text) };
    let rows = remotes.iter().zip(nodes).zip(counts).map(|((remote, nodes), [running, ended])| {
        let cutoff = cutoff(nodes);
        let failed = nodes
            .iter()
            .filter(|node| !node.has_left())
            .filter_map(|node| Some(format!("node {}: {}", node.node, node.error.as_ref()?)));
        let error = remote.error.clone().or_else(|| Some(failed.collect::<Vec<_>>().join("; ")));
        vec![
            cell(&remote.name),
            cell(&remote.source.to_string()),
            remote.contact.map_or_else(|| "never".to_owned(), |at| short_time(at, now, width)),
            cutoff.map(|at| short_time(at, now, width)).unwrap_or_default(),
            remote.lag.map(|lag| seconds(lag as f64)).unwrap_or_default(),
            running.to_string(),
            ended.to_string(),
            if remote.unread > 0 { remote.unread.to_string() } else { String::new() },
            error.as_deref().map(cell).unwrap_or_default(),
        ]
    });
    table(&COLUMNS, rows, width, colours)
}

/// Returns the table of summaries by name.
pub fn stats_table(summaries: &[Summary], now: Timestamp, width: Option<u16>, colours: bool) -> String {
    const COLUMNS: [Column; 10] = [
        column("NAME", Kind::Text, 9, true),
        column("RUNS", Kind::Number, 8, true),
        column("CUT SHORT", Kind::Number, 4, false),
        column("SUCCESS", Kind::Number, 9, true),
        column("P50", Kind::Number, 6, true),
        column("P95", Kind::Number, 2, true),
        column("LAST SUCCESS", Kind::Word, 7, true),
        column("LAST FAILURE", Kind::Word, 1, false),
        column("REASON", Kind::Text, 3, false),
        column("RECENT", Kind::Word, 5, true),
    ];
    let rows = summaries.iter().map(|one| {
        let failure = one.last_failure.as_ref();
        vec![
            cell(&one.name),
            one.runs().to_string(),
            if one.cut_short > 0 { one.cut_short.to_string() } else { String::new() },
            // Never rounded up to 100 % if there were failures.
            format!("{:.0}%", if one.good() < one.runs() { one.success_rate().min(99.4) } else { 100.0 }),
            one.p50.map(seconds).unwrap_or_default(),
            one.p95.map(seconds).unwrap_or_default(),
            one.last_success.map_or_else(|| "never".to_owned(), |at| short_time(at, now, width)),
            failure.map(|(at, _)| short_time(*at, now, width)).unwrap_or_default(),
            failure.and_then(|(_, reason)| reason.as_deref()).map(cell).unwrap_or_default(),
            one.bar(),
        ]
    });
    table(&COLUMNS, rows, width, colours)
}

/// Returns a sentence about the failure of a task: which task, why, and after how long. `None` if it did not fail.
pub fn failure(row: &HistoryRow) -> Option<String> {
    let how = Failure {
        task: &row.taskid.to_string(),
        name: row.taskname.as_deref().unwrap_or_default(),
        outcome: &row.outcome,
        why: row.termerror.as_deref(),
        signal: row.termsignal.as_ref().map(Stored::to_string),
        duration: row.duration,
    };
    how.in_words()
}

/// Like [`failure`] for a task of another host, from the JSON of `show`. `task` is its local name.
pub fn failure_there(task: &str, value: &Value) -> Option<String> {
    let text = |key: &str| value[key].as_str();
    let how = Failure {
        task,
        // Tasks of Proxmox hosts have only a type.
        name: text("taskname").or(text("type")).unwrap_or_default(),
        outcome: &Stored::read(text("outcome")?),
        why: text("termerror"),
        signal: text("termsignal").map(str::to_owned),
        duration: value["duration"].as_f64(),
    };
    how.in_words()
}

/// The facts about a task that may have failed.
struct Failure<'a> {
    task: &'a str,
    name: &'a str,
    outcome: &'a Stored<Outcome>,
    why: Option<&'a str>,
    signal: Option<String>,
    duration: Option<f64>,
}

impl Failure<'_> {
    fn in_words(&self) -> Option<String> {
        let (task, name) = (clean(self.task), cell(self.name));
        let took = self.duration.map(|secs| format!(" after {}", seconds(secs))).unwrap_or_default();
        let text = self.outcome.text();
        let why = clean(self.why.or(self.outcome.error()).unwrap_or(&text));
        let signal = match &self.signal {
            Some(signal) if !why.contains(signal) => format!(" (ended by {})", clean(signal)),
            Some(_) | None => String::new(),
        };
        if self.outcome.is_unknown() {
            Some(format!("task {task} ({name}) ended with an unknown outcome{took}: {why}{signal}"))
        } else if self.outcome.says_error() {
            Some(format!("task {task} ({name}) failed{took}: {why}{signal}"))
        } else {
            None
        }
    }
}

/// Returns lines of a log, indented to distinguish them from messages.
pub fn quoted(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n    | {line}")).collect()
}

/// Returns an ended task as JSON for `show`, with a status like a live task.
pub fn ended_json(row: &HistoryRow) -> Value {
    let mut value = json!(row);
    if let Some(object) = value.as_object_mut() {
        object.insert("status".into(), "stopped".into());
    }
    value
}

/// Returns the status object of the Proxmox API for one task. `outcome`: if the task has ended.
pub fn proxmox_status(upid: Option<&Stored<Upid>>, taskid: i64, outcome: Option<&Stored<Outcome>>) -> Value {
    let mut status = match upid.and_then(Stored::value) {
        Some(upid) => upid.to_json(),
        None => json!({ "id": taskid.to_string() }),
    };
    if let Some(object) = status.as_object_mut() {
        object.remove("comment");
        object.insert("status".into(), if outcome.is_some() { "stopped" } else { "running" }.into());
        if let Some(outcome) = outcome {
            let words = outcome.error().unwrap_or(&outcome.text()).to_owned();
            object.insert("exitstatus".into(), words.into());
        }
    }
    status
}

/// Returns what became of a task that should be ended as JSON.
pub fn killed_json(report: &KillReport) -> Value {
    let KillReport { task, upid, name, how } = report;
    let result = how.to_string();
    match (task, upid) {
        (TaskRef::Id(id), _) => json!({ "taskid": id, "name": name, "result": result }),
        (TaskRef::Remote(remote, RemoteTaskRef::Number(id)), _) => {
            json!({ "taskid": id, "name": name, "result": result, "remote": remote.as_str() })
        }
        (TaskRef::Remote(remote, RemoteTaskRef::Started { .. }), Some(upid)) => {
            json!({ "upid": format!("{remote}!{upid}"), "result": result, "remote": remote.as_str() })
        }
        (TaskRef::Remote(_, RemoteTaskRef::Started { .. }), None) | (TaskRef::Handle(_) | TaskRef::Upid(_), _) => {
            json!({ "task": task.to_string(), "name": name, "result": result })
        }
    }
}

/// Returns all details of a task, one line for each field that is not empty.
pub fn details(fields: &Value) -> String {
    let Some(object) = fields.as_object() else { return String::new() };
    let says_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let is_twice = |name: &str| name == "taskname" && object.get("name") == object.get(name);
    let shown = object.iter().filter(|(name, value)| !says_nothing(value) && *name != "lastlines" && !is_twice(name));
    let width = shown.clone().map(|(name, _)| clean(name).len()).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| {
        let text = match (name.as_str(), value) {
            ("reservetime" | "expires" | "starttime" | "endtime" | "lastupdate" | "synced", Value::Number(n)) => {
                n.as_i64().map_or_else(|| n.to_string(), |secs| format!("{} ({secs})", local_time(secs)))
            }
            ("duration" | "timer" | "timeout" | "max_runtime" | "cpu_user" | "cpu_sys", Value::Number(n)) => {
                n.as_f64().map_or_else(|| n.to_string(), seconds)
            }
            ("progress", Value::Number(n)) => n.as_f64().map(bar).unwrap_or_default(),
            ("maxrss", Value::Number(n)) => n.as_i64().map(size).unwrap_or_default(),
            ("argv" | "options", Value::Array(words)) => words.iter().map(word).collect::<Vec<_>>().join(" "),
            ("supervised", Value::Object(_)) => clean(&supervised_text(value)),
            (_, Value::String(text)) => clean(text),
            (_, other) => clean(&other.to_string()),
        };
        // Keys of a response of another host are untrusted text.
        format!("{:<width$}  {text}", clean(name))
    };
    shown.map(line).collect::<Vec<_>>().join("\n")
}

/// Returns one argument, quoted for a shell if necessary.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => clean(&shell_words::quote(text)),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_field_has_no_line() {
        let fields = json!({ "argv": ["sleep", "1 0"], "options": [], "maxrss": 3_i64 << 30, "why": null });
        assert_eq!(details(&fields), "argv    sleep '1 0'\nmaxrss  3.0 GiB");
    }

    #[test]
    fn json_of_a_column_is_one_line() {
        let json = |text: &str| stored_json(&Some(text.to_owned())).map(|value| value.get().to_owned());
        assert_eq!(json(r#"["a b", "c"]"#).as_deref(), Some(r#"["a b", "c"]"#));
        assert_eq!(json("[\"a\",\r\n \"b\"]").as_deref(), Some(r#"["a","b"]"#));
        assert_eq!(json("[\"a\n\"]"), None);
        assert_eq!(json("no json"), None);
    }

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
}
