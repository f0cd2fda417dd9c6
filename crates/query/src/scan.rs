//! Reads files block by block on every core and hands filtered batches to workers.
//!
//! Blocks are numbered in reading order. Workers take the next one wherever it is, so nobody
//! waits at the end of a file: the next one is opened while the last one is read. What needs order
//! ([`Ordered`](crate::ordered::Ordered), running numbers) goes by the number. A file or block that
//! cannot be read becomes a [`Damage`] in the [`Report`], and reading goes on.

use crate::counters::Summer;
use crate::input::{Fields, Foreign, Input, InputError, InputReader, Opener};
use crate::ordered::Turn;
use crate::report::{Damage, Found, Passed, Report};
use filter::{Context, Evaluator, Filter};
use index::{Entry, Index, Wanted};
use output::Counts;
use record::{AddressBook, Rows, Selection, ShapeTable};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use store::{MetaRecord, ReadOptions};

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
    /// What is printed of sorted and joined flows, cut to the first N before. Says nothing about
    /// plain lists, tables of values and what is written.
    pub post: Option<Filter>,
    /// Octets that groups, and the order of what is to be printed, may take. `None`: no limit.
    pub memory: Option<usize>,
    /// Looked at between blocks: once it is set, nothing more is read, and the answer is about
    /// what was read so far. [`Report::interrupted`] says so.
    pub stop: Option<&'static AtomicBool>,
    /// What reading files needs beside their names: the key of encrypted ones.
    pub read: ReadOptions,
    /// Whether to leave out blocks of which an index beside the files knows that no flow of them can
    /// pass. The answer is the same without.
    pub use_index: bool,
    /// Whether what files say about exporters is copied, also where no flow passes.
    pub copies_exporters: bool,
    /// Who opens files that are no flow files.
    pub opener: Option<Arc<dyn Opener>>,
    /// The fields that the question reads, beside those of the filters. Looked at where a file keeps
    /// fields apart.
    pub fields: Fields,
}

impl Default for Query {
    /// No files, no filters, no limits, on one thread.
    fn default() -> Self {
        Self {
            files: Vec::new(),
            filters: Vec::new(),
            window: None,
            limit: None,
            threads: 1,
            progress: None,
            book: None,
            post: None,
            memory: None,
            stop: None,
            read: ReadOptions::default(),
            use_index: false,
            copies_exporters: false,
            opener: None,
            fields: Fields::ALL,
        }
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
    /// Running number, from 1, of the first row or of the first one that passed, as
    /// [`Scan::numbers`] says.
    pub(crate) first_count: u64,
    pub(crate) ident: &'a str,
    /// Index into [`Query::files`].
    pub(crate) file: usize,
    /// Sums over the selected rows, from a step that has looked at all of them anyway.
    pub(crate) sums: Option<Counts>,
}

/// How to scan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'p> {
    /// Which running numbers rows need.
    pub(crate) numbers: Numbers,
    /// How many threads, unless [`Query::limit`] wants one: 1 where the answer is made in order.
    pub(crate) threads: usize,
    /// The blocks that an earlier scan found: only they are read, under the same numbers, also
    /// where a collector has added some since.
    pub(crate) again: Option<&'p [Place]>,
}

/// What running numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Nobody asks.
    None,
    /// All rows that are read.
    Read,
    /// Rows that passed.
    Passed,
}

/// Where a block is: index of the file, number of the block in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        scan: &Scan<'_>,
        state: impl Fn() -> S + Sync,
        step: impl Fn(&mut S, &mut Batch<'_>) -> ControlFlow<()> + Sync,
    ) -> Scanned<S> {
        let filters_count = self.filters.iter().any(Filter::uses_count);
        // Numbers of rows are those of all rows; an earlier scan has chosen its blocks.
        let is_numbered = filters_count || scan.numbers == Numbers::Read;
        let may_skip = self.use_index && scan.again.is_none() && !is_numbered;
        let shared = Shared {
            cursor: Mutex::default(),
            opened: Condvar::new(),
            read: Turn::default(),
            passed: Turn::default(),
            stop: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            numbers: scan.numbers,
            filters_count,
            again: scan.again,
            index: may_skip.then(Mutex::default),
        };
        let run = || {
            let _abort = AbortOnPanic(&shared);
            let mut state = state();
            let mut worker = Worker::new(self);
            while let Some(task) = self.next_block(&shared) {
                if worker.block(&task, &shared, |batch| step(&mut state, batch)).is_break() {
                    shared.stop.store(true, Relaxed);
                }
            }
            (state, worker.report)
        };
        let results = run_on(self.limited(scan.threads), run);
        let cursor = shared.cursor.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut report = cursor.report;
        report.interrupted = shared.interrupted.into_inner();
        let mut states = Vec::new();
        for (state, part) in results {
            report.absorb(part);
            states.push(state);
        }
        report.sort_found();
        Scanned { states, report, places: cursor.places }
    }

    /// How many of `threads` a scan uses.
    fn limited(&self, threads: usize) -> usize {
        if self.limit.is_some() { 1 } else { threads.max(1) }
    }

    /// How many workers a scan has that is not made in order.
    pub(crate) fn workers(&self) -> usize {
        self.limited(self.threads)
    }

    /// Takes the next block. Whoever takes the first block of a file opens the next file before
    /// going to work on it.
    fn next_block(&self, shared: &Shared<'_>) -> Option<Task> {
        let mut c = lock(&shared.cursor);
        loop {
            if self.stop.is_some_and(|s| s.load(Relaxed)) {
                shared.interrupted.store(true, Relaxed);
                shared.stop.store(true, Relaxed);
            }
            if shared.stop.load(Relaxed) {
                return None;
            }
            let is_first = c.is_fresh;
            if let Some(task) = c.take(shared.again) {
                if is_first && matches!(c.ahead, Ahead::Nothing) {
                    drop(self.open_next(shared, c));
                }
                return Some(task);
            }
            c = match std::mem::take(&mut c.ahead) {
                Ahead::Opened(opened) => {
                    for (index, result) in opened {
                        self.begin(&mut c, index, result, shared);
                    }
                    c
                }
                Ahead::Opening => {
                    c.ahead = Ahead::Opening;
                    shared.opened.wait(c).unwrap_or_else(PoisonError::into_inner)
                }
                Ahead::Nothing if c.next_file >= self.files.len() => return None,
                Ahead::Nothing => self.open_next(shared, c),
            };
        }
    }

    /// Opens the next file while others go on taking blocks of the one before, and passes over those
    /// before it of which nothing is wanted.
    fn open_next<'c>(
        &self,
        shared: &'c Shared<'_>,
        mut c: MutexGuard<'c, Cursor>,
    ) -> MutexGuard<'c, Cursor> {
        let index = match shared.again {
            // Files without a block have nothing to be read again.
            Some(places) => places.get(c.places.len()..).and_then(|rest| {
                let next = rest.iter().find(|p| p.file as usize >= c.next_file)?;
                Some(next.file as usize)
            }),
            None => Some(c.next_file),
        };
        let Some(first) = index.filter(|i| *i < self.files.len()) else {
            c.next_file = self.files.len();
            return c;
        };
        c.ahead = Ahead::Opening;
        drop(c);
        let mut opened = Vec::new();
        for (index, path) in self.files.iter().enumerate().skip(first).take(AT_ONCE) {
            let result = self.open(path, shared.index.as_ref());
            let is_wanted = !matches!(result, Ok(Opened::Unwanted(_) | Opened::Outside(_)));
            opened.push((index, result));
            if is_wanted || shared.stop.load(Relaxed) {
                break;
            }
        }
        let mut c = lock(&shared.cursor);
        c.next_file = first + opened.len();
        c.ahead = Ahead::Opened(opened);
        shared.opened.notify_all();
        c
    }

    /// Opens a file, unless it is known that nothing of it is wanted.
    fn open(&self, path: &Path, index: Option<&Mutex<Index>>) -> Result<Opened, InputError> {
        let entry = index.and_then(|index| lock(index).of(path));
        if let Some(entry) = &entry
            && self.is_outside(entry.window())
        {
            return Ok(Opened::Outside(entry.clone()));
        }
        let wanted = entry.as_ref().map_or(Wanted::All, |entry| match self.copies_exporters {
            true => entry.wanted_with_exporters(&self.filters),
            false => entry.wanted(&self.filters),
        });
        match (wanted, entry) {
            (Wanted::Nothing, Some(entry)) => Ok(Opened::Unwanted(entry)),
            (wanted, entry) => {
                let file = self.open_input(path)?;
                let wanted = match (&file, entry) {
                    // Another may have taken its name since it was looked at.
                    (Input::Flows(f), Some(entry)) if entry.is_about(f.metadata()) => wanted,
                    (Input::Foreign(f), _) if index.is_some() => {
                        let with_first = self.copies_exporters && !f.meta().is_empty();
                        f.wanted(&self.filters, with_first)
                    }
                    _ => Wanted::All,
                };
                Ok(Opened::File(file, wanted))
            }
        }
    }

    /// Begins with a file that was opened.
    fn begin(
        &self,
        c: &mut Cursor,
        index: usize,
        result: Result<Opened, InputError>,
        shared: &Shared<'_>,
    ) {
        if let Some(progress) = self.progress {
            progress(index + 1, self.files.len());
        }
        (c.open, c.next_block, c.is_fresh) = (None, 0, true);
        let file = match result {
            Ok(Opened::File(file, wanted)) if shared.again.is_some() => Some((file, wanted)),
            Ok(Opened::File(file, wanted)) => {
                let file = self.admit(file, &mut c.report);
                if let Some(file) = &file {
                    c.report.leave_out(file.blocks(), &wanted);
                }
                file.map(|file| (file, wanted))
            }
            Ok(Opened::Outside(entry)) => {
                c.report.leave_outside(entry.blocks().into());
                None
            }
            Ok(Opened::Unwanted(entry)) => {
                c.report.note(entry.window(), entry.ident());
                c.report.blocks_skipped += u64::from(entry.blocks());
                c.report.records += entry.rows();
                None
            }
            Err(e) => {
                let Some(path) = self.files.get(index) else { return };
                let what = match shared.again {
                    Some(_) => format!("{e}, on reading it again; ask again"),
                    None => e.to_string(),
                };
                c.report.damage.push(Damage::loss(path, what));
                if shared.again.is_some() {
                    // Without its blocks all later ones would have other numbers.
                    shared.stop.store(true, Relaxed);
                }
                None
            }
        };
        c.open = file.map(|(file, wanted)| (index, file, wanted));
    }

    /// Notes what a file says of itself; `None` if its times lie outside of the window.
    fn admit(&self, file: Input, report: &mut Report) -> Option<Input> {
        if let Some((what, is_loss)) = file.damage() {
            report.damage.push(Damage { file: file.path().to_owned(), what, is_loss });
        }
        let window = file.totals().and_then(record::Totals::window);
        if self.is_outside(window) {
            report.leave_outside(file.blocks() as u64);
            return None;
        }
        report.note(window, file.ident());
        Some(file)
    }

    /// Whether the times of a file's statistics lie outside of the window. A file with records whose
    /// times are unknown says 0 and never does.
    fn is_outside(&self, times: Option<(u64, u64)>) -> bool {
        let (Some((from, to)), Some((first, last))) = (self.window, times) else { return false };
        first != 0 && (last < from || first > to)
    }
}

/// Files that are passed over in one step: each step wakes those that wait.
const AT_ONCE: usize = 512;

/// A file on its way.
enum Opened {
    /// It is read, or these blocks of it.
    File(Input, Wanted),
    /// Nothing of it can pass.
    Unwanted(Entry),
    /// Its times lie outside of the window.
    Outside(Entry),
}

struct Task {
    file: Input,
    index: usize,
    block: usize,
    number: u32,
    /// It is the first one that is taken of its file.
    is_first: bool,
}

/// Where the scan is.
#[derive(Default)]
struct Cursor {
    /// The file that blocks are taken from, with its index and the blocks that are wanted.
    open: Option<(usize, Input, Wanted)>,
    /// Block of the file, or of those that are wanted, to be taken next.
    next_block: usize,
    /// None was taken yet.
    is_fresh: bool,
    /// The file behind it.
    ahead: Ahead,
    /// Index of the file to be opened next.
    next_file: usize,
    places: Vec<Place>,
    report: Report,
}

#[derive(Default)]
enum Ahead {
    #[default]
    Nothing,
    Opening,
    /// That file, behind those before it of which nothing is wanted.
    Opened(Vec<(usize, Result<Opened, InputError>)>),
}

impl Cursor {
    /// The next block of the open file, as far as it was there the first time.
    fn take(&mut self, again: Option<&[Place]>) -> Option<Task> {
        let (index, file, wanted) = self.open.as_ref()?;
        let index = *index;
        let block = match (again, wanted) {
            (Some(places), _) => {
                let place = places.get(self.places.len())?;
                (place.file as usize == index).then_some(place.block as usize)?
            }
            (None, Wanted::Some { blocks, .. }) => *blocks.get(self.next_block)? as usize,
            (None, _) => self.next_block,
        };
        if again.is_none() && block >= file.blocks() {
            return None;
        }
        let place = Place { file: index as u32, block: block as u32 };
        let number = u32::try_from(self.places.len()).ok()?;
        let task = Task { file: file.clone(), index, block, number, is_first: self.is_fresh };
        (self.next_block, self.is_fresh) = (self.next_block + 1, false);
        self.places.push(place);
        Some(task)
    }
}

/// What workers of one scan share.
struct Shared<'p> {
    cursor: Mutex<Cursor>,
    /// A file was opened.
    opened: Condvar,
    /// Rows read, and rows that passed, in the blocks before.
    read: Turn,
    passed: Turn,
    stop: AtomicBool,
    interrupted: AtomicBool,
    numbers: Numbers,
    /// Whether a filter asks for the numbers of rows.
    filters_count: bool,
    again: Option<&'p [Place]>,
    /// What is known about files, if blocks may be left out.
    index: Option<Mutex<Index>>,
}

/// Wakes workers that wait for one that panicked; the panic itself travels on.
struct AbortOnPanic<'a>(&'a Shared<'a>);

impl Drop for AbortOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop.store(true, Relaxed);
            self.0.read.abort();
            self.0.passed.abort();
            // Under the lock, so that nobody is between looking and waiting.
            let _cursor = lock(&self.0.cursor);
            self.0.opened.notify_all();
        }
    }
}

/// One thread's reader, filters and sums.
struct Worker<'q> {
    reader: InputReader,
    /// Fields read of every row, and of blocks where one passes.
    fields: (u128, u128),
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
            reader: InputReader::default(),
            fields: query.scanned_fields(),
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
        shared: &Shared<'_>,
        step: impl FnOnce(&mut Batch<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let ident = task.file.ident();
        let (found, octets) = (&mut self.report.found, &mut self.report.bytes_read);
        let mut damaged = |what| {
            found.push((task.number, Found::Damage(Damage::loss(task.file.path(), what))));
        };
        let none = Rows { bytes: &[], index: &[], table: &self.nothing };
        let (mut rows, mut meta) = (none, [].as_slice());
        match self.reader.load(&task.file, task.block, self.fields.0, octets) {
            Ok(block) => {
                block.damage.into_iter().for_each(&mut damaged);
                (rows, meta) = (block.rows, block.meta);
            }
            Err(what) => damaged(what),
        }
        if let Input::Foreign(file) = &task.file {
            meta = meta_of(file, task);
        }
        let first_read = match shared.filters_count || shared.numbers == Numbers::Read {
            true => shared.read.take(task.number, rows.len() as u64) + 1,
            false => 0,
        };
        let ctx = Context { ident, first_count: first_read };
        select(&mut self.filters, &rows, &ctx, &mut self.selected, &mut self.also);
        self.selected.keep_first(usize::try_from(self.left).unwrap_or(usize::MAX));
        let passed = self.selected.count() as u64;
        self.left -= passed;
        if let (Input::Foreign(file), true) =
            (&task.file, passed > 0 && self.fields.0 != self.fields.1)
        {
            match self.reader.load(&task.file, task.block, self.fields.1, octets) {
                Ok(block) => rows = block.rows,
                Err(what) => {
                    damaged(what);
                    rows = none;
                    self.selected.reset(0, false);
                }
            }
            meta = meta_of(file, task);
        }
        let first_count = match shared.numbers {
            Numbers::Passed => shared.passed.take(task.number, passed) + 1,
            Numbers::None | Numbers::Read => first_read,
        };
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

/// What a foreign file says about exporters comes with the first block that is taken of it.
fn meta_of<'f>(file: &'f Arc<dyn Foreign>, task: &Task) -> &'f [MetaRecord] {
    if task.is_first { file.meta() } else { &[] }
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
pub(crate) fn run_on<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
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

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
