//! Tables in columns that the user chose: `fmt:` and `csv:` with a statistic.

use super::{Shown, StatRow, StatTable};
use crate::clock::{Clock, TimeZone};
use crate::column::{Cell, Token, bits};
use crate::digits::{push_right, push_thousandths, push_u64};
use crate::format::{Format, FormatError, Kind, Op};
use crate::human::{push_duration, push_scaled_right};
use crate::order::Side;
use crate::value::{push_proto, push_time};
use record::Field;
use record::code::Proto;

/// What a token stands for in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// First or last time: in the zone of the user, in universal time, or as a number.
    Time {
        is_last: bool,
        form: Form,
    },
    Duration,
    Seconds,
    Proto,
    Flows,
    /// Counters of one side; of that of the order without one.
    Packets(Option<Side>),
    Bytes(Option<Side>),
    PacketRate,
    BitRate,
    PacketSize,
    /// Number of the row.
    Count,
    /// The value itself.
    Value,
    NewLine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Local,
    Universal,
    Raw,
}

/// Tokens that every table has, as the message of an unknown one names them.
const COMMON: &str =
    "%ts %te %td %tds %pr %fl %pkt %byt %ipkt %ibyt %opkt %obyt %pps %bps %bpp %cnt";

fn meaning(token: &Token, element: &str, fields: &[Field]) -> Option<Meaning> {
    let time = |is_last, form| Some(Meaning::Time { is_last, form });
    match token.name {
        "ts" | "tfs" => time(false, Form::Local),
        "tsg" => time(false, Form::Universal),
        "tsr" => time(false, Form::Raw),
        "te" => time(true, Form::Local),
        "teg" => time(true, Form::Universal),
        "ter" => time(true, Form::Raw),
        "td" => Some(Meaning::Duration),
        "tds" => Some(Meaning::Seconds),
        "pr" => Some(Meaning::Proto),
        "fl" => Some(Meaning::Flows),
        "pkt" => Some(Meaning::Packets(None)),
        "ipkt" => Some(Meaning::Packets(Some(Side::In))),
        "opkt" => Some(Meaning::Packets(Some(Side::Out))),
        "byt" => Some(Meaning::Bytes(None)),
        "ibyt" => Some(Meaning::Bytes(Some(Side::In))),
        "obyt" => Some(Meaning::Bytes(Some(Side::Out))),
        "pps" => Some(Meaning::PacketRate),
        "bps" => Some(Meaning::BitRate),
        "bpp" => Some(Meaning::PacketSize),
        "cnt" => Some(Meaning::Count),
        "n" => Some(Meaning::NewLine),
        // Elements that are read from the payload are called as their columns.
        _ if matches!(token.cell, Cell::Tls(_) | Cell::Payload(_)) => {
            (token.name == element).then_some(Meaning::Value)
        }
        _ => (shows_one_value(token.cell) && token.cell.bits() & bits(fields) != 0)
            .then_some(Meaning::Value),
    }
}

/// Whether a column shows one field and nothing else.
const fn shows_one_value(cell: Cell) -> bool {
    !matches!(
        cell,
        Cell::AddrPort(..)
            | Cell::GeoAddrPort(..)
            | Cell::Net(..)
            | Cell::Engine
            | Cell::Ttl
            | Cell::MplsStack
            | Cell::Location(_)
            | Cell::Tor(_)
            | Cell::Name(..)
            | Cell::EventTime
            | Cell::EventMillis
    )
}

impl Format {
    /// Whether a table of `element`, which counts the values of `fields`, can be printed in this
    /// format. To be asked before any file is read.
    ///
    /// # Errors
    ///
    /// [`FormatError::NotInTable`] for a `fmt:` or `csv:` with a token that says nothing about a
    /// sum. All other formats fit every table.
    pub fn check_table(&self, element: &str, fields: &[Field]) -> Result<(), FormatError> {
        if !self.is_spelt_out {
            return Ok(());
        }
        let mut tokens = self.ops.iter().filter_map(|op| match op {
            Op::Column(token) => Some(*token),
            Op::Literal(_) => None,
        });
        let Some(wrong) = tokens.find(|t| meaning(t, element, fields).is_none()) else {
            return Ok(());
        };
        let mut known = COMMON.to_owned();
        let mut own: Vec<_> = fields
            .iter()
            .map(|field| match field {
                Field::InPayload | Field::OutPayload => element,
                field => field.def().token,
            })
            .collect();
        own.dedup();
        for token in own.into_iter().filter(|t| !t.is_empty()) {
            known.push_str(" %");
            known.push_str(token);
        }
        Err(FormatError::NotInTable { token: wrong.name, element: element.to_owned(), known })
    }
}

impl StatTable<'_> {
    /// One row in the columns of `format`.
    pub(super) fn chosen_columns(
        &self,
        at: usize,
        row: &StatRow<'_>,
        format: &Format,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let is_csv = format.kind == Kind::Csv;
        for (i, op) in format.ops.iter().enumerate() {
            if is_csv && i > 0 {
                out.push(b',');
            }
            match op {
                Op::Literal(text) => out.extend_from_slice(text),
                Op::Column(token) => {
                    let Some(meaning) = meaning(token, self.element, self.fields) else { continue };
                    match (meaning, is_csv) {
                        (Meaning::Count, false) => push_right(out, at as u64 + 1, 5),
                        (Meaning::Count, true) => push_u64(out, at as u64 + 1),
                        (Meaning::Value, false) => {
                            let wide = format.options.ipv6_wide && token.wide;
                            let width = token.header.chars().count() + if wide { 23 } else { 0 };
                            self.push_known_padded(row.key, format, width, out);
                        }
                        (Meaning::Value, true) => self.push_csv_key(row.key, format, out),
                        (meaning, _) => self.push_sum(meaning, row, format, clock, out),
                    }
                }
            }
        }
        out.push(b'\n');
    }

    fn push_sum(
        &self,
        meaning: Meaning,
        row: &StatRow<'_>,
        format: &Format,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let is_csv = format.kind == Kind::Csv;
        let plain = format.options.plain_numbers;
        let shown = Shown::of(row, self.order.side());
        let counts = &row.counts;
        let counter = |out: &mut Vec<u8>, n: u64| {
            if is_csv { push_u64(out, n) } else { push_scaled_right(out, n, plain) }
        };
        match meaning {
            Meaning::Time { is_last, form } => {
                let ms = if is_last { counts.last_ms } else { counts.first_ms };
                match form {
                    Form::Local => push_time(clock, out, ms),
                    Form::Universal => push_time(&mut Clock::new(TimeZone::Utc), out, ms),
                    Form::Raw => push_thousandths(out, ms, if is_csv { 0 } else { 14 }),
                }
            }
            Meaning::Duration if !is_csv && !plain => push_duration(out, counts.duration_ms()),
            Meaning::Duration | Meaning::Seconds => {
                push_thousandths(out, shown.rate_ms, if is_csv { 0 } else { 16 });
            }
            Meaning::Proto => match (row.one_proto(), is_csv) {
                (None, _) => out.extend_from_slice(if is_csv { b"any" } else { b"any  " }),
                (Some(proto), false) => push_proto(out, Proto(proto), plain),
                (Some(proto), true) => match Proto(proto).name().filter(|_| format.options.names) {
                    Some(name) => out.extend_from_slice(name.as_bytes()),
                    None => push_u64(out, u64::from(proto)),
                },
            },
            Meaning::Flows => push_right(out, counts.flows, if is_csv { 0 } else { 5 }),
            Meaning::Packets(side) => {
                counter(out, side.map_or(shown.packets, |s| counts.packets(s)))
            }
            Meaning::Bytes(side) => counter(out, side.map_or(shown.bytes, |s| counts.bytes(s))),
            Meaning::PacketRate => counter(out, shown.pps),
            Meaning::BitRate => counter(out, shown.bps),
            Meaning::PacketSize => push_right(out, shown.bpp, if is_csv { 0 } else { 6 }),
            Meaning::NewLine => out.push(b'\n'),
            Meaning::Count | Meaning::Value => {}
        }
    }
}
