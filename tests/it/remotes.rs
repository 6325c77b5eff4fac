//! Tasks of other hosts: how they are stored, and listed with local tasks.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    collections::BTreeSet,
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
    thread,
    time::Duration,
};

use crate::support::World;
use proptest::prelude::*;
use taskwatcher::{
    io::store::{Batch, Listed, LockTimeout, Store},
    model::{
        query::{Filter, ListPosition, StartQuery},
        remote::{More, RemoteEnd, RemoteRun, Source},
        task::{Class, Outcome, Stored},
        upid::Upid,
    },
};

fn ssh(host: &str) -> Source {
    Source::Ssh { host: host.to_owned(), db: None }
}

fn remote(store: &mut Store, name: &str) -> i64 {
    assert!(store.add_remote(name, &ssh(name)).unwrap());
    store.remotes().unwrap().into_iter().find(|remote| remote.name == name).unwrap().id
}

fn end(upid: &str, took: i64, outcome: Outcome) -> RemoteEnd {
    let upid: Upid = upid.parse().unwrap();
    RemoteEnd { endtime: upid.starttime.saturating_add(took), upid, outcome, more: More::default() }
}

fn batch(ended: Vec<RemoteEnd>) -> Batch {
    Batch { ended, now: 2_000_000_000, ..Batch::default() }
}

fn all() -> StartQuery {
    StartQuery {
        filter: Filter::default(),
        remote: None,
        node: None,
        kind: None,
        limit: 1_000_000,
        after: None,
        offset: 0,
        reverse: false,
    }
}

/// Returns the listed values of a row: its remote, its UPID (for local tasks the number), its end and its outcome.
fn shown(row: &Listed) -> (String, String, i64, Outcome) {
    match row {
        Listed::Local(row) => (String::new(), row.id.to_string(), row.endtime, Outcome::Ok),
        Listed::Remote(task) => (task.remote.to_string(), task.upid.to_string(), task.endtime, task.outcome.clone()),
    }
}

fn listed(store: &Store, query: &StartQuery) -> Vec<(String, String, i64, Outcome)> {
    store.page_by_start(query).unwrap().rows.iter().map(shown).collect()
}

/// UPIDs of all kinds: of PVE, PBS and taskwatcher, and malformed ones.
fn upids() -> impl Strategy<Value = String> {
    let hex = |max: u64| (0..max).prop_map(|n| format!("{n:08X}"));
    let odd = prop_oneof![
        Just("0000abcd".to_owned()),
        Just("000000000000000F".to_owned()),
        any::<u64>().prop_map(|n| format!("{n:08X}"))
    ];
    let pid = prop_oneof![4 => hex(1 << 22), 1 => hex(1 << 32), 1 => Just("003FFFFF".to_owned()), 1 => Just("00400000".to_owned())];
    let pstart = prop_oneof![4 => hex(1 << 30), 1 => odd];
    let start = prop_oneof![
        8 => (1_700_000_000u64..1_700_000_900).prop_map(|n| format!("{n:08X}")),
        1 => (0..i64::MAX as u64).prop_map(|n| format!("{n:08X}"))
    ];
    let counter = prop_oneof![3 => Just(String::new()), 1 => any::<u64>().prop_map(|n| format!("{n:08X}:"))];
    let id = prop_oneof![
        3 => (0u32..2000).prop_map(|n| n.to_string()),
        1 => Just(String::new()),
        1 => Just("007".to_owned()),
        1 => "[a-z0-9\\\\/%'\"-]{1,12}"
    ];
    let user = prop_oneof![Just("root@pam"), Just("a@pve!token"), Just("\u{e9}\u{202e}@x")];
    let comment = prop_oneof![9 => Just(""), 1 => Just("a comment")];
    let node = prop_oneof![Just("a"), Just("b"), Just("node-1.x")];
    let kind = prop_oneof![Just("vzdump"), Just("qmstart"), Just("x")];
    (node, pid, pstart, counter, start, kind, id, user, comment).prop_map(
        |(node, pid, pstart, counter, start, kind, id, user, comment)| {
            format!("UPID:{node}:{pid}:{pstart}:{counter}{start}:{kind}:{id}:{user}:{comment}")
        },
    )
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Ok),
        1 => (0u64..99).prop_map(Outcome::Warnings),
        1 => prop_oneof![Just(String::new()), Just("job errors".to_owned()), ".{0,30}"].prop_map(Outcome::Error),
        1 => Just(Outcome::Unknown("why".into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// In any batches, in any order and with any repetitions, each task is stored once, byte for byte.
    #[test]
    fn every_upid_comes_back_once(
        tasks in proptest::collection::vec((upids(), 0..5_000i64, outcomes(), 0..2usize), 1..60),
        order in proptest::collection::vec(0..60usize, 0..150),
        size in 1..30usize,
    ) {
        let world = World::new();
        let mut store = world.store();
        let remotes = [remote(&mut store, "one"), remote(&mut store, "two")];
        let mut ends: Vec<(usize, RemoteEnd)> = vec![];
        let mut seen = BTreeSet::new();
        for (upid, took, outcome, of) in &tasks {
            if seen.insert((upid, of)) {
                ends.push((*of, end(upid, *took, outcome.clone())));
            }
        }
        let order: Vec<usize> = order.into_iter().filter(|at| *at < ends.len()).chain(0..ends.len()).collect();
        for some in order.chunks(size) {
            for (which, id) in remotes.iter().enumerate() {
                let mine = some.iter().map(|at| &ends[*at]).filter(|(of, _)| *of == which);
                store.add_remote_tasks(*id, &batch(mine.map(|(_, end)| end.clone()).collect())).unwrap();
            }
        }
        let mut wanted: Vec<_> = ends
            .iter()
            .map(|(of, end)| {
                (["one", "two"][*of].to_owned(), end.upid.to_string(), end.endtime, end.outcome.clone())
            })
            .collect();
        let fresh = world.store();
        let mut found = listed(&fresh, &all());
        prop_assert!(found.windows(2).all(|pair| start(&pair[0].1) >= start(&pair[1].1)));
        wanted.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        prop_assert_eq!(found, wanted);
        for (of, end) in &ends {
            let name = ["one", "two"][*of];
            let one = fresh.remote_ended(name, end.upid.as_str(), end.upid.starttime).unwrap();
            prop_assert_eq!(one.map(|task| task.upid.to_string()), Some(end.upid.to_string()));
        }
        world.is_whole();
    }
}

/// Returns the start of a task. Impossible times are sorted to the end.
fn start(upid: &str) -> i64 {
    upid.parse::<Upid>().unwrap().starttime.min((1 << 44) - 1)
}

/// Creates tasks of two remotes and local ones, many of them in the same seconds, some of them long.
fn crowd(world: &World) -> Vec<Listed> {
    let mut store = world.store();
    let remotes = [remote(&mut store, "one"), remote(&mut store, "two")];
    for (which, id) in remotes.iter().enumerate() {
        let ends = (0..150).map(|n: i64| {
            let start = 1_700_000_000 + (n * 7919 % 40) * 97;
            let outcome = if n % 5 == 0 { Outcome::Error(format!("exit code {}", n % 3)) } else { Outcome::Ok };
            let user = if n % 2 == 0 { "root" } else { "ann" };
            let kind = if n % 3 == 0 { "backup" } else { "start" };
            end(&format!("UPID:n{which}:{n:08X}:00000010:{start:08X}:{kind}:{n}:{user}@pam:"), n % 50, outcome)
        });
        store.add_remote_tasks(*id, &batch(ends.collect())).unwrap();
    }
    let mut sql = "UPDATE sqlite_sequence SET seq = 119 WHERE name = 'tasks';".to_owned();
    for n in 1i64..120 {
        let start = 1_700_000_000 + (n * 7907 % 40) * 97;
        let took = [0, 5, 599, 600, 601, 4_000][n as usize % 6];
        let start_of = if n % 11 == 0 { "NULL".to_owned() } else { start.to_string() };
        sql += &format!(
            "INSERT INTO history (id, taskid, taskname, starttime, endtime, outcome, result, user)
             VALUES ({n}, {n}, 'backup', {start_of}, {}, 'OK', 'ok', 'ann');",
            start + took
        );
    }
    world.edit(&sql);
    let page = store.page_by_start(&all()).unwrap();
    assert_eq!((page.rows.len(), page.next), (300 + 119, None));
    page.rows
}

#[test]
fn pages_and_offsets_give_the_same_list_for_any_page_size() {
    let world = World::new();
    let rows = crowd(&world);
    let store = world.store();
    let whole: Vec<_> = rows.iter().map(shown).collect();
    let places: Vec<ListPosition> = rows.iter().map(Listed::place).collect();
    assert!(places.windows(2).all(|pair| pair[0] > pair[1]), "in order, and no two have one place");
    for limit in [1, 7, 100, 500] {
        for reverse in [false, true] {
            let mut query = StartQuery { limit, reverse, ..all() };
            let mut found = vec![];
            loop {
                let page = store.page_by_start(&query).unwrap();
                found.extend(page.rows.iter().map(shown));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            if reverse {
                found.reverse();
            }
            assert!(found == whole, "{limit} {reverse}");
        }
    }
    for offset in [0, 1, 50, 299, 300, 418, 419, 1_000_000] {
        let found = listed(&store, &StartQuery { offset, limit: 9, ..all() });
        let from = (offset as usize).min(whole.len());
        assert_eq!(found, whole[from..(from + 9).min(whole.len())], "{offset}");
    }
}

#[test]
fn filters_apply_to_remote_and_local_tasks() {
    let world = World::new();
    let whole = crowd(&world);
    let store = world.store();
    let failed = |row: &Listed| matches!(row, Listed::Remote(task) if matches!(task.outcome, Outcome::Error(_)));
    let user = |row: &Listed| match row {
        Listed::Local(_) => "ann".to_owned(),
        Listed::Remote(task) => task.user.trim_end_matches("@pam").to_owned(),
    };
    let kind = |row: &Listed| match row {
        Listed::Local(_) => "backup".to_owned(),
        Listed::Remote(task) => task.kind.to_string(),
    };
    let of = |row: &Listed, name: &str| matches!(row, Listed::Remote(task) if *task.remote == *name);
    let check = |query: StartQuery, holds: &dyn Fn(&Listed) -> bool| {
        let wanted: Vec<_> = whole.iter().filter(|row| holds(row)).map(shown).collect();
        assert!(!wanted.is_empty());
        assert_eq!(listed(&store, &query), wanted, "{query:?}");
        let cut = StartQuery { offset: 3, limit: 5, ..query };
        assert_eq!(listed(&store, &cut), wanted[3..8.min(wanted.len())], "{cut:?}");
    };
    let filter = |filter: Filter| StartQuery { filter, ..all() };
    let errors = Filter { results: vec![Class::Error], ..Filter::default() };
    check(filter(errors.clone()), &failed);
    let of_ann = Filter { user: Some("ann".into()), ..Filter::default() };
    check(filter(of_ann.clone()), &|row| user(row) == "ann");
    check(filter(Filter { user: Some("ann".into()), ..errors }), &|row| failed(row) && user(row) == "ann");
    check(filter(Filter { name: Some("backup".into()), ..Filter::default() }), &|row| kind(row) == "backup");
    check(StartQuery { remote: Some("one".into()), ..all() }, &|row| of(row, "one"));
    check(StartQuery { node: Some("n1".into()), ..all() }, &|row| of(row, "two"));
    check(StartQuery { kind: Some("start".into()), ..all() }, &|row| {
        matches!(row, Listed::Remote(_)) && kind(row) == "start"
    });
    let span = Filter { since: Some(1_700_000_970), until: Some(1_700_001_940), ..Filter::default() };
    check(filter(span), &|row| (1_700_000_970..=1_700_001_940).contains(&row.place().start));
    let none = StartQuery { kind: Some("nothing".into()), ..all() };
    assert_eq!(listed(&store, &none), []);
}

#[test]
fn running_tasks_are_stored_separately_until_their_host_reports_an_end() {
    let world = World::new();
    let mut store = world.store();
    let id = remote(&mut store, "one");
    let upid = |n: i64| format!("UPID:n:{n:08X}:00000010:6553F100:backup:{n}:root@pam:");
    let run = |n: i64| RemoteRun { upid: Stored::read(&upid(n)), start: 0x6553_F100, detail: r#"{"name":"x"}"#.into() };
    let first = Batch { running: vec![run(1), run(2), run(3)], now: 100, ..Batch::default() };
    store.add_remote_tasks(id, &first).unwrap();
    let live = |store: &Store| -> Vec<(String, i64, bool)> {
        let live = store.remote_active(Some("one")).unwrap();
        live.into_iter().map(|live| (live.run.upid.to_string(), live.seen, live.stale)).collect()
    };
    assert_eq!(live(&store).len(), 3);
    assert_eq!(store.remote_active(Some("other")).unwrap(), []);
    store.remote_failed(id, "no route to host", 150).unwrap();
    assert!(live(&store).iter().all(|(_, seen, stale)| (*seen, *stale) == (100, true)), "not seen since, not ended");
    // A partial response says nothing about tasks that it does not contain.
    let part = Batch { running: vec![run(1)], now: 200, ..Batch::default() };
    store.add_remote_tasks(id, &part).unwrap();
    assert!(live(&store).iter().all(|(_, _, stale)| *stale), "a truncated response does not clear the error");
    store.add_remote_tasks(id, &Batch { well: true, ..part }).unwrap();
    assert_eq!(live(&store), [(upid(1), 200, false), (upid(2), 100, true), (upid(3), 100, true)], "each for itself");
    let ended = vec![end(&upid(2), 60, Outcome::Ok)];
    let whole = Batch { ended, running: vec![run(1), run(2)], whole: true, now: 300, ..Batch::default() };
    let added = store.add_remote_tasks(id, &whole).unwrap();
    assert_eq!((added.new, added.changed), (2, 0));
    assert_eq!(live(&store), [(upid(1), 300, false)]);
    let lost = listed(&store, &all());
    let why = "its host does not know of it any more".to_owned();
    assert!(lost.contains(&("one".into(), upid(3), 300, Outcome::Unknown(why))), "{lost:?}");
    // The true end arrives late and replaces the unknown one.
    let late = store.add_remote_tasks(id, &batch(vec![end(&upid(3), 9, Outcome::Warnings(2))])).unwrap();
    assert_eq!((late.new, late.changed), (0, 1));
    assert_eq!(store.remote_ended("one", &upid(3), 0x6553_F100).unwrap().unwrap().outcome, Outcome::Warnings(2));
}

#[test]
fn removing_a_remote_removes_only_its_own_tasks() {
    let world = World::new();
    let whole = crowd(&world);
    let mut store = world.store();
    assert_eq!(store.remove_remote("nobody").unwrap(), None);
    assert_eq!(store.remove_remote("one").unwrap(), Some(150));
    let left: Vec<_> = whole.iter().map(shown).filter(|(remote, ..)| remote != "one").collect();
    assert_eq!(listed(&store, &all()), left);
    let far = StartQuery { offset: 200, ..all() };
    assert_eq!(listed(&store, &far), left[200..], "the counts agree");
    remote(&mut store, "one");
    assert_eq!(listed(&store, &all()), left, "a new one of the name begins with nothing");
    world.is_whole();
}

#[test]
fn old_tasks_are_removed_by_age_and_by_number() {
    let world = World::new();
    let whole = crowd(&world);
    let mut store = world.store();
    let others: Vec<_> = whole.iter().filter(|row| matches!(row, Listed::Remote(_))).collect();
    assert_eq!(store.forget_remote_tasks(None, None).unwrap(), 0);
    assert_eq!(store.forget_remote_tasks(Some(0), Some(300)).unwrap(), 0);
    let left = |store: &Store| -> Vec<_> {
        let rows = store.page_by_start(&all()).unwrap().rows;
        rows.iter().filter(|row| matches!(row, Listed::Remote(_))).map(shown).collect()
    };
    assert_eq!(store.forget_remote_tasks(None, Some(250)).unwrap(), 50);
    assert_eq!(left(&store), others[..250].iter().map(|row| shown(row)).collect::<Vec<_>>());
    let start = others[100].place().start;
    let old = others[..250].iter().filter(|row| row.place().start < start).count() as u64;
    assert_eq!(store.forget_remote_tasks(Some(start), Some(1_000)).unwrap(), old);
    let far = StartQuery { offset: 90, ..all() };
    assert_eq!(listed(&store, &far)[..], listed(&store, &all())[90..], "the counts agree");
    assert_eq!(store.forget_remote_tasks(None, Some(0)).unwrap(), 250 - old);
    assert_eq!(left(&store), []);
    assert_eq!(listed(&store, &all()).len(), 119, "our own stay");
    world.is_whole();
}

/// No times are measured, because the machine may be busy: a reader with a lock timeout of zero is never refused, and
/// reads whole pages while a write is in progress.
#[test]
fn readers_never_wait_for_a_sync() {
    let world = World::new();
    let id = remote(&mut world.store(), "one");
    // Odd during a write.
    let (writes, inside) = (AtomicU64::new(0), [AtomicU64::new(0), AtomicU64::new(0)]);
    let enough = || inside.iter().all(|reads| reads.load(Relaxed) >= 20);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // The reader must end even if this thread panics.
            let _over = Over(&over);
            let mut store = world.store();
            let write = |work: &mut dyn FnMut()| {
                writes.fetch_add(1, SeqCst);
                work();
                writes.fetch_add(1, SeqCst);
            };
            // Some several times, because a reader may have slept.
            for round in (0..300i64).take_while(|_| !enough()) {
                let ends = (0..5_000i64).map(|n| {
                    let start = 1_700_000_000 + (round * 5_000 + n) * 7_919 % 86_400;
                    let number = round * 5_000 + n;
                    end(&format!("UPID:n:{number:08X}:00000010:{start:08X}:backup:{n}:root@pam:"), 9, Outcome::Ok)
                });
                let batch = batch(ends.collect());
                write(&mut || assert_eq!(store.add_remote_tasks(id, &batch).unwrap().new, 5_000));
                store.checkpoint().unwrap();
                write(&mut || {
                    store.forget_remote_tasks(None, Some(10_000)).unwrap();
                });
            }
        });
        let store = Store::open(&world.db(), LockTimeout { limit: Duration::ZERO, ..LockTimeout::USUAL }).unwrap();
        while !over.load(SeqCst) {
            for offset in [0, 4_000] {
                let before = writes.load(SeqCst);
                let page = store.page_by_start(&StartQuery { offset, limit: 500, ..all() }).unwrap();
                let places: Vec<ListPosition> = page.rows.iter().map(Listed::place).collect();
                assert!(places.windows(2).all(|pair| pair[0] > pair[1]));
                if before % 2 == 1 && writes.load(SeqCst) == before && !places.is_empty() {
                    // Every second write deletes.
                    inside[usize::from(before % 4 == 3)].fetch_add(1, Relaxed);
                }
            }
        }
        drop(store);
    });
    assert!(enough(), "{inside:?} pages were read while something was added, and while something was forgotten");
    world.is_whole();
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn an_older_list_does_not_make_an_ended_task_run_again() {
    let world = World::new();
    let mut store = world.store();
    let (one, two) = (remote(&mut store, "one"), remote(&mut store, "two"));
    let upid = "UPID:n:00000001:00000002:674D828C:vzdump:1:root@pam:";
    let run = || RemoteRun { upid: Stored::read(upid), start: 0x674D_828C, detail: "{}".to_owned() };
    let running = || Batch { running: vec![run()], now: 2_000_000_000, ..Batch::default() };
    let mut tell = |remote: i64, batch: Batch| {
        store.add_remote_tasks(remote, &batch).unwrap();
        store.remote_active(None).unwrap().iter().map(|live| live.remote.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(tell(one, running()), ["one"]);
    assert_eq!(tell(one, running()), ["one"]);
    let waited = Batch { aside: true, ..batch(vec![end(upid, 5, Outcome::Ok)]) };
    assert_eq!(tell(one, waited), [""; 0]);
    assert_eq!(tell(one, running()), [""; 0], "it has ended");
    assert_eq!(tell(two, running()), ["two"], "one of another remote");
    // The host forgot the task and knows it again.
    let whole = Batch { whole: true, now: 2_000_000_000, ..Batch::default() };
    assert_eq!(tell(two, whole), [""; 0]);
    assert_eq!(tell(two, running()), ["two"]);
}
