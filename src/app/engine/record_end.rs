//! Records an end in the database, or in the spool beside it if the database cannot be written.
//!
//! Launchers and workers both use this module, so that no end of any kind of task is lost. It neither decides on the
//! end nor prints messages.

use std::{io, path::Path};

use crate::{
    app::db,
    io::{
        spool::Spool,
        store::{Claimed, LockTimeout, Store},
        sys,
    },
    model::task::End,
};

/// The result of recording an end.
#[derive(Debug)]
pub struct Recorded {
    /// The open database, if the end was written to it.
    pub store: Option<Store>,
    /// Why the end cannot be found later, in one line, if so.
    pub trouble: Option<String>,
    /// Whether neither the database nor the spool has the end, so that the caller should keep it elsewhere.
    pub lost: bool,
}

/// Writes an end to the database (`store`, if it is still open), or else to the spool. Without a spool only the
/// database can take the end.
///
/// # If the process dies here
/// The end is one transaction, or one record with a checksum: the next reader finds the complete end, or a lost task.
pub(super) fn record(db: &Path, store: Option<Store>, spool: Option<&Spool>, claimed: &Claimed, end: &End) -> Recorded {
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
                "the end of task {id} ({outcome}) is not recorded: the database {db:?} was recreated while it ran"
            )),
        },
        Err(error) => {
            let without = || io::Error::new(io::ErrorKind::NotFound, "no spool");
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
