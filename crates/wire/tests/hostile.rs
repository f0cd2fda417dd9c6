//! Exporters that mean harm: what each makes the decoder remember stays below its limit, and
//! other exporters go on.

use record::{Addr, Field};
use wire::testing::{Collect, IpfixBuilder, Record, V9Builder};
use wire::{Config, Continuity, Decoder, Limits, ipfix, v9};

const HOSTILE: Addr = Addr::V4(0x0a66_6666);
const HONEST: Addr = Addr::V4(0xc000_0201);
const NOW_MS: u64 = 1_795_000_000_000;
const VARIABLE: u16 = 0xffff;

fn header(sequence: u32, source_id: u32) -> v9::Header {
    v9::Header { uptime_ms: 90_000 + sequence, sequence, source_id, ..v9::Header::default() }
}

/// A decoder whose limits a single sender could reach in a moment if they were not its own.
fn decoder() -> Decoder {
    let limits = Limits { bytes_per_sender: 96 << 10, ..Limits::default() };
    Decoder::new(Config { limits, ..Config::default() })
}

/// Whether an exporter that nobody has heard of yet is served.
fn others_go_on(decoder: &mut Decoder) {
    let mut sink = Collect::default();
    let option = Record::new().number(2, 4).number(7, 4).number(10, 4).octets(b"Gi0/1   ");
    let datagram = V9Builder::new(header(0, 1))
        .template(300, &[(1, 4), (48, 4)])
        .options_template(400, &[(2, 4)], &[(48, 4), (50, 4), (82, 8)])
        .data(400, &[option.build()])
        .data(300, &[Record::new().number(5, 4).number(7, 4).build()]);
    decoder.decode(HONEST, NOW_MS, &datagram.build(), &mut sink);
    assert_eq!(sink.flows.len(), 1);
    assert_eq!(sink.flows[0].number(Field::Bytes), 50);
    assert_eq!(sink.names.len(), 1);
}

#[test]
fn template_bombs() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    // Every id, in as many observation domains as fit.
    for domain in 0..50 {
        for n in 0..20 {
            let mut datagram = V9Builder::new(header(n, domain));
            for id in 0..50 {
                datagram = datagram.template(256 + 50 * n as u16 + id, &[(1, 4); 12]);
            }
            decoder.decode(HOSTILE, NOW_MS, &datagram.build(), &mut sink);
        }
    }
    let held = decoder.templates().count();
    assert!(held < 1000, "{held} templates in 96 KiB");
    let c = decoder.counters();
    assert_eq!(c.templates_over_memory, 50 * 20 * 50 - held as u64);
    let refused: u64 = decoder.exporters().map(|e| e.totals.refused).sum();
    assert_eq!(refused, c.templates_over_memory);
    others_go_on(&mut decoder);
}

#[test]
fn as_many_domains_as_there_are() {
    let limits = Limits { exporters_per_sender: 100, exporters: 150, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
    for domain in 0..1000 {
        let outcome =
            decoder.decode(HOSTILE, NOW_MS, &V9Builder::new(header(0, domain)).build(), &mut sink);
        assert_eq!(outcome.is_bad(), domain >= 100);
    }
    assert_eq!(decoder.exporters().count(), 100);
    assert_eq!(decoder.counters().exporters_refused, 900);
    others_go_on(&mut decoder);
}

/// Addresses can be forged, and a table is as full as they like. It is theirs for a day, not for good.
#[test]
fn forged_senders_have_their_place_for_a_day() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    // Room for the templates of 100 exporters, not of 200.
    let template_bytes = 150 << 10;
    let limits = Limits { exporters: 100, template_bytes, ..Limits::default() };
    let (mut decoder, mut sink) =
        (Decoder::new(Config { limits, ..Config::default() }), Collect::default());
    let mut get = |decoder: &mut Decoder, peer: u32, now_ms: u64, datagram: V9Builder| {
        decoder.decode(Addr::V4(peer), now_ms, &datagram.build(), &mut sink).is_bad()
    };
    let template = |n| V9Builder::new(header(n, 1)).template(300, &[(1, 4)]);
    let data = |n| template(n).data(300, &[Record::new().number(5, 4).build()]);
    // Two that send data, one of them long ago; one that is still heard.
    assert!(!get(&mut decoder, 1, NOW_MS, data(0)));
    assert!(!get(&mut decoder, 2, NOW_MS + DAY_MS, data(0)));
    assert!(!get(&mut decoder, 3, NOW_MS, template(0)));
    for peer in 4..200 {
        assert_eq!(get(&mut decoder, peer, NOW_MS + 1, template(0)), peer > 100, "{peer}");
    }
    assert!(!get(&mut decoder, 3, NOW_MS + DAY_MS, template(1)));
    assert!(get(&mut decoder, 999, NOW_MS + 1 + DAY_MS, data(0)), "not a day yet");
    assert!(get(&mut decoder, 999, NOW_MS + 2 + DAY_MS, data(0)), "looked for a moment ago");
    assert!(!get(&mut decoder, 999, NOW_MS + 60_001 + DAY_MS, data(0)));
    assert_eq!(decoder.counters().exporters_forgotten, 97);
    let left: Vec<_> = decoder.exporters().map(|e| (e.exporter.sysid, e.exporter.addr)).collect();
    let want = [(1, Addr::V4(1)), (2, Addr::V4(2)), (3, Addr::V4(3)), (101, Addr::V4(999))];
    assert_eq!(left.iter().filter(|e| want.contains(e)).count(), 4, "{left:?}");
    assert_eq!((left.len(), decoder.templates().count()), (4, 4));
    // All places can be had again, with all the memory: of the table, of senders, of templates.
    for round in 1..20 {
        let now_ms = NOW_MS + round * 2 * DAY_MS;
        for peer in 0..96 {
            let peer = 10_000 * round as u32 + peer;
            assert!(!get(&mut decoder, peer, now_ms, template(0)), "{peer}");
        }
        let held = decoder.exporters().count();
        assert!((99..=100).contains(&held), "{held}");
    }
    let held = decoder.exporters().count();
    assert_eq!(decoder.templates().count(), held);
    // What a snapshot says of them holds on.
    let mut restored = Decoder::new(Config { limits, ..Config::default() });
    let told = restored.restore(decoder.snapshot(), NOW_MS + 40 * DAY_MS, Continuity::Clean);
    assert_eq!(told.expect("the same version").exporters, 0);
    assert_eq!(restored.snapshot(), Decoder::new(Config::default()).snapshot());
}

#[test]
fn options_about_options_without_end() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    for n in 0..2000u32 {
        // Each options template says it is the scope of the next, and tells samplers and names.
        let id = 256 + (n % 50) as u16;
        let scope = [(5, 2)];
        let record = Record::new()
            .number(u64::from(id) - 1, 2)
            .number(u64::from(n), 4)
            .number(2 + u64::from(n), 4)
            .number(u64::from(n), 4)
            .octets(&[b'n'; 40]);
        let datagram = V9Builder::new(header(n, 1))
            .options_template(id, &scope, &[(48, 4), (50, 4), (10, 4), (82, 40)])
            .data(id, &[record.build()]);
        decoder.decode(HOSTILE, NOW_MS, &datagram.build(), &mut sink);
    }
    let c = decoder.counters();
    assert!(c.samplers_refused > 1000 && c.names_refused > 1000);
    assert_eq!(c.options_records, 2000);
    assert!(sink.samplers.len() + sink.names.len() < 1000);
    others_go_on(&mut decoder);
}

#[test]
fn a_field_count_of_65535() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    let body = |len: usize| {
        let mut body = 300u16.to_be_bytes().to_vec();
        body.extend(u16::MAX.to_be_bytes());
        body.resize(len, 1);
        body
    };
    for len in [4, 8, 1400, 65_000] {
        // As it is said, without the fields; and as an options template with 65 535 octets of both.
        for set in [v9::TEMPLATES, v9::OPTIONS_TEMPLATES] {
            let datagram = V9Builder::new(header(0, 1)).set(set, &body(len)).build();
            decoder.decode(HOSTILE, NOW_MS, &datagram, &mut sink);
        }
        for set in [ipfix::TEMPLATES, ipfix::OPTIONS_TEMPLATES] {
            let message = IpfixBuilder::new(ipfix::Header::default()).set(set, &body(len));
            decoder.decode(HOSTILE, NOW_MS, &message.build(), &mut sink);
        }
    }
    assert_eq!(decoder.templates().count(), 0);
    let c = decoder.counters();
    assert_eq!(c.templates_learned, 0);
    assert!(c.templates_truncated >= 12, "{}", c.templates_truncated);
    others_go_on(&mut decoder);
}

#[test]
fn fields_of_no_length() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    for fields in [vec![(0, 1, 0); 3], vec![(0, 1, 0), (0, 2, 0), (0, 82, 0)]] {
        // Records of no octets would never end.
        let message = IpfixBuilder::new(ipfix::Header::default())
            .template(300, &fields)
            .set(300, &[0; 60_000]);
        decoder.decode(HOSTILE, NOW_MS, &message.build(), &mut sink);
        assert_eq!(sink.flows.len(), 0);
    }
    assert_eq!(decoder.counters().templates_empty, 2);
    // Beside others they are nothing, and records of one octet are as many as there are octets.
    let message = IpfixBuilder::new(ipfix::Header::default())
        .template(301, &[(0, 1, 0), (0, 4, 1), (0, 2, 0)])
        .set(301, &[6; 60_000]);
    decoder.decode(HOSTILE, NOW_MS, &message.build(), &mut sink);
    assert_eq!(sink.flows.len(), 60_000);
    sink.flows.clear();
    // A variable field may be empty in every record.
    let message = IpfixBuilder::new(ipfix::Header::default())
        .template(302, &[(0, 82, VARIABLE)])
        .set(302, &[0; 60_000]);
    decoder.decode(HOSTILE, NOW_MS, &message.build(), &mut sink);
    assert_eq!(sink.flows.len(), 60_000);
    others_go_on(&mut decoder);
}

#[test]
fn a_template_that_is_another_in_each_datagram() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    let mut waiting = 0;
    for n in 0..5000u32 {
        // Another template, and data of one that never comes: what waits is looked at each time.
        let fields: Vec<_> = (0..100).map(|i| (1 + ((n + i) % 400) as u16, 4)).collect();
        let datagram =
            V9Builder::new(header(n, 1)).template(300, &fields).set(301, &[0; 100]).build();
        decoder.decode(HOSTILE, NOW_MS, &datagram, &mut sink);
        assert!(decoder.waiting().bytes <= 1 << 20);
        waiting = decoder.waiting().sets;
    }
    assert_eq!(decoder.templates().count(), 1);
    let c = decoder.counters();
    assert_eq!((c.templates_changed, c.templates_over_memory), (4999, 0));
    assert_eq!(c.sets_parked, waiting + c.sets_parked_no_room);
    assert_eq!(c.sets_unparked, 0);
    others_go_on(&mut decoder);
}

/// As many sets as there is room for wait, and a datagram has a template or a withdrawal for every
/// id but theirs: none of them is touched.
#[test]
fn templates_that_nothing_waits_for() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    let header = ipfix::Header { domain: 1, ..ipfix::Header::default() };
    for _ in 0..8 {
        let sets = (0..1024).fold(IpfixBuilder::new(header), |b, _| b.set(300, &[1, 0, 0, 0]));
        decoder.decode(HOSTILE, NOW_MS, &sets.build(), &mut sink);
    }
    let waiting = decoder.waiting().sets;
    assert!(waiting > 4000, "{waiting}");
    let mut sets: Vec<u8> = Vec::new();
    for id in 301..5301u16 {
        sets.extend([id.to_be_bytes(), [0, 1], [0, 1], [0, 0]].concat());
        sets.extend([id.to_be_bytes(), [0, 0]].concat());
    }
    for _ in 0..10 {
        let message = IpfixBuilder::new(header).set(ipfix::TEMPLATES, &sets);
        decoder.decode(HOSTILE, NOW_MS, &message.build(), &mut sink);
    }
    assert_eq!(decoder.counters().withdrawals_ignored, 50_000);
    assert_eq!((decoder.waiting().sets, sink.flows.len()), (waiting, 0));
    let template = IpfixBuilder::new(header).template(300, &[(0, 1, 4)]);
    decoder.decode(HOSTILE, NOW_MS, &template.build(), &mut sink);
    assert_eq!((decoder.waiting().sets, sink.flows.len() as u64), (0, waiting));
    others_go_on(&mut decoder);
}

/// A connection defines templates and withdraws them, one by one and all, again and again: each
/// gives back what it took, so there is room for as many the next time.
#[test]
fn templates_withdrawn_without_end() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    let fields = [(0, 1, 4); 12];
    for n in 0..200 {
        let defined = (300..350).fold(IpfixBuilder::new(ipfix::Header::default()), |b, id| {
            b.template(id, &fields).options_template(id + 50, 1, &fields)
        });
        let message = if n % 2 == 0 {
            (300..400).fold(defined, IpfixBuilder::withdraw)
        } else {
            defined.withdraw(2).withdraw_options(3).withdraw(2)
        };
        decoder.decode_stream(1, HOSTILE, NOW_MS, &message.build(), &mut sink);
        assert_eq!(decoder.templates().count(), 0, "{n}");
    }
    let c = decoder.counters();
    assert_eq!((c.templates_learned, c.templates_withdrawn), (20_000, 20_000));
    assert_eq!((c.templates_over_memory, c.withdrawals_ignored), (0, 0));
    others_go_on(&mut decoder);
}

/// A megabyte that waits is read once, and no more than there is.
#[test]
fn one_template_for_all_that_waits() {
    let (mut decoder, mut sink) = (decoder(), Collect::default());
    for n in 0..1000 {
        let datagram = V9Builder::new(header(n, 1)).set(300, &[0; 1400]).build();
        decoder.decode(HOSTILE, NOW_MS, &datagram, &mut sink);
    }
    let waiting = decoder.waiting();
    assert!(waiting.bytes <= 1 << 20 && waiting.sets > 500);
    for n in 1000..1010 {
        let template = V9Builder::new(header(n, 1)).template(300, &[(1, 4)]);
        decoder.decode(HOSTILE, NOW_MS, &template.build(), &mut sink);
    }
    assert_eq!(sink.flows.len() as u64, waiting.sets * 350);
    assert_eq!(decoder.waiting().sets, 0);
    others_go_on(&mut decoder);
}
