//! What a decoder keeps: parked data, snapshots, sessions, duplicates, and limits against whoever
//! would fill it.

use record::{Addr, Field};
use wire::testing::{Collect, IpfixBuilder, Record, V9Builder};
use wire::{Config, Continuity, Decoder, ExporterCounts, Limits, Snapshot, ipfix, v9};

const PEER: Addr = Addr::V4(0xc000_0201);
const NOW_MS: u64 = 1_795_000_000_000;
const MINUTE_MS: u64 = 60_000;

fn v9_header(sequence: u32) -> v9::Header {
    v9::Header {
        uptime_ms: 1_000_000 + sequence,
        unix_secs: (NOW_MS / 1000) as u32 + sequence,
        sequence,
        source_id: 7,
        ..v9::Header::default()
    }
}

fn v9_data(sequence: u32, id: u16, octets: u64) -> Vec<u8> {
    V9Builder::new(v9_header(sequence)).data(id, &[Record::new().number(octets, 4).build()]).build()
}

fn v9_template(sequence: u32, id: u16) -> Vec<u8> {
    V9Builder::new(v9_header(sequence)).template(id, &[(1, 4)]).build()
}

fn ipfix_header(sequence: u32) -> ipfix::Header {
    ipfix::Header { export_secs: (NOW_MS / 1000) as u32, sequence, domain: 3, length: 0 }
}

fn ipfix_data(sequence: u32, id: u16, octets: &[u64]) -> Vec<u8> {
    let records: Vec<_> = octets.iter().map(|n| Record::new().number(*n, 4).build()).collect();
    IpfixBuilder::new(ipfix_header(sequence)).data(id, &records).build()
}

fn ipfix_template(sequence: u32, id: u16) -> Vec<u8> {
    IpfixBuilder::new(ipfix_header(sequence)).template(id, &[(0, 1, 4)]).build()
}

fn bytes(sink: &Collect) -> Vec<u64> {
    sink.flows.iter().map(|f| f.number(Field::Bytes)).collect()
}

fn totals(decoder: &Decoder) -> ExporterCounts {
    decoder.exporters().next().expect("an exporter").totals
}

fn with_limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

mod parking {
    use super::*;

    #[test]
    fn data_is_read_in_order_of_arrival_and_dated_by_its_own_message() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let uptimes = |sequence: u32, id| {
            let record = Record::new().number(u64::from(sequence), 4).number(1_000_000, 4).build();
            V9Builder::new(v9_header(sequence)).data(id, &[record]).build()
        };
        for (n, id) in [(0, 300), (1, 301), (2, 300), (3, 302)] {
            decoder.decode(PEER, NOW_MS + u64::from(n), &uptimes(n, id), &mut sink);
        }
        assert_eq!((sink.flows.len(), decoder.waiting().sets), (0, 4));
        let fields = [(1, 4), (22, 4)];
        let both = V9Builder::new(v9_header(4)).template(301, &fields).template(300, &fields);
        decoder.decode(PEER, NOW_MS + 4, &both.build(), &mut sink);
        assert_eq!(bytes(&sink), [0, 1, 2]);
        for (n, flow) in sink.flows.iter().enumerate() {
            let n = n as u64;
            // Export time plus n seconds, uptime plus n milliseconds.
            assert_eq!(flow.number(Field::First), NOW_MS + n * 1000 - n);
            assert_eq!(flow.number(Field::Received), NOW_MS + n);
        }
        let c = decoder.counters();
        assert_eq!((c.sets_parked, c.sets_unparked, c.sets_without_template), (4, 3, 0));
        let view = decoder.exporters().next().unwrap();
        assert_eq!((view.parked_sets, view.totals.sets_waiting()), (1, 1));
        assert_eq!(view.parked_bytes as u64, decoder.waiting().bytes);
    }

    #[test]
    fn options_data_waits_too() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let option = Record::new().number(1, 4).number(9, 4).number(100, 4).build();
        let flow = Record::new().number(9, 4).number(5, 4).build();
        let data = V9Builder::new(v9_header(0)).data(400, &[option]).data(300, &[flow]);
        decoder.decode(PEER, NOW_MS, &data.build(), &mut sink);
        let templates = V9Builder::new(v9_header(1))
            .template(300, &[(48, 4), (1, 4)])
            .options_template(400, &[(1, 4)], &[(48, 4), (50, 4)]);
        decoder.decode(PEER, NOW_MS, &templates.build(), &mut sink);
        assert_eq!(bytes(&sink), [500], "the sampler came first");
    }

    #[test]
    fn what_waits_is_bounded_by_age_and_by_exporter() {
        let room = with_limits(|l| l.parked_bytes_per_exporter = 1000);
        let (mut decoder, mut sink) = (Decoder::new(room), Collect::default());
        for n in 0..50 {
            decoder.decode(PEER, NOW_MS, &v9_data(n, 300, n.into()), &mut sink);
            assert!(decoder.waiting().bytes <= 1000);
        }
        let kept = decoder.waiting().sets;
        assert!(kept > 2);
        assert_eq!(decoder.counters().sets_parked_no_room, 50 - kept);
        decoder.expire_parked(NOW_MS + 30 * MINUTE_MS);
        assert_eq!(decoder.waiting().sets, kept);
        decoder.expire_parked(NOW_MS + 30 * MINUTE_MS + 1);
        assert_eq!(decoder.waiting(), wire::Waiting::default());
        let c = decoder.counters();
        assert_eq!((c.sets_parked_too_long, c.sets_without_template), (kept, 50));
        assert_eq!(totals(&decoder).sets_without_template, 50);
        // Those that are left are the latest.
        for n in 50..60 {
            decoder.decode(PEER, NOW_MS, &v9_data(n, 300, n.into()), &mut sink);
        }
        decoder.decode(PEER, NOW_MS, &v9_template(60, 300), &mut sink);
        let want: Vec<_> = (60 - kept..60).collect();
        assert_eq!(bytes(&sink), want);
    }

    #[test]
    fn too_old_a_set_is_not_read_even_if_nobody_expired_it() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &v9_data(0, 300, 1), &mut sink);
        decoder.decode(PEER, NOW_MS + 31 * MINUTE_MS, &v9_template(1, 300), &mut sink);
        assert_eq!((sink.flows.len(), decoder.counters().sets_parked_too_long), (0, 1));
    }

    #[test]
    fn parking_can_be_turned_off() {
        for off in [
            with_limits(|l| l.parked_ms = 0),
            with_limits(|l| l.parked_bytes = 0),
            with_limits(|l| l.parked_bytes_per_exporter = 0),
        ] {
            let (mut decoder, mut sink) = (Decoder::new(off), Collect::default());
            decoder.decode(PEER, NOW_MS, &v9_data(0, 300, 1), &mut sink);
            decoder.decode(PEER, NOW_MS, &v9_template(1, 300), &mut sink);
            let c = decoder.counters();
            assert_eq!((c.sets_not_parked, c.sets_without_template, sink.flows.len()), (1, 1, 0));
            assert_eq!((c.sets_parked, c.sets_parked_no_room), (1, 0));
            assert_eq!(totals(&decoder).sets_waiting(), 0);
        }
    }

    #[test]
    fn who_parks_most_does_not_drive_out_others() {
        let config = with_limits(|l| l.parked_bytes = 20_000);
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        let honest = Addr::V4(1);
        decoder.decode(honest, NOW_MS, &v9_data(0, 300, 5), &mut sink);
        for n in 0..5000 {
            // As many exporters as it likes, behind one address.
            let header = v9::Header { source_id: n % 500, ..v9_header(n / 500) };
            let data = V9Builder::new(header).set(300, &[0; 40]).build();
            decoder.decode(PEER, NOW_MS, &data, &mut sink);
            assert!(decoder.waiting().bytes <= 20_000);
        }
        assert!(decoder.counters().sets_parked_no_room > 4000);
        decoder.decode(honest, NOW_MS, &v9_template(1, 300), &mut sink);
        assert_eq!(bytes(&sink), [5]);
    }

    #[test]
    fn withdrawals_over_udp_leave_what_waits() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &ipfix_data(0, 300, &[1]), &mut sink);
        let withdrawal = IpfixBuilder::new(ipfix_header(1)).withdraw(300).withdraw(2).build();
        decoder.decode(PEER, NOW_MS, &withdrawal, &mut sink);
        assert_eq!((decoder.waiting().sets, decoder.counters().withdrawals_ignored), (1, 2));
        decoder.decode(PEER, NOW_MS, &ipfix_template(1, 300), &mut sink);
        assert_eq!(bytes(&sink), [1]);
        decoder.decode(PEER, NOW_MS, &withdrawal, &mut sink);
        decoder.decode(PEER, NOW_MS, &ipfix_data(1, 300, &[2]), &mut sink);
        assert_eq!(bytes(&sink), [1, 2]);
    }

    #[test]
    fn a_template_that_is_no_longer_meant_reads_nothing() {
        // The exporter began anew: over v9 its clock says so, over IPFIX its numbers.
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &v9_data(90, 300, 1), &mut sink);
        let young = v9::Header { uptime_ms: 5000, ..v9_header(0) };
        let both =
            V9Builder::new(young).data(301, &[vec![0, 0, 0, 9]]).template(300, &[(1, 4)]).build();
        decoder.decode(PEER, NOW_MS, &both, &mut sink);
        assert_eq!((sink.flows.len(), decoder.counters().sets_parked_replaced), (0, 1));
        let late = V9Builder::new(v9::Header { sequence: 1, ..young }).template(301, &[(1, 4)]);
        decoder.decode(PEER, NOW_MS, &late.build(), &mut sink);
        assert_eq!(bytes(&sink), [9], "what came after the restart is its own");
    }

    #[test]
    fn a_refused_template_leaves_data_waiting_and_does_not_spin() {
        let config = with_limits(|l| l.fields_per_template = 2);
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for n in 0..200 {
            decoder.decode(PEER, NOW_MS, &v9_data(2 * n, 300, 1), &mut sink);
            let fields = [(1, 4), (2, 4), (7, 2)];
            let refused = V9Builder::new(v9_header(2 * n + 1)).template(300, &fields).build();
            decoder.decode(PEER, NOW_MS, &refused, &mut sink);
        }
        let c = decoder.counters();
        assert_eq!((c.sets_parked, c.sets_unparked, c.templates_many_fields), (200, 0, 200));
        assert_eq!((decoder.waiting().sets, totals(&decoder).refused), (200, 200));
    }

    #[test]
    fn a_loss_behind_parked_data_is_found_when_its_template_comes() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for datagram in [
            IpfixBuilder::new(ipfix_header(0)).template(299, &[(0, 1, 4)]).build(),
            ipfix_data(0, 299, &[1]),
            ipfix_data(1, 299, &[2]),
            ipfix_data(2, 300, &[3, 4]),
            // 4 to 9 are lost.
            ipfix_data(10, 299, &[5]),
        ] {
            decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
        }
        let t = totals(&decoder);
        assert_eq!((t.missing_records, t.parked_records, t.unparked_records), (0, 8, 0));
        decoder.decode(PEER, NOW_MS, &ipfix_template(11, 300), &mut sink);
        let t = totals(&decoder);
        assert_eq!((t.missing_records, t.gaps, t.unparked_records), (6, 1, 8));
        assert_eq!(t.sent_records(), 11);
        assert_eq!(decoder.counters().lost_records, 6);
        // One of those that were missing comes after all.
        decoder.decode(PEER, NOW_MS, &ipfix_data(6, 299, &[6, 7]), &mut sink);
        let t = totals(&decoder);
        assert_eq!((t.missing_records, t.recovered_records, t.sent_records()), (6, 2, 11));
    }
}

mod duplicates {
    use super::*;

    fn run(datagrams: &[(u64, Vec<u8>)], drop_duplicates: bool) -> (ExporterCounts, usize) {
        let config = Config { drop_duplicates, ..Config::default() };
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for (at_ms, datagram) in datagrams {
            decoder.decode(PEER, NOW_MS + at_ms, datagram, &mut sink);
        }
        (totals(&decoder), sink.flows.len())
    }

    #[test]
    fn the_same_datagram_within_a_second_is_read_once() {
        let mut template_and_data = vec![(0, v9_template(0, 300))];
        template_and_data.extend((1..=70).map(|n| (n.into(), v9_data(n, 300, n.into()))));
        let again = |at_ms, n| (at_ms, v9_data(n, 300, u64::from(n)));
        for (name, more, dropped, duplicates) in [
            ("at once", vec![again(70, 70)], 1, 1),
            ("twice", vec![again(70, 70), again(71, 70)], 2, 2),
            ("64th from last", vec![again(70, 7)], 1, 1),
            ("65th from last", vec![again(70, 6)], 0, 1),
            ("a second later", vec![again(1070, 70)], 1, 1),
            ("more than that", vec![again(1071, 70)], 0, 1),
            ("other octets", vec![(70, v9_data(70, 300, 1))], 0, 1),
        ] {
            let datagrams = [template_and_data.clone(), more.clone()].concat();
            let (t, flows) = run(&datagrams, true);
            assert_eq!((t.duplicates_dropped, t.duplicates), (dropped, duplicates), "{name}");
            assert_eq!(flows as u64, 70 + more.len() as u64 - dropped, "{name}");
            assert_eq!(t.sent_datagrams(), 71, "{name}");
            let (t, flows) = run(&datagrams, false);
            assert_eq!((t.duplicates_dropped, flows), (0, 70 + more.len()), "{name}, off");
        }
    }

    #[test]
    fn a_late_datagram_is_none() {
        let order = [0, 1, 3, 2, 4];
        let datagrams: Vec<_> = order
            .map(|n| (n, if n == 0 { v9_template(0, 300) } else { v9_data(n as u32, 300, n) }))
            .to_vec();
        let (t, flows) = run(&datagrams, true);
        assert_eq!((t.duplicates, t.reordered, t.recovered_datagrams, flows), (0, 1, 1, 4));
    }
}

mod sessions {
    use super::*;

    #[test]
    fn templates_belong_to_a_session_and_end_with_it() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode_stream(1, PEER, NOW_MS, &ipfix_template(0, 300), &mut sink);
        decoder.decode_stream(1, PEER, NOW_MS, &ipfix_data(0, 300, &[1]), &mut sink);
        assert_eq!(bytes(&sink), [1]);
        assert_eq!(decoder.templates().count(), 1);
        // Neither another session nor UDP has the template.
        decoder.decode_stream(2, PEER, NOW_MS, &ipfix_data(0, 300, &[2]), &mut sink);
        assert_eq!(decoder.counters().sets_without_template, 1, "streams wait for nothing");
        assert_eq!(decoder.counters().sets_not_parked, 1);
        assert_eq!((totals(&decoder).sets_parked, totals(&decoder).sets_waiting()), (1, 0));
        decoder.decode(PEER, NOW_MS, &ipfix_data(0, 300, &[3]), &mut sink);
        assert_eq!((bytes(&sink).len(), decoder.waiting().sets), (1, 1));
        // The same number again, after its end, is a new session.
        decoder.end_session(1);
        assert_eq!(decoder.templates().count(), 0);
        decoder.decode_stream(1, PEER, NOW_MS, &ipfix_data(1, 300, &[4]), &mut sink);
        assert_eq!(bytes(&sink).len(), 1);
        // UDP still waits for its own.
        decoder.decode(PEER, NOW_MS, &ipfix_template(1, 300), &mut sink);
        assert_eq!(bytes(&sink), [1, 3]);
        assert_eq!(decoder.exporters().count(), 1, "one exporter throughout");
        assert_eq!(sink.exporters.len(), 1);
    }

    #[test]
    fn each_session_counts_anew_and_repeats_are_no_duplicates() {
        let config = Config { drop_duplicates: true, ..Config::default() };
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for session in [7, 8, u32::MAX] {
            decoder.decode_stream(session, PEER, NOW_MS, &ipfix_template(0, 300), &mut sink);
            for n in 0..5 {
                let data = ipfix_data(n, 300, &[u64::from(n)]);
                decoder.decode_stream(session, PEER, NOW_MS, &data, &mut sink);
            }
            decoder.end_session(session);
        }
        let t = totals(&decoder);
        assert_eq!((t.flows, t.restarts, t.duplicates, t.gaps), (15, 0, 0, 0), "{t:#?}");
        // A gap within a session is one.
        decoder.decode_stream(9, PEER, NOW_MS, &ipfix_template(0, 300), &mut sink);
        for n in [0, 4] {
            decoder.decode_stream(9, PEER, NOW_MS, &ipfix_data(n, 300, &[1]), &mut sink);
        }
        assert_eq!(totals(&decoder).missing_records, 3);
    }

    #[test]
    fn memory_of_a_session_is_given_back() {
        let config = with_limits(|l| l.bytes_per_sender = 5000);
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        for session in 0..1000 {
            decoder.decode_stream(session, PEER, NOW_MS, &ipfix_template(0, 300), &mut sink);
            decoder.end_session(session);
        }
        assert_eq!(decoder.counters().templates_over_memory, 0);
        assert_eq!(decoder.counters().templates_learned, 1000);
    }
}

mod snapshots {
    use super::*;
    use record::NameTable;

    /// A decoder with everything that a snapshot has, and data that needs it.
    fn furnished() -> (Decoder, Vec<Vec<u8>>) {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let option = Record::new().number(1, 4).number(9, 4).number(100, 4).octets(b"Gi0/1\xff  ");
        let v9 = V9Builder::new(v9_header(0))
            .template(300, &[(48, 4), (1, 4)])
            .options_template(400, &[(2, 4)], &[(48, 4), (50, 4), (82, 8)])
            .data(400, &[option.build()]);
        decoder.decode(Addr::V4(99), NOW_MS, &v9_template(0, 256), &mut sink);
        decoder.decode(PEER, NOW_MS, &v9.build(), &mut sink);
        let boot = IpfixBuilder::new(ipfix_header(0))
            .template(256, &[(0, 1, 4), (0, 22, 4), (0, 82, 65535)])
            .options_template(257, 1, &[(0, 149, 4), (0, 160, 8), (0, 95, 4), (0, 96, 65535)]);
        let told = Record::new()
            .number(1, 4)
            .number(NOW_MS - 77_000, 8)
            .octets(&[1, 2, 3, 200])
            .variable(b"dns");
        let boot = boot.data(257, &[told.build()]).build();
        decoder.decode(PEER, NOW_MS, &boot, &mut sink);
        let sampled = Record::new().number(9, 4).number(5, 4).build();
        let uptime = Record::new().number(6, 4).number(7000, 4).variable(b"x").build();
        let data = vec![
            V9Builder::new(v9_header(1)).data(300, &[sampled]).build(),
            IpfixBuilder::new(ipfix_header(1)).data(256, &[uptime]).build(),
        ];
        (decoder, data)
    }

    fn copy(snapshot: &Snapshot) -> Snapshot {
        let text = serde_json::to_string(snapshot).unwrap();
        let copy = serde_json::from_str(&text).unwrap();
        assert_eq!(*snapshot, copy);
        copy
    }

    #[test]
    fn a_restored_decoder_reads_the_same_data_to_the_same_flows() {
        let (mut decoder, data) = furnished();
        let snapshot = copy(&decoder.snapshot());
        let mut restored = Decoder::new(Config::default());
        let told = restored.restore(snapshot.clone(), NOW_MS, Continuity::Clean).unwrap();
        assert_eq!((told.exporters, told.templates, told.outdated, told.refused), (3, 5, 0, 0));
        assert_eq!(restored.snapshot(), snapshot);
        let (mut a, mut b) = (Collect::default(), Collect::default());
        decoder.announce(&mut a);
        restored.announce(&mut b);
        for datagram in &data {
            decoder.decode(PEER, NOW_MS, datagram, &mut a);
            restored.decode(PEER, NOW_MS, datagram, &mut b);
        }
        assert_eq!(format!("{:?}", a.flows), format!("{:?}", b.flows));
        assert_eq!(bytes(&b), [500, 6]);
        assert_eq!(b.flows[1].number(Field::First), NOW_MS - 70_000);
        assert_eq!((&a.exporters, &a.samplers), (&b.exporters, &b.samplers));
        assert_eq!((&a.names, &a.applications), (&b.names, &b.applications));
        assert_eq!(b.names[0].1, NameTable::Interface);
        assert_eq!(b.applications[0].1, [1, 2, 3, 200]);
        let t: Vec<_> = restored.exporters().map(|e| e.totals).collect();
        assert!(t.iter().all(|t| t.gaps + t.missing_while_stopped + t.restarts == 0), "{t:?}");
    }

    #[test]
    fn exporters_keep_their_numbers() {
        let (decoder, _) = furnished();
        let snapshot = decoder.snapshot();
        let number = |d: &Decoder, peer| {
            d.exporters().find(|e| e.exporter.addr == peer).unwrap().exporter.sysid
        };
        let mut restored = Decoder::new(Config::default());
        restored.restore(snapshot.clone(), NOW_MS, Continuity::Crashed).unwrap();
        let mut sink = Collect::default();
        restored.decode(Addr::V4(55), NOW_MS, &v9_template(0, 256), &mut sink);
        assert_eq!((number(&restored, Addr::V4(99)), number(&restored, PEER)), (1, 2));
        assert_eq!(number(&restored, Addr::V4(55)), 4);
        // Twice changes nothing.
        let once: Vec<_> = restored.exporters().map(|e| e.exporter).collect();
        restored.restore(snapshot, NOW_MS, Continuity::Crashed).unwrap();
        assert_eq!(restored.exporters().map(|e| e.exporter).collect::<Vec<_>>(), once);
    }

    #[test]
    fn continuity_decides_about_sequence_numbers() {
        let (decoder, _) = furnished();
        for (continuity, missing) in [(Continuity::Clean, 8), (Continuity::Crashed, 0)] {
            let mut restored = Decoder::new(Config::default());
            restored.restore(decoder.snapshot(), NOW_MS, continuity).unwrap();
            let mut sink = Collect::default();
            for n in [9, 10, 12] {
                let option = Record::new().number(9, 4).number(5, 4).build();
                let data = V9Builder::new(v9_header(n)).data(300, &[option]).build();
                restored.decode(PEER, NOW_MS, &data, &mut sink);
            }
            let views: Vec<_> = restored.exporters().collect();
            let t = views.iter().find(|v| v.totals.datagrams > 0).unwrap().totals;
            assert_eq!(t.missing_while_stopped, missing, "{continuity:?}");
            assert_eq!((t.missing_datagrams, t.gaps, t.restarts), (1, 1, 0), "{continuity:?}");
        }
    }

    #[test]
    fn what_is_old_is_left_out() {
        let (decoder, _) = furnished();
        const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
        for (age, exporters, templates) in
            // Of one of them no record was ever read.
            [
                (DAY_MS, 3, 5),
                (DAY_MS + 1, 2, 0),
                (30 * DAY_MS, 2, 0),
                (30 * DAY_MS + 1, 0, 0),
            ]
        {
            let mut restored = Decoder::new(Config::default());
            let told =
                restored.restore(decoder.snapshot(), NOW_MS + age, Continuity::Clean).unwrap();
            assert_eq!((told.exporters, told.templates), (exporters, templates), "{age}");
            assert_eq!(restored.templates().count() as u64, templates, "{age}");
        }
    }

    #[test]
    fn a_restored_template_is_redefined_as_usual_and_serves_what_waits() {
        let (decoder, _) = furnished();
        let (mut restored, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let wait = V9Builder::new(v9_header(1)).data(300, &[vec![0, 0, 0, 9, 0, 0, 0, 5]]).build();
        restored.decode(PEER, NOW_MS, &wait, &mut sink);
        assert_eq!(restored.waiting().sets, 1);
        restored.restore(decoder.snapshot(), NOW_MS, Continuity::Clean).unwrap();
        restored.decode(PEER, NOW_MS, &v9_data(2, 999, 1), &mut sink);
        assert_eq!((restored.waiting().sets, bytes(&sink)), (1, vec![500]));
        restored.decode(PEER, NOW_MS, &v9_template(3, 300), &mut sink);
        assert_eq!(restored.counters().templates_changed, 1);
        restored.decode(PEER, NOW_MS, &v9_data(4, 300, 7), &mut sink);
        assert_eq!(bytes(&sink), [500, 7]);
    }

    #[test]
    fn addresses_of_agents_are_unmapped_too() {
        let text = serde_json::to_string(&furnished().0.snapshot()).unwrap();
        for (old, new) in [
            ("\"address\":\"192.0.2.1\"", "\"address\":\"::ffff:192.0.2.1\""),
            (
                "\"address\":\"192.0.2.1\"",
                "\"address\":\"192.0.2.1\",\"agent\":\"::ffff:192.0.2.1\"",
            ),
        ] {
            assert!(text.contains(old), "{text}");
            let mapped = serde_json::from_str(&text.replace(old, new)).unwrap();
            let mut decoder = Decoder::new(Config::default());
            decoder.restore(mapped, NOW_MS, Continuity::Clean).unwrap();
            assert_eq!(serde_json::to_string(&decoder.snapshot()).unwrap(), text, "{new}");
            let mut sink = Collect::default();
            decoder.decode(PEER, NOW_MS, &v9_data(1, 999, 1), &mut sink);
            assert_eq!(decoder.exporters().count(), 3, "{new}");
        }
    }

    #[test]
    fn changes_moves_with_what_is_saved_and_with_nothing_else() {
        let (mut decoder, data) = furnished();
        let (before, mut sink) = (decoder.changes(), Collect::default());
        for datagram in &data {
            decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        }
        assert_eq!(decoder.changes(), before, "data");
        let mut last = before;
        let option =
            |id: u64| Record::new().number(1, 4).number(id, 4).number(100, 4).octets(&[65; 8]);
        let changes = [
            ("a template", V9Builder::new(v9_header(2)).template(301, &[(1, 4)]).build()),
            ("another", V9Builder::new(v9_header(3)).template(301, &[(2, 4)]).build()),
            (
                "a sampler and a name",
                V9Builder::new(v9_header(4)).data(400, &[option(10).build()]).build(),
            ),
        ];
        for (name, datagram) in changes {
            decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
            assert_ne!(decoder.changes(), last, "{name}");
            last = decoder.changes();
            decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
            assert_eq!(decoder.changes(), last, "{name} again");
        }
        decoder.decode(Addr::V4(4), NOW_MS, &v9_data(0, 999, 1), &mut sink);
        assert_ne!(decoder.changes(), last, "an exporter");
        last = decoder.changes();
        decoder.decode(PEER, NOW_MS + 60 * MINUTE_MS, &data[0], &mut sink);
        assert_ne!(decoder.changes(), last, "an hour");
    }

    #[test]
    fn another_version_is_refused_whole() {
        let text = serde_json::to_string(&furnished().0.snapshot()).unwrap();
        let other =
            serde_json::from_str(&text.replacen("\"version\":1", "\"version\":2", 1)).unwrap();
        let mut decoder = Decoder::new(Config::default());
        let error = decoder.restore(other, NOW_MS, Continuity::Clean).unwrap_err();
        assert_eq!(error.0, 2);
        assert_eq!(decoder.exporters().count(), 0);
    }

    /// Numbers changed at random, octet by octet: no panic, no limit exceeded.
    #[test]
    fn damaged_snapshots_are_survived() {
        let (decoder, data) = furnished();
        let text = serde_json::to_string(&decoder.snapshot()).unwrap().into_bytes();
        let config = with_limits(|l| {
            l.templates_per_exporter = 3;
            l.bytes_per_sender = 3000;
        });
        let (mut read, mut random) = (0, 1u64);
        for at in 0..text.len() {
            for digit in *b"059," {
                let mut damaged = text.clone();
                damaged[at] = digit;
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let other = (random >> 33) as usize % damaged.len();
                if damaged[other].is_ascii_digit() {
                    damaged[other] = b'9';
                }
                let Ok(snapshot) = serde_json::from_slice(&damaged) else { continue };
                read += 1;
                let mut restored = Decoder::new(config);
                let _ = restored.restore(snapshot, NOW_MS, Continuity::Clean);
                assert!(restored.exporters().all(|e| e.templates <= 3));
                let mut sink = Collect::default();
                for datagram in &data {
                    restored.decode(PEER, NOW_MS, datagram, &mut sink);
                }
                restored.announce(&mut sink);
            }
        }
        assert!(read > 500, "{read} only");
        for cut in 0..text.len() {
            assert!(serde_json::from_slice::<Snapshot>(&text[..cut]).is_err());
        }
    }

    #[test]
    fn limits_hold_for_snapshots() {
        let (mut big, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for n in 0..100 {
            let template = V9Builder::new(v9_header(n)).template(300 + n as u16, &[(1, 4); 20]);
            big.decode(PEER, NOW_MS, &template.build(), &mut sink);
            big.decode(Addr::V4(n), NOW_MS, &v9_template(0, 300), &mut sink);
        }
        let config = with_limits(|l| {
            l.exporters = 20;
            l.templates_per_exporter = 10;
        });
        let mut restored = Decoder::new(config);
        let told = restored.restore(big.snapshot(), NOW_MS, Continuity::Clean).unwrap();
        assert_eq!((told.exporters, restored.exporters().count()), (20, 20));
        assert_eq!((told.templates, told.refused), (10 + 19, 90 + 81));
    }
}
