//! The life of one supervised process, as a pure state machine: events with their times in, actions
//! out.
//!
//! It never reads a clock, and neither starts nor signals anything. Each run of a process has its
//! own shim. The owner of the machine spawns the shim, passes on its reports, and carries out the
//! actions in order.
//!
//! The states are those of [`ProcState`]; a phase with another name has its state in brackets.
//!
//! | phase \ event | StartAsked | StopAsked | RestartAsked | Spawned | SpawnFailed | Ended | Tick |
//! |---|---|---|---|---|---|---|---|
//! | Stopped | Spawning | refused | Spawning | impossible | impossible | impossible | – |
//! | Held (STARTING) | refused | Stopping, Stopped | – | impossible | impossible | impossible | – |
//! | Spawning (STARTING) | refused | Stopping | Stopping | Young; Running | Backoff | Backoff | – |
//! | Young (STARTING) | refused | Stopping | Stopping | impossible | impossible | Backoff | CheckAlive; SeenAlive → Running |
//! | Running | refused | Stopping | Stopping | impossible | impossible | Exited, Spawning | – |
//! | Backoff | refused | Stopped | Stopped, Spawning | impossible | impossible | impossible | Spawning |
//! | Stopping | refused | joins | joins, then starts | signal | Stopped | Stopped | SIGKILL |
//! | Exited | Spawning | Stopped, refused | Spawning | impossible | impossible | impossible | Spawning |
//! | Fatal | Spawning | refused | Spawning | impossible | impossible | impossible | – |
//! | Unknown | refused | signal again | refused | impossible | impossible | Exited or Stopped | – |
//!
//! The other events are written out below, each with every phase. A failed start leads to Backoff
//! and, if no retry is left, immediately on to Fatal. A start that fails for a transient reason (no
//! descriptors, no processes, no memory) does not count as failed and is retried without limit. If
//! a signal cannot be sent to a live process, its state is Unknown. An impossible event is an error
//! that changes nothing; no state leads to a panic.

mod describe;
mod event;
mod order;
mod starts;
mod stop;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use describe::uptime;
pub use event::{Action, End, Event, Illegal, KillError, Refusal, StopWhy, Survivor, Transition, Warning};
pub use order::{Rank, Sequence, start_order, start_tiers, stop_order, stop_tiers};
pub use starts::{Starts, Turn};

use self::stop::{REPEAT, Stage, Stop};
use super::{
    program::{Autorestart, Policy, ProcState},
    task::Signal,
};

/// Delay of the first retry of a start that failed for a transient reason; doubled each time.
const HINDERED: Duration = Duration::from_secs(1);
const HINDERED_LONGEST: Duration = Duration::from_secs(16);

#[derive(Clone, Debug, PartialEq, Eq)]
enum MachinePhase {
    Stopped,
    /// A start was requested while the group of the previous run is still being cleaned up.
    Held,
    /// The shim was started, the outcome of the exec is not known.
    Spawning,
    /// The command runs; it counts as up from `ready_at` on.
    Young {
        ready_at: Duration,
        /// Whether `CheckAlive` was requested and not answered yet.
        checking: bool,
    },
    Running,
    Backoff {
        at: Duration,
    },
    Stopping(Stop),
    Exited {
        /// Time of the automatic restart.
        again_at: Option<Duration>,
    },
    Fatal,
    Unknown(Lost),
}

impl MachinePhase {
    fn state(&self) -> ProcState {
        match self {
            MachinePhase::Stopped => ProcState::Stopped,
            MachinePhase::Held | MachinePhase::Spawning | MachinePhase::Young { .. } => ProcState::Starting,
            MachinePhase::Running => ProcState::Running,
            MachinePhase::Backoff { .. } => ProcState::Backoff,
            MachinePhase::Stopping(_) => ProcState::Stopping,
            MachinePhase::Exited { .. } => ProcState::Exited,
            MachinePhase::Fatal => ProcState::Fatal,
            MachinePhase::Unknown(_) => ProcState::Unknown,
        }
    }
}

/// A process that cannot be controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lost {
    /// Why a signal could not be sent; `None`: deliberately not controlled.
    error: Option<String>,
    /// Reason of a pending stop.
    why: Option<StopWhy>,
    /// The leader has ended; members of its group are still alive.
    leader_gone: bool,
}

/// One supervised process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    policy: Policy,
    /// Shortest time between two automatic spawns.
    throttle: Duration,
    phase: MachinePhase,
    shutting_down: bool,
    /// Whether the process was ever started under this supervisor.
    started: bool,
    /// Pid of a disowned run; shown until the next start.
    disowned: Option<i32>,
    /// Number of consecutive failed starts.
    fails: u32,
    /// Number of consecutive starts that failed for a transient reason, unrelated to the program.
    hindered: u32,
    /// Reason of the last failed start.
    cause: Option<String>,
    spawn_error: Option<String>,
    stopped_by: Option<StopWhy>,
    pid: Option<i32>,
    /// Start of the current run, on the monotonic clock.
    began: Option<Duration>,
    adopted: bool,
    /// Time of the last spawn.
    spawned: Option<Duration>,
    /// How the last run ended, and whether that was expected.
    last: Option<(End, Option<bool>)>,
    /// Number of surviving members of the groups of ended runs.
    leftover: u32,
    /// Time of the next attempt to clean up the group of the ended run. Nothing is spawned
    /// meanwhile.
    cleaning: Option<Duration>,
    /// Signals to send after the exec.
    waiting: Vec<(Signal, bool)>,
}

impl Machine {
    /// Makes a process that was never started. `throttle` is the shortest time between two
    /// automatic spawns (`restart_throttle`).
    pub fn new(policy: Policy, throttle: Duration) -> Machine {
        Machine {
            policy,
            throttle,
            phase: MachinePhase::Stopped,
            shutting_down: false,
            started: false,
            disowned: None,
            fails: 0,
            hindered: 0,
            cause: None,
            spawn_error: None,
            stopped_by: None,
            pid: None,
            began: None,
            adopted: false,
            spawned: None,
            last: None,
            leftover: 0,
            cleaning: None,
            waiting: Vec::new(),
        }
    }

    /// Handles an event that happened or was noticed at `now` on the monotonic clock, and returns
    /// the actions.
    ///
    /// # Errors
    /// [`Illegal`]: the event was rejected, and nothing changed.
    pub fn handle(&mut self, event: Event, now: Duration) -> Result<Vec<Action>, Illegal> {
        let mut out = Vec::new();
        let impossible = Illegal::Impossible { state: self.state(), event: event.name() };
        match event {
            Event::Autostart => self.autostart(now, &mut out),
            Event::StartAsked => self.start_asked(now, &mut out)?,
            Event::StopAsked { why, now: at_once } => self.stop_asked(why, at_once, now, &mut out)?,
            Event::RestartAsked => self.restart_asked(now, &mut out)?,
            Event::SignalAsked { signal, group } => self.signal_asked(signal, group, &mut out)?,
            Event::ShuttingDown => self.shut_down(now, &mut out),
            Event::Spawned { pid } => self.exec_done(pid, now, &mut out).ok_or(impossible)?,
            Event::SpawnFailed { cause, passing } => {
                self.exec_failed(cause, passing, now, &mut out).ok_or(impossible)?;
            }
            Event::SeenAlive => self.seen_alive(now, &mut out).ok_or(impossible)?,
            Event::Ended { end, at, leftover } => self.ended(end, at, leftover, now, &mut out).ok_or(impossible)?,
            Event::GroupGone => self.group_gone(now, &mut out),
            Event::KillFailed(KillError::Gone) => {}
            Event::KillFailed(KillError::Denied(error)) => {
                self.kill_failed(error, now, &mut out).ok_or(impossible)?;
            }
            Event::Tick => self.tick(now, &mut out),
            Event::Adopted { pid, age, survivor } => {
                self.adopt(pid, age, survivor, now, &mut out).ok_or(impossible)?;
            }
            Event::LeftBehind { leftover } => self.left_behind(leftover, now, &mut out).ok_or(impossible)?,
            Event::Policy(policy) => self.policy_changed(policy, now, &mut out),
            Event::Replaced(policy) => self.replaced(policy, now, &mut out),
        }
        Ok(out)
    }

    /// Time of the next `Tick`, on the monotonic clock; `None`: only another event changes
    /// anything.
    pub fn deadline(&self) -> Option<Duration> {
        let own = match &self.phase {
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Running
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => None,
            MachinePhase::Young { ready_at, checking } => (!checking).then_some(*ready_at),
            // A phase that waits for a group is woken by `GroupGone`.
            MachinePhase::Backoff { at } => self.cleaning.is_none().then_some(*at),
            MachinePhase::Exited { again_at } => again_at.filter(|_| self.cleaning.is_none()),
            MachinePhase::Stopping(stop) => stop.at,
        };
        [own, self.cleaning].into_iter().flatten().min()
    }

    /// The current state.
    pub fn state(&self) -> ProcState {
        self.phase.state()
    }

    /// The current policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Records the pid of a run that was disowned and left alive.
    pub fn disowned(&mut self, pid: i32) {
        self.disowned = Some(pid);
    }

    /// Sets the shortest time between two automatic spawns, effective from the next one.
    pub fn set_throttle(&mut self, throttle: Duration) {
        self.throttle = throttle;
    }

    /// Pid of the current run, once known.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Number of consecutive failed starts.
    pub fn fails(&self) -> u32 {
        self.fails
    }

    /// Whether the last start failed for a transient reason, unrelated to the program.
    pub fn is_hindered(&self) -> bool {
        self.hindered > 0
    }

    /// Age of the current run; `None` without one.
    pub fn uptime(&self, now: Duration) -> Option<Duration> {
        self.began.map(|began| now.saturating_sub(began))
    }

    /// Time until the next automatic start; `None` if none is due.
    pub fn next_try(&self, now: Duration) -> Option<Duration> {
        match &self.phase {
            MachinePhase::Backoff { at } => Some(at.saturating_sub(now)),
            MachinePhase::Exited { again_at } => again_at.map(|at| at.saturating_sub(now)),
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopping(_)
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => None,
        }
    }

    /// How the last run ended, and whether that was expected; `None` while a run is alive.
    pub fn last_end(&self) -> Option<(End, Option<bool>)> {
        self.last
    }

    /// Why the last spawn failed before the exec, if it did.
    pub fn spawn_error(&self) -> Option<&str> {
        self.spawn_error.as_deref()
    }

    /// Why the process is, or is being, stopped without a restart; `None` if it is not.
    pub fn stopped_by(&self) -> Option<StopWhy> {
        self.stopped_by
    }

    /// Reason of the stop in progress; `None` without one.
    pub fn stopping_why(&self) -> Option<StopWhy> {
        match &self.phase {
            MachinePhase::Stopping(stop) => Some(stop.why),
            MachinePhase::Unknown(lost) => lost.why,
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal => None,
        }
    }

    /// Number of surviving members of the groups of ended runs.
    pub fn leftover(&self) -> u32 {
        self.leftover
    }

    /// Updates that number after some of them have ended.
    pub fn set_leftover(&mut self, leftover: u32) {
        self.leftover = leftover;
    }

    /// Whether the group of the last run is being killed, which delays the next start.
    pub fn cleans_group(&self) -> bool {
        self.cleaning.is_some()
    }

    /// Whether the last run has ended and its group is being waited for.
    pub fn waits_for_group(&self) -> bool {
        let waits = match &self.phase {
            MachinePhase::Stopping(stop) => stop.stage == Stage::LeaderGone,
            MachinePhase::Unknown(lost) => lost.leader_gone,
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal => false,
        };
        waits || self.cleaning.is_some()
    }

    /// Whether the current run was started by an earlier supervisor.
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether the process was ever started under this supervisor.
    pub fn was_started(&self) -> bool {
        self.started
    }

    // ---- requests ----

    fn autostart(&mut self, now: Duration, out: &mut Vec<Action>) {
        match &self.phase {
            MachinePhase::Stopped if !self.started && self.policy.autostart && !self.shutting_down => {
                self.start(now, out);
            }
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Stopping(_)
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => {}
        }
    }

    fn start_asked(&mut self, now: Duration, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        match &self.phase {
            MachinePhase::Stopped | MachinePhase::Exited { .. } | MachinePhase::Fatal => {
                self.start(now, out);
                Ok(())
            }
            MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. } => Err(Refusal::AlreadyStarted),
            // Requests are not queued implicitly; `restart` is the operation that waits.
            MachinePhase::Stopping(_) => Err(Refusal::Stopping),
            MachinePhase::Unknown(_) => Err(Refusal::Unknown),
        }
    }

    fn stop_asked(&mut self, why: StopWhy, at_once: bool, now: Duration, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if why.starts_again() && self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        match &mut self.phase {
            MachinePhase::Stopped | MachinePhase::Exited { again_at: None } | MachinePhase::Fatal => match why {
                StopWhy::Operator => return Err(Refusal::NotRunning),
                StopWhy::Shutdown | StopWhy::Remove | StopWhy::Restart | StopWhy::Reload | StopWhy::Survivor => {}
            },
            MachinePhase::Exited { again_at: Some(_) } | MachinePhase::Backoff { .. } if why.starts_again() => {
                // A start is due anyway, which is what was requested.
            }
            MachinePhase::Exited { again_at: Some(_) } | MachinePhase::Backoff { .. } => self.stay_down(why, now, out),
            MachinePhase::Held if why.starts_again() => {}
            MachinePhase::Held => {
                self.begin_stop(Stage::Asked, why, now, out);
                self.stop_done(now, out);
            }
            MachinePhase::Spawning => self.begin_stop(Stage::Waiting { now: at_once }, why, now, out),
            MachinePhase::Young { .. } | MachinePhase::Running => {
                self.begin_stop(Stage::Asked, why, now, out);
                if let MachinePhase::Stopping(stop) = &mut self.phase {
                    stop.ask(at_once, now, out);
                }
            }
            MachinePhase::Stopping(stop) => {
                stop.join(why);
                if at_once {
                    stop.kill(now, out);
                }
                if !stop.why.starts_again() {
                    self.stopped_by = Some(stop.why);
                }
            }
            MachinePhase::Unknown(Lost { error: None, .. }) => match why {
                StopWhy::Operator | StopWhy::Restart => return Err(Refusal::Unknown),
                // The process is not to be controlled, not even on shutdown.
                StopWhy::Shutdown | StopWhy::Remove | StopWhy::Reload | StopWhy::Survivor => {}
            },
            MachinePhase::Unknown(lost) => {
                lost.why = Some(why);
                if !lost.leader_gone {
                    let mut stop = Stop::of(&self.policy, why);
                    stop.ask(at_once, now, out);
                }
                self.stopped_by = (!why.starts_again()).then_some(why);
            }
        }
        self.shutting_down |= why == StopWhy::Shutdown;
        Ok(())
    }

    fn restart_asked(&mut self, now: Duration, out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        match &mut self.phase {
            MachinePhase::Stopped | MachinePhase::Exited { .. } | MachinePhase::Fatal => self.start(now, out),
            MachinePhase::Backoff { .. } => {
                self.stay_down(StopWhy::Restart, now, out);
                self.start(now, out);
            }
            MachinePhase::Held => {}
            MachinePhase::Spawning | MachinePhase::Young { .. } | MachinePhase::Running => {
                self.stop_asked(StopWhy::Restart, false, now, out)?;
            }
            // The process will be removed after the stop.
            MachinePhase::Stopping(Stop { why: StopWhy::Remove, .. }) => return Err(Refusal::Stopping),
            MachinePhase::Stopping(stop) => {
                stop.why = StopWhy::Restart;
                self.stopped_by = None;
            }
            MachinePhase::Unknown(_) => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    fn signal_asked(&mut self, signal: Signal, group: bool, out: &mut Vec<Action>) -> Result<(), Refusal> {
        match &self.phase {
            MachinePhase::Stopped
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => {
                return Err(Refusal::NotRunning);
            }
            MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Stopping(Stop { stage: Stage::Waiting { .. }, .. }) => {
                if !self.waiting.contains(&(signal, group)) {
                    self.waiting.push((signal, group));
                }
            }
            MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopping(Stop { stage: Stage::Asked, .. }) => {
                out.push(Action::Pass { signal, group });
            }
            // The leader's pid may have been reused.
            MachinePhase::Stopping(Stop { stage: Stage::LeaderGone, .. }) if !group => return Err(Refusal::NotRunning),
            MachinePhase::Stopping(Stop { stage: Stage::LeaderGone, .. }) => out.push(Action::Pass { signal, group }),
        }
        Ok(())
    }

    fn shut_down(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.shutting_down = true;
        match &mut self.phase {
            MachinePhase::Backoff { .. } | MachinePhase::Exited { again_at: Some(_) } => {
                self.stay_down(StopWhy::Shutdown, now, out)
            }
            MachinePhase::Held => {
                self.begin_stop(Stage::Asked, StopWhy::Shutdown, now, out);
                self.stop_done(now, out);
            }
            MachinePhase::Stopping(stop) => {
                stop.join(StopWhy::Shutdown);
                self.stopped_by = Some(stop.why);
            }
            MachinePhase::Unknown(lost) => {
                // Cancels the start after the end of this run.
                if lost.why.is_some_and(StopWhy::starts_again) {
                    lost.why = Some(StopWhy::Shutdown);
                    self.stopped_by = Some(StopWhy::Shutdown);
                }
            }
            MachinePhase::Stopped
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Exited { again_at: None }
            | MachinePhase::Fatal => {}
        }
    }

    // ---- occurrences ----

    fn exec_done(&mut self, pid: i32, now: Duration, out: &mut Vec<Action>) -> Option<()> {
        match &mut self.phase {
            MachinePhase::Spawning => {
                (self.pid, self.began) = (Some(pid), Some(now));
                if self.policy.startsecs.is_zero() {
                    self.is_up(now, out);
                } else {
                    let ready_at = now.saturating_add(self.policy.startsecs);
                    self.go(MachinePhase::Young { ready_at, checking: false }, now, out);
                }
                self.send_waiting(out);
                Some(())
            }
            MachinePhase::Stopping(Stop { stage: Stage::Waiting { now: at_once }, .. }) => {
                let at_once = *at_once;
                (self.pid, self.began) = (Some(pid), Some(now));
                self.send_waiting(out);
                if let MachinePhase::Stopping(stop) = &mut self.phase {
                    stop.ask(at_once, now, out);
                }
                Some(())
            }
            MachinePhase::Stopping(Stop { stage: Stage::Asked | Stage::LeaderGone, .. })
            | MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => None,
        }
    }

    fn exec_failed(&mut self, cause: String, passing: bool, now: Duration, out: &mut Vec<Action>) -> Option<()> {
        match &self.phase {
            MachinePhase::Spawning => {
                self.spawn_error = Some(cause.clone());
                match passing {
                    true => self.start_hindered(cause, now, out),
                    false => self.start_failed(cause, now, out),
                }
                Some(())
            }
            MachinePhase::Stopping(Stop { stage: Stage::Waiting { .. }, .. }) => {
                self.spawn_error = Some(cause);
                self.stop_done(now, out);
                Some(())
            }
            MachinePhase::Stopping(Stop { stage: Stage::Asked | Stage::LeaderGone, .. })
            | MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => None,
        }
    }

    fn seen_alive(&mut self, now: Duration, out: &mut Vec<Action>) -> Option<()> {
        match &self.phase {
            MachinePhase::Young { ready_at, .. } if now >= *ready_at => {
                self.is_up(now, out);
                Some(())
            }
            // Seen before `ready_at`, or already known to be up.
            MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopping(_)
            | MachinePhase::Unknown(_) => Some(()),
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal => None,
        }
    }

    fn ended(
        &mut self,
        end: End,
        at: Option<Duration>,
        leftover: u32,
        now: Duration,
        out: &mut Vec<Action>,
    ) -> Option<()> {
        match &mut self.phase {
            MachinePhase::Young { ready_at, .. } if at.is_some_and(|at| at >= *ready_at) => {
                // The shim recorded an end after `ready_at`, so the process was up.
                self.is_up(now, out);
                self.exited(end, leftover, now, out);
            }
            MachinePhase::Spawning | MachinePhase::Young { .. } => {
                self.last = Some((end, None));
                self.start_failed(describe::too_quickly(end), now, out);
                self.left(leftover, now, out);
            }
            MachinePhase::Running => self.exited(end, leftover, now, out),
            MachinePhase::Stopping(Stop { stage: Stage::LeaderGone, .. }) => return None,
            MachinePhase::Stopping(stop) => {
                self.last = Some((end, None));
                if leftover == 0 {
                    self.stop_done(now, out);
                } else if stop.ask_group || stop.kill_group {
                    stop.stage = Stage::LeaderGone;
                    // With stopasgroup the members were signalled too and have until the deadline.
                    // Otherwise nothing else would end them.
                    if !stop.ask_group || stop.kills > 0 {
                        stop.kill(now, out);
                    }
                } else {
                    self.left(leftover, now, out);
                    self.stop_done(now, out);
                }
            }
            MachinePhase::Unknown(Lost { leader_gone: true, .. }) => return None,
            MachinePhase::Unknown(_) => self.end_of_unknown(end, leftover, now, out),
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal => return None,
        }
        Some(())
    }

    fn group_gone(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.leftover = 0;
        self.cleaning = None;
        match &self.phase {
            MachinePhase::Stopping(Stop { stage: Stage::LeaderGone, .. }) => self.stop_done(now, out),
            MachinePhase::Unknown(Lost { leader_gone: true, .. }) => {
                let end = self.last.map_or(End::NotObserved, |(end, _)| end);
                self.end_of_unknown(end, 0, now, out);
            }
            MachinePhase::Stopping(Stop { stage: Stage::Waiting { .. } | Stage::Asked, .. })
            | MachinePhase::Unknown(Lost { leader_gone: false, .. })
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopped
            | MachinePhase::Fatal => {}
            MachinePhase::Held | MachinePhase::Backoff { .. } | MachinePhase::Exited { .. } => self.start_due(now, out),
        }
    }

    fn kill_failed(&mut self, error: String, now: Duration, out: &mut Vec<Action>) -> Option<()> {
        let (why, leader_gone) = match &mut self.phase {
            // No signal was sent in these phases.
            MachinePhase::Spawning | MachinePhase::Stopping(Stop { stage: Stage::Waiting { .. }, .. }) => return None,
            MachinePhase::Young { .. } | MachinePhase::Running => (None, false),
            MachinePhase::Stopping(stop) => (Some(stop.why), stop.stage == Stage::LeaderGone),
            MachinePhase::Unknown(lost) => {
                out.push(Action::Warn(Warning::NotSignalled(error.clone())));
                lost.error = Some(error);
                return Some(());
            }
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Backoff { .. }
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal => {
                out.push(Action::Warn(Warning::NotSignalled(error)));
                // A group that cannot be killed must not keep the program down forever.
                self.cleaning = None;
                self.start_due(now, out);
                return Some(());
            }
        };
        self.cause = Some(error.clone());
        self.go(MachinePhase::Unknown(Lost { error: Some(error), why, leader_gone }), now, out);
        Some(())
    }

    fn tick(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.cleaning.is_some_and(|at| at <= now) {
            out.extend([Action::CleanGroup, Action::Warn(Warning::GroupStays)]);
            self.cleaning = Some(now.saturating_add(REPEAT));
        }
        match &mut self.phase {
            MachinePhase::Young { ready_at, checking } => {
                if *ready_at <= now && !*checking {
                    *checking = true;
                    out.push(Action::CheckAlive);
                }
            }
            MachinePhase::Stopping(stop) => {
                if stop.at.is_some_and(|at| at <= now) {
                    stop.kill(now, out);
                }
            }
            MachinePhase::Held | MachinePhase::Backoff { .. } | MachinePhase::Exited { .. } => self.start_due(now, out),
            MachinePhase::Stopped
            | MachinePhase::Spawning
            | MachinePhase::Running
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => {}
        }
    }

    fn adopt(
        &mut self,
        pid: i32,
        age: Duration,
        survivor: Survivor,
        now: Duration,
        out: &mut Vec<Action>,
    ) -> Option<()> {
        match &self.phase {
            MachinePhase::Stopped if !self.started => {}
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Backoff { .. }
            | MachinePhase::Stopping(_)
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => return None,
        }
        let began = now.saturating_sub(age);
        (self.started, self.adopted) = (true, true);
        (self.pid, self.began, self.spawned) = (Some(pid), Some(began), Some(began));
        if survivor == Survivor::Leave {
            self.go(MachinePhase::Unknown(Lost { error: None, why: None, leader_gone: false }), now, out);
            return Some(());
        }
        if age >= self.policy.startsecs {
            self.is_up(now, out);
        } else {
            let ready_at = now.saturating_add(self.policy.startsecs.saturating_sub(age));
            self.go(MachinePhase::Young { ready_at, checking: false }, now, out);
        }
        if let Survivor::Stop(why) = survivor {
            self.begin_stop(Stage::Asked, why, now, out);
            if let MachinePhase::Stopping(stop) = &mut self.phase {
                stop.ask(false, now, out);
            }
        }
        Some(())
    }

    /// The earlier supervisor died while it waited for this group. Kills the group, and starts
    /// nothing before it is gone.
    fn left_behind(&mut self, leftover: u32, now: Duration, out: &mut Vec<Action>) -> Option<()> {
        if self.phase != MachinePhase::Stopped || self.started {
            return None;
        }
        self.leftover = leftover;
        out.extend([Action::Warn(Warning::Leftover(leftover)), Action::CleanGroup]);
        self.cleaning = Some(now.saturating_add(REPEAT));
        Some(())
    }

    fn policy_changed(&mut self, policy: Policy, now: Duration, out: &mut Vec<Action>) {
        self.policy = policy;
        match &self.phase {
            // The new limit of retries may be exceeded.
            MachinePhase::Backoff { .. } => self.give_up_or_wait(now, out),
            // A stop keeps its deadline and a start its startsecs; a restart that is due stays due.
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopping(_)
            | MachinePhase::Exited { .. }
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => {}
        }
    }

    fn replaced(&mut self, policy: Policy, now: Duration, out: &mut Vec<Action>) {
        match &self.phase {
            MachinePhase::Spawning if !self.shutting_down => {
                self.begin_stop(Stage::Waiting { now: false }, StopWhy::Reload, now, out);
            }
            // The run ends with the old settings; the new ones apply to the next run.
            MachinePhase::Young { .. } | MachinePhase::Running if !self.shutting_down => {
                self.begin_stop(Stage::Asked, StopWhy::Reload, now, out);
                if let MachinePhase::Stopping(stop) = &mut self.phase {
                    stop.ask(false, now, out);
                }
            }
            // A corrected configuration must lead out of FATAL.
            MachinePhase::Backoff { .. } | MachinePhase::Fatal => {
                (self.fails, self.hindered) = (0, 0);
                if policy.autostart && !self.shutting_down {
                    self.policy = policy;
                    return self.start(now, out);
                }
            }
            // EXITED is a result, not a failure; STOPPED was requested; a stop continues as it
            // began.
            MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Stopping(_)
            | MachinePhase::Exited { .. }
            | MachinePhase::Unknown(_) => {}
        }
        self.policy = policy;
    }

    // ---- transitions ----

    /// Changes the phase, and reports a change of the state.
    fn go(&mut self, to: MachinePhase, now: Duration, out: &mut Vec<Action>) {
        let why = self.stopping_why();
        self.go_as(to, why, now, out);
    }

    /// Like [`Machine::go`], as part of a stop for this reason.
    fn go_as(&mut self, to: MachinePhase, stopping: Option<StopWhy>, now: Duration, out: &mut Vec<Action>) {
        let from = self.state();
        self.phase = to;
        let state = self.state();
        let has_run = |state: ProcState| state.is_live() || state == ProcState::Unknown;
        let is_end = has_run(from) && !has_run(state);
        if from != state {
            out.push(Action::Say(Transition {
                from,
                to: state,
                pid: self.pid,
                end: self.last.filter(|_| is_end).map(|(end, _)| end),
                expected: self.last.filter(|_| is_end).and_then(|(_, expected)| expected),
                fails: self.fails,
                hindered: self.hindered > 0,
                cause: match state {
                    ProcState::Backoff | ProcState::Fatal | ProcState::Unknown => self.cause.clone(),
                    ProcState::Stopped
                    | ProcState::Starting
                    | ProcState::Running
                    | ProcState::Stopping
                    | ProcState::Exited => None,
                },
                why: match state {
                    ProcState::Stopping | ProcState::Stopped | ProcState::Unknown => {
                        self.stopping_why().or(stopping).or(self.stopped_by)
                    }
                    ProcState::Starting
                    | ProcState::Running
                    | ProcState::Backoff
                    | ProcState::Exited
                    | ProcState::Fatal => None,
                },
                next_in: self.next_try(now),
            }));
        }
        if !has_run(state) {
            (self.pid, self.began, self.adopted) = (None, None, false);
            self.waiting.clear();
        }
    }

    /// A requested start: resets all counters.
    fn start(&mut self, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.cause = None;
        self.stopped_by = None;
        if self.cleaning.is_some() {
            self.started = true;
            self.go(MachinePhase::Held, now, out);
        } else {
            self.spawn(now, out);
        }
    }

    /// Spawns one run. Never called while another run is alive.
    fn spawn(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.started = true;
        self.spawned = Some(now);
        self.last = None;
        self.spawn_error = None;
        self.go(MachinePhase::Spawning, now, out);
        out.push(Action::Spawn);
    }

    /// Spawns if an automatic start is due, unless the previous group is still being cleaned up.
    fn start_due(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.cleaning.is_some() || self.shutting_down {
            return;
        }
        let is_due = match &self.phase {
            MachinePhase::Held => true,
            MachinePhase::Backoff { at } => *at <= now,
            MachinePhase::Exited { again_at } => again_at.is_some_and(|at| at <= now),
            MachinePhase::Stopped
            | MachinePhase::Spawning
            | MachinePhase::Young { .. }
            | MachinePhase::Running
            | MachinePhase::Stopping(_)
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => false,
        };
        if is_due {
            self.spawn(now, out);
        }
    }

    /// Earliest time for an automatic start that is wanted at `wanted`.
    fn throttled(&self, wanted: Duration) -> Duration {
        self.spawned.map_or(wanted, |spawned| wanted.max(spawned.saturating_add(self.throttle)))
    }

    /// The process is up.
    fn is_up(&mut self, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.cause = None;
        self.go(MachinePhase::Running, now, out);
    }

    /// A start failed, or the run ended before `startsecs`.
    fn start_failed(&mut self, cause: String, now: Duration, out: &mut Vec<Action>) {
        self.fails = self.fails.saturating_add(1);
        self.hindered = 0;
        self.cause = Some(cause);
        let at = self.throttled(now.saturating_add(Duration::from_secs(u64::from(self.fails))));
        self.go(MachinePhase::Backoff { at }, now, out);
        self.give_up_or_wait(now, out);
        if self.shutting_down && self.state() == ProcState::Backoff {
            self.stay_down(StopWhy::Shutdown, now, out);
        }
    }

    /// A start failed for a transient reason: not counted, and retried without limit.
    fn start_hindered(&mut self, cause: String, now: Duration, out: &mut Vec<Action>) {
        let pause = HINDERED.saturating_mul(1 << self.hindered.min(31)).min(HINDERED_LONGEST);
        self.hindered = self.hindered.saturating_add(1);
        self.cause = Some(cause);
        self.go(MachinePhase::Backoff { at: self.throttled(now.saturating_add(pause)) }, now, out);
        if self.shutting_down {
            self.stay_down(StopWhy::Shutdown, now, out);
        }
    }

    /// Gives up if no retry is left.
    fn give_up_or_wait(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.hindered == 0 && self.policy.startretries.is_some_and(|retries| self.fails > retries) {
            self.go(MachinePhase::Fatal, now, out);
        }
    }

    /// The run ended by itself; restarts it according to `autorestart`.
    fn exited(&mut self, end: End, leftover: u32, now: Duration, out: &mut Vec<Action>) {
        let expected = end.is_expected(&self.policy.exitcodes);
        self.last = Some((end, Some(expected)));
        let wanted = match self.policy.autorestart {
            Autorestart::Always => true,
            Autorestart::Never => false,
            Autorestart::Unexpected => !expected,
        };
        let again = wanted && self.stopped_by.is_none() && !self.shutting_down;
        let again_at = again.then(|| self.throttled(now));
        self.go(MachinePhase::Exited { again_at }, now, out);
        self.left(leftover, now, out);
        self.start_due(now, out);
    }

    /// A run that could not be controlled has ended.
    fn end_of_unknown(&mut self, end: End, leftover: u32, now: Duration, out: &mut Vec<Action>) {
        match self.stopping_why() {
            None => self.exited(end, leftover, now, out),
            Some(why) => {
                self.last = Some((end, None));
                self.left(leftover, now, out);
                self.down(why, now, out);
            }
        }
    }

    /// Begins a stop.
    fn begin_stop(&mut self, stage: Stage, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        self.stopped_by = (!why.starts_again()).then_some(why);
        self.go(MachinePhase::Stopping(Stop { stage, ..Stop::of(&self.policy, why) }), now, out);
    }

    /// Finishes the stop in progress.
    fn stop_done(&mut self, now: Duration, out: &mut Vec<Action>) {
        let why = self.stopping_why().unwrap_or(StopWhy::Operator);
        self.down(why, now, out);
    }

    /// Goes to STOPPED, and starts again if that was the reason of the stop.
    fn down(&mut self, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.go(MachinePhase::Stopped, now, out);
        if why.starts_again() && !self.shutting_down {
            self.start(now, out);
        }
    }

    /// Cancels the start that is due.
    fn stay_down(&mut self, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.stopped_by = (!why.starts_again()).then_some(why);
        self.go_as(MachinePhase::Stopped, Some(why), now, out);
    }

    /// Handles surviving members of the group of a run that ended by itself.
    fn left(&mut self, leftover: u32, now: Duration, out: &mut Vec<Action>) {
        if leftover == 0 {
            return;
        }
        self.leftover = self.leftover.saturating_add(leftover);
        out.push(Action::Warn(Warning::Leftover(leftover)));
        if self.policy.kills_group() {
            self.cleaning = Some(now.saturating_add(REPEAT));
            out.push(Action::CleanGroup);
        }
    }

    fn send_waiting(&mut self, out: &mut Vec<Action>) {
        out.extend(self.waiting.drain(..).map(|(signal, group)| Action::Pass { signal, group }));
    }
}
