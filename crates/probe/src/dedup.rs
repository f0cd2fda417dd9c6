//! Copies of packets: the same packet seen at another interface, or twice in a mirrored link.

use std::time::Duration;

use crate::key::fold;

/// When a packet is the copy of one before: if all octets from the IP header on are the same but
/// time to live and header checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How many packets are remembered, at most 65536. nfpcapd has 8.
    pub packets: u32,
    /// How long one is remembered.
    pub within: Duration,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { packets: 64, within: Duration::from_millis(100) }
    }
}

/// Packets that share a place, of which the oldest goes.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
struct Print {
    digest: u64,
    /// Number of the packet, from 1.
    number: u64,
    seen_ns: u64,
}

/// Packets of late, by digest.
#[derive(Debug)]
pub(crate) struct Recent {
    prints: Vec<Print>,
    number: u64,
    packets: u64,
    within_ns: u64,
    seed: u64,
}

impl Recent {
    pub(crate) fn new(dedup: Dedup, seed: u64) -> Self {
        let packets = dedup.packets.clamp(1, 1 << 16);
        // Twice the room, so that places seldom overflow.
        let room = (packets as usize * 2).next_power_of_two().max(WAYS);
        Self {
            prints: vec![Print::default(); room],
            number: 0,
            packets: u64::from(packets),
            within_ns: u64::try_from(dedup.within.as_nanos()).unwrap_or(u64::MAX),
            seed,
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.prints.capacity() * size_of::<Print>()
    }

    /// Whether this packet is a copy of one that is remembered. Remembers it otherwise. `at` is where
    /// its IP header begins, `octets` its length with it.
    pub(crate) fn is_copy(&mut self, (at, octets): (u32, u32), frame: &[u8], now_ns: u64) -> bool {
        let Some(digest) = digest(at, octets, frame, self.seed) else { return false };
        self.number += 1;
        let (number, packets, within) = (self.number, self.packets, self.within_ns);
        let at = (digest >> 32) as usize % (self.prints.len() / WAYS) * WAYS;
        let Some(places) = self.prints.get_mut(at..at + WAYS) else { return false };
        let is_recent = |print: &Print| {
            print.number > 0
                && number - print.number <= packets
                && now_ns.abs_diff(print.seen_ns) <= within
        };
        if places.iter().any(|print| print.digest == digest && is_recent(print)) {
            // Copies do not count as packets in between.
            self.number -= 1;
            return true;
        }
        if let Some(oldest) = places.iter_mut().min_by_key(|print| print.number) {
            *oldest = Print { digest, number, seen_ns: now_ns };
        }
        false
    }
}

/// A hash of the captured octets of a packet from its IP header on, without what routers change.
fn digest(at: u32, octets: u32, frame: &[u8], seed: u64) -> Option<u64> {
    let packet = frame.get(at as usize..)?;
    // Padding of the frame is no part of it.
    let packet = packet.get(..octets as usize).unwrap_or(packet);
    let (head, rest) = packet.split_at_checked(16)?;
    let mut head: [u8; 16] = head.try_into().ok()?;
    match head[0] >> 4 {
        6 => head[7] = 0,
        _ => {
            head[8] = 0;
            (head[10], head[11]) = (0, 0);
        }
    }
    let mut words = rest.chunks_exact(8);
    let tail = words.remainder().iter().fold(0, |n, octet| n << 8 | u64::from(*octet));
    let number = |octets: &[u8]| octets.try_into().map_or(0, u64::from_le_bytes);
    let all = head.chunks_exact(8).chain(&mut words).map(number).chain([tail, rest.len() as u64]);
    Some(all.fold(seed, |sum, word| fold(sum ^ word, 0x9e37_79b9_7f4a_7c15)))
}
