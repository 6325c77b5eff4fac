//! A simulated world that jumps from deadline to deadline, all histories of a few events, and a
//! test per rule.

use std::collections::HashSet;

use super::*;
use crate::model::task::Exit;

const MS: Duration = Duration::from_millis(1);

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn policy() -> Policy {
    Policy::default()
}

fn code(code: i32) -> End {
    End::ByItself(Exit::Code(code))
}

fn killed(signal: Signal) -> End {
    End::ByItself(Exit::Signal { signal, core: false })
}

fn stop(why: StopWhy) -> Event {
    Event::StopAsked { why, now: false }
}

fn operator() -> Event {
    stop(StopWhy::Operator)
}

fn ended(end: End) -> Event {
    Event::Ended { end, at: None, leftover: 0 }
}

/// Behaviour of a command in the simulated world.
#[derive(Clone)]
struct FakeCommand {
    /// Duration of the exec, or its error.
    exec: Result<Duration, &'static str>,
    /// Life time without a stop, and how it ends.
    life: Option<(Duration, End)>,
    /// Time from the stop signal to its end; `None`: ignores the signal.
    polite: Option<Duration>,
    /// Whether the shim records the time of the end.
    recorded: bool,
    /// Members of the group that survive the leader and ignore all signals but SIGKILL.
    members: u32,
    /// Result of sending a signal.
    denied: bool,
}

fn daemon() -> FakeCommand {
    let exec = Ok(Duration::ZERO);
    FakeCommand { exec, life: None, polite: Some(secs(0.1)), recorded: false, members: 0, denied: false }
}

fn lives(secs_: f64, end: End) -> FakeCommand {
    FakeCommand { life: Some((secs(secs_), end)), ..daemon() }
}

/// Carries out the actions of a machine, in simulated time.
struct World {
    machine: Machine,
    command: FakeCommand,
    now: Duration,
    agenda: Vec<(Duration, u64, Event)>,
    /// The current run; events of earlier ones are not delivered.
    run: u64,
    alive: bool,
    stopped: bool,
    spawns: Vec<f64>,
    states: Vec<(f64, ProcState)>,
    changes: Vec<Transition>,
    actions: Vec<(f64, Action)>,
    group: u32,
}

impl World {
    fn new(policy: Policy, command: FakeCommand) -> World {
        World {
            machine: Machine::new(policy, secs(1.0)),
            command,
            now: secs(1000.0),
            agenda: vec![],
            run: 0,
            alive: false,
            stopped: false,
            spawns: vec![],
            states: vec![],
            changes: vec![],
            actions: vec![],
            group: 0,
        }
    }

    fn time(&self) -> f64 {
        ((self.now - secs(1000.0)).as_secs_f64() * 1000.0).round() / 1000.0
    }

    fn tell(&mut self, event: Event) -> Result<(), Illegal> {
        let actions = self.machine.handle(event, self.now)?;
        for action in actions {
            self.actions.push((self.time(), action.clone()));
            self.carry_out(action);
        }
        Ok(())
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.agenda.push((self.now + after, self.run, event));
    }

    fn end(&self, end: End) -> Event {
        let at = self.command.recorded.then_some(self.now);
        Event::Ended { end, at, leftover: self.group }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn => {
                assert!(!self.alive, "spawned while a run is alive");
                self.run += 1;
                self.spawns.push(self.time());
                match self.command.exec {
                    Ok(after) => {
                        (self.alive, self.group) = (true, self.command.members);
                        self.plan(after, Event::Spawned { pid: 100 + self.run as i32 });
                        if let Some((life, end)) = self.command.life {
                            self.plan(after + life, ended(end));
                        }
                    }
                    Err(cause) => self.plan(Duration::ZERO, Event::SpawnFailed { cause: cause.into(), passing: false }),
                }
            }
            Action::Signal { .. } | Action::Pass { .. } | Action::Kill { .. } if self.command.denied => {
                self.plan(Duration::ZERO, Event::KillFailed(KillError::Denied("Operation not permitted".into())));
            }
            Action::Signal { signal, .. } | Action::Pass { signal, .. } => match self.command.polite {
                Some(after) if signal == Signal::TERM && !self.stopped => self.plan(after, ended(killed(signal))),
                // The process handles the stop signal once it continues.
                Some(after) if signal == Signal::CONT && self.stopped => {
                    self.stopped = false;
                    self.plan(after, ended(killed(Signal::TERM)));
                }
                Some(_) | None => {}
            },
            Action::Kill { group } => {
                if group {
                    self.group = 0;
                }
                self.plan(Duration::ZERO, ended(killed(Signal::KILL)));
            }
            Action::CleanGroup => {
                self.group = 0;
                self.plan(10 * MS, Event::GroupGone);
            }
            Action::CheckAlive if self.alive => self.plan(Duration::ZERO, Event::SeenAlive),
            Action::CheckAlive | Action::Warn(_) => {}
            Action::Say(change) => {
                self.states.push((self.time(), change.to));
                self.changes.push(change);
            }
        }
    }

    /// Advances the time by this much, event by event.
    fn pass(&mut self, span: f64) {
        let until = self.now + secs(span);
        loop {
            let planned =
                self.agenda.iter().enumerate().min_by_key(|(at, plan)| (plan.0, *at)).map(|(at, p)| (p.0, at));
            let deadline = self.machine.deadline();
            match (planned, deadline) {
                (Some((at, index)), deadline) if at <= until && deadline.is_none_or(|deadline| at <= deadline) => {
                    self.now = self.now.max(at);
                    let (_, run, event) = self.agenda.remove(index);
                    let is_end = matches!(event, Event::Ended { .. });
                    if run != self.run || (is_end && !self.alive) {
                        continue;
                    }
                    let event = match event {
                        Event::Ended { end, .. } => {
                            self.alive = false;
                            self.end(end)
                        }
                        event => event,
                    };
                    self.tell(event).unwrap();
                }
                (_, Some(deadline)) if deadline <= until => {
                    self.now = self.now.max(deadline);
                    self.tell(Event::Tick).unwrap();
                    assert!(self.machine.deadline().is_none_or(|next| next > self.now), "{:?}", self.machine);
                }
                (_, _) => break,
            }
        }
        self.now = until;
    }

    fn state(&self) -> ProcState {
        self.machine.state()
    }

    fn words(&self) -> String {
        self.machine.describe(self.now, "12:00:00")
    }

    fn when(&self, state: ProcState) -> Vec<f64> {
        self.states.iter().filter(|entry| entry.1 == state).map(|entry| entry.0).collect()
    }

    fn all_states(&self) -> Vec<ProcState> {
        self.states.iter().map(|entry| entry.1).collect()
    }

    fn did(&self, action: &Action) -> Vec<f64> {
        self.actions.iter().filter(|entry| entry.1 == *action).map(|entry| entry.0).collect()
    }
}

fn started(policy: Policy, command: FakeCommand) -> World {
    let mut world = World::new(policy, command);
    world.tell(Event::Autostart).unwrap();
    world
}

// ---- all short histories ----

/// The events that may cause a transition: the table of transitions.
fn is_in_table(event: &Event, from: ProcState, to: ProcState) -> bool {
    use Event as E;
    use ProcState as P;
    let (asks, ends) = match event {
        E::StopAsked { .. } | E::RestartAsked | E::ShuttingDown | E::Replaced(_) => (true, false),
        E::Ended { .. } | E::SpawnFailed { .. } | E::GroupGone => (false, true),
        _ => (false, false),
    };
    let starts = matches!(event, E::Autostart | E::StartAsked | E::RestartAsked);
    let goes_on = matches!(event, E::Tick | E::GroupGone | E::KillFailed(_));
    match (from, to) {
        (P::Stopped, P::Starting) => starts || ends || matches!(event, E::Adopted { .. }),
        (P::Stopped, P::Running | P::Unknown) => matches!(event, E::Adopted { .. }),
        (P::Exited, P::Starting) => starts || goes_on || ends,
        (P::Fatal, P::Starting) => starts || matches!(event, E::Replaced(_)),
        (P::Starting, P::Running) => matches!(event, E::SeenAlive | E::Spawned { .. } | E::Ended { .. }),
        (P::Starting, P::Backoff) => ends,
        (P::Backoff, P::Fatal) => ends || matches!(event, E::Policy(_)),
        (P::Backoff, P::Starting) => goes_on || matches!(event, E::Replaced(_)),
        (P::Backoff, P::Stopped) => asks || ends,
        (P::Running, P::Exited) => matches!(event, E::Ended { .. }),
        (P::Exited, P::Stopped) => asks,
        (P::Starting | P::Running, P::Stopping) => asks || matches!(event, E::Adopted { .. }),
        (P::Stopping, P::Stopped) => ends || asks,
        (P::Starting | P::Running | P::Stopping, P::Unknown) => matches!(event, E::KillFailed(_)),
        (P::Unknown, P::Exited | P::Stopped) => ends,
        (_, _) => false,
    }
}

fn alphabet(policy: &Policy) -> Vec<Event> {
    let mut fewer = policy.clone();
    fewer.startretries = Some(0);
    let survivors = [Survivor::Adopt, Survivor::Stop(StopWhy::Survivor), Survivor::Leave];
    let mut events = vec![
        Event::Autostart,
        Event::StartAsked,
        operator(),
        Event::StopAsked { why: StopWhy::Operator, now: true },
        stop(StopWhy::Shutdown),
        stop(StopWhy::Remove),
        stop(StopWhy::Reload),
        Event::RestartAsked,
        Event::SignalAsked { signal: Signal::HUP, group: false },
        Event::ShuttingDown,
        Event::Spawned { pid: 7 },
        Event::SpawnFailed { cause: "no such file".into(), passing: false },
        Event::SeenAlive,
        ended(code(0)),
        ended(code(1)),
        ended(End::NotObserved),
        Event::Ended { end: killed(Signal::KILL), at: None, leftover: 2 },
        Event::GroupGone,
        Event::KillFailed(KillError::Gone),
        Event::KillFailed(KillError::Denied("not permitted".into())),
        Event::Policy(fewer),
        Event::Replaced(policy.clone()),
    ];
    events.extend(survivors.map(|survivor| Event::Adopted { pid: 9, age: secs(0.2), survivor }));
    events
}

#[derive(Clone)]
struct Seen {
    machine: Machine,
    now: Duration,
    /// A run was spawned or adopted and its end was not accepted yet.
    alive: bool,
    /// Signals may be sent: the exec is over and the leader is alive.
    group: bool,
}

/// Handles one event, and checks all invariants.
fn step(seen: &Seen, event: &Event, now: Duration) -> Seen {
    let mut next = Seen { now, ..seen.clone() };
    let before = &seen.machine;
    let actions = next.machine.handle(event.clone(), now);
    let shown = format!("{event:?} at {now:?}\n{before:?}\n{:?}\n{actions:?}", next.machine);
    let Ok(actions) = actions else {
        assert_eq!(*before, next.machine, "a rejected event changes nothing: {shown}");
        let by_hand = matches!(
            event,
            Event::StartAsked | Event::StopAsked { .. } | Event::RestartAsked | Event::SignalAsked { .. }
        );
        assert_eq!(by_hand, matches!(actions, Err(Illegal::Refused(_))), "{shown}");
        return next;
    };
    match event {
        Event::Ended { .. } | Event::SpawnFailed { .. } => {
            assert!(seen.alive, "only a live run can end: {shown}");
            (next.alive, next.group) = (false, false);
        }
        Event::Spawned { .. } => next.group = true,
        Event::Adopted { .. } => (next.alive, next.group) = (true, true),
        _ => {}
    }
    let mut state = before.state();
    let mut is_spawned = false;
    for action in &actions {
        match action {
            Action::Say(change) => {
                assert_eq!(change.from, state, "no transition is omitted: {shown}");
                assert!(is_in_table(event, change.from, change.to), "not in the table: {change:?}\n{shown}");
                state = change.to;
                if state == ProcState::Running || state == ProcState::Stopped {
                    assert_eq!(change.fails, 0, "running resets the failed starts: {shown}");
                }
                if state == ProcState::Fatal {
                    let retries = next.machine.policy().startretries.expect("unlimited retries never end");
                    assert!(change.fails > retries, "{shown}");
                }
            }
            Action::Spawn => {
                assert!(!next.alive && !is_spawned, "spawned while a run is alive: {shown}");
                assert!(next.machine.cleaning.is_none(), "spawned beside the rest of the previous run: {shown}");
                assert!(!next.machine.shutting_down, "spawned in a shutdown: {shown}");
                assert_eq!(state, ProcState::Starting, "{shown}");
                (next.alive, is_spawned) = (true, true);
            }
            Action::Signal { group, .. } | Action::Pass { group, .. } | Action::Kill { group } => {
                let leader_lives = next.alive && next.group;
                assert!(
                    leader_lives || *group && !is_spawned,
                    "only a live leader is signalled, after its exec: {shown}"
                );
            }
            Action::CheckAlive => assert!(next.alive, "{shown}"),
            Action::CleanGroup => assert!(!next.alive, "the group of a live run is not cleaned: {shown}"),
            Action::Warn(_) => {}
        }
    }
    assert_eq!(state, next.machine.state(), "no transition is omitted: {shown}");
    let is_stop = before.state() == ProcState::Stopping && matches!(event, Event::Ended { .. } | Event::GroupGone);
    if is_stop && state != ProcState::Stopping {
        let again = before.stopping_why().is_some_and(StopWhy::starts_again) && !next.machine.shutting_down;
        let to = if again { ProcState::Starting } else { ProcState::Stopped };
        assert_eq!(state, to, "a stop ends in STOPPED: {shown}");
    }
    if matches!(event, Event::Tick) {
        assert!(next.machine.deadline().is_none_or(|at| at > now), "a deadline is moved or handled: {shown}");
    }
    let live = next.machine.state().is_live() || state == ProcState::Unknown;
    assert!(live || !next.alive, "a live run is not forgotten: {shown}");
    assert!(!state.is_upish() || !next.machine.shutting_down || next.alive, "nothing starts any more: {shown}");
    assert!(!next.machine.describe(now, "").is_empty(), "{shown}");
    next
}

fn explore(policy: &Policy, depth: usize) -> usize {
    let first =
        Seen { machine: Machine::new(policy.clone(), secs(1.0)), now: secs(1000.0), alive: false, group: false };
    let alphabet = alphabet(policy);
    let mut seen = HashSet::new();
    let mut front = vec![first];
    for _ in 0..depth {
        let mut next_front = vec![];
        for state in &front {
            let mut next: Vec<Seen> = alphabet.iter().map(|event| step(state, event, state.now)).collect();
            next.push(step(state, &Event::Tick, state.now + secs(0.4)));
            if let Some(at) = state.machine.deadline() {
                next.push(step(state, &Event::Tick, state.now.max(at)));
                next.push(step(state, &ended(code(1)), state.now.max(at) + MS));
                let recorded = Event::Ended { end: code(0), at: Some(state.now.max(at)), leftover: 0 };
                next.push(step(state, &recorded, state.now.max(at) + MS));
            }
            let key = |seen: &Seen| format!("{:?} {:?} {} {}", seen.machine, seen.now, seen.alive, seen.group);
            next_front.extend(next.into_iter().filter(|next| seen.insert(key(next))));
        }
        front = next_front;
    }
    seen.len()
}

fn corners() -> Vec<Policy> {
    let base = policy();
    vec![
        base.clone(),
        Policy { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..base.clone() },
        Policy { killasgroup: true, startretries: Some(0), autorestart: Autorestart::Always, ..base.clone() },
        Policy { stopasgroup: true, killasgroup: true, stopwait: Some(Duration::ZERO), ..base.clone() },
        Policy { stopwait: None, startretries: None, autostart: false, ..base.clone() },
        Policy { autorestart: Autorestart::Never, exitcodes: vec![], stopsignal: Signal::KILL, ..base },
    ]
}

#[test]
fn only_the_transitions_of_the_table_occur_in_every_history_of_five_events() {
    for policy in corners() {
        let found = explore(&policy, 5);
        assert!(found > 5_000, "{found}");
    }
}

#[test]
#[ignore = "minutes: for a change of the machine"]
fn only_the_transitions_of_the_table_occur_in_every_history_of_seven_events() {
    for policy in corners() {
        explore(&policy, 7);
    }
}

// ---- transitions ----

#[test]
fn autostart_starts_a_process_that_was_never_started() {
    assert_eq!(started(policy(), daemon()).state(), ProcState::Starting);
    let manual = Policy { autostart: false, ..policy() };
    assert_eq!(started(manual, daemon()).state(), ProcState::Stopped);
    let mut world = started(policy(), daemon());
    world.pass(2.0);
    world.tell(operator()).unwrap();
    world.pass(2.0);
    world.tell(Event::Autostart).unwrap();
    assert_eq!(world.state(), ProcState::Stopped, "stopped by request");
}

#[test]
fn start_starts_a_stopped_exited_or_fatal_process() {
    let mut stopped = World::new(policy(), daemon());
    stopped.tell(Event::StartAsked).unwrap();
    assert_eq!(stopped.spawns, [0.0]);
    let mut exited = started(policy(), lives(2.0, code(0)));
    exited.pass(3.0);
    assert_eq!(exited.state(), ProcState::Exited);
    exited.tell(Event::StartAsked).unwrap();
    assert_eq!(exited.spawns, [0.0, 3.0]);
    let mut fatal = started(policy(), lives(0.0, code(1)));
    fatal.pass(60.0);
    assert_eq!((fatal.state(), fatal.machine.fails()), (ProcState::Fatal, 4));
    fatal.tell(Event::StartAsked).unwrap();
    assert_eq!((fatal.state(), fatal.machine.fails()), (ProcState::Starting, 0));
}

#[test]
fn a_process_is_running_once_seen_alive_after_startsecs() {
    let mut world = started(Policy { startsecs: secs(2.5), ..policy() }, daemon());
    world.pass(10.0);
    assert_eq!(world.states, [(0.0, ProcState::Starting), (2.5, ProcState::Running)]);
    assert_eq!(world.did(&Action::CheckAlive), [2.5]);
}

#[test]
fn without_startsecs_it_runs_when_the_exec_succeeded_even_if_it_ends_at_once() {
    let command = FakeCommand { exec: Ok(secs(0.3)), ..lives(0.0, code(0)) };
    let mut world = started(Policy { startsecs: Duration::ZERO, ..policy() }, command);
    world.pass(1.0);
    let expected = [(0.0, ProcState::Starting), (0.3, ProcState::Running), (0.3, ProcState::Exited)];
    assert_eq!(world.states, expected);
}

#[test]
fn an_end_before_startsecs_is_a_failed_start_whatever_the_code() {
    for end in [code(0), code(1), killed(Signal::TERM), End::NotObserved] {
        let mut world = started(policy(), lives(0.9, end));
        world.pass(1.0);
        assert_eq!((world.state(), world.machine.fails()), (ProcState::Backoff, 1));
    }
}

#[test]
fn fatal_follows_backoff_immediately_and_both_changes_are_reported() {
    let mut world = started(Policy { startretries: Some(0), ..policy() }, lives(0.5, code(1)));
    world.pass(9.0);
    let expected = [(0.0, ProcState::Starting), (0.5, ProcState::Backoff), (0.5, ProcState::Fatal)];
    assert_eq!(world.states, expected);
    assert_eq!(world.changes[2].cause.as_deref(), Some("exited too quickly (exit status 1)"));
}

#[test]
fn a_failed_exec_keeps_its_true_cause() {
    let cause = "cannot change directory to /no/dir: No such file or directory";
    let mut world = started(policy(), FakeCommand { exec: Err(cause), ..daemon() });
    world.pass(0.5);
    assert_eq!(world.state(), ProcState::Backoff);
    assert_eq!(world.machine.spawn_error(), Some(cause));
    assert_eq!(world.words(), format!("{cause}; try 1 of 3 in 1s"));
    world.pass(60.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Fatal, 4));
    assert_eq!(world.words(), format!("{cause}; gave up after 4 starts"));
}

#[test]
fn a_backoff_ends_with_its_time_or_with_a_stop() {
    for event in [operator(), stop(StopWhy::Remove), stop(StopWhy::Shutdown), Event::ShuttingDown] {
        let mut world = started(policy(), lives(0.0, code(1)));
        world.pass(2.0);
        assert_eq!((world.state(), world.spawns.len()), (ProcState::Backoff, 2));
        world.tell(event).unwrap();
        assert_eq!((world.state(), world.machine.fails(), world.machine.deadline()), (ProcState::Stopped, 0, None));
        world.pass(60.0);
        assert_eq!(world.spawns.len(), 2);
    }
}

#[test]
fn a_normal_exit_with_a_listed_code_is_expected() {
    let codes = vec![0, 2];
    for (end, expected) in [(code(0), true), (code(2), true), (code(1), false), (End::NotObserved, false)] {
        let never = Policy { autorestart: Autorestart::Never, exitcodes: codes.clone(), ..policy() };
        let mut world = started(never, lives(2.0, end));
        world.pass(3.0);
        assert_eq!(world.state(), ProcState::Exited);
        assert_eq!(world.changes.last().unwrap().expected, Some(expected), "{end:?}");
        assert_eq!(world.changes.last().unwrap().end, Some(end));
        assert_eq!(world.changes.last().unwrap().pid, Some(101));
    }
    assert!(!End::Timeout(Exit::Code(0)).is_expected(&[0]), "ended because of a missing heartbeat");
    assert!(!code(0).is_expected(&[]), "no code is expected");
}

#[test]
fn restarts_by_autorestart() {
    for (autorestart, end, again) in [
        (Autorestart::Always, code(0), true),
        (Autorestart::Always, killed(Signal(11)), true),
        (Autorestart::Unexpected, code(0), false),
        (Autorestart::Unexpected, code(1), true),
        (Autorestart::Unexpected, killed(Signal::KILL), true),
        (Autorestart::Unexpected, End::NotObserved, true),
        (Autorestart::Never, code(1), false),
    ] {
        let mut world = started(Policy { autorestart, ..policy() }, lives(2.0, end));
        world.pass(2.5);
        assert_eq!(world.spawns.len(), if again { 2 } else { 1 }, "{autorestart:?} {end:?}");
        let state = if again { ProcState::Starting } else { ProcState::Exited };
        assert_eq!(world.state(), state);
        assert!(world.all_states().contains(&ProcState::Exited), "EXITED is reported in between");
    }
}

#[test]
fn a_pending_restart_is_cancelled_by_a_stop() {
    let spinner = Policy { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..policy() };
    let mut world = started(spinner, lives(0.1, code(0)));
    world.pass(0.5);
    assert_eq!(world.state(), ProcState::Exited);
    world.tell(operator()).unwrap();
    world.pass(10.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopped, 1));
    assert_eq!(world.machine.stopped_by(), Some(StopWhy::Operator));
}

#[test]
fn a_stop_signals_and_ends_stopped_whatever_the_code() {
    for (why, admin) in [
        (StopWhy::Operator, true),
        (StopWhy::Shutdown, true),
        (StopWhy::Remove, true),
        (StopWhy::Restart, false),
        (StopWhy::Reload, false),
    ] {
        let mut world = started(policy(), daemon());
        world.pass(5.0);
        world.tell(stop(why)).unwrap();
        assert_eq!(world.state(), ProcState::Stopping);
        assert_eq!(world.machine.stopped_by().is_some(), admin);
        assert_eq!(world.did(&Action::Signal { signal: Signal::TERM, group: false }), [5.0]);
        world.pass(0.2);
        assert_eq!(world.when(ProcState::Stopped), [5.1]);
        assert_eq!(world.state(), if admin { ProcState::Stopped } else { ProcState::Starting });
        assert_eq!(world.changes[3].why, Some(why));
        assert_eq!(world.changes[3].end, Some(killed(Signal::TERM)));
    }
}

#[test]
fn sigkill_follows_and_is_repeated() {
    let mut world = started(policy(), FakeCommand { polite: None, ..daemon() });
    world.pass(2.0);
    world.tell(operator()).unwrap();
    world.pass(9.9);
    assert_eq!(world.state(), ProcState::Stopping);
    world.pass(0.2);
    assert_eq!(world.did(&Action::Kill { group: false }), [12.0]);
    assert_eq!(world.when(ProcState::Stopped), [12.0]);

    // No end is reported: the process hangs in the kernel.
    let mut hanging = Machine::new(Policy { stopwait: Some(secs(0.2)), ..policy() }, secs(1.0));
    hanging.handle(Event::Adopted { pid: 5, age: secs(9.0), survivor: Survivor::Adopt }, secs(100.0)).unwrap();
    hanging.handle(operator(), secs(100.0)).unwrap();
    let mut at = vec![];
    for times in 1..=3 {
        let now = hanging.deadline().unwrap();
        let actions = hanging.handle(Event::Tick, now).unwrap();
        assert_eq!(actions, [Action::Kill { group: false }, Action::Warn(Warning::Killing(times))]);
        at.push(now);
    }
    assert_eq!(at, [secs(100.2), secs(101.2), secs(102.2)], "at most once a second");
}

#[test]
fn a_stopwait_of_zero_kills_at_once_and_forever_never_does() {
    let mut world = started(Policy { stopwait: Some(Duration::ZERO), ..policy() }, daemon());
    world.pass(2.0);
    world.tell(operator()).unwrap();
    assert_eq!(world.did(&Action::Kill { group: false }), [2.0]);
    let patient = Policy { stopwait: None, ..policy() };
    let mut world = started(patient, FakeCommand { polite: None, ..daemon() });
    world.pass(2.0);
    world.tell(operator()).unwrap();
    assert_eq!(world.machine.deadline(), None);
    world.pass(100_000.0);
    assert_eq!(world.state(), ProcState::Stopping);
    world.tell(Event::StopAsked { why: StopWhy::Operator, now: true }).unwrap();
    world.pass(0.1);
    assert_eq!(world.state(), ProcState::Stopped, "killed without a grace period");
}

#[test]
fn a_process_that_cannot_be_signalled_is_unknown_until_its_end_is_seen() {
    let mut world = started(policy(), FakeCommand { denied: true, ..lives(60.0, code(3)) });
    world.pass(2.0);
    world.tell(operator()).unwrap();
    world.pass(1.0);
    assert_eq!(world.state(), ProcState::Unknown);
    assert_eq!(world.words(), "pid 101, cannot be controlled: Operation not permitted");
    assert_eq!(world.tell(Event::StartAsked), Err(Illegal::Refused(Refusal::Unknown)));
    world.pass(100.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopped, 1), "a stop was pending");

    let mut world = started(policy(), FakeCommand { denied: true, ..lives(60.0, code(0)) });
    world.pass(2.0);
    world.tell(Event::SignalAsked { signal: Signal::HUP, group: false }).unwrap();
    world.pass(1.0);
    assert_eq!(world.state(), ProcState::Unknown);
    world.pass(100.0);
    assert_eq!(world.state(), ProcState::Exited, "no stop was pending");
}

#[test]
fn an_adopted_run_is_running_or_starting_by_its_age() {
    let adopt = |age| Event::Adopted { pid: 77, age: secs(age), survivor: Survivor::Adopt };
    let mut old = World::new(policy(), daemon());
    old.tell(adopt(50.0)).unwrap();
    assert_eq!((old.state(), old.machine.pid(), old.machine.is_adopted()), (ProcState::Running, Some(77), true));
    assert_eq!(old.words(), "pid 77, uptime 0:00:50");
    let mut young = World::new(Policy { startsecs: secs(10.0), ..policy() }, daemon());
    young.alive = true;
    young.tell(adopt(4.0)).unwrap();
    assert_eq!(young.state(), ProcState::Starting);
    young.pass(20.0);
    assert_eq!(young.when(ProcState::Running), [6.0]);
    assert_eq!(young.spawns, [0.0; 0], "nothing was started twice");
    assert!(young.tell(adopt(4.0)).is_err());
}

#[test]
fn orphans_that_are_stopped_make_room_for_a_fresh_run() {
    let mut world = World::new(policy(), daemon());
    world.alive = true;
    let survivor = Survivor::Stop(StopWhy::Survivor);
    world.tell(Event::Adopted { pid: 77, age: secs(50.0), survivor }).unwrap();
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopping, 0));
    world.pass(2.0);
    assert_eq!((world.state(), &world.spawns[..]), (ProcState::Running, &[0.1][..]));
    assert!(!world.machine.is_adopted());
    let mut removed = World::new(policy(), daemon());
    removed.alive = true;
    let survivor = Survivor::Stop(StopWhy::Remove);
    removed.tell(Event::Adopted { pid: 77, age: secs(50.0), survivor }).unwrap();
    removed.pass(2.0);
    assert_eq!(
        (removed.state(), removed.spawns.len()),
        (ProcState::Stopped, 0),
        "the removed one is not started again"
    );
}

#[test]
fn orphans_that_are_left_alone_are_unknown_and_nothing_is_started_or_signalled() {
    let mut world = World::new(policy(), daemon());
    world.tell(Event::Adopted { pid: 77, age: secs(50.0), survivor: Survivor::Leave }).unwrap();
    world.tell(Event::Autostart).unwrap();
    assert_eq!(world.tell(Event::StartAsked), Err(Illegal::Refused(Refusal::Unknown)));
    assert_eq!(world.tell(operator()), Err(Illegal::Refused(Refusal::Unknown)));
    world.tell(stop(StopWhy::Shutdown)).unwrap();
    world.pass(60.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Unknown, 0));
    assert!(world.words().starts_with("pid 77 of an earlier supervisor, not supervised"));
    assert_eq!(world.actions.len(), 1, "{:?}", world.actions);
}

// ---- rules ----

#[test]
fn an_impossible_event_is_an_error_and_changes_nothing() {
    let mut world = World::new(policy(), daemon());
    for event in [ended(code(0)), Event::Spawned { pid: 1 }, Event::SeenAlive] {
        let error = world.tell(event).unwrap_err();
        assert!(error.to_string().ends_with("cannot happen in STOPPED"), "{error}");
    }
    assert_eq!(world.machine, Machine::new(policy(), secs(1.0)));
}

#[test]
fn a_manual_start_resets_the_retries() {
    let mut world = started(policy(), lives(0.0, code(1)));
    world.pass(4.0);
    assert_eq!(world.state(), ProcState::Backoff);
    world.tell(operator()).unwrap();
    world.spawns.clear();
    world.tell(Event::StartAsked).unwrap();
    world.pass(60.0);
    assert_eq!(world.spawns.len(), 4);
}

#[test]
fn running_resets_the_failed_starts() {
    let mut world = started(policy(), lives(0.0, code(1)));
    world.pass(1.5);
    assert_eq!(world.machine.fails(), 2);
    world.command = daemon();
    world.pass(10.0);
    assert_eq!((world.state(), world.machine.fails()), (ProcState::Running, 0));
}

#[test]
fn a_late_check_does_not_make_a_dead_process_running() {
    let mut machine = Machine::new(policy(), secs(1.0));
    machine.handle(Event::StartAsked, secs(10.0)).unwrap();
    machine.handle(Event::Spawned { pid: 4 }, secs(10.0)).unwrap();
    let mut recorded = machine.clone();
    assert_eq!(machine.handle(Event::Tick, secs(15.0)).unwrap(), [Action::CheckAlive]);
    assert_eq!(machine.deadline(), None, "the result decides");
    machine.handle(ended(code(1)), secs(15.0)).unwrap();
    assert_eq!((machine.state(), machine.fails()), (ProcState::Backoff, 1));
    let late = Event::Ended { end: code(1), at: Some(secs(11.0)), leftover: 0 };
    let actions = recorded.handle(late, secs(15.0)).unwrap();
    let states: Vec<ProcState> = actions
        .iter()
        .filter_map(|action| if let Action::Say(change) = action { Some(change.to) } else { None })
        .collect();
    assert_eq!(states, [ProcState::Running, ProcState::Exited, ProcState::Starting], "the shim saw it alive");
}

#[test]
fn n_retries_are_n_plus_one_spawns_with_growing_delays() {
    for retries in 0..6_u32 {
        let mut world = started(Policy { startretries: Some(retries), ..policy() }, lives(0.1, code(1)));
        world.pass(100.0);
        assert_eq!(world.spawns.len() as u32, retries + 1);
        let gaps: Vec<f64> = world.spawns.windows(2).map(|pair| pair[1] - pair[0] - 0.1).collect();
        for (number, gap) in gaps.iter().enumerate() {
            assert!((gap - (number + 1) as f64).abs() < 0.01, "{gaps:?}");
        }
        let last = world.spawns.last().unwrap() + 0.1;
        assert!((world.when(ProcState::Fatal)[0] - last).abs() < 0.01, "no further delay");
    }
}

#[test]
fn unlimited_retries_are_never_given_up() {
    let mut world = started(Policy { startretries: None, ..policy() }, lives(0.0, code(1)));
    world.pass(10_000.0);
    assert!(world.spawns.len() > 100);
    assert_eq!(world.state(), ProcState::Backoff);
}

#[test]
fn only_a_start_or_a_change_leaves_fatal() {
    let always = Policy { autorestart: Autorestart::Always, startretries: Some(0), ..policy() };
    let fatal = || {
        let mut world = started(always.clone(), lives(0.0, code(1)));
        world.pass(1000.0);
        assert_eq!((world.state(), world.spawns.len()), (ProcState::Fatal, 1));
        world
    };
    let mut world = fatal();
    world.tell(Event::RestartAsked).unwrap();
    assert_eq!(world.state(), ProcState::Starting);
    let mut world = fatal();
    world.tell(Event::Replaced(policy())).unwrap();
    assert_eq!(world.state(), ProcState::Starting);
    let mut world = fatal();
    world.tell(Event::Policy(policy())).unwrap();
    world.tell(Event::Replaced(Policy { autostart: false, ..policy() })).unwrap();
    assert_eq!(world.state(), ProcState::Fatal);
}

#[test]
fn restarts_after_running_are_unlimited() {
    let mut world = started(policy(), lives(2.0, code(1)));
    world.pass(200.0);
    assert_eq!(world.spawns.len(), 101, "one each two seconds");
    assert!(!world.all_states().contains(&ProcState::Backoff));
}

#[test]
fn a_death_by_signal_is_never_expected() {
    let codes: Vec<u8> = (0..=255).collect();
    for signal in [Signal::TERM, Signal::KILL, Signal::HUP] {
        assert!(!killed(signal).is_expected(&codes));
    }
    assert!(code(143).is_expected(&codes));
}

#[test]
fn an_end_while_stopping_is_stopped_and_never_restarted() {
    let always = Policy { autorestart: Autorestart::Always, ..policy() };
    let mut world = started(always, lives(5.0, code(1)));
    world.command.polite = None;
    world.pass(5.0 - 0.001);
    world.tell(operator()).unwrap();
    world.pass(100.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopped, 1));
}

#[test]
fn a_stop_before_the_exec_delays_its_signal() {
    let mut world = started(policy(), FakeCommand { exec: Ok(secs(30.0)), ..daemon() });
    world.pass(1.0);
    world.tell(operator()).unwrap();
    assert_eq!(world.state(), ProcState::Stopping, "immediately");
    world.tell(Event::StopAsked { why: StopWhy::Operator, now: true }).unwrap();
    world.pass(28.0);
    assert_eq!(world.words(), "starting, will be stopped after that");
    assert!(!world.actions.iter().any(|(_, a)| matches!(a, Action::Signal { .. } | Action::Kill { .. })));
    world.pass(5.0);
    assert_eq!(world.did(&Action::Kill { group: false }), [30.0]);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopped, 1));

    let mut failing = started(policy(), FakeCommand { exec: Err("not executable"), ..daemon() });
    failing.tell(operator()).unwrap();
    failing.pass(10.0);
    assert_eq!((failing.state(), failing.spawns.len()), (ProcState::Stopped, 1), "no retry");
}

#[test]
fn signals_before_the_exec_are_sent_after_it() {
    let mut world = started(policy(), FakeCommand { exec: Ok(secs(3.0)), ..daemon() });
    let hup = Event::SignalAsked { signal: Signal::HUP, group: true };
    world.tell(hup.clone()).unwrap();
    world.tell(hup).unwrap();
    world.pass(10.0);
    assert_eq!(world.did(&Action::Pass { signal: Signal::HUP, group: true }), [3.0]);
}

#[test]
fn signals_for_a_run_that_was_not_executed_are_not_for_the_next_one() {
    let mut world = started(policy(), FakeCommand { exec: Err("not executable"), ..daemon() });
    world.tell(Event::SignalAsked { signal: Signal::HUP, group: false }).unwrap();
    world.pass(0.5);
    world.command = daemon();
    world.pass(10.0);
    assert_eq!(world.state(), ProcState::Running);
    assert_eq!(world.did(&Action::Pass { signal: Signal::HUP, group: false }), [0.0; 0]);
}

#[test]
fn requests_that_do_not_fit_the_state_are_refused() {
    let refused = |world: &mut World, event| match world.tell(event) {
        Err(Illegal::Refused(refusal)) => Some(refusal),
        Err(Illegal::Impossible { .. }) | Ok(()) => None,
    };
    let mut world = World::new(policy(), FakeCommand { polite: None, ..lives(20.0, code(0)) });
    let signal = Event::SignalAsked { signal: Signal::HUP, group: false };
    assert_eq!(refused(&mut world, operator()), Some(Refusal::NotRunning));
    assert_eq!(refused(&mut world, signal.clone()), Some(Refusal::NotRunning));
    world.tell(Event::StartAsked).unwrap();
    assert_eq!(refused(&mut world, Event::StartAsked), Some(Refusal::AlreadyStarted));
    world.pass(2.0);
    assert_eq!(refused(&mut world, Event::StartAsked), Some(Refusal::AlreadyStarted));
    world.tell(operator()).unwrap();
    assert_eq!(refused(&mut world, Event::StartAsked), Some(Refusal::Stopping));
    world.tell(operator()).unwrap();
    world.tell(signal.clone()).unwrap();
    world.pass(100.0);
    assert_eq!(refused(&mut world, operator()), Some(Refusal::NotRunning));
    let mut failing = started(policy(), lives(0.0, code(1)));
    failing.pass(0.5);
    assert_eq!(refused(&mut failing, Event::StartAsked), Some(Refusal::AlreadyStarted), "in BACKOFF");
    assert_eq!(refused(&mut failing, signal), Some(Refusal::NotRunning));
    failing.tell(Event::ShuttingDown).unwrap();
    assert_eq!(refused(&mut failing, Event::StartAsked), Some(Refusal::ShuttingDown));
    assert_eq!(refused(&mut failing, Event::RestartAsked), Some(Refusal::ShuttingDown));
}

#[test]
fn automatic_starts_are_no_faster_than_the_throttle() {
    let spinner = Policy { startsecs: Duration::ZERO, autorestart: Autorestart::Always, ..policy() };
    let mut world = started(spinner.clone(), lives(0.1, code(1)));
    world.pass(9.5);
    assert_eq!(world.spawns, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let mut long = started(spinner.clone(), lives(3.0, code(1)));
    long.pass(7.0);
    assert_eq!(long.spawns, [0.0, 3.0, 6.0], "after a longer run there is no delay");
    let mut slow = World::new(policy(), lives(0.0, code(1)));
    slow.machine.set_throttle(secs(5.0));
    slow.tell(Event::Autostart).unwrap();
    slow.pass(60.0);
    assert_eq!(slow.spawns, [0.0, 5.0, 10.0, 15.0], "retries too");
    let mut asked = started(spinner, lives(0.1, code(1)));
    asked.pass(0.5);
    asked.tell(Event::StartAsked).unwrap();
    assert_eq!(asked.spawns, [0.0, 0.5], "a requested start is immediate");
}

#[test]
fn descriptions() {
    let mut world = World::new(policy(), FakeCommand { polite: None, ..daemon() });
    assert_eq!(world.words(), "Not started");
    world.machine.disowned(7);
    assert_eq!(world.words(), "disowned, pid 7 was left running");
    world.tell(Event::StartAsked).unwrap();
    assert_eq!(world.words(), "starting");
    world.pass(0.5);
    assert_eq!(world.words(), "pid 101, uptime 0:00:00");
    world.pass(90_061.0);
    assert_eq!(world.words(), "pid 101, uptime 1 day, 1:01:01");
    world.pass(2.0 * 86_400.0);
    assert_eq!(world.words(), "pid 101, uptime 3 days, 1:01:01");
    world.tell(operator()).unwrap();
    world.pass(2.5);
    assert_eq!(world.words(), "pid 101, uptime 3 days, 1:01:04, signal TERM sent, SIGKILL in 8s");
    world.pass(10.0);
    assert_eq!(world.words(), "stopped 12:00:00");

    let once = Policy { autorestart: Autorestart::Never, ..policy() };
    for (end, words) in [
        (code(0), "exit status 0 (expected), 12:00:00"),
        (code(3), "exit status 3 (not expected), 12:00:00"),
        (killed(Signal::KILL), "killed by SIGKILL, 12:00:00"),
        (End::ByItself(Exit::Signal { signal: Signal(11), core: true }), "killed by SIGSEGV, core dumped, 12:00:00"),
        (End::NotObserved, "exit status not observed, 12:00:00"),
    ] {
        let mut world = started(once.clone(), lives(2.0, end));
        world.pass(3.0);
        assert_eq!(world.words(), words);
    }
    let mut failing = started(policy(), lives(0.0, killed(Signal(11))));
    failing.pass(1.5);
    assert_eq!(failing.words(), "exited too quickly (killed by SIGSEGV); try 2 of 3 in 2s");
    failing.pass(60.0);
    assert_eq!(failing.words(), "exited too quickly (killed by SIGSEGV); gave up after 4 starts");
    let mut hopeful = started(Policy { startretries: None, ..policy() }, lives(0.0, code(1)));
    hopeful.pass(0.5);
    assert_eq!(hopeful.words(), "exited too quickly (exit status 1); try 1 in 1s");
}

// ---- stops ----

#[test]
fn a_paused_process_continues_and_handles_its_stop_signal() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.stopped = true;
    world.tell(operator()).unwrap();
    let signals: Vec<&Action> =
        world.actions.iter().map(|entry| &entry.1).filter(|a| matches!(a, Action::Signal { .. })).collect();
    let signal = |signal| Action::Signal { signal, group: false };
    assert_eq!(signals, [&signal(Signal::TERM), &signal(Signal::CONT)]);
    world.pass(3.0);
    assert_eq!((world.when(ProcState::Stopped), world.did(&Action::Kill { group: false })), (vec![5.1], vec![]));
}

#[test]
fn stopasgroup_waits_for_the_group_and_kills_it_at_the_deadline() {
    let group = Policy { stopasgroup: true, killasgroup: true, stopwait: Some(secs(3.0)), ..policy() };
    let mut world = started(group, FakeCommand { members: 2, ..daemon() });
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.pass(2.0);
    assert_eq!((world.state(), world.alive), (ProcState::Stopping, false), "the leader has ended");
    assert_eq!(world.words(), "ended, the rest of its group is still alive, SIGKILL in 1s");
    world.pass(5.0);
    assert_eq!(world.did(&Action::Signal { signal: Signal::TERM, group: true }), [5.0]);
    assert_eq!(world.did(&Action::CleanGroup), [8.0]);
    assert_eq!(world.when(ProcState::Stopped), [8.01]);
}

#[test]
fn killasgroup_kills_the_group_when_the_leader_is_gone() {
    let group = Policy { killasgroup: true, ..policy() };
    let mut world = started(group, FakeCommand { members: 2, ..daemon() });
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.pass(5.0);
    assert_eq!(world.did(&Action::Signal { signal: Signal::TERM, group: false }), [5.0]);
    assert_eq!(world.did(&Action::CleanGroup), [5.1]);
    assert_eq!(world.when(ProcState::Stopped), [5.11]);
    assert_eq!(world.machine.leftover(), 0);
}

#[test]
fn members_that_survive_a_sigkill_to_the_leader_are_killed_immediately() {
    let group = Policy { stopasgroup: true, killasgroup: true, stopwait: Some(secs(60.0)), ..policy() };
    let mut machine = Machine::new(group, secs(1.0));
    let now = secs(100.0);
    machine.handle(Event::Adopted { pid: 5, age: secs(9.0), survivor: Survivor::Adopt }, now).unwrap();
    machine.handle(Event::StopAsked { why: StopWhy::Operator, now: true }, now).unwrap();
    let left = Event::Ended { end: killed(Signal::KILL), at: None, leftover: 1 };
    let actions = machine.handle(left, now + MS).unwrap();
    assert_eq!(actions, [Action::CleanGroup, Action::Warn(Warning::Killing(2))]);
    assert_eq!(machine.handle(Event::GroupGone, now + 2 * MS).unwrap().len(), 1);
    assert_eq!(machine.state(), ProcState::Stopped);
}

#[test]
fn the_group_of_a_crashed_run_is_killed_before_the_next_spawn() {
    let group = Policy { killasgroup: true, ..policy() };
    let mut world = started(group, FakeCommand { members: 1, ..lives(2.0, code(1)) });
    world.pass(2.5);
    assert_eq!(world.did(&Action::CleanGroup), [2.0]);
    assert_eq!(world.spawns, [0.0, 2.01]);
}

#[test]
fn without_killasgroup_surviving_members_are_counted_and_shown() {
    let mut world = started(policy(), FakeCommand { members: 2, ..lives(2.0, code(1)) });
    world.pass(2.5);
    assert_eq!(world.did(&Action::CleanGroup), [0.0; 0]);
    assert_eq!(world.did(&Action::Warn(Warning::Leftover(2))), [2.0]);
    assert_eq!(world.words(), "pid 102, uptime 0:00:00; 2 processes of its group are still alive");
    assert_eq!(Warning::Leftover(1).to_string(), "1 process of its group is still alive");
    world.tell(Event::GroupGone).unwrap();
    assert_eq!((world.machine.leftover(), world.words().as_str()), (0, "pid 102, uptime 0:00:00"));
}

#[test]
fn a_group_that_cannot_be_cleaned_is_retried_and_delays_the_start() {
    let group = Policy { killasgroup: true, autorestart: Autorestart::Never, ..policy() };
    let mut machine = Machine::new(group, secs(1.0));
    machine.handle(Event::Adopted { pid: 5, age: secs(9.0), survivor: Survivor::Adopt }, secs(100.0)).unwrap();
    machine.handle(Event::Ended { end: code(0), at: None, leftover: 1 }, secs(100.0)).unwrap();
    let actions = machine.handle(Event::StartAsked, secs(100.5)).unwrap();
    assert_eq!((machine.state(), actions.len()), (ProcState::Starting, 1), "no spawn yet");
    assert_eq!(machine.deadline(), Some(secs(101.0)));
    let again = [Action::CleanGroup, Action::Warn(Warning::GroupStays)];
    assert_eq!(machine.handle(Event::Tick, secs(101.0)).unwrap(), again);
    assert_eq!(machine.handle(Event::GroupGone, secs(101.5)).unwrap(), [Action::Spawn]);
}

#[test]
fn a_group_that_an_earlier_supervisor_was_killing_is_killed_before_anything_starts() {
    let mut machine = Machine::new(policy(), secs(1.0));
    let actions = machine.handle(Event::LeftBehind { leftover: 2 }, secs(100.0)).unwrap();
    assert_eq!(actions, [Action::Warn(Warning::Leftover(2)), Action::CleanGroup]);
    machine.handle(Event::Autostart, secs(100.0)).unwrap();
    assert_eq!(machine.state(), ProcState::Starting);
    assert!(machine.handle(Event::LeftBehind { leftover: 1 }, secs(100.1)).is_err(), "already started");
    assert!(machine.handle(Event::Tick, secs(101.0)).unwrap().contains(&Action::CleanGroup), "once a second");
    assert_eq!(machine.handle(Event::GroupGone, secs(101.5)).unwrap(), [Action::Spawn]);
}

#[test]
fn a_restart_in_backoff_has_restart_as_its_reason() {
    let mut machine = Machine::new(policy(), secs(1.0));
    machine.handle(Event::Autostart, secs(100.0)).unwrap();
    machine.handle(Event::SpawnFailed { cause: "x".into(), passing: false }, secs(100.0)).unwrap();
    let actions = machine.handle(Event::RestartAsked, secs(100.1)).unwrap();
    assert!(matches!(&actions[0], Action::Say(Transition { why: Some(StopWhy::Restart), to: ProcState::Stopped, .. })));
    assert_eq!(actions.last(), Some(&Action::Spawn));
}

#[test]
fn a_reaped_pid_is_not_signalled() {
    let group = Policy { stopasgroup: true, killasgroup: true, ..policy() };
    let mut world = started(group, FakeCommand { members: 1, ..daemon() });
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.pass(1.0);
    let signal = |group| Event::SignalAsked { signal: Signal::HUP, group };
    assert_eq!(world.tell(signal(false)), Err(Illegal::Refused(Refusal::NotRunning)));
    assert_eq!(world.tell(signal(true)), Ok(()));
}

#[test]
fn a_process_that_has_just_ended_is_not_an_error() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.tell(Event::KillFailed(KillError::Gone)).unwrap();
    assert_eq!(world.state(), ProcState::Stopping);
    world.pass(1.0);
    assert_eq!(world.state(), ProcState::Stopped);
}

#[test]
fn a_signal_during_a_stop_is_not_part_of_it() {
    let mut world = started(policy(), FakeCommand { polite: None, ..daemon() });
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.tell(Event::SignalAsked { signal: Signal::HUP, group: true }).unwrap();
    assert_eq!(world.did(&Action::Pass { signal: Signal::HUP, group: true }), [5.0]);
    assert_eq!(world.state(), ProcState::Stopping);
    // A signal that had to wait for the exec is no part of the stop either.
    let mut world = World::new(policy(), FakeCommand { exec: Ok(secs(3.0)), ..daemon() });
    world.tell(Event::StartAsked).unwrap();
    world.tell(Event::SignalAsked { signal: Signal::HUP, group: true }).unwrap();
    world.tell(operator()).unwrap();
    world.pass(10.0);
    assert_eq!(world.did(&Action::Pass { signal: Signal::HUP, group: true }), [3.0]);
    assert_eq!(world.did(&Action::Signal { signal: Signal::TERM, group: false }), [3.0]);
}

#[test]
fn a_death_by_a_requested_signal_is_an_ordinary_end() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.tell(Event::SignalAsked { signal: Signal::TERM, group: false }).unwrap();
    assert_eq!(world.state(), ProcState::Running, "the state does not change");
    world.pass(1.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Starting, 2));
}

// ---- restarts, reloads, shutdown ----

#[test]
fn a_restart_starts_as_soon_as_the_process_is_down() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.tell(Event::RestartAsked).unwrap();
    world.pass(3.0);
    assert_eq!(world.spawns, [0.0, 5.1]);
    let mut down = World::new(policy(), daemon());
    down.tell(Event::RestartAsked).unwrap();
    assert_eq!(down.spawns, [0.0], "a process that is down is started");
    let mut backoff = started(policy(), lives(0.0, code(1)));
    backoff.pass(0.5);
    backoff.tell(Event::RestartAsked).unwrap();
    assert_eq!((backoff.spawns.clone(), backoff.machine.fails()), (vec![0.0, 0.5], 0));
}

#[test]
fn a_stop_during_a_restart_takes_precedence_and_a_restart_during_a_stop_starts() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.tell(Event::RestartAsked).unwrap();
    world.tell(operator()).unwrap();
    world.pass(5.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Stopped, 1));
    world.tell(Event::StartAsked).unwrap();
    world.pass(5.0);
    world.tell(operator()).unwrap();
    world.tell(Event::RestartAsked).unwrap();
    world.pass(5.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Running, 3));
    assert_eq!(world.machine.stopped_by(), None);
    world.tell(stop(StopWhy::Remove)).unwrap();
    assert_eq!(world.tell(Event::RestartAsked), Err(Illegal::Refused(Refusal::Stopping)));
}

#[test]
fn nothing_starts_during_a_shutdown() {
    let mut restart = started(policy(), daemon());
    restart.pass(5.0);
    restart.tell(Event::RestartAsked).unwrap();
    restart.tell(Event::ShuttingDown).unwrap();
    restart.pass(5.0);
    assert_eq!((restart.state(), restart.spawns.len()), (ProcState::Stopped, 1));
    let mut crash = started(policy(), lives(5.0, code(1)));
    crash.pass(4.0);
    crash.tell(Event::ShuttingDown).unwrap();
    assert_eq!(crash.state(), ProcState::Running, "its tier comes later");
    crash.pass(5.0);
    assert_eq!((crash.state(), crash.spawns.len()), (ProcState::Exited, 1));
    let mut failing = started(policy(), lives(0.5, code(1)));
    failing.tell(Event::ShuttingDown).unwrap();
    failing.pass(60.0);
    assert_eq!((failing.state(), failing.spawns.len()), (ProcState::Stopped, 1));
    let mut stopped = started(policy(), daemon());
    stopped.pass(2.0);
    stopped.tell(operator()).unwrap();
    stopped.tell(stop(StopWhy::Shutdown)).unwrap();
    stopped.pass(1.0);
    assert_eq!(stopped.machine.stopped_by(), Some(StopWhy::Operator), "the operator's request is remembered");
}

#[test]
fn a_hot_change_applies_to_a_backoff() {
    let mut world = started(policy(), lives(0.0, code(1)));
    world.pass(2.0);
    assert_eq!((world.state(), world.machine.fails()), (ProcState::Backoff, 2));
    let mut given_up = World { machine: world.machine.clone(), ..World::new(policy(), daemon()) };
    given_up.tell(Event::Policy(Policy { startretries: Some(1), ..policy() })).unwrap();
    assert_eq!(given_up.state(), ProcState::Fatal);
    world.tell(Event::Policy(Policy { startretries: Some(9), ..policy() })).unwrap();
    assert_eq!(world.state(), ProcState::Backoff);
    world.pass(100.0);
    assert_eq!(world.spawns.len(), 10);
}

#[test]
fn a_hot_change_does_not_affect_a_start_or_stop_in_progress() {
    let mut world = started(policy(), FakeCommand { polite: None, ..daemon() });
    world.pass(0.5);
    world.tell(Event::Policy(Policy { startsecs: secs(60.0), ..policy() })).unwrap();
    world.pass(1.0);
    assert_eq!(world.when(ProcState::Running), [1.0]);
    world.tell(operator()).unwrap();
    world.tell(Event::Policy(Policy { stopwait: None, killasgroup: true, ..policy() })).unwrap();
    world.pass(20.0);
    assert_eq!(world.did(&Action::Kill { group: false }), [11.5]);
}

#[test]
fn a_hot_change_of_the_expected_codes_applies_to_the_next_exit() {
    let mut world = started(policy(), lives(5.0, code(7)));
    world.pass(2.0);
    world.tell(Event::Policy(Policy { exitcodes: vec![7], ..policy() })).unwrap();
    world.pass(5.0);
    assert_eq!((world.state(), world.spawns.len()), (ProcState::Exited, 1));
}

#[test]
fn a_changed_command_stops_with_the_old_settings_and_starts_with_the_new_ones() {
    let mut world = started(policy(), daemon());
    world.pass(5.0);
    world.tell(Event::Replaced(Policy { stopsignal: Signal::INT, startsecs: secs(7.0), ..policy() })).unwrap();
    assert_eq!(world.did(&Action::Signal { signal: Signal::TERM, group: false }), [5.0]);
    world.pass(20.0);
    assert_eq!((world.spawns.clone(), world.when(ProcState::Running)), (vec![0.0, 5.1], vec![1.0, 12.1]));
    assert_eq!(world.changes[2].why, Some(StopWhy::Reload));
}

#[test]
fn a_changed_command_does_not_affect_exited_and_stopped() {
    let mut exited = started(policy(), lives(2.0, code(0)));
    exited.pass(3.0);
    exited.tell(Event::Replaced(policy())).unwrap();
    assert_eq!(exited.state(), ProcState::Exited);
    let mut stopped = started(policy(), daemon());
    stopped.pass(3.0);
    stopped.tell(operator()).unwrap();
    stopped.tell(Event::Replaced(policy())).unwrap();
    stopped.pass(3.0);
    assert_eq!((stopped.state(), stopped.spawns.len()), (ProcState::Stopped, 1));
    let mut failing = started(policy(), lives(0.0, code(1)));
    failing.pass(2.0);
    failing.command = daemon();
    failing.tell(Event::Replaced(policy())).unwrap();
    assert_eq!(
        (failing.state(), failing.machine.fails()),
        (ProcState::Starting, 0),
        "a corrected configuration is tried immediately"
    );
}

#[test]
fn time_that_stops_or_jumps_does_not_change_the_state() {
    let mut machine = Machine::new(policy(), secs(1.0));
    machine.handle(Event::StartAsked, Duration::MAX).unwrap();
    machine.handle(Event::Spawned { pid: 4 }, Duration::MAX).unwrap();
    machine.handle(Event::Tick, Duration::ZERO).unwrap();
    assert_eq!(machine.uptime(Duration::ZERO), Some(Duration::ZERO), "never negative");
    assert_eq!(machine.state(), ProcState::Starting);
    machine.handle(operator(), Duration::MAX).unwrap();
    machine.handle(Event::Tick, Duration::MAX).unwrap();
    assert_eq!(machine.state(), ProcState::Stopping);
}

#[test]
fn a_start_that_fails_for_a_transient_reason_is_retried_without_limit() {
    let policy = Policy { startretries: Some(1), ..policy() };
    let mut machine = Machine::new(policy.clone(), Duration::ZERO);
    let mut now = secs(10.0);
    machine.handle(Event::StartAsked, now).unwrap();
    for pause in [1, 2, 4, 8, 16, 16, 16] {
        let failed = Event::SpawnFailed { cause: "too many open files".into(), passing: true };
        let actions = machine.handle(failed, now).unwrap();
        assert!(matches!(
            &actions[..],
            [Action::Say(Transition { to: ProcState::Backoff, hindered: true, fails: 0, .. })]
        ));
        assert_eq!(machine.next_try(now), Some(Duration::from_secs(pause)));
        let words = format!("too many open files; retry in {pause}s, until that passes");
        assert_eq!(machine.describe(now, ""), words);
        // A new policy does not give up either.
        machine.handle(Event::Policy(policy.clone()), now).unwrap();
        assert_eq!(machine.state(), ProcState::Backoff);
        now += Duration::from_secs(pause);
        machine.handle(Event::Tick, now).unwrap();
        assert_eq!(machine.state(), ProcState::Starting);
    }
    // Failures of the program itself count as before.
    for state in [ProcState::Backoff, ProcState::Fatal] {
        machine.handle(Event::SpawnFailed { cause: "no such file".into(), passing: false }, now).unwrap();
        assert_eq!((machine.state(), machine.is_hindered()), (state, false));
        now += secs(5.0);
        machine.handle(Event::Tick, now).unwrap();
    }
    assert_eq!(machine.fails(), 2);
}
