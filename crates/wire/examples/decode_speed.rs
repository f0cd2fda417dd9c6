//! Flows decoded per second on one core, by protocol, with a sink that only counts.
//!
//! `cargo run --release -p flowsuite-wire --features testing --example decode_speed`

use record::{Addr, Field, Flow, FlowSink, Meta};
use std::time::Instant;
use wire::packet::frames::plain_tcp;
use wire::testing::{
    IpfixBuilder, Record, SflowBuilder, SflowSample, V5Builder, V9Builder, extended_gateway,
    extended_router, extended_switch, sampled_header,
};
use wire::{Config, Decoder, ipfix, sflow, v5, v9};

const PEER: Addr = Addr::V4(0xc000_0201);
const NOW_MS: u64 = 1_795_000_000_000;
const UPTIME_MS: u32 = 900_000_000;

/// What a border router sends: 20 fields.
const FIELDS: [(u16, u16); 20] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 8),
    (1, 8),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (61, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (89, 1),
];

#[derive(Default)]
struct Count {
    flows: u64,
    bytes: u64,
}

impl FlowSink for Count {
    fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        self.bytes = self.bytes.wrapping_add(flow.number(Field::Bytes));
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

fn records(n: u64) -> Vec<Vec<u8>> {
    let value = |i: u64, id: u16| match id {
        21 | 22 => u64::from(UPTIME_MS) - 10_000 + i,
        4 => 6,
        _ => i * 37 + u64::from(id),
    };
    (0..n)
        .map(|i| {
            let fields = FIELDS.iter();
            let record = fields
                .fold(Record::new(), |r, &(id, len)| r.number(value(i, id), usize::from(len)));
            record.build()
        })
        .collect()
}

fn v9_datagrams() -> Vec<Vec<u8>> {
    let header = v9::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: (NOW_MS / 1000) as u32,
        source_id: 7,
        ..v9::Header::default()
    };
    let template = V9Builder::new(header).template(300, &FIELDS);
    vec![template.build(), V9Builder::new(header).data(300, &records(22)).build()]
}

fn sampled_v9_datagrams() -> Vec<Vec<u8>> {
    let header = v9::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: (NOW_MS / 1000) as u32,
        source_id: 8,
        ..v9::Header::default()
    };
    let sampler = Record::new().number(0, 4).number(1000, 4).build();
    let first = V9Builder::new(header)
        .template(300, &FIELDS)
        .options_template(301, &[(1, 4)], &[(34, 4)])
        .data(301, &[sampler]);
    vec![first.build(), V9Builder::new(header).data(300, &records(22)).build()]
}

fn ipfix_datagrams() -> Vec<Vec<u8>> {
    let header = ipfix::Header { export_secs: (NOW_MS / 1000) as u32, ..ipfix::Header::default() };
    let fields: Vec<_> = FIELDS
        .iter()
        .map(|&(id, len)| match id {
            22 => (0, 152, 8),
            21 => (0, 153, 8),
            id => (0, id, len),
        })
        .chain([(0, 82, 65535)])
        .collect();
    let records: Vec<_> = (0..18u64)
        .map(|i| {
            let fixed = fields.iter().filter(|f| f.2 != 65535);
            let record = fixed.fold(Record::new(), |r, &(_, id, len)| {
                let value = if id > 150 { NOW_MS + i } else { i * 37 + u64::from(id) };
                r.number(value, usize::from(len))
            });
            record.variable(b"Gi0/1").build()
        })
        .collect();
    let template = IpfixBuilder::new(header).template(300, &fields);
    vec![template.build(), IpfixBuilder::new(header).data(300, &records).build()]
}

fn v5_datagrams() -> Vec<Vec<u8>> {
    let header = v5::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: (NOW_MS / 1000) as u32,
        ..v5::Header::default()
    };
    let full = (0..30).fold(V5Builder::new(header), |b, i| b.record([i; v5::RECORD_LEN]));
    vec![full.build()]
}

/// What a switch sends: seven samples with 128 octets of a packet, or five with all that a router
/// knows of it.
fn sflow_datagrams(is_router: bool) -> Vec<Vec<u8>> {
    let mut frame = plain_tcp();
    frame.resize(128, 0);
    let mut records = vec![sampled_header(1, 1518, 4, &frame), extended_switch(10, 20)];
    if is_router {
        let next_hop = Some(Addr::V4(0x0a00_00fe));
        records.push(extended_router(next_hop, 24, 16));
        records.push(extended_gateway(next_hop, (64_496, 64_497), &[64_498, 64_499, 64_500]));
    }
    let datagram = |first: u32| {
        let samples = (0..if is_router { 5 } else { 7 }).map(|i| SflowSample {
            sequence: first + i,
            source: (0, 1 + i % 4),
            rate: 1000,
            ..SflowSample::default()
        });
        let header = sflow::Header { sequence: first, ..sflow::Header::default() };
        samples.fold(SflowBuilder::new(header), |b, s| b.flow(s, &records)).build()
    };
    vec![datagram(1)]
}

/// Where the header has its sequence number, and what it counts.
fn sequence(datagram: &[u8]) -> (usize, u32) {
    match datagram.get(..2) {
        Some([0, 5]) => (16, 30),
        Some([0, 9]) => (12, 1),
        Some([0, 10]) => (8, 18),
        _ => (16, 1),
    }
}

fn main() {
    for (name, datagrams) in [
        ("v5, 30 records", v5_datagrams()),
        ("v9, 20 fields", v9_datagrams()),
        ("v9, 20 fields, sampled", sampled_v9_datagrams()),
        ("IPFIX, 20 fields and a string", ipfix_datagrams()),
        ("sFlow, header and switch", sflow_datagrams(false)),
        ("sFlow, header, switch, router, BGP", sflow_datagrams(true)),
    ] {
        let best = |drop_duplicates| {
            (0..5).map(|_| flows_per_second(&datagrams, drop_duplicates)).fold(0.0, f64::max) / 1e6
        };
        let (plain, dropping) = (best(false), best(true));
        println!("{name:36} {plain:6.2} M flows/s, {dropping:6.2} if duplicates are dropped");
    }
}

#[expect(clippy::disallowed_methods, reason = "measures time, decodes none")]
fn flows_per_second(datagrams: &[Vec<u8>], drop_duplicates: bool) -> f64 {
    let config = Config { drop_duplicates, ..Config::default() };
    let (mut decoder, mut sink) = (Decoder::new(config), Count::default());
    for datagram in datagrams {
        decoder.decode(PEER, NOW_MS, datagram, &mut sink);
    }
    let mut last = datagrams.last().expect("a data datagram").clone();
    let (at, step) = sequence(&last);
    let mut number = 0u32;
    sink.flows = 0;
    let start = Instant::now();
    while sink.flows < 2_000_000 {
        number = number.wrapping_add(step);
        last[at..at + 4].copy_from_slice(&number.to_be_bytes());
        decoder.decode(PEER, NOW_MS, std::hint::black_box(&last), &mut sink);
    }
    std::hint::black_box(sink.bytes);
    sink.flows as f64 / start.elapsed().as_secs_f64()
}
