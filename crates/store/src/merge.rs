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
use crate::writer::{Writer, WriterOptions};
use record::{Exporter, ExporterStats, Field, Sampler};
use std::collections::{BTreeMap, HashMap};
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
    let mut writer = Writer::create(out, &options)?;
    let mut reader = BlockReader::new();
    let mut stats = BTreeMap::new();
    let taken = exporters(&old, &mut reader);
    let numbers = renumber(&taken, &exporters(&new, &mut reader));
    copy(&old, &HashMap::new(), &mut reader, &mut writer, &mut stats)?;
    copy(&new, &numbers, &mut reader, &mut writer, &mut stats)?;
    let stats: Vec<ExporterStats> = stats.into_values().collect();
    // Flows that cannot be written have to be an error here: the old file is about to be replaced.
    writer.flush()?;
    let closed = writer.close(&stats)?;
    if closed.dropped.unwritten > 0 {
        return Err(StoreError::io("write all of", out)(io::ErrorKind::WriteZero.into()));
    }
    Ok(())
}

/// All exporters of a file by number, the last one of a number.
fn exporters(file: &FlowFile, reader: &mut BlockReader) -> BTreeMap<u32, Exporter> {
    let mut all = BTreeMap::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { continue };
        for record in block.meta {
            if let MetaRecord::Exporter(e) = record {
                all.insert(e.sysid, *e);
            }
        }
    }
    all
}

/// New numbers for exporters of the newer file: that of the same exporter in the older one, or a
/// free one if the number means somebody else there.
fn renumber(old: &BTreeMap<u32, Exporter>, new: &BTreeMap<u32, Exporter>) -> HashMap<u32, u32> {
    let same = |e: &Exporter| {
        old.values().find(|o| (o.addr, o.version, o.id) == (e.addr, e.version, e.id))
    };
    let last = |all: &BTreeMap<u32, Exporter>| all.keys().next_back().copied().unwrap_or(0);
    let mut free = last(old).max(last(new));
    let mut numbers = HashMap::new();
    for (n, e) in new {
        let number = match same(e) {
            Some(o) => o.sysid,
            None if old.contains_key(n) => {
                free += 1;
                free
            }
            None => continue,
        };
        if number != *n {
            numbers.insert(*n, number);
        }
    }
    numbers
}

/// Copies a file's records. `numbers` has exporters whose number changes.
fn copy(
    file: &FlowFile,
    numbers: &HashMap<u32, u32>,
    reader: &mut BlockReader,
    writer: &mut Writer,
    stats: &mut BTreeMap<u32, ExporterStats>,
) -> Result<(), StoreError> {
    let number = |n: u32| numbers.get(&n).copied().unwrap_or(n);
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { continue };
        for record in block.meta {
            match record {
                MetaRecord::Exporter(e) => writer
                    .meta_record(&MetaRecord::Exporter(Exporter { sysid: number(e.sysid), ..*e })),
                MetaRecord::Sampler(s) => writer.meta_record(&MetaRecord::Sampler(Sampler {
                    exporter: number(s.exporter),
                    ..*s
                })),
                MetaRecord::Stats(all) => {
                    for s in all {
                        add_stats(stats, ExporterStats { sysid: number(s.sysid), ..*s });
                    }
                }
                other => writer.meta_record(other),
            }
        }
        for row in block.rows.iter() {
            let id = row.number(Field::ExporterId) as u32;
            // Numbers beyond 16 bits cannot be written; their exporter was counted as dropped.
            let other = numbers.get(&id).map(|n| u16::try_from(*n).unwrap_or(0));
            writer.row_of(row, other);
        }
        if let Some(e) = writer.take_error() {
            return Err(e);
        }
    }
    Ok(())
}

fn add_stats(all: &mut BTreeMap<u32, ExporterStats>, s: ExporterStats) {
    let sum = all.entry(s.sysid).or_default();
    sum.sysid = s.sysid;
    sum.sequence_failures = sum.sequence_failures.saturating_add(s.sequence_failures);
    sum.packets = sum.packets.saturating_add(s.packets);
    sum.flows = sum.flows.saturating_add(s.flows);
}
