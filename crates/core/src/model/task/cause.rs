//! Why a task ended, and at whose request.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{signal::Signal, stored::OfText};

/// Who requested the end of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asker {
    /// `control kill`, run by this user in this process.
    Control {
        /// Login name of the user of that `control`.
        user: String,
        /// Process id of that `control`.
        pid: i32,
    },
    /// A signal sent to the launcher.
    Signal {
        /// The signal.
        signal: Signal,
        /// Login name and process id of the sender (0: in another pid namespace); `None` if the
        /// kernel sent the signal, for the terminal or a limit.
        sender: Option<(String, i32)>,
    },
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Control { user, pid } => write!(f, "{user} (control, pid {pid})"),
            // The kernel reports no pid for a process of another pid namespace.
            Asker::Signal { signal, sender: Some((user, 0)) } => {
                write!(f, "{user} ({signal}, from outside the container)")
            }
            Asker::Signal { signal, sender: Some((user, pid)) } => write!(f, "{user} ({signal}, pid {pid})"),
            Asker::Signal { signal: signal @ (Signal::HUP | Signal::INT | Signal::QUIT), sender: None } => {
                write!(f, "the terminal ({signal})")
            }
            Asker::Signal { signal, sender: None } => write!(f, "the kernel ({signal})"),
        }
    }
}

impl OfText for Asker {
    fn of_text(text: &str) -> Option<Asker> {
        let (user, how) = text.strip_suffix(')')?.rsplit_once(" (")?;
        let signal = |text| Signal::of_text(text);
        Some(match how.split_once(", ") {
            None => Asker::Signal { signal: signal(how)?, sender: None },
            Some(("control", pid)) => {
                Asker::Control { user: user.to_owned(), pid: pid.strip_prefix("pid ")?.parse().ok()? }
            }
            Some((name, "from outside the container")) => {
                Asker::Signal { signal: signal(name)?, sender: Some((user.to_owned(), 0)) }
            }
            Some((name, pid)) => {
                let pid = pid.strip_prefix("pid ")?.parse().ok()?;
                Asker::Signal { signal: signal(name)?, sender: Some((user.to_owned(), pid)) }
            }
        })
    }
}

/// Why a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The command ended by itself, or by a signal that taskwatcher did not send.
    Itself,
    /// No heartbeat for the timeout.
    NoHeartbeat(Duration),
    /// The run-time limit was exceeded.
    MaxRuntime(Duration),
    /// The end was requested.
    Asked(Asker),
}

/// What ended a task, as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The task itself.
    Itself,
    /// The reader of its output, which closed it (`launch … | head -1`), so that the task died of SIGPIPE. Such a run
    /// counts as neither a success nor a failure.
    Reader,
    /// The timeout.
    Timeout,
    /// The run-time limit.
    MaxRuntime,
    /// The expiry of its reservation.
    Expiry,
    /// `launch`, which could not run the command.
    Launch,
    /// The supervisor, which could not run it.
    Supervise,
    /// A request.
    Asker(Asker),
}

impl EndedBy {
    /// Returns what ended a task for this cause.
    pub fn of(cause: &Cause) -> EndedBy {
        match cause {
            Cause::Itself => EndedBy::Itself,
            Cause::NoHeartbeat(_) => EndedBy::Timeout,
            Cause::MaxRuntime(_) => EndedBy::MaxRuntime,
            Cause::Asked(asker) => EndedBy::Asker(asker.clone()),
        }
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndedBy::Itself => f.write_str("itself"),
            EndedBy::Reader => f.write_str("reader"),
            EndedBy::Timeout => f.write_str("timeout"),
            EndedBy::MaxRuntime => f.write_str("max-runtime"),
            EndedBy::Expiry => f.write_str("expiry"),
            EndedBy::Launch => f.write_str("launch"),
            EndedBy::Supervise => f.write_str("supervise"),
            EndedBy::Asker(asker) => asker.fmt(f),
        }
    }
}

impl OfText for EndedBy {
    fn of_text(text: &str) -> Option<EndedBy> {
        match text {
            "itself" => Some(EndedBy::Itself),
            "reader" => Some(EndedBy::Reader),
            "timeout" => Some(EndedBy::Timeout),
            "max-runtime" => Some(EndedBy::MaxRuntime),
            "expiry" => Some(EndedBy::Expiry),
            "launch" => Some(EndedBy::Launch),
            "supervise" => Some(EndedBy::Supervise),
            _ => Asker::of_text(text).map(EndedBy::Asker),
        }
    }
}
