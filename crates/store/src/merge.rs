//! Two files of one slot made into one: a collector was restarted, or the clock went back an hour
//! (12.4).
//!
//! Exporter numbers restart with a process, so the same number may mean two exporters. Those of
//! the newer file get new numbers where they clash. The result is a new file; both inputs stay
//! as they are, so a crash on the way costs nothing.

use crate::compress::Packing;
use crate::error::StoreError;
use crate::meta::MetaRecord;
use crate::reader::{BlockReader, FlowFile};
use crate::renumber::{Renumber, exporters};
use crate::writer::{Writer, WriterOptions};
use record::{ExporterStats, Field, Sampler};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Writes the flows of `old`, then those of `new`, to `out`, which takes ident, compression and
/// origin from `old`.
///
/// # Errors
/// If a file cannot be read or written. Damaged blocks are passed over: nothing in them could be
/// read before either.
pub(crate) fn merge(old: &Path, new: &Path, out: &Path) -> Result<(), StoreError> {
    let result = try_merge(old, new, out);
    if result.is_err() {
        // Half a merger is of no use to anyone, least of all on a full disk.
        let _ = fs::remove_file(out);
    }
    result
}

fn try_merge(old: &Path, new: &Path, out: &Path) -> Result<(), StoreError> {
    let (old, new) = (FlowFile::open(old)?, FlowFile::open(new)?);
    let header = old.header();
    let options = WriterOptions {
        compression: Packing::from(header.compression),
        ident: old.ident().to_owned(),
        creator: header.creator,
        created_secs: header.created_secs,
        ..WriterOptions::default()
    };
    let mut copier = Copier {
        reader: BlockReader::new(),
        numbers: Renumber::default(),
        stats: BTreeMap::new(),
        writer: Writer::create(out, &options)?,
    };
    for (index, file) in [&old, &new].into_iter().enumerate() {
        copier.copy(index, file)?;
    }
    let Copier { mut writer, stats, .. } = copier;
    let stats: Vec<ExporterStats> = stats.into_values().collect();
    // Flows that cannot be written have to be an error here: the old file is about to be replaced.
    writer.flush()?;
    let closed = writer.close(&stats)?;
    if closed.dropped.unwritten > 0 {
        return Err(StoreError::io("write all of", out)(io::ErrorKind::WriteZero.into()));
    }
    Ok(())
}

/// What is copied from one file after the other.
struct Copier {
    reader: BlockReader,
    numbers: Renumber,
    stats: BTreeMap<u32, ExporterStats>,
    writer: Writer,
}

impl Copier {
    /// Copies a file's records.
    fn copy(&mut self, index: usize, file: &FlowFile) -> Result<(), StoreError> {
        let Self { reader, numbers, stats, writer } = self;
        for n in 0..file.blocks().len() {
            let Ok(block) = reader.load(file, n) else { continue };
            let number = |numbers: &mut Renumber, writer: &mut Writer, old: u32| {
                let (new, exporter) = numbers.number(index, old, || exporters(file, n + 1));
                if let Some(e) = exporter {
                    writer.meta_record(&MetaRecord::Exporter(e));
                }
                new
            };
            for record in block.meta {
                match record {
                    MetaRecord::Exporter(e) => {
                        if let Some(e) = numbers.add(index, e) {
                            writer.meta_record(&MetaRecord::Exporter(e));
                        }
                    }
                    MetaRecord::Sampler(s) => {
                        let exporter = number(numbers, writer, s.exporter);
                        writer.meta_record(&MetaRecord::Sampler(Sampler { exporter, ..*s }));
                    }
                    MetaRecord::Stats(all) => {
                        for s in all {
                            let sysid = number(numbers, writer, s.sysid);
                            add_stats(stats, ExporterStats { sysid, ..*s });
                        }
                    }
                    other => writer.meta_record(other),
                }
            }
            for row in block.rows.iter() {
                let old = row.number(Field::ExporterId) as u32;
                let new = number(numbers, writer, old);
                // Numbers beyond 16 bits cannot be written; their exporter was counted as dropped.
                let other = (new != old).then(|| u16::try_from(new).unwrap_or(0));
                writer.row_of(row, other);
            }
            if let Some(e) = writer.take_error() {
                return Err(e);
            }
        }
        Ok(())
    }
}

pub(crate) fn add_stats(all: &mut BTreeMap<u32, ExporterStats>, s: ExporterStats) {
    let sum = all.entry(s.sysid).or_default();
    sum.sysid = s.sysid;
    sum.sequence_failures = sum.sequence_failures.saturating_add(s.sequence_failures);
    sum.packets = sum.packets.saturating_add(s.packets);
    sum.flows = sum.flows.saturating_add(s.flows);
}
