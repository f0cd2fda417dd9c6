//! The equations of the ledger over random traffic: datagrams lost, doubled, reordered, and data
//! whose template comes late. What is counted equals what was injected, exactly.

use record::Addr;
use wire::testing::{Collect, IpfixBuilder, Record, V5Builder, V9Builder};
use wire::{Config, Decoder, ExporterCounts, ipfix, v5, v9};

const PEER: Addr = Addr::V4(0xc000_0201);
const NOW_MS: u64 = 1_795_000_000_000;

/// Numbers that look random, the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn one_of(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A datagram as it was sent.
#[derive(Clone)]
struct Sent {
    octets: Vec<u8>,
    flows: u64,
    options: u64,
    /// Neither lost nor moved: templates, and what begins and ends a run.
    is_safe: bool,
}

impl Sent {
    fn records(&self) -> u64 {
        self.flows + self.options
    }
}

/// What the network did.
#[derive(Default)]
struct Injected {
    lost_datagrams: u64,
    lost_records: u64,
    doubled: u64,
    doubled_records: u64,
}

fn records(n: u64, from: u64) -> Vec<Vec<u8>> {
    (0..n).map(|i| Record::new().number(from + i, 4).build()).collect()
}

const OPTION: u16 = 400;

/// IPFIX: templates 300 (sent first), 301 and 302 (sent in the middle), options 400.
fn ipfix_run(random: &mut Random, len: usize) -> Vec<Sent> {
    let (mut sent, mut sequence) = (Vec::new(), 0u64);
    let late = [len / 3 + random.below(9) as usize, len / 2];
    for n in 0..len {
        let header = ipfix::Header {
            // No two messages are the same, not even those without records.
            export_secs: (NOW_MS / 1000) as u32 + n as u32,
            sequence: sequence as u32,
            domain: 5,
            length: 0,
        };
        let mut message = IpfixBuilder::new(header);
        let (mut flows, mut options) = (0, 0);
        if n == 0 {
            message = message.template(300, &[(0, 1, 4)]);
            message = message.options_template(OPTION, 1, &[(0, 149, 4)]);
        }
        for (id, at) in [(301, late[0]), (302, late[1])] {
            if n == at {
                message = message.template(id, &[(0, 1, 4)]);
            }
        }
        let is_edge = n == 0 || n + 4 > len;
        for id in [300, 301, 302] {
            let more = if is_edge { 1 } else { random.below(4) };
            if more > 0 {
                message = message.data(id, &records(more, sequence + flows));
                flows += more;
            }
        }
        if random.one_of(5) {
            options = 1 + random.below(2);
            message = message.data(OPTION, &records(options, 7));
        }
        sequence += flows + options;
        // Until two messages have followed each other nobody knows what the exporter counts.
        let is_safe = is_edge || n < 3 || late.contains(&n);
        sent.push(Sent { octets: message.build(), flows, options, is_safe });
    }
    sent
}

fn v9_run(random: &mut Random, len: usize) -> Vec<Sent> {
    let late = len / 2;
    let run = (0..len).map(|n| {
        let header = v9::Header {
            uptime_ms: 1_000_000 + n as u32,
            unix_secs: (NOW_MS / 1000) as u32,
            sequence: n as u32,
            ..v9::Header::default()
        };
        let mut datagram = V9Builder::new(header);
        if n == 0 {
            datagram = datagram.template(300, &[(1, 4)]);
        }
        if n == late {
            datagram = datagram.template(301, &[(1, 4)]);
        }
        let more = 1 + random.below(5);
        datagram = datagram.data(300, &records(more, n as u64));
        datagram = datagram.data(301, &records(more, n as u64));
        let is_safe = n == 0 || n + 4 > len || n == late;
        Sent { octets: datagram.build(), flows: 2 * more, options: 0, is_safe }
    });
    run.collect()
}

fn v5_run(random: &mut Random, len: usize) -> Vec<Sent> {
    let (mut sent, mut sequence) = (Vec::new(), 0);
    for n in 0..len {
        let header = v5::Header {
            uptime_ms: 1_000_000 + n as u32,
            unix_secs: (NOW_MS / 1000) as u32,
            sequence,
            ..v5::Header::default()
        };
        let flows = 1 + random.below(30);
        let datagram = (0..flows).fold(V5Builder::new(header), |b, i| b.record([i as u8; 48]));
        sequence += flows as u32;
        let is_safe = n == 0 || n + 4 > len;
        sent.push(Sent { octets: datagram.build(), flows, options: 0, is_safe });
    }
    sent
}

/// What arrives, in order of arrival.
fn network(random: &mut Random, sent: &[Sent]) -> (Vec<Sent>, Injected) {
    let (mut arriving, mut injected) = (Vec::new(), Injected::default());
    for (n, datagram) in sent.iter().enumerate() {
        // Place on the way; what is late moves a few places back.
        let mut place = n * 10;
        if !datagram.is_safe {
            if random.one_of(12) {
                injected.lost_datagrams += 1;
                injected.lost_records += datagram.records();
                continue;
            }
            if random.one_of(10) {
                place += 5 + 10 * random.below(4) as usize;
            }
        }
        // The last ones close what is open.
        arriving.push((place.min(sent.len() * 10 - 40), n, datagram.clone()));
        if datagram.is_safe {
            arriving.last_mut().expect("just pushed").0 = n * 10;
        } else if random.one_of(10) && n + 8 < sent.len() {
            injected.doubled += 1;
            injected.doubled_records += datagram.records();
            arriving.push((place + 10 * random.below(3) as usize + 1, n, datagram.clone()));
        }
    }
    arriving.sort_by_key(|a| a.0);
    (arriving.into_iter().map(|a| a.2).collect(), injected)
}

fn sum(slots: &[ExporterCounts]) -> Vec<u64> {
    let mut sums = vec![0; ExporterCounts::default().iter().count()];
    for slot in slots {
        for (sum, (name, _, n)) in sums.iter_mut().zip(slot.iter()) {
            assert!(n < 1 << 40, "{name} went back");
            *sum += n;
        }
    }
    sums
}

/// Runs the datagrams through a decoder, with slots that end at random.
fn receive(random: &mut Random, arriving: &[Sent], drop_duplicates: bool) -> (Decoder, Collect) {
    let config = Config { drop_duplicates, ..Config::default() };
    let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
    let mut slots = Vec::new();
    for (n, datagram) in arriving.iter().enumerate() {
        let outcome = decoder.decode(PEER, NOW_MS + n as u64, &datagram.octets, &mut sink);
        assert_eq!(outcome.error, None);
        if random.one_of(20) {
            slots.extend(decoder.take_slots().iter().map(|s| s.counts));
        }
    }
    slots.extend(decoder.take_slots().iter().map(|s| s.counts));
    let totals = decoder.exporters().next().expect("one exporter").totals;
    assert_eq!(sum(&slots), totals.iter().map(|c| c.2).collect::<Vec<_>>());
    assert_eq!(totals.datagrams, arriving.len() as u64);
    assert_eq!(
        totals.datagrams,
        totals.datagrams_whole() + totals.bad_datagrams + totals.duplicates_dropped
    );
    assert_eq!(sink.flows.len() as u64, totals.flows);
    (decoder, sink)
}

type Run = fn(&mut Random, usize) -> Vec<Sent>;

#[test]
fn what_is_counted_is_what_was_injected() {
    let runs: [(&str, Run, bool); 3] =
        [("IPFIX", ipfix_run, true), ("v9", v9_run, false), ("v5", v5_run, true)];
    for (name, run, counts_records) in runs {
        for seed in 1..=150 {
            let random = &mut Random(seed * 0x9e37_79b9);
            let sent = run(random, 150);
            let (arriving, injected) = network(random, &sent);
            // Without a clock, doubled messages that are read again may look like a restart.
            let settings: &[bool] = if name == "IPFIX" { &[true] } else { &[true, false] };
            for &drop_duplicates in settings {
                let (decoder, _) = receive(random, &arriving, drop_duplicates);
                let t = decoder.exporters().next().expect("one exporter").totals;
                let what = format!("{name}, seed {seed}, dropping {drop_duplicates}: {t:#?}");
                let all: u64 = sent.iter().map(Sent::records).sum();
                let again = if drop_duplicates { 0 } else { injected.doubled_records };
                assert_eq!(t.records(), all - injected.lost_records + again, "read, {what}");
                assert_eq!(t.duplicates, injected.doubled, "{what}");
                let dropped = if drop_duplicates { injected.doubled } else { 0 };
                assert_eq!(t.duplicates_dropped, dropped, "{what}");
                assert_eq!((t.restarts, t.sets_waiting()), (0, 0), "{what}");
                if counts_records {
                    assert_eq!(t.sent_records(), all, "{what}");
                    assert_eq!(decoder.counters().lost_records, injected.lost_records, "{what}");
                    assert_eq!(decoder.counters().sequence_gaps, t.gaps - t.gaps_closed, "{what}");
                    let missing = t.missing_records - t.recovered_records;
                    assert_eq!(missing, injected.lost_records, "{what}");
                    assert_eq!((t.undecodable_records, t.missing_datagrams), (0, 0), "{what}");
                    assert_eq!(t.parked_records, t.unparked_records, "{what}");
                    assert_eq!(t.repeated_records, again, "{what}");
                } else {
                    assert_eq!(t.sent_datagrams(), sent.len() as u64, "{what}");
                    assert_eq!(t.lost_datagrams(), injected.lost_datagrams, "{what}");
                    assert_eq!(t.missing_records, 0, "{what}");
                }
            }
        }
    }
}

/// The template of some data never comes: its records are told by the sequence numbers.
#[test]
fn data_whose_template_never_comes_is_counted_in_records() {
    for seed in 1..=100 {
        let random = &mut Random(seed * 0x9e37_79b9);
        let mut sent = ipfix_run(random, 60);
        // The message with the second template is not there: its data is unknown for good.
        let at = 60 / 2;
        let gone = sent.remove(at);
        let arriving: Vec<_> = sent.clone();
        let (mut decoder, _) = receive(random, &arriving, true);
        let waiting = decoder.exporters().next().expect("one").totals.sets_waiting();
        assert!(waiting > 0);
        assert_eq!(decoder.waiting().sets, waiting);
        decoder.expire_parked(u64::MAX);
        let t = decoder.exporters().next().expect("one").totals;
        let what = format!("seed {seed}: {t:#?}");
        let all: u64 = sent.iter().map(Sent::records).sum::<u64>() + gone.records();
        // What the last message holds of it shows when the next one comes.
        let open = 1;
        assert_eq!(t.sent_records(), all - open, "{what}");
        assert_eq!(t.parked_records, t.unparked_records, "{what}");
        assert_eq!(t.sets_waiting(), 0, "{what}");
        assert_eq!(decoder.waiting(), wire::Waiting::default());
        assert_eq!(t.sets_without_template, waiting, "{what}");
        assert_eq!(decoder.counters().sets_parked_too_long, waiting, "{what}");
    }
}

/// Cut short on the way: what is missing of a message is told by the next one.
#[test]
fn what_is_cut_off_is_undecodable() {
    for seed in 1..=100 {
        let random = &mut Random(seed);
        for run in [ipfix_run as Run, v5_run] {
            let sent = run(random, 60);
            let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
            for (n, datagram) in sent.iter().enumerate() {
                let mut octets = datagram.octets.clone();
                if !datagram.is_safe && random.one_of(4) {
                    octets.truncate(octets.len() - 4);
                }
                decoder.decode(PEER, NOW_MS + n as u64, &octets, &mut sink);
            }
            let t = decoder.exporters().next().expect("one exporter").totals;
            let all: u64 = sent.iter().map(Sent::records).sum();
            assert_eq!(t.sent_records(), all, "seed {seed}: {t:#?}");
            assert_eq!((t.missing_records, t.recovered_records), (0, 0), "seed {seed}: {t:#?}");
            assert_eq!(t.records() + t.undecodable_records, all, "seed {seed}: {t:#?}");
            assert!(t.undecodable_records > 0 && t.bad_datagrams > 0);
        }
    }
}

/// A datagram fills what was taken for the rest of one that was cut short: the losses of others
/// are none the less for it.
#[test]
fn what_is_read_after_all_takes_back_no_loss() {
    let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
    let message = |sequence: u32, n| {
        let header = ipfix::Header { sequence, domain: 5, ..ipfix::Header::default() };
        IpfixBuilder::new(header).template(300, &[(0, 1, 4)]).data(300, &records(n, 1))
    };
    // Another exporter has lost ten records.
    for sequence in [0, 1, 12] {
        decoder.decode(Addr::V4(99), NOW_MS, &message(sequence, 1).build(), &mut sink);
    }
    assert_eq!(decoder.counters().lost_records, 10);
    let mut cut = message(2, 2).build();
    cut.truncate(cut.len() - 4);
    for datagram in [message(0, 1).build(), message(1, 1).build(), cut, message(8, 1).build()] {
        decoder.decode(PEER, NOW_MS, &datagram, &mut sink);
    }
    let totals = |d: &Decoder| d.exporters().nth(1).expect("two exporters").totals;
    let t = totals(&decoder);
    assert_eq!((t.undecodable_records, t.missing_records, t.lost_records()), (5, 0, 5), "{t:#?}");
    decoder.decode(PEER, NOW_MS, &message(4, 4).build(), &mut sink);
    let t = totals(&decoder);
    assert_eq!((t.undecodable_recovered, t.recovered_records, t.reordered), (4, 0, 1), "{t:#?}");
    assert_eq!((t.lost_records(), t.sent_records()), (1, 9), "{t:#?}");
    assert_eq!(decoder.counters().lost_records, 10);
}

/// An exporter that starts again is no loss, whatever its protocol.
#[test]
fn restarts_are_no_loss() {
    for (run, counts_records) in
        [(ipfix_run as Run, true), (v9_run as Run, false), (v5_run as Run, true)]
    {
        let random = &mut Random(77);
        let (first, mut second) = (run(random, 80), run(random, 80));
        // The second run has an uptime of its own, a long time before the first one's.
        for datagram in &mut second {
            if counts_records && datagram.octets[1] == 10 {
                continue;
            }
            let uptime = u32::from_be_bytes(datagram.octets[4..8].try_into().unwrap());
            datagram.octets[4..8].copy_from_slice(&(uptime - 900_000).to_be_bytes());
        }
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for (n, datagram) in first.iter().chain(&second).enumerate() {
            decoder.decode(PEER, NOW_MS + n as u64, &datagram.octets, &mut sink);
        }
        let t = decoder.exporters().next().expect("one exporter").totals;
        let all: u64 = first.iter().chain(&second).map(Sent::records).sum();
        assert_eq!((t.restarts, t.gaps, t.duplicates), (1, 0, 0), "{t:#?}");
        assert_eq!(t.records(), all, "{t:#?}");
        if counts_records {
            assert_eq!(t.sent_records(), all, "{t:#?}");
        } else {
            assert_eq!(t.sent_datagrams(), 160, "{t:#?}");
        }
    }
}
