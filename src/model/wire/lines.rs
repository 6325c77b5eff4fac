//! Splits a stream of bytes into lines, independently of how the bytes arrive.

use super::{Code, MAX_LINE, Request, Response, WireError};

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireLine {
    /// A line without its end; never blank.
    Text(Vec<u8>),
    /// A line that exceeds the limit (413). Reported once, as soon as known; the rest of the line
    /// is skipped.
    TooLong,
}

impl WireLine {
    /// Parses the request of this line.
    ///
    /// # Errors
    /// The response with the error: 400, or 413 for a line that is too long.
    pub fn request(&self) -> Result<Request, Box<Response>> {
        match self {
            WireLine::Text(text) => Request::parse(text),
            WireLine::TooLong => {
                Err(Box::new(Response::failed(WireError::new(Code::TooLarge, "the line is too long"))))
            }
        }
    }
}

/// Splits a stream into lines. Buffers at most one line.
#[derive(Clone, Debug)]
pub struct LineReader {
    limit: usize,
    kept: Vec<u8>,
    /// Whether the rest of a line that is too long is being skipped.
    skips: bool,
}

impl Default for LineReader {
    fn default() -> LineReader {
        LineReader::new(MAX_LINE)
    }
}

impl LineReader {
    /// Makes a reader with the longest allowed line, in bytes without its end.
    pub fn new(limit: usize) -> LineReader {
        LineReader { limit, kept: Vec::new(), skips: false }
    }

    /// Adds received bytes and returns the complete lines.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<WireLine> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.add(line, &mut lines);
            lines.extend(self.end_of_line());
        }
        self.add(bytes, &mut lines);
        lines
    }

    /// Returns the last line when the stream has ended without a line end.
    pub fn finish(&mut self) -> Option<WireLine> {
        self.end_of_line()
    }

    /// Whether a line has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.skips || !self.kept.is_empty()
    }

    fn add(&mut self, part: &[u8], lines: &mut Vec<WireLine>) {
        if self.skips {
            return;
        }
        // The additional byte may be the carriage return of the line end.
        let room = self.limit.saturating_add(1).saturating_sub(self.kept.len());
        if part.len() > room {
            self.too_long(lines);
            return;
        }
        self.kept.extend_from_slice(part);
        if self.kept.len() > self.limit && self.kept.last() != Some(&b'\r') {
            self.too_long(lines);
        }
    }

    fn too_long(&mut self, lines: &mut Vec<WireLine>) {
        self.skips = true;
        self.kept = Vec::new();
        lines.push(WireLine::TooLong);
    }

    fn end_of_line(&mut self) -> Option<WireLine> {
        self.skips = false;
        let mut line = std::mem::take(&mut self.kept);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(WireLine::Text(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> WireLine {
        WireLine::Text(text.into())
    }

    fn read(limit: usize, parts: &[&[u8]]) -> Vec<WireLine> {
        let mut reader = LineReader::new(limit);
        let mut lines: Vec<WireLine> = parts.iter().flat_map(|part| reader.feed(part)).collect();
        lines.extend(reader.finish());
        lines
    }

    #[test]
    fn lines_end_either_way_and_blank_ones_are_skipped() {
        let lines = read(9, &[b"a\r\n\r\n \t\nb\n\n", b"c"]);
        assert_eq!(lines, [text("a"), text("b"), text("c")]);
        assert_eq!(read(9, &[b"a\rb\n"]), [text("a\rb")]);
        assert_eq!(read(9, &[b"\n", b"\r"]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_the_next_one_is_read() {
        let lines = read(3, &[b"abc\n", b"abcd\nx\n", b"abc\r\n", b"abcdefghi", b"jkl\n", b"y"]);
        assert_eq!(lines, [text("abc"), WireLine::TooLong, text("x"), text("abc"), WireLine::TooLong, text("y")]);
        let mut reader = LineReader::new(3);
        assert_eq!(reader.feed(b"abcd"), [WireLine::TooLong], "before its end");
        assert_eq!(reader.feed(&[b'x'; 1000]), []);
        assert!(reader.is_inside());
        assert_eq!(reader.finish(), None);
    }

    #[test]
    fn a_mebibyte_is_a_line_and_one_byte_more_is_not() {
        let mut reader = LineReader::default();
        let mut whole = vec![b'x'; 1 << 20];
        whole.extend(b"\r\n");
        assert_eq!(reader.feed(&whole).len(), 1);
        assert_eq!(reader.feed(&[&[b'x'; (1 << 20) + 1][..], b"\n"].concat()), [WireLine::TooLong]);
    }

    #[test]
    fn a_connection_stays_usable_after_an_error() {
        let parts =
            [&b"{\"comm"[..], b"and\":\"version\"}{}\n\xff\r\n[1]\n", &[b'x'; 99], b"\n{\"command\":\"version\"}"];
        let statuses: Vec<u16> = read(30, &parts)
            .iter()
            .map(|line| line.request().map_or_else(|response| response.status, |_| 200))
            .collect();
        assert_eq!(statuses, [400, 400, 400, 413, 200]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            bytes in proptest::collection::vec(proptest::sample::select(b"ab{\r\n \xff".to_vec()), 0..60),
            cuts in proptest::collection::vec(0..60_usize, 0..9), limit in 0..6_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(limit, &parts), read(limit, &[&bytes]));
        }
    }
}
