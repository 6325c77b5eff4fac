//! The listener for changes of jobs while the shell does something else, and the notices about
//! them.
//!
//! A thread reads events. Notices are kept for the next prompt, or printed above the line that is
//! being edited.

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

/// The pending notices, and the session's jobs; shared with the listener.
pub(super) struct JobNotices {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    notices: Notices,
    session: Session,
    /// Whether notices are printed at once.
    notify: bool,
    /// Whether a line is being edited.
    at_prompt: bool,
    /// A message for the next prompt.
    gone: Option<String>,
    printer: Option<Printer>,
}

impl JobNotices {
    pub(super) fn new(notify: bool) -> JobNotices {
        JobNotices { state: Mutex::new(State { notify, ..State::default() }) }
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

    /// Starts the next action.
    pub(super) fn begin(&self) {
        self.lock().notices.begin();
    }

    /// Records the state of a process that a response already reported.
    pub(super) fn reported(&self, name: String, state: ProcState, pid: i32) {
        self.lock().notices.shown(name, state, pid);
    }

    /// Records an end that was already reported.
    pub(super) fn reported_end(&self, name: String) {
        self.lock().notices.shown_end(name);
    }

    /// Drops all notices: a response reported everything, or they are from another supervisor.
    pub(super) fn renew(&self) {
        self.lock().notices = Notices::default();
    }

    /// Reads a line; notices may be printed meanwhile.
    pub(super) fn at_prompt<T>(&self, read: impl FnOnce() -> T) -> T {
        self.lock().at_prompt = true;
        let typed = read();
        self.lock().at_prompt = false;
        typed
    }

    /// Returns the notices that are due.
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
        // Without job numbers, if those are not available.
        let jobs = client::jobs_at(&aside(place)).unwrap_or_default();
        self.session(|session| events.iter().map(|event| notices::line(event, &jobs, session)).collect())
    }

    /// Prints the notices at once, if configured.
    fn print(&self, place: &Place) {
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

/// The listener. Dropping it closes the connection.
pub(super) struct EventWatch {
    is_over: Arc<AtomicBool>,
    is_left: Arc<AtomicBool>,
    _closer: Closer,
}

impl EventWatch {
    /// Starts to listen; `None` if that is not possible, which the next request will report.
    pub(super) fn begin(place: &Place, notices: &Arc<JobNotices>) -> Option<EventWatch> {
        let place = aside(place);
        let mut line = client::SupervisorLink::open(&place).ok()?;
        let filter = EventFilter::of([EventKind::State.as_str()]).ok()?;
        // Over HTTP only single responses are possible.
        let Link::Socket(_) = line.link else { return None };
        let answer = line.ask(&Command::Subscribe(filter), true).ok()?;
        let Link::Socket(socket) = line.link else { return None };
        if answer.response.error.is_some() {
            return None;
        }
        let closer = socket.closer().ok()?;
        let (is_over, is_left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (over, left, notices, place) =
            (Arc::clone(&is_over), Arc::clone(&is_left), Arc::clone(notices), place.clone());
        let listen = move || {
            leave_stop_key();
            listen(socket, &notices, &place);
            if !left.load(Ordering::SeqCst) {
                let text = format!("the supervisor at {} has closed the connection", shown(&place.url));
                notices.lock().gone = Some(text);
                notices.print(&place);
            }
            over.store(true, Ordering::SeqCst);
        };
        thread::Builder::new().name("notices".to_owned()).spawn(listen).ok()?;
        Some(EventWatch { is_over, is_left, _closer: closer })
    }

    /// Whether the other side has closed the connection.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

impl Drop for EventWatch {
    fn drop(&mut self) {
        self.is_left.store(true, Ordering::SeqCst);
    }
}

/// Reads events until either side closes.
fn listen(mut socket: Socket, notices: &JobNotices, place: &Place) {
    while let Ok(Some(line)) = socket.line(None, None) {
        if let Some(Followed::Other(event)) = Followed::parse(&line)
            && let Some(event) = StateNotice::from_event(&event)
        {
            notices.lock().notices.changed(event);
            notices.print(place);
        }
    }
}
