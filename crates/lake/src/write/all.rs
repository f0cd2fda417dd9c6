//! Many flow files into a dataset, one on each thread.

use super::{Converted, Converter, WriteOptions};
use crate::dataset::Dataset;
use crate::dataset::ledger::{identity, remove_all};
use crate::error::LakeError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use store::FlowFile;
use store::loss::Statements;

/// What flow files go by in the dataset.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// Names are paths below this directory; full paths if there is none.
    pub base: Option<PathBuf>,
    /// Put in front of all names: who wrote them, where several machines write to one dataset.
    pub origin: Option<String>,
}

/// What became of one flow file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// It was written.
    Written {
        /// Rows in all of its files.
        rows: u64,
        /// Its files.
        files: usize,
        /// Octets of them.
        size: u64,
        /// What of the flow file could not be read or kept as it was, a line each.
        notes: Vec<String>,
        /// Whether something could not be read.
        is_loss: bool,
    },
    /// The dataset has it as it is.
    Current,
    /// It could not be written.
    Failed(LakeError),
}

/// What became of all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Flow files that were written.
    pub written: u64,
    /// Those that the dataset had already.
    pub current: u64,
    /// Those that could not be written.
    pub failed: u64,
    /// Those that were written without what is damaged in them.
    pub damaged: u64,
    /// Rows written.
    pub rows: u64,
    /// Octets written.
    pub size: u64,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

impl Naming {
    /// What a flow file goes by.
    fn name(&self, path: &Path) -> Result<String, LakeError> {
        let fail = LakeError::io("find", path);
        let absolute = path.canonicalize().map_err(&fail)?;
        let named = match &self.base {
            Some(base) => {
                let base = base.canonicalize().map_err(LakeError::io("find", base))?;
                let below = absolute.strip_prefix(&base);
                below.map(Path::to_owned).map_err(|_| {
                    let what = format!("it is not below {}", base.display());
                    fail(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
                })?
            }
            None => absolute,
        };
        let named = named.to_string_lossy();
        Ok(match &self.origin {
            Some(origin) => format!("{origin}:{named}"),
            None => named.into_owned(),
        })
    }
}

/// Writes flow files to a dataset, those that it has not or has in an earlier state. `each` is told
/// what became of each, in no order.
///
/// What is wrong with one flow file concerns that one; what is wrong with the dataset ends the work.
///
/// # Errors
/// If the dataset cannot be written.
pub fn write_all(
    dataset: &Dataset,
    files: &[PathBuf],
    (options, naming): (&WriteOptions, &Naming),
    (threads, stop): (usize, &AtomicBool),
    each: &(dyn Fn(&Path, &Event) + Sync),
) -> Result<Summary, LakeError> {
    dataset.clean()?;
    let (next, fatal) = (AtomicUsize::new(0), Mutex::new(None));
    let (all, halt) = (Mutex::new(Summary::default()), AtomicBool::new(false));
    let work = || {
        let mut worker = Worker {
            dataset,
            options,
            naming,
            stop,
            converter: Converter::new(options.clone()),
            statements: Statements::new(),
        };
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) || halt.load(Ordering::Relaxed) {
                break;
            }
            let event = worker.write(path).unwrap_or_else(Event::Failed);
            match event {
                Event::Failed(LakeError::Interrupted) => break,
                Event::Failed(e) if e.is_of_dataset() => {
                    halt.store(true, Ordering::Relaxed);
                    locked(&fatal).get_or_insert(e);
                    break;
                }
                event => {
                    locked(&all).add(&event);
                    each(path, &event);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, files.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(e) = locked(&fatal).take() {
        return Err(e);
    }
    let mut all = *locked(&all);
    all.interrupted = stop.load(Ordering::Relaxed);
    Ok(all)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Summary {
    fn add(&mut self, event: &Event) {
        match event {
            Event::Written { rows, size, is_loss, .. } => {
                self.written += 1;
                self.rows += rows;
                self.size += size;
                self.damaged += u64::from(*is_loss);
            }
            Event::Current => self.current += 1,
            Event::Failed(_) => self.failed += 1,
        }
    }
}

/// One thread.
struct Worker<'a> {
    dataset: &'a Dataset,
    options: &'a WriteOptions,
    naming: &'a Naming,
    stop: &'a AtomicBool,
    converter: Converter,
    statements: Statements,
}

impl Worker<'_> {
    fn write(&mut self, path: &Path) -> Result<Event, LakeError> {
        let Self { dataset, options, naming, stop, .. } = *self;
        let name = naming.name(path)?;
        // Most of a tree is there already: without waiting for anybody.
        let is_current = || -> Result<bool, LakeError> {
            let metadata = path.metadata().map_err(LakeError::io("find", path))?;
            let (source, inode) = identity(&name, &metadata);
            let manifest = dataset.manifest(&name)?;
            Ok(manifest.is_some_and(|m| m.is_current(dataset, (&source, inode), options)))
        };
        if is_current()? {
            return Ok(Event::Current);
        }
        let _held = dataset.hold(&name, stop)?;
        if is_current()? {
            return Ok(Event::Current);
        }
        let file = FlowFile::open_with(path, &options.read)?;
        let scratch = dataset.scratch(&name)?;
        let event = self.convert(path, &name, &file, &scratch);
        match event {
            Ok(event) => remove_all(&scratch).map(|()| event),
            Err(e) => {
                let _ = remove_all(&scratch); // what failed says more
                Err(e)
            }
        }
    }

    fn convert(
        &mut self,
        path: &Path,
        name: &str,
        file: &FlowFile,
        scratch: &Path,
    ) -> Result<Event, LakeError> {
        let (source, inode) = identity(name, file.metadata());
        let mut notes = Vec::new();
        let loss = match self.statements.of(path) {
            Ok(statements) => statements.into_iter().cloned().collect(),
            Err(e) => {
                notes.push(format!("statement of loss: {e}"));
                Vec::new()
            }
        };
        let loss = (source.clone(), loss);
        let done = self.converter.convert(file, loss, scratch, self.stop)?;
        let now = path.metadata().map_err(LakeError::io("find", path))?;
        if identity(name, &now) != (source.clone(), inode) {
            return Err(LakeError::Changed(path.to_owned()));
        }
        self.dataset.commit(&source, inode, self.options, &done)?;
        notes.extend(said(&done));
        Ok(Event::Written {
            rows: done.parts.iter().map(|p| p.rows).sum(),
            files: done.parts.len(),
            size: done.parts.iter().map(|p| p.size).sum(),
            notes,
            is_loss: done.is_loss,
        })
    }
}

/// What is to be said of a flow file.
fn said(done: &Converted) -> Vec<String> {
    let mut notes = done.damage.clone();
    if done.clamped > 0 {
        notes.push(format!("{} times after 2262 are written as 2262-04-11", done.clamped));
    }
    if done.odd_texts > 0 {
        let n = done.odd_texts;
        notes.push(format!("{n} texts are no UTF-8: their octets are written as U+10F780 on"));
    }
    notes
}
