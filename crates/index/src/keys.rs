//! Keys of a stretch, of a file and of a group of files, and about how many of them are distinct. A
//! key may be kept more than once: sets of bits do not mind, and to tell all of them apart would
//! take longer than to set the bits again.

use crate::key::Key;
use crate::pages::{Density, Pages, Shape, build};
use std::mem;

/// About how many distinct keys there were, to a few in a hundred, and exactly as long as they are
/// few. Depends on which keys came, not on their order nor how often each did.
///
/// A sample by the key itself: of those whose lower bits are `level` zeros, all are kept; when they
/// are too many, the level rises (Wegman's adaptive sampling).
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    /// Open addressing; 0 is nothing, and counts for no key.
    slots: Vec<u64>,
    len: usize,
    level: u32,
}

impl Distinct {
    /// Keys of a sample at most.
    const MOST: usize = 512;

    /// How many of these are distinct. Begins at the level below that of the keys before: mostly
    /// they are about as many, and most of those of lower levels would not be kept.
    pub(crate) fn of(&mut self, keys: &[Key]) -> usize {
        let below = self.level.saturating_sub(1);
        self.clear();
        self.level = below;
        self.add(keys);
        if self.level == below && below > 0 {
            // It may be too high.
            self.clear();
            self.add(keys);
        }
        self.count()
    }

    pub(crate) fn add(&mut self, keys: &[Key]) {
        let mut mask = (1 << self.level) - 1;
        for key in keys {
            if key.0 & mask == 0 {
                self.keep(key.0);
                mask = (1 << self.level) - 1;
            }
        }
    }

    #[cold]
    fn keep(&mut self, key: u64) {
        self.put(key.max(1));
        while self.len > Self::MOST && self.level < 32 {
            self.level += 1;
            let room = vec![0; self.slots.len()];
            let old = mem::replace(&mut self.slots, room);
            self.len = 0;
            let mask = (1 << self.level) - 1;
            old.into_iter().filter(|k| *k != 0 && *k & mask == 0).for_each(|k| self.put(k));
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
    /// What came lately, from the second stretch on.
    lately: Vec<Key>,
    distinct: Distinct,
    /// So many keys make room by keeping each once.
    limit: usize,
    is_too_many: bool,
}

impl FileKeys {
    /// Keys of a file at most: of more, files are not told apart by address.
    const MOST: usize = 1 << 22;

    pub(crate) fn extend(&mut self, keys: &[Key]) {
        if self.is_too_many {
            return;
        }
        let at = self.keys.len();
        match at {
            0 => self.keys.extend_from_slice(keys),
            _ => self.extend_by_new(keys),
        }
        self.distinct.add(self.keys.get(at..).unwrap_or_default());
        if self.keys.len() > self.limit.max(2 * Self::MOST) {
            self.keys.sort_unstable();
            self.keys.dedup();
            self.limit = 2 * self.keys.len();
        }
        // What was counted once may be counted a little lower later.
        if self.distinct.count() > 2 * Self::MOST {
            (self.is_too_many, self.keys, self.lately) = (true, Vec::new(), Vec::new());
        }
    }

    /// Takes those that did not come lately: nearly all hosts come again in the next stretch, and a
    /// look at 256 KiB takes less than to set their bits once more.
    fn extend_by_new(&mut self, keys: &[Key]) {
        if self.lately.is_empty() {
            self.lately.resize(1 << LATELY_BITS, Key(0));
            // Does not belong there: the place is empty.
            self.lately.iter_mut().take(1).for_each(|first| *first = Key(u64::MAX));
        }
        let at = self.keys.len();
        self.keys.resize(at + keys.len(), Key(0));
        let room = self.keys.get_mut(at..).unwrap_or_default();
        let mut count = 0;
        for key in keys {
            let last = self.lately.get_mut((key.own() >> (32 - LATELY_BITS)) as usize);
            if let (Some(last), Some(room)) = (last, room.get_mut(count)) {
                *room = *key;
                count += usize::from(mem::replace(last, *key) != *key);
            }
        }
        self.keys.truncate(at + count);
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
        8 * (self.keys.capacity() + self.lately.capacity())
    }
}

const LATELY_BITS: u32 = 15;

/// The keys of the files of a group: as they are while they are few, as the pages of the largest set
/// that there may be from then on. It is folded to the size that it needs.
#[derive(Debug, Default)]
pub(crate) struct GroupKeys {
    keys: Vec<Key>,
    pages: Pages<{ OF_GROUP.net }, { OF_GROUP.own }>,
    distinct: Distinct,
    is_too_many: bool,
}

/// What addresses of a group take: a wrong yes costs a look at each of its files.
pub(crate) const OF_GROUP: Density = Density { bits: 12, net: 4, own: 3 };

impl GroupKeys {
    const FEW: usize = 1 << 17;
    /// Pages of the largest set, 1.9 MiB: a number with many divisors.
    const PAGES: usize = 480;
    /// Keys of the largest set at most.
    const MOST: usize = 1 << 21;

    /// Takes those of a file; `None` if they are not known.
    pub(crate) fn extend(&mut self, keys: Option<&[Key]>) {
        let Some(keys) = keys.filter(|_| !self.is_too_many) else { return self.give_up() };
        self.distinct.add(keys);
        if self.distinct.count() > Self::MOST {
            return self.give_up();
        }
        if self.pages.octets() == 0 {
            self.keys.extend_from_slice(keys);
            if self.keys.len() > Self::FEW {
                self.pages = Pages::new(Self::PAGES);
                self.pages.add(&mem::take(&mut self.keys));
            }
        } else {
            self.pages.add(keys);
        }
    }

    fn give_up(&mut self) {
        *self = Self { is_too_many: true, ..Self::default() };
    }

    /// About how many there are; `None` if they are too many to be kept.
    pub(crate) fn count(&self) -> Option<usize> {
        (!self.is_too_many).then(|| self.distinct.count())
    }

    /// Octets that they take.
    pub(crate) const fn octets(&self) -> usize {
        8 * self.keys.capacity() + self.pages.octets()
    }

    /// Appends their set and returns what it takes to ask it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Shape {
        let Some(count) = self.count() else { return Shape::default() };
        let shape = Shape::of(count, OF_GROUP);
        if self.pages.octets() == 0 {
            build(&self.keys, shape, out);
            return shape;
        }
        let wanted = shape.pages().clamp(1, Self::PAGES);
        let pages = (wanted..=Self::PAGES).find(|n| Self::PAGES.is_multiple_of(*n));
        let pages = pages.unwrap_or(Self::PAGES);
        self.pages.encode(Self::PAGES / pages, out);
        Shape::of_pages(pages, OF_GROUP)
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
            let keys: Vec<Key> = (0..distinct).map(key).collect();
            (0..2).for_each(|_| there.add(&keys));
            keys.iter().rev().for_each(|key| back.add(&[*key]));
            let (got, want) = (there.count() as f64, f64::from(distinct));
            assert!((got - want).abs() <= want * 0.15, "{got} for {want}");
            assert!(distinct > 512 || got == want, "{got} for {want}");
            assert_eq!(back.count(), there.count());
            let mut after_others = Distinct::default();
            for others in [100_000, 1, 513] {
                assert_eq!(after_others.of(&keys), there.count());
                after_others.of(&(0..others).map(key).collect::<Vec<_>>());
            }
            there.clear();
            assert_eq!(there.count(), 0);
            there.add(&[key(7)]);
            assert_eq!(there.count(), 1);
        }
    }

    #[test]
    fn keys_of_a_file_are_all_there() {
        let (mut keys, mut want) = (FileKeys::default(), HashSet::new());
        for stretch in 0..200_u32 {
            let popular = (0..1000).chain(stretch * 500..stretch * 500 + 500);
            let mut part: Vec<Key> = popular.map(key).collect();
            part.extend([0, u64::MAX].map(Key).iter().filter(|_| stretch > 0));
            keys.extend(&part);
            want.extend(part);
        }
        assert_eq!(keys.all().iter().copied().collect::<HashSet<_>>(), want);
        let count = keys.count().unwrap_or_default();
        assert!(count.abs_diff(want.len()) < want.len() / 7, "{count}");
        // Those of the first two stretches are there twice, of others few.
        assert!(keys.all().len() < want.len() + 20_000, "{}", keys.all().len());
    }

    #[test]
    fn sets_of_groups_hold_all_few_or_many_and_are_as_large_as_they_need() {
        for (files, each) in [(1, 0), (1, 10), (30, 5000), (5, 100_000), (7, 400_000)] {
            let mut group = GroupKeys::default();
            let file = |n: u32| (n * each / 2..n * each / 2 + each).map(key).collect::<Vec<_>>();
            (0..files).for_each(|n| group.extend(Some(&file(n))));
            let mut out = vec![1];
            let shape = group.encode(&mut out);
            let octets = out.len() - 1;
            assert!(octets == shape.len as usize && shape.is_sound() && shape.net > 0);
            let all = |n| crate::pages::hold(&out[1..], shape, &file(n));
            assert!((0..files).all(all), "{files} of {each}");
            let distinct = ((files + 1) * each / 2) as usize;
            assert!(octets < distinct * 12 / 8 * 3 / 2 + 8192, "{files} of {each}: {octets}");
        }
        let mut group = GroupKeys::default();
        group.extend(Some(&[key(1)]));
        group.extend(None);
        group.extend(Some(&[key(1)]));
        let mut out = Vec::new();
        assert_eq!((group.encode(&mut out), group.count(), out.len()), (Shape::default(), None, 0));
    }
}
