//! The end of a run: its row in history, and the last line of its log.

use std::{path::Path, time::Duration};

use super::Shim;
use crate::{
    app::reconcile,
    io::{
        child, feedfile,
        inbox::Notice,
        spool::Spool,
        store::{Late, Start},
        sys,
    },
    model::{
        feedback::Feedback,
        log::LOG_MAX,
        machine,
        shim::{NotStarted, Phase},
        task::{Cause, End, Ended, EndedBy, Exit, Outcome, Signal, Stored, Tick, exit_code, round_ms},
    },
};

/// How long the end of a run that never became a task waits for the database before it is kept
/// beside the database; most locks are released by then.
const KEEP_AFTER: Duration = Duration::from_secs(5);
/// How long an end that cannot be kept waits for the database. Then it is lost, and only the
/// supervisor's log has it: otherwise one more shim would stay for each end of a program, without
/// bound.
const LOSE_AFTER: Duration = Duration::from_secs(60);
/// Interval of the attempts.
const AGAIN: Duration = Duration::from_secs(1);

impl Shim {
    /// Records the end of a run whose command was not executed.
    pub(super) fn not_started(mut self, why: NotStarted) {
        let now = sys::now();
        let code = if why.not_found { exit_code::NOT_FOUND } else { exit_code::NOT_EXECUTABLE };
        let end = End {
            exitcode: Some(code),
            ended_by: Some(EndedBy::Supervise.into()),
            expected: Some(false),
            ..End::new(&Outcome::Error(format!("spawn: {}", why.cause)), now.wall, Some(Duration::ZERO))
        };
        self.run.phase = Phase::Failed { why, at: now };
        self.write_run();
        self.engine.started = now;
        self.engine.begin_log(LOG_MAX, false);
        self.record(&end);
    }

    /// Records the end. In a frame of its own, which a waiting shim does not have.
    #[inline(never)]
    pub(super) fn finish(mut self: Box<Self>, ended: &Ended, at: Tick) {
        // From here on its pid may be reused.
        while let Ok(child::Reaped::Ended(..)) = child::reap() {}
        let feedpath = self.engine.record.feedback().map(Path::to_owned);
        let mut unread = false;
        let feedback = feedpath.as_deref().map(|path| match reconcile::read_all(path) {
            Ok(last) => last.feedback,
            Err(error) if error.is_missing() => Feedback::default(),
            Err(error) => {
                unread = true;
                self.note(format!("{error}; the file is kept and the last stored values are used"));
                self.stored_feedback()
            }
        });
        let warnings = feedback.as_ref().map_or(0, |feedback| feedback.warnings());
        let ran = at.mono.saturating_sub(self.engine.started.mono);
        let usage = child::usage();
        let (outcome, why) = self.outcome(ended, warnings);
        let mut end = End::new(&outcome, at.wall, Some(ran));
        end.termsignal = ended.signal().map(Stored::Value);
        end.termerror = end.termerror.or_else(|| why.clone());
        end.exitcode = Some(ended.exit_code(warnings, false, None));
        end.warnings = warnings;
        end.cpu_user = usage.map(|usage| round_ms(usage.user.as_secs_f64()));
        end.cpu_sys = usage.map(|usage| round_ms(usage.system.as_secs_f64()));
        end.maxrss = usage.and_then(|usage| usage.peak);
        end.pid = Some(self.command.pid);
        end.ended_by = Some(why.map_or_else(|| EndedBy::of(&ended.cause).into(), Stored::Text));
        end.expected = Some(self.is_expected(ended));
        end.feedback = feedback.map(|feedback| feedback.to_json());
        self.record(&end);
        if let Some(path) = feedpath.filter(|_| !unread) {
            let _ = feedfile::remove(&path);
        }
        if let Some(mut output) = self.engine.output.take() {
            // A remaining process that continues to write must neither be killed by SIGPIPE nor
            // block for ever.
            output.finish(false, &mut || false);
        }
    }

    fn stored_feedback(&mut self) -> Feedback {
        let id = self.engine.record.claimed().map(|claimed| claimed.id);
        let stored =
            self.engine.record.reopen().zip(id).and_then(|(store, id)| reconcile::stored_feedback(store, id).ok());
        stored.map(|(feedback, _)| feedback).unwrap_or_default()
    }

    /// Whether the supervisor expects this end: a requested one, or one of the configured exit
    /// codes.
    fn is_expected(&self, ended: &Ended) -> bool {
        let by_itself = matches!(ended.cause, Cause::Itself);
        by_itself && (self.stop.why.is_some() || machine::End::ByItself(ended.exit).is_expected(&self.order.exitcodes))
    }

    /// Returns the outcome, and the reason if the run was stopped. A requested end is no error.
    fn outcome(&self, ended: &Ended, warnings: u64) -> (Outcome, Option<String>) {
        let (Cause::Itself, Some(why)) = (&ended.cause, &self.stop.why) else {
            return (ended.outcome(warnings, None), None);
        };
        let outcome = match (self.stop.sent, ended.exit) {
            (Some((first, _)), Exit::Signal { signal: Signal::KILL, .. }) if first != Signal::KILL => {
                Outcome::Error(format!("killed: it did not end by {first} ({why})"))
            }
            _ if warnings > 0 => Outcome::Warnings(warnings),
            _ => Outcome::Ok,
        };
        (outcome, Some(why.clone()))
    }

    /// Ends the log, and writes the end into the database or the spool; a run that is no task yet
    /// is claimed first. If neither is possible the end is kept in the run folder until a
    /// supervisor can record it.
    ///
    /// # If the shim dies here
    ///
    /// The end is complete in one of the three, or the task is found lost.
    fn record(&mut self, end: &End) {
        let since = sys::now().mono;
        while self.engine.record.task.is_none() {
            if self.claim_late() {
                break;
            }
            let stopped = self.engine.inbox.wait(Some(AGAIN)).is_err();
            if self.unwritten {
                self.write_run();
            }
            let asked = matches!(self.engine.inbox.next(), Ok(Some(Notice::Stop { .. })));
            let waited = sys::now().mono.saturating_sub(since);
            if stopped || asked || waited > KEEP_AFTER {
                // Without a log: its output is only in the program's own log.
                let start = Start { log: false, ..self.as_start(self.engine.started) };
                if self.keep(&Late::Run(Box::new(start), Box::new(end.clone()))) {
                    return;
                }
            }
            if stopped || asked || waited > LOSE_AFTER {
                self.note(format!("the end ({}) is not recorded: the database cannot be written", end.outcome));
                return;
            }
        }
        let Some(mut task) = self.engine.record.task.take() else { return };
        // Descriptors may have been short before.
        task.spool = task.spool.take().or_else(|| Spool::open(&self.order.db, true).ok());
        task.note_end(end);
        let mut trouble = None;
        if let Some(output) = &mut self.engine.output
            && let Some(lost) = output.close_log(&end.words())
        {
            trouble = Some(lost);
        }
        let recorded = task.record_end(&self.order.db, self.engine.record.store.take(), end);
        sys::crash_point("shim.recorded");
        for line in trouble.into_iter().chain(recorded.trouble.clone().filter(|_| !recorded.lost)) {
            self.note(line);
        }
        let late =
            || Late::Task(task.claimed.id, task.claimed.upid.clone(), Box::new(end.clone()), end.feedback.clone());
        if let Some(trouble) = recorded.trouble.filter(|_| recorded.lost)
            && !self.keep(&late())
        {
            self.note(trouble);
        }
    }

    /// Keeps an end for a supervisor to record; false if that is not possible.
    fn keep(&self, late: &Late) -> bool {
        let text = match late {
            // A folder whose name is not UTF-8 is left out.
            Late::Run(start, end) => serde_json::to_string(late).or_else(|_| {
                let start = Start { cwd: None, feedpath: None, ..(**start).clone() };
                serde_json::to_string(&Late::Run(Box::new(start), end.clone()))
            }),
            Late::Task(..) => serde_json::to_string(late),
        };
        let kept = text.is_ok_and(|text| self.runs.leave_late(&text).is_ok());
        sys::crash_point("shim.kept");
        kept
    }
}
