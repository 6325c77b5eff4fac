//! Where the supervisor is, and who we say we are: from the command line, or the configuration file, or neither.

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

/// A supervisor, and how it is asked.
#[derive(Clone, Debug)]
pub(in crate::app) struct Place {
    /// Where it listens.
    pub(in crate::app) url: ServerUrl,
    /// Who asks, where it wants to know.
    pub(in crate::app) auth: Option<Auth>,
    /// How long it may be silent; none: as long as it takes.
    pub(in crate::app) timeout: Option<Duration>,
    /// What ends the waiting for an answer; none: Ctrl-C ends this program.
    pub(in crate::app) interrupt: Option<Interrupt>,
}

/// Where the supervisor listens: `url` wins over the file. No file need exist where a url is given, and one that is not
/// named is not even looked for then: its password is not meant for whoever listens there.
pub(super) fn find(url: Option<&ServerUrl>, file: Option<&Path>) -> Result<Place, ClientError> {
    settings(url, file).map(|spec| of(&spec))
}

/// A client's settings, with the place that `url` says.
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

/// The place that a client's settings say.
pub(in crate::app) fn of(spec: &ClientSpec) -> Place {
    // One without the other is not refused: the supervisor says what it thinks of it.
    let password = match &spec.password {
        Some(Password::Plain(password)) => password.clone(),
        Some(Password::Sha256(_)) | None => String::new(),
    };
    let auth = spec.username.clone().map(|username| Auth { username, password });
    Place { url: spec.serverurl.clone(), auth, timeout: spec.timeout, interrupt: None }
}

/// Reads a client's settings. `found`: the file was not named, so the owner of the folder could have put it there.
fn read(path: &Path, found: bool) -> Result<ClientSpec, ClientError> {
    let (bytes, access) = conffile::read(path).map_err(|error| Unreadable::of(path, error))?;
    // Relative paths in it are relative to its folder.
    let whole = absolute(path).map_err(|error| Unreadable::of(path, error))?;
    let file = File::new(whole, bytes, Some(access))?;
    config::read_client(&file, found, &Here).map_err(ClientError::Invalid)
}

/// What a client's settings may ask about the system.
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
