//! The end of a run: its row in history, and the last line of its log.

use std::time::Duration;

use super::Carrier;
use crate::{
    app::{ending, launch, truth},
    io::{child, feedfile, inbox::Notice, sys},
    model::{
        carrier::{NotStarted, Phase},
        machine,
        task::{Cause, End, Ended, Exit, Outcome, Signal, Tick, exit_code, round_ms},
    },
};

/// How long the end of a run that never became a task waits for the database. Then it is lost, and the supervisor's log
/// alone tells of it.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often it is tried.
const AGAIN: Duration = Duration::from_secs(1);

impl Carrier {
    /// The command was not executed: that is the end of the run.
    pub(super) fn not_started(mut self, why: NotStarted) {
        let now = sys::now();
        let code = if why.not_found { exit_code::NOT_FOUND } else { exit_code::NOT_EXECUTABLE };
        let end = End {
            exitcode: Some(code),
            ended_by: Some("supervise".into()),
            expected: Some(false),
            ..End::new(&Outcome::Error(format!("spawn: {}", why.cause)), now.wall, Some(Duration::ZERO))
        };
        self.run.phase = Phase::Failed { why, at: now };
        self.tell();
        self.started = now;
        self.begin_log();
        self.record(&end);
    }

    pub(super) fn finish(mut self, ended: &Ended, at: Tick) {
        // Now its number may be another's.
        while let Ok(child::Reaped::Ended(..)) = child::reap() {}
        let feedpath = self.claimed.as_ref().and_then(|claimed| claimed.feedpath.clone());
        let feedback = feedpath.as_deref().map(|path| truth::read_all(path).unwrap_or_default());
        let warnings = feedback.as_ref().map_or(0, |feedback| feedback.warnings());
        let ran = at.mono.saturating_sub(self.started.mono);
        let usage = child::usage();
        let (outcome, why) = self.outcome(ended, warnings);
        let mut end = End::new(&outcome, at.wall, Some(ran));
        end.termsignal = ended.signal().map(|signal| signal.to_string());
        end.termerror = end.termerror.or_else(|| why.clone());
        end.exitcode = Some(ended.exit_code(warnings, false, None));
        end.warnings = warnings;
        end.cpu_user = usage.map(|(user, _, _)| round_ms(user.as_secs_f64()));
        end.cpu_sys = usage.map(|(_, sys, _)| round_ms(sys.as_secs_f64()));
        end.maxrss = usage.map(|(_, _, rss)| rss);
        end.pid = Some(self.command.pid);
        end.ended_by = Some(why.unwrap_or_else(|| launch::ended_by(&ended.cause)));
        end.expected = Some(self.is_expected(ended));
        end.feedback = feedback.map(|feedback| feedback.to_json());
        self.record(&end);
        if let Some(path) = feedpath {
            let _ = feedfile::remove(&path);
        }
        if let Some(mut output) = self.output.take() {
            // A process of it that goes on to write must neither be killed for it nor wait for ever.
            output.finish(false, &mut || false);
        }
    }

    /// Whether its supervisor expects this end: one that was asked for, or an exit code that it names (T9).
    fn is_expected(&self, ended: &Ended) -> bool {
        let by_itself = matches!(ended.cause, Cause::Itself);
        by_itself && (self.why.is_some() || machine::End::ByItself(ended.exit).is_expected(&self.order.exitcodes))
    }

    /// How it ended, and why it was ended, if it was asked to. What ends as it was asked to did nothing wrong.
    fn outcome(&self, ended: &Ended, warnings: u64) -> (Outcome, Option<String>) {
        let (Cause::Itself, Some(why)) = (&ended.cause, &self.why) else {
            return (ended.outcome(warnings, None), None);
        };
        let outcome = match (self.sent, ended.exit) {
            (Some((first, _)), Exit::Signal { signal: Signal::KILL, .. }) if first != Signal::KILL => {
                Outcome::Error(format!("killed: it did not end by {first} ({why})"))
            }
            _ if warnings > 0 => Outcome::Warnings(warnings),
            _ => Outcome::Ok,
        };
        (outcome, Some(why.clone()))
    }

    /// Ends the log, and writes the end into the database or the spool; a run that is no task yet becomes one first.
    fn record(&mut self, end: &End) {
        let since = sys::now().mono;
        while self.claimed.is_none() {
            if self.claim_late() {
                break;
            }
            let stopped = self.inbox.wait(Some(AGAIN)).is_err();
            if self.untold {
                self.tell();
            }
            let asked = matches!(self.inbox.next(), Ok(Some(Notice::Stop { .. })));
            if stopped || asked || sys::now().mono.saturating_sub(since) > PATIENCE {
                self.note(format!("its end ({}) is not recorded: the database cannot be written", end.outcome));
                return;
            }
        }
        let Some(claimed) = &self.claimed else { return };
        if let Some(spool) = &self.spool {
            let _ = spool.note_end(claimed.slot, &claimed.upid, end);
        }
        if let Some(output) = &mut self.output {
            let words = match (&end.termerror, end.outcome.as_str()) {
                (Some(why), "unknown") => format!("unknown: {why}"),
                (_, outcome) => outcome.to_owned(),
            };
            let _ = output.close_log(&words);
        }
        let recorded = ending::record(&self.order.db, self.store.take(), self.spool.as_ref(), claimed, end);
        sys::crash_point("carrier.recorded");
        if let Some(trouble) = recorded.trouble {
            self.note(trouble);
        }
    }
}
