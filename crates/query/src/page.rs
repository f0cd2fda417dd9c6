//! Tables whose rows begin with the value of a key.

use crate::key::{Class, KeyPart, KeySpec, Prefix};
use crate::request::By;
use crate::value::{Shown, Style};
use output::{Column, ColumnKind, FormatOptions, Kind, Table, TablePrinter, Value};
use record::code::Proto;
use record::{AddressBook, Field, Kind as FieldKind};
use std::io::{self, Write};
use std::sync::Arc;

/// The columns that show a key: one `value` for an element, one a field for a key of `-A`.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumns {
    /// What the values are called above a table.
    pub(crate) title: String,
    key: KeySpec,
    parts: Vec<KeyColumn>,
    organisations: bool,
    book: Option<Arc<dyn AddressBook>>,
}

#[derive(Clone, Debug)]
struct KeyColumn {
    /// Part of the key; none for the one value of `any`.
    part: Option<usize>,
    name: &'static str,
    title: &'static str,
}

impl KeyColumns {
    pub(crate) fn new(by: &By, book: Option<Arc<dyn AddressBook>>) -> Self {
        let key = by.keys().into_iter().next().unwrap_or_else(|| KeySpec::new(Vec::new()));
        let (parts, title, organisations) = match by {
            By::Element { element, by_proto } => {
                let has_value = !element.fields.is_empty();
                let value = KeyColumn {
                    part: has_value.then_some(0),
                    name: "value",
                    title: element.title.trim(),
                };
                let proto = by_proto.then_some(KeyColumn {
                    part: Some(usize::from(has_value)),
                    name: "proto",
                    title: "Proto",
                });
                let parts = [Some(value), proto].into_iter().flatten().collect();
                (parts, element.title.trim().to_owned(), element.shows_organisation)
            }
            By::Flows(_) => {
                let column = |(n, field): (usize, Field)| {
                    let name = field.def().csv;
                    KeyColumn { part: Some(n), name, title: name }
                };
                let fields = key.parts().iter().map(|p| p.field);
                (fields.enumerate().map(column).collect(), "flows".to_owned(), false)
            }
        };
        Self { title, key, parts, organisations, book }
    }

    /// The columns, as wide as their values.
    pub(crate) fn columns(&self, options: &FormatOptions) -> Vec<Column> {
        let column = |c: &KeyColumn| {
            let part = self.part(c);
            let width = match (c.name, part.map(|p| p.field.kind())) {
                _ if part.is_some_and(|p| matches!(p.prefix, Prefix::Fingerprint(_))) => 36,
                ("proto", _) => 5,
                (_, Some(FieldKind::Addr)) if options.ipv6_wide => 43,
                _ if self.organisations => 54,
                ("value", _) | (_, Some(FieldKind::Addr | FieldKind::Mac)) => 17,
                _ => 8,
            };
            let about = match part {
                _ if c.name == "value" => "value of the element",
                Some(part) => part.field.def().about,
                None => "",
            };
            Column::new(c.name, c.title, "", ColumnKind::Text).wide(width).about(about)
        };
        self.parts.iter().map(column).collect()
    }

    fn part(&self, column: &KeyColumn) -> Option<KeyPart> {
        self.key.parts().get(column.part?).copied()
    }

    /// The values of a key, one a column.
    pub(crate) fn values(
        &self,
        class: Class,
        words: &[u64],
        kind: Kind,
        options: &FormatOptions,
    ) -> Vec<Shown> {
        let style = Style {
            organisations: self.organisations,
            aligned: kind == Kind::Text,
            book: self.book.as_deref(),
        };
        let value = |c: &KeyColumn| {
            let n = c.part.unwrap_or(0);
            let octets = self.key.octets(class, words, n);
            match self.part(c) {
                Some(KeyPart { field: Field::Proto, .. }) if !options.plain_numbers => {
                    Shown::Text(Proto(octets.first().copied().unwrap_or(0)).to_string())
                }
                part => Shown::new(part, class >> n & 1 == 1, &octets, style),
            }
        };
        self.parts.iter().map(value).collect()
    }

    /// The values of a row that is no value of the key.
    pub(crate) fn other(&self) -> Vec<Shown> {
        let text = |n| if n == 0 { "other" } else { "" };
        (0..self.parts.len()).map(|n| Shown::Text(text(n).to_owned())).collect()
    }
}

/// A table on its way out, handed on in pieces.
pub(crate) struct Page<'o> {
    printer: TablePrinter,
    table: Table,
    text: Vec<u8>,
    out: &'o mut dyn Write,
}

impl<'o> Page<'o> {
    /// Octets that are handed on in one go.
    const PIECE: usize = 1 << 16;

    pub(crate) fn new(printer: TablePrinter, table: Table, out: &'o mut dyn Write) -> Self {
        let (mut printer, mut text) = (printer, Vec::new());
        printer.table(&table, &mut text);
        Self { printer, table, text, out }
    }

    pub(crate) fn row(&mut self, values: &[Value<'_>]) -> io::Result<()> {
        self.printer.row(&self.table, values, &mut self.text);
        if self.text.len() < Self::PIECE {
            return Ok(());
        }
        self.out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }

    /// Hands on the rest. Returns the printer for the next table.
    pub(crate) fn finish(self) -> io::Result<TablePrinter> {
        self.out.write_all(&self.text)?;
        Ok(self.printer)
    }
}
