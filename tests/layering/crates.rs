//! Checks which crates of this workspace depend on which, and what none of them may depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::packages;

/// The crates on which each crate may depend, as folders of `crates/`. The root package may depend on all.
const ARROWS: &[(&str, &[&str])] = &[("core", &[])];

/// What the record must not need, directly or through other packages: command lines, runtimes, networks, tables.
const NOT_OF_THE_RECORD: [&str; 9] =
    ["clap", "tokio", "hyper", "rustls", "ureq", "comfy-table", "indicatif", "rustyline", "unicode-width"];

/// Returns a file of the repository.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the names in a section of a manifest.
fn names_in(manifest: &str, section: &str) -> Vec<String> {
    let body = manifest.split(&format!("\n[{section}]\n")).nth(1).unwrap_or_default();
    let lines = body.split("\n[").next().unwrap_or_default().lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split_once('=')?.0.split('.').next());
    names.map(|name| name.trim().to_owned()).collect()
}

/// Returns what the package in this folder depends on, without what only its tests need.
pub(super) fn dependencies(package: &str) -> Vec<String> {
    names_in(&file(&format!("{package}Cargo.toml")), "dependencies")
}

#[test]
fn crates_depend_on_each_other_along_the_arrows() {
    let crates: Vec<String> = packages().into_iter().filter(|package| !package.is_empty()).collect();
    assert_eq!(crates.len(), ARROWS.len(), "{crates:?}");
    for (name, allowed) in ARROWS {
        let all = dependencies(&format!("crates/{name}/"));
        for used in all.iter().filter_map(|used| used.strip_prefix("taskwatcher-")) {
            assert!(allowed.contains(&used), "{name} depends on {used}");
        }
        assert!(!all.contains(&"taskwatcher".to_owned()), "{name} depends on the root package");
    }
}

#[test]
fn each_crate_is_described() {
    let page = file("crates/README.md");
    for (name, _) in ARROWS {
        assert!(page.contains(&format!("| `{name}` | `taskwatcher-{name}` |")), "{name} is not in crates/README.md");
    }
}

#[test]
fn versions_and_reasons_of_dependencies_are_in_one_place() {
    let manifest = file("Cargo.toml");
    let table = manifest.split("\n[workspace.dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let mut is_explained = false;
    for line in table.lines() {
        let is_comment = line.starts_with('#');
        assert!(is_comment || is_explained, "no sentence says why: {line}");
        is_explained = is_comment;
    }
    let known = names_in(&manifest, "workspace.dependencies");
    for package in packages() {
        for name in dependencies(&package) {
            assert!(known.contains(&name), "{package:?}: {name} is not in [workspace.dependencies]");
        }
    }
}

/// Returns the packages of a lock file with those that each depends on.
fn locked(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let quoted = |line: &'static str| package.split(line).nth(1).and_then(|rest| rest.split('"').nth(1));
        let Some(name) = quoted("name = ") else { continue };
        let list = package.split("dependencies = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
        let names = list.split('"').skip(1).step_by(2).filter_map(|needed| needed.split(' ').next());
        found.entry(name).or_default().extend(names);
    }
    found
}

#[test]
fn the_record_needs_no_command_line_no_network_and_no_runtime() {
    let lock = file("Cargo.lock");
    let locked = locked(&lock);
    let own = dependencies("crates/core/");
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    let mut left: Vec<&str> = own.iter().map(String::as_str).collect();
    while let Some(name) = left.pop() {
        if needed.insert(name) {
            left.extend(locked.get(name).into_iter().flatten());
        }
    }
    assert!(needed.contains("libsqlite3-sys") && needed.len() > 20, "{needed:?}");
    for name in NOT_OF_THE_RECORD {
        assert!(
            locked.contains_key(name) || name == "comfy-table",
            "{name} is in no crate, so this test proves nothing"
        );
        assert!(!needed.contains(name), "taskwatcher-core needs {name}");
    }
}

#[test]
fn the_schema_in_the_crate_is_the_one_at_the_top() {
    let same = file("schema.sql") == file("crates/core/schema.sql");
    assert!(same, "the schemas differ: cp schema.sql crates/core/schema.sql");
}
