//! The program `parse`: converts a feedback file or a UPID to JSON, and a log in JSON to text.
//!
//! The caller provides the outputs, and converts the [`Verdict`] to an exit code.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use crate::app::parse_args::ParseArgs;
use crate::io::feedfile::{FeedError, FeedFile, FeedbackInput, Follower, Mark, Woken};
use crate::model::ansi;
use crate::model::feedback::{Feedback, Ignored};
use crate::model::log::{BadLog, parse_api_log};
use crate::model::upid::{Upid, UpidError};

/// Time that a follower waits for the end of an incomplete last line before it shows the line: long enough for a
/// program that writes a line in two pieces, short enough to be perceived as immediate.
const SETTLE: Duration = Duration::from_millis(200);

/// The outputs of `parse`.
pub struct Output<'a> {
    /// The JSON objects, one per line.
    pub data: &'a mut dyn Write,
    /// Messages for the user, one per line.
    pub messages: &'a mut dyn Write,
    /// Whether `data` is a terminal: control sequences other than colours are removed.
    pub terminal: bool,
    /// The descriptor of `data`. A follower ends when its reader goes away, not only at the next write.
    pub reader: Option<BorrowedFd<'a>>,
}

/// The result of a run without errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was read.
    Clean,
    /// The data were printed, but a limit was exceeded, or `--strict` found ignored lines. Messages report them.
    Findings,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The feedback file.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The text is not a UPID.
    #[error("cannot parse UPID {text:?}: {source}")]
    Upid {
        /// The text, truncated if it is long.
        text: String,
        /// The field and the reason.
        source: UpidError,
    },
    /// The log cannot be read.
    #[error("cannot read log {0:?}: {1}")]
    Log(std::path::PathBuf, #[source] io::Error),
    /// The input is not a log.
    #[error("cannot parse log {0:?}: {1}")]
    NotALog(std::path::PathBuf, #[source] BadLog),
    /// The UPID is not UTF-8.
    #[error("cannot parse UPID {0:?}: it is not UTF-8")]
    NotUtf8(String),
    /// The output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Write(#[source] io::Error),
    /// The reader of the output went away. The program ends without an error message.
    #[error("the reader of the output has gone")]
    ReaderGone,
}

/// Runs the program with this command line.
pub fn run(args: &ParseArgs, output: &mut Output<'_>) -> Result<Verdict, ParseError> {
    if let Some(text) = &args.upid {
        let Some(text) = text.to_str() else { return Err(ParseError::NotUtf8(text.to_string_lossy().into_owned())) };
        // `pvesh --output-format json` prints quotes, a file has a newline.
        let text = bare(text);
        print_line(output, &upid(text)?)?;
        if args.debug {
            let _ = writeln!(output.messages, "parse: debug: read a UPID of {} bytes", text.len());
        }
        return Ok(Verdict::Clean);
    }
    if let Some(path) = &args.log {
        return log(path, args.debug, output);
    }
    // clap requires one of the three options.
    let path = args.feedback.as_deref().unwrap_or(Path::new("-"));
    let mut reading =
        Reading { name: path, listing: args.strict || args.debug, ignored: 0, left_out: false, lines: 0, shown: None };
    match (path == Path::new("-"), args.follow) {
        (false, false) => reading.file(path, output)?,
        (false, true) => reading.follow_file(path, output)?,
        (true, false) => reading.stdin(output)?,
        (true, true) => reading.follow_stdin(output)?,
    }
    if args.debug {
        let (name, lines, ignored) = (reading.source(), reading.lines, reading.ignored);
        let _ = writeln!(output.messages, "parse: debug: read {lines} lines of {name}, ignored {ignored}");
    }
    match (args.strict && reading.ignored > 0) || reading.left_out {
        true => Ok(Verdict::Findings),
        false => Ok(Verdict::Clean),
    }
}

/// Prints a task log of the Proxmox API as text.
fn log(path: &Path, debug: bool, output: &mut Output<'_>) -> Result<Verdict, ParseError> {
    let mut text = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().read_to_end(&mut text).map(|_| ()),
        false => std::fs::read(path).map(|bytes| text = bytes),
    };
    read.map_err(|error| ParseError::Log(path.to_owned(), error))?;
    let lines = parse_api_log(&text).map_err(|error| ParseError::NotALog(path.to_owned(), error))?;
    if debug {
        let (bytes, count) = (text.len(), lines.len());
        let _ = writeln!(output.messages, "parse: debug: read {count} lines of {path:?}, {bytes} bytes");
    }
    let mut data = BufWriter::new(&mut *output.data);
    let print = || -> io::Result<()> {
        for line in lines {
            let line = if output.terminal { ansi::fit(line.as_bytes()) } else { line };
            writeln!(data, "{line}")?;
        }
        data.flush()
    };
    match print() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ParseError::ReaderGone),
        other => other.map(|()| Verdict::Clean).map_err(ParseError::Write),
    }
}

/// Removes white space around a text, and one pair of quotes.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let unquoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    unquoted('"').or_else(|| unquoted('\'')).map_or(text, str::trim)
}

/// Returns the fields of a UPID as one JSON object in one line.
pub fn upid(text: &str) -> Result<String, ParseError> {
    match text.parse::<Upid>() {
        Ok(upid) => Ok(upid.to_json().to_string()),
        Err(source) => Err(ParseError::Upid { text: text.chars().take(256).collect(), source }),
    }
}

/// The state of reading one source of feedback.
struct Reading<'a> {
    name: &'a Path,
    /// Whether ignored lines are listed.
    listing: bool,
    /// Number of ignored lines.
    ignored: u64,
    /// Whether the message about limits was printed. It is printed once, not after each line that a follower reads.
    left_out: bool,
    /// Number of complete lines when a follower last read.
    lines: u64,
    /// The last object that a follower printed.
    shown: Option<String>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path, output: &mut Output<'_>) -> Result<(), ParseError> {
        let (mut feedback, mut mark) = (Feedback::default(), Mark::default());
        let file = FeedFile::open(path)?;
        self.listing(output, |report| file.read_new_strict(&mut feedback, &mut mark, report))?;
        self.end(&mut feedback, output)
    }

    fn stdin(&mut self, output: &mut Output<'_>) -> Result<(), ParseError> {
        let mut feedback = Feedback::default();
        let mut stream = FeedbackInput::stdin()?;
        self.listing(output, |report| {
            while stream.read_some(&mut feedback, report)? {}
            Ok(())
        })?;
        self.end(&mut feedback, output)
    }

    fn follow_file(&mut self, path: &Path, output: &mut Output<'_>) -> Result<(), ParseError> {
        // The watch begins before the first read, so that a change in between is seen twice instead of missed.
        let mut follower = Follower::new(path);
        let (mut feedback, mut mark) = (Feedback::default(), Mark::default());
        let file = FeedFile::open(path)?;
        self.listing(output, |report| file.read_new_strict(&mut feedback, &mut mark, report))?;
        drop(file);
        // The initial content may be final, including an incomplete last line.
        self.show(&feedback.peek(), output)?;
        loop {
            let mut settle = (feedback.pending() > 0).then_some(SETTLE);
            loop {
                match follower.wait(settle, output.reader)? {
                    Woken::Changed => break,
                    Woken::ReaderGone => return Err(ParseError::ReaderGone),
                    Woken::Quiet => {
                        self.show(&feedback.peek(), output)?;
                        settle = None;
                    }
                }
            }
            match FeedFile::open(path) {
                Ok(file) => {
                    self.listing(output, |report| file.read_new_strict(&mut feedback, &mut mark, report))?;
                }
                Err(error) if error.is_missing() => {
                    // The file was removed, so its last line is final. The next file with this name is another one.
                    self.finish(&mut feedback, output)?;
                    mark = Mark::default();
                }
                Err(error) => return Err(error.into()),
            }
            self.show_ended(&feedback, output)?;
        }
    }

    fn follow_stdin(&mut self, output: &mut Output<'_>) -> Result<(), ParseError> {
        let mut feedback = Feedback::default();
        let mut stream = FeedbackInput::stdin()?;
        loop {
            let mut settle = (feedback.pending() > 0).then_some(SETTLE);
            loop {
                match stream.wait(settle, output.reader)? {
                    Woken::Changed => break,
                    Woken::ReaderGone => return Err(ParseError::ReaderGone),
                    Woken::Quiet => {
                        self.show(&feedback.peek(), output)?;
                        settle = None;
                    }
                }
            }
            let mut more = false;
            self.listing(output, |report| {
                more = stream.read_some(&mut feedback, report)?;
                Ok(())
            })?;
            if !more {
                self.finish(&mut feedback, output)?;
                self.lines = feedback.lines();
                return self.show(&feedback, output);
            }
            self.show_ended(&feedback, output)?;
        }
    }

    /// Prints the result of a source that was read to its end.
    fn end(&mut self, feedback: &mut Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        self.finish(feedback, output)?;
        self.lines = feedback.lines();
        self.limits(feedback, output);
        print_line(output, &feedback.to_json())
    }

    fn finish(&mut self, feedback: &mut Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        self.listing(output, |report| {
            feedback.finish_strict(report);
            Ok(())
        })?;
        Ok(())
    }

    /// Shows the complete lines. If there is no new complete line, only an incomplete last line grows, and nothing is
    /// shown: otherwise values would disappear for a moment.
    fn show_ended(&mut self, feedback: &Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        let before = std::mem::replace(&mut self.lines, feedback.lines());
        match feedback.pending() > 0 && before == feedback.lines() {
            true => Ok(()),
            false => self.show(feedback, output),
        }
    }

    /// Prints the object if it differs from the last printed one.
    fn show(&mut self, feedback: &Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        self.limits(feedback, output);
        let json = feedback.to_json();
        if self.shown.as_deref() != Some(&json) {
            print_line(output, &json)?;
            self.shown = Some(json);
        }
        Ok(())
    }

    /// Prints once which values were dropped because of limits.
    fn limits(&mut self, feedback: &Feedback, output: &mut Output<'_>) {
        if let Some(left_out) = feedback.left_out()
            && !std::mem::replace(&mut self.left_out, true)
        {
            let source = self.source();
            // The data is printed even if the message cannot be written.
            let _ = writeln!(output.messages, "parse: error: {source} is over a limit: {left_out}");
        }
    }

    /// Returns the name of the source, for messages.
    fn source(&self) -> String {
        match self.name == Path::new("-") {
            true => "standard input".to_owned(),
            false => format!("feedback file {:?}", self.name),
        }
    }

    /// Calls `read`, and lists ignored lines if that was requested.
    fn listing(
        &mut self,
        output: &mut Output<'_>,
        read: impl FnOnce(&mut dyn FnMut(Ignored<'_>)) -> Result<(), FeedError>,
    ) -> Result<(), FeedError> {
        if !self.listing {
            return read(&mut |_| ());
        }
        let mut name = String::new();
        push_visible(&mut name, &self.name.to_string_lossy());
        let mut list = BufWriter::new(&mut *output.messages);
        let mut text = String::new();
        let result = read(&mut |line: Ignored<'_>| {
            self.ignored += 1;
            text.clear();
            push_sample(&mut text, line.text);
            let _ = writeln!(list, "{name}:{}: ignored: {text} ({})", line.number, line.why);
        });
        let _ = list.flush();
        result
    }
}

/// Maximum number of characters shown of an ignored line.
const SAMPLE: usize = 200;

fn push_sample(out: &mut String, bytes: &[u8]) {
    // A character has at most four bytes, so this part of a long line is enough.
    let cut = &bytes[..bytes.len().min(4 * SAMPLE)];
    let text = String::from_utf8_lossy(cut);
    let end = text.char_indices().nth(SAMPLE).map(|(at, _)| at);
    push_visible(out, &text[..end.unwrap_or(text.len())]);
    if end.is_some() || cut.len() < bytes.len() {
        out.push('…');
    }
}

/// Appends untrusted text, with control characters and marks that change the direction of writing escaped.
fn push_visible(out: &mut String, text: &str) {
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') {
            true => {
                let _ = write!(out, "{}", c.escape_default());
            }
            false => out.push(c),
        }
    }
}

fn print_line(output: &mut Output<'_>, json: &str) -> Result<(), ParseError> {
    let written = [json, "\n"].iter().try_for_each(|part| output.data.write_all(part.as_bytes()));
    written.and_then(|()| output.data.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ParseError::ReaderGone,
        _ => ParseError::Write(error),
    })
}
