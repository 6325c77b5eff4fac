//! The page in a real browser: what users see and press, and what a hostile task cannot do.
//!
//! Without a Chromium in the PATH nothing is tested here, which is reported. Screenshots of all pages, wide and narrow,
//! light and dark, are written to `pages` in Cargo's folder for files of tests.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]
#![expect(clippy::print_stderr, reason = "it is said that nothing was tested")]

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path};

use crate::support::browser::{Browser, chromium};
use crate::support::{World, daemon::Daemon, eventually, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A name, a log line and a feedback that would be more than text in a page without escaping.
const HOSTILE: &str = "<img src=x onerror=window.pwned=1>\"'&";

/// Opens a browser, and starts a supervisor whose page has the returned address. `None` without a browser.
fn opened(world: &World) -> Option<(Browser, Daemon<'_>, String)> {
    opened_with(world, "")
}

/// Like [`opened`], with additional configuration.
fn opened_with<'w>(world: &'w World, more: &str) -> Option<(Browser, Daemon<'w>, String)> {
    let Some(program) = chromium() else {
        eprintln!("skipped: no Chromium on the PATH");
        return None;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let beats =
        "n=0; while [ $n -lt 100 ]; do n=$((n + 1)); echo [progress]$n >>$TASKWATCHER_FEEDBACK; sleep 0.2; done";
    let hostile = "printf '<script>window.pwned=1</script>\\\\033[31mred\\\\033[0m\\\\n'; exec sleep 300";
    world.configure(&format!(
        "[inet_http_server]\nport = \"127.0.0.1:{port}\"\n\
         [programs.web]\ncommand = \"sleep\"\nargs = [\"300\"]\nstartsecs = 0\n\
         [programs.backup]\ncommand = \"sh\"\nargs = [\"-c\", \"{beats}; sleep 300\"]\nstartsecs = 0\ntimeout = 300\nstopasgroup = true\n\
         [programs.loud]\ncommand = \"sh\"\nargs = [\"-c\", \"{hostile}\"]\nstartsecs = 0\n\
         [programs.none]\ncommand = \"/no/such\"\nstartretries = 0\n{more}"
    ));
    let daemon = world.daemon();
    for name in ["web", "backup", "loud"] {
        world.comes_to(name, "RUNNING");
    }
    world.comes_to("none", "FATAL");
    let folder = world.path("browser");
    fs::create_dir(&folder).unwrap();
    Some((Browser::open(&program, &folder), daemon, format!("http://127.0.0.1:{port}")))
}

/// Returns the selector of a button for a process.
fn button(name: &str, action: &str) -> String {
    format!(
        "form:has(input[name=name][value='{name}']) button[value={action}], form:has(input[name=name][value='{name}']):has(input[name=action][value={action}]) button"
    )
}

#[test]
fn programs_are_stopped_started_and_seen_to_change() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    browser.go(&url);
    browser.shows("command not found: /no/such");
    let first = world.pid("web");
    browser.shows(&format!("pid {first}"));
    // The page changes without any click.
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    world.runs_again("web", first);
    browser.shows(&format!("pid {}", world.pid("web")));
    assert_eq!(browser.eval("performance.getEntriesByType('navigation').length"), 1);
    browser.press(&button("web", "stop"));
    world.comes_to("web", "STOPPED");
    browser.shows("STOPPED");
    browser.press(&button("web", "start"));
    world.comes_to("web", "RUNNING");
    // The same without scripts.
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": true }));
    browser.go(&url);
    browser.press(&button("web", "stop"));
    world.comes_to("web", "STOPPED");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    daemon.end();
}

#[test]
fn a_page_that_stays_open_serves_the_next_supervisor_too() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    browser.go(&url);
    browser.shows("RUNNING");
    let token = "document.querySelector('form:has(input[value=all]) input[name=token]').value";
    let first = browser.eval(token);
    daemon.end();
    let daemon = world.daemon();
    world.comes_to("web", "RUNNING");
    until("the page to know of it", || browser.eval(token) != first);
    browser.press("form:has(input[value=all]) button[value=stop]");
    world.comes_to("web", "STOPPED");
    browser.shows("web: stopped");
    daemon.end();
}

#[test]
fn tasks_are_updated_and_their_text_is_escaped() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    let script = format!("echo '{}'; exit 3", HOSTILE.replace('\'', ""));
    world.launch(["--name", HOSTILE, "sh", "-c", &script]).run();
    let hostile = world.history().into_iter().find(|row| row.text("taskname") == HOSTILE).unwrap().int("taskid");
    browser.go(&format!("{url}/tasks"));
    browser.shows("backup");
    let progress = "document.querySelector('.list progress, .list meter').getAttribute('value')";
    let value = |browser: &mut Browser| browser.eval(progress).as_str().and_then(|text| text.parse::<f64>().ok());
    let before = value(&mut browser);
    until("the bar to move", || value(&mut browser) > before);
    // The page of the task, that of the hostile one, and lists with it.
    let backup = world.states()["backup"]["task_id"].to_string();
    browser.go(&format!("{url}/task/{backup}"));
    browser.shows("Running");
    let name = "%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E%22%27%26";
    for path in
        [format!("/task/{hostile}"), "/history".to_owned(), format!("/name/{name}"), "/timeline?hours=1".to_owned()]
    {
        browser.go(&format!("{url}{path}"));
        browser.shows("<img src=x onerror=window.pwned=1>");
        assert_eq!(browser.eval("typeof window.pwned"), "undefined", "{path}");
        assert_eq!(browser.eval("document.querySelectorAll('img').length"), 0, "{path}");
    }
    browser.go(&format!("{url}/tail?process=loud"));
    browser.shows("<script>window.pwned=1</script>red");
    assert_eq!(browser.eval("typeof window.pwned"), "undefined");
    assert!(!browser.text().contains('\u{1b}'));
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    daemon.end();
}

#[test]
fn a_page_shows_when_it_is_outdated() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    browser.go(&format!("{url}/tasks"));
    let mark = |browser: &mut Browser, text: &str| {
        until(text, || browser.eval("document.getElementById('link').textContent") == text);
    };
    mark(&mut browser, "live");
    let (db, aside) = (world.db(), world.path("aside"));
    fs::rename(&db, &aside).unwrap();
    fs::write(&db, "no database ".repeat(100)).unwrap();
    mark(&mut browser, "outdated");
    assert!(browser.text().contains("backup"), "what was known stays");
    fs::rename(&aside, &db).unwrap();
    mark(&mut browser, "live");
    daemon.end();
}

#[test]
fn an_incomplete_line_is_shown_and_grows() {
    let world = World::new();
    let asks =
        "echo begun; printf 'answer: '; read x; printf \\\"$x \\\"; read x; echo $x; printf '> '; exec sleep 300";
    let more =
        format!("[programs.asks]\ncommand = \"sh\"\nargs = [\"-c\", \"{asks}\"]\nstdin = \"pipe\"\nstartsecs = 0\n");
    let Some((mut browser, daemon, url)) = opened_with(&world, &more) else { return };
    world.comes_to("asks", "RUNNING");
    let send = |text: &str| {
        world.ask(
            serde_json::json!({ "command": "send", "target": "process", "name": "asks", "args": { "data": text } }),
        );
    };
    let comes = |browser: &mut Browser, text: &str| {
        let log = "document.querySelector('pre').textContent.replace(/\\n$/, '')";
        until(&format!("the log to be {text:?}"), || browser.eval(log) == text);
    };
    browser.go(&format!("{url}/tail?process=asks"));
    comes(&mut browser, "begun\nanswer: ");
    browser.shows("following");
    send("so\n");
    comes(&mut browser, "begun\nanswer: so ");
    send("it is\n");
    comes(&mut browser, "begun\nanswer: so it is\n> ");
    // The same for a task that overwrites its line.
    let script =
        "echo begun; for n in 10 20 30; do printf \"\\r$n %%\"; while [ ! -e $W/$n ]; do sleep 0.05; done; done";
    let job = world.launch(["--name", "job", "sh", "-c", script]).spawn();
    let id =
        eventually("the task", || world.tasks().iter().find(|row| row.text("name") == "job").map(|row| row.int("id")));
    browser.go(&format!("{url}/task/{id}"));
    for (n, next) in [("10", "20"), ("20", "30")] {
        comes(&mut browser, &format!("begun\n{n} %"));
        fs::write(world.path(n), "").unwrap();
        comes(&mut browser, &format!("begun\n{next} %"));
    }
    fs::write(world.path("30"), "").unwrap();
    job.wait();
    browser.shows("ended");
    assert!(browser.text().contains("begun\n30 %\n"), "{}", browser.text());
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    daemon.end();
}

#[test]
fn history_is_read_from_page_to_page() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    for _ in 0..7 {
        world.launch(["--name", "job", "true"]).run().ok();
    }
    browser.go(&format!("{url}/history?name=job&limit=3"));
    let mut seen = BTreeSet::new();
    let mut sizes = vec![];
    loop {
        let numbers = "[...document.querySelectorAll('.list tbody a[href^=\"/task/\"]')].map(a => a.getAttribute('href')).join(' ')";
        let rows = browser.eval(numbers).as_str().unwrap().to_owned();
        let rows: BTreeSet<String> = rows.split_whitespace().map(str::to_owned).collect();
        sizes.push(rows.len());
        assert!(rows.iter().all(|row| seen.insert(row.clone())), "{rows:?} again");
        let next = browser.eval("(a => a ? a.href : '')(document.querySelector('a[rel=next]'))");
        match next.as_str() {
            Some(next) if !next.is_empty() => browser.go(next),
            _ => break,
        }
    }
    assert_eq!((sizes, seen.len()), (vec![3, 3, 1], 7));
    browser.go(&format!("{url}/history?since=nonsense"));
    browser.shows("nonsense");
    assert!(browser.complaints.iter().all(|text| text.contains("400")), "{:?}", browser.complaints);
    daemon.end();
}

#[test]
fn every_page_fits_on_a_telephone_and_on_a_desk_by_day_and_by_night() {
    let world = World::new();
    let Some((mut browser, daemon, url)) = opened(&world) else { return };
    let long = "a-name-without-any-place-to-break-it-".repeat(8);
    world.launch(["--name", &long, "sh", "-c", "echo 'a warning' >&2; sleep 0.2; exit 3"]).run();
    for _ in 0..3 {
        world.launch(["--name", "tests", "sh", "-c", "sleep 0.1; exit 0"]).run();
    }
    let long_task = world.history().into_iter().find(|row| row.text("taskname") == long).unwrap().int("taskid");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    fs::create_dir_all(&folder).unwrap();
    let pages = [
        ("programs", "/".to_owned()),
        ("tasks", "/tasks".to_owned()),
        ("history", "/history".to_owned()),
        ("task", format!("/task/{long_task}")),
        ("name", "/name/tests".to_owned()),
        ("timeline", "/timeline?hours=1".to_owned()),
        ("log", "/tail?process=loud".to_owned()),
        ("nothing", "/task/999999".to_owned()),
    ];
    for (width, scheme) in [(380, "light"), (380, "dark"), (1600, "light"), (1600, "dark")] {
        browser.look(width, scheme);
        for (name, path) in &pages {
            browser.go(&format!("{url}{path}"));
            let wide = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{name} is wider than {width}");
            let dark = browser.eval("matchMedia('(prefers-color-scheme: dark)').matches");
            let ground = browser.eval("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]");
            assert_eq!(ground.as_f64().unwrap() < 128.0, dark == true, "{name}: {ground} in {scheme}");
            // By keyboard only: the first stop leads to the content.
            let first = "(document.querySelector('a[href], button, input')?.getAttribute('href') ?? '')[0]";
            assert_eq!(browser.eval(first), "#", "{name}");
            browser.picture(&folder.join(format!("{name}-{width}-{scheme}.png")));
        }
    }
    daemon.end();
}
