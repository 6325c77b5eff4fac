//! Tests of the pages as a browser reads them: with an HTML tokenizer, and with malicious texts
//! wherever a task, a program or an address can put one.

use std::collections::{BTreeMap, BTreeSet};

use html5gum::{Token, Tokenizer};
use serde_json::json;

use super::*;
use crate::model::{
    program::ProcState,
    query::Cursor,
    task::{Class, Stored},
};

/// 2026-11-25 09:37:01 UTC.
const NOW: i64 = 1_795_599_421;
const HOSTILE: &str =
    "</pre></title><script>alert(1)</script>\" onload='x' &amp;\n\r\t\x1b[31m\x07\u{9b}\u{202e}\u{0}é";

fn info() -> PageInfo<'static> {
    PageInfo {
        title: "taskwatcher",
        host: "atlas",
        version: "0.1.0",
        identifier: "supervise",
        token: Some("0123456789abcdef0123456789abcdef"),
        message: None,
        now: NOW,
        programs: true,
    }
}

fn process(name: &str, state: ProcState) -> ProcessInfo {
    ProcessInfo {
        group: "web".into(),
        name: name.into(),
        program: "api".into(),
        process_num: 0,
        state,
        statecode: state.code(),
        description: format!("pid 4711, uptime 0:00:01 {name}"),
        pid: 4711,
        task_id: Some(812),
        start: NOW - 1,
        stop: 0,
        now: NOW,
        uptime: 1,
        exit_code: None,
        exit_signal: None,
        core: false,
        expected: None,
        spawn_error: Some(name.into()),
        fails: 0,
        startretries: Some(3),
        next_try: None,
        leftover: 2,
        adopted: true,
        stdout_log: Some(name.into()),
        stderr_log: Some(name.into()),
        config_changed: true,
    }
}

fn live(id: i64, name: &str, status: Status) -> LiveTask {
    let text = || Some(name.to_owned());
    let task = Task {
        id,
        name: name.into(),
        info: [text(), text(), text()],
        pid: Some(77),
        starttime: (status != Status::Reserved).then_some(NOW - 754),
        reservetime: Some(NOW - 760),
        expires: Some(NOW + 60),
        timeout: Some(60.0),
        max_runtime: Some(7200.0),
        handle: name.into(),
        upid: Some(Stored::Text(name.to_owned())),
        host: text(),
        user: text(),
        argv: Some(json!([name, "a b"]).to_string()),
        cwd: text(),
        stop_signal: Some(Stored::Text(name.to_owned())),
        kill_after: Some(10.0),
        log: text(),
        ..Task::default()
    };
    LiveTask { task: task.into(), status, silent_for: Some(31.4), progress: Some(0.427), message: text() }
}

fn row(id: i64, name: &str, outcome: &str, end: i64) -> HistoryRow {
    let text = || Some(name.to_owned());
    HistoryRow {
        id,
        taskid: id,
        taskname: text(),
        info1: text(),
        info2: text(),
        info3: text(),
        outcome: Stored::read(outcome),
        termsignal: Some(Stored::Text(name.to_owned())),
        termerror: (outcome == "unknown").then(|| "launcher lost".to_owned()),
        exitcode: Some(3),
        starttime: Some(end - 600),
        endtime: end,
        duration: Some(600.25),
        feedback: None,
        warnings: 2,
        upid: Some(Stored::Text(name.to_owned())),
        handle: text(),
        pid: Some(77),
        argv: Some(json!([name, "a b", {"bytes": "/w=="}])),
        cwd: text(),
        user: text(),
        host: text(),
        log: text(),
        cpu_user: Some(12.0),
        cpu_sys: Some(0.5),
        maxrss: Some(150_000_000),
        ended_by: Some(Stored::Text(name.to_owned())),
        reservetime: Some(end - 601),
        options: Some(json!(["--name", name])),
        supervised: Some(
            json!({ "program": "web", "process": "web_1", "group": "<g>", "attempt": 2, "expected": false }),
        ),
    }
}

fn summary(name: &str) -> Summary {
    Summary {
        name: name.into(),
        counts: [10, 2, 3, 1],
        cut_short: 0,
        future: 0,
        p50: Some(600.0),
        p95: Some(1200.5),
        last_success: Some(NOW - 60),
        last_failure: Some((NOW - 120, Some(name.into()))),
        recent: vec![(Class::Ok, Some(1.5)), (Class::Error, Some(2.5))],
    }
}

fn form(text: &str) -> HistoryForm {
    let text = || text.to_owned();
    HistoryForm {
        name: text(),
        outcome: text(),
        since: text(),
        until: text(),
        user: text(),
        limit: 33,
        after: text(),
        fault: Some(text()),
    }
}

fn page_of(rows: Vec<HistoryRow>) -> Page<HistoryRow> {
    Page { rows, next: Some(Cursor { endtime: 5, id: 7 }) }
}

fn whole(rows: Vec<HistoryRow>) -> Page<HistoryRow> {
    Page { rows, next: None }
}

const OUTCOMES: [&str; 5] =
    ["OK", "WARNINGS: 2", "ERROR: exit code 3", "unknown", "ERROR: killed by root (control, pid 8)"];

/// Every page, with this text wherever possible.
fn pages(text: &str) -> Vec<(&'static str, String)> {
    let message = Message { text: text.to_owned(), failed: true };
    let info = PageInfo { message: Some(&message), title: text, host: text, version: text, identifier: text, ..info() };
    let processes: Vec<ProcessInfo> = ProcState::ALL.into_iter().map(|state| process(text, state)).collect();
    let running: Vec<LiveTask> = Status::ALL.into_iter().zip(1..).map(|(status, id)| live(id, text, status)).collect();
    let outcomes =
        OUTCOMES.iter().map(|outcome| (*outcome).to_owned()).chain([text.to_owned(), format!("ERROR: {text}")]);
    let rows: Vec<HistoryRow> =
        outcomes.zip(100..).map(|(outcome, id)| row(id, text, &outcome, NOW - 60 * id)).collect();
    let feedback = json!({text: text, "nested": {text: [text]}});
    let log = vec![text.to_owned(), "plain".to_owned()];
    let ended = rows.iter().map(|row| TaskView::Ended { row, feedback: Some(&feedback), log: Ok(&log) });
    let not_ended = running.iter().map(|task| TaskView::Live { task, feedback: Some(&feedback), log: Ok(&log) });
    let span = Span { from: NOW - 86_400, until: NOW };
    let no_rows = Page { rows: vec![], next: None };
    let mut pages = vec![
        ("programs", programs_page(&info, &processes)),
        ("no programs", programs_page(&info, &[])),
        ("read-only", programs_page(&PageInfo { token: None, ..info }, &processes)),
        ("log", program_log_page(&info, &processes[0], Channel::Stdout, Some((text, true)))),
        ("no log", program_log_page(&info, &processes[0], Channel::Stderr, None)),
        ("tasks", tasks_page(&info, &running)),
        ("no tasks", tasks_page(&PageInfo { programs: false, ..info }, &[])),
        ("history", history_page(&info, &form(text), &page_of(rows.clone()))),
        ("fault", history_page(&info, &form(text), &no_rows)),
        ("no history", history_page(&info, &HistoryForm::default(), &no_rows)),
        ("nothing fits", history_page(&info, &HistoryForm { fault: None, ..form(text) }, &no_rows)),
        ("name", name_page(&info, text, &summary(text), &rows, &running)),
        ("no runs", name_page(&info, text, &Summary { counts: [0; 4], ..summary(text) }, &[], &[])),
        ("timeline", timeline_page(&info, span, &page_of(rows.clone()), &running)),
        ("empty timeline", timeline_page(&info, span, &no_rows, &[])),
        ("error", error_page(&info, 404, text)),
    ];
    let bare = TaskView::Ended { row: &rows[0], feedback: None, log: Err(text) };
    pages.push(("without log", task_page(&info, &bare)));
    pages.extend(ended.chain(not_ended).map(|view| ("task", task_page(&info, &view))));
    pages
}

/// A start tag with its attributes.
type Tag = (String, BTreeMap<String, String>);

/// Tokenizes a page into its tags and all text. It must be well-formed.
fn read(what: &str, page: &str) -> (Vec<Tag>, String) {
    const VOID: [&str; 5] = ["meta", "link", "input", "br", "wbr"];
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut tags, mut text, mut open) = (vec![], String::new(), Vec::<String>::new());
    for Ok(token) in Tokenizer::new(page) {
        match token {
            Token::StartTag(tag) => {
                let name = string(&tag.name);
                let attributes = tag.attributes.iter().map(|(name, value)| (string(name), string(value)));
                tags.push((name.clone(), attributes.collect()));
                if !tag.self_closing && !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Token::EndTag(tag) => assert_eq!(open.pop(), Some(string(&tag.name)), "{what}: closed out of order"),
            Token::String(piece) => text.push_str(&string(&piece)),
            Token::Doctype(_) => {}
            Token::Comment(_) => panic!("{what}: a comment"),
            Token::Error(error) => panic!("{what}: {error:?}"),
        }
    }
    assert_eq!(open, Vec::<String>::new(), "{what}: not closed");
    (tags, text)
}

#[test]
fn every_page_is_well_formed_and_needs_no_more_than_its_policy() {
    for text in [HOSTILE, "backup", ""] {
        for (what, page) in pages(text) {
            let (tags, _) = read(what, &page);
            let scripts: Vec<&Tag> = tags.iter().filter(|(name, _)| name == "script").collect();
            assert_eq!(scripts.len(), 1, "{what}");
            assert_eq!(scripts[0].1["src"], "/live.js", "{what}");
            for (name, attributes) in &tags {
                assert!(
                    !["style", "iframe", "object", "embed", "base", "img"].contains(&name.as_str()),
                    "{what}: {name}"
                );
                for (attribute, value) in attributes {
                    assert!(!attribute.starts_with("on") && attribute != "style", "{what}: {name} {attribute}");
                    if ["href", "src", "action", "formaction", "data-stream"].contains(&attribute.as_str()) {
                        let is_local = value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//"));
                        assert!(is_local, "{what}: {name} {attribute}={value}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_text_of_others_is_in_a_page_unescaped() {
    for (what, page) in pages(HOSTILE) {
        let raw =
            page.chars().find(|c| (c.is_control() && !['\n', '\t'].contains(c)) || crate::model::ansi::misleads(*c));
        assert_eq!(raw, None, "{what}");
        let breaks = page.contains(['\n', '\t']) && !page.contains("<pre");
        assert!(!breaks && !page.contains("<script>"), "{what}");
    }
    let (_, text) = read("tasks", &tasks_page(&info(), &[live(1, HOSTILE, Status::Running)]));
    assert!(
        text.contains(
            "</pre></title><script>alert(1)</script>\" onload='x' &amp;\\n\\r\\t\\x1b[31m\\x07\\x9b\\u{202e}"
        )
    );
}

#[test]
fn a_fragment_is_one_line_and_the_same_as_in_its_page() {
    let processes: Vec<ProcessInfo> = ProcState::ALL.into_iter().map(|state| process(HOSTILE, state)).collect();
    let running: Vec<LiveTask> = Status::ALL.into_iter().map(|status| live(1, HOSTILE, status)).collect();
    for (fragment, page) in [
        (live_programs(&info(), &processes), programs_page(&info(), &processes)),
        (live_programs(&info(), &[]), programs_page(&info(), &[])),
        (live_rows(&[], NOW), tasks_page(&info(), &[])),
    ] {
        read("fragment", &fragment);
        assert!(!fragment.contains(['\n', '\r']) && page.contains(&fragment));
    }
    let fragment = live_rows(&running, NOW);
    read("fragment", &fragment);
    assert!(!fragment.contains(['\n', '\r']));
}

#[test]
fn the_fragment_of_tasks_changes_only_with_the_tasks() {
    let mut task = live(1, "a", Status::Running);
    let first = live_rows(std::slice::from_ref(&task), NOW);
    task.silent_for = task.silent_for.map(|age| age + 2.0);
    assert_eq!(live_rows(std::slice::from_ref(&task), NOW + 2), first);
    let (_, text) = read("page", &tasks_page(&info(), std::slice::from_ref(&task)));
    assert!(text.contains("33s of 1m") && text.contains("12m34s") && !first.contains("12m34s"), "{text}");
    task.progress = Some(0.5);
    assert_ne!(live_rows(&[task], NOW + 2), first);
}

#[test]
fn ids_are_unique_and_every_field_has_a_label() {
    for (what, page) in pages("backup") {
        let (tags, _) = read(what, &page);
        let mut ids = BTreeSet::new();
        for (name, attributes) in &tags {
            if let Some(id) = attributes.get("id") {
                assert!(ids.insert(id.clone()), "{what}: {id} twice");
            }
            let hidden = attributes.get("type").is_some_and(|kind| kind == "hidden");
            if ["input", "select"].contains(&name.as_str()) && !hidden {
                // Inside its label, whose end tag the tokenizer has checked.
                let at = page
                    .find(&format!("name={} ", attributes["name"]))
                    .or(page.find(&format!("name={}>", attributes["name"])));
                let before = &page[..at.unwrap()];
                assert!(
                    before.rfind("<label").unwrap() > before.rfind("</label").unwrap_or(0),
                    "{what}: {attributes:?}"
                );
            }
            if ["progress", "meter"].contains(&name.as_str()) {
                assert!(attributes.contains_key("aria-label"), "{what}: {name}");
            }
            if name == "th" {
                assert!(attributes.contains_key("scope"), "{what}: {name}");
            }
        }
        for part in ["<main", "<nav", "<header>", "<footer", "<h1>", "lang=en", "class=skip"] {
            assert_eq!(page.matches(part).count().min(1), 1, "{what}: {part}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{what}");
        let hidden = |attributes: &BTreeMap<String, String>| attributes.contains_key("aria-hidden");
        let mut pictures = tags.iter().filter(|(name, attributes)| name == "svg" && !hidden(attributes));
        assert!(pictures.all(|(_, attributes)| attributes.contains_key("aria-label")), "{what}");
    }
}

#[test]
fn a_name_of_many_kilobytes_does_not_enlarge_a_list() {
    let name = "\u{fc}<".repeat(1 << 14);
    let rows: Vec<HistoryRow> = (0..50).map(|id| row(id, &name, &format!("ERROR: {name}"), NOW)).collect();
    let running: Vec<LiveTask> = (0..50).map(|id| live(id, &name, Status::Running)).collect();
    let history = history_page(&info(), &HistoryForm::default(), &page_of(rows));
    let tasks = tasks_page(&info(), &running);
    assert!(history.len() < 150_000 && tasks.len() < 300_000, "{} {}", history.len(), tasks.len());
    assert!(history.contains("\u{fc}&lt;…</a>") && tasks.contains("\u{fc}&lt;…</a>"));
    let short = "\u{fc}".repeat(200);
    assert!(live_rows(&[live(1, &short, Status::Running)], NOW).contains(&format!(">{short}</a>")));
}

/// The actions and names of the buttons of a page.
fn asked(page: &str) -> Vec<(String, String)> {
    let (tags, _) = read("page", page);
    let (mut name, mut found) = (String::new(), vec![]);
    for (tag, attributes) in &tags {
        match (tag.as_str(), attributes.get("name").map(String::as_str)) {
            ("input", Some("name")) => name.clone_from(&attributes["value"]),
            ("button", Some("action")) => found.push((attributes["value"].clone(), name.clone())),
            _ => {}
        }
    }
    found
}

#[test]
fn each_state_has_its_text_and_its_buttons() {
    for state in ProcState::ALL {
        let page = live_programs(&info(), &[process("api", state)]);
        let expected: &[&str] = match state {
            ProcState::Running => &["restart", "stop", "clear"],
            ProcState::Stopped | ProcState::Exited | ProcState::Fatal | ProcState::Unknown => &["start", "clear"],
            ProcState::Starting | ProcState::Backoff | ProcState::Stopping => &["clear"],
        };
        let expected: Vec<(String, String)> =
            expected.iter().map(|action| ((*action).to_owned(), "web:api".to_owned())).collect();
        assert_eq!(asked(&page)[2..], expected, "{state:?}: after those for all");
        assert!(page.contains(&format!(">{}</b>", state.as_str())), "{state:?}");
        assert!(page.contains("href=\"/tail?process=web%3Aapi\"") && page.contains("/name/web%3Aapi"), "{page}");
    }
    for status in Status::ALL {
        assert!(live_rows(&[live(1, "a", status)], NOW).contains(&format!(">{status}</b>")));
    }
    let rows: Vec<HistoryRow> = OUTCOMES.iter().map(|outcome| row(1, "a", outcome, NOW)).collect();
    let (_, text) = read("history", &history_page(&info(), &HistoryForm::default(), &page_of(rows)));
    for words in ["OK#1", "WARNINGS: 2", "ERRORa #1exit code 3", "unknowna #1launcher lost", "killed by root (control"]
    {
        assert!(text.replace("OKa ", "OK").contains(words), "{words}: {text}");
    }
}

#[test]
fn without_a_token_there_are_no_forms() {
    let read_only = PageInfo { token: None, ..info() };
    let task = live(1, "a", Status::Running);
    let view = TaskView::Live { task: &task, feedback: None, log: Ok(&[]) };
    let process = process("api", ProcState::Running);
    for (with, without) in [
        (
            programs_page(&info(), std::slice::from_ref(&process)),
            programs_page(&read_only, std::slice::from_ref(&process)),
        ),
        (task_page(&info(), &view), task_page(&read_only, &view)),
        (
            program_log_page(&info(), &process, Channel::Stdout, Some(("", false))),
            program_log_page(&read_only, &process, Channel::Stdout, Some(("", false))),
        ),
    ] {
        assert!(!asked(&with).is_empty() && with.contains(info().token.unwrap()));
        assert!(asked(&without).is_empty() && !without.contains("method=post") && without.contains("read-only"));
    }
    let all = [("restart".to_owned(), "all".to_owned()), ("stop".to_owned(), "all".to_owned())];
    assert_eq!(asked(&programs_page(&info(), &[process]))[..2], all);
    assert!(
        programs_page(&info(), &[]).contains("No programs to manage") && asked(&programs_page(&info(), &[])).is_empty()
    );
}

#[test]
fn failures_come_first_and_look_like_failures() {
    let lines = |word: &str, count: usize| (0..count).map(|n| format!("{word}{n}")).collect::<Vec<String>>();
    for (failed, done, text, is_bad) in [
        (0, 0, "nothing to do", false),
        (0, 2, "done0; done1", false),
        (0, 7, "done0; done1; done2; done3; done4; and 2 more", false),
        (1, 7, "bad0; done0; done1; done2; done3; and 3 more", true),
        (6, 1, "bad0; bad1; bad2; bad3; bad4; bad5; and 1 more", true),
    ] {
        let message = Message::of(&lines("bad", failed), &lines("done", done));
        assert_eq!((message.text.as_str(), message.failed), (text, is_bad));
        let page = tasks_page(&PageInfo { message: Some(&message), ..info() }, &[]);
        assert_eq!(page.contains("<p class=\"note bad\" role=alert>"), is_bad);
    }
}

#[test]
fn without_a_supervisor_there_are_no_programs() {
    let alone = PageInfo { programs: false, ..info() };
    let page = tasks_page(&alone, &[]);
    assert!(!page.contains("Programs") && !page.contains("href=/>"), "{page}");
    assert!(tasks_page(&info(), &[]).contains("<a href=/>Programs</a>"));
}

#[test]
fn the_next_page_of_history_asks_for_the_same_rows() {
    let form =
        HistoryForm { name: "a&b c".into(), outcome: "error,unknown".into(), limit: 20, ..HistoryForm::default() };
    let page = history_page(&info(), &form, &page_of(vec![row(1, "a&b c", "OK", NOW)]));
    let (tags, _) = read("history", &page);
    let links: Vec<&String> = tags.iter().filter_map(|(_, attributes)| attributes.get("href")).collect();
    let next = "/history?name=a%26b%20c&outcome=error%2Cunknown&limit=20&after=5.7";
    assert!(links.iter().any(|link| *link == next), "{links:?}");
    assert!(
        page.contains("<option value=\"error,unknown\" selected>") && page.contains("<option value=\"20\" selected>")
    );
    assert!(!page.contains(">Newest<"));
    let last = Page { next: None, ..page_of(vec![row(1, "a", "OK", NOW)]) };
    let page = history_page(&info(), &HistoryForm { after: "5.7".into(), ..form }, &last);
    assert!(page.contains(">Newest<") && !page.contains(">Older<"));
    assert!(page.contains("/history?name=a%26b%20c&amp;outcome=error%2Cunknown&amp;limit=20\">Newest"), "{page}");
}

#[test]
fn a_task_shows_its_outcome_its_command_and_its_figures() {
    let feedback = json!({"progress": "42", "files": 412});
    let mut row = row(12, "backup", "ERROR: exit code 3", NOW);
    row.argv = Some(json!(["/bin/back up", "it's", "a\nb", {"bytes": "/w=="}]));
    let log = vec!["\x1b[31mred\x1b[0m".to_owned()];
    let (_, text) =
        read("task", &task_page(&info(), &TaskView::Ended { row: &row, feedback: Some(&feedback), log: Ok(&log) }));
    for words in [
        "Failed after 10m: exit code 3.",
        "'/bin/back up' 'it'\\''s' $'a\\nb' $'\\xff'",
        "12s user, 0.5s system, 2 % of one",
        "143.1 MiB",
        "files412",
        "red\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let task = live(12, "backup", Status::Stalled);
    let page = task_page(&info(), &TaskView::Live { task: &task, feedback: None, log: Ok(&[]) });
    let (_, text) = read("task", &page);
    assert!(
        text.contains("No heartbeat for half of its timeout") && text.contains("31s of 1m") && text.contains("42 %")
    );
    assert!(page.contains("data-stream=\"/tasklog/12\"") && text.contains("No output yet."));
    let page = task_page(&info(), &TaskView::Ended { row: &row, feedback: None, log: Err("none was written") });
    let (_, text) = read("task", &page);
    assert!(text.contains("No log: none was written.") && !page.contains("/tasklog/"), "{text}");
}

#[test]
fn failures_in_the_chart_are_visible_without_colours() {
    let rows: Vec<HistoryRow> = OUTCOMES.iter().zip(1..).map(|(outcome, id)| row(id, "b", outcome, NOW - id)).collect();
    let page = name_page(&info(), "b", &summary("b"), &rows, &[]);
    let (tags, text) = read("name", &page);
    let bars =
        tags.iter().filter(|(_, attributes)| attributes.get("class").is_some_and(|class| class.starts_with("bar ")));
    assert_eq!(bars.count(), rows.len() + 4, "plus those of the legend");
    assert_eq!(page.matches(">×</text>").count(), 2);
    assert_eq!((page.matches(">?</text>").count(), page.matches(">!</text>").count()), (1, 1));
    for words in ["75 %", "10m", "20m1s", "5 runs, 3 of them failed", "p50", "p95"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn the_timeline_shows_parallel_runs_and_joins_runs_too_short_to_see() {
    let span = Span { from: NOW - 86_400, until: NOW };
    let run =
        |id: i64, name: &str, start: i64, end: i64| HistoryRow { starttime: Some(start), ..row(id, name, "OK", end) };
    let mut rows = vec![
        run(1, "wide", NOW - 50_000, NOW - 30_000),
        run(2, "wide", NOW - 40_000, NOW - 20_000),
        run(3, "wide", NOW - 30_000, NOW - 10_000),
        run(4, "gone", NOW - 90_000, NOW - 86_401),
        run(5, "early", NOW - 90_000, NOW - 80_000),
    ];
    rows.extend((0..1440).map(|n| run(100 + n, "each minute", NOW - n * 60 - 30, NOW - n * 60 - 28)));
    let page = timeline_page(
        &info(),
        span,
        &whole(rows),
        &[live(9, "now", Status::Silent), live(10, "later", Status::Reserved)],
    );
    let (tags, text) = read("timeline", &page);
    assert!(!text.contains("gone") && !text.contains("later") && text.contains("each minute1440 runs"), "{text}");
    let lanes = |name: &str| {
        let label = format!("Runs of {name}");
        let svg = tags.iter().find(|(_, attributes)| attributes.get("aria-label") == Some(&label)).unwrap();
        svg.1["height"].clone()
    };
    assert_eq!((lanes("wide"), lanes("each minute"), lanes("now")), ("36".into(), "18".into(), "18".into()));
    assert!(text.contains("1440 runs, all ok") && page.len() < 10_000, "{} bytes", page.len());
    for (_, attributes) in &tags {
        for name in ["x", "x1", "x2", "width"] {
            if let Some(percent) = attributes.get(name).and_then(|value| value.strip_suffix('%')) {
                assert!((0.0..=100.0).contains(&percent.parse::<f64>().unwrap()), "{attributes:?}");
            }
        }
    }
}

#[test]
fn a_timeline_of_many_runs_stays_small_and_shows_each_name_and_failure() {
    let span = Span { from: NOW - 86_400, until: NOW };
    let run = |id: i64, name: &str, outcome: &str, start: i64, end: i64| HistoryRow {
        starttime: Some(start),
        ..row(id, name, outcome, end)
    };
    // In sequence, every second one failed; and hundreds in parallel.
    let ticks = (0..18_000).map(|n| run(n, "tick", OUTCOMES[n as usize % 2 * 2], NOW - n * 4 - 2, NOW - n * 4));
    let beside = (0..1990).map(|n| run(20_000 + n, "beside", OUTCOMES[n as usize % 3], NOW - 9000 - n, NOW - n));
    let lone = |id| run(id, "nightly", "OK", NOW - 80_000, NOW - 79_000);
    let rows: Vec<HistoryRow> = ticks.chain(beside).chain([lone(30_000)]).collect();
    let all = whole(rows);
    let page = timeline_page(&info(), span, &all, &[]);
    let (_, text) = read("timeline", &page);
    let weight = page.len() + STYLE.len() + SCRIPT.len() + ICON.len();
    assert!(weight <= 60_000, "{weight} bytes");
    for words in ["tick18000 runs, 9000 failed", "beside1990 runs, 663 failed", "nightly1 run", "#30000 OK"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(
        !text.contains("Only the last") && !text.contains("room for") && page.contains("class=\"bar bad\""),
        "{text}"
    );
    // More than are read, and more names than fit: both are reported.
    let page = timeline_page(&info(), span, &Page { next: Some(Cursor { endtime: NOW - 3600, id: 1 }), ..all }, &[]);
    assert!(page.contains("<p class=hint>Only the last 19991 runs are shown") && page.contains("until=%40"), "{page}");
    let many: Vec<HistoryRow> = (0..500).map(|n| run(n, &format!("name {n:03}"), "OK", NOW - 60, NOW)).collect();
    let page = timeline_page(&info(), span, &whole(many), &[]);
    let (_, text) = read("timeline", &page);
    assert!(page.len() + STYLE.len() + SCRIPT.len() + ICON.len() <= 60_000 && text.contains("name 000"), "{text}");
    assert!(text.contains("more names ran than can be shown"), "{text}");
}

#[test]
fn any_span_of_time_can_be_drawn() {
    for (from, until) in [(0, 0), (5, 1), (NOW - 60, NOW), (NOW - 86_400 * 365, NOW), (i64::MIN, i64::MAX)] {
        let rows = vec![row(1, "a", "OK", NOW), row(2, "a", "OK", i64::MAX), row(3, "a", "OK", i64::MIN + 601)];
        let page = timeline_page(&info(), Span { from, until }, &whole(rows), &[live(9, "now", Status::Running)]);
        read("timeline", &page);
    }
}

#[test]
fn fifty_rows_have_at_most_sixty_thousand_bytes() {
    let processes: Vec<ProcessInfo> = (0..50)
        .map(|n| ProcessInfo {
            leftover: 0,
            adopted: false,
            config_changed: false,
            spawn_error: None,
            description: "pid 4711, uptime 12 days, 1:02:03".into(),
            ..process(&format!("worker_{n:02}"), ProcState::Running)
        })
        .collect();
    let running: Vec<LiveTask> = (0..50).map(|n| live(1000 + n, "thumbnails", Status::Running)).collect();
    let rows: Vec<HistoryRow> =
        (0..50).map(|n| row(1000 + n, "thumbnails", OUTCOMES[n as usize % 5], NOW - n * 900)).collect();
    let span = Span { from: NOW - 86_400, until: NOW };
    for (what, page) in [
        ("programs", programs_page(&info(), &processes)),
        ("tasks", tasks_page(&info(), &running)),
        ("history", history_page(&info(), &HistoryForm::default(), &page_of(rows.clone()))),
        ("name", name_page(&info(), "thumbnails", &summary("thumbnails"), &rows, &[])),
        ("timeline", timeline_page(&info(), span, &whole(rows.clone()), &running)),
    ] {
        let whole = page.len() + STYLE.len() + SCRIPT.len() + ICON.len();
        assert!(whole <= 60_000, "{what}: {whole} bytes");
    }
}

/// The colours of the style sheet by name: those of the light scheme, and those of the dark one.
fn colours() -> [BTreeMap<String, [f64; 3]>; 2] {
    let (light, dark) = STYLE.split_once("prefers-color-scheme:dark").unwrap();
    let dark = dark.split_once("\n}").unwrap().0;
    [light, dark].map(|part| {
        let values = part.split(['{', ';']).filter_map(|item| item.trim().strip_prefix("--")?.split_once(":#"));
        let channel = |hex: &str, at: usize| {
            let digits = if hex.len() == 3 { hex[at..=at].repeat(2) } else { hex[2 * at..2 * at + 2].to_owned() };
            f64::from(u8::from_str_radix(&digits, 16).unwrap()) / 255.0
        };
        values.map(|(name, hex)| (name.to_owned(), [0, 1, 2].map(|at| channel(hex, at)))).collect()
    })
}

/// Contrast ratio according to WCAG 2.
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let light = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let (a, b) = (light(a), light(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn all_text_has_enough_contrast_in_both_schemes() {
    for colours in colours() {
        let on = |text: &str, ground: &str| {
            let ratio = contrast(colours[text], colours[ground]);
            assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
        };
        for text in ["text", "dim", "link"] {
            for ground in ["page", "card", "soft", "go-soft"] {
                on(text, ground);
            }
        }
        for tone in ["ok", "go", "warn", "bad", "odd", "off"] {
            on(tone, &format!("{tone}-soft"));
            on(tone, "card");
            on("text", &format!("{tone}-soft"));
        }
        on("card", "go");
    }
}

/// One sample of the metrics.
type Sample = (String, Vec<(String, String)>, f64);

/// Parses the samples of the text by family, according to OpenMetrics.
fn samples(text: &str) -> Vec<(String, String, Vec<Sample>)> {
    let mut families: Vec<(String, String, Vec<Sample>)> = vec![];
    let body = text.strip_suffix("# EOF\n").unwrap();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            match word {
                "TYPE" => families.push((name.to_owned(), rest.to_owned(), vec![])),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")) && families.last().unwrap().0 == name, "{line}"),
                "HELP" => assert!(families.last().unwrap().0 == name && rest.ends_with('.'), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = vec![];
        while let Some(inside) = rest.strip_prefix(['{', ',']) {
            let (label, quoted) = inside.split_once("=\"").unwrap();
            let (mut value, mut chars) = (String::new(), quoted.char_indices());
            let close = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &quoted[close + 1..];
        }
        let value = rest.strip_prefix('}').unwrap_or(rest).trim().parse().unwrap();
        families.last_mut().unwrap().2.push((name.to_owned(), labels, value));
    }
    families
}

#[test]
fn the_metrics_are_valid_and_have_the_given_values() {
    let name = "a\"b\\c\nd{e}=,";
    let summaries =
        [summary(name), Summary { p50: None, last_success: None, last_failure: None, recent: vec![], ..summary("b") }];
    let running: Vec<LiveTask> = Status::ALL.into_iter().zip(1..).map(|(status, id)| live(id, name, status)).collect();
    let processes: Vec<ProcessInfo> = ProcState::ALL.into_iter().map(|state| process(state.as_str(), state)).collect();
    let facts = MetricFacts { tasks: Some((&summaries, &running)), processes: &processes, now: NOW };
    let families = samples(&metrics(&facts));
    let mut seen = BTreeSet::new();
    for (family, kind, samples) in &families {
        for (name, labels, _) in samples {
            assert!(seen.insert((name.clone(), labels.clone())), "{name} {labels:?} twice");
            let end = if kind == "counter" { "_total" } else { "" };
            assert_eq!(*name, format!("{family}{end}"));
        }
    }
    let value = |metric: &str, wanted: &[(&str, &str)]| {
        let mut all = families.iter().flat_map(|(_, _, samples)| samples);
        let has = |labels: &[(String, String)]| {
            wanted.iter().all(|(label, value)| labels.iter().any(|(l, v)| l == label && v == value))
        };
        all.find(|(name, labels, _)| name == metric && has(labels)).map(|(_, _, value)| *value)
    };
    assert_eq!(value("taskwatcher_task_ends_total", &[("name", name), ("outcome", "error")]), Some(3.0));
    assert_eq!(value("taskwatcher_task_last_success_timestamp_seconds", &[("name", name)]), Some((NOW - 60) as f64));
    assert_eq!(value("taskwatcher_task_last_success_timestamp_seconds", &[("name", "b")]), None);
    assert_eq!(value("taskwatcher_task_last_duration_seconds", &[("name", name)]), Some(2.5));
    assert_eq!(value("taskwatcher_task_duration_seconds", &[("name", name), ("quantile", "0.95")]), Some(1200.5));
    assert_eq!(value("taskwatcher_task_heartbeat_age_seconds", &[("task", "2"), ("name", name)]), Some(31.4));
    assert_eq!(value("taskwatcher_task_runtime_seconds", &[("task", "2")]), Some(754.0));
    for state in ProcState::ALL {
        let process = format!("web:{}", state.as_str());
        let is = |word: &str| {
            value("taskwatcher_program_state", &[("process", &process), ("taskwatcher_program_state", word)])
        };
        for other in ProcState::ALL {
            assert_eq!(is(other.as_str()), Some(f64::from(u8::from(other == state))));
        }
    }
    for status in Status::ALL {
        assert_eq!(value("taskwatcher_tasks", &[("status", status.as_str())]), Some(1.0));
    }
    assert!(metrics(&MetricFacts { tasks: Some((&[], &[])), processes: &[], now: NOW }).ends_with("# EOF\n"));
    assert_eq!(value("taskwatcher_database_up", &[]), Some(1.0));
    let down = metrics(&MetricFacts { tasks: None, processes: &processes, now: NOW });
    assert!(
        samples(&down).len() == 4 && down.contains("taskwatcher_database_up 0\n") && !down.contains("_task"),
        "{down}"
    );
}
