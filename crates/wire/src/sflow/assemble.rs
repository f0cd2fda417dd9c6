//! A flow of one sample: what its records say, put together.

use super::record::{Ip, Parts, RawHeader};
use super::sample::FlowSample;
use crate::Counters;
use crate::packet::{self, Cause, Depth, LABELS, LinkType};
use record::{Addr, Field, Flow, Mac};

/// Fills the flow with one packet, not yet multiplied by the sampling rate. Times and exporter are
/// left to the caller.
///
/// The octets of the packet come before what the agent says of it, and that before the ends of a
/// tunnel, which are all that some agents send.
pub(super) fn assemble(
    flow: &mut Flow,
    sample: &FlowSample,
    parts: &Parts<'_>,
    depth: Depth,
    counters: &mut Counters,
) {
    let octets = if let Some(header) = &parts.header {
        raw(flow, header, depth, counters)
    } else if let Some(ip) = &parts.ip {
        told(flow, ip, counters);
        ip.length
    } else if let Some(ethernet) = &parts.ethernet {
        counters.sflow_not_ip += 1;
        number(flow, Field::EtherType, ethernet.ether_type, counters);
        ethernet.length
    } else {
        counters.sflow_without_packet += 1;
        if let Some(outer) = parts.tunnel_in.or(parts.tunnel_out) {
            told(flow, &outer, counters);
        }
        0
    };
    flow.set(Field::Packets, 1);
    flow.set(Field::Bytes, u64::from(octets));
    if let Some(ethernet) = &parts.ethernet {
        macs(flow, ethernet.src, ethernet.dst);
    }
    flow.set(Field::Input, u64::from(sample.input.index()));
    flow.set(Field::Output, u64::from(sample.output.index()));
    if let Some(status) =
        sample.output.forwarding_status().or_else(|| sample.input.forwarding_status())
    {
        flow.set(Field::FwdStatus, u64::from(status));
    }
    switched(flow, parts, counters);
    routed(flow, parts, counters);
    translated(flow, parts, counters);
    if parts.has_packet() {
        tunnelled(flow, parts);
    }
}

/// The octets of the packet. Returns how long its frame was.
fn raw(flow: &mut Flow, header: &RawHeader<'_>, depth: Depth, counters: &mut Counters) -> u32 {
    let link = LinkType::from_sflow(header.protocol);
    let length = header.frame_length.saturating_sub(header.stripped);
    let packet = packet::decode(link, header.octets, length, depth);
    packet::fill(&packet, flow);
    match packet.stop.map(|stop| stop.cause) {
        None => {}
        Some(Cause::NotIp) => counters.sflow_not_ip += 1,
        Some(Cause::Truncated) => counters.sflow_cut_packets += 1,
        Some(_) => counters.sflow_bad_packets += 1,
    }
    header.frame_length
}

/// What an agent tells of an IP packet.
fn told(flow: &mut Flow, ip: &Ip, counters: &mut Counters) {
    flow.set_addr(Field::SrcAddr, ip.src);
    flow.set_addr(Field::DstAddr, ip.dst);
    number(flow, Field::Proto, ip.proto, counters);
    number(flow, Field::SrcTos, ip.tos, counters);
    // The specification says "or equivalent" of the ports of ICMP. Agents send type and code.
    let is_icmp = ip.proto == 1 || ip.proto == 58;
    if is_icmp && ip.src_port <= 0xff && ip.dst_port <= 0xff {
        let (kind, code) =
            if ip.src_port == 0 { (ip.dst_port, 0) } else { (ip.src_port, ip.dst_port) };
        flow.set(Field::SrcPort, 0);
        flow.set(Field::DstPort, u64::from(kind << 8 | code));
    } else {
        number(flow, Field::SrcPort, ip.src_port, counters);
        number(flow, Field::DstPort, ip.dst_port, counters);
    }
    if ip.proto == 6 {
        // The ninth flag is none that a flow has.
        flow.set(Field::TcpFlags, u64::from(ip.tcp_flags & 0xff));
    }
}

fn macs(flow: &mut Flow, src: Mac, dst: Mac) {
    for (field, mac) in [(Field::InSrcMac, src), (Field::OutDstMac, dst)] {
        if !flow.has(field) {
            flow.set(field, mac.0);
        }
    }
}

/// VLANs. What the device says comes before the tag of the packet, which may have been taken off or
/// put on; 0 is no VLAN.
fn switched(flow: &mut Flow, parts: &Parts<'_>, counters: &mut Counters) {
    if let Some(switch) = &parts.switch {
        if switch.src_vlan != 0 || !flow.has(Field::SrcVlan) {
            number(flow, Field::SrcVlan, switch.src_vlan, counters);
        }
        number(flow, Field::DstVlan, switch.dst_vlan, counters);
    }
    if let Some(tag) = parts.stripped_tags.and_then(<[_]>::first)
        && flow.number(Field::SrcVlan) == 0
    {
        flow.set(Field::SrcVlan, u64::from(u32::from_be_bytes(*tag) & 0xfff));
    }
    if let Some(vni) = parts.vni_in.or(parts.vni_out)
        && !flow.has(Field::VxLan)
    {
        flow.set(Field::VxLan, u64::from(vni));
    }
}

/// Next hops, prefixes, autonomous systems and labels.
fn routed(flow: &mut Flow, parts: &Parts<'_>, counters: &mut Counters) {
    let mut next_hop = None;
    if let Some(router) = &parts.router {
        next_hop = router.next_hop;
        number(flow, Field::SrcMask, router.src_mask, counters);
        number(flow, Field::DstMask, router.dst_mask, counters);
    }
    if let Some(gateway) = &parts.gateway {
        flow.set(Field::SrcAs, u64::from(gateway.src_as));
        flow.set(Field::DstAs, u64::from(gateway.dst_as));
        flow.set(Field::PrevAs, u64::from(gateway.src_peer_as));
        flow.set(Field::NextAs, u64::from(gateway.dst_peer_as));
        addr(flow, Field::BgpNextHop, gateway.next_hop);
    }
    if let Some(mpls) = &parts.mpls {
        next_hop = next_hop.or(mpls.next_hop);
        if !flow.has(Field::Mpls1) {
            for (field, entry) in LABELS.into_iter().zip(mpls.labels) {
                // Label, traffic class and bottom of stack, without the time to live.
                flow.set(field, u64::from(u32::from_be_bytes(*entry) >> 8));
            }
        }
    }
    addr(flow, Field::NextHop, next_hop);
}

fn translated(flow: &mut Flow, parts: &Parts<'_>, counters: &mut Counters) {
    if let Some([src, dst]) = parts.nat {
        addr(flow, Field::XlateSrcAddr, src);
        addr(flow, Field::XlateDstAddr, dst);
    }
    if let Some([src, dst]) = parts.nat_ports {
        number(flow, Field::XlateSrcPort, src, counters);
        number(flow, Field::XlateDstPort, dst, counters);
    }
}

/// The ends of a tunnel that the device takes off or puts on, unless they were found in the packet.
fn tunnelled(flow: &mut Flow, parts: &Parts<'_>) {
    let Some(outer) = parts.tunnel_in.or(parts.tunnel_out) else { return };
    if !flow.has(Field::TunSrcAddr) {
        flow.set_addr(Field::TunSrcAddr, outer.src);
        flow.set_addr(Field::TunDstAddr, outer.dst);
        flow.set(Field::TunProto, u64::from(outer.proto));
    }
}

fn addr(flow: &mut Flow, field: Field, value: Option<Addr>) {
    if let Some(value) = value {
        flow.set_addr(field, value);
    }
}

/// Sets a number that may be too wide for its field. Then it is left out: it is an id of some kind.
fn number(flow: &mut Flow, field: Field, value: u32, counters: &mut Counters) {
    counters.wide_values += u64::from(!flow.set(field, u64::from(value)));
}
