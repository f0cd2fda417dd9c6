//! Sets of numbers as sorted ranges that neither touch nor overlap.
//!
//! A comparator is one range, a list is as many as it has gaps, a prefix is a range of addresses.
//! Sets of more than a few ranges carry an index, which leads to the one range that may hold a
//! number.

use crate::ast::Cmp;
use crate::index::Index;
use crate::select::each_bit;

/// Unsigned integers that sets are made of.
pub(crate) trait Number: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    /// The next one; `None` behind the last.
    fn next(self) -> Option<Self>;
    /// The one before; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// `self - base`, shifted right. `base` is not larger and the result fits.
    fn slot(self, base: Self, shift: u32) -> usize;
    /// Bits of `self - base` that are in use.
    fn bits(self, base: Self) -> u32;
    /// First and last number of a slot that counts from `self`.
    fn span(self, slot: usize, shift: u32) -> (Self, Self);
}

macro_rules! numbers {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const MIN: Self = 0;
            const MAX: Self = <$t>::MAX;
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            #[inline]
            fn slot(self, base: Self, shift: u32) -> usize {
                (self.wrapping_sub(base) >> shift) as usize
            }
            fn bits(self, base: Self) -> u32 {
                <$t>::BITS - (self - base).leading_zeros()
            }
            fn span(self, slot: usize, shift: u32) -> (Self, Self) {
                let first = self.saturating_add((slot as $t) << shift);
                (first, first.saturating_add((1 << shift) - 1))
            }
        }
    )*};
}

numbers!(u32, u64, u128);

/// A set of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeSet<T> {
    ranges: Vec<(T, T)>,
    index: Index<T>,
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
        let index = if merged.len() > INDEX_FROM { Index::new(&merged) } else { Index::empty() };
        Self { ranges: merged, index }
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

    /// Which of the `active` numbers are in the set.
    pub(crate) fn select(&self, numbers: &[T; 64], active: u64) -> u64 {
        if self.index.is_empty() {
            return each_bit(active, |i| self.contains(numbers[i % 64]));
        }
        let (found, at) = self.index.find_all(numbers, active);
        each_bit(found, |i| self.is_near(at[i % 64] as usize, numbers[i % 64]))
    }

    /// Whether `value` is in the set.
    #[inline]
    pub(crate) fn contains(&self, value: T) -> bool {
        if self.index.is_empty() {
            let i = self.ranges.partition_point(|r| r.1 < value);
            return self.ranges.get(i).is_some_and(|r| r.0 <= value);
        }
        self.index.find(value).is_some_and(|from| self.is_near(from, value))
    }

    /// Whether `value` is in one of the next ranges, of which the first that does not end before it
    /// decides.
    #[inline]
    fn is_near(&self, from: usize, value: T) -> bool {
        let near = self.ranges.get(from..).unwrap_or(&[]);
        near.iter().find(|r| r.1 >= value).is_some_and(|r| r.0 <= value)
    }
}

/// Sets of at most this many ranges are searched without an index.
const INDEX_FROM: usize = 8;

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
