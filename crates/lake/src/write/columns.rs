//! Rows as columns, in order of their arrival, until there are enough for a row group.
//!
//! An address is kept once; what its three columns have is made of it when they are written.

use super::plan::{Plan, Step, Take};
use record::{Field, RowRef, Slot};

/// Rows of which the columns are filled one after the other: their octets stay close.
pub(super) const BATCH: usize = 1024;

/// Values of one field; rows without it have one that nobody reads.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Numbers and times.
    pub(super) numbers: Vec<i64>,
    /// Addresses (IPv4 mapped), MAC addresses and access lists, in network byte order.
    pub(super) fixed: Vec<[u8; 16]>,
    /// Where text and octets lie in `octets`: offset and length.
    pub(super) spans: Vec<(u32, u32)>,
    pub(super) octets: Vec<u8>,
}

/// Rows that wait to be written.
#[derive(Debug)]
pub(super) struct Columns {
    /// By field.
    values: Vec<Values>,
    /// Milliseconds since 1970 at which each flow began.
    pub(super) starts: Vec<u64>,
    /// Shape of each row.
    pub(super) shapes: Vec<u16>,
    /// Times that were later than columns can say.
    pub(super) clamped: u64,
    memory: usize,
}

/// Memory of the octets of one field, and so the largest offset.
const MAX_OCTETS: usize = 1 << 30;

impl Columns {
    pub(super) fn new() -> Self {
        let values = (0..Field::COUNT).map(|_| Values::default()).collect();
        Self { values, starts: Vec::new(), shapes: Vec::new(), clamped: 0, memory: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Octets of memory in use, about.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn values(&self, field: Field) -> &Values {
        &self.values[field as usize]
    }

    /// Forgets the rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.starts.clear();
        self.shapes.clear();
        for v in &mut self.values {
            v.numbers.clear();
            v.fixed.clear();
            v.spans.clear();
            v.octets.clear();
        }
        self.memory = 0;
    }

    /// Appends rows of one block. `rows` are at most [`BATCH`], `plans` by shape.
    pub(super) fn append(&mut self, block: &[u8], rows: &[RowRef], plans: &[Plan]) {
        let base = self.starts.len();
        self.shapes.extend(rows.iter().map(|r| r.shape));
        for r in rows {
            let first = plans.get(usize::from(r.shape)).map_or(0, |p| number(block, r, p.first));
            self.starts.push(first);
        }
        self.memory += rows.len() * (size_of::<u64>() + size_of::<u16>());
        let mut order: [u32; BATCH] = [0; BATCH];
        let order = order.get_mut(..rows.len()).unwrap_or_default();
        for (i, (o, r)) in order.iter_mut().zip(rows).enumerate() {
            *o = u32::from(r.shape) << 16 | i as u32;
        }
        // Rows of one shape together, in their order.
        if !order.is_sorted_by_key(|o| o >> 16) {
            order.sort_unstable();
        }
        for group in order.chunk_by(|a, b| a >> 16 == b >> 16) {
            let shape = group.first().map_or(0, |o| (o >> 16) as usize);
            let Some(plan) = plans.get(shape) else { continue };
            for step in &plan.steps {
                self.fill(base, block, rows, group, step);
            }
        }
    }

    /// Takes one field out of rows of one shape: those that the low half of `group` numbers.
    fn fill(&mut self, base: usize, block: &[u8], rows: &[RowRef], group: &[u32], step: &Step) {
        let Self { values, clamped, memory, .. } = self;
        let Some(values) = values.get_mut(step.field as usize) else { return };
        let end = base + rows.len();
        let each = group.iter().filter_map(|o| {
            let i = (o & 0xFFFF) as usize;
            Some((i, rows.get(i)?))
        });
        match step.take {
            Take::Number(len) => {
                let out = grown(&mut values.numbers, base, end, memory);
                numbers(out, each, block, (step.slot, len));
            }
            Take::Time => {
                let out = grown(&mut values.numbers, base, end, memory);
                put(out, each, |r| {
                    let ms = u64::from_le_bytes(octets(block, r, step.slot));
                    nanoseconds(ms).unwrap_or_else(|| {
                        *clamped += 1;
                        i64::MAX
                    })
                });
            }
            Take::V4 | Take::V6 | Take::Mac | Take::Acl => {
                let out = grown(&mut values.fixed, base, end, memory);
                fixed(out, each, block, step);
            }
            Take::Text | Take::Bytes => {
                let before = values.octets.len();
                let out = grown(&mut values.spans, base, end, memory);
                spans(out, each, block, (step, &mut values.octets));
                *memory += values.octets.len() - before;
            }
        }
    }

    /// Whether another batch might not fit: rows can have 64 KiB of octets each.
    pub(super) fn is_full(&self) -> bool {
        let room = BATCH * usize::from(u16::MAX);
        self.values.iter().any(|v| v.octets.len() + room > MAX_OCTETS)
    }
}

/// Numbers of so many octets.
fn numbers<'a>(
    out: &mut [i64],
    rows: impl Iterator<Item = (usize, &'a RowRef)>,
    block: &[u8],
    (slot, len): (Slot, u8),
) {
    match len {
        1 => put(out, rows, |r| i64::from(octets::<1>(block, r, slot)[0])),
        2 => put(out, rows, |r| i64::from(u16::from_le_bytes(octets(block, r, slot)))),
        4 => put(out, rows, |r| i64::from(u32::from_le_bytes(octets(block, r, slot)))),
        _ => put(out, rows, |r| i64::from_le_bytes(octets(block, r, slot))),
    }
}

/// Addresses, MAC addresses and access lists.
fn fixed<'a>(
    out: &mut [[u8; 16]],
    rows: impl Iterator<Item = (usize, &'a RowRef)>,
    block: &[u8],
    step: &Step,
) {
    let slot = step.slot;
    match step.take {
        Take::V4 => put(out, rows, |r| mapped(u32::from_le_bytes(octets(block, r, slot)))),
        // The high half comes first.
        Take::V6 => put(out, rows, |r| {
            u128::from_le_bytes(octets(block, r, slot)).rotate_left(64).to_be_bytes()
        }),
        // The low six octets, in front.
        Take::Mac => put(out, rows, |r| {
            let n = u64::from_le_bytes(octets(block, r, slot)) << 16;
            (u128::from(n) << 64).to_be_bytes()
        }),
        _ => put(out, rows, |r| {
            let mut value = [0; 16];
            value[..12].copy_from_slice(&octets::<12>(block, r, slot));
            value
        }),
    }
}

/// Text and octets: where they lie in `all`.
fn spans<'a>(
    out: &mut [(u32, u32)],
    rows: impl Iterator<Item = (usize, &'a RowRef)>,
    block: &[u8],
    (step, all): (&Step, &mut Vec<u8>),
) {
    put(out, rows, |r| {
        let at = r.at as usize + usize::from(step.slot.at);
        let value = block.get(at..at + usize::from(step.slot.len)).unwrap_or_default();
        let end = match step.take {
            Take::Text => value.iter().position(|b| *b == 0).unwrap_or(value.len()),
            _ => value.len(),
        };
        let start = all.len() as u32;
        all.extend_from_slice(value.get(..end).unwrap_or_default());
        (start, end as u32)
    });
}

/// A time as columns have it; `None` beyond 2262.
pub(super) fn nanoseconds(ms: u64) -> Option<i64> {
    i64::try_from(ms).ok()?.checked_mul(1_000_000)
}

/// `::ffff:a.b.c.d`.
pub(super) const fn mapped(v4: u32) -> [u8; 16] {
    (0xFFFF_0000_0000 | v4 as u128).to_be_bytes()
}

/// Values of the rows from `base` to `end`; rows before that had none get some.
fn grown<'a, T: Copy + Default>(
    values: &'a mut Vec<T>,
    base: usize,
    end: usize,
    memory: &mut usize,
) -> &'a mut [T] {
    if values.len() < end {
        *memory += (end - values.len()) * size_of::<T>();
        values.resize(end, T::default());
    }
    values.get_mut(base..).unwrap_or_default()
}

#[inline]
fn put<'a, T>(
    out: &mut [T],
    rows: impl Iterator<Item = (usize, &'a RowRef)>,
    mut value: impl FnMut(&RowRef) -> T,
) {
    for (i, r) in rows {
        if let Some(o) = out.get_mut(i) {
            *o = value(r);
        }
    }
}

/// Octets of a slot; zeros where the row ends before.
#[inline]
fn octets<const N: usize>(block: &[u8], row: &RowRef, slot: Slot) -> [u8; N] {
    let at = row.at as usize + usize::from(slot.at);
    block.get(at..).and_then(|b| b.first_chunk()).copied().unwrap_or([0; N])
}

/// A number of 1, 2, 4 or 8 octets; 0 where there is none.
#[inline]
pub(super) fn number(block: &[u8], row: &RowRef, slot: Slot) -> u64 {
    match slot.len {
        1 => u64::from(octets::<1>(block, row, slot)[0]),
        2 => u64::from(u16::from_le_bytes(octets(block, row, slot))),
        4 => u64::from(u32::from_le_bytes(octets(block, row, slot))),
        8 => u64::from_le_bytes(octets(block, row, slot)),
        _ => 0,
    }
}
