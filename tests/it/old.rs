//! Databases of older versions can be opened, with all of their content.
//!
//! `data/v1_7.db` was written by taskwatcher 1.7 (created with `data/make_v1_7`): five ended runs of one "task 1", a
//! running task 1 and a reserved task 2. `data/v1.db` to `data/v4.db` have the earlier schemas of this project. Each
//! released schema gets a file here, which never changes.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{fs, path::Path};

use crate::support::{World, desk::mode};
use serde_json::json;

fn world(data: &str) -> World {
    let world = World::new();
    fs::copy(Path::new("tests/data").join(data), world.db()).unwrap();
    world
}

#[test]
fn the_history_of_1_7_is_intact() {
    let world = world("v1_7.db");
    let before = world.query(
        "SELECT id, taskid, taskname, info1, info2, info3, starttime, endtime, duration FROM history ORDER BY id",
    );
    let page = world.json(&["history", "--reverse"]);
    let rows = page["rows"].as_array().unwrap();
    // The sixth and seventh rows are the tasks that were live.
    assert_eq!((rows.len(), &page["next"]), (7, &json!(null)));
    for (row, was) in rows.iter().zip(&before) {
        assert_eq!((row["id"].as_i64(), row["taskid"].as_i64()), (Some(was.int("id")), Some(1)));
        assert_eq!(row["taskname"], was.text("taskname"));
        assert_eq!((row["info1"].as_str(), row["info2"].as_str()), (Some(was.text("info1")), Some("ünïcode")));
        assert_eq!(row["info3"], json!(null));
        assert_eq!(row["starttime"], was.int("starttime"));
        assert_eq!(row["endtime"], was.int("endtime"));
        assert_eq!(row["duration"], was.real("duration"));
        assert_eq!(row["feedback"], json!(null), "a filler of 1.7");
    }
    let said = |key: &str| rows.iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(said("outcome")[..5], ["OK", "ERROR: exit code 3", "ERROR: killed by SIGKILL", "OK", "OK"]);
    assert_eq!(said("exitcode")[..5], [json!(0), json!(3), json!(137), json!(0), json!(0)]);
    assert_eq!(said("termsignal")[..3], [json!(null), json!(null), json!("SIGKILL")]);
    assert_eq!(mode(&world.db()), 0o600, "1.7 left it readable");
}

#[test]
fn running_tasks_of_1_7_become_unknown_and_reservations_expire() {
    let world = world("v1_7.db");
    let running = world.query("SELECT lastupdate, name FROM tasks WHERE id = 1").remove(0);
    assert_eq!(world.json(&["list"]), json!([]));
    let shown = world.json(&["show", "1"]);
    assert_eq!(shown["taskname"], "talker", "of six tasks 1 the newest");
    assert_eq!((&shown["outcome"], &shown["termerror"]), (&json!("unknown"), &json!("launcher lost")));
    assert_eq!(shown["endtime"], running.int("lastupdate"));
    assert_eq!(world.json(&["show", "2"])["outcome"], "ERROR: reservation lapsed after 1m");
    let ran = world.control(["kill", "1"]).run();
    ran.says(1, &["task 1 has ended already: unknown"]);
    let ran = world.control(["wait", "1"]).run();
    assert_eq!((ran.code, ran.text()), (1, "1 unknown: launcher lost\n"));
}

#[test]
fn ids_continue_after_those_of_1_7() {
    let world = world("v1_7.db");
    let id = world.reserved(&["--expire", "1h"]);
    assert!(id > 5, "{id} was a number in history");
    world.control(["list"]).run().silent(0);
    world.launch(["true"]).run().silent(0);
    let next = world.last().int("taskid");
    assert!(next > id, "{next}");
    world.launch(["--taskid", &id.to_string(), "sh", "-c", "exit 4"]).run().silent(4);
    assert_eq!(world.json(&["show", &id.to_string()])["exitcode"], 4);
    let ids: Vec<i64> = world.history().iter().map(|row| row.int("id")).collect();
    assert_eq!(ids.len(), 9);
    world.is_intact();
}

#[test]
fn a_reservation_of_1_7_can_still_be_launched_under_its_number() {
    let world = world("v1_7.db");
    let now = taskwatcher::io::sys::now().wall.secs();
    world.edit(&format!("UPDATE tasks SET reservetime = {now} WHERE id = 2"));
    world.edit("PRAGMA journal_mode = DELETE");
    world.launch(["--taskid", "2", "sh", "-c", "echo $TASKWATCHER_TASKID"]).run().silent(0);
    let shown = world.json(&["show", "2"]);
    assert_eq!((&shown["taskid"], &shown["outcome"]), (&json!(2), &json!("OK")));
    assert_eq!(shown["taskname"], "later", "its reserved name stays");
    let by_upid = world.json(&["show", shown["upid"].as_str().unwrap()]);
    assert_eq!(by_upid, shown, "its row has another number than 2, which was taken");
    world.launch(["--taskid", "2", "true"]).run().says(125, &["cannot launch task 2", "it has run already (OK)"]);
}

#[test]
fn two_dozen_programs_upgrade_one_file_at_once() {
    for _ in 0..3 {
        let world = world("v1_7.db");
        let started: Vec<_> = (0..24)
            .map(|n| match n % 3 {
                0 => world.control(["history", "--json"]).spawn(),
                1 => world.launch(["true"]).spawn(),
                _ => world.control(["reserve"]).spawn(),
            })
            .collect();
        for program in started {
            let ran = program.wait();
            assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        }
        assert_eq!(world.query("SELECT id FROM history WHERE taskname = 'nightly'").len(), 5, "taken over once");
        assert_eq!(world.history().len(), 5 + 2 + 8);
        world.is_intact();
    }
}

#[test]
fn older_schemas_can_be_opened() {
    older_opens("v1.db");
    older_opens("v2.db");
    older_opens("v3.db");
    older_opens("v4.db");
}

#[track_caller]
fn older_opens(data: &str) {
    let world = world(data);
    let page = world.json(&["history"]);
    let rows = page["rows"].as_array().unwrap();
    let said: Vec<_> = rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect();
    assert!(said[0].starts_with("ERROR: reservation lapsed"), "{said:?}");
    assert_eq!(said[1..], ["unknown", "WARNINGS: 1", "ERROR: exit code 3", "OK"]);
    assert_eq!(rows[2]["feedback"], json!({ "warning": "w", "progress": "50" }));
    assert_eq!(rows[3]["argv"], json!(["sh", "-c", "exit 3"]));
    assert_eq!(world.json(&["list"]), json!([]));
    assert_eq!(world.reserved(&[]), 6);
    let new = World::new();
    new.reserved(&[]);
    let columns = "SELECT m.name AS place, c.name, c.type, c.pk FROM sqlite_master AS m, pragma_table_info(m.name) AS c
                   UNION ALL SELECT name, tbl_name, '', 0 FROM sqlite_master 
                   WHERE type = 'index' AND name <> 'history_legacy' ORDER BY 1, 2";
    let shape = |world: &World| world.query(columns).iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
    let (brought, made) = (shape(&world), shape(&new));
    assert!(made.iter().all(|one| brought.contains(one)) && brought.len() == made.len(), "as in a new database");
    world.is_whole();
}
