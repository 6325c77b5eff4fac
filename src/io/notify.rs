//! Sockets on which a launcher receives messages: from its command, as under systemd
//! (`sd_notify(3)`), and from the supervisor of the program that it runs.
//!
//! A name is in the abstract namespace, so that no file can be left behind or be in the way. All
//! users see such names in `/proc/net/unix` and can send to them. So a name is a random word that
//! reveals nothing, above all not the handle of a task, and only messages of this process's user,
//! of root and of the task's processes are accepted. Each network namespace has its own names. A
//! file instead would be out of reach for a command that becomes another user, as services started
//! by root do. A message of the command is also sent to the socket that the launcher was given
//! itself, if there is one: a service that is wrapped in `launch` reaches its manager.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, recvmsg,
        sendto, setsockopt, socket, sockopt::PassCred,
    },
    unistd::geteuid,
};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::model::notify::{LOOK_FOR_REQUEST, socket_name};

/// The environment variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";
/// Longest message; systemd's own limit.
const LONGEST: usize = 4096;
/// Longest message of a supervisor.
const LONGEST_COMMAND: usize = 64 << 10;

/// The notify socket.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    /// The value of [`VARIABLE`] for the command.
    address: String,
    outer: Option<UnixAddr>,
}

/// The socket on which a supervisor sends commands to the shim of a run.
#[derive(Debug)]
pub struct CommandSocket {
    socket: OwnedFd,
}

impl CommandSocket {
    /// Opens the socket under a name that the supervisor has chosen.
    ///
    /// # Errors
    /// When no sockets are available.
    pub fn open(name: &str) -> io::Result<CommandSocket> {
        Ok(CommandSocket { socket: listen(&command_socket_name(name))? })
    }

    /// Returns the descriptor to poll for messages.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns the next message of this process's user or of root, if there is one.
    pub fn next(&self) -> Option<Vec<u8>> {
        match receive(&self.socket, LONGEST_COMMAND, &|_| false)? {
            Heard::Message(word) => Some(word),
            Heard::Request | Heard::Stranger => None,
        }
    }

    /// Continues with an inherited socket.
    pub fn take_over(socket: OwnedFd) -> CommandSocket {
        CommandSocket { socket }
    }
}

/// Sends a message to the [`CommandSocket`] of this name.
///
/// # Errors
/// When no process listens there, or its queue is full.
pub fn send_command(name: &str, message: &[u8]) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let from = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    let to = UnixAddr::new_abstract(command_socket_name(name).as_bytes())?;
    sendto(from.as_raw_fd(), message, &to, MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

/// Sends a message to the service manager that started this program, if there is one.
pub fn notify_manager(message: &str) {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    if let Some(outer) = outer()
        && let Ok(from) = socket(AddressFamily::Unix, SockType::Datagram, flags, None)
    {
        // A manager that does not receive it relies on its own timeout.
        let _ = sendto(from.as_raw_fd(), message.as_bytes(), &outer, MsgFlags::MSG_DONTWAIT);
    }
}

fn command_socket_name(name: &str) -> String {
    format!("taskwatcher-run-{name}")
}

fn listen(name: &str) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    setsockopt(&socket, PassCred, &true)?;
    Ok(socket)
}

/// A received message.
#[derive(Debug)]
pub enum Heard {
    /// A message of an accepted sender, cut at the size limit.
    Message(Vec<u8>),
    /// A request waits in the spool: see `io::bell`.
    Request,
    /// A message of another sender, which was discarded.
    Stranger,
}

/// Returns the next message, if there is one. Accepted senders are this process's user, root, and
/// the processes for which `is_trusted` is true.
fn receive(socket: &OwnedFd, longest: usize, is_trusted: &dyn Fn(i32) -> bool) -> Option<Heard> {
    let mut bytes = vec![0; longest];
    let mut room = nix::cmsg_space!(UnixCredentials);
    let (len, sender) = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        // There is no room for passed descriptors (a barrier's): the kernel closes them, as
        // intended.
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
    let trusted = sender.is_some_and(|(uid, pid)| uid == 0 || uid == geteuid().as_raw() || is_trusted(pid));
    bytes.truncate(len);
    Some(match trusted {
        true if bytes == LOOK_FOR_REQUEST => Heard::Request,
        true => Heard::Message(bytes),
        false => Heard::Stranger,
    })
}

impl Notify {
    /// Opens the socket under a random name.
    ///
    /// # Errors
    /// When no sockets or random bytes are available.
    pub fn open() -> io::Result<Notify> {
        let mut bytes = [0; 8];
        // So few bytes are never returned in part.
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        let name = socket_name(u64::from_ne_bytes(bytes));
        Ok(Notify { socket: listen(&name)?, address: format!("@{name}"), outer: outer() })
    }

    /// Returns the value of [`VARIABLE`]; empty after a re-execution, when the command already has
    /// it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the descriptor to poll for messages.
    pub fn readable(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns the next message, if there is one. A message of this process's user, of root, or of
    /// a process for which `is_trusted` is true is passed on to the outer socket.
    pub fn next(&self, is_trusted: &dyn Fn(i32) -> bool) -> Option<Heard> {
        let heard = receive(&self.socket, LONGEST, is_trusted)?;
        if let (Some(outer), Heard::Message(bytes)) = (&self.outer, &heard) {
            // A missing outer listener does not concern the command.
            let _ = sendto(self.socket.as_raw_fd(), bytes, outer, MsgFlags::MSG_DONTWAIT);
        }
        Some(heard)
    }

    /// Continues with an inherited socket.
    pub fn take_over(socket: OwnedFd) -> Notify {
        Notify { socket, address: String::new(), outer: outer() }
    }
}

/// Returns the address of the notify socket that this process was given.
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
    use std::io::ErrorKind;

    use super::*;
    use crate::io::bell::Bell;

    #[test]
    fn a_bell_is_found_at_the_address_of_a_launcher_alone() {
        let notify = Notify::open().unwrap();
        Bell::find(notify.address()).unwrap().ring().unwrap();
        assert!(matches!(notify.next(&|_| false), Some(Heard::Request)));
        // The sockets of a supervisor's runs, and of other programs, which a foreign spool could
        // name.
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
