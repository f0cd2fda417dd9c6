//! The filter of what is to be printed, over batches as they are made.
//!
//! Joined flows are rows only when they are about to be printed. They are copied side by side, as
//! rows of a file are, so that the filter runs over them as it does over those.

use filter::{Context, Evaluator, Filter};
use record::{Row, RowRef, Rows, Selection, Shape, ShapeTable};

/// Shapes that a table has at most when a stretch begins. The rows of one stretch add no more than
/// there is room for.
const SHAPES: usize = 1024;

/// One worker's filter, with the rows of the stretch at hand.
pub(crate) struct PostFilter<'a> {
    evaluator: Evaluator<'a>,
    table: ShapeTable,
    bytes: Vec<u8>,
    index: Vec<RowRef>,
    /// Number of the record that each row is.
    records: Vec<u32>,
    runs: Vec<Run<'a>>,
    selected: Selection,
}

/// Rows of records with consecutive numbers, out of files with one ident.
struct Run<'a> {
    /// The first row.
    start: usize,
    ident: &'a str,
}

impl<'a> PostFilter<'a> {
    pub(crate) fn new(filter: &'a Filter) -> Self {
        Self {
            evaluator: filter.evaluator(),
            table: ShapeTable::new(),
            bytes: Vec::new(),
            index: Vec::new(),
            records: Vec::new(),
            runs: Vec::new(),
            selected: Selection::default(),
        }
    }

    /// Begins a stretch.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        self.records.clear();
        self.runs.clear();
        if self.table.shapes().len() > SHAPES {
            self.table = ShapeTable::new();
        }
    }

    /// Adds record number `record`, which is `row` by now and came from a file of this ident.
    pub(crate) fn push(&mut self, record: u32, row: Row<'_>, ident: &'a str) {
        let Some(shape) = self.shape(row.shape()) else { return };
        let is_next = self.records.last().is_some_and(|last| last + 1 == record);
        if !is_next || self.runs.last().is_none_or(|run| run.ident != ident) {
            self.runs.push(Run { start: self.index.len(), ident });
        }
        let bytes = row.as_bytes();
        self.index.push(RowRef { at: self.bytes.len() as u32, len: bytes.len() as u16, shape });
        self.bytes.extend_from_slice(bytes);
        self.records.push(record);
    }

    /// Index of a shape in the table. Most rows have the shape of the one before.
    fn shape(&mut self, shape: &Shape) -> Option<u16> {
        let known = self.table.shapes();
        if let Some(last) = self.index.last()
            && known.get(usize::from(last.shape)) == Some(shape)
        {
            return Some(last.shape);
        }
        match known.iter().position(|k| k == shape) {
            Some(index) => u16::try_from(index).ok(),
            None => self.table.push(shape.clone()),
        }
    }

    /// The rows that pass, each with the number of its record. Record number 0 is the one with
    /// this running number.
    pub(crate) fn passing(&mut self, first_count: u64) -> Vec<(u32, Row<'_>)> {
        let mut passing = Vec::new();
        let Self { evaluator, table, bytes, index, records, runs, selected } = self;
        let ends = runs.iter().skip(1).map(|run| run.start).chain([index.len()]);
        for (run, end) in runs.iter().zip(ends) {
            let (Some(index), Some(records)) =
                (index.get(run.start..end), records.get(run.start..end))
            else {
                continue;
            };
            let rows = Rows { bytes: bytes.as_slice(), index, table: &*table };
            let first = records.first().copied().unwrap_or(0);
            let first_count = first_count + u64::from(first);
            evaluator.select(&rows, &Context { ident: run.ident, first_count }, selected);
            let row = |i: usize| Some((*records.get(i)?, rows.row(i)?));
            passing.extend(selected.iter().filter_map(row));
        }
        passing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Field, Flow};

    /// Rows with numbers that have gaps, of several shapes and idents: batches say what the
    /// interpreter says row by row.
    #[test]
    fn batches_pass_what_rows_pass() {
        let idents = ["a", "b", "b", "b", "c"];
        let flows: Vec<Flow> = (0..300u64)
            .map(|n| {
                let mut flow = Flow::new();
                flow.set(Field::DstPort, n % 7);
                if n % 3 == 0 {
                    flow.set(Field::SrcTos, n % 5);
                }
                flow
            })
            .collect();
        for text in ["dst port 3", "ident b and dst port < 4", "count > 120 and count < 300", "any"]
        {
            let filter = Filter::parse(text).unwrap();
            let mut post = PostFilter::new(&filter);
            for stretch in 0..3 {
                post.clear();
                let mut want = Vec::new();
                for (i, flow) in flows.iter().enumerate().filter(|(i, _)| i % 11 != stretch) {
                    let ident = idents[i / 40 % idents.len()];
                    post.push(i as u32, flow.as_row(), ident);
                    let ctx = Context { ident, first_count: 100 + i as u64 };
                    if filter.matches(flow.as_row(), &ctx) {
                        want.push(i as u32);
                    }
                }
                let passing = post.passing(100);
                assert!(!want.is_empty(), "{text}");
                assert_eq!(passing.iter().map(|p| p.0).collect::<Vec<_>>(), want, "{text}");
                let port = |row: Row<'_>| row.number(Field::DstPort);
                assert!(passing.iter().all(|(i, row)| port(*row) == u64::from(*i) % 7), "{text}");
            }
        }
    }
}
