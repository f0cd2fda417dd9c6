//! How long filters take a row: `cargo run --release -p flowsuite-filter --example filter_speed`,
//! with filters of your own as arguments, one each.
//!
//! Rows are laid out as in a file: 12-octet header, counters at 16, addresses at 68, 138 octets in
//! all for IPv4 and 162 for IPv6, in batches of about a megabyte. "warm" repeats one batch that
//! stays in the cache, as blocks do that were decompressed a moment ago; "cold" walks through all
//! rows in memory.
//!
//! Of the destination addresses a third of the share that is named are in the first ten networks of
//! a list of 100 000, a third in the rest of the first thousand, and a third in the others. The
//! remaining ones lie all over the address space for IPv4, in the allocations that the networks are
//! of for IPv6.
//!
//! All filters take turns and each figure is the best of many, so that whatever else the machine
//! does meets all of them alike and counts for none.

#![expect(clippy::disallowed_methods, reason = "a measurement looks at the clock")]

use filter::{Context, Filter};
use record::{Field, RowRef, Rows, Selection, Shape, ShapeTable};
use std::time::Instant;

const ROWS: usize = 400_000;
const BATCH: usize = 8000;
const LIST: usize = 100_000;
const ROUNDS: usize = 25;

fn main() {
    let lists = [networks(LIST, network_v4), networks(LIST, network_v6)];
    let data = [(0, 3), (0, 84), (1, 3), (1, 84)].map(|(six, share)| {
        let name = format!("{}, {share} % listed", ["IPv4", "IPv6"][six]);
        Data::new(name, &lists[six], six == 1, share)
    });
    let mixed = lists.concat().iter().map(Network::to_string).collect::<String>();
    let mut texts = vec![["dst ip 203.0.113.1".to_owned(), "dst ip 2001:db8::1".to_owned()]];
    for count in [10, 1000, LIST] {
        texts.push(lists.each_ref().map(|list| {
            let networks: String = list[..count].iter().map(Network::to_string).collect();
            format!("dst ip in [{networks}]")
        }));
    }
    let given: Vec<_> = std::env::args().skip(1).collect();
    let mut cases = Vec::new();
    for (i, data) in data.iter().enumerate() {
        if given.is_empty() {
            cases.extend(texts.iter().map(|t| Case::new(&t[i / 2], data)));
            cases.push(Case::new(&format!("dst ip in [{mixed}]"), data));
        }
    }
    let others = if given.is_empty() { USUAL.map(str::to_owned).to_vec() } else { given };
    cases.extend(others.iter().map(|text| Case::new(text, &data[0])));
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::measure);
    }
    println!(" parse ms  warm ns  cold ns   % pass  rows, filter");
    for Case { parse, warm, cold, pass, data, text, .. } in &cases {
        println!("{parse:9.2}{warm:9.2}{cold:9.2}{pass:9.2}  {}: {text}", data.name);
    }
}

/// Filters of the usual kinds.
const USUAL: [&str; 11] = [
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
];

/// A filter, the rows it is run over, and the best figures so far.
struct Case<'a> {
    text: String,
    filter: Filter,
    data: &'a Data,
    /// Milliseconds.
    parse: f64,
    /// Nanoseconds a row.
    warm: f64,
    cold: f64,
    /// Percent.
    pass: f64,
}

impl<'a> Case<'a> {
    fn new(text: &str, data: &'a Data) -> Self {
        let parse = || Filter::parse(text).unwrap_or_else(|e| panic!("{e}"));
        let networks = text.matches('/').count();
        let shown = match text.split_once('[') {
            Some((start, _)) if networks > 1 => format!("{start}[{networks} networks]"),
            _ => text.to_owned(),
        };
        let mut case = Self {
            text: shown,
            filter: parse(),
            data,
            parse: f64::MAX,
            warm: f64::MAX,
            cold: f64::MAX,
            pass: 0.0,
        };
        for _ in 0..3 {
            let start = Instant::now();
            case.filter = parse();
            case.parse = case.parse.min(start.elapsed().as_secs_f64() * 1e3);
        }
        case
    }

    fn measure(&mut self) {
        let warm = self.data.measure(&self.filter, 1, 30);
        let cold = self.data.measure(&self.filter, ROWS / BATCH, 1);
        self.warm = self.warm.min(warm.0);
        self.cold = self.cold.min(cold.0);
        self.pass = cold.1;
    }
}

/// The leading bits of an address, and how many.
#[derive(Clone, Copy)]
struct Network {
    bits: u128,
    len: u32,
    is_six: bool,
}

impl Network {
    /// An address in it.
    fn address(self, random: &mut u64) -> u128 {
        let width = if self.is_six { 128 } else { 32 };
        let host = (u128::from(next(random)) << 40) | u128::from(next(random));
        let mask = (1 << (width - self.len)) - 1;
        (self.bits & !mask) | (host & mask)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_six {
            true => write!(f, "{}/{} ", std::net::Ipv6Addr::from_bits(self.bits), self.len),
            false => write!(f, "{}/{} ", std::net::Ipv4Addr::from_bits(self.bits as u32), self.len),
        }
    }
}

fn networks(count: usize, network: fn(&mut u64) -> Network) -> Vec<Network> {
    let mut random = 7;
    (0..count).map(|_| network(&mut random)).collect()
}

/// A network of the lengths that lists of unwanted senders have, anywhere in the address space.
fn network_v4(random: &mut u64) -> Network {
    let lengths = [24, 24, 24, 24, 24, 23, 22, 20, 32, 32, 28];
    let len = lengths[next(random) as usize % lengths.len()];
    let bits = u128::from((1 << 24) + next(random) % (220 << 24));
    Network { bits, len, is_six: false }
}

/// A network in one of a few thousand allocations of /32, as real ones are.
fn network_v6(random: &mut u64) -> Network {
    let lengths = [48, 48, 48, 40, 44, 56, 64, 128];
    let len = lengths[next(random) as usize % lengths.len()];
    let subnet = next(random) & 0xff_ffff;
    let host = if len == 128 { next(random) & 7 } else { 0 };
    let bits = allocation(random) << 96 | u128::from(subnet) << 72 | u128::from(host);
    Network { bits, len, is_six: true }
}

/// The first 32 bits of an address in use.
fn allocation(random: &mut u64) -> u128 {
    let n = next(random) % 6000;
    let high = [0x2001, 0x2400, 0x2600, 0x2a00, 0x2a02, 0x2a03][n as usize % 6];
    high << 16 | u128::from(n / 6 * 8)
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 24
}

struct Data {
    name: String,
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
    /// Rows of which `share` percent go to `networks`.
    fn new(name: String, networks: &[Network], is_six: bool, share: u64) -> Self {
        let mut table = ShapeTable::new();
        let addr = if is_six { 16 } else { 4 };
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
        let mut data = Self { name, table, bytes: Vec::new(), index: Vec::new() };
        let mut random = 42;
        for _ in 0..ROWS {
            let to = if next(&mut random) % 100 < share {
                let ends = [0, 10, 1000, networks.len()];
                let third = next(&mut random) as usize % 3;
                let (from, to) = (ends[third], ends[third + 1]);
                networks[from + next(&mut random) as usize % (to - from)]
            } else {
                let bits = if is_six { allocation(&mut random) << 96 } else { 0 };
                Network { bits, len: if is_six { 32 } else { 0 }, is_six }
            };
            let to = to.address(&mut random);
            data.push(&mut random, is_six, to);
        }
        data
    }

    fn push(&mut self, random: &mut u64, is_six: bool, to: u128) {
        let len = if is_six { 162 } else { 138 };
        let at = self.bytes.len();
        self.index.push(RowRef { at: at as u32, len, shape: 0 });
        self.bytes.resize(at + usize::from(len), 0);
        let slots = self.table.shapes()[0].clone();
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
        set(Field::SrcAs, 64_000 + next(random) % 1000);
        set(Field::DstAs, 64_000 + next(random) % 1000);
        let slot = slots.slot(Field::DstAddr);
        // IPv6 addresses are two halves, the leading one first.
        let to = if is_six { to.rotate_left(64) } else { to };
        let at = at + usize::from(slot.at);
        self.bytes[at..at + usize::from(slot.len)]
            .copy_from_slice(&to.to_le_bytes()[..usize::from(slot.len)]);
    }

    /// Nanoseconds a row over the first `batches`, so many `times`, and how many percent pass.
    fn measure(&self, filter: &Filter, batches: usize, times: usize) -> (f64, f64) {
        let mut evaluator = filter.evaluator();
        let mut out = Selection::default();
        let ctx = Context { ident: "", first_count: 1 };
        let (mut rows, mut passed) = (0, 0);
        let start = Instant::now();
        for _ in 0..times {
            for index in self.index.chunks(BATCH).take(batches) {
                let batch = Rows { bytes: &self.bytes, index, table: &self.table };
                evaluator.select(&batch, &ctx, &mut out);
                rows += index.len();
                passed += out.count();
            }
        }
        let nanos = start.elapsed().as_nanos() as f64;
        (nanos / rows as f64, 100.0 * passed as f64 / rows as f64)
    }
}
