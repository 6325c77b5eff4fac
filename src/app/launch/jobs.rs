//! Terminals and job control: which process reads the keyboard, and what happens when a process of the job is stopped.

use std::time::Duration;

use super::{KEYS_AGAIN, Launcher};
use crate::{
    app::session::Session,
    io::{child, process, sys},
    model::{
        task::{Signal, Tick},
        watch::Event,
    },
};

/// The state of a SIGTSTP to a launcher without a terminal. Batch systems send SIGTSTP, and SIGCONT later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// No SIGTSTP: the command runs.
    None,
    /// SIGTSTP was passed on. The command may handle it and keep running.
    Passed,
    /// The command has been stopped since this time on the monotonic clock.
    Since(Duration),
}

impl Launcher {
    /// Passes SIGTSTP on. With a terminal, this process stops together with the command, as a shell expects of a job.
    /// Without one, no shell would continue this process, so it keeps running.
    pub(super) fn pass_suspend(&mut self) {
        if self.engine.watch.is_ending() {
            return;
        }
        if self.terminal.is_none() && self.pause == Pause::None {
            self.pause = Pause::Passed;
        }
        self.engine.signal_group(Signal::TSTP);
    }

    /// Passes SIGCONT on.
    pub(super) fn pass_continue(&mut self) {
        self.engine.signal_group(Signal::CONT);
        self.end_pause();
    }

    /// Whether the command is stopped by a SIGTSTP that was passed on. Then no time counts for it.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.pause, Pause::Since(_))
    }

    /// Ends a pause: the command runs again, or is about to. The time of the pause does not count.
    pub(super) fn end_pause(&mut self) {
        let pause = std::mem::replace(&mut self.pause, Pause::None);
        if let Pause::Since(since) = pause {
            let now = sys::now();
            self.engine.act(Event::Paused(now.mono.saturating_sub(since)), now);
        }
    }

    /// Lets the leader of the command's session end once all output was read.
    pub(super) fn let_session_end(&mut self, now: Tick) {
        if self.session.as_mut().is_some_and(Session::has_ended) {
            self.command_ended();
            if self.engine.has_all_output(now)
                && let Some(session) = &mut self.session
            {
                session.let_go();
            }
        }
    }

    /// Passes keys on to the command.
    pub(super) fn relay_keys(&mut self) {
        let Some(pty) = &mut self.pty else { return };
        let now = sys::now().mono;
        let due = now >= self.keys_at;
        let ready = due && pty.keyboard().is_some_and(|fd| child::poll_one(fd, Some(Duration::ZERO)).unwrap_or(false));
        if !pty.relay(ready) {
            self.keys_at = now + KEYS_AGAIN;
        }
        self.follow_size();
    }

    /// Returns when keys are read again, on the monotonic clock, if not immediately.
    pub(super) fn keys_wait(&self, now: Tick) -> Option<Duration> {
        (self.pty.is_some() && self.keys_at > now.mono).then_some(self.keys_at)
    }

    pub(super) fn follow_size(&self) {
        if let Some(pty) = &self.pty
            && pty.follow_size()
            && !pty.is_whole()
        {
            // The kernel only signals processes on their controlling terminal, and the command's is another one.
            self.engine.signal_group(Signal::WINCH);
        }
    }

    /// Handles that the command was stopped on its pseudo-terminal: this process stops too, as a shell expects of a
    /// job.
    pub(super) fn session_stopped(&mut self) {
        if let Some(output) = &mut self.engine.output {
            output.pump();
        }
        if let Some(pty) = &mut self.pty {
            pty.release_keyboard();
        }
        self.engine.publish_paused(true);
        let before = sys::now();
        child::suspend();
        let after = sys::now();
        self.engine.act(Event::Paused(after.mono.saturating_sub(before.mono)), after);
        if let Some(pty) = &mut self.pty {
            pty.take_keyboard();
        }
        self.follow_size();
        if let Some(session) = &self.session {
            session.resume();
        }
        self.engine.publish_paused(false);
    }

    pub(super) fn lend_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.lend(self.command);
            // The command may have used the terminal too early, and been stopped for that.
            let _ = child::signal_group(self.command, Signal::CONT);
        }
    }

    /// Handles that the command was stopped. If the reason is the terminal, this process acts as a shell expects of a
    /// job.
    pub(super) fn stopped(&mut self, signal: Signal) {
        self.engine.publish_paused(true);
        if signal == Signal::TSTP && self.pause == Pause::Passed {
            self.pause = Pause::Since(sys::now().mono);
        }
        let Some(terminal) = &mut self.terminal else { return };
        let wants_terminal = match signal {
            Signal::TTIN | Signal::TTOU => true,
            // A program that restores its screen before it stops catches the signal of the terminal, and stops itself.
            Signal::STOP => !terminal.is_lent() && process::stat(self.command).is_some_and(catches_terminal),
            _ => false,
        };
        if wants_terminal && terminal.is_in_foreground() {
            self.lend_terminal();
            return;
        }
        if !wants_terminal && signal != Signal::TSTP && !terminal.is_lent() {
            // The command was stopped by hand; its missing heartbeat will show that.
            return;
        }
        let lent = terminal.is_lent();
        terminal.take_back();
        let before = sys::now();
        child::suspend();
        let after = sys::now();
        self.engine.act(Event::Paused(after.mono.saturating_sub(before.mono)), after);
        if self.terminal.as_ref().is_some_and(|terminal| (lent || wants_terminal) && terminal.is_in_foreground()) {
            self.lend_terminal();
        }
        let _ = child::signal_group(self.command, Signal::CONT);
    }

    /// Handles that the command has ended and all of its own output is there.
    pub(super) fn command_ended(&mut self) {
        if let Some(pty) = &mut self.pty {
            pty.command_ended();
        }
        if let Some(output) = &mut self.engine.output {
            output.command_ended(sys::now());
        }
    }
}

/// Whether a process handles the signals for using the terminal from the background.
fn catches_terminal(stat: process::Stat) -> bool {
    Signal::TTIN.is_in(stat.caught) || Signal::TTOU.is_in(stat.caught)
}
