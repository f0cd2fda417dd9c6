//! From blocks of rows to the octets of an entry.

use crate::entry::{About, Section, encode};
use crate::key::Role;
use crate::keys::{KeySet, estimate};
use crate::known::Known;
use crate::pages::{Density, Shape};
use record::{Field, Row, Rows};

/// Rows of a stretch at least, but for the last one: about a full block. Collectors write a small
/// block each second, and a set for each would keep the same addresses many times.
const STRETCH: u64 = 32_768;
/// Keys of a file at most, counted in each of its stretches: of more, files are not told apart by
/// address.
const KEYS: usize = 1 << 23;

/// What the sets of a stretch and of a file take. A wrong yes of a file costs a look at its
/// stretches, one of a stretch the reading of a block; both together stay below three octets in a
/// hundred of what packed flows take.
const OF_STRETCH: Density = Density { bits: 6, probes: 4 };
const OF_FILE: Density = Density { bits: 8, probes: 5 };

/// Addresses, in the order of the table.
const ADDRESSES: [Field; 9] = [
    Field::SrcAddr,
    Field::DstAddr,
    Field::NextHop,
    Field::BgpNextHop,
    Field::Router,
    Field::XlateSrcAddr,
    Field::XlateDstAddr,
    Field::TunSrcAddr,
    Field::TunDstAddr,
];

/// Takes the blocks of a file in their order and makes its entry.
#[derive(Debug, Default)]
pub struct Builder {
    /// The stretch at hand.
    known: Known,
    keys: KeySet,
    first_block: u32,
    /// The file so far.
    blocks: u32,
    whole: Known,
    all_keys: Vec<u64>,
    is_too_many: bool,
    /// Blocks that say something about exporters.
    meta: Vec<u32>,
    sections: Vec<Section>,
    data: Vec<u8>,
}

impl Builder {
    /// Nothing so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next block. `says_who` if it has records about exporters or names.
    pub fn block(&mut self, rows: &Rows<'_>, says_who: bool) {
        if says_who {
            self.meta.push(self.blocks);
        }
        rows.iter().for_each(|row| self.row(row));
        self.blocks = self.blocks.saturating_add(1);
        if self.known.rows >= STRETCH {
            self.end_stretch();
        }
    }

    fn row(&mut self, row: Row<'_>) {
        self.known.add(row);
        for field in ADDRESSES {
            if let (Some(addr), Some(role)) = (row.addr(field), Role::of(field)) {
                self.known.add_family(field, addr);
                if self.keys.insert(role.host(addr)) {
                    self.keys.insert(role.net(addr));
                }
            }
        }
        for (addr, port) in
            [(Field::XlateSrcAddr, Field::XlateSrcPort), (Field::XlateDstAddr, Field::XlateDstPort)]
        {
            if let (Some(addr), Some(port)) = (row.addr(addr), row.u64(port)) {
                self.keys.insert(Role::Translated.endpoint(addr, port as u16));
            }
        }
    }

    fn end_stretch(&mut self) {
        let known = std::mem::take(&mut self.known);
        let blocks = self.first_block..self.blocks;
        self.first_block = self.blocks;
        self.whole.absorb(&known);
        let shape = Shape::of(self.keys.len(), OF_STRETCH);
        let section = Section::put(blocks, known, shape, &mut self.data, self.keys.iter());
        self.sections.push(section);
        self.is_too_many |= self.all_keys.len() + self.keys.len() > KEYS;
        if !self.is_too_many {
            self.all_keys.extend(self.keys.iter());
        }
        self.keys.clear();
    }

    /// The octets of the entry. `None` if the file is too large for one.
    pub fn finish(mut self, about: &About) -> Option<Vec<u8>> {
        if self.first_block < self.blocks {
            self.end_stretch();
        }
        let shape = match self.is_too_many {
            true => Shape::default(),
            false => Shape::of(estimate(&self.all_keys), OF_FILE),
        };
        let keys = self.all_keys.iter().copied();
        let whole = Section::put(0..self.blocks, self.whole, shape, &mut self.data, keys);
        encode(about, &self.meta, &whole, &self.sections, &self.data)
    }
}
