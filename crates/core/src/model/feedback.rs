//! Parser of feedback files: lines `[keyword]value`, read incrementally.
//!
//! One job: bytes in, the current values out. Opens no file and knows no clock. Accepts any bytes
//! in any pieces, never fails, and its memory is bounded.
//!
//! # The grammar
//!
//! | line | does |
//! |---|---|
//! | `[keyword]value` | sets the keyword; the last value wins, and the keyword keeps its position |
//! | `[keyword]` | removes the keyword; if set again, it goes last |
//! | `[]` | removes all values (warnings stay counted) |
//! | `#…`, an empty line | nothing, silently |
//! | anything else | nothing; a strict reader gets the line, its number and the reason |
//!
//! A keyword has no white space, no `]`, and does not begin with a digit. The value is every byte between the bracket
//! and the line end (one CR before the LF belongs to the line end); invalid UTF-8 becomes U+FFFD.
//!
//! # Limits
//!
//! What fits is kept; [`Feedback::left_out`] reports the rest. A line that is too long is left out
//! whole, because half a value would be a wrong value. A value that does not fit leaves the keyword
//! unchanged.
//!
//! # Speed
//!
//! The same few keywords recur, so a keyword is first looked up at the position where one of its
//! shape was seen last, and only then by hash. A value overwrites the old one in the same memory. A
//! removed keyword leaves a hole; holes are closed when they are half of the list, so that no order
//! of lines makes this slow.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Bytes of an ignored line that are passed to a strict reader, enough to recognize it.
const SAMPLE: usize = 256;

/// Values shorter than this keep the memory of a longer predecessor; longer ones return unused
/// memory.
const SPARE: usize = 256;

/// Positions in the cache of keywords by shape; more than the keywords of any usual file.
const RECENT: usize = 64;

/// Limits of a feedback file. The default is documented as part of the file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, without its end. A longer line is an error, and would have to be buffered
    /// until its end.
    pub line: usize,
    /// Keywords set at one time. All of them together are also limited to `values` bytes.
    pub keywords: usize,
    /// Bytes of all values at one time, as UTF-8.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { line: 1 << 20, keywords: 4096, values: 1 << 20 }
    }
}

/// Why a line was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It does not begin with `[`.
    NoKeyword,
    /// No `]`.
    NotClosed,
    /// `[]` with text after it.
    NoName,
    /// White space in the keyword.
    WhiteSpace,
    /// The keyword begins with a digit.
    Digit,
    /// Longer than [`Limits::line`].
    TooLong,
    /// A new keyword, while [`Limits::keywords`] are set.
    TooManyKeywords,
    /// A value that would exceed [`Limits::values`].
    TooMuchText,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::NoKeyword => "does not begin with [keyword]",
            Why::NotClosed => "the bracket is not closed",
            Why::NoName => "text after []",
            Why::WhiteSpace => "white space in the keyword",
            Why::Digit => "the keyword begins with a digit",
            Why::TooLong => "the line is too long",
            Why::TooManyKeywords => "too many keywords",
            Why::TooMuchText => "too much text in all values together",
        })
    }
}

/// A line without effect, for a strict reader.
#[derive(Debug, Clone, Copy)]
pub struct Ignored<'a> {
    /// The line number, from 1.
    pub number: u64,
    /// The line without its end; only the start of a line that is too long.
    pub text: &'a [u8],
    /// The reason.
    pub why: Why,
}

/// Lines that one limit left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Number of lines.
    pub lines: u64,
    /// Number of the first line, from 1.
    pub first: u64,
}

impl Count {
    fn add(&mut self, line: u64) {
        if self.lines == 0 {
            self.first = line;
        }
        self.lines = self.lines.saturating_add(1);
    }
}

/// Lines that the limits left out. Formats as one line for a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Lines longer than [`Limits::line`].
    #[serde(default)]
    pub long: Count,
    /// Lines with a new keyword beyond [`Limits::keywords`].
    #[serde(default)]
    pub keywords: Count,
    /// Lines with a value beyond [`Limits::values`].
    #[serde(default)]
    pub values: Count,
    #[serde(skip)]
    limits: Limits,
}

impl LeftOut {
    fn is_empty(&self) -> bool {
        self.long.lines == 0 && self.keywords.lines == 0 && self.values.lines == 0
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { line, keywords, values } = self.limits;
        let reasons = [
            (&self.long, format!("longer than {}", size(line))),
            (&self.keywords, format!("with new keywords, at most {keywords} are kept")),
            (&self.values, format!("with new values, at most {} of values are kept", size(values))),
        ];
        f.write_str("left out ")?;
        let mut separator = "";
        for (count, reason) in reasons.iter().filter(|(count, _)| count.lines > 0) {
            let Count { lines, first } = count;
            match lines {
                1 => write!(f, "{separator}line {first} {reason}")?,
                _ => write!(f, "{separator}{lines} lines {reason} (the first is line {first})")?,
            }
            separator = "; ";
        }
        Ok(())
    }
}

/// Formats a size in bytes.
fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

#[derive(Debug, Clone)]
struct Entry {
    key: Box<str>,
    value: String,
    /// Whether this is the keyword `warning`, which is counted: precomputed, because it is checked
    /// for every line.
    is_warning: bool,
}

/// The values a command has reported so far, and the parser of its feedback file.
///
/// Serialized, it holds all that is needed to continue later with new data of the file, except the
/// bytes of an unterminated last line: store the offset where that line starts
/// ([`Feedback::pending`] bytes before the end of what was pushed) and push from there.
#[derive(Debug, Clone)]
pub struct Feedback {
    limits: Limits,
    /// In the order of first being set; a removed entry leaves a hole.
    entries: Vec<Option<Entry>>,
    /// Position of each keyword in `entries`.
    places: HashMap<Box<[u8]>, u32>,
    /// Position of the last keyword of each shape: a guess, always verified.
    recent: [u32; RECENT],
    key_bytes: usize,
    value_bytes: usize,
    warnings: u64,
    lines: u64,
    left_out: LeftOut,
    /// The unterminated last line: all of it, or a sample if it exceeds the limit.
    partial: Vec<u8>,
    partial_len: u64,
}

impl Default for Feedback {
    fn default() -> Feedback {
        Feedback::with_limits(Limits::default())
    }
}

impl Feedback {
    /// Makes an empty parser with other limits than those of the format.
    pub fn with_limits(limits: Limits) -> Feedback {
        Feedback {
            limits,
            entries: Vec::new(),
            places: HashMap::new(),
            recent: [0; RECENT],
            key_bytes: 0,
            value_bytes: 0,
            warnings: 0,
            lines: 0,
            left_out: LeftOut { limits, ..LeftOut::default() },
            partial: Vec::new(),
            partial_len: 0,
        }
    }

    /// Parses the next bytes of the file. An unterminated last line is held until more bytes come,
    /// or until [`Feedback::finish`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_strict(bytes, &mut |_| ());
    }

    /// Like [`Feedback::push`], and reports every ignored line except comments and empty lines.
    pub fn push_strict(&mut self, bytes: &[u8], report: &mut dyn FnMut(Ignored<'_>)) {
        let mut rest = bytes;
        if self.partial_len > 0 {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.hold(rest);
                return;
            };
            self.hold(&rest[..end]);
            self.end_partial(true, report);
            rest = &rest[end + 1..];
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', rest) {
            let line = &rest[start..end];
            self.line(line.strip_suffix(b"\r").unwrap_or(line), report);
            start = end + 1;
        }
        self.hold(&rest[start..]);
    }

    /// Marks the end of the file: an unterminated last line counts now.
    pub fn finish(&mut self) {
        self.finish_strict(&mut |_| ());
    }

    /// Like [`Feedback::finish`], and reports an ignored last line.
    pub fn finish_strict(&mut self, report: &mut dyn FnMut(Ignored<'_>)) {
        if self.partial_len > 0 {
            // No LF follows: a CR belongs to the value.
            self.end_partial(false, report);
        }
    }

    /// Returns the state after [`Feedback::finish`] without changing this one.
    pub fn peek(&self) -> Feedback {
        let mut end = self.clone();
        end.finish();
        end
    }

    /// Number of bytes in the unterminated last line.
    pub fn pending(&self) -> u64 {
        self.partial_len
    }

    /// Drops the unterminated last line and returns its length; the reader will read it again.
    pub fn forget_pending(&mut self) -> u64 {
        self.partial.clear();
        std::mem::take(&mut self.partial_len)
    }

    /// Keywords and values in the order in which the keywords were first set.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().flatten().map(|entry| (&*entry.key, entry.value.as_str()))
    }

    /// The value of a keyword.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        let place = *self.places.get(keyword.as_bytes())?;
        Some(&self.entries.get(place as usize)?.as_ref()?.value)
    }

    /// Number of keywords set.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no keyword is set.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The values as a JSON object.
    pub fn to_map(&self) -> Map<String, Value> {
        self.values().map(|(key, value)| (key.to_owned(), Value::from(value))).collect()
    }

    /// The values as one line of JSON, in order; every value is a string.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(2 + self.key_bytes + self.value_bytes + 6 * self.len());
        json.push('{');
        for (key, value) in self.values() {
            if json.len() > 1 {
                json.push(',');
            }
            push_json_string(&mut json, key);
            json.push(':');
            push_json_string(&mut json, value);
        }
        json.push('}');
        json
    }

    /// Number of warnings ever reported: lines `[warning]text`. Neither `[warning]` nor `[]` resets
    /// it.
    pub fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Percent done, 0 to 100, if `[progress]` is a number in that range; a `%` after it is
    /// allowed.
    pub fn progress(&self) -> Option<f64> {
        let text = self.get("progress")?.trim();
        let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse::<f64>().ok()?;
        // Adding zero turns -0 into 0.
        (0.0..=100.0).contains(&number).then_some(number + 0.0)
    }

    /// Number of complete lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// The lines that the limits left out, if any.
    pub fn left_out(&self) -> Option<&LeftOut> {
        (!self.left_out.is_empty()).then_some(&self.left_out)
    }

    /// Buffers the bytes of an incomplete line, as long as it can still become a valid one.
    fn hold(&mut self, bytes: &[u8]) {
        let before = self.partial_len;
        self.partial_len = before.saturating_add(bytes.len() as u64);
        // One byte more than a line may have: it may be the CR of the line end.
        let most = self.limits.line.saturating_add(1);
        if self.partial_len <= most as u64 {
            self.partial.extend_from_slice(bytes);
        } else if before <= most as u64 {
            // The line has just become too long: only a sample is needed from here on.
            let missing = SAMPLE.saturating_sub(self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            self.partial.truncate(SAMPLE);
            self.partial.shrink_to_fit();
        }
    }

    fn end_partial(&mut self, by_newline: bool, report: &mut dyn FnMut(Ignored<'_>)) {
        let mut held = std::mem::take(&mut self.partial);
        let length = std::mem::take(&mut self.partial_len);
        if length > held.len() as u64 {
            self.lines += 1;
            self.too_long(&held, report);
        } else {
            let line = match by_newline {
                true => held.strip_suffix(b"\r").unwrap_or(&held),
                false => &held,
            };
            self.line(line, report);
        }
        held.clear();
        self.partial = held;
    }

    fn line(&mut self, line: &[u8], report: &mut dyn FnMut(Ignored<'_>)) {
        self.lines += 1;
        if line.len() > self.limits.line {
            return self.too_long(line, report);
        }
        let mut ignored = |why| report(Ignored { number: self.lines, text: line, why });
        let Some(rest) = line.strip_prefix(b"[") else {
            return match line.first() {
                None | Some(b'#') => (),
                Some(_) => ignored(Why::NoKeyword),
            };
        };
        let Some(end) = memchr::memchr(b']', rest) else { return ignored(Why::NotClosed) };
        let (key, value) = (&rest[..end], &rest[end + 1..]);
        if key.is_empty() {
            return match value.is_empty() {
                true => self.forget(),
                false => ignored(Why::NoName),
            };
        }
        let outcome = match self.find(key) {
            // A keyword that is set was validated before.
            Some(place) if value.is_empty() => {
                self.remove(place);
                Ok(())
            }
            Some(place) => self.replace(place, value),
            None => self.add(key, value),
        };
        if let Err(why) = outcome {
            report(Ignored { number: self.lines, text: line, why });
        }
    }

    fn too_long(&mut self, line: &[u8], report: &mut dyn FnMut(Ignored<'_>)) {
        // The text is lost, but the warning counts: the outcome depends on it.
        if line.starts_with(b"[warning]") {
            self.warnings += 1;
        }
        self.left_out.long.add(self.lines);
        let text = line.get(..SAMPLE).unwrap_or(line);
        report(Ignored { number: self.lines, text, why: Why::TooLong });
    }

    fn forget(&mut self) {
        self.entries.clear();
        self.places.clear();
        self.key_bytes = 0;
        self.value_bytes = 0;
    }

    /// Returns the position of a keyword, if it is set.
    #[inline]
    fn find(&mut self, key: &[u8]) -> Option<usize> {
        let shape = shape(key);
        let guess = self.recent[shape] as usize;
        if let Some(Some(entry)) = self.entries.get(guess)
            && entry.key.as_bytes() == key
        {
            return Some(guess);
        }
        let place = *self.places.get(key)?;
        self.recent[shape] = place;
        Some(place as usize)
    }

    fn replace(&mut self, place: usize, value: &[u8]) -> Result<(), Why> {
        let Some(Some(entry)) = self.entries.get_mut(place) else { return Ok(()) };
        if entry.is_warning {
            self.warnings += 1;
        }
        let value = String::from_utf8_lossy(value);
        let others = self.value_bytes - entry.value.len();
        if value.len() > self.limits.values.saturating_sub(others) {
            self.left_out.values.add(self.lines);
            return Err(Why::TooMuchText);
        }
        self.value_bytes = others + value.len();
        entry.value.clear();
        if entry.value.capacity() > SPARE && entry.value.capacity() / 4 > value.len() {
            // Otherwise thousands of keywords could each hold the memory of the longest value they
            // ever had.
            entry.value = String::new();
        }
        entry.value.push_str(&value);
        Ok(())
    }

    /// Sets (or removes) a keyword whose bytes differ from those of every set keyword.
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), Why> {
        let key = String::from_utf8_lossy(key);
        if key.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Why::Digit);
        }
        if key.contains(char::is_whitespace) {
            return Err(Why::WhiteSpace);
        }
        if let Cow::Owned(repaired) = &key
            && let Some(place) = self.find(repaired.as_bytes())
        {
            // The keyword is set under its form with U+FFFD: the same keyword for readers of the
            // JSON.
            return match value.is_empty() {
                true => {
                    self.remove(place);
                    Ok(())
                }
                false => self.replace(place, value),
            };
        }
        if value.is_empty() {
            return Ok(());
        }
        let is_warning = key == "warning";
        if is_warning {
            self.warnings += 1;
        }
        if self.len() >= self.limits.keywords || key.len() > self.limits.values.saturating_sub(self.key_bytes) {
            self.left_out.keywords.add(self.lines);
            return Err(Why::TooManyKeywords);
        }
        let value = String::from_utf8_lossy(value);
        if value.len() > self.limits.values.saturating_sub(self.value_bytes) {
            self.left_out.values.add(self.lines);
            return Err(Why::TooMuchText);
        }
        self.key_bytes += key.len();
        self.value_bytes += value.len();
        let place = self.entries.len() as u32;
        self.recent[shape(key.as_bytes())] = place;
        self.places.insert(key.as_bytes().into(), place);
        self.entries.push(Some(Entry { key: key.into(), value: value.into_owned(), is_warning }));
        Ok(())
    }

    fn remove(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::take) else { return };
        self.places.remove(entry.key.as_bytes());
        self.key_bytes -= entry.key.len();
        self.value_bytes -= entry.value.len();
        // Holes are closed when they are half of the list, so that each removal pays for at most
        // one move.
        if self.entries.len() > 2 * self.places.len() + RECENT {
            self.entries.retain(Option::is_some);
            for (place, entry) in self.entries.iter().flatten().enumerate() {
                if let Some(old) = self.places.get_mut(entry.key.as_bytes()) {
                    *old = place as u32;
                }
            }
        }
    }
}

/// Hashes length and three letters of a keyword: enough to distinguish the few keywords of a file,
/// and cheaper than a hash of all.
#[inline]
fn shape(key: &[u8]) -> usize {
    let letter = |at: usize| key.get(at).copied().unwrap_or(0) as usize;
    let length = key.len();
    (length.wrapping_mul(5) ^ letter(0) ^ (letter(length / 2) << 1) ^ (letter(length.wrapping_sub(1)) << 2)) % RECENT
}

/// Appends a JSON string with its quotes. Runs of plain characters are copied whole.
fn push_json_string(json: &mut String, text: &str) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // The byte found is ASCII, so both cuts are between characters.
        let (plain, special) = rest.split_at(at);
        json.push_str(plain);
        let byte = special.as_bytes()[0];
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            _ => {
                json.push_str("\\u00");
                json.push(HEX[(byte >> 4) as usize]);
                json.push(HEX[(byte & 15) as usize]);
            }
        }
        rest = &special[1..];
    }
    json.push_str(rest);
    json.push('"');
}

/// Serialized form of [`Feedback`]. Pairs, not an object, because the order matters.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Stored {
    values: Vec<(String, String)>,
    lines: u64,
    warnings: u64,
    left_out: LeftOut,
}

impl Serialize for Feedback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Store<'a> {
            values: Vec<(&'a str, &'a str)>,
            lines: u64,
            warnings: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            left_out: Option<&'a LeftOut>,
        }
        Store { values: self.values().collect(), lines: self.lines, warnings: self.warnings, left_out: self.left_out() }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Feedback {
    /// Stored values pass the same rules and limits as a file, so that a manually edited row cannot
    /// produce values that no file could.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Feedback, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let mut feedback = Feedback::default();
        for (key, value) in &stored.values {
            let known = key.is_empty() || key.contains(']') || feedback.find(key.as_bytes()).is_some();
            if known || value.contains('\n') || feedback.add(key.as_bytes(), value.as_bytes()).is_err() {
                return Err(serde::de::Error::custom(format!("{key:?} is not a keyword with a value that fits")));
            }
        }
        feedback.lines = stored.lines;
        feedback.warnings = stored.warnings;
        feedback.left_out = LeftOut { limits: feedback.limits, ..stored.left_out };
        Ok(feedback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "[info]Starting test\n[playbook]myPlaybook\n[info]\n[heartbeat]\n[testcase_id]001\n\
        [testcase_name]Initialization\n[progress]12\n[progress]15\n[testcase_id]002\n\
        [testcase_name]Setting up topology\n[progress]10\n";

    fn read(text: impl AsRef<[u8]>) -> Feedback {
        let mut feedback = Feedback::default();
        feedback.push(text.as_ref());
        feedback.finish();
        feedback
    }

    fn json(text: impl AsRef<[u8]>) -> String {
        read(text).to_json()
    }

    fn ignored(text: impl AsRef<[u8]>) -> Vec<(u64, Why)> {
        let mut lines = Vec::new();
        let mut feedback = Feedback::default();
        let mut report = |line: Ignored<'_>| lines.push((line.number, line.why));
        feedback.push_strict(text.as_ref(), &mut report);
        feedback.finish_strict(&mut report);
        lines
    }

    #[test]
    fn the_example_of_the_format() {
        let expected =
            r#"{"playbook":"myPlaybook","testcase_id":"002","testcase_name":"Setting up topology","progress":"10"}"#;
        assert_eq!(json(EXAMPLE), expected);
    }

    #[test]
    fn a_keyword_set_again_keeps_its_place_and_a_removed_one_goes_last() {
        assert_eq!(json("[a]1\n[b]2\n[a]3\n"), r#"{"a":"3","b":"2"}"#);
        assert_eq!(json("[a]1\n[b]2\n[a]\n[a]3\n"), r#"{"b":"2","a":"3"}"#);
    }

    #[test]
    fn an_empty_keyword_alone_forgets_everything_but_the_warnings() {
        let feedback = read("[a]1\n[warning]w\n[]\n[b]2\n");
        assert_eq!(feedback.to_json(), r#"{"b":"2"}"#);
        assert_eq!(feedback.warnings(), 1);
        assert_eq!(json("[a]1\n[]text\n"), r#"{"a":"1"}"#, "with text the line is ignored");
        assert_eq!(json("[a]1\n[]\r\n"), "{}");
    }

    #[test]
    fn the_value_is_exactly_what_follows_the_bracket() {
        assert_eq!(json("[a] 1 \n"), r#"{"a":" 1 "}"#);
        assert_eq!(json("[a]]x]\n"), r#"{"a":"]x]"}"#);
        assert_eq!(json("[a][b]c\n"), r#"{"a":"[b]c"}"#);
        assert_eq!(json("[a] \n"), r#"{"a":" "}"#, "a blank is a value");
        assert_eq!(json("[a]#1\n"), r##"{"a":"#1"}"##);
    }

    #[test]
    fn one_cr_before_the_lf_belongs_to_the_line_end() {
        assert_eq!(json("[a]1\r\n[b]2\r\n[a]\r\n"), r#"{"b":"2"}"#);
        assert_eq!(json("[a]1\r\r\n"), r#"{"a":"1\r"}"#);
        assert_eq!(json("[a]1\r2\n"), r#"{"a":"1\r2"}"#);
        assert_eq!(json("[a]1\r"), r#"{"a":"1\r"}"#, "no LF follows");
    }

    #[test]
    fn invalid_keywords() {
        let text = "x\n[a b]1\n[1a]1\n[]x\n[a\n[a\u{3000}b]1\n [a]1\n[\ta]1\n# fine\n\n\r\n[9]\n[a]\n[é]1\n";
        let whys = [
            (1, Why::NoKeyword),
            (2, Why::WhiteSpace),
            (3, Why::Digit),
            (4, Why::NoName),
            (5, Why::NotClosed),
            (6, Why::WhiteSpace),
            (7, Why::NoKeyword),
            (8, Why::WhiteSpace),
            (12, Why::Digit),
        ];
        assert_eq!(ignored(text), whys);
        assert_eq!(json(text), r#"{"é":"1"}"#);
    }

    #[test]
    fn invalid_utf8_becomes_the_replacement_character() {
        assert_eq!(json(b"[a]\xffx\n"), "{\"a\":\"\u{fffd}x\"}");
        assert_eq!(json(b"[\xff]1\n[\xfe]2\n"), "{\"\u{fffd}\":\"2\"}", "the same keyword to a reader of the JSON");
        assert_eq!(json(b"[a]1\n[\xff]1\n[\xfe]\n"), r#"{"a":"1"}"#);
        assert_eq!(json(b"[a]\xe2\x82\n[b]\xe2\x82\xac\n"), "{\"a\":\"\u{fffd}\",\"b\":\"€\"}");
    }

    #[test]
    fn json_escapes_what_json_must() {
        let text = "[a\"\\]q\" b\\ \t\u{1}\u{1f}\u{7f} é\u{2028}\0\n";
        let value: Value = serde_json::from_str(&json(text)).unwrap();
        assert_eq!(value["a\"\\"], "q\" b\\ \t\u{1}\u{1f}\u{7f} é\u{2028}\0");
    }

    #[test]
    fn an_unterminated_last_line_waits_for_its_end() {
        let mut feedback = Feedback::default();
        feedback.push(b"[a]1\n[b]2");
        assert_eq!(feedback.to_json(), r#"{"a":"1"}"#);
        assert_eq!(feedback.pending(), 4);
        assert_eq!(feedback.peek().to_json(), r#"{"a":"1","b":"2"}"#);
        feedback.push(b"3\n");
        assert_eq!(feedback.to_json(), r#"{"a":"1","b":"23"}"#);
        assert_eq!(feedback.pending(), 0);
    }

    #[test]
    fn warnings_are_counted_once_a_line_with_text() {
        let feedback = read("[warning]one\n[warning]\n[warning]two\n[]\n[warning] \n[warning]\n");
        assert_eq!(feedback.warnings(), 3);
        assert_eq!(feedback.to_json(), "{}");
    }

    #[test]
    fn progress_is_a_number_from_0_to_100() {
        let progress = |text: &str| read(format!("[progress]{text}\n")).progress();
        assert_eq!(progress("12"), Some(12.0));
        assert_eq!(progress(" 12.5 % "), Some(12.5));
        assert_eq!(progress("100%"), Some(100.0));
        assert_eq!(progress("-0").map(f64::is_sign_negative), Some(false));
        for bad in ["", "101", "-1", "x", "NaN", "inf", "12 of 100", "%", "1e400"] {
            assert_eq!(progress(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_may_have_one_mebibyte_and_not_a_byte_more() {
        let most = Limits::default().line;
        let line = |length: usize| format!("[a]{}", "x".repeat(length - 3));
        for end in ["\n", "\r\n", ""] {
            let fits = read(line(most) + end);
            assert_eq!(fits.left_out(), None);
            assert_eq!(fits.get("a").map(str::len), Some(most - 3));
            let long = read(line(most + 1) + end + if end.is_empty() { "" } else { "[b]2\n" });
            assert_eq!(long.get("a"), None);
            assert_eq!(long.left_out().unwrap().to_string(), "left out line 1 longer than 1 MiB");
            assert_eq!(long.get("b").is_some(), !end.is_empty());
        }
    }

    #[test]
    fn a_line_that_never_ends_is_not_held() {
        let mut feedback = Feedback::default();
        let piece = vec![b'x'; 1 << 18];
        feedback.push(b"[warning]");
        for _ in 0..64 {
            feedback.push(&piece);
            assert!(feedback.partial.capacity() <= 2 << 20);
        }
        assert_eq!(feedback.pending(), 9 + 64 * (1 << 18));
        assert!(feedback.partial.capacity() <= 2 * SAMPLE);
        assert_eq!(feedback.left_out(), None, "counted when it ends, so that reading it again counts it once");
        let mut seen = Vec::new();
        feedback.push_strict(b"x\n[a]1\n", &mut |line| seen.push((line.number, line.why, line.text.len())));
        assert_eq!(seen, [(1, Why::TooLong, SAMPLE)]);
        assert_eq!(feedback.warnings(), 1, "the line is left out, but its warning counts");
        assert_eq!(feedback.to_json(), r#"{"a":"1"}"#);
    }

    #[test]
    fn keywords_up_to_the_limit_and_again_after_a_removal() {
        let mut text: String = (0..4097).map(|n| format!("[k{n}]{n}\n")).collect();
        text += "[k0]new\n[k1]\n[last]x\n[more]x\n";
        let feedback = read(&text);
        assert_eq!(feedback.len(), 4096);
        assert_eq!((feedback.get("k0"), feedback.get("k4096")), (Some("new"), None));
        assert_eq!((feedback.get("last"), feedback.get("more")), (Some("x"), None));
        let message = "left out 2 lines with new keywords, at most 4096 are kept (the first is line 4097)";
        assert_eq!(feedback.left_out().unwrap().to_string(), message);
    }

    #[test]
    fn values_up_to_the_limit_held_at_one_moment() {
        let half = "x".repeat(512 << 10);
        let two = format!("[a]{half}\n[b]{half}\n");
        assert_eq!(read(&two).left_out(), None);
        let feedback = read(two.clone() + "[c]1\n[a]1\n[c]2\n");
        assert_eq!((feedback.get("a"), feedback.get("c")), (Some("1"), Some("2")));
        let message = "left out line 3 with new values, at most 1 MiB of values are kept";
        assert_eq!(feedback.left_out().unwrap().to_string(), message);
        let feedback = read(two.clone() + "[b]" + &half + "y\n");
        assert_eq!(feedback.get("b").map(str::len), Some(512 << 10), "the other values stay");
        assert_eq!(read(two.clone() + "[]\n[c]1\n").left_out(), None);
        assert_eq!(read(two + "[a]\n[c]1\n").left_out(), None);
    }

    #[test]
    fn long_keywords_are_bounded_too() {
        let mut feedback = Feedback::default();
        for n in 0..8 {
            feedback.push(format!("[k{n}{}]1\n", "y".repeat(300 << 10)).as_bytes());
        }
        assert_eq!(feedback.len(), 3);
        assert_eq!(feedback.left_out().unwrap().keywords, Count { lines: 5, first: 4 });
    }

    #[test]
    fn short_values_give_back_the_memory_of_long_ones() {
        let mut feedback = Feedback::default();
        let long = "x".repeat(1 << 19);
        for n in 0..64 {
            feedback.push(format!("[k{n}]{long}\n[k{n}]short\n").as_bytes());
        }
        let held: usize = feedback.entries.iter().flatten().map(|entry| entry.value.capacity()).sum();
        assert!(held < 64 * 2 * SPARE, "{held}");
    }

    #[test]
    fn holes_are_closed() {
        let mut feedback = Feedback::default();
        for n in 0..100_000 {
            feedback.push(format!("[k{}]1\n[k{}]\n", n % 5000, (n + 2500) % 5000).as_bytes());
            assert!(feedback.entries.len() <= 2 * 4096 + RECENT + 1);
        }
        for (key, _) in feedback.values() {
            assert!(feedback.get(key).is_some());
        }
    }

    #[test]
    fn a_stored_state_is_continued_later() {
        let text = format!("{EXAMPLE}[warning]w\n{}\n[half", "x".repeat(2 << 20));
        let mut first = Feedback::default();
        first.push(text.as_bytes());
        let stored = serde_json::to_string(&first).unwrap();
        assert_eq!(first.forget_pending(), 5);
        let mut later: Feedback = serde_json::from_str(&stored).unwrap();
        assert_eq!(later.pending(), 0);
        for feedback in [&mut first, &mut later] {
            feedback.push(b"[half]2\n");
        }
        assert_eq!(later.to_json(), first.to_json());
        assert_eq!((later.warnings(), later.lines()), (1, first.lines()));
        assert_eq!(later.left_out(), first.left_out());
        assert!(later.left_out().is_some());
        for bad in [r#"{"values":[["a b","1"]]}"#, r#"{"values":[["a","1"],["a","2"]]}"#, r#"{"values":[["a","1\n"]]}"#]
        {
            assert!(serde_json::from_str::<Feedback>(bad).is_err(), "{bad}");
        }
    }

    /// The grammar, implemented as simply as possible.
    fn plain(bytes: &[u8]) -> (Vec<(String, String)>, u64) {
        let mut values: Vec<(String, String)> = Vec::new();
        let mut warnings = 0;
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let last = lines.pop();
        let ended = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        for line in ended.chain(last) {
            let line = String::from_utf8_lossy(line);
            let Some((key, value)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { continue };
            if key.is_empty() && value.is_empty() {
                values.clear();
            }
            if key.is_empty() || key.contains(char::is_whitespace) || key.as_bytes()[0].is_ascii_digit() {
                continue;
            }
            if key == "warning" && !value.is_empty() {
                warnings += 1;
            }
            match values.iter().position(|(known, _)| known == key) {
                Some(at) if value.is_empty() => drop(values.remove(at)),
                Some(at) => values[at].1 = value.to_string(),
                None if value.is_empty() => (),
                None => values.push((key.to_string(), value.to_string())),
            }
        }
        (values, warnings)
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            8 => "\\[[a-c]{1,2}\\][xé ]{0,3}\r?\n".prop_map(String::into_bytes),
            2 => "\\[(warning|progress|)\\](1|)\n".prop_map(String::into_bytes),
            2 => "[#\\[\\]a1 \r\n]{0,6}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..12),
            1 => Just(b"[\xff]\xfe\n".to_vec()),
        ];
        prop::collection::vec(line, 0..60).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_read_as_the_simple_grammar_does(bytes in lines(), cuts in prop::collection::vec(0..400_usize, 0..8)) {
            let mut feedback = Feedback::default();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, more) = rest.split_at(cut.min(rest.len()));
                feedback.push(piece);
                rest = more;
            }
            feedback.push(rest);
            feedback.finish();
            let (values, warnings) = plain(&bytes);
            let got: Vec<_> = feedback.values().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            prop_assert_eq!(&got, &values);
            prop_assert_eq!(feedback.warnings(), warnings);
            prop_assert_eq!(feedback.len(), values.len());
            let json: Map<String, Value> = serde_json::from_str(&feedback.to_json()).unwrap();
            prop_assert_eq!(json, feedback.to_map());
            let stored = serde_json::to_string(&feedback).unwrap();
            let again: Feedback = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(again.to_json(), feedback.to_json());
        }

        #[test]
        fn small_limits_are_never_exceeded(bytes in lines()) {
            let limits = Limits { line: 6, keywords: 2, values: 3 };
            let mut feedback = Feedback::with_limits(limits);
            for byte in bytes {
                feedback.push(&[byte]);
                prop_assert!(feedback.len() <= limits.keywords);
                prop_assert!(feedback.values().map(|(_, value)| value.len()).sum::<usize>() <= limits.values);
                prop_assert_eq!(feedback.value_bytes, feedback.values().map(|(_, value)| value.len()).sum::<usize>());
                prop_assert_eq!(feedback.key_bytes, feedback.values().map(|(key, _)| key.len()).sum::<usize>());
            }
        }
    }
}
