//! Headers, sequence numbers, counts and uptimes, octet by octet.

use super::*;
use crate::{ipfix, v1, v5, v9};
use std::collections::HashMap;

const DAY: u64 = 24 * 60 * 60 * 1000;

fn config(version: Version) -> ExportConfig {
    ExportConfig { domain: 0x0102, ..ExportConfig::new(version) }
}

#[test]
fn v5_octet_by_octet() {
    let mut flow = with(
        plain(),
        &[
            (Field::Input, 4),
            (Field::Output, 5),
            (Field::SrcAs, 64_512),
            (Field::DstAs, 64_513),
            (Field::SrcMask, 24),
            (Field::DstMask, 16),
        ],
    );
    flow.set_addr(Field::NextHop, Addr::V4(0x0a00_0003));
    let sampling = Some(Sampling { one_of: 100, kind: SamplingKind::Systematic, selector: None });
    let boot_ms = NOW - 1_000_000;
    let (_, sent) = send(ExportConfig { boot_ms, sampling, ..config(Version::V5) }, &[flow]);
    let header = [0, 5, 0, 1]
        .into_iter()
        .chain(1_000_000u32.to_be_bytes())
        .chain(1_795_000_000u32.to_be_bytes())
        .chain(123_000_000u32.to_be_bytes())
        .chain([0, 0, 0, 0, 1, 2, 0x40, 100]);
    let record = [10, 1, 2, 3, 192, 0, 2, 7, 10, 0, 0, 3, 0, 4, 0, 5, 0, 0, 0, 11, 0, 0, 4, 210]
        .into_iter()
        .chain(929_999u32.to_be_bytes())
        .chain(989_998u32.to_be_bytes())
        .chain([195, 80, 1, 187, 0, 0x1b, 6, 8, 252, 0, 252, 1, 24, 16, 0, 0]);
    assert_eq!(sent.0[0].0, header.chain(record).collect::<Vec<u8>>());
}

#[test]
fn v1_has_24_records_of_48_octets() {
    let (encoder, sent) =
        send(ExportConfig { mtu: 1472, ..config(Version::V1) }, &vec![plain(); 25]);
    assert_eq!(encoder.counts().records, 25);
    let counts: Vec<_> = sent.0.iter().map(|(d, _)| (d.len(), u16_at(d, 2))).collect();
    assert_eq!(counts, [(16 + 24 * 48, 24), (16 + 48, 1)]);
    let record = &sent.0[1].0[v1::HEADER_LEN..];
    assert_eq!(record[..12], [10, 1, 2, 3, 192, 0, 2, 7, 0, 0, 0, 0]);
    assert_eq!(record[32..], [195, 80, 1, 187, 0, 0, 6, 8, 0x1b, 0, 0, 0, 0, 0, 0, 0]);
    let (_, got) = sent.decode();
    assert_eq!(got.flows.len(), 25);
    for field in [Field::First, Field::Last, Field::Bytes, Field::Proto, Field::TcpFlags] {
        assert!(got.flows.iter().all(|f| f.number(field) == plain().number(field)), "{field:?}");
    }
}

#[test]
fn v5_counts_flows() {
    for (mtu, per_datagram) in [(1472, 30), (9000, 30), (1400, 28), (508, 10), (100, 10)] {
        let (_, sent) = send(ExportConfig { mtu, ..config(Version::V5) }, &vec![plain(); 65]);
        let mut before = 0;
        for (datagram, carries) in &sent.0 {
            assert_eq!(u32_at(datagram, 16), before, "{mtu}");
            assert_eq!(u32::from(u16_at(datagram, 2)), carries.total(), "{mtu}");
            assert!(carries.records <= per_datagram, "{mtu}");
            before += carries.records;
        }
        assert_eq!((before, sent.0[0].1.records), (65, per_datagram), "{mtu}");
    }
}

#[test]
fn counters_too_wide_for_v5_become_several_records() {
    let max = u64::from(u32::MAX);
    for (packets, octets, want) in [
        (max, max, 1),
        (max + 1, 1, 2),
        (7, max * 5, 5),
        (7, max * 5 + 1, 6),
        (3, max * 100, 100),
        (max * 4096, 0, 4096),
    ] {
        let flow = with(plain(), &[(Field::Packets, packets), (Field::Bytes, octets)]);
        let (encoder, sent) = send(config(Version::V5), &[flow]);
        let counts = encoder.counts();
        assert_eq!((counts.records, counts.records_split), (want, want - 1), "{packets} {octets}");
        let (_, got) = sent.decode();
        let sum = |field| got.flows.iter().map(|f| f.number(field)).sum::<u64>();
        assert_eq!((sum(Field::Packets), sum(Field::Bytes)), (packets, octets));
        assert!(got.flows.iter().all(|f| f.number(Field::First) == NOW - 70_001));
    }
    let flow = with(plain(), &[(Field::Bytes, max * 4096 + 1)]);
    let (encoder, sent) = send(config(Version::V5), &[flow]);
    assert_eq!((encoder.counts().rows_uncountable, sent.0.len()), (1, 0));
}

#[test]
fn what_v1_and_v5_cannot_say_is_counted() {
    for version in [Version::V1, Version::V5] {
        let wide = [(Field::Input, 65_536), (Field::Output, 65_535), (Field::SrcAs, 65_536)];
        let mut one_v6 = plain();
        one_v6.set_addr(Field::DstAddr, DST6);
        let nat = with(plain(), &[(Field::NatEvent, 4)]);
        let firewall = with(plain(), &[(Field::FwEvent, 4)]);
        let undated = with(plain(), &[(Field::First, 0), (Field::Last, 0)]);
        let flows = [with(plain(), &wide), plain6(), one_v6, nat, firewall, undated];
        let (encoder, sent) = send(config(version), &flows);
        let (_, got) = sent.decode();
        let c = encoder.counts();
        assert_eq!((c.rows, c.records, c.rows_left_out()), (6, 1, 5));
        assert_eq!((c.rows_ipv6, c.rows_events, c.rows_undated), (2, 2, 1));
        assert_eq!(c.wide_interfaces, 1);
        let numbers = [Field::Input, Field::Output].map(|f| got.flows[0].number(f));
        assert_eq!(numbers, [0, 65_535]);
        let is_v5 = version == Version::V5;
        assert_eq!((c.wide_as_numbers, c.fields_left_out), if is_v5 { (1, 0) } else { (0, 1) });
        assert_eq!(got.flows[0].number(Field::SrcAs), if is_v5 { 23_456 } else { 0 });
    }
}

/// Records of a set; `lens` are octets of those of each template.
fn v9_records(id: u16, body: &[u8], lens: &mut HashMap<u16, usize>) -> usize {
    let numbers: Vec<_> = body.chunks_exact(2).map(|c| u16_at(c, 0)).collect();
    let len = |fields: &[u16]| fields.chunks_exact(2).map(|f| usize::from(f[1])).sum();
    match id {
        0 => {
            let (mut rest, mut count) = (&numbers[..], 0);
            while let [id, fields, ..] = *rest {
                let end = 2 + 2 * usize::from(fields);
                lens.insert(id, len(&rest[2..end]));
                rest = &rest[end..];
                count += 1;
            }
            count
        }
        1 => {
            let octets = usize::from(numbers[1] + numbers[2]);
            lens.insert(numbers[0], len(&numbers[3..3 + octets / 2]));
            1
        }
        id => body.len() / lens[&id],
    }
}

/// Count: "the total number of records in the Export Packet, which is the sum of Options FlowSet
/// records, Template FlowSet records, and Data FlowSet records" (RFC 3954, 5.1).
#[test]
fn v9_counts_datagrams_and_records_of_all_kinds() {
    let sampling = Some(Sampling { one_of: 10, kind: SamplingKind::Random, selector: None });
    let config = ExportConfig { sampling, template_every_packets: 3, ..config(Version::V9) };
    let flows: Vec<_> = (0..300).map(|i| if i % 3 == 0 { plain6() } else { plain() }).collect();
    let (encoder, sent) = send(config, &flows);
    assert!(sent.0.len() > 6);
    let (_, got) = sent.decode();
    assert_eq!(got.flows.len(), 300);
    let (mut all, mut lens) = (0, HashMap::new());
    for (n, (datagram, carries)) in sent.0.iter().enumerate() {
        assert_eq!((u16_at(datagram, 0), u32_at(datagram, 16)), (9, 0x0102));
        assert_eq!(u32_at(datagram, 12) as usize, n, "sequence");
        let records: usize =
            sets(datagram, v9::HEADER_LEN).iter().map(|s| v9_records(s.0, s.1, &mut lens)).sum();
        assert_eq!(usize::from(u16_at(datagram, 2)), records);
        assert_eq!(carries.total() as usize, records);
        all += records;
    }
    let c = encoder.counts();
    assert_eq!(all as u64, c.records + c.templates + c.options);
}

/// Sequence number: "Incremental sequence counter modulo 2^32 of all IPFIX Data Records sent in the
/// current stream from the current Observation Domain" before the message (RFC 7011, 3.1).
#[test]
fn ipfix_counts_the_data_records_before() {
    let sampling = Some(Sampling { one_of: 10, kind: SamplingKind::Random, selector: None });
    let config = ExportConfig { sampling, template_every_packets: 3, ..config(Version::Ipfix) };
    let (encoder, sent) = send(config, &vec![plain(); 500]);
    let (decoder, got) = sent.decode();
    assert_eq!((got.flows.len(), decoder.counters().lost_records), (500, 0));
    let mut before = 0;
    for (datagram, carries) in &sent.0 {
        assert_eq!((u16_at(datagram, 0), u32_at(datagram, 12)), (10, 0x0102));
        assert_eq!(usize::from(u16_at(datagram, 2)), datagram.len());
        assert_eq!(u32_at(datagram, 4), (NOW / 1000) as u32);
        assert_eq!(u32_at(datagram, 8), before);
        before += carries.records + carries.options;
        assert!(!sets(datagram, ipfix::HEADER_LEN).is_empty());
    }
    assert_eq!(u64::from(before), encoder.counts().records + encoder.counts().options);
    assert!(encoder.counts().options > 3);
}

/// Receivers date a v9 record by the whole second of the header and its uptime: they have to be of
/// the same moment.
#[test]
fn v9_uptimes_count_from_a_whole_second_of_the_header() {
    for boot_ms in [0, NOW - 1, NOW - 12_345, NOW + 5000] {
        let config = ExportConfig { boot_ms, time: TimeFormat::UptimeMs, ..config(Version::V9) };
        let (_, sent) = send(config, &[plain()]);
        let datagram = &sent.0[0].0;
        let (uptime, secs) = (u64::from(u32_at(datagram, 4)), u64::from(u32_at(datagram, 8)));
        let boot = secs * 1000 - uptime;
        let (_, data) = *sets(datagram, v9::HEADER_LEN).last().unwrap();
        let (first, last) = (u64::from(u32_at(data, 8)), u64::from(u32_at(data, 12)));
        assert_eq!((boot + first, boot + last), (NOW - 70_001, NOW - 10_002), "{boot_ms}");
        assert!(first > 0 && uptime > 0, "{boot_ms}");
    }
}

#[test]
fn uptimes_outlast_32_bits() {
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        let config = ExportConfig {
            boot_ms: NOW,
            time: TimeFormat::UptimeMs,
            max_delay_ms: DAY,
            ..config(version)
        };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        let (mut decoder, mut got) = (Decoder::new(Config::default()), Collect::default());
        // Two years, with flows of a day.
        for day in 1..=730 {
            let now = NOW + day * DAY + 123 * day;
            let first = with(plain(), &[(Field::First, now - DAY), (Field::Last, now - 1)]);
            encoder.flow(now, first.as_row(), None, &mut sent);
            encoder.flush(now, &mut sent);
            for (datagram, _) in sent.0.drain(..) {
                assert_eq!(decoder.decode(PEER, now, &datagram, &mut got).error, None);
            }
            let flow = got.flows.pop().unwrap();
            assert_eq!(flow.number(Field::First), now - DAY, "{version} {day}");
            assert_eq!(flow.number(Field::Last), now - 1, "{version} {day}");
            assert!(got.flows.is_empty());
        }
        assert_eq!(encoder.counts().rows_undated, 0);
        let c = decoder.counters();
        assert_eq!((c.odd_uptimes, c.sequence_gaps, c.duplicates), (0, 0, 0), "{version}");
    }
}

#[test]
fn flows_before_boot_are_dated_right() {
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        let config =
            ExportConfig { boot_ms: NOW - 500, time: TimeFormat::UptimeMs, ..config(version) };
        // The first two fit no clock that fits the last ones, and go in a datagram of their own.
        let ago = [400, 100, 24 * DAY, 3 * DAY, 0, 25 * DAY];
        let flows = ago.map(|a| with(plain(), &[(Field::First, NOW - a), (Field::Last, NOW)]));
        let (encoder, sent) = send(config, &flows);
        let (_, got) = sent.decode();
        let firsts: Vec<_> = got.flows.iter().map(|f| NOW - f.number(Field::First)).collect();
        assert_eq!(firsts, ago[..5], "{version}");
        assert_eq!(encoder.counts().rows_undated, 1, "{version}");
        assert!(sent.0.len() > 1, "{version}");
    }
}

#[test]
fn a_datagram_that_waited_for_long_keeps_its_clock() {
    for version in [Version::V5, Version::V9] {
        let config =
            ExportConfig { boot_ms: NOW - 40 * DAY, time: TimeFormat::UptimeMs, ..config(version) };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        encoder.flow(NOW, plain().as_row(), None, &mut sent);
        encoder.flush(NOW + 20 * DAY, &mut sent);
        let (decoder, got) = sent.decode();
        assert_eq!(got.flows[0].number(Field::First), NOW - 70_001, "{version}");
        assert_eq!(decoder.counters().odd_uptimes, 0);
    }
}

#[test]
fn flows_without_times_are_of_now_over_v5() {
    let mut flow = plain();
    flow.unset(Field::First);
    let one = flow.clone();
    flow.unset(Field::Last);
    let (_, sent) = send(config(Version::V5), &[one, flow]);
    let (_, got) = sent.decode();
    let times = |i: usize| [Field::First, Field::Last].map(|f| got.flows[i].number(f));
    assert_eq!([times(0), times(1)], [[NOW - 10_002; 2], [NOW; 2]]);
    assert_eq!(u16_at(&sent.0[0].0[v5::HEADER_LEN..], 46), 0);
}

#[test]
fn set_ups_that_cannot_be() {
    let sampling = |one_of| Some(Sampling { one_of, kind: SamplingKind::Random, selector: None });
    let stream = Transport::Stream;
    let new = ExportConfig::new;
    for (config, want) in [
        (new(Version::V1), Ok(())),
        (ExportConfig { sampling: sampling(1), ..new(Version::V1) }, Ok(())),
        (ExportConfig { sampling: sampling(2), ..new(Version::V1) }, Err(ConfigError::V1Sampling)),
        (ExportConfig { sampling: sampling(0x3fff), ..new(Version::V5) }, Ok(())),
        (
            ExportConfig { sampling: sampling(0x4000), ..new(Version::V5) },
            Err(ConfigError::V5Sampling { one_of: 0x4000 }),
        ),
        (ExportConfig { sampling: sampling(u32::MAX), ..new(Version::V9) }, Ok(())),
        (
            ExportConfig { transport: stream, ..new(Version::V9) },
            Err(ConfigError::Stream { version: Version::V9 }),
        ),
        (ExportConfig { transport: stream, ..new(Version::Ipfix) }, Ok(())),
        (ExportConfig { mtu: 507, ..new(Version::Ipfix) }, Err(ConfigError::Mtu { mtu: 507 })),
    ] {
        assert_eq!(config.check(), want, "{config:?}");
    }
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        assert_eq!(Version::from_number(version.number()), Some(version));
    }
    assert_eq!(Version::from_number(7), None);
    let words = ["uptime", "sec", "milli", "micro", "nano", "second"];
    assert_eq!(words.iter().filter_map(|w| TimeFormat::from_word(w)).count(), 5);
}
