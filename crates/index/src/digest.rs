//! What is known about the rows of one block, quickly: collectors do this for each flow they write.
//!
//! Rows are dealt out by their shape, and for each shape it is worked out once what lies where. Then
//! a few rows at a time, so that they stay at hand, are looked at in short loops: one for what lies
//! beside each other in nearly all rows, one for each field elsewhere. Addresses that came a moment
//! ago are told by one comparison, of others keys are made. The slow way (`slow.rs`) is its oracle
//! in tests.

use crate::key::{Key, Role};
use crate::known::{Known, RANGED};
use crate::recent::Recent;
use record::{Addr, Field, Row, RowRef, Rows, Shape};
use sys::lanes::{self, Lanes, widest};

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
    /// Keys of its addresses, but for those that came a moment ago in its stretch.
    pub(crate) keys: Vec<Key>,
    /// Number of its stretch, if that was known.
    pub(crate) stretch: Option<u32>,
    /// Whether the block says something about exporters.
    pub(crate) says_who: bool,
}

impl Digest {
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.keys.clear();
        self.stretch = None;
        self.says_who = false;
    }
}

/// Makes digests of the blocks of one file.
#[derive(Debug, Default)]
pub(crate) struct Digester {
    /// Plans by table of shapes: a thread that reads has one.
    tables: Vec<(u64, Vec<Lane>)>,
    dealt: Dealt,
    recent: Recent,
    new: Box<New>,
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
    /// Another file begins.
    pub(crate) fn begin(&mut self) {
        self.recent.clear();
    }

    /// Adds what is known about these rows. Digests of blocks with the same stamp, less than 2^28
    /// and more than 0, are kept together: what came earlier under it is not there again.
    pub(crate) fn digest(&mut self, rows: &Rows<'_>, stamp: u32, digest: &mut Digest) {
        let lanes = lanes_of(&mut self.tables, rows);
        let others = self.dealt.deal(lanes, rows.index);
        for lane in lanes.iter_mut().filter(|lane| !lane.at.is_empty()) {
            let (recent, new) = (&mut self.recent, &mut *self.new);
            let seen = [false; 256];
            widest(Work { bytes: rows.bytes, lane, stamp, digest, recent, new, seen });
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

/// Room for dealing rows out by their shape.
#[derive(Debug, Default)]
struct Dealt(Vec<RowRef>);

impl Dealt {
    /// Deals rows out; returns those that end before what their shape has.
    fn deal(&mut self, lanes: &mut [Lane], index: &[RowRef]) -> Vec<RowRef> {
        let first = index.first().map_or(0, |r| r.shape);
        let others = match lanes.get_mut(usize::from(first)) {
            Some(lane) => self.split(lane, first, index),
            None => index,
        };
        let mut cut = Vec::new();
        for r in others {
            match lanes.get_mut(usize::from(r.shape)) {
                Some(lane) if usize::from(r.len) >= lane.plan.reach => lane.at.push(r.at),
                _ => cut.push(*r),
            }
        }
        cut
    }

    /// Puts the rows of a shape, which most are of, into their lane; returns the others.
    fn split(&mut self, lane: &mut Lane, shape: u16, index: &[RowRef]) -> &[RowRef] {
        let Self(others) = self;
        if others.len() < index.len() {
            others.resize(index.len(), RowRef { at: 0, len: 0, shape: 0 });
        }
        lane.at.resize(index.len(), 0);
        let (mut mine, mut not_mine) = (0, 0);
        let reach = lane.plan.reach;
        for r in index {
            // Each is put with both, and counts where it belongs: no branch to guess.
            if let (Some(at), Some(other)) = (lane.at.get_mut(mine), others.get_mut(not_mine)) {
                (*at, *other) = (r.at, *r);
            }
            let is_mine = r.shape == shape && usize::from(r.len) >= reach;
            mine += usize::from(is_mine);
            not_mine += usize::from(!is_mine);
        }
        lane.at.truncate(mine);
        others.get(..not_mine).unwrap_or_default()
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
    /// Where [`BASICS`] begin, if they lie as in nearly all rows.
    basics: Option<usize>,
    /// Where [`PAIRS`] begin, if they lie so.
    pairs: Option<[usize; 2]>,
    /// Index into the ranges, of all others.
    ranges: Vec<(usize, Number)>,
    /// These only without the basics.
    proto: Option<Number>,
    ports: Vec<Number>,
    exporter: Option<Number>,
    /// Where a source and behind it a destination lie, both IPv4.
    ends: Option<usize>,
    /// All others.
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

/// What the first extension of rows has (file format, section 7), and where, as far as it is looked
/// at: the first four are ranges.
const BASICS: [(Field, u16, u16); 7] = [
    (Field::First, 0, 8),
    (Field::Last, 8, 8),
    (Field::Packets, 24, 8),
    (Field::Bytes, 32, 8),
    (Field::SrcPort, 40, 2),
    (Field::DstPort, 42, 2),
    (Field::Proto, 44, 1),
];
/// Octets of these.
const BASIC_LEN: usize = 48;
/// Numbers of 32 bits that lie beside each other.
const PAIRS: [[Field; 2]; 2] = [[Field::Input, Field::Output], [Field::SrcAs, Field::DstAs]];

/// Where the fields begin, if each lies so far behind that and has so many octets.
fn together(shape: &Shape, fields: &[(Field, u16, u16)]) -> Option<usize> {
    let (first, from, _) = fields.first()?;
    let at = shape.slot(*first).at.checked_sub(*from)?;
    let lies = |(field, from, len): &(Field, u16, u16)| {
        let slot = shape.slot(*field);
        (slot.at, slot.len) == (at + from, *len)
    };
    fields.iter().all(lies).then_some(at.into())
}

/// The place of a field among the ranges.
const fn range_of(field: Field) -> usize {
    let mut n = 0;
    while n < RANGED.len() && RANGED[n] as usize != field as usize {
        n += 1;
    }
    n
}

impl Plan {
    fn of(shape: &Shape) -> Self {
        let mut plan = Self { present: shape.present(), ..Self::default() };
        plan.basics = together(shape, &BASICS);
        let [a, b] = PAIRS.map(|[a, b]| together(shape, &[(a, 0, 4), (b, 4, 4)]));
        plan.pairs = a.zip(b).map(|(a, b)| [a, b]);
        plan.ends = together(shape, &[(Field::SrcAddr, 0, 4), (Field::DstAddr, 4, 4)]);
        let is_basic = |f: Field| plan.basics.is_some() && BASICS.iter().any(|(b, ..)| *b == f);
        let is_pair = |f: Field| plan.pairs.is_some() && PAIRS.as_flattened().contains(&f);
        let is_end = |f: Field| plan.ends.is_some() && matches!(f, Field::SrcAddr | Field::DstAddr);
        let is_elsewhere = |f: &Field| !is_basic(*f) && !is_pair(*f);
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
        let ranges = RANGED.iter().enumerate().filter(|(_, field)| is_elsewhere(field));
        let ranges = ranges.filter_map(|(n, field)| Some((n, number(*field)?))).collect();
        let proto = Some(Field::Proto).filter(is_elsewhere).and_then(number);
        let ports = [Field::SrcPort, Field::DstPort].into_iter().filter(is_elsewhere);
        let ports = ports.filter_map(number).collect();
        let one_by_one: Vec<Field> = ADDRESSES.into_iter().filter(|f| !is_end(*f)).collect();
        (plan.ranges, plan.proto, plan.ports) = (ranges, proto, ports);
        plan.exporter = number(Field::ExporterId);
        for field in ADDRESSES {
            let (Some(addr), Some(role)) = (address(field), Role::of(field)) else { continue };
            let bit = 1 << field as usize;
            match addr.is_v4 {
                true => plan.v4 |= bit,
                false => plan.v6 |= bit,
            }
            if one_by_one.contains(&field) {
                plan.addresses.push((role, addr));
            }
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
    #[inline(always)]
    fn each(self, bytes: &[u8], rows: &[u32], f: impl FnMut(u64)) {
        match self.width {
            Width::One => each(bytes, rows, self.at, |[a]: [u8; 1]| a.into(), f),
            Width::Two => each(bytes, rows, self.at, |n| u16::from_le_bytes(n).into(), f),
            Width::Four => each(bytes, rows, self.at, |n| u32::from_le_bytes(n).into(), f),
            Width::Eight => each(bytes, rows, self.at, u64::from_le_bytes, f),
        }
    }

    #[inline(always)]
    fn of(self, bytes: &[u8], row: u32) -> u64 {
        let mut number = 0;
        self.each(bytes, &[row], |n| number = n);
        number
    }
}

/// Calls with what lies at a place of each row.
#[inline(always)]
fn each<const N: usize, T>(
    bytes: &[u8],
    rows: &[u32],
    at: usize,
    read: impl Fn([u8; N]) -> T,
    mut f: impl FnMut(T),
) {
    let bytes = bytes.get(at..).unwrap_or_default();
    for row in rows {
        if let Some(n) = chunk(bytes, *row) {
            f(read(*n));
        }
    }
}

/// So many octets of a row.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], row: u32) -> Option<&[u8; N]> {
    // One comparison: nothing overflows.
    bytes.get(row as usize..row as usize + N)?.first_chunk()
}

struct Work<'w> {
    bytes: &'w [u8],
    lane: &'w Lane,
    stamp: u32,
    digest: &'w mut Digest,
    recent: &'w mut Recent,
    new: &'w mut New,
    /// Protocols.
    seen: [bool; 256],
}

impl lanes::Work for Work<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, _: L) {
        let plan = &self.lane.plan;
        self.digest.known.add_fields(self.lane.at.len(), plan.present, plan.v4, plan.v6);
        for rows in self.lane.at.chunks(TOGETHER) {
            if let Some(at) = plan.basics {
                self.basics(at, rows);
            }
            if let Some(at) = plan.pairs {
                self.pairs(at, rows);
            }
            self.numbers(plan, rows);
            if let Some(at) = plan.ends {
                self.ends(at, rows);
            }
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
        self.digest.known.add_protos(&self.seen);
    }
}

impl Work<'_> {
    /// What lies together in the first extension.
    #[inline(always)]
    fn basics(&mut self, at: usize, rows: &[u32]) {
        let known = &mut self.digest.known;
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let (mut low, mut high) = ([u64::MAX; 4], [0; 4]);
        for row in rows {
            let Some(row) = chunk::<BASIC_LEN>(bytes, *row) else { continue };
            let (numbers, _) = row.as_chunks::<8>();
            let &[first, last, _, packets, bytes, _] = numbers else { continue };
            let numbers = [first, last, packets, bytes].map(u64::from_le_bytes);
            for ((low, high), n) in low.iter_mut().zip(&mut high).zip(numbers) {
                (*low, *high) = ((*low).min(n), (*high).max(n));
            }
        }
        for ((field, ..), (low, high)) in BASICS.iter().zip(low.into_iter().zip(high)) {
            known.add_range(range_of(*field), low, high);
        }
        // In a loop of its own: all of it together needs more registers than there are.
        let bytes = bytes.get(BASIC_LEN - 8..).unwrap_or_default();
        let Some(mut ports) = known.ports.all_of_them() else { return };
        for row in rows {
            let Some(row) = chunk::<8>(bytes, *row) else { continue };
            let both = u64::from_le_bytes(*row);
            ports.add(both as u16);
            ports.add((both >> 16) as u16);
            self.seen[usize::from((both >> 32) as u8)] = true;
        }
    }

    /// Interfaces and systems.
    #[inline(always)]
    fn pairs(&mut self, [one, other]: [usize; 2], rows: &[u32]) {
        let (mut low, mut high) = ([u32::MAX; 4], [0; 4]);
        let one = self.bytes.get(one..).unwrap_or_default();
        let other = self.bytes.get(other..).unwrap_or_default();
        for row in rows {
            let (Some(a), Some(b)) = (chunk::<8>(one, *row), chunk::<8>(other, *row)) else {
                continue;
            };
            let (mut numbers, (a, _), (b, _)) = ([0; 4], a.as_chunks::<4>(), b.as_chunks::<4>());
            for (room, octets) in numbers.iter_mut().zip(a.iter().chain(b)) {
                *room = u32::from_le_bytes(*octets);
            }
            for ((low, high), n) in low.iter_mut().zip(&mut high).zip(numbers) {
                (*low, *high) = ((*low).min(n), (*high).max(n));
            }
        }
        for (field, (low, high)) in PAIRS.as_flattened().iter().zip(low.into_iter().zip(high)) {
            self.digest.known.add_range(range_of(*field), low.into(), high.into());
        }
    }

    #[inline(always)]
    fn numbers(&mut self, plan: &Plan, rows: &[u32]) {
        let known = &mut self.digest.known;
        for (n, number) in &plan.ranges {
            let (mut low, mut high) = (u64::MAX, 0);
            number.each(self.bytes, rows, |n| (low, high) = (low.min(n), high.max(n)));
            known.add_range(*n, low, high);
        }
        for port in &plan.ports {
            let Some(mut ports) = known.ports.all_of_them() else { continue };
            port.each(self.bytes, rows, |n| ports.add(n as u16));
        }
        if let Some(proto) = plan.proto {
            proto.each(self.bytes, rows, |n| known.add_proto(n));
        }
        if let Some(exporter) = plan.exporter {
            let (mut seen, mut all) = (0_u64, 0);
            exporter.each(self.bytes, rows, |n| {
                seen |= 1 << (n % 64);
                all |= n;
            });
            match all < 64 {
                true => (0..64).filter(|n| seen >> n & 1 == 1).for_each(|n| known.add_exporter(n)),
                false => exporter.each(self.bytes, rows, |n| known.add_exporter(n as u16)),
            }
        }
    }

    /// Sources and destinations.
    #[inline(always)]
    fn ends(&mut self, at: usize, rows: &[u32]) {
        let (recent, new) = (self.recent.v4(Role::End, self.stamp), &mut *self.new);
        let mut count = 0;
        each(self.bytes, rows, at, u64::from_le_bytes, |both| {
            for addr in [both as u32, (both >> 32) as u32] {
                // All are noted, and those that are known noted over: no branch to guess.
                new.v4[count % MANY] = addr;
                count += usize::from(recent.swap(addr));
            }
        });
        let new = new.v4.iter().take(count).map(|addr| Role::End.host(Addr::V4(*addr)));
        self.digest.keys.extend(new);
    }

    #[inline(always)]
    fn v4(&mut self, role: Role, at: usize, rows: &[u32]) {
        let (recent, new) = (self.recent.v4(role, self.stamp), &mut *self.new);
        let mut is_new = false;
        each(self.bytes, rows, at, u32::from_le_bytes, |addr| is_new |= !recent.has(addr));
        if !is_new {
            return; // mostly, of routers and next hops
        }
        let mut count = 0;
        each(self.bytes, rows, at, u32::from_le_bytes, |addr| {
            new.v4[count % MANY] = addr;
            count += usize::from(recent.swap(addr));
        });
        let new = new.v4.iter().take(count).map(|addr| role.host(Addr::V4(*addr)));
        self.digest.keys.extend(new);
    }

    #[inline(always)]
    fn v6(&mut self, role: Role, at: usize, rows: &[u32]) {
        let (recent, new) = (self.recent.v6(role, self.stamp), &mut *self.new);
        let mut count = 0;
        let read = |octets: [u8; 16]| Addr::from_row(&octets);
        each(self.bytes, rows, at, read, |addr| {
            if let Some(Addr::V6(addr)) = addr {
                new.v6[count % MANY] = addr;
                count += usize::from(recent.swap(addr));
            }
        });
        let new = new.v6.iter().take(count).map(|addr| role.host(Addr::V6(*addr)));
        self.digest.keys.extend(new);
    }

    fn endpoints(&mut self, addr: Address, port: Number, rows: &[u32]) {
        for row in rows {
            let at = *row as usize + addr.at;
            let width = if addr.is_v4 { 4 } else { 16 };
            let Some(addr) = self.bytes.get(at..at + width).and_then(Addr::from_row) else {
                continue;
            };
            let key = Role::Translated.endpoint(addr, port.of(self.bytes, *row) as u16);
            if self.recent.is_new_key(key, self.stamp) {
                self.digest.keys.push(key);
            }
        }
    }
}

/// Addresses of a few rows that did not come a moment ago. Kept, because to make it anew each time
/// would take longer than to use it.
#[derive(Debug)]
struct New {
    v4: [u32; MANY],
    v6: [u128; MANY],
}

/// Addresses that are looked at together.
const MANY: usize = 2 * TOGETHER;

impl Default for New {
    fn default() -> Self {
        Self { v4: [0; MANY], v6: [0; MANY] }
    }
}
