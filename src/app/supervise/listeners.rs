//! The listeners for clients: the socket, and the port if there is one.

use std::{cell::RefCell, io, net::TcpListener, os::unix::net::UnixListener, rc::Rc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    begin,
    serve::{Hub, serve},
};
use crate::{
    io::listener::{self, SocketState, UnixSocket},
    model::{config::Config, reload::Listener, shim::Identity},
};

/// Delay before a listener that could not accept, or be watched (no descriptors or memory left), is
/// tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// The listeners.
pub(super) struct Listeners {
    hub: Rc<Hub>,
    user: Option<Identity>,
    unix: Option<(JoinHandle<()>, UnixSocket)>,
    inet: Vec<JoinHandle<()>>,
    /// The last message about the socket, so that it is logged once.
    reported: Option<String>,
    trouble: Trouble,
}

/// Why a listener could not be watched, until that is logged.
type Trouble = Rc<RefCell<Option<String>>>;

impl Listeners {
    pub(super) fn open(
        hub: Rc<Hub>,
        user: Option<Identity>,
        unix: Option<(UnixListener, UnixSocket)>,
        inet: Vec<TcpListener>,
    ) -> Listeners {
        let trouble = Trouble::default();
        let unix = unix.map(|(listener, socket)| (accept_unix(&hub, listener, &trouble), socket));
        let inet = inet.into_iter().map(|listener| accept_port(&hub, listener, &trouble)).collect();
        Listeners { hub, user, unix, inet, reported: None, trouble }
    }

    /// Applies a change of the configuration: new listeners are opened before old ones are closed.
    ///
    /// # Errors
    /// What could not be opened; the old listeners are kept then.
    pub(super) fn change(&mut self, next: &Config, unix: Listener, inet: Listener) -> Result<(), String> {
        let mut new_inet = None;
        if let (Listener::Open | Listener::Replace, Some(spec)) = (inet, &next.inet) {
            let bound = listener::bind_port(spec.host.as_deref(), spec.port).map_err(|error| error.to_string())?;
            new_inet = Some(bound);
        }
        let mut new_unix = None;
        match (unix, &next.unix, &mut self.unix) {
            (Listener::Update, Some(spec), Some((task, socket))) => {
                let place = begin::place(spec, self.user.as_ref());
                if *socket.place() != place {
                    let listener = socket.renew(place).map_err(|error| error.to_string())?;
                    std::mem::replace(task, accept_unix(&self.hub, listener, &self.trouble)).abort();
                }
            }
            (Listener::Open | Listener::Replace | Listener::Update, Some(spec), _) => {
                new_unix = Some(begin::listen(spec, self.user.as_ref()).map_err(|failed| failed.to_string())?);
            }
            (Listener::Keep | Listener::Close, _, _) | (_, None, _) => {}
        }
        self.hub.set_identifier(&next.server.identifier);
        if unix != Listener::Keep {
            self.hub.gate().set_unix(next.unix.as_ref());
        }
        if inet != Listener::Keep {
            self.hub.gate().set_port(next.inet.as_ref());
        }
        match (unix, new_unix) {
            (_, Some(bound)) => {
                self.close_unix();
                self.unix = Some((accept_unix(&self.hub, bound.listener, &self.trouble), bound.socket));
            }
            (Listener::Close, None) => self.close_unix(),
            (Listener::Keep | Listener::Update | Listener::Open | Listener::Replace, None) => {}
        }
        match (inet, new_inet) {
            (_, Some(bound)) => {
                self.inet.drain(..).for_each(|task| task.abort());
                let accepting = |listener| accept_port(&self.hub, listener, &self.trouble);
                self.inet = bound.into_iter().map(accepting).collect();
            }
            (Listener::Close, None) => self.inet.drain(..).for_each(|task| task.abort()),
            (Listener::Keep | Listener::Update | Listener::Open | Listener::Replace, None) => {}
        }
        Ok(())
    }

    fn close_unix(&mut self) {
        if let Some((task, mut socket)) = self.unix.take() {
            task.abort();
            // A socket of another process is not removed; a path that stays is a stale socket.
            let _ = socket.remove();
        }
    }

    /// Checks whether the path of the socket still leads to it, and creates the socket again if
    /// that is harmless. Returns a message for the log, and whether it is a warning.
    pub(super) fn look(&mut self) -> Option<(bool, String)> {
        if let Some(error) = self.trouble.take() {
            return Some((true, format!("warning: a listener could not accept connections: {error}; trying again")));
        }
        let (task, socket) = self.unix.as_mut()?;
        let path = socket.path().display().to_string();
        let line = match socket.check() {
            Ok(SocketState::Own) => {
                self.reported = None;
                return None;
            }
            Ok(SocketState::Gone | SocketState::DeadSocket) => match socket.rebind() {
                Ok(listener) => {
                    std::mem::replace(task, accept_unix(&self.hub, listener, &self.trouble)).abort();
                    self.reported = None;
                    return Some((true, format!("warning: socket {path} was gone; created again")));
                }
                Err(error) => format!("warning: socket {path} is gone and cannot be created again: {error}"),
            },
            Ok(SocketState::Foreign(what)) => {
                format!("warning: {path} is now {what}, not the supervisor's socket; it is left alone")
            }
            Err(error) => format!("warning: {error}"),
        };
        let is_new = self.reported.as_ref() != Some(&line);
        self.reported = Some(line.clone());
        is_new.then_some((true, line))
    }

    /// Closes all listeners; the socket is removed if the path still leads to it.
    pub(super) fn close(&mut self) {
        self.close_unix();
        self.inet.drain(..).for_each(|task| task.abort());
    }
}

fn accept_unix(hub: &Rc<Hub>, listener: UnixListener, trouble: &Trouble) -> JoinHandle<()> {
    let (hub, trouble) = (Rc::clone(hub), Rc::clone(trouble));
    tokio::task::spawn_local(async move {
        let register = || tokio::net::UnixListener::from_std(listener.try_clone()?);
        let watched = watch(register, &trouble).await;
        drop(listener);
        loop {
            match watched.accept().await {
                Ok((stream, _)) => drop(tokio::task::spawn_local(serve(Rc::clone(&hub), stream))),
                Err(error) if hub.makes_room(&error) => {}
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    })
}

fn accept_port(hub: &Rc<Hub>, listener: TcpListener, trouble: &Trouble) -> JoinHandle<()> {
    let (hub, trouble) = (Rc::clone(hub), Rc::clone(trouble));
    tokio::task::spawn_local(async move {
        let register = || tokio::net::TcpListener::from_std(listener.try_clone()?);
        let watched = watch(register, &trouble).await;
        drop(listener);
        loop {
            match watched.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    drop(tokio::task::spawn_local(serve(Rc::clone(&hub), stream)));
                }
                Err(error) if hub.makes_room(&error) => {}
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    })
}

/// Returns the listener watched by the runtime, as soon as `register` succeeds. Clients that
/// connect until then wait in the backlog of the socket.
async fn watch<L>(register: impl Fn() -> io::Result<L>, trouble: &Trouble) -> L {
    loop {
        match register() {
            Ok(listener) => return listener,
            Err(error) => *trouble.borrow_mut() = Some(error.to_string()),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
