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
        "{bins} bins of {width} {}, more than {MAX_BINS}; take {}",
        if *is_window { "in the window of -t" } else { "from first to last flow" },
        instead(wide_enough.as_ref())
    )]
    TooManyBins {
        /// How many bins there would be.
        bins: u64,
        /// How wide they are.
        width: BinWidth,
        /// A width that makes few enough, if one does.
        wide_enough: Option<BinWidth>,
        /// Whether the window of time alone has too many, whatever flows are in it.
        is_window: bool,
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

impl AnalysisError {
    /// The same error, if the window of time has so many bins, too many alone.
    pub(crate) fn of_window(self, bins_of_window: u64) -> Self {
        match self {
            Self::TooManyBins { bins, width, wide_enough, .. } => {
                let is_window = bins_of_window > MAX_BINS;
                Self::TooManyBins { bins, width, wide_enough, is_window }
            }
            other => other,
        }
    }
}

fn instead(wide_enough: Option<&BinWidth>) -> String {
    match wide_enough {
        Some(width) => format!("bins of {width}, or less time with -t"),
        None => "less time with -t: no width of bins does, so some times may be wrong".to_owned(),
    }
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

    /// Takes so many octets. Returns whether they are there.
    pub(crate) fn take(&self, octets: usize) -> bool {
        let before = self.used.fetch_add(octets as u64, Relaxed);
        let is_there = before.saturating_add(octets as u64) <= self.limit;
        if !is_there {
            self.is_spent.store(true, Relaxed);
        }
        is_there
    }

    /// The error of who wanted more.
    pub(crate) const fn error(&self, what: &'static str, instead: &'static str) -> AnalysisError {
        AnalysisError::Memory { what, limit_mib: self.limit_mib(), instead }
    }

    pub(crate) const fn limit_mib(&self) -> u64 {
        self.limit >> 20
    }
}

/// One worker's share of a [`Budget`]: takes it in large pieces.
#[derive(Debug)]
pub(crate) struct Meter<'b> {
    budget: &'b Budget,
    pending: usize,
}

impl<'b> Meter<'b> {
    const PIECE: usize = 1 << 16;

    pub(crate) const fn new(budget: &'b Budget) -> Self {
        Self { budget, pending: 0 }
    }

    /// Takes so many octets. Returns whether they are there.
    #[inline]
    pub(crate) fn take(&mut self, octets: usize) -> bool {
        self.pending = self.pending.saturating_add(octets);
        self.pending < Self::PIECE || self.budget.take(std::mem::take(&mut self.pending))
    }

    /// Ends the analysis: something else than octets is used up.
    pub(crate) fn spend_all(&self) {
        self.budget.is_spent.store(true, Relaxed);
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
        let budget = Budget::new(1 << 20);
        assert!(!Meter::new(&budget).take(usize::MAX) && budget.is_spent());
        let budget = Budget::new(1 << 20);
        Meter::new(&budget).spend_all();
        assert!(budget.is_spent());
    }

    #[test]
    fn a_width_is_proposed_only_if_it_does() {
        let error = |wide_enough, is_window| {
            let (bins, width) = (200_000, BinWidth::FIVE_MINUTES);
            AnalysisError::TooManyBins { bins, width, wide_enough, is_window }.to_string()
        };
        let hour = BinWidth::parse("1h").ok();
        assert_eq!(
            error(hour, false),
            "200000 bins of 5m from first to last flow, more than 100000; take bins of 1h, or less \
             time with -t"
        );
        assert!(error(hour, true).contains("in the window of -t"));
        assert!(error(None, false).contains("no width of bins does"));
    }
}
