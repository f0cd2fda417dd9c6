//! Sending datagrams to one destination, in batches.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use socket2::Type;

use super::BATCH;
use crate::{Error, Leave};

/// A UDP socket that sends to one destination, in batches.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
}

impl Sender {
    /// Opens a socket to `to`.
    ///
    /// # Errors
    /// If the destination has no route or its family is not there.
    pub fn connect(to: SocketAddr) -> Result<Self, Error> {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self::connect_from(SocketAddr::new(any, 0), to)
    }

    /// Opens a socket to `to` that sends from the local address `from`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and if `from` is not ours.
    pub fn connect_from(from: SocketAddr, to: SocketAddr) -> Result<Self, Error> {
        let socket = UdpSocket::bind(from).map_err(|source| Error::Bind { addr: from, source })?;
        socket.connect(to).map_err(|source| Error::Connect { addr: to, source })?;
        Ok(Self { socket })
    }

    /// Opens a socket to `to` with options. Sending waits for room in the system's buffer a second
    /// at most, after which [`is_without_room`] says so.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and if an option is refused.
    pub fn open(to: SocketAddr, leave: &Leave) -> Result<Self, Error> {
        const PATIENCE: Duration = Duration::from_secs(1);
        let (socket, to) = leave.open(to, Type::DGRAM)?;
        let failed = |source| Error::Connect { addr: to, source };
        socket.connect(&to.into()).map_err(failed)?;
        socket.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { socket: socket.into() })
    }

    /// Address and port datagrams come from.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends datagrams with one system call, at most [`BATCH`] of them, and returns how many went
    /// out. Waits while the send buffer is full.
    ///
    /// # Errors
    /// The kernel's for the first datagram; later ones are left for the next call to report. An
    /// earlier datagram that nobody was listening for comes back as `ConnectionRefused` here, and
    /// a repeated call goes on.
    pub fn send_batch<T: AsRef<[u8]>>(&self, datagrams: &[T]) -> io::Result<usize> {
        let count = datagrams.len().min(BATCH);
        let mut parts: [libc::iovec; BATCH] =
            std::array::from_fn(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        // SAFETY: all-zero octets are a valid mmsghdr: null pointers with length 0.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        for ((header, part), datagram) in headers.iter_mut().zip(&mut parts).zip(datagrams) {
            let bytes = datagram.as_ref();
            *part =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the socket is open and connected; the first `count` headers each point to an
        // iovec over a borrowed slice, which the kernel only reads. They outlive the call.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Whether sending failed because the datagram is longer than what the way takes.
pub fn is_too_long(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Whether sending failed because the system had no memory for the datagram, or its queue was full.
pub fn is_without_room(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN))
}
