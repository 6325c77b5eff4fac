//! The runs of one name: durations and outcomes as figures, as a chart and as a table.

use super::{
    LiveTask, PageInfo, history,
    html::{Brief, Html, Number, Text, put},
    tasks,
    text::{Ages, Time, Tone, count, encoded, outcome_badge, reason, stamp, took},
};
use crate::model::{
    stats::Summary,
    task::{Class, HistoryRow},
};

/// Heights in the chart, pixels: the room above the bars for their marks, and the bars.
const ABOVE: f64 = 18.0;
const BARS: f64 = 140.0;
/// Minimum number of positions for bars, so that the bars of a few runs are not too wide.
const PLACES: usize = 24;
/// Minimum distance between two labels of lines, pixels.
const APART: f64 = 15.0;

pub(super) fn page(
    info: &PageInfo<'_>,
    name: &str,
    (summary, recent, running): (&Summary, &[HistoryRow], &[LiveTask]),
    to: &mut Html,
) {
    let all = format!("/history?name={}", encoded(name));
    put!(to, "<div class=head><div><p class=crumb><a href=/history>History</a></p><h1>", Text(name), "</h1></div>");
    put!(to, "<div class=tools><a class=btn href=\"", Text(&all), "\">Full history</a></div></div>");
    if !running.is_empty() {
        put!(to, "<h2>Running</h2>");
        tasks::live(running, info.now, Ages::InWords, to);
    }
    if summary.runs() == 0 && recent.is_empty() {
        put!(
            to,
            "<div class=\"card empty\"><h2>No run has ended yet</h2><p>Durations appear here once a run has ended.</p></div>"
        );
        return;
    }
    figures(summary, info.now, to);
    // The chart is drawn from left to right, oldest first.
    let mut runs: Vec<&HistoryRow> = recent.iter().collect();
    runs.sort_by_key(|row| (row.endtime, row.id));
    chart(name, summary, &runs, info.now, to);
    put!(to, "<h2>Last runs</h2>", history::table(recent, info.now, false));
}

fn figures(summary: &Summary, now: i64, to: &mut Html) {
    // Never rounded up to 100 %.
    let share = if summary.good() < summary.runs() { summary.success_rate().min(99.4).round() } else { 100.0 };
    let tone = match share {
        100.0 => Tone::Good,
        90.0..100.0 => Tone::Careful,
        _ => Tone::Bad,
    };
    put!(to, "<dl class=figures><div class=card><dt>Runs</dt><dd>", summary.runs(), "</dd></div><div class=\"card ");
    put!(to, tone.class(), "\"><dt>Succeeded</dt><dd>", Number(share), " %</dd></div>");
    for (label, secs) in [("p50", summary.p50), ("p95", summary.p95)] {
        let secs = secs.map_or_else(|| "–".to_owned(), took);
        put!(to, "<div class=card><dt><abbr title=\"this percentage took no longer\">", label, "</abbr></dt><dd>");
        put!(to, Text(&secs), "</dd></div>");
    }
    put!(to, "<div class=card><dt>Last success</dt><dd>");
    match summary.last_success {
        Some(at) => put!(to, Time { at, now }),
        None => put!(to, "never"),
    }
    put!(to, "</dd></div>");
    if let Some((at, why)) = &summary.last_failure {
        put!(to, "<div class=\"card wide\"><dt>Last failure</dt><dd>", Time { at: *at, now });
        put!(to, why.as_deref().map(|why| move |to: &mut Html| put!(to, " <small>", Brief(why), "</small>")));
        put!(to, "</dd></div>");
    }
    put!(to, "</dl>");
}

/// The mark of a result that is not a plain success: visible without colours.
pub(super) fn mark(class: Class) -> Option<&'static str> {
    match class {
        Class::Ok => None,
        Class::Warnings => Some("!"),
        Class::Error => Some("×"),
        Class::Unknown => Some("?"),
    }
}

/// The fill patterns of bars.
pub(super) fn patterns() -> impl FnOnce(&mut Html) {
    |to: &mut Html| {
        for (class, angle) in [("bad", "45"), ("odd", "-45")] {
            put!(
                to,
                "<pattern id=p-",
                class,
                " width=5 height=5 patternUnits=userSpaceOnUse patternTransform=rotate(",
                angle,
                ")><rect class=",
                class,
                " width=5 height=5 /><rect class=gap width=2 height=5 /></pattern>"
            );
        }
    }
}

/// The legend of the marks. `live`: there are bars of live runs.
pub(super) fn legend(live: bool) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        put!(to, "<ul class=legend>");
        for class in Class::ALL {
            let word = match class {
                Class::Ok => "OK",
                Class::Warnings => "WARNINGS",
                Class::Error => "ERROR",
                Class::Unknown => "unknown",
            };
            let tone = Tone::of_class(class).class();
            put!(to, "<li><svg width=14 height=14 aria-hidden=true><rect class=\"bar ", tone, "\" width=14 height=14");
            put!(to, " rx=3 /></svg>", word, mark(class).map(|_| " "), mark(class), "</li>");
        }
        if live {
            put!(to, "<li><svg width=14 height=14 aria-hidden=true><rect class=\"bar ok live\" x=1 y=1 width=12 ");
            put!(to, "height=12 /></svg>still running</li>");
        }
        put!(to, "</ul>");
    }
}

/// Describes one run in a line.
pub(super) fn run_words(row: &HistoryRow) -> String {
    let why = match reason(row) {
        "" => String::new(),
        why if row.outcome.says_error() => format!(": {why}"),
        why => format!(" ({why})"),
    };
    let outcome = if row.outcome.says_error() { "ERROR".into() } else { row.outcome.text() };
    let after = row.duration.map(|secs| format!(", {}", took(secs))).unwrap_or_default();
    format!("#{} {outcome}{why}{after}, ended {}", row.taskid, stamp(row.endtime))
}

/// Draws the bar of a run, with a link to its task: its place and width in percent, and its height.
fn bar(row: &HistoryRow, (x, width, high): (f64, f64, f64), to: &mut Html) {
    let class = row.outcome.class();
    put!(
        to,
        "<a href=/task/",
        row.taskid,
        "><title>",
        Text(&run_words(row)),
        "</title><rect class=hit x=",
        Number(x),
        "% width=",
        Number(width),
        "% height=",
        Number(ABOVE + BARS),
        " /><rect class=\"bar ",
        Tone::of_class(class).class(),
        "\" x=",
        Number(x + width * 0.15),
        "% y=",
        Number(ABOVE + BARS - high),
        " width=",
        Number(width * 0.7),
        "% height=",
        Number(high),
        " rx=2 />"
    );
    if let Some(mark) = mark(class) {
        put!(to, "<text x=", Number(x + width / 2.0), "% y=", Number(ABOVE + BARS - high - 5.0));
        put!(to, " text-anchor=middle class=", Tone::of_class(class).class(), ">", mark, "</text>");
    }
    put!(to, "</a>");
}

fn chart(name: &str, summary: &Summary, runs: &[&HistoryRow], now: i64, to: &mut Html) {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return };
    let longest = runs.iter().filter_map(|row| row.duration).fold(0.0, f64::max);
    let lines = [("p95", summary.p95), ("p50", summary.p50)];
    let drawn = lines.iter().filter_map(|(_, secs)| *secs);
    let top = nice(drawn.fold(longest, f64::max));
    let height = |secs: f64| (secs / top * BARS).clamp(0.0, BARS);
    let failed = runs.iter().filter(|row| !row.outcome.class().is_success()).count();
    let width = 100.0 / runs.len().max(PLACES) as f64;
    let free = PLACES.saturating_sub(runs.len());
    let whole = Number(ABOVE + BARS);
    put!(
        to,
        "<figure class=\"card chart\"><figcaption><h2>Durations of the last ",
        Text(&count(runs.len() as u64, "run")),
        "</h2>",
        legend(false),
        "</figcaption><div class=plot><svg class=ends width=48 height=",
        whole,
        " aria-hidden=true><text x=42 y=",
        Number(ABOVE + 4.0),
        " text-anchor=end>",
        Text(&took(top)),
        "</text><text x=42 y=",
        Number(ABOVE + BARS / 2.0 + 4.0),
        " text-anchor=end>",
        Text(&took(top / 2.0)),
        "</text><text x=42 y=",
        Number(ABOVE + BARS),
        " text-anchor=end>0</text></svg><svg class=bars height=",
        whole,
        " role=group aria-label=\"Durations of the last runs of ",
        Text(name),
        "\"><desc>",
        Text(&count(runs.len() as u64, "run")),
        ", ",
        failed,
        " of them failed; the longest took ",
        Text(&took(longest)),
        ". The table below has them all.</desc><defs>",
        patterns(),
        "</defs>"
    );
    for share in [0.0, 0.5, 1.0] {
        let y = Number(ABOVE + BARS * share);
        put!(to, "<line class=grid x2=100% y1=", y, " y2=", y, " />");
    }
    for (place, row) in runs.iter().enumerate() {
        let high = row.duration.map_or(0.0, height).max(2.0);
        bar(row, (width * (free + place) as f64, width, high), to);
    }
    let mut above = f64::NEG_INFINITY;
    let mut labels = Html::default();
    for (label, secs) in lines {
        let Some(secs) = secs else { continue };
        let y = ABOVE + BARS - height(secs);
        put!(to, "<line class=\"at ", label, "\" x2=100% y1=", Number(y), " y2=", Number(y), " />");
        // If the lines are close, the lower label is moved.
        let placed = (y + 4.0).max(above + APART);
        put!(&mut labels, "<text x=6 y=", Number(placed), " class=", label, ">", label, "</text>");
        above = placed;
    }
    put!(
        to,
        "</svg><svg class=ends width=34 height=",
        whole,
        " aria-hidden=true>",
        labels,
        "</svg></div><p class=range>Ended from ",
        Time { at: first.endtime, now },
        " to ",
        Time { at: last.endtime, now },
        ", the last one at the right: ",
        outcome_badge(last),
        "</p></figure>"
    );
}

/// Returns the next round duration: the end of the axis.
fn nice(secs: f64) -> f64 {
    const WHOLE: [f64; 22] = [
        1.0, 2.0, 4.0, 6.0, 10.0, 20.0, 30.0, 60.0, 120.0, 240.0, 360.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        14_400.0, 28_800.0, 43_200.0, 86_400.0, 172_800.0, 604_800.0,
    ];
    match WHOLE.into_iter().find(|whole| *whole >= secs) {
        Some(1.0) if secs > 0.0 => {
            [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].into_iter().find(|part| *part >= secs).unwrap_or(1.0)
        }
        Some(whole) => whole,
        None => (secs / 604_800.0).ceil() * 604_800.0,
    }
}
