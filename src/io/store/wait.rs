//! Waiting for the lock of a database.

use std::{cell::Cell, time::Duration};

/// How long to wait for a lock, and whom to tell that we wait.
#[derive(Clone, Copy, Debug)]
pub struct LockTimeout {
    /// Longest wait.
    pub limit: Duration,
    /// Called once when a wait has become long enough to be noticed.
    pub notify: Option<fn()>,
}

impl LockTimeout {
    /// Section 13: up to 30 s.
    pub const USUAL: LockTimeout = LockTimeout { limit: Duration::from_secs(30), notify: None };
    /// For an end, which has the spool to go to instead while a person waits for the prompt.
    pub const SHORT: LockTimeout = LockTimeout { limit: Duration::from_secs(1), notify: None };
    /// After so long a wait is noticed.
    pub const NOTICED: Duration = Duration::from_secs(2);

    /// A wait of this thread begins: it may have several databases open, and one may have come from another thread.
    pub(super) fn begin(self) {
        WAIT.set((self, Duration::ZERO));
    }
}

thread_local! {
    /// What the busy handler, which SQLite gives nothing but a counter, has to know: how long to wait, and how long it
    /// has.
    static WAIT: Cell<(LockTimeout, Duration)> = const { Cell::new((LockTimeout::USUAL, Duration::ZERO)) };
}

/// The shortest pause between two tries for a lock, the one that is never too long, and the longest one.
const PAUSES: [Duration; 3] = [Duration::from_micros(50), Duration::from_millis(1), Duration::from_micros(25_600)];
/// Pauses are short enough for so many, unless they would be shorter than the one that is never too long.
const LEAST_TRIES: u32 = 64;

/// Sleeps a little and says whether to try again. Short at first, as a commit takes a tenth of a millisecond; longer
/// with every try, so that a hundred who wait leave the processors to the one who works, but never for long beside what
/// is left to wait, as others may be at work at most of the few instants that remain; and uneven, as sleepers that wake
/// together collide again.
pub(super) fn on_busy(tries: i32) -> bool {
    let (patience, before) = WAIT.get();
    let waited = if tries == 0 { Duration::ZERO } else { before };
    if waited >= patience.limit {
        return false;
    }
    let [shortest, harmless, longest] = PAUSES;
    let longest = longest.min(patience.limit / (2 * LEAST_TRIES)).max(harmless);
    let base = shortest.saturating_mul(1 << tries.clamp(0, 20)).min(longest);
    let seed = std::process::id().wrapping_mul(0x9e37_79b9).wrapping_add(tries.unsigned_abs().wrapping_mul(7919));
    let pause = base + base * (seed % 1024) / 1024;
    #[expect(clippy::disallowed_methods, reason = "nobody announces the end of a lock")]
    std::thread::sleep(pause);
    let now = waited + pause;
    if waited < LockTimeout::NOTICED
        && now >= LockTimeout::NOTICED
        && let Some(notify) = patience.notify
    {
        notify();
    }
    WAIT.set((patience, now));
    true
}
