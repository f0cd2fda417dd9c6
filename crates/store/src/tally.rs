//! What is on disk of a file that is being written, and what did not get there, by exporter.

use crate::block::BlockRef;
use record::Totals;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Flows by the number of their exporter.
pub(crate) type ByExporter = BTreeMap<u16, u64>;

/// What a block holds, kept until it is known what became of it.
#[derive(Debug, Default)]
pub(crate) struct Note {
    pub(crate) records: u32,
    pub(crate) totals: Totals,
    /// Each exporter once.
    pub(crate) exporters: Vec<(u16, u64)>,
}

/// Sums over the blocks of a file whose fate is known.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Where the next block goes.
    pub(crate) offset: u64,
    /// Blocks on disk, and sums over them.
    pub(crate) blocks: u32,
    pub(crate) totals: Totals,
    pub(crate) stored: ByExporter,
    /// Records, and flows, of blocks that could not be written.
    pub(crate) unwritten: u64,
    pub(crate) lost: ByExporter,
    /// The last failure that nobody was told of.
    pub(crate) error: Option<io::Error>,
}

impl Tally {
    /// Books a block that ends at the offset given, or is not there.
    pub(crate) fn book(&mut self, note: &Note, written: io::Result<u64>) {
        let by_exporter = match written {
            Ok(end) => {
                self.offset = end;
                self.blocks += 1;
                self.totals.merge(&note.totals);
                &mut self.stored
            }
            Err(e) => {
                self.unwritten += u64::from(note.records);
                self.error = Some(e);
                &mut self.lost
            }
        };
        for (exporter, flows) in &note.exporters {
            add(by_exporter, *exporter, *flows);
        }
    }
}

/// Adds flows of an exporter.
pub(crate) fn add(all: &mut ByExporter, exporter: u16, flows: u64) {
    let sum = all.entry(exporter).or_default();
    *sum = sum.saturating_add(flows);
}

/// Puts a block on disk and returns where it ends. Of one that does not fit nothing is left.
pub(crate) fn put_block(file: &File, offset: u64, records: u32, packed: &[u8]) -> io::Result<u64> {
    let header = BlockRef::encode_header(records, packed.len() as u32);
    let payload = offset + header.len() as u64;
    // The header last: whoever reads meanwhile finds it only before a complete payload, and zeros
    // before that.
    let written =
        file.write_all_at(packed, payload).and_then(|()| file.write_all_at(&header, offset));
    match written {
        Ok(()) => Ok(payload + packed.len() as u64),
        Err(e) => {
            // On a full disk it would take the room of the next block, which may be a small one,
            // and after a crash its rest would follow that. Devices cannot be cut and keep nothing.
            let _ = file.set_len(offset);
            Err(e)
        }
    }
}

/// Counts the flows of a block by exporter. Flows come in runs of one exporter, those of a
/// datagram; a run costs two look-ups, a flow an addition.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    exporter: u16,
    flows: u64,
    /// By exporter, as far as any was seen; at most 512 KiB.
    counts: Vec<u64>,
    seen: Vec<u16>,
}

impl Runs {
    #[inline]
    pub(crate) fn add(&mut self, exporter: u16, flows: u64) {
        if exporter != self.exporter {
            self.end_run();
            self.exporter = exporter;
        }
        self.flows = self.flows.saturating_add(flows);
    }

    fn end_run(&mut self) {
        if self.flows == 0 {
            return;
        }
        let at = usize::from(self.exporter);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            if *count == 0 {
                self.seen.push(self.exporter);
            }
            *count = count.saturating_add(self.flows);
        }
        self.flows = 0;
    }

    /// Moves all counts to the end of `out`, and begins anew.
    pub(crate) fn take(&mut self, out: &mut Vec<(u16, u64)>) {
        self.end_run();
        for exporter in self.seen.drain(..) {
            if let Some(count) = self.counts.get_mut(usize::from(exporter)) {
                out.push((exporter, std::mem::take(count)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_count_as_a_map_does() {
        let (mut runs, mut n) = (Runs::default(), 7u64);
        for round in 0..50 {
            let mut map = ByExporter::new();
            for _ in 0..round * 10 {
                n = n
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // Long runs, short ones, and the largest number.
                let exporter = match n >> 60 {
                    0 => u16::MAX,
                    1..=3 => (n >> 40) as u16 % 5,
                    _ => 0,
                };
                let flows = if n >> 50 & 0xFF == 0 { u64::MAX } else { 1 + (n >> 30) % 3 };
                runs.add(exporter, flows);
                add(&mut map, exporter, flows);
            }
            let mut got = Vec::new();
            runs.take(&mut got);
            got.sort_unstable();
            assert_eq!(got, map.into_iter().collect::<Vec<_>>(), "round {round}");
        }
    }
}
