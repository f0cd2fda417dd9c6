//! A hash table from fixed-width keys to sums, made for few allocations and many groups.
//!
//! Groups lie one after the other in a vector; an index of 8-octet slots points at them. A slot
//! holds half of the hash beside the position, so that a wrong group is almost never looked at
//! and growing the index does not touch the groups.

use crate::counters::join;
use output::Counts;

/// One group: its key, its sums, and the first record that fell into it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<const W: usize> {
    pub(crate) key: [u64; W],
    pub(crate) counts: Counts,
    pub(crate) origin: Origin,
}

/// Where a record is: number of the block in reading order, number of the row in the block. The
/// low octet carries the TCP flags of a group, so that a group stays a round number of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u64);

impl Origin {
    /// Blocks hold at most 5 MiB, so row numbers fit 24 bits; block numbers get 32.
    pub(crate) const fn new(block: u32, row: u32, flags: u8) -> Self {
        Self((block as u64) << 32 | ((row & 0xff_ffff) as u64) << 8 | flags as u64)
    }

    pub(crate) const fn block(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn row(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff_ffff
    }

    pub(crate) const fn flags(self) -> u8 {
        self.0 as u8
    }

    /// Position alone, for ordering by input.
    pub(crate) const fn position(self) -> u64 {
        self.0 >> 8
    }

    /// The earlier of two records, with the flags of both.
    pub(crate) const fn join(self, other: Self) -> Self {
        let first = if self.position() <= other.position() { self } else { other };
        Self(first.0 | other.flags() as u64 | self.flags() as u64)
    }
}

/// The table. At most 2^32 - 1 groups: callers split the key space by hash long before.
#[derive(Debug)]
pub(crate) struct Table<const W: usize> {
    hasher: Hasher,
    slots: Vec<u64>,
    groups: Vec<Group<W>>,
}

impl<const W: usize> Table<W> {
    pub(crate) const fn new(hasher: Hasher) -> Self {
        Self { hasher, slots: Vec::new(), groups: Vec::new() }
    }

    /// Adds to the group of `key`, making it if it is new. `hash` must be that of `key`.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64, key: [u64; W], counts: &Counts, origin: Origin) {
        if self.groups.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let tag = hash & TAG;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = tag | (self.groups.len() as u64 + 1);
                self.groups.push(Group { key, counts: *counts, origin });
                return;
            }
            if *slot & TAG == tag
                && let Some(group) = self.groups.get_mut((*slot & !TAG) as usize - 1)
                && group.key == key
            {
                join(&mut group.counts, counts);
                group.origin = group.origin.join(origin);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds every group of `other`.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        if self.groups.len() < other.groups.len() {
            std::mem::swap(self, &mut other);
        }
        for g in other.groups {
            self.add(self.hasher.hash(&g.key), g.key, &g.counts, g.origin);
        }
    }

    /// The groups, in order of first addition.
    pub(crate) fn groups(&self) -> &[Group<W>] {
        &self.groups
    }

    /// Gives up the index and keeps the groups.
    pub(crate) fn drop_index(&mut self) {
        self.slots = Vec::new();
    }

    /// The slot that `hash` leads to first: what a prefetch wants.
    #[inline]
    pub(crate) fn home(&self, hash: u64) -> Option<&u64> {
        self.slots.get(hash as usize & self.slots.len().wrapping_sub(1))
    }

    /// The group that the first slot of `hash` points at, if any.
    #[inline]
    pub(crate) fn home_group(&self, hash: u64) -> Option<&Group<W>> {
        let slot = *self.home(hash)?;
        self.groups.get(((slot & !TAG) as usize).wrapping_sub(1))
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(64);
        self.slots = vec![0; slots];
        let mask = slots - 1;
        for (i, group) in self.groups.iter().enumerate() {
            let hash = self.hasher.hash(&group.key);
            let mut at = hash as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = hash & TAG | (i as u64 + 1);
        }
    }
}

/// The half of a slot that holds hash bits; the other half holds a position plus one.
const TAG: u64 = 0xffff_ffff_0000_0000;

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
        key.iter().fold(self.seed, |h, word| {
            let product = u128::from(h ^ word) * u128::from(0x9e37_79b9_7f4a_7c15u64 ^ self.seed >> 1 | 1);
            product as u64 ^ (product >> 64) as u64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn sums_as_a_plain_map_does() {
        let hasher = Hasher::new();
        let (mut whole, mut half) = (Table::<2>::new(hasher), Table::<2>::new(hasher));
        let mut oracle: HashMap<[u64; 2], (u64, u64)> = HashMap::new();
        let mut x = 1u64;
        for n in 0..50_000u32 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = [x >> 50, u64::from(n % 3)];
            let counts = Counts { in_bytes: x >> 40, flows: 1, ..Counts::default() };
            let into = if n % 2 == 0 { &mut whole } else { &mut half };
            into.add(hasher.hash(&key), key, &counts, Origin::new(n, 7, 1 << (n % 8)));
            let sum = oracle.entry(key).or_default();
            *sum = (sum.0 + counts.in_bytes, sum.1 + 1);
        }
        whole.absorb(half);
        assert_eq!(whole.groups().len(), oracle.len());
        for g in whole.groups() {
            assert_eq!((g.counts.in_bytes, g.counts.flows), oracle[&g.key]);
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
