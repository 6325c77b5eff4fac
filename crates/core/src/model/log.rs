//! The format of a task's log: lines, the mark of a cut, and the last line.
//!
//! A line is `<RFC 3339 time>: <text>`, the format of Proxmox tools (worker tasks of
//! `proxmox_rest_server`). The last line is `<time>: TASK <outcome>`. A log that exceeded its limit
//! begins with a line that gives the number of bytes removed before it.
//!
//! While the task runs, a log over half its limit consists of two files: `X.log` and, before it,
//! `X.log.1`. `X.log` then begins with a line that gives the number of bytes before it, both those
//! in `X.log.1` and those removed. A reader of both files reads as much of `X.log.1` as that number
//! covers, and skips all such lines but the first.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Suffix of the folder of logs of a database.
pub const LOGS: &str = ".logs";

/// The parts of a log's path, `BASE/DB.logs/XX/NAME.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPath<'a> {
    /// The folder of the database.
    pub base: &'a Path,
    /// Name of the folder of logs.
    pub outer: &'a OsStr,
    /// Name of the folder in `outer`.
    pub inner: &'a OsStr,
    /// Name of the log file.
    pub name: &'a OsStr,
}

impl<'a> LogPath<'a> {
    /// Splits a path; `None`: not the path of a log.
    pub fn of(path: &'a Path) -> Option<LogPath<'a>> {
        let (inner, name) = (path.parent()?, path.file_name()?);
        let outer = inner.parent()?;
        let parts = LogPath { base: outer.parent()?, outer: outer.file_name()?, inner: inner.file_name()?, name };
        let fits =
            |text: &OsStr, end: &str| text.as_bytes().strip_suffix(end.as_bytes()).is_some_and(|rest| !rest.is_empty());
        (path.is_absolute() && fits(parts.outer, LOGS) && fits(name, ".log")).then_some(parts)
    }

    /// The path of the database.
    pub fn db(&self) -> PathBuf {
        let name = self.outer.as_bytes();
        self.base.join(OsStr::from_bytes(name.strip_suffix(LOGS.as_bytes()).unwrap_or(name)))
    }
}

/// Default limit of a log, bytes.
pub const LOG_MAX: u64 = 64 << 20;
/// Smallest limit of a log, bytes: room for a few lines and for those that taskwatcher adds.
pub const SMALLEST_LOG: u64 = 4096;

/// Separates the time of a line from its text.
const SEPARATOR: &[u8] = b": ";
const CUT: &str = "[log cut here: ";
const CUT_END: &str = " bytes before this line]";

/// The line, without its time, that marks `bytes` before it.
pub fn cut_text(bytes: u64) -> String {
    format!("{CUT}{bytes}{CUT_END}")
}

/// Parses the number of bytes from such a line, with its time and with or without its line end.
pub fn parse_cut(line: &[u8]) -> Option<u64> {
    let (time, text) = split_time(line);
    time?;
    let text = std::str::from_utf8(text).ok()?.trim_end_matches('\n');
    text.strip_prefix(CUT)?.strip_suffix(CUT_END)?.parse().ok()
}

/// The last line of a task's log, without its time.
pub fn closing_text(outcome: &str) -> String {
    format!("TASK {}", outcome.replace(['\n', '\r'], " "))
}

/// Parses the outcome from a closing line without its time.
pub fn parse_closing(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()?.trim_end_matches('\n').strip_prefix("TASK ")
}

/// Splits a line into time and text. A line without a time (the rest of a line that was cut) is all
/// text.
pub fn split_time(line: &[u8]) -> (Option<&[u8]>, &[u8]) {
    // 2026-11-23T20:15:00Z or …+01:00
    let shape = |at: usize| match at {
        4 | 7 => line.get(at) == Some(&b'-'),
        10 => line.get(at) == Some(&b'T'),
        13 | 16 => line.get(at) == Some(&b':'),
        _ => line.get(at).is_some_and(u8::is_ascii_digit),
    };
    if !(0..19).all(shape) {
        return (None, line);
    }
    let end = match line.get(19) {
        Some(b'Z') => 20,
        Some(b'+' | b'-') => 25,
        _ => return (None, line),
    };
    match line.get(end..end + SEPARATOR.len()) {
        Some(SEPARATOR) => (line.get(..end), &line[end + SEPARATOR.len()..]),
        _ => (None, line),
    }
}

/// Why a text is not a log of the Proxmox API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLog {
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Other JSON.
    #[error("not a list of lines, nor an object with such a list in `data`")]
    NotAList,
    /// An invalid entry of the list.
    #[error("entry {0} is not a line: {1} is missing or invalid")]
    NotALine(usize, &'static str),
}

/// Parses a log of the Proxmox API: `[{"n":1,"t":"text"},…]`, in any order, with or without
/// `{"data":…}` around it; or several of these or of their entries in sequence, as `control log
/// --json --follow` prints them. Returns the lines in the order of their numbers. A line without a
/// text is empty.
///
/// # Errors
/// [`BadLog`]
pub fn parse_api_log(text: &[u8]) -> Result<Vec<String>, BadLog> {
    use serde_json::Value;
    let mut list = vec![];
    let mut is_empty = true;
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        is_empty = false;
        match value.map_err(|error| BadLog::NotJson(error.to_string()))? {
            Value::Array(entries) => list.extend(entries),
            Value::Object(object) if object.contains_key("n") => list.push(Value::Object(object)),
            Value::Object(mut object) => match object.remove("data") {
                Some(Value::Array(entries)) => list.extend(entries),
                Some(_) | None => return Err(BadLog::NotAList),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(BadLog::NotAList),
        }
    }
    if is_empty {
        return Err(BadLog::NotJson("empty input".to_owned()));
    }
    let line = |(index, mut entry): (usize, Value)| {
        let number = entry.get("n").and_then(Value::as_i64).ok_or(BadLog::NotALine(index + 1, "number `n`"))?;
        match entry.get_mut("t").map(Value::take) {
            Some(Value::String(text)) => Ok((number, text)),
            Some(Value::Null) | None => Ok((number, String::new())),
            Some(_) => Err(BadLog::NotALine(index + 1, "text `t`")),
        }
    };
    let mut lines = list.into_iter().enumerate().map(line).collect::<Result<Vec<_>, _>>()?;
    lines.sort_by_key(|(number, _)| *number);
    Ok(lines.into_iter().map(|(_, text)| text).collect())
}

/// A text that is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: expected a number of bytes, or one with K, M or G, such as 500K, 64M, 1G")]
pub struct BadSize;

/// Parses a size in bytes: a whole number, alone or with K, M, G or T (powers of 1024; `k`, `KiB`
/// and the like are accepted too).
///
/// # Errors
/// [`BadSize`]
pub fn parse_size(text: &str) -> Result<u64, BadSize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(BadSize),
    };
    let number: u64 = number.parse().map_err(|_| BadSize)?;
    number.checked_mul(1 << shift).ok_or(BadSize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_separated_from_texts() {
        let split = |line: &'static str| {
            let (time, text) = split_time(line.as_bytes());
            (time.map(|time| str::from_utf8(time).unwrap()), str::from_utf8(text).unwrap())
        };
        assert_eq!(split("2026-11-23T20:15:00Z: a: b"), (Some("2026-11-23T20:15:00Z"), "a: b"));
        assert_eq!(split("2026-11-23T20:15:00-01:30: "), (Some("2026-11-23T20:15:00-01:30"), ""));
        for text in
            ["", "x", "2026-11-23T20:15:00: a", "2026-11-23 20:15:00Z: a", "2026-11-23T20:15:00Z a", "2026-11-2"]
        {
            assert_eq!(split(text), (None, text));
        }
    }

    #[test]
    fn a_cut_and_a_closing_line_are_read_back() {
        let line = format!("2026-11-23T20:15:00Z: {}\n", cut_text(1234));
        assert_eq!(parse_cut(line.as_bytes()), Some(1234));
        assert_eq!(parse_cut(cut_text(1234).as_bytes()), None, "output of a task has no time");
        assert_eq!(parse_cut(b"2026-11-23T20:15:00Z: [log cut here: x bytes before this line]"), None);
        assert_eq!(parse_closing(closing_text("ERROR: a\nb").as_bytes()), Some("ERROR: a b"));
        assert_eq!(parse_closing(b"hello"), None);
    }

    #[test]
    fn the_form_of_the_api_becomes_lines() {
        let read = |text: &str| parse_api_log(text.as_bytes());
        assert_eq!(read(r#"[{"n":8,"t":"b"},{"t":"a\u001b","n":7,"x":1}]"#).unwrap(), ["a\u{1b}", "b"]);
        assert_eq!(read(r#"{"success":1,"data":[{"n":1,"t":""}],"total":1}"#).unwrap(), [""]);
        assert!(read("[]").unwrap().is_empty());
        for (text, why) in [
            ("", "not JSON"),
            ("[{", "not JSON"),
            ("3", "not a list"),
            (r#"{"data":null}"#, "not a list"),
            (r#"[{"n":1,"t":"a"},{"t":"b"}]"#, "entry 2 is not a line: number `n` is missing or invalid"),
            (r#"[{"n":1,"t":5}]"#, "entry 1 is not a line: text `t` is missing or invalid"),
            ("[4]", "entry 1"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_their_units() {
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("10"), Ok(10));
        assert_eq!(parse_size("2KiB"), Ok(2048));
        assert_eq!(parse_size("1t"), Ok(1 << 40));
        for text in ["", "M", "-1", "1.5M", "1X", "99999999999999999999", "99999999999T", "1 M"] {
            assert_eq!(parse_size(text), Err(BadSize), "{text}");
        }
    }
}
