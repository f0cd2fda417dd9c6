//! Structured data: lists inside records (RFC 6313). A record's own lengths lead past them, and
//! nothing in a list is needed to read on.
//!
//! A flow has no place for lists, so they are passed over, but for what probes put there to have
//! it only where there is any (YAF does): MAC addresses and TCP flags that the flow does not have.

use crate::Counters;
use crate::element::List;
use crate::plan::{Kept, Plan};
use crate::template::Templates;
use record::{Field, Flow};

/// What is taken from a list.
const TAKEN: &[Field] =
    &[Field::InSrcMac, Field::InDstMac, Field::OutSrcMac, Field::OutDstMac, Field::TcpFlags];

/// Looks into the lists of the record at the start of `record` for what `flow` lacks. `scratch` is
/// overwritten.
#[inline(never)]
pub(crate) fn fill(
    plan: &Plan,
    record: &[u8],
    flow: &mut Flow,
    scratch: &mut Flow,
    templates: &Templates,
    counters: &mut Counters,
) {
    plan.lists(record, |kind, list| {
        counters.lists += 1;
        let mut each = |id, records: &[u8]| take(id, records, flow, scratch, templates);
        let is_whole = match kind {
            // Values of one element: none of those that are taken comes in numbers.
            List::Basic => true,
            List::SubTemplate => single(list, &mut each),
            List::SubTemplateMulti => multiple(list, &mut each),
        };
        counters.lists_damaged += u64::from(!is_whole);
    });
}

/// A subTemplateList: semantic, template id, records (RFC 6313, 4.5.2). Returns whether it is sound.
fn single(list: &[u8], each: &mut impl FnMut(u16, &[u8])) -> bool {
    let Some(([_semantic, id @ ..], records)) = list.split_first_chunk::<3>() else {
        return list.is_empty();
    };
    each(u16::from_be_bytes(*id), records);
    true
}

/// A subTemplateMultiList: semantic, then for each template its id, the length of what follows with
/// these four octets, and records (RFC 6313, 4.5.3). Returns whether it is sound.
fn multiple(list: &[u8], each: &mut impl FnMut(u16, &[u8])) -> bool {
    const HEADER_LEN: usize = 4;
    let mut rest = list.get(1..).unwrap_or_default();
    while !rest.is_empty() {
        let Some(([a, b, c, d], _)) = rest.split_first_chunk::<HEADER_LEN>() else { return false };
        let (id, len) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let Some(records) = rest.get(HEADER_LEN..usize::from(len)) else { return false };
        each(id, records);
        rest = rest.get(usize::from(len)..).unwrap_or_default();
    }
    true
}

/// Takes what the flow lacks from the first record of a list.
fn take(id: u16, records: &[u8], flow: &mut Flow, scratch: &mut Flow, templates: &Templates) {
    let Some(plan) = templates.get(id).and_then(|t| t.plan.as_ref()) else { return };
    scratch.clear();
    // What does not fit inside a list is no loss: most of it has no place anyway.
    let mut unused = Counters::default();
    if plan.read(records, scratch, &mut Kept::default(), &mut unused).is_none() {
        return;
    }
    for field in TAKEN {
        if !flow.has(*field)
            && let Some(value) = scratch.as_row().u64(*field)
        {
            flow.set(*field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::PEN_CERT;
    use crate::testing::{Collect, IpfixBuilder, Record};
    use crate::{Config, Decoder, ipfix};
    use record::Addr;

    const MACS: u16 = 300;
    const FLAGS: u16 = 301;
    const SOURCE: u64 = 0x02_0000_0001;

    /// Records with octets, a list, and packets behind it.
    fn decode(element: u16, list: &[u8]) -> (Decoder, Flow) {
        let record = Record::new().number(700, 4).variable(list).number(7, 4).build();
        let message = IpfixBuilder::new(ipfix::Header::default())
            .template(MACS, &[(0, 56, 6), (0, 80, 6), (0, 8, 4)])
            .template(FLAGS, &[(PEN_CERT, 14, 1), (PEN_CERT, 15, 1), (0, 293, 65535)])
            .template(256, &[(0, 1, 4), (0, element, 65535), (0, 2, 4)])
            .data(256, &[record]);
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let outcome = decoder.decode(Addr::V4(1), 0, &message.build(), &mut sink);
        assert_eq!((outcome.flows, outcome.error), (1, None));
        (decoder, sink.flows.remove(0))
    }

    fn entry(id: u16, records: &[u8]) -> Vec<u8> {
        let len = records.len() as u64 + 4;
        Record::new().number(id.into(), 2).number(len, 2).octets(records).build()
    }

    fn macs() -> Vec<u8> {
        Record::new().number(SOURCE, 6).number(SOURCE + 1, 6).number(99, 4).build()
    }

    const FIELDS: [Field; 5] =
        [Field::Bytes, Field::Packets, Field::InSrcMac, Field::InDstMac, Field::TcpFlags];

    #[test]
    fn addresses_and_flags_are_taken() {
        let flags = Record::new().number(2, 1).number(0x11, 1).variable(&[3]).build();
        let multi = [&[3][..], &entry(MACS, &macs()), &entry(999, &[1, 2]), &entry(FLAGS, &flags)];
        let (decoder, flow) = decode(293, &multi.concat());
        let want = [700, 7, SOURCE, SOURCE + 1, 0x13];
        assert_eq!(FIELDS.map(|f| flow.number(f)), want);
        assert!(!flow.has(Field::SrcAddr), "who speaks to whom is said outside of lists");
        let counters = decoder.counters();
        assert_eq!((counters.lists, counters.lists_damaged), (1, 0));
        let one = [&[3][..], &MACS.to_be_bytes(), &macs(), &[0xff; 16]].concat();
        let (_, flow) = decode(292, &one);
        assert_eq!(FIELDS.map(|f| flow.number(f)), [700, 7, SOURCE, SOURCE + 1, 0]);
    }

    #[test]
    fn inner_lengths_are_not_trusted() {
        let good = [&[3][..], &entry(MACS, &macs())].concat();
        for (name, element, list, damaged) in [
            ("empty multi list", 293, vec![], 0),
            ("semantic only", 293, vec![3], 0),
            ("header cut", 293, vec![3, 1, 44, 0], 1),
            ("length beyond the list", 293, [&good[..], &[1, 44, 0, 5]].concat(), 1),
            ("length 0", 293, vec![3, 1, 44, 0, 0, 9, 9], 1),
            ("length 3", 293, vec![3, 1, 44, 0, 3, 9, 9], 1),
            ("records cut", 293, [&[3][..], &entry(MACS, &macs()[..9])].concat(), 0),
            ("empty list", 292, vec![], 0),
            ("id cut", 292, vec![3, 1], 1),
            ("no records", 292, vec![3, 1, 44], 0),
            ("options template or none", 292, vec![3, 9, 9, 1, 1], 0),
            ("basic list of whatever", 291, vec![0xff; 40], 0),
        ] {
            let (decoder, flow) = decode(element, &list);
            let counters = decoder.counters();
            assert_eq!((counters.lists, counters.lists_damaged), (1, damaged), "{name}");
            assert_eq!(
                (flow.number(Field::Bytes), flow.number(Field::Packets)),
                (700, 7),
                "{name}"
            );
        }
        for len in 0..good.len() {
            let (_, flow) = decode(293, &good[..len]);
            assert_eq!(flow.number(Field::Packets), 7, "cut at {len}");
        }
    }

    #[test]
    fn a_list_inside_a_list_is_not_opened() {
        // FLAGS ends with a list: its own records begin where this one is read as octets.
        let inner = [&[3][..], &entry(MACS, &macs())].concat();
        let flags = Record::new().number(2, 1).number(0, 1).variable(&inner).build();
        let (decoder, flow) = decode(293, &[&[3][..], &entry(FLAGS, &flags)].concat());
        assert_eq!((decoder.counters().lists, flow.has(Field::InSrcMac)), (1, false));
        assert_eq!(flow.number(Field::TcpFlags), 2);
    }
}
