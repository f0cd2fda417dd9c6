//! Captured frames: from a link header down to ports, without allocating and without trusting a
//! length.
//!
//! [`decode`] makes a [`Packet`] of a frame or of the first octets of one: sFlow raw headers,
//! sections of frames in IPFIX and PSAMP records, and what a probe captures. [`fill`] puts what a
//! packet says into a [`record::Flow`].
//!
//! A frame is cut at some length more often than not. What was whole before the cut is reported,
//! what was not is absent, and [`Packet::stop`] says where decoding ended and why, so that callers
//! can count by [`Cause`]. No fragments are put together here and no flows made.
//!
//! In reading order: `link` says what a frame begins with; `ether`, `wlan`, `switch`, `capture` and
//! `mpls` lead to the IP header; `ip` and `transport` read it and what follows; `tunnel` finds the packet inside;
//! `fill` writes flows. All of them move a `Reader`, which knows how much of the packet is there
//! and how much of it was on the wire.

mod capture;
mod ether;
mod fill;
#[cfg(any(test, feature = "testing"))]
pub mod frames;
mod ip;
mod link;
mod mpls;
mod reader;
mod switch;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;
mod wlan;

pub use fill::{LABELS, fill, fill_from_section, fill_payload};
pub use link::LinkType;

use reader::Reader;
use record::{Addr, Mac};

/// How far into tunnels a packet is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The first IP header is that of the packet.
    #[default]
    Outer,
    /// The last IP header that can be reached is that of the packet; [`Packet::tunnel`] keeps the
    /// first.
    Innermost,
}

/// What is known of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Addresses and tags of the Ethernet frame next to the IP packet, and labels on the way.
    pub link: Link,
    /// The IP header, with [`Depth::Innermost`] the innermost.
    pub ip: Option<Ip>,
    /// What follows the IP header.
    pub transport: Transport,
    /// Captured octets behind the transport header, or behind the IP headers where there is no
    /// transport header that is known. Padding of the frame is no part of it.
    pub payload: &'a [u8],
    /// The outermost tunnel, where [`ip`](Self::ip) lies inside of one.
    pub tunnel: Option<Tunnel>,
    /// Why decoding ended before all there is to know was known.
    pub stop: Option<Stop>,
}

/// What lies before the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Source MAC address.
    pub src_mac: Option<Mac>,
    /// Destination MAC address.
    pub dst_mac: Option<Mac>,
    /// The last Ethernet type that was read: 0x0800 for IPv4, 0x0806 for ARP.
    pub ether_type: Option<u16>,
    vlans: [VlanTag; MAX_VLANS],
    vlan_count: u8,
    label_count: u8,
    labels: [MplsLabel; MAX_LABELS],
}

/// VLAN tags that are read in one frame.
pub const MAX_VLANS: usize = 4;
/// MPLS labels that are kept: as many as a flow has fields for.
pub const MAX_LABELS: usize = 10;

impl Link {
    /// VLAN tags, the outermost first.
    pub fn vlans(&self) -> &[VlanTag] {
        self.vlans.get(..usize::from(self.vlan_count)).unwrap_or_default()
    }

    /// MPLS labels, the top of the stack first; at most [`MAX_LABELS`].
    pub fn labels(&self) -> &[MplsLabel] {
        self.labels.get(..usize::from(self.label_count)).unwrap_or_default()
    }

    /// Adds a tag; `false` if there is no room.
    fn push_vlan(&mut self, tag: VlanTag) -> bool {
        let Some(place) = self.vlans.get_mut(usize::from(self.vlan_count)) else { return false };
        *place = tag;
        self.vlan_count += 1;
        true
    }

    /// Adds a label, as long as there is room.
    fn push_label(&mut self, label: MplsLabel) {
        if let Some(place) = self.labels.get_mut(usize::from(self.label_count)) {
            *place = label;
            self.label_count += 1;
        }
    }
}

/// Tag control information (IEEE 802.1Q, 9.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanTag(pub u16);

impl VlanTag {
    /// VLAN identifier; 0 is a tag that carries a priority only.
    pub const fn id(self) -> u16 {
        self.0 & 0xfff
    }

    /// Priority code point, 0 to 7.
    pub const fn priority(self) -> u8 {
        (self.0 >> 13) as u8
    }
}

/// An entry of an MPLS label stack (RFC 3032, 2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MplsLabel(pub u32);

impl MplsLabel {
    /// The 20-bit label.
    pub const fn label(self) -> u32 {
        self.0 >> 12
    }

    /// Label, traffic class and bottom-of-stack bit: what elements 70 to 79 hold.
    pub const fn section(self) -> u32 {
        self.0 >> 8
    }

    /// Whether it is the last of its stack.
    pub const fn is_bottom(self) -> bool {
        self.0 & 0x100 != 0
    }
}

/// An IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address; its family is the version of the header.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Protocol of the payload. For IPv6 it is the last Next Header field of the extension headers
    /// that could be read.
    pub proto: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Whether the Don't Fragment bit is set. Never for IPv6.
    pub dont_fragment: bool,
    /// Flow label, 0 for IPv4.
    pub flow_label: u32,
    /// Octets of the packet with its IP header, as the header has them: no padding, and never more
    /// than there were on the wire, unless the header lies in the first of several fragments. A
    /// header that says 0, as segmentation offload leaves it, has the octets that were on the wire.
    pub octets: u32,
    /// Where the header begins in the frame.
    pub at: u32,
    /// Which part of a packet this is, if it is not the whole.
    pub fragment: Option<Fragment>,
}

/// A fragment of a packet (RFC 791, 3.1; RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Octets of the payload that came before, a multiple of 8.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
}

/// What follows the IP header. Fragments other than the first have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Nothing that is known, or not captured.
    #[default]
    Absent,
    /// TCP (RFC 9293, 3.1).
    Tcp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// FIN 1 to CWR 128; absent if cut.
        flags: Option<u8>,
    },
    /// UDP, UDP-Lite, SCTP or DCCP: see [`Ip::proto`].
    Ports {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP or ICMPv6: see [`Ip::proto`].
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier of an echo request or reply (RFC 792; RFC 4443, 4.1); absent if cut, and for
        /// other types.
        id: Option<u16>,
    },
}

impl Transport {
    /// Source and destination port.
    pub const fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp { src, dst, .. } | Self::Ports { src, dst } => Some((src, dst)),
            Self::Absent | Self::Icmp { .. } => None,
        }
    }
}

/// The outermost tunnel that leads to an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What kind of tunnel it is.
    pub kind: TunnelKind,
    /// Source address of the outer header.
    pub src: Addr,
    /// Destination address of the outer header.
    pub dst: Addr,
    /// Protocol of the outer header: 4, 41, 47 or 17 for what runs over UDP.
    pub proto: u8,
    /// Network identifier, key, tunnel endpoint or session, where there is one.
    pub id: Option<u32>,
}

/// Kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelKind {
    /// IPv4 or IPv6 in either (RFC 2003, RFC 2473, RFC 4213).
    Ip,
    /// GRE with a packet or an Ethernet frame inside (RFC 2784, RFC 2890, RFC 2637, RFC 7637).
    Gre,
    /// Ethernet over IP: EtherIP (RFC 3378) and segment routing (RFC 8986, 10.1).
    Ethernet,
    /// MPLS over IP (RFC 4023) or UDP (RFC 7510).
    Mpls,
    /// VXLAN (RFC 7348), with or without a protocol field.
    Vxlan,
    /// GENEVE (RFC 8926).
    Geneve,
    /// GTP-U (3GPP TS 29.281).
    Gtp,
    /// A mirrored frame: ERSPAN types I to III.
    Erspan,
}

/// Where and why decoding ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub cause: Cause,
    /// In what.
    pub layer: Layer,
    /// Where in the frame, in octets.
    pub at: u32,
}

/// Why decoding ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The capture ends, the packet went on.
    Truncated,
    /// A header cannot be what it says, or the packet ends inside of it.
    Malformed,
    /// Something else than IP.
    NotIp,
    /// More headers than are followed.
    TooDeep,
    /// A link type that is not understood.
    UnknownLink,
}

impl Cause {
    /// All causes: `ALL[c as usize] == c`.
    pub const ALL: [Self; 5] =
        [Self::Truncated, Self::Malformed, Self::NotIp, Self::TooDeep, Self::UnknownLink];

    /// A name for metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::NotIp => "not_ip",
            Self::TooDeep => "too_deep",
            Self::UnknownLink => "unknown_link",
        }
    }
}

/// What was being read when decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// The header of the link.
    Link,
    /// A tag: VLAN, MACsec and others, or a service header.
    Vlan,
    /// IEEE 802.2 LLC or SNAP.
    Llc,
    /// PPP or PPPoE.
    Ppp,
    /// A stack of MPLS labels.
    Mpls,
    /// The IPv4 header.
    Ipv4,
    /// The IPv6 header.
    Ipv6,
    /// An IPv6 extension header.
    Extension,
    /// TCP, UDP, ICMP and others.
    Transport,
    /// The header of a tunnel.
    Tunnel,
}

/// Tunnels that are followed one inside the other.
const MAX_TUNNELS: usize = 4;

/// Reads one frame. `wire_len` is what the frame measured before it was cut; less than what is
/// there counts as what is there.
pub fn decode(link: LinkType, frame: &[u8], wire_len: u32, depth: Depth) -> Packet<'_> {
    decode_section(link, frame, Some(wire_len), depth)
}

/// As [`decode`], for a frame of which only this section is known.
#[inline]
fn decode_section(
    link: LinkType,
    section: &[u8],
    wire_len: Option<u32>,
    depth: Depth,
) -> Packet<'_> {
    let mut packet = Packet::default();
    let mut reader = Reader::new(section, wire_len);
    let mut end = outer(link, &mut packet, &mut reader);
    if end.is_ok() && depth == Depth::Innermost {
        end = inner(&mut packet, &mut reader);
    }
    packet.stop = end.err();
    packet
}

#[inline]
fn outer<'a>(link: LinkType, packet: &mut Packet<'a>, reader: &mut Reader<'a>) -> Result<(), Stop> {
    let Some(first) = link.first() else {
        return Err(reader.stop(Cause::UnknownLink, Layer::Link));
    };
    let version = link::open(&mut packet.link, reader, first)?;
    ip::read(packet, reader, version)
}

/// Goes through tunnels. Where the packet inside has no IP header, the one around it is kept.
fn inner<'a>(packet: &mut Packet<'a>, reader: &mut Reader<'a>) -> Result<(), Stop> {
    for _ in 0..MAX_TUNNELS {
        let Some((tunnel, first)) = tunnel::open(packet, reader)? else { return Ok(()) };
        // A frame inside has addresses and tags of its own.
        let link = if first == link::Next::Ethernet { Link::default() } else { packet.link };
        let tunnel = packet.tunnel.or(Some(tunnel));
        let mut inside = Packet { link, tunnel, ..Packet::default() };
        let version = link::open(&mut inside.link, reader, first)?;
        let end = ip::read(&mut inside, reader, version);
        if inside.ip.is_none() {
            return end;
        }
        *packet = inside;
        end?;
    }
    match tunnel::open(packet, reader) {
        Ok(None) => Ok(()),
        _ => Err(reader.stop(Cause::TooDeep, Layer::Tunnel)),
    }
}
