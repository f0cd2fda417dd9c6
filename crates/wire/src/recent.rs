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

/// A hash of all octets: eight lanes that are added and turned, so that it takes some 30 ns for a
/// full datagram, then mixed. It has to tell apart datagrams that one exporter sends within a
/// second, not to withstand whoever makes up two that collide: they would harm themselves only.
fn hash(octets: &[u8]) -> u64 {
    const LANES: usize = 8;
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes: [u64; LANES] = std::array::from_fn(|i| ODD.wrapping_mul(i as u64 + 1));
    let (blocks, rest) = octets.as_chunks::<{ LANES * 8 }>();
    let mut add = |block: &[u8; LANES * 8]| {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            let word = u64::from_le_bytes(*word);
            *lane = (lane.rotate_left(13) ^ word).wrapping_add(word.rotate_left(32));
        }
    };
    blocks.iter().for_each(&mut add);
    let mut last = [0; LANES * 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    add(&last);
    lanes.iter().fold(octets.len() as u64, |hash, lane| {
        let mixed = (hash ^ lane).wrapping_mul(ODD);
        mixed ^ mixed >> 29
    })
}
