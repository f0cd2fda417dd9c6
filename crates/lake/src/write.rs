//! One flow file as Parquet files, one for each hour in which its flows began and each exporter.
//!
//! Rows are taken block by block and sorted into parts. A part keeps its rows as columns until
//! there are enough for a row group, or memory is short; then they are sorted and written. A file
//! of very many parts is read several times, each time for some of them, so that neither memory nor
//! open files depend on what is in it.

mod address;
mod all;
mod columns;
mod encode;
mod plan;

pub use all::{Event, Naming, Summary, write_all};

use crate::dataset::Partition;
use crate::error::LakeError;
use crate::schema::metadata::{About, Damage, ExporterOf, Source, Sums};
use crate::schema::{self, VERSION};
use columns::{BATCH, Columns};
use encode::Encoder;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use plan::Plan;
use record::{Addr, Exporter, ExporterStats, Row, RowRef, Rows, Sampler, Totals};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use store::loss::Statement;
use store::{BlockReader, FlowFile, MetaRecord, ReadOptions};

/// How files are written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Whether addresses are written as text, too.
    pub has_text: bool,
    /// Rows of a row group, at most [`MAX_ROW_GROUP`].
    pub row_group: usize,
    /// Octets of rows that each thread keeps before it writes.
    pub memory: usize,
    /// What files say they were written by.
    pub writer: String,
    /// What reading flow files may need.
    pub read: ReadOptions,
}

/// The most rows that a row group can have.
pub const MAX_ROW_GROUP: usize = encode::MAX_ROWS - BATCH;

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            has_text: true,
            row_group: 1 << 18,
            memory: 256 << 20,
            writer: concat!("flowsuite ", env!("CARGO_PKG_VERSION")).to_owned(),
            read: ReadOptions::default(),
        }
    }
}

/// Parts that are open at the same time.
const OPEN_PARTS: usize = 128;
/// Parts of one flow file: 24 hours of 682 exporters.
const MAX_PARTS: usize = 1 << 14;
/// Damaged blocks of a file that are described.
const MAX_DAMAGE: usize = 16;

/// A file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) partition: Partition,
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    pub(crate) size: u64,
}

/// What became of a flow file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Converted {
    pub(crate) parts: Vec<Part>,
    /// What could not be read, and whether that is lost.
    pub(crate) damage: Vec<String>,
    pub(crate) is_loss: bool,
    /// Times beyond what columns can say.
    pub(crate) clamped: u64,
    /// Texts that are no UTF-8.
    pub(crate) odd_texts: u64,
}

/// Turns flow files into Parquet files. Each thread has one and keeps it.
pub(crate) struct Converter {
    options: WriteOptions,
    reader: BlockReader,
    /// By shape of the reader.
    plans: Vec<Plan>,
    encoder: Encoder,
    /// Memory of parts that are done.
    spare: Vec<Columns>,
}

/// The flow file at hand.
struct Job<'a> {
    file: &'a FlowFile,
    about: About,
    directory: &'a Path,
    stop: &'a AtomicBool,
    exporters: Exporters,
    /// Numbers of all partitions met.
    numbers: HashMap<Partition, usize>,
    /// The same in order of their numbers.
    partitions: Vec<Partition>,
    parts: Vec<Open>,
    /// Of which numbers this pass is.
    pass: usize,
}

/// What works on parts.
struct Tools<'a> {
    plans: &'a [Plan],
    encoder: &'a mut Encoder,
    options: &'a WriteOptions,
    spare: &'a mut Vec<Columns>,
}

/// A part that is being written.
struct Open {
    partition: Partition,
    path: PathBuf,
    out: Option<SerializedFileWriter<File>>,
    rows: Columns,
    totals: Totals,
    count: u64,
}

impl Converter {
    pub(crate) fn new(options: WriteOptions) -> Self {
        Self {
            options,
            reader: BlockReader::new(),
            plans: Vec::new(),
            encoder: Encoder::default(),
            spare: Vec::new(),
        }
    }

    /// Writes the flows of a file to files of `directory`, which exists and is empty.
    pub(crate) fn convert(
        &mut self,
        file: &FlowFile,
        (source, loss): (Source, Vec<Statement>),
        directory: &Path,
        stop: &AtomicBool,
    ) -> Result<Converted, LakeError> {
        let about = About {
            schema: VERSION,
            writer: self.options.writer.clone(),
            source,
            ident: file.ident().to_owned(),
            has_text: self.options.has_text,
            source_totals: file.statistics().map(Sums::from),
            loss,
            ..About::default()
        };
        let mut job = Job {
            file,
            about,
            directory,
            stop,
            exporters: Exporters::default(),
            numbers: HashMap::new(),
            partitions: Vec::new(),
            parts: Vec::new(),
            pass: 0,
        };
        let mut done = Converted::default();
        self.encoder.odd_texts = 0;
        loop {
            self.pass(&mut job, &mut done)?;
            self.finish(&mut job, &mut done)?;
            job.pass += 1;
            if job.partitions.len() <= job.pass * OPEN_PARTS {
                done.odd_texts = self.encoder.odd_texts;
                return Ok(done);
            }
        }
    }

    /// Reads all blocks, for the parts of this pass.
    fn pass(&mut self, job: &mut Job<'_>, done: &mut Converted) -> Result<(), LakeError> {
        let file = job.file;
        let is_first = job.pass == 0;
        for n in 0..file.blocks().len() {
            if job.stop.load(Ordering::Relaxed) {
                return Err(LakeError::Interrupted);
            }
            let block = match self.reader.load(file, n) {
                Ok(block) => block,
                Err(e) if is_first => {
                    done.say(e.to_string());
                    continue;
                }
                Err(_) => continue,
            };
            if is_first {
                if let Some(what) = block.damage() {
                    done.say(format!("block {n}: {what}"));
                }
                for record in block.meta {
                    job.exporters.add(record);
                    job.about.names.add(record);
                }
            }
            for shape in block.rows.table.shapes().iter().skip(self.plans.len()) {
                self.plans.push(Plan::new(shape));
            }
            let Self { plans, encoder, options, spare, .. } = self;
            let mut tools = Tools { plans, encoder, options, spare };
            job.take(&block.rows, &mut tools)?;
            job.relieve(&mut tools)?;
        }
        if is_first {
            let damage = file.damage();
            if let Some(state) = file.state().damage() {
                done.damage.insert(0, state);
            }
            done.is_loss |= file.state().is_loss();
            let state = file.state().is_loss().then(|| file.state().damage()).flatten();
            let all = Damage {
                state,
                unreadable_blocks: damage.unreadable_blocks,
                damaged_blocks: damage.damaged_blocks,
            };
            job.about.damage = (all != Damage::default()).then_some(all);
        }
        Ok(())
    }

    /// Gives the parts of this pass their end.
    fn finish(&mut self, job: &mut Job<'_>, done: &mut Converted) -> Result<(), LakeError> {
        for mut part in std::mem::take(&mut job.parts) {
            if job.stop.load(Ordering::Relaxed) {
                return Err(LakeError::Interrupted);
            }
            let Self { plans, encoder, options, spare, .. } = self;
            part.flush(&job.about.ident, &mut Tools { plans, encoder, options, spare })?;
            let exporters = job.exporters.of(part.partition.exporter);
            let path = part.path.clone();
            let fail = LakeError::parquet(&path);
            let about = About {
                totals: Sums { rows: part.count, ..Sums::from(&part.totals) },
                exporters,
                ..job.about.clone()
            };
            done.clamped += part.rows.clamped;
            let Some(mut out) = part.out.take() else { continue };
            let pairs = about.to_pairs().map_err(|e| fail(ParquetError::General(e.to_string())))?;
            for (key, value) in pairs {
                out.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
            }
            let file = out.into_inner().map_err(&fail)?;
            file.sync_data().map_err(LakeError::io("write", &path))?;
            let size = file.metadata().map_err(LakeError::io("write", &path))?.len();
            let (partition, rows) = (part.partition, part.count);
            done.parts.push(Part { partition, path: path.clone(), rows, size });
            if self.spare.len() < OPEN_PARTS {
                part.rows.clamped = 0;
                self.spare.push(part.rows);
            }
        }
        // What many parts needed once is not kept for ever.
        self.spare.truncate(4);
        Ok(())
    }
}

impl Converted {
    fn say(&mut self, what: String) {
        self.is_loss = true;
        if self.damage.len() < MAX_DAMAGE {
            self.damage.push(what);
        }
    }
}

impl Job<'_> {
    /// Sorts the rows of a block into parts.
    fn take(&mut self, rows: &Rows<'_>, tools: &mut Tools<'_>) -> Result<(), LakeError> {
        // The rows of one batch, by their part in this pass.
        let mut lists: Vec<Vec<RowRef>> = Vec::new();
        let mut last = None;
        for batch in rows.index.chunks(BATCH) {
            lists.iter_mut().for_each(Vec::clear);
            for r in batch {
                let Some(plan) = tools.plans.get(usize::from(r.shape)) else { continue };
                let hour = Partition::hour_of(columns::number(rows.bytes, r, plan.first));
                let sysid = columns::number(rows.bytes, r, plan.exporter) as u32;
                let slot = match last {
                    Some((key, slot)) if key == (hour, sysid) => slot,
                    _ => {
                        let exporter = self.exporters.address(sysid, self.file, tools.options);
                        let number = self.number(Partition { hour, exporter })?;
                        let slot = number.checked_sub(self.pass * OPEN_PARTS);
                        let slot = slot.filter(|slot| *slot < OPEN_PARTS);
                        last = Some(((hour, sysid), slot));
                        slot
                    }
                };
                let Some(slot) = slot else { continue };
                if lists.len() <= slot {
                    lists.resize_with(slot + 1, || Vec::with_capacity(BATCH));
                }
                if let Some(list) = lists.get_mut(slot) {
                    list.push(*r);
                }
            }
            for (slot, list) in lists.iter().enumerate().filter(|(_, list)| !list.is_empty()) {
                let part = self.part(slot, tools.spare)?;
                part.append(rows, list, tools.plans);
                if part.rows.len() >= tools.options.row_group || part.rows.is_full() {
                    let ident = self.about.ident.clone();
                    self.part(slot, tools.spare)?.flush(&ident, tools)?;
                }
            }
        }
        Ok(())
    }

    /// The number of a partition; they are numbered as they are met.
    fn number(&mut self, partition: Partition) -> Result<usize, LakeError> {
        if let Some(number) = self.numbers.get(&partition) {
            return Ok(*number);
        }
        let number = self.partitions.len();
        if number >= MAX_PARTS {
            let path = self.file.path().to_owned();
            return Err(LakeError::TooManyParts { path, max: MAX_PARTS });
        }
        self.numbers.insert(partition, number);
        self.partitions.push(partition);
        Ok(number)
    }

    /// A part of this pass; those before it are made with it.
    fn part(&mut self, slot: usize, spare: &mut Vec<Columns>) -> Result<&mut Open, LakeError> {
        while self.parts.len() <= slot {
            let number = self.pass * OPEN_PARTS + self.parts.len();
            let partition = self.partitions.get(number).copied();
            self.parts.push(Open {
                partition: partition.unwrap_or(Partition { hour: 0, exporter: None }),
                path: self.directory.join(number.to_string()),
                out: None,
                rows: spare.pop().unwrap_or_else(Columns::new),
                totals: Totals::default(),
                count: 0,
            });
        }
        let path = self.file.path();
        self.parts.get_mut(slot).ok_or_else(|| LakeError::Changed(path.to_owned()))
    }

    /// Writes the largest parts while memory is short.
    fn relieve(&mut self, tools: &mut Tools<'_>) -> Result<(), LakeError> {
        let mut used: usize = self.parts.iter().map(|p| p.rows.memory()).sum();
        while used > tools.options.memory {
            let largest = self.parts.iter_mut().max_by_key(|p| p.rows.memory());
            let Some(part) = largest.filter(|p| p.rows.len() > 0) else { break };
            used -= part.rows.memory();
            part.flush(&self.about.ident, tools)?;
            // Another part may be the largest then: its memory is needed.
            let clamped = part.rows.clamped;
            part.rows = Columns::new();
            part.rows.clamped = clamped;
        }
        Ok(())
    }
}

impl Open {
    fn append(&mut self, rows: &Rows<'_>, list: &[RowRef], plans: &[Plan]) {
        self.rows.append(rows.bytes, list, plans);
        self.count += list.len() as u64;
        for r in list {
            let bytes = rows.bytes.get(r.at as usize..r.at as usize + usize::from(r.len));
            let shape = rows.table.shapes().get(usize::from(r.shape));
            if let (Some(bytes), Some(shape)) = (bytes, shape) {
                self.totals.add(Row::new(bytes, shape));
            }
        }
    }

    /// Writes what waits as a row group.
    fn flush(&mut self, ident: &str, tools: &mut Tools<'_>) -> Result<(), LakeError> {
        if self.rows.len() == 0 {
            return Ok(());
        }
        let Tools { plans, encoder, options, .. } = tools;
        let fail = LakeError::parquet(&self.path);
        let out = match &mut self.out {
            Some(out) => out,
            None => {
                let names = (&*options.writer, options.has_text);
                let properties = encode::properties(&self.rows, plans, names).map_err(&fail)?;
                let file =
                    File::create_new(&self.path).map_err(LakeError::io("make", &self.path))?;
                let schema = schema::message().map_err(&fail)?;
                let out = SerializedFileWriter::new(file, schema, properties).map_err(&fail)?;
                self.out.insert(out)
            }
        };
        encoder.write(&self.rows, plans, (ident, options.has_text), out).map_err(&fail)?;
        self.rows.clear();
        Ok(())
    }
}

/// Who sent the flows of a file, as far as its blocks have said so.
#[derive(Default)]
struct Exporters {
    all: BTreeMap<u32, Exporter>,
    stats: BTreeMap<u32, ExporterStats>,
    samplers: BTreeMap<(u32, i64), Sampler>,
    /// Whether the whole file was asked because a flow came before its exporter.
    is_complete: bool,
}

impl Exporters {
    fn add(&mut self, record: &MetaRecord) {
        match record {
            // Of a number that a file has twice, the first one counts, as in listings.
            MetaRecord::Exporter(e) => {
                self.all.entry(e.sysid).or_insert(*e);
            }
            MetaRecord::Sampler(s) => {
                self.samplers.insert((s.exporter, s.id), *s);
            }
            MetaRecord::Stats(list) => list.iter().for_each(|s| {
                let mine = self.stats.entry(s.sysid).or_default();
                mine.packets = mine.packets.saturating_add(s.packets);
                mine.flows = mine.flows.saturating_add(s.flows);
                mine.sequence_failures = mine.sequence_failures.saturating_add(s.sequence_failures);
            }),
            _ => {}
        }
    }

    /// Address of an exporter. One that was not told yet is looked for in all of the file, once.
    fn address(&mut self, sysid: u32, file: &FlowFile, options: &WriteOptions) -> Option<Addr> {
        if sysid == 0 {
            return None;
        }
        if !self.all.contains_key(&sysid) && !self.is_complete {
            self.is_complete = true;
            // What cannot be read, the reader of its flows complains about.
            let all = store::list_exporters_with(file.path(), &options.read).unwrap_or_default();
            for info in all {
                self.all.entry(info.exporter.sysid).or_insert(info.exporter);
            }
        }
        self.all.get(&sysid).map(|e| e.addr)
    }

    /// Those of an address.
    fn of(&self, addr: Option<Addr>) -> Vec<ExporterOf> {
        let its = self.all.values().filter(|e| Some(e.addr) == addr);
        its.map(|e| {
            let stats = self.stats.get(&e.sysid).copied().unwrap_or_default();
            let samplers = self.samplers.range((e.sysid, i64::MIN)..=(e.sysid, i64::MAX));
            let samplers: Vec<Sampler> = samplers.map(|(_, s)| *s).collect();
            ExporterOf::new(e, &stats, &samplers)
        })
        .collect()
    }
}
