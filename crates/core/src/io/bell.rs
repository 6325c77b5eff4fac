//! Notifies the launcher of a task that a request waits in the spool, where no signal reaches it.

use std::{
    io::{self, ErrorKind},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};

use crate::model::notify::{LOOK_FOR_REQUEST, is_socket_name};

/// Notifies a launcher that no signal reaches, because it runs in another pid namespace.
#[derive(Debug)]
pub struct Bell {
    socket: OwnedFd,
}

impl Bell {
    /// Connects to the launcher that listens at the address of its notify socket.
    ///
    /// # Errors
    /// When no launcher listens there in this network namespace, or the address is not one of a
    /// launcher: addresses come from a file that may belong to another user, who could name the socket of another program
    /// there.
    pub fn find(address: &str) -> io::Result<Bell> {
        let name = address.strip_prefix('@').filter(|name| is_socket_name(name));
        let name = name.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "not the address of a launcher"))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
        Ok(Bell { socket })
    }

    /// Makes the launcher check for a request in the spool.
    ///
    /// # Errors
    /// When the launcher is gone, or its queue is full.
    pub fn ring(&self) -> io::Result<()> {
        send(self.socket.as_raw_fd(), LOOK_FOR_REQUEST, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}
