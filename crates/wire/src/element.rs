//! The element table: which information element goes into which field, and how.
//!
//! One line an element. Numbers are those of the IANA registry of IPFIX information elements, which
//! took over the field types of NetFlow v9 up to 127; numbers from 32768 on are vendors' own v9
//! field types. An element without a line is skipped, counted and listed.

use crate::packet::LABELS;
use record::Field;

/// Enterprise number of biflow reverse elements (RFC 5103, 6.1).
pub(crate) const PEN_REVERSE: u32 = 29305;
/// Enterprise number of Cisco.
const PEN_CISCO: u32 = 9;
/// Enterprise number of Ixia.
const PEN_IXIA: u32 = 3054;
/// Enterprise number of VMware (Open vSwitch).
const PEN_VMWARE: u32 = 6876;
/// Enterprise number of Nokia.
const PEN_NOKIA: u32 = 637;
/// Enterprise number of ntop (nProbe).
const PEN_NTOP: u32 = 35632;
/// Enterprise number of CERT (YAF).
pub(crate) const PEN_CERT: u32 = 6871;

/// What is done with an element's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Nothing, and that is right: padding, or a part of the identity known otherwise.
    Skip,
    /// An unsigned number. One that does not fit leaves the field absent.
    Number(Field),
    /// As `Number`, and another element of the template may already have filled the field: takes
    /// effect where the field is absent or 0.
    Spare(Field),
    /// A counter. One that does not fit saturates. Where several elements count the same, the one
    /// with the smallest rank is taken.
    Counter(Field, u8),
    /// Bits, the lowest of which are kept.
    Bits(Field),
    /// An IPv4 address.
    V4(Field),
    /// An IPv6 address.
    V6(Field),
    /// Bits, the lowest of which are added to those that the field has.
    MoreBits(Field),
    /// Octets as they are: ACL ids, application ids, frames.
    Octets(Field),
    /// Text up to its first NUL.
    Text(Field),
    /// A number that is multiplied and added to what the field has: seconds beside microseconds.
    Add(Field, u32),
    /// A piece of a packet that begins with such a header: it is read after all elements.
    Section(Head),
    /// A list (RFC 6313), which is looked into after all elements.
    List(List),
    /// A layer 2 segment id: a type in the first of eight octets, a number in the last three.
    Segment(Field),
    /// Connection id of firewall events, flow id of everything else.
    FlowId,
    /// A number that no field takes as it comes.
    Keep(Slot),
}

/// What a packet section begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// An IP header.
    Ip,
    /// MPLS labels.
    Mpls,
}

/// Structured data (RFC 6313, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Values of one element.
    Basic,
    /// Records of one template.
    SubTemplate,
    /// Records of several templates.
    SubTemplateMulti,
}

/// Numbers kept aside until the whole record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Slot {
    FirstMs,
    LastMs,
    FirstMicro,
    LastMicro,
    FirstNano,
    LastNano,
    FirstSec,
    LastSec,
    FirstUptime,
    LastUptime,
    FirstAge,
    LastAge,
    DurationMs,
    DurationMicro,
    EventMs,
    EventSec,
    EventMicro,
    EventNano,
    CollectedMs,
    BootMs,
    Icmp4,
    Icmp6,
    Icmp4Type,
    Icmp4Code,
    Icmp6Type,
    Icmp6Code,
    SrcMask4,
    DstMask4,
    SrcMask6,
    DstMask6,
    /// From the first packet of a biflow to the first of its other direction.
    ReverseDelayMs,
    /// Octets of a packet section that are of the packet, the rest being padding.
    SectionLen,
    /// Where in the packet a section begins.
    SectionOffset,
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::SectionOffset as usize + 1;

    /// Whether it matters to ICMP alone.
    pub(crate) const fn is_icmp(self) -> bool {
        matches!(
            self,
            Self::Icmp4
                | Self::Icmp6
                | Self::Icmp4Type
                | Self::Icmp4Code
                | Self::Icmp6Type
                | Self::Icmp6Code
        )
    }

    /// A set of slots as bits.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    /// Private enterprise number, 0 for IANA.
    pub(crate) pen: u32,
    /// Element number.
    pub(crate) id: u16,
    /// What is done with it.
    pub(crate) op: Op,
}

/// Looks an element up. That of the other direction of a biflow is that of the first one, if it
/// can differ between directions.
pub(crate) fn element(pen: u32, id: u16) -> Option<Op> {
    if let Some((pen, id)) = forward_of(pen, id) {
        return find(pen, id).filter(|op| is_reversible(*op));
    }
    find(pen, id)
}

fn find(pen: u32, id: u16) -> Option<Op> {
    let at = ELEMENTS.binary_search_by_key(&(pen, id), |e| (e.pen, e.id)).ok()?;
    ELEMENTS.get(at).map(|e| e.op)
}

/// If this element is of the other direction of a biflow: the element of the first direction.
///
/// RFC 5103 (6.1) gives the IANA elements an enterprise number of their own; CERT sets a bit of
/// its element numbers; Ixia has two counters.
pub(crate) const fn forward_of(pen: u32, id: u16) -> Option<(u32, u16)> {
    const CERT_REVERSE: u16 = 0x4000;
    match (pen, id) {
        (PEN_REVERSE, id) => Some((0, id)),
        (PEN_CERT, id) if id & CERT_REVERSE != 0 => Some((PEN_CERT, id & !CERT_REVERSE)),
        (PEN_IXIA, 176) => Some((0, 1)),
        (PEN_IXIA, 177) => Some((0, 2)),
        _ => None,
    }
}

/// Whether an element can say something else of the other direction: what was counted, seen or
/// done, not who spoke to whom (RFC 5103, 6.1).
fn is_reversible(op: Op) -> bool {
    match op {
        Number(field) | Spare(field) | Counter(field, _) => {
            REVERSIBLE.contains(&field) || LABELS.contains(&field)
        }
        V4(field) | V6(field) => [Field::NextHop, Field::BgpNextHop].contains(&field),
        Keep(slot) => !KEPT_ONCE.contains(&slot),
        Skip | MoreBits(_) | Bits(_) => true,
        Octets(_) | Text(_) | Add(..) | Segment(_) | FlowId | Section(_) | Op::List(_) => false,
    }
}

const KEPT_ONCE: &[Slot] =
    &[Slot::BootMs, Slot::CollectedMs, Slot::ReverseDelayMs, Slot::SectionLen, Slot::SectionOffset];

#[rustfmt::skip]
const REVERSIBLE: &[Field] = &[
    Field::Bytes, Field::Packets, Field::Flows, Field::SrcTos, Field::DstTos, Field::MinTtl,
    Field::MaxTtl, Field::FwdStatus, Field::EndReason, Field::Input, Field::Output,
    Field::PhysIngress, Field::PhysEgress, Field::SrcVlan, Field::DstVlan, Field::VlanId,
    Field::CustomerVlanId, Field::PostVlanId, Field::PostCustomerVlanId, Field::InSrcMac,
    Field::InDstMac, Field::OutSrcMac, Field::OutDstMac,
];

/// The whole table.
#[cfg(test)]
pub(crate) const fn all() -> &'static [Element] {
    ELEMENTS
}

const fn e(id: u16, op: Op) -> Element {
    Element { pen: 0, id, op }
}

const fn p(pen: u32, id: u16, op: Op) -> Element {
    Element { pen, id, op }
}

use Op::{
    Add, Bits, Counter, FlowId, Keep, MoreBits, Number, Octets, Section, Segment, Skip, Spare,
    Text, V4, V6,
};

/// Sorted by enterprise and element number.
#[rustfmt::skip]
static ELEMENTS: &[Element] = &[
    e(1, Counter(Field::Bytes, 0)),             // octetDeltaCount
    e(2, Counter(Field::Packets, 0)),           // packetDeltaCount
    e(3, Counter(Field::Flows, 0)),             // deltaFlowCount
    e(4, Number(Field::Proto)),                 // protocolIdentifier
    e(5, Number(Field::SrcTos)),                // ipClassOfService
    e(6, Bits(Field::TcpFlags)),                // tcpControlBits, 16 bits in IPFIX (RFC 7125)
    e(7, Number(Field::SrcPort)),               // sourceTransportPort
    e(8, V4(Field::SrcAddr)),                   // sourceIPv4Address
    e(9, Number(Field::SrcMask)),               // sourceIPv4PrefixLength
    e(10, Number(Field::Input)),                // ingressInterface
    e(11, Number(Field::DstPort)),              // destinationTransportPort
    e(12, V4(Field::DstAddr)),                  // destinationIPv4Address
    e(13, Number(Field::DstMask)),              // destinationIPv4PrefixLength
    e(14, Number(Field::Output)),               // egressInterface
    e(15, V4(Field::NextHop)),                  // ipNextHopIPv4Address
    e(16, Number(Field::SrcAs)),                // bgpSourceAsNumber
    e(17, Number(Field::DstAs)),                // bgpDestinationAsNumber
    e(18, V4(Field::BgpNextHop)),               // bgpNextHopIPv4Address
    e(21, Keep(Slot::LastUptime)),              // flowEndSysUpTime
    e(22, Keep(Slot::FirstUptime)),             // flowStartSysUpTime
    e(23, Counter(Field::OutBytes, 2)),         // postOctetDeltaCount
    e(24, Counter(Field::OutPackets, 2)),       // postPacketDeltaCount
    e(27, V6(Field::SrcAddr)),                  // sourceIPv6Address
    e(28, V6(Field::DstAddr)),                  // destinationIPv6Address
    e(29, Number(Field::SrcMask)),              // sourceIPv6PrefixLength
    e(30, Number(Field::DstMask)),              // destinationIPv6PrefixLength
    e(32, Keep(Slot::Icmp4)),                   // icmpTypeCodeIPv4
    e(38, Number(Field::EngineType)),           // engineType
    e(39, Number(Field::EngineId)),             // engineId
    e(48, Number(Field::SelectorId)),           // samplerId
    e(52, Number(Field::MinTtl)),               // minimumTTL
    e(53, Number(Field::MaxTtl)),               // maximumTTL
    e(55, Number(Field::DstTos)),               // postIpClassOfService
    e(56, Number(Field::InSrcMac)),             // sourceMacAddress
    e(57, Number(Field::OutDstMac)),            // postDestinationMacAddress
    e(58, Number(Field::SrcVlan)),              // vlanId
    e(59, Number(Field::DstVlan)),              // postVlanId
    e(60, Number(Field::IpVersion)),            // ipVersion
    e(61, Number(Field::Direction)),            // flowDirection
    e(62, V6(Field::NextHop)),                  // ipNextHopIPv6Address
    e(63, V6(Field::BgpNextHop)),               // bgpNextHopIPv6Address
    e(70, Number(Field::Mpls1)),                // mplsTopLabelStackSection
    e(71, Number(Field::Mpls2)),                // mplsLabelStackSection2
    e(72, Number(Field::Mpls3)),
    e(73, Number(Field::Mpls4)),
    e(74, Number(Field::Mpls5)),
    e(75, Number(Field::Mpls6)),
    e(76, Number(Field::Mpls7)),
    e(77, Number(Field::Mpls8)),
    e(78, Number(Field::Mpls9)),
    e(79, Number(Field::Mpls10)),               // mplsLabelStackSection10
    e(80, Number(Field::InDstMac)),             // destinationMacAddress
    e(81, Number(Field::OutSrcMac)),            // postSourceMacAddress
    e(85, Counter(Field::Bytes, 2)),            // octetTotalCount
    e(86, Counter(Field::Packets, 2)),          // packetTotalCount
    e(89, Number(Field::FwdStatus)),            // forwardingStatus, 1 or 4 octets
    e(95, Octets(Field::AppId)),                // applicationId
    e(102, Keep(Slot::SectionOffset)),          // layer2packetSectionOffset
    e(103, Keep(Slot::SectionLen)),             // layer2packetSectionSize
    e(104, Octets(Field::Frame)),               // layer2packetSectionData
    e(128, Number(Field::NextAs)),              // bgpNextAdjacentAsNumber
    e(129, Number(Field::PrevAs)),              // bgpPrevAdjacentAsNumber
    e(130, Skip),                               // exporterIPv4Address: the sender is what counts
    e(131, Skip),                               // exporterIPv6Address
    e(136, Number(Field::EndReason)),           // flowEndReason
    e(138, Number(Field::ObservationPoint)),    // observationPointId
    e(139, Keep(Slot::Icmp6)),                  // icmpTypeCodeIPv6
    e(148, FlowId),                             // flowId; NSEL: NF_F_CONN_ID
    e(149, Number(Field::ObservationDomain)),   // observationDomainId
    e(150, Keep(Slot::FirstSec)),               // flowStartSeconds
    e(151, Keep(Slot::LastSec)),                // flowEndSeconds
    e(152, Keep(Slot::FirstMs)),                // flowStartMilliseconds
    e(153, Keep(Slot::LastMs)),                 // flowEndMilliseconds
    e(154, Keep(Slot::FirstMicro)),             // flowStartMicroseconds, NTP format
    e(155, Keep(Slot::LastMicro)),              // flowEndMicroseconds
    e(156, Keep(Slot::FirstNano)),              // flowStartNanoseconds, NTP format
    e(157, Keep(Slot::LastNano)),               // flowEndNanoseconds
    e(158, Keep(Slot::FirstAge)),               // flowStartDeltaMicroseconds before export
    e(159, Keep(Slot::LastAge)),                // flowEndDeltaMicroseconds before export
    e(160, Keep(Slot::BootMs)),                 // systemInitTimeMilliseconds
    e(161, Keep(Slot::DurationMs)),             // flowDurationMilliseconds
    e(162, Keep(Slot::DurationMicro)),          // flowDurationMicroseconds
    e(171, Counter(Field::OutBytes, 3)),        // postOctetTotalCount
    e(172, Counter(Field::OutPackets, 3)),      // postPacketTotalCount
    e(176, Keep(Slot::Icmp4Type)),              // icmpTypeIPv4
    e(177, Keep(Slot::Icmp4Code)),              // icmpCodeIPv4
    e(178, Keep(Slot::Icmp6Type)),              // icmpTypeIPv6
    e(179, Keep(Slot::Icmp6Code)),              // icmpCodeIPv6
    e(180, Spare(Field::SrcPort)),              // udpSourcePort
    e(181, Spare(Field::DstPort)),              // udpDestinationPort
    e(182, Spare(Field::SrcPort)),              // tcpSourcePort
    e(183, Spare(Field::DstPort)),              // tcpDestinationPort
    e(192, Spare(Field::MinTtl)),               // ipTTL
    e(197, Bits(Field::FragmentFlags)),         // fragmentFlags
    e(210, Skip),                               // paddingOctets
    e(225, V4(Field::XlateSrcAddr)),            // postNATSourceIPv4Address
    e(226, V4(Field::XlateDstAddr)),            // postNATDestinationIPv4Address
    e(227, Number(Field::XlateSrcPort)),        // postNAPTSourceTransportPort
    e(228, Number(Field::XlateDstPort)),        // postNAPTDestinationTransportPort
    e(230, Number(Field::NatEvent)),            // natEvent
    e(231, Counter(Field::Bytes, 1)),           // initiatorOctets
    e(232, Counter(Field::OutBytes, 1)),        // responderOctets
    e(233, Number(Field::FwEvent)),             // firewallEvent
    e(234, Number(Field::IngressVrf)),          // ingressVRFID
    e(235, Number(Field::EgressVrf)),           // egressVRFID
    e(239, Number(Field::BiflowDir)),           // biflowDirection
    e(243, Number(Field::VlanId)),              // dot1qVlanId
    e(245, Number(Field::CustomerVlanId)),      // dot1qCustomerVlanId
    e(252, Number(Field::PhysIngress)),         // ingressPhysicalInterface
    e(253, Number(Field::PhysEgress)),          // egressPhysicalInterface
    e(254, Number(Field::PostVlanId)),          // postDot1qVlanId
    e(255, Number(Field::PostCustomerVlanId)),  // postDot1qCustomerVlanId
    e(256, Number(Field::EtherType)),           // ethernetType
    e(258, Keep(Slot::CollectedMs)),            // collectionTimeMilliseconds
    e(278, Counter(Field::Flows, 1)),           // newConnectionDeltaCount
    e(281, V6(Field::XlateSrcAddr)),            // postNATSourceIPv6Address
    e(282, V6(Field::XlateDstAddr)),            // postNATDestinationIPv6Address
    e(283, Number(Field::NatPool)),             // natPoolId
    e(291, Op::List(List::Basic)),              // basicList
    e(292, Op::List(List::SubTemplate)),        // subTemplateList
    e(293, Op::List(List::SubTemplateMulti)),   // subTemplateMultiList
    e(298, Counter(Field::Packets, 1)),         // initiatorPackets
    e(299, Counter(Field::OutPackets, 1)),      // responderPackets
    e(302, Number(Field::SelectorId)),          // selectorId
    e(312, Number(Field::FrameSize)),           // dataLinkFrameSize
    e(313, Section(Head::Ip)),                  // ipHeaderPacketSection
    e(315, Octets(Field::Frame)),               // dataLinkFrameSection
    e(316, Section(Head::Mpls)),                // mplsLabelStackSection
    e(317, Section(Head::Ip)),                  // mplsPayloadPacketSection
    e(322, Keep(Slot::EventSec)),               // observationTimeSeconds
    e(323, Keep(Slot::EventMs)),                // observationTimeMilliseconds
    e(324, Keep(Slot::EventMicro)),             // observationTimeMicroseconds, NTP format
    e(325, Keep(Slot::EventNano)),              // observationTimeNanoseconds, NTP format
    e(351, Segment(Field::VxLan)),              // layer2SegmentId
    e(352, Counter(Field::Bytes, 3)),           // layer2OctetDeltaCount
    e(353, Counter(Field::Bytes, 4)),           // layer2OctetTotalCount
    e(361, Number(Field::PblockStart)),         // portRangeStart
    e(362, Number(Field::PblockEnd)),           // portRangeEnd
    e(363, Number(Field::PblockStep)),          // portRangeStepSize
    e(364, Number(Field::PblockSize)),          // portRangeNumPorts
    e(408, Number(Field::LinkType)),            // dataLinkFrameType
    e(409, Keep(Slot::SectionOffset)),          // sectionOffset
    e(410, Keep(Slot::SectionLen)),             // sectionExportedOctets
    e(33000, Octets(Field::IngressAcl)),        // Cisco NF_F_INGRESS_ACL_ID
    e(33001, Octets(Field::EgressAcl)),         // Cisco NF_F_EGRESS_ACL_ID
    e(33002, Number(Field::FwXEvent)),          // Cisco NF_F_FW_EXT_EVENT
    e(40000, Text(Field::Username)),            // Cisco NF_F_USERNAME, 20 or 65 octets
    e(40001, V4(Field::XlateSrcAddr)),          // Cisco ASA before 8.4(5)
    e(40002, V4(Field::XlateDstAddr)),
    e(40003, Number(Field::XlateSrcPort)),
    e(40004, Number(Field::XlateDstPort)),
    e(40005, Number(Field::FwEvent)),
    e(56702, Text(Field::Username)),            // Palo Alto Networks user id
    e(57554, Add(Field::ClientLatency, 1_000_000)),     // nProbe CLIENT_NW_DELAY_SEC
    e(57555, Add(Field::ClientLatency, 1)),             // nProbe CLIENT_NW_DELAY_USEC
    e(57556, Add(Field::ServerLatency, 1_000_000)),     // nProbe SERVER_NW_DELAY_SEC
    e(57557, Add(Field::ServerLatency, 1)),             // nProbe SERVER_NW_DELAY_USEC
    e(57558, Add(Field::AppLatency, 1_000_000)),        // nProbe APPL_LATENCY_SEC
    e(57559, Add(Field::AppLatency, 1)),                // nProbe APPL_LATENCY_USEC
    e(57593, Text(Field::Username)),                    // nProbe FLOW_USER_NAME
    e(57900, Text(Field::Username)),                    // nProbe USER_NAME
    p(PEN_CISCO, 232, Octets(Field::IngressAcl)),       // as 33000, over IPFIX
    p(PEN_CISCO, 233, Octets(Field::EgressAcl)),
    p(PEN_CISCO, 234, Number(Field::FwXEvent)),
    p(PEN_CISCO, 7232, Text(Field::Username)),
    p(PEN_NOKIA, 91, Number(Field::InService)),         // inside service id
    p(PEN_NOKIA, 92, Number(Field::OutService)),        // outside service id
    p(PEN_NOKIA, 93, Text(Field::NatString)),           // NAT subscriber string
    p(PEN_CERT, 14, MoreBits(Field::TcpFlags)),         // initialTCPFlags: of the first packet
    p(PEN_CERT, 15, MoreBits(Field::TcpFlags)),         // unionTCPFlags: of the others
    p(PEN_CERT, 21, Keep(Slot::ReverseDelayMs)),        // reverseFlowDeltaMilliseconds
    p(PEN_VMWARE, 893, V4(Field::TunSrcAddr)),          // tunnelSourceIPv4Address
    p(PEN_VMWARE, 894, V4(Field::TunDstAddr)),          // tunnelDestinationIPv4Address
    p(PEN_VMWARE, 895, Number(Field::TunProto)),        // tunnelProtocolIdentifier
    p(PEN_NTOP, 82, Add(Field::ClientLatency, 1_000_000)),
    p(PEN_NTOP, 83, Add(Field::ClientLatency, 1)),
    p(PEN_NTOP, 84, Add(Field::ServerLatency, 1_000_000)),
    p(PEN_NTOP, 85, Add(Field::ServerLatency, 1)),
    p(PEN_NTOP, 86, Add(Field::AppLatency, 1_000_000)),
    p(PEN_NTOP, 87, Add(Field::AppLatency, 1)),
    p(PEN_NTOP, 121, Text(Field::Username)),            // FLOW_USER_NAME
    p(PEN_NTOP, 428, Text(Field::Username)),            // USER_NAME
];

#[cfg(test)]
mod tests {
    use super::*;
    use record::Kind;

    #[test]
    fn table_is_sorted_without_doubles() {
        for pair in ELEMENTS.windows(2) {
            assert!((pair[0].pen, pair[0].id) < (pair[1].pen, pair[1].id), "{pair:?}");
        }
    }

    #[test]
    fn conversions_suit_their_fields() {
        for line in ELEMENTS {
            let suits = match line.op {
                Number(f) | Spare(f) | Counter(f, _) | Bits(f) | MoreBits(f) | Add(f, _) => {
                    f.kind().is_number()
                }
                Segment(f) => f == Field::VxLan,
                V4(f) | V6(f) => f.kind() == Kind::Addr,
                Text(f) => matches!(f.kind(), Kind::Text(_)),
                Octets(f) => matches!(f.kind(), Kind::Bytes | Kind::Acl),
                Skip | FlowId | Keep(_) | Section(_) | Op::List(_) => true,
            };
            assert!(suits, "{line:?}");
        }
    }

    #[test]
    fn reverse_elements_are_those_that_can_differ() {
        for (pen, id, want) in [
            (PEN_REVERSE, 1, Some(Counter(Field::Bytes, 0))),
            (PEN_REVERSE, 86, Some(Counter(Field::Packets, 2))),
            (PEN_REVERSE, 6, Some(Bits(Field::TcpFlags))),
            (PEN_REVERSE, 152, Some(Keep(Slot::FirstMs))),
            (PEN_REVERSE, 8, None),
            (PEN_REVERSE, 4, None),
            (PEN_REVERSE, 23, None),
            (PEN_REVERSE, 184, None),
            (PEN_CERT, 0x4000 | 15, Some(MoreBits(Field::TcpFlags))),
            (PEN_CERT, 0x4000 | 21, None),
            (PEN_IXIA, 176, Some(Counter(Field::Bytes, 0))),
            (PEN_IXIA, 178, None),
        ] {
            assert_eq!(element(pen, id), want, "{pen}/{id}");
        }
    }

    /// The field table of `record` names the main element of each field: it has to lead there.
    #[test]
    fn elements_of_the_field_table_lead_to_their_field() {
        for field in Field::ALL {
            let ie = field.def().ie;
            let Some(op) = element(0, ie) else {
                // What the decoder sets by itself.
                assert!([0, 144].contains(&ie), "{field:?} has element {ie}, not in the table");
                continue;
            };
            match op {
                Number(f)
                | Spare(f)
                | Counter(f, _)
                | Bits(f)
                | V4(f)
                | V6(f)
                | Octets(f)
                | Segment(f)
                | Text(f) => assert_eq!(f, *field, "element {ie}"),
                Skip | FlowId | Keep(_) | Add(..) | MoreBits(_) | Section(_) | Op::List(_) => {}
            }
        }
    }
}
