//! A template compiled once into copy steps, run for every data record.
//!
//! A step says where its octets begin, how many they are and what becomes of them. Offsets are
//! fixed; where an element of variable length comes first, they count from its end.

use crate::Counters;
use crate::element::{Head, List, Op, Slot, element, forward_of};
use crate::ready::{Ready, Source, Times};
use crate::template::{FieldSpec, VARIABLE};
use crate::{Protocol, cursor};
use record::{Addr, Field, Flow};
use std::cell::OnceCell;
use std::collections::HashSet;

/// Steps from an exporter's record to a [`Flow`].
#[derive(Debug)]
pub(crate) struct Plan {
    steps: Box<[Step]>,
    /// Octets from the end of the last variable element (or the start) to the end of the record.
    tail: usize,
    /// Octets of the shortest record.
    min_len: usize,
    /// What the template as a whole says of its records.
    pub(crate) nature: Nature,
    /// How to read the other direction of a biflow, as if the record had nothing else.
    pub(crate) reverse: Option<Box<Self>>,
    /// The short way, if its records are plain: made when the first one comes.
    ready: OnceCell<Option<Box<Ready>>>,
}

/// What a template as a whole says of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nature {
    /// Firewall events: elements 233, 33002 or 40005.
    pub(crate) is_firewall: bool,
    /// NAT events: element 230.
    pub(crate) is_nat: bool,
    /// Addresses of both families: a lazy exporter, or an outer and an inner header.
    pub(crate) is_mixed: bool,
    /// Times as uptime and nothing better.
    pub(crate) needs_boot: bool,
    /// ICMP elements, but no protocol and no ports: the protocol they imply.
    pub(crate) implied_proto: Option<u8>,
    /// Element 138 or 149.
    pub(crate) has_observation: bool,
    /// Elements 176 and 177 or 178 and 179.
    pub(crate) has_icmp: bool,
    /// Counters of the other direction, in elements of their own (RFC 5103).
    pub(crate) is_biflow: bool,
    /// A piece of a packet (elements 104, 313, 315 to 317), and no addresses beside it.
    pub(crate) is_section: bool,
    /// Elements 291 to 293.
    pub(crate) has_lists: bool,
}

impl Nature {
    /// Whether a record is more than the elements of one flow.
    #[inline]
    pub(crate) const fn is_compound(&self) -> bool {
        self.is_biflow || self.is_section || self.has_lists
    }
}

/// Whether a plan reads what was sent of the flow, or of its other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Forward,
    Reverse,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    at: u16,
    len: u16,
    op: Op,
    /// Another element came first in the template: takes effect where the field is absent or 0.
    is_spare: bool,
}

/// Numbers kept aside until the whole record is read.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    values: [u64; Slot::COUNT],
    seen: u64,
}

impl Default for Kept {
    fn default() -> Self {
        Self { values: [0; Slot::COUNT], seen: 0 }
    }
}

impl Kept {
    #[inline]
    pub(crate) const fn clear(&mut self) {
        self.seen = 0;
    }

    /// Which of `slots` (ORed [`Slot::bit`]s) were seen.
    #[inline]
    pub(crate) const fn seen(&self, slots: u64) -> u64 {
        self.seen & slots
    }

    /// The value of a slot.
    #[inline]
    pub(crate) const fn get(&self, slot: Slot) -> Option<u64> {
        if self.seen & slot.bit() == 0 { None } else { Some(self.values[slot as usize]) }
    }

    #[inline]
    const fn set(&mut self, slot: Slot, value: u64) {
        self.values[slot as usize] = value;
        self.seen |= slot.bit();
    }
}

impl Plan {
    /// Compiles the fields of a template.
    pub(crate) fn compile(
        protocol: Protocol,
        fields: &[FieldSpec],
        counters: &mut Counters,
    ) -> Self {
        let nature = Nature::of(fields);
        let mut plan = Self::side(Side::Forward, nature, protocol, fields, counters);
        if nature.is_biflow {
            let reverse = Self::side(Side::Reverse, nature, protocol, fields, counters);
            plan.reverse = Some(Box::new(reverse));
        }
        plan
    }

    fn side(
        side: Side,
        nature: Nature,
        protocol: Protocol,
        fields: &[FieldSpec],
        counters: &mut Counters,
    ) -> Self {
        let mut claims = Claims::default();
        let mut steps: Vec<Step> = Vec::with_capacity(fields.len());
        let (mut at, mut min_len) = (0u16, 0);
        let mut seen = HashSet::with_capacity(fields.len());
        for field in fields {
            let is_repeat = !seen.insert((field.pen, field.id));
            let mut op = nature.resolve(side, protocol, field, is_repeat);
            if !fits(op, field.len) {
                counters.odd_lengths += 1;
                op = Op::Skip;
            }
            let step = claims.enter(op, field.len, at, &mut steps);
            if step.op != Op::Skip || field.len == VARIABLE {
                steps.push(step);
            }
            if field.len == VARIABLE {
                min_len += 1;
                at = 0;
            } else {
                min_len += usize::from(field.len);
                at = at.saturating_add(field.len);
            }
        }
        let steps = steps.into_boxed_slice();
        let ready = OnceCell::new();
        Self { steps, tail: usize::from(at), min_len, nature, reverse: None, ready }
    }

    /// Octets it occupies in memory.
    pub(crate) fn cost(&self) -> usize {
        let ready = if self.has_plain_nature() { Ready::cost(self.steps.len()) } else { 0 };
        size_of_val(&*self.steps)
            + ready
            + self.reverse.as_ref().map_or(0, |r| size_of::<Self>() + r.cost())
    }

    /// The short way for records of an exporter with an address of this family, if they are plain.
    pub(crate) fn ready(&self, has_router_v6: bool) -> Option<&Ready> {
        self.ready.get_or_init(|| self.make_ready(has_router_v6).map(Box::new)).as_deref()
    }

    fn has_plain_nature(&self) -> bool {
        // Of those with elements of ICMP the other records are as any.
        let Nature { needs_boot, has_icmp, .. } = self.nature;
        self.nature == Nature { needs_boot, has_icmp, ..Nature::default() }
    }

    fn make_ready(&self, has_router_v6: bool) -> Option<Ready> {
        if !self.has_plain_nature() {
            return None;
        }
        let mut sources = Vec::with_capacity(self.steps.len());
        let (mut first, mut last) = (None, None);
        for Step { at, len, op, is_spare } in &self.steps {
            match *op {
                _ if *len == VARIABLE || *is_spare => return None,
                Op::Skip => {}
                Op::Number(field)
                | Op::Counter(field, _)
                | Op::Spare(field)
                | Op::V4(field)
                | Op::V6(field) => sources.push(Source { field, at: *at, len: *len }),
                Op::Bits(field) => sources.push(Source { field, at: at + len - 1, len: 1 }),
                Op::Keep(slot) if slot.is_icmp() && *len <= 8 => {}
                Op::Keep(slot) if matches!(slot, Slot::FirstUptime | Slot::FirstMs) => {
                    let old = first.replace((slot, *at, *len));
                    old.is_none().then_some(())?;
                }
                Op::Keep(slot) if matches!(slot, Slot::LastUptime | Slot::LastMs) => {
                    let old = last.replace((slot, *at, *len));
                    old.is_none().then_some(())?;
                }
                _ => return None,
            }
        }
        let times = match (first?, last?) {
            ((Slot::FirstUptime, first, 4), (Slot::LastUptime, last, 4)) => {
                Times::Uptime(first, last)
            }
            ((Slot::FirstMs, first, 8), (Slot::LastMs, last, 8)) => Times::Millis(first, last),
            _ => return None,
        };
        Ready::new(&sources, times, self.tail, (has_router_v6, !self.nature.has_icmp))
    }

    /// Reads the record at the start of `data` and returns its length; `None` if it is cut short.
    #[inline]
    pub(crate) fn read(
        &self,
        data: &[u8],
        flow: &mut Flow,
        kept: &mut Kept,
        counters: &mut Counters,
    ) -> Option<usize> {
        if data.len() < self.min_len {
            return None;
        }
        self.walk(data, |step, value| step.run(value, flow, kept, counters))
    }

    /// The latest uptime in the record at the start of `data` and the record's length: for dating
    /// a message whose exporter never told when it booted.
    pub(crate) fn uptime(&self, data: &[u8], kept: &mut Kept) -> Option<(Option<u32>, usize)> {
        kept.clear();
        let end = self.walk(data, |step, value| {
            if let Op::Keep(slot @ (Slot::FirstUptime | Slot::LastUptime)) = step.op
                && let Some(n) = number(value)
            {
                kept.set(slot, n);
            }
        })?;
        let latest = kept.get(Slot::LastUptime).or_else(|| kept.get(Slot::FirstUptime));
        Some((latest.and_then(|n| u32::try_from(n).ok()), end))
    }

    /// The piece of a packet in the record at the start of `data`, and what it begins with: `None`
    /// for the link header of a frame.
    pub(crate) fn section<'a>(&self, data: &'a [u8]) -> Option<(Option<Head>, &'a [u8])> {
        let mut found = None;
        self.walk(data, |step, value| match step.op {
            Op::Octets(Field::Frame) => found = found.or(Some((None, value))),
            Op::Section(head) => found = found.or(Some((Some(head), value))),
            _ => {}
        })?;
        found
    }

    /// Calls `each` with the lists of the record at the start of `data`.
    pub(crate) fn lists<'a>(&self, data: &'a [u8], mut each: impl FnMut(List, &'a [u8])) {
        self.walk(data, |step, value| {
            if let Op::List(kind) = step.op {
                each(kind, value);
            }
        });
    }

    /// Calls `each` with every step and its octets; returns the length of the record.
    #[inline]
    fn walk<'a>(&self, data: &'a [u8], mut each: impl FnMut(&Step, &'a [u8])) -> Option<usize> {
        let mut base = 0;
        for step in &self.steps {
            let start = base + usize::from(step.at);
            let value = if step.len == VARIABLE {
                let (value, end) = cursor::variable(data, start)?;
                base = end;
                value
            } else {
                data.get(start..start + usize::from(step.len))?
            };
            each(step, value);
        }
        let end = base + self.tail;
        (end <= data.len()).then_some(end)
    }
}

impl Nature {
    fn of(fields: &[FieldSpec]) -> Self {
        let has = |id: u16| fields.iter().any(|f| f.pen == 0 && f.id == id && f.len != 0);
        let any = |ids: &[u16]| ids.iter().any(|id| has(*id));
        let implied_proto = match () {
            () if any(&[4, 7, 11]) => None,
            () if any(&[32, 176, 177]) => Some(1),
            () if any(&[139, 178, 179]) => Some(58),
            () => None,
        };
        let is_event = any(&[230, 233, 33002, 40005]);
        let is_counter = |f: &FieldSpec| {
            let forward = forward_of(f.pen, f.id);
            f.len != 0 && matches!(forward, Some((0, 1 | 2 | 85 | 86)))
        };
        Self {
            is_firewall: any(&[233, 33002, 40005]),
            is_nat: has(230),
            has_lists: any(&[291, 292, 293]),
            is_section: any(&[104, 313, 315, 316, 317]) && !any(&[8, 12, 27, 28]),
            is_biflow: !is_event && fields.iter().any(is_counter),
            is_mixed: any(&[8, 12]) && any(&[27, 28]),
            needs_boot: any(&[21, 22]) && !any(&[150, 151, 152, 153, 154, 155, 156, 157, 160]),
            implied_proto,
            has_observation: any(&[138, 149]),
            has_icmp: any(&[32, 139, 176, 177, 178, 179]),
        }
    }

    /// What is done with a field of this template.
    ///
    /// Of an element that comes twice the first is taken: the outer header, where a tunnel's outer
    /// and inner header are both exported (RFC 7011, 8: elements keep the order of the packet).
    fn resolve(self, side: Side, protocol: Protocol, field: &FieldSpec, is_repeat: bool) -> Op {
        let is_list = field.pen == 0 && matches!(field.id, 291..=293);
        if is_repeat && !is_list || field.len == 0 {
            return Op::Skip;
        }
        match (side, forward_of(field.pen, field.id)) {
            (Side::Forward, Some(_)) => return self.other_direction(field),
            (Side::Reverse, None) => return Op::Skip,
            _ => {}
        }
        match element(field.pen, field.id) {
            None => Op::Skip,
            // What left the router is counted for this direction, and a flow has no place for it.
            Some(Op::Counter(Field::OutBytes | Field::OutPackets, _)) if self.is_biflow => Op::Skip,
            Some(Op::Keep(Slot::ReverseDelayMs)) if !self.is_biflow => Op::Skip,
            Some(Op::FlowId) if protocol == Protocol::V9 && self.is_firewall => {
                Op::Number(Field::ConnId)
            }
            Some(Op::FlowId) => Op::Number(Field::FlowId),
            // Which family's mask holds is known once the addresses are.
            Some(Op::Number(Field::SrcMask)) if self.is_mixed => {
                Op::Keep(if field.id == 9 { Slot::SrcMask4 } else { Slot::SrcMask6 })
            }
            Some(Op::Number(Field::DstMask)) if self.is_mixed => {
                Op::Keep(if field.id == 13 { Slot::DstMask4 } else { Slot::DstMask6 })
            }
            Some(op) => op,
        }
    }

    /// What is done with a reverse element while the forward direction is read. An event is one
    /// record with counters of both directions; of a biflow the other direction is a flow of its
    /// own.
    fn other_direction(self, field: &FieldSpec) -> Op {
        match element(field.pen, field.id) {
            _ if self.is_biflow => Op::Skip,
            Some(Op::Counter(Field::Bytes, rank)) => Op::Counter(Field::OutBytes, rank / 2),
            Some(Op::Counter(Field::Packets, rank)) => Op::Counter(Field::OutPackets, rank / 2),
            _ => Op::Skip,
        }
    }
}

/// Which fields of the flow have a step already.
#[derive(Debug)]
struct Claims([Option<usize>; Field::COUNT]);

impl Default for Claims {
    fn default() -> Self {
        Self([None; Field::COUNT])
    }
}

impl Claims {
    /// Makes a step of `op`, given that earlier steps may fill the same field.
    fn enter(&mut self, op: Op, len: u16, at: u16, steps: &mut [Step]) -> Step {
        let step = |op, is_spare| Step { at, len, op, is_spare };
        let field = match op {
            Op::Number(f) | Op::Spare(f) | Op::Counter(f, _) | Op::Bits(f) => f,
            Op::V4(f) | Op::V6(f) | Op::Octets(f) | Op::Text(f) | Op::Segment(f) => f,
            Op::Add(..)
            | Op::MoreBits(_)
            | Op::Skip
            | Op::FlowId
            | Op::Keep(_)
            | Op::Section(_)
            | Op::List(_) => {
                return step(op, false);
            }
        };
        let Some(claim) = self.0.get_mut(field as usize) else { return step(Op::Skip, false) };
        let Some(earlier) = claim.and_then(|i| steps.get_mut(i)) else {
            *claim = Some(steps.len());
            return step(op, false);
        };
        match (op, earlier.op) {
            (Op::Counter(_, new), Op::Counter(_, old)) if new < old => {
                earlier.op = Op::Skip;
                *claim = Some(steps.len());
                step(op, false)
            }
            (Op::V4(_) | Op::V6(_) | Op::Spare(_), _) => step(op, true),
            (Op::Number(_), Op::Spare(_)) => {
                earlier.op = Op::Skip;
                *claim = Some(steps.len());
                step(op, false)
            }
            _ => step(Op::Skip, false),
        }
    }
}

/// Whether an element can have this length. What each record says is seen when it is read.
///
/// Numbers can have any (RFC 7011, 6.2: reduced size; wider ones may begin with zeros), addresses,
/// ACL ids and the more exact times have one. Milliseconds fit 6 octets, and some send no more.
const fn fits(op: Op, len: u16) -> bool {
    use Slot::{
        BootMs, CollectedMs, EventMicro, EventMs, EventNano, FirstMicro, FirstMs, FirstNano,
        LastMicro, LastMs, LastNano,
    };
    if len == VARIABLE {
        return true;
    }
    match op {
        Op::V4(_) => len == 4,
        Op::V6(_) => len == 16,
        Op::Octets(Field::IngressAcl | Field::EgressAcl) => len == 12,
        Op::Keep(FirstMicro | LastMicro | FirstNano | LastNano | EventMicro | EventNano) => {
            len == 8
        }
        Op::Keep(FirstMs | LastMs | EventMs | CollectedMs | BootMs) => len == 6 || len == 8,
        _ => true,
    }
}

/// Whether this is an element that has a place in a flow, but not with this length.
pub(crate) fn is_odd(field: &FieldSpec) -> bool {
    field.len != 0 && element(field.pen, field.id).is_some_and(|op| !fits(op, field.len))
}

impl Step {
    #[inline]
    fn run(&self, value: &[u8], flow: &mut Flow, kept: &mut Kept, counters: &mut Counters) {
        if value.is_empty() {
            return;
        }
        let is_set = match self.op {
            Op::Number(field) => number(value).is_some_and(|n| flow.set(field, n)),
            Op::Counter(field, _) => match number(value) {
                Some(n) => flow.set(field, n),
                None => {
                    flow.set(field, u64::MAX);
                    false
                }
            },
            Op::V4(field) => set_v4(field, value, self.is_spare, flow),
            Op::V6(field) => set_v6(field, value, self.is_spare, flow),
            Op::Keep(slot) => match number(value) {
                Some(n) => {
                    kept.set(slot, n);
                    true
                }
                None => false,
            },
            Op::Bits(field) => flow.set(field, u64::from(value.last().copied().unwrap_or(0))),
            _ => self.run_rare(value, flow),
        };
        counters.wide_values += u64::from(!is_set);
    }

    /// What few templates have: apart, to keep the loop over common steps small.
    #[inline(never)]
    fn run_rare(&self, value: &[u8], flow: &mut Flow) -> bool {
        match self.op {
            Op::Spare(field) => match number(value) {
                Some(n) if !self.is_spare || flow.number(field) == 0 => flow.set(field, n),
                n => n.is_some(),
            },
            Op::Add(field, factor) => match number(value) {
                Some(n) => {
                    let n = n.saturating_mul(u64::from(factor));
                    flow.set(field, flow.number(field).saturating_add(n))
                }
                None => false,
            },
            Op::MoreBits(field) => {
                let more = u64::from(value.last().copied().unwrap_or(0));
                flow.set(field, flow.number(field) | more)
            }
            Op::Octets(field) => flow.set_bytes(field, value),
            Op::Segment(field) => {
                number(value).and_then(segment).is_some_and(|n| flow.set(field, n))
            }
            Op::Text(field) => {
                let text = cursor::text(value);
                text.is_empty() || flow.set_bytes(field, text)
            }
            _ => true,
        }
    }
}

/// The number in a layer 2 segment id: VXLAN network identifier or tenant network id. Its type, 1
/// for VXLAN and 2 for NVGRE, is in the most significant octet (IANA, element 351); exporters leave
/// it out, too. `None` if the number has more than 24 bits.
fn segment(id: u64) -> Option<u64> {
    const TYPE: u64 = 0xff << 56;
    const NUMBER: u64 = 0x00ff_ffff;
    (id & !(TYPE | NUMBER) == 0).then_some(id & NUMBER)
}

/// A big-endian number of any width, `None` if it needs more than 64 bits.
#[inline]
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    match *value {
        [a] => Some(u64::from(a)),
        [a, b] => Some(u64::from(u16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(u64::from(u32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => odd_number(value),
    }
}

#[inline(never)]
fn odd_number(value: &[u8]) -> Option<u64> {
    let spare = value.len().saturating_sub(8);
    let (high, low) = value.split_at_checked(spare)?;
    let n = low.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    high.iter().all(|b| *b == 0).then_some(n)
}

#[inline]
fn set_v4(field: Field, value: &[u8], is_spare: bool, flow: &mut Flow) -> bool {
    let Ok(octets) = <[u8; 4]>::try_from(value) else { return false };
    set_addr(field, Addr::V4(u32::from_be_bytes(octets)), is_spare, flow);
    true
}

#[inline]
fn set_v6(field: Field, value: &[u8], is_spare: bool, flow: &mut Flow) -> bool {
    let Ok(octets) = <[u8; 16]>::try_from(value) else { return false };
    set_addr(field, Addr::V6(u128::from_be_bytes(octets)), is_spare, flow);
    true
}

#[inline]
fn set_addr(field: Field, addr: Addr, is_spare: bool, flow: &mut Flow) {
    if is_spare {
        let taken = flow.as_row().addr(field).is_some_and(|a| !a.is_unspecified());
        if taken || addr.is_unspecified() && flow.has(field) {
            return;
        }
    }
    flow.set_addr(field, addr);
}
