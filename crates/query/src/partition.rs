//! Groups, split by hash, of all workers together.
//!
//! A record becomes a group of its own first, written behind the others of its partition: no
//! worker looks for anything while it reads. Only when a partition has grown to a multiple of what
//! it had is it made smaller: records of one key are joined, in place, by an index that is made
//! for this and fits a cache. So memory is written and read in order, and what answers take is what
//! their groups take, not what the records take.
//!
//! Workers fill pieces of memory of their own and hand full ones to the partition, which all of
//! them share: no group is there twice, and nothing is left to be merged but the last pieces.

use crate::budget::{Account, Budget, HashRange};
use crate::counters::{NOTHING, join};
use crate::group::{Group, Hasher, Origin, Sums};
use crate::slots::Slots;
use output::Counts;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use sys::memory::prefetch;
use sys::piece::Piece;

/// Parts that groups and keys are split into by hash.
pub(crate) const PARTITIONS: usize = 64;

/// Which partition a hash belongs to: bits that choose no slot, and no part of the hash space that
/// a pass counts.
#[inline]
pub(crate) const fn partition(hash: u64) -> usize {
    (hash >> 32) as usize % PARTITIONS
}

/// The groups of one class of keys, which all workers add to.
#[derive(Debug)]
pub(crate) struct Partitions<const W: usize> {
    hasher: Hasher,
    /// Times of groups count from here.
    base: OnceLock<u64>,
    logs: Vec<Mutex<Log<W>>>,
    stock: Mutex<Stock<W>>,
    budget: Arc<Budget>,
}

/// Pieces that nobody uses.
#[derive(Debug)]
struct Stock<const W: usize> {
    free: Vec<Piece<Group<W>>>,
    /// What the pieces in use take.
    account: Account,
    /// Groups of a piece: a power of two.
    capacity: usize,
    /// Pieces that are cut out of the next area.
    next: usize,
}

impl<const W: usize> Partitions<W> {
    /// No groups. `workers` fill a piece for each partition.
    pub(crate) fn new(hasher: Hasher, budget: &Arc<Budget>, workers: usize) -> Self {
        let capacity = capacity::<W>(budget.limit() / workers.max(1));
        let log = || Mutex::new(Log::new(capacity, Account::new(budget)));
        Self {
            hasher,
            base: OnceLock::new(),
            logs: (0..PARTITIONS).map(|_| log()).collect(),
            stock: Mutex::new(Stock {
                free: Vec::new(),
                account: Account::new(budget),
                capacity,
                next: PARTITIONS,
            }),
            budget: Arc::clone(budget),
        }
    }

    /// How many groups there are, those counted twice that were not joined yet.
    pub(crate) fn len(&self) -> usize {
        self.logs.iter().map(|log| lock(log).len).sum()
    }

    /// Drops the groups outside of a range.
    pub(crate) fn narrow(&self, range: HashRange) {
        for log in &self.logs {
            let mut log = lock(log);
            if log.range != range {
                log.range = range;
                let left = log.retain(|g| range.contains(self.hasher.hash(&g.key)));
                self.give_back(left);
            }
        }
    }

    /// Joins what can be joined.
    pub(crate) fn join(&self, index: &mut Slots) {
        for log in &self.logs {
            let mut log = lock(log);
            // Less than that is not worth the look at all of them.
            if log.len > log.joined + log.joined / 4 {
                self.shorten(&mut log, index);
            }
        }
    }

    fn shorten(&self, log: &mut Log<W>, index: &mut Slots) {
        let left = log.join(self.hasher, self.base(), index);
        self.give_back(left);
    }

    fn base(&self) -> u64 {
        self.base.get().copied().unwrap_or(0)
    }

    /// All partitions, joined on `threads` threads.
    pub(crate) fn take(&self, threads: usize) -> Vec<Joined<W>> {
        let logs: Vec<_> = self.logs.iter().map(|log| self.take_log(&mut lock(log))).collect();
        let new = || Slots::new(&self.budget);
        crate::parallel::map_with(logs, threads, new, |index, mut log| {
            drop(log.join(self.hasher, self.base(), index));
            log.charge();
            Joined { base: self.base(), log }
        })
    }

    fn take_log(&self, log: &mut Log<W>) -> Log<W> {
        let empty = Log::new(log.capacity, log.account.another());
        std::mem::replace(log, empty)
    }

    /// An empty piece.
    fn piece(&self) -> Option<Piece<Group<W>>> {
        lock(&self.stock).take()
    }

    fn give_back(&self, pieces: Vec<Piece<Group<W>>>) {
        if pieces.is_empty() {
            return;
        }
        let mut stock = lock(&self.stock);
        let octets = pieces.len() * stock.octets();
        stock.account.release(octets);
        stock.free.extend(pieces);
    }
}

/// Groups of a piece: so many that the pieces that a worker fills take no more than an eighth of
/// its share of the memory, which is `limit`.
fn capacity<const W: usize>(limit: usize) -> usize {
    /// Octets of a piece: few enough that those which workers fill stay in a cache.
    const PIECE: usize = 8 << 10;
    let octets = PIECE.min(limit / (8 * PARTITIONS));
    let count = (octets / size_of::<Group<W>>()).max(1);
    1 << count.ilog2()
}

impl<const W: usize> Stock<W> {
    const fn octets(&self) -> usize {
        self.capacity * size_of::<Group<W>>()
    }

    fn take(&mut self) -> Option<Piece<Group<W>>> {
        /// Octets of an area: a huge page.
        const AREA: usize = 2 << 20;
        if self.free.is_empty() {
            self.free = Piece::cut(self.capacity, self.next);
            // The first one is small, since most answers are.
            self.next = (AREA / self.octets()).max(1);
        }
        self.account.charge(self.octets());
        self.free.pop()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one worker adds.
#[derive(Debug)]
pub(crate) struct Feed<const W: usize> {
    to: Arc<Partitions<W>>,
    /// As that of `to`, once there is one.
    base: Option<u64>,
    /// What is added lies in it.
    range: HashRange,
    open: Vec<Open<W>>,
    index: Slots,
}

/// What a worker has for one partition.
#[derive(Debug)]
struct Open<const W: usize> {
    piece: Option<Piece<Group<W>>>,
    /// Sums that do not fit into groups.
    wide: Vec<Counts>,
}

impl<const W: usize> Feed<W> {
    /// A worker that adds what lies in `range`.
    pub(crate) fn new(to: Arc<Partitions<W>>, range: HashRange) -> Self {
        let index = Slots::new(&to.budget);
        let open = (0..PARTITIONS).map(|_| Open { piece: None, wide: Vec::new() }).collect();
        Self { to, base: None, range, open, index }
    }

    /// Adds a record of the key with this hash.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64, key: [u64; W], counts: &Counts, origin: Origin) {
        let base = match self.base {
            Some(base) => base,
            None => self.find_base(counts),
        };
        let place = partition(hash);
        // Before the group is made, so that it is made where it stays.
        if self.open.get(place).is_none_or(|open| open.piece.as_ref().is_none_or(Piece::is_full)) {
            self.renew(place);
        }
        let Some(open) = self.open.get_mut(place) else { return };
        let sums = match Sums::new(counts, base) {
            Some(sums) => sums,
            None => widen(&mut open.wide, *counts),
        };
        if let Some(piece) = &mut open.piece {
            piece.push(Group { key, origin, sums });
        }
    }

    /// Most records come in order of time, so most of the times are after that of the first one.
    #[cold]
    fn find_base(&mut self, counts: &Counts) -> u64 {
        let base = *self.to.base.get_or_init(|| counts.first_ms.saturating_sub(1 << 30));
        self.base = Some(base);
        base
    }

    /// Hands over a full piece and begins a new one.
    #[inline(never)]
    fn renew(&mut self, place: usize) {
        self.hand_over(place);
        let next = self.to.piece();
        if let Some(open) = self.open.get_mut(place) {
            open.piece = next;
        }
    }

    fn hand_over(&mut self, place: usize) {
        let (Some(open), Some(log)) = (self.open.get_mut(place), self.to.logs.get(place)) else {
            return;
        };
        let (piece, wide) = (open.piece.take(), std::mem::take(&mut open.wide));
        let Some(mut piece) = piece else { return };
        let mut log = lock(log);
        if log.range != self.range {
            // Another worker has dropped already what this one has yet to.
            keep(&mut piece, |g| log.range.contains(self.to.hasher.hash(&g.key)));
        }
        log.append(piece, wide);
        if log.len >= log.limit {
            self.to.shorten(&mut log, &mut self.index);
        }
    }

    /// Hands over everything.
    pub(crate) fn flush(&mut self) {
        (0..PARTITIONS).for_each(|place| self.hand_over(place));
    }

    /// Makes room: joins what all workers have handed over.
    #[cold]
    pub(crate) fn join(&mut self) {
        self.to.join(&mut self.index);
    }

    /// Drops what all workers have handed over outside of a range.
    #[cold]
    pub(crate) fn narrow(&mut self, range: HashRange) {
        self.flush();
        self.to.narrow(range);
        self.range = range;
    }
}

/// Keeps the groups for which `is_kept` says so.
fn keep<const W: usize>(piece: &mut Piece<Group<W>>, is_kept: impl Fn(&Group<W>) -> bool) {
    let mut kept = 0;
    for i in 0..piece.len() {
        let Some(group) = piece.get(i).copied().filter(&is_kept) else { continue };
        if let Some(place) = piece.get_mut(kept) {
            *place = group;
            kept += 1;
        }
    }
    piece.truncate(kept);
}

/// Keeps sums beside the groups.
#[inline(never)]
fn widen(wide: &mut Vec<Counts>, counts: Counts) -> Sums {
    wide.push(counts);
    Sums::wide(wide.len() as u32 - 1)
}

/// One partition: groups side by side, of which several may have one key.
#[derive(Debug)]
struct Log<const W: usize> {
    pieces: Vec<Piece<Group<W>>>,
    /// Groups of a full piece.
    capacity: usize,
    len: usize,
    /// Groups, from the begin, that have keys of their own.
    joined: usize,
    /// With so many it is time to join again.
    limit: usize,
    /// Sums that do not fit into groups.
    wide: Vec<Counts>,
    /// What was dropped does not come in again.
    range: HashRange,
    /// What the wide sums take, and at the end all.
    account: Account,
}

impl<const W: usize> Log<W> {
    /// Groups that are not joined yet, at least, for it to be worth the while.
    const LEAST: usize = 2048;

    fn new(capacity: usize, account: Account) -> Self {
        Self {
            pieces: Vec::new(),
            capacity,
            len: 0,
            joined: 0,
            limit: Self::LEAST,
            wide: Vec::new(),
            range: HashRange::ALL,
            account,
        }
    }

    /// Appends groups whose wide sums, if they have such, are in `wide`.
    fn append(&mut self, mut piece: Piece<Group<W>>, wide: Vec<Counts>) {
        if !wide.is_empty() {
            let before = self.wide.capacity();
            let first = self.wide.len();
            piece.iter_mut().for_each(|g| g.sums = g.sums.behind(first));
            self.wide.extend(wide);
            self.account.charge((self.wide.capacity() - before) * size_of::<Counts>());
        }
        self.len += piece.len();
        self.pieces.push(piece);
    }

    #[inline]
    fn get(&self, position: usize) -> Option<&Group<W>> {
        self.pieces.get(position >> self.capacity.ilog2())?.get(position & (self.capacity - 1))
    }

    /// Writes group number `position`, which is the next one or one before.
    #[inline]
    fn set(&mut self, position: usize, group: Group<W>) {
        let (shift, mask) = (self.capacity.ilog2(), self.capacity - 1);
        let Some(piece) = self.pieces.get_mut(position >> shift) else { return };
        match piece.get_mut(position & mask) {
            Some(place) => *place = group,
            None => {
                piece.push(group);
            }
        }
    }

    /// Joins the groups of each key, in place. Returns the pieces that are left over.
    fn join(&mut self, hasher: Hasher, base: u64, index: &mut Slots) -> Vec<Piece<Group<W>>> {
        let before = (self.len, self.joined);
        index.clear(self.len);
        let mut joint = Joint { wide: std::mem::take(&mut self.wide), base, len: 0 };
        let mut batch = [Group::NONE; BATCH];
        let mut hashes = [0; BATCH];
        for number in 0..self.pieces.len() {
            let mut from = 0;
            while let Some(part) = self.pieces.get(number).and_then(|p| p.get(from..)) {
                let part = part.get(..BATCH).unwrap_or(part);
                if part.is_empty() {
                    break;
                }
                from += part.len();
                if let Some(next) = self.ahead(number, from) {
                    next.iter().for_each(prefetch);
                }
                // A copy, since what is read makes room for what is written.
                for ((to, hash), g) in batch.iter_mut().zip(&mut hashes).zip(part) {
                    (*to, *hash) = (*g, hasher.hash(&g.key));
                    index.prepare(*hash);
                }
                let count = part.len();
                for hash in hashes.iter().take(count) {
                    if let Some(group) = index.guess(*hash).and_then(|n| self.get(n)) {
                        prefetch(group);
                    }
                }
                for (group, hash) in batch.iter().zip(&hashes).take(count) {
                    self.add(group, *hash, index, &mut joint);
                }
            }
        }
        let left = self.cut(joint.len);
        self.shrink_wide(joint.wide.capacity());
        self.plan(before);
        left
    }

    /// The groups that are looked at after those before `from` of a piece.
    #[inline]
    fn ahead(&self, number: usize, from: usize) -> Option<&[Group<W>]> {
        let piece = self.pieces.get(number)?;
        match from < piece.len() {
            true => piece.get(from..(from + BATCH).min(piece.len())),
            false => self.pieces.get(number + 1)?.get(..BATCH),
        }
    }

    /// Adds a group to that of its key, or behind the last one.
    #[inline]
    fn add(&mut self, group: &Group<W>, hash: u64, index: &mut Slots, joint: &mut Joint) {
        let found =
            index.find(hash, joint.len, |n| self.get(n).is_some_and(|g| g.key == group.key));
        let Some(position) = found else {
            let sums = match group.sums.place() {
                None => group.sums,
                Some(place) => {
                    widen(&mut self.wide, joint.wide.get(place).copied().unwrap_or(NOTHING))
                }
            };
            self.set(joint.len, Group { sums, ..*group });
            joint.len += 1;
            return;
        };
        let (shift, mask) = (self.capacity.ilog2(), self.capacity - 1);
        let piece = self.pieces.get_mut(position >> shift);
        let Some(known) = piece.and_then(|p| p.get_mut(position & mask)) else { return };
        known.origin = known.origin.join(group.origin);
        match known.sums.joined(&group.sums) {
            Some(sums) => known.sums = sums,
            None => join_wide(known, group, &mut self.wide, joint),
        }
    }

    /// Keeps the groups for which `is_kept` says so. Returns the pieces that are left over.
    fn retain(&mut self, is_kept: impl Fn(&Group<W>) -> bool) -> Vec<Piece<Group<W>>> {
        let old = std::mem::take(&mut self.wide);
        let (mut len, mut joined, mut read) = (0, 0, 0);
        for number in 0..self.pieces.len() {
            let count = self.pieces.get(number).map_or(0, |p| p.len());
            for i in 0..count {
                let Some(group) = self.pieces.get(number).and_then(|p| p.get(i)).copied() else {
                    continue;
                };
                read += 1;
                if is_kept(&group) {
                    let sums = match group.sums.place() {
                        None => group.sums,
                        Some(place) => {
                            widen(&mut self.wide, old.get(place).copied().unwrap_or(NOTHING))
                        }
                    };
                    self.set(len, Group { sums, ..group });
                    len += 1;
                    joined += usize::from(read <= self.joined);
                }
            }
        }
        self.joined = joined;
        let left = self.cut(len);
        self.shrink_wide(old.capacity());
        left
    }

    /// Ends the log behind group `len`. Returns the pieces behind it.
    fn cut(&mut self, len: usize) -> Vec<Piece<Group<W>>> {
        self.len = len;
        let pieces = len.div_ceil(self.capacity);
        let mut left = self.pieces.split_off(pieces.min(self.pieces.len()));
        left.iter_mut().for_each(|piece| piece.truncate(0));
        if let Some(last) = self.pieces.last_mut() {
            last.truncate(len - (pieces - 1) * self.capacity);
        }
        left
    }

    /// Charges the wide sums that are left of a list of the capacity `before`.
    fn shrink_wide(&mut self, before: usize) {
        self.account.release(before * size_of::<Counts>());
        self.account.charge(self.wide.capacity() * size_of::<Counts>());
    }

    /// When to join again, after `len` groups, of which `joined` had keys of their own, became fewer.
    fn plan(&mut self, (len, joined): (usize, usize)) {
        let (came, stayed) = (len - joined, self.len - joined);
        // Where three quarters have keys of their own, looking for the others gains little.
        let is_worth_it = stayed < came - came / 4;
        self.joined = self.len;
        self.limit = Self::LEAST.max(if is_worth_it { self.len * 3 } else { len * 16 });
    }

    /// Charges everything.
    fn charge(&mut self) {
        self.account.charge(self.pieces.len() * self.capacity * size_of::<Group<W>>());
    }
}

/// Joins sums that are wide or become it.
#[inline(never)]
fn join_wide<const W: usize>(
    known: &mut Group<W>,
    group: &Group<W>,
    wide: &mut Vec<Counts>,
    joint: &Joint,
) {
    let place = match known.sums.place() {
        Some(place) => place,
        None => {
            known.sums = widen(wide, known.sums.counts(joint.base));
            wide.len() - 1
        }
    };
    if let Some(sum) = wide.get_mut(place) {
        join(sum, &group.sums.counts_in(joint.base, &joint.wide));
    }
}

/// What joining knows beside the groups.
struct Joint {
    /// The wide sums of groups that were not looked at yet.
    wide: Vec<Counts>,
    base: u64,
    /// Groups with keys of their own so far.
    len: usize,
}

/// Groups that are looked up together: the processor waits for memory once for all of them.
const BATCH: usize = 32;

/// The groups of one partition, or some of them: one for each key.
#[derive(Debug)]
pub(crate) struct Joined<const W: usize> {
    base: u64,
    log: Log<W>,
}

impl<const W: usize> Joined<W> {
    /// How many groups.
    pub(crate) const fn len(&self) -> usize {
        self.log.len
    }

    /// Key and first record of group `i`.
    #[inline]
    pub(crate) fn group(&self, i: usize) -> Option<(&[u64; W], Origin)> {
        self.log.get(i).map(|g| (&g.key, g.origin))
    }

    /// Sums of group `i`.
    #[inline]
    pub(crate) fn counts(&self, i: usize) -> Counts {
        self.log.get(i).map_or(NOTHING, |g| g.sums.counts_in(self.base, &self.log.wide))
    }

    /// The groups at `positions` alone.
    pub(crate) fn pick(&self, positions: &[u32]) -> Self {
        let log = Log::new(1, self.log.account.another());
        let mut picked = Self { base: self.base, log };
        picked.append(self, positions.iter().map(|p| *p as usize));
        picked
    }

    /// Appends all groups of another part, which has none of the groups here.
    pub(crate) fn append_all(&mut self, other: &Self) {
        self.append(other, 0..other.len());
    }

    /// Appends groups of another part.
    fn append(&mut self, other: &Self, positions: impl ExactSizeIterator<Item = usize>) {
        let pieces = Piece::cut(self.log.capacity, positions.len());
        self.log.account.charge(pieces.len() * self.log.capacity * size_of::<Group<W>>());
        for (position, mut piece) in positions.zip(pieces) {
            let Some(group) = other.log.get(position) else { continue };
            let counts = other.counts(position);
            let mut wide = Vec::new();
            let sums = Sums::new(&counts, self.base).unwrap_or_else(|| widen(&mut wide, counts));
            piece.push(Group { sums, ..*group });
            self.log.append(piece, wide);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A plain map with the same sums.
    type Oracle<const W: usize> = HashMap<[u64; W], (Counts, Origin)>;

    fn add<const W: usize>(
        feed: &mut Feed<W>,
        oracle: &mut Oracle<W>,
        hasher: Hasher,
        (key, counts, origin): ([u64; W], Counts, Origin),
    ) {
        if feed.range.contains(hasher.hash(&key)) {
            feed.add(hasher.hash(&key), key, &counts, origin);
        }
        let sum = oracle.entry(key).or_insert((NOTHING, origin));
        join(&mut sum.0, &counts);
        sum.1 = sum.1.join(origin);
    }

    /// Checks that the parts have the groups of the oracle for which `is_kept` says so.
    fn check<const W: usize>(
        parts: &[Joined<W>],
        mut oracle: Oracle<W>,
        is_kept: impl Fn(&[u64; W]) -> bool,
    ) {
        oracle.retain(|key, _| is_kept(key));
        assert_eq!(parts.iter().map(Joined::len).sum::<usize>(), oracle.len());
        for part in parts {
            for i in 0..part.len() {
                let (key, origin) = part.group(i).unwrap();
                assert_eq!(oracle.remove(key), Some((part.counts(i), origin)), "{key:?}");
            }
            assert!(part.group(part.len()).is_none(), "one beyond the last");
        }
    }

    fn random(seed: u64) -> impl FnMut() -> u64 {
        let mut x = seed;
        move || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            x ^ x >> 29
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

    /// What is added while the whole space and then half of it counts.
    #[test]
    fn sums_as_a_plain_map_does() {
        let (hasher, half) = (Hasher::new(), half_range());
        for (keys, limit) in
            [(5, None), (700, Some(1 << 18)), (90_000, Some(20 << 20)), (u64::MAX, None)]
        {
            for narrows in [false, true] {
                let budget = Budget::new(limit);
                let partitions = Arc::new(Partitions::<2>::new(hasher, &budget, 3));
                let mut feeds =
                    [(); 3].map(|()| Feed::new(Arc::clone(&partitions), HashRange::ALL));
                let (mut oracle, mut next) = (Oracle::new(), random(keys));
                for n in 0..300_000u32 {
                    let x = next();
                    // Some records know the other direction, so their sums are wide.
                    let out_bytes = if n > 1000 && n % 5 == 0 { x >> 44 } else { 0 };
                    let counts =
                        Counts { in_bytes: x >> 40, out_bytes, flows: 1, ..Counts::default() };
                    let key = [x % keys, u64::from(n % 3)];
                    let origin = Origin::new(n, 7, 1 << (n % 8));
                    let feed = &mut feeds[n as usize % 3];
                    if narrows && n == 200_000 {
                        feed.narrow(half);
                    }
                    if n % 70_000 == 1 {
                        feed.join();
                    }
                    add(feed, &mut oracle, hasher, (key, counts, origin));
                }
                if narrows {
                    feeds.iter_mut().for_each(|f| f.narrow(half));
                }
                feeds.iter_mut().for_each(Feed::flush);
                drop(feeds);
                let parts = partitions.take(2);
                assert_eq!(partitions.len(), 0);
                drop(partitions);
                let is_kept = |key: &_| !narrows || half.contains(hasher.hash(key));
                check(&parts, oracle, is_kept);
                assert!(budget.used() > 0);
                drop(parts);
                assert_eq!(budget.used(), 0, "what is taken is given back");
            }
        }
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
        let hasher = Hasher::new();
        let start = 1_800_000_000_000u64;
        for (keys, base) in [(3u64, start), (700, start), (20_000, start), (50, 0)] {
            let budget = Budget::new(None);
            let partitions = Arc::new(Partitions::<1>::new(hasher, &budget, 3));
            let mut feeds = [(); 3].map(|()| Feed::new(Arc::clone(&partitions), HashRange::ALL));
            let (mut oracle, mut next) = (Oracle::new(), random(keys));
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
                let origin = Origin::new(n / 7, n % 5, 1 << (n % 8));
                add(
                    &mut feeds[n as usize % 3],
                    &mut oracle,
                    hasher,
                    ([next() % keys], counts, origin),
                );
            }
            feeds.iter_mut().for_each(Feed::flush);
            let parts = partitions.take(1);
            assert!(parts.iter().any(|p| !p.log.wide.is_empty()));
            check(&parts, oracle.clone(), |_| true);

            // The same groups, picked.
            let mut picked = parts[0].pick(&[]);
            for part in &parts {
                let (odd, even): (Vec<_>, Vec<_>) =
                    (0..part.len() as u32).partition(|i| i % 2 == 1);
                picked.append_all(&part.pick(&odd));
                picked.append_all(&part.pick(&even));
            }
            drop((feeds, partitions, parts));
            check(&[picked], oracle, |_| true);
            assert_eq!(budget.used(), 0, "what is taken is given back");
        }
    }

    #[test]
    fn memory_is_that_of_the_groups() {
        let (hasher, budget) = (Hasher::new(), Budget::new(None));
        let partitions = Arc::new(Partitions::<1>::new(hasher, &budget, 1));
        let mut feed = Feed::new(Arc::clone(&partitions), HashRange::ALL);
        let (mut next, keys) = (random(5), 100_000);
        let counts = Counts { flows: 1, ..Counts::default() };
        for n in 0..2_000_000 {
            let key = [next() % keys];
            feed.add(hasher.hash(&key), key, &counts, Origin::new(n, 0, 0));
        }
        let most = 4 * keys as usize * size_of::<Group<1>>();
        let cut = budget.used();
        assert!(cut < most, "{cut} octets for {keys} groups");
        feed.join();
        feed.flush();
        assert!(partitions.len() < 2 * keys as usize);
    }
}
