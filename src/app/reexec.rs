//! Re-execution of launchers and shims: the state that a process passes to itself, and how.
//!
//! A command that still runs after a moment is likely to run for long. What its launcher has read
//! and built until then (the database's schema, the command line's definition) is not needed any
//! more, but C libraries keep the memory. So the launcher executes its own program again: the same
//! process with the same children, pending signals and start time, and a third of the memory. Its
//! state travels in an environment variable, and its descriptors in a parcel (see
//! [`crate::io::parcel`]): the new program reopens nothing, because that could fail while the
//! command runs.
//!
//! # If the process dies here
//!
//! An exec either happens or does not; there is no state in between.

use std::{path::Path, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    io::{
        child,
        inbox::Inbox,
        parcel::{Arrived, Parcel},
        process,
        spool::Spool,
        sys,
    },
    model::task::Process,
};

/// Attempts, and the delay between them, to receive a parcel that the kernel cannot deliver just
/// now: ten seconds in which the command is not watched.
const RECEIVE_TRIES: u32 = 100;
const RECEIVE_AGAIN: Duration = Duration::from_millis(100);

/// The state that a process passes to its re-execution.
pub trait Handed: Serialize + DeserializeOwned {
    /// The environment variable for the state.
    const VARIABLE: &'static str;

    /// Returns the process that wrote the state.
    fn process(&self) -> Process;
}

/// Returns the state that this process passed to itself under the variable of `T`, with the
/// descriptors; `None` if there is none. A variable that another process set is ignored.
///
/// Where `/proc` cannot be read the pid alone decides: a process that ignored its own state would
/// run the command a second time.
#[inline(never)]
pub fn take<T: Handed>() -> Option<(Box<T>, Arrived)> {
    let handed = parse::<T>(&std::env::var(T::VARIABLE).ok()?)?;
    let pid = child::own_pid();
    let is_mine = handed.process().pid == pid && process::stat(pid).is_none_or(|stat| stat.process == handed.process());
    is_mine.then(|| (handed, receive()))
}

/// Parses the state, in stack frames that are gone afterwards.
#[inline(never)]
fn parse<T: Handed>(text: &str) -> Option<Box<T>> {
    serde_json::from_str(text).ok()
}

/// Receives the parcel; if the kernel does not deliver all of it for some time, the part that
/// arrived.
fn receive() -> Arrived {
    let whole = (0..RECEIVE_TRIES).find_map(|_| {
        let arrived = Arrived::receive(true);
        if arrived.is_err() {
            sys::pause(RECEIVE_AGAIN);
        }
        arrived.ok()
    });
    let arrived = whole.or_else(|| Arrived::receive(false).ok()).unwrap_or_default();
    // Descriptors that still wait in the socket are closed with it.
    child::release_streams(false);
    arrived
}

/// Re-executes with `handed` and the descriptors of `parcel`. Returns only on failure, with nothing
/// changed. Standard input must not be in use any more.
pub fn go<T: Handed>(handed: &T, parcel: &Parcel<'_>) {
    let (Ok(text), Ok(socket)) = (serde_json::to_string(handed), parcel.post()) else { return };
    child::reexec(T::VARIABLE, text.into(), &socket);
}

/// Returns the inbox. If its descriptor did not arrive, a new one is opened as soon as possible:
/// signals stay pending meanwhile, because they are blocked.
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

/// Returns the spool with the lock on the task's slot. If its descriptor did not arrive, the spool
/// is opened and the slot locked again; `None` if that is not possible.
pub fn take_spool(arrived: &mut Arrived, number: Option<usize>, db: &Path, slot: i64) -> Option<Spool> {
    let file = number.and_then(|number| arrived.take(number).ok());
    let spool = file.and_then(|file| Spool::take_over(file, db, slot).ok());
    spool.or_else(|| {
        let spool = Spool::open(db, true).ok()?;
        let _ = spool.hold(slot);
        Some(spool)
    })
}
