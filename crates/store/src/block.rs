//! Block headers: 12 octets before every payload (3.1).

use crate::layout::{MAX_PAYLOAD, block_type, u16_at, u32_at};

/// What a block holds (3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Records of layout 2: flows and what exporters say of themselves.
    Records,
    /// Records of nfdump 1.6, converted when loaded.
    Legacy,
    /// Entries of one size: geographic and similar tables, no flows.
    Array,
    /// Anything else.
    Unknown(u16),
}

impl BlockKind {
    const fn from_type(n: u16) -> Self {
        match n {
            block_type::RECORDS => Self::Records,
            block_type::V16 => Self::Legacy,
            block_type::ARRAY => Self::Array,
            n => Self::Unknown(n),
        }
    }

    const fn to_type(self) -> u16 {
        match self {
            Self::Records => block_type::RECORDS,
            Self::Legacy => block_type::V16,
            Self::Array => block_type::ARRAY,
            Self::Unknown(n) => n,
        }
    }
}

/// Where a block is and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Offset of the block's header in the file.
    pub offset: u64,
    /// Records it should hold.
    pub records: u32,
    /// Octets of the payload on disk; the header is not counted.
    pub size: u32,
    /// What it holds.
    pub kind: BlockKind,
}

impl BlockRef {
    /// Octets of a block header.
    pub const HEADER_LEN: usize = 12;

    /// Reads a header that lies at `offset`. `None` if it is too short or cannot be right: the
    /// size says where the next block is, so nothing behind such a header can be trusted.
    pub(crate) fn decode(head: &[u8], offset: u64) -> Option<Self> {
        let head = head.first_chunk::<{ Self::HEADER_LEN }>()?;
        let block = Self {
            offset,
            records: u32_at(head, 0)?,
            size: u32_at(head, 4)?,
            kind: BlockKind::from_type(u16_at(head, 8)?),
        };
        (1..=MAX_PAYLOAD as u32).contains(&block.size).then_some(block)
    }

    /// As [`decode`](Self::decode), if all of the header looks like one that programs write and the
    /// block lies before `end`. For telling blocks from other octets; one that is where it should
    /// be is taken with less.
    pub(crate) fn plausible(head: &[u8], offset: u64, end: u64) -> Option<Self> {
        let block = Self::decode(head, offset)?;
        let is_usual = !matches!(block.kind, BlockKind::Unknown(_))
            && block.records > 0
            && block.records as usize <= MAX_PAYLOAD / 4
            && u16_at(head, 10) == Some(0);
        (is_usual && block.end() <= end).then_some(block)
    }

    /// The header's octets.
    pub(crate) fn encode_header(
        records: u32,
        size: u32,
        kind: BlockKind,
    ) -> [u8; Self::HEADER_LEN] {
        let mut out = [0; Self::HEADER_LEN];
        out[..4].copy_from_slice(&records.to_le_bytes());
        out[4..8].copy_from_slice(&size.to_le_bytes());
        out[8..10].copy_from_slice(&kind.to_type().to_le_bytes());
        out
    }

    /// Offset of the payload.
    pub const fn payload(&self) -> u64 {
        self.offset + Self::HEADER_LEN as u64
    }

    /// Offset of whatever follows.
    pub const fn end(&self) -> u64 {
        self.payload() + self.size as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for n in 0..=5u16 {
            let kind = BlockKind::from_type(n);
            let head = BlockRef::encode_header(18, 1264, kind);
            let block = BlockRef::decode(&head, 40).unwrap();
            assert_eq!(block, BlockRef { offset: 40, records: 18, size: 1264, kind });
            assert_eq!(block.end(), 40 + 12 + 1264);
            assert_eq!(head[8], n as u8);
        }
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for (size, ok) in [(0, false), (1, true), (5 << 20, true), ((5 << 20) + 1, false)] {
            let head = BlockRef::encode_header(1, size, BlockKind::Records);
            assert_eq!(BlockRef::decode(&head, 0).is_some(), ok, "size {size}");
        }
    }
}
