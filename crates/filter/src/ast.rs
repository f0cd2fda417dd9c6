//! The typed tree a filter text is read into, and how it prints back as text.
//!
//! Printing is canonical: keywords in lower case, one spelling for synonyms, parentheses where the
//! text had them. What is printed parses to an equal tree.

use crate::error::is_word;
use crate::primitive::{Operand, Phrase, Test};
use crate::time::Stamp;
use payload::{Ja3, Ja4};
use record::code::Proto;
use record::{Addr, Country, Field, Mac, Networks, TorExit};
use std::fmt;
use std::sync::Arc;

/// A stretch of the filter text, in octets from its start. In a tree, included files count as if
/// their text stood in the place of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First octet.
    pub start: u32,
    /// The octet after the last.
    pub end: u32,
}

/// A filter as a tree. Two trees are equal if they ask the same, wherever it stood in their texts.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a filter, or a part of one, is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// One question.
    Term(Term),
    /// True where the inner one is not.
    Not(Box<Expr>),
    /// True where all are.
    And(Vec<Expr>),
    /// True where one of them is, at least.
    Or(Vec<Expr>),
}

/// One primitive with its operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub(crate) phrase: &'static Phrase,
    pub(crate) value: Value,
    pub(crate) known: Known,
}

/// What a book of addresses says of an operand, looked up when the text is read.
#[derive(Clone, Debug, Default)]
pub(crate) enum Known {
    /// There is no book, or nothing to be looked up.
    #[default]
    Nothing,
    /// Addresses in these networks suit the operand.
    Within(Arc<Networks>),
    /// Addresses that are in none of these networks do.
    Outside(Arc<Networks>),
    /// Addresses that were exits of the Tor network, in the order of the addresses.
    Exits(Arc<[TorExit]>),
}

/// Two terms ask the same, whatever is known of it.
impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// An operand, checked against the primitive it stands behind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The words say all.
    None,
    /// A number, MAC addresses among them, and how the field compares to it.
    Number(Cmp, u64),
    /// One of these numbers.
    Numbers(Vec<u64>),
    /// TCP flags by letters: all of them set, or with `exact` no others either.
    Flags {
        /// The octet of flags.
        bits: u8,
        /// Whether others must not be set.
        exact: bool,
    },
    /// `in nat pblock`.
    Block,
    /// An address or a network.
    Net(Net),
    /// Addresses and networks; one of them is enough.
    Nets(Vec<Net>),
    /// Text, compared as it is.
    Text(Box<str>),
    /// A time and how the field compares to it.
    Time(Cmp, Stamp),
    /// A country.
    Country(Country),
    /// An exit of the Tor network at the time of the flow.
    Tor,
    /// A regular expression.
    Regex(Pattern),
    /// The fingerprint of a TLS client.
    Ja3(Ja3),
    /// The fingerprint of a TLS client.
    Ja4(Ja4),
}

/// A regular expression as it was written, and compiled.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub(crate) text: Box<str>,
    /// Of `i`, `m` and `s` those that are set, in this order.
    pub(crate) flags: String,
    pub(crate) regex: regex::bytes::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.flags) == (&other.text, &other.flags)
    }
}

/// How a value of the record compares to the operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// Equal.
    Eq,
    /// Less.
    Lt,
    /// Greater.
    Gt,
    /// Less or equal.
    Le,
    /// Greater or equal.
    Ge,
}

/// An address under a mask; a host has all mask bits. `addr` has no bits outside of `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Of IPv4; the mask may have gaps.
    V4 {
        /// The address.
        addr: u32,
        /// Bits that count.
        mask: u32,
    },
    /// Of IPv6; the mask is a prefix.
    V6 {
        /// The address.
        addr: u128,
        /// Bits that count.
        mask: u128,
    },
}

impl Expr {
    /// Where it stands in the text.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// What it is made of.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Calls `visit` for each primitive, in the order of the text.
    pub(crate) fn each_term<'e>(&'e self, visit: &mut impl FnMut(&'e Term)) {
        match &self.kind {
            Kind::Term(term) => visit(term),
            Kind::Not(inner) => inner.each_term(visit),
            Kind::And(all) | Kind::Or(all) => all.iter().for_each(|e| e.each_term(visit)),
        }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Term {
    /// What of a record is compared.
    pub fn test(&self) -> Test {
        self.phrase.line().test
    }

    /// The fields that are read, each by itself: one that suits is enough. Empty where the test
    /// is about no field.
    pub const fn fields(&self) -> &'static [Field] {
        self.phrase.fields
    }

    /// What it is compared to.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Whether a book of addresses says something about its operand.
    pub const fn is_looked_up(&self) -> bool {
        !matches!(self.known, Known::Nothing)
    }
}

impl Cmp {
    pub(crate) fn holds<T: Ord>(self, value: T, operand: T) -> bool {
        match self {
            Self::Eq => value == operand,
            Self::Lt => value < operand,
            Self::Gt => value > operand,
            Self::Le => value <= operand,
            Self::Ge => value >= operand,
        }
    }
}

impl Net {
    /// One address.
    pub(crate) const fn host(addr: Addr) -> Self {
        match addr {
            Addr::V4(addr) => Self::V4 { addr, mask: u32::MAX },
            Addr::V6(addr) => Self::V6 { addr, mask: u128::MAX },
        }
    }

    pub(crate) fn contains(self, addr: Addr) -> bool {
        match (self, addr) {
            (Self::V4 { addr, mask }, Addr::V4(n)) => n & mask == addr,
            (Self::V6 { addr, mask }, Addr::V6(n)) => n & mask == addr,
            _ => false,
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Expr {
    /// `level` is the binding strength around: 0 nothing, 1 `or`, 2 `and`, 3 `not`.
    fn write(&self, f: &mut fmt::Formatter<'_>, level: u8) -> fmt::Result {
        let (own, word, parts) = match &self.kind {
            Kind::Term(term) => return write!(f, "{term}"),
            Kind::Not(inner) => {
                f.write_str("not ")?;
                // `not not x` needs no parentheses.
                return inner.write(f, 3);
            }
            Kind::And(parts) => (2, " and ", parts),
            Kind::Or(parts) => (1, " or ", parts),
        };
        if level >= own {
            f.write_str("(")?;
        }
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                f.write_str(word)?;
            }
            part.write(f, own)?;
        }
        if level >= own {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase.text)?;
        match &self.value {
            Value::None => Ok(()),
            Value::Number(Cmp::Eq, n) => {
                f.write_str(" ")?;
                self.write_number(f, *n)
            }
            Value::Number(cmp, n) => write!(f, " {cmp} {n}"),
            Value::Numbers(list) => write_list(f, list),
            Value::Flags { bits, exact } => write_flags(f, *bits, *exact),
            Value::Block => f.write_str(" in nat pblock"),
            Value::Net(net) if self.phrase.line().operand == Operand::Net => {
                f.write_str(" ")?;
                net.write_prefix(f)
            }
            Value::Net(net) => write!(f, " {net}"),
            Value::Nets(list) => write_list(f, list),
            Value::Text(text) => write_quoted(f, text),
            Value::Time(Cmp::Eq, stamp) => write!(f, " {stamp}"),
            Value::Time(cmp, stamp) => write!(f, " {cmp} {stamp}"),
            Value::Country(country) => write!(f, " {country}"),
            Value::Tor => f.write_str(" tor"),
            Value::Ja3(ja3) => write!(f, " {ja3}"),
            Value::Ja4(ja4) => write!(f, " {ja4}"),
            Value::Regex(pattern) => {
                write_quoted(f, &pattern.text)?;
                let blank = if pattern.flags.is_empty() { "" } else { " " };
                write!(f, "{blank}{}", pattern.flags)
            }
        }
    }
}

impl Term {
    /// A number that is compared for equality, as a name where the operand has names.
    fn write_number(&self, f: &mut fmt::Formatter<'_>, n: u64) -> fmt::Result {
        match self.phrase.line().operand {
            Operand::Proto => {
                let proto = Proto(n as u8);
                match proto.name() {
                    Some(name) if is_name(name) && Proto::from_prefix(name) == Some(proto) => {
                        f.write_str(&name.to_ascii_lowercase())
                    }
                    _ => write!(f, "{n}"),
                }
            }
            Operand::Mac => write!(f, "{}", Mac(n)),
            Operand::Named(names) | Operand::Name(names) => match names.name(n) {
                Some(name) if is_word(name) => f.write_str(name),
                Some(name) => write!(f, "\"{name}\""),
                None => write!(f, "{n}"),
            },
            _ => write!(f, "{n}"),
        }
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric()) && name.parse::<u64>().is_err()
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, list: &[T]) -> fmt::Result {
    for (i, item) in list.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { " in [" } else { ", " })?;
    }
    f.write_str("]")
}

fn write_flags(f: &mut fmt::Formatter<'_>, bits: u8, exact: bool) -> fmt::Result {
    f.write_str(if exact { " =" } else { " " })?;
    // In this order no letters make up the keyword `as`, which nfdump would trip over.
    let letters = "FSRPAUEC".chars().enumerate();
    letters.filter(|(i, _)| bits >> i & 1 == 1).try_for_each(|(_, c)| write!(f, "{c}"))
}

/// Text came out of one pair of quotes, so at least one kind of quote is not in it.
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if text.contains('"') { '\'' } else { '"' };
    write!(f, " {quote}{text}{quote}")
}

impl fmt::Display for Cmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::Lt => "<",
            Self::Gt => ">",
            Self::Le => "<=",
            Self::Ge => ">=",
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4 { addr, mask: u32::MAX } => write!(f, "{}", Addr::V4(addr)),
            Self::V6 { addr, mask: u128::MAX } => write!(f, "{}", Addr::V6(addr)),
            _ => self.write_prefix(f),
        }
    }
}

impl Net {
    fn write_prefix(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4 { addr, mask } if mask.leading_ones() == mask.count_ones() => {
                write!(f, "{}/{}", Addr::V4(addr), mask.leading_ones())
            }
            Self::V4 { addr, mask } => write!(f, "{} {}", Addr::V4(addr), Addr::V4(mask)),
            Self::V6 { addr, mask } => write!(f, "{}/{}", Addr::V6(addr), mask.leading_ones()),
        }
    }
}
