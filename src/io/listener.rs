//! The addresses where clients connect: the supervisor's socket in the file system, and its port.
//!
//! A socket is created in a folder that no other user can enter, gets its owner and permissions
//! there, and is then moved into place. So at no instant can more users open it than configured.
//! The umask is not needed for that: it belongs to the whole process, whose other threads may
//! create files meanwhile.
//!
//! Each step is done below the opened folder: the folder, or one above it, may belong to another
//! user, who could replace something between two steps. Symbolic links on the way are followed only
//! where no other user can have created them (`safe_open::reach`).
//!
//! Only a socket on which no process listens is ever deleted. An entry in the way is exchanged with
//! the new socket in one step and checked afterwards. If another process has replaced the entry in
//! between, it is exchanged back.
//!
//! # If the process dies here
//!
//! A folder `.NAME.PID.new` with a dead socket may be left beside the place, and a dead socket in
//! the place. Neither is in the way of the next start.

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

/// Longest path of a socket, in bytes.
const LONGEST: usize = 107;
/// The program that resolves names.
const GETENT: [&str; 3] = ["/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"];
/// Attempts at a place that other processes change between two steps.
const TRIES: usize = 10;

/// Why clients cannot connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process listens on the socket.
    #[error("cannot listen on socket {}: it is already in use: another program listens there", .0.display())]
    InUse(PathBuf),
    /// The entry in its place must not be removed.
    #[error("cannot listen on socket {}: {what} is in its place, which is left as it is", .path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
        /// The type of the entry.
        what: &'static str,
    },
    /// The socket cannot be given to its owner.
    #[error("cannot give socket {} to {owner} (chown): {error}", .path.display())]
    Owner {
        /// The path.
        path: PathBuf,
        /// The owner, as configured.
        owner: String,
        /// The system's error.
        error: io::Error,
    },
    /// Any other error of a socket.
    #[error("cannot {doing} socket {}: {error}", .path.display())]
    Socket {
        /// The operation.
        doing: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A name without an address.
    #[error("cannot listen on {name}: it has no address: {error}")]
    Name {
        /// The name, with the port.
        name: String,
        /// The system's error.
        error: io::Error,
    },
    /// An address that cannot be used.
    #[error("cannot listen on {address}: {error}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

impl ListenError {
    /// Whether another process or file has the place.
    pub fn is_taken(&self) -> bool {
        match self {
            ListenError::InUse(_) | ListenError::Occupied { .. } => true,
            ListenError::Address { error, .. } => error.kind() == ErrorKind::AddrInUse,
            ListenError::Owner { .. } | ListenError::Socket { .. } | ListenError::Name { .. } => false,
        }
    }
}

/// Path, permissions and owner of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// The path.
    pub path: PathBuf,
    /// The permissions.
    pub mode: u32,
    /// The owner; `None` for this process's user.
    pub owner: Option<SocketOwner>,
}

/// The owner of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOwner {
    /// As configured, for messages.
    pub text: String,
    /// The user.
    pub uid: u32,
    /// The group; `None` for this process's group.
    pub gid: Option<u32>,
}

/// The supervisor's socket in the file system. It is removed on drop, if it is still the same.
#[derive(Debug)]
pub struct UnixSocket {
    place: SocketSpec,
    /// Device and inode.
    identity: (u64, u64),
}

/// A new socket.
#[derive(Debug)]
pub struct Bound {
    /// The non-blocking listener.
    pub listener: UnixListener,
    /// The socket.
    pub socket: UnixSocket,
    /// Whether a dead socket was replaced.
    pub replaced: bool,
}

/// What the path of the supervisor's socket leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// The supervisor's socket.
    Own,
    /// Nothing.
    Gone,
    /// A socket on which no process listens.
    DeadSocket,
    /// Something else, which must not be touched.
    Foreign(&'static str),
}

impl UnixSocket {
    /// Creates a socket that has its owner and permissions from the instant it appears in its
    /// place.
    ///
    /// # Errors
    /// [`ListenError`]; an existing entry is left in place, unless it is a dead socket.
    pub fn bind(place: SocketSpec) -> Result<Bound, ListenError> {
        let (listener, identity, replaced) = make(&place, None)?;
        Ok(Bound { listener, socket: UnixSocket { place, identity }, replaced })
    }

    /// Returns path, permissions and owner.
    pub fn place(&self) -> &SocketSpec {
        &self.place
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Returns whether the path still leads to this socket.
    ///
    /// # Errors
    /// Those of lstat(2) and connect(2).
    pub fn check(&self) -> Result<SocketState, ListenError> {
        let Some(at) = At::find(&self.place.path)? else { return Ok(SocketState::Gone) };
        Ok(match at.look()? {
            PathTarget::Nothing => SocketState::Gone,
            PathTarget::Socket(identity, _) if identity == self.identity => SocketState::Own,
            PathTarget::Socket(_, false) => SocketState::DeadSocket,
            PathTarget::Socket(_, true) => SocketState::Foreign("a socket of another program"),
            PathTarget::Other(what) => SocketState::Foreign(what),
        })
    }

    /// Creates the socket again, as at the start, with the same treatment of an existing entry. The
    /// old listener may be dropped.
    ///
    /// # Errors
    /// Those of [`UnixSocket::bind`]; try again later.
    pub fn rebind(&mut self) -> Result<UnixListener, ListenError> {
        let (listener, identity, _) = make(&self.place, None)?;
        self.identity = identity;
        Ok(listener)
    }

    /// Replaces this socket by one with other permissions or another owner, in one step. Clients
    /// can connect at any instant, and the permissions of one are never combined with the owner of
    /// the other. The old listener may be dropped.
    ///
    /// # Errors
    /// Those of [`UnixSocket::bind`]; then this socket is unchanged.
    pub fn renew(&mut self, place: SocketSpec) -> Result<UnixListener, ListenError> {
        let (listener, identity, _) = make(&place, Some(self.identity))?;
        (self.place, self.identity) = (place, identity);
        Ok(listener)
    }

    /// Removes the socket, if the path still leads to it.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn remove(&mut self) -> Result<(), ListenError> {
        // Only once: the inode may be reused later.
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
        // A dead socket that stays is replaced by the next start.
        let _ = self.remove();
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ListenError {
    let path = path.to_owned();
    move |error| ListenError::Socket { doing, path, error }
}

/// What a path leads to, without following links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathTarget {
    Nothing,
    /// Device and inode, and whether a process listens.
    Socket((u64, u64), bool),
    Other(&'static str),
}

/// The place of a socket: the open folder, and the name in it.
struct At<'a> {
    folder: Folder,
    name: OsString,
    /// The configured path, for messages.
    path: &'a Path,
}

impl<'a> At<'a> {
    /// Opens the folder; `None` if it does not exist.
    fn find(path: &'a Path) -> Result<Option<At<'a>>, ListenError> {
        match reach::FileLocation::of(path, None) {
            Ok(reach::FileLocation { folder, name, .. }) => Ok(Some(At { folder, name, path })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", path)(error)),
        }
    }

    /// Returns device and inode of the entry with this name.
    fn identity(&self) -> io::Result<Option<(u64, u64)>> {
        Ok(self.folder.stat_of(&self.name)?.map(|stat| (stat.st_dev, stat.st_ino)))
    }

    /// Whether a process listens on the socket of this name. The socket is reached through a descriptor of its own: a path
    /// through that of the folder may be longer than an address of a socket can be.
    fn is_live(&self) -> nix::Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.folder, &self.name, flags, Mode::empty());
        is_live(&by_descriptor(&opened.map_err(|error| Errno::from_raw(error.raw_os_error()))?))
    }

    fn look(&self) -> Result<PathTarget, ListenError> {
        let failed = || failed("look at", self.path);
        let Some(stat) = self.folder.stat_of(&self.name).map_err(failed())? else { return Ok(PathTarget::Nothing) };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => PathTarget::Other("a symbolic link"),
            FileType::Directory => PathTarget::Other("a directory"),
            FileType::RegularFile => PathTarget::Other("a regular file"),
            FileType::Socket => match self.is_live() {
                Ok(live) => PathTarget::Socket((stat.st_dev, stat.st_ino), live),
                Err(Errno::ENOENT) => PathTarget::Nothing,
                Err(error) => return Err(failed()(error.into())),
            },
            _ => PathTarget::Other("a pipe or device"),
        })
    }

    /// Returns what the name leads to; `own` counts as a socket on which no process listens.
    fn look_past(&self, own: Option<(u64, u64)>) -> Result<PathTarget, ListenError> {
        Ok(match self.look()? {
            PathTarget::Socket(identity, _) if Some(identity) == own => PathTarget::Socket(identity, false),
            there => there,
        })
    }
}

/// Whether a process listens on a socket, without waiting. A listener that is too busy to accept
/// counts.
fn is_live(path: &Path) -> nix::Result<bool> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN | Errno::EINPROGRESS | Errno::EPROTOTYPE) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        // A socket that this user may not connect to must not be removed.
        Err(Errno::EACCES | Errno::EPERM) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Temporary name of a socket in its private folder.
const SOCKET: &str = "s";

/// A folder beside a place that only this user can enter.
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
            // Left by an earlier process with the same pid, which died here.
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

/// Returns a path through the descriptor, which cannot be redirected to another file.
fn by_descriptor(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Creates a socket in its place. `own` is the socket to be replaced, if there is one.
fn make(place: &SocketSpec, own: Option<(u64, u64)>) -> Result<(UnixListener, (u64, u64), bool), ListenError> {
    let path = &place.path;
    let making = || failed("make", path);
    let at = At::find(path)?.ok_or_else(|| making()(Errno::ENOENT.into()))?;
    // First, so that an error names the problem of the place rather than that of its folder.
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

/// Binds in the private folder of a place. The full path is more informative in lists of sockets,
/// but may be too long, and is only safe where no other user can change the folders on the way.
fn bind_in(path: &Path, private: &Private<'_>) -> io::Result<UnixListener> {
    let full = path.with_file_name(&private.name).join(SOCKET);
    let by_descriptor = by_descriptor(&private.folder).join(SOCKET);
    let is_sure = full.as_os_str().len() <= LONGEST && reach::is_closed(path);
    UnixListener::bind(if is_sure { full } else { by_descriptor })
}

/// Refuses an entry that must not be removed.
fn refuse(path: &Path, there: PathTarget) -> Result<(), ListenError> {
    match there {
        PathTarget::Nothing | PathTarget::Socket(_, false) => Ok(()),
        PathTarget::Socket(_, true) => Err(ListenError::InUse(path.to_owned())),
        PathTarget::Other(what) => Err(ListenError::Occupied { path: path.to_owned(), what }),
    }
}

/// Moves the socket into its place; true if it replaced a dead socket.
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
            // Another process changed the place in between: look again.
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOENT) => {}
            // The file system can only rename: the check just before is the best that is possible
            // there.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                renameat(private, SOCKET, &at.folder, &at.name).map_err(|error| moving()(error.into()))?;
                return Ok(replaces);
            }
            Err(error) => return Err(moving()(error.into())),
        }
    }
    Err(moving()(io::Error::other("another process keeps changing it")))
}

/// Listens on a port, without blocking: on all addresses of a name, or on all of this host if none
/// is given.
///
/// On all addresses of this host, one listener for IPv6 accepts IPv4 too, unless the system has
/// that disabled.
///
/// # Errors
/// [`ListenError::Name`], [`ListenError::Address`]: the first failure. A host without IPv6 (or
/// IPv4) is not a failure, if there is another address.
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
            // The IPv6 listener already covers IPv4.
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

/// Returns the addresses of a name. A program of the system is asked: the C library would load
/// modules of its name service into this statically linked program, where some of them crash. The C
/// library is asked only if there is no such program.
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

/// Whether this host does not have the address or its address family.
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

        /// Drops a listener. A child that another test is starting may hold it for an instant
        /// longer.
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
        assert_eq!(bound.socket.check().unwrap(), SocketState::Own);
        folder.holds(&["s.sock"]);
        bound.socket.remove().unwrap();
        folder.holds(&[]);
        assert_eq!(bound.socket.check().unwrap(), SocketState::Gone);
        bound.listener = bound.socket.rebind().unwrap();
        assert_eq!(bound.socket.check().unwrap(), SocketState::Own);
        drop(bound);
        folder.holds(&[]);
    }

    #[test]
    fn only_a_dead_socket_is_replaced() {
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
    fn a_busy_listener_counts_as_live_and_is_not_waited_for() {
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
    fn changes_of_the_path_are_noticed_and_repaired_where_allowed() {
        let folder = Dir::new();
        let mut bound = UnixSocket::bind(folder.place()).unwrap();
        fs::remove_file(folder.path()).unwrap();
        folder.let_die(UnixListener::bind(folder.path()).unwrap());
        assert_eq!(bound.socket.check().unwrap(), SocketState::DeadSocket);
        bound.listener = bound.socket.rebind().unwrap();
        assert_eq!(bound.socket.check().unwrap(), SocketState::Own);
        UnixStream::connect(folder.path()).unwrap();

        fs::remove_file(folder.path()).unwrap();
        let other = UnixListener::bind(folder.path()).unwrap();
        assert_eq!(bound.socket.check().unwrap(), SocketState::Foreign("a socket of another program"));
        assert!(bound.socket.rebind().unwrap_err().is_taken());
        drop(other);
        fs::remove_file(folder.path()).unwrap();
        fs::write(folder.path(), "x").unwrap();
        assert_eq!(bound.socket.check().unwrap(), SocketState::Foreign("a regular file"));
        assert!(bound.socket.rebind().unwrap_err().is_taken());
        drop(bound);
        assert_eq!(fs::read_to_string(folder.path()).unwrap(), "x");
        folder.holds(&["s.sock"]);
    }

    #[test]
    fn the_longest_path_works() {
        // A path through a descriptor is longer where there are many descriptors.
        let _many: Vec<fs::File> = (0..100).map(|_| fs::File::open("/").unwrap()).collect();
        let folder = Dir::new();
        let room = LONGEST - folder.path().parent().unwrap().as_os_str().len() - 1;
        let path = folder.0.path().join("x".repeat(room));
        assert_eq!(path.as_os_str().len(), LONGEST);
        let bound = UnixSocket::bind(SocketSpec { path: path.clone(), ..folder.place() }).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(bound.socket.check().unwrap(), SocketState::Own);
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
    fn a_path_that_another_user_can_redirect_is_refused() {
        let folder = Dir::new();
        let (foreign, elsewhere) = (folder.0.path().join("foreign"), folder.0.path().join("elsewhere"));
        for path in [&foreign, &elsewhere] {
            fs::create_dir(path).unwrap();
        }
        let place = SocketSpec { path: foreign.join("run/s.sock"), ..folder.place() };
        std::os::unix::fs::symlink(&elsewhere, foreign.join("run")).unwrap();
        drop(UnixSocket::bind(place.clone()).unwrap());
        fs::set_permissions(&foreign, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = |place: &SocketSpec| {
            let error = UnixSocket::bind(place.clone()).unwrap_err().to_string();
            assert!(
                error.contains("foreign/run on the way: it is a symbolic link, in a folder that another"),
                "{error}"
            );
        };
        refused(&place);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        // A socket that already exists stays in its folder when the path to it is redirected.
        let (link, kept) = (foreign.join("run"), foreign.join("kept"));
        fs::remove_file(&link).unwrap();
        fs::create_dir(&link).unwrap();
        let mut bound = UnixSocket::bind(place.clone()).unwrap();
        fs::rename(&link, &kept).unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        assert!(bound.socket.check().is_err());
        bound.socket.remove().unwrap();
        assert!(kept.join("s.sock").exists());
        // A folder of another user may hold a socket: nothing is reached through it.
        if geteuid().is_root() {
            fs::remove_file(&link).unwrap();
            fs::create_dir(&link).unwrap();
            std::os::unix::fs::chown(&link, Some(1234), Some(1234)).unwrap();
            let bound = UnixSocket::bind(place.clone()).unwrap();
            UnixStream::connect(&place.path).unwrap();
            assert_eq!(bound.socket.check().unwrap(), SocketState::Own);
            drop(bound);
            assert_eq!(fs::read_dir(&link).unwrap().count(), 0);
        }
    }

    #[test]
    fn files_that_another_user_placed_are_not_touched() {
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
    fn a_missing_folder_is_reported() {
        let place = SocketSpec { path: "/no/such/s".into(), ..Dir::new().place() };
        let error = UnixSocket::bind(place).unwrap_err().to_string();
        assert!(error.starts_with("cannot make socket /no/such/s: No such file"), "{error}");
    }

    #[test]
    fn errors_of_ports_name_the_address() {
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
        // As above, a child may hold it for an instant longer.
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
