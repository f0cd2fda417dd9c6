//! When templates and options are sent, and how many templates there are.

use super::*;
use record::NameTable;

const BOTH: [Version; 2] = [Version::V9, Version::Ipfix];

/// Gives one flow at a time and sends it; what it carried.
fn one(encoder: &mut Encoder, now: u64, flow: &Flow) -> Carries {
    let mut sent = Sent::default();
    encoder.flow(now, flow.as_row(), None, &mut sent);
    encoder.flush(now, &mut sent);
    assert_eq!(sent.0.len(), 1);
    sent.0[0].1
}

/// What a tick sends.
fn tick(encoder: &mut Encoder, now: u64) -> Vec<Carries> {
    let mut sent = Sent::default();
    encoder.tick(now, &mut sent);
    sent.0.iter().map(|d| d.1).collect()
}

fn carries(templates: u32, options: u32, records: u32) -> Carries {
    Carries { templates, options, records }
}

#[test]
fn templates_come_with_their_first_data_and_after_so_many_datagrams() {
    for version in BOTH {
        let config = ExportConfig { template_every_packets: 4, ..ExportConfig::new(version) };
        let mut encoder = Encoder::new(config);
        let mut got = Vec::new();
        for flow in [&plain(), &plain(), &plain6(), &plain(), &plain(), &plain(), &plain6()] {
            got.push(one(&mut encoder, NOW, flow).templates);
        }
        // Again before the fifth datagram, those of both.
        assert_eq!(got, [1, 0, 1, 0, 2, 0, 0], "{version}");
        assert_eq!(encoder.counts().refreshes, 1);
        encoder.request_templates();
        assert_eq!(one(&mut encoder, NOW, &plain()), carries(2, 0, 1), "{version}");
    }
}

#[test]
fn templates_come_again_by_time_without_data() {
    for version in BOTH {
        let mut encoder = Encoder::new(ExportConfig::new(version));
        assert_eq!(tick(&mut encoder, NOW), [], "there is none yet");
        assert_eq!(encoder.next_due(), None);
        assert_eq!(one(&mut encoder, NOW, &plain()), carries(1, 0, 1));
        assert_eq!(encoder.next_due(), Some(NOW + 60_000));
        assert_eq!(tick(&mut encoder, NOW + 59_999), []);
        assert_eq!(tick(&mut encoder, NOW + 60_000), [carries(1, 0, 0)], "{version}");
        assert_eq!(tick(&mut encoder, NOW + 60_001), []);
        assert_eq!(encoder.next_due(), Some(NOW + 120_000));
        // As long as it takes.
        for minute in 2..100 {
            let got = tick(&mut encoder, NOW + minute * 60_000);
            assert_eq!(got, [carries(1, 0, 0)], "{version} {minute}");
        }
        // A clock that is set back does not stop them.
        assert_eq!(tick(&mut encoder, NOW - 1_000_000), [carries(1, 0, 0)], "{version}");
        encoder.request_templates();
        assert_eq!(tick(&mut encoder, NOW - 1_000_000), [carries(1, 0, 0)], "{version}");
        let mut never = Encoder::new(ExportConfig {
            template_every_secs: 0,
            template_after_idle_secs: 0,
            ..ExportConfig::new(version)
        });
        one(&mut never, NOW, &plain());
        assert_eq!(tick(&mut never, NOW + 1_000_000_000), []);
        assert_eq!(one(&mut never, NOW + 1_000_000_000, &plain()), carries(0, 0, 1));
    }
}

#[test]
fn templates_come_again_after_idling() {
    for version in BOTH {
        let config = ExportConfig { template_every_secs: 0, ..ExportConfig::new(version) };
        let mut encoder = Encoder::new(config);
        let times = [0, 14_999, 29_998, 44_998, 44_999];
        let got = times.map(|t| one(&mut encoder, NOW + t, &plain()).templates);
        assert_eq!(got, [1, 0, 0, 1, 0], "{version}");
    }
}

#[test]
fn templates_out_of_use_come_with_their_next_data() {
    for version in BOTH {
        let config = ExportConfig { template_every_packets: 1, ..ExportConfig::new(version) };
        let mut encoder = Encoder::new(config);
        let mut flows = vec![plain6()];
        flows.extend(vec![plain(); 4]);
        flows.push(plain6());
        let got: Vec<_> = flows.iter().map(|f| one(&mut encoder, NOW, f).templates).collect();
        assert_eq!(got, [1, 2, 1, 1, 1, 2], "{version}");
    }
}

#[test]
fn records_wait_for_more_but_not_for_long() {
    for version in [Version::V1, Version::V5, Version::V9, Version::Ipfix] {
        let mut encoder = Encoder::new(ExportConfig::new(version));
        let mut sent = Sent::default();
        encoder.flow(NOW, plain().as_row(), None, &mut sent);
        assert_eq!(encoder.next_due(), Some(NOW + 1000));
        encoder.tick(NOW + 999, &mut sent);
        assert_eq!(sent.0.len(), 0, "{version}");
        encoder.tick(NOW + 1000, &mut sent);
        assert_eq!(sent.0.len(), 1, "{version}");
        // A flow is as good as a tick.
        encoder.flow(NOW + 1000, plain().as_row(), None, &mut sent);
        encoder.flow(NOW + 2000, plain().as_row(), None, &mut sent);
        assert_eq!(sent.0.iter().map(|d| d.1.records).collect::<Vec<_>>(), [1, 1], "{version}");
        encoder.flush(NOW + 2000, &mut sent);
        encoder.flush(NOW + 2000, &mut sent);
        assert_eq!(sent.0.len(), 3, "nothing is sent twice");
        let at_once = ExportConfig { max_delay_ms: 0, ..ExportConfig::new(version) };
        let mut encoder = Encoder::new(at_once);
        encoder.flow(NOW, plain().as_row(), None, &mut sent);
        assert_eq!(sent.0.len(), 4, "{version}");
        let octets: usize = sent.0[3..].iter().map(|d| d.0.len()).sum();
        assert_eq!(encoder.counts().octets, octets as u64);
    }
}

#[test]
fn sampling_is_announced_and_understood() {
    for version in [Version::V5, Version::V9, Version::Ipfix] {
        for (kind, selector) in [
            (SamplingKind::Systematic, None),
            (SamplingKind::Random, None),
            (SamplingKind::Systematic, Some(7)),
            (SamplingKind::Random, Some(7)),
        ] {
            if version == Version::V5 && selector.is_some() {
                continue;
            }
            let sampling = Some(Sampling { one_of: 100, kind, selector });
            let config = ExportConfig { sampling, ..ExportConfig::new(version) };
            let mut flow = plain();
            if let Some(id) = selector {
                flow.set(Field::SelectorId, id.into());
            }
            let (_, sent) = send(config, &[flow]);
            let (_, got) = sent.decode();
            let name = format!("{version} {kind:?} {selector:?}");
            assert_eq!(got.flows[0].number(Field::Bytes), 123_400, "{name}");
            assert_eq!(got.flows[0].number(Field::Packets), 1100, "{name}");
            let sampler = got.samplers[0];
            assert_eq!((sampler.packet_interval, sampler.space_interval), (1, 99), "{name}");
            let algorithm = match (version, kind) {
                (_, SamplingKind::Systematic) => 1,
                (Version::Ipfix, SamplingKind::Random) => 3,
                _ => 2,
            };
            assert_eq!(sampler.algorithm, algorithm, "{name}");
            assert_eq!(sampler.id, selector.map_or(-1, i64::from), "{name}");
        }
    }
    // Nothing to say, nothing said.
    for version in BOTH {
        let sampling = Some(Sampling { one_of: 1, kind: SamplingKind::Random, selector: None });
        let (encoder, _) =
            send(ExportConfig { sampling, ..ExportConfig::new(version) }, &[plain()]);
        assert_eq!((encoder.counts().options, encoder.counts().templates), (0, 1), "{version}");
    }
}

#[test]
fn interfaces_have_names() {
    let name = |index, name: &str, about: &str| InterfaceName {
        index,
        name: name.into(),
        description: about.into(),
    };
    let long = "ü".repeat(40);
    for version in BOTH {
        let interfaces = vec![name(2, "eth0", "to the core"), name(7, &long, "")];
        let config = ExportConfig { interfaces, ..ExportConfig::new(version) };
        let mut encoder = Encoder::new(config);
        let mut sent = Sent::default();
        encoder.tick(NOW, &mut sent);
        assert_eq!(sent.0[0].1, carries(1, 2, 0), "{version}");
        encoder.set_interfaces(vec![name(3, "ppp0", "")]);
        encoder.flow(NOW, plain().as_row(), None, &mut sent);
        encoder.flush(NOW, &mut sent);
        assert_eq!(sent.0[1].1, carries(2, 1, 1), "{version}");
        let (_, got) = sent.decode();
        let names: Vec<_> = got.names.iter().map(|(_, t, id, n)| (*t, *id, n.as_str())).collect();
        let interface = NameTable::Interface;
        // 32 octets hold 16 of the letters.
        let want =
            [(interface, 2, "eth0"), (interface, 7, &"ü".repeat(16)), (interface, 3, "ppp0")];
        assert_eq!(names, want, "{version}");
    }
}

/// Flows that all need templates of their own.
fn shapes(n: u32) -> Vec<Flow> {
    let fields = [
        Field::Input,
        Field::Output,
        Field::SrcAs,
        Field::DstAs,
        Field::SrcVlan,
        Field::DstVlan,
        Field::MinTtl,
        Field::MaxTtl,
        Field::EndReason,
        Field::Direction,
    ];
    let flow = |i: u32| {
        let chosen = (0..).zip(fields).filter(|(bit, _)| i >> bit & 1 != 0);
        with(plain(), &chosen.map(|(_, f)| (f, u64::from(i % 200))).collect::<Vec<_>>())
    };
    (0..n).map(flow).collect()
}

fn bytes_of(flows: &[Flow]) -> Vec<u64> {
    flows.iter().map(|f| f.number(Field::MinTtl) << 32 | f.number(Field::Input)).collect()
}

#[test]
fn templates_are_bounded() {
    for version in BOTH {
        let config = ExportConfig { max_templates: 10, ..ExportConfig::new(version) };
        // All in turn, so that each makes room for another.
        let flows = [shapes(50), shapes(50)].concat();
        let (encoder, sent) = send(config, &flows);
        let (decoder, got) = sent.decode();
        assert_eq!(bytes_of(&got.flows), bytes_of(&flows), "{version}");
        assert_eq!(encoder.counts().templates_evicted, 90, "{version}");
        // Ids have one meaning as long as a collector may remember it.
        let mut ids: Vec<_> = decoder.templates().map(|t| t.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 100, "{version}");

        // Within the bound, no template is sent twice.
        let config = ExportConfig { max_templates: 50, ..ExportConfig::new(version) };
        let (encoder, _) = send(ExportConfig { template_every_packets: 0, ..config }, &flows);
        assert_eq!((encoder.counts().templates, encoder.counts().templates_evicted), (50, 0));
    }
}

#[test]
fn ids_of_templates_are_used_again_after_a_rest() {
    for version in BOTH {
        let config = ExportConfig { max_templates: 2, ..ExportConfig::new(version) };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        let flows = shapes(4);
        for (hour, flow) in (0..).zip(flows.iter().cycle().take(40)) {
            encoder.flow(NOW + hour * 3_600_000, flow.as_row(), None, &mut sent);
        }
        encoder.flush(NOW + 40 * 3_600_000, &mut sent);
        let (decoder, got) = sent.decode();
        assert_eq!(bytes_of(&got.flows), bytes_of(&flows).repeat(10), "{version}");
        assert!(decoder.templates().count() <= 4, "{}", decoder.templates().count());
    }
}

/// More templates than there are ids.
#[test]
fn all_ids_may_be_used_up() {
    for version in BOTH {
        let config =
            ExportConfig { max_templates: 1, max_delay_ms: 0, ..ExportConfig::new(version) };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        let (mut decoder, mut got) = (Decoder::new(Config::default()), Collect::default());
        let flows = shapes(2);
        for i in 0..70_000u64 {
            encoder.flow(NOW, flows[i as usize % 2].as_row(), None, &mut sent);
            // A collector has no room for all of them.
            if i % 3000 == 0 {
                decoder = Decoder::new(Config::default());
            }
            for (datagram, _) in sent.0.drain(..).filter(|_| i >= 62_000) {
                decoder.decode(PEER, NOW, &datagram, &mut got);
            }
        }
        assert!(bytes_of(&got.flows) == bytes_of(&flows).repeat(4000), "{version}");
    }
}

#[test]
fn datagrams_are_no_longer_than_told() {
    for version in BOTH {
        for mtu in [508, 509, 600, 1400, 9000, 65_507] {
            for template_every_packets in [1, 20] {
                let config =
                    ExportConfig { mtu, template_every_packets, ..ExportConfig::new(version) };
                let flows = shapes(300);
                let (encoder, sent) = send(config, &flows);
                assert!(sent.0.iter().all(|(d, _)| d.len() <= mtu), "{version} {mtu}");
                let (_, got) = sent.decode();
                assert_eq!(bytes_of(&got.flows), bytes_of(&flows), "{version} {mtu}");
                assert_eq!(encoder.counts().datagrams, sent.0.len() as u64);
            }
        }
    }
}

#[test]
fn records_too_large_for_a_datagram_are_counted() {
    let mut flow = plain();
    flow.set_bytes(Field::Frame, &[7; 2000]);
    let (encoder, sent) = send(ExportConfig::new(Version::Ipfix), &[flow.clone(), plain()]);
    assert_eq!((encoder.counts().rows_too_large, encoder.counts().records), (1, 1));
    assert_eq!(sent.decode().1.flows.len(), 1);
    let config = ExportConfig { mtu: 3000, ..ExportConfig::new(Version::Ipfix) };
    let (_, got) = send(config, &[flow]).1.decode();
    assert_eq!(got.flows[0].as_row().bytes(Field::Frame), Some(&[7; 2000][..]));
}

fn stream() -> ExportConfig {
    ExportConfig { transport: Transport::Stream, ..ExportConfig::new(Version::Ipfix) }
}

/// Decodes messages of one connection each.
fn decode_streams(connections: &[&[Vec<u8>]]) -> (Decoder, Collect) {
    let (mut decoder, mut got) = (Decoder::new(Config::default()), Collect::default());
    for (session, messages) in (1..).zip(connections) {
        for message in *messages {
            let outcome = decoder.decode_stream(session, PEER, NOW, message, &mut got);
            assert_eq!(outcome.error, None);
        }
        let c = decoder.counters();
        assert_eq!((c.sets_parked, c.sets_deferred), (0, 0), "{c:?}");
        decoder.end_session(session);
    }
    (decoder, got)
}

#[test]
fn templates_go_once_over_a_connection() {
    let config = ExportConfig { template_every_packets: 1, max_delay_ms: 0, ..stream() };
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    encoder.connection_opened(NOW, &mut sent);
    assert_eq!(sent.0.len(), 0, "there is nothing to say");
    for i in 0..10 {
        encoder.flow(NOW + i * 100_000, plain().as_row(), None, &mut sent);
        encoder.tick(NOW + i * 100_000, &mut sent);
    }
    let templates: Vec<_> = sent.0.iter().map(|d| d.1.templates).collect();
    assert_eq!(templates, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_new_connection_knows_everything_that_waits() {
    let (mut encoder, mut first) = (Encoder::new(stream()), Sent::default());
    let flows = [plain(), plain6(), plain()];
    for flow in &flows {
        encoder.flow(NOW, flow.as_row(), None, &mut first);
    }
    encoder.flush(NOW, &mut first);
    encoder.flow(NOW, plain6().as_row(), None, &mut first);
    let mut second = Sent::default();
    encoder.connection_opened(NOW, &mut second);
    assert_eq!(second.0[0].1, carries(2, 0, 0));
    encoder.flow(NOW, plain().as_row(), None, &mut second);
    encoder.flush(NOW, &mut second);
    let octets = |sent: &Sent| sent.0.iter().map(|d| d.0.clone()).collect::<Vec<_>>();
    assert_eq!(u32_at(&second.0[1].0, 8), 0, "the sequence begins anew");
    let (_, got) = decode_streams(&[&octets(&first), &octets(&second)]);
    assert_eq!(got.flows.len(), 5);
}

#[test]
fn templates_are_withdrawn_before_their_id_is_used_again() {
    let config = ExportConfig { max_templates: 3, mtu: 508, ..stream() };
    let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
    let flows = [shapes(20), shapes(20)].concat();
    let mut reopened = Sent::default();
    for (i, flow) in flows.iter().enumerate() {
        if i == 30 {
            encoder.connection_opened(NOW, &mut reopened);
        }
        encoder.flow(NOW, flow.as_row(), None, if i < 30 { &mut sent } else { &mut reopened });
    }
    encoder.flush(NOW, &mut reopened);
    let octets = |sent: &Sent| sent.0.iter().map(|d| d.0.clone()).collect::<Vec<_>>();
    let (mut decoder, mut got) = (Decoder::new(Config::default()), Collect::default());
    for (session, messages) in [(1, octets(&sent)), (2, octets(&reopened))] {
        for message in &messages {
            decoder.decode_stream(session, PEER, NOW, message, &mut got);
        }
        assert!(decoder.templates().filter(|t| t.id >= 260).count() <= 6);
    }
    assert_eq!(bytes_of(&got.flows), bytes_of(&flows));
    assert_eq!(encoder.counts().templates_evicted, 37);
    assert_eq!(decoder.counters().sets_parked, 0);
}

#[test]
fn names_of_many_interfaces_come_by_time_and_not_with_every_template() {
    for (version, count) in [(Version::V9, 8), (Version::V9, 500), (Version::Ipfix, 500)] {
        let interfaces: Vec<_> = (1..=count)
            .map(|index| InterfaceName {
                index,
                name: format!("ppp{index}"),
                description: String::new(),
            })
            .collect();
        let every = 60_000;
        let config = ExportConfig {
            interfaces,
            max_delay_ms: 0,
            template_every_packets: 20,
            template_every_secs: 60,
            ..ExportConfig::new(version)
        };
        let (mut encoder, mut sent) = (Encoder::new(config), Sent::default());
        let names = |encoder: &Encoder| encoder.counts().options;
        let all = u64::from(count);
        // A datagram for each flow.
        for ms in 0..1000 {
            encoder.flow(NOW + ms, plain().as_row(), None, &mut sent);
        }
        assert!(encoder.counts().refreshes >= 45, "{version:?} {:?}", encoder.counts());
        if count > 8 {
            assert_eq!(names(&encoder), all, "{version:?}: with the first");
            encoder.flow(NOW + every - 1, plain().as_row(), None, &mut sent);
            assert_eq!(names(&encoder), all, "{version:?}: after it was idle");
            encoder.tick(NOW + every, &mut sent);
            for ms in 0..20 {
                encoder.flow(NOW + every + ms, plain().as_row(), None, &mut sent);
            }
            assert_eq!(names(&encoder), 2 * all, "{version:?}: by time");
            encoder.request_templates();
            encoder.tick(NOW + every + 20, &mut sent);
            assert_eq!(names(&encoder), 3 * all, "{version:?}: on request");
        } else {
            assert_eq!(names(&encoder), all * (1 + encoder.counts().refreshes));
        }
        sent.decode();
    }
}
