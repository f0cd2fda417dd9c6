//! Any sequence of export datagrams: no panic, every datagram is accounted for, what waits is
//! bounded, a decoder that takes over half-way by a snapshot reads the same data to the same flows,
//! and so does a sink that takes whole records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::{Addr, Flow, FlowSink, Meta, Ready, Totals};
use wire::{Config, Continuity, Decoder, Snapshot, Waiting};

const PEER: Addr = Addr::V4(0x7f00_0001);
const NOW_MS: u64 = 1_795_000_000_000;

#[derive(Default)]
struct Count {
    flows: u64,
    /// What the flows are, in order.
    text: Vec<String>,
    keeps: bool,
    sums: Totals,
    takes_records: bool,
}

impl FlowSink for Count {
    fn flow(&mut self, flow: &Flow) {
        assert!(flow.as_row().shape().fields().count() > 0);
        self.flows += 1;
        self.sums.add(flow.as_row());
        if self.keeps {
            // What lies in the place of an absent field is of an earlier flow.
            let row = flow.as_row();
            let fields = row.shape().fields().map(|f| (f, row.bytes(f)));
            self.text.push(format!("{:?}", fields.collect::<Vec<_>>()));
        }
    }

    fn takes_records(&self) -> bool {
        self.takes_records
    }

    fn records(&mut self, ready: &Ready<'_>) {
        let (mut rest, mut count) = (ready.records, 0);
        while let Some((len, _)) = rest.get(2..).and_then(|r| r.split_first_chunk::<2>()) {
            rest = &rest[usize::from(u16::from_le_bytes(*len))..];
            count += 1;
        }
        assert_eq!((rest.len(), count), (0, ready.count));
        self.flows += u64::from(count);
        self.sums.merge(ready.totals);
    }

    fn meta(&mut self, _meta: Meta<'_>) {}
}

/// Input: datagrams one after the other, each behind its length in two octets.
fn datagrams(data: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut all) = (data, Vec::new());
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(u16::from_be_bytes(*len))));
        all.push(datagram);
        rest = tail;
    }
    all
}

fuzz_target!(|data: &[u8]| {
    let all = datagrams(data);
    let mut decoder = Decoder::new(Config { drop_duplicates: true, ..Config::default() });
    let mut sink = Count::default();
    for datagram in &all {
        decoder.decode(PEER, NOW_MS, datagram, &mut sink);
        let waiting: usize = decoder.exporters().map(|e| e.parked_sets).sum();
        assert_eq!(decoder.waiting().sets, waiting as u64);
    }
    add_up(&decoder);
    assert_eq!(decoder.counters().datagrams, all.len() as u64);
    assert_eq!(decoder.counters().flows, sink.flows);
    let counted: u64 = decoder.exporters().map(|e| e.totals.flows).sum();
    assert_eq!(counted, sink.flows);
    hand_over(&all);
    sessions(&all);
    both_ways(&all);
    decoder.expire_parked(u64::MAX);
    assert_eq!(decoder.waiting(), Waiting::default());
});

/// What exporters have in their ledgers is what the counters of all say.
fn add_up(decoder: &Decoder) {
    let (all, mut gaps, mut datagrams, mut records) = (decoder.counters(), 0u64, 0u64, 0u64);
    for e in decoder.exporters() {
        let t = e.totals;
        assert_eq!(t.sets_waiting(), e.parked_sets as u64);
        gaps += t.gaps - t.gaps_closed;
        datagrams += t.missing_datagrams - t.recovered_datagrams;
        records += t.missing_records - t.recovered_records;
    }
    assert_eq!(
        (all.sequence_gaps, all.lost_datagrams, all.lost_records),
        (gaps, datagrams, records)
    );
}

/// The same for a sink that takes records, and one that takes flows.
fn both_ways(all: &[&[u8]]) {
    let [mut long, mut short] = [(); 2].map(|()| Decoder::new(Config::default()));
    let mut flows = Count::default();
    let mut records = Count { takes_records: true, ..Count::default() };
    for datagram in all {
        let want = long.decode(PEER, NOW_MS, datagram, &mut flows);
        assert_eq!(short.decode(PEER, NOW_MS, datagram, &mut records), want);
    }
    assert_eq!(short.counters(), long.counters());
    assert_eq!((records.flows, records.sums), (flows.flows, flows.sums));
}

/// The same by three transport sessions, which leave nothing behind.
fn sessions(all: &[&[u8]]) {
    let (mut decoder, mut sink) = (Decoder::new(Config::default()), Count::default());
    for (session, datagram) in (0..3).cycle().zip(all) {
        decoder.decode_stream(session, PEER, NOW_MS, datagram, &mut sink);
    }
    add_up(&decoder);
    assert_eq!(decoder.counters().flows, sink.flows);
    assert_eq!(
        (decoder.waiting(), decoder.counters().withdrawals_ignored),
        (Waiting::default(), 0)
    );
    (0..3).for_each(|session| decoder.end_session(session));
    assert_eq!(decoder.templates().count(), 0);
}

/// Half of the datagrams, then the others, by the same decoder and by one that is restored.
fn hand_over(all: &[&[u8]]) {
    let (first, second) = all.split_at(all.len() / 2);
    // Data that waits is not handed over, nor are old gaps, which tell a restart; so nothing waits.
    let mut config = Config::default();
    config.limits.parked_ms = 0;
    let mut old = Decoder::new(config);
    for datagram in first {
        old.decode(PEER, NOW_MS, datagram, &mut Count::default());
    }
    let text = serde_json::to_string(&old.snapshot()).expect("a snapshot can be written");
    let snapshot: Snapshot = serde_json::from_str(&text).expect("and read");
    let mut new = Decoder::new(config);
    let told = new.restore(snapshot.clone(), NOW_MS, Continuity::Clean).expect("same version");
    assert_eq!((told.refused, told.outdated), (0, 0));
    assert_eq!(new.snapshot(), snapshot);
    let [mut a, mut b] = [(); 2].map(|()| Count { keeps: true, ..Count::default() });
    for datagram in second {
        old.decode(PEER, NOW_MS, datagram, &mut a);
        new.decode(PEER, NOW_MS, datagram, &mut b);
    }
    assert_eq!(a.text, b.text);
}
