//! Time cut into bins of one width, and flows spread over them.
//!
//! Bins begin at multiples of their width since midnight of 1970-01-01 in the zone of the answer,
//! so that bins of 5m begin at :00, :05, :10 and bins of 1d at midnight. The offset of the zone is
//! that of the answer's beginning: where daylight saving begins or ends on the way, all bins keep
//! their width, and later bins of an hour's multiple begin an hour off.

use crate::analysis::{AnalysisError, MAX_BINS};
use std::fmt;

/// How wide a bin is: whole seconds, from one second to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BinWidth {
    secs: u64,
}

/// Units of widths: letter and seconds, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl BinWidth {
    /// Five minutes: what percentiles of traffic are taken of where nothing else is said.
    pub const FIVE_MINUTES: Self = Self { secs: 300 };

    const WIDEST: Self = Self { secs: 366 * 86_400 };

    /// Reads `30s`, `5m`, `1h` or `1d`.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::BinWidth`] for anything else, and for widths out of range.
    pub fn parse(text: &str) -> Result<Self, AnalysisError> {
        let wrong = || AnalysisError::BinWidth(text.to_owned());
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let (_, secs) =
            UNITS.iter().find(|u| u.0 == unit.to_ascii_lowercase()).ok_or_else(wrong)?;
        let number = text.get(..text.len() - unit.len_utf8()).unwrap_or("");
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let width = number.checked_mul(*secs).map(|secs| Self { secs }).ok_or_else(wrong)?;
        if width.secs == 0 || width > Self::WIDEST { Err(wrong()) } else { Ok(width) }
    }

    /// Milliseconds.
    pub const fn ms(self) -> u64 {
        self.secs * 1000
    }

    /// A round width of which `bins` bins of this one take no more than [`MAX_BINS`], if there is
    /// one.
    pub(crate) fn wide_enough(self, bins: u64) -> Option<Self> {
        const ROUND: [u64; 22] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
            86_400, 172_800, 604_800, 2_592_000, 31_536_000,
        ];
        let span = u128::from(bins) * u128::from(self.secs);
        // One bin more than the span divides into, whatever the place of the first.
        let fits = |secs: &&u64| span / u128::from(**secs) + 2 <= u128::from(MAX_BINS);
        ROUND.iter().find(fits).map(|secs| Self { secs: *secs })
    }
}

impl fmt::Display for BinWidth {
    /// In the largest unit that divides it: `5m`, `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|u| self.secs.is_multiple_of(u.1)).unwrap_or(&UNITS[3]);
        write!(f, "{}{}", self.secs / whole.1, whole.0)
    }
}

/// Bins by number: number 0 begins at midnight of 1970-01-01 in the zone of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bins {
    pub(crate) width: BinWidth,
    offset_ms: i64,
}

impl Bins {
    /// Bins in a zone so many seconds east of Greenwich.
    pub(crate) const fn new(width: BinWidth, offset_secs: i32) -> Self {
        Self { width, offset_ms: offset_secs as i64 * 1000 }
    }

    /// The number of the bin that a moment lies in.
    #[inline]
    pub(crate) const fn of(&self, ms: u64) -> i64 {
        let ms = if ms > i64::MAX as u64 / 2 { i64::MAX / 2 } else { ms as i64 };
        (ms + self.offset_ms).div_euclid(self.width.ms() as i64)
    }

    /// When a bin begins; those that begin before 1970 say 0.
    pub(crate) const fn start_ms(&self, bin: i64) -> u64 {
        let start = bin.saturating_mul(self.width.ms() as i64).saturating_sub(self.offset_ms);
        if start < 0 { 0 } else { start as u64 }
    }

    /// First and last bin that a flow reaches into. A flow ends before the millisecond `last`, and
    /// where its times are out of order it is over as soon as it begins.
    #[inline]
    pub(crate) const fn extent(&self, first: u64, last: u64) -> (i64, i64) {
        let begin = self.of(first);
        if last <= first { (begin, begin) } else { (begin, self.of(last - 1)) }
    }

    /// Spreads counters of a flow over the bins it reaches into, each in proportion to the time
    /// spent there. What a bin gets is a whole number, and all bins together get all: up to the
    /// end of each bin it is the proportion rounded down.
    #[inline]
    pub(crate) fn spread<const N: usize>(
        &self,
        first: u64,
        last: u64,
        amounts: [u64; N],
        mut each: impl FnMut(i64, [u64; N]),
    ) {
        let (begin, end) = self.extent(first, last);
        if begin == end {
            return each(begin, amounts);
        }
        let (duration, width) = (last - first, self.width.ms());
        let in_first = self.start_ms(begin + 1).saturating_sub(first);
        let mut left = amounts;
        // Quotients and remainders of a whole bin; remainders are carried from bin to bin. A flow
        // shorter than a bin reaches into two at most: there is no whole one between.
        let step = amounts.map(|n| share_of(n, width, duration));
        let mut carry = [0; N];
        let mut share = [0; N];
        for (i, n) in amounts.into_iter().enumerate() {
            (share[i], carry[i]) = share_of(n, in_first, duration);
            left[i] -= share[i];
        }
        each(begin, share);
        for bin in begin + 1..end {
            for i in 0..N {
                // What is missing to one more: remainders are less than the duration.
                let missing = duration - step[i].1;
                let is_one_more = carry[i] >= missing;
                carry[i] = if is_one_more { carry[i] - missing } else { carry[i] + step[i].1 };
                share[i] = step[i].0 + u64::from(is_one_more);
                left[i] -= share[i];
            }
            each(bin, share);
        }
        each(end, left);
    }
}

/// `n * part / whole` rounded down, and its remainder, for a part that is no more than the whole.
fn share_of(n: u64, part: u64, whole: u64) -> (u64, u64) {
    let (product, whole) = (u128::from(n) * u128::from(part), u128::from(whole));
    ((product / whole) as u64, (product % whole) as u64)
}

/// First and last bin of an answer that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent(pub(crate) Option<(i64, i64)>);

impl Extent {
    pub(crate) fn add(&mut self, (first, last): (i64, i64)) {
        self.0 = Some(self.0.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        if let Some(both) = other.0 {
            self.add(both);
        }
    }

    /// How many bins.
    pub(crate) fn bins(self) -> u64 {
        self.0.map_or(0, |(a, b)| b.abs_diff(a) + 1)
    }

    /// First bin and number of bins.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::TooManyBins`].
    pub(crate) fn checked(self, width: BinWidth) -> Result<(i64, usize), AnalysisError> {
        let bins = self.bins();
        if bins > MAX_BINS {
            let wide_enough = width.wide_enough(bins);
            let is_window = false;
            return Err(AnalysisError::TooManyBins { bins, width, wide_enough, is_window });
        }
        Ok((self.0.map_or(0, |e| e.0), bins as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_read_and_written() {
        for (text, want) in [
            ("30s", "30s"),
            ("90s", "90s"),
            ("60s", "1m"),
            ("5m", "5m"),
            ("1H", "1h"),
            ("24h", "1d"),
            ("366d", "366d"),
            ("007s", "7s"),
        ] {
            assert_eq!(BinWidth::parse(text).map(|w| w.to_string()).as_deref(), Ok(want));
        }
        for text in [
            "",
            "5",
            "m",
            "0s",
            "5 m",
            "-5m",
            "+5m",
            "1w",
            "367d",
            "99999999999999999999s",
            "5\u{b5}",
        ] {
            assert_eq!(BinWidth::parse(text), Err(AnalysisError::BinWidth(text.to_owned())));
        }
    }

    #[test]
    fn a_width_that_is_proposed_is_wide_enough() {
        for (secs, bins) in [(1u64, 100_001u64), (1, 1_000_000), (300, 100_001), (60, 30_000_000)] {
            let width = BinWidth { secs };
            let wide = width.wide_enough(bins).unwrap();
            assert!(bins * secs / wide.secs < MAX_BINS, "{bins} of {width}: {wide}");
            assert!(wide > width);
        }
        assert_eq!(BinWidth { secs: 1 }.wide_enough(u64::MAX), None);
    }

    #[test]
    fn bins_begin_at_round_times_of_the_zone() {
        const NOON: u64 = 1_795_176_000_000; // 2026-11-20 12:00:00 UTC
        for (width, offset, at, start) in [
            ("5m", 0, NOON + 299_999, NOON),
            ("5m", 20_700, NOON + 1, NOON), // +05:45
            ("1h", 20_700, NOON + 1, NOON - 45 * 60_000),
            ("1d", 0, NOON, NOON - 12 * 3_600_000),
            ("1d", 3600, NOON, NOON - 13 * 3_600_000),
            ("1d", -18_000, NOON, NOON - 7 * 3_600_000),
            ("1d", 3600, 5, 0),
        ] {
            let bins = Bins::new(BinWidth::parse(width).unwrap(), offset);
            assert_eq!(bins.start_ms(bins.of(at)), start, "{width} at {offset}");
        }
        let bins = Bins::new(BinWidth::FIVE_MINUTES, -3600);
        assert!(bins.of(u64::MAX) > 0 && bins.of(0) < 0);
        let _ = bins.start_ms(i64::MAX);
    }

    /// The proportion up to each edge, rounded down, worked out edge by edge.
    fn slow(bins: &Bins, first: u64, last: u64, n: u64) -> Vec<(i64, u64)> {
        let (begin, end) = bins.extent(first, last);
        let (mut out, mut before) = (Vec::new(), 0);
        for bin in begin..=end {
            let edge = bins.start_ms(bin + 1).min(last);
            let upto = match last.checked_sub(first) {
                _ if bin == end => n,
                Some(d) => (u128::from(n) * u128::from(edge - first) / u128::from(d)) as u64,
                None => n,
            };
            out.push((bin, upto - before));
            before = upto;
        }
        out
    }

    #[test]
    fn shares_are_those_of_the_slow_way_and_add_up() {
        let mut x = 11u64;
        let mut random = |n: u64| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 11) % n
        };
        for round in 0..4000 {
            let width = [1, 7, 60, 300, 3600, 86_400][round % 6];
            let bins = Bins::new(BinWidth { secs: width }, [0, 3600, -12_345][round % 3]);
            let first = 1_795_000_000_000 + random(1_000_000);
            let last = match round % 5 {
                0 => first,
                1 => first - random(1000),
                2 => first + 1 + random(3),
                3 => bins.start_ms(bins.of(first) + 1 + random(50) as i64), // ends at an edge
                _ => first + random(width * 1000 * 200),
            };
            let amounts = [random(10), random(u64::MAX), u64::MAX >> random(64)];
            let mut got: [Vec<(i64, u64)>; 3] = Default::default();
            bins.spread(first, last, amounts, |bin, shares| {
                got.iter_mut().zip(shares).for_each(|(got, n)| got.push((bin, n)));
            });
            for (got, n) in got.iter().zip(amounts) {
                assert_eq!(*got, slow(&bins, first, last, n), "{first} to {last}");
                assert_eq!(got.iter().map(|s| u128::from(s.1)).sum::<u128>(), u128::from(n));
            }
        }
    }
}
