//! The programs: their states and actions.

use super::{
    PageInfo, buttons,
    html::{Brief, Html, Text, each, put},
    log,
    text::{Tone, badge, count, encoded, name_address},
};
use crate::model::{
    program::ProcState,
    wire::{Channel, ProcessInfo},
};

/// Largest part of a log on its page, bytes.
const MOST: u32 = 1 << 20;

pub(super) fn page(info: &PageInfo<'_>, processes: &[ProcessInfo], to: &mut Html) {
    put!(to, "<section data-live=programs aria-label=Programs>");
    live(info, processes, to);
    put!(to, "</section>");
}

/// The changing part of the page. It includes the buttons for all programs, whose token is invalid
/// after a restart of the supervisor.
pub(super) fn live(info: &PageInfo<'_>, processes: &[ProcessInfo], to: &mut Html) {
    put!(to, "<div class=head><h1>Programs</h1><div class=tools><a class=btn href=\"/\">Refresh</a>");
    if !processes.is_empty() {
        put!(to, buttons(info, "all", &[("restart", "Restart all"), ("stop", "Stop all")]));
    }
    put!(to, "</div></div>");
    if processes.is_empty() {
        put!(
            to,
            "<div class=\"card empty\"><h2>No programs to manage</h2><p>To add one, write a table <code>[programs.NAME]</code> into the ",
            "configuration and run <code>supervise reload</code>.</p></div>"
        );
        return;
    }
    let states = ProcState::ALL.into_iter().filter_map(|state| {
        let number = processes.iter().filter(|process| process.state == state).count();
        (number > 0).then_some((Tone::of_state(state), state.as_str(), number))
    });
    put!(
        to,
        tally(processes.len(), "process", states),
        "<table class=\"card list programs\"><thead><tr><th scope=col>State</th><th scope=col>Process</th>",
        "<th scope=col>More</th>",
        info.token.map(|_| "<th scope=col>Actions</th>"),
        "</tr></thead><tbody>",
        each(processes, |to, process| row(info, process, to)),
        "</tbody></table>"
    );
}

/// The number of items, in total and of each kind.
pub(super) fn tally<'a>(
    whole: usize,
    name: &'a str,
    kinds: impl Iterator<Item = (Tone, &'a str, usize)>,
) -> impl FnOnce(&mut Html) {
    let whole = count(whole as u64, name);
    move |to: &mut Html| {
        put!(to, "<ul class=tally><li>", Text(&whole), "</li>");
        for (tone, word, number) in kinds {
            put!(to, "<li class=", tone.class(), "><b>", number, "</b> ", Text(word), "</li>");
        }
        put!(to, "</ul>");
    }
}

fn row(info: &PageInfo<'_>, process: &ProcessInfo, to: &mut Html) {
    let name = process.full_name();
    let (state, word) = (process.state, process.state.as_str());
    let actions: &[(&str, &str)] = match state {
        ProcState::Running => &[("restart", "Restart"), ("stop", "Stop"), ("clear", "Clear log")],
        ProcState::Stopped | ProcState::Exited | ProcState::Fatal | ProcState::Unknown => {
            &[("start", "Start"), ("clear", "Clear log")]
        }
        ProcState::Starting | ProcState::Backoff | ProcState::Stopping => &[("clear", "Clear log")],
    };
    put!(
        to,
        "<tr data-key=\"",
        Text(&name),
        "\"><td>",
        badge(Tone::of_state(state), word),
        "</td><th scope=row><a href=\"",
        Text(&channels(process).next().map_or_else(|| name_address(&name), |channel| log_address(&name, channel))),
        "\">",
        Text(&name),
        "</a><small>",
        Brief(&process.description),
        "</small>",
        remarks(process),
        "</th><td>",
        // The name itself links to the first log.
        each(channels(process).skip(1), |to, channel| {
            put!(to, "<a href=\"", Text(&log_address(&name, channel)), "\">", channel.as_str(), "</a> ");
        }),
        "<a href=\"",
        Text(&name_address(&name)),
        "\">runs</a>",
        process.task_id.map(|id| move |to: &mut Html| put!(to, " <a href=/task/", id, ">#", id, "</a>")),
        "</td>",
        info.token.map(|_| { |to: &mut Html| put!(to, "<td>", buttons(info, &name, actions), "</td>") }),
        "</tr>"
    );
}

/// Remarks about a process.
fn remarks(process: &ProcessInfo) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        if process.leftover > 0 {
            let left = count(u64::from(process.leftover), "process");
            put!(to, "<span class=\"tag warn\">", Text(&left), " of ended runs still alive</span>");
        }
        if process.config_changed {
            put!(to, "<span class=\"tag warn\">configuration changed: reload</span>");
        }
        if process.adopted {
            put!(to, "<span class=tag>adopted</span>");
        }
        // A description of another subject does not contain the error.
        if let Some(error) = process.spawn_error.as_deref().filter(|error| !process.description.contains(*error)) {
            put!(to, "<span class=\"tag bad\">", Brief(error), "</span>");
        }
    }
}

fn channels(process: &ProcessInfo) -> impl Iterator<Item = Channel> {
    [Channel::Stdout, Channel::Stderr].into_iter().filter(|channel| process.log_of(*channel).is_some())
}

fn log_address(name: &str, channel: Channel) -> String {
    let process = encoded(name);
    match channel {
        Channel::Stdout => format!("/tail?process={process}"),
        Channel::Stderr => format!("/tail?process={process}&channel=stderr"),
    }
}

pub(super) fn log_page(
    info: &PageInfo<'_>,
    process: &ProcessInfo,
    channel: Channel,
    log: Option<(&str, bool)>,
    to: &mut Html,
) {
    let name = process.full_name();
    let stream = format!("/logtail/{}/{}", encoded(&name), channel.as_str());
    put!(
        to,
        "<div class=head><div><p class=crumb><a href=\"/\">Programs</a></p><h1>",
        Text(&name),
        " ",
        badge(Tone::of_state(process.state), process.state.as_str()),
        "</h1><p class=what>",
        Text(&process.description),
        "</p></div><div class=tools><a class=btn href=\"",
        Text(&log_address(&name, channel)),
        "\">Refresh</a>",
        buttons(info, &name, &[("clear", "Clear log")]),
        "</div></div><div class=bar><ul class=switch aria-label=Logs>",
        each(channels(process), |to, shown| {
            let current = (shown == channel).then_some(" aria-current=page");
            put!(to, "<li><a href=\"", Text(&log_address(&name, shown)), "\"", current, ">", shown.as_str());
            put!(to, "</a></li>");
        }),
        "</ul><p class=links><a href=\"",
        Text(&name_address(&name)),
        "\">All runs</a>",
        process.task_id.map(|id| move |to: &mut Html| put!(to, "<a href=/task/", id, ">Task #", id, "</a>")),
        "</p></div>"
    );
    let Some((text, truncated)) = log else {
        let why = match process.log_of(channel) {
            Some(_) => "No output yet: the log is created when the process starts.".to_owned(),
            None => format!("No log: {} is not written to a file.", channel.as_str()),
        };
        return put!(to, log::none(&why));
    };
    if truncated {
        let more = format!("{}&limit={}", log_address(&name, channel), MOST);
        put!(to, "<p class=hint>Only the end of the log is shown. <a href=\"", Text(&more), "\">Show more</a></p>");
    }
    put!(to, log::block(text, &stream, "Follow as text", true));
}
