//! How much memory groups may take, and what happens when that is not enough.
//!
//! Tables charge what they take to an [`Account`]. A scan whose answer is a top N can go on beyond
//! the budget: it keeps the groups of a part of the hash space only ([`HashRange`]), and the rest
//! is counted by further passes over the files. A [`Pass`] makes the workers of one scan agree on
//! that part.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets that all tables of a query may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// `None`: no limit.
    pub(crate) fn new(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self { limit: limit.unwrap_or(usize::MAX), used: AtomicUsize::new(0) })
    }

    /// Whether more is in use than may be.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Relaxed) > self.limit
    }

    /// Whether so many octets more are too many.
    pub(crate) fn has_room(&self, octets: usize) -> bool {
        self.used.load(Relaxed).saturating_add(octets) <= self.limit
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Octets that may be used.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }
}

/// What one owner has taken of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    octets: usize,
}

impl Account {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), octets: 0 }
    }

    /// Takes more.
    pub(crate) fn charge(&mut self, octets: usize) {
        self.octets += octets;
        self.budget.used.fetch_add(octets, Relaxed);
    }

    /// Gives back a part.
    pub(crate) fn release(&mut self, octets: usize) {
        let octets = octets.min(self.octets);
        self.octets -= octets;
        self.budget.used.fetch_sub(octets, Relaxed);
    }

    /// Another account of the same budget.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.budget)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.release(self.octets);
    }
}

/// A part of the hash space, by the upper half of the hash: 2^32 >> `level` hashes from `low`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashRange {
    low: u32,
    level: u32,
}

/// As often as this a part may be halved: 256 passes over the files are as many as anyone waits
/// for.
const MAX_LEVEL: u32 = 8;

impl HashRange {
    /// All hashes.
    pub(crate) const ALL: Self = Self { low: 0, level: 0 };

    /// Whether a hash belongs to the part.
    #[inline]
    pub(crate) const fn contains(self, hash: u64) -> bool {
        let last = u32::MAX >> self.level;
        ((hash >> 32) as u32).wrapping_sub(self.low) <= last
    }

    /// The part of the same size behind this one; `None` behind the last.
    pub(crate) fn next(self) -> Option<Self> {
        let next = u64::from(self.low) + (1u64 << (32 - self.level));
        Some(Self { low: u32::try_from(next).ok()?, ..self })
    }

    fn lower_half(self) -> Option<Self> {
        (self.level < MAX_LEVEL).then_some(Self { level: self.level + 1, ..self })
    }
}

/// What the workers of one scan agree on.
#[derive(Debug)]
pub(crate) struct Pass {
    budget: Arc<Budget>,
    /// Whether groups may be left to a later pass.
    may_narrow: bool,
    /// The level of `state.range`, to be looked at without the lock.
    level: AtomicU32,
    state: Mutex<PassState>,
}

#[derive(Debug)]
struct PassState {
    range: HashRange,
    workers: usize,
    /// Workers that have yet to drop what left the range.
    behind: usize,
    has_failed: bool,
}

/// What a worker has to do about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    /// Nothing: there is enough.
    None,
    /// Drop all groups outside of this part.
    Narrow(HashRange),
    /// Give up.
    Fail,
}

impl Pass {
    pub(crate) fn new(budget: &Arc<Budget>, range: HashRange, may_narrow: bool) -> Self {
        let state = PassState { range, workers: 0, behind: 0, has_failed: false };
        Self {
            budget: Arc::clone(budget),
            may_narrow,
            level: AtomicU32::new(range.level),
            state: Mutex::new(state),
        }
    }

    /// One more worker; returns the part it begins with.
    pub(crate) fn join(&self) -> HashRange {
        let mut s = self.lock();
        s.workers += 1;
        s.range
    }

    /// Whether there is too little memory.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.budget.is_exceeded()
    }

    /// What a worker that keeps the groups of `range` has to do. Asked after each block.
    ///
    /// The part is halved when all workers have dropped what the last halving left out and there
    /// is still too much.
    #[inline]
    pub(crate) fn relief(&self, range: HashRange) -> Relief {
        if self.level.load(Relaxed) == range.level && !self.budget.is_exceeded() {
            return Relief::None;
        }
        self.find_relief(range)
    }

    #[cold]
    fn find_relief(&self, range: HashRange) -> Relief {
        let mut s = self.lock();
        if s.has_failed {
            return Relief::Fail;
        }
        if s.range != range {
            return Relief::Narrow(s.range);
        }
        if s.behind > 0 || !self.budget.is_exceeded() {
            return Relief::None;
        }
        let half = if self.may_narrow { range.lower_half() } else { None };
        let Some(half) = half else {
            s.has_failed = true;
            return Relief::Fail;
        };
        s.range = half;
        s.behind = s.workers;
        self.level.store(half.level, Relaxed);
        Relief::Narrow(half)
    }

    /// A worker has dropped what it was told to.
    pub(crate) fn has_narrowed(&self) {
        let mut s = self.lock();
        s.behind = s.behind.saturating_sub(1);
    }

    /// The part that this pass has counted, `None` if it gave up.
    pub(crate) fn counted(&self) -> Option<HashRange> {
        let s = self.lock();
        (!s.has_failed).then_some(s.range)
    }

    fn lock(&self) -> MutexGuard<'_, PassState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_size_cover_all_hashes_once() {
        for level in 0..=MAX_LEVEL {
            let parts: Vec<_> =
                std::iter::successors(Some(HashRange { low: 0, level }), |r| r.next()).collect();
            assert_eq!(parts.len(), 1 << level);
            for hash in [0u64, 1 << 32, u64::MAX, u64::MAX / 3, 0x7fff_ffff_ffff_ffff, 1 << 63] {
                assert_eq!(parts.iter().filter(|p| p.contains(hash)).count(), 1, "{hash:x}");
            }
        }
        assert_eq!(HashRange { low: 0, level: MAX_LEVEL }.lower_half(), None);
    }

    #[test]
    fn the_part_is_halved_again_only_when_all_have_followed() {
        let budget = Budget::new(Some(10));
        let mut account = Account::new(&budget);
        let pass = Pass::new(&budget, HashRange::ALL, true);
        let (a, b) = (pass.join(), pass.join());
        assert_eq!(pass.relief(a), Relief::None);
        account.charge(11);
        let Relief::Narrow(half) = pass.relief(a) else { panic!("too much") };
        assert_eq!(half.level, 1);
        pass.has_narrowed();
        assert_eq!(pass.relief(half), Relief::None, "the other one has not dropped its groups");
        assert_eq!(pass.relief(b), Relief::Narrow(half));
        assert_eq!(pass.relief(half), Relief::None, "the other one is still about it");
        pass.has_narrowed();
        assert!(matches!(pass.relief(half), Relief::Narrow(r) if r.level == 2));
        drop(account);
        assert!(budget.has_room(10) && !budget.has_room(11));
    }

    #[test]
    fn who_wants_all_groups_fails() {
        let budget = Budget::new(Some(10));
        let mut account = Account::new(&budget);
        let pass = Pass::new(&budget, HashRange::ALL, false);
        let range = pass.join();
        account.charge(11);
        assert_eq!((pass.relief(range), pass.counted()), (Relief::Fail, None));
    }
}
