//! A file made of another, with something else in the place of each record.
//!
//! Blocks are read, changed and packed by several threads and written in their order. The new file
//! is of layout 2 whatever the old one was, and has the name when it is whole and on disk.

use crate::appendix::{Appendix, Statistics};
use crate::block::BlockRef;
use crate::compress::{Packer, Packing};
use crate::encode::Encoder;
use crate::error::{BlockError, StoreError};
use crate::header::{Creator, FileHeader};
use crate::layout::BLOCK_TARGET;
use crate::merge::add_stats;
use crate::meta::{self, MetaRecord};
use crate::reader::{Block, BlockReader, FlowFile};
use crate::replace::{Replacement, check_settled};
use crate::rewrite::{NotKept, add_skipped, cut, is_passed_over};
use crate::writer::{encode_meta, is_complete};
use record::{ExporterStats, Flow, Row, Rows, Totals};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::Path;

/// What takes the place of records: each thread has one.
pub trait Transform: Send {
    /// What takes the place of row `n`; `None` leaves it out. A row has to have the shape that it
    /// comes with.
    fn row<'a>(&'a mut self, rows: &Rows<'a>, n: usize) -> Option<Made<'a>>;

    /// What takes the place of what an exporter said of itself; `None` leaves it out. Statistics
    /// are not asked about: they have numbers only.
    fn meta(&mut self, record: &MetaRecord) -> Option<MetaRecord>;
}

/// What takes the place of a row.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// A row.
    Row(Row<'a>),
    /// A flow, which a row is made of.
    Flow(&'a Flow),
}

/// How the new file is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransformOptions {
    /// Ident of the new file; `None` is that of the old one.
    pub ident: Option<String>,
    /// Which program writes.
    pub creator: Creator,
    /// Compression; `None` is that of the old file.
    pub packing: Option<Packing>,
}

/// A new file that has no name yet. Dropped, it is gone.
#[must_use = "the new file has no name until it is finished"]
pub struct Transformed {
    replacement: Replacement,
    /// Rows in the new file.
    pub rows: u64,
    /// What could be read of the old file, was not left out on purpose, and is not in the new one.
    pub not_kept: NotKept,
}

impl Transformed {
    /// Gives the new file the name, and mode, time and where allowed owner of the old one.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the old file was to be replaced and has changed meanwhile; others
    /// if the system refuses. What had the name then has it still.
    pub fn finish(self) -> Result<(), StoreError> {
        self.replacement.finish()
    }
}

/// Makes a new file of one that was opened, with as many threads as there are `workers`: in its
/// place, or at `target`. Time of creation and sums of the old file are those of the new one, too.
///
/// `goes_on` is asked once in a while, and ends it by `false`.
///
/// # Errors
/// [`StoreError::Refused`] if the file is being written or damaged, if `target` is something else
/// than a file, or if it was ended; others if it cannot be read, or the new one not be written.
pub fn transform<T: Transform>(
    file: &FlowFile,
    target: Option<&Path>,
    workers: &mut [T],
    options: &TransformOptions,
    goes_on: &dyn Fn() -> bool,
) -> Result<Transformed, StoreError> {
    check_settled(file)?;
    let replacement = match target {
        Some(path) => Replacement::at(path, file)?,
        None => Replacement::of(file)?,
    };
    let mut not_kept = NotKept::default();
    let ident = match &options.ident {
        Some(ident) => ident.clone(),
        None => {
            let ident = cut(file.ident());
            let is_whole = ident == file.ident() && !ident.contains(char::REPLACEMENT_CHARACTER);
            not_kept.idents += u64::from(!is_whole);
            ident
        }
    };
    let packing = options.packing.unwrap_or_else(|| file.header().compression.into());
    let mut out = Out::new(&replacement, packing)?;
    let mut all: Vec<Worker<'_, T>> = workers
        .iter_mut()
        .map(|made| Worker::new(file, made, packing))
        .collect::<Result<_, _>>()?;
    let threads = all.len().max(1);
    for first in (0..file.blocks().len()).step_by(BATCH * threads) {
        if !goes_on() {
            let why = "this was stopped before it was done";
            return Err(StoreError::Refused { path: file.path().to_owned(), why });
        }
        let end = (first + BATCH * threads).min(file.blocks().len());
        for packed in pack(file, &mut all, first..end)? {
            out.put(&packed)?;
        }
    }
    let (mut stats, mut totals, mut rows) = (BTreeMap::new(), Totals::default(), 0);
    for worker in all {
        worker.stats.iter().for_each(|s| add_stats(&mut stats, *s));
        totals.merge(&worker.totals);
        not_kept.merge(&worker.not_kept);
        rows += worker.rows;
    }
    out.put_stats(&stats.into_values().collect::<Vec<_>>())?;
    let statistics = file.statistics().copied().unwrap_or_else(|| totals.into());
    let created = match file.header().created_secs {
        0 => replacement.modified_secs(),
        secs => secs,
    };
    out.finish(&ident, &statistics, options.creator, created)?;
    Ok(Transformed { replacement, rows, not_kept })
}

/// Blocks that a thread changes before they are written.
const BATCH: usize = 4;

/// A block as it goes to disk, header and all.
type Packed = Vec<u8>;

/// Changes and packs some blocks by all workers, and returns them in order.
fn pack<T: Transform>(
    file: &FlowFile,
    workers: &mut [Worker<'_, T>],
    blocks: std::ops::Range<usize>,
) -> Result<Vec<Packed>, StoreError> {
    let share = blocks.len().div_ceil(workers.len().max(1)).max(1);
    let mut all = Vec::with_capacity(blocks.len());
    std::thread::scope(|scope| {
        let parts: Vec<_> = blocks
            .clone()
            .step_by(share)
            .zip(workers)
            .map(|(first, worker)| {
                let end = (first + share).min(blocks.end);
                scope.spawn(move || worker.blocks(first..end))
            })
            .collect();
        for part in parts {
            let died = |_| StoreError::io("change", file.path())(std::io::ErrorKind::Other.into());
            all.extend(part.join().map_err(died)??);
        }
        Ok(all)
    })
}

/// What a thread has.
struct Worker<'a, T> {
    file: &'a FlowFile,
    made: &'a mut T,
    reader: BlockReader,
    encoder: Encoder,
    scratch: Flow,
    pending: Pending,
    stats: Vec<ExporterStats>,
    totals: Totals,
    not_kept: NotKept,
    rows: u64,
}

/// The block at hand.
struct Pending {
    packer: Packer,
    path: std::path::PathBuf,
    payload: Vec<u8>,
    records: u32,
    done: Vec<Packed>,
}

impl<'a, T: Transform> Worker<'a, T> {
    fn new(file: &'a FlowFile, made: &'a mut T, packing: Packing) -> Result<Self, StoreError> {
        let path = file.path().to_owned();
        let packer = Packer::new(packing).map_err(StoreError::io("compress", &path))?;
        let pending = Pending { packer, path, payload: Vec::new(), records: 0, done: Vec::new() };
        Ok(Self {
            file,
            made,
            reader: BlockReader::new(),
            encoder: Encoder::new(crate::Extensions::ALL),
            scratch: Flow::new(),
            pending,
            stats: Vec::new(),
            totals: Totals::default(),
            not_kept: NotKept::default(),
            rows: 0,
        })
    }

    fn blocks(&mut self, numbers: std::ops::Range<usize>) -> Result<Vec<Packed>, StoreError> {
        for n in numbers {
            self.block(n)?;
            self.pending.end()?;
        }
        Ok(std::mem::take(&mut self.pending.done))
    }

    fn block(&mut self, n: usize) -> Result<(), StoreError> {
        let Self { file, made, reader, encoder, scratch, pending, .. } = self;
        let Some(at) = file.blocks().get(n) else { return Ok(()) };
        if is_passed_over(file, at) {
            self.not_kept.blocks += 1;
            return Ok(());
        }
        let path = || file.path().to_owned();
        let unreadable = |source: BlockError| StoreError::Block { path: path(), source };
        let block: Block<'_> = reader.load(file, n).map_err(unreadable)?;
        if block.damage().is_some() {
            return Err(StoreError::Refused {
                path: path(),
                why: "it is damaged; repair it first",
            });
        }
        add_skipped(file, at, &block, &mut self.not_kept);
        if file.layout() == 2 {
            self.not_kept.elements += block.skipped.unknown_elements;
        }
        self.not_kept.exporters += block.skipped.too_many_names;
        for record in block.meta {
            if let MetaRecord::Stats(stats) = record {
                self.stats.extend_from_slice(stats);
            } else if let Some(record) = made.meta(record) {
                let before = pending.payload.len();
                let fits = encode_meta(&record, &mut pending.payload);
                self.not_kept.exporters += u64::from(!fits);
                if pending.payload.len() > before {
                    pending.add()?;
                }
            }
        }
        for n in 0..block.rows.len() {
            let Some(made) = made.row(&block.rows, n) else { continue };
            let (row, is_kept) = match made {
                Made::Row(row) if is_complete(row.as_bytes()) => {
                    pending.payload.extend_from_slice(row.as_bytes());
                    (row, true)
                }
                Made::Row(row) => {
                    self.not_kept.values += u64::from(scratch.assign(row) > 0);
                    (row, encoder.encode(scratch, &mut pending.payload))
                }
                Made::Flow(flow) => (flow.as_row(), encoder.encode(flow, &mut pending.payload)),
            };
            if is_kept {
                self.totals.add(row);
                self.rows += 1;
                pending.add()?;
            } else {
                self.not_kept.flows += 1;
            }
        }
        Ok(())
    }
}

impl Pending {
    /// Counts a record that was appended.
    #[inline]
    fn add(&mut self) -> Result<(), StoreError> {
        self.records += 1;
        if self.payload.len() >= BLOCK_TARGET { self.end() } else { Ok(()) }
    }

    /// Packs what there is.
    fn end(&mut self) -> Result<(), StoreError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let packed = self.packer.pack(&self.payload).map_err(StoreError::io("pack", &self.path))?;
        let mut out = BlockRef::encode_header(self.records, packed.len() as u32).to_vec();
        out.extend_from_slice(packed);
        self.done.push(out);
        self.payload.clear();
        self.records = 0;
        Ok(())
    }
}

/// The new file.
struct Out<'a> {
    replacement: &'a Replacement,
    file: BufWriter<&'a File>,
    packing: Packing,
    packer: Packer,
    offset: u64,
    blocks: u32,
}

impl<'a> Out<'a> {
    fn new(replacement: &'a Replacement, packing: Packing) -> Result<Self, StoreError> {
        let fail = |e| StoreError::io("write", replacement.temporary())(e);
        let mut file = BufWriter::new(replacement.file());
        file.write_all(&[0; FileHeader::LEN]).map_err(fail)?;
        let packer = Packer::new(packing).map_err(fail)?;
        let offset = FileHeader::LEN as u64;
        Ok(Self { replacement, file, packing, packer, offset, blocks: 0 })
    }

    fn put(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let to = self.replacement.temporary();
        self.file.write_all(block).map_err(StoreError::io("write", to))?;
        self.offset += block.len() as u64;
        self.blocks += 1;
        Ok(())
    }

    fn put_stats(&mut self, stats: &[ExporterStats]) -> Result<(), StoreError> {
        let mut payload = Vec::new();
        let parts = stats.chunks(meta::STATS_MAX);
        let records = parts.len() as u32;
        parts.for_each(|part| meta::encode_stats(part, &mut payload));
        if records == 0 {
            return Ok(());
        }
        let block = self.pack(records, &payload)?;
        self.put(&block)
    }

    fn pack(&mut self, records: u32, payload: &[u8]) -> Result<Packed, StoreError> {
        let to = self.replacement.temporary();
        let packed = self.packer.pack(payload).map_err(StoreError::io("pack", to))?;
        let mut block = BlockRef::encode_header(records, packed.len() as u32).to_vec();
        block.extend_from_slice(packed);
        Ok(block)
    }

    /// Writes the appendix, and the header last.
    fn finish(
        mut self,
        ident: &str,
        statistics: &Statistics,
        creator: Creator,
        created_secs: u64,
    ) -> Result<(), StoreError> {
        let mut payload = Vec::new();
        Appendix::encode(ident.as_bytes(), statistics, &mut payload);
        let block = self.pack(Appendix::RECORDS, &payload)?;
        let to = self.replacement.temporary();
        let fail = |e| StoreError::io("write", to)(e);
        self.file.write_all(&block).map_err(fail)?;
        let header = FileHeader {
            blocks: self.blocks,
            appendix_blocks: 1,
            appendix: self.offset,
            ..FileHeader::open(self.packing.method, creator, created_secs)
        };
        self.file.rewind().map_err(fail)?;
        self.file.write_all(&header.encode()).map_err(fail)?;
        let file = self.file.into_inner().map_err(|e| fail(e.into_error()))?;
        file.sync_all().map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compression, Writer, WriterOptions};
    use record::{Addr, Exporter, Field, FlowSink as _, Meta, NameTable, Sampler};

    /// Everything as it is, but flows whose source port is odd, and names.
    #[derive(Default)]
    struct Even {
        flow: Flow,
    }

    impl Transform for Even {
        fn row<'a>(&'a mut self, rows: &Rows<'a>, n: usize) -> Option<Made<'a>> {
            let row = rows.row(n)?;
            match row.number(Field::SrcPort) % 4 {
                0 => Some(Made::Row(row)),
                2 => {
                    self.flow.assign(row);
                    Some(Made::Flow(&self.flow))
                }
                _ => None,
            }
        }

        fn meta(&mut self, record: &MetaRecord) -> Option<MetaRecord> {
            (!matches!(record, MetaRecord::Name { .. })).then(|| record.clone())
        }
    }

    const FLOWS: u64 = 5000;

    fn write(path: &Path, method: Compression) {
        let options = WriterOptions {
            compression: method.into(),
            ident: "border".into(),
            block_size: 1 << 16,
            created_secs: 1_795_000_200,
            ..WriterOptions::default()
        };
        let mut writer = Writer::create(path, &options).unwrap();
        let exporter = Exporter { sysid: 3, version: 9, addr: Addr::V4(0xC000_0201), id: 7 };
        writer.meta(Meta::Exporter(exporter));
        writer.meta(Meta::Sampler(sampler()));
        let name = Meta::Name { exporter: 3, table: NameTable::Interface, id: 1, name: b"up" };
        writer.meta(name);
        let mut flow = Flow::new();
        for n in 0..FLOWS {
            flow.clear();
            flow.set(Field::SrcPort, n);
            flow.set(Field::Packets, 1);
            flow.set(Field::Proto, 17);
            flow.set(Field::ExporterId, 3);
            flow.set_addr(Field::SrcAddr, Addr::V4(n as u32));
            flow.set_addr(Field::DstAddr, Addr::V4(7));
            writer.flow(&flow);
        }
        writer
            .close(&[ExporterStats { sysid: 3, packets: 9, ..ExporterStats::default() }])
            .unwrap();
    }

    fn sampler() -> Sampler {
        Sampler { exporter: 3, algorithm: 1, id: 5, packet_interval: 1, space_interval: 9 }
    }

    /// Source ports, and what is said of exporters.
    fn read(path: &Path) -> (Vec<u64>, Vec<MetaRecord>) {
        let file = FlowFile::open(path).unwrap();
        assert!(crate::verify::verify_file(&file).is_sound());
        let (mut reader, mut ports, mut meta) = (BlockReader::new(), Vec::new(), Vec::new());
        for n in 0..file.blocks().len() {
            let block = reader.load(&file, n).unwrap();
            assert_eq!(block.damage(), None);
            ports.extend(block.rows.iter().map(|row| row.number(Field::SrcPort)));
            meta.extend_from_slice(block.meta);
        }
        (ports, meta)
    }

    fn workers(n: usize) -> Vec<Even> {
        (0..n).map(|_| Even::default()).collect()
    }

    #[test]
    fn rows_are_changed_in_their_order_by_any_number_of_threads() {
        for (method, threads) in [
            (Compression::None, 1),
            (Compression::Lzo, 2),
            (Compression::Bz2, 3),
            (Compression::Lz4, 5),
            (Compression::Zstd, 16),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            write(&from, method);
            let before = std::fs::read(&from).unwrap();
            let file = FlowFile::open(&from).unwrap();
            assert!(file.blocks().len() > 5);
            let options = TransformOptions { creator: Creator::NFANON, ..Default::default() };
            let made =
                transform(&file, Some(&to), &mut workers(threads), &options, &|| true).unwrap();
            assert_eq!((made.rows, made.not_kept), (FLOWS / 2, NotKept::default()));
            assert!(!to.exists(), "it has no name before it is finished");
            made.finish().unwrap();
            assert_eq!(std::fs::read(&from).unwrap(), before);
            let (ports, meta) = read(&to);
            assert!(ports.into_iter().eq((0..FLOWS).step_by(2)), "{method} {threads}");
            assert_eq!(meta.len(), 3, "{meta:?}");
            assert_eq!(meta[1], MetaRecord::Sampler(sampler()));
            assert!(matches!(&meta[2], MetaRecord::Stats(s) if s[0].packets == 9));
            let new = FlowFile::open(&to).unwrap();
            let header = new.header();
            assert_eq!((header.compression, header.creator), (method, Creator::NFANON));
            assert_eq!((new.ident(), header.created_secs), ("border", 1_795_000_200));
            assert_eq!(new.statistics(), file.statistics(), "sums are those of the old file");
        }
    }

    #[test]
    fn a_file_takes_the_place_of_the_one_it_was_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for target in [None, Some(&*path)] {
            write(&path, Compression::Lz4);
            let file = FlowFile::open(&path).unwrap();
            let options = TransformOptions { ident: Some("none".into()), ..Default::default() };
            transform(&file, target, &mut workers(2), &options, &|| true)
                .unwrap()
                .finish()
                .unwrap();
            assert_eq!(read(&path).0.len() as u64, FLOWS / 2);
            assert_eq!(FlowFile::open(&path).unwrap().ident(), "none");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn whatever_goes_wrong_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, Compression::Lz4);
        let whole = std::fs::read(&path).unwrap();
        let options = TransformOptions::default();
        let try_all = |goes_on: bool, target: Option<&Path>| {
            let file = FlowFile::open(&path).unwrap();
            transform(&file, target, &mut workers(2), &options, &|| goes_on)
                .and_then(Transformed::finish)
        };
        assert!(matches!(try_all(false, None), Err(StoreError::Refused { .. })), "stopped");
        assert!(matches!(try_all(true, Some(dir.path())), Err(StoreError::Refused { .. })));
        let nowhere = dir.path().join("no/where");
        assert!(matches!(try_all(true, Some(&nowhere)), Err(StoreError::Io { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        // Cut anywhere, or with a damaged octet in any block, it is left as it is.
        let step = whole.len() / 60;
        for len in (40..whole.len()).step_by(step) {
            std::fs::write(&path, &whole[..len]).unwrap();
            try_all(true, None).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), whole[..len], "{len}");
        }
        let blocks: Vec<u64> = {
            std::fs::write(&path, &whole).unwrap();
            FlowFile::open(&path).unwrap().blocks().iter().map(BlockRef::payload).collect()
        };
        for at in blocks {
            let mut damaged = whole.clone();
            damaged[at as usize..][..8].fill(0xFF);
            std::fs::write(&path, &damaged).unwrap();
            try_all(true, None).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "{at}");
        }
        // So is one whose blocks are whole, but whose records are not.
        write(&path, Compression::None);
        let mut damaged = std::fs::read(&path).unwrap();
        let at = FlowFile::open(&path).unwrap().blocks().get(1).map(BlockRef::payload).unwrap();
        damaged[at as usize + 2..][..2].fill(0);
        std::fs::write(&path, &damaged).unwrap();
        let error = try_all(true, None).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
