//! Flows straight into nfcapd files: a file for each slot of time, as collectors write them.
//!
//! Time comes with each flow. It is that of the packets where a capture is read, so the files do not
//! depend on how fast that goes. A flow belongs to the slot in which it is exported. A slot ends when
//! time passes its end; flows whose time is a little behind stay in the slot that is open.
//!
//! A file on its way is `nfcapd.current.PID.SLOT.N`. What waits is written once a second, so that the
//! open slot can be read and a crash loses a second; the next start gives files of a crash their end
//! and name. Closing and naming wait for the disk, which a thread does.

mod finish;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use record::{Exporter, Field, Flow, FlowSink as _, Meta, NameTable, Sampler};
use store::loss::{Loss, Place as Where};
use store::recover::{claim, temporary_name};
use store::rotate::{Place, Slot, SubDirs, slot_of};
use store::{Creator, Extensions, Packing, Pool, StoreError, Writer, WriterOptions, check_ident};

use finish::{Ended, Finisher, Job};

/// What files are like and where they go.
#[derive(Clone, Debug)]
pub struct FilesConfig {
    /// Directory.
    pub dir: PathBuf,
    /// Seconds of a slot, at least 1.
    pub interval_secs: u32,
    /// How files are spread below the directory.
    pub sub_dirs: SubDirs,
    /// Whether names have the offset from UTC.
    pub has_zone: bool,
    /// Name of the source; at most 122 octets.
    pub ident: String,
    /// Compression of blocks.
    pub compression: Packing,
    /// Which extensions records keep.
    pub extensions: Extensions,
    /// Makes the indexes of the files; with `None` they get none.
    pub index: Option<Arc<index::Surveys>>,
    /// Who the flows are from: this probe.
    pub exporter: Exporter,
    /// How packets were sampled.
    pub sampler: Option<Sampler>,
    /// Whether slots without a flow get a file, too. On an interface they do, so that an empty file
    /// shows that there was nothing; a capture that is read may have a gap of years.
    pub every_slot: bool,
}

impl FilesConfig {
    /// The defaults for files in `dir`: slots of five minutes, no sub directories, nothing about
    /// who exports but that it is number 1.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let addr = record::Addr::from(std::net::IpAddr::from([127, 0, 0, 1]));
        Self {
            dir: dir.into(),
            interval_secs: 300,
            sub_dirs: SubDirs::NONE,
            has_zone: false,
            ident: "none".to_owned(),
            compression: Packing::default(),
            extensions: Extensions::ALL,
            index: Some(index::Surveys::new()),
            exporter: Exporter { sysid: 1, version: 10, addr, id: 0 },
            sampler: None,
            every_slot: false,
        }
    }
}

/// Why no files can be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// It is none, or this process may not write there.
    #[error("cannot write files to {path}: {source}: give a directory that can be written to")]
    Directory {
        /// What was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Files like these cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread to finish files.
    #[error("cannot start the thread that finishes files: {0}")]
    Thread(io::Error),
}

/// What became of the flows. When the last file is finished, `flows` is `stored` and `lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesCounts {
    /// Flows that came.
    pub flows: u64,
    /// Flows in finished files.
    pub stored: u64,
    /// Flows for which there was no file, or that could not be written.
    pub lost: u64,
    /// Files that have their name.
    pub files: u64,
    /// Files that could not be finished and are tried again.
    pub unfinished: u64,
    /// Flows of a crash that are in files now.
    pub recovered: u64,
}

/// Rotating nfcapd files.
pub struct Files {
    config: FilesConfig,
    place: Place,
    pool: Arc<Pool>,
    finisher: Finisher,
    /// The slot that is open.
    slot: Option<Slot>,
    writer: Option<Writer>,
    /// What is known of its flows, if it is to have an index.
    survey: Option<Arc<index::Survey>>,
    /// Flows that went into the open file.
    in_file: u64,
    /// Files begun: no two of them share a temporary name.
    begun: u64,
    /// When what waits is written.
    flush_ms: u64,
    /// Not before then is a file tried that could not be created.
    retry_ms: u64,
    /// Whether trouble with the file of this slot was told.
    has_complained: bool,
    interfaces: Vec<(u32, String)>,
    losses: Vec<Loss>,
    flows: u64,
    /// Flows that came without a file.
    without_file: u64,
    /// Of those, flows that no statement tells yet.
    untold: u64,
}

/// How often what waits is written.
const FLUSH_MS: u64 = 1000;

impl Files {
    /// Prepares to write files, and takes in what a crash has left. The first file begins with the
    /// first flow or, if every slot has one, with the first [`tick`](Self::tick).
    ///
    /// # Errors
    /// If the directory cannot be written to, the ident or the compression cannot be, or there is
    /// no thread.
    pub fn open(config: FilesConfig) -> Result<Self, FilesError> {
        check_directory(&config.dir)?;
        check_ident(&config.ident)?;
        let place =
            Place { dir: config.dir.clone(), sub_dirs: config.sub_dirs, has_zone: config.has_zone };
        let pool = Arc::new(Pool::new(1)?);
        let mut finisher = Finisher::start(place.clone(), &config).map_err(FilesError::Thread)?;
        let claimed = claim(&config.dir, &config.ident, config.interval_secs);
        for path in &claimed.stored {
            log::info!("{}: left by a crash, its flows are stored already", path.display());
        }
        for (path, e) in &claimed.trouble {
            log::error!("{}: left by a crash: {e}", path.display());
        }
        claimed.files.into_iter().for_each(|left| finisher.put(Job::TakeIn(left)));
        Ok(Self {
            config,
            place,
            pool,
            finisher,
            slot: None,
            writer: None,
            survey: None,
            in_file: 0,
            begun: 0,
            flush_ms: 0,
            retry_ms: 0,
            has_complained: false,
            interfaces: Vec::new(),
            losses: Vec::new(),
            flows: 0,
            without_file: 0,
            untold: 0,
        })
    }

    /// Names an interface, here and in later files.
    pub fn name_interface(&mut self, index: u32, name: &str) {
        self.interfaces.retain(|(known, _)| *known != index);
        self.interfaces.push((index, name.to_owned()));
        if let Some(writer) = &mut self.writer {
            writer.meta(name_of(self.config.exporter.sysid, index, name));
        }
    }

    /// Writes a flow to the file of its slot. Sets its exporter, and when it was received: now.
    pub fn flow(&mut self, now_ms: u64, flow: &mut Flow) {
        self.advance(now_ms);
        flow.set(Field::ExporterId, u64::from(self.config.exporter.sysid));
        flow.set(Field::Received, now_ms);
        let count = flow.as_row().flows();
        self.flows = self.flows.saturating_add(count);
        match &mut self.writer {
            Some(writer) => {
                self.in_file = self.in_file.saturating_add(count);
                writer.flow(flow);
            }
            None => {
                self.without_file = self.without_file.saturating_add(count);
                self.untold = self.untold.saturating_add(count);
            }
        }
    }

    /// To be called some times a second: ends slots, and writes what waits once a second.
    pub fn tick(&mut self, now_ms: u64) {
        if self.config.every_slot {
            self.advance(now_ms);
        } else if self.slot.is_some_and(|slot| is_over(slot, now_ms)) {
            self.end_slot();
        }
        let is_early = now_ms < self.flush_ms && self.flush_ms - now_ms <= FLUSH_MS;
        if !is_early {
            self.flush_ms = now_ms.saturating_add(FLUSH_MS);
            self.flush();
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        if let Some(Err(e)) = self.writer.as_mut().map(Writer::flush) {
            self.complain(&e);
        }
    }

    /// Adds to what is missing in the open slot, for its statement of loss: say packets that the
    /// kernel has dropped.
    pub fn note_loss(&mut self, place: Where, what: &str, unit: &str, count: u64) {
        /// Causes have few names.
        const MOST: usize = 32;
        if count == 0 {
            return;
        }
        let known = self.losses.iter_mut().find(|l| l.place == place && l.what == what);
        if let Some(loss) = known {
            loss.count = loss.count.saturating_add(count);
        } else if self.losses.len() < MOST {
            let (what, unit) = (what.to_owned(), unit.to_owned());
            self.losses.push(Loss { place, what, unit, count, shared: false });
        }
    }

    /// Ends the open slot, and waits until all files are finished. Later flows begin new ones, which
    /// nobody finishes.
    pub fn finish(&mut self) {
        self.end_slot();
        self.finisher.join();
    }

    /// What became of the flows so far.
    pub fn counts(&self) -> FilesCounts {
        let mut counts = self.finisher.counts();
        counts.flows = self.flows;
        let stored = self.writer.as_ref().map_or(0, |w| w.totals().all_flows());
        let lost_now = self.in_file.saturating_sub(stored);
        counts.lost = counts.lost.saturating_add(self.without_file).saturating_add(lost_now);
        counts
    }

    /// Makes the slot of this moment the open one.
    #[inline]
    fn advance(&mut self, now_ms: u64) {
        match self.slot {
            Some(slot) if !is_over(slot, now_ms) => {
                if self.writer.is_none() && now_ms >= self.retry_ms {
                    self.begin(now_ms, slot);
                }
            }
            _ => {
                self.end_slot();
                let slot = slot_of(now_ms / 1000, self.config.interval_secs);
                self.slot = Some(slot);
                self.has_complained = false;
                self.begin(now_ms, slot);
            }
        }
    }

    fn begin(&mut self, now_ms: u64, slot: Slot) {
        if let Err(e) = self.create(slot) {
            self.retry_ms = now_ms.saturating_add(FLUSH_MS);
            self.complain(&e);
        }
    }

    /// Begins the file of a slot with who we are.
    fn create(&mut self, slot: Slot) -> Result<(), StoreError> {
        let options = WriterOptions {
            compression: self.config.compression,
            ident: self.config.ident.clone(),
            creator: Creator::NFCAPD,
            created_secs: slot.start,
            extensions: self.config.extensions,
            ..WriterOptions::default()
        };
        let path = loop {
            let name = temporary_name(std::process::id(), slot, self.begun);
            let path = self.place.dir.join(name);
            self.begun += 1;
            // A process of the same number may have left one that could not be taken in.
            if !path.exists() {
                break path;
            }
        };
        let mut writer = Writer::create_in(&self.pool, path, &options)?;
        self.survey = self.config.index.as_ref().map(index::Surveys::begin);
        if let Some(survey) = &self.survey {
            writer.survey(Arc::clone(survey) as Arc<dyn store::Survey>);
        }
        let Exporter { sysid, .. } = self.config.exporter;
        writer.meta(Meta::Exporter(self.config.exporter));
        if let Some(sampler) = self.config.sampler {
            writer.meta(Meta::Sampler(Sampler { exporter: sysid, ..sampler }));
        }
        for (index, name) in &self.interfaces {
            writer.meta(name_of(sysid, *index, name));
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn end_slot(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let lost = std::mem::take(&mut self.untold);
        self.note_loss(Where::Disk, "Flows not written", "flows", lost);
        let losses = std::mem::take(&mut self.losses);
        let flows = std::mem::take(&mut self.in_file);
        let (writer, survey) = (self.writer.take(), self.survey.take());
        let ended = Ended { writer, survey, slot, flows, losses };
        self.finisher.put(Job::File(Box::new(ended)));
    }

    /// Tells trouble once a slot; the loss itself is counted.
    fn complain(&mut self, e: &StoreError) {
        if !self.has_complained {
            log::error!("{e}: flows are lost until this works again");
        }
        self.has_complained = true;
    }
}

/// Whether a moment is past the slot. One that is before it by more than its length is of a clock
/// that was set back.
const fn is_over(slot: Slot, now_ms: u64) -> bool {
    let now = now_ms / 1000;
    now >= slot.end() || now.saturating_add(slot.len as u64) < slot.start
}

const fn name_of(exporter: u32, id: u32, name: &str) -> Meta<'_> {
    Meta::Name { exporter, table: NameTable::Interface, id, name: name.as_bytes() }
}

fn check_directory(path: &Path) -> Result<(), FilesError> {
    let failed = |source| FilesError::Directory { path: path.to_owned(), source };
    if !path.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    sys::disk::may_write(path).map_err(failed)
}
