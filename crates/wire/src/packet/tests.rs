//! Frames of every kind: whole, cut at each octet, and damaged.

use super::frames::{
    self, dccp, ethernet, extension, icmp, ipv4, ipv4_with, ipv6, mpls, plain_tcp, tcp, udp, vlan,
};
use super::*;
use record::{Field, Flow};
use std::fmt::Write;

/// What is known of a packet, in one line.
fn line(packet: &Packet<'_>) -> String {
    let mut out = String::new();
    let mut put = |args: std::fmt::Arguments<'_>| out.write_fmt(args).unwrap();
    if packet.link.src_mac.is_some() || packet.link.dst_mac.is_some() {
        let last =
            |mac: Option<Mac>| mac.map_or_else(|| "-".to_owned(), |m| (m.0 & 0xff).to_string());
        put(format_args!("mac {} {} ", last(packet.link.src_mac), last(packet.link.dst_mac)));
    }
    for tag in packet.link.vlans() {
        put(format_args!("vlan {} ", tag.id()));
    }
    for label in packet.link.labels() {
        put(format_args!("label {} ", label.label()));
    }
    if let Some(t) = &packet.tunnel {
        put(format_args!("{:?} {} {} {} ", t.kind, t.src, t.dst, t.proto));
        if let Some(id) = t.id {
            put(format_args!("{id} "));
        }
    }
    if let Some(ip) = &packet.ip {
        put(format_args!("ip {} {} {} {} ", ip.src, ip.dst, ip.proto, ip.octets));
        if let Some(f) = ip.fragment {
            put(format_args!("part {:x} {}{} ", f.id, f.offset, if f.more { "+" } else { "" }));
        }
    }
    match packet.transport {
        Transport::Absent => {}
        Transport::Tcp { src, dst, flags } => {
            let flags = flags.map_or_else(|| "-".to_owned(), |f| f.to_string());
            put(format_args!("tcp {src} {dst} {flags} "));
        }
        Transport::Ports { src, dst } => put(format_args!("ports {src} {dst} ")),
        Transport::Icmp { kind, code, .. } => put(format_args!("icmp {kind} {code} ")),
    }
    put(format_args!("payload {}", packet.payload.len()));
    if let Some(stop) = packet.stop {
        put(format_args!(" stop {} {:?} {}", stop.cause.name(), stop.layer, stop.at));
    }
    [
        ("192.0.2.1 198.51.100.2", "v4"),
        ("10.0.0.1 10.0.0.2", "inner4"),
        ("2001:db8::1 2001:db8::2", "v6"),
    ]
    .iter()
    .fold(out, |line, (addresses, name)| line.replace(addresses, name))
}

fn whole(link: LinkType, frame: &[u8], depth: Depth) -> Packet<'_> {
    decode(link, frame, frame.len() as u32, depth)
}

fn on_ethernet(frame: &[u8]) -> Packet<'_> {
    whole(LinkType::Ethernet, frame, Depth::Outer)
}

/// Octets of the packet, as the frame on the wire has them.
fn octets(packet: &Packet<'_>) -> Option<u32> {
    packet.ip.map(|ip| ip.octets)
}

fn cause(packet: &Packet<'_>) -> Option<Cause> {
    packet.stop.map(|s| s.cause)
}

#[test]
fn every_kind_of_frame_says_what_is_written_down() {
    let mut seen = String::new();
    for (name, link, frame) in frames::samples() {
        let outer = line(&whole(link, &frame, Depth::Outer));
        let inner = line(&whole(link, &frame, Depth::Innermost));
        writeln!(seen, "{name}\n  {outer}").unwrap();
        if inner != outer {
            writeln!(seen, "  > {inner}").unwrap();
        }
    }
    let mut expected = include_str!("expected.txt").lines().filter(|l| !l.starts_with('#'));
    for got in seen.lines() {
        assert_eq!(Some(got), expected.next());
    }
    assert_eq!(expected.next(), None);
}

/// How much is known: grows with the section, and never changes its mind.
fn knowledge(p: &Packet<'_>) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(p.link.dst_mac.map(|m| format!("dst {m}")));
    all.extend(p.link.src_mac.map(|m| format!("src {m}")));
    all.extend(p.link.vlans().iter().enumerate().map(|(i, t)| format!("tag {i} {t:?}")));
    all.extend(p.link.labels().iter().enumerate().map(|(i, l)| format!("label {i} {l:?}")));
    if let Some(ip) = &p.ip {
        // The protocol behind extension headers is not known before they are.
        all.push(format!("ip {} {} {} {} {}", ip.src, ip.dst, ip.octets, ip.ttl, ip.tos));
        all.extend(ip.fragment.map(|f| format!("{f:?}")));
    }
    all.extend(p.transport.ports().map(|ports| format!("{ports:?}")));
    match p.transport {
        Transport::Tcp { flags: Some(flags), .. } => all.push(format!("flags {flags}")),
        Transport::Icmp { kind, code, .. } => all.push(format!("icmp {kind} {code}")),
        _ => {}
    }
    all
}

#[test]
fn what_was_whole_before_a_cut_is_reported() {
    for (name, link, frame) in frames::samples() {
        let wire = frame.len() as u32;
        let full = decode(link, &frame, wire, Depth::Outer);
        let mut before = Vec::new();
        for len in 0..=frame.len() {
            let section = &frame[..len];
            let cut = decode(link, section, wire, Depth::Outer);
            let known = knowledge(&cut);
            // A frame in a frame has addresses of its own, known once they are whole.
            let is_replaced = |k: &String| name == "wlan-aggregate" && !k.starts_with("ip");
            let is_kept = |k| known.contains(k) || is_replaced(k);
            assert!(before.iter().all(is_kept), "{name} cut at {len}: {before:?} {known:?}");
            assert!(known.len() >= before.len(), "{name} cut at {len}: {before:?} {known:?}");
            if cut.stop.is_some_and(|s| s.cause == Cause::Truncated) {
                assert!(full.stop != cut.stop && len < frame.len(), "{name} cut at {len}");
            } else {
                // What is behind the last header is the only thing that can be missing.
                let payload = full.payload.get(..cut.payload.len()).unwrap();
                assert_eq!(cut, Packet { payload, ..full }, "{name} cut at {len}");
            }
            before = known;
        }
        assert_eq!(before, knowledge(&full), "{name}");
    }
}

#[test]
fn an_inner_packet_that_is_cut_leaves_the_outer_one() {
    for (name, link, frame) in frames::samples() {
        let wire = frame.len() as u32;
        let full = decode(link, &frame, wire, Depth::Innermost);
        for len in 0..=frame.len() {
            let section = &frame[..len];
            let outer = decode(link, section, wire, Depth::Outer);
            let inner = decode(link, section, wire, Depth::Innermost);
            match inner.tunnel {
                None => assert_eq!(
                    Packet { stop: None, ..inner },
                    Packet { stop: None, ..outer },
                    "{name} cut at {len}"
                ),
                Some(tunnel) => {
                    assert_eq!(Some(tunnel), full.tunnel, "{name} cut at {len}");
                    assert_eq!(Some((tunnel.src, tunnel.dst)), outer.ip.map(|ip| (ip.src, ip.dst)));
                }
            }
        }
    }
}

#[test]
fn each_value_appears_with_its_last_octet() {
    let frame = plain_tcp();
    let mut seen = Vec::new();
    let mut before = (0, true);
    for len in 0..=frame.len() {
        let packet = decode(LinkType::Ethernet, &frame[..len], 60, Depth::Outer);
        let now = (knowledge(&packet).len(), packet.stop.is_some());
        if now != before {
            seen.push((len, now.0));
            before = now;
        }
    }
    // Destination, source, IP header, ports, flags; and the end of the TCP header.
    assert_eq!(seen, [(6, 1), (12, 2), (34, 3), (38, 4), (48, 5), (54, 5)]);
}

#[test]
fn octets_are_those_of_the_ip_header() {
    let padded = ethernet(0x0800, &ipv4(17, &udp(53, b"x")));
    assert_eq!(padded.len(), 60);
    let packet = on_ethernet(&padded);
    assert_eq!((octets(&packet), packet.payload), (Some(29), &b"x"[..]));

    let padded = ethernet(0x86dd, &ipv6(59, &[]));
    let packet = on_ethernet(&padded);
    assert_eq!((octets(&packet), packet.payload), (Some(40), &[][..]));
}

#[test]
fn a_snapped_packet_keeps_its_length() {
    let frame = ethernet(0x0800, &ipv4(6, &tcp(&[], &[7; 1400])));
    for (wire, want) in [(1454, 1440), (5000, 1440), (1000, 986), (0, 114)] {
        let packet = decode(LinkType::Ethernet, &frame[..128], wire, Depth::Outer);
        assert_eq!(octets(&packet), Some(want), "{wire} octets on the wire");
        assert_eq!(packet.payload.len(), 74);
        assert_eq!(packet.stop, None);
    }
    // Nothing is known of the length of the frame: the header's word counts.
    let packet = decode_section(LinkType::Ethernet, &frame[..128], None, Depth::Outer);
    assert_eq!(octets(&packet), Some(1440));
}

#[test]
fn segmentation_offload_leaves_no_length() {
    let mut v4 = ethernet(0x0800, &ipv4(6, &tcp(&[], &[7; 200])));
    v4[16..18].fill(0);
    let mut v6 = ethernet(0x86dd, &ipv6(6, &tcp(&[], &[7; 200])));
    v6[18..20].fill(0);
    for frame in [&v4, &v6] {
        let ip_octets = frame.len() as u32 - 14;
        assert_eq!(octets(&on_ethernet(frame)), Some(ip_octets));
        let snapped = decode(LinkType::Ethernet, &frame[..100], 80_000, Depth::Outer);
        assert_eq!((octets(&snapped), snapped.stop), (Some(79_986), None));
        assert_eq!(snapped.transport.ports(), Some((50_000, 443)));
        let unknown = decode_section(LinkType::Ethernet, &frame[..100], None, Depth::Outer);
        assert_eq!(octets(&unknown), Some(86));
    }
}

#[test]
fn jumbograms() {
    let payload = tcp(&[], &[7; 40]);
    let mut hop_by_hop = vec![6, 0, 0xc2, 4];
    hop_by_hop.extend((80_000u32).to_be_bytes());
    for (name, options) in [
        ("first", hop_by_hop.clone()),
        ("behind padding", {
            let len = 80_000u32.to_be_bytes();
            [&[6, 1, 0, 1, 1, 9, 0, 0xc2, 4][..], &len, &[1, 1, 0]].concat()
        }),
    ] {
        let mut frame = ethernet(0x86dd, &ipv6(0, &[&options[..], &payload].concat()));
        frame[18..20].fill(0);
        let packet = decode(LinkType::Ethernet, &frame, 90_000, Depth::Outer);
        assert_eq!(octets(&packet), Some(80_040), "{name}");
        assert_eq!(packet.transport.ports(), Some((50_000, 443)), "{name}");
        let lying = decode(LinkType::Ethernet, &frame, 70_000, Depth::Outer);
        assert_eq!(octets(&lying), Some(69_986), "{name}");
        let unknown = decode_section(LinkType::Ethernet, &frame, None, Depth::Outer);
        assert_eq!(octets(&unknown), Some(frame.len() as u32 - 14), "{name}");
    }
}

#[test]
fn lengths_that_cannot_be() {
    let edit = |at: usize, value: u8| {
        let mut frame = plain_tcp();
        frame[at] = value;
        frame
    };
    for (name, frame, layer, known) in [
        ("version", edit(14, 0x55), Layer::Ipv4, 2),
        ("header of 16 octets", edit(14, 0x44), Layer::Ipv4, 2),
        ("total below header", edit(17, 19), Layer::Ipv4, 2),
        ("header behind the end", edit(14, 0x4b), Layer::Ipv4, 2),
        ("no TCP header", edit(17, 20), Layer::Transport, 3),
        ("half a TCP header", edit(17, 30), Layer::Transport, 4),
        ("TCP header of 16 octets", edit(46, 0x40), Layer::Transport, 5),
        ("TCP header behind the end", edit(46, 0xf0), Layer::Transport, 5),
    ] {
        let packet = on_ethernet(&frame);
        let stop = packet.stop.map(|s| (s.cause, s.layer));
        assert_eq!(stop, Some((Cause::Malformed, layer)), "{name}");
        assert_eq!(knowledge(&packet).len(), known, "{name}: {}", line(&packet));
    }
    let mut short = ethernet(0x0800, &ipv4(33, &dccp(&[])));
    short[38] = 2;
    assert_eq!(cause(&on_ethernet(&short)), Some(Cause::Malformed));
}

#[test]
fn a_fragment_that_holds_half_a_header_is_not_malformed() {
    let fragment = |flags, payload: &[u8]| {
        ethernet(0x0800, &ipv4_with(&[192, 0, 2, 1, 198, 51, 100, 2], 6, flags, &[], payload))
    };
    let first = fragment(0x2000, &tcp(&[], &[])[..16]);
    let packet = on_ethernet(&first);
    assert_eq!(cause(&packet), Some(Cause::Truncated));
    assert_eq!(packet.transport, Transport::Tcp { src: 50_000, dst: 443, flags: Some(0x12) });
    let only = fragment(0, &tcp(&[], &[])[..16]);
    assert_eq!(cause(&on_ethernet(&only)), Some(Cause::Malformed));
}

#[test]
fn an_inner_packet_has_its_own_length_though_its_fragment_ends() {
    let inner = frames::inner_ipv4(17, &udp(53, &[7; 1000]));
    let outer = frames::ipv4_fragment(4, 0x2000, &inner[..256]);
    let frame = ethernet(0x0800, &outer);
    let packet = whole(LinkType::Ethernet, &frame, Depth::Innermost);
    assert_eq!((octets(&packet), packet.stop), (Some(1028), None));
    // The next fragment shows nothing of the inner packet.
    let frame = ethernet(0x0800, &frames::ipv4_fragment(4, 32, &inner[256..]));
    let packet = whole(LinkType::Ethernet, &frame, Depth::Innermost);
    assert_eq!((packet.tunnel, packet.stop), (None, None));
    assert_eq!(octets(&packet), Some(792));
}

#[test]
fn stacks_are_bounded() {
    let tagged = |n: usize| {
        let inner = (1..n).fold(vlan(1, 0x0800, &ipv4(17, &udp(53, b"x"))), |inner, i| {
            vlan(i as u16, 0x8100, &inner)
        });
        ethernet(0x8100, &inner)
    };
    let four = tagged(4);
    let packet = on_ethernet(&four);
    assert_eq!((packet.link.vlans().len(), packet.stop), (4, None));
    let five = tagged(5);
    let packet = on_ethernet(&five);
    assert_eq!(packet.link.vlans().len(), MAX_VLANS);
    assert_eq!(packet.stop.map(|s| (s.cause, s.layer)), Some((Cause::TooDeep, Layer::Vlan)));

    let labelled =
        |n: u32| ethernet(0x8847, &mpls(&(0..n).collect::<Vec<_>>(), &ipv4(17, &udp(53, b"x"))));
    for (n, kept, stop) in [(10, 10, None), (16, 10, None), (17, 10, Some(Cause::TooDeep))] {
        let frame = labelled(n);
        let packet = on_ethernet(&frame);
        assert_eq!((packet.link.labels().len(), cause(&packet)), (kept, stop), "{n} labels");
        assert_eq!(packet.ip.is_some(), stop.is_none(), "{n} labels");
    }

    // Frames in pseudowires in frames.
    let nested = (0..20).fold(plain_tcp(), |inner, _| ethernet(0x8847, &mpls(&[5], &inner)));
    assert_eq!(cause(&on_ethernet(&nested)), Some(Cause::TooDeep));
    let attributes = [&[2, 0, 0, 0][..], &[4, 0, 1, 0].repeat(100)].concat();
    let packet = whole(LinkType::Nflog, &attributes, Depth::Outer);
    assert_eq!(cause(&packet), Some(Cause::TooDeep));
}

#[test]
fn captures_of_systems_with_another_byte_order() {
    let ip = ipv4(17, &udp(53, b"query"));
    for head in [[0, 0, 0, 2], [2, 0, 0, 0]] {
        let frame = [&head[..], &ip].concat();
        assert!(whole(LinkType::Null, &frame, Depth::Outer).ip.is_some(), "{head:?}");
    }
    let len = (ip.len() as u16 + 4).to_be_bytes();
    let frame = [&[2, 0, 0, 0][..], &[0, 5, 0, 10, 1, 0, 0, 0], &len, &[0, 9], &ip].concat();
    assert!(whole(LinkType::Nflog, &frame, Depth::Outer).ip.is_some());
}

/// Changes octets at random, the same on every run.
fn damaged(frame: &[u8], seed: &mut u64) -> Vec<u8> {
    let mut next = || {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed as usize
    };
    let mut out = frame.to_vec();
    for _ in 0..1 + next() % 4 {
        let at = next() % out.len();
        out[at] = match next() % 4 {
            0 => 0,
            1 => 0xff,
            2 => out[at] ^ (1 << (next() % 8)),
            _ => next() as u8,
        };
    }
    out.truncate(1 + next() % out.len());
    out
}

#[test]
fn damage_does_no_harm() {
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let mut flow = Flow::new();
    for (name, link, frame) in frames::samples() {
        for _ in 0..500 {
            let bad = damaged(&frame, &mut seed);
            for wire in [0, frame.len() as u32, u32::MAX] {
                for depth in [Depth::Outer, Depth::Innermost] {
                    let packet = decode(link, &bad, wire, depth);
                    // Inside of a fragment a packet may be as long as packets are.
                    let room = (bad.len() as u32).max(wire);
                    let room = if packet.tunnel.is_some() { room.max(0xffff) } else { room };
                    assert!(octets(&packet).is_none_or(|n| n <= room), "{name}: {bad:02x?}");
                    assert!(packet.stop.is_none_or(|s| s.at as usize <= bad.len()), "{name}");
                    assert!(
                        bad.as_ptr_range().contains(&packet.payload.as_ptr()) || {
                            packet.payload.is_empty()
                        }
                    );
                    flow.clear();
                    fill(&packet, &mut flow);
                }
            }
        }
    }
}

#[test]
fn every_cause_has_a_name_and_is_reached() {
    let mut seen = [false; Cause::ALL.len()];
    for (_, link, frame) in frames::samples() {
        for len in 0..=frame.len() {
            for wire in [len as u32, frame.len() as u32] {
                let packet = decode(link, &frame[..len], wire, Depth::Innermost);
                if let Some(cause) = cause(&packet) {
                    seen[cause as usize] = true;
                }
            }
        }
    }
    for (i, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, i);
        assert!(seen[i], "{} never", cause.name());
    }
}

#[test]
fn link_types_by_number() {
    for (of, number, want) in [
        (LinkType::from_dlt as fn(u32) -> LinkType, 1, LinkType::Ethernet),
        (LinkType::from_dlt, 101, LinkType::Raw),
        (LinkType::from_dlt, 276, LinkType::Cooked2),
        (LinkType::from_dlt, 147, LinkType::Other(147)),
        (LinkType::from_dlt, 149, LinkType::Pktap),
        (LinkType::from_dlt, 226, LinkType::Ipnet),
        (LinkType::from_dlt, 242, LinkType::Infiniband),
        (LinkType::from_dlt, 258, LinkType::Pktap),
        (LinkType::from_dlt, 281, LinkType::BroadcomTag),
        (LinkType::from_dlt, 282, LinkType::BroadcomTagFirst),
        (LinkType::from_dlt, 284, LinkType::Dsa),
        (LinkType::from_dlt, 285, LinkType::Edsa),
        (LinkType::from_sflow, 1, LinkType::Ethernet),
        (LinkType::from_sflow, 7, LinkType::Ppp),
        (LinkType::from_sflow, 11, LinkType::Ipv4),
        (LinkType::from_sflow, 12, LinkType::Ipv6),
        (LinkType::from_sflow, 13, LinkType::Mpls),
        (LinkType::from_sflow, 99, LinkType::Other(u32::MAX)),
    ] {
        assert_eq!(of(number), want, "{number}");
    }
    let from_ipfix = [0, 1, 2, 3, 4].map(LinkType::from_ipfix);
    let [ethernet, wlan, other] = [LinkType::Ethernet, LinkType::Wlan, LinkType::Other(u32::MAX)];
    assert_eq!(from_ipfix, [ethernet, ethernet, wlan, wlan, other]);
}

/// The fields of a flow and their values, for comparison.
fn fields(flow: &Flow) -> Vec<String> {
    let row = flow.as_row();
    let shape = row.shape();
    let text = |f: Field| match row.addr(f) {
        Some(addr) if f.kind() == record::Kind::Addr => format!("{f:?} {addr}"),
        _ => format!("{f:?} {}", row.u64(f).unwrap_or_default()),
    };
    shape.fields().filter(|f| !f.is_part()).map(text).collect()
}

#[test]
fn a_segment_as_a_flow() {
    let mut flow = Flow::new();
    let frame = ethernet(0x8100, &vlan(100, 0x8847, &mpls(&[77], &ipv4(6, &tcp(&[], b"hi")))));
    fill(&on_ethernet(&frame), &mut flow);
    let mpls = 77 << 4 | 1;
    assert_eq!(
        fields(&flow),
        [
            "Packets 1",
            "Bytes 42",
            "SrcPort 50000",
            "DstPort 443",
            "Proto 6",
            "TcpFlags 18",
            "SrcTos 40",
            "SrcAddr 192.0.2.1",
            "DstAddr 198.51.100.2",
            "SrcVlan 100",
            &format!("Mpls1 {mpls}"),
            &format!("InSrcMac {}", 0x0200_0000_0001u64),
            &format!("OutDstMac {}", 0x0200_0000_0002u64),
            &format!("InDstMac {}", 0x0200_0000_0002u64),
            "FragmentFlags 64",
            "MinTtl 64",
            "MaxTtl 64",
        ]
    );
}

#[test]
fn an_inner_packet_as_a_flow() {
    let (_, link, frame) = frames::samples().into_iter().find(|s| s.0 == "vxlan").unwrap();
    let mut flow = Flow::new();
    fill(&whole(link, &frame, Depth::Innermost), &mut flow);
    let got = fields(&flow);
    for want in [
        "SrcAddr 10.0.0.1",
        "DstAddr 10.0.0.2",
        "Bytes 33",
        "SrcVlan 7",
        "TunSrcAddr 192.0.2.1",
        "TunDstAddr 198.51.100.2",
        "TunProto 17",
        "VxLan 5001",
    ] {
        assert!(got.iter().any(|f| f == want), "{want}: {got:?}");
    }
}

#[test]
fn icmp_and_two_tags_as_a_flow() {
    let message = ipv4(1, &icmp(3, 1, &[0; 8]));
    let frame = ethernet(0x88a8, &vlan(100, 0x8100, &vlan(200, 0x0800, &message)));
    let mut flow = Flow::new();
    fill(&on_ethernet(&frame), &mut flow);
    let row = flow.as_row();
    let value = |field| row.u64(field);
    assert_eq!((value(Field::SrcPort), value(Field::DstPort)), (Some(0), Some(3 * 256 + 1)));
    assert_eq!((value(Field::IcmpType), value(Field::IcmpCode)), (Some(3), Some(1)));
    assert_eq!(value(Field::SrcVlan), Some(100));
    assert_eq!((value(Field::VlanId), value(Field::CustomerVlanId)), (Some(100), Some(200)));
}

#[test]
fn a_tag_of_priority_is_no_vlan() {
    let mut flow = Flow::new();
    let frame = ethernet(0x8100, &vlan(0xe000, 0x0800, &ipv4(17, &udp(53, b"x"))));
    let packet = on_ethernet(&frame);
    assert_eq!(packet.link.vlans().first().map(|t| (t.id(), t.priority())), Some((0, 7)));
    fill(&packet, &mut flow);
    assert!(!flow.has(Field::SrcVlan) && flow.has(Field::SrcAddr));
}

#[test]
fn a_later_fragment_has_no_ports() {
    let mut flow = Flow::new();
    let frame = ethernet(0x86dd, &ipv6(44, &frames::ipv6_fragment(17, 8 | 1, &[7; 24])));
    fill(&on_ethernet(&frame), &mut flow);
    assert!(!flow.has(Field::SrcPort) && !flow.has(Field::DstPort));
    assert_eq!(flow.number(Field::FragmentFlags), 0x20);
    assert_eq!(flow.number(Field::Proto), 17);
}

#[test]
fn a_section_fills_what_the_record_does_not_say() {
    let frame = plain_tcp();
    let mut flow = Flow::new();
    flow.set(Field::Bytes, 999);
    flow.set_addr(Field::SrcAddr, Addr::V4(1));
    assert_eq!(fill_from_section(LinkType::Ethernet, &frame, None, Depth::Outer, &mut flow), None);
    assert_eq!(flow.number(Field::Bytes), 999);
    assert_eq!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V4(1)));
    assert_eq!(flow.number(Field::DstPort), 443);

    flow.clear();
    let stop = fill_from_section(LinkType::Ipv4, &frame[14..36], None, Depth::Outer, &mut flow);
    assert_eq!(stop.map(|s| (s.cause, s.layer)), Some((Cause::Truncated, Layer::Transport)));
    assert_eq!(flow.number(Field::Bytes), 40);
    assert!(!flow.has(Field::DstPort) && !flow.has(Field::InSrcMac));
}

#[test]
fn payload_on_request() {
    let frame = ethernet(0x86dd, &ipv6(0, &extension(17, 0, &udp(53, b"a question"))));
    let packet = on_ethernet(&frame);
    let mut flow = Flow::new();
    fill(&packet, &mut flow);
    assert!(!flow.has(Field::InPayload));
    assert!(fill_payload(&packet, 4, &mut flow));
    assert_eq!(flow.as_row().bytes(Field::InPayload), Some(&b"a qu"[..]));
    let empty = plain_tcp();
    assert!(!fill_payload(&on_ethernet(&empty), 4, &mut flow));
}
