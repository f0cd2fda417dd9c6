//! Export datagrams of flows that are easy to check: the number of a flow is in its addresses and
//! ports, and each has [`PACKETS`] packets and [`BYTES`] octets.

use record::Addr;
use std::ops::Range;
use wire::testing::{IpfixBuilder, Record, V5Builder, V9Builder};

pub const PACKETS: u64 = 10;
pub const BYTES: u64 = 1000;

/// Uptime of all exporters in their headers.
const UPTIME_MS: u32 = 1_000_000;
const TEMPLATE: u16 = 300;

/// Element and length in v9 and IPFIX, in the order of [`record`].
const FIELDS: [(u16, u16); 10] = [
    (8, 4),  // source address
    (12, 4), // destination address
    (7, 2),  // source port
    (11, 2), // destination port
    (4, 1),  // protocol
    (6, 1),  // TCP flags
    (2, 8),  // packets
    (1, 8),  // octets
    (22, 4), // first, uptime
    (21, 4), // last, uptime
];

/// Source, destination, ports and protocol of flow `n`.
fn key(n: u32) -> (u32, u32, u16, u16, u8) {
    let ports = (1024 + (n % 60_000) as u16, [443, 53][n as usize % 2]);
    (0x0a00_0000 + n, 0xc633_6400 + n % 250, ports.0, ports.1, [6, 17][n as usize % 2])
}

/// Flow `n` as [`listed`](super::capd::listed) shows it.
pub fn line(n: u32) -> String {
    let (src, dst, src_port, dst_port, proto) = key(n);
    let [src, dst] = [src, dst].map(std::net::Ipv4Addr::from);
    format!("{proto} {src} {src_port} {dst} {dst_port} {PACKETS} {BYTES}")
}

/// A v5 datagram of at most 30 flows; `sequence` counts flows.
pub fn v5(sequence: u32, flows: Range<u32>) -> Vec<u8> {
    let header = wire::v5::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: now_secs(),
        sequence,
        ..Default::default()
    };
    let record = |n| -> [u8; 48] {
        let (src, dst, src_port, dst_port, proto) = key(n);
        let record = Record::new()
            .addr(Addr::V4(src))
            .addr(Addr::V4(dst))
            .number(0, 8) // next hop and interfaces
            .number(PACKETS, 4)
            .number(BYTES, 4)
            .number(UPTIME_MS.into(), 4)
            .number(UPTIME_MS.into(), 4)
            .number(src_port.into(), 2)
            .number(dst_port.into(), 2)
            .number(0, 2)
            .number(proto.into(), 1)
            .number(0, 9);
        record.build().try_into().expect("48 octets")
    };
    flows.map(record).fold(V5Builder::new(header), V5Builder::record).build()
}

/// A v9 datagram of exporter `id`; `sequence` counts datagrams.
pub fn v9(id: u32, sequence: u32, flows: Range<u32>, has_template: bool) -> Vec<u8> {
    let header = wire::v9::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: now_secs(),
        sequence,
        source_id: id,
        ..Default::default()
    };
    let mut datagram = V9Builder::new(header);
    if has_template {
        datagram = datagram.template(TEMPLATE, &FIELDS);
    }
    if !flows.is_empty() {
        datagram = datagram.data(TEMPLATE, &flows.map(record).collect::<Vec<_>>());
    }
    datagram.build()
}

/// An IPFIX message of exporter `id`; `sequence` counts flows.
pub fn ipfix(id: u32, sequence: u32, flows: Range<u32>, has_template: bool) -> Vec<u8> {
    let header =
        wire::ipfix::Header { export_secs: now_secs(), sequence, domain: id, ..Default::default() };
    let mut message = IpfixBuilder::new(header);
    if has_template {
        message = message.template(TEMPLATE, &FIELDS.map(|(element, len)| (0, element, len)));
    }
    if !flows.is_empty() {
        message = message.data(TEMPLATE, &flows.map(record).collect::<Vec<_>>());
    }
    message.build()
}

fn record(n: u32) -> Vec<u8> {
    let (src, dst, src_port, dst_port, proto) = key(n);
    Record::new()
        .addr(Addr::V4(src))
        .addr(Addr::V4(dst))
        .number(src_port.into(), 2)
        .number(dst_port.into(), 2)
        .number(proto.into(), 1)
        .number(0x1b, 1)
        .number(PACKETS, 8)
        .number(BYTES, 8)
        .number(UPTIME_MS.into(), 4)
        .number(UPTIME_MS.into(), 4)
        .build()
}

fn now_secs() -> u32 {
    (sys::clock::now_ms() / 1000) as u32
}
