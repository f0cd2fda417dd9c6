//! Rows encoded per second on one core, by protocol, with a sink that only counts.
//!
//! `cargo run --release -p flowsuite-wire --example export_speed`

use record::{Addr, Field, Flow};
use std::time::Instant;
use wire::export::{Carries, Encoder, ExportConfig, TimeFormat, Version};

const NOW_MS: u64 = 1_795_000_000_000;
const FLOWS: u64 = 1000;
const ROUNDS: u64 = 5000;

/// What a probe knows of a conversation: 18 fields.
fn flow(n: u64, is_v6: bool) -> Flow {
    let mut flow = Flow::new();
    let addr = |v4: u64, v6: u128| {
        if is_v6 { Addr::V6(0x2001_0db8 << 96 | v6) } else { Addr::V4(v4 as u32) }
    };
    flow.set_addr(Field::SrcAddr, addr(0x0a00_0000 + n, n.into()));
    flow.set_addr(Field::DstAddr, addr(0xc633_6400 + n % 200, u128::from(n % 200)));
    for (field, value) in [
        (Field::First, NOW_MS - 10_000 - n),
        (Field::Last, NOW_MS - n),
        (Field::Packets, 1 + n % 40),
        (Field::Bytes, 64 + 1000 * (n % 40)),
        (Field::SrcPort, 1024 + n),
        (Field::DstPort, 443),
        (Field::Proto, 6),
        (Field::TcpFlags, 0x1b),
        (Field::SrcTos, 0),
        (Field::Input, 2),
        (Field::Output, 3),
        (Field::EndReason, 1),
        (Field::MinTtl, 57),
        (Field::MaxTtl, 57),
        (Field::OutPackets, 1 + n % 30),
        (Field::OutBytes, 64 + 500 * (n % 30)),
    ] {
        flow.set(field, value);
    }
    flow
}

fn measure(name: &str, config: ExportConfig, is_v6: impl Fn(u64) -> bool) {
    let flows: Vec<_> = (0..FLOWS).map(|n| flow(n, is_v6(n))).collect();
    let mut encoder = Encoder::new(config);
    let mut octets = 0;
    let mut sink = |datagram: &[u8], _: Carries| octets += datagram.len();
    let mut best = f64::MAX;
    for _ in 0..5 {
        #[expect(clippy::disallowed_methods, reason = "this is what is measured")]
        let start = Instant::now();
        for _ in 0..ROUNDS / 5 {
            for flow in &flows {
                encoder.flow(NOW_MS, flow.as_row(), None, &mut sink);
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    encoder.flush(NOW_MS, &mut sink);
    let rows = FLOWS * ROUNDS / 5;
    println!("{name:<24} {:6.2} M rows/s", rows as f64 / best / 1e6);
    assert_eq!(encoder.counts().rows_left_out(), 0);
}

fn main() {
    let config = ExportConfig::new;
    let v4 = |_| false;
    measure("v5", config(Version::V5), v4);
    measure("v9, IPv4", config(Version::V9), v4);
    measure("v9, IPv6", config(Version::V9), |_| true);
    measure("v9, both in turn", config(Version::V9), |n| n % 2 == 0);
    let uptime = ExportConfig { time: TimeFormat::UptimeMs, ..config(Version::V9) };
    measure("v9, IPv4, uptimes", uptime, v4);
    measure("IPFIX, IPv4", config(Version::Ipfix), v4);
    measure("IPFIX, IPv6", config(Version::Ipfix), |_| true);
    let nanos = ExportConfig { time: TimeFormat::Nanos, ..config(Version::Ipfix) };
    measure("IPFIX, IPv4, nanoseconds", nanos, v4);
}
