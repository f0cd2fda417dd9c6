//! Compressing files again in place, block by block, without looking at their records.

use crate::block::BlockRef;
use crate::compress::{Packer, Packing};
use crate::error::{BlockError, StoreError};
use crate::header::FileHeader;
use crate::layout::MAX_PAYLOAD;
use crate::payload3::Buffers;
use crate::reader::{BlockReader, FlowFile};
use crate::replace::{Replacement, check_settled, read_error};
use crate::rewrite::rewrite;
use crate::set_ident::appendix_blocks;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

/// What came of compressing a file again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recompressed {
    /// It was compressed that way already, and left alone.
    Already,
    /// A file that is compressed that way has its name now.
    Done {
        /// Octets of the file before.
        before: u64,
        /// Octets of the file now.
        after: u64,
    },
}

/// Compresses a file again under its name, for option `-J`. Order of blocks, records, ident,
/// statistics, time of creation, owner, mode and time of change stay. Files of layouts 1 and 3
/// become files of layout 2.
///
/// A file that has this method already is left alone, whatever its level was: files do not say.
///
/// # Errors
/// [`StoreError::Refused`] if the file is being written or damaged, or changed meanwhile;
/// [`StoreError::NotKept`] if layout 2 has no place for something in it; others if it cannot be read
/// or written. In either case it stays as it was.
pub fn recompress(
    path: &Path,
    packing: Packing,
    threads: usize,
) -> Result<Recompressed, StoreError> {
    let file = FlowFile::open(path)?;
    check_settled(&file)?;
    if file.layout() == 2 && file.header().compression == packing.method {
        return Ok(Recompressed::Already);
    }
    let replacement = Replacement::of(&file)?;
    let to = replacement.temporary();
    if file.layout() == 2 {
        write(&file, replacement.file(), to, packing, threads.max(1))?;
    } else {
        convert(&file, &replacement, packing)?;
    }
    let after = replacement.file().metadata().map_err(StoreError::io("look at", to))?.len();
    replacement.finish()?;
    Ok(Recompressed::Done { before: file.metadata().len(), after })
}

/// Writes a file of another layout as one of layout 2. Nothing may be lost on the way.
fn convert(file: &FlowFile, replacement: &Replacement, packing: Packing) -> Result<(), StoreError> {
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(file, n).map_err(|e| of_block(file, e))?;
        if block.damage().is_some() {
            let path = file.path().to_owned();
            return Err(StoreError::Refused { path, why: "it is damaged; repair it first" });
        }
    }
    let (_, not_kept) = rewrite(file, replacement, packing, file.statistics())?;
    match not_kept.is_empty() {
        true => Ok(()),
        false => Err(StoreError::NotKept { path: file.path().to_owned(), what: not_kept }),
    }
}

fn of_block(file: &FlowFile, source: BlockError) -> StoreError {
    StoreError::Block { path: file.path().to_owned(), source }
}

/// Blocks that a thread packs before they are written.
const BATCH: usize = 4;

/// Writes all blocks of `file` to `out`, an empty file at `to`.
fn write(
    file: &FlowFile,
    out: &File,
    to: &Path,
    packing: Packing,
    threads: usize,
) -> Result<(), StoreError> {
    let fail = |e| StoreError::io("write", to)(e);
    let mut out = BufWriter::new(out);
    let old = *file.header();
    out.write_all(&[0; FileHeader::LEN]).map_err(fail)?;
    let mut offset = FileHeader::LEN as u64;
    let appendix = appendix_blocks(file)?;
    for (first, blocks) in file.blocks().chunks(BATCH * threads).enumerate() {
        for packed in pack(file, first * BATCH * threads, blocks, packing, threads)? {
            out.write_all(&packed).map_err(fail)?;
            offset += packed.len() as u64;
        }
    }
    // A file without an appendix says so with a 0.
    let at = if appendix.is_empty() { 0 } else { offset };
    let new = FileHeader { compression: packing.method, appendix: at, ..old };
    for (block, payload) in &appendix {
        let mut packer = Packer::new(packing).map_err(fail)?;
        let packed = packer.pack(payload).map_err(fail)?;
        out.write_all(&header_of(file, block, packed.len())?).map_err(fail)?;
        out.write_all(packed).map_err(fail)?;
    }
    out.rewind().map_err(fail)?;
    out.write_all(&new.encode()).map_err(fail)?;
    out.into_inner().map_err(|e| fail(e.into_error()))?.sync_all().map_err(fail)
}

/// Packs some blocks, header included, by several threads, and returns them in order.
fn pack(
    file: &FlowFile,
    first: usize,
    blocks: &[BlockRef],
    packing: Packing,
    threads: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let share = blocks.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = blocks
            .chunks(share)
            .enumerate()
            .map(|(i, part)| scope.spawn(move || pack_part(file, first + i * share, part, packing)))
            .collect();
        let mut all = Vec::with_capacity(blocks.len());
        for part in parts {
            let died = |_| StoreError::io("pack", file.path())(std::io::ErrorKind::Other.into());
            all.extend(part.join().map_err(died)??);
        }
        Ok(all)
    })
}

fn pack_part(
    file: &FlowFile,
    first: usize,
    blocks: &[BlockRef],
    packing: Packing,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let fail = |e| StoreError::io("pack", file.path())(e);
    let mut packer = Packer::new(packing).map_err(fail)?;
    let mut buffers = Buffers::default();
    let mut all = Vec::with_capacity(blocks.len());
    for (i, block) in blocks.iter().enumerate() {
        let wrong =
            |cause| of_block(file, BlockError { offset: block.offset, block: first + i, cause });
        let payload = file.payload(block, &mut buffers).map_err(wrong)?;
        let packed = packer.pack(payload).map_err(fail)?;
        if packed.len() > MAX_PAYLOAD {
            let path = file.path().to_owned();
            let why = "a block of it does not compress, and would be longer than 5 MiB";
            return Err(StoreError::Refused { path, why });
        }
        let mut out = header_of(file, block, packed.len())?.to_vec();
        out.extend_from_slice(packed);
        all.push(out);
    }
    Ok(all)
}

/// The header of a block with another size.
fn header_of(
    file: &FlowFile,
    block: &BlockRef,
    size: usize,
) -> Result<[u8; BlockRef::HEADER_LEN], StoreError> {
    let mut head = [0; BlockRef::HEADER_LEN];
    file.read_exact(block.offset, &mut head).map_err(read_error(file.path()))?;
    crate::layout::put(&mut head, 4..8, &(size as u32).to_le_bytes());
    Ok(head)
}
