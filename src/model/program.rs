//! A supervised program: what is decided about its starts, ends and restarts.
//!
//! The words and rules are those of Supervisor and Taskmaster. Nothing here starts or ends anything.

use std::time::Duration;

use super::task::Signal;

/// Whether a process that ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autorestart {
    /// Whatever it exited with.
    Always,
    /// No.
    Never,
    /// If it was killed by a signal, or its exit code is not among the expected ones.
    Unexpected,
}

/// When a process is started, given up, stopped and started again. A reload changes it without a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lower ones start first and stop last.
    pub priority: i64,
    /// Whether it starts with the supervisor.
    pub autostart: bool,
    /// It counts as running once it has lived this long.
    pub startsecs: Duration,
    /// So many starts may fail after the first one that failed; none: any number.
    pub startretries: Option<u32>,
    /// Whether it is started again when it ended by itself.
    pub autorestart: Autorestart,
    /// The exit codes that are expected.
    pub exitcodes: Vec<u8>,
    /// How it is asked to end.
    pub stopsignal: Signal,
    /// How long it may take to end before it is killed; none: as long as it likes.
    pub stopwait: Option<Duration>,
    /// Whether its whole process group is asked.
    pub stopasgroup: bool,
    /// Whether its whole process group is killed.
    pub killasgroup: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            priority: 999,
            autostart: true,
            startsecs: Duration::from_secs(1),
            startretries: Some(3),
            autorestart: Autorestart::Unexpected,
            exitcodes: vec![0],
            stopsignal: Signal::TERM,
            stopwait: Some(Duration::from_secs(10)),
            stopasgroup: false,
            killasgroup: false,
        }
    }
}
