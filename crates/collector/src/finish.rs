//! Giving files their end and their name, beside collecting.
//!
//! Closing a file waits for the disk and merging reads another file, so a daemon has a thread for
//! it. Files are finished in the order they come, because a later one may be merged into an
//! earlier one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::Sender;
use store::loss::{ExporterStatement, Statement};
use store::rotate::{self, Published, Slot, SubDirs};
use store::{Closed, StoreError, Writer};

use crate::ledger::{Exporters, InFile};
use crate::loss::SourceLine;
use crate::marks::MarksJob;
use crate::state::State;
use crate::{Error, FinishedFile, unknown};

/// Where finished files of a source go.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) sub_dirs: SubDirs,
    pub(crate) has_zone: bool,
}

impl Place {
    fn name(&self, slot: Slot) -> String {
        if self.has_zone { slot.file_name_with_zone() } else { slot.file_name() }
    }

    /// Gives a closed file its name.
    pub(crate) fn publish(&self, temporary: &Path, slot: Slot) -> Result<Published, StoreError> {
        let sub = slot.sub_directory(self.sub_dirs);
        rotate::publish(temporary, &self.dir, &sub, &self.name(slot))
    }
}

/// Something to be done in order.
pub(crate) enum Job {
    /// A file to be finished, and what its log line says.
    File(Box<FileJob>),
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
}

pub(crate) struct FileJob {
    /// `None` where no file could be created: there is only something to say.
    pub(crate) writer: Option<Writer>,
    pub(crate) exporters: Exporters,
    pub(crate) place: Place,
    pub(crate) slot: Slot,
    pub(crate) line: SourceLine,
    /// Flows that were lost before it came here.
    pub(crate) lost_before: u64,
    /// Takes those that are lost from then on.
    pub(crate) late: Arc<AtomicU64>,
}

/// Called with each finished file.
pub(crate) type OnFile = Box<dyn FnMut(&FinishedFile) + Send>;

/// Does jobs, at once or in a thread.
pub(crate) enum Finisher {
    Here(Worker),
    Thread {
        jobs: Sender<Job>,
        thread: JoinHandle<()>,
    },
    /// The thread has ended.
    Gone,
    /// The thread has panicked.
    Failed,
}

/// Files that may wait for a slow disk before decoding waits, too. Each holds a descriptor and its
/// last block.
const WAITING: usize = 256;

impl Finisher {
    pub(crate) fn new() -> Self {
        Self::Here(Worker { on_file: None, is_save_failing: false })
    }

    pub(crate) fn on_file(&mut self, f: OnFile) {
        if let Self::Here(worker) = self {
            worker.on_file = Some(f);
        }
    }

    /// From now on jobs are done by a thread.
    pub(crate) fn detach(&mut self) -> Result<(), Error> {
        let Self::Here(mut worker) = std::mem::replace(self, Self::Gone) else { return Ok(()) };
        let (jobs, todo) = crossbeam_channel::bounded(WAITING);
        let work = move || todo.into_iter().for_each(|job| worker.work(job));
        let thread =
            thread::Builder::new().name("finish".to_owned()).spawn(work).map_err(Error::Thread)?;
        *self = Self::Thread { jobs, thread };
        Ok(())
    }

    pub(crate) fn put(&mut self, job: Job) {
        match self {
            Self::Here(worker) => worker.work(job),
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
        if let Self::Thread { jobs, thread } = std::mem::replace(self, Self::Gone) {
            drop(jobs);
            if thread.join().is_err() {
                log::error!("the thread that finishes files has panicked");
                *self = Self::Failed;
            }
        }
    }
}

/// Finishes files one after the other.
pub(crate) struct Worker {
    on_file: Option<OnFile>,
    is_save_failing: bool,
}

impl Worker {
    fn work(&mut self, job: Job) {
        match job {
            Job::File(job) => self.finish(*job),
            Job::Say(text) => log::info!("{text}"),
            Job::Save(job) => self.save(&job),
            Job::Marks(job) => {
                if let Err(e) = job.save() {
                    log::warn!("drops of sockets may be counted again after the next start: {e}");
                }
            }
        }
    }

    fn finish(&mut self, job: FileJob) {
        let FileJob { writer, exporters, place, slot, mut line, lost_before, late } = job;
        let Some(writer) = writer else {
            log::info!("{line}");
            let accounts = exporters.statements(&InFile::Nothing);
            return state(&place, slot, &line, None, accounts);
        };
        let path = writer.path().to_owned();
        line.totals = writer.totals();
        let mut in_file = InFile::Nothing;
        let result = writer.close(&exporters.stats()).and_then(|closed| {
            note_dropped(&closed);
            line.blocks = closed.blocks;
            line.totals = closed.totals;
            let lost: u64 = closed.lost.iter().map(|(_, flows)| flows).sum();
            let lost_late = lost.saturating_sub(lost_before);
            late.fetch_add(lost_late, Ordering::Relaxed);
            line.slot.flows_lost = line.slot.flows_lost.saturating_add(lost_late);
            let published = place.publish(&path, slot)?;
            in_file = InFile::Of { stored: closed.stored, lost: closed.lost };
            Ok(published)
        });
        line.is_unfinished = result.is_err();
        log::info!("{line}");
        let accounts = exporters.statements(&in_file);
        state(&place, slot, &line, result.as_ref().ok().map(Published::path), accounts);
        match result {
            Ok(published) => self.tell(published.path(), place, slot, line.ident),
            Err(e) => log::error!(
                "Ident: '{}': {e}. What was written stays in {} and is taken in at the next start",
                line.ident,
                path.display()
            ),
        }
    }

    /// Writes down what is known of exporters. Trouble is logged when it begins.
    fn save(&mut self, job: &SaveJob) {
        let saved = job.state.save(&job.dir).and_then(|()| {
            job.unknown.as_ref().map_or(Ok(()), |lines| unknown::write(&job.dir, lines))
        });
        if let (Err(e), false) = (&saved, self.is_save_failing) {
            let dir = job.dir.display();
            log::warn!("{dir}: what is known of exporters cannot be kept for the next start: {e}");
        }
        self.is_save_failing = saved.is_err();
    }

    fn tell(&mut self, path: &Path, place: Place, slot: Slot, ident: String) {
        let Some(f) = &mut self.on_file else { return };
        let name = place.name(slot);
        f(&FinishedFile {
            path: path.to_owned(),
            dir: place.dir,
            ident,
            slot_secs: slot.start,
            slot_text: name.trim_start_matches("nfcapd.").to_owned(),
        });
    }
}

/// Writes what is missing in the file beside it; `path` is the name it got.
fn state(
    place: &Place,
    slot: Slot,
    line: &SourceLine,
    path: Option<&Path>,
    exporters: Vec<ExporterStatement>,
) {
    let usual = || slot.sub_directory(place.sub_dirs).join(place.name(slot));
    let file =
        path.and_then(|p| p.strip_prefix(&place.dir).ok()).map_or_else(usual, Path::to_owned);
    let statement = Statement {
        file: file.to_string_lossy().into_owned(),
        ident: line.ident.clone(),
        collector: std::process::id(),
        from: slot.start,
        until: slot.end(),
        received: line.slot.received,
        stored: line.stored(),
        losses: line.losses(),
        exporters,
    };
    if let Err(e) = statement.append(&place.dir) {
        log::warn!("Ident: '{}': no loss statement of this slot: {e}", line.ident);
    }
}

fn note_dropped(closed: &Closed) {
    let n = closed.dropped.meta;
    if n > 0 {
        log::warn!("{}: {n} exporters, samplers or names do not fit", closed.path.display());
    }
}
