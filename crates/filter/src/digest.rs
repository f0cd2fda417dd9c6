//! Whether any row of many can pass, asked of what is known about them, without reading them.
//!
//! An index keeps a [`Digest`] for each stretch of a file: which fields there are, from where to
//! where numbers go, which addresses may occur. [`Filter::may_match`] walks the tree with it. Its
//! no is certain and its yes is not: what a digest does not know, and what a term asks that no
//! digest can know, may match.

use crate::Filter;
use crate::ast::{Cmp, Expr, Kind, Net, Term, Value};
use crate::primitive::{Rate, Test};
use record::code::Proto;
use record::{Addr, Field};

/// What is known about many rows. Every answer is `true` unless it is known to be wrong for each
/// of the rows.
pub trait Digest {
    /// A row has the field.
    fn has(&self, field: Field) -> bool;

    /// A row has the field, with a number from the first to the last of these.
    fn has_number(&self, field: Field, from: u64, to: u64) -> bool;

    /// A row has the field, with an address whose first `bits` bits are those of `addr`.
    fn has_address(&self, field: Field, addr: Addr, bits: u8) -> bool;

    /// A row has the field, with an address of so many octets: 4 or 16.
    fn has_width(&self, field: Field, octets: u16) -> bool;

    /// A row has both, the address in the first field and the port in the second.
    fn has_endpoint(&self, fields: (Field, Field), addr: Addr, port: u16) -> bool;
}

/// Nets of a list that are asked for one by one; a longer list may match.
const MANY: usize = 256;

/// Fields that hold the two halves of an endpoint.
const ENDPOINTS: [(Field, Field); 4] = [
    (Field::SrcAddr, Field::SrcPort),
    (Field::DstAddr, Field::DstPort),
    (Field::XlateSrcAddr, Field::XlateSrcPort),
    (Field::XlateDstAddr, Field::XlateDstPort),
];

impl Filter {
    /// Whether a row that `digest` speaks of can pass. `false` is certain.
    pub fn may_match(&self, digest: &dyn Digest) -> bool {
        may(&self.tree, digest)
    }
}

fn may(expr: &Expr, digest: &dyn Digest) -> bool {
    match &expr.kind {
        Kind::Term(t) => term(t, digest),
        // Nobody knows of each row that it passes.
        Kind::Not(inner) => match &inner.kind {
            Kind::Not(inner) => may(inner, digest),
            _ => true,
        },
        Kind::And(all) => all.iter().all(|e| may(e, digest)) && endpoints(all, digest),
        Kind::Or(all) => all.iter().any(|e| may(e, digest)),
    }
}

fn term(term: &Term, digest: &dyn Digest) -> bool {
    let (value, fields) = (&term.value, term.phrase.fields);
    let some = |test: &dyn Fn(Field) -> bool| fields.iter().any(|f| test(*f));
    let numbers = || some(&|f| has_numbers(digest, f, value));
    let is_tcp =
        || digest.has_number(Field::Proto, u64::from(Proto::TCP.0), u64::from(Proto::TCP.0));
    match term.phrase.line().test {
        Test::Value => numbers(),
        Test::Addr => some(&|f| has_addresses(digest, f, value)),
        Test::Width(octets) => some(&|f| digest.has_width(f, octets)),
        Test::Tcp => is_tcp() && some(&|f| digest.has(f)),
        Test::Icmp => {
            [Proto::ICMP, Proto::ICMP6].iter().any(|p| {
                let n = u64::from(p.0);
                digest.has_number(Field::Proto, n, n)
            }) && some(&|f| digest.has(f))
        }
        Test::Message(part) => {
            let carried = |n: &u64| digest.has_number(Field::Proto, *n, *n);
            part.protocols().iter().any(carried) && some(&|f| digest.has(f))
        }
        Test::Content
        | Test::Regex
        | Test::Text
        | Test::Acl
        | Test::Label
        | Test::UsedLabel
        | Test::BottomLabel
        | Test::Exp
        | Test::TtlEqual
        | Test::PfDir => some(&|f| digest.has(f)),
        // Rows without the fields have these values too, and books say more than rows.
        Test::Rate(Rate::Duration | Rate::Pps | Rate::Bps | Rate::Bpp)
        | Test::System
        | Test::Country
        | Test::Always
        | Test::Ident
        | Test::Count => true,
    }
}

fn has_numbers(digest: &dyn Digest, field: Field, value: &Value) -> bool {
    let compared = |cmp: Cmp, n: u64| match cmp {
        Cmp::Eq => digest.has_number(field, n, n),
        Cmp::Lt => n > 0 && digest.has_number(field, 0, n - 1),
        Cmp::Le => digest.has_number(field, 0, n),
        Cmp::Gt => n < u64::MAX && digest.has_number(field, n + 1, u64::MAX),
        Cmp::Ge => digest.has_number(field, n, u64::MAX),
    };
    match value {
        Value::Number(cmp, n) => compared(*cmp, *n),
        Value::Time(cmp, stamp) => compared(*cmp, stamp.ms),
        Value::Numbers(list) if list.len() <= MANY => {
            list.iter().any(|n| digest.has_number(field, *n, *n))
        }
        _ => digest.has(field),
    }
}

fn has_addresses(digest: &dyn Digest, field: Field, value: &Value) -> bool {
    match value {
        Value::Net(net) => has_net(digest, field, *net),
        Value::Nets(list) if list.len() <= MANY => {
            list.iter().any(|net| has_net(digest, field, *net))
        }
        _ => digest.has(field),
    }
}

/// Masks that are no prefix keep the bits before their first gap.
fn has_net(digest: &dyn Digest, field: Field, net: Net) -> bool {
    let (addr, bits) = prefix(net);
    digest.has_address(field, addr, bits)
}

fn prefix(net: Net) -> (Addr, u8) {
    match net {
        Net::V4 { addr, mask } => (Addr::V4(addr), mask.leading_ones() as u8),
        Net::V6 { addr, mask } => (Addr::V6(addr), mask.leading_ones() as u8),
    }
}

/// Of terms that must all hold: whether an address and a port that belong together occur together.
fn endpoints(all: &[Expr], digest: &dyn Digest) -> bool {
    let terms = || {
        all.iter().filter_map(|e| match &e.kind {
            Kind::Term(term) => Some(term),
            _ => None,
        })
    };
    let host = |field: Field| {
        terms().find_map(|t| match (t.phrase.fields, &t.value) {
            (&[f], Value::Net(net)) if f == field => {
                let (addr, bits) = prefix(*net);
                (usize::from(bits) == 8 * addr.width()).then_some(addr)
            }
            _ => None,
        })
    };
    let port = |field: Field| {
        terms().find_map(|t| match (t.phrase.fields, &t.value) {
            (&[f], Value::Number(Cmp::Eq, n)) if f == field => u16::try_from(*n).ok(),
            _ => None,
        })
    };
    ENDPOINTS.iter().all(|fields| match (host(fields.0), port(fields.1)) {
        (Some(addr), Some(port)) => digest.has_endpoint(*fields, addr, port),
        _ => true,
    })
}
