//! Names of numbers that lists show, and what exporters call their interfaces.

use record::NameTable;

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
