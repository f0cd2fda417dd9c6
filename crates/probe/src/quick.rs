//! The short way for the packets that are nearly all: TCP or UDP right behind an IP header without
//! options or extension headers, right behind an Ethernet header without tags.
//!
//! Whatever is unusual about a packet, [`wire::packet::decode`] judges; what is read here is what it
//! would say.

use crate::key::SYN_ACK;

const ETHERNET: usize = 14;
/// Where the IP header of a plain frame begins.
pub(crate) const AT: u32 = ETHERNET as u32;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What there is to know of a plain packet, with addresses of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plain<A> {
    pub(crate) src: A,
    pub(crate) dst: A,
    /// Source and destination.
    pub(crate) ports: (u16, u16),
    /// TCP or UDP.
    pub(crate) proto: u8,
    /// 0 for UDP.
    pub(crate) tcp_flags: u8,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) dont_fragment: bool,
    /// Of the IP packet.
    pub(crate) octets: u32,
}

impl<A> Plain<A> {
    /// Whether the other side must have sent something before.
    #[inline]
    pub(crate) const fn is_answer(&self) -> bool {
        self.tcp_flags & SYN_ACK == SYN_ACK
    }
}

/// The family of the IP header that an Ethernet frame seems to have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Other,
}

/// Which of [`v4`] and [`v6`] may read a frame.
#[inline]
pub(crate) fn family(frame: &[u8]) -> Family {
    match frame.get(12..15) {
        Some([0x08, 0x00, 0x45]) => Family::V4,
        Some([0x86, 0xdd, version]) if version >> 4 == 6 => Family::V6,
        _ => Family::Other,
    }
}

/// The headers of a frame of this [`family`] that measured `wire_len` octets; `None` if it takes longer
/// to tell.
#[inline]
pub(crate) fn v4(frame: &[u8], wire_len: u32) -> Option<Plain<u32>> {
    let head = frame.first_chunk::<{ ETHERNET + 20 }>()?;
    let h: &[u8; 20] = head.last_chunk()?;
    let flags = u16::from_be_bytes([h[6], h[7]]);
    if flags & 0x3fff != 0 {
        return None;
    }
    let octets = u16::from_be_bytes([h[2], h[3]]);
    let end = ETHERNET + usize::from(octets);
    let (ports, tcp_flags) = transport(h[9], frame, ETHERNET + 20, end, wire_len)?;
    Some(Plain {
        src: u32::from_be_bytes([h[12], h[13], h[14], h[15]]),
        dst: u32::from_be_bytes([h[16], h[17], h[18], h[19]]),
        ports,
        proto: h[9],
        tcp_flags,
        tos: h[1],
        ttl: h[8],
        dont_fragment: flags & 0x4000 != 0,
        octets: octets.into(),
    })
}

/// As [`v4`].
#[inline]
pub(crate) fn v6(frame: &[u8], wire_len: u32) -> Option<Plain<u128>> {
    let head = frame.first_chunk::<{ ETHERNET + 40 }>()?;
    let [v, c, _, _, l0, l1, proto, ttl, addresses @ ..] = head.last_chunk::<40>()?;
    let body = u16::from_be_bytes([*l0, *l1]);
    let end = ETHERNET + 40 + usize::from(body);
    let (ports, tcp_flags) = transport(*proto, frame, ETHERNET + 40, end, wire_len)?;
    Some(Plain {
        src: u128::from_be_bytes(*addresses.first_chunk()?),
        dst: u128::from_be_bytes(*addresses.last_chunk()?),
        ports,
        proto: *proto,
        tcp_flags,
        tos: v << 4 | c >> 4,
        ttl: *ttl,
        dont_fragment: false,
        octets: 40 + u32::from(body),
    })
}

/// Ports and TCP flags of the header at `at` of a packet that ends at `end` of the frame, if all of
/// it is there.
#[inline]
fn transport(
    proto: u8,
    frame: &[u8],
    at: usize,
    end: usize,
    wire_len: u32,
) -> Option<((u16, u16), u8)> {
    if end > frame.len().max(wire_len as usize) {
        return None;
    }
    let packet = frame.get(at..end.min(frame.len()))?;
    let [s0, s1, d0, d1, ..] = *packet.first_chunk::<8>()?;
    let ports = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    match proto {
        TCP => {
            let h = packet.first_chunk::<20>()?;
            let len = usize::from(h[12] >> 4) * 4;
            (len >= 20 && len <= packet.len()).then_some((ports, h[13]))
        }
        UDP => Some((ports, 0)),
        _ => None,
    }
}

/// Destination and source MAC address, and flow label, of a plain frame.
#[inline]
pub(crate) fn rest(frame: &[u8], family: Family) -> Option<([u8; 6], [u8; 6], u32)> {
    let head = frame.first_chunk::<18>()?;
    let label = match family {
        Family::V6 => u32::from_be_bytes([0, head[15] & 0xf, head[16], head[17]]),
        _ => 0,
    };
    Some((*head.first_chunk()?, *head.get(6..)?.first_chunk()?, label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;
    use wire::packet::frames::samples;
    use wire::packet::{Depth, Ip, LinkType, Transport, decode};

    /// What the long way would say.
    fn read(frame: &[u8], wire_len: u32) -> Option<(Ip, Transport)> {
        match family(frame) {
            Family::V4 => v4(frame, wire_len).map(|p| told(&p, Addr::V4, Family::V4, frame)),
            Family::V6 => v6(frame, wire_len).map(|p| told(&p, Addr::V6, Family::V6, frame)),
            Family::Other => None,
        }
    }

    fn told<A: Copy>(
        p: &Plain<A>,
        addr: fn(A) -> Addr,
        family: Family,
        frame: &[u8],
    ) -> (Ip, Transport) {
        let (src, dst) = p.ports;
        let transport = match p.proto {
            TCP => Transport::Tcp { src, dst, flags: Some(p.tcp_flags) },
            _ => Transport::Ports { src, dst },
        };
        let ip = Ip {
            src: addr(p.src),
            dst: addr(p.dst),
            proto: p.proto,
            tos: p.tos,
            ttl: p.ttl,
            dont_fragment: p.dont_fragment,
            flow_label: rest(frame, family).unwrap().2,
            octets: p.octets,
            at: AT,
            fragment: None,
        };
        (ip, transport)
    }

    /// Whether it took the short way, which says the same as the long one.
    fn agrees(frame: &[u8], wire_len: u32) -> bool {
        let Some((ip, transport)) = read(frame, wire_len) else { return false };
        let packet = decode(LinkType::Ethernet, frame, wire_len, Depth::Outer);
        assert_eq!(packet.ip, Some(ip), "{frame:?}");
        assert_eq!(packet.transport, transport, "{frame:?}");
        assert_eq!((packet.stop, packet.tunnel), (None, None), "{frame:?}");
        assert!(packet.link.vlans().is_empty() && packet.link.labels().is_empty());
        let (dst, src, _) = rest(frame, family(frame)).unwrap();
        let mac = |m: [u8; 6]| Some(record::Mac(m.iter().fold(0, |n, o| n << 8 | u64::from(*o))));
        assert_eq!((packet.link.dst_mac, packet.link.src_mac), (mac(dst), mac(src)));
        true
    }

    #[test]
    fn it_says_what_the_long_way_says_whatever_is_cut_or_damaged() {
        let mut quick = [0; 3];
        for (name, _, frame) in samples() {
            let whole = frame.len() as u32;
            let took = agrees(&frame, whole);
            assert!(took || !["ethernet ipv4 tcp", "ethernet ipv6 udp"].contains(&name), "{name}");
            quick[0] += u32::from(took);
            for len in 0..frame.len() {
                quick[1] += u32::from(agrees(&frame[..len], whole));
                agrees(&frame[..len], len as u32);
                agrees(&frame, len as u32);
            }
            for at in 0..frame.len().min(80) {
                for value in 0..=255 {
                    let mut frame = frame.clone();
                    frame[at] = value;
                    quick[2] += u32::from(agrees(&frame, whole));
                }
            }
        }
        assert!(quick.iter().zip([2, 20, 10_000]).all(|(n, least)| *n > least), "{quick:?}");
    }

    #[test]
    fn the_usual_takes_the_short_way() {
        use wire::packet::frames::{ethernet, ipv4, ipv6, tcp, udp};
        for (packet, is_quick) in [
            (ethernet(0x800, &ipv4(6, &tcp(&[], b"data"))), true),
            (ethernet(0x800, &ipv4(6, &tcp(&[1; 12], b"data"))), true),
            (ethernet(0x800, &ipv4(17, &udp(53, b""))), true),
            (ethernet(0x86dd, &ipv6(6, &tcp(&[], b""))), true),
            (ethernet(0x86dd, &ipv6(17, &udp(9, b"data"))), true),
            (ethernet(0x86dd, &ipv6(1, &udp(9, b"data"))), false),
            (ethernet(0x806, &ipv4(17, &udp(53, b""))), false),
        ] {
            assert_eq!(agrees(&packet, packet.len() as u32), is_quick, "{packet:?}");
        }
    }
}
