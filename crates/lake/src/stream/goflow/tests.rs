//! The decoder here is prost's, by the published numbers of the message; it shares nothing with the
//! encoder.

use super::*;
use prost::Message as _;
use record::{Exporter, Flow};
use store::MetaRecord;

/// goflow2's message, as it publishes it.
#[derive(Clone, PartialEq, prost::Message)]
pub(in crate::stream) struct FlowMessage {
    #[prost(enumeration = "FlowType", tag = "1")]
    r#type: i32,
    #[prost(uint64, tag = "110")]
    time_received_ns: u64,
    #[prost(uint32, tag = "4")]
    sequence_num: u32,
    #[prost(uint64, tag = "3")]
    sampling_rate: u64,
    #[prost(bytes = "vec", tag = "11")]
    sampler_address: Vec<u8>,
    #[prost(uint64, tag = "111")]
    time_flow_start_ns: u64,
    #[prost(uint64, tag = "112")]
    time_flow_end_ns: u64,
    #[prost(uint64, tag = "9")]
    bytes: u64,
    #[prost(uint64, tag = "10")]
    packets: u64,
    #[prost(bytes = "vec", tag = "6")]
    src_addr: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    dst_addr: Vec<u8>,
    #[prost(uint32, tag = "30")]
    etype: u32,
    #[prost(uint32, tag = "20")]
    proto: u32,
    #[prost(uint32, tag = "21")]
    pub(in crate::stream) src_port: u32,
    #[prost(uint32, tag = "22")]
    dst_port: u32,
    #[prost(uint32, tag = "18")]
    in_if: u32,
    #[prost(uint32, tag = "19")]
    out_if: u32,
    #[prost(uint64, tag = "27")]
    src_mac: u64,
    #[prost(uint64, tag = "28")]
    dst_mac: u64,
    #[prost(uint32, tag = "33")]
    src_vlan: u32,
    #[prost(uint32, tag = "34")]
    dst_vlan: u32,
    #[prost(uint32, tag = "29")]
    vlan_id: u32,
    #[prost(uint32, tag = "23")]
    ip_tos: u32,
    #[prost(uint32, tag = "24")]
    forwarding_status: u32,
    #[prost(uint32, tag = "25")]
    ip_ttl: u32,
    #[prost(uint32, tag = "38")]
    ip_flags: u32,
    #[prost(uint32, tag = "26")]
    tcp_flags: u32,
    #[prost(uint32, tag = "31")]
    icmp_type: u32,
    #[prost(uint32, tag = "32")]
    icmp_code: u32,
    #[prost(uint32, tag = "14")]
    src_as: u32,
    #[prost(uint32, tag = "15")]
    dst_as: u32,
    #[prost(bytes = "vec", tag = "12")]
    next_hop: Vec<u8>,
    #[prost(uint32, tag = "13")]
    next_hop_as: u32,
    #[prost(uint32, tag = "16")]
    src_net: u32,
    #[prost(uint32, tag = "17")]
    dst_net: u32,
    #[prost(bytes = "vec", tag = "100")]
    bgp_next_hop: Vec<u8>,
    #[prost(uint32, repeated, tag = "81")]
    mpls_label: Vec<u32>,
    #[prost(uint32, tag = "70")]
    observation_domain_id: u32,
    #[prost(uint32, tag = "71")]
    observation_point_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(in crate::stream) enum FlowType {
    Unknown = 0,
    Sflow5 = 1,
    NetflowV5 = 2,
    NetflowV9 = 3,
    Ipfix = 4,
}

/// A flow with every field the message has a place for, each with a value of its own.
fn full() -> Flow {
    let mut flow = Flow::new();
    for (field, value) in [
        (Field::Source, 9),
        (Field::ExporterId, 3),
        (Field::First, 1_795_168_800_123),
        (Field::Last, 1_795_168_801_456),
        (Field::Received, 1_795_168_802_789),
        (Field::Packets, 300),
        (Field::Bytes, u64::MAX - 5),
        (Field::SrcPort, 1234),
        (Field::DstPort, 443),
        (Field::Proto, 6),
        (Field::TcpFlags, 0x1b),
        (Field::FwdStatus, 64),
        (Field::SrcTos, 0xb8),
        (Field::Input, 70_001),
        (Field::Output, 70_002),
        (Field::SrcMask, 24),
        (Field::DstMask, 19),
        (Field::SrcVlan, 101),
        (Field::DstVlan, 102),
        (Field::SrcAs, 4_200_000_001),
        (Field::DstAs, 64_512),
        (Field::NextAs, 64_513),
        (Field::InSrcMac, 0x0211_2233_4455),
        (Field::InDstMac, 0x02aa_bbcc_ddee),
        (Field::FragmentFlags, 0x40),
        (Field::MinTtl, 61),
        (Field::ObservationDomain, 7),
        (Field::ObservationPoint, 8),
        (Field::Mpls1, 1001 << 4 | 3),
        (Field::Mpls2, 0),
        (Field::Mpls3, 200_003 << 4 | 1),
    ] {
        assert!(flow.set(field, value), "{field:?}");
    }
    flow.set_addr(Field::SrcAddr, Addr::V4(0x0a01_0203));
    flow.set_addr(Field::DstAddr, Addr::V4(0xc000_0201));
    flow.set_addr(Field::NextHop, Addr::V4(0xc000_02fe));
    flow.set_addr(Field::BgpNextHop, Addr::V6(0x2001_0db8 << 96 | 9));
    flow
}

fn exporters() -> Exporters {
    let mut exporters = Exporters::default();
    let exporter = |sysid, addr| MetaRecord::Exporter(Exporter { sysid, version: 9, addr, id: 0 });
    exporters.learn(&[exporter(2, Addr::V4(1)), exporter(3, Addr::V4(0xc633_6401))]);
    exporters
}

fn encode(flow: &Flow, framing: Framing) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(framing).push(flow.as_row(), &exporters(), &mut out);
    out
}

#[test]
fn every_field_decodes_by_its_published_number() {
    let got = FlowMessage::decode(&*encode(&full(), Framing::Plain)).unwrap();
    let want = FlowMessage {
        r#type: FlowType::NetflowV9 as i32,
        time_received_ns: 1_795_168_802_789_000_000,
        sequence_num: 0,
        sampling_rate: 1,
        sampler_address: vec![198, 51, 100, 1],
        time_flow_start_ns: 1_795_168_800_123_000_000,
        time_flow_end_ns: 1_795_168_801_456_000_000,
        bytes: u64::MAX - 5,
        packets: 300,
        src_addr: vec![10, 1, 2, 3],
        dst_addr: vec![192, 0, 2, 1],
        etype: 0x0800,
        proto: 6,
        src_port: 1234,
        dst_port: 443,
        in_if: 70_001,
        out_if: 70_002,
        src_mac: 0x0211_2233_4455,
        dst_mac: 0x02aa_bbcc_ddee,
        src_vlan: 101,
        dst_vlan: 102,
        vlan_id: 101,
        ip_tos: 0xb8,
        forwarding_status: 64,
        ip_ttl: 61,
        ip_flags: 2,
        tcp_flags: 0x1b,
        icmp_type: 0,
        icmp_code: 0,
        src_as: 4_200_000_001,
        dst_as: 64_512,
        next_hop: vec![192, 0, 2, 254],
        next_hop_as: 64_513,
        src_net: 24,
        dst_net: 19,
        bgp_next_hop: [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[9]].concat(),
        mpls_label: vec![1001, 0, 200_003],
        observation_domain_id: 7,
        observation_point_id: 8,
    };
    assert_eq!(got, want);
}

/// Octets as goflow2 makes them: what prost makes of the same message, put in the order of numbers.
#[test]
fn octets_are_in_the_order_of_numbers() {
    let octets = encode(&full(), Framing::Plain);
    let (mut rest, mut numbers) = (octets.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (number, wire) = prost::encoding::decode_key(&mut rest).unwrap();
        numbers.push(number);
        let context = prost::encoding::DecodeContext::default();
        prost::encoding::skip_field(wire, number, &mut rest, context).unwrap();
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let message = FlowMessage::decode(&*octets).unwrap();
    assert_eq!(message.encoded_len(), octets.len(), "nothing twice, nothing that is zero");
}

#[test]
fn lengths_stand_before_messages() {
    let mut v6 = full();
    v6.set_addr(Field::SrcAddr, Addr::V6(0x2001_0db8 << 96 | 1));
    let empty = Flow::new();
    for flow in [&full(), &v6, &empty] {
        let (plain, delimited) = (encode(flow, Framing::Plain), encode(flow, Framing::Delimited));
        assert_eq!(
            FlowMessage::decode_length_delimited(&*delimited).unwrap(),
            FlowMessage::decode(&*plain).unwrap()
        );
        assert_eq!(delimited.len(), plain.len() + if plain.len() < 128 { 1 } else { 2 });
    }
}

#[test]
fn protocols_families_and_icmp() {
    let type_of = |source| {
        let mut flow = Flow::new();
        flow.set(Field::Source, source);
        FlowMessage::decode(&*encode(&flow, Framing::Plain)).unwrap().r#type
    };
    let types = [0, 1, 5, 7, 9, 10, 0x84, 0x85].map(type_of);
    assert_eq!(types, [0, 0, 2, 0, 3, 4, 1, 1]);

    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, Addr::V6(1));
    flow.set_addr(Field::DstAddr, Addr::V6(2));
    flow.set(Field::Proto, 58);
    flow.set(Field::DstPort, 129 << 8 | 3);
    let got = FlowMessage::decode(&*encode(&flow, Framing::Plain)).unwrap();
    assert_eq!((got.etype, got.icmp_type, got.icmp_code), (0x86dd, 129, 3));
    assert_eq!((got.src_addr.len(), got.dst_addr.last()), (16, Some(&2)));
}

#[test]
fn the_record_knows_its_exporter_best() {
    let mut flow = full();
    flow.set_addr(Field::Router, Addr::V6(77));
    let got = FlowMessage::decode(&*encode(&flow, Framing::Plain)).unwrap();
    assert_eq!(got.sampler_address.last(), Some(&77));
    flow = full();
    flow.set(Field::ExporterId, 9);
    let got = FlowMessage::decode(&*encode(&flow, Framing::Plain)).unwrap();
    assert!(got.sampler_address.is_empty(), "nobody has this number");
}

#[test]
fn varints_at_each_width() {
    for bits in 0..64 {
        for n in [1u64 << bits, (1 << bits) - 1, u64::MAX >> bits] {
            let mut out = Vec::new();
            varint(n, &mut out);
            assert_eq!(out.len() as u64, varint_len(n), "{n}");
            assert_eq!(prost::encoding::decode_varint(&mut &*out).unwrap(), n);
        }
    }
}
