//! Who sent the flows of a file: what option `-E` lists.

use crate::error::StoreError;
use crate::meta::MetaRecord;
use crate::reader::{BlockReader, FlowFile, ReadOptions};
use record::{Exporter, ExporterStats, Sampler};
use std::collections::BTreeMap;
use std::path::Path;

/// One exporter of a file. nfdump's line of it:
///
/// ```text
/// SysID: 1, IP:        127.0.0.1, version: netflow v9, ID:  9, Sequence failures: 0, packets: 10, flows: 5
/// ```
///
/// with `- no flows sent` in place of the counters where there are none, and a line beginning with
/// four blanks and `Sampler:` for each sampler below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterInfo {
    /// Number in the file, address, version, and the id that the exporter gave itself.
    pub exporter: Exporter,
    /// What it sent during the file's interval, added up over all blocks; 0 where the file does not
    /// say.
    pub stats: ExporterStats,
    /// How it samples, one for each id, in the order of the file.
    pub samplers: Vec<Sampler>,
}

/// All exporters of a file, in order of their numbers. Blocks that cannot be read are passed over.
///
/// # Errors
/// If the file cannot be opened as a flow file.
pub fn list_exporters(path: &Path) -> Result<Vec<ExporterInfo>, StoreError> {
    list_exporters_with(path, &ReadOptions::default())
}

/// As [`list_exporters`], for files that may be encrypted.
///
/// # Errors
/// As there.
pub fn list_exporters_with(
    path: &Path,
    options: &ReadOptions,
) -> Result<Vec<ExporterInfo>, StoreError> {
    let file = FlowFile::open_with(path, options)?;
    let mut reader = BlockReader::new();
    let mut all: BTreeMap<u32, Exporter> = BTreeMap::new();
    let mut stats: BTreeMap<u32, ExporterStats> = BTreeMap::new();
    // With the place in which each came first.
    let mut samplers: BTreeMap<(u32, i64), (usize, Sampler)> = BTreeMap::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(&file, n) else { continue };
        for record in block.meta {
            match record {
                // Of a number that a file has twice, the first one counts, as with nfdump.
                MetaRecord::Exporter(e) => {
                    all.entry(e.sysid).or_insert(*e);
                }
                MetaRecord::Sampler(s) => {
                    let next = samplers.len();
                    samplers.entry((s.exporter, s.id)).or_insert((next, *s)).1 = *s;
                }
                MetaRecord::Stats(list) => {
                    list.iter().for_each(|s| crate::merge::add_stats(&mut stats, *s));
                }
                _ => {}
            }
        }
    }
    let samplers_of = |sysid| {
        let range = samplers.range((sysid, i64::MIN)..=(sysid, i64::MAX));
        let mut placed: Vec<(usize, Sampler)> = range.map(|(_, s)| *s).collect();
        placed.sort_unstable_by_key(|(place, _)| *place);
        placed.into_iter().map(|(_, s)| s).collect()
    };
    let info = |(sysid, exporter)| ExporterInfo {
        exporter,
        stats: stats
            .remove(&sysid)
            .unwrap_or_else(|| ExporterStats { sysid, ..Default::default() }),
        samplers: samplers_of(sysid),
    };
    Ok(all.into_iter().map(info).collect())
}
