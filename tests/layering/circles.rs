//! Finds files that import each other in a circle, so that none of them can be understood, tested or moved alone.
//!
//! An import counts for the file that defines the name, also if another file passes the name on with `use`. A part of a
//! file (`store/claim.rs` of `store.rs`) may import what the whole defines. So the same rule holds once more for subjects:
//! a file and its parts, taken as one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Token, Used, all_sources, module_of, paths, reads, resolve, tokens, without_tests};

/// Imports from one file to another: for each pair, the names.
type Imports = BTreeMap<(String, String), BTreeSet<String>>;

/// An import as it is written.
struct Written {
    /// From `crate` on.
    path: Vec<String>,
    /// The name by which a `use` outside of functions and inner modules makes it known.
    known_as: Option<String>,
}

/// What an open brace belongs to.
enum Brace {
    Module(String),
    UseTree,
    Code,
}

/// Returns for each token the modules inside of the file that surround it, and whether it is in a function or a type.
fn surroundings(tokens: &[Token]) -> Vec<(Vec<String>, bool)> {
    let mut open: Vec<Brace> = vec![];
    let mut found = vec![];
    for (i, token) in tokens.iter().enumerate() {
        let module = |brace: &Brace| if let Brace::Module(name) = brace { Some(name.clone()) } else { None };
        let is_code = |brace: &Brace| matches!(brace, Brace::Code);
        found.push((open.iter().filter_map(module).collect(), open.iter().any(is_code)));
        let follows = |back: usize, word: &str| i >= back && reads(tokens, i - back, &[word]);
        match token.text.as_str() {
            "{" if follows(2, "mod") => open.push(Brace::Module(tokens[i - 1].text.clone())),
            "{" if follows(1, "::") || follows(1, "use") => open.push(Brace::UseTree),
            "{" if matches!(open.last(), Some(Brace::UseTree)) => open.push(Brace::UseTree),
            "{" => open.push(Brace::Code),
            "}" => drop(open.pop()),
            _ => {}
        }
    }
    found
}

/// Whether a path only says where an item is visible: `pub(in crate::app)`.
fn is_visibility(tokens: &[Token], used: &Used) -> bool {
    let length = used.path.len() * 2 - 1;
    used.known_as.is_none() && used.end >= length + 3 && reads(tokens, used.end - length - 3, &["pub", "(", "in"])
}

/// Returns all imports of a file that may be of this crate.
fn written(file: &str, source: &str) -> Vec<Written> {
    let tokens = without_tests(&tokens(source));
    let around = surroundings(&tokens);
    let module = module_of(file);
    let used: Vec<Used> = paths(&tokens).into_iter().filter(|used| !is_visibility(&tokens, used)).collect();
    let absolute = |used: &Used| {
        let inner = around.get(used.end.saturating_sub(1)).map(|(inner, _)| inner.as_slice()).unwrap_or_default();
        resolve(&used.path, &[&module, inner].concat())
    };
    let local: BTreeMap<&str, Vec<String>> =
        used.iter().filter_map(|used| Some((used.known_as.as_deref()?, absolute(used)))).collect();
    let mut found = vec![];
    for used in &used {
        let path = absolute(used);
        let (inner, nested) = around.get(used.end.saturating_sub(1)).cloned().unwrap_or_default();
        let path = match path.first().map(String::as_str) {
            Some("crate") => path,
            // `store::Db`, after `use crate::io::store` or `mod store`.
            Some(first) if path.len() > 1 => match local.get(first).filter(|_| used.known_as.is_none()) {
                Some(start) => [start, &path[1..]].concat(),
                None => [&module, path.as_slice()].concat(),
            },
            Some(_) | None => continue,
        };
        let known_as = used.known_as.clone().filter(|_| inner.is_empty() && !nested);
        found.push(Written { path, known_as });
    }
    found
}

/// Returns the file of the longest module that this path begins with, and the rest of the path.
fn file_of<'a>(path: &'a [String], files: &BTreeMap<Vec<String>, &'a str>) -> Option<(&'a str, &'a [String])> {
    (2..=path.len()).rev().find_map(|length| Some((*files.get(&path[..length])?, &path[length..])))
}

/// Returns all imports between the files.
fn imports(sources: &BTreeMap<String, String>) -> Imports {
    let files: BTreeMap<Vec<String>, &str> = sources.keys().map(|file| (module_of(file), file.as_str())).collect();
    let written: BTreeMap<&str, Vec<Written>> =
        sources.iter().map(|(file, source)| (file.as_str(), written(file, source))).collect();
    let passed_on = |file: &str, name: &str| {
        written[file].iter().find(|import| import.known_as.as_deref() == Some(name)).map(|import| &import.path)
    };
    let mut found = Imports::new();
    for (from, import) in written.iter().flat_map(|(from, imports)| imports.iter().map(move |one| (*from, one))) {
        let mut path = import.path.clone();
        // A name that is passed on leads to its definition; `use` cannot do so in a circle.
        let target = (0..10).find_map(|_| {
            let (file, rest) = file_of(&path, &files).map(|(file, rest)| (file.to_owned(), rest.to_vec()))?;
            match rest.first().filter(|_| file != from).and_then(|name| passed_on(&file, name)) {
                Some(start) if start[0] == "crate" => {
                    path = [start, &rest[1..]].concat();
                    None
                }
                Some(_) | None => Some((file, rest.first().cloned().unwrap_or_default())),
            }
        });
        if let Some((to, name)) = target.filter(|(to, _)| to != from) {
            found.entry((from.to_owned(), to)).or_default().insert(name);
        }
    }
    found
}

/// Whether a file is a part of another one.
fn is_part(file: &str, whole: &str) -> bool {
    file.strip_prefix(whole.trim_end_matches(".rs")).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the circles: files of which each imports all others, directly or through others.
fn circles(imports: &Imports) -> Vec<BTreeSet<&str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in imports.keys().filter(|(from, to)| !is_part(from, to)) {
        next.entry(from).or_default().push(to);
    }
    let reached = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut left = next.get(start).cloned().unwrap_or_default();
        while let Some(file) = left.pop() {
            if seen.insert(file) {
                left.extend(next.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(file))).collect();
    let mut found = BTreeSet::new();
    for (file, others) in &reached {
        let is_mutual = |other: &&&str| reached.get(**other).is_some_and(|back| back.contains(file));
        let circle: BTreeSet<&str> = others.iter().filter(is_mutual).copied().collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// Returns a circle with the names that tie its files.
fn shown(circle: &BTreeSet<&str>, imports: &Imports) -> String {
    let ties = imports
        .iter()
        .filter(|((from, to), _)| circle.contains(from.as_str()) && circle.contains(to.as_str()) && !is_part(from, to));
    let ties = ties.map(|((from, to), names)| {
        format!("  {from} -> {to}: {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
    });
    format!("a circle of {} files:\n{}", circle.len(), ties.collect::<Vec<_>>().join("\n"))
}

/// Returns the subject of a file: the file itself, or the one that it is a part of.
fn subject_of(file: &str) -> String {
    let mut parts = file.trim_end_matches(".rs").split('/');
    format!("{}/{}", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Returns the imports between subjects.
fn of_subjects(imports: &Imports) -> Imports {
    let mut found = Imports::new();
    for ((from, to), names) in imports {
        let (from, to) = (subject_of(from), subject_of(to));
        if from != to {
            found.entry((from, to)).or_default().extend(names.iter().cloned());
        }
    }
    found
}

#[test]
fn no_subjects_import_each_other_in_a_circle() {
    let imports = of_subjects(&imports(&all_sources()));
    let found: Vec<String> = circles(&imports).iter().map(|circle| shown(circle, &imports)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let imports = imports(&all_sources());
    let found: Vec<String> = circles(&imports).iter().map(|circle| shown(circle, &imports)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Returns the imports between small sources, each as `from -> to: names`.
fn of(files: &[(&str, &str)]) -> (Imports, Vec<String>) {
    let sources = files.iter().map(|(file, source)| ((*file).to_owned(), (*source).to_owned())).collect();
    let imports = imports(&sources);
    let show = |((from, to), names): (&(String, String), &BTreeSet<String>)| {
        format!("{from} -> {to}: {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    };
    let shown = imports.iter().map(show).collect();
    (imports, shown)
}

#[test]
fn imports_are_found_in_every_form() {
    let a = "pub struct A; pub const B: u8 = 1; pub fn c() {}";
    for (source, expected) in [
        ("use crate::model::a::A;", "A"),
        ("use super::a::{A, B};", "A B"),
        ("use crate::{model::a::{self, A}};", " A"),
        ("use super::{a};", ""),
        ("use super::a as other; fn f() { other::c() }", " c"),
        ("fn f() { crate::model::a::c() }", "c"),
        ("fn f() { use super::a::c; c() }", "c"),
        ("const X: u8 = super::a::B + 1;", "B"),
        ("mod inner { use super::super::a::A; }", "A"),
        ("mod inner { fn f() -> [u8; { 1 }] { [super::super::a::B] } }", "B"),
        ("use super::a; fn f() { a::c(); a::A; }", " A c"),
        ("fn f(x: Vec<super::a::A>) -> Option<crate::model::a::A> { None }", "A"),
        ("pub use super::a::A as B;", "A"),
        ("// use super::x\nuse super::a::A;", "A"),
    ] {
        let (_, found) = of(&[("model/a.rs", a), ("model/b.rs", source)]);
        assert_eq!(found, [format!("model/b.rs -> model/a.rs: {expected}")], "{source}");
    }
    for source in [
        "use std::fmt; use serde::Serialize;",
        "#[cfg(test)] mod tests { use super::super::a::A; }",
        "// use super::a::A;\nconst X: &str = \"super::a::A\";",
        "pub(in crate::model::a) fn f() {}",
        "use self::Own::Variant; enum Own { Variant }",
        "mod a { pub struct A; } use self::a::A; fn f() { a::A; }",
        "fn a() {} fn f() { let a = 1; a }",
    ] {
        let (_, found) = of(&[("model/a.rs", a), ("model/b.rs", source)]);
        assert_eq!(found, [""; 0], "{source}");
    }
}

#[test]
fn imports_lead_to_the_file_that_defines_the_name() {
    let whole = "mod part; pub use self::part::{P, Q as R}; use part::S; pub struct W;";
    let part = "pub struct P; pub struct Q; pub struct S;";
    let of = |source: &str| of(&[("io/w.rs", whole), ("io/w/part.rs", part), ("app/b.rs", source)]).1;
    let own = "io/w.rs -> io/w/part.rs: P Q S";
    for (source, expected) in [
        ("use crate::io::w::W;", "app/b.rs -> io/w.rs: W"),
        ("use crate::io::w::P;", "app/b.rs -> io/w/part.rs: P"),
        ("use crate::io::w::{R};", "app/b.rs -> io/w/part.rs: Q"),
        ("use crate::io::w; fn f() { w::P }", "app/b.rs -> io/w.rs: \napp/b.rs -> io/w/part.rs: P"),
        ("fn f() { crate::io::w::P::new() }", "app/b.rs -> io/w/part.rs: P"),
        ("use taskwatcher::io::w::P;", "app/b.rs -> io/w/part.rs: P"),
        ("use taskwatcher_core::io::w::P;", "app/b.rs -> io/w/part.rs: P"),
    ] {
        let expected: Vec<&str> = expected.split('\n').chain([own]).collect();
        assert_eq!(of(source), expected, "{source}");
    }
}

#[test]
fn circles_are_found() {
    let files = |files: &[(&str, &str)]| {
        let (imports, _) = of(files);
        circles(&imports).iter().map(|circle| circle.iter().copied().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let (a, b, c) =
        ("use super::b::B; pub struct A;", "use super::c::C; pub struct B;", "use super::a::A; pub struct C;");
    let (circle, end) = ("model/a.rs model/b.rs model/c.rs", "pub struct C;");
    assert_eq!(files(&[("model/a.rs", a), ("model/b.rs", b), ("model/c.rs", c)]), [circle]);
    assert_eq!(files(&[("model/a.rs", a), ("model/b.rs", b), ("model/c.rs", end)]), [""; 0]);
    // A file that only leads to a circle, or out of one, is no part of it.
    let (d, to_e) = ("use super::a::A;", "use super::{a::A, e::E}; pub struct C;");
    let all = [("model/a.rs", a), ("model/b.rs", b), ("model/c.rs", to_e), ("model/d.rs", d), ("model/e.rs", "")];
    assert_eq!(files(&all), [circle]);
    // Two circles are shown as two.
    let (e, f) = ("use super::f::F; pub struct E;", "use super::e::E; pub struct F;");
    let two = [("model/a.rs", a), ("model/b.rs", b), ("model/c.rs", c), ("model/e.rs", e), ("model/f.rs", f)];
    assert_eq!(files(&two), [circle, "model/e.rs model/f.rs"]);
    // A part may use its whole, which may use its parts; but not through another part.
    let (whole, part) = ("mod p; use self::p::P; pub struct W;", "use super::W; pub struct P;");
    assert_eq!(files(&[("io/w.rs", whole), ("io/w/p.rs", part)]), [""; 0]);
    let (p, q) = ("use super::Q; pub struct P;", "use super::P; pub struct Q;");
    let whole = "mod p; mod q; pub use self::{p::P, q::Q};";
    assert_eq!(files(&[("io/w.rs", whole), ("io/w/p.rs", p), ("io/w/q.rs", q)]), ["io/w/p.rs io/w/q.rs"]);
    // Whole and parts taken as one tie subjects that no two files tie.
    let sources = [
        ("io/w.rs", "mod p; use crate::io::x::X;"),
        ("io/w/p.rs", "pub struct P;"),
        ("io/x.rs", "use crate::io::w::p::P;"),
    ];
    assert_eq!(files(&sources), [""; 0]);
    let subjects = of_subjects(&of(&sources).0);
    assert_eq!(circles(&subjects), [BTreeSet::from(["io/w", "io/x"])]);
    let text = shown(&circles(&subjects)[0], &subjects);
    assert_eq!(text, "a circle of 2 files:\n  io/w -> io/x: X\n  io/x -> io/w: P");
}
