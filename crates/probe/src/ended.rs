//! What the cache says of a conversation, and the flows it becomes.

use capture::Direction;
use record::code::Proto;
use record::{Addr, Field, Flow, Mac};
use wire::export::PlainFlow;
use wire::packet::{LABELS, MAX_LABELS, MplsLabel, Tunnel, TunnelKind};

/// Why a conversation was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// TCP, idle.
    Tcp,
    /// TCP, idle after a RST.
    TcpRst,
    /// TCP, idle after a FIN of each side.
    TcpFin,
    /// UDP, idle.
    Udp,
    /// ICMP, idle.
    Icmp,
    /// Another protocol, idle.
    General,
    /// As old as conversations get.
    MaxLife,
    /// More than 2^31 octets in one direction.
    Over2Gib,
    /// It had to make room for another one.
    MaxFlows,
    /// Everything was asked for, or the probe ends.
    Flushed,
    /// The active timeout: the conversation goes on, with its counters at 0.
    Active,
}

impl Reason {
    /// All reasons, softflowd's ten in the order it prints them: `ALL[r as usize] == r`.
    pub const ALL: [Self; 11] = [
        Self::Tcp,
        Self::TcpRst,
        Self::TcpFin,
        Self::Udp,
        Self::Icmp,
        Self::General,
        Self::MaxLife,
        Self::Over2Gib,
        Self::MaxFlows,
        Self::Flushed,
        Self::Active,
    ];

    /// softflowd's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TcpRst => "tcp.rst",
            Self::TcpFin => "tcp.fin",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::General => "general",
            Self::MaxLife => "maxlife",
            Self::Over2Gib => "over 2 GiB",
            Self::MaxFlows => "maxflows",
            Self::Flushed => "flushed",
            Self::Active => "active",
        }
    }

    /// Element 136, flowEndReason: 1 idle, 2 active, 3 end of flow, 4 forced, 5 lack of resources.
    pub const fn end_reason(self) -> u8 {
        match self {
            Self::Tcp | Self::Udp | Self::Icmp | Self::General => 1,
            Self::MaxLife | Self::Active => 2,
            Self::TcpRst | Self::TcpFin => 3,
            Self::Flushed => 4,
            Self::Over2Gib | Self::MaxFlows => 5,
        }
    }
}

/// A stack of MPLS labels as elements 70 to 79 hold them, the top first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    count: u8,
    labels: [MplsLabel; MAX_LABELS],
}

impl Labels {
    /// A stack; labels below the tenth are left out.
    pub fn new(stack: &[MplsLabel]) -> Self {
        let mut new = Self::default();
        for (place, label) in new.labels.iter_mut().zip(stack) {
            *place = *label;
            new.count += 1;
        }
        new
    }

    /// The labels.
    pub fn as_slice(&self) -> &[MplsLabel] {
        self.labels.get(..usize::from(self.count)).unwrap_or_default()
    }
}

/// One direction of a conversation. What comes from one packet comes from the first that was seen
/// in this direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Packets.
    pub packets: u64,
    /// IP octets.
    pub octets: u64,
    /// Type of service or traffic class of the first packet.
    pub tos: u8,
    /// TCP flags, ORed.
    pub tcp_flags: u8,
    /// Smallest time to live or hop limit.
    pub min_ttl: u8,
    /// Largest time to live or hop limit.
    pub max_ttl: u8,
    /// Element 197 of all packets, ORed: 0x40 don't fragment, 0x20 more fragments.
    pub fragment_flags: u8,
    /// Type and code of the first packet, for ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// Source MAC address.
    pub src_mac: Option<Mac>,
    /// Destination MAC address.
    pub dst_mac: Option<Mac>,
    /// Identifier of the outermost VLAN, 0 without.
    pub vlan: u16,
    /// Identifier of the VLAN within it, 0 without.
    pub inner_vlan: u16,
    /// IPv6 flow label, 0 without.
    pub flow_label: u32,
    /// Index of the interface where the first packet was seen, 0 if unknown.
    pub interface: u32,
    /// Which way the first packet went.
    pub direction: Direction,
    /// MPLS labels.
    pub labels: Labels,
}

/// A conversation that ended, a part of one that lasts, or one that is looked at.
///
/// The initiator is who sent the first packet, or the other side if that packet was an answer: TCP
/// with SYN and ACK, an ICMP echo reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// Number of the conversation: 1, 2 and so on, in the order they began.
    pub id: u64,
    /// Address of the initiator.
    pub initiator: Addr,
    /// Address of the other side.
    pub responder: Addr,
    /// Port of the initiator, 0 without.
    pub src_port: u16,
    /// Port of the other side, 0 without. ICMP has its types in [`Side::icmp`].
    pub dst_port: u16,
    /// IP protocol, 0 where the level does not tell.
    pub proto: u8,
    /// From the initiator.
    pub forward: Side,
    /// To the initiator.
    pub backward: Side,
    /// Time of the first packet of either direction, in nanoseconds since 1970.
    pub first_ns: u64,
    /// Time of the last packet of either direction, in nanoseconds since 1970.
    pub last_ns: u64,
    /// Why it is handed over.
    pub reason: Reason,
    /// Interface by which the packets of the initiator come in, 0 if unknown.
    pub input: u32,
    /// Interface by which the packets of the initiator go out, 0 if unknown.
    pub output: u32,
    /// The outermost tunnel the first packet came in, as seen from the initiator.
    pub tunnel: Option<Tunnel>,
}

/// Which flow is to be made of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the initiator.
    Forward,
    /// To the initiator: addresses, ports and all that goes with them swapped.
    Backward,
    /// Both in one (RFC 5103), with the initiator as the source. ToS and TCP flags are those of the
    /// initiator; `DstTos` is that of the other side.
    Both,
}

/// One direction of a conversation, source first.
struct Seen<'a> {
    side: &'a Side,
    addrs: (Addr, Addr),
    ports: (u16, u16),
    /// Where packets came in and went out.
    interfaces: (u32, u32),
}

impl Ended {
    /// Whether packets went this way; both: either way.
    pub const fn has(&self, way: Way) -> bool {
        let (forward, backward) = (self.forward.packets > 0, self.backward.packets > 0);
        match way {
            Way::Forward => forward,
            Way::Backward => backward,
            Way::Both => forward || backward,
        }
    }

    /// The flow of one direction in the form that is exported the short way; `None` if there is more
    /// to say. It says nothing of MAC addresses.
    #[inline]
    pub fn plain(&self, way: Way) -> Option<PlainFlow> {
        if way == Way::Both {
            return None;
        }
        let Seen { side, addrs: (src, dst), ports, interfaces: (input, output) } =
            self.seen_from(way);
        let is_more = self.tunnel.is_some() || side.inner_vlan != 0 || side.labels.count != 0;
        if is_more || side.packets == 0 {
            return None;
        }
        Some(PlainFlow {
            src,
            dst,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            packets: side.packets,
            bytes: side.octets,
            input,
            output,
            ports: match side.icmp {
                Some((kind, code)) => Some((0, u16::from_be_bytes([kind, code]))),
                None => has_ports(self.proto).then_some(ports),
            },
            vlan: side.vlan,
            proto: self.proto,
            tcp_flags: side.tcp_flags,
            tos: side.tos,
            min_ttl: side.min_ttl,
            max_ttl: side.max_ttl,
            fragment_flags: side.fragment_flags,
            end_reason: self.reason.end_reason(),
            direction: match side.direction {
                Direction::Unknown => None,
                Direction::Inbound => Some(0),
                Direction::Outbound => Some(1),
            },
        })
    }

    /// What goes this way.
    #[inline]
    const fn seen_from(&self, way: Way) -> Seen<'_> {
        match way {
            Way::Forward | Way::Both => Seen {
                side: &self.forward,
                addrs: (self.initiator, self.responder),
                ports: (self.src_port, self.dst_port),
                interfaces: (self.input, self.output),
            },
            Way::Backward => Seen {
                side: &self.backward,
                addrs: (self.responder, self.initiator),
                ports: (self.dst_port, self.src_port),
                interfaces: (self.output, self.input),
            },
        }
    }

    /// Makes `flow` the flow of this way, replacing what it was. Fields are set where something is
    /// known.
    ///
    /// * ICMP type and code go into the destination port.
    /// * The source VLAN is the outermost tag; a second one is told by `VlanId` and `CustomerVlanId`,
    ///   elements 243 and 245.
    /// * The destination address of the frame becomes both `InDstMac`, element 80, which it is, and
    ///   `OutDstMac`, where sfcapd and nfpcapd put it.
    pub fn fill(&self, way: Way, flow: &mut Flow) {
        flow.clear();
        flow.set(Field::First, self.first_ns / NS_PER_MS);
        flow.set(Field::Last, self.last_ns / NS_PER_MS);
        flow.set(Field::Proto, u64::from(self.proto));
        flow.set(Field::EndReason, u64::from(self.reason.end_reason()));
        let Seen { side, addrs: (from, to), ports, interfaces } = self.seen_from(way);
        flow.set_addr(Field::SrcAddr, from);
        flow.set_addr(Field::DstAddr, to);
        set_known(flow, Field::Input, u64::from(interfaces.0));
        set_known(flow, Field::Output, u64::from(interfaces.1));
        self.fill_ports(ports, side, flow);
        self.fill_side(side, flow);
        if let Some(tunnel) = &self.tunnel {
            fill_tunnel(tunnel, way, flow);
        }
        if way == Way::Both {
            flow.set(Field::OutPackets, self.backward.packets);
            flow.set(Field::OutBytes, self.backward.octets);
            flow.set(Field::BiflowDir, INITIATOR);
            if self.backward.packets > 0 {
                flow.set(Field::DstTos, u64::from(self.backward.tos));
            }
        }
    }

    fn fill_ports(&self, (src, dst): (u16, u16), side: &Side, flow: &mut Flow) {
        let (src, dst) = match side.icmp {
            Some((kind, code)) => (0, u16::from_be_bytes([kind, code])),
            None if has_ports(self.proto) => (src, dst),
            None => return,
        };
        flow.set(Field::SrcPort, u64::from(src));
        flow.set(Field::DstPort, u64::from(dst));
    }

    fn fill_side(&self, side: &Side, flow: &mut Flow) {
        flow.set(Field::Packets, side.packets);
        flow.set(Field::Bytes, side.octets);
        if self.proto == Proto::TCP.0 {
            flow.set(Field::TcpFlags, u64::from(side.tcp_flags));
        }
        if side.packets == 0 {
            return;
        }
        flow.set(Field::SrcTos, u64::from(side.tos));
        flow.set(Field::MinTtl, u64::from(side.min_ttl));
        flow.set(Field::MaxTtl, u64::from(side.max_ttl));
        match side.direction {
            Direction::Unknown => false,
            Direction::Inbound => flow.set(Field::Direction, 0),
            Direction::Outbound => flow.set(Field::Direction, 1),
        };
        flow.set(Field::FragmentFlags, u64::from(side.fragment_flags));
        for (field, mac) in [
            (Field::InSrcMac, side.src_mac),
            (Field::InDstMac, side.dst_mac),
            (Field::OutDstMac, side.dst_mac),
        ] {
            if let Some(Mac(number)) = mac {
                flow.set(field, number);
            }
        }
        set_known(flow, Field::SrcVlan, u64::from(side.vlan));
        if side.inner_vlan != 0 {
            flow.set(Field::VlanId, u64::from(side.vlan));
            flow.set(Field::CustomerVlanId, u64::from(side.inner_vlan));
        }
        for (field, label) in LABELS.iter().zip(side.labels.as_slice()) {
            flow.set(*field, u64::from(label.section()));
        }
    }
}

const NS_PER_MS: u64 = 1_000_000;
/// Element 239, biflowDirection: the source is the initiator (RFC 5103, 6.3).
const INITIATOR: u64 = 1;

/// Sets what is not 0.
fn set_known(flow: &mut Flow, field: Field, value: u64) {
    if value != 0 {
        flow.set(field, value);
    }
}

/// Whether the header of this protocol has ports, or what is put in their place.
const fn has_ports(proto: u8) -> bool {
    const DCCP: u8 = 33;
    const UDP_LITE: u8 = 136;
    matches!(Proto(proto), Proto::TCP | Proto::UDP | Proto::SCTP | Proto::ICMP | Proto::ICMP6)
        || matches!(proto, DCCP | UDP_LITE)
}

fn fill_tunnel(tunnel: &Tunnel, way: Way, flow: &mut Flow) {
    let (src, dst) = match way {
        Way::Forward | Way::Both => (tunnel.src, tunnel.dst),
        Way::Backward => (tunnel.dst, tunnel.src),
    };
    flow.set_addr(Field::TunSrcAddr, src);
    flow.set_addr(Field::TunDstAddr, dst);
    flow.set(Field::TunProto, u64::from(tunnel.proto));
    if let (TunnelKind::Vxlan, Some(id)) = (tunnel.kind, tunnel.id) {
        flow.set(Field::VxLan, u64::from(id));
    }
}
