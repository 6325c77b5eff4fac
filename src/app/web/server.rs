//! Connections: what is read and written on them, how much of it, and how long that may take (NET-4, WEB-7, WEB-10).

use std::{
    convert::Infallible,
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{
    body::{self, Bytes, Frame, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::{mpsc, watch},
    time::{Sleep, sleep},
};

use super::{HttpConnection, Site, access::Door, routes};
use crate::io::limits;

/// Bytes of the head of a request.
const HEAD: usize = 16 << 10;
/// Lines of it.
const HEADERS: usize = 100;
/// How long it may take to come, and how long a connection is kept on which none comes.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A client that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// How long what a client still sends is taken when it was answered for the last time.
const LINGER: Duration = Duration::from_secs(1);
/// Connections at once; one more is told to come back later. Each live page is one.
const MOST: usize = 512;
/// An answer of so many bytes is large.
const SMALL: usize = 64 << 10;
/// Bytes of large answers that wait for their clients, at most: then no further one is made.
const ON_THE_WAY: usize = 32 << 20;
/// What one is told that cannot be answered just now.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

/// Whether the other side has closed.
pub(super) type PeerClosed = watch::Receiver<bool>;

/// What an answer holds.
pub(super) enum Body {
    /// All of it.
    Whole(Bytes),
    /// What comes, until nothing comes any more.
    Stream(mpsc::Receiver<Bytes>),
}

impl body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Body::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Body::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Body::Stream(receiver) => receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}

/// Answers that are on their way to their clients, in bytes, all together.
#[derive(Clone, Default)]
pub(super) struct OnTheWay(Arc<AtomicUsize>);

/// One of them.
struct Large {
    bytes: Bytes,
    all: OnTheWay,
}

impl OnTheWay {
    /// Counts a large answer until it is gone; none: there are too many that nobody takes.
    pub(super) fn count(&self, body: Body) -> Option<Body> {
        match body {
            Body::Whole(bytes) if bytes.len() > SMALL => {
                let before = self.0.fetch_add(bytes.len(), Ordering::Relaxed);
                let fits = before < ON_THE_WAY;
                let large = Large { bytes, all: self.clone() };
                fits.then(|| Body::Whole(Bytes::from_owner(large)))
            }
            small => Some(small),
        }
    }
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Serves one that was handed over.
pub(super) fn begin(site: &Rc<Site>, stream: HttpConnection, first: Vec<u8>) {
    match stream {
        HttpConnection::Unix(stream) => {
            if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                serve(site, stream, Door::Unix, first);
            }
        }
        HttpConnection::Port(stream) => {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                serve(site, stream, Door::Port, first);
            }
        }
    }
}

/// Serves a connection to its end, beside all others.
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    site: &Rc<Site>,
    mut stream: S,
    door: Door,
    first: Vec<u8>,
) {
    let site = Rc::clone(site);
    tokio::task::spawn_local(async move {
        site.connections.set(site.connections.get() + 1);
        // Programs and their logs need files too.
        let most = MOST.min(usize::try_from(limits::files() / 2).unwrap_or(MOST));
        match site.connections.get() > most {
            true => turn_away(&mut stream).await,
            false => {
                talk(&site, &mut stream, door, first).await;
                linger(&mut stream).await;
            }
        }
        site.connections.set(site.connections.get() - 1);
    });
}

/// Tells a client of HTTP to come back later, whatever it asks for, and lets go of it.
pub async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let _ = tokio::time::timeout(HEAD_TIME, stream.write_all(FULL)).await;
    linger(stream).await;
}

/// Lets go of a connection. What was answered would be lost with what still comes, if that were not taken; so it is, but
/// not for long.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let _ = tokio::time::timeout(LINGER, async {
        stream.shutdown().await?;
        let mut buffer = vec![0; HEAD];
        while let 1.. = stream.read(&mut buffer).await? {}
        Ok::<_, io::Error>(())
    })
    .await;
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(site: &Rc<Site>, stream: &mut S, door: Door, first: Vec<u8>) {
    let (leave, left) = watch::channel(false);
    let wire = Wire { stream, first, leave, stuck: None };
    let peer = left.clone();
    let service = service_fn(move |request| {
        let (site, left) = (Rc::clone(site), peer.clone());
        async move {
            let _busy = Busy::new(&site);
            Ok::<_, Infallible>(routes::answer(&site, door, left, request).await)
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    builder.max_header_size(HEAD).max_buf_size(HEAD).max_headers(HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
    let mut left = left;
    let gone = tokio::select! {
        // That a client goes away in the middle, or speaks something else, is its own affair.
        _ = connection.as_mut() => false,
        _ = left.wait_for(|left| *left) => true,
    };
    if gone {
        // What it asked for before it closed its side is still answered.
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// A request that is being answered, or whose client goes away before it is.
struct Busy<'a>(&'a Site);

impl<'a> Busy<'a> {
    fn new(site: &'a Site) -> Busy<'a> {
        site.busy.send_modify(|busy| *busy += 1);
        Busy(site)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy = busy.saturating_sub(1));
    }
}

/// A connection as hyper sees it. What was read before comes first. That the other side has closed is said besides, and
/// not as an end of what is read: an answer is given all the same, and what would never end is ended. A client that
/// takes nothing is an error after a while.
struct Wire<S> {
    stream: S,
    first: Vec<u8>,
    leave: watch::Sender<bool>,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    /// What came of a write; an error if none was possible for too long.
    fn unless_stuck(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if done.is_ready() {
            self.stuck = None;
            return done;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let len = self.first.len().min(to.remaining());
            to.put_slice(self.first.get(..len).unwrap_or_default());
            self.first.drain(..len);
            return Poll::Ready(Ok(()));
        }
        let before = to.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, to))?;
        if to.filled().len() > before || to.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.leave.send_replace(true);
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stuck(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.unless_stuck(cx, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
