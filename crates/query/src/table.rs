//! A hash table from fixed-width keys to sums, made for few allocations and many groups.
//!
//! Groups lie one after the other in chunks that never move; an index of 8-octet slots points at
//! them. A slot holds half of the hash beside the position, so that a wrong group is almost never
//! looked at.

use crate::budget::{Account, Budget, HashRange};
use crate::counters::NOTHING;
use output::Counts;
use std::sync::Arc;
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

    const fn counts(&self, [out_packets, out_bytes]: Other) -> Counts {
        Counts {
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            flows: self.flows,
            in_packets: self.packets,
            in_bytes: self.bytes,
            out_packets,
            out_bytes,
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
    chunks: Vec<Chunk<W>>,
    len: usize,
    account: Account,
}

/// Groups side by side. All chunks but the last are full, and a group never leaves its chunk, so
/// a table grows without a second copy of itself, and can be given up piece by piece.
#[derive(Debug)]
struct Chunk<const W: usize> {
    groups: Vec<Group<W>>,
    /// One for each group up to the last that has any.
    others: Vec<Other>,
}

impl<const W: usize> Chunk<W> {
    /// Groups of a full chunk, as a power of two: about 4 MiB.
    const SHIFT: u32 = ((4 << 20) / size_of::<Group<W>>()).ilog2();
    const LEN: usize = 1 << Self::SHIFT;

    /// Group `i` as if it came in again.
    fn arrival(&self, i: usize, hasher: Hasher) -> Option<Arrival<W>> {
        let g = self.groups.get(i)?;
        let counts = g.counts(self.others.get(i).copied().unwrap_or_default());
        Some(Arrival { hash: hasher.hash(&g.key), key: g.key, counts, origin: g.origin })
    }
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
    /// An empty table that charges what it takes to `budget`.
    pub(crate) fn new(hasher: Hasher, budget: &Arc<Budget>) -> Self {
        Self::with_account(hasher, Account::new(budget))
    }

    const fn with_account(hasher: Hasher, account: Account) -> Self {
        Self { hasher, slots: Vec::new(), chunks: Vec::new(), len: 0, account }
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

    #[inline]
    fn place(&self, position: usize) -> Option<(&Chunk<W>, usize)> {
        Some((self.chunks.get(position >> Chunk::<W>::SHIFT)?, position & (Chunk::<W>::LEN - 1)))
    }

    #[inline]
    fn get(&self, position: usize) -> Option<&Group<W>> {
        let (chunk, i) = self.place(position)?;
        chunk.groups.get(i)
    }

    /// Looks at the group that a home slot points at.
    #[inline]
    pub(crate) fn guess(&self, slot: u64, arrival: &Arrival<W>) -> Guess {
        let position = ((slot & !TAG) as u32).wrapping_sub(1);
        match self.get(position as usize) {
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
        match guess {
            Guess::Group(position) => self.join(position as usize, a),
            Guess::Unknown => self.add(a),
        }
    }

    /// Adds to the group at `position`.
    #[inline]
    fn join(&mut self, position: usize, a: &Arrival<W>) {
        let Some(chunk) = self.chunks.get_mut(position >> Chunk::<W>::SHIFT) else { return };
        let i = position & (Chunk::<W>::LEN - 1);
        if let Some(group) = chunk.groups.get_mut(i) {
            group.join(a);
        }
        if a.counts.out_packets | a.counts.out_bytes != 0 {
            self.add_other(position, &a.counts);
        }
    }

    /// Adds counters of the other direction to the group at `position`.
    #[inline(never)]
    fn add_other(&mut self, position: usize, counts: &Counts) {
        let Some(chunk) = self.chunks.get_mut(position >> Chunk::<W>::SHIFT) else { return };
        let i = position & (Chunk::<W>::LEN - 1);
        if chunk.others.len() <= i {
            let before = chunk.others.capacity();
            chunk.others.resize(i + 1, [0, 0]);
            self.account.charge((chunk.others.capacity() - before) * size_of::<Other>());
        }
        if let Some(sums) = chunk.others.get_mut(i) {
            for (sum, n) in sums.iter_mut().zip([counts.out_packets, counts.out_bytes]) {
                *sum = sum.saturating_add(n);
            }
        }
    }

    /// Adds to the group of the arrival's key, making it if it is new.
    pub(crate) fn add(&mut self, a: &Arrival<W>) {
        if self.len * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let tag = a.hash & TAG;
        let mut at = a.hash as usize & mask;
        while let Some(slot) = self.slots.get(at).copied() {
            if slot == 0 {
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = tag | (self.len as u64 + 1);
                }
                return self.append(a);
            }
            let position = ((slot & !TAG) as usize).wrapping_sub(1);
            if slot & TAG == tag && self.get(position).is_some_and(|g| g.key == a.key) {
                return self.join(position, a);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a group that is known to be new, without telling the index.
    fn append(&mut self, a: &Arrival<W>) {
        if self.len == self.chunks.len() << Chunk::<W>::SHIFT {
            let capacity = if self.len == 0 { 0 } else { Chunk::<W>::LEN };
            let mut groups = Vec::with_capacity(capacity);
            prefer_huge_pages(groups.spare_capacity_mut());
            self.chunks.push(Chunk { groups, others: Vec::new() });
        }
        if self.len.is_multiple_of(STEP) {
            self.account.charge(STEP * size_of::<Group<W>>());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            push(&mut chunk.groups, Group::new(a));
        }
        self.len += 1;
        if a.counts.out_packets | a.counts.out_bytes != 0 {
            self.add_other(self.len - 1, &a.counts);
        }
    }

    /// Adds every group of `other`, which is given up chunk by chunk.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        if self.len < other.len {
            std::mem::swap(self, &mut other);
        }
        other.drop_index();
        let mut slots = [0; BATCH];
        let mut guesses = [Guess::Unknown; BATCH];
        let mut batch = Vec::with_capacity(BATCH);
        for chunk in other.chunks.drain(..) {
            for start in (0..chunk.groups.len()).step_by(BATCH) {
                batch.clear();
                batch.extend((start..start + BATCH).map_while(|i| chunk.arrival(i, self.hasher)));
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
            other.account.release(chunk.groups.len() * size_of::<Group<W>>());
        }
    }

    /// Keeps the groups whose hash is in `range`.
    #[cold]
    pub(crate) fn retain(&mut self, range: HashRange) {
        self.drop_index();
        let mut kept = Self::with_account(self.hasher, self.account.another());
        for chunk in self.chunks.drain(..) {
            for i in 0..chunk.groups.len() {
                if let Some(a) = chunk.arrival(i, kept.hasher).filter(|a| range.contains(a.hash)) {
                    kept.append(&a);
                }
            }
        }
        *self = kept;
        if self.len > 0 {
            self.grow();
        }
    }

    /// A table of the groups at `positions` alone, without an index.
    pub(crate) fn pick(&self, positions: &[u32]) -> Self {
        let mut picked = Self::with_account(self.hasher, self.account.another());
        picked.append_from(self, positions.iter().map(|p| *p as usize));
        picked
    }

    /// Appends all groups of a table that has none of the groups here.
    pub(crate) fn append_all(&mut self, other: &Self) {
        self.append_from(other, 0..other.len);
    }

    fn append_from(&mut self, other: &Self, positions: impl Iterator<Item = usize>) {
        for position in positions {
            let found = other.place(position).and_then(|(c, i)| c.arrival(i, other.hasher));
            if let Some(a) = found {
                self.append(&a);
            }
        }
    }

    /// How many groups.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Key and first record of group `i`.
    pub(crate) fn group(&self, i: usize) -> Option<(&[u64; W], Origin)> {
        self.get(i).map(|g| (&g.key, g.origin))
    }

    /// Sums of group `i`.
    #[inline]
    pub(crate) fn counts(&self, i: usize) -> Counts {
        let Some((chunk, i)) = self.place(i) else { return NOTHING };
        let Some(group) = chunk.groups.get(i) else { return NOTHING };
        group.counts(chunk.others.get(i).copied().unwrap_or_default())
    }

    /// Gives up the index and keeps the groups.
    pub(crate) fn drop_index(&mut self) {
        self.account.release(self.slots.len() * size_of::<u64>());
        self.slots = Vec::new();
    }

    #[cold]
    fn grow(&mut self) {
        self.index(((self.len + 1) * 2).next_power_of_two().max(16));
    }

    /// Makes an index of `count` slots, a power of two larger than the number of groups.
    fn index(&mut self, count: usize) {
        self.drop_index();
        self.account.charge(count * size_of::<u64>());
        let mut slots = Vec::with_capacity(count);
        prefer_huge_pages(slots.spare_capacity_mut());
        slots.resize(count, 0);
        let mask = count - 1;
        let groups = self.chunks.iter().flat_map(|c| &c.groups);
        for (i, group) in groups.enumerate() {
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

/// Groups that are charged together.
const STEP: usize = 8;

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
        groups.reserve(groups.len().max(STEP));
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
        let budget = Budget::new(None);
        let new = || Table::<2>::new(hasher, &budget);
        let (mut whole, mut half) = (new(), new());
        let mut oracle: HashMap<[u64; 2], (u64, u64, u64)> = HashMap::new();
        let mut x = 1u64;
        for n in 0..300_000u32 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = [x >> 40, u64::from(n % 3)];
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
        assert!(whole.len() > 2 * Chunk::<2>::LEN, "the chunks are not put to the test");

        // What is left of a part of the hash space is what of the whole lies in it.
        let (mut low, mut rest) = (new(), new());
        let half_range = half_range();
        let all: Vec<u32> = (0..whole.len() as u32).collect();
        for table in [&mut low, &mut rest] {
            table.absorb(whole.pick(&all));
        }
        low.retain(half_range);
        let counted = low.len();
        assert!((whole.len() / 3..whole.len() * 2 / 3).contains(&counted));
        for i in 0..low.len() {
            let (key, c) = (low.group(i).unwrap().0, low.counts(i));
            assert!(half_range.contains(hasher.hash(key)));
            assert_eq!((c.in_bytes, c.flows, c.out_bytes), oracle[key]);
        }
        // Its index finds the groups again: nothing is new in a second helping.
        low.absorb({
            rest.retain(half_range);
            rest
        });
        assert_eq!(low.len(), counted);
        drop((whole, low));
        assert!(budget.used_is_nothing(), "tables give back what they take");
    }

    /// The lower half of the hash space.
    fn half_range() -> HashRange {
        let budget = Budget::new(Some(0));
        let mut account = Account::new(&budget);
        account.charge(1);
        let pass = crate::budget::Pass::new(&budget, HashRange::ALL, true);
        let crate::budget::Relief::Narrow(half) = pass.relief(pass.join()) else {
            panic!("no room for an octet")
        };
        half
    }

    #[test]
    fn the_first_record_wins_whichever_side_it_is_on() {
        let (early, late) = (Origin::new(1, 5, 0x02), Origin::new(1, 6, 0x10));
        for joined in [early.join(late), late.join(early)] {
            assert_eq!((joined.block(), joined.row(), joined.flags()), (1, 5, 0x12));
        }
    }
}
