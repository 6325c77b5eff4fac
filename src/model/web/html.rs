//! How HTML is written here: what is a literal of ours goes out as it is, everything else escaped.
//!
//! The compiler tells them apart: only a `&'static str` is a part by itself, and nothing that a task, a program or a
//! reader of the page wrote is one. So no text can be forgotten, and no template language is needed; those that there
//! are would bring a second copy of the compiler's parser into the build.

use std::fmt::Write;

use crate::model::ansi::misleads;

/// A page, or a part of one, as it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// What was written.
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// Its bytes so far.
    pub(super) fn weight(&self) -> usize {
        self.0.len()
    }
}

/// What can stand in a page.
pub(super) trait Part {
    /// Writes it.
    fn put(self, to: &mut Html);
}

/// Writes parts, one after the other.
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
                // A String takes all that is written to it.
                let _ = write!(to.0, "{self}");
            }
        })+
    };
}
numbers!(i32, i64, u16, u32, u64, usize);

/// A number with up to two digits behind the point; 0 for what is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl Part for Number {
    fn put(self, to: &mut Html) {
        let hundredths = (self.0 * 100.0).round();
        let rounded = if hundredths.is_finite() { hundredths / 100.0 } else { 0.0 };
        let _ = write!(to.0, "{rounded}");
    }
}

/// A text in one line, between tags or in a quoted attribute: control characters and marks that turn the direction of
/// writing are shown escaped, as on a terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Part for Text<'_> {
    fn put(self, to: &mut Html) {
        escape(self.0, Breaks::Shown, to);
    }
}

/// The same for lists: of a text that is longer than anyone reads there only its begin, as a name may have a megabyte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief<'a>(pub(super) &'a str);

impl Brief<'_> {
    /// Characters that are shown at the most.
    const MOST: usize = 200;
}

impl Part for Brief<'_> {
    fn put(self, to: &mut Html) {
        // A text of so few bytes has no more characters.
        let end = (self.0.len() > Self::MOST).then(|| self.0.char_indices().nth(Self::MOST)).flatten();
        match end {
            None => Text(self.0).put(to),
            Some((end, _)) => put!(to, Text(&self.0[..end]), "…"),
        }
    }
}

/// A text with lines between `<pre>` and `</pre>`: line ends and tabs stay.
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
    // Nearly all texts are plain to their end, so what is plain is taken in one piece.
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

/// Something for each item.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, write: impl Fn(&mut Html, T)) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| items.into_iter().for_each(|item| write(to, item))
}
