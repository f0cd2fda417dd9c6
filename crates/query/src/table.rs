//! A hash table from fixed-width keys to sums, made for few allocations and many groups.
//!
//! Groups lie one after the other in a vector; an index of 8-octet slots points at them. A slot
//! holds half of the hash beside the position, so that a wrong group is almost never looked at
//! and growing the index does not touch the groups.

use crate::counters::NOTHING;
use output::Counts;
use sys::memory::prefer_huge_pages;

/// One group: its key, its sums, and the first record that fell into it.
///
/// Keys of one and two words make a group of exactly one cache line. Counters of the other
/// direction, which few exporters send, are kept apart by the table.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group<const W: usize> {
    key: [u64; W],
    origin: Origin,
    first_ms: u64,
    last_ms: u64,
    flows: u64,
    packets: u64,
    bytes: u64,
}

impl<const W: usize> Group<W> {
    #[inline]
    const fn new(a: &Arrival<W>) -> Self {
        let c = &a.counts;
        Self {
            key: a.key,
            origin: a.origin,
            first_ms: c.first_ms,
            last_ms: c.last_ms,
            flows: c.flows,
            packets: c.in_packets,
            bytes: c.in_bytes,
        }
    }

    #[inline]
    fn join(&mut self, a: &Arrival<W>) {
        let c = &a.counts;
        self.origin = self.origin.join(a.origin);
        self.first_ms = self.first_ms.min(c.first_ms);
        self.last_ms = self.last_ms.max(c.last_ms);
        self.flows = self.flows.saturating_add(c.flows);
        self.packets = self.packets.saturating_add(c.in_packets);
        self.bytes = self.bytes.saturating_add(c.in_bytes);
    }
}

/// Packets and octets of the other direction.
type Other = [u64; 2];

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

/// One record on its way into a [`Table`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<const W: usize> {
    pub(crate) hash: u64,
    pub(crate) key: [u64; W],
    pub(crate) counts: Counts,
    pub(crate) origin: Origin,
}

/// The table. At most 2^32 - 1 groups: callers split the key space by hash long before.
#[derive(Debug)]
pub(crate) struct Table<const W: usize> {
    hasher: Hasher,
    slots: Vec<u64>,
    groups: Vec<Group<W>>,
    /// One for each group, or empty as long as all of them are 0.
    others: Vec<Other>,
}

/// Where an arrival goes, as far as two looks ahead can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// To the group at this position.
    Group(u32),
    /// To a new group, or to one that a longer search will find.
    Unknown,
}

impl<const W: usize> Table<W> {
    pub(crate) const fn new(hasher: Hasher) -> Self {
        Self { hasher, slots: Vec::new(), groups: Vec::new(), others: Vec::new() }
    }

    /// The slot that `hash` leads to first, 0 if it is empty.
    ///
    /// With [`guess`](Self::guess) and [`add_guessed`](Self::add_guessed) this is `add` in three
    /// steps. Done for many arrivals each before the next, the loads of one step do not depend on
    /// each other, so the processor waits for memory once a batch and not twice an arrival.
    #[inline]
    pub(crate) fn home(&self, hash: u64) -> u64 {
        let at = hash as usize & self.slots.len().wrapping_sub(1);
        self.slots.get(at).copied().unwrap_or(0)
    }

    /// Looks at the group that a home slot points at.
    #[inline]
    pub(crate) fn guess(&self, slot: u64, arrival: &Arrival<W>) -> Guess {
        let position = ((slot & !TAG) as u32).wrapping_sub(1);
        match self.groups.get(position as usize) {
            Some(g) if slot & TAG == arrival.hash & TAG && g.key == arrival.key => {
                Guess::Group(position)
            }
            _ => Guess::Unknown,
        }
    }

    /// Adds an arrival that was looked up before. Groups never move, so what was guessed for one
    /// batch stays true while the batch is added.
    #[inline]
    pub(crate) fn add_guessed(&mut self, guess: Guess, a: &Arrival<W>) {
        if let Guess::Group(position) = guess
            && let Some(group) = self.groups.get_mut(position as usize)
        {
            group.join(a);
            self.add_other(position as usize, &a.counts);
            return;
        }
        self.add(a);
    }

    /// Adds counters of the other direction to the group at `position`.
    #[inline]
    fn add_other(&mut self, position: usize, counts: &Counts) {
        let other = [counts.out_packets, counts.out_bytes];
        if other == [0, 0] {
            return;
        }
        self.others.resize(self.groups.len(), [0, 0]);
        if let Some(sums) = self.others.get_mut(position) {
            for (sum, n) in sums.iter_mut().zip(other) {
                *sum = sum.saturating_add(n);
            }
        }
    }

    /// Adds to the group of the arrival's key, making it if it is new.
    pub(crate) fn add(&mut self, a: &Arrival<W>) {
        if self.groups.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let tag = a.hash & TAG;
        let mut at = a.hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = tag | (self.groups.len() as u64 + 1);
                push(&mut self.groups, Group::new(a));
                return self.add_other(self.groups.len() - 1, &a.counts);
            }
            if *slot & TAG == tag
                && let Some(group) = self.groups.get_mut((*slot & !TAG) as usize - 1)
                && group.key == a.key
            {
                group.join(a);
                let position = (*slot & !TAG) as usize - 1;
                return self.add_other(position, &a.counts);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds every group of `other`.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        if self.groups.len() < other.groups.len() {
            std::mem::swap(self, &mut other);
        }
        let mut slots = [0; BATCH];
        let mut guesses = [Guess::Unknown; BATCH];
        let mut batch = Vec::with_capacity(BATCH);
        for start in (0..other.groups.len()).step_by(BATCH) {
            batch.clear();
            batch.extend((start..start + BATCH).map_while(|i| other.arrival(i)));
            for (slot, a) in slots.iter_mut().zip(&batch) {
                *slot = self.home(a.hash);
            }
            for ((guess, slot), a) in guesses.iter_mut().zip(slots).zip(&batch) {
                *guess = self.guess(slot, a);
            }
            for (a, guess) in batch.iter().zip(guesses) {
                self.add_guessed(guess, a);
            }
        }
    }

    /// Group `i` as if it came in again.
    fn arrival(&self, i: usize) -> Option<Arrival<W>> {
        let g = self.groups.get(i)?;
        let hash = self.hasher.hash(&g.key);
        Some(Arrival { hash, key: g.key, counts: self.counts(i), origin: g.origin })
    }

    /// How many groups.
    pub(crate) const fn len(&self) -> usize {
        self.groups.len()
    }

    /// Key and first record of group `i`.
    pub(crate) fn group(&self, i: usize) -> Option<(&[u64; W], Origin)> {
        self.groups.get(i).map(|g| (&g.key, g.origin))
    }

    /// Sums of group `i`.
    #[inline]
    pub(crate) fn counts(&self, i: usize) -> Counts {
        let Some(g) = self.groups.get(i) else { return NOTHING };
        let [out_packets, out_bytes] = self.others.get(i).copied().unwrap_or_default();
        Counts {
            first_ms: g.first_ms,
            last_ms: g.last_ms,
            flows: g.flows,
            in_packets: g.packets,
            in_bytes: g.bytes,
            out_packets,
            out_bytes,
        }
    }

    /// Gives up the index and keeps the groups.
    pub(crate) fn drop_index(&mut self) {
        self.slots = Vec::new();
    }

    #[cold]
    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(64);
        let mut slots = Vec::with_capacity(count);
        prefer_huge_pages(slots.spare_capacity_mut());
        slots.resize(count, 0);
        let mask = count - 1;
        for (i, group) in self.groups.iter().enumerate() {
            let hash = self.hasher.hash(&group.key);
            let mut at = hash as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = hash & TAG | (i as u64 + 1);
        }
        self.slots = slots;
    }
}

impl<const W: usize> Default for Arrival<W> {
    fn default() -> Self {
        Self { hash: 0, key: [0; W], counts: NOTHING, origin: Origin::new(0, 0, 0) }
    }
}

/// Arrivals that are looked up together.
pub(crate) const BATCH: usize = 64;

/// Pushes, and asks for huge pages when the vector moves to a larger place.
#[inline]
fn push<T>(groups: &mut Vec<T>, group: T) {
    if groups.len() == groups.capacity() {
        groups.reserve(groups.len().max(64));
        prefer_huge_pages(groups.spare_capacity_mut());
    }
    groups.push(group);
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
    use std::collections::HashMap;

    #[test]
    fn sums_as_a_plain_map_does() {
        let hasher = Hasher::new();
        let (mut whole, mut half) = (Table::<2>::new(hasher), Table::<2>::new(hasher));
        let mut oracle: HashMap<[u64; 2], (u64, u64, u64)> = HashMap::new();
        let mut x = 1u64;
        for n in 0..50_000u32 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = [x >> 50, u64::from(n % 3)];
            // Some records, not the first ones, know the other direction.
            let out_bytes = if n > 1000 && n % 5 == 0 { x >> 44 } else { 0 };
            let counts = Counts { in_bytes: x >> 40, out_bytes, flows: 1, ..Counts::default() };
            let into = if n % 2 == 0 { &mut whole } else { &mut half };
            let origin = Origin::new(n, 7, 1 << (n % 8));
            into.add(&Arrival { hash: hasher.hash(&key), key, counts, origin });
            let sum = oracle.entry(key).or_default();
            *sum = (sum.0 + counts.in_bytes, sum.1 + 1, sum.2 + counts.out_bytes);
        }
        whole.absorb(half);
        assert_eq!(whole.len(), oracle.len());
        for i in 0..whole.len() {
            let (key, c) = (whole.group(i).unwrap().0, whole.counts(i));
            assert_eq!((c.in_bytes, c.flows, c.out_bytes), oracle[key]);
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
