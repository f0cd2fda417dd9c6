//! What time series, percentiles and distinct counts have in common: limits and errors.

use crate::bins::BinWidth;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Bins that an answer has at most.
pub const MAX_BINS: u64 = 100_000;

/// Why an analysis is refused or given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// Not a width of bins.
    #[error("Invalid bin width '{0}'; write a number and s, m, h or d, from 1s to 366d, as in 5m")]
    BinWidth(String),
    /// Not a percentile.
    #[error("Invalid percentile '{0}'; write a number from 1 to 99.9, with at most one decimal")]
    Percentile(String),
    /// The flows reach over more time than bins of this width may divide.
    #[error(
        "{bins} bins of {width} from first to last flow, more than {MAX_BINS}; take bins of {wide_enough}, or less time with -t"
    )]
    TooManyBins {
        /// How many bins there would be.
        bins: u64,
        /// How wide they are.
        width: BinWidth,
        /// A width that makes few enough.
        wide_enough: BinWidth,
    },
    /// More series times bins than fit into memory.
    #[error(
        "{series} series of {bins} bins are more than {limit} values; ask for fewer with -n or take wider bins"
    )]
    TooManyValues {
        /// How many series.
        series: u64,
        /// How many bins each of them has.
        bins: u64,
        /// How many values there may be in all.
        limit: u64,
    },
    /// The groups do not fit into the memory that the query may take.
    #[error(
        "{what} need more than {limit_mib} MiB of memory; narrow the filter or the time, take {instead}, or allow more with --memory"
    )]
    Memory {
        /// What is kept.
        what: &'static str,
        /// The limit.
        limit_mib: u64,
        /// What would take less.
        instead: &'static str,
    },
}

/// Octets that all workers of an analysis may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
    is_spent: AtomicBool,
}

impl Budget {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit, is_spent: AtomicBool::new(false) }
    }

    /// Whether more was asked for than there is.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent.load(Relaxed)
    }

    pub(crate) const fn limit_mib(&self) -> u64 {
        self.limit >> 20
    }
}

/// One worker's share of a [`Budget`]: takes it in large pieces.
#[derive(Debug)]
pub(crate) struct Meter<'b> {
    budget: &'b Budget,
    pending: u64,
}

impl<'b> Meter<'b> {
    const PIECE: u64 = 1 << 16;

    pub(crate) const fn new(budget: &'b Budget) -> Self {
        Self { budget, pending: 0 }
    }

    /// Takes so many octets. Returns whether they are there.
    #[inline]
    pub(crate) fn take(&mut self, octets: usize) -> bool {
        self.pending += octets as u64;
        if self.pending < Self::PIECE {
            return true;
        }
        let piece = std::mem::take(&mut self.pending);
        let before = self.budget.used.fetch_add(piece, Relaxed);
        let is_there = before.saturating_add(piece) <= self.budget.limit;
        if !is_there {
            self.budget.is_spent.store(true, Relaxed);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_once_for_all() {
        let budget = Budget::new(1 << 20);
        let (mut a, mut b) = (Meter::new(&budget), Meter::new(&budget));
        assert!((0..512).all(|_| a.take(1024) && b.take(1024)));
        assert!(!budget.is_spent());
        assert!(!(0..512).all(|_| a.take(1024)));
        assert!(budget.is_spent() && !(0..512).all(|_| b.take(1024)));
    }
}
