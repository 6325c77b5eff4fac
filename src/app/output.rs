//! What a command prints: passed on, and logged on the way.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    io::{
        proglog::{self, ProgLog},
        streams::{Ends, Streams, StreamsState, Substitute},
        sys,
        tasklog::{LogState, TaskLog},
    },
    model::{ansi::Strip, task::Tick},
};

/// How long children that hold a command's output open may delay its end.
const GRACE: Duration = Duration::from_secs(1);
/// How often we look whether to go on waiting for a reader of our output.
const STEP: Duration = Duration::from_millis(100);

/// A file of a program's own, into which a stream goes besides.
#[derive(Debug)]
pub struct Copy {
    log: ProgLog,
    strip: Option<Strip>,
}

impl Copy {
    /// A file; with `strip`, escape sequences are left out.
    pub fn new(log: ProgLog, strip: bool) -> Copy {
        Copy { log, strip: strip.then(Strip::default) }
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.strip {
            Some(strip) => self.log.write(&strip.strip(bytes)),
            None => self.log.write(bytes),
        }
    }

    fn end(&mut self) {
        if let Some(strip) = &mut self.strip {
            self.log.write(&strip.rest());
        }
    }
}

/// The output of a task, on its way.
#[derive(Debug)]
pub struct TaskOutput {
    streams: Streams,
    log: Option<TaskLog>,
    /// Since when the command has ended, on the monotonic clock.
    ended: Option<Duration>,
    /// Whether it is shown only if the task fails.
    held: bool,
    /// Files of a program's own, for each of its two streams.
    copies: [Option<Copy>; 2],
}

/// What another program has to know to go on with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedOutput {
    streams: StreamsState,
    log: Option<LogState>,
    held: bool,
}

impl TaskOutput {
    /// Makes the ways of a command's output; see [`Streams::open`].
    ///
    /// # Errors
    /// As [`Streams::open`].
    pub fn open(terminal: Option<&Substitute<'_>>, hold: &[PathBuf]) -> std::io::Result<(TaskOutput, Ends)> {
        let (streams, ends) = Streams::open(terminal, hold)?;
        Ok((TaskOutput { streams, log: None, ended: None, held: !hold.is_empty(), copies: [None, None] }, ends))
    }

    /// Makes the ways of the output of a supervised program, which goes into files and the task's log; with `one`, both
    /// streams are one.
    ///
    /// # Errors
    /// As [`Streams::gather`].
    pub fn gather(one: bool, copies: [Option<Copy>; 2]) -> std::io::Result<(TaskOutput, Ends)> {
        let (streams, ends) = Streams::gather(one)?;
        Ok((TaskOutput { streams, log: None, ended: None, held: false, copies }, ends))
    }

    /// Opens the program's files anew: somebody has moved them.
    pub fn reopen(&mut self) {
        self.copies.iter_mut().flatten().for_each(|copy| copy.log.reopen());
    }

    /// Goes on with other files, or with other limits of the same ones.
    pub fn change(&mut self, number: usize, place: Option<(proglog::ProgramLogSpec, bool)>) {
        let Some(copy) = self.copies.get_mut(number) else { return };
        match (copy.as_mut(), place) {
            (Some(copy), Some((place, strip))) => {
                copy.log.change(place);
                if strip != copy.strip.is_some() {
                    copy.end();
                    copy.strip = strip.then(Strip::default);
                }
            }
            (None, Some((place, strip))) => *copy = ProgLog::open(place).ok().map(|log| Copy::new(log, strip)),
            (_, None) => *copy = None,
        }
    }

    /// Whether nothing about the program's files is known only here.
    pub fn copies_are_settled(&self) -> bool {
        self.copies
            .iter()
            .flatten()
            .all(|copy| copy.log.is_settled() && copy.strip.as_ref().is_none_or(Strip::is_empty))
    }

    /// What went wrong with the program's files, each once.
    pub fn copies_trouble(&mut self) -> Vec<String> {
        self.copies.iter_mut().flatten().flat_map(|copy| copy.log.trouble()).collect()
    }

    /// Begins the log. After the start, so that the command need not wait for it.
    pub fn begin_log(&mut self, path: &Path, max: u64, from_terminal: bool) {
        self.log = Some(TaskLog::begin(path, max, from_terminal, sys::stamp));
    }

    /// What to wait for until it can be read.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.readable()
    }

    /// What to wait for until it can be written.
    pub fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.writable()
    }

    /// Passes on and logs what there is.
    pub fn pump(&mut self) {
        let now = sys::now().wall.secs();
        let (log, copies) = (&mut self.log, &mut self.copies);
        let all = self.streams.pump(&mut |stream, bytes| {
            if let Some(Some(copy)) = copies.get_mut(stream) {
                copy.take(bytes);
            }
            if let Some(log) = log {
                log.take(stream, bytes, now);
            }
        });
        if let Some(log) = self.log.as_mut().filter(|_| all) {
            log.settle(now);
        }
    }

    /// The command has ended: what it wrote is all there; its children may have a moment to add to it.
    pub fn command_ended(&mut self, at: Tick) {
        self.ended.get_or_insert(at.mono);
    }

    /// Until when its children may add to it, once the command has ended; none when nothing more is waited for, whatever
    /// else is: a moment that lies in the past would wake its caller again and again.
    pub fn deadline(&self, now: Tick) -> Option<Duration> {
        self.ended.filter(|_| !self.is_complete(now)).map(|ended| ended + GRACE)
    }

    /// Whether nothing more is to be waited for.
    pub fn is_complete(&self, now: Tick) -> bool {
        self.streams.have_ended() || self.ended.is_some_and(|ended| now.mono >= ended + GRACE)
    }

    /// Adds a line to the log that the command did not print.
    pub fn note(&mut self, text: &str) {
        if let Some(log) = &mut self.log {
            log.note(text, sys::now().wall.secs());
        }
    }

    /// Ends the log with the outcome; what was lost of it, in words.
    pub fn close_log(&mut self, outcome: &str) -> Option<String> {
        self.copies.iter_mut().flatten().for_each(Copy::end);
        self.log.as_mut()?.close(outcome, sys::now().wall.secs())
    }

    /// After the end was recorded: tidies the log up, and shows the rest to those who read slowly, for as long as
    /// `goes_on` says. What was held back is shown if the task failed.
    pub fn finish(&mut self, failed: bool, goes_on: &mut dyn FnMut() -> bool) {
        if let Some(log) = &mut self.log {
            log.join();
        }
        if self.held && failed {
            self.streams.release();
        }
        self.streams.deliver(STEP, goes_on);
        let left = self.streams.leave();
        crate::io::child::leave_drain(&left);
    }

    /// Why some of the output did not get to where ours goes, if that is so.
    pub fn lost(&self) -> Option<&str> {
        self.streams.lost()
    }

    /// Whether a reader of the output closed it before its end.
    pub fn reader_has_gone(&self) -> bool {
        self.streams.reader_has_gone()
    }

    /// Whether what was shown last ended a line.
    pub fn line_ended(&self) -> bool {
        self.streams.line_ended()
    }

    /// Goes on with a program's files after [`TaskOutput::take_over`].
    pub fn copy_to(&mut self, copies: [Option<Copy>; 2]) {
        self.copies = copies;
    }

    /// Says what a new program in this process has to know, and gives `add` the descriptors; none if it cannot go on with
    /// it just now.
    pub fn hand_over<'fd>(&'fd mut self, add: &mut dyn FnMut(BorrowedFd<'fd>) -> usize) -> Option<HandedOutput> {
        if self.streams.are_behind() {
            return None;
        }
        let log = self.log.as_mut().map(|log| log.place(sys::now().wall.secs()));
        Some(HandedOutput { streams: self.streams.hand_over(add), log, held: self.held })
    }

    /// Goes on with it; `take` returns the descriptor of a number.
    pub fn take_over(handed: HandedOutput, take: &mut dyn FnMut(usize) -> std::io::Result<OwnedFd>) -> TaskOutput {
        let streams = Streams::take_over(handed.streams, take);
        let log = handed.log.map(|place| TaskLog::resume(place, false, sys::stamp));
        TaskOutput { streams, log, ended: None, held: handed.held, copies: [None, None] }
    }
}
