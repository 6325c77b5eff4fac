//! Descriptors that a process passes to itself across an exec of its own program.
//!
//! The descriptors travel in a message that waits in a socket, and that socket is descriptor 0 of
//! the new program. A received descriptor is the same open file, with its position, flags and
//! locks, and is close-on-exec like every other one that the program opens. All that can fail (no
//! descriptors, no memory) fails before the exec, while the old program can still continue; a
//! descriptor that is not taken out of the parcel is closed with it.
//!
//! # If the process dies here
//!
//! The kernel closes the descriptors in the parcel together with the socket.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Descriptors that one parcel may hold; a launcher has about ten.
const MOST: usize = 32;
/// A message must contain at least one byte.
const BYTE: [u8; 1] = [0];

/// Descriptors to pass on.
#[derive(Debug, Default)]
pub struct Parcel<'fd> {
    content: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Parcel<'fd> {
    /// Adds a descriptor, which stays open here as well; returns the number by which the new
    /// program requests it.
    pub fn add(&mut self, fd: BorrowedFd<'fd>) -> usize {
        self.content.push(fd);
        self.content.len() - 1
    }

    /// Returns the socket in which the descriptors wait. It must become descriptor 0 of the new
    /// program.
    ///
    /// # Errors
    /// When there are more descriptors than a parcel holds, or the kernel has no descriptor or
    /// memory for the socket.
    pub fn post(&self) -> io::Result<OwnedFd> {
        if self.content.len() > MOST {
            return Err(io::Error::new(ErrorKind::InvalidInput, "too many descriptors for one parcel"));
        }
        let (waiting, sending) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !self.content.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(&self.content)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        sendmsg(&sending, &[IoSlice::new(&BYTE)], &mut rights, SendFlags::DONTWAIT)?;
        Ok(waiting)
    }
}

/// Received descriptors.
#[derive(Debug, Default)]
pub struct Arrived {
    content: Vec<Option<OwnedFd>>,
}

impl Arrived {
    /// Receives the parcel from descriptor 0.
    ///
    /// # Errors
    /// When there is none, or the kernel cannot deliver it just now; then the parcel is still
    /// there. With `whole`, also when only some of the descriptors can be received.
    pub fn receive(whole: bool) -> io::Result<Arrived> {
        // Not through the standard library, whose stdin has a buffer that this process never needs.
        receive_from(rustix::stdio::stdin(), whole)
    }

    /// Returns the descriptor with this number.
    ///
    /// # Errors
    /// When it did not arrive, or was already taken.
    pub fn take(&mut self, number: usize) -> io::Result<OwnedFd> {
        let there = self.content.get_mut(number).and_then(Option::take);
        there.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the descriptor was not passed on"))
    }
}

/// Peeks at the message and leaves it in the socket: if a message does not fit, its received part
/// would be lost.
fn receive_from(socket: BorrowedFd<'_>, whole: bool) -> io::Result<Arrived> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut byte = BYTE;
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut rights, flags)?;
    let mut arrived = Arrived::default();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            arrived.content.extend(fds.map(Some));
        }
    }
    if whole && received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(rustix::io::Errno::MFILE.into());
    }
    Ok(arrived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use std::{
        fs::File,
        io::{Read, Seek, Write},
        os::fd::AsFd,
    };

    #[test]
    fn a_received_descriptor_is_the_same_open_file_and_closes_on_exec() {
        let mut file = File::from(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        let null = File::open("/dev/null").unwrap();
        let mut parcel = Parcel::default();
        let numbers = [parcel.add(null.as_fd()), parcel.add(file.as_fd())];
        let socket = parcel.post().unwrap();
        let mut arrived = receive_from(socket.as_fd(), true).unwrap();
        let taken = arrived.take(numbers[1]).unwrap();
        assert_eq!(fcntl(&taken, FcntlArg::F_GETFD).unwrap(), FdFlag::FD_CLOEXEC.bits());
        let mut two = [0; 2];
        File::from(taken).read_exact(&mut two).unwrap();
        assert_eq!(file.stream_position().unwrap(), 2, "one open file has one position");
        arrived.take(numbers[0]).unwrap();
        arrived.take(numbers[0]).unwrap_err();
        arrived.take(99).unwrap_err();
    }

    #[test]
    fn other_messages_are_refused_without_waiting() {
        let (reader, _writer) = io::pipe().unwrap();
        receive_from(reader.as_fd(), true).unwrap_err();
        receive_from(File::open("/dev/null").unwrap().as_fd(), true).unwrap_err();
        let (here, _there) = std::os::unix::net::UnixDatagram::pair().unwrap();
        receive_from(here.as_fd(), true).unwrap_err();
    }

    #[test]
    fn too_many_descriptors_are_refused_and_none_are_accepted() {
        let null = File::open("/dev/null").unwrap();
        let mut parcel = Parcel::default();
        let socket = parcel.post().unwrap();
        receive_from(socket.as_fd(), true).unwrap();
        for _ in 0..MOST {
            parcel.add(null.as_fd());
        }
        parcel.post().unwrap();
        parcel.add(null.as_fd());
        parcel.post().unwrap_err();
    }
}
