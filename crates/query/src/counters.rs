//! Sums over the records of a group, and how they are read from rows fast.

use crate::Passed;
use output::Counts;
use record::{Field, Row, Rows, Selection, Shape};

/// The sum over no record at all: what [`join`] starts from.
pub(crate) const NOTHING: Counts = Counts {
    first_ms: u64::MAX,
    last_ms: 0,
    flows: 0,
    in_packets: 0,
    in_bytes: 0,
    out_packets: 0,
    out_bytes: 0,
};

/// Adds another sum; counts saturate, times widen.
#[inline]
pub(crate) fn join(sum: &mut Counts, other: &Counts) {
    sum.first_ms = sum.first_ms.min(other.first_ms);
    sum.last_ms = sum.last_ms.max(other.last_ms);
    sum.flows = sum.flows.saturating_add(other.flows);
    sum.in_packets = sum.in_packets.saturating_add(other.in_packets);
    sum.in_bytes = sum.in_bytes.saturating_add(other.in_bytes);
    sum.out_packets = sum.out_packets.saturating_add(other.out_packets);
    sum.out_bytes = sum.out_bytes.saturating_add(other.out_bytes);
}

/// Where the counters of the rows of one shape are: [`Counts::of`] resolved once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CounterSlots {
    /// Offset of the five fields every ordinary record has, `None` if the shape lacks one.
    plain: Option<[usize; 4]>,
    has_other_direction: bool,
    flags: Option<usize>,
}

impl CounterSlots {
    pub(crate) fn new(shape: &Shape) -> Self {
        let wide = |f| {
            let slot = shape.slot(f);
            (slot.len == 8).then_some(usize::from(slot.at))
        };
        let plain = || {
            Some([
                wide(Field::First)?,
                wide(Field::Last)?,
                wide(Field::Packets)?,
                wide(Field::Bytes)?,
            ])
        };
        let other = [Field::Flows, Field::OutPackets, Field::OutBytes];
        let flags = shape.slot(Field::TcpFlags);
        Self {
            plain: plain(),
            has_other_direction: other.iter().any(|f| shape.has(*f)),
            flags: flags.is_present().then_some(usize::from(flags.at)),
        }
    }

    /// The counters of one row.
    #[inline]
    pub(crate) fn read(&self, row: Row<'_>) -> Counts {
        let Some([first, last, packets, bytes]) = self.plain else { return Counts::of(row) };
        if self.has_other_direction {
            return Counts::of(row);
        }
        let b = row.as_bytes();
        Counts {
            first_ms: u64_at(b, first),
            last_ms: u64_at(b, last),
            flows: 1,
            in_packets: u64_at(b, packets),
            in_bytes: u64_at(b, bytes),
            out_packets: 0,
            out_bytes: 0,
        }
    }

    /// Offsets of first, last, packets and octets, eight octets each, where rows have no other
    /// counters.
    pub(crate) const fn plain(&self) -> Option<[usize; 4]> {
        if self.has_other_direction { None } else { self.plain }
    }

    /// Offset of the TCP flags, `None` where rows have none.
    pub(crate) const fn flags_at(&self) -> Option<usize> {
        self.flags
    }

    /// The TCP flags of one row, 0 where it has none.
    #[inline]
    pub(crate) fn flags(&self, row: Row<'_>) -> u8 {
        self.flags.and_then(|at| row.as_bytes().get(at)).copied().unwrap_or(0)
    }
}

/// Eight octets as a little-endian number, 0 beyond the end.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Sums the counters of selected rows, resolved once a shape.
#[derive(Debug, Default)]
pub(crate) struct Summer {
    bound_to: u64,
    bound: Vec<CounterSlots>,
}

impl Summer {
    /// Adds up the selected rows of a batch.
    pub(crate) fn sum(&mut self, rows: &Rows<'_>, selected: &Selection) -> Passed {
        if self.bound_to != rows.table.id() {
            self.bound_to = rows.table.id();
            self.bound.clear();
        }
        let shapes = rows.table.shapes();
        self.bound.extend(shapes.iter().skip(self.bound.len()).map(CounterSlots::new));
        let mut passed = Passed::default();
        for i in selected.iter() {
            let Some(row) = rows.row(i) else { break };
            let Some(slots) = rows.index.get(i).and_then(|r| self.bound.get(usize::from(r.shape)))
            else {
                continue;
            };
            passed.records += 1;
            join(&mut passed.counts, &slots.read(row));
        }
        passed
    }
}
