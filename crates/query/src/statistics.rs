//! Statistics: several `-s` answered by one pass over the files.

use crate::aggregate::{Aggregator, Groups};
use crate::element::Element;
use crate::flows::JoinedFlows;
use crate::key::KeySpec;
use crate::request::{By, Request, Sorting};
use crate::scan::{Query, Report, Scan};
use crate::table::Hasher;
use crate::top::Top;
use crate::value::{Shown, Style};
use output::{Format, FormatOptions, Kind, StatRow, StatTable, StatTotals, TablePrinter};
use record::{AddressBook, Field, Kind as FieldKind};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The answer to one request.
#[derive(Debug)]
pub enum Answer<'q> {
    /// Values of an element.
    Element(ElementTable),
    /// Flows, joined by a key.
    Flows(JoinedFlows<'q>),
}

/// Values of an element with their sums, ready to be sorted and printed for each order.
#[derive(Debug)]
pub struct ElementTable {
    element: &'static Element,
    by_proto: bool,
    key: KeySpec,
    groups: Groups,
    threads: usize,
    book: Option<Arc<dyn AddressBook>>,
}

impl Query {
    /// Answers all requests in one pass.
    pub fn statistics(&self, requests: &[Request]) -> (Vec<Answer<'_>>, Report) {
        let keys: Vec<Vec<KeySpec>> = requests.iter().map(|r| r.by.keys()).collect();
        let hasher = Hasher::new();
        let scanned = self.scan(
            &Scan { numbered: false, threads: self.threads },
            || {
                let book = self.book.as_deref();
                let new = keys.iter().map(|k| Aggregator::new(k, hasher).with_book(book));
                new.collect::<Vec<_>>()
            },
            |aggregators, batch| {
                for aggregator in aggregators {
                    let sums = aggregator.update(&batch.rows, batch.selected, batch.block);
                    batch.sums = Some(sums);
                }
                ControlFlow::Continue(())
            },
        );
        let places = Arc::new(scanned.places);
        let mut by_request: Vec<Vec<Aggregator<'_>>> = keys.iter().map(|_| Vec::new()).collect();
        for worker in scanned.states {
            for (request, aggregator) in by_request.iter_mut().zip(worker) {
                request.push(aggregator);
            }
        }
        let mut answers = Vec::new();
        for ((request, aggregators), keys) in requests.iter().zip(by_request).zip(&keys) {
            let groups = Groups::merge(aggregators, self.threads);
            let Some(key) = keys.first().cloned() else { continue };
            answers.push(match &request.by {
                By::Element { element, by_proto } => Answer::Element(ElementTable {
                    element,
                    by_proto: *by_proto,
                    key,
                    groups,
                    threads: self.threads,
                    book: self.book.clone(),
                }),
                By::Flows(grouping) => {
                    let places = Arc::clone(&places);
                    Answer::Flows(JoinedFlows::new(self, grouping.clone(), groups, places))
                }
            });
        }
        (answers, scanned.report)
    }
}

/// Tables of values, one below the other: one document in JSON, whatever the number of tables.
#[derive(Debug)]
pub struct Tables {
    format: Format,
    totals: StatTotals,
    text: Vec<u8>,
    has_rows: bool,
}

impl Tables {
    /// No table yet. Percentages are of the counts in `report`.
    pub fn new(format: &Format, report: &Report) -> Self {
        let passed = report.passed.counts;
        let totals = StatTotals {
            flows: passed.flows,
            packets: passed.in_packets.saturating_add(passed.out_packets),
            bytes: passed.in_bytes.saturating_add(passed.out_bytes),
        };
        let mut text = Vec::new();
        format.kind().open(&mut text);
        Self { format: format.clone(), totals, text, has_rows: false }
    }

    /// Adds the table of the first `n` values (0: all) by `sorting`.
    pub fn add(&mut self, table: &ElementTable, sorting: Sorting, n: usize) {
        let top = table.groups.top(sorting, n, table.threads);
        let field = table.field();
        let style = Style {
            organisations: table.element.shows_organisation,
            aligned: self.format.kind() == Kind::Text,
            book: table.book.as_deref(),
        };
        let value = |t: &Top<'_>| {
            let octets = table.key.octets(t.class, t.group.key, 0);
            Shown::new(field, t.class & 1 == 1, &octets, style)
        };
        let values: Vec<Shown> = top.iter().map(value).collect();
        let rows: Vec<StatRow<'_>> = top
            .iter()
            .zip(&values)
            .map(|(t, value)| StatRow {
                key: value.key(),
                proto: table.proto_of(t.class, t.group.key),
                counts: t.group.counts,
            })
            .collect();
        let page = StatTable {
            title: table.element.title,
            element: table.element.name,
            fields: table.element.fields,
            order: sorting.order,
            limit: n as u64,
            is_address: field.is_some_and(|f| f.kind() == FieldKind::Addr),
            rows: &rows,
            totals: self.totals,
            book: table.book.as_deref(),
        };
        page.print(&self.format, self.has_rows, &mut self.text);
        self.has_rows |= !rows.is_empty();
    }

    /// Adds a table that prints itself.
    pub(crate) fn table(
        &mut self,
        print: impl FnOnce(
            TablePrinter,
            Kind,
            &FormatOptions,
            &mut dyn Write,
        ) -> io::Result<TablePrinter>,
    ) {
        let (kind, options) = (self.format.kind(), self.format.options());
        let printer = TablePrinter::new(kind, options).after(self.has_rows);
        // Writing to memory does not fail.
        if let Ok(printer) = print(printer, kind, options, &mut self.text) {
            self.has_rows |= printer.has_rows();
        }
    }

    /// The whole document.
    pub fn finish(mut self) -> Vec<u8> {
        self.format.kind().close(&mut self.text);
        self.text
    }
}

impl ElementTable {
    /// How many different values there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn field(&self) -> Option<Field> {
        self.element.fields.first().copied()
    }

    /// The protocol of a line: where the statistic tells them apart, and for `proto` itself.
    fn proto_of(&self, class: u32, key: &[u64]) -> Option<u8> {
        let part = match self.field() {
            Some(Field::Proto) => 0,
            _ if !self.by_proto => return None,
            Some(_) => 1,
            None => 0,
        };
        self.key.octets(class, key, part).first().copied()
    }
}
