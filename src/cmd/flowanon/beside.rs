//! What lies beside files that were anonymised in place, and has their original addresses.

use super::super::{complain, complain_of};
use super::inputs::Job;
use crate::args::flowanon::Args;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use store::{StoreError, loss, side};

/// Takes the original addresses out of what lies beside `files`, which have none any more. Files
/// that belong to one of them go; statements of loss lose their exporters; and of a whole directory
/// what belongs to it goes, too. Returns whether all could be done.
pub(super) fn clean(
    name: &str,
    args: &Args,
    files: &[PathBuf],
    ident: Option<&str>,
    is_quiet: bool,
) -> anyhow::Result<bool> {
    let root = Path::new(args.read.as_deref().unwrap_or_default());
    let mut done = Cleaning { name, ..Cleaning::default() };
    let mut ledgers: BTreeMap<PathBuf, HashSet<String>> = BTreeMap::new();
    let mut lists: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        match loss::ledgers_of(file) {
            Ok(all) => all.into_iter().for_each(|(ledger, relative)| {
                ledgers.entry(ledger).or_default().insert(relative);
            }),
            Err(e) => done.fail(file, &e.to_string()),
        }
        let Ok(file) = file.canonicalize() else { continue };
        let (Some(directory), Some(name)) = (file.parent(), file.file_name()) else { continue };
        let list = lists.entry(directory.to_owned()).or_insert_with(|| side::list(directory));
        for path in side::of_file(list, directory, &name.to_string_lossy()) {
            done.remove(path);
        }
    }
    for (ledger, files) in &ledgers {
        let forgotten = loss::forget_exporters(ledger, ident, &mut |file| files.contains(file));
        done.forgotten(ledger, forgotten);
    }
    let directories = directories(root, lists.keys());
    if root.is_dir() {
        done.open = directories.iter().flat_map(|d| open_files(d)).collect();
    }
    let rest: Vec<PathBuf> = directories
        .iter()
        .flat_map(|d| side::list(d))
        .filter(|path| names_addresses(path))
        .collect();
    if root.is_dir() {
        for path in rest {
            // A collector at work would write it again, and needs it until then.
            let is_in_use = path.parent().is_some_and(|d| open_files(d).next().is_some());
            match is_in_use && !is_of_day(&path) {
                true => done.left.push(path),
                false => done.remove(&path),
            }
        }
    } else {
        done.left = rest;
    }
    done.tell(is_quiet);
    Ok(done.failed == 0)
}

/// Removes what is known about files that will be others. It has their addresses, and size and time,
/// by which an index tells whether it is right, may stay as they are: so it goes first.
pub(super) fn drop_indexes(name: &str, jobs: &[Job], is_quiet: bool) -> anyhow::Result<()> {
    let files: Vec<PathBuf> = jobs.iter().filter_map(|job| job.from.canonicalize().ok()).collect();
    let (dropped, _) = index::drop_of(&files).context("an index still has original addresses")?;
    if dropped > 0 && !is_quiet {
        let what = format!(
            "{dropped} indexes with original addresses removed: flowdump --index build makes others"
        );
        complain(name, &what);
    }
    Ok(())
}

/// The directory that was given and those of the files.
fn directories<'a>(root: &Path, of_files: impl Iterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    let given = root.canonicalize().ok().filter(|path| path.is_dir());
    let mut all: BTreeSet<PathBuf> = of_files.cloned().collect();
    // What a collector keeps lies above its directories by day and hour.
    if let Some(given) = given {
        let above: Vec<PathBuf> = all
            .iter()
            .flat_map(|d| d.ancestors().take_while(|a| a.starts_with(&given)))
            .map(Path::to_owned)
            .collect();
        all.extend(above);
    }
    all
}

/// The middle of `.flowsuite-MIDDLE.no-pcap`.
fn middle(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_prefix(side::PREFIX)?.strip_suffix(".no-pcap")
}

/// Whether a side file of a directory, or of a day, has addresses that are no flow file's alone.
fn names_addresses(path: &Path) -> bool {
    let kind = middle(path).unwrap_or_default().split('.').next().unwrap_or_default();
    matches!(kind, "counters" | "index" | "state" | "sockets" | "unknown")
}

fn is_of_day(path: &Path) -> bool {
    middle(path).is_some_and(|m| m.starts_with("counters.") || m.starts_with("index."))
}

/// Files that a collector is writing.
fn open_files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_open = |e: &DirEntry| e.file_name().to_string_lossy().starts_with("nfcapd.current");
    entries.filter(is_open).map(|e| e.path())
}

/// What was done.
#[derive(Default)]
struct Cleaning<'a> {
    name: &'a str,
    removed: u64,
    statements: u64,
    left: Vec<PathBuf>,
    /// Files that a collector is writing.
    open: Vec<PathBuf>,
    failed: u64,
}

impl Cleaning<'_> {
    fn remove(&mut self, path: &Path) {
        match fs::remove_file(path) {
            Ok(()) => self.removed += 1,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => self.fail(path, &format!("still has original addresses: {e}")),
        }
    }

    fn forgotten(&mut self, ledger: &Path, done: Result<u64, StoreError>) {
        match done {
            Ok(n) => self.statements += n,
            Err(e) => self.fail(ledger, &format!("still names exporters: {e}")),
        }
    }

    fn fail(&mut self, path: &Path, what: &str) {
        self.failed += 1;
        complain_of(self.name, path, what);
    }

    fn tell(&self, is_quiet: bool) {
        if !is_quiet && self.removed + self.statements > 0 {
            let what = format!(
                "beside them: {} side files with original addresses removed, exporters taken out of \
                 {} statements of loss",
                self.removed, self.statements
            );
            complain(self.name, &what);
        }
        // Said in any case: whoever passes the directory on has to know.
        for path in &self.left {
            complain_of(
                self.name,
                path,
                "names exporters by their original addresses, and is left",
            );
        }
        for path in &self.open {
            complain_of(self.name, path, "is being written, and left with its original addresses");
        }
    }
}
