//! The filter asked of one row, straight from the tree: no preparation, no offsets. What the
//! kernels of `select.rs` must agree with, and what runs where they do not apply.

use crate::Context;
use crate::ast::{Cmp, Expr, Kind, Known, Term, Value};
use crate::message;
use crate::primitive::{Rate, Test};
use crate::program::{address_of, country_of};
use record::code::Proto;
use record::{Addr, Country, Field, Networks, Row};

pub(crate) fn matches(expr: &Expr, row: Row<'_>, ctx: &Context<'_>) -> bool {
    match &expr.kind {
        Kind::Term(t) => term(t, row, ctx),
        Kind::Not(inner) => !matches(inner, row, ctx),
        Kind::And(all) => all.iter().all(|e| matches(e, row, ctx)),
        Kind::Or(all) => all.iter().any(|e| matches(e, row, ctx)),
    }
}

fn term(term: &Term, row: Row<'_>, ctx: &Context<'_>) -> bool {
    let value = &term.value;
    let fields = term.phrase.fields;
    let proto = || row.u64(Field::Proto).map(|p| Proto(p as u8));
    let some = |test: &dyn Fn(Field) -> bool| fields.iter().any(|f| test(*f));
    let number = |of: &dyn Fn(u64) -> Option<u64>| {
        some(&|f| row.u64(f).and_then(of).is_some_and(|n| holds(value, n, row)))
    };
    match term.phrase.line().test {
        Test::Always => true,
        Test::Width(octets) => {
            some(&|f| row.addr(f).is_some_and(|a| a.width() == usize::from(octets)))
        }
        Test::Ident => matches!(value, Value::Text(text) if **text == *ctx.ident),
        Test::Count => holds(value, ctx.first_count, row),
        Test::Value => number(&Some),
        Test::System => some(&|f| match row.number(f) {
            0 => nameless(term, address_of(&f).and_then(|f| row.addr(f)), row),
            number => holds(value, number, row),
        }),
        Test::Country => some(&|f| {
            let said = country_of(&f).and_then(|f| row.u64(f));
            said.is_some_and(|n| *value == Value::Country(Country(n as u16)))
                || row.addr(f).is_some_and(
                    |a| matches!(&term.known, Known::Within(networks) if contain(networks, a)),
                )
        }),
        Test::PfDir => {
            some(&|f| row.u64(f).is_some_and(|n| (n == 1) == (*value == Value::Number(Cmp::Eq, 1))))
        }
        Test::Content => some(&|f| match (value, row.bytes(f)) {
            (Value::Text(text), Some(octets)) => {
                text.is_empty() || octets.windows(text.len()).any(|w| w == text.as_bytes())
            }
            _ => false,
        }),
        Test::Regex => some(&|f| match (value, row.bytes(f)) {
            (Value::Regex(pattern), Some(octets)) => pattern.regex.is_match(octets),
            _ => false,
        }),
        Test::Message(part) => some(&|f| message::has(part, value, row, f)),
        Test::Icmp => proto().is_some_and(Proto::is_icmp) && number(&Some),
        Test::Tcp => proto() == Some(Proto::TCP) && number(&Some),
        Test::Addr => some(&|f| {
            row.addr(f).is_some_and(|a| match value {
                Value::Net(net) => net.contains(a),
                Value::Nets(list) => list.iter().any(|net| net.contains(a)),
                Value::Tor => was_exit(&term.known, a, row),
                _ => false,
            })
        }),
        Test::Text => {
            some(&|f| matches!(value, Value::Text(text) if row.text(f) == Some(text.as_bytes())))
        }
        Test::Acl => some(&|f| acl_ids(row, f).any(|id| holds(value, id, row))),
        Test::Label => number(&|n| Some(n >> 4)),
        Test::UsedLabel => number(&|n| (n != 0).then_some(n >> 4)),
        Test::BottomLabel => number(&|n| (n & 1 == 1).then_some(n >> 4)),
        Test::Exp => number(&|n| Some(n >> 1 & 7)),
        Test::TtlEqual => {
            let ttl = row.u64(Field::MinTtl);
            ttl.is_some() && ttl == row.u64(Field::MaxTtl)
        }
        Test::Rate(rate) => holds(value, computed(rate, row), row),
    }
}

/// Whether a number of the record suits the operand.
fn holds(value: &Value, number: u64, row: Row<'_>) -> bool {
    match value {
        Value::Number(cmp, n) => cmp.holds(number, *n),
        Value::Time(cmp, stamp) => cmp.holds(number, stamp.ms),
        Value::Numbers(list) => list.contains(&number),
        Value::Flags { bits, exact } => {
            let bits = u64::from(*bits);
            number & if *exact { u64::MAX } else { bits } == bits
        }
        Value::Block => {
            let (start, end) = (row.u64(Field::PblockStart), row.u64(Field::PblockEnd));
            start.is_some_and(|s| Cmp::Ge.holds(number, s))
                && end.is_some_and(|e| Cmp::Le.holds(number, e))
        }
        Value::None
        | Value::Net(_)
        | Value::Nets(_)
        | Value::Text(_)
        | Value::Country(_)
        | Value::Tor
        | Value::Regex(_)
        | Value::Ja3(_)
        | Value::Ja4(_) => false,
    }
}

/// Whether a record without the number of a system suits the operand: what is known of its address
/// decides, or the number 0.
fn nameless(term: &Term, addr: Option<Addr>, row: Row<'_>) -> bool {
    let within = |networks| addr.is_some_and(|a| contain(networks, a));
    match &term.known {
        Known::Within(networks) => within(networks),
        Known::Outside(networks) => !within(networks),
        _ => holds(&term.value, 0, row),
    }
}

fn contain(networks: &Networks, addr: Addr) -> bool {
    match addr {
        Addr::V4(n) => networks.v4.iter().any(|r| r.0 <= n && n <= r.1),
        Addr::V6(n) => networks.v6.iter().any(|r| r.0 <= n && n <= r.1),
    }
}

fn was_exit(known: &Known, addr: Addr, row: Row<'_>) -> bool {
    let Known::Exits(exits) = known else { return false };
    let (first, last) = times(row);
    exits.iter().any(|e| e.addr == addr && e.covers(first, last))
}

/// Start and end of a flow; the end is not before the start.
pub(crate) fn times(row: Row<'_>) -> (u64, u64) {
    let first = row.number(Field::First);
    (first, row.number(Field::Last).max(first))
}

fn acl_ids(row: Row<'_>, field: Field) -> impl Iterator<Item = u64> {
    let ids = row.bytes(field).filter(|b| b.len() == 12).unwrap_or(&[]);
    ids.chunks_exact(4).map(|id| id.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Quotients of counters, rounded down; saturate at the largest number.
fn computed(rate: Rate, row: Row<'_>) -> u64 {
    let packets = row.number(Field::Packets);
    let bytes = row.number(Field::Bytes);
    match rate {
        Rate::Duration => row.duration_ms(),
        Rate::Pps => quotient(1000, packets, row.duration_ms()),
        Rate::Bps => quotient(8000, bytes, row.duration_ms()),
        Rate::Bpp => quotient(1, bytes, packets),
    }
}

/// `factor * count / divisor`, 0 for a divisor of 0.
fn quotient(factor: u64, count: u64, divisor: u64) -> u64 {
    if divisor == 0 {
        return 0;
    }
    match count.checked_mul(factor) {
        Some(all) => all / divisor,
        // Division of 128 bits is many times as slow.
        None => {
            let all = u128::from(count) * u128::from(factor);
            u64::try_from(all / u128::from(divisor)).unwrap_or(u64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, Filter, ParseOptions, Zone};
    use record::{Addr, Field, Flow, RowRef, Rows, Selection, ShapeTable};
    use std::net::IpAddr;

    const T0: u64 = 1_795_168_800_000; // 2026-11-20T10:00:00Z

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    /// A TCP flow with counters, addresses and ports, as every exporter sends it.
    fn tcp() -> Flow {
        let mut flow = Flow::new();
        for (field, n) in [
            (Field::First, T0),
            (Field::Last, T0 + 2000),
            (Field::Packets, 10),
            (Field::Bytes, 5001),
            (Field::SrcPort, 50_000),
            (Field::DstPort, 443),
            (Field::Proto, 6),
            (Field::TcpFlags, 0x12),
            (Field::SrcTos, 8),
            (Field::ExporterId, 2),
        ] {
            assert!(flow.set(field, n));
        }
        flow.set_addr(Field::SrcAddr, addr("10.1.2.3"));
        flow.set_addr(Field::DstAddr, addr("192.0.2.1"));
        flow
    }

    /// ICMPv6 with everything that is rare.
    fn rich() -> Flow {
        let mut flow = Flow::new();
        for (field, n) in [
            (Field::First, T0 + 5),
            (Field::Last, T0),
            (Field::Packets, 0),
            (Field::Bytes, u64::MAX),
            (Field::DstPort, 128 * 256 + 1),
            (Field::SrcPort, 5000),
            (Field::Proto, 58),
            (Field::TcpFlags, 2),
            (Field::Flows, 4),
            (Field::OutBytes, 7),
            (Field::SrcAs, 64_500),
            (Field::DstAs, 0),
            (Field::VlanId, 100),
            (Field::Mpls1, 1000 << 4 | 5 << 1),
            (Field::Mpls2, 2000 << 4 | 1),
            (Field::Mpls3, 0),
            (Field::InSrcMac, 0x0011_2233_4455),
            (Field::FwEvent, 3),
            (Field::FwXEvent, 1001),
            (Field::NatEvent, 4),
            (Field::PblockStart, 4096),
            (Field::PblockEnd, 5119),
            (Field::MinTtl, 64),
            (Field::MaxTtl, 64),
            (Field::EngineId, 7),
            (Field::ClientLatency, 1500),
        ] {
            assert!(flow.set(field, n), "{field:?}");
        }
        flow.set_addr(Field::SrcAddr, addr("2001:db8::1"));
        flow.set_addr(Field::DstAddr, addr("::ffff:10.1.2.3"));
        flow.set_addr(Field::XlateSrcAddr, addr("198.51.100.7"));
        flow.set_addr(Field::NextHop, addr("10.9.0.1"));
        assert!(flow.set_bytes(Field::IngressAcl, &[0, 0, 0, 1, 0xaa, 0xaa, 0, 0, 0, 0, 0, 3]));
        assert!(flow.set_bytes(Field::Username, b"alice\0"));
        flow
    }

    /// Filter, whether the plain flow passes, whether the rich one does.
    #[rustfmt::skip]
    const CASES: &[(&str, bool, bool)] = &[
        ("any", true, true), ("", true, true), ("# nothing", true, true), ("not any", false, false),
        ("ipv4", true, false), ("ipv6", false, true),
        ("ident lab", true, true), ("ident Lab", false, false), ("count 7", true, true), ("cnt < 7", false, false),
        ("proto t", true, false), ("proto icmp6", false, true), ("tun proto gre", false, false),
        // Either port, also with comparators; `not` is neither.
        ("port 443", true, false), ("port > 49999", true, false), ("not port 443", false, true), ("src port 443", false, false),
        ("dst port=443", true, false), ("port in [80, 443]", true, false), ("port in nat pblock", false, true),
        ("dst port in nat pblock", false, false), ("dst port 32769", false, true),
        ("icmp-type 128", false, true), ("icmp code 1", false, true), ("icmp type 1", false, false),
        // Flags and ICMP ask the protocol too: the ICMP flow has flags 2.
        ("flags S", true, false), ("flags SA", true, false), ("flags =S", false, false), ("flags =SA", true, false),
        ("flags AS", true, false), ("flags 0x12", true, false), ("flags < 3", false, false), ("not flags S", false, true),
        ("flags S and not flags AFRPU", true, false),
        ("tos 8", true, false), ("dst tos 0", false, false), ("src tos 0", false, false),
        // What a record lacks is false, whatever the comparator, and its negation true.
        ("flows 1", false, false), ("flows < 5", false, true), ("not flows 1", true, true), ("flows >= 0", false, true),
        ("out bytes < 8", false, true), ("in bytes 5001", true, false), ("in src mac 0:11:22:33:44:55", false, true),
        ("not in src mac 0:11:22:33:44:55", true, false), ("out mac 0:11:22:33:44:55", false, false), ("mac 00:11:22:33:44:55", false, true),
        // A missing AS is 0.
        ("src as 0", true, false), ("as 0", true, true), ("as 64500", false, true), ("dst as < 1", true, true),
        ("as in [0 5]", true, true), ("prev as 0", false, false),
        // Computed: times out of order are 0, and so is a quotient by 0.
        ("duration 2000", true, false), ("duration = 0", false, true), ("pps = 5", true, false), ("bps = 20004", true, false),
        ("bps > 20004", false, false), ("bpp = 500", true, false), ("bpp 0", false, true), ("pps < 6", true, true),
        // Addresses.
        ("ip 10.1.2.3", true, false), ("host ::ffff:10.1.2.3", false, true), ("dst ip 10.1.2.3", false, false),
        ("net 10.9.9.9/8", true, false), ("net 10/8", true, false), ("net 0.0.0.0/0", true, false), ("net ::/0", false, true),
        ("src net 10.0.2.0 255.0.255.0", true, false), ("src net 10.0.3.0 255.0.255.0", false, false),
        ("ip in [10.1.0.0/16 10.0.0.0/8]", true, false), ("ip in [10.9.0.0/16, 10.0.0.0/8, 2001:db8::/32]", true, true),
        ("ip in [0.0.0.0/0]", true, false), ("nat ip 198.51.100.7", false, true), ("next net 10.9.0.0/16", false, true),
        ("xlate port 1", false, false), ("not nat ip 1.1.1.1", true, true),
        ("vlan 100", false, true), ("dst vlan 100", false, false), ("vlan 65636", false, false),
        // Labels count from 1; the third entry is not in use.
        ("mpls label1 1000", false, true), ("mpls label2 2000", false, true), ("mpls exp1 5", false, true), ("mpls eos 2000", false, true),
        ("mpls eos 1000", false, false), ("mpls any 2000", false, true), ("mpls any 0", false, false), ("mpls label3 0", false, true),
        ("asa event deny", false, true), ("asa event denied", false, true), ("asa event denied ingress", false, true),
        ("asa denied egress", false, false), ("asa xevent > 1000", false, true), ("asa user alice", false, true), ("asa user ALICE", false, false),
        ("ingress acl 1", false, true), ("ingress acl 0xaaaa0000", false, true), ("egress acl 1", false, false), ("ingress acl 2", false, false),
        ("nat event ADD44", false, true), ("nat pblock start 4096", false, true),
        ("ttl equal", false, true), ("ttl 64", false, true), ("min ttl > 64", false, false),
        ("engine id 7", false, true), ("exporter id 2", true, false), ("client latency > 1k", false, true),
        ("first seen 2026-11-20T10", true, false), ("last seen > 2026-11-20T10:00:01.999", true, false), ("first seen < 2026-11-20T10", false, false),
        // `and` binds tighter than `or`, `not` tightest.
        ("ipv6 or ipv4 and proto udp", false, true), ("(ipv6 or ipv4) and proto udp", false, false),
        ("not proto tcp and ipv4", false, false), ("not (proto tcp and ipv6)", true, true), ("not not ipv4", true, false), ("!ipv4", false, true),
    ];

    #[test]
    fn filters_mean_what_they_say() {
        let options = ParseOptions { zone: Zone::Utc, ..Default::default() };
        let ctx = Context { ident: "lab", first_count: 7 };
        let flows = [tcp(), rich()];
        for &(text, plain, rich) in CASES {
            let filter = Filter::parse_with(text, &options).unwrap_or_else(|e| panic!("{e}"));
            for (flow, want) in flows.iter().zip([plain, rich]) {
                assert_eq!(filter.matches(flow.as_row(), &ctx), want, "{text} by row");
                assert_eq!(by_batch(&filter, flow, &ctx), want, "{text} by batch");
            }
        }
    }

    fn by_batch(filter: &Filter, flow: &Flow, ctx: &Context<'_>) -> bool {
        let mut table = ShapeTable::new();
        let shape = table.push(flow.as_row().shape().clone()).unwrap();
        let bytes = flow.as_row().as_bytes();
        let index = [RowRef { at: 0, len: bytes.len() as u16, shape }];
        let mut out = Selection::default();
        filter.evaluator().select(&Rows { bytes, index: &index, table: &table }, ctx, &mut out);
        out.contains(0)
    }

    #[test]
    fn quotients_round_down_and_saturate() {
        for (factor, count, divisor, want) in [
            (1000, 10, 3, 3333),
            (8000, 1, 0, 0),
            (8000, u64::MAX, 1, u64::MAX),
            (8000, u64::MAX, 8000, u64::MAX),
            (8000, u64::MAX, 16_000, u64::MAX / 2),
        ] {
            assert_eq!(super::quotient(factor, count, divisor), want, "{factor} {count} {divisor}");
        }
    }
}
