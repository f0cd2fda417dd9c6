//! Where to listen, and the socket that does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use super::{Steering, steer};
use crate::Error;

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
    /// Multicast group to join. Such a socket shares its port with others on the host, gets
    /// nothing of groups that others joined, and is never split into several: each would get each
    /// datagram.
    pub group: Option<IpAddr>,
    /// Name of the interface to join `group` on, and the zone of a link-local `bind` address;
    /// `None` leaves it to the routing table.
    pub interface: Option<String>,
    /// Octets of payload the kernel should buffer; `None` keeps the system's default. Without
    /// privileges [`receive_buffer_limit`] is the most.
    pub receive_buffer: Option<usize>,
    /// How datagrams are split when several sockets listen.
    pub steering: Steering,
}

impl Listen {
    pub(super) fn address(&self) -> Result<SocketAddr, Error> {
        let unspecified: IpAddr = match (self.family, self.group) {
            (Family::V4, _) | (Family::Dual, Some(IpAddr::V4(_))) => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let ip = self.bind.unwrap_or(unspecified);
        if !self.takes(ip) {
            return Err(Error::Family { addr: ip });
        }
        Ok(match ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                SocketAddrV6::new(v6, self.port, 0, self.interface_index()?).into()
            }
            _ => SocketAddr::new(ip, self.port),
        })
    }

    /// Whether a socket that is bound to `local` already does what this asks for: it has the port,
    /// and the address, or every address where none is asked for.
    pub(crate) fn is_served_by(&self, local: SocketAddr) -> bool {
        let ip = local.ip();
        self.port != 0
            && local.port() == self.port
            && self.takes(ip)
            && self.bind.map_or_else(|| ip.is_unspecified(), |want| want == ip)
    }

    fn takes(&self, ip: IpAddr) -> bool {
        match self.family {
            Family::Dual => true,
            Family::V4 => ip.is_ipv4(),
            Family::V6 => ip.is_ipv6(),
        }
    }

    /// 0, the kernel's choice, without a name.
    fn interface_index(&self) -> Result<u32, Error> {
        self.interface.as_deref().map_or(Ok(0), |name| {
            if_nametoindex(name)
                .map_err(|e| Error::Interface { name: name.to_owned(), source: e.into() })
        })
    }
}

/// Octets of payload that a process without privileges may have buffered for each socket, as
/// [`Listen::receive_buffer`] counts them (`net.core.rmem_max`). Asking for it is worth while: the
/// kernel reserves twice of what is asked for, but not of its own default.
///
/// # Errors
/// If the system does not say.
pub fn receive_buffer_limit() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/sys/net/core/rmem_max")?;
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// A bound socket with the options of `listen`.
pub(super) fn open(listen: &Listen) -> Result<UdpSocket, Error> {
    let addr = listen.address()?;
    match open_at(addr, listen, false) {
        // A host without IPv6 still has IPv4.
        Err(Error::Bind { source, .. })
            if listen.bind.is_none() && listen.family == Family::Dual && lacks_ipv6(&source) =>
        {
            open_at(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port), listen, false)
        }
        other => other,
    }
}

/// Whether a socket for IPv6 could not be had because the host has no IPv6.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// A TCP socket that listens: on `bind`, or on every address of `family`, where a host without IPv6
/// still has IPv4.
///
/// # Errors
/// If `bind` is of another family, or the address cannot be had.
pub fn listen_tcp(bind: Option<IpAddr>, port: u16, family: Family) -> Result<TcpListener, Error> {
    let listen = Listen { bind, port, family, ..Listen::default() };
    let addr = listen.address()?;
    let opened = match open_tcp(addr, family) {
        Err(e) if bind.is_none() && family == Family::Dual && lacks_ipv6(&e) => {
            open_tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), family)
        }
        other => other,
    };
    opened.map_err(|source| Error::Listen { addr, source })
}

fn open_tcp(addr: SocketAddr, family: Family) -> io::Result<TcpListener> {
    /// Connections that wait to be accepted: all of a site's exporters after a restart.
    const BACKLOG: i32 = 128;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(family == Family::V6)?;
    }
    // Connections of a process before this one that are still being closed do not matter.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds sockets beside `sockets` until there are `count`, and splits datagrams among them. How
/// many there are at the end is how far it came before the error.
pub(super) fn fill_group(
    sockets: &mut Vec<UdpSocket>,
    listen: &Listen,
    count: usize,
) -> Result<(), Error> {
    let count = if listen.group.is_some() { 1 } else { count };
    let Some(first) = sockets.first() else { return Ok(()) };
    if sockets.len() >= count {
        return Ok(());
    }
    let failed = |option| move |source| Error::SocketOption { option, source };
    let addr = first.local_addr().map_err(failed("SO_REUSEPORT"))?;
    for socket in sockets.iter() {
        // Only now that they are bound: whoever has the port already was found out by a bind that
        // shares with nobody. Otherwise two collectors would share the datagrams in silence.
        SockRef::from(socket).set_reuse_port(true).map_err(failed("SO_REUSEPORT"))?;
    }
    let mut opened = Ok(());
    while sockets.len() < count {
        match open_at(addr, listen, true) {
            Ok(socket) => sockets.push(socket),
            Err(e) => {
                opened = Err(e);
                break;
            }
        }
    }
    if let [first, _, ..] = &sockets[..] {
        steer::attach(first.as_fd(), listen.steering, sockets.len() as u32)
            .map_err(failed("SO_ATTACH_REUSEPORT_CBPF"))?;
    }
    opened
}

fn open_at(addr: SocketAddr, listen: &Listen, shares: bool) -> Result<UdpSocket, Error> {
    let failed = |source| Error::Bind { addr, source };
    let socket =
        Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    if addr.is_ipv6() {
        socket.set_only_v6(listen.family == Family::V6).map_err(failed)?;
    }
    if shares {
        socket.set_reuse_port(true).map_err(failed)?;
    }
    if listen.group.is_some() {
        // Not set otherwise: two unicast sockets on one port would both open without complaint,
        // and the second would silently take all datagrams from the first.
        socket.set_reuse_address(true).map_err(failed)?;
    }
    if let Some(octets) = listen.receive_buffer {
        set_receive_buffer(&socket, octets)?;
    }
    socket.bind(&addr.into()).map_err(failed)?;
    join(SockRef::from(&socket), listen)?;
    Ok(socket.into())
}

/// Gives a socket that somebody else has bound the options of `listen`.
pub(super) fn prepare(socket: &UdpSocket, listen: &Listen) -> Result<(), Error> {
    if let Some(octets) = listen.receive_buffer {
        set_receive_buffer(&SockRef::from(socket), octets)?;
    }
    join(SockRef::from(socket), listen)
}

fn join(socket: SockRef<'_>, listen: &Listen) -> Result<(), Error> {
    let Some(group) = listen.group else { return Ok(()) };
    let index = listen.interface_index()?;
    let joined = match group {
        IpAddr::V4(g) => {
            // Otherwise the socket gets what any process of the host has joined.
            let _ = socket.set_multicast_all_v4(false);
            socket.join_multicast_v4_n(&g, &InterfaceIndexOrAddress::Index(index))
        }
        IpAddr::V6(g) => {
            let _ = socket.set_multicast_all_v6(false);
            socket.join_multicast_v6(&g, index)
        }
    };
    match joined {
        // An inherited socket may be a member already.
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
        other => other.map_err(|source| Error::Join { group, source }),
    }
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
