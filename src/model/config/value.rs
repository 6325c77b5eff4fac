//! Readers of values, and tables with the positions of their keys. Knows no particular key.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::model::task::{BadSignal, Signal};

use super::report::{At, Bad, Report, hint};

/// A value with its position.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// Characters of a value shown in a message.
const SHOWN: usize = 60;
/// Longest duration, in seconds (about thirty years): sums of a few of them never overflow.
const LONGEST: f64 = 1e9;

/// A file, with the data to convert offsets to line numbers.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// Folder of the file, the base of its relative paths.
    pub(super) here: PathBuf,
    /// Offsets at which the lines begin.
    lines: Vec<usize>,
}

impl SourceFile {
    pub(super) fn new(path: &Path, text: &str) -> SourceFile {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let here = path.parent().unwrap_or(path).to_owned();
        SourceFile { path: path.to_owned(), here, lines: std::iter::once(0).chain(breaks).collect() }
    }

    /// Returns the line number of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    pub(super) fn at(&self, offset: usize, table: &str, key: &str) -> At {
        At { file: Some(self.path.clone()), line: self.line(offset), table: table.to_owned(), key: key.to_owned() }
    }

    /// Returns the range of a line in the text, without its line end.
    pub(super) fn span_of_line(&self, line: usize, text: &str) -> Range<usize> {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.lines.get(line).map_or(text.len(), |next| next.saturating_sub(1));
        start..end.max(start)
    }
}

/// A value with the position of its key.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// One table. Keys are requested by name; keys never requested are reported as unknown.
pub(super) struct Section<'a> {
    pub(super) source: &'a SourceFile,
    /// Name, such as `programs.web`.
    pub(super) name: String,
    /// Position of its header.
    pub(super) at: At,
    entries: Vec<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Value<'a>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Makes a section of a value; reports a value that is not a table.
    pub(super) fn new(
        source: &'a SourceFile,
        name: String,
        value: &'a Value<'a>,
        report: &mut Report,
    ) -> Option<Section<'a>> {
        let at = source.at(value.span().start, &name, "");
        match value.get_ref() {
            DeValue::Table(table) => Some(Section::of(source, name, at, table)),
            other => {
                report.error(&at, format!("{} is not a table", shown(other)), format!("write [{name}]"));
                None
            }
        }
    }

    /// Makes a section of a table.
    pub(super) fn of(source: &'a SourceFile, name: String, at: At, table: &'a DeTable<'a>) -> Section<'a> {
        Section { source, name, at, entries: table.iter().collect(), asked: Vec::new() }
    }

    /// Position of a key.
    pub(super) fn at(&self, key: &Spanned<std::borrow::Cow<'a, str>>) -> At {
        self.source.at(key.span().start, &self.name, key.get_ref())
    }

    /// Position to report for a missing key.
    pub(super) fn at_missing(&self, key: &str) -> At {
        At { key: key.to_owned(), ..self.at.clone() }
    }

    /// The keys not requested yet, in the order of the file.
    pub(super) fn rest(&mut self) -> Vec<(&'a str, At, &'a Value<'a>)> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), self.at(key), value)).collect()
    }

    /// Takes the raw value of a key.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<(At, &'a Value<'a>)> {
        self.asked.push(key);
        let found = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        let (name, value) = self.entries.remove(found);
        Some((self.at(name), value))
    }

    /// Takes the value of a key; reports an invalid one.
    pub(super) fn take<T>(
        &mut self,
        report: &mut Report,
        key: &'static str,
        read: impl FnOnce(&DeValue<'a>) -> Result<T, Bad>,
    ) -> Option<Written<T>> {
        let (at, value) = self.raw(key)?;
        match read(value.get_ref()) {
            Ok(value) => Some(Written { value, at }),
            Err(bad) => {
                let at = bad.offset.map_or(at.clone(), |offset| At { line: self.source.line(offset), ..at });
                report.bad(&at, bad);
                None
            }
        }
    }

    /// Like [`Section::take`], for a key with an alias; reports an error if both are set.
    pub(super) fn take_either<T>(
        &mut self,
        report: &mut Report,
        keys: [&'static str; 2],
        read: impl Fn(&DeValue<'a>) -> Result<T, Bad>,
    ) -> Option<Written<T>> {
        let first = self.take(report, keys[0], &read);
        let other = self.take(report, keys[1], &read);
        match (first, other) {
            (Some(first), Some(other)) => {
                let what = format!("{} and {} are two names of one key", keys[0], keys[1]);
                report.error(&other.at, what, format!("keep {}", keys[0]));
                Some(first)
            }
            (first, other) => first.or(other),
        }
    }

    /// Reports every key that was not requested as unknown.
    pub(super) fn finish(mut self, report: &mut Report) {
        for (key, at, value) in self.rest() {
            let what = if value.get_ref().is_table() { "unknown table" } else { "unknown key" };
            report.error(&at, what, hint(key, &self.asked));
        }
    }
}

/// Formats a value for a message.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Formats a text for a message: quoted, on one line, truncated.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Bad> {
    let allowed = "true or false, without quotes";
    value.as_bool().ok_or_else(|| Bad::new(format!("{} is not a boolean", shown(value)), allowed))
}

/// Reads a text without NUL characters.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, Bad> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err(Bad::new(format!("{} contains a NUL character", quoted(text)), "")),
        Some(text) => Ok(text.to_owned()),
        None => Err(Bad::new(format!("{} is not a string", shown(value)), "a text in quotes")),
    }
}

/// Reads a text that is not blank.
pub(super) fn word(value: &DeValue<'_>) -> Result<String, Bad> {
    let text = string(value)?;
    match text.trim().is_empty() {
        true => Err(Bad::new("empty", "a text in quotes")),
        false => Ok(text),
    }
}

/// Reads a text that no message may show.
pub(super) fn secret(value: &DeValue<'_>) -> Result<String, Bad> {
    match value.as_str() {
        Some(text) if !text.contains('\0') => Ok(text.to_owned()),
        Some(_) => Err(Bad::new("contains a NUL character", "")),
        None => Err(Bad::new(format!("{} is not a string", value.type_str()), "a text in quotes")),
    }
}

/// Reads an array of texts; an error names the invalid element.
pub(super) fn strings(value: &DeValue<'_>) -> Result<Vec<String>, Bad> {
    elements(value, "an array of strings", string)
}

/// Reads an array; an error names the invalid element.
fn elements<T>(
    value: &DeValue<'_>,
    allowed: &str,
    read: impl Fn(&DeValue<'_>) -> Result<T, Bad>,
) -> Result<Vec<T>, Bad> {
    let Some(array) = value.as_array() else {
        return Err(Bad::new(format!("{} is not an array", shown(value)), allowed));
    };
    let one = |(index, element): (usize, &Value<'_>)| {
        read(element.get_ref()).map_err(|bad| Bad {
            what: format!("element {index}: {}", bad.what),
            allowed: allowed.to_owned(),
            offset: Some(element.span().start),
        })
    };
    array.iter().enumerate().map(one).collect()
}

/// Reads a whole number in a range.
pub(super) fn integer(range: std::ops::RangeInclusive<i64>) -> impl Fn(&DeValue<'_>) -> Result<i64, Bad> {
    move |value| {
        let allowed = match (*range.start(), *range.end()) {
            (i64::MIN, i64::MAX) => "a whole number".to_owned(),
            (low, i64::MAX) => format!("a whole number from {low}"),
            (low, high) => format!("a whole number from {low} to {high}"),
        };
        let Some(number) = value.as_integer() else {
            return Err(Bad::new(format!("{} is not an integer", shown(value)), allowed));
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        parsed.filter(|n| range.contains(n)).ok_or_else(|| Bad::new(format!("{number} is out of range"), allowed))
    }
}

/// Reads a count.
pub(super) fn count(value: &DeValue<'_>) -> Result<u32, Bad> {
    let number = integer(0..=i64::from(u32::MAX))(value)?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Reads an amount of at least one.
pub(super) fn amount(value: &DeValue<'_>) -> Result<u64, Bad> {
    integer(1..=i64::MAX)(value).map(i64::unsigned_abs)
}

/// Reads a number of bytes; `None`: no limit.
pub(super) fn size(value: &DeValue<'_>) -> Result<Option<u64>, Bad> {
    let allowed = "bytes, or a text such as \"50MB\" with KB, MB or GB; 0 for no limit";
    let bad = |what: &str| Bad::new(format!("{} {what}", shown(value)), allowed);
    let bytes = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        DeValue::String(text) => {
            let text = text.trim().to_ascii_uppercase();
            let unit = |unit, bytes: i64| text.strip_suffix(unit).map(|number| (number.trim_end(), bytes));
            let (number, unit) = unit("KB", 1 << 10)
                .or_else(|| unit("MB", 1 << 20))
                .or_else(|| unit("GB", 1 << 30))
                .unwrap_or((&text, 1));
            number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit))
        }
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    match bytes {
        None => Err(bad("is not a size")),
        Some(bytes) if bytes < 0 => Err(bad("is negative")),
        Some(0) => Ok(None),
        Some(bytes) => Ok(Some(bytes.unsigned_abs())),
    }
}

/// Reads a number of seconds.
pub(super) fn seconds(value: &DeValue<'_>) -> Result<Duration, Bad> {
    seconds_or(value, "seconds, such as 10 or 0.5")
}

/// Reads a number of seconds; `allowed` describes the alternatives.
fn seconds_or(value: &DeValue<'_>, allowed: &str) -> Result<Duration, Bad> {
    let bad = |what: &str| Bad::new(format!("{} {what}", shown(value)), allowed);
    let number = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|n| if n < 0 { -1.0 } else { Duration::from_secs(n.unsigned_abs()).as_secs_f64() }),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().filter(|n| n.is_finite()),
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    };
    match number {
        None => Err(bad("is not a number of seconds")),
        Some(number) if number < 0.0 => Err(bad("is negative")),
        Some(number) if number > LONGEST => Err(bad("is too long")),
        Some(number) => Duration::try_from_secs_f64(number).map_err(|_| bad("is too long")),
    }
}

/// Reads a number of seconds, or "forever".
pub(super) fn seconds_or_forever(value: &DeValue<'_>) -> Result<Option<Duration>, Bad> {
    match value.as_str() {
        Some("forever") => Ok(None),
        _ => seconds_or(value, "seconds, such as 10 or 0.5, or \"forever\"").map(Some),
    }
}

/// Reads how many starts may fail; `None`: any number.
pub(super) fn retries(value: &DeValue<'_>) -> Result<Option<u32>, Bad> {
    match value.as_str() {
        Some("unlimited") => Ok(None),
        _ => count(value)
            .map(Some)
            .map_err(|bad| Bad { allowed: "a whole number from 0, or \"unlimited\"".into(), ..bad }),
    }
}

/// Reads exit codes.
pub(super) fn codes(value: &DeValue<'_>) -> Result<Vec<u8>, Bad> {
    elements(value, "an array of exit codes from 0 to 255", |element| {
        let code = integer(0..=255)(element)?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    })
}

/// Reads permissions in octal, up to `highest`.
pub(super) fn octal(highest: u32) -> impl Fn(&DeValue<'_>) -> Result<u32, Bad> {
    move |value| {
        let allowed = format!("octal, such as 0o022 or \"022\", up to 0o{highest:o}");
        let digits = match value {
            DeValue::Integer(number) if number.radix() == 8 || number.as_str() == "0" => number.as_str(),
            DeValue::Integer(number) => {
                let digits = number.as_str();
                let octal = number.radix() == 10 && u32::from_str_radix(digits, 8).is_ok_and(|n| n <= highest);
                let octal = octal && digits.bytes().all(|b| b.is_ascii_digit());
                let hint = if octal { format!("write 0o{digits}") } else { allowed };
                return Err(Bad::new(format!("{number} is not written in octal"), hint));
            }
            DeValue::String(text) => text.strip_prefix("0o").unwrap_or(text),
            DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                ""
            }
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match plain.then(|| u32::from_str_radix(digits, 8)) {
            Some(Ok(bits)) if bits <= highest => Ok(bits),
            Some(Ok(_)) => Err(Bad::new(format!("{} is out of range", shown(value)), allowed)),
            Some(Err(_)) | None => Err(Bad::new(format!("{} is not an octal number", shown(value)), allowed)),
        }
    }
}

/// Reads a signal.
pub(super) fn signal(value: &DeValue<'_>) -> Result<Signal, Bad> {
    let allowed = "use a name such as TERM or SIGINT, or a number in quotes";
    match value {
        DeValue::Integer(number) => Err(Bad::new(
            format!("{number} is not a string"),
            format!("write \"{number}\", or a name such as \"TERM\""),
        )),
        other => match other.as_str() {
            Some(text) => text.parse().map_err(|error| match error {
                BadSignal::Unknown => Bad::new(format!("unknown signal {}", quoted(text)), allowed),
                BadSignal::RealTime => {
                    Bad::new(format!("{} is a real-time signal, which cannot be sent", quoted(text)), allowed)
                }
            }),
            None => Err(Bad::new(format!("{} is not a string", shown(other)), allowed)),
        },
    }
}

/// Reads one of several keywords.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, Bad> {
    move |value| {
        let list: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let allowed = format!("use {}", list.join(", "));
        let text = match value {
            DeValue::String(text) => text,
            DeValue::Boolean(yes) if words.iter().any(|(word, _)| *word == yes.to_string()) => {
                return Err(Bad::new(
                    format!("{yes} is not a string"),
                    format!("write \"{yes}\" in quotes; {allowed}"),
                ));
            }
            other => return Err(Bad::new(format!("{} is not a string", shown(other)), allowed)),
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, meant)| *meant);
        found.ok_or_else(|| Bad::new(format!("unknown value {}", quoted(text)), allowed))
    }
}

/// Longest name, bytes: with the suffixes of logs and rotated logs it is a file name, which has at
/// most 255.
const LONGEST_NAME: usize = 200;

/// Checks the name of a program, process or group.
pub(super) fn name(text: &str) -> Result<(), Bad> {
    if text.len() > LONGEST_NAME {
        // Not shown: the name would fill the screen.
        let what = format!("the name has {} bytes", text.len());
        return Err(Bad::new(what, format!("at most {LONGEST_NAME}, because names of logs are derived from it")));
    }
    let allowed = "a name has no blanks, no control characters and none of : / [ ] % * ?";
    let wrong = |c: &char| c.is_whitespace() || c.is_control() || ":/[]%*?".contains(*c);
    match text.chars().find(wrong) {
        Some(c) => Err(Bad::new(format!("the name {} contains {c:?}", quoted(text)), allowed)),
        None if text.is_empty() => Err(Bad::new("the name is empty", allowed)),
        None if text == "." || text == ".." => {
            Err(Bad::new(format!("the name {} is the name of a folder", quoted(text)), "choose another"))
        }
        None if text == "all" => Err(Bad::new("the name \"all\" stands for all processes", "choose another")),
        None if text.bytes().all(|b| b.is_ascii_digit()) => Err(Bad::new(
            format!("the name {} consists of digits only, like a job number", quoted(text)),
            "add a letter",
        )),
        None => Ok(()),
    }
}

/// Checks the name of a variable and returns its value as text. No message contains the value.
pub(super) fn variable(name: &str, value: &DeValue<'_>) -> Result<String, Bad> {
    let fits = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    if name.is_empty() || !name.char_indices().all(fits) {
        let allowed = "letters A-Z a-z, digits and _, not beginning with a digit";
        return Err(Bad::new("not a valid variable name", allowed));
    }
    match value {
        DeValue::String(text) if text.contains('\0') => Err(Bad::new("its value contains a NUL character", "")),
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string())),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => {
            let what = format!("its value is {}", shown(value));
            Err(Bad::new(what, "a string, number, boolean or datetime"))
        }
    }
}

/// Reads an array of texts with the offset of each.
pub(super) fn placed_strings(value: &DeValue<'_>) -> Result<Vec<(String, usize)>, Bad> {
    let texts = strings(value)?;
    let places = value.as_array().into_iter().flatten().map(|element| element.span().start);
    Ok(texts.into_iter().zip(places).collect())
}

/// Like [`placed_strings`], and also accepts one text with several words, without offsets.
pub(super) fn placed_words(value: &DeValue<'_>) -> Result<Vec<(String, Option<usize>)>, Bad> {
    const ALLOWED: &str = "an array of strings, or one string with blanks between them";
    if value.as_str().is_some() {
        let text = string(value).map_err(|bad| Bad { allowed: ALLOWED.to_owned(), ..bad })?;
        return Ok(text.split_whitespace().map(|word| (word.to_owned(), None)).collect());
    }
    let texts = elements(value, ALLOWED, string)?;
    let places = value.as_array().into_iter().flatten().map(|element| Some(element.span().start));
    Ok(texts.into_iter().zip(places).collect())
}
