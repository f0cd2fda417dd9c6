//! Writes flows that pass to a new file: records as they are, or joined ones.
//!
//! Exporter numbers mean something within one file only. Where flows of several files meet, the
//! exporters of later files get new numbers if theirs are taken.

use crate::flows::JoinedFlows;
use crate::request::Sorting;
use crate::scan::{Query, Report, Scan};
use record::{Addr, Exporter, Field, FlowSink as _, Sampler};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use store::{MetaRecord, StoreError, Writer};

/// A writer, and what the exporters of each input file are called in it.
struct Output<'w> {
    writer: &'w mut Writer,
    numbers: Numbers,
}

/// Exporter numbers of the new file.
#[derive(Default)]
struct Numbers {
    /// From (file, number there).
    known: HashMap<(usize, u32), u32>,
    by_identity: HashMap<(Addr, u32, u32), u32>,
    taken: HashMap<u32, (Addr, u32, u32)>,
}

impl Numbers {
    /// The number of an exporter of `file`, and whether the new file has not met it before.
    fn add(&mut self, file: usize, e: &Exporter) -> (u32, bool) {
        let identity = (e.addr, e.version, e.id);
        if let Some(n) = self.by_identity.get(&identity) {
            self.known.insert((file, e.sysid), *n);
            return (*n, false);
        }
        let highest = self.taken.keys().max().copied().unwrap_or(0);
        let number = if self.taken.contains_key(&e.sysid) { highest + 1 } else { e.sysid };
        self.taken.insert(number, identity);
        self.by_identity.insert(identity, number);
        self.known.insert((file, e.sysid), number);
        (number, true)
    }

    fn of(&self, file: usize, number: u32) -> u32 {
        self.known.get(&(file, number)).copied().unwrap_or(number)
    }
}

impl Output<'_> {
    fn meta(&mut self, file: usize, record: &MetaRecord) {
        match record {
            MetaRecord::Exporter(e) => {
                let (sysid, is_new) = self.numbers.add(file, e);
                if is_new {
                    self.writer.meta_record(&MetaRecord::Exporter(Exporter { sysid, ..*e }));
                }
            }
            MetaRecord::Sampler(s) => {
                let exporter = self.numbers.of(file, s.exporter);
                self.writer.meta_record(&MetaRecord::Sampler(Sampler { exporter, ..*s }));
            }
            other => self.writer.meta_record(other),
        }
    }

    fn row(&mut self, file: usize, row: record::Row<'_>) {
        let number = row.number(Field::ExporterId) as u32;
        let here = self.numbers.of(file, number);
        // Numbers beyond 16 bits cannot be written; their exporter was counted as dropped.
        let other = (here != number).then(|| u16::try_from(here).unwrap_or(0));
        self.writer.row_of(row, other);
    }
}

impl Query {
    /// Writes the records that pass, in the order of the files.
    ///
    /// # Errors
    ///
    /// The first block that could not be written; the rest of the files is then not read.
    pub fn write(&self, writer: &mut Writer) -> Result<Report, StoreError> {
        let output = Mutex::new(Output { writer, numbers: Numbers::default() });
        let failed = Mutex::new(None);
        // One file is written in order, so one worker goes through the input.
        let scan = Scan { numbered: false, threads: 1 };
        let scanned = self.scan(
            &scan,
            || (),
            |(), batch| {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                for record in batch.meta {
                    output.meta(batch.file, record);
                }
                for i in batch.selected.iter() {
                    let Some(row) = batch.rows.row(i) else { break };
                    output.row(batch.file, row);
                }
                if let Some(e) = output.writer.take_error() {
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            },
        );
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None => Ok(scanned.report),
        }
    }

    /// Writes the first `n` records (0: all) that pass, by `sorting`.
    ///
    /// # Errors
    ///
    /// The first block that could not be written.
    pub fn write_sorted(
        &self,
        sorting: Sorting,
        n: usize,
        writer: &mut Writer,
    ) -> Result<Report, StoreError> {
        let (origins, places, mut report) = self.sort(sorting, n);
        let fetched = self.fetch(&origins, &places);
        report.damage.extend(fetched.damage.iter().cloned());
        let mut output = Output::with_exporters(writer, &report);
        for (i, origin) in origins.iter().enumerate() {
            let Some((row, _)) = fetched.row(i) else { continue };
            let file = places.get(origin.block() as usize).map_or(0, |p| p.file as usize);
            output.row(file, row);
        }
        output.writer.take_error().map_or(Ok(report), Err)
    }
}

impl<'w> Output<'w> {
    /// An output that begins with all exporters and samplers of the files read.
    fn with_exporters(writer: &'w mut Writer, report: &Report) -> Self {
        let mut output = Self { writer, numbers: Numbers::default() };
        let is_sampler = |m: &&(usize, MetaRecord)| matches!(m.1, MetaRecord::Sampler(_));
        let exporters = report.meta.iter().filter(|m| !is_sampler(m));
        for (file, record) in exporters.chain(report.meta.iter().filter(is_sampler)) {
            output.meta(*file, record);
        }
        output
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
        let output = Output::with_exporters(writer, report);
        let fetched = self.each(sorting, n, |file, flow| {
            let number = flow.number(Field::ExporterId) as u32;
            let here = output.numbers.of(file, number);
            if here != number && !flow.set(Field::ExporterId, u64::from(here)) {
                flow.unset(Field::ExporterId);
            }
            output.writer.flow(flow);
        });
        report.damage.extend(fetched);
        output.writer.take_error().map_or(Ok(()), Err)
    }
}
