//! Responses: their bodies, their errors, and a limit on what waits for slow clients.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use hyper::{
    Response as Answer, StatusCode,
    body::{self, Bytes, Frame, SizeHint},
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::data::DataError;
use crate::model::{
    error::ErrorKind,
    wire::{Code, Response, WireError},
};

pub(super) type Reply = Answer<Body>;

/// Returns a status by its number.
pub(super) fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Why a request failed.
pub(super) struct PageError {
    pub status: StatusCode,
    /// The code of the protocol, for programs.
    pub code: Code,
    /// The methods that the path takes, where the method of the request is not one of them.
    pub allow: Option<&'static str>,
    /// The reason.
    pub what: String,
}

impl PageError {
    pub(super) fn new(kind: ErrorKind, what: impl Into<String>) -> PageError {
        let status = status_of(kind.http_status());
        PageError { status, code: Code::of(kind), allow: None, what: what.into() }
    }

    pub(super) fn missing(what: impl Into<String>) -> PageError {
        PageError::new(ErrorKind::NotFound, what)
    }

    pub(super) fn method(allow: &'static str, what: &str) -> PageError {
        PageError { allow: Some(allow), ..PageError::new(ErrorKind::Method, what) }
    }
}

impl From<DataError> for PageError {
    fn from(error: DataError) -> PageError {
        PageError::new(error.kind(), error.to_string())
    }
}

impl From<&Response> for PageError {
    fn from(response: &Response) -> PageError {
        let status = status_of(response.status);
        let (code, what) = match &response.error {
            None => (Code::Failed, String::new()),
            Some(WireError { code, message, name: None, .. }) => (*code, message.clone()),
            Some(WireError { code, message, name: Some(name), .. }) => (*code, format!("{name}: {message}")),
        };
        PageError { status, code, allow: None, what }
    }
}

pub(super) fn reply(status: StatusCode, kind: &'static str, body: Body) -> Reply {
    let mut reply = Answer::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

pub(super) fn page(status: StatusCode, html: String) -> Reply {
    reply(status, "text/html; charset=utf-8", Body::Whole(html.into()))
}

pub(super) fn of_json(status: StatusCode, line: &str) -> Reply {
    reply(status, "application/json", Body::Whole(Bytes::from(format!("{line}\n"))))
}

pub(super) fn json_of(value: &Value) -> Reply {
    of_json(StatusCode::OK, &value.to_string())
}

pub(super) fn stream(kind: &'static str, what: mpsc::Receiver<Bytes>) -> Reply {
    let mut reply = reply(StatusCode::OK, kind, Body::Stream(what));
    // Proxies must not buffer the stream.
    reply.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    reply
}

pub(super) fn fixed(text: &'static str) -> Body {
    Body::Whole(Bytes::from_static(text.as_bytes()))
}

/// A response above this size is large, in bytes.
const SMALL: usize = 64 << 10;

/// Maximum number of bytes in large responses that wait for slow clients; beyond it, requests get 503.
const ON_THE_WAY: usize = 32 << 20;

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

/// Total size of large responses that are being sent, in bytes.
#[derive(Clone, Default)]
pub(super) struct OnTheWay(Arc<AtomicUsize>);

/// A large response.
struct Large {
    bytes: Bytes,
    all: OnTheWay,
}

impl OnTheWay {
    /// Counts a large response until it is sent or dropped. Returns `None` if too many bytes wait for slow clients.
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

impl Drop for Large {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Whether the client has closed its side.
pub(super) type PeerClosed = watch::Receiver<bool>;

/// The body of a response.
pub(super) enum Body {
    /// A complete body.
    Whole(Bytes),
    /// A stream, until its sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
