//! How long filters take a row: `cargo run --release -p flowsuite-filter --example filter_speed`,
//! with filters of your own as arguments, one each.
//!
//! Two million rows laid out as in a file (12-octet header, counters at 16, addresses at 68, 138
//! octets in all for IPv4) in batches of about a megabyte, one in five of them IPv6 in the mixed
//! set. "warm" repeats one batch that stays in the cache, as blocks do that were decompressed a
//! moment ago; "cold" walks through all rows in memory.

#![expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use filter::{Context, Filter};
use record::{Field, RowRef, Rows, Selection, Shape, ShapeTable};
use std::time::Instant;

const ROWS: usize = 2_000_000;
const BATCH: usize = 8000;

fn main() {
    let (v4, v6) = (networks_v4(100_000), networks_v6(100_000));
    // Short lists of addresses that all rows miss, and lists that hold what rows have.
    let usual = [
        "any",
        "proto tcp",
        "host 10.1.2.3",
        "src net 10.0.0.0/8",
        "proto tcp and dst port 443 and bytes > 10000",
        "port in [80 443 8080 8443]",
        "flags S and not flags A",
        "proto 255",
        "bps > 1m",
        "src as 64500 or dst as 64500",
        "(proto tcp or proto udp) and not src net 10.0.0.0/8 and packets > 10",
        "dst ip 10.1.2.3",
        &format!("dst ip in [{}]", networks_v4(1000)),
        &format!("dst ip in [{v4}]"),
        "dst ip 2a00::1",
        &format!("dst ip in [{}]", networks_v6(1000)),
        &format!("dst ip in [{v6}]"),
        &format!("dst ip in [{v4}{v6}]"),
    ]
    .map(str::to_owned);
    let given: Vec<_> = std::env::args().skip(1).collect();
    let filters = if given.is_empty() { usual.to_vec() } else { given };
    let [a, b, c, d, e, g] = ["parse ms", "warm ns", "cold ns", "mixed ns", "v6 ns", "% pass"];
    println!("{a:>9} {b:>9} {c:>9} {d:>9} {e:>9} {g:>8}  filter");
    let plain = Data::new(ROWS, 0);
    let mixed = Data::new(BATCH, 5);
    let six = Data::new(ROWS / 4, 1);
    for text in &filters {
        let start = Instant::now();
        let filter = Filter::parse(text).unwrap_or_else(|e| panic!("{e}"));
        let parse = start.elapsed().as_secs_f64() * 1e3;
        let warm = plain.measure(&filter, 1, 400).0;
        let (cold, pass) = plain.measure(&filter, ROWS / BATCH, 3);
        let mixed = mixed.measure(&filter, 1, 400).0;
        let (six, pass6) = six.measure(&filter, ROWS / 4 / BATCH, 3);
        let pass = pass.max(pass6);
        let text = if text.len() > 70 { &text[..70] } else { text };
        println!("{parse:9.2} {warm:9.2} {cold:9.2} {mixed:9.2} {six:9.2} {pass:8.2}  {text}");
    }
}

/// Networks of the lengths that lists of unwanted senders have, all over the address space.
fn networks_v4(count: usize) -> String {
    let mut random = 7;
    let lengths = [24, 24, 24, 24, 24, 23, 22, 20, 32, 32, 28];
    let nets = (0..count).map(|_| {
        let n = next(&mut random);
        let len = lengths[next(&mut random) as usize % lengths.len()];
        format!("{}.{}.{}.{}/{len} ", 1 + n % 220, n >> 8 & 255, n >> 16 & 255, n >> 24 & 255)
    });
    nets.collect()
}

/// Networks in a few thousand allocations of /32, as real ones are.
fn networks_v6(count: usize) -> String {
    let mut random = 7;
    let lengths = [48, 48, 48, 32, 40, 44, 56, 64, 128];
    let nets = (0..count).map(|_| {
        let n = next(&mut random);
        let len = lengths[next(&mut random) as usize % lengths.len()];
        let (high, low) = allocation(&mut random);
        format!("{high:x}:{low:x}:{:x}:{:x}::{:x}/{len} ", n & 0xffff, n >> 16 & 0xff, n >> 24 & 7)
    });
    nets.collect()
}

/// The first 32 bits of an address in use.
fn allocation(random: &mut u64) -> (u64, u64) {
    let n = next(random) % 6000;
    ([0x2001, 0x2400, 0x2600, 0x2a00, 0x2a02, 0x2a03][n as usize % 6], n / 6 * 8)
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 24
}

struct Data {
    table: ShapeTable,
    bytes: Vec<u8>,
    index: Vec<RowRef>,
}

/// Field, offset, length: the fixed part of a row behind its header and element headers.
const FIXED: [(Field, u16, u16); 10] = [
    (Field::First, 16, 8),
    (Field::Last, 24, 8),
    (Field::Packets, 40, 8),
    (Field::Bytes, 48, 8),
    (Field::SrcPort, 56, 2),
    (Field::DstPort, 58, 2),
    (Field::Proto, 60, 1),
    (Field::TcpFlags, 61, 1),
    (Field::FwdStatus, 62, 1),
    (Field::SrcTos, 63, 1),
];

impl Data {
    /// One row in `v6` is IPv6; none with 0.
    fn new(rows: usize, v6: u64) -> Self {
        let mut table = ShapeTable::new();
        for addr in [4, 16] {
            let mut shape = Shape::default();
            for (field, at, len) in FIXED {
                shape.set(field, at, len);
            }
            let rest = 68 + 2 * addr;
            shape.set(Field::SrcAddr, 68, addr);
            shape.set(Field::DstAddr, 68 + addr, addr);
            shape.set(Field::Input, rest + 4, 4);
            shape.set(Field::Output, rest + 8, 4);
            shape.set(Field::SrcAs, rest + 28, 4);
            shape.set(Field::DstAs, rest + 32, 4);
            table.push(shape);
        }
        let mut data = Self { table, bytes: Vec::new(), index: Vec::new() };
        let mut random = 42;
        for _ in 0..rows {
            let six = v6 != 0 && next(&mut random).is_multiple_of(v6);
            data.push(&mut random, six);
        }
        data
    }

    fn push(&mut self, random: &mut u64, six: bool) {
        let len = if six { 162 } else { 138 };
        let at = self.bytes.len();
        let shape = u16::from(six);
        self.index.push(RowRef { at: at as u32, len, shape });
        self.bytes.resize(at + usize::from(len), 0);
        let slots = self.table.shapes()[usize::from(shape)].clone();
        let mut set = |field, value: u64| {
            let slot = slots.slot(field);
            let (at, len) = (at + usize::from(slot.at), usize::from(slot.len).min(8));
            self.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        };
        let first = 1_795_168_800_000 + next(random) % 300_000;
        let packets = 1 + next(random) % 40 * (next(random) % 10) / 5;
        let ports = [53, 80, 443, 443, 443, 8080, 22, 5000 + next(random) % 60_000];
        set(Field::First, first);
        set(Field::Last, first + next(random) % 60_000);
        set(Field::Packets, packets);
        set(Field::Bytes, packets * (40 + next(random) % 1400));
        set(Field::SrcPort, 1024 + next(random) % 60_000);
        set(Field::DstPort, ports[next(random) as usize % 8]);
        set(Field::Proto, [6, 6, 6, 17, 17, 1][next(random) as usize % 6]);
        set(Field::TcpFlags, next(random) % 32);
        set(Field::SrcAddr, 0x0a00_0000 + next(random) % 0xffff);
        let (high, low) = allocation(random);
        let subnet = next(random) & 0xff_ffff;
        match six {
            true => set(Field::DstAddr, high << 48 | low << 32 | subnet),
            false => set(Field::DstAddr, next(random) % 0xffff_ffff),
        }
        set(Field::SrcAs, 64_000 + next(random) % 1000);
        set(Field::DstAs, 64_000 + next(random) % 1000);
    }

    /// Nanoseconds a row over the first `batches`, the best of several times `rounds`, as the
    /// machine has other things to do; and how many percent pass.
    fn measure(&self, filter: &Filter, batches: usize, rounds: usize) -> (f64, f64) {
        let mut evaluator = filter.evaluator();
        let mut out = Selection::default();
        let ctx = Context { ident: "", first_count: 1 };
        let mut best = (f64::MAX, 0.0);
        for _ in 0..8 {
            let (mut rows, mut passed) = (0, 0);
            let start = Instant::now();
            for _ in 0..rounds.div_ceil(8) {
                for index in self.index.chunks(BATCH).take(batches) {
                    let batch = Rows { bytes: &self.bytes, index, table: &self.table };
                    evaluator.select(&batch, &ctx, &mut out);
                    rows += index.len();
                    passed += out.count();
                }
            }
            let nanos = start.elapsed().as_nanos() as f64 / rows as f64;
            if nanos < best.0 {
                best = (nanos, 100.0 * passed as f64 / rows as f64);
            }
        }
        best
    }
}
