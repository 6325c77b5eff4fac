//! Runs the examples of the README and of the book, on a terminal, in an empty home folder for each page, and compares
//! what they print.
//!
//! The blocks of a page run in order, in one bash:
//!
//! - A `console` block has commands after `$ `, their further lines after `> `, and below them what they print. A line
//!   `...` stands for any number of lines, `[..]` for any text in a line.
//! - A `console needs TOOL` block is left out if the tool is not installed.
//! - An `sh run` block is a script whose output is not compared.
//! - `<!-- run: COMMAND -->` is a step that readers do not see, such as waiting for a state.
//!
//! What differs from run to run is equal to anything of its kind: times, durations, process ids, UPIDs, blanks between
//! columns, the name of the user (`ann` in the book), the host (`desk`), and the home folder (`/home/ann`). All other
//! blocks are not run; the word after the language says why: `text needs a second host`.
//!
//! The picture in the README is drawn from such a page too: `DRAW=1 cargo test --test it book picture`.
//!
//! `trycmd`, which also runs console blocks, runs each command by itself: without a shell, a terminal or background
//! processes, of which these pages are full.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails the test, as the test itself does")]

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use crate::support::{
    World,
    pty::{Kind, Terminal},
};
use nix::{
    pty::Winsize,
    unistd::{User, geteuid, gethostname},
};

/// Pages that run at once: most of their time they wait.
const PAGES_AT_ONCE: usize = 4;

const SCREEN: Kind = Kind {
    term: "dumb",
    prompt: "",
    size: Some(Winsize { ws_row: 50, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 }),
    returns: false,
};

/// One step of a page.
#[derive(Debug, PartialEq)]
struct Step {
    line: usize,
    command: String,
    /// What is printed; `None` if it is not compared.
    expected: Option<Vec<String>>,
}

/// Returns the language of a block that needs this tool.
fn with_tool(tool: &str) -> &'static str {
    let mut folders =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    if folders.any(|folder| folder.join(tool).exists()) { "console" } else { "text" }
}

/// Returns the steps of a page.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut language: Option<&str> = None;
    for (line, text) in page.lines().enumerate() {
        let line = line + 1;
        let step = |command: &str, expected| Step { line, command: command.to_owned(), expected };
        if let Some(info) = text.strip_prefix("```") {
            language = match language {
                Some(_) => None,
                None => match info.strip_prefix("console needs ") {
                    Some(tool) => Some(with_tool(tool)),
                    None => Some(info),
                },
            };
            if language == Some("sh run") {
                steps.push(step("", None));
            }
            continue;
        }
        let last = steps.last_mut();
        match (language, last) {
            (None, _) => {
                if let Some(command) = text.strip_prefix("<!-- run: ").and_then(|rest| rest.strip_suffix(" -->")) {
                    steps.push(step(command, None));
                }
            }
            (Some("sh run"), Some(last)) => last.command.push_str(&format!("{text}\n")),
            (Some("console"), last) => match (text.strip_prefix("$ "), text.strip_prefix("> "), last) {
                (Some(command), _, _) => steps.push(step(command, Some(vec![]))),
                (None, Some(more), Some(last)) => last.command.push_str(&format!("\n{more}")),
                (None, _, Some(Step { expected: Some(expected), .. })) => expected.push(text.to_owned()),
                (None, _, _) => panic!("line {line}: {text}: output before the first command"),
            },
            (Some(_), _) => {}
        }
    }
    steps
}

/// Returns the line that is printed after a step.
fn mark(page: &str, step: &Step) -> String {
    format!("@@ {page}:{} @@", step.line)
}

/// Returns a bash script of these steps. Each sees the exit code of the one before as `$?`.
fn script(page: &str, steps: &[Step]) -> String {
    let mut script = String::from("export NO_COLOR=1\nunset TASKWATCHER_DB\n");
    for step in steps {
        let (command, mark) = (step.command.trim_end(), mark(page, step));
        script.push_str(&format!("{command}\ncode=$?; echo; echo '{mark}'; (exit $code)\n"));
    }
    script
}

/// What the book has in the place of the user, the host and the home folder of this run.
struct Names {
    user: String,
    host: String,
    home: String,
}

impl Names {
    fn of(world: &World) -> Names {
        let user = User::from_uid(geteuid()).unwrap().map(|user| user.name).unwrap_or_default();
        let host = gethostname().unwrap().to_string_lossy().into_owned();
        let home = world.path("").canonicalize().unwrap();
        Names { user, host, home: home.to_string_lossy().into_owned() }
    }

    /// Returns printed lines as the book has them.
    fn in_the_book(&self, printed: &str) -> Vec<String> {
        let text = printed.replace(&self.home, "/home/ann");
        // Each step ends its last line.
        let text = text.strip_suffix('\n').unwrap_or(&text);
        // A supervisor of root warns that it is one.
        let lines = text.lines().filter(|line| !(self.user == "root" && line.starts_with("supervise: warning:")));
        let line = |line: &str| {
            let is_host = line.starts_with("host ");
            let word = |word: &str| match word {
                word if word == self.user => "ann".to_owned(),
                word if word == self.host && is_host => "desk".to_owned(),
                word => word.to_owned(),
            };
            line.split(' ').map(word).collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<String> = lines.map(line).collect();
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        lines
    }
}

/// Returns a line in which everything that differs from run to run is named by its kind.
fn kinds(line: &str) -> String {
    let mut found: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let marks = |c: char| matches!(c, '(' | ')' | ',' | ':' | ';' | '"');
        let bare = word.trim_matches(marks);
        let before = found.last().map_or("", String::as_str);
        if let Some(kind) = kind(bare, before) {
            // A date before a time is not shown for today.
            if kind != "DATE" {
                found.push(word.replacen(bare, kind, 1));
            }
        } else {
            found.push(word.to_owned());
        }
    }
    found.join(" ")
}

/// Returns the kind of a word, if it differs from run to run.
fn kind(word: &str, before: &str) -> Option<&'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = word.split(':').count() >= 3 && word.split([':', '.']).all(is_number);
    let is_date = word.split('-').count() >= 2 && word.len() >= 5 && word.split('-').all(is_number);
    let is_stamp = word.len() >= 20
        && word.get(10..11) == Some("T")
        && word.get(..10).is_some_and(|date| date.split('-').all(is_number));
    let is_duration = word.strip_suffix('s').is_some_and(|number| number.split('.').all(is_number));
    let states = ["RUNNING", "SILENT", "STALLED", "STOPPING", "PAUSED", "ORPHANED", "pid"];
    match word {
        _ if word.starts_with("UPID:") => Some("UPID"),
        _ if is_stamp || is_time => Some("TIME"),
        _ if is_number(word) && word.len() >= 10 => Some("TIME"),
        _ if is_date => Some("DATE"),
        _ if is_duration => Some("DURATION"),
        _ if is_number(word) && states.contains(&before) => Some("PID"),
        _ => None,
    }
}

/// Whether a line is as expected.
fn is_like(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (kinds(expected), kinds(printed));
    let mut parts = expected.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether all lines are as expected.
fn are_like(expected: &[String], printed: &[String]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, _) => printed.is_empty(),
        (Some((first, expected)), _) if first == "..." => {
            (0..=printed.len()).any(|skipped| are_like(expected, &printed[skipped..]))
        }
        (Some((first, expected)), Some((line, printed))) => is_like(first, line) && are_like(expected, printed),
        (Some(_), None) => false,
    }
}

/// Runs a page, and returns how it differs from what it says.
fn differences(name: &str, page: &str) -> Vec<String> {
    follow(name, page, &mut |_, _| ())
}

/// Runs a page, shows what each step prints, and returns how the page differs from that.
fn follow(name: &str, page: &str, show: &mut dyn FnMut(&Step, &[String])) -> Vec<String> {
    let steps = steps(page);
    if steps.is_empty() {
        return vec![];
    }
    let world = World::new();
    let names = Names::of(&world);
    let programs = Path::new(env!("CARGO_BIN_EXE_launch")).parent().unwrap();
    let path = format!("PATH={}:$PATH\n", programs.display());
    fs::write(world.path("page.sh"), path + &script(name, &steps)).unwrap();
    let terminal = Terminal::open(&world, &SCREEN, "bash", &["../page.sh"]);
    let mut found = Vec::new();
    for step in &steps {
        let mark = mark(name, step);
        let printed = terminal.shows(&format!("{mark}\n"));
        let printed = names.in_the_book(printed.strip_suffix(&format!("\n{mark}\n")).unwrap_or(&printed));
        show(step, &printed);
        if let Some(expected) = step.expected.as_ref().filter(|expected| !are_like(expected, &printed)) {
            let (command, expected, printed) = (&step.command, expected.join("\n"), printed.join("\n"));
            found
                .push(format!("{name}:{}: $ {command}\n--- expected\n{expected}\n--- printed\n{printed}\n", step.line));
        }
    }
    found
}

/// Returns the README and all pages of the book.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found
}

#[test]
fn the_examples_of_the_book_print_what_it_says() {
    let queue: Mutex<VecDeque<PathBuf>> = Mutex::new(pages().into());
    let found = Mutex::new(Vec::new());
    let only = std::env::var("PAGE").unwrap_or_default();
    thread::scope(|scope| {
        for _ in 0..PAGES_AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(path) = queue.lock().unwrap().pop_front() else { return };
                    let name = path.display().to_string();
                    if name.contains(&only) {
                        let differences = differences(&name, &fs::read_to_string(&path).unwrap());
                        found.lock().unwrap().extend(differences);
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn examples_that_are_not_run_say_why() {
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        let mut language = None;
        for line in page.lines() {
            language = match (line.strip_prefix("```"), language) {
                (None, language) => language,
                (Some(_), Some(_)) => None,
                (Some(info), None) => Some(info),
            };
            let says_why = language.is_some_and(|info| info == "console" || info.split_once(' ').is_some());
            assert!(!line.starts_with("$ ") || says_why, "{}: {line}", path.display());
        }
    }
}

#[test]
fn a_page_is_read_as_steps() {
    let page = "<!-- run: hidden -->\n```sh run\na\nb\n```\n```text\n$ no\n```\n```console\n$ one\n$ two <<E\n> x\n> E\nout\n```\n";
    let step = |line, command: &str, expected: Option<&[&str]>| Step {
        line,
        command: command.to_owned(),
        expected: expected.map(|lines| lines.iter().map(|&line| line.to_owned()).collect()),
    };
    let expected = [
        step(1, "hidden", None),
        step(2, "a\nb\n", None),
        step(10, "one", Some(&[])),
        step(11, "two <<E\nx\nE", Some(&["out"])),
    ];
    assert_eq!(steps(page), expected);
}

#[test]
fn only_what_differs_from_run_to_run_may_differ() {
    for (expected, printed, like) in [
        ("a  b", "a b", true),
        ("a b", "a c", false),
        ("2 copy RUNNING 5102 2026-11-22 01:04:10 3s yes", "2 copy RUNNING 77 10:00:00 12s yes", true),
        ("2 copy RUNNING", "3 copy RUNNING", false),
        (
            "launch: ended task 3 (1.002s): no heartbeat for 1s",
            "launch: ended task 3 (1.9s): no heartbeat for 1s",
            true,
        ),
        ("2026-11-23T03:00:01+01:00: text", "2026-01-02T03:04:05Z: text", true),
        ("web RUNNING pid 1470, uptime 0:00:02", "web RUNNING pid 9, uptime 0:10:02", true),
        ("x [..] z", "x y y z", true),
        ("x [..] z", "x y", false),
    ] {
        assert_eq!(is_like(expected, printed), like, "{expected} / {printed}");
    }
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (expected, printed, like) in [
        ("a ... d", "a b c d", true),
        ("a ...", "a", true),
        ("a ... d", "a b c", false),
        ("a b", "a", false),
        ("a", "a b", false),
    ] {
        assert_eq!(are_like(&lines(expected), &lines(printed)), like, "{expected} / {printed}");
    }
}

#[test]
fn an_example_that_prints_something_else_is_found() {
    let page =
        "```console\n$ launch -- echo one\none\n$ echo $?\n1\n$ control history\n...\n     1  echo  OK  [..]\n```\n";
    let found = differences("page", page);
    assert_eq!(found, ["page:4: $ echo $?\n--- expected\n1\n--- printed\n0\n"]);
}

/// What the picture in the README shows: scripts that are not shown, and commands.
const TOUR: &str = r#"
<!-- run: printf '%s\n' '#!/bin/sh' 'echo "[progress]60" >> "$TASKWATCHER_FEEDBACK"' 'exec sleep 600' > copy.sh -->
<!-- run: printf '%s\n' '#!/bin/sh' 'echo "copying 214 files to /mnt/backup"; sleep 0.4' 'echo "photos.tar: No space left on device" >&2; exit 1' > nightly.sh -->
<!-- run: printf '%s\n' '#!/bin/sh' 'echo "connecting to backup.example.com"; exec sleep 600' > upload.sh; chmod +x *.sh; unset NO_COLOR -->
```console
$ launch --detach --name copy --feedpath . --timeout 5m -- ./copy.sh
...
$ launch --name nightly --chronic -- ./nightly.sh
...
$ launch --name upload --feedpath . --timeout 2s -- ./upload.sh
...
$ control list --all
...
```
"#;

/// Where the picture is.
const PICTURE: &str = "docs/images/tour.svg";

#[test]
fn the_picture_of_the_readme_shows_what_its_commands_print() {
    let mut lines = Vec::new();
    let found = follow("tour", TOUR, &mut |step, printed| {
        if step.expected.is_some() {
            lines.push(format!("$ {}", step.command));
            lines.extend(printed.iter().cloned());
        }
    });
    assert_eq!(found, [""; 0]);
    let drawn = crate::support::picture::svg(&lines);
    if std::env::var_os("DRAW").is_some() {
        fs::write(PICTURE, &drawn).unwrap();
    }
    // A line of the picture is a line of text, so the pictures are compared as the examples are.
    let texts =
        |svg: &str| -> Vec<String> { svg.lines().filter(|line| line.starts_with("<text")).map(words).collect() };
    let (expected, drawn) = (texts(&fs::read_to_string(PICTURE).unwrap()), texts(&drawn));
    assert!(are_like(&expected, &drawn), "DRAW=1 cargo test --test it book picture:\n{}", drawn.join("\n"));
}

/// Returns the text of an element, without its tags.
fn words(element: &str) -> String {
    element.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect()
}
