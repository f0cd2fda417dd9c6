//! A file of any layout written anew as one of layout 2, record by record, and what is not in it then.

use crate::appendix::{Appendix, Statistics};
use crate::block::{BlockKind, BlockRef};
use crate::compress::Packing;
use crate::error::StoreError;
use crate::layout::u32_at;
use crate::layout3::block_type;
use crate::merge::add_stats;
use crate::meta::MetaRecord;
use crate::reader::{Block, BlockReader, FlowFile};
use crate::replace::Replacement;
use crate::writer::{Closed, Writer, WriterOptions};
use record::ExporterStats;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// What can be read of a file, and is not in the one of layout 2 that was made of it: this program
/// does not know it, or that layout has no room for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotKept {
    /// Blocks of messages, of tables and of unknown types.
    pub blocks: u64,
    /// Records, and entries of tables, of unknown types.
    pub records: u64,
    /// Elements of unknown types, in flows that were kept.
    pub elements: u64,
    /// Flows longer than a record may be.
    pub flows: u64,
    /// Flows that were kept without one of their values, or with a part of it.
    pub values: u64,
    /// Exporters and samplers whose number has no place, and names that were cut.
    pub exporters: u64,
    /// Names of sources that were cut: 1 or 0.
    pub idents: u64,
}

impl NotKept {
    /// Whether everything was kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another part of the file lost.
    pub const fn merge(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.records += other.records;
        self.elements += other.elements;
        self.flows += other.flows;
        self.values += other.values;
        self.exporters += other.exporters;
        self.idents += other.idents;
    }

    fn add_closed(&mut self, closed: &Closed) {
        self.flows += closed.dropped.too_long;
        self.values += closed.dropped.cut;
        self.exporters += closed.dropped.meta;
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (n, what) in [
            (self.blocks, "blocks that hold no flows, or of unknown types"),
            (self.records, "records of unknown types"),
            (self.elements, "elements of unknown types"),
            (self.flows, "flows that are too long"),
            (self.values, "flows with a value that does not fit"),
            (self.exporters, "exporters, samplers or names that do not fit"),
            (self.idents, "ident that does not fit"),
        ] {
            if n > 0 {
                write!(f, "{separator}{n} {what}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

/// Writes everything that can be read of a file to a new one of layout 2. Returns how many flows
/// that are, and what is not there. `sums` are the file's own, where they hold for the new one, too.
pub(crate) fn rewrite(
    file: &FlowFile,
    replacement: &Replacement,
    compression: Packing,
    sums: Option<&Statistics>,
) -> Result<(u64, NotKept), StoreError> {
    let header = file.header();
    let created_secs = match header.created_secs {
        0 => replacement.modified_secs(),
        secs => secs,
    };
    let ident = cut(file.ident());
    let mut not_kept = NotKept::default();
    // Octets that are no text were replaced when the file was opened.
    let is_whole = ident == file.ident() && !ident.contains(char::REPLACEMENT_CHARACTER);
    not_kept.idents += u64::from(!is_whole);
    let options = WriterOptions {
        compression,
        ident,
        creator: header.creator,
        created_secs,
        ..WriterOptions::default()
    };
    let path = replacement.temporary();
    let out = replacement.file().try_clone().map_err(StoreError::io("open", path))?;
    let mut writer = Writer::start(path.to_owned(), out, &options)?;
    let mut stats = BTreeMap::new();
    copy(file, &mut writer, &mut stats, &mut not_kept)?;
    let stats: Vec<ExporterStats> = stats.into_values().collect();
    writer.flush()?;
    let closed = writer.close_as(&stats, sums)?;
    if closed.dropped.unwritten > 0 {
        return Err(StoreError::io("write all of", path)(io::ErrorKind::WriteZero.into()));
    }
    not_kept.add_closed(&closed);
    Ok((closed.totals.all_flows(), not_kept))
}

/// Copies the records of all blocks that can be read, and adds up what exporters sent.
fn copy(
    file: &FlowFile,
    writer: &mut Writer,
    stats: &mut BTreeMap<u32, ExporterStats>,
    not_kept: &mut NotKept,
) -> Result<(), StoreError> {
    let mut reader = BlockReader::new();
    for (n, at) in file.blocks().iter().enumerate() {
        not_kept.blocks += u64::from(is_passed_over(file, at));
        let Ok(block) = reader.load(file, n) else { continue };
        add_skipped(file, at, &block, not_kept);
        for record in block.meta {
            match record {
                MetaRecord::Stats(all) => all.iter().for_each(|s| add_stats(stats, *s)),
                other => writer.meta_record(other),
            }
        }
        block.rows.iter().for_each(|row| writer.row(row));
        if let Some(e) = writer.take_error() {
            return Err(e);
        }
    }
    Ok(())
}

/// Whether a block says something that is not read. What helps the program that wrote the file to
/// find flows can be made again from them.
pub(crate) fn is_passed_over(file: &FlowFile, block: &BlockRef) -> bool {
    match block.kind {
        BlockKind::Unknown(_) => true,
        BlockKind::Array => file.layout() != 3,
        BlockKind::Other => {
            let mut kind = [0; 4];
            file.read_exact(block.offset, &mut kind).is_err()
                || u32_at(&kind, 0) != Some(block_type::META)
        }
        BlockKind::Records | BlockKind::Legacy | BlockKind::Flows | BlockKind::Exporters => false,
    }
}

pub(crate) fn add_skipped(
    file: &FlowFile,
    at: &BlockRef,
    block: &Block<'_>,
    not_kept: &mut NotKept,
) {
    let skipped = &block.skipped;
    match at.kind {
        // What is missing there are records that were counted and never written.
        BlockKind::Exporters => {}
        // Entries of tables that are no names.
        BlockKind::Array if file.layout() == 3 => {
            let read = block.meta.len() as u64 + skipped.malformed;
            not_kept.records += u64::from(block.records).saturating_sub(read);
        }
        _ => not_kept.records += skipped.unknown_records,
    }
    // Records of layout 2 go as they are; those that cannot, the writer counts.
    if file.layout() != 2 {
        not_kept.elements += skipped.unknown_elements;
    }
}

/// An ident of another layout may be longer than one of layout 2.
pub(crate) fn cut(ident: &str) -> String {
    let max = Appendix::IDENT_MAX;
    let end = (0..=max).rev().find(|n| ident.is_char_boundary(*n)).unwrap_or(0);
    ident.get(..end).unwrap_or(ident).to_owned()
}
