//! Random flows, and rows that are no flows at all.

use super::fields::wire_bits;
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use record::code::Proto;
use record::{Kind, Row, Shape};

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V5), Just(Version::V9), Just(Version::Ipfix)]
}

fn format() -> impl Strategy<Value = TimeFormat> {
    prop_oneof![
        Just(TimeFormat::UptimeMs),
        Just(TimeFormat::Seconds),
        Just(TimeFormat::Millis),
        Just(TimeFormat::Micros),
        Just(TimeFormat::Nanos),
    ]
}

/// Any set of fields with values that their elements hold; addresses of one flow are of one family.
fn flow() -> impl Strategy<Value = Flow> {
    let value = (0..Field::COUNT, any::<u64>(), 0..8u32);
    (vec(value, 0..40), any::<bool>(), 0..6u8).prop_map(|(values, is_v6, proto)| {
        let mut flow = Flow::new();
        for (at, value, shift) in values {
            set_value(&mut flow, Field::ALL[at], value >> (8 * shift), is_v6);
        }
        if let Some(proto) = [6, 17, 1, 58].get(usize::from(proto)) {
            flow.set(Field::Proto, *proto);
        }
        // Both or none.
        if flow.has(Field::SrcAddr) != flow.has(Field::DstAddr) {
            set_value(&mut flow, Field::SrcAddr, 7, is_v6);
            set_value(&mut flow, Field::DstAddr, 8, is_v6);
        }
        flow
    })
}

fn set_value(flow: &mut Flow, field: Field, value: u64, is_v6: bool) {
    let bits = wire_bits(Version::V9, field).min(wire_bits(Version::Ipfix, field));
    match field.kind() {
        Kind::Time => _ = flow.set(field, NOW - value % 2_000_000_000),
        Kind::Addr if is_v6 && !matches!(field, Field::TunSrcAddr | Field::TunDstAddr) => {
            flow.set_addr(field, Addr::V6(u128::from(value) << 64 | u128::from(!value)));
        }
        Kind::Addr => flow.set_addr(field, Addr::V4(value as u32 | 1)),
        Kind::Text(_) => _ = flow.set_bytes(field, &vec![b'x'; 1 + value as usize % 65]),
        Kind::Bytes => _ = flow.set_bytes(field, &vec![value as u8; 1 + value as usize % 30]),
        Kind::Acl => _ = flow.set_bytes(field, &[value as u8 | 1; 12]),
        // An id of 0 is that of the message.
        _ if field == Field::ObservationDomain => _ = flow.set(field, value >> 32 | 1),
        _ => _ = flow.set(field, value & (u64::MAX >> (64 - bits.max(1)))),
    }
}

/// What a collector can know of a flow that was sent so: `None` if nothing was.
fn received(config: &ExportConfig, flow: &Flow) -> Option<Flow> {
    let is_fixed = !config.version.has_templates();
    let has = |field| flow.has(field);
    if is_fixed {
        let is_v6 = matches!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V6(_)));
        if is_v6 || has(Field::NatEvent) || has(Field::FwEvent) {
            return None;
        }
    }
    let mut want = flow.clone();
    for field in Field::ALL {
        let is_of_record = element::OF_RECORD & element::bit(*field) != 0;
        if !config.version.carries(*field) || is_of_record {
            want.unset(*field);
        }
    }
    let is_v9 = config.version == Version::V9;
    let is_firewall = has(Field::FwEvent) || has(Field::FwXEvent) && is_v9;
    let is_nat = has(Field::NatEvent);
    let event = match (is_firewall, is_nat) {
        (true, _) => flow.as_row().u64(Field::FwEventTime),
        (_, true) => flow.as_row().u64(Field::NatEventTime),
        _ => None,
    };
    for (field, is_sent) in [
        (Field::FwEventTime, is_firewall),
        (Field::ConnId, is_firewall),
        (Field::NatEventTime, is_nat && !is_firewall),
        (Field::NatPool, is_nat),
        (Field::Frame, has(Field::SrcAddr)),
    ] {
        if !is_sent {
            want.unset(field);
        }
    }
    let has_engine = has(Field::EngineType) || has(Field::EngineId);
    if want.as_row().shape().fields().next().is_none() && !has_engine && !is_fixed {
        return None;
    }
    times(config, &mut want, event);
    if Proto(want.number(Field::Proto) as u8).is_icmp() {
        want.set(Field::SrcPort, 0);
        let type_and_code = want.number(Field::DstPort);
        want.set(Field::DstPort, type_and_code);
    }
    if is_fixed {
        if matches!(want.as_row().addr(Field::NextHop), Some(Addr::V6(_))) {
            want.unset(Field::NextHop);
        }
        for field in [Field::Input, Field::Output] {
            let index = want.number(field);
            want.set(field, if index > 65_535 { 0 } else { index });
        }
        for field in [Field::SrcAs, Field::DstAs].into_iter().filter(|f| config.version.carries(*f))
        {
            let number = want.number(field);
            want.set(field, if number > 65_535 { 23_456 } else { number });
        }
    }
    Some(want)
}

/// Start and end as they arrive.
fn times(config: &ExportConfig, want: &mut Flow, event: Option<u64>) {
    let is_uptime = config.time == TimeFormat::UptimeMs || !config.version.has_templates();
    let unit = if config.time == TimeFormat::Seconds && !is_uptime { 1000 } else { 1 };
    let row = want.as_row();
    let of = |field| row.u64(field).map(|t| t / unit * unit);
    // Headers of v9 and IPFIX have whole seconds.
    let export = if config.version.has_templates() { NOW / 1000 * 1000 } else { NOW };
    let (first, last) = match (of(Field::First), of(Field::Last)) {
        (Some(first), Some(last)) => (first, last),
        (Some(first), None) => (first, event.unwrap_or(first).max(first)),
        (None, Some(last)) => (last, last),
        (None, None) => (event.unwrap_or(export), event.unwrap_or(export)),
    };
    want.set(Field::First, first);
    want.set(Field::Last, last);
}

/// Fields that a collector adds by itself.
const ADDED: [Field; 4] =
    [Field::FwEventTime, Field::NatEventTime, Field::ObservationDomain, Field::Flows];

fn assert_same(got: &Flow, want: &Flow, name: &str) {
    let (got, want) = (got.as_row(), want.as_row());
    for field in Field::ALL.iter().filter(|f| element::OF_RECORD & element::bit(**f) == 0) {
        let is_added = ADDED.contains(field) && !want.has(*field);
        let is_empty = |row: Row<'_>| row.bytes(*field).is_none_or(|b| b.iter().all(|b| *b == 0));
        // What the formats of v1 and v5 have is there, if only as 0.
        if !(is_added || is_empty(got) && is_empty(want)) {
            assert_eq!(got.bytes(*field), want.bytes(*field), "{name}: {field:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn flows_arrive_as_they_were_but_for_what_the_version_cannot_say(
        version in version(),
        time in format(),
        flows in vec(flow(), 1..12),
        mtu in 508..3000usize,
        max_templates in 1..8usize,
    ) {
        let config = ExportConfig {
            time,
            mtu,
            max_templates,
            biflow: false,
            ..ExportConfig::new(version)
        };
        // Counters of v1 and v5 that are split are tested by themselves.
        let flows: Vec<_> = flows.into_iter().map(|mut flow| {
            for field in [Field::Packets, Field::Bytes] {
                let count = flow.number(field);
                if !version.has_templates() && flow.has(field) {
                    flow.set(field, count & 0xffff_ffff);
                }
            }
            flow
        }).collect();
        let (encoder, sent) = send(config.clone(), &flows);
        let (_, got) = sent.decode();
        let want: Vec<_> = flows.iter().filter_map(|f| received(&config, f)).collect();
        prop_assert_eq!(got.flows.len(), want.len());
        for (got, want) in got.flows.iter().zip(&want) {
            assert_same(got, want, &format!("{version} {time:?}"));
        }
        let c = encoder.counts();
        prop_assert_eq!(c.rows, flows.len() as u64);
        prop_assert_eq!(c.records + c.rows_left_out(), c.rows);
        prop_assert_eq!((c.wide_values, c.rows_undated), (0, 0));
        prop_assert!(sent.0.iter().all(|(d, _)| d.len() <= mtu));
    }

    #[test]
    fn rows_of_any_octets_become_datagrams_that_are_sound(
        version in version(),
        time in format(),
        biflow: bool,
        boot_ms: u64,
        stream: bool,
        rows in vec((vec(any::<u8>(), 0..60), vec((0..Field::COUNT, 0..70u16, 0..20u16), 0..30)), 1..20),
        gaps in vec(0..u64::MAX, 20),
        exact: Option<(u64, u64)>,
    ) {
        let transport = if stream { Transport::Stream } else { Transport::Datagrams };
        let config = ExportConfig { time, biflow, boot_ms, transport, ..ExportConfig::new(version) };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        for ((octets, slots), gap) in rows.iter().zip(gaps) {
            let mut shape = Shape::default();
            for (field, at, len) in slots {
                shape.set(Field::ALL[*field], *at, *len);
            }
            // Small steps, and clocks that jump.
            let now = if gap % 4 == 0 { gap } else { NOW + gap % 100_000 };
            encoder.tick(now, &mut sent);
            encoder.flow(now, Row::new(octets, &shape), exact, &mut sent);
            encoder.next_due();
        }
        encoder.connection_opened(NOW, &mut sent);
        encoder.flush(NOW, &mut sent);
        let c = *encoder.counts();
        prop_assert_eq!(c.records + c.rows_left_out(), c.rows + c.records_split);
        let (mut decoder, mut got) = (Decoder::new(Config::default()), Collect::default());
        for (datagram, carries) in &sent.0 {
            let before = got.flows.len();
            let outcome = if stream && version == Version::Ipfix {
                decoder.decode_stream(1, PEER, NOW, datagram, &mut got)
            } else {
                decoder.decode(PEER, NOW, datagram, &mut got)
            };
            prop_assert_eq!(outcome.error, None);
            let flows = got.flows.len() - before;
            prop_assert!(flows >= carries.records as usize);
        }
        let d = decoder.counters();
        prop_assert_eq!((d.bad_sets, d.sets_parked, d.truncated_records), (0, 0, 0));
        prop_assert_eq!((d.odd_lengths, d.wide_values, d.templates_truncated), (0, 0, 0));
    }
}
