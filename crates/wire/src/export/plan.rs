//! A set of fields compiled once into a template and the steps that write a record of it.

use super::element::{self, Nature, Wire, bit};
use super::message::Message;
use super::{ExportConfig, ExportCounts, Version};
use crate::template::{FieldSpec, VARIABLE};
use record::code::Proto;
use record::{Field, Kind, Row};

/// What rows have to have in common to share a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    /// Fields, as [`record::Shape::present`] has them, without those that are not written.
    present: u128,
    /// Which addresses are IPv6: bits in the order of [`ADDRESSES`].
    v6: u16,
    /// ICMP of which family: its type and code come in place of ports.
    icmp: Icmp,
    /// Octets of the application id, where the template says them.
    app_len: u8,
    /// A counter has more than 32 bits.
    is_wide: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Icmp {
    #[default]
    No,
    V4,
    V6,
}

const ADDRESSES: [Field; 8] = [
    Field::SrcAddr,
    Field::DstAddr,
    Field::BgpNextHop,
    Field::NextHop,
    Field::XlateSrcAddr,
    Field::XlateDstAddr,
    Field::TunSrcAddr,
    Field::TunDstAddr,
];

/// What has 64 bits and hardly ever needs them: 4 octets are sent where they do (RFC 7011, 6.2; over
/// v9 4 are usual).
const COUNTERS: [Field; 4] = [Field::Bytes, Field::Packets, Field::OutBytes, Field::OutPackets];

/// Longest application id of a template (RFC 6759, 4.1: one octet of engine, then a selector).
const APP_LEN_MAX: u16 = 32;

/// Octets that a record has at least: fewer would look like the padding of a set.
const RECORD_MIN: usize = 4;

/// What of rows is written at all, and what of it makes templates differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    carried: u128,
    rare_addresses: u128,
    is_v9: bool,
}

impl Scope {
    pub(super) fn new(version: Version) -> Self {
        let carried = element::carried(version);
        let common = bit(Field::SrcAddr) | bit(Field::DstAddr);
        let rare_addresses = carried & element::addresses() & !common;
        Self { carried, rare_addresses, is_v9: version == Version::V9 }
    }

    /// What template `row` needs; `has_times` if it has start and end beside its fields.
    #[inline]
    pub(super) fn key(&self, row: Row<'_>, has_times: bool) -> Key {
        let shape = row.shape();
        let mut present = shape.present();
        if has_times {
            present |= bit(Field::First) | bit(Field::Last);
        }
        let mut v6 = 0;
        let count = if present & self.rare_addresses == 0 { 2 } else { ADDRESSES.len() };
        for (i, field) in ADDRESSES.iter().enumerate().take(count) {
            v6 |= u16::from(shape.slot(*field).len == 16) << i;
        }
        let icmp = match Proto(row.number(Field::Proto) as u8) {
            Proto::ICMP => Icmp::V4,
            Proto::ICMP6 => Icmp::V6,
            _ => Icmp::No,
        };
        let app_len = match shape.slot(Field::AppId).len {
            len @ 1..=APP_LEN_MAX if self.is_v9 => len as u8,
            _ => 0,
        };
        let counters = COUNTERS.iter().fold(0, |all, field| all | row.number(*field));
        let is_wide = counters >> 32 != 0;
        Key { present: present & self.carried, v6, icmp, app_len, is_wide }
    }

    /// Fields of `row` that the version has no place for.
    #[inline]
    pub(super) fn left_out(&self, row: Row<'_>) -> u32 {
        (row.shape().present() & !self.carried & !element::OF_RECORD).count_ones()
    }
}

impl Key {
    /// Where to look for it first.
    #[inline]
    pub(super) const fn hash(&self) -> u64 {
        let low = self.present as u64 ^ (self.v6 as u64) << 48 ^ (self.icmp as u64) << 32;
        let rest = self.app_len as u64 ^ (self.is_wide as u64) << 8;
        let mixed = low ^ ((self.present >> 64) as u64 ^ rest).rotate_left(29);
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    const fn has(&self, field: Field) -> bool {
        self.present & bit(field) != 0
    }

    /// Whether the address is IPv6.
    fn is_v6(&self, field: Field) -> bool {
        let at = ADDRESSES.iter().position(|f| *f == field);
        at.is_some_and(|at| self.v6 >> at & 1 != 0)
    }
}

/// One thing to write.
#[derive(Clone, Copy, Debug)]
struct Step {
    op: Op,
    field: Field,
    /// Where in the record.
    at: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A number of so many octets.
    Number1,
    Number2,
    Number3,
    Number4,
    Number6,
    Number8,
    V4,
    V6,
    /// Start or end, of 4 or 8 octets.
    First4,
    First8,
    Last4,
    Last8,
    /// Octets, with zeros behind them up to this length.
    Octets(u16),
    Segment,
    /// Of microseconds, whole seconds and the rest.
    Seconds,
    Rest,
}

/// A template and how to write its records.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fields: Box<[FieldSpec]>,
    steps: Box<[Step]>,
    /// Fields of variable length, behind the others.
    variable: Box<[Field]>,
    /// Octets of the others.
    fixed_len: usize,
    /// Fields of the key that have no place in records of this kind.
    pub(super) left_out: u32,
    /// Whether start and end are written.
    pub(super) has_times: bool,
}

/// Order of the fields of a template: who and when first, as is usual.
const LEADING: [Field; 13] = [
    Field::FwEventTime,
    Field::NatEventTime,
    Field::ConnId,
    Field::SrcAddr,
    Field::DstAddr,
    Field::NextHop,
    Field::First,
    Field::Last,
    Field::Bytes,
    Field::Packets,
    Field::OutBytes,
    Field::OutPackets,
    Field::Flows,
];

impl Plan {
    /// Compiles a template for rows of this key. One without fields is for rows with nothing that
    /// could be written.
    pub(super) fn compile(config: &ExportConfig, key: &Key) -> Self {
        let nature = Nature::of(config.version, key.present);
        let mut draft = Draft::default();
        let rest = Field::ALL.iter().filter(|f| !LEADING.contains(f));
        for field in LEADING.iter().chain(rest).copied().filter(|f| key.has(*f)) {
            match element::element_in(config, nature, field) {
                Wire::None => draft.left_out += 1,
                wire => draft.add(config, key, field, wire),
            }
        }
        draft.finish()
    }

    /// Octets of the record of `row`.
    #[inline]
    pub(super) fn len(&self, row: Row<'_>) -> usize {
        let variable = self.variable.iter().map(|f| {
            let len = value(row, *f).len();
            len + if len < 255 { 1 } else { 3 }
        });
        self.fixed_len + variable.sum::<usize>()
    }

    /// Octets of the shortest record.
    pub(super) fn min_len(&self) -> usize {
        self.fixed_len + self.variable.len()
    }

    /// Octets of all records; `None` if not all have as many.
    pub(super) fn fixed_len(&self) -> Option<usize> {
        self.variable.is_empty().then_some(self.fixed_len)
    }

    /// What is written of which field, and where in the record.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Op, Field, usize)> {
        self.steps.iter().map(|step| (step.op, step.field, usize::from(step.at)))
    }

    /// Writes the record of `row` into set `id`. `times` are start and end as they are sent.
    #[inline]
    pub(super) fn write(
        &self,
        id: u16,
        row: Row<'_>,
        times: (u64, u64),
        message: &mut Message,
        counts: &mut ExportCounts,
    ) {
        let out = message.record(id, self.fixed_len);
        let mut wide = 0;
        for step in &self.steps {
            wide += u64::from(!step.run(row, times, out));
        }
        counts.wide_values += wide;
        for field in &self.variable {
            let value = value(row, *field);
            match (value.len() as u16).to_be_bytes() {
                [0, len] if len < 255 => message.append(&[len]),
                [high, low] => message.append(&[255, high, low]),
            }
            message.append(value);
        }
    }
}

/// Octets or text of a row.
#[inline]
fn value<'a>(row: Row<'a>, field: Field) -> &'a [u8] {
    let value = match field.kind() {
        Kind::Text(_) => row.text(field),
        _ => row.bytes(field),
    };
    value.unwrap_or_default()
}

/// A template that is being put together.
#[derive(Debug, Default)]
struct Draft {
    fields: Vec<FieldSpec>,
    steps: Vec<Step>,
    variable: Vec<(Field, FieldSpec)>,
    at: u16,
    left_out: u32,
}

impl Draft {
    fn add(&mut self, config: &ExportConfig, key: &Key, field: Field, wire: Wire) {
        match wire {
            Wire::None => self.left_out += 1,
            Wire::Number(..) if key.icmp != Icmp::No && field == Field::SrcPort => {
                // Type and code say it all, and receivers take no port beside them.
                self.left_out += u32::from(!key.has(Field::DstPort));
            }
            Wire::Number(..) if key.icmp != Icmp::No && field == Field::DstPort => {
                // v9 has one element for both families (RFC 3954, 8), and nfcapd reads no other.
                let is_v9 = config.version == Version::V9;
                let id = if is_v9 || key.icmp == Icmp::V4 { 32 } else { 139 };
                self.push(field, Op::Number2, (0, id, 2));
            }
            Wire::Number(pen, id, 8) if !key.is_wide && COUNTERS.contains(&field) => {
                self.push(field, Op::Number4, (pen, id, 4));
            }
            Wire::Number(pen, id, len) => self.push(field, number(len), (pen, id, len)),
            Wire::Addr(pen, v4, v6) => match (key.is_v6(field), v4, v6) {
                (true, _, 0) | (false, 0, _) => self.left_out += 1,
                (true, _, id) => self.push(field, Op::V6, (pen, id, 16)),
                (false, id, _) => self.push(field, Op::V4, (pen, id, 4)),
            },
            Wire::Mask(v4, v6) => {
                let (own, other) = match field {
                    Field::SrcMask => (Field::SrcAddr, Field::DstAddr),
                    _ => (Field::DstAddr, Field::SrcAddr),
                };
                let addr = if key.has(own) { own } else { other };
                let id = if key.is_v6(addr) { v6 } else { v4 };
                self.push(field, Op::Number1, (0, id, 1));
            }
            Wire::Fixed(pen, id, len) => self.push(field, Op::Octets(len), (pen, id, len)),
            Wire::AsLong(_) if key.app_len == 0 => self.left_out += 1,
            Wire::AsLong(id) => {
                let len = u16::from(key.app_len);
                self.push(field, Op::Octets(len), (0, id, len));
            }
            Wire::Variable(pen, id) => {
                self.variable.push((field, FieldSpec { pen, id, len: VARIABLE }));
            }
            Wire::Segment(id) => self.push(field, Op::Segment, (0, id, 8)),
            Wire::Micros(pen, secs, rest) => {
                self.push(field, Op::Seconds, (pen, secs, 4));
                self.push(field, Op::Rest, (pen, rest, 4));
            }
            Wire::Time => {
                let (first, last, len) = element::time_elements(config.time);
                let (id, op) = match (field, len) {
                    (Field::First, 4) => (first, Op::First4),
                    (Field::First, _) => (first, Op::First8),
                    (_, 4) => (last, Op::Last4),
                    _ => (last, Op::Last8),
                };
                self.push(field, op, (0, id, len));
            }
        }
    }

    fn push(&mut self, field: Field, op: Op, (pen, id, len): (u32, u16, u16)) {
        self.fields.push(FieldSpec { pen, id, len });
        self.steps.push(Step { op, field, at: self.at });
        self.at += len;
    }

    fn finish(mut self) -> Plan {
        const PADDING: u16 = 210;
        let shortest = usize::from(self.at) + self.variable.len();
        if shortest > 0 && shortest < RECORD_MIN {
            let len = (RECORD_MIN - shortest) as u16;
            self.fields.push(FieldSpec { pen: 0, id: PADDING, len });
            self.at += len;
        }
        self.fields.extend(self.variable.iter().map(|v| v.1));
        Plan {
            fields: self.fields.into(),
            has_times: self.steps.iter().any(|s| matches!(s.field, Field::First | Field::Last)),
            steps: self.steps.into(),
            variable: self.variable.iter().map(|v| v.0).collect(),
            fixed_len: self.at.into(),
            left_out: self.left_out,
        }
    }
}

const fn number(len: u16) -> Op {
    match len {
        1 => Op::Number1,
        2 => Op::Number2,
        3 => Op::Number3,
        4 => Op::Number4,
        6 => Op::Number6,
        _ => Op::Number8,
    }
}

impl Step {
    /// Writes to its place in the record `out`. Returns whether the value fitted.
    #[inline]
    fn run(&self, row: Row<'_>, (first, last): (u64, u64), out: &mut [u8]) -> bool {
        let Some(out) = out.get_mut(usize::from(self.at)..) else { return true };
        let number = || row.number(self.field);
        match self.op {
            Op::Number1 => put::<1>(out, number()),
            Op::Number2 => put::<2>(out, number()),
            Op::Number3 => put::<3>(out, number()),
            Op::Number4 => put::<4>(out, number()),
            Op::Number6 => put::<6>(out, number()),
            Op::Number8 => put::<8>(out, number()),
            Op::V4 => {
                let addr = row.bytes(self.field).and_then(|b| b.first_chunk::<4>());
                let addr = u32::from_le_bytes(addr.copied().unwrap_or_default());
                put::<4>(out, addr.into())
            }
            Op::V6 => v6(out, row.bytes(self.field)),
            Op::First4 => put::<4>(out, first),
            Op::First8 => put::<8>(out, first),
            Op::Last4 => put::<4>(out, last),
            Op::Last8 => put::<8>(out, last),
            Op::Octets(len) => octets(out.get_mut(..usize::from(len)), value(row, self.field)),
            Op::Segment => segment(out, number()),
            Op::Seconds => put::<4>(out, number() / 1_000_000),
            Op::Rest => put::<4>(out, number() % 1_000_000),
        }
    }
}

/// Writes a number of `N` octets, big-endian; 0 for one that has more.
#[inline]
fn put<const N: usize>(out: &mut [u8], value: u64) -> bool {
    let fits = N >= 8 || value >> (8 * N) == 0;
    let value = if fits { value } else { 0 };
    if let (Some(out), Some(octets)) =
        (out.first_chunk_mut::<N>(), value.to_be_bytes().last_chunk::<N>())
    {
        *out = *octets;
    }
    fits
}

#[inline]
fn v6(out: &mut [u8], addr: Option<&[u8]>) -> bool {
    let Some((high, low)) = addr.and_then(|a| a.split_first_chunk::<8>()) else { return true };
    if let (Some(out), Some(low)) = (out.first_chunk_mut::<16>(), low.first_chunk::<8>()) {
        let high = u64::from_le_bytes(*high);
        let both = u128::from(high) << 64 | u128::from(u64::from_le_bytes(*low));
        *out = both.to_be_bytes();
    }
    true
}

fn octets(out: Option<&mut [u8]>, value: &[u8]) -> bool {
    let Some(out) = out else { return true };
    let len = value.len().min(out.len());
    let (head, _) = out.split_at_mut(len);
    head.copy_from_slice(value.get(..len).unwrap_or_default());
    len == value.len()
}

/// A layer 2 segment id: a type in the first octet, a number in the last three. A row has the
/// number; nearly always it is VXLAN's.
fn segment(out: &mut [u8], number: u64) -> bool {
    const VXLAN: u64 = 1 << 56;
    if number >> 24 != 0 {
        return false;
    }
    put::<8>(out, VXLAN | number)
}
