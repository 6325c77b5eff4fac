//! Writes HTML: string literals of the source verbatim, all other text escaped.
//!
//! The compiler enforces the distinction: only a `&'static str` is a part by itself, and no text of
//! a task, a program or a user is one. So no escaping can be forgotten, and no template language is
//! needed, which would add a second copy of the compiler's parser to the build.

use std::fmt::Write;

use crate::model::ansi::misleads;

/// A page, or a part of one, while it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// The text.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Number of bytes so far.
    pub(super) fn weight(&self) -> usize {
        self.0.len()
    }
}

/// A part of a page.
pub(super) trait Part {
    /// Writes the part.
    fn put(self, to: &mut Html);
}

/// Writes several parts in sequence.
macro_rules! put {
    ($to:expr, $($part:expr),+ $(,)?) => {{ $( $crate::model::web::html::Part::put($part, $to); )+ }};
}
pub(super) use put;

impl Part for &'static str {
    fn put(self, to: &mut Html) {
        to.0.push_str(self);
    }
}

impl Part for Html {
    fn put(self, to: &mut Html) {
        to.0.push_str(&self.0);
    }
}

impl<P: Part> Part for Option<P> {
    fn put(self, to: &mut Html) {
        if let Some(part) = self {
            part.put(to);
        }
    }
}

impl<F: FnOnce(&mut Html)> Part for F {
    fn put(self, to: &mut Html) {
        self(to);
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(impl Part for $number {
            fn put(self, to: &mut Html) {
                // Writing to a String cannot fail.
                let _ = write!(to.0, "{self}");
            }
        })+
    };
}
numbers!(i32, i64, u16, u32, u64, usize);

/// A number with up to two decimals; 0 if it is not finite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl Part for Number {
    fn put(self, to: &mut Html) {
        let hundredths = (self.0 * 100.0).round();
        let rounded = if hundredths.is_finite() { hundredths / 100.0 } else { 0.0 };
        let _ = write!(to.0, "{rounded}");
    }
}

/// Text in one line, between tags or in a quoted attribute: control characters and marks that
/// change the direction of writing are escaped, as on a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Part for Text<'_> {
    fn put(self, to: &mut Html) {
        escape(self.0, Breaks::Shown, to);
    }
}

/// Like [`Text`], for lists: a long text is cut, because a name may have a megabyte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief<'a>(pub(super) &'a str);

impl Brief<'_> {
    /// Most characters shown.
    const MOST: usize = 200;
}

impl Part for Brief<'_> {
    fn put(self, to: &mut Html) {
        // A text has at most as many characters as bytes.
        let end = (self.0.len() > Self::MOST).then(|| self.0.char_indices().nth(Self::MOST)).flatten();
        match end {
            None => Text(self.0).put(to),
            Some((end, _)) => put!(to, Text(&self.0[..end]), "…"),
        }
    }
}

/// Text with lines between `<pre>` and `</pre>`: line ends and tabs are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreText<'a>(pub(super) &'a str);

impl Part for PreText<'_> {
    fn put(self, to: &mut Html) {
        escape(self.0, Breaks::Kept, to);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Shown,
    Kept,
}

fn escape(text: &str, breaks: Breaks, to: &mut Html) {
    let to = &mut to.0;
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
    let mut rest = text;
    // Most texts need no escaping, so plain runs are copied whole.
    while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
        to.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        let Some(c) = chars.next() else { break };
        match c {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            '\n' | '\t' if breaks == Breaks::Kept => to.push(c),
            '\n' => to.push_str("\\n"),
            '\t' => to.push_str("\\t"),
            '\r' => to.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(to, "\\x{:02x}", u32::from(c));
            }
            c if misleads(c) => {
                let _ = write!(to, "\\u{{{:x}}}", u32::from(c));
            }
            c => to.push(c),
        }
        rest = chars.as_str();
    }
    to.push_str(rest);
}

/// Writes each item.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, write: impl Fn(&mut Html, T)) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| items.into_iter().for_each(|item| write(to, item))
}
