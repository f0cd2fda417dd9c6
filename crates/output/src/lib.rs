//! Everything that is printed about flows: lists, statistics, summaries, as bytes appended to a
//! buffer.
//!
//! This crate reads [`Row`]s and sums. It knows neither files nor queries nor where the bytes go,
//! and it looks at no clock: times come from the records.
//!
//! * [`Format`]: what `-o` says, parsed once;
//! * [`Printer`]: prints records of one format; each worker has its own;
//! * [`StatTable`]: one table of a statistic;
//! * [`Table`]: any other table; [`Plot`]: series drawn on a terminal;
//! * [`Order`]: what lists and statistics are ordered by;
//! * [`Schema`]: the columns of a format as a contract;
//! * [`summary()`], [`file_statistics`]: what stands below a list, and what `-I` says.
//!
//! ```
//! use output::{Format, FormatOptions, RecordContext, TimeZone};
//! use record::{Addr, Field, Flow};
//!
//! let options = FormatOptions { time_zone: TimeZone::Utc, ..FormatOptions::default() };
//! let format = Format::parse("csv:%sa,%dp,%byt", &options)?;
//! let mut printer = format.printer();
//!
//! let mut flow = Flow::new();
//! flow.set_addr(Field::SrcAddr, Addr::V4(0x0a01_0005));
//! flow.set(Field::DstPort, 443);
//! flow.set(Field::Bytes, 1_500_000);
//!
//! let mut out = Vec::new();
//! printer.header(&mut out);
//! printer.record(flow.as_row(), &RecordContext::new("router-1", 1), &mut out);
//! printer.footer(&mut out);
//! assert_eq!(out, b"srcAddr,dstPort,bytes\n10.1.0.5,443,1500000\n");
//! # Ok::<_, output::FormatError>(())
//! ```

#![forbid(unsafe_code)]

mod clock;
mod colour;
mod column;
mod csv;
mod digits;
mod draft;
mod escape;
mod flow_tools;
mod format;
mod human;
mod json;
mod names;
mod order;
mod places;
mod plot;
mod raw;
mod schema;
mod stat;
mod summary;
mod table;
mod text;
mod tls;
mod value;

pub use clock::{Clock, TimeZone};
pub use colour::dim_lines;
pub use format::{Format, FormatError, FormatOptions, Kind, UserFormat, known_formats};
pub use names::{Names, Services};
pub use order::{Counts, Order, Side};
pub use plot::{Plot, PlotSeries};
pub use schema::{ColumnType, SCHEMA_VERSION, Schema, SchemaColumn};
pub use stat::{StatKey, StatRow, StatTable, StatTotals};
pub use summary::{SummaryInput, Timings, file_statistics, no_matching_flows, summary};
pub use table::{Column, ColumnKind, Table, TablePrinter, Value};

use record::{AddressBook, Field, NameTable, Row};
use value::State;

/// What a record does not say of itself.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// Ident of the file the record came from; empty if it has none.
    pub ident: &'a str,
    /// Running number of the record.
    pub count: u64,
    /// Names of interfaces, VRFs and applications, if known.
    pub names: Option<&'a dyn Names>,
    /// What is known about addresses: countries, autonomous systems, exits of the Tor network.
    pub book: Option<&'a dyn AddressBook>,
    /// Presence bits ([`Shape::present`](record::Shape::present)) of the fields that are shown: all
    /// of them for a record of a file. Of an aggregated record these are its key and its sums; a
    /// field that is not shown leaves its column blank, and its key out of JSON.
    pub shown: u128,
}

impl<'a> RecordContext<'a> {
    /// A context without names and address book that shows everything.
    pub const fn new(ident: &'a str, count: u64) -> Self {
        Self { ident, count, names: None, book: None, shown: u128::MAX }
    }

    /// The ident, or this where there is none.
    pub(crate) const fn ident_or(&self, none: &'static str) -> &'a str {
        if self.ident.is_empty() { none } else { self.ident }
    }

    /// Whether a field may be shown.
    #[inline]
    pub(crate) const fn shows(&self, field: Field) -> bool {
        self.shown >> field as u32 & 1 == 1
    }

    /// Whether the record is the sum of several, and shows its key and its counters alone.
    #[inline]
    pub(crate) const fn is_sum(&self) -> bool {
        self.shown != u128::MAX
    }

    /// Whether one of some fields may be shown, or there are none to ask about.
    pub(crate) const fn shows_any(&self, bits: u128) -> bool {
        bits == 0 || self.shown & bits != 0
    }

    pub(crate) fn name(&self, row: Row<'_>, table: NameTable, field: Field) -> Option<&'a [u8]> {
        let exporter = row.number(Field::ExporterId) as u32;
        self.names?.name(exporter, table, row.u64(field)? as u32)
    }

    pub(crate) fn application(&self, row: Row<'_>, id: &[u8]) -> Option<&'a [u8]> {
        self.names?.application(row.number(Field::ExporterId) as u32, id)
    }
}

/// What an aggregated record shows: the fields of its `key`, its times and its counters. For
/// [`RecordContext::shown`].
pub fn shown_of_sums(key: impl IntoIterator<Item = Field>) -> u128 {
    const SUMS: u128 = column::bits(&[
        Field::First,
        Field::Last,
        Field::Packets,
        Field::Bytes,
        Field::Flows,
        Field::OutPackets,
        Field::OutBytes,
    ]);
    key.into_iter().fold(SUMS, |bits, field| bits | column::bits(&[field]))
}

/// Prints records of one [`Format`].
///
/// A whole list is [`header`](Self::header), records with [`separator`](Self::separator) *between*
/// them, [`footer`](Self::footer). Records do not depend on one another, so workers may format
/// pieces of a list with printers of their own; whoever joins the pieces puts a separator between
/// those that are not empty. Only JSON has a separator, and a list without records is
/// header and footer: `[`, `]`.
#[derive(Clone, Debug)]
pub struct Printer {
    format: Format,
    state: State,
}

impl Format {
    /// A printer of this format, with a time cache of its own.
    pub fn printer(&self) -> Printer {
        Printer { format: self.clone(), state: State::new(self.options.time_zone) }
    }
}

impl Printer {
    /// What stands before the first record: the header line of text (not if quiet) and CSV, the
    /// bracket of JSON.
    pub fn header(&mut self, out: &mut Vec<u8>) {
        let format = &self.format;
        match format.kind {
            Kind::Text if format.options.quiet => {}
            Kind::Text | Kind::Csv => {
                let start = out.len();
                format::header(format, out);
                if format.kind == Kind::Text && format.options.colour {
                    colour::wrap(out, start, colour::BOLD);
                }
                out.push(b'\n');
            }
            Kind::CsvFast => {
                out.extend_from_slice(csv::FAST_HEADER.as_bytes());
                out.push(b'\n');
            }
            Kind::FlowTools(columns) => columns.push_header(out),
            kind => kind.open(out),
        }
    }

    /// One record, without a separator.
    #[inline]
    pub fn record(&mut self, row: Row<'_>, context: &RecordContext<'_>, out: &mut Vec<u8>) {
        let (format, state) = (&self.format, &mut self.state);
        match format.kind {
            Kind::Text => text::record(format, state, row, context, out),
            Kind::Csv => csv::record(format, state, row, context, out),
            Kind::CsvFast => csv::fast_record(state, row, context, out),
            Kind::Json => json::record(format, state, row, context, out),
            Kind::Ndjson => json::line(format, state, row, context, out),
            Kind::Raw => raw::record(state, row, context, out),
            Kind::FlowTools(columns) => flow_tools::record(columns, row, context, out),
            Kind::Flowdumper => flow_tools::dumper(state, row, context, out),
            Kind::Null => {}
        }
    }

    /// What stands between two records: the comma of JSON, else nothing.
    #[inline]
    pub fn separator(&self, out: &mut Vec<u8>) {
        self.format.kind.separator(out);
    }

    /// What stands behind the last record: the bracket of JSON, else nothing.
    pub fn footer(&mut self, out: &mut Vec<u8>) {
        self.format.kind.close(out);
    }

    /// The format it prints.
    pub const fn format(&self) -> &Format {
        &self.format
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod known;
#[cfg(test)]
mod sample;
