//! Where blocks are, and their headers: 12 octets before every payload (3.1), 24 in layout 3.

use crate::layout::{MAX_PAYLOAD, block_type, u16_at, u32_at};

/// What a block holds (3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Records of layout 2: flows and what exporters say of themselves.
    Records,
    /// Records of nfdump 1.6, converted when loaded.
    Legacy,
    /// Entries of one size: geographic and similar tables, and in layout 3 names. No flows.
    Array,
    /// Records of layout 3: flows.
    Flows,
    /// Exporters with their samplers and statistics, in layout 3.
    Exporters,
    /// What helps the program that wrote the file, in layout 3: nothing about flows.
    Other,
    /// Anything else.
    Unknown(u32),
}

impl BlockKind {
    const fn from_type(n: u16) -> Self {
        match n {
            block_type::RECORDS => Self::Records,
            block_type::V16 => Self::Legacy,
            block_type::ARRAY => Self::Array,
            n => Self::Unknown(n as u32),
        }
    }
}

/// Where a block is and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Offset of the block's header in the file.
    pub offset: u64,
    /// Records it should hold; 0 in layout 3, where the payload says so.
    pub records: u32,
    /// Octets of the payload on disk; the header is not counted.
    pub size: u32,
    /// Octets of the header: 12, in layout 3 24.
    pub header_len: u8,
    /// What it holds.
    pub kind: BlockKind,
}

impl BlockRef {
    /// Octets of a block header of layouts 1 and 2.
    pub const HEADER_LEN: usize = 12;

    /// Reads a header that lies at `offset`. `None` if it is too short or cannot be right: the
    /// size says where the next block is, so nothing behind such a header can be trusted.
    pub(crate) fn decode(head: &[u8], offset: u64) -> Option<Self> {
        let head = head.first_chunk::<{ Self::HEADER_LEN }>()?;
        let block = Self {
            offset,
            records: u32_at(head, 0)?,
            size: u32_at(head, 4)?,
            header_len: Self::HEADER_LEN as u8,
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

    /// The octets of a header of layout 2.
    pub(crate) fn encode_header(records: u32, size: u32) -> [u8; Self::HEADER_LEN] {
        let mut out = [0; Self::HEADER_LEN];
        out[..4].copy_from_slice(&records.to_le_bytes());
        out[4..8].copy_from_slice(&size.to_le_bytes());
        out[8..10].copy_from_slice(&block_type::RECORDS.to_le_bytes());
        out
    }

    /// Offset of the payload.
    pub const fn payload(&self) -> u64 {
        self.offset + self.header_len as u64
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
        let head = BlockRef::encode_header(18, 1264);
        let block = BlockRef::decode(&head, 40).unwrap();
        let want = BlockRef {
            offset: 40,
            records: 18,
            size: 1264,
            header_len: 12,
            kind: BlockKind::Records,
        };
        assert_eq!(block, want);
        assert_eq!(block.end(), 40 + 12 + 1264);
        assert_eq!(head[8], 3);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for (size, ok) in [(0, false), (1, true), (5 << 20, true), ((5 << 20) + 1, false)] {
            let head = BlockRef::encode_header(1, size);
            assert_eq!(BlockRef::decode(&head, 0).is_some(), ok, "size {size}");
        }
    }
}
