//! Checks the architecture: imports go bin → app → io → model, each crate has its owners, only the programs print
//! and exit, and no files import each other in a circle (`layering/circles.rs`); the crates depend on each other along the
//! arrows alone (`layering/crates.rs`). The sources are read as text, so that code that the compiler would allow is also
//! found.
//!
//! The crates share one tree of layers: `model/task.rs` is in one crate, and no other crate has a file of this name.
//!
//! Tests inside the sources (`#[cfg(test)]`) are exempt.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test, as the test itself does")]

#[path = "layering/circles.rs"]
mod circles;
#[path = "layering/crates.rs"]
mod crates;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where each dependency may be used: files, or folders that end with `/`. A new dependency must be added here.
const OWNERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["io/store.rs", "io/store/"]),
    ("nix", &["io/"]),
    ("rustix", &["io/"]),
    ("rustyline", &["io/editor.rs"]),
    ("vte", &["model/ansi.rs"]),
    ("tempfile", &["io/streams.rs"]),
    ("glob", &["io/conffile.rs"]),
    ("tokio", &["app/supervise.rs", "app/supervise/", "app/web.rs", "app/web/"]),
    ("hyper", &["app/web/"]),
    ("hyper_util", &["app/web/server.rs"]),
    ("signal_hook", &["io/child.rs", "io/connect.rs", "io/inbox.rs"]),
    ("unicode_width", &["app/show/table.rs"]),
    (
        "clap",
        &[
            "app/launch_args.rs",
            "app/control_args.rs",
            "app/parse_args.rs",
            "app/supervise_args.rs",
            "app/shell/",
            "app/usage.rs",
            "bin/",
        ],
    ),
    ("clap_complete", &["app/control_args.rs", "app/client.rs", "app/supervise_args.rs"]),
    ("chrono", &["app/show.rs", "app/time_expr.rs", "io/sys.rs", "model/web/"]),
    ("jiff", &["io/sys.rs"]),
    (
        "shell_words",
        &[
            "app/remote_verbs.rs",
            "app/launch/",
            "app/launch_args.rs",
            "app/remote/ssh.rs",
            "app/show.rs",
            "model/shell.rs",
            "model/web/",
        ],
    ),
    ("ureq", &["io/connect.rs", "io/https.rs", "io/names.rs"]),
    ("rustls", &["io/https.rs"]),
    ("rustls_native_certs", &["io/https.rs"]),
    ("ring", &["io/https.rs", "io/secret.rs"]),
    ("percent_encoding", &["app/remote/api.rs", "model/http.rs", "model/web/"]),
    ("indicatif", &["io/progress.rs"]),
    ("base64", &["io/connect.rs", "model/shim.rs", "model/http.rs", "model/task/row.rs", "model/wire/stream.rs"]),
    ("memchr", &["model/feedback.rs", "io/proglog.rs", "io/feedfile.rs", "io/logread.rs", "io/tasklog.rs"]),
    (
        "serde",
        &[
            "model/",
            "io/",
            "app/shim.rs",
            "app/launch.rs",
            "app/engine/",
            "app/reexec.rs",
            "app/output.rs",
            "app/show.rs",
            "app/show/",
        ],
    ),
    ("serde_json", &["model/", "io/", "app/"]),
    ("strsim", &["model/suggest.rs"]),
    ("toml", &["model/config.rs", "model/config/"]),
    ("thiserror", &["model/", "io/", "app/"]),
];

/// Items that `model` must not use.
const IMPURE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "env"],
    &["std", "thread"],
    &["std", "os", "fd"],
    &["std", "os", "unix", "fs"],
    &["std", "os", "unix", "net"],
    &["std", "os", "unix", "process"],
];

/// The files of `io` that its other files may use, because opening files in folders of other users and finding hosts of
/// HTTP clients are implemented once.
const SHARED_IO: [&str; 2] = ["safe_open", "names"];

/// The only file that reads the clocks.
const CLOCK: &str = "io/sys.rs";

/// The files that pass on a command's output.
const PASSERS: [&str; 3] = ["io/child.rs", "io/pty.rs", "io/streams.rs"];

/// The layers from the bottom up: a layer may use those before it.
const LAYERS: [&str; 4] = ["model", "io", "app", "bin"];

#[derive(Clone, Debug)]
struct Token {
    text: String,
    line: usize,
}

/// Returns the words, literals and punctuation of a source, without comments.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let (start, first) = (i, at(i));
        let mut text = String::new();
        if first == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if first == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= chars.len() {
                    break;
                }
            }
        } else if word(first) {
            while word(at(i)) {
                i += 1;
            }
            text = chars[start..i].iter().collect();
            let hashes = (i..).take_while(|&j| at(j) == '#').count();
            if ["r", "br", "cr"].contains(&text.as_str()) && at(i + hashes) == '"' {
                let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 1;
                while i < chars.len() && !chars[i..].starts_with(&end.chars().collect::<Vec<_>>()) {
                    i += 1;
                }
                i += hashes + 1;
                text = chars[start..i.min(chars.len())].iter().collect();
            } else if ["b", "c"].contains(&text.as_str()) && (at(i) == '"' || at(i) == '\'') {
                text.clear(); // The literal follows.
            }
        } else if first == '"' || (first == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'')) {
            i += 1;
            while i < chars.len() && at(i) != first {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            i += 1;
            text = chars[start..i.min(chars.len())].iter().collect();
        } else if first == ':' && at(i + 1) == ':' {
            (text, i) = ("::".into(), i + 2);
        } else {
            i += 1;
            if !first.is_whitespace() {
                text = first.into();
            }
        }
        if !text.is_empty() {
            found.push(Token { text, line });
        }
        line += chars[start..i.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    found
}

/// Whether the tokens from `at` on are these words.
fn reads(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(i, word)| tokens.get(at + i).is_some_and(|token| token.text == *word))
}

/// Returns the tokens without items that are compiled only for tests.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if !reads(tokens, i, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let mut depth = 0;
        i += 7;
        while i < tokens.len() {
            let text = tokens[i].text.as_str();
            i += 1;
            depth += i32::from(text == "{") - i32::from(text == "}");
            if depth == 0 && (text == "}" || text == ";") {
                break;
            }
        }
    }
    kept
}

struct Used {
    path: Vec<String>,
    /// The name by which a `use` makes it known; `None` for a path elsewhere.
    known_as: Option<String>,
    line: usize,
    /// Index of the token after it.
    end: usize,
}

/// Returns every path in the source, with `use` trees expanded.
fn paths(tokens: &[Token]) -> Vec<Used> {
    let is_word = |i: usize| tokens.get(i).is_some_and(|t| t.text.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    let (mut found, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if reads(tokens, i, &["use"]) && !reads(tokens, i + 1, &["<"]) {
            i = use_tree(tokens, i + 1, &[], &mut found);
        } else if is_word(i) {
            let (mut path, line) = (vec![tokens[i].text.clone()], tokens[i].line);
            i += 1;
            while reads(tokens, i, &["::"]) && is_word(i + 1) {
                path.push(tokens[i + 1].text.clone());
                i += 2;
            }
            found.push(Used { path, known_as: None, line, end: i });
        } else {
            i += 1;
        }
    }
    found
}

/// Parses one branch of a `use` tree. Returns the index after it.
fn use_tree(tokens: &[Token], mut i: usize, prefix: &[String], found: &mut Vec<Used>) -> usize {
    let mut path = prefix.to_vec();
    let mut alias = None;
    while let Some(token) = tokens.get(i) {
        match token.text.as_str() {
            "::" => i += 1,
            "{" => {
                i += 1;
                while i < tokens.len() && !reads(tokens, i, &["}"]) {
                    i = use_tree(tokens, i, &path, found);
                    i += usize::from(reads(tokens, i, &[","]));
                }
                return i + 1;
            }
            "as" => {
                alias = tokens.get(i + 1).map(|token| token.text.clone());
                i += 2;
            }
            "," | ";" | "}" => break,
            "self" if !path.is_empty() => i += 1,
            text => {
                path.push(text.to_owned());
                i += 1;
            }
        }
    }
    let line = tokens.get(i).map_or(0, |token| token.line);
    let known_as = alias.or_else(|| path.last().cloned());
    found.push(Used { path, known_as, line, end: i });
    i
}

/// Returns the module of a file of `src`, with `crate` as its first part.
fn module_of(file: &str) -> Vec<String> {
    let parts = file.trim_end_matches(".rs").split('/').filter(|part| *part != "lib");
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// Resolves a path in this module to `crate`, layer, file …, or a crate and its items.
fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let join = |start: &[String], rest: &[String]| [start, rest].concat();
    match path.first().map(String::as_str) {
        Some(name) if name == "taskwatcher" || name.starts_with("taskwatcher_") => join(&module[..1], &path[1..]),
        Some("self") => join(module, &path[1..]),
        Some("super") => {
            let up = path.iter().take_while(|part| *part == "super").count();
            join(&module[..module.len().saturating_sub(up).max(1)], &path[up..])
        }
        _ => path.to_vec(),
    }
}

fn starts_with(path: &[String], words: &[&str]) -> bool {
    path.len() >= words.len() && path.iter().zip(words).all(|(part, word)| part == word)
}

/// Returns the violations in one file of `src`, named by its path there.
fn violations(file: &str, source: &str) -> Vec<String> {
    let tokens = without_tests(&tokens(source));
    let layer = file.split('/').next().unwrap_or_default();
    let module = module_of(file);
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let mut found = Vec::new();
    for used in paths(&tokens) {
        let mut wrong = |what: String| found.push(format!("{file}:{}: {what}", used.line));
        let path = resolve(&used.path, &module);
        let shown = path.join("::");
        let last = path.last().map(String::as_str).unwrap_or_default();
        if path[0] == "crate" && path.len() > 1 {
            let to = path[1].as_str();
            if let (Some(own), Some(other)) = (rank(layer), rank(to)) {
                let this_file = file.trim_end_matches(".rs").split('/').nth(1);
                if other > own {
                    wrong(format!("{layer} uses {to} ({shown})"));
                } else if layer == "io"
                    && to == "io"
                    && !path
                        .get(2)
                        .is_some_and(|file| Some(file.as_str()) == this_file || SHARED_IO.contains(&file.as_str()))
                {
                    wrong(format!("files of io use each other ({shown})"));
                }
            }
        }
        if let Some((name, owners)) = OWNERS.iter().find(|(name, _)| path.len() > 1 && path[0] == *name)
            && !owners.iter().any(|owner| file == *owner || (owner.ends_with('/') && file.starts_with(owner)))
        {
            wrong(format!("{name} belongs to {} ({shown})", owners.join(", ")));
        }
        if layer == "model" && IMPURE.iter().any(|words| starts_with(&path, words)) {
            wrong(format!("model touches the world ({shown})"));
        }
        if file != CLOCK && path.iter().any(|part| ["SystemTime", "Instant", "clock_gettime"].contains(&part.as_str()))
        {
            wrong(format!("a clock is read outside {CLOCK} ({shown})"));
        }
        if ["todo", "unimplemented"].contains(&last) && reads(&tokens, used.end, &["!"]) {
            wrong(format!("{last}!"));
        }
        if layer == "bin" {
            continue;
        }
        if ["print", "println", "eprint", "eprintln", "dbg"].contains(&last) && reads(&tokens, used.end, &["!"]) {
            wrong(format!("{last}! outside bin"));
        }
        let called = reads(&tokens, used.end, &["(", ")"]);
        let passes_on = PASSERS.contains(&file);
        if ["stdout", "stderr"].contains(&last)
            && called
            && !passes_on
            && !reads(&tokens, used.end + 2, &[".", "as_fd", "("])
        {
            wrong(format!("{last}() outside bin"));
        }
        let ends = path.len() > 1 && path[path.len() - 2] == "process" && ["exit", "abort"].contains(&last);
        if ends || last == "_exit" {
            wrong(format!("{shown} outside bin"));
        }
    }
    found
}

/// Returns lint exceptions that would remain when their reason is gone, for every source, including tests.
fn allows(file: &str, source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let at =
        |i: usize| reads(&tokens, i, &["#", "[", "allow", "("]) || reads(&tokens, i, &["#", "!", "[", "allow", "("]);
    let lines = (0..tokens.len()).filter(|&i| at(i)).map(|i| tokens[i].line);
    lines.map(|line| format!("{file}:{line}: allow: use expect with a reason")).collect()
}

/// Returns all Rust sources below a folder, by their path in it.
fn sources(folder: &str) -> BTreeMap<String, String> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found
}

/// Returns the folders of all packages, with the root package (an empty name) first.
fn packages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let crates = fs::read_dir(root).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        crates.map(|entry| format!("crates/{}/", entry.file_name().to_str().unwrap())).collect();
    names.sort();
    names.insert(0, String::new());
    names
}

/// Returns the sources of all packages, by their paths in `src`. The heads of the crates are `core/lib.rs` and so on.
fn all_sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for package in packages() {
        for (file, source) in sources(&format!("{package}src")) {
            let file = if file == "lib.rs" { package.replace("crates/", "") + &file } else { file };
            assert!(found.insert(file.clone(), source).is_none(), "two crates have a file {file}");
        }
    }
    found
}

#[test]
fn the_sources_follow_the_architecture() {
    let sources = all_sources();
    for layer in LAYERS {
        assert!(sources.keys().any(|file| file.starts_with(&format!("{layer}/"))), "no file in {layer}");
    }
    let found: Vec<String> = sources.iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_file_is_in_a_layer() {
    let all = all_sources();
    for file in all.keys().filter(|file| !file.ends_with("lib.rs")) {
        let parts: Vec<&str> = file.split('/').collect();
        assert!(LAYERS.contains(&parts[0]), "{file} is in no layer");
        // A file may have private parts one folder deeper.
        let whole = format!("{}/{}.rs", parts[0], parts[1]);
        let is_part = parts.len() == 3 && all.contains_key(&whole);
        assert!(parts.len() == 2 || is_part, "{file} belongs to no file");
    }
}

#[test]
fn no_lint_is_allowed_anywhere() {
    for folder in ["src", "crates", "tests", "benches", "examples"] {
        let found: Vec<String> = sources(folder).iter().flat_map(|(file, source)| allows(file, source)).collect();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}

#[test]
fn every_dependency_has_owners() {
    let mut depended_on = BTreeSet::new();
    for package in packages() {
        let sources = sources(&format!("{package}src"));
        for name in crates::dependencies(&package).iter().map(|name| name.replace('-', "_")) {
            let used = |source: &String| paths(&tokens(source)).iter().any(|used| used.path[0] == name);
            assert!(sources.values().any(used), "the package in {package:?} depends on {name} and does not use it");
            depended_on.insert(name);
        }
    }
    depended_on.retain(|name| !name.starts_with("taskwatcher_"));
    assert!(depended_on.len() > 5, "{depended_on:?}");
    for name in &depended_on {
        assert!(OWNERS.iter().any(|(owned, _)| owned == name), "{name} has no owner; add it to OWNERS");
    }
    let sources = all_sources();
    for (name, owners) in OWNERS {
        assert!(depended_on.contains(*name), "{name} is owned and is no dependency");
        for owner in *owners {
            let used = |source: &String| paths(&tokens(source)).iter().any(|used| used.path[0] == *name);
            let found = sources.iter().any(|(file, source)| file.starts_with(owner) && used(source));
            assert!(found, "{owner} owns {name} and does not use it");
        }
    }
}

#[test]
fn the_checker_finds_violations() {
    for (file, source, expected) in [
        ("model/task.rs", "use crate::io::store;", "model uses io"),
        ("model/task.rs", "use super::super::app::launch::Spec;", "model uses app"),
        ("model/task.rs", "fn f() { let x = crate::io::sys::now(); }", "model uses io"),
        ("model/task.rs", "use std::{fmt, fs::File};", "model touches the world (std::fs::File)"),
        ("model/task.rs", "fn f() { std::env::var(\"x\"); }", "model touches the world"),
        ("model/task.rs", "use std::{time::{Duration, Instant}};", "a clock is read"),
        ("model/task.rs", "use nix::unistd::getpid;", "nix belongs to io/"),
        ("io/sys.rs", "use crate::{model::task::Tick, app::db};", "io uses app"),
        ("io/sys.rs", "use super::store::Store;", "files of io use each other"),
        ("io/sys.rs", "use crate::io::{self, process};", "files of io use each other"),
        ("io/sys.rs", "use super::*;", "files of io use each other"),
        ("io/safe_open.rs", "use super::sys;", "files of io use each other"),
        ("io/spool.rs", "use rusqlite::Connection;", "rusqlite belongs to io/store.rs"),
        ("io/spool.rs", "fn f() { let now = std::time::SystemTime::now(); }", "a clock is read"),
        ("app/launch.rs", "use crate::bin::x;", "app uses bin"),
        ("app/launch.rs", "fn f() -> rusqlite::Result<()> { g() }", "rusqlite belongs to"),
        ("app/launch.rs", "use clap::Parser;", "clap belongs to"),
        ("app/launch.rs", "fn f() { println!(\"x\") }", "println! outside bin"),
        ("app/launch.rs", "fn f() { std::eprint!(\"x\") }", "eprint! outside bin"),
        ("app/launch.rs", "fn f() { dbg!(1); }", "dbg! outside bin"),
        ("app/launch.rs", "fn f() { writeln!(io::stdout(), \"x\") }", "stdout() outside bin"),
        ("app/launch.rs", "fn f() { std::io::stderr().lock(); }", "stderr() outside bin"),
        ("app/launch.rs", "fn f() { std::process::exit(1) }", "std::process::exit outside bin"),
        ("app/launch.rs", "use std::process::{self, abort};", "std::process::abort outside bin"),
        ("app/launch.rs", "fn f() { process::exit(1) }", "process::exit outside bin"),
        ("lib.rs", "fn f() { println!() }", "println! outside bin"),
        ("bin/parse.rs", "fn f() { todo!() }", "todo!"),
        ("app/launch.rs", "fn f() { unimplemented!(\"x\") }", "unimplemented!"),
        ("app/launch.rs", "#[cfg(test)] mod tests { fn g() {} } use clap::Parser;", "clap belongs to"),
        ("app/launch.rs", "const A: &str = r#\" \" \"#; use clap::Parser;", "clap belongs to"),
        ("app/launch.rs", "fn f<'a>(c: &'a str) -> bool { c == '\"' } use clap::Parser;", "clap belongs to"),
        ("app/launch.rs", "fn f() -> impl Fn() + use<> { g } use clap::Parser;", "clap belongs to"),
        ("app/launch.rs", "/* a /* b */ c */ use clap::Parser;", "clap belongs to"),
    ] {
        let found = violations(file, source);
        assert!(!found.is_empty() && found.iter().all(|line| line.contains(expected)), "{source}: {found:?}");
    }
    for source in ["#[allow(dead_code)] fn f() {}", "#![allow(missing_docs)]", "fn f() { #[allow(x)] let y = 1; }"] {
        assert_eq!(allows("x.rs", source).len(), 1, "{source}");
    }
}

#[test]
fn the_checker_accepts_correct_code() {
    for (file, source) in [
        (
            "bin/launch.rs",
            "use taskwatcher::{app::launch::launch, io::child, model::task::exit_code}; fn f() { println!() }",
        ),
        ("bin/launch.rs", "fn f() { writeln!(std::io::stderr(), \"x\"); std::process::exit(1) }"),
        (
            "app/launch.rs",
            "use super::db; use crate::{io::{child, sys}, model::task::Task}; use std::io::{self, Write};",
        ),
        ("app/launch.rs", "// println!(\"x\")\n/// use clap::Parser;\nconst A: &str = \"use clap::Parser; todo!()\";"),
        ("io/terminal.rs", "fn f() { is_pipe(std::io::stdout().as_fd()) }"),
        ("io/store.rs", "use rusqlite::Connection; use crate::model::task::Task; use crate::io::store::Store;"),
        ("io/sys.rs", "fn f() { nix::time::clock_gettime(c) }"),
        ("io/spool.rs", "use super::safe_open::{Folder, How};"),
        ("model/task.rs", "use super::upid::Upid; use std::{fmt, io, path::PathBuf, time::Duration};"),
        (
            "model/task.rs",
            "#[cfg(test)]\nmod tests { use crate::io::sys; fn f() { std::fs::read(x); println!(\"{}\") } }",
        ),
        ("model/task.rs", "#[cfg(test)] use std::fs;"),
    ] {
        assert_eq!(violations(file, source), [""; 0], "{source}");
    }
    assert!(allows("x.rs", "#[expect(dead_code, reason = \"allow(\")] // #[allow(x)]").is_empty());
}

/// Returns the names of the types that a source defines, once per definition, without associated types.
fn types(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut depth_of_impl = None;
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth_of_impl == Some(depth) {
                    depth_of_impl = None;
                }
            }
            "impl" if depth_of_impl.is_none() => depth_of_impl = Some(depth),
            "struct" | "enum" | "trait" => found.extend(tokens.get(i + 1).map(|name| name.text.clone())),
            "type" if depth_of_impl.is_none() => found.extend(tokens.get(i + 1).map(|name| name.text.clone())),
            _ => {}
        }
    }
    found
}

#[test]
fn no_name_is_used_for_more_than_two_types() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, source) in all_sources() {
        for name in types(&source) {
            defined.entry(name).or_default().push(file.clone());
        }
    }
    defined.retain(|_, files| files.len() > 2);
    assert!(defined.is_empty(), "who looks for one of these finds several: {defined:#?}");
    let source = "struct A; enum A {} impl X for A { type A = u8; fn f() {} } type A = u8; trait A { }";
    assert_eq!(types(source), ["A", "A", "A", "A"]);
}

#[test]
fn lines_are_counted() {
    let source = "//! a\n\nconst A: &str = \"b\nc\";\nuse clap::Parser;\n";
    assert!(violations("app/db.rs", source)[0].starts_with("app/db.rs:5: "));
}

/// What renders results: it gets values, and does not read messages that other parts of the program wrote.
const FACES: [&str; 6] =
    ["app/web.rs", "app/web/", "app/remote_verbs.rs", "app/remote_verbs/", "app/supervise.rs", "app/supervise/"];

/// The file that reads the messages of other hosts, for which there is no other form.
const HEARD: &str = "app/remote_verbs/heard.rs";

/// Methods that look for a text in another one.
const LOOKS_INTO: [&str; 8] = [
    "strip_prefix",
    "strip_suffix",
    "starts_with",
    "ends_with",
    "replace",
    "trim_start_matches",
    "trim_end_matches",
    "split_once",
];

/// Returns where a face looks for a fixed text in another one: a literal or a constant.
fn looks_into_messages(file: &str, source: &str) -> Vec<String> {
    let is_face = FACES.iter().any(|face| file == *face || (face.ends_with('/') && file.starts_with(face)));
    if !is_face || file == HEARD {
        return vec![];
    }
    let tokens = without_tests(&tokens(source));
    // A text for people has words; a line end or a separator is syntax.
    let has_words = |text: &str| text.split(|c: char| !c.is_alphabetic()).any(|word| word.len() > 2);
    let is_fixed = |text: &str| {
        (text.contains('"') && has_words(text))
            || (text.len() > 1 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()))
    };
    let found = (0..tokens.len()).filter(|&i| {
        reads(&tokens, i, &["."])
            && tokens.get(i + 1).is_some_and(|method| LOOKS_INTO.contains(&method.text.as_str()))
            && reads(&tokens, i + 2, &["("])
            && tokens.get(i + 3).is_some_and(|argument| is_fixed(&argument.text))
    });
    found.map(|i| format!("{file}:{}: reads a text; pass a value instead", tokens[i].line)).collect()
}

#[test]
fn no_face_reads_messages_of_the_program() {
    let found: Vec<String> =
        all_sources().iter().flat_map(|(file, source)| looks_into_messages(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    for source in [
        "fn f(t: &str) -> bool { t.starts_with(\"it is no task yet\") }",
        "fn f(t: &str) { t.strip_prefix(NOT_RECORDED); }",
        "fn f(t: String) { t.replace(\"control: error: \", \"\"); }",
        "fn f(t: &str) { t\n.ends_with(r#\"POST\"#) }",
    ] {
        assert_eq!(looks_into_messages("app/web/data.rs", source).len(), 1, "{source}");
        assert_eq!(looks_into_messages("model/log.rs", source), [""; 0], "only faces");
        assert_eq!(looks_into_messages(HEARD, source), [""; 0], "{HEARD} is for that");
    }
    for source in
        ["fn f(c: Cell<bool>) { c.replace(true) }", "fn f(t: &[u8]) { t.ends_with(b\"\\n\"); t.starts_with(head) }"]
    {
        assert_eq!(looks_into_messages("app/web/data.rs", source), [""; 0], "{source}");
    }
}

/// Columns of rows that have a type.
const TYPED_COLUMNS: [&str; 5] = ["upid", "outcome", "termsignal", "stop_signal", "ended_by"];

/// Where a text that comes from a command line, a file or another host is parsed as a UPID. Rows have the typed column.
const READS_UPIDS: [&str; 4] = ["app/parse.rs", "app/remote/ssh.rs", "app/service/verify.rs", "io/store/upkeep.rs"];

/// Returns the columns of a source whose type is a text, or an optional one.
fn untyped_columns(source: &str) -> Vec<String> {
    let tokens = without_tests(&tokens(source));
    let is_text = |i: usize| reads(&tokens, i, &["String"]) || reads(&tokens, i, &["Option", "<", "String"]);
    let columns = (0..tokens.len()).filter(|&i| {
        reads(&tokens, i, &["pub"])
            && tokens.get(i + 1).is_some_and(|name| TYPED_COLUMNS.contains(&name.text.as_str()))
            && reads(&tokens, i + 2, &[":"])
            && is_text(i + 3)
    });
    columns.map(|i| tokens[i + 1].text.clone()).collect()
}

#[test]
fn columns_of_rows_have_types_and_are_read_once() {
    let sources = all_sources();
    assert_eq!(untyped_columns(&sources["model/task/row.rs"]), [""; 0]);
    let row = "pub struct Task { pub upid: Option<String>, pub outcome: String, pub name: String, pub id: i64 }";
    assert_eq!(untyped_columns(row), ["upid", "outcome"]);
    let parses = |source: &str| {
        let tokens = without_tests(&tokens(source));
        (0..tokens.len()).any(|i| reads(&tokens, i, &["parse", "::", "<", "Upid", ">"]))
    };
    let files: Vec<&str> = sources.iter().filter(|(_, source)| parses(source)).map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, READS_UPIDS, "the files that parse a UPID");
    assert!(parses("fn f(t: &str) { t.parse::<Upid>().ok(); }"));
}

/// Files of the supervisor whose work is done on threads of their own.
const OFF_THE_RUNTIME: [&str; 2] = ["app/supervise/logs.rs", "app/supervise/records.rs"];

/// Names whose use opens a database or a log.
const WAITS: [&[&str]; 6] = [
    &["Tasks", "::"],
    &["Store", "::"],
    &["tail", "::", "open"],
    &["logread", "::"],
    &["fs", "::", "read"],
    &["fs", "::", "read_to_string"],
];

/// Returns where a file of the supervisor opens a database or reads a log on the thread of the runtime.
fn waits_on_the_runtime(file: &str, source: &str) -> Vec<String> {
    if !file.starts_with("app/supervise/") || OFF_THE_RUNTIME.contains(&file) {
        return vec![];
    }
    let tokens = without_tests(&tokens(source));
    let found = (0..tokens.len()).filter(|&i| WAITS.iter().any(|name| reads(&tokens, i, name)));
    found.map(|i| format!("{file}:{}: {} waits; use a thread", tokens[i].line, tokens[i].text)).collect()
}

#[test]
fn the_supervisor_neither_opens_databases_nor_reads_logs_on_its_thread() {
    let found: Vec<String> =
        all_sources().iter().flat_map(|(file, source)| waits_on_the_runtime(file, source)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    for source in ["fn f(p: &Path) { Tasks::open(p, LOCK); }", "fn f(p: &Path) { let log = tail::open(p); }"] {
        assert_eq!(waits_on_the_runtime("app/supervise/requests.rs", source).len(), 1, "{source}");
        assert_eq!(waits_on_the_runtime("app/supervise/logs.rs", source), [""; 0], "a thread of its own");
    }
}
