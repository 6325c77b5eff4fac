//! `control export`: a follower of a database gets every end once in each state, however late it was recorded.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test, as the test itself does")]

use std::{collections::BTreeMap, fs, path::Path};

use crate::support::{World, until};
use serde_json::Value;
use taskwatcher::model::{
    export::ExportLine,
    task::{End, Outcome, Timestamp},
};

/// A response: `anew` of its first line, the running tasks, the ended tasks, the cursor, and whether there is more.
struct Answer {
    anew: bool,
    running: Vec<Value>,
    ended: Vec<Value>,
    cursor: String,
    more: bool,
}

impl Answer {
    fn ids(&self) -> Vec<i64> {
        self.ended.iter().map(|task| task["id"].as_i64().unwrap()).collect()
    }
}

#[track_caller]
fn export(world: &World, args: &[&str]) -> Answer {
    let ran = world.control(["export"].iter().chain(args)).run().silent(0);
    let mut lines: Vec<ExportLine> = ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ExportLine::Start { version: 1, anew, database, .. } = lines.remove(0) else {
        panic!("no start: {}", ran.text())
    };
    let Some(ExportLine::End { cursor, more, running: live, ended: count }) = lines.pop() else { panic!("no end") };
    assert!(cursor.starts_with(&format!("{database}.")), "{cursor}");
    let (mut running, mut ended) = (vec![], vec![]);
    for line in lines {
        match line {
            ExportLine::Running { task } => running.push(task),
            ExportLine::Ended { task } => ended.push(task),
            other => panic!("{other:?} in the middle"),
        }
    }
    assert_eq!((running.len() as u64, ended.len() as u64), (live, count));
    Answer { anew, running, ended, cursor, more }
}

#[test]
fn a_cursor_gives_what_ended_since_and_all_that_runs() {
    let world = World::new();
    world.launch(["--name", "one", "true"]).run().silent(0);
    world.launch(["--name", "two", "sh", "-c", "exit 3"]).run().silent(3);
    let (started, id) = world.launched(["--name", "long", "sleep", "60"]);
    let first = export(&world, &[]);
    assert_eq!((first.anew, first.more, first.ids()), (false, false, vec![1, 2]));
    let row = world.json(&["show", "2"]);
    for key in ["taskid", "taskname", "outcome", "upid", "argv", "exitcode", "starttime", "endtime", "user"] {
        assert_eq!(first.ended[1][key], row[key], "{key}");
    }
    assert_eq!((first.running[0]["taskid"].as_i64(), &first.running[0]["name"]), (Some(id), &"long".into()));
    let second = export(&world, &["--since", &first.cursor]);
    assert_eq!((second.anew, second.ids(), second.running.len()), (false, vec![], 1));
    assert_eq!(second.cursor, first.cursor);
    world.control(["kill", &id.to_string()]).run().ok();
    drop(started);
    let third = export(&world, &["--since", &second.cursor]);
    assert_eq!((third.ids(), third.running.len()), (vec![id], 0));
    assert!(third.ended[0]["outcome"].as_str().unwrap().starts_with("ERROR: killed by"));
}

#[test]
fn several_responses_have_no_gaps_and_no_duplicates() {
    let world = World::new();
    world.sh("for i in 1 2 3 4 5 6 7; do \"$LAUNCH\" true; done").run().silent(0);
    let mut seen = vec![];
    let mut answer = export(&world, &["--limit", "3"]);
    let mut answers = 1;
    loop {
        seen.extend(answer.ids());
        if !answer.more {
            break;
        }
        answer = export(&world, &["--limit=3", "--since", &answer.cursor]);
        answers += 1;
    }
    assert_eq!((answers, seen), (3, (1..=7).collect::<Vec<i64>>()));
    // A full last response reports that it is the last one.
    assert!(!export(&world, &["--limit", "7"]).more);
}

#[test]
fn a_late_recorded_end_is_new_although_the_task_ended_long_ago() {
    let world = World::new();
    let lost = world.lost(&["--name", "lost"]);
    world.launch(["true"]).run().silent(0);
    world.edit(&format!("UPDATE tasks SET starttime = 1000, lastupdate = 1000 WHERE id = {lost}"));
    let first = export(&world, &[]);
    assert_eq!(first.ids(), [lost, 2], "the lost one is settled by the export itself");
    // The launcher was not dead, and records the true end.
    let upid = first.ended[0]["upid"].as_str().unwrap().to_owned();
    let end = End::new(&Outcome::Ok, Timestamp(1_001_000_000_000), None);
    assert!(world.store().finish(lost, &upid, &end).unwrap());
    let second = export(&world, &["--since", &first.cursor]);
    assert_eq!(second.ids(), [lost]);
    assert_eq!(second.ended[0]["outcome"], "OK");
    assert_eq!(export(&world, &["--since", &second.cursor]).ids(), [0; 0]);
    assert_eq!(export(&world, &[]).ids(), [lost, 2]);
}

#[test]
fn a_cursor_outlives_the_rows_before_it() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    world.launch(["true"]).run().silent(0);
    let first = export(&world, &[]);
    world.control(["clear"]).run().ok();
    let empty = export(&world, &["--since", &first.cursor]);
    assert_eq!((empty.anew, empty.ids()), (false, vec![]));
    world.launch(["true"]).run().silent(0);
    assert_eq!(export(&world, &["--since", &first.cursor]).ids(), [3]);
    assert_eq!(export(&world, &["--since", &empty.cursor]).ids(), [3]);
}

#[test]
fn another_database_starts_from_the_beginning() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let first = export(&world, &[]);
    // An older state of the same database: a plain copy that was restored.
    let copy = world.path("plain.db");
    world.edit("PRAGMA wal_checkpoint(TRUNCATE)");
    fs::copy(world.db(), &copy).unwrap();
    world.control(["backup", "copy.db"]).run().ok();
    world.launch(["true"]).run().silent(0);
    let second = export(&world, &["--since", &first.cursor]);
    let plain = export(&world, &["--db", copy.to_str().unwrap(), "--since", &second.cursor]);
    assert_eq!((plain.anew, plain.ids()), (true, vec![1]));
    // A copy made by `backup` is another database from the start.
    let backup = export(&world, &["--db", "copy.db", "--since", &first.cursor]);
    assert_eq!((backup.anew, backup.ids()), (true, vec![1]));
    assert_eq!(export(&world, &["--db", "copy.db", "--since", &backup.cursor]).ids(), [0; 0]);
    world.control(["initialize", "--force"]).run().ok();
    world.launch(["true"]).run().silent(0);
    let third = export(&world, &["--since", &second.cursor]);
    assert_eq!((third.anew, third.ids()), (true, vec![3]));
}

#[test]
fn older_databases_are_exported_whole() {
    for (data, ended) in [("v1.db", 5), ("v2.db", 5), ("v3.db", 5), ("v1_7.db", 7)] {
        let world = World::new();
        fs::copy(Path::new("tests/data").join(data), world.db()).unwrap();
        let first = export(&world, &[]);
        assert_eq!(first.ended.len(), ended, "{data}");
        world.launch(["true"]).run().silent(0);
        assert_eq!(export(&world, &["--since", &first.cursor]).ids(), [world.last().int("id")], "{data}");
    }
}

#[test]
fn a_long_task_that_ends_after_thousands_of_others_is_not_lost() {
    let world = World::new();
    let (_started, long) = world.launched(["--name", "long", "sleep", "60"]);
    // Every second task stays reserved: more spans than a cursor can have.
    world.edit(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
         INSERT INTO tasks (id, name, status, handle, reservetime, expires)
         SELECT i, 'x', 'RESERVED', 'h' || i, 1, 9999999999 FROM n WHERE i % 2 = 0",
    );
    world.edit(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10001)
         INSERT INTO history (id, taskid, endtime, outcome, result) SELECT i, i, 5, 'OK', 'ok' FROM n WHERE i % 2 = 1",
    );
    let first = export(&world, &[]);
    assert_eq!((first.running.len(), first.ended.len()), (5001, 5000));
    assert!(first.cursor.len() < 40_000);
    let again = export(&world, &["--since", &first.cursor]);
    assert!(again.ended.len() <= 3_001, "no more comes again than the cursor had to leave out: {}", again.ended.len());
    world.control(["kill", &long.to_string(), "400"]).run().ok();
    let last = export(&world, &["--limit", "7", "--since", &again.cursor]);
    assert!(!last.more && last.ids().contains(&long) && last.ids().contains(&400), "{:?}", last.ids());
    assert!(!export(&world, &["--since", &last.cursor]).ids().contains(&long));
}

#[test]
fn a_database_without_its_unique_id_reports_that_and_gets_a_new_one() {
    let world = World::new();
    world.launch(["true"]).run().silent(0);
    let first = export(&world, &[]);
    world.edit("DELETE FROM sqlite_sequence");
    world.control(["export"]).run().says(1, &["cannot export database", "control verify --repair"]);
    let ran = world.control(["verify"]).run();
    assert!(ran.code == 1 && ran.text().contains("3 rows of sqlite_sequence are lost"), "{}", ran.text());
    world.control(["verify", "--repair"]).run().ok();
    world.control(["verify"]).run().ok();
    let second = export(&world, &["--since", &first.cursor]);
    assert_eq!((second.anew, second.ids()), (true, vec![1]));
    world.launch(["true"]).run().silent(0);
    assert_eq!(export(&world, &["--since", &second.cursor]).ids(), [2]);
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let world = World::new();
    world.control(["export"]).run().says(3, &["no database"]);
    world.reserved(&[]);
    for cursor in ["", "1", "0123456789abcdef.1.x", "1795309450.5"] {
        let ran = world.control(["export", &format!("--since={cursor}")]).run();
        assert_eq!(ran.code, 2, "{cursor}: {}", ran.err);
        assert!(ran.err.contains("cursor"), "{}", ran.err);
    }
    assert_eq!(world.control(["export", "--limit", "0"]).run().code, 2);
}

#[test]
fn a_follower_during_eight_parallel_launches_gets_every_end_once() {
    let world = World::new();
    world.reserved(&["--expire", "1h"]);
    let script =
        "for w in 1 2 3 4 5 6 7 8; do (for i in 1 2 3 4 5 6; do \"$LAUNCH\" --name $w true; done) & done; wait";
    let mut launching = world.sh(script).spawn();
    let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
    let mut cursor: Option<String> = None;
    let mut follow = |last: bool| {
        let since = cursor.clone();
        let args: Vec<&str> = since.as_deref().map_or(vec![], |cursor| vec!["--since", cursor]);
        let answer = export(&world, &[&["--limit", "5"], args.as_slice()].concat());
        // A task that has ended for the follower is never listed as running again.
        assert!(answer.running.iter().all(|task| !seen.contains_key(&task["taskid"].as_i64().unwrap())));
        answer.ids().into_iter().for_each(|id| *seen.entry(id).or_default() += 1);
        cursor = Some(answer.cursor);
        last && !answer.more
    };
    until("the launchers to end", || {
        follow(false);
        launching.has_ended()
    });
    until("the last answer", || follow(true));
    assert_eq!((seen.len(), seen.values().all(|&times| times == 1)), (48, true), "{seen:?}");
}
