//! Lists records: every worker formats the block it filtered, and the blocks come out in order.

use crate::document::Document;
use crate::fetch::Fetched;
use crate::names::AllNames;
use crate::ordered::{Ordered, Pieces};
use crate::report::Report;
use crate::scan::{Batch, Numbers, Query, Scan};
use output::{Format, Kind, Printer, RecordContext};
use record::{Flow, Row};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Octets of formatted records that are handed on in one go.
const PIECE: usize = 1 << 16;

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

/// What the running numbers in records of this format count: in most of those with fixed fields
/// what is printed, elsewhere what is read, as in filters. nfdump has it so.
fn numbers(format: &Format) -> Numbers {
    match format.kind() {
        Kind::Json | Kind::Ndjson | Kind::CsvFast => Numbers::Passed,
        Kind::Raw => Numbers::Read,
        _ if format.tokens().any(|t| t == "cnt") => Numbers::Read,
        _ => Numbers::None,
    }
}

impl Query {
    /// Prints the records that pass, in the order of the files.
    ///
    /// # Errors
    ///
    /// What `out` returns; the rest of the files is then not read.
    pub fn list(&self, format: &Format, out: &mut (dyn Write + Send)) -> io::Result<Report> {
        let mut document = Document::open(format.kind(), out);
        document.header(format);
        let names = self.names(format);
        let numbers = numbers(format);
        let scan = Scan { numbers, threads: self.threads, again: None };
        let ordered = Ordered::new(|text: &[u8]| document.records(text));
        let state = || Pen::new(format, &ordered);
        let step = |pen: &mut Pen<'_, _>, batch: &mut Batch<'_>| {
            let _abort = ordered.abort_on_panic();
            if format.kind() != Kind::Null {
                for (n, i) in batch.selected.iter().enumerate() {
                    let Some(row) = batch.rows.row(i) else { break };
                    let before = if numbers == Numbers::Passed { n } else { i };
                    let count = batch.first_count + before as u64;
                    let context = self.context(&names, batch.file, batch.ident, count);
                    pen.record(batch.block, row, &context)?;
                }
            }
            pen.finish(batch.block)
        };
        let report = self.scan(&scan, state, step).report;
        drop(ordered);
        document.close()?;
        Ok(report)
    }

    /// What a record of a file does not say of itself.
    fn context<'a>(
        &'a self,
        names: &'a AllNames,
        file: usize,
        ident: &'a str,
        count: u64,
    ) -> RecordContext<'a> {
        let book = self.book.as_deref();
        RecordContext { names: names.of(file), book, ..RecordContext::new(ident, count) }
    }

    /// Prints one window of records that were fetched.
    pub(crate) fn print_window(
        &self,
        fetched: &Fetched,
        records: usize,
        how: &Printing<'_>,
        document: &mut Document<'_>,
    ) -> ControlFlow<()> {
        /// Records formatted in one go by one worker.
        const STRETCH: usize = 4096;
        let shown = self.shown(fetched, records, how);
        let ordered = Ordered::new(|text: &[u8]| document.records(text));
        let jobs: Vec<_> = shown.chunks(STRETCH).enumerate().collect();
        let is_done = AtomicBool::new(false);
        let before = how.printed.load(Relaxed);
        crate::parallel::map(jobs, self.threads, |(job, stretch)| {
            if is_done.load(Relaxed) {
                return;
            }
            let _abort = ordered.abort_on_panic();
            let number = job as u32;
            let (mut pen, mut flow) = (Pen::new(how.format, &ordered), Flow::new());
            for (n, i) in stretch.iter().enumerate() {
                let Some(found) = fetched.row(*i as usize) else { continue };
                let row = (how.edit)(*i as usize, found.row, &mut flow).of(found.row, &flow);
                let count = before + (job * STRETCH + n) as u64 + 1;
                let mut context = self.context(how.names, found.file, found.ident, count);
                if let Some(shown) = how.shown {
                    (context.shown, context.ident) = (shown, "");
                }
                if pen.record(number, row, &context).is_break() {
                    break;
                }
            }
            if pen.finish(number).is_break() {
                is_done.store(true, Relaxed); // a reader that went away is reported at the end
            }
        });
        drop(ordered);
        how.printed.fetch_add(shown.len() as u64, Relaxed);
        if document.is_sound() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// The records of a window that [`Query::post`] lets through.
    fn shown(&self, fetched: &Fetched, records: usize, how: &Printing<'_>) -> Vec<u32> {
        const STRETCH: usize = 4096;
        let all = 0..records as u32;
        let Some(post) = self.post.as_ref().filter(|p| !p.is_any()) else { return all.collect() };
        let jobs: Vec<u32> = all.clone().step_by(STRETCH).collect();
        let before = how.seen.fetch_add(records as u64, Relaxed);
        let passing = crate::parallel::map(jobs, self.threads, |from| {
            let mut flow = Flow::new();
            let passes = |i: &u32| {
                let Some(found) = fetched.row(*i as usize) else { return false };
                let row = (how.edit)(*i as usize, found.row, &mut flow).of(found.row, &flow);
                let first_count = before + u64::from(*i) + 1;
                post.matches(row, &filter::Context { ident: found.ident, first_count })
            };
            let to = from.saturating_add(STRETCH as u32).min(all.end);
            (from..to).filter(passes).collect::<Vec<u32>>()
        });
        passing.concat()
    }
}

/// How the windows of one list are printed.
pub(crate) struct Printing<'a> {
    pub(crate) format: &'a Format,
    pub(crate) names: &'a AllNames,
    /// May change record `i` of the window on the way.
    pub(crate) edit: &'a (dyn Fn(usize, Row<'_>, &mut Flow) -> Edit + Sync),
    /// The fields that sums of several records show, if these are such.
    pub(crate) shown: Option<u128>,
    /// Records printed in earlier windows.
    pub(crate) printed: &'a AtomicU64,
    /// Records of earlier windows, printed or not.
    pub(crate) seen: &'a AtomicU64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Print it as it is in the file.
    AsRead,
    /// Print the flow it was copied to.
    Changed,
}

impl Edit {
    /// The row that is to be printed.
    fn of<'a>(self, read: Row<'a>, flow: &'a Flow) -> Row<'a> {
        if self == Self::AsRead { read } else { flow.as_row() }
    }
}
