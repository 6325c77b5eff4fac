//! The signals that reach a launcher.
//!
//! Signals are blocked and read from a signalfd, so that none is lost at any point, not even across
//! a re-execution. Nothing here sends a signal or starts a process.

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
    /// A signal that requests the end; with user and process of the sender, if a process sent it.
    Stop {
        /// The signal.
        signal: Signal,
        /// User id and process id of the sender.
        sender: Option<(u32, i32)>,
    },
    /// A signal to pass on to the command.
    Pass(Signal),
    /// A request to suspend the launcher: Ctrl-Z, or a batch system.
    Suspend,
    /// The end of the suspension.
    Continue,
    /// `control` left a request in the spool.
    Request,
}

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

/// Signals that stay blocked while a launcher waits for the database: their default action does not
/// end it, or is not meant as a request to end.
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

/// Signals by which the kernel reports a fault of the program itself, which would recur at once.
const FAULTS: [NixSignal; 5] =
    [NixSignal::SIGILL, NixSignal::SIGBUS, NixSignal::SIGFPE, NixSignal::SIGSEGV, NixSignal::SIGSYS];

/// Returns the signals that end a process by default and can be a request to end it, including
/// real-time signals. Excluded are SIGHUP, the signals for faults of the program itself, and those
/// in `ignored` (bit n-1 for signal n), which must stay ignored.
pub fn ending(ignored: u64) -> Vec<Signal> {
    let others = [NixSignal::SIGKILL, NixSignal::SIGSTOP, NixSignal::SIGTSTP, NixSignal::SIGHUP, NixSignal::SIGPIPE];
    let passed_over = |signal: &NixSignal| [&NEVER_ENDING[..], &FAULTS, &others].iter().any(|all| all.contains(signal));
    let named = NixSignal::iterator().filter(|signal| !passed_over(signal)).map(|signal| signal as i32);
    let real_time = libc::SIGRTMIN()..=libc::SIGRTMAX();
    named.chain(real_time).map(Signal).filter(|signal| !signal.is_in(ignored)).collect()
}

/// Makes a write beyond the file size limit (`ulimit -f`) fail with EFBIG, which is handled like a
/// full disk, instead of ending this process by SIGXFSZ.
///
/// The signal gets a handler rather than being ignored: exec resets a handled signal to its
/// default, so that a command meets the limit in the same way as without its launcher.
pub fn survive_file_size_limit() {
    // Without memory for a handler, nothing changes.
    let _ = signal_hook::flag::register(NixSignal::SIGXFSZ as i32, Arc::new(AtomicBool::new(false)));
}

/// Like [`survive_file_size_limit`] for a launcher, which blocks all signals later on, and whose
/// commands start with none blocked. A blocked SIGXFSZ has no effect and needs no handler, whose
/// registry takes 15 kB of each launcher's memory.
pub fn block_file_size_limit() {
    let mut mask = SigSet::empty();
    mask.add(NixSignal::SIGXFSZ);
    // Cannot fail; if it did, nothing would change.
    let _ = mask.thread_block();
}

/// Returns the signals that the terminal has sent while all signals were blocked: of Ctrl-C, Ctrl-\
/// and Ctrl-Z, in the order of their numbers.
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

/// Ends this process by SIGINT, even if an [`Inbox`] has blocked it. Returns if SIGINT is ignored.
pub fn end_by_interrupt() {
    let mut interrupt = SigSet::empty();
    interrupt.add(NixSignal::SIGINT);
    // Neither fails for an existing signal; if one did, the caller still has an exit code.
    let _ = raise(NixSignal::SIGINT);
    let _ = interrupt.thread_unblock();
}

/// The queue of signals sent to this process.
#[derive(Debug)]
pub struct Inbox {
    signals: OwnedFd,
    /// Those that end or stop a process that does not block them.
    ending: SigSet,
    /// Those ignored at the start: the background of a script does not get the terminal's Ctrl-C.
    deaf_to_terminal: SigSet,
    /// Pid of this process: its own signals to its process group are meant for the others in the
    /// group.
    own_pid: i32,
    /// Whether a SIGINT of the terminal arrived.
    interrupted: Cell<bool>,
}

impl Inbox {
    /// Blocks every signal that can be blocked and opens the signalfd: a signal that ended a
    /// launcher would leave its command alone. A signal that was ignored at the start (bit n-1 of
    /// `ignored`) stays ignored: SIGINT, SIGQUIT and SIGTERM (the background of a script) if the
    /// terminal sends it, any other (SIGHUP: `nohup`) from every sender.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn open(ignored: u64) -> io::Result<Inbox> {
        let (mask, ending, deaf_to_terminal) = Inbox::block(ignored)?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Inbox::of(signals.into(), ending, deaf_to_terminal))
    }

    /// Continues with the signalfd from before a re-execution; the signals are still blocked.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn take_over(signals: OwnedFd, ignored: u64) -> io::Result<Inbox> {
        let (_, ending, deaf_to_terminal) = Inbox::block(ignored)?;
        Ok(Inbox::of(signals, ending, deaf_to_terminal))
    }

    /// Returns the descriptor for [`Inbox::take_over`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    fn of(signals: OwnedFd, ending: SigSet, deaf_to_terminal: SigSet) -> Inbox {
        let own_pid = nix::unistd::getpid().as_raw();
        Inbox { signals, ending, deaf_to_terminal, own_pid, interrupted: Cell::new(false) }
    }

    /// Returns the blocked signals, those of them that end or stop a process, and those ignored
    /// from the terminal.
    fn block(ignored: u64) -> io::Result<(SigSet, SigSet, SigSet)> {
        let mut mask = SigSet::all();
        let mut deaf_to_terminal = SigSet::empty();
        // A write to a pipe without a reader should fail with an error.
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
            // The kernel would discard every exit code. A handler, which never runs because the
            // signal is blocked, is the only disposition other than "ignore" that can be set
            // without unsafe code.
            signal_hook::flag::register(NixSignal::SIGCHLD as i32, Arc::new(AtomicBool::new(false)))?;
        }
        Ok((mask, ending, deaf_to_terminal))
    }

    /// Runs `work` with the default effect of Ctrl-C and similar signals: for a wait before there
    /// is a command that they could be meant for.
    ///
    /// # Errors
    /// Never, on Linux.
    pub fn unguarded<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        self.ending.thread_unblock()?;
        let done = work();
        self.ending.thread_block()?;
        Ok(done)
    }

    /// Sleeps until a signal arrives or `timeout` is over (`None`: no limit).
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.wait_with(timeout, [], [])
    }

    /// Like [`Inbox::wait`], and also until one of `reads` is readable or one of `writes` is
    /// writable.
    ///
    /// # Errors
    /// Those of poll(2).
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

    /// Whether a SIGINT of the terminal has arrived, from the kernel or from this process, which
    /// relays keys to its process group.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Returns the next notice, if there is one.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn next(&self) -> io::Result<Option<Notice>> {
        while let Some(SignalInfo { number, code, pid, uid }) = read_signal(self.signals.as_fd())? {
            let signal = Signal(number);
            // A code above zero means the kernel, that is the terminal or a limit, not a process.
            let sender = (code <= 0).then_some((uid, pid));
            // A real-time signal has no name, and requests the end like all others.
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
                // SIGTTOU is blocked so that the foreground of the terminal can be taken from the
                // background, SIGTTIN so that reading the keyboard from there does not stop the
                // launcher.
                Some(NixSignal::SIGTTIN | NixSignal::SIGTTOU) => continue,
                Some(_) | None if sender.is_some_and(|(_, pid)| pid == self.own_pid) => continue,
                Some(_) | None => Notice::Stop { signal, sender },
            }));
        }
        Ok(None)
    }
}

/// The fields of a signalfd record.
struct SignalInfo {
    number: i32,
    code: i32,
    pid: i32,
    uid: u32,
}

/// Returns the next pending signal, if there is one. Not through [`SignalFd`], which cannot be
/// created from an inherited descriptor.
fn read_signal(from: BorrowedFd<'_>) -> io::Result<Option<SignalInfo>> {
    /// The size of `struct signalfd_siginfo`, which begins with the number, an errno, the code, the
    /// pid and the uid.
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
    fn requests_to_end_exclude_ignored_signals_and_faults() {
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
