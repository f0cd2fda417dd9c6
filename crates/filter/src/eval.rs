//! The filter asked of one row, straight from the tree: no preparation, no offsets. What the
//! kernels of `select.rs` must agree with, and what runs where they do not apply.

use crate::Context;
use crate::ast::{Cmp, Expr, Kind, Term, Value};
use crate::primitive::{Rate, Test};
use record::code::Proto;
use record::{Field, Row};

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
        Test::ValueOrZero => some(&|f| holds(value, row.number(f), row)),
        Test::Icmp => proto().is_some_and(Proto::is_icmp) && number(&Some),
        Test::Tcp => proto() == Some(Proto::TCP) && number(&Some),
        Test::Addr => some(&|f| {
            row.addr(f).is_some_and(|a| match value {
                Value::Net(net) => net.contains(a),
                Value::Nets(list) => list.iter().any(|net| net.contains(a)),
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
        Value::None | Value::Net(_) | Value::Nets(_) | Value::Text(_) => false,
    }
}

fn acl_ids(row: Row<'_>, field: Field) -> impl Iterator<Item = u64> {
    let ids = row.bytes(field).filter(|b| b.len() == 12).unwrap_or(&[]);
    ids.chunks_exact(4).map(|id| id.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Quotients of counters, rounded down; saturate at the largest number.
pub(crate) fn computed(rate: Rate, row: Row<'_>) -> u64 {
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
    let all = u128::from(factor) * u128::from(count);
    all.checked_div(u128::from(divisor)).map_or(0, |q| u64::try_from(q).unwrap_or(u64::MAX))
}
