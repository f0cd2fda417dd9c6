//! Offsets, sizes and numbers of layout 3, which nfdump 1.8 is going to write: headers of file and
//! blocks, directory, footer.
//!
//! ```text
//! header 48 | block | block | ... | directory | footer 56
//! block     = type u32, size u32, raw size u32, compression u16, encryption u16, sum u64, payload
//! directory = 0xB10CB10C, count u32, count * { type u32, size u32, offset u64 }
//! footer    = 0xA50F, directory size u32, its offset u64, its sum u64, keyed sum 32 octets
//! ```
//!
//! Sizes of a block include its header. Sums are XXH3 with 64 bits, 0 where there is none.

use crate::Compression;
use crate::block::BlockKind;
use crate::layout::{u16_at, u32_at, u64_at};
use twox_hash::XxHash3_64;

/// Octets of the file header; the first block follows.
pub(crate) const HEADER_LEN: usize = 48;
/// Largest payload of a block, unpacked: what the program that writes the layout accepts.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

/// Block types.
pub(crate) mod block_type {
    pub(crate) const FLOWS: u32 = 1;
    pub(crate) const ARRAY: u32 = 2;
    pub(crate) const STATISTICS: u32 = 3;
    pub(crate) const IDENT: u32 = 4;
    pub(crate) const META: u32 = 5;
    pub(crate) const MESSAGES: u32 = 6;
    pub(crate) const EXPORTERS: u32 = 7;
}

/// Flag of the file header: payloads are encrypted.
const FLAG_ENCRYPTED: u32 = 1;

/// What the file header says beside what other layouts say, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head3 {
    pub(crate) octets: [u8; HEADER_LEN],
    pub(crate) directory: Place,
}

/// Where the directory should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) size: u32,
    /// XXH3 of the directory, 0 for none; only the footer has one.
    pub(crate) sum: u64,
}

impl Head3 {
    pub(crate) fn new(octets: &[u8; HEADER_LEN]) -> Self {
        let directory = Place {
            offset: u64_at(octets, 32).unwrap_or(0),
            size: u32_at(octets, 28).unwrap_or(0),
            sum: 0,
        };
        Self { octets: *octets, directory }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        u32_at(&self.octets, 20).unwrap_or(0) & FLAG_ENCRYPTED != 0
    }
}

/// The end of a closed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) directory: Place,
    /// Keyed sum of the structure of an encrypted file, 0 without.
    pub(crate) seal: [u8; 32],
}

impl Footer {
    pub(crate) const LEN: usize = 56;
    const MAGIC: u32 = 0xA50F;

    pub(crate) fn decode(b: &[u8]) -> Option<Self> {
        let b = b.first_chunk::<{ Self::LEN }>()?;
        (u32_at(b, 0)? == Self::MAGIC).then_some(())?;
        let directory = Place { size: u32_at(b, 4)?, offset: u64_at(b, 8)?, sum: u64_at(b, 16)? };
        Some(Self { directory, seal: *b.last_chunk()? })
    }
}

/// Octets before the entries of a directory.
pub(crate) const DIRECTORY_HEAD_LEN: usize = 8;
/// Octets of an entry.
pub(crate) const ENTRY_LEN: usize = 16;
const DIRECTORY_MAGIC: u32 = 0xB10C_B10C;

/// How many entries follow the head of a directory.
pub(crate) fn directory_count(head: &[u8]) -> Option<u32> {
    (u32_at(head, 0)? == DIRECTORY_MAGIC).then(|| u32_at(head, 4))?
}

/// The header of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    pub(crate) kind: u32,
    /// Octets on disk, header included.
    pub(crate) size: u32,
    /// Octets unpacked, header included.
    pub(crate) raw_size: u32,
    pub(crate) compression: u16,
    pub(crate) encryption: u16,
    pub(crate) sum: u64,
}

impl BlockHead {
    pub(crate) const LEN: usize = 24;
    /// Largest block on disk: data that does not compress grow a little, and a tag is added.
    pub(crate) const MAX_SIZE: u32 = (MAX_PAYLOAD + MAX_PAYLOAD / 64) as u32;
    pub(crate) const NOT_ENCRYPTED: u16 = 0;
    pub(crate) const CHACHA20_POLY1305: u16 = 1;

    pub(crate) fn decode(b: &[u8]) -> Option<Self> {
        let b = b.first_chunk::<{ Self::LEN }>()?;
        Some(Self {
            kind: u32_at(b, 0)?,
            size: u32_at(b, 4)?,
            raw_size: u32_at(b, 8)?,
            compression: u16_at(b, 12)?,
            encryption: u16_at(b, 14)?,
            sum: u64_at(b, 16)?,
        })
    }

    /// Whether the sizes are possible, so that the block can be unpacked and its end is known.
    pub(crate) const fn has_sound_sizes(&self) -> bool {
        let least = Self::LEN as u32;
        self.size > least
            && self.size <= Self::MAX_SIZE
            && self.raw_size > least
            && self.raw_size as usize <= MAX_PAYLOAD
    }

    /// Whether all of it looks like what programs write: for telling blocks from other octets.
    pub(crate) fn is_plausible(&self) -> bool {
        let is_bare = self.encryption == Self::NOT_ENCRYPTED && self.compression < 2;
        self.has_sound_sizes()
            && (block_type::FLOWS..=block_type::EXPORTERS).contains(&self.kind)
            && self.method().is_some()
            && self.encryption <= Self::CHACHA20_POLY1305
            && (!is_bare || self.size == self.raw_size)
    }

    /// Numbers are those of layout 2 and one; 0 was left open and means none, too.
    pub(crate) fn method(&self) -> Option<Compression> {
        Compression::from_number(u8::try_from(self.compression).ok()?.saturating_sub(1))
    }

    /// Octets of the payload, unpacked.
    pub(crate) const fn raw_payload(&self) -> usize {
        (self.raw_size as usize).saturating_sub(Self::LEN)
    }

    /// Whether the payload has the sum, `None` if it does not.
    pub(crate) fn checked<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        (self.sum == 0 || sum_of(payload) == self.sum).then_some(payload)
    }
}

/// XXH3 of a payload or directory.
pub(crate) fn sum_of(octets: &[u8]) -> u64 {
    XxHash3_64::oneshot(octets)
}

/// What blocks of a type hold for us; `None` for those that are read when the file is opened.
pub(crate) const fn kind_of(block_type: u32) -> Option<BlockKind> {
    Some(match block_type {
        block_type::FLOWS => BlockKind::Flows,
        block_type::ARRAY => BlockKind::Array,
        block_type::EXPORTERS => BlockKind::Exporters,
        block_type::STATISTICS | block_type::IDENT => return None,
        block_type::META | block_type::MESSAGES => BlockKind::Other,
        n => BlockKind::Unknown(n),
    })
}

/// Head of the payload of a block of flows: records, extensions in them, first and last time.
pub(crate) const FLOWS_HEAD_LEN: usize = 32;
/// Head of the payload of blocks of arrays and of exporters.
pub(crate) const ARRAY_HEAD_LEN: usize = 8;

/// Record types beside those of layout 2.
pub(crate) mod record_type {
    pub(crate) const FLOW: u16 = 16;
    pub(crate) const EXPORTER: u16 = 17;
    /// Filters over the addresses of a block, for passing it over.
    pub(crate) const META: u16 = 18;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_xxh3() {
        // Test vectors of the algorithm's description, seed 0.
        assert_eq!(sum_of(b""), 0x2D06_8005_38D3_94C2);
        let head = BlockHead {
            kind: 1,
            size: 27,
            raw_size: 27,
            compression: 1,
            encryption: 0,
            sum: sum_of(b"abc"),
        };
        assert_eq!(head.sum, 0x78AF_5F94_892F_3950);
        assert!(head.is_plausible());
        assert!(head.checked(b"abc").is_some() && head.checked(b"abd").is_none());
        assert!(BlockHead { sum: 0, ..head }.checked(b"abd").is_some());
    }

    #[test]
    fn block_heads_out_of_range_are_not_plausible() {
        let good =
            BlockHead { kind: 1, size: 100, raw_size: 300, compression: 4, encryption: 0, sum: 0 };
        assert!(good.is_plausible());
        for (what, bad) in [
            ("type 0", BlockHead { kind: 0, ..good }),
            ("type 8", BlockHead { kind: 8, ..good }),
            ("no payload", BlockHead { size: 24, ..good }),
            ("no payload unpacked", BlockHead { raw_size: 24, ..good }),
            ("too large", BlockHead { size: BlockHead::MAX_SIZE + 1, ..good }),
            ("too large unpacked", BlockHead { raw_size: MAX_PAYLOAD as u32 + 1, ..good }),
            ("compression", BlockHead { compression: 6, ..good }),
            ("encryption", BlockHead { encryption: 2, ..good }),
            ("bare with two sizes", BlockHead { compression: 1, ..good }),
        ] {
            assert!(!bad.is_plausible(), "{what}");
        }
    }
}
