//! Frames made by hand, for tests, fuzz corpora and load generators.
//!
//! Each function puts one header before the octets it is given: they nest as headers do. Lengths
//! are right, checksums are 0.

use super::LinkType;

/// Addresses of the outer IPv4 header: 192.0.2.1 to 198.51.100.2.
const V4: [u8; 8] = [192, 0, 2, 1, 198, 51, 100, 2];
/// Addresses of an inner IPv4 header: 10.0.0.1 to 10.0.0.2.
const INNER_V4: [u8; 8] = [10, 0, 0, 1, 10, 0, 0, 2];

fn join(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, tail].concat()
}

fn len16(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}

/// Ethernet from 02:00:00:00:00:01 to 02:00:00:00:00:02, padded to the shortest frame.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    let mut frame = join(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, high, low], payload);
    if frame.len() < 60 {
        frame.resize(60, 0xee);
    }
    frame
}

/// What follows the type of a VLAN tag: control information and the next type.
pub fn vlan(tag: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes(), &kind.to_be_bytes(), payload].concat()
}

/// IEEE 802.3 with LLC and SNAP: give it to [`ethernet`] with its length as the type.
pub fn snap(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind.to_be_bytes(), payload].concat()
}

/// A stack of MPLS labels, the last of them marked as the bottom.
pub fn mpls(labels: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, label) in labels.iter().enumerate() {
        let bottom = u32::from(i + 1 == labels.len());
        out.extend((label << 12 | bottom << 8 | 64).to_be_bytes());
    }
    out.extend(payload);
    out
}

/// PPPoE session data and PPP.
pub fn pppoe(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let len = len16(payload.len() + 2);
    [&[0x11, 0, 0, 7], &len[..], &protocol.to_be_bytes(), payload].concat()
}

/// A MACsec tag with this control octet and a channel, before IPv4.
pub fn macsec(control: u8, payload: &[u8]) -> Vec<u8> {
    join(&[control, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0, 1, 8, 0], payload)
}

/// A network service header without metadata.
pub fn service_chain(protocol: u8, payload: &[u8]) -> Vec<u8> {
    join(&[0, 0x02, 2, protocol, 0, 0, 1, 255], payload)
}

/// IEEE 802.11: frame control, and addresses that end in 2, 1 and 3.
pub fn wlan(control: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let [a, b] = control;
    let head = [a, b, 0, 0, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 0x10, 0];
    join(&head, payload)
}

/// QoS control and the first subframe of an aggregate.
fn aggregate(payload: &[u8]) -> Vec<u8> {
    let [high, low] = len16(payload.len());
    join(&[0x80, 0, 2, 0, 0, 0, 0, 6, 2, 0, 0, 0, 0, 5, high, low], payload)
}

/// IPv4 between the outer addresses: type of service 0x28, TTL 64, don't fragment.
pub fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&V4, proto, 0x4000, &[], payload)
}

/// IPv4 between the inner addresses.
pub fn inner_ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&INNER_V4, proto, 0, &[], payload)
}

/// IPv4 with these flags and offset, and options that are a multiple of four octets.
pub fn ipv4_with(
    addresses: &[u8; 8],
    proto: u8,
    fragment: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let [l0, l1] = len16(header + payload.len());
    let [f0, f1] = fragment.to_be_bytes();
    let version = 0x40 | (header / 4) as u8;
    let head = [version, 0x28, l0, l1, 0x12, 0x34, f0, f1, 64, proto, 0, 0];
    [&head[..], addresses, options, payload].concat()
}

/// A later or first fragment of an IPv4 packet: flags and offset in units of eight octets.
pub fn ipv4_fragment(proto: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    ipv4_with(&V4, proto, fragment, &[], payload)
}

/// IPv6 from 2001:db8::1 to 2001:db8::2: traffic class 0x28, flow label 0x12345, hop limit 63.
pub fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = len16(payload.len());
    let mut head = vec![0x62, 0x81, 0x23, 0x45, l0, l1, next_header, 63];
    for last in [1, 2] {
        head.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    join(&head, payload)
}

/// An IPv6 extension header of `8 + 8 * units` octets: hop-by-hop, routing or destination options.
pub fn extension(next_header: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![next_header, units, 1, 4, 0, 0, 0, 0];
    head.resize(8 + usize::from(units) * 8, 0);
    join(&head, payload)
}

/// An IPv6 fragment header; `fragment` is offset, two reserved bits and the bit for more.
pub fn ipv6_fragment(next_header: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = fragment.to_be_bytes();
    join(&[next_header, 0, high, low, 0xca, 0xfe, 0xba, 0xbe], payload)
}

/// An authentication header with a check value of twelve octets.
pub fn authentication(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = vec![next_header, 4];
    head.resize(24, 0xaa);
    join(&head, payload)
}

/// TCP from 50000 to 443, SYN and ACK, with these options.
pub fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let offset = ((20 + options.len()) / 4) as u8;
    let head = [0xc3, 0x50, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, offset << 4, 0x12, 4, 0, 0, 0, 0, 0];
    [&head[..], options, payload].concat()
}

/// UDP or UDP-Lite to `port`.
pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = len16(8 + payload.len());
    [&[0xc3, 0x51], &port.to_be_bytes()[..], &len, &[0, 0], payload].concat()
}

/// The common header of SCTP.
pub fn sctp(payload: &[u8]) -> Vec<u8> {
    join(&[0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 0, 0, 0, 0], payload)
}

/// DCCP with long sequence numbers: 16 octets.
pub fn dccp(payload: &[u8]) -> Vec<u8> {
    join(&[0x13, 0x88, 0x13, 0x89, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1], payload)
}

/// ICMP or ICMPv6.
pub fn icmp(kind: u8, code: u8, payload: &[u8]) -> Vec<u8> {
    join(&[kind, code, 0, 0, 0, 1, 0, 2], payload)
}

/// GRE with a key and a sequence number.
pub fn gre(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    join(&[0x30, 0, high, low, 0, 0, 0, 42, 0, 0, 0, 1], payload)
}

/// GRE without any option.
pub fn bare_gre(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    join(&[0, 0, high, low], payload)
}

/// VXLAN of segment 5001.
pub fn vxlan(payload: &[u8]) -> Vec<u8> {
    join(&[8, 0, 0, 0, 0, 0x13, 0x89, 0], payload)
}

/// GENEVE of segment 5001 with one option of eight octets.
pub fn geneve(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    join(&[2, 0, high, low, 0, 0x13, 0x89, 0, 1, 2, 3, 1, 0, 0, 0, 0], payload)
}

/// GTP-U user data of tunnel endpoint 0x11223344 with a sequence number and an extension header.
pub fn gtp(payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = len16(8 + payload.len());
    let head = [0x36, 255, l0, l1, 0x11, 0x22, 0x33, 0x44, 0, 1, 0, 0x85, 1, 0x10, 9, 0];
    join(&head, payload)
}

/// ERSPAN type II, session 7: give it to [`gre`] with 0x88be.
pub fn erspan2(payload: &[u8]) -> Vec<u8> {
    join(&[0x10, 100, 0, 7, 0, 0, 0, 1], payload)
}

/// ERSPAN type III, session 7, with the optional subheader: give it to [`gre`] with 0x22eb.
pub fn erspan3(payload: &[u8]) -> Vec<u8> {
    join(&[0x20, 100, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], payload)
}

/// Linux cooked capture, version 1.
pub fn cooked1(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    join(&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, high, low], payload)
}

/// Linux cooked capture, version 2.
pub fn cooked2(kind: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    join(&[high, low, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], payload)
}

/// A netfilter log with a mark before the packet, as a little-endian system writes it.
pub fn nflog(payload: &[u8]) -> Vec<u8> {
    let [high, low] = len16(payload.len() + 4);
    join(&[2, 0, 0, 0, 5, 0, 10, 0, 0x30, 0, 0, 0, low, high, 9, 0], payload)
}

/// The packet most flows are made of: Ethernet, IPv4 and TCP.
pub fn plain_tcp() -> Vec<u8> {
    ethernet(0x0800, &ipv4(6, &tcp(&[], &[])))
}

/// A frame for each kind of header that is understood, with its name.
pub fn samples() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let mut all = over_ethernet();
    all.extend(over_other_links());
    all.extend(tunnels());
    all
}

fn over_ethernet() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let tcp4 = &ipv4(6, &tcp(&[], b"GET /"))[..];
    let udp4 = &ipv4(17, &udp(53, b"query"))[..];
    let udp6 = &ipv6(17, &udp(53, b"query"))[..];
    let routed = authentication(43, &extension(17, 1, &udp(53, b"query")));
    let chain = extension(60, 0, &extension(51, 2, &routed));
    let many =
        (0..14).fold(extension(17, 0, &udp(53, b"query")), |rest, _| extension(60, 0, &rest));
    let snapped = snap(0x0800, udp4);
    let labelled = |payload: &[u8]| mpls(&[100, 200], payload);
    let frame = ethernet(0x0800, udp4);
    [
        ("tcp", ethernet(0x0800, tcp4)),
        ("udp", frame.clone()),
        ("tcp-options", ethernet(0x0800, &ipv4(6, &tcp(&[1, 1, 1, 0], b"x")))),
        ("ip-options", {
            let ip = ipv4_with(&V4, 6, 0, &[0x94, 4, 0, 0], &tcp(&[], &[]));
            ethernet(0x0800, &ip)
        }),
        ("icmp", ethernet(0x0800, &ipv4(1, &icmp(3, 1, tcp4)))),
        ("sctp", ethernet(0x0800, &ipv4(132, &sctp(b"chunk")))),
        ("dccp", ethernet(0x0800, &ipv4(33, &dccp(b"data")))),
        ("udp-lite", ethernet(0x0800, &ipv4(136, &udp(53, b"query")))),
        ("esp", ethernet(0x0800, &ipv4(50, &[7; 40]))),
        ("fragment-first", ethernet(0x0800, &ipv4_fragment(17, 0x2000, &udp(53, &[7; 24])))),
        ("fragment-last", ethernet(0x0800, &ipv4_fragment(17, 4, &[7; 24]))),
        ("vlan", ethernet(0x8100, &vlan(0x6064, 0x0800, tcp4))),
        ("qinq", ethernet(0x88a8, &vlan(100, 0x8100, &vlan(200, 0x86dd, udp6)))),
        ("snap", ethernet(snapped.len() as u16, &snapped)),
        ("pppoe", ethernet(0x8864, &pppoe(0x21, tcp4))),
        ("mpls", ethernet(0x8847, &labelled(tcp4))),
        ("pseudowire", ethernet(0x8847, &labelled(&join(&[0; 4], &frame)))),
        ("pseudowire-bare", ethernet(0x8847, &labelled(&frame))),
        ("service-instance", ethernet(0x88e7, &join(&[0, 0, 0, 9], &frame))),
        ("port-extender", ethernet(0x893f, &join(&[0, 0, 0, 0, 0, 0, 8, 0], udp4))),
        ("macsec", ethernet(0x88e5, &macsec(0x20, udp4))),
        ("macsec-encrypted", ethernet(0x88e5, &macsec(0x2c, udp4))),
        ("metadata", ethernet(0x8909, &join(&[1, 1, 0, 1, 0, 9, 8, 0], udp4))),
        ("service-chain", ethernet(0x894f, &service_chain(1, udp4))),
        ("service-chain-ethernet", ethernet(0x894f, &service_chain(3, &frame))),
        ("ipv6", ethernet(0x86dd, udp6)),
        ("icmp6", ethernet(0x86dd, &ipv6(58, &icmp(135, 0, &[0; 16])))),
        ("ipv6-extensions", ethernet(0x86dd, &ipv6(0, &chain))),
        ("ipv6-too-many", ethernet(0x86dd, &ipv6(60, &many))),
        ("ipv6-mobility", ethernet(0x86dd, &ipv6(135, &extension(59, 0, &[])))),
        ("ipv6-first", ethernet(0x86dd, &ipv6(44, &ipv6_fragment(17, 1, &udp(53, &[7; 24]))))),
        ("ipv6-last", ethernet(0x86dd, &ipv6(44, &ipv6_fragment(17, 32, &[7; 24])))),
        ("ipv6-atomic", ethernet(0x86dd, &ipv6(44, &ipv6_fragment(17, 0, &udp(53, &[7; 24]))))),
        ("timestamp", ethernet(0xd28b, &[&[0, 1, 0, 0x10], &[7; 8][..], &[8, 0], udp4].concat())),
        (
            "timestamp-short",
            ethernet(0xd28b, &[&[0, 1, 1, 0x21], &[7; 6][..], &[0x86, 0xdd], udp6].concat()),
        ),
        ("timestamp-other", ethernet(0xd28b, &[&[0, 2, 0, 0x10], udp4].concat())),
        ("arp", ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1])),
        ("spanning-tree", ethernet(38, &[0x42, 0x42, 3, 0, 0])),
    ]
    .map(|(name, frame)| (name, LinkType::Ethernet, frame))
    .into()
}

fn over_other_links() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let udp4 = &ipv4(17, &udp(53, b"query"))[..];
    let udp6 = &ipv6(17, &udp(53, b"query"))[..];
    let mut pflog = vec![61, 2, 0, 0];
    pflog.resize(64, 0);
    vec![
        ("raw-4", LinkType::Raw, udp4.to_vec()),
        ("raw-6", LinkType::Raw, udp6.to_vec()),
        ("ipv4-only", LinkType::Ipv4, udp4.to_vec()),
        ("ipv6-only", LinkType::Ipv6, udp6.to_vec()),
        ("null-4", LinkType::Null, join(&[2, 0, 0, 0], udp4)),
        ("null-6", LinkType::Null, join(&[0, 0, 0, 30], udp6)),
        ("cooked1", LinkType::Cooked1, cooked1(0x0800, udp4)),
        ("cooked1-vlan", LinkType::Cooked1, cooked1(0x8100, &vlan(5, 0x0800, udp4))),
        ("cooked2", LinkType::Cooked2, cooked2(0x86dd, udp6)),
        ("ppp", LinkType::Ppp, join(&[0xff, 3, 0, 0x21], udp4)),
        ("ppp-short", LinkType::Ppp, join(&[0x57], udp6)),
        ("pppoe-only", LinkType::Pppoe, pppoe(0x57, udp6)),
        ("hdlc", LinkType::CiscoHdlc, join(&[0x0f, 0, 8, 0], udp4)),
        ("frame-relay", LinkType::FrameRelay, join(&[0x18, 0x41, 3, 0xcc], udp4)),
        (
            "frame-relay-snap",
            { LinkType::FrameRelay },
            join(&[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 0x86, 0xdd], udp6),
        ),
        ("frame-relay-cisco", LinkType::FrameRelay, join(&[0x18, 0x41, 8, 0], udp4)),
        ("mpls-only", LinkType::Mpls, mpls(&[16, 17, 18], udp6)),
        ("llc", LinkType::Llc, snap(0x0800, udp4)),
        ("wlan", LinkType::Wlan, wlan([0x88, 1], &[&[0, 0], &snap(0x0800, udp4)[..]].concat())),
        ("wlan-down", LinkType::Wlan, wlan([8, 2], &snap(0x86dd, udp6))),
        (
            "wlan-mesh",
            LinkType::Wlan,
            wlan([8, 3], &join(&[2, 0, 0, 0, 0, 4], &snap(0x0800, udp4))),
        ),
        ("wlan-aggregate", LinkType::Wlan, wlan([0x88, 1], &aggregate(&snap(0x0800, udp4)))),
        ("wlan-encrypted", LinkType::Wlan, wlan([8, 0x41], &[7; 60])),
        (
            "radiotap",
            LinkType::Radiotap,
            join(&[0, 0, 12, 0, 0, 0, 0, 0, 1, 2, 3, 4], &wlan([8, 0], &snap(0x0800, udp4))),
        ),
        ("pflog", LinkType::Pflog, join(&pflog, udp4)),
        ("nflog", LinkType::Nflog, nflog(udp6)),
        ("unknown-link", LinkType::Other(147), udp4.to_vec()),
        ("infiniband", LinkType::Infiniband, join(&[&[7; 40][..], &[8, 0, 0, 0]].concat(), udp4)),
        ("ipnet-4", LinkType::Ipnet, ipnet(2, udp4)),
        ("ipnet-6", LinkType::Ipnet, ipnet(26, udp6)),
        ("pktap", LinkType::Pktap, pktap(1, &ethernet(0x0800, udp4))),
        ("pktap-null", LinkType::Pktap, pktap(0, &join(&[30, 0, 0, 0], udp6))),
        ("pktap-unknown", LinkType::Pktap, pktap(147, udp4)),
    ]
    .into_iter()
    .chain(over_switches())
    .collect()
}

fn over_switches() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let udp4 = &ipv4(17, &udp(53, b"query"))[..];
    let addresses = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let tagged =
        |tag: &[u8], kind: [u8; 2], payload: &[u8]| [&addresses[..], tag, &kind, payload].concat();
    let vlan = vlan(5, 0x0800, udp4);
    let frame = ethernet(0x0800, udp4);
    vec![
        ("dsa", LinkType::Dsa, tagged(&[0xc0, 0x0a, 0, 9], [8, 0], udp4)),
        ("dsa-tagged", LinkType::Dsa, tagged(&[0xe0, 0x0b, 0x70, 9], [8, 0], udp4)),
        ("dsa-vlan", LinkType::Dsa, tagged(&[0xc0, 0x0a, 0, 0], [0x81, 0], &vlan)),
        (
            "edsa-tagged",
            LinkType::Edsa,
            tagged(&[0xda, 0xda, 0, 0, 0x20, 0x0a, 0, 100], [8, 0], udp4),
        ),
        ("broadcom", LinkType::BroadcomTag, tagged(&[0, 0, 0x20, 5], [8, 0], udp4)),
        ("broadcom-first", LinkType::BroadcomTagFirst, join(&[0, 0, 0x20, 5], &frame)),
    ]
}

fn ipnet(family: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 24];
    header[..2].copy_from_slice(&[1, family]);
    join(&header, payload)
}

fn pktap(link: u8, frame: &[u8]) -> Vec<u8> {
    let mut header = [0; 108];
    header[..12].copy_from_slice(&[108, 0, 0, 0, 1, 0, 0, 0, link, 0, 0, 0]);
    join(&header, frame)
}

fn tunnels() -> Vec<(&'static str, LinkType, Vec<u8>)> {
    let inner4 = &inner_ipv4(17, &udp(53, b"query"))[..];
    let udp6 = &ipv6(17, &udp(53, b"query"))[..];
    let frame = &ethernet(0x8100, &vlan(7, 0x0800, inner4))[..];
    let nested = ipv4(4, &inner_ipv4(47, &bare_gre(0x86dd, udp6)));
    let deep = (0..6).fold(inner4.to_vec(), |inner, _| ipv4(4, &inner));
    let pptp = [0x30, 1, 0x88, 0x0b, 0, 9, 0, 5, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    [
        ("ipip", ipv4(4, inner4)),
        ("6in4", ipv4(41, udp6)),
        ("4in6", ipv6(4, inner4)),
        ("gre", ipv4(47, &gre(0x0800, inner4))),
        ("gre-bare", ipv6(47, &bare_gre(0x86dd, udp6))),
        ("gre-ethernet", ipv4(47, &gre(0x6558, frame))),
        ("gre-mpls", ipv4(47, &bare_gre(0x8847, &mpls(&[300], inner4)))),
        ("gre-wccp", ipv4(47, &bare_gre(0x883e, &join(&[0; 4], inner4)))),
        ("gre-pptp", ipv4(47, &join(&pptp, inner4))),
        ("etherip", ipv4(97, &join(&[0x30, 0], frame))),
        ("segment-routing", ipv6(143, frame)),
        ("mpls-in-ip", ipv4(137, &mpls(&[300], inner4))),
        ("mpls-in-udp", ipv4(17, &udp(6635, &mpls(&[300], inner4)))),
        ("vxlan", ipv4(17, &udp(4789, &vxlan(frame)))),
        ("vxlan-other", ipv4(17, &udp(4789, &[0; 60]))),
        ("vxlan-arp", ipv4(17, &udp(4789, &vxlan(&ethernet(0x0806, &[0; 28]))))),
        ("vxlan-gpe", ipv4(17, &udp(4790, &join(&[0x0c, 0, 0, 1, 0, 0, 9, 0], inner4)))),
        ("geneve", ipv6(17, &udp(6081, &geneve(0x6558, frame)))),
        ("geneve-ip", ipv6(17, &udp(6081, &geneve(0x0800, inner4)))),
        ("gtp", ipv4(17, &udp(2152, &gtp(inner4)))),
        ("erspan1", ipv4(47, &bare_gre(0x88be, frame))),
        ("erspan2", ipv4(47, &gre(0x88be, &erspan2(frame)))),
        ("erspan3", ipv4(47, &gre(0x22eb, &erspan3(frame)))),
        ("nested", nested),
        ("tunnels-too-deep", deep),
    ]
    .map(|(name, ip)| {
        let kind = if ip.first().is_some_and(|v| v >> 4 == 6) { 0x86dd } else { 0x0800 };
        (name, LinkType::Ethernet, ethernet(kind, &ip))
    })
    .into()
}
