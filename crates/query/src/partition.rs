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
use crate::group::{Group, Hasher, Origin, Sums};
use crate::log::{Joined, Log, widen};
use crate::scan::lock;
use crate::slots::Slots;
use output::Counts;
use std::sync::{Arc, Mutex, OnceLock};
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
        self.logs.iter().map(|log| lock(log).len()).sum()
    }

    /// Drops the groups outside of a range.
    pub(crate) fn narrow(&self, range: HashRange) {
        for log in &self.logs {
            let left = lock(log).narrow(range, self.hasher);
            self.give_back(left);
        }
    }

    /// Joins what can be joined.
    pub(crate) fn join(&self, index: &mut Slots) {
        for log in &self.logs {
            let mut log = lock(log);
            if log.is_worth_joining() {
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
        let logs: Vec<_> = self.logs.iter().map(|log| lock(log).take()).collect();
        let new = || Slots::new(&self.budget);
        crate::parallel::map_with(logs, threads, new, |index, log| {
            log.into_joined(self.hasher, self.base(), index)
        })
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
        let Some(piece) = piece else { return };
        let mut log = lock(log);
        log.append(piece, wide, self.range, self.to.hasher);
        if log.is_due() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{NOTHING, join};
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
            assert!(parts.iter().any(|p| p.has_wide()));
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
