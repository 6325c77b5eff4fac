//! The life of one supervised process, as a pure machine: it is told what happened and when, and says what to do.
//!
//! It never asks the time and starts or signals nothing. Each run of a process is carried by its own `launch`; whoever
//! owns the machine spawns that one, tells what it reports, and carries out the actions in their order.
//!
//! The states are those of [`ProcState`]; the numbers are the rules of the specification (T = transition). A phase that
//! is not a state of its own has its state in brackets.
//!
//! | phase \ event | StartAsked | StopAsked | RestartAsked | Spawned | SpawnFailed | Ended | Tick |
//! |---|---|---|---|---|---|---|---|
//! | Stopped | Spawning (T2) | refused | Spawning (T2) | impossible | impossible | impossible | – |
//! | Held (STARTING) | refused | Stopping, Stopped | – | impossible | impossible | impossible | – |
//! | Spawning (STARTING) | refused | Stopping (T12) | Stopping (T12) | Young; Running (T4) | Backoff (T6) | Backoff (T5) | – |
//! | Young (STARTING) | refused | Stopping (T12) | Stopping (T12) | impossible | impossible | Backoff (T5) | look whether it lives, SeenAlive → Running (T3) |
//! | Running | refused | Stopping (T12) | Stopping (T12) | impossible | impossible | Exited (T9), Spawning (T10) | – |
//! | Backoff | refused | Stopped (T8) | Stopped, Spawning | impossible | impossible | impossible | Spawning (T7) |
//! | Stopping | refused | joins | joins, then starts | signal | Stopped (T13) | Stopped (T13) | SIGKILL (T14) |
//! | Exited | Spawning (T2) | Stopped (T11), refused | Spawning (T2) | impossible | impossible | impossible | Spawning (T10) |
//! | Fatal | Spawning (T2) | refused | Spawning (T2) | impossible | impossible | impossible | – |
//! | Unknown | refused | signal again | refused | impossible | impossible | Exited or Stopped (T16) | – |
//!
//! The other events are written out below, each with every phase. A failed start is Backoff and, when no try is left, at once Fatal (T5b);
//! one that fails for a reason that passes (no descriptors, no processes, no memory) counts for nothing and is tried until it is
//! made. A signal that cannot be sent makes any live one
//! Unknown (T15). What is impossible is an error that changes nothing: nobody panics on a state (SM-1).

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

use self::stop::{Stage, Stop};
use super::{
    program::{Autorestart, Policy, ProcState},
    task::Signal,
};

/// SIGKILL is repeated no faster than this (T14), and so is the cleaning of a group: what ignores SIGKILL hangs in the
/// kernel and is not helped by haste.
const REPEAT: Duration = Duration::from_secs(1);

/// How soon a start is tried again that the machine or the supervisor could not make; twice as long each time.
const HINDERED: Duration = Duration::from_secs(1);
const HINDERED_LONGEST: Duration = Duration::from_secs(16);

#[derive(Clone, Debug, PartialEq, Eq)]
enum MachinePhase {
    Stopped,
    /// A start was asked for while the group of the former run is still being cleaned away.
    Held,
    /// `launch` was started, the outcome of the exec is not known.
    Spawning,
    /// The command runs; it counts as up from `ready_at` on.
    Young {
        ready_at: Duration,
        /// `CheckAlive` was asked and not answered.
        checking: bool,
    },
    Running,
    Backoff {
        at: Duration,
    },
    Stopping(Stop),
    Exited {
        /// When it starts again.
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
    /// Why a signal could not be sent; none: it is left alone on purpose.
    error: Option<String>,
    /// Why it was to be stopped, if it was.
    why: Option<StopWhy>,
    /// The leader has ended; members of its group live.
    leader_gone: bool,
}

/// One supervised process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    policy: Policy,
    /// Shortest time between two spawns that nobody asked for (SM-12).
    throttle: Duration,
    phase: MachinePhase,
    shutting_down: bool,
    /// Whether it was ever started under this supervisor.
    started: bool,
    /// The process of a run that was disowned; told until it is started.
    disowned: Option<i32>,
    /// Failed starts in a row.
    fails: u32,
    /// Starts in a row that the machine or the supervisor itself could not make, whatever the program.
    hindered: u32,
    /// Why the last failed start failed.
    cause: Option<String>,
    spawn_error: Option<String>,
    stopped_by: Option<StopWhy>,
    pid: Option<i32>,
    /// Since when the run lives, on the monotonic clock.
    began: Option<Duration>,
    adopted: bool,
    /// When the last run was spawned.
    spawned: Option<Duration>,
    /// How the last run ended, and whether that was expected.
    last: Option<(End, Option<bool>)>,
    /// Members of the groups of ended runs that were left alive.
    leftover: u32,
    /// While the group of the ended run is being cleaned away: when to try again. Nothing is spawned meanwhile.
    cleaning: Option<Duration>,
    /// Signals that wait for the exec (SM-10).
    waiting: Vec<(Signal, bool)>,
}

impl Machine {
    /// A process that was never started. `throttle` is the shortest time between two spawns that nobody asked for
    /// (`restart_throttle`, SM-12).
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

    /// Takes one event, which happened or was noticed at `now` on the monotonic clock, and says what to do about it.
    ///
    /// # Errors
    /// [`Illegal`]: the event was not taken, and nothing changed.
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

    /// When to send the next `Tick`, on the monotonic clock; none: only another event changes anything.
    pub fn deadline(&self) -> Option<Duration> {
        let own = match &self.phase {
            MachinePhase::Stopped
            | MachinePhase::Held
            | MachinePhase::Spawning
            | MachinePhase::Running
            | MachinePhase::Fatal
            | MachinePhase::Unknown(_) => None,
            MachinePhase::Young { ready_at, checking } => (!checking).then_some(*ready_at),
            // What waits for a group to be gone is woken by that.
            MachinePhase::Backoff { at } => self.cleaning.is_none().then_some(*at),
            MachinePhase::Exited { again_at } => again_at.filter(|_| self.cleaning.is_none()),
            MachinePhase::Stopping(stop) => stop.at,
        };
        [own, self.cleaning].into_iter().flatten().min()
    }

    /// What it is doing.
    pub fn state(&self) -> ProcState {
        self.phase.state()
    }

    /// The rules it lives by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes note that a run that is none of it any more was left alive with this process id (JOB-7).
    pub fn disowned(&mut self, pid: i32) {
        self.disowned = Some(pid);
    }

    /// Takes another shortest time between two spawns that nobody asked for; from the next one on.
    pub fn set_throttle(&mut self, throttle: Duration) {
        self.throttle = throttle;
    }

    /// Process id of the run, while there is one and it is known.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Failed starts in a row.
    pub fn fails(&self) -> u32 {
        self.fails
    }

    /// Whether its last start failed for a reason that passes and says nothing of the program.
    pub fn is_hindered(&self) -> bool {
        self.hindered > 0
    }

    /// How long it has lived; none while it does not.
    pub fn uptime(&self, now: Duration) -> Option<Duration> {
        self.began.map(|began| now.saturating_sub(began))
    }

    /// How long until it starts by itself; none if it will not.
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

    /// How the last run ended, and whether that was expected; none while one lives.
    pub fn last_end(&self) -> Option<(End, Option<bool>)> {
        self.last
    }

    /// Why the last spawn failed before the exec, if it did.
    pub fn spawn_error(&self) -> Option<&str> {
        self.spawn_error.as_deref()
    }

    /// Why it was, or is being, stopped for good; none if it was not.
    pub fn stopped_by(&self) -> Option<StopWhy> {
        self.stopped_by
    }

    /// Why its present stop is under way; none when none is.
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

    /// Processes of the groups of ended runs that were left alive (STOP-3).
    pub fn leftover(&self) -> u32 {
        self.leftover
    }

    /// Takes another number of those: some have ended since.
    pub fn set_leftover(&mut self, leftover: u32) {
        self.leftover = leftover;
    }

    /// Whether what is left of the group of its last run is being killed, and nothing starts before it is gone.
    pub fn cleans_group(&self) -> bool {
        self.cleaning.is_some()
    }

    /// Whether its last run has ended and something waits until its group has too.
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

    /// Whether its run was begun by a former supervisor.
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether it was ever started under this supervisor.
    pub fn was_started(&self) -> bool {
        self.started
    }

    // ---- what was asked ----

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
            // No hidden queueing: `restart` is the operation that waits (SM-11).
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
                // It is about to start anyway; a new run is what was asked for.
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
                // It is to be left alone, whoever ends.
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
            // It will not be there any more to be started.
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
            // Its pid may be another's by now (STOP-4).
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
                // Nothing starts after its end either.
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

    // ---- what happened ----

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
            // Seen before the instant that counts, or long known.
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
                // Its launcher recorded that it was up (SM-4).
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
                    // With stopasgroup they were asked too and have until the deadline; else nobody will end them.
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
            // No signal was sent to these.
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
                // What cannot be killed must not keep the program down for ever.
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

    /// The former supervisor died while it waited for this group, so it is ended, and nothing starts before it is gone.
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
            // A running BACKOFF is looked at again (4.2).
            MachinePhase::Backoff { .. } => self.give_up_or_wait(now, out),
            // A stop keeps its deadline, a start its startsecs; a restart that is due goes on.
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
            // With the old settings; the new ones are for the next run.
            MachinePhase::Young { .. } | MachinePhase::Running if !self.shutting_down => {
                self.begin_stop(Stage::Asked, StopWhy::Reload, now, out);
                if let MachinePhase::Stopping(stop) = &mut self.phase {
                    stop.ask(false, now, out);
                }
            }
            // A fix must cure FATAL.
            MachinePhase::Backoff { .. } | MachinePhase::Fatal => {
                (self.fails, self.hindered) = (0, 0);
                if policy.autostart && !self.shutting_down {
                    self.policy = policy;
                    return self.start(now, out);
                }
            }
            // EXITED is a result, not a failure; STOPPED was somebody's wish; a stop runs to its end as it began.
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

    // ---- what follows ----

    /// Changes the phase and says so if that is another state.
    fn go(&mut self, to: MachinePhase, now: Duration, out: &mut Vec<Action>) {
        let why = self.stopping_why();
        self.go_as(to, why, now, out);
    }

    /// [`Machine::go`], as part of a stop for this reason.
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

    /// Somebody's start: all counters begin anew (T1, T2, SM-3).
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

    /// One run. Never while another lives.
    fn spawn(&mut self, now: Duration, out: &mut Vec<Action>) {
        self.started = true;
        self.spawned = Some(now);
        self.last = None;
        self.spawn_error = None;
        self.go(MachinePhase::Spawning, now, out);
        out.push(Action::Spawn);
    }

    /// What starts by itself at this time does (T7, T10), unless its former group is not gone.
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

    /// When something may start by itself that should do so at `wanted` (SM-12).
    fn throttled(&self, wanted: Duration) -> Duration {
        self.spawned.map_or(wanted, |spawned| wanted.max(spawned.saturating_add(self.throttle)))
    }

    /// T3, T4.
    fn is_up(&mut self, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.cause = None;
        self.go(MachinePhase::Running, now, out);
    }

    /// T5, T6.
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

    /// A start that failed for a reason that passes: it counts for nothing, and is tried again until it is made.
    fn start_hindered(&mut self, cause: String, now: Duration, out: &mut Vec<Action>) {
        let pause = HINDERED.saturating_mul(1 << self.hindered.min(31)).min(HINDERED_LONGEST);
        self.hindered = self.hindered.saturating_add(1);
        self.cause = Some(cause);
        self.go(MachinePhase::Backoff { at: self.throttled(now.saturating_add(pause)) }, now, out);
        if self.shutting_down {
            self.stay_down(StopWhy::Shutdown, now, out);
        }
    }

    /// T5b.
    fn give_up_or_wait(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.hindered == 0 && self.policy.startretries.is_some_and(|retries| self.fails > retries) {
            self.go(MachinePhase::Fatal, now, out);
        }
    }

    /// T9, and T10 if it is to start again.
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

    /// T16.
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

    /// T12.
    fn begin_stop(&mut self, stage: Stage, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        self.stopped_by = (!why.starts_again()).then_some(why);
        self.go(MachinePhase::Stopping(Stop { stage, ..Stop::of(&self.policy, why) }), now, out);
    }

    /// T13.
    fn stop_done(&mut self, now: Duration, out: &mut Vec<Action>) {
        let why = self.stopping_why().unwrap_or(StopWhy::Operator);
        self.down(why, now, out);
    }

    /// STOPPED, and up again if that was the reason.
    fn down(&mut self, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.go(MachinePhase::Stopped, now, out);
        if why.starts_again() && !self.shutting_down {
            self.start(now, out);
        }
    }

    /// Something that waited for its next start does not wait any more (T8, T11).
    fn stay_down(&mut self, why: StopWhy, now: Duration, out: &mut Vec<Action>) {
        (self.fails, self.hindered) = (0, 0);
        self.stopped_by = (!why.starts_again()).then_some(why);
        self.go_as(MachinePhase::Stopped, Some(why), now, out);
    }

    /// Members of the group of a run that ended by itself (STOP-3).
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
