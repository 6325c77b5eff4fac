//! Access rules: names and passwords, allowed values of `Host`, and the origin of forms.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    io::secret,
    model::{
        http,
        program::{Credentials, InetServer, Password, UnixServer},
        wire::Auth,
    },
};

/// How a client connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// On a Unix socket.
    Unix,
    /// On a port.
    Port,
}

/// The access rules. They may change while connections are open, and are checked at each request.
#[derive(Debug, Default)]
pub struct AccessRules {
    unix: Mutex<Option<Credentials>>,
    port: Mutex<Port>,
}

/// The rules of the port.
#[derive(Debug, Default)]
struct Port {
    credentials: Option<Credentials>,
    /// Host name in the configuration.
    host: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccessRules {
    /// Sets the rules of the socket.
    pub fn set_unix(&self, spec: Option<&UnixServer>) {
        *locked(&self.unix) = spec.and_then(|spec| spec.credentials.clone());
    }

    /// Sets the rules of the socket, without a configuration.
    pub fn set_socket(&self, credentials: Option<Credentials>) {
        *locked(&self.unix) = credentials;
    }

    /// Sets the rules of the port.
    pub fn set_port(&self, spec: Option<&InetServer>) {
        *locked(&self.port) = Port {
            credentials: spec.and_then(|spec| spec.credentials.clone()),
            host: spec.and_then(|spec| spec.host.clone()),
        };
    }

    /// Whether these credentials are correct.
    pub fn lets_in(&self, door: Door, auth: Option<&Auth>) -> bool {
        match door {
            Door::Unix => is_right(locked(&self.unix).as_ref(), auth),
            Door::Port => is_right(locked(&self.port).credentials.as_ref(), auth),
        }
    }

    /// Whether a `Host` is known, so that the request cannot come from a page of another site (DNS rebinding). `own`
    /// are the names of this host.
    pub fn knows(&self, door: Door, host: &str, own: &[String]) -> bool {
        let mut known: Vec<&str> = own.iter().map(String::as_str).collect();
        match door {
            // Users forward the socket to a local port (ssh -L), and programs use arbitrary names; a name without a dot
            // cannot be owned by another site.
            Door::Unix => !host.contains('.') || http::is_own_host(host, &known),
            Door::Port => {
                let port = locked(&self.port);
                known.extend(port.host.as_deref());
                http::is_own_host(host, &known)
            }
        }
    }
}

fn is_right(wanted: Option<&Credentials>, auth: Option<&Auth>) -> bool {
    let Some(Credentials { username, password }) = wanted else { return true };
    let Some(auth) = auth else { return false };
    let wanted = match password {
        Password::Plain(text) => secret::sha256(text.as_bytes()),
        Password::Sha256(digest) => *digest,
    };
    // Both are compared in any case, in constant time.
    let name = secret::same(&secret::sha256(username.as_bytes()), &secret::sha256(auth.username.as_bytes()));
    let word = secret::same(&wanted, &secret::sha256(auth.password.as_bytes()));
    name & word
}

/// Whether two secrets are equal, compared in constant time.
pub fn is_same(a: &str, b: &str) -> bool {
    secret::same(&secret::sha256(a.as_bytes()), &secret::sha256(b.as_bytes()))
}
