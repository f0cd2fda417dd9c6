//! Packet sections: records that carry the first octets of a packet instead of what a router made
//! of it (IPFIX element 315 and its kin; PSAMP, RFC 5476). Such a record becomes a flow of one packet.

use crate::Counters;
use crate::element::{Head, Slot};
use crate::packet::{Depth, LinkType, fill_from_section};
use crate::plan::{Kept, Plan};
use record::{Addr, Field, Flow};

/// Reads the packet section of the record at the start of `record` into `flow`, which has
/// everything else the record says.
///
/// A section that begins inside the packet, or whose headers cannot be read, leaves the flow
/// without addresses and is counted.
#[inline(never)]
pub(crate) fn fill(
    plan: &Plan,
    record: &[u8],
    flow: &mut Flow,
    kept: &Kept,
    depth: Depth,
    counters: &mut Counters,
) {
    let Some((head, section)) = plan.section(record) else { return };
    let section = whole(section, kept);
    let is_frame = head.is_none();
    if is_frame && flow.has(Field::Frame) {
        flow.set_bytes(Field::Frame, section);
    }
    if kept.get(Slot::SectionOffset).is_none_or(|at| at == 0) {
        let wire_len = flow.as_row().u64(Field::FrameSize).filter(|_| is_frame);
        let wire_len = wire_len.and_then(|len| u32::try_from(len).ok());
        fill_from_section(link(head, flow), section, wire_len, depth, flow);
    }
    let is_read = flow.has(Field::SrcAddr);
    counters.sections += u64::from(is_read);
    counters.sections_unread += u64::from(!is_read);
    if !is_read {
        // Files have no flow without addresses.
        flow.set_addr(Field::SrcAddr, Addr::V4(0));
        flow.set_addr(Field::DstAddr, Addr::V4(0));
    }
}

/// The section without what pads it (element 410).
fn whole<'a>(section: &'a [u8], kept: &Kept) -> &'a [u8] {
    let len = kept.get(Slot::SectionLen).and_then(|len| usize::try_from(len).ok());
    len.and_then(|len| section.get(..len)).unwrap_or(section)
}

/// What the section begins with. A frame is Ethernet unless element 408 says otherwise.
fn link(head: Option<Head>, flow: &Flow) -> LinkType {
    match head {
        Some(Head::Ip) => LinkType::Raw,
        Some(Head::Mpls) => LinkType::Mpls,
        None => LinkType::from_ipfix(flow.number(Field::LinkType)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::frames::{self, plain_tcp};
    use crate::testing::{Collect, IpfixBuilder, Record};
    use crate::{Config, Decoder, ipfix};

    const PEER: Addr = Addr::V4(0xc000_0201);
    const NOW_MS: u64 = 1_795_000_000_000;

    /// Decodes a record of numbers (element, length, value) and one element of variable length.
    fn decode(numbers: &[(u16, u16, u64)], section: (u16, &[u8])) -> (Decoder, Flow) {
        decode_with(Config::default(), numbers, section)
    }

    fn decode_with(
        config: Config,
        numbers: &[(u16, u16, u64)],
        section: (u16, &[u8]),
    ) -> (Decoder, Flow) {
        let mut fields: Vec<_> = numbers.iter().map(|n| (0, n.0, n.1)).collect();
        fields.push((0, section.0, 65535));
        let record = numbers.iter().fold(Record::new(), |r, n| r.number(n.2, usize::from(n.1)));
        let record = record.variable(section.1).build();
        let secs = (NOW_MS / 1000) as u32;
        let header = ipfix::Header { export_secs: secs, ..ipfix::Header::default() };
        let message = IpfixBuilder::new(header).template(256, &fields).data(256, &[record]);
        let (mut decoder, mut sink) = (Decoder::new(config), Collect::default());
        let outcome = decoder.decode(PEER, NOW_MS, &message.build(), &mut sink);
        assert_eq!((outcome.error, outcome.flows), (None, 1));
        (decoder, sink.flows.remove(0))
    }

    const KEY: [Field; 6] = [
        Field::Proto,
        Field::SrcPort,
        Field::DstPort,
        Field::Packets,
        Field::Bytes,
        Field::TcpFlags,
    ];

    #[test]
    fn sections_become_flows() {
        let frame = plain_tcp();
        let labels = [&[0, 1, 0x21, 0xfe][..], &frame[14..]].concat();
        for (name, element, section) in [
            ("frame", 315, &frame[..]),
            ("frame, v9 element", 104, &frame),
            ("frame cut behind its headers", 315, &frame[..54]),
            ("IP header", 313, &frame[14..]),
            ("labels", 316, &labels),
            ("payload of labels", 317, &frame[14..]),
        ] {
            let (decoder, flow) = decode(&[(323, 8, NOW_MS - 5)], (element, section));
            assert_eq!(KEY.map(|f| flow.number(f)), [6, 50_000, 443, 1, 40, 0x12], "{name}");
            assert_eq!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V4(0xc000_0201)), "{name}");
            assert_eq!(flow.as_row().addr(Field::DstAddr), Some(Addr::V4(0xc633_6402)), "{name}");
            let times = [Field::First, Field::Last].map(|f| flow.number(f));
            assert_eq!(times, [NOW_MS - 5; 2], "{name}");
            assert_eq!(flow.has(Field::Frame), [104, 315].contains(&element), "{name}");
            assert_eq!(decoder.counters().sections, 1, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let frame = plain_tcp();
        for (name, numbers, element, section) in [
            ("inside the packet", &[(409, 2, 20)][..], 313, &frame[34..]),
            ("nothing of it", &[(410, 2, 0)], 315, &frame),
            ("another link type", &[(408, 2, 2)], 315, &frame),
            ("an unknown link type", &[(408, 2, 4)], 315, &frame),
            ("half a header", &[], 313, &frame[14..24]),
            ("empty", &[], 315, &[]),
        ] {
            let (decoder, flow) = decode(numbers, (element, section));
            let c = decoder.counters();
            let (read, unread) = (c.sections, c.sections_unread);
            assert_eq!((read, unread), (0, 1), "{name}");
            assert_eq!(flow.as_row().addr(Field::SrcAddr), Some(Addr::V4(0)), "{name}");
            assert_eq!(flow.number(Field::Packets), 0, "{name}");
        }
    }

    #[test]
    fn tunnels_are_opened_if_asked_for() {
        let inner = plain_tcp();
        let tunnel = frames::ethernet(0x0800, &frames::ipv4(4, &inner[14..]));
        let ends = |flow: &Flow| {
            let proto = [Field::Proto, Field::TunProto].map(|f| flow.number(f));
            (proto, flow.as_row().addr(Field::TunSrcAddr).is_some())
        };
        for (decode_tunnels, want) in [(false, ([4, 0], false)), (true, ([6, 4], true))] {
            let config = Config { decode_tunnels, ..Config::default() };
            let (_, flow) = decode_with(config, &[], (315, &tunnel));
            assert_eq!(ends(&flow), want, "{decode_tunnels}");
        }
    }

    #[test]
    fn padding_is_no_part_of_the_frame() {
        let mut padded = plain_tcp();
        padded.resize(1390, 0);
        let (_, flow) = decode(&[(410, 2, 60)], (315, &padded));
        assert_eq!(flow.as_row().bytes(Field::Frame).map(<[u8]>::len), Some(60));
        assert_eq!(flow.number(Field::Bytes), 40);
    }

    #[test]
    fn what_the_exporter_says_comes_first() {
        let (decoder, flow) = decode(&[(2, 8, 9), (1, 8, 700), (58, 2, 7)], (315, &plain_tcp()));
        assert_eq!(KEY.map(|f| flow.number(f)), [6, 50_000, 443, 9, 700, 0x12]);
        assert_eq!(flow.number(Field::SrcVlan), 7);
        assert_eq!(decoder.counters().sections, 1);
        // With addresses of its own it is a flow record, and the frame is only kept.
        let (decoder, flow) = decode(&[(8, 4, 1), (12, 4, 2)], (315, &plain_tcp()));
        assert!(flow.has(Field::Frame) && !flow.has(Field::SrcPort));
        assert_eq!(decoder.counters().sections, 0);
    }

    #[test]
    fn every_cut_is_survived() {
        let frame = plain_tcp();
        for len in 0..=frame.len() {
            let (decoder, flow) = decode(&[], (315, &frame[..len]));
            let counters = decoder.counters();
            assert_eq!(counters.sections + counters.sections_unread, 1, "{len}");
            assert_eq!(flow.number(Field::Packets) == 1, counters.sections == 1, "{len}");
        }
    }
}
