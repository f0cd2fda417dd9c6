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
        let (entries, octets, lost) = match listed {
            Some((entries, octets)) => (entries, octets, None),
            None => {
                let (entries, lost) = walk(source, len).map_err(io)?;
                (entries, Vec::new(), Some(lost))
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
        let mut reason = match (lost, &footer) {
            (Some(_), _) if !header.is_closed() => Some(SalvageReason::NotClosed),
            (Some(_), _) => Some(SalvageReason::Directory { offset: header.appendix }),
            (None, None) => Some(SalvageReason::Footer),
            (None, Some(_)) => None,
        };
        if head.is_encrypted() {
            let (key, is_sealed) =
                unlock(source, path, head, &entries, (footer.as_ref(), &octets), pass)?;
            all.key = Some(key);
            if lost.is_none() && !is_sealed {
                reason.get_or_insert(SalvageReason::Seal);
            }
        }
        all.read_about(source, &entries);
        if lost.is_none() {
            header.blocks = all.blocks.len() as u32;
        }
        if let Some(reason) = reason {
            all.state = FileState::Salvaged {
                complete_blocks: all.blocks.len(),
                bytes_lost: lost.unwrap_or(0),
                reason,
            };
        }
        Ok(all)
    }

    /// Ident and statistics, which are blocks of their own. One that is damaged is as none.
    fn read_about(&mut self, source: &Source, entries: &[Entry]) {
        let mut buffers = Buffers::default();
        for e in entries {
            if !matches!(e.kind, block_type::STATISTICS | block_type::IDENT) {
                continue;
            }
            let key = self.key.as_ref();
            let Ok(payload) = payload3::load(source, key, e.offset, e.size as usize, &mut buffers)
            else {
                continue;
            };
            match e.kind {
                block_type::IDENT if payload.len() < 256 => {
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

fn read_footer(source: &Source, len: u64) -> io::Result<Option<Footer>> {
    let Some(at) = len.checked_sub(Footer::LEN as u64) else { return Ok(None) };
    let mut buffer = Vec::new();
    Ok(Footer::decode(source.read(at, Footer::LEN, &mut buffer)?))
}

/// Entries of the directory that the header or the footer points to, and their octets.
fn listed(
    source: &Source,
    head: &Head3,
    footer: Option<&Footer>,
    len: u64,
) -> io::Result<Option<(Vec<Entry>, Vec<u8>)>> {
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
fn read_directory(
    source: &Source,
    place: Place,
    len: u64,
) -> io::Result<Option<(Vec<Entry>, Vec<u8>)>> {
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
    let Some(count) = layout3::directory_count(octets) else { return Ok(None) };
    let rest = octets.get(layout3::DIRECTORY_HEAD_LEN..).unwrap_or_default();
    let Some(rest) = rest.get(..(count as usize).saturating_mul(layout3::ENTRY_LEN)) else {
        return Ok(None);
    };
    let entry =
        |e: &[u8]| Some(Entry { kind: u32_at(e, 0)?, size: u32_at(e, 4)?, offset: u64_at(e, 8)? });
    let entries: Vec<Entry> = rest.chunks_exact(layout3::ENTRY_LEN).filter_map(entry).collect();
    // Blocks lie one behind the other. A directory that says otherwise would have some read twice.
    let mut at = layout3::HEADER_LEN as u64;
    for e in &entries {
        if e.offset < at || e.size as usize <= BlockHead::LEN || e.end() > place.offset {
            return Ok(None);
        }
        at = e.end();
    }
    Ok(Some((entries, rest.to_vec())))
}

/// All blocks from the front, and how many octets are none. Where a header is damaged, or threads
/// of the writer left a hole, the next block is searched.
fn walk(source: &Source, len: u64) -> io::Result<(Vec<Entry>, u64)> {
    let (mut entries, mut lost) = (Vec::new(), 0);
    let mut at = layout3::HEADER_LEN as u64;
    let mut buffer = Vec::new();
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
        let next = search(source, at + 1, len)?.unwrap_or(len);
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

/// The first place from `from` on where a block or the directory begins.
fn search(source: &Source, from: u64, len: u64) -> io::Result<Option<u64>> {
    let mut buffer = Vec::new();
    let mut at = from;
    while at < len {
        let window = source.read(at, WINDOW + BlockHead::LEN, &mut buffer)?;
        for (i, head) in window.windows(BlockHead::LEN).enumerate() {
            let here = at + i as u64;
            if entry_of(head, here, len).is_some() || layout3::directory_count(head).is_some() {
                return Ok(Some(here));
            }
        }
        at += WINDOW as u64;
    }
    Ok(None)
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
