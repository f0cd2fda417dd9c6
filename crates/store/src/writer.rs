//! Writing files: flows in, blocks out, an appendix at the end.
//!
//! A file on its way is always readable up to its last complete block. What cannot be written,
//! because the disk is full, is counted and dropped block by block; the file stays sound and the
//! next block is tried again.

use crate::appendix::{Appendix, Statistics, check_ident};
use crate::block::BlockRef;
use crate::compress::{Packer, Packing};
use crate::encode::Encoder;
use crate::error::StoreError;
use crate::header::{Creator, FileHeader};
use crate::layout::{BLOCK_LIMIT, BLOCK_TARGET, record_type, u16_at};
use crate::meta::{self, MetaRecord};
use record::v3::{self, Extension};
use record::{ExporterStats, Field, Flow, FlowSink, Meta, Row, Totals};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            compression: Packing::default(),
            ident: "none".into(),
            creator: Creator::NFCAPD,
            created_secs: 0,
            block_size: BLOCK_TARGET,
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
    /// Data blocks.
    pub blocks: u32,
    /// Length of the file.
    pub bytes: u64,
    /// What is not in the file.
    pub dropped: Dropped,
}

/// A file that is being written: takes flows as a [`FlowSink`].
///
/// Dropped without [`close`](Self::close), the file keeps the blocks written so far and can be
/// salvaged; records of the block at hand are gone.
pub struct Writer {
    path: PathBuf,
    file: File,
    header: FileHeader,
    ident: String,
    packer: Packer,
    encoder: Encoder,
    /// Payload of the block at hand.
    block: Vec<u8>,
    block_size: usize,
    /// Records in it, and sums over its flows.
    records: u32,
    pending: Totals,
    /// Sums over the blocks on disk.
    totals: Totals,
    /// Where the next block goes.
    offset: u64,
    dropped: Dropped,
    error: Option<StoreError>,
    scratch: Flow,
}

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
        Self::start(path, file, options)
    }

    /// As [`create`](Self::create), in an empty file that is open for writing.
    pub(crate) fn start(
        path: PathBuf,
        file: File,
        options: &WriterOptions,
    ) -> Result<Self, StoreError> {
        check_ident(&options.ident)?;
        let packer = Packer::new(options.compression).map_err(StoreError::io("compress", &path))?;
        let header = FileHeader::open(packer.method(), options.creator, options.created_secs);
        file.write_all_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
        Ok(Self {
            path,
            file,
            header,
            ident: options.ident.clone(),
            packer,
            encoder: Encoder::default(),
            block: Vec::new(),
            block_size: options.block_size.clamp(1 << 16, BLOCK_LIMIT),
            records: 0,
            pending: Totals::default(),
            totals: Totals::default(),
            offset: FileHeader::LEN as u64,
            dropped: Dropped::default(),
            error: None,
            scratch: Flow::new(),
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sums over all flows taken so far, those of the block at hand included.
    pub fn totals(&self) -> Totals {
        let mut all = self.totals;
        all.merge(&self.pending);
        all
    }

    /// What could not be kept so far.
    pub const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The last failure to write a block since this was asked last. Flows are taken without an
    /// answer, so a collector asks once in a while and logs it.
    pub fn take_error(&mut self) -> Option<StoreError> {
        self.error.take()
    }

    /// Appends a row of a [`Block`](crate::Block) as it is. The record's exporter number is kept,
    /// so its exporter has to be written, too.
    pub fn row(&mut self, row: Row<'_>) {
        self.row_of(row, None);
    }

    /// As [`row`](Self::row), with another exporter number if one is given.
    pub fn row_of(&mut self, row: Row<'_>, exporter: Option<u16>) {
        let at = self.block.len();
        if is_complete(row.as_bytes()) {
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
                self.dropped.too_long += 1;
                return;
            }
        }
        if let (Some(n), Some(record)) = (exporter, self.block.get_mut(at..)) {
            set_exporter(record, n);
        }
        self.add_record(at);
        self.pending.add(row);
    }

    /// Appends what a block says about exporters. Statistics are left out: they belong to
    /// [`close`](Self::close).
    pub fn meta_record(&mut self, record: &MetaRecord) {
        match record {
            MetaRecord::Exporter(e) => self.meta(Meta::Exporter(*e)),
            MetaRecord::Sampler(s) => self.meta(Meta::Sampler(*s)),
            MetaRecord::Name { table, id, name } => {
                self.meta(Meta::Name { exporter: 0, table: *table, id: *id, name });
            }
            MetaRecord::Application { id, name, description } => {
                self.meta(Meta::Application { exporter: 0, id, name, description });
            }
            MetaRecord::Stats(_) => {}
        }
    }

    /// Writes the block at hand, full or not. Collectors do so every second, so that little is lost
    /// in a crash and queries see fresh flows; readers do not care how full blocks are.
    ///
    /// # Errors
    /// If it cannot be written. Its flows are dropped and counted; the file remains sound, and
    /// later blocks may be written.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let len = self.block.len();
        self.write_block(len);
        self.error.take().map_or(Ok(()), Err)
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
            let at = self.block.len();
            meta::encode_stats(part, &mut self.block);
            self.add_record(at);
        }
        let len = self.block.len();
        self.write_block(len);
        for s in stats {
            self.totals.sequence_failures += u64::from(s.sequence_failures);
        }
        let mut on_file = self.totals;
        if on_file.window().is_none() {
            // No flows: the slot's start twice, as 1.7.8 has it (4.2).
            on_file.first_ms = self.header.created_secs.saturating_mul(1000);
            on_file.last_ms = on_file.first_ms;
        }
        let bytes = self.write_end(&sums.copied().unwrap_or_else(|| on_file.into()))?;
        Ok(Closed {
            path: self.path,
            totals: self.totals,
            blocks: self.header.blocks,
            bytes,
            dropped: self.dropped,
        })
    }

    /// Writes appendix and header and returns the length of the file.
    fn write_end(&mut self, statistics: &Statistics) -> Result<u64, StoreError> {
        self.block.clear();
        Appendix::encode(self.ident.as_bytes(), statistics, &mut self.block);
        let appendix = self.offset;
        let len = self.block.len();
        let end = self
            .put_block(Appendix::RECORDS, len)
            .map_err(StoreError::io("write the appendix of", &self.path))?;
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

    /// Counts the record that was appended at `at`. If that made the block too long, the records
    /// before it are written and it begins the next one.
    fn add_record(&mut self, at: usize) {
        if self.block.len() > self.block_size && at > 0 {
            self.write_block(at);
        }
        self.records += 1;
    }

    /// Writes the first `len` octets as a block and keeps the rest for the next.
    fn write_block(&mut self, len: usize) {
        if self.records > 0 {
            match self.put_block(self.records, len) {
                Ok(end) => {
                    self.offset = end;
                    self.header.blocks += 1;
                    self.totals.merge(&self.pending);
                }
                Err(e) => {
                    self.dropped.unwritten += u64::from(self.records);
                    self.error = Some(StoreError::io("write", &self.path)(e));
                }
            }
        }
        self.records = 0;
        self.pending = Totals::default();
        self.block.copy_within(len.., 0);
        self.block.truncate(self.block.len() - len);
    }

    /// Puts a block on disk and returns where it ends.
    fn put_block(&mut self, records: u32, len: usize) -> io::Result<u64> {
        let packed = self.packer.pack(self.block.get(..len).unwrap_or_default())?;
        let header = BlockRef::encode_header(records, packed.len() as u32);
        let payload = self.offset + header.len() as u64;
        // The header last: whoever reads meanwhile finds it only before a complete payload, and
        // zeros before that.
        self.file.write_all_at(packed, payload)?;
        self.file.write_all_at(&header, self.offset)?;
        Ok(payload + packed.len() as u64)
    }
}

impl FlowSink for Writer {
    #[inline]
    fn flow(&mut self, flow: &Flow) {
        let at = self.block.len();
        if self.encoder.encode(flow, &mut self.block) {
            self.add_record(at);
            self.pending.add(flow.as_row());
        } else {
            self.dropped.too_long += 1;
        }
    }

    fn meta(&mut self, meta: Meta<'_>) {
        let at = self.block.len();
        let out = &mut self.block;
        let fits = match meta {
            Meta::Exporter(e) => meta::encode_exporter(&e, out),
            Meta::Sampler(s) => meta::encode_sampler(&s, out),
            Meta::Name { table, id, name, .. } => meta::encode_name(table, id, name, out),
            Meta::Application { id, name, description, .. } => {
                meta::encode_application(id, name, description, out)
            }
        };
        if !fits {
            self.dropped.meta += 1;
        }
        if self.block.len() > at {
            self.add_record(at);
        }
    }
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

/// Whether every reader takes a record as it is: elements of full length that fill it exactly
/// (6.2).
fn is_complete(record: &[u8]) -> bool {
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
