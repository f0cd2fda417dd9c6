//! Indexes at write time: what goes into a file is looked at while it is at hand anyway.

use crate::build::{Builder, Finished, STRETCH};
use crate::day;
use crate::digest::{Digest, Digester};
use crate::entry::About;
use crate::error::IndexError;
use crate::group::{Draft, Member};
use crate::make::{day_of, describe};
use crate::search::modified_ns;
use record::Rows;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::rotate::Published;
use store::{BlockReader, Closed, ReadOptions};

/// Indexes of the files that a process writes. What they take together is bounded.
#[derive(Debug)]
pub struct Surveys {
    /// Work tables, to be used for another file.
    digesters: Mutex<Vec<Digester>>,
    digests: Mutex<Vec<Digest>>,
    /// Groups on their way, by the directory of their index and its day.
    drafts: Mutex<BTreeMap<(PathBuf, String), Draft>>,
    /// Octets that indexes on their way take.
    octets: AtomicUsize,
    limit: usize,
}

/// Octets of all indexes on their way, if nothing else is said.
const LIMIT: usize = 256 << 20;
/// Digests and work tables that are kept to be used again.
const KEPT: usize = 64;

impl Surveys {
    /// Of no file yet. All on their way may take 256 MiB.
    pub fn new() -> Arc<Self> {
        Self::with_limit(LIMIT)
    }

    /// As [`new`](Self::new), with so many octets.
    pub fn with_limit(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            digesters: Mutex::default(),
            digests: Mutex::default(),
            drafts: Mutex::default(),
            octets: AtomicUsize::new(0),
            limit,
        })
    }

    /// Indexes a file that has got its name: by what was seen while it was written; where nobody
    /// looked, after a crash, or where it was merged with another one, by reading it. `base` is a
    /// directory above it. Whoever reads the file before that finds no index. `Ok(false)` if
    /// something of the file was not seen: it stays without one.
    ///
    /// # Errors
    /// If the index cannot be written, or the file not be read.
    pub fn note(
        &self,
        base: &Path,
        published: &Published,
        ident: &str,
        seen: Option<(&Survey, &Closed)>,
    ) -> Result<bool, IndexError> {
        let (about, finished) = match (published, seen) {
            (Published::Renamed(path), Some((survey, closed))) => {
                match survey.finish(base, path, closed, ident)? {
                    Some(known) => known,
                    None => return Ok(false),
                }
            }
            _ => {
                let mut reader = BlockReader::new();
                describe(base, published.path(), &ReadOptions::default(), &mut reader)?
            }
        };
        self.put(base, day_of(published.path())?, about, &finished).map(|()| true)
    }

    /// Reads a flow file and appends what is known about it to the index of its day in `base`, a
    /// directory above it.
    ///
    /// # Errors
    /// If it cannot be read as a whole, is not closed, is encrypted, or is not called as collectors
    /// call files; or if the index cannot be written.
    pub fn make(
        &self,
        base: &Path,
        path: &Path,
        options: &ReadOptions,
        reader: &mut BlockReader,
    ) -> Result<(), IndexError> {
        let (about, finished) = describe(base, path, options, reader)?;
        self.put(base, day_of(path)?, about, &finished)
    }

    /// Appends an entry, and what is known about its day so far where another day begins.
    fn put(
        &self,
        base: &Path,
        day: &str,
        about: About,
        finished: &Finished,
    ) -> Result<(), IndexError> {
        // Held until all is written: an entry that its draft does not have yet would stand between
        // a group and its files.
        let mut drafts = lock(&self.drafts);
        let at = day::append(base, day, &finished.octets)?;
        let member = Member {
            about,
            at,
            head_len: finished.head_len,
            entry_len: finished.octets.len() as u64,
            rows: finished.known.rows,
            blocks: finished.blocks,
        };
        let key = (base.to_owned(), day.to_owned());
        let draft = drafts.entry(key).or_default();
        draft.add(member, &finished.known, &finished.keys);
        let is_full = draft.is_full();
        let is_much = drafts.values().map(Draft::octets).sum::<usize>() > self.limit / 2;
        let is_due = |k: &(PathBuf, String)| k.0 == base && (k.1 != day || is_full || is_much);
        let due: Vec<_> = drafts.keys().filter(|k| is_due(k)).cloned().collect();
        let due: Vec<_> = due.into_iter().filter_map(|k| drafts.remove_entry(&k)).collect();
        // Without a group its files have their entries all the same.
        due.into_iter().for_each(|((base, day), mut draft)| {
            let _ = day::append_group(&base, &day, &mut draft);
        });
        Ok(())
    }

    /// Nothing comes any more for a while: appends what is known about days so far.
    ///
    /// # Errors
    /// If an index cannot be written. It stays sound.
    pub fn end(&self) -> Result<(), IndexError> {
        let drafts = std::mem::take(&mut *lock(&self.drafts));
        drafts
            .into_iter()
            .try_for_each(|((base, day), mut draft)| day::append_group(&base, &day, &mut draft))
    }

    /// Begins with a file: to be given to [`Writer::survey`](store::Writer::survey).
    pub fn begin(self: &Arc<Self>) -> Arc<Survey> {
        Arc::new(Survey { all: Arc::clone(self), state: Mutex::default() })
    }
}

/// What is known so far about a file that is being written.
#[derive(Debug)]
pub struct Survey {
    all: Arc<Surveys>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of blocks that are not in the file yet.
    waiting: BTreeMap<u64, Digest>,
    builder: Builder,
    /// Work tables of this file, one for each thread that looks at its blocks at once.
    digesters: Vec<Digester>,
    stretches: Stretches,
    /// Octets of the builder that are counted.
    octets: usize,
    is_void: bool,
}

/// Which stretch a block will be of, told while blocks before it are still on their way.
#[derive(Debug, Default)]
struct Stretches {
    /// The block up to which that is known.
    next: u64,
    /// Its stretch, and the rows before it in there.
    number: u32,
    rows: u64,
    /// Rows of blocks behind it.
    behind: BTreeMap<u64, u64>,
}

impl Stretches {
    /// Takes the rows of a block, and returns its stretch if it is known.
    fn of(&mut self, block: u64, rows: u64) -> Option<u32> {
        let stretch = (block == self.next).then_some(self.number);
        self.behind.insert(block, rows);
        while let Some(rows) = self.behind.remove(&self.next) {
            (self.next, self.rows) = (self.next + 1, self.rows + rows);
            if self.rows >= STRETCH {
                (self.number, self.rows) = (self.number + 1, 0);
            }
        }
        stretch
    }
}

/// Stamps of blocks whose stretch is not known are different from all others.
fn stamp(block: u64, stretch: Option<u32>) -> u32 {
    const ALONE: u32 = 1 << 27;
    match stretch {
        Some(stretch) => 1 + stretch % (ALONE - 1),
        None => ALONE | (block as u32 % ALONE),
    }
}

impl Survey {
    /// What is known about the file. `None` if blocks were missed, the file is not as it was closed, or
    /// its name is no text.
    fn finish(
        &self,
        base: &Path,
        path: &Path,
        closed: &Closed,
        ident: &str,
    ) -> Result<Option<(About, Finished)>, IndexError> {
        let mut state = lock(&self.state);
        let builder = std::mem::take(&mut state.builder);
        let is_void = std::mem::replace(&mut state.is_void, true) || !state.waiting.is_empty();
        let name = path.strip_prefix(base).ok().and_then(Path::to_str);
        let (Some(name), false) = (name, is_void) else { return Ok(None) };
        let metadata = path.symlink_metadata().map_err(IndexError::io("read", path))?;
        // Somebody may have merged it with another one, or replaced it.
        if metadata.len() != closed.bytes || builder.blocks() != closed.blocks {
            return Ok(None);
        }
        let about = About {
            name: name.to_owned(),
            size: closed.bytes,
            modified_ns: modified_ns(&metadata),
            ident: ident.to_owned(),
            window: closed.window,
        };
        Ok(builder.finish(&about).map(|finished| (about, finished)))
    }
}

impl store::Survey for Survey {
    fn look(&self, number: u64, rows: &Rows<'_>, says_who: bool) {
        let (stretch, digester) = {
            let mut state = lock(&self.state);
            if state.is_void {
                return;
            }
            let stretch = state.stretches.of(number, rows.index.len() as u64);
            (stretch, state.digesters.pop())
        };
        let mut digester = digester.unwrap_or_else(|| {
            let mut digester = lock(&self.all.digesters).pop().unwrap_or_default();
            digester.begin();
            digester
        });
        let mut digest = lock(&self.all.digests).pop().unwrap_or_default();
        (digest.says_who, digest.stretch) = (says_who, stretch);
        digester.digest(rows, stamp(number, stretch), &mut digest);
        let mut state = lock(&self.state);
        state.digesters.push(digester);
        state.waiting.insert(number, digest);
    }

    fn booked(&self, number: u64, is_written: bool) {
        let mut state = lock(&self.state);
        let digest = state.waiting.remove(&number);
        // What is not in the file may have been the first to have an address.
        let is_added = match &digest {
            Some(digest) if is_written && !state.is_void => state.builder.add(digest),
            _ => false,
        };
        state.is_void |= !is_added;
        if let Some(mut digest) = digest {
            digest.clear();
            keep(&self.all.digests, digest);
        }
        let octets = state.builder.octets();
        self.all.octets.fetch_add(octets, Relaxed);
        let all = self.all.octets.fetch_sub(state.octets, Relaxed) - state.octets;
        state.octets = octets;
        if all > self.all.limit {
            // Too much at once: this file gets its index when somebody builds it.
            (state.is_void, state.builder) = (true, Builder::default());
        }
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        self.all.octets.fetch_sub(state.octets, Relaxed);
        state.digesters.drain(..).for_each(|digester| keep(&self.all.digesters, digester));
    }
}

fn keep<T>(spares: &Mutex<Vec<T>>, spare: T) {
    let mut spares = lock(spares);
    if spares.len() < KEPT {
        spares.push(spare);
    }
}

/// A panic elsewhere leaves a digest out, and the file is found to be not known.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
