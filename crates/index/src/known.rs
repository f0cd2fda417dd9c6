//! What is known about a stretch of rows, without its addresses: fields, families, ranges of
//! numbers, protocols, exporters, ports.

use crate::digest::ADDRESSES;
use crate::input::{Input, put};
use crate::ports::Ports;
use record::{Addr, Field, Row};

/// Numbers whose smallest and largest value are kept.
pub(crate) const RANGED: [Field; 10] = [
    Field::First,
    Field::Last,
    Field::Packets,
    Field::Bytes,
    Field::OutPackets,
    Field::OutBytes,
    Field::Input,
    Field::Output,
    Field::SrcAs,
    Field::DstAs,
];

/// Exporters that are kept by number; of more it is only known that they are many.
const EXPORTERS: usize = 64;

/// Smallest and largest; the other way round while there is none.
type Range = (u64, u64);
const NONE: Range = (u64::MAX, 0);

/// What is known about rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// How many there are.
    pub(crate) rows: u64,
    /// Fields that some row has: bit `field as usize`.
    present: u128,
    /// Fields that are an IPv4 or IPv6 address in some row.
    v4: u128,
    v6: u128,
    ranges: [Range; RANGED.len()],
    /// A bit a protocol.
    protos: [u64; 4],
    /// Numbers of exporters, in order; `None` if they are too many.
    exporters: Option<Vec<u16>>,
    /// Source and destination ports.
    pub(crate) ports: Ports,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            rows: 0,
            present: 0,
            v4: 0,
            v6: 0,
            ranges: [NONE; RANGED.len()],
            protos: [0; 4],
            exporters: Some(Vec::new()),
            ports: Ports::default(),
        }
    }
}

impl Known {
    /// Takes a row.
    pub(crate) fn add(&mut self, row: Row<'_>) {
        self.rows += 1;
        self.present |= row.shape().present();
        for (range, field) in self.ranges.iter_mut().zip(RANGED) {
            if let Some(n) = row.u64(field) {
                *range = (range.0.min(n), range.1.max(n));
            }
        }
        if let Some(n) = row.u64(Field::Proto) {
            self.add_proto(n);
        }
        if let Some(n) = row.u64(Field::ExporterId) {
            self.add_exporter(n as u16);
        }
        for port in [Field::SrcPort, Field::DstPort].into_iter().filter_map(|f| row.u64(f)) {
            self.ports.add(port as u16);
        }
    }

    /// Takes the family of an address of a field.
    pub(crate) const fn add_family(&mut self, field: Field, addr: Addr) {
        let bit = 1 << field as usize;
        match addr {
            Addr::V4(_) => self.v4 |= bit,
            Addr::V6(_) => self.v6 |= bit,
        }
    }

    /// Takes rows that have these fields, and these of them as addresses of each family.
    pub(crate) const fn add_fields(&mut self, rows: usize, present: u128, v4: u128, v6: u128) {
        self.rows += rows as u64;
        self.present |= present;
        self.v4 |= v4;
        self.v6 |= v6;
    }

    /// Takes the smallest and largest number of the field that has this place in [`RANGED`].
    pub(crate) fn add_range(&mut self, at: usize, low: u64, high: u64) {
        if let Some(range) = self.ranges.get_mut(at) {
            *range = (range.0.min(low), range.1.max(high));
        }
    }

    /// Takes a protocol.
    #[inline]
    pub(crate) fn add_proto(&mut self, n: u64) {
        if let Some(word) = self.protos.get_mut(n as usize / 64) {
            *word |= 1 << (n % 64);
        }
    }

    /// Takes protocols: those that are set here.
    pub(crate) fn add_protos(&mut self, seen: &[bool; 256]) {
        let all = seen.iter().zip(0..).filter(|(is_seen, _)| **is_seen);
        all.for_each(|(_, n)| self.add_proto(n));
    }

    /// Takes the number of an exporter.
    pub(crate) fn add_exporter(&mut self, number: u16) {
        let Some(all) = &mut self.exporters else { return };
        let Err(at) = all.binary_search(&number) else { return };
        match all.len() < EXPORTERS {
            true => all.insert(at, number),
            false => self.exporters = None,
        }
    }

    /// Nothing again. Room is kept.
    pub(crate) fn clear(&mut self) {
        let mut ports = std::mem::take(&mut self.ports);
        ports.clear();
        *self = Self { ports, ..Self::default() };
    }

    /// Takes what is known about other rows.
    pub(crate) fn absorb(&mut self, other: &Self) {
        self.rows += other.rows;
        self.present |= other.present;
        self.v4 |= other.v4;
        self.v6 |= other.v6;
        for (range, more) in self.ranges.iter_mut().zip(&other.ranges) {
            *range = (range.0.min(more.0), range.1.max(more.1));
        }
        self.protos.iter_mut().zip(other.protos).for_each(|(a, b)| *a |= b);
        match &other.exporters {
            Some(numbers) => numbers.iter().for_each(|n| self.add_exporter(*n)),
            None => self.exporters = None,
        }
        self.ports.absorb(&other.ports);
    }

    /// Whether a row has the field.
    pub(crate) const fn has(&self, field: Field) -> bool {
        self.present >> field as usize & 1 == 1
    }

    /// Whether a row has the field as an address of this family.
    pub(crate) const fn has_family(&self, field: Field, is_v4: bool) -> bool {
        let all = if is_v4 { self.v4 } else { self.v6 };
        all >> field as usize & 1 == 1
    }

    /// Whether a row may have the field with a number between these. Ports are asked of
    /// [`Ports`].
    pub(crate) fn has_number(&self, field: Field, from: u64, to: u64) -> bool {
        if !self.has(field) || from > to {
            return false;
        }
        if let Some(n) = RANGED.iter().position(|f| *f == field) {
            return self.ranges.get(n).is_none_or(|(low, high)| *low <= to && from <= *high);
        }
        match field {
            Field::Proto => (from..=to.min(255)).any(|n| self.has_proto(n as u8)),
            Field::ExporterId => self
                .exporters
                .as_ref()
                .is_none_or(|all| all.iter().any(|n| (from..=to).contains(&u64::from(*n)))),
            _ => true,
        }
    }

    /// Appends all but the ports.
    ///
    /// ```text
    /// rows  u128 fields  u16 address fields that are IPv4 somewhere, u16 that are IPv6
    /// u16 which ranges there are  smallest, and largest less smallest, of each
    /// u8 protocols, and each of them; or 255 and a bit each  u8 exporters, 255 if too many  each
    /// less the one before
    /// ```
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(self.rows, out);
        out.extend(self.present.to_le_bytes());
        for families in [self.v4, self.v6] {
            let bit = |(n, field): (usize, &Field)| ((families >> *field as usize & 1) as u16) << n;
            let bits = ADDRESSES.iter().enumerate().map(bit).sum::<u16>();
            out.extend(bits.to_le_bytes());
        }
        let there = self.ranges.iter().enumerate().filter(|(_, range)| **range != NONE);
        let bits = there.clone().map(|(n, _)| 1 << n).sum::<u16>();
        out.extend(bits.to_le_bytes());
        for (_, (low, high)) in there {
            put(*low, out);
            put(high.wrapping_sub(*low), out);
        }
        let protos = (0..=255).filter(|n| self.has_proto(*n));
        let count = protos.clone().count();
        if count < FEW_PROTOS {
            out.push(count as u8);
            out.extend(protos);
        } else {
            out.push(MANY);
            self.protos.iter().for_each(|word| out.extend(word.to_le_bytes()));
        }
        match &self.exporters {
            None => out.push(MANY),
            Some(numbers) => {
                out.push(numbers.len() as u8);
                let mut last = 0;
                for n in numbers {
                    put((n - last).into(), out);
                    last = *n;
                }
            }
        }
    }

    fn has_proto(&self, n: u8) -> bool {
        self.protos.get(usize::from(n / 64)).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(crate) fn decode(input: &mut Input<'_>) -> Option<Self> {
        let mut known = Self { rows: input.number()?, present: input.u128()?, ..Self::default() };
        for families in [&mut known.v4, &mut known.v6] {
            let bits = input.u16()?;
            let has = |(n, _): &(usize, &Field)| bits >> n & 1 == 1;
            let fields = ADDRESSES.iter().enumerate().filter(has);
            *families = fields.map(|(_, field)| 1_u128 << *field as usize).sum();
        }
        let bits = input.u16()?;
        let there = known.ranges.iter_mut().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
        for (_, range) in there {
            let low = input.number()?;
            *range = (low, low.wrapping_add(input.number()?));
        }
        match input.u8()? {
            MANY => {
                for word in &mut known.protos {
                    *word = input.u64()?;
                }
            }
            count => {
                input.take(count.into())?.iter().for_each(|n| known.add_proto((*n).into()));
            }
        }
        known.exporters = match input.u8()? {
            MANY => None,
            count if usize::from(count) <= EXPORTERS => {
                let mut last: u16 = 0;
                let mut next = || {
                    last = last.checked_add(input.short()?.try_into().ok()?)?;
                    Some(last)
                };
                Some((0..count).map(|_| next()).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(known)
    }
}

/// In place of a number of protocols or exporters: as a bit each; too many to be kept.
const MANY: u8 = u8::MAX;
/// So many protocols take less as a bit each.
const FEW_PROTOS: usize = 32;
