//! Live tasks: their progress, and the ages of their heartbeats.

use super::{
    LiveTask, PageInfo,
    html::{Brief, Html, Number, Text, each, put},
    programs::tally,
    text::{Ages, Since, Time, Tone, badge, took},
};
use crate::model::task::Status;

pub(super) fn page(info: &PageInfo<'_>, running: &[LiveTask], to: &mut Html) {
    put!(
        to,
        "<div class=head><h1>Tasks</h1><div class=tools><a class=btn href=/tasks>Refresh</a></div></div>",
        "<section data-live=tasks aria-label=\"Tasks that have not ended\">"
    );
    live(running, info.now, Ages::InWords, to);
    put!(to, "</section>");
}

pub(super) fn live(running: &[LiveTask], now: i64, ages: Ages, to: &mut Html) {
    if running.is_empty() {
        put!(
            to,
            "<div class=\"card empty\"><h2>No running tasks</h2><p>Commands started with <code>launch</code> appear here. Ended ",
            "tasks are in the <a href=/history>history</a>.</p></div>"
        );
        return;
    }
    let statuses = Status::ALL.into_iter().filter_map(|status| {
        let number = running.iter().filter(|task| task.status == status).count();
        (number > 0).then_some((Tone::of_status(status), status.as_str(), number))
    });
    put!(
        to,
        tally(running.len(), "task", statuses),
        "<table class=\"card list tasks\"><thead><tr><th scope=col>Status</th><th scope=col>Task</th>",
        "<th scope=col>Progress</th><th scope=col>Last heartbeat</th><th scope=col>Running for</th>",
        "<th scope=col>Started</th></tr></thead><tbody>",
        each(running, |to, task| row(task, now, ages, to)),
        "</tbody></table>"
    );
}

fn row(live: &LiveTask, now: i64, ages: Ages, to: &mut Html) {
    let (task, word) = (&live.task, live.status.as_str());
    put!(
        to,
        "<tr data-key=",
        task.id,
        "><td>",
        badge(Tone::of_status(live.status), word),
        "</td><th scope=row><a href=/task/",
        task.id,
        ">",
        Brief(&task.name),
        "</a> <span class=id>#",
        task.id,
        "</span>",
        says(live),
        "</th><td class=prog>",
        progress(live),
        "</td><td class=beat>",
        heartbeat(live, now, ages),
        "</td><td class=num>",
        task.starttime.map(|at| Since { at, now, ages }),
        "</td><td class=num>",
        task.starttime.map(|at| Time { at, now }),
        "</td></tr>"
    );
}

/// The task's own status text, or a remark about a reservation.
fn says(live: &LiveTask) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let note = live.message.as_deref().filter(|note| !note.is_empty());
        let waits = (live.status == Status::Reserved).then_some("waiting for its command");
        if let Some(says) = note.or(waits) {
            put!(to, "<small>", Brief(says), "</small>");
        }
    }
}

/// A bar, and the percentage as text.
pub(super) fn progress(live: &LiveTask) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let Some(share) = live.progress.filter(|share| share.is_finite()) else { return };
        let percent = Number((share.clamp(0.0, 1.0) * 100.0).floor());
        put!(to, "<progress max=100 value=", percent, " aria-label=\"Progress of ", Brief(&live.task.name), "\">");
        put!(to, "</progress> <span class=pc>", percent, " %</span>");
    }
}

/// The age of the last heartbeat, and its share of the timeout.
pub(super) fn heartbeat(live: &LiveTask, now: i64, ages: Ages) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let Some(age) = live.silent_for.filter(|age| age.is_finite() && live.status != Status::Reserved) else {
            return;
        };
        let at = now.saturating_sub(age.max(0.0) as i64);
        let Some(timeout) = live.task.timeout.filter(|timeout| *timeout > 0.0) else {
            put!(to, Since { at, now, ages }, " ago");
            return;
        };
        // The colours of the meter change where the status becomes SILENT and STALLED.
        let share = |percent: u32| Number(timeout * f64::from(percent) / 100.0);
        put!(
            to,
            "<meter min=0 max=",
            Number(timeout),
            " low=",
            share(Status::SILENT_FROM),
            " high=",
            share(Status::STALLED_FROM),
            " optimum=0"
        );
        if ages == Ages::InWords {
            put!(to, " value=", Number(age.clamp(0.0, timeout)));
        }
        put!(
            to,
            " aria-label=\"Silence of ",
            Brief(&live.task.name),
            "\"></meter> <span class=of>",
            Since { at, now, ages },
            " of ",
            Text(&took(timeout)),
            "</span>"
        );
    }
}
