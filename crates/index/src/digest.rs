//! What is known about the rows of one block, quickly: collectors do this for each flow they write.
//!
//! Rows are dealt out by their shape, and for each shape it is worked out once what lies where. Then
//! a few rows at a time, so that they stay at hand, each field is read in a loop of its own. Addresses
//! that came a moment ago are told by one comparison; only of others keys are made, and only of those
//! the networks are looked at. The slow way (`slow.rs`) is its oracle in tests.

use crate::key::{Key, Role};
use crate::known::{Known, RANGED};
use record::{Addr, Field, Row, Rows, Shape};

/// Addresses, in the order of the table.
pub(crate) const ADDRESSES: [Field; 9] = [
    Field::SrcAddr,
    Field::DstAddr,
    Field::NextHop,
    Field::BgpNextHop,
    Field::Router,
    Field::XlateSrcAddr,
    Field::XlateDstAddr,
    Field::TunSrcAddr,
    Field::TunDstAddr,
];

/// Addresses with the port that goes with them.
pub(crate) const ENDPOINTS: [(Field, Field); 2] =
    [(Field::XlateSrcAddr, Field::XlateSrcPort), (Field::XlateDstAddr, Field::XlateDstPort)];

/// What is known about the rows of a block.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) known: Known,
    /// Keys of its addresses, each at least once.
    pub(crate) keys: Vec<Key>,
    /// Whether the block says something about exporters.
    pub(crate) says_who: bool,
}

impl Digest {
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.keys.clear();
        self.says_who = false;
    }
}

/// Makes digests.
#[derive(Debug, Default)]
pub(crate) struct Digester {
    /// Plans by table of shapes: a thread that reads has one.
    tables: Vec<(u64, Vec<Lane>)>,
    recent: Recent,
}

/// Rows of one shape.
#[derive(Debug)]
struct Lane {
    plan: Plan,
    /// Where they begin.
    at: Vec<u32>,
}

/// Tables whose plans are kept: those of a few threads.
const TABLES: usize = 16;
/// Rows that are looked at together: about 16 KiB.
const TOGETHER: usize = 128;

impl Digester {
    /// Adds what is known about these rows.
    pub(crate) fn digest(&mut self, rows: &Rows<'_>, digest: &mut Digest) {
        let lanes = lanes_of(&mut self.tables, rows);
        let mut others = Vec::new();
        for r in rows.index {
            match lanes.get_mut(usize::from(r.shape)) {
                Some(lane) if usize::from(r.len) >= lane.plan.reach => lane.at.push(r.at),
                _ => others.push(r),
            }
        }
        self.recent.begin();
        for lane in lanes.iter_mut().filter(|lane| !lane.at.is_empty()) {
            let mut work = Work { bytes: rows.bytes, digest, recent: &mut self.recent };
            work.lane(lane);
            lane.at.clear();
        }
        // Rows that end before what their shape has: damage.
        for r in others {
            let octets = rows.bytes.get(r.at as usize..r.at as usize + usize::from(r.len));
            let shape = rows.table.shapes().get(usize::from(r.shape));
            if let (Some(octets), Some(shape)) = (octets, shape) {
                digest.known.add(Row::new(octets, shape));
                add_addresses(Row::new(octets, shape), digest);
            }
        }
    }
}

/// The plans of a table of shapes.
fn lanes_of<'l>(tables: &'l mut Vec<(u64, Vec<Lane>)>, rows: &Rows<'_>) -> &'l mut Vec<Lane> {
    let id = rows.table.id();
    let at = tables.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
        if tables.len() == TABLES {
            tables.remove(0);
        }
        tables.push((id, Vec::new()));
        tables.len() - 1
    });
    let (_, lanes) = &mut tables[at];
    let new = rows.table.shapes().iter().skip(lanes.len());
    lanes.extend(new.map(|shape| Lane { plan: Plan::of(shape), at: Vec::new() }));
    lanes
}

/// Adds the keys of a row's addresses, by looking fields up.
pub(crate) fn add_addresses(row: Row<'_>, digest: &mut Digest) {
    for field in ADDRESSES {
        if let (Some(addr), Some(role)) = (row.addr(field), Role::of(field)) {
            digest.known.add_family(field, addr);
            digest.keys.push(role.host(addr));
        }
    }
    for (addr, port) in ENDPOINTS {
        if let (Some(addr), Some(port)) = (row.addr(addr), row.u64(port)) {
            digest.keys.push(Role::Translated.endpoint(addr, port as u16));
        }
    }
}

/// What lies where in the rows of a shape.
#[derive(Debug, Default)]
struct Plan {
    /// Octets that a row has to have.
    reach: usize,
    present: u128,
    v4: u128,
    v6: u128,
    /// Index into the ranges.
    ranges: Vec<(usize, Number)>,
    proto: Option<Number>,
    exporter: Option<Number>,
    ports: Vec<Number>,
    addresses: Vec<(Role, Address)>,
    endpoints: Vec<(Address, Number)>,
}

/// Where a number lies.
#[derive(Clone, Copy, Debug)]
struct Number {
    at: usize,
    width: Width,
}

#[derive(Clone, Copy, Debug)]
enum Width {
    One,
    Two,
    Four,
    Eight,
}

/// Where an address lies.
#[derive(Clone, Copy, Debug)]
struct Address {
    at: usize,
    is_v4: bool,
}

impl Plan {
    fn of(shape: &Shape) -> Self {
        let mut plan = Self { present: shape.present(), ..Self::default() };
        let number = |field: Field| {
            let slot = shape.slot(field);
            let width = match slot.len {
                1 => Width::One,
                2 => Width::Two,
                4 => Width::Four,
                8 => Width::Eight,
                _ => return None,
            };
            Some(Number { at: slot.at.into(), width })
        };
        let address = |field: Field| {
            let slot = shape.slot(field);
            let is_v4 = slot.len == 4;
            (is_v4 || slot.len == 16).then_some(Address { at: slot.at.into(), is_v4 })
        };
        let ranges = RANGED.iter().enumerate();
        plan.ranges = ranges.filter_map(|(n, field)| Some((n, number(*field)?))).collect();
        plan.proto = number(Field::Proto);
        plan.exporter = number(Field::ExporterId);
        plan.ports = [Field::SrcPort, Field::DstPort].into_iter().filter_map(number).collect();
        for field in ADDRESSES {
            let (Some(addr), Some(role)) = (address(field), Role::of(field)) else { continue };
            let bit = 1 << field as usize;
            match addr.is_v4 {
                true => plan.v4 |= bit,
                false => plan.v6 |= bit,
            }
            plan.addresses.push((role, addr));
        }
        let pairs = ENDPOINTS.into_iter();
        plan.endpoints = pairs.filter_map(|(a, p)| Some((address(a)?, number(p)?))).collect();
        plan.reach = shape.fields().filter(|f| is_looked_at(*f)).fold(0, |reach, field| {
            let slot = shape.slot(field);
            reach.max(usize::from(slot.at) + usize::from(slot.len))
        });
        plan
    }
}

fn is_looked_at(field: Field) -> bool {
    const MORE: [Field; 4] = [Field::Proto, Field::ExporterId, Field::SrcPort, Field::DstPort];
    RANGED.contains(&field)
        || ADDRESSES.contains(&field)
        || MORE.contains(&field)
        || ENDPOINTS.iter().any(|(_, port)| *port == field)
}

impl Number {
    /// Calls with the number of each row.
    #[inline]
    fn each(self, bytes: &[u8], rows: &[u32], f: impl FnMut(u64)) {
        match self.width {
            Width::One => each(bytes, rows, self.at, |[a]: [u8; 1]| a.into(), f),
            Width::Two => each(bytes, rows, self.at, |n| u16::from_le_bytes(n).into(), f),
            Width::Four => each(bytes, rows, self.at, |n| u32::from_le_bytes(n).into(), f),
            Width::Eight => each(bytes, rows, self.at, u64::from_le_bytes, f),
        }
    }

    #[inline]
    fn of(self, bytes: &[u8], row: u32) -> u64 {
        let mut number = 0;
        self.each(bytes, &[row], |n| number = n);
        number
    }
}

/// Calls with what lies at a place of each row.
#[inline]
fn each<const N: usize, T>(
    bytes: &[u8],
    rows: &[u32],
    at: usize,
    read: impl Fn([u8; N]) -> T,
    mut f: impl FnMut(T),
) {
    for row in rows {
        if let Some(n) = bytes.get(*row as usize + at..).and_then(<[u8]>::first_chunk) {
            f(read(*n));
        }
    }
}

struct Work<'w> {
    bytes: &'w [u8],
    digest: &'w mut Digest,
    recent: &'w mut Recent,
}

impl Work<'_> {
    fn lane(&mut self, lane: &Lane) {
        let plan = &lane.plan;
        self.digest.known.add_fields(lane.at.len(), plan.present, plan.v4, plan.v6);
        for rows in lane.at.chunks(TOGETHER) {
            self.numbers(plan, rows);
            for (role, addr) in &plan.addresses {
                match addr.is_v4 {
                    true => self.v4(*role, addr.at, rows),
                    false => self.v6(*role, addr.at, rows),
                }
            }
            for (addr, port) in &plan.endpoints {
                self.endpoints(*addr, *port, rows);
            }
        }
    }

    fn numbers(&mut self, plan: &Plan, rows: &[u32]) {
        let known = &mut self.digest.known;
        for (n, number) in &plan.ranges {
            let (mut low, mut high) = (u64::MAX, 0);
            number.each(self.bytes, rows, |n| (low, high) = (low.min(n), high.max(n)));
            known.add_range(*n, low, high);
        }
        for port in &plan.ports {
            let mut ports = known.ports.all_of_them();
            port.each(self.bytes, rows, |n| ports.add(n as u16));
        }
        if let Some(proto) = plan.proto {
            proto.each(self.bytes, rows, |n| known.add_proto(n));
        }
        if let Some(exporter) = plan.exporter {
            let mut last = None;
            exporter.each(self.bytes, rows, |n| {
                if last.replace(n) != Some(n) {
                    known.add_exporter(n as u16);
                }
            });
        }
    }

    fn v4(&mut self, role: Role, at: usize, rows: &[u32]) {
        // All are noted and those that are known noted over: no branch to guess.
        let (recent, mut new, mut count) = (&mut *self.recent, [0; TOGETHER], 0);
        each(self.bytes, rows, at, u32::from_le_bytes, |n| {
            new[count % TOGETHER] = n;
            count += usize::from(recent.is_new_v4(role, n));
        });
        let new = new.iter().take(count);
        self.digest.keys.extend(new.map(|n| role.host(Addr::V4(*n))));
    }

    fn v6(&mut self, role: Role, at: usize, rows: &[u32]) {
        let (recent, keys) = (&mut *self.recent, &mut self.digest.keys);
        let read = |octets: [u8; 16]| Addr::from_row(&octets);
        each(self.bytes, rows, at, read, |addr| {
            let Some(addr) = addr else { return };
            let key = role.host(addr);
            if recent.is_new_key(key.own) {
                keys.push(key);
            }
        });
    }

    fn endpoints(&mut self, addr: Address, port: Number, rows: &[u32]) {
        for row in rows {
            let at = *row as usize + addr.at;
            let width = if addr.is_v4 { 4 } else { 16 };
            let Some(addr) = self.bytes.get(at..at + width).and_then(Addr::from_row) else {
                continue;
            };
            let key = Role::Translated.endpoint(addr, port.of(self.bytes, *row) as u16);
            if self.recent.is_new_key(key.own) {
                self.digest.keys.push(key);
            }
        }
    }
}

/// Addresses that came lately in this block, by a few of their bits.
#[derive(Debug)]
struct Recent {
    /// Which block: what was there before counts for nothing.
    block: u64,
    /// Address, part (bits 32 to 35), block (from bit 36).
    v4: Vec<u64>,
    /// Keys, with their block.
    keys: Vec<(u64, u64)>,
}

impl Recent {
    const V4_BITS: u32 = 13;
    const KEY_BITS: u32 = 11;
    /// Blocks that have a number of their own.
    const BLOCKS: u64 = 1 << 28;

    fn begin(&mut self) {
        self.block += 1;
        if self.block == Self::BLOCKS {
            *self = Self::default();
        }
    }

    #[inline]
    fn is_new_v4(&mut self, role: Role, addr: u32) -> bool {
        let what = u64::from(addr) | (role as u64) << 32;
        let at = what.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - Self::V4_BITS);
        let entry = what | self.block << 36;
        let Some(last) = self.v4.get_mut(at as usize) else { return true };
        std::mem::replace(last, entry) != entry
    }

    #[inline]
    fn is_new_key(&mut self, key: u64) -> bool {
        match self.keys.get_mut((key >> (64 - Self::KEY_BITS)) as usize) {
            Some(last) if *last == (key, self.block) => false,
            Some(last) => {
                *last = (key, self.block);
                true
            }
            None => true,
        }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { block: 1, v4: vec![0; 1 << Self::V4_BITS], keys: vec![(0, 0); 1 << Self::KEY_BITS] }
    }
}
