//! A hash table from fixed-width keys to sums, made for few octets a group and few looks at memory.
//!
//! Groups lie one after the other in chunks that never move; an index of 8-octet slots points at
//! them. What a group takes is what bounds large answers: memory has to be cleared by the system
//! before it is filled, and misses caches after. So sums are kept in 16 octets as long as they
//! fit, which is for good with most of the groups of a large answer; the others have theirs in a
//! list beside.
//!
//! A slot holds 32 bits of the hash beside the position, so that a wrong group is almost never
//! looked at. These bits choose the slot too, in their order: an index grows by being copied from
//! its begin to its end, and no group is looked at for that.

use crate::budget::{Account, Budget, HashRange};
use crate::counters::{NOTHING, join};
use output::Counts;
use std::sync::Arc;
use sys::memory::{prefer_huge_pages, prefer_huge_pages_of_zeros, prefetch};

/// One group: its key, the first record that fell into it, and its sums. With a key of one word,
/// half a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Group<const W: usize> {
    key: [u64; W],
    origin: Origin,
    sums: Sums,
}

/// Sums in 16 octets, as far as they fit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Sums {
    /// Milliseconds after the table's base.
    first: u32,
    last: u32,
    /// Octets; of wide sums, where they are.
    bytes: u32,
    /// Packets in the lower bits, flows above. No flows: the sums are wide.
    rest: u32,
}

impl Sums {
    /// Bits of `rest` that count packets.
    const PACKETS: u32 = 20;
    const MAX_PACKETS: u32 = (1 << Self::PACKETS) - 1;
    const MAX_FLOWS: u32 = u32::MAX >> Self::PACKETS;

    /// `None` if they do not fit.
    #[inline]
    fn new(c: &Counts, base: u64) -> Option<Self> {
        let flows = c.flows.wrapping_sub(1) < u64::from(Self::MAX_FLOWS);
        let packets = c.in_packets <= u64::from(Self::MAX_PACKETS);
        let first = c.first_ms.wrapping_sub(base);
        let last = c.last_ms.wrapping_sub(base);
        let are_short = (first | last | c.in_bytes) >> 32 == 0;
        let is_one_way = c.out_packets | c.out_bytes == 0;
        (flows && packets && are_short && is_one_way).then_some(Self {
            first: first as u32,
            last: last as u32,
            bytes: c.in_bytes as u32,
            rest: c.in_packets as u32 | (c.flows as u32) << Self::PACKETS,
        })
    }

    const fn wide(place: u32) -> Self {
        Self { first: 0, last: 0, bytes: place, rest: 0 }
    }

    /// Where wide sums are.
    #[inline]
    const fn place(&self) -> Option<usize> {
        if self.rest >> Self::PACKETS == 0 { Some(self.bytes as usize) } else { None }
    }

    /// The sum of both, `None` if it does not fit or one of them is wide.
    #[inline]
    fn joined(&self, other: &Self) -> Option<Self> {
        let packets = (self.rest & Self::MAX_PACKETS) + (other.rest & Self::MAX_PACKETS);
        let (bytes, is_over) = self.bytes.overflowing_add(other.bytes);
        // Flows lie on top, so what does not fit overflows.
        let (rest, are_over) = self.rest.overflowing_add(other.rest);
        let is_wide = self.place().is_some() | other.place().is_some();
        let fits = !(is_over | are_over | is_wide) && packets <= Self::MAX_PACKETS;
        fits.then_some(Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            bytes,
            rest,
        })
    }

    fn counts(&self, base: u64) -> Counts {
        Counts {
            first_ms: base + u64::from(self.first),
            last_ms: base + u64::from(self.last),
            flows: u64::from(self.rest >> Self::PACKETS),
            in_packets: u64::from(self.rest & Self::MAX_PACKETS),
            in_bytes: u64::from(self.bytes),
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
    /// Times of groups count from here; that of the first arrival lies in the middle.
    base: u64,
    /// Sums that do not fit into groups.
    wide: Vec<Counts>,
    account: Account,
}

/// Groups side by side. All chunks but the last are full, and a group never leaves its chunk, so
/// a table grows without a second copy of itself, and can be given up piece by piece.
#[derive(Debug)]
struct Chunk<const W: usize> {
    groups: Vec<Group<W>>,
    /// Octets that the budget knows of.
    charged: usize,
}

impl<const W: usize> Chunk<W> {
    /// Groups of a full chunk: one huge page, without what the allocator keeps beside it.
    const LEN: usize = ((2 << 20) - 4096) / size_of::<Group<W>>();
    /// A first chunk that is to be larger than this becomes a full one at once.
    const SMALL: usize = Self::LEN / 4;

    /// Makes room for another group. Returns octets that the budget does not know of.
    #[inline]
    fn make_room(&mut self) -> usize {
        let len = self.groups.len();
        if len == self.groups.capacity() {
            let room = if len * 2 > Self::SMALL { Self::LEN } else { (len * 2).max(STEP) };
            self.groups.reserve_exact(room - len);
            prefer_huge_pages(self.groups.spare_capacity_mut());
        }
        if (len + 1) * size_of::<Group<W>>() <= self.charged {
            return 0;
        }
        // Pages of a large area are taken as a whole.
        let is_full = self.groups.capacity() >= Self::LEN;
        let known = if is_full { Self::LEN } else { len + STEP } * size_of::<Group<W>>();
        let more = known - self.charged;
        self.charged = known;
        more
    }
}

/// No group.
const NONE: u32 = u32::MAX;

impl<const W: usize> Table<W> {
    /// An empty table that charges what it takes to `budget`.
    pub(crate) fn new(hasher: Hasher, budget: &Arc<Budget>) -> Self {
        Self::with_account(hasher, Account::new(budget))
    }

    const fn with_account(hasher: Hasher, account: Account) -> Self {
        Self {
            hasher,
            slots: Vec::new(),
            chunks: Vec::new(),
            len: 0,
            base: 0,
            wide: Vec::new(),
            account,
        }
    }

    /// Where the search for `hash` begins.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        home(hash, self.slots.len())
    }

    /// Asks for the slot that `hash` leads to first.
    ///
    /// With [`guess`](Self::guess) and [`add_guessed`](Self::add_guessed) this is `add` in three
    /// steps. Done for many arrivals each before the next, the processor waits for memory once a
    /// batch and not twice an arrival.
    #[inline]
    pub(crate) fn prepare(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.home(hash)) {
            prefetch(slot);
        }
    }

    /// The group that the first slot points at, if it is likely to be the right one. Asks for it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        let slot = self.slots.get(self.home(hash)).copied().unwrap_or(0);
        if slot >> 32 != hash & POSITION || slot == 0 {
            return NONE;
        }
        let position = (slot as u32).wrapping_sub(1);
        if let Some(group) = self.get(position as usize) {
            prefetch(group);
            if !size_of::<Group<W>>().is_power_of_two() {
                prefetch(&group.sums);
            }
        }
        position
    }

    /// Adds an arrival that was looked up before. Groups never move, so what was guessed for one
    /// batch stays true while the batch is added.
    #[inline]
    pub(crate) fn add_guessed(&mut self, guess: u32, a: &Arrival<W>) {
        match self.get(guess as usize) {
            Some(group) if group.key == a.key => self.join(guess as usize, a),
            _ => self.add(a),
        }
    }

    #[inline]
    fn get(&self, position: usize) -> Option<&Group<W>> {
        let position = position as u32; // the division of half as many bits is the cheaper one
        let chunk = self.chunks.get((position / Chunk::<W>::LEN as u32) as usize)?;
        chunk.groups.get((position % Chunk::<W>::LEN as u32) as usize)
    }

    #[inline]
    fn get_mut(&mut self, position: usize) -> Option<&mut Group<W>> {
        let position = position as u32;
        let chunk = self.chunks.get_mut((position / Chunk::<W>::LEN as u32) as usize)?;
        chunk.groups.get_mut((position % Chunk::<W>::LEN as u32) as usize)
    }

    /// Adds to the group at `position`.
    #[inline]
    fn join(&mut self, position: usize, a: &Arrival<W>) {
        let sums = Sums::new(&a.counts, self.base);
        let Some(group) = self.get_mut(position) else { return };
        group.origin = group.origin.join(a.origin);
        match sums.and_then(|sums| group.sums.joined(&sums)) {
            Some(sums) => group.sums = sums,
            None => self.join_wide(position, &a.counts),
        }
    }

    /// Adds to sums that are wide, or become it.
    #[inline(never)]
    fn join_wide(&mut self, position: usize, counts: &Counts) {
        let Some(sums) = self.get(position).map(|g| g.sums) else { return };
        let place = match sums.place() {
            Some(place) => place,
            None => {
                let place = self.widen(sums.counts(self.base));
                if let Some(group) = self.get_mut(position) {
                    group.sums = Sums::wide(place as u32);
                }
                place
            }
        };
        if let Some(sum) = self.wide.get_mut(place) {
            join(sum, counts);
        }
    }

    /// Keeps sums beside the groups, and returns where.
    fn widen(&mut self, counts: Counts) -> usize {
        let before = self.wide.capacity();
        self.wide.push(counts);
        self.account.charge((self.wide.capacity() - before) * size_of::<Counts>());
        self.wide.len() - 1
    }

    /// Adds to the group of the arrival's key, making it if it is new.
    pub(crate) fn add(&mut self, a: &Arrival<W>) {
        if self.len * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let tag = a.hash & POSITION;
        let mut at = self.home(a.hash);
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = tag << 32 | (self.len as u64 + 1);
                return self.append(a);
            }
            let position = (*slot as u32).wrapping_sub(1) as usize;
            if *slot >> 32 == tag && self.get(position).is_some_and(|g| g.key == a.key) {
                return self.join(position, a);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    /// Adds a group that is known to be new, without telling the index.
    fn append(&mut self, a: &Arrival<W>) {
        if self.len == 0 {
            self.base = a.counts.first_ms.saturating_sub(1 << 31);
        }
        if self.len == self.chunks.len() * Chunk::<W>::LEN {
            let groups = Vec::with_capacity(if self.len == 0 { 0 } else { Chunk::<W>::LEN });
            self.chunks.push(Chunk { groups, charged: 0 });
            if let Some(chunk) = self.chunks.last_mut() {
                prefer_huge_pages(chunk.groups.spare_capacity_mut());
            }
        }
        let sums = match Sums::new(&a.counts, self.base) {
            Some(sums) => sums,
            None => Sums::wide(self.widen(a.counts) as u32),
        };
        if let Some(chunk) = self.chunks.last_mut() {
            let more = chunk.make_room();
            chunk.groups.push(Group { key: a.key, origin: a.origin, sums });
            if more > 0 {
                self.account.charge(more);
            }
        }
        self.len += 1;
    }

    /// A group as if it came in again.
    fn arrival(&self, g: &Group<W>) -> Arrival<W> {
        arrival(g, self.hasher, self.base, &self.wide)
    }

    /// Adds every group of `other`, which is given up chunk by chunk.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        if self.len < other.len {
            std::mem::swap(self, &mut other);
        }
        other.drop_index();
        let mut guesses = [NONE; BATCH];
        let mut batch = Vec::with_capacity(BATCH);
        let (base, hasher) = (other.base, other.hasher);
        for chunk in std::mem::take(&mut other.chunks) {
            for part in chunk.groups.chunks(BATCH) {
                batch.clear();
                batch.extend(part.iter().map(|g| arrival(g, hasher, base, &other.wide)));
                self.add_batch(&batch, &mut guesses);
            }
            other.account.release(chunk.charged);
        }
    }

    /// Adds up to [`BATCH`] arrivals.
    fn add_batch(&mut self, batch: &[Arrival<W>], guesses: &mut [u32; BATCH]) {
        batch.iter().for_each(|a| self.prepare(a.hash));
        for (guess, a) in guesses.iter_mut().zip(batch) {
            *guess = self.guess(a.hash);
        }
        for (guess, a) in guesses.iter().zip(batch) {
            self.add_guessed(*guess, a);
        }
    }

    /// Keeps the groups whose hash is in `range`.
    #[cold]
    pub(crate) fn retain(&mut self, range: HashRange) {
        self.drop_index();
        let mut kept = Self::with_account(self.hasher, self.account.another());
        for chunk in std::mem::take(&mut self.chunks) {
            for group in &chunk.groups {
                let a = self.arrival(group);
                if range.contains(a.hash) {
                    kept.append(&a);
                }
            }
            self.account.release(chunk.charged);
        }
        *self = kept;
        if self.len > 0 {
            self.index();
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
        for group in positions.filter_map(|p| other.get(p)) {
            self.append(&other.arrival(group));
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
        self.get(i).map_or(NOTHING, |g| counts(&g.sums, self.base, &self.wide))
    }

    /// Gives up the index and keeps the groups.
    pub(crate) fn drop_index(&mut self) {
        self.account.release(self.slots.len() * size_of::<u64>());
        self.slots = Vec::new();
    }

    /// Makes the index larger: twice, where it is large already by half, so that no more than half
    /// of it is empty.
    #[cold]
    fn grow(&mut self) {
        if self.slots.is_empty() {
            return self.index(); // of the first group, or after the index was given up
        }
        let old = std::mem::take(&mut self.slots);
        let count = rounded(old.len() * if old.len() < LARGE_INDEX { 4 } else { 3 } / 2);
        self.account.charge(count * size_of::<u64>());
        let mut slots = zeroed(count);
        for slot in old.iter().filter(|slot| **slot != 0) {
            insert(&mut slots, *slot);
        }
        self.slots = slots;
        self.account.release(old.len() * size_of::<u64>());
    }

    /// Makes an index of the groups.
    fn index(&mut self) {
        self.drop_index();
        let count = rounded(((self.len + 1) * 2).max(16));
        self.account.charge(count * size_of::<u64>());
        let mut slots = zeroed(count);
        let groups = self.chunks.iter().flat_map(|c| &c.groups);
        for (i, group) in groups.enumerate() {
            insert(&mut slots, self.hasher.hash(&group.key) << 32 | (i as u64 + 1));
        }
        self.slots = slots;
    }
}

fn counts(sums: &Sums, base: u64, wide: &[Counts]) -> Counts {
    match sums.place() {
        Some(place) => wide.get(place).copied().unwrap_or(NOTHING),
        None => sums.counts(base),
    }
}

fn arrival<const W: usize>(g: &Group<W>, hasher: Hasher, base: u64, wide: &[Counts]) -> Arrival<W> {
    let counts = counts(&g.sums, base, wide);
    Arrival { hash: hasher.hash(&g.key), key: g.key, counts, origin: g.origin }
}

/// Slots beyond which an index grows in smaller steps.
const LARGE_INDEX: usize = 1 << 14;

/// Slots of an index that is to have about so many: large ones fill huge pages, but for what the
/// allocator keeps beside them.
const fn rounded(count: usize) -> usize {
    const PAGE: usize = 2 << 20;
    let octets = count * size_of::<u64>();
    if octets < PAGE / 2 {
        count
    } else {
        (octets.next_multiple_of(PAGE) - 4096) / size_of::<u64>()
    }
}

/// Where the search for a hash begins in an index of `count` slots: in the order of the lower half
/// of the hash.
#[inline]
const fn home(hash: u64, count: usize) -> usize {
    (((hash & POSITION) * count as u64) >> 32) as usize
}

/// Puts a slot into an index that has room for it.
#[inline]
fn insert(slots: &mut [u64], slot: u64) {
    let mut at = home(slot >> 32, slots.len());
    while let Some(place) = slots.get_mut(at) {
        if *place == 0 {
            *place = slot;
            return;
        }
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
}

/// An empty index. The system clears it, page by page as it is used.
fn zeroed(count: usize) -> Vec<u64> {
    let mut slots = vec![0; count];
    prefer_huge_pages_of_zeros(&mut slots);
    slots
}

/// Groups that are charged together while there are few.
const STEP: usize = 8;

/// Arrivals that are looked up together.
pub(crate) const BATCH: usize = 64;

/// The half of a slot that holds a position plus one, and the half of a hash that slots hold.
const POSITION: u64 = 0xffff_ffff;

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

    /// A counter of any size that matters: few bits, and about as many as fit into a group.
    fn any_size(x: u64, bits: u32) -> u64 {
        match x >> 60 {
            0 => (1 << bits) - 1,
            1 => 1 << bits,
            2 => u64::MAX - (x & 1),
            3..6 => x & ((1 << bits) - 1),
            _ => x >> 7 & 0xff,
        }
    }

    #[test]
    fn what_does_not_fit_into_a_group_is_kept_beside_it() {
        let (hasher, budget) = (Hasher::new(), Budget::new(None));
        let start = 1_800_000_000_000u64;
        for (keys, base) in [(3u64, start), (700, start), (20_000, start), (50, 0)] {
            let mut tables = [(); 3].map(|()| Table::<1>::new(hasher, &budget));
            let mut oracle: HashMap<u64, (Counts, Origin)> = HashMap::new();
            let mut x = keys;
            let mut next = || {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
                x ^ x >> 29
            };
            for n in 0..60_000u32 {
                let mut size = |bits| any_size(next(), bits);
                let rare = |n: u64| if n & 0xff == 7 { n } else { 0 };
                let counts = Counts {
                    first_ms: base.wrapping_add(size(32)).wrapping_sub(size(31) >> 1),
                    last_ms: base.wrapping_add(size(32)),
                    flows: size(12).max(1),
                    in_packets: size(20),
                    in_bytes: size(32),
                    out_packets: rare(size(20)),
                    out_bytes: rare(size(32)),
                };
                let key = next() % keys;
                let origin = Origin::new(n / 7, n % 5, 1 << (n % 8));
                let a = Arrival { hash: hasher.hash(&[key]), key: [key], counts, origin };
                tables[n as usize % 3].add(&a);
                let sum = oracle.entry(key).or_insert((NOTHING, origin));
                join(&mut sum.0, &counts);
                sum.1 = sum.1.join(origin);
            }
            let [mut whole, b, c] = tables;
            whole.absorb(b);
            whole.absorb(c);
            assert_eq!(whole.len(), oracle.len());
            for i in 0..whole.len() {
                let ([key], origin) = whole.group(i).unwrap();
                assert_eq!((whole.counts(i), origin), oracle[key], "key {key} of {keys}");
            }
            assert!(!whole.wide.is_empty());
            drop(whole);
            assert!(budget.used_is_nothing(), "tables give back what they take");
        }
    }

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
