//! Lines of a supervisor's activity log: `2026-11-25 04:10:05,123 INFO text`, one event per line.

use super::program::Level;

impl Level {
    /// Abbreviation in the log.
    pub fn letters(self) -> &'static str {
        match self {
            Level::Crit => "CRIT",
            Level::Error => "ERRO",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBG",
            Level::Trace => "TRAC",
        }
    }
}

/// Formats a line with its end; `stamp` is the time. Control characters, including line ends, are
/// escaped, so that no name or output of a program can imitate a line of the log.
pub fn line(stamp: &str, level: Level, text: &str) -> String {
    let mut line = format!("{stamp} {} ", level.letters());
    for c in text.chars() {
        match c.is_control() || super::ansi::misleads(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_makes_two_lines() {
        let text = "web\n2026-11-25 04:10:05,123 CRIT forged\u{1b}[2J\u{2028}é";
        assert_eq!(
            line("2026-11-25 04:10:05,123", Level::Warn, text),
            "2026-11-25 04:10:05,123 WARN web\\n2026-11-25 04:10:05,123 CRIT forged\\u{1b}[2J\\u{2028}é\n"
        );
        for level in Level::ALL {
            assert_eq!(level.letters().len(), 4);
        }
    }
}
