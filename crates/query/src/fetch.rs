//! Goes back for the records that an answer shows.
//!
//! Groups remember where their first record is instead of keeping a copy, so ten million groups
//! cost no more than their sums. What is printed or written is read again here, in windows of as
//! many records as memory is meant for, each block once a window. Records in the order of the
//! input, or nearly so, cost one look at each block.

use crate::group::Origin;
use crate::input::{Input, InputReader};
use crate::report::{Damage, Report};
use crate::scan::{Place, Query, lock};
use record::{Row, RowRef, ShapeTable};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Octets of records in memory at one time, with all that is kept beside each, where one look at
/// each block is enough.
const IN_ORDER: usize = 48 << 20;
/// The same for records that lie all over the files, so that every window reads most blocks.
const SCATTERED: usize = 160 << 20;
/// Where nothing else takes memory, a window may hold a fifth of all records, up to this.
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
    /// until that breaks or the run is told to stop. `places` is what the scan left behind. What
    /// could not be read is told in `report`.
    ///
    /// An answer of a scan that was told to stop is shown as a whole: only what happens from here
    /// on ends it early.
    pub(crate) fn windows<T>(
        &self,
        mut picks: impl Iterator<Item = T>,
        origin: impl Fn(&T) -> Origin,
        places: &[Place],
        memory: Memory,
        mut take: impl FnMut(&[T], &Fetched) -> ControlFlow<()>,
        report: &mut Report,
    ) {
        let limit = self.memory.map_or(usize::MAX, |m| (m / 4).max(SMALLEST_WINDOW));
        let was_stopped = self.is_stopped();
        let mut window = Vec::new();
        let (mut size, mut largest) = (FIRST, FIRST);
        let (mut room, mut most) = (IN_ORDER.min(limit), IN_ORDER.min(limit));
        loop {
            window.clear();
            window.extend(picks.by_ref().take(size));
            if window.is_empty() {
                return;
            }
            let left = picks.size_hint().1.unwrap_or(0);
            if largest > size && left > 0 && is_scattered(window.iter().map(&origin), left, places)
            {
                window.extend(picks.by_ref().take(largest - size));
                room = most;
            }
            let (mut done, mut octets) = (0, 0);
            while let Some(rest) = window.get(done..).filter(|rest| !rest.is_empty()) {
                if !was_stopped && self.is_stopped() {
                    report.interrupted = true;
                    return;
                }
                // Some more than meant: records that are a little larger are no reason to begin
                // again.
                let (part, fetched) = self.fetch_some(rest, &origin, places, room + room / 2);
                report.tell(fetched.damage);
                octets += fetched.records.octets();
                done += part.len();
                if take(part, &fetched.records).is_break() {
                    return;
                }
            }
            let each = octets / window.len() + BESIDE + size_of::<T>();
            let fifth = match memory {
                Memory::Shared => 0,
                Memory::Free => (left.saturating_mul(each) / 5).min(LARGEST_WINDOW),
            };
            let records = |octets: usize| (octets.min(limit) / each).max(1024);
            (size, room) = (records(IN_ORDER), IN_ORDER.min(limit));
            // Once is enough: the share of what is left would become smaller and smaller.
            largest = largest.max(records(SCATTERED.max(fifth)));
            most = most.max(SCATTERED.max(fifth).min(limit));
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|s| s.load(Relaxed))
    }

    /// Reads as many of the first `picks` as fit into `room` octets, one at least.
    fn fetch_some<'p, T>(
        &self,
        picks: &'p [T],
        origin: &impl Fn(&T) -> Origin,
        places: &[Place],
        room: usize,
    ) -> (&'p [T], Again) {
        let mut part = picks;
        loop {
            let room = Room { octets: AtomicUsize::new(0), limit: room, is_one: part.len() < 2 };
            if let Some(again) = self.fetch(part.iter().map(origin), places, &room) {
                return (part, again);
            }
            part = part.get(..part.len() / 2).unwrap_or(part);
        }
    }

    /// Reads the records at `origins` again; `None` if there is no room for them.
    fn fetch(
        &self,
        origins: impl Iterator<Item = Origin>,
        places: &[Place],
        room: &Room,
    ) -> Option<Again> {
        let mut wanted: Vec<Wanted> =
            origins.enumerate().map(|(i, o)| Wanted { origin: o, index: i as u32 }).collect();
        wanted.sort_unstable();
        let (jobs, files) = self.jobs(&wanted, places);
        let read = |reader: &mut InputReader, job: Job| {
            let wanted = wanted.get(job.from..job.to)?;
            Some((files.get(job.file)?.read(wanted, places, reader, room), wanted))
        };
        let results = crate::parallel::map_with(jobs, self.threads, InputReader::default, read);
        if room.is_exceeded() {
            return None;
        }
        let mut records = Fetched { arenas: Vec::new(), found: vec![GONE; wanted.len()] };
        let mut damage = Vec::new();
        for (result, wanted) in results.into_iter().flatten() {
            match result {
                Ok(arena) => records.add(arena, wanted),
                Err(lost) => damage.push(lost),
            }
        }
        Some(Again { records, damage })
    }

    /// Jobs of a few blocks of one file each, and the files.
    fn jobs(&self, wanted: &[Wanted], places: &[Place]) -> (Vec<Job>, Vec<OpenFile<'_>>) {
        let (mut jobs, mut files) = (Vec::<Job>::new(), Vec::<OpenFile<'_>>::new());
        let (mut blocks, mut last) = (0, None);
        for (i, w) in wanted.iter().enumerate() {
            let block = w.origin.block();
            let Some(place) = places.get(block as usize) else { continue };
            let number = place.file as usize;
            if files.last().is_none_or(|f| f.number != number) {
                let Some(path) = self.files.get(number) else { continue };
                files.push(OpenFile { number, path, query: self, state: Mutex::default() });
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
                    if let Some(file) = files.last_mut() {
                        file.state.get_mut().unwrap_or_else(PoisonError::into_inner).jobs += 1;
                    }
                }
            }
        }
        (jobs, files)
    }
}

/// What was read again, and what could not be.
struct Again {
    records: Fetched,
    damage: Vec<Damage>,
}

/// Octets that all jobs of a window may read together.
struct Room {
    octets: AtomicUsize,
    limit: usize,
    /// One record is read whatever its size.
    is_one: bool,
}

impl Room {
    fn is_exceeded(&self) -> bool {
        !self.is_one && self.octets.load(Relaxed) > self.limit
    }

    /// Takes so much of it. Returns whether it is there.
    fn take(&self, octets: usize) -> bool {
        self.octets.fetch_add(octets, Relaxed);
        !self.is_exceeded()
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

/// A file that is opened when the first job needs it, and closed with the last one: a window may
/// have records of thousands of files.
struct OpenFile<'q> {
    number: usize,
    path: &'q Path,
    query: &'q Query,
    state: Mutex<FileState>,
}

#[derive(Default)]
struct FileState {
    file: Option<Input>,
    /// Jobs that have yet to be done.
    jobs: usize,
}

impl OpenFile<'_> {
    fn open(&self) -> Result<Input, String> {
        let mut state = lock(&self.state);
        if let Some(file) = &state.file {
            return Ok(file.clone());
        }
        let opened = self.query.open_input(self.path);
        let opened = opened.map_err(|e| format!("{e}, on reading it again"))?;
        state.file = Some(opened.clone());
        Ok(opened)
    }

    fn finish_job(&self) {
        let mut state = lock(&self.state);
        state.jobs = state.jobs.saturating_sub(1);
        if state.jobs == 0 {
            state.file = None;
        }
    }

    fn read(
        &self,
        wanted: &[Wanted],
        places: &[Place],
        reader: &mut InputReader,
        room: &Room,
    ) -> Result<Arena, Damage> {
        let arena = self.try_read(wanted, places, reader, room);
        self.finish_job();
        arena.map_err(|what| Damage::loss(self.path, what))
    }

    fn try_read(
        &self,
        wanted: &[Wanted],
        places: &[Place],
        reader: &mut InputReader,
        room: &Room,
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
            let number = place.map(|p| p.block as usize).filter(|n| *n < file.blocks());
            let number = number.ok_or_else(|| again("a block is gone"))?;
            let block = reader.load(&file, number, self.query.fields.shown, &mut 0);
            let block = block.map_err(|e| format!("{e}, on reading it again"))?;
            let size = |w: &Wanted| block.rows.row_bytes(w.origin.row() as usize).len();
            let octets = of_block.iter().map(size).sum();
            if !room.take(octets) {
                return Ok(out); // nobody will look at it
            }
            out.bytes.reserve_exact(octets);
            for w in of_block {
                let row = w.origin.row() as usize;
                let r = block.rows.index.get(row).ok_or_else(|| again("a record is gone"))?;
                let shape = shapes.copy(block.rows.table, r.shape, &mut out.table);
                let shape = shape.ok_or_else(|| again("too many shapes of records"))?;
                out.rows.push(RowRef { at: out.bytes.len() as u32, len: r.len, shape });
                out.bytes.extend_from_slice(block.rows.row_bytes(row));
            }
        }
        Ok(out)
    }
}

/// What is not there any more was there before.
fn again(what: &str) -> String {
    format!("changed while it was read: {what}; ask again")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Sorting;
    use record::{Addr, Field, Flow, FlowSink as _};
    use store::{Writer, WriterOptions};

    /// Nine files of four blocks each, and the records of all of them by size.
    fn query(dir: &Path) -> (Query, Vec<Origin>, Vec<Place>) {
        let mut files = Vec::new();
        for n in 0..9u64 {
            let path = dir.join(format!("nfcapd.20260410120{n}"));
            let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
            for i in 0..40u64 {
                let mut flow = Flow::new();
                flow.set_addr(Field::SrcAddr, Addr::V4(n as u32));
                flow.set(Field::Bytes, (i * 7919 + n * 104_729) % 1_000_003);
                flow.set_bytes(Field::InPayload, &vec![7; (i * 31 % 200) as usize]);
                writer.flow(&flow);
                if i % 10 == 9 {
                    writer.flush().unwrap();
                }
            }
            writer.close(&[]).unwrap();
            files.push(path);
        }
        let query = Query { files, threads: 2, ..Query::default() };
        let mut sorted = query.sort(Sorting::parse("bytes").unwrap(), 0).unwrap();
        let origins: Vec<Origin> = sorted.take_origins().collect();
        assert_eq!(origins.len(), 360);
        (query, origins, sorted.places)
    }

    #[test]
    fn files_are_closed_with_their_last_job() {
        let dir = tempfile::tempdir().unwrap();
        let (query, origins, places) = query(dir.path());
        let wanted = |(i, o): (usize, &Origin)| Wanted { origin: *o, index: i as u32 };
        let mut wanted: Vec<Wanted> = origins.iter().enumerate().map(wanted).collect();
        wanted.sort_unstable();
        let (jobs, files) = query.jobs(&wanted, &places);
        assert_eq!((jobs.len(), files.len()), (18, 9));
        let room = Room { octets: AtomicUsize::new(0), limit: usize::MAX, is_one: false };
        for (n, job) in jobs.into_iter().enumerate() {
            let wanted = &wanted[job.from..job.to];
            files[job.file].read(wanted, &places, &mut InputReader::default(), &room).unwrap();
            let open = files.iter().filter(|f| lock(&f.state).file.is_some()).count();
            assert_eq!(open, 1 - n % 2, "after job {n}");
        }
    }

    /// Windows that are too large are cut, whatever records are next to each other.
    #[test]
    fn no_more_is_read_than_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let (query, origins, places) = query(dir.path());
        let (all, whole) = query.fetch_some(&origins, &|o| *o, &places, usize::MAX);
        assert_eq!((all.len(), whole.damage.len()), (origins.len(), 0));
        let octets =
            |f: &Fetched, i| f.row(i).map(|r| r.row.bytes(Field::InPayload).map(<[u8]>::to_vec));
        for room in [0, 1, 700, 5000, 40_000] {
            let (mut done, mut windows) = (0, 0);
            while done < origins.len() {
                let (part, again) = query.fetch_some(&origins[done..], &|o| *o, &places, room);
                assert!(part.len() == 1 || again.records.octets() <= room);
                for i in 0..part.len() {
                    let got = octets(&again.records, i);
                    assert!(got.is_some() && got == octets(&whole.records, done + i));
                }
                done += part.len();
                windows += 1;
            }
            assert!(windows > 1 && (room > 1 || windows == origins.len()), "{windows} windows");
        }
    }

    #[test]
    fn what_cannot_be_opened_is_not_called_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (query, origins, places) = query(dir.path());
        std::fs::remove_file(&query.files[3]).unwrap();
        let mut writer = Writer::create(&query.files[5], &WriterOptions::default()).unwrap();
        writer.flow(&Flow::new());
        writer.close(&[]).unwrap();
        let (_, again) = query.fetch_some(&origins, &|o| *o, &places, usize::MAX);
        let said = |file: usize| -> Vec<&str> {
            let of_file = again.damage.iter().filter(|d| d.file == query.files[file]);
            of_file.map(|d| d.what.as_str()).collect()
        };
        assert!(said(3).iter().all(|w| !w.contains("changed") && w.contains("again")));
        assert!(said(5).iter().all(|w| w.starts_with("changed while it was read: a ")));
        assert!(!said(3).is_empty() && !said(5).is_empty() && said(4).is_empty());
    }
}
