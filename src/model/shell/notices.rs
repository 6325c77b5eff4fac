//! Notices of a shell about jobs: each change of state once, and none that the response to an
//! action has already shown.

use std::collections::BTreeMap;

use crate::model::{
    ansi::plain,
    jobs::{self, Job, JobState, Session},
    program::ProcState,
    task::Signal,
    wire::StateNotice,
};

/// State of a process as shown in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastKnown {
    /// This state, with this pid while alive.
    Is(ProcState, i32),
    /// Ended.
    Ended,
}

/// Changes that are still to be shown.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    waiting: Vec<StateNotice>,
    /// States shown in responses before the corresponding events arrived.
    ahead: BTreeMap<String, LastKnown>,
}

impl Notices {
    /// Adds a change of state. Transient states are not shown.
    pub fn changed(&mut self, event: StateNotice) {
        if let Some(shown) = self.ahead.get(&event.name).copied() {
            if arrives(&event, shown) {
                self.ahead.remove(&event.name);
            }
            return;
        }
        if !matches!(event.to, ProcState::Starting | ProcState::Stopping) {
            self.waiting.push(event);
        }
    }

    /// Records that a response has shown this state: the changes that led to it are not shown
    /// again.
    pub fn shown(&mut self, name: String, state: ProcState, pid: i32) {
        self.answered(name, LastKnown::Is(state, pid));
    }

    /// Records that a response has shown the end of a process.
    pub fn shown_end(&mut self, name: String) {
        self.answered(name, LastKnown::Ended);
    }

    fn answered(&mut self, name: String, shown: LastKnown) {
        let arrived = self.waiting.iter().rposition(|event| event.name == name && arrives(event, shown));
        let mut at = 0..;
        self.waiting.retain(|event| {
            let is_before = arrived.is_none_or(|arrived| at.next().is_some_and(|at| at <= arrived));
            event.name != name || !is_before
        });
        if arrived.is_none() {
            self.ahead.insert(name, shown);
        }
    }

    /// Begins the next action: all events of the previous one have arrived.
    pub fn begin(&mut self) {
        self.ahead.clear();
    }

    /// Removes and returns the changes to show now.
    pub fn take(&mut self) -> Vec<StateNotice> {
        std::mem::take(&mut self.waiting)
    }
}

/// Whether this event is the change to the state that was shown.
fn arrives(event: &StateNotice, shown: LastKnown) -> bool {
    match shown {
        LastKnown::Is(state, pid) => event.to == state && (!state.is_live() || event.pid == pid),
        LastKnown::Ended => !event.to.is_live(),
    }
}

/// Formats the line of a change: `[1]+ Exit 1  web`. A process that is no longer a job has no
/// number.
pub fn line(event: &StateNotice, jobs: &[Job], session: &Session) -> String {
    let state = match event.to {
        ProcState::Running => JobState::Running,
        ProcState::Starting => JobState::Starting,
        ProcState::Stopping => JobState::Stopping,
        ProcState::Backoff => JobState::Backoff,
        ProcState::Fatal => JobState::Fatal,
        ProcState::Unknown => JobState::Unknown,
        ProcState::Stopped | ProcState::Exited => ended(event),
    };
    match jobs.iter().find(|job| job.full_name() == event.name) {
        Some(job) => jobs::notice(&Job { state, ..job.clone() }, jobs, session),
        None => format!("{}  {}", state.words(), plain(&event.name)),
    }
}

fn ended(event: &StateNotice) -> JobState {
    match (event.exit_code, &event.exit_signal) {
        (Some(code), _) => JobState::Exit(code),
        (None, Some(signal)) => JobState::Terminated(signal.clone()),
        (None, None) => JobState::Ended,
    }
}

/// The exit code of `wait` for a job: 128 + n after a death by signal n.
pub fn exit_code(code: Option<i32>, signal: Option<&str>) -> u8 {
    let died = || signal.and_then(|name| name.parse::<Signal>().ok()).map(|signal| 128 + signal.0);
    u8::try_from(code.or_else(died).unwrap_or(0)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, to: ProcState, pid: i32) -> StateNotice {
        StateNotice {
            name: name.into(),
            from: ProcState::Starting,
            to,
            pid,
            task_id: None,
            exit_code: (to == ProcState::Exited).then_some(1),
            exit_signal: None,
            expected: None,
            fails: 0,
        }
    }

    fn lines(notices: &mut Notices) -> Vec<String> {
        notices.take().iter().map(|event| line(event, &[], &Session::default())).collect()
    }

    #[test]
    fn changes_are_shown_once_and_transient_ones_not_at_all() {
        let mut notices = Notices::default();
        for to in [ProcState::Exited, ProcState::Starting, ProcState::Running, ProcState::Stopping] {
            notices.changed(event("web", to, 9));
        }
        assert_eq!(lines(&mut notices), ["Exit 1  web", "Running  web"]);
        assert_eq!(lines(&mut notices), [""; 0]);
    }

    #[test]
    fn a_state_in_a_response_is_not_shown_again_in_either_order() {
        let restart = |notices: &mut Notices| {
            notices.changed(event("web", ProcState::Stopped, 0));
            notices.changed(event("web", ProcState::Starting, 9));
            notices.changed(event("web", ProcState::Running, 9));
        };
        let mut notices = Notices::default();
        notices.changed(event("other", ProcState::Exited, 0));
        restart(&mut notices);
        notices.changed(event("web", ProcState::Exited, 0));
        notices.shown("web".into(), ProcState::Running, 9);
        assert_eq!(lines(&mut notices), ["Exit 1  other", "Exit 1  web"], "later changes are shown");
        notices.shown("web".into(), ProcState::Running, 9);
        notices.changed(event("other", ProcState::Exited, 0));
        restart(&mut notices);
        notices.changed(event("web", ProcState::Exited, 0));
        assert_eq!(lines(&mut notices), ["Exit 1  other", "Exit 1  web"]);
    }

    #[test]
    fn after_an_end_in_the_foreground_only_later_changes_are_shown() {
        for end in [ProcState::Exited, ProcState::Backoff, ProcState::Stopped, ProcState::Fatal] {
            let mut notices = Notices::default();
            notices.shown_end("web".into());
            notices.changed(event("web", end, 0));
            notices.changed(event("web", ProcState::Running, 9));
            notices.changed(event("web", ProcState::Exited, 0));
            notices.shown_end("web".into());
            notices.changed(event("web", ProcState::Running, 10));
            assert_eq!(lines(&mut notices), ["Running  web"], "{end}");
        }
    }

    #[test]
    fn an_event_that_never_arrives_is_expected_only_until_the_next_action() {
        let mut notices = Notices::default();
        notices.shown("web".into(), ProcState::Running, 9);
        notices.begin();
        notices.changed(event("web", ProcState::Exited, 0));
        assert_eq!(lines(&mut notices), ["Exit 1  web"]);
    }

    #[test]
    fn exit_codes() {
        assert_eq!([exit_code(Some(3), None), exit_code(None, Some("SIGKILL")), exit_code(None, None)], [3, 137, 0]);
    }
}
