//! Filters as predicates on the columns of the dataset.
//!
//! What a record lacks is NULL, and a comparison with NULL is neither true nor false. That suits a
//! filter as long as nothing turns it round: AND and OR let a row through exactly if they would
//! with FALSE in the place of NULL. So only what stands behind `not` is made FALSE by hand.

use super::{Engine, SqlError};
use crate::schema::{self, Type};
use filter::Expr;
use filter::tree::{Cmp, Kind, Net, Rate, Term, Test, Value};
use record::Field;

/// Ranges and numbers a list may have: engines read statements by recursive descent.
const MAX_LIST: usize = 2000;

/// The predicate of a filter.
pub(super) fn of(engine: Engine, expr: &Expr) -> Result<String, SqlError> {
    let joined = |all: &[Expr], word: &str| {
        let parts: Result<Vec<_>, _> = all.iter().map(|e| of(engine, e)).collect();
        Ok(format!("({})", parts?.join(word)))
    };
    match expr.kind() {
        Kind::Term(term) => Predicate { engine, term }
            .of()
            .map_err(|why| SqlError::Filter { term: term.to_string(), why }),
        Kind::Not(inner) => Ok(format!("NOT COALESCE({}, FALSE)", of(engine, inner)?)),
        Kind::And(all) => joined(all, " AND "),
        Kind::Or(all) => joined(all, " OR "),
    }
}

/// The column of a field that is one column.
pub(super) fn column(field: Field) -> Option<&'static str> {
    schema::of(field).next().map(|c| c.name)
}

/// The column of this kind of an address.
pub(super) fn address(field: Field, kind: Type) -> Option<&'static str> {
    schema::of(field).find(|c| c.kind == kind).map(|c| c.name)
}

/// A duration in milliseconds, never NULL.
pub(super) fn duration(engine: Engine, first: &str, last: &str) -> String {
    format!("COALESCE(GREATEST({} - {}, 0), 0)", engine.millis(last), engine.millis(first))
}

/// Why there is no predicate.
type Refused = &'static str;

/// One question of a filter.
struct Predicate<'a> {
    engine: Engine,
    term: &'a Term,
}

impl Predicate<'_> {
    fn of(&self) -> Result<String, Refused> {
        let engine = self.engine;
        let by_field = |make: &dyn Fn(Field) -> Result<String, Refused>| {
            let all: Result<Vec<_>, _> = self.term.fields().iter().map(|f| make(*f)).collect();
            Ok(either(all?))
        };
        match self.term.test() {
            Test::Always => Ok("TRUE".to_owned()),
            Test::Width(octets) => by_field(&|f| Ok(width(octets, f))),
            Test::Value => by_field(&|f| self.value(f)),
            Test::System if self.term.is_looked_up() => Err("systems are looked up in a database"),
            Test::System => by_field(&|f| self.number(&format!("COALESCE({}, 0)", name(f)?))),
            Test::PfDir => by_field(&|f| {
                let is_in = matches!(self.term.value(), Value::Number(Cmp::Eq, 1));
                Ok(format!("{} {} 1", name(f)?, if is_in { "=" } else { "<>" }))
            }),
            Test::Icmp => by_field(&|f| {
                let asked = self.number(&self.icmp(f)?)?;
                Ok(format!("(proto IN (1, 58) AND {asked})"))
            }),
            Test::Tcp => by_field(&|f| Ok(format!("(proto = 6 AND {})", self.value(f)?))),
            Test::Addr => by_field(&|f| self.address(f)),
            Test::Text => by_field(&|f| match self.term.value() {
                Value::Text(text) => {
                    let text = engine.text(text, "text").map_err(|_| "control characters")?;
                    Ok(format!("{} = {text}", name(f)?))
                }
                _ => Err("an operand of another kind"),
            }),
            Test::Acl => by_field(&|f| self.acl(f)),
            Test::Label => by_field(&|f| self.number(&engine.quotient(name(f)?, "16"))),
            Test::UsedLabel => by_field(&|f| {
                let label = self.number(&engine.quotient(name(f)?, "16"))?;
                Ok(format!("({} <> 0 AND {label})", name(f)?))
            }),
            Test::BottomLabel => by_field(&|f| {
                let label = self.number(&engine.quotient(name(f)?, "16"))?;
                Ok(format!("({} % 2 = 1 AND {label})", name(f)?))
            }),
            Test::Exp => {
                by_field(&|f| self.number(&format!("({}) % 8", engine.quotient(name(f)?, "2"))))
            }
            Test::TtlEqual => Ok("min_ttl = max_ttl".to_owned()),
            Test::Rate(rate) => self.number(&computed(engine, rate)),
            Test::Ident => Err("the dataset does not keep the ident of files"),
            Test::Count => Err("rows of a table have no running number"),
            Test::Country => Err("countries are looked up in a database"),
            Test::Content | Test::Regex | Test::Message(_) => Err("payloads are no columns to ask"),
        }
    }

    /// A field compared as it is.
    fn value(&self, field: Field) -> Result<String, Refused> {
        let kind = schema::of(field).next().map(|c| c.kind);
        match (kind, self.term.value()) {
            (Some(Type::Timestamp), Value::Time(cmp, stamp)) => {
                Ok(format!("{} {cmp} {}", name(field)?, self.engine.time(stamp.ms())))
            }
            (Some(Type::Mac), Value::Number(Cmp::Eq, mac)) => {
                let [_, _, octets @ ..] = mac.to_be_bytes();
                Ok(format!("{} = {}", name(field)?, self.engine.octets(&octets)))
            }
            (Some(Type::Int32 | Type::Int64), _) => self.number(name(field)?),
            _ => Err("an operand of another kind"),
        }
    }

    /// An expression of a number compared to the operand.
    fn number(&self, of: &str) -> Result<String, Refused> {
        Ok(match self.term.value() {
            Value::Number(cmp, n) => match cmp {
                // Columns are signed: numbers of 2^63 and above keep their bits.
                Cmp::Eq => format!("{of} = {}", *n as i64),
                cmp => format!("{of} {cmp} {}", (*n).min(i64::MAX as u64)),
            },
            Value::Numbers(list) => {
                if list.len() > MAX_LIST {
                    return Err("the list has more than 2000 numbers");
                }
                let list: Vec<_> = list.iter().map(|n| (*n as i64).to_string()).collect();
                format!("{of} IN ({})", list.join(", "))
            }
            Value::Flags { bits, exact: true } => format!("{of} = {bits}"),
            Value::Flags { bits, exact: false } => {
                format!("{} = {bits}", self.engine.common_bits(of, u64::from(*bits)))
            }
            Value::Block => format!("({of} >= pblock_start AND {of} <= pblock_end)"),
            _ => return Err("an operand of another kind"),
        })
    }

    /// Type or code of ICMP, which lie in the destination port.
    fn icmp(&self, field: Field) -> Result<String, Refused> {
        match field {
            Field::IcmpType => Ok(self.engine.quotient("dst_port", "256")),
            Field::IcmpCode => Ok("dst_port % 256".to_owned()),
            _ => Err("another part of a port"),
        }
    }

    /// One of three ids of 32 bits; as hexadecimal text of one length they compare as numbers do.
    fn acl(&self, field: Field) -> Result<String, Refused> {
        let Value::Number(cmp, n) = self.term.value() else {
            return Err("an operand of another kind");
        };
        let column = name(field)?;
        let id = |at| format!("SUBSTRING(hex({column}), {at}, 8) {cmp} '{n:08X}'");
        Ok(either([1, 9, 17].map(id).to_vec()))
    }

    fn address(&self, field: Field) -> Result<String, Refused> {
        let nets = match self.term.value() {
            Value::Net(net) => std::slice::from_ref(net),
            Value::Nets(list) => list.as_slice(),
            Value::Tor => return Err("exits of Tor are looked up in a list"),
            _ => return Err("an operand of another kind"),
        };
        let (Some(v16), Some(v4)) = (address(field, Type::Addr16), address(field, Type::Addr4))
        else {
            return Err("no column has it");
        };
        let Ranges { hosts4, v4: ranges4, v6, masked } = Ranges::of(nets);
        if hosts4.len() + ranges4.len() + v6.len() + masked.len() > MAX_LIST {
            return Err("the list has more than 2000 networks");
        }
        let mut parts = Vec::new();
        match hosts4.as_slice() {
            [] => {}
            [one] => parts.push(format!("{v4} = {one}")),
            all => {
                let all: Vec<_> = all.iter().map(u32::to_string).collect();
                parts.push(format!("{v4} IN ({})", all.join(", ")));
            }
        }
        parts.extend(ranges4.iter().map(|(a, b)| format!("{v4} BETWEEN {a} AND {b}")));
        parts.extend(masked.iter().map(|(addr, mask)| {
            format!("{} = {addr}", self.engine.common_bits(v4, u64::from(*mask)))
        }));
        parts.extend(v6.iter().map(|(a, b)| self.range6(v16, v4, *a, *b)));
        Ok(either(parts))
    }

    /// Addresses of IPv6 from one to another. IPv4 lies in the same column as `::ffff:a.b.c.d`.
    fn range6(&self, v16: &str, v4: &str, a: u128, b: u128) -> String {
        const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);
        let octets = |n: u128| self.engine.octets(&n.to_be_bytes());
        let inside = match a == b {
            true => format!("{v16} = {}", octets(a)),
            false => format!("{v16} BETWEEN {} AND {}", octets(a), octets(b)),
        };
        match a <= MAPPED.1 && b >= MAPPED.0 {
            true => format!("({inside} AND {v4} IS NULL)"),
            false => inside,
        }
    }
}

/// Networks by how they are asked for.
#[derive(Default)]
struct Ranges {
    hosts4: Vec<u32>,
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Masks with gaps.
    masked: Vec<(u32, u32)>,
}

impl Ranges {
    fn of(nets: &[Net]) -> Self {
        let mut all = Self::default();
        for net in nets {
            match *net {
                Net::V4 { addr, mask: u32::MAX } => all.hosts4.push(addr),
                Net::V4 { addr, mask } if mask.leading_ones() == mask.count_ones() => {
                    all.v4.push((addr, addr | !mask));
                }
                Net::V4 { addr, mask } => all.masked.push((addr, mask)),
                Net::V6 { addr, mask } => all.v6.push((addr, addr | !mask)),
            }
        }
        all.hosts4.sort_unstable();
        all.hosts4.dedup();
        all
    }
}

fn name(field: Field) -> Result<&'static str, Refused> {
    column(field).ok_or("no column has it")
}

/// Whether an address is there and of this family.
fn width(octets: u16, field: Field) -> String {
    let column = |kind| address(field, kind).unwrap_or("NULL");
    let (v16, v4) = (column(Type::Addr16), column(Type::Addr4));
    match octets {
        4 => format!("{v4} IS NOT NULL"),
        _ => format!("({v16} IS NOT NULL AND {v4} IS NULL)"),
    }
}

/// What is computed of a record: parts that it lacks are 0, and so is a quotient by 0.
fn computed(engine: Engine, rate: Rate) -> String {
    let duration = duration(engine, "flow_start", "flow_end");
    match rate {
        Rate::Duration => duration,
        Rate::Pps => rate_of(engine, &engine.product(1000, "packets"), &duration),
        Rate::Bps => rate_of(engine, &engine.product(8000, "bytes"), &duration),
        Rate::Bpp => rate_of(engine, "bytes", "packets"),
    }
}

/// A quotient, 0 where it has no value.
pub(super) fn rate_of(engine: Engine, count: &str, divisor: &str) -> String {
    let divisor = format!("NULLIF({divisor}, 0)");
    format!("COALESCE({}, 0)", engine.quotient(count, &divisor))
}

/// One of these.
fn either(mut parts: Vec<String>) -> String {
    match parts.len() {
        0 => "FALSE".to_owned(),
        1 => parts.swap_remove(0),
        _ => format!("({})", parts.join(" OR ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filter::{Filter, ParseOptions, Zone};

    fn sql(engine: Engine, text: &str) -> Result<String, SqlError> {
        let options = ParseOptions { zone: Zone::Utc, ..ParseOptions::default() };
        of(engine, Filter::parse_with(text, &options).unwrap().tree())
    }

    #[test]
    fn filters_are_predicates() {
        for (text, want) in [
            ("any", "TRUE"),
            ("proto tcp", "proto = 6"),
            ("port 80", "(src_port = 80 OR dst_port = 80)"),
            ("not port > 80", "NOT COALESCE((src_port > 80 OR dst_port > 80), FALSE)"),
            ("dst port in [80 443]", "dst_port IN (80, 443)"),
            ("src ip 10.0.0.1", "src_addr4 = 167772161"),
            ("src net 10.0.0.0/8", "src_addr4 BETWEEN 167772160 AND 184549375"),
            ("src net 10.0.2.0 255.0.255.0", "(src_addr4 & 4278255360) = 167772672"),
            ("dst ip 2001:db8::1", "dst_addr = unhex('20010DB8000000000000000000000001')"),
            (
                "dst net ::/0",
                "(dst_addr BETWEEN unhex('00000000000000000000000000000000') AND \
                 unhex('FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF') AND dst_addr4 IS NULL)",
            ),
            ("flags S", "(proto = 6 AND (tcp_flags & 2) = 2)"),
            ("flags =S", "(proto = 6 AND tcp_flags = 2)"),
            ("src as 0", "COALESCE(src_as, 0) = 0"),
            ("icmp-type 8", "(proto IN (1, 58) AND dst_port // 256 = 8)"),
            ("bytes > 18446744073709551615", "bytes > 9223372036854775807"),
            ("in src mac 02:00:00:00:00:01", "in_src_mac = unhex('020000000001')"),
            ("ttl equal", "min_ttl = max_ttl"),
            ("asa user \"a'b\"", "username = 'a''b'"),
            ("ipv6", "(src_addr IS NOT NULL AND src_addr4 IS NULL)"),
            ("first seen > 2026-11-20T10:00:00", "flow_start > '2026-11-20 10:00:00.000+00'"),
            ("mpls eos 5", "(mpls1 % 2 = 1 AND mpls1 // 16 = 5)"),
        ] {
            let found = sql(Engine::DuckDb, text).unwrap();
            // Of ten labels the first says enough.
            let found = found.strip_prefix("((mpls1").map_or_else(
                || found.clone(),
                |rest| format!("(mpls1{}", rest.split(" OR ").next().unwrap()),
            );
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn engines_differ_in_functions_alone() {
        for (engine, want) in [
            (Engine::DuckDb, "username = 'a\\''b' AND bps"),
            (Engine::Spark, "username = 'a\\\\\\'b'"),
            (Engine::ClickHouse, "username = 'a\\\\\\'b'"),
        ] {
            let want = want.trim_end_matches(" AND bps");
            assert_eq!(sql(engine, "asa user \"a\\'b\"").as_deref(), Ok(want), "{engine:?}");
        }
    }

    #[test]
    fn what_engines_cannot_be_asked_is_named() {
        for (text, named) in [
            ("port 80 and ident lab", "`ident \"lab\"`"),
            ("not count < 10", "`count < 10`"),
            ("geo CH", "`geo CH`"),
            ("ip tor", "`ip tor`"),
            ("payload content 'GET /'", "`payload content \"GET /\"`"),
            ("payload regex 'a.b'", "`payload regex \"a.b\"`"),
            ("payload dns defined", "`payload dns defined`"),
        ] {
            let error = sql(Engine::DuckDb, text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
        let long: Vec<String> =
            (0..2001).map(|n| format!("10.{}.{}.1", n / 256, n % 256)).collect();
        let error = sql(Engine::DuckDb, &format!("ip in [{}]", long.join(" "))).unwrap_err();
        assert!(error.to_string().contains("2000 networks"));
    }
}
