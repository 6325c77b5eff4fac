//! A point in time as a descriptor that becomes readable then.
//!
//! The timers of an async runtime are kept in wheels with ever finer steps, and turning those wakes
//! a process several times before a timer that is seconds away. The kernel wakes it once.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};

/// A timer for one point in time.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    at: Option<Duration>,
}

impl Alarm {
    /// Returns a timer that is not set.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Alarm { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, at: None })
    }

    /// Returns the descriptor that is readable once the time has come.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// Sets the timer to a time of the monotonic clock, replacing an earlier one; a past time fires
    /// at once.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn set(&mut self, at: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let at = at.max(Duration::from_nanos(1));
        if self.at != Some(at) {
            let when = Expiration::OneShot(TimeSpec::from_duration(at));
            self.timer.set(when, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            self.at = Some(at);
        }
        Ok(())
    }

    /// Resets a timer that fired, so that it can be set to the same time again.
    pub fn reset(&mut self) {
        // Does not block: a timer that was set again meanwhile has not fired yet.
        let _ = self.timer.wait();
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{child::poll_one, sys};

    #[test]
    fn comes_when_it_is_time() {
        let comes = |alarm: &Alarm, within| poll_one(alarm.readable(), Some(Duration::from_millis(within))).unwrap();
        let mut alarm = Alarm::new().unwrap();
        assert!(!comes(&alarm, 0));
        let now = sys::now().mono;
        alarm.set(now + Duration::from_secs(600)).unwrap();
        assert!(!comes(&alarm, 0));
        alarm.set(now + Duration::from_millis(5)).unwrap();
        assert!(comes(&alarm, 60_000));
        assert!(sys::now().mono >= now + Duration::from_millis(5));
        alarm.reset();
        assert!(!comes(&alarm, 0));
        for over in [now, now, Duration::ZERO] {
            alarm.set(over).unwrap();
            assert!(comes(&alarm, 60_000));
            alarm.reset();
        }
    }
}
