//! Words that stand for numbers in operands.

use payload::tls::Version;
use record::code::{FwEvent, NatEvent, Proto};

/// A set of names for numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    Proto,
    FwdStatus,
    FlowDir,
    NatEvent,
    FwEvent,
    Denied,
    PfAction,
    PfReason,
    PfDir,
    TlsVersion,
    SslVersion,
}

impl Names {
    /// What the names name.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Proto => "protocol",
            Self::FwdStatus => "forwarding status",
            Self::FlowDir => "flow direction",
            Self::NatEvent => "NAT event",
            Self::FwEvent => "firewall event",
            Self::Denied => "reason of denial",
            Self::PfAction => "pf action",
            Self::PfReason => "pf reason",
            Self::PfDir => "pf direction",
            Self::TlsVersion => "version of TLS",
            Self::SslVersion => "version of SSL",
        }
    }

    /// The number a word stands for, upper and lower case alike.
    pub(crate) fn number(self, word: &str) -> Option<u64> {
        match self {
            Self::Proto => Proto::from_prefix(word).map(|p| u64::from(p.0)),
            Self::NatEvent => NatEvent::from_name(word).map(|e| u64::from(e.0)),
            Self::FwEvent => {
                let name = match word.to_ascii_lowercase().as_str() {
                    // What the manual calls them.
                    "deny" => "denied",
                    "term" => "delete",
                    _ => word,
                };
                FwEvent::from_name(name).map(|e| u64::from(e.0))
            }
            _ => self.table().iter().find(|e| e.0.eq_ignore_ascii_case(word)).map(|e| e.1),
        }
    }

    /// The first name of a number, in lower case as far as the table has it so.
    pub(crate) fn name(self, number: u64) -> Option<&'static str> {
        match self {
            Self::Proto => Proto(u8::try_from(number).ok()?).name(),
            Self::NatEvent => NatEvent(u8::try_from(number).ok()?).name(),
            Self::FwEvent => FwEvent(u8::try_from(number).ok()?).name(),
            _ => self.table().iter().find(|e| e.1 == number).map(|e| e.0),
        }
    }

    /// Every name, for messages.
    pub(crate) fn all(self) -> Vec<&'static str> {
        match self {
            Self::Proto | Self::NatEvent | Self::FwEvent => {
                (0..=255).filter_map(|n| self.name(n)).collect()
            }
            _ => self.table().iter().map(|e| e.0).collect(),
        }
    }

    const fn table(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::FwdStatus => FWD_STATUS,
            Self::FlowDir => &[("ingress", 0), ("egress", 1)],
            Self::Denied => DENIED,
            Self::PfAction => PF_ACTION,
            Self::PfReason => PF_REASON,
            Self::PfDir => &[("in", 1), ("out", 2)],
            Self::TlsVersion => TLS_VERSION,
            Self::SslVersion => SSL_VERSION,
            Self::Proto | Self::NatEvent | Self::FwEvent => &[],
        }
    }
}

/// Forwarding status as routers send it in one octet.
const FWD_STATUS: &[(&str, u64)] = &[
    ("Ukwn", 0),
    ("Forw", 1),
    ("Frag", 2),
    ("Drop", 16),
    ("DaclD", 17),
    ("Daclp", 18),
    ("Noroute", 19),
    ("Dadj", 20),
    ("Dfrag", 21),
    ("Dbadh", 22),
    ("Dbadtlen", 23),
    ("Dbadhlen", 24),
    ("DbadTTL", 25),
    ("Dpolicy", 26),
    ("Dwred", 27),
    ("Drpf", 28),
    ("Dforus", 29),
    ("DbadOf", 30),
    ("Dhw", 31),
    ("Term", 128),
    ("Tadj", 129),
    ("TincAdj", 130),
    ("Tforus", 131),
];

/// Extended events of a firewall that denied a flow.
const DENIED: &[(&str, u64)] = &[
    ("ingress", 1001),
    ("i-acl", 1001),
    ("egress", 1002),
    ("e-acl", 1002),
    ("interface", 1003),
    ("access", 1003),
    ("deny", 1003),
    ("nosyn", 1004),
    ("ignore", 0),
];

/// What the packet filter of the BSDs did with a packet (`PF_PASS` and following).
const PF_ACTION: &[(&str, u64)] = &[
    ("pass", 0),
    ("block", 1),
    ("scrub", 2),
    ("noscrub", 3),
    ("nat", 4),
    ("nonat", 5),
    ("binat", 6),
    ("nobinat", 7),
    ("rdr", 8),
    ("nordr", 9),
    ("synblock", 10),
    ("defer", 11),
    ("match", 12),
    ("divert", 13),
    ("rt", 14),
    ("afrt", 15),
];

/// Why it did so (`PFRES_MATCH` and following). The parenthesis of the sixth is nfdump's.
const PF_REASON: &[(&str, u64)] = &[
    ("match", 0),
    ("bad-offset", 1),
    ("fragment", 2),
    ("short", 3),
    ("normalize", 4),
    ("memory)", 5),
    ("bad-timestamp", 6),
    ("congestion", 7),
    ("ip-option", 8),
    ("proto-cksum", 9),
    ("state-mismatch", 10),
    ("state-insert", 11),
    ("state-limit", 12),
    ("src-limit", 13),
    ("synproxy", 14),
    ("translate", 15),
    ("no-route", 16),
];

/// Versions as on the wire.
const TLS_VERSION: &[(&str, u64)] = &[
    ("1.0", Version::TLS10.0 as u64),
    ("1.1", Version::TLS11.0 as u64),
    ("1.2", Version::TLS12.0 as u64),
    ("1.3", Version::TLS13.0 as u64),
];

/// The first one was never released, but nfdump takes it.
const SSL_VERSION: &[(&str, u64)] =
    &[("1.0", 0x0100), ("2.0", Version::SSL20.0 as u64), ("3.0", Version::SSL30.0 as u64)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_numbers() {
        for (names, word, number) in [
            (Names::Proto, "t", Some(6)),
            (Names::FwdStatus, "NOROUTE", Some(19)),
            (Names::FwdStatus, "norout", None),
            (Names::FlowDir, "egress", Some(1)),
            (Names::NatEvent, "add44", Some(4)),
            (Names::NatEvent, "create", None),
            (Names::FwEvent, "Deny", Some(3)),
            (Names::FwEvent, "term", Some(2)),
            (Names::Denied, "e-acl", Some(1002)),
            (Names::PfAction, "Block", Some(1)),
            (Names::PfReason, "no-route", Some(16)),
            (Names::PfReason, "memory", None),
            (Names::PfDir, "out", Some(2)),
            (Names::TlsVersion, "1.2", Some(0x0303)),
            (Names::TlsVersion, "3.0", None),
            (Names::SslVersion, "2.0", Some(2)),
        ] {
            assert_eq!(names.number(word), number, "{names:?} {word}");
        }
    }

    #[test]
    fn every_name_printed_is_read_back() {
        for names in [
            Names::FwdStatus,
            Names::FlowDir,
            Names::NatEvent,
            Names::FwEvent,
            Names::Denied,
            Names::PfAction,
            Names::PfReason,
            Names::PfDir,
            Names::TlsVersion,
            Names::SslVersion,
        ] {
            assert!(!names.all().is_empty());
            for n in 0..2000 {
                if let Some(name) = names.name(n) {
                    assert_eq!(names.number(name), Some(n), "{names:?} {name}");
                }
            }
        }
    }
}
