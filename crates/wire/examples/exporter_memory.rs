//! Memory that 1000 exporters with 50 templates of 25 fields each take: resident octets before and
//! after (Linux).
//!
//! `cargo run --release -p flowsuite-wire --features testing --example exporter_memory`

use record::{Addr, Flow, FlowSink, Meta};
use wire::testing::V9Builder;
use wire::{Config, Decoder, v9};

struct Nothing;

impl FlowSink for Nothing {
    fn flow(&mut self, _: &Flow) {}

    fn meta(&mut self, _: Meta<'_>) {}
}

/// Resident octets of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn main() {
    const EXPORTERS: u32 = 1000;
    const TEMPLATES: u16 = 50;
    let fields: Vec<_> = (1..=25).map(|id| (id, 4)).collect();
    let datagrams: Vec<_> = (0..TEMPLATES)
        .map(|n| {
            let header = v9::Header { sequence: n.into(), ..v9::Header::default() };
            V9Builder::new(header).template(256 + n, &fields).build()
        })
        .collect();
    let mut decoder = Decoder::new(Config { drop_duplicates: true, ..Config::default() });
    let before = resident();
    for exporter in 0..EXPORTERS {
        for datagram in &datagrams {
            decoder.decode(Addr::V4(exporter), 1_795_000_000_000, datagram, &mut Nothing);
        }
    }
    let taken = resident() - before;
    let templates = decoder.templates().count() as u64;
    println!(
        "{} exporters, {templates} templates: {:.1} MiB, {} octets a template",
        decoder.exporters().count(),
        taken as f64 / f64::from(1 << 20),
        taken / templates
    );
}
