//! Waiting for the lock of a database.

use std::{cell::Cell, time::Duration};

/// How long to wait for a lock, and whom to notify of a wait.
#[derive(Clone, Copy, Debug)]
pub struct LockTimeout {
    /// Longest wait.
    pub limit: Duration,
    /// Called once when a wait has become long enough to be noticed.
    pub notify: Option<fn()>,
}

impl LockTimeout {
    /// The default.
    pub const USUAL: LockTimeout = LockTimeout { limit: Duration::from_secs(30), notify: None };
    /// For an end, which can go to the spool instead while a person waits for the prompt.
    pub const SHORT: LockTimeout = LockTimeout { limit: Duration::from_secs(1), notify: None };
    /// After this time a wait is reported.
    pub const NOTICED: Duration = Duration::from_secs(2);

    /// Starts a wait of this thread, which may have several databases open, some of them opened by
    /// another thread.
    pub(super) fn begin(self) {
        WAIT.set((self, Duration::ZERO));
    }
}

thread_local! {
    /// State of the busy handler, to which SQLite passes only a counter: the longest wait, and the
    /// time waited.
    static WAIT: Cell<(LockTimeout, Duration)> = const { Cell::new((LockTimeout::USUAL, Duration::ZERO)) };
}

/// The shortest pause between two attempts for a lock, the one that is never too long, and the
/// longest one.
const PAUSES: [Duration; 3] = [Duration::from_micros(50), Duration::from_millis(1), Duration::from_micros(25_600)];
/// Pauses allow for at least this many attempts, unless they would be shorter than the one that is
/// never too long.
const LEAST_TRIES: u32 = 64;

/// Sleeps and returns whether to try again. Pauses are short at first, because a commit takes a
/// tenth of a millisecond, and grow with every attempt, so that a hundred waiting processes leave
/// the processors to the one that works. A pause stays short in relation to the remaining time,
/// because others may hold the lock at most of the few instants left. Pauses are uneven, because
/// sleepers that wake together collide again.
pub(super) fn on_busy(tries: i32) -> bool {
    let (timeout, before) = WAIT.get();
    let waited = if tries == 0 { Duration::ZERO } else { before };
    if waited >= timeout.limit {
        return false;
    }
    let [shortest, harmless, longest] = PAUSES;
    let longest = longest.min(timeout.limit / (2 * LEAST_TRIES)).max(harmless);
    let base = shortest.saturating_mul(1 << tries.clamp(0, 20)).min(longest);
    let seed = std::process::id().wrapping_mul(0x9e37_79b9).wrapping_add(tries.unsigned_abs().wrapping_mul(7919));
    let pause = base + base * (seed % 1024) / 1024;
    #[expect(clippy::disallowed_methods, reason = "the end of a lock is not announced")]
    std::thread::sleep(pause);
    let now = waited + pause;
    if waited < LockTimeout::NOTICED
        && now >= LockTimeout::NOTICED
        && let Some(notify) = timeout.notify
    {
        notify();
    }
    WAIT.set((timeout, now));
    true
}
