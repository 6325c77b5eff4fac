//! The numbers by which ended tasks of other hosts are stored (see schema_remotes.sql): keys, slots of counts, processes and
//! outcomes.

use crate::model::query::ListPosition;

/// Bits of a key for the position within the second.
pub const ORDINAL: u32 = 18;
/// The largest position within a second.
pub const ORDINALS: i64 = (1 << ORDINAL) - 1;
/// The last second that a key can hold; later starts are stored as text under it.
const LAST_START: i64 = (1 << (62 - ORDINAL)) - 1;
/// Seconds of a slot of `remote_counts`; also the duration from which a local task is in
/// `history_long`.
pub const SLOT: i64 = 600;
/// Bits of a row's `process` for the pid: the largest that Linux uses. If the process started in
/// the same second as its task, the rest fits into four bytes.
const PID: u32 = 22;
/// The largest pid.
pub const PIDS: i64 = (1 << PID) - 1;

/// Returns the start by which a task is stored, for a start in Unix seconds.
pub fn clamped(start: i64) -> i64 {
    start.clamp(0, LAST_START)
}

/// Returns the first key of the tasks that started at this time.
pub fn first_key(start: i64) -> i64 {
    clamped(start) << ORDINAL
}

/// Returns the last key of the tasks that started at this time.
pub fn last_key(start: i64) -> i64 {
    first_key(start) | ORDINALS
}

/// Returns the start of the task with this key, in Unix seconds.
pub fn start_of(key: i64) -> i64 {
    key >> ORDINAL
}

/// Returns the slot that counts the task with this key.
pub fn slot_of(key: i64) -> i64 {
    start_of(key) / SLOT
}

/// Returns the first key after a slot.
pub fn end_of_slot(slot: i64) -> i64 {
    ((slot + 1) * SLOT) << ORDINAL
}

/// Returns the key at a position of the list of all hosts.
pub fn key_of(place: ListPosition) -> i64 {
    // All remote tasks of the same second come before a local one in the list.
    let ordinal = if place.remote { place.number.clamp(0, ORDINALS) } else { 0 };
    first_key(place.start) | ordinal
}

/// Returns the start time that the process of a task would have if it had started exactly at
/// `start`.
pub fn ticks(start: i64, boot: i64) -> i64 {
    start.wrapping_mul(100).wrapping_sub(boot)
}

/// Packs a pid and the difference of its process's start from the expected one into one number,
/// with the difference zigzag-encoded (0, -1, 1, -2 …) above the pid. `None` if the difference or
/// the pid is too large.
pub fn process_of(pid: u32, off: i64) -> Option<i64> {
    let folded = off.wrapping_shl(1) ^ (off >> 63);
    let fits = off.unsigned_abs() < 1 << (61 - PID) && i64::from(pid) <= PIDS;
    fits.then_some(folded << PID | i64::from(pid))
}

/// Unpacks the pid and the difference.
pub fn pid_and_off(process: i64) -> (u32, i64) {
    let folded = process >> PID;
    let off = (folded >> 1) ^ -(folded & 1);
    (u32::try_from(process & PIDS).unwrap_or_default(), off)
}

/// An outcome other than success, as a number. Texts are codes of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// The number of warnings.
    Warnings(u64),
    /// The code of the reason.
    Error(i64),
    /// The code of the reason.
    Unknown(i64),
}

impl StatusCode {
    /// Largest number of warnings that is stored.
    const MOST: i64 = i64::MAX >> 2;

    /// Returns the number to store.
    pub fn number(self) -> i64 {
        match self {
            StatusCode::Warnings(count) => {
                i64::try_from(count).map_or(Self::MOST, |count| count.min(Self::MOST)) * 4 + 1
            }
            StatusCode::Error(reason) => reason * 4 + 2,
            StatusCode::Unknown(reason) => reason * 4 + 3,
        }
    }

    /// Reads a stored number.
    pub fn of(number: i64) -> StatusCode {
        match number & 3 {
            1 => StatusCode::Warnings((number >> 2).unsigned_abs()),
            2 => StatusCode::Error(number >> 2),
            _ => StatusCode::Unknown(number >> 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_sorted_by_start_and_position() {
        assert_eq!((first_key(0), first_key(1), last_key(1)), (0, 1 << 18, (1 << 18) + 262_143));
        assert_eq!((first_key(-5), last_key(-5)), (0, 262_143));
        assert_eq!(start_of(first_key(i64::MAX)), LAST_START);
        assert!(last_key(i64::MAX) > 0);
        let place = |start, remote, number| ListPosition { start, remote, number };
        assert_eq!(key_of(place(7, true, 3)), first_key(7) + 3);
        assert_eq!(key_of(place(7, true, i64::MAX)), last_key(7));
        // All remote tasks of a second come before the local ones.
        assert_eq!(key_of(place(7, false, 3)), first_key(7));
    }

    #[test]
    fn a_slot_is_ten_minutes() {
        assert_eq!([0, 599, 600, 1199, 1200].map(|start| slot_of(last_key(start))), [0, 0, 1, 1, 2]);
        assert_eq!(end_of_slot(1), first_key(1200));
    }

    #[test]
    fn a_process_that_started_with_its_task_takes_few_bytes() {
        assert_eq!(process_of(1, 0), Some(1));
        assert_eq!(
            (1..=4).map(|n| process_of(0, [0, -1, 1, -2, 2][n]).unwrap() >> 22).collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert!(process_of(4_194_303, 511).unwrap() < 1 << 32);
        assert_eq!(process_of(4_194_304, 0), None);
        assert_eq!(process_of(1, 1 << 39), None);
        assert_eq!(process_of(1, i64::MIN), None);
    }

    #[test]
    fn too_many_warnings_are_the_most_that_can_be_stored() {
        assert_eq!(
            StatusCode::of(StatusCode::Warnings(u64::MAX).number()),
            StatusCode::Warnings(StatusCode::MOST as u64)
        );
    }

    proptest! {
        #[test]
        fn a_process_reads_as_it_was_stored(pid in 0..=4_194_303_u32, off in -(1_i64 << 38)..(1 << 38)) {
            prop_assert_eq!(process_of(pid, off).map(pid_and_off), Some((pid, off)));
        }

        #[test]
        fn every_stored_process_can_be_read(process: i64) {
            let (pid, _) = pid_and_off(process);
            prop_assert!(i64::from(pid) <= PIDS);
        }

        #[test]
        fn an_outcome_reads_as_it_was_stored(code in 0..=StatusCode::MOST / 2, kind in 0..3) {
            let status = match kind {
                0 => StatusCode::Warnings(code.unsigned_abs()),
                1 => StatusCode::Error(code),
                _ => StatusCode::Unknown(code),
            };
            prop_assert_eq!(StatusCode::of(status.number()), status);
        }

        #[test]
        fn a_key_is_in_the_slot_of_its_start(start in 0..=LAST_START, number in 0..=ORDINALS) {
            let key = first_key(start) | number;
            prop_assert_eq!((start_of(key), slot_of(key)), (start, start / SLOT));
            prop_assert!(key < end_of_slot(slot_of(key)));
        }
    }
}
