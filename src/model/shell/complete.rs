//! What may follow what is typed (SH-5). `:`, `*` and `-` are parts of words.

use crate::model::{
    task::Signal,
    wire::{Channel, EventKind},
};

/// An action, as its definition says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionWord {
    /// Its word.
    pub name: String,
    /// Its options, with their dashes.
    pub options: Vec<String>,
}

/// What there is at the supervisor now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Full names of processes.
    pub processes: Vec<String>,
    /// Names of programs, also of those that are only in the file.
    pub programs: Vec<String>,
    /// Names of groups with more than one process.
    pub groups: Vec<String>,
    /// Numbers of jobs and the names of their processes.
    pub jobs: Vec<(u32, String)>,
}

/// What a word of an action is.
enum Place {
    Action,
    /// Processes; several of them, so also groups and all, or one.
    Processes {
        several: bool,
    },
    /// Programs and groups.
    Programs,
    Signal,
    Words(&'static [&'static str]),
    Nothing,
}

/// Where the word under the cursor begins, and what it may become. `line` ends at the cursor. `now` tells what there is;
/// none: nobody knows, and no name is offered.
pub fn complete(line: &str, actions: &[ActionWord], now: impl FnOnce() -> Option<Snapshot>) -> (usize, Vec<String>) {
    let start =
        line.rfind(char::is_whitespace).map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
    // An open quote stays where it is.
    let start = start + usize::from(line[start..].starts_with(['"', '\'']));
    let word = &line[start..];
    let before: Vec<&str> = line[..start].split(['"', '\'']).next().unwrap_or_default().split_whitespace().collect();
    let options = |name: &str| actions.iter().find(|action| action.name == name).map(|action| action.options.clone());
    let mut found: Vec<String> = match (before.split_first(), word.strip_prefix('%')) {
        (Some((&"kill", rest)), _) if word.starts_with('-') && rest.is_empty() => {
            let names = signals().into_iter().map(|name| format!("-{name}"));
            options("kill").unwrap_or_default().into_iter().chain(names).collect()
        }
        (Some((action, _)), None) if word.starts_with('-') => options(action).unwrap_or_default(),
        (first, reference) => {
            let place = first.map_or(Place::Action, |(action, rest)| place(action, rest));
            match (place, reference) {
                (Place::Action | Place::Processes { .. } | Place::Programs, Some(_)) => {
                    now().map(|now| references(&now)).unwrap_or_default()
                }
                (Place::Action, None) => actions.iter().map(|action| action.name.clone()).collect(),
                (Place::Processes { several }, None) => now().map(|now| processes(now, several)).unwrap_or_default(),
                (Place::Programs, None) => {
                    now().map(|Snapshot { programs, groups, .. }| [programs, groups].concat()).unwrap_or_default()
                }
                (Place::Signal, _) => signals(),
                (Place::Words(words), _) => words.iter().map(|&word| word.to_owned()).collect(),
                (Place::Nothing, _) => vec![],
            }
        }
    };
    found.retain(|candidate| candidate.starts_with(word));
    found.sort_by(|a, b| a.strip_prefix('%').is_some().cmp(&b.strip_prefix('%').is_some()).then_with(|| a.cmp(b)));
    found.dedup();
    (start, found)
}

/// What stands at this place of an action, after these words.
fn place(action: &str, before: &[&str]) -> Place {
    const CHANNELS: [&str; 2] = [Channel::Stdout.as_str(), Channel::Stderr.as_str()];
    const EVENTS: [&str; 4] =
        [EventKind::State.as_str(), EventKind::Config.as_str(), EventKind::Shutdown.as_str(), EventKind::Tick.as_str()];
    let operands = before.iter().filter(|word| !word.starts_with('-')).count();
    let last = before.last().copied().unwrap_or_default();
    match action {
        "help" | "?" if operands == 0 => Place::Action,
        "kill" if ["-s", "-l", "--signal", "--list"].contains(&last) || before.contains(&"-l") => Place::Signal,
        "signal" if operands == 0 => Place::Signal,
        "signal" | "kill" | "start" | "stop" | "restart" | "status" | "pid" | "clear" | "jobs" | "bg" | "disown"
        | "wait" => Place::Processes { several: true },
        "tail" | "fg" | "send" | "history" if operands == 0 => Place::Processes { several: false },
        "tail" if operands == 1 => Place::Words(&CHANNELS),
        "add" | "remove" | "update" | "reload" => Place::Programs,
        "subscribe" => Place::Words(&EVENTS),
        "set" if before.is_empty() => Place::Words(&["-b", "+b"]),
        _ => Place::Nothing,
    }
}

fn signals() -> Vec<String> {
    let bare = |name: String| name.strip_prefix("SIG").map(str::to_owned).unwrap_or(name);
    (1..=31).map(|number| bare(Signal(number).to_string())).collect()
}

fn references(now: &Snapshot) -> Vec<String> {
    now.jobs.iter().flat_map(|(number, name)| [format!("%{number}"), format!("%{name}")]).collect()
}

fn processes(now: Snapshot, several: bool) -> Vec<String> {
    let mut names = now.processes;
    if several {
        names.extend(now.groups.iter().map(|group| format!("{group}:*")));
        names.push("all".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
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
        format!("{start} {}", found.join(" "))
    }

    #[test]
    fn sh5_what_follows() {
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
            ("stop 'we", "6 web"),
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
    fn nothing_is_asked_for_what_needs_no_answer() {
        let never = || -> Option<Snapshot> { panic!("asked") };
        for line in ["", "sta", "help ", "signal ", "reload --"] {
            complete(line, &[], never);
        }
    }

    #[test]
    fn no_name_is_offered_where_nobody_knows_of_any() {
        let (actions, unknown) = ([ActionWord { name: "stop".into(), options: vec![] }], || None);
        for line in ["stop ", "stop a", "signal TERM ", "add ", "stop %", "%"] {
            assert_eq!(complete(line, &actions, unknown).1, [""; 0], "{line}");
        }
        assert_eq!(complete("st", &actions, unknown).1, ["stop"]);
        assert_eq!(complete("kill -KIL", &actions, unknown).1, ["-KILL"]);
    }
}
