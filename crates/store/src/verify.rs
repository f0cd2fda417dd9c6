//! A look at every block of a file, as data: what `-v` prints.

use crate::block::{BlockKind, BlockRef};
use crate::error::{BlockError, StoreError};
use crate::header::FileHeader;
use crate::reader::{BlockReader, FileState, FlowFile, ReadOptions};
use crate::row::Skipped;
use std::path::{Path, PathBuf};

/// What a file is and what is wrong with it.
#[derive(Debug)]
pub struct Verification {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub len: u64,
    /// What its header says.
    pub header: FileHeader,
    /// Name of the source.
    pub ident: String,
    /// Whether it was closed.
    pub state: FileState,
    /// Each data block.
    pub blocks: Vec<BlockCheck>,
    /// Flows found in all blocks.
    pub flows: u64,
    /// Records of all kinds found in all data blocks.
    pub records: u64,
    /// Records of the appendix, which only layout 2 has.
    pub appendix_records: u32,
    /// What the appendix counts as flows, `None` without one.
    pub flows_in_appendix: Option<u64>,
}

/// What was found in one block.
#[derive(Debug)]
pub struct BlockCheck {
    /// Where it is and what its header says.
    pub block: BlockRef,
    /// What is in it, or why nothing could be read.
    pub result: Result<BlockContent, BlockError>,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockContent {
    /// Records of all kinds.
    pub records: u32,
    /// Flows among them.
    pub flows: u32,
    /// Octets unpacked.
    pub bytes: usize,
    /// What was passed over.
    pub skipped: Skipped,
    /// Whether the header's count is right and nothing had to be passed over for being damaged.
    pub is_sound: bool,
}

impl Verification {
    /// Whether nothing is wrong with the file.
    pub fn is_sound(&self) -> bool {
        self.state == FileState::Closed
            && self.blocks.iter().all(|b| b.result.as_ref().is_ok_and(|c| c.is_sound))
    }

    /// Whether there is an appendix that could be read.
    pub const fn has_appendix(&self) -> bool {
        self.appendix_records > 0
    }

    /// Blocks of a type.
    pub fn count(&self, kind: BlockKind) -> usize {
        self.blocks.iter().filter(|b| b.block.kind == kind).count()
    }
}

/// Reads a whole file.
///
/// # Errors
/// If it cannot be opened as a flow file. Whatever is wrong behind the header is in the result.
pub fn verify(path: &Path) -> Result<Verification, StoreError> {
    verify_with(path, &ReadOptions::default())
}

/// As [`verify`], for files that may be encrypted.
///
/// # Errors
/// As there.
pub fn verify_with(path: &Path, options: &ReadOptions) -> Result<Verification, StoreError> {
    FlowFile::open_with(path, options).map(|file| verify_file(&file))
}

/// Reads all of a file that is open.
pub(crate) fn verify_file(file: &FlowFile) -> Verification {
    let mut reader = BlockReader::new();
    let blocks: Vec<BlockCheck> = (0..file.blocks().len())
        .zip(file.blocks())
        .map(|(n, block)| BlockCheck { block: *block, result: check(file, n, &mut reader) })
        .collect();
    let contents = || blocks.iter().filter_map(|b| b.result.as_ref().ok());
    let flows = contents().map(|c| u64::from(c.flows)).sum();
    let records = contents().map(|c| u64::from(c.records)).sum();
    Verification {
        path: file.path().to_owned(),
        len: file.metadata().len(),
        header: *file.header(),
        ident: file.ident().to_owned(),
        state: *file.state(),
        flows,
        records,
        appendix_records: file.appendix_records(),
        flows_in_appendix: file.statistics().map(|s| s.flows),
        blocks,
    }
}

fn check(file: &FlowFile, n: usize, reader: &mut BlockReader) -> Result<BlockContent, BlockError> {
    let block = reader.load(file, n)?;
    Ok(BlockContent {
        records: block.records,
        flows: block.rows.len() as u32,
        bytes: block.bytes,
        skipped: block.skipped,
        is_sound: block.damage().is_none(),
    })
}
