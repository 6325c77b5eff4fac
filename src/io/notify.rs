//! Sockets on which a launcher is told things: by its command, as it would tell systemd of itself (`sd_notify(3)`), and
//! by the supervisor of the program that it runs.
//!
//! A name is in the abstract name space: there is no file that could stay behind or be in somebody's way. All users see
//! such names in `/proc/net/unix` and can send to them, so a name is a random word that says nothing else, above all not
//! the handle of a task, and only messages of our own user, of root and of the task's processes count. Each network
//! namespace has names of its own. A file in their place would be out of reach for a command that becomes another user,
//! as services do that are started by root. What a command tells is passed on to the socket that we were given ourselves,
//! if we were: a service that is wrapped in `launch` reaches its manager.

use std::{
    io::{self, ErrorKind, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, connect,
        recvmsg, send, sendto, setsockopt, socket, sockopt::PassCred,
    },
    unistd::geteuid,
};
use rustix::rand::{GetRandomFlags, getrandom};

/// The environment variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";
/// Longest message; systemd's own limit.
const LONGEST: usize = 4096;
/// Says that a request waits in the spool. Never passed on: it is between the programs of taskwatcher.
const LOOK_FOR_REQUEST: &[u8] = b"X_TASKWATCHER_REQUEST=1";
/// Longest word of a supervisor.
const LONGEST_WORD: usize = 64 << 10;

/// The socket.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    /// What the command finds in [`VARIABLE`].
    address: String,
    outer: Option<UnixAddr>,
}

/// A socket on which a supervisor tells the shim of a run what it wants.
#[derive(Debug)]
pub struct CommandSocket {
    socket: OwnedFd,
}

impl CommandSocket {
    /// Opens it under a name that the supervisor has chosen.
    ///
    /// # Errors
    /// When there are no sockets to be had.
    pub fn open(name: &str) -> io::Result<CommandSocket> {
        Ok(CommandSocket { socket: listen(&ear_name(name))? })
    }

    /// What to wait for until there is a message.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next message of our own user or of root, if there is one.
    pub fn next(&self) -> Option<Vec<u8>> {
        match receive(&self.socket, LONGEST_WORD, &|_| false)? {
            Heard::Message(word) => Some(word),
            Heard::Request | Heard::Stranger => None,
        }
    }

    /// Goes on with a socket that was handed over.
    pub fn take_over(socket: OwnedFd) -> CommandSocket {
        CommandSocket { socket }
    }
}

/// Sends a message to the [`CommandSocket`] of this name.
///
/// # Errors
/// When nobody listens there, or does not come to it.
pub fn tell(name: &str, message: &[u8]) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let from = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let to = UnixAddr::new_abstract(ear_name(name).as_bytes())?;
    sendto(from.as_raw_fd(), message, &to, MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

/// The way to a launcher that no signal reaches, because it runs in another pid namespace.
#[derive(Debug)]
pub struct Bell {
    socket: OwnedFd,
}

impl Bell {
    /// Finds the launcher that listens at the address of a [`Notify`].
    ///
    /// # Errors
    /// When none listens there in this network namespace, or the address is not one that a [`Notify`] gives itself:
    /// addresses come from a file that may belong to another user, who could name the socket of another program there.
    pub fn find(address: &str) -> io::Result<Bell> {
        let name = address.strip_prefix('@').filter(|name| is_notify_name(name));
        let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not the address of a launcher"))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Bell { socket })
    }

    /// Tells the launcher to look for a request in the spool.
    ///
    /// # Errors
    /// When it is gone, or too many messages wait for it already.
    pub fn ring(&self) -> io::Result<()> {
        send(self.socket.as_raw_fd(), LOOK_FOR_REQUEST, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

/// Tells the manager that started this program something, if there is one that wants to hear it.
pub fn tell_manager(message: &str) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    if let Some(outer) = outer()
        && let Ok(from) = socket(AddressFamily::Unix, SockType::Datagram, flags, None)
    {
        // One that does not hear it can only be told by its own clock.
        let _ = sendto(from.as_raw_fd(), message.as_bytes(), &outer, MsgFlags::MSG_DONTWAIT);
    }
}

fn ear_name(name: &str) -> String {
    format!("taskwatcher-run-{name}")
}

/// Returns the name of a [`Notify`] socket.
fn notify_name(random: u64) -> String {
    format!("taskwatcher-{random:016x}")
}

/// Whether [`notify_name`] makes this name.
fn is_notify_name(name: &str) -> bool {
    let random = name.strip_prefix("taskwatcher-").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    random.is_some_and(|random| notify_name(random) == name)
}

fn listen(name: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    setsockopt(&socket, PassCred, &true)?;
    Ok(socket)
}

/// What arrived.
#[derive(Debug)]
pub enum Heard {
    /// A message of who may send one; what is longer than its limit is cut.
    Message(Vec<u8>),
    /// A request waits in the spool: see [`Bell`].
    Request,
    /// One of somebody else, which was thrown away.
    Stranger,
}

/// Returns what arrived next, if anything did. Our own user and root may send, and the processes that `is_ours` knows.
fn receive(socket: &OwnedFd, longest: usize, is_ours: &dyn Fn(i32) -> bool) -> Option<Heard> {
    let mut bytes = vec![0; longest];
    let mut room = nix::cmsg_space!(UnixCredentials);
    let (len, sender) = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        // Descriptors that come along (a barrier's) have no room here: the kernel closes them, as is wanted.
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC) {
            Ok(message) => {
                let sender = message.cmsgs().into_iter().flatten().find_map(|part| match part {
                    ControlMessageOwned::ScmCredentials(sender) => Some((sender.uid(), sender.pid())),
                    _ => None,
                });
                break (message.bytes, sender);
            }
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    };
    let trusted = sender.is_some_and(|(uid, pid)| uid == 0 || uid == geteuid().as_raw() || is_ours(pid));
    bytes.truncate(len);
    Some(match trusted {
        true if bytes == LOOK_FOR_REQUEST => Heard::Request,
        true => Heard::Message(bytes),
        false => Heard::Stranger,
    })
}

impl Notify {
    /// Opens it under a name of its own.
    ///
    /// # Errors
    /// When there are no sockets or no random bytes to be had.
    pub fn open() -> io::Result<Notify> {
        let mut bytes = [0; 8];
        // So few bytes always come whole.
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let name = notify_name(u64::from_ne_bytes(bytes));
        Ok(Notify { socket: listen(&name)?, address: format!("@{name}"), outer: outer() })
    }

    /// What the command finds in [`VARIABLE`]; nothing where the socket was handed over, as the command has it already.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What to wait for until there is a message.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns what arrived next, if anything did. A message of our own user, of root, or of a process that `is_ours`
    /// knows is passed on.
    pub fn next(&self, is_ours: &dyn Fn(i32) -> bool) -> Option<Heard> {
        let heard = receive(&self.socket, LONGEST, is_ours)?;
        if let (Some(outer), Heard::Message(bytes)) = (&self.outer, &heard) {
            // That nobody listens there is not the command's business.
            let _ = sendto(self.socket.as_raw_fd(), bytes, outer, MsgFlags::MSG_DONTWAIT);
        }
        Some(heard)
    }

    /// Goes on with a socket that was handed over.
    pub fn take_over(socket: OwnedFd) -> Notify {
        Notify { socket, address: String::new(), outer: outer() }
    }
}

/// The socket that we were given ourselves.
fn outer() -> Option<UnixAddr> {
    let name = std::env::var(VARIABLE).ok()?;
    match name.strip_prefix('@') {
        Some(hidden) => UnixAddr::new_abstract(hidden.as_bytes()).ok(),
        None if name.starts_with('/') => UnixAddr::new(name.as_str()).ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_found_at_the_address_of_a_launcher_alone() {
        let notify = Notify::open().unwrap();
        Bell::find(notify.address()).unwrap().ring().unwrap();
        assert!(matches!(notify.next(&|_| false), Some(Heard::Request)));
        // The sockets of a supervisor's runs, and of other programs, which a foreign spool could name.
        let ear = CommandSocket::open("abcd").unwrap();
        let other = listen("other-program").unwrap();
        for address in
            ["@taskwatcher-run-abcd", "@other-program", "taskwatcher-0000000000000001", "@taskwatcher-1", "@"]
        {
            assert_eq!(Bell::find(address).unwrap_err().kind(), ErrorKind::InvalidInput, "{address}");
        }
        assert!(ear.next().is_none());
        drop(other);
        let gone = notify.address().to_owned();
        drop(notify);
        assert_eq!(Bell::find(&gone).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
