//! Reading files: turning each block into rows, and going on where one is damaged.
//!
//! A block costs what is damaged in it and nothing else.

use crate::appendix::Statistics;
use crate::block::{BlockKind, BlockRef};
use crate::compress::Compression;
use crate::crypt::{FileKey, Passphrase};
use crate::directory::Directory;
use crate::error::{BlockCause, BlockError, StoreError};
use crate::header::{FileHeader, More};
use crate::layout::u32_at;
use crate::layout3::FLOWS_HEAD_LEN;
use crate::legacy;
use crate::meta::MetaRecord;
use crate::meta3;
use crate::payload3::{self, Buffers};
use crate::row::{Found, Skipped, Walker};
use crate::scan::Scan;
use crate::source::{Source, read_at};
use record::{RowRef, Rows, Totals};
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use sys::map::Map;

/// An opened file: its header, where its blocks are, and its octets. Shared by all threads that
/// read it.
#[derive(Debug)]
pub struct FlowFile {
    path: PathBuf,
    /// Of the file when it was opened.
    metadata: Metadata,
    source: Source,
    header: FileHeader,
    ident: String,
    statistics: Option<Statistics>,
    appendix_records: u32,
    blocks: Vec<BlockRef>,
    state: FileState,
    maps: legacy::Maps,
    key: Option<FileKey>,
    ident_at: Option<u64>,
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
    /// There is no sound directory where header and footer say, so the file was cut short or
    /// damaged (layout 3).
    Directory {
        /// Where it should be.
        offset: u64,
    },
    /// The directory leaves out octets between its blocks: something was not written, or the
    /// directory was (layout 3).
    Gap {
        /// Where the first ones are.
        offset: u64,
    },
    /// The file does not end with a footer, so what the directory says cannot be checked
    /// (layout 3).
    Footer,
    /// Header and directory of an encrypted file are not those that were sealed: blocks may be
    /// missing (layout 3).
    Seal,
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
            SalvageReason::Directory { offset } => format!("no directory at offset {offset}"),
            SalvageReason::Gap { offset } => format!("nothing lists the octets at offset {offset}"),
            SalvageReason::Footer => "no footer at its end".to_owned(),
            SalvageReason::Seal => "header or directory are not those that were sealed".to_owned(),
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

/// What reading a file may need beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Passphrase for encrypted files of layout 3; others do not look at it.
    pub key: Option<Passphrase>,
}

impl FlowFile {
    /// Opens a file that is not encrypted: [`open_with`](Self::open_with) without options.
    ///
    /// # Errors
    /// As there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// Opens a file and finds its blocks. Closed files without compression are mapped, others read.
    ///
    /// For an encrypted file the key is made from its passphrase, which takes about a tenth of a
    /// second and 64 MiB.
    ///
    /// # Errors
    /// If it cannot be opened, is no flow file of layout 1 to 3, or is encrypted and there is no
    /// passphrase or another one. Damage behind the header is no error: see
    /// [`state`](Self::state).
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let io = |e| StoreError::io("open", path)(e);
        // Asked before opening, because opening a pipe waits for its writer.
        if !path.metadata().map_err(io)?.is_file() {
            return Err(StoreError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let len = metadata.len();
        let mut head = [0; FileHeader::LEGACY_LEN];
        let n = read_at(&file, &mut head, 0).map_err(io)?;
        let head = head.get(..n).unwrap_or_default();
        let (header, more) = FileHeader::decode(head, path, len)?;
        let mut all = Self {
            path: path.to_owned(),
            metadata,
            source: Source::Read(file),
            header,
            ident: String::new(),
            statistics: None,
            appendix_records: 0,
            blocks: Vec::new(),
            state: FileState::Closed,
            maps: legacy::Maps::default(),
            key: None,
            ident_at: None,
            unreadable_blocks: AtomicU64::new(0),
            damaged_blocks: AtomicU64::new(0),
        };
        all.find_blocks(more, len, options)?;
        if all.blocks.iter().any(|b| b.kind == BlockKind::Legacy) {
            all.collect_maps();
        }
        Ok(all)
    }

    /// Finds the blocks, and what the file says of itself.
    fn find_blocks(
        &mut self,
        more: More,
        len: u64,
        options: &ReadOptions,
    ) -> Result<(), StoreError> {
        let io = |e| StoreError::io("open", &self.path)(e);
        let (ident, is_finished) = match more {
            More::Layout3(head) => {
                let pass = options.key.as_ref();
                let Self { source, path, header, .. } = self;
                let found = Directory::find(source, path, header, &head, len, pass)?;
                self.blocks = found.blocks;
                self.statistics = found.statistics;
                self.key = found.key;
                self.ident_at = found.ident_at;
                self.state = found.state;
                (found.ident, self.state == FileState::Closed && self.key.is_none())
            }
            more => {
                let mut scan = Scan::new(&self.source, &self.header, len).map_err(io)?;
                scan.find_blocks(&self.source, &self.header).map_err(io)?;
                self.state = scan.state(&self.header);
                self.blocks = scan.blocks;
                let ident = match more {
                    More::Layout1(l) => {
                        self.statistics = self.header.is_closed().then_some(l.statistics);
                        Some(l.ident)
                    }
                    _ => {
                        self.statistics = scan.appendix.statistics;
                        self.appendix_records = scan.appendix.records;
                        scan.appendix.ident.take()
                    }
                };
                (ident, scan.is_finished)
            }
        };
        self.ident = ident.map_or_else(|| "none".into(), |i| String::from_utf8_lossy(&i).into());
        // Mapped only where rows are borrowed from it: what has to be unpacked is read block by
        // block, which costs a copy of the packed octets and not a page of memory for each of them.
        if let (true, Compression::None, Source::Read(file)) =
            (is_finished, self.header.compression, &self.source)
            && let Ok(map) = Map::open(file)
        {
            map.read_ahead();
            self.source = Source::Mapped(map);
        }
        Ok(())
    }

    /// Where the file was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said of it when it was opened: whoever replaces it, or knows something about
    /// it, looks whether that still holds.
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What its header says.
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// Layout version: 1, 2 or 3.
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

    /// Records of the appendix, which only layout 2 has: ident, statistics, and what else is there.
    pub const fn appendix_records(&self) -> u32 {
        self.appendix_records
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
    pub(crate) fn payload<'a>(
        &'a self,
        block: &BlockRef,
        buffers: &'a mut Buffers,
    ) -> Result<&'a [u8], BlockCause> {
        if self.header.layout == 3 {
            let size = block.size as usize + usize::from(block.header_len);
            return payload3::load(&self.source, self.key.as_ref(), block.offset, size, buffers);
        }
        let Buffers { raw, unpacker, .. } = buffers;
        let packed = self.packed(block, raw)?;
        match self.header.compression {
            Compression::None => Ok(packed),
            method => unpacker
                .unpack(method, packed)
                .ok_or(BlockCause::Unpack { method, size: packed.len() }),
        }
    }

    /// The payload of a block as it is on disk.
    pub(crate) fn packed<'a>(
        &'a self,
        block: &BlockRef,
        raw: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], BlockCause> {
        let size = block.size as usize;
        let packed = self.source.read(block.payload(), size, raw)?;
        if packed.len() < size {
            return Err(BlockCause::Truncated { need: size, have: packed.len() });
        }
        Ok(packed)
    }

    /// Octets of the file from `offset` on.
    pub(crate) fn read_exact(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        let octets = self.source.read(offset, out.len(), &mut buffer)?;
        if octets.len() < out.len() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(octets);
        Ok(())
    }

    /// Copies all octets that it had when it was opened.
    pub(crate) fn copy_to(&self, mut out: &File) -> std::io::Result<()> {
        const STEP: usize = 1 << 20;
        let (mut at, mut buffer) = (0, Vec::new());
        while at < self.metadata.len() {
            let step = usize::try_from(self.metadata.len() - at).unwrap_or(STEP).min(STEP);
            let octets = self.source.read(at, step, &mut buffer)?;
            if octets.len() < step {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            out.write_all(octets)?;
            at += step as u64;
        }
        Ok(())
    }

    /// Where layout 3 has the block with the ident.
    pub(crate) const fn ident_at(&self) -> Option<u64> {
        self.ident_at
    }

    /// Extension maps of all 1.6 blocks: records of one block may need the map of an earlier one,
    /// and blocks are loaded in any order.
    fn collect_maps(&mut self) {
        let mut buffers = Buffers::default();
        let mut maps = legacy::Maps::default();
        for (n, block) in self.blocks.iter().enumerate() {
            if block.kind == BlockKind::Legacy
                && let Ok(payload) = self.payload(block, &mut buffers)
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
    buffers: Buffers,
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
    /// Its flows. Those of layout 1 are converted to layout 2, others lie as they are.
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
            buffers: Buffers::default(),
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
        let Self { buffers, converter, walker, index, meta } = self;
        index.clear();
        meta.clear();
        let mut skipped = Skipped::default();
        let payload = match block.kind {
            BlockKind::Unknown(n) => {
                return Err(fail(block.offset)(BlockCause::UnknownType(n)));
            }
            BlockKind::Array if file.layout() != 3 => &[][..],
            BlockKind::Other => &[][..],
            _ => {
                let payload = file.payload(block, buffers);
                payload.map_err(|cause| fail(block.offset)(cause))?
            }
        };
        let mut found = Found { index, meta, skipped: &mut skipped };
        let (bytes, (records_declared, records)) = match block.kind {
            BlockKind::Records => (payload, (block.records, walker.walk(payload, &mut found))),
            BlockKind::Legacy => {
                let n = converter.convert(&file.maps, number, payload, found.skipped);
                walker.walk(converter.converted(), &mut found);
                (converter.converted(), (block.records, n))
            }
            BlockKind::Flows => {
                let declared = u32_at(payload, 0).unwrap_or(0);
                let records = payload.get(FLOWS_HEAD_LEN..).unwrap_or_default();
                (records, (declared, walker.walk(records, &mut found)))
            }
            BlockKind::Exporters => (&[][..], meta3::exporters(payload, found.meta, found.skipped)),
            BlockKind::Array if file.layout() == 3 => {
                (&[][..], meta3::array(payload, found.meta, found.skipped))
            }
            BlockKind::Array | BlockKind::Other | BlockKind::Unknown(_) => {
                (&[][..], (block.records, block.records))
            }
        };
        let len = payload.len();
        let rows = Rows { bytes, index, table: walker.table() };
        let loaded = Block { rows, meta, skipped, records_declared, records, bytes: len };
        if loaded.is_damaged() {
            file.damaged_blocks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(loaded)
    }
}
