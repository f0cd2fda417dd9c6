//! What a connection costs: decoding, following it from begin to end, and memory while it is open.
//!
//! ```text
//! cargo run --release -p flowsuite-nat --example speed [OPEN CONNECTIONS]
//! ```

use nat::ctnetlink::Messages;
use nat::records::{RecordConfig, Records};
use nat::text::{Line, Replay};
use nat::{Entry, Kind, Tracker, TrackerConfig};
use record::Addr;
use std::time::Instant;

const HEX: &str = include_str!("../../../fixtures/conntrack/events.hex");

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn timed(name: &str, count: usize, mut work: impl FnMut()) {
    let start = Instant::now();
    work();
    let ns = start.elapsed().as_nanos() as f64 / count as f64;
    println!("{name:<34} {ns:8.1} ns");
}

fn main() {
    let open = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let octets = |hex: &str| -> Vec<u8> {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
        hex.as_bytes().chunks_exact(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
    };
    let all: Vec<Vec<u8>> =
        HEX.lines().filter_map(|l| l.split_once(' ')).map(|(_, hex)| octets(hex)).collect();
    let (rounds, mut sum) = (20_000, 0u64);
    timed("decode one message", rounds * all.len(), || {
        for _ in 0..rounds {
            for octets in &all {
                let mut messages = Messages::new(octets);
                while let Some(Ok(nat::ctnetlink::Message::Entry(_, entry))) = messages.next() {
                    sum += u64::from(entry.id) + u64::from(entry.mark);
                }
            }
        }
    });
    assert_ne!(sum, 0);

    let mut replay = Replay::new();
    let mut entry_of = |kind: Kind| {
        let mut lines = HEX.lines();
        lines.find_map(|line| match replay.read(line.as_bytes()) {
            Ok(Line::Entry(k, _)) if k == kind => Some(*replay.entry()),
            _ => None,
        })
    };
    let (Some(new), Some(ended)) = (entry_of(Kind::New), entry_of(Kind::Destroy)) else { return };
    let destroy = Entry { orig: new.orig, reply: new.reply, ..ended };
    let nth = |of: &Entry, n: usize| {
        let mut entry = *of;
        entry.id = (n as u32).wrapping_mul(2_654_435_761);
        entry.orig.src = Addr::V4(0x0a00_0000 + n as u32 / 50_000);
        entry.orig.src_port = (n % 50_000) as u16;
        entry.start_ns = of.start_ns.map(|_| 1 << 60);
        entry.event_ns = Some(1 << 60);
        entry
    };
    let config = || TrackerConfig { max_connections: open, ..TrackerConfig::default() };
    let mut tracker = Tracker::new(config());
    let mut outcomes = 0u64;
    timed("begin, with many open", open, || {
        for n in 0..open {
            tracker.event(1 << 60, Kind::New, &nth(&new, n), &mut |_| outcomes += 1);
        }
    });
    let memory = tracker.memory();
    timed("dump and compare, an entry", open, || {
        tracker.dump_begin(1 << 60);
        for n in 0..open {
            tracker.event(1 << 60, Kind::Dump, &nth(&new, n), &mut |_| outcomes += 1);
        }
        tracker.dump_end(1 << 60, &mut |_| outcomes += 1);
    });
    timed("end, with many open", open, || {
        for n in 0..open {
            tracker.event(1 << 60, Kind::Destroy, &nth(&destroy, n), &mut |_| outcomes += 1);
        }
    });
    assert_eq!((outcomes, tracker.len()), (2 * open as u64, 0));
    let mut records = Records::new(RecordConfig::default());
    let mut tracker = Tracker::new(config());
    let mut made = 0u64;
    timed("begin and end, with three records", open, || {
        for n in 0..open {
            for (kind, of) in [(Kind::New, &new), (Kind::Destroy, &destroy)] {
                tracker.event(1 << 60, kind, &nth(of, n), &mut |outcome| {
                    records.outcome(outcome, &mut |_| made += 1);
                });
            }
        }
    });
    assert_eq!(made, 3 * open as u64);
    println!("{open} open connections: {} octets each", memory / open.max(1));
}
