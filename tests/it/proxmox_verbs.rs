//! The verbs of `control` on tasks of Proxmox hosts: show, log, wait and kill.

use std::time::Duration;

use crate::support::proxmox::{Fault, Job, Proxmox, START, done, runs, tells, upid};
use crate::support::{World, eventually, timed, until};
use serde_json::{Value, json};

#[test]
fn a_wait_times_out_if_its_host_is_silent() {
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
fn logs_are_read_completely_with_the_line_numbers_of_both_products() {
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
    // A task without output.
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
    // A missing log is not a log with an error message.
    let gone = |host: &str, upid: &str| world.control(["log", &format!("{host}!{upid}")]).run();
    tells(gone("pve", &upid("n", 8, START, "x", "")), 1, &["remote pve: ", "no such task"]);
    tells(gone("pbs", &upid("pbs", 8, START, "x", "")), 1, &["remote pbs: HTTP status 400: No such file"]);
}

/// Returns the name of a task in lists.
fn short(remote: &str, upid: &str) -> String {
    let fields: Vec<&str> = upid.split(':').collect();
    format!("{remote}!{}:{}", fields[4], fields[2])
}

/// A cluster with a failed and a running task, and a backup server, all synced.
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
        world.sync(&[]).silent(0);
        let (short_ended, short_live) = (short("pve", &ended), short("pve", &live));
        Scene { world, pve, _pbs: pbs, ended, live, stored, short_ended, short_live }
    }
}

#[test]
fn a_task_is_shown_with_the_data_of_its_host() {
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
    let shown = world.control(["show", short_ended]).run().silent(0);
    assert!(
        shown.text().starts_with(&format!("task {short_ended} (vzdump) failed after 1m: job errors\n\n")),
        "{shown:?}"
    );
    assert!(shown.text().contains(&format!("last lines (full log: control log {short_ended})\n")), "{shown:?}");
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
fn a_log_as_json_is_printed_completely_or_not_at_all() {
    let scene = Scene::new();
    let Scene { world, pve, short_ended, .. } = &scene;
    assert_eq!(world.json(&["log", short_ended]).as_array().unwrap().len(), 12_001);
    // The host fails after the first page.
    pve.change(|state| state.log_pages = Some(1));
    let ran = tells(world.control(["--json", "log", short_ended]).run(), 1, &["status 500: no more"]);
    assert_eq!(ran.text(), "");
    pve.change(|state| state.log_pages = Some(1));
    let ran = tells(world.control(["log", short_ended]).run(), 1, &["status 500: no more"]);
    assert_eq!(ran.text().lines().count(), 5_000, "as text it is what was read");
}

#[test]
fn wait_and_follow_survive_a_host_that_is_unreachable_for_a_moment() {
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
    // A host that is unreachable for a moment ends no wait.
    pve.change(|state| state.fault = Some(Fault::Status(595, "No route to host")));
    until("the waiter to notice", || {
        waiter.stderr().contains("remote pve: HTTP status 595: No route to host; retrying until it responds\n")
    });
    // Nor does a host that received too many requests, or a proxy that times out.
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
    // The end that was waited for is stored at once, with the time from its host.
    let row = world.json(&["history", "--remote", "pve", "--outcome", "ok"])["rows"][0].clone();
    assert_eq!((&row["upid"], &row["endtime"]), (&json!(format!("pve!{live}")), &json!(START + 100)));
    assert_eq!(world.running().len(), 0);
}

#[test]
fn kill_ends_a_task_on_its_host() {
    let scene = Scene::new();
    let Scene { world, pve, short_ended, .. } = &scene;
    let other = upid("n", 9, START + 50, "vzdump", "100");
    pve.node("n", |node| node.jobs.push(runs(other.clone())));
    let named = format!("pve!{other}");
    tells(world.control(["kill", &named, "--now"]).run(), 2, &["does not support --signal, --now or --force"]);
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
fn unknown_tasks_are_reported() {
    let scene = Scene::new();
    let Scene { world, pve, ended, short_ended, .. } = &scene;
    tells(world.control(["show", "pve!12"]).run(), 2, &["tasks of remote pve have no numbers", "START:PID"]);
    tells(world.control(["show", "pve!618C1D55:000AE992"]).run(), 1, &["there is no task pve!618C1D55:000AE992"]);
    let unknown = upid("n", 77, START, "vzdump", "1");
    tells(world.control(["wait", &format!("pve!{unknown}")]).run(), 1, &["remote pve: ", "no such task"]);
    tells(
        world.control(["run-again", short_ended]).run(),
        2,
        &["run-again works for tasks of this host only; log in to remote pve to run one there"],
    );
    let twin = upid("m", 1, START, "vzdump", "100");
    pve.node("m", |node| node.jobs.push(done(twin.clone(), START + 1, "OK")));
    world.sync(&[]).silent(0);
    tells(world.control(["show", short_ended]).run(), 1, &["ambiguous name", ended, &twin]);
}

#[test]
fn a_stored_end_is_used_if_the_host_does_not_respond() {
    let scene = Scene::new();
    let Scene { world, pve, ended, short_ended, live, .. } = &scene;
    let ok = upid("n", 3, START + 7, "vzdump", "100");
    pve.node("n", |node| node.jobs.push(done(ok.clone(), START + 60, "OK")));
    world.sync(&[]).silent(0);
    let named = format!("pve!{ok}");
    let short_ok = short("pve", &ok);
    let faults = [Fault::Status(500, "no"), Fault::Drops, Fault::Status(401, "no"), Fault::Says("{}")];
    for fault in faults {
        pve.change(|state| state.fault = Some(fault.clone()));
        let ran = world.control(["wait", &named]).run();
        let reason = format!("the end of task {short_ok} is known from the last sync\n");
        assert_eq!(tells(ran, 0, &["remote pve: ", &reason]).text(), format!("{short_ok} OK\n"), "{fault:?}");
        let ran = tells(world.control(["wait", short_ended, &named]).run(), 1, &[&reason]);
        assert_eq!(ran.text(), format!("{short_ended} ERROR: job errors\n{short_ok} OK\n"), "{fault:?}");
        let ran = tells(world.control(["--json", "wait", &named]).run(), 0, &[&reason]);
        let status: Value = serde_json::from_slice(&ran.out).unwrap();
        assert_eq!((&status["exitstatus"], &status["upid"]), (&json!("OK"), &json!(named)), "{fault:?}");
        let ran = tells(world.control(["--json", "show", short_ended]).run(), 0, &["is known from the last sync"]);
        let shown: Value = serde_json::from_slice(&ran.out).unwrap();
        assert_eq!(
            (&shown["outcome"], &shown["duration"], &shown["upid"]),
            (&json!("ERROR: job errors"), &json!(60), &json!(format!("pve!{ended}")))
        );
        assert!(shown["synced"].as_i64().unwrap() > START, "{shown}");
        // For a task that ran at the last sync no end is stored.
        let live = format!("pve!{live}");
        let ran = world.control(["wait", "--timeout", "0.1", &live, &named]).run();
        assert!(matches!(ran.code, 1 | 124) && ran.text() == format!("{short_ok} OK\n"), "{ran:?}");
        assert_eq!(world.control(["wait", "--any", &live, &named]).run().code, 0, "{fault:?}");
        tells(world.control(["show", &live]).run(), 1, &["error: remote pve: "]);
    }
    // A host that has forgotten the task does not report an end either.
    pve.change(|state| state.fault = None);
    pve.node("n", |node| node.jobs.retain(|job| job.upid != ok));
    assert_eq!(tells(world.control(["wait", &named]).run(), 0, &["no such task"]).text(), format!("{short_ok} OK\n"));
}

#[test]
fn lines_of_a_log_are_sorted_by_their_numbers() {
    let world = World::new();
    let pve = Proxmox::pve();
    let upid = upid("n", 1, START, "vzdump", "1");
    let lines: Vec<String> = (1..=25).map(|n| format!("line {n}")).collect();
    pve.node("n", |node| node.jobs = vec![Job { log: lines.clone(), ..done(upid.clone(), START + 1, "OK") }]);
    pve.change(|state| (state.logs_reversed, state.longest_page) = (true, 10));
    world.add("pve", &pve);
    let task = format!("pve!{upid}");
    let log = |args: &[&str]| world.control(["log", &task].iter().chain(args)).run().silent(0).text().to_owned();
    assert_eq!(log(&[]).lines().collect::<Vec<_>>(), lines);
    assert_eq!(log(&["--follow"]).lines().collect::<Vec<_>>(), lines);
    assert_eq!(log(&["--tail", "2"]), "line 24\nline 25\n");
    let json = world.json(&["log", &task]);
    let numbers: Vec<u64> = json.as_array().unwrap().iter().map(|line| line["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
    assert_eq!(world.json(&["show", &task])["lastlines"], json!(lines[20..]));
}

#[test]
fn a_log_page_that_is_too_long_is_read_in_smaller_ones() {
    let world = World::new();
    let pve = Proxmox::pve();
    let upid = upid("n", 1, START, "vzdump", "1");
    // Even the last five lines are too long for one response.
    let text = |n: u32| format!("{n} {}", "x".repeat(if n > 3 { 3_500_000 } else { 10 }));
    let lines: Vec<String> = (1..=8).map(text).collect();
    pve.node("n", |node| node.jobs = vec![Job { log: lines.clone(), ..done(upid.clone(), START + 1, "OK") }]);
    world.add("pve", &pve);
    let task = format!("pve!{upid}");
    let log = world.control(["log", &task]).run().silent(0);
    assert!(log.text().lines().eq(&lines), "all lines, in their order");
    let shown = world.json(&["show", &task]);
    let begins = |line: &Value| line.as_str().unwrap().split(' ').next().unwrap().parse::<u32>().unwrap();
    let last: Vec<u32> = shown["lastlines"].as_array().unwrap().iter().map(begins).collect();
    assert_eq!(last, [4, 5, 6, 7, 8]);
}

#[test]
fn an_outcome_missing_in_the_list_is_that_of_the_status() {
    let world = World::new();
    let pve = Proxmox::pve();
    let (first, second) = (upid("n", 1, START, "vzdump", "1"), upid("n", 2, START + 1, "vzdump", "2"));
    pve.node("n", |node| node.jobs = vec![runs(first.clone()), runs(second.clone())]);
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    pve.node("n", |node| {
        node.without_outcomes = true;
        node.jobs[0].end = Some((START + 5, "OK".into()));
        node.jobs[1].end = Some((START + 6, "job errors".into()));
    });
    let kept = || {
        let page = world.json(&["history", "--remote", "pve"]);
        let rows = page["rows"].as_array().unwrap().iter();
        rows.map(|row| (row["outcome"].clone(), row["endtime"].clone())).collect::<Vec<_>>()
    };
    let both = [(json!("ERROR: job errors"), json!(START + 6)), (json!("OK"), json!(START + 5))];
    world.control(["wait", &format!("pve!{first}")]).run().silent(0);
    tells(world.control(["wait", &format!("pve!{second}")]).run(), 1, &["ERROR: job errors"]);
    assert_eq!(kept(), both);
    // A sync without an outcome does not remove it.
    world.sync(&["--refetch", "pve"]).silent(0);
    assert_eq!(kept(), both);
    assert_eq!(world.json(&["show", &format!("pve!{second}")])["outcome"], "ERROR: job errors");
}

#[test]
fn a_task_of_a_renamed_node_is_requested_from_the_node_that_lists_it() {
    let world = World::new();
    let pve = Proxmox::pve();
    let (ended, live) = (upid("old", 1, START, "vzdump", "1"), upid("old", 2, START + 1, "vzdump", "2"));
    let unlisted = upid("old", 3, START + 2, "vzdump", "3");
    pve.node("new", |node| node.jobs = vec![done(ended.clone(), START + 1, "OK"), runs(live.clone())]);
    world.add("pve", &pve);
    // Before a sync nothing is known of the task, and a missing node is not a reason to retry.
    let ran = world.control(["wait", &format!("pve!{ended}")]).run();
    tells(ran, 1, &["node old is not in the cluster; if it was renamed, run control remote sync first"]);
    world.sync(&[]).silent(0);
    let named = format!("pve!{ended}");
    assert_eq!(world.control(["log", &named]).run().silent(0).text(), "starting\nTASK OK\n");
    assert_eq!(world.json(&["show", &named])["lastlines"], json!(["starting", "TASK OK"]));
    world.control(["wait", &named]).run().silent(0);
    assert_eq!(world.json(&["show", &format!("pve!{live}")])["status"], "RUNNING");
    assert_eq!(world.running()[0]["upid"], format!("pve!{live}"));
    pve.node("new", |node| node.jobs[1].end = Some((START + 9, "OK".into())));
    world.control(["wait", &format!("pve!{live}")]).run().silent(0);
    assert_eq!(world.running().len(), 0);
    assert_eq!(world.control(["log", &format!("pve!{live}")]).run().silent(0).text(), "starting\n");
    tells(world.control(["log", &format!("pve!{unlisted}")]).run(), 1, &["node old is not in the cluster"]);
}

#[test]
fn running_tasks_of_a_node_that_left_its_cluster_are_unknown_until_it_is_back() {
    let world = World::new();
    let pve = Proxmox::pve();
    let (here, there) = (upid("n1", 1, START, "vzdump", "1"), upid("n2", 2, START + 1, "vzdump", "2"));
    let renamed = upid("old", 3, START + 2, "vzdump", "3");
    pve.node("n1", |node| node.jobs = vec![runs(here.clone())]);
    pve.node("n2", |node| node.jobs = vec![runs(there.clone()), runs(renamed.clone())]);
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    assert_eq!(world.running().len(), 3);
    let away = pve.state().nodes.remove("n2").unwrap();
    world.sync(&[]).silent(0);
    let upids = |rows: &[Value]| rows.iter().map(|row| row["upid"].clone()).collect::<Vec<_>>();
    assert_eq!(upids(&world.running()), [json!(format!("pve!{here}"))]);
    let rows = world.json(&["history", "--remote", "pve"])["rows"].as_array().unwrap().clone();
    assert_eq!(upids(&rows), [json!(format!("pve!{renamed}")), json!(format!("pve!{there}"))]);
    assert!(rows.iter().all(|row| row["outcome"] == "unknown"), "{rows:?}");
    tells(world.control(["wait", &format!("pve!{there}")]).run(), 1, &["unknown"]);
    // The node was removed only temporarily.
    pve.node("n2", |node| *node = away);
    world.sync(&[]).silent(0);
    assert_eq!(world.running().len(), 3);
    assert_eq!(world.json(&["history", "--remote", "pve"])["rows"], json!([]), "what runs has not ended");
    pve.node("n2", |node| node.jobs.iter_mut().for_each(|job| job.end = Some((START + 50, "OK".into()))));
    world.sync(&[]).silent(0);
    let rows = world.json(&["history", "--remote", "pve"])["rows"].as_array().unwrap().clone();
    assert!(rows.len() == 2 && rows.iter().all(|row| row["outcome"] == "OK"), "{rows:?}");
    world.is_sound();
}

#[test]
fn a_line_of_a_log_without_a_text_is_empty() {
    let world = World::new();
    let pbs = Proxmox::pbs();
    let mut job = done(upid("pbs", 1, START, "verify", "tank"), START + 1, "OK");
    job.log = vec!["first".to_owned(), crate::support::proxmox::NO_TEXT.to_owned(), "last".to_owned()];
    let name = short("pbs", &job.upid);
    pbs.node("localhost", |node| node.jobs = vec![job]);
    world.add("pbs", &pbs);
    world.sync(&[]).silent(0);
    assert_eq!(world.control(["log", &name]).run().silent(0).text(), "first\n\nlast\n");
}

#[test]
fn tasks_of_one_second_are_sorted_by_upid() {
    let lists: Vec<Value> = [[3, 1, 2], [1, 2, 3], [2, 3, 1]]
        .into_iter()
        .map(|order| {
            let world = World::new();
            let pve = Proxmox::pve();
            let job = |n| done(upid("n", n, START, "vzdump", "1"), START + 1, "OK");
            pve.node("n", |node| node.jobs = order.map(job).to_vec());
            world.add("pve", &pve);
            world.sync(&[]).silent(0);
            let page = world.json(&["history", "--remote", "pve"]);
            page["rows"].as_array().unwrap().iter().map(|row| row["upid"].clone()).collect()
        })
        .collect();
    let expected: Value = (1..=3).map(|n| format!("pve!{}", upid("n", n, START, "vzdump", "1"))).collect();
    assert!(lists.iter().all(|list| *list == expected), "{lists:?}");
}
