//! What a launcher hands to itself when it starts anew, and how; the shim of a supervised run does the same.
//!
//! A command that still runs after a moment is likely to run for long. What its launcher has read and built until then
//! (the database's schema, the command line's definition) is not needed any more, but C libraries keep the memory. So
//! the launcher executes its own program again: the same process with the same children, pending signals and start
//! time, and a third of the memory. What it has to know travels in one variable of its environment, and its descriptors
//! in a parcel (see [`crate::io::parcel`]): the new program opens nothing that the old one had, as that could fail while
//! the command runs.
//!
//! # If we die here
//! An exec either happens or does not; in between there is nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::output::HandedOutput;
use crate::{
    io::{
        child::{self, Usage},
        feedfile::Signature,
        inbox::Inbox,
        parcel::{Arrived, Parcel},
        process,
        spool::{Request, SelfReport, Spool},
        store::Claimed,
        sys,
    },
    model::{
        task::{Process, Signal, Tick},
        watch::Watch,
    },
};

/// How often, and after what pause, a parcel is asked for that the kernel cannot deliver just now: ten seconds, in which
/// nobody watches the command.
const RECEIVE_TRIES: u32 = 100;
const RECEIVE_AGAIN: Duration = Duration::from_millis(100);

/// What a process knows and hands to the program that it becomes.
pub trait Handed: Serialize + DeserializeOwned {
    /// The environment variable in which it travels.
    const VARIABLE: &'static str;

    /// Returns the process that handed it over.
    fn process(&self) -> Process;
}

/// Returns what this process handed to itself under the variable of `T`, if it did, and the descriptors that came with
/// it. A variable that another process set counts for nothing.
///
/// Where `/proc` cannot be read the pid alone decides: a process that takes its own handover for somebody else's would
/// run the command a second time.
#[inline(never)]
pub fn take<T: Handed>() -> Option<(Box<T>, Arrived)> {
    let handed = parse::<T>(&std::env::var(T::VARIABLE).ok()?)?;
    let pid = child::own_pid();
    let is_mine = handed.process().pid == pid && process::stat(pid).is_none_or(|stat| stat.process == handed.process());
    is_mine.then(|| (handed, receive()))
}

/// Reads what was handed over, in frames that are gone afterwards.
#[inline(never)]
fn parse<T: Handed>(text: &str) -> Option<Box<T>> {
    serde_json::from_str(text).ok()
}

/// Takes the parcel; if the kernel does not deliver all of it for some time, what there is of it: the rest is done
/// without.
fn receive() -> Arrived {
    let whole = (0..RECEIVE_TRIES).find_map(|_| {
        let arrived = Arrived::receive(true);
        if arrived.is_err() {
            sys::pause(RECEIVE_AGAIN);
        }
        arrived.ok()
    });
    let arrived = whole.or_else(|| Arrived::receive(false).ok()).unwrap_or_default();
    // What waits in the socket is closed with it.
    child::let_go_of_streams(false);
    arrived
}

/// Goes on as a new program that takes `handed` and the descriptors of `parcel`. Returns only if that is not possible;
/// then everything is as before. Standard input must be nobody's any more.
pub fn go<T: Handed>(handed: &T, parcel: &Parcel<'_>) {
    let (Ok(text), Ok(socket)) = (serde_json::to_string(handed), parcel.post()) else { return };
    child::reexec(T::VARIABLE, text.into(), &socket);
}

/// Returns the place where signals arrive. If its descriptor did not arrive it is opened again, as soon as the system
/// lets it: meanwhile signals wait, as they are blocked.
pub fn take_inbox(arrived: &mut Arrived, number: usize, ignored: u64) -> Inbox {
    let mut inbox = arrived.take(number).and_then(|signals| Inbox::take_over(signals, ignored));
    loop {
        match inbox {
            Ok(inbox) => return inbox,
            Err(_) => sys::pause(RECEIVE_AGAIN),
        }
        inbox = Inbox::open(ignored);
    }
}

/// Opens the spool whose descriptor did not arrive, and takes the lock on the task's slot again; none if that is not
/// possible.
pub fn spool_again(db: &Path, slot: i64) -> Option<Spool> {
    let spool = Spool::open(db, true).ok()?;
    let _ = spool.hold(slot);
    Some(spool)
}

/// A launcher's knowledge of its task. Large fields are boxed: what the stack has once held stays with the process.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of `Spec` and `Launcher`, which explain each")]
pub struct LauncherState {
    pub me: Process,
    pub inbox: usize,
    pub spool: Option<usize>,
    pub db: PathBuf,
    pub timeout: Option<Duration>,
    pub max_runtime: Option<Duration>,
    pub stop_signal: Signal,
    pub kill_after: Duration,
    pub fail_on_warnings: bool,
    pub keep_feedback: bool,
    pub quiet: bool,
    pub claimed: Box<Claimed>,
    pub ignored: u64,
    pub foreign: Vec<Process>,
    pub lent: bool,
    pub terminal: Option<usize>,
    pub command: i32,
    pub started: Tick,
    pub watch: Box<Watch>,
    pub beat: Option<Signature>,
    pub looked: Tick,
    pub local: bool,
    pub heeded: Option<Request>,
    pub output: Option<Box<HandedOutput>>,
    pub notify: Option<usize>,
    pub story: Box<SelfReport>,
    pub usage_before: Option<Usage>,
}

impl Handed for LauncherState {
    const VARIABLE: &'static str = "TASKWATCHER_LAUNCHER";

    fn process(&self) -> Process {
        self.me
    }
}
