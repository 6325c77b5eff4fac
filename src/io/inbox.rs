//! The signals that reach a launcher.
//!
//! They are blocked and read from a signalfd, so that none is lost at any point, not even across an exec of ourselves.
//! Nothing here sends a signal or starts a process.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        signal::{SigSet, Signal as NixSignal, raise},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::model::task::Signal;

/// A signal or event that reached the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A child ended or stopped.
    Child,
    /// A signal that asks for the end; with the sender's user and process, if a process sent it.
    Stop {
        /// Which.
        signal: Signal,
        /// User id and process id of the sender.
        sender: Option<(u32, i32)>,
    },
    /// A signal that is the command's business.
    Pass(Signal),
    /// The launcher is to stop for a while: Ctrl-Z, or a batch system.
    Suspend,
    /// The end of that.
    Continue,
    /// `control` left a request in the spool.
    Request,
}

/// The signal by which `control` says that a request waits in the spool. By default it is ignored, so that it can do
/// no harm to a launcher that is not ready yet.
pub const REQUEST: Signal = Signal(23);

/// Signals that are read even if they were ignored at the start: they do not end a launcher.
const ALWAYS_READ: [NixSignal; 9] = [
    NixSignal::SIGUSR1,
    NixSignal::SIGUSR2,
    NixSignal::SIGWINCH,
    NixSignal::SIGCHLD,
    NixSignal::SIGURG,
    NixSignal::SIGCONT,
    NixSignal::SIGTSTP,
    NixSignal::SIGTTIN,
    NixSignal::SIGTTOU,
];

/// Signals that stay blocked while a launcher waits for the database: their default action does not end it, or would do
/// so without anybody having asked for it.
const NEVER_ENDING: [NixSignal; 9] = [
    NixSignal::SIGUSR1,
    NixSignal::SIGUSR2,
    NixSignal::SIGWINCH,
    NixSignal::SIGCHLD,
    NixSignal::SIGURG,
    NixSignal::SIGCONT,
    NixSignal::SIGTTIN,
    NixSignal::SIGTTOU,
    NixSignal::SIGXFSZ,
];

/// Signals by which the kernel reports a fault of the program itself, which it would meet again at once.
const FAULTS: [NixSignal; 5] =
    [NixSignal::SIGILL, NixSignal::SIGBUS, NixSignal::SIGFPE, NixSignal::SIGSEGV, NixSignal::SIGSYS];

/// Returns the signals that end a process by default and can be taken for a request for the end, real-time signals among
/// them. Not among them are SIGHUP, the signals that report a fault of the program itself, and those of `ignored` (bit
/// n-1: signal n), which are to stay ignored.
pub fn ending(ignored: u64) -> Vec<Signal> {
    let others = [NixSignal::SIGKILL, NixSignal::SIGSTOP, NixSignal::SIGTSTP, NixSignal::SIGHUP, NixSignal::SIGPIPE];
    let passed_over = |signal: &NixSignal| [&NEVER_ENDING[..], &FAULTS, &others].iter().any(|all| all.contains(signal));
    let named = NixSignal::iterator().filter(|signal| !passed_over(signal)).map(|signal| signal as i32);
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    named.chain(real_time).map(Signal).filter(|signal| !signal.is_in(ignored)).collect()
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) an error of that write (EFBIG), which is handled as a full
/// disk is, where SIGXFSZ would end this process.
///
/// A handler is used and not "ignore": an exec gives a handled signal its default again, so that a command meets the
/// limit as it would without its launcher.
pub fn survive_file_size_limit() {
    // Without memory for a handler, everything is as it was.
    let _ = signal_hook::flag::register(NixSignal::SIGXFSZ as i32, Arc::new(AtomicBool::new(false)));
}

/// The same for a launcher, whose signals are all blocked later on, and whose commands begin with none blocked. A blocked
/// SIGXFSZ does nothing, and needs no handler, whose registry takes 15 kB of each launcher's memory.
pub fn block_file_size_limit() {
    let mut mask = SigSet::empty();
    mask.add(NixSignal::SIGXFSZ);
    // Cannot fail, and if it did, everything is as it was.
    let _ = mask.thread_block();
}

/// Takes what the terminal has sent to this process while all signals were blocked: Ctrl-C, Ctrl-\ and Ctrl-Z, in the order
/// of their numbers.
pub fn take_keys() -> Vec<Signal> {
    let keys = [NixSignal::SIGINT, NixSignal::SIGQUIT, NixSignal::SIGTSTP];
    let mut mask = SigSet::empty();
    keys.into_iter().for_each(|signal| mask.add(signal));
    let mut taken = vec![];
    if let Ok(signals) = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
        while let Ok(Some(info)) = signals.read_signal() {
            taken.extend(i32::try_from(info.ssi_signo).map(Signal));
        }
    }
    taken
}

/// Ends this process by SIGINT, also where an [`Inbox`] has blocked it. Returns where SIGINT is ignored.
pub fn end_by_interrupt() {
    let mut interrupt = SigSet::empty();
    interrupt.add(NixSignal::SIGINT);
    // Neither fails for a signal that exists; if one did, the caller has an exit code left.
    let _ = raise(NixSignal::SIGINT);
    let _ = interrupt.thread_unblock();
}

/// Where the signals sent to this process arrive.
#[derive(Debug)]
pub struct Inbox {
    signals: OwnedFd,
    /// Those of them that end or stop a process that does not block them.
    ending: SigSet,
    /// Those that were ignored at the start: a script's background does not hear the terminal's Ctrl-C.
    deaf_to_terminal: SigSet,
    /// This process: what it sends to its own process group is meant for the others there.
    own_pid: i32,
    /// Whether a SIGINT of the terminal arrived.
    interrupted: Cell<bool>,
}

impl Inbox {
    /// Blocks every signal that can be blocked and opens the place where they arrive: one that would end a launcher would
    /// leave its command alone. One that was ignored at the start (bit n-1 of `ignored`) stays so: SIGINT, SIGQUIT and
    /// SIGTERM (the background of a script) when the terminal sends it, any other (SIGHUP: `nohup`) whoever sends it.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn open(ignored: u64) -> io::Result<Inbox> {
        let (mask, ending, deaf_to_terminal) = Inbox::block(ignored)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Inbox::of(signals.into(), ending, deaf_to_terminal))
    }

    /// Goes on with the place that the program had which this process was before; what it blocked is still blocked.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn take_over(signals: OwnedFd, ignored: u64) -> io::Result<Inbox> {
        let (_, ending, deaf_to_terminal) = Inbox::block(ignored)?;
        Ok(Inbox::of(signals, ending, deaf_to_terminal))
    }

    /// Returns the descriptor that [`Inbox::take_over`] goes on with.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn of(signals: OwnedFd, ending: SigSet, deaf_to_terminal: SigSet) -> Inbox {
        let own_pid = nix::unistd::getpid().as_raw();
        Inbox { signals, ending, deaf_to_terminal, own_pid, interrupted: Cell::new(false) }
    }

    /// Returns what is blocked now, what of it ends or stops a process, and what the terminal may not say.
    fn block(ignored: u64) -> io::Result<(SigSet, SigSet, SigSet)> {
        let mut mask = SigSet::all();
        let mut deaf_to_terminal = SigSet::empty();
        // To write to a pipe that has no reader is an error of the write.
        mask.remove(NixSignal::SIGPIPE);
        for signal in NixSignal::iterator().filter(|signal| ignores(ignored, *signal)) {
            if matches!(signal, NixSignal::SIGINT | NixSignal::SIGQUIT | NixSignal::SIGTERM) {
                deaf_to_terminal.add(signal);
            } else if !ALWAYS_READ.contains(&signal) {
                mask.remove(signal);
            }
        }
        let mut ending = mask;
        NEVER_ENDING.into_iter().for_each(|signal| ending.remove(signal));
        mask.thread_block()?;
        if ignores(ignored, NixSignal::SIGCHLD) {
            // The kernel would throw every exit code away. A handler, which never runs as the signal is blocked, is the
            // one disposition other than "ignore" that can be set without unsafe code.
            signal_hook::flag::register(NixSignal::SIGCHLD as i32, Arc::new(AtomicBool::new(false)))?;
        }
        Ok((mask, ending, deaf_to_terminal))
    }

    /// Does something during which Ctrl-C and its like act on us as on any program: waiting, while there is no command
    /// yet that they could be meant for.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn unguarded<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        self.ending.thread_unblock()?;
        let done = work();
        self.ending.thread_block()?;
        Ok(done)
    }

    /// Sleeps until something arrives or `timeout` is over; none: until something arrives.
    ///
    /// # Errors
    /// As poll(2) says.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait_with(timeout, [], [])
    }

    /// The same, or until one of `reads` can be read or one of `writes` written.
    ///
    /// # Errors
    /// As poll(2) says.
    pub fn wait_with<'a>(
        &'a self,
        timeout: Option<Duration>,
        reads: impl IntoIterator<Item = BorrowedFd<'a>>,
        writes: impl IntoIterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<()> {
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        polled.extend(reads.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        polled.extend(writes.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        match ppoll(&mut polled, timeout.map(Into::into), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a SIGINT of the terminal has arrived, from the kernel or from this process, which passes keys on to its
    /// process group.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// The next thing that arrived, if any.
    ///
    /// # Errors
    /// As read(2) says.
    pub fn next(&self) -> io::Result<Option<Notice>> {
        while let Some(SignalInfo { number, code, pid, uid }) = read_signal(self.signals.as_fd())? {
            let signal = Signal(number);
            // A code above zero is the kernel's: the terminal or a limit, not a process.
            let sender = (code <= 0).then_some((uid, pid));
            // A real-time signal has no name, and asks for the end as all the others do.
            let known = NixSignal::try_from(number).ok();
            if known == Some(NixSignal::SIGINT) && sender.is_none_or(|(_, pid)| pid == self.own_pid) {
                self.interrupted.set(true);
            }
            if sender.is_none() && known.is_some_and(|known| self.deaf_to_terminal.contains(known)) {
                continue;
            }
            return Ok(Some(match known {
                Some(NixSignal::SIGCHLD) => Notice::Child,
                Some(NixSignal::SIGTSTP) => Notice::Suspend,
                Some(NixSignal::SIGCONT) => Notice::Continue,
                Some(NixSignal::SIGURG) => Notice::Request,
                Some(NixSignal::SIGUSR1 | NixSignal::SIGUSR2 | NixSignal::SIGWINCH) => Notice::Pass(signal),
                // SIGTTOU is blocked so that the terminal can be taken back from its background, SIGTTIN so that a look at
                // its keyboard from there does not stop the launcher.
                Some(NixSignal::SIGTTIN | NixSignal::SIGTTOU) => continue,
                Some(_) | None if sender.is_some_and(|(_, pid)| pid == self.own_pid) => continue,
                Some(_) | None => Notice::Stop { signal, sender },
            }));
        }
        Ok(None)
    }
}

/// What a signalfd tells of a signal.
struct SignalInfo {
    number: i32,
    code: i32,
    pid: i32,
    uid: u32,
}

/// Returns the next signal that waits, if one does. Not through [`SignalFd`], which cannot be made from a descriptor
/// that was handed over.
fn read_signal(from: BorrowedFd<'_>) -> io::Result<Option<SignalInfo>> {
    /// The size of `struct signalfd_siginfo`, which begins with the number, an errno, the code, the pid and the uid.
    const RECORD: usize = 128;
    let mut record = [0; RECORD];
    match nix::unistd::read(from, &mut record) {
        Ok(RECORD) => {}
        Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let field = |index: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&record[index * 4..][..4]);
        bytes
    };
    let number = |index| i32::from_ne_bytes(field(index));
    Ok(Some(SignalInfo { number: number(0), code: number(2), pid: number(3), uid: u32::from_ne_bytes(field(4)) }))
}

fn ignores(ignored: u64, signal: NixSignal) -> bool {
    Signal(signal as i32).is_in(ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_end_are_those_that_end_and_are_neither_ignored_nor_faults() {
        let of = |ignored| -> Vec<i32> { ending(ignored).iter().map(|signal| signal.0).collect() };
        let all = of(0);
        for number in [2, 3, 6, 14, 15, 24, 26, 27, 29, 30, 37, 64] {
            assert!(all.contains(&number), "{number}");
        }
        for number in [1, 4, 7, 8, 9, 10, 11, 12, 13, 17, 18, 19, 20, 21, 22, 23, 25, 28, 31, 32, 33] {
            assert!(!all.contains(&number), "{number}");
        }
        assert!(!of(1 << 29).contains(&30));
    }
}
