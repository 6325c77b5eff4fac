//! Signals, by number and name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::stored::OfText;

/// A signal, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signal(pub i32);

/// A text that names no signal that can be sent.
#[derive(Debug, thiserror::Error)]
pub enum BadSignal {
    /// Not the name or number of a signal.
    #[error("unknown signal: use a name such as TERM or SIGINT, or a number from 1 to 31")]
    Unknown,
    /// A real-time signal.
    #[error("real-time signals cannot be sent: use one from 1 to 31, or send it from a script with kill -s")]
    RealTime,
}

impl Signal {
    /// Hangup.
    pub const HUP: Signal = Signal(1);
    /// Interrupt (Ctrl-C).
    pub const INT: Signal = Signal(2);
    /// Quit (Ctrl-\).
    pub const QUIT: Signal = Signal(3);
    /// Kill (cannot be caught or ignored).
    pub const KILL: Signal = Signal(9);
    /// Write to a pipe without a reader.
    pub const PIPE: Signal = Signal(13);
    /// Stop (cannot be caught or ignored).
    pub const STOP: Signal = Signal(19);
    /// Terminate, the default stop signal.
    pub const TERM: Signal = Signal(15);
    /// Continue after a stop.
    pub const CONT: Signal = Signal(18);
    /// Stop typed at the terminal (Ctrl-Z).
    pub const TSTP: Signal = Signal(20);
    /// Read from the terminal by a background process.
    pub const TTIN: Signal = Signal(21);
    /// The terminal's size changed.
    pub const WINCH: Signal = Signal(28);
    /// Write to the terminal, or change of its settings, by a background process.
    pub const TTOU: Signal = Signal(22);
    /// The signal by which `control` announces a request in the spool: SIGURG. Its default disposition is to be ignored,
    /// so that it does no harm to a launcher that is not ready yet.
    pub const REQUEST: Signal = Signal(23);

    /// Names in the order of their numbers, from 1.
    pub const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    /// The first real-time signal available to programs (glibc reserves two).
    const RTMIN: i32 = 34;

    /// Whether this signal, sent to a launcher, is passed on to the command unchanged. SIGTERM
    /// stands for the task's own stop signal. So does a real-time signal, because its meaning is
    /// private to programs that agreed on it.
    pub fn is_passed_on(self) -> bool {
        self != Signal::TERM && self.0 < Signal::RTMIN
    }

    /// Whether `mask`, in which bit n-1 is signal n, contains this signal.
    pub fn is_in(self, mask: u64) -> bool {
        (1..=64).contains(&self.0) && mask & (1 << (self.0 - 1)) != 0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = usize::try_from(self.0).ok().and_then(|n| Signal::NAMES.get(n.wrapping_sub(1)));
        match named {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 >= Signal::RTMIN => write!(f, "SIGRTMIN+{}", self.0 - Signal::RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl FromStr for Signal {
    type Err = BadSignal;

    fn from_str(text: &str) -> Result<Signal, BadSignal> {
        if let Ok(number) = text.parse::<i32>() {
            // A real-time signal that ended a command can be printed, but none can be sent: there
            // is no safe call for that.
            return match number {
                1..=31 => Ok(Signal(number)),
                Signal::RTMIN..=64 => Err(BadSignal::RealTime),
                _ => Err(BadSignal::Unknown),
            };
        }
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
        if bare.starts_with("RTMIN") || bare.starts_with("RTMAX") {
            return Err(BadSignal::RealTime);
        }
        let index = Signal::NAMES.iter().position(|name| *name == bare).ok_or(BadSignal::Unknown)?;
        i32::try_from(index + 1).map(Signal).map_err(|_| BadSignal::Unknown)
    }
}

impl OfText for Signal {
    fn of_text(text: &str) -> Option<Signal> {
        let index = Signal::NAMES.iter().position(|name| text.strip_prefix("SIG") == Some(name))?;
        i32::try_from(index + 1).ok().map(Signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_read_in_every_spelling_and_print_with_their_prefix() {
        for text in ["TERM", "SIGTERM", "sigterm", "term", "15"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(Signal(37).to_string(), "SIGRTMIN+3");
        assert_eq!(Signal(31).to_string(), "SIGSYS");
        assert_eq!(Signal(33).to_string(), "signal 33");
        for text in ["", "0", "32", "-1", "FOO", "SIG", "RTMIN+3", "99999999999"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
