//! Flows with what a probe knows of nearly all of them, by a shorter way: records are written without
//! looking fields up, into datagrams of one template each, which have one length. Sockets send those
//! several at a time.
//!
//! [`PlainFlow::fill`] and [`Encoder::flow`](super::Encoder::flow) are the way of all others, and what
//! tests compare this one with.

use super::plan::{Op, Plan};
use crate::cursor::SET_HEADER_LEN;
use record::code::Proto;
use record::{Addr, Field, Flow};

/// One direction of a conversation on a link without labels, tunnels and a second VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainFlow {
    /// Source address.
    pub src: Addr,
    /// Destination address, of the same family.
    pub dst: Addr,
    /// Start, nanoseconds since 1970.
    pub first_ns: u64,
    /// End, nanoseconds since 1970.
    pub last_ns: u64,
    /// Packets.
    pub packets: u64,
    /// IP octets.
    pub bytes: u64,
    /// ifIndex where packets came in, 0 if unknown.
    pub input: u32,
    /// ifIndex where packets went out, 0 if unknown.
    pub output: u32,
    /// Source and destination port; of ICMP 0, and 256 * type + code. `None` for protocols without.
    pub ports: Option<(u16, u16)>,
    /// VLAN identifier, 0 without.
    pub vlan: u16,
    /// IP protocol.
    pub proto: u8,
    /// TCP flags, ORed. Told of TCP only.
    pub tcp_flags: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Smallest time to live or hop limit.
    pub min_ttl: u8,
    /// Largest time to live or hop limit.
    pub max_ttl: u8,
    /// Element 197, fragmentFlags.
    pub fragment_flags: u8,
    /// Element 136, flowEndReason.
    pub end_reason: u8,
    /// Element 61, flowDirection: 0 in, 1 out.
    pub direction: Option<u8>,
}

impl PlainFlow {
    /// Makes `flow` this flow, replacing what it was. Times are whole milliseconds there.
    pub fn fill(&self, flow: &mut Flow) {
        flow.clear();
        flow.set_addr(Field::SrcAddr, self.src);
        flow.set_addr(Field::DstAddr, self.dst);
        for (field, value) in [
            (Field::First, self.first_ns / 1_000_000),
            (Field::Last, self.last_ns / 1_000_000),
            (Field::Packets, self.packets),
            (Field::Bytes, self.bytes),
            (Field::Proto, self.proto.into()),
            (Field::SrcTos, self.tos.into()),
            (Field::MinTtl, self.min_ttl.into()),
            (Field::MaxTtl, self.max_ttl.into()),
            (Field::FragmentFlags, self.fragment_flags.into()),
            (Field::EndReason, self.end_reason.into()),
        ] {
            flow.set(field, value);
        }
        for (field, value) in [
            (Field::Input, self.input),
            (Field::Output, self.output),
            (Field::SrcVlan, self.vlan.into()),
        ] {
            if value != 0 {
                flow.set(field, value.into());
            }
        }
        if let Some((src, dst)) = self.ports {
            flow.set(Field::SrcPort, src.into());
            flow.set(Field::DstPort, dst.into());
        }
        if Proto(self.proto) == Proto::TCP {
            flow.set(Field::TcpFlags, self.tcp_flags.into());
        }
        if let Some(way) = self.direction {
            flow.set(Field::Direction, way.into());
        }
    }

    /// What decides about the template: flows of one class have the same fields, as wide.
    #[inline]
    fn class(&self) -> Option<usize> {
        let is_v6 = match (self.src, self.dst) {
            (Addr::V4(_), Addr::V4(_)) => false,
            (Addr::V6(_), Addr::V6(_)) => true,
            _ => return None,
        };
        let kind = match Proto(self.proto) {
            Proto::TCP => 1,
            Proto::ICMP => 2,
            Proto::ICMP6 => 3,
            _ => 0,
        };
        let bits = [
            is_v6,
            self.ports.is_some(),
            self.input != 0,
            self.output != 0,
            self.vlan != 0,
            self.direction.is_some(),
            (self.packets | self.bytes) >> 32 != 0,
        ];
        Some(bits.iter().fold(kind, |class, bit| class << 1 | usize::from(*bit)))
    }

    /// All values, big-endian, each in its [place](PLACES). `times` are as they are sent.
    #[inline]
    fn spread(&self, times: (u64, u64)) -> [u8; SPREAD] {
        let mut out = [0; SPREAD];
        let both = |addr| match addr {
            Addr::V4(n) => u128::from(n),
            Addr::V6(n) => n,
        };
        let ports = self.ports.unwrap_or_default();
        out[0..16].copy_from_slice(&both(self.src).to_be_bytes());
        out[16..32].copy_from_slice(&both(self.dst).to_be_bytes());
        out[32..40].copy_from_slice(&times.0.to_be_bytes());
        out[40..48].copy_from_slice(&times.1.to_be_bytes());
        out[48..56].copy_from_slice(&self.bytes.to_be_bytes());
        out[56..64].copy_from_slice(&self.packets.to_be_bytes());
        out[64..68].copy_from_slice(&self.input.to_be_bytes());
        out[68..72].copy_from_slice(&self.output.to_be_bytes());
        out[72..74].copy_from_slice(&ports.0.to_be_bytes());
        out[74..76].copy_from_slice(&ports.1.to_be_bytes());
        out[76..78].copy_from_slice(&self.vlan.to_be_bytes());
        out[78..86].copy_from_slice(&[
            self.proto,
            self.tcp_flags,
            self.tos,
            self.min_ttl,
            self.max_ttl,
            self.fragment_flags,
            self.end_reason,
            self.direction.unwrap_or(0),
        ]);
        out
    }
}

/// Octets of a flow whose values are [spread](PlainFlow::spread): a power of two, so that each `u8`
/// below it is a place.
const SPREAD: usize = 128;

/// Where the value of each field ends there.
const PLACES: [(Field, u8); 18] = [
    (Field::SrcAddr, 16),
    (Field::DstAddr, 32),
    (Field::First, 40),
    (Field::Last, 48),
    (Field::Bytes, 56),
    (Field::Packets, 64),
    (Field::Input, 68),
    (Field::Output, 72),
    (Field::SrcPort, 74),
    (Field::DstPort, 76),
    (Field::SrcVlan, 78),
    (Field::Proto, 79),
    (Field::TcpFlags, 80),
    (Field::SrcTos, 81),
    (Field::MinTtl, 82),
    (Field::MaxTtl, 83),
    (Field::FragmentFlags, 84),
    (Field::EndReason, 85),
];
const DIRECTION: (Field, u8) = (Field::Direction, 86);

/// Classes that there can be.
const CLASSES: usize = 4 << 7;

/// Datagrams that wait for each other, at most.
const RUN: usize = 16;

/// How flows of the classes are written that came so far, and what waits of them.
#[derive(Debug)]
pub(super) struct Plains {
    /// By class: 0 is not known yet, otherwise one more than the place of the form.
    classes: Box<[u16; CLASSES]>,
    pub(super) forms: Vec<Form>,
    /// When the first record that waits was written.
    pub(super) since: Option<u64>,
}

/// How flows of a class are written.
#[derive(Debug)]
pub(super) struct Form {
    /// Place of the template.
    pub(super) at: usize,
    /// Tells it from others that were in that place.
    pub(super) made: u64,
    pub(super) id: u16,
    /// Fields that have no place in it.
    pub(super) left_out: u32,
    pub(super) has_times: bool,
    /// For each octet of a record, where it is among the values.
    from: Box<[u8]>,
    pub(super) run: Run,
}

/// Datagrams of records of one template, and one that is not full: each with room for its header.
#[derive(Debug, Default)]
pub(super) struct Run {
    octets: Vec<u8>,
    /// Octets of a full datagram.
    len: usize,
    /// Octets before its first record.
    head: usize,
    record: usize,
    /// Records of a full datagram.
    pub(super) most: usize,
    /// Full ones.
    full: usize,
    /// Records in the one that is not.
    count: usize,
}

impl Plains {
    pub(super) fn new() -> Self {
        Self { classes: Box::new([0; CLASSES]), forms: Vec::new(), since: None }
    }

    /// The form for a flow, if it came before: its place.
    #[inline]
    pub(super) fn find(&self, flow: &PlainFlow) -> Option<usize> {
        usize::from(*self.classes.get(flow.class()?)?).checked_sub(1)
    }

    /// Keeps a form for flows like this one, in place of what there was.
    pub(super) fn keep(&mut self, flow: &PlainFlow, form: Form) -> Option<usize> {
        let place = self.classes.get_mut(flow.class()?)?;
        if let Some(old) = usize::from(*place).checked_sub(1) {
            *self.forms.get_mut(old)? = form;
            return Some(old);
        }
        self.forms.push(form);
        *place = self.forms.len() as u16;
        Some(self.forms.len() - 1)
    }
}

impl Form {
    /// The form of a template's records; `None` if something else is needed than a plain flow has.
    /// Datagrams have `header` octets before their only set, and `max` at most.
    pub(super) fn new(
        plan: &Plan,
        (at, made, id): (usize, u64, u16),
        left_out: u32,
        (header, max): (usize, usize),
    ) -> Option<Self> {
        let mut from = vec![NOTHING; plan.fixed_len()?];
        for (op, field, start) in plan.steps() {
            let end = PLACES.iter().chain([&DIRECTION]).find(|p| p.0 == field)?.1;
            let len = match op {
                Op::Number1 => 1,
                Op::Number2 => 2,
                Op::Number3 => 3,
                Op::Number4 | Op::V4 | Op::First4 | Op::Last4 => 4,
                Op::Number8 | Op::First8 | Op::Last8 => 8,
                Op::V6 => 16,
                _ => return None,
            };
            for (place, from) in from.get_mut(start..start + len)?.iter_mut().zip(end - len as u8..)
            {
                *place = from;
            }
        }
        let head = header + SET_HEADER_LEN;
        let record = from.len();
        let most = max.checked_sub(head)?.checked_div(record).filter(|most| *most > 0)?;
        let len = (head + most * record).next_multiple_of(4);
        let run = Run { octets: Vec::new(), len, head, record, most, full: 0, count: 0 };
        let has_times = plan.has_times;
        Some(Self { at, made, id, left_out, has_times, from: from.into(), run })
    }

    /// Adds a record. Returns whether there is no room for another one.
    #[inline]
    pub(super) fn add(&mut self, flow: &PlainFlow, times: (u64, u64)) -> bool {
        let values = flow.spread(times);
        let run = &mut self.run;
        if run.octets.is_empty() {
            run.octets.resize(run.len * RUN, 0);
        }
        let at = run.full * run.len + run.head + run.count * run.record;
        if let Some(record) = run.octets.get_mut(at..at + self.from.len()) {
            for (octet, from) in record.iter_mut().zip(&self.from) {
                *octet = values[usize::from(*from) % SPREAD];
            }
        }
        run.count += 1;
        if run.count == run.most {
            (run.full, run.count) = (run.full + 1, 0);
        }
        run.full == RUN
    }
}

/// A place that is always 0: padding of short records.
const NOTHING: u8 = SPREAD as u8 - 1;

impl Run {
    /// The full datagrams, each of which is to be completed.
    pub(super) fn full(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let end = self.full * self.len;
        let octets = self.octets.get_mut(..end).unwrap_or_default();
        octets.chunks_exact_mut(self.len.max(1))
    }

    /// The records of the one that is not full.
    pub(super) fn rest(&self) -> impl Iterator<Item = &[u8]> {
        let start = self.full * self.len + self.head;
        let records = self.octets.get(start..start + self.count * self.record);
        records.unwrap_or_default().chunks_exact(self.record.max(1))
    }

    /// Full datagrams are sent. The one that is not lies behind them, and comes to the front.
    pub(super) fn clear_full(&mut self) {
        let (start, rest) = (self.full * self.len + self.head, self.count * self.record);
        if start + rest <= self.octets.len() && self.full > 0 {
            self.octets.copy_within(start..start + rest, self.head);
        }
        self.full = 0;
    }

    /// Nothing waits any more.
    pub(super) const fn clear(&mut self) {
        (self.full, self.count) = (0, 0);
    }
}
