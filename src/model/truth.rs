//! What a row of `tasks` is worth, given what can be seen of its processes.
//!
//! A stored status goes stale the moment a launcher dies; so every reader judges each row by facts first. Rules:
//! spec/tasks.md section 10. Pure: the facts are gathered elsewhere.

use std::time::Duration;

use super::task::{End, Outcome, Status, Task, Timestamp, span};

/// What can be seen of one task's processes and files.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether the machine has not been restarted since the task started.
    pub same_boot: bool,
    /// Whether its launcher, by pid and start time, is alive.
    pub launcher_alive: bool,
    /// How many processes of its command are alive; only asked when the launcher is not.
    pub survivors: usize,
    /// The end that its launcher could not write to the database and left in the spool.
    pub spooled: Option<End>,
    /// Last change of its feedback file.
    pub beat: Option<Timestamp>,
    /// The heartbeat that it told its launcher last.
    pub told: Option<Timestamp>,
    /// Whether a worker was asked to end: it finds the request by itself, and no launcher stores that it did.
    pub asked: bool,
}

/// What a row of `tasks` truly is.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It has not ended: this is its status.
    Live(Status),
    /// It has ended, like this, and belongs into history.
    Ended(Box<End>),
}

/// Judges one task.
pub fn judge(task: &Task, facts: &Facts, now: Timestamp) -> Verdict {
    if task.is_reserved() {
        return match task.expires {
            Some(expires) if now.secs() >= expires => Verdict::Ended(Box::new(lapsed(task, now))),
            Some(_) | None => Verdict::Live(Status::Reserved),
        };
    }
    if let Some(end) = &facts.spooled {
        return Verdict::Ended(Box::new(end.clone()));
    }
    if !facts.same_boot {
        return Verdict::Ended(Box::new(lost(task, facts, "host restarted")));
    }
    if facts.launcher_alive {
        return Verdict::Live(match task.status {
            Some(Status::Stopping) => Status::Stopping,
            _ if facts.asked => Status::Stopping,
            _ => live_status(task, facts, now),
        });
    }
    if facts.survivors > 0 {
        Verdict::Live(Status::Orphaned)
    } else {
        Verdict::Ended(Box::new(lost(task, facts, "launcher lost")))
    }
}

fn live_status(task: &Task, facts: &Facts, now: Timestamp) -> Status {
    if !task.feedback && facts.told.is_none() {
        return Status::Running;
    }
    Status::of(last_beat(task, facts).age(now), task.silence())
}

/// The last heartbeat: the feedback file's last change, or what the task told its launcher; but never before the task's own start.
pub fn last_beat(task: &Task, facts: &Facts) -> Timestamp {
    let started = Timestamp::from_secs(task.starttime.unwrap_or(0));
    [facts.beat, facts.told].into_iter().flatten().fold(started, Timestamp::max)
}

/// The reason that is kept with a reservation nobody claimed in time.
pub const LAPSED: &str = "reservation lapsed";

fn lapsed(task: &Task, now: Timestamp) -> End {
    let expires = task.expires.unwrap_or_else(|| now.secs());
    // Both are whole seconds, the begin rounded down and the end up, so that it holds for as long as was asked.
    let held = expires.saturating_sub(task.reservetime.unwrap_or(expires)).saturating_sub(1).max(0);
    let held = Duration::from_secs(held.unsigned_abs());
    let outcome = Outcome::Error(format!("{LAPSED} after {}", span(held)));
    End { ended_by: Some("expiry".into()), ..End::new(&outcome, Timestamp::from_secs(expires), None) }
}

/// The end nobody saw: dated by the last sign of life, never invented.
fn lost(task: &Task, facts: &Facts, why: &str) -> End {
    let start = task.starttime.unwrap_or(0);
    let beat = facts.beat.map_or(start, Timestamp::secs);
    let last = start.max(beat).max(task.lastupdate.unwrap_or(start));
    let ran = task.starttime.map(|start| Duration::from_secs(last.saturating_sub(start).unsigned_abs()));
    End::new(&Outcome::Unknown(why.to_owned()), Timestamp::from_secs(last), ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Task {
        Task { status: Some(Status::Running), starttime: Some(1000), ..Task::default() }
    }

    fn facts() -> Facts {
        Facts { same_boot: true, launcher_alive: true, ..Facts::default() }
    }

    fn now(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn ended(verdict: Verdict) -> End {
        match verdict {
            Verdict::Ended(end) => *end,
            Verdict::Live(status) => panic!("live: {status}"),
        }
    }

    #[test]
    fn a_live_launcher_means_a_live_task() {
        assert_eq!(judge(&running(), &facts(), now(9999)), Verdict::Live(Status::Running));
        let stopping = Task { status: Some(Status::Stopping), ..running() };
        assert_eq!(judge(&stopping, &facts(), now(1001)), Verdict::Live(Status::Stopping));
        let asked = Facts { asked: true, ..facts() };
        assert_eq!(judge(&running(), &asked, now(1001)), Verdict::Live(Status::Stopping));
    }

    #[test]
    fn silence_is_computed_from_the_file_not_from_the_row() {
        let task = Task { feedback: true, timeout: Some(100.0), status: Some(Status::Stalled), ..running() };
        let beat = |secs| Facts { beat: Some(now(secs)), ..facts() };
        assert_eq!(judge(&task, &beat(1990), now(2000)), Verdict::Live(Status::Running));
        assert_eq!(judge(&task, &beat(1960), now(2000)), Verdict::Live(Status::Silent));
        assert_eq!(judge(&task, &facts(), now(1061)), Verdict::Live(Status::Stalled), "counts from the start");
        assert_eq!(judge(&task, &beat(10), now(1010)), Verdict::Live(Status::Running), "an old file is no old beat");
    }

    #[test]
    fn a_dead_launcher_is_an_orphan_or_an_unknown_end() {
        let dead = Facts { launcher_alive: false, ..facts() };
        let orphan = Facts { survivors: 1, ..dead.clone() };
        assert_eq!(judge(&running(), &orphan, now(2000)), Verdict::Live(Status::Orphaned));
        let end = ended(judge(&Task { lastupdate: Some(1500), ..running() }, &dead, now(2000)));
        assert_eq!((end.outcome.as_str(), end.termerror.as_deref()), ("unknown", Some("launcher lost")));
        assert_eq!((end.endtime, end.duration), (1500, Some(500.0)), "dated by the last sign of life");
    }

    #[test]
    fn another_boot_is_never_alive() {
        let facts = Facts { same_boot: false, launcher_alive: true, survivors: 3, ..facts() };
        let end = ended(judge(&running(), &facts, now(2000)));
        assert_eq!(end.termerror.as_deref(), Some("host restarted"));
    }

    #[test]
    fn a_spooled_end_is_believed_whatever_else_is_seen() {
        let spooled = End::new(&Outcome::Ok, now(1234), None);
        for same_boot in [true, false] {
            for launcher_alive in [true, false] {
                let facts = Facts {
                    same_boot,
                    launcher_alive,
                    survivors: 1,
                    spooled: Some(spooled.clone()),
                    ..Facts::default()
                };
                assert_eq!(ended(judge(&running(), &facts, now(2000))), spooled);
            }
        }
    }

    #[test]
    fn a_reservation_lapses_at_its_time() {
        let task =
            Task { status: Some(Status::Reserved), reservetime: Some(1000), expires: Some(1061), ..Task::default() };
        assert_eq!(judge(&task, &Facts::default(), now(1060)), Verdict::Live(Status::Reserved));
        let end = ended(judge(&task, &Facts::default(), now(1061)));
        assert_eq!(end.outcome, "ERROR: reservation lapsed after 1m");
    }
}
