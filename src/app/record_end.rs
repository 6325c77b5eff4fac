//! Recording an end: into the database, or, when that cannot be written just then, into the spool beside it.
//!
//! Launchers and workers do it alike, so that no end is lost whatever kind of task it is of. Nothing here decides what
//! the end is, or tells anybody.

use std::{io, path::Path};

use super::db;
use crate::{
    io::{
        spool::Spool,
        store::{Claimed, LockTimeout, Store},
        sys,
    },
    model::task::End,
};

/// What became of an end.
#[derive(Debug)]
pub struct Recorded {
    /// The database that has it, open; none: it has it not, or not yet.
    pub store: Option<Store>,
    /// Why nobody will find it, in one line; none: all is well.
    pub trouble: Option<String>,
    /// Whether neither has it, and it may be kept elsewhere.
    pub lost: bool,
}

/// Writes an end into the database, `store` if it is open still, or else into the spool.
///
/// # If we die here
/// One transaction, or one record with a checksum: the next reader finds the end whole, or the task lost.
/// Without a spool the database alone can have it.
pub fn record(db: &Path, store: Option<Store>, spool: Option<&Spool>, claimed: &Claimed, end: &End) -> Recorded {
    let (id, upid) = (claimed.id, claimed.upid.as_str());
    let opened = match store {
        Some(store) => Ok(store),
        None => db::open(db, LockTimeout::SHORT),
    };
    let recorded = opened.and_then(|mut store| {
        store.set_lock_timeout(LockTimeout::SHORT);
        let found = store.finish(id, upid, end)?;
        Ok((found, store))
    });
    sys::crash_point("finish.after");
    let outcome = &end.outcome;
    match recorded {
        Ok((true, store)) => Recorded { store: Some(store), trouble: None, lost: false },
        Ok((false, _)) => Recorded {
            store: None,
            lost: false,
            trouble: Some(format!(
                "the end of task {id} ({outcome}) is not recorded: the database {db:?} was made anew while it ran"
            )),
        },
        Err(error) => {
            let without = || io::Error::new(io::ErrorKind::NotFound, "there is no spool");
            let left = spool.ok_or_else(without).and_then(|spool| spool.leave_end(claimed.slot, upid, end));
            sys::crash_point("spool.after");
            let trouble = match left {
                Err(spool_error) => {
                    let trouble = format!("the end of task {id} ({outcome}) is lost: {error}; {spool_error}");
                    return Recorded { store: None, trouble: Some(trouble), lost: true };
                }
                Ok(()) if !db.exists() => Some(format!("the end of task {id} ({outcome}) is not recorded: {error}")),
                Ok(()) => None,
            };
            Recorded { store: None, trouble, lost: false }
        }
    }
}
