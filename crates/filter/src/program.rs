//! The tree lowered to tests of single fields: every comparator, list and prefix becomes a set of
//! ranges, directions become OR, implied protocols become AND, and constants fold away.
//!
//! A program still speaks of fields. `select.rs` resolves it to offsets, once for each shape.

use crate::ast::{Expr, Kind, Known, Net, Pattern, Term, Value};
use crate::message::Wanted;
use crate::primitive::{Rate, Test};
use crate::sets::{Bitmap, RangeSet};
use record::{Addr, Country, Field, Networks, TorExit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A filter, lowered.
#[derive(Debug)]
pub(crate) struct Program {
    root: Node,
    fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Const(bool),
    Leaf(Leaf),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// One test of one field, or of a few that belong together. False where the row lacks a field.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// `field & mask` is in the set; a row without the field counts as 0 with `or_zero`.
    Number { key: NumberKey, set: RangeSet<u64>, bits: Option<Bitmap> },
    /// The address is in the set of its family.
    Addr { field: Field, addrs: AddrSet },
    /// The address was an exit of the Tor network at some time from first to last. In the order of
    /// the addresses.
    Tor { field: Field, exits: Arc<[TorExit]> },
    /// The IPv4 address under a mask with gaps.
    Masked { field: Field, mask: u32, addr: u32 },
    /// The field has this many octets.
    Width { field: Field, octets: u16 },
    /// The ident of the file.
    Ident(Box<str>),
    /// The running number of the row.
    Count(RangeSet<u64>),
    /// Text up to its first NUL.
    Text { field: Field, text: Box<str> },
    /// Octets that match, somewhere in the field.
    Pattern { field: Field, regex: regex::bytes::Regex },
    /// The message that the field begins with has what is wanted.
    Message { field: Field, wanted: Wanted },
    /// Any of three ids.
    Acl { field: Field, set: RangeSet<u64> },
    /// Two fields are there and equal.
    Equal(Field, Field),
    /// A port of the row's own port block.
    Block { port: Field },
    /// A computed number.
    Rate { rate: Rate, set: RangeSet<u64> },
}

/// Addresses of both families. Tests of several fields share one.
#[derive(Clone, Debug)]
pub(crate) struct AddrSet {
    pub(crate) v4: Arc<RangeSet<u32>>,
    pub(crate) v6: Arc<RangeSet<u128>>,
}

impl AddrSet {
    fn new(networks: Networks) -> Self {
        let Networks { v4, v6 } = networks;
        Self { v4: RangeSet::new(v4).into(), v6: RangeSet::new(v6).into() }
    }

    /// The addresses that are in one of them.
    fn union(mut all: Vec<Self>) -> Self {
        if all.len() == 1 {
            return all.remove(0);
        }
        let v4 = all.iter().flat_map(|s| s.v4.ranges()).copied().collect();
        let v6 = all.iter().flat_map(|s| s.v6.ranges()).copied().collect();
        Self::new(Networks { v4, v6 })
    }
}

/// Number tests that differ only in their sets can be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NumberKey {
    pub(crate) field: Field,
    pub(crate) mask: u64,
    pub(crate) or_zero: bool,
}

impl Program {
    pub(crate) fn new(tree: &Expr) -> Self {
        let mut fields = BTreeSet::new();
        tree.each_term(&mut |term| {
            fields.extend(term.phrase.fields);
            if matches!(term.phrase.line().test, Test::Icmp | Test::Tcp | Test::Message(_)) {
                fields.insert(Field::Proto);
            }
            if term.value == Value::Block {
                fields.extend([Field::PblockStart, Field::PblockEnd]);
            }
            if term.value == Value::Tor {
                fields.extend([Field::First, Field::Last]);
            }
            match term.phrase.line().test {
                Test::Country => fields.extend(term.phrase.fields.iter().filter_map(country_of)),
                Test::System if !matches!(term.known, Known::Nothing) => {
                    fields.extend(term.phrase.fields.iter().filter_map(address_of));
                }
                _ => {}
            }
        });
        Self { root: lower(tree), fields: fields.into_iter().collect() }
    }

    pub(crate) const fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether any test asks for the running number of the record.
    pub(crate) fn uses_count(&self) -> bool {
        fn counts(node: &Node) -> bool {
            match node {
                Node::Leaf(leaf) => matches!(leaf, Leaf::Count(_)),
                Node::Not(inner) => counts(inner),
                Node::All(parts) | Node::Any(parts) => parts.iter().any(counts),
                Node::Const(_) => false,
            }
        }
        counts(&self.root)
    }

    pub(crate) const fn is_any(&self) -> bool {
        matches!(self.root, Node::Const(true))
    }
}

fn lower(expr: &Expr) -> Node {
    match &expr.kind {
        Kind::Term(t) => term(t),
        Kind::Not(inner) => match lower(inner) {
            Node::Const(c) => Node::Const(!c),
            Node::Not(twice) => *twice,
            node => Node::Not(Box::new(node)),
        },
        Kind::And(parts) => all(parts.iter().map(lower)),
        Kind::Or(parts) => any(parts.iter().map(lower)),
    }
}

fn all(parts: impl Iterator<Item = Node>) -> Node {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Node::Const(true) => {}
            Node::Const(false) => return Node::Const(false),
            Node::All(inner) => out.extend(inner),
            node => out.push(node),
        }
    }
    match out.len() {
        0 => Node::Const(true),
        1 => out.remove(0),
        _ => Node::All(out),
    }
}

/// Tests of the same field become one: `port 80 or port 443` looks at each port once.
fn any(parts: impl Iterator<Item = Node>) -> Node {
    let mut numbers = BTreeMap::<NumberKey, Vec<_>>::new();
    let mut addresses = BTreeMap::<Field, Vec<AddrSet>>::new();
    let mut out = Vec::new();
    let mut add = |part| match part {
        Node::Leaf(Leaf::Number { key, set, .. }) => {
            numbers.entry(key).or_default().extend_from_slice(set.ranges());
        }
        Node::Leaf(Leaf::Addr { field, addrs }) => addresses.entry(field).or_default().push(addrs),
        node => out.push(node),
    };
    for part in parts {
        match part {
            Node::Const(false) => {}
            Node::Const(true) => return Node::Const(true),
            Node::Any(inner) => inner.into_iter().for_each(&mut add),
            node => add(node),
        }
    }
    out.extend(numbers.into_iter().map(|(key, ranges)| number(key, ranges)));
    out.extend(
        addresses
            .into_iter()
            .map(|(field, sets)| Node::Leaf(Leaf::Addr { field, addrs: AddrSet::union(sets) })),
    );
    match out.len() {
        0 => Node::Const(false),
        1 => out.remove(0),
        _ => Node::Any(out),
    }
}

fn term(term: &Term) -> Node {
    let fields = term.phrase.fields;
    let value = &term.value;
    let each = |leaf: &dyn Fn(Field) -> Node| any(fields.iter().map(|f| leaf(*f)));
    let numbers = || each(&|field| value_test(field, value));
    match term.phrase.line().test {
        Test::Always => Node::Const(true),
        Test::Width(octets) => each(&|field| Node::Leaf(Leaf::Width { field, octets })),
        Test::Ident => Node::Leaf(Leaf::Ident(text(value))),
        Test::Count => Node::Leaf(Leaf::Count(set(value))),
        Test::Value => numbers(),
        Test::System => system(fields, term),
        Test::Country => country(fields, term),
        Test::PfDir => {
            let inbound = matches!(value, Value::Number(_, 1));
            each(&|field| plain(field, if inbound { vec![(1, 1)] } else { vec![(0, 0), (2, MAX)] }))
        }
        Test::Content => {
            let regex = literal(&text(value));
            each(&|field| Node::Leaf(Leaf::Pattern { field, regex: regex.clone() }))
        }
        Test::Regex => each(&|field| match value {
            Value::Regex(Pattern { regex, .. }) => {
                Node::Leaf(Leaf::Pattern { field, regex: regex.clone() })
            }
            _ => Node::Const(false),
        }),
        Test::Message(part) => {
            let wanted = Wanted::new(part, value);
            let message = each(&|field| match &wanted {
                Some(wanted) => Node::Leaf(Leaf::Message { field, wanted: wanted.clone() }),
                None => Node::Const(false),
            });
            all([protocols(part.protocols()), message].into_iter())
        }
        Test::Icmp => all([protocols(&[1, 58]), numbers()].into_iter()),
        Test::Tcp => all([protocols(&[6]), numbers()].into_iter()),
        Test::Addr => addresses(fields, term),
        Test::Text => each(&|field| Node::Leaf(Leaf::Text { field, text: text(value) })),
        Test::Acl => each(&|field| Node::Leaf(Leaf::Acl { field, set: set(value) })),
        Test::Label => each(&|field| plain(field, labels(value, 0))),
        // An entry of all zeros is below the bottom of the stack.
        Test::UsedLabel => each(&|field| plain(field, labels(value, 1))),
        Test::BottomLabel => each(&|field| {
            let bottom = NumberKey { field, mask: 1, or_zero: false };
            let parts = [number(bottom, vec![(1, 1)]), plain(field, labels(value, 0))];
            all(parts.into_iter())
        }),
        Test::Exp => each(&|field| {
            let set = set(value);
            let ranges = set.ranges().iter().map(|r| (r.0.min(8) << 1, r.1.min(7) << 1));
            number(NumberKey { field, mask: 0xe, or_zero: false }, ranges.collect())
        }),
        Test::TtlEqual => Node::Leaf(Leaf::Equal(Field::MinTtl, Field::MaxTtl)),
        Test::Rate(rate) => Node::Leaf(Leaf::Rate { rate, set: set(value) }),
    }
}

/// A field that is read as it is.
fn value_test(field: Field, value: &Value) -> Node {
    match value {
        Value::Block => Node::Leaf(Leaf::Block { port: field }),
        Value::Flags { bits, exact } => {
            let bits = u64::from(*bits);
            let mask = if *exact { u64::MAX } else { bits };
            number(NumberKey { field, mask, or_zero: false }, vec![(bits, bits)])
        }
        other => plain(field, set(other).ranges().to_vec()),
    }
}

fn plain(field: Field, ranges: Vec<(u64, u64)>) -> Node {
    number(NumberKey { field, mask: u64::MAX, or_zero: false }, ranges)
}

fn protocols(numbers: &[u64]) -> Node {
    plain(Field::Proto, numbers.iter().map(|n| (*n, *n)).collect())
}

fn number(key: NumberKey, ranges: Vec<(u64, u64)>) -> Node {
    let set = RangeSet::new(ranges);
    if set.ranges().is_empty() {
        return Node::Const(false);
    }
    let small = key.field.kind().width().is_some_and(|w| w <= 2);
    let bits = (small && set.ranges().len() > 1).then(|| Bitmap::new(set.ranges()));
    Node::Leaf(Leaf::Number { key, set, bits })
}

/// Ranges of whole stack entries whose labels are in the operand's set, from `least` on.
fn labels(value: &Value, least: u64) -> Vec<(u64, u64)> {
    const MAX: u64 = u64::MAX >> 4;
    let set = set(value);
    let wanted = set.ranges().iter().filter(|r| r.0 <= MAX);
    wanted.map(|r| ((r.0 << 4).max(least), r.1.min(MAX) << 4 | 15)).collect()
}

pub(crate) fn set(value: &Value) -> RangeSet<u64> {
    match value {
        Value::Number(cmp, n) => RangeSet::compared(*cmp, *n),
        Value::Time(cmp, stamp) => RangeSet::compared(*cmp, stamp.ms),
        Value::Numbers(list) => RangeSet::new(list.iter().map(|n| (*n, *n)).collect()),
        _ => RangeSet::new(Vec::new()),
    }
}

fn text(value: &Value) -> Box<str> {
    match value {
        Value::Text(text) => text.clone(),
        _ => "".into(),
    }
}

fn addresses(fields: &[Field], term: &Term) -> Node {
    let nets = match &term.value {
        Value::Net(Net::V4 { addr, mask }) if mask.leading_ones() != mask.count_ones() => {
            return any(fields.iter().map(|field| {
                Node::Leaf(Leaf::Masked { field: *field, mask: *mask, addr: *addr })
            }));
        }
        Value::Tor => return tor(fields, &term.known),
        Value::Net(net) => std::slice::from_ref(net),
        Value::Nets(list) => list,
        _ => &[],
    };
    let mut networks = Networks::default();
    for net in nets {
        match *net {
            Net::V4 { addr, mask } => networks.v4.push((addr, addr | !mask)),
            Net::V6 { addr, mask } => networks.v6.push((addr, addr | !mask)),
        }
    }
    any_of(fields, &AddrSet::new(networks))
}

/// One of the fields is in the set.
fn any_of(fields: &[Field], addrs: &AddrSet) -> Node {
    any(fields.iter().map(|f| Node::Leaf(Leaf::Addr { field: *f, addrs: addrs.clone() })))
}

/// The set of all exits decides nearly every row, the times of an exit the others.
fn tor(fields: &[Field], known: &Known) -> Node {
    let Known::Exits(exits) = known else { return Node::Const(false) };
    let mut networks = Networks::default();
    for exit in &**exits {
        match exit.addr {
            Addr::V4(n) => networks.v4.push((n, n)),
            Addr::V6(n) => networks.v6.push((n, n)),
        }
    }
    let addrs = AddrSet::new(networks);
    any(fields.iter().map(|field| {
        let was_exit = Node::Leaf(Leaf::Addr { field: *field, addrs: addrs.clone() });
        let then = Node::Leaf(Leaf::Tor { field: *field, exits: Arc::clone(exits) });
        all([was_exit, then].into_iter())
    }))
}

/// What the row says of the country itself, or the networks of the country.
fn country(fields: &[Field], term: &Term) -> Node {
    let Value::Country(Country(code)) = term.value else { return Node::Const(false) };
    let said = fields.iter().filter_map(country_of);
    let said = any(said.map(|field| plain(field, vec![(code.into(), code.into())])));
    let looked_up = match &term.known {
        Known::Within(networks) => any_of(fields, &AddrSet::new(Networks::clone(networks))),
        _ => Node::Const(false),
    };
    any([said, looked_up].into_iter())
}

/// The number of the row, or where that is 0 the number of the address.
fn system(fields: &[Field], term: &Term) -> Node {
    let key = |field, or_zero| NumberKey { field, mask: MAX, or_zero };
    let ranges = set(&term.value).ranges().to_vec();
    let addrs = match &term.known {
        Known::Within(n) | Known::Outside(n) => AddrSet::new(Networks::clone(n)),
        _ => return any(fields.iter().map(|field| number(key(*field, true), ranges.clone()))),
    };
    let said: Vec<_> = ranges.iter().map(|r| (r.0.max(1), r.1)).collect();
    any(fields.iter().map(|field| {
        let Some(from) = address_of(field) else { return Node::Const(false) };
        let inside = Node::Leaf(Leaf::Addr { field: from, addrs: addrs.clone() });
        let suits = match term.known {
            Known::Outside(_) => Node::Not(Box::new(inside)),
            _ => inside,
        };
        let unsaid = number(key(*field, true), vec![(0, 0)]);
        let parts = [number(key(*field, false), said.clone()), all([unsaid, suits].into_iter())];
        any(parts.into_iter())
    }))
}

/// Where a row says the country of an address itself.
pub(crate) const fn country_of(address: &Field) -> Option<Field> {
    match address {
        Field::SrcAddr => Some(Field::SrcCountry),
        Field::DstAddr => Some(Field::DstCountry),
        _ => None,
    }
}

/// The address that belongs to the number of a system.
pub(crate) const fn address_of(system: &Field) -> Option<Field> {
    match system {
        Field::SrcAs => Some(Field::SrcAddr),
        Field::DstAs => Some(Field::DstAddr),
        _ => None,
    }
}

/// What finds a text in octets.
fn literal(text: &str) -> regex::bytes::Regex {
    let pattern = regex::escape(text);
    let regex = regex::bytes::RegexBuilder::new(&pattern).unicode(false).build();
    regex.unwrap_or_else(|_| unreachable!("an escaped text of 255 octets is a pattern"))
}

const MAX: u64 = u64::MAX;

/// Whether every number that fits into `width` octets, after `mask`, is in the set.
pub(crate) fn is_full(set: &RangeSet<u64>, width: u16) -> bool {
    let max = u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8)));
    matches!(set.ranges(), [(0, last)] if *last >= max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;
    use crate::ast::Cmp;

    fn leaves(text: &str) -> usize {
        fn count(node: &Node) -> usize {
            match node {
                Node::Const(_) => 0,
                Node::Leaf(_) => 1,
                Node::Not(inner) => count(inner),
                Node::All(parts) | Node::Any(parts) => parts.iter().map(count).sum(),
            }
        }
        count(Filter::parse(text).unwrap().program.root())
    }

    #[test]
    fn tests_of_one_field_are_joined_and_constants_fold() {
        for (text, want) in [
            ("any", 0),
            ("not any", 0),
            ("any and not any or port 80", 2),
            ("port 80 or port 443 or src port > 1000", 2),
            ("ip 10.0.0.1 or net 10.1.0.0/16 or ip in [::1 fe80::/10]", 2),
            ("net 10.1.0.0 255.0.255.0 or ip 10.0.0.1", 4),
            ("flags S", 2),
            ("flows < 0", 0),
            ("not not proto tcp", 1),
            ("proto tcp and (proto udp and proto gre)", 3),
        ] {
            assert_eq!(leaves(text), want, "{text}");
        }
        assert!(Filter::parse("port 80 or any").unwrap().is_any());
    }

    #[test]
    fn full_sets_are_told_by_width() {
        let all = RangeSet::compared(Cmp::Ge, 0u64);
        let byte = RangeSet::compared(Cmp::Le, 255u64);
        assert!(is_full(&all, 8) && is_full(&byte, 1) && !is_full(&byte, 2));
    }
}
