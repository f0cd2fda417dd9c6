//! Receiving and sending datagrams in batches.
//!
//! A [`Receiver`] reads up to [`BATCH`] datagrams with one system call and knows how many the
//! kernel threw away because its buffer was full. It says nothing about what is in them.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

/// Datagrams that one system call takes at most.
pub const BATCH: usize = 64;

/// Octets of the largest UDP payload, and room for each datagram: none is ever cut short.
pub const LARGEST: usize = 65_535;

/// Which addresses a socket listens to when no address is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv6 and IPv4 on one socket; IPv4 alone on hosts without IPv6.
    #[default]
    Dual,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Where and how to listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Local address; `None` is every address of `family`.
    pub bind: Option<IpAddr>,
    /// UDP port; 0 lets the kernel choose.
    pub port: u16,
    /// Address family.
    pub family: Family,
    /// Multicast group to join. Such a socket shares its port with others on the host.
    pub group: Option<IpAddr>,
    /// Octets of payload the kernel should buffer; `None` keeps the system's default.
    pub receive_buffer: Option<usize>,
}

impl Listen {
    fn address(&self) -> Result<SocketAddr, Error> {
        let unspecified: IpAddr = match (self.family, self.group) {
            (Family::V4, _) | (Family::Dual, Some(IpAddr::V4(_))) => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let ip = self.bind.unwrap_or(unspecified);
        let wrong = match self.family {
            Family::Dual => false,
            Family::V4 => !ip.is_ipv4(),
            Family::V6 => !ip.is_ipv6(),
        };
        if wrong {
            return Err(Error::Family { addr: ip });
        }
        Ok(SocketAddr::new(ip, self.port))
    }
}

/// One received datagram, borrowed until the callback returns.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Sender. An IPv4 sender is IPv4 on a dual-stack socket, too.
    pub peer: SocketAddr,
    /// When the kernel took it from the network, milliseconds since 1970; `None` where it does
    /// not say.
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
    /// Datagrams the kernel dropped on this socket since it was opened, as far as is known.
    pub dropped_total: u64,
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
    /// Opens and binds a socket.
    ///
    /// # Errors
    /// If the address cannot be had, the group cannot be joined or a vital option is refused.
    pub fn bind(listen: &Listen) -> Result<Self, Error> {
        let addr = listen.address()?;
        let socket = match open(addr, listen) {
            // A host without IPv6 still has IPv4.
            Err(Error::Bind { source, .. })
                if listen.bind.is_none()
                    && listen.family == Family::Dual
                    && matches!(
                        source.raw_os_error(),
                        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                    ) =>
            {
                open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port), listen)?
            }
            other => other?,
        };
        // Both are comforts that old kernels lack: without them drops are polled and times are
        // the caller's.
        let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
        let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
        // SAFETY: all-zero octets are a valid sockaddr_storage, which is plain numbers.
        let name: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Ok(Self {
            socket: socket.into(),
            // Zeroed by the kernel page by page, so small datagrams never touch most of it.
            slots: vec![0; BATCH * LARGEST].into_boxed_slice(),
            names: Box::new([name; BATCH]),
            controls: Box::new([Control([0; CONTROL_LEN]); BATCH]),
            drops: Drops::default(),
        })
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
        Ok(socket2::SockRef::from(&self.socket).recv_buffer_size()? / 2)
    }

    /// Datagrams the kernel dropped on this socket since it was opened: asks, rather than waiting
    /// for the next datagram to tell.
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
        for (part, slot) in parts.iter_mut().zip(self.slots.chunks_exact_mut(LARGEST)) {
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
        // SAFETY: the socket is open; each of the BATCH headers points to a name, an iovec with a
        // slot of LARGEST octets and a control buffer of CONTROL_LEN octets, all distinct and all
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
        let slots = self.slots.chunks_exact(LARGEST);
        for ((header, slot), name) in headers.iter().zip(slots).zip(self.names.iter()).take(got) {
            let told = Told::read(&header.msg_hdr);
            if let Some(n) = told.dropped {
                self.drops.saw(n);
            }
            each(Datagram {
                peer: peer(name),
                arrived_ms: told.arrived_ms,
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

fn open(addr: SocketAddr, listen: &Listen) -> Result<Socket, Error> {
    let failed = |source| Error::Bind { addr, source };
    let socket =
        Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    if addr.is_ipv6() {
        socket.set_only_v6(listen.family == Family::V6).map_err(failed)?;
    }
    if let Some(octets) = listen.receive_buffer {
        set_receive_buffer(&socket, octets)?;
    }
    if listen.group.is_some() {
        // Not set otherwise: two unicast sockets on one port would both open without complaint,
        // and the second would silently take all datagrams from the first.
        socket.set_reuse_address(true).map_err(failed)?;
    }
    socket.bind(&addr.into()).map_err(failed)?;
    if let Some(group) = listen.group {
        match group {
            IpAddr::V4(g) => socket.join_multicast_v4(&g, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(g) => socket.join_multicast_v6(&g, 0),
        }
        .map_err(|source| Error::Join { group, source })?;
    }
    Ok(socket)
}

/// Asks for `octets` with the privilege to exceed the system's limit, then without.
fn set_receive_buffer(socket: &Socket, octets: usize) -> Result<(), Error> {
    let octets = octets.min(i32::MAX as usize / 2); // the kernel doubles it in an i32
    if setsockopt(socket, sockopt::RcvBufForce, &octets).is_ok() {
        return Ok(());
    }
    socket
        .set_recv_buffer_size(octets)
        .map_err(|source| Error::SocketOption { option: "SO_RCVBUF", source })
}

/// The kernel's 32-bit drop counter, widened.
#[derive(Debug, Default)]
struct Drops {
    last: u32,
    total: u64,
}

impl Drops {
    /// Takes a reading. One that is behind, because it was attached to a datagram while the other
    /// was asked for later, changes nothing.
    fn saw(&mut self, now: u32) {
        let more = now.wrapping_sub(self.last);
        if more < 1 << 31 {
            self.last = now;
            self.total += u64::from(more);
        }
    }
}

/// Last of the nine counters of SO_MEMINFO; `None` before Linux 4.12.
fn meminfo_drops(socket: BorrowedFd<'_>) -> Option<u32> {
    const COUNTERS: usize = 9;
    let mut counters = [0u32; COUNTERS];
    let mut len = size_of_val(&counters) as libc::socklen_t;
    // SAFETY: the descriptor is open, and `len` is the size of the buffer that is passed with it.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            counters.as_mut_ptr().cast(),
            &mut len,
        )
    };
    let is_complete = result == 0 && len as usize == size_of_val(&counters);
    counters.last().copied().filter(|_| is_complete)
}

/// Room for the two control messages a datagram comes with: 24 octets for SO_RXQ_OVFL and 32 for
/// SCM_TIMESTAMPNS on 64-bit systems.
const CONTROL_LEN: usize = 64;

/// Control messages are read through structs that want this alignment.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_LEN]);

/// What the control messages of a datagram say.
#[derive(Default)]
struct Told {
    dropped: Option<u32>,
    arrived_ms: Option<u64>,
}

impl Told {
    fn read(header: &libc::msghdr) -> Self {
        let mut told = Self::default();
        // SAFETY: `recvmmsg` has filled `header`, whose control pointer and length describe an
        // aligned buffer that is alive: it belongs to the receiver that calls this. The macros
        // stay within that length.
        let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !at.is_null() {
            // SAFETY: `at` is not null, so it points to a whole control header in that buffer.
            let (level, kind, len) =
                unsafe { ((*at).cmsg_level, (*at).cmsg_type, (*at).cmsg_len as usize) };
            // SAFETY: as above; the data follow the header.
            let data = unsafe { libc::CMSG_DATA(at) };
            // SAFETY: CMSG_LEN is arithmetic.
            let holds = |size: usize| len >= unsafe { libc::CMSG_LEN(size as u32) } as usize;
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) if holds(size_of::<u32>()) => {
                    // SAFETY: the message holds four octets, read without regard to alignment.
                    told.dropped = Some(unsafe { data.cast::<u32>().read_unaligned() });
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if holds(size_of::<libc::timespec>()) => {
                    // SAFETY: the message holds a timespec, read without regard to alignment.
                    let t = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                    let secs = u64::try_from(t.tv_sec).ok();
                    told.arrived_ms = secs.map(|s| s * 1000 + t.tv_nsec as u64 / 1_000_000);
                }
                _ => {}
            }
            // SAFETY: `at` came from this header's buffer, so the next one does or is null.
            at = unsafe { libc::CMSG_NXTHDR(header, at) };
        }
        told
    }
}

/// The sender that the kernel wrote.
fn peer(name: &libc::sockaddr_storage) -> SocketAddr {
    let at = ptr::from_ref(name);
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says it is a sockaddr_in, which is smaller and less aligned than
            // the storage, and made of numbers only.
            let v4 = unsafe { &*at.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            SocketAddr::new(ip.into(), u16::from_be(v4.sin_port))
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for sockaddr_in6.
            let v6 = unsafe { &*at.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddr::new(v4.into(), port),
                None => SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into(),
            }
        }
        _ => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
    }
}

/// A UDP socket that sends to one destination, in batches.
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

#[cfg(test)]
mod tests {
    use super::*;

    const LO4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LO6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
    const SOON: Option<Duration> = Some(Duration::from_secs(5));

    fn listen(bind: Option<IpAddr>, family: Family) -> Receiver {
        Receiver::bind(&Listen { bind, family, ..Listen::default() }).unwrap()
    }

    fn sender(to: IpAddr, receiver: &Receiver) -> Sender {
        let port = receiver.local_addr().unwrap().port();
        Sender::connect(SocketAddr::new(to, port)).unwrap()
    }

    /// Everything that is there, copied.
    fn drain(receiver: &mut Receiver) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        let mut keep = |d: Datagram<'_>| {
            assert!(!d.truncated);
            all.push((d.peer, d.bytes.to_vec()));
        };
        while receiver.recv(None, Some(Duration::ZERO), &mut keep).unwrap().count > 0 {}
        all
    }

    fn send_all(sender: &Sender, mut datagrams: &[Vec<u8>]) {
        while !datagrams.is_empty() {
            let n = sender.send_batch(datagrams).unwrap();
            datagrams = &datagrams[n..];
        }
    }

    #[test]
    fn batches_keep_order_lengths_and_sender() {
        let mut rx = listen(Some(LO4), Family::V4);
        let tx = sender(LO4, &rx);
        let datagrams: Vec<Vec<u8>> = (0..150).map(|n| vec![n as u8; n]).collect();
        send_all(&tx, &datagrams);
        let got = drain(&mut rx);
        let me = tx.local_addr().unwrap();
        assert_eq!(got.len(), 150);
        for ((peer, bytes), want) in got.iter().zip(&datagrams) {
            assert_eq!((peer, bytes), (&me, want));
        }
    }

    #[test]
    fn the_largest_datagram_is_whole() {
        let mut rx = listen(Some(LO4), Family::V4);
        let tx = sender(LO4, &rx);
        let big: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect(); // IPv4 limit
        send_all(&tx, std::slice::from_ref(&big));
        assert_eq!(drain(&mut rx), [(tx.local_addr().unwrap(), big)]);
    }

    #[test]
    fn dual_stack_takes_both_families_and_shows_ipv4_as_ipv4() {
        let mut rx = listen(None, Family::Dual);
        for (to, is_v4) in [(LO4, true), (LO6, false)] {
            if !is_v4 && UdpSocket::bind((LO6, 0)).is_err() {
                continue; // a host without IPv6
            }
            send_all(&sender(to, &rx), &[b"x".to_vec()]);
            let peer = drain(&mut rx)[0].0;
            assert_eq!(peer.ip(), to);
            assert_eq!(peer.is_ipv4(), is_v4);
        }
    }

    #[test]
    fn families_are_kept_apart_where_asked() {
        let rx = listen(None, Family::V4);
        assert!(rx.local_addr().unwrap().is_ipv4());
        let wrong =
            Receiver::bind(&Listen { bind: Some(LO4), family: Family::V6, ..Listen::default() });
        assert!(matches!(wrong, Err(Error::Family { addr: LO4 })));
    }

    #[test]
    fn a_second_socket_on_the_port_is_refused() {
        let rx = listen(Some(LO4), Family::V4);
        let port = rx.local_addr().unwrap().port();
        let second = Receiver::bind(&Listen { bind: Some(LO4), port, ..Listen::default() });
        let Err(e) = second else { panic!("two sockets share port {port}") };
        assert!(e.to_string().contains(&port.to_string()), "{e}");
    }

    #[test]
    fn drops_and_receipts_add_up_to_what_was_sent() {
        let mut rx = Receiver::bind(&Listen {
            bind: Some(LO4),
            receive_buffer: Some(20_000),
            ..Listen::default()
        })
        .unwrap();
        assert_eq!(rx.receive_buffer().unwrap(), 20_000);
        let tx = sender(LO4, &rx);
        let (mut sent, mut got) = (0, 0);
        for round in 1..=3 {
            let burst = vec![vec![7; 1000]; 500];
            send_all(&tx, &burst);
            sent += burst.len() as u64;
            got += drain(&mut rx).len() as u64;
            let dropped = rx.dropped();
            assert!(dropped > 0, "the buffer held {sent} datagrams");
            assert_eq!(got + dropped, sent, "round {round}");
        }
        // The next datagram carries the count, too; it must not count twice.
        send_all(&tx, &[vec![1]]);
        let seen = rx.recv(None, SOON, |_| ()).unwrap();
        assert_eq!(seen, Received { count: 1, dropped_total: sent - got });
        assert_eq!(rx.dropped(), sent - got);
    }

    #[test]
    fn widened_counter_survives_wrap_and_late_readings() {
        let mut drops = Drops { last: u32::MAX - 1, total: 10 };
        for (reading, total) in [(u32::MAX, 11), (3, 15), (u32::MAX, 15), (2, 15), (4, 16)] {
            drops.saw(reading);
            assert_eq!(drops.total, total, "reading {reading}");
        }
    }

    #[test]
    fn kernel_time_is_the_wall_clock() {
        let mut rx = listen(Some(LO4), Family::V4);
        let before = crate::clock::now_ms();
        send_all(&sender(LO4, &rx), &[b"x".to_vec()]);
        let mut arrived = None;
        rx.recv(None, SOON, |d| arrived = d.arrived_ms).unwrap();
        let arrived = arrived.unwrap();
        assert!((before..=crate::clock::now_ms()).contains(&arrived), "{arrived} {before}");
    }

    #[test]
    fn a_wake_up_ends_the_wait() {
        let mut rx = listen(Some(LO4), Family::V4);
        let stop = crate::signal::Stop::new().unwrap();
        let other = stop.clone();
        let waiter = std::thread::spawn(move || {
            rx.recv(Some(other.as_fd()), None, |_| panic!("nothing was sent")).unwrap()
        });
        stop.request();
        assert_eq!(waiter.join().unwrap().count, 0);
    }

    #[test]
    fn an_empty_datagram_is_a_datagram() {
        let mut rx = listen(Some(LO4), Family::V4);
        send_all(&sender(LO4, &rx), &[Vec::new()]);
        assert_eq!(drain(&mut rx).len(), 1);
    }

    #[test]
    fn a_group_socket_shares_its_port() {
        let group: IpAddr = "239.255.77.7".parse().unwrap();
        let first = Receiver::bind(&Listen { group: Some(group), ..Listen::default() });
        // Hosts without a multicast route cannot join.
        let Ok(first) = first else { return };
        let port = first.local_addr().unwrap().port();
        let listen = Listen { group: Some(group), port, ..Listen::default() };
        assert!(Receiver::bind(&listen).is_ok());
    }
}
