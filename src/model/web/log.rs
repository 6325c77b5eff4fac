//! Output of a task or a program: lines with their colours. All other terminal sequences are
//! removed, as in `control log`.

use super::html::{Html, PreText, Text, put};
use crate::model::ansi::fit;

/// A log in a scrollable frame. `stream` is the address of its text, which the script follows if
/// the log is `live`.
pub(super) fn block<'a>(text: &'a str, stream: &'a str, link: &'static str, live: bool) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        put!(to, "<div class=\"card log\"><div class=loghead><h2>Log</h2><span class=state></span>");
        put!(to, "<a href=\"", Text(stream), "\">", link, "</a></div>");
        put!(to, "<pre tabindex=0 role=region aria-label=Log");
        if live {
            put!(to, " data-stream=\"", Text(stream), "\"");
        }
        put!(to, ">");
        for line in text.lines() {
            coloured(&fit(line.as_bytes()), to);
            put!(to, "\n");
        }
        put!(to, "</pre>");
        let nothing = if live { "No output yet." } else { "No output." };
        if text.is_empty() {
            put!(to, "<p class=\"none quiet\">", nothing, "</p>");
        }
        put!(to, "</div>");
    }
}

/// Text in place of a missing log.
pub(super) fn none(why: &str) -> impl FnOnce(&mut Html) {
    move |to: &mut Html| {
        put!(to, "<div class=\"card log\"><div class=loghead><h2>Log</h2></div><p class=\"none quiet\">", Text(why));
        put!(to, "</p></div>");
    }
}

/// Style of characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    /// 1 to 6, red to cyan: black and white are the colours of the page itself.
    colour: Option<&'static str>,
}

impl Look {
    /// Applies a sequence with these parameters. Colours of a palette are not supported: their
    /// parameters are skipped.
    fn after(mut self, params: &str) -> Look {
        let mut params = params.split([';', ':']);
        while let Some(param) = params.next() {
            match param {
                "" | "0" => self = Look::default(),
                "1" => self.bold = true,
                "22" => self.bold = false,
                "31" | "91" => self.colour = Some("c1"),
                "32" | "92" => self.colour = Some("c2"),
                "33" | "93" => self.colour = Some("c3"),
                "34" | "94" => self.colour = Some("c4"),
                "35" | "95" => self.colour = Some("c5"),
                "36" | "96" => self.colour = Some("c6"),
                "90" => self.colour = Some("c0"),
                "30" | "37" | "39" | "97" => self.colour = None,
                "38" | "48" | "58" => {
                    let passed = if params.next() == Some("5") { 1 } else { 3 };
                    params.by_ref().take(passed).for_each(drop);
                }
                _ => {}
            }
        }
        self
    }
}

/// Writes a line that contains no sequences other than colours.
fn coloured(line: &str, to: &mut Html) {
    let mut look = Look::default();
    for (index, piece) in line.split("\x1b[").enumerate() {
        let text = match piece.split_once('m') {
            Some((params, text)) if index > 0 => {
                look = look.after(params);
                text
            }
            _ => piece,
        };
        if text.is_empty() {
            continue;
        }
        if look == Look::default() {
            put!(to, PreText(text));
            continue;
        }
        let bold = look.bold.then_some(" cb");
        put!(to, "<span class=\"", look.colour.unwrap_or_default(), bold, "\">", PreText(text), "</span>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let mut to = Html::default();
        coloured(&fit(line.as_bytes()), &mut to);
        to.into_string()
    }

    #[test]
    fn colours_are_kept_and_other_sequences_are_removed() {
        assert_eq!(shown("a \x1b[31mred\x1b[0m b"), "a <span class=\"c1\">red</span> b");
        assert_eq!(shown("\x1b[1;92mok"), "<span class=\"c2 cb\">ok</span>");
        assert_eq!(shown("\x1b[38;5;31mx\x1b[38;2;31;32;33my\x1b[48;5;1mz"), "xyz");
        assert_eq!(shown("\x1b]0;title\x07\x1b[2J\x1b[Hhere\r\nthere"), "there");
        assert_eq!(shown("10 %\r20 %\r"), "20 %");
        assert_eq!(shown("<b>\x1b[1m&\u{202e}'"), "&lt;b&gt;<span class=\" cb\">&amp;\\u{202e}&#39;</span>");
    }
}
