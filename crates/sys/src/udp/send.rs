//! Sending datagrams to one destination, in batches.
//!
//! What costs the kernel most is the way of a datagram through its network stack. Datagrams of one
//! length that follow each other take that way as one (`UDP_SEGMENT`, segmentation offload): the
//! kernel or the network card cuts them at the end of it, and who receives them sees no difference.
//! A packet capture on the sending host does: so only batches of [`MANY`] go that way, and only where
//! [asked for](Sender::joining).

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::Type;

use super::BATCH;
use crate::{Error, Leave};

/// A UDP socket that sends to one destination, in batches.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
    /// Whether datagrams of one length may go as one: asked for, and not refused by the kernel yet.
    may_join: AtomicBool,
}

/// Datagrams of a batch from which on those of one length go through the kernel as one.
pub const MANY: usize = 16;

/// Octets of datagrams that go as one, at most: a little less than fits a UDP datagram, for IP
/// headers with options.
const JOINED: usize = 65_000;

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
        Ok(socket.into())
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
        Ok(UdpSocket::from(socket).into())
    }

    /// Lets datagrams of one length go through the kernel as one, in batches of [`MANY`] and more: a
    /// third of the time, and who receives them sees no difference. A packet capture on this host
    /// does, and a group of sockets that share a port on it gets them together, so it is to be asked
    /// for.
    #[must_use]
    pub fn joining(self) -> Self {
        self.may_join.store(true, Ordering::Relaxed);
        self
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
        let datagrams = datagrams.get(..BATCH).unwrap_or(datagrams);
        let joins = datagrams.len() >= MANY && self.may_join.load(Ordering::Relaxed);
        match self.send_messages(datagrams, joins) {
            Err(e) if joins && run(datagrams) > 1 && is_refusal(&e) => {
                self.may_join.store(false, Ordering::Relaxed);
                self.send_messages(datagrams, false)
            }
            sent => sent,
        }
    }

    /// Whether datagrams may still go as one.
    #[cfg(test)]
    pub(super) fn joins(&self) -> bool {
        self.may_join.load(Ordering::Relaxed)
    }

    /// Sends datagrams, `joins` says whether those of one length as one. At most [`BATCH`].
    fn send_messages<T: AsRef<[u8]>>(&self, datagrams: &[T], joins: bool) -> io::Result<usize> {
        let mut parts: [libc::iovec; BATCH] =
            std::array::from_fn(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        for (part, datagram) in parts.iter_mut().zip(datagrams) {
            let bytes = datagram.as_ref();
            *part =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        }
        let mut controls = [Control::of(0); BATCH];
        // SAFETY: all-zero octets are a valid mmsghdr: null pointers with length 0.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut lens = [0; BATCH];
        let (mut rest, mut rest_parts, mut count) = (datagrams, parts.as_mut_slice(), 0);
        for ((header, control), len) in headers.iter_mut().zip(&mut controls).zip(&mut lens) {
            let Some(first) = rest.first() else { break };
            let here = if joins { run(rest) } else { 1 };
            *len = here;
            let (these, others) = rest_parts.split_at_mut(here);
            header.msg_hdr.msg_iov = these.as_mut_ptr();
            header.msg_hdr.msg_iovlen = here as _;
            if here > 1 {
                // Fits: see `run`.
                *control = Control::of(first.as_ref().len() as u16);
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                header.msg_hdr.msg_controllen = size_of::<Control>() as _;
            }
            (rest, rest_parts, count) = (&rest[here..], others, count + 1);
        }
        // SAFETY: the socket is open and connected; each of the first `count` headers points to
        // iovecs over borrowed slices, and maybe to a control message, all of which the kernel only
        // reads. They outlive the call.
        let sent = unsafe {
            libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0)
        };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        Ok(lens.iter().take(sent).sum())
    }
}

impl From<UdpSocket> for Sender {
    fn from(socket: UdpSocket) -> Self {
        Self { socket, may_join: AtomicBool::new(false) }
    }
}

/// How many of these datagrams can go as one: those as long as the first, and one that is shorter
/// behind them. 1 if it has to go alone.
pub(super) fn run<T: AsRef<[u8]>>(datagrams: &[T]) -> usize {
    let mut lens = datagrams.iter().map(|datagram| datagram.as_ref().len());
    let first = lens.next().unwrap_or(0);
    if first == 0 {
        return 1;
    }
    let room = JOINED / first;
    let mut count = 1;
    for len in lens.take(room.saturating_sub(1)) {
        if len > first || len == 0 {
            break;
        }
        count += 1;
        if len < first {
            break;
        }
    }
    count
}

/// The control message that says how long datagrams are that go as one.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    len: u16,
}

impl Control {
    fn of(len: u16) -> Self {
        // SAFETY: all-zero octets are a valid cmsghdr: numbers.
        let mut header: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        (header.cmsg_level, header.cmsg_type) = (libc::SOL_UDP, libc::UDP_SEGMENT);
        Self { header, len }
    }
}

/// Whether the kernel may have refused several datagrams because they went as one: it does not know
/// of that, the network card does not count check sums, or one is longer than what the way takes.
fn is_refusal(e: &io::Error) -> bool {
    let codes = [libc::EINVAL, libc::EIO, libc::EMSGSIZE, libc::EOPNOTSUPP, libc::ENOPROTOOPT];
    e.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Whether sending failed because the datagram is longer than what the way takes.
pub fn is_too_long(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EMSGSIZE)
}

/// Whether sending failed because the system had no memory for the datagram, or its queue was full.
pub fn is_without_room(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN))
}
