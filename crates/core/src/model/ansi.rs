//! Makes output of a task safe for a terminal: colours are kept, all other terminal sequences are
//! removed.

use vte::{Params, Parser, Perform};

/// Whether a character can make a text look like another one: direction marks and overrides, line
/// and paragraph separators, and characters without width.
pub fn misleads(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// Returns a text that is safe on a terminal: control characters and marks that mislead are escaped.
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            '\\' => safe.push('\\'),
            c if c.is_control() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if misleads(c) => safe.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

/// Escapes control characters and marks that change the direction of writing, in the notation of Rust, so that a text
/// cannot move the cursor, forge a line or imitate another name. A backslash stays as it is.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || misleads(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}

/// Formats a line without its end. If carriage returns overwrite the line, the last state is shown;
/// colours end with the line.
pub fn fit(line: &[u8]) -> String {
    let mut shown = Shown { text: String::with_capacity(line.len()), coloured: false };
    let mut parser: Parser = Parser::new();
    parser.advance(&mut shown, last_overwrite(line));
    if shown.coloured {
        shown.text.push_str("\x1b[0m");
    }
    shown.text
}

/// Returns the text after the last CR that is followed by any text.
fn last_overwrite(line: &[u8]) -> &[u8] {
    let trimmed = line.iter().rposition(|byte| *byte != b'\r').map_or(&line[..0], |last| &line[..=last]);
    let start = trimmed.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
    &trimmed[start..]
}

struct Shown {
    text: String,
    coloured: bool,
}

impl Perform for Shown {
    fn print(&mut self, c: char) {
        match c {
            c if misleads(c) => self.text.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c if c.is_control() => {}
            c => self.text.push(c),
        }
    }

    fn execute(&mut self, byte: u8) {
        if byte == b'\t' {
            self.text.push('\t');
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if action != 'm' || ignore || !intermediates.is_empty() {
            return;
        }
        let numbers: Vec<String> =
            params.iter().map(|parts| parts.iter().map(u16::to_string).collect::<Vec<_>>().join(":")).collect();
        self.text.push_str(&format!("\x1b[{}m", numbers.join(";")));
        self.coloured = true;
    }
}

/// Longest escape sequence, bytes.
const LONGEST: usize = 4096;

/// Removes escape sequences from a stream of bytes that arrives in pieces. All other bytes are
/// kept.
#[derive(Clone, Debug, Default)]
pub struct Strip {
    /// The beginning of an incomplete sequence.
    begun: Vec<u8>,
}

/// State of a sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sequence {
    /// Incomplete.
    Open,
    /// Complete.
    Whole,
}

impl Strip {
    /// Returns the piece without its sequences. A sequence that continues in the next piece is held
    /// back until it is complete, or too long to be one.
    pub fn strip(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if self.begun.is_empty() {
                match byte {
                    0x1b => self.begun.push(byte),
                    _ => kept.push(byte),
                }
                continue;
            }
            self.begun.push(byte);
            if sequence(&self.begun) == Sequence::Whole {
                self.begun.clear();
            } else if self.begun.len() > LONGEST {
                kept.append(&mut self.begun);
            }
        }
        kept
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    /// Returns the bytes held back, at the end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

fn sequence(begun: &[u8]) -> Sequence {
    let (Some(kind), Some(last)) = (begun.get(1), begun.last()) else { return Sequence::Open };
    let whole = match kind {
        // CSI: parameters and intermediates, then one final byte.
        b'[' => begun.len() > 2 && (0x40..=0x7e).contains(last),
        // OSC and device strings: up to BEL, or to ESC and a backslash.
        b']' | b'P' | b'X' | b'^' | b'_' => begun.len() > 2 && (*last == 0x07 || begun.ends_with(b"\x1b\\")),
        // Two bytes, or three for a character set.
        0x20..=0x2f => begun.len() > 2 && (0x30..=0x7e).contains(last),
        _ => true,
    };
    if whole { Sequence::Whole } else { Sequence::Open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_are_kept_and_other_sequences_are_removed() {
        assert_eq!(fit(b"a\x1b[1;31mred\x1b[0m b\tc"), "a\x1b[1;31mred\x1b[0m b\tc\x1b[0m");
        assert_eq!(fit(b"\x1b[38:5:9mx"), "\x1b[38:5:9mx\x1b[0m");
        assert_eq!(fit(b"\x1b[2J\x1b[H\x1b]0;title\x07\x1b[?25lbell\x07\x1b7\x1bcx\x1bP1$tq\x1b\\y\x08z"), "bellxyz");
        assert_eq!(fit(b"\x1b[>1mno\x9b31m\xff"), "no31m\u{fffd}");
        assert_eq!(fit("safe\u{202e}evil\u{9b}2J é".as_bytes()), "safe\\u{202e}evil2J é");
    }

    #[test]
    fn the_last_state_of_a_progress_bar_is_shown() {
        assert_eq!(fit(b"10%\r50%\r100%"), "100%");
        assert_eq!(fit(b"10%\r50%\r"), "50%");
        assert_eq!(fit(b"windows\r"), "windows");
        assert_eq!(fit(b"\r\r"), "");
    }

    #[test]
    fn sequences_are_removed_wherever_they_are_cut() {
        let text = b"a\x1b[1;31mred\x1b[0m b\x1b]0;title\x07c\x1b]8;;x\x1b\\link\x1b(Bd\x1bcend\xff\n";
        for size in 1..text.len() {
            let mut strip = Strip::default();
            let kept: Vec<u8> = text.chunks(size).flat_map(|piece| strip.strip(piece)).collect();
            assert_eq!(kept, b"ared bclinkdend\xff\n", "{size}");
            assert_eq!(strip.rest(), b"");
        }
        let mut strip = Strip::default();
        let endless = [&b"\x1b]0;"[..], &b"x".repeat(10_000)].concat();
        assert_eq!(strip.strip(&endless), endless, "an endless sequence is text");
        assert_eq!((strip.strip(b"\x1b["), strip.rest()), (vec![], b"\x1b[".to_vec()));
    }

    proptest! {
        /// For any bytes: no control character but tab, and no escape sequence but colours.
        #[test]
        fn nothing_acts_on_the_terminal(line in prop::collection::vec(prop_oneof![
            Just(0x1bu8), Just(b'['), Just(b']'), Just(b'm'), Just(b';'), Just(0x9b), Just(0xc2), any::<u8>()
        ], 0..200)) {
            let text = fit(&line);
            let mut rest = text.as_str();
            while let Some(at) = rest.find('\x1b') {
                let tail = &rest[at + 1..];
                let end = tail.find('m').unwrap();
                prop_assert!(tail.starts_with('['));
                prop_assert!(tail[1..end].chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':'), "{tail:?}");
                prop_assert!(!rest[..at].chars().any(|c| c.is_control() && c != '\t' || misleads(c)));
                rest = &tail[end + 1..];
            }
            prop_assert!(!rest.chars().any(|c| c.is_control() && c != '\t' || misleads(c)));
        }
    }
}
