//! Where clients connect: the supervisor's socket in the file system (SOCK-1 to SOCK-4), and its port.
//!
//! A socket is made in a folder that nobody else can enter, gets its owner and permissions there, and is then moved to
//! its place: so at no instant more people can open it than are meant to. That needs no umask, which would be the whole
//! process's: other threads may make files meanwhile.
//!
//! Each step is made below the folder as it was opened: the folder, or one above it, may belong to another user, who could
//! put something else in its place between two steps. Symbolic links on the way are followed only where no other user can
//! have put them (`safe_open::reach`).
//!
//! Nothing is ever deleted but a socket on which nobody listens. What is in the way is exchanged with ours in one step
//! and looked at afterwards; if somebody was quicker and it is another than was judged, it is exchanged back.
//!
//! # If we die here
//! A folder `.NAME.PID.new` with a dead socket may be left beside its place, and the dead socket in it; neither is in
//! the way of the next start.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
    unistd::geteuid,
};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, fstat, openat, renameat, renameat_with, unlinkat};

use super::safe_open::{Folder, Make, reach};

/// Bytes of a socket's path, at most.
const LONGEST: usize = 107;
/// The program that knows addresses of names.
const GETENT: [&str; 3] = ["/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"];
/// How often a place is looked at anew because somebody changed it between two steps.
const TRIES: usize = 10;

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("cannot listen on socket {}: it is already in use: another program listens there", .0.display())]
    InUse(PathBuf),
    /// There is something that is not ours to remove.
    #[error("cannot listen on socket {}: {what} is in its place, which is left as it is", .path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
        /// What there is.
        what: &'static str,
    },
    /// It cannot be given to its owner.
    #[error("cannot give socket {} to {owner} (chown): {error}", .path.display())]
    Owner {
        /// Where.
        path: PathBuf,
        /// To whom, as written.
        owner: String,
        /// Why.
        error: io::Error,
    },
    /// Anything else about a socket.
    #[error("cannot {doing} socket {}: {error}", .path.display())]
    Socket {
        /// What was to be done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A name that leads to no address.
    #[error("cannot listen on {name}: it has no address: {error}")]
    Name {
        /// The name, with the port.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// An address.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl ListenError {
    /// Whether the place is another's.
    pub fn is_taken(&self) -> bool {
        match self {
            ListenError::InUse(_) | ListenError::Occupied { .. } => true,
            ListenError::Address { error, .. } => error.kind() == ErrorKind::AddrInUse,
            ListenError::Owner { .. } | ListenError::Socket { .. } | ListenError::Name { .. } => false,
        }
    }
}

/// How a socket is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// Where.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// Whose; none: ours.
    pub owner: Option<SocketOwner>,
}

/// Whose a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// In words, for messages.
    pub text: String,
    /// The user.
    pub uid: u32,
    /// The group; none: ours.
    pub gid: Option<u32>,
}

/// Our socket in the file system. It is removed with this, if it is still ours.
#[derive(Debug)]
pub struct UnixSocket {
    place: SocketSpec,
    /// Its device and number.
    identity: (u64, u64),
}

/// A socket that was made.
#[derive(Debug)]
pub struct Bound {
    /// Where clients are accepted; it does not wait.
    pub listener: UnixListener,
    /// The socket.
    pub socket: UnixSocket,
    /// Whether a socket on which nobody listened was replaced.
    pub replaced: bool,
}

/// Where the path of our socket leads (SOCK-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To our socket.
    Ours,
    /// Nowhere.
    Gone,
    /// To a socket on which nobody listens.
    DeadSocket,
    /// To something that is not ours to touch.
    SomethingElse(&'static str),
}

impl UnixSocket {
    /// Makes a socket that is in its place with its owner and permissions from the first instant.
    ///
    /// # Errors
    /// [`ListenError`]; what is in its place is left there, unless it is a socket on which nobody listens.
    pub fn bind(place: SocketSpec) -> Result<Bound, ListenError> {
        let (listener, identity, replaced) = make(&place, None)?;
        Ok(Bound { listener, socket: UnixSocket { place, identity }, replaced })
    }

    /// How it is.
    pub fn place(&self) -> &SocketSpec {
        &self.place
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Whether its path still leads to it.
    ///
    /// # Errors
    /// As lstat(2) and connect(2) say.
    pub fn check(&self) -> Result<Leads, ListenError> {
        let Some(at) = At::find(&self.place.path)? else { return Ok(Leads::Gone) };
        Ok(match at.look()? {
            PathTarget::Nothing => Leads::Gone,
            PathTarget::Socket(identity, _) if identity == self.identity => Leads::Ours,
            PathTarget::Socket(_, false) => Leads::DeadSocket,
            PathTarget::Socket(_, true) => Leads::SomethingElse("a socket of another program"),
            PathTarget::Other(what) => Leads::SomethingElse(what),
        })
    }

    /// Makes it anew, as at the start; what is in its place is treated as there. The old listener may be dropped.
    ///
    /// # Errors
    /// As [`UnixSocket::bind`]: then try again later.
    pub fn rebind(&mut self) -> Result<UnixListener, ListenError> {
        let (listener, identity, _) = make(&self.place, None)?;
        self.identity = identity;
        Ok(listener)
    }

    /// Puts one with other permissions or another owner in the place of this one, in one step: there is always one to
    /// connect to, and at no instant has it the permissions of one and the owner of the other. The old listener may be
    /// dropped.
    ///
    /// # Errors
    /// As [`UnixSocket::bind`]: then this one is there as before.
    pub fn renew(&mut self, place: SocketSpec) -> Result<UnixListener, ListenError> {
        let (listener, identity, _) = make(&place, Some(self.identity))?;
        (self.place, self.identity) = (place, identity);
        Ok(listener)
    }

    /// Removes it, if it is still ours (SOCK-4).
    ///
    /// # Errors
    /// As unlink(2) says.
    pub fn remove(&mut self) -> Result<(), ListenError> {
        // Once is enough: the number may be another's later.
        let identity = std::mem::take(&mut self.identity);
        match At::find(&self.place.path) {
            Ok(Some(at)) if at.identity().is_ok_and(|there| there == Some(identity)) => {
                at.folder.remove(&at.name).map(drop).map_err(failed("remove", &self.place.path))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // A dead one that stays is replaced by the next start.
        let _ = self.remove();
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_owned();
    move |error| ListenError::Socket { doing, path, error }
}

/// What a path leads to, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathTarget {
    Nothing,
    /// Its device and number, and whether somebody listens.
    Socket((u64, u64), bool),
    Other(&'static str),
}

/// The place of a socket: the folder, open, and the name in it.
struct At<'a> {
    folder: Folder,
    name: OsString,
    /// As it is written, for messages.
    path: &'a Path,
}

impl<'a> At<'a> {
    /// Opens the folder; `None`: there is none.
    fn find(path: &'a Path) -> Result<Option<At<'a>>, ListenError> {
        match reach::FileLocation::of(path, None) {
            Ok(reach::FileLocation { folder, name, .. }) => Ok(Some(At { folder, name, path })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", path)(error)),
        }
    }

    /// Device and number of what has the name.
    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(self.folder.stat_of(&self.name)?.map(|stat| (stat.st_dev, stat.st_ino)))
    }

    /// A path that leads to the name in the folder that was opened, whatever has been done to its path since.
    fn by_descriptor(&self) -> PathBuf {
        by_descriptor(&self.folder).join(&self.name)
    }

    fn look(&self) -> Result<PathTarget, ListenError> {
        let failed = || failed("look at", self.path);
        let Some(stat) = self.folder.stat_of(&self.name).map_err(failed())? else { return Ok(PathTarget::Nothing) };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => PathTarget::Other("a symbolic link"),
            FileType::Directory => PathTarget::Other("a directory"),
            FileType::RegularFile => PathTarget::Other("a regular file"),
            FileType::Socket => match is_live(&self.by_descriptor()) {
                Ok(live) => PathTarget::Socket((stat.st_dev, stat.st_ino), live),
                Err(Errno::ENOENT) => PathTarget::Nothing,
                Err(error) => return Err(failed()(error.into())),
            },
            _ => PathTarget::Other("a pipe or device"),
        })
    }

    /// What the name leads to; our own socket counts as one on which nobody listens.
    fn look_past(&self, own: Option<(u64, u64)>) -> Result<PathTarget, ListenError> {
        Ok(match self.look()? {
            PathTarget::Socket(identity, _) if Some(identity) == own => PathTarget::Socket(identity, false),
            there => there,
        })
    }
}

/// Whether somebody listens on a socket. Nobody is waited for: one that is too busy to accept lives.
fn is_live(path: &Path) -> nix::Result<bool> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS | Errno::EPROTOTYPE) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        // Whose door we may not even try is not ours to tear down.
        Err(Errno::EACCES | Errno::EPERM) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The name of a socket until it is moved to its place.
const SOCKET: &str = "s";

/// A folder beside a place that only we can enter.
struct Private<'a> {
    above: &'a Folder,
    name: OsString,
    folder: Folder,
}

impl<'a> Private<'a> {
    fn beside(at: &'a At<'_>) -> io::Result<Private<'a>> {
        let mut name = OsString::from(".");
        name.push(&at.name);
        name.push(format!(".{}.new", std::process::id()));
        let make = || at.folder.below_or_make(&name, Make::exactly(0o700, None));
        let (mut folder, mut made) = make()?;
        if !made && folder.stat()?.st_uid == geteuid().as_raw() {
            // What a program of our pid left, who died here.
            drop(Private { above: &at.folder, name: name.clone(), folder });
            (folder, made) = make()?;
        }
        match made {
            true => Ok(Private { above: &at.folder, name, folder }),
            false => Err(ErrorKind::AlreadyExists.into()),
        }
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        let _ = self.folder.remove(OsStr::new(SOCKET));
        let _ = unlinkat(self.above, &self.name, AtFlags::REMOVEDIR);
    }
}

/// The same thing under a name that needs no path, and so cannot be another's in between.
fn by_descriptor(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// `own` is our own socket, if it is to make room.
fn make(place: &SocketSpec, own: Option<(u64, u64)>) -> Result<(UnixListener, (u64, u64), bool), ListenError> {
    let path = &place.path;
    let making = || failed("make", path);
    let at = At::find(path)?.ok_or_else(|| making()(Errno::ENOENT.into()))?;
    // First, so that what is wrong with the place is said rather than what is wrong with its folder.
    refuse(path, at.look_past(own)?)?;
    let private = Private::beside(&at).map_err(making())?;
    let listener = bind_in(path, &private).map_err(making())?;
    listener.set_nonblocking(true).map_err(making())?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = openat(&private.folder, SOCKET, flags, Mode::empty()).map_err(|error| making()(error.into()))?;
    let stat = fstat(&inside).map_err(|error| making()(error.into()))?;
    if let Some(owner) = &place.owner {
        let given = std::os::unix::fs::chown(by_descriptor(&inside), Some(owner.uid), owner.gid);
        given.map_err(|error| ListenError::Owner { path: path.clone(), owner: owner.text.clone(), error })?;
    }
    let allowed = fs::set_permissions(by_descriptor(&inside), fs::Permissions::from_mode(place.mode));
    allowed.map_err(failed("set the permissions of", path))?;
    let replaced = put(&private.folder, &at, own)?;
    Ok((listener, (stat.st_dev, stat.st_ino), replaced))
}

/// Binds in the private folder of a place. In full its name tells people who look at sockets more; but there may be too
/// much of it, and it is only sure where no other user can change what is on the way.
fn bind_in(path: &Path, private: &Private<'_>) -> io::Result<UnixListener> {
    let full = path.with_file_name(&private.name).join(SOCKET);
    let by_descriptor = by_descriptor(&private.folder).join(SOCKET);
    let is_sure = full.as_os_str().len() <= LONGEST && reach::is_closed(path);
    UnixListener::bind(if is_sure { full } else { by_descriptor })
}

/// Whether there is something that is left alone.
fn refuse(path: &Path, there: PathTarget) -> Result<(), ListenError> {
    match there {
        PathTarget::Nothing | PathTarget::Socket(_, false) => Ok(()),
        PathTarget::Socket(_, true) => Err(ListenError::InUse(path.to_owned())),
        PathTarget::Other(what) => Err(ListenError::Occupied { path: path.to_owned(), what }),
    }
}

/// Moves our socket into its place; true if it replaced one on which nobody listened.
fn put(private: &Folder, at: &At<'_>, own: Option<(u64, u64)>) -> Result<bool, ListenError> {
    let moving = || failed("put into place", at.path);
    let rename = |flags| renameat_with(private, SOCKET, &at.folder, &at.name, flags);
    for _ in 0..TRIES {
        let there = at.look_past(own)?;
        refuse(at.path, there)?;
        let (flags, replaces) = match there {
            PathTarget::Socket(..) => (RenameFlags::EXCHANGE, true),
            PathTarget::Nothing | PathTarget::Other(_) => (RenameFlags::NOREPLACE, false),
        };
        match rename(flags) {
            Ok(()) if !replaces => return Ok(false),
            Ok(()) => {
                let out = private.stat_of(OsStr::new(SOCKET)).map_err(moving())?;
                if out.is_some_and(|out| there == PathTarget::Socket((out.st_dev, out.st_ino), false)) {
                    return Ok(true);
                }
                rename(RenameFlags::EXCHANGE).map_err(|error| moving()(error.into()))?;
            }
            // Somebody was quicker; see what it is.
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOENT) => {}
            // A file system that can only rename: what we looked at just now is as sure as it gets there.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                renameat(private, SOCKET, &at.folder, &at.name).map_err(|error| moving()(error.into()))?;
                return Ok(replaces);
            }
            Err(error) => return Err(moving()(error.into())),
        }
    }
    Err(moving()(io::Error::other("somebody keeps changing what is there")))
}

/// Listens on a port: on all addresses of a name, or on all of this host if none is given. They do not wait.
///
/// Where all are meant, the one listener for IPv6 takes IPv4 too, unless the system has that switched off.
///
/// # Errors
/// [`ListenError::Name`], [`ListenError::Address`]: the first that does not work. That the host has no IPv6 (or no
/// IPv4) is none, if there is another address.
pub fn bind_port(host: Option<&str>, port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let (shown, addresses) = match host {
        None => (format!("port {port}"), vec![SocketAddr::from(([0; 8], port)), SocketAddr::from(([0; 4], port))]),
        Some(host) => {
            let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let found = addresses_of(host).map_err(|error| ListenError::Name { name: name.clone(), error })?;
            let mut addresses: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            addresses.sort_unstable();
            addresses.dedup();
            (name, addresses)
        }
    };
    let (mut listeners, mut missing) = (Vec::new(), None);
    for address in addresses {
        let failed = |error| ListenError::Address { address, error };
        match TcpListener::bind(address) {
            Ok(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                listeners.push(listener);
            }
            // That of IPv6 has it.
            Err(error) if error.kind() == ErrorKind::AddrInUse && host.is_none() && !listeners.is_empty() => {}
            Err(error) if is_missing(&error) => missing = Some(failed(error)),
            Err(error) => return Err(failed(error)),
        }
    }
    match (listeners.is_empty(), missing) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(ListenError::Name { name: shown, error: ErrorKind::NotFound.into() }),
        (false, _) => Ok(listeners),
    }
}

/// The addresses of a name. A program of the system is asked, as the C library would load modules of its name service
/// into us, who are linked statically, and some of those crash then; only where there is none is it asked itself.
fn addresses_of(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let Some(getent) = GETENT.iter().map(Path::new).find(|file| file.exists() && !host.starts_with('-')) else {
        return Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect());
    };
    let output = Command::new(getent).args(["ahosts", host]).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<IpAddr> = text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    match found.is_empty() {
        true => Err(io::Error::new(ErrorKind::NotFound, "name not known")),
        false => Ok(found),
    }
}

/// Whether this host has no such address, or nothing of its kind.
fn is_missing(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT].iter().any(|missing| number == Some(*missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::FileTypeExt, fs::MetadataExt, net::UnixStream};

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Dir {
            Dir(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("s.sock")
        }

        fn place(&self) -> SocketSpec {
            SocketSpec { path: self.path(), mode: 0o750, owner: None }
        }

        /// Lets go of a listener. A child that another test starts just now may have it for an instant more.
        fn let_die(&self, listener: UnixListener) {
            drop(listener);
            while is_live(&self.path()).unwrap() {
                std::thread::yield_now();
            }
        }

        #[track_caller]
        fn holds(&self, names: &[&str]) {
            let mut found: Vec<String> =
                fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            found.sort();
            assert_eq!(found, names);
        }
    }

    #[test]
    fn a_socket_is_made_and_removed() {
        let folder = Dir::new();
        let mut bound = UnixSocket::bind(folder.place()).unwrap();
        assert!(!bound.replaced);
        let meta = fs::symlink_metadata(folder.path()).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.file_type().is_socket()), (0o750, true));
        UnixStream::connect(folder.path()).unwrap();
        assert!(bound.listener.accept().is_ok());
        assert_eq!(bound.listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(bound.socket.check().unwrap(), Leads::Ours);
        folder.holds(&["s.sock"]);
        bound.socket.remove().unwrap();
        folder.holds(&[]);
        assert_eq!(bound.socket.check().unwrap(), Leads::Gone);
        bound.listener = bound.socket.rebind().unwrap();
        assert_eq!(bound.socket.check().unwrap(), Leads::Ours);
        drop(bound);
        folder.holds(&[]);
    }

    #[test]
    fn what_is_no_dead_socket_is_left_alone() {
        let folder = Dir::new();
        let refused = |what: &str| {
            let error = UnixSocket::bind(folder.place()).unwrap_err();
            assert!(error.is_taken());
            assert!(error.to_string().contains(what), "{error}");
        };
        fs::write(folder.path(), "precious").unwrap();
        refused("a regular file is in its place, which is left as it is");
        assert_eq!(fs::read_to_string(folder.path()).unwrap(), "precious");
        fs::remove_file(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        refused("a directory");
        fs::remove_dir(folder.path()).unwrap();
        for target in ["/nowhere", "/etc/passwd"] {
            std::os::unix::fs::symlink(target, folder.path()).unwrap();
            refused("a symbolic link");
            assert!(fs::symlink_metadata(folder.path()).unwrap().is_symlink());
            fs::remove_file(folder.path()).unwrap();
        }
        let other = UnixListener::bind(folder.path()).unwrap();
        refused("already in use");
        UnixStream::connect(folder.path()).unwrap();
        folder.let_die(other);
        let bound = UnixSocket::bind(folder.place()).unwrap();
        assert!(bound.replaced);
        UnixStream::connect(folder.path()).unwrap();
        folder.holds(&["s.sock"]);
    }

    #[test]
    fn a_busy_one_lives_and_is_not_waited_for() {
        let folder = Dir::new();
        let busy = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
        let busy: std::os::fd::OwnedFd = busy.unwrap();
        nix::sys::socket::bind(busy.as_raw_fd(), &UnixAddr::new(&folder.path()).unwrap()).unwrap();
        nix::sys::socket::listen(&busy, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        // The queue is full with the first.
        let _first = UnixStream::connect(folder.path()).unwrap();
        assert!(matches!(UnixSocket::bind(folder.place()), Err(ListenError::InUse(_))));
        // Another kind of socket.
        let other = SocketSpec { path: folder.0.path().join("d"), ..folder.place() };
        let _datagrams = std::os::unix::net::UnixDatagram::bind(&other.path).unwrap();
        assert!(matches!(UnixSocket::bind(other), Err(ListenError::InUse(_))));
    }

    #[test]
    fn what_happened_to_its_path_is_noticed_and_repaired_where_that_is_ours() {
        let folder = Dir::new();
        let mut bound = UnixSocket::bind(folder.place()).unwrap();
        fs::remove_file(folder.path()).unwrap();
        folder.let_die(UnixListener::bind(folder.path()).unwrap());
        assert_eq!(bound.socket.check().unwrap(), Leads::DeadSocket);
        bound.listener = bound.socket.rebind().unwrap();
        assert_eq!(bound.socket.check().unwrap(), Leads::Ours);
        UnixStream::connect(folder.path()).unwrap();

        fs::remove_file(folder.path()).unwrap();
        let other = UnixListener::bind(folder.path()).unwrap();
        assert_eq!(bound.socket.check().unwrap(), Leads::SomethingElse("a socket of another program"));
        assert!(bound.socket.rebind().unwrap_err().is_taken());
        drop(other);
        fs::remove_file(folder.path()).unwrap();
        fs::write(folder.path(), "x").unwrap();
        assert_eq!(bound.socket.check().unwrap(), Leads::SomethingElse("a regular file"));
        assert!(bound.socket.rebind().unwrap_err().is_taken());
        drop(bound);
        assert_eq!(fs::read_to_string(folder.path()).unwrap(), "x");
        folder.holds(&["s.sock"]);
    }

    #[test]
    fn the_longest_path_will_do() {
        let folder = Dir::new();
        let room = LONGEST - folder.path().parent().unwrap().as_os_str().len() - 1;
        let path = folder.0.path().join("x".repeat(room));
        assert_eq!(path.as_os_str().len(), LONGEST);
        let bound = UnixSocket::bind(SocketSpec { path: path.clone(), ..folder.place() }).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(bound.socket.check().unwrap(), Leads::Ours);
        // And in a folder that leaves hardly any room.
        let deep = folder.0.path().join("y".repeat(room - 2));
        fs::create_dir(&deep).unwrap();
        let short = deep.join("s");
        assert_eq!(short.as_os_str().len(), LONGEST);
        let bound = UnixSocket::bind(SocketSpec { path: short.clone(), ..folder.place() }).unwrap();
        UnixStream::connect(&short).unwrap();
        drop(bound);
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn a_way_that_another_user_can_turn_elsewhere_is_not_gone() {
        let folder = Dir::new();
        let (theirs, elsewhere) = (folder.0.path().join("theirs"), folder.0.path().join("elsewhere"));
        for path in [&theirs, &elsewhere] {
            fs::create_dir(path).unwrap();
        }
        let place = SocketSpec { path: theirs.join("run/s.sock"), ..folder.place() };
        std::os::unix::fs::symlink(&elsewhere, theirs.join("run")).unwrap();
        drop(UnixSocket::bind(place.clone()).unwrap());
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = |place: &SocketSpec| {
            let error = UnixSocket::bind(place.clone()).unwrap_err().to_string();
            assert!(
                error.contains("theirs/run on the way: it is a symbolic link, in a folder that another"),
                "{error}"
            );
        };
        refused(&place);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        // A socket that was made before stays where it is when its way has been turned elsewhere.
        let (link, kept) = (theirs.join("run"), theirs.join("kept"));
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        let mut bound = UnixSocket::bind(place.clone()).unwrap();
        fs::rename(&link, &kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        assert!(bound.socket.check().is_err());
        bound.socket.remove().unwrap();
        assert!(kept.join("s.sock").exists());
        // A folder of another user is one in which a socket can be made all the same: nothing is reached through it.
        if geteuid().is_root() {
            fs::remove_file(&link).unwrap();
            fs::create_dir(&link).unwrap();
            std::os::unix::fs::chown(&link, Some(1234), Some(1234)).unwrap();
            let bound = UnixSocket::bind(place.clone()).unwrap();
            UnixStream::connect(&place.path).unwrap();
            assert_eq!(bound.socket.check().unwrap(), Leads::Ours);
            drop(bound);
            assert_eq!(fs::read_dir(&link).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_another_user_put_where_a_socket_is_made_is_not_touched() {
        if !geteuid().is_root() {
            return;
        }
        let folder = Dir::new();
        let (private, precious) = (format!(".s.sock.{}.new", std::process::id()), folder.0.path().join("precious"));
        let private = folder.0.path().join(private);
        fs::write(&precious, "").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(&private).unwrap();
        fs::hard_link(&precious, private.join(SOCKET)).unwrap();
        std::os::unix::fs::chown(&private, Some(1234), Some(1234)).unwrap();
        let owner = SocketOwner { text: "other".into(), uid: 1234, gid: None };
        let place = SocketSpec { mode: 0o777, owner: Some(owner), ..folder.place() };
        let error = UnixSocket::bind(place).unwrap_err().to_string();
        assert!(error.contains("cannot make socket"), "{error}");
        let meta = fs::metadata(&precious).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.uid(), meta.nlink()), (0o600, 0, 2));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let place = SocketSpec { path: "/no/such/s".into(), ..Dir::new().place() };
        let error = UnixSocket::bind(place).unwrap_err().to_string();
        assert!(error.starts_with("cannot make socket /no/such/s: No such file"), "{error}");
    }

    #[test]
    fn ports_are_told_with_their_address() {
        let first = bind_port(Some("127.0.0.1"), 0).unwrap();
        let port = first[0].local_addr().unwrap().port();
        assert_eq!(first[0].accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = bind_port(Some("127.0.0.1"), port).unwrap_err();
        assert!(error.is_taken());
        assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{port}: Address already in use")));
        let error = bind_port(None, port).unwrap_err();
        assert!(error.is_taken(), "{error}");
        let error = bind_port(Some("192.0.2.1"), port).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on 192.0.2.1:{port}: ")), "{error}");
        let error = bind_port(Some("no.such.host.invalid"), 9001).unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on no.such.host.invalid:9001: it has no address: "), "{error}");
        drop(first);
        // As above, for an instant more.
        while bind_port(Some("127.0.0.1"), port).is_err() {
            std::thread::yield_now();
        }
        for host in [None, Some("localhost")] {
            let listeners = bind_port(host, port).unwrap();
            assert!(!listeners.is_empty());
            std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
    }
}
