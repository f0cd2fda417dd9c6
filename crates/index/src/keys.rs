//! Keys of a stretch and of a file, and about how many of them are distinct. A key may be kept more
//! than once: sets of bits do not mind, and to tell all of them apart would take longer than to set
//! the bits again.

use crate::key::Key;
use std::mem;

/// About how many distinct keys there were, to a few in a hundred, and exactly as long as they are
/// few. Depends on which keys came, not on their order nor how often each did.
///
/// A sample by the key itself: of those whose bits from [`SAMPLED`](Self::SAMPLED) on begin with
/// `level` zeros, all are kept; when they are too many, the level rises (Wegman's adaptive sampling).
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    /// Open addressing; 0 is nothing, and no key.
    slots: Vec<u64>,
    len: usize,
    level: u32,
}

impl Distinct {
    /// Keys of a sample at most.
    const MOST: usize = 512;
    /// Bits that neither the page nor the place in it is chosen by alone.
    const SAMPLED: u32 = 16;

    #[inline]
    pub(crate) fn add(&mut self, key: u64) {
        if key >> Self::SAMPLED & ((1 << self.level) - 1) == 0 {
            self.keep(key);
        }
    }

    fn keep(&mut self, key: u64) {
        let key = key.max(1);
        self.put(key);
        while self.len > Self::MOST && self.level < 32 {
            self.level += 1;
            let room = vec![0; self.slots.len()];
            let old = mem::replace(&mut self.slots, room);
            self.len = 0;
            let mask = (1 << self.level) - 1;
            let stay = old.into_iter().filter(|k| *k != 0 && *k >> Self::SAMPLED & mask == 0);
            stay.for_each(|k| self.put(k));
        }
    }

    fn put(&mut self, key: u64) {
        if self.slots.is_empty() {
            self.slots.resize(4 * Self::MOST, 0);
        }
        let mask = self.slots.len() - 1;
        let mut at = (key >> 40) as usize & mask;
        // At most half of them are taken.
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == key {
                return;
            }
            if *slot == 0 {
                *slot = key;
                self.len += 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.len << self.level
    }

    pub(crate) fn clear(&mut self) {
        if self.len > 0 {
            self.slots.fill(0);
        }
        (self.len, self.level) = (0, 0);
    }
}

/// The keys of a file, as they come from its stretches.
#[derive(Debug, Default)]
pub(crate) struct FileKeys {
    keys: Vec<Key>,
    distinct: Distinct,
    /// Own keys that came lately, by some of their bits: most come again and again. Empty while there
    /// are few.
    recent: Vec<u64>,
    /// So many keys make room by keeping each once.
    limit: usize,
    is_too_many: bool,
}

impl FileKeys {
    /// Keys of a file at most: of more, files are not told apart by address.
    const MOST: usize = 1 << 22;
    const FEW: usize = 1 << 16;
    const RECENT: usize = 1 << 15;

    pub(crate) fn extend(&mut self, keys: &[Key]) {
        if self.is_too_many {
            return;
        }
        match self.recent.first_chunk_mut::<{ Self::RECENT }>() {
            None => self.keys.extend_from_slice(keys),
            Some(recent) => {
                // All are written and those that are known written over: no branch to guess.
                let mut len = self.keys.len();
                self.keys.resize(len + keys.len(), Key { net: 0, own: 0 });
                for key in keys {
                    let last = &mut recent[(key.own >> 20) as usize % Self::RECENT];
                    let is_new = *last != key.own;
                    *last = key.own;
                    if let Some(room) = self.keys.get_mut(len) {
                        *room = *key;
                    }
                    len += usize::from(is_new);
                }
                self.keys.truncate(len);
            }
        }
        keys.iter().for_each(|key| self.distinct.add(key.own));
        if self.keys.len() > Self::FEW && self.recent.is_empty() {
            self.recent.resize(Self::RECENT, 0);
        }
        if self.keys.len() > self.limit.max(2 * Self::MOST) {
            self.keys.sort_unstable_by_key(|key| key.own);
            self.keys.dedup();
            self.limit = 2 * self.keys.len();
        }
        // What was counted once may be counted a little lower later.
        if self.distinct.count() > 2 * Self::MOST {
            self.give_up();
        }
    }

    /// From here on they are too many.
    pub(crate) fn give_up(&mut self) {
        (self.is_too_many, self.keys, self.recent) = (true, Vec::new(), Vec::new());
    }

    /// About how many there are; `None` if they are too many to be kept.
    pub(crate) fn count(&self) -> Option<usize> {
        let count = self.distinct.count();
        (!self.is_too_many && count <= Self::MOST).then_some(count)
    }

    /// Each of them at least once.
    pub(crate) fn all(&self) -> &[Key] {
        &self.keys
    }

    /// Octets that they take.
    pub(crate) const fn octets(&self) -> usize {
        16 * self.keys.capacity() + 8 * self.recent.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Role;
    use record::Addr;
    use std::collections::HashSet;

    fn key(n: u32) -> Key {
        Role::End.host(Addr::V4(n))
    }

    #[test]
    fn estimates_are_close_whatever_the_order() {
        for distinct in [0, 1, 100, 512, 513, 10_000, 100_000, 700_000_u32] {
            let (mut there, mut back) = (Distinct::default(), Distinct::default());
            (0..distinct * 2).for_each(|n| there.add(key(n % distinct).own));
            (0..distinct).rev().for_each(|n| back.add(key(n).own));
            let (got, want) = (there.count() as f64, f64::from(distinct));
            assert!((got - want).abs() <= want * 0.15, "{got} for {want}");
            assert!(distinct > 512 || got == want, "{got} for {want}");
            assert_eq!(back.count(), there.count());
            there.clear();
            assert_eq!(there.count(), 0);
            there.add(key(7).own);
            assert_eq!(there.count(), 1);
        }
    }

    #[test]
    fn keys_of_a_file_are_all_there() {
        let (mut keys, mut want) = (FileKeys::default(), HashSet::new());
        for stretch in 0..200_u32 {
            let popular = (0..1000).chain(stretch * 500..stretch * 500 + 500);
            let part: Vec<Key> = popular.map(key).collect();
            keys.extend(&part);
            want.extend(part.iter().map(|key| key.own));
        }
        // Three in four are known, and of those few come again.
        assert_eq!(keys.all().iter().map(|key| key.own).collect::<HashSet<_>>(), want);
        assert!(keys.all().len() < 2 * want.len());
        let count = keys.count().unwrap_or_default();
        assert!(count.abs_diff(want.len()) < want.len() / 7, "{count}");
    }
}
