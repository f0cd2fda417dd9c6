//! Flow records of layout 3: which fields lie where in which extension, in place.
//!
//! ```text
//! record = type 16 u16, size u16, extensions u16, flags u16, exporter u32, engine type u8,
//!          engine id u8, source u8, fill u8, bitmap u64, offsets u16 each, to 8 octets, extensions
//! ```
//!
//! The bitmap says which extensions there are, and the offsets, in the order of its bits, where
//! they begin. Rows are read as they lie: only the shape differs from that of layout 2.

use crate::layout::{u16_at, u32_at, u64_at};
use record::v3::{Choice, Element, Events, Extension, Tail, event_time, set};
use record::{Field, Shape};

/// Octets of the record header; the offsets follow.
pub(crate) const LEN: usize = 24;
/// Offset of the bitmap.
pub(crate) const BITMAP: usize = 16;

use Field as F;

/// Fields of the record header, each with its offset and octets.
const HEADER_FIELDS: [(Field, u16, u16); 5] = [
    (F::RecordFlags, 6, 1),
    (F::ExporterId, 8, 4),
    (F::EngineType, 12, 1),
    (F::EngineId, 13, 1),
    (F::Source, 14, 1),
];

/// How the length of an extension is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Always the same.
    Fixed,
    /// A u32 before the data says it.
    Said,
    /// At least that of the fixed part; text up to the next extension.
    Rest,
}

struct Kind {
    extension: Extension,
    length: Length,
}

const fn fixed(id: u16, len: u16, fields: &'static [(Field, u16)]) -> Kind {
    addrs(id, len, 0, fields)
}

const fn addrs(id: u16, len: u16, family: u16, fields: &'static [(Field, u16)]) -> Kind {
    Kind { extension: Extension { id, len, fields, tail: None, family }, length: Length::Fixed }
}

const fn said(id: u16, field: Field) -> Kind {
    let tail = Some(Tail { field, zeros: 0, align: 1 });
    Kind { extension: Extension { id, len: 0, fields: &[], tail, family: 0 }, length: Length::Said }
}

const fn rest(id: u16, len: u16, fields: &'static [(Field, u16)], field: Field) -> Kind {
    let tail = Some(Tail { field, zeros: 0, align: 1 });
    Kind { extension: Extension { id, len, fields, tail, family: 0 }, length: Length::Rest }
}

/// Number of the extension that says what happened, at a firewall or a translation of addresses.
const EVENT: u16 = 21;
/// Octets of that extension.
const EVENT_LEN: u16 = 24;

#[rustfmt::skip]
static KINDS: [Kind; 39] = [
    fixed(1, 48, &[(F::First, 0), (F::Last, 8), (F::Received, 16), (F::Packets, 24), (F::Bytes, 32), (F::SrcPort, 40),
        (F::DstPort, 42), (F::Proto, 44), (F::TcpFlags, 45), (F::FwdStatus, 46), (F::SrcTos, 47)]),
    addrs(2, 8, 4, &[(F::SrcAddr, 0), (F::DstAddr, 4)]),
    addrs(3, 32, 16, &[(F::SrcAddr, 0), (F::DstAddr, 16)]),
    fixed(4, 8, &[(F::Input, 0), (F::Output, 4)]),
    fixed(5, 8, &[(F::SrcMask, 0), (F::DstMask, 1), (F::Direction, 2), (F::BiflowDir, 3), (F::DstTos, 4), (F::EndReason, 5)]),
    fixed(6, 24, &[(F::Flows, 0), (F::OutPackets, 8), (F::OutBytes, 16)]),
    fixed(7, 8, &[(F::SrcVlan, 0), (F::DstVlan, 4)]),
    fixed(8, 8, &[(F::SrcAs, 0), (F::DstAs, 4)]),
    addrs(9, 8, 4, &[(F::NextHop, 0), (F::BgpNextHop, 4)]),
    addrs(10, 32, 16, &[(F::NextHop, 0), (F::BgpNextHop, 16)]),
    addrs(11, 8, 4, &[(F::Router, 0)]),
    addrs(12, 16, 16, &[(F::Router, 0)]),
    fixed(13, 40, &[(F::Mpls1, 0), (F::Mpls2, 4), (F::Mpls3, 8), (F::Mpls4, 12), (F::Mpls5, 16), (F::Mpls6, 20),
        (F::Mpls7, 24), (F::Mpls8, 28), (F::Mpls9, 32), (F::Mpls10, 36)]),
    fixed(14, 16, &[(F::InSrcMac, 0), (F::OutDstMac, 8)]),
    fixed(15, 16, &[(F::InDstMac, 0), (F::OutSrcMac, 8)]),
    fixed(16, 8, &[(F::NextAs, 0), (F::PrevAs, 4)]),
    fixed(17, 24, &[(F::ClientLatency, 0), (F::ServerLatency, 8), (F::AppLatency, 16)]),
    addrs(18, 8, 4, &[(F::XlateSrcAddr, 0), (F::XlateDstAddr, 4)]),
    addrs(19, 32, 16, &[(F::XlateSrcAddr, 0), (F::XlateDstAddr, 16)]),
    fixed(20, 8, &[(F::XlateSrcPort, 0), (F::XlateDstPort, 2)]),
    fixed(EVENT, EVENT_LEN, &[]), // which of its fields count, the values say
    fixed(22, 24, &[(F::IngressAcl, 0), (F::EgressAcl, 12)]),
    fixed(23, 72, &[(F::Username, 0)]),
    fixed(24, 8, &[(F::PblockStart, 0), (F::PblockEnd, 2), (F::PblockStep, 4), (F::PblockSize, 6)]),
    said(25, F::AppId),
    said(26, F::InPayload),
    said(27, F::OutPayload),
    addrs(28, 16, 4, &[(F::TunSrcAddr, 0), (F::TunDstAddr, 4), (F::TunProto, 8)]),
    addrs(29, 40, 16, &[(F::TunSrcAddr, 0), (F::TunDstAddr, 16), (F::TunProto, 32)]),
    fixed(30, 16, &[(F::ObservationPoint, 0), (F::ObservationDomain, 8)]),
    fixed(31, 8, &[(F::FrameSize, 0), (F::LinkType, 2)]),
    said(32, F::Frame),
    fixed(33, 8, &[(F::EgressVrf, 0), (F::IngressVrf, 4)]),
    rest(34, 20, &[(F::PfAction, 0), (F::PfReason, 1), (F::PfDir, 2), (F::PfRewritten, 3), (F::PfRule, 4),
        (F::PfSubRule, 8), (F::PfUid, 12), (F::PfPid, 16)], F::PfInterface),
    fixed(35, 32, &[(F::VlanId, 0), (F::CustomerVlanId, 2), (F::PostVlanId, 4), (F::PostCustomerVlanId, 6),
        (F::PhysIngress, 8), (F::PhysEgress, 12), (F::VxLan, 16), (F::EtherType, 24), (F::IpVersion, 26)]),
    fixed(36, 8, &[(F::FlowId, 0)]),
    fixed(37, 8, &[(F::InService, 0), (F::OutService, 2)]),
    rest(38, 0, &[], F::NatString),
    fixed(39, 8, &[(F::FragmentFlags, 0), (F::MinTtl, 1), (F::MaxTtl, 2)]),
];

/// Extensions of the two address families that say the same thing.
const FAMILIES: [(u16, u16); 5] = [(2, 3), (9, 10), (11, 12), (18, 19), (28, 29)];

fn kind(id: u16) -> Option<&'static Kind> {
    KINDS.get(usize::from(id).checked_sub(1)?)
}

/// Whether the extension is one that this program knows.
pub(crate) fn is_known(id: u16) -> bool {
    kind(id).is_some()
}

/// Takes a record apart: its extensions, and the words, each with its offset, that another record
/// has to have at the same places to have the same shape. `None` if it is malformed.
pub(crate) fn dissect(
    record: &[u8],
    elements: &mut Vec<Element>,
    words: &mut Vec<(u16, u32)>,
) -> Option<()> {
    let bitmap = u64_at(record, BITMAP)?;
    let count = bitmap.count_ones() as usize;
    if usize::from(u16_at(record, 4)?) != count {
        return None;
    }
    let data = LEN + (2 * count).next_multiple_of(8);
    let offsets = record.get(LEN..data)?;
    for at in (BITMAP..data).step_by(4) {
        words.push((at as u16, u32_at(record, at)?));
    }
    let at = |n: usize| u16_at(offsets, 2 * n);
    for (n, id) in (0..64u16).filter(|id| bitmap >> id & 1 != 0).enumerate() {
        let from = at(n)?;
        if from == 0 {
            continue; // collectors leave extensions open that they have nothing for
        }
        if usize::from(from) < data {
            return None;
        }
        let left = record.len().checked_sub(usize::from(from))?;
        let Some(kind) = kind(id) else {
            elements.push(Element { id, at: from, len: 0 });
            continue;
        };
        let fixed = usize::from(kind.extension.len);
        let element = match kind.length {
            Length::Fixed => (fixed <= left).then_some(Element { id, at: from, len: fixed as u16 }),
            Length::Said => {
                let len = u32_at(record, usize::from(from))?;
                words.push((from, len));
                let fits = len as usize <= left.checked_sub(4)?;
                fits.then_some(Element { id, at: from + 4, len: len as u16 })
            }
            Length::Rest => {
                let next = (0..count).filter_map(at).filter(|a| *a > from).min();
                let len = next.map_or(left, |n| usize::from(n - from)).min(left);
                (fixed <= len).then_some(Element { id, at: from, len: len as u16 })
            }
        };
        elements.push(element?);
    }
    Some(())
}

/// The shape of a record with these extensions.
pub(crate) fn shape(elements: &[Element], choice: Choice) -> Shape {
    let mut shape = Shape::default();
    for (field, at, len) in HEADER_FIELDS {
        shape.set(field, at, len);
    }
    let has = |id| elements.iter().any(|e| e.id == id);
    let is_v4 = if has(2) && has(3) { choice.v4 } else { has(2) };
    let other_family = |id| {
        FAMILIES.iter().any(|(v4, v6)| has(*v4) && has(*v6) && id == if is_v4 { *v6 } else { *v4 })
    };
    for e in elements.iter().filter(|e| !other_family(e.id)) {
        match kind(e.id) {
            Some(_) if e.id == EVENT => place_event(&mut shape, e.at, choice.events),
            Some(kind) => kind.extension.place(&mut shape, e.at, e.len),
            None => {}
        }
    }
    if choice.event_time
        && let Some(slot) = event_time(&shape)
    {
        shape.set(Field::First, slot.at, slot.len);
    }
    shape
}

/// One extension stands for two of layout 2.
fn place_event(shape: &mut Shape, at: u16, events: Events) {
    if events != Events::Translation {
        for (field, offset, len) in
            [(F::FwEventTime, 0, 8), (F::ConnId, 8, 4), (F::FwXEvent, 12, 2), (F::FwEvent, 14, 1)]
        {
            set(shape, field, at + offset, len);
        }
    }
    if events != Events::Firewall {
        for (field, offset, len) in
            [(F::NatEventTime, 0, 8), (F::NatEvent, 18, 1), (F::NatPool, 20, 4)]
        {
            set(shape, field, at + offset, len);
        }
    }
}

/// Where the extension of events begins, if there is one.
pub(crate) fn event_at(elements: &[Element]) -> Option<u16> {
    elements.iter().find(|e| e.id == EVENT).map(|e| e.at)
}

/// What the extension at `at` is about. Collectors do not always fill in the word for it.
pub(crate) fn events(record: &[u8], at: u16) -> Events {
    let word = |offset| u16_at(record, usize::from(at) + offset).unwrap_or(0);
    let firewall = word(16) == 1 || word(14) & 0xFF != 0;
    let translation = word(16) == 2 || word(18) != 0;
    match (firewall, translation) {
        (true, true) => Events::Both,
        (false, true) => Events::Translation,
        _ => Events::Firewall,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_each_field_once_a_family() {
        let mut places = vec![0; Field::COUNT];
        for (i, k) in KINDS.iter().enumerate() {
            let e = &k.extension;
            assert_eq!(usize::from(e.id), i + 1);
            for (field, at) in e.fields {
                assert!(at + e.width(*field) <= e.len, "{} {field:?}", e.id);
                places[*field as usize] += 1;
            }
            if let Some(tail) = e.tail {
                places[tail.field as usize] += 1;
            }
        }
        for f in Field::ALL {
            let is_family = f.kind() == record::Kind::Addr || *f == Field::TunProto;
            let elsewhere = HEADER_FIELDS.iter().any(|h| h.0 == *f)
                || event_fields().contains(f)
                || [Field::SelectorId, Field::Label].contains(f); // not in this layout
            let want = match f {
                _ if f.is_derived() || elsewhere => 0,
                _ => 1 + usize::from(is_family),
            };
            assert_eq!(places[*f as usize], want, "{f:?}");
        }
    }

    fn event_fields() -> Vec<Field> {
        let mut shape = Shape::default();
        place_event(&mut shape, 24, Events::Both);
        shape.fields().collect()
    }

    #[test]
    fn what_an_event_is_about_is_told_by_type_or_values() {
        for (kind, fw, nat, want) in [
            (1, 0, 0, Events::Firewall),
            (2, 0, 0, Events::Translation),
            (0, 0, 0, Events::Firewall),
            (0, 2, 0, Events::Firewall),
            (0, 0, 4, Events::Translation),
            (1, 2, 4, Events::Both),
        ] {
            let mut record = [0; 48];
            (record[24 + 14], record[24 + 16], record[24 + 18]) = (fw, kind, nat);
            assert_eq!(events(&record, 24), want, "{kind} {fw} {nat}");
        }
    }
}
