//! The documents match the programs: manual pages and completions are up to date, the README names every option and
//! verb, its queries run, and it begins with two commands that work.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "../examples/manpages/pages.rs"]
mod pages;

use std::{fs, path::Path};

use clap::Command;
use taskwatcher::app::control_args::Program;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
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

/// Returns everything in the command lines that is missing in its section of the README.
fn missing(readme: &str) -> Vec<String> {
    let mut found = Vec::new();
    for program in [Program::Launch, Program::Control, Program::Parse, Program::Supervise] {
        let mut command = program.command();
        command.build();
        let name = command.get_name().to_owned();
        let Some(text) = section(readme, &format!("## `{name}`")) else {
            found.push(format!("a section of {name}"));
            continue;
        };
        found.extend(unnamed(&command, text).iter().map(|option| format!("{name} {option}")));
        let globals = command.get_arguments().filter(|arg| arg.is_global_set()).filter_map(|arg| arg.get_long());
        found.extend(globals.map(|long| format!("--{long}")).filter(|option| !names(text, option)));
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let verb_name = format!("{name} {}", verb.get_name());
            // The actions of `supervise` are in one table.
            let own = if program == Program::Supervise {
                names(text, verb.get_name()).then_some(text)
            } else {
                section(readme, &format!("### `{verb_name}`"))
            };
            match own {
                Some(text) => found.extend(unnamed(verb, text).iter().map(|option| format!("{verb_name} {option}"))),
                None => found.push(format!("a section of {verb_name}")),
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
fn the_readme_names_every_option_and_verb() {
    assert_eq!(missing(&file("README.md")), [""; 0]);
}

#[test]
fn an_option_that_is_not_named_is_found() {
    let readme = file("README.md");
    for (gone, expected) in [
        ("--detach", "launch --detach"),
        ("--no-wait", "control kill --no-wait"),
        ("### `control wait`\n", "a section of control wait"),
        ("--strict", "parse --strict"),
        ("`avail`", "a section of supervise avail"),
        ("--until-settled", "supervise start --until-settled"),
        ("--json", "--json"),
    ] {
        let without = missing(&readme.replace(gone, "\n"));
        assert!(without.iter().any(|line| line == expected), "{gone}: {without:?}");
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
fn the_queries_of_the_readme_run() {
    let db = rusqlite::Connection::open_in_memory().unwrap();
    db.execute_batch(&file("schema.sql")).unwrap();
    let readme = file("README.md");
    let queries: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("sqlite3 \"$db\" \"")).collect();
    assert!(queries.len() >= 3);
    for query in queries {
        let query = query.strip_suffix('"').unwrap().replace("\\$", "$");
        db.prepare(&query).unwrap();
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    for name in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = file(name);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if let Some(anchor) = target.strip_prefix('#') {
                let slug = |heading: &str| heading.to_lowercase().replace(' ', "-").replace('`', "");
                let found = text.lines().any(|line| slug(line.trim_start_matches('#').trim_start()) == anchor);
                assert!(found, "{name}: no heading for #{anchor}");
            } else if !target.contains("://") {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(), "{name}: {target} does not exist");
            }
        }
    }
}
