//! A sieve before the index of a set: one load that most numbers of no range do not pass.
//!
//! Numbers are cut into cells by their leading bits, as many as keep the cells that ranges touch
//! few; the hash of a touched cell sets one bit. The hash spreads what crowds together, so
//! addresses in the same allocations as those of a list are told from them too, which slots of a
//! fixed place could not do in so little memory. At most one bit in 16 is set. The bits take at most
//! four octets a range for 4000 ranges or more, at most 16 for fewer, and never more than a megabyte.

use crate::sets::Number;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sieve {
    /// Bits by hash, 64 to a word.
    words: Vec<u64>,
    /// Bits of a number behind those that count.
    rest: u32,
    /// The last bits of a product, which are no part of the hash.
    shift: u32,
}

/// The golden ratio in 64 bits: its products fill the leading bits evenly.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Sieve {
    /// All numbers pass.
    pub(crate) const fn open() -> Self {
        Self { words: Vec::new(), rest: 0, shift: 0 }
    }

    /// `ranges` are sorted and do not touch.
    pub(crate) fn new<T: Number>(ranges: &[(T, T)]) -> Self {
        let bits = (16 * ranges.len()).max((64 * ranges.len()).min(SMALL));
        let bits = bits.next_power_of_two().clamp(64, LARGE);
        // The fewest bits behind the cell with which the cells are few enough.
        let (mut rest, mut most) = (0, 63);
        while rest < most {
            let middle = u32::midpoint(rest, most);
            match cells(ranges, middle) <= bits as u64 / 16 {
                true => most = middle,
                false => rest = middle + 1,
            }
        }
        let shift = u64::BITS - bits.ilog2();
        let mut sieve = Self { words: vec![0; bits / 64], rest, shift };
        for (first, last) in ranges {
            for cell in first.high() >> rest..=last.high() >> rest {
                let bit = sieve.bit(cell);
                if let Some(word) = sieve.words.get_mut(bit / 64) {
                    *word |= 1 << (bit % 64);
                }
            }
        }
        sieve
    }

    /// False for numbers that are in no range.
    #[inline]
    pub(crate) fn passes<T: Number>(&self, value: T) -> bool {
        let bit = self.bit(value.high() >> self.rest);
        self.words.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 1)
    }

    #[inline]
    const fn bit(&self, cell: u64) -> usize {
        (cell.wrapping_mul(SPREAD) >> self.shift) as usize
    }
}

/// How many cells the ranges touch with so many bits behind.
fn cells<T: Number>(ranges: &[(T, T)], rest: u32) -> u64 {
    let mut newest = None;
    ranges.iter().fold(0, |sum: u64, (first, last)| {
        let (first, last) = (first.high() >> rest, last.high() >> rest);
        let is_new = newest != Some(first);
        newest = Some(last);
        sum.saturating_add(last - first).saturating_add(is_new.into())
    })
}

/// So many bits take no room worth mentioning.
const SMALL: usize = 1 << 16;
/// So many bits are in no cache that is fast enough to look at first.
const LARGE: usize = 1 << 23;

#[cfg(test)]
impl Sieve {
    pub(crate) fn octets(&self) -> usize {
        size_of_val(self.words.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_range_passes_and_most_else_does_not() {
        // Many hosts of one network; networks far apart; ranges of half of all numbers.
        let hosts: Vec<_> = (0..5000u128).map(|n| (1 << 100 | n << 4, 1 << 100 | n << 4)).collect();
        let nets: Vec<_> = (0..5000u128).map(|n| (n << 84, (n << 84) + (1 << 80) - 1)).collect();
        let half = vec![(0, u128::MAX / 2), (u128::MAX, u128::MAX)];
        for (name, ranges, most) in
            [("hosts", hosts, 0), ("nets", nets, 1500), ("half", half, 1500)]
        {
            let sieve = Sieve::new(&ranges);
            for n in ranges.iter().flat_map(|r| [r.0, r.0 + (r.1 - r.0) / 3, r.1]) {
                assert!(sieve.passes(n), "{name}: {n:#x}");
            }
            // Others of the same leading bits as the ranges, up to the 48th.
            let others = (0..10_000u128).map(|n| (1 << 127) + (1 << 126) + (n << 72));
            let passed = others.filter(|n| sieve.passes(*n)).count();
            assert!(passed <= most, "{name}: {passed}");
        }
        assert!(Sieve::open().passes(0u32));
    }
}
