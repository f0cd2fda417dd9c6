//! Reading files: turning each block into rows, and going on where one is damaged.
//!
//! A block costs what is damaged in it and nothing else.

use crate::appendix::Statistics;
use crate::block::{BlockKind, BlockRef};
use crate::compress::{Compression, Unpacker};
use crate::error::{BlockCause, BlockError, StoreError};
use crate::header::FileHeader;
use crate::legacy;
use crate::meta::MetaRecord;
use crate::row::{Found, Skipped, Walker};
use crate::scan::Scan;
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
    /// Whether something that was written can no longer be read. A file that a collector is
    /// writing is not closed, and nothing of it is lost.
    pub const fn is_loss(&self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Salvaged { bytes_lost: 0, reason: SalvageReason::NotClosed, .. }
        )
    }

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
    /// Opens a file and finds its blocks. Closed files without compression are mapped, others read.
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
        // Mapped only where rows are borrowed from it: what has to be unpacked is read block by
        // block, which costs a copy of the packed octets and not a page of memory for each of them.
        if let (true, Compression::None, Source::Read(file)) =
            (scan.is_finished, header.compression, &source)
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
