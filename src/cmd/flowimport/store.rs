//! Where imported flows go: one file, or the files of their slots.

use crate::cmd::flowdump::Target;
use anyhow::{Context as _, bail, ensure};
use record::{Addr, Exporter, ExporterStats, Field, Flow, FlowSink as _, Meta};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::rotate::{Place, Published, Slot, SubDirs, slot_of};
use store::{Creator, Packing, Pool, Writer, WriterOptions};

/// What files are like.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) interval: u32,
    pub(super) sub_dirs: SubDirs,
    pub(super) ident: String,
    pub(super) packing: Packing,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) flows: u64,
    pub(super) files: u64,
    /// Of these, files that were there before.
    pub(super) merged: u64,
    pub(super) exporters: usize,
    /// Flows of more exporters than a file can number.
    pub(super) unnumbered: u64,
}

/// Takes flows, and keeps them under names that nobody reads until [`finish`](Self::finish).
pub(super) struct Store {
    manner: Manner,
    pool: Arc<Pool>,
    numbers: HashMap<(Addr, u32, u32), u16>,
    exporters: Vec<Exporter>,
    unnumbered: u64,
    kind: Kind,
}

enum Kind {
    File(Box<Open>, Target),
    Archive(Box<Archive>),
}

struct Archive {
    place: Place,
    staging: tempfile::TempDir,
    /// Those that were used last are last.
    open: Vec<(Slot, Open)>,
    closed: Vec<(Slot, PathBuf)>,
    begun: u64,
}

/// A file on its way.
struct Open {
    writer: Writer,
    /// Flows by exporter: one that has none here was not told yet.
    flows: Vec<u64>,
}

/// Files that are open at once. Flows of a slot that was closed begin another file, which is merged
/// at the end.
const MOST_OPEN: usize = 48;

/// What the names of directories begin with that an import keeps its files in.
const STAGING: &str = ".flowimport.";

impl Store {
    /// Prepares to write to a file, or into a directory that is there.
    pub(super) fn open(path: &Path, manner: Manner) -> anyhow::Result<Self> {
        /// Packing is the larger part of the work where it is asked for.
        const MOST_THREADS: usize = 8;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = Arc::new(Pool::new(threads.min(MOST_THREADS))?);
        let kind = if path.is_dir() {
            let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(path);
            let staging = staging.with_context(|| format!("cannot write to {}", path.display()))?;
            let place = Place { dir: path.to_owned(), sub_dirs: manner.sub_dirs, has_zone: false };
            let (open, closed) = (Vec::new(), Vec::new());
            Kind::Archive(Box::new(Archive { place, staging, open, closed, begun: 0 }))
        } else {
            let is_dir = path.as_os_str().as_encoded_bytes().ends_with(b"/");
            let shown = path.display();
            ensure!(!is_dir, "{shown} is no directory: create it, or name a file to write to");
            let target = Target::new(path);
            Kind::File(Box::new(Open::create(&pool, &target.written, &manner, 0)?), target)
        };
        let (numbers, exporters) = (HashMap::new(), Vec::new());
        Ok(Self { manner, pool, numbers, exporters, unnumbered: 0, kind })
    }

    /// The number of an exporter in what is written. 0 if there are too many.
    pub(super) fn exporter(&mut self, addr: Addr, version: u32, id: u32) -> u16 {
        if let Some(number) = self.numbers.get(&(addr, version, id)) {
            return *number;
        }
        let Ok(number) = u16::try_from(self.exporters.len() + 1) else { return 0 };
        self.numbers.insert((addr, version, id), number);
        self.exporters.push(Exporter { sysid: number.into(), version, addr, id });
        number
    }

    /// Takes a flow of this exporter.
    pub(super) fn flow(&mut self, exporter: u16, flow: &mut Flow) -> anyhow::Result<()> {
        flow.set(Field::ExporterId, exporter.into());
        self.unnumbered += u64::from(exporter == 0);
        let open = match &mut self.kind {
            Kind::File(open, _) => open,
            Kind::Archive(archive) => {
                let received = flow.number(Field::Received);
                archive.file(received, &self.pool, &self.manner)?
            }
        };
        open.flow(exporter, &self.exporters, flow);
        Ok(())
    }

    /// Gives everything its name.
    pub(super) fn finish(self) -> anyhow::Result<Written> {
        let exporters = self.exporters.len();
        let written = match self.kind {
            Kind::File(open, target) => {
                let flows = open.close().inspect_err(|_| target.discard())?;
                target.publish()?;
                Written { flows, files: 1, ..Written::default() }
            }
            Kind::Archive(archive) => archive.finish()?,
        };
        Ok(Written { exporters, unnumbered: self.unnumbered, ..written })
    }

    /// Leaves nothing of what was taken.
    pub(super) fn discard(self) {
        if let Kind::File(open, target) = self.kind {
            drop(open);
            target.discard();
        }
    }
}

impl Archive {
    /// The file of the slot that a moment lies in.
    fn file(&mut self, ms: u64, pool: &Arc<Pool>, manner: &Manner) -> anyhow::Result<&mut Open> {
        let slot = slot_of(ms / 1000, manner.interval);
        if self.open.last().is_none_or(|(last, _)| *last != slot) {
            match self.open.iter().position(|(known, _)| *known == slot) {
                Some(at) => {
                    let open = self.open.remove(at);
                    self.open.push(open);
                }
                None => self.begin(slot, pool, manner)?,
            }
        }
        self.open.last_mut().map(|(_, open)| open).context("no file is open")
    }

    fn begin(&mut self, slot: Slot, pool: &Arc<Pool>, manner: &Manner) -> anyhow::Result<()> {
        if self.open.len() >= MOST_OPEN {
            let (slot, oldest) = self.open.remove(0);
            self.close(slot, oldest)?;
        }
        let path = self.staging.path().join(format!("{}", self.begun));
        self.begun += 1;
        self.open.push((slot, Open::create(pool, &path, manner, slot.start)?));
        Ok(())
    }

    fn close(&mut self, slot: Slot, open: Open) -> anyhow::Result<u64> {
        let path = open.writer.path().to_owned();
        let flows = open.close()?;
        self.closed.push((slot, path));
        Ok(flows)
    }

    fn finish(mut self) -> anyhow::Result<Written> {
        for (slot, open) in std::mem::take(&mut self.open) {
            self.close(slot, open)?;
        }
        let mut written = Written::default();
        // Stable: what came first goes first.
        self.closed.sort_by_key(|(slot, _)| *slot);
        let mut last = None;
        for (n, (slot, path)) in self.closed.iter().enumerate() {
            let file = store::FlowFile::open(path)?;
            written.flows += file.totals().map_or(0, record::Totals::all_flows);
            drop(file);
            let published = self.place.publish(path, *slot).with_context(|| {
                let (all, name) = (self.closed.len(), self.place.name(*slot));
                format!(
                    "{n} of {all} files are imported, all before {name}; do not import those again"
                )
            })?;
            let is_own = last == Some(*slot);
            written.files += u64::from(!is_own);
            let is_merged = matches!(published, Published::Merged(_));
            written.merged += u64::from(is_merged && !is_own);
            last = Some(*slot);
        }
        Ok(written)
    }
}

impl Open {
    fn create(
        pool: &Arc<Pool>,
        path: &Path,
        manner: &Manner,
        created_secs: u64,
    ) -> anyhow::Result<Self> {
        let options = WriterOptions {
            compression: manner.packing,
            ident: manner.ident.clone(),
            creator: Creator::NFCAPD,
            created_secs,
            ..WriterOptions::default()
        };
        Ok(Self { writer: Writer::create_in(pool, path, &options)?, flows: Vec::new() })
    }

    #[inline]
    fn flow(&mut self, exporter: u16, all: &[Exporter], flow: &Flow) {
        let at = usize::from(exporter);
        if self.flows.len() <= at {
            self.flows.resize(at + 1, 0);
        }
        if let Some(flows) = self.flows.get_mut(at) {
            if let (0, Some(known)) = (*flows, at.checked_sub(1).and_then(|at| all.get(at))) {
                self.writer.meta(Meta::Exporter(*known));
            }
            *flows += 1;
        }
        self.writer.flow(flow);
    }

    /// Gives the file its end. Returns its flows: all of them, or it is an error.
    fn close(mut self) -> anyhow::Result<u64> {
        self.writer.settle()?;
        let count = |(sysid, flows): (usize, &u64)| ExporterStats {
            sysid: sysid as u32,
            flows: *flows,
            ..ExporterStats::default()
        };
        let flows = self.flows.iter().enumerate().skip(1).filter(|(_, flows)| **flows > 0);
        let stats: Vec<_> = flows.map(count).collect();
        let closed = self.writer.close(&stats)?;
        let lost = closed.dropped;
        if lost.all() > 0 {
            bail!(
                "not everything fits into flow files ({} records not written, {} too long, {} cut, \
                 {} exporters left out): nothing is imported",
                lost.unwritten,
                lost.too_long,
                lost.cut,
                lost.meta
            );
        }
        Ok(closed.totals.all_flows())
    }
}
