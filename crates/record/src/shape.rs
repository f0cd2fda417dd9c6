//! Borrowed read access to one flow: octets, and a [`Shape`] that says where each field lies.
//!
//! Most rows of a file have the same sequence of elements, so they share one shape: finding a
//! field is one table look-up, and a filter or an aggregation key is resolved to offsets once a
//! shape instead of once a row.

use crate::{Addr, Field, Mac};

/// Where a field lies in the octets of a row. Length 0 means the row does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Offset from the start of the row.
    pub at: u16,
    /// Length in octets.
    pub len: u16,
}

impl Slot {
    /// Whether the field is there.
    #[inline]
    pub const fn is_present(self) -> bool {
        self.len != 0
    }
}

/// Where each field lies in the rows of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    slots: [Slot; Field::COUNT],
    present: u128,
}

// `present` has one bit a field.
const _: () = assert!(Field::COUNT <= 128);

impl Default for Shape {
    fn default() -> Self {
        Self { slots: [Slot::default(); Field::COUNT], present: 0 }
    }
}

impl Shape {
    /// The place of `field`.
    #[inline]
    pub const fn slot(&self, field: Field) -> Slot {
        self.slots[field as usize]
    }

    /// Whether rows of this shape have `field`.
    #[inline]
    pub const fn has(&self, field: Field) -> bool {
        self.slot(field).is_present()
    }

    /// Places `field` at `at`, `len` octets long; `len` 0 takes it away.
    #[inline]
    pub const fn set(&mut self, field: Field, at: u16, len: u16) {
        self.slots[field as usize] = Slot { at, len };
        let bit = 1 << field as usize;
        self.present = if len == 0 { self.present & !bit } else { self.present | bit };
    }

    /// Which fields rows of this shape have: bit `field as usize`. What an encoder picks its plan
    /// by.
    #[inline]
    pub const fn present(&self) -> u128 {
        self.present
    }

    /// Fields that rows of this shape have, in table order.
    pub fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        Field::ALL.iter().copied().filter(|f| self.has(*f))
    }
}

/// One flow, borrowed: the octets of the row and the shape they have.
///
/// Accessors return `None` where the row lacks the field. A shape that reaches beyond the octets
/// reads as absent, never as a panic.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    bytes: &'a [u8],
    shape: &'a Shape,
}

impl<'a> Row<'a> {
    /// A row of `shape` in `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8], shape: &'a Shape) -> Self {
        Self { bytes, shape }
    }

    /// All octets of the row, in whatever layout its owner keeps.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The shape of the row.
    #[inline]
    pub const fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// Whether the row has `field`.
    #[inline]
    pub const fn has(&self, field: Field) -> bool {
        self.shape.has(field)
    }

    /// The octets of `field`.
    #[inline]
    pub fn bytes(&self, field: Field) -> Option<&'a [u8]> {
        let Slot { at, len } = self.shape.slot(field);
        if len == 0 {
            return None;
        }
        self.bytes.get(usize::from(at)..usize::from(at) + usize::from(len))
    }

    /// The octets of `field`, if it has exactly so many: for code that is made for one width.
    #[inline]
    pub fn array<const N: usize>(&self, field: Field) -> Option<[u8; N]> {
        let Slot { at, len } = self.shape.slot(field);
        if N == 0 || usize::from(len) != N {
            return None;
        }
        self.bytes.get(usize::from(at)..)?.first_chunk().copied()
    }

    /// A number of 1, 2, 4 or 8 octets.
    #[inline]
    pub fn u64(&self, field: Field) -> Option<u64> {
        match *self.bytes(field)? {
            [a] => Some(u64::from(a)),
            [a, b] => Some(u64::from(u16::from_le_bytes([a, b]))),
            [a, b, c, d] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
            [a, b, c, d, e, f, g, h] => Some(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
            _ => None,
        }
    }

    /// A number, 0 where the row lacks the field: how listings and statistics read it.
    #[inline]
    pub fn number(&self, field: Field) -> u64 {
        self.u64(field).unwrap_or(0)
    }

    /// An IP address.
    #[inline]
    pub fn addr(&self, field: Field) -> Option<Addr> {
        Addr::from_row(self.bytes(field)?)
    }

    /// A MAC address.
    #[inline]
    pub fn mac(&self, field: Field) -> Option<Mac> {
        self.u64(field).map(Mac)
    }

    /// Text up to its first NUL. Octets that are not UTF-8 are the caller's to escape.
    pub fn text(&self, field: Field) -> Option<&'a [u8]> {
        let b = self.bytes(field)?;
        Some(&b[..b.iter().position(|c| *c == 0).unwrap_or(b.len())])
    }

    /// Flows this record stands for: 1 unless an aggregation counted them.
    #[inline]
    pub fn flows(&self) -> u64 {
        self.u64(Field::Flows).map_or(1, |n| n.max(1))
    }

    /// Milliseconds from first to last, 0 where they are out of order.
    #[inline]
    pub fn duration_ms(&self) -> u64 {
        self.number(Field::Last).saturating_sub(self.number(Field::First))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_the_octets_of_a_field_of_that_width() {
        let (octets, mut shape) = ([1, 2, 3, 4, 5], Shape::default());
        shape.set(Field::SrcPort, 1, 2);
        shape.set(Field::DstPort, 4, 2);
        let row = Row::new(&octets, &shape);
        assert_eq!(row.array(Field::SrcPort), Some([2, 3]));
        assert_eq!(row.array::<1>(Field::SrcPort), None, "another width");
        assert_eq!(row.array::<2>(Field::DstPort), None, "beyond the row");
        assert_eq!(row.array::<2>(Field::Proto), None, "not there");
        assert_eq!(row.array::<0>(Field::Proto), None, "not there, and nothing asked for");
    }

    #[test]
    fn present_bits_follow_the_slots() {
        let mut shape = Shape::default();
        for (i, f) in Field::ALL.iter().enumerate() {
            shape.set(*f, 3, 1);
            assert_eq!(shape.present().count_ones() as usize, i + 1);
        }
        for f in Field::ALL {
            assert_ne!(shape.present() & 1 << *f as usize, 0);
            shape.set(*f, 3, 0);
            assert_eq!(shape.present() & 1 << *f as usize, 0, "{f:?}");
        }
        assert_eq!(shape, Shape { slots: shape.slots, ..Shape::default() });
    }
}
