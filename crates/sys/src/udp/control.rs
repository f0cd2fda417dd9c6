//! What the kernel says beside a datagram: who sent it, when, and how many were lost before it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// The kernel's 32-bit drop counter, widened.
#[derive(Debug, Default)]
pub(super) struct Drops {
    pub(super) last: u32,
    pub(super) total: u64,
}

impl Drops {
    /// A counter whose drops up to the reading `last` are somebody else's.
    pub(super) fn counted(last: u32) -> Self {
        Self { last, total: 0 }
    }

    /// Takes a reading. One that is behind, because it was attached to a datagram while the other
    /// was asked for later, changes nothing.
    pub(super) fn saw(&mut self, now: u32) {
        let more = now.wrapping_sub(self.last);
        if more < 1 << 31 {
            self.last = now;
            self.total += u64::from(more);
        }
    }
}

/// Last of the nine counters of SO_MEMINFO; `None` before Linux 4.12.
pub(super) fn meminfo_drops(socket: BorrowedFd<'_>) -> Option<u32> {
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
pub(super) const CONTROL_LEN: usize = 64;

/// Control messages are read through structs that want this alignment.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL_LEN]);

/// What the control messages of a datagram say.
#[derive(Default)]
pub(super) struct Told {
    pub(super) dropped: Option<u32>,
    pub(super) arrived_ns: Option<u64>,
}

impl Told {
    pub(super) fn read(header: &libc::msghdr) -> Self {
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
                    told.arrived_ns = secs
                        .and_then(|s| s.checked_mul(1_000_000_000))
                        .map(|ns| ns.saturating_add(t.tv_nsec as u64));
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
pub(super) fn peer(name: &libc::sockaddr_storage) -> SocketAddr {
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
