//! How what is sent leaves the host: from which address, through which interface, and how far.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

/// Options of a sending socket. The default leaves everything to the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// Local address that packets come from.
    pub from: Option<IpAddr>,
    /// Interface that they leave through, whatever the routing table says (SO_BINDTODEVICE). Since
    /// Linux 5.7 that needs no privilege.
    pub interface: Option<String>,
    /// TTL or hop limit of packets to one host.
    pub hops: Option<u8>,
    /// TTL or hop limit of packets to a multicast group; the system's is 1.
    pub multicast_hops: Option<u8>,
    /// Octets of the buffer for sending; the system may give less, and its own books take as much
    /// again.
    pub send_buffer: Option<usize>,
}

impl Leave {
    /// A socket with these options, bound, that is about to be connected to the address it is
    /// returned with: that of `to`, with the zone of the interface if it needs one.
    pub(crate) fn open(&self, to: SocketAddr, kind: Type) -> Result<(Socket, SocketAddr), Error> {
        let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
        let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))
            .map_err(|source| Error::Connect { addr: to, source })?;
        let to = self.with_zone(to)?;
        if let Some(name) = &self.interface {
            let source = |source| Error::Interface { name: name.clone(), source };
            socket.bind_device(Some(name.as_bytes())).map_err(source)?;
        }
        self.set_hops(&socket, to)?;
        if let Some(octets) = self.send_buffer {
            let source = |source| Error::SocketOption { option: "SO_SNDBUF", source };
            socket.set_send_buffer_size(octets).map_err(source)?;
        }
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let from = self.from.unwrap_or(any);
        if from.is_ipv4() != to.is_ipv4() {
            return Err(Error::Family { addr: from });
        }
        let from = self.with_zone(SocketAddr::new(from, 0))?;
        socket.bind(&from.into()).map_err(|source| Error::Bind { addr: from, source })?;
        Ok((socket, to))
    }

    fn set_hops(&self, socket: &Socket, to: SocketAddr) -> Result<(), Error> {
        let failed = |option| move |source| Error::SocketOption { option, source };
        let is_group = to.ip().is_multicast();
        let hops = if is_group { self.multicast_hops } else { self.hops };
        if let (true, SocketAddr::V6(v6)) = (is_group && self.interface.is_some(), to) {
            let set = socket.set_multicast_if_v6(v6.scope_id());
            set.map_err(failed("IPV6_MULTICAST_IF"))?;
        }
        let Some(hops) = hops.map(u32::from) else { return Ok(()) };
        match (is_group, to) {
            (false, SocketAddr::V4(_)) => socket.set_ttl_v4(hops).map_err(failed("IP_TTL")),
            (true, SocketAddr::V4(_)) => {
                socket.set_multicast_ttl_v4(hops).map_err(failed("IP_MULTICAST_TTL"))
            }
            (false, SocketAddr::V6(_)) => {
                socket.set_unicast_hops_v6(hops).map_err(failed("IPV6_UNICAST_HOPS"))
            }
            (true, SocketAddr::V6(_)) => {
                socket.set_multicast_hops_v6(hops).map_err(failed("IPV6_MULTICAST_HOPS"))
            }
        }
    }

    /// Addresses of a link mean nothing without a zone: it is the interface.
    fn with_zone(&self, addr: SocketAddr) -> Result<SocketAddr, Error> {
        let (SocketAddr::V6(mut v6), Some(name)) = (addr, &self.interface) else {
            return Ok(addr);
        };
        if v6.scope_id() == 0 && (v6.ip().is_unicast_link_local() || v6.ip().is_multicast()) {
            let source = |e| Error::Interface { name: name.clone(), source: io::Error::from(e) };
            v6.set_scope_id(if_nametoindex(name.as_str()).map_err(source)?);
        }
        Ok(v6.into())
    }
}
