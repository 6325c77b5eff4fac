//! Ended tasks: the filter form and one page.

use super::{
    HistoryForm, PageInfo,
    html::{Brief, Html, Text, each, put},
    text::{Time, encoded, outcome_badge, reason, took},
};
use crate::model::{query::Page, task::HistoryRow};

/// Choices in the form; another received value is added.
const OUTCOMES: [(&str, &str); 7] = [
    ("", "any"),
    ("ok", "OK"),
    ("warnings", "WARNINGS"),
    ("error", "ERROR"),
    ("unknown", "unknown"),
    ("ok,warnings", "succeeded (OK, WARNINGS)"),
    ("error,unknown", "failed (ERROR, unknown)"),
];
const LIMITS: [usize; 4] = [20, 50, 100, 200];

pub(super) fn page(info: &PageInfo<'_>, form: &HistoryForm, page: &Page<HistoryRow>, to: &mut Html) {
    put!(to, "<div class=head><h1>History</h1></div>", fields(form));
    if let Some(fault) = &form.fault {
        put!(to, "<p class=\"note bad\" role=alert>", Text(fault), "</p>");
    }
    if page.rows.is_empty() && form.fault.is_some() {
        return;
    }
    if page.rows.is_empty() {
        let filtered = form != &HistoryForm { limit: form.limit, ..HistoryForm::default() };
        let (title, what) = match filtered {
            true => ("No matching tasks", "No ended task matches the filter. <a href=/history>Show all</a>"),
            false => ("No task has ended yet", "Commands run with <code>launch</code> appear here after their end."),
        };
        put!(to, "<div class=\"card empty\"><h2>", title, "</h2><p>", what, "</p></div>");
        return;
    }
    put!(to, table(&page.rows, info.now, true));
    put!(to, "<nav class=pager aria-label=\"Pages of history\">");
    if !form.after.is_empty() {
        put!(to, "<a class=btn href=\"", Text(&address(form, None)), "\">Newest</a>");
    }
    put!(to, "<span>", Text(&super::text::count(page.rows.len() as u64, "task")), "</span>");
    if let Some(next) = page.next {
        let next = address(form, Some(&next.to_string()));
        put!(to, "<a class=btn rel=next href=\"", Text(&next), "\">Older</a>");
    }
    put!(to, "</nav>");
}

/// Returns the address of the page with these fields: the newest rows, or those after a cursor.
fn address(form: &HistoryForm, after: Option<&str>) -> String {
    let limit = form.limit.to_string();
    let fields = [
        ("name", form.name.as_str()),
        ("outcome", &form.outcome),
        ("since", &form.since),
        ("until", &form.until),
        ("user", &form.user),
        ("limit", &limit),
        ("after", after.unwrap_or_default()),
    ];
    let set = fields.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = set.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("/history?{}", pairs.join("&"))
}

fn fields(form: &HistoryForm) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let input = |to: &mut Html, name: &'static str, label: &'static str, hint: &'static str, value: &str| {
            put!(
                to,
                "<label><span>",
                label,
                "</span><input name=",
                name,
                " value=\"",
                Text(value),
                "\" placeholder=\""
            );
            put!(to, hint, "\" autocomplete=off spellcheck=false></label>");
        };
        let option = |to: &mut Html, value: &str, label: &str, selected: bool| {
            let selected = selected.then_some(" selected");
            put!(to, "<option value=\"", Text(value), "\"", selected, ">", Text(label), "</option>");
        };
        put!(to, "<form class=\"card filter\" action=/history role=search aria-label=\"Filter the history\">");
        input(to, "name", "Name", "any", &form.name);
        put!(to, "<label><span>Outcome</span><select name=outcome>");
        for (value, label) in OUTCOMES {
            option(to, value, label, form.outcome == value);
        }
        if OUTCOMES.iter().all(|(value, _)| *value != form.outcome) {
            option(to, &form.outcome, &form.outcome, true);
        }
        put!(to, "</select></label>");
        input(to, "since", "Ended since", "e.g. yesterday", &form.since);
        input(to, "until", "Until", "e.g. 14:30", &form.until);
        input(to, "user", "User", "any", &form.user);
        put!(to, "<label class=short><span>Rows</span><select name=limit>");
        let mut limits = LIMITS.to_vec();
        if !limits.contains(&form.limit) {
            limits.push(form.limit);
            limits.sort_unstable();
        }
        for limit in limits {
            let shown = limit.to_string();
            option(to, &shown, &shown, limit == form.limit);
        }
        put!(to, "</select></label><div class=send><button class=go>Show</button><a class=btn href=/history>Reset</a>");
        put!(to, "</div></form>");
    }
}

/// Table of ended tasks. `named`: with a column of names, which the page of one name omits.
pub(super) fn table(rows: &[HistoryRow], now: i64, named: bool) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        put!(
            to,
            "<table class=\"card list history\"><thead><tr><th scope=col>Outcome</th><th scope=col>Task</th>",
            "<th scope=col>Ended</th><th scope=col>Duration</th><th scope=col>User</th></tr></thead><tbody>",
            each(rows, |to, row| {
                put!(to, "<tr><td>", outcome_badge(row), "</td><th scope=row><a href=/task/", row.taskid, ">");
                match row.taskname.as_deref().filter(|_| named) {
                    Some(name) => put!(to, Brief(name), "</a> <span class=id>#", row.taskid, "</span>"),
                    None => put!(to, "#", row.taskid, "</a>"),
                }
                let why = Some(reason(row)).filter(|why| !why.is_empty());
                put!(
                    to,
                    why.map(|why| move |to: &mut Html| put!(to, "<small>", Brief(why), "</small>")),
                    "</th><td class=num>",
                    Time { at: row.endtime, now },
                    "</td><td class=num>",
                    Text(&row.duration.map(took).unwrap_or_default()),
                    "</td><td>",
                    Brief(row.user.as_deref().unwrap_or_default()),
                    "</td></tr>"
                );
            }),
            "</tbody></table>"
        );
    }
}
