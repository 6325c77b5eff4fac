//! The web pages of `supervise`: all pages, fragments, styles and scripts, as text.
//!
//! Pure: data in, HTML or the text of the metrics out. Does all escaping (`html.rs`). All pages
//! work without a script, load nothing from elsewhere, and need no more than [`POLICY`] allows.

mod history;
mod html;
mod log;
mod metrics;
mod name;
mod programs;
mod task;
mod tasks;
mod text;
mod timeline;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use self::{
    html::{Html, Text, put},
    text::{Ages, Time},
};
use super::{
    query::Page,
    stats::Summary,
    task::{HistoryRow, Status, Task},
    wire::{Channel, ProcessInfo},
};

pub use self::metrics::metrics;

/// The style sheet, for `/style.css`.
pub const STYLE: &str = include_str!("../../assets/style.css");
/// The script, for `/live.js`: updates pages and shows local times. No page requires it.
pub const SCRIPT: &str = include_str!("../../assets/live.js");
/// The icon, for `/icon.svg`.
pub const ICON: &str = include_str!("../../assets/icon.svg");
/// Content-Security-Policy of all pages: nothing from elsewhere, no inline script or style, no
/// frames.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Most results in a message, and most of them that are failures.
const RESULTS: usize = 5;
const FAILURES: usize = 20;

/// Data for every page.
#[derive(Clone, Copy, Debug)]
pub struct PageInfo<'a> {
    /// Name of the site: in the corner, and at the end of each title.
    pub title: &'a str,
    /// Name of the host.
    pub host: &'a str,
    /// Version of taskwatcher.
    pub version: &'a str,
    /// Name of the supervisor.
    pub identifier: &'a str,
    /// Token for forms; `None`: read-only.
    pub token: Option<&'a str>,
    /// Result of an action.
    pub message: Option<&'a Message>,
    /// Time of the page, unix seconds.
    pub now: i64,
    /// Whether there is a supervisor, with a page of programs.
    pub programs: bool,
}

/// Result of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text.
    pub text: String,
    /// Whether any part failed.
    pub failed: bool,
}

impl Message {
    /// Makes one message from lines about failures and successes: failures come first and get more
    /// room.
    pub fn of(failed: &[String], done: &[String]) -> Message {
        let lines = failed.iter().take(FAILURES).chain(done.iter().take(RESULTS.saturating_sub(failed.len())));
        let mut text: Vec<String> = lines.cloned().collect();
        let more = failed.len() + done.len() - text.len();
        if more > 0 {
            text.push(format!("and {more} more"));
        }
        let text = if text.is_empty() { "nothing to do".to_owned() } else { text.join("; ") };
        Message { text, failed: !failed.is_empty() }
    }
}

/// A live task for display.
#[derive(Clone, Debug)]
pub struct LiveTask {
    /// The row.
    pub task: Arc<Task>,
    /// Status.
    pub status: Status,
    /// Age of the last heartbeat, seconds; `None`: no heartbeats.
    pub silent_for: Option<f64>,
    /// Progress, 0 to 1.
    pub progress: Option<f64>,
    /// Its own status text.
    pub message: Option<String>,
}

/// A task for its own page.
#[derive(Clone, Copy, Debug)]
pub enum TaskView<'a> {
    /// Live.
    Live {
        /// The task.
        task: &'a LiveTask,
        /// Values of its feedback, a JSON object.
        feedback: Option<&'a Value>,
        /// Last lines of its log, or the reason for having none.
        log: Result<&'a [String], &'a str>,
    },
    /// Ended.
    Ended {
        /// The row.
        row: &'a HistoryRow,
        /// Values of its last feedback, a JSON object.
        feedback: Option<&'a Value>,
        /// Last lines of its log, or the reason for having none.
        log: Result<&'a [String], &'a str>,
    },
}

/// The form of the history page: the fields as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryForm {
    /// Name of the task.
    pub name: String,
    /// Outcomes, separated by commas.
    pub outcome: String,
    /// Earliest end, in the format of `control history --since`.
    pub since: String,
    /// Latest end, in the format of `--until`.
    pub until: String,
    /// Login.
    pub user: String,
    /// Rows per page.
    pub limit: usize,
    /// Cursor of the page.
    pub after: String,
    /// Why a field is invalid.
    pub fault: Option<String>,
}

/// A time span, unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin.
    pub from: i64,
    /// End.
    pub until: i64,
}

/// Data of the metrics.
#[derive(Clone, Copy, Debug)]
pub struct MetricFacts<'a> {
    /// Ended tasks by name, and live tasks; `None`: the database cannot be read.
    pub tasks: Option<(&'a [Summary], &'a [LiveTask])>,
    /// The programs.
    pub processes: &'a [ProcessInfo],
    /// Time of the report, unix seconds.
    pub now: i64,
}

/// Returns the page of the programs, for `/`: their states and actions.
pub fn programs_page(info: &PageInfo<'_>, processes: &[ProcessInfo]) -> String {
    layout(info, "Programs", Some(Tab::Programs), |to| programs::page(info, processes, to))
}

/// Returns the changing part of the programs page, in one line, for the event `programs`.
pub fn live_programs(info: &PageInfo<'_>, processes: &[ProcessInfo]) -> String {
    fragment(|to| programs::live(info, processes, to))
}

/// Returns the page of a log of a process, for `/tail`: its text, and whether only its end is
/// shown; `None`: no log.
pub fn program_log_page(
    info: &PageInfo<'_>,
    process: &ProcessInfo,
    channel: Channel,
    log: Option<(&str, bool)>,
) -> String {
    let title = format!("{} {}", process.full_name(), channel.as_str());
    layout(info, &title, Some(Tab::Programs), |to| programs::log_page(info, process, channel, log, to))
}

/// Returns the page of live tasks, for `/tasks`.
pub fn tasks_page(info: &PageInfo<'_>, running: &[LiveTask]) -> String {
    layout(info, "Tasks", Some(Tab::Tasks), |to| tasks::page(info, running, to))
}

/// Returns the changing part of the tasks page, in one line, for the event `tasks`. It contains no
/// ages as text, because the script counts them: so it differs only when more than the time has
/// changed. `now`: unix seconds.
pub fn live_rows(running: &[LiveTask], now: i64) -> String {
    fragment(|to| tasks::live(running, now, Ages::ForScript, to))
}

/// Returns the page of ended tasks, for `/history`.
pub fn history_page(info: &PageInfo<'_>, form: &HistoryForm, page: &Page<HistoryRow>) -> String {
    layout(info, "History", Some(Tab::History), |to| history::page(info, form, page, to))
}

/// Returns the page of one task, for `/task/ID`.
pub fn task_page(info: &PageInfo<'_>, task: &TaskView<'_>) -> String {
    let (name, id, tab) = match task {
        TaskView::Live { task, .. } => (task.task.name.as_str(), task.task.id, Tab::Tasks),
        TaskView::Ended { row, .. } => (row.taskname.as_deref().unwrap_or_default(), row.taskid, Tab::History),
    };
    layout(info, &format!("{name} #{id}"), Some(tab), |to| task::page(info, task, to))
}

/// Returns the page of one name, for `/name/NAME`. `recent`: the last runs, in any order;
/// `running`: live ones.
pub fn name_page(
    info: &PageInfo<'_>,
    name: &str,
    summary: &Summary,
    recent: &[HistoryRow],
    running: &[LiveTask],
) -> String {
    layout(info, name, Some(Tab::History), |to| name::page(info, name, (summary, recent, running), to))
}

/// Returns the timeline, for `/timeline`. `ended`: tasks that ended in the span or after it, newest
/// first. If there is a next page of these, the picture begins where the given page ends, and says
/// so.
pub fn timeline_page(info: &PageInfo<'_>, span: Span, ended: &Page<HistoryRow>, running: &[LiveTask]) -> String {
    layout(info, "Timeline", Some(Tab::Timeline), |to| timeline::page(info, span, (ended, running), to))
}

/// Returns the page of a failed request. `status`: HTTP status; `what`: the reason.
pub fn error_page(info: &PageInfo<'_>, status: u16, what: &str) -> String {
    let title = match status {
        400 => "Bad request",
        401 => "Authentication required",
        403 => "Forbidden",
        404 => "Not found",
        405 => "Method not allowed",
        409 => "Conflict",
        413 | 431 => "Request too large",
        503 => "Service unavailable",
        504 => "No response in time",
        status if status < 500 => "Request failed",
        _ => "Internal error",
    };
    layout(info, title, None, |to| {
        let home = if info.programs { "/" } else { "/tasks" };
        put!(
            to,
            "<div class=\"card empty\"><p class=big aria-hidden=true>",
            status,
            "</p><h1>",
            Text(title),
            "</h1><p>",
            Text(what),
            "</p><p><a class=btn href=\"",
            home,
            "\">Back to the main page</a></p></div>"
        );
    })
}

/// The main pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Programs,
    Tasks,
    History,
    Timeline,
}

impl Tab {
    const ALL: [Tab; 4] = [Tab::Programs, Tab::Tasks, Tab::History, Tab::Timeline];

    fn name(self) -> &'static str {
        match self {
            Tab::Programs => "Programs",
            Tab::Tasks => "Tasks",
            Tab::History => "History",
            Tab::Timeline => "Timeline",
        }
    }

    fn address(self) -> &'static str {
        match self {
            Tab::Programs => "/",
            Tab::Tasks => "/tasks",
            Tab::History => "/history",
            Tab::Timeline => "/timeline",
        }
    }
}

fn fragment(write: impl FnOnce(&mut Html)) -> String {
    let mut html = Html::default();
    write(&mut html);
    html.into_string()
}

/// Puts the content of a page into the common frame.
fn layout(info: &PageInfo<'_>, title: &str, tab: Option<Tab>, body: impl FnOnce(&mut Html)) -> String {
    let tabs = |to: &mut Html| {
        for shown in Tab::ALL.into_iter().filter(|shown| info.programs || *shown != Tab::Programs) {
            let current = (tab == Some(shown)).then_some(" aria-current=page");
            put!(to, "<li><a href=", shown.address(), current, ">", shown.name(), "</a></li>");
        }
    };
    let read_only = "<span class=tag>read-only</span>";
    fragment(|to: &mut Html| {
        put!(
            to,
            "<!DOCTYPE html><html lang=en data-now=",
            info.now,
            "><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, initial-scale=1\">",
            "<meta name=color-scheme content=\"light dark\"><title>",
            Text(title),
            " · ",
            Text(info.title),
            " on ",
            Text(info.host),
            "</title><link rel=icon href=/icon.svg type=image/svg+xml><link rel=stylesheet href=/style.css>",
            "<script src=/live.js defer></script></head><body><a class=skip href=#main>Skip to the content</a>",
            "<header><div class=wrap><a class=brand href=",
            if info.programs { "/" } else { "/tasks" },
            "><span class=mark aria-hidden=true></span>",
            Text(info.title),
            "</a><span class=host>",
            Text(info.host),
            "</span>",
            info.token.is_none().then_some(read_only),
            "<span id=link role=status hidden></span><nav aria-label=\"Main pages\"><ul>",
            tabs,
            "</ul></nav></div></header><main id=main class=wrap tabindex=-1>",
            info.message.map(|message| move |to: &mut Html| {
                let kind = if message.failed { "\"note bad\" role=alert" } else { "note role=status" };
                put!(to, "<p class=", kind, ">", Text(&message.text), "</p>");
            }),
            body,
            "</main><footer class=wrap><p>",
            Text(info.identifier),
            " · taskwatcher ",
            Text(info.version),
            " · as of ",
            Time { at: info.now, now: info.now },
            "</p><p id=zone>Times that end in Z are UTC.</p></footer>",
            "<p id=said class=sr role=status></p></body></html>"
        );
    })
}

/// A form with a button for each action on one name; empty if the page is read-only.
fn buttons<'a>(
    info: &PageInfo<'a>,
    name: &'a str,
    actions: &'a [(&'static str, &'static str)],
) -> Option<impl FnOnce(&mut Html) + use<'a>> {
    let token = info.token?;
    Some(move |to: &mut Html| {
        put!(
            to,
            "<form method=post action=/action><input type=hidden name=token value=",
            // The token: letters and digits.
            Text(token),
            "><input type=hidden name=name value=\"",
            Text(name),
            "\">"
        );
        for (action, label) in actions {
            put!(to, "<button name=action value=", *action, ">", *label, "</button>");
        }
        put!(to, "</form>");
    })
}
