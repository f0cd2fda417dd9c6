//! A filter in words for people: what `--explain` prints.

use crate::Filter;
use crate::ast::{Known, Term, Value};
use crate::primitive::{Rate, Test};
use crate::program::{self, AddrSet, Leaf, Node};
use crate::select;
use crate::sets::RangeSet;
use record::{Field, Kind, Shape};
use std::fmt;

/// What a filter asks, what it reads, what of it can never be true, and how it is tested.
///
/// [`Display`](fmt::Display) prints it for a terminal, a heading at the left and its lines beside
/// it; parts that have nothing to say are left out:
///
/// ```text
/// filter  src geo CH and dst port in [80, 443]
/// reads   src ip    source address
///         dst port  destination port, ICMP type*256+code
/// never   `src geo CH`: no database of countries is given
/// tests   all of these, the cheapest first; a flow that is decided is not asked again
///           dst port: 80 or 443
///           src ip: in 0 ranges of IPv4 and 0 of IPv6
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The filter in its canonical form, which reads as the same filter.
    pub canonical: String,
    /// The fields it reads, in the order of the field table.
    pub fields: Vec<Field>,
    /// Terms that are never true, each once.
    pub never: Vec<NeverTrue>,
    /// How it is tested, a line a test, indented by two blanks a level.
    pub tests: Vec<String>,
}

/// A term that is false for every flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverTrue {
    /// The term in its canonical form.
    pub term: String,
    /// Why it is never true.
    pub why: String,
}

impl Explanation {
    pub(crate) fn new(filter: &Filter) -> Self {
        let mut never = Vec::new();
        filter.tree().each_term(&mut |term| {
            if let Some(why) = why_never(term) {
                let found = NeverTrue { term: cut(&term.to_string()), why };
                if never.len() < MOST && !never.contains(&found) {
                    never.push(found);
                }
            }
        });
        let mut tests = Vec::new();
        describe(filter.program.root(), &usual_shape(filter), 0, &mut tests);
        let canonical = filter.tree().to_string();
        Self { canonical, fields: filter.fields().collect(), never, tests }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter  {}", cut(&self.canonical))?;
        let width = self.fields.iter().map(|f| name(*f).len()).max().unwrap_or(0);
        for (i, field) in self.fields.iter().enumerate() {
            let head = if i == 0 { "reads" } else { "" };
            write!(f, "\n{head:7} {:width$}  {}", name(*field), field.def().about)?;
        }
        for (i, NeverTrue { term, why }) in self.never.iter().enumerate() {
            let head = if i == 0 { "never" } else { "" };
            write!(f, "\n{head:7} `{term}`: {why}")?;
        }
        for (i, test) in self.tests.iter().enumerate() {
            let head = if i == 0 { "tests" } else { "" };
            write!(f, "\n{head:7} {test}")?;
        }
        Ok(())
    }
}

/// Lines of one kind that are worth printing.
const MOST: usize = 200;

/// A text that may be the list of a whole file, as far as somebody may want to read it.
fn cut(text: &str) -> String {
    const MAX: usize = 2000;
    if text.len() <= MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(MAX).collect();
    format!("{head}... ({} octets in all)", text.len())
}

/// The filter word of a field, else its name in CSV.
fn name(field: Field) -> &'static str {
    let def = field.def();
    match (def.words, field) {
        ("", Field::SrcCountry) => "src geo",
        ("", Field::DstCountry) => "dst geo",
        ("", Field::InPayload) => "in payload",
        ("", Field::OutPayload) => "out payload",
        ("", _) => def.csv,
        (words, _) => words,
    }
}

/// Why a term is false for every flow, if it is.
fn why_never(term: &Term) -> Option<String> {
    let unknown = matches!(term.known, Known::Nothing);
    match (term.phrase.line().test, &term.value) {
        (Test::Country, _) if unknown => Some("no database of countries is given".to_owned()),
        (Test::Country, Value::Country(country)) => match &term.known {
            Known::Within(n) if n.v4.is_empty() && n.v6.is_empty() => {
                Some(format!("the database has no network of {country}"))
            }
            _ => None,
        },
        (_, Value::Tor) => match &term.known {
            Known::Exits(exits) if exits.is_empty() => Some("no Tor exit is known".to_owned()),
            Known::Exits(_) => None,
            _ => Some("no list of Tor exits is given".to_owned()),
        },
        (Test::Value, Value::Number(..) | Value::Numbers(_)) => {
            let is_empty = program::set(&term.value).ranges().is_empty();
            is_empty.then(|| "no number is less than 0 or greater than the largest".to_owned())
        }
        _ => None,
    }
}

/// A record of IPv4 that has all the filter reads.
fn usual_shape(filter: &Filter) -> Shape {
    let mut shape = Shape::default();
    for field in filter.fields() {
        let len = match field.kind() {
            Kind::Addr => 4,
            kind => kind.width().unwrap_or(8),
        };
        shape.set(field, 0, len);
    }
    shape
}

/// One line for a test, one for what joins several, and theirs below it.
fn describe(node: &Node, shape: &Shape, level: usize, out: &mut Vec<String>) {
    const FIRST: &str = "the cheapest first; a flow that is decided is not asked again";
    if out.len() >= MOST {
        if out.len() == MOST {
            out.push("and more of that kind".to_owned());
        }
        return;
    }
    let indent = "  ".repeat(level);
    let (word, parts) = match node {
        Node::Const(true) => return out.push(format!("{indent}nothing: every flow passes")),
        Node::Const(false) => return out.push(format!("{indent}nothing: no flow passes")),
        Node::Leaf(leaf) => return out.push(format!("{indent}{}", describe_leaf(leaf))),
        Node::Not(inner) => {
            out.push(format!("{indent}not"));
            return describe(inner, shape, level + 1, out);
        }
        Node::All(parts) => ("all", parts),
        Node::Any(parts) => ("any", parts),
    };
    let why = if level == 0 { FIRST } else { "cheapest first" };
    out.push(format!("{indent}{word} of these, {why}"));
    let mut parts: Vec<_> = parts.iter().collect();
    parts.sort_by_cached_key(|part| select::cost(part, shape));
    parts.into_iter().for_each(|part| describe(part, shape, level + 1, out));
}

fn describe_leaf(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Number { key, set, .. } => {
            let missing = if key.or_zero { ", missing is 0" } else { "" };
            match (key.mask, set.ranges()) {
                (u64::MAX, _) => format!("{}: {}{missing}", name(key.field), numbers(set)),
                (mask, [(low, _)]) if mask == *low => {
                    format!("{}: has all bits of {mask:#x}", name(key.field))
                }
                (mask, _) => format!("{}: {} under mask {mask:#x}", name(key.field), numbers(set)),
            }
        }
        Leaf::Addr { field, addrs: AddrSet { v4, v6 } } => {
            let (v4, v6) = (v4.ranges().len(), v6.ranges().len());
            format!("{}: in {v4} ranges of IPv4 and {v6} of IPv6, one look-up", name(*field))
        }
        Leaf::Tor { field, exits } => {
            format!("{}: times of the exit, {} known", name(*field), exits.len())
        }
        Leaf::Masked { field, .. } => format!("{}: one address under a mask", name(*field)),
        Leaf::Width { octets: 4, .. } => "addresses are IPv4, by the kind of record".to_owned(),
        Leaf::Width { .. } => "addresses are IPv6, by the kind of record".to_owned(),
        Leaf::Ident(ident) => format!("ident of the file: {}", cut(ident)),
        Leaf::Count(set) => format!("number of the flow in the input: {}", numbers(set)),
        Leaf::Text { field, text } => format!("{}: is \"{}\"", name(*field), cut(text)),
        Leaf::Pattern { field, regex } => {
            format!("{}: searched for /{}/", name(*field), cut(regex.as_str()))
        }
        Leaf::Message { field, wanted } => format!("{}: {wanted}", name(*field)),
        Leaf::Acl { field, set } => format!("{}: one of its ids {}", name(*field), numbers(set)),
        Leaf::Equal(a, b) => format!("{} and {} are the same", name(*a), name(*b)),
        Leaf::Block { port } => format!("{}: in the record's own block of ports", name(*port)),
        Leaf::Rate { rate, set } => {
            let what = match rate {
                Rate::Duration => "milliseconds from first to last",
                Rate::Pps => "packets a second",
                Rate::Bps => "bits a second",
                Rate::Bpp => "bytes a packet",
            };
            format!("{what}: {}", numbers(set))
        }
    }
}

/// A set of numbers in a few words.
fn numbers(set: &RangeSet<u64>) -> String {
    let one = |(low, high): &(u64, u64)| match (*low, *high) {
        (low, high) if low == high => low.to_string(),
        (0, u64::MAX) => "any".to_owned(),
        (0, high) => format!("up to {high}"),
        (low, u64::MAX) => format!("{low} or more"),
        (low, high) => format!("{low} to {high}"),
    };
    match set.ranges() {
        [] => "none".to_owned(),
        few if few.len() <= 6 => few.iter().map(one).collect::<Vec<_>>().join(" or "),
        many => format!("in {} ranges, one look-up", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(text: &str) -> Explanation {
        Filter::parse(text).unwrap().explain()
    }

    #[test]
    fn says_what_is_read_and_how() {
        let want = "\
filter  (src ip 10.1.2.3 or port in [80, 443]) and bps > 1000 and flags S
reads   first seen  start of the flow
        last seen   end of the flow
        bytes       octets, scaled by the sampling rate
        src port    source port
        dst port    destination port, ICMP type*256+code
        proto       IP protocol
        flags       TCP flags seen, ORed
        src ip      source address
tests   all of these, the cheapest first; a flow that is decided is not asked again
          proto: 6
          flags: has all bits of 0x2
          any of these, cheapest first
            src ip: in 1 ranges of IPv4 and 0 of IPv6, one look-up
            src port: 80 or 443
            dst port: 80 or 443
          bits a second: 1001 or more";
        let text = "(src host 10.1.2.3 or port in [80 443]) and bps > 1k and flags S";
        assert_eq!(explain(text).to_string(), want);
    }

    #[test]
    fn tells_what_is_never_true() {
        for (text, term, why) in [
            ("geo CH or any", "geo CH", "no database of countries is given"),
            ("not src ip tor", "src ip tor", "no list of Tor exits is given"),
            ("packets < 0", "packets < 0", "no number is less than 0"),
        ] {
            let never = explain(text).never;
            let [found] = &never[..] else { panic!("{text}: {never:?}") };
            assert_eq!(found.term, term);
            assert!(found.why.starts_with(why), "{text}: {}", found.why);
        }
        assert_eq!(explain("vlan 5 or packets >= 0").never, []);
    }

    #[test]
    fn long_filters_are_told_in_short() {
        let text = vec!["port 80 and ip 10.0.0.1"; 5000].join(" or ");
        let told = explain(&text);
        assert!(told.canonical.len() > 100_000 && told.tests.len() == MOST + 1);
        assert!(told.to_string().len() < 30_000);
        assert_eq!(explain("any").to_string(), "filter  any\ntests   nothing: every flow passes");
    }
}
