//! What a machine is told, and what it says.

use std::time::Duration;

use super::describe;
use crate::model::{
    program::{Policy, ProcState},
    task::{Exit, Signal},
};

/// How a run ended, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The command ended by itself, or by a signal that its launcher did not send.
    ByItself(Exit),
    /// Its launcher ended it: no heartbeat, or it ran too long. Never expected.
    Timeout(Exit),
    /// Nobody saw how (CRASH-6). Never expected, and nothing is made up for it.
    NotObserved,
}

impl End {
    /// The exit itself, where it was seen.
    pub fn exit(self) -> Option<Exit> {
        match self {
            End::ByItself(exit) | End::Timeout(exit) => Some(exit),
            End::NotObserved => None,
        }
    }

    /// Whether it exited normally with one of these codes (T9). A death by signal never is (SM-8).
    pub fn is_expected(self, exitcodes: &[u8]) -> bool {
        match self {
            End::ByItself(Exit::Code(code)) => exitcodes.iter().any(|&expected| i32::from(expected) == code),
            End::ByItself(Exit::Signal { .. }) | End::Timeout(_) | End::NotObserved => false,
        }
    }
}

/// Why a process is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopWhy {
    /// Somebody asked for it.
    Operator,
    /// The supervisor ends.
    Shutdown,
    /// It is no longer in the configuration.
    Remove,
    /// Somebody asked for a restart.
    Restart,
    /// What it runs was changed in the configuration; it starts again.
    Reload,
    /// It outlived a former supervisor, and `orphans = "stop"`; it starts again.
    Survivor,
}

impl StopWhy {
    /// Whether it is started again when it is down.
    pub fn starts_again(self) -> bool {
        match self {
            StopWhy::Operator | StopWhy::Shutdown | StopWhy::Remove => false,
            StopWhy::Restart | StopWhy::Reload | StopWhy::Survivor => true,
        }
    }

    /// The words in the history of tasks (DB-2).
    pub fn as_cause(self) -> &'static str {
        match self {
            StopWhy::Operator => "stopped by operator",
            StopWhy::Shutdown => "stopped: shutdown",
            StopWhy::Remove => "stopped: removed from the configuration",
            StopWhy::Restart => "restart by operator",
            StopWhy::Reload => "restart: configuration",
            StopWhy::Survivor => "restart: left over from a former supervisor",
        }
    }
}

/// What is to become of a run that outlived a former supervisor (5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivor {
    /// It goes on (T17).
    Adopt,
    /// It is stopped; a `why` that starts again gives a fresh run once it is gone.
    Stop(StopWhy),
    /// It is left alone, and nothing is started beside it: UNKNOWN.
    Leave,
}

/// Why a signal could not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillError {
    /// ESRCH: it has just ended. No error, its end will be seen (STOP-5).
    Gone,
    /// Anything else, in words.
    Denied(String),
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor begins, or a reload added the program (T1). Says nothing to what was started before.
    Autostart,
    /// Somebody wants it up.
    StartAsked,
    /// Somebody wants it down. A `why` that starts again asks for a new run where one lives.
    StopAsked {
        /// Why.
        why: StopWhy,
        /// Without any grace: SIGKILL (STOP-7).
        now: bool,
    },
    /// Somebody wants a new run; where nothing runs it is a start.
    RestartAsked,
    /// Somebody sends a signal (STOP-6).
    SignalAsked {
        /// Which one.
        signal: Signal,
        /// To the whole group.
        group: bool,
    },
    /// The supervisor is about to end: from now on nothing starts. The stops follow tier by tier.
    ShuttingDown,
    /// The exec succeeded.
    Spawned {
        /// Process id of the command.
        pid: i32,
    },
    /// The command was not executed.
    SpawnFailed {
        /// Why, in words, such as `command not found: foo`.
        cause: String,
        /// Whether the cause lies with the machine or the supervisor, not with the program: it is tried again until it has
        /// passed.
        passing: bool,
    },
    /// An attempt to reap, made after `CheckAlive`, found nothing (T3, SM-4).
    SeenAlive,
    /// The run has ended.
    Ended {
        /// How.
        end: End,
        /// When, on the monotonic clock, if its launcher recorded it.
        at: Option<Duration>,
        /// So many processes of its group are still alive.
        leftover: u32,
    },
    /// No process of the groups of ended runs is left.
    GroupGone,
    /// A signal could not be sent.
    KillFailed(KillError),
    /// Time passed.
    Tick,
    /// A run of a former supervisor was found alive, and it is beyond doubt that it is this process's.
    Adopted {
        /// Process id of the command.
        pid: i32,
        /// How long it has run.
        age: Duration,
        /// What is to become of it.
        survivor: Survivor,
    },
    /// A run of a former supervisor has ended while it was stopped, and members of its group live, which were to be
    /// ended as well.
    LeftBehind {
        /// So many.
        leftover: u32,
    },
    /// The configuration changed in a way that needs no restart (4.2, "hot").
    Policy(Policy),
    /// The configuration changed in a way that needs one.
    Replaced(Policy),
}

impl Event {
    /// Its name, for what is said of an impossible one.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Event::Autostart => "autostart",
            Event::StartAsked => "a start",
            Event::StopAsked { .. } => "a stop",
            Event::RestartAsked => "a restart",
            Event::SignalAsked { .. } => "a signal",
            Event::ShuttingDown => "a shutdown",
            Event::Spawned { .. } => "a successful exec",
            Event::SpawnFailed { .. } => "a failed exec",
            Event::SeenAlive => "a look at a live process",
            Event::Ended { .. } => "the end of a run",
            Event::GroupGone => "the end of a group",
            Event::KillFailed(_) => "a signal that was not sent",
            Event::Tick => "a tick",
            Event::Adopted { .. } => "an adoption",
            Event::LeftBehind { .. } => "a group that was left behind",
            Event::Policy(_) | Event::Replaced(_) => "a new configuration",
        }
    }
}

/// What the machine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a run; answer with `Spawned` or `SpawnFailed`.
    Spawn,
    /// Send the signal of a stop; answer with `KillFailed` if that fails.
    Signal {
        /// Which one.
        signal: Signal,
        /// To the whole group.
        group: bool,
    },
    /// Send somebody's signal on: it is no part of a stop, whatever goes on; answer with `KillFailed` if that fails.
    Pass {
        /// Which one.
        signal: Signal,
        /// To the whole group.
        group: bool,
    },
    /// SIGKILL.
    Kill {
        /// To the whole group.
        group: bool,
    },
    /// Try to reap it; answer with `SeenAlive` or `Ended`.
    CheckAlive,
    /// SIGKILL what is left of the group of the ended run; answer with `GroupGone` once it is empty.
    CleanGroup,
    /// The state changed: for the log and for those who listen.
    Say(Transition),
    /// For the log.
    Warn(Warning),
}

/// One transition, with what is known at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: ProcState,
    /// The state now.
    pub to: ProcState,
    /// Process id of the run that this is about.
    pub pid: Option<i32>,
    /// How that run ended, if this is its end.
    pub end: Option<End>,
    /// Whether that end was expected.
    pub expected: Option<bool>,
    /// Failed starts in a row.
    pub fails: u32,
    /// Whether the last start failed for a reason that passes, which does not count.
    pub hindered: bool,
    /// Why a start failed, or why a process can not be controlled.
    pub cause: Option<String>,
    /// Why it is being stopped.
    pub why: Option<StopWhy>,
    /// How long until the next try.
    pub next_in: Option<Duration>,
}

/// What the log should warn of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// T14.
    #[error("still running after SIGTERM; sending SIGKILL (attempt {0})")]
    Killing(u32),
    /// STOP-3.
    #[error("{} still alive", describe::members(*.0))]
    Leftover(u32),
    /// The group of an ended run withstands SIGKILL.
    #[error("its group withstands SIGKILL")]
    GroupStays,
    /// A signal could not be sent, and that changes no state.
    #[error("cannot signal it: {0}")]
    NotSignalled(String),
}

/// A command that does not fit the state; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is up, or is to come up.
    #[error("already started")]
    AlreadyStarted,
    /// It is down.
    #[error("not running")]
    NotRunning,
    /// It is being stopped.
    #[error("it is being stopped")]
    Stopping,
    /// There is a process that cannot be controlled.
    #[error("it runs and cannot be controlled")]
    Unknown,
    /// The supervisor ends.
    #[error("shutting down")]
    ShuttingDown,
}

/// An event that the machine does not take. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// A command that does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What cannot happen in this state: whoever tells it is wrong (SM-1). To be logged and forgotten.
    #[error("{event} cannot happen in {state}")]
    Impossible {
        /// The state.
        state: ProcState,
        /// The event, in words.
        event: &'static str,
    },
}
