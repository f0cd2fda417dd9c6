//! A hash index over groups that somebody else keeps.

use crate::budget::{Account, Budget};
use std::sync::Arc;
use sys::memory::prefetch;

/// An index that is made for one use after the other.
///
/// A slot holds the upper half of a hash, so that a wrong group is almost never looked at, and the
/// position plus one. The lower half says where the search begins.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<u64>,
    mask: usize,
    account: Account,
}

impl Slots {
    const POSITION: u64 = 0xffff_ffff;

    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Self { slots: Vec::new(), mask: 0, account: Account::new(budget) }
    }

    /// Forgets everything, and makes room for so many.
    pub(crate) fn clear(&mut self, count: usize) {
        let count = (count + count / 2 + 1).next_power_of_two();
        self.mask = count - 1;
        if self.slots.len() < count {
            let before = self.slots.capacity();
            self.slots = Vec::new(); // nothing of it is worth a copy
            self.slots.resize(count, 0);
            self.account.release(before * size_of::<u64>());
            self.account.charge(self.slots.capacity() * size_of::<u64>());
        } else if let Some(slots) = self.slots.get_mut(..count) {
            slots.fill(0);
        }
    }

    /// Asks for the slot where the search for `hash` begins.
    #[inline]
    pub(crate) fn prepare(&self, hash: u64) {
        if let Some(slot) = self.slots.get(hash as usize & self.mask) {
            prefetch(slot);
        }
    }

    /// The position in the first slot, if it is likely to be the right one.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<usize> {
        let slot = *self.slots.get(hash as usize & self.mask)?;
        (slot >> 32 == hash >> 32 && slot != 0).then(|| (slot & Self::POSITION) as usize - 1)
    }

    /// The position of the group that has this hash and for which `is_it`; if there is none, its
    /// position becomes `next`.
    #[inline]
    pub(crate) fn find(
        &mut self,
        hash: u64,
        next: usize,
        is_it: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let tag = hash & !Self::POSITION;
        let mut at = hash as usize & self.mask;
        while let Some(slot) = self.slots.get_mut(at) {
            let position = (*slot & Self::POSITION) as usize;
            if position == 0 {
                *slot = tag | (next as u64 + 1);
                return None;
            }
            if *slot & !Self::POSITION == tag && is_it(position - 1) {
                return Some(position - 1);
            }
            at = (at + 1) & self.mask;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn positions_are_found_again() {
        let budget = Budget::new(None);
        let mut slots = Slots::new(&budget);
        for (count, hashes) in [(1usize, 1u64), (1000, 300), (5, 5), (3000, u64::MAX), (10, 2)] {
            slots.clear(count);
            let (mut keys, mut oracle, mut x) = (Vec::new(), HashMap::new(), 7u64);
            for _ in 0..count {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
                // Keys of one hash, and hashes of which only a half is the same.
                let (hash, key) = (((x >> 20) % hashes) << (x & 32), x & 3);
                let want = oracle.get(&(hash, key)).copied();
                let guess = slots.guess(hash).map(|n| keys[n]);
                assert!(guess.is_none_or(|(h, _): (u64, u64)| h >> 32 == hash >> 32));
                let got = slots.find(hash, keys.len(), |n| keys[n] == (hash, key));
                assert_eq!(got, want);
                if want.is_none() {
                    oracle.insert((hash, key), keys.len());
                    keys.push((hash, key));
                }
            }
        }
        assert!(budget.used() >= 4096 * 8);
        drop(slots);
        assert_eq!(budget.used(), 0);
    }
}
