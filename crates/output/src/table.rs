//! Tables of results that are not flows: time series, percentiles, distinct counts.
//!
//! A [`Table`] says what its columns are; a [`TablePrinter`] prints rows of one or more tables as
//! one document, row by row, so that a long table needs no memory.
//!
//! | Format | |
//! |---|---|
//! | text | a header line, values right-aligned, counters scaled (plain with `-N`) |
//! | `csv` | RFC 4180 with a header line for each table; times as `YYYY-MM-DD HH:MM:SS` of the zone |
//! | `csv-fast` | the same with times in milliseconds since 1970 |
//! | `flow-tools`, `flowdumper` | as `csv`: they have no form of their own for tables |
//! | `json` | one array of objects over all tables; numbers are numbers, times `YYYY-MM-DDTHH:MM:SS.mmm` |
//! | `ndjson` | the same objects, one a line |
//! | `raw` | a block of lines a row, `name = value` |
//! | `null` | nothing |
//!
//! Names of columns are a contract. [`Column::name`] is the word in CSV and JSON, and
//! [`Column::unit`] what its numbers count.

use crate::clock::Clock;
use crate::digits::{pad, push_left_text, push_u64};
use crate::escape::{push_csv, push_json, push_text};
use crate::format::{FormatOptions, Kind};
use crate::human::{push_scaled, push_scaled_right};
use crate::stat::{StatKey, push_key, push_padded_key};
use crate::summary::push_fmt;
use std::borrow::Cow;

/// What the values of a column are: their type in JSON and how text aligns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A value of an element, or a name: a string.
    Text,
    /// A count: an integer, scaled in text.
    Number,
    /// A count each second: an integer, scaled in text.
    Rate,
    /// A moment: a string, an integer (milliseconds since 1970) in `csv-fast`.
    Time,
    /// A share of a hundred: a number with one decimal.
    Percent,
    /// `true` or `false`.
    Flag,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in CSV, JSON and raw.
    pub name: Cow<'static, str>,
    /// Its heading in text.
    pub title: Cow<'static, str>,
    /// What its numbers count: `B`, `bit/s`, `1/s`; empty for plain counts and text.
    pub unit: &'static str,
    /// What its values are.
    pub kind: ColumnKind,
    /// Columns it takes in text. 0: for programs only, text leaves it out.
    pub width: usize,
    /// What it means, in a few words: for [`Schema`](crate::Schema).
    pub about: &'static str,
}

impl Column {
    /// A column of the usual width of its kind.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
        unit: &'static str,
        kind: ColumnKind,
    ) -> Self {
        let width = match kind {
            ColumnKind::Text => 17,
            ColumnKind::Number | ColumnKind::Rate => 8,
            ColumnKind::Time => 23,
            ColumnKind::Percent => 5,
            ColumnKind::Flag => 0,
        };
        let (name, title) = (name.into(), title.into());
        let width = if width == 0 { 0 } else { width.max(title.chars().count()) };
        Self { name, title, unit, kind, width, about: "" }
    }

    /// The same column, left out of text.
    #[must_use]
    pub fn for_programs(self) -> Self {
        Self { width: 0, ..self }
    }

    /// The same column, with what it means.
    #[must_use]
    pub fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// The same column, this wide in text.
    #[must_use]
    pub fn wide(self, width: usize) -> Self {
        Self { width: width.max(self.title.chars().count()), ..self }
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The value of an element: a string in JSON, as in statistics.
    Key(StatKey<'a>),
    /// A word of ours.
    Text(&'a str),
    /// A count or a rate.
    Number(u64),
    /// A count that is an estimate: marked with `~` in text.
    Estimate(u64),
    /// Milliseconds since 1970.
    Time(u64),
    /// A share of a hundred.
    Percent(f64),
    /// Yes or no.
    Flag(bool),
    /// Nothing: empty in text and CSV, `null` in JSON.
    Nothing,
}

/// What a table is called and which columns it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The line above it in text, without a line end; empty for none.
    pub title: String,
    /// Its columns. Every row has as many values.
    pub columns: Vec<Column>,
}

/// Prints tables as one document: [`open`](Self::open), for each table [`table`](Self::table) and
/// its [`row`](Self::row)s, [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct TablePrinter {
    kind: Kind,
    options: FormatOptions,
    clock: Clock,
    has_rows: bool,
}

impl TablePrinter {
    /// A printer that has printed nothing.
    pub const fn new(kind: Kind, options: &FormatOptions) -> Self {
        Self { kind, options: *options, clock: Clock::new(options.time_zone), has_rows: false }
    }

    /// Whether the document has rows.
    pub const fn has_rows(&self) -> bool {
        self.has_rows
    }

    /// Opens the document: the bracket of JSON.
    pub fn open(&self, out: &mut Vec<u8>) {
        self.kind.open(out);
    }

    /// Closes the document.
    pub fn close(&self, out: &mut Vec<u8>) {
        self.kind.close(out);
    }

    /// What stands above the rows of a table: title and header of text (not if quiet), the header
    /// of CSV.
    pub fn table(&mut self, table: &Table, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Text if self.options.quiet => {}
            Kind::Text => text_header(table, out),
            Kind::Csv | Kind::CsvFast | Kind::FlowTools(_) | Kind::Flowdumper => {
                for (i, column) in table.columns.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    push_csv(out, column.name.as_bytes());
                }
                out.push(b'\n');
            }
            Kind::Json | Kind::Ndjson | Kind::Raw | Kind::Null => {}
        }
    }

    /// One row of `table`.
    pub fn row(&mut self, table: &Table, values: &[Value<'_>], out: &mut Vec<u8>) {
        match self.kind {
            Kind::Text => self.text_row(table, values, out),
            Kind::Csv | Kind::CsvFast | Kind::FlowTools(_) | Kind::Flowdumper => {
                self.csv_row(values, out);
            }
            Kind::Json => {
                if self.has_rows {
                    self.kind.separator(out);
                }
                out.push(b'\n');
                self.object(table, values, out);
            }
            Kind::Ndjson => {
                self.object(table, values, out);
                out.push(b'\n');
            }
            Kind::Raw => self.raw_row(table, values, out),
            Kind::Null => {}
        }
        self.has_rows = true;
    }

    fn text_row(&mut self, table: &Table, values: &[Value<'_>], out: &mut Vec<u8>) {
        let shown = table.columns.iter().zip(values).filter(|(c, _)| c.width > 0);
        for (i, (column, value)) in shown.enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            self.text_value(column.width, value, out);
        }
        out.push(b'\n');
    }

    fn text_value(&mut self, width: usize, value: &Value<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let columns = match *value {
            Value::Key(key) => return push_padded_key(out, key, &self.options, width),
            Value::Text(text) => push_text(out, text.as_bytes()),
            Value::Number(n) => {
                push_scaled_right(out, n, self.options.plain_numbers);
                out.len() - start
            }
            Value::Estimate(n) => {
                out.push(b'~');
                push_scaled(out, n, self.options.plain_numbers);
                out.len() - start
            }
            Value::Time(ms) => {
                self.clock.push_millis(out, ms, b' ');
                out.len() - start
            }
            Value::Percent(share) => {
                push_fmt(out, format_args!("{share:.1}"));
                out.len() - start
            }
            Value::Flag(yes) => push_text(out, if yes { b"yes" } else { b"no" }),
            Value::Nothing => 0,
        };
        let short = width.saturating_sub(columns);
        pad(out, short);
        if let Some(cell) = out.get_mut(start..) {
            cell.rotate_right(short);
        }
    }

    fn csv_row(&mut self, values: &[Value<'_>], out: &mut Vec<u8>) {
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match *value {
                Value::Key(StatKey::Text(text)) => push_csv(out, text),
                Value::Text(text) => push_csv(out, text.as_bytes()),
                Value::Time(ms) if self.kind == Kind::CsvFast => push_u64(out, ms),
                Value::Time(ms) => self.clock.push_seconds(out, ms / 1000, b' '),
                _ => push_plain(value, out),
            }
        }
        out.push(b'\n');
    }

    fn object(&mut self, table: &Table, values: &[Value<'_>], out: &mut Vec<u8>) {
        for (i, (column, value)) in table.columns.iter().zip(values).enumerate() {
            out.extend_from_slice(if i == 0 { b"{ " } else { b", " });
            push_json(out, column.name.as_bytes());
            out.extend_from_slice(b" : ");
            match *value {
                Value::Key(StatKey::Text(text)) => push_json(out, text),
                Value::Text(text) => push_json(out, text.as_bytes()),
                Value::Key(key) => {
                    out.push(b'"');
                    push_key(out, key);
                    out.push(b'"');
                }
                Value::Time(ms) => {
                    out.push(b'"');
                    self.clock.push_millis(out, ms, b'T');
                    out.push(b'"');
                }
                Value::Nothing => out.extend_from_slice(b"null"),
                _ => push_plain(value, out),
            }
        }
        out.extend_from_slice(if table.columns.is_empty() { b"{}" } else { b" }" });
    }

    fn raw_row(&mut self, table: &Table, values: &[Value<'_>], out: &mut Vec<u8>) {
        out.push(b'\n');
        for (column, value) in table.columns.iter().zip(values) {
            push_left_text(out, column.name.as_bytes(), 20);
            out.extend_from_slice(b" = ");
            match *value {
                Value::Key(StatKey::Text(text)) => {
                    push_text(out, text);
                }
                Value::Text(text) => {
                    push_text(out, text.as_bytes());
                }
                Value::Time(ms) => self.clock.push_millis(out, ms, b' '),
                _ => push_plain(value, out),
            }
            out.push(b'\n');
        }
    }
}

/// Values that look alike in all formats for programs.
fn push_plain(value: &Value<'_>, out: &mut Vec<u8>) {
    match *value {
        Value::Key(key) => push_key(out, key),
        Value::Text(text) => {
            push_text(out, text.as_bytes());
        }
        Value::Number(n) | Value::Estimate(n) | Value::Time(n) => push_u64(out, n),
        Value::Percent(share) if share.is_finite() => push_fmt(out, format_args!("{share:.1}")),
        Value::Percent(_) => out.push(b'0'),
        Value::Flag(yes) => out.extend_from_slice(if yes { b"true" } else { b"false" }),
        Value::Nothing => {}
    }
}

fn text_header(table: &Table, out: &mut Vec<u8>) {
    if !table.title.is_empty() {
        push_text(out, table.title.as_bytes());
        out.push(b'\n');
    }
    for (i, column) in table.columns.iter().filter(|c| c.width > 0).enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        let (title, width) = (&column.title, column.width);
        // Times begin their line in all tables: their heading stands at its left end.
        if column.kind == ColumnKind::Time {
            push_fmt(out, format_args!("{title:width$}"));
        } else {
            push_fmt(out, format_args!("{title:>width$}"));
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TimeZone;
    use crate::sample::{TEN, addr};

    fn table() -> Table {
        Table {
            title: "Top 2 Src IP Addr".to_owned(),
            columns: vec![
                Column::new("start", "Bin start", "", ColumnKind::Time),
                Column::new("value", "Src IP Addr", "", ColumnKind::Text),
                Column::new("bytes", "Bytes", "B", ColumnKind::Number),
                Column::new("distinct_dstip", "Dst IP Addr", "", ColumnKind::Number).wide(10),
                Column::new("distinct_is_exact", "", "", ColumnKind::Flag),
                Column::new("share", "%", "%", ColumnKind::Percent),
            ],
        }
    }

    fn print(kind: Kind, options: FormatOptions) -> String {
        let options = FormatOptions { time_zone: TimeZone::Utc, ..options };
        let (table, mut out) = (table(), Vec::new());
        let mut printer = TablePrinter::new(kind, &options);
        printer.open(&mut out);
        printer.table(&table, &mut out);
        for (key, bytes, is_exact) in [
            (StatKey::Addr(addr("2001:db8:1:2:3:4:5:6")), 1_500_000, true),
            (StatKey::Text(b"a,\"b\x1b"), 7, false),
        ] {
            let count = if is_exact { Value::Number(12) } else { Value::Estimate(2_000_000) };
            let values = [
                Value::Time(TEN + 5),
                Value::Key(key),
                Value::Number(bytes),
                count,
                Value::Flag(is_exact),
                if is_exact { Value::Percent(33.333) } else { Value::Nothing },
            ];
            printer.row(&table, &values, &mut out);
        }
        printer.close(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_a_table_for_people() {
        assert_eq!(
            print(Kind::Text, FormatOptions::default()),
            "\
Top 2 Src IP Addr
Bin start                     Src IP Addr    Bytes Dst IP Addr     %
2026-11-20 10:00:00.005  2001:db..3:4:5:6    1.5 M          12  33.3
2026-11-20 10:00:00.005          a,\"b\\x1b        7      ~2.0 M      
"
        );
        let plain = FormatOptions { plain_numbers: true, quiet: true, ..FormatOptions::default() };
        let text = print(Kind::Text, plain);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("  1500000 ") && text.contains(" ~2000000 "), "{text}");
    }

    #[test]
    fn csv_has_a_header_and_plain_numbers() {
        assert_eq!(
            print(Kind::Csv, FormatOptions::default()),
            "\
start,value,bytes,distinct_dstip,distinct_is_exact,share
2026-11-20 10:00:00,2001:db8:1:2:3:4:5:6,1500000,12,true,33.3
2026-11-20 10:00:00,\"a,\"\"b\\x1b\",7,2000000,false,
"
        );
        let fast = print(Kind::CsvFast, FormatOptions::default());
        assert_eq!(fast.lines().nth(1).unwrap().split(',').next().unwrap(), (TEN + 5).to_string());
    }

    #[test]
    fn json_is_one_array_of_objects_with_numbers() {
        let text = print(Kind::Json, FormatOptions::default());
        let array: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(array.len(), 2);
        assert_eq!(array[0]["start"], "2026-11-20T10:00:00.005");
        assert_eq!(array[0]["bytes"], 1_500_000);
        assert_eq!(array[0]["share"], 33.3);
        assert_eq!(array[1]["distinct_is_exact"], false);
        assert_eq!(array[1]["value"], "a,\"b\u{1b}");
        assert!(array[1]["share"].is_null());
        let lines = print(Kind::Ndjson, FormatOptions::default());
        for (line, object) in lines.lines().zip(&array) {
            assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap(), *object);
        }
        let (mut out, printer) =
            (Vec::new(), TablePrinter::new(Kind::Json, &FormatOptions::default()));
        printer.open(&mut out);
        printer.close(&mut out);
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&out).unwrap(),
            serde_json::json!([])
        );
    }

    #[test]
    fn raw_is_a_block_a_row_and_null_is_nothing() {
        let raw = print(Kind::Raw, FormatOptions::default());
        assert!(raw.starts_with("\nstart                = 2026-11-20 10:00:00.005\n"), "{raw}");
        assert!(raw.contains("\nbytes                = 1500000\n"), "{raw}");
        assert_eq!(print(Kind::Null, FormatOptions::default()), "");
    }
}
