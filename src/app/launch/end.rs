//! The end of a task: its record, the last line of its log, and the rest of its output.

use std::time::Duration;

use super::{LaunchError, Launcher, Reporter};
use crate::{
    app::{
        db,
        output::TaskOutput,
        reconcile::{self, LastFeedback},
    },
    io::{
        child::{self, CannotRun},
        feedfile,
        inbox::Notice,
        store::{Claimed, Store},
        sys,
        tasklog::TaskLog,
    },
    model::feedback::Feedback,
    model::task::{
        Cause, Class, End, Ended, EndedBy, Exit, Outcome, Signal, Stored, cannot_run, exit_code, round_ms, span,
    },
};

impl Launcher {
    /// Records that the command could not be executed. Returns the exit code.
    pub(super) fn not_run(&mut self, error: &CannotRun, reporter: &mut dyn Reporter) -> i32 {
        let program = self.spec.argv[0].to_string_lossy();
        let there = child::in_place_of(&self.spec.argv[0], error);
        let (outcome, code) = cannot_run(&program, &error.reason, error.not_found, &there);
        reporter.warn(outcome.reason().unwrap_or_default());
        let end = End {
            exitcode: Some(code),
            ended_by: Some(EndedBy::Launch.into()),
            ..End::new(&outcome, sys::now().wall, Some(Duration::ZERO))
        };
        self.begin_log();
        self.close_log(&end, reporter);
        self.record(&end, reporter);
        code
    }

    /// Records a failure of `launch` itself as the end of the task, and returns the failure.
    pub(super) fn give_up(&mut self, failure: LaunchError) -> LaunchError {
        if let Some(store) = self.engine.record.store.take() {
            record_failure(store, &self.claimed, &failure);
        }
        failure
    }

    /// Records the end and returns the exit code. In a frame of its own, which a waiting launcher does not have.
    #[inline(never)]
    pub(super) fn finish(mut self, ended: &Ended, reporter: &mut dyn Reporter) -> i32 {
        let now = sys::now();
        let feedback = self.last_feedback(reporter);
        if let Some(left_out) = feedback.as_ref().and_then(|feedback| feedback.left_out()) {
            reporter.warn(&format!("the feedback of task {} was truncated: {left_out}", self.claimed.id));
        }
        let warnings = feedback.as_ref().map_or(0, |feedback| feedback.warnings());
        let lost = self.engine.output.as_ref().and_then(|output| output.lost()).map(str::to_owned);
        let code = ended.exit_code(warnings, self.spec.fail_on_warnings, lost.as_deref());
        let ran = now.mono.saturating_sub(self.engine.started.mono);
        let gone = self.engine.output.as_ref().is_some_and(TaskOutput::reader_has_gone);
        // A shell reports SIGPIPE of its last command as 128 + the signal.
        let by_pipe = ended.signal() == Some(Signal::PIPE) || ended.exit == Exit::Code(128 + Signal::PIPE.0);
        let by_reader = gone && ended.cause == Cause::Itself && by_pipe;
        let usage = self.usage_before.and_then(|before| Some(child::usage()?.since(before)));
        let end = End {
            termsignal: ended.signal().map(Stored::Value),
            exitcode: Some(code),
            warnings,
            cpu_user: usage.map(|usage| round_ms(usage.user.as_secs_f64())),
            cpu_sys: usage.map(|usage| round_ms(usage.system.as_secs_f64())),
            maxrss: usage.and_then(|usage| usage.peak),
            pid: Some(self.command),
            ended_by: Some(if by_reader { EndedBy::Reader } else { EndedBy::of(&ended.cause) }.into()),
            feedback: feedback.map(|feedback| feedback.to_json()),
            ..End::new(&ended.outcome(warnings, lost.as_deref()), now.wall, Some(ran))
        };
        if ended.cause != Cause::Itself {
            reporter.warn(&format!(
                "ended task {} ({}): {}",
                self.claimed.id,
                span(ran),
                end.termerror.as_deref().unwrap_or_default()
            ));
        }
        self.close_log(&end, reporter);
        self.record(&end, reporter);
        self.let_output_go(&end, code, reporter);
        code
    }

    /// Reads the feedback file for the last time. Returns `None` if the task gives no feedback. A file that cannot be
    /// read is kept, and the values that a reader stored last are used.
    fn last_feedback(&mut self, reporter: &mut dyn Reporter) -> Option<Feedback> {
        let id = self.claimed.id;
        match reconcile::read_all(self.claimed.feedpath.as_deref()?) {
            Ok(LastFeedback { feedback, skipped }) => {
                if skipped > 0 {
                    reporter
                        .warn(&format!("task {id}: {skipped} bytes in the middle of its feedback file were not read"));
                }
                Some(feedback)
            }
            Err(error) if error.is_missing() => Some(Feedback::default()),
            Err(error) => {
                reporter.warn(&format!("task {id}: {error}; the file is kept and the last stored values are used"));
                self.spec.keep_feedback = true;
                let stored = self.engine.record.reopen().and_then(|store| reconcile::stored_feedback(store, id).ok());
                Some(stored.map(|(feedback, _)| feedback).unwrap_or_default())
            }
        }
    }

    /// Ends the log with the outcome. The end is written to the spool first, so that the log never has an outcome that
    /// could be lost.
    pub(super) fn close_log(&mut self, end: &End, reporter: &mut dyn Reporter) {
        let Some(output) = &mut self.engine.output else { return };
        if let Some(task) = &self.engine.record.task {
            task.note_end(end);
        }
        if let Some(lost) = output.close_log(&end.words()) {
            reporter.warn(&format!("task {}: {lost}", self.claimed.id));
        }
        sys::crash_point("log.after");
    }

    /// Passes on the rest of the output after the end was recorded, even to a slow reader. Then prints why the task
    /// failed.
    pub(super) fn let_output_go(&mut self, end: &End, code: i32, reporter: &mut dyn Reporter) {
        let mut output = self.engine.output.take();
        if let Some(output) = &mut output {
            let inbox = &self.engine.inbox;
            let mut goes_on = || !matches!(inbox.next(), Ok(Some(Notice::Stop { .. })) | Err(_));
            output.finish(code != 0, &mut goes_on);
            if let Some(why) = output.lost() {
                reporter.fail(&format!("task {}: cannot pass on the command's output: {why}", self.claimed.id));
            }
        }
        // A reader that closed the output early had read enough.
        let by_reader = end.ended_by == Some(Stored::Value(EndedBy::Reader));
        if end.result == Class::Ok || code == 0 || by_reader {
            return;
        }
        let id = self.claimed.id;
        // If `launch` ended the task, the reason was already printed.
        let itself = end.ended_by == Some(Stored::Value(EndedBy::Itself));
        let why = itself.then(|| format!("task {id} failed: {}", end.outcome.error().unwrap_or(&end.outcome.text())));
        let printed = self.claimed.log.is_some().then(|| {
            let db = match db::path(None) {
                Ok(usual) if usual == self.spec.db => String::new(),
                Ok(_) | Err(_) => format!("--db {} ", shell_words::quote(&self.spec.db.to_string_lossy())),
            };
            format!("see its output with: control {db}log {id}")
        });
        let words: Vec<String> = why.into_iter().chain(printed).collect();
        if !words.is_empty() {
            // On a new line, after a ^C or an incomplete last line.
            let ended = output.as_ref().is_none_or(|output| output.line_ended());
            let fresh = if self.pty.is_some() && !ended { "\n" } else { "" };
            reporter.hint(&format!("{fresh}{}", words.join("; ")));
        }
    }

    /// Writes the end to the database, or to the spool if the database cannot be written.
    pub(super) fn record(&mut self, end: &End, reporter: &mut dyn Reporter) {
        let store = self.engine.record.store.take();
        let Some(task) = &self.engine.record.task else { return };
        let recorded = task.record_end(&self.spec.db, store, end);
        if let Some(trouble) = &recorded.trouble {
            reporter.warn(trouble);
        }
        // If only the spool has the end, the feedback file is kept for the program that moves the end into the history.
        if let Some(store) = recorded.store {
            // The process exits now, and the kernel closes the database faster than SQLite.
            std::mem::forget(store);
            if let Some(path) = self.claimed.feedpath.as_deref().filter(|_| !self.spec.keep_feedback) {
                let _ = feedfile::remove(path);
            }
        }
    }
}

/// Records a failure of `launch` itself as the end of a claimed task, in its log and in the database.
pub(super) fn record_failure(mut store: Store, claimed: &Claimed, failure: &LaunchError) {
    let outcome = Outcome::Error(failure.to_string());
    if let Some(log) = &claimed.log {
        let mut log = TaskLog::begin(log, u64::MAX, false, sys::stamp);
        log.close(&outcome.to_string(), sys::now().wall.secs());
        log.join();
    }
    let end = End { exitcode: Some(exit_code::LAUNCH_FAILED), ..End::new(&outcome, sys::now().wall, None) };
    // If this fails, the next reader finds the launcher dead.
    let _ = store.finish(claimed.id, &claimed.upid, &end);
}
