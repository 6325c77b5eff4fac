//! The page: what runs and what ran, in a browser, and the same for programs.
//!
//! Everything that comes over HTTP is answered on a thread of its own with a runtime of its own, which begins when the
//! first one comes: whoever is slow or hostile there delays no supervisor. What is to be known of programs, and done with
//! them, is asked of the supervisor as any other client would; what is to be known of tasks is read from the database on
//! further threads (`data`). Nothing is done while nobody looks.
//!
//! hyper reads and writes HTTP; there is no framework above it, as every path goes through one guard and one `match`
//! (`routes`).

pub mod access;
mod data;
mod live;
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
    server::OnTheWay,
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

/// How long the last answers may take to be on their way when the supervisor ends.
const LEAVING: Duration = Duration::from_millis(500);
/// A listener that cannot accept just now (no descriptors are left) is tried again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// What people are told of is remembered for the pages that are to show it.
const NOTES: usize = 64;

/// What a supervisor answers: what it says, and the logs that are to be followed then.
pub type SupervisorAnswer = (Response, Vec<Growing>);

/// A supervisor, to be asked.
pub trait Programs: Send + Sync {
    /// Asks; the answer may come from another thread.
    fn ask(&self, request: Request, reply: Box<dyn FnOnce(SupervisorAnswer) + Send>);
    /// Changes whenever the state of a process does.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What the page is of.
#[derive(Clone)]
pub struct Subject {
    /// The database.
    pub db: PathBuf,
    /// Who is let in.
    pub gate: Arc<AccessRules>,
    /// Who keeps programs running; none: there are only tasks.
    pub programs: Option<Arc<dyn Programs>>,
    /// What it is called; a reload may change that.
    pub identifier: watch::Receiver<String>,
    /// Whether something may be done from the page.
    pub acts: bool,
}

/// A connection on which HTTP is spoken.
pub enum HttpConnection {
    /// Through the socket.
    Unix(UnixStream),
    /// Through the port.
    Port(TcpStream),
}

/// One that is handed over, with what was read of it.
struct HandedConnection {
    stream: HttpConnection,
    first: Vec<u8>,
}

/// The way to the thread that answers; it begins with the first connection.
pub struct Web {
    subject: Subject,
    /// The thread, once it is there: where to hand over, and where it says that it has ended.
    thread: Mutex<Option<(mpsc::UnboundedSender<HandedConnection>, wait::Receiver<()>)>>,
}

impl Web {
    /// Nothing is done yet.
    pub fn new(subject: Subject) -> Web {
        Web { subject, thread: Mutex::new(None) }
    }

    /// Whether connections can be served. Where there is no room for the thread that does so, a later one may be.
    pub fn is_ready(&self) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.as_ref().is_none_or(|(inbox, _)| inbox.is_closed()) {
            *thread = begin(self.subject.clone()).ok();
        }
        thread.is_some()
    }

    /// Serves a connection, which does not wait, to its end; `first` was read of it already. To be called when it is ready;
    /// else the connection is closed.
    pub fn serve(&self, stream: HttpConnection, first: Vec<u8>) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((inbox, _)) = &*thread {
            let _ = inbox.send(HandedConnection { stream, first });
        }
    }

    /// Ends; waits a little for answers that are on their way.
    pub fn end(&self) {
        if let Some((inbox, ended)) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(inbox);
            let _ = ended.recv_timeout(LEAVING);
        }
    }
}

/// Starts the thread that answers.
///
/// # Errors
/// There is no room for a thread, or no descriptor for its runtime.
fn begin(subject: Subject) -> std::io::Result<(mpsc::UnboundedSender<HandedConnection>, wait::Receiver<()>)> {
    let (inbox, mut handed) = mpsc::unbounded_channel::<HandedConnection>();
    let (done, ended) = wait::channel();
    // Where no thread can be made the runtime must not end here, inside of another one, as it usually does.
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

/// What all connections share.
struct Site {
    subject: Subject,
    data: Data,
    live: Live,
    /// This machine, as people call it.
    host: String,
    /// All names of it.
    names: Vec<String>,
    /// What a form must bring along; none: nothing may be done.
    token: Option<String>,
    connections: Cell<usize>,
    on_the_way: OnTheWay,
    /// Requests that are being answered.
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
            // Without one nothing can be done, which harms nobody.
            token: subject.acts.then(|| secret::token().ok()).flatten(),
            connections: Cell::new(0),
            on_the_way: OnTheWay::default(),
            busy: watch::Sender::new(0),
            notes: RefCell::default(),
            subject,
        })
    }

    /// Waits until no request is being answered, but not for long.
    async fn quiet(&self) {
        let mut busy = self.busy.subscribe();
        let _ = tokio::time::timeout(LEAVING / 2, busy.wait_for(|count| *count == 0)).await;
        // What was answered is written.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    /// Remembers what the next page is to tell; gives the name by which it is found. The text itself is never part of an
    /// address: else anybody could write one that puts words on our page.
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

/// The program `supervise web`: serves the tasks of a database until SIGTERM, SIGINT or SIGHUP; gives the exit code. `tell`
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
    /// It is not to be done.
    Refused(String),
    /// It cannot.
    Broken(String),
}

/// Where clients of `supervise web` come in.
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
        // These pass by themselves, or by what others do meanwhile.
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

/// Opens what is listened on; gives it with its address for people.
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

/// Accepts connections; the socket is there as long as what this gives.
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
