//! The bar of a long piece of work, on the terminal that messages go to; nothing where they go elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes no longer shows no bar.
const SHORT: Duration = Duration::from_millis(700);
/// Drawn so often at most, per second.
const RATE: u8 = 10;

/// A bar. It goes away when it is dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    since: Duration,
    drawn: bool,
}

impl Bar {
    /// A bar of work that begins at `now` of the monotonic clock; it shows nothing if it is not wanted.
    pub fn new(wanted: bool, now: Duration) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("[{wide_bar}] {pos} of {len} remotes, {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, since: now, drawn: !wanted }
    }

    /// Shows how many of how many remotes are done, and how many tasks came.
    pub fn show(&mut self, now: Duration, remotes: usize, done: usize, tasks: u64) {
        if !self.drawn && now.saturating_sub(self.since) > SHORT {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(RATE));
            self.drawn = true;
        }
        self.bar.set_length(remotes as u64);
        self.bar.set_message(format!("{tasks} new tasks"));
        self.bar.set_position(done as u64);
    }

    /// Prints something else meanwhile.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
