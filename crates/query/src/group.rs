//! What is known of a group, in few octets.
//!
//! What groups take is what bounds large answers: memory has to be brought before it is filled, and
//! misses caches after. So sums are kept in 16 octets as long as they fit, which is for good with
//! most of the groups of a large answer; the others have theirs in a list beside.

use crate::counters::NOTHING;
use output::Counts;

/// One group: its key, the first record that fell into it, and its sums. With a key of one word,
/// half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Group<const W: usize> {
    pub(crate) key: [u64; W],
    pub(crate) origin: Origin,
    pub(crate) sums: Sums,
}

impl<const W: usize> Group<W> {
    /// No record: what room is filled with before it is used.
    pub(crate) const NONE: Self =
        Self { key: [0; W], origin: Origin(0), sums: Sums { times: 0, amounts: 0 } };
}

/// Sums in 16 octets, as far as they fit. Two words, so that they stay in registers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Sums {
    /// First, and above it last, in milliseconds after a base that all groups of an answer share.
    times: u64,
    /// From below: octets (32 bits), packets (20), flows (12). No flows: the sums are wide, and what
    /// is below says where they are.
    amounts: u64,
}

impl Sums {
    const PACKETS: u32 = 32;
    const FLOWS: u32 = 52;
    const MAX_PACKETS: u64 = (1 << (Self::FLOWS - Self::PACKETS)) - 1;
    const MAX_FLOWS: u64 = u64::MAX >> Self::FLOWS;
    const LOW: u64 = 0xffff_ffff;

    /// `None` if they do not fit.
    #[inline]
    pub(crate) fn new(c: &Counts, base: u64) -> Option<Self> {
        let flows = c.flows.wrapping_sub(1) < Self::MAX_FLOWS;
        let packets = c.in_packets <= Self::MAX_PACKETS;
        let first = c.first_ms.wrapping_sub(base);
        let last = c.last_ms.wrapping_sub(base);
        let are_short = (first | last | c.in_bytes) >> 32 == 0;
        let is_one_way = c.out_packets | c.out_bytes == 0;
        if !(flows & packets & are_short & is_one_way) {
            return None;
        }
        let amounts = c.in_bytes | c.in_packets << Self::PACKETS | c.flows << Self::FLOWS;
        Some(Self { times: first | last << 32, amounts })
    }

    /// Sums that are number `place` of the wide ones.
    pub(crate) const fn wide(place: u32) -> Self {
        Self { times: 0, amounts: place as u64 }
    }

    /// The same sums, in a list that has `before` others in front.
    #[inline]
    pub(crate) const fn behind(self, before: usize) -> Self {
        match self.place() {
            Some(place) => Self::wide((place + before) as u32),
            None => self,
        }
    }

    /// Where wide sums are.
    #[inline]
    pub(crate) const fn place(&self) -> Option<usize> {
        if self.amounts >> Self::FLOWS == 0 { Some(self.amounts as usize) } else { None }
    }

    /// The sum of both, `None` if it does not fit or one of them is wide.
    #[inline]
    pub(crate) fn joined(&self, other: &Self) -> Option<Self> {
        let bytes = (self.amounts & Self::LOW) + (other.amounts & Self::LOW);
        let packets = self.packets() + other.packets();
        // Flows lie on top, so what does not fit overflows.
        let (amounts, is_over) = self.amounts.overflowing_add(other.amounts);
        let is_wide = self.place().is_some() | other.place().is_some();
        let is_short = bytes <= Self::LOW && packets <= Self::MAX_PACKETS;
        let first = (self.times & Self::LOW).min(other.times & Self::LOW);
        let last = (self.times >> 32).max(other.times >> 32);
        let fits = is_short & !is_over & !is_wide;
        fits.then_some(Self { times: first | last << 32, amounts })
    }

    const fn packets(&self) -> u64 {
        self.amounts >> Self::PACKETS & Self::MAX_PACKETS
    }

    /// The sums, those that do not fit out of `wide`.
    #[inline]
    pub(crate) fn counts_in(&self, base: u64, wide: &[Counts]) -> Counts {
        match self.place() {
            Some(place) => wide.get(place).copied().unwrap_or(NOTHING),
            None => self.counts(base),
        }
    }

    /// Sums that are not wide.
    pub(crate) fn counts(&self, base: u64) -> Counts {
        Counts {
            first_ms: base + (self.times & Self::LOW),
            last_ms: base + (self.times >> 32),
            flows: self.amounts >> Self::FLOWS,
            in_packets: self.packets(),
            in_bytes: self.amounts & Self::LOW,
            out_packets: 0,
            out_bytes: 0,
        }
    }
}

/// Where a record is: number of the block in reading order, number of the row in the block. The
/// low octet carries the TCP flags of a group, so that a group stays a round number of words, and
/// the bit above it whether the record runs against the direction of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin(u64);

impl Origin {
    const REVERSED: u64 = 1 << 8;

    /// Blocks hold at most 5 MiB, so row numbers fit 23 bits; block numbers get 32.
    pub(crate) const fn new(block: u32, row: u32, flags: u8) -> Self {
        Self((block as u64) << 32 | ((row & 0x7f_ffff) as u64) << 9 | flags as u64)
    }

    /// The same record, running against its key.
    pub(crate) const fn reversed(self) -> Self {
        Self(self.0 | Self::REVERSED)
    }

    pub(crate) const fn is_reversed(self) -> bool {
        self.0 & Self::REVERSED != 0
    }

    pub(crate) const fn block(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn row(self) -> u32 {
        (self.0 >> 9) as u32 & 0x7f_ffff
    }

    pub(crate) const fn flags(self) -> u8 {
        self.0 as u8
    }

    /// Position alone, for ordering by input.
    pub(crate) const fn position(self) -> u64 {
        self.0 >> 9
    }

    /// The earlier of two records, with the flags of both.
    pub(crate) const fn join(self, other: Self) -> Self {
        let first = if self.position() <= other.position() { self } else { other };
        Self(first.0 | other.flags() as u64 | self.flags() as u64)
    }
}

/// Hashes keys with a seed drawn once a process, so that traffic cannot be made to collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    seed: u64,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self { seed: RandomState::new().hash_one(0u64) }
    }

    /// Multiply and fold, word by word: every bit of the key reaches both halves of the hash.
    #[inline]
    pub(crate) fn hash<const W: usize>(self, key: &[u64; W]) -> u64 {
        self.hash_words(key)
    }

    /// The same for a key of any width.
    #[inline]
    pub(crate) fn hash_words(self, key: &[u64]) -> u64 {
        key.iter().fold(self.seed, |h, word| {
            let product =
                u128::from(h ^ word) * u128::from(0x9e37_79b9_7f4a_7c15u64 ^ self.seed >> 1 | 1);
            product as u64 ^ (product >> 64) as u64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::join;

    #[test]
    fn sums_fit_exactly_or_not_at_all() {
        let base = 1 << 40;
        let fit = Counts {
            first_ms: base,
            last_ms: base + u64::from(u32::MAX),
            flows: 4095,
            in_packets: (1 << 20) - 1,
            in_bytes: u64::from(u32::MAX),
            ..Counts::default()
        };
        assert_eq!(Sums::new(&fit, base).map(|s| s.counts(base)), Some(fit));
        let least = Counts { first_ms: base, last_ms: base, flows: 1, ..Counts::default() };
        assert_eq!(Sums::new(&least, base).map(|s| s.counts(base)), Some(least));
        for too_much in [
            Counts { first_ms: base - 1, ..fit },
            Counts { last_ms: fit.last_ms + 1, ..fit },
            Counts { flows: 4096, ..fit },
            Counts { flows: 0, ..fit },
            Counts { in_packets: 1 << 20, ..fit },
            Counts { in_bytes: 1 << 32, ..fit },
            Counts { out_packets: 1, ..fit },
            Counts { out_bytes: 1, ..fit },
            NOTHING,
        ] {
            assert!(Sums::new(&too_much, base).is_none(), "{too_much:?}");
        }
        for (more, fits) in [
            (Counts { ..least }, true),
            (Counts { in_packets: 1, ..least }, true),
            (Counts { in_bytes: 1, ..least }, true),
        ] {
            let half =
                Counts { flows: 4094, in_packets: (1 << 20) - 2, in_bytes: (1 << 32) - 2, ..fit };
            let sums = |c: &Counts| Sums::new(c, base).unwrap();
            let joined = sums(&half).joined(&sums(&more));
            let mut want = half;
            join(&mut want, &more);
            assert_eq!(joined.map(|s| s.counts(base)), Some(want), "{more:?}");
            assert_eq!(joined.unwrap().joined(&sums(&more)).is_some(), !fits, "flows are full");
            let full = |c: Counts| sums(&Counts { flows: 1, in_packets: 0, in_bytes: 0, ..c });
            for by in [
                Counts { in_packets: 2, ..least },
                Counts { in_bytes: 2, ..least },
                Counts { flows: 2, ..least },
            ] {
                assert!(sums(&half).joined(&sums(&by)).is_none(), "{by:?}");
                assert!(full(half).joined(&sums(&by)).is_some(), "{by:?}");
            }
        }
    }

    #[test]
    fn the_first_record_wins_whichever_side_it_is_on() {
        let (early, late) = (Origin::new(1, 5, 0x02), Origin::new(1, 6, 0x10));
        for joined in [early.join(late), late.join(early)] {
            assert_eq!((joined.block(), joined.row(), joined.flags()), (1, 5, 0x12));
        }
    }
}
