//! Decides what a row of `tasks` stands for, given the facts about its processes.
//!
//! A stored status goes stale the moment a launcher dies, so every reader checks each row against
//! the facts first. Pure: the facts are gathered elsewhere.

use std::time::Duration;

use super::task::{End, EndedBy, Outcome, Status, Task, Timestamp, span};

/// Whether a process is alive, as far as it can be determined.
///
/// A check that fails is neither a yes nor a no, so there is no conversion to `bool`: each caller
/// decides how to handle [`Life::Unknown`]. The stored status is kept, and the check is repeated
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Alive.
    Alive,
    /// Certainly gone.
    Gone,
    /// Not determined: no free descriptors, a hidden `/proc`, another namespace.
    Unknown,
}

/// The position of the reader relative to the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Pids and start times have the same meaning here as for the launcher.
    Same,
    /// Another pid or time namespace: its pids and start times have no meaning here.
    Elsewhere,
    /// Another boot id: after a restart of the machine, or inside a container with its own boot id.
    Restarted,
}

/// The position of a process of this machine, on which its view of other processes depends.
#[derive(Clone, Debug, Default)]
pub struct Viewpoint {
    /// Id of this boot; `None` if the kernel does not provide it.
    pub boot_id: Option<String>,
    /// The pid and time namespaces; `None` if the kernel does not provide them.
    pub namespace: Option<String>,
    /// Host name.
    pub host: String,
}

impl Viewpoint {
    /// Returns the view of a task's processes. Marks that an older version did not record count as
    /// equal.
    pub fn view_of(&self, task: &Task) -> View {
        match (&task.boot_id, &self.boot_id) {
            (Some(then), Some(now)) if then != now => return View::Restarted,
            (Some(_), None) => return View::Elsewhere,
            (Some(_), Some(_)) | (None, _) => {}
        }
        match (&task.signs.namespace, &self.namespace) {
            (Some(then), Some(now)) if then == now => View::Same,
            (Some(_), _) => View::Elsewhere,
            (None, _) => View::Same,
        }
    }

    /// Whether a search here that finds no process of the task proves that none is alive.
    ///
    /// From the initial pid namespace all processes are visible. From another one, processes of the
    /// initial namespace are not visible and may be alive. A container that was started again
    /// (recognized by its host name) has none left.
    pub fn sees_survivors_of(&self, task: &Task) -> bool {
        match (self.view_of(task), &task.signs.namespace, &self.namespace) {
            (View::Same | View::Restarted, _, _) => true,
            (View::Elsewhere, Some(then), Some(now)) => {
                let again = task.host.as_ref() == Some(&self.host);
                is_first(now) || (!is_first(then) && again)
            }
            (View::Elsewhere, _, _) => false,
        }
    }
}

/// Whether this is the initial pid namespace, which sees all processes: it has this inode on each
/// machine.
fn is_first(namespace: &str) -> bool {
    namespace.split(':').next() == Some("4026531836")
}

/// State of the launcher's lock on its slot of the spool, as found by a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Held.
    Held,
    /// Not held.
    Free,
    /// No spool, or the spool of another user.
    NoSpool,
    /// Not determined.
    Unknown,
}

/// Whether a launcher is alive. `locks`: whether it holds a lock for as long as it lives; `seen`:
/// the result of looking up its pid and start time in `/proc`, which counts only in [`View::Same`].
///
/// If the launcher holds a lock, a free lock proves its end, except in a copy of the database's
/// folder, whose spool is another file: there the launcher is seen only by its process.
pub fn launcher_life(locks: bool, lock: Lock, view: View, seen: Life) -> Life {
    match (locks, lock, view, seen) {
        (true, Lock::Held, _, _) | (_, _, View::Same, Life::Alive) => Life::Alive,
        (true, Lock::Free, _, _) => Life::Gone,
        (_, _, View::Same, seen) => seen,
        (_, _, View::Elsewhere, _) | (true, Lock::Unknown, View::Restarted, _) => Life::Unknown,
        (_, _, View::Restarted, _) => Life::Gone,
    }
}

/// Facts about the processes and files of one task.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the machine has been restarted since the task started.
    pub restarted: bool,
    /// Whether the launcher is alive.
    pub launcher: Life,
    /// Whether any process of the command is alive; determined only if the launcher is gone.
    pub survivors: Life,
    /// The end that the launcher left in the spool because it could not write to the database.
    pub spooled: Option<Box<End>>,
    /// Last change of the feedback file.
    pub beat: Option<Timestamp>,
    /// Last heartbeat reported on the notify socket.
    pub reported: Option<Timestamp>,
    /// Whether a worker was asked to end. A worker polls for the request, and no launcher stores
    /// that it was made.
    pub asked: bool,
}

/// The actual state of a row of `tasks`.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Live, with this status.
    Live(Status),
    /// Ended like this; the row belongs into the history.
    Ended(Box<End>),
}

/// Judges one task.
pub fn judge(task: &Task, facts: &Facts, now: Timestamp) -> Verdict {
    if task.is_reserved() {
        return match task.has_lapsed(now.secs()) {
            true => Verdict::Ended(Box::new(lapsed(task, now))),
            false => Verdict::Live(Status::Reserved),
        };
    }
    if let Some(end) = &facts.spooled {
        return Verdict::Ended(end.clone());
    }
    match (facts.launcher, facts.survivors) {
        // A launcher that could not be checked is not called dead.
        (Life::Alive | Life::Unknown, _) => Verdict::Live(match task.status {
            Some(Status::Stopping) => Status::Stopping,
            _ if facts.asked => Status::Stopping,
            _ => live_status(task, facts, now),
        }),
        (Life::Gone, Life::Alive | Life::Unknown) => Verdict::Live(Status::Orphaned),
        (Life::Gone, Life::Gone) => {
            let why = if facts.restarted { "host restarted" } else { "launcher lost" };
            Verdict::Ended(Box::new(lost(task, facts, why)))
        }
    }
}

fn live_status(task: &Task, facts: &Facts, now: Timestamp) -> Status {
    if !task.feedback && facts.reported.is_none() {
        return Status::Running;
    }
    Status::of(last_beat(task, facts).age(now), task.silence())
}

/// The last heartbeat: the last change of the feedback file or the last report to the launcher, but
/// not before the start of the task.
pub fn last_beat(task: &Task, facts: &Facts) -> Timestamp {
    let started = Timestamp::from_secs(task.starttime.unwrap_or(0));
    [facts.beat, facts.reported].into_iter().flatten().fold(started, Timestamp::max)
}

/// The reason stored for a reservation that was not claimed in time.
pub const LAPSED: &str = "reservation lapsed";

fn lapsed(task: &Task, now: Timestamp) -> End {
    let expires = task.expires.unwrap_or_else(|| now.secs());
    // Both are whole seconds, the start rounded down and the end up, so that the reservation lasts
    // at least as long as requested.
    let held = expires.saturating_sub(task.reservetime.unwrap_or(expires)).saturating_sub(1).max(0);
    let held = Duration::from_secs(held.unsigned_abs());
    let outcome = Outcome::Error(format!("{LAPSED} after {}", span(held)));
    End { ended_by: Some(EndedBy::Expiry.into()), ..End::new(&outcome, Timestamp::from_secs(expires), None) }
}

/// Returns an unobserved end, dated by the last sign of life.
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
    use crate::model::task::Signs;

    fn running() -> Task {
        Task { status: Some(Status::Running), starttime: Some(1000), ..Task::default() }
    }

    fn facts() -> Facts {
        Facts {
            restarted: false,
            launcher: Life::Alive,
            survivors: Life::Gone,
            spooled: None,
            beat: None,
            reported: None,
            asked: false,
        }
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
        assert_eq!(
            judge(&task, &beat(10), now(1010)),
            Verdict::Live(Status::Running),
            "an old file is not an old beat"
        );
    }

    #[test]
    fn a_dead_launcher_is_an_orphan_or_an_unknown_end() {
        let dead = Facts { launcher: Life::Gone, ..facts() };
        for survivors in [Life::Alive, Life::Unknown] {
            let orphan = Facts { survivors, ..dead.clone() };
            assert_eq!(judge(&running(), &orphan, now(2000)), Verdict::Live(Status::Orphaned));
        }
        let end = ended(judge(&Task { lastupdate: Some(1500), ..running() }, &dead, now(2000)));
        assert_eq!((&*end.outcome.text(), end.termerror.as_deref()), ("unknown", Some("launcher lost")));
        assert_eq!((end.endtime, end.duration), (1500, Some(500.0)), "dated by the last sign of life");
    }

    #[test]
    fn a_process_that_cannot_be_checked_is_not_called_dead() {
        for survivors in LIVES {
            let hidden = Facts { launcher: Life::Unknown, survivors, ..facts() };
            assert_eq!(judge(&running(), &hidden, now(2000)), Verdict::Live(Status::Running));
        }
    }

    #[test]
    fn a_restart_of_the_machine_is_the_reason_where_nothing_is_left() {
        let restarted = Facts { restarted: true, launcher: Life::Gone, ..facts() };
        assert_eq!(ended(judge(&running(), &restarted, now(2000))).termerror.as_deref(), Some("host restarted"));
        let boot_id_of_a_container = Facts { launcher: Life::Alive, ..restarted };
        assert_eq!(judge(&running(), &boot_id_of_a_container, now(2000)), Verdict::Live(Status::Running));
    }

    #[test]
    fn survivors_are_ruled_out_only_where_they_would_be_seen() {
        let first = || Some("4026531836:4026531834".to_owned());
        let container = |number: u32| Some(format!("{number}:4026531834"));
        let here = |namespace, host: &str| Viewpoint { boot_id: Some("b".into()), namespace, host: host.into() };
        let task = |namespace, host: &str| Task {
            boot_id: Some("b".into()),
            host: Some(host.into()),
            signs: Signs { namespace, ..Signs::default() },
            ..running()
        };
        for (from, of, view, sees) in [
            (here(first(), "h"), task(first(), "h"), View::Same, true),
            (here(first(), "h"), task(None, "h"), View::Same, true),
            (here(first(), "h"), task(container(7), "c"), View::Elsewhere, true),
            (here(container(7), "h"), task(first(), "h"), View::Elsewhere, false),
            (here(container(8), "c"), task(container(7), "c"), View::Elsewhere, true),
            (here(container(8), "d"), task(container(7), "c"), View::Elsewhere, false),
            (here(None, "h"), task(first(), "h"), View::Elsewhere, false),
        ] {
            assert_eq!((from.view_of(&of), from.sees_survivors_of(&of)), (view, sees), "{from:?} {of:?}");
        }
        let mut other_boot = task(first(), "h");
        other_boot.boot_id = Some("a".into());
        assert_eq!(here(first(), "h").view_of(&other_boot), View::Restarted);
        let blind = Viewpoint { boot_id: None, ..here(first(), "h") };
        assert_eq!((blind.view_of(&other_boot), blind.sees_survivors_of(&other_boot)), (View::Elsewhere, true));
    }

    const LIVES: [Life; 3] = [Life::Alive, Life::Gone, Life::Unknown];
    const VIEWS: [View; 3] = [View::Same, View::Elsewhere, View::Restarted];
    const LOCKS: [Lock; 4] = [Lock::Held, Lock::Free, Lock::NoSpool, Lock::Unknown];

    #[test]
    fn a_held_lock_means_alive_in_every_view_and_a_free_one_means_gone() {
        for view in VIEWS {
            for seen in LIVES {
                assert_eq!(launcher_life(true, Lock::Held, view, seen), Life::Alive);
                let copied = view == View::Same && seen == Life::Alive;
                let expected = if copied { Life::Alive } else { Life::Gone };
                assert_eq!(launcher_life(true, Lock::Free, view, seen), expected, "{view:?} {seen:?}");
            }
        }
    }

    #[test]
    fn without_a_lock_only_the_same_view_or_a_restart_proves_an_end() {
        for lock in LOCKS {
            for seen in LIVES {
                assert_eq!(launcher_life(false, lock, View::Same, seen), seen);
                assert_eq!(launcher_life(false, lock, View::Elsewhere, seen), Life::Unknown);
                assert_eq!(launcher_life(false, lock, View::Restarted, seen), Life::Gone);
            }
        }
        for lock in [Lock::NoSpool, Lock::Unknown] {
            for seen in LIVES {
                assert_eq!(launcher_life(true, lock, View::Same, seen), seen);
                assert_eq!(launcher_life(true, lock, View::Elsewhere, seen), Life::Unknown);
            }
        }
        // Running out of descriptors does not prove a restart.
        assert_eq!(launcher_life(true, Lock::Unknown, View::Restarted, Life::Gone), Life::Unknown);
        assert_eq!(launcher_life(true, Lock::NoSpool, View::Restarted, Life::Gone), Life::Gone);
    }

    #[test]
    fn a_spooled_end_is_believed_whatever_else_is_seen() {
        let spooled = End::new(&Outcome::Ok, now(1234), None);
        for restarted in [true, false] {
            for launcher in LIVES {
                let facts = Facts {
                    restarted,
                    launcher,
                    survivors: Life::Alive,
                    spooled: Some(Box::new(spooled.clone())),
                    ..facts()
                };
                assert_eq!(ended(judge(&running(), &facts, now(2000))), spooled);
            }
        }
    }

    #[test]
    fn a_reservation_lapses_at_its_time() {
        let task =
            Task { status: Some(Status::Reserved), reservetime: Some(1000), expires: Some(1061), ..Task::default() };
        assert_eq!(judge(&task, &facts(), now(1060)), Verdict::Live(Status::Reserved));
        let end = ended(judge(&task, &facts(), now(1061)));
        assert_eq!(end.outcome.text(), "ERROR: reservation lapsed after 1m");
    }
}
