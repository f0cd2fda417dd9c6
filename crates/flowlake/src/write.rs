//! `flowlake write`: flow files into a dataset.

use anyhow::{Context as _, ensure};
use flowsuite::args::flowlake::write::Write;
use flowsuite::exit::Exit;
use lake::dataset::Dataset;
use lake::write::{Event, Naming, Summary, WriteOptions, write_all};
use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;
use store::select::{Input, select};
use store::{Passphrase, ReadOptions};

pub(crate) fn run(name: &str, args: &Write) -> anyhow::Result<Exit> {
    if let Some(file) = args.read.as_deref().filter(|f| is_current(Path::new(f))) {
        anyhow::bail!("{file} is being written by a collector: it is taken when it has its name");
    }
    let options = WriteOptions {
        has_text: !args.no_text,
        read: ReadOptions { key: args.key.as_deref().map(passphrase).transpose()? },
        ..WriteOptions::default()
    };
    let cores = || available_parallelism().map_or(1, usize::from);
    let work = Work {
        name,
        args,
        options,
        naming: Naming { base: args.base.clone(), origin: args.origin.clone() },
        dataset: Dataset::create(&args.write)?,
        threads: args.threads.map_or_else(cores, usize::from),
        stop: sys::signal::interrupt()?,
    };
    let _ = sys::process::raise_file_limit(); // the usual number does for most files
    match args.watch {
        Some(secs) => work.watch(Duration::from_secs(secs)),
        None => {
            let (files, warning) = work.files()?;
            if let Some(warning) = warning {
                complain(name, &warning);
            }
            let summary = work.write(&files, &|_, _| {})?;
            Ok(exit(&summary))
        }
    }
}

/// What a collector is writing.
fn is_current(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str());
    name.is_some_and(|n| n.starts_with("nfcapd.current")) && !path.is_dir()
}

/// The passphrase of `-K`: as written, or the first line of the file behind `@`.
fn passphrase(text: &str) -> anyhow::Result<Passphrase> {
    let read = match text.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
        None => text.to_owned(),
    };
    let line = read.lines().next().unwrap_or_default();
    Passphrase::new(line)
        .with_context(|| format!("a passphrase has 1 to {} octets", Passphrase::MAX))
}

fn exit(summary: &Summary) -> Exit {
    match summary {
        Summary { interrupted: true, .. } => Exit::Interrupted,
        Summary { failed: 0, damaged: 0, .. } => Exit::Success,
        _ => Exit::Incomplete,
    }
}

/// Says it on standard error, which may be full or gone.
fn complain(name: &str, what: &str) {
    let _ = writeln!(io::stderr(), "{name}: {what}");
}

struct Work<'a> {
    name: &'a str,
    args: &'a Write,
    options: WriteOptions,
    naming: Naming,
    dataset: Dataset,
    threads: usize,
    stop: &'static AtomicBool,
}

/// What tells the states of a file apart.
type State = (u64, i64, i64, u64);

impl Work<'_> {
    /// The files that the options mean, and what is to be said of others.
    fn files(&self) -> anyhow::Result<(Vec<PathBuf>, Option<String>)> {
        let input = Input {
            read: self.args.read.as_deref(),
            range: self.args.range.as_deref(),
            sources: self.args.multi.as_deref(),
        };
        ensure!(input.read != Some("-"), "-r -: name a file, what comes has no name to go by");
        let selected = select(&input)?;
        let warning = selected.warning();
        Ok((selected.files, warning))
    }

    /// Writes files and says what became of them.
    fn write(
        &self,
        files: &[PathBuf],
        each: &(dyn Fn(&Path, &Event) + Sync),
    ) -> anyhow::Result<Summary> {
        let progress = Progress::new(files.len());
        let told = |path: &Path, event: &Event| {
            progress.clear();
            self.tell(path, event);
            progress.step();
            each(path, event);
        };
        let what = (&self.options, &self.naming);
        let done = write_all(&self.dataset, files, what, (self.threads, self.stop), &told);
        progress.clear();
        let summary = done?;
        if !self.args.quiet && (self.args.watch.is_none() || summary.written > 0) {
            complain(self.name, &line(&summary));
        }
        Ok(summary)
    }

    fn tell(&self, path: &Path, event: &Event) {
        let path = path.display().to_string();
        let say = |what: &str| match what.contains(&path) {
            true => complain(self.name, what),
            false => complain(self.name, &format!("{path}: {what}")),
        };
        match event {
            Event::Written { notes, .. } => notes.iter().for_each(|note| say(note)),
            Event::Failed(e) => say(&e.to_string()),
            _ => {}
        }
    }

    /// Writes what comes, until it is stopped.
    fn watch(&self, pause: Duration) -> anyhow::Result<Exit> {
        let known: Mutex<HashMap<PathBuf, State>> = Mutex::new(HashMap::new());
        let locked = || known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while !self.stop.load(Ordering::Relaxed) {
            // A tree that is not there yet, or is gone for a moment, is looked for again.
            let files = match self.files() {
                Ok((files, _)) => files,
                Err(e) => {
                    complain(self.name, &format!("{e:#}"));
                    Vec::new()
                }
            };
            let states: HashMap<PathBuf, State> =
                files.into_iter().filter_map(|f| state(&f).map(|s| (f, s))).collect();
            locked().retain(|path, _| states.contains_key(path));
            let is_new = |path: &PathBuf| locked().get(path) != states.get(path);
            let mut new: Vec<PathBuf> =
                states.keys().filter(|path| is_new(path)).cloned().collect();
            new.sort();
            if !new.is_empty() {
                // One that changed meanwhile differs from what is noted here.
                self.write(&new, &|path, _| {
                    if let Some(state) = states.get(path) {
                        locked().insert(path.to_owned(), *state);
                    }
                })?;
            }
            sleep(pause, self.stop);
        }
        Ok(Exit::Interrupted)
    }
}

fn state(path: &Path) -> Option<State> {
    let m = path.metadata().ok()?;
    Some((m.len(), m.mtime(), m.mtime_nsec(), m.ino()))
}

/// Waits, but not for what stops the program.
fn sleep(pause: Duration, stop: &AtomicBool) {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = pause;
    while !left.is_zero() && !stop.load(Ordering::Relaxed) {
        let step = left.min(STEP);
        std::thread::sleep(step);
        left -= step;
    }
}

/// `12 files written (3400 flows, 81920 octets), 276 there already`.
fn line(s: &Summary) -> String {
    let mut line = format!("{} files written ({} flows, {} octets)", s.written, s.rows, s.size);
    for (n, what) in [
        (s.current, "there already"),
        (s.damaged, "of those written are damaged"),
        (s.failed, "not written"),
    ] {
        if n > 0 {
            line.push_str(&format!(", {n} {what}"));
        }
    }
    if s.interrupted {
        line.push_str("; interrupted: run it again to go on");
    }
    line
}

/// How far it is, on a terminal.
struct Progress {
    done: AtomicUsize,
    all: usize,
    is_shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { done: AtomicUsize::new(0), all, is_shown: all > 1 && io::stderr().is_terminal() }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[Kfile {done} of {}", self.all);
        }
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
