//! Keys numbered in order of appearance, for answers that keep more about a key than sums: bins of
//! time, sets of values. Sums alone have a table of their own, made for many groups.

use crate::counters::{CounterSlots, NOTHING, join};
use crate::group::{Hasher, Origin};
use crate::key::{BoundKey, Class, KeySpec};
use crate::lookup::Lookups;
use output::Counts;
use record::{AddressBook, Row, Rows, Selection};

/// A set of keys, each with a number. Numbers count from 0 without gaps.
#[derive(Debug)]
pub(crate) struct KeySet {
    hasher: Hasher,
    /// Half of the hash, and the number plus one.
    slots: Vec<u64>,
    places: Vec<Place>,
    words: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    len: u8,
    class: Class,
}

const TAG: u64 = 0xffff_ffff_0000_0000;

impl KeySet {
    pub(crate) const fn new(hasher: Hasher) -> Self {
        Self { hasher, slots: Vec::new(), places: Vec::new(), words: Vec::new() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    /// The key of a number.
    pub(crate) fn get(&self, number: usize) -> Option<(Class, &[u64])> {
        let place = self.places.get(number)?;
        let at = place.at as usize;
        Some((place.class, self.words.get(at..at + usize::from(place.len))?))
    }

    /// The number of a key that is there.
    pub(crate) fn find(&self, hash: u64, class: Class, key: &[u64]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            let number = (slot & !TAG) as usize - 1;
            if slot & TAG == hash & TAG && self.get(number) == Some((class, key)) {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number of a key, which is added if it is new; `None` once the numbers are used up.
    pub(crate) fn insert(&mut self, hash: u64, class: Class, key: &[u64]) -> Option<usize> {
        if let Some(number) = self.find(hash, class, key) {
            return Some(number);
        }
        let number = u32::try_from(self.places.len() + 1).ok()?;
        let (at, len) = (u32::try_from(self.words.len()).ok()?, u8::try_from(key.len()).ok()?);
        if self.places.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        self.words.extend_from_slice(key);
        self.places.push(Place { at, len, class });
        self.place(hash, number);
        Some(number as usize - 1)
    }

    /// Writes a number, counted from 1, into the first free slot for a hash.
    fn place(&mut self, hash: u64, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = self.slots.get_mut(at) {
            if *slot == 0 {
                *slot = hash & TAG | u64::from(number);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(16);
        self.slots.clear();
        self.slots.resize(count, 0);
        for number in 0..self.places.len() {
            let Some((_, key)) = self.get(number) else { continue };
            let hash = self.hasher.hash_words(key);
            self.place(hash, number as u32 + 1);
        }
    }

    /// Adds the keys of another set. `joined` gets each number there and the number here.
    pub(crate) fn absorb(&mut self, other: &Self, mut joined: impl FnMut(usize, usize)) {
        for theirs in 0..other.len() {
            let Some((class, key)) = other.get(theirs) else { continue };
            let hash = self.hasher.hash_words(key);
            if let Some(mine) = self.insert(hash, class, key) {
                joined(theirs, mine);
            }
        }
    }

    /// Octets of all keys.
    pub(crate) const fn octets(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// Octets that one more key of so many words takes, roughly.
    pub(crate) const fn cost(words: usize) -> usize {
        words * 12 + size_of::<Place>() + 16
    }
}

/// Sums over the records of a key, and where the first of them is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySums {
    pub(crate) counts: Counts,
    pub(crate) origin: Origin,
}

impl Default for KeySums {
    fn default() -> Self {
        Self { counts: NOTHING, origin: Origin::new(u32::MAX, u32::MAX, 0) }
    }
}

impl KeySums {
    pub(crate) fn add(&mut self, counts: &Counts, origin: Origin) {
        join(&mut self.counts, counts);
        self.origin = self.origin.join(origin);
    }
}

/// Reads counters and keys of rows, resolved once a shape.
#[derive(Debug)]
pub(crate) struct KeyReader<'s> {
    specs: &'s [KeySpec],
    lookups: Lookups<'s>,
    bound_to: u64,
    bound: Vec<(CounterSlots, Vec<Option<BoundKey>>)>,
    key: Vec<u64>,
}

impl<'s> KeyReader<'s> {
    pub(crate) const fn new(specs: &'s [KeySpec], book: Option<&'s dyn AddressBook>) -> Self {
        let lookups = Lookups::new(book);
        Self { specs, lookups, bound_to: 0, bound: Vec::new(), key: Vec::new() }
    }

    /// How many keys a row has at most.
    pub(crate) const fn len(&self) -> usize {
        self.specs.len()
    }

    /// Resolves against shapes that are new since the last batch.
    pub(crate) fn bind(&mut self, rows: &Rows<'_>) {
        if self.bound_to != rows.table.id() {
            self.bound_to = rows.table.id();
            self.bound.clear();
        }
        let has_systems = self.lookups.has_systems();
        for shape in rows.table.shapes().iter().skip(self.bound.len()) {
            let keys = self.specs.iter().map(|k| k.bind(shape, has_systems)).collect();
            self.bound.push((CounterSlots::new(shape), keys));
        }
    }

    /// The counters of a row of shape number `shape`.
    pub(crate) fn counts(&self, shape: usize, row: Row<'_>) -> Counts {
        self.bound.get(shape).map_or(NOTHING, |b| b.0.read(row))
    }

    /// Key `n` of a row, `None` if the row has none.
    pub(crate) fn key(&mut self, shape: usize, n: usize, row: Row<'_>) -> Option<(Class, &[u64])> {
        let bound = self.bound.get(shape)?.1.get(n)?.as_ref()?;
        self.key.clear();
        self.key.resize(bound.words, 0);
        let has_key = bound.pack_into(row, &mut self.lookups, &mut self.key);
        has_key.then_some((bound.class, &self.key))
    }
}

/// The selected rows of a batch: number of the row, number of its shape, and the row.
pub(crate) fn selected<'a>(
    rows: &'a Rows<'_>,
    selected: &'a Selection,
) -> impl Iterator<Item = (u32, usize, Row<'a>)> {
    selected
        .iter()
        .filter_map(|i| Some((i as u32, usize::from(rows.index.get(i)?.shape), rows.row(i)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn keys_keep_their_numbers() {
        let hasher = Hasher::new();
        let mut x = 3u64;
        let mut sets = [KeySet::new(hasher), KeySet::new(hasher)];
        let mut oracles: [HashMap<(u32, Vec<u64>), usize>; 2] = Default::default();
        for n in 0..40_000usize {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = vec![x >> 52; 1 + (x >> 40) as usize % 3];
            let class = (x >> 30) as u32 % 2;
            let (keys, oracle) = (&mut sets[n % 2], &mut oracles[n % 2]);
            let hash = hasher.hash_words(&key);
            let next = oracle.len();
            assert_eq!(keys.find(hash, class, &key), oracle.get(&(class, key.clone())).copied());
            let want = *oracle.entry((class, key.clone())).or_insert(next);
            assert_eq!(keys.insert(hash, class, &key), Some(want));
        }
        let [mut a, b] = sets;
        let mut seen = 0;
        a.absorb(&b, |theirs, _| {
            assert_eq!(theirs, seen);
            seen += 1;
        });
        let [mut both, other] = oracles;
        both.extend(other.into_keys().map(|k| (k, 0)));
        assert_eq!(a.len(), both.len());
        for number in 0..a.len() {
            let (class, key) = a.get(number).unwrap();
            assert!(both.remove(&(class, key.to_vec())).is_some(), "each key once");
        }
    }
}
