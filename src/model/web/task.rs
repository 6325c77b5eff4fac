//! One task: its outcome or status, all data, and its log.

use serde_json::Value;

use super::{
    LiveTask, PageInfo, TaskView, buttons,
    html::{Html, Part, Text, put},
    log, tasks,
    text::{Ages, Since, Time, Tone, badge, command_line, count, name_address, outcome_badge, sentence, took},
};
use crate::model::task::{Class, HistoryRow, Status, size, supervised_text};

pub(super) fn page(info: &PageInfo<'_>, view: &TaskView<'_>, to: &mut Html) {
    let (id, lines, values) = match view {
        TaskView::Live { task, feedback, log } => {
            live(info, task, to);
            (task.task.id, log, feedback)
        }
        TaskView::Ended { row, feedback, log } => {
            ended(info, row, to);
            (row.taskid, log, feedback)
        }
    };
    put!(to, values.map(|values| move |to: &mut Html| feedback(values, to)));
    let is_live = matches!(view, TaskView::Live { .. });
    let link = if is_live { "Follow as text" } else { "Whole log as text" };
    match lines {
        Ok(lines) => put!(to, log::block(&lines.join("\n"), &format!("/tasklog/{id}"), link, is_live)),
        Err(why) => put!(to, log::none(&format!("No log: {why}."))),
    }
}

/// The name with the id, and a link to the runs of that name.
fn heading<'a>(
    (from, address): (&'static str, &'static str),
    (id, name): (i64, &'a str),
    state: impl Part + 'a,
) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        put!(to, "<div class=head><div><p class=crumb><a href=", address, ">", from, "</a> / <a href=\"");
        put!(to, Text(&name_address(name)), "\">all runs of ", Text(name), "</a></p><h1>", Text(name));
        put!(to, " <span class=id>#", id, "</span> ", state, "</h1></div>");
    }
}

fn live(info: &PageInfo<'_>, live: &LiveTask, to: &mut Html) {
    let (task, now) = (&live.task, info.now);
    let state = badge(Tone::of_status(live.status), live.status.as_str());
    let id = task.id.to_string();
    put!(to, heading(("Tasks", "/tasks"), (task.id, &task.name), state), "<div class=tools><a class=btn href=/task/");
    put!(to, task.id, ">Refresh</a>", buttons(info, &id, &[("kill", "End task")]), "</div></div>");
    put!(to, "<div class=\"card lead ", Tone::of_status(live.status).class(), "\"><p>", meaning(live), "</p>");
    if let Some(says) = live.message.as_deref().filter(|says| !says.is_empty()) {
        put!(to, "<p class=says>Status text: <q>", Text(says), "</q></p>");
    }
    put!(to, "<div class=prog>", tasks::progress(live), "</div></div>");
    let argv = task.argv.as_deref().and_then(|argv| serde_json::from_str::<Value>(argv).ok());
    put!(to, command(argv.as_ref()), "<dl class=\"card facts\">");
    let started = task.starttime.is_some();
    fact(to, "Started", task.starttime.map(|at| Time { at, now }));
    fact(to, "Running for", task.starttime.map(|at| Since { at, now, ages: Ages::InWords }));
    fact(to, "Reserved", task.reservetime.map(|at| Time { at, now }));
    fact(to, "Expires", task.expires.filter(|_| !started).map(|at| Time { at, now }));
    fact(to, "Last heartbeat", live.silent_for.map(|_| tasks::heartbeat(live, now, Ages::InWords)));
    fact(to, "Timeout", task.timeout.map(|secs| Owned(took(secs))));
    fact(to, "Run-time limit", task.max_runtime.map(|secs| Owned(took(secs))));
    fact(to, "Process", task.pid);
    fact(to, "Launcher", task.launcher.map(|launcher| launcher.pid));
    fact(to, "Stop signal", task.stop_signal.as_ref().map(|signal| Owned(signal.to_string())));
    fact(to, "SIGKILL follows after", task.kill_after.map(|secs| Owned(took(secs))));
    fact(to, "User", task.user.clone().map(Owned));
    fact(to, "Host", task.host.clone().map(Owned));
    fact(to, "Folder", task.cwd.clone().map(Code));
    for (label, info) in ["Info 1", "Info 2", "Info 3"].into_iter().zip(&task.info) {
        fact(to, label, info.clone().map(Owned));
    }
    let supervised = task.supervised.as_deref().and_then(|text| serde_json::from_str(text).ok());
    fact(to, "Supervised", supervised.as_ref().map(supervised_text).map(Owned));
    fact(to, "Handle", Some(task.handle.clone()).filter(|handle| !handle.is_empty()).map(Code));
    fact(to, "UPID", task.upid().map(|upid| Code(upid.to_owned())));
    fact(to, "Log file", task.log.clone().map(Code));
    put!(to, "</dl>");
}

/// Explains the status in a sentence.
fn meaning(live: &LiveTask) -> &'static str {
    match live.status {
        Status::Reserved => "Reserved; its command has not started.",
        Status::Running if live.silent_for.is_some() => "Running, with heartbeats.",
        Status::Running => "Running.",
        Status::Silent => "Running, but without a heartbeat for a quarter of its timeout.",
        Status::Stalled => "No heartbeat for half of its timeout. The task is ended when the timeout is reached.",
        Status::Stopping => "A request to end it was made.",
        Status::Orphaned => "Its launcher is gone, and its command still runs. Its outcome cannot be recorded.",
    }
}

fn ended(info: &PageInfo<'_>, row: &HistoryRow, to: &mut Html) {
    let (now, class) = (info.now, row.outcome.class());
    let name = row.taskname.as_deref().unwrap_or_default();
    put!(to, heading(("History", "/history"), (row.taskid, name), outcome_badge(row)), "</div>");
    put!(to, "<div class=\"card lead ", Tone::of_class(class).class(), "\"><p>", Text(&sentence(row)), "</p></div>");
    put!(to, command(row.argv.as_ref()), "<dl class=\"card facts\">");
    fact(to, "Started", row.starttime.map(|at| Time { at, now }));
    fact(to, "Ended", Some(Time { at: row.endtime, now }));
    fact(to, "Duration", row.duration.map(|secs| Owned(took(secs))));
    fact(to, "Reserved", row.reservetime.map(|at| Time { at, now }));
    fact(to, "Exit code of launch", row.exitcode);
    fact(to, "Signal", row.termsignal.as_ref().map(|signal| Owned(signal.to_string())));
    fact(to, "Ended by", row.ended_by.as_ref().map(|by| Owned(by.to_string())));
    let warnings = (row.warnings > 0 && class != Class::Warnings).then(|| row.warnings.unsigned_abs());
    fact(to, "Warnings", warnings.map(|number| Owned(count(number, "warning"))));
    fact(to, "CPU time", processor(row).map(Owned));
    fact(to, "Peak memory", row.maxrss.map(|bytes| Owned(size(bytes))));
    fact(to, "Process", row.pid);
    fact(to, "User", row.user.clone().map(Owned));
    fact(to, "Host", row.host.clone().map(Owned));
    fact(to, "Folder", row.cwd.clone().map(Code));
    for (label, info) in [("Info 1", &row.info1), ("Info 2", &row.info2), ("Info 3", &row.info3)] {
        fact(to, label, info.clone().map(Owned));
    }
    fact(to, "Supervised", row.supervised.as_ref().map(supervised_text).map(Owned));
    fact(to, "Options of launch", row.options.as_ref().map(command_line).filter(|line| !line.is_empty()).map(Code));
    fact(to, "Handle", row.handle.clone().map(Code));
    fact(to, "UPID", row.upid().map(|upid| Code(upid.to_owned())));
    fact(to, "Log file", row.log.clone().map(Code));
    put!(to, "</dl>");
}

/// Processor time, and its share of one processor.
fn processor(row: &HistoryRow) -> Option<String> {
    let (user, system) = (row.cpu_user?, row.cpu_sys?);
    let share = row.duration.filter(|secs| *secs > 0.0).map(|secs| (user + system) / secs * 100.0);
    let share = share.map(|percent| format!(", {percent:.0} % of one CPU")).unwrap_or_default();
    Some(format!("{} user, {} system{share}", took(user), took(system)))
}

fn command(argv: Option<&Value>) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let Some(argv) = argv else { return };
        put!(
            to,
            "<div class=\"card cmd\"><h2>Command</h2><code tabindex=0>",
            Text(&command_line(argv)),
            "</code></div>"
        );
    }
}

/// One line of data; nothing if it is unknown.
fn fact(to: &mut Html, label: &'static str, value: Option<impl Part>) {
    if let Some(value) = value {
        put!(to, "<div><dt>", label, "</dt><dd>", value, "</dd></div>");
    }
}

/// A String as a part.
struct Owned(String);

impl Part for Owned {
    fn put(self, to: &mut Html) {
        put!(to, Text(&self.0));
    }
}

/// A text in a monospace font.
struct Code(String);

impl Part for Code {
    fn put(self, to: &mut Html) {
        put!(to, "<code>", Text(&self.0), "</code>");
    }
}

/// The values of a feedback.
fn feedback(values: &Value, to: &mut Html) {
    let Some(object) = values.as_object().filter(|object| !object.is_empty()) else { return };
    put!(to, "<div class=\"card pairs\"><h2>Feedback</h2><dl>");
    for (keyword, value) in object {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        put!(to, "<dt>", Text(keyword), "</dt><dd>", Text(&text), "</dd>");
    }
    put!(to, "</dl></div>");
}
