//! Keys of a stretch and of a file, and about how many of them are distinct. A key may be kept more
//! than once: sets of bits do not mind, and to tell all of them apart would take longer than to set
//! the bits again.

use std::mem;

/// About how many distinct keys there were, to a few in a hundred, and exactly as long as they are
/// few. Depends on which keys came, not on their order nor how often each did.
///
/// A sample by the key itself: of those whose bits from [`SAMPLED`](Self::SAMPLED) on begin with
/// `level` zeros, all are kept; when they are too many, the level rises (Wegman's adaptive sampling).
#[derive(Debug)]
pub(crate) struct Distinct {
    /// Open addressing; 0 is nothing, and no key.
    slots: Vec<u64>,
    len: usize,
    level: u32,
}

impl Distinct {
    /// Keys of a sample at most.
    const MOST: usize = 2048;
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

impl Default for Distinct {
    fn default() -> Self {
        Self { slots: Vec::new(), len: 0, level: 0 }
    }
}

/// The keys of a file, as they come from its stretches.
#[derive(Debug, Default)]
pub(crate) struct FileKeys {
    keys: Vec<u64>,
    distinct: Distinct,
    /// Keys that came lately, by some of their bits: most come again and again. Empty while there
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

    pub(crate) fn extend(&mut self, keys: &[u64]) {
        if self.is_too_many {
            return;
        }
        for key in keys {
            if let Some(last) = self.recent.get_mut((*key >> 20) as usize & (Self::RECENT - 1)) {
                if *last == *key {
                    continue;
                }
                *last = *key;
            }
            self.distinct.add(*key);
            self.keys.push(*key);
        }
        if self.keys.len() > Self::FEW && self.recent.is_empty() {
            self.recent.resize(Self::RECENT, 0);
        }
        if self.keys.len() > self.limit.max(2 * Self::MOST) {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.limit = 2 * self.keys.len();
        }
        // What was counted once may be counted a little lower later.
        if self.distinct.count() > 2 * Self::MOST {
            (self.is_too_many, self.keys, self.recent) = (true, Vec::new(), Vec::new());
        }
    }

    /// About how many there are; `None` if they are too many to be kept.
    pub(crate) fn count(&self) -> Option<usize> {
        let count = self.distinct.count();
        (!self.is_too_many && count <= Self::MOST).then_some(count)
    }

    /// Each of them at least once.
    pub(crate) fn all(&self) -> &[u64] {
        &self.keys
    }

    /// Octets that they take.
    pub(crate) const fn octets(&self) -> usize {
        8 * (self.keys.capacity() + self.recent.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Role;
    use record::Addr;
    use std::collections::HashSet;

    fn key(n: u32) -> u64 {
        Role::End.host(Addr::V4(n))
    }

    #[test]
    fn estimates_are_close_whatever_the_order() {
        for distinct in [0, 1, 100, 2048, 2049, 10_000, 100_000, 700_000_u32] {
            let (mut there, mut back) = (Distinct::default(), Distinct::default());
            (0..distinct * 2).for_each(|n| there.add(key(n % distinct)));
            (0..distinct).rev().for_each(|n| back.add(key(n)));
            let (got, want) = (there.count() as f64, f64::from(distinct));
            assert!((got - want).abs() <= want * 0.08, "{got} for {want}");
            assert!(distinct > 2048 || got == want, "{got} for {want}");
            assert_eq!(back.count(), there.count());
            there.clear();
            assert_eq!(there.count(), 0);
            there.add(key(7));
            assert_eq!(there.count(), 1);
        }
    }

    #[test]
    fn keys_of_a_file_are_all_there() {
        let (mut keys, mut want) = (FileKeys::default(), HashSet::new());
        for stretch in 0..200_u32 {
            let popular = (0..1000).chain(stretch * 500..stretch * 500 + 500);
            let part: Vec<u64> = popular.map(key).collect();
            keys.extend(&part);
            want.extend(part);
        }
        // Three in four are known, and of those few come again.
        assert_eq!(keys.all().iter().copied().collect::<HashSet<_>>(), want);
        assert!(keys.all().len() < 2 * want.len());
        let count = keys.count().unwrap_or_default();
        assert!(count.abs_diff(want.len()) < want.len() / 12, "{count}");
    }
}
