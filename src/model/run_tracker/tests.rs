//! A table per fact, all orders of a few facts, and what must hold in all of them.

use proptest::prelude::*;

use super::*;
use crate::model::{
    shim::NotStarted,
    task::{Signal, Tick},
};

const SHIM: Process = Process { pid: 10, pstart: 1 };
const COMMAND: Process = Process { pid: 11, pstart: 2 };
const STRAY: Process = Process { pid: 12, pstart: 3 };

fn at(secs: i64) -> Tick {
    Tick {
        wall: crate::model::task::Timestamp::from_secs(secs),
        mono: std::time::Duration::from_secs(secs.unsigned_abs()),
    }
}

fn started() -> Phase {
    Phase::Running { command: COMMAND, since: at(100) }
}

fn failed(passing: bool) -> Phase {
    let why = NotStarted { passing, ..NotStarted::refused("command not found: x".to_owned()) };
    Phase::Failed { why, at: at(100) }
}

fn over(leftover: u32) -> Phase {
    Phase::Ended {
        command: COMMAND,
        since: at(100),
        exit: Exit::Code(3),
        at: at(160),
        timeout: false,
        leftover,
        strays: vec![],
    }
}

fn run(phase: Phase) -> Run {
    Run {
        handle: "h".into(),
        ear: "s".into(),
        process: "web".into(),
        program: "web".into(),
        group: "web".into(),
        version: "v".into(),
        attempt: 1,
        shim: SHIM,
        boot: "b".into(),
        task: None,
        phase,
        denied: None,
        notes: vec![],
    }
}

/// Returns a run that has come this far, with this number of members left.
fn tracker(progress: Progress, leftover: u32) -> RunTracker {
    let command = (progress != Progress::Nothing).then_some(COMMAND);
    RunTracker { leftover, ..RunTracker::taken_over(&run(Phase::Starting), progress, command, Life::Alive) }
}

fn began() -> RunStep {
    RunStep::Began { command: COMMAND, since: 100 }
}

fn ended(end: End, leftover: u32) -> Vec<RunStep> {
    vec![
        RunStep::EndedAt(160),
        RunStep::Feed(Event::Ended { end, at: Some(at(160).mono), leftover }),
        RunStep::LeaveAlone(vec![]),
    ]
}

fn spawn_failed(cause: &str, passing: bool) -> RunStep {
    RunStep::Feed(Event::SpawnFailed { cause: cause.to_owned(), passing })
}

#[test]
fn a_phase_advances_the_run_by_one_step() {
    use Progress::{Ended, Nothing, Started};
    let by_itself = End::ByItself(Exit::Code(3));
    let gone = vec![RunStep::Feed(Event::GroupGone)];
    let refused = "command not found: x";
    let rows = vec![
        ("a start in progress", Nothing, 0, Phase::Starting, vec![], Nothing, false),
        ("an old state after the start", Started, 0, Phase::Starting, vec![], Started, false),
        ("an old state after the end", Ended, 0, Phase::Starting, vec![], Ended, false),
        ("the exec", Nothing, 0, started(), vec![began()], Started, false),
        ("the exec, read again", Started, 0, started(), vec![], Started, false),
        ("an old exec after the end", Ended, 0, started(), vec![], Ended, false),
        ("a failed start", Nothing, 0, failed(false), vec![spawn_failed(refused, false)], Ended, false),
        ("a hindered start", Nothing, 0, failed(true), vec![spawn_failed(refused, true)], Ended, false),
        ("a failed start, read again", Ended, 0, failed(false), vec![], Ended, false),
        ("a failed start after the exec", Started, 0, failed(false), vec![], Started, false),
        ("a run that began and ended since the last look", Nothing, 0, over(0), vec![began()], Started, true),
        ("its end", Started, 0, over(0), ended(by_itself, 0), Ended, false),
        ("an end that leaves members", Started, 0, over(2), ended(by_itself, 2), Ended, false),
        ("an end, read again", Ended, 0, over(0), vec![], Ended, false),
        ("members that are still there", Ended, 2, over(2), vec![], Ended, false),
        ("members that are fewer now", Ended, 2, over(1), vec![], Ended, false),
        ("the end of the last member", Ended, 2, over(0), gone, Ended, false),
    ];
    for (name, progress, leftover, phase, steps, after, more) in rows {
        let mut run = tracker(progress, leftover);
        assert_eq!(run.advance(&phase), steps, "{name}");
        assert_eq!((run.progress, run.has_more(&phase)), (after, more), "{name}");
    }
}

#[test]
fn an_end_says_how_the_run_ended_and_what_left_the_group() {
    let Phase::Ended { command, since, at, .. } = over(0) else { return };
    for (exit, timeout, end) in [
        (Exit::Code(0), false, End::ByItself(Exit::Code(0))),
        (Exit::Code(0), true, End::Timeout(Exit::Code(0))),
        (
            Exit::Signal { signal: Signal::KILL, core: true },
            false,
            End::ByItself(Exit::Signal { signal: Signal::KILL, core: true }),
        ),
    ] {
        let strays = vec![STRAY];
        let phase = Phase::Ended { command, since, exit, at, timeout, leftover: 1, strays: strays.clone() };
        let mut steps = ended(end, 1);
        steps[2] = RunStep::LeaveAlone(strays);
        let mut run = tracker(Progress::Started, 0);
        assert_eq!(run.advance(&phase), steps, "{exit:?} {timeout}");
        assert_eq!(run.leftover, 1);
    }
}

#[test]
fn what_the_shim_reports_besides_is_passed_on_once() {
    let note = |text: &str| ShimNote::from(text.to_owned());
    let with = |task, notes: &[&str]| Run { task, notes: notes.iter().map(|n| note(n)).collect(), ..run(started()) };
    let rows: Vec<(&str, Run, Vec<RunStep>)> = vec![
        ("nothing", run(Phase::Starting), vec![]),
        ("the end of the start", run(started()), vec![RunStep::Arrived]),
        ("a failed start", run(failed(false)), vec![RunStep::Arrived]),
        ("a task", with(Some(7), &[]), vec![RunStep::Task(7), RunStep::Arrived]),
        ("a note", with(None, &["a"]), vec![RunStep::Note(note("a")), RunStep::Arrived]),
        ("the same note", with(None, &["a"]), vec![RunStep::Arrived]),
        ("another note", with(None, &["a", "b"]), vec![RunStep::Note(note("b")), RunStep::Arrived]),
        ("notes that were dropped", with(None, &["b"]), vec![RunStep::Arrived]),
        ("a note again", with(None, &["b", "a"]), vec![RunStep::Note(note("a")), RunStep::Arrived]),
    ];
    let mut tracker = RunTracker::new("h".into(), "s".into());
    for (name, written, steps) in rows {
        assert_eq!(tracker.heard(&written), steps, "{name}");
        assert_eq!(tracker.shim, Some(SHIM), "{name}");
    }
}

#[test]
fn a_refused_signal_is_reported_once_and_again_after_another() {
    let mut tracker = tracker(Progress::Started, 0);
    let denied = |why: &str| Some(Event::KillFailed(KillError::Denied(why.to_owned())));
    for (name, written, event) in [
        ("none", None, None),
        ("the first", Some("EPERM"), denied("EPERM")),
        ("the same", Some("EPERM"), None),
        ("another", Some("EACCES"), denied("EACCES")),
        ("none any more", None, None),
        ("the first once more", Some("EPERM"), denied("EPERM")),
    ] {
        let written = Run { denied: written.map(str::to_owned), ..run(started()) };
        assert_eq!(tracker.refused(&written), event, "{name}");
    }
}

#[test]
fn the_end_of_a_shim_ends_a_start_and_orphans_a_command() {
    use Progress::{Ended, Nothing, Started};
    let lost = |how: &str| {
        let cause = format!("its shim ended before the command was executed{how}");
        vec![RunStep::Forget, spawn_failed(&cause, true)]
    };
    let orphaned = || vec![RunStep::Orphaned(COMMAND), RunStep::WatchCommand];
    let group = || vec![RunStep::WatchGroup];
    let killed = || vec![RunStep::CleanGroup, RunStep::WatchGroup];
    let rows = vec![
        ("before the exec", Nothing, Life::Gone, "", false, lost(""), Ended, false),
        (
            "killed before the exec",
            Nothing,
            Life::Gone,
            ", killed by SIGKILL",
            false,
            lost(", killed by SIGKILL"),
            Ended,
            false,
        ),
        ("before the exec, with a group to kill", Nothing, Life::Gone, "", true, lost(""), Ended, false),
        ("the command lives on", Started, Life::Alive, "", false, orphaned(), Started, true),
        ("the command cannot be looked at", Started, Life::Unknown, "", false, orphaned(), Started, true),
        ("the command is gone too", Started, Life::Gone, "", false, vec![RunStep::WatchCommand], Started, true),
        ("after the end", Ended, Life::Gone, "", false, group(), Ended, true),
        ("after the end, with a group to kill", Ended, Life::Gone, "", true, killed(), Ended, true),
        ("after the end, the pid is another's", Ended, Life::Alive, "", true, killed(), Ended, true),
    ];
    for (name, progress, command, how, cleans, steps, after, orphan) in rows {
        let mut run = tracker(progress, 0);
        assert_eq!(run.shim_gone(command, how, cleans), steps, "{name}");
        assert_eq!((run.progress, run.orphan), (after, orphan), "{name}");
    }
    let mut unknown = RunTracker { command: None, ..tracker(Started, 0) };
    assert_eq!(unknown.shim_gone(Life::Gone, "", false), [RunStep::CommandGone], "a command that was never named");
}

#[test]
fn the_end_of_an_orphan_is_not_observed() {
    let missed = |leftover| {
        vec![
            RunStep::EndedAt(500),
            RunStep::Missed,
            RunStep::Feed(Event::Ended { end: End::NotObserved, at: None, leftover }),
            RunStep::Settle,
            RunStep::WatchGroup,
        ]
    };
    for (name, progress, members, steps, leftover) in [
        ("nothing left", Progress::Started, Some(0), missed(0), 0),
        ("members left", Progress::Started, Some(3), missed(3), 3),
        ("members that cannot be counted", Progress::Started, None, missed(1), 1),
        ("a second time", Progress::Ended, Some(0), vec![RunStep::WatchGroup], 7),
        ("before the exec", Progress::Nothing, None, vec![RunStep::WatchGroup], 7),
    ] {
        let mut run = tracker(progress, 7);
        assert_eq!(run.command_gone(members, 500), steps, "{name}");
        assert_eq!(run.leftover, leftover, "{name}");
    }
}

#[test]
fn the_group_of_an_ended_run_is_killed_by_whom_can() {
    use GroupKiller::{NotNeeded, Shim, Supervisor};
    for (progress, leftover, orphan, killer) in [
        (Progress::Nothing, 0, false, NotNeeded),
        (Progress::Started, 2, false, NotNeeded),
        (Progress::Ended, 0, false, NotNeeded),
        (Progress::Ended, 0, true, NotNeeded),
        (Progress::Ended, 2, false, Shim),
        (Progress::Ended, 2, true, Supervisor),
    ] {
        let run = RunTracker { orphan, ..tracker(progress, leftover) };
        assert_eq!(run.group_killer(), killer, "{progress:?} {leftover} {orphan}");
    }
    for (waits, member, steps) in [
        (true, Life::Alive, None),
        (true, Life::Unknown, None),
        (true, Life::Gone, Some(vec![RunStep::Forget, RunStep::Feed(Event::GroupGone)])),
        (false, Life::Alive, Some(vec![RunStep::Forget])),
        (false, Life::Gone, Some(vec![RunStep::Forget])),
        (false, Life::Unknown, Some(vec![RunStep::Forget])),
    ] {
        assert_eq!(group_looked_at(waits, member), steps, "{waits} {member:?}");
    }
}

#[test]
fn the_shim_is_watched_while_it_lives_then_the_command_then_the_group() {
    for (name, run, watch) in [
        ("a shim", tracker(Progress::Started, 0), RunWatch::Shim(SHIM)),
        ("a shim after the end", tracker(Progress::Ended, 1), RunWatch::Shim(SHIM)),
        ("an orphan", RunTracker { orphan: true, ..tracker(Progress::Started, 0) }, RunWatch::Command(COMMAND)),
        ("its group", RunTracker { orphan: true, ..tracker(Progress::Ended, 1) }, RunWatch::Group),
        ("a shim that wrote nothing", RunTracker::new("h".into(), "s".into()), RunWatch::Group),
    ] {
        assert_eq!(run.watch(), watch, "{name}");
    }
}

#[test]
fn runs_of_an_earlier_supervisor_are_sorted() {
    use Life::{Alive, Gone, Unknown};
    let rows = vec![
        ("a start", Phase::Starting, true, Alive, Gone, true, Sorted::Wait),
        ("a start that cannot be looked at", Phase::Starting, true, Unknown, Gone, true, Sorted::Wait),
        ("a slow start", Phase::Starting, true, Alive, Gone, false, Sorted::Live),
        ("a start without its shim", Phase::Starting, true, Gone, Gone, true, Sorted::Ended),
        ("a slow start of another boot", Phase::Starting, false, Alive, Gone, false, Sorted::Stale),
        ("a run", started(), true, Alive, Alive, true, Sorted::Live),
        ("an orphan", started(), true, Gone, Alive, true, Sorted::Live),
        ("an orphan that cannot be looked at", started(), true, Gone, Unknown, true, Sorted::Live),
        ("a shim that has something to write", started(), true, Alive, Gone, true, Sorted::Live),
        ("a run whose end was missed", started(), true, Gone, Gone, true, Sorted::Ended),
        ("a run of another boot", started(), false, Alive, Alive, true, Sorted::Stale),
        ("an ended run", over(0), true, Alive, Gone, true, Sorted::Ended),
        ("a failed start", failed(false), true, Alive, Gone, true, Sorted::Ended),
        ("an ended run of another boot", over(2), false, Alive, Gone, true, Sorted::Stale),
    ];
    for (name, phase, same_boot, shim, command, patient, sorted) in rows {
        assert_eq!(sort(&phase, same_boot, shim, command, patient), sorted, "{name}");
    }
}

#[test]
fn what_is_left_of_an_earlier_run_depends_on_its_processes() {
    use Life::{Alive, Gone, Unknown};
    let nothing = |remove, missed| Remains::Nothing { remove, missed };
    let group = |missed| Remains::Group { command: COMMAND, missed };
    let live = |command| Remains::Run { command };
    let rows = vec![
        ("a start", Phase::Starting, Alive, Gone, live(None)),
        ("a start that cannot be looked at", Phase::Starting, Unknown, Gone, live(None)),
        ("a start without its shim", Phase::Starting, Gone, Gone, nothing(true, true)),
        ("a run", started(), Alive, Alive, live(Some(COMMAND))),
        ("a run whose end its shim will write", started(), Alive, Gone, live(Some(COMMAND))),
        ("an orphan", started(), Gone, Alive, live(Some(COMMAND))),
        ("an orphan that cannot be looked at", started(), Gone, Unknown, live(Some(COMMAND))),
        ("a missed end", started(), Gone, Gone, group(true)),
        ("an end", over(0), Gone, Gone, nothing(true, false)),
        ("an end whose shim is still there", over(0), Alive, Gone, nothing(false, false)),
        ("an end with members", over(2), Alive, Gone, group(false)),
        ("an end with members, without its shim", over(2), Gone, Gone, group(false)),
        ("a failed start", failed(false), Gone, Gone, nothing(true, false)),
        ("a failed start whose shim is still there", failed(true), Unknown, Gone, nothing(false, false)),
    ];
    for (name, phase, shim, command, left) in rows {
        assert_eq!(remains(&phase, shim, command), left, "{name}");
    }
}

#[test]
fn survivors_are_treated_as_configured() {
    for (same_version, orphans, treated) in [
        (Some(true), Orphans::Adopt, Survivor::Adopt),
        (Some(false), Orphans::Adopt, Survivor::Stop(StopWhy::Reload)),
        (None, Orphans::Adopt, Survivor::Stop(StopWhy::Remove)),
        (Some(true), Orphans::Stop, Survivor::Stop(StopWhy::Survivor)),
        (Some(false), Orphans::Stop, Survivor::Stop(StopWhy::Survivor)),
        (None, Orphans::Stop, Survivor::Stop(StopWhy::Remove)),
        (Some(true), Orphans::Leave, Survivor::Leave),
        (None, Orphans::Leave, Survivor::Leave),
    ] {
        assert_eq!(survivor(same_version, orphans), treated, "{same_version:?} {orphans:?}");
    }
}

#[test]
fn groups_of_an_earlier_supervisor_are_treated_as_configured() {
    let owner = |kills_group, has_run| Some(GroupOwner { kills_group, has_run });
    let rows = [
        ("no member", owner(true, false), 0, Orphans::Adopt, Life::Alive, GroupAdoption::Nothing),
        ("members to kill", owner(true, false), 2, Orphans::Adopt, Life::Alive, GroupAdoption::Kill),
        ("without their shim", owner(true, false), 2, Orphans::Stop, Life::Gone, GroupAdoption::Kill),
        ("members to leave", owner(false, false), 2, Orphans::Adopt, Life::Alive, GroupAdoption::LeaveAlone),
        ("orphans to leave", owner(true, false), 2, Orphans::Leave, Life::Alive, GroupAdoption::LeaveAlone),
        ("beside a newer run", owner(true, true), 2, Orphans::Adopt, Life::Alive, GroupAdoption::LeaveAlone),
        ("a process that is not configured", None, 2, Orphans::Adopt, Life::Alive, GroupAdoption::AskShim),
        ("a shim that cannot be looked at", None, 2, Orphans::Adopt, Life::Unknown, GroupAdoption::AskShim),
        ("neither process nor shim", None, 2, Orphans::Adopt, Life::Gone, GroupAdoption::Nothing),
        ("not configured, to leave", None, 2, Orphans::Leave, Life::Alive, GroupAdoption::Nothing),
    ];
    for (name, owner, members, orphans, shim, adoption) in rows {
        assert_eq!(adopt_group(owner, members, orphans, shim), adoption, "{name}");
    }
}

#[test]
fn how_a_shim_ended_is_part_of_a_sentence() {
    let signal = Exit::Signal { signal: Signal::KILL, core: false };
    for (exit, error, text) in [
        (None, None, ""),
        (Some(Exit::Code(9)), None, ": exit status 9"),
        (Some(Exit::Code(5)), Some("too many open files"), ": too many open files"),
        (Some(signal), None, ", killed by SIGKILL"),
    ] {
        assert_eq!(how_shim_ended(exit, error), text);
    }
}

/// A fact about a run.
#[derive(Clone, Debug)]
enum Fact {
    Wrote(Phase),
    ShimGone(Life, bool),
    CommandGone(Option<u32>),
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let life = prop_oneof![Just(Life::Alive), Just(Life::Gone), Just(Life::Unknown)];
    let phase =
        prop_oneof![Just(Phase::Starting), Just(started()), any::<bool>().prop_map(failed), (0..3u32).prop_map(over),];
    let fact = prop_oneof![
        phase.prop_map(Fact::Wrote),
        (life, any::<bool>()).prop_map(|(life, cleans)| Fact::ShimGone(life, cleans)),
        proptest::option::of(0..3u32).prop_map(Fact::CommandGone),
    ];
    proptest::collection::vec(fact, 0..8)
}

proptest! {
    /// Whatever is seen in whatever order: a run begins once at most, ends once at most, never ends before it began unless
    /// its start failed, and nothing is fed to the machine of a run that was never started.
    #[test]
    fn a_run_begins_and_ends_once(facts in facts()) {
        let mut run = RunTracker::new("h".into(), "s".into());
        let mut steps = vec![];
        for fact in facts {
            match fact {
                Fact::Wrote(phase) => {
                    loop {
                        steps.extend(run.advance(&phase));
                        if !run.has_more(&phase) {
                            break;
                        }
                    }
                }
                Fact::ShimGone(life, cleans) => steps.extend(run.shim_gone(life, "", cleans)),
                Fact::CommandGone(members) => steps.extend(run.command_gone(members, 500)),
            }
        }
        let count = |wanted: fn(&RunStep) -> bool| steps.iter().filter(|step| wanted(step)).count();
        let begins = count(|step| matches!(step, RunStep::Began { .. }));
        let ends = count(|step| matches!(step, RunStep::Feed(Event::Ended { .. })));
        let failures = count(|step| matches!(step, RunStep::Feed(Event::SpawnFailed { .. })));
        prop_assert!(begins <= 1 && ends <= begins && begins + failures <= 1, "{:?}", steps);
        prop_assert_eq!(run.progress == Progress::Ended, ends + failures == 1);
        prop_assert_eq!(run.command.is_some(), begins == 1);
    }
}
