//! Tunnels: what a packet is wrapped into, and where the packet inside begins.

use super::ether::kind;
use super::link::{Next, Version};
use super::reader::{Reader, be16};
use super::transport::proto;
use super::{Layer, Packet, Stop, Transport, Tunnel, TunnelKind};

/// What a tunnel header says: kind, identifier, and the header inside.
type Opened = Option<(TunnelKind, Option<u32>, Next)>;

/// If `packet` is a tunnel, moves `reader` behind the tunnel's header and says what comes there.
#[inline]
pub(super) fn open(
    packet: &Packet<'_>,
    reader: &mut Reader<'_>,
) -> Result<Option<(Tunnel, Next)>, Stop> {
    let Some(ip) = packet.ip.as_ref().filter(|ip| ip.fragment.is_none_or(|f| f.offset == 0)) else {
        return Ok(None);
    };
    let opened = match ip.proto {
        proto::UDP => match packet.transport {
            Transport::Ports { dst, .. } => over_udp(dst, reader)?,
            _ => None,
        },
        // RFC 2003 and RFC 2473; RFC 4213, 3.
        4 => Some((TunnelKind::Ip, None, Next::Ip(Version::V4))),
        41 => Some((TunnelKind::Ip, None, Next::Ip(Version::V6))),
        47 => gre(reader)?,
        // RFC 3378, 3: version and a reserved field.
        97 => {
            reader.skip(2, Layer::Tunnel)?;
            Some((TunnelKind::Ethernet, None, Next::Ethernet))
        }
        137 => Some((TunnelKind::Mpls, None, Next::Mpls)),
        143 => Some((TunnelKind::Ethernet, None, Next::Ethernet)),
        _ => None,
    };
    Ok(opened.map(|(kind, id, next)| {
        (Tunnel { kind, src: ip.src, dst: ip.dst, proto: ip.proto, id }, next)
    }))
}

/// Tunnels that show by the destination port (IANA, service names and port numbers).
fn over_udp(port: u16, reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    match port {
        // 8472 is what Linux used before there was a number.
        4789 | 8472 => vxlan(reader),
        4790 => vxlan_gpe(reader),
        6081 => geneve(reader),
        2152 => gtp(reader),
        6635 => Ok(Some((TunnelKind::Mpls, None, Next::Mpls))),
        _ => Ok(None),
    }
}

/// VXLAN (RFC 7348, 5). A datagram that does not have the flag of a valid identifier is another
/// one that happens to use the port.
fn vxlan(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    let [flags, _, _, _, vni @ .., _] = *reader.peek::<8>(Layer::Tunnel)?;
    if flags & 8 == 0 {
        return Ok(None);
    }
    reader.skip(8, Layer::Tunnel)?;
    Ok(Some((TunnelKind::Vxlan, Some(be24(vni)), Next::Ethernet)))
}

/// VXLAN with a protocol field (draft-ietf-nvo3-vxlan-gpe, 3).
fn vxlan_gpe(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    let [flags, _, _, protocol, vni @ .., _] = *reader.peek::<8>(Layer::Tunnel)?;
    let next = match protocol {
        _ if flags & 8 == 0 => return Ok(None),
        _ if flags & 4 == 0 => Next::Ethernet,
        1 => Next::Ip(Version::V4),
        2 => Next::Ip(Version::V6),
        3 => Next::Ethernet,
        4 => Next::ServiceChain,
        5 => Next::Mpls,
        _ => return Ok(None),
    };
    reader.skip(8, Layer::Tunnel)?;
    Ok(Some((TunnelKind::Vxlan, Some(be24(vni)), next)))
}

/// GENEVE (RFC 8926, 3.4): version and length of options in units of four octets.
fn geneve(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    let [version, _, high, low, vni @ .., _] = *reader.peek::<8>(Layer::Tunnel)?;
    if version >> 6 != 0 {
        return Ok(None);
    }
    reader.skip(8 + usize::from(version & 0x3f) * 4, Layer::Tunnel)?;
    Ok(Some((TunnelKind::Geneve, Some(be24(vni)), by_type(be16(high, low)))))
}

/// User data of GTP version 1 (3GPP TS 29.281, 5.1 and 5.2).
fn gtp(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    const USER_DATA: u8 = 255;
    const MAX_EXTENSIONS: usize = 8;
    let [flags, message, high, low, id @ ..] = *reader.peek::<8>(Layer::Tunnel)?;
    // Version 1, and GTP rather than GTP'.
    if flags >> 4 != 3 || message != USER_DATA {
        return Ok(None);
    }
    reader.skip(8, Layer::Tunnel)?;
    reader.limit(usize::from(be16(high, low)));
    let id = Some(u32::from_be_bytes(id));
    let opened = Ok(Some((TunnelKind::Gtp, id, Next::Ip(Version::Either))));
    // Any of extension header, sequence number and N-PDU number brings the octets of all three.
    if flags & 7 == 0 {
        return opened;
    }
    let [_, _, _, mut extension] = *reader.take(Layer::Tunnel)?;
    if flags & 4 == 0 {
        extension = 0;
    }
    for _ in 0..MAX_EXTENSIONS {
        if extension == 0 {
            return opened;
        }
        let [units] = *reader.peek(Layer::Tunnel)?;
        let Some(content) = usize::from(units).checked_mul(4).and_then(|n| n.checked_sub(1)) else {
            return Ok(None);
        };
        reader.skip(content, Layer::Tunnel)?;
        [extension] = *reader.take(Layer::Tunnel)?;
    }
    Ok(None)
}

/// GRE (RFC 2784, 2; RFC 2890, 2) and what runs over it.
fn gre(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    const CHECKSUM: u8 = 0x80;
    const ROUTING: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    const ACKNOWLEDGMENT: u8 = 0x80;
    let [flags, version, high, low] = *reader.peek(Layer::Tunnel)?;
    let is_pptp = match version & 7 {
        0 => false,
        1 => true,
        _ => return Ok(None),
    };
    // Source routes went out of use with RFC 1701.
    if flags & ROUTING != 0 {
        return Ok(None);
    }
    reader.skip(4, Layer::Tunnel)?;
    if flags & CHECKSUM != 0 {
        reader.skip(4, Layer::Tunnel)?;
    }
    let mut key = None;
    if flags & KEY != 0 {
        key = Some(u32::from_be_bytes(*reader.take(Layer::Tunnel)?));
    }
    if flags & SEQUENCE != 0 {
        reader.skip(4, Layer::Tunnel)?;
    }
    let kind = be16(high, low);
    if is_pptp {
        // RFC 2637, 4.1: without a sequence number there is no payload. The key is its length and
        // the call.
        if flags & SEQUENCE == 0 || kind != kind::PPP {
            return Ok(None);
        }
        if version & ACKNOWLEDGMENT != 0 {
            reader.skip(4, Layer::Tunnel)?;
        }
        return Ok(Some((TunnelKind::Gre, key.map(|k| k & 0xffff), Next::Ppp)));
    }
    over_gre(kind, key, flags & SEQUENCE != 0, reader)
}

fn over_gre(
    kind: u16,
    key: Option<u32>,
    has_sequence: bool,
    reader: &mut Reader<'_>,
) -> Result<Opened, Stop> {
    const WCCP: u16 = 0x883e;
    const ERSPAN: u16 = 0x88be;
    const ERSPAN_3: u16 = 0x22eb;
    match kind {
        // Type I has no header and no sequence number (draft-foschiano-erspan, 4.1).
        ERSPAN if !has_sequence => Ok(Some((TunnelKind::Erspan, None, Next::Ethernet))),
        ERSPAN => {
            let [_, _, session @ .., _, _, _, _] = *reader.take::<8>(Layer::Tunnel)?;
            Ok(Some((TunnelKind::Erspan, Some(session_id(session)), Next::Ethernet)))
        }
        ERSPAN_3 => erspan3(reader),
        WCCP => {
            // A redirect header may come first (draft-mclaggan-wccp-v2rev1, 6).
            if reader.peek::<1>(Layer::Tunnel)?[0] >> 4 != 4 {
                reader.skip(4, Layer::Tunnel)?;
            }
            Ok(Some((TunnelKind::Gre, key, Next::Ip(Version::Either))))
        }
        kind => Ok(Some((TunnelKind::Gre, key, by_type(kind)))),
    }
}

/// ERSPAN type III (draft-foschiano-erspan, 4.3): a header of twelve octets, eight more on demand.
fn erspan3(reader: &mut Reader<'_>) -> Result<Opened, Stop> {
    let [_, _, s0, s1, _, _, _, _, _, _, frame, flags] = *reader.take::<12>(Layer::Tunnel)?;
    if flags & 1 != 0 {
        reader.skip(8, Layer::Tunnel)?;
    }
    let next = match frame >> 2 & 0x1f {
        0 => Next::Ethernet,
        2 => Next::Ip(Version::Either),
        _ => return Ok(None),
    };
    Ok(Some((TunnelKind::Erspan, Some(session_id([s0, s1])), next)))
}

/// What an Ethernet type in a tunnel header says comes next.
const fn by_type(kind: u16) -> Next {
    match kind {
        kind::BRIDGED => Next::Ethernet,
        kind => Next::EtherType(kind),
    }
}

/// The session, in the low ten bits.
const fn session_id([high, low]: [u8; 2]) -> u32 {
    (be16(high, low) & 0x3ff) as u32
}

const fn be24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
