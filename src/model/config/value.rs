//! Values as they are written: tables with the lines of their keys, and what each kind of value may be (CFG-11 to
//! CFG-19). Nothing here knows which keys there are.

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

/// A value in its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// Letters of a value that are shown in a message.
const SHOWN: usize = 60;
/// The longest duration, in seconds (some thirty years): sums of a few of them never overflow.
const LONGEST: f64 = 1e9;

/// A file, with what is needed to tell its lines.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// Its folder: what relative paths in it are relative to.
    pub(super) here: PathBuf,
    /// Where its lines begin.
    lines: Vec<usize>,
}

impl SourceFile {
    pub(super) fn new(path: &Path, text: &str) -> SourceFile {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let here = path.parent().unwrap_or(path).to_owned();
        SourceFile { path: path.to_owned(), here, lines: std::iter::once(0).chain(breaks).collect() }
    }

    /// The line that a place in the text is on, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    pub(super) fn at(&self, offset: usize, table: &str, key: &str) -> At {
        At { file: Some(self.path.clone()), line: self.line(offset), table: table.to_owned(), key: key.to_owned() }
    }

    /// Where a line lies in the text, its end not counted.
    pub(super) fn span_of_line(&self, line: usize, text: &str) -> Range<usize> {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.lines.get(line).map_or(text.len(), |next| next.saturating_sub(1));
        start..end.max(start)
    }
}

/// A value with the place of its key.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// One table, whose keys are asked for by name; what nobody asked for is unknown.
pub(super) struct Section<'a> {
    pub(super) source: &'a SourceFile,
    /// Its name, such as `programs.web`.
    pub(super) name: String,
    /// Its head.
    pub(super) at: At,
    entries: Vec<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Value<'a>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The table of that name; says so if it is none.
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

    /// A table that is one for sure.
    pub(super) fn of(source: &'a SourceFile, name: String, at: At, table: &'a DeTable<'a>) -> Section<'a> {
        Section { source, name, at, entries: table.iter().collect(), asked: Vec::new() }
    }

    /// Where a key stands.
    pub(super) fn at(&self, key: &Spanned<std::borrow::Cow<'a, str>>) -> At {
        self.source.at(key.span().start, &self.name, key.get_ref())
    }

    /// Where a key that is not there would stand.
    pub(super) fn at_missing(&self, key: &str) -> At {
        At { key: key.to_owned(), ..self.at.clone() }
    }

    /// All that is left, in the order of the file.
    pub(super) fn rest(&mut self) -> Vec<(&'a str, At, &'a Value<'a>)> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|(key, _)| key.span().start);
        entries.into_iter().map(|(key, value)| (key.get_ref().as_ref(), self.at(key), value)).collect()
    }

    /// Takes the value of a key as it is.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<(At, &'a Value<'a>)> {
        self.asked.push(key);
        let found = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        let (name, value) = self.entries.remove(found);
        Some((self.at(name), value))
    }

    /// Takes the value of a key; says what is wrong with it.
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

    /// As [`Section::take`], of a key with another name that is as good; both at once is one too many.
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

    /// Says of every key that nobody asked for that it is unknown.
    pub(super) fn finish(mut self, report: &mut Report) {
        for (key, at, value) in self.rest() {
            let what = if value.get_ref().is_table() { "unknown table" } else { "unknown key" };
            report.error(&at, what, hint(key, &self.asked));
        }
    }
}

/// A value in a message.
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

/// A text in a message: in quotes, on one line, and not too long.
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

/// A text that the system can take.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, Bad> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err(Bad::new(format!("{} contains a NUL character", quoted(text)), "")),
        Some(text) => Ok(text.to_owned()),
        None => Err(Bad::new(format!("{} is not a string", shown(value)), "a text in quotes")),
    }
}

/// A text that says something.
pub(super) fn word(value: &DeValue<'_>) -> Result<String, Bad> {
    let text = string(value)?;
    match text.trim().is_empty() {
        true => Err(Bad::new("it is empty", "a text in quotes")),
        false => Ok(text),
    }
}

/// A text that no message may show.
pub(super) fn secret(value: &DeValue<'_>) -> Result<String, Bad> {
    match value.as_str() {
        Some(text) if !text.contains('\0') => Ok(text.to_owned()),
        Some(_) => Err(Bad::new("it contains a NUL character", "")),
        None => Err(Bad::new(format!("{} is not a string", value.type_str()), "a text in quotes")),
    }
}

/// An array of texts; says which element is none.
pub(super) fn strings(value: &DeValue<'_>) -> Result<Vec<String>, Bad> {
    elements(value, "an array of strings", string)
}

/// An array; says which element is wrong.
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

/// A whole number in a range.
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

/// A count.
pub(super) fn count(value: &DeValue<'_>) -> Result<u32, Bad> {
    let number = integer(0..=i64::from(u32::MAX))(value)?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// An amount of at least one.
pub(super) fn amount(value: &DeValue<'_>) -> Result<u64, Bad> {
    integer(1..=i64::MAX)(value).map(i64::unsigned_abs)
}

/// A number of bytes (CFG-11); none: no limit.
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

/// Seconds (CFG-14).
pub(super) fn seconds(value: &DeValue<'_>) -> Result<Duration, Bad> {
    seconds_or(value, "seconds, such as 10 or 0.5")
}

/// Seconds, where something else would do too.
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

/// Seconds, or a word for "as long as it takes".
pub(super) fn seconds_or_forever(value: &DeValue<'_>) -> Result<Option<Duration>, Bad> {
    match value.as_str() {
        Some("forever") => Ok(None),
        _ => seconds_or(value, "seconds, such as 10 or 0.5, or \"forever\"").map(Some),
    }
}

/// How many starts may fail; none: any number.
pub(super) fn retries(value: &DeValue<'_>) -> Result<Option<u32>, Bad> {
    match value.as_str() {
        Some("unlimited") => Ok(None),
        _ => count(value)
            .map(Some)
            .map_err(|bad| Bad { allowed: "a whole number from 0, or \"unlimited\"".into(), ..bad }),
    }
}

/// Exit codes.
pub(super) fn codes(value: &DeValue<'_>) -> Result<Vec<u8>, Bad> {
    elements(value, "an array of exit codes from 0 to 255", |element| {
        let code = integer(0..=255)(element)?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    })
}

/// Permissions in octal (CFG-12), up to `highest`.
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

/// A signal (CFG-15).
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

/// One of some words.
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

/// Bytes of a name: with the endings of logs and of older logs it is the name of a file, which has 255 at most.
const LONGEST_NAME: usize = 200;

/// What is wrong with the name of a program, process or group (CFG-13).
pub(super) fn name(text: &str) -> Result<(), Bad> {
    if text.len() > LONGEST_NAME {
        // Not shown: it would fill the screen.
        let what = format!("the name has {} bytes", text.len());
        return Err(Bad::new(what, format!("at most {LONGEST_NAME}, as names of logs are made of it")));
    }
    let allowed = "a name has no blanks, no control characters and none of : / [ ] % * ?";
    let wrong = |c: &char| c.is_whitespace() || c.is_control() || ":/[]%*?".contains(*c);
    match text.chars().find(wrong) {
        Some(c) => Err(Bad::new(format!("the name {} contains {c:?}", quoted(text)), allowed)),
        None if text.is_empty() => Err(Bad::new("the name is empty", allowed)),
        None if text == "." || text == ".." => {
            Err(Bad::new(format!("the name {} is that of a folder", quoted(text)), "choose another"))
        }
        None if text == "all" => Err(Bad::new("the name \"all\" stands for all processes", "choose another")),
        None if text.bytes().all(|b| b.is_ascii_digit()) => Err(Bad::new(
            format!("the name {} is only digits, as the numbers of jobs are", quoted(text)),
            "add a letter",
        )),
        None => Ok(()),
    }
}

/// The name of a variable and its value as text (CFG-19). The value is in no message.
pub(super) fn variable(name: &str, value: &DeValue<'_>) -> Result<String, Bad> {
    let fits = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    if name.is_empty() || !name.char_indices().all(fits) {
        let allowed = "letters A-Z a-z, digits and _, not beginning with a digit";
        return Err(Bad::new("not a name for a variable", allowed));
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

/// An array of texts with the place of each.
pub(super) fn placed_strings(value: &DeValue<'_>) -> Result<Vec<(String, usize)>, Bad> {
    let texts = strings(value)?;
    let places = value.as_array().into_iter().flatten().map(|element| element.span().start);
    Ok(texts.into_iter().zip(places).collect())
}

/// The same; or one text of several words, which have the place of the whole.
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
