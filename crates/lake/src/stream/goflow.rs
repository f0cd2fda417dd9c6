//! The flow message of goflow2, as its consumers read it from Kafka: protobuf, one message a flow.
//!
//! Field numbers and meanings are those that goflow2 publishes (`FlowMessage`, package `flowpb`);
//! octets are those its encoder makes: fields in the order of their numbers, none that is zero,
//! repeated numbers packed. Before each message goes its length, as goflow2 sends it unless told
//! otherwise, and as ClickHouse's format `Protobuf` reads it; [`Framing::Plain`] leaves it out.
//!
//! What rows mean otherwise than goflow2's messages:
//!
//! * `bytes` and `packets` are scaled by the sampling rate already, so `sampling_rate` is 1: whoever
//!   multiplies has the right sum.
//! * `sequence_num`, layers, communities and paths are not in flow files, and left out.

use super::exporters::Exporters;
use record::{Addr, Field, Row};

/// What stands around a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Its length before it, as a varint: goflow2's default.
    #[default]
    Delimited,
    /// Nothing.
    Plain,
}

/// Encodes messages, with a buffer that is used again.
#[derive(Debug, Default)]
pub struct Encoder {
    framing: Framing,
    message: Vec<u8>,
}

/// Numbers of the fields in [`Encoder::fields`], in the order of messages.
mod number {
    pub(super) const TYPE: u32 = 1;
    pub(super) const SAMPLING_RATE: u32 = 3;
    pub(super) const SRC_ADDR: u32 = 6;
    pub(super) const DST_ADDR: u32 = 7;
    pub(super) const BYTES: u32 = 9;
    pub(super) const PACKETS: u32 = 10;
    pub(super) const SAMPLER_ADDRESS: u32 = 11;
    pub(super) const NEXT_HOP: u32 = 12;
    pub(super) const ETYPE: u32 = 30;
    pub(super) const ICMP_TYPE: u32 = 31;
    pub(super) const ICMP_CODE: u32 = 32;
    pub(super) const IP_FLAGS: u32 = 38;
    pub(super) const MPLS_LABEL: u32 = 81;
    pub(super) const BGP_NEXT_HOP: u32 = 100;
    pub(super) const TIME_RECEIVED_NS: u32 = 110;
    pub(super) const TIME_FLOW_START_NS: u32 = 111;
    pub(super) const TIME_FLOW_END_NS: u32 = 112;
}

/// Numbers that go as they are, between the next hop and the Ethernet type.
const PLAIN: [(u32, Field); 17] = [
    (13, Field::NextAs),
    (14, Field::SrcAs),
    (15, Field::DstAs),
    (16, Field::SrcMask),
    (17, Field::DstMask),
    (18, Field::Input),
    (19, Field::Output),
    (20, Field::Proto),
    (21, Field::SrcPort),
    (22, Field::DstPort),
    (23, Field::SrcTos),
    (24, Field::FwdStatus),
    (25, Field::MinTtl),
    (26, Field::TcpFlags),
    (27, Field::InSrcMac),
    (28, Field::InDstMac),
    (29, Field::SrcVlan),
];

/// The same between ICMP and fragments, and behind them.
const VLANS: [(u32, Field); 2] = [(33, Field::SrcVlan), (34, Field::DstVlan)];
const OBSERVATION: [(u32, Field); 2] =
    [(70, Field::ObservationDomain), (71, Field::ObservationPoint)];

const LABELS: [Field; 10] = [
    Field::Mpls1,
    Field::Mpls2,
    Field::Mpls3,
    Field::Mpls4,
    Field::Mpls5,
    Field::Mpls6,
    Field::Mpls7,
    Field::Mpls8,
    Field::Mpls9,
    Field::Mpls10,
];

const NANOS_A_MILLI: u64 = 1_000_000;
const VARINT: u32 = 0;
const OCTETS: u32 = 2;

impl Encoder {
    /// An encoder of messages with this around them.
    pub fn new(framing: Framing) -> Self {
        Self { framing, message: Vec::new() }
    }

    /// Appends the message of one flow.
    pub fn push(&mut self, row: Row<'_>, exporters: &Exporters, out: &mut Vec<u8>) {
        match self.framing {
            Framing::Plain => fields(row, exporters, out),
            Framing::Delimited => {
                self.message.clear();
                fields(row, exporters, &mut self.message);
                varint(self.message.len() as u64, out);
                out.extend_from_slice(&self.message);
            }
        }
    }
}

/// All fields in the order of their numbers.
fn fields(row: Row<'_>, exporters: &Exporters, out: &mut Vec<u8>) {
    let (src, dst) = (row.addr(Field::SrcAddr), row.addr(Field::DstAddr));
    put(number::TYPE, flow_type(row.number(Field::Source)), out);
    put(number::SAMPLING_RATE, 1, out);
    put_addr(number::SRC_ADDR, src, out);
    put_addr(number::DST_ADDR, dst, out);
    put(number::BYTES, row.number(Field::Bytes), out);
    put(number::PACKETS, row.number(Field::Packets), out);
    put_addr(number::SAMPLER_ADDRESS, exporters.of(row), out);
    put_addr(number::NEXT_HOP, row.addr(Field::NextHop), out);
    put_all(&PLAIN, row, out);
    put(number::ETYPE, ether_type(row, src.or(dst)), out);
    if matches!(row.number(Field::Proto), 1 | 58) {
        put(number::ICMP_TYPE, row.number(Field::DstPort) >> 8, out);
        put(number::ICMP_CODE, row.number(Field::DstPort) & 0xff, out);
    }
    put_all(&VLANS, row, out);
    // Three bits, the lowest of which says that more fragments follow.
    put(number::IP_FLAGS, row.number(Field::FragmentFlags) >> 5, out);
    put_all(&OBSERVATION, row, out);
    put_labels(row, out);
    put_addr(number::BGP_NEXT_HOP, row.addr(Field::BgpNextHop), out);
    for (number, field) in [
        (number::TIME_RECEIVED_NS, Field::Received),
        (number::TIME_FLOW_START_NS, Field::First),
        (number::TIME_FLOW_END_NS, Field::Last),
    ] {
        put(number, row.number(field).saturating_mul(NANOS_A_MILLI), out);
    }
}

/// goflow2's names of protocols: 1 sFlow, 2 NetFlow v5, 3 v9, 4 IPFIX, 0 any other.
const fn flow_type(source: u64) -> u64 {
    match source {
        5 => 2,
        9 => 3,
        10 => 4,
        s if s & 0x80 != 0 => 1,
        _ => 0,
    }
}

/// As the family of the addresses says, or else the record.
fn ether_type(row: Row<'_>, addr: Option<Addr>) -> u64 {
    match addr {
        Some(Addr::V4(_)) => 0x0800,
        Some(Addr::V6(_)) => 0x86dd,
        None => row.number(Field::EtherType),
    }
}

fn put_all(list: &[(u32, Field)], row: Row<'_>, out: &mut Vec<u8>) {
    for (number, field) in list {
        put(*number, row.number(*field), out);
    }
}

/// The labels without their experimental bits, up to the bottom of the stack.
fn put_labels(row: Row<'_>, out: &mut Vec<u8>) {
    let label = |field: &Field| row.number(*field) >> 4;
    let Some(last) = LABELS.iter().rposition(|field| label(field) != 0) else { return };
    let labels = LABELS.iter().take(last + 1).map(label);
    key(number::MPLS_LABEL, OCTETS, out);
    varint(labels.clone().map(varint_len).sum(), out);
    labels.for_each(|label| varint(label, out));
}

fn put(number: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        key(number, VARINT, out);
        varint(value, out);
    }
}

/// An address in network byte order, if it is there: 4 or 16 octets.
fn put_addr(number: u32, addr: Option<Addr>, out: &mut Vec<u8>) {
    match addr {
        None => {}
        Some(Addr::V4(n)) => {
            key(number, OCTETS, out);
            out.push(4);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Some(Addr::V6(n)) => {
            key(number, OCTETS, out);
            out.push(16);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn key(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type), out);
}

/// Seven bits an octet, the lowest first; all but the last have the highest bit set.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Octets of a varint.
fn varint_len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

#[cfg(test)]
pub(super) mod tests;
