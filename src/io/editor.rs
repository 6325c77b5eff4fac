//! The line editor at a terminal: keys, history, completion with Tab, and notices that arrive
//! meanwhile and are printed above the line.
//!
//! The editor changes the terminal's settings only while it reads.

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

/// Given the line up to the cursor, returns where the current word begins and its completions.
pub type Complete = Box<dyn Fn(&str) -> (usize, Vec<Candidate>)>;

/// Prints whole lines above the line that is being edited, from any thread.
pub type Printer = Box<dyn FnMut(String) + Send>;

/// The result of reading a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-C: the line is discarded.
    Cleared,
    /// Ctrl-D on an empty line, or the end of the terminal.
    End,
}

/// An editor of lines.
pub struct LineEditor {
    editor: Editor<Offers, MemHistory>,
}

impl LineEditor {
    /// Opens an editor on standard input, which is a terminal. `lines` are the history, the oldest
    /// first, of which `most` are kept.
    ///
    /// # Errors
    /// The terminal cannot be used.
    pub fn new(complete: Complete, lines: &[String], most: usize) -> io::Result<LineEditor> {
        // Each pasted line counts as a typed line: a single text of several lines would be a
        // different action. The lines behind the first are kept for the next reading.
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

    /// Adds a line to the history. Returns false for a repetition of the last line and for one that
    /// begins with a blank.
    pub fn remember(&mut self, line: &str) -> bool {
        self.editor.add_history_entry(line).unwrap_or(false)
    }

    /// Returns a printer; `None` if the terminal does not support one.
    pub fn printer(&mut self) -> Option<Printer> {
        let mut printer = self.editor.create_external_printer().ok()?;
        // Fails if the terminal is gone, and with it the reader.
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

/// The completions of Tab.
struct Offers(Complete);

impl Completer for Offers {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, words) = (self.0)(line.get(..pos).unwrap_or(line));
        // A single completion is a complete word: the next one follows.
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
