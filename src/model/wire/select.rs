//! Resolves names in requests to processes.

use std::collections::BTreeSet;

use super::{Code, NO_GROUP, NO_PROCESS, NO_PROGRAM, NameKind, ResultItem, Targets};

/// One process, as matched by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessEntry {
    /// Group.
    pub group: String,
    /// Program.
    pub program: String,
    /// Name.
    pub process: String,
}

impl ProcessEntry {
    /// The name for display.
    pub fn full_name(&self) -> String {
        full_name(&self.group, &self.process)
    }
}

/// Formats `group:process`, or one word if both are equal.
pub fn full_name(group: &str, process: &str) -> String {
    if group == process || group.is_empty() { process.to_owned() } else { format!("{group}:{process}") }
}

/// Result of resolving the names of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Indexes in the catalog, without duplicates, sorted by group and name.
    pub found: Vec<usize>,
    /// A result for each name that does not match or is ambiguous, in the order of the request.
    pub failed: Vec<ResultItem>,
    /// Whether exactly one process was requested by its name, without a wildcard: then its failure
    /// is that of the response.
    pub is_single: bool,
}

/// Resolves targets to processes.
pub fn select(targets: &Targets, catalog: &[ProcessEntry]) -> Selection {
    let (mut found, mut failed) = (BTreeSet::new(), Vec::new());
    let mut is_single = false;
    match targets {
        Targets::All => found.extend(0..catalog.len()),
        Targets::Named { kind, names } => {
            for name in names {
                match one(*kind, name, catalog) {
                    Ok(places) => found.extend(places),
                    Err(Miss::None(message)) => failed.push(ResultItem::failed("", name, Code::BadName, message)),
                    Err(Miss::Several(names)) => {
                        let message = format!("ambiguous: {}", names.join(", "));
                        failed.push(ResultItem::failed("", name, Code::Ambiguous, message));
                    }
                }
            }
            let plain = names.len() == 1 && names.iter().all(|name| !is_wild(name)) && *kind != NameKind::Group;
            is_single = plain && found.len() + failed.len() == 1;
        }
    }
    let mut found: Vec<usize> = found.into_iter().collect();
    found.sort_by_key(|&place| catalog.get(place).map(|entry| (&entry.group, &entry.process)));
    Selection { found, failed, is_single }
}

/// Why a name does not select processes.
enum Miss {
    None(String),
    /// Several processes match.
    Several(Vec<String>),
}

fn is_wild(name: &str) -> bool {
    name.ends_with(':') || name.contains(['*', '?'])
}

fn one(kind: NameKind, name: &str, catalog: &[ProcessEntry]) -> Result<Vec<usize>, Miss> {
    match kind {
        NameKind::Process => process(name, catalog),
        NameKind::Program => match name.split_once(':') {
            Some((group, program)) if !is_wild(name) => {
                some(places(catalog, |entry| entry.group == group && entry.program == program), NO_PROGRAM)
            }
            Some(_) | None => some(places(catalog, |entry| glob(name, &entry.program)), NO_PROGRAM),
        },
        NameKind::Group => {
            let group = name.strip_suffix(":*").or_else(|| name.strip_suffix(':')).unwrap_or(name);
            some(places(catalog, |entry| glob(group, &entry.group)), NO_GROUP)
        }
    }
}

fn process(name: &str, catalog: &[ProcessEntry]) -> Result<Vec<usize>, Miss> {
    if let Some(group) = name.strip_suffix(":*").or_else(|| name.strip_suffix(':')) {
        return some(places(catalog, |entry| glob(group, &entry.group)), NO_GROUP);
    }
    if is_wild(name) {
        // A pattern without a group also matches bare names.
        let bare = !name.contains(':');
        let matches = |entry: &ProcessEntry| {
            glob(name, &format!("{}:{}", entry.group, entry.process)) || bare && glob(name, &entry.process)
        };
        return some(places(catalog, matches), NO_PROCESS);
    }
    if let Some((group, name)) = name.split_once(':') {
        let members: Vec<usize> = places(catalog, |entry| entry.group == group);
        if members.is_empty() {
            return Err(Miss::None(NO_GROUP.to_owned()));
        }
        let own = places(catalog, |entry| entry.group == group && entry.process == name);
        if !own.is_empty() {
            return Ok(own);
        }
        return some(places(catalog, |entry| entry.group == group && entry.program == name), NO_PROCESS);
    }
    let program = places(catalog, |entry| entry.program == name);
    let own = places(catalog, |entry| entry.process == name);
    let several = |places: &[usize]| {
        Err(Miss::Several(places.iter().filter_map(|&place| catalog.get(place)).map(ProcessEntry::full_name).collect()))
    };
    match (&program[..], &own[..]) {
        // The process of that program, or another one with that name.
        (program, own) if own.iter().any(|place| !program.contains(place)) => {
            let mut all: Vec<usize> = program.iter().chain(own).copied().collect();
            all.sort_unstable();
            all.dedup();
            if all.len() == 1 { Ok(all) } else { several(&all) }
        }
        ([], []) if catalog.iter().any(|entry| entry.group == name) => {
            Err(Miss::None(format!("{NO_PROCESS}; for the group use {name}:*")))
        }
        ([], []) => Err(Miss::None(NO_PROCESS.to_owned())),
        (program, _) => Ok(program.to_vec()),
    }
}

fn places(catalog: &[ProcessEntry], is_meant: impl Fn(&ProcessEntry) -> bool) -> Vec<usize> {
    catalog.iter().enumerate().filter(|(_, entry)| is_meant(entry)).map(|(place, _)| place).collect()
}

fn some(places: Vec<usize>, message: &'static str) -> Result<Vec<usize>, Miss> {
    if places.is_empty() { Err(Miss::None(message.to_owned())) } else { Ok(places) }
}

/// Whether a text matches a pattern with `*` (any characters) and `?` (one character).
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The last star, and the end of the text it matched. Only the last star is backtracked, so the
    // time is bounded.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || text.get(t) == Some(&c) => (p, t) = (p + 1, t + 1),
            Some(_) | None => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn catalog() -> Vec<ProcessEntry> {
        let entry = |group: &str, program: &str, process: &str| ProcessEntry {
            group: group.into(),
            program: program.into(),
            process: process.into(),
        };
        vec![
            entry("web", "web", "web"),
            entry("work", "worker", "worker_01"),
            entry("work", "worker", "worker_00"),
            entry("work", "mail", "mail"),
            entry("old", "mail2", "cron"),
            entry("new", "cron", "cron2"),
            entry("a", "x", "twin"),
            entry("b", "y", "twin"),
        ]
    }

    fn chosen(kind: NameKind, names: &[&str]) -> Result<Vec<String>, String> {
        let targets = Targets::Named { kind, names: names.iter().map(|name| (*name).to_owned()).collect() };
        let catalog = catalog();
        let selection = select(&targets, &catalog);
        match selection.failed.first() {
            None => Ok(selection.found.iter().map(|&place| catalog[place].full_name()).collect()),
            Some(item) => Err(format!("{} {} {}", item.status, item.name, item.message)),
        }
    }

    #[test]
    fn the_syntax_of_names() {
        for (name, meant) in [
            ("web", &["web"][..]),
            ("web:web", &["web"]),
            ("worker", &["work:worker_00", "work:worker_01"]),
            ("worker_01", &["work:worker_01"]),
            ("work:worker_01", &["work:worker_01"]),
            ("work:worker", &["work:worker_00", "work:worker_01"]),
            ("work:*", &["work:mail", "work:worker_00", "work:worker_01"]),
            ("work:", &["work:mail", "work:worker_00", "work:worker_01"]),
            ("mail", &["work:mail"]),
            ("w*:*", &["web", "work:mail", "work:worker_00", "work:worker_01"]),
            ("work:w*", &["work:worker_00", "work:worker_01"]),
            ("worker_0?", &["work:worker_00", "work:worker_01"]),
            ("?eb", &["web"]),
            ("*mail", &["work:mail"]),
        ] {
            assert_eq!(chosen(NameKind::Process, &[name]).unwrap(), meant, "{name}");
        }
        assert_eq!(chosen(NameKind::Process, &["*"]).unwrap().len(), catalog().len());
    }

    #[test]
    fn a_name_that_does_not_match_is_not_found() {
        for (name, message) in [
            ("nope", "404 nope no such process"),
            ("work", "404 work no such process; for the group use work:*"),
            ("nope:web", "404 nope:web no such group"),
            ("nope:*", "404 nope:* no such group"),
            ("nope:", "404 nope: no such group"),
            ("work:nope", "404 work:nope no such process"),
            ("n*pe", "404 n*pe no such process"),
            (":", "404 : no such group"),
            ("web:web:web", "404 web:web:web no such process"),
        ] {
            assert_eq!(chosen(NameKind::Process, &[name]).unwrap_err(), message);
        }
    }

    #[test]
    fn a_name_of_a_program_and_of_a_process_is_ambiguous() {
        let either = chosen(NameKind::Process, &["cron"]).unwrap_err();
        assert_eq!(either, "409 cron ambiguous: old:cron, new:cron2", "a program, and a process of another one");
        assert_eq!(chosen(NameKind::Process, &["twin"]).unwrap_err(), "409 twin ambiguous: a:twin, b:twin");
        assert_eq!(chosen(NameKind::Process, &["a:twin"]).unwrap(), ["a:twin"]);
        assert_eq!(chosen(NameKind::Program, &["cron"]).unwrap(), ["new:cron2"]);
    }

    #[test]
    fn programs_and_groups_have_their_own_names() {
        assert_eq!(chosen(NameKind::Program, &["worker"]).unwrap().len(), 2);
        assert_eq!(chosen(NameKind::Program, &["work:worker"]).unwrap().len(), 2);
        assert_eq!(chosen(NameKind::Program, &["w*"]).unwrap().len(), 3);
        assert_eq!(chosen(NameKind::Program, &["worker_00"]).unwrap_err(), "404 worker_00 no such program");
        for name in ["work", "work:*", "work:", "wor?"] {
            assert_eq!(chosen(NameKind::Group, &[name]).unwrap().len(), 3, "{name}");
        }
        assert_eq!(chosen(NameKind::Group, &["worker"]).unwrap_err(), "404 worker no such group");
    }

    #[test]
    fn each_process_is_selected_once_and_a_single_one_is_marked() {
        let catalog = catalog();
        let selection = select(&Targets::processes(["work:*", "mail", "nope", "worker"]), &catalog);
        assert_eq!((selection.found, selection.failed.len(), selection.is_single), (vec![3, 2, 1], 1, false));
        let single = |name: &str| select(&Targets::processes([name]), &catalog).is_single;
        assert_eq!(["web", "work:mail", "nope"].map(single), [true; 3]);
        assert_eq!(["worker", "web:*", "w?b", "nope:*"].map(single), [false; 4]);
        let all = select(&Targets::All, &catalog);
        assert_eq!((all.found.len(), all.is_single), (catalog.len(), false));
    }

    proptest! {
        #[test]
        fn any_name_selects_processes_or_fails(
            name in "[a-c:*?é]{0,8}", kind in proptest::sample::select(vec![NameKind::Program, NameKind::Process, NameKind::Group]),
        ) {
            let catalog = catalog();
            let selection = select(&Targets::Named { kind, names: vec![name] }, &catalog);
            prop_assert!(selection.found.is_empty() != selection.failed.is_empty());
            prop_assert!(selection.found.iter().all(|&place| place < catalog.len()));
        }

        #[test]
        fn a_glob_matches_like_the_simple_rule(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            fn plain(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => {
                        plain(rest, text) || text.split_first().is_some_and(|(_, text)| plain(pattern, text))
                    }
                    (Some((b'?', pattern)), Some((_, text))) => plain(pattern, text),
                    (Some((p, pattern)), Some((t, text))) => p == t && plain(pattern, text),
                    (_, _) => false,
                }
            }
            prop_assert_eq!(glob(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_hostile_glob_is_fast() {
        assert!(!glob(&"*a".repeat(2_000), &"a".repeat(1_999)));
    }
}
