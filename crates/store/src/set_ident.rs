//! Changing the name of the source that a file carries.

use crate::appendix::Appendix;
use crate::block::BlockRef;
use crate::compress::Packer;
use crate::error::{BlockError, StoreError};
use crate::header::FileHeader;
use crate::layout::{record_type, split_record};
use crate::layout3::{self, BlockHead};
use crate::payload3::Buffers;
use crate::reader::FlowFile;
use crate::replace::{Replacement, check_settled, read_error};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Longest ident: what every reader of every layout takes.
const MAX: usize = 121;
/// Octets for the ident in layouts 1 and 3.
const ROOM: usize = 128;
/// Where layout 1 has it.
const LAYOUT_1_AT: u64 = 12;

/// Gives a file another ident, for option `-i`. Everything else of it stays as it is, and whoever
/// opens it meanwhile finds the old file or the new one.
///
/// # Errors
/// [`StoreError::BadIdent`] if it is empty, has blanks or control characters, or is longer than 121
/// octets; [`StoreError::Refused`] if the file is being written, damaged or encrypted; others if it
/// cannot be read or written.
pub fn set_ident(path: &Path, ident: &str) -> Result<(), StoreError> {
    check(ident)?;
    let file = FlowFile::open(path).map_err(|e| match e {
        StoreError::KeyNeeded(path) => {
            StoreError::Refused { path, why: "it is encrypted, and its ident sealed" }
        }
        e => e,
    })?;
    check_settled(&file)?;
    let replacement = Replacement::of(&file)?;
    let (to, out) = (replacement.temporary(), replacement.file());
    file.copy_to(out).map_err(StoreError::io("copy", path))?;
    match file.layout() {
        1 => out.write_all_at(&padded(ident), LAYOUT_1_AT).map_err(StoreError::io("write", to))?,
        3 => patch_block(&file, ident, out, to)?,
        _ => put_appendix(&file, ident, out, to)?,
    }
    replacement.finish()
}

fn check(ident: &str) -> Result<(), StoreError> {
    let why = match ident {
        "" => "is empty",
        i if i.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            "has blanks or control characters; write `_` or `-` instead"
        }
        i if i.len() > MAX => "is longer than 121 octets",
        _ => return Ok(()),
    };
    Err(StoreError::BadIdent { ident: ident.to_owned(), why })
}

fn padded(ident: &str) -> [u8; ROOM] {
    let mut out = [0; ROOM];
    crate::layout::put(&mut out, 0..ident.len(), ident.as_bytes());
    out
}

/// The blocks of the appendix of a file of layout 2, each with its payload, unpacked.
pub(crate) fn appendix_blocks(file: &FlowFile) -> Result<Vec<(BlockRef, Vec<u8>)>, StoreError> {
    let mut buffers = Buffers::default();
    let mut at = file.header().appendix;
    let mut all = Vec::new();
    for n in 0..usize::from(file.header().appendix_blocks) {
        let mut head = [0; BlockRef::HEADER_LEN];
        file.read_exact(at, &mut head).map_err(read_error(file.path()))?;
        let path = || file.path().to_owned();
        let damaged = "its appendix is damaged; repair it first";
        let block = BlockRef::decode(&head, at)
            .ok_or_else(|| StoreError::Refused { path: path(), why: damaged })?;
        let payload = file.payload(&block, &mut buffers).map_err(|cause| StoreError::Block {
            path: path(),
            source: BlockError { offset: at, block: file.blocks().len() + n, cause },
        })?;
        all.push((block, payload.to_vec()));
        at = block.end();
    }
    Ok(all)
}

/// Layout 2: the appendix is written anew, and the file is as long as that needs.
fn put_appendix(file: &FlowFile, ident: &str, out: &File, to: &Path) -> Result<(), StoreError> {
    let fail = |e| StoreError::io("write", to)(e);
    let mut payload = Appendix::ident_record(ident.as_bytes());
    let mut records = 1;
    for (_, old) in appendix_blocks(file)? {
        let mut rest = &*old;
        while let Some((kind, record, next)) = split_record(rest) {
            if kind != record_type::IDENT {
                payload.extend_from_slice(record);
                records += 1;
            }
            rest = next;
        }
    }
    let header = file.header();
    let mut packer = Packer::new(header.compression.into()).map_err(fail)?;
    let packed = packer.pack(&payload).map_err(fail)?;
    let mut block = BlockRef::encode_header(records, packed.len() as u32).to_vec();
    block.extend_from_slice(packed);
    let at = match header.appendix_blocks {
        0 => file.blocks().last().map_or(FileHeader::LEN as u64, BlockRef::end),
        _ => header.appendix,
    };
    out.write_all_at(&block, at).map_err(fail)?;
    out.set_len(at + block.len() as u64).map_err(fail)?;
    let header = FileHeader { appendix: at, appendix_blocks: 1, ..*header };
    out.write_all_at(&header.encode(), 0).map_err(fail)
}

/// Layout 3: a block of its own with room for the longest ident.
fn patch_block(file: &FlowFile, ident: &str, out: &File, to: &Path) -> Result<(), StoreError> {
    let refused = |why| StoreError::Refused { path: file.path().to_owned(), why };
    let at = file.ident_at().ok_or_else(|| refused("it has no ident, nor room for one"))?;
    let mut octets = [0; BlockHead::LEN];
    file.read_exact(at, &mut octets).map_err(read_error(file.path()))?;
    let is_bare = BlockHead::decode(&octets).is_some_and(|h| {
        h.is_plausible() && h.compression < 2 && h.raw_payload() == ROOM && h.encryption == 0
    });
    if !is_bare {
        return Err(refused("its ident has no room for another; write it anew with -w"));
    }
    let payload = padded(ident);
    let sum = match octets.last_chunk() {
        Some([0, 0, 0, 0, 0, 0, 0, 0]) | None => 0,
        Some(_) => layout3::sum_of(&payload),
    };
    crate::layout::put(&mut octets, 16..24, &sum.to_le_bytes());
    let fail = |e| StoreError::io("write", to)(e);
    out.write_all_at(&octets, at).map_err(fail)?;
    out.write_all_at(&payload, at + BlockHead::LEN as u64).map_err(fail)
}
