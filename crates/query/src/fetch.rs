//! Goes back for the records that an answer shows.
//!
//! Groups remember where their first record is instead of keeping a copy, so ten million groups
//! cost no more than their sums. What is printed or written is read again here, in windows of as
//! many records as memory is meant for, each block once a window. Records in the order of the
//! input, or nearly so, cost one look at each block.

use crate::report::Damage;
use crate::scan::{Place, Query};
use crate::table::Origin;
use record::{Row, RowRef, ShapeTable};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use store::{BlockReader, FlowFile, ReadOptions};

/// Octets of records in memory at one time, with all that is kept beside each, where one look at
/// each block is enough.
const IN_ORDER: usize = 48 << 20;
/// The same for records that lie all over the files, so that every window reads most blocks.
const SCATTERED: usize = 160 << 20;
/// Where nothing else takes memory, a window may hold a quarter of all records, up to this.
const LARGEST_WINDOW: usize = 1 << 29;
/// Where memory is scarce: a quarter of the limit, but not less than this.
const SMALLEST_WINDOW: usize = 4 << 20;
/// Octets kept beside each record and its pick.
const BESIDE: usize = 40;
/// Records of the first window: before it nothing is known about their size. Few, because each
/// may lie in another block.
const FIRST: usize = 64;
/// Blocks of a file that one job reads.
const JOB_BLOCKS: usize = 2;

/// Records read again, in the order they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    arenas: Vec<Arena>,
    /// For each record: arena, and index in it. [`GONE`] where the block cannot be read any more.
    found: Vec<(u32, u32)>,
}

const GONE: (u32, u32) = (u32::MAX, u32::MAX);

/// Rows copied by one job, with shapes of their own.
#[derive(Debug)]
struct Arena {
    bytes: Vec<u8>,
    rows: Vec<RowRef>,
    table: ShapeTable,
    ident: String,
    file: usize,
}

/// A record read again, and where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchedRow<'a> {
    pub(crate) row: Row<'a>,
    pub(crate) ident: &'a str,
    /// Index into [`Query::files`].
    pub(crate) file: usize,
}

impl Fetched {
    /// Record `i` of those asked for.
    pub(crate) fn row(&self, i: usize) -> Option<FetchedRow<'_>> {
        let (arena, n) = *self.found.get(i)?;
        let arena = self.arenas.get(arena as usize)?;
        let r = arena.rows.get(n as usize)?;
        let at = r.at as usize;
        let bytes = arena.bytes.get(at..at + usize::from(r.len))?;
        let shape = arena.table.shapes().get(usize::from(r.shape))?;
        Some(FetchedRow { row: Row::new(bytes, shape), ident: &arena.ident, file: arena.file })
    }

    fn octets(&self) -> usize {
        self.arenas.iter().map(|a| a.bytes.len()).sum()
    }
}

impl Query {
    /// Reads the records of `picks` again, window by window, and hands each window to `take`,
    /// until that breaks. `places` is what the scan left behind. Returns what could not be read.
    pub(crate) fn windows<T>(
        &self,
        mut picks: impl Iterator<Item = T>,
        origin: impl Fn(&T) -> Origin,
        places: &[Place],
        memory: Memory,
        mut take: impl FnMut(&[T], &Fetched) -> ControlFlow<()>,
    ) -> Vec<Damage> {
        let limit = self.memory.map_or(usize::MAX, |m| (m / 4).max(SMALLEST_WINDOW));
        let (mut damage, mut window) = (Vec::<Damage>::new(), Vec::new());
        let (mut size, mut largest) = (FIRST, FIRST);
        loop {
            window.clear();
            window.extend(picks.by_ref().take(size));
            if window.is_empty() {
                return damage;
            }
            let left = picks.size_hint().1.unwrap_or(0);
            if largest > size && left > 0 && is_scattered(window.iter().map(&origin), left, places)
            {
                window.extend(picks.by_ref().take(largest - size));
            }
            let (fetched, lost) = self.fetch(window.iter().map(&origin), places);
            for d in lost {
                if !damage.contains(&d) {
                    damage.push(d);
                }
            }
            if take(&window, &fetched).is_break() {
                return damage;
            }
            let each = fetched.octets() / window.len() + BESIDE + size_of::<T>();
            let quarter = match memory {
                Memory::Shared => 0,
                Memory::Free => (left.saturating_mul(each) / 4).min(LARGEST_WINDOW),
            };
            let records = |octets: usize| (octets.min(limit) / each).max(1024);
            size = records(IN_ORDER);
            // Once is enough: the share of what is left would become smaller and smaller.
            largest = largest.max(records(SCATTERED.max(quarter)));
        }
    }

    /// Reads the records at `origins` again.
    fn fetch(
        &self,
        origins: impl Iterator<Item = Origin>,
        places: &[Place],
    ) -> (Fetched, Vec<Damage>) {
        let mut wanted: Vec<Wanted> =
            origins.enumerate().map(|(i, o)| Wanted { origin: o, index: i as u32 }).collect();
        wanted.sort_unstable();
        let (jobs, files) = self.jobs(&wanted, places);
        let read = |reader: &mut BlockReader, job: Job| {
            let wanted = wanted.get(job.from..job.to)?;
            Some((files.get(job.file)?.read(wanted, places, reader), wanted))
        };
        let results = crate::parallel::map_with(jobs, self.threads, BlockReader::new, read);
        let mut fetched = Fetched { arenas: Vec::new(), found: vec![GONE; wanted.len()] };
        let mut damage = Vec::new();
        for (result, wanted) in results.into_iter().flatten() {
            match result {
                Ok(arena) => fetched.add(arena, wanted),
                Err(lost) => damage.push(lost),
            }
        }
        (fetched, damage)
    }

    /// Jobs of a few blocks of one file each, and the files.
    fn jobs(&self, wanted: &[Wanted], places: &[Place]) -> (Vec<Job>, Vec<OpenFile>) {
        let (mut jobs, mut files) = (Vec::<Job>::new(), Vec::<OpenFile>::new());
        let (mut blocks, mut last) = (0, None);
        for (i, w) in wanted.iter().enumerate() {
            let block = w.origin.block();
            let Some(place) = places.get(block as usize) else { continue };
            let number = place.file as usize;
            if files.last().is_none_or(|f| f.number != number) {
                let Some(path) = self.files.get(number) else { continue };
                let (path, read) = (path.clone(), self.read.clone());
                files.push(OpenFile { number, path, read, file: Mutex::default() });
                blocks = JOB_BLOCKS;
            }
            if last != Some(block) {
                last = Some(block);
                blocks += 1;
            }
            match jobs.last_mut() {
                Some(job) if blocks <= JOB_BLOCKS => job.to = i + 1,
                _ => {
                    blocks = 1;
                    jobs.push(Job { file: files.len() - 1, from: i, to: i + 1 });
                }
            }
        }
        (jobs, files)
    }
}

/// Whether windows like this one would look at every block several times: it has records out of
/// so many blocks that those which are left must have theirs in the same ones.
fn is_scattered(window: impl Iterator<Item = Origin>, left: usize, places: &[Place]) -> bool {
    let mut seen = vec![false; places.len()];
    let (mut blocks, mut records) = (0usize, 0usize);
    for origin in window {
        records += 1;
        if let Some(seen) = seen.get_mut(origin.block() as usize).filter(|s| !**s) {
            *seen = true;
            blocks += 1;
        }
    }
    let windows = (records + left) as f64 / records.max(1) as f64;
    blocks as f64 * windows > 2.0 * places.len() as f64
}

/// What else takes memory while records are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing that counts.
    Free,
    /// Groups, which take more than their records.
    Shared,
}

impl Fetched {
    fn add(&mut self, arena: Arena, wanted: &[Wanted]) {
        for (n, w) in wanted.iter().enumerate().take(arena.rows.len()) {
            if let Some(place) = self.found.get_mut(w.index as usize) {
                *place = (self.arenas.len() as u32, n as u32);
            }
        }
        self.arenas.push(arena);
    }
}

/// A record to be read; in the order of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    origin: Origin,
    /// Index among those asked for.
    index: u32,
}

/// Wanted records `from..to`, all of them in one file.
struct Job {
    /// Index into the list of files.
    file: usize,
    from: usize,
    to: usize,
}

/// A file that is opened when the first job needs it, and closed with the window.
struct OpenFile {
    number: usize,
    path: PathBuf,
    read: ReadOptions,
    file: Mutex<Option<Arc<FlowFile>>>,
}

impl OpenFile {
    fn open(&self) -> Result<Arc<FlowFile>, String> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let opened = Arc::new(FlowFile::open_with(&self.path, &self.read).map_err(|e| again(&e))?);
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn read(
        &self,
        wanted: &[Wanted],
        places: &[Place],
        reader: &mut BlockReader,
    ) -> Result<Arena, Damage> {
        self.try_read(wanted, places, reader).map_err(|what| Damage::loss(&self.path, what))
    }

    fn try_read(
        &self,
        wanted: &[Wanted],
        places: &[Place],
        reader: &mut BlockReader,
    ) -> Result<Arena, String> {
        let file = self.open()?;
        let mut out = Arena {
            bytes: Vec::new(),
            rows: Vec::with_capacity(wanted.len()),
            table: ShapeTable::new(),
            ident: file.ident().to_owned(),
            file: self.number,
        };
        let mut shapes = ShapeCopies::default();
        for of_block in wanted.chunk_by(|a, b| a.origin.block() == b.origin.block()) {
            let place = of_block.first().and_then(|w| places.get(w.origin.block() as usize));
            let place = place.ok_or_else(|| again(&"a block is gone"))?;
            let block = reader.load(&file, place.block as usize).map_err(|e| again(&e))?;
            let size = |w: &Wanted| block.rows.row_bytes(w.origin.row() as usize).len();
            out.bytes.reserve_exact(of_block.iter().map(size).sum());
            for w in of_block {
                let row = w.origin.row() as usize;
                let r = block.rows.index.get(row).ok_or_else(|| again(&"a record is gone"))?;
                let shape = shapes.copy(block.rows.table, r.shape, &mut out.table);
                let shape = shape.ok_or_else(|| again(&"too many shapes of records"))?;
                out.rows.push(RowRef { at: out.bytes.len() as u32, len: r.len, shape });
                out.bytes.extend_from_slice(block.rows.row_bytes(row));
            }
        }
        Ok(out)
    }
}

fn again(e: &dyn std::fmt::Display) -> String {
    format!("changed while it was read: {e}; ask again")
}

/// Which shapes of a reader's table have a copy in an arena. Readers start new tables now and then.
#[derive(Default)]
struct ShapeCopies {
    table: u64,
    copies: Vec<Option<u16>>,
}

impl ShapeCopies {
    fn copy(&mut self, from: &ShapeTable, shape: u16, to: &mut ShapeTable) -> Option<u16> {
        if self.table != from.id() {
            self.table = from.id();
            self.copies.clear();
        }
        self.copies.resize(from.shapes().len(), None);
        let copy = self.copies.get_mut(usize::from(shape))?;
        if copy.is_none() {
            *copy = to.push(from.shapes().get(usize::from(shape))?.clone());
        }
        *copy
    }
}
