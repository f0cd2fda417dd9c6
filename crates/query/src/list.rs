//! Lists records: every worker formats the block it filtered, and the blocks come out in order.

use crate::document::Document;
use crate::fetch::{Fetched, FetchedRow};
use crate::names::AllNames;
use crate::ordered::{Ordered, Pieces, Turn};
use crate::post::PostFilter;
use crate::report::Report;
use crate::scan::{Batch, Numbers, Query, Scan};
use output::{Format, Kind, Printer, RecordContext};
use record::{Flow, Row};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Octets of formatted records that are handed on in one go: large enough for calls of the system to
/// be few, small enough for the inner cache.
const PIECE: usize = 1 << 18;

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
        Self { ordered, printer, kind, text: Vec::new(), pieces: Pieces::default() }
    }

    fn record(
        &mut self,
        number: u32,
        row: Row<'_>,
        context: &RecordContext<'_>,
    ) -> ControlFlow<()> {
        if self.text.is_empty() {
            self.text = self.pieces.blank(PIECE + PIECE / 16);
        }
        self.kind.separator(&mut self.text);
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
        let ordered = Ordered::new(|text: &[u8]| document.led_records(text));
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

    /// The same of a record that was fetched. Sums of several records are of no file.
    fn fetched_context<'a>(
        &'a self,
        how: &Printing<'a>,
        found: &FetchedRow<'a>,
        count: u64,
    ) -> RecordContext<'a> {
        let mut context = self.context(how.names, found.file, found.ident, count);
        if let Some(shown) = how.shown {
            (context.shown, context.ident) = (shown, "");
        }
        context
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
        let ordered = Ordered::new(|text: &[u8]| document.led_records(text));
        let jobs: Vec<_> = (0..records).step_by(STRETCH).enumerate().collect();
        let before = how.printed.load(Relaxed);
        let (is_done, turn) = (AtomicBool::new(false), Turn::default());
        let post = self.post.as_ref().filter(|p| !p.is_any());
        let state = || Stretch {
            pen: Pen::new(how.format, &ordered),
            flow: Flow::new(),
            post: post.map(PostFilter::new),
        };
        crate::parallel::map_with(jobs, self.threads, state, |stretch, (job, from)| {
            if is_done.load(Relaxed) {
                return turn.abort(); // nobody gets a number any more
            }
            let _abort = (ordered.abort_on_panic(), turn.abort_on_panic());
            let (number, to) = (job as u32, records.min(from + STRETCH));
            let Stretch { pen, flow, post } = stretch;
            let mut rows = (from..to).filter_map(|i| Some((i, fetched.row(i)?)));
            let _ = match post {
                None => rows.try_for_each(|(i, found)| {
                    let row = (how.edit)(i, found.row, flow).of(found.row, flow);
                    pen.record(
                        number,
                        row,
                        &self.fetched_context(how, &found, before + i as u64 + 1),
                    )
                }),
                Some(post) => {
                    post.clear();
                    for (i, found) in rows {
                        let row = (how.edit)(i, found.row, flow).of(found.row, flow);
                        post.push(i as u32, row, found.ident);
                    }
                    let passing = post.passing(how.seen.load(Relaxed) + 1);
                    let first = before + turn.take(number, passing.len() as u64) + 1;
                    how.printed.fetch_add(passing.len() as u64, Relaxed);
                    let found = |(i, row)| Some((row, fetched.row(i as usize)?));
                    let mut passing = passing.into_iter().filter_map(found).zip(first..);
                    passing.try_for_each(|((row, found), count)| {
                        pen.record(number, row, &self.fetched_context(how, &found, count))
                    })
                }
            };
            if pen.finish(number).is_break() {
                is_done.store(true, Relaxed); // a reader that went away is reported at the end
            }
        });
        drop(ordered);
        how.seen.fetch_add(records as u64, Relaxed);
        if post.is_none() {
            how.printed.fetch_add(records as u64, Relaxed);
        }
        if document.is_sound() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// What one worker prints stretches of a window with.
struct Stretch<'o, 'a, F> {
    pen: Pen<'o, F>,
    flow: Flow,
    post: Option<PostFilter<'a>>,
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
