//! Each field of the field table, over each protocol, in each form.

use super::*;
use record::Kind;

const FORMATS: [TimeFormat; 5] = [
    TimeFormat::UptimeMs,
    TimeFormat::Seconds,
    TimeFormat::Millis,
    TimeFormat::Micros,
    TimeFormat::Nanos,
];

/// Bits of the largest value that is sent, where that is less than the field holds.
pub(super) fn wire_bits(version: Version, field: Field) -> u32 {
    match field {
        Field::SrcVlan | Field::DstVlan => 16,
        f if (Field::Mpls1..=Field::Mpls10).contains(&f) => 24,
        Field::VxLan => 24,
        Field::InSrcMac | Field::InDstMac | Field::OutSrcMac | Field::OutDstMac => 48,
        Field::SelectorId if version == Version::V9 => 32,
        Field::TunProto => 8,
        // Seconds of 32 bits.
        Field::ClientLatency | Field::ServerLatency | Field::AppLatency => 51,
        _ => field.kind().width().map_or(0, |w| u32::from(w) * 8),
    }
}

/// The flow with a telling value of `field`, and what else it takes for the field to be sent.
fn example(version: Version, base: &Flow, field: Field) -> Flow {
    let mut flow = base.clone();
    match field {
        Field::NatPool | Field::NatEventTime => _ = flow.set(Field::NatEvent, 4),
        Field::FwEventTime | Field::ConnId => _ = flow.set(Field::FwEvent, 1),
        _ => {}
    }
    let is_v6 = matches!(base.as_row().addr(Field::SrcAddr), Some(Addr::V6(_)));
    match field.kind() {
        // Times near now, whole seconds.
        Kind::Time => _ = flow.set(field, NOW / 1000 * 1000 - 7000),
        Kind::Addr if is_v6 && !matches!(field, Field::TunSrcAddr | Field::TunDstAddr) => {
            flow.set_addr(field, Addr::V6(0x2001_0db8 << 96 | 0x0102_0304_0506));
        }
        Kind::Addr => flow.set_addr(field, Addr::V4(0xc633_6407)),
        Kind::Text(_) => _ = flow.set_bytes(field, b"a name"),
        Kind::Bytes => _ = flow.set_bytes(field, &[3, 0, 0, 1, 77]),
        Kind::Acl => _ = flow.set_bytes(field, b"\x0f\x8f\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a"),
        _ => {
            let bits = wire_bits(version, field);
            let value = 0xf1e2_d3c4_b5a6_9788 & (u64::MAX >> (64 - bits));
            assert!(flow.set(field, value), "{field:?}");
        }
    }
    flow
}

/// Every field but those that describe the record itself.
fn of_flows() -> impl Iterator<Item = Field> {
    let of_record = |f: &Field| element::OF_RECORD & element::bit(*f) != 0;
    Field::ALL.iter().copied().filter(move |f| !of_record(f))
}

#[test]
fn every_field_that_is_carried_arrives() {
    let mut tested = 0;
    for version in [Version::V9, Version::Ipfix] {
        for (base, format) in [plain(), plain6()].iter().flat_map(|b| FORMATS.map(|f| (b, f))) {
            for field in of_flows().filter(|f| version.carries(*f)) {
                let flow = example(version, base, field);
                let config =
                    ExportConfig { time: format, biflow: false, ..ExportConfig::new(version) };
                let (encoder, sent) = send(config, std::slice::from_ref(&flow));
                let (_, got) = sent.decode();
                let name = format!("{version} {format:?} {field:?}");
                assert_eq!(got.flows.len(), 1, "{name}");
                assert_eq!(
                    got.flows[0].as_row().bytes(field),
                    flow.as_row().bytes(field),
                    "{name}"
                );
                let counts = encoder.counts();
                assert_eq!((counts.rows_left_out(), counts.wide_values), (0, 0), "{name}");
                assert_eq!(counts.fields_left_out, 0, "{name}");
                tested += 1;
            }
        }
    }
    assert_eq!(
        tested,
        10 * (of_flows().filter(|f| Version::V9.carries(*f)).count()
            + of_flows().filter(|f| Version::Ipfix.carries(*f)).count())
    );
}

#[test]
fn every_field_that_is_not_carried_is_counted() {
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        for field in of_flows().filter(|f| !version.carries(*f)) {
            if [Field::NatEvent, Field::FwEvent].contains(&field) {
                continue; // Tested by itself.
            }
            // Over v9 the companion of ConnId is not needed, but of no harm.
            let flow = example(version, &plain(), field);
            let is_event = flow.has(Field::NatEvent) || flow.has(Field::FwEvent);
            let (encoder, sent) = send(ExportConfig::new(version), &[flow]);
            let counts = encoder.counts();
            if is_event && !version.has_templates() {
                assert_eq!((counts.rows_events, sent.0.len()), (1, 0), "{version} {field:?}");
                continue;
            }
            let is_reverse = [Field::OutBytes, Field::OutPackets].contains(&field);
            let got = (counts.fields_left_out, counts.reverse_left_out);
            assert_eq!(got, if is_reverse { (0, 1) } else { (1, 0) }, "{version} {field:?}");
            assert_eq!((counts.records, sent.0.len()), (1, 1), "{version} {field:?}");
        }
    }
}

#[test]
fn fields_without_their_kind_of_record_are_counted() {
    for (name, version, fields) in [
        ("pool without event", Version::V9, vec![Field::NatPool]),
        ("times of no event", Version::Ipfix, vec![Field::NatEventTime, Field::FwEventTime]),
        ("connection without event", Version::V9, vec![Field::ConnId]),
    ] {
        let values: Vec<_> = fields.iter().map(|f| (*f, 5)).collect();
        let (encoder, sent) = send(ExportConfig::new(version), &[with(plain(), &values)]);
        assert_eq!(encoder.counts().fields_left_out, values.len() as u64, "{name}");
        let (_, got) = sent.decode();
        assert!(fields.iter().all(|f| !got.flows[0].has(*f)), "{name}");
    }
}

#[test]
fn times_in_each_format() {
    for version in [Version::V9, Version::Ipfix] {
        for format in FORMATS {
            let config = ExportConfig { time: format, ..ExportConfig::new(version) };
            let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
            encoder.flow(NOW, plain().as_row(), None, &mut sent);
            let exact = (1_794_999_999_001_999_999, 1_795_000_000_000_000_001);
            encoder.flow(NOW, plain().as_row(), Some(exact), &mut sent);
            encoder.flush(NOW, &mut sent);
            let got: Vec<_> = sent.decode().1.flows;
            let times = |i: usize| [Field::First, Field::Last].map(|f| got[i].number(f));
            let want = [[NOW - 70_001, NOW - 10_002], [1_794_999_999_001, 1_795_000_000_000]];
            let unit = if format == TimeFormat::Seconds { 1000 } else { 1 };
            for (i, want) in want.iter().enumerate() {
                assert_eq!(times(i), want.map(|t| t / unit * unit), "{version} {format:?} {i}");
            }
        }
    }
}

#[test]
fn icmp_has_type_and_code_in_place_of_ports() {
    for (flow, proto, element) in [(plain(), 1, 32), (plain6(), 58, 139)] {
        for version in [Version::V9, Version::Ipfix] {
            let flow = with(flow.clone(), &[(Field::Proto, proto), (Field::DstPort, 0x0301)]);
            let (_, sent) = send(ExportConfig::new(version), &[flow]);
            let (decoder, got) = sent.decode();
            let ids: Vec<_> =
                decoder.templates().flat_map(|t| t.fields.iter().map(|f| f.id)).collect();
            // v9 has one for both families.
            let element = if version == Version::V9 { 32 } else { element };
            assert!(ids.contains(&element) && !ids.contains(&7) && !ids.contains(&11), "{ids:?}");
            assert_eq!(got.flows[0].number(Field::DstPort), 0x0301);
            assert_eq!(got.flows[0].number(Field::SrcPort), 0);
        }
        // An echo id must not be taken for type and code.
        let flow = with(plain(), &[(Field::Proto, 1), (Field::DstPort, 0x0800)]);
        let (_, sent) = send(ExportConfig::new(Version::V5), &[flow]);
        let (_, got) = sent.decode();
        let ports = [Field::SrcPort, Field::DstPort].map(|f| got.flows[0].number(f));
        assert_eq!(ports, [0, 0x0800]);
    }
}

#[test]
fn both_directions() {
    let values = [(Field::OutBytes, 9000), (Field::OutPackets, 90)];
    let flow = with(plain(), &values);
    // v9 has elements for what went out; IPFIX as well, or reverse elements.
    for (version, biflow) in [(Version::V9, true), (Version::Ipfix, false)] {
        let config = ExportConfig { biflow, ..ExportConfig::new(version) };
        let (decoder, got) = send(config, std::slice::from_ref(&flow)).1.decode();
        assert_eq!(values.map(|v| got.flows[0].number(v.0)), values.map(|v| v.1), "{version}");
        assert_eq!((got.flows.len(), decoder.counters().biflows), (1, 0));
    }
    let (decoder, got) =
        send(ExportConfig::new(Version::Ipfix), std::slice::from_ref(&flow)).1.decode();
    assert_eq!((got.flows.len(), decoder.counters().biflows), (2, 1));
    let template = decoder.templates().next().unwrap();
    let reverse: Vec<_> = template.fields.iter().filter(|f| f.pen == 29305).map(|f| f.id).collect();
    assert_eq!(reverse, [1, 2], "others would overwrite the forward ones in nfdump");
    let numbers = |i: usize, fields: [Field; 4]| fields.map(|f| got.flows[i].number(f));
    let fields = [Field::Bytes, Field::Packets, Field::SrcPort, Field::DstPort];
    assert_eq!(numbers(0, fields), [1234, 11, 50_000, 443]);
    assert_eq!(numbers(1, fields), [9000, 90, 443, 50_000]);
    assert_eq!(got.flows[1].as_row().addr(Field::SrcAddr), Some(DST));
}

/// Elements of the one template of these datagrams.
fn elements(sent: &Sent) -> Vec<u16> {
    sent.decode().0.templates().flat_map(|t| t.fields.iter().map(|f| f.id)).collect()
}

#[test]
fn nat_events_have_the_elements_of_event_logging() {
    let mut flow = plain();
    for field in [Field::Packets, Field::Bytes, Field::TcpFlags, Field::SrcTos] {
        flow.unset(field);
    }
    flow.set_addr(Field::XlateSrcAddr, Addr::V4(0xcb00_7101));
    flow.set_addr(Field::XlateDstAddr, DST);
    let at = (Field::NatEventTime, NOW - 5);
    let ports = [(Field::XlateSrcPort, 63_388), (Field::XlateDstPort, 443)];
    let flow = with(flow, &[at, ports[0], ports[1], (Field::NatEvent, 4), (Field::FlowId, 9)]);

    let (encoder, v9) = send(ExportConfig::new(Version::V9), std::slice::from_ref(&flow));
    // No connection id: it would make the record a firewall event.
    assert_eq!(elements(&v9), [323, 8, 12, 152, 153, 7, 11, 4, 225, 226, 227, 228, 230]);
    assert_eq!(encoder.counts().fields_left_out, 1, "the flow id");

    // An event that has no other time than its own.
    let mut lean = flow.clone();
    lean.unset(Field::First);
    lean.unset(Field::Last);
    let (_, v9) = send(ExportConfig::new(Version::V9), &[lean]);
    assert_eq!(elements(&v9), [323, 8, 12, 7, 11, 4, 225, 226, 227, 228, 230]);
    let (_, got) = v9.decode();
    assert_eq!(got.flows[0].number(Field::First), NOW - 5);
    assert_eq!(got.flows[0].number(Field::RecordFlags), 1);

    let (_, ipfix) = send(ExportConfig::new(Version::Ipfix), &[flow]);
    assert_eq!(elements(&ipfix), [323, 8, 12, 152, 153, 7, 11, 4, 225, 226, 227, 228, 230, 148]);
    let (_, got) = ipfix.decode();
    assert_eq!(got.flows[0].number(Field::NatEventTime), NOW - 5);
    assert_eq!(got.flows[0].number(Field::First), NOW - 70_001);
}

#[test]
fn translated_addresses_without_an_event_are_a_flow() {
    let mut flow = plain6();
    flow.set_addr(Field::XlateSrcAddr, Addr::V6(7));
    for version in [Version::V9, Version::Ipfix] {
        let (_, sent) = send(ExportConfig::new(version), std::slice::from_ref(&flow));
        assert!(elements(&sent).contains(&281));
        let (_, got) = sent.decode();
        assert_eq!(got.flows[0].as_row().addr(Field::XlateSrcAddr), Some(Addr::V6(7)));
        assert_eq!(got.flows[0].number(Field::RecordFlags), 0);
    }
}

#[test]
fn firewall_events_have_the_elements_of_nsel() {
    let values = [
        (Field::FwEventTime, NOW - 5),
        (Field::ConnId, 77),
        (Field::FwEvent, 2),
        (Field::FwXEvent, 0),
        (Field::OutBytes, 9000),
        (Field::OutPackets, 90),
    ];
    let (encoder, sent) = send(ExportConfig::new(Version::V9), &[with(plain(), &values)]);
    assert_eq!(
        elements(&sent),
        [323, 148, 8, 12, 152, 153, 231, 298, 232, 299, 7, 11, 4, 6, 5, 33002, 233]
    );
    assert_eq!(encoder.counts().fields_left_out, 0);
    let (_, got) = sent.decode();
    for (field, value) in values.into_iter().chain([(Field::Bytes, 1234), (Field::Packets, 11)]) {
        assert_eq!(got.flows[0].number(field), value, "{field:?}");
    }
    assert_eq!(got.flows[0].number(Field::First), NOW - 70_001);
    assert_eq!(got.flows[0].number(Field::Last), NOW - 10_002);
}

#[test]
fn values_too_wide_for_their_element_are_counted() {
    for (version, field, value) in [
        (Version::V9, Field::SrcVlan, 65_536),
        (Version::Ipfix, Field::Mpls3, 1 << 24),
        (Version::Ipfix, Field::InSrcMac, 1 << 48),
        (Version::V9, Field::SelectorId, 1 << 32),
        (Version::Ipfix, Field::VxLan, 1 << 24),
        (Version::Ipfix, Field::TunProto, 256),
        (Version::V9, Field::ClientLatency, 1_000_000 << 32),
    ] {
        let (encoder, sent) = send(ExportConfig::new(version), &[with(plain(), &[(field, value)])]);
        assert_eq!(encoder.counts().wide_values, 1, "{field:?}");
        let (_, got) = sent.decode();
        assert_eq!(got.flows[0].number(field), 0, "{field:?}");
        assert_eq!(got.flows[0].number(Field::Bytes), 1234, "{field:?}");
    }
}

#[test]
fn short_records_are_longer_than_padding() {
    for version in [Version::V9, Version::Ipfix] {
        for len in 1..=3u64 {
            let fields = [(Field::Proto, 17), (Field::SrcTos, 4), (Field::MinTtl, 60)];
            let flow = with(Flow::new(), &fields[..len as usize]);
            let (_, sent) = send(ExportConfig::new(version), &vec![flow; 5]);
            let (_, got) = sent.decode();
            assert_eq!(got.flows.len(), 5, "{version} {len}");
            assert!(got.flows.iter().all(|f| f.number(Field::Proto) == 17), "{version} {len}");
        }
    }
    let (encoder, sent) = send(ExportConfig::new(Version::Ipfix), &[Flow::new()]);
    assert_eq!((encoder.counts().rows_empty, sent.0.len()), (1, 0));
}
