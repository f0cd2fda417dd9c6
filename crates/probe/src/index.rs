//! Where an entry is, by the hash of its key: a table of open addressing in 256 segments.
//!
//! A word of the table holds 32 bits of the hash and the slot of the entry, so that a wrong entry is
//! almost never looked at and a segment grows without looking at any. Segments grow one by one: no
//! moment sees a second copy of more than one of them. Words are taken out by moving those behind
//! them up, so there are no tombstones and no times of cleaning.

use sys::memory::prefetch;

/// Slots in use lie below; the bits above are free for other uses of a `u32`.
pub(crate) const SLOTS: u32 = 1 << 30;

/// See the module. 0 is a free word, otherwise it is the tag, and the slot plus 1.
#[derive(Debug)]
pub(crate) struct Index {
    segments: Vec<Segment>,
    words: usize,
}

#[derive(Debug)]
struct Segment {
    words: Box<[u64]>,
    len: usize,
}

const SEGMENTS: usize = 256;
const SMALLEST: usize = 16;

const fn word(tag: u32, slot: u32) -> u64 {
    (tag as u64) << 32 | (slot as u64 + 1)
}

const fn tag_of(word: u64) -> u32 {
    (word >> 32) as u32
}

const fn slot_of(word: u64) -> u32 {
    (word as u32).wrapping_sub(1)
}

impl Index {
    pub(crate) fn new() -> Self {
        let segment = || Segment { words: vec![0; SMALLEST].into(), len: 0 };
        Self { segments: (0..SEGMENTS).map(|_| segment()).collect(), words: SEGMENTS * SMALLEST }
    }

    /// Octets of the table.
    pub(crate) const fn memory(&self) -> usize {
        self.words * size_of::<u64>() + SEGMENTS * size_of::<Segment>()
    }

    #[inline]
    fn segment(&self, tag: u32) -> &Segment {
        &self.segments[(tag >> 24) as usize]
    }

    /// Brings what [`first`](Self::first) will look at.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        let words = &self.segment(tag).words;
        if let Some(word) = words.get(tag as usize & (words.len() - 1)) {
            prefetch(word);
        }
    }

    /// The first slot with this tag: almost always the only one.
    #[inline]
    pub(crate) fn first(&self, tag: u32) -> Option<u32> {
        self.find(tag, |_| true)
    }

    /// The slot with this tag that `is` the one.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let words = &self.segment(tag).words;
        let mask = words.len() - 1;
        let mut at = tag as usize & mask;
        loop {
            let word = words[at];
            if word == 0 {
                return None;
            }
            if tag_of(word) == tag && is(slot_of(word)) {
                return Some(slot_of(word));
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot that is not there.
    pub(crate) fn insert(&mut self, tag: u32, slot: u32) {
        let segment = &mut self.segments[(tag >> 24) as usize];
        // A quarter stays free, so that a look-up of what is not there ends soon.
        if (segment.len + 1) * 4 > segment.words.len() * 3 {
            self.words += segment.words.len();
            segment.grow();
        }
        segment.put(word(tag, slot));
        segment.len += 1;
    }

    /// Takes a slot out. Returns whether it was there.
    pub(crate) fn remove(&mut self, tag: u32, slot: u32) -> bool {
        let segment = &mut self.segments[(tag >> 24) as usize];
        let mask = segment.words.len() - 1;
        let mut at = tag as usize & mask;
        while segment.words[at] != word(tag, slot) {
            if segment.words[at] == 0 {
                return false;
            }
            at = (at + 1) & mask;
        }
        segment.close(at);
        segment.len -= 1;
        true
    }
}

impl Segment {
    fn put(&mut self, word: u64) {
        let mask = self.words.len() - 1;
        let mut at = tag_of(word) as usize & mask;
        while self.words[at] != 0 {
            at = (at + 1) & mask;
        }
        self.words[at] = word;
    }

    fn grow(&mut self) {
        let twice = vec![0; self.words.len() * 2].into();
        let old = std::mem::replace(&mut self.words, twice);
        old.iter().filter(|word| **word != 0).for_each(|word| self.put(*word));
    }

    /// Frees a word: those behind it that would not be found any more move up.
    fn close(&mut self, mut hole: usize) {
        let mask = self.words.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.words[at];
            if word == 0 {
                break;
            }
            let home = tag_of(word) as usize & mask;
            // How far the word is from home, and how far it would be in the hole.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.words[hole] = word;
                hole = at;
            }
        }
        self.words[hole] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::Lots;
    use std::collections::HashMap;

    #[test]
    fn it_is_a_map_whatever_comes_and_goes() {
        // Few tags, so that they collide and chains wrap around the end of a segment.
        for tags in [4u64, 40, 3000, 1 << 32] {
            let mut lots = Lots(tags);
            let (mut index, mut twin) = (Index::new(), HashMap::new());
            for round in 0..30_000u32 {
                // Segment 3, and homes near the end.
                let tag = (lots.next() % tags) as u32;
                let tag =
                    if tags < 1 << 32 { (3 << 24) | (tag.wrapping_sub(2) & 0xfff) } else { tag };
                let slot = (lots.next() % 2000) as u32;
                let is_there = twin.get(&slot).copied();
                match is_there {
                    Some(tag) => {
                        assert_eq!(index.find(tag, |s| s == slot), Some(slot));
                        assert!(index.remove(tag, slot), "round {round}");
                        twin.remove(&slot);
                        assert!(!index.remove(tag, slot));
                        assert_eq!(index.find(tag, |s| s == slot), None);
                    }
                    None if twin.len() < 1500 => {
                        index.insert(tag, slot);
                        twin.insert(slot, tag);
                    }
                    None => {}
                }
            }
            for (slot, tag) in &twin {
                assert_eq!(index.find(*tag, |s| s == *slot), Some(*slot));
            }
            assert_eq!(index.segments.iter().map(|s| s.len).sum::<usize>(), twin.len());
            let words: usize = index.segments.iter().map(|s| s.words.len()).sum();
            assert_eq!(index.words, words);
            assert!(index.memory() < 256 * 16 * 8 + 256 * 24 + 4096 * 8);
        }
    }
}
