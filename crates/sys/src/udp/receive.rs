//! Receiving datagrams in batches, with the kernel's drop counter.

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::control::{CONTROL_LEN, Control, Drops, Told, meminfo_drops, peer};
use super::{BATCH, LARGEST, Listen, listen};
use crate::Error;

/// From one slot to the next: room for the largest datagram, and something more, so that slots do
/// not all begin where the same few sets of a cache are theirs.
const STRIDE: usize = LARGEST + 1 + 24 * 64;

/// One received datagram, borrowed until the callback returns.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Sender. An IPv4 sender is IPv4 on a dual-stack socket, too.
    pub peer: SocketAddr,
    /// When the kernel took it from the network, nanoseconds since 1970; `None` where it does not
    /// say. In the order of arrival on one socket, and comparable between sockets.
    pub arrived_ns: Option<u64>,
    /// The same in milliseconds.
    pub arrived_ms: Option<u64>,
    /// Payload.
    pub bytes: &'a [u8],
    /// Whether the payload was cut, which a datagram beyond [`LARGEST`] would be.
    pub truncated: bool,
}

/// What a call of [`Receiver::recv`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Datagrams given to the callback; 0 after a timeout or a wake-up.
    pub count: usize,
    /// Datagrams the kernel dropped on this socket, as far as is known: since it was opened, or
    /// since the [mark](DropMark) it was adopted with.
    pub dropped_total: u64,
}

/// How far the drop counter of a socket has been counted: survives the process that counted, so
/// that the next one that holds the socket counts on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropMark {
    /// The kernel's number of the socket, never given to another one until the next boot.
    pub cookie: u64,
    /// Reading of the kernel's 32-bit counter up to which drops have been counted.
    pub counted: u32,
}

/// A UDP socket that receives in batches.
pub struct Receiver {
    socket: UdpSocket,
    slots: Box<[u8]>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    drops: Drops,
}

impl Receiver {
    /// Opens and binds a socket. It shares its port with nobody, except for a multicast group.
    ///
    /// # Errors
    /// If the address cannot be had, the group cannot be joined or a vital option is refused.
    pub fn bind(listen: &Listen) -> Result<Self, Error> {
        listen::open(listen).map(Self::new)
    }

    /// Opens `count` sockets that share one address and port; each datagram goes to one of them,
    /// as [`Listen::steering`] says. With a multicast group, and for a `count` of 0, it is one
    /// socket. As with [`bind`](Self::bind), a port that somebody else has is refused.
    ///
    /// Each socket has a buffer of its own, so more sockets than threads make sense as well.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_group(listen: &Listen, count: usize) -> Result<Vec<Self>, Error> {
        let mut sockets = vec![listen::open(listen)?];
        listen::fill_group(&mut sockets, listen, count)?;
        Ok(sockets.into_iter().map(Self::new).collect())
    }

    /// Goes on with bound sockets from another process, with what waits in them, and binds more
    /// beside them until there are `count`. None is let go, whatever `count` is: it may hold
    /// datagrams. They come first, in their order. Fewer than `count` come back, with the reason,
    /// if the kernel refuses more, which it does when the sockets were made by another user.
    ///
    /// What the kernel dropped before counts as dropped here, except for what `marks` say was
    /// counted already.
    ///
    /// # Errors
    /// If an option that cannot be done without is refused. With no sockets it is
    /// [`bind_group`](Self::bind_group).
    pub fn adopt(
        listen: &Listen,
        mut sockets: Vec<UdpSocket>,
        count: usize,
        marks: &[DropMark],
    ) -> Result<(Vec<Self>, Option<Error>), Error> {
        if sockets.is_empty() {
            return Self::bind_group(listen, count).map(|group| (group, None));
        }
        for socket in &sockets {
            listen::prepare(socket, listen)?;
        }
        // Sharing is a gain, not a need: what was inherited is enough to go on.
        let refused = listen::fill_group(&mut sockets, listen, count).err();
        let adopt = |socket| {
            let mut receiver = Self::new(socket);
            let cookie = receiver.cookie();
            if let Some(mark) = marks.iter().find(|mark| Some(mark.cookie) == cookie) {
                receiver.drops = Drops::counted(mark.counted);
            }
            receiver
        };
        Ok((sockets.into_iter().map(adopt).collect(), refused))
    }

    fn new(socket: UdpSocket) -> Self {
        // Both are comforts that old kernels lack: without them drops are polled and times are
        // the caller's.
        let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        // SAFETY: all-zero octets are a valid sockaddr_storage, which is plain numbers.
        let name: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Self {
            socket,
            // Zeroed by the kernel page by page, so small datagrams never touch most of it.
            slots: vec![0; BATCH * STRIDE].into_boxed_slice(),
            names: Box::new([name; BATCH]),
            controls: Box::new([Control([0; CONTROL_LEN]); BATCH]),
            drops: Drops::default(),
        }
    }

    /// How far drops have been counted here: for whoever [adopts](Self::adopt) the socket next.
    /// `None` where the kernel cannot tell sockets apart (before Linux 4.12).
    pub fn mark(&self) -> Option<DropMark> {
        Some(DropMark { cookie: self.cookie()?, counted: self.drops.last })
    }

    /// A number the kernel gives to no other socket until the next boot.
    fn cookie(&self) -> Option<u64> {
        SockRef::from(&self.socket).cookie().ok()
    }

    /// Address and port in use.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Octets of payload the kernel agreed to buffer, comparable with
    /// [`Listen::receive_buffer`]: half of what Linux reports, since it doubles what it is asked
    /// for to pay for its own bookkeeping.
    ///
    /// # Errors
    /// The kernel's.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        Ok(SockRef::from(&self.socket).recv_buffer_size()? / 2)
    }

    /// As [`Received::dropped_total`], but asks rather than waiting for the next datagram to tell.
    pub fn dropped(&mut self) -> u64 {
        if let Some(now) = meminfo_drops(self.socket.as_fd()) {
            self.drops.saw(now);
        }
        self.drops.total
    }

    /// Hands what is there to `each`, at most [`BATCH`] datagrams, in the order of arrival. If
    /// nothing is there, waits until a datagram comes, `wake` turns readable or `timeout` is over;
    /// the last two bring a count of 0.
    ///
    /// # Errors
    /// The kernel's, other than interruption by a signal, which counts as a timeout.
    pub fn recv(
        &mut self,
        wake: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
        mut each: impl FnMut(Datagram<'_>),
    ) -> io::Result<Received> {
        let mut count = self.recv_now(&mut each)?;
        if count == 0 && self.wait(wake, timeout)? {
            count = self.recv_now(&mut each)?;
        }
        Ok(Received { count, dropped_total: self.drops.total })
    }

    /// Whether the socket turned readable in time.
    fn wait(&self, wake: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> io::Result<bool> {
        let socket = PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        let timeout = timeout
            .map_or(PollTimeout::NONE, |t| PollTimeout::try_from(t).unwrap_or(PollTimeout::MAX));
        let (mut one, mut two);
        let fds: &mut [PollFd<'_>] = if let Some(wake) = wake {
            two = [socket, PollFd::new(wake, PollFlags::POLLIN)];
            &mut two
        } else {
            one = [socket];
            &mut one
        };
        match poll(fds, timeout) {
            Ok(_) => Ok(fds.first().and_then(PollFd::any).unwrap_or(false)),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// One `recvmmsg` that does not wait. An error left on the socket by somebody's ICMP message
    /// counts as nothing there: a collector sends nothing that could fail.
    fn recv_now(&mut self, each: &mut impl FnMut(Datagram<'_>)) -> io::Result<usize> {
        let mut parts: [libc::iovec; BATCH] =
            std::array::from_fn(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: LARGEST });
        for (part, slot) in parts.iter_mut().zip(self.slots.chunks_exact_mut(STRIDE)) {
            part.iov_base = slot.as_mut_ptr().cast();
        }
        // SAFETY: all-zero octets are a valid mmsghdr: null pointers with length 0.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { MaybeUninit::zeroed().assume_init() };
        for (((header, part), name), control) in headers
            .iter_mut()
            .zip(&mut parts)
            .zip(self.names.iter_mut())
            .zip(self.controls.iter_mut())
        {
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = ptr::from_mut(control).cast();
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        // SAFETY: the socket is open; each of the BATCH headers points to a name, an iovec of LARGEST
        // octets of a slot that has more, and a control buffer of CONTROL_LEN octets, all distinct and all
        // alive and unshared for as long as `self` and this frame are.
        let got = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(got) = usize::try_from(got) else {
            let e = io::Error::last_os_error();
            return match e.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED) => Ok(0),
                _ => Err(e),
            };
        };
        let slots = self.slots.chunks_exact(STRIDE);
        for ((header, slot), name) in headers.iter().zip(slots).zip(self.names.iter()).take(got) {
            let told = Told::read(&header.msg_hdr);
            if let Some(n) = told.dropped {
                self.drops.saw(n);
            }
            each(Datagram {
                peer: peer(name),
                arrived_ns: told.arrived_ns,
                arrived_ms: told.arrived_ns.map(|ns| ns / 1_000_000),
                bytes: slot.get(..header.msg_len as usize).unwrap_or(slot),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(got)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
