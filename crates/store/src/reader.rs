//! Reading files: finding the blocks, turning each into rows, and going on where one is damaged.
//!
//! A block costs what is damaged in it and nothing else. The chain of block headers is the one
//! thing all of a file hangs on; where it breaks in a closed file, the next place is searched from
//! which the chain leads exactly to the appendix. A file that was never closed, because its writer
//! died or is still at work, is read up to its last complete block (2.2).

use crate::appendix::{Appendix, Statistics};
use crate::block::{BlockKind, BlockRef};
use crate::compress::{Compression, Unpacker};
use crate::error::{BlockCause, BlockError, StoreError};
use crate::header::FileHeader;
use crate::layout::MAX_PAYLOAD;
use crate::legacy;
use crate::meta::MetaRecord;
use crate::row::{Found, Skipped, Walker};
use crate::source::{Source, read_at};
use record::{RowRef, Rows, Totals};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use sys::map::Map;

/// An opened file: its header, where its blocks are, and its octets. Shared by all threads that
/// read it.
#[derive(Debug)]
pub struct FlowFile {
    path: PathBuf,
    source: Source,
    header: FileHeader,
    ident: String,
    statistics: Option<Statistics>,
    blocks: Vec<BlockRef>,
    state: FileState,
    maps: legacy::Maps,
    unreadable_blocks: AtomicU64,
    damaged_blocks: AtomicU64,
}

/// How a file was left by its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// Closed and consistent.
    Closed,
    /// Not, but its complete blocks can be read.
    Salvaged {
        /// Blocks that were found.
        complete_blocks: usize,
        /// Octets between and behind them that are no complete block.
        bytes_lost: u64,
        /// What is wrong.
        reason: SalvageReason,
    },
}

/// Why a file had to be salvaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SalvageReason {
    /// The header counts no blocks: a collector is still writing the file, or died.
    NotClosed,
    /// There is no appendix where the header says, so the file was cut short or is being
    /// appended to.
    Appendix {
        /// Where it should be.
        offset: u64,
    },
    /// A block header is damaged.
    Chain {
        /// Where the first damaged one is.
        offset: u64,
    },
    /// The header counts another number of blocks than there are.
    Count {
        /// Blocks that the header counts.
        header: u32,
    },
}

impl FileState {
    /// One line on what is wrong, `None` for a closed file.
    pub fn damage(&self) -> Option<String> {
        let Self::Salvaged { complete_blocks, bytes_lost, reason } = self else { return None };
        let why = match reason {
            SalvageReason::NotClosed => "not closed (its writer is at work, or died)".to_owned(),
            SalvageReason::Appendix { offset } => format!("no appendix at offset {offset}"),
            SalvageReason::Chain { offset } => format!("damaged block header at offset {offset}"),
            SalvageReason::Count { header } => format!("header counts {header} blocks"),
        };
        Some(format!("{why}: {complete_blocks} complete blocks, {bytes_lost} octets lost"))
    }
}

/// Damage met while loading blocks of a file, by all threads together. A block that is loaded
/// twice counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Blocks that could not be read at all.
    pub unreadable_blocks: u64,
    /// Blocks of which a part could not be read.
    pub damaged_blocks: u64,
}

impl FlowFile {
    /// Opens a file and finds its blocks. Closed files are mapped, others read.
    ///
    /// # Errors
    /// If it cannot be opened, or is no flow file of layout 1 or 2. Damage behind the header is no
    /// error: see [`state`](Self::state).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let io = |e| StoreError::io("open", path)(e);
        // Asked before opening, because opening a pipe waits for its writer.
        if !path.metadata().map_err(io)?.is_file() {
            return Err(StoreError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut head = [0; FileHeader::LEGACY_LEN];
        let n = read_at(&file, &mut head, 0).map_err(io)?;
        let head = head.get(..n).unwrap_or_default();
        let (header, legacy) = FileHeader::decode(head, path, len)?;
        let mut source = Source::Read(file);
        let mut scan = Scan::new(&source, &header, len).map_err(io)?;
        scan.find_blocks(&source, &header).map_err(io)?;
        if let (true, Source::Read(file)) = (scan.is_finished, &source)
            && let Ok(map) = Map::open(file)
        {
            map.read_ahead();
            source = Source::Mapped(map);
        }
        let (ident, statistics) = match legacy {
            Some(l) => (Some(l.ident), header.is_closed().then_some(l.statistics)),
            None => (scan.appendix.ident.take(), scan.appendix.statistics),
        };
        let ident = ident.map_or_else(|| "none".into(), |i| String::from_utf8_lossy(&i).into());
        let state = scan.state(&header);
        let mut all = Self {
            path: path.to_owned(),
            source,
            header,
            ident,
            statistics,
            blocks: scan.blocks,
            state,
            maps: legacy::Maps::default(),
            unreadable_blocks: AtomicU64::new(0),
            damaged_blocks: AtomicU64::new(0),
        };
        if all.blocks.iter().any(|b| b.kind == BlockKind::Legacy) {
            all.collect_maps();
        }
        Ok(all)
    }

    /// Where the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its header says.
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Layout version: 1 or 2.
    pub const fn layout(&self) -> u16 {
        self.header.layout
    }

    /// Name of the source; "none" where the file has none.
    pub fn ident(&self) -> &str {
        &self.ident
    }

    /// Sums by protocol group, and times. `None` if the file does not say, as salvaged ones
    /// mostly do not.
    pub fn totals(&self) -> Option<&Totals> {
        self.statistics.as_ref().map(|s| &s.totals)
    }

    /// All sums that the file has of itself. `None` as with [`totals`](Self::totals).
    pub const fn statistics(&self) -> Option<&Statistics> {
        self.statistics.as_ref()
    }

    /// The data blocks in file order, which says nothing about the order of flows (3.1).
    pub fn blocks(&self) -> &[BlockRef] {
        &self.blocks
    }

    /// Whether the file was closed, and what was salvaged if not.
    pub const fn state(&self) -> &FileState {
        &self.state
    }

    /// Damage met so far while loading blocks.
    pub fn damage(&self) -> Damage {
        Damage {
            unreadable_blocks: self.unreadable_blocks.load(Ordering::Relaxed),
            damaged_blocks: self.damaged_blocks.load(Ordering::Relaxed),
        }
    }

    /// The payload of a block, unpacked.
    fn payload<'a>(
        &'a self,
        block: &BlockRef,
        raw: &'a mut Vec<u8>,
        unpacker: &'a mut Unpacker,
    ) -> Result<&'a [u8], BlockCause> {
        let size = block.size as usize;
        let packed = self.source.read(block.payload(), size, raw)?;
        if packed.len() < size {
            return Err(BlockCause::Truncated { need: size, have: packed.len() });
        }
        match self.header.compression {
            Compression::None => Ok(packed),
            method => unpacker.unpack(method, packed).ok_or(BlockCause::Unpack { method, size }),
        }
    }

    /// Extension maps of all 1.6 blocks: records of one block may need the map of an earlier one,
    /// and blocks are loaded in any order.
    fn collect_maps(&mut self) {
        let (mut raw, mut unpacker) = (Vec::new(), Unpacker::default());
        let mut maps = legacy::Maps::default();
        for (n, block) in self.blocks.iter().enumerate() {
            if block.kind == BlockKind::Legacy
                && let Ok(payload) = self.payload(block, &mut raw, &mut unpacker)
            {
                maps.collect(n, payload);
            }
        }
        self.maps = maps;
    }
}

/// Finding the blocks of a file.
struct Scan {
    blocks: Vec<BlockRef>,
    appendix: Appendix,
    /// Whether header and appendix agree that nobody is writing.
    is_finished: bool,
    /// Where the data blocks end, if known.
    data_end: Option<u64>,
    len: u64,
    lost: u64,
    broken_at: Option<u64>,
}

impl Scan {
    /// Blocks that are kept track of: 4 TiB of usual ones, 100 MB of memory.
    const MAX_BLOCKS: usize = 1 << 22;
    /// Appendix blocks that are looked at; every program writes one.
    const MAX_APPENDIX: u16 = 16;
    /// Headers that a search for the next block looks at.
    const MAX_STEPS: usize = 1 << 23;

    fn new(source: &Source, header: &FileHeader, len: u64) -> std::io::Result<Self> {
        let appendix = match header.appendix_blocks {
            0 => Appendix::default(),
            _ => read_appendix(source, header, len)?,
        };
        let data_end = (!appendix.is_empty()).then_some(header.appendix);
        let is_finished = match header.appendix_blocks {
            0 => header.blocks > 0 && header.appendix == 0,
            _ => data_end.is_some(),
        };
        Ok(Self {
            blocks: Vec::new(),
            appendix,
            is_finished,
            data_end,
            len,
            lost: 0,
            broken_at: None,
        })
    }

    /// Follows the chain of block headers.
    fn find_blocks(&mut self, source: &Source, header: &FileHeader) -> std::io::Result<()> {
        let end = self.data_end.unwrap_or(self.len);
        // Without an appendix that says where the data end, only the count tells blocks from what
        // may follow.
        let max = match self.data_end {
            None if header.is_closed() => header.blocks as usize,
            _ => Self::MAX_BLOCKS,
        };
        let mut at = header.data_start();
        let mut buffer = Vec::new();
        while at < end && self.blocks.len() < max.min(Self::MAX_BLOCKS) {
            match self.block_at(source, at, end, &mut buffer)? {
                Some(block) => {
                    at = block.end();
                    self.blocks.push(block);
                }
                None => {
                    self.broken_at.get_or_insert(at);
                    at = self.skip_damage(source, at, end)?;
                }
            }
        }
        if self.data_end.is_some() || !header.is_closed() {
            self.lost += end.saturating_sub(at);
        }
        Ok(())
    }

    /// The block at `at`. One that looks odd counts if another or the end follows it: then its
    /// size, at least, is right.
    fn block_at(
        &self,
        source: &Source,
        at: u64,
        end: u64,
        buffer: &mut Vec<u8>,
    ) -> std::io::Result<Option<BlockRef>> {
        let head = source.read(at, BlockRef::HEADER_LEN, buffer)?;
        let Some(block) = BlockRef::decode(head, at).filter(|b| b.end() <= end) else {
            return Ok(None);
        };
        if BlockRef::plausible(head, at, end).is_some() || block.end() == end {
            return Ok(Some(block));
        }
        let next = source.read(block.end(), BlockRef::HEADER_LEN, buffer)?;
        Ok(BlockRef::plausible(next, block.end(), end).map(|_| block))
    }

    /// Where the chain goes on behind a damaged header at `at`.
    fn skip_damage(&mut self, source: &Source, at: u64, end: u64) -> std::io::Result<u64> {
        if self.data_end.is_none() {
            self.lost += end - at;
            return Ok(end);
        }
        // It may be the block before that has the wrong size, so the search begins in there.
        let from = self.blocks.last().map_or(at, BlockRef::payload);
        let next = search(source, from, at, end)?.unwrap_or(end);
        match self.blocks.last_mut() {
            Some(before) if next < at => before.size = (next - before.payload()) as u32,
            _ => self.lost += next - at,
        }
        Ok(next)
    }

    fn state(&self, header: &FileHeader) -> FileState {
        let offset = header.appendix;
        let reason = if !header.is_closed() {
            SalvageReason::NotClosed
        } else if self.data_end.is_none() && (header.appendix_blocks > 0 || offset > 0) {
            SalvageReason::Appendix { offset }
        } else if let Some(offset) = self.broken_at {
            SalvageReason::Chain { offset }
        } else if self.blocks.len() != header.blocks as usize {
            SalvageReason::Count { header: header.blocks }
        } else {
            return FileState::Closed;
        };
        FileState::Salvaged { complete_blocks: self.blocks.len(), bytes_lost: self.lost, reason }
    }
}

/// The appendix, empty if there is none where the header says.
fn read_appendix(source: &Source, header: &FileHeader, len: u64) -> std::io::Result<Appendix> {
    let (mut head, mut raw, mut unpacker) = (Vec::new(), Vec::new(), Unpacker::default());
    let mut all = Appendix::default();
    let mut at = header.appendix;
    for _ in 0..header.appendix_blocks.min(Scan::MAX_APPENDIX) {
        if at >= len {
            break;
        }
        let bytes = source.read(at, BlockRef::HEADER_LEN, &mut head)?;
        let Some(block) = BlockRef::decode(bytes, at) else { break };
        if at < header.data_start() || block.end() > len || block.kind != BlockKind::Records {
            break;
        }
        let packed = source.read(block.payload(), block.size as usize, &mut raw)?;
        let payload = match header.compression {
            Compression::None => Some(packed),
            method => unpacker.unpack(method, packed),
        };
        let Some(payload) = payload else { break };
        let part = Appendix::decode(payload);
        all.ident = part.ident.or(all.ident);
        all.statistics = part.statistics.or(all.statistics);
        at = block.end();
    }
    Ok(all)
}

/// The first place behind `from` where the chain of headers leads exactly to `end`. The header at
/// `damaged` is known not to; its block reaches at most one payload far.
fn search(source: &Source, from: u64, damaged: u64, end: u64) -> std::io::Result<Option<u64>> {
    let mut window = Vec::new();
    let mut buffer = Vec::new();
    let len = (damaged - from) as usize + 2 * BlockRef::HEADER_LEN + MAX_PAYLOAD;
    let window = source.read(from, len, &mut window)?;
    let mut steps = 0;
    for (i, head) in window.windows(BlockRef::HEADER_LEN).enumerate().skip(1) {
        let at = from + i as u64;
        let Some(mut block) = BlockRef::plausible(head, at, end) else { continue };
        while block.end() < end {
            steps += 1;
            if steps > Scan::MAX_STEPS {
                return Ok(None);
            }
            let head = source.read(block.end(), BlockRef::HEADER_LEN, &mut buffer)?;
            match BlockRef::plausible(head, block.end(), end) {
                Some(next) => block = next,
                None => break,
            }
        }
        if block.end() == end {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Turns blocks into rows. Each thread has one and keeps it: its buffers and the shapes it has met
/// serve all blocks of all files.
pub struct BlockReader {
    raw: Vec<u8>,
    unpacker: Unpacker,
    converter: legacy::Converter,
    walker: Walker,
    index: Vec<RowRef>,
    meta: Vec<MetaRecord>,
}

impl Default for BlockReader {
    fn default() -> Self {
        Self::new()
    }
}

/// One loaded block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its flows, in layout 2 whatever the file has.
    pub rows: Rows<'a>,
    /// What it says about exporters.
    pub meta: &'a [MetaRecord],
    /// What was passed over.
    pub skipped: Skipped,
    /// Records that the block's header counts.
    pub records_declared: u32,
    /// Records that were found.
    pub records: u32,
    /// Octets of the payload, unpacked.
    pub bytes: usize,
}

impl Block<'_> {
    /// One line on what is damaged in the block, `None` if nothing is.
    pub fn damage(&self) -> Option<String> {
        let s = &self.skipped;
        if !self.is_damaged() {
            return None;
        }
        Some(format!(
            "damaged block: {} of {} records found, {} malformed, {} beyond the limit of shapes, \
             {} octets at its end unreadable",
            self.records, self.records_declared, s.malformed, s.too_many_shapes, s.tail
        ))
    }

    const fn is_damaged(&self) -> bool {
        let s = &self.skipped;
        self.records != self.records_declared
            || s.malformed > 0
            || s.tail > 0
            || s.too_many_shapes > 0
    }
}

impl BlockReader {
    /// A reader that has met no shapes yet.
    pub fn new() -> Self {
        Self {
            raw: Vec::new(),
            unpacker: Unpacker::default(),
            converter: legacy::Converter::default(),
            walker: Walker::new(),
            index: Vec::new(),
            meta: Vec::new(),
        }
    }

    /// Loads one block of a file. Rows of an uncompressed, closed file are borrowed from it; others
    /// lie in the reader's buffers until the next call.
    ///
    /// # Errors
    /// If nothing of the block can be read. Other blocks are not affected; damage to a part of the
    /// block is told by [`Block::damage`].
    pub fn load<'a>(
        &'a mut self,
        file: &'a FlowFile,
        number: usize,
    ) -> Result<Block<'a>, BlockError> {
        let fail = |offset| {
            file.unreadable_blocks.fetch_add(1, Ordering::Relaxed);
            move |cause| BlockError { offset, block: number, cause }
        };
        let Some(block) = file.blocks.get(number) else {
            return Err(fail(0)(BlockCause::NoSuchBlock(file.blocks.len())));
        };
        let Self { raw, unpacker, converter, walker, index, meta } = self;
        index.clear();
        meta.clear();
        let mut skipped = Skipped::default();
        let (bytes, records, len) = match block.kind {
            BlockKind::Array => (&[][..], block.records, 0),
            BlockKind::Unknown(n) => {
                return Err(fail(block.offset)(BlockCause::UnknownType(n)));
            }
            kind => {
                let payload = file
                    .payload(block, raw, unpacker)
                    .map_err(|cause| fail(block.offset)(cause))?;
                let mut found = Found { index, meta, skipped: &mut skipped };
                match kind {
                    BlockKind::Legacy => {
                        let n = converter.convert(&file.maps, number, payload, found.skipped);
                        walker.walk(converter.converted(), &mut found);
                        (converter.converted(), n, payload.len())
                    }
                    _ => (payload, walker.walk(payload, &mut found), payload.len()),
                }
            }
        };
        let rows = Rows { bytes, index, table: walker.table() };
        let loaded =
            Block { rows, meta, skipped, records_declared: block.records, records, bytes: len };
        if loaded.is_damaged() {
            file.damaged_blocks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(loaded)
    }
}
