//! The interactive shell (section 7), so far as it is decided without a terminal: the words of a line, what may follow what
//! is typed, what is told of jobs, and names of signals.

pub mod complete;
pub mod notices;

use super::{
    jobs::JobRef,
    suggest::similar,
    task::{BadSignal, Signal},
};

/// Why a line has no words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// A quote without its end.
    #[error("a quote is not closed")]
    OpenQuote,
    /// An operator of a shell.
    #[error("one line is one action: put ; & | < > in quotes where they are part of a word")]
    Several,
    /// `&` at the end, where it means nothing.
    #[error("& at the end is for a job alone, as in %1 & (put it in quotes where it is part of a word)")]
    Background,
}

/// The words of a line: blanks part them, quotes and backslashes are as in a shell, and `#` begins a comment. None: the
/// line does nothing.
///
/// `?` is `help`, `%1` is `fg %1`, and `%1 &` is `bg %1` (JOB-3).
///
/// # Errors
/// A quote is open, there is a `;`, or an `&` at the end of an action.
pub fn words(line: &str) -> Result<Vec<String>, BadLine> {
    let mut words = shell_words::split(line).map_err(|_| BadLine::OpenQuote)?;
    // Whoever writes this expects a second action; to take it for a name would stop or start something else.
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
        // Of the current job, as in a shell.
        words.push("%+".to_owned());
    }
    Ok(words)
}

/// An operator of a shell.
enum Operator {
    /// An `&` at the end of the line.
    AtEnd,
    /// Any other.
    Within,
}

/// The first operator of a shell that stands outside of quotes and comments.
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

/// Whether nothing but blanks and a comment is left of a line.
fn is_end(rest: &str) -> bool {
    let words = rest.trim_start();
    words.is_empty() || words.starts_with('#') && words.len() < rest.len()
}

/// What is said of a word that is no action (SH-8).
pub fn unknown_action(word: &str, known: &[&str]) -> String {
    let similar = similar(word, known);
    let hint = if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(", ")) };
    format!("unknown action {word:?} (try help){hint}")
}

/// The words of `kill`, with `-TERM` and `-9` as `-s TERM` and `-s 9`. Options of `kill` stay as they are; what is neither
/// was meant for a signal, and is told to be none.
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

/// Signals that are listed: those that can be sent.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=31;
/// Columns of `kill -l`.
const COLUMNS: usize = 5;
/// The exit code of a shell for a death by signal n is this and n.
const DIED: i32 = 128;

/// `kill -l`: the table of all signals.
pub fn signals() -> Vec<String> {
    let all: Vec<String> = SIGNALS.map(|number| format!("{number:>2}) {:<10}", Signal(number).to_string())).collect();
    all.chunks(COLUMNS).map(|row| row.join(" ").trim_end().to_owned()).collect()
}

/// `kill -l WORD`: the number of a name, or the name of a number or of an exit code over 128.
///
/// # Errors
/// It is neither.
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

/// Whom `kill` is for: a process id, or what else names a process.
pub fn process_id(word: &str) -> Option<i32> {
    // A bare number never is a job (JOB-1), and no process is called so.
    let is_number = JobRef::parse(word).is_none() && word.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.parse().ok().filter(|pid| *pid > 0)).flatten()
}

/// Whether a signal usually ends what it is sent to, so that `autorestart` matters.
pub fn ends(signal: Signal) -> bool {
    const QUIT: Signal = Signal(3);
    [Signal::HUP, Signal::INT, QUIT, Signal::KILL, Signal::TERM].contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line).unwrap()
    }

    #[test]
    fn sh6_words_and_quotes() {
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
    fn sh8_an_unknown_action() {
        assert_eq!(unknown_action("frob", &["stop"]), "unknown action \"frob\" (try help)");
        assert_eq!(unknown_action("sotp", &["stop"]), "unknown action \"sotp\" (try help); did you mean stop?");
    }

    #[test]
    fn job6_signals_before_targets() {
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
    fn job6_names_of_signals() {
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
    fn job1_a_bare_number_is_a_process_id() {
        assert_eq!([process_id("12"), process_id("%12"), process_id("web")], [Some(12), None, None]);
        assert_eq!([process_id("0"), process_id("99999999999"), process_id("-1")], [None; 3]);
    }
}
