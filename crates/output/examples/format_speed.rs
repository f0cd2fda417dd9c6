//! Nanoseconds a record that each format takes on synthetic rows.
//!
//! `cargo run --release -p flowsuite-output --example format_speed [records]`

use output::{Format, FormatOptions, RecordContext};
use record::{Addr, Field, Flow};
use std::time::Instant;

fn main() {
    let records = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000u64);
    let flows: Vec<Flow> = (0..1024).map(flow).collect();
    let mut out = Vec::with_capacity(1 << 20);
    for spec in ["line", "long", "extended", "csv", "csv-fast", "json", "ndjson", "raw"] {
        #[expect(clippy::expect_used, reason = "all of them are built in")]
        let format = Format::parse(spec, &FormatOptions::default()).expect("a built-in format");
        let mut printer = format.printer();
        let mut bytes = 0;
        #[expect(clippy::disallowed_methods, reason = "an example that measures time")]
        let start = Instant::now();
        for n in 0..records {
            let flow = &flows[n as usize % flows.len()];
            printer.record(flow.as_row(), &RecordContext::new("synthetic", n), &mut out);
            printer.separator(&mut out);
            if out.len() > 1 << 19 {
                bytes += out.len();
                out.clear();
            }
        }
        let nanos = start.elapsed().as_nanos() as f64 / records as f64;
        bytes += out.len();
        out.clear();
        println!("{spec:>9} {nanos:7.1} ns/record {:5} octets/record", bytes as u64 / records);
    }
}

/// A flow as a router exports it; one in eight is IPv6.
fn flow(n: u64) -> Flow {
    const START: u64 = 1_795_168_800_000;
    let mut flow = Flow::new();
    let mix = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (field, value) in [
        (Field::ExporterId, 1),
        (Field::First, START + mix % 300_000),
        (Field::Last, START + mix % 300_000 + mix % 12_345),
        (Field::Received, START + 300_000 + n),
        (Field::Packets, mix % 5000 + 1),
        (Field::Bytes, mix % 5_000_000 + 40),
        (Field::SrcPort, mix % 64_000),
        (Field::DstPort, 443),
        (Field::Proto, if n.is_multiple_of(3) { 17 } else { 6 }),
        (Field::TcpFlags, 0x1b),
        (Field::SrcTos, 0),
        (Field::FwdStatus, 64),
        (Field::Input, 11),
        (Field::Output, 12),
        (Field::SrcMask, 24),
        (Field::DstMask, 16),
        (Field::Direction, 0),
        (Field::DstTos, 0),
        (Field::SrcAs, 64_500),
        (Field::DstAs, 4_200_000_001),
    ] {
        flow.set(field, value);
    }
    for (field, salt) in [(Field::SrcAddr, 7), (Field::DstAddr, 13)] {
        let low = mix.rotate_left(salt);
        let addr = if n.is_multiple_of(8) {
            Addr::V6(0x2001_0db8 << 96 | u128::from(low))
        } else {
            Addr::V4(low as u32)
        };
        flow.set_addr(field, addr);
    }
    flow.set_addr(Field::NextHop, Addr::V4(0x0a09_00fe));
    flow.set_addr(Field::Router, Addr::V4(0x7f00_0001));
    flow
}
