//! A table of situations, and properties of all sequences of events.
//!
//! A situation is a mode, the remotes, and a script. `2x3@990` is remote 2 after 3 failures, last asked 10 seconds
//! before the sync began. The steps of a script:
//!
//! ```text
//! at 6            6 seconds after the begin
//! asks 1 2? 3?:b  exactly these are asked now, in this order; ?: as doubtful ones; :b: with the progress b
//! asks            no remote is asked now
//! off 1           the next remote is 1; it is put off, because the database cannot be read
//! ok 1            responds; then the remote is reported
//! parts 1         responds, but not for all nodes; then the remote is reported
//! fails 1         fails; then the remote is reported
//! silent 1 b      becomes silent with the progress b; then the remote is read, to be asked again
//! gives up 1      becomes silent; then the remote is reported
//! late 1          ends without having been asked; then nothing is done
//! unstored 1      a response could not be stored
//! takes 1         its responses are stored
//! drops 1         its responses are dropped
//! reads 1x2       its state is read again
//! has 1 2x1       the chosen remotes are read again
//! skips 1:20      exactly these are skipped, each for so many seconds
//! done 1/3        one of three remotes is done
//! waits 0.2       waits at most this many seconds for a message
//! over            the sync is over and successful
//! over failed     the sync is over and has failed
//! ```

use proptest::prelude::*;

use super::*;

/// The time at which all scripts begin, in Unix seconds.
const WALL: i64 = 1000;

/// Small limits: four remotes at once, two of them doubtful.
fn rules(mode: &str) -> SyncRules {
    let every = mode.strip_prefix("every ").map(|secs| Duration::from_secs_f64(secs.parse().unwrap()));
    SyncRules { every, named: mode == "named", connections: 4, doubtful: 2, ..SyncRules::default() }
}

fn remote(text: &str) -> RemoteState {
    let (text, tried) = text.split_once('@').map_or((text, None), |(text, at)| (text, Some(at.parse().unwrap())));
    let (id, failures) = text.split_once('x').unwrap_or((text, "0"));
    RemoteState { id: id.parse().unwrap(), failures: failures.parse().unwrap(), tried }
}

fn remotes(text: &str) -> Vec<RemoteState> {
    text.split_whitespace().map(remote).collect()
}

fn shown(ask: &Ask<String>) -> String {
    let begun = ask.begun.as_ref().map(|begun| format!(":{begun}")).unwrap_or_default();
    format!("{}{}{begun}", ask.id, if ask.doubtful { "?" } else { "" })
}

fn same(found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}")) }
}

/// A schedule, and the time.
struct Script {
    schedule: SyncScheduler<String>,
    now: Duration,
}

impl Script {
    fn step(&mut self, step: &str) -> Result<(), String> {
        let (schedule, now) = (&mut self.schedule, self.now);
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let id = || rest.trim_start_matches("up ").split(' ').next().unwrap().parse::<i64>().unwrap();
        let mut ends = |end| format!("{:?}", schedule.ended(id(), end, now));
        match verb {
            "at" => self.now = Duration::from_secs(5000) + Duration::from_secs_f64(rest.parse().unwrap()),
            "asks" => {
                let asked: Vec<String> = std::iter::from_fn(|| schedule.ask_next(now)).map(|ask| shown(&ask)).collect();
                same(&asked.join(" "), rest)?;
            }
            "off" => {
                let ask = schedule.ask_next(now).ok_or("no remote is asked")?;
                same(&ask.id.to_string(), rest)?;
                schedule.put_off(ask, now);
            }
            "ok" => same(&ends(AskEnd::Done { whole: true }), "Report")?,
            "parts" => same(&ends(AskEnd::Done { whole: false }), "Report")?,
            "fails" => same(&ends(AskEnd::Failed), "Report")?,
            "silent" => {
                let begun = rest.split(' ').nth(1).unwrap().to_owned();
                same(&ends(AskEnd::Silent(begun)), "AskAgain")?;
            }
            "gives" => same(&ends(AskEnd::Silent(String::new())), "Report")?,
            "late" => same(&ends(AskEnd::Done { whole: false }), "Nothing")?,
            "unstored" => schedule.not_stored(id()),
            "takes" => same(&schedule.takes(id()).to_string(), "true")?,
            "drops" => same(&schedule.takes(id()).to_string(), "false")?,
            "reads" => schedule.update(remote(rest)),
            "has" => schedule.replace(remotes(rest)),
            "skips" => {
                let skipped = schedule.skipped().iter().map(|one| format!("{}:{}", one.id, one.secs));
                same(&skipped.collect::<Vec<_>>().join(" "), rest)?;
            }
            "done" => {
                let (count, done) = schedule.progress();
                same(&format!("{done}/{count}"), rest)?;
            }
            "waits" => {
                let wait = schedule.wait(now).ok_or("the sync is over")?;
                same(&wait.as_secs_f64().to_string(), rest)?;
            }
            "over" => {
                same(&format!("{:?}", schedule.wait(now)), "None")?;
                same(&schedule.has_failed().to_string(), if rest == "failed" { "true" } else { "false" })?;
            }
            _ => panic!("no step: {step}"),
        }
        Ok(())
    }
}

/// Name, mode, remotes, script.
type Situation = (&'static str, &'static str, &'static str, &'static str);

const SITUATIONS: &[Situation] = &[
    // Order and limits.
    ("remotes are asked in their order", "once", "1 2 3", "asks 1 2 3; asks"),
    ("at most as many as there are connections", "once", "1 2 3 4 5 6", "asks 1 2 3 4; asks; ok 2; asks 5; asks"),
    ("remotes that failed come last, by failures", "named", "1x2 2 3x1 4", "asks 2 4 3? 1?"),
    ("only a few doubtful remotes at once", "named", "1x1 2x1 3x1 4", "asks 4 1? 2?; ok 4; asks; fails 1; asks 3?"),
    (
        "doubtful remotes leave room for others",
        "named",
        "1x1 2x1 3x1 4 5 6",
        "asks 4 5 6 1?; ok 4; asks 2?; ok 5; asks",
    ),
    ("a doubtful remote that is done makes room", "named", "1x1 2x1 3x1", "asks 1? 2?; ok 1; asks 3?"),
    ("doubtful remotes wait for a connection", "named", "1 2 3 4 5x1", "asks 1 2 3 4; asks; ok 1; asks 5?"),
    ("no remote is asked twice at once", "every 1", "1", "asks 1; at 9; asks; asks"),
    ("without remotes", "once", "", "asks; over"),
    // Silence.
    ("a silent remote is asked again as a doubtful one", "once", "1 2", "asks 1 2; at 5; silent 1 b; asks 1?:b"),
    (
        "the progress of a silent remote is passed on once",
        "once",
        "1",
        "asks 1; silent 1 b; asks 1?:b; silent 1 c; asks 1?:c; ok 1; over",
    ),
    ("silent remotes come after all others", "once", "1 2 3 4 5", "asks 1 2 3 4; silent 1 b; asks 5; ok 2; asks 1?:b"),
    ("silent remotes come after one that failed now", "named", "1 2x1", "asks 1 2?; silent 1 b; fails 2; asks 1?:b"),
    (
        "silent remotes come after one that failed often",
        "named",
        "1 2 3 4 5x9",
        "asks 1 2 3 4; silent 1 b; asks 5?; ok 2; asks 1?:b",
    ),
    (
        "only a few silent remotes at once",
        "once",
        "1 2 3 4",
        "asks 1 2 3 4; silent 1 a; silent 2 b; silent 3 c; asks 1?:a 2?:b; asks; ok 1; asks 3?:c",
    ),
    (
        "silent and failed remotes share the limit",
        "named",
        "1 2 3x1",
        "asks 1 2 3?; silent 1 a; silent 2 b; asks 1?:a; asks; ok 3; asks 2?:b",
    ),
    (
        "a remote that responds quickly is not silent any more",
        "every 1",
        "1 2",
        "asks 1 2; ok 2; at 5; silent 1 b; asks 2 1?:b; at 9.9; ok 1; ok 2; at 20; has 1 2; asks 1 2",
    ),
    (
        "a remote that responds slowly remains silent",
        "every 1",
        "1 2",
        "asks 1 2; ok 2; at 5; silent 1 b; asks 2 1?:b; at 10; ok 1; ok 2; at 20; has 1 2; asks 2 1?",
    ),
    (
        "a remote that fails quickly is not silent any more",
        "every 1",
        "1",
        "asks 1; at 5; silent 1 b; asks 1?:b; at 6; fails 1; at 30; has 1; asks 1",
    ),
    (
        "quick is counted from the last time that a remote is asked",
        "every 1",
        "1",
        "asks 1; at 5; silent 1 b; at 8; asks 1?:b; at 12.9; ok 1; at 20; asks 1",
    ),
    (
        "a silent remote continues from its newest state",
        "once",
        "1",
        "asks 1; silent 1 b; reads 1x2; asks 1?:b; done 0/1",
    ),
    (
        "a silent remote is not done",
        "once",
        "1 2",
        "asks 1 2; ok 2; silent 1 b; done 1/2; asks 1?:b; ok 1; done 2/2; over",
    ),
    ("a silent remote that is removed is not asked again", "every 9", "1 2", "asks 1 2; silent 1 b; has 2; asks"),
    (
        "a silent remote that is added again continues",
        "every 9",
        "1 2",
        "asks 1 2; silent 1 b; has 2; asks; has 1 2; asks 1?:b",
    ),
    // Without --every.
    ("each remote is asked once", "once", "1 2", "asks 1 2; ok 1; ok 2; asks; at 9999; asks; over"),
    ("a remote that fails is asked once", "once", "1 2", "asks 1 2; fails 1; ok 2; asks; over failed"),
    ("a node that failed is a failure", "once", "1 2", "asks 1 2; parts 1; ok 2; over failed"),
    ("a failure is not forgotten", "once", "1 2", "asks 1 2; fails 2; ok 1; over failed"),
    ("a silent remote that responds is no failure", "once", "1", "asks 1; silent 1 b; asks 1?:b; ok 1; over"),
    (
        "a sync is not over while a remote is asked",
        "once",
        "1 2",
        "asks 1 2; ok 1; waits 0.2; at 60; waits 0.2; ok 2; over",
    ),
    (
        "a sync is not over while a remote waits for a connection",
        "once",
        "1 2 3 4 5",
        "asks 1 2 3 4; ok 1; asks 5; ok 2; ok 3; ok 4; waits 0.2",
    ),
    ("the progress is counted", "once", "1 2 3", "done 0/3; asks 1 2 3; done 0/3; ok 1; done 1/3; fails 2; done 2/3"),
    (
        "an end without a request is nothing",
        "once",
        "1",
        "late 1; late 7; done 0/1; asks 1; ok 1; late 1; done 1/1; over",
    ),
    // Remotes that failed a short while ago.
    ("a remote that failed is skipped for its pause", "once", "1x1@995 2", "skips 1:5; asks 2; done 0/1; ok 2; over"),
    ("the pause grows", "once", "1x1@999 2x2@999 3x3@999 4x9@999", "skips 1:9 2:19 3:39 4:599; asks; over"),
    ("a remote is asked after its pause, as a doubtful one", "once", "1x1@990", "skips ; asks 1?"),
    ("a remote that did not fail is not skipped", "once", "1x0@1500 2", "skips ; asks 1 2"),
    ("a remote that was never asked is not skipped", "once", "1x3", "skips ; asks 1?"),
    ("a wrong clock skips longer", "once", "1x1@1500", "skips 1:510; over"),
    ("a time far in the future does no harm", "once", "1x1@9223372036854775807", "skips 1:9223372036854774807; over"),
    ("named remotes are not skipped", "named", "1x1@999 2", "skips ; asks 2 1?"),
    ("with --every no remote is skipped", "every 60", "1x1@999 2", "skips ; asks 2 1?"),
    ("all remotes may be skipped", "once", "1x1@999 2x1@999", "skips 1:9 2:9; asks; done 0/0; over"),
    // With --every.
    ("a remote is asked again after the interval", "every 60", "1", "asks 1; at 2; ok 1; at 61.9; asks; at 62; asks 1"),
    (
        "the interval begins when the remote is done",
        "every 60",
        "1",
        "asks 1; at 70; asks; ok 1; asks; at 129; asks; at 130; asks 1",
    ),
    (
        "each remote has its own interval",
        "every 60",
        "1 2",
        "asks 1 2; ok 1; at 10; ok 2; at 60; asks 1; at 69; asks; at 70; asks 2",
    ),
    ("a remote that failed waits for its pause", "every 1", "1", "asks 1; fails 1; at 9.9; asks; at 10; asks 1"),
    ("the next pause is longer", "every 1", "1x3", "asks 1?; fails 1; at 79; asks; at 80; asks 1?"),
    ("the longest pause", "every 1", "1x4000000000", "asks 1?; fails 1; at 599; asks; at 600; asks 1?"),
    ("an interval longer than the pause counts", "every 60", "1", "asks 1; fails 1; at 59; asks; at 60; asks 1"),
    ("a node that failed has no pause", "every 1", "1", "asks 1; parts 1; at 1; asks 1"),
    ("after a success there is no pause", "every 1", "1x5", "asks 1?; ok 1; at 1; has 1; asks 1"),
    ("the sync is never over", "every 60", "1", "asks 1; ok 1; waits 60; at 50; waits 10"),
    ("a sync without remotes waits for some", "every 60", "", "asks; waits 3600; has 1; asks 1"),
    // Remotes that are added and removed meanwhile.
    ("an added remote is asked at once", "every 60", "1", "asks 1; has 1 2; asks 2"),
    ("a removed remote is not asked again", "every 1", "1 2", "asks 1 2; ok 1; ok 2; has 2; at 9; asks 2"),
    ("a removed remote that is asked may end", "every 1", "1 2", "asks 1 2; has 2; takes 1; ok 1; late 1"),
    (
        "a removed remote that is asked holds its connection",
        "every 1",
        "1 2 3 4",
        "asks 1 2 3 4; has 5; asks; ok 1; asks 5",
    ),
    (
        "a remote that is removed and added keeps its interval",
        "every 60",
        "1",
        "asks 1; ok 1; has ; asks; has 1; asks; at 60; asks 1",
    ),
    ("a remote with new failures is a doubtful one", "every 1", "1", "asks 1; fails 1; has 1x1; at 10; asks 1?"),
    ("the order is that of the newest list", "every 1", "1 2", "asks 1 2; ok 1; ok 2; has 2 1; at 1; asks 2 1"),
    // An error of the database.
    ("a remote that cannot be read is put off", "every 60", "1 2", "off 1; asks 2; at 59; asks; at 60; asks 1"),
    (
        "a remote is put off for a step at least",
        "every 0.01",
        "1",
        "off 1; asks; at 0.1; asks; waits 0.1; at 0.2; asks 1",
    ),
    ("a remote that is put off leaves its connection to others", "every 9", "1 2 3 4 5", "off 1; asks 2 3 4 5"),
    ("a doubtful remote that is put off makes room", "every 9", "1x1 2x1 3x1", "off 1; asks 2? 3?"),
    ("a remote that is put off keeps its progress", "every 1", "1", "asks 1; silent 1 b; off 1; at 1; asks 1?:b"),
    ("a remote that is put off is not done", "every 1", "1", "off 1; done 0/1; late 1"),
    (
        "responses of remotes that are asked are stored",
        "once",
        "1 2",
        "drops 1; asks 1 2; takes 1; takes 2; ok 1; drops 1; takes 2",
    ),
    ("responses after one that was not stored are dropped", "every 1", "1 2", "asks 1 2; unstored 1; drops 1; takes 2"),
    (
        "a remote whose response was not stored has failed",
        "every 1",
        "1",
        "asks 1; unstored 1; ok 1; at 9.9; asks; at 10; asks 1",
    ),
    (
        "a silent remote whose response was not stored has failed",
        "every 1",
        "1",
        "asks 1; unstored 1; gives up 1; at 9.9; asks; at 10; asks 1",
    ),
    (
        "after a response that was not stored, those of the next request are",
        "every 1",
        "1",
        "asks 1; unstored 1; fails 1; at 10; asks 1; takes 1",
    ),
    ("no response of a silent remote is stored", "once", "1", "asks 1; silent 1 b; drops 1; asks 1?:b; takes 1"),
    // When to wake up.
    (
        "the schedule wakes up for the first remote that is due",
        "every 60",
        "1 2",
        "asks 1 2; ok 1; at 10; ok 2; waits 50; at 60; asks 1; waits 10",
    ),
    (
        "the schedule wakes up for a remote that was put off",
        "every 60",
        "1 2",
        "asks 1 2; ok 1; at 1; ok 2; at 60; off 1; waits 1",
    ),
    (
        "the schedule does not wake up for a remote that is asked",
        "every 60",
        "1 2",
        "asks 1 2; ok 1; at 60; asks 1; waits 3600",
    ),
    ("the schedule does not wake up too often", "every 0.001", "1", "asks 1; ok 1; waits 0.01"),
    (
        "the schedule does not wake up for a doubtful remote that the limit holds back",
        "every 1",
        "1x1 2x1 3x1",
        "asks 1? 2?; ok 1; asks 3?; at 9; asks; waits 3600; ok 2; asks 1?; waits 1",
    ),
    (
        "the schedule does not wake up for a remote that waits for a connection",
        "every 1",
        "1 2 3 4 5",
        "asks 1 2 3 4; ok 1; asks 5; at 9; asks; waits 3600; ok 2; asks 1",
    ),
    ("the schedule sleeps while all remotes are asked", "every 60", "1 2", "asks 1 2; waits 3600"),
    ("the schedule wakes up to show the progress", "once", "1", "asks 1; waits 0.2"),
];

#[test]
fn the_schedule_follows_the_table() {
    let mut wrong = vec![];
    for (name, mode, chosen, script) in SITUATIONS {
        let schedule = SyncScheduler::new(rules(mode), remotes(chosen), WALL);
        let mut run = Script { schedule, now: Duration::from_secs(5000) };
        for (n, step) in script.split("; ").enumerate() {
            if let Err(found) = run.step(step.trim_end()) {
                wrong.push(format!("{name}: step {} ({step}): {found}", n + 1));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let mut names: Vec<&str> = SITUATIONS.iter().map(|row| row.0).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each situation has its own name");
}

#[test]
fn the_limits_are_those_of_the_documentation() {
    let SyncRules { every, named, connections, doubtful, quiet, step } = SyncRules::default();
    assert_eq!((every, named, connections, doubtful), (None, false, 20, 5));
    assert_eq!((quiet.as_millis(), step.as_millis()), (5000, 200));
}

/// What happens next.
#[derive(Clone, Debug)]
enum Happening {
    /// Time passes, in milliseconds.
    Pass(u64),
    /// One of the remotes that are asked ends, and how.
    End(usize, u8),
    /// A response of one of the remotes that are asked could not be stored.
    Unstored(usize),
    /// The next remote cannot be read.
    PutOff,
    /// The remotes are these now, each with its failures.
    Remotes(Vec<(i64, u32)>),
}

fn some_remotes() -> impl Strategy<Value = Vec<(i64, u32)>> {
    proptest::collection::btree_map(0..12_i64, 0..3_u32, 0..12).prop_map(|remotes| remotes.into_iter().collect())
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..20_000_u64).prop_map(Happening::Pass),
        (any::<usize>(), 0..4_u8).prop_map(|(which, how)| Happening::End(which, how)),
        any::<usize>().prop_map(Happening::Unstored),
        Just(Happening::PutOff),
        some_remotes().prop_map(Happening::Remotes),
    ]
}

fn states(remotes: &[(i64, u32)]) -> Vec<RemoteState> {
    let state =
        |&(id, failures): &(i64, u32)| RemoteState { id, failures, tried: Some(WALL - i64::from(failures) * 15) };
    remotes.iter().map(state).collect()
}

/// A schedule, and what a caller sees of it.
struct Caller {
    schedule: SyncScheduler<u32>,
    rules: SyncRules,
    chosen: HashSet<i64>,
    /// The remotes that are asked, and whether as doubtful ones.
    asked: Vec<(i64, bool)>,
    /// The progress with the silent ones.
    begun: HashMap<i64, u32>,
    /// How often each remote was reported.
    reported: HashMap<i64, u32>,
    now: Duration,
    count: u32,
}

impl Caller {
    fn new(mode: &str, remotes: &[(i64, u32)]) -> Caller {
        let rules = rules(mode);
        Caller {
            schedule: SyncScheduler::new(rules.clone(), states(remotes), WALL),
            rules,
            chosen: remotes.iter().map(|(id, _)| *id).collect(),
            asked: vec![],
            begun: HashMap::new(),
            reported: HashMap::new(),
            now: Duration::from_secs(5000),
            count: 0,
        }
    }

    /// Asks all that are to be asked, and checks the limits.
    fn ask_all(&mut self) {
        while let Some(ask) = self.schedule.ask_next(self.now) {
            assert!(self.chosen.contains(&ask.id), "a remote that was not chosen: {ask:?}");
            assert!(self.asked.iter().all(|(id, _)| *id != ask.id), "asked twice at once: {ask:?}");
            assert_eq!(ask.begun, self.begun.remove(&ask.id), "its own progress, once");
            assert!(ask.begun.is_none() || ask.doubtful, "a silent one is a doubtful one");
            self.asked.push((ask.id, ask.doubtful));
            assert!(self.asked.len() <= self.rules.connections, "{:?}", self.asked);
            let doubtful = self.asked.iter().filter(|(_, doubtful)| *doubtful).count();
            assert!(doubtful <= self.rules.doubtful, "{:?}", self.asked);
        }
    }

    fn end(&mut self, which: usize, how: u8) {
        if self.asked.is_empty() {
            return;
        }
        let (id, _) = self.asked.swap_remove(which % self.asked.len());
        self.count += 1;
        let end = match how {
            0 => AskEnd::Done { whole: true },
            1 => AskEnd::Done { whole: false },
            2 => AskEnd::Failed,
            _ => AskEnd::Silent(self.count),
        };
        let is_stored = self.schedule.takes(id);
        let followup = self.schedule.ended(id, end, self.now);
        if how == 3 && is_stored {
            assert_eq!(followup, Followup::AskAgain);
            self.begun.insert(id, self.count);
        } else {
            assert_eq!(followup, Followup::Report);
            *self.reported.entry(id).or_default() += 1;
        }
        assert_eq!(self.schedule.ended(id, AskEnd::Failed, self.now), Followup::Nothing);
    }

    fn meet(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(ms) => self.now += Duration::from_millis(*ms),
            Happening::End(which, how) => self.end(*which, *how),
            Happening::Unstored(which) => {
                if let Some((id, _)) = self.asked.get(which % self.asked.len().max(1)) {
                    self.schedule.not_stored(*id);
                }
            }
            // Without --every, an error of the database ends the sync.
            Happening::PutOff if self.rules.every.is_some() => {
                if let Some(ask) = self.schedule.ask_next(self.now) {
                    self.schedule.put_off(ask, self.now);
                }
            }
            Happening::Remotes(remotes) if self.rules.every.is_some() => {
                self.schedule.replace(states(remotes));
                self.chosen = remotes.iter().map(|(id, _)| *id).collect();
            }
            Happening::PutOff | Happening::Remotes(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn the_limits_hold_whatever_happens(
        mode in prop_oneof![Just("once"), Just("named"), Just("every 0.05"), Just("every 7")],
        remotes in some_remotes(),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut caller = Caller::new(mode, &remotes);
        for happening in &happenings {
            caller.meet(happening);
            caller.ask_all();
        }
    }

    #[test]
    fn without_every_each_remote_is_asked_to_its_end_once(
        mode in prop_oneof![Just("once"), Just("named")],
        remotes in some_remotes(),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut caller = Caller::new(mode, &remotes);
        let skipped: HashSet<i64> = caller.schedule.skipped().iter().map(|skipped| skipped.id).collect();
        caller.ask_all();
        for happening in &happenings {
            caller.meet(happening);
            caller.ask_all();
        }
        while caller.schedule.wait(caller.now).is_some() {
            prop_assert!(!caller.asked.is_empty(), "waits for a remote that is not asked");
            caller.end(0, 0);
            caller.ask_all();
        }
        prop_assert!(caller.asked.is_empty() && caller.begun.is_empty());
        let expected: HashMap<i64, u32> =
            remotes.iter().filter(|(id, _)| !skipped.contains(id)).map(|(id, _)| (*id, 1)).collect();
        prop_assert_eq!(caller.reported, expected);
    }

    #[test]
    fn with_every_each_remote_is_asked_again(
        remotes in some_remotes(),
        happenings in proptest::collection::vec(happening(), 0..60),
    ) {
        let mut caller = Caller::new("every 7", &remotes);
        caller.ask_all();
        for happening in &happenings {
            caller.meet(happening);
            caller.ask_all();
        }
        caller.reported.clear();
        // As long as the longest pause, a round per step.
        for _ in 0..100 {
            while !caller.asked.is_empty() {
                caller.end(0, 0);
                caller.ask_all();
            }
            let wait = caller.schedule.wait(caller.now).unwrap();
            prop_assert!(wait <= IDLE);
            caller.now += wait;
            caller.ask_all();
        }
        for id in &caller.chosen {
            prop_assert!(caller.reported.contains_key(id), "remote {} was not asked", id);
        }
    }
}
