//! Lists records: every worker formats the block it filtered, and the blocks come out in order.

use crate::fetch::Fetched;
use crate::scan::{Ordered, Query, Report, Scan};
use output::{Format, Kind, Printer, RecordContext};
use record::{Flow, Row};
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Formatted records of one block or one stretch of an answer.
struct Chunk {
    text: Vec<u8>,
    has_records: bool,
}

/// Writes chunks in order, with what stands between records also between chunks.
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

    fn write(&mut self, chunk: &Chunk) -> ControlFlow<()> {
        if !chunk.has_records {
            return ControlFlow::Continue(());
        }
        let mut between = Vec::new();
        if !self.is_first {
            self.kind.separator(&mut between);
        }
        self.is_first = false;
        self.result = self.out.write_all(&between).and_then(|()| self.out.write_all(&chunk.text));
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

/// Whether records of this format show their running number.
fn is_numbered(format: &Format) -> bool {
    let fixed = matches!(format.kind(), Kind::Json | Kind::Ndjson | Kind::Raw | Kind::CsvFast);
    fixed || format.tokens().any(|t| t == "cnt")
}

impl Query {
    /// Prints the records that pass, in the order of the files, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// What `out` returns; the rest of the files is then not read.
    pub fn list(
        &self,
        format: &Format,
        limit: Option<u64>,
        out: &mut (dyn Write + Send),
    ) -> io::Result<Report> {
        let kind = format.kind();
        let mut document = Document::open(format, out)?;
        // A limit counts in order, so one worker goes through the files alone.
        let threads = if limit.is_some() { 1 } else { self.threads };
        let scan = Scan { numbered: is_numbered(format), threads };
        let ordered = Ordered::new(threads * 4, |chunk: Chunk| document.write(&chunk));
        let state = || (format.printer(), limit.unwrap_or(u64::MAX));
        let scanned = self.scan(&scan, state, |(printer, left), batch| {
            let _abort = ordered.abort_on_panic();
            batch.selected.keep_first(usize::try_from(*left).unwrap_or(usize::MAX));
            let records = batch.selected.count();
            let mut text = Vec::new();
            if kind != Kind::Null {
                for (n, i) in batch.selected.iter().enumerate() {
                    let Some(row) = batch.rows.row(i) else { break };
                    if n > 0 {
                        kind.separator(&mut text);
                    }
                    let count = batch.first_count + i as u64;
                    printer.record(row, &RecordContext::new(batch.ident, count), &mut text);
                }
            }
            *left -= records as u64;
            ordered.submit(batch.block, Chunk { text, has_records: records > 0 })?;
            if *left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        drop(ordered);
        document.close()?;
        Ok(scanned.report)
    }

    /// Prints records that were fetched; `edit` may change each of them on the way, and leaves out
    /// those it returns `false` for. Returns how many were printed.
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
        let ordered = Ordered::new(self.threads * 4, |chunk: Chunk| document.write(&chunk));
        let jobs: Vec<usize> = (0..records.div_ceil(STRETCH)).collect();
        crate::parallel::map(jobs, self.threads, |job| {
            let _abort = ordered.abort_on_panic();
            let range = job * STRETCH..((job + 1) * STRETCH).min(records);
            let chunk = stretch(fetched, range, format, edit);
            // A reader that went away is reported at the end.
            let _ = ordered.submit(job as u32, chunk);
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

fn stretch(
    fetched: &Fetched,
    range: std::ops::Range<usize>,
    format: &Format,
    edit: &(dyn Fn(usize, Row<'_>, &mut Flow) -> Edit + Sync),
) -> Chunk {
    let (kind, mut printer): (_, Printer) = (format.kind(), format.printer());
    let mut chunk = Chunk { text: Vec::new(), has_records: false };
    let mut flow = Flow::new();
    for i in range {
        let Some((row, ident)) = fetched.row(i) else { continue };
        if chunk.has_records {
            kind.separator(&mut chunk.text);
        }
        chunk.has_records = true;
        let edited = edit(i, row, &mut flow);
        let row = if edited == Edit::AsRead { row } else { flow.as_row() };
        printer.record(row, &RecordContext::new(ident, i as u64 + 1), &mut chunk.text);
    }
    chunk
}
