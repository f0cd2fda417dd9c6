//! Questions to the kernel and its news, by netlink (netlink(7), rtnetlink(7); RFC 3549).
//!
//! [`links`] and [`route`] ask for interfaces and for the way to an address. [`NetfilterSocket`]
//! receives what connection tracking tells; what its messages mean is not known here. Messages come
//! from the kernel alone, and yet no length in them is trusted.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, connect,
    getsockopt, recv, send, setsockopt, socket, sockopt,
};

use crate::Error;
use crate::poll::{self, Ready};
use crate::ring::set_option;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number (ifIndex).
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address, where it has one.
    pub mac: Option<[u8; 6]>,
    /// Kind of hardware (ARPHRD_ number): 1 is Ethernet, 772 the loopback.
    pub hardware: u16,
    /// Whether it is up.
    pub is_up: bool,
    /// Number of the interface it is made on, for example that of a VLAN; 0 if none.
    pub parent: u32,
    /// Frames that it lost itself since it exists: no memory, or not fetched in time.
    pub missed: u64,
}

/// The way that the kernel sends a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Number of the interface (ifIndex) that it leaves by; that of the loopback for the host's own
    /// addresses.
    pub output: u32,
    /// Router it goes to; `None` if the destination is reached directly.
    pub next_hop: Option<IpAddr>,
    /// Address that the host itself would send from.
    pub source: Option<IpAddr>,
    /// Whether the destination is the host itself.
    pub is_local: bool,
}

/// All interfaces, by number.
///
/// # Errors
/// If the kernel does not answer.
pub fn links() -> Result<Vec<Link>, Error> {
    RouteSocket::open()?.links()
}

/// The way to an address; `None` if there is none.
///
/// # Errors
/// If the kernel does not answer.
pub fn route(destination: IpAddr) -> Result<Option<Route>, Error> {
    RouteSocket::open()?.route(destination)
}

/// A socket for questions about interfaces and routes. Needs no privileges.
#[derive(Debug)]
pub struct RouteSocket {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// How long the kernel may take for an answer, which it gives at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Octets of a datagram of answers: the kernel sends at most 32 KiB at once to whoever has room.
const ROOM: usize = 64 << 10;
/// Times that a list is asked for again because it changed meanwhile.
const TRIES: usize = 8;

impl RouteSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn open() -> Result<Self, Error> {
        let socket = open(SockProtocol::NetlinkRoute, 0)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; ROOM] })
    }

    /// As [`links`](fn@links).
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let failed = |source| Error::Netlink { step: "interfaces", source };
        for _ in 0..TRIES {
            let mut all = Vec::new();
            let body = [0; size_of::<libc::ifinfomsg>()];
            let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
            let is_whole = self
                .ask(libc::RTM_GETLINK, flags, &body, |kind, body| {
                    if kind == libc::RTM_NEWLINK {
                        all.extend(link(body));
                    }
                })
                .map_err(failed)?;
            if is_whole {
                all.sort_by_key(|link| link.index);
                return Ok(all);
            }
        }
        Err(failed(io::Error::other("the list changed each time it was read")))
    }

    /// As [`route`](fn@route).
    ///
    /// # Errors
    /// If the kernel does not answer.
    pub fn route(&mut self, destination: IpAddr) -> Result<Option<Route>, Error> {
        let mut found = None;
        let mut buffer = [0; 36];
        let body = route_request(destination, &mut buffer);
        let answer = self.ask(libc::RTM_GETROUTE, libc::NLM_F_REQUEST, body, |kind, body| {
            if kind == libc::RTM_NEWROUTE {
                found = parse_route(body);
            }
        });
        match answer {
            Ok(_) => Ok(found.filter(|route| route.output != 0)),
            Err(e) if has_no_way(&e) => Ok(None),
            Err(source) => Err(Error::Netlink { step: "route", source }),
        }
    }

    /// Sends a request and shows each message of the answer. `false` if what was asked for changed
    /// while the answer was made.
    fn ask(
        &mut self,
        kind: u16,
        flags: libc::c_int,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Vec::with_capacity(HEADER + body.len());
        write_message(&mut request, kind, flags as u16, self.sequence, body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let is_list = flags & libc::NLM_F_DUMP == libc::NLM_F_DUMP;
        let mut is_whole = true;
        loop {
            if !wait(self.socket.as_fd(), Some(PATIENCE))? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let Some(len) = receive(&self.socket, &mut self.buffer)? else { continue };
            for message in messages(self.buffer.get(..len).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    continue; // to a question that was given up
                }
                is_whole &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(is_whole),
                    libc::NLMSG_ERROR => match refusal(&message) {
                        Some(refusal) => return Err(refusal.into()),
                        None => return Ok(is_whole),
                    },
                    _ => each(message.kind, message.body),
                }
                if !is_list {
                    return Ok(is_whole);
                }
            }
        }
    }
}

fn has_no_way(e: &io::Error) -> bool {
    let code = e.raw_os_error().or_else(|| e.get_ref()?.downcast_ref::<Refusal>()?.raw_os_error());
    matches!(code, Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL))
}

/// A socket that receives what the firewall tells: events of connection tracking, and its table.
#[derive(Debug)]
pub struct NetfilterSocket {
    socket: OwnedFd,
    granted: usize,
    sequence: u32,
}

/// What a socket has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many octets of messages, one after the other, are in the buffer.
    Messages(usize),
    /// Messages were lost, because the socket's buffer was full: what is known is out of date. Those
    /// that are in the buffer come next.
    Overrun,
    /// The kernel refused a request, or broke it off.
    Refused(Refusal),
    /// Nothing came in time, or a signal did.
    Idle,
}

/// Why the kernel refused something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", io::Error::from_raw_os_error(*code), said(text))]
pub struct Refusal {
    /// Number of the request.
    pub sequence: u32,
    code: i32,
    text: Option<String>,
}

impl Refusal {
    /// The kernel's number of the error.
    pub fn raw_os_error(&self) -> Option<i32> {
        Some(self.code)
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(Self::from_raw_os_error(refusal.code).kind(), refusal)
    }
}

fn said(text: &Option<String>) -> String {
    text.as_ref().map_or_else(String::new, |text| format!(" ({text})"))
}

/// Groups of events of connection tracking: new entries, changed ones, and ones that end.
pub const CONNTRACK: [u32; 3] = [
    libc::NFNLGRP_CONNTRACK_NEW as u32,
    libc::NFNLGRP_CONNTRACK_UPDATE as u32,
    libc::NFNLGRP_CONNTRACK_DESTROY as u32,
];

impl NetfilterSocket {
    /// Opens a socket with `buffer` octets for messages that wait, which joins `groups` (numbers 1
    /// to 32, as in [`CONNTRACK`]). Needs CAP_NET_ADMIN; with it the buffer may be larger than
    /// `net.core.rmem_max`. What was [granted](Self::granted) may be less.
    ///
    /// # Errors
    /// If privileges lack, or a group is none.
    pub fn open(groups: &[u32], buffer: usize) -> Result<Self, Error> {
        let failed = |step| move |e: Errno| Error::Netlink { step, source: e.into() };
        let mask = groups.iter().try_fold(0u32, |mask, group| {
            group.checked_sub(1).and_then(|bit| 1u32.checked_shl(bit)).map(|bit| mask | bit)
        });
        let mask = mask.ok_or(Errno::EINVAL).map_err(failed("groups"))?;
        let socket = open(SockProtocol::NetlinkNetFilter, mask)?;
        let granted = set_buffer(&socket, buffer).map_err(failed("SO_RCVBUF"))?;
        Ok(Self { socket, granted, sequence: 0 })
    }

    /// Asks for `buffer` octets for messages that wait, as [`open`](Self::open) does. What waits
    /// already stays. Returns what was granted.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_buffer(&mut self, buffer: usize) -> io::Result<usize> {
        self.granted = set_buffer(&self.socket, buffer)?;
        Ok(self.granted)
    }

    /// Octets of buffer that the kernel gave.
    pub fn granted(&self) -> usize {
        self.granted
    }

    /// Has the kernel hold back an entry's end until it can be told, as long as the buffer is full
    /// (NETLINK_BROADCAST_ERROR): nothing is lost, and the firewall may wait for us.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn be_reliable(&mut self) -> io::Result<()> {
        let on: libc::c_int = 1;
        set_option(&self.socket, libc::SOL_NETLINK, libc::NETLINK_BROADCAST_ERROR, &on)
    }

    /// Asks for the table of connections (IPCTNL_MSG_CT_GET). The answer comes among the events,
    /// under the number that this returns, and ends with a message of type NLMSG_DONE.
    ///
    /// # Errors
    /// If the kernel refuses at once, for example because the last answer has not been read.
    pub fn request_dump(&mut self) -> io::Result<u32> {
        const GET_CONNECTIONS: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8 | 1;
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        // struct nfgenmsg: any family, version 0, no resource.
        self.request(GET_CONNECTIONS, flags, &[0; 4])
    }

    /// Sends a request with a number of its own, which is returned.
    ///
    /// # Errors
    /// If the kernel refuses at once.
    pub fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<u32> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let mut request = Vec::with_capacity(HEADER + body.len());
        write_message(&mut request, kind, flags, self.sequence, body);
        send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        Ok(self.sequence)
    }

    /// Waits for messages and puts them into `buffer`, which should have 64 KiB: the kernel fills
    /// what there is, up to 32 KiB at once. `None` waits for ever.
    ///
    /// # Errors
    /// If the buffer is too small for a message (`InvalidInput`), or the socket fails.
    pub fn receive(
        &mut self,
        buffer: &mut [u8],
        timeout: Option<Duration>,
    ) -> io::Result<Received> {
        // In a burst there is something each time: waiting first would cost a call a message.
        match self.receive_now(buffer)? {
            Received::Idle if wait(self.socket.as_fd(), timeout)? => self.receive_now(buffer),
            received => Ok(received),
        }
    }

    /// As [`receive`](Self::receive), but waits for nothing, with one call of the system.
    ///
    /// # Errors
    /// As those of [`receive`](Self::receive).
    pub fn receive_now(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let len = match receive(&self.socket, buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Ok(Received::Idle),
            Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Received::Overrun),
            Err(e) => return Err(e),
        };
        let first = messages(buffer.get(..len).unwrap_or_default()).next();
        match first.and_then(|message| refusal(&message)) {
            Some(refusal) => Ok(Received::Refused(refusal)),
            None => Ok(Received::Messages(len)),
        }
    }
}

impl AsFd for NetfilterSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Asks for a receive buffer, beyond the limit for all where that is permitted. Returns what is
/// granted.
fn set_buffer(socket: &OwnedFd, buffer: usize) -> Result<usize, Errno> {
    if setsockopt(socket, sockopt::RcvBufForce, &buffer).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &buffer)?;
    }
    // The kernel counts its own needs as well, and answers with twice what it was asked for.
    Ok(getsockopt(socket, sockopt::RcvBuf)? / 2)
}

/// Addresses of this host, of both families, each once.
///
/// # Errors
/// If the system does not say.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let mut all: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| {
            let addr = interface.address?;
            let v4 = addr.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| addr.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// A socket that hears the kernel alone.
fn open(protocol: SockProtocol, groups: u32) -> Result<OwnedFd, Error> {
    let failed = |step| move |e: Errno| Error::Netlink { step, source: e.into() };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol);
    let socket = socket.map_err(failed("socket"))?;
    let on: libc::c_int = 1;
    // Says in words what is wrong with a request; kernels before 4.12 do not.
    let _ = set_option(&socket, libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, &on);
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(failed("bind"))?;
    // Once connected, messages of other processes are refused.
    connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed("connect"))?;
    Ok(socket)
}

/// Whether there is something to read in time.
fn wait(socket: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    Ok(poll::wait(&[(socket, Ready::READ)], timeout)?.first().is_some_and(|r| r.readable))
}

/// Octets of the next datagram, all of which are in `buffer`; `None` if there is none.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT) {
        Ok(len) if len <= buffer.len() => Ok(Some(len)),
        Ok(len) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {len} octets does not fit into {}", buffer.len()),
        )),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Octets of the header of a message: struct nlmsghdr.
const HEADER: usize = 16;
/// Messages and attributes begin at multiples of this.
const ALIGN: usize = 4;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram, as far as they are whole.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(bytes, 0)? as usize;
        let body = bytes.get(HEADER..len)?;
        let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
        let sequence = u32_at(bytes, 8)?;
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body })
    })
}

/// Type and value of each attribute, as far as they are whole (struct rtattr, struct nlattr).
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (len, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, value))
    })
}

/// The two upper bits of a type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

fn write_message(out: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, body: &[u8]) {
    let len = (HEADER + body.len()) as u32;
    out.extend(len.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]); // the kernel knows who asks
    out.extend(body);
}

/// What a message of type NLMSG_ERROR says; `None` if it is another one, or says that all is well.
fn refusal(message: &Message<'_>) -> Option<Refusal> {
    if i32::from(message.kind) != libc::NLMSG_ERROR {
        return None;
    }
    let code = u32_at(message.body, 0)? as i32;
    if code == 0 {
        return None;
    }
    // struct nlmsgerr: the error, the header of the request, the request if it was not left out.
    let capped = message.flags & NLM_F_CAPPED != 0;
    let request = if capped { HEADER } else { u32_at(message.body, 4)? as usize };
    let after = message.body.get(4 + request.next_multiple_of(ALIGN)..).unwrap_or_default();
    let has_text = message.flags & NLM_F_ACK_TLVS != 0;
    let text = attributes(after).find(|(kind, _)| has_text && *kind == NLMSGERR_ATTR_MSG);
    let text = text.map(|(_, text)| text_of(text));
    Some(Refusal { sequence: message.sequence, code: code.saturating_neg(), text })
}

const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A text that ends with a zero octet.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let text = bytes.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// An interface, from struct ifinfomsg and its attributes.
fn link(body: &[u8]) -> Option<Link> {
    let (head, rest) = body.split_at_checked(size_of::<libc::ifinfomsg>())?;
    let mut link = Link {
        hardware: u16_at(head, 2)?,
        index: u32_at(head, 4)?,
        is_up: u32_at(head, 8)? & libc::IFF_UP as u32 != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::IFLA_IFNAME => link.name = text_of(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok(),
            libc::IFLA_LINK => link.parent = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_STATS64 => link.missed = missed(value),
            _ => {}
        }
    }
    Some(link)
}

/// Frames that the interface itself lost: rx_fifo_errors and rx_missed_errors of struct
/// rtnl_link_stats64.
fn missed(stats: &[u8]) -> u64 {
    const FIFO: usize = 14;
    const MISSED: usize = 15;
    let number = |n: usize| {
        let octets = stats.get(8 * n..).and_then(|rest| rest.first_chunk());
        octets.map_or(0, |octets| u64::from_ne_bytes(*octets))
    };
    number(FIFO).saturating_add(number(MISSED))
}

/// struct rtmsg and an attribute with the destination.
fn route_request(destination: IpAddr, buffer: &mut [u8; 36]) -> &[u8] {
    let (family, octets): (_, &[u8]) = match &destination {
        IpAddr::V4(v4) => (libc::AF_INET, &v4.octets()),
        IpAddr::V6(v6) => (libc::AF_INET6, &v6.octets()),
    };
    let attribute = [4 + octets.len() as u16, libc::RTA_DST].map(u16::to_ne_bytes);
    let request =
        [&[family as u8, 8 * octets.len() as u8], &[0; 10][..], attribute.as_flattened(), octets];
    let mut len = 0;
    for octet in request.into_iter().flatten() {
        if let Some(place) = buffer.get_mut(len) {
            *place = *octet;
            len += 1;
        }
    }
    buffer.get(..len).unwrap_or_default()
}

/// A route, from struct rtmsg and its attributes.
fn parse_route(body: &[u8]) -> Option<Route> {
    let (head, rest) = body.split_at_checked(ROUTE_HEADER)?;
    let mut route = Route { is_local: head.get(7) == Some(&libc::RTN_LOCAL), ..Route::default() };
    for (kind, value) in attributes(rest) {
        match kind {
            libc::RTA_OIF => route.output = u32_at(value, 0).unwrap_or(0),
            libc::RTA_GATEWAY => route.next_hop = address(value),
            // A router of the other family (RFC 5549): struct rtvia, a family and an address.
            RTA_VIA => route.next_hop = value.get(2..).and_then(address),
            libc::RTA_PREFSRC => route.source = address(value),
            _ => {}
        }
    }
    Some(route)
}

const RTA_VIA: u16 = 18;

/// Octets of struct rtmsg.
const ROUTE_HEADER: usize = 12;

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 = || <[u8; 16]>::try_from(octets).map(|octets| IpAddr::from(Ipv6Addr::from(octets)));
    v4.or_else(|_| v6()).ok()
}

/// The number of four octets at `at`, in the order of this machine.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

/// As [`u32_at`], of two octets.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut out = [4 + value.len() as u16, kind].map(u16::to_ne_bytes).as_flattened().to_vec();
        out.extend(value);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        out
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_message(&mut out, kind, flags, 77, body);
        out
    }

    fn link_body() -> Vec<u8> {
        let mut head = [0; 16];
        head[2..4].copy_from_slice(&1u16.to_ne_bytes());
        head[4..8].copy_from_slice(&42u32.to_ne_bytes());
        head[8..12].copy_from_slice(&1u32.to_ne_bytes());
        let stats: Vec<u8> = (0..24u64).flat_map(u64::to_ne_bytes).collect();
        [
            head.to_vec(),
            attribute(libc::IFLA_IFNAME, b"eth0.7\0"),
            attribute(libc::IFLA_LINK, &3u32.to_ne_bytes()),
            attribute(libc::IFLA_ADDRESS, &[2, 0, 0, 0, 0, 9]),
            attribute(999 | 0x8000, b"unknown"),
            attribute(libc::IFLA_STATS64, &stats),
        ]
        .concat()
    }

    #[test]
    fn interfaces_cut_anywhere() {
        let want = Link {
            index: 42,
            name: "eth0.7".to_owned(),
            mac: Some([2, 0, 0, 0, 0, 9]),
            hardware: 1,
            is_up: true,
            parent: 3,
            missed: 14 + 15,
        };
        let body = link_body();
        assert_eq!(link(&body), Some(want));
        for len in 0..body.len() {
            assert_eq!(link(&body[..len]).is_some(), len >= 16, "{len}");
        }
    }

    #[test]
    fn routes_cut_anywhere() {
        let head = [2, 32, 0, 0, 254, 0, 0, libc::RTN_UNICAST, 0, 0, 0, 0];
        let output = attribute(libc::RTA_OIF, &7u32.to_ne_bytes());
        let body = [
            head.to_vec(),
            output.clone(),
            attribute(libc::RTA_GATEWAY, &[192, 0, 2, 1]),
            attribute(libc::RTA_PREFSRC, &[192, 0, 2, 9]),
        ]
        .concat();
        let address = |last| Some(IpAddr::from([192, 0, 2, last]));
        let whole = Route { output: 7, next_hop: address(1), source: address(9), is_local: false };
        assert_eq!(parse_route(&body), Some(whole));
        for len in 0..body.len() {
            assert_eq!(parse_route(&body[..len]).is_some(), len >= ROUTE_HEADER, "{len}");
        }
        let six: IpAddr = "fe80::1".parse().unwrap();
        let IpAddr::V6(v6) = six else { unreachable!() };
        let via = [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &v6.octets()].concat();
        let body = [head.to_vec(), output, attribute(RTA_VIA, &via)].concat();
        assert_eq!(parse_route(&body).unwrap().next_hop, Some(six));
    }

    #[test]
    fn messages_and_attributes_end_where_they_are_cut() {
        let all = [message(16, 2, b"abcde"), vec![0; 3], message(17, 0, b"")].concat();
        let list = |bytes: &[u8]| messages(bytes).map(|m| m.body.len()).collect::<Vec<_>>();
        assert_eq!(list(&all), [5, 0]);
        for len in 0..all.len() {
            let want: &[usize] = if len < HEADER + 5 { &[] } else { &[5] };
            assert_eq!(list(&all[..len]), want, "{len}");
        }
        for lie in [0u32, 1, 15, u32::MAX] {
            let mut bad = all.clone();
            bad[..4].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(list(&bad), [0; 0], "{lie}");
        }
        let two = [attribute(1, b"x"), attribute(2, b"")].concat();
        assert_eq!(attributes(&two).collect::<Vec<_>>(), [(1, &b"x"[..]), (2, b"")]);
        for lie in [0u16, 3, u16::MAX] {
            let mut bad = two.clone();
            bad[..2].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(attributes(&bad).count(), 0, "{lie}");
        }
    }

    #[test]
    fn refusals_say_why() {
        let request = message(26, 1, &[0; 12]);
        let code = (-libc::EPERM).to_ne_bytes();
        let text = attribute(NLMSGERR_ATTR_MSG, b"not for you\0");
        let error = libc::NLMSG_ERROR as u16;
        let whole = message(error, NLM_F_ACK_TLVS, &[&code[..], &request, &text].concat());
        let capped = [&code[..], &request[..HEADER], &text].concat();
        let capped = message(error, NLM_F_ACK_TLVS | NLM_F_CAPPED, &capped);
        for bytes in [whole, capped] {
            let refusal = refusal(&messages(&bytes).next().unwrap()).unwrap();
            assert_eq!((refusal.raw_os_error(), refusal.sequence), (Some(libc::EPERM), 77));
            let e = io::Error::from(refusal);
            assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
            assert!(e.to_string().ends_with("(not for you)"), "{e}");
            for len in HEADER..bytes.len() {
                let mut cut = bytes[..len].to_vec();
                cut[..4].copy_from_slice(&(len as u32).to_ne_bytes());
                let _ = super::refusal(&messages(&cut).next().unwrap());
            }
        }
        let done = message(error, 0, &[&0i32.to_ne_bytes()[..], &request].concat());
        assert_eq!(refusal(&messages(&done).next().unwrap()), None, "all is well");
    }

    #[test]
    fn no_changed_octet_panics() {
        for at in 0..link_body().len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut bad = link_body();
                bad[at] = value;
                let _ = (link(&bad), parse_route(&bad), attributes(&bad).count());
                let _ = messages(&bad).filter_map(|m| refusal(&m)).count();
            }
        }
    }

    fn ip(arguments: &str) {
        let run = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(run.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// Runs `test` on a thread with a network of its own.
    fn alone(test: fn()) {
        let run = move || {
            // SAFETY: the flag moves this thread alone to a new network namespace.
            let is_alone = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            let has_ip = Command::new("ip").arg("-V").output().is_ok();
            if is_alone && has_ip {
                ip("link set lo up");
                test();
            } else {
                println!("skipped: no network of one's own without CAP_SYS_ADMIN and `ip`");
            }
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn the_kernel_tells_its_interfaces() {
        alone(|| {
            ip("link add x0 type veth peer name x1");
            ip("link set x1 address 02:00:00:00:00:07 up");
            let all = links().unwrap();
            let names: Vec<_> = all.iter().map(|link| link.name.as_str()).collect();
            assert_eq!(names[0], "lo");
            assert_eq!(all[0].hardware, libc::ARPHRD_LOOPBACK);
            let x1 = all.iter().find(|link| link.name == "x1").unwrap();
            let index = crate::ring::interface_index("x1").unwrap();
            assert_eq!((x1.index, x1.is_up, x1.hardware), (index, true, libc::ARPHRD_ETHER));
            assert_eq!(x1.mac, Some([2, 0, 0, 0, 0, 7]));
            let x0 = all.iter().find(|link| link.name == "x0").unwrap();
            assert_eq!((x0.is_up, x0.parent), (false, x1.index));
            // More than one datagram of answers.
            for n in 0..100 {
                ip(&format!("link add many{n} type veth peer name other{n}"));
            }
            assert_eq!(links().unwrap().len(), all.len() + 200);
        });
    }

    #[test]
    fn the_kernel_tells_its_routes() {
        alone(|| {
            ip("link add x0 type veth peer name x1");
            ip("link set x0 up");
            ip("link set x1 up");
            ip("addr add 192.0.2.1/24 dev x0");
            ip("route add 198.51.100.0/24 via 192.0.2.254");
            ip("route add blackhole 203.0.113.0/24");
            ip("-6 addr add 2001:db8::1/64 dev x0 nodad");
            ip("-6 route add 2001:db8:1::/48 via 2001:db8::fe");
            let output = crate::ring::interface_index("x0").unwrap();
            let address = |text: &str| text.parse::<IpAddr>().unwrap();
            let mut socket = RouteSocket::open().unwrap();
            let cases = [
                ("192.0.2.7", Some((output, None, "192.0.2.1", false))),
                ("198.51.100.9", Some((output, Some("192.0.2.254"), "192.0.2.1", false))),
                ("192.0.2.1", Some((1, None, "192.0.2.1", true))),
                ("2001:db8::9", Some((output, None, "2001:db8::1", false))),
                ("2001:db8:1::9", Some((output, Some("2001:db8::fe"), "2001:db8::1", false))),
                ("203.0.113.1", None),
                ("10.9.9.9", None),
                ("2001:db8:ffff::1", None),
            ];
            for (destination, want) in cases {
                let want = want.map(|(output, next_hop, source, is_local)| Route {
                    output,
                    next_hop: next_hop.map(address),
                    source: Some(address(source)),
                    is_local,
                });
                assert_eq!(socket.route(address(destination)).unwrap(), want, "{destination}");
            }
            assert_eq!(route(address("10.9.9.9")).unwrap(), None);
        });
    }

    /// Sends UDP datagrams through connection tracking, each from a port of its own.
    fn connections(count: u16) {
        for _ in 0..count {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", "127.0.0.1:9").unwrap();
        }
    }

    /// Has the kernel track connections; `false`, with a line that says so, if it cannot.
    fn track() -> bool {
        let rules = "add table inet t; \
                     add chain inet t o { type filter hook output priority 0; ct state new accept; }";
        let is_tracking = Command::new("nft").arg(rules).output().is_ok_and(|o| o.status.success())
            && std::fs::write("/proc/sys/net/netfilter/nf_conntrack_events", "1").is_ok();
        if !is_tracking {
            println!("skipped: no connection tracking, or no `nft`");
        }
        is_tracking
    }

    #[test]
    fn the_firewall_tells_what_is_new_and_what_there_is() {
        alone(|| {
            if !track() {
                return;
            }
            let mut socket = NetfilterSocket::open(&CONNTRACK, 1 << 20).unwrap();
            assert!(socket.granted() >= 1 << 20, "{}", socket.granted());
            socket.be_reliable().unwrap();
            let mut buffer = vec![0; 64 << 10];
            let idle = socket.receive(&mut buffer, Some(Duration::ZERO)).unwrap();
            assert_eq!(idle, Received::Idle);
            connections(3);
            let new = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;
            let mut events = 0;
            while events < 3 {
                let received = socket.receive(&mut buffer, Some(PATIENCE)).unwrap();
                let Received::Messages(len) = received else { panic!("{received:?}") };
                events += messages(&buffer[..len]).filter(|m| m.kind == new).count();
            }
            let number = socket.request_dump().unwrap();
            let mut entries = 0;
            'dump: loop {
                let received = socket.receive(&mut buffer, Some(PATIENCE)).unwrap();
                let Received::Messages(len) = received else { panic!("{received:?}") };
                for message in messages(&buffer[..len]).filter(|m| m.sequence == number) {
                    if i32::from(message.kind) == libc::NLMSG_DONE {
                        break 'dump;
                    }
                    entries += 1;
                }
            }
            assert!(entries >= 3, "{entries}");
            let number = socket.request(0x01ff, libc::NLM_F_REQUEST as u16, &[0; 4]).unwrap();
            let refusal = loop {
                match socket.receive(&mut buffer, Some(PATIENCE)).unwrap() {
                    Received::Refused(refusal) => break refusal,
                    Received::Messages(_) => {} // news
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(refusal.sequence, number);
        });
    }

    #[test]
    fn what_the_firewall_could_not_tell_is_told() {
        alone(|| {
            if !track() {
                return;
            }
            let mut socket = NetfilterSocket::open(&CONNTRACK, 1).unwrap();
            connections(200);
            let mut buffer = vec![0; 64 << 10];
            let mut overruns = 0;
            let mut messages = 0;
            loop {
                match socket.receive(&mut buffer, Some(Duration::ZERO)).unwrap() {
                    Received::Overrun => overruns += 1,
                    Received::Messages(_) => messages += 1,
                    Received::Idle => break,
                    refused @ Received::Refused(_) => panic!("{refused:?}"),
                }
            }
            assert!(overruns > 0 && messages > 0 && messages < 200, "{overruns} {messages}");
        });
    }

    #[test]
    fn groups_that_cannot_be() {
        for group in [0, 33] {
            let e = NetfilterSocket::open(&[group], 1 << 16).unwrap_err().to_string();
            assert!(e.contains("groups"), "{e}");
        }
    }
}
