//! The output of a command: passes it on and logs it.

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

/// Time for which children that hold a command's output open may delay its end.
const GRACE: Duration = Duration::from_secs(1);
/// Interval at which a wait for a slow reader checks whether to continue.
const STEP: Duration = Duration::from_millis(100);

/// A log file of a supervised program, which gets a copy of a stream.
#[derive(Debug)]
pub struct Copy {
    log: ProgLog,
    strip: Option<Strip>,
}

impl Copy {
    /// Returns a copy to a log file. With `strip`, escape sequences are removed.
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

/// The output of a running task.
#[derive(Debug)]
pub struct TaskOutput {
    streams: Streams,
    log: Option<TaskLog>,
    /// When the command ended, on the monotonic clock.
    ended: Option<Duration>,
    /// Whether the output is shown only if the task fails.
    held: bool,
    /// Log files of a supervised program, for each of its two streams.
    copies: [Option<Copy>; 2],
}

/// The state of a [`TaskOutput`] that is handed over in a re-execution.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedOutput {
    streams: StreamsState,
    log: Option<LogState>,
    held: bool,
}

impl TaskOutput {
    /// Creates the pipes for a command's output, see [`Streams::open`].
    ///
    /// # Errors
    /// As [`Streams::open`].
    pub fn open(terminal: Option<&Substitute<'_>>, hold: &[PathBuf]) -> std::io::Result<(TaskOutput, Ends)> {
        let (streams, ends) = Streams::open(terminal, hold)?;
        Ok((TaskOutput { streams, log: None, ended: None, held: !hold.is_empty(), copies: [None, None] }, ends))
    }

    /// Creates the pipes for the output of a supervised program, which goes to files and to the task's log. With `one`,
    /// both streams are the same.
    ///
    /// # Errors
    /// As [`Streams::gather`].
    pub fn gather(one: bool, copies: [Option<Copy>; 2]) -> std::io::Result<(TaskOutput, Ends)> {
        let (streams, ends) = Streams::gather(one)?;
        Ok((TaskOutput { streams, log: None, ended: None, held: false, copies }, ends))
    }

    /// Reopens the program's log files after they were moved.
    pub fn reopen(&mut self) {
        self.copies.iter_mut().flatten().for_each(|copy| copy.log.reopen());
    }

    /// Continues with another log file, or with other limits for the same one.
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

    /// Whether the program's log files have no state that exists only in this process.
    pub fn copies_are_settled(&self) -> bool {
        self.copies
            .iter()
            .flatten()
            .all(|copy| copy.log.is_settled() && copy.strip.as_ref().is_none_or(Strip::is_empty))
    }

    /// Returns the errors of the program's log files, each once.
    pub fn copies_trouble(&mut self) -> Vec<String> {
        self.copies.iter_mut().flatten().flat_map(|copy| copy.log.trouble()).collect()
    }

    /// Starts the task's log. Called after the start of the command, which then does not wait for it.
    pub fn begin_log(&mut self, path: &Path, max: u64, from_terminal: bool) {
        self.log = Some(TaskLog::begin(path, max, from_terminal, sys::stamp));
    }

    /// Returns the descriptors to poll for reading.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.readable()
    }

    /// Returns the descriptors to poll for writing.
    pub fn writable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.writable()
    }

    /// Passes on and logs all available output.
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

    /// Records that the command has ended. All of its output is there; its children have a grace time to add to it.
    pub fn command_ended(&mut self, at: Tick) {
        self.ended.get_or_insert(at.mono);
    }

    /// Returns until when children may add to the output after the command has ended. `None` if no more output is
    /// waited for: a time in the past would wake the caller again and again.
    pub fn deadline(&self, now: Tick) -> Option<Duration> {
        self.ended.filter(|_| !self.is_complete(now)).map(|ended| ended + GRACE)
    }

    /// Whether no more output is waited for.
    pub fn is_complete(&self, now: Tick) -> bool {
        self.streams.have_ended() || self.ended.is_some_and(|ended| now.mono >= ended + GRACE)
    }

    /// Adds a line to the log that is not from the command.
    pub fn note(&mut self, text: &str) {
        if let Some(log) = &mut self.log {
            log.note(text, sys::now().wall.secs());
        }
    }

    /// Ends the log with the outcome. Returns a description of what was lost.
    pub fn close_log(&mut self, outcome: &str) -> Option<String> {
        self.copies.iter_mut().flatten().for_each(Copy::end);
        self.log.as_mut()?.close(outcome, sys::now().wall.secs())
    }

    /// Finishes the log files and passes on the rest of the output to slow readers, as long as `goes_on` returns true.
    /// Held output is shown if the task failed. Called after the end was recorded.
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

    /// Returns why some output could not be passed on, if so.
    pub fn lost(&self) -> Option<&str> {
        self.streams.lost()
    }

    /// Whether a reader of the output closed it before its end.
    pub fn reader_has_gone(&self) -> bool {
        self.streams.reader_has_gone()
    }

    /// Whether the last output that was passed on ended with a line end.
    pub fn line_ended(&self) -> bool {
        self.streams.line_ended()
    }

    /// Sets the log files of a supervised program after [`TaskOutput::take_over`].
    pub fn copy_to(&mut self, copies: [Option<Copy>; 2]) {
        self.copies = copies;
    }

    /// Returns the state for a re-execution, and passes the descriptors to `add`. `None` if the state cannot be handed
    /// over at the moment.
    pub fn hand_over<'fd>(&'fd mut self, add: &mut dyn FnMut(BorrowedFd<'fd>) -> usize) -> Option<HandedOutput> {
        if self.streams.are_behind() {
            return None;
        }
        let log = self.log.as_mut().map(|log| log.place(sys::now().wall.secs()));
        Some(HandedOutput { streams: self.streams.hand_over(add), log, held: self.held })
    }

    /// Continues after a re-execution. `take` returns the descriptor for a number.
    pub fn take_over(handed: HandedOutput, take: &mut dyn FnMut(usize) -> std::io::Result<OwnedFd>) -> TaskOutput {
        let streams = Streams::take_over(handed.streams, take);
        let log = handed.log.map(|place| TaskLog::resume(place, false, sys::stamp));
        TaskOutput { streams, log, ended: None, held: handed.held, copies: [None, None] }
    }
}
