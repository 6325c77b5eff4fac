//! `control remote` with Proxmox hosts: a stand-in for their API, with and without faults.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use crate::support::proxmox::{Crowd, Fault, Proxmox, SECRET, START, TOKEN, done, many, runs, tells, upid};
use crate::support::{
    World,
    desk::{CRASH_AT, KILLED},
    os, timed, until,
};
use serde_json::{Value, json};

#[test]
fn tasks_of_a_cluster_and_a_backup_server_are_listed_with_local_ones() {
    let world = World::new();
    let (pve, pbs) = (Proxmox::pve(), Proxmox::pbs());
    for (node, count) in [("n1", 2_500), ("n2", 1_000), ("n3", 3)] {
        pve.node(node, |node_state| node_state.jobs = many(node, count));
    }
    pve.node("n4", |node| node.offline = true);
    let long = upid("n3", 9, START + 900, "qmigrate", "101");
    pve.node("n3", |node| node.jobs.push(runs(long.clone())));
    let sync_upid =
        format!("UPID:backup:00000301:00000A02:0000004D:{:08X}:syncjob:s\\x2dstore:sync@pbs!auto:", START + 3);
    pbs.node("localhost", |node| {
        node.jobs = vec![
            done(sync_upid.clone(), START + 80, "WARNINGS: 2"),
            done(upid("backup", 4, START + 4, "garbage_collection", "tank"), START + 9, "OK"),
        ];
    });
    world.add("cluster", &pve);
    world.add("safe", &pbs);
    world.launch(["--name", "here", "true"]).run().silent(0);
    tells(
        world.control(["remote", "test", "cluster"]).run(),
        0,
        &["remote cluster responds: Proxmox VE 9.1.1, 4 nodes, 3 of them online"],
    );
    tells(world.control(["remote", "test", "safe"]).run(), 0, &["safe responds: Proxmox Backup Server 4.1.0"]);
    let offline = "remote cluster: node n4 is offline; its tasks are fetched once it is back\n";
    tells(world.sync(&[]), 0, &["remote cluster: 3503 new", "remote safe: 2 new", offline]);
    world.same_as_on(&[&pve, &pbs]);

    // One list, newest first, with offsets and with cursors.
    let page = world.json(&["history", "--all-remotes", "--limit", "3"]);
    assert_eq!(page["rows"][0]["taskname"], "here");
    assert_eq!((&page["rows"][1]["remote"], &page["rows"][1]["node"]), (&json!("cluster"), &json!("n1")));
    let far = world.json(&["history", "--all-remotes", "--offset", "3500", "--limit", "1000"]);
    assert_eq!(far["rows"].as_array().unwrap().len(), 6);
    let failed =
        world.json(&["history", "--remote", "cluster", "--node", "n2", "--outcome", "error", "--limit", "1000"]);
    assert_eq!(failed["rows"].as_array().unwrap().len(), 40);
    let sync_row = &world.json(&["history", "--remote", "safe", "--type", "syncjob"])["rows"][0];
    assert_eq!(
        (&sync_row["upid"], &sync_row["user"], &sync_row["id"], &sync_row["outcome"]),
        (&json!(format!("safe!{sync_upid}")), &json!("sync@pbs!auto"), &json!("s-store"), &json!("WARNINGS: 2"))
    );
    let running = world.running();
    assert_eq!(running.len(), 1);
    assert_eq!(
        (&running[0]["name"], &running[0]["upid"], &running[0]["not_seen_since"]),
        (&json!("qmigrate"), &json!(format!("cluster!{long}")), &json!(null))
    );

    // A second sync finds nothing new, and requests only new tasks.
    pve.asked();
    tells(world.sync(&[]), 0, &["remote cluster: 0 new", "remote safe: 0 new"]);
    let asked: Vec<String> = pve.asked().into_iter().filter(|line| line.contains("/tasks?")).collect();
    assert_eq!(asked.len(), 3, "a page a node: {asked:?}");
    assert!(asked.iter().all(|line| line.contains("since=") && line.contains("source=all")), "{asked:?}");
    world.same_as_on(&[&pve, &pbs]);
    let state = world.remote("cluster");
    let node =
        |name: &str| state["nodes"].as_array().unwrap().iter().find(|node| node["node"] == name).unwrap().clone();
    assert_eq!(node("n1")["cutoff"], START + 2_499);
    assert_eq!(node("n3")["cutoff"], START + 900, "not beyond what runs");
    assert_eq!(node("n4")["error"], "it is offline");
    assert_eq!(state["cutoff"], json!(null), "nothing is known of one that was never read");
    for (table, cells) in [
        (world.control(["list", "--all-remotes"]), ["cluster", "n3", "qmigrate"]),
        (world.control(["history", "--all-remotes", "--node", "n2", "--limit", "1"]), ["cluster", "n2", "vzdump"]),
    ] {
        let table = table.run();
        let lines: Vec<Vec<&str>> = table.text().lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..3], ["REMOTE", "NODE", "NAME"], "{}", table.text());
        assert_eq!(lines[1][..3], cells, "{}", table.text());
    }
    let alone = world.control(["history", "--remote", "safe"]).run().silent(0);
    assert!(!alone.text().contains("NODE"), "it has but one: {}", alone.text());
    assert_eq!((&state["running"], &state["ended"], &state["error"]), (&json!(1), &json!(3_503), &json!(null)));
    let table = world.control(["remote", "list"]).run().silent(0);
    assert!(table.text().contains("node n4: it is offline"), "{}", table.text());
}

#[test]
fn a_long_task_a_late_one_and_one_that_left_the_list_are_not_lost() {
    let world = World::new();
    let pve = Proxmox::pve();
    let long = upid("n", 1, START, "vzdump", "1");
    let gone = upid("n", 2, START + 1, "vzdump", "2");
    let forgotten = upid("n", 3, START + 2, "vzdump", "3");
    pve.node("n", |node| {
        node.jobs = vec![runs(long.clone()), runs(gone.clone()), runs(forgotten.clone())];
        node.jobs.extend(many("n", 50).split_off(10));
    });
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    assert_eq!(world.running().len(), 3);
    // Other tasks run meanwhile; the long one ends after them.
    pve.node("n", |node| node.jobs.extend(many("n", 5_000).split_off(50)));
    world.sync(&[]).silent(0);
    assert_eq!(world.remote("pve")["cutoff"], START, "it waits for what runs");
    pve.node("n", |node| {
        node.jobs[0].end = Some((START + 6_000, "OK".into()));
        node.jobs[1].end = Some((START + 6_001, "WARNINGS: 1".into()));
        // The host no longer knows this task.
        node.jobs.remove(2);
    });
    world.sync(&[]).silent(0);
    assert_eq!(world.running().len(), 0);
    let mut all = pve.ended();
    all.push(forgotten.clone());
    all.sort_unstable();
    let mut listed = world.listed();
    listed.sort_unstable();
    assert_eq!(listed, all);
    let row = &world.json(&["show", &format!("pve!{long}")]);
    assert_eq!((&row["outcome"], &row["endtime"]), (&json!("OK"), &json!(START + 6_000)));
    let lost = world.json(&["history", "--remote", "pve", "--outcome", "unknown"]);
    assert_eq!(lost["rows"][0]["upid"], format!("pve!{forgotten}"));
    assert_eq!(lost["rows"][0]["termerror"], "its host does not know of it any more");
    assert_eq!(world.remote("pve")["cutoff"], START + 4_999);

    // A task that is listed a week late is found by the daily wide request, and by `--refetch`.
    let late = upid("n", 7_000, START + 4_999 - 6 * 86_400, "qmstart", "9");
    pve.node("n", |node| node.jobs.push(done(late.clone(), START + 4_999 - 6 * 86_400 + 2, "OK")));
    tells(world.sync(&[]), 0, &["remote pve: 0 new"]);
    world.edit("UPDATE remote_nodes SET wide = wide - 86400");
    tells(world.sync(&[]), 0, &["remote pve: 1 new"]);
    assert_eq!(world.listed().last(), Some(&late), "where it belongs");
    let later = upid("n", 7_001, START + 4_999 - 30 * 86_400, "qmstart", "9");
    pve.node("n", |node| node.jobs.push(done(later.clone(), START + 4_999, "OK")));
    tells(world.sync(&[]), 0, &["remote pve: 0 new"]);
    let since = format!("@{}", START - 86_400);
    tells(world.sync(&["pve", "--refetch", "--since", &since]), 0, &["remote pve: 0 new"]);
    tells(world.sync(&["pve", "--refetch"]), 0, &["remote pve: 1 new"]);
    assert_eq!(world.listed().last(), Some(&later));
    tells(world.sync(&["--since", "1h"]), 2, &["--refetch"]);
    world.is_sound();
}

#[test]
fn a_list_that_changes_while_it_is_read_has_no_gap() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n", |node| {
        node.jobs = many("n", 400);
        node.jobs.push(runs(upid("n", 900_000, START - 50, "vzdump", "1")));
    });
    pve.change(|state| (state.busy, state.longest_page) = (true, 50));
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    pve.change(|state| state.busy = false);
    world.sync(&[]).silent(0);
    world.same_as_on(&[&pve]);
    assert_eq!(world.running().len(), 1);
}

#[test]
fn a_node_that_fails_in_the_middle_keeps_its_tasks_and_sends_the_rest_next_time() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("good", |node| node.jobs = many("good", 10));
    pve.node("half", |node| {
        node.jobs = many("half", 2_500);
        node.fault = Some(Fault::Status(500, "proxy loop\u{1b}[2J detected\n"));
        node.good_pages = 1;
    });
    world.add("pve", &pve);
    let ran = tells(
        world.sync(&[]),
        1,
        &["remote pve: 1010 new", "remote pve: node half: HTTP status 500: proxy loop\\x1b[2J detected\n"],
    );
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    let state = world.remote("pve");
    let cutoffs: Vec<&Value> = state["nodes"].as_array().unwrap().iter().map(|node| &node["cutoff"]).collect();
    assert_eq!(cutoffs, [&json!(START + 9), &json!(null)], "only a node that responded completely advances");
    // The node is skipped for a while, and asked again when the remote is named.
    pve.node("half", |node| node.fault = None);
    let why = " after 1 failure (HTTP status 500: proxy loop\\x1b[2J detected); name the remote to sync it now\n";
    let ran = tells(world.sync(&[]), 0, &["remote pve: 0 new", "remote pve: node half is skipped for ", why]);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    tells(world.sync(&["pve"]), 0, &["remote pve: 1500 new"]);
    world.same_as_on(&[&pve]);
    assert_eq!(world.remote("pve")["nodes"][1]["cutoff"], START + 2_499);
}

#[test]
fn an_invalid_entry_in_the_list_of_nodes_does_not_affect_the_others() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n", |node| node.jobs = many("n", 3));
    let twin = json!({ "node": "n", "status": "online" });
    pve.change(|state| state.more_nodes = vec![twin, json!({ "node": 7 }), json!({ "node": "../../access" })]);
    world.add("pve", &pve);
    let passed = "remote pve: skipped unreadable entry: {\"node\":";
    let ran = tells(
        world.sync(&[]),
        0,
        &["remote pve: 3 new", &format!("{passed}7}}"), &format!("{passed}\"../../access\"}}")],
    );
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    assert_eq!(world.remote("pve")["unread"], 2);
    let lists = pve.asked().into_iter().filter(|line| line.contains("/tasks?")).count();
    assert_eq!(lists, 1, "its node once");
    // A host that sends more than requested could continue without end.
    let entries: Vec<Value> = (0..1_001).map(|n| json!({ "upid": upid("n", n, START, "vzdump", "1") })).collect();
    pve.node("n", |node| node.fault = Some(Fault::Lists(entries.into())));
    let said = "error: remote pve: unexpected response: more tasks than requested\n";
    tells(world.sync(&[]), 1, &[said]);
}

#[test]
fn a_node_that_left_its_cluster_does_not_hold_the_cutoff() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("old", |node| node.jobs = many("old", 3));
    pve.node("n", |node| node.jobs = many("n", 30));
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    assert_eq!(world.remote("pve")["cutoff"], START + 2);
    let old = pve.state().nodes.remove("old").unwrap();
    // An unreadable entry of the list may be the missing node.
    pve.change(|state| state.more_nodes = vec![json!(null)]);
    tells(world.sync(&[]), 0, &["skipped unreadable entry: null"]);
    assert_eq!(world.remote("pve")["cutoff"], START + 2);
    pve.change(|state| state.more_nodes.clear());
    world.sync(&[]).silent(0);
    let state = world.remote("pve");
    assert_eq!((&state["cutoff"], &state["nodes"][1]["node"]), (&json!(START + 29), &json!("old")));
    assert_eq!(state["nodes"][1]["error"], "it is not in the cluster any more");
    let table = world.control(["remote", "list"]).run().silent(0);
    assert!(!table.text().contains("node old"), "{}", table.text());
    assert_eq!(world.listed().len(), 33, "its tasks are kept");
    // The node comes back.
    pve.node("old", |node| *node = old);
    world.sync(&[]).silent(0);
    let state = world.remote("pve");
    assert_eq!((&state["cutoff"], &state["nodes"][1]["error"]), (&json!(START + 2), &json!(null)));
}

#[test]
fn a_faulty_host_affects_no_other_and_ends_no_task() {
    let world = World::new();
    let (good, bad) = (Proxmox::pve(), Proxmox::pve());
    for (host, name) in [(&good, "n"), (&bad, "b")] {
        host.node(name, |node| {
            node.jobs = many(name, 20);
            node.jobs.push(runs(upid(name, 500, START + 500, "vzdump", "5")));
        });
    }
    world.add("good", &good);
    world.add("bad", &bad);
    world.sync(&[]).silent(0);
    let faults = [
        (Fault::Hangs, "no answer within 2 s"),
        (
            Fault::Status(401, "no such user\n"),
            "token not accepted (401): no such user; if its name or secret has changed: control remote set ",
        ),
        (
            Fault::Status(403, "Permission check failed"),
            "permission denied for the token (403): Permission check failed",
        ),
        (Fault::Status(500, "got no worker"), "HTTP status 500: got no worker"),
        (Fault::Status(302, ""), "redirect (status 302), which is not followed"),
        (Fault::Status(595, ""), "HTTP status 595: the node cannot be reached"),
        (Fault::Bare(401), "token not accepted (401); if its name"),
        (Fault::Drips, "no answer within 2 s"),
        (Fault::CutOff, "truncated response"),
        (Fault::Says("<html>welcome</html>"), "unexpected response: not JSON"),
        (Fault::Says("[]"), "unexpected response: no data"),
        (Fault::Says("{\"data\":{}}"), "unexpected response: not a list of nodes"),
        (Fault::Says(""), "unexpected response: not JSON"),
    ];
    for (round, (fault, said)) in (1..).zip(faults) {
        bad.change(|state| state.fault = Some(fault.clone()));
        good.node("n", |node| node.jobs.extend(many("n", 600 + round).split_off(599 + round as usize)));
        let name = ["--timeout", "2s", "good", "bad"];
        let ran = tells(world.sync(&name), 1, &["remote good: 1 new", &format!("error: remote bad: {said}")]);
        assert_eq!(ran.err.lines().count(), 1, "one line: {}", ran.err);
        assert!(!format!("{ran:?}").contains(SECRET));
        let state = world.remote("bad");
        assert!(state["error"].as_str().unwrap().contains(said.split(';').next().unwrap()), "{state}");
        assert_eq!(state["failures"], round);
        let running = world.running();
        let theirs = running.iter().find(|row| row["remote"] == "bad").unwrap();
        assert_eq!(theirs["not_seen_since"], theirs["seen"], "the last known status is running");
        let good = running.iter().find(|row| row["remote"] == "good").unwrap();
        assert_eq!(good["not_seen_since"], json!(null));
        tells(world.control(["remote", "test", "bad", "--timeout", "1s"]).run(), 1, &["remote bad: "]);
    }
    bad.change(|state| state.fault = Some(Fault::Drops));
    tells(world.sync(&["bad"]), 1, &["error: remote bad: "]);
    let ran = tells(world.sync(&[]), 0, &["remote bad is skipped for", "remote good: 0 new"]);
    assert!(!ran.text().contains("bad"));
    bad.change(|state| state.fault = None);
    tells(world.sync(&["bad"]), 0, &["remote bad: 0 new"]);
    assert_eq!(world.remote("bad")["failures"], 0);
    world.same_as_on(&[&good, &bad]);
}

#[test]
fn errors_of_a_backup_server_are_plain_text() {
    let world = World::new();
    let pbs = Proxmox::pbs();
    world.add("pbs", &pbs);
    let faults = [
        (
            Fault::Status(401, "authentication failed - no such token\n"),
            "(401): authentication failed - no such token; if",
        ),
        (Fault::Status(400, "parameter 'x': \u{1b}[2J"), "HTTP status 400: parameter 'x': \\x1b[2J\n"),
        (Fault::Status(502, "<html>\n<h1>Bad Gateway</h1>"), "HTTP status 502\n"),
    ];
    for (fault, said) in faults {
        pbs.change(|state| state.fault = Some(fault.clone()));
        let ran = tells(world.sync(&["pbs"]), 1, &[said]);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}

#[test]
fn a_failed_request_about_one_task_ends_no_task() {
    let world = World::new();
    let pve = Proxmox::pve();
    let long = upid("n", 500, START - 90, "vzdump", "5");
    pve.node("n", |node| node.jobs = vec![runs(long.clone())]);
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    // The task is no longer in the list, and a proxy that responds for the host does not know it.
    for (count, status) in [(1, 404), (2, 500), (3, 502)] {
        pve.node("n", |node| {
            node.jobs = many("n", count);
            node.state_fault = Some(Fault::Status(status, "Not here"));
        });
        tells(world.sync(&["pve"]), 1, &[&format!("remote pve: HTTP status {status}: Not here")]);
        assert_eq!(world.listed().len(), count as usize, "its other tasks are kept");
        let running = world.running();
        assert_eq!(running.len(), 1, "no host reports its end");
        assert_eq!(running[0]["not_seen_since"], running[0]["seen"]);
        assert_eq!(world.remote("pve")["cutoff"], START - 90);
    }
    pve.node("n", |node| node.state_fault = None);
    tells(world.sync(&["pve"]), 0, &["remote pve: 1 new"]);
    assert_eq!(world.running().len(), 0);
    world.is_sound();
}

#[test]
fn the_last_contact_is_the_last_successful_response() {
    let world = World::new();
    let pbs = Proxmox::pbs();
    pbs.node("localhost", |node| node.jobs = many("pbs", 1));
    world.add("pbs", &pbs);
    pbs.change(|state| state.fault = Some(Fault::Drops));
    tells(world.sync(&["pbs"]), 1, &["remote pbs: "]);
    let state = world.remote("pbs");
    assert_eq!((&state["contact"], &state["failures"]), (&json!(null), &json!(1)));
    assert!(state["tried"].is_i64(), "{state}");
    pbs.change(|state| state.fault = None);
    world.sync(&["pbs"]).silent(0);
    let contact = world.remote("pbs")["contact"].clone();
    assert!(contact.is_i64(), "{contact}");

    // A `wait` in between neither resets the time of the last contact nor counts as a full sync.
    let live = upid("pbs", 7, START + 7, "verify", "tank");
    pbs.node("localhost", |node| node.jobs.push(runs(live.clone())));
    let waiter = world.control(["wait", &format!("pbs!{live}")]).spawn();
    until("it to look", || pbs.state().asked.iter().any(|line| line.contains("/status?")));
    world.edit("UPDATE remotes SET tried = tried + 100, contact = contact + 50");
    pbs.node("localhost", |node| node.jobs[1].end = Some((START + 9, "OK".into())));
    assert_eq!(waiter.wait().code, 0);
    let state = world.remote("pbs");
    let contact = contact.as_i64().unwrap();
    assert_eq!((&state["contact"], &state["tried"]), (&json!(contact + 50), &json!(contact + 100)));
    assert_eq!(world.listed().len(), 2);
}

#[test]
fn a_test_names_the_node_that_does_not_respond() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n1", |node| node.jobs = many("n1", 1));
    pve.node("n2", |node| node.fault = Some(Fault::Status(403, "Permission check failed")));
    world.add("pve", &pve);
    let said = "remote pve: node n2: permission denied for the token (403): Permission check failed; assign it a role with this permission";
    tells(world.control(["remote", "test", "pve"]).run(), 1, &[said]);
}

#[test]
fn a_test_asks_nodes_in_parallel_and_lists_those_without_visible_tasks() {
    let world = World::new();
    let pve = Proxmox::pve();
    for node in ["n1", "n2", "n3", "n4", "n5", "n6", "n7"] {
        pve.node(node, |state| state.jobs = many(node, 1));
    }
    for node in ["n3", "n6"] {
        pve.node(node, |state| state.jobs.clear());
    }
    world.add("pve", &pve);
    let said = "responds: Proxmox VE 9.1.1, 7 nodes, 7 of them online, no tasks that the token may see on n3, n6 (without \
                Sys.Audit it sees only its own)\n";
    tells(world.control(["remote", "test", "pve"]).run(), 0, &[said]);
    assert_eq!(world.json(&["remote", "test", "pve"])["without_tasks"], json!(["n3", "n6"]));
    assert!((2..=5).contains(&pve.most_at_once()), "{}", pve.most_at_once());
    pve.change(|state| state.nodes.retain(|name, _| name == "n3"));
    tells(
        world.control(["remote", "test", "pve"]).run(),
        0,
        &["1 node, 1 of them online, no tasks that the token may see ("],
    );
}

#[test]
fn a_repeating_sync_survives_temporary_errors_of_the_database() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n", |node| node.jobs = many("n", 3));
    world.add("pve", &pve);
    let mut sync = world.control(["remote", "sync", "--every", "0.1"]).spawn();
    until("the first round", || world.listed().len() == 3);
    world.edit("ALTER TABLE remote_nodes RENAME TO hidden");
    until("it to notice", || sync.stderr().contains("trying again"));
    assert!(sync.stderr().contains("no such table: remote_nodes"), "{}", sync.stderr());
    world.edit("ALTER TABLE hidden RENAME TO remote_nodes");
    pve.node("n", |node| node.jobs = many("n", 7));
    until("it to go on", || world.listed().len() == 7);
    assert!(!sync.has_ended());
    assert_eq!(sync.stderr().matches("trying again").count(), 1, "{}", sync.stderr());
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
}

#[test]
fn while_one_host_hangs_the_others_are_reported() {
    let world = World::new();
    let (good, bad) = (Proxmox::pve(), Proxmox::pve());
    good.node("n", |node| node.jobs = many("n", 20));
    bad.node("n", |node| node.fault = Some(Fault::Hangs));
    bad.node("well", |node| node.jobs = many("well", 20));
    world.add("bad", &bad);
    world.add("good", &good);
    let mut sync = world.control(["remote", "sync"]).spawn();
    until("both that respond to be reported", || world.listed().len() == 40);
    assert!(!sync.has_ended(), "it waits for the one that hangs");
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    world.same_as_on(&[&good, &bad]);
}

#[test]
fn responding_nodes_of_a_doubtful_cluster_are_asked_before_silent_ones() {
    let world = World::new();
    let pve = Proxmox::pve();
    for node in ["b", "c"] {
        pve.node(node, |state| state.jobs = many(node, 20));
    }
    pve.node("a", |node| node.fault = Some(Fault::Hangs));
    world.add("pve", &pve);
    world.edit("UPDATE remotes SET failures = 1, error = 'it was away'");
    let mut sync = world.control(["remote", "sync", "pve"]).spawn();
    until("those that respond to be reported", || world.listed().len() == 40);
    assert!(!sync.has_ended(), "the other one has its whole time");
    assert_eq!(pve.most_at_once(), 1);
    pve.node("a", |node| node.fault = None);
    assert_eq!(sync.wait().code, 0);
    world.same_as_on(&[&pve]);
}

#[test]
fn unreadable_entries_are_reported_and_the_rest_is_stored() {
    let world = World::new();
    let pve = Proxmox::pve();
    let good = upid("n", 1, START, "vzdump", "1");
    let hostile = format!("UPID:n:00000009:00000010:{START:08X}:x:{}:root@pam:", "a\\x3bb");
    let entries = json!([
        { "upid": good, "endtime": START + 3, "status": "OK" },
        { "upid": hostile, "endtime": START + 3, "status": "\u{1b}[31mred" },
        { "upid": "UPID:\u{1b}[2J" }, null, 17, { "endtime": 5 },
        { "upid": good.replace("vzdump", "later"), "endtime": "soon" },
    ]);
    pve.node("n", |node| node.fault = Some(Fault::Lists(entries)));
    world.add("pve", &pve);
    let ran = tells(
        world.sync(&[]),
        0,
        &["remote pve: 2 new", "remote pve: skipped unreadable entry: {\"upid\":\"UPID:\\u001b[2J\"}"],
    );
    assert_eq!(ran.err.lines().count(), 3, "the first three are shown: {}", ran.err);
    assert_eq!(world.remote("pve")["unread"], 5);
    // The same entry with another order of fields is not counted again; a new one is.
    let again = |more: &Value| {
        let entries = json!([
            { "status": "OK", "endtime": START + 3, "upid": good },
            null, 17, { "endtime": "soon", "upid": good.replace("vzdump", "later") }, more,
        ]);
        pve.node("n", |node| node.fault = Some(Fault::Lists(entries)));
        world.sync(&[])
    };
    again(&Value::Null).silent(0);
    assert_eq!(world.remote("pve")["unread"], 5);
    let ran = tells(again(&json!([])), 0, &["remote pve: skipped unreadable entry: []\n"]);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert_eq!(world.remote("pve")["unread"], 6);
    // The first three requests are those of all nodes.
    for node in ["m", "o", "p"] {
        let entries = json!([format!("{node}1"), format!("{node}2")]);
        pve.node(node, |state| state.fault = Some(Fault::Lists(entries)));
    }
    let ran = tells(world.sync(&[]), 0, &["remote pve: 0 new"]);
    assert_eq!(ran.err.lines().count(), 3, "{}", ran.err);
    assert_eq!(world.remote("pve")["unread"], 12);
    let listed: BTreeSet<String> = world.listed().into_iter().collect();
    assert_eq!(listed, [good, hostile].into());
    let table = world.control(["history", "--remote", "pve"]).run().silent(0);
    assert!(table.text().contains("\\x1b[31mred") && !table.text().contains('\u{1b}'), "{}", table.text());
}

#[test]
fn a_sync_that_is_killed_anywhere_loses_and_duplicates_nothing() {
    for point in ["sync.received", "sync.added"] {
        let world = World::new();
        let pve = Proxmox::pve();
        for node in ["n1", "n2"] {
            pve.node(node, |state| state.jobs = many(node, 400));
        }
        pve.change(|state| state.longest_page = 100);
        world.add("pve", &pve);
        for _ in 0..4 {
            let ran = world.control(["remote", "sync"]).env(CRASH_AT, point).run();
            assert_eq!(ran.code, KILLED, "{ran:?}");
        }
        // At any other point, at a random time.
        for round in 0..6u64 {
            let mut sync = world.control(["remote", "sync"]).spawn();
            let asked = 2 + round as usize;
            let enough = || pve.state().asked.len() >= asked || sync.has_ended();
            until("some answers", enough);
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(sync.pid()), nix::sys::signal::Signal::SIGKILL);
            sync.child.wait().unwrap();
            pve.asked();
        }
        world.sync(&[]).silent(0);
        world.same_as_on(&[&pve]);
    }
}

#[test]
fn connections_are_bounded_for_each_host_and_for_all() {
    let world = World::new();
    let crowd = Crowd::default();
    let hosts: Vec<Proxmox> = (0..12).map(|_| Proxmox::start(false, crowd.clone())).collect();
    for (number, host) in hosts.iter().enumerate() {
        for node in 0..10 {
            let name = format!("h{number}n{node}");
            host.node(&name, |state| state.jobs = many(&name, 3));
        }
        host.change(|state| state.latency = Duration::from_millis(60));
        world.add(&format!("h{number}"), host);
    }
    let (ran, took) = timed(|| world.sync(&[]));
    ran.silent(0);
    world.same_as_on(&hosts.iter().collect::<Vec<_>>());
    let most: Vec<usize> = hosts.iter().map(Proxmox::most_at_once).collect();
    assert!(most.iter().all(|most| (1..=5).contains(most)) && most.iter().any(|most| *most > 1), "{most:?}");
    assert!((13..=20).contains(&crowd.most()), "{}", crowd.most());
    let one_by_one = Duration::from_millis(60 * 12 * 11);
    assert!(took < one_by_one, "side by side: {took:?}");
}

#[test]
fn many_hanging_hosts_do_not_delay_the_others() {
    let world = World::new();
    let crowd = Crowd::default();
    let hosts: Vec<Proxmox> = (0..25).map(|_| Proxmox::start(false, crowd.clone())).collect();
    for (number, host) in hosts.iter().enumerate() {
        for node in ["a", "b", "c", "d", "e", "f"] {
            host.node(node, |state| state.fault = Some(Fault::Hangs));
        }
        world.add(&format!("bad{number:02}"), host);
    }
    let good = Proxmox::start(false, crowd.clone());
    good.node("n", |node| node.jobs = many("n", 20));
    world.add("good", &good);
    let mut sync = world.control(["remote", "sync"]).spawn();
    let (_, took) = timed(|| until("the one that responds to be reported", || world.listed().len() == 20));
    assert!(!sync.has_ended(), "it gives those that hang their time");
    assert!(took < Duration::from_secs(15), "long before a minute is over: {took:?}");
    assert!(crowd.most() <= 20, "{}", crowd.most());
    // Hanging hosts get only a few connections.
    until("the others to be given back", || crowd.open() <= 5);
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    world.same_as_on(&[&good]);
}

#[test]
fn only_certificates_trusted_by_the_system_or_pinned_are_accepted() {
    let world = World::new();
    let (pve, other) = (Proxmox::pve(), Proxmox::pve());
    pve.node("n", |node| node.jobs = many("n", 1));
    fs::write(world.path("ca.pem"), &pve.pem).unwrap();
    let sync = |trusted: &str| world.control(["remote", "sync", "pve"]).env("SSL_CERT_FILE", world.path(trusted)).run();
    world.adding("pve", "--pve", &pve).run().silent(0);
    // The system trusts another certificate.
    fs::write(world.path("other.pem"), &other.pem).unwrap();
    let words = ["certificate not trusted: ", "--fingerprint ", pve.fingerprint.as_str()];
    let ran = sync("other.pem").says(1, &words);
    assert_eq!(pve.asked(), Vec::<String>::new(), "nothing was sent to it: {ran:?}");
    sync("ca.pem").silent(0);
    world.same_as_on(&[&pve]);
    // Pinned, regardless of what the system trusts; another certificate is refused. The known tasks are kept.
    let set = |args: &[&str]| world.control(["remote", "set", "pve"].iter().chain(args)).run();
    tells(set(&["--fingerprint", &other.fingerprint]), 0, &["remote pve set (pve https://127.0.0.1:"]).silent(0);
    assert_eq!((world.remote("pve")["ended"].clone(), world.remote("pve")["failures"].clone()), (json!(1), json!(0)));
    let said =
        ["certificate does not match the pinned fingerprint; if it was renewed: control remote set pve --fingerprint "];
    let ran = sync("ca.pem").says(1, &said);
    assert!(ran.err.contains(&pve.fingerprint), "{}", ran.err);
    let plain = pve.fingerprint.replace(':', "").to_lowercase();
    set(&["--fingerprint", &plain]).silent(0);
    tells(sync("other.pem"), 0, &["remote pve: 0 new"]);
    set(&["--no-fingerprint"]).silent(0);
    sync("other.pem").says(1, &["certificate not trusted: "]);
    world.same_as_on(&[&pve]);
}

#[test]
fn a_self_signed_authority_is_reported_as_such_and_can_be_pinned() {
    let world = World::new();
    let pve = Proxmox::authority();
    pve.node("n", |node| node.jobs = many("n", 1));
    fs::write(world.path("ca.pem"), &pve.pem).unwrap();
    world.adding("pve", "--pve", &pve).run().silent(0);
    let sync = || world.control(["remote", "sync", "pve"]).env("SSL_CERT_FILE", world.path("ca.pem")).run();
    let ran = sync().says(1, &["it is the certificate of an authority, not of a host; ", "--fingerprint "]);
    assert!(!ran.err.contains("OtherError") && !ran.err.contains("CaUsed"), "{}", ran.err);
    world.control(["remote", "set", "pve", "--fingerprint", &pve.fingerprint]).run().silent(0);
    tells(sync(), 0, &["remote pve: 1 new"]);
}

#[test]
fn a_repeating_sync_reports_an_offline_node_once() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n", |node| node.jobs = many("n", 1));
    pve.node("off", |node| node.offline = true);
    world.add("pve", &pve);
    let mut sync = world.control(["remote", "sync", "--every", "20ms"]).spawn();
    pve.asked();
    until("some rounds", || pve.state().asked.iter().filter(|line| line.contains("/tasks?")).count() > 3);
    assert_eq!(sync.stderr().matches("node off is offline").count(), 1, "{}", sync.stderr());
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    for wrong in ["--every", "--timeout"] {
        tells(world.sync(&[wrong, "0"]), 2, &[&format!("invalid value '0' for '{wrong} "), "must be greater than 0"]);
    }
    tells(world.control(["remote", "test", "pve", "--timeout", "0s"]).run(), 2, &["must be greater than 0"]);
}

#[test]
fn a_remote_can_be_changed_and_keeps_its_tasks() {
    let world = World::new();
    let (pve, moved) = (Proxmox::pve(), Proxmox::pve());
    pve.node("n", |node| node.jobs = many("n", 3));
    moved.node("n", |node| node.jobs = many("n", 5));
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    let set = |name: &str, args: &[&str]| world.control(["remote", "set", name].iter().chain(args)).run();
    tells(set("pve", &["--url", &moved.url(), "--fingerprint", &moved.fingerprint]), 0, &[&moved.url()]);
    tells(world.sync(&[]), 0, &["remote pve: 2 new"]);
    set("pve", &["--token", "other@pam!watch"]).silent(0);
    tells(world.sync(&["pve"]), 1, &["token not accepted (401)"]);
    set("pve", &["--token", TOKEN, "--secret-file", &world.secret()]).silent(0);
    tells(world.sync(&[]), 0, &["remote pve: 0 new"]);
    world.same_as_on(&[&moved]);
    // Options for other kinds of remotes.
    world.control(["remote", "add", "web", "--ssh", "web"]).run().silent(0);
    tells(set("web", &["--token", TOKEN]), 2, &["--token is not supported for remote web (by ssh)\n"]);
    tells(set("pve", &["--ssh", "web"]), 2, &["--ssh is not supported for remote pve (by its API)\n"]);
    tells(set("web", &["--ssh", "www"]), 0, &["remote web set (ssh www)"]);
    tells(set("nobody", &["--ssh", "www"]), 1, &["no such remote: \"nobody\""]);
    tells(set("pve", &[]), 2, &["--fingerprint"]);
}

/// Starts a server that sends these bytes to each client and closes.
fn stranger(says: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(says);
        }
    });
    port
}

#[test]
fn an_unreachable_host_is_reported_with_a_remedy() {
    let world = World::new();
    let pve = Proxmox::pve();
    world.add("pve", &pve);
    // No process listens on a port that was just released.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = |url: &str, proxy: &str| {
        world.control(["remote", "set", "pve", "--url", url]).run().silent(0);
        world.control(["remote", "test", "pve"]).env("https_proxy", proxy).run()
    };
    let at = |port: u16| format!("https://127.0.0.1:{port}");
    let proxy = |port: u16| format!("http://127.0.0.1:{port}");
    let cases = [
        (
            at(closed),
            String::new(),
            format!("cannot reach {}: Connection refused; check the address, and that the host is up\n", at(closed)),
        ),
        ("https://no-such-host.invalid".into(), String::new(), "cannot resolve host no-such-host.invalid: ".into()),
        (at(stranger(b"SSH-2.0-OpenSSH_9.2p1\r\n")), String::new(), "no TLS on this port; check the port\n".into()),
        (
            at(stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            String::new(),
            "no TLS on this port; check the port\n".into(),
        ),
        (at(stranger(b"")), String::new(), "connection closed during the TLS handshake; check the port\n".into()),
        (
            "https://pve.example".into(),
            proxy(closed),
            format!(
                "cannot reach https://pve.example:8006 through the proxy 127.0.0.1:{closed} of the environment: Connection refused\n"
            ),
        ),
        (
            "https://pve.example".into(),
            proxy(stranger(b"HTTP/1.1 403 Forbidden\r\n\r\n")),
            "cannot reach https://pve.example:8006 through the proxy 127.0.0.1:".into(),
        ),
    ];
    for (url, proxy, said) in cases {
        let ran = tells(test(&url, &proxy), 1, &[&format!("error: remote pve: {said}")[..14], &said]);
        assert!(!ran.err.contains("os error") && ran.err.lines().count() == 1, "{}", ran.err);
    }
}

#[test]
fn secrets_are_read_only_from_private_files_and_stored_nowhere() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n", |node| node.jobs = many("n", 3));
    let bad = |mode: u32, text: &str, words: &[&str]| {
        let program = world.adding("pve", "--pve", &pve);
        fs::write(world.path("secret"), text).unwrap();
        fs::set_permissions(world.path("secret"), Permissions::from_mode(mode)).unwrap();
        program.run().says(1, words);
    };
    bad(0o640, SECRET, &["cannot read the secret in", "readable by other users (mode 0640); run: chmod 600"]);
    bad(0o600, "\n", &["expected one line, the secret"]);
    bad(0o600, "a\nb\n", &["expected one line, the secret"]);
    assert!(!world.db().exists() || world.json(&["remote", "list"]) == json!([]));
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    world.control(["remote", "list"]).run().silent(0);
    for file in ["tasks.db", "tasks.db-wal"] {
        let bytes = fs::read(world.path(file)).unwrap_or_default();
        assert!(memchr::memmem::find(&bytes, SECRET.as_bytes()).is_none(), "{file}");
    }
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o604)).unwrap();
    world.sync(&["pve"]).says(1, &["remote pve: cannot read the secret in", "chmod 600"]);
    fs::remove_file(world.path("secret")).unwrap();
    world.sync(&["pve"]).says(1, &["remote pve: cannot read the secret in", "No such file"]);
    // Required options.
    let add = |args: &[&str]| world.control(["remote", "add", "x"].iter().chain(args)).run();
    let url = pve.url();
    tells(add(&["--pve", &url]), 2, &["--token", "--secret-file"]);
    tells(add(&["--pve", "http://x", "--token", TOKEN, "--secret-file", "s"]), 2, &["expected https://HOST"]);
    tells(add(&["--pve", &url, "--token", "root@pam", "--secret-file", "s"]), 2, &["USER@REALM!NAME"]);
    tells(add(&["--pve", &url, "--ssh", "x"]), 2, &["cannot be used with"]);
    tells(add(&["--ssh", "x", "--token", TOKEN]), 2, &["cannot be used with"]);
    tells(add(&[]), 2, &["--ssh"]);
    // A secret after the token is not printed.
    let file = world.secret();
    for token in [format!("{TOKEN}={SECRET}"), format!("watch:{SECRET}")] {
        let ran = tells(add(&["--pve", &url, "--token", &token, "--secret-file", &file]), 2, &["USER@REALM!NAME"]);
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
        let ran = world.control(["remote", "set", "pve", "--token", &token]).run();
        assert!(ran.code == 2 && !format!("{ran:?}").contains(SECRET), "{ran:?}");
    }
    let odd = world.path(os(b"secret\xff"));
    fs::copy(&file, &odd).unwrap();
    let ran = world.control(["remote", "add", "x", "--pve", &url, "--token", TOKEN, "--secret-file"]).arg(&odd).run();
    tells(ran, 1, &["cannot store path ", "it is not UTF-8; rename the file"]);
    let fingerprint = ["--pve", &url, "--token", TOKEN, "--secret-file", "s", "--fingerprint", "00:11"];
    tells(add(&fingerprint), 2, &["64 hexadecimal digits"]);
}

#[test]
fn a_user_filter_includes_the_tokens_of_that_user() {
    let world = World::new();
    let pve = Proxmox::pve();
    let users = ["root@pam", "root@pam!backup", "root@pam!z", "root@pve", "rooty@pam", "other@pam!root@pam"];
    pve.node("n", |node| {
        node.jobs = (1..)
            .zip(users)
            .map(|(n, user)| {
                let upid = upid("n", n, START + i64::from(n), "vzdump", "1").replace("root@pam", user);
                done(upid, START + 60, if n == 2 { "job errors" } else { "OK" })
            })
            .collect();
    });
    world.add("pve", &pve);
    world.sync(&[]).silent(0);
    let of = |args: &[&str]| {
        let page = world.json(&[&["history", "--remote", "pve", "--reverse"], args].concat());
        let user = |row: &Value| row["user"].as_str().unwrap().to_owned();
        page["rows"].as_array().unwrap().iter().map(user).collect::<Vec<_>>()
    };
    assert_eq!(of(&["--user", "root@pam"]), ["root@pam", "root@pam!backup", "root@pam!z"]);
    assert_eq!(of(&["--user", "root"]), ["root@pam", "root@pam!backup", "root@pam!z"]);
    assert_eq!(of(&["--user", "root@pam", "--outcome", "error"]), ["root@pam!backup"]);
    assert_eq!(of(&["--user", "root@pam!backup"]), ["root@pam!backup"]);
    assert_eq!(of(&["--user", "nobody"]), Vec::<String>::new());
    // Without a limit, all rows are printed, as by the verb with dashes.
    let many = many("m", 130);
    pve.node("m", |node| node.jobs = many);
    world.sync(&[]).silent(0);
    assert_eq!(of(&["--limit", "0"]).len(), 136);
    let ran = world.control(["--history", "--all-remotes"]).run().silent(0);
    assert_eq!(ran.text().lines().count(), 137);
    assert_eq!(of(&[]).len(), 50);
}

#[test]
fn a_long_sync_shows_its_progress_on_a_terminal_and_cleans_up() {
    let world = World::new();
    let hosts = [Proxmox::pve(), Proxmox::pve()];
    for (host, name) in hosts.iter().zip(["a", "b"]) {
        host.node(name, |node| node.jobs = many(name, 7));
        world.add(name, host);
    }
    hosts[1].change(|state| state.fault = Some(Fault::Hangs));
    let line = format!("{} remote sync", env!("CARGO_BIN_EXE_control"));
    let screen = world.path("screen");
    let mut sync = world.command("script").arg("-qefc").arg(&line).arg(&screen).env("TERM", "xterm").spawn();
    let seen = || String::from_utf8_lossy(&fs::read(&screen).unwrap_or_default()).into_owned();
    until("a bar", || seen().contains("1 of 2 remotes, 7 new tasks"));
    assert!(!sync.has_ended());
    hosts[1].change(|state| state.fault = None);
    assert_eq!(sync.wait().code, 0);
    // At the end only the output is left: the bar is gone.
    let seen = seen();
    let left = seen.rsplit("\x1b[2K").next().unwrap();
    assert!(seen.contains("remote a: 7 new") && !left.contains("remotes,"), "{seen:?}");
    world.same_as_on(&[&hosts[0], &hosts[1]]);
}

#[test]
fn hosts_are_asked_if_no_thread_can_be_created() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    let pve = Proxmox::pve();
    for (node, count) in [("n1", 2_500), ("n2", 1_000), ("n3", 3)] {
        pve.node(node, |node_state| node_state.jobs = many(node, count));
    }
    world.add("cluster", &pve);
    // Also by name, which is resolved on a thread.
    let named = pve.url().replace("127.0.0.1", "localhost");
    let adding = world.control(["remote", "add", "named", "--pve", &named, "--fingerprint", &pve.fingerprint]);
    adding.arg_all(["--token", TOKEN, "--secret-file", &world.secret()]).run().silent(0);
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        let chown = format!("chown -R {NOBODY} {}", world.path("").display());
        world.sh(&chown).run().silent(0);
        if world.control(["--version"]).user(NOBODY).run().code != 0 {
            return;
        }
    }
    let alone = |args: &[&str]| {
        let words = ["--nproc=1", env!("CARGO_BIN_EXE_control")];
        let program = world.command("prlimit").arg_all(words).arg_all(args.iter().copied());
        if is_root { program.user(NOBODY) } else { program }
    };
    for name in ["cluster", "named"] {
        let answers = format!("remote {name} responds: Proxmox VE 9.1.1, 3 nodes");
        tells(alone(&["remote", "test", name]).run(), 0, &[&answers]);
    }
    tells(alone(&["remote", "sync"]).run(), 0, &["remote cluster: 3503 new", "remote named: 3503 new"]);
}
