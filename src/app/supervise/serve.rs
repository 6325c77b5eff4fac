//! Clients: each connection is a task of the runtime that reads requests, passes them to the
//! supervisor, and writes answers. No client can block another one or the supervisor.

use std::{
    cell::{Cell, RefCell},
    io,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Notify as Wake, mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    answer::{Asked, Followed, Reply, RequestAnswer},
    logs::{Appended, Readers, more},
};
use crate::{
    app::web::{
        HttpConnection, Programs, Subject, SupervisorAnswer, Web,
        access::{AccessRules, Door},
        turn_away,
    },
    io::{
        limits::{self, Reserve},
        sys,
    },
    model::{
        config::Config,
        program::ProcState,
        wire::{
            Channel, Code, Command, EventFilter, EventKind, LineReader, MAX_LINE, Notice, Request, Response,
            SUPERVISOR_ENDED, Subscriber, WireError, WireLine,
        },
    },
};

/// Timeouts of silent connections.
#[derive(Clone, Copy)]
struct IdleTimeouts {
    /// A connection that is silent for this long is closed.
    idle: Duration,
    /// The same for the first request on a port, which is open to strangers: they must not use up
    /// the connections of others.
    first: Duration,
}

impl IdleTimeouts {
    const USUAL: IdleTimeouts = IdleTimeouts { idle: Duration::from_secs(600), first: Duration::from_secs(10) };
}

/// A client that reads nothing for this long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// Connections at once of each kind, without HTTP ones; one more is refused.
const MOST: usize = 256;
/// How long the first request on a connection beyond that is waited for.
const FULL: Duration = Duration::from_secs(1);
/// Bytes per read.
const BLOCK: usize = 16 << 10;
/// Bytes of events that are kept for a slow client.
const BACKLOG: usize = 1 << 20;
/// The last line for waiting clients when the supervisor has ended.
const OVER: &str = SUPERVISOR_ENDED;
/// The last line of a followed log when its process was removed.
const REMOVED: &str = "the process was removed";
/// Turns that connections get after the end: each writes a line or two, and many write in the same
/// turn.
const LAST_WORDS: u32 = 32;
/// Longest wait at the end for reads of followed logs: each client gets what was appended, and the last line.
const LAST_READS: Duration = Duration::from_secs(1);
/// Interval of checking whether these are done.
const LAST_LOOK: Duration = Duration::from_millis(1);
/// Interval of reading a followed log.
const LOOK: Duration = Duration::from_millis(200);

/// A subscriber to events.
struct Listener {
    subscriber: RefCell<Subscriber>,
    wake: Wake,
}

/// The state shared by all connections.
pub(super) struct Hub {
    requests: mpsc::UnboundedSender<Asked>,
    listeners: RefCell<Vec<std::rc::Weak<Listener>>>,
    /// Number of connections on the socket and on the port, which do not compete with each other.
    connections: [Cell<usize>; 2],
    timeouts: IdleTimeouts,
    gate: Arc<AccessRules>,
    web: Web,
    /// Counts the events that are relevant for web pages.
    changes: watch::Sender<u64>,
    /// For a client that connects when no descriptor is left.
    reserve: RefCell<Reserve>,
    identifier: watch::Sender<String>,
    /// Whether the supervisor has ended, for clients that wait for that.
    over: watch::Sender<bool>,
    /// Threads that read followed logs.
    readers: Readers,
    /// Number of clients for which a followed log is being read.
    reading: Cell<usize>,
}

/// A read of a followed log for a client, until what was read is written.
struct Reading<'h>(&'h Cell<usize>);

impl<'h> Reading<'h> {
    fn new(count: &'h Cell<usize>) -> Reading<'h> {
        count.set(count.get() + 1);
        Reading(count)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The supervisor, as used by web pages.
struct PageLink {
    requests: mpsc::UnboundedSender<Asked>,
    changes: watch::Sender<u64>,
}

impl Programs for PageLink {
    fn ask(&self, request: Request, reply: Box<dyn FnOnce(SupervisorAnswer) + Send>) {
        let give: Reply = Box::new(move |answer| {
            reply(match answer {
                RequestAnswer::One(response) | RequestAnswer::Listen(response, _) => (response, vec![]),
                RequestAnswer::Follow(response, logs) | RequestAnswer::Attach(response, logs, _) => {
                    (response, logs.into_iter().map(|log| log.file).collect())
                }
            });
        });
        // On failure the reply is dropped, which reports that the supervisor has ended.
        let _ = self.requests.send(Asked { request, reply: give, from: "a page".to_owned() });
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl Hub {
    pub(super) fn new(
        requests: mpsc::UnboundedSender<Asked>,
        config: &Config,
        db: PathBuf,
        readers: Readers,
    ) -> Rc<Hub> {
        let gate = Arc::new(AccessRules::default());
        let changes = watch::Sender::new(0);
        let identifier = watch::Sender::new(config.server.identifier.clone());
        let desk = PageLink { requests: requests.clone(), changes: changes.clone() };
        let subject = Subject {
            db,
            gate: Arc::clone(&gate),
            programs: Some(Arc::new(desk)),
            identifier: identifier.subscribe(),
            acts: true,
        };
        gate.set_unix(config.unix.as_ref());
        gate.set_port(config.inet.as_ref());
        Rc::new(Hub {
            requests,
            listeners: RefCell::default(),
            connections: Default::default(),
            timeouts: IdleTimeouts::USUAL,
            gate,
            web: Web::new(subject),
            changes,
            reserve: RefCell::default(),
            identifier,
            over: watch::Sender::new(false),
            readers,
            reading: Cell::default(),
        })
    }

    /// Sends a last line to the clients that requested the end, and to those that follow something.
    /// A client that does not get this line knows that its supervisor died.
    pub(super) async fn end(&self) {
        self.over.send_replace(true);
        // Time to write the last answers.
        for _ in 0..LAST_WORDS {
            tokio::task::yield_now().await;
        }
        let last_reads = async {
            while self.reading.get() > 0 {
                tokio::time::sleep(LAST_LOOK).await;
            }
        };
        let _ = timeout(LAST_READS, last_reads).await;
    }

    /// Returns the access rules.
    pub(super) fn gate(&self) -> &AccessRules {
        &self.gate
    }

    /// Changes the name of the supervisor.
    pub(super) fn set_identifier(&self, identifier: &str) {
        self.identifier.send_replace(identifier.to_owned());
    }

    /// Ends the web server; current answers may still be sent.
    pub(super) fn end_web(&self) {
        self.web.end();
    }

    /// Frees the reserve descriptor for one more client, if accepting failed because no descriptor
    /// is left.
    pub(super) fn makes_room(&self, error: &io::Error) -> bool {
        limits::is_out_of_files(error) && self.reserve.borrow_mut().give()
    }

    /// Notifies all subscribers.
    pub(super) fn notify(&self, notice: &Notice, time: i64) {
        if notice.kind() != EventKind::Tick {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
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

    async fn ask(&self, request: Request, from: String) -> RequestAnswer {
        let (send, receive) = oneshot::channel();
        let reply: Reply = Box::new(move |answer| drop(send.send(answer)));
        let ended =
            || RequestAnswer::One(Response::failed(WireError::new(Code::ShuttingDown, "the supervisor has ended")));
        match self.requests.send(Asked { request, reply, from }) {
            Ok(()) => receive.await.unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }
}

/// A connection of either kind.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin {
    /// The kind of the connection.
    const DOOR: Door;

    /// Describes the client, for the log.
    fn peer(&self) -> String;

    /// Converts the connection for another thread.
    ///
    /// # Errors
    /// Those of fcntl(2).
    fn hand_over(self) -> io::Result<HttpConnection>;
}

impl Connection for tokio::net::UnixStream {
    const DOOR: Door = Door::Unix;

    fn peer(&self) -> String {
        self.peer_cred().map_or_else(
            |_| "a client of the socket".to_owned(),
            |who| format!("user {} (pid {})", who.uid(), who.pid().unwrap_or_default()),
        )
    }

    fn hand_over(self) -> io::Result<HttpConnection> {
        self.into_std().map(HttpConnection::Unix)
    }
}

impl Connection for tokio::net::TcpStream {
    const DOOR: Door = Door::Port;

    fn peer(&self) -> String {
        self.peer_addr().map_or_else(|_| "a client of the port".to_owned(), |address| address.to_string())
    }

    fn hand_over(self) -> io::Result<HttpConnection> {
        self.into_std().map(HttpConnection::Port)
    }
}

/// Serves one connection to its end. Its first byte decides the protocol: an HTTP method begins
/// with a capital letter, and a request of taskwatcher with a brace. Anything else is answered with
/// an error in taskwatcher's protocol, and the connection is closed.
pub(super) async fn serve<S: Connection>(hub: Rc<Hub>, stream: S) {
    let count = &hub.connections[usize::from(S::DOOR == Door::Port)];
    count.set(count.get() + 1);
    converse(&hub, stream, count.get() > MOST).await;
    count.set(count.get() - 1);
    hub.reserve.borrow_mut().refill();
}

async fn converse<S: Connection>(hub: &Hub, mut stream: S, is_full: bool) {
    // A connection beyond the limit is refused in its own protocol.
    let timeouts = if is_full { IdleTimeouts { first: FULL, idle: FULL } } else { hub.timeouts };
    let first = first_bytes(timeouts, &mut stream).await;
    let is_http = first.as_ref().is_some_and(|first| first.first().is_some_and(u8::is_ascii_uppercase));
    match first {
        Some(_) if is_http && (is_full || !hub.web.is_ready()) => turn_away(&mut stream).await,
        Some(first) if is_http => {
            if let Ok(stream) = stream.hand_over() {
                hub.web.serve(stream, first);
            }
        }
        Some(_) | None if is_full => {
            let error = WireError::new(Code::Failed, "too many connections; try again later");
            let _ = write(&mut stream, &Response::failed(error).to_line()).await;
        }
        // A client that disconnects in the middle is not an error.
        Some(first) => drop(talk(hub, &mut stream, &first).await),
        None => {}
    }
}

/// Returns the first bytes of a client without leading blanks; `None` if it sends nothing.
async fn first_bytes<S: Connection>(timeouts: IdleTimeouts, stream: &mut S) -> Option<Vec<u8>> {
    let limit = if S::DOOR == Door::Port { timeouts.first } else { timeouts.idle };
    let mut buffer = vec![0; BLOCK];
    let word = async {
        loop {
            let len = stream.read(&mut buffer).await.ok()?;
            let bytes = buffer.get(..len).filter(|bytes| !bytes.is_empty())?;
            if let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
                return Some(bytes.get(at..)?.to_vec());
            }
        }
    };
    timeout(limit, word).await.ok()?
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> io::Result<()> {
    let bytes = format!("{line}\n");
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    timeout(STUCK, stream.write_all(bytes.as_bytes())).await.map_err(|_| late())??;
    timeout(STUCK, stream.flush()).await.map_err(|_| late())?
}

async fn talk<S: Connection>(hub: &Hub, stream: &mut S, first: &[u8]) -> io::Result<()> {
    let mut reader = LineReader::new(MAX_LINE);
    let mut known = false;
    // Strangers without a complete request must not use up the connections of others for long.
    let mut has_asked = S::DOOR != Door::Port;
    let until = sys::now().mono.saturating_add(hub.timeouts.first);
    let mut lines: Vec<WireLine> = reader.feed(first);
    let mut buffer = vec![0; BLOCK];
    let mut len = first.len();
    let mut over = hub.over.subscribe();
    let mut waits = false;
    loop {
        for line in lines {
            let request = match line.request() {
                Ok(request) => request,
                Err(response) => {
                    write(stream, &response.to_line()).await?;
                    if S::DOOR == Door::Port {
                        // Other first bytes (a TLS greeting, HTTP in small letters) do not come
                        // from a client of taskwatcher, and the following lines may have been
                        // injected by a web page.
                        return Ok(());
                    }
                    continue;
                }
            };
            has_asked = true;
            let id = request.id.clone();
            known = known || hub.gate.lets_in(S::DOOR, request.auth.as_ref());
            if !known {
                let why = match request.auth {
                    None => "this supervisor requires a name and a password",
                    Some(_) => "wrong name or password",
                };
                let error = WireError::new(Code::Unauthorized, why);
                write(stream, &Response::failed(error).with_id(id).to_line()).await?;
                continue;
            }
            waits |= matches!(request.command, Command::Shutdown { .. });
            match hub.ask(request, stream.peer()).await {
                RequestAnswer::One(response) => write(stream, &response.with_id(id).to_line()).await?,
                RequestAnswer::Follow(response, logs) => {
                    write(stream, &response.with_id(id).to_line()).await?;
                    return follow(hub, stream, logs, None).await;
                }
                RequestAnswer::Attach(response, logs, name) => {
                    let is_good = response.is_good();
                    write(stream, &response.with_id(id).to_line()).await?;
                    if is_good {
                        return follow(hub, stream, logs, Some(name)).await;
                    }
                }
                RequestAnswer::Listen(response, filter) => {
                    let listener = hub.listen(filter);
                    write(stream, &response.with_id(id).to_line()).await?;
                    return listen(hub, stream, &listener).await;
                }
            }
        }
        if len == 0 {
            return Ok(());
        }
        let idle = hub.timeouts.idle;
        let left = if has_asked { idle } else { idle.min(until.saturating_sub(sys::now().mono)) };
        len = tokio::select! {
            read = timeout(left, stream.read(&mut buffer)) => match read {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            },
            _ = over.wait_for(|over| *over), if waits => return write(stream, &ended(OVER)).await,
        };
        lines = reader.feed(buffer.get(..len).unwrap_or_default());
        if len == 0 {
            lines.extend(reader.finish());
        }
    }
}

/// Waits until the client disconnects.
async fn goes_away<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut byte = [0; 256];
    // Anything that the client sends meanwhile is ignored.
    while let Ok(1..) = stream.read(&mut byte).await {}
}

/// Returns the last line of a subscription, with the reason.
fn ended(how: &str) -> String {
    json!({ "ended": how }).to_string()
}

async fn listen<S: AsyncRead + AsyncWrite + Unpin>(hub: &Hub, stream: &mut S, listener: &Listener) -> io::Result<()> {
    let mut over = hub.over.subscribe();
    let mut is_over = false;
    loop {
        loop {
            let line = listener.subscriber.borrow_mut().take();
            let Some(line) = line else { break };
            write(stream, &line).await?;
        }
        if is_over {
            return write(stream, &ended(OVER)).await;
        }
        tokio::select! {
            _ = over.wait_for(|over| *over) => is_over = true,
            () = listener.wake.notified() => {}
            () = goes_away(stream) => return Ok(()),
        }
    }
}

/// Writes what is appended to logs until the client disconnects, or until the run of the process
/// `until` has ended.
async fn follow<S: AsyncRead + AsyncWrite + Unpin>(
    hub: &Hub,
    stream: &mut S,
    mut logs: Vec<Followed>,
    until: Option<String>,
) -> io::Result<()> {
    let states = hub.listen(EventFilter::of([EventKind::State.as_str()]).unwrap_or_default());
    let mut over = hub.over.subscribe();
    let mut last: Option<String> = None;
    loop {
        let reading = Reading::new(&hub.reading);
        // Checked before the last read.
        if last.is_none() && !logs.is_empty() && logs.iter().all(|log| log.file.is_over()) {
            last = Some(if *over.borrow() { OVER } else { REMOVED }.to_owned());
        }
        loop {
            let read = hub.readers.ask(move || (more(&mut logs), logs));
            let appended = tokio::select! {
                read = read => match read {
                    Some((appended, back)) => {
                        logs = back;
                        appended
                    }
                    None => return Ok(()),
                },
                () = goes_away(stream) => return Ok(()),
            };
            if appended.is_empty() {
                break;
            }
            for Appended { piece, skipped } in appended {
                if skipped {
                    let channel = piece.channel.map(Channel::as_str);
                    write(stream, &json!({ "skipped": true, "channel": channel }).to_string()).await?;
                }
                write(stream, &Value::Object(piece.to_map()).to_string()).await?;
            }
        }
        if let Some(how) = &last {
            return write(stream, &ended(how)).await;
        }
        drop(reading);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            // The output of a process continues without the supervisor.
            _ = over.wait_for(|over| *over), if until.is_none() => last = Some(OVER.to_owned()),
            () = states.wake.notified(), if until.is_some() => {}
            () = goes_away(stream) => return Ok(()),
        }
        while let Some(text) = states.subscriber.borrow_mut().take() {
            let event: Value = serde_json::from_str(&text).unwrap_or_default();
            if until.as_deref().is_some_and(|name| event["name"] == name) {
                let to = event["to"].as_str().and_then(|word| word.parse().ok());
                // A process that waits for its next start has ended too.
                if to.is_some_and(|state: ProcState| !state.is_live()) {
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

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use super::{super::load, *};
    use crate::model::config::Overrides;

    /// Returns what a client that sends this text reads until the supervisor closes the connection.
    fn heard(timeouts: IdleTimeouts, door: Door, says: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        std::fs::write(&file, "").unwrap();
        let place = load::Where { file, found: false, start_dir: folder.path().to_owned() };
        let (config, _) = load::load(&place, &Overrides::default()).unwrap();
        let (requests, _asked) = mpsc::unbounded_channel();
        let mut hub = Hub::new(requests, &config, folder.path().join("t.db"), Readers::new());
        Rc::get_mut(&mut hub).unwrap().timeouts = timeouts;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            match door {
                Door::Unix => {
                    let (client, server) = UnixStream::pair().unwrap();
                    tokio::join!(ends(client, says), serve(hub, server)).0
                }
                Door::Port => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                    let (server, _) = listener.accept().await.unwrap();
                    tokio::join!(ends(client, says), serve(hub, server)).0
                }
            }
        })
    }

    async fn ends(mut stream: impl AsyncRead + AsyncWrite + Unpin, says: &str) -> String {
        stream.write_all(says.as_bytes()).await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    #[test]
    fn silent_connections_are_closed() {
        let (soon, never) = (Duration::from_millis(50), Duration::from_secs(30));
        let idle = IdleTimeouts { idle: soon, first: never };
        assert_eq!(heard(idle, Door::Unix, ""), "");
        assert!(heard(idle, Door::Unix, "no request\n").contains("\"status\":400"));
        assert!(heard(idle, Door::Port, "no request\n").contains("\"status\":400"));
        // Half a request does not extend the timeout.
        let soon_first = IdleTimeouts { idle: never, first: soon };
        assert_eq!(heard(soon_first, Door::Port, "{"), "");
        // Lines after an invalid first one are not handled.
        let after = |first: &str| heard(idle, Door::Port, &format!("{first}\n{{\"command\":\"version\"}}\n"));
        for first in ["\u{16}\u{3}\u{1}\0@junk", "get / HTTP/1.1", "\u{e9}"] {
            let heard = after(first);
            assert!(heard.contains("\"status\":400") && heard.lines().count() == 1, "{heard}");
        }
        // Strangers have less time for their first request.
        assert_eq!(heard(IdleTimeouts { idle: never, first: soon }, Door::Port, " "), "");
        assert_eq!(IdleTimeouts::USUAL.idle, Duration::from_secs(600));
    }
}
