//! Descriptors that a process hands to itself across an exec of its own program.
//!
//! They travel in a message that waits in a socket, and that socket is descriptor 0 of the new program. What arrives is
//! the same open file, with its position, its flags and its locks, and is closed on exec like everything else that the
//! program opens. All that can fail (no descriptors, no memory) fails before the exec, while the old program can still
//! go on; a descriptor that is not taken out of the parcel is closed with it.
//!
//! # If we die here
//! What is in the parcel is closed by the kernel together with the socket.

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
/// A message needs one byte at least.
const BYTE: [u8; 1] = [0];

/// Descriptors that are to be handed over.
#[derive(Debug, Default)]
pub struct Parcel<'fd> {
    content: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Parcel<'fd> {
    /// Adds a descriptor, which stays open here as well; returns the number by which the new program asks for it.
    pub fn add(&mut self, fd: BorrowedFd<'fd>) -> usize {
        self.content.push(fd);
        self.content.len() - 1
    }

    /// Returns the socket in which the descriptors wait. It has to become descriptor 0 of the new program.
    ///
    /// # Errors
    /// When there are more descriptors than a parcel holds, or the kernel has no descriptor or memory for the socket.
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

/// Descriptors that arrived.
#[derive(Debug, Default)]
pub struct Arrived {
    content: Vec<Option<OwnedFd>>,
}

impl Arrived {
    /// Takes the parcel out of descriptor 0.
    ///
    /// # Errors
    /// When there is none, or the kernel cannot deliver it just now; then it is still there. With `whole`, also when only
    /// some of the descriptors can be had.
    pub fn receive(whole: bool) -> io::Result<Arrived> {
        // Not by the standard library, whose stdin has a buffer that this process never needs.
        receive_from(rustix::stdio::stdin(), whole)
    }

    /// Returns the descriptor of this number.
    ///
    /// # Errors
    /// When it did not arrive, or was taken already.
    pub fn take(&mut self, number: usize) -> io::Result<OwnedFd> {
        let there = self.content.get_mut(number).and_then(Option::take);
        there.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the descriptor was not handed over"))
    }
}

/// Looks at the message and leaves it where it is: what is received of a message that does not fit is lost with it.
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
    fn what_arrives_is_the_same_open_file_and_closes_on_exec() {
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
    fn what_is_no_parcel_is_refused_without_waiting() {
        let (reader, _writer) = io::pipe().unwrap();
        receive_from(reader.as_fd(), true).unwrap_err();
        receive_from(File::open("/dev/null").unwrap().as_fd(), true).unwrap_err();
        let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        receive_from(ours.as_fd(), true).unwrap_err();
    }

    #[test]
    fn too_many_descriptors_are_refused_and_none_are_a_parcel_too() {
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
