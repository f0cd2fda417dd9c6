//! Flow records: what an agent says of one packet (sFlow version 5, section 5.2, "Flow Data Types").
//!
//! A sample has a record for each thing its agent knows: the start of the packet, where it was
//! switched, routed, translated. [`Parts`] takes them in any order, the first of each kind.
//! `assemble` makes a flow of them.

use super::xdr::{address, mac, numbers, opaque};
use crate::cursor::Parsed;
use nom::Parser;
use nom::number::complete::{be_u32, be_u128};
use record::{Addr, Mac};

/// Everything that the records of one sample say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    pub(super) header: Option<RawHeader<'a>>,
    pub(super) ethernet: Option<Ethernet>,
    pub(super) ip: Option<Ip>,
    pub(super) switch: Option<Switch>,
    pub(super) router: Option<Router>,
    pub(super) gateway: Option<Gateway>,
    pub(super) mpls: Option<Mpls<'a>>,
    pub(super) nat: Option<[Option<Addr>; 2]>,
    pub(super) nat_ports: Option<[u32; 2]>,
    /// VLAN tags that the device has taken off, outermost first: TPID and TCI.
    pub(super) stripped_tags: Option<&'a [[u8; 4]]>,
    /// The outer packet as it came in, and as it goes out.
    pub(super) tunnel_in: Option<Ip>,
    pub(super) tunnel_out: Option<Ip>,
    pub(super) vni_in: Option<u32>,
    pub(super) vni_out: Option<u32>,
}

/// The start of a packet as it was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawHeader<'a> {
    /// What it begins with: 1 Ethernet, 11 IPv4, 12 IPv6, 13 MPLS and others.
    pub(super) protocol: u32,
    /// Octets of the whole frame, those that were stripped among them.
    pub(super) frame_length: u32,
    /// Octets that the agent took off before it chose the header.
    pub(super) stripped: u32,
    /// The first octets of what is left.
    pub(super) octets: &'a [u8],
}

/// What an agent tells of a frame instead of its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ethernet {
    pub(super) length: u32,
    pub(super) src: Mac,
    pub(super) dst: Mac,
    pub(super) ether_type: u32,
}

/// What an agent tells of an IP packet instead of its octets, and of the ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip {
    /// Octets of the packet without its frame.
    pub(super) length: u32,
    pub(super) proto: u32,
    pub(super) src: Addr,
    pub(super) dst: Addr,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    pub(super) tcp_flags: u32,
    pub(super) tos: u32,
}

/// VLANs on entry and exit; priorities are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) src_vlan: u32,
    pub(super) dst_vlan: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Router {
    pub(super) next_hop: Option<Addr>,
    pub(super) src_mask: u32,
    pub(super) dst_mask: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) next_hop: Option<Addr>,
    pub(super) src_as: u32,
    pub(super) src_peer_as: u32,
    /// First and last of the path to the destination, 0 where it has none.
    pub(super) dst_peer_as: u32,
    pub(super) dst_as: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mpls<'a> {
    pub(super) next_hop: Option<Addr>,
    /// Label stack entries on entry (RFC 3032, 2.1).
    pub(super) labels: &'a [[u8; 4]],
}

impl<'a> Parts<'a> {
    /// Takes in a record of version 5. Returns whether it was well-formed; formats that are not
    /// known are.
    pub(super) fn take(&mut self, tag: u32, data: &'a [u8]) -> bool {
        match tag {
            1 => keep(&mut self.header, raw_header_v5, data),
            2 => keep(&mut self.ethernet, ethernet, data),
            3 => keep(&mut self.ip, ipv4, data),
            4 => keep(&mut self.ip, ipv6, data),
            1001 => keep(&mut self.switch, switch, data),
            1002 => keep(&mut self.router, router, data),
            1003 => keep(&mut self.gateway, gateway_v5, data),
            1006 => keep(&mut self.mpls, mpls, data),
            1007 => keep(&mut self.nat, nat, data),
            1012 => keep(&mut self.stripped_tags, numbers, data),
            1020 => keep(&mut self.nat_ports, two, data),
            1023 => keep(&mut self.tunnel_out, ipv4, data),
            1024 => keep(&mut self.tunnel_in, ipv4, data),
            1025 => keep(&mut self.tunnel_out, ipv6, data),
            1026 => keep(&mut self.tunnel_in, ipv6, data),
            1029 => keep(&mut self.vni_out, number, data),
            1030 => keep(&mut self.vni_in, number, data),
            _ => true,
        }
    }

    /// Takes in the packet of a sample of version 2 or 4, which says nothing of its length
    /// (RFC 3176, 4, "`packet_data_type`"), and returns what follows it.
    pub(super) fn take_packet_v4(&mut self, tag: u32, data: &'a [u8]) -> Parsed<'a, ()> {
        match tag {
            1 => then(&mut self.header, raw_header_v4, data),
            2 => then(&mut self.ip, ipv4, data),
            3 => then(&mut self.ip, ipv6, data),
            _ => Err(nom::Err::Failure(())),
        }
    }

    /// Takes in what else a sample of version 2 or 4 has (RFC 3176, 4, "`extended_data_type`"), and
    /// returns what follows it.
    pub(super) fn take_extended_v4(
        &mut self,
        version: u32,
        tag: u32,
        data: &'a [u8],
    ) -> Parsed<'a, ()> {
        match tag {
            1 => then(&mut self.switch, switch, data),
            2 => then(&mut self.router, router, data),
            3 if version == 2 => then(&mut self.gateway, gateway_v2, data),
            3 => then(&mut self.gateway, gateway_v4, data),
            // User names, and a URL behind its direction.
            4 => (opaque, opaque).map(|_| ()).parse(data),
            5 => (be_u32, opaque).map(|_| ()).parse(data),
            _ => Err(nom::Err::Failure(())),
        }
    }

    /// Whether anything says what the packet was.
    pub(super) const fn has_packet(&self) -> bool {
        self.header.is_some() || self.ip.is_some() || self.ethernet.is_some()
    }
}

/// Reads a record into its place, unless one was there before. Returns whether it was well-formed.
fn keep<'a, T>(
    place: &mut Option<T>,
    parser: impl Fn(&'a [u8]) -> Parsed<'a, T>,
    data: &'a [u8],
) -> bool {
    then(place, parser, data).is_ok()
}

/// Reads a record into its place, unless one was there before, and returns what follows it.
fn then<'a, T>(
    place: &mut Option<T>,
    parser: impl Fn(&'a [u8]) -> Parsed<'a, T>,
    data: &'a [u8],
) -> Parsed<'a, ()> {
    let (rest, value) = parser(data)?;
    place.get_or_insert(value);
    Ok((rest, ()))
}

fn raw_header_v5(input: &[u8]) -> Parsed<'_, RawHeader<'_>> {
    let (input, (protocol, frame_length, stripped)) = (be_u32, be_u32, be_u32).parse(input)?;
    raw_header(input, protocol, frame_length, stripped)
}

fn raw_header_v4(input: &[u8]) -> Parsed<'_, RawHeader<'_>> {
    let (input, (protocol, frame_length)) = (be_u32, be_u32).parse(input)?;
    raw_header(input, protocol, frame_length, 0)
}

/// The octets of a packet behind their length. There may be fewer than it says: what counts is at
/// the start, and headers that are missed are counted when the packet is decoded.
fn raw_header(
    input: &[u8],
    protocol: u32,
    frame_length: u32,
    stripped: u32,
) -> Parsed<'_, RawHeader<'_>> {
    let (rest, _len) = be_u32(input)?;
    let whole = opaque(input).ok();
    let (rest, octets) = whole.unwrap_or((&[], rest));
    Ok((rest, RawHeader { protocol, frame_length, stripped, octets }))
}

fn ethernet(input: &[u8]) -> Parsed<'_, Ethernet> {
    (be_u32, mac, mac, be_u32)
        .map(|(length, src, dst, ether_type)| Ethernet { length, src, dst, ether_type })
        .parse(input)
}

fn ipv4(input: &[u8]) -> Parsed<'_, Ip> {
    ip(|input| be_u32.map(Addr::V4).parse(input), input)
}

fn ipv6(input: &[u8]) -> Parsed<'_, Ip> {
    ip(|input| be_u128.map(Addr::V6).parse(input), input)
}

fn ip<'a>(addr: impl Fn(&'a [u8]) -> Parsed<'a, Addr>, input: &'a [u8]) -> Parsed<'a, Ip> {
    let (input, (length, proto)) = two_numbers(input)?;
    let (input, src) = addr(input)?;
    let (input, dst) = addr(input)?;
    let (input, (src_port, dst_port, tcp_flags, tos)) =
        (be_u32, be_u32, be_u32, be_u32).parse(input)?;
    Ok((input, Ip { length, proto, src, dst, src_port, dst_port, tcp_flags, tos }))
}

fn switch(input: &[u8]) -> Parsed<'_, Switch> {
    (be_u32, be_u32, be_u32, be_u32)
        .map(|(src_vlan, _, dst_vlan, _)| Switch { src_vlan, dst_vlan })
        .parse(input)
}

fn router(input: &[u8]) -> Parsed<'_, Router> {
    (address, be_u32, be_u32)
        .map(|(next_hop, src_mask, dst_mask)| Router { next_hop, src_mask, dst_mask })
        .parse(input)
}

/// Version 2 has one plain path.
fn gateway_v2(input: &[u8]) -> Parsed<'_, Gateway> {
    let (input, (_, src_as, src_peer_as)) = (be_u32, be_u32, be_u32).parse(input)?;
    let (input, path) = numbers(input)?;
    let mut gateway = Gateway { src_as, src_peer_as, ..Gateway::default() };
    gateway.walk(path);
    Ok((input, gateway))
}

/// Version 4 has sequences and sets, and communities.
fn gateway_v4(input: &[u8]) -> Parsed<'_, Gateway> {
    gateway(None, input)
}

fn gateway_v5(input: &[u8]) -> Parsed<'_, Gateway> {
    let (input, next_hop) = address(input)?;
    gateway(next_hop, input)
}

fn gateway(next_hop: Option<Addr>, input: &[u8]) -> Parsed<'_, Gateway> {
    let (input, (_, src_as, src_peer_as)) = (be_u32, be_u32, be_u32).parse(input)?;
    let (mut input, segments) = be_u32(input)?;
    let mut gateway = Gateway { next_hop, src_as, src_peer_as, ..Gateway::default() };
    // Each takes eight octets at least, so this ends with the input.
    for _ in 0..segments {
        let (rest, (_, path)) = (be_u32, numbers).parse(input)?;
        gateway.walk(path);
        input = rest;
    }
    // Communities and the local preference.
    let (input, _) = (numbers, be_u32).parse(input)?;
    Ok((input, gateway))
}

impl Gateway {
    fn walk(&mut self, path: &[[u8; 4]]) {
        let number = |octets: Option<&[u8; 4]>| octets.map_or(0, |o| u32::from_be_bytes(*o));
        if path.is_empty() {
            return;
        }
        if self.dst_peer_as == 0 {
            self.dst_peer_as = number(path.first());
        }
        self.dst_as = number(path.last());
    }
}

/// The stack on exit is left out.
fn mpls(input: &[u8]) -> Parsed<'_, Mpls<'_>> {
    (address, numbers, numbers).map(|(next_hop, labels, _)| Mpls { next_hop, labels }).parse(input)
}

fn nat(input: &[u8]) -> Parsed<'_, [Option<Addr>; 2]> {
    (address, address).map(|(src, dst)| [src, dst]).parse(input)
}

fn two(input: &[u8]) -> Parsed<'_, [u32; 2]> {
    two_numbers.map(|(a, b)| [a, b]).parse(input)
}

fn two_numbers(input: &[u8]) -> Parsed<'_, (u32, u32)> {
    (be_u32, be_u32).parse(input)
}

fn number(input: &[u8]) -> Parsed<'_, u32> {
    be_u32(input)
}
