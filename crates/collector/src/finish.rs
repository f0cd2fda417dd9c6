//! Giving files their end and their name, beside collecting.
//!
//! Closing a file waits for the disk and merging reads another file, so a daemon has a thread for
//! it. Files are finished in the order they come, because a later one may be merged into an
//! earlier one.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use record::Totals;
use store::loss::{ExporterStatement, Statement};
use store::recover::{self, Leftover, Taken};
use store::rotate::{Place, Published, Slot};
use store::{Closed, Resumed, Writer};

use crate::ledger::{Exporters, InFile};
use crate::loss::SourceLine;
use crate::marks::MarksJob;
use crate::spool::Ended;
use crate::state::{Saving, State};
use crate::statements::Statements;
use crate::{Error, FinishedFile, unknown};

/// Something to be done in order.
pub(crate) enum Job {
    /// A file to be finished, and what its log line says.
    File(Box<FileJob>),
    /// What a collector that is gone has left.
    TakeIn(Box<(Place, Leftover)>),
    /// A line for the log, once all before is done.
    Say(String),
    /// What a source knows of its exporters, to be written down.
    Save(Box<SaveJob>),
    /// How far drops are counted, to be written down.
    Marks(MarksJob),
}

pub(crate) struct SaveJob {
    pub(crate) dir: PathBuf,
    pub(crate) state: State,
    /// The log of unknown elements, if there is something new in it.
    pub(crate) unknown: Option<Vec<unknown::Line>>,
    /// Where the source looks what came of it.
    pub(crate) saving: Arc<Saving>,
}

pub(crate) struct FileJob {
    /// `None` where no file could be created: there is only something to say.
    pub(crate) writer: Option<Writer>,
    /// What is known of its flows, if it is to have an index.
    pub(crate) survey: Option<Arc<index::Survey>>,
    pub(crate) exporters: Exporters,
    pub(crate) place: Place,
    pub(crate) slot: Slot,
    pub(crate) line: SourceLine,
    /// Flows that were lost before it came here.
    pub(crate) lost_before: u64,
    /// Takes those that are lost from then on, and those that are stored.
    pub(crate) ended: Arc<Ended>,
    /// Number of the file there.
    pub(crate) number: u64,
}

/// Called with each finished file.
pub(crate) type OnFile = Box<dyn FnMut(&FinishedFile) + Send>;

/// Called with the directory of a source after each slot.
pub(crate) type OnSlot = Box<dyn FnMut(&Path) + Send>;

/// Does jobs, at once or in a thread.
pub(crate) enum Finisher {
    Here(Box<Worker>),
    Thread {
        jobs: Sender<Job>,
        thread: JoinHandle<()>,
    },
    /// The thread has ended.
    Gone,
    /// The thread has panicked.
    Failed,
}

/// Jobs that may wait for a slow disk before decoding waits, too, with so many sources: two
/// rotations, a save of each source, and some.
///
/// A file that waits has a descriptor, its exporters, and in a pool what is not written yet, which
/// the pool bounds: some 10 KiB. So 1000 sources that wait for two rotations take 20 MiB, of which
/// nothing is taken in advance but 64 octets for each job.
fn waiting(sources: usize) -> usize {
    const SOME: usize = 256;
    const MOST: usize = 1 << 18;
    sources.saturating_mul(3).saturating_add(SOME).min(MOST)
}

impl Finisher {
    pub(crate) fn new() -> Self {
        Self::Here(Box::default())
    }

    pub(crate) fn on_file(&mut self, f: OnFile) {
        if let Self::Here(worker) = self {
            worker.on_file = Some(f);
        }
    }

    /// Who indexes files that have their name, if anybody does.
    pub(crate) fn index(&mut self, index: Option<Arc<index::Surveys>>) {
        if let Self::Here(worker) = self {
            worker.index = index;
        }
    }

    pub(crate) fn on_slot(&mut self, f: OnSlot) {
        if let Self::Here(worker) = self {
            worker.on_slot = Some(f);
        }
    }

    /// From now on jobs are done by a thread, for so many sources at most.
    pub(crate) fn detach(&mut self, sources: usize) -> Result<(), Error> {
        let Self::Here(mut worker) = std::mem::replace(self, Self::Gone) else { return Ok(()) };
        let (jobs, todo) = crossbeam_channel::bounded(waiting(sources));
        let work = move || worker.serve(&todo);
        let thread =
            thread::Builder::new().name("finish".to_owned()).spawn(work).map_err(Error::Thread)?;
        *self = Self::Thread { jobs, thread };
        Ok(())
    }

    /// Leaves something to be done before the next job that is [`put`](Self::put), or by the thread.
    pub(crate) fn put_first(&mut self, job: Job) {
        match self {
            Self::Here(worker) => worker.first.push(job),
            _ => self.put(job),
        }
    }

    pub(crate) fn put(&mut self, job: Job) {
        match self {
            Self::Here(worker) => {
                worker.catch_up();
                worker.work(job);
            }
            Self::Thread { jobs, .. } => {
                if jobs.send(job).is_err() {
                    log::error!("files are not finished any more: their thread has ended");
                }
            }
            Self::Gone | Self::Failed => {}
        }
    }

    /// Whether the thread has ended though nobody told it to.
    pub(crate) fn has_failed(&self) -> bool {
        match self {
            Self::Thread { thread, .. } => thread.is_finished(),
            Self::Failed => true,
            Self::Here(_) | Self::Gone => false,
        }
    }

    /// Waits until everything is done. Jobs that come later are not.
    pub(crate) fn join(&mut self) {
        match std::mem::replace(self, Self::Gone) {
            Self::Here(mut worker) => {
                worker.catch_up();
                worker.end();
            }
            Self::Thread { jobs, thread } => {
                drop(jobs);
                if thread.join().is_err() {
                    log::error!("the thread that finishes files has panicked");
                    *self = Self::Failed;
                }
            }
            Self::Gone => {}
            Self::Failed => *self = Self::Failed,
        }
    }
}

/// Finishes files one after the other.
#[derive(Default)]
pub(crate) struct Worker {
    on_file: Option<OnFile>,
    on_slot: Option<OnSlot>,
    index: Option<Arc<index::Surveys>>,
    /// What comes before anything else.
    first: Vec<Job>,
    /// Files that could not be closed or named: tried again with the next file of their directory.
    unfinished: VecDeque<Unfinished>,
    statements: Statements,
}

/// A file that has no name yet.
struct Unfinished {
    path: PathBuf,
    place: Place,
    slot: Slot,
    whose: Whose,
}

enum Whose {
    /// A file of ours.
    Own { line: Box<SourceLine>, exporters: Exporters, in_file: InFile },
    /// Left by somebody else.
    Left(Leftover),
}

impl Unfinished {
    fn ident(&self) -> &str {
        match &self.whose {
            Whose::Own { line, .. } => &line.ident,
            Whose::Left(left) => &left.ident,
        }
    }
}

impl Worker {
    /// Does jobs as they come until nobody sends any more. What is known of exporters is written
    /// down while no file waits.
    fn serve(&mut self, jobs: &Receiver<Job>) {
        self.catch_up();
        // One of each source at most: a source waits until it was done.
        let mut saves = VecDeque::new();
        loop {
            let next = match saves.is_empty() {
                true => jobs.recv().map_err(|_| TryRecvError::Disconnected),
                false => jobs.try_recv(),
            };
            match next {
                Ok(Job::Save(job)) => saves.push_back(job),
                Ok(job) => self.work(job),
                Err(TryRecvError::Empty) => saves.pop_front().iter().for_each(|job| save(job)),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        saves.iter().for_each(|job| save(job));
        self.end();
    }

    fn catch_up(&mut self) {
        std::mem::take(&mut self.first).into_iter().for_each(|job| self.work(job));
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::File(job) => self.finish(*job),
            Job::TakeIn(job) => {
                let (place, left) = *job;
                let (path, slot) = (left.path.clone(), left.slot);
                self.end_of(Unfinished { path, place, slot, whose: Whose::Left(left) }, true);
            }
            Job::Say(text) => log::info!("{text}"),
            Job::Save(job) => save(&job),
            Job::Marks(job) => {
                if let Err(e) = job.save() {
                    log::warn!("drops of sockets may be counted again after the next start: {e}");
                }
            }
        }
    }

    fn finish(&mut self, job: FileJob) {
        let dir = job.place.dir.clone();
        self.try_again(&dir);
        let FileJob { writer, survey, exporters, place, slot, line, lost_before, ended, number } =
            job;
        if let Some(writer) = writer {
            let file = Unfinished {
                path: writer.path().to_owned(),
                place,
                slot,
                whose: Whose::Own { line: Box::new(line), exporters, in_file: InFile::Nothing },
            };
            self.finish_file(writer, survey, file, lost_before, |late, totals| {
                ended.settle(number, late, totals);
            });
        } else {
            log::info!("{line}");
            let accounts = exporters.statements(&InFile::Nothing);
            self.state(&place, slot, &line, None, accounts);
        }
        self.on_slot.iter_mut().for_each(|f| f(&dir));
    }

    /// `settle` gets the flows that were lost late, and the sums of what is on disk.
    fn finish_file(
        &mut self,
        mut writer: Writer,
        survey: Option<Arc<index::Survey>>,
        mut file: Unfinished,
        lost_before: u64,
        settle: impl FnOnce(u64, &Totals),
    ) {
        let Whose::Own { line, exporters, in_file } = &mut file.whose else { return };
        // Only now is it known what became of the last blocks. That one of them failed is in the
        // numbers.
        let _ = writer.settle();
        let lost = writer.lost();
        let sum = lost.iter().fold(0u64, |sum, (_, flows)| sum.saturating_add(*flows));
        let lost_late = sum.saturating_sub(lost_before);
        line.totals = writer.totals();
        line.slot.flows_lost = line.slot.flows_lost.saturating_add(lost_late);
        settle(lost_late, &line.totals);
        *in_file = InFile::Of { stored: Vec::new(), lost };
        let named = writer.close(&exporters.stats()).and_then(|closed| {
            note_dropped(&closed);
            line.blocks = closed.blocks;
            let published = file.place.publish(&file.path, file.slot);
            if let (Ok(published), Some(index), Some(survey)) = (&published, &self.index, &survey) {
                index_file(index, &file.place, published, &line.ident, Some((survey, &closed)));
            }
            *in_file = InFile::Of { stored: closed.stored, lost: closed.lost };
            published
        });
        line.is_unfinished = named.is_err();
        log::info!("{line}");
        match named {
            Ok(published) => self.tell(file, published.path()),
            Err(e) => {
                log::error!(
                    "Ident: '{}': {e}. What was written stays in {} and is tried again with the \
                     next file",
                    line.ident,
                    file.path.display()
                );
                self.put_off(file);
            }
        }
    }

    /// Keeps a file for later. If there are too many, the next start takes it in.
    fn put_off(&mut self, file: Unfinished) {
        /// Each with the accounts of its exporters.
        const MOST: usize = 1024;
        self.unfinished.push_back(file);
        if self.unfinished.len() > MOST
            && let Some(file) = self.unfinished.pop_front()
        {
            self.give_up(file);
        }
    }

    /// Says of a file that it stays without a name.
    fn give_up(&mut self, file: Unfinished) {
        if let Whose::Own { line, exporters, .. } = &file.whose {
            let accounts = exporters.statements(&InFile::Nothing);
            self.state(&file.place, file.slot, line, None, accounts);
        }
    }

    /// Tries files of a directory again that could not be finished. One that is damaged does not
    /// hold up the others, nor many of them the next slot.
    fn try_again(&mut self, dir: &Path) {
        const AT_ONCE: usize = 8;
        let is_of = |file: &Unfinished| file.place.dir == dir;
        for _ in 0..AT_ONCE.min(self.unfinished.iter().filter(|file| is_of(file)).count()) {
            let first = self.unfinished.iter().position(is_of);
            if let Some(file) = first.and_then(|at| self.unfinished.remove(at)) {
                self.end_of(file, false);
            }
        }
    }

    /// Gives a file its end and its name. Trouble is logged the first time.
    fn end_of(&mut self, mut file: Unfinished, is_first: bool) {
        let is_own = matches!(file.whose, Whose::Own { .. });
        match recover::take_in(&file.path, &file.place, file.ident(), file.slot, is_own) {
            Err(e) => {
                if is_first {
                    let (ident, path) = (file.ident(), file.path.display());
                    log::error!(
                        "Ident: '{ident}': {path}: left by a crash, cannot be taken in: {e}"
                    );
                }
                self.put_off(file);
            }
            Ok(Taken::Empty) => self.note_crash(&file, None),
            Ok(Taken::Before) => {
                let path = file.place.path(file.slot);
                self.tell(file, &path);
            }
            Ok(Taken::Named(published, resumed)) => {
                if let Some(index) = &self.index {
                    index_file(index, &file.place, &published, file.ident(), None);
                }
                match &mut file.whose {
                    Whose::Left(_) => return self.note_crash(&file, Some((&published, &resumed))),
                    Whose::Own { line, in_file, .. } => {
                        line.is_unfinished = false;
                        if let (true, InFile::Of { stored, .. }) = (resumed.was_open, in_file) {
                            *stored = resumed.closed.stored;
                        }
                        let path = published.path().display();
                        log::info!("Ident: '{}': {path} could be finished now", line.ident);
                    }
                }
                self.tell(file, published.path());
            }
        }
    }

    /// Says what was left by somebody else, and what came of it.
    fn note_crash(&mut self, file: &Unfinished, found: Option<(&Published, &Resumed)>) {
        let Whose::Left(left) = &file.whose else { return };
        let name = match found {
            Some((published, resumed)) => {
                let flows = resumed.closed.totals.all_flows();
                let (path, damaged) = (published.path().display(), resumed.unreadable_blocks);
                log::warn!("{path}: left by a crash, {flows} flows taken in");
                if damaged > 0 {
                    log::error!("{path}: {damaged} blocks of it cannot be read");
                }
                file.place.relative(Some(published.path()), file.slot)
            }
            None => file.place.relative(None, file.slot),
        };
        let statement = left.statement(name, found.map(|(_, resumed)| resumed));
        self.statements.put(&file.place.dir, statement);
    }

    /// Tells of a file of ours that has its name.
    fn tell(&mut self, file: Unfinished, path: &Path) {
        let Unfinished { place, slot, whose, .. } = file;
        let Whose::Own { mut line, exporters, in_file } = whose else { return };
        line.is_unfinished = false;
        let accounts = exporters.statements(&in_file);
        self.state(&place, slot, &line, Some(path), accounts);
        let Some(f) = &mut self.on_file else { return };
        let name = place.name(slot);
        f(&FinishedFile {
            path: path.to_owned(),
            dir: place.dir,
            ident: line.ident,
            slot_secs: slot.start,
            slot_text: name.trim_start_matches("nfcapd.").to_owned(),
        });
    }

    /// Writes what is missing in the file beside it; `path` is the name it got.
    fn state(
        &mut self,
        place: &Place,
        slot: Slot,
        line: &SourceLine,
        path: Option<&Path>,
        exporters: Vec<ExporterStatement>,
    ) {
        let statement = Statement {
            file: place.relative(path, slot),
            ident: line.ident.clone(),
            collector: std::process::id(),
            from: slot.start,
            until: slot.end(),
            received: line.slot.received,
            stored: line.stored(),
            losses: line.losses(),
            exporters,
        };
        self.statements.put(&place.dir, statement);
    }

    /// There will be no more files.
    fn end(&mut self) {
        while let Some(file) = self.unfinished.pop_front() {
            self.give_up(file);
        }
        if let Some(Err(e)) = self.index.as_ref().map(|index| index.end()) {
            log::warn!("{e}");
        }
        self.statements.end();
    }
}

/// Writes down what is known of exporters. Trouble is logged when it begins.
fn save(job: &SaveJob) {
    let saved = job
        .state
        .save(&job.dir)
        .and_then(|()| job.unknown.as_ref().map_or(Ok(()), |all| unknown::write(&job.dir, all)));
    if job.saving.done(saved.is_ok())
        && let Err(e) = saved
    {
        let dir = job.dir.display();
        log::warn!("{dir}: what is known of exporters cannot be kept for the next start: {e}");
    }
}

/// Puts what is known of a file beside it. Without that searches read it.
fn index_file(
    index: &index::Surveys,
    place: &Place,
    published: &Published,
    ident: &str,
    seen: Option<(&index::Survey, &Closed)>,
) {
    match index.note(&place.dir, published, ident, seen) {
        Ok(true) => {}
        Ok(false) => {
            let path = published.path().display();
            log::info!("{path}: has no index; flowdump --index build makes one");
        }
        Err(e) => log::warn!("no index: {e}; flowdump --index build makes one"),
    }
}

fn note_dropped(closed: &Closed) {
    let n = closed.dropped.meta;
    if n > 0 {
        log::warn!("{}: {n} exporters, samplers or names do not fit", closed.path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::rotate::SubDirs;

    fn save_job(dir: &Path) -> Job {
        let decoder = wire::Decoder::new(wire::Config::default()).snapshot();
        Job::Save(Box::new(SaveJob {
            dir: dir.to_owned(),
            state: State { is_final: false, saved_ms: 0, decoder },
            unknown: None,
            saving: Arc::default(),
        }))
    }

    #[test]
    fn files_go_before_what_is_saved() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".flowsuite-state.no-pcap");
        let place = Place { dir: dir.path().to_owned(), sub_dirs: SubDirs::NONE, has_zone: false };
        let file = FileJob {
            writer: None,
            survey: None,
            exporters: Exporters::default(),
            place,
            slot: Slot { start: 0, len: 300 },
            line: SourceLine::default(),
            lost_before: 0,
            ended: Arc::default(),
            number: 0,
        };
        let (jobs, todo) = crossbeam_channel::unbounded();
        jobs.send(save_job(dir.path())).unwrap();
        jobs.send(Job::File(Box::new(file))).unwrap();
        drop(jobs);
        let (saw, seen) = crossbeam_channel::unbounded();
        let mut worker = Worker::default();
        let is_saved = state.clone();
        worker.on_slot = Some(Box::new(move |_| saw.send(is_saved.exists()).unwrap()));
        worker.serve(&todo);
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [false]);
        assert!(state.exists());
    }

    #[test]
    fn two_rotations_of_all_sources_may_wait() {
        for sources in [1, 1024, 20_000] {
            let mut finisher = Finisher::new();
            finisher.detach(sources).unwrap();
            let Finisher::Thread { jobs, .. } = &finisher else { panic!("no thread") };
            // The line of all sources, and a save of each, too.
            assert!(jobs.capacity().is_some_and(|room| room > 3 * sources + 2), "{sources}");
            finisher.join();
        }
    }
}
