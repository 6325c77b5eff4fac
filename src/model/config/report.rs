//! Findings about a configuration: position, subject, problem and remedy.

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::model::suggest::similar;

/// An error or warning about a configuration, in one line: `FILE:LINE: [TABLE] KEY: problem
/// (allowed values or remedy)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Position and subject.
    pub at: At,
    /// The problem, with the value. Never contains values of environments and passwords.
    pub what: String,
    /// Allowed values, or the remedy; empty if obvious.
    pub allowed: String,
}

/// A position in a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The file; `None`: the command line.
    pub file: Option<PathBuf>,
    /// Line number, from 1; 0: the file as a whole.
    pub line: usize,
    /// The table, such as `programs.web`; empty: top level.
    pub table: String,
    /// The key, or the option of the command line; empty: the table as a whole.
    pub key: String,
}

impl At {
    /// Position of a whole file.
    pub fn file(path: &Path) -> At {
        At { file: Some(path.to_owned()), ..At::default() }
    }

    /// Position of an option of the command line.
    pub fn option(name: &str) -> At {
        At { key: format!("--{name}"), ..At::default() }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), 0) => write!(f, "{}", file.display())?,
            (Some(file), line) => write!(f, "{}:{line}", file.display())?,
            (None, _) => f.write_str("command line")?,
        }
        match (self.table.as_str(), self.key.as_str()) {
            ("", "") => Ok(()),
            ("", key) => write!(f, ": {key}"),
            (table, "") => write!(f, ": [{table}]"),
            (table, key) => write!(f, ": [{table}] {key}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = if self.allowed.is_empty() { String::new() } else { format!(" ({})", self.allowed) };
        // A key or path may contain any character: escape control characters, so that a finding is
        // one line and cannot control the terminal.
        for c in format!("{}: {}{allowed}", self.at, self.what).chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Finding {}

/// An error in one value; the caller knows its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) what: String,
    pub(super) allowed: String,
    /// Offset in the file, if it differs from the position of the key.
    pub(super) offset: Option<usize>,
}

impl Bad {
    pub(super) fn new(what: impl Into<String>, allowed: impl Into<String>) -> Bad {
        Bad { what: what.into(), allowed: allowed.into(), offset: None }
    }
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl Report {
    pub(super) fn error(&mut self, at: &At, what: impl Into<String>, allowed: impl Into<String>) {
        self.errors.push(Finding { at: at.clone(), what: what.into(), allowed: allowed.into() });
    }

    pub(super) fn bad(&mut self, at: &At, bad: Bad) {
        self.error(at, bad.what, bad.allowed);
    }

    pub(super) fn warn(&mut self, at: &At, what: impl Into<String>, allowed: impl Into<String>) {
        self.warnings.push(Finding { at: at.clone(), what: what.into(), allowed: allowed.into() });
    }

    /// Sorts by file in the order of reading, then by line, and removes duplicates from several
    /// instances.
    pub(super) fn sort(&mut self, files: &[&Path]) {
        let rank = |file: &Option<PathBuf>| files.iter().position(|other| file.as_deref() == Some(*other));
        for found in [&mut self.errors, &mut self.warnings] {
            found.sort_by_key(|finding| (rank(&finding.at.file), finding.at.line));
            let mut seen = Vec::new();
            // Equal findings have the same position, so only others of the same line can be between
            // them.
            found.retain(|finding| {
                let place = (finding.at.file.clone(), finding.at.line);
                seen.retain(|other: &Finding| (other.at.file.clone(), other.at.line) == place);
                let new = !seen.contains(finding);
                if new {
                    seen.push(finding.clone());
                }
                new
            });
        }
    }
}

/// Features of Supervisor that are not supported; `*` stands for any text.
const NOT_SUPPORTED: &[&str] = &[
    "eventlistener",
    "eventlistener:*",
    "eventlisteners",
    "fcgi-program",
    "fcgi-program:*",
    "rpcinterface",
    "rpcinterface:*",
    "*_syslog",
    "*_capture_maxbytes",
    "*_events_enabled",
    "profile*",
];

/// Names in Supervisor, and their names here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("environment", "env"),
    ("stdout_logfile", "stdout"),
    ("stderr_logfile", "stderr"),
    ("supervisord", "taskmasterd"),
    ("supervisorctl", "taskmasterctl"),
    ("unix_http_socket", "unix_http_server"),
    ("program", "programs"),
    ("group", "groups"),
    ("history_file", "history"),
];

/// Returns a hint about an unknown name: that it is intentionally unsupported, the most similar
/// known name, or else all known names.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    let is = |pattern: &&&str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        (None, None) => name == **pattern,
    };
    if NOT_SUPPORTED.iter().find(is).is_some() {
        return "not supported by taskwatcher".to_owned();
    }
    let other = OTHER_NAMES.iter().find(|(other, own)| *other == name && known.contains(own));
    if let Some((_, own)) = other {
        return format!("did you mean {own:?}?");
    }
    match similar(name, known).first() {
        Some(similar) => format!("did you mean {similar:?}?"),
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_gets_a_hint() {
        let known = ["env", "stdout", "stopsignal", "programs"];
        for (name, expected) in [
            ("stopsginal", "did you mean \"stopsignal\"?"),
            ("STDOUT", "did you mean \"stdout\"?"),
            ("environment", "did you mean \"env\"?"),
            ("program", "did you mean \"programs\"?"),
            ("stdout_syslog", "not supported by taskwatcher"),
            ("stderr_capture_maxbytes", "not supported by taskwatcher"),
            ("stdout_events_enabled", "not supported by taskwatcher"),
            ("eventlistener", "not supported by taskwatcher"),
            ("profile_options", "not supported by taskwatcher"),
            ("colour", "known: env, stdout, stopsignal, programs"),
        ] {
            assert_eq!(hint(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn a_finding_is_one_line() {
        let at = At { file: Some("a\nb".into()), line: 1, table: "t\r".into(), key: "é\u{1b}[31m".into() };
        let finding = Finding { at, what: "w".into(), allowed: "\u{85}".into() };
        assert_eq!(finding.to_string(), r"a\nb:1: [t\r] é\u{1b}[31m: w (\u{85})");
    }

    #[test]
    fn findings_are_sorted_by_line_without_duplicates() {
        let mut report = Report::default();
        let at = |file: &str, line| At { file: Some(file.into()), line, ..At::default() };
        for (file, line, what) in [("b", 1, "x"), ("a", 7, "x"), ("a", 3, "x"), ("a", 3, "y"), ("a", 3, "x")] {
            report.error(&at(file, line), what, "");
        }
        report.error(&At::option("pidfile"), "z", "");
        report.sort(&[Path::new("a"), Path::new("b")]);
        let lines: Vec<String> = report.errors.iter().map(Finding::to_string).collect();
        assert_eq!(lines, ["command line: --pidfile: z", "a:3: x", "a:3: y", "a:7: x", "b:1: x"]);
    }
}
