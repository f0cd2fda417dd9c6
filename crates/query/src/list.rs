//! Lists records: every worker formats the block it filtered, and the blocks come out in order.

use crate::fetch::Fetched;
use crate::scan::{Batch, Ordered, Pieces, Query, Report, Scan};
use output::{Format, Kind, Printer, RecordContext};
use record::{Flow, Row};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Octets of formatted records that are handed on in one go.
const PIECE: usize = 1 << 16;

/// Writes pieces of text in order, with what stands between records also between pieces.
struct Document<'o> {
    out: &'o mut (dyn Write + Send),
    kind: Kind,
    is_first: bool,
    result: io::Result<()>,
}

impl<'o> Document<'o> {
    /// Opens the document and writes the header line.
    fn open(format: &Format, out: &'o mut (dyn Write + Send)) -> io::Result<Self> {
        let mut text = Vec::new();
        format.printer().header(&mut text);
        out.write_all(&text)?;
        Ok(Self { out, kind: format.kind(), is_first: true, result: Ok(()) })
    }

    fn write(&mut self, text: &[u8]) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        let mut between = Vec::new();
        if !self.is_first {
            self.kind.separator(&mut between);
        }
        self.is_first = false;
        self.result = self.out.write_all(&between).and_then(|()| self.out.write_all(text));
        if self.result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn close(self) -> io::Result<()> {
        self.result?;
        let mut text = Vec::new();
        self.kind.close(&mut text);
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

/// Formats records one after the other and hands them on in pieces.
struct Pen<'o, F> {
    ordered: &'o Ordered<F>,
    printer: Printer,
    kind: Kind,
    text: Vec<u8>,
    pieces: Pieces,
}

impl<'o, F: FnMut(&[u8]) -> ControlFlow<()>> Pen<'o, F> {
    fn new(format: &Format, ordered: &'o Ordered<F>) -> Self {
        let (printer, kind) = (format.printer(), format.kind());
        Self { ordered, printer, kind, text: Vec::new(), pieces: Vec::new() }
    }

    fn record(
        &mut self,
        number: u32,
        row: Row<'_>,
        context: &RecordContext<'_>,
    ) -> ControlFlow<()> {
        if self.text.is_empty() {
            self.text.reserve(PIECE + PIECE / 16);
        } else {
            self.kind.separator(&mut self.text);
        }
        self.printer.record(row, context, &mut self.text);
        if self.text.len() >= PIECE {
            self.pieces.push(std::mem::take(&mut self.text));
            return self.ordered.stream(number, &mut self.pieces);
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, number: u32) -> ControlFlow<()> {
        if !self.text.is_empty() {
            self.pieces.push(std::mem::take(&mut self.text));
        }
        self.ordered.finish(number, &mut self.pieces)
    }
}

/// Whether records of this format show their running number.
fn is_numbered(format: &Format) -> bool {
    let fixed = matches!(format.kind(), Kind::Json | Kind::Ndjson | Kind::Raw | Kind::CsvFast);
    fixed || format.tokens().any(|t| t == "cnt")
}

impl Query {
    /// Prints the records that pass, in the order of the files.
    ///
    /// # Errors
    ///
    /// What `out` returns; the rest of the files is then not read.
    pub fn list(&self, format: &Format, out: &mut (dyn Write + Send)) -> io::Result<Report> {
        let mut document = Document::open(format, out)?;
        let scan = Scan { numbered: is_numbered(format), threads: self.threads };
        let ordered = Ordered::new(|text: &[u8]| document.write(text));
        let state = || Pen::new(format, &ordered);
        let step = |pen: &mut Pen<'_, _>, batch: &mut Batch<'_>| {
            let _abort = ordered.abort_on_panic();
            if format.kind() != Kind::Null {
                for i in batch.selected.iter() {
                    let Some(row) = batch.rows.row(i) else { break };
                    let count = batch.first_count + i as u64;
                    pen.record(batch.block, row, &RecordContext::new(batch.ident, count))?;
                }
            }
            pen.finish(batch.block)
        };
        let report = self.scan(&scan, state, step).report;
        drop(ordered);
        document.close()?;
        Ok(report)
    }

    /// Prints records that were fetched; `edit` may change each of them on the way.
    pub(crate) fn print_fetched(
        &self,
        fetched: &Fetched,
        records: usize,
        format: &Format,
        edit: &(dyn Fn(usize, Row<'_>, &mut Flow) -> Edit + Sync),
        out: &mut (dyn Write + Send),
    ) -> io::Result<()> {
        /// Records formatted in one go by one worker.
        const STRETCH: usize = 4096;
        let mut document = Document::open(format, out)?;
        let ordered = Ordered::new(|text: &[u8]| document.write(text));
        let jobs: Vec<usize> = (0..records.div_ceil(STRETCH)).collect();
        let is_done = AtomicBool::new(false);
        crate::parallel::map(jobs, self.threads, |job| {
            if is_done.load(Relaxed) {
                return;
            }
            let _abort = ordered.abort_on_panic();
            let (mut pen, mut flow, number) = (Pen::new(format, &ordered), Flow::new(), job as u32);
            for i in job * STRETCH..((job + 1) * STRETCH).min(records) {
                let Some((row, ident)) = fetched.row(i) else { continue };
                let edited = edit(i, row, &mut flow);
                let row = if edited == Edit::AsRead { row } else { flow.as_row() };
                let context = RecordContext::new(ident, i as u64 + 1);
                if pen.record(number, row, &context).is_break() {
                    break;
                }
            }
            if pen.finish(number).is_break() {
                is_done.store(true, Relaxed); // a reader that went away is reported at the end
            }
        });
        drop(ordered);
        document.close()
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Print it as it is in the file.
    AsRead,
    /// Print the flow it was copied to.
    Changed,
}
