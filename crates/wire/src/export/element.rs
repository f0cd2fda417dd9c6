//! Which information element a field becomes. The reverse of the decoder's element table, with one
//! line a field.

use super::{ExportConfig, TimeFormat, Version};
use record::{Field, Kind};

/// Elements of one field, as (enterprise, element, octets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// No element says it.
    None,
    /// A number.
    Number(u32, u16, u16),
    /// An address: elements of IPv4 and IPv6, 0 where there is none.
    Addr(u32, u16, u16),
    /// A prefix length: elements of IPv4 and IPv6.
    Mask(u16, u16),
    /// Octets of one length.
    Fixed(u32, u16, u16),
    /// Octets of any length, said in the record (RFC 7011, 7).
    Variable(u32, u16),
    /// Octets of the length that the row has, said in the template.
    AsLong(u16),
    /// A layer 2 segment id of 8 octets.
    Segment(u16),
    /// Microseconds: elements of seconds and of the rest, 4 octets each.
    Micros(u32, u16, u16),
    /// Start or end of the flow.
    Time,
}

/// What a row is of, as its fields say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nature {
    /// A NAT event: [`Field::NatEvent`].
    pub(super) is_nat: bool,
    /// A firewall event: [`Field::FwEvent`], over v9 [`Field::FwXEvent`], too.
    pub(super) is_firewall: bool,
    /// Addresses, beside which a packet section is one more field and not the flow itself.
    pub(super) has_addresses: bool,
}

impl Nature {
    pub(super) fn of(version: Version, present: u128) -> Self {
        let has = |field: Field| present & bit(field) != 0;
        let has_xevent = has(Field::FwXEvent) && matches!(version, Version::V9);
        let (is_nat, is_firewall) = (has(Field::NatEvent), has(Field::FwEvent) || has_xevent);
        let has_addresses = has(Field::SrcAddr) || has(Field::DstAddr);
        Self { is_nat, is_firewall, has_addresses }
    }
}

/// The bit of a field in [`record::Shape::present`].
pub(super) const fn bit(field: Field) -> u128 {
    1 << field as usize
}

/// Bits of several fields.
pub(super) const fn bits(fields: &[Field]) -> u128 {
    let (mut all, mut i) = (0, 0);
    while i < fields.len() {
        all |= bit(fields[i]);
        i += 1;
    }
    all
}

/// What describes a record, its way here or a part of another field: of no flow, and never counted
/// as left out.
pub(super) const OF_RECORD: u128 = bits(&[
    Field::EngineType,
    Field::EngineId,
    Field::ExporterId,
    Field::RecordFlags,
    Field::Source,
    Field::Received,
    Field::Router,
    Field::IcmpType,
    Field::IcmpCode,
    Field::SrcCountry,
    Field::DstCountry,
]);

/// What v1 carries.
pub(super) const V1: u128 = bits(&[
    Field::First,
    Field::Last,
    Field::Packets,
    Field::Bytes,
    Field::SrcPort,
    Field::DstPort,
    Field::Proto,
    Field::TcpFlags,
    Field::SrcTos,
    Field::SrcAddr,
    Field::DstAddr,
    Field::Input,
    Field::Output,
    Field::NextHop,
]);

/// What v5 carries.
pub(super) const V5: u128 =
    V1 | bits(&[Field::SrcMask, Field::DstMask, Field::SrcAs, Field::DstAs]);

impl Version {
    /// Whether records of this version have a place for a field. Over v9 and IPFIX some have one
    /// beside others only: times of events in events, NAT pools in NAT events.
    pub const fn carries(self, field: Field) -> bool {
        match self {
            Self::V1 => V1 & bit(field) != 0,
            Self::V5 => V5 & bit(field) != 0,
            Self::V9 | Self::Ipfix => !matches!(element(self, field), Wire::None),
        }
    }
}

/// The elements of a field in a record of its own kind, `None` if there are none.
pub(super) fn element_in(config: &ExportConfig, nature: Nature, field: Field) -> Wire {
    match field {
        Field::FwEventTime if !nature.is_firewall => Wire::None,
        Field::NatEventTime if !nature.is_nat || nature.is_firewall => Wire::None,
        Field::NatPool if !nature.is_nat => Wire::None,
        // Over v9 this makes any record a firewall event.
        Field::ConnId if !nature.is_firewall => Wire::None,
        Field::Frame if !nature.has_addresses => Wire::None,
        Field::Bytes | Field::Packets | Field::OutBytes | Field::OutPackets => {
            counter(config, nature, field)
        }
        _ => element(config.version, field),
    }
}

/// Octets and packets: of one direction, or of both.
fn counter(config: &ExportConfig, nature: Nature, field: Field) -> Wire {
    const REVERSE: u32 = crate::element::PEN_REVERSE;
    let is_v9 = config.version == Version::V9;
    let (pen, id) = match field {
        // Firewall events count both directions in one record.
        Field::Bytes if is_v9 && nature.is_firewall => (0, 231),
        Field::OutBytes if is_v9 && nature.is_firewall => (0, 232),
        Field::Packets if is_v9 && nature.is_firewall => (0, 298),
        Field::OutPackets if is_v9 && nature.is_firewall => (0, 299),
        Field::Bytes => (0, 1),
        Field::Packets => (0, 2),
        Field::OutBytes if !is_v9 && config.biflow => (REVERSE, 1),
        Field::OutPackets if !is_v9 && config.biflow => (REVERSE, 2),
        Field::OutBytes => (0, 23),
        _ => (0, 24),
    };
    Wire::Number(pen, id, 8)
}

/// The elements of start and end, and their octets.
pub(super) const fn time_elements(format: TimeFormat) -> (u16, u16, u16) {
    match format {
        TimeFormat::UptimeMs => (22, 21, 4),
        TimeFormat::Seconds => (150, 151, 4),
        TimeFormat::Millis => (152, 153, 8),
        TimeFormat::Micros => (154, 155, 8),
        TimeFormat::Nanos => (156, 157, 8),
    }
}

const CISCO: u32 = 9;
const NOKIA: u32 = 637;
const VMWARE: u32 = 6876;
const NTOP: u32 = 35632;

/// The element of a field that is the same in every record of a version.
#[rustfmt::skip]
const fn element(version: Version, field: Field) -> Wire {
    use Wire::{Addr, AsLong, Fixed, Mask, Micros, Number, Segment, Time, Variable};
    let is_v9 = matches!(version, Version::V9);
    match field {
        Field::EngineType => Number(0, 38, 1),
        Field::EngineId => Number(0, 39, 1),
        Field::First | Field::Last => Time,
        Field::Packets => Number(0, 2, 8),
        Field::Bytes => Number(0, 1, 8),
        Field::SrcPort => Number(0, 7, 2),
        Field::DstPort => Number(0, 11, 2),
        Field::Proto => Number(0, 4, 1),
        Field::TcpFlags => Number(0, 6, 1),
        Field::FwdStatus => Number(0, 89, 1),
        Field::SrcTos => Number(0, 5, 1),
        Field::SrcAddr => Addr(0, 8, 27),
        Field::DstAddr => Addr(0, 12, 28),
        Field::Input => Number(0, 10, 4),
        Field::Output => Number(0, 14, 4),
        Field::SrcMask => Mask(9, 29),
        Field::DstMask => Mask(13, 30),
        Field::Direction => Number(0, 61, 1),
        Field::DstTos => Number(0, 55, 1),
        // Who began is said of biflows, which v9 does not have.
        Field::BiflowDir if !is_v9 => Number(0, 239, 1),
        Field::EndReason => Number(0, 136, 1),
        Field::Flows => Number(0, 3, 8),
        Field::OutPackets => Number(0, 24, 8),
        Field::OutBytes => Number(0, 23, 8),
        Field::SrcVlan => Number(0, 58, 2),
        Field::DstVlan => Number(0, 59, 2),
        Field::SrcAs => Number(0, 16, 4),
        Field::DstAs => Number(0, 17, 4),
        Field::BgpNextHop => Addr(0, 18, 63),
        Field::NextHop => Addr(0, 15, 62),
        Field::Mpls1 => Number(0, 70, 3),
        Field::Mpls2 => Number(0, 71, 3),
        Field::Mpls3 => Number(0, 72, 3),
        Field::Mpls4 => Number(0, 73, 3),
        Field::Mpls5 => Number(0, 74, 3),
        Field::Mpls6 => Number(0, 75, 3),
        Field::Mpls7 => Number(0, 76, 3),
        Field::Mpls8 => Number(0, 77, 3),
        Field::Mpls9 => Number(0, 78, 3),
        Field::Mpls10 => Number(0, 79, 3),
        Field::InSrcMac => Number(0, 56, 6),
        Field::OutDstMac => Number(0, 57, 6),
        Field::InDstMac => Number(0, 80, 6),
        Field::OutSrcMac => Number(0, 81, 6),
        Field::NextAs => Number(0, 128, 4),
        Field::PrevAs => Number(0, 129, 4),
        Field::ClientLatency if is_v9 => Micros(0, 57554, 57555),
        Field::ServerLatency if is_v9 => Micros(0, 57556, 57557),
        Field::AppLatency if is_v9 => Micros(0, 57558, 57559),
        Field::ClientLatency => Micros(NTOP, 82, 83),
        Field::ServerLatency => Micros(NTOP, 84, 85),
        Field::AppLatency => Micros(NTOP, 86, 87),
        Field::SelectorId if is_v9 => Number(0, 48, 4),
        Field::SelectorId => Number(0, 302, 8),
        Field::FwEventTime | Field::NatEventTime => Number(0, 323, 8),
        Field::ConnId if is_v9 => Number(0, 148, 4),
        Field::FwXEvent if is_v9 => Number(0, 33002, 2),
        Field::FwXEvent => Number(CISCO, 234, 2),
        Field::FwEvent => Number(0, 233, 1),
        Field::XlateSrcAddr => Addr(0, 225, 281),
        Field::XlateDstAddr => Addr(0, 226, 282),
        Field::XlateSrcPort => Number(0, 227, 2),
        Field::XlateDstPort => Number(0, 228, 2),
        Field::IngressAcl if is_v9 => Fixed(0, 33000, 12),
        Field::EgressAcl if is_v9 => Fixed(0, 33001, 12),
        Field::IngressAcl => Fixed(CISCO, 232, 12),
        Field::EgressAcl => Fixed(CISCO, 233, 12),
        Field::Username if is_v9 => Fixed(0, 40000, 65),
        Field::Username => Variable(CISCO, 7232),
        Field::NatPool => Number(0, 283, 4),
        Field::NatEvent => Number(0, 230, 1),
        Field::PblockStart => Number(0, 361, 2),
        Field::PblockEnd => Number(0, 362, 2),
        Field::PblockStep => Number(0, 363, 2),
        Field::PblockSize => Number(0, 364, 2),
        Field::AppId if is_v9 => AsLong(95),
        Field::AppId => Variable(0, 95),
        Field::TunSrcAddr if !is_v9 => Addr(VMWARE, 893, 0),
        Field::TunDstAddr if !is_v9 => Addr(VMWARE, 894, 0),
        Field::TunProto if !is_v9 => Number(VMWARE, 895, 1),
        Field::ObservationPoint => Number(0, 138, 8),
        Field::ObservationDomain => Number(0, 149, 4),
        Field::FrameSize => Number(0, 312, 2),
        Field::LinkType => Number(0, 408, 2),
        Field::Frame if !is_v9 => Variable(0, 315),
        Field::EgressVrf => Number(0, 235, 4),
        Field::IngressVrf => Number(0, 234, 4),
        Field::VlanId => Number(0, 243, 2),
        Field::CustomerVlanId => Number(0, 245, 2),
        Field::PostVlanId => Number(0, 254, 2),
        Field::PostCustomerVlanId => Number(0, 255, 2),
        Field::PhysIngress => Number(0, 252, 4),
        Field::PhysEgress => Number(0, 253, 4),
        Field::VxLan => Segment(351),
        Field::EtherType => Number(0, 256, 2),
        Field::IpVersion => Number(0, 60, 1),
        // Over v9 this would be a connection id, and any record with it a firewall event.
        Field::FlowId if !is_v9 => Number(0, 148, 8),
        Field::InService if !is_v9 => Number(NOKIA, 91, 2),
        Field::OutService if !is_v9 => Number(NOKIA, 92, 2),
        Field::NatString if !is_v9 => Variable(NOKIA, 93),
        Field::FragmentFlags => Number(0, 197, 1),
        Field::MinTtl => Number(0, 52, 1),
        Field::MaxTtl => Number(0, 53, 1),
        _ => Wire::None,
    }
}

/// Fields that have elements over a version, as bits of [`record::Shape::present`].
pub(super) fn carried(version: Version) -> u128 {
    Field::ALL.iter().filter(|f| version.carries(**f)).fold(0, |all, f| all | bit(*f))
}

/// Fields that are addresses, as bits of [`record::Shape::present`].
pub(super) fn addresses() -> u128 {
    Field::ALL.iter().filter(|f| f.kind() == Kind::Addr).fold(0, |all, f| all | bit(*f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::{Op, element as decoded};

    /// What is written has to be read as the same field.
    #[test]
    fn elements_lead_back_to_their_field() {
        for version in [Version::V9, Version::Ipfix] {
            for field in Field::ALL {
                let ids = match element(version, *field) {
                    Wire::None | Wire::Time => continue,
                    Wire::Number(pen, id, _)
                    | Wire::Fixed(pen, id, _)
                    | Wire::Variable(pen, id) => {
                        vec![(pen, id)]
                    }
                    Wire::Addr(pen, v4, v6) => vec![(pen, v4), (pen, v6)],
                    Wire::Mask(v4, v6) => vec![(0, v4), (0, v6)],
                    Wire::AsLong(id) | Wire::Segment(id) => vec![(0, id)],
                    Wire::Micros(pen, secs, rest) => vec![(pen, secs), (pen, rest)],
                };
                for (pen, id) in ids.into_iter().filter(|(_, id)| *id != 0) {
                    assert!(version == Version::Ipfix || pen == 0, "{field:?}");
                    assert!(version == Version::V9 || id < 0x8000, "{field:?}");
                    let is_same = match decoded(pen, id) {
                        Some(
                            Op::Number(f)
                            | Op::Counter(f, _)
                            | Op::Bits(f)
                            | Op::V4(f)
                            | Op::V6(f)
                            | Op::Octets(f)
                            | Op::Text(f)
                            | Op::Add(f, _)
                            | Op::Segment(f),
                        ) => f == *field,
                        Some(Op::FlowId) => [Field::FlowId, Field::ConnId].contains(field),
                        Some(Op::Keep(_)) => id == 323,
                        _ => false,
                    };
                    assert!(is_same, "{version} {field:?} is {pen}/{id}");
                }
            }
        }
    }

    #[test]
    fn elements_are_those_of_the_field_table() {
        for field in Field::ALL.iter().filter(|f| f.def().ie != 0) {
            let id = match element(Version::V9, *field) {
                Wire::Number(_, id, _) | Wire::Fixed(_, id, _) | Wire::AsLong(id) => id,
                Wire::Addr(_, id, _) | Wire::Mask(id, _) | Wire::Segment(id) => id,
                _ => continue,
            };
            let want = if *field == Field::SelectorId { 48 } else { field.def().ie };
            assert_eq!(id, want, "{field:?}");
        }
    }

    #[test]
    fn every_field_with_an_element_is_carried() {
        let left_out: Vec<_> = Field::ALL
            .iter()
            .filter(|f| OF_RECORD & bit(**f) == 0 && !Version::Ipfix.carries(**f))
            .map(|f| format!("{f:?}"))
            .collect();
        let want = "ConnId Label InPayload OutPayload PfAction PfReason PfDir PfRewritten PfRule \
                    PfSubRule PfUid PfPid PfInterface";
        assert_eq!(left_out.join(" "), want);
    }
}
