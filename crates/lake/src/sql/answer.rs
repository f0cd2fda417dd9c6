//! What engines answer: lines of values between tabs or commas, made into flows.

use super::statement::{Column, Shape, Statement};
use query::Passed;
use record::{Addr, Field, Flow};

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not as many values as columns.
    #[error("line {line} of the answer has {found} values, and {wanted} were asked for: {text}")]
    Width {
        /// Which, from 1.
        line: u64,
        /// How many it has.
        found: usize,
        /// How many it should have.
        wanted: usize,
        /// How it begins.
        text: String,
    },
    /// Something else than was asked for.
    #[error("line {line} of the answer: '{text}' is no value of {column}")]
    Value {
        /// Which, from 1.
        line: u64,
        /// The column.
        column: String,
        /// How it begins.
        text: String,
    },
    /// There is no line of sums.
    #[error("the engine answered without the sums of all flows")]
    NoSums,
}

/// Sums over all flows.
pub type Sums = Passed;

/// Reads the lines of an answer. A line of the names of columns is passed over; NULL is nothing,
/// `\N` or `NULL`.
#[derive(Debug)]
pub struct Lines<'s> {
    statement: &'s Statement,
    line: u64,
}

impl<'s> Lines<'s> {
    /// The lines of this statement's answer.
    pub const fn new(statement: &'s Statement) -> Self {
        Self { statement, line: 0 }
    }

    /// Reads a line into a flow. Returns whether it has one.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub fn flow(&mut self, line: &str, flow: &mut Flow) -> Result<bool, AnswerError> {
        flow.clear();
        // Files keep counters of the other direction, and of flows, only where they say something.
        let is_summed = self.statement.columns.iter().any(|c| c.name == "n_flows");
        let mut other = [(Field::Flows, 0), (Field::OutPackets, 0), (Field::OutBytes, 0)];
        let is_flow = self.values(line, |column, text| {
            let place = other.iter_mut().find(|(f, _)| is_summed && column.field == Some(*f));
            match place {
                Some((_, n)) => *n = number(text)?,
                None => set(column, text, flow)?,
            }
            Some(())
        })?;
        if is_flow && is_summed && other.map(|(_, n)| n) != [1, 0, 0] {
            other.iter().for_each(|(field, n)| {
                flow.set(*field, *n);
            });
        }
        Ok(is_flow)
    }

    /// Reads the line of the sums.
    ///
    /// # Errors
    ///
    /// What is wrong with the line.
    pub fn sums(&mut self, line: &str, sums: &mut Sums) -> Result<bool, AnswerError> {
        let mut found = Passed::default();
        let is_line = self.values(line, |column, text| {
            let n = number(text)?;
            let counts = &mut found.counts;
            match column.field {
                None => found.records = n,
                Some(Field::Flows) => counts.flows = n,
                Some(Field::Packets) => counts.in_packets = n,
                Some(Field::Bytes) => counts.in_bytes = n,
                Some(Field::OutPackets) => counts.out_packets = n,
                Some(Field::OutBytes) => counts.out_bytes = n,
                Some(Field::First) => counts.first_ms = n,
                Some(Field::Last) => counts.last_ms = n,
                Some(_) => return None,
            }
            Some(())
        })?;
        if is_line {
            *sums = found;
        }
        Ok(is_line)
    }

    /// Hands each value that is there to `take`, which returns whether it is one.
    fn values(
        &mut self,
        text: &str,
        mut take: impl FnMut(&Column, &str) -> Option<()>,
    ) -> Result<bool, AnswerError> {
        self.line += 1;
        let text = text.trim_end_matches(['\r', '\n']);
        let columns = &self.statement.columns;
        let between = if text.contains('\t') { '\t' } else { ',' };
        let values = || text.split(between).map(|v| v.trim().trim_matches('"'));
        let found = values().count();
        if found != columns.len() {
            let (line, wanted) = (self.line, columns.len());
            return Err(AnswerError::Width { line, found, wanted, text: beginning(text) });
        }
        if self.line == 1 && values().zip(columns).all(|(v, c)| v == c.name) {
            return Ok(false);
        }
        for (value, column) in values().zip(columns) {
            if matches!(value, "" | "\\N" | "NULL" | "null") {
                continue;
            }
            if take(column, value).is_none() {
                let (line, column) = (self.line, column.name.clone());
                return Err(AnswerError::Value { line, column, text: beginning(value) });
            }
        }
        Ok(true)
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A number; sums that need more than 64 bits are the largest one, and columns that are signed keep
/// their bits.
fn number(text: &str) -> Option<u64> {
    let n: i128 = text.parse().ok()?;
    match n < 0 {
        true => i64::try_from(n).ok().map(|n| n as u64),
        false => Some(u64::try_from(n).unwrap_or(u64::MAX)),
    }
}

fn set(column: &Column, text: &str, flow: &mut Flow) -> Option<()> {
    let field = column.field?;
    match column.shape {
        Shape::Number => flow.set(field, number(text)?).then_some(()),
        Shape::Addr4 => {
            flow.set_addr(field, Addr::V4(text.parse().ok()?));
            Some(())
        }
        Shape::Addr6 => {
            flow.set_addr(field, Addr::V6(u128::from_str_radix(text, 16).ok()?));
            Some(())
        }
        Shape::Mac => flow.set(field, u64::from_str_radix(text, 16).ok()?).then_some(()),
        Shape::Octets => {
            let octets = unhex(text)?;
            flow.set_bytes(field, &octets).then_some(())
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let octet = |pair: &[u8]| match *pair {
        [a, b] => u8::try_from(digit(a)? << 4 | digit(b)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        let column = |name: &str, field, shape| Column { name: name.into(), field, shape };
        Statement {
            sql: String::new(),
            columns: vec![
                column("by_src_addr4", Some(Field::SrcAddr), Shape::Addr4),
                column("by_src_addr6", Some(Field::SrcAddr), Shape::Addr6),
                column("n_packets", Some(Field::Packets), Shape::Number),
                column("mac", Some(Field::InSrcMac), Shape::Mac),
            ],
        }
    }

    #[test]
    fn lines_become_flows() {
        let statement = statement();
        let mut flow = Flow::new();
        for (text, want) in [
            ("167772161\t\\N\t7\t0000000000FF", Some((Addr::V4(0x0a00_0001), 7, 255))),
            ("\\N,\"0000000000000000000000000000000A\",\"8\",NULL", Some((Addr::V6(10), 8, 0))),
            (",1,,\\N", Some((Addr::V6(1), 0, 0))),
            ("1\t\t-1\t", Some((Addr::V4(1), u64::MAX, 0))),
            ("1\t\t99999999999999999999\t", Some((Addr::V4(1), u64::MAX, 0))),
            ("by_src_addr4\tby_src_addr6\tn_packets\tmac\r", None),
        ] {
            let found = Lines::new(&statement).flow(text, &mut flow);
            assert_eq!(found, Ok(want.is_some()), "{text}");
            let Some((addr, packets, mac)) = want else { continue };
            let row = flow.as_row();
            assert_eq!(row.addr(Field::SrcAddr), Some(addr));
            assert_eq!((row.number(Field::Packets), row.number(Field::InSrcMac)), (packets, mac));
        }
    }

    #[test]
    fn other_lines_are_errors() {
        let statement = statement();
        let mut flow = Flow::new();
        for (text, want) in [
            ("", "line 1 of the answer has 1 values, and 4 were asked for: "),
            ("a,b", "line 1 of the answer has 2 values, and 4 were asked for: a,b"),
            ("x,,1,", "line 1 of the answer: 'x' is no value of by_src_addr4"),
            ("1,,1.5,", "line 1 of the answer: '1.5' is no value of n_packets"),
            ("1,,1,1FFFFFFFFFFFFFFFF", "line 1 of the answer: '1FFFFFFFFFFFFFFFF' is no value"),
        ] {
            let error = Lines::new(&statement).flow(text, &mut flow).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }
}
