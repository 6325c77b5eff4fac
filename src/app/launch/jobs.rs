//! Terminals and job control: whose keyboard it is, and what stopping one of a job means for the others.

use std::time::Duration;

use super::{KEYS_AGAIN, Launcher};
use crate::{
    app::session::Session,
    io::{child, process, sys},
    model::{
        task::{Signal, Tick},
        watch::{Event, Watch},
    },
};

/// What came of a SIGTSTP to a launcher that has no terminal: a batch system sends one, and SIGCONT later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Nothing: the command runs.
    None,
    /// It was passed on; the command may handle it and run on.
    Passed,
    /// The command is stopped, since this instant of the monotonic clock.
    Since(Duration),
}

impl Launcher {
    /// Passes SIGTSTP on. Where there is a terminal, this process stops with the command, as a shell expects it of a job;
    /// elsewhere nobody would let it go on.
    pub(super) fn pass_suspend(&mut self, watch: &Watch) {
        if watch.is_ending() {
            return;
        }
        if self.terminal.is_none() && self.pause == Pause::None {
            self.pause = Pause::Passed;
        }
        let _ = self.signal_command(Signal::TSTP);
    }

    /// Tells readers whether the command is stopped.
    pub(super) fn tell_paused(&mut self, paused: bool) {
        if self.story.paused != paused {
            self.story.paused = paused;
            if let Some(spool) = &self.spool {
                let _ = spool.write_report(self.claimed.slot, &self.claimed.upid, &self.story);
            }
        }
    }

    /// Passes SIGCONT on.
    pub(super) fn pass_continue(&mut self, watch: &mut Watch) {
        let _ = self.signal_command(Signal::CONT);
        self.end_pause(watch);
    }

    /// Whether the command is stopped by what was passed on: then no time passes for it.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.pause, Pause::Since(_))
    }

    /// The command runs again, or is about to: the time it was stopped does not count.
    pub(super) fn end_pause(&mut self, watch: &mut Watch) {
        let pause = std::mem::replace(&mut self.pause, Pause::None);
        if let Pause::Since(since) = pause {
            let now = sys::now();
            self.act(watch, Event::Paused(now.mono.saturating_sub(since)), now);
        }
    }

    /// Lets the leader of the command's session end, once nothing is left to be read there.
    pub(super) fn let_session_end(&mut self, now: Tick) {
        if self.session.as_mut().is_some_and(Session::has_ended) {
            self.command_ended();
            if self.output.as_ref().is_none_or(|output| output.is_complete(now))
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

    /// How long to wait before keys are looked for again, if that is not at once.
    pub(super) fn keys_wait(&self, now: Tick) -> Option<Duration> {
        (self.pty.is_some() && self.keys_at > now.mono).then_some(self.keys_at)
    }

    pub(super) fn follow_size(&self) {
        if let Some(pty) = &self.pty
            && pty.follow_size()
            && !pty.is_whole()
        {
            // The kernel tells who has a terminal as its own; this one has another.
            let _ = self.signal_command(Signal::WINCH);
        }
    }

    /// The command was stopped on its terminal; we do as a shell expects of a job.
    pub(super) fn session_stopped(&mut self, watch: &mut Watch) {
        if let Some(output) = &mut self.output {
            output.pump();
        }
        if let Some(pty) = &mut self.pty {
            pty.release_keyboard();
        }
        self.tell_paused(true);
        let before = sys::now();
        child::suspend();
        let after = sys::now();
        self.act(watch, Event::Paused(after.mono.saturating_sub(before.mono)), after);
        if let Some(pty) = &mut self.pty {
            pty.take_keyboard();
        }
        self.follow_size();
        if let Some(session) = &self.session {
            session.resume();
        }
        self.tell_paused(false);
    }

    pub(super) fn lend_terminal(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.lend(self.command);
            // It may have asked before it had it, and been stopped for that.
            let _ = child::signal_group(self.command, Signal::CONT);
        }
    }

    /// The command was stopped. If it was for the terminal's sake we do as a shell expects of a job.
    pub(super) fn stopped(&mut self, signal: Signal, watch: &mut Watch) {
        self.tell_paused(true);
        if signal == Signal::TSTP && self.pause == Pause::Passed {
            self.pause = Pause::Since(sys::now().mono);
        }
        let Some(terminal) = &mut self.terminal else { return };
        let wants_terminal = match signal {
            Signal::TTIN | Signal::TTOU => true,
            // A program that tidies its screen up before it stops catches what the terminal sends, and stops itself.
            Signal::STOP => !terminal.is_lent() && process::stat(self.command).is_some_and(catches_terminal),
            _ => false,
        };
        if wants_terminal && terminal.is_in_foreground() {
            self.lend_terminal();
            return;
        }
        if !wants_terminal && signal != Signal::TSTP && !terminal.is_lent() {
            // Somebody stopped it by hand: its heartbeat will tell.
            return;
        }
        let lent = terminal.is_lent();
        terminal.take_back();
        let before = sys::now();
        child::suspend();
        let after = sys::now();
        self.act(watch, Event::Paused(after.mono.saturating_sub(before.mono)), after);
        if self.terminal.as_ref().is_some_and(|terminal| (lent || wants_terminal) && terminal.is_in_foreground()) {
            self.lend_terminal();
        }
        let _ = child::signal_group(self.command, Signal::CONT);
    }

    /// What the command printed is all there.
    pub(super) fn command_ended(&mut self) {
        if let Some(pty) = &mut self.pty {
            pty.command_ended();
        }
        if let Some(output) = &mut self.output {
            output.command_ended(sys::now());
        }
    }
}

/// Whether a process has a handler for what it gets when it asks for the terminal from its background.
fn catches_terminal(stat: process::Stat) -> bool {
    Signal::TTIN.is_in(stat.caught) || Signal::TTOU.is_in(stat.caught)
}
