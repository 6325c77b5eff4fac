//! The life of one watched task, as a pure state machine: events with their times in, actions out.
//!
//! It never reads a clock. Two rules, each with a test of its name: *a beat buys a full timeout*
//! and *waking at the deadline moves it or ends it*.
//!
//! | phase \ event | Beat | StopAsked | Tick | Paused | Exited |
//! |---|---|---|---|---|---|
//! | Running | renew, show | stop signal → Stopping | at a deadline: show, or stop signal → Stopping | shift | Finish → Done |
//! | Stopping | – | SIGKILL → Killed (a hangup: –) | at `kill_at` SIGKILL → Killed | shift | Finish → Done |
//! | Killed | – | – | – | – | Finish → Done |
//! | Done | Illegal | Illegal | Illegal | Illegal | Illegal |

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::task::{Asker, Cause, Ended, Exit, Signal, Status, Tick, share};

/// How long a task may be silent and run, and how it is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest silence between heartbeats; `None`: feedback is not watched.
    pub timeout: Option<Duration>,
    /// Longest run time.
    pub max_runtime: Option<Duration>,
    /// The stop signal.
    pub stop_signal: Signal,
    /// Grace period between the stop signal and SIGKILL.
    pub kill_after: Duration,
}

/// What happened to a watched task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The feedback file changed, at the time of the tick.
    Beat,
    /// An end was requested.
    StopAsked {
        /// The requester.
        by: Asker,
        /// The signal to use; `None`: the task's own stop signal. SIGKILL leaves no grace period.
        signal: Option<Signal>,
    },
    /// Time passed.
    Tick,
    /// Job control had stopped the task for this long, which does not count.
    Paused(Duration),
    /// The command has ended (and so has every descendant, if the task was being ended).
    Exited(Exit),
}

/// An action for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchAction {
    /// Store this status.
    Save(Status),
    /// Send this signal to the whole process tree.
    Signal(Signal),
    /// Record the end.
    Finish(Ended),
}

/// An event after the end.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task has ended already")]
pub struct Illegal;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum WatchPhase {
    Running { beat: Duration },
    Stopping { cause: Cause, sent: Signal, kill_at: Duration },
    Killed { cause: Cause },
    Done,
}

/// One watched task. It can be serialized and continued by another process of the same boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    limits: Limits,
    started: Duration,
    looked: Duration,
    shown: Status,
    phase: WatchPhase,
}

impl Watch {
    /// Starts the watch of a task at `at`. Its silence counts from there until the first heartbeat.
    pub fn new(limits: Limits, at: Tick) -> Watch {
        let phase = WatchPhase::Running { beat: at.mono };
        Watch { limits, started: at.mono, looked: at.mono, shown: Status::Running, phase }
    }

    /// Handles an event and returns the actions, in order.
    ///
    /// # Errors
    /// [`Illegal`] once the task has ended.
    pub fn handle(&mut self, event: Event, at: Tick) -> Result<Vec<WatchAction>, Illegal> {
        match (&self.phase, event) {
            (WatchPhase::Running { .. }, Event::Beat) => {
                self.phase = WatchPhase::Running { beat: at.mono };
                Ok(self.show(Status::Running))
            }
            (WatchPhase::Running { .. }, Event::StopAsked { by, signal }) => {
                let signal = signal.unwrap_or(self.limits.stop_signal);
                Ok(self.stop(Cause::Asked(by), signal, at.mono))
            }
            (WatchPhase::Running { beat }, Event::Tick) => {
                let (beat, now) = (*beat, at.mono);
                self.looked = now;
                match (self.limits.timeout, self.limits.max_runtime) {
                    (Some(timeout), _) if now >= beat.saturating_add(timeout) => {
                        Ok(self.stop(Cause::NoHeartbeat(timeout), self.limits.stop_signal, now))
                    }
                    (_, Some(limit)) if now >= self.started.saturating_add(limit) => {
                        Ok(self.stop(Cause::MaxRuntime(limit), self.limits.stop_signal, now))
                    }
                    (timeout, _) => Ok(self.show(Status::of(now.saturating_sub(beat), timeout))),
                }
            }
            (WatchPhase::Running { beat }, Event::Paused(by)) => {
                self.phase = WatchPhase::Running { beat: *beat + by };
                self.started += by;
                self.looked += by;
                Ok(vec![])
            }
            (WatchPhase::Running { .. }, Event::Exited(exit)) => Ok(self.finish(Cause::Itself, exit, None)),

            (WatchPhase::Stopping { .. }, Event::Beat) => Ok(vec![]),
            // A closing terminal sends SIGHUP twice (from its shell, then from the kernel): not a
            // second request.
            (WatchPhase::Stopping { .. }, Event::StopAsked { by: Asker::Signal { signal: Signal::HUP, .. }, .. }) => {
                Ok(vec![])
            }
            (WatchPhase::Stopping { cause, .. }, Event::StopAsked { .. }) => {
                self.phase = WatchPhase::Killed { cause: cause.clone() };
                Ok(vec![WatchAction::Signal(Signal::KILL)])
            }
            (WatchPhase::Stopping { cause, kill_at, .. }, Event::Tick) => {
                if at.mono < *kill_at {
                    return Ok(vec![]);
                }
                self.phase = WatchPhase::Killed { cause: cause.clone() };
                Ok(vec![WatchAction::Signal(Signal::KILL)])
            }
            (WatchPhase::Stopping { cause, sent, kill_at }, Event::Paused(by)) => {
                self.phase = WatchPhase::Stopping { cause: cause.clone(), sent: *sent, kill_at: *kill_at + by };
                Ok(vec![])
            }
            (WatchPhase::Stopping { cause, sent, .. }, Event::Exited(exit)) => {
                let (cause, sent) = (cause.clone(), *sent);
                Ok(self.finish(cause, exit, Some(sent)))
            }

            (WatchPhase::Killed { .. }, Event::Beat | Event::StopAsked { .. } | Event::Tick | Event::Paused(_)) => {
                Ok(vec![])
            }
            (WatchPhase::Killed { cause }, Event::Exited(exit)) => {
                let cause = cause.clone();
                Ok(self.finish(cause, exit, Some(Signal::KILL)))
            }

            (
                WatchPhase::Done,
                Event::Beat | Event::StopAsked { .. } | Event::Tick | Event::Paused(_) | Event::Exited(_),
            ) => Err(Illegal),
        }
    }

    /// Starts watching the heartbeats of a task from which none were expected.
    pub fn listen(&mut self, timeout: Duration, at: Tick) {
        if let WatchPhase::Running { beat } = &mut self.phase
            && self.limits.timeout.is_none()
        {
            self.limits.timeout = Some(timeout);
            *beat = at.mono;
            self.looked = at.mono;
        }
    }

    /// Next time to wake, on the monotonic clock; `None`: only on an event.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            WatchPhase::Running { beat } => {
                let look = self.limits.timeout.map(|timeout| {
                    let marks = [Status::SILENT_FROM, Status::STALLED_FROM].map(|percent| share(timeout, percent));
                    let next = marks.into_iter().map(|mark| beat.saturating_add(mark)).find(|at| *at > self.looked);
                    let end = beat.saturating_add(timeout);
                    // A beat is often older than the look that finds it. Showing silence may be
                    // delayed for that, so that a timeout needs at most four looks; its end may
                    // not.
                    let soonest = self.looked.saturating_add(share(timeout, Status::SILENT_FROM));
                    next.map_or(end, |at| at.max(soonest).min(end))
                });
                let end = self.limits.max_runtime.map(|limit| self.started.saturating_add(limit));
                [look, end].into_iter().flatten().min()
            }
            WatchPhase::Stopping { kill_at, .. } => Some(*kill_at),
            WatchPhase::Killed { .. } | WatchPhase::Done => None,
        }
    }

    /// Whether the task is being ended.
    pub fn is_ending(&self) -> bool {
        match self.phase {
            WatchPhase::Stopping { .. } | WatchPhase::Killed { .. } => true,
            WatchPhase::Running { .. } | WatchPhase::Done => false,
        }
    }

    /// Whether SIGKILL was sent to the task.
    pub fn is_killing(&self) -> bool {
        matches!(self.phase, WatchPhase::Killed { .. })
    }

    /// Whether the task runs undisturbed and its heartbeats are watched.
    pub fn listens(&self) -> bool {
        self.limits.timeout.is_some() && matches!(self.phase, WatchPhase::Running { .. })
    }

    fn show(&mut self, status: Status) -> Vec<WatchAction> {
        if self.shown == status {
            return vec![];
        }
        self.shown = status;
        vec![WatchAction::Save(status)]
    }

    fn stop(&mut self, cause: Cause, signal: Signal, now: Duration) -> Vec<WatchAction> {
        self.shown = Status::Stopping;
        self.phase = if signal == Signal::KILL {
            WatchPhase::Killed { cause }
        } else {
            WatchPhase::Stopping { cause, sent: signal, kill_at: now.saturating_add(self.limits.kill_after) }
        };
        // The signal first: a busy database must not keep a hung command alive.
        vec![WatchAction::Signal(signal), WatchAction::Save(Status::Stopping)]
    }

    fn finish(&mut self, cause: Cause, exit: Exit, sent: Option<Signal>) -> Vec<WatchAction> {
        self.phase = WatchPhase::Done;
        vec![WatchAction::Finish(Ended { cause, exit, sent })]
    }
}

/// Returns the time of a heartbeat that was noticed only at `now`; the previous look was at
/// `looked`.
///
/// The launcher looks only at its deadlines, so it must date the change it finds. If the file's
/// change time comes from the clock of this machine (`local`) and no clock was set between the two
/// looks, that change time is exact. Otherwise the change is dated `now`: a file server with
/// another clock, or a clock that jumps, can then never end a task early, only grant it the time
/// since the last look.
pub fn date_beat(looked: Tick, now: Tick, changed: super::task::Timestamp, local: bool) -> Tick {
    /// Largest difference between the clocks' advances that does not mean a clock was set: slewing,
    /// scheduling.
    const SLACK: Duration = Duration::from_millis(50);
    /// The kernel dates changes by its last timer tick, and there may be only a hundred a second.
    const TICK: Duration = Duration::from_millis(10);
    let mono = now.mono.saturating_sub(looked.mono);
    let wall = looked.wall.age(now.wall);
    let steady = wall.abs_diff(mono) <= SLACK;
    if local && steady && changed.age(looked.wall) <= TICK && changed <= now.wall {
        now.earlier(changed.age(now.wall).min(wall))
    } else {
        now
    }
}

#[cfg(test)]
mod tests {
    use super::{super::task::Timestamp, *};

    fn at(secs: f64) -> Tick {
        let mono = Duration::from_secs_f64(secs);
        Tick { mono, wall: Timestamp(mono.as_nanos() as i64 + 1_700_000_000_000_000_000) }
    }

    fn limits() -> Limits {
        Limits {
            timeout: Some(Duration::from_secs(100)),
            max_runtime: None,
            stop_signal: Signal::TERM,
            kill_after: Duration::from_secs(5),
        }
    }

    fn asked() -> Event {
        Event::StopAsked { by: Asker::Control { user: "u".into(), pid: 1 }, signal: None }
    }

    fn secs(watch: &Watch) -> Option<f64> {
        watch.deadline().map(|d| d.as_secs_f64())
    }

    const CODE: Exit = Exit::Code(0);

    #[test]
    fn a_beat_buys_a_full_timeout() {
        let mut watch = Watch::new(limits(), at(0.0));
        for beat in [10.0, 99.0, 150.0, 249.9] {
            assert_eq!(watch.handle(Event::Beat, at(beat)), Ok(vec![]));
            assert_eq!(watch.handle(Event::Tick, at(beat + 24.9)), Ok(vec![]));
        }
        assert_eq!(watch.handle(Event::Tick, at(249.9 + 99.9)), Ok(vec![WatchAction::Save(Status::Stalled)]));
        let end = watch.handle(Event::Tick, at(249.9 + 100.0)).unwrap();
        assert_eq!(end, vec![WatchAction::Signal(Signal::TERM), WatchAction::Save(Status::Stopping)]);
    }

    #[test]
    fn waking_at_the_deadline_moves_it_or_ends_it() {
        let mut watch = Watch::new(Limits { max_runtime: Some(Duration::from_secs(1000)), ..limits() }, at(0.0));
        let mut wakes = vec![];
        while let Some(deadline) = watch.deadline() {
            let before = deadline;
            watch.handle(Event::Tick, at(deadline.as_secs_f64())).unwrap();
            assert_ne!(watch.deadline(), Some(before));
            wakes.push(deadline.as_secs_f64());
        }
        assert_eq!(wakes, [25.0, 50.0, 100.0, 105.0]);
    }

    #[test]
    fn a_task_that_always_beats_wakes_the_launcher_four_times_a_timeout() {
        let mut watch = Watch::new(limits(), at(0.0));
        let mut wakes = 0;
        while watch.deadline().unwrap() < Duration::from_secs(1000) {
            let now = at(secs(&watch).unwrap());
            assert_eq!(watch.handle(Event::Beat, now), Ok(vec![]));
            assert_eq!(watch.handle(Event::Tick, now), Ok(vec![]));
            wakes += 1;
        }
        assert!(wakes <= 40, "{wakes} wakes in ten timeouts");
    }

    #[test]
    fn beats_found_late_cause_no_more_wakes_and_no_later_end() {
        for period in [3.0, 7.0, 12.5, 24.0, 30.0, 60.0, 99.0] {
            let mut watch = Watch::new(limits(), at(0.0));
            let (mut wakes, mut seen) = (0, 0.0);
            while watch.deadline().unwrap() < Duration::from_secs(1000) {
                let now = secs(&watch).unwrap();
                let beat = (now / period).floor() * period;
                if beat > seen {
                    seen = beat;
                    watch.handle(Event::Beat, at(beat)).unwrap();
                }
                watch.handle(Event::Tick, at(now)).unwrap();
                assert!(!watch.is_ending(), "beats every {period} s");
                wakes += 1;
            }
            assert!(wakes <= 40, "{wakes} wakes in ten timeouts, beats every {period} s");
            // Then silence.
            while !watch.is_ending() {
                let now = secs(&watch).unwrap();
                watch.handle(Event::Tick, at(now)).unwrap();
            }
            assert_eq!(secs(&watch), Some(seen + 105.0), "ended at its time");
        }
    }

    #[test]
    fn silence_is_shown_once_and_taken_back() {
        let mut watch = Watch::new(limits(), at(0.0));
        assert_eq!(watch.handle(Event::Tick, at(25.0)), Ok(vec![WatchAction::Save(Status::Silent)]));
        assert_eq!(watch.handle(Event::Tick, at(26.0)), Ok(vec![]));
        assert_eq!(watch.handle(Event::Beat, at(27.0)), Ok(vec![WatchAction::Save(Status::Running)]));
        assert_eq!(secs(&watch), Some(52.0));
    }

    #[test]
    fn without_limits_there_is_no_deadline() {
        let watch = Watch::new(Limits { timeout: None, ..limits() }, at(0.0));
        assert_eq!(watch.deadline(), None);
    }

    #[test]
    fn the_longest_run_ends_even_a_task_that_beats() {
        let mut watch = Watch::new(Limits { max_runtime: Some(Duration::from_secs(10)), ..limits() }, at(5.0));
        assert_eq!(secs(&watch), Some(15.0));
        watch.handle(Event::Beat, at(14.9)).unwrap();
        watch.handle(Event::Tick, at(15.0)).unwrap();
        let end = watch.handle(Event::Exited(CODE), at(15.1)).unwrap();
        let cause = Cause::MaxRuntime(Duration::from_secs(10));
        assert_eq!(end, vec![WatchAction::Finish(Ended { cause, exit: CODE, sent: Some(Signal::TERM) })]);
    }

    #[test]
    fn a_task_that_ignores_the_polite_signal_is_killed() {
        let mut watch = Watch::new(limits(), at(0.0));
        watch.handle(asked(), at(1.0)).unwrap();
        assert_eq!(secs(&watch), Some(6.0));
        assert_eq!(watch.handle(Event::Tick, at(5.9)), Ok(vec![]));
        assert_eq!(watch.handle(Event::Tick, at(6.0)), Ok(vec![WatchAction::Signal(Signal::KILL)]));
        assert_eq!(watch.deadline(), None);
    }

    #[test]
    fn asking_twice_kills_but_a_second_hangup_does_not() {
        let hangup =
            Event::StopAsked { by: Asker::Signal { signal: Signal::HUP, sender: None }, signal: Some(Signal::HUP) };
        let mut watch = Watch::new(limits(), at(0.0));
        watch.handle(hangup.clone(), at(1.0)).unwrap();
        assert_eq!(watch.handle(hangup, at(1.1)), Ok(vec![]));
        assert_eq!(watch.handle(asked(), at(1.2)), Ok(vec![WatchAction::Signal(Signal::KILL)]));
    }

    #[test]
    fn an_unexpected_first_beat_begins_the_watch() {
        let mut watch = Watch::new(Limits { timeout: None, max_runtime: None, ..limits() }, at(0.0));
        assert_eq!(watch.deadline(), None);
        watch.listen(Duration::from_secs(100), at(50.0));
        assert_eq!(secs(&watch), Some(75.0));
        watch.listen(Duration::from_secs(1), at(60.0));
        assert_eq!(secs(&watch), Some(75.0), "the first timeout stays");
    }

    #[test]
    fn sigkill_leaves_no_grace() {
        let mut watch = Watch::new(limits(), at(0.0));
        let now = Event::StopAsked { by: Asker::Control { user: "u".into(), pid: 1 }, signal: Some(Signal::KILL) };
        assert_eq!(watch.handle(now, at(1.0)).unwrap()[0], WatchAction::Signal(Signal::KILL));
        assert_eq!(watch.deadline(), None);
    }

    #[test]
    fn time_spent_paused_does_not_count() {
        let mut watch = Watch::new(limits(), at(0.0));
        watch.handle(Event::Tick, at(50.0)).unwrap();
        watch.handle(Event::Paused(Duration::from_secs(1000)), at(1060.0)).unwrap();
        assert_eq!(secs(&watch), Some(1100.0));
        watch.handle(asked(), at(1060.0)).unwrap();
        watch.handle(Event::Paused(Duration::from_secs(10)), at(1072.0)).unwrap();
        assert_eq!(secs(&watch), Some(1075.0));
    }

    #[test]
    fn a_serialized_watch_continues_unchanged() {
        let mut watch = Watch::new(Limits { max_runtime: Some(Duration::from_secs(7)), ..limits() }, at(1.5));
        watch.handle(Event::Beat, at(2.25)).unwrap();
        let read = |watch: &Watch| serde_json::from_str::<Watch>(&serde_json::to_string(watch).unwrap()).unwrap();
        assert_eq!(read(&watch), watch);
        watch.handle(asked(), at(3.0)).unwrap();
        assert_eq!(read(&watch), watch);
    }

    /// Every cell of the table in the module's head.
    #[test]
    fn every_phase_answers_every_event() {
        let events = || [Event::Beat, asked(), Event::Tick, Event::Paused(Duration::ZERO), Event::Exited(CODE)];
        let mut stopping = Watch::new(limits(), at(0.0));
        stopping.handle(asked(), at(0.0)).unwrap();
        let mut killed = stopping.clone();
        killed.handle(asked(), at(0.0)).unwrap();
        let mut done = killed.clone();
        done.handle(Event::Exited(CODE), at(0.0)).unwrap();
        let answers = |watch: &Watch| {
            events().map(|event| match watch.clone().handle(event, at(1.0)) {
                Err(Illegal) => "illegal",
                Ok(actions) => match actions.first() {
                    None => "-",
                    Some(WatchAction::Save(_)) => "save",
                    Some(WatchAction::Signal(_)) => "signal",
                    Some(WatchAction::Finish(_)) => "finish",
                },
            })
        };
        assert_eq!(answers(&Watch::new(limits(), at(0.0))), ["-", "signal", "-", "-", "finish"]);
        assert_eq!(answers(&stopping), ["-", "signal", "-", "-", "finish"]);
        assert_eq!(answers(&killed), ["-", "-", "-", "-", "finish"]);
        assert_eq!(answers(&done), ["illegal"; 5]);
    }

    #[test]
    fn a_beat_found_late_is_dated_by_the_file_only_where_that_is_safe() {
        let wall = |secs: f64| at(secs).wall;
        assert_eq!(date_beat(at(10.0), at(20.0), wall(13.0), true), at(13.0));
        assert_eq!(date_beat(at(10.0), at(20.0), wall(13.0), false), at(20.0), "another machine's clock");
        assert_eq!(date_beat(at(10.0), at(20.0), wall(9.0), true), at(20.0), "before the last look");
        assert_eq!(date_beat(at(10.0), at(20.0), wall(9.995), true), at(10.0), "in the tick of the last look");
        assert_eq!(date_beat(at(10.0), at(20.0), wall(21.0), true), at(20.0), "in the future");
        let jumped = Tick { mono: at(20.0).mono, wall: wall(3620.0) };
        assert_eq!(date_beat(at(10.0), jumped, wall(3613.0), true), jumped, "the clock was set meanwhile");
        let back = Tick { mono: at(20.0).mono, wall: wall(5.0) };
        assert_eq!(date_beat(at(10.0), back, wall(4.0), true), back, "the clock was set back");
    }
}
