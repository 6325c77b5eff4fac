//! `control remote` with Proxmox hosts: a stand-in of their API on good and on bad days.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "support/proxmox.rs"]
mod host;
mod support;

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::Duration,
};

use host::{Crowd, Fault, Proxmox, SECRET, START, TOKEN, done, many, runs, tells, upid};
use serde_json::{Value, json};
use support::{
    World,
    desk::{CRASH_AT, KILLED},
    os, timed, until,
};

#[test]
fn a_cluster_and_a_backup_server_stand_in_one_list_with_our_own_tasks() {
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

    // One list, newest first, by offset as by cursor.
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

    // Once more, nothing is new; and only what is new was asked for.
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
    world.sync(&[]).silent_err(0);
    assert_eq!(world.running().len(), 3);
    // Others go on meanwhile; the long one ends after them.
    pve.node("n", |node| node.jobs.extend(many("n", 5_000).split_off(50)));
    world.sync(&[]).silent_err(0);
    assert_eq!(world.remote("pve")["cutoff"], START, "it waits for what runs");
    pve.node("n", |node| {
        node.jobs[0].end = Some((START + 6_000, "OK".into()));
        node.jobs[1].end = Some((START + 6_001, "WARNINGS: 1".into()));
        // Its host does not know of this one any more.
        node.jobs.remove(2);
    });
    world.sync(&[]).silent_err(0);
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

    // A week late: the daily look further back finds it, and so does fetching all again.
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
    world.sync(&[]).silent_err(0);
    pve.change(|state| state.busy = false);
    world.sync(&[]).silent_err(0);
    world.same_as_on(&[&pve]);
    assert_eq!(world.running().len(), 1);
}

#[test]
fn a_node_that_fails_in_the_middle_keeps_what_it_told_and_tells_the_rest_next_time() {
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
    assert_eq!(cutoffs, [&json!(START + 9), &json!(null)], "only a node that told all moves on");
    // It is left alone for a while, and asked again when it is named.
    pve.node("half", |node| node.fault = None);
    let why = " after 1 failure (HTTP status 500: proxy loop\\x1b[2J detected); name the remote to sync it now\n";
    let ran = tells(world.sync(&[]), 0, &["remote pve: 0 new", "remote pve: node half is skipped for ", why]);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    tells(world.sync(&["pve"]), 0, &["remote pve: 1500 new"]);
    world.same_as_on(&[&pve]);
    assert_eq!(world.remote("pve")["nodes"][1]["cutoff"], START + 2_499);
}

#[test]
fn a_strange_list_of_nodes_costs_no_node_that_is_in_it() {
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
    // One that tells more than it is asked for could do so without end.
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
    world.sync(&[]).silent_err(0);
    assert_eq!(world.remote("pve")["cutoff"], START + 2);
    let old = pve.state().nodes.remove("old").unwrap();
    // What cannot be read of the list may be the one that is missing.
    pve.change(|state| state.more_nodes = vec![json!(null)]);
    tells(world.sync(&[]), 0, &["skipped unreadable entry: null"]);
    assert_eq!(world.remote("pve")["cutoff"], START + 2);
    pve.change(|state| state.more_nodes.clear());
    world.sync(&[]).silent_err(0);
    let state = world.remote("pve");
    assert_eq!((&state["cutoff"], &state["nodes"][1]["node"]), (&json!(START + 29), &json!("old")));
    assert_eq!(state["nodes"][1]["error"], "it is not in the cluster any more");
    let table = world.control(["remote", "list"]).run().silent(0);
    assert!(!table.text().contains("node old"), "{}", table.text());
    assert_eq!(world.listed().len(), 33, "what it told is kept");
    // It comes back.
    pve.node("old", |node| *node = old);
    world.sync(&[]).silent_err(0);
    let state = world.remote("pve");
    assert_eq!((&state["cutoff"], &state["nodes"][1]["error"]), (&json!(START + 2), &json!(null)));
}

#[test]
fn a_dead_or_mad_host_spoils_nobody_else_and_ends_no_task() {
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
    world.sync(&[]).silent_err(0);
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
        assert_eq!(theirs["not_seen_since"], theirs["seen"], "it runs as far as anybody knows");
        let ours = running.iter().find(|row| row["remote"] == "good").unwrap();
        assert_eq!(ours["not_seen_since"], json!(null));
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
fn a_backup_server_says_in_plain_words_why_it_refuses() {
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
fn a_host_that_tells_nothing_of_one_task_tells_of_the_others_and_ends_none() {
    let world = World::new();
    let pve = Proxmox::pve();
    let long = upid("n", 500, START - 90, "vzdump", "5");
    pve.node("n", |node| node.jobs = vec![runs(long.clone())]);
    world.add("pve", &pve);
    world.sync(&[]).silent_err(0);
    // It is not in the list any more; what answers in the place of its host, a proxy, does not know it.
    for (count, status) in [(1, 404), (2, 500), (3, 502)] {
        pve.node("n", |node| {
            node.jobs = many("n", count);
            node.state_fault = Some(Fault::Status(status, "Not here"));
        });
        tells(world.sync(&["pve"]), 1, &[&format!("remote pve: HTTP status {status}: Not here")]);
        assert_eq!(world.listed().len(), count as usize, "what else it told is kept");
        let running = world.running();
        assert_eq!(running.len(), 1, "nobody says that it has ended");
        assert_eq!(running[0]["not_seen_since"], running[0]["seen"]);
        assert_eq!(world.remote("pve")["cutoff"], START - 90);
    }
    pve.node("n", |node| node.state_fault = None);
    tells(world.sync(&["pve"]), 0, &["remote pve: 1 new"]);
    assert_eq!(world.running().len(), 0);
    world.is_sound();
}

#[test]
fn the_last_contact_is_when_a_host_told_something() {
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
    world.sync(&["pbs"]).silent_err(0);
    let contact = world.remote("pbs")["contact"].clone();
    assert!(contact.is_i64(), "{contact}");

    // What was waited for meanwhile does not set it back, and does not say that all was told just now.
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
fn a_test_names_the_node_that_does_not_answer() {
    let world = World::new();
    let pve = Proxmox::pve();
    pve.node("n1", |node| node.jobs = many("n1", 1));
    pve.node("n2", |node| node.fault = Some(Fault::Status(403, "Permission check failed")));
    world.add("pve", &pve);
    let said = "remote pve: node n2: permission denied for the token (403): Permission check failed; assign it a role with this permission";
    tells(world.control(["remote", "test", "pve"]).run(), 1, &[said]);
}

#[test]
fn a_test_asks_nodes_side_by_side_and_tells_which_show_no_task() {
    let world = World::new();
    let pve = Proxmox::pve();
    for node in ["n1", "n2", "n3", "n4", "n5", "n6", "n7"] {
        pve.node(node, |state| state.jobs = many(node, 1));
    }
    for node in ["n3", "n6"] {
        pve.node(node, |state| state.jobs.clear());
    }
    world.add("pve", &pve);
    let said = "answers: Proxmox VE 9.1.1, 7 nodes, 7 of them online, no tasks that the token may see on n3, n6 (without \
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
fn a_sync_that_goes_on_survives_what_the_database_does_not_do_for_a_while() {
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
fn while_one_hangs_the_others_are_told_of() {
    let world = World::new();
    let (good, bad) = (Proxmox::pve(), Proxmox::pve());
    good.node("n", |node| node.jobs = many("n", 20));
    bad.node("n", |node| node.fault = Some(Fault::Hangs));
    bad.node("well", |node| node.jobs = many("well", 20));
    world.add("bad", &bad);
    world.add("good", &good);
    let mut sync = world.control(["remote", "sync"]).spawn();
    until("both that answer to be told of", || world.listed().len() == 40);
    assert!(!sync.has_ended(), "it waits for the one that hangs");
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    world.same_as_on(&[&good, &bad]);
}

#[test]
fn a_doubtful_cluster_is_asked_for_what_answers_before_it_is_waited_for() {
    let world = World::new();
    let pve = Proxmox::pve();
    for node in ["b", "c"] {
        pve.node(node, |state| state.jobs = many(node, 20));
    }
    pve.node("a", |node| node.fault = Some(Fault::Hangs));
    world.add("pve", &pve);
    world.edit("UPDATE remotes SET failures = 1, error = 'it was away'");
    let mut sync = world.control(["remote", "sync", "pve"]).spawn();
    until("those that answer to be told of", || world.listed().len() == 40);
    assert!(!sync.has_ended(), "the other one has its whole time");
    assert_eq!(pve.most_at_once(), 1);
    pve.node("a", |node| node.fault = None);
    assert_eq!(sync.wait().code, 0);
    world.same_as_on(&[&pve]);
}

#[test]
fn entries_that_cannot_be_read_are_told_of_and_the_rest_is_kept() {
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
    // Told again, in another order of its fields, it counts no more; a new one does.
    let again = |more: &Value| {
        let entries = json!([
            { "status": "OK", "endtime": START + 3, "upid": good },
            null, 17, { "endtime": "soon", "upid": good.replace("vzdump", "later") }, more,
        ]);
        pve.node("n", |node| node.fault = Some(Fault::Lists(entries)));
        world.sync(&[])
    };
    again(&Value::Null).silent_err(0);
    assert_eq!(world.remote("pve")["unread"], 5);
    let ran = tells(again(&json!([])), 0, &["remote pve: skipped unreadable entry: []\n"]);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert_eq!(world.remote("pve")["unread"], 6);
    // The first three are those of all its nodes.
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
fn a_sync_that_is_killed_anywhere_loses_nothing_and_doubles_nothing() {
    for point in ["sync.told", "sync.added"] {
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
        // Anywhere else, at any time.
        for round in 0..6u64 {
            let mut sync = world.control(["remote", "sync"]).spawn();
            let asked = 2 + round as usize;
            let enough = || pve.state().asked.len() >= asked || sync.has_ended();
            until("some answers", enough);
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(sync.pid()), nix::sys::signal::Signal::SIGKILL);
            sync.child.wait().unwrap();
            pve.asked();
        }
        world.sync(&[]).silent_err(0);
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
    ran.silent_err(0);
    world.same_as_on(&hosts.iter().collect::<Vec<_>>());
    let most: Vec<usize> = hosts.iter().map(Proxmox::most_at_once).collect();
    assert!(most.iter().all(|most| (1..=5).contains(most)) && most.iter().any(|most| *most > 1), "{most:?}");
    assert!((13..=20).contains(&crowd.most()), "{}", crowd.most());
    let one_by_one = Duration::from_millis(60 * 12 * 11);
    assert!(took < one_by_one, "side by side: {took:?}");
}

#[test]
fn many_that_begin_to_hang_keep_nobody_waiting() {
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
    let (_, took) = timed(|| until("the one that answers to be told of", || world.listed().len() == 20));
    assert!(!sync.has_ended(), "it gives those that hang their time");
    assert!(took < Duration::from_secs(15), "long before a minute is over: {took:?}");
    assert!(crowd.most() <= 20, "{}", crowd.most());
    // Those that hang have a few lines and no more.
    until("the others to be given back", || crowd.open() <= 5);
    sync.signal(nix::sys::signal::Signal::SIGKILL);
    sync.child.wait().unwrap();
    world.same_as_on(&[&good]);
}

#[test]
fn certificates_are_trusted_by_the_system_or_pinned_and_nothing_else_passes() {
    let world = World::new();
    let (pve, other) = (Proxmox::pve(), Proxmox::pve());
    pve.node("n", |node| node.jobs = many("n", 1));
    fs::write(world.path("ca.pem"), &pve.pem).unwrap();
    let sync = |trusted: &str| world.control(["remote", "sync", "pve"]).env("SSL_CERT_FILE", world.path(trusted)).run();
    world.adding("pve", "--pve", &pve).run().silent(0);
    // The system trusts somebody else.
    fs::write(world.path("other.pem"), &other.pem).unwrap();
    let words = ["certificate not trusted: ", "--fingerprint ", pve.fingerprint.as_str()];
    let ran = sync("other.pem").says(1, &words);
    assert_eq!(pve.asked(), Vec::<String>::new(), "nothing was told to it: {ran:?}");
    sync("ca.pem").silent_err(0);
    world.same_as_on(&[&pve]);
    // Pinned, whatever the system trusts; another one is not taken. What is known of it stays.
    let set = |args: &[&str]| world.control(["remote", "set", "pve"].iter().chain(args)).run();
    tells(set(&["--fingerprint", &other.fingerprint]), 0, &["remote pve set (pve https://127.0.0.1:"]).silent_err(0);
    assert_eq!((world.remote("pve")["ended"].clone(), world.remote("pve")["failures"].clone()), (json!(1), json!(0)));
    let said =
        ["certificate does not match the pinned fingerprint; if it was renewed: control remote set pve --fingerprint "];
    let ran = sync("ca.pem").says(1, &said);
    assert!(ran.err.contains(&pve.fingerprint), "{}", ran.err);
    let plain = pve.fingerprint.replace(':', "").to_lowercase();
    set(&["--fingerprint", &plain]).silent_err(0);
    tells(sync("other.pem"), 0, &["remote pve: 0 new"]);
    set(&["--no-fingerprint"]).silent_err(0);
    sync("other.pem").says(1, &["certificate not trusted: "]);
    world.same_as_on(&[&pve]);
}

#[test]
fn the_certificate_of_an_authority_is_called_so_and_can_be_pinned() {
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
fn a_sync_that_goes_on_tells_of_a_node_that_is_offline_once() {
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
fn how_a_remote_is_reached_can_change_and_its_tasks_stay() {
    let world = World::new();
    let (pve, moved) = (Proxmox::pve(), Proxmox::pve());
    pve.node("n", |node| node.jobs = many("n", 3));
    moved.node("n", |node| node.jobs = many("n", 5));
    world.add("pve", &pve);
    world.sync(&[]).silent_err(0);
    let set = |name: &str, args: &[&str]| world.control(["remote", "set", name].iter().chain(args)).run();
    tells(set("pve", &["--url", &moved.url(), "--fingerprint", &moved.fingerprint]), 0, &[&moved.url()]);
    tells(world.sync(&[]), 0, &["remote pve: 2 new"]);
    set("pve", &["--token", "other@pam!watch"]).silent_err(0);
    tells(world.sync(&["pve"]), 1, &["token not accepted (401)"]);
    set("pve", &["--token", TOKEN, "--secret-file", &world.secret()]).silent_err(0);
    tells(world.sync(&[]), 0, &["remote pve: 0 new"]);
    world.same_as_on(&[&moved]);
    // What it is not for.
    world.control(["remote", "add", "web", "--ssh", "web"]).run().silent_err(0);
    tells(set("web", &["--token", TOKEN]), 2, &["--token is not supported for remote web (by ssh)\n"]);
    tells(set("pve", &["--ssh", "web"]), 2, &["--ssh is not supported for remote pve (by its API)\n"]);
    tells(set("web", &["--ssh", "www"]), 0, &["remote web set (ssh www)"]);
    tells(set("nobody", &["--ssh", "www"]), 1, &["no such remote: \"nobody\""]);
    tells(set("pve", &[]), 2, &["--fingerprint"]);
}

/// Answers whoever connects with these bytes and goes away.
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
fn who_cannot_be_reached_is_named_with_what_to_do() {
    let world = World::new();
    let pve = Proxmox::pve();
    world.add("pve", &pve);
    // Nobody listens on a port that was given back just now.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let test = |url: &str, proxy: &str| {
        world.control(["remote", "set", "pve", "--url", url]).run().silent_err(0);
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
fn secrets_are_read_where_only_we_can_and_are_kept_nowhere() {
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
    world.sync(&[]).silent_err(0);
    world.control(["remote", "list"]).run().silent(0);
    for file in ["tasks.db", "tasks.db-wal"] {
        let bytes = fs::read(world.path(file)).unwrap_or_default();
        assert!(memchr::memmem::find(&bytes, SECRET.as_bytes()).is_none(), "{file}");
    }
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o604)).unwrap();
    world.sync(&["pve"]).says(1, &["remote pve: cannot read the secret in", "chmod 600"]);
    fs::remove_file(world.path("secret")).unwrap();
    world.sync(&["pve"]).says(1, &["remote pve: cannot read the secret in", "No such file"]);
    // What the command line must say.
    let add = |args: &[&str]| world.control(["remote", "add", "x"].iter().chain(args)).run();
    let url = pve.url();
    tells(add(&["--pve", &url]), 2, &["--token", "--secret-file"]);
    tells(add(&["--pve", "http://x", "--token", TOKEN, "--secret-file", "s"]), 2, &["expected https://HOST"]);
    tells(add(&["--pve", &url, "--token", "root@pam", "--secret-file", "s"]), 2, &["USER@REALM!NAME"]);
    tells(add(&["--pve", &url, "--ssh", "x"]), 2, &["cannot be used with"]);
    tells(add(&["--ssh", "x", "--token", TOKEN]), 2, &["cannot be used with"]);
    tells(add(&[]), 2, &["--ssh"]);
    // Whoever puts the secret behind the token does not see it again.
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
fn a_user_stands_for_the_tokens_of_that_user_too() {
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
    world.sync(&[]).silent_err(0);
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
    // Of no limit: all that there are, as the verb with dashes has it.
    let many = many("m", 130);
    pve.node("m", |node| node.jobs = many);
    world.sync(&[]).silent_err(0);
    assert_eq!(of(&["--limit", "0"]).len(), 136);
    let ran = world.control(["--history", "--all-remotes"]).run().silent_err(0);
    assert_eq!(ran.text().lines().count(), 137);
    assert_eq!(of(&[]).len(), 50);
}

#[test]
fn a_long_sync_shows_on_a_terminal_how_far_it_is_and_cleans_up() {
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
    // What it printed stands alone at the end: the bar is gone.
    let seen = seen();
    let left = seen.rsplit("\x1b[2K").next().unwrap();
    assert!(seen.contains("remote a: 7 new") && !left.contains("remotes,"), "{seen:?}");
    world.same_as_on(&[&hosts[0], &hosts[1]]);
}

#[test]
fn hosts_are_asked_where_no_thread_can_be_made() {
    const NOBODY: u32 = 65_534;
    let world = World::new();
    let pve = Proxmox::pve();
    for (node, count) in [("n1", 2_500), ("n2", 1_000), ("n3", 3)] {
        pve.node(node, |node_state| node_state.jobs = many(node, count));
    }
    world.add("cluster", &pve);
    // By a name too, which is looked up by a thread.
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
