//! Ethernet and what lies between it and IP: tags, LLC and SNAP, PPPoE and PPP.

use super::link::{Next, Version};
use super::reader::{Reader, be16};
use super::{Cause, Layer, Link, Stop, VlanTag};
use record::Mac;

/// Ethernet types that lead on (IANA, IEEE 802 numbers).
pub(super) mod kind {
    pub(in super::super) const IPV4: u16 = 0x0800;
    pub(in super::super) const IPV6: u16 = 0x86dd;
    pub(in super::super) const VLAN: u16 = 0x8100;
    pub(in super::super) const SERVICE_VLAN: u16 = 0x88a8;
    /// Double tags before IEEE 802.1ad.
    pub(in super::super) const OLD_QINQ: [u16; 3] = [0x9100, 0x9200, 0x9300];
    /// Trans Ether bridging: Ethernet inside of a tunnel (RFC 1701).
    pub(in super::super) const BRIDGED: u16 = 0x6558;
    pub(in super::super) const MPLS: u16 = 0x8847;
    pub(in super::super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(in super::super) const PPP: u16 = 0x880b;
    pub(in super::super) const PPPOE_SESSION: u16 = 0x8864;
    /// IEEE 802.1ah, 9.7: the tag that comes before customer addresses.
    pub(in super::super) const SERVICE_INSTANCE: u16 = 0x88e7;
    /// IEEE 802.1AE, 9.8.
    pub(in super::super) const MACSEC: u16 = 0x88e5;
    /// Cisco metadata: a security group tag.
    pub(in super::super) const METADATA: u16 = 0x8909;
    /// RFC 8300.
    pub(in super::super) const SERVICE_CHAIN: u16 = 0x894f;
    /// IEEE 802.1BR, 7.5.
    pub(in super::super) const PORT_EXTENDER: u16 = 0x893f;
    /// Arista: when a switch saw the frame.
    pub(in super::super) const TIMESTAMP: u16 = 0xd28b;
    /// From here on it is a type, below it a length (IEEE 802.3, 3.2.6).
    pub(in super::super) const FIRST: u16 = 0x0600;
}

/// A MAC address.
#[inline]
pub(super) const fn mac([a, b, c, d, e, f]: [u8; 6]) -> Mac {
    Mac(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// An Ethernet header. Tags of a frame around this one are forgotten.
#[inline]
pub(super) fn ethernet(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let Ok(header) = reader.take::<14>(Layer::Link) else { return Err(runt(link, reader)) };
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low] = *header;
    link.dst_mac = Some(mac([d0, d1, d2, d3, d4, d5]));
    link.src_mac = Some(mac([s0, s1, s2, s3, s4, s5]));
    link.vlan_count = 0;
    Ok(Next::EtherType(be16(high, low)))
}

/// Keeps the addresses of a header that was cut behind them, unless a frame around it has some.
#[cold]
fn runt(link: &mut Link, reader: &mut Reader<'_>) -> Stop {
    let mut header = || -> Result<(), Stop> {
        if link.dst_mac.is_some() {
            return reader.skip(14, Layer::Link);
        }
        link.dst_mac = Some(mac(*reader.take(Layer::Link)?));
        link.src_mac = Some(mac(*reader.take(Layer::Link)?));
        reader.skip(2, Layer::Link)
    };
    let end = header();
    end.err().unwrap_or_else(|| reader.stop(Cause::Truncated, Layer::Link))
}

/// What an Ethernet type says comes next; tags are taken off.
#[inline]
pub(super) fn by_type(link: &mut Link, reader: &mut Reader<'_>, kind: u16) -> Result<Next, Stop> {
    link.ether_type = Some(kind);
    Ok(match kind {
        kind::IPV4 => Next::Ip(Version::V4),
        kind::IPV6 => Next::Ip(Version::V6),
        kind::VLAN | kind::SERVICE_VLAN => vlan(link, reader)?,
        k if kind::OLD_QINQ.contains(&k) => vlan(link, reader)?,
        kind::MPLS | kind::MPLS_MULTICAST => Next::Mpls,
        kind::PPPOE_SESSION => Next::Pppoe,
        kind::PPP => Next::Ppp,
        kind::BRIDGED => Next::Ethernet,
        kind::SERVICE_INSTANCE => {
            reader.skip(4, Layer::Vlan)?;
            Next::Ethernet
        }
        kind::MACSEC => macsec(reader)?,
        kind::SERVICE_CHAIN => Next::ServiceChain,
        kind::TIMESTAMP => timestamp(reader)?,
        // Eight octets, of which the last two are the next type.
        kind::PORT_EXTENDER | kind::METADATA => {
            let [.., high, low] = *reader.take::<8>(Layer::Vlan)?;
            Next::EtherType(be16(high, low))
        }
        len if len < kind::FIRST => {
            link.ether_type = None;
            reader.limit(usize::from(len));
            Next::Llc
        }
        _ => return Err(reader.stop(Cause::NotIp, Layer::Link)),
    })
}

/// A tag: control information and the next type (IEEE 802.1Q, 9.6).
fn vlan(link: &mut Link, reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [a, b, c, d] = *reader.peek::<4>(Layer::Vlan)?;
    if !link.push_vlan(VlanTag(be16(a, b))) {
        return Err(reader.stop(Cause::TooDeep, Layer::Vlan));
    }
    reader.skip(4, Layer::Vlan)?;
    Ok(Next::EtherType(be16(c, d)))
}

/// A MACsec tag (IEEE 802.1AE, 9.3): control information, length, packet number, and the identifier
/// of the channel if there is one. What is not encrypted has its Ethernet type next.
fn macsec(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const CHANNEL: u8 = 0x20;
    const ENCRYPTED_OR_CHANGED: u8 = 0x0c;
    let [control] = *reader.peek(Layer::Vlan)?;
    if control & ENCRYPTED_OR_CHANGED != 0 {
        return Err(reader.stop(Cause::NotIp, Layer::Vlan));
    }
    reader.skip(if control & CHANNEL != 0 { 14 } else { 6 }, Layer::Vlan)?;
    let [high, low] = *reader.take(Layer::Vlan)?;
    Ok(Next::EtherType(be16(high, low)))
}

/// Arista's header with the time a switch saw the frame: subtype, version, time, next type. The
/// version says how many octets the time has.
fn timestamp(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const SUBTYPE: [u8; 2] = [0, 1];
    let [s0, s1, _, format] = *reader.peek(Layer::Vlan)?;
    let len = match format >> 4 {
        1 if [s0, s1] == SUBTYPE => 8,
        2 if [s0, s1] == SUBTYPE => 6,
        _ => return Err(reader.stop(Cause::NotIp, Layer::Vlan)),
    };
    reader.skip(4 + len, Layer::Vlan)?;
    let [high, low] = *reader.take(Layer::Vlan)?;
    Ok(Next::EtherType(be16(high, low)))
}

/// A network service header (RFC 8300, 2.2): its length in units of four octets and what follows.
pub(super) fn service_chain(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [version, len, _, protocol] = *reader.peek(Layer::Vlan)?;
    let len = usize::from(len & 0x3f) * 4;
    if version >> 6 != 0 || len < 8 {
        return Err(reader.stop(Cause::Malformed, Layer::Vlan));
    }
    let next = match protocol {
        1 => Next::Ip(Version::V4),
        2 => Next::Ip(Version::V6),
        3 => Next::Ethernet,
        5 => Next::Mpls,
        _ => return Err(reader.stop(Cause::NotIp, Layer::Vlan)),
    };
    reader.skip(len, Layer::Vlan)?;
    Ok(next)
}

/// LLC, with or without SNAP (RFC 1042).
pub(super) fn llc(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    const SNAP: [u8; 3] = [0xaa, 0xaa, 3];
    const IP: [u8; 3] = [6, 6, 3];
    let sap = *reader.peek::<3>(Layer::Llc)?;
    if sap == IP {
        reader.skip(3, Layer::Llc)?;
        return Ok(Next::Ip(Version::V4));
    }
    if sap != SNAP {
        return Err(reader.stop(Cause::NotIp, Layer::Llc));
    }
    let [_, _, _, organisation @ .., high, low] = *reader.peek::<8>(Layer::Llc)?;
    let kind = be16(high, low);
    // 00-00-00 says that an Ethernet type follows, 00-00-F8 the same of a bridged frame (IEEE 802.1H).
    // 00-80-C2 with 1 or 7 is an Ethernet frame with or without its check sequence (RFC 2684, 5.2).
    match (organisation, kind) {
        ([0, 0, 0 | 0xf8], kind::FIRST..) => {
            reader.skip(8, Layer::Llc)?;
            Ok(Next::EtherType(kind))
        }
        ([0, 0x80, 0xc2], 1 | 7) => {
            reader.skip(10, Layer::Llc)?; // two octets of padding behind it
            Ok(Next::Ethernet)
        }
        _ => Err(reader.stop(Cause::NotIp, Layer::Llc)),
    }
}

/// A PPPoE header (RFC 2516, 4): version and type 1, code 0 for session data, session, length.
pub(super) fn pppoe(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    let [version, code, _, _, high, low] = *reader.peek::<6>(Layer::Ppp)?;
    if version != 0x11 {
        return Err(reader.stop(Cause::Malformed, Layer::Ppp));
    }
    if code != 0 {
        return Err(reader.stop(Cause::NotIp, Layer::Ppp));
    }
    reader.skip(6, Layer::Ppp)?;
    reader.limit(usize::from(be16(high, low)));
    Ok(Next::Ppp)
}

/// PPP: address and control octets where there are any, then the protocol in one octet or two
/// (RFC 1661, 2 and 6.5; RFC 1662, 3.1).
pub(super) fn ppp(reader: &mut Reader<'_>) -> Result<Next, Stop> {
    if *reader.peek::<1>(Layer::Ppp)? == [0xff] {
        reader.skip(2, Layer::Ppp)?;
    }
    let [first] = *reader.peek::<1>(Layer::Ppp)?;
    let (protocol, len) = if first & 1 == 1 {
        (u16::from(first), 1)
    } else {
        let [high, low] = *reader.peek::<2>(Layer::Ppp)?;
        (be16(high, low), 2)
    };
    // IANA, PPP DLL protocol numbers.
    let next = match protocol {
        0x0021 => Next::Ip(Version::V4),
        0x0057 => Next::Ip(Version::V6),
        0x0281 | 0x0283 => Next::Mpls,
        _ => return Err(reader.stop(Cause::NotIp, Layer::Ppp)),
    };
    reader.skip(len, Layer::Ppp)?;
    Ok(next)
}
