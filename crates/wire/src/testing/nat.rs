//! Records of address translators and firewalls, as the RFC and the vendors' documents describe
//! them: one of each kind, with values that tell elements apart.

use super::{IpfixBuilder, Record, V9Builder};
use crate::{ipfix, v9};

/// When the events happened unless a record says otherwise: milliseconds since 1970.
pub const AT_MS: u64 = 1_795_000_000_123;
/// When they are exported: seconds since 1970.
pub const EXPORT_SECS: u32 = 1_795_000_002;
/// Uptime of the exporter at that time, milliseconds.
pub const UPTIME_MS: u32 = 900_000;

/// One element with its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Private enterprise number, 0 for IANA and v9.
    pub pen: u32,
    /// Element number.
    pub id: u16,
    /// What is sent.
    pub octets: Vec<u8>,
    /// Whether each record says its length.
    pub is_variable: bool,
}

impl Value {
    /// The octets as a number.
    pub fn number(&self) -> u64 {
        self.octets.iter().fold(0, |n, b| n << 8 | u64::from(*b))
    }
}

/// One kind of record.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who sends it, and what it says.
    pub name: &'static str,
    /// Over which protocols: 9, 10 or both.
    pub versions: &'static [u16],
    /// Its elements in order.
    pub values: Vec<Value>,
}

impl Event {
    /// The value of an IANA or v9 element.
    pub fn get(&self, id: u16) -> Option<&Value> {
        self.values.iter().find(|v| v.pen == 0 && v.id == id)
    }

    /// A datagram with its template and one record.
    pub fn datagram(&self, version: u16, template: u16, sequence: u32) -> Vec<u8> {
        let record = self.values.iter().fold(Record::new(), |r, v| match v.is_variable {
            true => r.variable(&v.octets),
            false => r.octets(&v.octets),
        });
        let len = |v: &Value| if v.is_variable { 65535 } else { v.octets.len() as u16 };
        if version == 9 {
            let fields: Vec<_> = self.values.iter().map(|v| (v.id, len(v))).collect();
            let header = v9::Header {
                uptime_ms: UPTIME_MS,
                unix_secs: EXPORT_SECS,
                sequence,
                source_id: 9,
                ..v9::Header::default()
            };
            let datagram = V9Builder::new(header).template(template, &fields);
            return datagram.data(template, &[record.build()]).build();
        }
        let fields: Vec<_> = self.values.iter().map(|v| (v.pen, v.id, len(v))).collect();
        let header = ipfix::Header {
            export_secs: EXPORT_SECS,
            sequence,
            domain: 10,
            ..ipfix::Header::default()
        };
        let message = IpfixBuilder::new(header).template(template, &fields);
        message.data(template, &[record.build()]).build()
    }
}

/// All events as datagrams, those over v9 before those over IPFIX: the event and its datagram.
pub fn datagrams() -> Vec<(Event, u16, Vec<u8>)> {
    let mut out = Vec::new();
    for version in [9, 10] {
        let events = events().into_iter().filter(|e| e.versions.contains(&version));
        for (n, event) in (0u16..).zip(events) {
            let datagram = event.datagram(version, 256 + n, n.into());
            out.push((event, version, datagram));
        }
    }
    out
}

/// One record of each kind.
pub fn events() -> Vec<Event> {
    [rfc8158(), cisco(), vendors()].concat()
}

const BOTH: &[u16] = &[9, 10];
const V9: &[u16] = &[9];
const IPFIX: &[u16] = &[10];

const INSIDE: u64 = 0x6440_0102; // 100.64.1.2
const OUTSIDE: u64 = 0xc633_6407; // 198.51.100.7
const SERVER: u64 = 0xcb00_7150; // 203.0.113.80
const INSIDE6: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0042;
const SERVER6: u128 = 0x0064_ff9b_0000_0000_0000_0000_cb00_7150;

fn n(id: u16, len: usize, value: u64) -> Value {
    p(0, id, len, value)
}

fn p(pen: u32, id: u16, len: usize, value: u64) -> Value {
    let octets = Record::new().number(value, len).build();
    Value { pen, id, octets, is_variable: false }
}

fn v6(id: u16, value: u128) -> Value {
    Value { pen: 0, id, octets: value.to_be_bytes().to_vec(), is_variable: false }
}

fn text(pen: u32, id: u16, len: usize, value: &str) -> Value {
    let mut octets = value.as_bytes().to_vec();
    octets.resize(len, 0);
    Value { pen, id, octets, is_variable: false }
}

fn variable(pen: u32, id: u16, value: &str) -> Value {
    Value { pen, id, octets: value.as_bytes().to_vec(), is_variable: true }
}

fn event(name: &'static str, versions: &'static [u16], values: Vec<Value>) -> Event {
    Event { name, versions, values }
}

/// The events of RFC 8158, section 5, by the numbers of its section 4.3.
fn rfc8158() -> Vec<Event> {
    let at = || n(323, 8, AT_MS);
    let bib44 = |what| {
        let ports = [n(4, 1, 17), n(7, 2, 40_001), n(227, 2, 1025)];
        let mut values = vec![at(), n(8, 4, INSIDE), n(225, 4, OUTSIDE)];
        values.extend(ports);
        values.extend([n(234, 4, 77), n(230, 1, what)]);
        values
    };
    let bib64 = |what| {
        let mut values = vec![at(), v6(27, INSIDE6), n(225, 4, OUTSIDE), n(4, 1, 17)];
        values.extend([n(7, 2, 40_002), n(227, 2, 1026), n(463, 4, 3), n(230, 1, what)]);
        values
    };
    let session44 = |what| {
        let mut values = bib44(what);
        values.extend([n(12, 4, SERVER), n(226, 4, SERVER + 1), n(11, 2, 53), n(228, 2, 5353)]);
        values.extend([n(229, 1, 1), n(235, 4, 78)]);
        values
    };
    let session64 = |what| {
        let mut values = bib64(what);
        values.extend([v6(28, SERVER6), n(226, 4, SERVER), n(11, 2, 443), n(228, 2, 443)]);
        values
    };
    let binding = |what| vec![at(), n(8, 4, INSIDE), n(225, 4, OUTSIDE), n(230, 1, what)];
    let block = |what| {
        let mut values = binding(what);
        values.extend([n(361, 2, 1024), n(362, 2, 2047), n(363, 2, 2), n(364, 2, 512)]);
        values
    };
    let block6 = |what| {
        let values = vec![at(), v6(27, INSIDE6), n(225, 4, OUTSIDE), n(230, 1, what)];
        [values, vec![n(361, 2, 2048), n(362, 2, 3071)]].concat()
    };
    let quota =
        |which, limit: u16| vec![at(), n(230, 1, 13), n(466, 4, which), n(limit, 4, 65_536)];
    let threshold =
        |which, limit: u16| vec![at(), n(230, 1, 18), n(467, 4, which), n(limit, 4, 90)];
    let user = |mut values: Vec<Value>| {
        values.push(n(8, 4, INSIDE));
        values
    };
    let pool = |mut values: Vec<Value>| {
        values.push(n(283, 4, 5));
        values
    };
    vec![
        event("historic create", BOTH, session44(1)),
        event("historic delete", BOTH, session44(2)),
        event("addresses exhausted", BOTH, pool(vec![at(), n(230, 1, 3)])),
        event("NAT44 session create", BOTH, session44(4)),
        event("NAT44 session delete", BOTH, session44(5)),
        event("NAT64 session create", BOTH, session64(6)),
        event("NAT64 session delete", BOTH, session64(7)),
        event("NAT44 BIB create", BOTH, bib44(8)),
        event("NAT44 BIB delete", BOTH, bib44(9)),
        event("NAT64 BIB create", BOTH, bib64(10)),
        event("NAT64 BIB delete", BOTH, bib64(11)),
        event("ports exhausted", BOTH, vec![at(), n(225, 4, OUTSIDE), n(4, 1, 6), n(230, 1, 12)]),
        event("quota of sessions", BOTH, quota(1, 471)),
        event("quota of BIBs", BOTH, quota(2, 472)),
        event("quota of a user", BOTH, user(quota(3, 473))),
        event("quota of hosts", BOTH, quota(4, 474)),
        event("quota of fragments", BOTH, quota(5, 475)),
        event("address binding create", BOTH, binding(14)),
        event("address binding delete", BOTH, binding(15)),
        event("port block allocated", BOTH, block(16)),
        event("port block freed", BOTH, block(17)),
        event("port block of NAT64 allocated", BOTH, block6(16)),
        event("threshold of a pool, high", BOTH, pool(threshold(1, 476))),
        event("threshold of a pool, low", BOTH, pool(threshold(2, 477))),
        event("threshold of mappings", BOTH, threshold(3, 478)),
        event("threshold of a user", BOTH, user(threshold(4, 480))),
        event("threshold of all", BOTH, threshold(5, 481)),
    ]
}

/// Cisco: NEL of routers, CGv6 of IOS XR, NSEL of ASA.
fn cisco() -> Vec<Event> {
    let nel = |what| {
        vec![
            n(323, 8, AT_MS),
            n(8, 4, INSIDE),
            n(225, 4, OUTSIDE),
            n(12, 4, SERVER),
            n(226, 4, SERVER),
            n(7, 2, 50_001),
            n(227, 2, 1056),
            n(11, 2, 80),
            n(228, 2, 80),
            n(234, 4, 11),
            n(4, 1, 6),
            n(230, 1, what),
        ]
    };
    let cgv6 = || vec![n(234, 4, 21), n(235, 4, 22), n(8, 4, INSIDE), n(225, 4, OUTSIDE)];
    let with = |more: Vec<Value>| [cgv6(), more].concat();
    let conn = || {
        vec![
            n(148, 4, 4_000_000_001),
            n(8, 4, INSIDE),
            n(7, 2, 50_002),
            n(10, 2, 3),
            n(12, 4, SERVER),
            n(11, 2, 443),
            n(14, 2, 4),
            n(4, 1, 6),
            n(176, 1, 0),
            n(177, 1, 0),
            n(323, 8, AT_MS),
        ]
    };
    let xlate = [n(225, 4, OUTSIDE), n(226, 4, SERVER), n(227, 2, 2001), n(228, 2, 443)];
    let old = [n(40001, 4, OUTSIDE), n(40002, 4, SERVER), n(40003, 2, 2002), n(40004, 2, 443)];
    let acl = |id| Value {
        octets: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, id as u8].to_vec(),
        ..n(id, 4, 0)
    };
    let counts = [n(152, 8, AT_MS - 5000), n(231, 4, 700), n(232, 4, 90_000)];
    let nsel = |what, why, more: &[&[Value]]| {
        [&conn()[..], &[n(233, 1, what), n(33002, 2, why)], &more.concat()].concat()
    };
    let user = [text(0, 40000, 20, "alice")];
    let long_user = [text(0, 40000, 65, "alice@lab.example.net")];
    vec![
        event("NEL create", V9, nel(1)),
        event("NEL delete", V9, nel(2)),
        event("NEL pool exhausted", V9, vec![n(323, 8, AT_MS), n(283, 4, 6), n(230, 1, 3)]),
        event("CGv6 create", V9, with(vec![n(7, 2, 50_003), n(227, 2, 1057), n(4, 1, 17)])),
        event("CGv6 block", V9, with(vec![n(361, 2, 4096), n(362, 2, 4607)])),
        event("NSEL create", V9, nsel(1, 0, &[&xlate, &[acl(33000), acl(33001)], &user])),
        event("NSEL delete", V9, nsel(2, 2014, &[&xlate, &counts, &long_user])),
        event("NSEL denied", V9, nsel(3, 1001, &[&[acl(33000), acl(33001)]])),
        event("NSEL update", V9, nsel(5, 0, &[&xlate, &counts])),
        event("NSEL before 8.4(5)", V9, [&conn()[..], &old, &[n(40005, 1, 1)]].concat()),
    ]
}

/// Others.
fn vendors() -> Vec<Event> {
    let key =
        || vec![n(8, 4, INSIDE), n(12, 4, SERVER), n(7, 2, 50_004), n(11, 2, 443), n(4, 1, 6)];
    let xlate = || vec![n(225, 4, OUTSIDE), n(226, 4, SERVER), n(227, 2, 3001), n(228, 2, 443)];
    let counts = || vec![n(1, 8, 1_234_567), n(2, 8, 1234)];
    let uptimes = || {
        let end = u64::from(UPTIME_MS) - 1000;
        vec![n(22, 4, end - 3000), n(21, 4, end)]
    };
    let of = |parts: &[Vec<Value>]| parts.concat();
    let f5 = vec![n(323, 8, AT_MS), n(234, 4, 31), n(235, 4, 32), n(229, 1, 1), n(230, 1, 4)];
    let pan = vec![n(233, 1, 2), n(148, 4, 4711), n(346, 4, 25461), n(136, 1, 3)];
    let panos = vec![text(0, 56701, 32, "ssl"), text(0, 56702, 64, "bob@lab.example.net")];
    let nokia = vec![
        n(323, 8, AT_MS),
        n(230, 1, 16),
        n(8, 4, INSIDE),
        n(225, 4, OUTSIDE),
        n(361, 2, 6000),
        n(362, 2, 6999),
        p(637, 91, 2, 100),
        p(637, 92, 2, 200),
        variable(637, 93, "subscriber-7@100.64.1.2"),
    ];
    let ovs = vec![
        p(6876, 891, 1, 1),
        p(6876, 893, 4, 0x0a00_0001),
        p(6876, 894, 4, 0x0a00_0002),
        p(6876, 895, 1, 17),
        p(6876, 896, 2, 55_555),
        p(6876, 897, 2, 4789),
    ];
    let ms = vec![n(152, 8, AT_MS - 3000), n(153, 8, AT_MS)];
    vec![
        event("MikroTik flow", V9, of(&[key(), uptimes(), counts(), xlate()])),
        event("MikroTik flow, IPFIX", IPFIX, of(&[key(), ms.clone(), counts(), xlate()])),
        event("FortiOS flow with NAT", V9, of(&[key(), uptimes(), counts(), xlate()])),
        event("F5 session", IPFIX, of(&[f5, key(), xlate()])),
        event(
            "F5 pool by name",
            IPFIX,
            vec![n(323, 8, AT_MS), n(230, 1, 3), variable(0, 284, "pool-7")],
        ),
        event("PAN-OS with NAT", V9, of(&[key(), uptimes(), counts(), pan, panos, xlate()])),
        event("Nokia block", IPFIX, nokia),
        event("Open vSwitch tunnel", IPFIX, of(&[key(), ms, counts(), ovs])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Collect;
    use crate::{Config, Decoder, element_name};
    use record::code::NatEvent;
    use record::{Addr, Field};

    /// Every record is a flow, whole, with the event it is.
    #[test]
    fn each_event_is_one_flow() {
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        for (n, (event, version, datagram)) in datagrams().iter().enumerate() {
            let outcome = decoder.decode(Addr::V4(1), AT_MS, datagram, &mut sink);
            assert_eq!((outcome.flows, outcome.error), (1, None), "{} over {version}", event.name);
            let flow = &sink.flows[n];
            let sent = event.get(230).map(Value::number);
            assert_eq!(flow.as_row().u64(Field::NatEvent), sent, "{}", event.name);
            let time = if sent.is_some() { Field::NatEventTime } else { Field::FwEventTime };
            let is_event = sent.is_some() || [233, 40005].iter().any(|id| event.get(*id).is_some());
            assert_eq!(flow.has(time), is_event, "{}", event.name);
            assert!(flow.number(Field::Last) > AT_MS - 10_000, "{}: dated", event.name);
        }
        assert_eq!(decoder.counters().odd_lengths, 0);
        for unknown in decoder.unknown_elements() {
            assert!(unknown.name.is_some(), "{unknown:?}");
        }
    }

    #[test]
    fn all_events_of_the_rfc_are_there_and_have_names() {
        let sent: std::collections::BTreeSet<_> =
            rfc8158().iter().filter_map(|e| e.get(230).map(Value::number)).collect();
        assert!(sent.iter().copied().eq(1..=18));
        for event in 1..=18 {
            assert!(NatEvent(event).name().is_some() && NatEvent(event).long_name().is_some());
        }
        for event in events() {
            for value in event.values {
                assert!(element_name(value.pen, value.id).is_some(), "{value:?}");
            }
        }
    }

    #[test]
    fn every_cut_is_survived() {
        for (event, _, datagram) in datagrams() {
            for len in 0..datagram.len() {
                let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
                let outcome = decoder.decode(Addr::V4(1), AT_MS, &datagram[..len], &mut sink);
                // v9 pads its sets: the padding may be missing.
                assert!(outcome.flows == 0 || datagram.len() - len < 4, "{} at {len}", event.name);
            }
        }
    }
}
