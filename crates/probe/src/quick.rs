//! The short way for the packets that are nearly all: TCP or UDP right behind an IP header without
//! options or extension headers, right behind an Ethernet header without tags.
//!
//! Whatever is unusual about a packet, [`wire::packet::decode`] judges; what is read here is what it
//! would say.

use record::Addr;
use wire::packet::{Ip, Transport};

const ETHERNET: usize = 14;
const IPV4: [u8; 3] = [0x08, 0x00, 0x45];
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The IP header and the ports of a frame that measured `wire_len` octets; `None` if it takes longer
/// to tell.
#[inline]
pub(crate) fn read(frame: &[u8], wire_len: u32) -> Option<(Ip, Transport)> {
    let head = frame.first_chunk::<{ ETHERNET + 20 }>()?;
    if [head[12], head[13], head[14]] == IPV4 {
        return v4(head, frame, wire_len);
    }
    if [head[12], head[13], head[14] >> 4] == [0x86, 0xdd, 6] {
        return v6(frame, wire_len);
    }
    None
}

#[inline]
fn v4(head: &[u8; ETHERNET + 20], frame: &[u8], wire_len: u32) -> Option<(Ip, Transport)> {
    let h: &[u8; 20] = head.last_chunk()?;
    let flags = u16::from_be_bytes([h[6], h[7]]);
    if flags & 0x3fff != 0 {
        return None;
    }
    let octets = usize::from(u16::from_be_bytes([h[2], h[3]]));
    let transport = transport(h[9], frame, ETHERNET + 20, ETHERNET + octets, wire_len)?;
    let ip = Ip {
        src: Addr::V4(u32::from_be_bytes([h[12], h[13], h[14], h[15]])),
        dst: Addr::V4(u32::from_be_bytes([h[16], h[17], h[18], h[19]])),
        proto: h[9],
        tos: h[1],
        ttl: h[8],
        dont_fragment: flags & 0x4000 != 0,
        flow_label: 0,
        octets: octets as u32,
        at: ETHERNET as u32,
        fragment: None,
    };
    Some((ip, transport))
}

#[inline]
fn v6(frame: &[u8], wire_len: u32) -> Option<(Ip, Transport)> {
    let (_, h) = frame.split_at_checked(ETHERNET)?;
    let [v, c, f0, f1, l0, l1, proto, ttl, addresses @ ..] = h.first_chunk::<40>()?;
    let body = usize::from(u16::from_be_bytes([*l0, *l1]));
    let end = ETHERNET + 40 + body;
    let transport = transport(*proto, frame, ETHERNET + 40, end, wire_len)?;
    let ip = Ip {
        src: Addr::V6(u128::from_be_bytes(*addresses.first_chunk()?)),
        dst: Addr::V6(u128::from_be_bytes(*addresses.last_chunk()?)),
        proto: *proto,
        tos: v << 4 | c >> 4,
        ttl: *ttl,
        dont_fragment: false,
        flow_label: u32::from_be_bytes([0, c & 0xf, *f0, *f1]),
        octets: (40 + body) as u32,
        at: ETHERNET as u32,
        fragment: None,
    };
    Some((ip, transport))
}

/// The header at `at` of a packet that ends at `end` of the frame, if all of it is there.
#[inline]
fn transport(proto: u8, frame: &[u8], at: usize, end: usize, wire_len: u32) -> Option<Transport> {
    if end > frame.len().max(wire_len as usize) {
        return None;
    }
    let packet = if end < frame.len() { frame.get(at..end)? } else { frame.get(at..)? };
    let [s0, s1, d0, d1, ..] = *packet.first_chunk::<8>()?;
    let (src, dst) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    match proto {
        TCP => {
            let h = packet.first_chunk::<20>()?;
            let len = usize::from(h[12] >> 4) * 4;
            if len < 20 || len > packet.len() {
                return None;
            }
            Some(Transport::Tcp { src, dst, flags: Some(h[13]) })
        }
        UDP => Some(Transport::Ports { src, dst }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::packet::frames::samples;
    use wire::packet::{Depth, LinkType, decode};

    /// Whether it took the short way, which says the same as the long one.
    fn agrees(frame: &[u8], wire_len: u32) -> bool {
        let Some((ip, transport)) = read(frame, wire_len) else { return false };
        let packet = decode(LinkType::Ethernet, frame, wire_len, Depth::Outer);
        assert_eq!(packet.ip, Some(ip), "{frame:?}");
        assert_eq!(packet.transport, transport, "{frame:?}");
        assert_eq!(packet.stop, None, "{frame:?}");
        assert!(packet.link.vlans().is_empty() && packet.link.labels().is_empty());
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
