//! Which translation a connection has, and which connections are wanted.
//!
//! The original tuple O is what the initiator sends, the reply tuple R what the responder sends.
//! Packets of the initiator leave with source R.dst and destination R.src, so the source is
//! translated where (O.src, O.sport) differs from (R.dst, R.dport), the destination where (O.dst,
//! O.dport) differs from (R.src, R.sport). A change of the port alone is a translation too.

use crate::entry::{Entry, is_icmp};
use ipnet::{Ipv4Net, Ipv6Net};
use record::Addr;
use std::net::IpAddr;

/// An address with its port. ICMP: the echo id for a source, type and code for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub addr: Addr,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// An address with its port.
    pub const fn new(addr: Addr, port: u16) -> Self {
        Self { addr, port }
    }
}

/// What the translator changed of one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// The port, because another connection had it.
    Port,
    /// The address, and perhaps the port.
    Address,
}

/// A kind of translation, by the name operators use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// Not translated.
    None,
    /// The source: masquerading, carrier-grade NAT.
    Source,
    /// The destination: a port forward.
    Destination,
    /// Both ends.
    Both,
    /// Ports alone.
    PortOnly,
    /// Both ends of a connection between two inside hosts by an outside address.
    Hairpin,
    /// IPv6 to IPv6, either end.
    Nat66,
    /// Between IPv6 and IPv4.
    Nat64,
}

impl NatKind {
    /// Its name in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Both => "both",
            Self::PortOnly => "port-only",
            Self::Hairpin => "hairpin",
            Self::Nat66 => "nat66",
            Self::Nat64 => "nat64",
        }
    }
}

/// A connection before and after translation, as its initiator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Source before.
    pub src: Endpoint,
    /// Destination before.
    pub dst: Endpoint,
    /// Source after.
    pub xlate_src: Endpoint,
    /// Destination after.
    pub xlate_dst: Endpoint,
    /// What became of the source.
    pub source: Change,
    /// What became of the destination.
    pub destination: Change,
}

impl Translation {
    /// Reads both tuples of `entry`.
    pub fn of(entry: &Entry) -> Self {
        let (o, r) = (&entry.orig, &entry.reply);
        let (src, dst) = (Endpoint::new(o.src, o.src_port), Endpoint::new(o.dst, o.dst_port));
        // An ICMP answer has the same echo id as its question, and a type of its own.
        let (sport, dport) =
            if is_icmp(o.proto) { (r.src_port, o.dst_port) } else { (r.dst_port, r.src_port) };
        let (xlate_src, xlate_dst) = (Endpoint::new(r.dst, sport), Endpoint::new(r.src, dport));
        let (source, destination) = (change(src, xlate_src), change(dst, xlate_dst));
        Self { src, dst, xlate_src, xlate_dst, source, destination }
    }

    /// Whether anything was changed.
    pub fn is_some(&self) -> bool {
        self.source != Change::None || self.destination != Change::None
    }

    /// Its kind. NAT64 and NAT66 come before what of them is translated, a hairpin before both,
    /// a change of an address before that of a port.
    pub fn kind(&self) -> NatKind {
        if !self.is_some() {
            return NatKind::None;
        }
        let families = [self.src, self.dst, self.xlate_src, self.xlate_dst]
            .map(|e| matches!(e.addr, Addr::V6(_)));
        if families.contains(&true) && families.contains(&false) {
            return NatKind::Nat64;
        }
        match (self.source, self.destination) {
            (Change::Port | Change::None, Change::Port | Change::None) => NatKind::PortOnly,
            (Change::Address, Change::Address)
                if is_private(self.src.addr) && is_private(self.xlate_dst.addr) =>
            {
                NatKind::Hairpin
            }
            _ if families.contains(&true) => NatKind::Nat66,
            (Change::Address, Change::Address) => NatKind::Both,
            (Change::Address, _) => NatKind::Source,
            (_, Change::Address) => NatKind::Destination,
        }
    }
}

fn change(before: Endpoint, after: Endpoint) -> Change {
    match (before.addr == after.addr, before.port == after.port) {
        (true, true) => Change::None,
        (true, false) => Change::Port,
        (false, _) => Change::Address,
    }
}

/// Addresses that are of no use outside: RFC 1918, RFC 6598 (carrier-grade NAT), RFC 4193.
fn is_private(addr: Addr) -> bool {
    const V4: [(u32, u32); 4] = [
        (0x0a00_0000, 0xff00_0000),
        (0xac10_0000, 0xfff0_0000),
        (0xc0a8_0000, 0xffff_0000),
        (0x6440_0000, 0xffc0_0000),
    ];
    match addr {
        Addr::V4(a) => V4.iter().any(|(net, mask)| a & mask == *net),
        Addr::V6(a) => a >> 121 == 0xfc >> 1,
    }
}

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4(Ipv4Net),
    /// IPv6.
    V6(Ipv6Net),
}

impl Network {
    /// Whether `addr` lies in it.
    pub fn contains(&self, addr: Addr) -> bool {
        match (self, IpAddr::from(addr)) {
            (Self::V4(net), IpAddr::V4(a)) => net.contains(&a),
            (Self::V6(net), IpAddr::V6(a)) => net.contains(&a),
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = ipnet::AddrParseError;

    /// `192.0.2.0/24`, `2001:db8::/32`, or an address by itself.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(addr) = text.parse::<IpAddr>() {
            return Ok(match addr {
                IpAddr::V4(a) => Self::V4(a.into()),
                IpAddr::V6(a) => Self::V6(a.into()),
            });
        }
        text.parse::<ipnet::IpNet>().map(|net| match net {
            ipnet::IpNet::V4(net) => Self::V4(net),
            ipnet::IpNet::V6(net) => Self::V6(net),
        })
    }
}

/// Which connections are wanted. The default wants all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that are translated.
    pub nat_only: bool,
    /// Protocols; empty for all.
    pub protocols: Vec<u8>,
    /// At least one of the four addresses is in one of these; empty for all.
    pub networks: Vec<Network>,
    /// Zones; empty for all.
    pub zones: Vec<u16>,
    /// Value and mask: wanted where `mark & mask == value` for one of them; empty for all.
    pub marks: Vec<(u32, u32)>,
    /// Addresses of this host. Where given, connections that begin or end at the host itself are
    /// not wanted; loopback is then not wanted either.
    pub own: Option<Vec<Addr>>,
}

/// Why a connection is not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unwanted {
    /// Not translated.
    NotTranslated,
    /// Its protocol.
    Protocol,
    /// Its addresses.
    Network,
    /// Its zone.
    Zone,
    /// Its mark.
    Mark,
    /// It begins or ends at this host.
    Local,
}

impl Filter {
    /// Why `entry` is not wanted, `None` if it is.
    pub fn rejects(&self, entry: &Entry) -> Option<Unwanted> {
        let has = |all: &[u8], one| all.is_empty() || all.contains(&one);
        if !has(&self.protocols, entry.orig.proto) {
            return Some(Unwanted::Protocol);
        }
        if !self.zones.is_empty() && !self.zones.contains(&entry.zone) {
            return Some(Unwanted::Zone);
        }
        if !self.marks.is_empty() && !self.marks.iter().any(|(v, m)| entry.mark & m == *v) {
            return Some(Unwanted::Mark);
        }
        let translation = Translation::of(entry);
        if self.nat_only && !translation.is_some() {
            return Some(Unwanted::NotTranslated);
        }
        if let Some(own) = &self.own
            && is_local(&translation, own)
        {
            return Some(Unwanted::Local);
        }
        let Translation { src, dst, xlate_src, xlate_dst, .. } = translation;
        let ends = [src.addr, dst.addr, xlate_src.addr, xlate_dst.addr];
        let is_near = |net: &Network| ends.iter().any(|a| net.contains(*a));
        (!self.networks.is_empty() && !self.networks.iter().any(is_near))
            .then_some(Unwanted::Network)
    }
}

/// Whether the host itself is the initiator, or the responder behind all translation.
fn is_local(translation: &Translation, own: &[Addr]) -> bool {
    [translation.src.addr, translation.xlate_dst.addr]
        .iter()
        .any(|a| IpAddr::from(*a).is_loopback() || own.contains(a))
}
