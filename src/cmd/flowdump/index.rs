//! `--index`: what lies beside files so that searches need not read them; and what it spares a
//! question (`--explain`).

use super::print::complain;
use crate::args::flowdump::{Args, IndexWork};
use crate::exit::Exit;
use anyhow::Context as _;
use filter::Filter;
use index::{Index, IndexError, State, Surveys, Wanted};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use store::{BlockReader, ReadOptions};

/// What is to be done with which files.
pub(super) struct Job<'j> {
    pub(super) name: &'j str,
    pub(super) args: &'j Args,
    pub(super) files: &'j [PathBuf],
    pub(super) read: &'j ReadOptions,
    pub(super) threads: usize,
    pub(super) stop: &'j AtomicBool,
}

/// Files by what became of them.
#[derive(Debug, Default)]
struct Done {
    made: AtomicUsize,
    right: AtomicUsize,
    missing: AtomicUsize,
    wrong: AtomicUsize,
    refused: AtomicUsize,
}

impl Job<'_> {
    pub(super) fn run(&self, work: IndexWork) -> anyhow::Result<Exit> {
        let (said, is_whole) = match work {
            IndexWork::Drop => {
                let (indexes, octets) = index::drop_of(self.files)?;
                (format!("{indexes} indexes dropped, {octets} octets"), true)
            }
            IndexWork::Build => {
                let (known, surveys) = (Mutex::new(Index::new()), Surveys::new());
                let done = self.each(|path, reader, done| {
                    let known = known.lock().unwrap_or_else(PoisonError::into_inner).of(path);
                    self.build(path, known.is_some(), &surveys, reader, done)
                });
                surveys.end()?;
                let [made, right, _, _, refused] = done.counts();
                let said =
                    format!("{made} files indexed, {right} were before, {refused} cannot be");
                (said, refused == 0)
            }
            IndexWork::Check => {
                let done = self.each(|path, reader, done| self.check(path, reader, done));
                let [_, right, missing, wrong, refused] = done.counts();
                let said = format!(
                    "{right} files with a right index, {missing} without one, {wrong} with a wrong \
                     one, {refused} not readable"
                );
                (said, missing + wrong + refused == 0)
            }
        };
        writeln!(io::stdout(), "{said}").context("everything is done, but could not be said")?;
        Ok(match is_whole {
            _ if self.stop.load(Relaxed) => Exit::Interrupted,
            true => Exit::Success,
            false => Exit::Incomplete,
        })
    }

    /// Works on all files, on all threads.
    fn each(
        &self,
        work: impl Fn(&Path, &mut BlockReader, &Done) -> Result<(), IndexError> + Sync,
    ) -> Done {
        let (done, next) = (Done::default(), AtomicUsize::new(0));
        let run = || {
            let mut reader = BlockReader::new();
            while let Some(path) = self.files.get(next.fetch_add(1, Relaxed)) {
                if self.stop.load(Relaxed) {
                    break;
                }
                if let Err(e) = work(path, &mut reader, &done) {
                    complain(self.name, path, &e.to_string());
                    done.refused.fetch_add(1, Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            (0..self.threads.min(self.files.len())).for_each(|_| drop(scope.spawn(run)));
        });
        done
    }

    fn build(
        &self,
        path: &Path,
        is_known: bool,
        surveys: &Surveys,
        reader: &mut BlockReader,
        done: &Done,
    ) -> Result<(), IndexError> {
        if is_known {
            done.right.fetch_add(1, Relaxed);
            return Ok(());
        }
        surveys.make(&self.base(path), path, self.read, reader)?;
        done.made.fetch_add(1, Relaxed);
        Ok(())
    }

    fn check(&self, path: &Path, reader: &mut BlockReader, done: &Done) -> Result<(), IndexError> {
        let (count, what) = match index::check(path, self.read, reader)? {
            State::Right => (&done.right, None),
            State::Missing => (&done.missing, None),
            State::Wrong => (&done.wrong, Some("its index is wrong; drop it and build it again")),
        };
        count.fetch_add(1, Relaxed);
        if let Some(what) = what {
            complain(self.name, path, what);
        }
        Ok(())
    }

    /// The directory that keeps the index of a file: the one that was named, if the file is below
    /// it, as collectors keep theirs; else that of the file.
    fn base(&self, path: &Path) -> PathBuf {
        let input = &self.args.input;
        let named = [&input.many.range, &input.read].into_iter().flatten().map(Path::new);
        let base = named.filter(|dir| dir.is_dir()).find(|dir| path.starts_with(dir));
        base.or_else(|| path.parent()).unwrap_or_else(|| Path::new("")).to_owned()
    }
}

impl Done {
    fn counts(&self) -> [usize; 5] {
        [&self.made, &self.right, &self.missing, &self.wrong, &self.refused]
            .map(|count| count.load(Relaxed))
    }
}

/// What the indexes of files spare a question, a line as those of the filter's explanation.
pub(super) fn explain(filter: Filter, files: &[PathBuf]) -> String {
    let (filters, mut index) = ([filter], Index::new());
    let (mut files_left_out, mut indexed, mut blocks, mut blocks_read) = (0, 0, 0, 0);
    for entry in files.iter().filter_map(|path| index.of(path)) {
        indexed += 1;
        let all = u64::from(entry.blocks());
        blocks += all;
        match entry.wanted(&filters) {
            Wanted::Nothing => files_left_out += 1,
            Wanted::Some { blocks, .. } => blocks_read += blocks.len() as u64,
            Wanted::All => blocks_read += all,
        }
    }
    format!(
        "index   {indexed} of {} files have one: {files_left_out} of these are not opened, and \
         {blocks_read} of their {blocks} blocks are read",
        files.len()
    )
}
