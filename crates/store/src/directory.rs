//! Finding the blocks of a file of layout 3: from its directory, to which header and footer point,
//! or without one block by block from the front.

use crate::appendix::Statistics;
use crate::block::{BlockKind, BlockRef};
use crate::crypt::{CryptoHeader, FileKey, NoKey, Passphrase};
use crate::error::StoreError;
use crate::header::FileHeader;
use crate::layout::{u32_at, u64_at, until_nul};
use crate::layout3::{self, BlockHead, Footer, Head3, Place, block_type};
use crate::payload3::{self, Buffers};
use crate::reader::{FileState, SalvageReason};
use crate::source::Source;
use std::io;
use std::path::Path;

/// What a file of layout 3 has.
pub(crate) struct Directory {
    pub(crate) blocks: Vec<BlockRef>,
    pub(crate) ident: Option<Vec<u8>>,
    pub(crate) ident_at: Option<u64>,
    pub(crate) statistics: Option<Statistics>,
    pub(crate) key: Option<FileKey>,
    pub(crate) state: FileState,
}

/// What a sound directory says.
struct Listed {
    entries: Vec<Entry>,
    /// The entries as they are in the file.
    octets: Vec<u8>,
    /// Octets that no entry has, and where the first of them are.
    gaps: u64,
    first_gap: Option<u64>,
}

/// One entry of a directory, or what was found in its stead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    kind: u32,
    size: u32,
    offset: u64,
}

/// Blocks that are kept track of.
const MAX_BLOCKS: usize = 1 << 22;
/// Statistics of a payload: 18 numbers.
const STATISTICS_LEN: usize = 144;
/// Idents are shorter than this.
const IDENT_ROOM: usize = 256;
/// Octets that a search for the next block looks at in one go.
const WINDOW: usize = 1 << 20;

impl Directory {
    /// Finds the blocks of a file of `len` octets, and reads what says something of all of it.
    pub(crate) fn find(
        source: &Source,
        path: &Path,
        header: &mut FileHeader,
        head: &Head3,
        len: u64,
        pass: Option<&Passphrase>,
    ) -> Result<Self, StoreError> {
        let io = |e| StoreError::io("read", path)(e);
        let footer = read_footer(source, len).map_err(io)?;
        let listed = listed(source, head, footer.as_ref(), len).map_err(io)?;
        let is_listed = listed.is_some();
        let Listed { entries, octets, gaps: lost, first_gap } = match listed {
            Some(listed) => listed,
            None => {
                let (entries, gaps) = walk(source, len).map_err(io)?;
                Listed { entries, octets: Vec::new(), gaps, first_gap: None }
            }
        };
        let mut all = Self {
            blocks: entries.iter().filter_map(Entry::block).collect(),
            ident: None,
            ident_at: None,
            statistics: None,
            key: None,
            state: FileState::Closed,
        };
        let mut reason = match (is_listed, &footer) {
            (false, _) if !header.is_closed() => Some(SalvageReason::NotClosed),
            (false, _) => Some(SalvageReason::Directory { offset: header.appendix }),
            (true, None) => Some(SalvageReason::Footer),
            (true, Some(_)) => first_gap.map(|offset| SalvageReason::Gap { offset }),
        };
        if head.is_encrypted() {
            let (key, is_sealed) =
                unlock(source, path, head, &entries, (footer.as_ref(), &octets), pass)?;
            all.key = Some(key);
            if is_listed && !is_sealed {
                reason.get_or_insert(SalvageReason::Seal);
            }
        }
        all.read_about(source, &entries);
        if is_listed {
            header.blocks = all.blocks.len() as u32;
        }
        if let Some(reason) = reason {
            all.state =
                FileState::Salvaged { complete_blocks: all.blocks.len(), bytes_lost: lost, reason };
        }
        Ok(all)
    }

    /// Ident and statistics, which are blocks of their own. One that is damaged is as none.
    fn read_about(&mut self, source: &Source, entries: &[Entry]) {
        let (mut buffers, mut head) = (Buffers::default(), Vec::new());
        for e in entries {
            if !matches!(e.kind, block_type::STATISTICS | block_type::IDENT) {
                continue;
            }
            if !may_be_about(source, e, &mut head) {
                continue;
            }
            let key = self.key.as_ref();
            let Ok(payload) = payload3::load(source, key, e.offset, e.size as usize, &mut buffers)
            else {
                continue;
            };
            match e.kind {
                block_type::IDENT if payload.len() < IDENT_ROOM => {
                    self.ident = Some(until_nul(payload).to_vec());
                    self.ident_at = Some(e.offset);
                }
                block_type::STATISTICS if payload.len() == STATISTICS_LEN => {
                    self.statistics = Some(Statistics::decode(payload));
                }
                _ => {}
            }
        }
    }
}

impl Entry {
    const fn end(&self) -> u64 {
        self.offset.saturating_add(self.size as u64)
    }

    const fn has_sound_size(&self) -> bool {
        self.size > BlockHead::LEN as u32 && self.size <= BlockHead::MAX_SIZE
    }

    /// The block, unless it is one that is read when the file is opened.
    fn block(&self) -> Option<BlockRef> {
        let kind = layout3::kind_of(self.kind)?;
        let is_keys = kind == BlockKind::Other && self.is_crypto_header();
        (!is_keys).then_some(BlockRef {
            offset: self.offset,
            records: 0,
            size: self.size - BlockHead::LEN as u32,
            header_len: BlockHead::LEN as u8,
            kind,
        })
    }

    const fn is_crypto_header(&self) -> bool {
        self.kind == block_type::META
            && self.size as usize == BlockHead::LEN + CryptoHeader::LEN
            && self.offset == layout3::HEADER_LEN as u64
    }
}

/// Whether a block can be an ident or statistics, by the sizes in its header: anything larger is
/// not worth reading, still less unpacking.
fn may_be_about(source: &Source, e: &Entry, buffer: &mut Vec<u8>) -> bool {
    let Ok(head) = source.read(e.offset, BlockHead::LEN, buffer) else { return false };
    let max = match e.kind {
        block_type::IDENT => IDENT_ROOM,
        _ => STATISTICS_LEN,
    };
    // Packed, so little may grow.
    (e.size as usize) < BlockHead::LEN + 4 * IDENT_ROOM
        && BlockHead::decode(head).is_some_and(|h| h.raw_payload() <= max)
}

fn read_footer(source: &Source, len: u64) -> io::Result<Option<Footer>> {
    let Some(at) = len.checked_sub(Footer::LEN as u64) else { return Ok(None) };
    let mut buffer = Vec::new();
    Ok(Footer::decode(source.read(at, Footer::LEN, &mut buffer)?))
}

/// The directory that the header or the footer points to.
fn listed(
    source: &Source,
    head: &Head3,
    footer: Option<&Footer>,
    len: u64,
) -> io::Result<Option<Listed>> {
    let sum = footer.map_or(0, |f| f.directory.sum);
    let places = [Some(Place { sum, ..head.directory }), footer.map(|f| f.directory)];
    for place in places.into_iter().flatten().filter(|p| p.offset != 0) {
        if let Some(found) = read_directory(source, place, len)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The directory at a place, `None` if there is none or it is damaged.
fn read_directory(source: &Source, place: Place, len: u64) -> io::Result<Option<Listed>> {
    let size = place.size as usize;
    let fits = place.offset.checked_add(u64::from(place.size)).is_some_and(|end| end <= len);
    let max = layout3::DIRECTORY_HEAD_LEN + MAX_BLOCKS * layout3::ENTRY_LEN;
    if !fits || size > max {
        return Ok(None);
    }
    let mut buffer = Vec::new();
    let octets = source.read(place.offset, size, &mut buffer)?;
    if octets.len() < size || place.sum != 0 && layout3::sum_of(octets) != place.sum {
        return Ok(None);
    }
    Ok(decode_directory(octets, place.offset))
}

/// The entries of a directory that lies at `end`, behind all blocks.
fn decode_directory(octets: &[u8], end: u64) -> Option<Listed> {
    let count = layout3::directory_count(octets)? as usize;
    let rest = octets.get(layout3::DIRECTORY_HEAD_LEN..)?;
    if rest.len() != count.checked_mul(layout3::ENTRY_LEN)? {
        return None;
    }
    let mut all = Listed {
        entries: Vec::with_capacity(count),
        octets: rest.to_vec(),
        gaps: 0,
        first_gap: None,
    };
    let mut at = layout3::HEADER_LEN as u64;
    for e in rest.chunks_exact(layout3::ENTRY_LEN) {
        let e = Entry { kind: u32_at(e, 0)?, size: u32_at(e, 4)?, offset: u64_at(e, 8)? };
        // Blocks lie one behind the other. A directory that says otherwise would have some read
        // twice.
        if e.offset < at || !e.has_sound_size() || e.end() > end {
            return None;
        }
        all.add_gap(at, e.offset);
        at = e.end();
        all.entries.push(e);
    }
    all.add_gap(at, end);
    Some(all)
}

impl Listed {
    fn add_gap(&mut self, from: u64, to: u64) {
        if let Some(gap @ 1..) = to.checked_sub(from) {
            self.gaps += gap;
            self.first_gap.get_or_insert(from);
        }
    }
}

/// All blocks from the front, and how many octets are none. Where a header is damaged, or threads
/// of the writer left a hole, the next block is searched.
fn walk(source: &Source, len: u64) -> io::Result<(Vec<Entry>, u64)> {
    let (mut entries, mut lost) = (Vec::new(), 0);
    let mut at = layout3::HEADER_LEN as u64;
    let mut buffer = Vec::new();
    let mut search = Search::new(source, len);
    while at < len && entries.len() < MAX_BLOCKS {
        let head = source.read(at, BlockHead::LEN, &mut buffer)?;
        if let Some(entry) = entry_of(head, at, len) {
            at = entry.end();
            entries.push(entry);
            continue;
        }
        if is_end(head) {
            return Ok((entries, lost));
        }
        let next = search.from(at + 1)?.unwrap_or(len);
        lost += next - at;
        at = next;
    }
    Ok((entries, lost + len.saturating_sub(at)))
}

/// Whether a directory or a footer begins here: then there are no more blocks.
fn is_end(octets: &[u8]) -> bool {
    layout3::directory_count(octets).is_some() || u32_at(octets, 0) == Some(0xA50F)
}

fn entry_of(head: &[u8], offset: u64, len: u64) -> Option<Entry> {
    let head = BlockHead::decode(head).filter(BlockHead::is_plausible)?;
    let entry = Entry { kind: head.kind, size: head.size, offset };
    (entry.end() <= len).then_some(entry)
}

/// Looking for where blocks go on behind damage.
struct Search<'a> {
    source: &'a Source,
    len: u64,
    /// Octets whose sum may still be computed, so that a file made for it does not have each of its
    /// octets summed up a million times.
    budget: u64,
    window: Vec<u8>,
    block: Vec<u8>,
}

impl<'a> Search<'a> {
    /// Times the length of a file that sums may take.
    const PASSES: u64 = 8;

    fn new(source: &'a Source, len: u64) -> Self {
        let budget = len.saturating_mul(Self::PASSES);
        Self { source, len, budget, window: Vec::new(), block: Vec::new() }
    }

    /// The first place from `from` on where a block or the directory begins.
    fn from(&mut self, from: u64) -> io::Result<Option<u64>> {
        let Self { source, len, budget, window, block } = self;
        let mut at = from;
        while at < *len {
            let octets = source.read(at, WINDOW + BlockHead::LEN, window)?;
            for (i, head) in octets.windows(BlockHead::LEN).enumerate() {
                let here = at + i as u64;
                let is_found = match BlockHead::decode(head).filter(BlockHead::is_plausible) {
                    Some(head) => is_block(source, &head, here, *len, budget, block)?,
                    None => is_directory(head, here, *len),
                };
                if is_found {
                    return Ok(Some(here));
                }
            }
            at += WINDOW as u64;
        }
        Ok(None)
    }
}

/// Whether octets that look like the header of a block are one: the payload has the sum that the
/// header says. Where there is none, another block or the end has to follow.
fn is_block(
    source: &Source,
    head: &BlockHead,
    at: u64,
    len: u64,
    budget: &mut u64,
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    let size = u64::from(head.size);
    let end = at.saturating_add(size);
    if end > len {
        return Ok(false);
    }
    if head.sum != 0
        && let Some(left) = budget.checked_sub(size)
    {
        *budget = left;
        let payload = head.size as usize - BlockHead::LEN;
        let payload = source.read(at + BlockHead::LEN as u64, payload, buffer)?;
        return Ok(head.checked(payload).is_some());
    }
    let next = source.read(end, BlockHead::LEN, buffer)?;
    Ok(next.len() < BlockHead::LEN
        || is_end(next)
        || BlockHead::decode(next).is_some_and(|h| h.is_plausible()))
}

/// Whether a directory begins here that ends before the file does.
fn is_directory(head: &[u8], at: u64, len: u64) -> bool {
    layout3::directory_count(head).is_some_and(|count| {
        let size =
            layout3::DIRECTORY_HEAD_LEN as u64 + u64::from(count) * layout3::ENTRY_LEN as u64;
        at.saturating_add(size) <= len
    })
}

/// The key of an encrypted file, and whether its structure is the one that was sealed.
fn unlock(
    source: &Source,
    path: &Path,
    head: &Head3,
    entries: &[Entry],
    (footer, octets): (Option<&Footer>, &[u8]),
    pass: Option<&Passphrase>,
) -> Result<(FileKey, bool), StoreError> {
    let wrong = || StoreError::WrongKey(path.to_owned());
    let pass = pass.ok_or_else(|| StoreError::KeyNeeded(path.to_owned()))?;
    let entry = entries.iter().find(|e| e.is_crypto_header()).ok_or_else(wrong)?;
    let mut buffers = Buffers::default();
    let payload = payload3::load(source, None, entry.offset, entry.size as usize, &mut buffers);
    let payload = payload.map_err(|_| wrong())?;
    let crypto = CryptoHeader::decode(payload).ok_or_else(wrong)?;
    let key = FileKey::derive(&crypto, pass).map_err(|e| match e {
        NoKey::Wrong => wrong(),
        NoKey::Memory => {
            StoreError::io("derive the key of", path)(io::ErrorKind::OutOfMemory.into())
        }
    })?;
    let sum = key.structure_sum(&head.octets, &crypto, octets);
    let is_sealed = footer.is_some_and(|f| Some(f.seal) == sum);
    Ok((key, is_sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_cannot_be_an_ident_is_not_read() {
        for (kind, size, raw, want) in [
            (block_type::IDENT, 24 + 128, 24 + 128, true),
            (block_type::IDENT, 24 + 40, 24 + 255, true),
            (block_type::IDENT, 24 + 40, 24 + 257, false),
            (block_type::IDENT, 24 + 40, 60 << 20, false),
            (block_type::IDENT, 60 << 20, 24 + 128, false),
            (block_type::STATISTICS, 24 + 160, 24 + 144, true),
            (block_type::STATISTICS, 24 + 160, 24 + 145, false),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            let words = [kind, size, raw, 5, 0, 0];
            file.write_all(&words.map(u32::to_le_bytes).concat()).unwrap();
            let entry = Entry { kind, size, offset: 0 };
            let got = may_be_about(&Source::Read(file), &entry, &mut Vec::new());
            assert_eq!(got, want, "type {kind}, {size} for {raw}");
        }
    }

    #[test]
    fn a_directory_is_as_long_as_it_counts_and_lists_blocks_in_order() {
        let directory = |count: u32, entries: &[(u32, u64)]| {
            let mut out = 0xB10C_B10Cu32.to_le_bytes().to_vec();
            out.extend(count.to_le_bytes());
            for (size, offset) in entries {
                out.extend(1u32.to_le_bytes());
                out.extend(size.to_le_bytes());
                out.extend(offset.to_le_bytes());
            }
            out
        };
        let end = 100 << 20;
        let max = BlockHead::MAX_SIZE;
        for (what, count, entries, gaps) in [
            ("one", 1, vec![(end as u32 - 48, 48)], None),
            ("sound", 2, vec![(100, 48), (50, 148)], Some((end - 198, 198))),
            ("a gap", 2, vec![(100, 48), (50, 150)], Some((end - 198, 148))),
            ("largest", 1, vec![(max, 48)], Some((end - 48 - u64::from(max), 48 + u64::from(max)))),
            ("too large", 1, vec![(max + 1, 48)], None),
            ("no payload", 1, vec![(24, 48)], None),
            ("backwards", 2, vec![(100, 48), (50, 147)], None),
            ("beyond the end", 1, vec![(100, end - 99)], None),
            ("counts less", 1, vec![(100, 48), (50, 148)], None),
            ("counts more", 3, vec![(100, 48), (50, 148)], None),
        ] {
            let got = decode_directory(&directory(count, &entries), end);
            let got = got.map(|l| (l.gaps, l.first_gap.unwrap_or(0)));
            assert_eq!(got, gaps, "{what}");
        }
        let whole = decode_directory(&directory(1, &[(152, 48)]), 200).unwrap();
        assert_eq!((whole.gaps, whole.first_gap), (0, None));
    }
}
