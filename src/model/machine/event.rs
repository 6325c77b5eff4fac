//! Events and actions of a machine.

use std::time::Duration;

use crate::model::{
    program::{Policy, ProcState},
    task::{Exit, Signal},
};

/// How a run ended, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The command ended by itself, or by a signal that the shim did not send.
    ByItself(Exit),
    /// The shim ended the command: no heartbeat, or too long a run. Never expected.
    Timeout(Exit),
    /// The end was not observed. Never expected, and no exit status is invented for it.
    NotObserved,
}

impl End {
    /// The exit status, if observed.
    pub fn exit(self) -> Option<Exit> {
        match self {
            End::ByItself(exit) | End::Timeout(exit) => Some(exit),
            End::NotObserved => None,
        }
    }

    /// Whether the run exited normally with one of these codes. A death by signal is never
    /// expected.
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
    /// Requested by a client.
    Operator,
    /// The supervisor shuts down.
    Shutdown,
    /// Removed from the configuration.
    Remove,
    /// A restart was requested.
    Restart,
    /// Settings of the run were changed in the configuration; starts again.
    Reload,
    /// Left by an earlier supervisor, and `orphans = "stop"`; starts again.
    Survivor,
}

impl StopWhy {
    /// Whether the process is started again after the stop.
    pub fn starts_again(self) -> bool {
        match self {
            StopWhy::Operator | StopWhy::Shutdown | StopWhy::Remove => false,
            StopWhy::Restart | StopWhy::Reload | StopWhy::Survivor => true,
        }
    }

    /// The cause recorded in the history of tasks.
    pub fn as_cause(self) -> &'static str {
        match self {
            StopWhy::Operator => "stopped by operator",
            StopWhy::Shutdown => "stopped: shutdown",
            StopWhy::Remove => "stopped: removed from the configuration",
            StopWhy::Restart => "restart by operator",
            StopWhy::Reload => "restart: configuration",
            StopWhy::Survivor => "restart: left over from an earlier supervisor",
        }
    }
}

/// How to treat a run that survived an earlier supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivor {
    /// Supervise it.
    Adopt,
    /// Stop it; if the reason is one that starts again, a new run follows.
    Stop(StopWhy),
    /// Leave it alone, and start nothing beside it: UNKNOWN.
    Leave,
}

/// Why a signal could not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KillError {
    /// ESRCH: the process has just ended. Not an error; its end will be seen.
    Gone,
    /// Any other error.
    Denied(String),
}

/// An event of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The supervisor starts, or a reload added the program. Ignored if the process was started
    /// before.
    Autostart,
    /// A start was requested.
    StartAsked,
    /// A stop was requested. A `why` that starts again requests a new run if one is alive.
    StopAsked {
        /// The reason.
        why: StopWhy,
        /// Whether to send SIGKILL without a grace period.
        now: bool,
    },
    /// A restart was requested; without a run it is a start.
    RestartAsked,
    /// A signal was requested.
    SignalAsked {
        /// The signal.
        signal: Signal,
        /// Whether to signal the whole group.
        group: bool,
    },
    /// The supervisor is about to shut down: nothing starts from now on. The stops follow tier by
    /// tier.
    ShuttingDown,
    /// The exec succeeded.
    Spawned {
        /// Pid of the command.
        pid: i32,
    },
    /// The command was not executed.
    SpawnFailed {
        /// The cause, such as `command not found: foo`.
        cause: String,
        /// Whether the cause is transient and lies with the machine or the supervisor, not with the
        /// program: then the start is retried without limit.
        passing: bool,
    },
    /// An attempt to reap, made on `CheckAlive`, found no end.
    SeenAlive,
    /// The run has ended.
    Ended {
        /// How the run ended.
        end: End,
        /// Time of the end on the monotonic clock, if the shim recorded it.
        at: Option<Duration>,
        /// Number of processes of its group that are still alive.
        leftover: u32,
    },
    /// All processes of the groups of ended runs are gone.
    GroupGone,
    /// A signal could not be sent.
    KillFailed(KillError),
    /// Time passed.
    Tick,
    /// A run of an earlier supervisor was found alive, and its identity is verified.
    Adopted {
        /// Pid of the command.
        pid: i32,
        /// Age of the run.
        age: Duration,
        /// How to treat it.
        survivor: Survivor,
    },
    /// A run of an earlier supervisor ended during a stop, and members of its group, which were to
    /// be killed as well, are still alive.
    LeftBehind {
        /// Their number.
        leftover: u32,
    },
    /// The configuration changed in settings that apply without a restart.
    Policy(Policy),
    /// The configuration changed in settings that need a restart.
    Replaced(Policy),
}

impl Event {
    /// The event as text, for errors.
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
            Event::SeenAlive => "a report that the process is alive",
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

/// An action for the owner of the machine, to be done in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a run; the result is `Spawned` or `SpawnFailed`.
    Spawn,
    /// Send the signal of a stop; report `KillFailed` if that fails.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether to signal the whole group.
        group: bool,
    },
    /// Send a requested signal, which is not part of a stop; report `KillFailed` if that fails.
    Pass {
        /// The signal.
        signal: Signal,
        /// Whether to signal the whole group.
        group: bool,
    },
    /// Send SIGKILL.
    Kill {
        /// Whether to signal the whole group.
        group: bool,
    },
    /// Try to reap; the result is `SeenAlive` or `Ended`.
    CheckAlive,
    /// Send SIGKILL to the rest of the group of the ended run; report `GroupGone` once it is empty.
    CleanGroup,
    /// The state changed: for the log and for subscribers.
    Say(Transition),
    /// A warning for the log.
    Warn(Warning),
}

/// A change of state, with what is known at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The previous state.
    pub from: ProcState,
    /// The new state.
    pub to: ProcState,
    /// Pid of the run concerned.
    pub pid: Option<i32>,
    /// How that run ended, if this is its end.
    pub end: Option<End>,
    /// Whether that end was expected.
    pub expected: Option<bool>,
    /// Number of consecutive failed starts.
    pub fails: u32,
    /// Whether the last start failed for a transient reason, which is not counted.
    pub hindered: bool,
    /// Why a start failed, or why the process cannot be controlled.
    pub cause: Option<String>,
    /// Reason of the stop.
    pub why: Option<StopWhy>,
    /// Time until the next retry.
    pub next_in: Option<Duration>,
}

/// A warning for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// SIGKILL is sent, for the given number of times.
    #[error("still running; sending SIGKILL (attempt {0})")]
    Killing(u32),
    /// Processes of the group of an ended run are still alive.
    #[error("{} still alive", members(*.0))]
    Leftover(u32),
    /// The group of an ended run survives SIGKILL.
    #[error("its group survives SIGKILL")]
    GroupStays,
    /// A signal could not be sent, without effect on the state.
    #[error("cannot be signalled: {0}")]
    NotSignalled(String),
}

/// A request that does not fit the state; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Up, or about to be.
    #[error("already started")]
    AlreadyStarted,
    /// Down.
    #[error("not running")]
    NotRunning,
    /// Being stopped.
    #[error("is being stopped")]
    Stopping,
    /// A process exists and cannot be controlled.
    #[error("is running but cannot be controlled")]
    Unknown,
    /// The supervisor is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

/// An event that the machine rejects. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// A request that does not fit the state.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An event that cannot happen in this state: an error of the sender. To be logged and ignored.
    #[error("{event} cannot happen in {state}")]
    Impossible {
        /// The state.
        state: ProcState,
        /// The event, as text.
        event: &'static str,
    },
}

/// Formats `1 process of its group is`, `2 processes of its group are`.
pub(super) fn members(count: u32) -> String {
    match count {
        1 => "1 process of its group is".to_owned(),
        _ => format!("{count} processes of its group are"),
    }
}
