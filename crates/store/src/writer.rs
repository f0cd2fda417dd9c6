//! Writing files: flows in, blocks out, an appendix at the end.
//!
//! A file on its way is always readable up to its last complete block. What cannot be written,
//! because the disk is full, is counted and dropped block by block; the file stays sound and the
//! next block is tried again. All that is so whether blocks are packed and written at once or by
//! the threads of a [`Pool`].

use crate::appendix::{Appendix, Statistics, check_ident};
use crate::compress::{Packer, Packing};
use crate::encode::Encoder;
use crate::error::StoreError;
use crate::extension_set::Extensions;
use crate::header::{Creator, FileHeader};
use crate::layout::{BLOCK_LIMIT, BLOCK_TARGET, record_type, u16_at};
use crate::meta::{self, MetaRecord};
use crate::outlet::Outlet;
use crate::pool::{Job, Pool};
use crate::survey::{Survey, Surveyor};
use crate::tally::{self, ByExporter, Note, Runs, Tally, put_block};
use record::v3::{self, Extension};
use record::{ExporterStats, Field, Flow, FlowSink, Meta, Ready, Row, Totals};
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to write a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Compression of all blocks.
    pub compression: Packing,
    /// Name of the source; at most 122 octets.
    pub ident: String,
    /// Which program writes.
    pub creator: Creator,
    /// Seconds since 1970 for the header. Also the times of a file that stays without flows, so
    /// collectors give the start of the slot.
    pub created_secs: u64,
    /// Octets of payload at which a block is written: 64 KiB to 2 MiB.
    pub block_size: usize,
    /// Which extensions records keep: all, if nothing else is said.
    pub extensions: Extensions,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            compression: Packing::default(),
            ident: "none".into(),
            creator: Creator::NFCAPD,
            created_secs: 0,
            block_size: BLOCK_TARGET,
            extensions: Extensions::ALL,
        }
    }
}

/// What could not be kept, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records of blocks that could not be written: flows and others.
    pub unwritten: u64,
    /// Flows longer than the 65 535 octets a record may have.
    pub too_long: u64,
    /// Exporters and samplers whose number does not fit 16 bits, and names that were cut.
    pub meta: u64,
    /// Rows of which a value or an element was left out or cut; the rest of each is in the file.
    pub cut: u64,
}

impl Dropped {
    /// Everything together.
    pub const fn all(&self) -> u64 {
        self.unwritten + self.too_long + self.meta + self.cut
    }
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The file, still under the name it was created with.
    pub path: PathBuf,
    /// Sums over the flows that are in the file, as its appendix has them.
    pub totals: Totals,
    /// First and last time as its appendix has them, milliseconds since 1970: those of its header
    /// where there are no flows. `None` where nothing is known.
    pub window: Option<(u64, u64)>,
    /// Data blocks.
    pub blocks: u32,
    /// Length of the file.
    pub bytes: u64,
    /// What is not in the file.
    pub dropped: Dropped,
    /// Flows that are in the file, by the number of their exporter, in its order. They are counted
    /// as [`record::Row::flows`] does, as in `totals`.
    pub stored: Vec<(u16, u64)>,
    /// Flows that were taken and are not in the file, likewise.
    pub lost: Vec<(u16, u64)>,
}

/// A file that is being written: takes flows as a [`FlowSink`].
///
/// Dropped without [`close`](Self::close), the file keeps the blocks written so far and can be
/// salvaged; records of the block at hand are gone.
pub struct Writer {
    path: PathBuf,
    file: Arc<File>,
    header: FileHeader,
    ident: String,
    packing: Packing,
    encoder: Encoder,
    /// Payload of the block at hand.
    block: Vec<u8>,
    block_size: usize,
    /// About what blocks came to lately: the next one gets as much room.
    usual: usize,
    /// Records in the block, and its flows: their sums, and how many of each exporter.
    records: u32,
    pending: Totals,
    runs: Runs,
    way: Way,
    /// What never got into a block.
    dropped: Dropped,
    too_long: ByExporter,
    scratch: Flow,
}

/// How blocks get to disk.
enum Way {
    /// At once.
    Direct { packer: Box<Packer>, tally: Box<Tally>, list: Vec<(u16, u64)>, survey: Surveyed },
    /// By and by, by threads of a pool.
    Pooled { pool: Arc<Pool>, outlet: Arc<Outlet>, begun: Begun },
}

/// What of the block at hand is packed before it is full.
#[derive(Default)]
struct Begun {
    packer: Option<Packer>,
    /// Octets of the block that it has seen.
    seen: usize,
}

/// Who looks at blocks that are packed at once, what finds their rows, and the next one's number.
type Surveyed = Option<Box<(Arc<dyn Survey>, Surveyor, u64)>>;

impl Writer {
    /// Creates a file. One that `path` names already is replaced by a new one rather than emptied,
    /// so whoever reads it, such as a query that writes its result over its input, goes on
    /// undisturbed.
    ///
    /// # Errors
    /// If it cannot be created, or the ident does not fit.
    pub fn create(path: impl Into<PathBuf>, options: &WriterOptions) -> Result<Self, StoreError> {
        let path = path.into();
        check_ident(&options.ident)?;
        let file = create(&path).map_err(StoreError::io("create", &path))?;
        Self::start(path.clone(), file, options).inspect_err(|_| discard(&path))
    }

    /// As [`create`](Self::create), with a pool whose threads pack and write the blocks. Whoever
    /// hands flows to the writer waits only if more is under way than the pool allows.
    ///
    /// # Errors
    /// As there.
    pub fn create_in(
        pool: &Arc<Pool>,
        path: impl Into<PathBuf>,
        options: &WriterOptions,
    ) -> Result<Self, StoreError> {
        let path = path.into();
        check_ident(&options.ident)?;
        let usable = pool.with_packer(options.compression, |_| ());
        usable.map_err(StoreError::io("compress", &path))?;
        let file = create(&path).map_err(StoreError::io("create", &path))?;
        let file = Arc::new(file);
        let outlet = Arc::new(Outlet::new(Arc::clone(&file), FileHeader::LEN as u64));
        let way = Way::Pooled { pool: Arc::clone(pool), outlet, begun: Begun::default() };
        Self::begin(path.clone(), file, options, way).inspect_err(|_| discard(&path))
    }

    /// As [`create`](Self::create), in an empty file that is open for writing.
    pub(crate) fn start(
        path: PathBuf,
        file: File,
        options: &WriterOptions,
    ) -> Result<Self, StoreError> {
        check_ident(&options.ident)?;
        let packer = Packer::new(options.compression).map_err(StoreError::io("compress", &path))?;
        let tally = Tally { offset: FileHeader::LEN as u64, ..Tally::default() };
        let (packer, tally) = (Box::new(packer), Box::new(tally));
        let way = Way::Direct { packer, tally, list: Vec::new(), survey: None };
        Self::begin(path, Arc::new(file), options, way)
    }

    fn begin(
        path: PathBuf,
        file: Arc<File>,
        options: &WriterOptions,
        way: Way,
    ) -> Result<Self, StoreError> {
        let packing = options.compression;
        let header = FileHeader::open(packing.method, options.creator, options.created_secs);
        file.write_all_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
        Ok(Self::with(path, file, header, options, way))
    }

    /// Goes on where another writer has ended, in a file that is open for writing: what `tally` says
    /// is in it.
    pub(crate) fn go_on(
        path: PathBuf,
        file: File,
        header: FileHeader,
        options: &WriterOptions,
        tally: Tally,
    ) -> Result<Self, StoreError> {
        check_ident(&options.ident)?;
        let packer = Packer::new(options.compression).map_err(StoreError::io("compress", &path))?;
        let (packer, tally) = (Box::new(packer), Box::new(tally));
        let way = Way::Direct { packer, tally, list: Vec::new(), survey: None };
        Ok(Self::with(path, Arc::new(file), header, options, way))
    }

    fn with(
        path: PathBuf,
        file: Arc<File>,
        header: FileHeader,
        options: &WriterOptions,
        way: Way,
    ) -> Self {
        Self {
            path,
            file,
            header,
            ident: options.ident.clone(),
            packing: options.compression,
            encoder: Encoder::new(options.extensions),
            block: Vec::new(),
            block_size: options.block_size.clamp(1 << 16, BLOCK_LIMIT),
            usual: 0,
            records: 0,
            pending: Totals::default(),
            runs: Runs::default(),
            way,
            dropped: Dropped::default(),
            too_long: ByExporter::new(),
            scratch: Flow::new(),
        }
    }

    /// Lets somebody look at each block before it is packed. To be called before the first record
    /// is given: what is packed already is never shown.
    pub fn survey(&mut self, by: Arc<dyn Survey>) {
        match &mut self.way {
            Way::Direct { survey, .. } => *survey = Some(Box::new((by, Surveyor::new(), 0))),
            Way::Pooled { outlet, .. } => outlet.set_survey(by),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sums over all flows taken so far that are not lost: those on disk, those under way, and
    /// those of the block at hand.
    pub fn totals(&self) -> Totals {
        let mut all = match &self.way {
            Way::Direct { tally, .. } => tally.totals,
            Way::Pooled { outlet, .. } => outlet.totals(),
        };
        all.merge(&self.pending);
        all
    }

    /// Sums over the flows that are on disk. Unlike those of [`totals`](Self::totals) they never go
    /// down.
    pub fn written(&self) -> Totals {
        match &self.way {
            Way::Direct { tally, .. } => tally.totals,
            Way::Pooled { outlet, .. } => outlet.with(|tally| tally.totals),
        }
    }

    /// What could not be kept so far.
    pub fn dropped(&self) -> Dropped {
        let unwritten = match &self.way {
            Way::Direct { tally, .. } => tally.unwritten,
            Way::Pooled { outlet, .. } => outlet.with(|tally| tally.unwritten),
        };
        Dropped { unwritten, ..self.dropped }
    }

    /// Flows that were taken and lost so far, by the number of their exporter, in its order. Of
    /// blocks under way nothing is lost yet.
    pub fn lost(&self) -> Vec<(u16, u64)> {
        let mut lost = match &self.way {
            Way::Direct { tally, .. } => tally.lost.clone(),
            Way::Pooled { outlet, .. } => outlet.with(|tally| tally.lost.clone()),
        };
        self.too_long.iter().for_each(|(e, n)| tally::add(&mut lost, *e, *n));
        lost.into_iter().collect()
    }

    /// The last failure to write a block since this was asked last. Flows are taken without an
    /// answer, so a collector asks once in a while and logs it.
    pub fn take_error(&mut self) -> Option<StoreError> {
        let error = match &mut self.way {
            Way::Direct { tally, .. } => tally.error.take(),
            Way::Pooled { outlet, .. } => outlet.with(|tally| tally.error.take()),
        };
        error.map(StoreError::io("write", &self.path))
    }

    /// Appends a row of a [`Block`](crate::Block) as it is. The record's exporter number is kept,
    /// so its exporter has to be written, too.
    pub fn row(&mut self, row: Row<'_>) {
        self.row_of(row, None);
    }

    /// As [`row`](Self::row), with another exporter number if one is given.
    pub fn row_of(&mut self, row: Row<'_>, exporter: Option<u16>) {
        let at = self.begin_record();
        if self.encoder.keeps_all() && is_complete(row.as_bytes()) {
            self.block.extend_from_slice(row.as_bytes());
            if let Some(flags) = self.block.get_mut(at + v3::FLAGS) {
                *flags &= !v3::SCRATCH_FLAG;
            }
        } else {
            // Elements too short or octets behind the last one: other readers stumble over them.
            let mut misfits = self.scratch.assign(row);
            let number = row.number(Field::ExporterId);
            if exporter.is_some() && number > u64::from(u16::MAX) {
                misfits = misfits.saturating_sub(1); // it gets another one below
            }
            let is_cut = misfits > 0 || has_unknown(row.as_bytes());
            self.dropped.cut += u64::from(is_cut);
            if !self.encoder.encode(&self.scratch, &mut self.block) {
                self.drop_too_long(row, exporter);
                return;
            }
        }
        if let (Some(n), Some(record)) = (exporter, self.block.get_mut(at..)) {
            set_exporter(record, n);
        }
        self.add_record(at);
        self.count(row, exporter);
    }

    /// Appends what a block says about exporters. Statistics are left out: they belong to
    /// [`close`](Self::close).
    pub fn meta_record(&mut self, record: &MetaRecord) {
        if let Some(meta) = meta_of(record) {
            self.meta(meta);
        }
    }

    /// Packs what has come of the block at hand since the last time, if that is enough to be worth a
    /// call, by LZ4 with a pool: now it is in the cache of this core. What the pool then writes is
    /// the same. Of a file that gets little nothing is packed ahead, because it takes a buffer more.
    #[inline]
    pub fn pack_ahead(&mut self) {
        /// Small enough for the inner caches, large enough for a call.
        const PIECE: usize = 32 << 10;
        let Way::Pooled { begun, .. } = &self.way else { return };
        if self.block.len() >= begun.seen + PIECE && self.usual > self.block_size / 2 {
            self.pack_piece();
        }
    }

    #[inline(never)]
    fn pack_piece(&mut self) {
        let Way::Pooled { pool, begun, .. } = &mut self.way else { return };
        begun.seen = self.block.len();
        let packer = begun.packer.take();
        // Not there again if this panics: the next one begins anew.
        let packer = packer.or_else(|| pool.begin(self.packing, self.block_size));
        if let Some(mut packer) = packer {
            packer.go_on(&self.block);
            begun.packer = Some(packer);
        }
    }

    /// Writes the block at hand, full or not. Collectors do so every second, so that little is lost
    /// in a crash and queries see fresh flows; readers do not care how full blocks are.
    ///
    /// With a pool the block is handed over, and this does not wait for the disk; an error is that
    /// of an earlier block.
    ///
    /// # Errors
    /// If a block could not be written since the last call. Its flows are dropped and counted; the
    /// file remains sound, and later blocks may be written.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let len = self.block.len();
        self.write_block(len);
        self.take_error().map_or(Ok(()), Err)
    }

    /// As [`flush`](Self::flush), and waits until all blocks are written or lost.
    ///
    /// # Errors
    /// As there.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        let len = self.block.len();
        self.write_block(len);
        if let Way::Pooled { outlet, .. } = &self.way {
            outlet.wait();
        }
        self.take_error().map_or(Ok(()), Err)
    }

    /// Finishes the file: the block at hand, `stats` of the exporters if there are any, the
    /// appendix, and the header, all of it on disk when this returns. Giving the file its final
    /// name is [`rotate::publish`](crate::rotate::publish)'s.
    ///
    /// # Errors
    /// If the end of the file cannot be written. It can then be salvaged.
    pub fn close(self, stats: &[ExporterStats]) -> Result<Closed, StoreError> {
        self.close_as(stats, None)
    }

    /// As [`close`](Self::close), with the sums of the file that this one is a copy of.
    pub(crate) fn close_as(
        mut self,
        stats: &[ExporterStats],
        sums: Option<&Statistics>,
    ) -> Result<Closed, StoreError> {
        for part in stats.chunks(meta::STATS_MAX) {
            let at = self.begin_record();
            meta::encode_stats(part, &mut self.block);
            self.add_record(at);
        }
        let len = self.block.len();
        self.write_block(len);
        let mut tally = self.end_of_blocks();
        for s in stats {
            tally.totals.sequence_failures += u64::from(s.sequence_failures);
        }
        let mut on_file = tally.totals;
        if on_file.window().is_none() {
            // No flows: the slot's start twice, as 1.7.8 has it (4.2).
            on_file.first_ms = self.header.created_secs.saturating_mul(1000);
            on_file.last_ms = on_file.first_ms;
        }
        self.header.blocks = tally.blocks;
        let statistics = sums.copied().unwrap_or_else(|| on_file.into());
        let bytes = self.write_end(tally.offset, &statistics)?;
        for (exporter, flows) in self.too_long {
            tally::add(&mut tally.lost, exporter, flows);
        }
        Ok(Closed {
            path: self.path,
            totals: tally.totals,
            window: statistics.totals.window(),
            blocks: tally.blocks,
            bytes,
            dropped: Dropped { unwritten: tally.unwritten, ..self.dropped },
            stored: tally.stored.into_iter().collect(),
            lost: tally.lost.into_iter().collect(),
        })
    }

    /// The books, once nothing is under way.
    fn end_of_blocks(&mut self) -> Tally {
        match &mut self.way {
            Way::Direct { tally, .. } => mem::take(tally),
            Way::Pooled { outlet, .. } => {
                outlet.wait();
                outlet.with(mem::take)
            }
        }
    }

    /// Writes appendix and header and returns the length of the file.
    fn write_end(&mut self, appendix: u64, statistics: &Statistics) -> Result<u64, StoreError> {
        self.block.clear();
        Appendix::encode(self.ident.as_bytes(), statistics, &mut self.block);
        let (file, block) = (&self.file, &self.block);
        let put = |packer: &mut Packer| {
            packer
                .pack(block)
                .and_then(|packed| put_block(file, appendix, Appendix::RECORDS, packed))
        };
        let end = match &mut self.way {
            Way::Direct { packer, .. } => put(packer),
            Way::Pooled { pool, .. } => pool.with_packer(self.packing, put).flatten(),
        };
        let end = end.map_err(StoreError::io("write the appendix of", &self.path))?;
        self.header.appendix = appendix;
        self.header.appendix_blocks = 1;
        let finish = |file: &File, header: &FileHeader| {
            if !file.metadata()?.is_file() {
                return Ok(()); // a device, which keeps nothing
            }
            // A block that could not be written may have left something behind.
            file.set_len(end)?;
            // The header makes the file count as closed, so all before it goes to disk first.
            file.sync_data()?;
            file.write_all_at(&header.encode(), 0)?;
            file.sync_all()
        };
        finish(&self.file, &self.header).map_err(StoreError::io("finish", &self.path))?;
        Ok(end)
    }

    /// Where the next record goes.
    #[inline]
    fn begin_record(&mut self) -> usize {
        if self.block.is_empty() && self.block.capacity() == 0 {
            self.begin_block();
        }
        self.block.len()
    }

    /// With a pool, gets a buffer as large as blocks came to lately: a source that sends little
    /// holds little memory.
    fn begin_block(&mut self) {
        if let Way::Pooled { pool, .. } = &self.way {
            let is_busy = self.usual > self.block_size / 2;
            self.block =
                pool.buffer(if is_busy { self.block_size + RECORD_MAX } else { self.usual });
        }
    }

    /// Counts the record that was appended at `at`. If that made the block too long, the records
    /// before it are written and it begins the next one.
    fn add_record(&mut self, at: usize) {
        if self.block.len() > self.block_size && at > 0 {
            self.write_block(at);
        }
        self.records += 1;
    }

    /// Counts a flow of the block at hand.
    #[inline]
    fn count(&mut self, row: Row<'_>, exporter: Option<u16>) {
        self.pending.add(row);
        self.runs.add(exporter.unwrap_or_else(|| exporter_of(row)), row.flows());
    }

    fn drop_too_long(&mut self, row: Row<'_>, exporter: Option<u16>) {
        self.dropped.too_long += 1;
        let exporter = exporter.unwrap_or_else(|| exporter_of(row));
        tally::add(&mut self.too_long, exporter, row.flows());
    }

    /// Writes the first `len` octets as a block, or hands them over, and keeps the rest for the
    /// next.
    fn write_block(&mut self, len: usize) {
        if self.records == 0 {
            return;
        }
        let mut note = Note { records: mem::take(&mut self.records), ..Note::default() };
        note.totals = mem::take(&mut self.pending);
        match &mut self.way {
            Way::Direct { packer, tally, list, survey } => {
                note.exporters = mem::take(list);
                self.runs.take(&mut note.exporters);
                let payload = self.block.get(..len).unwrap_or_default();
                if let Some((by, surveyor, number)) = survey.as_deref_mut() {
                    surveyor.show(by.as_ref(), *number, payload);
                }
                let written = packer
                    .pack(payload)
                    .and_then(|packed| put_block(&self.file, tally.offset, note.records, packed));
                if let Some((by, _, number)) = survey.as_deref_mut() {
                    by.booked(*number, written.is_ok());
                    *number += 1;
                }
                tally.book(&note, written);
                note.exporters.clear();
                *list = note.exporters;
                self.block.copy_within(len.., 0);
                self.block.truncate(self.block.len() - len);
            }
            Way::Pooled { pool, outlet, begun } => {
                note.exporters = outlet.list();
                self.runs.take(&mut note.exporters);
                let mut payload = mem::take(&mut self.block);
                // Grows at once and shrinks slowly: blocks of a busy second come in both sizes.
                self.usual = len.max(self.usual - self.usual / 4);
                let rest = payload.get(len..).unwrap_or_default();
                if !rest.is_empty() {
                    self.block = pool.buffer(self.block_size + RECORD_MAX);
                    self.block.extend_from_slice(rest);
                }
                payload.truncate(len);
                let (outlet, number) = (Arc::clone(outlet), outlet.announce(note));
                let begun = mem::take(begun).packer;
                pool.submit(Job { outlet, number, payload, packing: self.packing, begun });
            }
        }
    }
}

/// Octets of the longest record.
const RECORD_MAX: usize = 1 << 16;

fn exporter_of(row: Row<'_>) -> u16 {
    row.number(Field::ExporterId) as u16
}

impl FlowSink for Writer {
    #[inline]
    fn flow(&mut self, flow: &Flow) {
        let at = self.begin_record();
        if self.encoder.encode(flow, &mut self.block) {
            self.add_record(at);
            self.count(flow.as_row(), None);
        } else {
            self.drop_too_long(flow.as_row(), None);
        }
    }

    fn takes_records(&self) -> bool {
        self.encoder.keeps_all()
    }

    fn records(&mut self, ready: &Ready<'_>) {
        let at = self.begin_record();
        if at > 0 && at + ready.records.len() > self.block_size {
            self.write_block(at);
            self.begin_record();
        }
        self.block.extend_from_slice(ready.records);
        self.records += ready.count;
        self.pending.merge(ready.totals);
        self.runs.add(ready.exporter, u64::from(ready.count));
    }

    fn meta(&mut self, meta: Meta<'_>) {
        let at = self.begin_record();
        if !put_meta(meta, &mut self.block) {
            self.dropped.meta += 1;
        }
        if self.block.len() > at {
            self.add_record(at);
        }
    }
}

/// What a block says about exporters, as a decoder would; statistics are none of that.
fn meta_of(record: &MetaRecord) -> Option<Meta<'_>> {
    Some(match record {
        MetaRecord::Exporter(e) => Meta::Exporter(*e),
        MetaRecord::Sampler(s) => Meta::Sampler(*s),
        MetaRecord::Name { table, id, name } => {
            Meta::Name { exporter: 0, table: *table, id: *id, name }
        }
        MetaRecord::Application { id, name, description } => {
            Meta::Application { exporter: 0, id, name, description }
        }
        MetaRecord::Stats(_) => return None,
    })
}

/// Appends the record. `false` if it, or a part of it, did not fit.
fn put_meta(meta: Meta<'_>, out: &mut Vec<u8>) -> bool {
    match meta {
        Meta::Exporter(e) => meta::encode_exporter(&e, out),
        Meta::Sampler(s) => meta::encode_sampler(&s, out),
        Meta::Name { table, id, name, .. } => meta::encode_name(table, id, name, out),
        Meta::Application { id, name, description, .. } => {
            meta::encode_application(id, name, description, out)
        }
    }
}

/// Appends what a block says about exporters, but statistics. `false` if it, or a part of it, did
/// not fit.
pub(crate) fn encode_meta(record: &MetaRecord, out: &mut Vec<u8>) -> bool {
    meta_of(record).is_none_or(|meta| put_meta(meta, out))
}

fn create(path: &Path) -> io::Result<File> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            let path = fs::canonicalize(path)?;
            fs::remove_file(&path)?;
            File::create_new(path)
        }
        _ => File::create(path),
    }
}

/// Removes a file that was created and cannot be used: on a full disk they would pile up.
fn discard(path: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
        let _ = fs::remove_file(path); // the error that is told is the first one
    }
}

/// Whether every reader takes a record as it is: elements of full length that fill it exactly
/// (6.2).
pub(crate) fn is_complete(record: &[u8]) -> bool {
    let mut end = v3::LEN;
    for element in v3::elements(record) {
        let Some(e) = element else { return false };
        end = usize::from(e.at) + usize::from(e.len);
        if Extension::of(e.id).is_some_and(|known| e.len < known.len) {
            return false;
        }
    }
    end == record.len()
        && u16_at(record, 0) == Some(record_type::FLOW)
        && u16_at(record, 2).map(usize::from) == Some(record.len())
}

/// Whether a record of layout 2 has elements that this program does not know.
fn has_unknown(record: &[u8]) -> bool {
    u16_at(record, 0) == Some(record_type::FLOW)
        && v3::elements(record).flatten().any(|e| e.id != 0 && Extension::of(e.id).is_none())
}

/// Changes the exporter's number in the header and in extension 18.
fn set_exporter(record: &mut [u8], n: u16) {
    let again = v3::elements(record).flatten().find(|e| e.id == 18).map(|e| e.at + 8);
    for at in [Some(v3::EXPORTER as u16), again].into_iter().flatten().map(usize::from) {
        if let Some(room) = record.get_mut(at..at + 2) {
            room.copy_from_slice(&n.to_le_bytes());
        }
    }
}
