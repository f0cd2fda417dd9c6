//! Captures of real traffic, against two independent readers of them.
//!
//! Reads the collection named by `FLOWSUITE_CORPUS`. The first reader is etherparse, frame by
//! frame: addresses, protocol, ports, ICMP type and code have to agree, or the frame has to be of
//! a class that one of the two does not read, each with its reason. The second is a protocol
//! analyser's count of IP frames and IP octets in each capture.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use record::Addr;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use wire::packet::{Cause, Depth, Layer, LinkType, Packet, Transport, decode};

/// The folder of captures, if there is one.
fn captures() -> Option<PathBuf> {
    let folder = std::env::var_os("FLOWSUITE_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: FLOWSUITE_CORPUS not set");
    }
    folder.map(|f| f.join("packets"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut out, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() { open.push(entry) } else { out.push(entry) }
        }
    }
    out.sort();
    out
}

/// A frame and what it measured before it was cut.
type Frame<'a> = (&'a [u8], u32);

/// The frames of a classic capture and their link type; `None` for any other file.
fn frames(file: &[u8]) -> Option<(u32, Vec<Frame<'_>>)> {
    let magic = <[u8; 4]>::try_from(file.get(..4)?).ok()?;
    let number: fn([u8; 4]) -> u32 = match u32::from_le_bytes(magic) {
        0xa1b2_c3d4 | 0xa1b2_3c4d => u32::from_le_bytes,
        0xd4c3_b2a1 | 0x4d3c_b2a1 => u32::from_be_bytes,
        _ => return None,
    };
    let word = |at: usize| Some(number(file.get(at..at + 4)?.try_into().ok()?));
    let (mut out, mut at) = (Vec::new(), 24);
    while let (Some(len), Some(wire)) = (word(at + 8), word(at + 12)) {
        let Some(frame) = file.get(at + 16..at + 16 + len as usize) else { break };
        out.push((frame, wire));
        at += 16 + len as usize;
    }
    Some((word(20)? & 0x0fff_ffff, out))
}

/// What both readers can say of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    src: Addr,
    dst: Addr,
    proto: u8,
    /// Ports, or ICMP type and code.
    ports: Option<(u16, u16)>,
}

impl Said {
    fn ours(packet: &Packet<'_>) -> Option<Self> {
        let ip = packet.ip?;
        let ports = match packet.transport {
            Transport::Icmp { kind, code, .. } => Some((kind.into(), code.into())),
            other => other.ports(),
        };
        Some(Self { src: ip.src, dst: ip.dst, proto: ip.proto, ports })
    }

    fn theirs(packet: &LaxSlicedPacket<'_>) -> Option<Self> {
        let (src, dst): (IpAddr, IpAddr) = match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            LaxNetSlice::Ipv6(ip) => {
                (ip.header().source_addr().into(), ip.header().destination_addr().into())
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let payload = packet.ip_payload()?;
        let ports = packet.transport.as_ref().and_then(|t| match t {
            TransportSlice::Tcp(t) => Some((t.source_port(), t.destination_port())),
            TransportSlice::Udp(u) => Some((u.source_port(), u.destination_port())),
            TransportSlice::Icmpv4(i) => Some((i.type_u8().into(), i.code_u8().into())),
            TransportSlice::Icmpv6(i) => Some((i.type_u8().into(), i.code_u8().into())),
            TransportSlice::Igmp(_) => None,
        });
        Some(Self { src: src.into(), dst: dst.into(), proto: payload.ip_number.0, ports })
    }
}

/// What etherparse makes of a frame; `None` for links it does not know.
fn twin(link: LinkType, frame: &[u8]) -> Option<Option<Said>> {
    let from_ip = |ip: &[u8]| LaxSlicedPacket::from_ip(ip).ok().and_then(|p| Said::theirs(&p));
    let from_type = |kind: Option<&[u8]>, payload: Option<&[u8]>| {
        let kind = u16::from_be_bytes(kind?.try_into().ok()?);
        Said::theirs(&LaxSlicedPacket::from_ether_type(EtherType(kind), payload?))
    };
    Some(match link {
        LinkType::Ethernet => {
            LaxSlicedPacket::from_ethernet(frame).ok().and_then(|p| Said::theirs(&p))
        }
        LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => from_ip(frame),
        LinkType::Null => frame.get(4..).and_then(from_ip),
        LinkType::Cooked1 => from_type(frame.get(14..16), frame.get(16..)),
        LinkType::Cooked2 => from_type(frame.get(..2), frame.get(20..)),
        _ => return None,
    })
}

#[test]
fn etherparse_agrees() {
    let Some(folder) = captures() else { return };
    let (mut agreed, mut classes) = (0, BTreeMap::new());
    for path in files(&folder) {
        let file = std::fs::read(&path).unwrap();
        let Some((dlt, frames)) = frames(&file) else { continue };
        let link = LinkType::from_dlt(dlt);
        for (n, (frame, wire)) in frames.iter().enumerate() {
            let Some(theirs) = twin(link, frame) else { break };
            let packet = decode(link, frame, *wire, Depth::Outer);
            let ours = Said::ours(&packet);
            if ours == theirs {
                agreed += 1;
                continue;
            }
            let name = path.strip_prefix(&folder).unwrap().display();
            let Some(class) = difference(link, frame, &packet, theirs) else {
                panic!("{name}, frame {}: {ours:?}, etherparse {theirs:?}; {packet:?}", n + 1);
            };
            *classes.entry(class).or_insert(0) += 1;
        }
    }
    println!("{agreed} frames agree");
    for (class, count) in &classes {
        println!("{count} {class:?}");
    }
    assert!(agreed > 10_000, "{agreed} frames agree");
    let unseen: Vec<_> = Difference::ALL.iter().filter(|c| !classes.contains_key(c)).collect();
    assert!(unseen.is_empty(), "differences that no frame shows: {unseen:?}");
}

/// Where the two readers differ, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// etherparse reads no ports of SCTP, DCCP and UDP-Lite.
    Protocol,
    /// etherparse reads nothing behind the IP header of a fragment; the first one has ports.
    Fragment,
    /// etherparse knows no MPLS, PPPoE, LLC, network service and time headers.
    Link,
    /// etherparse gives nothing of a header that is not whole or not sound.
    PartOfTransport,
    /// The same for IPv4 options.
    PartOfIp,
    /// etherparse takes a payload length of 0 at its word; it stands for a packet too long for the
    /// field (RFC 2675, and segmentation offload).
    NoLength,
    /// etherparse overlooks an IPv4 length below that of the header.
    Length,
    /// etherparse reads an IP header of the version that the link did not announce.
    Version,
    /// etherparse is not asked what the header of a loopback frame says, which is no family.
    Family,
}

impl Difference {
    const ALL: [Self; 9] = [
        Self::Protocol,
        Self::Fragment,
        Self::Link,
        Self::PartOfTransport,
        Self::PartOfIp,
        Self::NoLength,
        Self::Length,
        Self::Version,
        Self::Family,
    ];
}

fn difference(
    link: LinkType,
    frame: &[u8],
    packet: &Packet<'_>,
    theirs: Option<Said>,
) -> Option<Difference> {
    let stop = packet.stop.map(|s| (s.cause, s.layer));
    let broken = |layer| {
        stop.is_some_and(|(cause, at)| {
            at == layer && matches!(cause, Cause::Truncated | Cause::Malformed)
        })
    };
    let Some(ours) = Said::ours(packet) else {
        // Something that etherparse reads and we do not: it has to be broken.
        let header = frame.get(packet.stop?.at as usize..)?;
        let version = header.first()? >> 4;
        return match stop? {
            (Cause::Malformed, Layer::Ipv4) if version == 6 => Some(Difference::Version),
            (Cause::Malformed, Layer::Ipv6) if version == 4 => Some(Difference::Version),
            (Cause::Malformed, Layer::Ipv4) if header.get(2..4)? < &[0, 20] => {
                Some(Difference::Length)
            }
            (Cause::NotIp, Layer::Link) if link == LinkType::Null => Some(Difference::Family),
            _ => None,
        };
    };
    let Some(theirs) = theirs else {
        // The last Ethernet type before the IP header, or what stands for one.
        let before = frame.get(..packet.ip?.at as usize)?;
        let is_odd_link = !packet.link.labels().is_empty()
            || matches!(packet.link.ether_type, Some(0x8864 | 0x894f))
            || before.ends_with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0])
            || before.get(12..14) == Some(&[0xd2, 0x8b]);
        return match () {
            () if is_odd_link => Some(Difference::Link),
            () if broken(Layer::Ipv4) => Some(Difference::PartOfIp),
            () => None,
        };
    };
    let ip = packet.ip?;
    let header = frame.get(ip.at as usize..)?;
    if header.first()? >> 4 == 6 && header.get(4..6)? == [0, 0] {
        return Some(Difference::NoLength);
    }
    let has_more_ports = theirs == Said { ports: None, ..ours };
    match ours.proto {
        _ if !has_more_ports => None,
        _ if ip.fragment.is_some_and(|f| f.offset == 0) => Some(Difference::Fragment),
        33 | 132 | 136 => Some(Difference::Protocol),
        _ if broken(Layer::Transport) => Some(Difference::PartOfTransport),
        _ => None,
    }
}

#[test]
fn an_analyser_counts_the_same() {
    let Some(folder) = captures() else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let (mut agreed, mut explained) = (0, 0);
    for line in manifest.lines().skip(1) {
        let columns: Vec<_> = line.split('\t').collect();
        let name = columns[0].strip_prefix("packets/").unwrap();
        let file = std::fs::read(folder.join(name)).unwrap();
        let Some((dlt, frames)) = frames(&file) else { continue };
        let link = LinkType::from_dlt(dlt);
        let want: Vec<u64> = columns[7..11].iter().map(|c| c.parse().unwrap()).collect();
        let got = count(link, &frames);
        // Links that are not read give nothing, neither here nor there.
        let is_unknown = matches!(link, LinkType::Other(_)) && got == [0; 4]
            || is_unknown_there(link) && want == [0; 4];
        if got == want[..] {
            agreed += 1;
            assert!(COUNTED_OTHERWISE.iter().all(|(n, ..)| *n != name), "{name} agrees");
        } else if !is_unknown {
            let known = COUNTED_OTHERWISE.iter().find(|(n, ..)| *n == name);
            let Some((_, counted, why)) = known else {
                panic!("{name}, {link:?}: {got:?}, the analyser {want:?}");
            };
            assert_eq!(got, *counted, "{name}: {why}");
            explained += 1;
        }
    }
    println!("{agreed} captures agree, {explained} are explained");
    assert!(agreed > 300, "{agreed} captures agree");
    assert_eq!(explained, COUNTED_OTHERWISE.len());
}

/// Links that the analyser does not read.
fn is_unknown_there(link: LinkType) -> bool {
    use LinkType::{BroadcomTag, BroadcomTagFirst, Dsa, Edsa, Infiniband, Ipnet, Pktap};
    matches!(link, BroadcomTag | BroadcomTagFirst | Dsa | Edsa | Infiniband | Ipnet | Pktap)
}

/// Frames with an outer IPv4 and IPv6 header, and the octets of both.
fn count(link: LinkType, frames: &[Frame<'_>]) -> [u64; 4] {
    let mut out = [0; 4];
    for (frame, wire) in frames {
        let packet = decode(link, frame, *wire, Depth::Outer);
        let Some(ip) = packet.ip else { continue };
        let family = usize::from(matches!(ip.src, Addr::V6(_)));
        out[family] += 1;
        out[2 + family] += u64::from(ip.octets);
    }
    out
}

const NO_LENGTH: &str = "a payload length of 0 stands for what was on the wire or a jumbo option";
const BROKEN: &str = "no IP header is whole and sound";
const LYING: &str = "the IP header claims more than was on the wire";
const VENDOR: &str = "a header of one vendor lies before the IP header";

/// Captures that the analyser counts in another way: frames with IPv4 and IPv6, octets of both.
const COUNTED_OTHERWISE: &[(&str, [u64; 4], &str)] = &[
    ("tcpdump/LINKTYPE_IPV4_invalid.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/arista_ether.pcap", [16, 0, 1248, 0], VENDOR),
    ("tcpdump/bad-ipv4-version-pgm-heapoverflow.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/bigtcp-ipv6-geneve-ipv4.pcap", [0, 1, 0, 80122], NO_LENGTH),
    ("tcpdump/bigtcp-ipv6-geneve-ipv6.pcap", [0, 1, 0, 80142], NO_LENGTH),
    ("tcpdump/bigtcp-ipv6-hbh.pcap", [0, 1, 0, 80080], NO_LENGTH),
    ("tcpdump/bigtcp-ipv6-vxlan-ipv4.pcap", [0, 1, 0, 80122], NO_LENGTH),
    ("tcpdump/bigtcp-ipv6-vxlan-ipv6.pcap", [0, 1, 0, 80142], NO_LENGTH),
    ("tcpdump/bigtcp-ipv6.pcap", [0, 1, 0, 80040], NO_LENGTH),
    ("tcpdump/gre-heapoverflow-1.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/icmp-cksum-oobr-1.pcap", [1, 0, 188, 0], LYING),
    ("tcpdump/icmp-cksum-oobr-2.pcap", [1, 0, 240, 0], LYING),
    ("tcpdump/icmp-icmp_print-oobr-2.pcap", [3, 0, 129, 0], LYING),
    ("tcpdump/icmp-rfc8335-missing-bytes.pcap", [1, 0, 51, 0], LYING),
    ("tcpdump/icmp_inft_name_length_zero.pcap", [1, 0, 240, 0], LYING),
    ("tcpdump/ipv4_invalid_hdr_length.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/ipv4_invalid_length.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/ipv4_invalid_total_length.pcap", [1, 0, 84, 0], LYING),
    ("tcpdump/ipv4_invalid_total_length_2.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/ipv6-too-long-jumbo.pcap", [0, 1, 0, 476], NO_LENGTH),
    ("tcpdump/ipv6_39_byte_header.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/ipv6_frag6_negative_len.pcap", [0, 1, 0, 32882], NO_LENGTH),
    ("tcpdump/ipv6_invalid_length.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/ipv6_invalid_length_2.pcap", [0, 1, 0, 104], LYING),
    ("tcpdump/ipv6_jumbogram_1.pcap", [0, 1, 0, 65576], NO_LENGTH),
    ("tcpdump/ipv6_jumbogram_invalid_length.pcap", [0, 1, 0, 65576], NO_LENGTH),
    ("tcpdump/ipv6_missing_jumbo_payload_option.pcap", [0, 1, 0, 262130], NO_LENGTH),
    ("tcpdump/kday1.pcap", [0, 0, 0, 0], BROKEN),
    ("tcpdump/olsr-oobr-1.pcap", [4, 0, 12232, 0], LYING),
    ("PcapPlusPlus/ip4_bad_fragment.pcap", [1, 0, 42, 0], LYING),
    ("PcapPlusPlus/null_loopback.pcap", [1, 1, 44, 475], VENDOR),
    ("tcpreplay/test.pcap", [166, 10, 63030, 1492], LYING),
];
