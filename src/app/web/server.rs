//! Connections: limits of size and time for reading and writing.

use std::{
    convert::Infallible,
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::{Sleep, sleep},
};

use super::{HttpConnection, Site, access::Door, routes};
use crate::io::limits;

/// Maximum size of the head of a request, in bytes.
const HEAD: usize = 16 << 10;
/// Maximum number of header lines.
const HEADERS: usize = 100;
/// Time limit for the head of a request, and for an idle connection.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A client that reads nothing for this long is disconnected.
const STUCK: Duration = Duration::from_secs(30);
/// Time for which data of a client is still read after the last response.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum number of connections; further ones get 503. Each live page is one.
const MOST: usize = 512;
/// The response to a connection over the limit.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

/// Serves a connection that was handed over.
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

/// Serves a connection to its end, concurrently with others.
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    site: &Rc<Site>,
    mut stream: S,
    door: Door,
    first: Vec<u8>,
) {
    let site = Rc::clone(site);
    tokio::task::spawn_local(async move {
        site.connections.set(site.connections.get() + 1);
        // Leaves descriptors for programs and their logs.
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

/// Responds 503 to an HTTP client and closes the connection.
pub async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let _ = tokio::time::timeout(HEAD_TIME, stream.write_all(FULL)).await;
    linger(stream).await;
}

/// Closes a connection. Unread data of the client would destroy the response, so it is read for a short time.
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
        // Errors of a client are ignored.
        _ = connection.as_mut() => false,
        _ = left.wait_for(|left| *left) => true,
    };
    if gone {
        // Earlier requests still get a response.
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Counts a request while it is handled, even if its client goes away.
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

/// A connection for hyper. Bytes that were already read come first. When the client closes its side, this is reported
/// separately instead of as an end of the data, so that a pending response is still sent and endless ones are stopped.
/// A client that reads nothing for a while is an error.
struct Wire<S> {
    stream: S,
    first: Vec<u8>,
    leave: watch::Sender<bool>,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    /// Returns the result of a write, or an error if no write was possible for too long.
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
