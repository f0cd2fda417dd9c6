//! Reads files block by block on every core and hands filtered batches to workers.
//!
//! Blocks are numbered in reading order. Workers take the next one wherever it is, so nobody
//! waits at the end of a file; what needs order ([`Ordered`], running numbers) goes by the number.
//! A file or block that cannot be read becomes a [`Damage`] in the [`Report`], and reading goes on.

use crate::counters::{NOTHING, Summer, join};
use filter::{Context, Evaluator, Filter};
use output::Counts;
use record::{AddressBook, Rows, Selection, ShapeTable};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use store::{BlockReader, FlowFile, MetaRecord};

/// What to read, and which flows of it.
#[derive(Debug)]
pub struct Query {
    /// Files, in the order of their flows.
    pub files: Vec<PathBuf>,
    /// A flow passes when all of these let it through.
    pub filters: Vec<Filter>,
    /// Files whose statistics lie outside of these times (milliseconds since 1970) are skipped.
    pub window: Option<(u64, u64)>,
    /// Only so many records pass, the first ones in the order of the files. They are counted in
    /// order, so one thread goes through the files alone.
    pub limit: Option<u64>,
    /// Threads that read, filter and sum.
    pub threads: usize,
    /// Called for each file that is opened, with its number from 1 and the number of files.
    pub progress: Option<fn(usize, usize)>,
    /// What is known about addresses: keys and columns of countries and systems ask it.
    pub book: Option<Arc<dyn AddressBook>>,
}

/// What was read, what passed, and what could not be read.
#[derive(Debug, Default)]
pub struct Report {
    /// Sums over the flows that passed.
    pub passed: Passed,
    /// Records read.
    pub records: u64,
    /// Records that passed the filters.
    pub records_passed: u64,
    /// Blocks that were not looked at because nothing in them could pass.
    pub blocks_skipped: u64,
    /// Octets of blocks read, as they lie on disk.
    pub bytes_read: u64,
    /// First and last time in the statistics of the files read.
    pub window: Option<(u64, u64)>,
    /// Ident of the first file read.
    pub ident: Option<String>,
    /// Files and blocks that could not be read, or only in part.
    pub damage: Vec<Damage>,
    /// Exporters and samplers of each file.
    pub(crate) meta: Vec<(usize, MetaRecord)>,
    /// What workers found, with the number of the block: sorted into the two above at the end, so
    /// that the report is the same for any number of threads.
    found: Vec<(u32, Found)>,
}

/// Something that belongs into the report in reading order.
#[derive(Debug)]
enum Found {
    Damage(Damage),
    Meta(usize, MetaRecord),
}

/// Sums over flows that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Records.
    pub records: u64,
    /// Sums over both directions.
    pub counts: Counts,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, where, and what became of it.
    pub what: String,
    /// Whether anything is lost; otherwise it is worth a line and no more.
    pub is_loss: bool,
}

impl Damage {
    pub(crate) fn loss(file: &Path, what: String) -> Self {
        Self { file: file.to_owned(), what, is_loss: true }
    }
}

/// One block's rows and which of them passed.
pub(crate) struct Batch<'a> {
    pub(crate) rows: Rows<'a>,
    /// Rows that passed.
    pub(crate) selected: &'a Selection,
    pub(crate) meta: &'a [MetaRecord],
    /// Number of the block in reading order.
    pub(crate) block: u32,
    /// Running number of the first row, from 1. Only if [`Scan::numbered`].
    pub(crate) first_count: u64,
    pub(crate) ident: &'a str,
    /// Index into [`Query::files`].
    pub(crate) file: usize,
    /// Sums over the selected rows, from a step that has looked at all of them anyway.
    pub(crate) sums: Option<Counts>,
}

/// How to scan.
pub(crate) struct Scan {
    /// Whether rows need running numbers.
    pub(crate) numbered: bool,
    /// How many threads, unless [`Query::limit`] wants one: 1 where the answer is made in order.
    pub(crate) threads: usize,
}

/// Where a block is: index of the file, number of the block in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) block: u32,
}

/// What a scan leaves behind: workers' states, the report, and where each block was.
pub(crate) struct Scanned<S> {
    pub(crate) states: Vec<S>,
    pub(crate) report: Report,
    pub(crate) places: Vec<Place>,
}

impl Query {
    /// Runs `step` on every block, on `scan.threads` threads, each with a state of its own. A step
    /// that breaks ends the whole scan.
    pub(crate) fn scan<S: Send>(
        &self,
        scan: &Scan,
        state: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, &mut Batch<'_>) -> ControlFlow<()> + Sync,
    ) -> Scanned<S> {
        let numbered = scan.numbered || self.filters.iter().any(Filter::uses_count);
        let shared = Shared {
            cursor: Mutex::new(Cursor::default()),
            numbers: Turn::default(),
            stop: AtomicBool::new(false),
            numbered,
        };
        let run = || {
            let _abort = AbortOnPanic(&shared);
            let mut state = state();
            let mut worker = Worker::new(self);
            while let Some(task) = self.next_block(&shared) {
                if worker.block(&task, &shared, |batch| step(&mut state, batch)).is_break() {
                    shared.stop.store(true, Ordering::Relaxed);
                }
            }
            (state, worker.report)
        };
        let threads = if self.limit.is_some() { 1 } else { scan.threads.max(1) };
        let results = run_on(threads, run);
        let cursor = shared.cursor.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = cursor.report;
        let mut states = Vec::new();
        for (state, part) in results {
            report.absorb(part);
            states.push(state);
        }
        report.sort_found();
        Scanned { states, report, places: cursor.places }
    }

    /// Takes the next block, opening the next file when one is used up.
    fn next_block(&self, shared: &Shared) -> Option<Task> {
        if shared.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut c = lock(&shared.cursor);
        loop {
            if let Some(file) = c.open.clone() {
                let block = c.next_block;
                if block < file.blocks().len() {
                    c.next_block += 1;
                    let number = u32::try_from(c.places.len()).ok()?;
                    let index = c.next_file - 1;
                    c.places.push(Place { file: index as u32, block: block as u32 });
                    return Some(Task { file, index, block, number });
                }
            }
            let path = self.files.get(c.next_file)?;
            c.next_file += 1;
            c.next_block = 0;
            if let Some(progress) = self.progress {
                progress(c.next_file, self.files.len());
            }
            c.open = match FlowFile::open(path) {
                Ok(file) => self.admit(file, &mut c.report),
                Err(e) => {
                    c.report.damage.push(Damage::loss(path, e.to_string()));
                    None
                }
            };
        }
    }

    /// Notes what a file says of itself; `None` if its times lie outside of the window.
    fn admit(&self, file: FlowFile, report: &mut Report) -> Option<Arc<FlowFile>> {
        if let Some(what) = file.state().damage() {
            let is_loss = file.state().is_loss();
            report.damage.push(Damage { file: file.path().to_owned(), what, is_loss });
        }
        if let Some((first, last)) = file.totals().and_then(record::Totals::window) {
            // A file with records whose times are unknown says 0 and is never skipped.
            if let Some((from, to)) = self.window
                && first != 0
                && (last < from || first > to)
            {
                report.blocks_skipped += file.blocks().len() as u64;
                return None;
            }
            let (a, b) = report.window.unwrap_or((u64::MAX, 0));
            report.window = Some((a.min(first), b.max(last)));
        }
        report.ident.get_or_insert_with(|| file.ident().to_owned());
        Some(Arc::new(file))
    }
}

impl Report {
    fn absorb(&mut self, other: Self) {
        self.records += other.records;
        self.records_passed += other.records_passed;
        self.bytes_read += other.bytes_read;
        self.blocks_skipped += other.blocks_skipped;
        self.passed.add(&other.passed);
        self.damage.extend(other.damage);
        self.found.extend(other.found);
    }

    /// Puts what workers found behind what was found while opening, in reading order.
    fn sort_found(&mut self) {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by_key(|f| f.0);
        for (_, found) in found {
            match found {
                Found::Damage(damage) => self.damage.push(damage),
                Found::Meta(file, record) => self.meta.push((file, record)),
            }
        }
        self.damage.sort_by(|a, b| a.file.cmp(&b.file));
    }
}

impl Default for Passed {
    fn default() -> Self {
        Self { records: 0, counts: NOTHING }
    }
}

impl Passed {
    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        join(&mut self.counts, &other.counts);
    }
}

struct Task {
    file: Arc<FlowFile>,
    index: usize,
    block: usize,
    number: u32,
}

#[derive(Default)]
struct Cursor {
    next_file: usize,
    open: Option<Arc<FlowFile>>,
    next_block: usize,
    places: Vec<Place>,
    report: Report,
}

/// What workers of one scan share.
struct Shared {
    cursor: Mutex<Cursor>,
    numbers: Turn,
    stop: AtomicBool,
    numbered: bool,
}

/// Wakes workers that wait for one that panicked; the panic itself travels on.
struct AbortOnPanic<'a>(&'a Shared);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
            self.0.numbers.abort();
        }
    }
}

/// One thread's reader, filters and sums.
struct Worker<'q> {
    reader: BlockReader,
    filters: Vec<Evaluator<'q>>,
    selected: Selection,
    also: Selection,
    sums: Summer,
    report: Report,
    nothing: ShapeTable,
    /// Records that may still pass.
    left: u64,
}

impl<'q> Worker<'q> {
    fn new(query: &'q Query) -> Self {
        let filters = query.filters.iter().filter(|f| !f.is_any()).map(Filter::evaluator);
        Self {
            reader: BlockReader::new(),
            filters: filters.collect(),
            selected: Selection::default(),
            also: Selection::default(),
            sums: Summer::default(),
            report: Report::default(),
            nothing: ShapeTable::new(),
            left: query.limit.unwrap_or(u64::MAX),
        }
    }

    fn block(
        &mut self,
        task: &Task,
        shared: &Shared,
        step: impl FnOnce(&mut Batch<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let ident = task.file.ident();
        if let Some(b) = task.file.blocks().get(task.block) {
            self.report.bytes_read += u64::from(b.size);
        }
        let (rows, meta) = match self.reader.load(&task.file, task.block) {
            Ok(block) => {
                if let Some(what) = block.damage() {
                    let damage = Damage::loss(task.file.path(), what);
                    self.report.found.push((task.number, Found::Damage(damage)));
                }
                (block.rows, block.meta)
            }
            Err(e) => {
                let damage = Damage::loss(task.file.path(), e.to_string());
                self.report.found.push((task.number, Found::Damage(damage)));
                (Rows { bytes: &[], index: &[], table: &self.nothing }, [].as_slice())
            }
        };
        let first_count = match shared.numbered {
            true => shared.numbers.take(task.number, rows.len() as u64) + 1,
            false => 0,
        };
        let ctx = Context { ident, first_count };
        select(&mut self.filters, &rows, &ctx, &mut self.selected, &mut self.also);
        self.selected.keep_first(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= self.selected.count() as u64;
        self.report.records += rows.len() as u64;
        let is_exporter =
            |m: &&MetaRecord| matches!(m, MetaRecord::Exporter(_) | MetaRecord::Sampler(_));
        let found = |m: &MetaRecord| (task.number, Found::Meta(task.index, m.clone()));
        self.report.found.extend(meta.iter().filter(is_exporter).map(found));
        let mut batch = Batch {
            rows,
            selected: &self.selected,
            meta,
            block: task.number,
            first_count,
            ident,
            file: task.index,
            sums: None,
        };
        let flow = step(&mut batch);
        let passed = match batch.sums {
            Some(counts) => Passed { records: batch.selected.count() as u64, counts },
            None => self.sums.sum(&batch.rows, batch.selected),
        };
        self.report.records_passed += passed.records;
        self.report.passed.add(&passed);
        if self.left == 0 { ControlFlow::Break(()) } else { flow }
    }
}

/// Rows that pass all filters; `also` is scratch.
fn select(
    filters: &mut [Evaluator<'_>],
    rows: &Rows<'_>,
    ctx: &Context<'_>,
    selected: &mut Selection,
    also: &mut Selection,
) {
    let Some((first, rest)) = filters.split_first_mut() else {
        return selected.reset(rows.len(), true);
    };
    first.select(rows, ctx, selected);
    for filter in rest {
        filter.select(rows, ctx, also);
        for (w, other) in selected.words_mut().iter_mut().zip(also.words()) {
            *w &= other;
        }
    }
}

/// Runs the same work on several threads and collects what each returns.
fn run_on<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    if threads == 1 {
        return vec![work()];
    }
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        let join = |h: std::thread::ScopedJoinHandle<'_, R>| match h.join() {
            Ok(r) => r,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        handles.into_iter().map(join).collect()
    })
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running sum handed from block to block in reading order.
#[derive(Default)]
pub(crate) struct Turn {
    state: Mutex<(u32, u64, bool)>,
    moved: Condvar,
}

impl Turn {
    /// Waits until all blocks before `number` have been here, then adds `n` and returns the sum
    /// before. Blocks are taken in order, so the first one in flight never waits.
    pub(crate) fn take(&self, number: u32, n: u64) -> u64 {
        let mut s = lock(&self.state);
        while s.0 != number && !s.2 {
            s = self.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        let before = s.1;
        (s.0, s.1) = (number + 1, before + n);
        self.moved.notify_all();
        before
    }

    fn abort(&self) {
        lock(&self.state).2 = true;
        self.moved.notify_all();
    }
}

/// Puts what is made of blocks back into reading order.
///
/// The block that is due streams to the sink piece by piece; small results of later blocks wait
/// here, large ones wait in the hands of their worker. So memory is what one block a worker makes.
pub(crate) struct Ordered<F> {
    state: Mutex<OrderedState<F>>,
    moved: Condvar,
}

/// Text in pieces, so that a long one need not be copied to grow.
pub(crate) type Pieces = Vec<Vec<u8>>;

struct OrderedState<F> {
    next: u32,
    waiting: std::collections::BTreeMap<u32, Pieces>,
    sink: F,
}

impl<F: FnMut(&[u8]) -> ControlFlow<()>> Ordered<F> {
    /// Octets of a result that may wait here, and how many such results.
    const SMALL: usize = 1 << 16;
    const WAITING: usize = 32;

    /// The sink gets pieces of text in order; it wants no more once it breaks.
    pub(crate) fn new(sink: F) -> Self {
        let state = OrderedState { next: 0, waiting: std::collections::BTreeMap::new(), sink };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Hands over the first pieces of what is made of block `number`, if it is its turn.
    pub(crate) fn stream(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let mut s = lock(&self.state);
        if s.next != number {
            return ControlFlow::Continue(());
        }
        let flow = s.write(pieces);
        if flow.is_break() {
            self.moved.notify_all();
        }
        flow
    }

    /// Hands over the rest of block `number`, all of it if nothing was streamed. `pieces` comes
    /// back empty. Breaks as soon as the sink wants no more.
    pub(crate) fn finish(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let mut s = lock(&self.state);
        while s.next < number {
            let is_small = pieces.iter().map(Vec::len).sum::<usize>() <= Self::SMALL;
            if is_small && s.waiting.len() < Self::WAITING {
                s.waiting.insert(number, std::mem::take(pieces));
                return ControlFlow::Continue(());
            }
            s = self.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        if s.next != number {
            return ControlFlow::Break(()); // the sink was done before
        }
        let mut flow = s.write(pieces);
        while flow.is_continue() {
            s.next += 1;
            let due = s.next;
            let Some(mut pieces) = s.waiting.remove(&due) else { break };
            flow = s.write(&mut pieces);
        }
        self.moved.notify_all();
        flow
    }

    /// Keep this while making a result: should that panic, nobody waits for it.
    pub(crate) const fn abort_on_panic(&self) -> AbortOrdered<'_, F> {
        AbortOrdered(self)
    }
}

impl<F: FnMut(&[u8]) -> ControlFlow<()>> OrderedState<F> {
    /// Writes pieces. Nobody waits for a sink that is done.
    fn write(&mut self, pieces: &mut Pieces) -> ControlFlow<()> {
        for piece in pieces.drain(..) {
            if (self.sink)(&piece).is_break() {
                self.next = u32::MAX;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

pub(crate) struct AbortOrdered<'a, F>(&'a Ordered<F>);

impl<F> Drop for AbortOrdered<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.state).next = u32::MAX;
            self.0.moved.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large result of a later block waits for its turn, which never comes: it must not wait on.
    #[test]
    fn a_sink_that_breaks_off_in_a_stream_releases_who_waits() {
        let ordered = Ordered::new(|_: &[u8]| ControlFlow::Break(()));
        let mut large = vec![vec![b'x'; 1 << 20]];
        std::thread::scope(|scope| {
            let late = scope.spawn(|| ordered.finish(1, &mut large));
            // Long enough for it to begin to wait; if it does not, the test has nothing to find.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(ordered.stream(0, &mut vec![b"first".to_vec()]).is_break());
            assert!(late.join().unwrap().is_break());
        });
    }

    /// Whatever the sizes and whoever is first, the sink sees all pieces in order.
    #[test]
    fn pieces_come_out_in_order() {
        for threads in [1, 2, 5] {
            let mut out = Vec::new();
            let ordered = Ordered::new(|text: &[u8]| {
                out.extend_from_slice(text);
                ControlFlow::Continue(())
            });
            let next = std::sync::atomic::AtomicU32::new(0);
            run_on(threads, || {
                let mut text = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= 300 {
                        return;
                    }
                    // Every third result is too large to wait, every seventh is empty.
                    let repeat = if n.is_multiple_of(7) {
                        0
                    } else if n.is_multiple_of(3) {
                        40_000
                    } else {
                        3
                    };
                    for i in 0..repeat {
                        text.push(n.to_le_bytes().to_vec());
                        if i % 1024 == 1023 {
                            let _ = ordered.stream(n, &mut text);
                        }
                    }
                    assert!(ordered.finish(n, &mut text).is_continue());
                    assert!(text.is_empty());
                }
            });
            drop(ordered);
            let numbers: Vec<u32> =
                out.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
            assert!(numbers.is_sorted(), "{threads} threads");
            let small = (0..300).filter(|n| n % 7 != 0 && n % 3 != 0).count();
            let large = (0..300).filter(|n| n % 7 != 0 && n % 3 == 0).count();
            assert_eq!(numbers.len(), small * 3 + large * 40_000);
        }
    }

    #[test]
    fn a_sink_that_is_done_stops_everybody() {
        let ordered = Ordered::new(|_: &[u8]| ControlFlow::Break(()));
        let mut text = vec![vec![0; 1 << 20]];
        assert!(ordered.finish(0, &mut text).is_break());
        text.push(vec![0; 1 << 20]);
        assert!(ordered.finish(7, &mut text).is_break(), "nobody waits for blocks 1 to 6");
    }

    #[test]
    fn running_numbers_follow_the_blocks() {
        let turn = Turn::default();
        std::thread::scope(|s| {
            s.spawn(|| assert_eq!(turn.take(1, 5), 10));
            s.spawn(|| assert_eq!(turn.take(2, 1), 15));
            s.spawn(|| assert_eq!(turn.take(0, 10), 0));
        });
    }
}
