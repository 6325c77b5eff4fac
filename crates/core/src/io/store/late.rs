//! Ends that were kept beside the database while it could not be written.

use std::{collections::HashSet, path::Path};

use rusqlite::Transaction;

use super::{
    Hold, Late,
    claim::{DeadRows, claim_in},
    ends::{finish_in, move_to_history},
};
use crate::model::task::End;

/// Records late ends. A run whose handle is already in history is skipped: the process that kept it
/// may have died before deleting it. Returns how many runs became tasks.
pub(super) fn take_in(tx: &Transaction<'_>, db: &Path, late: &[Late]) -> rusqlite::Result<usize> {
    let oldest = late.iter().filter_map(|late| match late {
        Late::Run(_, end) => Some(end.endtime),
        Late::Task(..) => None,
    });
    let mut known: HashSet<String> = HashSet::new();
    if let Some(oldest) = oldest.min() {
        let mut rows = tx.prepare("SELECT handle FROM history WHERE endtime >= ?1 AND handle IS NOT NULL")?;
        let handles = rows.query_map([oldest], |row| row.get(0))?;
        known = handles.collect::<rusqlite::Result<_>>()?;
    }
    let mut new = 0;
    for late in late {
        match late {
            Late::Run(start, _) if known.contains(&start.task.handle) => {}
            Late::Run(start, end) => {
                if let Ok(claimed) = claim_in(tx, db, start, &DeadRows::default(), &|_| Hold::Unsupported)? {
                    move_to_history(tx, claimed.id, Some(&claimed.upid), end, end.feedback.as_deref())?;
                    known.insert(claimed.handle);
                    new += 1;
                }
            }
            Late::Task(id, upid, end, feedback) => {
                let end = End { feedback: feedback.clone(), ..(**end).clone() };
                finish_in(tx, *id, upid, &end)?;
            }
        }
    }
    Ok(new)
}
