//! Packets as flows.

use super::{Depth, Ip, Link, LinkType, Packet, Stop, Transport, Tunnel, TunnelKind, VlanTag};
use record::{Addr, Field, Flow, Mac};

/// Puts what `packet` says into `flow`, as a flow of one packet. Fields that the flow already has
/// stay as they are: an exporter's own word comes first.
///
/// * Octets are those of the IP packet.
/// * ICMP type and code go into the destination port (file format, section 7, extension 1).
/// * The source VLAN is the outermost tag; a second one is told by `VlanId` and `CustomerVlanId`,
///   elements 243 and 245.
/// * The destination address of the frame becomes both `InDstMac`, element 80, which it is, and
///   `OutDstMac`, where sfcapd and nfpcapd put it.
/// * Fields of a tunnel are those of the outermost.
pub fn fill(packet: &Packet<'_>, flow: &mut Flow) {
    let mut flow = Gaps(flow);
    link(&packet.link, &mut flow);
    if let Some(header) = &packet.ip {
        flow.set(Field::Packets, 1);
        flow.set(Field::Bytes, u64::from(header.octets));
        ip(header, &mut flow);
        transport(packet.transport, &mut flow);
    }
    if let Some(outer) = &packet.tunnel {
        tunnel(outer, &mut flow);
    }
}

/// Reads a section of a frame, as elements 313 and 315 to 317 have it, into `flow`: see [`fill`].
/// `wire_len` is the length of the frame, where it is known (element 312). Says where and why
/// reading ended early, as it does for most sections that hold no whole headers.
pub fn fill_from_section(
    link: LinkType,
    section: &[u8],
    wire_len: Option<u32>,
    depth: Depth,
    flow: &mut Flow,
) -> Option<Stop> {
    let packet = super::decode_section(link, section, wire_len, depth);
    fill(&packet, flow);
    packet.stop
}

/// Puts up to `max` octets of the payload behind the transport header into `flow`. Returns whether
/// there were any.
pub fn fill_payload(packet: &Packet<'_>, max: usize, flow: &mut Flow) -> bool {
    let payload = packet.payload.get(..max).unwrap_or(packet.payload);
    packet.ip.is_some() && flow.set_bytes(Field::InPayload, payload)
}

/// A flow in which only what is absent is set.
struct Gaps<'f>(&'f mut Flow);

impl Gaps<'_> {
    fn set(&mut self, field: Field, value: u64) {
        if !self.0.has(field) {
            self.0.set(field, value);
        }
    }

    fn set_addr(&mut self, field: Field, addr: Addr) {
        if !self.0.has(field) {
            self.0.set_addr(field, addr);
        }
    }
}

fn link(link: &Link, flow: &mut Gaps<'_>) {
    for (field, mac) in [
        (Field::InSrcMac, link.src_mac),
        (Field::InDstMac, link.dst_mac),
        (Field::OutDstMac, link.dst_mac),
    ] {
        if let Some(Mac(number)) = mac {
            flow.set(field, number);
        }
    }
    match link.vlans() {
        [] => {}
        [tag] => vlan(*tag, flow),
        [outer, inner, ..] => {
            vlan(*outer, flow);
            flow.set(Field::VlanId, u64::from(outer.id()));
            flow.set(Field::CustomerVlanId, u64::from(inner.id()));
        }
    }
    for (field, label) in LABELS.iter().zip(link.labels()) {
        flow.set(*field, u64::from(label.section()));
    }
}

/// Number 0 says that the tag carries a priority only.
fn vlan(tag: VlanTag, flow: &mut Gaps<'_>) {
    if tag.id() != 0 {
        flow.set(Field::SrcVlan, u64::from(tag.id()));
    }
}

/// Where a flow has its labels, the top of the stack first.
pub const LABELS: [Field; super::MAX_LABELS] = [
    Field::Mpls1,
    Field::Mpls2,
    Field::Mpls3,
    Field::Mpls4,
    Field::Mpls5,
    Field::Mpls6,
    Field::Mpls7,
    Field::Mpls8,
    Field::Mpls9,
    Field::Mpls10,
];

fn ip(ip: &Ip, flow: &mut Gaps<'_>) {
    flow.set_addr(Field::SrcAddr, ip.src);
    flow.set_addr(Field::DstAddr, ip.dst);
    flow.set(Field::Proto, u64::from(ip.proto));
    flow.set(Field::SrcTos, u64::from(ip.tos));
    flow.set(Field::MinTtl, u64::from(ip.ttl));
    flow.set(Field::MaxTtl, u64::from(ip.ttl));
    // Element 197.
    const DONT_FRAGMENT: u64 = 0x40;
    const MORE_FRAGMENTS: u64 = 0x20;
    let dont = if ip.dont_fragment { DONT_FRAGMENT } else { 0 };
    let more = if ip.fragment.is_some_and(|f| f.more) { MORE_FRAGMENTS } else { 0 };
    flow.set(Field::FragmentFlags, dont | more);
}

fn transport(transport: Transport, flow: &mut Gaps<'_>) {
    let (src, dst) = match transport {
        Transport::Absent => return,
        Transport::Tcp { src, dst, flags } => {
            if let Some(flags) = flags {
                flow.set(Field::TcpFlags, u64::from(flags));
            }
            (src, dst)
        }
        Transport::Ports { src, dst } => (src, dst),
        Transport::Icmp { kind, code, .. } => (0, u16::from_be_bytes([kind, code])),
    };
    flow.set(Field::SrcPort, u64::from(src));
    flow.set(Field::DstPort, u64::from(dst));
}

fn tunnel(tunnel: &Tunnel, flow: &mut Gaps<'_>) {
    flow.set_addr(Field::TunSrcAddr, tunnel.src);
    flow.set_addr(Field::TunDstAddr, tunnel.dst);
    flow.set(Field::TunProto, u64::from(tunnel.proto));
    // The number alone: the type that element 351 has in its first octet is not kept.
    if let (TunnelKind::Vxlan, Some(id)) = (tunnel.kind, tunnel.id) {
        flow.set(Field::VxLan, u64::from(id));
    }
}
