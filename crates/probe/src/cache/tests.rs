//! The short ways of the cache against the long ones.

use super::*;
use crate::Timeouts;
use wire::packet::frames::{self, samples};

const SECOND: u64 = 1_000_000_000;

/// Frames of all kinds that are cut, damaged or whole, many of them of the same conversations.
fn random_frames(lots: &mut Lots, count: usize) -> Vec<(Vec<u8>, u32)> {
    let mut kinds: Vec<Vec<u8>> = samples().into_iter().map(|(_, _, frame)| frame).collect();
    for n in 0..8 {
        let ends = [10, 0, 0, n % 3, 10, 0, 0, 2 - n % 3];
        let segment = frames::tcp(&[1; 8], b"data");
        let fragment = 0x2000 >> (n % 2) | u16::from(n / 2);
        kinds.push(frames::ethernet(0x0800, &frames::ipv4_with(&ends, 6, 0, &[], &segment)));
        kinds
            .push(frames::ethernet(0x0800, &frames::ipv4_with(&ends, 17, fragment, &[], &segment)));
        kinds.push(frames::ethernet(0x86dd, &frames::ipv6(17, &frames::udp(53, b"x"))));
    }
    let below = |lots: &mut Lots, n: usize| (lots.next() >> 20) as usize % n;
    (0..count)
        .map(|_| {
            let mut frame = kinds[below(lots, kinds.len())].clone();
            let whole = frame.len() as u32;
            match below(lots, 4) {
                0 => frame.truncate(below(lots, frame.len() + 1)),
                1 => {
                    let at = below(lots, frame.len().min(80));
                    frame[at] = lots.next() as u8;
                }
                2 => frame.extend([0; 7]),
                _ => {}
            }
            (frame, if below(lots, 9) == 0 { below(lots, 90) as u32 } else { whole })
        })
        .collect()
}

fn packets<'a>(frames: &'a [(Vec<u8>, u32)], start_ns: u64, pace_ns: u64) -> Vec<Packet<'a>> {
    (0..)
        .zip(frames)
        .map(|(n, (bytes, wire_len))| Packet {
            time_ns: Some(start_ns + n * pace_ns),
            link: ETHERNET,
            wire_len: *wire_len,
            interface: 3,
            direction: [Direction::Unknown, Direction::Inbound, Direction::Outbound]
                [n as usize % 3],
            bytes,
        })
        .collect()
}

fn random_config(lots: &mut Lots) -> CacheConfig {
    let n = lots.next();
    CacheConfig {
        level: [Level::Ip, Level::Proto, Level::Port, Level::Full][n as usize % 4],
        timeouts: Timeouts {
            tcp: (n >> 4) as u32 % 9,
            udp: (n >> 8) as u32 % 9,
            general: 1 + (n >> 12) as u32 % 9,
            interval: (n >> 16) as u32 % 4,
            active: (n >> 20) as u32 % 4,
            ..Timeouts::default()
        },
        max_flows: if n & 1 << 24 == 0 { 7 } else { 4000 },
        dedup: (n & 1 << 25 == 0).then(Dedup::default),
        ipv6: n & 6 << 26 != 0,
        seed: n,
        ..CacheConfig::default()
    }
}

#[test]
fn plain_packets_are_counted_as_the_long_way_counts_them() {
    let mut plain = 0;
    for seed in 0..60 {
        let mut lots = Lots(seed);
        let config = random_config(&mut lots);
        let frames = random_frames(&mut lots, 1500);
        let packets = packets(&frames, 1_700_000_000 * SECOND, SECOND / 100);
        let [quick, slow] = [true, false].map(|is_quick| {
            let mut cache = Cache::new(config.clone());
            cache.is_quick &= is_quick;
            let mut all = Vec::new();
            cache.observe(&packets, &mut |ended| all.push(*ended));
            cache.expire_all(Reason::Flushed, &mut |ended| all.push(*ended));
            (all, cache.stats().clone())
        });
        assert_eq!(quick, slow, "seed {seed}: {config:?}");
        let stats = &quick.1;
        let counted: u64 =
            quick.0.iter().map(|ended| ended.forward.packets + ended.backward.packets).sum();
        assert_eq!((stats.processed, counted), (packets.len() as u64, stats.counted()));
        let is_plain = |p: &&Packet<'_>| match quick::family(p.bytes) {
            Family::V4 => quick::v4(p.bytes, p.wire_len).is_some(),
            Family::V6 => quick::v6(p.bytes, p.wire_len).is_some(),
            Family::Other => false,
        };
        plain += packets.iter().filter(is_plain).count();
    }
    assert!((10_000..60_000).contains(&plain), "{plain} of 90000 are plain");
}

#[test]
fn all_at_once_end_as_one_by_one() {
    for seed in 100..130 {
        let mut lots = Lots(seed);
        let config = CacheConfig { max_flows: 4000, ..random_config(&mut lots) };
        let rounds: Vec<_> = (0..3).map(|_| random_frames(&mut lots, 700)).collect();
        let mut caches = [Cache::new(config.clone()), Cache::new(config.clone())];
        let mut said = [Vec::new(), Vec::new()];
        for (n, frames) in (0..).zip(&rounds) {
            let packets = packets(frames, (1_700_000_000 + n * 10) * SECOND, SECOND / 100);
            for (cache, said) in caches.iter_mut().zip(&mut said) {
                cache.observe(&packets, &mut |ended| said.push(*ended));
            }
            let [together, single] = &mut caches;
            if n == 1 {
                let count = single.slab.len() as u64;
                single.in_order().iter().for_each(|(_, slot)| single.take(*slot));
                single.stats.deleted += count;
                assert_eq!(together.delete_all(), count);
            } else {
                let order = single.in_order();
                assert!(order.is_sorted_by_key(|(due, slot)| (*due, single.number(*slot))));
                for (_, slot) in order {
                    single.end(slot, Reason::Flushed, &mut |ended| said[1].push(*ended));
                }
                together.expire_all(Reason::Flushed, &mut |ended| said[0].push(*ended));
            }
            single.note_sizes();
            assert_eq!((together.slab.len(), single.slab.len()), (0, 0));
            assert_eq!((together.next_due(), together.flows().count()), (None, 0));
        }
        assert!(!said[0].is_empty() && said[0] == said[1], "seed {seed}: {config:?}");
        let [mut together, mut single] = caches.map(|cache| cache.stats().clone());
        (together.memory, single.memory) = (0, 0);
        assert_eq!(together, single, "seed {seed}: {config:?}");
    }
}
