//! Finding the blocks of a file, also of one that was never closed or is damaged.
//!
//! The chain of block headers is the one thing all of a file hangs on. Where it breaks in a closed
//! file, the next place is searched from which the chain leads exactly to the appendix. A file
//! that was never closed, because its writer died or is still at work, is followed up to its last
//! complete block (2.2).

use crate::appendix::Appendix;
use crate::block::{BlockKind, BlockRef};
use crate::compress::{Compression, Unpacker};
use crate::header::FileHeader;
use crate::layout::MAX_PAYLOAD;
use crate::reader::{FileState, SalvageReason};
use crate::source::Source;

/// Finding the blocks of a file.
pub(crate) struct Scan {
    pub(crate) blocks: Vec<BlockRef>,
    pub(crate) appendix: Appendix,
    /// Whether header and appendix agree that nobody is writing.
    pub(crate) is_finished: bool,
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

    pub(crate) fn new(source: &Source, header: &FileHeader, len: u64) -> std::io::Result<Self> {
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
    pub(crate) fn find_blocks(
        &mut self,
        source: &Source,
        header: &FileHeader,
    ) -> std::io::Result<()> {
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

    pub(crate) fn state(&self, header: &FileHeader) -> FileState {
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
        all.records = all.records.saturating_add(part.records);
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
