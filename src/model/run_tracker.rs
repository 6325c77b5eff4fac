//! What a supervisor knows of one run of a process, and what follows from each fact about it.
//!
//! Facts in, steps out: the shim wrote the state of the run, the shim is gone, the command is gone, a member of its group
//! is gone, an earlier supervisor left the run. Whether a process lives is a fact too; a process that cannot be looked at
//! is never taken for gone.
//!
//! | progress \ fact | the shim wrote | the shim is gone | the command is gone |
//! |---|---|---|---|
//! | nothing | began, failed, or ended | the start failed, and is tried again | – |
//! | started | ended | the command is watched without it | ended, not observed |
//! | ended | members of the group are gone | the group is watched without it | the group is watched |

use super::{
    machine::{End, Event, KillError, StopWhy, Survivor},
    program::Orphans,
    reconcile::Life,
    shim::{Phase, Run, ShimNote},
    task::{Exit, Process},
};

/// How far a run has come, by the events that were passed to the machine of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The command was not executed yet, as far as known.
    Nothing,
    /// The command runs.
    Started,
    /// The command has ended, or was never executed.
    Ended,
}

/// A run of a process, as known to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTracker {
    /// Names the run and its file.
    pub handle: String,
    /// Name of the shim's command socket.
    pub socket: String,
    /// The shim; known once the shim has written its file.
    pub shim: Option<Process>,
    /// The command, once it was executed.
    pub command: Option<Process>,
    /// How far the run has come.
    pub progress: Progress,
    /// Whether the shim is gone while processes of the run live: the supervisor signals and watches them itself.
    pub orphan: bool,
    /// Number of members left in the group when last checked.
    pub leftover: u32,
    /// Notes of the shim that were reported.
    notes: Vec<ShimNote>,
    /// The last refused signal that was reported.
    denied: Option<String>,
}

/// What a fact about a run leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStep {
    /// The run is recorded as this task.
    Task(i64),
    /// The shim reports a problem.
    Note(ShimNote),
    /// The start is over, so that the next one may begin.
    Arrived,
    /// The command runs, since this time in unix seconds.
    Began {
        /// The command.
        command: Process,
        /// Start of the command.
        since: i64,
    },
    /// The run ended at this time, unix seconds.
    EndedAt(i64),
    /// The machine of the process gets this event.
    Feed(Event),
    /// These processes left the group and live on.
    LeaveAlone(Vec<Process>),
    /// The shim is gone and this command lives on.
    Orphaned(Process),
    /// Shim and command are gone, and the exit status was not observed.
    Missed,
    /// The command is watched for its end.
    WatchCommand,
    /// The command is gone, too.
    CommandGone,
    /// The rest of the group is killed.
    CleanGroup,
    /// The rest of the group is watched.
    WatchGroup,
    /// Ends that are not in the history yet are to be recorded.
    Settle,
    /// The run is over, and its file is free.
    Forget,
}

/// What is watched of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunWatch {
    /// The shim.
    Shim(Process),
    /// The command, whose shim is gone.
    Command(Process),
    /// The rest of the group.
    Group,
}

/// Who kills the rest of the group of an ended run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKiller {
    /// There is no rest.
    NotNeeded,
    /// The shim, and the supervisor if the shim cannot be reached.
    Shim,
    /// The supervisor.
    Supervisor,
}

impl RunTracker {
    /// Returns a run that is being started.
    pub fn new(handle: String, socket: String) -> RunTracker {
        RunTracker {
            handle,
            socket,
            shim: None,
            command: None,
            progress: Progress::Nothing,
            orphan: false,
            leftover: 0,
            notes: vec![],
            denied: None,
        }
    }

    /// Returns a run of an earlier supervisor, which has reported the notes so far. `shim` is whether the shim lives.
    pub fn taken_over(run: &Run, progress: Progress, command: Option<Process>, shim: Life) -> RunTracker {
        RunTracker {
            shim: Some(run.shim),
            command,
            progress,
            orphan: progress == Progress::Started && shim == Life::Gone,
            notes: run.notes.clone(),
            denied: run.denied.clone(),
            ..RunTracker::new(run.handle.clone(), run.ear.clone())
        }
    }

    /// Whether the run has ended while members of its group may be alive.
    pub fn is_left(&self) -> bool {
        self.progress == Progress::Ended && self.leftover > 0
    }

    /// Who kills the rest of the group.
    pub fn group_killer(&self) -> GroupKiller {
        match (self.is_left(), self.orphan) {
            (false, _) => GroupKiller::NotNeeded,
            (true, false) => GroupKiller::Shim,
            (true, true) => GroupKiller::Supervisor,
        }
    }

    /// What is to be watched.
    pub fn watch(&self) -> RunWatch {
        match (self.shim.filter(|_| !self.orphan), self.command) {
            (Some(shim), _) => RunWatch::Shim(shim),
            (None, Some(command)) if self.progress == Progress::Started => RunWatch::Command(command),
            (None, _) => RunWatch::Group,
        }
    }

    /// The shim wrote the state of the run: what is new, apart from the phase.
    pub fn heard(&mut self, run: &Run) -> Vec<RunStep> {
        self.shim = Some(run.shim);
        let new = run.notes.iter().filter(|note| !self.notes.contains(note)).cloned().map(RunStep::Note);
        let arrived = (!matches!(run.phase, Phase::Starting)).then_some(RunStep::Arrived);
        let steps = run.task.map(RunStep::Task).into_iter().chain(new).chain(arrived).collect();
        self.notes.clone_from(&run.notes);
        steps
    }

    /// The shim wrote this phase: the next change. To be called again until nothing is returned that leads on, because
    /// a run may have begun and ended since the last look: see [`RunTracker::has_more`].
    pub fn advance(&mut self, phase: &Phase) -> Vec<RunStep> {
        match (phase, self.progress) {
            (Phase::Starting, _)
            | (Phase::Failed { .. } | Phase::Running { .. }, Progress::Started | Progress::Ended) => vec![],
            (Phase::Failed { why, .. }, Progress::Nothing) => {
                self.progress = Progress::Ended;
                vec![RunStep::Feed(Event::SpawnFailed { cause: why.cause.clone(), passing: why.passing })]
            }
            (Phase::Running { command, since } | Phase::Ended { command, since, .. }, Progress::Nothing) => {
                (self.command, self.progress) = (Some(*command), Progress::Started);
                vec![RunStep::Began { command: *command, since: since.wall.secs() }]
            }
            (Phase::Ended { exit, at, timeout, leftover, strays, .. }, Progress::Started) => {
                (self.progress, self.leftover) = (Progress::Ended, *leftover);
                let end = if *timeout { End::Timeout(*exit) } else { End::ByItself(*exit) };
                vec![
                    RunStep::EndedAt(at.wall.secs()),
                    RunStep::Feed(Event::Ended { end, at: Some(at.mono), leftover: *leftover }),
                    RunStep::LeaveAlone(strays.clone()),
                ]
            }
            (Phase::Ended { leftover, .. }, Progress::Ended) => {
                let had = std::mem::replace(&mut self.leftover, *leftover);
                if had > 0 && *leftover == 0 { vec![RunStep::Feed(Event::GroupGone)] } else { vec![] }
            }
        }
    }

    /// Whether this phase leads further than the run has come: its command began, and has ended since.
    pub fn has_more(&self, phase: &Phase) -> bool {
        self.progress == Progress::Started && matches!(phase, Phase::Ended { .. })
    }

    /// The shim wrote that a signal was refused: an event if that is new.
    pub fn refused(&mut self, run: &Run) -> Option<Event> {
        let denied = run.denied.clone().filter(|denied| self.denied.as_ref() != Some(denied));
        self.denied.clone_from(&run.denied);
        denied.map(|denied| Event::KillFailed(KillError::Denied(denied)))
    }

    /// The shim is gone, and its file holds nothing new. `command` says whether the command lives, `how` how the shim
    /// ended, and `cleans_group` whether the group is to be killed.
    pub fn shim_gone(&mut self, command: Life, how: &str, cleans_group: bool) -> Vec<RunStep> {
        match (self.progress, self.command) {
            (Progress::Ended, _) => {
                // The shim waited for the end of the group, unless it was killed; it may not have received the request
                // to kill the group.
                self.orphan = true;
                let clean = cleans_group.then_some(RunStep::CleanGroup);
                clean.into_iter().chain([RunStep::WatchGroup]).collect()
            }
            (Progress::Nothing, _) => {
                self.progress = Progress::Ended;
                let cause = format!("its shim ended before the command was executed{how}");
                // Not the program's fault.
                vec![RunStep::Forget, RunStep::Feed(Event::SpawnFailed { cause, passing: true })]
            }
            (Progress::Started, Some(process)) => {
                self.orphan = true;
                let lives_on = match command {
                    Life::Gone => None,
                    Life::Alive | Life::Unknown => Some(RunStep::Orphaned(process)),
                };
                lives_on.into_iter().chain([RunStep::WatchCommand]).collect()
            }
            (Progress::Started, None) => vec![RunStep::CommandGone],
        }
    }

    /// The command of a run without a shim is gone at `now`, unix seconds. `members` is the number of live members of its
    /// group; `None` if they could not be counted, so that there may be one.
    pub fn command_gone(&mut self, members: Option<u32>, now: i64) -> Vec<RunStep> {
        if self.progress != Progress::Started {
            return vec![RunStep::WatchGroup];
        }
        let leftover = members.unwrap_or(1);
        (self.progress, self.leftover) = (Progress::Ended, leftover);
        vec![
            RunStep::EndedAt(now),
            RunStep::Missed,
            RunStep::Feed(Event::Ended { end: End::NotObserved, at: None, leftover }),
            RunStep::Settle,
            RunStep::WatchGroup,
        ]
    }
}

/// What follows from a look at the group of an ended run without a shim; `waits` is whether its process waits for the end
/// of the group, `member` whether a member lives. `None`: a member is watched, or looked for again later.
pub fn group_looked_at(waits: bool, member: Life) -> Option<Vec<RunStep>> {
    match (member, waits) {
        (Life::Alive | Life::Unknown, true) => None,
        (Life::Gone, true) => Some(vec![RunStep::Forget, RunStep::Feed(Event::GroupGone)]),
        (_, false) => Some(vec![RunStep::Forget]),
    }
}

/// What a run that an earlier supervisor left is, at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorted {
    /// Still being started: looked at again in a moment.
    Wait,
    /// Alive, or may be.
    Live,
    /// Ended; adopted after the live ones, which must get their processes first.
    Ended,
    /// Of another boot: no process of it is left.
    Stale,
}

/// Sorts a run of an earlier supervisor. `same_boot` is whether the machine still runs since, `shim` and `command` whether
/// these live, `patient` whether a start may be waited for.
pub fn sort(phase: &Phase, same_boot: bool, shim: Life, command: Life, patient: bool) -> Sorted {
    let lives = |life: Life| life != Life::Gone;
    match phase {
        // Either it runs in a moment, or it gives up because its supervisor is gone.
        Phase::Starting if lives(shim) && patient => Sorted::Wait,
        _ if !same_boot => Sorted::Stale,
        Phase::Starting if lives(shim) => Sorted::Live,
        Phase::Running { .. } if lives(shim) || lives(command) => Sorted::Live,
        Phase::Starting | Phase::Running { .. } | Phase::Failed { .. } | Phase::Ended { .. } => Sorted::Ended,
    }
}

/// What an earlier supervisor left of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Nothing.
    Nothing {
        /// Whether its file is free; otherwise its shim still needs it.
        remove: bool,
        /// Whether its end was missed.
        missed: bool,
    },
    /// Perhaps members of the group of this command.
    Group {
        /// The command, which has ended.
        command: Process,
        /// Whether its end was missed.
        missed: bool,
    },
    /// The run.
    Run {
        /// The command; `None` if it is still being started.
        command: Option<Process>,
    },
}

/// Returns what is left of a run of an earlier supervisor.
pub fn remains(phase: &Phase, shim: Life, command: Life) -> Remains {
    let shim_lives = shim != Life::Gone;
    match phase {
        Phase::Ended { command, leftover, .. } if *leftover > 0 => Remains::Group { command: *command, missed: false },
        Phase::Failed { .. } | Phase::Ended { .. } => Remains::Nothing { remove: !shim_lives, missed: false },
        Phase::Starting if shim_lives => Remains::Run { command: None },
        Phase::Starting => Remains::Nothing { remove: true, missed: true },
        // The command may have ended together with its shim.
        Phase::Running { command: process, .. } if !shim_lives && command == Life::Gone => {
            Remains::Group { command: *process, missed: true }
        }
        Phase::Running { command: process, .. } => Remains::Run { command: Some(*process) },
    }
}

/// Returns how to treat a run that survived an earlier supervisor. `same_version` is whether its process is configured as
/// before; `None`: its process is not configured any more, or has another run.
pub fn survivor(same_version: Option<bool>, orphans: Orphans) -> Survivor {
    match (same_version, orphans) {
        (_, Orphans::Leave) => Survivor::Leave,
        (None, Orphans::Adopt | Orphans::Stop) => Survivor::Stop(StopWhy::Remove),
        (Some(_), Orphans::Stop) => Survivor::Stop(StopWhy::Survivor),
        (Some(false), Orphans::Adopt) => Survivor::Stop(StopWhy::Reload),
        (Some(true), Orphans::Adopt) => Survivor::Adopt,
    }
}

/// The process of a group that an earlier supervisor left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOwner {
    /// Whether its configuration has the rest of a group killed.
    pub kills_group: bool,
    /// Whether it has a run already.
    pub has_run: bool,
}

/// What to do with the group of an ended run that an earlier supervisor left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupAdoption {
    /// Nothing.
    Nothing,
    /// Its members are counted and reported, and live on.
    LeaveAlone,
    /// It is killed before its process starts again.
    Kill,
    /// The shim is asked to kill it: its process is not configured any more.
    AskShim,
}

/// Returns what to do with a group of `members` live processes. `owner` is its process, if that is configured; `orphans`
/// the configured treatment; `shim` whether the shim lives.
pub fn adopt_group(owner: Option<GroupOwner>, members: usize, orphans: Orphans, shim: Life) -> GroupAdoption {
    let leave = orphans == Orphans::Leave;
    match owner {
        Some(_) if members == 0 => GroupAdoption::Nothing,
        Some(owner) if leave || !owner.kills_group || owner.has_run => GroupAdoption::LeaveAlone,
        Some(_) => GroupAdoption::Kill,
        None if shim != Life::Gone && !leave => GroupAdoption::AskShim,
        None => GroupAdoption::Nothing,
    }
}

/// Returns how a shim ended, as the end of a sentence; `error` is what the exit code says, if the code is one of a shim.
pub fn how_shim_ended(exit: Option<Exit>, error: Option<&str>) -> String {
    match (exit, error) {
        (Some(Exit::Code(_)), Some(error)) => format!(": {error}"),
        // Other codes may come from another program in its place.
        (Some(Exit::Code(code)), None) => format!(": exit status {code}"),
        (Some(Exit::Signal { signal, .. }), _) => format!(", killed by {signal}"),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
