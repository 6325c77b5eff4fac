//! The interactive shell, as far as it needs no terminal: the words of a line, completion, notices
//! about jobs, and names of signals.

pub mod complete;
pub mod notices;

use super::{
    jobs::JobRef,
    suggest::similar,
    task::{BadSignal, Signal},
};

/// A line that cannot be split into words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// An open quote.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A shell operator.
    #[error("only one action per line: quote ; & | < > where they are part of a word")]
    Several,
    /// `&` at the end of an action.
    #[error("& at the end is only allowed after a job, as in %1 & (quote it where it is part of a word)")]
    Background,
}

/// Splits a line into words: separated by blanks, with quotes and backslashes as in a shell; `#`
/// begins a comment. An empty result means nothing to do.
///
/// `?` is `help`, `%1` is `fg %1`, and `%1 &` is `bg %1`.
///
/// # Errors
/// An open quote, an operator such as `;`, or `&` at the end of an action.
pub fn words(line: &str) -> Result<Vec<String>, BadLine> {
    let mut words = shell_words::split(line).map_err(|_| BadLine::OpenQuote)?;
    // The user expects a second action; read as a name, its words would stop or start another
    // process.
    match operator(line) {
        Some(Operator::Within) => return Err(BadLine::Several),
        Some(Operator::AtEnd) if !words.first().is_some_and(|first| first.starts_with('%')) => {
            return Err(BadLine::Background);
        }
        Some(Operator::AtEnd) | None => {}
    }
    let Some(first) = words.first_mut() else { return Ok(words) };
    if first == "?" {
        "help".clone_into(first);
    } else if first.starts_with('%') {
        let is_glued = first.len() > 1 && first.ends_with('&');
        if is_glued {
            first.pop();
        }
        let is_parted = words.last().is_some_and(|last| last == "&") && words.len() > 1;
        if is_parted {
            words.pop();
        }
        words.insert(0, if is_glued || is_parted { "bg" } else { "fg" }.to_owned());
    } else if words.len() == 1 && ["fg", "bg", "disown"].iter().any(|action| words.iter().any(|word| word == action)) {
        // For the current job, as in a shell.
        words.push("%+".to_owned());
    }
    Ok(words)
}

/// A shell operator.
enum Operator {
    /// `&` at the end of the line.
    AtEnd,
    /// Any other operator.
    Within,
}

/// Returns the first shell operator outside quotes and comments.
fn operator(line: &str) -> Option<Operator> {
    let (mut quote, mut is_start) = (None, true);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => drop(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if is_start => return None,
            (None, '&') if is_end(chars.as_str()) => return Some(Operator::AtEnd),
            (None, ';' | '&' | '|' | '<' | '>') => return Some(Operator::Within),
            (None, _) => {}
        }
        is_start = quote.is_none() && c.is_whitespace();
    }
    None
}

/// Whether the rest of a line contains only blanks and a comment.
fn is_end(rest: &str) -> bool {
    let words = rest.trim_start();
    words.is_empty() || words.starts_with('#') && words.len() < rest.len()
}

/// The message about an unknown action.
pub fn unknown_action(word: &str, known: &[&str]) -> String {
    let similar = similar(word, known);
    let hint = if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(", ")) };
    format!("unknown action {word:?} (try help){hint}")
}

/// Rewrites `-TERM` and `-9` of `kill` as `--signal=TERM` and `--signal=9`. Options of `kill` are
/// kept; any other option is taken as a signal, and rejected as an unknown one.
pub fn signal_option(words: Vec<String>) -> Vec<String> {
    const OPTIONS: [char; 6] = ['s', 'n', 'l', 'h', '?', '-'];
    let is_kill = words.first().is_some_and(|word| word == "kill");
    let is_meant = |name: &str| name.parse::<Signal>().is_ok() || !name.is_empty() && !name.starts_with(OPTIONS);
    let option = |(at, word): (usize, String)| match word.strip_prefix('-') {
        Some(name) if is_kill && at == 1 && is_meant(name) => format!("--signal={name}"),
        _ => word,
    };
    words.into_iter().enumerate().map(option).collect()
}

/// Listed signals: those that can be sent.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=31;
/// Columns of `kill -l`.
const COLUMNS: usize = 5;
/// A shell's exit code for a death by signal n is 128 + n.
const DIED: i32 = 128;

/// The table of all signals, for `kill -l`.
pub fn signals() -> Vec<String> {
    let all: Vec<String> = SIGNALS.map(|number| format!("{number:>2}) {:<10}", Signal(number).to_string())).collect();
    all.chunks(COLUMNS).map(|row| row.join(" ").trim_end().to_owned()).collect()
}

/// Translates a name into a number, or a number or an exit code over 128 into a name, for `kill -l
/// WORD`.
///
/// # Errors
/// Neither a signal nor such an exit code.
pub fn translate(word: &str) -> Result<String, BadSignal> {
    match word.parse::<i32>() {
        Ok(number) => {
            let number = if number > DIED { number - DIED } else { number };
            let name = number.to_string().parse::<Signal>()?.to_string();
            Ok(name.strip_prefix("SIG").unwrap_or(&name).to_owned())
        }
        Err(_) => word.parse::<Signal>().map(|signal| signal.0.to_string()),
    }
}

/// Parses an argument of `kill` as a pid; `None` if it names a process otherwise.
pub fn process_id(word: &str) -> Option<i32> {
    // A bare number is never a job, and no process has such a name.
    let is_number = JobRef::parse(word).is_none() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.parse().ok().filter(|pid| *pid > 0)).flatten()
}

/// Whether a signal usually ends a process, so that `autorestart` matters.
pub fn ends(signal: Signal) -> bool {
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::KILL, Signal::TERM].contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line).unwrap()
    }

    #[test]
    fn words_and_quotes() {
        for (line, expected) in [
            ("", &[][..]),
            ("  \t ", &[]),
            ("# a comment", &[]),
            ("status # and why", &["status"]),
            ("stop 'a b' \"c d\" e\\ f", &["stop", "a b", "c d", "e f"]),
            ("send x ''", &["send", "x", ""]),
            ("send x '# no comment; really'", &["send", "x", "# no comment; really"]),
            ("send ü \"\\\"é\\\"\"", &["send", "ü", "\"é\""]),
            ("?", &["help"]),
            ("? stop", &["help", "stop"]),
            ("%1", &["fg", "%1"]),
            ("%", &["fg", "%"]),
            ("%1 &", &["bg", "%1"]),
            ("%1&", &["bg", "%1"]),
            ("%% &", &["bg", "%%"]),
            ("fg", &["fg", "%+"]),
            ("bg", &["bg", "%+"]),
            ("disown", &["disown", "%+"]),
            ("fg web", &["fg", "web"]),
            ("disown -a", &["disown", "-a"]),
        ] {
            assert_eq!(split(line), expected, "{line}");
        }
        for line in ["stop 'a", "stop \"a"] {
            assert_eq!(words(line), Err(BadLine::OpenQuote), "{line}");
        }
        for line in [
            "stop a; stop b",
            "stop a ; stop b",
            "stop 'a';b",
            "send x \"\\\"\";",
            "stop a && start b",
            "stop a||start b",
            "status | grep x",
            "status > f",
            "tail a & stop b",
            "stop a &&",
        ] {
            assert_eq!(words(line), Err(BadLine::Several), "{line}");
        }
        for line in ["stop a &", "stop a&", "stop a & # later", "status &", "fg &", "&"] {
            assert_eq!(words(line), Err(BadLine::Background), "{line}");
        }
        assert_eq!(split("send x 'a &'"), ["send", "x", "a &"]);
        assert_eq!(split("send x a\\;b"), ["send", "x", "a;b"]);
        assert_eq!(split("send x 'a && b | c > d'"), ["send", "x", "a && b | c > d"]);
        assert_eq!(split("send x a\\|b"), ["send", "x", "a|b"]);
        assert_eq!(split("send x 'a; b' # c;"), ["send", "x", "a; b"]);
    }

    #[test]
    fn an_unknown_action() {
        assert_eq!(unknown_action("frob", &["stop"]), "unknown action \"frob\" (try help)");
        assert_eq!(unknown_action("sotp", &["stop"]), "unknown action \"sotp\" (try help); did you mean stop?");
    }

    #[test]
    fn signals_before_targets() {
        let of = |line: &str| signal_option(split(line)).join(" ");
        assert_eq!(of("kill -9 web"), "kill --signal=9 web");
        assert_eq!(of("kill -sigterm web"), "kill --signal=sigterm web");
        assert_eq!(of("kill -segv web"), "kill --signal=segv web");
        assert_eq!(of("kill -FOO web"), "kill --signal=FOO web");
        assert_eq!(of("kill -40 web"), "kill --signal=40 web");
        assert_eq!(of("kill -s HUP web"), "kill -s HUP web");
        assert_eq!(of("kill --json web"), "kill --json web");
        assert_eq!(of("kill -l"), "kill -l");
        assert_eq!(of("kill web -9"), "kill web -9");
        assert_eq!(of("tail -9 web"), "tail -9 web");
    }

    #[test]
    fn names_of_signals() {
        let table = signals();
        assert_eq!(table[0], " 1) SIGHUP      2) SIGINT      3) SIGQUIT     4) SIGILL      5) SIGTRAP");
        assert_eq!(table.len(), 7);
        for (word, expected) in [("9", "KILL"), ("KILL", "9"), ("sigterm", "15"), ("143", "TERM"), ("129", "HUP")] {
            assert_eq!(translate(word).unwrap(), expected);
        }
        for word in ["0", "64", "NOPE", "128", "-1", ""] {
            assert!(translate(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_bare_number_is_a_process_id() {
        assert_eq!([process_id("12"), process_id("%12"), process_id("web")], [Some(12), None, None]);
        assert_eq!([process_id("0"), process_id("99999999999"), process_id("-1")], [None; 3]);
    }
}
