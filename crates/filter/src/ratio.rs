//! `pps`, `bps`, `bpp` and `duration` at known offsets, without a division: a quotient rounded down
//! lies from `low` to `high` if `low * divisor <= dividend < (high + 1) * divisor`.

use crate::primitive::Rate;
use crate::sets::RangeSet;
use record::{Field, Shape, Slot};

/// A computed number of rows of one shape, and the range it must lie in.
#[derive(Debug)]
pub(crate) struct Ratio {
    factor: u64,
    count: Part,
    divisor: Part,
    low: u64,
    high: u64,
}

/// A number of a row, 0 where the row lacks it.
#[derive(Clone, Copy, Debug)]
enum Part {
    One,
    Slot(Slot),
    /// From the first time to the second, 0 if they are out of order.
    Span(Slot, Slot),
}

impl Ratio {
    /// `None` if `set` is not one range.
    pub(crate) fn new(rate: Rate, set: &RangeSet<u64>, shape: &Shape) -> Option<Self> {
        let [(low, high)] = *set.ranges() else { return None };
        let slot = |field| Part::Slot(shape.slot(field));
        let duration = Part::Span(shape.slot(Field::First), shape.slot(Field::Last));
        let (factor, count, divisor) = match rate {
            Rate::Duration => (1, duration, Part::One),
            Rate::Pps => (1000, slot(Field::Packets), duration),
            Rate::Bps => (8000, slot(Field::Bytes), duration),
            Rate::Bpp => (1, slot(Field::Bytes), slot(Field::Packets)),
        };
        Some(Self { factor, count, divisor, low, high })
    }

    /// Whether the number of this row lies in the range.
    #[inline]
    pub(crate) fn is_in_range(&self, row: &[u8]) -> bool {
        let divisor = self.divisor.read(row);
        if divisor == 0 {
            return self.low == 0;
        }
        let dividend = u128::from(self.count.read(row)) * u128::from(self.factor);
        let times = |n: u64| u128::from(n) * u128::from(divisor);
        // A quotient beyond 64 bits counts as the largest number.
        dividend >= times(self.low) && (self.high == u64::MAX || dividend < times(self.high + 1))
    }
}

impl Part {
    #[inline]
    fn read(self, row: &[u8]) -> u64 {
        match self {
            Self::One => 1,
            Self::Slot(slot) => number(row, slot),
            Self::Span(first, last) => number(row, last).saturating_sub(number(row, first)),
        }
    }
}

#[inline]
fn number(row: &[u8], slot: Slot) -> u64 {
    let from = usize::from(slot.at);
    match row.get(from..from + usize::from(slot.len)) {
        Some(&[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]).into(),
        Some(&[a, b]) => u16::from_le_bytes([a, b]).into(),
        Some(&[a]) => a.into(),
        _ => 0,
    }
}
