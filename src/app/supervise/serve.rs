//! Clients: each connection is a task of its own that reads requests, hands them to the supervisor, and writes answers. None
//! of them can keep another one, or the supervisor, waiting (NET-4).

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Notify as Wake, mpsc, oneshot},
    time::timeout,
};

use super::{
    requests::{Answer, Followed},
    waiters::Reply,
};
use crate::{
    io::{
        limits::{self, Reserve},
        secret,
    },
    model::{
        config::Config,
        program::{Credentials, InetServer, Password, UnixServer},
        wire::{
            Auth, Code, EventFilter, EventKind, Line, LineReader, MAX_LINE, Notice, Piece, Request, Response,
            Subscriber, WireError,
        },
    },
};

/// A connection on which nothing is said for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// A client that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// Connections at once; one more is told to come back later.
const MOST: usize = 256;
/// Bytes of events that are kept for one that reads slowly.
const BACKLOG: usize = 1 << 20;
/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes of a log in one line.
const PIECE: usize = 64 << 10;

/// Somebody who hears what happens.
struct Listener {
    subscriber: RefCell<Subscriber>,
    wake: Wake,
}

/// What connections share.
pub(super) struct Hub {
    requests: mpsc::UnboundedSender<(Request, Reply)>,
    listeners: RefCell<Vec<std::rc::Weak<Listener>>>,
    connections: RefCell<usize>,
    /// Who may ask on the socket, and on the port; none: everybody who could connect.
    unix: RefCell<Option<Credentials>>,
    inet: RefCell<Option<Credentials>>,
    /// For a client that comes when no descriptor is left (SPAWN-10).
    reserve: RefCell<Reserve>,
}

impl Hub {
    pub(super) fn new(requests: mpsc::UnboundedSender<(Request, Reply)>, config: &Config) -> Rc<Hub> {
        let hub = Hub {
            requests,
            listeners: RefCell::default(),
            connections: RefCell::new(0),
            unix: RefCell::new(None),
            inet: RefCell::new(None),
            reserve: RefCell::default(),
        };
        hub.set_unix(config.unix.as_ref());
        hub.set_inet(config.inet.as_ref());
        Rc::new(hub)
    }

    pub(super) fn set_unix(&self, spec: Option<&UnixServer>) {
        *self.unix.borrow_mut() = spec.and_then(|spec| spec.credentials.clone());
    }

    pub(super) fn set_inet(&self, spec: Option<&InetServer>) {
        *self.inet.borrow_mut() = spec.and_then(|spec| spec.credentials.clone());
    }

    /// Whether one more client can be let in although that just failed.
    pub(super) fn makes_room(&self, error: &io::Error) -> bool {
        limits::is_out_of_files(error) && self.reserve.borrow_mut().give()
    }

    /// Tells all who listen.
    pub(super) fn tell(&self, notice: &Notice, time: i64) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|listener| {
            let Some(listener) = listener.upgrade() else { return false };
            listener.subscriber.borrow_mut().offer(notice, time);
            listener.wake.notify_one();
            true
        });
    }

    fn listen(&self, filter: EventFilter) -> Rc<Listener> {
        let listener =
            Rc::new(Listener { subscriber: RefCell::new(Subscriber::new(filter, BACKLOG)), wake: Wake::new() });
        self.listeners.borrow_mut().push(Rc::downgrade(&listener));
        listener
    }

    /// Whether these are the name and the password.
    fn lets_in(&self, on_port: bool, auth: Option<&Auth>) -> bool {
        let credentials = if on_port { self.inet.borrow() } else { self.unix.borrow() };
        let Some(Credentials { username, password }) = &*credentials else { return true };
        let Some(auth) = auth else { return false };
        let wanted = match password {
            Password::Plain(text) => secret::sha256(text.as_bytes()),
            Password::Sha256(digest) => *digest,
        };
        // Both are looked at whatever the first says, and neither tells by its time how much of it was right.
        let name = secret::same(&secret::sha256(username.as_bytes()), &secret::sha256(auth.username.as_bytes()));
        let word = secret::same(&wanted, &secret::sha256(auth.password.as_bytes()));
        name & word
    }

    async fn ask(&self, request: Request) -> Answer {
        let (send, receive) = oneshot::channel();
        let reply: Reply = Box::new(move |answer| drop(send.send(answer)));
        let ended = || Answer::One(Response::failed(WireError::new(Code::ShuttingDown, "the supervisor has ended")));
        match self.requests.send((request, reply)) {
            Ok(()) => receive.await.unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(hub: Rc<Hub>, mut stream: S, on_port: bool) {
    let count = {
        let mut connections = hub.connections.borrow_mut();
        *connections += 1;
        *connections
    };
    if count > MOST {
        let error = WireError::new(Code::Failed, "too many connections; try again later");
        let _ = write(&mut stream, &Response::failed(error).to_line()).await;
    } else {
        // That a client goes away in the middle is its own affair.
        let _ = talk(&hub, &mut stream, on_port).await;
    }
    drop(stream);
    *hub.connections.borrow_mut() -= 1;
    hub.reserve.borrow_mut().refill();
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> io::Result<()> {
    let bytes = format!("{line}\n");
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    timeout(STUCK, stream.write_all(bytes.as_bytes())).await.map_err(|_| late())??;
    timeout(STUCK, stream.flush()).await.map_err(|_| late())?
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, stream: &mut S, on_port: bool) -> io::Result<()> {
    let mut reader = LineReader::new(MAX_LINE);
    let mut known = false;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let len = match timeout(IDLE, stream.read(&mut buffer)).await {
            Ok(read) => read?,
            Err(_) => return Ok(()),
        };
        let bytes = &buffer[..len];
        let mut lines: Vec<Line> = reader.feed(bytes);
        if len == 0 {
            lines.extend(reader.finish());
        }
        for line in lines {
            let request = match line.request() {
                Ok(request) => request,
                Err(response) => {
                    write(stream, &response.to_line()).await?;
                    continue;
                }
            };
            let id = request.id.clone();
            known = known || hub.lets_in(on_port, request.auth.as_ref());
            if !known {
                let error = WireError::new(Code::Unauthorized, "this supervisor asks for a name and a password");
                write(stream, &Response::failed(error).with_id(id).to_line()).await?;
                continue;
            }
            match hub.ask(request).await {
                Answer::One(response) => write(stream, &response.with_id(id).to_line()).await?,
                Answer::Follow(response, logs) => {
                    write(stream, &response.with_id(id).to_line()).await?;
                    return follow(hub, stream, logs, None).await;
                }
                Answer::Attach(response, logs, name) => {
                    let is_good = response.is_good();
                    write(stream, &response.with_id(id).to_line()).await?;
                    if is_good {
                        return follow(hub, stream, logs, Some(name)).await;
                    }
                }
                Answer::Listen(response, filter) => {
                    let listener = hub.listen(filter);
                    write(stream, &response.with_id(id).to_line()).await?;
                    return listen(stream, &listener).await;
                }
            }
        }
        if len == 0 {
            return Ok(());
        }
    }
}

/// Waits until the client says something, or goes away.
async fn goes_away<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut byte = [0; 256];
    // What it says meanwhile is nothing that it could want now.
    while let Ok(1..) = stream.read(&mut byte).await {}
}

async fn listen<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, listener: &Listener) -> io::Result<()> {
    loop {
        loop {
            let line = listener.subscriber.borrow_mut().take();
            let Some(line) = line else { break };
            write(stream, &line).await?;
        }
        tokio::select! {
            () = listener.wake.notified() => {}
            () = goes_away(stream) => return Ok(()),
        }
    }
}

/// Writes what is added to logs, until the client goes away, or, if a process is named, until that is down.
async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    stream: &mut S,
    mut logs: Vec<Followed>,
    until: Option<String>,
) -> io::Result<()> {
    let states = hub.listen(EventFilter::of([EventKind::State.as_str()]).unwrap_or_default());
    let mut last = None;
    loop {
        for log in &mut logs {
            while let Some((bytes, from)) = read_more(log) {
                let piece = Piece { data: bytes, offset: Some(from), channel: log.channel };
                write(stream, &Value::Object(piece.to_map()).to_string()).await?;
            }
        }
        if let Some(how) = last {
            return write(stream, &json!({ "ended": how }).to_string()).await;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = states.wake.notified(), if until.is_some() => {}
            () = goes_away(stream) => return Ok(()),
        }
        while let Some(text) = states.subscriber.borrow_mut().take() {
            let event: Value = serde_json::from_str(&text).unwrap_or_default();
            if until.as_deref().is_some_and(|name| event["name"] == name) {
                let is_down = event["to"].as_str().and_then(|word| word.parse().ok());
                if is_down.is_some_and(crate::model::program::ProcState::is_down) {
                    last = Some(how_ended(&event));
                }
            }
        }
    }
}

fn how_ended(event: &Value) -> String {
    match (event["exit_code"].as_i64(), event["exit_signal"].as_str()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by {signal}"),
        (None, None) => event["to"].as_str().unwrap_or_default().to_lowercase(),
    }
}

/// What was added to a log since it was last looked at, and from where on; none: nothing.
fn read_more(log: &mut Followed) -> Option<(Vec<u8>, u64)> {
    // What is in the file that is being read comes first, wherever that was moved to; then the one in its place.
    if let Some(more) = read_on(log) {
        return Some(more);
    }
    let there = std::fs::metadata(&log.path).ok()?;
    let here = log.file.as_ref().and_then(|file| file.metadata().ok());
    if here.is_some_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino())) {
        return None;
    }
    if log.file.replace(File::open(&log.path).ok()?).is_some() {
        log.offset = 0;
    }
    read_on(log)
}

fn read_on(log: &mut Followed) -> Option<(Vec<u8>, u64)> {
    let file = log.file.as_mut()?;
    let size = file.metadata().ok()?.len();
    if size < log.offset {
        // It was cleared.
        log.offset = 0;
    }
    if size == log.offset {
        return None;
    }
    file.seek(io::SeekFrom::Start(log.offset)).ok()?;
    let mut bytes = vec![0; PIECE];
    let len = file.read(&mut bytes).ok()?;
    bytes.truncate(len);
    let from = log.offset;
    log.offset += len as u64;
    (len > 0).then_some((bytes, from))
}
