//! The verbs of `control` on tasks of Proxmox hosts: what is shown, read, waited for and ended there.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "support/proxmox.rs"]
mod host;
mod support;

use std::time::Duration;

use host::{Fault, Job, Proxmox, START, done, runs, tells, upid};
use serde_json::{Value, json};
use support::{World, eventually, timed, until};

#[test]
fn a_wait_ends_in_time_although_its_host_says_nothing() {
    let world = World::new();
    let pve = Proxmox::pve();
    let live = upid("n", 1, START, "vzdump", "5");
    pve.node("n", |node| node.jobs.push(runs(live.clone())));
    world.add("pve", &pve);
    pve.change(|state| state.fault = Some(Fault::Hangs));
    let named: Vec<String> = (1..=20).map(|n| format!("pve!{}", upid("n", n, START, "vzdump", "5"))).collect();
    let wait = || world.control(["wait", "--timeout", "1"].into_iter().chain(named.iter().map(String::as_str))).run();
    let (ran, took) = timed(wait);
    let ran = tells(ran, 124, &["remote pve: no answer within 1 s\n", "has not ended"]);
    assert_eq!(ran.err.lines().count(), 21, "{}", ran.err);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn logs_are_read_whole_whatever_each_product_calls_their_first_line() {
    let world = World::new();
    let (pve, pbs) = (Proxmox::pve(), Proxmox::pbs());
    let lines: Vec<String> = (1..=20).map(|n| format!("line {n}")).collect();
    let (far, stored) = (upid("n", 1, START, "vzdump", "1"), upid("pbs", 2, START, "verify", "tank"));
    for (host, node, upid) in [(&pve, "n", &far), (&pbs, "localhost", &stored)] {
        host.node(node, |node| node.jobs = vec![Job { log: lines.clone(), ..done(upid.clone(), START + 1, "OK") }]);
    }
    world.add("pve", &pve);
    world.add("pbs", &pbs);
    for task in [format!("pve!{far}"), format!("pbs!{stored}")] {
        let log = |args: &[&str]| world.control(["log", &task].iter().chain(args)).run().silent(0).text().to_owned();
        assert_eq!(log(&[]).lines().collect::<Vec<_>>(), lines, "{task}");
        assert_eq!(log(&["--limit", "3"]), "line 1\nline 2\nline 3\n", "{task}");
        assert_eq!(log(&["--start", "7", "--limit", "1"]), "line 8\n", "{task}");
        assert_eq!(log(&["--start", "18", "--limit", "9"]), "line 19\nline 20\n", "{task}");
        assert_eq!(log(&["--tail", "2"]), "line 19\nline 20\n", "{task}");
        assert_eq!(log(&["--start", "20"]), "", "{task}");
        let last = world.json(&["show", &task])["lastlines"].clone();
        assert_eq!(last, json!(lines[15..]), "{task}");
    }
    // One that has printed nothing yet.
    let quiet = upid("n", 3, START, "qmstart", "1");
    pve.node("n", |node| node.jobs.push(Job { log: vec![], ..runs(quiet.clone()) }));
    assert_eq!(world.json(&["show", &format!("pve!{quiet}")])["lastlines"], json!([]));
    let follower = world.control(["log", &format!("pve!{quiet}"), "--follow"]).spawn();
    pve.asked();
    until("it to look", || pve.state().asked.iter().any(|line| line.contains("/log?")));
    pve.node("n", |node| {
        node.jobs[1].log.extend(["first".to_owned(), "TASK OK".to_owned()]);
        node.jobs[1].end = Some((START + 100, "OK".into()));
    });
    assert_eq!(follower.wait().text(), "first\nTASK OK\n");
    // One whose log is not there is none that printed an error.
    let gone = |host: &str, upid: &str| world.control(["log", &format!("{host}!{upid}")]).run();
    tells(gone("pve", &upid("n", 8, START, "x", "")), 1, &["remote pve: ", "no such task"]);
    tells(gone("pbs", &upid("pbs", 8, START, "x", "")), 1, &["remote pbs: it answers with status 400: No such file"]);
}

/// The name by which lists call it.
fn short(remote: &str, upid: &str) -> String {
    let fields: Vec<&str> = upid.split(':').collect();
    format!("{remote}!{}:{}", fields[4], fields[2])
}

/// A cluster with a task that failed and one that runs, and a backup server, all known here.
struct Scene {
    world: World,
    pve: Proxmox,
    _pbs: Proxmox,
    ended: String,
    live: String,
    stored: String,
    short_ended: String,
    short_live: String,
}

impl Scene {
    fn new() -> Scene {
        let world = World::new();
        let (pve, pbs) = (Proxmox::pve(), Proxmox::pbs());
        let (ended, live) = (upid("n", 1, START, "vzdump", "100"), upid("n", 2, START + 5, "qmigrate", "101"));
        let mut job = done(ended.clone(), START + 60, "job errors");
        job.log = (1..=12_000).map(|n| format!("line {n}")).collect();
        job.log.push("TASK ERROR: job \u{1b}[2Jerrors".into());
        pve.node("n", |node| node.jobs = vec![job, runs(live.clone())]);
        let stored = upid("pbs", 3, START, "verify", "tank");
        pbs.node("localhost", |node| node.jobs = vec![done(stored.clone(), START + 1, "OK")]);
        world.add("pve", &pve);
        world.add("pbs", &pbs);
        world.sync(&[]).silent_err(0);
        let (short_ended, short_live) = (short("pve", &ended), short("pve", &live));
        Scene { world, pve, _pbs: pbs, ended, live, stored, short_ended, short_live }
    }
}

#[test]
fn a_task_is_shown_as_its_host_tells_of_it() {
    let scene = Scene::new();
    let Scene { world, ended, stored, short_ended, short_live, .. } = &scene;
    let table = world.control(["history", "--remote", "pve"]).run().silent(0);
    let line = table.text().lines().find(|line| line.ends_with(&format!("  {short_ended}"))).unwrap();
    assert_eq!(line.split_whitespace().take(4).collect::<Vec<_>>(), ["pve", "vzdump", "100", "ERROR:"], "{line}");

    let shown = world.json(&["show", short_ended]);
    assert_eq!(shown, world.json(&["show", &format!("pve!{ended}")]));
    assert_eq!(
        (&shown["outcome"], &shown["duration"], &shown["remote"], &shown["id"]),
        (&json!("ERROR: job errors"), &json!(60), &json!("pve"), &json!("100"))
    );
    assert_eq!(shown["lastlines"][4], "TASK ERROR: job \\x1b[2Jerrors");
    let told = world.control(["show", short_ended]).run().silent(0);
    assert!(
        told.text().starts_with(&format!("task {short_ended} (vzdump) failed after 1m: job errors\n\n")),
        "{told:?}"
    );
    assert!(told.text().contains(&format!("its last lines (all of them: control log {short_ended})\n")), "{told:?}");
    assert_eq!(world.json(&["show", short_live])["status"], "RUNNING");
    assert_eq!(world.json(&["show", &short("pbs", stored)])["outcome"], "OK");
    assert_eq!(world.json(&["feedback", short_live]), json!({}));
}

#[test]
fn a_log_is_read_page_by_page() {
    let scene = Scene::new();
    let Scene { world, short_ended, .. } = &scene;
    let text = world.control(["log", short_ended]).run().silent(0);
    assert_eq!(text.text().lines().count(), 12_001);
    assert_eq!(text.text().lines().nth(11_999), Some("line 12000"));
    let log = |args: &[&str]| world.control(["log", short_ended].iter().chain(args)).run().silent(0).text().to_owned();
    assert_eq!(log(&["--tail", "2"]).lines().next(), Some("line 12000"));
    assert_eq!(log(&["--start", "7", "--limit", "2"]), "line 8\nline 9\n");
    assert_eq!(log(&["--start", "13000"]), "");
    let json = world.json(&["log", short_ended, "--start", "11999"]);
    assert_eq!(
        json,
        json!([{ "n": 12_000, "t": "line 12000" }, { "n": 12_001, "t": "TASK ERROR: job \u{1b}[2Jerrors" }])
    );
}

#[test]
fn a_log_as_json_is_whole_or_is_none() {
    let scene = Scene::new();
    let Scene { world, pve, short_ended, .. } = &scene;
    assert_eq!(world.json(&["log", short_ended]).as_array().unwrap().len(), 12_001);
    // It breaks off behind the first page.
    pve.change(|state| state.log_pages = Some(1));
    let ran = tells(world.control(["--json", "log", short_ended]).run(), 1, &["status 500: no more"]);
    assert_eq!(ran.text(), "");
    pve.change(|state| state.log_pages = Some(1));
    let ran = tells(world.control(["log", short_ended]).run(), 1, &["status 500: no more"]);
    assert_eq!(ran.text().lines().count(), 5_000, "as text it is what was read");
}

#[test]
fn a_task_is_waited_for_and_followed_although_its_host_is_away_for_a_moment() {
    let scene = Scene::new();
    let Scene { world, pve, live, short_ended, short_live, .. } = &scene;
    tells(world.control(["wait", short_ended]).run(), 1, &[&format!("{short_ended} ERROR: job errors\n")]);
    tells(world.control(["wait", short_live, "--timeout", "0.1"]).run(), 124, &["has not ended"]);
    let follower = world.control(["log", short_live, "--follow"]).spawn();
    let waiter = world.control(["--json", "wait", short_live]).spawn();
    pve.asked();
    eventually("both to look", || {
        let asked = pve.state().asked.clone();
        let both = ["/status?", "/log?"].iter().all(|part| asked.iter().any(|line| line.contains(part)));
        both.then_some(())
    });
    // A host that is away for a moment ends nothing.
    pve.change(|state| state.fault = Some(Fault::Status(595, "No route to host")));
    until("the waiter to notice", || {
        waiter
            .stderr()
            .contains("remote pve: it answers with status 595: No route to host; asking again until it answers\n")
    });
    // Nor does one that is asked too often, or one before which somebody has no patience.
    for status in [429, 408] {
        pve.change(|state| state.fault = Some(Fault::Status(status, "")));
        pve.asked();
        until("both to be refused", || {
            let asked = pve.state().asked.clone();
            asked.iter().filter(|line| line.contains("/status?")).count() >= 2
        });
    }
    pve.change(|state| state.fault = None);
    pve.node("n", |node| {
        node.jobs[1].log.extend(["more".to_owned(), "TASK OK".to_owned()]);
        node.jobs[1].end = Some((START + 100, "OK".into()));
    });
    let ran = waiter.wait();
    assert_eq!(ran.code, 0, "{ran:?}");
    let status: Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!(
        (&status["status"], &status["exitstatus"], &status["upid"], &status["remote"]),
        (&json!("stopped"), &json!("OK"), &json!(format!("pve!{live}")), &json!("pve"))
    );
    assert_eq!(follower.wait().text(), "starting\nmore\nTASK OK\n");
    // What was waited for is known here at once, with the time that its host says.
    let row = world.json(&["history", "--remote", "pve", "--outcome", "ok"])["rows"][0].clone();
    assert_eq!((&row["upid"], &row["endtime"]), (&json!(format!("pve!{live}")), &json!(START + 100)));
    assert_eq!(world.running().len(), 0);
}

#[test]
fn a_task_is_ended_there() {
    let scene = Scene::new();
    let Scene { world, pve, short_ended, .. } = &scene;
    let other = upid("n", 9, START + 50, "vzdump", "100");
    pve.node("n", |node| node.jobs.push(runs(other.clone())));
    let named = format!("pve!{other}");
    tells(world.control(["kill", &named, "--now"]).run(), 2, &["ends its tasks in its own way"]);
    let ran = world.control(["kill", &named, short_ended]).run();
    tells(
        ran,
        1,
        &[
            &format!("task {} (vzdump): ERROR: interrupted by signal\n", short("pve", &other)),
            "has ended already: ERROR: job errors",
        ],
    );
    assert!(pve.asked().iter().any(|line| line.starts_with("DELETE ") && line.contains(&other)));
    assert_eq!(world.json(&["history", "--remote", "pve"])["rows"][0]["upid"], named);
}

#[test]
fn what_is_not_there_is_named() {
    let scene = Scene::new();
    let Scene { world, pve, ended, short_ended, .. } = &scene;
    tells(world.control(["show", "pve!12"]).run(), 2, &["tasks of remote pve have no numbers", "START:PID"]);
    tells(world.control(["show", "pve!618C1D55:000AE992"]).run(), 1, &["there is no task pve!618C1D55:000AE992"]);
    let nobody = upid("n", 77, START, "vzdump", "1");
    tells(world.control(["wait", &format!("pve!{nobody}")]).run(), 1, &["remote pve: ", "no such task"]);
    tells(
        world.control(["run-again", short_ended]).run(),
        2,
        &["run-again is for tasks of this host; to run one of remote pve again, log in there"],
    );
    let twin = upid("m", 1, START, "vzdump", "100");
    pve.node("m", |node| node.jobs.push(done(twin.clone(), START + 1, "OK")));
    world.sync(&[]).silent_err(0);
    tells(world.control(["show", short_ended]).run(), 1, &["is the name of several tasks", ended, &twin]);
}
