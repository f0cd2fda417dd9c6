//! Number spaces: open newtypes with constants and names. A number without a name keeps its
//! value and prints as itself.

use std::fmt;

/// IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Proto(pub u8);

impl Proto {
    /// Internet Control Message Protocol.
    pub const ICMP: Self = Self(1);
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// Generic Routing Encapsulation.
    pub const GRE: Self = Self(47);
    /// ICMP for IPv6.
    pub const ICMP6: Self = Self(58);
    /// Stream Control Transmission Protocol.
    pub const SCTP: Self = Self(132);

    /// nfdump's name, at most five characters, `None` where it prints the number.
    pub fn name(self) -> Option<&'static str> {
        PROTO_NAMES.get(usize::from(self.0)).copied().filter(|n| !n.is_empty())
    }

    /// The first protocol whose name starts with `prefix`, upper and lower case alike: how nfdump
    /// reads `proto t` as TCP. Longer words than any name match nothing.
    pub fn from_prefix(prefix: &str) -> Option<Self> {
        let is_match = |name: &&str| {
            name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        if prefix.is_empty() {
            return None;
        }
        PROTO_NAMES.iter().position(is_match).map(|n| Self(n as u8))
    }

    /// Whether the destination port of such a flow holds ICMP type and code.
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMP6)
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.0.to_string()),
        }
    }
}

#[rustfmt::skip]
const PROTO_NAMES: [&str; 138] = [
    "0", "ICMP", "IGMP", "GGP", "IPIP", "ST", "TCP", "CBT", "EGP", "IGP",
    "BBN", "NVPII", "PUP", "ARGUS", "ENCOM", "XNET", "CHAOS", "UDP", "MUX", "DCN",
    "HMP", "PRM", "XNS", "Trnk1", "Trnk2", "Leaf1", "Leaf2", "RDP", "IRTP", "ISO-4",
    "NETBK", "MFESP", "MEINP", "DCCP", "3PC", "IDPR", "XTP", "DDP", "IDPR", "TP++",
    "IL", "IPv6", "SDRP", "Rte6", "Frag6", "IDRP", "RSVP", "GRE", "MHRP", "BNA",
    "ESP", "AH", "INLSP", "SWIPE", "NARP", "MOBIL", "TLSP", "SKIP", "ICMP6", "NOHE6",
    "OPTS6", "HOST", "CFTP", "NET", "SATNT", "KLAN", "RVD", "IPPC", "FS", "SATM",
    "VISA", "IPCV", "CPNX", "CPHB", "WSN", "PVP", "BSATM", "SUNND", "WBMON", "WBEXP",
    "ISOIP", "VMTP", "SVMTP", "VINES", "TTP", "NSIGP", "DGP", "TCF", "EIGRP", "OSPF",
    "S-RPC", "LARP", "MTP", "AX.25", "OS", "MICP", "SCCSP", "ETHIP", "ENCAP", "99",
    "GMTP", "IFMP", "PNNI", "PIM", "ARIS", "SCPS", "QNX", "A/N", "IPcmp", "SNP",
    "CpqPP", "IPXIP", "VRRP", "PGM", "0hop", "L2TP", "DDX", "IATP", "STP", "SRP",
    "UTI", "SMP", "SM", "PTP", "ISIS4", "FIRE", "CRTP", "CRUDP", "128", "IPLT",
    "SPS", "PIPE", "SCTP", "FC", "134", "MHEAD", "UDP-L", "MPLS",
];

/// TCP flags of a flow, ORed: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// `CEUAPRSF`, a dot where a flag is off: 0x1b is `...AP.SF`.
    pub const fn letters(self) -> [u8; 8] {
        let mut out = *b"CEUAPRSF";
        let mut i = 0;
        while i < out.len() {
            if self.0 & 0x80 >> i == 0 {
                out[i] = b'.';
            }
            i += 1;
        }
        out
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters().iter().try_for_each(|c| write!(f, "{}", char::from(*c)))
    }
}

/// NAT event (RFC 8158, 4.3; element 230).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NatEvent(pub u8);

#[rustfmt::skip]
const NAT_EVENTS: [(&str, &str); 19] = [
    ("INVALID", "INVALID"), ("ADD", "NAT translation create"), ("DELETE", "NAT translation delete"),
    ("EXHAUST", "NAT Addresses exhausted"), ("ADD44", "NAT44 session create"),
    ("DEL44", "NAT44 session delete"), ("ADD64", "NAT64 session create"),
    ("DEL64", "NAT64 session delete"), ("ADD44BIB", "NAT44 BIB create"),
    ("DEL44BIB", "NAT44 BIB delete"), ("ADD64BIB", "NAT64 BIB create"),
    ("DEL64BIB", "NAT64 BIB delete"), ("PEXHAUST", "NAT ports exhausted"),
    ("QUOTAEXH", "Quota Exceeded"), ("ADDADDR", "Address binding create"),
    ("DELADDR", "Address binding delete"), ("ADDPBLK", "Port block allocation"),
    ("DELPBLK", "Port block de-allocation"), ("THRESHLD", "Threshold Reached"),
];

impl NatEvent {
    /// Short name, as filters and `%evt` have it.
    pub fn name(self) -> Option<&'static str> {
        NAT_EVENTS.get(usize::from(self.0)).map(|e| e.0)
    }

    /// Long name, as JSON has it.
    pub fn long_name(self) -> Option<&'static str> {
        NAT_EVENTS.get(usize::from(self.0)).map(|e| e.1)
    }

    /// The event with this short name, upper and lower case alike.
    pub fn from_name(name: &str) -> Option<Self> {
        NAT_EVENTS.iter().position(|e| e.0.eq_ignore_ascii_case(name)).map(|n| Self(n as u8))
    }
}

/// Firewall event of NSEL (element 233).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FwEvent(pub u8);

const FW_EVENTS: [&str; 6] = ["IGNORE", "CREATE", "DELETE", "DENIED", "ALERT", "UPDATE"];

impl FwEvent {
    /// Name as output has it.
    pub fn name(self) -> Option<&'static str> {
        FW_EVENTS.get(usize::from(self.0)).copied()
    }

    /// The event with this name, upper and lower case alike.
    pub fn from_name(name: &str) -> Option<Self> {
        FW_EVENTS.iter().position(|e| e.eq_ignore_ascii_case(name)).map(|n| Self(n as u8))
    }
}

/// Bits of [`Field::RecordFlags`](crate::Field::RecordFlags).
pub mod record_flags {
    /// The record is an event: NSEL, NAT or pflog.
    pub const EVENT: u8 = 1;
    /// A sampler applied: counters were scaled.
    pub const SAMPLED: u8 = 2;
    /// Addresses were anonymised.
    pub const ANONYMISED: u8 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_lead_back_to_their_number() {
        for n in 0..=255u8 {
            let Some(name) = Proto(n).name() else {
                assert_eq!(Proto(n).to_string(), n.to_string());
                continue;
            };
            assert!(name.len() <= 5, "{name}");
            let found = Proto::from_prefix(name).unwrap();
            // A name that is also a prefix of an earlier one (ST of nothing, IDPR twice) leads
            // to the first.
            assert!(found.0 <= n, "{name}");
        }
        assert_eq!(Proto::from_prefix("t"), Some(Proto::TCP));
        assert_eq!(Proto::from_prefix("ip"), Some(Proto(4)));
        assert_eq!(Proto::from_prefix("icmp6"), Some(Proto::ICMP6));
        assert_eq!(Proto::from_prefix("ipv6-icmp"), None);
        assert_eq!(Proto::from_prefix(""), None);
        assert_eq!(Proto(137).name(), Some("MPLS"));
    }

    #[test]
    fn flag_letters() {
        for (flags, text) in
            [(0x1b, "...AP.SF"), (0, "........"), (0xff, "CEUAPRSF"), (2, "......S.")]
        {
            assert_eq!(TcpFlags(flags).to_string(), text);
        }
    }

    #[test]
    fn events_by_name_and_number() {
        for n in 0..=255 {
            if let Some(name) = NatEvent(n).name() {
                assert_eq!(NatEvent::from_name(&name.to_lowercase()), Some(NatEvent(n)));
            }
            if let Some(name) = FwEvent(n).name() {
                assert_eq!(FwEvent::from_name(name), Some(FwEvent(n)));
            }
        }
    }
}
