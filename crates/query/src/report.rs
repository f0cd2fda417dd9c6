//! What a query has read: sums, damage, and what files say of themselves.

use crate::counters::{NOTHING, join};
use index::Wanted;
use output::Counts;
use std::path::{Path, PathBuf};
use store::MetaRecord;

/// What was read, what passed, and what could not be read.
#[derive(Debug, Default)]
pub struct Report {
    /// Sums over the flows that passed.
    pub passed: Passed,
    /// Records read.
    pub records: u64,
    /// Records that passed the filters.
    pub records_passed: u64,
    /// Blocks that were not looked at because nothing in them could pass.
    pub blocks_skipped: u64,
    /// Of these, those of files whose times lie outside of the window.
    pub blocks_outside: u64,
    /// Octets of blocks read, as they lie on disk.
    pub bytes_read: u64,
    /// First and last time in the statistics of the files read.
    pub window: Option<(u64, u64)>,
    /// Ident of the first file read.
    pub ident: Option<String>,
    /// Files and blocks that could not be read, or only in part.
    pub damage: Vec<Damage>,
    /// The run was told to stop: everything here is about what was read until then.
    pub interrupted: bool,
    /// Memory was too scarce to count all groups in one reading, and later readings were not
    /// finished: the answer shows some of the groups only, and groups that are not counted at all
    /// may be larger. The sums in `passed` are those of all groups.
    pub is_partial: bool,
    /// Exporters and samplers of each file.
    pub(crate) meta: Vec<(usize, MetaRecord)>,
    /// What workers found, with the number of the block: sorted into the two above at the end, so
    /// that the report is the same for any number of threads.
    pub(crate) found: Vec<(u32, Found)>,
}

/// Something that belongs into the report in reading order.
#[derive(Debug)]
pub(crate) enum Found {
    Damage(Damage),
    Meta(usize, MetaRecord),
}

/// Sums over flows that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Records.
    pub records: u64,
    /// Sums over both directions.
    pub counts: Counts,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, where, and what became of it.
    pub what: String,
    /// Whether anything is lost; otherwise it is worth a line and no more.
    pub is_loss: bool,
}

impl Damage {
    pub(crate) fn loss(file: &Path, what: String) -> Self {
        Self { file: file.to_owned(), what, is_loss: true }
    }
}

impl Report {
    /// Tells damage that was not told before.
    pub(crate) fn tell(&mut self, damage: impl IntoIterator<Item = Damage>) {
        for d in damage {
            if !self.damage.contains(&d) {
                self.damage.push(d);
            }
        }
    }

    /// Tells what went wrong in a later reading of the same blocks.
    pub fn tell_again(&mut self, later: Self) {
        self.interrupted |= later.interrupted;
        self.is_partial |= later.is_partial;
        self.tell(later.damage);
    }

    /// Counts the blocks of a file whose times lie outside of the window.
    pub(crate) const fn leave_outside(&mut self, blocks: u64) {
        self.blocks_skipped += blocks;
        self.blocks_outside += blocks;
    }

    /// Notes what the statistics of a file tell, and whose it is.
    pub(crate) fn note(&mut self, times: Option<(u64, u64)>, ident: &str) {
        if let Some((first, last)) = times {
            let (a, b) = self.window.unwrap_or((u64::MAX, 0));
            self.window = Some((a.min(first), b.max(last)));
        }
        self.ident.get_or_insert_with(|| ident.to_owned());
    }

    /// Counts the blocks, of so many of a file, that are left out. Their rows count as read: none of them passes.
    pub(crate) fn leave_out(&mut self, of: usize, wanted: &Wanted) {
        if let Wanted::Some { blocks, rows_left_out } = wanted {
            self.blocks_skipped += of.saturating_sub(blocks.len()) as u64;
            self.records += rows_left_out;
        }
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.records += other.records;
        self.records_passed += other.records_passed;
        self.bytes_read += other.bytes_read;
        self.blocks_skipped += other.blocks_skipped;
        self.blocks_outside += other.blocks_outside;
        self.passed.add(&other.passed);
        self.damage.extend(other.damage);
        self.found.extend(other.found);
    }

    /// Puts what workers found behind what was found while opening, in reading order.
    pub(crate) fn sort_found(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|f| f.0);
        for (_, found) in found {
            match found {
                Found::Damage(damage) => self.damage.push(damage),
                Found::Meta(file, record) => self.meta.push((file, record)),
            }
        }
        self.damage.sort_by(|a, b| a.file.cmp(&b.file));
    }
}

impl Default for Passed {
    fn default() -> Self {
        Self { records: 0, counts: NOTHING }
    }
}

impl Passed {
    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        join(&mut self.counts, &other.counts);
    }
}
