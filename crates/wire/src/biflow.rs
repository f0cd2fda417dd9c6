//! Biflows: records that count both directions of a conversation (RFC 5103). Each direction that
//! had traffic becomes a flow.
//!
//! Only reverse elements make a biflow. Counters "of the other direction" that have no reverse
//! element (initiator and responder of firewall events, octets in and out of v9 probes) stay in the
//! one flow they came in, and so do all counters of events: an event happened once.

use crate::Counters;
use crate::derive::{self, Origin};
use crate::element::Slot;
use crate::packet::LABELS;
use crate::plan::{Kept, Plan};
use record::code::Proto;
use record::{Field, Flow, Kind};

/// Which directions of a record had traffic: those to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directions {
    /// From the source of the record.
    pub(crate) forward: bool,
    /// Back to it.
    pub(crate) reverse: bool,
}

impl Directions {
    /// A record of one direction.
    pub(crate) const FORWARD: Self = Self { forward: true, reverse: false };
}

/// Makes `back` the other direction of the biflow `record`, of which `forward` was read and
/// finished, and says which of the two had traffic.
///
/// A direction without packets and octets makes no flow, unless both are without.
pub(crate) fn turn(
    plan: &Plan,
    record: &[u8],
    forward: &Flow,
    back: &mut Flow,
    kept: &mut Kept,
    origin: &Origin,
    counters: &mut Counters,
) -> Directions {
    back.assign(forward.as_row());
    for field in ONE_WAY.iter().chain(&LABELS) {
        back.unset(*field);
    }
    for (a, b) in PAIRS {
        swap(back, *a, *b);
    }
    swap_macs(back);
    swap_codes(back);
    let delay = kept.get(Slot::ReverseDelayMs);
    kept.clear();
    if plan.read(record, back, kept, counters).is_none() || is_empty(back) {
        return Directions::FORWARD;
    }
    let times = (forward.number(Field::First), forward.number(Field::Last));
    let (first, last, is_sane) = derive::reverse_times(kept, times, delay, origin);
    counters.odd_uptimes += u64::from(!is_sane);
    back.set(Field::First, first);
    back.set(Field::Last, last);
    icmp(back, kept);
    let was_counted = forward.has(Field::Bytes) || forward.has(Field::Packets);
    Directions { forward: !(was_counted && is_empty(forward)), reverse: true }
}

/// Whether nothing was sent.
fn is_empty(flow: &Flow) -> bool {
    flow.number(Field::Bytes) == 0 && flow.number(Field::Packets) == 0
}

/// What says nothing of the other direction, unless a reverse element does; nor do labels.
const ONE_WAY: &[Field] = &[
    Field::Bytes,
    Field::Packets,
    Field::OutBytes,
    Field::OutPackets,
    Field::Flows,
    Field::TcpFlags,
    Field::SrcTos,
    Field::DstTos,
    Field::FwdStatus,
    Field::NextHop,
    Field::BgpNextHop,
    Field::MinTtl,
    Field::MaxTtl,
    Field::FragmentFlags,
    Field::ClientLatency,
    Field::ServerLatency,
    Field::AppLatency,
    Field::IngressAcl,
    Field::EgressAcl,
    Field::FrameSize,
    Field::LinkType,
    Field::Frame,
];

/// What changes sides. ICMP has its type and code in the ports, which stay.
const PAIRS: &[(Field, Field)] = &[
    (Field::SrcAddr, Field::DstAddr),
    (Field::SrcPort, Field::DstPort),
    (Field::Input, Field::Output),
    (Field::SrcMask, Field::DstMask),
    (Field::SrcAs, Field::DstAs),
    (Field::PrevAs, Field::NextAs),
    (Field::XlateSrcAddr, Field::XlateDstAddr),
    (Field::XlateSrcPort, Field::XlateDstPort),
    (Field::TunSrcAddr, Field::TunDstAddr),
    (Field::IngressVrf, Field::EgressVrf),
    (Field::PhysIngress, Field::PhysEgress),
    (Field::InService, Field::OutService),
];

/// What changes sides if both sides are known. If one is, it is that of the wire the flow was seen
/// on, and both directions share it.
const TAGS: &[(Field, Field)] = &[
    (Field::SrcVlan, Field::DstVlan),
    (Field::VlanId, Field::PostVlanId),
    (Field::CustomerVlanId, Field::PostCustomerVlanId),
];

fn swap(flow: &mut Flow, a: Field, b: Field) {
    let is_port = a == Field::SrcPort;
    if is_port && Proto(flow.number(Field::Proto) as u8).is_icmp() {
        return;
    }
    let row = flow.as_row();
    if a.kind() == Kind::Addr {
        let (here, there) = (row.addr(a), row.addr(b));
        for (field, addr) in [(a, there), (b, here)] {
            flow.unset(field);
            if let Some(addr) = addr {
                flow.set_addr(field, addr);
            }
        }
        return;
    }
    let (here, there) = (row.u64(a), row.u64(b));
    for (field, number) in [(a, there), (b, here)] {
        flow.unset(field);
        if let Some(number) = number {
            flow.set(field, number);
        }
    }
}

/// A router has two addresses on either side of it: what goes back arrives from where the first
/// direction went. A probe sees one wire and swaps its two addresses.
fn swap_macs(flow: &mut Flow) {
    use Field::{InDstMac, InSrcMac, OutDstMac, OutSrcMac};
    let has = |field| flow.number(field) != 0;
    let is_probe = (has(InSrcMac) || has(InDstMac)) && !has(OutSrcMac) && !has(OutDstMac);
    if is_probe {
        swap(flow, InSrcMac, InDstMac);
    } else {
        swap(flow, InSrcMac, OutDstMac);
        swap(flow, InDstMac, OutSrcMac);
    }
}

/// Tags, the direction through the interface (element 61), and who began (element 239).
fn swap_codes(flow: &mut Flow) {
    for (a, b) in TAGS {
        if flow.has(*a) && flow.has(*b) {
            swap(flow, *a, *b);
        }
    }
    if let Some(ingress_or_egress @ (0 | 1)) = flow.as_row().u64(Field::Direction) {
        flow.set(Field::Direction, 1 - ingress_or_egress);
    }
    if let Some(who) = flow.as_row().u64(Field::BiflowDir) {
        const ARBITRARY: u64 = 0;
        const INITIATOR: u64 = 1;
        const REVERSE_INITIATOR: u64 = 2;
        let turned = match who {
            INITIATOR => REVERSE_INITIATOR,
            REVERSE_INITIATOR => INITIATOR,
            // Perimeter: the source was outside, which the other side is not.
            _ => ARBITRARY,
        };
        flow.set(Field::BiflowDir, turned);
    }
}

/// Type and code of what went back: as a reverse element has it, else the answer to what was
/// asked.
fn icmp(flow: &mut Flow, kept: &Kept) {
    let proto = Proto(flow.number(Field::Proto) as u8);
    if !proto.is_icmp() {
        return;
    }
    let is_v6 = proto == Proto::ICMP6;
    let asked = flow.number(Field::DstPort);
    let zero = kept.get(if is_v6 { Slot::Icmp6 } else { Slot::Icmp4 });
    let told = derive::explicit_icmp(kept, is_v6).or(zero);
    let answer = ANSWERS
        .iter()
        .find(|(v6, a, b)| *v6 == is_v6 && [u64::from(*a), u64::from(*b)].contains(&(asked >> 8)));
    let guess = answer.map(|(_, a, b)| {
        let other = if asked >> 8 == u64::from(*a) { *b } else { *a };
        u64::from(other) << 8
    });
    flow.set(Field::DstPort, told.or(guess).unwrap_or(asked));
}

/// Types that answer each other: whether of ICMPv6, and two types (RFC 792, RFC 950, RFC 4443).
const ANSWERS: &[(bool, u8, u8)] =
    &[(false, 8, 0), (false, 13, 14), (false, 15, 16), (false, 17, 18), (true, 128, 129)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{PEN_CERT, PEN_REVERSE};
    use crate::testing::{Collect, IpfixBuilder, Record};
    use crate::{Config, Decoder, ipfix};
    use record::code::record_flags;
    use record::{Addr, Mac};

    const PEER: Addr = Addr::V4(0xc000_0201);
    const NOW_MS: u64 = 1_795_000_000_000;
    const SECS: u32 = (NOW_MS / 1000) as u32;

    /// An element and its value: enterprise, number, length, value.
    type Value = (u32, u16, u16, u64);

    fn decode(values: &[Value]) -> (Decoder, Vec<Flow>) {
        let fields: Vec<_> = values.iter().map(|v| (v.0, v.1, v.2)).collect();
        let record = values.iter().fold(Record::new(), |r, v| r.number(v.3, usize::from(v.2)));
        let header = ipfix::Header { export_secs: SECS, ..ipfix::Header::default() };
        let message = IpfixBuilder::new(header).template(256, &fields).data(256, &[record.build()]);
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let outcome = decoder.decode(PEER, NOW_MS, &message.build(), &mut sink);
        assert_eq!((outcome.error, outcome.flows), (None, sink.flows.len() as u64));
        (decoder, sink.flows)
    }

    /// Addresses, ports, protocol 6, times of a second, and counters of both directions.
    fn biflow(more: &[Value]) -> Vec<Value> {
        let mut values = vec![
            (0, 8, 4, 0x0a00_0001),
            (0, 12, 4, 0x0a00_0002),
            (0, 7, 2, 40_000),
            (0, 11, 2, 443),
            (0, 4, 1, 6),
            (0, 152, 8, NOW_MS - 2000),
            (0, 153, 8, NOW_MS - 1000),
            (0, 1, 8, 700),
            (0, 2, 8, 7),
            (PEN_REVERSE, 1, 8, 900),
            (PEN_REVERSE, 2, 8, 9),
        ];
        // What is given twice is given later.
        values.retain(|v| !more.iter().any(|m| (m.0, m.1) == (v.0, v.1)));
        values.extend(more);
        values
    }

    fn numbers(flow: &Flow, fields: &[Field]) -> Vec<u64> {
        fields.iter().map(|f| flow.number(*f)).collect()
    }

    #[test]
    fn the_other_direction_has_sides_swapped() {
        let (decoder, flows) = decode(&biflow(&[
            (0, 10, 4, 1),
            (0, 14, 4, 2),
            (0, 16, 4, 64_496),
            (0, 17, 4, 64_497),
            (0, 9, 1, 24),
            (0, 13, 1, 25),
            (0, 234, 4, 5),
            (0, 61, 1, 0),
            (0, 239, 1, 1),
            (0, 136, 1, 3),
            (0, 6, 1, 0x1b),
            (0, 5, 1, 0x28),
            (0, 15, 4, 0x0a00_0009),
            (0, 52, 1, 60),
            (0, 58, 2, 100),
            (0, 225, 4, 0xc633_6401),
            (0, 227, 2, 1024),
            (0, 148, 8, 77),
        ]));
        let [forward, back] = flows.as_slice() else { panic!("{} flows", flows.len()) };
        let addrs = |flow: &Flow| [Field::SrcAddr, Field::DstAddr].map(|f| flow.as_row().addr(f));
        let [a, b] = [Some(Addr::V4(0x0a00_0001)), Some(Addr::V4(0x0a00_0002))];
        assert_eq!((addrs(forward), addrs(back)), ([a, b], [b, a]));
        use Field as F;
        for (name, fields, there, here) in [
            ("ports", &[F::SrcPort, F::DstPort][..], &[40_000, 443][..], &[443, 40_000][..]),
            ("counters", &[F::Bytes, F::Packets], &[700, 7], &[900, 9]),
            ("out counters", &[F::OutBytes, F::OutPackets], &[0, 0], &[0, 0]),
            ("interfaces", &[F::Input, F::Output], &[1, 2], &[2, 1]),
            ("AS", &[F::SrcAs, F::DstAs], &[64_496, 64_497], &[64_497, 64_496]),
            ("masks", &[F::SrcMask, F::DstMask], &[24, 25], &[25, 24]),
            ("VRF", &[F::IngressVrf, F::EgressVrf], &[5, 0], &[0, 5]),
            ("codes", &[F::Direction, F::BiflowDir, F::EndReason], &[0, 1, 3], &[1, 2, 3]),
            ("flags and ToS", &[F::TcpFlags, F::SrcTos], &[0x1b, 0x28], &[0, 0]),
            ("TTL and VLAN", &[F::MinTtl, F::SrcVlan], &[60, 100], &[0, 100]),
            ("translation", &[F::XlateSrcPort, F::XlateDstPort], &[1024, 0], &[0, 1024]),
            ("identity", &[F::FlowId, F::Proto, F::ExporterId], &[77, 6, 1], &[77, 6, 1]),
        ] {
            assert_eq!(numbers(forward, fields), there, "{name}");
            assert_eq!(numbers(back, fields), here, "{name}, back");
        }
        assert!(forward.has(F::NextHop) && !back.has(F::NextHop), "the way there");
        assert_eq!(back.as_row().addr(F::XlateDstAddr), Some(Addr::V4(0xc633_6401)));
        assert!(!back.has(F::XlateSrcAddr));
        let counters = decoder.counters();
        assert_eq!((counters.flows, counters.biflows), (2, 1));
        assert_eq!(decoder.templates().next().map(|t| t.records), Some(1));
    }

    #[test]
    fn reverse_elements_say_what_differs() {
        let (_, flows) = decode(&biflow(&[
            (0, 6, 1, 2),
            (PEN_REVERSE, 6, 2, 0x0112),
            (PEN_REVERSE, 5, 1, 7),
            (PEN_REVERSE, 52, 1, 55),
            (PEN_REVERSE, 152, 8, NOW_MS - 1900),
            (PEN_REVERSE, 153, 8, NOW_MS - 1100),
            (PEN_REVERSE, 8, 4, 99),
        ]));
        let fields =
            [Field::TcpFlags, Field::SrcTos, Field::MinTtl, Field::First, Field::Last].as_slice();
        assert_eq!(numbers(&flows[0], fields), [2, 0, 0, NOW_MS - 2000, NOW_MS - 1000]);
        assert_eq!(numbers(&flows[1], fields), [18, 7, 55, NOW_MS - 1900, NOW_MS - 1100]);
        assert_eq!(flows[1].as_row().addr(Field::SrcAddr), Some(Addr::V4(0x0a00_0002)));
    }

    /// An export that is behind the clock of the records moves no time that was told outright; one
    /// that is behind its uptimes moves both directions, and says so.
    #[test]
    fn only_uptimes_are_held_against_the_export() {
        let late = NOW_MS + 2 * 60 * 60 * 1000;
        let (decoder, flows) = decode(&biflow(&[
            (0, 152, 8, late - 1000),
            (0, 153, 8, late),
            (PEN_REVERSE, 152, 8, late - 900),
            (PEN_REVERSE, 153, 8, late - 100),
        ]));
        let times = |flow: &Flow| numbers(flow, &[Field::First, Field::Last]);
        assert_eq!(times(&flows[0]), [late - 1000, late]);
        assert_eq!(times(&flows[1]), [late - 900, late - 100]);
        assert_eq!(decoder.counters().odd_uptimes, 0);

        // Booted 60 days ago by element 160: the uptimes have wrapped, and are hours ahead.
        let boot = NOW_MS - 60 * 86_400_000;
        let now = (NOW_MS - boot) as u32;
        let ahead = u64::from(now) + 2 * 60 * 60 * 1000;
        let uptimes = |pen| [(pen, 22, 4, ahead - 500), (pen, 21, 4, ahead)];
        let mut values = biflow(&[uptimes(0), uptimes(PEN_REVERSE)].concat());
        values.retain(|v| ![152, 153].contains(&v.1));
        let fields: Vec<_> = values.iter().map(|v| (v.0, v.1, v.2)).collect();
        let record = values.iter().fold(Record::new(), |r, v| r.number(v.3, usize::from(v.2)));
        let header = ipfix::Header { export_secs: SECS, ..ipfix::Header::default() };
        let message = IpfixBuilder::new(header)
            .options_template(257, 1, &[(0, 149, 4), (0, 160, 8)])
            .data(257, &[Record::new().number(1, 4).number(boot, 8).build()])
            .template(256, &fields)
            .data(256, &[record.build()]);
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &message.build(), &mut sink);
        for flow in &sink.flows {
            assert_eq!(times(flow), [NOW_MS - 500, NOW_MS]);
        }
        assert_eq!((sink.flows.len(), decoder.counters().odd_uptimes), (2, 2));
    }

    #[test]
    fn elements_of_yaf() {
        let (_, flows) = decode(&biflow(&[
            (PEN_CERT, 14, 1, 2),
            (PEN_CERT, 15, 1, 0x11),
            (PEN_CERT, 0x4000 | 14, 1, 0x12),
            (PEN_CERT, 0x4000 | 15, 1, 0x18),
            (PEN_CERT, 21, 4, 30),
        ]));
        let fields = [Field::TcpFlags, Field::First, Field::Last].as_slice();
        assert_eq!(numbers(&flows[0], fields), [0x13, NOW_MS - 2000, NOW_MS - 1000]);
        assert_eq!(numbers(&flows[1], fields), [0x1a, NOW_MS - 1970, NOW_MS - 1000]);
    }

    #[test]
    fn a_direction_without_traffic_is_no_flow() {
        let reverse = |bytes, packets| [(PEN_REVERSE, 1, 8, bytes), (PEN_REVERSE, 2, 8, packets)];
        let forward = |bytes, packets| [(0, 1, 8, bytes), (0, 2, 8, packets)];
        for (name, there, back, want) in [
            ("both", forward(1, 1), reverse(1, 1), &[40_000, 443][..]),
            ("no way back", forward(1, 1), reverse(0, 0), &[40_000]),
            ("only the way back", forward(0, 0), reverse(1, 1), &[443]),
            ("nothing", forward(0, 0), reverse(0, 0), &[40_000]),
            ("octets only", forward(0, 1), reverse(1, 0), &[40_000, 443]),
        ] {
            let (decoder, flows) = decode(&biflow(&[there, back].concat()));
            let ports: Vec<_> = flows.iter().map(|f| f.number(Field::SrcPort)).collect();
            assert_eq!(ports, want, "{name}");
            assert_eq!(decoder.counters().biflows, want.len() as u64 - 1, "{name}");
        }
        // Without forward counters nothing is known of the way there.
        let mut values = biflow(&[]);
        values.retain(|v| v.0 != 0 || ![1, 2].contains(&v.1));
        assert_eq!(decode(&values).1.len(), 2);
    }

    #[test]
    fn events_are_one_record_with_counters_of_both_directions() {
        for event in [(0, 233, 1, 2), (0, 230, 1, 4)] {
            let (decoder, flows) = decode(&biflow(&[event, (PEN_REVERSE, 6, 1, 1)]));
            assert_eq!((flows.len(), decoder.counters().biflows), (1, 0));
            let fields = [Field::Bytes, Field::Packets, Field::OutBytes, Field::OutPackets];
            assert_eq!(numbers(&flows[0], &fields), [700, 7, 900, 9]);
            assert_eq!(flows[0].number(Field::TcpFlags), 0);
        }
    }

    #[test]
    fn addresses_of_the_wire() {
        let mac = |n: u64| Mac(n);
        let (src, dst) = (0x02_0000_0001, 0x02_0000_0002);
        for (name, fields, want) in [
            ("a probe", &[(0, 56, 6, src), (0, 80, 6, dst)][..], [dst, 0, src, 0]),
            ("a router", &[(0, 56, 6, src), (0, 57, 6, dst)], [dst, src, 0, 0]),
            (
                "all four",
                &[(0, 56, 6, 1), (0, 57, 6, 2), (0, 80, 6, 3), (0, 81, 6, 4)],
                [2, 1, 4, 3],
            ),
        ] {
            let (_, flows) = decode(&biflow(fields));
            let got = [Field::InSrcMac, Field::OutDstMac, Field::InDstMac, Field::OutSrcMac]
                .map(|f| flows[1].as_row().mac(f).unwrap_or_else(|| mac(0)));
            assert_eq!(got, want.map(mac), "{name}");
        }
    }

    #[test]
    fn icmp_answers_what_was_asked() {
        let icmp = |kind: u64| [(0, 4, 1, 1), (0, 32, 2, kind), (0, 7, 2, 0), (0, 11, 2, 0)];
        for (name, there, reverse, want) in [
            ("echo", 0x0800, None, [0x0800, 0]),
            ("timestamp", 0x0d00, None, [0x0d00, 0x0e00]),
            ("no answer known", 0x0303, None, [0x0303, 0x0303]),
            ("told", 0x0800, Some(0x0b00), [0x0800, 0x0b00]),
            ("told to be 0", 0x0b00, Some(0), [0x0b00, 0]),
        ] {
            let mut more = icmp(there).to_vec();
            more.extend(reverse.map(|kind| (PEN_REVERSE, 32, 2, kind)));
            let (_, flows) = decode(&biflow(&more));
            let ports = [0, 1].map(|i: usize| flows[i].number(Field::DstPort));
            assert_eq!(ports, want, "{name}");
            assert_eq!(flows[1].number(Field::SrcPort), 0, "{name}");
        }
    }

    #[test]
    fn both_directions_are_scaled() {
        let header = ipfix::Header { export_secs: SECS, ..ipfix::Header::default() };
        let values = biflow(&[]);
        let fields: Vec<_> = values.iter().map(|v| (v.0, v.1, v.2)).collect();
        let record = values.iter().fold(Record::new(), |r, v| r.number(v.3, usize::from(v.2)));
        let sampler = Record::new().number(1, 4).number(10, 4).build();
        let message = IpfixBuilder::new(header)
            .options_template(257, 1, &[(0, 149, 4), (0, 34, 4)])
            .data(257, &[sampler])
            .template(256, &fields)
            .data(256, &[record.build()]);
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        decoder.decode(PEER, NOW_MS, &message.build(), &mut sink);
        let bytes: Vec<_> = sink.flows.iter().map(|f| f.number(Field::Bytes)).collect();
        assert_eq!(bytes, [7000, 9000]);
        let sampled = u64::from(record_flags::SAMPLED);
        assert!(sink.flows.iter().all(|f| f.number(Field::RecordFlags) == sampled));
    }

    /// The next message continues the count of records, not of flows.
    #[test]
    fn a_biflow_is_one_record_of_the_sequence() {
        let values = biflow(&[]);
        let fields: Vec<_> = values.iter().map(|v| (v.0, v.1, v.2)).collect();
        let record = values.iter().fold(Record::new(), |r, v| r.number(v.3, usize::from(v.2)));
        let record = record.build();
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for sequence in [0, 2, 4] {
            let header = ipfix::Header { export_secs: SECS, sequence, ..ipfix::Header::default() };
            let records = [record.clone(), record.clone()];
            let message = IpfixBuilder::new(header).template(256, &fields).data(256, &records);
            decoder.decode(PEER, NOW_MS, &message.build(), &mut sink);
        }
        let counters = decoder.counters();
        assert_eq!((counters.flows, counters.biflows), (12, 6));
        assert_eq!((counters.sequence_gaps, counters.duplicates, counters.reordered), (0, 0, 0));
        let counts = decoder.take_slots().remove(0).counts;
        assert_eq!((counts.flows, counts.biflows, counts.records()), (12, 6, 6));
        assert_eq!((counts.sent_records(), counts.lost_records()), (6, 0));
    }
}
