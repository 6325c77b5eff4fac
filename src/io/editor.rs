//! The line that somebody edits at a terminal: keys, the lines typed before, what Tab offers, and notices that come
//! meanwhile and are printed above it.
//!
//! The terminal is in the editor's hands only while it reads.

use std::io;

use rustyline::{
    CompletionType, Config, Context, Editor, ExternalPrinter, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::MemHistory,
    validate::Validator,
};

use crate::model::shell::complete::Candidate;

/// Where the word under the cursor begins, and what it may become; it is given the line up to the cursor.
pub type Complete = Box<dyn Fn(&str) -> (usize, Vec<Candidate>)>;

/// Prints whole lines above the line that is being edited, from any thread.
pub type Printer = Box<dyn FnMut(String) + Send>;

/// What came of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-C: the line is thrown away.
    Cleared,
    /// Ctrl-D on an empty line, or the end of the terminal.
    End,
}

/// An editor of lines.
pub struct LineEditor {
    editor: Editor<Offers, MemHistory>,
}

impl LineEditor {
    /// On the terminal that is our input; `lines` are those typed before, the oldest first, of which `most` are kept.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub fn new(complete: Complete, lines: &[String], most: usize) -> io::Result<LineEditor> {
        // Of pasted lines each is a line, as when they are typed: one that held several would be another action. Those
        // behind the first are kept for the next reading.
        let config = Config::builder().completion_type(CompletionType::List).bracketed_paste(false);
        let config = config.max_history_size(most).and_then(|config| config.history_ignore_dups(true));
        let config = config.map_err(failed)?.history_ignore_space(true).build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(failed)?;
        editor.set_helper(Some(Offers(complete)));
        for line in lines {
            editor.add_history_entry(line.as_str()).map_err(failed)?;
        }
        Ok(LineEditor { editor })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The terminal cannot be used any more.
    pub fn read(&mut self, prompt: &str) -> io::Result<Typed> {
        loop {
            return match self.editor.readline(prompt) {
                Ok(line) => Ok(Typed::Line(line)),
                Err(ReadlineError::Interrupted) => Ok(Typed::Cleared),
                Err(ReadlineError::Eof) => Ok(Typed::End),
                Err(ReadlineError::Signal(_)) => continue,
                Err(error) => Err(failed(error)),
            };
        }
    }

    /// Offers a line again; tells whether it is a new one: not the last one, and not one that begins with a blank.
    pub fn remember(&mut self, line: &str) -> bool {
        self.editor.add_history_entry(line).unwrap_or(false)
    }

    /// A printer; none if the terminal is too simple for one.
    pub fn printer(&mut self) -> Option<Printer> {
        let mut printer = self.editor.create_external_printer().ok()?;
        // The terminal is gone: so is whoever would read it.
        Some(Box::new(move |text| drop(printer.print(text))))
    }
}

fn failed(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::Io(error) => error,
        ReadlineError::Errno(errno) => errno.into(),
        other => io::Error::other(other),
    }
}

/// What Tab offers.
struct Offers(Complete);

impl Completer for Offers {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = (self.0)(line.get(..pos).unwrap_or(line));
        // The only one is whole: what follows is another word.
        let end = if words.len() == 1 { " " } else { "" };
        let pair = |Candidate { word, typed }| Pair { replacement: format!("{typed}{end}"), display: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

impl Hinter for Offers {
    type Hint = String;
}

impl Highlighter for Offers {}
impl Validator for Offers {}
impl Helper for Offers {}
