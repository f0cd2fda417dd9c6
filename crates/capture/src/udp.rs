//! UDP datagrams in captured frames, as a socket would have delivered them.
//!
//! A walk of our own over the few headers that export traffic travels in: Ethernet with VLAN tags,
//! Linux cooked capture, BSD loopback, raw IP, then IPv4 or IPv6, then UDP. Libraries that decode
//! packets know Ethernet and one kind of cooked capture, and do not put fragments together, which
//! large datagrams need. Tunnels are not looked into: what is in them was not sent to a collector
//! on this wire. Checksums are not checked, since captures of sent packets hold none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Packet;
use crate::fragments::{Fragment, Fragments, Key};
use crate::window::array;

/// One UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Sender.
    pub peer: SocketAddr,
    /// Receiver.
    pub to: SocketAddr,
    /// When its last part was captured, nanoseconds since 1970.
    pub time_ns: Option<u64>,
    /// Payload.
    pub bytes: &'a [u8],
    /// Whether the capture holds only the beginning of it.
    pub truncated: bool,
}

/// Where every frame went: the first number is the sum of all others, except `incomplete` and
/// `truncated`, which are among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames looked at.
    pub frames: u64,
    /// Frames that hold a whole datagram.
    pub whole: u64,
    /// Frames that hold a fragment of a datagram, in whatever order.
    pub fragments: u64,
    /// Frames with something else: other protocols over IP, or no IP.
    pub other: u64,
    /// Frames of links that are not read here.
    pub unknown_link: u64,
    /// Frames whose headers do not fit what they say or what was captured.
    pub malformed: u64,
    /// Datagrams put together from fragments.
    pub reassembled: u64,
    /// Fragments that led to no datagram: others were missing for too long, overlapped, were cut by
    /// the capture, came twice, or were too many.
    pub incomplete: u64,
    /// Datagrams delivered of which the capture holds the beginning only.
    pub truncated: u64,
}

/// Finds UDP datagrams in frames. Keeps up to 64 datagrams whose fragments have not all come, for up
/// to a minute of the capture's time.
#[derive(Debug, Default)]
pub struct Extractor {
    fragments: Fragments,
    counts: Counts,
}

/// What a frame is, to whom it may concern.
enum Frame<'a> {
    Whole(Ip<'a>),
    Part(Key, Fragment<'a>),
    Other,
    UnknownLink,
    Malformed,
}

/// The UDP datagram in an IP packet, header included.
#[derive(Clone, Copy)]
struct Ip<'a> {
    from: IpAddr,
    to: IpAddr,
    bytes: &'a [u8],
}

impl Extractor {
    /// With no fragments.
    pub fn new() -> Self {
        Self::default()
    }

    /// The datagram that `packet` holds or completes, if it does.
    pub fn extract<'a>(&'a mut self, packet: &Packet<'a>) -> Option<Datagram<'a>> {
        self.counts.frames += 1;
        let ip = match frame(packet) {
            Frame::Whole(ip) if ip.bytes.len() < UDP_HEADER => {
                return self.nothing(|counts| &mut counts.malformed);
            }
            Frame::Whole(ip) => {
                self.counts.whole += 1;
                ip
            }
            Frame::Part(key, fragment) => {
                self.counts.fragments += 1;
                let lost = &mut self.counts.incomplete;
                let bytes = self.fragments.add(key, fragment, packet.time_ns, lost)?;
                self.counts.reassembled += 1;
                Ip { from: key.from, to: key.to, bytes }
            }
            Frame::Other => return self.nothing(|counts| &mut counts.other),
            Frame::UnknownLink => return self.nothing(|counts| &mut counts.unknown_link),
            Frame::Malformed => return self.nothing(|counts| &mut counts.malformed),
        };
        deliver(&mut self.counts, ip, packet.time_ns)
    }

    fn nothing(&mut self, count: fn(&mut Counts) -> &mut u64) -> Option<Datagram<'_>> {
        *count(&mut self.counts) += 1;
        None
    }

    /// Says that nothing more comes: fragments that still wait are incomplete.
    pub fn finish(&mut self) {
        self.counts.incomplete += self.fragments.clear();
    }

    /// Where the frames went so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Octets of the header of UDP (RFC 768).
const UDP_HEADER: usize = 8;

/// Takes the UDP header off. Fragments are never too short for it: all but the last have eight
/// octets at least.
fn deliver<'a>(counts: &mut Counts, ip: Ip<'a>, time_ns: Option<u64>) -> Option<Datagram<'a>> {
    let (header, payload) = ip.bytes.split_first_chunk::<UDP_HEADER>()?;
    let number = |at| u16::from_be_bytes(array(header, at));
    // 0 means as far as the IP packet goes, where it is too long for a number (RFC 2675, section 4).
    let want = match number(4) {
        0 => payload.len(),
        len => usize::from(len).saturating_sub(UDP_HEADER),
    };
    let bytes = payload.get(..want).unwrap_or(payload);
    let truncated = bytes.len() < want;
    counts.truncated += u64::from(truncated);
    Some(Datagram {
        peer: SocketAddr::new(ip.from, number(0)),
        to: SocketAddr::new(ip.to, number(2)),
        time_ns,
        bytes,
        truncated,
    })
}

/// From the link to IP (numbers of the tcpdump registry of link types).
fn frame<'a>(packet: &Packet<'a>) -> Frame<'a> {
    let bytes = packet.bytes;
    match packet.link {
        1 => ethernet(bytes.get(12..)),
        // Linux cooked: the protocol stands at the end of one version and begins the other.
        113 => ethernet(bytes.get(14..)),
        276 => match bytes.get(20..) {
            Some(rest) => protocol(array(bytes, 0), rest),
            None => Frame::Malformed,
        },
        // The address family, for which each system has its own numbers: the IP header tells, too.
        0 | 108 => bytes.get(4..).map_or(Frame::Malformed, ip),
        12 | 14 | 101 | 228 | 229 => ip(bytes),
        _ => Frame::UnknownLink,
    }
}

/// From the type of an Ethernet frame on.
fn ethernet(at_type: Option<&[u8]>) -> Frame<'_> {
    match at_type.and_then(|bytes| bytes.split_first_chunk::<2>()) {
        Some((kind, rest)) => protocol(*kind, rest),
        None => Frame::Malformed,
    }
}

/// VLAN tags that are looked behind.
const TAGS: usize = 4;

/// From an EtherType and what follows it to IP, behind VLAN tags (IEEE 802.1Q, 802.1ad).
fn protocol(mut kind: [u8; 2], mut rest: &[u8]) -> Frame<'_> {
    for _ in 0..=TAGS {
        match kind {
            [0x08, 0x00] | [0x86, 0xdd] => return ip(rest),
            [0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00] => {
                let Some((tag, behind)) = rest.split_first_chunk::<4>() else {
                    return Frame::Malformed;
                };
                kind = [tag[2], tag[3]];
                rest = behind;
            }
            _ => return Frame::Other,
        }
    }
    Frame::Other
}

fn ip(bytes: &[u8]) -> Frame<'_> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes),
        Some(6) => ipv6(bytes),
        Some(_) => Frame::Other,
        None => Frame::Malformed,
    }
}

/// Number of UDP among the protocols over IP.
const UDP: u8 = 17;

/// RFC 791, section 3.1.
fn ipv4(bytes: &[u8]) -> Frame<'_> {
    let Some(header) = bytes.first_chunk::<20>() else { return Frame::Malformed };
    let header_len = 4 * usize::from(header[0] & 0x0f);
    let total = match u16::from_be_bytes(array(header, 2)) {
        0 => bytes.len(), // left to the network card to fill in
        total => usize::from(total),
    };
    if header_len < 20 || total < header_len {
        return Frame::Malformed;
    }
    if header[9] != UDP {
        return Frame::Other;
    }
    // Without what fills a frame up to its least length; less than `total` if the capture is cut.
    let Some(payload) = bytes.get(header_len..total.min(bytes.len())) else {
        return Frame::Malformed;
    };
    let from = Ipv4Addr::from(array::<4>(header, 12)).into();
    let to = Ipv4Addr::from(array::<4>(header, 16)).into();
    let place = u16::from_be_bytes(array(header, 6));
    let (more, start) = (place & 0x2000 != 0, 8 * usize::from(place & 0x1fff));
    if !more && start == 0 {
        return Frame::Whole(Ip { from, to, bytes: payload });
    }
    let id = u16::from_be_bytes(array(header, 4)).into();
    let is_whole = bytes.len() >= total;
    Frame::Part(Key { from, to, id }, Fragment { start, more, bytes: payload, is_whole })
}

/// Extension headers that are looked behind.
const EXTENSIONS: usize = 8;

/// RFC 8200, sections 3 and 4.
fn ipv6(bytes: &[u8]) -> Frame<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<40>() else { return Frame::Malformed };
    let len = match u16::from_be_bytes(array(header, 4)) {
        0 => rest.len(), // a jumbogram, or left to the network card to fill in
        len => usize::from(len),
    };
    let from = Ipv6Addr::from(array::<16>(header, 8)).into();
    let to = Ipv6Addr::from(array::<16>(header, 24)).into();
    let is_whole = rest.len() >= len;
    let (mut next, mut rest) = (header[6], rest.get(..len).unwrap_or(rest));
    for _ in 0..=EXTENSIONS {
        if next == UDP {
            return Frame::Whole(Ip { from, to, bytes: rest });
        }
        let Some((extension, _)) = rest.split_first_chunk::<8>() else {
            return if is_extension(next) { Frame::Malformed } else { Frame::Other };
        };
        let len = match next {
            FRAGMENT => {
                let place = u16::from_be_bytes(array(extension, 2));
                let (more, start) = (place & 1 != 0, usize::from(place & 0xfff8));
                if more || start != 0 {
                    // Only UDP straight behind: other headers there are rare and may be split.
                    if extension[0] != UDP {
                        return Frame::Other;
                    }
                    let id = u32::from_be_bytes(array(extension, 4));
                    let bytes = rest.get(8..).unwrap_or_default();
                    let fragment = Fragment { start, more, bytes, is_whole };
                    return Frame::Part(Key { from, to, id }, fragment);
                }
                8
            }
            AUTHENTICATION => 4 * (usize::from(extension[1]) + 2),
            HOP_BY_HOP | ROUTING | DESTINATION => 8 * (usize::from(extension[1]) + 1),
            _ => return Frame::Other,
        };
        next = extension[0];
        let Some(behind) = rest.get(len..) else { return Frame::Malformed };
        rest = behind;
    }
    Frame::Other
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ETHERNET, frame_of, ipv4_packet, ipv6_packet, udp_datagram};

    fn packet(link: u32, bytes: &[u8]) -> Packet<'_> {
        let wire_len = bytes.len() as u32;
        Packet { time_ns: Some(5), link, wire_len, bytes, ..Packet::NONE }
    }

    fn extract(link: u32, bytes: &[u8]) -> Option<(String, String, Vec<u8>, bool)> {
        let mut extractor = Extractor::new();
        let found = extractor.extract(&packet(link, bytes)).map(|d| {
            assert_eq!(d.time_ns, Some(5));
            (d.peer.to_string(), d.to.to_string(), d.bytes.to_vec(), d.truncated)
        });
        assert_sum(&extractor.counts());
        found
    }

    fn assert_sum(counts: &Counts) {
        let Counts { frames, whole, fragments, other, unknown_link, malformed, .. } = *counts;
        assert_eq!(frames, whole + fragments + other + unknown_link + malformed, "{counts:?}");
    }

    const PEER: &str = "192.0.2.1:2055";
    const TO: &str = "192.0.2.9:9995";

    #[test]
    fn datagrams_are_found_behind_every_link() {
        let udp = udp_datagram(2055, 9995, b"export");
        let v4 = ipv4_packet(&udp, 7, 0);
        let v6 = ipv6_packet(17, &udp);
        let tagged = |tags: &[[u8; 4]], kind: [u8; 2], ip: &[u8]| {
            [&[0xaa; 12][..], &tags.concat(), &kind, ip].concat()
        };
        let (ip4, ip6) = ([8, 0], [0x86, 0xdd]);
        let vlan = [0x81, 0, 0, 5];
        let outer = [0x88, 0xa8, 0, 6];
        let padded = [&tagged(&[], ip4, &v4)[..], &[0; 10]].concat();
        let cooked = [&[0; 14][..], &ip4, &v4].concat();
        let cooked2 = [&ip6[..], &[0; 18], &v6].concat();
        for (name, link, bytes) in [
            ("Ethernet", ETHERNET, tagged(&[], ip4, &v4)),
            ("Ethernet, filled up", ETHERNET, padded),
            ("one tag", ETHERNET, tagged(&[vlan], ip4, &v4)),
            ("two tags", ETHERNET, tagged(&[outer, vlan], ip6, &v6)),
            ("cooked", 113, cooked),
            ("cooked, version 2", 276, cooked2),
            ("loopback of one system", 0, [&[2, 0, 0, 0][..], &v4].concat()),
            ("loopback of another", 108, [&[0, 0, 0, 24][..], &v6].concat()),
            ("raw", 101, v4.clone()),
            ("raw IPv6", 229, v6.clone()),
        ] {
            let (peer, to, payload, truncated) = extract(link, &bytes).expect(name);
            assert_eq!((&payload[..], truncated), (&b"export"[..], false), "{name}");
            let is_v4 = peer == PEER && to == TO;
            let is_v6 = peer == "[2001:db8::1]:2055" && to == "[2001:db8::9]:9995";
            assert!(is_v4 || is_v6, "{name}: {peer} {to}");
        }
    }

    #[test]
    fn ipv6_extensions_are_passed_over() {
        let udp = udp_datagram(2055, 9995, b"x");
        let hop = |next: u8| [&[next, 1, 0, 0][..], &[0; 12]].concat();
        let authentication = |next: u8| [&[next, 4, 0, 0][..], &[0; 20]].concat();
        let alone = |next: u8| [next, 0, 0, 0, 0, 0, 0, 9].to_vec();
        for (first, headers) in [
            (0, hop(17)),
            (43, [hop(60), hop(17)].concat()),
            (51, authentication(17)),
            (44, alone(17)),
        ] {
            let v6 = ipv6_packet(first, &[&headers[..], &udp].concat());
            assert!(extract(101, &v6).is_some(), "{first}");
        }
        let endless = (0..20).flat_map(|_| hop(60)).collect::<Vec<u8>>();
        assert_eq!(extract(101, &ipv6_packet(60, &endless)), None);
    }

    #[test]
    fn everything_else_is_counted_by_cause() {
        let udp = udp_datagram(1, 2, b"x");
        let v4 = ipv4_packet(&udp, 1, 0);
        let mut tcp = v4.clone();
        tcp[9] = 6;
        let mut lying = v4.clone();
        lying[3] = 19;
        let mut extractor = Extractor::new();
        let mut arp = frame_of(&v4);
        arp[12..14].copy_from_slice(&[8, 6]);
        for (link, bytes) in [
            (ETHERNET, &arp[..]),
            (ETHERNET, &frame_of(&tcp)),
            (ETHERNET, &frame_of(&lying)),
            (ETHERNET, &[1, 2, 3]),
            (ETHERNET, &frame_of(&v4)[..30]),
            (101, &v4[..24]),
            (105, &v4),
        ] {
            assert_eq!(extractor.extract(&packet(link, bytes)), None);
        }
        let counts = extractor.counts();
        assert_sum(&counts);
        let Counts { other, malformed, unknown_link, .. } = counts;
        assert_eq!((other, malformed, unknown_link), (2, 4, 1));
    }

    #[test]
    fn no_cut_frame_panics_and_a_cut_payload_is_said() {
        let udp = udp_datagram(2055, 9995, b"export");
        for (ip, header) in [(ipv4_packet(&udp, 1, 0), 28), (ipv6_packet(17, &udp), 48)] {
            for len in 0..ip.len() {
                match extract(101, &ip[..len]) {
                    None => assert!(len < header, "{len}"),
                    Some((_, _, payload, truncated)) => {
                        assert!(truncated && len >= header, "{len}");
                        assert_eq!(payload, &b"export"[..len - header]);
                    }
                }
            }
        }
    }

    /// Offset, whether more come, octets.
    type Piece = (usize, bool, Vec<u8>);

    /// The payload of a large datagram, and the fragments of the datagram.
    fn pieces() -> (Vec<u8>, Vec<Piece>) {
        let payload: Vec<u8> = (0..5000u32).map(|n| (n / 7) as u8).collect();
        let udp = udp_datagram(2055, 9995, &payload);
        let chunks = udp.chunks(1480).enumerate();
        let pieces = chunks.map(|(n, c)| (n * 1480, (n + 1) * 1480 < udp.len(), c.to_vec()));
        let pieces = pieces.collect();
        (payload, pieces)
    }

    fn fragment(id: u16, (start, more, bytes): &Piece) -> Vec<u8> {
        ipv4_packet(bytes, id, (start / 8) as u16 | if *more { 0x2000 } else { 0 })
    }

    fn fragment6(id: u32, (start, more, bytes): &Piece) -> Vec<u8> {
        let place = *start as u16 | u16::from(*more);
        let header = [&[17, 0][..], &place.to_be_bytes(), &id.to_be_bytes()].concat();
        ipv6_packet(44, &[&header[..], bytes].concat())
    }

    #[test]
    fn fragments_are_put_together_in_whatever_order() {
        let (payload, pieces) = pieces();
        assert_eq!(pieces.len(), 4);
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
            let mut extractor = Extractor::new();
            for (at, n) in order.iter().enumerate() {
                for bytes in [fragment(7, &pieces[*n]), fragment6(7, &pieces[*n])] {
                    let found = extractor.extract(&packet(101, &bytes));
                    assert_eq!(found.is_some(), at == 3, "{order:?}");
                    if let Some(datagram) = found {
                        assert!(datagram.bytes == payload && !datagram.truncated);
                    }
                }
            }
            extractor.finish();
            let counts = extractor.counts();
            assert_sum(&counts);
            assert_eq!((counts.fragments, counts.reassembled, counts.incomplete), (8, 2, 0));
        }
    }

    #[test]
    fn fragments_that_cannot_be_put_together_are_counted() {
        let (_, pieces) = pieces();
        let feed = |frames: &[(u64, Vec<u8>)]| {
            let mut extractor = Extractor::new();
            for (time_ns, bytes) in frames {
                let packet = Packet { time_ns: Some(*time_ns), ..packet(101, bytes) };
                extractor.extract(&packet);
            }
            extractor.finish();
            let counts = extractor.counts();
            assert_sum(&counts);
            (counts.fragments, counts.reassembled, counts.incomplete)
        };
        let all =
            |time: u64| pieces.iter().map(move |p| (time, fragment(7, p))).collect::<Vec<_>>();
        assert_eq!(feed(&all(0)), (4, 1, 0));
        assert_eq!(feed(&all(0)[..3]), (3, 0, 3), "the last is missing");
        assert_eq!(feed(&all(0)[1..]), (3, 0, 3), "the first is missing");
        let mut twice = all(0);
        twice.insert(2, twice[1].clone());
        assert_eq!(feed(&twice), (5, 1, 1), "one came twice");
        let mut late = all(0);
        late[3].0 = 61_000_000_000;
        assert_eq!(feed(&late), (4, 0, 4), "one came too late");
        let mut overlapping = all(0);
        let (_, _, ref middle) = pieces[1];
        overlapping.insert(2, (0, fragment(7, &(1488, true, middle.clone()))));
        assert_eq!(feed(&overlapping), (5, 0, 5), "one overlaps");
        let mut cut = all(0);
        cut[1].1.truncate(700);
        assert_eq!(feed(&cut), (4, 0, 4), "one is cut by the capture");
        let mut many: Vec<_> = (0..100).map(|id| (0, fragment(id, &pieces[0]))).collect();
        assert_eq!(feed(&many), (100, 0, 100), "more than are kept");
        many.extend((36..100).flat_map(|id| pieces[1..].iter().map(move |p| (0, fragment(id, p)))));
        assert_eq!(feed(&many).1, 64, "the newest are kept");
        let beyond = (65_528, true, vec![0; 16]);
        assert_eq!(feed(&[(0, fragment(1, &beyond))]), (1, 0, 1), "beyond what IP can hold");
    }

    #[test]
    fn damaged_frames_are_only_counted() {
        let (_, pieces) = pieces();
        let good = [frame_of(&fragment(7, &pieces[3])), frame_of(&fragment6(7, &pieces[3]))];
        let mut extractor = Extractor::new();
        let mut state = 1u64;
        for n in 0..20_000 {
            let mut bytes = good[n % 2].clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % 62;
                bytes[at] = (state >> 56) as u8;
            }
            if let Some(datagram) = extractor.extract(&packet(ETHERNET, &bytes)) {
                assert!(datagram.bytes.len() <= 65_535);
            }
        }
        extractor.finish();
        let counts = extractor.counts();
        assert_sum(&counts);
        assert!(counts.fragments > 1000 && counts.other > 1000 && counts.incomplete > 1000);
    }
}
