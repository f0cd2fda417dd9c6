//! Names of numbers that lists show, what exporters call their interfaces, and names of services.

use record::NameTable;
use record::code::Proto;
use std::collections::HashMap;

/// What exporters said their numbers are called. Look-ups happen once a column and record, so
/// they should be quick.
pub trait Names: std::fmt::Debug {
    /// Name of an interface or a VRF of the exporter with this number.
    fn name(&self, exporter: u32, table: NameTable, id: u32) -> Option<&[u8]>;

    /// Name of an application.
    fn application(&self, exporter: u32, id: &[u8]) -> Option<&[u8]>;
}

/// Extended firewall events that have a name (element 33002, Cisco ASA).
pub(crate) const fn xevent(code: u64) -> Option<&'static str> {
    Some(match code {
        0 => "IGNORE",
        1001 => "I-ACL",
        1002 => "E-ACL",
        1003 => "DENY",
        1004 => "NOSYN",
        _ => return None,
    })
}

/// Direction that pf sends: 1 (`PF_IN`) is in; out are 2 (`PF_OUT`) and 0, which nfdump has for it.
pub(crate) const fn pf_direction(code: u64) -> &'static str {
    if code == 1 { "in" } else { "out" }
}

/// Name of a pf action.
pub(crate) fn pf_action(code: u64) -> &'static str {
    const NAMES: [&str; 16] = [
        "pass", "block", "scrub", "noscrub", "nat", "nonat", "binat", "nobinat", "rdr", "nordr",
        "synblock", "defer", "match", "divert", "rt", "afrt",
    ];
    usize::try_from(code).ok().and_then(|i| NAMES.get(i)).unwrap_or(&"<undef>")
}

/// Name of a pf reason.
pub(crate) fn pf_reason(code: u64) -> &'static str {
    const NAMES: [&str; 17] = [
        "match",
        "bad-offset",
        "fragment",
        "short",
        "normalize",
        "memory",
        "bad-timestamp",
        "congestion",
        "ip-option",
        "proto-cksum",
        "state-mismatch",
        "state-insert",
        "state-limit",
        "src-limit",
        "synproxy",
        "translate",
        "no-route",
    ];
    usize::try_from(code).ok().and_then(|i| NAMES.get(i)).unwrap_or(&"<undef>")
}

/// Columns that names of services take: as long as one may be (RFC 6335, 5.1).
pub(crate) const PORT_ROOM: usize = 15;

/// Names of well-known ports, as a system keeps them in its file of services.
#[derive(Clone, Debug, Default)]
pub struct Services {
    names: HashMap<(Proto, u16), Box<str>>,
}

impl Services {
    /// Reads lines of `name port/protocol aliases…`, `#` begins a comment (services(5)). Protocols
    /// that have no ports and lines that say something else are skipped; of two names for one port
    /// the first counts.
    pub fn parse(text: &str) -> Self {
        let mut names = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or("").split_ascii_whitespace();
            let (Some(name), Some(place)) = (words.next(), words.next()) else { continue };
            let Some((port, proto)) = place.split_once('/') else { continue };
            let Ok(port) = port.parse() else { continue };
            let Some(proto) = with_ports(proto) else { continue };
            names.entry((proto, port)).or_insert_with(|| name.into());
        }
        Self { names }
    }

    /// What the port is called where `proto` is spoken.
    pub fn name(&self, proto: Proto, port: u16) -> Option<&str> {
        self.names.get(&(proto, port)).map(|name| &**name)
    }

    /// What the port is called, whatever is spoken there: the name for TCP, else that for UDP.
    pub fn any_name(&self, port: u16) -> Option<&str> {
        self.name(Proto::TCP, port).or_else(|| self.name(Proto::UDP, port))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Protocols that have ports, as the file of services calls them.
fn with_ports(name: &str) -> Option<Proto> {
    Some(match name {
        "tcp" => Proto::TCP,
        "udp" => Proto::UDP,
        "sctp" => Proto::SCTP,
        "dccp" => Proto(33),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_line_by_line() {
        let text = "# comment\n\ntcpmux\t\t1/tcp\t# TCP port multiplexer\nssh 22/tcp\nssh2 22/tcp\n\
                    domain 53/tcp\ndomain 53/udp nameserver\nbroken\nbad x/tcp\nhuge 70000/tcp\n\
                    rtp 5004/dccp\nodd 9/ddp\n#off 80/tcp\nsnmp 161/udp#x\r\n";
        let services = Services::parse(text);
        for (proto, port, want) in [
            (6, 1, Some("tcpmux")),
            (6, 22, Some("ssh")),
            (17, 22, None),
            (17, 53, Some("domain")),
            (33, 5004, Some("rtp")),
            (17, 161, Some("snmp")),
            (6, 80, None),
            (6, 70000u32 as u16, None),
        ] {
            assert_eq!(services.name(Proto(proto), port), want, "{proto} {port}");
        }
        assert_eq!(services.any_name(161), Some("snmp"));
        assert_eq!(services.any_name(9), None);
        assert_eq!(services.len(), 6);
        assert!(Services::parse("").is_empty());
    }
}
