//! Answers to the requests of clients.

use serde_json::Value;

use crate::{
    io::tail::Growing,
    model::wire::{Channel, EventFilter, Request, Response, WireError},
};

/// A request, the receiver of its answer, and the client.
pub(super) struct Asked {
    pub request: Request,
    pub reply: Reply,
    pub from: String,
}

/// Receives an answer.
pub(super) type Reply = Box<dyn FnOnce(RequestAnswer) + Send>;

/// An answer, and what follows it.
pub(super) enum RequestAnswer {
    One(Response),
    /// Followed by what is appended to these logs.
    Follow(Response, Vec<Followed>),
    /// Like `Follow`, until the process ends.
    Attach(Response, Vec<Followed>, String),
    /// Followed by events.
    Listen(Response, EventFilter),
}

/// A followed log.
pub(super) struct Followed {
    pub channel: Option<Channel>,
    pub file: Growing,
}

/// Refuses a request.
pub(super) fn refuse(error: WireError) -> RequestAnswer {
    RequestAnswer::One(Response::failed(error))
}

/// Returns a refusal with additional content.
pub(super) fn refuse_with(error: WireError, content: Value) -> RequestAnswer {
    RequestAnswer::One(Response { content: Some(content), ..Response::failed(error) })
}
