//! What elements and their owners are called: for listings and logs, never for decoding.
//!
//! Names are those of the IANA registry or of the vendor's own documents. The element table
//! (`element`) says what becomes of an element's octets; an element may have a name and no place
//! in a flow, or the other way round.

mod iana;
mod vendors;

use crate::element::{self, Op, PEN_REVERSE};

/// What an element is called: by the IANA registry for enterprise 0 and for reverse elements
/// (RFC 5103: enterprise 29305), by its vendor otherwise.
///
/// NetFlow v9 has no enterprise numbers: numbers from 32768 on are Cisco's own with the top bit set,
/// from 57552 on those of ntop, and two are of Palo Alto Networks.
///
/// ```
/// assert_eq!(wire::element_name(0, 8), Some("sourceIPv4Address"));
/// assert_eq!(wire::element_name(637, 93), Some("aluNatSubString"));
/// assert_eq!(wire::element_name(0, 57_590), Some("L7_PROTO"));
/// assert_eq!(wire::element_name(4_000_000, 1), None);
/// ```
pub fn element_name(pen: u32, id: u16) -> Option<&'static str> {
    /// The first v9 number of ntop's elements, less the number they have in IPFIX.
    const NTOP_V9: u16 = 57_472;
    match pen {
        0 | PEN_REVERSE => match id {
            0..0x8000 => iana::NAMES.get(usize::from(id)).copied().filter(|n| !n.is_empty()),
            _ if pen == PEN_REVERSE => None,
            56_701 => Some("PANOS_APPID"),
            56_702 => Some("PANOS_USERID"),
            NTOP_V9.. => named(vendors::NTOP, id - NTOP_V9),
            _ => named(vendors::CISCO, id - 0x8000),
        },
        element::PEN_CERT => {
            // YAF's reverse elements are its own with this bit set.
            const REVERSE: u16 = 0x4000;
            named(vendors::CERT, id & !REVERSE)
        }
        _ => {
            let at = ELEMENTS.binary_search_by_key(&pen, |e| e.0).ok()?;
            named(ELEMENTS.get(at)?.1, id)
        }
    }
}

/// Who owns a private enterprise number, in a word or two: the vendors that export flows.
///
/// ```
/// assert_eq!(wire::enterprise_name(2636), Some("Juniper"));
/// assert_eq!(wire::enterprise_name(0), Some("IANA"));
/// assert_eq!(wire::enterprise_name(4_000_000), None);
/// ```
pub fn enterprise_name(pen: u32) -> Option<&'static str> {
    let at = ENTERPRISES.binary_search_by_key(&pen, |e| e.0).ok()?;
    ENTERPRISES.get(at).map(|e| e.1)
}

/// Whether an element of a flow record has a place in a [`record::Flow`], or helps to fill one.
///
/// Where several elements count the same or date the same, the best one is taken, so an element
/// that is stored need not be in every flow. Reverse elements (RFC 5103) are stored if their
/// forward ones are: in the flow of the other direction.
///
/// ```
/// assert!(wire::element_is_stored(0, 1));
/// assert!(!wire::element_is_stored(0, 346));
/// ```
pub fn element_is_stored(pen: u32, id: u16) -> bool {
    element::element(pen, id).is_some_and(|op| op != Op::Skip)
}

fn named(list: &[(u16, &'static str)], id: u16) -> Option<&'static str> {
    let at = list.binary_search_by_key(&id, |e| e.0).ok()?;
    list.get(at).map(|e| e.1)
}

/// A vendor's elements, by number.
type Names = &'static [(u16, &'static str)];

/// Vendors whose elements have names here, beside CERT.
static ELEMENTS: &[(u32, Names)] = &[
    (9, vendors::CISCO),
    (637, vendors::NOKIA),
    (2011, vendors::HUAWEI),
    (3054, vendors::IXIA),
    (5951, vendors::NETSCALER),
    (6876, vendors::VMWARE),
    (10704, vendors::BARRACUDA),
    (12276, vendors::F5),
    (26866, vendors::GIGAMON),
    (35632, vendors::NTOP),
];

#[rustfmt::skip]
static ENTERPRISES: &[(u32, &str)] = &[
    (0, "IANA"), (2, "IBM"), (9, "Cisco"), (11, "HP"), (42, "Sun"), (43, "3Com"), (171, "D-Link"),
    (193, "Ericsson"), (236, "Samsung"), (311, "Microsoft"), (343, "Intel"), (637, "Nokia"),
    (674, "Dell"), (890, "Zyxel"), (1588, "Brocade"), (1916, "Extreme"), (1991, "Foundry"),
    (2011, "Huawei"), (2352, "Redback"), (2620, "Check Point"), (2636, "Juniper"), (3054, "Ixia"),
    (3224, "NetScreen"), (3375, "F5"), (3902, "ZTE"), (4300, "InMon"), (4329, "Siemens"),
    (4413, "Broadcom"), (4874, "Juniper Unisphere"), (4881, "Ruijie"), (5651, "Maipu"),
    (5771, "Cisco"), (5951, "NetScaler"), (6027, "Force10"), (6486, "Alcatel-Lucent Enterprise"),
    (6527, "Nokia"), (6871, "CERT"), (6876, "VMware"), (7779, "Infoblox"), (8057, "CESNET"),
    (8072, "net-snmp"), (8712, "Lancope"), (8741, "SonicWall"), (8886, "Raisecom"),
    (9694, "Arbor"), (10704, "Barracuda"), (12276, "F5"), (12325, "Fraunhofer FOKUS"),
    (12356, "Fortinet"), (13191, "OneAccess"), (13745, "Plixer"), (14501, "Blue Coat"),
    (14706, "sFlow.org"), (14823, "Aruba"), (14988, "MikroTik"), (16982, "Masaryk University"),
    (17163, "Riverbed"), (22610, "A10"), (23867, "Silver Peak"), (25053, "Ruckus"),
    (25461, "Palo Alto Networks"), (25506, "H3C"), (26866, "Gigamon"), (29305, "reverse"),
    (29671, "Meraki"), (30065, "Arista"), (30803, "Vyatta"), (32473, "example"), (35265, "Eltex"),
    (35632, "ntop"), (39499, "Flowmon"), (41112, "Ubiquiti"), (41916, "Viptela"),
    (43874, "pmacct"), (47196, "HPE"), (47729, "Niagara Networks"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_without_doubles_and_printable() {
        assert!(ENTERPRISES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ELEMENTS.is_sorted_by(|a, b| a.0 < b.0));
        let all = ELEMENTS.iter().map(|e| e.1).chain([vendors::CERT]);
        for list in all {
            assert!(list.is_sorted_by(|a, b| a.0 < b.0));
            assert!(list.iter().all(|e| is_name(e.1)), "{list:?}");
        }
        assert!(iana::NAMES.iter().all(|n| n.is_empty() || is_name(n)));
        assert!(ENTERPRISES.iter().all(|e| e.1.is_ascii() && !e.1.is_empty()));
    }

    fn is_name(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    }

    #[test]
    fn elements_have_the_names_of_their_owners() {
        for (pen, id, want) in [
            (0, 0, None),
            (0, 1, Some("octetDeltaCount")),
            (0, 66, None),
            (0, 97, None),
            (0, 230, Some("natEvent")),
            (0, 364, Some("portRangeNumPorts")),
            (0, 467, Some("natThresholdEvent")),
            (0, 533, Some("pathDelaySumDeltaMicroseconds")),
            (0, 534, None),
            (0, 0x7fff, None),
            (0, 33000, Some("ingressAclId")),
            (0, 40005, Some("fwEvent")),
            (0, 56702, Some("PANOS_USERID")),
            (0, 57552, Some("SRC_FRAGMENTS")),
            (0, 57943, Some("NPROBE_IPV4_ADDRESS")),
            (0, 65535, None),
            (29305, 1, Some("octetDeltaCount")),
            (29305, 33000, None),
            (9, 12235, Some("appHTTPHost")),
            (6871, 14, Some("initialTCPFlags")),
            (6871, 0x4000 | 14, Some("initialTCPFlags")),
            (6876, 893, Some("tunnelSourceIPv4Address")),
            (5951, 128, Some("roundTripTime")),
            (35632, 118, Some("L7_PROTO")),
            (2636, 1, None),
        ] {
            assert_eq!(element_name(pen, id), want, "{pen}/{id}");
        }
    }

    /// What the decoder knows, it can name.
    #[test]
    fn elements_of_the_table_have_names() {
        for line in element::all() {
            assert!(element_name(line.pen, line.id).is_some(), "{line:?}");
            assert!(enterprise_name(line.pen).is_some(), "{line:?}");
        }
    }
}
