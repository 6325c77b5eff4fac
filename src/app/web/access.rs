//! Who is let in, and from where: names and passwords, the name that a page was asked for by, and the page that a form
//! comes from (WEB-5, WEB-8).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    io::secret,
    model::{
        http,
        program::{Credentials, InetServer, Password, UnixServer},
        wire::Auth,
    },
};

/// Which way a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Through a socket in the file system.
    Unix,
    /// Through a port.
    Port,
}

/// What is asked of those who come. It may change while connections are there: it is asked at each request.
#[derive(Debug, Default)]
pub struct AccessRules {
    unix: Mutex<Option<Credentials>>,
    port: Mutex<Port>,
}

/// The port.
#[derive(Debug, Default)]
struct Port {
    credentials: Option<Credentials>,
    /// As it is called in the configuration.
    host: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccessRules {
    /// Changes what is asked on the socket.
    pub fn set_unix(&self, spec: Option<&UnixServer>) {
        *locked(&self.unix) = spec.and_then(|spec| spec.credentials.clone());
    }

    /// The same, without a configuration.
    pub fn set_socket(&self, credentials: Option<Credentials>) {
        *locked(&self.unix) = credentials;
    }

    /// Changes what is asked on the port.
    pub fn set_port(&self, spec: Option<&InetServer>) {
        *locked(&self.port) = Port {
            credentials: spec.and_then(|spec| spec.credentials.clone()),
            host: spec.and_then(|spec| spec.host.clone()),
        };
    }

    /// Whether these are the name and the password.
    pub fn lets_in(&self, door: Door, auth: Option<&Auth>) -> bool {
        match door {
            Door::Unix => is_right(locked(&self.unix).as_ref(), auth),
            Door::Port => is_right(locked(&self.port).credentials.as_ref(), auth),
        }
    }

    /// Whether nobody else's page can be what was asked for by this name. `own` are the names of this machine.
    pub fn knows(&self, door: Door, host: &str, own: &[String]) -> bool {
        let mut known: Vec<&str> = own.iter().map(String::as_str).collect();
        match door {
            // People forward the socket to a port of their own (ssh -L); programs write there what they like, and a name
            // without a dot is none that a stranger could own.
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
    // Both are looked at whatever the first says, and neither tells by its time how much of it was right.
    let name = secret::same(&secret::sha256(username.as_bytes()), &secret::sha256(auth.username.as_bytes()));
    let word = secret::same(&wanted, &secret::sha256(auth.password.as_bytes()));
    name & word
}

/// Whether two secrets are the same, in a time that does not tell how much of them is.
pub fn is_same(a: &str, b: &str) -> bool {
    secret::same(&secret::sha256(a.as_bytes()), &secret::sha256(b.as_bytes()))
}
