//! A model of the packets on a busy link: conversations of both directions whose sizes have a heavy
//! tail, all mixed in the order of time. TCP begins with SYN and SYN|ACK and ends with FIN; UDP and
//! ICMP echo fill the rest.
//!
//! Headers are whole and right: lengths, IPv4 checksums, UDP lengths. Checksums of TCP and UDP are
//! 0, and so are payloads: probes look at neither.

use std::io::{self, Write};

use crate::Rng;

/// Octets of each frame that are stored: all headers, and as many as the shortest frame has.
pub const HEADERS: usize = 74;

/// Longest frame.
const LONGEST: u32 = 1514;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Packets of all conversations; no fewer than there are conversations.
    pub packets: u64,
    /// Conversations, of one packet at least.
    pub conversations: u32,
    /// Share of IPv6 conversations in percent.
    pub v6_percent: u64,
    /// Seconds from the first packet to the last.
    pub seconds: u32,
    /// No packet is longer than [`HEADERS`].
    pub is_small: bool,
    /// The same seed makes the same packets.
    pub seed: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            packets: 5_000_000,
            conversations: 300_000,
            v6_percent: 15,
            seconds: 60,
            is_small: false,
            seed: 1,
        }
    }
}

/// A packet, but for its payload.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Nanoseconds since the first packet could be.
    pub at_ns: u64,
    /// Octets on the wire; payload behind the headers is all 0.
    pub wire_len: u32,
    /// Ethernet, IP and transport header.
    pub headers: [u8; HEADERS],
}

impl Frame {
    /// Octets of the IP packet.
    pub const fn ip_octets(&self) -> u64 {
        self.wire_len as u64 - ETHERNET as u64
    }
}

const ETHERNET: usize = 14;

/// Packets, one after the other, in order of time.
pub struct Packets {
    link: Link,
    rng: Rng,
    conversations: Vec<Conversation>,
    /// Nanoseconds and conversation.
    order: std::vec::IntoIter<(u64, u32)>,
}

struct Conversation {
    is_v6: bool,
    proto: u8,
    /// Packets sent, and to be sent.
    sent: u32,
    left: u32,
    client: (u32, u16),
    server: (u32, u16),
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

const SERVICES: &[(u16, u32)] =
    &[(443, 50), (80, 20), (53, 15), (123, 3), (22, 3), (25, 3), (8080, 3), (5060, 3)];

impl Packets {
    /// All packets of a link. It takes 16 octets of memory for each, and 24 for a conversation.
    pub fn new(link: Link) -> Self {
        let mut rng = Rng::new(link.seed);
        let counts = counts(&link, &mut rng);
        let conversations: Vec<_> =
            counts.iter().map(|count| Conversation::new(&link, *count, &mut rng)).collect();
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let mut order = Vec::with_capacity(total as usize);
        for (number, count) in counts.iter().enumerate() {
            let seconds = f64::from(link.seconds);
            let start = rng.unit() * seconds * 0.9;
            let span = rng.log_normal(0.5, 1.5).min(seconds - start);
            for _ in 0..*count {
                let at = start + rng.unit() * span;
                order.push(((at * 1e9) as u64, number as u32));
            }
        }
        order.sort_unstable();
        Self { link, rng, conversations, order: order.into_iter() }
    }
}

/// Packets of each conversation: one, and a share by its weight of those that are left, so that the
/// sum is right (systematic sampling of a heavy-tailed weight).
fn counts(link: &Link, rng: &mut Rng) -> Vec<u32> {
    const SHAPE: f64 = 1.1;
    let weights: Vec<f64> =
        (0..link.conversations).map(|_| (1.0 - rng.unit()).powf(-1.0 / SHAPE) - 0.7).collect();
    let all: f64 = weights.iter().sum();
    let rest = link.packets.saturating_sub(link.conversations.into());
    let (mut reached, mut given) = (0.0, 0);
    let share = |weight: &f64| {
        reached += weight / all * rest as f64;
        let until = (reached + 0.5) as u64;
        let new = until.min(rest) - given;
        given += new;
        1 + new as u32
    };
    weights.iter().map(share).collect()
}

impl Conversation {
    fn new(link: &Link, left: u32, rng: &mut Rng) -> Self {
        let is_v6 = rng.below(100) < link.v6_percent;
        let proto = rng.choose(&[(TCP, 72), (UDP, 25), (ICMP, 3)]).unwrap_or(TCP);
        let client = 0x0a00_0000 + rng.below(60_000) as u32;
        let server = 0x0100_0000 + rng.below(0xde00_0000) as u32;
        let service = rng.choose(SERVICES).unwrap_or(443);
        let ports = (1024 + rng.below(64_512) as u16, service);
        let proto = if proto == ICMP && is_v6 { ICMP6 } else { proto };
        Self { is_v6, proto, sent: 0, left, client: (client, ports.0), server: (server, ports.1) }
    }

    /// The next packet, `len` octets of IP.
    fn write(&mut self, len: u32, rng: &mut Rng, frame: &mut [u8; HEADERS]) {
        let is_answer = self.sent == 1 || (self.sent > 1 && rng.chance(0.55));
        let (from, to) = match is_answer {
            true => (self.server, self.client),
            false => (self.client, self.server),
        };
        let flags = match (self.sent, self.left) {
            (0, _) => 0x02,
            (1, _) => 0x12,
            (_, 1) => 0x11,
            _ => 0x18,
        };
        self.sent += 1;
        self.left -= 1;
        let ip =
            if self.is_v6 { &mut frame[ETHERNET..][..40] } else { &mut frame[ETHERNET..][..20] };
        let header_len = ip.len();
        match self.is_v6 {
            true => ip.copy_from_slice(&ipv6(self.proto, from.0, to.0, len as u16)),
            false => ip.copy_from_slice(&ipv4(self.proto, from.0, to.0, len as u16)),
        }
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        frame[12..ETHERNET].copy_from_slice(if self.is_v6 { &[0x86, 0xdd] } else { &[8, 0] });
        let body = &mut frame[ETHERNET + header_len..];
        body[..2].copy_from_slice(&from.1.to_be_bytes());
        body[2..4].copy_from_slice(&to.1.to_be_bytes());
        match self.proto {
            TCP => {
                let rest = [1, 2, 3, 4, 5, 6, 7, 8, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
                body[4..20].copy_from_slice(&rest);
            }
            UDP => body[4..6].copy_from_slice(&(len as u16 - header_len as u16).to_be_bytes()),
            _ => {
                let kinds = if self.is_v6 { [128, 129] } else { [8, 0] };
                body[..4].copy_from_slice(&[kinds[usize::from(is_answer)], 0, 0, 0]);
                body[4..6].copy_from_slice(&self.client.1.to_be_bytes());
                body[6..8].copy_from_slice(&(self.sent as u16).to_be_bytes());
            }
        }
    }
}

fn ipv6(proto: u8, src: u32, dst: u32, len: u16) -> [u8; 40] {
    // Clients live in one prefix, servers in another.
    let prefix = |end: u32| if end >> 24 == 10 { 0x2001_0db8u128 << 96 } else { 0x2a00u128 << 112 };
    let address = |end: u32| (prefix(end) | u128::from(end)).to_be_bytes();
    let mut header = [0; 40];
    header[0] = 0x60;
    header[4..6].copy_from_slice(&(len - 40).to_be_bytes());
    header[6..8].copy_from_slice(&[proto, 64]);
    header[8..24].copy_from_slice(&address(src));
    header[24..].copy_from_slice(&address(dst));
    header
}

fn ipv4(proto: u8, src: u32, dst: u32, len: u16) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&[0x45, 0]);
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[6..10].copy_from_slice(&[0x40, 0, 64, proto]);
    header[12..16].copy_from_slice(&src.to_be_bytes());
    header[16..].copy_from_slice(&dst.to_be_bytes());
    let sum = crate::capture::checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

impl Iterator for Packets {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let (at_ns, number) = self.order.next()?;
        let rng = &mut self.rng;
        let is_short = self.link.is_small || rng.chance(0.45);
        let wire_len = match is_short {
            true => HEADERS as u32,
            false => (rng.normal(900.0, 500.0).max(0.0) as u32).clamp(HEADERS as u32, LONGEST),
        };
        let mut headers = [0; HEADERS];
        let conversation = self.conversations.get_mut(number as usize)?;
        conversation.write(wire_len - ETHERNET as u32, rng, &mut headers);
        Some(Frame { at_ns, wire_len, headers })
    }
}

/// Octets that are stored of each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// [`HEADERS`], whatever its length on the wire.
    Headers,
    /// All of them.
    Whole,
}

/// What is in a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets.
    pub packets: u64,
    /// Octets of their IP packets.
    pub octets: u64,
}

/// Writes a capture, classic pcap with nanoseconds, that begins at `start_secs` since 1970.
///
/// # Errors
/// Those of `out`.
pub fn write(
    packets: Packets,
    start_secs: u32,
    stored: Stored,
    mut out: impl Write,
) -> io::Result<Totals> {
    const PAYLOAD: [u8; LONGEST as usize] = [0; LONGEST as usize];
    let snap = if stored == Stored::Headers { HEADERS as u32 } else { LONGEST };
    for word in [0xa1b2_3c4du32, 0x0004_0002, 0, 0, snap, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut totals = Totals::default();
    for frame in packets {
        let stored = frame.wire_len.min(snap);
        let (secs, nanos) = (frame.at_ns / 1_000_000_000, frame.at_ns % 1_000_000_000);
        for word in [start_secs + secs as u32, nanos as u32, stored, frame.wire_len] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame.headers)?;
        out.write_all(&PAYLOAD[..stored as usize - HEADERS])?;
        totals.packets += 1;
        totals.octets += frame.ip_octets();
    }
    out.flush()?;
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};
    use wire::packet::{Depth, LinkType, Transport, decode};

    const SMALL: Link = Link {
        packets: 30_000,
        conversations: 2_000,
        v6_percent: 15,
        seconds: 60,
        is_small: false,
        seed: 7,
    };

    #[test]
    fn each_packet_is_what_it_should_be() {
        let mut last = 0;
        let (mut kinds, mut conversations) = (HashMap::new(), HashSet::new());
        let mut flags_of = HashMap::new();
        for frame in Packets::new(SMALL) {
            assert!(frame.at_ns >= last && frame.at_ns <= 60_000_000_000);
            last = frame.at_ns;
            let packet = decode(LinkType::Ethernet, &frame.headers, frame.wire_len, Depth::Outer);
            assert_eq!(packet.stop, None, "{frame:?}");
            let ip = packet.ip.unwrap();
            assert_eq!(u64::from(ip.octets), frame.ip_octets());
            *kinds.entry(ip.proto).or_insert(0) += 1;
            let (src, dst) = packet.transport.ports().unwrap_or_default();
            let mut ends = [(ip.src.to_string(), src), (ip.dst.to_string(), dst)];
            ends.sort();
            if let Transport::Tcp { flags, .. } = packet.transport {
                let flags = flags.unwrap();
                let seen: &mut Vec<u8> = flags_of.entry(ends.clone()).or_default();
                seen.push(flags);
            }
            conversations.insert((ip.proto, ends));
        }
        assert_eq!(conversations.len(), 2_000);
        assert!(kinds[&TCP] > 3 * kinds[&UDP] / 2 && kinds[&UDP] > kinds[&ICMP], "{kinds:?}");
        assert!(kinds[&ICMP6] > 0, "{kinds:?}");
        for flags in flags_of.values() {
            assert_eq!(flags[0], 2);
            assert!(flags.len() < 2 || flags[1] == 0x12);
            assert!(flags.len() < 3 || flags.last() == Some(&0x11));
        }
        let most = flags_of.values().map(Vec::len).max().unwrap();
        assert!(most > 500, "a tail that is heavy: {most}");
    }

    #[test]
    fn a_capture_has_the_packets_of_the_link() {
        for (stored, is_small) in
            [(Stored::Headers, false), (Stored::Headers, true), (Stored::Whole, false)]
        {
            let link = Link { is_small, ..SMALL };
            let mut file = Vec::new();
            let totals = write(Packets::new(link), 1_775_822_400, stored, &mut file).unwrap();
            assert_eq!(totals.packets, SMALL.packets);
            let (mut at, mut packets, mut octets) = (24, 0, 0);
            while let Some(head) = file.get(at..at + 16) {
                let word = |n: usize| u32::from_le_bytes(head[n..n + 4].try_into().unwrap());
                let (stored_len, wire_len) = (word(8), word(12));
                match stored {
                    Stored::Headers => assert_eq!(stored_len, HEADERS as u32),
                    Stored::Whole => assert_eq!(stored_len, wire_len),
                }
                assert!(!is_small || wire_len == HEADERS as u32);
                packets += 1;
                octets += u64::from(wire_len) - 14;
                at += 16 + stored_len as usize;
            }
            assert_eq!((at, packets), (file.len(), totals.packets));
            assert_eq!(octets, totals.octets);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_packets() {
        let bytes = |seed| {
            let mut file = Vec::new();
            let link = Link { packets: 300, conversations: 20, seed, ..SMALL };
            write(Packets::new(link), 0, Stored::Headers, &mut file).unwrap();
            file
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn header_checksums_are_right() {
        for frame in Packets::new(Link { v6_percent: 0, ..SMALL }).take(100) {
            assert_eq!(crate::capture::checksum(&frame.headers[14..34]), 0);
        }
    }
}
