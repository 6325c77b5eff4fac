//! Timeline: a row for each name, with a lane for each run at a time.

use std::collections::BTreeMap;

use super::{
    LiveTask, PageInfo, Span,
    html::{Brief, Html, Number, Text, put},
    name::{legend, mark, patterns, run_words},
    text::{Time, Tone, count, encoded, name_address, stamp, took},
};
use crate::model::{
    query::Page,
    task::{Class, HistoryRow, Status},
};

/// Spans to choose from, hours.
const HOURS: [(i64, &str); 5] = [(1, "1 h"), (6, "6 h"), (24, "24 h"), (72, "3 days"), (168, "7 days")];
/// Distances between grid lines, seconds.
const STEPS: [i64; 13] = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400, 172_800];
/// Most grid lines, for narrow screens.
const LINES: i64 = 6;
/// Heights of a lane and of a bar in it, pixels.
const LANE: usize = 18;
const BAR: usize = 12;
/// Most lanes of a name: further parallel runs are drawn in the last one.
const LANES: usize = 12;
/// Runs narrower than this, percent of the width, are joined with their neighbours: two hundred
/// runs an hour become one bar.
const NARROW: f64 = 0.2;
/// Most bytes of all rows: with frame, style and script the page then has 60 kB.
const PICTURE: usize = 28_000;
/// Minimum width of a bar: a bar without width is not drawn. The border makes it one pixel wide.
const LEAST: f64 = 0.05;

/// Style of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BarKind {
    Ended(Class),
    Live(Status),
}

/// One run.
#[derive(Clone, Copy)]
enum TimelineRun<'a> {
    Ended(&'a HistoryRow),
    Live(&'a LiveTask),
}

/// A bar: one run, or several that are too short to be visible separately.
#[derive(Clone, Copy)]
struct Bar<'a> {
    /// The worst kind among the runs.
    kind: BarKind,
    /// Whether all runs are of that kind.
    alike: bool,
    /// Begin, unix seconds.
    from: i64,
    until: i64,
    runs: u64,
    failed: u64,
    /// The first run.
    run: TimelineRun<'a>,
}

/// How much is joined.
#[derive(Clone, Copy)]
struct Grain {
    /// Largest width, and largest distance, of joined runs, percent of the width.
    narrow: f64,
    /// Whether to join runs of different results, and overlapping runs.
    mixed: bool,
}

/// The runs of one name.
#[derive(Default)]
struct Runs<'a> {
    bars: Vec<Bar<'a>>,
    failed: u64,
    live: u64,
}

pub(super) fn page(info: &PageInfo<'_>, span: Span, (ended, running): (&Page<HistoryRow>, &[LiveTask]), to: &mut Html) {
    let hours = span.until.saturating_sub(span.from) / 3600;
    put!(to, "<div class=head><h1>Timeline</h1><div class=tools><ul class=switch aria-label=\"Span of time\">");
    for (choice, label) in HOURS {
        let current = (choice == hours).then_some(" aria-current=page");
        put!(to, "<li><a href=\"/timeline?hours=", choice, "\"", current, ">", label, "</a></li>");
    }
    put!(to, "</ul></div></div>");
    // With more runs than can be drawn, the picture begins later.
    if let Some(begin) = &ended.next {
        let at = begin.endtime;
        put!(
            to,
            "<p class=hint>Only the last ",
            Text(&count(ended.rows.len() as u64, "run")),
            " are shown, which ended "
        );
        put!(to, "since ", Time { at, now: info.now }, ". <a href=\"/history?until=%40", at, "\">Earlier runs</a></p>");
    }
    let names = gather(span, &ended.rows, running, info.now);
    if names.is_empty() {
        put!(
            to,
            "<div class=\"card empty\"><h2>No runs</h2><p>No task ran between ",
            Time { at: span.from, now: info.now },
            " and ",
            Time { at: span.until, now: info.now },
            ".</p></div>"
        );
        return;
    }
    let ticks = ticks(span);
    let place = |at: i64| share(span, at);
    put!(to, "<svg width=0 height=0 class=sr aria-hidden=true><defs>", patterns(), "<symbol id=grid>");
    for tick in &ticks {
        put!(to, "<line class=grid x1=", Number(place(*tick)), "% x2=", Number(place(*tick)), "% y2=100% />");
    }
    if (span.from..span.until).contains(&info.now) {
        put!(to, "<line class=now x1=", Number(place(info.now)), "% x2=", Number(place(info.now)), "% y2=100% />");
    }
    let (rows, left) = rows(span, &names);
    put!(
        to,
        "</symbol></defs></svg><div class=\"card time\"><div class=bar><p>",
        Time { at: span.from, now: info.now },
        " to ",
        Time { at: span.until, now: info.now },
        "</p>",
        legend(running.iter().any(|live| live.task.starttime.is_some())),
        "</div><table class=lanes><caption class=sr>Runs over time, one row for each name</caption><thead><tr>",
        "<th scope=col class=zone data-zone>UTC</th><th scope=col><span class=sr>Runs</span>",
        "<svg height=18 aria-hidden=true>"
    );
    for tick in &ticks {
        put!(to, "<text x=", Number(place(*tick)), "% y=13 text-anchor=middle data-t=", *tick, ">");
        put!(to, Text(&tick_label(*tick)), "</text>");
    }
    put!(to, "</svg></th></tr></thead><tbody>", rows, "</tbody></table></div>");
    if left > 0 {
        let left = count(left, "more name");
        put!(to, "<p class=hint>", Text(&left), " ran than can be shown: choose a shorter span, or see the ");
        put!(to, "<a href=\"/history?since=%40", span.from, "\">history</a>.</p>");
    }
}

/// Collects the runs that overlap the span, by name and ordered by start.
fn gather<'a>(span: Span, rows: &'a [HistoryRow], running: &'a [LiveTask], now: i64) -> BTreeMap<&'a str, Runs<'a>> {
    let mut names: BTreeMap<&str, Runs<'_>> = BTreeMap::new();
    let is_in = |from: i64, until: i64| from <= span.until && until >= span.from;
    for row in rows {
        let Some(from) = row.starttime.filter(|from| is_in(*from, row.endtime)) else { continue };
        let class = row.outcome.class();
        let (runs, failed) =
            (names.entry(row.taskname.as_deref().unwrap_or_default()).or_default(), !class.is_success());
        runs.failed += u64::from(failed);
        runs.bars.push(Bar {
            kind: BarKind::Ended(class),
            alike: true,
            from,
            until: row.endtime.max(from),
            runs: 1,
            failed: u64::from(failed),
            run: TimelineRun::Ended(row),
        });
    }
    for live in running {
        let Some(from) = live.task.starttime.filter(|from| is_in(*from, now)) else { continue };
        let runs = names.entry(live.task.name.as_str()).or_default();
        runs.live += 1;
        runs.bars.push(Bar {
            kind: BarKind::Live(live.status),
            alike: true,
            from,
            until: now.max(from),
            runs: 1,
            failed: 0,
            run: TimelineRun::Live(live),
        });
    }
    for runs in names.values_mut() {
        runs.bars.sort_by_key(|bar| (bar.from, bar.until, bar.run.task()));
    }
    names
}

impl TimelineRun<'_> {
    fn task(self) -> i64 {
        match self {
            TimelineRun::Ended(row) => row.taskid,
            TimelineRun::Live(live) => live.task.id,
        }
    }
}

/// Returns all rows of the picture, and the number of omitted ones. If they are too large, runs are
/// joined increasingly; rows that still do not fit are omitted.
fn rows(span: Span, names: &BTreeMap<&str, Runs<'_>>) -> (Html, u64) {
    let draw = |grain: Grain| names.iter().map(|(name, runs)| row(span, name, runs, grain)).collect::<Vec<Html>>();
    let weight = |rows: &[Html]| rows.iter().map(Html::weight).sum::<usize>();
    let mut grain = Grain { narrow: NARROW, mixed: false };
    let mut drawn = draw(grain);
    while weight(&drawn) > PICTURE && grain.narrow < 100.0 {
        grain = Grain { narrow: grain.narrow * 2.0, mixed: true };
        drawn = draw(grain);
    }
    let (mut all, mut left) = (Html::default(), 0);
    for row in drawn {
        match all.weight() + row.weight() <= PICTURE {
            true => put!(&mut all, row),
            false => left += 1,
        }
    }
    (all, left)
}

/// Position of an instant, in percent of the width.
fn share(span: Span, at: i64) -> f64 {
    let whole = span.until.saturating_sub(span.from).max(1) as f64;
    (at.saturating_sub(span.from) as f64 / whole * 100.0).clamp(0.0, 100.0)
}

fn ticks(span: Span) -> Vec<i64> {
    let whole = span.until.saturating_sub(span.from).max(1);
    let step = STEPS.into_iter().find(|step| whole / step <= LINES).unwrap_or(whole);
    let first = span.from.div_euclid(step).saturating_add(1).saturating_mul(step);
    // None so close to an edge that its label would be cut.
    let is_inside = |tick: &i64| (2.0..98.0).contains(&share(span, *tick));
    (0..=LINES).map(|n| first.saturating_add(n.saturating_mul(step))).filter(is_inside).collect()
}

/// Formats `14:00`, or at midnight the date.
fn tick_label(at: i64) -> String {
    let whole = stamp(at);
    let part = if at.rem_euclid(86_400) == 0 { whole.get(5..10) } else { whole.get(11..16) };
    part.unwrap_or_default().to_owned()
}

fn row(span: Span, name: &str, runs: &Runs<'_>, grain: Grain) -> Html {
    let Runs { bars, failed, live } = runs;
    let ended = bars.len() as u64 - live;
    let mut counts = vec![];
    if ended > 0 {
        counts.push(count(ended, "run"));
    }
    if *failed > 0 {
        counts.push(format!("{failed} failed"));
    }
    if *live > 0 {
        counts.push(format!("{live} running"));
    }
    let counts = counts.join(", ");
    let lanes = lanes(span, bars, grain);
    let mut to = Html::default();
    put!(
        &mut to,
        "<tr><th scope=row><a href=\"",
        Text(&name_address(name)),
        "\">",
        Brief(name),
        "</a><small>",
        Text(&counts),
        "</small></th><td><svg height=",
        lanes.len() * LANE,
        " role=group aria-label=\"Runs of ",
        Brief(name),
        "\"><desc>",
        Text(&counts),
        "</desc><use href=#grid width=100% height=100% />"
    );
    for (lane, bars) in lanes.iter().enumerate() {
        for bar in bars {
            draw(span, name, bar, lane * LANE + (LANE - BAR) / 2, &mut to);
        }
    }
    put!(&mut to, "</svg></td></tr>");
    to
}

/// Distributes the bars, so that those of one lane do not overlap.
fn lanes<'a>(span: Span, bars: &[Bar<'a>], grain: Grain) -> Vec<Vec<Bar<'a>>> {
    let mut lanes: Vec<Vec<Bar<'_>>> = vec![];
    for bar in bars {
        let is_free = |lane: &Vec<Bar<'_>>| lane.last().is_none_or(|last| last.until <= bar.from);
        let free = lanes.iter().position(is_free);
        let at = match free {
            Some(at) => at,
            None if lanes.len() < LANES => {
                lanes.push(vec![]);
                lanes.len() - 1
            }
            None => LANES - 1,
        };
        match lanes[at].last_mut() {
            Some(last) if is_one(span, last, bar, grain) => last.join(bar),
            _ => lanes[at].push(*bar),
        }
    }
    lanes
}

impl Bar<'_> {
    fn join(&mut self, bar: &Bar<'_>) {
        self.alike &= self.kind == bar.kind;
        if gravity(bar.kind) > gravity(self.kind) {
            self.kind = bar.kind;
        }
        self.until = self.until.max(bar.until);
        self.runs += bar.runs;
        self.failed += bar.failed;
    }
}

/// Order of kinds: the worse one of several is shown.
fn gravity(kind: BarKind) -> u8 {
    match kind {
        BarKind::Ended(Class::Ok) | BarKind::Live(Status::Reserved) => 0,
        BarKind::Ended(Class::Warnings) | BarKind::Live(Status::Running) => 1,
        BarKind::Ended(Class::Unknown) | BarKind::Live(Status::Stopping) => 2,
        BarKind::Ended(Class::Error) | BarKind::Live(Status::Silent) => 3,
        BarKind::Live(Status::Stalled) => 4,
        BarKind::Live(Status::Orphaned) => 5,
    }
}

/// Whether a run is joined with the preceding bar.
fn is_one(span: Span, last: &Bar<'_>, bar: &Bar<'_>, grain: Grain) -> bool {
    let is_narrow = |bar: &Bar<'_>| bar.runs > 1 || share(span, bar.until) - share(span, bar.from) < grain.narrow;
    let apart = share(span, bar.from) - share(span, last.until);
    let is_alike = match (last.kind, bar.kind) {
        (BarKind::Ended(a), BarKind::Ended(b)) => grain.mixed || a == b,
        (BarKind::Live(a), BarKind::Live(b)) => grain.mixed || a == b,
        (BarKind::Ended(_), BarKind::Live(_)) | (BarKind::Live(_), BarKind::Ended(_)) => false,
    };
    let is_close = apart < grain.narrow && (grain.mixed || apart >= 0.0);
    is_alike && is_narrow(last) && is_narrow(bar) && is_close
}

/// Describes a bar in a line.
fn words(bar: &Bar<'_>) -> String {
    match (bar.run, bar.kind) {
        (TimelineRun::Ended(row), _) if bar.runs == 1 => run_words(row),
        (TimelineRun::Live(live), _) if bar.runs == 1 => {
            let ran = took(bar.until.saturating_sub(bar.from) as f64);
            format!("#{} {} for {ran}, started {}", live.task.id, live.status, stamp(bar.from))
        }
        (_, kind) => {
            let how = match kind {
                BarKind::Ended(class) if bar.alike => format!("all {}", class.as_str()),
                BarKind::Ended(_) => format!("{} failed", bar.failed),
                BarKind::Live(status) if bar.alike => format!("all {status}"),
                BarKind::Live(status) => format!("some {status}"),
            };
            format!("{} runs, {how}, {} to {}", bar.runs, stamp(bar.from), stamp(bar.until))
        }
    }
}

fn draw(span: Span, name: &str, bar: &Bar<'_>, y: usize, to: &mut Html) {
    let (tone, mark) = match bar.kind {
        BarKind::Ended(class) => (Tone::of_class(class), mark(class)),
        BarKind::Live(status) => (Tone::of_status(status), None),
    };
    let live = matches!(bar.kind, BarKind::Live(_)).then_some(" live");
    let x = share(span, bar.from);
    let width = (share(span, bar.until) - x).max(LEAST);
    put!(to, "<a href=\"");
    match bar.kind {
        _ if bar.runs == 1 => put!(to, "/task/", bar.run.task()),
        BarKind::Live(_) => put!(to, "/tasks"),
        BarKind::Ended(_) => {
            put!(to, "/history?name=", Text(&encoded(name)), "&amp;since=%40", bar.from, "&amp;until=%40", bar.until);
        }
    }
    put!(to, "\"><title>", Brief(&words(bar)));
    put!(to, "</title><rect class=\"bar ", tone.class(), live, "\" x=", Number(x), "% y=", y, " width=", Number(width));
    put!(to, "% height=", BAR, " rx=2 />");
    if let Some(mark) = mark {
        put!(
            to,
            "<text x=",
            Number(x + width / 2.0),
            "% y=",
            y + BAR - 2,
            " class=\"m ",
            tone.class(),
            "\">",
            mark,
            "</text>"
        );
    }
    put!(to, "</a>");
}
