//! Writes flows that pass to a new file: records as they are, or joined ones.

use crate::error::QueryError;
use crate::fetch::Memory;
use crate::flows::JoinedFlows;
use crate::report::Report;
use crate::request::Sorting;
use crate::scan::{Numbers, Query, Scan, lock};
use record::{Field, FlowSink as _, Row, Sampler};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use store::{MetaRecord, Renumber, StoreError, Writer};

/// A writer, and what the exporters of each input file are called in it.
struct Output<'w> {
    writer: &'w mut Writer,
    query: &'w Query,
    numbers: Renumber,
}

impl<'w> Output<'w> {
    fn new(writer: &'w mut Writer, query: &'w Query) -> Self {
        Self { writer, query, numbers: Renumber::default() }
    }

    /// An output that begins with all exporters and samplers of the files read.
    fn with_exporters(writer: &'w mut Writer, query: &'w Query, report: &Report) -> Self {
        let mut output = Self::new(writer, query);
        let is_sampler = |m: &&(usize, MetaRecord)| matches!(m.1, MetaRecord::Sampler(_));
        let exporters = report.meta.iter().filter(|m| !is_sampler(m));
        for (file, record) in exporters.chain(report.meta.iter().filter(is_sampler)) {
            output.meta(*file, record);
        }
        output
    }

    fn meta(&mut self, file: usize, record: &MetaRecord) {
        match record {
            MetaRecord::Exporter(e) => {
                if let Some(e) = self.numbers.add(file, e) {
                    self.writer.meta_record(&MetaRecord::Exporter(e));
                }
            }
            MetaRecord::Sampler(s) => {
                let exporter = self.number(file, s.exporter);
                self.writer.meta_record(&MetaRecord::Sampler(Sampler { exporter, ..*s }));
            }
            other => self.writer.meta_record(other),
        }
    }

    /// What exporter `number` of a file is called here.
    #[inline]
    fn number(&mut self, file: usize, number: u32) -> u32 {
        if let Some(here) = self.numbers.known(file, number) {
            return here;
        }
        let query = self.query;
        let all = || {
            let path = query.files.get(file);
            let file = path.and_then(|p| query.open_input(p).ok());
            file.map_or_else(Vec::new, |file| file.exporters())
        };
        let (here, exporter) = self.numbers.number(file, number, all);
        if let Some(e) = exporter {
            self.writer.meta_record(&MetaRecord::Exporter(e));
        }
        here
    }

    fn row(&mut self, file: usize, row: Row<'_>) {
        let number = row.number(Field::ExporterId) as u32;
        let here = self.number(file, number);
        // Numbers beyond 16 bits cannot be written; their exporter was counted as dropped.
        let other = (here != number).then(|| u16::try_from(here).unwrap_or(0));
        self.writer.row_of(row, other);
    }

    /// Breaks with the first block that could not be written.
    fn check(&mut self, failed: &mut Option<StoreError>) -> ControlFlow<()> {
        *failed = self.writer.take_error();
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Query {
    /// Writes the records that pass, in the order of the files.
    ///
    /// # Errors
    ///
    /// The first block that could not be written; the rest of the files is then not read.
    pub fn write(&self, writer: &mut Writer) -> Result<Report, StoreError> {
        let state = Mutex::new((Output::new(writer, self), None));
        // One file is written in order, so one worker goes through the input.
        let scan = Scan { numbers: Numbers::None, threads: 1, again: None };
        let scanned = self.scan(
            &scan,
            || (),
            |(), batch| {
                let mut state = lock(&state);
                let (output, failed) = &mut *state;
                for record in batch.meta {
                    output.meta(batch.file, record);
                }
                for i in batch.selected.iter() {
                    let Some(row) = batch.rows.row(i) else { break };
                    output.row(batch.file, row);
                }
                output.check(failed)
            },
        );
        match state.into_inner().unwrap_or_else(PoisonError::into_inner).1 {
            Some(e) => Err(e),
            None => Ok(scanned.report),
        }
    }

    /// Writes the first `n` records (0: all) that pass, by `sorting`.
    ///
    /// # Errors
    ///
    /// The first block that could not be written, and [`QueryError::Memory`].
    pub fn write_sorted(
        &self,
        sorting: Sorting,
        n: usize,
        writer: &mut Writer,
    ) -> Result<Report, QueryError> {
        let mut sorted = self.sort(sorting, n)?;
        let origins = sorted.take_origins();
        let mut report = sorted.report;
        let mut output = Output::with_exporters(writer, self, &report);
        let mut failed = None;
        self.windows(
            origins,
            |o| *o,
            &sorted.places,
            Memory::Free,
            |window, fetched| {
                for i in 0..window.len() {
                    let Some(found) = fetched.row(i) else { continue };
                    output.row(found.file, found.row);
                }
                output.check(&mut failed)
            },
            &mut report,
        );
        failed.map_or(Ok(report), |e| Err(e.into()))
    }
}

impl JoinedFlows<'_> {
    /// Writes the first `n` flows (0: all) by `sorting`; without one in order of appearance.
    ///
    /// # Errors
    ///
    /// The first block that could not be written.
    pub fn write(
        &self,
        sorting: Option<Sorting>,
        n: usize,
        writer: &mut Writer,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let mut output = Output::with_exporters(writer, self.query(), report);
        let mut failed = None;
        self.each(sorting, n, report, |file, flow| {
            if flow.has(Field::ExporterId) {
                let number = flow.number(Field::ExporterId) as u32;
                let here = output.number(file, number);
                if here != number && !flow.set(Field::ExporterId, u64::from(here)) {
                    flow.unset(Field::ExporterId);
                }
            }
            output.writer.flow(flow);
            output.check(&mut failed)
        });
        failed.map_or(Ok(()), Err)
    }
}
