//! From digests of blocks to the octets of an entry.

use crate::digest::{Digest, Digester};
use crate::entry::{About, Section, encode};
use crate::key::Key;
use crate::keys::{Distinct, FileKeys};
use crate::known::Known;
use crate::pages::{self, Density, Shape};
use record::Rows;

/// Rows of a stretch at least, but for the last one: about a full block. Collectors write a small
/// block each second, and a set for each would keep the same addresses many times.
pub(crate) const STRETCH: u64 = 32_768;

/// What the sets of a stretch and of a file take. A wrong yes of a file costs a look at its
/// stretches, one of a stretch the reading of its blocks; both together stay below three octets in a
/// hundred of what packed flows take. Files of one stretch have only that.
pub(crate) const OF_STRETCH: Density = Density { bits: 9, net: 3, own: 2 };
pub(crate) const OF_FILE: Density = Density { bits: 12, net: 4, own: 3 };

/// Takes the blocks of a file in their order and makes its entry.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// The stretch at hand.
    known: Known,
    keys: Vec<Key>,
    first_block: u32,
    /// The file so far.
    blocks: u32,
    whole: Known,
    all_keys: FileKeys,
    /// Blocks that say something about exporters.
    meta: Vec<u32>,
    sections: Vec<Section>,
    data: Vec<u8>,
    /// To be used again.
    distinct: Distinct,
    digest: Digest,
}

impl Builder {
    /// Nothing so far.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Takes the next block. `says_who` if it has records about exporters or names.
    pub(crate) fn block(&mut self, digester: &mut Digester, rows: &Rows<'_>, says_who: bool) {
        let mut digest = std::mem::take(&mut self.digest);
        digest.clear();
        digest.says_who = says_who;
        let stretch = self.stretch();
        digest.stretch = Some(stretch);
        digester.digest(rows, stretch + 1, &mut digest);
        let is_known = self.add(&digest);
        debug_assert!(is_known, "its stretch is the one at hand");
        self.digest = digest;
    }

    /// Number of the stretch at hand.
    fn stretch(&self) -> u32 {
        self.sections.len() as u32
    }

    /// Takes what is known about the next block. `false` if that is not all, because it was taken
    /// to be of another stretch.
    pub(crate) fn add(&mut self, digest: &Digest) -> bool {
        if digest.stretch.is_some_and(|stretch| stretch != self.stretch()) {
            return false;
        }
        if digest.says_who {
            self.meta.push(self.blocks);
        }
        self.known.absorb(&digest.known);
        self.keys.extend_from_slice(&digest.keys);
        self.blocks = self.blocks.saturating_add(1);
        if self.known.rows >= STRETCH {
            self.end_stretch();
        }
        true
    }

    fn end_stretch(&mut self) {
        let known = std::mem::take(&mut self.known);
        let blocks = self.first_block..self.blocks;
        self.first_block = self.blocks;
        self.whole.absorb(&known);
        self.all_keys.extend(&self.keys);
        let shape = Shape::of(self.distinct.of(&self.keys), OF_STRETCH);
        let section = Section::put(blocks, known, &mut self.data, |data| {
            pages::build(&self.keys, shape, data);
            shape
        });
        self.sections.push(section);
        self.keys.clear();
    }

    /// Blocks so far.
    pub(crate) const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Octets that it takes, about.
    pub(crate) const fn octets(&self) -> usize {
        self.all_keys.octets() + 8 * self.keys.capacity() + self.data.capacity()
    }

    /// The entry. `None` if the file is too large for one.
    pub(crate) fn finish(mut self, about: &About) -> Option<Finished> {
        if self.first_block < self.blocks {
            self.end_stretch();
        }
        let whole = match self.sections.as_slice() {
            // What is said of the file is said of its one stretch.
            [only] => only.clone(),
            _ => {
                let shape = self.all_keys.count().map(|count| Shape::of(count, OF_FILE));
                let shape = shape.unwrap_or_default();
                Section::put(0..self.blocks, self.whole, &mut self.data, |data| {
                    pages::build(self.all_keys.all(), shape, data);
                    shape
                })
            }
        };
        let octets = encode(about, &self.meta, &whole, &self.sections, &self.data)?;
        let head_len = (octets.len() - self.data.len()) as u32;
        let known = whole.known;
        Some(Finished { octets, head_len, blocks: self.blocks, known, keys: self.all_keys })
    }
}

/// What is known about a file.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Of its entry.
    pub(crate) octets: Vec<u8>,
    /// Octets of the head.
    pub(crate) head_len: u32,
    pub(crate) blocks: u32,
    /// For the group that it will be in.
    pub(crate) known: Known,
    pub(crate) keys: FileKeys,
}
