//! Name resolution for HTTP clients.
//!
//! The C library has no lookup with a timeout, so a lookup with one runs on a separate thread. If
//! no thread can be started (RLIMIT_NPROC, a limit of a container), the lookup runs on the calling
//! thread, without a timeout.

use std::{
    net::IpAddr,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{NextTimeout, time::Duration},
    },
};

/// Resolves names through the system.
#[derive(Debug, Default)]
pub struct SystemNames(DefaultResolver);

impl Resolver for SystemNames {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let within = timeout.after;
        let reason = timeout.reason;
        let without_limit = NextTimeout { after: Duration::NotHappening, ..timeout };
        let is_address = uri.host().is_some_and(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok());
        if is_address || within.is_not_happening() {
            return self.0.resolve(uri, config, without_limit);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (name, settings) = (uri.clone(), config.clone());
        let look_up = move || {
            // The caller may have timed out.
            let _ = sender.send(DefaultResolver::default().resolve(&name, &settings, without_limit));
        };
        match thread::Builder::new().name("names".to_owned()).spawn(look_up) {
            Err(_) => self.0.resolve(uri, config, without_limit),
            Ok(_) => match receiver.recv_timeout(*within) {
                Ok(found) => found,
                Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(reason)),
                Err(RecvTimeoutError::Disconnected) => Err(Error::HostNotFound),
            },
        }
    }
}
