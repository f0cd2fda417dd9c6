//! The open file of one source: flows go in, and what cannot be written is counted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use record::{Flow, FlowSink, InterfaceSample, Meta, Ready, Totals};
use store::counters::Recorder;
use store::recover::temporary_name;
use store::rotate::{Place, Slot};
use store::{Pool, StoreError, Writer, WriterOptions};

use crate::Config;
use crate::finish::FileJob;
use crate::ledger::Exporters;
use crate::loss::SourceLine;
use crate::status::SourceStatus;

/// The file of the current slot, if it could be created.
pub(crate) struct Spool {
    options: WriterOptions,
    /// Who packs and writes blocks, if not the thread that decodes.
    pool: Option<Arc<Pool>>,
    /// Who indexes what is written, and what is known of the open file.
    index: Option<Arc<index::Surveys>>,
    survey: Option<Arc<index::Survey>>,
    place: Place,
    slot: Slot,
    writer: Option<Writer>,
    /// Files begun since the start: no two of them share a temporary name.
    files: u64,
    /// Whether trouble with the file of this slot was logged.
    has_complained: bool,
    /// The last trouble, until a file works again.
    trouble: Option<String>,
    /// Flows that came since the start.
    flows: u64,
    /// Of those, flows that went into the open file.
    in_file: u64,
    /// Flows that came without a file, or were lost from finished ones.
    lost: u64,
    /// Of those, flows that were lost from the file whose slot has ended.
    lost_in_file: u64,
    /// What became of finished files after that.
    ended: Arc<Ended>,
    /// Counters of interfaces, beside the flows.
    recorder: Recorder,
    /// Of those that waited when the slot began, samples lost.
    samples_lost_before: u64,
}

impl Spool {
    pub(crate) fn new(
        config: &Config,
        pool: Option<&Arc<Pool>>,
        ident: String,
        place: Place,
        slot: Slot,
    ) -> Self {
        let options = WriterOptions {
            compression: config.compression,
            ident,
            extensions: config.extensions,
            ..WriterOptions::default()
        };
        let recorder = Recorder::new(&place.dir);
        Self {
            options,
            pool: pool.map(Arc::clone),
            index: config.index.clone(),
            survey: None,
            place,
            slot,
            writer: None,
            files: 0,
            has_complained: false,
            trouble: None,
            flows: 0,
            in_file: 0,
            lost: 0,
            lost_in_file: 0,
            ended: Arc::default(),
            recorder,
            samples_lost_before: 0,
        }
    }

    pub(crate) fn ident(&self) -> &str {
        &self.options.ident
    }

    /// Directory of the source.
    pub(crate) fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Flows that came, and those of them that are not in a file.
    pub(crate) fn flows(&self) -> (u64, u64) {
        let (flows, lost) = self.flows_so_far();
        (flows, lost.saturating_add(self.ended.with(|books| books.lost)))
    }

    /// As [`flows`](Self::flows), without those that were lost from files of slots that had ended:
    /// their own slot tells them.
    pub(crate) fn flows_so_far(&self) -> (u64, u64) {
        let stored = self.writer.as_ref().map_or(0, |w| w.totals().all_flows());
        (self.flows, self.lost.saturating_add(self.in_file.saturating_sub(stored)))
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// Begins the file of `slot`. Exporters are to be announced next.
    pub(crate) fn open(&mut self, slot: Slot) -> Result<(), StoreError> {
        self.has_complained &= slot == self.slot;
        self.slot = slot;
        self.options.created_secs = slot.start;
        let path = loop {
            let path = self.place.dir.join(temporary_name(std::process::id(), slot, self.files));
            self.files += 1;
            // A process of the same number may have left one that could not be taken in.
            if !path.exists() {
                break path;
            }
        };
        let mut writer = match &self.pool {
            Some(pool) => Writer::create_in(pool, path, &self.options)?,
            None => Writer::create(path, &self.options)?,
        };
        self.survey = self.index.as_ref().map(index::Surveys::begin);
        if let Some(survey) = &self.survey {
            writer.survey(Arc::clone(survey) as Arc<dyn store::Survey>);
        }
        self.writer = Some(writer);
        Ok(())
    }

    /// Writes out what has waited in memory.
    pub(crate) fn flush(&mut self) {
        match self.writer.as_mut().map(Writer::flush) {
            Some(Err(e)) => self.complain(&e),
            Some(Ok(())) => self.trouble = None,
            None => {}
        }
        let recorded = self.recorder.flush();
        self.note_samples(recorded);
    }

    /// Packs what has come lately, while it is in the cache of this core.
    #[inline]
    pub(crate) fn pack_ahead(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.pack_ahead();
        }
    }

    fn note_samples(&mut self, recorded: Result<(), StoreError>) {
        if let Err(e) = recorded {
            self.complain(&e);
        }
    }

    /// Samples of counters that could not be written since this was asked last.
    pub(crate) fn take_samples_lost(&mut self) -> u64 {
        let lost = self.recorder.counts().lost;
        lost - std::mem::replace(&mut self.samples_lost_before, lost)
    }

    /// Shows where it writes, what it has stored, and what is wrong with it.
    pub(crate) fn describe(&self, status: &mut SourceStatus) {
        status.ident.clone_from(&self.options.ident);
        status.dir.clone_from(&self.place.dir);
        // Only what is on disk: what is under way may be lost yet, and no total goes down.
        status.totals = self.ended.with(|books| books.stored());
        self.writer.iter().for_each(|w| status.totals.merge(&w.written()));
        status.has_file = self.writer.is_some();
        status.trouble.clone_from(&self.trouble);
    }

    /// Logs trouble with the file once a slot; the loss itself is in the line of the slot.
    pub(crate) fn complain(&mut self, error: &StoreError) {
        if !self.has_complained {
            let ident = self.ident();
            log::error!("Ident: '{ident}': {error}: flows are lost until this works again");
        }
        self.has_complained = true;
        self.trouble = Some(error.to_string());
    }

    /// No more flows come in this slot: from here on, what is lost is lost late.
    pub(crate) fn end_slot(&mut self) {
        self.flush();
        // Read once: a pool loses blocks between any two readings.
        let stored = self.writer.as_ref().map_or(0, |w| w.totals().all_flows());
        self.lost_in_file = std::mem::take(&mut self.in_file).saturating_sub(stored);
        self.lost = self.lost.saturating_add(self.lost_in_file);
    }

    /// Makes the job of finishing the file, once its slot has [ended](Self::end_slot).
    pub(crate) fn finish(&mut self, exporters: Exporters, line: SourceLine) -> FileJob {
        let number = self.files;
        if let Some(writer) = &self.writer {
            let written = writer.written();
            self.ended.with(|books| books.under_way.push((number, written)));
        }
        FileJob {
            writer: self.writer.take(),
            survey: self.survey.take(),
            exporters,
            place: self.place.clone(),
            slot: self.slot,
            line,
            lost_before: std::mem::take(&mut self.lost_in_file),
            ended: Arc::clone(&self.ended),
            number,
        }
    }
}

/// What became of files after their slot, told by whoever finishes them.
#[derive(Debug, Default)]
pub(crate) struct Ended(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// Sums over files whose fate is known.
    settled: Totals,
    /// Of the others, by number: what was on disk when their slot ended.
    under_way: Vec<(u64, Totals)>,
    /// Flows that were lost from files after their slot.
    lost: u64,
}

impl Books {
    fn stored(&self) -> Totals {
        let mut all = self.settled;
        self.under_way.iter().for_each(|(_, totals)| all.merge(totals));
        all
    }
}

impl Ended {
    /// All blocks of a file are on disk or lost.
    pub(crate) fn settle(&self, number: u64, lost: u64, stored: &Totals) {
        self.with(|books| {
            books.under_way.retain(|(n, _)| *n != number);
            books.settled.merge(stored);
            books.lost = books.lost.saturating_add(lost);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Books) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FlowSink for Spool {
    #[inline]
    fn flow(&mut self, flow: &Flow) {
        let count = flow.as_row().flows();
        // One record may claim to be 2^64 flows.
        self.flows = self.flows.saturating_add(count);
        if let Some(writer) = &mut self.writer {
            self.in_file = self.in_file.saturating_add(count);
            writer.flow(flow);
        } else {
            self.lost = self.lost.saturating_add(count);
        }
    }

    fn takes_records(&self) -> bool {
        self.writer.as_ref().is_some_and(Writer::takes_records)
    }

    fn records(&mut self, ready: &Ready<'_>) {
        let count = u64::from(ready.count);
        self.flows = self.flows.saturating_add(count);
        if let Some(writer) = &mut self.writer {
            self.in_file = self.in_file.saturating_add(count);
            writer.records(ready);
        } else {
            self.lost = self.lost.saturating_add(count);
        }
    }

    fn interface(&mut self, sample: &InterfaceSample) {
        let recorded = self.recorder.add(sample);
        self.note_samples(recorded);
    }

    /// What comes without a file is announced to the next one.
    fn meta(&mut self, meta: Meta<'_>) {
        if let Some(writer) = &mut self.writer {
            writer.meta(meta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::rotate::SubDirs;

    fn spool(dir: &Path, slot: Slot) -> Spool {
        let config = Config::new(sys::udp::Listen::default(), dir.to_owned());
        let (dir, sub_dirs) = (dir.to_owned(), SubDirs::NONE);
        let place = Place { dir, sub_dirs, has_zone: false };
        Spool::new(&config, None, "test".to_owned(), place, slot)
    }

    #[test]
    fn what_an_earlier_process_left_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { start: 300, len: 300 };
        let left = dir.path().join(temporary_name(std::process::id(), slot, 0));
        std::fs::write(&left, b"of somebody else").unwrap();
        let mut spool = spool(dir.path(), slot);
        spool.open(slot).unwrap();
        assert_ne!(spool.writer.as_ref().map(Writer::path), Some(left.as_path()));
        assert_eq!(std::fs::read(&left).unwrap(), b"of somebody else");
    }

    #[test]
    fn absurd_numbers_of_flows_do_not_upset_the_account() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { start: 0, len: 300 };
        let mut spool = spool(dir.path(), slot);
        let mut flow = Flow::new();
        flow.set(record::Field::Flows, u64::MAX);
        spool.flow(&flow); // without a file
        spool.open(slot).unwrap();
        spool.flow(&flow);
        spool.flow(&flow);
        assert_eq!(spool.flows(), (u64::MAX, u64::MAX));
    }
}
