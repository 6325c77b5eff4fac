//! Who listens for changes of jobs while the shell does something else, and what is told of them (JOB-9).
//!
//! One thread reads events. They are kept for the next prompt, or printed above the line that is being edited.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::aside;
use crate::{
    app::client::{self, Link, endpoint::Place, shown},
    io::{
        connect::{Closer, Socket, leave_stop_key},
        editor::Printer,
    },
    model::{
        jobs::Session,
        program::ProcState,
        shell::notices::{self, Notices},
        wire::{Command, EventFilter, EventKind, Followed, StateNotice},
    },
};

/// What is told, and which jobs this shell dealt with; shared with who listens.
pub(super) struct Told {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    notices: Notices,
    session: Session,
    /// Whether it is told at once.
    notify: bool,
    /// Whether a line is being edited.
    at_prompt: bool,
    /// Said once at the next prompt.
    gone: Option<String>,
    printer: Option<Printer>,
}

impl Told {
    pub(super) fn new(notify: bool) -> Told {
        Told { state: Mutex::new(State { notify, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn print_with(&self, printer: Printer) {
        self.lock().printer = Some(printer);
    }

    pub(super) fn set_notify(&self, notify: bool) {
        self.lock().notify = notify;
    }

    pub(super) fn session<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        work(&mut self.lock().session)
    }

    /// The next action begins.
    pub(super) fn begin(&self) {
        self.lock().notices.begin();
    }

    /// An answer told that the process of this name is in this state.
    pub(super) fn told(&self, name: String, state: ProcState, pid: i32) {
        self.lock().notices.told(name, state, pid);
    }

    /// It was told that this process has ended.
    pub(super) fn told_end(&self, name: String) {
        self.lock().notices.told_end(name);
    }

    /// What was heard until now is of no interest: an answer told of all of it, or it was another supervisor's.
    pub(super) fn renew(&self) {
        self.lock().notices = Notices::default();
    }

    /// Reads a line, while which notices may be printed.
    pub(super) fn at_prompt<T>(&self, read: impl FnOnce() -> T) -> T {
        self.lock().at_prompt = true;
        let typed = read();
        self.lock().at_prompt = false;
        typed
    }

    /// What is to be told now.
    pub(super) fn lines(&self, place: &Place) -> Vec<String> {
        let (events, gone) = {
            let mut state = self.lock();
            (state.notices.take(), state.gone.take())
        };
        let mut lines = self.lines_of(&events, place);
        lines.extend(gone);
        lines
    }

    fn lines_of(&self, events: &[StateNotice], place: &Place) -> Vec<String> {
        if events.is_empty() {
            return vec![];
        }
        // Without their numbers, if those are not to be had.
        let jobs = client::jobs_at(&aside(place)).unwrap_or_default();
        self.session(|session| events.iter().map(|event| notices::line(event, &jobs, session)).collect())
    }

    /// Prints at once what is to be told, if that is wanted.
    fn tell(&self, place: &Place) {
        let is_wanted = |state: &State| state.notify && state.at_prompt && state.printer.is_some();
        {
            let state = self.lock();
            if !is_wanted(&state) {
                return;
            }
        }
        let lines = self.lines(place);
        let mut state = self.lock();
        if let (false, Some(printer)) = (lines.is_empty(), &mut state.printer) {
            printer(lines.iter().flat_map(|line| [line, "\n"]).collect());
        }
    }
}

/// Who listens. The connection is closed when this is dropped.
pub(super) struct EventWatch {
    is_over: Arc<AtomicBool>,
    is_left: Arc<AtomicBool>,
    _closer: Closer,
}

impl EventWatch {
    /// Begins to listen; none: that cannot be, and whoever asks something will be told why.
    pub(super) fn begin(place: &Place, told: &Arc<Told>) -> Option<EventWatch> {
        let place = aside(place);
        let mut line = client::SupervisorLink::open(&place).ok()?;
        let filter = EventFilter::of([EventKind::State.as_str()]).ok()?;
        // Over HTTP only single answers come.
        let Link::Socket(_) = line.link else { return None };
        let answer = line.ask(&Command::Subscribe(filter), true).ok()?;
        let Link::Socket(socket) = line.link else { return None };
        if answer.response.error.is_some() {
            return None;
        }
        let closer = socket.closer().ok()?;
        let (is_over, is_left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (over, left, told, place) = (Arc::clone(&is_over), Arc::clone(&is_left), Arc::clone(told), place.clone());
        let listen = move || {
            leave_stop_key();
            listen(socket, &told, &place);
            if !left.load(Ordering::SeqCst) {
                let text = format!("the supervisor at {} has closed the connection", shown(&place.url));
                told.lock().gone = Some(text);
                told.tell(&place);
            }
            over.store(true, Ordering::SeqCst);
        };
        thread::Builder::new().name("notices".to_owned()).spawn(listen).ok()?;
        Some(EventWatch { is_over, is_left, _closer: closer })
    }

    /// Whether the other side has closed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

impl Drop for EventWatch {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::SeqCst);
    }
}

/// Until either side closes.
fn listen(mut socket: Socket, told: &Told, place: &Place) {
    while let Ok(Some(line)) = socket.line(None, None) {
        if let Some(Followed::Other(event)) = Followed::parse(&line)
            && let Some(event) = StateNotice::from_event(&event)
        {
            told.lock().notices.heard(event);
            told.tell(place);
        }
    }
}
