//! Sets of numbers as sorted ranges that neither touch nor overlap.
//!
//! A comparator is one range, a list is as many as it has gaps, a prefix is a range of addresses.
//! Sets of more than a few ranges carry an index, which leads to the one range that may hold a
//! number.

use crate::ast::Cmp;
use crate::index::Index;
use crate::select::each_bit;
use crate::sieve::Sieve;

/// Unsigned integers that sets are made of.
pub(crate) trait Number: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    /// The next one; `None` behind the last.
    fn next(self) -> Option<Self>;
    /// The one before; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// There are more than 64 bits.
    const IS_WIDE: bool;
    /// The leading 64 bits, or all of fewer.
    fn high(self) -> u64;
    /// The 64 bits that follow them, or 0.
    fn low(self) -> u64;
    /// The number of its halves, so far as it has them.
    fn new(high: u64, low: u64) -> Self;
}

macro_rules! numbers {
    ($($t:ty, $high:expr, $low:expr, $new:expr;)*) => {$(
        impl Number for $t {
            const MIN: Self = 0;
            const MAX: Self = <$t>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            const IS_WIDE: bool = Self::BITS > 64;
            #[inline]
            fn high(self) -> u64 {
                let high: fn(Self) -> u64 = $high;
                high(self)
            }
            #[inline]
            fn low(self) -> u64 {
                let low: fn(Self) -> u64 = $low;
                low(self)
            }
            fn new(high: u64, low: u64) -> Self {
                let new: fn(u64, u64) -> Self = $new;
                new(high, low)
            }
        }
    )*};
}

numbers! {
    u32, u64::from, |_| 0, |high, _| high as u32;
    u64, |n| n, |_| 0, |high, _| high;
    u128, |n| (n >> 64) as u64, |n| n as u64, |high, low| u128::from(high) << 64 | u128::from(low);
}

/// A set of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeSet<T> {
    ranges: Vec<(T, T)>,
    sieve: Sieve,
    index: Index,
}

impl<T: Number> RangeSet<T> {
    /// The union of ranges, both ends included, in any order.
    pub(crate) fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.retain(|r| r.0 <= r.1);
        ranges.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if before.1.next().is_none_or(|n| first <= n) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        let (sieve, index) = match merged.len() {
            ..INDEX_FROM => (Sieve::open(), Index::empty()),
            _ => (Sieve::new(&merged), Index::new(&merged)),
        };
        Self { ranges: merged, sieve, index }
    }

    /// Numbers that compare so to `operand`.
    pub(crate) fn compared(cmp: Cmp, operand: T) -> Self {
        let range = match cmp {
            Cmp::Eq => Some((operand, operand)),
            Cmp::Lt => operand.previous().map(|n| (T::MIN, n)),
            Cmp::Le => Some((T::MIN, operand)),
            Cmp::Gt => operand.next().map(|n| (n, T::MAX)),
            Cmp::Ge => Some((operand, T::MAX)),
        };
        Self::new(range.into_iter().collect())
    }

    pub(crate) fn ranges(&self) -> &[(T, T)] {
        &self.ranges
    }

    /// False for most numbers that are not in the set, with one load at most.
    #[inline]
    pub(crate) fn may_hold(&self, value: T) -> bool {
        self.sieve.passes(value)
    }

    /// Which of the `active` numbers are in the set. Pays if they are those that it
    /// [may hold](Self::may_hold).
    pub(crate) fn select(&self, numbers: &[T; 64], active: u64) -> u64 {
        if self.index.is_empty() {
            return each_bit(active, |i| self.contains(numbers[i % 64]));
        }
        let (inside, near, at) = self.index.find_all(numbers, active);
        inside | each_bit(near, |i| self.is_near(at[i % 64] as usize, numbers[i % 64]))
    }

    /// Whether `value` is in the set.
    #[inline]
    pub(crate) fn contains(&self, value: T) -> bool {
        if self.index.is_empty() {
            let i = self.ranges.partition_point(|r| r.1 < value);
            return self.ranges.get(i).is_some_and(|r| r.0 <= value);
        }
        self.may_hold(value)
            && self.index.find(value).unwrap_or_else(|from| self.is_near(from, value))
    }

    /// Whether `value` is in one of the next ranges, of which the first that does not end before it
    /// decides.
    #[inline]
    fn is_near(&self, from: usize, value: T) -> bool {
        let near = self.ranges.get(from..).unwrap_or(&[]);
        near.iter().find(|r| r.1 >= value).is_some_and(|r| r.0 <= value)
    }
}

/// Sets of fewer ranges are searched without an index.
const INDEX_FROM: usize = 3;

/// A set of numbers below 65536, one bit each.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap(Box<[u64; 1024]>);

impl Bitmap {
    pub(crate) fn new(ranges: &[(u64, u64)]) -> Self {
        let mut words = Box::new([0; 1024]);
        for &(first, last) in ranges {
            for n in first..=last.min(u16::MAX.into()) {
                words[n as usize / 64] |= 1 << (n % 64);
            }
        }
        Self(words)
    }

    #[inline]
    pub(crate) fn contains(&self, n: u16) -> bool {
        self.0[usize::from(n) / 64] >> (n % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge() {
        for (given, want) in [
            (vec![], vec![]),
            (vec![(5, 5), (1, 2)], vec![(1, 2), (5, 5)]),
            (vec![(1, 2), (3, 4)], vec![(1, 4)]),
            (vec![(1, 9), (2, 3), (9, 10)], vec![(1, 10)]),
            (vec![(3, 1)], vec![]),
            (vec![(0, u32::MAX), (7, 7)], vec![(0, u32::MAX)]),
            (vec![(u32::MAX, u32::MAX), (0, 0)], vec![(0, 0), (u32::MAX, u32::MAX)]),
        ] {
            assert_eq!(RangeSet::new(given.clone()).ranges(), want, "{given:?}");
        }
    }

    #[test]
    fn comparators_are_ranges() {
        for (cmp, operand) in [Cmp::Eq, Cmp::Lt, Cmp::Gt, Cmp::Le, Cmp::Ge]
            .into_iter()
            .flat_map(|c| [0, 1, 7, u32::MAX - 1, u32::MAX].map(|n| (c, n)))
        {
            let set = RangeSet::compared(cmp, operand);
            for n in [0, 1, 2, 6, 7, 8, u32::MAX - 2, u32::MAX - 1, u32::MAX] {
                assert_eq!(set.contains(n), cmp.holds(n, operand), "{n} {cmp} {operand}");
            }
        }
    }

    /// Bounds of every size and spread, looked up at, beside and between them.
    fn agrees<T: Number + std::fmt::Debug>(from_bits: impl Fn(u64) -> T) {
        let mut state = 42u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 11
        };
        for size in [1, 2, 8, 9, 40, 1000] {
            for spread in [4, 20, 40, 53] {
                let mut ranges = Vec::new();
                let mut crowd = 0;
                for _ in 0..size {
                    // Now and then one that is much longer than a slot of the index, and half of
                    // them in crowds that move now and then.
                    let long = if random() % 8 == 0 { spread - 3 } else { 2 };
                    if random() % 100 == 0 {
                        crowd = random() >> (53 - spread);
                    }
                    let a = match random() % 4 {
                        0 => crowd ^ (random() % (1 << (spread / 4))),
                        1 => crowd ^ (random() % (1 << (spread / 2))),
                        _ => random() >> (53 - spread),
                    };
                    let b = random() % (1 << long);
                    ranges.push((from_bits(a), from_bits(a + b)));
                }
                let set = RangeSet::new(ranges.clone());
                let ends = ranges.iter().flat_map(|r| [r.0, r.1]);
                let probes = ends.flat_map(|n| [Some(n), n.next(), n.previous()]).flatten();
                let probes: Vec<_> = probes.chain([T::MIN, T::MAX]).take(1500).collect();
                for chunk in probes.chunks(64) {
                    let mut numbers = [T::MIN; 64];
                    numbers[..chunk.len()].copy_from_slice(chunk);
                    for active in [u64::MAX, 0x5555_5555_5555_5555, 1 << 63] {
                        let found = set.select(&numbers, active);
                        for (i, n) in numbers.iter().enumerate() {
                            let want = active >> i & 1 == 1 && set.contains(*n);
                            assert_eq!(found >> i & 1 == 1, want, "{n:?} of {active:#x}");
                        }
                    }
                }
                for n in probes {
                    let want = ranges.iter().any(|r| r.0 <= n && n <= r.1);
                    assert_eq!(set.contains(n), want, "{n:?} of {size} over {spread} bits");
                }
            }
        }
    }

    #[test]
    fn look_ups_agree_with_a_linear_search() {
        agrees::<u32>(|n| n as u32);
        agrees::<u64>(|n| n << 8);
        agrees::<u128>(|n| u128::from(n) << 70 | 0xffff);
        // Within 64 bits, and across their border.
        agrees::<u128>(|n| 0x2001 << 112 | u128::from(n));
        agrees::<u128>(|n| 0x2001 << 112 | u128::from(n) << 38);
    }

    /// Networks of all lengths, in and beside each other.
    fn networks_agree<T: Number + std::fmt::Debug>(width: u32, number: fn(u128) -> T) {
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        for (count, shortest) in [(3, 0), (50, 1), (50, width), (2000, 12), (2000, width / 2)] {
            for round in 0..4 {
                let mut ranges = Vec::new();
                let (mut bits, mut len) = (0u128, 0u32);
                for _ in 0..count {
                    match random() % 8 {
                        // Beside the last one, within it, the same with the last bits set.
                        0 => bits = bits.wrapping_add(1 << (width - len).min(127)),
                        1 => len = width.min(len + random() as u32 % 9),
                        2 => bits |= u128::from(random()),
                        _ => {
                            let lead = 0x2001 + random() % 5;
                            let rest = u128::from(random()) << 31 | u128::from(random());
                            bits = u128::from(lead) << (width - 16) | rest << (width / 8);
                            len = shortest + random() as u32 % (width - shortest + 1);
                        }
                    }
                    let hosts = if len == 0 { u128::MAX } else { (1 << (width - len)) - 1 };
                    let (first, last) = (bits & !hosts, bits | hosts);
                    ranges.push((number(first), number(last)));
                }
                if round == 0 {
                    ranges.extend([(T::MIN, T::MIN), (T::MAX, T::MAX)]);
                }
                let set = RangeSet::new(ranges.clone());
                let ends = ranges.iter().flat_map(|r| [r.0, r.1]);
                let probes = ends.flat_map(|n| [Some(n), n.next(), n.previous()]).flatten();
                let probes: Vec<_> = [T::MIN, T::MAX].into_iter().chain(probes).collect();
                for chunk in probes.chunks(64).take(20) {
                    let mut numbers = [T::MAX; 64];
                    numbers[..chunk.len()].copy_from_slice(chunk);
                    let found = set.select(&numbers, u64::MAX);
                    for (i, n) in numbers.iter().enumerate() {
                        let want = ranges.iter().any(|r| r.0 <= *n && *n <= r.1);
                        assert_eq!(found >> i & 1 == 1, want, "{n:x?} of {count} in a word");
                        assert_eq!(set.contains(*n), want, "{n:x?} of {count}");
                        assert!(set.may_hold(*n) || !want, "{n:x?} of {count} in the sieve");
                    }
                }
            }
        }
    }

    #[test]
    fn networks_agree_with_a_linear_search() {
        networks_agree::<u32>(32, |n| n as u32);
        networks_agree::<u128>(128, |n| n);
    }

    #[test]
    fn what_leads_to_ranges_takes_few_octets() {
        // As lists are: anywhere, or a few in each of many allocations.
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        let v4 = (0..20_000).map(|_| (random() as u32) << 1 & !0xff).map(|n| (n, n | 0xff));
        let v4 = RangeSet::new(v4.collect());
        let v6 = (0..20_000).map(|_| {
            let allocation = 0x2a00_0000 + u128::from(random() % 1200) * 8;
            allocation << 96 | u128::from(random() & 0xff_ffff) << 72
        });
        let v6 =
            RangeSet::new(v6.map(|n| n & !0 << 80).map(|n| (n, n | ((1 << 80) - 1))).collect());
        for (octets, ranges) in [
            (v4.sieve.octets() + v4.index.octets(), v4.ranges.len()),
            (v6.sieve.octets() + v6.index.octets(), v6.ranges.len()),
        ] {
            assert!(octets <= 16 * ranges, "{octets} octets for {ranges} ranges");
        }
    }

    #[test]
    fn bitmaps_hold_their_ranges() {
        let map = Bitmap::new(&[(0, 0), (60, 70), (65_530, u64::MAX)]);
        for n in 0..=u16::MAX {
            let want = n == 0 || (60..=70).contains(&n) || n >= 65_530;
            assert_eq!(map.contains(n), want, "{n}");
        }
    }
}
