//! IPv4 with its options and IPv6 with its extension headers.

use super::link::Version;
use super::reader::{Reader, be16};
use super::{Cause, Fragment, Ip, Layer, Packet, Stop, transport};
use record::Addr;

/// An IP header and what follows it.
#[inline]
pub(super) fn read<'a>(
    packet: &mut Packet<'a>,
    reader: &mut Reader<'a>,
    version: Version,
) -> Result<(), Stop> {
    match version {
        Version::V4 => v4(packet, reader),
        Version::V6 => v6(packet, reader),
        Version::Either => match reader.peek::<1>(Layer::Ipv4)?[0] >> 4 {
            4 => v4(packet, reader),
            6 => v6(packet, reader),
            _ => Err(reader.stop(Cause::NotIp, Layer::Link)),
        },
    }
}

/// IPv4 (RFC 791, 3.1).
#[inline]
fn v4<'a>(packet: &mut Packet<'a>, reader: &mut Reader<'a>) -> Result<(), Stop> {
    let h = reader.peek::<20>(Layer::Ipv4)?;
    let header_len = usize::from(h[0] & 0xf) * 4;
    let total = usize::from(be16(h[2], h[3]));
    if h[0] >> 4 != 4 || header_len < 20 || (total != 0 && total < header_len) {
        return Err(reader.stop(Cause::Malformed, Layer::Ipv4));
    }
    // 0 is what segmentation offload leaves of a length that does not fit.
    if total != 0 {
        reader.limit(total);
    }
    let flags = be16(h[6], h[7]);
    let (offset, more) = ((flags & 0x1fff) * 8, flags & 0x2000 != 0);
    let id = u32::from(be16(h[4], h[5]));
    let ip = packet.ip.insert(Ip {
        src: Addr::V4(u32::from_be_bytes([h[12], h[13], h[14], h[15]])),
        dst: Addr::V4(u32::from_be_bytes([h[16], h[17], h[18], h[19]])),
        proto: h[9],
        tos: h[1],
        ttl: h[8],
        dont_fragment: flags & 0x4000 != 0,
        flow_label: 0,
        octets: reader.room(),
        at: reader.at(),
        fragment: (offset != 0 || more).then_some(Fragment { id, offset, more }),
    });
    let proto = ip.proto;
    reader.skip(header_len, Layer::Ipv4)?;
    if more {
        reader.goes_on();
    }
    if offset != 0 {
        packet.payload = reader.rest();
        return Ok(());
    }
    transport::read(packet, reader, proto)
}

/// Numbers of IPv6 extension headers, and of what they have in common with transport protocols
/// (IANA, IPv6 extension header types).
mod next_header {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const NONE: u8 = 59;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}

/// IPv6 (RFC 8200, 3).
fn v6<'a>(packet: &mut Packet<'a>, reader: &mut Reader<'a>) -> Result<(), Stop> {
    const HEADER_LEN: usize = 40;
    let h = reader.peek::<HEADER_LEN>(Layer::Ipv6)?;
    let [v, c, f0, f1, l0, l1, proto, ttl, addresses @ ..] = h;
    if v >> 4 != 6 {
        return Err(reader.stop(Cause::Malformed, Layer::Ipv6));
    }
    let (src, dst) = addresses.split_at(16);
    match usize::from(be16(*l0, *l1)) {
        0 => match jumbo(*proto, reader.rest()) {
            // Without an end to hold it against, four octets could say anything.
            Some(len) if reader.has_end() => reader.limit(HEADER_LEN.saturating_add(len)),
            None if *proto == next_header::NONE => reader.limit(HEADER_LEN),
            // Left by segmentation offload.
            _ => {}
        },
        len => reader.limit(HEADER_LEN + len),
    }
    packet.ip = Some(Ip {
        src: address(src),
        dst: address(dst),
        proto: *proto,
        tos: v << 4 | c >> 4,
        ttl: *ttl,
        dont_fragment: false,
        flow_label: u32::from_be_bytes([0, c & 0xf, *f0, *f1]),
        octets: reader.room(),
        at: reader.at(),
        fragment: None,
    });
    reader.skip(HEADER_LEN, Layer::Ipv6)?;
    if let Some(ip) = &mut packet.ip {
        extensions(ip, reader)?;
        let (proto, fragment) = (ip.proto, ip.fragment);
        if fragment.is_none_or(|f| f.offset == 0) {
            return transport::read(packet, reader, proto);
        }
        packet.payload = reader.rest();
    }
    Ok(())
}

#[inline]
fn address(octets: &[u8]) -> Addr {
    Addr::V6(octets.first_chunk().map_or(0, |a| u128::from_be_bytes(*a)))
}

/// The length of a jumbogram, which its first extension header has (RFC 2675, 2).
#[cold]
fn jumbo(first: u8, packet: &[u8]) -> Option<usize> {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let options = packet.get(40..).filter(|_| first == next_header::HOP_BY_HOP)?;
    let end = 8 + usize::from(*options.get(1)?) * 8;
    let mut rest = options.get(2..end.min(options.len()))?;
    loop {
        rest = match rest {
            [JUMBO, 4, a, b, c, d, ..] => {
                return Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
            }
            [PAD1, rest @ ..] => rest,
            [_, len, rest @ ..] => rest.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
}

/// Extension headers of one packet that are read.
const MAX_EXTENSIONS: usize = 10;

/// Walks extension headers up to the one that is none, and leaves its number in `ip.proto`
/// (RFC 8200, 4). Behind a header of a later fragment there is none.
fn extensions(ip: &mut Ip, reader: &mut Reader<'_>) -> Result<(), Stop> {
    use next_header::{
        AUTHENTICATION, DESTINATION, FRAGMENT, HIP, HOP_BY_HOP, MOBILITY, NONE, ROUTING, SHIM6,
    };
    for _ in 0..MAX_EXTENSIONS {
        match ip.proto {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HIP | SHIM6 | AUTHENTICATION => {
                let [next, len] = *reader.peek(Layer::Extension)?;
                // Mobility, HIP and Shim6 messages are headers that nothing follows: the protocol
                // is theirs.
                if next == NONE && matches!(ip.proto, MOBILITY | HIP | SHIM6) {
                    return Ok(());
                }
                // RFC 4302, 2.2, counts in units of four octets, less two; all others as RFC 8200.
                let len = match ip.proto {
                    AUTHENTICATION => 8 + usize::from(len) * 4,
                    _ => 8 + usize::from(len) * 8,
                };
                reader.skip(len, Layer::Extension)?;
                ip.proto = next;
            }
            FRAGMENT => {
                let [next, _, o0, o1, id @ ..] = *reader.take::<8>(Layer::Extension)?;
                let (offset, more) = (be16(o0, o1) & 0xfff8, o1 & 1 != 0);
                ip.proto = next;
                if more {
                    reader.goes_on();
                }
                // Without more before or after it the packet is whole (RFC 6946).
                if offset != 0 || more {
                    let id = u32::from_be_bytes(id);
                    ip.fragment = Some(Fragment { id, offset, more });
                }
                if offset != 0 {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
    match ip.proto {
        HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION | FRAGMENT => {
            Err(reader.stop(Cause::TooDeep, Layer::Extension))
        }
        _ => Ok(()),
    }
}
