//! Formats times, durations, sizes, command lines and addresses for pages.

use std::{os::unix::ffi::OsStrExt, time::Duration};

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::html::{Html, Part, Text, put};
use crate::model::{
    ansi::misleads,
    program::ProcState,
    task::{Class, HistoryRow, Status, argv_of_json, round_ms, span},
};

/// An instant, unix seconds, relative to now: UTC with a Z, with data for the script to show local
/// time. Today's date and the current year are omitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) at: i64,
    pub(super) now: i64,
}

impl Part for Time {
    fn put(self, to: &mut Html) {
        match utc(self.at) {
            None => put!(to, "@", self.at),
            Some(at) => {
                let whole = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                put!(to, "<time datetime=\"", Text(&whole), "\">", Text(&short(&whole, at, utc(self.now))), "</time>");
            }
        }
    }
}

/// Shortens `2026-11-25T09:27:01Z` to the parts that differ from now.
fn short(whole: &str, at: DateTime<Utc>, now: Option<DateTime<Utc>>) -> String {
    let part = |range| whole.get(range).unwrap_or_default();
    match now {
        Some(now) if now.date_naive() == at.date_naive() => format!("{}Z", part(11..19)),
        Some(now) if now.year() == at.year() => format!("{} {}Z", part(5..10), part(11..16)),
        _ => format!("{} {}Z", part(0..10), part(11..16)),
    }
}

/// Returns `None` outside the years 0 to 9999.
fn utc(secs: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(secs, 0).filter(|at| (0..=9999).contains(&at.year()))
}

/// Full form, for tooltips: `2026-11-25 09:27:01Z`.
pub(super) fn stamp(at: i64) -> String {
    utc(at).map_or_else(|| format!("@{at}"), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true).replace('T', " "))
}

/// Formats seconds with few digits: `0.12s`, `12.3s`, `4m5s`, `3d4h`.
pub(super) fn took(secs: f64) -> String {
    let secs = secs.max(0.0);
    let digits = |factor: f64| (secs * factor).round() / factor;
    let kept = match secs {
        0.0..0.1 => round_ms(secs),
        0.1..10.0 => digits(100.0),
        10.0..59.9 => digits(10.0),
        59.9..86_400.0 => secs.round(),
        _ => (secs / 60.0).round() * 60.0,
    };
    span(Duration::try_from_secs_f64(kept).unwrap_or_default())
}

/// Format of ages: a fragment for the script contains no ages as text, so that it stays equal, and
/// is not sent again, while only the time has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ages {
    /// As text.
    InWords,
    /// As data: the script counts them.
    ForScript,
}

/// A growing age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// Unix seconds.
    pub(super) at: i64,
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) ages: Ages,
}

impl Part for Since {
    fn put(self, to: &mut Html) {
        let age = self.now.saturating_sub(self.at).max(0);
        let words = if self.ages == Ages::InWords { took(age as f64) } else { String::new() };
        put!(to, "<span data-since=", self.at, ">", Text(&words), "</span>");
    }
}

/// Formats a number with a noun: `2 runs`.
pub(super) fn count(number: u64, name: &str) -> String {
    let end = match (number, name.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{number} {name}{end}")
}

/// Formats an argument vector as a shell command line; invisible characters and invalid UTF-8 use
/// bash's `$'…'`.
pub(super) fn command_line(argv: &Value) -> String {
    let Some(words) = argv_of_json(argv) else { return argv.to_string() };
    let word = |word: std::ffi::OsString| match word.to_str() {
        Some(text) if !text.chars().any(|c| c.is_control() || misleads(c)) => shell_words::quote(text).into_owned(),
        _ => dollar_quoted(word.as_bytes()),
    };
    words.into_iter().map(word).collect::<Vec<_>>().join(" ")
}

fn dollar_quoted(word: &[u8]) -> String {
    let mut quoted = String::from("$'");
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => quoted.push_str("\\n"),
                '\t' => quoted.push_str("\\t"),
                '\'' | '\\' => quoted.extend(['\\', c]),
                c if c.is_control() && c.is_ascii() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
                c if c.is_control() || misleads(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => quoted.push(c),
            }
        }
        quoted.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    quoted + "'"
}

/// Characters that need no escaping anywhere in an address.
const IN_ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Escapes a text for an address.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_ADDRESS).to_string()
}

/// Returns the address of the page of a name. Some names cannot be part of a path: browsers resolve
/// `..`, escaped or not.
pub(super) fn name_address(name: &str) -> String {
    match name {
        "" | "." | ".." => format!("/history?name={}", encoded(name)),
        name => format!("/name/{}", encoded(name)),
    }
}

/// Colour of a status; always accompanied by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Begins,
    Careful,
    Bad,
    Strange,
    Quiet,
}

impl Tone {
    /// Class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "ok",
            Tone::Begins => "go",
            Tone::Careful => "warn",
            Tone::Bad => "bad",
            Tone::Strange => "odd",
            Tone::Quiet => "off",
        }
    }

    pub(super) fn of_state(state: ProcState) -> Tone {
        match state {
            ProcState::Running => Tone::Good,
            ProcState::Starting => Tone::Begins,
            ProcState::Backoff | ProcState::Stopping => Tone::Careful,
            ProcState::Fatal => Tone::Bad,
            ProcState::Unknown => Tone::Strange,
            ProcState::Stopped | ProcState::Exited => Tone::Quiet,
        }
    }

    pub(super) fn of_status(status: Status) -> Tone {
        match status {
            Status::Running => Tone::Good,
            Status::Silent | Status::Stopping => Tone::Careful,
            Status::Stalled => Tone::Bad,
            Status::Orphaned => Tone::Strange,
            Status::Reserved => Tone::Quiet,
        }
    }

    pub(super) fn of_class(class: Class) -> Tone {
        match class {
            Class::Ok => Tone::Good,
            Class::Warnings => Tone::Careful,
            Class::Error => Tone::Bad,
            Class::Unknown => Tone::Strange,
        }
    }
}

/// A word with its colour.
pub(super) fn badge(tone: Tone, word: &str) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| put!(to, "<b class=\"s ", tone.class(), "\">", Text(word), "</b>")
}

/// The reason of an outcome, without the word shown in the badge.
pub(super) fn reason(row: &HistoryRow) -> &str {
    let text = row.outcome.error().unwrap_or_default();
    match row.termerror.as_deref() {
        Some(why) if text.is_empty() => why,
        _ => text,
    }
}

/// The badge of an outcome: `OK`, `WARNINGS: 2`, `ERROR`, `unknown`.
pub(super) fn outcome_badge(row: &HistoryRow) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        let (class, text) = (row.outcome.class(), row.outcome.text());
        let word = match class {
            Class::Error => text.split(':').next().unwrap_or_default(),
            Class::Ok | Class::Warnings | Class::Unknown => &text,
        };
        put!(to, badge(Tone::of_class(class), word));
    }
}

/// Describes an ended task in a sentence.
pub(super) fn sentence(row: &HistoryRow) -> String {
    let after = row.duration.map(|secs| format!(" after {}", took(secs))).unwrap_or_default();
    let why = match reason(row) {
        "" => String::new(),
        why => format!(": {why}"),
    };
    match row.outcome.class() {
        Class::Ok => format!("Succeeded{after}{why}."),
        Class::Warnings => {
            let warnings = count(row.warnings.max(0).unsigned_abs(), "warning");
            format!("Succeeded with {warnings}{after}{why}.")
        }
        Class::Error => format!("Failed{after}{why}."),
        Class::Unknown => format!("The outcome is unknown{why}."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let now = 1_795_599_421; // 2026-11-25 09:37:01 UTC.
        let shown = |at| {
            let mut to = Html::default();
            Time { at, now }.put(&mut to);
            to.into_string()
        };
        assert_eq!(shown(now), "<time datetime=\"2026-11-25T09:37:01Z\">09:37:01Z</time>");
        assert_eq!(shown(now - 86_400), "<time datetime=\"2026-11-24T09:37:01Z\">11-24 09:37Z</time>");
        assert_eq!(shown(0), "<time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00Z</time>");
        assert_eq!([shown(i64::MAX), shown(i64::MIN)], ["@9223372036854775807", "@-9223372036854775808"]);
        assert_eq!(stamp(now), "2026-11-25 09:37:01Z");
    }

    #[test]
    fn durations_have_few_digits() {
        for (secs, words) in [
            (0.0, "0s"),
            (-5.0, "0s"),
            (0.0345, "0.035s"),
            (0.34567, "0.35s"),
            (12.345, "12.3s"),
            (59.97, "1m"),
            (754.4, "12m34s"),
            (86_400.0 * 3.0 + 3_661.0, "3d1h1m"),
            (f64::NAN, "0s"),
            (f64::INFINITY, "0s"),
        ] {
            assert_eq!(took(secs), words, "{secs}");
        }
    }

    #[test]
    fn a_command_line_is_valid_in_a_shell() {
        for (argv, line) in [
            (json!(["ls", "-l", "a b", ""]), "ls -l 'a b' ''"),
            (json!(["it's", "$HOME", "*"]), r"'it'\''s' '$HOME' '*'"),
            (json!(["a\n\t\u{1b}\\'\u{202e}\u{9b}é"]), r"$'a\n\t\x1b\\\'\u202e\u009bé'"),
            (json!([{"bytes": "Yf9i"}]), r"$'a\xffb'"),
            (json!({"not": "words"}), r#"{"not":"words"}"#),
        ] {
            assert_eq!(command_line(&argv), line);
        }
    }

    #[test]
    fn counts_read_well() {
        assert_eq!([count(1, "process"), count(2, "process"), count(0, "run")], ["1 process", "2 processes", "0 runs"]);
    }

    #[test]
    fn every_name_has_an_address() {
        assert_eq!(name_address("web:api 1/é"), "/name/web%3Aapi%201%2F%C3%A9");
        assert_eq!(["", ".", ".."].map(name_address), ["/history?name=", "/history?name=.", "/history?name=.."]);
        assert_eq!(name_address("..."), "/name/...");
    }
}
