//! Tests: elements of every length, over v9 and IPFIX.

use crate::element::{Op, all};
use crate::template::VARIABLE;
use crate::testing::{Collect, IpfixBuilder, Record, V9Builder};
use crate::{Config, Decoder, Protocol, ipfix, v9};
use record::{Addr, Field, Flow};

const PEER: Addr = Addr::V4(0xc000_0201);
const NOW_MS: u64 = 1_795_000_000_000;
const SECS: u32 = (NOW_MS / 1000) as u32;
/// Comes behind what is tested, and must be read right: postDot1qCustomerVlanId.
const BEHIND: u16 = 255;
const MARK: u64 = 0x0abc;

/// One record: an element of this length with these octets, and [`MARK`] behind it.
fn decode(
    protocol: Protocol,
    (pen, id, len): (u32, u16, u16),
    octets: &[u8],
) -> (Decoder, Option<Flow>) {
    let record = Record::new().octets(octets).number(MARK, 2).build();
    let datagram = if protocol == Protocol::V9 {
        let header = v9::Header { unix_secs: SECS, ..v9::Header::default() };
        let built = V9Builder::new(header).template(256, &[(id, len), (BEHIND, 2)]);
        built.data(256, &[record]).build()
    } else {
        let header = ipfix::Header { export_secs: SECS, ..ipfix::Header::default() };
        let built = IpfixBuilder::new(header).template(256, &[(pen, id, len), (0, BEHIND, 2)]);
        built.data(256, &[record]).build()
    };
    let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
    decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
    // v9 pads its sets, and padding may be as long as a short record.
    let first = (!sink.flows.is_empty()).then(|| sink.flows.swap_remove(0));
    (decoder, first)
}

/// The protocols that can name an element: v9 has no enterprises, and vendors' numbers of v9 have
/// the bit that says enterprise in IPFIX.
fn each_protocol(pen: u32, id: u16) -> impl Iterator<Item = Protocol> {
    let v9 = (pen == 0).then_some(Protocol::V9);
    v9.into_iter().chain((id < 0x8000).then_some(Protocol::Ipfix))
}

/// The octets of a number: big-endian, as many as asked for.
fn octets(value: u64, len: u16) -> Vec<u8> {
    let zeros = vec![0; usize::from(len.saturating_sub(8))];
    Record::new().octets(&zeros).number(value, usize::from(len.min(8))).build()
}

/// Elements that are one number of one field, whatever else a record has.
fn numbers() -> impl Iterator<Item = (u32, u16, Field, bool)> {
    all().iter().filter(|e| e.id != BEHIND).filter_map(|e| match e.op {
        Op::Number(f) | Op::Spare(f) => Some((e.pen, e.id, f, false)),
        Op::Counter(f, _) => Some((e.pen, e.id, f, true)),
        _ => None,
    })
}

/// Every number in every width from 1 octet to 16 (RFC 7011, 6.2): as it is if it fits its field,
/// the largest one if it is a counter, else left out and counted.
#[test]
fn numbers_of_every_width() {
    let mut seen = 0;
    for (pen, id, field, is_counter) in numbers() {
        let max = match field.kind().width() {
            Some(width) if width < 8 => (1u64 << (8 * width)) - 1,
            _ => u64::MAX,
        };
        for (protocol, len) in each_protocol(pen, id).flat_map(|p| (1..=16u16).map(move |l| (p, l)))
        {
            let name = format!("{protocol:?} {pen}/{id} of {len} octets");
            let small = octets(1, len);
            let (decoder, flow) = decode(protocol, (pen, id, len), &small);
            let flow = flow.unwrap();
            assert_eq!((flow.number(field), decoder.counters().wide_values), (1, 0), "{name}");
            assert_eq!(flow.number(Field::PostCustomerVlanId), MARK, "{name}");
            let large = vec![0xff; usize::from(len)];
            let value = if len < 8 { (1u64 << (8 * len)) - 1 } else { u64::MAX };
            let (decoder, flow) = decode(protocol, (pen, id, len), &large);
            let (flow, wide) = (flow.unwrap(), decoder.counters().wide_values);
            let fits = value <= max && len <= 8;
            assert_eq!(wide, u64::from(!fits), "{name}");
            match (fits, is_counter) {
                (true, _) => assert_eq!(flow.number(field), value, "{name}"),
                (false, true) => assert_eq!(flow.number(field), u64::MAX, "{name}"),
                (false, false) => assert!(!is_set(&flow, field), "{name}"),
            }
            seen += 1;
        }
    }
    assert!(seen > 2000, "{seen} lengths only");
}

/// Whether the record itself set it: the decoder sets some fields of its own accord.
fn is_set(flow: &Flow, field: Field) -> bool {
    let is_own = matches!(field, Field::EngineType | Field::EngineId | Field::ObservationDomain);
    flow.has(field) && !is_own
}

/// An element of no octets says nothing and moves nothing.
#[test]
fn elements_of_no_octets() {
    for element in all().iter().filter(|e| e.id != BEHIND) {
        for protocol in each_protocol(element.pen, element.id) {
            let (decoder, flow) = decode(protocol, (element.pen, element.id, 0), &[]);
            let (flow, c) = (flow.unwrap(), decoder.counters());
            let name = format!("{protocol:?} {element:?}");
            assert_eq!(flow.number(Field::PostCustomerVlanId), MARK, "{name}");
            assert_eq!((c.odd_lengths, c.wide_values, c.unknown_elements), (0, 0, 0), "{name}");
            if let Op::Number(f) | Op::Counter(f, _) | Op::V4(f) | Op::V6(f) = element.op {
                assert!(!is_set(&flow, f), "{name}");
            }
        }
    }
}

/// A length of 65535 means that each record says it, over v9 as over IPFIX: there is no other way
/// to read on.
#[test]
fn lengths_that_records_say() {
    for (pen, id, field, _) in numbers() {
        for protocol in each_protocol(pen, id) {
            for value in [&[1, 1][..], &[2, 0, 1], &[255, 0, 1, 1], &[8, 0, 0, 0, 0, 0, 0, 0, 1]] {
                let (_, flow) = decode(protocol, (pen, id, VARIABLE), value);
                let flow = flow.unwrap();
                let got = (flow.number(field), flow.number(Field::PostCustomerVlanId));
                assert_eq!(got, (1, MARK), "{protocol:?} {pen}/{id} {value:?}");
            }
        }
    }
    let (decoder, flow) = decode(Protocol::Ipfix, (0, 8, VARIABLE), &[4, 10, 0, 0, 1]);
    assert_eq!(flow.unwrap().as_row().addr(Field::SrcAddr), Some(Addr::V4(0x0a00_0001)));
    assert_eq!(decoder.counters().wide_values, 0);
    let (decoder, flow) = decode(Protocol::Ipfix, (0, 8, VARIABLE), &[3, 10, 0, 0]);
    assert!(!flow.unwrap().has(Field::SrcAddr));
    assert_eq!(decoder.counters().wide_values, 1);
}

/// What has one length only is passed over if it has another, counted, and listed by name.
#[test]
fn wrong_lengths_are_counted_by_name() {
    for (name, id, right) in [
        ("sourceIPv4Address", 8, &[4][..]),
        ("sourceIPv6Address", 27, &[16]),
        ("postNATSourceIPv4Address", 225, &[4]),
        ("flowStartMilliseconds", 152, &[6, 8]),
        ("flowEndMicroseconds", 155, &[8]),
        ("flowStartNanoseconds", 156, &[8]),
        ("observationTimeMilliseconds", 323, &[6, 8]),
        ("ingressAclId", 33000, &[12]),
        ("systemInitTimeMilliseconds", 160, &[6, 8]),
    ] {
        for protocol in each_protocol(0, id) {
            for len in 1..=20u16 {
                let (decoder, flow) = decode(protocol, (0, id, len), &octets(1, len));
                let is_odd = !right.contains(&len);
                let mark = flow.unwrap().number(Field::PostCustomerVlanId);
                let odd = decoder.counters().odd_lengths;
                assert_eq!((mark, odd), (MARK, u64::from(is_odd)), "{name} of {len}");
                let listed: Vec<_> = decoder
                    .unknown_elements()
                    .map(|u| (u.name, u.has_odd_length, u.first.len))
                    .collect();
                let want = is_odd.then_some((Some(name), true, len));
                assert_eq!(listed, Vec::from_iter(want), "{name} of {len}");
            }
        }
    }
}

/// A record of all elements at once, cut at each octet: never a panic, never half a flow.
#[test]
fn a_record_of_everything_is_survived_at_every_cut() {
    let mut fields = Vec::new();
    let mut record = Record::new();
    for element in all().iter().filter(|e| e.pen != 0 || e.id < 0x8000) {
        let len = match element.op {
            Op::V4(_) => 4,
            Op::V6(_) => 16,
            Op::Octets(Field::IngressAcl | Field::EgressAcl) => 12,
            Op::Octets(_) | Op::Text(_) | Op::List(_) => VARIABLE,
            _ => 8,
        };
        fields.push((element.pen, element.id, len));
        record = match len {
            VARIABLE => record.variable(b"abc"),
            len => record.number(1, usize::from(len)),
        };
    }
    let header = ipfix::Header { export_secs: SECS, ..ipfix::Header::default() };
    let template = IpfixBuilder::new(header).template(256, &fields).build();
    let data = IpfixBuilder::new(header).data(256, &[record.build()]).build();
    for len in 0..=data.len() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &template, &mut sink);
        decoder.decode(PEER, NOW_MS, &data[..len], &mut sink);
        assert_eq!(sink.flows.len(), usize::from(len == data.len()), "{len}");
    }
}
