//! What a shell tells of jobs by itself (JOB-9): each change of a state once, and none that the answer to an action has told
//! already.

use std::collections::BTreeMap;

use crate::model::{
    client::plain,
    jobs::{self, Job, JobState, Session},
    program::ProcState,
    task::Signal,
    wire::StateNotice,
};

/// How a process was when an answer told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastKnown {
    /// In this state, with this process id while it lives.
    Is(ProcState, i32),
    /// It had ended, whatever became of it then.
    Ended,
}

/// Changes that are still to be told.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    waiting: Vec<StateNotice>,
    /// What was answered for these came before what led there was heard.
    ahead: BTreeMap<String, LastKnown>,
}

impl Notices {
    /// A state changed. States in which nothing stays for long are not told.
    pub fn heard(&mut self, event: StateNotice) {
        if let Some(told) = self.ahead.get(&event.name).copied() {
            if arrives(&event, told) {
                self.ahead.remove(&event.name);
            }
            return;
        }
        if !matches!(event.to, ProcState::Starting | ProcState::Stopping) {
            self.waiting.push(event);
        }
    }

    /// An action was answered with this process: whatever led it there is told by that.
    pub fn told(&mut self, name: String, state: ProcState, pid: i32) {
        self.answered(name, LastKnown::Is(state, pid));
    }

    /// It was told that a process has ended.
    pub fn told_end(&mut self, name: String) {
        self.answered(name, LastKnown::Ended);
    }

    fn answered(&mut self, name: String, told: LastKnown) {
        let heard = self.waiting.iter().rposition(|event| event.name == name && arrives(event, told));
        let mut at = 0..;
        self.waiting.retain(|event| {
            let is_before = heard.is_none_or(|heard| at.next().is_some_and(|at| at <= heard));
            event.name != name || !is_before
        });
        if heard.is_none() {
            self.ahead.insert(name, told);
        }
    }

    /// The next action begins: what was to be heard of the last one has been.
    pub fn begin(&mut self) {
        self.ahead.clear();
    }

    /// What is to be told now.
    pub fn take(&mut self) -> Vec<StateNotice> {
        std::mem::take(&mut self.waiting)
    }
}

/// Whether this is the change to what was told.
fn arrives(event: &StateNotice, told: LastKnown) -> bool {
    match told {
        LastKnown::Is(state, pid) => event.to == state && (!state.is_live() || event.pid == pid),
        LastKnown::Ended => !event.to.is_live(),
    }
}

/// The line of a change: `[1]+ Exit 1  web`. One that is no job, because it was removed, has no number.
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

/// The exit code of a job, for `wait` (JOB-11): 128 and n after a death by signal n.
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
    fn changes_are_told_once_and_those_on_the_way_not_at_all() {
        let mut notices = Notices::default();
        for to in [ProcState::Exited, ProcState::Starting, ProcState::Running, ProcState::Stopping] {
            notices.heard(event("web", to, 9));
        }
        assert_eq!(lines(&mut notices), ["Exit 1  web", "Running  web"]);
        assert_eq!(lines(&mut notices), [""; 0]);
    }

    #[test]
    fn what_an_answer_has_told_is_not_told_again_in_whichever_order_they_come() {
        let restart = |notices: &mut Notices| {
            notices.heard(event("web", ProcState::Stopped, 0));
            notices.heard(event("web", ProcState::Starting, 9));
            notices.heard(event("web", ProcState::Running, 9));
        };
        let mut notices = Notices::default();
        notices.heard(event("other", ProcState::Exited, 0));
        restart(&mut notices);
        notices.heard(event("web", ProcState::Exited, 0));
        notices.told("web".into(), ProcState::Running, 9);
        assert_eq!(lines(&mut notices), ["Exit 1  other", "Exit 1  web"], "what came after it is news");
        notices.told("web".into(), ProcState::Running, 9);
        notices.heard(event("other", ProcState::Exited, 0));
        restart(&mut notices);
        notices.heard(event("web", ProcState::Exited, 0));
        assert_eq!(lines(&mut notices), ["Exit 1  other", "Exit 1  web"]);
    }

    #[test]
    fn of_one_that_ended_in_the_foreground_only_what_follows_is_told() {
        for end in [ProcState::Exited, ProcState::Backoff, ProcState::Stopped, ProcState::Fatal] {
            let mut notices = Notices::default();
            notices.told_end("web".into());
            notices.heard(event("web", end, 0));
            notices.heard(event("web", ProcState::Running, 9));
            notices.heard(event("web", ProcState::Exited, 0));
            notices.told_end("web".into());
            notices.heard(event("web", ProcState::Running, 10));
            assert_eq!(lines(&mut notices), ["Running  web"], "{end}");
        }
    }

    #[test]
    fn what_never_comes_is_not_waited_for_longer_than_to_the_next_action() {
        let mut notices = Notices::default();
        notices.told("web".into(), ProcState::Running, 9);
        notices.begin();
        notices.heard(event("web", ProcState::Exited, 0));
        assert_eq!(lines(&mut notices), ["Exit 1  web"]);
    }

    #[test]
    fn job11_exit_codes() {
        assert_eq!([exit_code(Some(3), None), exit_code(None, Some("SIGKILL")), exit_code(None, None)], [3, 137, 0]);
    }
}
