//! What a launcher hands to itself when it starts anew.
//!
//! A command that still runs after a moment is likely to run for long. What its launcher has read and built until then
//! (the database's schema, the command line's definition) is not needed any more, but C libraries keep the memory. So
//! the launcher executes its own program again: the same process with the same children, pending signals and start
//! time, and a third of the memory. All that it has to know travels in one variable of its environment.
//!
//! # If we die here
//! An exec either happens or does not; in between there is nothing.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::output::HandedOutput;
use crate::{
    io::{
        child,
        feedfile::Signature,
        process,
        spool::{Request, Story},
        store::Claimed,
    },
    model::{
        task::{Process, Signal, Tick},
        watch::Watch,
    },
};

/// The variable.
const VARIABLE: &str = "TASKWATCHER_LAUNCHER";

/// A launcher's knowledge of its task.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of `Spec` and `Launcher`, which explain each")]
pub struct Handover {
    pub me: Process,
    pub db: PathBuf,
    pub timeout: Option<Duration>,
    pub max_runtime: Option<Duration>,
    pub stop_signal: Signal,
    pub kill_after: Duration,
    pub fail_on_warnings: bool,
    pub keep_feedback: bool,
    pub quiet: bool,
    pub claimed: Claimed,
    pub ignored: u64,
    pub foreign: Vec<Process>,
    pub lent: bool,
    pub has_terminal: bool,
    pub command: i32,
    pub started: Tick,
    pub watch: Watch,
    pub beat: Option<Signature>,
    pub looked: Tick,
    pub local: bool,
    pub heeded: Option<Request>,
    pub output: Option<HandedOutput>,
    pub notify: Option<i32>,
    pub story: Story,
}

impl Handover {
    /// What this process handed to itself, if it did. One that came here from another process counts for nothing.
    pub fn take() -> Option<Handover> {
        let text = std::env::var(VARIABLE).ok()?;
        let me = process::stat(child::own_pid())?.process;
        serde_json::from_str::<Handover>(&text).ok().filter(|handover| handover.me == me)
    }

    /// Goes on as a new program. Returns only if that is not possible; then everything is as before.
    pub fn go(&self) {
        if let Ok(text) = serde_json::to_string(self) {
            child::become_anew(VARIABLE, text.into());
        }
    }
}
