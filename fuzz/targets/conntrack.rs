//! Any octets as reads of netlink sockets, and as recorded lines: no panic; every message is
//! counted; no connection ends before it begins or twice; what is kept is what has begun and not
//! ended.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nat::records::{RecordConfig, RecordKind, RecordKinds, Records};
use nat::text::Replay;
use nat::{Outcome, Tracker, TrackerConfig};

// Input: pieces of a kind, a length in two octets, and octets.
fuzz_target!(|data: &[u8]| {
    let config = TrackerConfig {
        max_connections: 64,
        dump_pause_ns: 0,
        active_ns: 5,
        ttl_ns: 1 << 40,
        ..TrackerConfig::default()
    };
    let (mut tracker, mut replay) = (Tracker::new(config), Replay::new());
    let all = [RecordKind::Triplet, RecordKind::Nel, RecordKind::Nsel, RecordKind::Event];
    let kinds = all.into_iter().fold(RecordKinds::NONE.with(RecordKind::Biflow), RecordKinds::with);
    let mut records = Records::new(RecordConfig { kinds, ..RecordConfig::default() });
    let (mut begins, mut ends, mut text) = (0u64, 0u64, Vec::new());
    let (mut left, mut now) = (data, 1u64 << 60);
    while let Some(([kind, high, low], rest)) = left.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (octets, rest) = rest.split_at(len);
        left = rest;
        now += u64::from(*kind);
        let out = &mut |outcome: &Outcome| {
            match outcome {
                Outcome::Begin(_) => begins += 1,
                Outcome::End(s) => {
                    ends += 1;
                    assert!(s.start_ns <= s.from_ns && s.from_ns <= s.until_ns);
                    assert!(s.until_ns <= s.held_ns);
                }
                Outcome::Interim(s) => assert!(s.start_ns <= s.from_ns),
                Outcome::Degraded(gap) => assert!(gap.from_ns <= gap.to_ns),
            }
            records.outcome(outcome, &mut |made| assert!(made.times_ns.0 <= made.times_ns.1));
            text.clear();
            nat::lines::json(outcome, &mut text);
            assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 1);
        };
        match kind % 8 {
            0..3 => tracker.events(now, octets, out),
            3 => {
                tracker.dump_begin(now);
                tracker.dump(now, octets, out);
            }
            4 => {
                tracker.dump(now, octets, out);
            }
            5 => tracker.dump_end(now, out),
            6 => tracker.overrun(now),
            _ => {
                for line in octets.split(|b| *b == b'\n') {
                    let _ = replay.line(line, &mut tracker, out);
                }
            }
        }
        tracker.tick(now, out);
    }
    let counts = tracker.counts();
    assert_eq!((counts.begins, counts.ends), (begins, ends));
    assert!(begins <= ends + tracker.len() as u64 + counts.untracked);
    assert!(tracker.len() <= 64);
});
