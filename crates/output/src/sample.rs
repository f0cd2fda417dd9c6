//! Records that tests of several modules print.

use record::{Addr, Field, Flow};
use std::net::IpAddr;

/// 2026-11-20 10:00:00 UTC.
pub(crate) const TEN: u64 = 1_795_168_800_000;

/// A flow of these numbers and addresses.
pub(crate) fn flow(numbers: &[(Field, u64)], addrs: &[(Field, &str)]) -> Flow {
    let mut flow = Flow::new();
    for (field, n) in numbers {
        assert!(flow.set(*field, *n), "{field:?} {n}");
    }
    for (field, text) in addrs {
        flow.set_addr(*field, addr(text));
    }
    flow
}

pub(crate) fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<IpAddr>().unwrap())
}

/// A NetFlow v9 record with most of what a router can say.
pub(crate) fn rich() -> Flow {
    use Field::*;
    flow(
        &[
            (EngineId, 9),
            (EngineType, 0),
            (ExporterId, 1),
            (Source, 9),
            (First, TEN + 1000),
            (Last, TEN + 61_000),
            (Received, 1_795_244_010_099),
            (Packets, 100),
            (Bytes, 123_456),
            (SrcPort, 1234),
            (DstPort, 8080),
            (Proto, 6),
            (TcpFlags, 0x1b),
            (FwdStatus, 64),
            (SrcTos, 16),
            (Input, 11),
            (Output, 12),
            (SrcMask, 24),
            (DstMask, 16),
            (Direction, 1),
            (DstTos, 8),
            (BiflowDir, 0),
            (EndReason, 3),
            (Flows, 1),
            (OutPackets, 90),
            (OutBytes, 654_321),
            (SrcVlan, 100),
            (DstVlan, 0),
            (SrcAs, 64_500),
            (DstAs, 4_200_000_001),
            (Mpls1, 1000 << 4 | 3 << 1),
            (Mpls2, 2000 << 4 | 1),
            (InSrcMac, 0x0011_2233_4455),
            (OutDstMac, 0x6677_8899_aabb),
            (InDstMac, 0x0a0b_0c0d_0e0f),
            (OutSrcMac, 0x0204_0608_0a0c),
            (NextAs, 64_777),
            (PrevAs, 64_666),
            (ClientLatency, 1500),
            (ServerLatency, 2500),
            (AppLatency, 1_003_500),
            (IngressVrf, 3),
            (EgressVrf, 4),
            (EtherType, 0x800),
            (FragmentFlags, 0x40),
            (MinTtl, 60),
            (MaxTtl, 64),
        ],
        &[
            (SrcAddr, "10.9.0.1"),
            (DstAddr, "192.0.2.99"),
            (BgpNextHop, "10.8.0.254"),
            (NextHop, "10.9.0.254"),
            (Router, "127.0.0.1"),
        ],
    )
}

/// Four flows as a v5 router sends them: TCP, UDP, ICMP, and one of many gigabytes.
pub(crate) fn four() -> Vec<Flow> {
    use Field::*;
    let line = |first, ms, proto, ports: (u64, u64), packets, bytes, flags| {
        vec![
            (First, TEN + first),
            (Last, TEN + first + ms),
            (Proto, proto),
            (SrcPort, ports.0),
            (DstPort, ports.1),
            (Packets, packets),
            (Bytes, bytes),
            (TcpFlags, flags),
        ]
    };
    let addrs = |src, dst| [(SrcAddr, src), (DstAddr, dst)];
    vec![
        flow(
            &line(0, 12_345, 6, (51_000, 443), 1200, 1_500_000, 0x1b),
            &addrs("10.1.0.5", "192.0.2.80"),
        ),
        flow(&line(2000, 30, 17, (40_001, 53), 1, 71, 0), &addrs("10.1.0.5", "198.51.100.53")),
        flow(&line(3000, 4000, 1, (0, 0x800), 5, 420, 0), &addrs("10.1.0.7", "192.0.2.1")),
        flow(
            &line(7000, 97_200_000, 6, (51_001, 80), 3_000_000, 4_200_000_000, 0x1b),
            &addrs("10.1.0.5", "192.0.2.81"),
        ),
    ]
}

/// IPv6: UDP and neighbour solicitation.
pub(crate) fn six() -> Vec<Flow> {
    use Field::*;
    let line = |first, ms, proto, ports: (u64, u64), packets, bytes| {
        vec![
            (First, TEN + first),
            (Last, TEN + first + ms),
            (Proto, proto),
            (SrcPort, ports.0),
            (DstPort, ports.1),
            (Packets, packets),
            (Bytes, bytes),
        ]
    };
    vec![
        flow(
            &line(2000, 500, 17, (5353, 53), 3, 900),
            &[(SrcAddr, "2001:db8:1:2:3:4:5:6"), (DstAddr, "2001:db8::53")],
        ),
        flow(
            &line(3000, 1000, 58, (0, 135 << 8), 2, 144),
            &[(SrcAddr, "2001:db8::a"), (DstAddr, "2001:db8::b")],
        ),
    ]
}

/// A firewall event and a NAT event.
pub(crate) fn events() -> Vec<Flow> {
    use Field::*;
    let mut firewall = flow(
        &[
            (RecordFlags, 1),
            (Source, 9),
            (ExporterId, 1),
            (First, TEN + 5123),
            (Last, TEN + 5123),
            (Proto, 6),
            (SrcPort, 3333),
            (DstPort, 443),
            (FwEventTime, TEN + 5123),
            (ConnId, 777),
            (FwEvent, 1),
            (FwXEvent, 1001),
            (XlateSrcPort, 60_001),
            (XlateDstPort, 443),
        ],
        &[
            (SrcAddr, "10.9.0.7"),
            (DstAddr, "203.0.113.5"),
            (XlateSrcAddr, "198.51.100.7"),
            (XlateDstAddr, "203.0.113.5"),
        ],
    );
    firewall.set_bytes(IngressAcl, &[0, 0, 0xaa, 0xaa, 0, 0, 0xbb, 0xbb, 0, 0, 0xcc, 0xcc]);
    firewall.set_bytes(EgressAcl, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    firewall.set_bytes(Username, b"alice");
    let nat = flow(
        &[
            (RecordFlags, 1),
            (Source, 9),
            (First, TEN + 6007),
            (Last, TEN + 6007),
            (Proto, 17),
            (SrcPort, 4444),
            (DstPort, 80),
            (XlateSrcPort, 61_000),
            (XlateDstPort, 80),
            (NatEventTime, TEN + 6007),
            (NatPool, 5),
            (NatEvent, 4),
            (PblockStart, 1024),
            (PblockEnd, 2047),
            (PblockStep, 1),
            (PblockSize, 1024),
            (IngressVrf, 30),
            (EgressVrf, 40),
        ],
        &[
            (SrcAddr, "10.9.0.8"),
            (DstAddr, "203.0.113.6"),
            (XlateSrcAddr, "198.51.100.8"),
            (XlateDstAddr, "203.0.113.6"),
        ],
    );
    vec![firewall, nat]
}

/// What a format prints of these flows, in UTC: header, records, footer.
pub(crate) fn printed(spec: &str, flows: &[Flow]) -> String {
    printed_with(spec, flows, crate::FormatOptions::default())
}

pub(crate) fn printed_with(spec: &str, flows: &[Flow], options: crate::FormatOptions) -> String {
    let options = crate::FormatOptions { time_zone: crate::TimeZone::Utc, ..options };
    let format = crate::Format::parse(spec, &options).unwrap();
    let mut printer = format.printer();
    let mut out = Vec::new();
    printer.header(&mut out);
    for (i, flow) in flows.iter().enumerate() {
        if i > 0 {
            printer.separator(&mut out);
        }
        let context = crate::RecordContext::new("lab-v9", i as u64 + 1);
        printer.record(flow.as_row(), &context, &mut out);
    }
    printer.footer(&mut out);
    String::from_utf8(out).unwrap()
}

/// Flows of every field at random: each is absent, 0, at its largest, or something between, and
/// text and octets are hostile.
pub(crate) fn random(count: usize) -> Vec<Flow> {
    use record::Kind;
    let mut x = 0x2545_f491_4f6c_dd1du64;
    let mut next = move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let hostile: [&[u8]; 8] = [
        b"alice",
        b"\"},{\"x\":\"",
        b"a,b\r\nc\x1b[2J",
        b"\xff\xfe\xc3(",
        b"back\\slash \"quoted\"",
        "Zürich \u{202e} \u{2028}".as_bytes(),
        b"\x01\x7f\x80",
        b" blank ends ",
    ];
    let mut make = || {
        let mut flow = Flow::new();
        let density = next() % 4;
        for field in Field::ALL.iter().copied().filter(|f| !f.is_derived()) {
            if next() % 4 < density {
                continue;
            }
            let n = match next() % 4 {
                0 => 0,
                1 => u64::MAX,
                _ => next() >> (next() % 64),
            };
            match field.kind() {
                Kind::Addr if next() % 2 == 0 => flow.set_addr(field, Addr::V4(n as u32)),
                Kind::Addr => {
                    flow.set_addr(field, Addr::V6(u128::from(n) << 64 | u128::from(next())));
                }
                Kind::Text(_) => {
                    flow.set_bytes(field, hostile[n as usize % hostile.len()]);
                }
                // For the protocol stands before the payloads.
                Kind::Bytes if next() % 4 == 0 => {
                    flow.set(Field::Proto, 6);
                    flow.set_bytes(field, &crate::tls::tests::HELLO);
                }
                Kind::Bytes => {
                    flow.set_bytes(field, &n.to_be_bytes()[..1 + n as usize % 8]);
                }
                Kind::Acl => {
                    flow.set_bytes(field, &[n as u8; 12]);
                }
                kind => {
                    let bits = 8 * u32::from(kind.width().unwrap());
                    flow.set(field, n & u64::MAX >> (64 - bits));
                }
            }
        }
        flow
    };
    (0..count).map(|_| make()).collect()
}

/// An address book of a few rules: hosts of 10.0.0.0/8 and 2001:db8::/32 are in Switzerland and
/// in AS 64500 or 64501 by their last bit, 192.0.2.99 is an exit of Tor for an hour, the rest is
/// not known.
#[derive(Debug, Default)]
pub(crate) struct Atlas {
    /// Knows nothing.
    pub(crate) is_blank: bool,
}

impl Atlas {
    fn last_bit(&self, addr: Addr) -> Option<u32> {
        match addr {
            Addr::V4(n) if n >> 24 == 10 && !self.is_blank => Some(n & 1),
            Addr::V6(n) if n >> 96 == 0x2001_0db8 && !self.is_blank => Some(n as u32 & 1),
            _ => None,
        }
    }
}

impl record::AddressBook for Atlas {
    fn country(&self, addr: Addr) -> record::Country {
        let known = self.last_bit(addr).and_then(|_| record::Country::parse("CH"));
        known.unwrap_or_default()
    }

    fn asn(&self, addr: Addr) -> u32 {
        self.last_bit(addr).map_or(0, |bit| 64_500 + bit)
    }

    fn organisation(&self, asn: u32) -> Option<&str> {
        (asn == 64_501).then_some("Example, \"Inc\"")
    }

    fn location(&self, addr: Addr) -> Option<String> {
        self.last_bit(addr).map(|_| "Europe/CH/Zürich, long/lat: 8.5/47.4".to_string())
    }

    fn networks_of_countries(&self, _: &dyn Fn(record::Country) -> bool) -> record::Networks {
        record::Networks::default()
    }

    fn networks_of_systems(&self, _: &dyn Fn(u32) -> bool) -> record::Networks {
        record::Networks::default()
    }

    fn tor_exits(&self) -> &[record::TorExit] {
        const EXIT: record::TorExit = record::TorExit {
            addr: Addr::V4(0xc000_0263),
            since_ms: TEN,
            until_ms: TEN + 3_600_000,
        };
        if self.is_blank { &[] } else { &[EXIT] }
    }

    fn has_countries(&self) -> bool {
        !self.is_blank
    }

    fn has_systems(&self) -> bool {
        !self.is_blank
    }
}
