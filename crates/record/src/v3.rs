//! V3 flow records: the form that flows have in files of layout 2 and in datagrams of nfdump's own
//! transport, version 250 (file format, 6 and 7).
//!
//! A record is a header and elements. [`EXTENSIONS`] is the one table that says which fields lie
//! where in which element: read downwards it builds the [`Shape`] of a record, read upwards it
//! builds records. Blocks, files and datagrams around the records are not known here.

use crate::{Field, Kind, Shape, Slot};

/// What a record of this form begins with: its type (file format, 5).
pub const TYPE: u16 = 11;
/// Octets of a record's header (6.1).
pub const LEN: usize = 12;
/// Where the header has the number of elements, in 16 bits.
pub const ELEMENTS: usize = 4;
/// Where the header has the engine type, in 8 bits.
pub const ENGINE_TYPE: usize = 6;
/// Where the header has the engine id, in 8 bits.
pub const ENGINE_ID: usize = 7;
/// Where the header has the number of the exporter, in 16 bits.
pub const EXPORTER: usize = 8;
/// Where the header has the flags of the record, in 8 bits.
pub const FLAGS: usize = 10;
/// Where the header has the protocol the record came from, in 8 bits.
pub const SOURCE: usize = 11;
/// Bit of the flags that belongs to whoever filters; never to be written.
pub const SCRATCH_FLAG: u8 = 0x80;
/// Octets of an element's header: its number and its length, that header included (6.2).
pub const ELEMENT_HEADER: usize = 4;

/// One kind of element.
#[derive(Debug)]
pub struct Extension {
    /// Number in the element header.
    pub id: u16,
    /// Octets of the fixed part, element header not counted.
    pub len: u16,
    /// Fields of the fixed part, each with its offset in the data.
    pub fields: &'static [(Field, u16)],
    /// Field that takes the rest of the element.
    pub tail: Option<Tail>,
    /// Family of the addresses in it: their octets, 0 if there are none.
    pub family: u16,
}

/// A field of variable length at the end of an element.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// The field.
    pub field: Field,
    /// Zero octets that follow the value when written.
    pub zeros: u16,
    /// What the length of value and zeros is rounded up to when written.
    pub align: u16,
}

use Field as F;

/// All extensions, number `n` at index `n - 1` (file format, 7).
#[rustfmt::skip]
pub static EXTENSIONS: [Extension; 42] = [
    fixed(1, 48, &[(F::First, 0), (F::Last, 8), (F::Received, 16), (F::Packets, 24), (F::Bytes, 32), (F::SrcPort, 40),
        (F::DstPort, 42), (F::Proto, 44), (F::TcpFlags, 45), (F::FwdStatus, 46), (F::SrcTos, 47)]),
    addrs(2, 8, 4, &[(F::SrcAddr, 0), (F::DstAddr, 4)]),
    addrs(3, 32, 16, &[(F::SrcAddr, 0), (F::DstAddr, 16)]),
    fixed(4, 16, &[(F::Input, 0), (F::Output, 4), (F::SrcMask, 8), (F::DstMask, 9), (F::Direction, 10), (F::DstTos, 11),
        (F::BiflowDir, 12), (F::EndReason, 13)]),
    fixed(5, 24, &[(F::Flows, 0), (F::OutPackets, 8), (F::OutBytes, 16)]),
    fixed(6, 8, &[(F::SrcVlan, 0), (F::DstVlan, 4)]),
    fixed(7, 8, &[(F::SrcAs, 0), (F::DstAs, 4)]),
    addrs(8, 4, 4, &[(F::BgpNextHop, 0)]),
    addrs(9, 16, 16, &[(F::BgpNextHop, 0)]),
    addrs(10, 4, 4, &[(F::NextHop, 0)]),
    addrs(11, 16, 16, &[(F::NextHop, 0)]),
    addrs(12, 4, 4, &[(F::Router, 0)]),
    addrs(13, 16, 16, &[(F::Router, 0)]),
    fixed(14, 40, &[(F::Mpls1, 0), (F::Mpls2, 4), (F::Mpls3, 8), (F::Mpls4, 12), (F::Mpls5, 16), (F::Mpls6, 20),
        (F::Mpls7, 24), (F::Mpls8, 28), (F::Mpls9, 32), (F::Mpls10, 36)]),
    fixed(15, 32, &[(F::InSrcMac, 0), (F::OutDstMac, 8), (F::InDstMac, 16), (F::OutSrcMac, 24)]),
    fixed(16, 8, &[(F::NextAs, 0), (F::PrevAs, 4)]),
    fixed(17, 24, &[(F::ClientLatency, 0), (F::ServerLatency, 8), (F::AppLatency, 16)]),
    fixed(18, 16, &[(F::SelectorId, 0)]),
    fixed(19, 16, &[(F::FwEventTime, 0), (F::ConnId, 8), (F::FwXEvent, 12), (F::FwEvent, 14)]),
    addrs(20, 8, 4, &[(F::XlateSrcAddr, 0), (F::XlateDstAddr, 4)]),
    addrs(21, 32, 16, &[(F::XlateSrcAddr, 0), (F::XlateDstAddr, 16)]),
    fixed(22, 4, &[(F::XlateSrcPort, 0), (F::XlateDstPort, 2)]),
    fixed(23, 24, &[(F::IngressAcl, 0), (F::EgressAcl, 12)]),
    fixed(24, 68, &[(F::Username, 0)]),
    fixed(25, 16, &[(F::NatEventTime, 0), (F::NatPool, 8), (F::NatEvent, 12)]),
    fixed(26, 8, &[(F::PblockStart, 0), (F::PblockEnd, 2), (F::PblockStep, 4), (F::PblockSize, 6)]),
    variable(27, 0, &[], Tail { field: F::AppId, zeros: 0, align: 1 }),
    variable(28, 0, &[], Tail { field: F::Label, zeros: 1, align: 1 }),
    variable(29, 0, &[], Tail { field: F::InPayload, zeros: 0, align: 1 }),
    variable(30, 0, &[], Tail { field: F::OutPayload, zeros: 0, align: 1 }),
    addrs(31, 12, 4, &[(F::TunSrcAddr, 0), (F::TunDstAddr, 4), (F::TunProto, 8)]),
    addrs(32, 40, 16, &[(F::TunSrcAddr, 0), (F::TunDstAddr, 16), (F::TunProto, 32)]),
    fixed(33, 16, &[(F::ObservationPoint, 0), (F::ObservationDomain, 8)]),
    fixed(34, 4, &[(F::FrameSize, 0), (F::LinkType, 2)]),
    variable(35, 0, &[], Tail { field: F::Frame, zeros: 0, align: 1 }),
    fixed(36, 8, &[(F::EgressVrf, 0), (F::IngressVrf, 4)]),
    variable(37, 20, &[(F::PfAction, 0), (F::PfReason, 1), (F::PfDir, 2), (F::PfRewritten, 3), (F::PfRule, 4),
        (F::PfSubRule, 8), (F::PfUid, 12), (F::PfPid, 16)], Tail { field: F::PfInterface, zeros: 1, align: 4 }),
    fixed(38, 32, &[(F::VlanId, 0), (F::CustomerVlanId, 2), (F::PostVlanId, 4), (F::PostCustomerVlanId, 6),
        (F::PhysIngress, 8), (F::PhysEgress, 12), (F::VxLan, 16), (F::EtherType, 24), (F::IpVersion, 26)]),
    fixed(39, 8, &[(F::FlowId, 0)]),
    fixed(40, 4, &[(F::InService, 0), (F::OutService, 2)]),
    variable(41, 0, &[], Tail { field: F::NatString, zeros: 4, align: 1 }),
    fixed(42, 4, &[(F::FragmentFlags, 1), (F::MinTtl, 2), (F::MaxTtl, 3)]),
];

/// The form of extension 25 that early 1.7 files have, told apart by its length (7).
static OLD_NAT_COMMON: Extension = fixed(
    25,
    24,
    &[
        (F::NatEventTime, 0),
        (F::EgressVrf, 8),
        (F::IngressVrf, 12),
        (F::NatPool, 16),
        (F::NatEvent, 20),
    ],
);

/// Fields of the record header, each with its offset in the record.
pub const HEADER_FIELDS: [(Field, u16); 5] = [
    (F::EngineType, ENGINE_TYPE as u16),
    (F::EngineId, ENGINE_ID as u16),
    (F::ExporterId, EXPORTER as u16),
    (F::RecordFlags, FLAGS as u16),
    (F::Source, SOURCE as u16),
];

const fn fixed(id: u16, len: u16, fields: &'static [(Field, u16)]) -> Extension {
    Extension { id, len, fields, tail: None, family: 0 }
}

const fn addrs(id: u16, len: u16, family: u16, fields: &'static [(Field, u16)]) -> Extension {
    Extension { id, len, fields, tail: None, family }
}

const fn variable(id: u16, len: u16, fields: &'static [(Field, u16)], tail: Tail) -> Extension {
    Extension { id, len, fields, tail: Some(tail), family: 0 }
}

impl Extension {
    /// The extension of this number.
    #[inline]
    pub fn of(id: u16) -> Option<&'static Self> {
        EXTENSIONS.get(usize::from(id).checked_sub(1)?)
    }

    /// The extension of an element, given how many octets of data it has.
    fn of_element(id: u16, data_len: u16) -> Option<&'static Self> {
        match (id, data_len) {
            (25, 24) => Some(&OLD_NAT_COMMON),
            _ => Self::of(id),
        }
    }

    /// All fields, bit `field as usize`.
    pub const fn mask(&self) -> u128 {
        let mut mask = match self.tail {
            Some(t) => 1 << t.field as usize,
            None => 0,
        };
        let mut i = 0;
        while i < self.fields.len() {
            mask |= 1 << self.fields[i].0 as usize;
            i += 1;
        }
        mask
    }

    /// Octets of a field in the fixed part.
    pub fn width(&self, field: Field) -> u16 {
        match field.kind() {
            Kind::Addr => self.family,
            Kind::Text(_) => 66, // the user name, the only text of fixed size
            kind => kind.width().unwrap_or(0),
        }
    }

    /// Puts the fields of an element into a shape. Only what lies inside the element is there.
    pub fn place(&self, shape: &mut Shape, data_at: u16, data_len: u16) {
        for (field, at) in self.fields {
            let width = self.width(*field);
            let width = match field.kind() {
                Kind::Text(_) => width.min(data_len),
                _ => width,
            };
            if at + width <= data_len {
                set(shape, *field, data_at + at, width);
            }
        }
        if let Some(tail) = self.tail
            && data_len > self.len
        {
            set(shape, tail.field, data_at + self.len, data_len - self.len);
        }
    }
}

/// Puts a field into a shape, and with the destination port what else it stands for.
pub fn set(shape: &mut Shape, field: Field, at: u16, len: u16) {
    shape.set(field, at, len);
    if field == Field::DstPort {
        // ICMP: 256 * type + code.
        shape.set(Field::IcmpCode, at, 1);
        shape.set(Field::IcmpType, at + 1, 1);
    }
}

/// Choices that depend on what a record says, not only on which elements it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Elements 2 and 3 are both there: take the IPv4 addresses.
    pub v4: bool,
    /// The start is 0: take the time of the event instead.
    pub event_time: bool,
    /// What the one extension that layout 3 has for events is about.
    pub events: Events,
}

/// What an event of layout 3 is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// A firewall event: extension 19 of layout 2.
    #[default]
    Firewall,
    /// A NAT event: extension 25 of layout 2.
    Translation,
    /// Both of them.
    Both,
}

impl Choice {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// A number of its own for each, 0 for the default.
    pub fn index(self) -> usize {
        usize::from(self.v4) + 2 * usize::from(self.event_time) + 4 * self.events as usize
    }
}

/// Where to look in records with the same elements to make a [`Choice`] (6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Extension 38, IP version.
    ip_version: Slot,
    /// Addresses of extension 2, if extension 3 is there, too.
    v4_addrs: Slot,
    /// Start of the flow, if there is the time of an event, too.
    first: Slot,
}

impl Values {
    /// For records with these elements, whose shape without any choice is `shape`.
    pub fn of(elements: &[Element], shape: &Shape) -> Self {
        let has = |id| elements.iter().rev().find(|e| e.id == id);
        let v4_addrs = match (has(2), has(3)) {
            (Some(v4), Some(_)) => Slot { at: v4.at, len: v4.len },
            _ => Slot::default(),
        };
        let first = match event_time(shape) {
            Some(_) => shape.slot(Field::First),
            None => Slot::default(),
        };
        Self { ip_version: shape.slot(Field::IpVersion), v4_addrs, first }
    }

    /// Whether values change anything.
    pub const fn matter(&self) -> bool {
        self.v4_addrs.is_present() || self.first.is_present()
    }

    /// What the values of a record choose.
    pub fn choose(&self, record: &[u8]) -> Choice {
        let octets =
            |s: Slot| record.get(usize::from(s.at)..usize::from(s.at) + usize::from(s.len));
        let v4 = match octets(self.ip_version) {
            Some([6]) => false,
            Some([4]) => self.v4_addrs.is_present(),
            _ => octets(self.v4_addrs).is_some_and(|a| a.iter().any(|b| *b != 0)),
        };
        let event_time = self.first.is_present() && octets(self.first).is_some_and(|t| t == [0; 8]);
        Choice { v4, event_time, ..Choice::default() }
    }
}

/// Elements of the two address families that say the same thing (7).
pub const FAMILIES: [(u16, u16); 6] = [(2, 3), (8, 9), (10, 11), (12, 13), (20, 21), (31, 32)];

/// The extensions that a record with these fields gets, in their order: `present` has bit
/// `field as usize` of each field, `v6` that of those that are IPv6 addresses. Extension 1 is in all
/// records (file format, 14).
pub fn needed(present: u128, v6: u128) -> impl Iterator<Item = &'static Extension> {
    let has_source = present & 1 << Field::SrcAddr as usize != 0;
    EXTENSIONS.iter().filter(move |e| {
        let mut fields = e.mask() & present;
        if has_source {
            // Addresses say the version already. Written for it alone, extension 38 would make
            // nfdump 1.7.1 complain about most records of many exporters (14).
            fields &= !(1 << Field::IpVersion as usize);
        }
        let is_v6 = fields & v6 != 0;
        let family_fits = match FAMILIES.iter().find(|(v4, v6)| e.id == *v4 || e.id == *v6) {
            Some((_, v6)) => is_v6 == (e.id == *v6),
            None => true,
        };
        e.id == 1 || fields != 0 && family_fits
    })
}

/// An element's place in a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its number.
    pub id: u16,
    /// Offset of its data.
    pub at: u16,
    /// Octets of data.
    pub len: u16,
}

/// The elements of a V3 record, `None` as soon as one does not lie inside the record.
#[inline]
pub fn elements(record: &[u8]) -> impl Iterator<Item = Option<Element>> + '_ {
    let count = u16_at(record, ELEMENTS).unwrap_or(0);
    let mut at = LEN;
    let mut left = count;
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let element = element_at(record, at);
        match element {
            Some(e) => at = usize::from(e.at) + usize::from(e.len),
            None => left = 0,
        }
        Some(element)
    })
}

#[inline]
fn element_at(record: &[u8], at: usize) -> Option<Element> {
    let (id, len) = (u16_at(record, at)?, u16_at(record, at + 2)?);
    let len = len.checked_sub(ELEMENT_HEADER as u16)?;
    let at = u16::try_from(at + ELEMENT_HEADER).ok()?;
    (usize::from(at) + usize::from(len) <= record.len()).then_some(Element { id, at, len })
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

/// The shape of a record with these elements. The last one of an id counts.
pub fn shape(elements: &[Element], choice: Choice) -> Shape {
    let mut shape = Shape::default();
    for (field, at) in HEADER_FIELDS {
        shape.set(field, at, field.kind().width().unwrap_or(0));
    }
    let has = |id| elements.iter().any(|e| e.id == id);
    let is_v4 = if has(2) && has(3) { choice.v4 } else { has(2) };
    let other_family = |id| {
        FAMILIES.iter().any(|(v4, v6)| has(*v4) && has(*v6) && id == if is_v4 { *v6 } else { *v4 })
    };
    for e in elements.iter().filter(|e| !other_family(e.id)) {
        if let Some(extension) = Extension::of_element(e.id, e.len) {
            extension.place(&mut shape, e.at, e.len);
        }
    }
    if choice.event_time
        && let Some(slot) = event_time(&shape)
    {
        shape.set(Field::First, slot.at, slot.len);
    }
    shape
}

/// Where the time of the event lies, if a record of this shape is one (6.2).
pub fn event_time(shape: &Shape) -> Option<Slot> {
    [Field::FwEventTime, Field::NatEventTime]
        .map(|f| shape.slot(f))
        .into_iter()
        .find(|s| s.is_present())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_place_for_each_family() {
        let mut places = vec![0; Field::COUNT];
        for (field, _) in HEADER_FIELDS {
            places[field as usize] += 1;
        }
        for (i, e) in EXTENSIONS.iter().enumerate() {
            assert_eq!(usize::from(e.id), i + 1);
            for (field, at) in e.fields {
                assert!(at + e.width(*field) <= e.len, "ext {} {field:?}", e.id);
            }
            for pair in e.fields.windows(2) {
                assert!(pair[0].1 + e.width(pair[0].0) <= pair[1].1, "ext {} overlaps", e.id);
            }
            for f in Field::ALL.iter().filter(|f| e.mask() & 1 << **f as usize != 0) {
                places[*f as usize] += 1;
            }
        }
        for f in Field::ALL {
            let is_family = f.kind() == Kind::Addr || *f == Field::TunProto;
            let want = if f.is_derived() { 0 } else { 1 + usize::from(is_family) };
            assert_eq!(places[*f as usize], want, "{f:?}");
        }
    }

    /// Element lengths as the table of section 7 has them, element header included.
    #[test]
    fn element_lengths_are_those_of_the_format() {
        let lengths = [
            52, 12, 36, 20, 28, 12, 12, 8, 20, 8, 20, 8, 20, 44, 36, 12, 28, 20, 20, 12, 36, 8, 28,
            72, 20, 12, 4, 4, 4, 4, 16, 44, 20, 8, 4, 12, 24, 36, 12, 8, 4, 8,
        ];
        for (e, want) in EXTENSIONS.iter().zip(lengths) {
            assert_eq!(e.len + 4, want, "ext {}", e.id);
        }
    }

    #[test]
    fn short_elements_lack_their_last_fields() {
        for e in &EXTENSIONS {
            for len in 0..e.len {
                let element = Element { id: e.id, at: 16, len };
                let shape = shape(&[element], Choice::default());
                for (field, at) in e.fields {
                    let inside = match field.kind() {
                        Kind::Text(_) => len > 0,
                        _ => at + e.width(*field) <= len,
                    };
                    // Length 24 of extension 25 is a form of its own, longer than the usual one.
                    assert_eq!(shape.has(*field), inside, "ext {} length {len} {field:?}", e.id);
                }
            }
        }
    }

    #[test]
    fn old_form_of_nat_common_is_told_by_its_length() {
        let s = shape(&[Element { id: 25, at: 100, len: 24 }], Choice::default());
        assert_eq!(s.slot(Field::EgressVrf).at, 108);
        assert_eq!(s.slot(Field::NatEvent).at, 120);
        let s = shape(&[Element { id: 25, at: 100, len: 16 }], Choice::default());
        assert!(!s.has(Field::EgressVrf));
        assert_eq!(s.slot(Field::NatEvent).at, 112);
    }

    #[test]
    fn both_families_leave_one() {
        let both = [
            Element { id: 3, at: 16, len: 32 },
            Element { id: 2, at: 52, len: 8 },
            Element { id: 10, at: 64, len: 4 },
            Element { id: 11, at: 72, len: 16 },
        ];
        for v4 in [false, true] {
            let s = shape(&both, Choice { v4, ..Choice::default() });
            let width = if v4 { 4 } else { 16 };
            assert_eq!(s.slot(Field::SrcAddr).len, width);
            assert_eq!(s.slot(Field::NextHop).len, width);
        }
    }

    #[test]
    fn the_last_of_two_counts() {
        let twice = [Element { id: 7, at: 16, len: 8 }, Element { id: 7, at: 28, len: 8 }];
        assert_eq!(shape(&twice, Choice::default()).slot(Field::SrcAs).at, 28);
    }
}
