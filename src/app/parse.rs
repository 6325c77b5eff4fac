//! What `parse` does: a feedback file or a UPID in, JSON out; a log in JSON in, text out.
//!
//! Nothing is printed from here: the caller gives the places to write to and turns the [`Verdict`] into an exit code.

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

/// How long a follower lets an unterminated last line wait for its end, before it shows it as it is: long enough for a
/// program that writes a line in two pieces, short enough for a person to call it at once.
const SETTLE: Duration = Duration::from_millis(200);

/// Where the words go.
pub struct Output<'a> {
    /// The JSON objects, one a line.
    pub data: &'a mut dyn Write,
    /// What a person should know, one a line.
    pub messages: &'a mut dyn Write,
    /// Whether it is a terminal, on which only colours may act.
    pub terminal: bool,
    /// The descriptor behind `data`: a follower ends when nobody reads it any more, not only at its next write.
    pub reader: Option<BorrowedFd<'a>>,
}

/// How it went, when nothing broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was understood.
    Clean,
    /// The data are printed, but a limit left something out, or a strict reader found ignored lines; messages say so.
    Findings,
}

/// What broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The feedback file.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The text is not a UPID.
    #[error("cannot parse UPID {text:?}: {source}")]
    Upid {
        /// The text, cut when it is long.
        text: String,
        /// The field and the reason.
        source: UpidError,
    },
    /// The log cannot be read.
    #[error("cannot read log {0:?}: {1}")]
    Log(std::path::PathBuf, #[source] io::Error),
    /// What was read is none.
    #[error("cannot parse log {0:?}: {1}")]
    NotALog(std::path::PathBuf, #[source] BadLog),
    /// The text of a UPID is not even text.
    #[error("cannot parse UPID {0:?}: it is not UTF-8")]
    NotUtf8(String),
    /// The output is full, or broken.
    #[error("cannot write to standard output: {0}")]
    Write(#[source] io::Error),
    /// Nobody reads the output any more: a reason to end, and nothing to complain of.
    #[error("the reader of the output has gone")]
    ReaderGone,
}

/// Does what the command line asks for.
pub fn run(args: &ParseArgs, output: &mut Output<'_>) -> Result<Verdict, ParseError> {
    if let Some(text) = &args.upid {
        let Some(text) = text.to_str() else { return Err(ParseError::NotUtf8(text.to_string_lossy().into_owned())) };
        // As `pvesh --output-format json` prints one, or a file has it.
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
    // The command line asks for one of the three.
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

/// The log of a task as the Proxmox API gives it, as text.
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

/// A text without white space around it, and without one pair of quotes.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let unquoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    unquoted('"').or_else(|| unquoted('\'')).map_or(text, str::trim)
}

/// The fields of a UPID as one JSON object in one line.
pub fn upid(text: &str) -> Result<String, ParseError> {
    match text.parse::<Upid>() {
        Ok(upid) => Ok(upid.to_json().to_string()),
        Err(source) => Err(ParseError::Upid { text: text.chars().take(256).collect(), source }),
    }
}

/// One run over one source of feedback.
struct Reading<'a> {
    name: &'a Path,
    /// Whether ignored lines are listed.
    listing: bool,
    /// How many were.
    ignored: u64,
    /// The message about limits was given. There is one a run: a follower does not repeat it at every line.
    left_out: bool,
    /// The lines that had ended when a follower last looked.
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
        // Watched before it is read: what changes in between is then seen a second time and not missed.
        let mut follower = Follower::new(path);
        let (mut feedback, mut mark) = (Feedback::default(), Mark::default());
        let file = FeedFile::open(path)?;
        self.listing(output, |report| file.read_new_strict(&mut feedback, &mut mark, report))?;
        drop(file);
        // What stands there at first may stand there for good, its last line included.
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
                    // It has ended, and so has its last line; the next file of this name is another one.
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

    /// The end of a source that was read whole.
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

    /// Shows the lines that have ended. When none has since the last time, there is only a last line that grows, and
    /// showing less than before for a moment would help nobody.
    fn show_ended(&mut self, feedback: &Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        let before = std::mem::replace(&mut self.lines, feedback.lines());
        match feedback.pending() > 0 && before == feedback.lines() {
            true => Ok(()),
            false => self.show(feedback, output),
        }
    }

    /// Prints the object when it is not the one printed last.
    fn show(&mut self, feedback: &Feedback, output: &mut Output<'_>) -> Result<(), ParseError> {
        self.limits(feedback, output);
        let json = feedback.to_json();
        if self.shown.as_deref() != Some(&json) {
            print_line(output, &json)?;
            self.shown = Some(json);
        }
        Ok(())
    }

    /// Says once what the limits left out.
    fn limits(&mut self, feedback: &Feedback, output: &mut Output<'_>) {
        if let Some(left_out) = feedback.left_out()
            && !std::mem::replace(&mut self.left_out, true)
        {
            let source = self.source();
            // A message that cannot be given is no reason to withhold the data.
            let _ = writeln!(output.messages, "parse: error: {source} is over a limit: {left_out}");
        }
    }

    /// What is read, for messages.
    fn source(&self) -> String {
        match self.name == Path::new("-") {
            true => "standard input".to_owned(),
            false => format!("feedback file {:?}", self.name),
        }
    }

    /// Reads with a strict reader's eye, if it is asked for.
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

/// Characters of an ignored line that are shown: enough to recognise it by.
const SAMPLE: usize = 200;

fn push_sample(out: &mut String, bytes: &[u8]) {
    // A character has four bytes at most, so this is enough of the line without reading a mebibyte of it.
    let cut = &bytes[..bytes.len().min(4 * SAMPLE)];
    let text = String::from_utf8_lossy(cut);
    let end = text.char_indices().nth(SAMPLE).map(|(at, _)| at);
    push_visible(out, &text[..end.unwrap_or(text.len())]);
    if end.is_some() || cut.len() < bytes.len() {
        out.push('…');
    }
}

/// Text of strangers, so that it cannot move a terminal's cursor or turn what is written around.
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
