//! Headers of links other than Ethernet, and of those that exist in capture files only.

use super::ether::{kind, mac};
use super::link::{LinkType, Next, Version};
use super::reader::{Reader, be16};
use super::{Cause, Layer, Link, Stop};

/// The address family of the system that captured, in its byte order or the network's.
pub(super) fn null(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let family = reader.peek::<4>(Layer::Link)?;
    let version = match u32::from_le_bytes(*family).min(u32::from_be_bytes(*family)) {
        2 => Version::V4,
        // Linux; NetBSD and OpenBSD; FreeBSD; macOS.
        10 | 24 | 28 | 30 => Version::V6,
        _ => return Err(reader.stop(Cause::NotIp, Layer::Link)),
    };
    reader.skip(4, Layer::Link)?;
    Ok(Next::Ip(version))
}

/// Packet type, hardware type, length of the address, address, protocol.
pub(super) fn cooked1(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [_, _, h0, h1, l0, l1, a, b, c, d, e, f, _, _, p0, p1] = *reader.take(Layer::Link)?;
    let header =
        Cooked { hardware: be16(h0, h1), address_len: be16(l0, l1), protocol: be16(p0, p1) };
    header.next(link, reader, [a, b, c, d, e, f])
}

/// Protocol, two octets of nothing, interface, hardware type, packet type, length of the address,
/// address.
pub(super) fn cooked2(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [p0, p1, _, _, _, _, _, _, h0, h1, _, len, a, b, c, d, e, f, _, _] =
        *reader.take(Layer::Link)?;
    let (hardware, protocol) = (be16(h0, h1), be16(p0, p1));
    let header = Cooked { hardware, address_len: u16::from(len), protocol };
    header.next(link, reader, [a, b, c, d, e, f])
}

struct Cooked {
    hardware: u16,
    address_len: u16,
    protocol: u16,
}

impl Cooked {
    fn next(self, link: &mut Link, reader: &Reader<'_>, address: [u8; 6]) -> Result<Next, Stop> {
        /// Hardware types without addresses of their own, and what their protocol field is not
        /// (Linux, `if_arp.h`): netlink, 802.11 with and without a header of the capture.
        const NO_TYPE: [u16; 4] = [824, 801, 802, 803];
        const LLC: u16 = 4;
        if NO_TYPE.contains(&self.hardware) {
            return Err(reader.stop(Cause::NotIp, Layer::Link));
        }
        if self.address_len == 6 {
            link.src_mac = Some(mac(address));
        }
        match self.protocol {
            LLC => Ok(Next::Llc),
            // Below the first type are numbers of Linux for what has no type.
            number if number < kind::FIRST => {
                link.ether_type = Some(number);
                Err(reader.stop(Cause::NotIp, Layer::Link))
            }
            kind => Ok(Next::EtherType(kind)),
        }
    }
}

/// Address, control and an Ethernet type (RFC 1547, 4.3.1).
pub(super) fn cisco_hdlc(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [_, _, high, low] = *reader.take(Layer::Link)?;
    match be16(high, low) {
        // No length of IEEE 802.3 here.
        number if number < kind::FIRST => Err(reader.stop(Cause::NotIp, Layer::Link)),
        kind => Ok(Next::EtherType(kind)),
    }
}

/// A Q.922 address of two to four octets, then control and protocol (RFC 2427, 4).
pub(super) fn frame_relay(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const MAX_ADDRESS: usize = 4;
    for _ in 0..MAX_ADDRESS {
        let [octet] = *reader.take(Layer::Link)?;
        if octet & 1 == 1 {
            return frame_relay_payload(reader);
        }
    }
    Err(reader.stop(Cause::Malformed, Layer::Link))
}

fn frame_relay_payload(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const UNNUMBERED: u8 = 3;
    let [control, id] = *reader.peek(Layer::Link)?;
    if control != UNNUMBERED {
        // Cisco's encapsulation has an Ethernet type here.
        reader.skip(2, Layer::Link)?;
        return Ok(Next::EtherType(be16(control, id)));
    }
    // A zero octet may pad the control octet.
    let (id, len) = match id {
        0 => {
            let [_, _, id] = *reader.peek(Layer::Link)?;
            (id, 3)
        }
        id => (id, 2),
    };
    let next = match id {
        0xcc => Next::Ip(Version::V4),
        0x8e => Next::Ip(Version::V6),
        0x80 => {
            reader.skip(len, Layer::Link)?;
            let [a, b, c, high, low] = *reader.take(Layer::Llc)?;
            return match (a, b, c) {
                (0, 0, 0) => Ok(Next::EtherType(be16(high, low))),
                _ => Err(reader.stop(Cause::NotIp, Layer::Llc)),
            };
        }
        _ => return Err(reader.stop(Cause::NotIp, Layer::Link)),
    };
    reader.skip(len, Layer::Link)?;
    Ok(next)
}

/// The header of a packet filter log: its length, padded to a multiple of four, and the packet.
pub(super) fn pflog(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    /// Up to the name of the interface.
    const SHORTEST: u8 = 20;
    let [len] = *reader.peek(Layer::Link)?;
    if len < SHORTEST {
        return Err(reader.stop(Cause::Malformed, Layer::Link));
    }
    reader.skip(usize::from(len).next_multiple_of(4), Layer::Link)?;
    Ok(Next::Ip(Version::Either))
}

/// Family, version and resource, then attributes with length and type in the byte order of the
/// system that captured. One of them is the packet.
pub(super) fn nflog(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const PAYLOAD: u16 = 9;
    const MAX_ATTRIBUTES: usize = 64;
    let [_, version, _, _] = *reader.peek(Layer::Link)?;
    if version != 0 {
        return Err(reader.stop(Cause::NotIp, Layer::Link));
    }
    reader.skip(4, Layer::Link)?;
    for _ in 0..MAX_ATTRIBUTES {
        let [l0, l1, t0, t1] = *reader.peek(Layer::Link)?;
        // Types are below 256: the octet that is not 0 shows the order.
        let (len, kind) =
            if t0 == 0 { (be16(l0, l1), be16(t0, t1)) } else { (be16(l1, l0), be16(t1, t0)) };
        let len = usize::from(len);
        if len < 4 {
            return Err(reader.stop(Cause::Malformed, Layer::Link));
        }
        if kind == PAYLOAD {
            reader.skip(4, Layer::Link)?;
            reader.limit(len - 4);
            return Ok(Next::Ip(Version::Either));
        }
        reader.skip(len.next_multiple_of(4), Layer::Link)?;
    }
    Err(reader.stop(Cause::TooDeep, Layer::Link))
}

/// Addresses, an Ethernet type and two octets of nothing (RFC 4391, 6).
pub(super) fn infiniband(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    reader.skip(40, Layer::Link)?;
    let [high, low, _, _] = *reader.take(Layer::Link)?;
    Ok(Next::EtherType(be16(high, low)))
}

/// 24 octets: version, address family of Solaris, and what says where the packet went by.
pub(super) fn ipnet(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [_, family, ..] = *reader.peek::<24>(Layer::Link)?;
    let version = match family {
        2 => Version::V4,
        26 => Version::V6,
        _ => return Err(reader.stop(Cause::NotIp, Layer::Link)),
    };
    reader.skip(24, Layer::Link)?;
    Ok(Next::Ip(version))
}

/// The header's length, a record type, and the link type of the packet behind it, each in four
/// octets, little-endian as all systems that write it; then the interface, the process and more.
pub(super) fn pktap(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const PACKET: u32 = 1;
    const SHORTEST: u32 = 12;
    const LONGEST: u32 = 1024;
    let [l0, l1, l2, l3, t0, t1, t2, t3, d0, d1, d2, d3] = *reader.peek(Layer::Link)?;
    let [len, kind, dlt] =
        [[l0, l1, l2, l3], [t0, t1, t2, t3], [d0, d1, d2, d3]].map(u32::from_le_bytes);
    if kind != PACKET || !(SHORTEST..=LONGEST).contains(&len) {
        return Err(reader.stop(Cause::NotIp, Layer::Link));
    }
    let next = LinkType::from_dlt(dlt).first();
    let next = next.ok_or_else(|| reader.stop(Cause::UnknownLink, Layer::Link))?;
    reader.skip(len as usize, Layer::Link)?;
    Ok(next)
}
