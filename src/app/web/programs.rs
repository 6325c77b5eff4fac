//! What pages show beside their subject, and requests to the supervisor.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::{Site, SupervisorAnswer, reply::PageError};
use crate::{
    io::sys,
    model::{
        error::ErrorKind,
        web::{Message, PageInfo},
        wire::{Command, ProcessInfo, Request, Targets},
    },
};

/// Time limit of read-only requests to the supervisor.
const LOOK: Duration = Duration::from_secs(5);

/// The data common to all pages, owned so that any thread can create a page.
pub(super) struct About {
    host: String,
    identifier: String,
    token: Option<String>,
    message: Option<Message>,
    programs: bool,
}

impl About {
    pub(super) fn new(site: &Site, message: Option<Message>) -> About {
        About {
            host: site.host.clone(),
            identifier: site.subject.identifier.borrow().clone(),
            token: site.token.clone(),
            message,
            programs: site.subject.programs.is_some(),
        }
    }

    pub(super) fn info(&self) -> PageInfo<'_> {
        PageInfo {
            title: "taskwatcher",
            host: &self.host,
            version: env!("CARGO_PKG_VERSION"),
            identifier: &self.identifier,
            token: self.token.as_deref(),
            message: self.message.as_ref(),
            now: sys::now().wall.secs(),
            programs: self.programs,
        }
    }
}

/// Sends a request to the supervisor.
pub(super) async fn ask(site: &Site, request: Request) -> Result<SupervisorAnswer, PageError> {
    let Some(programs) = &site.subject.programs else {
        return Err(PageError::missing("not available without a supervisor"));
    };
    let (send, receive) = oneshot::channel();
    programs.ask(request, Box::new(move |answer| drop(send.send(answer))));
    receive.await.map_err(|_| PageError::new(ErrorKind::ShutDown, "the supervisor has ended"))
}

/// Sends a read-only query to the supervisor.
pub(super) async fn look(site: &Site, command: Command) -> Result<SupervisorAnswer, PageError> {
    let late = || PageError::new(ErrorKind::TimedOut, "the supervisor does not respond");
    let (response, logs) = timeout(LOOK, ask(site, Request::new(command))).await.map_err(|_| late())??;
    match response.error {
        None => Ok((response, logs)),
        Some(_) => Err(PageError::from(&response)),
    }
}

/// Returns the processes, or those with this name.
pub(super) async fn processes(site: &Site, name: Option<&str>) -> Result<Vec<ProcessInfo>, PageError> {
    let of = name.map_or(Targets::All, |name| Targets::processes([name]));
    let (response, _) = look(site, Command::Status(of)).await?;
    Ok(response.processes())
}
