//! The documents match the programs: manual pages and completions are up to date, the reference names every option and
//! verb, its queries run, every link leads somewhere, every page is in the table of contents, and the README is short and
//! begins with two commands that work.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "../examples/manpages/pages.rs"]
mod pages;

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use clap::Command;
use taskwatcher::app::control_args::Program;

/// Documents by their path in the repository.
type Documents = BTreeMap<String, String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn file(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Returns all pages of the book.
fn pages_of_the_book() -> Documents {
    let mut found = Documents::new();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap().map(Result::unwrap) {
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.to_str().unwrap().to_owned();
                found.insert(name.clone(), file(&name));
            }
        }
    }
    found
}

/// Returns all documents: the pages of the book and the files beside it.
fn documents() -> Documents {
    let mut found = pages_of_the_book();
    found.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| (name.to_owned(), file(name))));
    found
}

/// Returns the text below a heading, up to the next heading of the same or a higher rank.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let rank = heading.bytes().take_while(|&b| b == b'#').count();
    let (_, below) = text.split_once(&format!("\n{heading}\n"))?;
    let is_end = |line: &str| {
        let marks = line.bytes().take_while(|&b| b == b'#').count();
        (1..=rank).contains(&marks) && line.as_bytes().get(marks) == Some(&b' ')
    };
    let mut fenced = false;
    let mut end = 0;
    for line in below.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        if !fenced && is_end(line) {
            break;
        }
        end += line.len();
    }
    Some(&below[..end])
}

/// Whether a text contains this option in code: `--db PATH` or `--db`, but not `--dbx`.
fn names(text: &str, option: &str) -> bool {
    text.split('`').skip(1).step_by(2).any(|code| code.split([' ', ',', '=']).any(|word| word == option))
}

/// Returns the options of a command that a text does not name, without global ones.
fn unnamed(command: &Command, text: &str) -> Vec<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set());
    let long = shown.flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default());
    let options = long.filter(|name| *name != "help" && *name != "version").map(|name| format!("--{name}"));
    options.filter(|option| !names(text, option)).collect()
}

/// Returns the pages of the reference about a program, as one text.
fn reference(book: &Documents, program: Program) -> String {
    let pages: &[&str] = match program {
        Program::Launch => &["launch"],
        Program::Control => &["control", "remotes"],
        Program::Parse => &["parse"],
        Program::Supervise => &["supervise", "shell"],
    };
    pages.iter().map(|page| format!("\n{}", book[&format!("docs/reference/{page}.md")])).collect()
}

/// Returns everything in the command lines that is missing in the reference.
fn missing(book: &Documents) -> Vec<String> {
    let mut found = Vec::new();
    for program in [Program::Launch, Program::Control, Program::Parse, Program::Supervise] {
        let mut command = program.command();
        command.build();
        let name = command.get_name().to_owned();
        let text = &reference(book, program);
        found.extend(unnamed(&command, text).iter().map(|option| format!("{name} {option}")));
        let globals = command.get_arguments().filter(|arg| arg.is_global_set()).filter_map(|arg| arg.get_long());
        found.extend(globals.map(|long| format!("--{long}")).filter(|option| !names(text, option)));
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let verb_name = format!("{name} {}", verb.get_name());
            // Most actions of `supervise` are in one table.
            let own = if program == Program::Supervise {
                names(text, verb.get_name()).then_some(text.as_str())
            } else {
                section(text, &format!("## `{verb_name}`")).or_else(|| section(text, &format!("# `{verb_name}`")))
            };
            match own {
                Some(text) => found.extend(unnamed(verb, text).iter().map(|option| format!("{verb_name} {option}"))),
                None => found.push(format!("a section of {verb_name}")),
            }
        }
    }
    found
}

/// Returns the anchors of a page: the ids that its headings get.
fn anchors(page: &str) -> Vec<String> {
    let mut fenced = false;
    let headings = page.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && line.starts_with('#')
    });
    let slug = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
    };
    headings.map(slug).collect()
}

/// Returns the targets of the links in a page, without those in code.
fn links(page: &str) -> Vec<String> {
    let mut fenced = false;
    let text = page.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced
    });
    let targets = text.flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// Returns a path without `.` and `..`.
fn plain(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name.to_str().unwrap()),
            other => panic!("{other:?} in {}", path.display()),
        }
    }
    parts.join("/")
}

/// Returns a line for each link that leads nowhere, or out of the book.
fn broken_links(documents: &Documents) -> Vec<String> {
    let mut found = Vec::new();
    for (name, page) in documents {
        for target in links(page).iter().filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = match path {
                "" => name.clone(),
                path => plain(&Path::new(name).parent().unwrap().join(path)),
            };
            let is_anchor_there = || documents.get(&to).is_some_and(|page| anchors(page).iter().any(|a| a == anchor));
            if !root().join(&to).exists() && !documents.contains_key(&to) {
                found.push(format!("{name}: {target} does not exist"));
            } else if !anchor.is_empty() && !is_anchor_there() {
                found.push(format!("{name}: no heading for {target}"));
            } else if name.starts_with("docs/") && !to.starts_with("docs/") {
                found.push(format!("{name}: {target} is not in the book"));
            }
        }
    }
    found
}

#[test]
fn manual_pages_and_completions_are_up_to_date() {
    let drift = pages::drift(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"), &pages::all().unwrap()).unwrap();
    assert!(drift.is_empty(), "run `cargo run --example manpages`:\n{}", drift.join("\n"));
}

#[test]
fn drift_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = pages::all().unwrap();
    pages::write(dir.path(), &files).unwrap();
    assert_eq!(pages::drift(dir.path(), &files).unwrap(), [""; 0]);
    fs::write(dir.path().join("man/launch.1"), "old").unwrap();
    fs::write(dir.path().join("man/gone.1"), "").unwrap();
    fs::remove_file(dir.path().join("completions/parse.zsh")).unwrap();
    let drift = pages::drift(dir.path(), &files).unwrap().join("\n");
    for part in ["docs/man/launch.1 is out of date", "docs/man/gone.1 belongs to no program", "completions/parse.zsh"] {
        assert!(drift.contains(part), "{drift}");
    }
    files.remove("man/parse.1");
    pages::write(dir.path(), &files).unwrap();
    assert!(!dir.path().join("man/parse.1").exists());
}

#[test]
fn the_reference_names_every_option_and_verb() {
    assert_eq!(missing(&pages_of_the_book()), [""; 0]);
}

#[test]
fn an_option_that_is_not_named_is_found() {
    let book = pages_of_the_book();
    for (gone, expected) in [
        ("--detach", "launch --detach"),
        ("--no-wait", "control kill --no-wait"),
        ("## `control wait`\n", "a section of control wait"),
        ("--strict", "parse --strict"),
        ("`avail`", "a section of supervise avail"),
        ("--until-settled", "supervise start --until-settled"),
        ("--json", "--json"),
    ] {
        let without = book.iter().map(|(name, text)| (name.clone(), text.replace(gone, "\n"))).collect();
        let found = missing(&without);
        assert!(found.iter().any(|line| line == expected), "{gone}: {found:?}");
    }
}

#[test]
fn the_readme_begins_with_two_commands_that_ci_runs() {
    let readme = file("README.md");
    let first = readme.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(first, "scripts/demo\ncargo test\n");
    let ci = file(".ci/run");
    for command in first.lines() {
        assert!(ci.lines().any(|line| line == format!("step {command}")), "{command} is not run by .ci/run");
    }
}

#[test]
fn the_readme_is_short() {
    let readme = file("README.md");
    assert!(readme.lines().count() <= 250, "{} lines", readme.lines().count());
    assert!(readme.len() <= 25_000, "{} bytes", readme.len());
}

#[test]
fn the_queries_of_the_reference_run() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&file("schema.sql")).unwrap();
    let page = file("docs/reference/database.md");
    let queries: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("sqlite3 \"$db\" \"")).collect();
    assert!(queries.len() >= 3);
    for query in queries {
        let query = query.strip_suffix('"').unwrap().replace("\\$", "$");
        db.prepare(&query).unwrap();
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    assert_eq!(broken_links(&documents()), [""; 0]);
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "# One\n[a](two.md#right) [b](two.md#wrong) [c](gone.md) [d](../README.md) [e](#one) [f](#no)\n```\n](no)\n```\n";
    let book = [("docs/one.md", page), ("docs/two.md", "# Two\n## `Right`\n```\n# wrong\n```\n")];
    let documents = book.map(|(name, page)| (name.to_owned(), page.to_owned())).into();
    let expected = [
        "docs/one.md: no heading for two.md#wrong",
        "docs/one.md: gone.md does not exist",
        "docs/one.md: ../README.md is not in the book",
        "docs/one.md: no heading for #no",
    ];
    assert_eq!(broken_links(&documents), expected);
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let mut listed: Vec<String> = links(&file("docs/SUMMARY.md")).iter().map(|page| format!("docs/{page}")).collect();
    listed.push("docs/SUMMARY.md".to_owned());
    listed.sort();
    assert_eq!(listed, pages_of_the_book().into_keys().collect::<Vec<_>>());
}
