//! Flow files for tests: the same options make the same file, octet by octet.

use bench::{Model, Traffic};
use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink, Meta, code::record_flags};
use std::path::Path;
use store::{Writer, WriterOptions};

/// When the first flow starts: 2026-11-20 10:00:00 UTC.
pub const START_MS: u64 = 1_795_168_800_000;

/// A flow file to be made.
#[derive(Clone, Copy, Debug)]
pub struct FlowFile {
    pub flows: u64,
    pub seed: u64,
    pub ident: &'static str,
    /// As behind `-z=`.
    pub packing: &'static str,
    /// Milliseconds from one flow to the next.
    pub step_ms: u64,
    /// Some flows get fields that few exporters send: NAT, MAC, MPLS, latency, both directions.
    pub rare_fields: bool,
}

impl Default for FlowFile {
    fn default() -> Self {
        Self {
            flows: 1000,
            seed: 1,
            ident: "lab",
            packing: "none",
            step_ms: 100,
            rare_fields: true,
        }
    }
}

impl FlowFile {
    /// Writes the file. Blocks are small, so a few thousand flows are several of them.
    pub fn write(&self, path: &Path) {
        let options = WriterOptions {
            compression: self.packing.parse().expect("packing"),
            ident: self.ident.into(),
            created_secs: START_MS / 1000,
            block_size: 1 << 16,
            ..WriterOptions::default()
        };
        let mut writer = Writer::create(path, &options).expect("create flow file");
        let addr = Addr::V4(0xc000_0201);
        writer.meta(Meta::Exporter(Exporter { sysid: 1, version: 9, addr, id: 7 }));
        // Few hosts, so that groups have more than one flow.
        let model = Model { inside: 60, outside: 300, v6_percent: 20, seed: self.seed };
        let mut traffic = Traffic::new(model);
        let mut flow = Flow::new();
        for n in 0..self.flows {
            traffic.fill(START_MS + n * self.step_ms, &mut flow);
            if self.rare_fields {
                add_rare_fields(n, &mut flow);
            }
            writer.flow(&flow);
        }
        let stats = ExporterStats {
            sysid: 1,
            sequence_failures: 3,
            packets: self.flows / 20,
            flows: self.flows,
        };
        let closed = writer.close(&[stats]).expect("close flow file");
        assert_eq!(closed.dropped.all(), 0);
        assert_eq!(closed.totals.all_flows(), self.flows);
    }
}

fn add_rare_fields(n: u64, flow: &mut Flow) {
    let set = |flow: &mut Flow, fields: &[(Field, u64)]| {
        for (field, value) in fields {
            flow.set(*field, *value);
        }
    };
    let bytes = flow.number(Field::Bytes);
    match n % 10 {
        1 => set(
            flow,
            &[(Field::OutPackets, 1 + n % 7), (Field::OutBytes, bytes / 2), (Field::Flows, 1)],
        ),
        2 => {
            flow.set_addr(Field::XlateSrcAddr, Addr::V4(0xc633_6400 + (n % 16) as u32));
            flow.set_addr(Field::XlateDstAddr, Addr::V4(0xcb00_7100 + (n % 5) as u32));
            set(flow, &[(Field::XlateSrcPort, 1024 + n % 5000), (Field::XlateDstPort, 443)]);
        }
        3 => set(
            flow,
            &[
                (Field::InSrcMac, 0x0200_0000_0000 + n % 9),
                (Field::OutDstMac, 0x0211_2233_4400 + n % 3),
                (Field::InDstMac, 0x02aa_0000_0001),
                (Field::OutSrcMac, 0x02bb_0000_0002),
            ],
        ),
        4 => set(
            flow,
            &[(Field::Mpls1, (16_000 + n % 4) << 4), (Field::Mpls2, 24_001 << 4 | 0b1011)],
        ),
        5 => set(
            flow,
            &[(Field::ClientLatency, 1500), (Field::ServerLatency, 20_250), (Field::AppLatency, n)],
        ),
        6 => set(flow, &[(Field::NextAs, 65_001), (Field::PrevAs, 65_002 + n % 2)]),
        7 => set(flow, &[(Field::RecordFlags, u64::from(record_flags::SAMPLED))]),
        8 if flow.slot(Field::SrcAddr).len == 4 => {
            set(
                flow,
                &[
                    (Field::RecordFlags, u64::from(record_flags::EVENT)),
                    (Field::NatEvent, 4 + n % 2),
                    (Field::NatEventTime, flow.number(Field::First)),
                    (Field::NatPool, 5),
                    (Field::PblockStart, 1024),
                    (Field::PblockEnd, 2047),
                    (Field::PblockStep, 1),
                    (Field::PblockSize, 1024),
                    (Field::IngressVrf, 30),
                    (Field::EgressVrf, 40),
                ],
            );
        }
        _ => {}
    }
}
