//! Somebody who looks at the blocks of a file while it is written, so that nobody has to read them
//! again for what can be known now.

use crate::meta::MetaRecord;
use crate::row::{Found, Skipped, Walker};
use record::{RowRef, Rows};

/// Looks at blocks on their way to a file: given to [`Writer::survey`](crate::Writer::survey).
pub trait Survey: Send + Sync {
    /// The rows of a block before it is packed, and whether it says something about exporters. Blocks
    /// are numbered as they leave the writer; threads of a pool call this in any order.
    fn look(&self, number: u64, rows: &Rows<'_>, says_who: bool);

    /// The block is in the file, behind those this was called for before, or it is lost. Called in
    /// the order of the numbers, also for blocks whose packing failed.
    fn booked(&self, number: u64, is_written: bool);
}

/// Finds the rows of payloads for a survey.
pub(crate) struct Surveyor {
    walker: Walker,
    index: Vec<RowRef>,
    meta: Vec<MetaRecord>,
}

impl Surveyor {
    pub(crate) fn new() -> Self {
        Self { walker: Walker::new(), index: Vec::new(), meta: Vec::new() }
    }

    /// Shows a payload to a survey.
    pub(crate) fn show(&mut self, survey: &dyn Survey, number: u64, payload: &[u8]) {
        self.index.clear();
        self.meta.clear();
        let mut skipped = Skipped::default();
        let (index, meta) = (&mut self.index, &mut self.meta);
        self.walker.walk(payload, &mut Found { index, meta, skipped: &mut skipped });
        // Statistics at the end of files are nobody's answer.
        let says_who = self.meta.iter().any(|m| !matches!(m, MetaRecord::Stats(_)));
        let rows = Rows { bytes: payload, index: &self.index, table: self.walker.table() };
        survey.look(number, &rows, says_who);
    }
}
