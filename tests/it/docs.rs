//! The documents match the programs: the reference describes every option of every verb, its queries run, every link
//! leads somewhere, every page is in the table of contents, the README is short and begins with two commands that work,
//! and manual pages and completions can be made.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "../../examples/manpages/markdown.rs"]
mod markdown;
#[path = "../../examples/manpages/pages.rs"]
mod pages;
#[path = "../../examples/manpages/reference.rs"]
mod reference;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use clap::Command;
use taskwatcher::{
    app::control_args::Program,
    model::wire::{COMMANDS, Code},
};

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

/// Returns the words of a command line and of all its verbs, such as `control remote add`.
fn command_lines(command: &Command, before: &str) -> Vec<String> {
    let words = format!("{before}{}", command.get_name());
    let verbs = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    let below = verbs.flat_map(|verb| command_lines(verb, &format!("{words} ")));
    // A verb with verbs of its own has no options but theirs.
    let own = (before.is_empty() || command.get_subcommands().next().is_none()).then(|| words.clone());
    own.into_iter().chain(below).collect()
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
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str().unwrap().split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
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
fn the_reference_describes_every_command_line_once() {
    let book = pages_of_the_book();
    let text: String =
        book.iter().filter(|(name, _)| name.starts_with("docs/reference/")).map(|(_, page)| &**page).collect();
    let programs = [Program::Launch, Program::Control, Program::Parse, Program::Supervise];
    let all: Vec<String> = programs.iter().flat_map(|program| command_lines(&program.command(), "")).collect();
    assert!(
        all.iter().any(|words| words == "control remote add") && !all.iter().any(|words| words == "control remote")
    );
    for words in all {
        let count = text.matches(&format!("<!-- options: {words} -->")).count();
        assert_eq!(count, 1, "tables of the options of {words} in docs/reference/");
    }
}

#[test]
fn the_tables_of_options_are_up_to_date() {
    let drift = reference::update(&root().join("docs/reference"), false).unwrap();
    assert_eq!(drift, [""; 0], "run `cargo run --example manpages`");
}

#[test]
fn a_table_that_is_out_of_date_is_found_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("parse.md");
    fs::write(&page, "before\n<!-- options: parse -->\nold\n<!-- end of options -->\nafter\n").unwrap();
    assert_eq!(reference::update(dir.path(), false).unwrap().len(), 1);
    reference::update(dir.path(), true).unwrap();
    assert_eq!(reference::update(dir.path(), false).unwrap(), [""; 0]);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("before\n") && text.ends_with("\nafter\n") && !text.contains("old"), "{text}");
    assert!(text.contains("| `--feedback FILE` | Print the values of a feedback file"), "{text}");
    for wrong in ["<!-- options: parse -->\n", "<!-- options: nothing -->\n<!-- end of options -->\n"] {
        assert!(reference::filled(wrong).is_err(), "{wrong}");
    }
}

/// Runs a command that checks a file; `true` if the command is not installed.
fn accepts(program: &str, args: &[&str], file: &Path) -> bool {
    match std::process::Command::new(program).args(args).arg(file).output() {
        Ok(output) => output.status.success() && output.stderr.is_empty(),
        Err(_) => true,
    }
}

#[test]
fn manual_pages_and_completions_can_be_made_and_are_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let files = pages::all().unwrap();
    pages::write(dir.path(), &files).unwrap();
    for name in ["man/launch.1", "man/control-wait.1", "man/control-remote-add.1", "man/supervise.1"] {
        assert!(files.contains_key(name), "{name}");
    }
    for name in ["man/taskmaster.conf.toml.5", "man/taskwatcher.7", "completions/parse.zsh"] {
        assert!(files.contains_key(name), "{name}");
    }
    for name in files.keys() {
        let file = &dir.path().join(name);
        let extension = Path::new(name).extension().unwrap().to_str().unwrap();
        let (program, args): (&str, &[&str]) = match extension {
            "bash" => ("bash", &["-n"]),
            "zsh" => ("zsh", &["-n"]),
            "fish" => ("fish", &["--no-execute"]),
            _ => ("groff", &["-k", "-man", "-Tutf8", "-z", "-ww", "-Wbreak"]),
        };
        assert!(accepts(program, args, file), "{program} refuses {name}");
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

/// Returns the files and folders of this repository that a page names in code.
fn named_paths(page: &str) -> Vec<&str> {
    let folders = ["src/", "crates/", "tests/", "examples/", "benches/", "scripts/", "docs/"];
    let code = page.split('`').skip(1).step_by(2);
    code.filter(|code| folders.iter().any(|folder| code.starts_with(folder)) && !code.contains(' ')).collect()
}

#[test]
fn files_that_the_documents_name_exist() {
    let documents = documents().into_iter().filter(|(name, _)| name != "CHANGELOG.md");
    let mut count = 0;
    for (name, page) in documents {
        for path in named_paths(&page) {
            count += 1;
            assert!(root().join(path).exists(), "{name}: {path} does not exist");
        }
    }
    assert!(count > 50, "{count} files are named");
}

/// Returns the sources below a folder, as one text.
fn sources(folder: &str) -> String {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap);
    let read = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => sources(&format!("{folder}/{}", entry.file_name().to_str().unwrap())),
        false => fs::read_to_string(entry.path()).unwrap(),
    };
    entries.map(read).collect()
}

#[test]
fn the_reference_describes_every_environment_variable_of_its_own() {
    let page = file("docs/reference/environment.md");
    let text = sources("src") + &sources("crates");
    let quoted = text.split('"').filter(|part| part.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
    let own =
        |name: &&str| ["TASKWATCHER_", "TASKMASTER_", "SUPERVISOR_"].iter().any(|family| name.starts_with(family));
    let names: BTreeSet<&str> = quoted.filter(own).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/reference/environment.md");
    }
}

/// Returns the keys that the reader of the configuration takes from it.
fn keys_of_the_configuration() -> Vec<String> {
    let text = sources("src/model/config");
    let taken = text.split("take").skip(1).filter(|rest| rest.starts_with('(') || rest.starts_with("_either("));
    let keys = taken.filter_map(|rest| rest.lines().next()?.split('"').nth(1).map(str::to_owned));
    keys.collect()
}

#[test]
fn the_reference_describes_every_key_of_the_configuration() {
    let page = file("docs/reference/configuration.md");
    let keys = keys_of_the_configuration();
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/reference/configuration.md");
    }
}

#[test]
fn the_reference_describes_every_command_and_code_of_the_protocol() {
    let page = file("docs/reference/protocol.md");
    let codes = Code::ALL.iter().map(|code| code.as_str());
    for word in COMMANDS.into_iter().chain(codes) {
        assert!(page.contains(&format!("`{word}`")), "{word} is not in docs/reference/protocol.md");
    }
}

#[test]
fn each_row_of_the_benchmarks_is_one_that_the_bench_prints() {
    let page = file("docs/benchmarks.md");
    let table = page.split("<!-- figures").nth(1).unwrap().split("<!-- end of figures -->").next().unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|line| line.starts_with("| ")).map(|line| line.split(" | ").collect()).collect();
    let bench = sources("benches/figures");
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in rows.iter().skip(1) {
        for cell in [row[0].trim_start_matches("| "), row[3]] {
            assert!(bench.contains(cell.trim()), "no row of benches/figures has {cell:?}");
        }
    }
}
