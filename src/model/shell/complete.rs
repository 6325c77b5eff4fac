//! Completion. `:`, `*` and `-` are parts of words.

use crate::model::{
    task::Signal,
    wire::{Channel, EventKind},
};

/// An action, as defined by the command line parser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionWord {
    /// Name.
    pub name: String,
    /// Options, with their dashes.
    pub options: Vec<String>,
}

/// Names known to the supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Full names of processes.
    pub processes: Vec<String>,
    /// Names of programs, including those only in the configuration file.
    pub programs: Vec<String>,
    /// Names of groups with more than one process.
    pub groups: Vec<String>,
    /// Job numbers and names of their processes.
    pub jobs: Vec<(u32, String)>,
}

/// Kind of a word of an action.
enum WordPlace {
    Action,
    /// Processes: either several, including groups and all, or exactly one.
    Processes {
        several: bool,
    },
    /// Programs and groups.
    Programs,
    Signal,
    Words(&'static [&'static str]),
    Nothing,
}

/// A possible completion of the word at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The completed word.
    pub word: String,
    /// The word quoted so that it reads back as itself.
    pub typed: String,
}

/// Returns the start of the word at the cursor, and its completions. `line` ends at the cursor.
/// `now` returns the current names; `None`: unknown, and no name is offered.
pub fn complete(
    line: &str,
    actions: &[ActionWord],
    now: impl FnOnce() -> Option<KnownNames>,
) -> (usize, Vec<Candidate>) {
    let Some(OpenLine { start, before, word, quote }) = begun(line) else { return (line.len(), vec![]) };
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let options = |name: &str| actions.iter().find(|action| action.name == name).map(|action| action.options.clone());
    let mut found: Vec<String> = match (before.split_first(), word.strip_prefix('%')) {
        (Some((&"kill", rest)), _) if word.starts_with('-') && rest.is_empty() => {
            let names = signals().into_iter().map(|name| format!("-{name}"));
            options("kill").unwrap_or_default().into_iter().chain(names).collect()
        }
        (Some((action, _)), None) if word.starts_with('-') => options(action).unwrap_or_default(),
        (first, reference) => {
            let place = first.map_or(WordPlace::Action, |(action, rest)| place(action, rest));
            match (place, reference) {
                (WordPlace::Action | WordPlace::Processes { .. } | WordPlace::Programs, Some(_)) => {
                    now().map(|now| references(&now)).unwrap_or_default()
                }
                (WordPlace::Action, None) => actions.iter().map(|action| action.name.clone()).collect(),
                (WordPlace::Processes { several }, None) => {
                    now().map(|now| processes(now, several)).unwrap_or_default()
                }
                (WordPlace::Programs, None) => {
                    now().map(|KnownNames { programs, groups, .. }| [programs, groups].concat()).unwrap_or_default()
                }
                (WordPlace::Signal, _) => signals(),
                (WordPlace::Words(words), _) => words.iter().map(|&word| word.to_owned()).collect(),
                (WordPlace::Nothing, _) => vec![],
            }
        }
    };
    found.retain(|candidate| candidate.starts_with(&word));
    found.sort_by(|a, b| a.strip_prefix('%').is_some().cmp(&b.strip_prefix('%').is_some()).then_with(|| a.cmp(b)));
    found.dedup();
    let candidate = |word: String| Candidate { typed: quoted(&word, quote), word };
    (start, found.into_iter().map(candidate).collect())
}

/// An incomplete line.
struct OpenLine {
    /// Start of the last word, including its quote.
    start: usize,
    /// The preceding words.
    before: Vec<String>,
    /// The last word so far.
    word: String,
    /// The open quote with which the last word begins.
    quote: Option<char>,
}

/// Parses an incomplete line; `None`: the cursor is in a comment.
fn begun(line: &str) -> Option<OpenLine> {
    let (mut before, mut word, mut start) = (vec![], String::new(), None);
    let mut quote = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && matches!(c, ' ' | '\t' | '\n') {
            if start.take().is_some() {
                before.push(std::mem::take(&mut word));
            }
            continue;
        }
        if start.is_none() && c == '#' {
            return None;
        }
        start.get_or_insert(at);
        match (quote, c) {
            (Some((open, _)), c) if c == open => quote = None,
            (Some(('\'', _)), c) => word.push(c),
            (Some(_), '\\') => match chars.next() {
                Some((_, c @ ('$' | '`' | '"' | '\\'))) => word.push(c),
                Some((_, c)) => word.extend(['\\', c]),
                None => {}
            },
            (Some(_), c) => word.push(c),
            (None, '\\') => word.extend(chars.next().map(|(_, c)| c)),
            (None, '"' | '\'') => quote = Some((c, at)),
            (None, c) => word.push(c),
        }
    }
    let start = start.unwrap_or(line.len());
    let quote = quote.filter(|(_, at)| *at == start).map(|(open, _)| open);
    Some(OpenLine { start, before, word, quote })
}

/// Quotes a word: in this quote, or else with backslashes where needed.
fn quoted(word: &str, quote: Option<char>) -> String {
    let escaped = |special: &dyn Fn(usize, char) -> bool| {
        let mut text = String::with_capacity(word.len());
        for (at, c) in word.char_indices() {
            if special(at, c) {
                text.push('\\');
            }
            text.push(c);
        }
        text
    };
    match quote {
        Some('\'') => format!("'{}'", word.replace('\'', "'\\''")),
        Some(quote) => format!("{quote}{}{quote}", escaped(&|_, c| matches!(c, '"' | '\\' | '$' | '`'))),
        None => escaped(&|at, c| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ';' | '&' | '|' | '<' | '>') || (at == 0 && c == '#')
        }),
    }
}

/// Returns the kind of the word that follows `before` in an action.
fn place(action: &str, before: &[&str]) -> WordPlace {
    const CHANNELS: [&str; 2] = [Channel::Stdout.as_str(), Channel::Stderr.as_str()];
    const EVENTS: [&str; 4] =
        [EventKind::State.as_str(), EventKind::Config.as_str(), EventKind::Shutdown.as_str(), EventKind::Tick.as_str()];
    let operands = before.iter().filter(|word| !word.starts_with('-')).count();
    let last = before.last().copied().unwrap_or_default();
    match action {
        "help" | "?" if operands == 0 => WordPlace::Action,
        "kill" if ["-s", "-l", "--signal", "--list"].contains(&last) || before.contains(&"-l") => WordPlace::Signal,
        "signal" if operands == 0 => WordPlace::Signal,
        "signal" | "kill" | "start" | "stop" | "restart" | "status" | "pid" | "clear" | "jobs" | "bg" | "disown"
        | "wait" => WordPlace::Processes { several: true },
        "tail" | "fg" | "send" | "history" if operands == 0 => WordPlace::Processes { several: false },
        "tail" if operands == 1 => WordPlace::Words(&CHANNELS),
        "add" | "remove" | "update" | "reload" => WordPlace::Programs,
        "subscribe" => WordPlace::Words(&EVENTS),
        "set" if before.is_empty() => WordPlace::Words(&["-b", "+b"]),
        _ => WordPlace::Nothing,
    }
}

fn signals() -> Vec<String> {
    let bare = |name: String| name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name);
    (1..=31).map(|number| bare(Signal(number).to_string())).collect()
}

fn references(now: &KnownNames) -> Vec<String> {
    now.jobs.iter().flat_map(|(number, name)| [format!("%{number}"), format!("%{name}")]).collect()
}

fn processes(now: KnownNames, several: bool) -> Vec<String> {
    let mut names = now.processes;
    if several {
        names.extend(now.groups.iter().map(|group| format!("{group}:*")));
        names.push("all".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::shell::words;

    fn snapshot() -> KnownNames {
        KnownNames {
            processes: vec!["web".into(), "work:w_00".into(), "work:w_01".into(), "zürich".into()],
            programs: vec!["web".into(), "w".into(), "new".into()],
            groups: vec!["work".into()],
            jobs: vec![(1, "web".into()), (2, "work:w_00".into())],
        }
    }

    fn of(line: &str) -> String {
        let word = |name: &str, options: &[&str]| ActionWord {
            name: name.into(),
            options: options.iter().map(|&option| option.into()).collect(),
        };
        let actions = [
            word("start", &["--no-wait"]),
            word("status", &[]),
            word("reload", &["--server", "--client", "--dry-run"]),
            word("kill", &["-s", "-l"]),
        ];
        let (start, found) = complete(line, &actions, || Some(snapshot()));
        assert!(line.is_char_boundary(start));
        let found: Vec<String> = found.into_iter().map(|candidate| candidate.typed).collect();
        format!("{start} {}", found.join(" "))
    }

    #[test]
    fn completions() {
        for (line, expected) in [
            ("", "0 kill reload start status"),
            ("sta", "0 start status"),
            ("x", "0 "),
            ("help st", "5 start status"),
            ("? re", "2 reload"),
            ("start ", "6 all web work:* work:w_00 work:w_01 zürich"),
            ("stop work:", "5 work:* work:w_00 work:w_01"),
            ("stop web zü", "9 zürich"),
            ("stop zürich w", "13 web work:* work:w_00 work:w_01"),
            ("stop 'we", "5 'web'"),
            ("stop \"zü", "5 \"zürich\""),
            ("stop w\"e", "5 web"),
            ("stop 'web' work:w", "11 work:w_00 work:w_01"),
            ("stop # we", "9 "),
            ("stop %", "5 %1 %2 %web %work:w_00"),
            ("%w", "0 %web %work:w_00"),
            ("tail ", "5 web work:w_00 work:w_01 zürich"),
            ("tail web s", "9 stderr stdout"),
            ("tail -f web stde", "12 stderr"),
            ("fg wor", "3 work:w_00 work:w_01"),
            ("add ", "4 new w web work"),
            ("signal TE", "7 TERM"),
            ("signal HUP we", "11 web"),
            ("kill we", "5 web"),
            ("kill -TE", "5 -TERM"),
            ("kill -s KI", "8 KILL"),
            ("kill -s KILL %1", "13 %1"),
            ("reload --", "7 --client --dry-run --server"),
            ("reload we", "7 web"),
            ("subscribe st", "10 state"),
            ("set ", "4 +b -b"),
            ("open ", "5 "),
            ("version ", "8 "),
        ] {
            assert_eq!(of(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_supervisor_is_asked_only_where_needed() {
        let never = || -> Option<KnownNames> { panic!("asked") };
        for line in ["", "sta", "help ", "signal ", "reload --"] {
            complete(line, &[], never);
        }
    }

    #[test]
    fn no_name_is_offered_if_none_is_known() {
        let (actions, unknown) = ([ActionWord { name: "stop".into(), options: vec![] }], || None);
        for line in ["stop ", "stop a", "signal TERM ", "add ", "stop %", "%"] {
            assert_eq!(complete(line, &actions, unknown).1, [], "{line}");
        }
        assert_eq!(complete("st", &actions, unknown).1[0].word, "stop");
        assert_eq!(complete("kill -KIL", &actions, unknown).1[0].word, "-KILL");
    }

    proptest! {
        #[test]
        fn a_completion_reads_back_as_its_word(name in "[^\\p{C}]{1,9}", typed in 0..9_usize, quote in 0..3_usize) {
            let now = || Some(KnownNames { processes: vec![name.clone()], ..KnownNames::default() });
            // No process has a name like an option or a job.
            prop_assume!(!name.starts_with(['-', '%']) && name != "all");
            let prefix: String = name.chars().take(typed).collect();
            let open = [None, Some('"'), Some('\'')][quote];
            let whole = quoted(&prefix, open);
            let begun = format!("pid {}", &whole[..whole.len() - usize::from(open.is_some())]);
            let (start, found) = complete(&begun, &[], now);
            let found: Vec<&Candidate> = found.iter().filter(|candidate| candidate.word == name).collect();
            prop_assert_eq!(found.len(), 1, "{}", begun);
            let line = format!("{}{}", &begun[..start], found[0].typed);
            prop_assert_eq!(words(&line), Ok(vec!["pid".to_owned(), name.clone()]), "{}", line);
        }
    }
}
