//! Offsets, sizes and numbers of the file format; section numbers are those of its description.
//!
//! Every number in a file is little-endian.

use core::ops::Range;

/// First two octets of a file (2.1).
pub(crate) const MAGIC: u16 = 0xA50C;
/// [`MAGIC`] as a big-endian machine wrote it (1).
pub(crate) const MAGIC_SWAPPED: u16 = 0x0CA5;

/// Largest payload of a block, on disk and unpacked (3.1).
pub(crate) const MAX_PAYLOAD: usize = 5 << 20;
/// Payload at which writers finish a block (3.1).
pub(crate) const BLOCK_TARGET: usize = 1 << 20;
/// Payload that writers never exceed (3.1).
pub(crate) const BLOCK_LIMIT: usize = 2 << 20;

/// Block types (3.3).
pub(crate) mod block_type {
    pub(crate) const V16: u16 = 2;
    pub(crate) const RECORDS: u16 = 3;
    pub(crate) const ARRAY: u16 = 4;
}

/// Record types (5).
pub(crate) mod record_type {
    pub(crate) const EXTENSION_MAP: u16 = 2;
    pub(crate) const EXPORTER: u16 = 7;
    pub(crate) const EXPORTER_STATS: u16 = 8;
    pub(crate) const SAMPLER_OLD: u16 = 9;
    pub(crate) const V16_FLOW: u16 = 10;
    pub(crate) const FLOW: u16 = record::v3::TYPE;
    pub(crate) const APPLICATION_NAMES: u16 = 12;
    pub(crate) const INTERFACE_NAMES: u16 = 13;
    pub(crate) const VRF_NAMES: u16 = 14;
    pub(crate) const SAMPLER: u16 = 15;
    pub(crate) const SLACK: u16 = 256;
    pub(crate) const IDENT: u16 = 0x8001;
    pub(crate) const STATISTICS: u16 = 0x8002;
}

/// The octets of `range`, `None` if there are not enough.
#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A u16 at `at`.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// A u32 at `at`.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// A u64 at `at`.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// Splits the first record off: its type, its octets, and what follows. `None` if the size is
/// below a record header or beyond the end.
#[inline]
pub(crate) fn split_record(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let [t0, t1, s0, s1] = *bytes.first_chunk()?;
    let size = usize::from(u16::from_le_bytes([s0, s1]));
    if size < 4 {
        return None;
    }
    let (record, rest) = bytes.split_at_checked(size)?;
    Some((u16::from_le_bytes([t0, t1]), record, rest))
}

/// Text up to its first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Writes `value` over `range`, which the caller took from a table of offsets in a fixed array.
pub(crate) fn put(out: &mut [u8], range: Range<usize>, value: &[u8]) {
    if let Some(room) = out.get_mut(range)
        && room.len() == value.len()
    {
        room.copy_from_slice(value);
    }
}
