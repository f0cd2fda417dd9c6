//! Duplicates: datagrams that the network delivers twice.
//!
//! A datagram that equals one of its exporter's last ones octet for octet, and comes within a
//! second of it, was doubled on the way (by a mirrored port, or a bridge) and is not read again.
//! Each datagram leaves a hash of all its octets behind; they are looked through only if the
//! sequence number is not new, which is rare.

use crate::Decoder;

/// Datagrams that are remembered of each exporter.
const REMEMBERED: usize = 64;

/// How long after the first a second one is taken for the network's doing.
const WITHIN_MS: u32 = 1000;

/// The latest datagrams of one exporter.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Hash, and the low half of the time of arrival. Grows to its full length, then is reused.
    seen: Vec<(u64, u32)>,
    oldest: usize,
}

impl Recent {
    fn has(&self, hash: u64, now_ms: u32) -> bool {
        let is_it = |&(h, ms): &(u64, u32)| h == hash && now_ms.wrapping_sub(ms) <= WITHIN_MS;
        self.seen.iter().any(is_it)
    }

    fn remember(&mut self, hash: u64, now_ms: u32) {
        if self.seen.len() < REMEMBERED {
            self.seen.push((hash, now_ms));
        } else if let Some(oldest) = self.seen.get_mut(self.oldest) {
            *oldest = (hash, now_ms);
            self.oldest = (self.oldest + 1) % REMEMBERED;
        }
    }
}

impl Decoder {
    /// Whether this message, which the exporter has given this sequence number, was read a moment
    /// ago. If so it is counted. To be asked once of each message, before anything else is done
    /// with it.
    #[inline]
    pub(crate) fn is_dropped(
        &mut self,
        at: usize,
        number: u32,
        octets: &[u8],
        now_ms: u64,
    ) -> bool {
        if !self.config.drop_duplicates || self.session.is_some() {
            return false;
        }
        let Some(state) = self.exporters.get_mut(at) else { return false };
        let (hash, now_ms) = (hash(octets), now_ms as u32);
        if !state.sequence.is_new(number) && state.recent.has(hash, now_ms) {
            for n in [&mut state.ledger.totals.duplicates, &mut self.counters.duplicates] {
                *n += 1;
            }
            state.ledger.totals.duplicates_dropped += 1;
            self.counters.duplicates_dropped += 1;
            return true;
        }
        state.recent.remember(hash, now_ms);
        false
    }
}

/// A hash of all octets: products of 64 by 64 bits, folded, in four lanes, so that it takes some
/// 40 ns for a full datagram. It has to tell apart datagrams that one exporter sends within a
/// second, not to withstand whoever makes up two that collide: they would harm themselves only.
fn hash(octets: &[u8]) -> u64 {
    const LANES: usize = 4;
    const PAIR: usize = 16;
    let mut lanes: [u64; LANES] = std::array::from_fn(|i| ODD.wrapping_mul(i as u64 + 1));
    let (blocks, rest) = octets.as_chunks::<{ LANES * PAIR }>();
    let mut add = |block: &[u8; LANES * PAIR]| {
        let (pairs, _) = block.as_chunks::<PAIR>();
        for (lane, pair) in lanes.iter_mut().zip(pairs) {
            let pair = u128::from_le_bytes(*pair);
            *lane = fold(*lane ^ pair as u64, (pair >> 64) as u64 ^ OTHER);
        }
    };
    blocks.iter().for_each(&mut add);
    let mut last = [0; LANES * PAIR];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    add(&last);
    lanes.iter().fold(octets.len() as u64, |hash, lane| {
        let mixed = (hash ^ lane).wrapping_mul(ODD);
        mixed ^ mixed >> 29
    })
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Another one, so that halves of a pair that change places give another product.
const OTHER: u64 = 0xd6e8_feb8_6659_fd93;

/// Both halves of a product, the one on the other.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn datagrams_that_differ_a_little_have_other_hashes() {
        let mut octets = vec![0u8; 1464];
        for (n, octet) in octets.iter_mut().enumerate() {
            *octet = if n % 3 == 0 { 0 } else { (n * 7) as u8 };
        }
        for octets in [octets, vec![0; 1464], vec![0xFF; 200]] {
            let mut seen = HashSet::from([hash(&octets)]);
            for at in 0..octets.len() {
                for bit in [1, 0x80, 0xFF] {
                    let mut other = octets.clone();
                    other[at] ^= bit;
                    assert!(seen.insert(hash(&other)), "{bit} at {at}");
                }
            }
            // Octets that change places, and lengths.
            for at in (0..octets.len() - 16).step_by(8) {
                let mut other = octets.clone();
                let (one, two) = other.split_at_mut(at + 8);
                one[at..].swap_with_slice(&mut two[..8]);
                assert!(other == octets || seen.insert(hash(&other)), "8 at {at}");
            }
            for len in 0..octets.len() {
                assert!(seen.insert(hash(&octets[..len])), "{len} octets");
            }
        }
    }
}
