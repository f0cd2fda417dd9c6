//! Which fields a question reads: of files that keep each field apart, no others are read.

use super::plan::{Plan, What};
use filter::Filter;
use query::Fields;

impl Plan {
    /// What is read to count or list, and of records that are shown.
    pub(super) fn fields(&self) -> Fields {
        let counted = match &self.what {
            What::List => self.format.fields(),
            What::Sorted(_) => 0,
            What::Joined(grouping) => grouping.fields(),
            What::Statistics(of) | What::Series { of, .. } | What::Percentiles { of, .. } => {
                of.iter().fold(0, |bits, request| bits | request.fields())
            }
        };
        // Records that are shown are few, and -P may ask anything of them.
        Fields { scanned: counted | Fields::COUNTED, shown: u128::MAX }
    }
}

/// Bits of the fields that a filter reads.
pub(super) fn of(filter: &Filter) -> u128 {
    filter.fields().fold(0, |bits, field| bits | 1 << field as u32)
}
