//! A progress bar on the terminal that messages go to; hidden if messages go elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this shows no bar.
const SHORT: Duration = Duration::from_millis(700);
/// Redraws per second, at most.
const RATE: u8 = 10;

/// A progress bar, which is removed when dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    since: Duration,
    drawn: bool,
}

impl Bar {
    /// Returns a bar for work that begins at `now` of the monotonic clock; it stays hidden unless
    /// `wanted`.
    pub fn new(wanted: bool, now: Duration) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("[{wide_bar}] {pos} of {len} remotes, {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, since: now, drawn: !wanted }
    }

    /// Shows how many of the remotes are done, and the number of new tasks.
    pub fn show(&mut self, now: Duration, remotes: usize, done: usize, tasks: u64) {
        if !self.drawn && now.saturating_sub(self.since) > SHORT {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
            self.drawn = true;
        }
        self.bar.set_length(remotes as u64);
        self.bar.set_message(format!("{tasks} new tasks"));
        self.bar.set_position(done as u64);
    }

    /// Hides the bar while `print` prints other text.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
