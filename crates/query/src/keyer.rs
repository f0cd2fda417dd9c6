//! Keys of rows for groups that somebody else keeps: what a live view counts, over a window that
//! moves.
//!
//! Keys are those of [`Query::statistics`](crate::Query::statistics), so that both have the same
//! groups. A key is a slice of words: the families of its addresses, and the packed parts.

use crate::direction::has_reverse;
use crate::element::{Element, Grouping};
use crate::key::{BoundKey, Class, KeySpec};
use crate::lookup::Lookups;
use crate::request::By;
use crate::value::{Shown, Style};
use record::code::Proto;
use record::{AddressBook, Field, Rows, Shape};

/// One part of a key, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyText {
    /// Which field; `None` for the one value of `any`.
    pub field: Option<Field>,
    /// Its value. Safe to print.
    pub text: String,
}

/// Finds the keys of rows.
#[derive(Debug)]
pub struct Keyer<'b> {
    specs: Vec<KeySpec>,
    merges_directions: bool,
    organisations: bool,
    book: Option<&'b dyn AddressBook>,
    lookups: Lookups<'b>,
    /// Identity of the shape table that `bound` belongs to.
    bound_to: u64,
    bound: Vec<Vec<Bound>>,
    key: Vec<u64>,
    reverse: Vec<u64>,
}

/// One key, bound to a shape.
#[derive(Debug)]
struct Bound {
    key: BoundKey,
    /// The key of the other direction, where it means something.
    reverse: Option<BoundKey>,
}

impl<'b> Keyer<'b> {
    /// Keys of what a statistic counts. What rows do not say of their addresses is looked up in
    /// `book`.
    pub fn new(by: &By, book: Option<&'b dyn AddressBook>) -> Self {
        let organisations =
            matches!(by, By::Element { element: Element { shows_organisation: true, .. }, .. });
        let merges = matches!(by, By::Flows(grouping) if Grouping::merges_directions(grouping));
        Self {
            specs: by.keys(),
            merges_directions: merges,
            organisations,
            book,
            lookups: Lookups::new(book),
            bound_to: 0,
            bound: Vec::new(),
            key: Vec::new(),
            reverse: Vec::new(),
        }
    }

    /// Calls `each` with every key of row `i`, none, one or several. Where both directions of a
    /// conversation are one group, both have the same key.
    pub fn keys(&mut self, rows: &Rows<'_>, i: usize, mut each: impl FnMut(&[u64])) {
        self.bind(rows);
        let (Some(at), Some(row)) = (rows.index.get(i), rows.row(i)) else { return };
        let Some(bound) = self.bound.get(usize::from(at.shape)) else { return };
        let (lookups, out) = (&mut self.lookups, &mut self.key);
        for b in bound {
            if !pack(&b.key, row, lookups, out) {
                continue;
            }
            if let Some(reverse) = &b.reverse
                && has_reverse(Proto(row.number(Field::Proto) as u8))
                && pack(reverse, row, lookups, &mut self.reverse)
                && self.reverse < *out
            {
                each(&self.reverse);
                continue;
            }
            each(out);
        }
    }

    /// The parts of a key, in the order the user named them.
    pub fn texts(&self, key: &[u64]) -> Vec<KeyText> {
        let style = Style { organisations: self.organisations, aligned: false, book: self.book };
        let Some((class, words)) = key.split_first() else { return Vec::new() };
        let class = *class as Class;
        let parts = self.specs.first().map_or(&[][..], KeySpec::parts);
        let text = |(n, part): (usize, &crate::key::KeyPart)| {
            let octets = self.specs.first()?.octets(class, words, n);
            let shown = Shown::new(Some(*part), class >> n & 1 == 1, &octets, style);
            Some(KeyText { field: Some(part.field), text: shown.key().text() })
        };
        let mut all: Vec<KeyText> = parts.iter().enumerate().filter_map(text).collect();
        if all.is_empty() {
            all.push(KeyText { field: None, text: "any".to_owned() });
        }
        all
    }

    /// Resolves the keys against shapes that are new since the last row.
    fn bind(&mut self, rows: &Rows<'_>) {
        if self.bound_to != rows.table.id() {
            self.bound_to = rows.table.id();
            self.bound.clear();
        }
        for shape in rows.table.shapes().iter().skip(self.bound.len()) {
            let bound = self.specs.iter().filter_map(|spec| self.bind_key(spec, shape)).collect();
            self.bound.push(bound);
        }
    }

    fn bind_key(&self, spec: &KeySpec, shape: &Shape) -> Option<Bound> {
        let has_systems = self.lookups.has_systems();
        let key = spec.bind(shape, has_systems)?;
        let reverse = match self.merges_directions {
            true => spec.reversed().bind(shape, has_systems),
            false => None,
        };
        // An IPv4 and an IPv6 end have no common key.
        let reverse = reverse.filter(|r| r.class == key.class);
        Some(Bound { key, reverse })
    }
}

/// Packs the key of a row into `out`. Returns whether it has one.
fn pack(
    key: &BoundKey,
    row: record::Row<'_>,
    lookups: &mut Lookups<'_>,
    out: &mut Vec<u64>,
) -> bool {
    out.clear();
    out.push(u64::from(key.class));
    out.resize(1 + key.words, 0);
    out.split_first_mut().is_some_and(|(_, words)| key.pack_into(row, lookups, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::plain_key;
    use record::{Addr, Flow, RowRef, ShapeTable};
    use std::collections::HashMap;

    /// Rows of flows that stand one behind the other.
    fn with_rows(flows: &[Flow], mut f: impl FnMut(&Rows<'_>)) {
        let (mut bytes, mut index, mut table) = (Vec::new(), Vec::new(), ShapeTable::new());
        for flow in flows {
            let row = flow.as_row();
            let at = bytes.len() as u32;
            bytes.extend_from_slice(row.as_bytes());
            let shape = table.push(row.shape().clone()).unwrap();
            index.push(RowRef { at, len: row.as_bytes().len() as u16, shape });
        }
        f(&Rows { bytes: &bytes, index: &index, table: &table });
    }

    fn flow(n: u64) -> Flow {
        let mut f = Flow::new();
        let ends = [n % 5, n / 5 % 5];
        for (field, end) in [(Field::SrcAddr, ends[0]), (Field::DstAddr, ends[1])] {
            f.set_addr(
                field,
                match n % 3 {
                    0 => Addr::V6(1 << 64 | u128::from(end)),
                    _ => Addr::V4(0x0a00_0000 | end as u32),
                },
            );
        }
        f.set(Field::SrcPort, 1000 + ends[0]);
        f.set(Field::DstPort, 1000 + ends[1]);
        f.set(Field::Proto, [1, 6, 17][n as usize % 3]);
        f
    }

    #[test]
    fn keys_tell_apart_what_plain_keys_tell_apart() {
        let flows: Vec<Flow> = (0..300).map(flow).collect();
        let element =
            |name| By::Element { element: Element::named(name).unwrap(), by_proto: false };
        for by in
            [element("srcip"), element("ip"), element("port"), By::Flows(Grouping::five_tuple())]
        {
            let (mut seen, mut keyer) = (HashMap::new(), Keyer::new(&by, None));
            with_rows(&flows, |rows| {
                for (i, flow) in flows.iter().enumerate() {
                    let mut got = Vec::new();
                    keyer.keys(rows, i, |key| got.push(key.to_vec()));
                    let plain = |spec: &KeySpec| plain_key(spec, flow.as_row());
                    let want: Vec<_> = by.keys().iter().filter_map(plain).collect();
                    assert_eq!(got.len(), want.len());
                    for (got, want) in got.into_iter().zip(want) {
                        assert_eq!(
                            *seen.entry(want.clone()).or_insert_with(|| got.clone()),
                            got,
                            "{want:?}"
                        );
                    }
                }
            });
            let different: std::collections::HashSet<_> = seen.values().collect();
            assert_eq!(different.len(), seen.len());
        }
    }

    #[test]
    fn both_directions_have_one_key_where_they_are_one_group() {
        let by = By::Flows(Grouping::bidirectional(false));
        let there = flow(7); // TCP
        let mut back = there.clone();
        for (a, b) in [(Field::SrcAddr, Field::DstAddr), (Field::SrcPort, Field::DstPort)] {
            match there.as_row().addr(a) {
                Some(addr) => {
                    back.set_addr(b, addr);
                    back.set_addr(a, there.as_row().addr(b).unwrap());
                }
                None => {
                    back.set(a, there.number(b));
                    back.set(b, there.number(a));
                }
            }
        }
        assert_ne!(there.as_row().addr(Field::SrcAddr), back.as_row().addr(Field::SrcAddr));
        let mut keyer = Keyer::new(&by, None);
        let mut keys = Vec::new();
        with_rows(&[there, back], |rows| {
            (0..2).for_each(|i| keyer.keys(rows, i, |key| keys.push(key.to_vec())));
        });
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn texts_are_the_values() {
        let texts = |by: &By, n| {
            let mut out = Vec::new();
            let mut keyer = Keyer::new(by, None);
            let mut key = Vec::new();
            with_rows(&[flow(n)], |rows| keyer.keys(rows, 0, |k| key = k.to_vec()));
            out.extend(keyer.texts(&key).into_iter().map(|t| t.text));
            out.join(" ")
        };
        let element = |name| By::Element { element: Element::named(name).unwrap(), by_proto: true };
        for (by, n, want) in [
            (element("srcip"), 7, "10.0.0.2 6"),
            (element("dstip"), 9, "::1:0:0:0:1 1"),
            (element("dstport"), 8, "1001 17"),
            (By::Flows(Grouping::five_tuple()), 7, "6 10.0.0.2 10.0.0.1 1002 1001"),
        ] {
            assert_eq!(texts(&by, n), want, "{by:?}");
        }
        let any = By::Element { element: Element::named("any").unwrap(), by_proto: false };
        assert_eq!(texts(&any, 1), "any");
    }
}
