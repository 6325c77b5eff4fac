//! The supervisor's address and the credentials: from the command line, the configuration file, or
//! the defaults.

use std::{
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use super::ClientError;
use crate::{
    io::{account, conffile, connect::Interrupt, sys},
    model::{
        config::{self, File, PathKind, SEARCHED, Unreadable, World},
        program::{ClientSpec, Password, ServerUrl},
        wire::Auth,
    },
};

/// A supervisor, and how to send requests to it.
#[derive(Clone, Debug)]
pub(in crate::app) struct Place {
    /// The address.
    pub(in crate::app) url: ServerUrl,
    /// The credentials, if any.
    pub(in crate::app) auth: Option<Auth>,
    /// The longest silence; `None` for no limit.
    pub(in crate::app) timeout: Option<Duration>,
    /// Ends a wait for a response; `None`: Ctrl-C ends this program.
    pub(in crate::app) interrupt: Option<Interrupt>,
}

/// Returns the supervisor's address; `url` overrides the file. With a `url`, a file that was not
/// named is not even read: its password is not meant for the server at that address.
pub(super) fn find(url: Option<&ServerUrl>, file: Option<&Path>) -> Result<Place, ClientError> {
    settings(url, file).map(|spec| of(&spec))
}

/// Returns a client's settings, with the address replaced by `url`.
pub(in crate::app) fn settings(url: Option<&ServerUrl>, file: Option<&Path>) -> Result<ClientSpec, ClientError> {
    let found = match (file, url) {
        (Some(file), _) => Some(file.to_owned()),
        (None, Some(_)) => None,
        (None, None) => SEARCHED.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    let is_found = file.is_none();
    let usual = || ClientSpec::usual(account::own_uid() == 0, Here.home(None).as_deref());
    let spec = found.map_or_else(|| Ok(usual()), |path| read(&path, is_found))?;
    Ok(ClientSpec { serverurl: url.cloned().unwrap_or(spec.serverurl), ..spec })
}

/// Returns the place from a client's settings.
pub(in crate::app) fn of(spec: &ClientSpec) -> Place {
    // A user without a password is accepted here: the supervisor decides.
    let password = match &spec.password {
        Some(Password::Plain(password)) => password.clone(),
        Some(Password::Sha256(_)) | None => String::new(),
    };
    let auth = spec.username.clone().map(|username| Auth { username, password });
    Place { url: spec.serverurl.clone(), auth, timeout: spec.timeout, interrupt: None }
}

/// Reads a client's settings. `found`: the file was not named, so the owner of the folder could
/// have planted it.
fn read(path: &Path, found: bool) -> Result<ClientSpec, ClientError> {
    let (bytes, access) = conffile::read(path).map_err(|error| Unreadable::of(path, error))?;
    // Relative paths in the file are relative to its folder.
    let whole = absolute(path).map_err(|error| Unreadable::of(path, error))?;
    let file = File::new(whole, bytes, Some(access))?;
    config::read_client(&file, found, &Here).map_err(ClientError::Invalid)
}

/// The system, as seen by a client's settings.
struct Here;

impl World for Here {
    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn host(&self) -> String {
        sys::host_name()
    }

    fn start_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_default()
    }

    fn uid(&self) -> u32 {
        account::own_uid()
    }

    fn home(&self, _user: Option<&str>) -> Option<PathBuf> {
        std::env::home_dir().filter(|home| home.is_absolute())
    }

    fn user(&self, _name: &str) -> Option<u32> {
        None
    }

    fn group(&self, _name: &str) -> Option<u32> {
        None
    }

    fn kind(&self, path: &Path) -> PathKind {
        conffile::kind(path)
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        conffile::real(path)
    }
}
