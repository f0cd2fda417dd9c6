//! Keys of groups: what a row counts under, as columns.

use super::predicate::{address, column};
use super::statement::{Question, Selected, Shape};
use super::{Engine, SqlError};
use crate::schema::Type;
use query::{KeyPart, KeySpec, Prefix};
use record::Kind;
use std::fmt::Write as _;

impl Question<'_> {
    /// The columns of a key.
    pub(super) fn keys(&self, spec: &KeySpec) -> Result<Vec<Selected>, SqlError> {
        let mut all = Vec::new();
        for (n, part) in spec.parts().iter().enumerate() {
            self.key(part, n == 0 && spec.needs_field(), &mut all)?;
        }
        Ok(all)
    }

    /// The columns of one part. What a record lacks counts as 0, unless it is left out.
    fn key(&self, part: &KeyPart, is_there: bool, all: &mut Vec<Selected>) -> Result<(), SqlError> {
        let field = part.field;
        let refused = |why| SqlError::Counted { what: field.def().about.to_owned(), why };
        if matches!(part.prefix, Prefix::Fingerprint(_)) {
            return Err(refused("fingerprints are made of payloads"));
        }
        let Some(name) = column(field) else {
            return Err(refused("it is looked up in a database"));
        };
        let or = |expression: String, missing: &str| match is_there {
            true => expression,
            false => format!("COALESCE({expression}, {missing})"),
        };
        // Of several keys that feed one table, the names of the first count.
        let by = format!("by_{name}");
        all.push(match (field.kind(), part.prefix) {
            (Kind::Addr, _) => {
                all.extend(self.masked(part, name));
                return Ok(());
            }
            (Kind::Mac, _) => {
                Selected::new(or(format!("hex({name})"), "'000000000000'"), by, field, Shape::Mac)
            }
            (Kind::Acl | Kind::Bytes | Kind::Text(_), _) => {
                Selected::new(or(format!("hex({name})"), "''"), by, field, Shape::Octets)
            }
            _ => Selected::new(or(name.to_owned(), "0"), by, field, Shape::Number),
        });
        Ok(())
    }

    /// The leading bits of an address: a number where it is of IPv4, else hexadecimal digits.
    fn masked(&self, part: &KeyPart, name: &str) -> Vec<Selected> {
        let engine = self.engine;
        let field = part.field;
        let v4 = address(field, Type::Addr4).unwrap_or(name);
        let digits = format!("hex({name})");
        let (in4, in6) = match part.prefix {
            Prefix::Leading { v4: bits4, v6 } => (
                bits4.map_or_else(
                    || "0".to_owned(),
                    |n| engine.common_bits(v4, u64::from(mask4(n))),
                ),
                v6.map(|n| leading_digits(engine, &digits, n)),
            ),
            Prefix::OwnMask(mask) => {
                let mask = format!("COALESCE({}, 0)", column(mask).unwrap_or("NULL"));
                let block = engine.power_of_two(&format!("32 - {mask}"));
                let cut = format!("{} * {block}", engine.quotient(v4, &block));
                let in4 = format!("CASE WHEN {mask} BETWEEN 1 AND 31 THEN {cut} ELSE {v4} END");
                (in4, Some(own_digits(engine, &digits, &mask)))
            }
            Prefix::Full | Prefix::Fingerprint(_) => (v4.to_owned(), Some(digits)),
        };
        let by = format!("by_{name}");
        let Some(in6) = in6 else {
            // IPv6 counts as no address.
            let in4 = format!("CASE WHEN {v4} IS NULL THEN 0 ELSE {in4} END");
            return vec![Selected::new(in4, format!("{by}4"), field, Shape::Addr4)];
        };
        let in4 = format!("CASE WHEN {v4} IS NOT NULL THEN {in4} WHEN {name} IS NULL THEN 0 END");
        let in6 = format!("CASE WHEN {v4} IS NULL THEN {in6} END");
        vec![
            Selected::new(in4, format!("{by}4"), field, Shape::Addr4),
            Selected::new(in6, format!("{by}6"), field, Shape::Addr6),
        ]
    }
}

const fn mask4(bits: u8) -> u32 {
    if bits >= 32 { u32::MAX } else { !(u32::MAX >> bits) }
}

/// Hexadecimal digits of which only the leading 1, 2 or 3 bits are kept.
const KEPT: [&str; 3] = ["0000000088888888", "000044448888CCCC", "0022446688AACCEE"];
const DIGITS: &str = "0123456789ABCDEF";

/// The first bits of an address in hexadecimal, the others 0.
fn leading_digits(engine: Engine, digits: &str, bits: u8) -> String {
    if bits >= 128 {
        return digits.to_owned();
    }
    let (whole, rest) = (bits / 4, usize::from(bits % 4));
    let head = format!("SUBSTRING({digits}, 1, {whole})");
    let head = match rest.checked_sub(1).and_then(|n| KEPT.get(n)) {
        None => head,
        Some(kept) => {
            let next = format!("SUBSTRING({digits}, {}, 1)", whole + 1);
            format!("CONCAT({head}, translate({next}, '{DIGITS}', '{kept}'))")
        }
    };
    engine.fill(&head, 32)
}

/// The same, as many as the record says; all if it says none.
fn own_digits(engine: Engine, digits: &str, mask: &str) -> String {
    let whole = engine.quotient(mask, "4");
    let next = format!("SUBSTRING({digits}, {whole} + 1, 1)");
    let mut rest = format!("CASE {mask} % 4");
    for (n, kept) in KEPT.iter().enumerate() {
        let _ = write!(rest, " WHEN {} THEN translate({next}, '{DIGITS}', '{kept}')", n + 1);
    }
    let head = format!("CONCAT(SUBSTRING({digits}, 1, {whole}), {rest} ELSE '' END)");
    let cut = engine.fill(&head, 32);
    format!("CASE WHEN {mask} BETWEEN 1 AND 127 THEN {cut} ELSE {digits} END")
}
