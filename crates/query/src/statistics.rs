//! Statistics: several `-s` answered by one pass over the files.

use crate::aggregate::{Groups, Keys};
use crate::document::Document;
use crate::element::Element;
use crate::error::QueryError;
use crate::flows::JoinedFlows;
use crate::gather::Wanted;
use crate::key::KeySpec;
use crate::report::Report;
use crate::request::{By, Request, Sorting};
use crate::scan::Query;
use crate::top::Top;
use crate::value::{Shown, Style};
use output::{Format, FormatOptions, Kind, StatRow, StatTable, StatTotals, TablePrinter};
use record::{AddressBook, Field, Kind as FieldKind};
use std::io::{self, Write};
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

impl By {
    /// The question for the groups of this statistic.
    pub(crate) fn wanted(&self, sortings: Vec<Option<Sorting>>) -> Wanted {
        let both_directions = match self {
            Self::Element { .. } => false,
            Self::Flows(grouping) => grouping.merges_directions(),
        };
        Wanted { keys: Keys { specs: self.keys(), both_directions }, sortings }
    }
}

impl Query {
    /// Answers all requests in one pass, for tables of the first `n` (0: all) by the sortings of
    /// each. Others need not be there, if memory is scarce.
    ///
    /// # Errors
    ///
    /// [`QueryError::Memory`] if the groups take more than [`Query::memory`]. With an `n` of a
    /// sensible size they do not: what does not fit is counted in further passes.
    pub fn statistics(
        &self,
        requests: &[Request],
        n: usize,
    ) -> Result<(Vec<Answer<'_>>, Report), QueryError> {
        let sortings = |r: &Request| r.sortings.iter().copied().map(Some).collect();
        let wanted: Vec<Wanted> = requests.iter().map(|r| r.by.wanted(sortings(r))).collect();
        let gathered = self.gather(&wanted, n)?;
        let answer = |((request, wanted), groups): ((&Request, Wanted), Groups)| {
            Some(match &request.by {
                By::Element { element, by_proto } => Answer::Element(ElementTable {
                    element,
                    by_proto: *by_proto,
                    key: wanted.keys.specs.into_iter().next()?,
                    groups,
                    threads: self.threads,
                    book: self.book.clone(),
                }),
                By::Flows(grouping) => {
                    let places = Arc::clone(&gathered.places);
                    Answer::Flows(JoinedFlows::new(self, grouping.clone(), groups, places))
                }
            })
        };
        let answers = requests.iter().zip(wanted).zip(gathered.groups).filter_map(answer);
        Ok((answers.collect(), gathered.report))
    }
}

/// Rows of a table that are made into text in one go.
const PIECE: usize = 4096;

/// Tables of one run, one below the other: of values, and of flows. One array in JSON, whatever
/// the number of tables.
#[derive(Debug)]
pub struct Tables<'o> {
    format: Format,
    totals: StatTotals,
    document: Document<'o>,
}

impl<'o> Tables<'o> {
    /// No table yet. Percentages are of the counts in `report`.
    pub fn new(format: &Format, report: &Report, out: &'o mut (dyn Write + Send)) -> Self {
        let passed = report.passed.counts;
        let totals = StatTotals {
            flows: passed.flows,
            packets: passed.in_packets.saturating_add(passed.out_packets),
            bytes: passed.in_bytes.saturating_add(passed.out_bytes),
        };
        let document = Document::open(format.kind(), out);
        Self { format: format.clone(), totals, document }
    }

    /// Adds the table of the first `n` values (0: all) by `sorting`.
    pub fn add(&mut self, table: &ElementTable, sorting: Sorting, n: usize) {
        let mut ranked = table.groups.ranked(Some(sorting), n, table.threads);
        let mut before = 0;
        loop {
            let rows: Vec<_> = ranked.by_ref().take(PIECE).collect();
            if before == 0 || !rows.is_empty() {
                self.add_rows(table, sorting, n, &rows, before);
            }
            before += rows.len();
            if rows.len() < PIECE || !self.document.is_sound() {
                return;
            }
        }
    }

    /// Adds rows of a table that has `before` others already.
    fn add_rows(
        &mut self,
        table: &ElementTable,
        sorting: Sorting,
        n: usize,
        top: &[Top<'_>],
        before: usize,
    ) {
        let field = table.field();
        let part = field.and_then(|_| table.key.parts().first().copied());
        let style = Style {
            organisations: table.element.shows_organisation,
            aligned: self.format.kind() == Kind::Text,
            book: table.book.as_deref(),
        };
        let value = |t: &Top<'_>| {
            let octets = table.key.octets(t.class, t.group.key, 0);
            Shown::new(part, t.class & 1 == 1, &octets, style)
        };
        let values: Vec<Shown> = top.iter().map(value).collect();
        let rows = top.iter().zip(&values).map(|(t, value)| StatRow {
            key: value.key(),
            proto: table.proto_of(t.class, t.group.key),
            counts: t.group.counts,
        });
        let rows: Vec<StatRow<'_>> = rows.collect();
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
        let mut text = Vec::new();
        if before == 0 {
            page.header(&self.format, &mut text);
        }
        // The document puts what stands between two records also between two pieces.
        page.print_rows(&self.format, false, before, &mut text);
        self.add_text(&text, !rows.is_empty());
    }

    /// Adds the text of a table.
    fn add_text(&mut self, text: &[u8], has_rows: bool) {
        if has_rows {
            let _ = self.document.records(text); // told by `finish`
        } else {
            self.document.plain(text);
        }
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
        let mut out = TableOut { document: &mut self.document, is_first: true };
        let _ = print(TablePrinter::new(kind, options), kind, options, &mut out); // told by `finish`
    }

    /// Adds the table of the first `n` flows (0: all) by `sorting`.
    pub fn add_flows(
        &mut self,
        flows: &JoinedFlows<'_>,
        sorting: Sorting,
        n: usize,
        report: &mut Report,
    ) {
        if self.format.kind() == Kind::Text {
            if flows.is_empty() {
                return; // that nothing matched says it all
            }
            if !self.format.options().quiet {
                let first = if n == 0 { String::new() } else { format!(" {n}") };
                let order = sorting.order.flow_name();
                self.document.plain(format!("Top{first} flows ordered by {order}:\n").as_bytes());
            }
        }
        flows.print_into(&mut self.document, Some(sorting), n, &self.format, report);
    }

    /// Ends the document.
    ///
    /// # Errors
    ///
    /// The first that writing it met.
    pub fn finish(self) -> io::Result<()> {
        self.document.close()
    }
}

/// Writes the pieces of a table that puts what stands between its records itself.
struct TableOut<'a, 'o> {
    document: &'a mut Document<'o>,
    is_first: bool,
}

impl Write for TableOut<'_, '_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_first) {
            let _ = self.document.records(text);
        } else {
            self.document.plain(text);
        }
        match self.document.is_sound() {
            true => Ok(text.len()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

    /// The same table under the name of another element of the same first field.
    #[must_use]
    pub fn shown_as(self, element: &'static Element) -> Self {
        Self { element, ..self }
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
