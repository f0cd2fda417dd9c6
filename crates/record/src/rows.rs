//! Many rows at once. Filters and aggregations are called once for a batch of rows, not once for
//! a row; a [`Selection`] carries the answer from one to the next.

use crate::{Row, Shape};
use std::sync::atomic::{AtomicU64, Ordering};

/// The shapes of the rows that one reader has met. Indices stay valid as long as the table lives,
/// so what is resolved against a shape once can be kept beside its index.
#[derive(Debug)]
pub struct ShapeTable {
    id: u64,
    shapes: Vec<Shape>,
}

impl Default for ShapeTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ShapeTable {
    /// An empty table with an identity of its own.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), shapes: Vec::new() }
    }

    /// Tells this table from any other in the process: the key of caches kept per shape.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The shapes met so far.
    #[inline]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Adds a shape; `None` when 65 536 are there already.
    pub fn push(&mut self, shape: Shape) -> Option<u16> {
        let index = u16::try_from(self.shapes.len()).ok()?;
        self.shapes.push(shape);
        Some(index)
    }
}

/// Where one row lies in the octets of its batch, and what shape it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// Offset of the row.
    pub at: u32,
    /// Length of the row.
    pub len: u16,
    /// Index into the [`ShapeTable`].
    pub shape: u16,
}

/// A batch of rows: octets, where each row begins, and the shapes they refer to.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Octets of all rows.
    pub bytes: &'a [u8],
    /// The rows in order.
    pub index: &'a [RowRef],
    /// Shapes that `index` refers to.
    pub table: &'a ShapeTable,
}

impl<'a> Rows<'a> {
    /// How many rows.
    #[inline]
    pub const fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Octets of row `i`; empty if there is no such row.
    #[inline]
    pub fn row_bytes(&self, i: usize) -> &'a [u8] {
        let Some(r) = self.index.get(i) else { return &[] };
        self.bytes.get(r.at as usize..r.at as usize + usize::from(r.len)).unwrap_or(&[])
    }

    /// Row `i`, `None` beyond the end.
    #[inline]
    pub fn row(&self, i: usize) -> Option<Row<'a>> {
        let r = self.index.get(i)?;
        let bytes = self.bytes.get(r.at as usize..r.at as usize + usize::from(r.len))?;
        Some(Row::new(bytes, self.table.shapes().get(usize::from(r.shape))?))
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.row(i))
    }
}

/// A set of rows of one batch, one bit a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    words: Vec<u64>,
    len: usize,
}

impl Selection {
    /// Makes it `len` rows long, all of them in or all out. Keeps the memory.
    pub fn reset(&mut self, len: usize, all: bool) {
        self.len = len;
        self.words.clear();
        self.words.resize(len.div_ceil(64), if all { u64::MAX } else { 0 });
        self.trim();
    }

    /// Rows it speaks of.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it speaks of no rows at all.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Rows that are in.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether row `i` is in.
    #[inline]
    pub fn contains(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// Puts row `i` in; rows beyond the end are ignored.
    #[inline]
    pub fn insert(&mut self, i: usize) {
        if i < self.len
            && let Some(w) = self.words.get_mut(i / 64)
        {
            *w |= 1 << (i % 64);
        }
    }

    /// Takes row `i` out.
    #[inline]
    pub fn remove(&mut self, i: usize) {
        if let Some(w) = self.words.get_mut(i / 64) {
            *w &= !(1 << (i % 64));
        }
    }

    /// Keeps the first `n` rows that are in and drops the rest.
    pub fn keep_first(&mut self, n: usize) {
        let mut left = n;
        for w in &mut self.words {
            let ones = w.count_ones() as usize;
            if ones <= left {
                left -= ones;
                continue;
            }
            let mut kept = 0;
            for _ in 0..left {
                let lowest = *w & w.wrapping_neg();
                kept |= lowest;
                *w ^= lowest;
            }
            *w = kept;
            left = 0;
        }
    }

    /// The words, 64 rows each, lowest bit first. Kernels write here; bits beyond
    /// [`len`](Self::len) must stay 0.
    #[inline]
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The words, 64 rows each, lowest bit first.
    #[inline]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Rows that are in, ascending.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, w)| {
            let mut w = *w;
            std::iter::from_fn(move || {
                if w == 0 {
                    return None;
                }
                let bit = w.trailing_zeros() as usize;
                w &= w - 1;
                Some(i * 64 + bit)
            })
        })
    }

    fn trim(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.len.is_multiple_of(64)
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_counts_only_its_rows() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut s = Selection::default();
            s.reset(len, true);
            assert_eq!(s.count(), len);
            assert_eq!(s.iter().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
            s.insert(len);
            assert_eq!(s.count(), len, "a row beyond the end");
            s.reset(len, false);
            assert_eq!(s.count(), 0);
        }
    }

    #[test]
    fn keep_first_keeps_the_first() {
        let mut s = Selection::default();
        s.reset(200, false);
        for i in (0..200).step_by(3) {
            s.insert(i);
        }
        for n in [100, 67, 40, 22, 1, 0] {
            s.keep_first(n);
            let want: Vec<_> = (0..200).step_by(3).take(n).collect();
            assert_eq!(s.iter().collect::<Vec<_>>(), want, "n {n}");
        }
    }
}
