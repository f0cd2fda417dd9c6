//! Making a sound file of one that is damaged or was never finished.

use crate::compress::Packing;
use crate::error::StoreError;
use crate::merge::add_stats;
use crate::meta::MetaRecord;
use crate::reader::{BlockReader, FileState, FlowFile, ReadOptions};
use crate::replace::Replacement;
use crate::side;
use crate::verify::{Verification, verify_with};
use crate::writer::{Writer, WriterOptions};
use record::ExporterStats;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairOptions {
    /// How to read the file.
    pub read: ReadOptions,
    /// Whether to keep the damaged file.
    pub keeps_original: bool,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), keeps_original: true }
    }
}

/// What came of repairing a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Nothing was wrong with it; it was left alone.
    Sound,
    /// A sound file of layout 2 has its name now.
    Rewritten {
        /// Where the damaged file is now, `None` if it was not to be kept.
        original: Option<PathBuf>,
        /// What was wrong with the file as a whole; `Closed` if only blocks were damaged.
        state: FileState,
        /// Blocks of which all was saved.
        blocks_saved: u64,
        /// Blocks of which a part or nothing was saved.
        blocks_lost: u64,
        /// Flows that are in the new file.
        flows_saved: u64,
        /// Flows that the old file's own sums have beyond that; `None` if it has no sums.
        flows_lost: Option<u64>,
    },
}

/// Repairs a file and keeps the original: [`repair_with`] with default options, for option
/// `--repair`.
///
/// # Errors
/// As there.
pub fn repair(path: &Path) -> Result<Repaired, StoreError> {
    repair_with(path, &RepairOptions::default())
}

/// Rewrites a damaged or unfinished file of any layout as a sound one of layout 2 with everything
/// that can be read, under the same name. A sound file is left alone.
///
/// The original goes to the directory of [side files](crate::side), with the suffix `damaged`: beside the
/// new file, whoever reads the whole directory would read its flows twice.
///
/// A file that a collector is still writing looks like one whose writer died. Do not repair it
/// before the collector is done.
///
/// # Errors
/// If the file cannot be opened as a flow file, or the new one cannot be written; the old one is
/// then where it was.
pub fn repair_with(path: &Path, options: &RepairOptions) -> Result<Repaired, StoreError> {
    let before = verify_with(path, &options.read)?;
    if before.is_sound() {
        return Ok(Repaired::Sound);
    }
    let file = FlowFile::open_with(path, &options.read)?;
    let replacement = Replacement::of(path)?;
    let flows_saved = rewrite(&file, &replacement, Packing::from(file.header().compression), None)?;
    let original = match options.keeps_original {
        true => Some(keep(replacement.target())?),
        false => None,
    };
    replacement.finish()?;
    Ok(told(&before, original, flows_saved))
}

fn told(before: &Verification, original: Option<PathBuf>, flows_saved: u64) -> Repaired {
    let is_whole = |b: &&crate::verify::BlockCheck| b.result.as_ref().is_ok_and(|c| c.is_sound);
    let blocks_saved = before.blocks.iter().filter(is_whole).count() as u64;
    Repaired::Rewritten {
        original,
        state: before.state,
        blocks_saved,
        blocks_lost: before.blocks.len() as u64 - blocks_saved,
        flows_saved,
        flows_lost: before.flows_in_appendix.map(|n| n.saturating_sub(flows_saved)),
    }
}

/// Gives the damaged file a second name among the side files. The first one is taken away by the
/// new file.
fn keep(path: &Path) -> Result<PathBuf, StoreError> {
    for n in 0..100 {
        let suffix = if n == 0 { "damaged".to_owned() } else { format!("damaged.{n}") };
        let kept = side::path(path, &suffix);
        side::create_directory(path)?;
        match fs::hard_link(path, &kept) {
            Ok(()) => return Ok(kept),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            // File systems without links.
            Err(_) => {
                fs::copy(path, &kept).map_err(StoreError::io("copy", path))?;
                return Ok(kept);
            }
        }
    }
    let path = path.to_owned();
    Err(StoreError::Refused { path, why: "a hundred damaged versions of it are kept already" })
}

/// Writes everything that can be read of a file to a new one of layout 2, and returns how many
/// flows that are. `sums` are the file's own, where they hold for the new one, too.
pub(crate) fn rewrite(
    file: &FlowFile,
    replacement: &Replacement,
    compression: Packing,
    sums: Option<&crate::Statistics>,
) -> Result<u64, StoreError> {
    let header = file.header();
    let created_secs = match header.created_secs {
        0 => replacement.modified_secs(),
        secs => secs,
    };
    let options = WriterOptions {
        compression,
        ident: cut(file.ident()),
        creator: header.creator,
        created_secs,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(replacement.temporary(), &options)?;
    let mut stats = BTreeMap::new();
    copy(file, &mut writer, &mut stats)?;
    let stats: Vec<ExporterStats> = stats.into_values().collect();
    writer.flush()?;
    let closed = writer.close_as(&stats, sums)?;
    if closed.dropped.unwritten > 0 || closed.dropped.too_long > 0 {
        let all = io::ErrorKind::WriteZero.into();
        return Err(StoreError::io("write all of", replacement.temporary())(all));
    }
    Ok(closed.totals.all_flows())
}

/// Copies the records of all blocks that can be read, and adds up what exporters sent.
fn copy(
    file: &FlowFile,
    writer: &mut Writer,
    stats: &mut BTreeMap<u32, ExporterStats>,
) -> Result<(), StoreError> {
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { continue };
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

/// An ident of another layout may be longer than one of layout 2.
fn cut(ident: &str) -> String {
    let max = crate::appendix::Appendix::IDENT_MAX;
    let end = (0..=max).rev().find(|n| ident.is_char_boundary(*n)).unwrap_or(0);
    ident.get(..end).unwrap_or(ident).to_owned()
}
