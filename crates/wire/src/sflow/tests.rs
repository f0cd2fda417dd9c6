//! Tests of whole datagrams.

use super::*;
use crate::packet::frames::plain_tcp;
use crate::testing::{
    Collect, Record, SflowBuilder, SflowRecord, SflowSample, extended_gateway, extended_router,
    extended_switch, if_counters, sampled_header, sampled_header_v4,
};
use crate::{Config, Counters, DefaultSampling, Limits};
use ::record::{Flow, InterfaceCounters};

const PEER: Addr = Addr::V4(0xc000_0201);
const AGENT: Addr = Addr::V4(0x0a00_0009);
const NOW_MS: u64 = 1_795_000_000_000;
const HEADER: Header = Header {
    version: 5,
    agent: Some(AGENT),
    sub_agent: 3,
    sequence: 70,
    uptime_ms: 900_000,
    samples: 0,
};
const SAMPLE: SflowSample = SflowSample {
    sequence: 500,
    source: (0, 12),
    rate: 100,
    drops: 0,
    input: (0, 12),
    output: (0, 13),
};

fn decode_with(config: Config, datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
    let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
    for datagram in datagrams {
        decoder.decode(PEER, NOW_MS, datagram, &mut sink);
    }
    (decoder, sink)
}

fn decode(datagrams: &[Vec<u8>]) -> (Decoder, Collect) {
    decode_with(Config::default(), datagrams)
}

/// The flow of a sample with these records.
fn flow(records: &[SflowRecord]) -> (Flow, Counters) {
    let datagram = SflowBuilder::new(HEADER).flow(SAMPLE, records).build();
    let (decoder, mut sink) = decode(&[datagram]);
    assert_eq!(sink.flows.len(), 1);
    (sink.flows.remove(0), *decoder.counters())
}

fn number(flow: &Flow, field: Field) -> Option<u64> {
    flow.as_row().u64(field)
}

fn address(flow: &Flow, field: Field) -> Option<Addr> {
    flow.as_row().addr(field)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn tcp() -> SflowRecord {
    sampled_header(1, 1000, 4, &plain_tcp())
}

/// What an agent tells of an IPv4 packet in place of its octets.
fn ipv4(tag: u32, proto: u32, ports: [u32; 2]) -> SflowRecord {
    (tag, words(&[600, proto, 0x0a00_0001, 0x0a00_0002, ports[0], ports[1], 0x12, 0x28]))
}

fn interface() -> InterfaceSample {
    let counters = |n: u32| InterfaceCounters {
        octets: u64::from(n) << 33,
        unicast: n + 1,
        multicast: n + 2,
        broadcast: n + 3,
        discards: n + 4,
        errors: n + 5,
    };
    InterfaceSample {
        time_ms: NOW_MS,
        exporter: 1,
        agent: AGENT,
        index: 12,
        kind: 6,
        speed: 100_000_000_000,
        direction: 1,
        status: 3,
        input: counters(10),
        output: counters(30),
        unknown_protos: 7,
        is_promiscuous: true,
    }
}

/// A datagram with every kind of sample and record that is read.
fn rich() -> SflowBuilder {
    let v6 = Some(Addr::V6(0x2001_0db8 << 96 | 7));
    SflowBuilder::new(HEADER)
        .flow(
            SAMPLE,
            &[
                tcp(),
                extended_switch(10, 20),
                extended_router(v6, 48, 64),
                extended_gateway(Some(AGENT), (64_500, 64_501), &[64_502, 64_503]),
                (1006, Record::new().sflow_addr(v6).octets(&words(&[1, 0x0001_0140, 0])).build()),
                (1007, Record::new().sflow_addr(Some(AGENT)).sflow_addr(Some(PEER)).build()),
                (1020, words(&[1025, 80])),
                (1012, words(&[1, 0x8100_0005])),
                ipv4(1024, 47, [0, 0]),
                (1030, words(&[5000])),
                (1004, Record::new().number(0, 4).opaque(b"user").build()),
                (4300 << 12 | 7, vec![1; 5]),
            ],
        )
        .counters(
            9,
            12,
            &[
                if_counters(&interface()),
                (2, vec![0; 52]),
                (1005, Record::new().opaque(b"ge-0/0/1").build()),
            ],
        )
        .expanded_flow(SAMPLE, &[(2, vec![7; 24]), ipv4(3, 6, [1024, 443])])
        .sample(4, &[&words(&[1, 0, 77, 1, 5, 28])[..], &[0; 28]].concat())
        .sample(5, &[0; 40])
        .sample(4300 << 12 | 1002, &[1; 7])
}

fn rich_v4(version: u32) -> SflowBuilder {
    let gateway = if version == 2 {
        words(&[1, 64_500, 64_501, 2, 64_502, 64_503])
    } else {
        words(&[1, 64_500, 64_501, 1, 2, 2, 64_502, 64_503, 2, 7, 8, 100])
    };
    let (_, counters) = if_counters(&interface());
    let ethernet = [&counters[..], &[0; 52]].concat();
    SflowBuilder::new(Header { version, ..HEADER })
        .flow_v4(
            SAMPLE,
            sampled_header_v4(1, 1000, &plain_tcp()[..57]),
            &[
                (1, extended_switch(10, 20).1),
                (2, extended_router(Some(AGENT), 24, 25).1),
                (3, gateway),
                (4, Record::new().opaque(b"alice").opaque(b"bob").build()),
                (5, Record::new().number(1, 4).opaque(b"http://example.org/").build()),
            ],
        )
        .counters_v4(3, 12, 1, &counters)
        .counters_v4(4, 12, 2, &ethernet)
        .counters_v4(5, 12, 7, &[0; 28])
        .flow_v4(SflowSample { sequence: 501, ..SAMPLE }, (2, ipv4(3, 17, [53, 1024]).1), &[])
}

#[test]
fn a_packet_and_what_is_known_of_it() {
    let (decoder, sink) = decode(&[rich().build()]);
    let flow = &sink.flows[0];
    for (field, want) in [
        (Field::Packets, 100),
        (Field::Bytes, 100_000),
        (Field::Proto, 6),
        (Field::SrcPort, 50_000),
        (Field::DstPort, 443),
        (Field::TcpFlags, 0x12),
        (Field::SrcTos, 0x28),
        (Field::First, NOW_MS),
        (Field::Last, NOW_MS),
        (Field::Received, NOW_MS),
        (Field::Input, 12),
        (Field::Output, 13),
        (Field::SrcMask, 48),
        (Field::DstMask, 64),
        (Field::SrcVlan, 10),
        (Field::DstVlan, 20),
        (Field::SrcAs, 64_500),
        (Field::DstAs, 64_503),
        (Field::PrevAs, 64_501),
        (Field::NextAs, 64_502),
        (Field::Mpls1, 0x0101),
        (Field::XlateSrcPort, 1025),
        (Field::XlateDstPort, 80),
        (Field::TunProto, 47),
        (Field::VxLan, 5000),
        (Field::InSrcMac, 0x0200_0000_0001),
        (Field::OutDstMac, 0x0200_0000_0002),
        (Field::RecordFlags, u64::from(record_flags::SAMPLED)),
        (Field::Source, 0x85),
        (Field::ExporterId, 1),
        (Field::EngineType, 0),
    ] {
        assert_eq!(number(flow, field), Some(want), "{field:?}");
    }
    for (field, want) in [
        (Field::SrcAddr, Addr::V4(0xc000_0201)),
        (Field::DstAddr, Addr::V4(0xc633_6402)),
        (Field::NextHop, Addr::V6(0x2001_0db8 << 96 | 7)),
        (Field::BgpNextHop, AGENT),
        (Field::Router, PEER),
        (Field::XlateSrcAddr, AGENT),
        (Field::XlateDstAddr, PEER),
        (Field::TunSrcAddr, Addr::V4(0x0a00_0001)),
        (Field::TunDstAddr, Addr::V4(0x0a00_0002)),
    ] {
        assert_eq!(address(flow, field), Some(want), "{field:?}");
    }
    assert_eq!(sink.interfaces, [interface()]);
    assert_eq!(sink.names, [(1, NameTable::Interface, 12, "ge-0/0/1".to_owned())]);
    let exporter = sink.exporters[0];
    assert_eq!((exporter.version, exporter.addr, exporter.id), (9999, PEER, 3));
    let c = decoder.counters();
    assert_eq!((c.sflow_flow_samples, c.sflow_counter_samples, c.sflow_other_samples), (2, 2, 2));
    assert_eq!((c.sflow_records_skipped, c.sflow_records_unknown), (3, 1));
    assert_eq!((c.sflow_bad_records, c.sflow_odd_lengths, c.bad_datagrams), (0, 0, 0));
    let unknown: Vec<_> = decoder.sflow_structures().filter(|s| s.name.is_none()).collect();
    assert_eq!(unknown.iter().map(ToString::to_string).collect::<Vec<_>>(), ["sFlow 4300:7"]);
}

#[test]
fn older_versions() {
    for version in [2, 4] {
        let (decoder, sink) = decode(&[rich_v4(version).build()]);
        let flow = &sink.flows[0];
        for (field, want) in [
            (Field::Packets, 100),
            (Field::Bytes, 100_000),
            (Field::DstPort, 443),
            (Field::SrcVlan, 10),
            (Field::DstVlan, 20),
            (Field::DstMask, 25),
            (Field::SrcAs, 64_500),
            (Field::DstAs, 64_503),
            (Field::PrevAs, 64_501),
            (Field::NextAs, 64_502),
            (Field::Source, 0x80 | u64::from(version)),
        ] {
            assert_eq!(number(flow, field), Some(want), "version {version}, {field:?}");
        }
        assert_eq!(address(flow, Field::NextHop), Some(AGENT));
        assert_eq!(address(flow, Field::BgpNextHop), None);
        assert_eq!(number(&sink.flows[1], Field::DstPort), Some(1024));
        assert_eq!(sink.interfaces, [interface(), interface()]);
        assert_eq!(sink.exporters[0].id, 0, "there are no sub-agents");
        let c = decoder.counters();
        assert_eq!((c.flows, c.sflow_counter_samples, c.bad_datagrams), (2, 3, 0));
        assert_eq!((c.sflow_records_skipped, c.trailing_bytes), (3, 0));
    }
}

#[test]
fn a_sample_without_octets_of_the_packet() {
    for (name, records, want, count) in [
        (
            "IPv4",
            vec![ipv4(3, 6, [1024, 443])],
            [Some(60_000), Some(6), Some(443), Some(0x12)],
            [0, 0],
        ),
        (
            "UDP has no flags",
            vec![ipv4(3, 17, [53, 54])],
            [Some(60_000), Some(17), Some(54), None],
            [0, 0],
        ),
        (
            "ICMP, type and code",
            vec![ipv4(3, 1, [3, 1])],
            [Some(60_000), Some(1), Some(0x0301), None],
            [0, 0],
        ),
        (
            "ICMP, type in the destination",
            vec![ipv4(3, 1, [0, 8])],
            [Some(60_000), Some(1), Some(0x0800), None],
            [0, 0],
        ),
        (
            "ICMP, both in the destination",
            vec![ipv4(3, 1, [0, 0x0301])],
            [Some(60_000), Some(1), Some(0x0301), None],
            [0, 0],
        ),
        (
            "Ethernet",
            vec![(2, words(&[64, 1, 2, 3, 4, 0x0806]))],
            [Some(6400), None, None, None],
            [1, 0],
        ),
        ("a tunnel only", vec![ipv4(1023, 47, [0, 0])], [Some(0), Some(47), Some(0), None], [0, 1]),
        ("nothing", vec![extended_switch(1, 2)], [Some(0), None, None, None], [0, 1]),
        ("not even a record", vec![], [Some(0), None, None, None], [0, 1]),
    ] {
        let (flow, c) = flow(&records);
        let fields = [Field::Bytes, Field::Proto, Field::DstPort, Field::TcpFlags];
        assert_eq!(fields.map(|f| number(&flow, f)), want, "{name}");
        assert_eq!([c.sflow_not_ip, c.sflow_without_packet], count, "{name}");
        assert_eq!(number(&flow, Field::Packets), Some(100), "{name}");
    }
    let v6 = [words(&[600, 58]), vec![9; 32], words(&[128, 0, 0, 0])].concat();
    let (flow, _) = flow(&[(4, v6)]);
    assert_eq!(address(&flow, Field::DstAddr), Some(Addr::V6(u128::from_be_bytes([9; 16]))));
    assert_eq!(number(&flow, Field::DstPort), Some(128 << 8));
}

#[test]
fn packets_that_cannot_be_read_are_flows_of_what_is_known() {
    let mut arp = plain_tcp();
    arp[12..14].copy_from_slice(&[8, 6]);
    let frame = plain_tcp();
    for (name, record, want) in [
        ("whole", tcp(), [0, 0, 0]),
        ("ARP", sampled_header(1, 64, 4, &arp), [1, 0, 0]),
        ("cut before the ports", sampled_header(1, 1000, 4, &frame[..34]), [0, 1, 0]),
        ("cut before the addresses", sampled_header(1, 1000, 4, &frame[..20]), [0, 1, 0]),
        ("no octets", sampled_header(1, 1000, 4, &[]), [0, 1, 0]),
        ("a link nobody knows", sampled_header(99, 1000, 0, &frame), [0, 0, 1]),
        ("no IP header where one should be", sampled_header(11, 1000, 0, &frame), [0, 0, 1]),
    ] {
        let (flow, c) = flow(&[record]);
        let counts = [c.sflow_not_ip, c.sflow_cut_packets, c.sflow_bad_packets];
        assert_eq!(counts, want, "{name}");
        assert!(number(&flow, Field::Bytes) >= Some(6400), "{name}");
        assert_eq!((c.flows, c.bad_datagrams), (1, 0), "{name}");
    }
}

#[test]
fn the_first_of_two_records_counts_and_octets_come_before_words() {
    let (flow, _) =
        flow(&[ipv4(3, 17, [1, 2]), extended_switch(1, 2), tcp(), extended_switch(3, 4)]);
    assert_eq!(number(&flow, Field::Proto), Some(6));
    assert_eq!(number(&flow, Field::Bytes), Some(100_000));
    assert_eq!(number(&flow, Field::SrcVlan), Some(1));
}

#[test]
fn numbers_too_wide_for_their_field_are_left_out() {
    let (flow, c) = flow(&[tcp(), extended_router(None, 300, 24), (1020, words(&[70_000, 80]))]);
    assert_eq!((number(&flow, Field::SrcMask), number(&flow, Field::DstMask)), (None, Some(24)));
    assert_eq!(number(&flow, Field::XlateSrcPort), None);
    assert_eq!(address(&flow, Field::NextHop), None);
    assert_eq!(c.wide_values, 2);
}

#[test]
fn paths() {
    let gateway = |segments: &[&[u32]]| {
        let mut path = vec![segments.len() as u32];
        for s in segments {
            path.extend([2, s.len() as u32]);
            path.extend(*s);
        }
        let head = Record::new().sflow_addr(None).octets(&words(&[1, 2, 3]));
        (1003, head.octets(&words(&path)).octets(&words(&[0, 100])).build())
    };
    for (name, segments, want) in [
        ("local", &[][..], (0, 0)),
        ("one", &[&[7][..]], (7, 7)),
        ("a sequence and a set", &[&[7, 8], &[9, 10]], (7, 10)),
        ("an empty set behind", &[&[7, 8], &[]], (7, 8)),
    ] {
        let (flow, c) = flow(&[gateway(segments)]);
        let ours = (flow.number(Field::NextAs), flow.number(Field::DstAs));
        assert_eq!((ours, c.sflow_bad_records), (want, 0), "{name}");
    }
}

#[test]
fn packets_that_were_dropped_or_went_to_many_ports() {
    for (output, index, status) in
        [((1, 258), 0, Some(129)), ((2, 7), 1 << 31 | 7, None), ((0, 5), 5, None)]
    {
        let sample = SflowSample { output, ..SAMPLE };
        let datagram =
            SflowBuilder::new(HEADER).flow(sample, &[tcp()]).expanded_flow(sample, &[tcp()]);
        let (_, sink) = decode(&[datagram.build()]);
        for flow in &sink.flows {
            let ours = (number(flow, Field::Output), number(flow, Field::FwdStatus));
            assert_eq!(ours, (Some(index), status), "{output:?}");
        }
    }
}

#[test]
fn tunnels_are_opened_on_request() {
    // The packet of `plain_tcp` inside IPv4 inside Ethernet.
    let inner = &plain_tcp()[14..54];
    let mut frame = plain_tcp()[..34].to_vec();
    frame[16..18].copy_from_slice(&60u16.to_be_bytes());
    frame[23] = 4;
    frame[26..30].copy_from_slice(&[10, 9, 9, 9]);
    frame.extend(inner);
    let datagram =
        SflowBuilder::new(HEADER).flow(SAMPLE, &[sampled_header(1, 1000, 4, &frame)]).build();
    for (decode_tunnels, proto, outer) in [(false, 4, None), (true, 6, Some(Addr::V4(0x0a09_0909)))]
    {
        let config = Config { decode_tunnels, ..Config::default() };
        let (_, sink) = decode_with(config, std::slice::from_ref(&datagram));
        assert_eq!(number(&sink.flows[0], Field::Proto), Some(proto));
        assert_eq!(address(&sink.flows[0], Field::TunSrcAddr), outer);
        assert_eq!(number(&sink.flows[0], Field::Bytes), Some(100_000));
    }
}

#[test]
fn rates_of_agents_and_operators() {
    let datagram = |rate| SflowBuilder::new(HEADER).flow(SflowSample { rate, ..SAMPLE }, &[tcp()]);
    for (given, rate, want) in [
        (None, 100, 100),
        (None, 1, 1),
        (None, 0, 1),
        (Some(DefaultSampling::Otherwise(7)), 100, 100),
        (Some(DefaultSampling::Otherwise(7)), 0, 7),
        (Some(DefaultSampling::Override(7)), 100, 7),
        (None, u32::MAX, u64::from(u32::MAX)),
    ] {
        let config = Config { default_sampling: given, ..Config::default() };
        let (_, sink) = decode_with(config, &[datagram(rate).build()]);
        let flow = &sink.flows[0];
        assert_eq!(number(flow, Field::Packets), Some(want), "{given:?} {rate}");
        assert_eq!(number(flow, Field::Bytes), Some(want * 1000), "{given:?} {rate}");
        assert_eq!(number(flow, Field::RecordFlags), Some(u64::from(record_flags::SAMPLED)));
    }
}

#[test]
fn samplers_are_told_once() {
    let sample = |index, rate| SflowSample { source: (0, index), rate, ..SAMPLE };
    let mut datagram = SflowBuilder::new(HEADER);
    for (index, rate) in
        [(1, 100), (2, 100), (3, 400), (3, 400), (1, 100), (3, 100), (3, 100), (2, 50)]
    {
        datagram = datagram.flow(sample(index, rate), &[tcp()]);
    }
    let (_, sink) = decode(&[datagram.build()]);
    let told: Vec<_> = sink.samplers.iter().map(|s| (s.id, s.space_interval)).collect();
    assert_eq!(told, [(Sampler::GENERIC, 99), (3, 399), (3, 99), (2, 49)]);
}

#[test]
fn missing_datagrams_samples_and_drops_are_counted() {
    let datagram = |sequence, sample, drops| {
        let header = Header { sequence, ..HEADER };
        let sample = SflowSample { sequence: sample, drops, ..SAMPLE };
        SflowBuilder::new(header).flow(sample, &[tcp()]).build()
    };
    let all = [
        datagram(70, 500, 40),
        datagram(73, 506, 41),
        datagram(73, 506, 41),
        datagram(72, 505, 41),
        datagram(74, 507, 44),
    ];
    let (mut decoder, _) = decode(&all);
    let c = *decoder.counters();
    assert_eq!((c.lost_datagrams, c.reordered, c.duplicates), (1, 1, 1));
    assert_eq!((c.sflow_lost_samples, c.sflow_drops), (4, 4));
    let slots = decoder.take_slots();
    assert_eq!(slots[0].counts.samples_dropped, 4);
    // Six were missing before the seventh came; one of them was late.
    assert_eq!((slots[0].counts.missing_samples, slots[0].counts.recovered_samples), (5, 1));
    assert_eq!(slots[0].counts.lost_datagrams(), 1);
}

#[test]
fn a_restart_is_no_loss() {
    let datagram = |sequence, uptime_ms, sample, drops| {
        let header = Header { sequence, uptime_ms, ..HEADER };
        let sample = SflowSample { sequence: sample, drops, ..SAMPLE };
        SflowBuilder::new(header).flow(sample, &[tcp()]).build()
    };
    let all =
        [datagram(70, 900_000, 500, 40), datagram(75, 1000, 900, 70), datagram(76, 2000, 901, 70)];
    let c = *decode(&all).0.counters();
    assert_eq!((c.restarts, c.lost_datagrams, c.sflow_lost_samples, c.sflow_drops), (1, 0, 0, 0));
}

#[test]
fn agents_behind_one_sender_are_told_apart() {
    let agents = [(AGENT, 3), (AGENT, 4), (Addr::V4(7), 3), (Addr::V6(7), 3), (AGENT, 3)];
    let all = agents.map(|(agent, sub_agent)| {
        let header = Header { agent: Some(agent), sub_agent, ..HEADER };
        SflowBuilder::new(header).flow(SAMPLE, &[tcp()]).build()
    });
    let (decoder, sink) = decode(&all);
    let exporters: Vec<_> = sink.flows.iter().map(|f| f.number(Field::ExporterId)).collect();
    assert_eq!(exporters, [1, 2, 3, 4, 1]);
    assert!(sink.exporters.iter().all(|e| e.addr == PEER));
    assert_eq!(decoder.counters().duplicates, 1);
    // An agent that writes its IPv4 address as IPv6 is the same (RFC 4291, 2.5.5.2).
    let mapped = [Addr::V4(7), Addr::V6(0xffff_0000_0007)].map(|agent| {
        SflowBuilder::new(Header { agent: Some(agent), ..HEADER }).flow(SAMPLE, &[tcp()]).build()
    });
    assert_eq!(decode(&mapped).1.exporters.len(), 1);
    let nameless = SflowBuilder::new(Header { agent: None, ..HEADER }).flow(SAMPLE, &[tcp()]);
    assert_eq!(decode(&[nameless.build()]).1.flows.len(), 1);
}

#[test]
fn data_sources_are_bounded() {
    let mut datagram = SflowBuilder::new(HEADER);
    for index in 0..10 {
        datagram = datagram.flow(SflowSample { source: (0, index), ..SAMPLE }, &[]);
    }
    let limits = Limits { samplers_per_exporter: 4, ..Limits::default() };
    let (decoder, sink) = decode_with(Config { limits, ..Config::default() }, &[datagram.build()]);
    assert_eq!((sink.flows.len(), decoder.counters().sflow_sources_untracked), (10, 6));
}

/// Lengths and counts that lie, in place of each word of a datagram.
#[test]
fn lying_numbers_are_survived() {
    for datagram in [rich().build(), rich_v4(4).build(), rich_v4(2).build()] {
        let whole = decode(std::slice::from_ref(&datagram)).1.flows.len();
        for at in (4..datagram.len() - 3).step_by(4) {
            for lie in [0, 1, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, u32::MAX] {
                let mut datagram = datagram.clone();
                datagram[at..at + 4].copy_from_slice(&u32::to_be_bytes(lie));
                let (decoder, sink) = decode(&[datagram]);
                assert_eq!(decoder.counters().flows as usize, sink.flows.len());
                // A length may make a sample of the octets of another.
                assert!(sink.flows.len() <= whole + 1, "{lie} at {at}");
            }
        }
    }
}

/// A datagram cut at any octet has a fault, and delivers what was whole.
#[test]
fn cut_at_every_octet() {
    for (name, datagram) in
        [("5", rich().build()), ("4", rich_v4(4).build()), ("2", rich_v4(2).build())]
    {
        let (mut flows, mut interfaces) = (0, 0);
        for len in 0..datagram.len() {
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            let outcome = decoder.decode(PEER, NOW_MS, &datagram[..len], &mut sink);
            assert!(outcome.is_bad(), "version {name} cut at {len}");
            let (more_flows, more) = (sink.flows.len(), sink.interfaces.len());
            assert!(more_flows >= flows && more >= interfaces, "version {name} cut at {len}");
            (flows, interfaces) = (more_flows, more);
        }
        assert_eq!(flows, 2, "version {name}");
    }
}

#[test]
fn more_samples_than_there_are() {
    let base = SflowBuilder::new(HEADER).flow(SAMPLE, &[tcp()]);
    for claim in [2, 1000, u32::MAX] {
        let (decoder, sink) = decode(&[base.clone().claim(claim).build()]);
        assert_eq!((sink.flows.len(), decoder.counters().truncated_messages), (1, 1));
        assert_eq!(decoder.counters().bad_datagrams, 1);
    }
    let (decoder, sink) = decode(&[base.claim(0).build()]);
    assert_eq!((sink.flows.len(), decoder.counters().bad_datagrams), (0, 0));
    assert!(decoder.counters().trailing_bytes > 100);
}

#[test]
fn samples_of_odd_lengths() {
    let (sample, whole) = {
        let datagram =
            SflowBuilder::new(HEADER).flow(SAMPLE, &[tcp(), extended_switch(7, 8)]).build();
        (datagram[36..].to_vec(), datagram)
    };
    assert_eq!(decode(&[whole]).0.counters().sflow_odd_lengths, 0);
    let next = |b: SflowBuilder| b.flow(SflowSample { sequence: 501, ..SAMPLE }, &[tcp()]).build();
    let padded = [&sample[..], &[0; 8]].concat();
    for (name, datagram) in [
        ("padding", next(SflowBuilder::new(HEADER).sample(FLOW_SAMPLE, &padded))),
        ("too short", {
            let mut short = SflowBuilder::new(HEADER).sample(FLOW_SAMPLE, &sample).build();
            let len = sample.len() as u32 - 4;
            short[32..36].copy_from_slice(&len.to_be_bytes());
            next(SflowBuilder::new(HEADER).raw(&short[28..]))
        }),
    ] {
        let (decoder, sink) = decode(&[datagram]);
        assert_eq!(sink.flows.len(), 2, "{name}");
        assert_eq!(number(&sink.flows[0], Field::DstVlan), Some(8), "{name}");
        let c = decoder.counters();
        assert_eq!((c.sflow_odd_lengths, c.bad_datagrams), (1, 0), "{name}");
    }
}

#[test]
fn malformed_records_are_left_out_and_counted() {
    let short = (1002, vec![0; 8]);
    let strange = (1002, words(&[3, 1, 2, 3]));
    for (name, record) in [("short", short), ("an address of no known type", strange)] {
        let (flow, c) = flow(&[record, tcp(), extended_switch(7, 8)]);
        assert_eq!(number(&flow, Field::SrcMask), None, "{name}");
        assert_eq!(number(&flow, Field::SrcVlan), Some(7), "{name}");
        assert_eq!((c.sflow_bad_records, c.bad_datagrams), (1, 0), "{name}");
    }
    let datagram = SflowBuilder::new(HEADER).counters(1, 2, &[(1, vec![0; 80])]).build();
    let (decoder, sink) = decode(&[datagram]);
    assert_eq!((sink.interfaces.len(), decoder.counters().sflow_bad_records), (0, 1));
}

#[test]
fn damaged_datagrams_are_survived() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize
    };
    let config = Config { decode_tunnels: true, ..Config::default() };
    let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
    for sample in [rich().build(), rich_v4(4).build(), rich_v4(2).build()] {
        for _ in 0..5000 {
            let mut damaged = sample.clone();
            for _ in 0..1 + next() % 4 {
                let at = 4 + next() % (damaged.len() - 4);
                damaged[at] = [0, 1, 255, next() as u8][next() % 4];
            }
            damaged.truncate(1 + next() % (damaged.len() * 2));
            let before = decoder.counters().sflow_interfaces;
            let outcome = decoder.decode(PEER, NOW_MS, &damaged, &mut sink);
            assert_eq!(outcome.flows as usize, sink.flows.len());
            let interfaces = decoder.counters().sflow_interfaces - before;
            assert_eq!(interfaces as usize, sink.interfaces.len());
            sink.flows.clear();
            sink.interfaces.clear();
        }
    }
    assert!(decoder.counters().flows > 10_000);
}
