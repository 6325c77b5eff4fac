//! The web pages: programs and tasks in a browser, and the same data for programs.
//!
//! HTTP is served on a separate thread with its own runtime, which starts with the first connection, so that slow or
//! hostile clients never delay the supervisor. Programs are accessed by requests to the supervisor, like those of any
//! other client; tasks are read from the database on further threads (`data`). Without clients, nothing is done.
//!
//! hyper reads and writes HTTP. There is no framework above it: every path goes through one guard and one `match`
//! (`routes`).

pub mod access;
mod data;
mod live;
mod programs;
mod reply;
mod routes;
mod server;

pub use server::turn_away;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, mpsc as wait},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::LocalSet,
};

use self::{
    access::{AccessRules, Door},
    data::Data,
    live::Live,
    reply::OnTheWay,
};
use crate::{
    app::{
        db::{self, DbError},
        supervise_args::{Listen, WebArgs},
    },
    io::{
        listener::{self, Bound, SocketSpec, UnixSocket},
        secret,
        store::StoreError,
        sys,
        tail::Growing,
    },
    model::{
        program::{Credentials, InetServer, Password},
        web::Message,
        wire::{Request, Response},
    },
};

/// Time for sending the last responses when the supervisor ends.
const LEAVING: Duration = Duration::from_millis(500);
/// Pause after a listener could not accept a connection (no free descriptors).
const AGAIN: Duration = Duration::from_millis(100);
/// Number of messages that are kept for the pages that show them.
const NOTES: usize = 64;

/// The answer of a supervisor: its response, and the logs to follow.
pub type SupervisorAnswer = (Response, Vec<Growing>);

/// A supervisor that takes requests.
pub trait Programs: Send + Sync {
    /// Sends a request. `reply` may be called on another thread.
    fn ask(&self, request: Request, reply: Box<dyn FnOnce(SupervisorAnswer) + Send>);
    /// Returns a counter that changes with each change of a process state.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What the pages show.
#[derive(Clone)]
pub struct Subject {
    /// The database.
    pub db: PathBuf,
    /// Access rules.
    pub gate: Arc<AccessRules>,
    /// The supervisor. `None`: there are only tasks.
    pub programs: Option<Arc<dyn Programs>>,
    /// Name of the supervisor, which a reload may change.
    pub identifier: watch::Receiver<String>,
    /// Whether actions are allowed on the pages.
    pub acts: bool,
}

/// An HTTP connection.
pub enum HttpConnection {
    /// On the Unix socket.
    Unix(UnixStream),
    /// On the port.
    Port(TcpStream),
}

/// A connection that is handed over, with the bytes already read from it.
struct HandedConnection {
    stream: HttpConnection,
    first: Vec<u8>,
}

/// A handle of the serving thread, which starts with the first connection.
pub struct Web {
    subject: Subject,
    /// The thread, if started: the sender for connections, and the receiver that is notified of its end.
    thread: Mutex<Option<(mpsc::UnboundedSender<HandedConnection>, wait::Receiver<()>)>>,
}

impl Web {
    /// Returns a handle without a thread.
    pub fn new(subject: Subject) -> Web {
        Web { subject, thread: Mutex::new(None) }
    }

    /// Whether connections can be served. Starts the thread if necessary; if that fails, it is tried again for the next
    /// connection.
    pub fn is_ready(&self) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_none_or(|(inbox, _)| inbox.is_closed()) {
            *thread = begin(self.subject.clone()).ok();
        }
        thread.is_some()
    }

    /// Serves a non-blocking connection to its end. `first` are bytes already read from it. If the thread is not ready,
    /// the connection is closed.
    pub fn serve(&self, stream: HttpConnection, first: Vec<u8>) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((inbox, _)) = &*thread {
            let _ = inbox.send(HandedConnection { stream, first });
        }
    }

    /// Ends the thread. Waits a moment for responses that are being sent.
    pub fn end(&self) {
        if let Some((inbox, ended)) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(inbox);
            let _ = ended.recv_timeout(LEAVING);
        }
    }
}

/// Starts the serving thread.
///
/// # Errors
/// No thread can be created, or there is no descriptor for its runtime.
fn begin(subject: Subject) -> std::io::Result<(mpsc::UnboundedSender<HandedConnection>, wait::Receiver<()>)> {
    let (inbox, mut handed) = mpsc::unbounded_channel::<HandedConnection>();
    let (done, ended) = wait::channel();
    // If no thread can be created, the runtime must not be dropped here, inside another runtime, in the usual way.
    let runtime = Arc::new(Mutex::new(Some(tokio::runtime::Builder::new_current_thread().enable_all().build()?)));
    let take = |runtime: &Mutex<Option<tokio::runtime::Runtime>>| {
        runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    };
    let for_thread = Arc::clone(&runtime);
    let spawned = std::thread::Builder::new().name("web".to_owned()).spawn(move || {
        let Some(runtime) = take(&for_thread) else { return };
        LocalSet::new().block_on(&runtime, async move {
            let site = Site::new(subject);
            while let Some(HandedConnection { stream, first }) = handed.recv().await {
                server::begin(&site, stream, first);
            }
            site.quiet().await;
        });
        let _ = done.send(());
    });
    if let Err(error) = spawned {
        if let Some(runtime) = take(&runtime) {
            runtime.shutdown_background();
        }
        return Err(error);
    }
    Ok((inbox, ended))
}

/// The state shared by all connections.
struct Site {
    subject: Subject,
    data: Data,
    live: Live,
    /// Name of this host.
    host: String,
    /// All names of this host.
    names: Vec<String>,
    /// The token that a form must contain. `None`: actions are not allowed.
    token: Option<String>,
    connections: Cell<usize>,
    on_the_way: OnTheWay,
    /// Number of requests being handled.
    busy: watch::Sender<usize>,
    notes: RefCell<VecDeque<(String, Message)>>,
}

impl Site {
    fn new(subject: Subject) -> Rc<Site> {
        let names = vec![sys::host_name(), sys::node_name()];
        Rc::new(Site {
            data: Data::new(&subject.db),
            live: Live::default(),
            host: sys::host_name(),
            names,
            // Without a token no action is possible, which does no harm.
            token: subject.acts.then(|| secret::token().ok()).flatten(),
            connections: Cell::new(0),
            on_the_way: OnTheWay::default(),
            busy: watch::Sender::new(0),
            notes: RefCell::default(),
            subject,
        })
    }

    /// Waits until no request is being handled, for a short time at most.
    async fn quiet(&self) {
        let mut busy = self.busy.subscribe();
        let _ = tokio::time::timeout(LEAVING / 2, busy.wait_for(|count| *count == 0)).await;
        // Lets pending responses be written.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// Stores a message for the next page and returns its key. The text itself is never part of an address: otherwise a
    /// foreign link could put text on a page.
    fn note(&self, what: Message) -> Option<String> {
        let id = secret::token().ok()?;
        let mut notes = self.notes.borrow_mut();
        notes.push_back((id.clone(), what));
        if notes.len() > NOTES {
            notes.pop_front();
        }
        Some(id)
    }

    fn noted(&self, id: &str) -> Option<Message> {
        self.notes.borrow().iter().find(|(own, _)| own == id).map(|(_, what)| what.clone())
    }
}

/// Runs `supervise web`: serves the tasks of a database until SIGTERM, SIGINT or SIGHUP. Returns the exit code. `tell`
/// prints one line for the user.
pub fn run(args: &WebArgs, tell: &mut dyn FnMut(&str)) -> i32 {
    match serve(args, tell) {
        Ok(()) => 0,
        Err(Failed::Refused(line)) => {
            tell(&format!("error: {line}"));
            2
        }
        Err(Failed::Broken(line)) => {
            tell(&format!("error: {line}"));
            1
        }
    }
}

/// Why nothing is served.
enum Failed {
    /// Refused: bad usage or unsafe settings.
    Refused(String),
    /// Failed.
    Broken(String),
}

/// The listeners of `supervise web`.
enum Doors {
    Unix(Box<Bound>),
    Port(Vec<TcpListener>),
}

fn serve(args: &WebArgs, tell: &mut dyn FnMut(&str)) -> Result<(), Failed> {
    let broken = |error: &dyn std::fmt::Display| Failed::Broken(error.to_string());
    let db = db::path(args.db.as_deref()).map_err(|error| broken(&error))?;
    if let Some(name) = args.username.as_deref().filter(|name| name.contains(':')) {
        return Err(Failed::Refused(format!("--username {name:?} contains a colon, which ends the name in HTTP")));
    }
    let credentials = match (&args.username, &args.password_file) {
        (Some(username), Some(file)) => {
            let password = Password::Plain(secret::read(file).map_err(|error| Failed::Refused(error.to_string()))?);
            Some(Credentials { username: username.clone(), password })
        }
        (None, None) | (Some(_), None) | (None, Some(_)) => None,
    };
    let is_guarded = credentials.is_some();
    let (doors, place) = open(args, is_guarded)?;
    match data::check(&db) {
        Ok(()) => {}
        // These errors are temporary.
        Err(error @ DbError::Store(StoreError::Busy(..) | StoreError::Older(_))) => tell(&format!("warning: {error}")),
        Err(error) => return Err(broken(&error)),
    }
    let gate = AccessRules::default();
    let (host, port) = match &args.listen {
        Listen::Port { host, port } => (host.clone(), *port),
        Listen::Socket(_) => (None, 0),
    };
    gate.set_port(Some(&InetServer { host, port, credentials: credentials.clone(), allow_remote: args.allow_remote }));
    gate.set_socket(credentials);
    if !is_guarded && matches!(&doors, Doors::Port(listeners) if !listeners.iter().all(is_near)) {
        tell("warning: every host that can reach this port can read all tasks: set --username and --password-file");
    }
    let subject = Subject {
        db,
        gate: Arc::new(gate),
        programs: None,
        identifier: watch::channel("supervise web".to_owned()).1,
        acts: args.allow_kill,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| broken(&format!("cannot start the async runtime: {error}")))?;
    let all = if args.allow_kill { "read it and end tasks" } else { "read it" };
    let near = matches!(&doors, Doors::Port(listeners) if listeners.iter().all(is_near));
    let who = if near && !is_guarded { format!(" (every user of this host can {all})") } else { String::new() };
    tell(&format!("the page is at {place}{who}"));
    LocalSet::new().block_on(&runtime, async move {
        let failed = |error: std::io::Error| Failed::Broken(format!("cannot install signal handlers: {error}"));
        let mut ends = vec![];
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            ends.push(signal(kind).map_err(failed)?);
        }
        let site = Site::new(subject);
        let _socket = accept(&site, doors).map_err(|error| Failed::Broken(format!("cannot listen: {error}")))?;
        let [term, int, hup] = &mut ends[..] else { return Ok(()) };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
        site.quiet().await;
        Ok(())
    })
}

fn is_near(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|address| address.ip().is_loopback())
}

/// Opens the listeners. Returns them and their address for the user.
fn open(args: &WebArgs, is_guarded: bool) -> Result<(Doors, String), Failed> {
    match &args.listen {
        Listen::Socket(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let bound = UnixSocket::bind(SocketSpec { path: path.clone(), mode: 0o600, owner: None });
            let bound = bound.map_err(|error| Failed::Broken(error.to_string()))?;
            Ok((Doors::Unix(Box::new(bound)), format!("unix://{}", path.display())))
        }
        Listen::Port { host, port } => {
            let listeners = listener::bind_port(host.as_deref(), *port);
            let listeners = listeners.map_err(|error| Failed::Broken(error.to_string()))?;
            let far = listeners.iter().find(|listener| !is_near(listener));
            if let Some(address) = far.and_then(|listener| listener.local_addr().ok()).filter(|_| !is_guarded) {
                if args.allow_kill {
                    let why = "other hosts could end tasks: set --username and --password-file";
                    return Err(Failed::Refused(format!("cannot listen on {address}: {why}")));
                }
                if !args.allow_remote {
                    let why = "other hosts could read all tasks: set --username and --password-file, or --allow-remote";
                    return Err(Failed::Refused(format!("cannot listen on {address}: {why}")));
                }
            }
            let first = listeners.first().and_then(|listener| listener.local_addr().ok());
            let shown = first.map(|address| format!("http://{address}/")).unwrap_or_default();
            Ok((Doors::Port(listeners), shown))
        }
    }
}

/// Accepts connections. The socket is removed when the returned value is dropped.
fn accept(site: &Rc<Site>, doors: Doors) -> std::io::Result<Option<UnixSocket>> {
    match doors {
        Doors::Unix(bound) => {
            let Bound { listener, socket, .. } = *bound;
            let (site, listener) = (Rc::clone(site), tokio::net::UnixListener::from_std(listener)?);
            tokio::task::spawn_local(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => server::serve(&site, stream, Door::Unix, vec![]),
                        Err(_) => tokio::time::sleep(AGAIN).await,
                    }
                }
            });
            Ok(Some(socket))
        }
        Doors::Port(listeners) => {
            for listener in listeners {
                let (site, listener) = (Rc::clone(site), tokio::net::TcpListener::from_std(listener)?);
                tokio::task::spawn_local(async move {
                    loop {
                        match listener.accept().await {
                            Ok((stream, _)) => {
                                let _ = stream.set_nodelay(true);
                                server::serve(&site, stream, Door::Port, vec![]);
                            }
                            Err(_) => tokio::time::sleep(AGAIN).await,
                        }
                    }
                });
            }
            Ok(None)
        }
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("db", &Path::new(&self.subject.db)).finish_non_exhaustive()
    }
}
